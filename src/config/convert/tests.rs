//! Tests of converted files and variables of older versions.

use super::super::older::names::{KEPT, MOVED, OF_EACH_HOOK, OPTIONS};
use super::*;
use crate::config::sections::class_of;
use crate::config::{Args, Variables, resolve};

fn converted(text: &str) -> Converted {
    converted_from(Version::Later, text)
}

fn converted_from(version: Version, text: &str) -> Converted {
    let path =
        folder().join(format!("old-{}.json", std::thread::current().name().unwrap().replace("::", "-")));
    std::fs::write(&path, text).unwrap();
    let converted = convert_file(&path, version);
    std::fs::remove_file(&path).unwrap();
    converted.unwrap_or_else(|error| panic!("{error}"))
}

fn folder() -> std::path::PathBuf {
    std::env::temp_dir()
}

/// Reads the converted file back, which must succeed.
fn resolved(ending: &str, text: &str) -> crate::config::Effective {
    let name = std::thread::current().name().unwrap().replace("::", "-");
    let path = folder().join(format!("new-{name}.{ending}"));
    std::fs::write(&path, text).unwrap();
    let resolved = resolve(&Args::of_file(Some(path.clone())), &Variables::default());
    std::fs::remove_file(&path).unwrap();
    resolved.unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn json(text: &str) -> serde_json::Value {
    json_of(&converted(text))
}

fn json_of(converted: &Converted) -> serde_json::Value {
    serde_json::from_str(&converted.json(Secrets::Shown)).unwrap()
}

#[test]
fn every_path_of_today_is_a_key() {
    let hooks =
        HOOKS.iter().flat_map(|hook| OF_EACH_HOOK.iter().map(move |(_, key)| format!("{hook}.{key}")));
    let options = OPTIONS.iter().map(|(_, option)| *option).chain(KEPT.iter().copied());
    let options = options.map(|option| format!("channel.without_namespace.{option}"));
    let moved = MOVED.iter().map(|(_, path)| (*path).to_owned());
    // A section that moved as a whole is known by its switch.
    let is_known = |path: &str| class_of(path).or_else(|| class_of(&format!("{path}.enabled"))).is_some();
    let unknown: Vec<_> = moved.chain(hooks).chain(options).filter(|path| !is_known(path)).collect();
    // A list, whose keys have no path.
    assert_eq!(unknown, [""; 0]);
    for (name, _) in MOVED {
        assert_eq!(MOVED.iter().filter(|(other, _)| other == name).count(), 1, "{name} has two meanings");
    }
}

/// A realistic file of version 5.
const CHAT: &str = r#"{
  "token_hmac_secret_key": "hush",
  "api_key": "hush too",
  "admin": true, "admin_password": "hush three", "admin_secret": "hush four",
  "allowed_origins": ["https://chat.example.com"],
  "port": "8001", "log_level": "debug", "health": true,
  "client_channel_limit": 64,
  "user_subscribe_to_personal": true, "user_personal_channel_namespace": "personal",
  "proxy_connect_endpoint": "http://localhost:3000/connect", "proxy_connect_timeout": "3s",
  "proxy_publish_endpoint": "http://localhost:3000/publish",
  "proxy_http_headers": ["Cookie", "Origin"], "proxy_static_http_headers": {"X-Key": "hush five"},
  "redis_address": "redis://user:hush@localhost:6379", "sse": true, "uni_sse": true, "sockjs": true, "presence": true, "allow_presence_for_subscriber": true,
  "namespaces": [
    {"name": "chat", "presence": true, "history_size": 10, "history_ttl": "300s", "force_recovery": true,
     "proxy_publish": true, "allow_subscribe_for_client": true},
    {"name": "personal", "allow_user_limited_channels": true}
  ]
}"#;

