//! The table of metrics: those of shards here, all others in `beside`.

mod beside;

use super::rows::{gauge, gauge_per_shard, merged, one, total, total_per_shard};
use super::{Family, Kind, Source, Values};
use crate::session::PacketFault;
use crate::session::labels::{
    COMMANDS, ConnectRefusal, DISCONNECTS, ENGINE_REFUSALS, ERRORS, EventRefusal, UNSUBSCRIBES,
};
use beside::BESIDE;

/// All metrics, in the order of the scrape.
pub fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().chain(BESIDE)
}

/// The metrics of shards.
static FAMILIES: &[Family] = &[
    Family {
        name: "throng_build_info",
        kind: Kind::Gauge,
        help: "Always 1; the label holds the version.",
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
        help: "Connections past their handshake, by transport; raw for raw endpoints, socketio and socketio_polling for Socket.IO.",
        source: Source::Sessions,
    },
    gauge(
        "throng_polls_waiting",
        "polls_waiting",
        "Polls of Socket.IO clients that wait for output: one of each idle client of socketio_polling.",
    ),
    Family {
        name: "throng_polls_refused_total",
        kind: Kind::Counter,
        help: "Refused requests to the Socket.IO endpoint, by reason; unknown_session if the session ended or is another server's.",
        source: Source::ByPlace("reason", |c| &c.told.engine_refusals, Values::Names(&ENGINE_REFUSALS)),
    },
    Family {
        name: "throng_clients",
        kind: Kind::Gauge,
        help: "Clients past their connect command, by transport and by the name that their program gives (metrics_client_names).",
        source: Source::Clients(|by_name| &by_name.connected),
    },
    Family {
        name: "throng_connects_total",
        kind: Kind::Counter,
        help: "Connect commands that succeeded, by transport and by the name that the client's program gives.",
        source: Source::Clients(|by_name| &by_name.connects),
    },
    gauge(
        "throng_users",
        "users",
        "Users with connections, without the anonymous one; counted with metrics_users or client.user_connection_limit.",
    ),
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
        "Connections refused at accept that may still read the reason.",
    ),
    gauge_per_shard("throng_half_open", "half_open", "Connections whose request is incomplete."),
    gauge_per_shard(
        "throng_forwarding",
        "forwarding",
        "Connections to client listeners that made a request of the server API, of another path with a key, or of a polling session.",
    ),
    total(
        "throng_forwarded_requests_total",
        "forwarded_requests",
        "Requests to client listeners for the server API, /health, /ready and /metrics.",
    ),
    gauge("throng_forwarded_in_progress", "forwarded_out", "Of these, the requests being answered."),
    total(
        "throng_forwarded_busy_total",
        "forwarded_busy",
        "Such requests refused because too many were in progress (503).",
    ),
    total("throng_wrong_keys_total", "wrong_keys", "Such requests with a wrong key, or without one (401)."),
    total(
        "throng_wrong_keys_slowed_total",
        "wrong_keys_slowed",
        "Of these, the ones answered with a delay because their address sent too many.",
    ),
    total(
        "throng_polls_total",
        "polls",
        "Requests of HTTP long-polling: to open a session, to fetch and to post.",
    ),
    total(
        "throng_polls_busy_total",
        "polls_busy",
        "Of these, the ones refused because queued_bytes_max was reached (503).",
    ),
    gauge_per_shard(
        "throng_upgrading",
        "probes",
        "WebSockets that are to replace HTTP long-polling of a Socket.IO session.",
    ),
    Family {
        name: "throng_upgrades_total",
        kind: Kind::Counter,
        help: "Requests for such a WebSocket, by their result.",
        source: Source::By(
            "result",
            &[("done", "upgrades"), ("failed", "upgrades_failed"), ("refused", "upgrades_refused")],
        ),
    },
    total(
        "throng_sockets_moved_total",
        "sockets_moved",
        "Of these requests, the ones whose connection was moved to another shard.",
    ),
    total(
        "throng_newcomer_waits_total",
        "newcomer_waits",
        "Turns that deferred new connections to the next turn because handshakes_per_turn_max was reached.",
    ),
    total(
        "throng_handshake_timeouts_total",
        "handshake_timeouts",
        "Handshakes that did not complete in time.",
    ),
    total(
        "throng_message_timeouts_total",
        "message_timeouts",
        "Connections closed because a message did not arrive completely in time.",
    ),
    total(
        "throng_pings_unanswered_total",
        "pings_unanswered",
        "Client pings not answered because a later ping in the same read was.",
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
        "Bytes before compression of compressed messages; a message to many receivers counts once.",
    ),
    total(
        "throng_deflate_packed_bytes_total",
        "deflate_packed_bytes",
        "Bytes after compression of those messages.",
    ),
    total(
        "throng_inflated_bytes_total",
        "inflated_bytes",
        "Bytes of clients' compressed messages after decompression.",
    ),
    gauge_per_shard("throng_channels", "channels", "Channels with subscribers whose home is the shard."),
    gauge_per_shard(
        "throng_streams",
        "streams",
        "Streams (positions, and histories) of channels whose home is the shard, with subscribers or without.",
    ),
    gauge_per_shard("throng_subscriptions", "subscriptions", "Subscriptions of the shard's connections."),
    total("throng_publications_total", "publications", "Publications accepted by channels."),
    total(
        "throng_publications_refused_total",
        "publications_refused",
        "Publications refused: rate of the channel exceeded, or too many channels.",
    ),
    total("throng_deliveries_total", "deliveries", "Publications delivered, one per subscriber."),
    merged("throng_fanout_seconds", "Time from the first delivery of a channel's batch to the last.", |c| {
        &c.fanout_us
    }),
    gauge_per_shard("throng_outbox_bytes", "outbox_bytes", "Bytes queued in outboxes."),
    gauge("throng_outboxes", "outboxes", "Connections with queued bytes."),
    total(
        "throng_slow_consumers_total",
        "slow_consumers",
        "Connections closed because their outbox was full.",
    ),
    total(
        "throng_budget_closes_total",
        "budget_closes",
        "Connections closed because queued_bytes_max was reached.",
    ),
    total("throng_heartbeats_sent_total", "heartbeats_sent", "Heartbeats sent."),
    merged("throng_pong_seconds", "Time from a heartbeat to the client's answer.", |c| &c.pong_us),
    total("throng_heartbeats_missed_total", "heartbeats_missed", "Heartbeats not answered in time."),
    total("throng_violations_total", "violations", "Connections closed for breaking a protocol rule."),
    total(
        "throng_transport_errors_total",
        "transport_errors",
        "Connections that ended by a transport error.",
    ),
    gauge("throng_drain_left", "drain_left", "Connections that a drain has yet to close."),
    total("throng_drain_closes_total", "drain_closes", "Connections closed by a drain."),
    total("throng_tls_handshakes_total", "tls_handshakes", "TLS handshakes completed."),
    total(
        "throng_tls_resumptions_total",
        "tls_resumptions",
        "TLS handshakes that resumed an earlier session.",
    ),
    total("throng_tls_faults_total", "tls_faults", "Connections closed because TLS failed."),
    total("throng_proxy_headers_total", "proxy_headers", "PROXY headers accepted from trusted proxies."),
    total(
        "throng_proxy_headers_refused_total",
        "proxy_headers_refused",
        "Connections of trusted proxies closed because they did not begin with a PROXY header.",
    ),
    total(
        "throng_proxy_headers_unexpected_total",
        "proxy_headers_unexpected",
        "Connections refused because of an unexpected PROXY header.",
    ),
    total("throng_closes_total", "closes", "Connections closed, for any reason."),
    Family {
        name: "throng_disconnects_total",
        kind: Kind::Counter,
        help: "Sessions that the server closed, by code; other for codes of the application.",
        source: Source::ByPlace("code", |c| &c.disconnects, Values::Codes(DISCONNECTS)),
    },
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
        name: "throng_commands_total",
        kind: Kind::Counter,
        help: "Commands of clients, by method, without those that the session refuses itself (error 107).",
        source: Source::ByPlace("method", |c| &c.commands, Values::Names(&COMMANDS)),
    },
    Family {
        name: "throng_reply_errors_total",
        kind: Kind::Counter,
        help: "Errors in replies to commands of clients, by code; other for codes of the application.",
        source: Source::ByPlace("code", |c| &c.told.errors, Values::Codes(ERRORS)),
    },
    Family {
        name: "throng_unsubscribes_total",
        kind: Kind::Counter,
        help: "Subscriptions that the server ended, by code; other for codes of the application.",
        source: Source::ByPlace("code", |c| &c.told.unsubscribes, Values::Codes(UNSUBSCRIBES)),
    },
    Family {
        name: "throng_socketio_malformed_total",
        kind: Kind::Counter,
        help: "Socket.IO connections closed because of a packet that breaks a rule, and polls beside another one, by rule.",
        source: Source::ByPlace("rule", |c| &c.told.packet_faults, Values::Names(&PacketFault::NAMES)),
    },
    Family {
        name: "throng_socketio_connects_refused_total",
        kind: Kind::Counter,
        help: "CONNECT packets of Socket.IO clients answered by connect_error, by reason, except because of who the client is.",
        source: Source::ByPlace(
            "reason",
            |c| &c.told.connects_refused,
            Values::Names(&ConnectRefusal::NAMES),
        ),
    },
    Family {
        name: "throng_socketio_events_refused_total",
        kind: Kind::Counter,
        help: "Events of Socket.IO clients that were not handled, or not as they should be, by reason.",
        source: Source::ByPlace("reason", |c| &c.told.events_refused, Values::Names(&EventRefusal::NAMES)),
    },
    Family {
        name: "throng_rate_limited_total",
        kind: Kind::Counter,
        help: "Commands and connects refused because a rate or questions_max was exceeded.",
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
    total(
        "throng_socketio_refused_total",
        "refused_sockets",
        "Socket.IO sockets that were refused because of who their client is, or is not.",
    ),
    total("throng_recoveries_total", "recoveries", "Recoveries that delivered all missed publications."),
    total(
        "throng_recoveries_failed_total",
        "recoveries_failed",
        "Recoveries that could not deliver all missed publications.",
    ),
    Family {
        name: "throng_recovered_publications",
        kind: Kind::Histogram,
        help: "Publications that a recovery delivered.",
        source: Source::MergedNumbers(|c| &c.recovered),
    },
    Family {
        name: "throng_socketio_recoveries_total",
        kind: Kind::Counter,
        help: "Socket.IO sockets whose clients returned and got them back, did not get them, or did not return in time.",
        source: Source::By(
            "result",
            &[
                ("recovered", "socket_recoveries"),
                ("refused", "socket_recoveries_refused"),
                ("expired", "socket_recoveries_expired"),
            ],
        ),
    },
    gauge(
        "throng_socketio_sockets_away",
        "sockets_away",
        "Socket.IO sockets without a connection that are kept for clients that may return.",
    ),
    gauge(
        "throng_history_bytes",
        "history_bytes",
        "Bytes of all channel histories, and of what is kept for Socket.IO clients that may return.",
    ),
    gauge("throng_presences", "presences", "Entries in the presence of all channels."),
    total(
        "throng_positions_displaced_total",
        "positions_displaced",
        "Stream positions dropped before history_meta_ttl: too many channels, or memory was short.",
    ),
    total(
        "throng_joins_suppressed_total",
        "joins_suppressed",
        "Join and leave messages dropped because a channel exceeded its rate.",
    ),
    total(
        "throng_requests_total",
        "requests",
        "HTTP requests answered without a session: posted commands, preflights, the first page.",
    ),
    Family {
        name: "throng_namespace_channels",
        kind: Kind::Gauge,
        help: "Channels with subscribers by namespace, where metrics_by_namespace is on; empty for those without.",
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
];
