//! Who comes in. Accepting stops at the turn's budget, at the shard's capacity and when descriptors run out, and
//! each time it is remembered that connections may still be waiting: readiness is told only once.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::Shard;
use super::conn::{Conn, beat_at_or_after};
use crate::base::bucket::Bucket;
use crate::base::counters::Counters;
use crate::base::slots::Key;
use crate::config::Rates;
use crate::net::{self, Accepted, Net};
use crate::session::Handler;

/// How long accepting pauses when nothing more can be held. Long enough not to spin, short enough to go unnoticed.
const PAUSE_MS: u64 = 100;

/// Addresses whose connections are counted, per shard; beyond it, those that have been quiet are forgotten.
const ADDRESSES_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Admission {
    /// Connections may be waiting at a listener.
    pub(super) is_pending: bool,
    /// Until when accepting pauses, in milliseconds.
    pub(super) paused_until_ms: Option<u64>,
    all_counters: Arc<[Arc<Counters>]>,
    connections_max: usize,
}

impl Admission {
    pub(super) fn new(all_counters: Arc<[Arc<Counters>]>, connections_max: usize) -> Self {
        // Connections may have come before the first poll.
        Self { is_pending: true, paused_until_ms: None, all_counters, connections_max }
    }

    /// Whether the process holds as many connections as it is allowed to.
    pub(super) fn is_full(&self) -> bool {
        self.connections_max > 0 && {
            let count: u64 = self.all_counters.iter().map(|counters| counters.connections.value()).sum();
            count > self.connections_max as u64
        }
    }

    /// Whether no shard of the process has a connection.
    pub(super) fn is_deserted(&self) -> bool {
        self.all_counters.iter().all(|counters| counters.connections.value() == 0)
    }
}

/// Who connected lately, counted for the rates.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    all: Bucket,
    by_address: HashMap<IpAddr, Bucket>,
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// Whether the rates let one more client connect.
    pub(super) fn admits_connect(&mut self, key: Key) -> bool {
        let now_ms = self.now_ms();
        let Rates { connects_max, connects_per_ip_max, .. } = self.rates;
        if connects_per_ip_max > 0
            && let Some(address) = self.peer(key)
        {
            let by_address = &mut self.admitted.by_address;
            if by_address.len() >= ADDRESSES_MAX {
                // Who has been silent for a second has a full bucket again, which is that of a newcomer.
                by_address.retain(|_, bucket| !bucket.is_full(now_ms, connects_per_ip_max));
            }
            // With that many at once, the rate of all of them together is what is left to hold on to.
            if by_address.len() < ADDRESSES_MAX || by_address.contains_key(&address) {
                let bucket = by_address.entry(address).or_default();
                if !bucket.take(now_ms, connects_per_ip_max, connects_per_ip_max) {
                    return false;
                }
            }
        }
        // Each shard has its part of what the process admits, at least one.
        let part = connects_max.div_ceil(u32::from(self.post.shard_count()));
        connects_max == 0 || self.admitted.all.take(now_ms, part, part)
    }

    pub(super) fn accept(&mut self) {
        if self.admission.paused_until_ms.is_some_and(|until| self.now_ms() >= until) {
            self.admission.paused_until_ms = None;
        }
        if !self.admission.is_pending || self.admission.paused_until_ms.is_some() || self.drain.is_some() {
            return;
        }
        for _ in 0..self.limits.accepts_per_turn_max {
            if self.conns.len() >= self.conns.capacity_max() {
                return self.pause_accepting();
            }
            match self.net.accept() {
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
        if self.counters.accept_pauses.value() == 0 {
            tracing::warn!(
                connections = self.conns.len(),
                "accepting pauses: no descriptors or slots left; `throng doctor` tells what to raise"
            );
        }
        self.counters.accept_pauses.add(1);
        self.admission.paused_until_ms = Some(self.now_ms() + PAUSE_MS);
    }

    fn admit(&mut self, accepted: Accepted<N::Socket>) {
        let line = match self.new_line(&accepted) {
            Ok(line) => line,
            Err(fault) => return tracing::error!(%fault, "a connection was dropped"),
        };
        let Accepted { socket, .. } = accepted;
        let due = beat_at_or_after(self.now_ms() + self.timeouts.handshake_ms);
        let heard = self.beat_now();
        let Some(key) = self.conns.insert_with(|_| Conn { line, ..Conn::new(socket, due, heard) }) else {
            return;
        };
        self.counters.accepts.add(1);
        self.counters.connections.add(1);
        let Some(conn) = self.conns.entry_mut(key) else { return };
        match self.net.register(&mut conn.socket, key.to_token()) {
            Ok(()) => self.arm(key),
            Err(error) => {
                tracing::warn!(%error, "registering an accepted connection failed");
                self.grave(key);
            }
        }
    }
}
