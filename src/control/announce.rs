//! The lines that a person sees at the start: what this server is, where, and how large; and one warning that
//! anyone may use it. Said whatever the log level; as JSON only when all logs are JSON.

use super::logs::ANNOUNCE_TARGET;
use crate::config::memory::grouped;
use crate::config::{Config, LogFormat};
use std::fmt;
use std::net::SocketAddr;

/// What the ready line tells. Its `Display` is the line.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'a> {
    /// Addresses as bound: a port 0 of the configuration has become a real one.
    pub listen: &'a [SocketAddr],
    /// Path of the Centrifuge endpoint, if there is one.
    pub websocket_path: Option<&'a str>,
    /// Number of shards.
    pub shards: usize,
    /// How many connections the limits allow.
    pub capacity: u64,
    /// The control listener's address as bound.
    pub control: Option<SocketAddr>,
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "throng {} ready: ", env!("CARGO_PKG_VERSION"))?;
        for address in self.listen {
            write!(f, "ws://{address}{}, ", self.websocket_path.unwrap_or_default())?;
        }
        let plural = if self.shards == 1 { "" } else { "s" };
        write!(f, "{} shard{plural}, capacity {} connections; ", self.shards, grouped(self.capacity))?;
        match self.control {
            Some(address) => write!(f, "control http://{address}"),
            None => f.write_str("control off"),
        }
    }
}

/// The warning that belongs to development mode, in which clients are anonymous: what they may do, and who can
/// be one.
pub fn development_warning(config: &Config) -> String {
    let outside = |address: &&SocketAddr| !address.ip().is_loopback();
    let open: Vec<_> = config.listen.iter().filter(outside).map(ToString::to_string).collect();
    let may = "may connect, subscribe and publish without a token";
    let mut line = if open.is_empty() {
        format!("throng: development mode: any client on this machine {may}")
    } else {
        format!(
            "throng: WARNING: development mode, reachable from other machines ({}): anyone {may}",
            open.join(", ")
        )
    };
    if let Some(address) = config.control.as_ref().filter(outside) {
        line.push_str(&format!("; anyone may read the metrics at {address}"));
    }
    line
}

/// Says that the server is ready.
pub fn ready(format: LogFormat, ready: &Ready<'_>) {
    match format {
        LogFormat::Text => eprintln!("{ready}"),
        LogFormat::Json => tracing::info!(target: ANNOUNCE_TARGET, "{ready}"),
    }
}

/// Says something that an operator must see once.
pub fn warning(format: LogFormat, line: &str) {
    match format {
        LogFormat::Text => eprintln!("{line}"),
        LogFormat::Json => tracing::warn!(target: ANNOUNCE_TARGET, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_address_shards_and_capacity() {
        let listen = ["127.0.0.1:8000".parse().unwrap(), "[::1]:8000".parse().unwrap()];
        let mut ready = Ready {
            listen: &listen[..1],
            websocket_path: Some("/connection/websocket"),
            shards: 2,
            capacity: 39_800,
            control: Some("127.0.0.1:9000".parse().unwrap()),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            ready.to_string(),
            format!(
                "throng {version} ready: ws://127.0.0.1:8000/connection/websocket, 2 shards, capacity 39,800 \
                 connections; control http://127.0.0.1:9000"
            )
        );
        (ready.listen, ready.shards, ready.control) = (&listen, 1, None);
        assert_eq!(
            ready.to_string(),
            format!(
                "throng {version} ready: ws://127.0.0.1:8000/connection/websocket, \
                 ws://[::1]:8000/connection/websocket, 1 shard, capacity 39,800 connections; control off"
            )
        );
    }

    #[test]
    fn the_warning_says_who_can_reach_it() {
        let mut config = Config::default();
        let line = development_warning(&config);
        assert!(line.contains("any client on this machine") && !line.contains("WARNING"), "{line}");
        config.listen = vec!["127.0.0.1:80".parse().unwrap(), "0.0.0.0:81".parse().unwrap()];
        let line = development_warning(&config);
        assert!(
            line.contains("WARNING") && line.contains("(0.0.0.0:81)") && !line.contains("metrics"),
            "{line}"
        );
        config.control = Some("[::]:9000".parse().unwrap());
        assert!(development_warning(&config).ends_with("; anyone may read the metrics at [::]:9000"));
    }
}
