//! Accepting connections. It stops at the turn's budget, at the shard's capacity and when descriptors run out; each
//! time it is recorded that connections may still be waiting, since readiness is reported only once.

use crate::shard::options::Listener;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::Door;
use crate::base::by_address::{ByAddress, network_of};
use crate::base::counters::Counter;
use crate::net;
use crate::net::{Accepted, Net};
use crate::session::{CloseReason, Session};
use crate::shard::World;
use crate::shard::carry::close::UNAVAILABLE;
use crate::shard::carry::conn::{Conn, CountedAs, Stage, beat_at_or_after};
use crate::shard::carry::layers::{Layers, Proxy};
use crate::shard::counters::Counters;
use crate::shard::options::Limits;
use crate::tls::Acceptor;

/// Pause of accepting when no descriptor is free: long enough not to spin, short enough to go unnoticed.
const PAUSE_MS: u64 = 100;

/// Time for a client refused before any input to read the answer, and maximum number of such connections at a time,
/// per shard; others are closed at once, and may see a reset.
const SHED_LINGER_MS: u64 = 2000;
const SHED_LINGERING_MAX: u64 = 1024;

#[derive(Debug)]
pub(in crate::shard) struct Admission {
    /// Whether connections may be waiting at a listener.
    pub(in crate::shard) is_pending: bool,
    /// End of a pause of accepting, in milliseconds.
    pub(in crate::shard) paused_until_ms: Option<u64>,
    all_counters: Arc<[Arc<Counters>]>,
    connections_max: usize,
}

impl Admission {
    pub(in crate::shard) fn new(all_counters: Arc<[Arc<Counters>]>, connections_max: usize) -> Self {
        // Connections may have come before the first poll.
        Self { is_pending: true, paused_until_ms: None, all_counters, connections_max }
    }

    /// Whether the process has more connections than allowed, with so many more.
    pub(in crate::shard) fn is_full(&self, more: u64) -> bool {
        self.connections_max > 0 && {
            // Refused connections that linger do not count.
            let held = |c: &Arc<Counters>| c.connections.value().saturating_sub(c.refused_lingering.value());
            self.all_counters.iter().map(held).sum::<u64>() + more > self.connections_max as u64
        }
    }

    /// The sum of a counter over all shards of the process.
    pub(in crate::shard) fn sum(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        self.all_counters.iter().map(|counters| counter(counters).value()).sum()
    }

    /// Whether no shard of the process has a connection.
    pub(in crate::shard) fn is_deserted(&self) -> bool {
        self.all_counters.iter().all(|counters| counters.connections.value() == 0)
    }
}

/// Recent connections, counted for the rates.
#[derive(Debug, Default)]
pub(in crate::shard) struct Admitted {
    accepts_by_ip: ByAddress,
    accepts_by_network: ByAddress,
}

impl<W: World> Door<W> {
    /// Removes addresses without recent connections.
    pub(in crate::shard) fn forget_quiet(&mut self) {
        let carry = &mut self.clients.channels.carry;
        let now_ms = carry.now_ms();
        let Limits { accepts_per_ip_max, accepts_per_network_max, .. } = carry.limits;
        let Admitted { accepts_by_ip, accepts_by_network, .. } = &mut self.admitted;
        accepts_by_ip.ease(now_ms, accepts_per_ip_max);
        accepts_by_network.ease(now_ms, accepts_per_network_max);
        carry.forwarding.ease(now_ms);
    }

    /// Whether the rates admit one more connection from this address. Counts it, or its refusal. For a connection of
    /// a proxy it is called once the client's address is known.
    pub(in crate::shard) fn admits_address(&mut self, address: IpAddr) -> bool {
        let carry = &mut self.clients.channels.carry;
        let now_ms = carry.now_ms();
        let Limits { accepts_per_ip_max, accepts_per_network_max, .. } = carry.limits;
        let Admitted { accepts_by_ip, accepts_by_network, .. } = &mut self.admitted;
        if !accepts_by_ip.take(now_ms, address.to_canonical(), accepts_per_ip_max) {
            carry.counters.refused_ip_rate.add(1);
            return false;
        }
        if !accepts_by_network.take(now_ms, network_of(address), accepts_per_network_max) {
            carry.counters.refused_network_rate.add(1);
            return false;
        }
        true
    }

