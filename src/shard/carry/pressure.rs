//! The shortage of memory as seen by this shard, and the memory that it may use before the next look.

use super::ledger::Ledger;

/// Part of the remaining memory per shard that is too small to distribute.
const ROOM_BYTES_MIN: u64 = 8 << 10;

/// The steps of the response to short memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shard) enum Step {
    /// There is room.
    #[default]
    Ease,
    /// New connections and subscriptions are refused.
    Refuse,
    /// Connections with queued bytes are closed.
    Slow,
    /// The newest connections are closed.
    Newest,
}

impl Step {
    /// The step for a number of counted and allowed bytes: from 90, 95 and 100 percent.
    pub(in crate::shard) fn at(known_bytes: u64, allowed_bytes: u64) -> Self {
        let percent = u128::from(known_bytes) * 100;
        let reaches = |part: u128| percent >= u128::from(allowed_bytes) * part;
        match () {
            () if reaches(100) => Self::Newest,
            () if reaches(95) => Self::Slow,
            () if reaches(90) => Self::Refuse,
            () => Self::Ease,
        }
    }
}

/// The shortage of memory.
#[derive(Debug)]
pub(in crate::shard) struct Pressure {
    pub(in crate::shard) ledger: Ledger,
    /// The current step.
    pub(in crate::shard) step: Step,
    /// The number of shards that share the remaining memory.
    pub(in crate::shard) shard_count: u64,
    /// Bytes that this shard may use before the next look.
    pub(in crate::shard) room: u64,
}

impl Pressure {
    pub(in crate::shard) fn new(ledger: Ledger) -> Self {
        Self { shard_count: ledger.shard_count().max(1), ledger, step: Step::Ease, room: u64::MAX }
    }

    /// The step for the current count, and this shard's part of the memory below the first step: all shards take
    /// parts at the same time, and see each other's use later.
    pub(in crate::shard) fn measure(&self, allowed: u64) -> (Step, u64) {
        let known = self.ledger.known_bytes();
        let room = (allowed / 100 * 90).saturating_sub(known) / (2 * self.shard_count);
        match Step::at(known, allowed).max(if room < ROOM_BYTES_MIN { Step::Refuse } else { Step::Ease }) {
            Step::Ease => (Step::Ease, room),
            step @ (Step::Refuse | Step::Slow | Step::Newest) => (step, 0),
        }
    }

    /// Whether memory for so many bytes is available without closing connections.
    pub(in crate::shard) fn has_room_for(&self, bytes: usize) -> bool {
        let allowed = self.ledger.allowed_bytes();
        allowed == u64::MAX
            || Step::at(self.ledger.known_bytes().saturating_add(bytes as u64), allowed) < Step::Slow
    }

    /// Whether new connections, subscriptions and channels are refused.
    pub(in crate::shard) fn refuses(&self) -> bool {
        self.step >= Step::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_its_steps_where_it_says() {
        for (known, step) in
            [(0, Step::Ease), (899, Step::Ease), (900, Step::Refuse), (950, Step::Slow), (1000, Step::Newest)]
        {
            assert_eq!(Step::at(known, 1000), step, "{known}");
        }
        assert_eq!(Step::at(u64::MAX, u64::MAX - 1), Step::Newest);
        assert_eq!(Step::at(0, 0), Step::Newest, "where nothing is allowed, nothing is enough");
    }
}
