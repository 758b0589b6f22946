//! What lies between a socket and its session: the word of a proxy on whom it speaks for, and TLS. A plain
//! connection that comes straight has none of it, and a socket of its own is all that it costs.
//!
//! Only the word of trusted proxies counts, and of who comes by a Unix socket; from others neither a header of the PROXY
//! protocol nor one of a request changes who they are.

use std::net::IpAddr;
use std::sync::Arc;

use super::Carry;
use super::conn::Conn;
use crate::base::heap;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::Forwarded;
use crate::shard::World;
use crate::shard::outside::ADDRESS_HEADERS;
use crate::tls::{Identity, Link};

/// What lies between the socket of one connection and its session.
#[derive(Debug, Default)]
pub(in crate::shard) struct Layers {
    /// Who is at the other end, where that is not what the socket says.
    pub(in crate::shard) origin: Option<Box<Origin>>,
    /// The TLS of the connection.
    pub(in crate::shard) tls: Option<Box<Link>>,
    proxy: Proxy,
    /// Which of the shard's listeners it came by.
    listener: u16,
    /// Beat in which the record began whose rest has yet to come; 0 for none.
    record_since: u32,
}

/// Who is at the other end.
#[derive(Debug, Default)]
pub(in crate::shard) struct Origin {
    /// The address that a trusted proxy gave.
    pub(in crate::shard) peer: Option<IpAddr>,
    /// That address came with a request: the next one may be for somebody else.
    is_forwarded: bool,
    /// Whom the client's certificate names, if it was asked for one.
    pub(in crate::shard) identity: Option<Arc<Identity>>,
}

/// What an [`Origin`] costs in its box.
pub(in crate::shard) const ORIGIN_BYTES: usize = heap::piece(size_of::<Origin>());

/// Whose word a connection is.
#[derive(Debug, Default)]
pub(in crate::shard) enum Proxy {
    /// A client's own.
    #[default]
    Absent,
    /// That of a trusted proxy, in what requests say.
    Trusted,
    /// That of a trusted proxy, in a header that must come first; what has arrived of it.
    Awaited(Option<Box<Held>>),
}

/// Bytes of a header in pieces, fewer than [`crate::proto::proxy::HEADER_BYTES_MAX`]. In a box: it is rare, and soon gone.
#[derive(Debug)]
pub(in crate::shard) struct Held(Vec<u8>);

impl Layers {
    /// Those of a connection that was just accepted; `None` where there are none.
    pub(in crate::shard) fn new(tls: Option<Link>, proxy: Proxy, listener: u16) -> Option<Box<Self>> {
        let is_bare = tls.is_none() && matches!(proxy, Proxy::Absent);
        let tls = tls.map(Box::new);
        (!is_bare).then(|| Box::new(Self { origin: None, tls, proxy, listener, record_since: 0 }))
    }

    /// Whether the header of a proxy must come first.
    pub(in crate::shard) fn awaits_header(&self) -> bool {
        matches!(self.proxy, Proxy::Awaited(_))
    }

    /// The header of a proxy has come: it speaks for `client`, if it says so, and may speak on for others if it is trusted.
    pub(in crate::shard) fn note_header(&mut self, client: Option<IpAddr>, is_trusted: bool) {
        self.proxy = if is_trusted { Proxy::Trusted } else { Proxy::Absent };
        if client.is_some() {
            self.origin.get_or_insert_default().peer = client;
        }
    }

    /// Whom the client's verified certificate names.
    pub(in crate::shard) fn identity(&self) -> Option<&Arc<Identity>> {
        self.origin.as_ref()?.identity.as_ref()
    }

    /// Gives back what is kept of a header or a record that has begun, at the start of `input`; returns how much it is.
    pub(in crate::shard) fn unhold(&mut self, input: &mut [u8]) -> usize {
        match (&mut self.proxy, &mut self.tls) {
            (Proxy::Awaited(held), _) => {
                let Some(held) = held.take() else { return 0 };
                input[..held.0.len()].copy_from_slice(&held.0);
                held.0.len()
            }
            (_, Some(tls)) => tls.unhold(input),
            (_, None) => 0,
        }
    }

