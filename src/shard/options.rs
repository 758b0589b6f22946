//! Options of shards: limits, deadlines, rates, rules for clients, channels and endpoints.
//!
//! Invariant: values are used as given. Their sources and the allowed input are not known here. Left out: the inputs
//! of a single shard ([`super::Parts`]).

use std::sync::Arc;

use crate::base::bucket::SharedBucket;
use crate::base::networks::Networks;
use crate::hub::away::RecoveryLimits;
use crate::hub::codes::CodeRule;
use crate::hub::home;
use crate::hub::options::Namespaces;
use crate::hub::rooms::RoomMap;
use crate::proto::ws;
use crate::proto::ws::press;
use crate::session::{
    ClaimRules, ConnectRate, Endpoints, PacketRates, Secret, Settings, SocketIoOptions, Speaks,
};
use crate::shard::counters::CLIENT_NAMES_MAX;

/// Properties of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The protocol with which its connections begin.
    pub speaks: Speaks,
    /// Whether its connections use TLS.
    pub tls: bool,
}

impl Listener {
    /// A listener of HTTP.
    pub const fn http(tls: bool) -> Self {
        Self { speaks: Speaks::Http, tls }
    }
}

/// Maximum number of requests that wait for a memory that answers later. Publications are also limited by their
/// budget, so readers are held up long before.
const WAITING_MAX: usize = 65_536;

/// Time by which the end of a connection may be noticed later than its last deadline, in milliseconds: deadlines are
/// rounded up, and letters take time.
const NOTICE_MS: u64 = 2000;

/// Options of all shards.
#[derive(Clone, Debug)]
pub struct Options {
    /// Limits.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Rules and limits for clients.
    pub client: ClientOptions,
    /// Rates.
    pub rates: Rates,
    /// Options of channels.
    pub namespaces: Arc<Namespaces>,
    /// Endpoints for requests.
    pub endpoints: Endpoints,
    /// Options of the Socket.IO endpoint.
    pub socketio: SocketIoOptions,
    /// Whether a way to prove the identity of a Socket.IO client is configured.
    pub identifies_sockets: bool,
    /// Networks of proxies whose PROXY, `X-Forwarded-For` and `Forwarded` headers are trusted.
    pub trusted_proxies: Networks,
    /// Whether connections of trusted proxies begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Options of compression; `None`: offers of permessage-deflate are declined.
    pub compression: Option<press::Options>,
    /// Optional metrics.
    pub metrics: MetricsOptions,
}

/// Optional metrics. They change at a restart only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Whether channels, subscriptions and publications are counted by namespace.
    pub by_namespace: bool,
    /// Whether users are counted, which stores their names; with a limit of connections per user they are counted
    /// anyway.
    pub users: bool,
    /// Names of programs by which clients are counted; those beyond [`CLIENT_NAMES_LISTED_MAX`] are ignored.
    pub client_names: Arc<[String]>,
}

/// Maximum number of names of programs.
pub const CLIENT_NAMES_LISTED_MAX: usize = CLIENT_NAMES_MAX - 2;

/// Time that clients have for a new token after an expiry.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndDelays {
    /// For a connection, in milliseconds.
    pub(super) conn_ms: u64,
    /// For a subscription, in milliseconds.
    pub(super) sub_ms: u64,
}

impl Options {
    /// The limits of one of `shard_count` homes.
    pub(super) fn home_limits(&self, shard_count: usize) -> home::Limits {
        let limits = &self.limits;
        let socketio = &self.socketio;
        home::Limits {
            recovery: (socketio.recovery_ttl_ms > 0).then(|| RecoveryLimits {
                ttl_ms: socketio.recovery_ttl_ms,
                // The last proof that a client has an event may be that old when its connection ends.
                log_ms: socketio.recovery_ttl_ms
                    + socketio.ping_interval_ms
                    + 2 * socketio.ping_timeout_ms
                    + NOTICE_MS,
                bytes_max: socketio.recovery_bytes_max,
                sockets_max: socketio.recovery_sockets_max,
                missed_bytes_max: self.limits.outbox_bytes_max,
            }),
            channels_max: limits.channels_per_shard_max,
            history_bytes_max: limits.history_bytes_max / shard_count.max(1),
            join_leave_per_second_max: u32::try_from(limits.join_leave_per_second_max).unwrap_or(u32::MAX),
            history_meta_ttl_ms: self.namespaces.history_meta_ttl_ms,
            recovery_max: match self.client.recovery_max_publication_limit {
                0 => usize::MAX,
                count => count,
            },
            waiting_max: WAITING_MAX,
        }
    }

