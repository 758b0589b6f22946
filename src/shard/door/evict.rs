//! Eviction: when there are too many queued bytes, the connections that hold most of them are closed.
//!
//! Holders may be clients that never read again, or never complete a message. So every turn begins by closing holders
//! until there is room: in the budget of queued bytes, or in the memory of the process. Connections whose closing
//! frees most are closed first: of shared bytes each frees a part, and one that only borrows from a history frees no
//! memory, however much is queued for it.

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

    /// Frees bytes while there are too many and this shard holds some, in the order of `weigh` applied to the bytes
    /// that closing frees; returns the number of closed connections.
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

    /// Frees the bytes that a connection holds, if they cannot be written now.
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
        // The rest is a partly sent frame, which may be large: there is no room for last bytes.
        let has_more = carry.conns.entry(key).is_some_and(|conn| conn.outbox.is_some());
        if has_more && is_short() {
            carry.grave(key);
        }
    }
}
