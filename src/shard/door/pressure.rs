//! The ladder that is climbed when memory gets short: first nobody new is let in, those who are in get no new
//! subscription or channel, and histories give way; then those that hold queued bytes are let go, the largest first, then
//! the newest connections.
//!
//! How short it is, is read from the [`Ledger`], ten times a second, since other shards write it. What a turn may take
//! between two looks is bounded: each shard has a part of what is left before the first step, and looks again when that
//! is used up. What the last step frees is seen only when those it closed are gone, so it waits for that before it takes
//! another.
//!
//! Left out: what a counted byte really costs. That is the control thread's to know, which says how many there may be; and
//! which tells the log how far the ladder is climbed, once for all shards.

use super::ledger::Ledger;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::carry::conn::Stage;
use crate::shard::{Shard, World};

/// How often the ledger is read.
const LOOK_EVERY_MS: u64 = 100;
/// How much longer it may be, in a shard that has nothing else to do.
const UNSEEN_MS_MAX: u64 = 900;
/// Connections that one shard closes in one turn, and that it closes before it looks again.
const SHED_PER_TURN_MAX: usize = 64;
const SHED_AT_ONCE_MAX: usize = 16_384;
/// Publications and positions that one shard lets go per look.
const RELIEVED_PER_LOOK_MAX: usize = 2048;
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
    fn at(known_bytes: u64, allowed_bytes: u64) -> Self {
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

/// What one shard does while memory is short.
#[derive(Debug)]
pub(in crate::shard) struct Pressure {
    ledger: Ledger,
    step: Step,
    shard_count: u64,
    /// Bytes that this shard may take before it looks again.
    room: u64,
    look_at_ms: u64,
    /// Those that are being sent away, the newest last.
    leaving: Vec<Key>,
    /// Until when those that were sent away may still be there.
    shed_until_ms: u64,
}

impl Pressure {
    pub(in crate::shard) fn new(ledger: Ledger) -> Self {
        Self {
            shard_count: ledger.shard_count().max(1),
            ledger,
            step: Step::Ease,
            room: u64::MAX,
            look_at_ms: 0,
            leaving: Vec::new(),
            shed_until_ms: 0,
        }
    }

    /// The step for what is counted now, and this shard's part of what is left before the first: all shards take theirs at
    /// the same time, and each sees what the others took only later.
    fn measure(&self, allowed: u64) -> (Step, u64) {
        let known = self.ledger.known_bytes();
        let room = (allowed / 100 * 90).saturating_sub(known) / (2 * self.shard_count);
        match Step::at(known, allowed).max(if room < ROOM_BYTES_MIN { Step::Refuse } else { Step::Ease }) {
            Step::Ease => (Step::Ease, room),
            step @ (Step::Refuse | Step::Slow | Step::Newest) => (step, 0),
        }
    }

    /// When to look again at the latest, where there is something to look at.
    pub(in crate::shard) fn next_look_ms(&self) -> Option<u64> {
        (self.ledger.allowed_bytes() < u64::MAX).then_some(self.look_at_ms + UNSEEN_MS_MAX)
    }

    /// Whether there is memory for so many bytes more, without anybody being let go for them.
    pub(in crate::shard) fn has_room_for(&self, bytes: usize) -> bool {
        let allowed = self.ledger.allowed_bytes();
        allowed == u64::MAX
            || Step::at(self.ledger.known_bytes().saturating_add(bytes as u64), allowed) < Step::Slow
    }

    /// Whether there is no room for newcomers.
    pub(in crate::shard) fn refuses(&self) -> bool {
        self.step >= Step::Refuse
    }
}

impl<W: World> Shard<W> {
    /// Whether someone is to be sent away in the next turn.
    pub(in crate::shard) fn is_shedding(&self) -> bool {
        !self.pressure.leaving.is_empty()
    }

    /// Whether new subscriptions and channels are refused.
    pub(in crate::shard) fn is_memory_short(&self) -> bool {
        self.pressure.refuses()
    }

    /// Notes that something will cost so many bytes, before they are counted.
    pub(in crate::shard) fn spend(&mut self, bytes: usize) {
        match self.pressure.room.checked_sub(bytes as u64) {
            Some(room) => self.pressure.room = room,
            // Who is refused must not have everything counted anew.
            None if self.is_memory_short() => {}
            None => self.look_early(),
        }
    }

    /// Looks before it is time, because what might be taken is used up.
    fn look_early(&mut self) {
        let allowed = self.pressure.ledger.allowed_bytes();
        if allowed == u64::MAX {
            self.pressure.room = u64::MAX;
            return;
        }
        self.account();
        let (step, room) = self.pressure.measure(allowed);
        self.pressure.room = room;
        // What is done beside refusing is done at the beginning of a turn.
        self.set_step(step.min(Step::Refuse).max(self.pressure.step));
    }

    fn set_step(&mut self, step: Step) {
        self.pressure.step = step;
        self.counters.memory_step.set(step as u64);
        self.home.set_short(self.pressure.refuses());
    }

    /// Has this shard's histories give way: together they may have half of what is allowed while memory is short.
    fn relieve_home(&mut self, allowed: u64) {
        let part = allowed / 2 / self.pressure.shard_count;
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let count = self.home.relieve(part, RELIEVED_PER_LOOK_MAX);
        self.counters.memory_shed_publications.add(count as u64);
    }

    /// Looks how short memory is, and does what the ladder says.
    pub(in crate::shard) fn ease_memory(&mut self) {
        self.send_away();
        let now_ms = self.now_ms();
        let allowed = self.pressure.ledger.allowed_bytes();
        if allowed == u64::MAX || now_ms < self.pressure.look_at_ms {
            return;
        }
        self.pressure.look_at_ms = now_ms + LOOK_EVERY_MS;
        let ledger = self.pressure.ledger.clone();
        let (known, queued) = (ledger.known_bytes(), ledger.queued_bytes());
        let (mut step, room) = self.pressure.measure(allowed);
        self.pressure.room = room;
        if step >= Step::Refuse {
            self.relieve_home(allowed);
        }
        if step >= Step::Slow {
            // Other shards let go of theirs at the same time.
            let known_now = move || known.saturating_sub(queued).saturating_add(ledger.queued_bytes());
            let is_short = |_: &Self| Step::at(known_now(), allowed) >= Step::Slow;
            let count = self.let_go_while(&is_short, |freed| (freed.memory, freed.lent));
            self.counters.memory_shed_slow.add(count);
            step = self.pressure.measure(allowed).0;
        }
        self.set_step(step);
        if step == Step::Newest && now_ms >= self.pressure.shed_until_ms && !self.is_shedding() {
            self.choose_newest(allowed);
            self.send_away();
        }
    }

    /// Chooses this shard's part of those that must go.
    fn choose_newest(&mut self, allowed: u64) {
        let ledger = &self.pressure.ledger;
        let known = ledger.known_bytes();
        let count = ledger.connection_count().max(1);
        let kinds = ledger.kinds();
        let stays = ["queued", "partial_messages", "publications", "letters", "history", "buffers"];
        let own = kinds.iter().filter(|kind| !stays.contains(&kind.name));
        let each = (own.map(|kind| kind.bytes).sum::<u64>() / count).max(1);
        // Down to where newcomers are only refused, so that it does not begin again at once.
        let excess = known.saturating_sub(allowed / 100 * 95);
        let part = (excess / each).saturating_mul(self.conns.len() as u64) / count + 1;
        let count = usize::try_from(part).unwrap_or(usize::MAX).min(SHED_AT_ONCE_MAX);
        let mut newest = self.conns.newest(count, |conn| conn.stage == Stage::Open);
        newest.reverse();
        self.pressure.leaving = newest;
        self.pressure.shed_until_ms = self.now_ms() + self.timeouts.linger_ms + LOOK_EVERY_MS;
    }

    fn send_away(&mut self) {
        for _ in 0..SHED_PER_TURN_MAX {
            let Some(key) = self.pressure.leaving.pop() else {
                self.pressure.leaving = Vec::new();
                return;
            };
            if self.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open) {
                self.counters.memory_shed_newest.add(1);
                self.close(key, CloseReason::Memory);
            }
        }
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
