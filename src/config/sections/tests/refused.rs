//! Invalid sections and their errors.

use super::{load, toml};

#[test]
fn credentials_of_the_admin_page_are_a_name_and_a_password() {
    for (text, wanted) in [
        (
            "[socketio.admin]\nusername = 'a'",
            "socketio.admin.password = \"\" (default): expected a text, since socketio.admin.username is set",
        ),
        (
            "[socketio.admin]\nusername = 'a'\npassword = 'short'",
            "t:3: socketio.admin.password = \"…\": expected at least 8 characters",
        ),
        (
            "[socketio.admin]\nusername = 'a'\npassword = '$2b$10$heqvAkYMez.Va6Et2uXInOnkCT6/uQj1brkrbyG3LpopDklcq7ZOS'",
            "t:3: socketio.admin.password = \"…\": expected the password itself, not a hash of it",
        ),
    ] {
        assert_eq!(toml(text).unwrap_err(), [wanted], "{text}");
    }
}

#[test]
fn values_that_are_not_allowed_are_told_with_their_lines() {
    for (text, wanted) in [
        (
            "[client]\nping_interval = 25",
            "t:2: client.ping_interval = 25: expected a duration, such as \"30s\" or \"500ms\"",
        ),
        (
            "[client]\nstale_close_delay = '2h'",
            "t:2: client.stale_close_delay = \"2h\": expected milliseconds, a whole number from 1 to 3600000",
        ),
        (
            "[[channel.namespaces]]\nname = 'chat'\nhistory_ttl = 300",
            "t:3: channel.namespaces.chat.history_ttl = 300: expected a duration, such as \"30s\" or \"1h30m\", from 0s to 878400h",
        ),
        (
            "[client.token]\nhmac_secret_key = 5",
            "t:2: client.token.hmac_secret_key = …: is a number: put it in quotes",
        ),
        (
            "[client.proxy.connect.http.static_headers]\nX-Key = 5",
            "t:1: client.proxy.connect.http.static_headers = …: X-Key is a number: put it in quotes",
        ),
        (
            "[http_api]\nkey = ['a', true]",
            "t:2: http_api.key = …: an entry is true or false: put it in quotes",
        ),
        (
            "[client.token]\nrsa_public_key = 'MIIB'",
            "t:2: client.token.rsa_public_key = \"MIIB\": expected a public RSA key in PEM",
        ),
        (
            "[client.proxy.refresh]\nendpoint = 'grpc://x'",
            "t:2: client.proxy.refresh.endpoint = \"grpc://x\": hooks over gRPC are not served; expected an http:// or \
             https:// URL",
        ),
        (
            "[channel.without_namespace]\nchannel_regex = '['",
            "t:2: channel.without_namespace.channel_regex = \"[\": expected a regular expression: a class without its closing bracket",
        ),
        (
            "[client.token]\nissuer_regex = '('",
            "t:2: client.token.issuer_regex = \"(\": expected a regular expression: unclosed group",
        ),
        (
            "[client.token]\nhmac_previous_secret_key_valid_until = -1",
            "t:2: client.token.hmac_previous_secret_key_valid_until = -1: expected seconds since 1970, or 0 for no end",
        ),
        (
            "[channel.without_namespace]\nforce_recovery_mode = 'all'",
            "t:2: channel.without_namespace.force_recovery_mode = \"all\": expected \"stream\" or \"cache\"",
        ),
        ("[channel]\nnamespaces = 5", "t:2: channel.namespaces = …: expected a list of tables"),
        ("[[channel.namespaces]]\npresence = true", "t:2: channel.namespaces[0] = …: expected a name in it"),
        (
            "[http_server]\naddress = '1.2.3'",
            "t:2: http_server.address = \"1.2.3\": expected an IP address or the name of a host; 0.0.0.0 stands for all of \
             this machine",
        ),
        ("[websocket]\ndisabled = 2", "t:2: websocket.disabled = 2: expected true or false"),
    ] {
        assert_eq!(toml(text).unwrap_err(), [wanted], "{text}");
    }
}

