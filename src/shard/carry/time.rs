//! Deadlines. Each connection has one entry in the wheel, for its earliest deadline. Activity does not move it; when
//! it expires, the actual deadline is computed, and the entry is set again.

use super::Carry;
use super::conn::{BEAT_MS, Conn, Stage, beat_at_or_after};
use crate::base::slots::Key;
use crate::hub::home::Now;
use crate::net::Net;
use crate::session::{CloseReason, Pings};
use crate::shard::World;
use crate::shard::options::EndDelays;

/// Drift of the wall clock against the shard's clock from which deadlines in Unix time are set again.
const DRIFT_MS_MAX: u64 = 500;

/// The wall clock, read once per turn. It is never used alone to measure a wait: it may jump.
#[derive(Debug)]
pub(in crate::shard) struct Wall {
    /// Unix time in milliseconds.
    pub(in crate::shard) unix_ms: u64,
    /// Its lead over the shard's clock when deadlines were last set.
    ahead_ms: u64,
    /// Whether some connection has, or had, a deadline in Unix time.
    pub(in crate::shard) is_followed: bool,
}

impl Wall {
    pub(in crate::shard) fn new(unix_ms: u64, now_ms: u64) -> Self {
        Self { unix_ms, ahead_ms: unix_ms.wrapping_sub(now_ms), is_followed: false }
    }

    /// Takes a reading; returns whether existing deadlines in Unix time are wrong.
    fn has_moved(&mut self, unix_ms: u64, now_ms: u64) -> bool {
        self.unix_ms = unix_ms;
        let ahead_ms = unix_ms.wrapping_sub(now_ms);
        let moved_ms = ahead_ms.wrapping_sub(self.ahead_ms).cast_signed().unsigned_abs();
        if moved_ms > DRIFT_MS_MAX {
            self.ahead_ms = ahead_ms;
        }
        moved_ms > DRIFT_MS_MAX
    }
}

/// Times of heartbeats by beat: those of one beat leave together, so connections need not store the time.
#[derive(Debug)]
pub(in crate::shard) struct Pinged([(u32, u64); Self::BEATS]);

impl Default for Pinged {
    fn default() -> Self {
        Self([(0, 0); Self::BEATS])
    }
}

impl Pinged {
    /// Number of beats that are stored, eight seconds.
    const BEATS: usize = 64;

    fn note(&mut self, beat: u32, now_us: u64) {
        self.0[beat as usize % Self::BEATS] = (beat, now_us);
    }

    /// The time of a beat's heartbeats in microseconds; if it is no longer stored, the beginning of the beat.
    fn at_us(&self, beat: u32) -> u64 {
        match self.0[beat as usize % Self::BEATS] {
            (known, at_us) if known == beat => at_us,
            _ => u64::from(beat) * BEAT_MS * 1000,
        }
    }
}

/// Time from the handshake to the first heartbeat of the connection at `index`. Not immediate for index 0, which a
/// quiet server reuses for most connections.
fn first_heartbeat_ms(index: u32, interval_ms: u64) -> u64 {
    const GOLDEN: u32 = 0x9E37_79B9;
    let part = u64::from(index.wrapping_add(1).wrapping_mul(GOLDEN));
    (interval_ms * part) >> 32
}

impl<W: World> Carry<W> {
    /// The current beat.
    #[expect(clippy::cast_possible_truncation, reason = "2^32 beats are 17 years")]
    #[inline]
    pub(in crate::shard) fn beat_now(&self) -> u32 {
        (self.now_ms() / BEAT_MS) as u32
    }

    /// Reads both clocks for the turn. If the wall clock has jumped (it was set, or the machine slept), deadlines in
    /// Unix time are computed again.
    #[inline]
    pub(in crate::shard) fn read_clocks(&mut self) {
        self.now_us = self.net.now_us();
        if self.wall.has_moved(self.net.unix_ms(), self.now_us / 1000) && self.wall.is_followed {
            let with_end: Vec<Key> = self
                .conns
                .iter()
                .filter(|(_, conn)| self.ends_at_ms(conn).is_some())
                .map(|(key, _)| key)
                .collect();
            self.wall.is_followed = !with_end.is_empty();
            for key in with_end {
                self.arm(key);
            }
        }
    }

