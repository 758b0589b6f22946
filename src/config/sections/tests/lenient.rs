//! Values and names with which Centrifugo starts, and which open nothing: throng starts, too, and warns of those that
//! have no effect.

use super::doors::{program, resolved};

/// The configuration of a file, and its warnings.
fn started(text: &str) -> (crate::config::Config, Vec<String>) {
    let effective = program(text, &[]).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let warnings = effective.warnings().iter().map(|warning| {
        let said = warning.to_string();
        said.split_once(".toml:").map_or(said.clone(), |(_, rest)| rest.to_owned())
    });
    let warnings = warnings.collect();
    (effective.config, warnings)
}

#[test]
fn comments_are_no_keys() {
    let text = "'$schema' = 'x'\n_comment = 'x'\n[client]\n'//' = 'x'\n'#insecure' = true\n[client.proxy]\ncomment = 1\n\
                [[channel.namespaces]]\nname = 'chat'\n__note = 'x'\n";
    let (config, warnings) = started(text);
    assert!(!config.client.insecure);
    let said = |line: usize, key: &str| format!("{line}: {key} is ignored: it is no key, but a comment");
    let wanted = [
        said(1, "$schema"),
        said(2, "_comment"),
        said(4, "client.//"),
        said(5, "client.#insecure"),
        said(7, "client.proxy.comment"),
        said(10, "channel.namespaces.chat.__note"),
    ];
    assert_eq!(warnings, wanted);
    assert!(program("[client]\ninsecur = true\n", &[]).is_err(), "a misspelt key is none");
}

