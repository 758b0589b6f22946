//! How short memory is, as far as this shard has seen, and what it may take before it looks again.

use super::ledger::Ledger;

/// A shard's part of what is left that is not worth sharing out.
const ROOM_BYTES_MIN: u64 = 8 << 10;

/// How far the ladder has been climbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shard) enum Step {
    /// There is room.
    #[default]
    Ease,
    /// Newcomers and new subscriptions are refused.
    Refuse,
    /// Those that hold queued bytes are let go.
    Slow,
    /// The newest are sent away.
    Newest,
}

impl Step {
    /// The step for so many bytes of those allowed: from 90, 95 and 100 percent on.
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

/// How short memory is.
#[derive(Debug)]
pub(in crate::shard) struct Pressure {
    pub(in crate::shard) ledger: Ledger,
    /// How far the ladder has been climbed.
    pub(in crate::shard) step: Step,
    /// Shards that share what is left.
    pub(in crate::shard) shard_count: u64,
    /// Bytes that this shard may take before it looks again.
    pub(in crate::shard) room: u64,
}

impl Pressure {
    pub(in crate::shard) fn new(ledger: Ledger) -> Self {
        Self { shard_count: ledger.shard_count().max(1), ledger, step: Step::Ease, room: u64::MAX }
    }

    /// The step for what is counted now, and this shard's part of what is left before the first: all shards take theirs at
    /// the same time, and each sees what the others took only later.
    pub(in crate::shard) fn measure(&self, allowed: u64) -> (Step, u64) {
        let known = self.ledger.known_bytes();
        let room = (allowed / 100 * 90).saturating_sub(known) / (2 * self.shard_count);
        match Step::at(known, allowed).max(if room < ROOM_BYTES_MIN { Step::Refuse } else { Step::Ease }) {
            Step::Ease => (Step::Ease, room),
            step @ (Step::Refuse | Step::Slow | Step::Newest) => (step, 0),
        }
    }

    /// Whether there is memory for so many bytes more, without anybody being let go for them.
    pub(in crate::shard) fn has_room_for(&self, bytes: usize) -> bool {
        let allowed = self.ledger.allowed_bytes();
        allowed == u64::MAX
            || Step::at(self.ledger.known_bytes().saturating_add(bytes as u64), allowed) < Step::Slow
    }

    /// Whether newcomers, new subscriptions and new channels are refused.
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
