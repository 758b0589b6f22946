//! Keys of Centrifugo that are no keys of ours: those that mean one of our flat keys, and those that are not supported.
//!
//! A path may begin with `<token>`, `<hook>` or `<channel>`, which stand for every table of that kind.

use super::super::slot::Raw;
use super::super::value::Value;
use super::{Kind, TABLES};

/// A key that means the same as one of our flat keys.
pub struct Alias {
    /// As in the file.
    pub path: &'static str,
    /// The flat key's name.
    pub flat: &'static str,
    /// How its value is written.
    pub unit: Unit,
}

/// How Centrifugo writes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As we do.
    Same,
    /// A duration, where we have milliseconds.
    Duration,
    /// A duration; what is negative is off.
    DurationOrOff,
    /// A log level, with its own word for none.
    Level,
    /// True where we have `off`; false says nothing.
    Disabled,
    /// An address or a port; the two together are a listener.
    Listener,
}

/// A key that is refused unless its value says what we do anyway.
pub struct Unsupported {
    /// As in the file; for a table, the whole of it.
    pub path: &'static str,
    /// Values that are taken, as they are told, because they change nothing; that something is off is always taken.
    pub taken: &'static [&'static str],
    /// What to do in place of it; empty when there is nothing to say.
    pub instead: &'static str,
}

const fn alias(path: &'static str, flat: &'static str, unit: Unit) -> Alias {
    Alias { path, flat, unit }
}

/// Every key that means one of ours.
pub static ALIASES: &[Alias] = &[
    alias("http_server.address", "listen", Unit::Listener),
    alias("http_server.port", "listen", Unit::Listener),
    alias("http_server.internal_address", "control", Unit::Listener),
    alias("http_server.internal_port", "control", Unit::Listener),
    alias("log.level", "log_level", Unit::Level),
    alias("websocket.disabled", "websocket_path", Unit::Disabled),
    alias("websocket.handler_prefix", "websocket_path", Unit::Same),
    alias("websocket.message_size_limit", "message_bytes_max", Unit::Same),
    alias("websocket.compression", "compression", Unit::Same),
    alias("websocket.compression_min_size", "compression_min_bytes", Unit::Same),
    alias("websocket.compression_level", "compression_level", Unit::Same),
    alias("client.ping_interval", "ping_interval_ms", Unit::DurationOrOff),
    alias("client.pong_timeout", "pong_timeout_ms", Unit::Duration),
    alias("client.stale_close_delay", "connect_ms", Unit::Duration),
    alias("client.queue_max_size", "outbox_bytes_max", Unit::Same),
    alias("client.channel_limit", "channels_per_connection_max", Unit::Same),
    alias("client.connection_limit", "connections_max", Unit::Same),
    alias("client.connection_rate_limit", "rates.connects_max", Unit::Same),
    alias("channel.max_length", "channel_name_bytes_max", Unit::Same),
];

const fn no(path: &'static str, instead: &'static str) -> Unsupported {
    Unsupported { path, taken: &[], instead }
}

