//! Whole configurations as users of Centrifugo have them.

use super::*;
use serde_json::{Value, json};

/// All keys of Centrifugo with their defaults: the output of `centrifugo defaultconfig`, version 6.9.1.
const DEFAULTS: &str = include_str!("defaults.json");
/// The same defaults in TOML.
const DEFAULTS_TOML: &str = include_str!("defaults.toml");
const DEFAULTS_YAML: &str = include_str!("defaults.yaml");
/// A chat in production, behind a proxy that terminates TLS.
const PRODUCTION: &str = include_str!("production.json");

fn json(text: &str) -> Config {
    load("json", text, &[]).unwrap_or_else(|errors| panic!("{errors:#?}")).config
}

#[test]
fn every_default_of_centrifugo_says_what_holds_anyway() {
    // Two defaults of throng differ.
    let ours = toml("compression_min_bytes = 0\n[shutdown]\ntimeout = \"30s\"\n[client]").unwrap().config;
    for (ending, text) in [("json", DEFAULTS), ("toml", DEFAULTS_TOML), ("yaml", DEFAULTS_YAML)] {
        let effective = load(ending, text, &[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(effective.config, ours, "{ending}");
        assert_eq!(effective.warnings(), [], "{ending}");
    }
}

/// The paths of all keys in a value; keys of namespaces appear as those of channels without one.
fn paths(prefix: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (name, inner) in table {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                paths(&path, inner, found);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => found.push(prefix.to_owned()),
    }
}

#[test]
fn every_key_of_centrifugo_has_its_class() {
    let mut all = Vec::new();
    paths("", &serde_json::from_str(DEFAULTS).unwrap(), &mut all);
    assert!(all.len() > 700, "{}", all.len());
    let unknown: Vec<_> = all.iter().filter(|path| class_of(path).is_none()).collect();
    assert_eq!(unknown, [""; 0], "keys of Centrifugo without a class");
    // And no key outside that version has a class: the list is not longer than the program's.
    let is_known = |key: &&Unsupported| {
        let places = |kind: &str| match kind {
            "<token>" => "client.token",
            "<hook>" => "client.proxy.connect",
            _ => "channel.without_namespace",
        };
        let path = match key.path.split_once('.') {
            Some((kind, rest)) if kind.starts_with('<') => format!("{}.{rest}", places(kind)),
            _ => key.path.to_owned(),
        };
        // A hook name that only Centrifugo PRO has, and that is supported here; a section that only its variables
        // show.
        ["<channel>.state_proxy_name", "broker.redisnats"].contains(&key.path)
            || all.iter().any(|known| *known == path || known.starts_with(&format!("{path}.")))
    };
    let invented: Vec<_> = UNSUPPORTED.iter().filter(|key| !is_known(key)).map(|key| key.path).collect();
    assert_eq!(invented, [""; 0], "keys that no version has");
    let invented: Vec<_> = ALIASES
        .iter()
        .map(|alias| alias.path)
        .filter(|path| !all.iter().any(|known| known == path))
        .collect();
    assert_eq!(invented, [""; 0], "aliases that no version has");
}

#[test]
fn classes_are_what_they_say() {
    for (path, class) in [
        ("admin.enabled", Some(Class::Warned)),
        ("admin", Some(Class::Warned)),
        ("websocket.write_timeout", Some(Class::Warned)),
        ("engine.type", Some(Class::Refused)),
        ("engine.redis.address", Some(Class::Served)),
        ("client.token.hmac_secret_key", Some(Class::Served)),
        ("client.ping_interval", Some(Class::Served)),
        ("channel.namespaces", Some(Class::Served)),
        ("channel.without_namespace.subscription_type", Some(Class::Refused)),
        ("client.insecur", None),
        ("client", None),
        ("zebra", None),
    ] {
        assert_eq!(class_of(path), class, "{path}");
    }
}

#[test]
fn what_is_configured_and_has_no_effect_is_told() {
    let text = "[client.proxy.connect]\nendpoint = 'http://a'\n[client.subscription_token]\nhmac_secret_key = 'x'\n\
                [channel.proxy.publish]\nendpoint = 'http://b'\n[rpc.proxy]\nendpoint = 'http://c'\n\
                [channel.without_namespace]\nallow_history_for_client = true\nforce_push_join_leave = true\n\
                [[channel.namespaces]]\nname = 'chat'\nallow_presence_for_subscriber = true\n\
                force_recovery_mode = 'cache'\n[[channel.namespaces]]\nname = 'whole'\npresence = true\n\
                allow_presence_for_subscriber = true\nhistory_size = 1\nhistory_ttl = '1m'\n\
                allow_history_for_client = true\n";
    let effective = toml(text).unwrap();
    let said: Vec<_> = effective.warnings().iter().map(|w| format!("{} {}", w.key, w.text)).collect();
    assert_eq!(
        said,
        [
            "client.proxy.connect.endpoint has no effect without client.proxy.connect.enabled = true",
            "rpc.proxy.endpoint has no effect without rpc.without_namespace.proxy_enabled = true",
            "channel.proxy.publish.endpoint has no effect without publish_proxy_enabled = true in \
             channel.without_namespace or a namespace",
            "client.subscription_token has no effect without client.subscription_token.enabled = true",
            "channel.without_namespace.force_push_join_leave has no effect without join_leave",
            "channel.without_namespace.allow_history_for_client has no effect without history_size and history_ttl",
            "channel.namespaces.chat.force_recovery_mode has no effect without force_recovery or allow_recovery",
            "channel.namespaces.chat.allow_presence_for_subscriber has no effect without presence",
        ]
    );
    let asked = "[client.proxy.connect]\nenabled = true\nendpoint = 'http://a'";
    assert_eq!(toml(asked).unwrap().warnings(), []);
}

/// The author expects that the hook's certificate is checked with these.
#[test]
fn tls_options_of_hooks_that_are_off_are_told() {
    for hook in ["client.proxy.connect", "channel.proxy.state", "rpc.proxy", "proxies.own"] {
        for (option, value) in [
            ("server_ca_pem", "'/nowhere/ca.pem'"),
            ("cert_pem", "'/nowhere/cert.pem'"),
            ("key_pem", "'/nowhere/key.pem'"),
            ("server_name", "'a'"),
            ("insecure_skip_verify", "true"),
        ] {
            let text = match hook.strip_prefix("proxies.") {
                Some(name) => {
                    format!(
                        "[[proxies]]\nname = '{name}'\nendpoint = 'http://a'\n[proxies.http.tls]\n{option} = {value}\n"
                    )
                }
                None => format!("[{hook}.http.tls]\n{option} = {value}\n"),
            };
            let wanted = format!("{hook}.http.tls.{option} has no effect without http.tls.enabled = true");
            let effective = toml(&text).unwrap();
            let said: Vec<_> = effective.warnings().iter().map(|w| format!("{} {}", w.key, w.text)).collect();
            assert!(said.contains(&wanted), "{said:?}, not {wanted}");
        }
    }
}

#[test]
fn a_chat_in_production_becomes_what_it_says() {
    let config = json(PRODUCTION);
    assert_eq!(config.listen, ["0.0.0.0:8000".parse().unwrap()]);
    assert_eq!(config.control, Some("10.0.0.5:9000".parse().unwrap()));
    assert!(
        config.tls.cert.is_empty() && !config.client.insecure && config.client.connect_include_server_time
    );
    assert_eq!((config.limits.message_bytes_max, config.limits.outbox_bytes_max), (131_072, 4 << 20));
    assert_eq!((config.api.node_name.as_str(), config.api.keys.len()), ("chat-eu-1", 1));
    let token = &config.outside.token;
    assert_eq!(token.hmac_previous_secret_key, "the secret before it");
    assert_eq!(token.hmac_previous_secret_key_valid_until_s, 1_799_000_000);
    assert_eq!(
        (token.audience_regex.as_str(), token.issuer.as_str()),
        ("^(web|mobile)$", "https://login.example.com")
    );
    assert_eq!(config.outside.connect.as_ref().unwrap().timeout_ms, 3000);
    assert_eq!(config.outside.refresh, None);
    assert_eq!(config.outside.publish.as_ref().unwrap().timeout_ms, 500);
    let names: Vec<_> =
        ["room", "ticker", "user"].map(|name| config.namespaces.named.contains_key(name)).into();
    assert_eq!((names, config.namespaces.named.len()), (vec![true; 3], 3));
    let is_expected = |one: &Endpoint| match one.serves {
        Serves::Centrifuge(transport) => transport.is_emulated(),
        Serves::Emulation => true,
        Serves::Page(_) | Serves::Init | Serves::SocketIo | Serves::EngineIo => false,
    };
    let expected: Vec<_> = Endpoint::beside_websocket().into_iter().filter(is_expected).collect();
    assert_eq!(config.endpoints, expected);
}

/// Features that production would miss are refused by name, with a hint.
#[test]
fn what_production_needs_and_does_not_get_is_told() {
    let with = |pointer: &str, value: Value| {
        let mut changed: Value = serde_json::from_str(PRODUCTION).unwrap();
        *changed.pointer_mut(pointer).unwrap() = value;
        let errors = load("json", &changed.to_string(), &[]).unwrap_err();
        let [error] = &errors[..] else { panic!("{errors:#?}") };
        error.clone()
    };
    for (pointer, value, wanted) in [
        (
            "/engine/type",
            json!("redis"),
            "engine.type is not supported as \"redis\", only as \"memory\": throng is one",
        ),
        (
            "/grpc_api/enabled",
            json!(true),
            "grpc_api is not supported: the server API is not served over gRPC; call it over HTTP",
        ),
        (
            "/consumers/0/enabled",
            json!(true),
            "consumers is not supported: let your application read the queue",
        ),
        (
            "/http_server/tls/enabled",
            json!(true),
            "http_server.tls.enabled = true: the control listener is plain: set http_server.tls_external = true",
        ),
        (
            "/shutdown/timeout",
            json!("2h"),
            "shutdown.timeout = \"2h\": expected milliseconds, a whole number from 0 to 3600000",
        ),
    ] {
        let error = with(pointer, value);
        assert!(error.contains(wanted), "{error}");
    }
}