    /// Keeps the beginning of a header or a record.
    pub(in crate::shard) fn hold(&mut self, rest: &[u8]) {
        match (&mut self.proxy, &mut self.tls) {
            (Proxy::Awaited(held), _) => *held = (!rest.is_empty()).then(|| Box::new(Held(rest.to_vec()))),
            (_, Some(tls)) => tls.hold(rest),
            (_, None) => {}
        }
    }

    /// Notes how much is left of what arrived: the beginning of a record, of another than before if any was `taken`.
    pub(in crate::shard) fn note_rest(&mut self, bytes: usize, taken: bool, now: u32) {
        if bytes == 0 {
            self.record_since = 0;
        } else if taken || self.record_since == 0 {
            self.record_since = now.max(1);
        }
    }

    /// Counts the time of a record that is not whole yet from now on.
    pub(in crate::shard) fn restart_record(&mut self, now: u32) {
        if self.record_since > 0 {
            self.record_since = now.max(1);
        }
    }

    /// The beat in which a record began that is not whole yet.
    pub(in crate::shard) fn record_since(&self) -> Option<u32> {
        (self.record_since > 0).then_some(self.record_since)
    }

    /// Bytes that are kept of a header or a record.
    pub(in crate::shard) fn held_bytes(&self) -> usize {
        match (&self.proxy, &self.tls) {
            (Proxy::Awaited(held), _) => held.as_ref().map_or(0, |held| held.0.len()),
            (_, tls) => tls.as_ref().map_or(0, |tls| tls.held_bytes()),
        }
    }

    /// Whether what requests say of whom they are for counts.
    pub(in crate::shard) fn forwarded(&self) -> Forwarded {
        if matches!(self.proxy, Proxy::Trusted) { Forwarded::Trusted } else { Forwarded::Ignored }
    }

    /// A request was for this client, or did not say.
    pub(in crate::shard) fn note_forwarded(&mut self, client: Option<IpAddr>) {
        if client.is_some() || self.origin.as_ref().is_some_and(|origin| origin.is_forwarded) {
            let origin = self.origin.get_or_insert_default();
            (origin.peer, origin.is_forwarded) = (client, client.is_some());
        }
    }
}

impl<W: World> Carry<W> {
    /// Whom the client's verified certificate names.
    pub(in crate::shard) fn identity(&self, key: Key) -> Option<&Arc<Identity>> {
        self.conns.entry(key)?.layers.as_ref()?.identity()
    }

    /// The address of the client itself, as far as it is known.
    pub(in crate::shard) fn peer(&self, key: Key) -> Option<IpAddr> {
        let conn = self.conns.entry(key)?;
        let told =
            conn.layers.as_ref().and_then(|layers| layers.origin.as_ref()).and_then(|origin| origin.peer);
        told.or_else(|| self.net.peer(&conn.socket)).map(|address| address.to_canonical())
    }

    /// The listener by which a connection came whose other end has no address: that of a Unix socket, which has layers since
    /// it is a proxy's. Any other one counts as one of the first.
    pub(in crate::shard) fn listener(&self, key: Key) -> u16 {
        self.conns.entry(key).and_then(|conn| conn.layers.as_ref()).map_or(0, |layers| layers.listener)
    }

    /// Headers in which hooks are told the client's address: they say what is known here, whatever the client, or a proxy
    /// that is not trusted, wrote into them.
    pub(in crate::shard) fn tell_address(&self, key: Key, headers: &mut Vec<(String, String)>) {
        headers.retain(|(name, _)| !ADDRESS_HEADERS.contains(&name.as_str()));
        let Some(address) = self.peer(key) else { return };
        let kept = &self.settings.endpoints.kept_headers;
        for name in ADDRESS_HEADERS.into_iter().filter(|name| kept.iter().any(|kept| kept == name)) {
            let value = match address {
                IpAddr::V6(address) if name == FORWARDED => format!("for=\"[{address}]\""),
                IpAddr::V4(address) if name == FORWARDED => format!("for={address}"),
                IpAddr::V4(_) | IpAddr::V6(_) => address.to_string(),
            };
            headers.push((name.to_owned(), value));
        }
    }
}

const FORWARDED: &str = "forwarded";

impl<K, S> Conn<K, S> {
    /// Whether what the connection's requests say of whom they are for counts.
    pub(in crate::shard) fn forwarded(&self) -> Forwarded {
        self.layers.as_ref().map_or(Forwarded::Ignored, |layers| layers.forwarded())
    }
}
