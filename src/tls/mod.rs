//! TLS without buffers.
//!
//! Bytes in, bytes out: an [`Acceptor`] makes a [`Link`] for each connection, which turns records into plaintext in
//! place and plaintext into records. rustls performs the handshake; afterwards a connection keeps a pair of keys for
//! each direction, [`LINK_BYTES`] in all, and no buffer.
//!
//! * A connection: `handshake`, then `link`; `keys` and `record` open and seal, `schedules` caches key schedules,
//!   `news` reads alerts and messages after the handshake.
//! * Settings of handshakes: `certificates`, `names` (SNI), `identity` (client certificates), `tickets`, joined in
//!   `terms`; `source` reads PEM from a file or a value.

pub mod certificates;
#[cfg(test)]
pub(crate) mod fixtures;
mod handshake;
mod identity;
mod keys;
mod link;
mod names;
mod news;
mod record;
mod schedules;
mod source;
mod terms;
#[cfg(test)]
mod tests;
mod tickets;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

pub use certificates::{CertificateError, Facts, Pem, PemPair};
use handshake::{Catch, HandshakeSetup};
pub(crate) use identity::{Identity, identity};
pub use link::{Hot, Link};
pub(crate) use link::{Opened, Received};
pub use schedules::Schedules;
pub(crate) use source::Source;
pub(crate) use terms::Serving;
pub use terms::Terms;
pub(crate) use tickets::ROTATION_S_MAX;
pub use tickets::ticketer;

/// Memory of an idle connection's TLS, in bytes.
pub(crate) const LINK_BYTES: usize = size_of::<Link>();

/// The fault that ended a link.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// The handshake failed.
    Handshake(Box<rustls::Error>),
    /// A record does not match its authentication tag.
    BadRecord,
    /// A record exceeds the maximum length.
    TooLong,
    /// An unexpected record or message.
    Unexpected,
    /// A message with an invalid value.
    Illegal,
    /// The peer sent this alert.
    Alert(u8),
    /// The keys have reached their limit, and this version has no others.
    Worn,
    /// Nothing can be sealed: the link is not open, or no longer.
    Closed,
    /// A bug of this server.
    Broken,
}

impl Fault {
    /// The alert for this fault (RFC 8446, section 6.2).
    fn alert(&self) -> Option<u8> {
        match self {
            Self::BadRecord => Some(20),
            Self::TooLong => Some(22),
            Self::Unexpected => Some(10),
            Self::Illegal => Some(47),
            Self::Broken => Some(80),
            Self::Handshake(_) | Self::Alert(_) | Self::Worn | Self::Closed => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => write!(f, "the handshake failed: {error}"),
            Self::BadRecord => f.write_str("a record was changed on its way"),
            Self::TooLong => f.write_str("a record was too long"),
            Self::Unexpected => f.write_str("a record came that does not belong there"),
            Self::Illegal => f.write_str("a message said what cannot be"),
            Self::Alert(alert) => write!(f, "the peer gave up with alert {alert}"),
            Self::Worn => f.write_str("the keys have sealed as much as they may"),
            Self::Closed => f.write_str("the connection is not open"),
            Self::Broken => f.write_str("internal error"),
        }
    }
}

/// The configuration of a shard's handshakes.
#[derive(Debug)]
pub struct Acceptor(Arc<HandshakeSetup>);

impl Acceptor {
    /// Makes an acceptor from a configuration of certificates, clients and tickets.
    pub fn new(config: &ServerConfig) -> Self {
        let catch = Arc::new(Catch::default());
        let mut config = config.clone();
        config.key_log = Arc::clone(&catch) as Arc<_>;
        config.enable_secret_extraction = true;
        config.max_early_data_size = 0;
        Self(Arc::new(HandshakeSetup { config: Arc::new(config), catch }))
    }

    /// A link for a newly accepted connection. Its handshake, 3 KB, is allocated when the client sends something.
    pub fn accept(&self) -> Link {
        Link::new(Arc::clone(&self.0))
    }
}