    /// Whether the rate admits one more TLS handshake. Counts it, or its refusal.
    pub(in crate::shard) fn admits_handshake(&mut self) -> bool {
        let carry = &mut self.clients.channels.carry;
        let rate = carry.limits.tls_handshakes_per_second_max;
        let is_admitted = rate == 0 || carry.rates.tls_handshakes.take(carry.now_us, rate);
        carry.counters.refused_handshake_rate.add(u64::from(!is_admitted));
        is_admitted
    }

    /// Whether one more connection must be refused, for lack of room or by a rate. Counts the reason.
    fn refuses(&mut self, address: Option<IpAddr>) -> bool {
        let carry = &mut self.clients.channels.carry;
        let (accepts_max, half_open_max) =
            (carry.limits.accepts_per_second_max, carry.limits.half_open_max as u64);
        let half_open_part = half_open_max.div_ceil(u64::from(carry.post.shard_count()));
        let c = &carry.counters;
        if carry.pressure.refuses() {
            c.refused_memory.add(1);
        } else if self.admission.is_full(1) {
            c.refused_unavailable.add(1);
        } else if half_open_max > 0 && c.half_open.value() >= half_open_part {
            c.refused_half_open.add(1);
        } else if accepts_max > 0 && !carry.rates.accepts.take(carry.now_us, accepts_max) {
            c.refused_node_rate.add(1);
        } else {
            return address.is_some_and(|address| !self.admits_address(address));
        }
        true
    }

    #[inline]
    pub(in crate::shard) fn accept(&mut self) {
        if self.admission.paused_until_ms.is_some_and(|until| self.clients.channels.carry.now_ms() >= until) {
            self.admission.paused_until_ms = None;
        }
        if !self.admission.is_pending || self.admission.paused_until_ms.is_some() || self.drain.is_some() {
            return;
        }
        for _ in 0..self.clients.channels.carry.limits.accepts_per_turn_max {
            let carry = &mut self.clients.channels.carry;
            if carry.conns.len() >= carry.conns.capacity_max() {
                return self.pause_accepting();
            }
            match carry.net.accept() {
                Ok(accepted) => self.admit(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.admission.is_pending = false;
                    return;
                }
                Err(error) => {
                    if !net::is_exhaustion(&error) {
                        tracing::warn!(%error, "accepting failed");
                    }
                    return self.pause_accepting();
                }
            }
        }
    }

    fn pause_accepting(&mut self) {
        let carry = &mut self.clients.channels.carry;
        if carry.counters.accept_pauses.value() == 0 {
            tracing::warn!(
                connections = carry.conns.len(),
                "accepting pauses: no descriptors or slots left; `throng doctor` says what to raise"
            );
        }
        carry.counters.accept_pauses.add(1);
        self.admission.paused_until_ms = Some(carry.now_ms() + PAUSE_MS);
    }

    fn admit(&mut self, accepted: Accepted<W::Socket>) {
        self.clients.channels.carry.counters.accepts.add(1);
        // The client of a proxy is known later.
        let client = accepted.peer.filter(|_| !self.is_proxy(&accepted));
        if self.refuses(client) {
            return self.shed(accepted);
        }
        let (layers, speaks) = (self.new_layers(&accepted), self.listener(&accepted).speaks);
        let Accepted { socket, .. } = accepted;
        let carry = &mut self.clients.channels.carry;
        let due = beat_at_or_after(carry.now_ms() + carry.timeouts.handshake_ms);
        let heard = carry.beat_now();
        let Some(key) =
            carry.conns.insert_with(|_| Conn { layers, ..Conn::new(Some(socket), speaks, due, heard) })
        else {
            return;
        };
        carry.counters.connections.add(1);
        carry.count_as(key, CountedAs::HalfOpen);
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        carry.counters.tls_links.add(u64::from(conn.tls().is_some()));
        carry.counters.plain_lines.add(u64::from(conn.is_plain_layered()));
        match conn.socket.as_mut().map(|socket| carry.net.register(socket, key.to_token())) {
            Some(Ok(())) | None => carry.arm(key),
            Some(Err(error)) => {
                tracing::warn!(%error, "registering an accepted connection failed");
                self.clients.channels.close(key, CloseReason::Transport);
            }
        }
    }

