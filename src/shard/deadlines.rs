//! Timeouts of the poll, and the handling of connections' deadlines.

use super::carry::conn::Stage;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::session::{CloseReason, Session};

/// Maximum number of deadlines handled in one turn; the rest follows in the next.
const EXPIRIES_PER_TURN_MAX: usize = 32;
/// Maximum sleep while there are deadlines in wall clock time: no event reports a change of the wall clock.
const WALL_LOOK_MS: u64 = 1000;
/// Maximum sleep while other shards must take their letters, or before a drain's next step.
const STEP_MS: u64 = 5;

impl<W: World> Shard<W> {
    /// The timeout of the next poll.
    pub(super) fn poll_timeout_ms(&self) -> Option<u64> {
        let clients = &self.door.clients;
        let channels = &self.door.clients.channels;
        let carry = &self.door.clients.channels.carry;
        let now_ms = carry.now_ms();
        let accepts = self.door.admission.is_pending && self.door.drain.is_none();
        if (accepts && self.door.admission.paused_until_ms.is_none())
            || channels.local.queued_count() > 0
            || !channels.emissions.is_empty()
            || !carry.dirty.is_empty()
            || !carry.graves.is_empty()
            || !clients.refused_joins.is_empty()
            || channels.home.has_membership()
            || self.door.is_shedding()
            || (carry.newcomers.are_waiting() && !self.is_congested)
        {
            return Some(0);
        }
        // Unread input waits for its share of the next turn, or for the end of congestion.
        let step = if self.door.drain.is_some() { Some(now_ms + STEP_MS) } else { None };
        let has_unread = !carry.unread.is_empty() || carry.newcomers.are_waiting();
        let unread = has_unread.then(|| now_ms + u64::from(self.is_congested));
        let paused = self.door.admission.paused_until_ms.filter(|_| accepts);
        let (memory, drain) = (self.door.next_look_ms(), self.door.drain_at_ms);
        let wall = (carry.wall.is_followed && self.connection_count() > 0).then(|| now_ms + WALL_LOOK_MS);
        let (home, tidy) = (channels.home.next_expiry_ms(), carry.account.tidy_at_ms());
        let all = [carry.wheel.next(), step, unread, paused, home, memory, drain, wall, tidy];
        let next = all.into_iter().flatten().min()?;
        Some(next.saturating_sub(now_ms))
    }

    pub(super) fn expire(&mut self) {
        let now_ms = self.carry().now_ms();
        for _ in 0..EXPIRIES_PER_TURN_MAX {
            let Some(index) = self.carry().wheel.pop_due(now_ms) else { return };
            if let Some(key) = self.carry().conns.key_at(index) {
                self.on_deadline(key);
                self.channels().finish_endings();
            }
        }
    }

    fn on_deadline(&mut self, key: Key) {
        let (now_ms, now) = (self.carry().now_ms(), self.carry().beat_now());
        let Some(conn) = self.carry().conns.entry_mut(key) else { return };
        if conn.session.deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            conn.session.set_deadline_ms(None);
            self.clients().tell_handler(key, Session::timer);
        }
        self.clients().expire_client(key);
        let carry = self.carry();
        let message_due_ms = carry.conns.entry(key).and_then(|conn| carry.message_due_ms(conn));
        if message_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            return self.channels().close(key, CloseReason::MessageTimeout);
        }
        let Some(conn) = self.carry().conns.entry_mut(key) else { return };
        if conn.due > now {
            return self.carry().arm(key);
        }
        match conn.stage {
            Stage::Buried => {}
            Stage::LastWords | Stage::Linger | Stage::Discard | Stage::Shed => self.carry().grave(key),
            Stage::Open if conn.has_left => self.channels().close(key, CloseReason::Hangup),
            Stage::Open if conn.session.probes().is_some() => self.expire_probe(key),
            // The connection is idle: an answer could be taken for that of the next request.
            Stage::Open if conn.session.is_idle() => self.channels().close(key, CloseReason::Answered),
            Stage::Open if conn.session.waits_for().is_some() => self.expire_wait(key),
            Stage::Open if conn.session.phase().is_request() => {
                self.channels().close(key, CloseReason::HandshakeTimeout)
            }
            Stage::Open if conn.session.phase().is_identifying() => {
                self.channels().close(key, CloseReason::Stale)
            }
            Stage::Open => self.carry().heartbeat(key),
        }
    }
}