#[test]
fn a_file_of_version_5_becomes_one_of_today() {
    let today = json(CHAT);
    for (pointer, wanted) in [
        ("/client/token/hmac_secret_key", serde_json::json!("hush")),
        ("/http_api/key", "hush too".into()),
        ("/admin/enabled", true.into()),
        ("/admin/secret", "hush four".into()),
        ("/client/allowed_origins/0", "https://chat.example.com".into()),
        ("/http_server/port", "8001".into()),
        ("/log/level", "debug".into()),
        ("/health/enabled", true.into()),
        ("/client/subscribe_to_user_personal_channel/enabled", true.into()),
        ("/client/proxy/connect/enabled", true.into()),
        ("/client/proxy/connect/timeout", "3s".into()),
        ("/client/proxy/connect/http_headers/1", "Origin".into()),
        ("/client/proxy/connect/http/static_headers/X-Key", "hush five".into()),
        ("/channel/proxy/publish/http_headers/0", "Cookie".into()),
        ("/channel/without_namespace/presence", true.into()),
        ("/channel/namespaces/0/publish_proxy_enabled", true.into()),
        ("/channel/namespaces/0/history_ttl", "300s".into()),
        ("/channel/namespaces/1/name", "personal".into()),
        ("/uni_sse/enabled", true.into()),
    ] {
        assert_eq!(today.pointer(pointer), Some(&wanted), "{pointer}: {today:#}");
    }
    // Only sections are left, and clients have no new permissions.
    assert!(today.as_object().unwrap().values().all(serde_json::Value::is_object), "{today:#}");
    let namespace = today.pointer("/channel/namespaces/1").unwrap();
    assert_eq!(namespace.as_object().unwrap().len(), 2, "{namespace}");
    assert_eq!(
        converted(CHAT).remarks(),
        [
            "sockjs has no counterpart: clients use http_stream or sse where there is no WebSocket",
            "admin.enabled: throng ignores it: there are no admin pages; the server API and /metrics tell what goes on",
        ]
    );
}

#[test]
fn what_is_converted_is_taken_in_each_form() {
    let converted = converted(CHAT);
    let (toml, json) = (converted.toml(Secrets::Shown), converted.json(Secrets::Shown));
    let (of_toml, of_json) = (resolved("toml", &toml), resolved("json", &json));
    assert_eq!(of_toml.config, of_json.config);
    let config = &of_toml.config;
    assert_eq!(config.outside.connect.as_ref().unwrap().timeout_ms, 3000);
    assert_eq!(config.outside.publish.as_ref().unwrap().http_headers, ["cookie", "origin"]);
    assert_eq!(config.namespaces.named["chat"].history_ttl_ms, 300_000);
    assert!(toml.contains("# sockjs has no counterpart: "), "{toml}");
    assert!(toml.contains("# throng ignores it: there are no admin pages"), "{toml}");
    assert!(toml.contains("\n[[channel.namespaces]]\nname = \"chat\"\n"), "{toml}");
}

