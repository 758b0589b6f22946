//! Flags of Centrifugo 3 to 5 that version 6 no longer has. Most are equivalent to a current key and are accepted;
//! the others are refused with a hint.

use super::names::{MOVED, second};

/// Accepted flags without dashes; the list of names has their current keys.
const SERVED: [&str; 24] = [
    "address",
    "admin",
    "admin_external",
    "admin_insecure",
    "api_external",
    "api_insecure",
    "client_insecure",
    "debug",
    "engine",
    "grpc_api",
    "health",
    "http_stream",
    "internal_address",
    "internal_port",
    "log_file",
    "name",
    "port",
    "prometheus",
    "sse",
    "swagger",
    "uni_grpc",
    "uni_http_stream",
    "uni_sse",
    "uni_websocket",
];

/// Refused flags: TLS needs more than one key, and the others concern features that do not exist.
const REFUSED: [&str; 14] = [
    "broker",
    "grpc_api_port",
    "grpc_api_tls",
    "grpc_api_tls_cert",
    "grpc_api_tls_disable",
    "grpc_api_tls_key",
    "nats_url",
    "redis_address",
    "sockjs",
    "tarantool_address",
    "tarantool_mode",
    "tls",
    "tls_external",
    "uni_grpc_port",
];

/// Refused short flags, each with its long name.
#[cfg(feature = "cli")]
pub(in super::super) const SHORT: [(&str, &str); 2] = [("-e", "engine"), ("-n", "name")];

/// Whether a flag of an older version has this name, and none of throng.
pub(in super::super) fn is_flag(name: &str) -> bool {
    served(name).is_some() || REFUSED.contains(&name)
}

/// The current key for a flag of an older version.
pub(in super::super) fn served(name: &str) -> Option<&'static str> {
    SERVED.contains(&name).then(|| second(MOVED, name)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::super::KEYS;
    use super::super::super::error::flag_name;
    use super::super::super::names::names;
    use super::super::path_today;
    use super::*;

    #[test]
    fn each_flag_leads_to_a_key_or_says_that_there_is_none() {
        for name in SERVED {
            assert!(served(name).is_some_and(|path| names().kind(path).is_some()), "{name}");
        }
        for name in REFUSED {
            assert!(path_today(name).is_some(), "{name}");
        }
        for name in SERVED.into_iter().chain(REFUSED) {
            let is_ours = KEYS.iter().any(|key| flag_name(key.name) == name) || names().kind(name).is_some();
            assert!(!is_ours, "{name} is a flag of ours");
        }
    }
}