    /// The Unix time in milliseconds at which the connection or one of its subscriptions ends.
    fn ends_at_ms(&self, conn: &Conn<W::Socket, W::State>) -> Option<u64> {
        let EndDelays { conn_ms, sub_ms } = self.end_delays;
        if let Some(end_s) = conn.session.ends_at_s() {
            return Some(end_s.saturating_mul(1000));
        }
        conn.client.as_ref()?.ends_at_ms(conn_ms, sub_ms)
    }

    /// Sets the connection's entry in the wheel.
    pub(in crate::shard) fn arm(&mut self, key: Key) {
        if let Some(conn) = self.conns.entry(key) {
            // From Unix time to the shard's clock.
            let left_ms = |unix_ms: u64| unix_ms.saturating_sub(self.wall.unix_ms);
            let ends_ms =
                self.ends_at_ms(conn).map_or(u64::MAX, |end| self.now_ms().saturating_add(left_ms(end)));
            let whole_ms = self.message_due_ms(conn).unwrap_or(u64::MAX);
            self.wall.is_followed |= ends_ms < u64::MAX;
            self.wheel.set(key.index(), conn.deadline_ms().min(ends_ms).min(whole_ms));
        }
    }

    /// The deadline of an incomplete message or record, if there is one: requests and endings have deadlines of their
    /// own. None while the server does not read.
    pub(in crate::shard) fn message_due_ms(&self, conn: &Conn<W::Socket, W::State>) -> Option<u64> {
        let reads = !conn.is_read_paused && !conn.is_unread;
        let message_ms = Some(self.timeouts.message_ms).filter(|&ms| ms > 0 && reads)?;
        let record = conn.layers.as_ref().and_then(|layers| layers.record_since());
        let is_live = conn.stage == Stage::Open && !conn.session.phase().is_request();
        let record = record.filter(|_| is_live).map(|beat| u64::from(beat) * BEAT_MS);
        let began_ms = conn.session.partial_since_ms().into_iter().chain(record).min()?;
        Some(began_ms + message_ms)
    }

    /// Sets the deadline of an incomplete message, now that the connection is read from.
    pub(in crate::shard) fn arm_message(&mut self, key: Key) {
        if self.conns.entry(key).is_some_and(|conn| self.message_due_ms(conn).is_some()) {
            self.arm(key);
        }
    }

    /// Restarts the time of an incomplete message, since earlier commands delayed it, not its client.
    pub(in crate::shard) fn restart_message(&mut self, key: Key) {
        let (now_ms, now) = (self.now_ms(), self.beat_now());
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.session.restart_partial(now_ms);
        if let Some(layers) = &mut conn.layers {
            layers.restart_record(now);
        }
    }

