//! Eviction: when queued bytes are too many, those are closed that hold most of them.
//!
//! Those who hold the bytes may be clients that never read again, or never end a message that they began. So every
//! turn begins by closing holders until there is room: in the budget of queued bytes, or in the memory that the process
//! may have. Those go first whose closing gives back most: of bytes that many hold, each gives back a part, and one that
//! only borrows from a history gives back no memory, however much waits for it.

use std::cmp::Reverse;

use super::Door;
use crate::base::segment::Freed;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;

impl<W: World> Door<W> {
    /// Frees bytes until the budget is no longer exhausted, or this shard holds none.
    pub(in crate::shard) fn free_queued(&mut self) {
        let budget = &self.clients.channels.carry.budget;
        if budget.is_exhausted() {
            let budget = budget.clone();
            self.evict_while(&|| budget.is_exhausted(), |freed| (freed.counted(), 0));
        }
    }

    /// Frees bytes while there are too many, and this shard holds some, in the order of what `weigh` makes of what each
    /// closing gives back; returns how many connections were closed for it.
    pub(in crate::shard) fn evict_while(
        &mut self,
        is_short: &dyn Fn() -> bool,
        weigh: fn(Freed) -> (usize, usize),
    ) -> u64 {
        if !is_short() {
            return 0;
        }
        let carry = &mut self.clients.channels.carry;
        let holding = carry.conns.iter().filter(|(_, conn)| conn.outbox_bytes() > 0 || conn.held_bytes > 0);
        let mut holders: Vec<_> = holding.map(|(key, conn)| (weigh(conn.freed()), key)).collect();
        holders.sort_unstable_by_key(|&(weight, _)| Reverse(weight));
        let closes = carry.counters.budget_closes.value();
        for (_, key) in holders {
            if !is_short() {
                break;
            }
            self.evict(key, is_short);
        }
        self.clients.channels.carry.counters.budget_closes.value() - closes
    }

    /// Takes what a connection holds, if it cannot be written now.
    fn evict(&mut self, key: Key, is_short: &dyn Fn() -> bool) {
        self.clients.channels.carry.flush(key);
        self.clients.channels.finish_endings();
        if !is_short() {
            return;
        }
        self.clients.channels.close(key, CloseReason::Budget);
        self.clients.channels.carry.flush(key);
        self.clients.channels.finish_endings();
        let carry = &mut self.clients.channels.carry;
        // What is left is a frame that has begun, and it may be large: there is no room for last words.
        let has_more = carry.conns.entry(key).is_some_and(|conn| conn.outbox.is_some());
        if has_more && is_short() {
            carry.grave(key);
        }
    }
}
