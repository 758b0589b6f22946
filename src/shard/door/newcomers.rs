//! Connections that are not live yet: their TLS, request and connect command cost a hundred times what a message does,
//! and a crowd of them must not keep the live ones waiting.
//!
//! So what they send is not read when it arrives. They are put on a stack; at the end of the turn, after all live
//! connections were served, a bounded number is taken, the newest first: who has waited longest has most likely given
//! up. What the others sent stays in the kernel's buffers and costs nothing here. On a quiet server the stack is empty
//! before and after, and a newcomer is answered in the turn in which it spoke.
//!
//! Invariant: a newcomer with unread input is on the stack, a live connection never has to be: becoming live and ending
//! both leave it. Entries of those that have left are passed over, and swept out before they outnumber the others.

use crate::base::slots::Key;
use crate::proto::http::Refusal;
use crate::session::CloseReason;
use crate::shard::carry::close::{DRAINING, UNAVAILABLE};
use crate::shard::carry::conn::Conn;
use crate::shard::{Shard, World};

/// What a read counts for that is a part of a TLS handshake: a key exchange takes some 200 µs, a request 20.
const TLS_COST: usize = 4;
/// Entries that are not worth a sweep.
const UNSWEPT_MAX: usize = 256;

/// Connections that are not live yet and have unread input, the newest last.
#[derive(Debug, Default)]
pub(in crate::shard) struct Newcomers {
    stack: Vec<Key>,
    /// Length of the stack at which it is swept.
    sweep_at: usize,
}

impl Newcomers {
    /// Who waits, and entries of some that no longer do.
    pub(in crate::shard) fn stack_mut(&mut self) -> &mut Vec<Key> {
        &mut self.stack
    }

    /// Whether someone waits for the next turn.
    pub(in crate::shard) fn are_waiting(&self) -> bool {
        !self.stack.is_empty()
    }
}

/// Whether a connection has yet to become live.
pub(in crate::shard) fn is_newcomer<K, S>(conn: &Conn<K, S>) -> bool {
    conn.session.phase().is_new()
}

impl<W: World> Shard<W> {
    /// Remembers that a connection has unread input, if that is not known.
    pub(in crate::shard) fn postpone(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if std::mem::replace(&mut conn.is_unread, true) {
            return;
        }
        if !is_newcomer(conn) {
            return self.unread.push(key);
        }
        let Newcomers { stack, sweep_at } = &mut self.newcomers;
        stack.push(key);
        if stack.len() > *sweep_at {
            stack
                .retain(|&key| self.conns.entry(key).is_some_and(|conn| conn.is_unread && is_newcomer(conn)));
            *sweep_at = (2 * stack.len()).max(UNSWEPT_MAX);
        }
    }

    /// Reads from newcomers, the newest first, until none waits or the turn's budget is used up.
    pub(in crate::shard) fn serve_newcomers(&mut self) {
        if self.is_congested || !self.newcomers.are_waiting() {
            return;
        }
        let mut left = self.limits.handshakes_per_turn_max;
        while left > 0 {
            let Some(key) = self.newcomers.stack.pop() else { return };
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            if !conn.is_unread || !is_newcomer(conn) {
                continue;
            }
            conn.is_unread = false;
            let (is_fresh, shakes_hands) =
                conn.tls().map_or((false, false), |tls| (tls.is_fresh(), !tls.is_open()));
            // To say so over TLS would cost the key exchange that there is no room for.
            let refusal = match self.refusal() {
                Some(refusal) if is_fresh => Some(CloseReason::Refused(refusal)),
                _ if is_fresh && !self.admits_handshake() => Some(CloseReason::Crowded),
                _ => None,
            };
            if let Some(refusal) = refusal {
                self.close(key, refusal);
                continue;
            }
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            if !conn.is_read_paused {
                left = left.saturating_sub(if shakes_hands { TLS_COST } else { 1 });
                self.read(key);
            }
        }
        self.counters.newcomer_waits.add(u64::from(self.newcomers.are_waiting()));
    }

    /// What every request would be answered, whatever it asks for: that the server drains, or that it is full.
    pub(in crate::shard) fn refusal(&self) -> Option<Refusal> {
        let full = || self.admission.is_full(0).then_some(UNAVAILABLE);
        self.drain.is_some().then_some(DRAINING).or_else(full)
    }

    /// A newcomer has become live: what it has sent since is read as that of all others.
    pub(in crate::shard) fn becomes_live(&mut self, key: Key) {
        if self.conns.entry(key).is_some_and(|conn| conn.is_unread) {
            self.unread.push(key);
        }
    }
}
