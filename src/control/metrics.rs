//! Metrics in the Prometheus text format (0.0.4): a table of families, and a pure function from a snapshot to text.
//!
//! Every counter of [`Counters`] stands in exactly one family (tested). Values that differ between shards in a
//! way that matters are told per shard; all others are sums.

mod text;

use super::api::ApiCounts;
use super::gate::Gate;
use super::memory::Memory;
use super::process;
use super::{Readiness, State};
use crate::base::counters::{Counters, Histogram};
use crate::server::Certificates;
use crate::tls::Facts;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) use text::render;

/// The media type of what [`render`] gives.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a scrape looks at.
pub(super) struct View {
    counters: Vec<Arc<Counters>>,
    capacity: u64,
    pub(super) readiness: Arc<Readiness>,
    api: Arc<ApiCounts>,
    gate: Option<Arc<Gate>>,
    certificates: Option<Certificates>,
    memory: Option<Memory>,
    start_seconds: f64,
}

impl View {
    #[expect(clippy::disallowed_methods, reason = "the start of the process, read once, far from any shard")]
    pub(super) fn new(counters: Vec<Arc<Counters>>, capacity: u64, readiness: Arc<Readiness>) -> Self {
        let start_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let api = Arc::default();
        let (certificates, memory, gate) = (None, None, None);
        Self { counters, capacity, readiness, api, certificates, memory, gate, start_seconds }
    }

    /// Looks at an API's counts as well.
    pub(super) fn with_api(self, api: Arc<ApiCounts>) -> Self {
        Self { api, ..self }
    }

    /// Looks at what a gate refused as well.
    pub(super) fn with_gate(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Looks at certificates as well.
    pub(super) fn with_certificates(self, certificates: Option<Certificates>) -> Self {
        Self { certificates, ..self }
    }

    /// Looks at what memory is used for as well.
    pub(super) fn with_memory(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// What memory is used for, if that is looked at.
    pub(super) fn memory_json(&self) -> Option<serde_json::Value> {
        let connections = self.counters.iter().map(|shard| shard.connections.value()).sum();
        self.memory.as_ref().map(|memory| memory.debug(connections))
    }

    /// All values now.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            shards: &self.counters,
            values: self.counters.iter().map(|shard| shard.each().collect()).collect(),
            capacity: self.capacity,
            ready: self.readiness.state() == State::Ready,
            api: &self.api,
            control_refused: self.gate.as_ref().map_or(0, |gate| gate.refused_count()),
            control_timeouts: self.gate.as_ref().map_or(0, |gate| gate.timeout_count()),
            certificates: self.certificates.as_ref().map_or_else(Vec::new, Certificates::facts),
            memory: self.memory.as_ref(),
            reloads: self.certificates.as_ref().map_or((0, 0), Certificates::counts),
            start_seconds: self.start_seconds,
            resident_bytes: process::resident_and_anonymous_bytes().map(|(resident, _)| resident),
            cpu_seconds: process::cpu_seconds(),
        }
    }
}

/// The values of one scrape. Each counter is read once, so that no two families disagree.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    shards: &'a [Arc<Counters>],
    values: Vec<Vec<(&'static str, u64)>>,
    capacity: u64,
    ready: bool,
    api: &'a ApiCounts,
    control_refused: u64,
    control_timeouts: u64,
    certificates: Vec<Facts>,
    /// Of certificates: how many, and how many failed.
    memory: Option<&'a Memory>,
    reloads: (u64, u64),
    start_seconds: f64,
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
}

