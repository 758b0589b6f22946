//! Centrifugo's listeners: an address and a port apart, where we have both in one key. How the halves of several sources
//! become a listener is in `listeners` of the configuration.

use super::super::ConfigError;
use super::super::args::Typed;
use super::super::sections::Target;
use super::super::slot::Raw;
use super::super::value::Entry;
use std::net::IpAddr;

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

/// The address of a half.
pub(in super::super) fn address(half: &Entry) -> Result<IpAddr, ConfigError> {
    half.value.text().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        half.error("expected an IP address; 0.0.0.0 stands for all of this machine".to_owned())
    })
}

/// The port of a half.
pub(in super::super) fn port(half: &Entry) -> Result<u16, ConfigError> {
    let port = half.value.integer().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| half.error("expected a port, 0 to 65535".to_owned()))
}
