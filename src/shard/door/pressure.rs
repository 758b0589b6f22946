//! The steps taken when memory gets short: first new connections, subscriptions and channels are refused and
//! histories drop publications; then connections with queued bytes are closed, the largest first; then the newest
//! connections.
//!
//! The shortage is read from the [`ledger`](crate::shard::ledger) ten times a second, since other shards write it.
//! The use between two looks is bounded: each shard has a part of the memory left before the first step, and looks
//! again when that is used up. Memory freed by the last step shows only when the closed connections are gone, so it
//! waits for that before it closes more.
//!
//! Left out: the actual cost of a counted byte. The control thread measures it and sets the limit; it also logs the
//! steps, once for all shards.

use super::Door;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::carry::pressure::Step;

/// Interval of reading the ledger.
const LOOK_EVERY_MS: u64 = 100;
/// Maximum extension of that interval in an idle shard.
const UNSEEN_MS_MAX: u64 = 900;
/// Maximum number of connections that a shard closes in one turn, and before it looks again.
const SHED_PER_TURN_MAX: usize = 64;
const SHED_AT_ONCE_MAX: usize = 16_384;

/// The state of one shard's response to short memory.
#[derive(Debug, Default)]
pub(in crate::shard) struct Ladder {
    look_at_ms: u64,
    /// Connections to be closed, the newest last.
    leaving: Vec<Key>,
    /// Time until which closed connections may still exist.
    shed_until_ms: u64,
}

impl<W: World> Door<W> {
    /// The latest time of the next look, if there is a limit.
    pub(in crate::shard) fn next_look_ms(&self) -> Option<u64> {
        (self.clients.channels.carry.pressure.ledger.allowed_bytes() < u64::MAX)
            .then_some(self.ladder.look_at_ms + UNSEEN_MS_MAX)
    }

    /// Whether connections are to be closed in the next turn.
    pub(in crate::shard) fn is_shedding(&self) -> bool {
        !self.ladder.leaving.is_empty()
    }

    /// Reads the shortage of memory, and takes the steps.
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
            // Other shards free memory at the same time.
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

    /// Selects this shard's part of the connections to close.
    fn choose_newest(&mut self, allowed: u64) {
        let carry = &mut self.clients.channels.carry;
        let ledger = &carry.pressure.ledger;
        let known = ledger.known_bytes();
        let count = ledger.connection_count().max(1);
        let kinds = ledger.kinds();
        let stays = ["queued", "partial_messages", "publications", "letters", "history", "buffers"];
        let own = kinds.iter().filter(|kind| !stays.contains(&kind.name));
        let each = (own.map(|kind| kind.bytes).sum::<u64>() / count).max(1);
        // Below the step at which connections are closed, so that closing does not start again at once.
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
