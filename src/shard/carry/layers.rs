//! Layers between a socket and its session: the client's address from a proxy, and TLS. A plain, direct connection
//! has none, and costs nothing beyond its socket.
//!
//! PROXY headers and forwarding headers of requests are accepted only from trusted proxies and Unix sockets; from
//! other connections they have no effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

/// The layers between the socket of one connection and its session.
#[derive(Debug, Default)]
pub(in crate::shard) struct Layers {
    /// The client, if more is known of it than an address of IPv4.
    pub(in crate::shard) origin: Option<Box<Origin>>,
    /// The TLS of the connection.
    pub(in crate::shard) tls: Option<Box<Link>>,
    /// The part of an awaited PROXY header that has arrived.
    held: Option<Box<Held>>,
    /// Beat in which an incomplete record began; 0 for none.
    record_since: u32,
    /// Number of the listener that accepted the connection.
    listener: u16,
    proxy: Proxy,
    /// Whether the client's address came with a request: the next request may be for another client.
    is_forwarded: bool,
    /// The client's address of IPv4, if it differs from the peer of the socket: it needs no box.
    peer: Option<Ipv4Addr>,
}

/// The client behind a connection.
#[derive(Debug, Default)]
pub(in crate::shard) struct Origin {
    /// Its address of IPv6, if that differs from the peer of the socket.
    peer: Option<Ipv6Addr>,
    /// The identity in the client's certificate, if one was requested.
    pub(in crate::shard) identity: Option<Arc<Identity>>,
}

/// The cost of an [`Origin`] with its box.
pub(in crate::shard) const ORIGIN_BYTES: usize = heap::piece(size_of::<Origin>());

/// The source of the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum Proxy {
    /// The client itself.
    #[default]
    Absent,
    /// A trusted proxy, by headers of requests.
    Trusted,
    /// A trusted proxy, by a PROXY header that must come first.
    Awaited,
}

/// A partial header, shorter than [`crate::proto::proxy::HEADER_BYTES_MAX`]. In a box, since it is rare and
/// short-lived.
#[derive(Debug)]
pub(in crate::shard) struct Held(Vec<u8>);

impl Layers {
    /// The layers of an accepted connection; `None` if there are none.
    pub(in crate::shard) fn new(tls: Option<Link>, proxy: Proxy, listener: u16) -> Option<Box<Self>> {
        let is_bare = tls.is_none() && proxy == Proxy::Absent;
        let tls = tls.map(Box::new);
        (!is_bare).then(|| Box::new(Self { tls, proxy, listener, ..Self::default() }))
    }

    /// The layers of a session without a socket, whose client has this address and certificate.
    pub(in crate::shard) fn of_client(
        peer: Option<IpAddr>,
        identity: Option<Arc<Identity>>,
    ) -> Option<Box<Self>> {
        if peer.is_none() && identity.is_none() {
            return None;
        }
        let mut layers = Box::new(Self::default());
        layers.set_peer(peer);
        if identity.is_some() {
            layers.origin.get_or_insert_default().identity = identity;
        }
        Some(layers)
    }

    /// The address of the client, if it differs from the peer of the socket.
    fn peer(&self) -> Option<IpAddr> {
        let of_origin = || self.origin.as_ref().and_then(|origin| origin.peer).map(IpAddr::V6);
        self.peer.map(IpAddr::V4).or_else(of_origin)
    }

