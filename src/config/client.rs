//! Options of the control listener and the server API, and the paths that client listeners also serve.

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
    /// Keys, each accepted in the header `X-API-Key`. Without any, all calls are refused unless `insecure` is set.
    pub keys: Vec<String>,
    /// Whether clients that reach the control listener may call without a key. Default false; true in development
    /// mode when the control listener is on loopback.
    pub insecure: bool,
    /// Maximum size of a request's body, in bytes; beyond it, status 413. Default 1 MiB.
    pub body_bytes_max: usize,
    /// Whether the server API is served. Default true.
    pub enabled: bool,
    /// Whether errors also set the HTTP status, for every client. Default false.
    pub errors_by_status: bool,
    /// Number of threads that answer requests of the API and of the control listener. Default 0: one for up to four
    /// shards, then one per four shards.
    pub threads: usize,
    /// Maximum number of concurrent requests by client listeners, per shard; beyond it, status 503. Default 256.
    pub requests_max: usize,
    /// The node's name in `info`. Default empty: the host's name and the port of the first listener.
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
    /// The number of threads that answer requests, for a number of shards.
    pub fn thread_count(&self, shards: usize) -> usize {
        if self.threads > 0 { self.threads } else { shards.div_ceil(SHARDS_PER_THREAD) }
    }
}

/// Number of shards per thread that answers requests.
const SHARDS_PER_THREAD: usize = 4;

/// Paths of the control listener, and which of them client listeners serve as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPaths {
    /// Path of the server API. Default `/api`.
    pub api: String,
    /// Path of the health check. Default `/health`.
    pub health: String,
    /// Path of the metrics. Default `/metrics`.
    pub metrics: String,
    /// Whether client listeners serve the server API, too, for requests with a key; with [`ApiOptions::insecure`]
    /// only for programs of this machine, if no other machine reaches the listeners. Default false; true in
    /// development mode.
    pub clients_have_api: bool,
    /// Whether client listeners serve `/health` and `/ready`, without a key. Default false.
    pub clients_have_health: bool,
    /// Whether client listeners serve the metrics: for requests with the control listener's key, or, if there is
    /// none, for all. Default false.
    pub clients_have_metrics: bool,
    /// Whether a control listener without a key serves the metrics to other machines, too. Default false.
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

/// Prints the number of keys, not the keys: a configuration may be logged.
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
