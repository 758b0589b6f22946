//! Names that Centrifugo's keys had in versions 3 to 5, when all of them stood at the top of the file.
//!
//! What matters: whoever typed such a name meant something by it, most often who may do what. It is refused with today's
//! name, not passed over. Left out: names that lead to the same variable as today's, `websocket_compression` and many more,
//! which `names` knows.

use super::Key;
use super::names::names;

/// Names and what they are called today; nothing for what is no more.
const NAMES: &[(&str, &str)] = &[
    ("address", "http_server.address"),
    ("port", "http_server.port"),
    ("internal_address", "http_server.internal_address"),
    ("internal_port", "http_server.internal_port"),
    ("tls", "http_server.tls.enabled"),
    ("tls_cert", "http_server.tls.cert_pem"),
    ("tls_key", "http_server.tls.key_pem"),
    ("tls_external", "http_server.tls_external"),
    ("tls_autocert", "http_server.tls_autocert.enabled"),
    ("http3", "http_server.http3.enabled"),
    ("name", "node.name"),
    ("engine", "engine.type"),
    ("broker", "broker.type"),
    ("admin", "admin.enabled"),
    ("debug", "debug.enabled"),
    ("health", "health.enabled"),
    ("prometheus", "prometheus.enabled"),
    ("swagger", "swagger.enabled"),
    ("graphite", "graphite.enabled"),
    ("opentelemetry", "opentelemetry.enabled"),
    ("usage_stats_disable", "usage_stats.disabled"),
    ("grpc_api", "grpc_api.enabled"),
    ("sse", "sse.enabled"),
    ("http_stream", "http_stream.enabled"),
    ("uni_websocket", "uni_websocket.enabled"),
    ("uni_sse", "uni_sse.enabled"),
    ("uni_http_stream", "uni_http_stream.enabled"),
    ("uni_grpc", "uni_grpc.enabled"),
    ("webtransport", "webtransport.enabled"),
    ("websocket_disable", "websocket.disabled"),
    ("api_key", "http_api.key"),
    ("api_insecure", "http_api.insecure"),
    ("api_external", "http_api.external"),
    ("api_handler_prefix", "http_api.handler_prefix"),
    ("api_error_mode", "http_api.error_mode"),
    ("disable_api", "http_api.disabled"),
    ("allowed_origins", "client.allowed_origins"),
    ("secret", "client.token.hmac_secret_key"),
    ("separate_subscription_token_config", "client.subscription_token.enabled"),
    ("anonymous", "client.allow_anonymous_connect_without_token"),
    ("client_anonymous", "client.allow_anonymous_connect_without_token"),
    ("allow_anonymous_connect_without_token", "client.allow_anonymous_connect_without_token"),
    ("disallow_anonymous_connection_tokens", "client.disallow_anonymous_connection_tokens"),
    ("user_subscribe_to_personal", "client.subscribe_to_user_personal_channel.enabled"),
    (
        "user_personal_channel_namespace",
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
    ),
    ("user_personal_single_connection", "client.subscribe_to_user_personal_channel.single_connection"),
    ("namespaces", "channel.namespaces"),
    ("rpc_proxy_name", "rpc.without_namespace.proxy_name"),
    ("global_history_meta_ttl", "channel.history_meta_ttl"),
    ("history_meta_ttl", "channel.history_meta_ttl"),
    ("history_lifetime", "channel.without_namespace.history_ttl"),
    ("history_recover", "channel.without_namespace.force_recovery"),
    ("recover", "channel.without_namespace.force_recovery"),
    ("position", "channel.without_namespace.force_positioning"),
    ("publish", "channel.without_namespace.allow_publish_for_client"),
    ("subscribe_to_publish", "channel.without_namespace.allow_publish_for_subscriber"),
    ("proxy_subscribe", "channel.without_namespace.subscribe_proxy_enabled"),
    ("proxy_publish", "channel.without_namespace.publish_proxy_enabled"),
    ("proxy_sub_refresh", "channel.without_namespace.sub_refresh_proxy_enabled"),
    ("proxy_http_headers", "client.proxy.connect.http_headers"),
    ("proxy_static_http_headers", "client.proxy.connect.http.static_headers"),
    ("proxy_binary_encoding", "client.proxy.connect.binary_encoding"),
    ("proxy_include_connection_meta", "client.proxy.connect.include_connection_meta"),
    ("granular_proxy_mode", ""),
    ("connect_proxy_name", ""),
    ("refresh_proxy_name", ""),
    ("protected", ""),
    ("server_side", ""),
    ("jwks_public_endpoint", "client.token.jwks_public_endpoint"),
];

