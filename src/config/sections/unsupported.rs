//! Keys of Centrifugo that are no keys of ours, and what becomes of each: its class.
//!
//! What would change who may do what, what is delivered or what is kept is refused; what is comfort or tuning is warned
//! of, with what happens in its place. A path may begin with `<token>`, `<hook>` or `<channel>`, which stand for every
//! table of that kind.

use super::super::slot::duration_ms;
use super::super::value::Value;
use super::{Alias, Kind, List, TABLES, Target};

/// What becomes of a key of Centrifugo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It works, or there is nothing to do for it.
    Served,
    /// It has no effect, which a line at the start says: it is comfort or tuning.
    Warned,
    /// It stops the start: without it others could do more, or less is delivered or kept.
    Refused,
}

/// A key that has no effect here; its class says what becomes of a value that would change something.
pub struct Unsupported {
    /// As in the file; for a table, the whole of it.
    pub path: &'static str,
    /// Which values change nothing.
    pub taken: Taken,
    /// What becomes of any other value.
    pub class: Class,
    /// What to do or what happens in place of it, or why it changes nothing; empty when there is nothing to say.
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

/// Every key that has no effect.
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
    /// The same, but warned of where it would be refused.
    const fn warned(self) -> Self {
        Self { class: Class::Warned, ..self }
    }

    pub(in super::super) fn find(path: &str) -> Option<&'static Self> {
        let of_kind = generic(path);
        UNSUPPORTED.iter().find(|key| key.path == path || Some(key.path) == of_kind.as_deref())
    }

    /// Whether keys of this table stand in the list.
    pub(in super::super) fn has_table(path: &str) -> bool {
        let inside = |key: &Self| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        UNSUPPORTED.iter().any(inside)
    }

    /// What to say of a value at this path that has no effect here; `None` when there is nothing to say.
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
            Class::Warned => says("passes it over"),
            Class::Refused => says("refuses it"),
        }
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

/// What becomes of the key of this path, or of the table that it stands in, when its value changes something; `None` when
/// nobody knows it. A key of a namespace has the class of its twin in `channel.without_namespace`.
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

/// Milliseconds, when it is a duration with a unit.
fn duration(value: &Value) -> Option<u64> {
    value.text().and_then(duration_ms)
}

/// Whether the value is what is told, durations however they are written.
fn says(value: &Value, told: &str) -> bool {
    value.to_string() == told
        || value.text() == Some(told)
        || told == "true" && value.switch() == Some(true)
        || duration(value).is_some_and(|ms| duration_ms(told.trim_matches('"')) == Some(ms))
}

/// The path with the kind of its table in place of the table.
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
