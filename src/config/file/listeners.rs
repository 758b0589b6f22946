//! Centrifugo's listeners: an address and a port apart, where we have both in one key. How the halves of several sources
//! become a listener is in `listeners` of the configuration.

use super::super::ConfigError;
use super::super::args::Typed;
use super::super::sections::Target;
use super::super::slot::Raw;
use super::super::value::Entry;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// One listener, as far as one source says it.
#[derive(Debug, Default)]
pub(in super::super) struct Halves {
    /// The keys as they are written.
    pub(in super::super) address: Option<Entry>,
    pub(in super::super) port: Option<Entry>,
}

impl Halves {
    /// The halves as values of the flat key, for who looks whether a key is typed twice.
    pub(super) fn typed(&self, flat: &str) -> Option<Typed> {
        let half = self.first()?;
        let raw = Raw::Value(half.value.clone());
        Some(Typed {
            said: half.said(),
            ..Typed::new(Target::find(flat)?, &half.name, raw, half.place.clone())
        })
    }

    /// The half that stands first.
    pub(in super::super) fn first(&self) -> Option<&Entry> {
        match (&self.address, &self.port) {
            (Some(a), Some(b)) => Some(if a.line() <= b.line() { a } else { b }),
            (a, b) => a.as_ref().or(b.as_ref()),
        }
    }
}

/// The address of a half: an IP address, or the name of a host, of whose addresses one is taken, of IPv4 if it has any, as
/// Go's listeners do.
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

/// Whether it can be the name of a host (RFC 1123, 2.1), and is no address that is mistyped.
fn is_host(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.bytes().all(is_name) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The port of a half.
pub(in super::super) fn port(half: &Entry) -> Result<u16, ConfigError> {
    let port = half.value.integer().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| half.error("expected a port, 0 to 65535".to_owned()))
}
