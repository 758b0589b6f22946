//! The drain: connections are closed one after another over a time, each with a retry time of its own, so that
//! clients do not all reconnect at once. A few do not wait for one another that long. Connections of HTTP requests are
//! no such clients: idle ones are closed at once, and one with a request under way after its answer.
//!
//! Readiness ends first. For `drain_delay_ms` nothing else changes: a load balancer needs that time to notice, and
//! clients that it still sends are served.

use super::Door;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Phase};
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::options::Timeouts;

/// A drain under way.
#[derive(Debug)]
pub(in crate::shard) struct Drain {
    began_ms: u64,
    /// The connections that are closed one after another.
    keys: Vec<Key>,
    closed_count: usize,
}

impl Drain {
    /// The number of connections to be closed by now. The first is closed at once: a drain with one connection, or
    /// none, takes no time.
    fn target(&self, now_ms: u64, timeouts: &Timeouts) -> usize {
        let total = self.keys.len();
        let elapsed_ms = now_ms.saturating_sub(self.began_ms);
        let Timeouts { drain_ms, drain_closes_per_second_min: rate, .. } = timeouts;
        // With fewer connections than the rate closes in `drain_ms`, a drain takes less: their return is no burden for
        // another server.
        let span_ms = (total as u64).saturating_mul(1000).checked_div(*rate as u64);
        let span_ms = span_ms.map_or(*drain_ms, |span_ms| span_ms.min(*drain_ms));
        let due = (total as u64).saturating_mul(elapsed_ms).checked_div(span_ms);
        due.and_then(|due| usize::try_from(due + 1).ok()).unwrap_or(total).min(total)
    }
}

impl<W: World> Door<W> {
    /// Starts a drain, after the delay; a second call changes nothing.
    pub(in crate::shard) fn begin_drain(&mut self) {
        let carry = &mut self.clients.channels.carry;
        if self.drain.is_none() && self.drain_at_ms.is_none() {
            self.drain_at_ms = Some(carry.now_ms() + carry.timeouts.drain_delay_ms);
        }
        self.drain_step();
    }

    fn stop_listening(&mut self) {
        self.drain_at_ms = None;
        let carry = &mut self.clients.channels.carry;
        carry.net.stop_listening();
        let keys = |stages: &[Stage]| -> Vec<Key> {
            carry.conns.iter().filter(|(_, conn)| stages.contains(&conn.stage)).map(|(key, _)| key).collect()
        };
        let (open, told) = (keys(&[Stage::Open]), keys(&[Stage::Discard, Stage::Shed]));
        let is_request = |key: &Key| {
            let session = carry.conns.entry(*key).map(|conn| &conn.session);
            session.is_some_and(|session| {
                session.phase() == Phase::Asking || session.is_idle() || session.waits_for().is_some()
            })
        };
        let (requests, sessions) = open.into_iter().partition(is_request);
        self.drain = Some(Drain { began_ms: carry.now_ms(), keys: sessions, closed_count: 0 });
        carry.is_draining = true;
        for key in told {
            carry.await_goodbye(key);
        }
        self.close_for_drain(requests);
    }

    fn close_for_drain(&mut self, keys: Vec<Key>) {
        for key in keys {
            if self.clients.channels.carry.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open) {
                self.clients.channels.carry.counters.drain_closes.add(1);
                self.clients.channels.close(key, CloseReason::Shutdown);
            }
        }
    }

    /// Closes as many connections as are due.
    pub(in crate::shard) fn drain_step(&mut self) {
        if self.drain_at_ms.is_some_and(|at| at <= self.clients.channels.carry.now_ms()) {
            self.stop_listening();
        }
        let carry = &mut self.clients.channels.carry;
        let now_ms = carry.now_ms();
        let Some(mut drain) = self.drain.take() else { return };
        let target = drain.target(now_ms, &carry.timeouts).max(drain.closed_count);
        let due: Vec<Key> = drain.keys[drain.closed_count..target].to_vec();
        drain.closed_count = target;
        carry.counters.drain_left.set((drain.keys.len() - target) as u64);
        self.drain = Some(drain);
        self.close_for_drain(due);
    }

    /// Whether a drain has ended in all shards: the channels of this home have subscribers in others, and shards that
    /// still send letters need a reader.
    pub(in crate::shard) fn is_drained(&self) -> bool {
        self.drain.is_some() && self.clients.channels.carry.conns.is_empty() && self.admission.is_deserted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_spread_evenly_and_begin_at_once() {
        let drain = |count| Drain { began_ms: 1000, keys: vec![Key::from_token(0); count], closed_count: 0 };
        let timeouts = |drain_ms, drain_closes_per_second_min| Timeouts {
            drain_ms,
            drain_closes_per_second_min,
            ..Timeouts::default()
        };
        let targets = |count, drain_ms| {
            let timeouts = timeouts(drain_ms, 20);
            [1000, 1499, 1500, 1999, 2000].map(|at| drain(count).target(at, &timeouts))
        };
        assert_eq!(targets(100, 1000), [1, 50, 51, 100, 100]);
        assert_eq!(targets(1, 10_000), [1; 5], "nobody waits for a spread of one");
        assert_eq!(targets(2, 10_000), [1, 2, 2, 2, 2], "a few are closed sooner");
        assert_eq!(targets(30, 10_000), [1, 10, 11, 20, 21]);
        assert_eq!(targets(7, 0), [7; 5]);
        assert_eq!(targets(0, 10_000), [0; 5]);
        let at = |ms: u64, drain_ms, rate| drain(3000).target(1000 + ms, &timeouts(drain_ms, rate));
        assert_eq!([at(0, 10_000, 500), at(3000, 10_000, 500), at(6000, 10_000, 500)], [1, 1501, 3000]);
        assert_eq!([at(1000, 2000, 500), at(2000, 2000, 500)], [1501, 3000], "drain_ms is the longest time");
        assert_eq!(
            [at(5000, 10_000, 1), at(9_999, 10_000, 0)],
            [1501, 3000],
            "the rate is the lowest, 0 is none"
        );
        let all = timeouts(3_600_000, usize::MAX);
        assert_eq!([drain(3).target(1000, &all), drain(3).target(u64::MAX, &all)], [3; 2]);
    }
}
