//! Whole configurations as users of Centrifugo have them.

use super::*;
use serde_json::{Value, json};

/// Every key of Centrifugo 6, each with its default, as programs write it: empty lists are now and then null.
const DEFAULTS: &str = include_str!("defaults.json");
/// A chat in production, behind a proxy that speaks TLS.
const PRODUCTION: &str = include_str!("production.json");

fn json(text: &str) -> Config {
    load("json", text, &[]).unwrap_or_else(|errors| panic!("{errors:#?}")).config
}

#[test]
fn every_default_of_centrifugo_says_what_holds_anyway() {
    // There is one default of our own.
    assert_eq!(json(DEFAULTS), toml("compression_min_bytes = 0\n[client]").unwrap().config);
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
        Serves::Page(_) => false,
    };
    let expected: Vec<_> = Endpoint::beside_websocket().into_iter().filter(is_expected).collect();
    assert_eq!(config.endpoints, expected);
}

/// What it would be missed for is refused by name, with what to do instead.
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
            "grpc_api is not supported: the server API is HTTP, on the control listener",
        ),
        (
            "/consumers/0/enabled",
            json!(true),
            "consumers is not supported: let your application read the queue",
        ),
        (
            "/http_server/tls/enabled",
            json!(true),
            "http_server.tls is not supported: tls_cert and tls_key name the",
        ),
        ("/admin/enabled", json!(true), "admin is not supported: there are no pages for it"),
        (
            "/shutdown/timeout",
            json!("5s"),
            "shutdown.timeout is not supported as \"5s\", only as \"30s\": see drain_ms",
        ),
    ] {
        let error = with(pointer, value);
        assert!(error.contains(wanted), "{error}");
    }
}