#[test]
fn secrets_are_hidden_where_they_are_to_be() {
    let converted = converted(CHAT);
    for text in
        [converted.toml(Secrets::Hidden), converted.json(Secrets::Hidden), converted.env(Secrets::Hidden)]
    {
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains('…'), "{text}");
    }
    for text in
        [converted.toml(Secrets::Shown), converted.json(Secrets::Shown), converted.env(Secrets::Shown)]
    {
        for secret in ["hush", "hush too", "hush three", "hush four", "hush five", "user:hush@"] {
            assert!(text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn what_version_3_allowed_is_written_out() {
    let text = r#"{"secret": "a secret", "client_anonymous": true, "publish": true, "join_leave": true,
        "history_meta_ttl": "48h", "protected": true,
        "namespaces": [
            {"name": "open", "anonymous": true, "publish": true, "subscribe_to_publish": true, "presence": true},
            {"name": "closed", "protected": true, "presence": true, "presence_disable_for_client": true,
             "history_size": 5, "history_lifetime": 60, "recover": true, "position": true},
            {"name": "asked", "proxy_subscribe": true, "history_size": 5, "history_ttl": "1m",
             "history_disable_for_client": true}
        ]}"#;
    let converted = converted_from(Version::Three, text);
    let today = json_of(&converted);
    assert_eq!(today.pointer("/channel/history_meta_ttl"), Some(&"48h".into()));
    let options = |pointer: &str| {
        let table = today.pointer(pointer).unwrap().as_object().unwrap();
        table.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        options("/channel/without_namespace"),
        "allow_publish_for_anonymous=true allow_publish_for_client=true allow_user_limited_channels=true \
         force_push_join_leave=true join_leave=true"
    );
    assert_eq!(
        options("/channel/namespaces/0"),
        "allow_presence_for_subscriber=true allow_publish_for_subscriber=true allow_subscribe_for_anonymous=true \
         allow_subscribe_for_client=true allow_user_limited_channels=true name=\"open\" presence=true"
    );
    assert_eq!(
        options("/channel/namespaces/1"),
        "allow_history_for_subscriber=true allow_user_limited_channels=true force_positioning=true \
         force_recovery=true history_size=5 history_ttl=\"60s\" name=\"closed\" presence=true"
    );
    assert_eq!(
        options("/channel/namespaces/2"),
        "allow_user_limited_channels=true history_size=5 history_ttl=\"1m\" name=\"asked\" subscribe_proxy_enabled=true"
    );
    let remarks = converted.remarks();
    assert!(remarks[0].starts_with("The file is of Centrifugo 3, where clients could do"), "{remarks:?}");
}

/// A file that only version 3 would have read in full may have been read by version 5, with whatever it ignored.
#[test]
fn what_version_5_ignored_opens_nothing() {
    let text = r#"{"secret": "hush", "client_anonymous": true, "publish": true, "anonymous": true, "presence": true,
        "namespaces": [{"name": "chat", "publish": true, "history_recover": true, "join_leave": true,
                        "history_size": 5, "history_ttl": "60s"}]}"#;
    let converted = converted(text);
    assert_eq!(
        json_of(&converted),
        serde_json::json!({"channel": {
            "without_namespace": {"presence": true},
            "namespaces": [{"name": "chat", "join_leave": true, "history_size": 5, "history_ttl": "60s"}],
        }})
    );
    let toml = converted.toml(Secrets::Shown);
    for name in ["secret", "client_anonymous", "publish", "anonymous", "history_recover"] {
        assert!(
            toml.contains(&format!("# {name} is a key of Centrifugo 3, which later versions ignored")),
            "{toml}"
        );
    }
    assert!(toml.contains("--from 3 writes out what clients could do") && !toml.contains("hush"), "{toml}");
    let set =
        [("CENTRIFUGO_SECRET", "hush"), ("CENTRIFUGO_ANONYMOUS", "true"), ("CENTRIFUGO_PRESENCE", "true")];
    let of_variables = |version| convert_variables(&set.into_iter().collect(), version).unwrap();
    let text = of_variables(Version::Later).env(Secrets::Shown);
    assert!(text.contains("# If these were variables of Centrifugo 3, ") && !text.contains("hush"), "{text}");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_PRESENCE=true"]);
    let text = of_variables(Version::Three).env(Secrets::Shown);
    assert!(text.contains("# The variables are of Centrifugo 3, "), "{text}");
    assert!(
        text.contains("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_ANONYMOUS=true"),
        "{text}"
    );
}

#[test]
fn an_empty_endpoint_is_no_hook() {
    let text = r#"{"proxy_connect_endpoint": "", "proxy_refresh_endpoint": "", "proxy_rpc_endpoint": "",
        "rpc_proxy_name": "", "proxy_http_headers": ["Cookie"], "token_hmac_secret_key": "a secret"}"#;
    let converted = converted(text);
    let today = json_of(&converted);
    for pointer in
        ["/client/proxy/connect/enabled", "/client/proxy/refresh/enabled", "/rpc/without_namespace"]
    {
        assert_eq!(today.pointer(pointer), None, "{pointer}: {today:#}");
    }
    let config = resolved("toml", &converted.toml(Secrets::Shown)).config;
    assert!(
        config.outside.connect.is_none() && config.outside.refresh.is_none() && config.outside.rpc.is_none()
    );
}

