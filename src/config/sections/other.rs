//! Keys of Centrifugo that are no keys of ours: those that mean one of our flat keys, and those that are not supported.
//!
//! A path may begin with `<token>`, `<hook>` or `<channel>`, which stand for every table of that kind.

use super::super::slot::{Raw, duration_ms};
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

/// A key that is refused unless its value changes nothing.
pub struct Unsupported {
    /// As in the file; for a table, the whole of it.
    pub path: &'static str,
    /// Which values change nothing.
    pub taken: Taken,
    /// What to do in place of it, or why it changes nothing; empty when there is nothing to say.
    pub instead: &'static str,
}

/// Values that change nothing here. That something is off is always taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// No others.
    Off,
    /// These, as they are told: Centrifugo's default, or what we do anyway. A duration may be written otherwise.
    Values(&'static [&'static str]),
    /// A section, or a list of sections, whose `enabled` is not true, whatever else is in it.
    Disabled,
    /// All: it counts only together with another key, which is refused itself, or is about how work is done and not what.
    Anything,
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
    Unsupported { path, taken: Taken::Off, instead }
}

const fn only(path: &'static str, taken: &'static [&'static str], instead: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Values(taken), instead }
}

/// A section with a key `enabled`.
const fn section(path: &'static str, instead: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Disabled, instead }
}

const fn moot(path: &'static str, why: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Anything, instead: why }
}

const MEMORY: &[&str] = &["\"memory\""];
const YES: &[&str] = &["true"];
const DEFAULT_HOOK: &[&str] = &["\"default\""];
const BODY_MAX: &[&str] = &["65536"];
const SECOND: &[&str] = &["\"1s\""];
const BODY: &str = "message_bytes_max holds for it";
const ONE_PRESS: &str = "compression holds for it";
const ONE_NODE: &str = "throng is one process, and keeps everything in memory";
const OF_ENGINE: &str = "counts only with engine.type";
const OF_BROKER: &str = "counts only with broker.type";
const OF_PRESENCE: &str = "counts only with presence_manager.type";
const OF_MAPS: &str = "counts only with map_broker.type";
const OF_TYPE: &str = "counts only with a subscription_type";
const OF_STREAMS: &str = "counts only with subscribe_stream_proxy_enabled";
const SHARED_BUFFERS: &str = "connections of a shard share one buffer";
const SCRAPE: &str = "metrics are at /metrics of the control listener";
const FRONT: &str = "a proxy in front of throng may speak it";
const BY_HTTP: &str = "hooks are asked by HTTP";
const STREAMS: &str = "channels are streams of publications";
const NO_POSITIONS: &str = "positions cannot diverge in one process";

/// Every key that is not supported.
pub static UNSUPPORTED: &[Unsupported] = &[
    section("http_server.tls", "tls_cert and tls_key name the files"),
    section(
        "http_server.tls_autocert",
        "files that tls_cert names are read anew when an ACME client renews them",
    ),
    no("http_server.tls_external", "tls_cert and tls_key are for the data plane alone"),
    section(
        "http_server.internal_tls",
        "the control listener is plain; let a proxy in front of it speak TLS",
    ),
    section("http_server.http3", FRONT),
    no("http_server.h2c_external", FRONT),
    no("log.file", "logs go to stderr"),
    only("engine.type", MEMORY, ONE_NODE),
    moot("engine.redis", OF_ENGINE),
    no("broker.enabled", ONE_NODE),
    only("broker.type", MEMORY, ONE_NODE),
    moot("broker.redis", OF_BROKER),
    moot("broker.nats", OF_BROKER),
    moot("broker.postgres", OF_BROKER),
    moot("broker.redisnats", OF_BROKER),
    no("presence_manager.enabled", ONE_NODE),
    only("presence_manager.type", MEMORY, ONE_NODE),
    moot("presence_manager.redis", OF_PRESENCE),
    only("map_broker.type", MEMORY, STREAMS),
    moot("map_broker.redis", OF_MAPS),
    moot("map_broker.postgres", OF_MAPS),
    section("controller", ONE_NODE),
    no("websocket.decompressed_message_size_limit", BODY),
    moot("websocket.read_buffer_size", SHARED_BUFFERS),
    moot("websocket.write_buffer_size", SHARED_BUFFERS),
    moot("websocket.use_write_buffer_pool", SHARED_BUFFERS),
    only("websocket.write_timeout", SECOND, "outbox_bytes_max decides who is slow"),
    only("sse.max_request_body_size", BODY_MAX, BODY),
    only("http_stream.max_request_body_size", BODY_MAX, BODY),
    only("emulation.max_request_body_size", BODY_MAX, BODY),
    only("uni_sse.max_request_body_size", BODY_MAX, BODY),
    only("uni_http_stream.max_request_body_size", BODY_MAX, BODY),
    section("uni_sse.connect_code_to_http_response", "the code is in what is answered"),
    section("uni_http_stream.connect_code_to_http_response", "the code is in what is answered"),
    only("uni_websocket.message_size_limit", BODY_MAX, BODY),
    no("uni_websocket.compression", ONE_PRESS),
    no("uni_websocket.compression_min_size", ONE_PRESS),
    only("uni_websocket.compression_level", &["1"], ONE_PRESS),
    no("uni_websocket.decompressed_message_size_limit", BODY),
    moot("uni_websocket.read_buffer_size", SHARED_BUFFERS),
    moot("uni_websocket.write_buffer_size", SHARED_BUFFERS),
    moot("uni_websocket.use_write_buffer_pool", SHARED_BUFFERS),
    only("uni_websocket.write_timeout", SECOND, "outbox_bytes_max decides who is slow"),
    no("uni_websocket.disable_closing_handshake", "connections end with a close frame"),
    no("uni_websocket.disable_disconnect_push", "clients may pass the push over"),
    no("uni_websocket.join_push_messages", "each push is a message of its own"),
    moot("client.presence_update_interval", "presence needs no updates in one process"),
    only("client.concurrency", &["1"], "commands of a connection are handled in their order"),
    moot("client.channel_position_check_delay", NO_POSITIONS),
    no("client.channel_position_max_time_lag", NO_POSITIONS),
    no("client.insecure_skip_token_signature_verify", "in development, client.insecure needs no tokens"),
    no("client.user_id_http_header", "client.proxy.connect.http_headers can tell a hook"),
    section("client.connect_code_to_unidirectional_disconnect", "the connect hook can say the code itself"),
    no("client.rate_limit", "see the section rates"),
    no(
        "<token>.insecure_skip_jwks_endpoint_safety_check",
        "jwks_public_endpoint is one URL, in which no part of a token stands",
    ),
    no("<hook>.grpc", BY_HTTP),
    no("<hook>.grpc_metadata", BY_HTTP),
    section("<hook>.http.tls", "the roots are those that browsers trust"),
    no("<hook>.http.status_to_code_transforms", "let the hook say an error or a disconnect in its answer"),
    moot("channel.proxy.subscribe_stream", OF_STREAMS),
    moot("channel.proxy.map_publish", OF_TYPE),
    moot("channel.proxy.map_remove", OF_TYPE),
    moot("channel.proxy.shared_poll_refresh", OF_TYPE),
    no("channel.publication_data_format", "the publish hook can look at what clients send"),
    only("<channel>.subscribe_proxy_name", DEFAULT_HOOK, "channel.proxy.subscribe is the only one"),
    only("<channel>.publish_proxy_name", DEFAULT_HOOK, "channel.proxy.publish is the only one"),
    only("<channel>.sub_refresh_proxy_name", DEFAULT_HOOK, "channel.proxy.sub_refresh is the only one"),
    only("<channel>.state_proxy_name", DEFAULT_HOOK, "channel.proxy.state is the only one"),
    no("<channel>.subscribe_stream_proxy_enabled", "the backend can publish by the server API"),
    moot("<channel>.subscribe_stream_proxy_name", OF_STREAMS),
    moot("<channel>.subscribe_stream_proxy_bidirectional", OF_STREAMS),
    no(
        "<channel>.auto_cache_recovery",
        "force_recovery_mode = \"cache\" is for clients that ask for recovery",
    ),
    no("<channel>.publication_data_format", "the publish hook can look at what clients send"),
    only("<channel>.subscription_type", &["\"stream\""], STREAMS),
    moot("<channel>.map", OF_TYPE),
    moot("<channel>.shared_poll", OF_TYPE),
    no("<channel>.map_clients_presence_channel_prefix", "presence tells who is subscribed"),
    no("<channel>.map_users_presence_channel_prefix", "presence tells who is subscribed"),
    no(
        "<channel>.keep_latest_publication",
        "a history of one, with force_recovery_mode = \"cache\", keeps it",
    ),
    moot("<channel>.shared_position_sync", NO_POSITIONS),
    only("rpc.without_namespace.proxy_name", DEFAULT_HOOK, "rpc.proxy is the only one"),
    no("rpc.namespaces", "rpc.proxy is asked for every method"),
    only("rpc.namespace_boundary", &["\":\""], "rpc.proxy is asked for every method"),
    section("rpc.ping", "rpc.proxy can answer it"),
    only("http_api.handler_prefix", &["\"/api\""], "a proxy in front can serve it elsewhere"),
    no("http_api.external", "the server API is on the control listener"),
    only("prometheus.enabled", YES, "metrics are always at /metrics of the control listener"),
    only("prometheus.handler_prefix", &["\"/metrics\""], SCRAPE),
    no("prometheus.instrument_http_handlers", SCRAPE),
    no("prometheus.recovered_publications_histogram", SCRAPE),
    no("prometheus.native_histograms", SCRAPE),
    only("health.enabled", YES, "it is always at /health of the control listener"),
    only("health.handler_prefix", &["\"/health\""], "it is always at /health of the control listener"),
    only("usage_stats.disabled", YES, "nothing is ever sent"),
    only("shutdown.timeout", &["\"30s\""], "see drain_ms and linger_ms"),
    only("node.info_metrics_aggregate_interval", &["\"60s\""], SCRAPE),
    section("admin", "there are no pages for it; the server API and /metrics tell what goes on"),
    section("swagger", "the control listener has the server API's OpenAPI description"),
    section("debug", "perf can look into the process"),
    section("dev", "first_page is one"),
    section("init", ""),
    no("proxies", "there is one hook of each kind"),
    no("unified_proxy", "each hook has a section of its own"),
    section("consumers", "let your application read the queue and call the server API"),
    section("grpc_api", "the server API is HTTP, on the control listener"),
    section("uni_grpc", "uni_websocket, uni_sse and uni_http_stream are served"),
    section("webtransport", "websocket, sse and http_stream are served"),
    section("opentelemetry", SCRAPE),
    section("graphite", SCRAPE),
    moot("shared_poll", OF_TYPE),
    no("pid_file", "let the service manager know the process"),
    no("enable_unreleased_features", "there are none"),
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
        match self.taken {
            _ if value.is_off() => true,
            Taken::Off => duration(value) == Some(0),
            Taken::Values(values) => {
                duration(value) == Some(0) || values.iter().any(|told| says(value, told))
            }
            Taken::Disabled => value.is_disabled(),
            Taken::Anything => true,
        }
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

/// Milliseconds, when it is a duration with a unit.
fn duration(value: &Value) -> Option<u64> {
    value.text().and_then(duration_ms)
}

/// Whether the value is what is told, durations however they are written.
fn says(value: &Value, told: &str) -> bool {
    value.to_string() == told
        || duration(value).is_some_and(|ms| duration_ms(told.trim_matches('"')) == Some(ms))
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
