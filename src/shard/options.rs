//! What a shard goes by: limits, deadlines, rates, what clients may, and what channels and endpoints there are.
//!
//! Invariant: these are values that someone else decided. Where they come from, and what a person may type, is not known
//! here. Left out: what each shard is given for itself, which is [`super::Parts`].

use std::sync::Arc;

use crate::base::bucket::SharedBucket;
use crate::base::counters::CLIENT_NAMES_MAX;
use crate::base::networks::Networks;
use crate::hub::codes::CodeRule;
use crate::hub::home;
use crate::hub::options::Namespaces;
use crate::proto::ws;
use crate::proto::ws::press;
use crate::session::{Endpoints, Secret, Settings, Speaks};

/// What is known of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What its connections begin with.
    pub speaks: Speaks,
    /// Whether they are encrypted.
    pub tls: bool,
}

impl Listener {
    /// One of HTTP.
    pub const fn http(tls: bool) -> Self {
        Self { speaks: Speaks::Http, tls }
    }
}

/// What waits for the memory of a shard's home, at most, where that answers later: what is published has its own budget
/// besides, so that readers are held up long before.
const WAITING_MAX: usize = 65_536;

/// What all shards of a process go by.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything that is bounded.
    pub limits: Limits,
    /// Everything that has a deadline.
    pub timeouts: Timeouts,
    /// Who may connect, and how much each may do.
    pub client: ClientOptions,
    /// How often.
    pub rates: Rates,
    /// What channels are like.
    pub namespaces: Arc<Namespaces>,
    /// The endpoints that requests find.
    pub endpoints: Endpoints,
    /// Whose word counts, on whom a connection (PROXY header) or a request (`X-Forwarded-For`, `Forwarded`) is for.
    pub trusted_proxies: Networks,
    /// Whether connections of trusted proxies begin with a PROXY header.
    pub proxy_protocol: bool,
    /// How messages are compressed; `None`: offers of permessage-deflate are not taken.
    pub compression: Option<press::Options>,
    /// What is counted beside what always is.
    pub metrics: MetricsOptions,
}

/// What is counted beside what always is. Changes with a restart only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Whether channels, subscriptions and publications are counted by namespace.
    pub by_namespace: bool,
    /// Whether users are counted, which keeps their names; where users have a limit, they are counted anyway.
    pub users: bool,
    /// Names of clients' programs by which clients are counted; those beyond [`CLIENT_NAMES_LISTED_MAX`] are as if not there.
    pub client_names: Arc<[String]>,
}

/// How many names of programs there may be.
pub const CLIENT_NAMES_LISTED_MAX: usize = CLIENT_NAMES_MAX - 2;

/// How long clients have for a new token when a term is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndDelays {
    /// That of a connection, in milliseconds.
    pub(super) conn_ms: u64,
    /// That of a subscription, in milliseconds.
    pub(super) sub_ms: u64,
}

impl Options {
    /// Bounds of one of `shard_count` homes.
    pub(super) fn home_limits(&self, shard_count: usize) -> home::Limits {
        let limits = &self.limits;
        home::Limits {
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

    pub(super) fn end_delays(&self) -> EndDelays {
        EndDelays {
            conn_ms: self.client.expired_close_delay_ms,
            sub_ms: self.client.expired_sub_close_delay_ms,
        }
    }

    /// What sessions need to know.
    pub(super) fn settings(&self, secret: Secret) -> Settings {
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
        }
    }
}

/// Bounds. Reaching one has a named outcome, told at each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections held by the process; beyond it, 503. 0 (default): as many as the descriptor limit allows.
    pub connections_max: usize,
    /// Bytes of a request head; beyond it, 431. Default 8 KiB.
    pub head_bytes_max: usize,
    /// Bytes of one received message, all fragments together; beyond it, close 1009. Default 64 KiB.
    pub message_bytes_max: usize,
    /// Bytes of one received frame's payload; beyond it, close 1009. Default 64 KiB; when it is not
    /// typed, as much as `message_bytes_max`.
    pub frame_bytes_max: usize,
    /// Bytes that may wait for one connection; beyond it, the slow consumer is disconnected (3008). Default 1 MiB; when it
    /// is not typed, at least two messages of `message_bytes_max`.
    pub outbox_bytes_max: usize,
    /// Bytes of queued and partly received messages in the whole process; beyond it, connections that hold
    /// some are disconnected (3008). Default 256 MiB.
    pub queued_bytes_max: usize,
    /// Subscriptions of one connection; beyond it, error 106. Default 128, at most 65,535.
    pub channels_per_connection_max: usize,
    /// Bytes of a channel's name; beyond it, error 107. Default 255.
    pub channel_name_bytes_max: usize,
    /// Channels whose home is one shard; beyond it, error 106. Default 1,000,000.
    pub channels_per_shard_max: usize,
    /// Connections accepted in one turn of a shard; the rest waits for the next. Default 16.
    pub accepts_per_turn_max: usize,
    /// Times that a shard reads in one turn from connections that are not live yet, the newest first; the rest waits for
    /// the next turn. Default 4.
    pub handshakes_per_turn_max: usize,
    /// Connections of the process whose request is not complete; beyond it, new connections are refused. Each shard has its
    /// part. Default 65,536; 0: no limit.
    pub half_open_max: usize,
    /// Connections accepted per second in the process. 0 (default): no limit.
    pub accepts_per_second_max: u32,
    /// Connections accepted per second from one address, per shard. 0 (default): no limit.
    pub accepts_per_ip_max: u32,
    /// Connections accepted per second from one network, per shard: 24 bits of an IPv4 address, 64 of an IPv6 address. 0
    /// (default): no limit.
    pub accepts_per_network_max: u32,
    /// TLS handshakes begun per second in the process. 0 (default): no limit.
    pub tls_handshakes_per_second_max: u32,
    /// Bytes of the process's own memory (anonymous: heap and stacks); near it new connections are refused, then those that hold queued bytes are
    /// disconnected, then the newest. 0 (default): no limit.
    pub memory_max: usize,
    /// Bytes read from one connection in one turn; the rest waits for the next. Default 256 KiB.
    pub read_bytes_per_turn_max: usize,
    /// Deliveries written in one turn of a shard; the rest waits for the next. Default 2,048.
    pub deliveries_per_turn_max: usize,
    /// Letters waiting for one shard; beyond it the others pause reading from their sockets. Default 65,536.
    pub mailbox_letters_max: usize,
    /// Bytes of all channels' histories together; beyond it, the oldest publications go. Default 256 MiB.
    pub history_bytes_max: usize,
    /// Joins and leaves told per channel and second; beyond it, they are not told. Default 100.
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
    /// How long what was sent may go unacknowledged, or unread by a peer whose buffers are full, before the kernel gives
    /// the connection up. Default 30,000; 0: as long as the system does, some 15 minutes.
    pub tcp_user_timeout_ms: u64,
    /// Between two heartbeats that the server sends. Default 25,000; 0 turns heartbeats off.
    pub ping_interval_ms: u64,
    /// How long an answer to a heartbeat may take (Centrifuge: disconnect 3012). Default 8,000;
    /// when it is not typed, at most a third of the interval.
    pub pong_timeout_ms: u64,
    /// How long a client may send nothing at all, pongs included. Default 0: no limit but the heartbeat's.
    pub idle_ms: u64,
    /// How long a connection that is being closed may take to read what is queued and say goodbye. Default 5,000.
    pub linger_ms: u64,
    /// Over how long a drain spreads its closes. Default 10,000; in development mode, and so in `Config::default`, 0.
    pub drain_ms: u64,
    /// From the beginning of a drain, when readiness ends, until it stops listening and closes. Default 0.
    pub drain_delay_ms: u64,
    /// Clients that are refused for want of room, or sent away, are told to come back after a time of their own up to
    /// this. At least 1,000; default 10,000.
    pub retry_after_ms: u64,
}

