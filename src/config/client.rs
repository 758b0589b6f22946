//! What holds for clients and for the server API: who may connect, where, and how much each may do.

use std::fmt;

/// The section `client`, with Centrifugo's names and meanings, but for tokens and hooks, which are in
/// [`crate::outside::options::Options`]. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ClientOptions {
    /// Everyone may connect, subscribe and publish, without tokens or permissions. Default false; true in development
    /// mode, which holds when the configuration says nothing of clients and channels.
    pub insecure: bool,
    /// Origins that browsers may come from: patterns with `*`. Empty: only the server's own.
    pub allowed_origins: Vec<String>,
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
    /// The same for a subscription. Default 25,000.
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
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            insecure: false,
            allowed_origins: Vec::new(),
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
        }
    }
}

/// Rates, per second; 0 for no limit. Who exceeds one gets error 111, or disconnect 3013 where there is no reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Connections that connect, in the whole process (each shard has its part).
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

/// Which transports are served, and where. `None`: not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Server-sent events, with POSTs to `emulation`.
    pub sse: Option<String>,
    /// HTTP streaming, with POSTs to `emulation`.
    pub http_stream: Option<String>,
    /// Where commands of those two are posted.
    pub emulation: Option<String>,
    /// WebSocket without commands.
    pub uni_websocket: Option<String>,
    /// Server-sent events without commands.
    pub uni_sse: Option<String>,
    /// HTTP streaming without commands.
    pub uni_http_stream: Option<String>,
}

impl Paths {
    /// All transports, each at the path that clients know.
    pub fn all() -> Self {
        let path = |path: &str| Some(path.to_owned());
        Self {
            sse: path("/connection/sse"),
            http_stream: path("/connection/http_stream"),
            emulation: path("/emulation"),
            uni_websocket: path("/connection/uni_websocket"),
            uni_sse: path("/connection/uni_sse"),
            uni_http_stream: path("/connection/uni_http_stream"),
        }
    }
}

/// The control listener's key; empty for none. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ControlKey(pub String);

impl fmt::Debug for ControlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "…" })
    }
}

/// The server API: HTTP on the control listener.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiOptions {
    /// Keys that are accepted, any of them, as header `X-API-Key`. None: nobody may call, unless `insecure`.
    pub keys: Vec<String>,
    /// Whether everyone who reaches the control listener may call without a key. Default false; true in development mode
    /// when the control listener is on loopback.
    pub insecure: bool,
    /// Bytes of a request's body; beyond it, 413. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Whether there is a server API at all. Default true.
    pub enabled: bool,
    /// Whether errors are told by the status of HTTP as well, also to those who do not ask for it. Default false.
    pub errors_by_status: bool,
    /// The node's name in `info`. Empty, which is the default: the host's name and the port of the first listener.
    pub node_name: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            insecure: false,
            body_bytes_max: 1 << 20,
            enabled: true,
            errors_by_status: false,
            node_name: String::new(),
        }
    }
}

/// Says how many keys there are, not which: a configuration may end up in a log.
impl fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiOptions")
            .field("keys", &format_args!("{} not shown", self.keys.len()))
            .field("insecure", &self.insecure)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("enabled", &self.enabled)
            .field("errors_by_status", &self.errors_by_status)
            .field("node_name", &self.node_name)
            .finish()
    }
}
