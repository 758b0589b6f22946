//! Who comes in. Accepting stops at the turn's budget, at the shard's capacity and when descriptors run out, and
//! each time it is remembered that connections may still be waiting: readiness is told only once.

use std::io;
use std::sync::Arc;

use super::Shard;
use super::conn::{Conn, beat_at_or_after};
use crate::base::counters::Counters;
use crate::net::{self, Net};
use crate::session::Handler;

/// How long accepting pauses when nothing more can be held. Long enough not to spin, short enough to go unnoticed.
const PAUSE_MS: u64 = 100;

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

impl<N: Net, H: Handler> Shard<N, H> {
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
                Ok(socket) => self.admit(socket),
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

    fn admit(&mut self, socket: N::Socket) {
        let due = beat_at_or_after(self.now_ms() + self.timeouts.handshake_ms);
        let heard = self.beat_now();
        let Some(key) = self.conns.insert_with(|_| Conn::new(socket, due, heard)) else { return };
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
