//! The effective configuration: what every limit and deadline is, decided at start.
//!
//! Two types, so that nobody reads a half-decided value: [`Args`] is what a person typed, [`Config`] what it
//! means. The way from one to the other: [`KEYS`] is the one list of flat keys, `sections` has the keys that Centrifugo
//! has, too; `file` and the variables add to what was typed; [`resolve()`] puts a flag before a variable before the file
//! before the default, refuses what is not allowed, and remembers for each key where its value came from
//! ([`Effective`]). [`memory`] says what the limits cost at worst, `show` prints all of it.
//!
//! The server takes any [`Config`]; only what was typed is checked against the ranges in [`KEYS`].

mod args;
mod client;
mod endpoints;
mod error;
mod file;
mod keys;
pub mod memory;
mod reload;
mod resolve;
pub mod sections;
mod show;
mod slot;
mod tls;
mod value;
mod variables;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::networks::Networks;
use crate::hub::options::Namespaces;
use crate::net::Listen;
use crate::outside;

pub use args::Args;
pub use client::{ApiOptions, ClientOptions, ControlKey, Paths, Rates};
pub use endpoints::endpoints;
pub use error::{ConfigError, Place};
pub use keys::{Group, KEYS, Key};
pub use reload::{Changes, RELOAD, Reload, reload_of};
pub use resolve::{Effective, examine, is_loopback, resolve};
pub use sections::Sections;
pub use slot::{Form, Slot, duration_ms, duration_text, is_placeholder};
pub use tls::{PemText, TlsOptions};
pub use variables::{OUTSIDE_VARIABLES, Variables};

/// Everything a server needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Development mode was asked for by its name, so that it may be reachable from other machines. Default false: what was
    /// typed without a word of who may connect is development mode on loopback only.
    pub development: bool,
    /// Where the data plane listens. Default `127.0.0.1:8000`.
    pub listen: Vec<Listen>,
    /// Permissions of the files of Unix sockets. Default `0660`: the server's user and its group.
    pub unix_mode: u32,
    /// Whose word counts, on whom a connection (PROXY header) or a request (`X-Forwarded-For`, `Forwarded`) is for. Who
    /// comes by a Unix socket is trusted always. Default none.
    pub trusted_proxies: Networks,
    /// Whether connections of trusted proxies begin with a PROXY header. Default false.
    pub proxy_protocol: bool,
    /// Address of the control listener (metrics, health). Default `127.0.0.1:9000`; `None` turns it off.
    pub control: Option<SocketAddr>,
    /// What those who ask the control listener must know, as `Authorization: Bearer`. Default none: then only this machine
    /// is answered, and others learn no more than that the server lives.
    pub control_key: ControlKey,
    /// Whether metrics tell channels, subscriptions and publications by namespace. Default false.
    pub metrics_by_namespace: bool,
    /// Number of shards (threads), 1 to 1024. Default: one per core available to the process.
    pub shards: usize,
    /// Pin each shard to a core. Default true.
    pub pin: bool,
    /// Give each shard a descriptor table of its own (`unshare(CLONE_FILES)`). Default true.
    pub private_descriptors: bool,
    /// Path of a raw endpoint that echoes every message, for benchmarks and conformance tests. Default none.
    pub echo: Option<String>,
    /// Path of the Centrifuge endpoint. Default `/connection/websocket`; `None` leaves it out, for an embedder whose own
    /// endpoints are all there is.
    pub websocket_path: Option<String>,
    /// Certificates, if connections are to be encrypted.
    pub tls: TlsOptions,
    /// Take clients' offers of permessage-deflate (RFC 7692). Default false.
    pub compression: bool,
    /// Bytes of a message below which it is sent as it is, 0 to 1 MiB. Default 256.
    pub compression_min_bytes: usize,
    /// How hard to try, 1 (fast) to 9 (small). Default 1.
    pub compression_level: usize,
    /// Everything that is bounded.
    pub limits: Limits,
    /// Everything that has a deadline.
    pub timeouts: Timeouts,
    /// What is logged, and how.
    pub logs: Logs,
    /// Who may connect, and how much each may do.
    pub client: ClientOptions,
    /// How often.
    pub rates: Rates,
    /// Which transports there are beside the WebSocket, and where.
    pub paths: Paths,
    /// Whether `/` serves a page that shows that it works. Default true in development mode.
    pub first_page: bool,
    /// A page of an embedder's own, served at `/` in place of that one.
    pub page: Option<&'static str>,
    /// What channels are like.
    pub namespaces: Arc<Namespaces>,
    /// Tokens and hooks.
    pub outside: Arc<outside::options::Options>,
    /// The server's HTTP API, on the control listener.
    pub api: ApiOptions,
}

/// What is logged, and how. Logs go to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or directives such as `info,throng::shard=debug`.
    /// Default `info`.
    pub level: String,
    /// Default text.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
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
    /// Connections accepted per second in the process; each shard has its part. 0 (default): no limit.
    pub accepts_per_second_max: u32,
    /// Connections accepted per second from one address, per shard. 0 (default): no limit.
    pub accepts_per_ip_max: u32,
    /// Connections accepted per second from one network, per shard: 24 bits of an IPv4 address, 64 of an IPv6 address. 0
    /// (default): no limit.
    pub accepts_per_network_max: u32,
    /// TLS handshakes begun per second in the process; each shard has its part. 0 (default): no limit.
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
    /// Over how long a drain spreads its closes. Default 10,000; in development mode, and so in [`Config::default`], 0.
    pub drain_ms: u64,
    /// From the beginning of a drain, when readiness ends, until it stops listening and closes. Default 0.
    pub drain_delay_ms: u64,
    /// Clients that are refused for want of room, or sent away, are told to come back after a time of their own up to
    /// this. At least 1,000; default 10,000.
    pub retry_after_ms: u64,
}

impl Config {
    /// Whether it holds keys that nobody else may see.
    pub fn keeps_secrets(&self) -> bool {
        let tokens = [Some(&self.outside.token), self.outside.subscription_token.as_ref()];
        self.tls.is_on()
            || !self.control_key.0.is_empty()
            || !self.api.keys.is_empty()
            || tokens.into_iter().flatten().any(|token| !token.hmac_secret_key.is_empty())
    }
}

/// Development mode: everything is open, to everyone who reaches the server.
impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            development: false,
            listen: vec![([127, 0, 0, 1], 8000).into()],
            unix_mode: 0o660,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            control: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
            control_key: ControlKey::default(),
            shards: crate::net::sys::allowed_cores().map_or(1, |cores| cores.len().max(1)),
            pin: true,
            private_descriptors: true,
            metrics_by_namespace: false,
            echo: None,
            websocket_path: Some("/connection/websocket".to_owned()),
            tls: TlsOptions::default(),
            compression: false,
            compression_min_bytes: 256,
            compression_level: 1,
            limits: Limits::default(),
            // Whoever develops waits for the end more often than clients come back in a crowd.
            timeouts: Timeouts { drain_ms: 0, ..Timeouts::default() },
            logs: Logs::default(),
            client: ClientOptions::default(),
            rates: Rates::default(),
            paths: Paths::default(),
            namespaces: Arc::default(),
            outside: Arc::default(),
            api: ApiOptions::default(),
            first_page: true,
            page: None,
        };
        Sections::development(true).settle(&mut config);
        config
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 0,
            head_bytes_max: 8 << 10,
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