    /// Sets the deadline of the connection's phase, counted from now.
    pub(in crate::shard) fn set_due(&mut self, key: Key, after_ms: u64) {
        let due = beat_at_or_after(self.now_ms() + after_ms);
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.due = due;
            self.arm(key);
        }
    }

    /// Starts heartbeats. The first comes after a part of the interval that depends on the index by the golden ratio,
    /// so that the heartbeats of connections that came together are spread evenly.
    pub(in crate::shard) fn start_heartbeat(&mut self, key: Key) {
        if self.conns.entry(key).is_some_and(|conn| conn.has_left) {
            return self.await_commands(key);
        }
        if self.conns.entry(key).is_some_and(|conn| conn.session.pings() == Pings::Own) {
            return self.no_due(key);
        }
        let interval_ms = self.timeouts.ping_interval_ms;
        if interval_ms == 0 {
            let idle_ms = self.timeouts.idle_ms;
            // A client that cannot send is never idle.
            let is_answered = |conn: &Conn<_, _>| conn.session.pings() == Pings::Answered;
            let may_be_idle = idle_ms > 0 && self.conns.entry(key).is_some_and(is_answered);
            return if may_be_idle { self.set_due(key, idle_ms) } else { self.no_due(key) };
        }
        self.set_due(key, first_heartbeat_ms(key.index(), interval_ms));
    }

    fn no_due(&mut self, key: Key) {
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.due = u32::MAX;
            self.arm(key);
        }
    }

    /// Handles the time of a heartbeat, or of its answer.
    pub(in crate::shard) fn heartbeat(&mut self, key: Key) {
        let now = self.beat_now();
        let idle = beat_at_or_after(self.timeouts.idle_ms);
        let interval_ms = self.timeouts.ping_interval_ms;
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let is_answered = conn.session.pings() == Pings::Answered;
        // Its input is not read while commands wait for others: its silence does not count.
        let is_unheard =
            conn.is_read_paused && conn.client.as_ref().is_some_and(|client| client.asked_outside() > 0);
        // A client that cannot send is not idle.
        if idle > 0 && is_answered && !is_unheard && now.saturating_sub(conn.heard) >= idle {
            return self.end(key, CloseReason::Idle);
        }
        if interval_ms == 0 {
            if idle == 0 || !is_answered {
                return self.no_due(key);
            }
            // If silence does not count, the next check is after the whole idle time, not at once.
            let from = if is_unheard { now } else { conn.heard };
            let due = u64::from(from.saturating_add(idle)) * BEAT_MS;
            return self.set_due(key, due.saturating_sub(self.now_ms()));
        }
        if conn.awaits_pong {
            let pong_timeout = beat_at_or_after(self.timeouts.pong_timeout_ms);
            if !is_unheard && conn.heard < conn.due.saturating_sub(pong_timeout) {
                return self.end(key, CloseReason::NoPong);
            }
            conn.awaits_pong = false;
            self.set_due(key, interval_ms.saturating_sub(self.timeouts.pong_timeout_ms));
            return;
        }
        if !is_answered {
            conn.session.ping(&mut self.out);
            self.counters.heartbeats_sent.add(1);
            self.set_due(key, interval_ms);
            return self.write_out(key);
        }
        // Input earlier in this beat is not an answer.
        conn.heard = conn.heard.min(now.saturating_sub(1));
        conn.awaits_pong = true;
        conn.has_pong = false;
        self.pinged.note(now, self.now_us);
        conn.session.ping(&mut self.out);
        self.counters.heartbeats_sent.add(1);
        conn.due = now.saturating_add(beat_at_or_after(self.timeouts.pong_timeout_ms));
        self.arm(key);
        self.write_out(key);
    }

    /// Records the time of an answer to a heartbeat, once for each.
    pub(in crate::shard) fn pong_came(&mut self, key: Key) {
        let pong_timeout = beat_at_or_after(self.timeouts.pong_timeout_ms);
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| conn.awaits_pong && !conn.has_pong) else {
            return;
        };
        conn.has_pong = true;
        let pinged_us = self.pinged.at_us(conn.due.saturating_sub(pong_timeout));
        self.counters.pong_us.record(self.now_us.saturating_sub(pinged_us));
    }

    pub(in crate::shard) fn now(&self) -> Now {
        Now { ms: self.now_ms(), unix_ms: self.wall.unix_ms }
    }

    pub(in crate::shard) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_has_the_time_of_its_beat() {
        let mut pinged = Pinged::default();
        pinged.note(7, 1_000_123);
        assert_eq!(pinged.at_us(7), 1_000_123);
        assert_eq!(pinged.at_us(8), 8 * BEAT_MS * 1000, "never noted");
        pinged.note(7 + 64, 9_300_000);
        assert_eq!((pinged.at_us(7 + 64), pinged.at_us(7)), (9_300_000, 7 * BEAT_MS * 1000));
    }

    #[test]
    fn first_heartbeats_are_spread_evenly_and_none_comes_at_once() {
        let mut tenths = [0; 10];
        for index in 0..1000 {
            let after_ms = first_heartbeat_ms(index, 25_000);
            assert!(after_ms < 25_000);
            tenths[usize::try_from(after_ms / 2500).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (95..=105).contains(count)), "{tenths:?}");
        assert!((0..5).all(|index| first_heartbeat_ms(index, 25_000) > 1000));
    }
}