const fn only(path: &'static str, taken: &'static [&'static str], instead: &'static str) -> Unsupported {
    Unsupported { path, taken, instead }
}

const MEMORY: &[&str] = &["\"memory\""];
const YES: &[&str] = &["true"];
const DEFAULT_HOOK: &[&str] = &["\"default\""];
const BODY: &str = "message_bytes_max holds for it";
const ONE_PRESS: &str = "compression holds for it";
const ONE_NODE: &str = "throng is one process, and keeps everything in memory";

/// Every key that is not supported.
pub static UNSUPPORTED: &[Unsupported] = &[
    no("http_server.tls", "tls_cert and tls_key name the files"),
    no("http_server.tls_autocert", "files that tls_cert names are read anew when an ACME client renews them"),
    no("http_server.tls_external", "tls_cert and tls_key are for the data plane alone"),
    no("http_server.internal_tls", "the control listener is plain; let a proxy in front of it speak TLS"),
    no("http_server.http3", ""),
    no("http_server.h2c_external", ""),
    no("log.file", "logs go to stderr"),
    only("engine.type", MEMORY, ONE_NODE),
    no("engine.redis", ONE_NODE),
    no("broker.enabled", ONE_NODE),
    only("broker.type", MEMORY, ONE_NODE),
    no("broker.redis", ONE_NODE),
    no("broker.nats", ONE_NODE),
    no("presence_manager.enabled", ONE_NODE),
    only("presence_manager.type", MEMORY, ONE_NODE),
    no("presence_manager.redis", ONE_NODE),
    only("map_broker.type", MEMORY, ""),
    no("map_broker.redis", ""),
    no("map_broker.postgres", ""),
    no("websocket.decompressed_message_size_limit", BODY),
    no("websocket.read_buffer_size", "connections share one buffer per shard"),
    no("websocket.write_buffer_size", "connections share what is written"),
    only("websocket.use_write_buffer_pool", YES, ""),
    no("websocket.write_timeout", "outbox_bytes_max decides who is slow"),
    no("sse.max_request_body_size", BODY),
    no("http_stream.max_request_body_size", BODY),
    no("emulation.max_request_body_size", BODY),
    no("uni_sse.max_request_body_size", BODY),
    no("uni_http_stream.max_request_body_size", BODY),
    no("uni_sse.connect_code_to_http_response", ""),
    no("uni_http_stream.connect_code_to_http_response", ""),
    no("uni_websocket.message_size_limit", BODY),
    no("uni_websocket.compression", ONE_PRESS),
    no("uni_websocket.compression_min_size", ONE_PRESS),
    only("uni_websocket.compression_level", &["1"], ONE_PRESS),
    no("uni_websocket.decompressed_message_size_limit", BODY),
    no("uni_websocket.read_buffer_size", ""),
    no("uni_websocket.write_buffer_size", ""),
    only("uni_websocket.use_write_buffer_pool", YES, ""),
    no("uni_websocket.write_timeout", "outbox_bytes_max decides who is slow"),
    no("uni_websocket.disable_closing_handshake", ""),
    no("uni_websocket.disable_disconnect_push", ""),
    no("uni_websocket.join_push_messages", ""),
    no("client.presence_update_interval", "presence needs no updates in one process"),
    only("client.concurrency", &["1"], "commands of a connection are handled in their order"),
    no("client.channel_position_check_delay", "positions cannot diverge in one process"),
    no("client.channel_position_max_time_lag", "positions cannot diverge in one process"),
    no("client.connect_include_server_time", ""),
    no("client.insecure_skip_token_signature_verify", "in development, client.insecure needs no tokens"),
    no("client.user_id_http_header", "client.proxy.connect.http_headers can tell a hook"),
    no("client.connect_code_to_unidirectional_disconnect", ""),
    no("client.rate_limit", "see the section rates"),
    no("<token>.hmac_previous_secret_key", ""),
    no("<token>.hmac_previous_secret_key_valid_until", ""),
    no("<token>.audience_regex", ""),
    no("<token>.issuer_regex", ""),
    no("<token>.insecure_skip_jwks_endpoint_safety_check", ""),
    no("<hook>.grpc", "hooks are asked by HTTP"),
    no("<hook>.grpc_metadata", "hooks are asked by HTTP"),
    no("<hook>.emulated_headers", ""),
    no("<hook>.http.tls", ""),
    no("<hook>.http.status_to_code_transforms", ""),
    no("channel.proxy.subscribe_stream", ""),
    no("channel.proxy.map_publish", ""),
    no("channel.proxy.map_remove", ""),
    no("channel.proxy.shared_poll_refresh", ""),
    no("channel.publication_data_format", ""),
    only("<channel>.subscribe_proxy_name", DEFAULT_HOOK, "channel.proxy.subscribe is the only one"),
    only("<channel>.publish_proxy_name", DEFAULT_HOOK, "channel.proxy.publish is the only one"),
    only("<channel>.sub_refresh_proxy_name", DEFAULT_HOOK, "channel.proxy.sub_refresh is the only one"),
    no("<channel>.subscribe_stream_proxy_enabled", ""),
    only("<channel>.subscribe_stream_proxy_name", DEFAULT_HOOK, ""),
    no("<channel>.subscribe_stream_proxy_bidirectional", ""),
    no("<channel>.auto_cache_recovery", ""),
    no("<channel>.publication_data_format", ""),
    only("<channel>.subscription_type", &["\"stream\""], ""),
    no("<channel>.map", ""),
    no("<channel>.shared_poll", ""),
    no("<channel>.map_clients_presence_channel_prefix", ""),
    no("<channel>.map_users_presence_channel_prefix", ""),
    no("<channel>.keep_latest_publication", ""),
    no("<channel>.shared_position_sync", "positions cannot diverge in one process"),
    only("rpc.without_namespace.proxy_name", DEFAULT_HOOK, "rpc.proxy is the only one"),
    no("rpc.namespaces", "rpc.proxy is asked for every method"),
    only("rpc.namespace_boundary", &["\":\""], ""),
    no("rpc.ping", ""),
    only("http_api.handler_prefix", &["\"/api\""], ""),
    no("http_api.external", "the server API is on the control listener"),
    only("prometheus.enabled", YES, "metrics are always at /metrics of the control listener"),
    only("prometheus.handler_prefix", &["\"/metrics\""], ""),
    no("prometheus.instrument_http_handlers", ""),
    only("health.enabled", YES, "it is always at /health of the control listener"),
    only("health.handler_prefix", &["\"/health\""], ""),
    only("usage_stats.disabled", YES, "nothing is ever sent"),
    no("shutdown.timeout", "see drain_ms and linger_ms"),
    no("node.name", ""),
    no("node.info_metrics_aggregate_interval", ""),
    no("admin", ""),
    no("swagger", ""),
    no("debug", ""),
    no("dev", "first_page is one"),
    no("init", ""),
    no("proxies", "there is one hook of each kind"),
    no("consumers", ""),
    no("grpc_api", ""),
    no("uni_grpc", ""),
    no("webtransport", ""),
    no("opentelemetry", ""),
    no("graphite", ""),
    no("shared_poll", ""),
    no("pid_file", ""),
    no("enable_unreleased_features", ""),
];

impl Alias {
    pub(in super::super) fn find(path: &str) -> Option<&'static Self> {
        ALIASES.iter().find(|alias| alias.path == path)
    }
}