/// The section `client`, with Centrifugo's names and meanings, but for tokens and hooks, which are in
/// [`crate::outside::options::Options`]. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ClientOptions {
    /// Everyone may connect, subscribe and publish, without tokens or permissions. Default false; true in development
    /// mode, which holds when the configuration says nothing of clients and channels.
    pub insecure: bool,
    /// Origins that browsers may come from: patterns with `*`. Empty: none, so no page can connect.
    pub allowed_origins: Vec<String>,
    /// Whether, while `allowed_origins` is empty, pages that this server itself has sent may connect, by an address or as
    /// `localhost`. Default false; true in development mode.
    pub allow_own_pages: bool,
    /// Whether a client without a token connects as the anonymous user.
    pub allow_anonymous_connect_without_token: bool,
    /// Whether a client without a token connects as the user that its verified certificate names.
    pub allow_certificate_connect_without_token: bool,
    /// Whether tokens without a user are refused.
    pub disallow_anonymous_connection_tokens: bool,
    /// Name of a cookie that may hold the connection's token; empty for none.
    pub token_cookie: String,
    /// How long a client may take to bring a new token when the old has expired. Default 25,000.
    pub expired_close_delay_ms: u64,
    /// How long a client may take to bring a new token for a subscription when the old has expired. Default 25,000.
    pub expired_sub_close_delay_ms: u64,
    /// Whether the answer to a connect command tells the server's time. Default false.
    pub connect_include_server_time: bool,
    /// Publications that one history request gives at most. Default 300.
    pub history_max_publication_limit: usize,
    /// Publications that one recovery gives at most; who missed more is not recovered. Default 300.
    pub recovery_max_publication_limit: usize,
    /// Whether each user's connections are subscribed to the user's own channel.
    pub subscribe_to_user_personal_channel: bool,
    /// The namespace of those channels; empty for none.
    pub personal_channel_namespace: String,
    /// Whether a user's newest connection is its only one: those before it are closed (3504).
    pub personal_channel_single_connection: bool,
    /// Connections of one user, in the whole process; one more is closed (3504). 0 (default): no limit.
    pub user_connection_limit: usize,
    /// Commands of one connection that hooks and token workers are asked about at a time; the next ones wait. At 0
    /// (default) and 1 commands are carried out in their order, beyond that in the order of the answers.
    pub concurrency: usize,
    /// The header of the request in which a proxy names the user; empty for none.
    pub user_id_http_header: String,
    /// What clients that cannot be told an error are disconnected with in its place. Where no rule fits, as ever.
    pub uni_disconnects: Vec<CodeRule>,
}

/// What the rates of the whole process leave it; all shards take of the same.
#[derive(Clone, Debug, Default)]
pub struct ProcessRates {
    /// Of [`Rates::connects_max`].
    pub(super) connects: SharedBucket,
    /// Of [`Limits::accepts_per_second_max`].
    pub(super) accepts: SharedBucket,
    /// Of [`Limits::tls_handshakes_per_second_max`].
    pub(super) tls_handshakes: SharedBucket,
}

/// Rates, per second; 0 for no limit. Who exceeds one gets error 111, or disconnect 3013 where there is no reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Connections that connect, in the whole process.
    pub connects_max: u32,
    /// Connections that connect from one address, per shard.
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
            join_leave_per_second_max: 100,
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