    /// The channels that are rooms of Socket.IO, and the homes of rooms.
    pub(super) fn rooms(&self) -> RoomMap {
        RoomMap::new(&self.namespaces, self.socketio.has_home_per_room, self.client.insecure)
    }

    pub(super) fn end_delays(&self) -> EndDelays {
        EndDelays {
            conn_ms: self.client.expired_close_delay_ms,
            sub_ms: self.client.expired_sub_close_delay_ms,
        }
    }

    /// The rates of Socket.IO packets, by those of commands; `None` if there are none.
    fn packet_rates(&self) -> Option<PacketRates> {
        let rates = PacketRates {
            all: self.rates.commands_max,
            connects: self.rates.subscribes_max,
            events: self.rates.publishes_max,
            calls: self.rates.rpcs_max,
            answers: self.rates.others_max,
        };
        (rates != PacketRates::default()).then_some(rates)
    }

    /// The settings for sessions.
    pub(super) fn settings(&self, secret: Secret, rates: &ProcessRates) -> Settings {
        let limits = &self.limits;
        Settings {
            endpoints: self.endpoints.clone(),
            head_bytes_max: limits.head_bytes_max,
            ws: ws::Limits {
                frame_bytes_max: limits.frame_bytes_max,
                message_bytes_max: limits.message_bytes_max,
            },
            channel_name_bytes_max: limits.channel_name_bytes_max,
            outbox_bytes_max: limits.outbox_bytes_max,
            limits_calls: self.rates.commands_max > 0 || self.rates.rpcs_max > 0,
            secret,
            trusted_proxies: self.trusted_proxies.clone(),
            socketio: self.socketio.clone(),
            rules_version: 0,
            packet_rates: self.packet_rates(),
            late: None,
            claims: ClaimRules {
                identifies: self.identifies_sockets,
                are_limited: self.rates.connects_per_ip_max > 0 || self.rates.connects_max > 0,
            },
            rooms: self.rooms(),
            connects: ConnectRate::new(&rates.connects, self.rates.connects_max),
        }
    }
}

/// Limits. Each has a documented outcome when it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections in the process; beyond it, 503. 0 (default): as many as the descriptor limit
    /// allows.
    pub connections_max: usize,
    /// Maximum size of a request head, in bytes; beyond it, 431. Default 32 KiB.
    pub head_bytes_max: usize,
    /// Maximum size of a received message, all fragments together, in bytes; beyond it, close 1009. Default 64 KiB.
    pub message_bytes_max: usize,
    /// Maximum size of a received frame's payload, in bytes; beyond it, close 1009. Default 64 KiB; unless set, the
    /// same as `message_bytes_max`.
    pub frame_bytes_max: usize,
    /// Maximum number of bytes queued for one connection; beyond it, the slow consumer is disconnected (3008).
    /// Default 1 MiB; unless set, at least two messages of `message_bytes_max`.
    pub outbox_bytes_max: usize,
    /// Maximum number of bytes of queued and partly received messages in the process; beyond it, connections that
    /// hold some are disconnected (3008). Default 256 MiB.
    pub queued_bytes_max: usize,
    /// Maximum number of subscriptions of one connection; beyond it, error 106. Default 128, at most 65,535.
    pub channels_per_connection_max: usize,
    /// Maximum size of a channel's name, in bytes; beyond it, error 107. Default 255.
    pub channel_name_bytes_max: usize,
    /// Maximum number of channels whose home is one shard; beyond it, error 106. Default 1,000,000.
    pub channels_per_shard_max: usize,
    /// Maximum number of connections accepted in one turn of a shard; the rest waits for the next. Default 16.
    pub accepts_per_turn_max: usize,
    /// Maximum number of reads in one turn of a shard from connections that are not live yet, the newest first; the
    /// rest waits for the next turn. Default 4.
    pub handshakes_per_turn_max: usize,
    /// Maximum number of connections in the process with an incomplete request; beyond it, new connections are
    /// refused. Each shard has its part. Default 65,536; 0: no limit.
    pub half_open_max: usize,
    /// Maximum number of connections accepted per second in the process. 0 (default): no limit.
    pub accepts_per_second_max: u32,
    /// Maximum number of connections accepted per second from one address, per shard. 0 (default): no limit.
    pub accepts_per_ip_max: u32,
    /// Maximum number of connections accepted per second from one network, per shard: 24 bits of an IPv4 address, 64
    /// of an IPv6 address. 0 (default): no limit.
    pub accepts_per_network_max: u32,
    /// Maximum number of TLS handshakes started per second in the process. 0 (default): no limit.
    pub tls_handshakes_per_second_max: u32,
    /// Maximum size of the process's own memory (anonymous: heap and stacks), in bytes. Near it new connections are
    /// refused, then connections with queued bytes are disconnected, then the newest. 0 (default): no limit.
    pub memory_max: usize,
    /// Maximum number of bytes read from one connection in one turn; the rest waits for the next. Default 256 KiB.
    pub read_bytes_per_turn_max: usize,
    /// Maximum number of deliveries in one turn of a shard; the rest waits for the next. Default 2,048.
    pub deliveries_per_turn_max: usize,
    /// Maximum number of letters queued for one shard; beyond it the others pause reading from their sockets. Default
    /// 65,536.
    pub mailbox_letters_max: usize,
    /// Maximum size of all channels' histories together, in bytes; beyond it, the oldest publications are dropped.
    /// Default 256 MiB.
    pub history_bytes_max: usize,
    /// Maximum number of joins and leaves sent per channel and second; beyond it, they are not sent. Default 100.
    pub join_leave_per_second_max: usize,
}