/// Later versions ignored keys of version 3: these must not give permissions.
#[test]
fn leftovers_of_version_3_open_nothing() {
    let text = r#"{"token_hmac_secret_key": "a secret", "publish": true, "anonymous": true,
        "allow_subscribe_for_client": true, "namespaces": [{"name": "chat", "publish": true, "zebra": "hush"}]}"#;
    // A key of a later version shows the version, too.
    let later = r#"{"token_hmac_secret_key": "a secret", "publish": true, "ping_interval": "10s"}"#;
    assert_eq!(json(later).pointer("/channel"), None);
    let today = json(text);
    assert_eq!(
        today.pointer("/channel"),
        Some(&serde_json::json!({
            "without_namespace": {"allow_subscribe_for_client": true},
            "namespaces": [{"name": "chat"}],
        })),
        "{today:#}"
    );
    let converted = converted(text);
    let remarks = converted.remarks().join("\n");
    assert_eq!(
        remarks.matches("is a key of Centrifugo 3, which later versions ignored").count(),
        2,
        "{remarks}"
    );
    let toml = converted.toml(Secrets::Shown);
    assert!(
        toml.contains("# publish is a key of Centrifugo 3") && toml.contains("# zebra has no counterpart"),
        "{toml}"
    );
    assert!(!toml.contains("hush"), "{toml}");
}

#[test]
fn hooks_by_name_are_a_list_and_those_of_clients_stand_in_their_place() {
    let text = r#"{"granular_proxy_mode": true, "connect_proxy_name": "a", "rpc_proxy_name": "b",
        "proxies": [{"name": "a", "endpoint": "http://a", "static_http_headers": {"X-A": "1"}, "timeout": "2s"},
                    {"name": "b", "endpoint": "http://b", "http_headers": ["Cookie"]}],
        "rpc_namespaces": [{"name": "math", "rpc_proxy_name": "b"}],
        "namespaces": [{"name": "chat", "subscribe_proxy_name": "b", "publish_proxy_name": ""}]}"#;
    let today = json(text);
    assert_eq!(
        today,
        serde_json::json!({
            "client": {"proxy": {"connect": {
                "enabled": true, "endpoint": "http://a", "timeout": "2s", "http": {"static_headers": {"X-A": "1"}},
            }}},
            "rpc": {
                "without_namespace": {"proxy_enabled": true, "proxy_name": "b"},
                "namespaces": [{"name": "math", "proxy_name": "b", "proxy_enabled": true}],
            },
            "channel": {"namespaces": [
                {"name": "chat", "subscribe_proxy_name": "b", "subscribe_proxy_enabled": true},
            ]},
            "proxies": [
                {"name": "a", "endpoint": "http://a", "timeout": "2s", "http": {"static_headers": {"X-A": "1"}}},
                {"name": "b", "endpoint": "http://b", "http_headers": ["Cookie"]},
            ],
        })
    );
}

#[test]
fn what_throng_refuses_is_written_and_said() {
    let text = r#"{"engine": "redis", "redis_address": "redis://:hush@localhost:6379", "broker": "nats",
        "nats_url": "nats://localhost:4222", "tls": true, "tls_cert": "a.pem", "tls_key": "a.key", "tls_cert_pem": "b",
        "client_insecure": "true", "shutdown_timeout": "7s", "ping_interval": 25, "whatever": "hush"}"#;
    let today = json(text);
    for (pointer, wanted) in [
        ("/engine/type", serde_json::json!("redis")),
        ("/engine/redis/address/0", "redis://:hush@localhost:6379".into()),
        ("/broker/enabled", true.into()),
        ("/broker/type", "nats".into()),
        ("/http_server/tls/enabled", true.into()),
        ("/http_server/tls/cert_pem", "a.pem".into()),
        ("/client/ping_interval", "25s".into()),
        ("/shutdown/timeout", "7s".into()),
    ] {
        assert_eq!(today.pointer(pointer), Some(&wanted), "{pointer}: {today:#}");
    }
    let remarks = converted(text).remarks();
    for wanted in [
        "whatever is no key of any version: it is left out",
        "tls_cert_pem is left out: http_server.tls.cert_pem is set already",
        "engine.type: throng refuses it: throng is one process, and keeps everything in memory",
        "broker.type: throng refuses it: throng is one process, and keeps everything in memory",
        "client.ping_interval: ping_interval: a number without a unit is taken for seconds",
    ] {
        assert!(remarks.iter().any(|remark| remark == wanted), "{wanted}: {remarks:#?}");
    }
    assert!(!remarks.join("").contains("hush"), "{remarks:#?}");
}

