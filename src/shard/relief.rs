//! What happens when the process-wide budget of queued bytes is exhausted: those who hold most let go.
//!
//! Those who hold the bytes may be clients that never read again, or never end a message that they began. So every
//! turn begins by closing holders, the largest first, until there is room.

use std::cmp::Reverse;

use super::Shard;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Handler};

impl<N: Net, H: Handler> Shard<N, H> {
    /// Frees bytes until the budget is no longer exhausted, or this shard holds none.
    pub(super) fn relieve(&mut self) {
        let held = self.conns.iter().map(|(key, conn)| (conn.outbox_bytes() + conn.held_bytes as usize, key));
        let mut holders: Vec<(usize, Key)> = held.filter(|&(bytes, _)| bytes > 0).collect();
        holders.sort_unstable_by_key(|&(bytes, _)| Reverse(bytes));
        for (_, key) in holders {
            if !self.budget.is_exhausted() {
                return;
            }
            self.let_go(key);
        }
    }

    /// Takes what a connection holds, if it cannot be written now.
    fn let_go(&mut self, key: Key) {
        self.flush(key);
        if !self.budget.is_exhausted() {
            return;
        }
        self.close(key, CloseReason::Budget);
        self.flush(key);
        // What is left is a frame that has begun, and it may be large: there is no room for last words.
        let has_more = self.conns.entry(key).is_some_and(|conn| conn.outbox.is_some());
        if has_more && self.budget.is_exhausted() {
            self.grave(key);
        }
    }
}