/// Deadlines, all in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the request head. Default 10,000.
    pub handshake_ms: u64,
    /// From the handshake to the connect command (Centrifuge: disconnect 3502). Default 10,000.
    pub connect_ms: u64,
    /// From the first byte of a message to its last; then close 1008. Default 30,000; 0: no limit.
    pub message_ms: u64,
    /// Time after which the kernel closes a connection with unacknowledged data, or whose peer does not read and has
    /// full buffers. Default 30,000; 0: the system's time, some 15 minutes.
    pub tcp_user_timeout_ms: u64,
    /// Interval between two heartbeats of the server. Default 25,000; 0 disables heartbeats.
    pub ping_interval_ms: u64,
    /// Timeout of the answer to a heartbeat (Centrifuge: disconnect 3012). Default 8,000; unless set, at most a third
    /// of the interval.
    pub pong_timeout_ms: u64,
    /// Maximum time without any input from a client, pongs included. Default 0: only the heartbeat's limit.
    pub idle_ms: u64,
    /// Time for a connection that is being closed to read queued data and to close. Default 5,000.
    pub linger_ms: u64,
    /// Longest time over which a drain spreads its closes. Default 10,000; in development mode, and so in `Config::default`,
    /// 0.
    pub drain_ms: u64,
    /// Connections that a drain closes in each shard per second at least, so that a drain of few connections takes less
    /// than `drain_ms`. Default 500; unless set, 20 where `drain_ms` is set by its own name.
    pub drain_closes_per_second_min: usize,
    /// Time from the start of a drain, when readiness ends, until it stops listening and closes. Default 0.
    pub drain_delay_ms: u64,
    /// Maximum of the retry times of clients that are refused for lack of room, or disconnected by the server; each
    /// has a different time. At least 1,000; default 10,000.
    pub retry_after_ms: u64,
}

/// The section `client`, with Centrifugo's names and meanings, except for tokens and hooks (see
/// [`crate::outside::options::Options`]). Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ClientOptions {
    /// Every client may connect, subscribe and publish, without tokens or permissions. Default false; true in
    /// development mode, which holds when the configuration has no settings of clients and channels.
    pub insecure: bool,
    /// Allowed origins of browsers: patterns with `*`. Empty: none, so no page can connect.
    pub allowed_origins: Vec<String>,
    /// Whether, while `allowed_origins` is empty, pages served by this server may connect, by an address or as
    /// `localhost`. Default false; true in development mode.
    pub allow_own_pages: bool,
    /// Whether a client without a token connects as the anonymous user.
    pub allow_anonymous_connect_without_token: bool,
    /// Whether a client without a token connects as the user named in its verified certificate.
    pub allow_certificate_connect_without_token: bool,
    /// Whether tokens without a user are refused.
    pub disallow_anonymous_connection_tokens: bool,
    /// Name of a cookie that may contain the connection token; empty for none.
    pub token_cookie: String,
    /// Time for a client to send a new token after the old one has expired. Default 25,000.
    pub expired_close_delay_ms: u64,
    /// Time for a client to send a new token for a subscription after the old one has expired. Default 25,000.
    pub expired_sub_close_delay_ms: u64,
    /// Whether the reply to a connect command contains the server's time. Default false.
    pub connect_include_server_time: bool,
    /// Maximum number of publications in the answer to one history request. Default 300.
    pub history_max_publication_limit: usize,
    /// Maximum number of publications in one recovery; a client that missed more is not recovered. Default 300.
    pub recovery_max_publication_limit: usize,
    /// Whether each user's connections are subscribed to the user's personal channel.
    pub subscribe_to_user_personal_channel: bool,
    /// The namespace of those channels; empty for none.
    pub personal_channel_namespace: String,
    /// Whether only a user's newest connection stays open: older ones are closed (3504).
    pub personal_channel_single_connection: bool,
    /// Maximum number of connections of one user in the process; a further one is closed (3504). 0 (default): no
    /// limit.
    pub user_connection_limit: usize,
    /// Maximum number of commands of one connection with open questions to hooks and token workers; the next ones
    /// wait. At 0 (default) and 1 commands are carried out in order, beyond that in the order of the answers.
    pub concurrency: usize,
    /// Name of the request header in which a proxy names the user; empty for none.
    pub user_id_http_header: String,
    /// Disconnect codes for clients that cannot receive an error, by error code. Without a matching rule: the
    /// default.
    pub uni_disconnects: Vec<CodeRule>,
}

