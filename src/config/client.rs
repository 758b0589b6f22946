//! Where clients are served, and what holds for the control listener and the server API.

use std::fmt;

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
    /// Threads that answer requests of the API, also those of the control listener. 0, the default: one up to four shards,
    /// then one for each four.
    pub threads: usize,
    /// Requests by client listeners that may be answered at a time, per shard; beyond it, 503. Default 256.
    pub requests_max: usize,
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
            threads: 0,
            requests_max: 256,
            node_name: String::new(),
        }
    }
}

impl ApiOptions {
    /// How many threads answer requests, beside so many shards.
    pub fn thread_count(&self, shards: usize) -> usize {
        if self.threads > 0 { self.threads } else { shards.div_ceil(SHARDS_PER_THREAD) }
    }
}

/// Shards for each of which there is one thread more that answers requests.
const SHARDS_PER_THREAD: usize = 4;

/// What is served on the control listener, by its paths, and what of it client listeners serve as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPaths {
    /// Of the server API. Default `/api`.
    pub api: String,
    /// Of what tells whether the server lives. Default `/health`.
    pub health: String,
    /// Of the metrics. Default `/metrics`.
    pub metrics: String,
    /// Whether client listeners serve the server API, too, to whoever has a key of it; where the API asks for none
    /// ([`ApiOptions::insecure`]), to programs of this machine if nobody else reaches the listeners. Default false; true
    /// in development mode.
    pub clients_have_api: bool,
    /// Whether they serve `/health` and `/ready`, to everyone. Default false.
    pub clients_have_health: bool,
    /// Whether they serve the metrics: to whoever has the control listener's key, or, without one, to everyone. Default
    /// false.
    pub clients_have_metrics: bool,
    /// Whether the control listener, while it has no key, serves the metrics to everyone who reaches it, too. Default
    /// false.
    pub has_open_metrics: bool,
}

impl Default for ControlPaths {
    fn default() -> Self {
        Self {
            api: "/api".to_owned(),
            health: "/health".to_owned(),
            metrics: "/metrics".to_owned(),
            clients_have_api: false,
            clients_have_health: false,
            clients_have_metrics: false,
            has_open_metrics: false,
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
            .field("threads", &self.threads)
            .field("requests_max", &self.requests_max)
            .field("node_name", &self.node_name)
            .finish()
    }
}
