//! Configurations of deployments that switch from Centrifugo: each starts with its configured behaviour, or is
//! refused in one pass with the right keys named.

use std::env;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tls::Folder;

/// The result of a configuration.
enum Then {
    /// It is accepted; these paths have these values, and these warnings are printed.
    Taken(&'static [(&'static str, &'static str)], &'static [&'static str]),
    /// It is refused, with each of these texts.
    Refused(&'static [&'static str]),
}

use Then::{Refused, Taken};

struct Case {
    name: &'static str,
    file: &'static str,
    variables: &'static [(&'static str, &'static str)],
    then: Then,
}

const fn case(
    name: &'static str,
    file: &'static str,
    variables: &'static [(&'static str, &'static str)],
    then: Then,
) -> Case {
    Case { name, file, variables, then }
}

const CASES: &[Case] = &[
    case(
        "admin.json",
        r#"{"client": {"token": {"hmac_secret_key": "a secret of 1"}}, "admin": {"enabled": true, "password": "hush"}}"#,
        &[],
        Taken(&[("/config/client/token/hmac_secret_key", "\"a secret of 1\"")], &["admin has no effect"]),
    ),
    case(
        "all-addresses.json",
        r#"{"client": {"insecure": true}, "http_server": {"port": "8123"}}"#,
        &[],
        Taken(&[("/config/client/insecure", "true"), ("/is_development", "false")], &[]),
    ),
    case(
        "flat.json",
        r#"{"token_hmac_secret_key": "hush", "api_key": "hush", "admin": true}"#,
        &[],
        Refused(&[
            "this file is written for Centrifugo 5 or older",
            "token_hmac_secret_key is client.token.hmac_secret_key today",
            "api_key is http_api.key today",
            "admin is admin.enabled today",
        ]),
    ),
    case(
        "flat.toml",
        "allowed_origins = [\"https://a.example\"]\nproxy_connect_endpoint = \"http://u:hush@a\"\nproxy_http_headers = [\"A\"]\n",
        &[],
        Refused(&[
            "allowed_origins is client.allowed_origins today",
            "proxy_connect_endpoint is client.proxy.connect.endpoint today",
            "proxy_http_headers is http_headers of each hook",
        ]),
    ),
    case(
        "flat.yaml",
        "namespaces:\n  - name: chat\n    publish: true\n    proxy_subscribe: true\nsockjs: true\n",
        &[],
        Refused(&[
            "namespaces is channel.namespaces today",
            "namespaces.chat.publish is allow_publish_for_client today",
            "namespaces.chat.proxy_subscribe is subscribe_proxy_enabled today",
            "sockjs has no counterpart",
        ]),
    ),
    case(
        "leftovers.yaml",
        "client:\n  insecure: true\nchannel:\n  namespaces:\n    - name: chat\n      history_lifetime: 60\napi_key: hush\n",
        &[],
        Refused(&["unknown key; is history_ttl meant?", "api_key is http_api.key today"]),
    ),
    case(
        "comfort.toml",
        "[client]\ninsecure = true\npresence_update_interval = \"10s\"\n[websocket]\nwrite_timeout = \"3s\"\n\
         [sse]\nenabled = true\nmax_request_body_size = 100\n[shutdown]\ntimeout = \"7s\"\n[debug]\nenabled = true\n\
         [swagger]\nenabled = true\n[node]\ninfo_metrics_aggregate_interval = \"5s\"\n",
        &[],
        Taken(
            &[("/config/drain_ms", "7000"), ("/config/sse/enabled", "true")],
            &[
                "client.presence_update_interval",
                "websocket.write_timeout",
                "sse.max_request_body_size",
                "debug has",
                "swagger has",
                "node.info",
            ],
        ),
    ),
    case(
        "redis.yaml",
        "client:\n  insecure: true\nengine:\n  type: redis\n  redis:\n    address: redis://:hush@localhost:6379\n",
        &[],
        Refused(&["engine.type is not supported as \"redis\", only as \"memory\""]),
    ),
    case(
        "redis-unused.json",
        r#"{"client": {"insecure": true}, "engine": {"redis": {"address": "redis://:hush@localhost:6379"}}}"#,
        &[],
        Taken(&[("/config/client/insecure", "true")], &[]),
    ),
    case(
        "grpc.toml",
        "[client]\ninsecure = true\n[grpc_api]\nenabled = true\n[uni_grpc]\nenabled = true\n[client.proxy.connect]\nenabled = true\n\
         endpoint = \"grpc://localhost:9\"\n",
        &[],
        Refused(&[
            "the server API is not served over gRPC",
            "gRPC is not served to clients",
            "client.proxy.connect.endpoint",
        ]),
    ),
    case(
        "maps.json",
        r#"{"client": {"insecure": true}, "channel": {"namespaces": [{"name": "chat", "subscription_type": "map"},
            {"name": "polled", "subscription_type": "shared_poll"}]}}"#,
        &[],
        Refused(&[
            "channel.namespaces.chat.subscription_type is not supported as \"map\"",
            "channel.namespaces.polled.subscription_type is not supported as \"shared_poll\"",
            "map and shared-poll channels are not served",
        ]),
    ),
    case(
        "cache.yaml",
        "client: {insecure: true}\nchannel:\n  without_namespace:\n    history_size: 1\n    history_ttl: 1h\n    force_recovery: true\n\
         \u{20}   force_recovery_mode: cache\n    auto_cache_recover: true\n",
        &[],
        Taken(&[("/config/channel/without_namespace/auto_cache_recover", "true")], &[]),
    ),
    case(
        "cache-alone.toml",
        "[channel.without_namespace]\nauto_cache_recover = true\n",
        &[],
        Refused(&["expected force_recovery and force_recovery_mode = \"cache\" with it"]),
    ),
    case(
        "tls-internal.json",
        r#"{"client": {"insecure": true}, "http_server": {"internal_port": "9123", "tls": {"enabled": true, "cert_pem": "a", "key_pem": "hush"}}}"#,
        &[],
        Refused(&["http_server.tls.enabled = true: the control listener is plain"]),
    ),
    case(
        "tls-halves.yaml",
        "client: {insecure: true}\nhttp_server:\n  tls:\n    enabled: true\n    cert_pem: /a.pem\n",
        &[],
        Refused(&["http_server.tls.key_pem"]),
    ),
    case(
        "autocert.toml",
        "[client]\ninsecure = true\n[http_server.tls_autocert]\nenabled = true\n",
        &[],
        Refused(&["http_server.tls_autocert is not supported: certificates are obtained by an ACME client"]),
    ),
    case(
        "idle-hook.toml",
        "[client]\ninsecure = true\n[client.proxy.connect]\nendpoint = \"http://localhost/connect\"\n[channel.without_namespace]\n\
         allow_presence_for_client = true\n",
        &[],
        Taken(
            &[("/config/client/proxy/connect/endpoint", "\"http://localhost/connect\"")],
            &[
                "client.proxy.connect.endpoint has no effect without",
                "allow_presence_for_client has no effect without presence",
            ],
        ),
    ),
    case(
        "misspelt.yaml",
        "client:\n  allowed_origin: [hush]\nhttp_api:\n  keys: hush\n",
        &[],
        Refused(&["is client.allowed_origins meant?", "is http_api.key meant?"]),
    ),
    case(
        "fatal.json",
        r#"{"client": {"insecure": true}, "log": {"level": "fatal"}, "pid_file": "/nowhere/x"}"#,
        &[],
        Taken(&[("/config/log_level", "\"error\""), ("/config/pid_file", "\"/nowhere/x\"")], &[]),
    ),
    case(
        "",
        "",
        &[
            ("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", "a secret of variables"),
            ("CENTRIFUGO_ADMIN_ENABLED", "true"),
        ],
        Taken(&[("/config/client/token/hmac_secret_key", "\"a secret of variables\"")], &["admin"]),
    ),
    case(
        "both.yaml",
        "http_api:\n  key: from the file\nclient:\n  channel_limit: 5\n",
        &[("CENTRIFUGO_HTTP_API_KEY", "from a variable"), ("CENTRIFUGO_SHUTDOWN_TIMEOUT", "3s")],
        Taken(
            &[
                ("/config/http_api/key/0", "\"from a variable\""),
                ("/config/channels_per_connection_max", "5"),
                ("/config/drain_ms", "3000"),
            ],
            &[],
        ),
    ),
    case(
        "old-variable.json",
        r#"{"client": {"insecure": true}}"#,
        &[("CENTRIFUGO_TOKEN_HMAC_SECRET_KEY", "hush")],
        Refused(&["CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY"]),
    ),
];

