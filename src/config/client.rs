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
