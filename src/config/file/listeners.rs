//! Centrifugo's listeners: address and port are separate keys, which are one key in throng. `config::listeners`
//! combines the parts from several sources.

use super::super::ConfigError;
use super::super::args::Typed;
use super::super::sections::Target;
use super::super::slot::Raw;
use super::super::value::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// The parts of one listener in one source.
#[derive(Debug, Default)]
pub(in super::super) struct Halves {
    /// The entries as they were typed.
    pub(in super::super) address: Option<Entry>,
    pub(in super::super) port: Option<Entry>,
}

impl Halves {
    /// The parts as values of the flat key, to detect keys that were typed twice.
    pub(super) fn typed(&self, flat: &str) -> Option<Typed> {
        let half = self.first()?;
        let raw = Raw::Value(half.value.clone());
        Some(Typed {
            said: half.said(),
            ..Typed::new(Target::find(flat)?, &half.name, raw, half.place.clone())
        })
    }

    /// The part that was typed first.
    pub(in super::super) fn first(&self) -> Option<&Entry> {
        match (&self.address, &self.port) {
            (Some(a), Some(b)) => Some(if a.line() <= b.line() { a } else { b }),
            (a, b) => a.as_ref().or(b.as_ref()),
        }
    }
}

/// The address of a part: an IP address, or a host name, which is resolved to one address, IPv4 if there is one, as
/// in Go's listeners.
pub(in super::super) fn address(half: &Entry) -> Result<IpAddr, ConfigError> {
    const EXPECTED: &str = "an IP address or the name of a host; 0.0.0.0 stands for all of this machine";
    let text = half.value.text().map(str::trim).unwrap_or_default();
    if let Ok(address) = text.trim_matches(['[', ']']).parse() {
        return Ok(address);
    }
    if !is_host(text) {
        return Err(half.error(format!("expected {EXPECTED}")));
    }
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let found = (text, 0).to_socket_addrs().map(Vec::from_iter);
    let found =
        found.map_err(|why| half.error(format!("this host is not found ({why}); expected {EXPECTED}")))?;
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first
        .map(SocketAddr::ip)
        .ok_or_else(|| half.error(format!("this host has no address; expected {EXPECTED}")))
}

/// Whether the text can be a host name (RFC 1123, 2.1), and is not a mistyped address.
fn is_host(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.bytes().all(is_name) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The port of a part.
pub(in super::super) fn port(half: &Entry) -> Result<u16, ConfigError> {
    let port = half.value.integer().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| half.error("expected a port, 0 to 65535".to_owned()))
}
