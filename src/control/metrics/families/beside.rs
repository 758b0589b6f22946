//! Metrics of other parts than shards: hooks and tokens, the control listener and the server API, certificates,
//! memory, the process.

use std::sync::atomic::Ordering::Relaxed;

use super::super::rows::{gauge_per_shard, one, total};
use super::super::{Family, KeySetSource, Kind, Source};

/// These metrics, in the order of the scrape.
pub(super) static BESIDE: &[Family] = &[
    Family {
        name: "throng_hook_seconds",
        kind: Kind::Histogram,
        help: "Time from a hook call to its answer or failure, including the wait for a request slot.",
        source: Source::HookSeconds,
    },
    Family {
        name: "throng_hook_failures_total",
        kind: Kind::Counter,
        help: "Failed hook requests, by reason.",
        source: Source::HookFailures,
    },
    Family {
        name: "throng_hook_retries_total",
        kind: Kind::Counter,
        help: "Hook requests repeated because a kept-alive connection ended before the first byte of an answer.",
        source: Source::ByHook(|c| &c.retries),
    },
    one("throng_hooks_open", Kind::Gauge, "Hook calls without an answer yet.", |s| {
        s.outside.map(|(_, open)| open.hooks as f64)
    }),
    one(
        "throng_hook_requests",
        Kind::Gauge,
        "Hook requests in flight; further calls wait for a slot.",
        |s| s.outside.map(|(_, open)| open.hook_requests as f64),
    ),
    Family {
        name: "throng_tokens_total",
        kind: Kind::Counter,
        help: "Connection and subscription tokens verified, by result; unknowable: the key set could not be fetched.",
        source: Source::Tokens,
    },
    Family {
        name: "throng_token_seconds",
        kind: Kind::Histogram,
        help: "Time from the arrival of a token to its result, for tokens that workers verify; HMAC tokens are verified in the shard.",
        source: Source::TokenSeconds,
    },
    one(
        "throng_tokens_open",
        Kind::Gauge,
        "Tokens that wait for a worker or a key set, or are being verified.",
        |s| s.outside.map(|(_, open)| open.tokens as f64),
    ),
    Family {
        name: "throng_key_set_seconds",
        kind: Kind::Histogram,
        help: "From the begin of a fetch of a key set to its end, whether it brought keys or not.",
        source: Source::KeySets(KeySetSource::Seconds),
    },
    Family {
        name: "throng_key_set_failures_total",
        kind: Kind::Counter,
        help: "Fetches of a key set that brought no keys, by reason; those fetched before stay in use.",
        source: Source::KeySets(KeySetSource::Failures),
    },
    Family {
        name: "throng_key_set_fetched_seconds",
        kind: Kind::Gauge,
        help: "When the key set in use was fetched, in seconds since 1970; no sample until one was.",
        source: Source::KeySets(KeySetSource::Fetched),
    },
    one(
        "throng_channel_states_total",
        Kind::Counter,
        "Events for the state hook: channels occupied and vacated.",
        |s| s.outside.map(|(counts, _)| counts.states.told.load(Relaxed) as f64),
    ),
    one(
        "throng_channel_states_dropped_total",
        Kind::Counter,
        "Events for the state hook dropped because too many were waiting.",
        |s| s.outside.map(|(counts, _)| counts.states.dropped.load(Relaxed) as f64),
    ),
    one(
        "throng_channel_states_waiting",
        Kind::Gauge,
        "Events that the state hook has not accepted yet.",
        |s| s.outside.map(|(counts, _)| counts.states.waiting() as f64),
    ),
    one(
        "throng_socketio_ends_total",
        Kind::Counter,
        "Ends of Socket.IO sockets for the hook socketio.proxy.disconnect.",
        |s| s.outside.map(|(counts, _)| counts.ends.told.load(Relaxed) as f64),
    ),
    one(
        "throng_socketio_ends_dropped_total",
        Kind::Counter,
        "Ends of Socket.IO sockets for their hook dropped because too many were waiting.",
        |s| s.outside.map(|(counts, _)| counts.ends.dropped.load(Relaxed) as f64),
    ),
    one(
        "throng_socketio_ends_waiting",
        Kind::Gauge,
        "Ends of Socket.IO sockets that their hook has not accepted yet.",
        |s| s.outside.map(|(counts, _)| counts.ends.waiting() as f64),
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
        "Connections to the control listener that were closed because their request was not answered in time.",
        |s| Some(s.control_timeouts as f64),
    ),
    one(
        "throng_control_displaced_total",
        Kind::Counter,
        "Connections to the control listener closed to make room for others.",
        |s| Some(s.control_displaced as f64),
    ),
    one("throng_api_requests_total", Kind::Counter, "Requests that the server API accepted.", |s| {
        Some(s.api.requests.load(Relaxed) as f64)
    }),
    one(
        "throng_api_refused_total",
        Kind::Counter,
        "Requests that the server API refused: no key, another origin, no valid body.",
        |s| Some(s.api.refused.load(Relaxed) as f64),
    ),
    Family {
        name: "throng_api_seconds",
        kind: Kind::Histogram,
        help: "Time from the arrival of a request to the server API to its answer, by method; commands for /api itself.",
        source: Source::ApiSeconds,
    },
    Family {
        name: "throng_api_errors_total",
        kind: Kind::Counter,
        help: "Errors in replies of the server API, including parts of batches and broadcasts, by code.",
        source: Source::ApiErrors,
    },
    one("throng_config_reloads_total", Kind::Counter, "Configuration reloads.", |s| {
        Some(s.config_reloads.0 as f64)
    }),
    one(
        "throng_config_reload_errors_total",
        Kind::Counter,
        "Configuration reloads that failed; the old configuration stayed in force.",
        |s| Some(s.config_reloads.1 as f64),
    ),
    one("throng_tls_reloads_total", Kind::Counter, "Certificate reloads.", |s| Some(s.reloads.0 as f64)),
    one(
        "throng_tls_reload_errors_total",
        Kind::Counter,
        "Certificate reloads that failed; the old certificates stayed in use.",
        |s| Some(s.reloads.1 as f64),
    ),
    Family {
        name: "throng_tls_certificate_not_before_seconds",
        kind: Kind::Gauge,
        help: "Start of validity of the certificate in use, in seconds since 1970, by file.",
        source: Source::Certificates(|facts| facts.not_before_s),
    },
    Family {
        name: "throng_tls_certificate_not_after_seconds",
        kind: Kind::Gauge,
        help: "End of validity of the certificate in use, in seconds since 1970, by file.",
        source: Source::Certificates(|facts| facts.not_after_s),
    },
    total(
        "throng_stale_ids_total",
        "stale_ids",
        "Events and letters for a connection that no longer exists.",
    ),
    Family {
        name: "throng_memory_bytes",
        kind: Kind::Gauge,
        help: "Memory by use; kernel kinds count the whole machine or network namespace.",
        source: Source::Memory,
    },
    one(
        "throng_memory_max_bytes",
        Kind::Gauge,
        "Limit on the process's own memory (memory_max); 0: no limit.",
        |s| s.memory.map(|memory| memory.memory_max as f64),
    ),
    gauge_per_shard(
        "throng_memory_step",
        "memory_step",
        "Response to short memory: 1 refuse new connections, 2 close slow consumers, 3 close the newest connections.",
    ),
    Family {
        name: "throng_memory_shed_total",
        kind: Kind::Counter,
        help: "Connections closed because memory was short: with queued bytes (slow), or the newest.",
        source: Source::By("reason", &[("slow", "memory_shed_slow"), ("newest", "memory_shed_newest")]),
    },
    total(
        "throng_memory_shed_publications_total",
        "memory_shed_publications",
        "Publications dropped from history early because memory was short.",
    ),
    one(
        "throng_log_lines_lost_total",
        Kind::Counter,
        "Log lines that could not be written: a full disk, a pipe that nobody reads.",
        |s| Some(s.log_lines_lost as f64),
    ),
    one("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the process.", |s| {
        s.resident_bytes.map(|bytes| bytes as f64)
    }),
    one(
        "process_open_fds",
        Kind::Gauge,
        "Open file descriptors of the process, in the tables of all shards.",
        |s| s.open_descriptors.map(|count| count as f64),
    ),
    one(
        "process_max_fds",
        Kind::Gauge,
        "Limit on open file descriptors; with private_descriptors it applies to each shard.",
        |s| s.descriptors_max.map(|count| count as f64),
    ),
    one("process_cpu_seconds_total", Kind::Counter, "User and system CPU time of the process.", |s| {
        s.cpu_seconds
    }),
    one("process_start_time_seconds", Kind::Gauge, "Start of the process, in seconds since 1970.", |s| {
        Some(s.start_seconds)
    }),
];