#[test]
fn keys_of_sections_that_do_not_go_together_are_refused() {
    for (text, wanted) in [
        (
            "[channel.without_namespace]\nhistory_size = 5",
            "t:2: channel.without_namespace.history_size = 5: expected history_ttl with it: a history is bounded by both",
        ),
        (
            "[[channel.namespaces]]\nname = 'ab'\nhistory_ttl = '5s'",
            "t:3: channel.namespaces.ab.history_ttl = \"5s\": expected history_size with it: a history is bounded by both",
        ),
        (
            "[[channel.namespaces]]\nname = 'ab'\nforce_recovery = true",
            "t:3: channel.namespaces.ab.force_recovery = true: expected history_size and history_ttl with it",
        ),
        (
            "[channel]\nhistory_meta_ttl = '1h'\n[[channel.namespaces]]\nname = 'ab'\nhistory_size = 1\nhistory_ttl = '2h'",
            "t:6: channel.namespaces.ab.history_ttl = \"2h\": expected at most channel.history_meta_ttl: positions outlive \
             publications",
        ),
        (
            "[[channel.namespaces]]\nname = 'a'",
            "t:2: channel.namespaces[0].name = \"a\": expected two or more letters, digits, -, _ and ., not \"a\"",
        ),
        (
            "[[channel.namespaces]]\nname = 'ab'\n[[channel.namespaces]]\nname = 'ab'",
            "t:4: channel.namespaces[1].name = \"ab\": expected another name: there is a namespace ab before it",
        ),
        (
            "[channel.without_namespace]\nsubscribe_proxy_enabled = true",
            "t:2: channel.without_namespace.subscribe_proxy_enabled = true: expected channel.proxy.subscribe.endpoint with it",
        ),
        (
            "[channel.without_namespace]\nauto_cache_recover = true",
            "t:2: channel.without_namespace.auto_cache_recover = true: expected force_recovery and force_recovery_mode = \
             \"cache\" with it",
        ),
        (
            "[client.proxy.connect]\nenabled = true",
            "t:2: client.proxy.connect.enabled = true: expected client.proxy.connect.endpoint with it",
        ),
        (
            "[channel.proxy.publish]\nhttp_headers = ['X-A', 'X-B X-C']",
            "t:2: channel.proxy.publish.http_headers = [\"X-A\", \"X-B X-C\"]: expected names of headers, one in each text, \
             not \"X-B X-C\"",
        ),
        (
            "[rpc.without_namespace]\nproxy_enabled = true",
            "t:2: rpc.without_namespace.proxy_enabled = true: expected rpc.proxy.endpoint with it",
        ),
        (
            "[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = 'x'",
            "t:3: client.subscribe_to_user_personal_channel.personal_channel_namespace = \"x\": expected a namespace of \
             channel.namespaces",
        ),
        (
            "[sse]\nenabled = true\nhandler_prefix = '/emulation'",
            "emulation.handler_prefix = \"/emulation\" (default): expected another path than sse.handler_prefix",
        ),
        (
            "[client]\n[uni_sse]\nenabled = true\nhandler_prefix = '/connection/websocket'",
            "t:4: uni_sse.handler_prefix = \"/connection/websocket\": expected another path than websocket_path",
        ),
    ] {
        assert_eq!(toml(text).unwrap_err(), [wanted], "{text}");
    }
}