#[test]
fn what_the_result_would_be_refused_for_is_said() {
    let text = r#"{"proxy_connect_endpoint": "http://u:hush@h/c", "token_jwks_public_endpoint": "https://u:hush@idp/x",
        "tls": true, "tls_cert": "a", "tls_key": "b", "internal_port": "9000",
        "namespaces": [{"name": "chat", "force_push_join_leave": true, "zebra": 1}]}"#;
    let remarks = converted(text).remarks();
    for wanted in [
        "client.proxy.connect.endpoint: throng refuses it: ",
        "client.token.jwks_public_endpoint: throng refuses it: ",
        "http_server.tls.enabled: throng refuses it: the control listener is plain",
        "channel.namespaces.chat.force_push_join_leave: throng ignores it: it has no effect without join_leave",
    ] {
        assert!(remarks.iter().any(|remark| remark.starts_with(wanted)), "{wanted}: {remarks:#?}");
    }
    assert!(!remarks.join("").contains("hush"), "{remarks:#?}");
}

#[test]
fn an_environment_without_older_variables_has_nothing_to_convert() {
    for set in [vec![], vec![("PATH", "/bin")], vec![("CENTRIFUGO_HTTP_API_KEY", "key")]] {
        assert!(convert_variables(&set.into_iter().collect(), Version::Later).is_none());
    }
}

#[test]
fn variables_become_those_of_today() {
    let set = [
        ("CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", "a 'secret'"),
        ("CENTRIFUGO_API_KEY", "key"),
        ("CENTRIFUGO_ALLOWED_ORIGINS", "https://a.example https://b.example"),
        ("CENTRIFUGO_ADMIN", "true"),
        ("CENTRIFUGO_ADMIN_PASSWORD", "password"),
        ("CENTRIFUGO_NAMESPACES", r#"[{"name": "chat", "proxy_publish": true}]"#),
        ("CENTRIFUGO_PROXY_PUBLISH_ENDPOINT", "http://localhost/publish"),
        ("CENTRIFUGO_HTTP_API_INSECURE", "false"),
        ("CENTRIFUGO_PORT", "tcp://10.0.0.1:8000"),
        ("CENTRIFUGO_SERVICE_HOST", "10.0.0.1"),
        ("CENTRIFUGO_VAR_X", "y"),
        ("CENTRIFUGO_ZEBRA", "hush"),
        ("PATH", "/bin"),
    ];
    let converted = convert_variables(&set.into_iter().collect(), Version::Later).unwrap();
    let text = converted.env(Secrets::Shown);
    let lines: std::collections::BTreeSet<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted = [
        "CENTRIFUGO_ADMIN_ENABLED=true",
        "CENTRIFUGO_ADMIN_PASSWORD=password",
        r#"CENTRIFUGO_CHANNEL_NAMESPACES='[{"name":"chat","publish_proxy_enabled":true}]'"#,
        "CENTRIFUGO_CHANNEL_PROXY_PUBLISH_ENDPOINT=http://localhost/publish",
        "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS='https://a.example https://b.example'",
        r"CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY='a '\''secret'\'''",
        "CENTRIFUGO_HTTP_API_INSECURE=false",
        "CENTRIFUGO_HTTP_API_KEY=key",
    ];
    assert_eq!(lines, wanted.into_iter().collect());
    assert!(text.contains("# CENTRIFUGO_ZEBRA is no variable of any version: it is left out"), "{text}");
    let hidden = converted.env(Secrets::Hidden);
    assert!(hidden.contains("CENTRIFUGO_HTTP_API_KEY='…'") && !hidden.contains("password\n"), "{hidden}");
}

#[test]
fn what_is_of_today_stays_and_counts() {
    let text = r#"{"api_key": "old", "http_api": {"key": "new"}, "client": {"allowed_origins": ["https://a.example"]},
        "shards": 2, "admin": null}"#;
    let today = json(text);
    let wanted = serde_json::json!({"http_api": {"key": "new"}, "client": {"allowed_origins": ["https://a.example"]}, "shards": 2});
    assert_eq!(today, wanted);
    assert!(
        converted(text).remarks().contains(&"api_key is left out: http_api.key is set already".to_owned())
    );
    let path = folder().join("today-of-the-conversion.toml");
    std::fs::write(&path, "[client]\ninsecure = true\n").unwrap();
    let said = convert_file(&path, Version::Later).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(said.ends_with("has no key of Centrifugo 3 to 5: there is nothing to convert"), "{said}");
}
