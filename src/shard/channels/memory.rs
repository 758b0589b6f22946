//! The memory use of this shard, reported to the [`ledger`](crate::shard::ledger), and the memory that it may use
//! before the next look.

use super::Channels;
use crate::base::heap;
use crate::base::slots::Slots;
use crate::base::wheel::Wheel;
use crate::shard::World;
use crate::shard::carry::account::LETTER_BYTES_KEPT;
use crate::shard::carry::conn::Conn;
use crate::shard::carry::ledger::{CHANNEL_BYTES, SUBSCRIPTION_BYTES};
use crate::shard::carry::pressure::Step;

/// Maximum number of publications and positions that one shard drops per look.
const RELIEVED_PER_LOOK_MAX: usize = 2048;

/// Upper limit of a new subscription's cost until it is counted; `is_known`: the shard has subscribers of the
/// channel.
pub(in crate::shard) fn cost_of(is_known: bool, channel: &str) -> usize {
    if is_known { SUBSCRIPTION_BYTES } else { CHANNEL_BYTES + heap::arc(channel.len()) }
}

impl<W: World> Channels<W> {
    /// Reports the cost of the shard and of its home at the end of the turn.
    #[inline]
    pub(in crate::shard) fn account(&mut self) {
        self.carry.count_clients();
        if self.carry.post.bytes() > LETTER_BYTES_KEPT {
            self.carry.tidy_later();
        }
        let one = (Slots::<Conn<W::Socket, W::State>>::entry_bytes() + Wheel::ENTRY_BYTES) as u64;
        let (live, places) = (self.carry.conns.len() as u64, self.carry.conns.place_count() as u64);
        let c = &self.carry.counters;
        c.connection_bytes.set(live * one);
        c.vacant_bytes.set((places - live) * one);
        c.buffer_bytes
            .set((self.carry.input.len() + self.carry.out.capacity() + self.carry.records.capacity()) as u64);
        c.subscription_bytes.set((self.carry.account.subs_bytes + self.local.subscriber_bytes()) as u64);
        c.channel_bytes.set(
            (self.local.channel_bytes() + self.home.channel_bytes() + self.carry.account.user_bytes) as u64,
        );
        c.channels.set(self.home.occupied_count() as u64);
        c.streams.set(self.home.stream_count() as u64);
        c.presences.set(self.home.presence_count() as u64);
        c.presence_bytes.set(self.home.crowd_bytes() as u64);
        // A publication that waits for a hook without its connection is on its way, too.
        c.letter_bytes.set((self.carry.post.bytes() + self.orphans.bytes()) as u64);
        c.history_bytes.set(self.home.history_bytes() as u64);
        c.sockets_away.set(self.home.away_count() as u64);
        c.joins_suppressed.set(self.home.suppressed_count());
        c.positions_displaced.set(self.home.displaced_count());
    }

    /// Subtracts bytes that will be used from the available room, before they are counted.
    pub(in crate::shard) fn spend(&mut self, bytes: usize) {
        match self.carry.pressure.room.checked_sub(bytes as u64) {
            Some(room) => self.carry.pressure.room = room,
            // A refused request must not cause a new count.
            None if self.carry.pressure.refuses() => {}
            None => self.look_early(),
        }
    }

    /// Looks before the interval is over, because the available room is used up.
    pub(in crate::shard) fn look_early(&mut self) {
        let allowed = self.carry.pressure.ledger.allowed_bytes();
        if allowed == u64::MAX {
            self.carry.pressure.room = u64::MAX;
            return;
        }
        self.account();
        let (step, room) = self.carry.pressure.measure(allowed);
        self.carry.pressure.room = room;
        // Only refusing starts here; further steps start at the beginning of a turn.
        self.set_step(step.min(Step::Refuse).max(self.carry.pressure.step));
    }

    pub(in crate::shard) fn set_step(&mut self, step: Step) {
        self.carry.pressure.step = step;
        self.carry.counters.memory_step.set(step as u64);
        self.home.set_short(self.carry.pressure.refuses());
    }

    /// Drops publications of this shard's histories: together histories may use half of the allowed bytes while
    /// memory is short.
    pub(in crate::shard) fn relieve_home(&mut self, allowed: u64) {
        let part = allowed / 2 / self.carry.pressure.shard_count;
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let count = self.home.relieve(part, RELIEVED_PER_LOOK_MAX);
        self.carry.counters.memory_shed_publications.add(count as u64);
    }
}
