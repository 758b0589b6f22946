//! The list of a shard's counters. Metrics, logs and tests read it; `base::counters` has its parts.

use std::sync::Arc;

use crate::base::counters::{ByPlace, Counter, Histogram};
use crate::hub::tally::ByNamespace;
use crate::session::Told;

/// Limit of session kinds.
pub const SESSION_KINDS_MAX: usize = 16;
/// Maximum of distinguished names of clients' programs, with one place for an empty name and one for all others.
pub const CLIENT_NAMES_MAX: usize = 16;

/// Clients of one transport, by the place of their program's name.
#[derive(Debug, Default)]
pub struct ByName {
    /// Gauge: connected clients.
    pub connected: [Counter; CLIENT_NAMES_MAX],
    /// Clients whose connect command was accepted.
    pub connects: [Counter; CLIENT_NAMES_MAX],
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// All counters of one shard.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
            /// Gauges: sessions of each kind. The user of the counters numbers the kinds.
            pub sessions_by_kind: [Counter; SESSION_KINDS_MAX],
            /// Clients by the kind of their session and by their program.
            pub clients_by_kind: [ByName; SESSION_KINDS_MAX],
            /// Commands executed, by their request.
            pub commands: ByPlace,
            /// Errors and unsubscribe pushes to clients.
            pub told: Told,
            /// Sessions ended by the server, by the code of the close frame.
            pub disconnects: ByPlace,
            /// Recovered publications, for each recovery.
            pub recovered: Histogram,
            /// Time from a heartbeat to its answer, in microseconds.
            pub pong_us: Histogram,
            /// Duration of a turn, from the return of the poll to the next poll, in microseconds.
            pub turn_us: Histogram,
            /// Counters by namespace, where that is configured.
            pub by_namespace: Arc<ByNamespace>,
            /// Time from the first delivery of a channel's batch to its last, in microseconds.
            pub fanout_us: Histogram,
        }

        impl Counters {
            /// Every plain counter with its name, in the order of declaration.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.value())),+].into_iter()
            }
        }
    };
}

