//! Keys of Centrifugo that throng does not have, and their treatment: the class.
//!
//! A key that affects permissions, delivery or storage is refused; a key for comfort or tuning causes a warning that
//! describes the effect. A path may begin with `<token>`, `<hook>` or `<channel>`, which stand for every table of
//! that kind.

use super::super::slot::duration_ms;
use super::super::value::Value;
use super::{Alias, Kind, List, TABLES, Target};

/// The treatment of a key of Centrifugo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The key works, or needs no support.
    Served,
    /// The key has no effect, which a warning at start says: comfort or tuning.
    Warned,
    /// The key prevents the start: without it clients could do more, or less is delivered or stored.
    Refused,
}

/// A key without effect here; its class is the treatment of values that would matter.
pub struct Unsupported {
    /// The path as in the file; for a table, the whole table.
    pub path: &'static str,
    /// Values that are accepted.
    pub taken: Taken,
    /// The treatment of any other value.
    pub class: Class,
    /// A hint, the effect, or the reason why there is none; may be empty.
    pub instead: &'static str,
}

/// Values that are accepted without a message. "Off" is always accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// No other values.
    Off,
    /// These values: Centrifugo's default, or the fixed behaviour here. Durations may be written differently.
    Values(&'static [&'static str]),
    /// A section, or a list of sections, whose `enabled` is not true, with any other keys.
    Disabled,
    /// All values: the key matters only together with another key, which is refused, or concerns performance only.
    Anything,
}

const fn no(path: &'static str, instead: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Off, class: Class::Refused, instead }
}