    /// Whether one more session without a socket must be refused, for lack of room or by the rates of its client's
    /// address: one connection may ask for many. Counts the reason.
    pub(in crate::shard) fn refuses_session(&mut self, address: Option<IpAddr>) -> bool {
        let carry = &mut self.clients.channels.carry;
        let is_short = carry.pressure.refuses();
        let is_full = carry.conns.len() >= carry.conns.capacity_max() || self.admission.is_full(1);
        let counters = &self.clients.channels.carry.counters;
        counters.refused_memory.add(u64::from(is_short));
        counters.refused_unavailable.add(u64::from(is_full && !is_short));
        is_short || is_full || address.is_some_and(|address| !self.admits_address(address))
    }

    /// Refuses a connection before any input. A TLS connection is closed: an answer would cost a key exchange. A
    /// plain one gets an answer with the time to retry: closing it while its request arrives would cause a reset,
    /// which discards data that it has not read. So it keeps a slot without other state, for a limited time; the
    /// number of such connections is limited.
    fn shed(&mut self, accepted: Accepted<W::Socket>) {
        self.clients.channels.carry.counters.closes.add(1);
        let Listener { speaks, tls } = self.listener(&accepted);
        if self.tls.is_some() && tls {
            return;
        }
        let carry = &mut self.clients.channels.carry;
        let due = beat_at_or_after(carry.now_ms() + carry.timeouts.linger_ms.min(SHED_LINGER_MS));
        let heard = carry.beat_now();
        let shed = |_| Conn {
            stage: Stage::Linger,
            session: Session::over(),
            ..Conn::new(Some(accepted.socket), speaks, due, heard)
        };
        let Some(key) = carry.conns.insert_with(shed) else { return };
        carry.counters.connections.add(1);
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        let is_registered = |socket| carry.net.register(socket, key.to_token()).is_ok();
        if !conn.socket.as_mut().is_some_and(is_registered) {
            return carry.grave(key);
        }
        carry.arm(key);
        UNAVAILABLE.write_with(carry.retry_after_s(key), &mut carry.out);
        carry.write_out(key);
        let lingering = carry.counters.refused_lingering.value();
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        if conn.outbox.is_some() || conn.stage != Stage::Linger {
            // No room for a few bytes in a new socket: it is closed like any other.
            return;
        }
        conn.stage = Stage::Shed;
        carry.counters.refused_lingering.add(1);
        let is_told = conn.socket.as_mut().is_some_and(|socket| carry.net.shutdown_write(socket).is_ok());
        if !is_told || lingering >= SHED_LINGERING_MAX {
            carry.grave(key);
        }
    }

    /// The layers of an accepted connection.
    pub(in crate::shard) fn new_layers(&self, accepted: &Accepted<W::Socket>) -> Option<Box<Layers>> {
        let proxy = match (self.is_proxy(accepted), self.takes_proxy_headers) {
            (false, _) => Proxy::Absent,
            (true, true) => Proxy::Awaited,
            (true, false) => Proxy::Trusted,
        };
        let acceptor = self.tls.as_ref().filter(|_| self.listener(accepted).tls);
        Layers::new(acceptor.map(Acceptor::accept), proxy, accepted.listener)
    }

    /// The listener of an accepted connection.
    pub(in crate::shard) fn listener(&self, accepted: &Accepted<W::Socket>) -> Listener {
        self.listeners[usize::from(accepted.listener)]
    }

    /// Whether a connection is that of a trusted proxy.
    pub(in crate::shard) fn is_proxy(&self, accepted: &Accepted<W::Socket>) -> bool {
        accepted
            .peer
            .is_none_or(|address| self.clients.channels.carry.settings.trusted_proxies.contains(address))
    }
}
