//! The ladder that is climbed when memory gets short: first nobody new is let in, those who are in get no new
//! subscription or channel, and histories give way; then those that hold queued bytes are let go, the largest first, then
//! the newest connections.
//!
//! How short it is, is read from the [`ledger`](crate::shard::ledger), ten times a second, since other shards write it. What a turn may take
//! between two looks is bounded: each shard has a part of what is left before the first step, and looks again when that
//! is used up. What the last step frees is seen only when those it closed are gone, so it waits for that before it takes
//! another.
//!
//! Left out: what a counted byte really costs. That is the control thread's to know, which says how many there may be; and
//! which tells the log how far the ladder is climbed, once for all shards.

use super::Door;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::carry::pressure::Step;

/// How often the ledger is read.
const LOOK_EVERY_MS: u64 = 100;
/// How much longer it may be, in a shard that has nothing else to do.
const UNSEEN_MS_MAX: u64 = 900;
/// Connections that one shard closes in one turn, and that it closes before it looks again.
const SHED_PER_TURN_MAX: usize = 64;
const SHED_AT_ONCE_MAX: usize = 16_384;

/// What one shard does while memory is short.
#[derive(Debug, Default)]
pub(in crate::shard) struct Ladder {
    look_at_ms: u64,
    /// Those that are being sent away, the newest last.
    leaving: Vec<Key>,
    /// Until when those that were sent away may still be there.
    shed_until_ms: u64,
}

impl<W: World> Door<W> {
    /// When to look again at the latest, where there is something to look at.
    pub(in crate::shard) fn next_look_ms(&self) -> Option<u64> {
        (self.clients.channels.carry.pressure.ledger.allowed_bytes() < u64::MAX)
            .then_some(self.ladder.look_at_ms + UNSEEN_MS_MAX)
    }

    /// Whether someone is to be sent away in the next turn.
    pub(in crate::shard) fn is_shedding(&self) -> bool {
        !self.ladder.leaving.is_empty()
    }

    /// Looks how short memory is, and does what the ladder says.
    #[inline]
    pub(in crate::shard) fn ease_memory(&mut self) {
        self.send_away();
        let carry = &mut self.clients.channels.carry;
        let now_ms = carry.now_ms();
        let allowed = carry.pressure.ledger.allowed_bytes();
        if allowed == u64::MAX || now_ms < self.ladder.look_at_ms {
            return;
        }
        self.ladder.look_at_ms = now_ms + LOOK_EVERY_MS;
        let ledger = carry.pressure.ledger.clone();
        let (known, queued) = (ledger.known_bytes(), ledger.queued_bytes());
        let (mut step, room) = carry.pressure.measure(allowed);
        carry.pressure.room = room;
        if step >= Step::Refuse {
            self.clients.channels.relieve_home(allowed);
        }
        if step >= Step::Slow {
            // Other shards let go of theirs at the same time.
            let known_now = move || known.saturating_sub(queued).saturating_add(ledger.queued_bytes());
            let is_short = || Step::at(known_now(), allowed) >= Step::Slow;
            let count = self.evict_while(&is_short, |freed| (freed.memory, freed.lent));
            self.clients.channels.carry.counters.memory_shed_slow.add(count);
            step = self.clients.channels.carry.pressure.measure(allowed).0;
        }
        self.clients.channels.set_step(step);
        if step == Step::Newest && now_ms >= self.ladder.shed_until_ms && !self.is_shedding() {
            self.choose_newest(allowed);
            self.send_away();
        }
    }

    /// Chooses this shard's part of those that must go.
    fn choose_newest(&mut self, allowed: u64) {
        let carry = &mut self.clients.channels.carry;
        let ledger = &carry.pressure.ledger;
        let known = ledger.known_bytes();
        let count = ledger.connection_count().max(1);
        let kinds = ledger.kinds();
        let stays = ["queued", "partial_messages", "publications", "letters", "history", "buffers"];
        let own = kinds.iter().filter(|kind| !stays.contains(&kind.name));
        let each = (own.map(|kind| kind.bytes).sum::<u64>() / count).max(1);
        // Down to where newcomers are only refused, so that it does not begin again at once.
        let excess = known.saturating_sub(allowed / 100 * 95);
        let part = (excess / each).saturating_mul(carry.conns.len() as u64) / count + 1;
        let count = usize::try_from(part).unwrap_or(usize::MAX).min(SHED_AT_ONCE_MAX);
        let mut newest = carry.conns.newest(count, |conn| conn.stage == Stage::Open);
        newest.reverse();
        self.ladder.leaving = newest;
        self.ladder.shed_until_ms = carry.now_ms() + carry.timeouts.linger_ms + LOOK_EVERY_MS;
    }

    #[inline]
    fn send_away(&mut self) {
        if !self.is_shedding() {
            return;
        }
        for _ in 0..SHED_PER_TURN_MAX {
            let Some(key) = self.ladder.leaving.pop() else { break };
            if self.clients.channels.carry.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open) {
                self.clients.channels.carry.counters.memory_shed_newest.add(1);
                self.clients.channels.close(key, CloseReason::Memory);
            }
        }
        if self.ladder.leaving.is_empty() {
            self.ladder.leaving = Vec::new();
        }
    }
}
