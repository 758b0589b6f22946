//! Sections that cannot be followed, and what is said of them.

use super::toml;
use crate::config::sections::Target;

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
            "t:2: client.token.hmac_secret_key = …: expected a text (not …, which stands for one that is not shown): put it in quotes",
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
            "t:2: channel.without_namespace.channel_regex = \"[\": expected a regular expression",
        ),
        (
            "[client.token]\nissuer_regex = '('",
            "t:2: client.token.issuer_regex = \"(\": expected a regular expression",
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
            "[http_server]\naddress = 'localhost'",
            "t:2: http_server.address = \"localhost\": expected an IP address; 0.0.0.0 stands for all of this machine",
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
    // An origin's pattern is no bare `*`, and nobody is harmed by `*` without cookies.
    assert!(toml("[client]\nallowed_origins = ['https://*.a.b']\ntoken_cookie = 'token'").is_ok());
    assert!(toml("[client]\nallowed_origins = ['*']").is_ok());
}

/// What is wrong with keys and hooks when they are looked at closely, told by those who use them.
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

/// Whichever hook a namespace can turn on has a name in Centrifugo; here each has the one.
#[test]
fn hooks_of_namespaces_are_found_by_no_name_but_the_default() {
    let is_hook =
        |path: &str| path.starts_with("channel.without_namespace.") && path.ends_with("_proxy_enabled");
    let switches: Vec<String> = Target::all().map(|(path, _)| path).filter(|path| is_hook(path)).collect();
    assert_eq!(switches.len(), 4, "{switches:?}");
    for switch in switches {
        let name = switch.rsplit('.').next().unwrap().trim_end_matches("enabled").to_owned() + "name";
        let hook = name.trim_end_matches("_proxy_name");
        let table = |value| format!("[channel.without_namespace]\n{name} = '{value}'");
        assert_eq!(toml(&table("default")).map(drop), Ok(()), "{name}");
        let wanted = format!(
            "t:2: channel.without_namespace.{name} is not supported as \"other\", only as \"default\": \
             channel.proxy.{hook} is the only one"
        );
        assert_eq!(toml(&table("other")).map(drop).unwrap_err(), [wanted]);
    }
}