fn throng(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    for (name, _) in env::vars_os() {
        if ["THRONG_", "CENTRIFUGO_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let output = command.args(args).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_configuration_does_what_it_says_or_is_refused_in_one_pass() {
    let folder = Folder::new();
    for Case { name, file, variables, then } in CASES {
        let path = if name.is_empty() { String::new() } else { folder.put(name, file) };
        let file: &[&str] = if name.is_empty() { &[] } else { &["--config", &path] };
        let (code, _, said) = throng(&[&["config", "--check"], file].concat(), variables);
        // A secret, or a possible one under a wrong name, is never printed.
        assert!(!said.contains("hush"), "{name}: {said}");
        match then {
            Refused(wanted) => {
                assert_eq!(code, 2, "{name}: {said}");
                for wanted in *wanted {
                    assert!(said.contains(wanted), "{name}: {wanted} in {said}");
                }
                let (code, printed, again) = throng(&[&["serve"], file].concat(), variables);
                assert!(code == 2 && printed.is_empty() && again.contains(wanted[0]), "{name}: {again}");
            }
            Taken(values, warnings) => {
                assert_eq!(code, 0, "{name}: {said}");
                for warning in *warnings {
                    assert!(said.contains(warning), "{name}: {warning} in {said}");
                }
                let (_, printed, _) =
                    throng(&[&["config", "--json", "--show-secrets"], file].concat(), variables);
                let printed: Value = serde_json::from_str(&printed).unwrap();
                for (pointer, wanted) in *values {
                    let value = printed.pointer(pointer).map(Value::to_string);
                    assert_eq!(value.as_deref(), Some(*wanted), "{name}: {pointer}");
                }
            }
        }
    }
    assert!(CASES.len() >= 20);
}