#[test]
fn any_origin_is_refused_where_a_cookie_is_proof() {
    let cookies = "a browser sends cookies whatever page it shows, so any page could connect as the user who looks at it; \
                   name the origins of your own pages";
    for (text, wanted) in [
        (
            "[client]\nallowed_origins = ['*']\ntoken_cookie = 'token'",
            format!(
                "t:2: client.allowed_origins = [\"*\"]: * does not go together with client.token_cookie: {cookies}"
            ),
        ),
        (
            "[client]\nallowed_origins = ['*']\nproxy.connect = { enabled = true, endpoint = 'http://a', http_headers = ['Cookie'] }",
            format!(
                "t:2: client.allowed_origins = [\"*\"]: * does not go together with a cookie in \
                 client.proxy.connect.http_headers: {cookies}"
            ),
        ),
        (
            "[client]\nallowed_origins = ['*']\n[rpc]\nwithout_namespace.proxy_enabled = true\n\
             proxy = { endpoint = 'http://a', http_headers = ['cookie'] }",
            format!(
                "t:2: client.allowed_origins = [\"*\"]: * does not go together with a cookie in rpc.proxy.http_headers: {cookies}"
            ),
        ),
    ] {
        assert_eq!(toml(text).unwrap_err(), [wanted], "{text}");
    }
    // An origin pattern that is not a bare `*` is allowed, and so is `*` without cookies.
    assert!(toml("[client]\nallowed_origins = ['https://*.a.b']\ntoken_cookie = 'token'").is_ok());
    assert!(toml("[client]\nallowed_origins = ['*']").is_ok());
}

/// Keys and hooks with errors that only the code that uses them finds.
#[test]
fn keys_and_hooks_that_cannot_be_used_are_refused() {
    let weak = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDJztk8TRSjdUigeKgljFgD/hqR\nMQeiahqJreAFFR6IO8dH5j2tK2wx+7AW2xUivSlZDpv/ayyn04yEr3ojEcnRsF+w\nHvioqGtU9RWtbgHIlgiqDUH03CbXvZzqZhknjpV0EgJ+IGUzDqMwMMO9HtV1RCSS\npEVITP2M/+dVscsDcwIDAQAB\n-----END PUBLIC KEY-----";
    for (text, wanted) in [
        (
            format!("[client.token]\nrsa_public_key = \"{}\"", weak.replace('\n', "\\n")),
            "t:2: client.token.rsa_public_key = …: an RSA key of less than 2,048 bits is not taken",
        ),
        (
            "[client.token]\naudience = 'a'\naudience_regex = 'b'".to_owned(),
            "t:3: client.token.audience_regex = \"b\": does not go together with audience",
        ),
        (
            "[client.subscription_token]\nenabled = true\nissuer = 'a'\nissuer_regex = 'b'".to_owned(),
            "t:4: client.subscription_token.issuer_regex = \"b\": does not go together with issuer",
        ),
        (
            "[rpc]\nwithout_namespace.proxy_enabled = true\nproxy = { endpoint = 'http://a', http.static_headers = { \"a b\" = 'c' } }"
                .to_owned(),
            "t:3: rpc.proxy.http.static_headers = { \"a b\" = \"…\" }: invalid HTTP header name",
        ),
    ] {
        assert_eq!(toml(&text).unwrap_err(), [wanted], "{text}");
    }
}

/// Every hook that a namespace enables can be named, and the name must exist.
#[test]
fn hooks_that_namespaces_name_must_be_there() {
    for hook in ["subscribe", "publish", "sub_refresh"] {
        let table = |value: &str| {
            format!(
                "[channel.without_namespace]\n{hook}_proxy_name = '{value}'\n{hook}_proxy_enabled = true\n\
                 [[proxies]]\nname = 'mine'\nendpoint = 'http://a'\n"
            )
        };
        let default = format!("{}[channel.proxy]\n{hook}.endpoint = 'http://b'", table("default"));
        assert_eq!(toml(&default).map(drop), Ok(()), "{hook}");
        assert_eq!(toml(&table("mine")).map(drop), Ok(()), "{hook}");
        let wanted = format!(
            "t:2: channel.without_namespace.{hook}_proxy_name = \"other\": expected \"default\" or the name of one of proxies"
        );
        assert_eq!(toml(&table("other")).map(drop).unwrap_err(), [wanted]);
    }
}