/// What names began with, and the table that holds these keys today.
const PREFIXES: [(&str, &str); 14] = [
    ("token_", "client.token"),
    ("subscription_token_", "client.subscription_token"),
    ("proxy_connect_", "client.proxy.connect"),
    ("proxy_refresh_", "client.proxy.refresh"),
    ("proxy_rpc_", "rpc.proxy"),
    ("proxy_subscribe_stream_", "channel.proxy.subscribe_stream"),
    ("proxy_subscribe_", "channel.proxy.subscribe"),
    ("proxy_publish_", "channel.proxy.publish"),
    ("proxy_sub_refresh_", "channel.proxy.sub_refresh"),
    ("redis_", "engine.redis"),
    ("nats_", "broker.nats"),
    ("tls_autocert_", "http_server.tls_autocert"),
    ("api_", "http_api"),
    ("", "channel.without_namespace"),
];

/// Today's path of an older name, or an empty one for what is no more; `None` for what was no key.
pub(super) fn today(name: &str) -> Option<String> {
    if let Some((_, path)) = NAMES.iter().find(|(older, _)| *older == name) {
        return Some((*path).to_owned());
    }
    PREFIXES.iter().find_map(|(prefix, table)| {
        let path = format!("{table}.{}", name.strip_prefix(prefix)?);
        names().kind(&path).is_some().then_some(path)
    })
}

/// Whether Centrifugo has, or had in versions 3 to 5, a key at the top of a file. It reads names in any case of letters, and
/// one with dots in it as a path.
pub(super) fn is_of_any(name: &str) -> bool {
    const GONE: [&str; 5] = ["sockjs", "tarantool", "history_disable", "presence_disable", "memory_history"];
    let name = name.to_lowercase();
    let top = name.split('.').next().unwrap_or_default();
    let is_gone = GONE
        .iter()
        .any(|part| top.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    // Our own flat keys are none of Centrifugo's.
    let is_variable = || {
        let path = names().path_of(&top.to_ascii_uppercase(), false);
        path.is_some_and(|path| Key::named(path).is_none())
    };
    is_gone || names().has_section(top) || today(top).is_some() || is_variable()
}

/// Whether a key at the top of a file says that the file is one for Centrifugo 3 to 5. Words that other programs use, too,
/// do not.
pub(super) fn is_telling(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "token_",
        "subscription_token_",
        "proxy_",
        "client_",
        "redis_",
        "user_subscribe_",
        "admin_",
        "channel_",
    ];
    let is_part = PARTS.iter().any(|part| name.starts_with(part));
    let is_known = || today(name).is_some() || names().path_of(&name.to_ascii_uppercase(), false).is_some();
    ["api_key", "allowed_origins", "namespaces"].contains(&name) || is_part && is_known()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_names_lead_to_keys_of_today() {
        for (older, path) in NAMES {
            assert!(path.is_empty() || names().kind(path).is_some(), "{older} leads to {path}");
        }
        for (older, path) in [
            ("token_hmac_secret_key", Some("client.token.hmac_secret_key")),
            ("subscription_token_issuer", Some("client.subscription_token.issuer")),
            ("api_key", Some("http_api.key")),
            ("proxy_connect_endpoint", Some("client.proxy.connect.endpoint")),
            ("proxy_publish", Some("channel.without_namespace.publish_proxy_enabled")),
            ("proxy_publish_timeout", Some("channel.proxy.publish.timeout")),
            ("redis_address", Some("engine.redis.address")),
            ("history_size", Some("channel.without_namespace.history_size")),
            ("granular_proxy_mode", Some("")),
            ("nobody_knows", None),
            ("shards", None),
        ] {
            assert_eq!(today(older).as_deref(), path, "{older}");
        }
    }

    #[test]
    fn keys_of_any_version_are_known_in_any_case() {
        for name in [
            "client",
            "Client",
            "HTTP_API",
            "secret",
            "PORT",
            "log_level",
            "sockjs_url",
            "proxies",
            "client.x",
        ] {
            assert!(is_of_any(name), "{name}");
        }
        for name in ["", "$schema", "compilerOptions", "shards", "sockjson"] {
            assert!(!is_of_any(name), "{name}");
        }
    }

    #[test]
    fn words_of_other_programs_tell_nothing() {
        for name in
            ["token_hmac_secret_key", "api_key", "namespaces", "client_channel_limit", "admin_password"]
        {
            assert!(is_telling(name), "{name}");
        }
        for name in ["port", "name", "address", "debug", "token_x", "proxy_url", "history_size", "redis_url"]
        {
            assert!(!is_telling(name), "{name}");
        }
    }
}
