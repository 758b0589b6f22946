//! What lies between a socket and its session: the word of a proxy on whom it speaks for, and TLS. A plain
//! connection that comes straight has none of it, and a socket of its own is all that it costs.

use std::net::IpAddr;
use std::sync::Arc;

use super::Shard;
use crate::base::slots::Key;
use crate::net::{Accepted, Net};
use crate::session::Handler;
use crate::tls::{Fault, Link};

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Who is at the other end, where that is not what the socket says.
    pub(super) origin: Option<Box<Origin>>,
    /// The TLS of the connection.
    pub(super) tls: Option<Box<Link>>,
}

/// Who is at the other end.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// The address that a trusted proxy gave.
    pub(super) peer: Option<IpAddr>,
    /// Whom the client's certificate names, if it was asked for one.
    pub(super) identity: Option<Arc<str>>,
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// What lies between the socket and the session of a connection that was just accepted.
    ///
    /// # Errors
    /// When there should be TLS and cannot.
    pub(super) fn new_line(&self, accepted: &Accepted<N::Socket>) -> Result<Option<Box<Line>>, Fault> {
        // Who comes by a Unix socket is on this machine.
        let Some(acceptor) = self.tls.as_ref().filter(|_| accepted.peer.is_some()) else { return Ok(None) };
        Ok(Some(Box::new(Line { origin: None, tls: Some(Box::new(acceptor.accept()?)) })))
    }

    /// The address of the client itself, as far as it is known.
    pub(super) fn peer(&self, key: Key) -> Option<IpAddr> {
        let conn = self.conns.entry(key)?;
        let told = conn.line.as_ref().and_then(|line| line.origin.as_ref()).and_then(|origin| origin.peer);
        told.or_else(|| self.net.peer(&conn.socket))
    }
}