counters! {
    /// Gauge: open sockets of clients, in any phase.
    connections,
    /// Gauge: of those, past their handshake.
    sessions,
    /// Connections accepted.
    accepts,
    /// Times accepting was paused because descriptors or memory ran out.
    accept_pauses,
    /// Handshakes completed (101 sent).
    handshakes,
    /// Handshakes refused: malformed request (400).
    refused_bad_request,
    /// Handshakes refused: no such path (404).
    refused_not_found,
    /// Handshakes refused: method is not GET (405).
    refused_method,
    /// Handshakes refused: not a WebSocket upgrade or wrong version (426).
    refused_upgrade,
    /// Handshakes refused: head too large (431).
    refused_head_too_large,
    /// Handshakes refused: at capacity or draining (503).
    refused_unavailable,
    /// Handshakes refused by the endpoint's own handler (403).
    refused_forbidden,
    /// Connections refused before their request was read: too many per second in the process.
    refused_node_rate,
    /// Connections refused before their request was read: too many per second from one address.
    refused_ip_rate,
    /// Connections refused before their request was read: too many per second from one network.
    refused_network_rate,
    /// Connections refused before their request was read: too many requests are incomplete.
    refused_half_open,
    /// Connections refused before the key exchange: too many TLS handshakes per second in the process.
    refused_handshake_rate,
    /// Connections refused before their request was read: memory is short.
    refused_memory,
    /// Gauge: connections refused before their request was read that may still read the answer.
    refused_lingering,
    /// Gauge: connections with an incomplete request.
    half_open,
    /// Gauge: connections whose requests are answered outside the shards and carried a valid key.
    forwarding,
    /// Requests of HTTP long-polling.
    polls,
    /// Of these, the ones refused because the budget of queued bytes was exhausted (503).
    polls_busy,
    /// Gauge: WebSockets that are to replace the polls of a session.
    probes,
    /// Sessions that have moved from polls to a WebSocket.
    upgrades,
    /// WebSockets that did not come to replace polls: broken, too late, or their session has ended.
    upgrades_failed,
    /// Requests for such a WebSocket that were refused: no session, a second one, or no room for it.
    upgrades_refused,
    /// Connections handed over to the shard of their session.
    sockets_moved,
    /// Requests forwarded for an answer from outside the shards.
    forwarded_requests,
    /// Gauge: forwarded requests without an answer yet.
    forwarded_out,
    /// Requests refused because too many forwarded requests had no answer (503).
    forwarded_busy,
    /// Requests with a wrong key (401).
    wrong_keys,
    /// Answers to wrong keys that were delayed, because one address sent too many.
    wrong_keys_slowed,
    /// Turns that deferred new connections to the next turn because handshakes_per_turn_max was reached.
    newcomer_waits,
    /// Gauge: connections that a drain has still to close.
    drain_left,
    /// Connections closed by a drain.
    drain_closes,
    /// Connections that held queued bytes, closed because memory was short.
    memory_shed_slow,
    /// The newest connections, closed because memory was short.
    memory_shed_newest,
    /// Publications dropped from history early because memory was short.
    memory_shed_publications,
    /// Gauge: current step of the responses to short memory, 0 to 3.
    memory_step,
    /// Gauge: bytes of connections themselves.
    connection_bytes,
    /// Gauge: bytes of the places of former connections, kept for the next ones.
    vacant_bytes,
    /// Gauge: bytes of the lists of subscriptions, at connections and at channels.
    subscription_bytes,
    /// Gauge: bytes of channels and their names, here and at their home, of positions, and of the indexes of users
    /// and groups.
    channel_bytes,
    /// Gauge: bytes of presence.
    presence_bytes,
    /// Gauge: bytes of the clients' data.
    client_bytes,
    /// Gauge: bytes of letters waiting for this shard, and of their queues.
    letter_bytes,
    /// Gauge: connections with client data beside their socket and session.
    clients,
    /// Gauge: connections over TLS.
    tls_links,
    /// Gauge: open sockets of clients behind a proxy or on a Unix socket, without TLS.
    plain_lines,
    /// Gauge: bytes of the shard's own buffers.
    buffer_bytes,
    /// Gauge: bytes of requests and messages that are still arriving.
    partial_bytes,
    /// Complete data messages received.
    messages_in,
    /// Data messages written or queued, one per receiver.
    messages_out,
    /// Bytes read from sockets.
    bytes_in,
    /// Bytes written to sockets.
    bytes_out,
    /// Publications accepted by channels whose home is this shard.
    publications,
    /// Publications refused by channels whose home is this shard: too many in a second, or one channel too many.
    publications_refused,
    /// Publications handed to subscribers of this shard, one per subscriber.
    deliveries,
    /// Gauge: bytes waiting in outboxes.
    outbox_bytes,
    /// Gauge: bytes of the queues of outboxes, without the queued bytes.
    outbox_queue_bytes,
    /// Gauge: connections with a non-empty outbox.
    outboxes,
    /// Connections closed because their outbox reached its limit.
    slow_consumers,
    /// Connections closed because the process-wide budget of queued bytes was exhausted.
    budget_closes,
    /// Heartbeats that were not answered in time.
    heartbeats_missed,
    /// Heartbeats sent.
    heartbeats_sent,
    /// Handshakes that did not complete in time.
    handshake_timeouts,
    /// Connections closed because a message that had begun was not complete in time.
    message_timeouts,
    /// Pings of floods that got no pong, because a later ping did.
    pings_unanswered,
    /// Connections closed for breaking a protocol rule.
    violations,
    /// Connections that ended by a transport error (reset, broken pipe).
    transport_errors,
    /// TLS handshakes completed.
    tls_handshakes,
    /// TLS handshakes that resumed an earlier session.
    tls_resumptions,
    /// Connections closed because TLS failed: in the handshake, or by an invalid record.
    tls_faults,
    /// PROXY headers accepted from trusted proxies.
    proxy_headers,
    /// Connections of trusted proxies closed because they did not begin with a PROXY header.
    proxy_headers_refused,
    /// PROXY headers refused because none was expected.
    proxy_headers_unexpected,
    /// Connections closed, for any reason.
    closes,
    /// Events and letters for a connection that no longer exists.
    stale_ids,
    /// Letters sent to other shards.
    letters_out,
    /// Letters received from other shards.
    letters_in,
    /// Turns in which reading was paused because another shard's mailbox was full.
    mailbox_pauses,
    /// Gauge: channels with subscribers in any shard whose home is this shard.
    channels,
    /// Gauge: streams of channels whose home is this shard, with or without subscribers: their positions and
    /// histories.
    streams,
    /// Gauge: subscriptions held by connections of this shard.
    subscriptions,
    /// Connects refused (error 111, or disconnect 3013): too many in the process.
    rate_limited_connects,
    /// Connects refused: too many from one address.
    rate_limited_connects_per_ip,
    /// Commands refused (error 111): too many of any kind from one connection.
    rate_limited_commands,
    /// Commands refused: too many subscriptions of one connection.
    rate_limited_subscribes,
    /// Commands refused: too many publications of one connection.
    rate_limited_publishes,
    /// Commands refused: too many calls of one connection.
    rate_limited_rpcs,
    /// Commands refused: one connection asked for presence too often.
    rate_limited_presences,
    /// Commands refused: one connection asked for history too often.
    rate_limited_histories,
    /// Commands refused: too many of another kind from one connection.
    rate_limited_others,
    /// Connects and commands refused: too many tokens and hook calls are pending.
    rate_limited_questions,
    /// Subscriptions refused (error 106, or disconnect 3505): the connection is at its limit.
    limited_subscriptions,
    /// Subscriptions and publications refused (error 106): their home is at its limit of channels.
    limited_channels,
    /// Replies to a client's own commands that were refused (error 111, or disconnect 3013): their bytes exceed the
    /// limit.
    limited_answers,
    /// Subscriptions refused (error 111, or disconnect 3011), and publications and questions that would have made a new
    /// channel: memory is short.
    limited_memory,
    /// Connections closed (3504): their user is at the limit of connections.
    limited_user_connections,
    /// Sockets refused because of who their client is, or is not.
    refused_sockets,
    /// Connections closed (1009) and requests refused (413): their message is longer than the limit.
    limited_message_bytes,
    /// Requested recoveries that returned all missed publications.
    recoveries,
    /// Requested recoveries that failed.
    recoveries_failed,
    /// Socket.IO sockets that their clients got back.
    socket_recoveries,
    /// Socket.IO clients that asked for a socket and did not get it.
    socket_recoveries_refused,
    /// Socket.IO sockets that ended because their clients did not return, or could not get what they missed.
    socket_recoveries_expired,
    /// Gauge: Socket.IO sockets that this shard keeps for clients that may return.
    sockets_away,
    /// Gauge: bytes of the histories of channels whose home is this shard.
    history_bytes,
    /// Gauge: entries in the presence of channels whose home is this shard.
    presences,
    /// Gauge: users whose home is this shard, where users are counted.
    users,
    /// Positions in streams that were removed early: there were too many channels, or memory was short.
    positions_displaced,
    /// Joins and leaves that were not announced, because a channel had too many.
    joins_suppressed,
    /// Gauge: polls of Socket.IO clients that wait for output.
    polls_waiting,
    /// HTTP requests answered without a session: posted commands, preflights, the first page.
    requests,
    /// Handshakes that negotiated permessage-deflate.
    deflate_handshakes,
    /// Bytes before compression of compressed messages; a message to many receivers counts once.
    deflate_plain_bytes,
    /// Bytes after compression of those messages.
    deflate_packed_bytes,
    /// Bytes of clients' compressed messages after decompression.
    inflated_bytes,
    /// Turns run.
    turns,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_every_counter() {
        let c = Counters::default();
        c.accepts.add(3);
        c.connections.add(2);
        c.connections.sub(1);
        let seen: Vec<_> = c.each().filter(|(_, v)| *v > 0).collect();
        assert_eq!(seen, [("connections", 1), ("accepts", 3)]);
    }
}