/// The token buckets of the process's rates, shared by all shards.
#[derive(Clone, Debug, Default)]
pub struct ProcessRates {
    /// For [`Rates::connects_max`].
    pub(super) connects: SharedBucket,
    /// For [`Limits::accepts_per_second_max`].
    pub(super) accepts: SharedBucket,
    /// For [`Limits::tls_handshakes_per_second_max`].
    pub(super) tls_handshakes: SharedBucket,
}

/// Rates, per second; 0 for no limit. A client that exceeds one gets error 111, or disconnect 3013 where there is no
/// reply; the request of a new client beyond [`Rates::connects_max`] gets 503.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// New clients in the process: connections, and connect commands after a refused one.
    pub connects_max: u32,
    /// Connects from one address, per shard.
    pub connects_per_ip_max: u32,
    /// Commands of one connection, of any kind.
    pub commands_max: u32,
    /// Subscribe commands of one connection.
    pub subscribes_max: u32,
    /// Publish commands of one connection.
    pub publishes_max: u32,
    /// Calls of one connection.
    pub rpcs_max: u32,
    /// Presence and presence_stats commands of one connection.
    pub presences_max: u32,
    /// History commands of one connection.
    pub histories_max: u32,
    /// Commands of one connection of every other kind.
    pub others_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 0,
            head_bytes_max: 32 << 10,
            message_bytes_max: 64 << 10,
            frame_bytes_max: 64 << 10,
            outbox_bytes_max: 1 << 20,
            queued_bytes_max: 256 << 20,
            channels_per_connection_max: 128,
            channel_name_bytes_max: 255,
            channels_per_shard_max: 1_000_000,
            accepts_per_turn_max: 16,
            handshakes_per_turn_max: 4,
            half_open_max: 65_536,
            accepts_per_second_max: 0,
            tls_handshakes_per_second_max: 0,
            accepts_per_ip_max: 0,
            accepts_per_network_max: 0,
            memory_max: 0,
            read_bytes_per_turn_max: 256 << 10,
            deliveries_per_turn_max: 2048,
            mailbox_letters_max: 65_536,
            history_bytes_max: 256 << 20,
            join_leave_per_second_max: 10_000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake_ms: 10_000,
            connect_ms: 10_000,
            message_ms: 30_000,
            tcp_user_timeout_ms: 30_000,
            ping_interval_ms: 25_000,
            pong_timeout_ms: 8_000,
            idle_ms: 0,
            linger_ms: 5_000,
            drain_ms: 10_000,
            drain_closes_per_second_min: 500,
            drain_delay_ms: 0,
            retry_after_ms: 10_000,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            insecure: false,
            allowed_origins: Vec::new(),
            allow_own_pages: false,
            allow_anonymous_connect_without_token: false,
            allow_certificate_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            token_cookie: String::new(),
            expired_close_delay_ms: 25_000,
            expired_sub_close_delay_ms: 25_000,
            connect_include_server_time: false,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            subscribe_to_user_personal_channel: false,
            personal_channel_namespace: String::new(),
            personal_channel_single_connection: false,
            user_connection_limit: 0,
            concurrency: 0,
            user_id_http_header: String::new(),
            uni_disconnects: Vec::new(),
        }
    }
}
