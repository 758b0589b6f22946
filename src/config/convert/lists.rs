//! Names in files of Centrifugo 3 to 5 that only a conversion needs; `older::names` has all others.

/// Keys of a named hook, each with its current name.
pub(super) const OF_NAMED_HOOK: &[(&str, &str)] = &[
    ("static_http_headers", "http.static_headers"),
    ("http_status_to_code_transforms", "http.status_to_code_transforms"),
    ("grpc_tls", "grpc.tls"),
    ("grpc_compression", "grpc.compression"),
    ("grpc_credentials_key", "grpc.credentials_key"),
    ("grpc_credentials_value", "grpc.credentials_value"),
];

/// Hooks with a path of their own; the last word names their events.
pub(super) const HOOKS: &[&str] = &[
    "client.proxy.connect",
    "client.proxy.refresh",
    "rpc.proxy",
    "channel.proxy.subscribe",
    "channel.proxy.publish",
    "channel.proxy.sub_refresh",
    "channel.proxy.subscribe_stream",
];

/// Channel options up to version 3, whose defaults gave permissions that must be given explicitly today.
pub(super) const OF_VERSION_3: &[&str] = &[
    "publish",
    "subscribe_to_publish",
    "anonymous",
    "protected",
    "server_side",
    "recover",
    "history_recover",
    "position",
    "presence_disable_for_client",
    "history_disable_for_client",
];

/// Keys at the top up to version 3 that later versions ignored, and that let clients in.
pub(super) const OF_VERSION_3_AT_TOP: &[&str] = &["client_anonymous", "secret"];
