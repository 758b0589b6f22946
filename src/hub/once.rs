//! Idempotency keys: a publication with a known key is not published again.
//!
//! A key holds within its channel and for [`REMEMBERED_MS`]. It is kept as a keyed digest of 128 bits, so that long
//! keys cost no more than short ones and nobody can choose two that collide. Bounded: the oldest go first.

use std::collections::{HashMap, VecDeque};

use super::Position;
use crate::base::heap;
use crate::base::seed::{Purpose, Seed};

/// How long a key is remembered.
pub(super) const REMEMBERED_MS: u64 = 5 * 60_000;
/// Maximum number of stored keys.
const KEYS_MAX: usize = 100_000;
/// Maximum of keys that one call of [`Once::expire`] forgets.
const EXPIRED_PER_CALL_MAX: usize = 1024;

/// A channel and a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest(u128);

/// Idempotency keys of recent publications, with their results.
#[derive(Debug)]
pub(super) struct Once {
    /// Expiry time of each key, and the publication's position.
    positions: HashMap<Digest, (u64, Position)>,
    /// Expiry time of each key of `positions`, in the order of time.
    order: VecDeque<(u64, Digest)>,
    seed: Seed,
}

impl Once {
    pub(super) fn new(seed: Seed) -> Self {
        Self { positions: HashMap::new(), order: VecDeque::new(), seed }
    }

    pub(super) fn digest(&self, channel: &str, key: &str) -> Digest {
        Digest(self.seed.hash_128(Purpose::Once, &[channel.as_bytes(), key.as_bytes()]))
    }

    /// The position of the earlier publication with this key, if there was one.
    pub(super) fn position(&mut self, now_ms: u64, digest: Digest) -> Option<Position> {
        self.expire(now_ms);
        // A backlog may have kept an expired key.
        let (_, position) = self.positions.get(&digest).filter(|(at_ms, _)| *at_ms > now_ms)?;
        Some(position.clone())
    }

    pub(super) fn remember(&mut self, now_ms: u64, digest: Digest, position: Position) {
        while self.order.len() >= KEYS_MAX {
            self.forget_oldest();
        }
        let at_ms = now_ms + REMEMBERED_MS;
        self.positions.insert(digest, (at_ms, position));
        self.order.push_back((at_ms, digest));
    }

    /// Forgets expired keys, a bounded number per call.
    pub(super) fn expire(&mut self, now_ms: u64) {
        for _ in 0..EXPIRED_PER_CALL_MAX {
            if self.next_expiry_ms().is_none_or(|at_ms| at_ms > now_ms) {
                return;
            }
            self.forget_oldest();
        }
    }

    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        self.order.front().map(|&(at_ms, _)| at_ms)
    }

    /// Memory of all keys.
    pub(super) fn bytes(&self) -> usize {
        heap::table(&self.positions) + heap::list::<(u64, Digest)>(self.order.capacity())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((at_ms, digest)) = self.order.pop_front()
            && self.positions.get(&digest).is_some_and(|(current_ms, _)| *current_ms == at_ms)
        {
            self.positions.remove(&digest);
        }
        heap::ease_table(&mut self.positions);
        heap::ease_queue(&mut self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { offset, epoch: "e".into() }
    }

    #[test]
    fn a_key_is_known_for_its_time_and_in_its_channel() {
        let mut once = Once::new(Seed::from(1));
        let key = once.digest("a", "key");
        once.remember(1000, key, at(7));
        assert_eq!(once.position(1000, key), Some(at(7)));
        assert_eq!(once.position(1000, once.digest("b", "key")), None);
        assert_eq!(once.position(1000, once.digest("ak", "ey")), None);
        assert_eq!(once.position(999 + REMEMBERED_MS, key), Some(at(7)));
        assert_eq!(once.position(1000 + REMEMBERED_MS, key), None);
        assert_eq!((once.len(), once.next_expiry_ms()), (0, None));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut once = Once::new(Seed::from(1));
        let keys: Vec<_> = (0..=KEYS_MAX).map(|i| once.digest("a", &i.to_string())).collect();
        for &key in &keys {
            once.remember(0, key, at(1));
        }
        assert_eq!(once.len(), KEYS_MAX);
        let bytes = once.bytes();
        assert!(bytes > KEYS_MAX * 72, "{bytes}");
        assert_eq!((once.position(0, keys[0]), once.position(0, keys[1])), (None, Some(at(1))));
        while once.len() > 1 {
            once.forget_oldest();
        }
        assert!(once.bytes() < bytes / 100, "one remaining key needs no room for all");
    }
}