impl Unsupported {
    pub(in super::super) fn find(path: &str) -> Option<&'static Self> {
        let of_kind = generic(path);
        UNSUPPORTED.iter().find(|key| key.path == path || Some(key.path) == of_kind.as_deref())
    }

    /// Whether keys of this table stand in the list.
    pub(in super::super) fn has_table(path: &str) -> bool {
        let inside = |key: &Self| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        UNSUPPORTED.iter().any(inside)
    }

    /// Whether the value changes nothing here.
    pub(in super::super) fn takes(&self, value: &Value) -> bool {
        value.is_off() || self.taken.contains(&value.to_string().as_str())
    }
}

impl Unit {
    /// The value as our key takes it; `None` when it says nothing; an error tells what is expected.
    pub(in super::super) fn convert(self, value: &Value) -> Result<Option<Raw>, &'static str> {
        const DURATION: &str = "expected a duration, such as \"30s\" or \"500ms\"";
        let raw = Raw::Value(value.clone());
        let as_ms = || {
            let ms = raw.duration_ms().and_then(|ms| i64::try_from(ms).ok());
            ms.map(|ms| Some(Raw::Value(Value::Integer(ms)))).ok_or(DURATION)
        };
        match self {
            Self::Same | Self::Listener => Ok(Some(raw)),
            Self::Duration => as_ms(),
            Self::DurationOrOff if is_negative(value) => Ok(Some(Raw::Value(Value::Integer(0)))),
            Self::DurationOrOff => as_ms(),
            Self::Level if value.text() == Some("none") => {
                Ok(Some(Raw::Value(Value::Text("off".to_owned()))))
            }
            Self::Level => Ok(Some(raw)),
            Self::Disabled => match value {
                Value::Switch(true) => Ok(Some(Raw::Value(Value::Text("off".to_owned())))),
                Value::Switch(false) => Ok(None),
                Value::Null
                | Value::Integer(_)
                | Value::Fraction(_)
                | Value::Text(_)
                | Value::Date(_)
                | Value::List(_)
                | Value::Table(_) => Err("expected true or false"),
            },
        }
    }
}

fn is_negative(value: &Value) -> bool {
    value.integer().is_some_and(|number| number < 0) || value.text().is_some_and(|text| text.starts_with('-'))
}

/// The path with the kind of its table in place of the table.
fn generic(path: &str) -> Option<String> {
    let (table, rest) =
        TABLES.iter().find_map(|table| Some((table, path.strip_prefix(table.path)?.strip_prefix('.')?)))?;
    let kind = match table.kind {
        Kind::Token(_) => "<token>",
        Kind::Hook(_) => "<hook>",
        Kind::Channel => "<channel>",
    };
    Some(format!("{kind}.{rest}"))
}