impl Snapshot<'_> {
    fn per_shard(&self, counter: &str) -> impl Iterator<Item = u64> {
        self.values
            .iter()
            .map(move |shard| shard.iter().find(|(name, _)| *name == counter).map_or(0, |(_, v)| *v))
    }

    fn sum(&self, counter: &str) -> u64 {
        self.per_shard(counter).fold(0, u64::wrapping_add)
    }

    /// The fullest shard over the mean; 1 is even. Without connections nothing is uneven.
    fn skew(&self) -> f64 {
        let max = self.per_shard("connections").max().unwrap_or(0);
        let sum = self.sum("connections");
        if sum == 0 { 1.0 } else { max as f64 * self.values.len() as f64 / sum as f64 }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A metric: one name with its samples.
#[derive(Debug)]
pub struct Family {
    /// As it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A counter, summed over shards.
    Sum(&'static str),
    /// A counter, one sample per shard.
    PerShard(&'static str),
    /// Counters summed over shards, told apart by the label `reason`: (its value, the counter).
    ByReason(&'static [(&'static str, &'static str)]),
    /// Bytes, told apart by the label `kind`.
    Memory,
    /// A histogram, merged over shards.
    Merged(fn(&Counters) -> &Histogram),
    /// One value that is not a shard's; `None`: not known here.
    One(fn(&Snapshot<'_>) -> Option<f64>),
    /// When each certificate in use ceases to hold.
    Certificates,
    /// Always 1; the labels are what it says.
    Build,
}

impl Family {
    /// The labels of its samples, for the manual.
    pub fn labels(&self) -> &'static str {
        match self.source {
            Source::PerShard(_) => "shard",
            Source::ByReason(_) => "reason",
            Source::Memory => "kind",
            Source::Merged(_) => "le",
            Source::Certificates => "name",
            Source::Build => "version",
            Source::Sum(_) | Source::One(_) => "",
        }
    }
}

const fn total(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, source: Source::Sum(counter) }
}

const fn total_per_shard(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, source: Source::PerShard(counter) }
}

const fn gauge(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, source: Source::Sum(counter) }
}

const fn gauge_per_shard(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, source: Source::PerShard(counter) }
}

const fn one(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&Snapshot<'_>) -> Option<f64>,
) -> Family {
    Family { name, kind, help, source: Source::One(value) }
}

const fn merged(name: &'static str, help: &'static str, histogram: fn(&Counters) -> &Histogram) -> Family {
    Family { name, kind: Kind::Histogram, help, source: Source::Merged(histogram) }
}

/// Every metric, in the order in which they are told.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "throng_build_info",
        kind: Kind::Gauge,
        help: "Always 1; the label tells the version.",
        source: Source::Build,
    },
    one("throng_ready", Kind::Gauge, "1 when all shards listen and no drain has begun.", |s| {
        Some(f64::from(u8::from(s.ready)))
    }),
    one("throng_shards", Kind::Gauge, "Number of shards.", |s| Some(s.values.len() as f64)),
    one("throng_capacity_connections", Kind::Gauge, "Connections that the limits allow.", |s| {
        Some(s.capacity as f64)
    }),
    gauge_per_shard("throng_connections", "connections", "Open sockets of clients, in any phase."),
    gauge_per_shard("throng_sessions", "sessions", "Connections past their handshake."),
    one(
        "throng_shard_skew_ratio",
        Kind::Gauge,
        "Connections of the fullest shard over the mean of all shards; 1 is even.",
        |s| Some(s.skew()),
    ),
    total_per_shard("throng_accepts_total", "accepts", "Connections accepted."),
    total(
        "throng_accept_pauses_total",
        "accept_pauses",
        "Times accepting paused for lack of descriptors or memory.",
    ),
    total("throng_handshakes_total", "handshakes", "Handshakes completed."),
    Family {
        name: "throng_refused_total",
        kind: Kind::Counter,
        help: "Handshakes refused, by reason.",
        source: Source::ByReason(&[
            ("bad_request", "refused_bad_request"),
            ("forbidden", "refused_forbidden"),
            ("not_found", "refused_not_found"),
            ("method", "refused_method"),
            ("upgrade", "refused_upgrade"),
            ("head_too_large", "refused_head_too_large"),
            ("unavailable", "refused_unavailable"),
            ("node_rate", "refused_node_rate"),
            ("ip_rate", "refused_ip_rate"),
            ("network_rate", "refused_network_rate"),
            ("half_open", "refused_half_open"),
            ("handshake_rate", "refused_handshake_rate"),
            ("memory", "refused_memory"),
        ]),
    },
    gauge(
        "throng_refused_lingering",
        "refused_lingering",
        "Connections refused unheard that may still read why.",
    ),
    gauge_per_shard("throng_half_open", "half_open", "Connections whose request is not complete."),
    total(
        "throng_newcomer_waits_total",
        "newcomer_waits",
        "Turns that left newcomers to the next, because the budget for them was used up.",
    ),
    total(
        "throng_handshake_timeouts_total",
        "handshake_timeouts",
        "Handshakes that did not complete in time.",
    ),
    total(
        "throng_message_timeouts_total",
        "message_timeouts",
        "Connections closed because a message that had begun was not whole in time.",
    ),
    total(
        "throng_pings_unanswered_total",
        "pings_unanswered",
        "Pings of floods that were not answered, because a later one of the same read was.",
    ),
    total("throng_messages_received_total", "messages_in", "Complete data messages received."),
    total("throng_messages_sent_total", "messages_out", "Data messages written or queued, one per receiver."),
    total("throng_received_bytes_total", "bytes_in", "Bytes read from sockets."),
    total("throng_sent_bytes_total", "bytes_out", "Bytes written to sockets."),
    total(
        "throng_deflate_handshakes_total",
        "deflate_handshakes",
        "Handshakes that negotiated permessage-deflate.",
    ),
    total(
        "throng_deflate_plain_bytes_total",
        "deflate_plain_bytes",
        "Bytes of messages that were compressed, before; each once, however many got it.",
    ),
    total("throng_deflate_packed_bytes_total", "deflate_packed_bytes", "The same messages' bytes, after."),
    total(
        "throng_inflated_bytes_total",
        "inflated_bytes",
        "Bytes of clients' compressed messages, inflated.",
    ),
    gauge_per_shard("throng_channels", "channels", "Channels whose home is the shard."),
    gauge_per_shard("throng_subscriptions", "subscriptions", "Subscriptions of the shard's connections."),
    total("throng_publications_total", "publications", "Publications accepted by channels."),
    total(
        "throng_publications_refused_total",
        "publications_refused",
        "Publications that channels did not take: too many in a second, or a channel too many.",
    ),
    total("throng_deliveries_total", "deliveries", "Publications handed to subscribers, one per subscriber."),
    merged("throng_fanout_seconds", "From the first delivery of a channel's batch to its last.", |c| {
        &c.fanout_us
    }),
    gauge_per_shard("throng_outbox_bytes", "outbox_bytes", "Bytes waiting in outboxes."),
    gauge("throng_outboxes", "outboxes", "Connections for which something waits."),
    total(
        "throng_slow_consumers_total",
        "slow_consumers",
        "Connections closed because their outbox was full.",
    ),
    total(
        "throng_budget_closes_total",
        "budget_closes",
        "Connections closed because the process had no more bytes to queue.",
    ),
    total("throng_heartbeats_sent_total", "heartbeats_sent", "Heartbeats sent."),
    total("throng_heartbeats_missed_total", "heartbeats_missed", "Heartbeats not answered in time."),
    total("throng_violations_total", "violations", "Connections closed for breaking a protocol rule."),
    total(
        "throng_transport_errors_total",
        "transport_errors",
        "Connections that ended by a transport error.",
    ),
    gauge("throng_drain_left", "drain_left", "Connections that a drain has still to close."),
    total("throng_drain_closes_total", "drain_closes", "Connections closed by a drain."),
    total("throng_tls_handshakes_total", "tls_handshakes", "TLS handshakes completed."),
    total("throng_tls_resumptions_total", "tls_resumptions", "Of those, gone on from a session of before."),
    total("throng_tls_faults_total", "tls_faults", "Connections closed because TLS failed."),
    total("throng_proxy_headers_total", "proxy_headers", "PROXY headers taken from trusted proxies."),
    total(
        "throng_proxy_headers_refused_total",
        "proxy_headers_refused",
        "Connections of trusted proxies closed because they did not begin with a PROXY header.",
    ),
    total("throng_closes_total", "closes", "Connections closed, for whatever reason."),
    total_per_shard("throng_turns_total", "turns", "Turns of the shard's loop."),
    merged("throng_turn_seconds", "Duration of a turn, from the return of the poll to the next.", |c| {
        &c.turn_us
    }),
    total("throng_letters_sent_total", "letters_out", "Letters sent from shard to shard."),
    total("throng_letters_received_total", "letters_in", "Letters that shards have received."),
    total(
        "throng_mailbox_pauses_total",
        "mailbox_pauses",
        "Turns in which reading paused because another shard's mailbox was full.",
    ),
    total(
        "throng_rate_limited_total",
        "rate_limited",
        "Commands and connections refused because a rate or the number of questions outside was exceeded.",
    ),
    total("throng_recoveries_total", "recoveries", "Recoveries that gave all that was missed."),
    total("throng_recoveries_failed_total", "recoveries_failed", "Recoveries that could not."),
    gauge("throng_history_bytes", "history_bytes", "Bytes of all channels' histories."),
    gauge("throng_presences", "presences", "Entries in the presence of all channels."),
    total(
        "throng_joins_suppressed_total",
        "joins_suppressed",
        "Joins and leaves not told, because a channel had too many.",
    ),
    total(
        "throng_requests_total",
        "requests",
        "Requests answered that opened no session: posted commands, preflights, the first page.",
    ),
    one(
        "throng_control_refused_total",
        Kind::Counter,
        "Requests to the control listener that were refused: no key, another origin or host.",
        |s| Some(s.control_refused as f64),
    ),
    one(
        "throng_control_timeouts_total",
        Kind::Counter,
        "Connections to the control listener that were closed because their request was not complete in time.",
        |s| Some(s.control_timeouts as f64),
    ),
    one("throng_api_requests_total", Kind::Counter, "Requests to the server API that were taken.", |s| {
        Some(s.api.requests.load(Relaxed) as f64)
    }),
    one(
        "throng_api_refused_total",
        Kind::Counter,
        "Requests to the server API that were not: no key, another origin, no body of the method.",
        |s| Some(s.api.refused.load(Relaxed) as f64),
    ),
    one(
        "throng_api_errors_total",
        Kind::Counter,
        "Errors that the server API told, those of parts of batches and broadcasts too.",
        |s| Some(s.api.errors.load(Relaxed) as f64),
    ),
    one("throng_tls_reloads_total", Kind::Counter, "Times that certificates were loaded anew.", |s| {
        Some(s.reloads.0 as f64)
    }),
    one(
        "throng_tls_reload_errors_total",
        Kind::Counter,
        "Times that certificates could not be loaded anew, so that the old ones stayed.",
        |s| Some(s.reloads.1 as f64),
    ),
    Family {
        name: "throng_tls_certificate_not_after_seconds",
        kind: Kind::Gauge,
        help: "When the certificate in use expires, in seconds since 1970, by its file.",
        source: Source::Certificates,
    },
    total("throng_stale_ids_total", "stale_ids", "Events and letters for a connection that was gone."),
    Family {
        name: "throng_memory_bytes",
        kind: Kind::Gauge,
        help: "Memory by what it is used for; those of the kernel are the machine's or the network namespace's.",
        source: Source::Memory,
    },
    one("throng_memory_max_bytes", Kind::Gauge, "The bound on user memory; 0: there is none.", |s| {
        s.memory.map(|memory| memory.memory_max as f64)
    }),
    gauge_per_shard(
        "throng_memory_step",
        "memory_step",
        "What is done for want of memory: 1 newcomers are refused, 2 slow consumers are let go, 3 the newest.",
    ),
    Family {
        name: "throng_memory_shed_total",
        kind: Kind::Counter,
        help: "Connections closed because memory was short: those that held queued bytes, and the newest.",
        source: Source::ByReason(&[("slow", "memory_shed_slow"), ("newest", "memory_shed_newest")]),
    },
    one("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the process.", |s| {
        s.resident_bytes.map(|bytes| bytes as f64)
    }),
    one("process_cpu_seconds_total", Kind::Counter, "User and system CPU time of the process.", |s| {
        s.cpu_seconds
    }),
    one("process_start_time_seconds", Kind::Gauge, "Start of the process, in seconds since 1970.", |s| {
        Some(s.start_seconds)
    }),
];

#[cfg(test)]
mod tests;
