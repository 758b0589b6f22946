//! Letting go: when queued bytes are too many, those who hold most of them are closed.
//!
//! Those who hold the bytes may be clients that never read again, or never end a message that they began. So every
//! turn begins by closing holders, the largest first, until there is room: in the budget of queued bytes, or in the
//! memory that the process may have.

use std::cmp::Reverse;

use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// Frees bytes until the budget is no longer exhausted, or this shard holds none.
    pub(in crate::shard) fn relieve(&mut self) {
        self.let_go_while(&|shard: &Self| shard.budget.is_exhausted());
    }

    /// Frees bytes while there are too many, and this shard holds some; returns how many connections were closed for it.
    pub(in crate::shard) fn let_go_while(&mut self, is_short: &dyn Fn(&Self) -> bool) -> u64 {
        let held = self.conns.iter().map(|(key, conn)| (conn.outbox_bytes() + conn.held_bytes as usize, key));
        let mut holders: Vec<(usize, Key)> = held.filter(|&(bytes, _)| bytes > 0).collect();
        holders.sort_unstable_by_key(|&(bytes, _)| Reverse(bytes));
        let closes = self.counters.budget_closes.value();
        for (_, key) in holders {
            if !is_short(self) {
                break;
            }
            self.let_go(key, is_short);
        }
        self.counters.budget_closes.value() - closes
    }

    /// Takes what a connection holds, if it cannot be written now.
    fn let_go(&mut self, key: Key, is_short: &dyn Fn(&Self) -> bool) {
        self.flush(key);
        if !is_short(self) {
            return;
        }
        self.close(key, CloseReason::Budget);
        self.flush(key);
        // What is left is a frame that has begun, and it may be large: there is no room for last words.
        let has_more = self.conns.entry(key).is_some_and(|conn| conn.outbox.is_some());
        if has_more && is_short(self) {
            self.grave(key);
        }
    }
}