const fn only(path: &'static str, taken: &'static [&'static str], instead: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Values(taken), class: Class::Refused, instead }
}

/// A section with a key `enabled`.
const fn section(path: &'static str, instead: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Disabled, class: Class::Refused, instead }
}

const fn moot(path: &'static str, why: &'static str) -> Unsupported {
    Unsupported { path, taken: Taken::Anything, class: Class::Served, instead: why }
}

const MEMORY: &[&str] = &["\"memory\""];
const YES: &[&str] = &["true"];
const DEFAULT_HOOK: &[&str] = &["\"default\""];
const BODY_MAX: &[&str] = &["65536"];
const SECOND: &[&str] = &["\"1s\""];
const BODY: &str = "message_bytes_max is the limit";
const ONE_PRESS: &str = "compression holds for all transports over WebSocket";
const SLOW: &str = "outbox_bytes_max decides which client is too slow";
const ONE_NODE: &str = "throng is one process, and keeps everything in memory";
const OF_ENGINE: &str = "counts only with engine.type";
const OF_BROKER: &str = "counts only with broker.type";
const OF_PRESENCE: &str = "counts only with presence_manager.type";
const OF_MAPS: &str = "counts only with a subscription_type";
const OF_TYPE: &str = "counts only with a subscription_type";
const OF_STREAMS: &str = "counts only with subscribe_stream_proxy_enabled";
const OF_CLIENTS: &str = "is a setting for TLS clients; a server ignores it";
const OF_GRPC: &str = "counts only for hooks over gRPC, and an endpoint grpc:// is refused";
const SHARED_BUFFERS: &str = "connections of a shard share one buffer";
const FRONT: &str = "connections use HTTP/1.1; a proxy in front of throng may speak it";
const STREAMS: &str = "map and shared-poll channels are not served: channels are streams of publications";
const NO_POSITIONS: &str = "positions cannot diverge in one process";

/// All keys without effect.
pub static UNSUPPORTED: &[Unsupported] = &[
    moot("http_server.tls.server_ca_pem", OF_CLIENTS),
    moot("http_server.tls.server_name", OF_CLIENTS),
    moot("http_server.tls.insecure_skip_verify", OF_CLIENTS),
    section(
        "http_server.tls_autocert",
        "certificates are obtained by an ACME client such as certbot or lego: throng reads the files that tls_cert and \
        tls_key name anew whenever they change",
    ),
    section(
        "http_server.internal_tls",
        "the control listener is plain; let a proxy in front of it speak TLS",
    ),
    section("http_server.http3", FRONT).warned(),
    no("http_server.h2c_external", FRONT).warned(),
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
    moot("map_broker.type", OF_MAPS),
    moot("map_broker.redis", OF_MAPS),
    moot("map_broker.postgres", OF_MAPS),
    section("controller", ONE_NODE),
    no("websocket.decompressed_message_size_limit", BODY).warned(),
    no("websocket.read_buffer_size", SHARED_BUFFERS).warned(),
    no("websocket.write_buffer_size", SHARED_BUFFERS).warned(),
    no("websocket.use_write_buffer_pool", SHARED_BUFFERS).warned(),
    only("websocket.write_timeout", SECOND, SLOW).warned(),
    only("sse.max_request_body_size", BODY_MAX, BODY).warned(),
    only("http_stream.max_request_body_size", BODY_MAX, BODY).warned(),
    only("emulation.max_request_body_size", BODY_MAX, BODY).warned(),
    only("uni_sse.max_request_body_size", BODY_MAX, BODY).warned(),
    only("uni_http_stream.max_request_body_size", BODY_MAX, BODY).warned(),
    only("uni_websocket.message_size_limit", BODY_MAX, BODY).warned(),
    no("uni_websocket.compression", ONE_PRESS).warned(),
    no("uni_websocket.compression_min_size", ONE_PRESS).warned(),
    only("uni_websocket.compression_level", &["1"], ONE_PRESS).warned(),
    no("uni_websocket.decompressed_message_size_limit", BODY).warned(),
    no("uni_websocket.read_buffer_size", SHARED_BUFFERS).warned(),
    no("uni_websocket.write_buffer_size", SHARED_BUFFERS).warned(),
    no("uni_websocket.use_write_buffer_pool", SHARED_BUFFERS).warned(),
    only("uni_websocket.write_timeout", SECOND, SLOW).warned(),
    no("uni_websocket.disable_closing_handshake", "connections end with a close frame").warned(),
    moot("uni_websocket.disable_disconnect_push", "the close frame alone says why a connection ends"),
    no("uni_websocket.join_push_messages", "each push is a message of its own").warned(),
    only("client.presence_update_interval", &["\"27s\""], "presence needs no updates in one process")
        .warned(),
    only("client.channel_position_check_delay", &["\"40s\""], NO_POSITIONS).warned(),
    no("client.channel_position_max_time_lag", NO_POSITIONS).warned(),
    moot("<hook>.grpc", OF_GRPC),
    moot("<hook>.grpc_metadata", OF_GRPC),
    moot("<hook>.http.tls.client_ca_pem", "it is for servers"),
    moot("channel.proxy.subscribe_stream", OF_STREAMS),
    moot("channel.proxy.map_publish", OF_TYPE),
    moot("channel.proxy.map_remove", OF_TYPE),
    moot("channel.proxy.shared_poll_refresh", OF_TYPE),
    only("<channel>.state_proxy_name", DEFAULT_HOOK, "channel.proxy.state is the only one"),
    no(
        "<channel>.subscribe_stream_proxy_enabled",
        "hooks over gRPC are not served; the backend can publish by the server API",
    ),
    moot("<channel>.subscribe_stream_proxy_name", OF_STREAMS),
    moot("<channel>.subscribe_stream_proxy_bidirectional", OF_STREAMS),
    only("<channel>.subscription_type", &["\"stream\""], STREAMS),
    moot("<channel>.map", OF_TYPE),
    moot("<channel>.shared_poll", OF_TYPE),
    no("<channel>.map_clients_presence_channel_prefix", STREAMS),
    no("<channel>.map_users_presence_channel_prefix", STREAMS),
    no("prometheus.instrument_http_handlers", "there are no metrics of HTTP handlers").warned(),
    no("prometheus.recovered_publications_histogram", "there is no such histogram").warned(),
    no("prometheus.native_histograms", "histograms have fixed buckets").warned(),
    only("usage_stats.disabled", YES, "nothing is ever sent"),
    only("node.info_metrics_aggregate_interval", &["\"60s\""], "info has no metrics; they are at /metrics")
        .warned(),
    section("admin", "there are no admin pages; the server API and /metrics tell what goes on").warned(),
    section("swagger", "the control listener has the server API's OpenAPI description").warned(),
    section("debug", "the control listener has /debug/memory, and perf can look into the process").warned(),
    section("consumers", "let your application read the queue and call the server API"),
    section("grpc_api", "the server API is not served over gRPC; call it over HTTP"),
    section("uni_grpc", "gRPC is not served to clients; uni_websocket, uni_sse and uni_http_stream are"),
    section("webtransport", "WebTransport is not served; websocket, sse and http_stream are"),
    section("opentelemetry", "there are no traces; metrics are at /metrics").warned(),
    section("graphite", "metrics are at /metrics, for Prometheus and its agents").warned(),
    moot("shared_poll", OF_TYPE),
    no("enable_unreleased_features", "there are none").warned(),
];

impl Unsupported {
    /// The same key with a warning in place of an error.
    const fn warned(self) -> Self {
        Self { class: Class::Warned, ..self }
    }

    pub(in super::super) fn find(path: &str) -> Option<&'static Self> {
        let of_kind = generic(path);
        UNSUPPORTED.iter().find(|key| key.path == path || Some(key.path) == of_kind.as_deref())
    }

    /// Whether the list has keys of this table.
    pub(in super::super) fn has_table(path: &str) -> bool {
        let inside = |key: &Self| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        UNSUPPORTED.iter().any(inside)
    }

    /// The message for a value without effect at this path; `None` if there is none.
    #[cfg(feature = "cli")]
    pub(in super::super) fn remark(path: &str, value: &Value) -> Option<String> {
        let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
        let of_switch = || Self::find(table).filter(|key| key.taken == Taken::Disabled && name == "enabled");
        let key = Self::find(path).or_else(of_switch)?;
        let is_taken =
            if key.path == path || key.taken != Taken::Disabled { key.takes(value) } else { value.is_off() };
        let says = |what: &str| Some(format!("throng {what}: {}", key.instead));
        match key.class {
            _ if is_taken => None,
            Class::Served => None,
            Class::Warned => says("ignores it"),
            Class::Refused => says("refuses it"),
        }
    }

    /// Whether the value is accepted.
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

/// The treatment of the key at this path, or of its table, when its value matters; `None` for an unknown key. A key
/// of a namespace has the class of the same key in `channel.without_namespace`.
pub fn class_of(path: &str) -> Option<Class> {
    let above = path.rsplit_once('.').map(|(table, _)| table);
    if let Some(key) = Unsupported::find(path) {
        return Some(key.class);
    }
    let is_served = Target::find(path).is_some()
        || Alias::find(path).is_some()
        || List::ALL.iter().any(|list| list.path() == path);
    is_served.then_some(Class::Served).or_else(|| above.and_then(class_of))
}

/// The milliseconds of a duration with a unit.
fn duration(value: &Value) -> Option<u64> {
    value.text().and_then(duration_ms)
}

/// Whether the value equals `told`; durations may be written differently.
fn says(value: &Value, told: &str) -> bool {
    value.to_string() == told
        || value.text() == Some(told)
        || told == "true" && value.switch() == Some(true)
        || duration(value).is_some_and(|ms| duration_ms(told.trim_matches('"')) == Some(ms))
}

/// The path with its table replaced by the table's kind.
fn generic(path: &str) -> Option<String> {
    let (table, rest) =
        TABLES.iter().find_map(|table| Some((table, path.strip_prefix(table.path)?.strip_prefix('.')?)))?;
    let kind = match table.kind {
        Kind::Token(_) => "<token>",
        Kind::Hook(_) => "<hook>",
        Kind::Channel => "<channel>",
        Kind::Calls => "<calls>",
    };
    Some(format!("{kind}.{rest}"))
}
