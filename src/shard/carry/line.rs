//! What lies between a socket and its session: the word of a proxy on whom it speaks for, and TLS. A plain
//! connection that comes straight has none of it, and a socket of its own is all that it costs.
//!
//! Only the word of trusted proxies counts, and of who comes by a Unix socket; from others neither a header of the PROXY
//! protocol nor one of a request changes who they are.

use crate::shard::options::Listener;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::conn::Conn;
use crate::base::heap;
use crate::base::slots::Key;
use crate::net::{Accepted, Net};
use crate::proto::proxy;
use crate::proto::proxy::Header;
use crate::session::{CloseReason, Forwarded};
use crate::shard::outside::ADDRESS_HEADERS;
use crate::shard::{Shard, World};
use crate::tls::{Identity, Link};

/// What lies between the socket of one connection and its session.
#[derive(Debug, Default)]
pub(in crate::shard) struct Line {
    /// Who is at the other end, where that is not what the socket says.
    pub(in crate::shard) origin: Option<Box<Origin>>,
    /// The TLS of the connection.
    pub(in crate::shard) tls: Option<Box<Link>>,
    proxy: Proxy,
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
enum Proxy {
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
struct Held(Vec<u8>);

impl Line {
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

impl<W: World> Shard<W> {
    /// What lies between the socket and the session of a connection that was just accepted.
    pub(in crate::shard) fn new_line(&self, accepted: &Accepted<W::Socket>) -> Option<Box<Line>> {
        let proxy = match (self.is_proxy(accepted), self.takes_proxy_headers) {
            (false, _) => Proxy::Absent,
            (true, true) => Proxy::Awaited(None),
            (true, false) => Proxy::Trusted,
        };
        let acceptor = self.tls.as_ref().filter(|_| self.listener(accepted).tls);
        let tls = acceptor.map(|acceptor| Box::new(acceptor.accept()));
        let is_bare = tls.is_none() && matches!(proxy, Proxy::Absent);
        (!is_bare).then(|| Box::new(Line { origin: None, tls, proxy, record_since: 0 }))
    }

    /// The listener that a connection came by.
    pub(in crate::shard) fn listener(&self, accepted: &Accepted<W::Socket>) -> Listener {
        self.listeners[usize::from(accepted.listener)]
    }

    /// Whether a connection is that of a trusted proxy.
    pub(in crate::shard) fn is_proxy(&self, accepted: &Accepted<W::Socket>) -> bool {
        accepted.peer.is_none_or(|address| self.settings.trusted_proxies.contains(address))
    }

    /// Takes the header of the PROXY protocol that is awaited from the start of `count` bytes of the input; what is behind
    /// it moves there. Returns how much that is; `None` when the header is not whole or is none.
    pub(in crate::shard) fn take_proxy_header(&mut self, key: Key, count: usize) -> Option<usize> {
        let line = self.conns.entry_mut(key)?.line.as_mut()?;
        if !matches!(line.proxy, Proxy::Awaited(_)) {
            return Some(count);
        }
        let Ok(header) = Header::parse(&self.input[..count]) else {
            self.close(key, CloseReason::NoProxyHeader);
            return None;
        };
        let Some(Header { length, client }) = header else {
            line.hold(&self.input[..count]);
            self.count_held(key);
            return None;
        };
        self.counters.proxy_headers.add(1);
        // Before this proxy there may be another.
        let is_trusted = client.is_none_or(|client| self.settings.trusted_proxies.contains(client));
        line.proxy = if is_trusted { Proxy::Trusted } else { Proxy::Absent };
        if client.is_some() {
            line.origin.get_or_insert_default().peer = client;
        }
        if let Some(client) = client.filter(|_| !is_trusted)
            && !self.admits_address(client)
        {
            self.close(key, CloseReason::Crowded);
            return None;
        }
        self.input.copy_within(length..count, 0);
        self.count_held(key);
        Some(count - length).filter(|rest| *rest > 0)
    }

    /// A connection from which no PROXY header was awaited began with `bytes`, and was refused for them: if they are such a
    /// header, the log says what would have to be set. One line in ten minutes: balancers try again and again, and so may
    /// strangers.
    pub(in crate::shard) fn note_stray_header(&mut self, key: Key, bytes: Range<usize>) {
        if !proxy::looks_like_header(&self.input[bytes]) {
            return;
        }
        let is_first = self.admission.sum(|counters| &counters.proxy_headers_unexpected) == 0;
        self.counters.proxy_headers_unexpected.add(1);
        let now_ms = self.now_ms();
        // Of all shards, the one that was the first goes on to tell.
        let is_due = |before_ms: u64| now_ms.saturating_sub(before_ms) >= STRAY_HEADERS_TOLD_MS;
        if !is_first && !self.told.stray_header_ms.is_some_and(is_due) {
            return;
        }
        self.told.stray_header_ms = Some(now_ms);
        let peer = self.peer(key).map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
        if self.takes_proxy_headers {
            tracing::warn!(%peer, "connection with a PROXY header refused: its sender is not in trusted_proxies, or it sent a \
             second header");
        } else {
            tracing::warn!(%peer, "connection with a PROXY header refused: proxy_protocol is off");
        }
    }

    /// Whom the client's verified certificate names.
    pub(in crate::shard) fn identity(&self, key: Key) -> Option<&Arc<Identity>> {
        self.conns.entry(key)?.line.as_ref()?.identity()
    }

    /// The address of the client itself, as far as it is known.
    pub(in crate::shard) fn peer(&self, key: Key) -> Option<IpAddr> {
        let conn = self.conns.entry(key)?;
        let told = conn.line.as_ref().and_then(|line| line.origin.as_ref()).and_then(|origin| origin.peer);
        told.or_else(|| self.net.peer(&conn.socket)).map(|address| address.to_canonical())
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

/// How long nothing is said of PROXY headers that nobody awaited, after a line about one.
const STRAY_HEADERS_TOLD_MS: u64 = 10 * 60 * 1000;
const FORWARDED: &str = "forwarded";

impl<K, S> Conn<K, S> {
    /// Whether what the connection's requests say of whom they are for counts.
    pub(in crate::shard) fn forwarded(&self) -> Forwarded {
        self.line.as_ref().map_or(Forwarded::Ignored, |line| line.forwarded())
    }
}