#[test]
fn named_hooks_and_namespaces_of_calls_that_cannot_be_are_refused() {
    let proxy = |name: &str| format!("[[proxies]]\nname = '{name}'\nendpoint = 'http://a'\n");
    let name = "expected two or more letters, digits, -, _ and .";
    for (text, wanted) in [
        (proxy("a"), format!("t:2: proxies[0].name = \"a\": {name}, not \"a\"")),
        (
            proxy("default"),
            "t:2: proxies[0].name = \"default\": expected another name: default is the hook that has none".to_owned(),
        ),
        (
            proxy("ab") + &proxy("ab"),
            "t:5: proxies[1].name = \"ab\": expected another name: ab stands before it".to_owned(),
        ),
        (
            "[[proxies]]\nname = 'ab'".to_owned(),
            "t:2: proxies[0].name = \"ab\": no endpoint for proxy `ab`: set it here or as CENTRIFUGO_PROXIES_AB_ENDPOINT".to_owned(),
        ),
        ("[[proxies]]\nendpoint = 'http://a'".to_owned(), "t:2: proxies[0] = …: expected a name in it".to_owned()),
        (
            "[[proxies]]\nname = 'ab'\nendpoint = 'grpc://a'".to_owned(),
            "t:3: proxies.ab.endpoint = \"grpc://a\": hooks over gRPC are not served; expected an http:// or https:// URL"
                .to_owned(),
        ),
        (
            "[[proxies]]\nname = 'ab'\nendpoint = 'http://a'\nhttp.static_header = {}".to_owned(),
            "t:4: proxies.ab.http.static_header = …: unknown section; is static_headers meant?".to_owned(),
        ),
        (
            "[[rpc.namespaces]]\nname = 'ab'\nproxy_enabled = true".to_owned(),
            "t:3: rpc.namespaces.ab.proxy_enabled = true: expected rpc.proxy.endpoint with it".to_owned(),
        ),
        (
            "[[rpc.namespaces]]\nname = 'ab'\nproxy_name = 'cd'".to_owned(),
            "t:3: rpc.namespaces.ab.proxy_name = \"cd\": expected \"default\" or the name of one of proxies".to_owned(),
        ),
        (
            "[[rpc.namespaces]]\nname = 'ab'\n[[proxies]]\nname = 'x'".to_owned(),
            format!("t:4: proxies[0].name = \"x\": {name}, not \"x\""),
        ),
    ] {
        let refused = toml(&text).unwrap_err();
        assert!(refused.contains(&wanted), "{text}: {refused:?}");
    }
}

#[test]
fn authorities_of_hooks_that_are_not_there_are_refused() {
    for (table, path) in [
        ("[client.proxy.connect]\nenabled = true", "client.proxy.connect"),
        (
            "[channel]\nwithout_namespace.publish_proxy_enabled = true\n[channel.proxy.publish]",
            "channel.proxy.publish",
        ),
        (
            "[channel]\nwithout_namespace = { publish_proxy_enabled = true, publish_proxy_name = 'ab' }\n\
             [[proxies]]\nname = 'ab'",
            "proxies.ab",
        ),
    ] {
        let text = format!(
            "{table}\nendpoint = 'https://a'\nhttp.tls = {{ enabled = true, server_ca_pem = '/nowhere/ca' }}"
        );
        let refused = toml(&text).unwrap_err();
        let [refused] = &refused[..] else { panic!("{refused:?}") };
        assert!(
            refused.contains(&format!("{path}.http.tls.server_ca_pem = \"/nowhere/ca\": neither PEM")),
            "{refused}"
        );
        assert!(toml(&text.replace("enabled = true, server", "server")).is_ok(), "{path}");
    }
    let refused = load("toml", "shards = 1", &[("SSL_CERT_FILE", "/nowhere/ca")]).unwrap_err();
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    assert!(refused.starts_with("SSL_CERT_FILE=/nowhere/ca: No such file"), "{refused}");
}

#[test]
fn tokens_of_anyone_are_for_development() {
    let text = "[client]\ninsecure_skip_token_signature_verify = true";
    let wanted = "t:2: client.insecure_skip_token_signature_verify = true: is allowed only in development mode: anyone could be \
                  any user";
    assert_eq!(toml(text).unwrap_err(), [wanted]);
    assert!(toml(&format!("development = true\n{text}")).unwrap().config.outside.skips_signatures);
}
