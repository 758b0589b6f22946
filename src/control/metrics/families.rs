//! The table of metrics.

use std::sync::atomic::Ordering::Relaxed;

use super::{Family, KeySetSource, Kind, Snapshot, Source};
use crate::base::counters::{Counters, Histogram};

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
    Family {
        name: "throng_transport_sessions",
        kind: Kind::Gauge,
        help: "The same by transport; raw endpoints have none.",
        source: Source::By(
            "transport",
            &[
                ("websocket", "sessions_websocket"),
                ("sse", "sessions_sse"),
                ("http_stream", "sessions_http_stream"),
                ("uni_websocket", "sessions_uni_websocket"),
                ("uni_sse", "sessions_uni_sse"),
                ("uni_http_stream", "sessions_uni_http_stream"),
                ("raw", "sessions_raw"),
            ],
        ),
    },
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
        source: Source::By(
            "reason",
            &[
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
            ],
        ),
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
    total(
        "throng_proxy_headers_unexpected_total",
        "proxy_headers_unexpected",
        "Connections refused because they began with a PROXY header that was not awaited.",
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
    Family {
        name: "throng_rate_limited_total",
        kind: Kind::Counter,
        help: "Commands and connects refused because a rate or the number of questions outside was exceeded.",
        source: Source::By(
            "rate",
            &[
                ("connects", "rate_limited_connects"),
                ("connects_per_ip", "rate_limited_connects_per_ip"),
                ("commands", "rate_limited_commands"),
                ("subscribes", "rate_limited_subscribes"),
                ("publishes", "rate_limited_publishes"),
                ("rpcs", "rate_limited_rpcs"),
                ("presences", "rate_limited_presences"),
                ("histories", "rate_limited_histories"),
                ("others", "rate_limited_others"),
                ("questions", "rate_limited_questions"),
            ],
        ),
    },
    Family {
        name: "throng_limit_exceeded_total",
        kind: Kind::Counter,
        help: "Subscriptions, publications and messages refused because a limit was reached.",
        source: Source::By(
            "limit",
            &[
                ("answers", "limited_answers"),
                ("subscriptions", "limited_subscriptions"),
                ("channels", "limited_channels"),
                ("memory", "limited_memory"),
                ("user_connections", "limited_user_connections"),
                ("message_bytes", "limited_message_bytes"),
            ],
        ),
    },
    total("throng_recoveries_total", "recoveries", "Recoveries that gave all that was missed."),
    total("throng_recoveries_failed_total", "recoveries_failed", "Recoveries that could not."),
    gauge("throng_history_bytes", "history_bytes", "Bytes of all channels' histories."),
    gauge("throng_presences", "presences", "Entries in the presence of all channels."),
    total(
        "throng_positions_displaced_total",
        "positions_displaced",
        "Positions in streams forgotten before their time: too many channels, or memory was short.",
    ),
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
    Family {
        name: "throng_namespace_channels",
        kind: Kind::Gauge,
        help: "Channels by namespace, where metrics_by_namespace is on; empty for those without.",
        source: Source::ByNamespace(|c| &c.channels),
    },
    Family {
        name: "throng_namespace_subscriptions",
        kind: Kind::Gauge,
        help: "Subscriptions by namespace, where metrics_by_namespace is on.",
        source: Source::ByNamespace(|c| &c.subscriptions),
    },
    Family {
        name: "throng_namespace_publications_total",
        kind: Kind::Counter,
        help: "Publications accepted by namespace, where metrics_by_namespace is on.",
        source: Source::ByNamespace(|c| &c.publications),
    },
    Family {
        name: "throng_namespace_deliveries_total",
        kind: Kind::Counter,
        help: "Deliveries to subscribers by namespace, as in throng_deliveries_total, where metrics_by_namespace is on.",
        source: Source::ByNamespace(|c| &c.deliveries),
    },
    Family {
        name: "throng_hook_seconds",
        kind: Kind::Histogram,
        help: "From a question to a hook to its answer or failure; waiting for a place among the requests is part of it.",
        source: Source::HookSeconds,
    },
    Family {
        name: "throng_hook_failures_total",
        kind: Kind::Counter,
        help: "Requests to hooks that brought no answer that is understood, by reason.",
        source: Source::HookFailures,
    },
    Family {
        name: "throng_hook_retries_total",
        kind: Kind::Counter,
        help: "Requests to hooks sent once more, because a connection kept alive ended before one byte of an answer.",
        source: Source::ByHook(|c| &c.retries),
    },
    one("throng_hooks_open", Kind::Gauge, "Questions to hooks that are not answered.", |s| {
        s.outside.map(|(_, open)| open.hooks as f64)
    }),
    one(
        "throng_hook_requests",
        Kind::Gauge,
        "Of those, the ones that are out as requests; the others wait.",
        |s| s.outside.map(|(_, open)| open.hook_requests as f64),
    ),
    Family {
        name: "throng_tokens_total",
        kind: Kind::Counter,
        help: "Tokens judged, of connections and of subscriptions, by result; unknowable: no key set could be fetched.",
        source: Source::Tokens,
    },
    Family {
        name: "throng_token_seconds",
        kind: Kind::Histogram,
        help: "From a token's coming to its verdict, of those that workers verify; an HMAC is verified where it arrives.",
        source: Source::TokenSeconds,
    },
    one(
        "throng_tokens_open",
        Kind::Gauge,
        "Tokens that wait for a worker or for a key set, or are at work.",
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
        "Of those, what was dropped because too many waited for the hook.",
        |s| s.outside.map(|(counts, _)| counts.states.dropped.load(Relaxed) as f64),
    ),
    one("throng_channel_states_waiting", Kind::Gauge, "Of those, what the hook has not taken yet.", |s| {
        s.outside.map(|(counts, _)| counts.states.waiting() as f64)
    }),
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
        "Connections to the control listener that were closed because others needed their seats.",
        |s| Some(s.control_displaced as f64),
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
    one("throng_config_reloads_total", Kind::Counter, "Times that the configuration was read again.", |s| {
        Some(s.config_reloads.0 as f64)
    }),
    one(
        "throng_config_reload_errors_total",
        Kind::Counter,
        "Times that it was wrong when it was read again, so that everything stayed as it was.",
        |s| Some(s.config_reloads.1 as f64),
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
        name: "throng_tls_certificate_not_before_seconds",
        kind: Kind::Gauge,
        help: "When the certificate in use began to hold, in seconds since 1970, by its file.",
        source: Source::Certificates(|facts| facts.not_before_s),
    },
    Family {
        name: "throng_tls_certificate_not_after_seconds",
        kind: Kind::Gauge,
        help: "When the certificate in use expires, in seconds since 1970, by its file.",
        source: Source::Certificates(|facts| facts.not_after_s),
    },
    total("throng_stale_ids_total", "stale_ids", "Events and letters for a connection that was gone."),
    Family {
        name: "throng_memory_bytes",
        kind: Kind::Gauge,
        help: "Memory by what it is used for; those of the kernel are the machine's or the network namespace's.",
        source: Source::Memory,
    },
    one(
        "throng_memory_max_bytes",
        Kind::Gauge,
        "The bound on the process's own memory (memory_max); 0: there is none.",
        |s| s.memory.map(|memory| memory.memory_max as f64),
    ),
    gauge_per_shard(
        "throng_memory_step",
        "memory_step",
        "What is done for want of memory: 1 newcomers are refused, 2 slow consumers are let go, 3 the newest.",
    ),
    Family {
        name: "throng_memory_shed_total",
        kind: Kind::Counter,
        help: "Connections closed because memory was short: those that held queued bytes, and the newest.",
        source: Source::By("reason", &[("slow", "memory_shed_slow"), ("newest", "memory_shed_newest")]),
    },
    total(
        "throng_memory_shed_publications_total",
        "memory_shed_publications",
        "Publications that histories let go before their time because memory was short.",
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
    one("process_cpu_seconds_total", Kind::Counter, "User and system CPU time of the process.", |s| {
        s.cpu_seconds
    }),
    one("process_start_time_seconds", Kind::Gauge, "Start of the process, in seconds since 1970.", |s| {
        Some(s.start_seconds)
    }),
];