#[test]
fn names_may_have_other_letters() {
    let (config, _) = started(
        "[Client]\nAllowed_Origins = ['https://a.example']\n[HTTP_API]\nKEY = 'A'\n\
                               [[Channel.Namespaces]]\nName = 'Chat'\nPresence = true\n",
    );
    assert_eq!(config.client.allowed_origins, ["https://a.example"]);
    assert_eq!(config.api.keys, ["A"]);
    assert!(config.namespaces.named["Chat"].presence);
    let set = ("CENTRIFUGO_CHANNEL_NAMESPACES", r#"[{"Name": "Chat", "Presence": true}]"#);
    assert!(resolved(&[], &[set]).unwrap().config.namespaces.named["Chat"].presence);
}

#[test]
fn origins_that_no_page_has_are_told_and_the_others_work() {
    for (entry, why) in [
        (
            "https://a.example/",
            "has a path, and an origin ends with its host and port: write \"https://a.example\"",
        ),
        ("localhost:3000", "has no scheme: write \"https://localhost:3000\""),
        ("https://A.example", "holds capitals, and browsers send none: write \"https://a.example\""),
        (
            "https://a.example:443",
            "has the scheme's own port, which browsers leave out: write \"https://a.example\"",
        ),
        ("https://a.example,https://b.example", "holds a comma: write one origin in each text of the list"),
    ] {
        let (config, warnings) =
            started(&format!("[client]\nallowed_origins = ['{entry}', 'https://z.example']\n"));
        assert_eq!(config.client.allowed_origins, [entry, "https://z.example"]);
        let wanted =
            format!("2: client.allowed_origins has an entry that no page's origin matches: {entry:?} {why}");
        assert_eq!(warnings, [wanted]);
    }
    let (_, warnings) = started("[client]\nallowed_origins = ['https://user:HUSH@a.example']\n");
    assert!(warnings.len() == 1 && !warnings[0].contains("HUSH"), "{warnings:?}");
    // These stand for other characters in Centrifugo, whose pages would be shut out.
    for entry in
        ["https://{a,b}.example", "https://?.example", "https://[ab].example", r"https://a\\.example"]
    {
        let said = program(&format!("[client]\nallowed_origins = ['{entry}']\n"), &[]).unwrap_err();
        assert!(said.len() == 1 && said[0].contains("client.allowed_origins = "), "{entry}: {said:?}");
    }
}

#[test]
fn levels_have_the_words_of_centrifugo_and_of_other_programs() {
    for (word, level) in [
        ("warning", "warn"),
        ("WARNING", "warn"),
        ("Info", "info"),
        ("FATAL", "error"),
        ("NONE", "off"),
        ("", "info"),
        ("info,throng::shard=debug", "info,throng::shard=debug"),
    ] {
        let (config, warnings) = started(&format!("[client]\n[log]\nlevel = '{word}'\n"));
        assert_eq!(config.logs.level.to_ascii_lowercase(), level, "{word}");
        assert_eq!(warnings, [""; 0], "{word}");
    }
    let (config, warnings) = started("[client]\n[log]\nlevel = 'verbose'\n");
    assert_eq!(config.logs.level, "info");
    assert_eq!(warnings, ["3: log.level is \"verbose\", which is no level: info is used"]);
    let said = resolved(&[("log_level", "verbose")], &[]).unwrap_err();
    assert!(said[0].starts_with("--log_level verbose: expected error, warn"), "{said:?}");
}

#[test]
fn zero_and_an_empty_text_are_the_default_where_nothing_else_can_be_meant() {
    let defaults = started("[client]\n").0;
    for zero in ["0", "''", "'0'"] {
        let (config, warnings) = started(&format!(
            "[client]\nqueue_max_size = {zero}\nchannel_limit = {zero}\nconnection_limit = {zero}\ninsecure = {zero}\n\
             [websocket]\nmessage_size_limit = {zero}\n[channel]\nmax_length = {zero}\n"
        ));
        assert_eq!((&config.limits, warnings), (&defaults.limits, Vec::new()), "{zero}");
        assert!(!config.client.insecure);
    }
    let (config, warnings) = started(
        "[client]\nstale_close_delay = '0s'\npong_timeout = '0s'\n[channel]\nhistory_meta_ttl = '0s'\n",
    );
    assert_eq!((&config.timeouts, warnings), (&defaults.timeouts, Vec::new()));
    assert_eq!(config.namespaces.history_meta_ttl_ms, 720 * 3_600_000);
    let with_history =
        "[channel]\nhistory_meta_ttl = '0s'\nwithout_namespace = { history_size = 1, history_ttl = '1s' }\n";
    for refused in [with_history, "[channel]\nhistory_meta_ttl = '10ms'\n"] {
        assert_eq!(program(refused, &[]).unwrap_err().len(), 1, "{refused}: Centrifugo refuses it, too");
    }
}

#[test]
fn a_queue_beyond_other_limits_is_brought_within_them() {
    let (config, warnings) = started("[client]\nqueue_max_size = 65535\n");
    assert_eq!(config.limits.outbox_bytes_max, 65_536);
    let wanted = "2: client.queue_max_size is raised to 65536 bytes, the largest message of a client (websocket.message_size_limit)";
    assert_eq!(warnings, [wanted]);
    assert_eq!(started("[client]\nqueue_max_size = 65536\n").1, [""; 0]);
    let (config, warnings) = started("[client]\nqueue_max_size = 536870912\n");
    assert_eq!(config.limits.outbox_bytes_max, 268_435_456);
    assert_eq!(
        warnings,
        ["2: client.queue_max_size is lowered to 268435456 bytes, queued_bytes_max of all clients"]
    );
    assert!(program("outbox_bytes_max = 65535\n", &[]).is_err(), "a key of throng says what it means");
}

#[test]
fn an_error_names_the_key_that_was_typed() {
    for (text, wanted) in [
        (
            "[client]\nping_interval = '5s'\npong_timeout = '6s'\n",
            "3: client.pong_timeout = \"6s\": expected less than client.ping_interval, which is \"5s\" (",
        ),
        (
            "control = '0.0.0.0:81'\n[http_server]\nport = 81\n",
            "1: control = \"0.0.0.0:81\": expected another port than http_server.port, which is 81 (",
        ),
    ] {
        let said = program(text, &[]).unwrap_err().join("\n");
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn headers_with_addresses_of_a_proxy_are_told() {
    let hook = "[client.proxy.connect]\nenabled = true\nendpoint = 'http://localhost/c'\nhttp_headers = ['X-Real-Ip']\n";
    let (_, warnings) = started(hook);
    let wanted = "4: client.proxy.connect.http_headers has X-Real-Ip: behind a proxy, the hook gets the proxy's own address in \
                  it until trusted_proxies names the proxy";
    assert_eq!(warnings, [wanted]);
    for quiet in [
        format!("trusted_proxies = ['127.0.0.1']\n{hook}"),
        format!("listen = 'unix:/tmp/throng.sock'\n{hook}"),
        hook.replace("X-Real-Ip", "Cookie"),
    ] {
        assert_eq!(started(&quiet).1, [""; 0], "{quiet}");
    }
    let named = "[[proxies]]\nname = 'one'\nendpoint = 'http://localhost/s'\nhttp_headers = ['x-forwarded-for']\n\
                 [channel.without_namespace]\nsubscribe_proxy_enabled = true\nsubscribe_proxy_name = 'one'\n";
    let (_, warnings) = started(named);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("4: proxies.one.http_headers has x-forwarded-for"),
        "{warnings:?}"
    );
}