    fn set_peer(&mut self, peer: Option<IpAddr>) {
        let (four, six) = match peer.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => (Some(address), None),
            Some(IpAddr::V6(address)) => (None, Some(address)),
            None => (None, None),
        };
        self.peer = four;
        if six.is_some() || self.origin.is_some() {
            self.origin.get_or_insert_default().peer = six;
        }
    }

    /// Whether a PROXY header must come first.
    pub(in crate::shard) fn awaits_header(&self) -> bool {
        self.proxy == Proxy::Awaited
    }

    /// Records a PROXY header: it names `client`, if any; a trusted sender may also name clients in requests.
    pub(in crate::shard) fn note_header(&mut self, client: Option<IpAddr>, is_trusted: bool) {
        (self.proxy, self.held) = (if is_trusted { Proxy::Trusted } else { Proxy::Absent }, None);
        if client.is_some() {
            self.set_peer(client);
        }
    }

    /// The identity in the client's verified certificate.
    pub(in crate::shard) fn identity(&self) -> Option<&Arc<Identity>> {
        self.origin.as_ref()?.identity.as_ref()
    }

    /// Moves the stored part of a header or record to the start of `input`; returns its size.
    pub(in crate::shard) fn unhold(&mut self, input: &mut [u8]) -> usize {
        if self.awaits_header() {
            let Some(held) = self.held.take() else { return 0 };
            input[..held.0.len()].copy_from_slice(&held.0);
            return held.0.len();
        }
        self.tls.as_mut().map_or(0, |tls| tls.unhold(input))
    }

    /// Stores the beginning of a header or a record.
    pub(in crate::shard) fn hold(&mut self, rest: &[u8]) {
        if self.awaits_header() {
            self.held = (!rest.is_empty()).then(|| Box::new(Held(rest.to_vec())));
        } else if let Some(tls) = &mut self.tls {
            tls.hold(rest);
        }
    }

    /// Records how many bytes are left: the beginning of a record, which is a new one if any bytes were `taken`.
    pub(in crate::shard) fn note_rest(&mut self, bytes: usize, taken: bool, now: u32) {
        if bytes == 0 {
            self.record_since = 0;
        } else if taken || self.record_since == 0 {
            self.record_since = now.max(1);
        }
    }

    /// Restarts the time of an incomplete record.
    pub(in crate::shard) fn restart_record(&mut self, now: u32) {
        if self.record_since > 0 {
            self.record_since = now.max(1);
        }
    }

    /// The beat in which an incomplete record began.
    pub(in crate::shard) fn record_since(&self) -> Option<u32> {
        (self.record_since > 0).then_some(self.record_since)
    }

    /// Size of the stored part of a header or record, in bytes.
    pub(in crate::shard) fn held_bytes(&self) -> usize {
        match self.awaits_header() {
            true => self.held.as_ref().map_or(0, |held| held.0.len()),
            false => self.tls.as_ref().map_or(0, |tls| tls.held_bytes()),
        }
    }

    /// Whether forwarding headers of requests are trusted.
    pub(in crate::shard) fn forwarded(&self) -> Forwarded {
        if self.proxy == Proxy::Trusted { Forwarded::Trusted } else { Forwarded::Ignored }
    }

    /// Records the client that a request named, or that it named none.
    pub(in crate::shard) fn note_forwarded(&mut self, client: Option<IpAddr>) {
        if client.is_some() || self.is_forwarded {
            self.set_peer(client);
            self.is_forwarded = client.is_some();
        }
    }
}

impl<W: World> Carry<W> {
    /// The identity in the client's verified certificate.
    pub(in crate::shard) fn identity(&self, key: Key) -> Option<&Arc<Identity>> {
        self.conns.entry(key)?.layers.as_ref()?.identity()
    }

    /// Whether a request with this certificate, or none, may be one of a session's client: the certificate that opened the
    /// session counts. So it may if there is no such session.
    pub(in crate::shard) fn is_its_client(&self, session: Key, identity: Option<&Identity>) -> bool {
        let Some(conn) = self.conns.entry(session) else { return true };
        let own = conn.layers.as_ref().and_then(|layers| layers.identity());
        own.map(|own| own.sha256) == identity.map(|identity| identity.sha256)
    }

    /// The address of the client itself, as far as it is known.
    pub(in crate::shard) fn peer(&self, key: Key) -> Option<IpAddr> {
        let conn = self.conns.entry(key)?;
        let told = conn.layers.as_ref().and_then(|layers| layers.peer());
        let of_socket = || conn.socket.as_ref().and_then(|socket| self.net.peer(socket));
        told.or_else(of_socket).map(|address| address.to_canonical())
    }

    /// The listener of a connection without a peer address: a Unix socket, whose connections have layers as those of
    /// proxies. Any other connection counts as one of listener 0.
    pub(in crate::shard) fn listener(&self, key: Key) -> u16 {
        self.conns.entry(key).and_then(|conn| conn.layers.as_ref()).map_or(0, |layers| layers.listener)
    }

    /// Sets the headers with the client's address for hooks: they contain the address known here, whatever the client
    /// or an untrusted proxy sent.
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
    /// Whether forwarding headers of the connection's requests are trusted.
    pub(in crate::shard) fn forwarded(&self) -> Forwarded {
        self.layers.as_ref().map_or(Forwarded::Ignored, |layers| layers.forwarded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_fit_a_block_of_48_bytes() {
        assert!(size_of::<Layers>() <= 40, "{}", size_of::<Layers>());
    }

    #[test]
    fn an_address_of_ipv4_needs_no_box() {
        let [four, mapped, six] =
            ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
        for (peer, expected, has_box) in [(four, four, false), (mapped, four, false), (six, six, true)] {
            let mut layers = Layers::of_client(Some(peer), None).unwrap();
            assert_eq!((layers.peer(), layers.origin.is_some()), (Some(expected), has_box), "{peer}");
            layers.note_forwarded(None);
            assert_eq!(layers.peer(), Some(expected), "an address that no request gave stays");
            for named in [four, six] {
                layers.note_forwarded(Some(named));
                assert_eq!(layers.peer(), Some(named));
            }
            layers.note_forwarded(None);
            assert_eq!(layers.peer(), None, "the next request named no client");
        }
    }
}
