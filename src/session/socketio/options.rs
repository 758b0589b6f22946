//! Options of the Socket.IO endpoint.

use super::AdminOptions;
use super::cookie::SessionCookie;
use super::rules::Rule;
use crate::base::pattern;

/// The section `socketio`. Names and defaults are those of the reference server where it has such an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketIoOptions {
    /// Whether the endpoint is served. Default false.
    pub enabled: bool,
    /// Its path; with and without a slash at the end. Default `/socket.io`.
    pub path: String,
    /// Time between two pings of the server, in milliseconds. Intervals below 2 s are exact to the millisecond, others
    /// are rounded up to 128 ms. Default 25,000.
    pub ping_interval_ms: u64,
    /// Time that a client has to answer a ping, in milliseconds. Default 20,000.
    pub ping_timeout_ms: u64,
    /// Maximum of bytes of a client's message, and of a packet with its attachments; beyond it, close 1009 for one
    /// message, 1002 for a packet. Default 1,000,000.
    pub payload_bytes_max: usize,
    /// Time that a client has to connect to a first namespace, in milliseconds. Default 45,000.
    pub connect_timeout_ms: u64,
    /// Whether packets are msgpack, for clients with `socket.io-msgpack-parser`. Default false.
    pub is_msgpack: bool,
    /// Maximum of namespaces to which one connection is connected at a time; a further CONNECT is refused. Default 64,
    /// at most 255.
    pub namespaces_max: usize,
    /// The transports that are served: `polling`, `websocket`. Default both.
    pub transports: Vec<String>,
    /// Time from the request for a WebSocket that is to replace polls until the client uses it alone, in milliseconds; then
    /// it is closed, and polling goes on. Default 10,000.
    pub upgrade_timeout_ms: u64,
    /// The cookie that the first answer to a polling client sets. Default none.
    pub cookie: SessionCookie,
    /// Time for which a socket is kept whose connection has ended, in milliseconds: its client may return to it
    /// (connection state recovery). 0 (default): not at all.
    pub recovery_ttl_ms: u64,
    /// Maximum of bytes of the events of one namespace that are kept for clients that return; also of the sockets that
    /// one shard keeps. Default 16 MiB.
    pub recovery_bytes_max: usize,
    /// Maximum of sockets that one shard keeps; beyond it, the one that is away for the longest time ends. Default
    /// 100,000.
    pub recovery_sockets_max: usize,
    /// Whether clients of Socket.IO 1 and 2 (Engine.IO 3) are served as well, with JSON only. Default false: they get 400
    /// with code 5.
    pub allow_eio3: bool,
    /// Whether each room has a home of its own, and an order of its own: for namespaces whose events are too many for one
    /// core. Else all rooms of a namespace have one home, and one order. Default false.
    pub has_home_per_room: bool,
    /// Whether every namespace opens, and every event that no rule takes is relayed to the rooms of its sender, as in
    /// development mode. Default false.
    pub insecure: bool,
    /// Patterns of the namespaces that open without an application, in which `*` matches any run of characters. Default
    /// none: then those that rules name, and `/` if there is a rule or a hook; all, if a hook decides about clients.
    pub namespaces: Vec<String>,
    /// Rules for events, without an application; the first that matches an event applies. Default none.
    pub rules: Vec<Rule>,
    /// Events of one socket that wait for those before them; at this number nothing more is read from the connection.
    /// Default 64.
    pub events_waiting_max: usize,
    /// The admin page's namespace.
    pub admin: AdminOptions,
    /// The hook for events (`socketio.proxy.event`), if there is one.
    pub event_hook: Option<EventHook>,
    /// Whether a hook decides who may connect to which namespace (`socketio.proxy.connect`).
    pub is_opened_by_hook: bool,
    /// Whether the ends of sockets are reported (`socketio.proxy.disconnect`).
    pub reports_ends: bool,
}

/// The hook for events: which of them it gets, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHook {
    /// Patterns of the names of events that go to the hook whatever rules say, in which `*` matches any run of characters.
    /// None: those that no rule takes.
    pub events: Vec<String>,
    /// Events of one socket in one request, at most: those that wait go together, in a list. 1: one, not in a list.
    pub batch_max: usize,
    /// Whether an event that wants an answer gets an error when the hook fails.
    pub acks_errors: bool,
    /// Whether the hook gets the rooms of the socket.
    pub includes_rooms: bool,
}

impl Default for EventHook {
    fn default() -> Self {
        Self { events: Vec::new(), batch_max: 1, acks_errors: false, includes_rooms: false }
    }
}

impl EventHook {
    /// Whether an event goes to the hook before any rule is looked at.
    pub(super) fn selects(&self, event: &str) -> bool {
        self.events.iter().any(|name| pattern::matches(name, event))
    }

    /// Whether it gets the events that no rule takes.
    pub(super) fn takes_rest(&self) -> bool {
        self.events.is_empty()
    }
}

impl SocketIoOptions {
    /// Whether the configuration decides about events.
    pub fn has_logic(&self) -> bool {
        self.insecure || !self.rules.is_empty() || self.event_hook.is_some()
    }

    /// Whether a namespace opens without an application.
    pub fn opens(&self, namespace: &str) -> bool {
        let fits = |name: &String| pattern::matches(name, namespace);
        match self.namespaces.as_slice() {
            _ if self.insecure => true,
            [] if self.is_opened_by_hook => true,
            [] => {
                let by_rule = self.rules.iter().filter_map(|rule| rule.namespace.as_ref()).any(fits);
                by_rule || namespace == "/" && self.has_logic()
            }
            names => names.iter().any(fits),
        }
    }
}

impl Default for SocketIoOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/socket.io".to_owned(),
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            payload_bytes_max: 1_000_000,
            connect_timeout_ms: 45_000,
            is_msgpack: false,
            namespaces_max: 64,
            transports: vec!["polling".to_owned(), "websocket".to_owned()],
            upgrade_timeout_ms: 10_000,
            cookie: SessionCookie::default(),
            recovery_ttl_ms: 0,
            recovery_bytes_max: 16 << 20,
            recovery_sockets_max: 100_000,
            insecure: false,
            namespaces: Vec::new(),
            rules: Vec::new(),
            events_waiting_max: 64,
            allow_eio3: false,
            has_home_per_room: false,
            admin: AdminOptions::default(),
            event_hook: None,
            is_opened_by_hook: false,
            reports_ends: false,
        }
    }
}
