//! The memory cost of this shard's connections, channels and clients, for the [`super::ledger`]; and the tables,
//! which free unused room.
//!
//! Costs are counted where they change, so that a report takes constant time. The cost of a client is recounted at
//! the end of a turn in which it may have changed.

use super::Carry;
use crate::base::heap;
use crate::base::slots::Key;
use crate::shard::World;
use crate::shard::carry::conn::Sub;

/// Time from the end of connections to the check of the tables: many connections do not end in one turn.
const TIDY_AFTER_MS: u64 = 1000;
/// Size from which queues of letters are checked, too: letters come from other shards after all connections here have
/// ended.
pub(in crate::shard) const LETTER_BYTES_KEPT: usize = 1 << 20;
/// Capacity that a connection's list of subscriptions keeps.
const SUBS_KEPT: usize = 16;

/// The part of the ledger that one shard keeps.
#[derive(Debug, Default)]
pub(in crate::shard) struct Account {
    /// Clients whose cost may have changed.
    pub(in crate::shard) touched: Vec<Key>,
    /// Cost of lists of subscriptions that are too long to be stored in their connections.
    pub(in crate::shard) subs_bytes: usize,
    /// Cost of the table of users whose home is this shard.
    pub(in crate::shard) user_bytes: usize,
    /// Time of the next check of the tables.
    tidy_at_ms: Option<u64>,
}

impl Account {
    /// The time at which [`Carry::ease_tables`] must be called.
    pub(in crate::shard) fn tidy_at_ms(&self) -> Option<u64> {
        self.tidy_at_ms
    }
}

impl<W: World> Carry<W> {
    #[inline]
    pub(in crate::shard) fn count_clients(&mut self) {
        let Self { conns, account, counters, .. } = self;
        for key in account.touched.drain(..) {
            let client = conns.entry_mut(key).and_then(|conn| conn.client.as_deref_mut());
            let Some(client) = client.filter(|client| client.is_touched) else { continue };
            client.is_touched = false;
            counters.client_bytes.sub(client.counted_bytes as u64);
            client.counted_bytes = client.bytes();
            counters.client_bytes.add(client.counted_bytes as u64);
        }
        heap::ease_list(&mut account.touched);
    }

    /// Adds a subscription to a connection.
    pub(in crate::shard) fn put_sub(&mut self, key: Key, sub: Sub) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        self.account.subs_bytes -= heap::spilled(&conn.subs);
        conn.subs.push(sub);
        self.account.subs_bytes += heap::spilled(&conn.subs);
    }

    /// Removes the last of a connection's subscriptions, or the one at `slot`, which the last then replaces.
    pub(in crate::shard) fn take_sub(&mut self, key: Key, slot: usize) -> Option<Sub> {
        let conn = self.conns.entry_mut(key).filter(|conn| slot < conn.subs.len())?;
        self.account.subs_bytes -= heap::spilled(&conn.subs);
        let sub = conn.subs.swap_remove(slot);
        if conn.subs.is_empty() {
            conn.subs.shrink_to_fit();
        } else if conn.subs.capacity() > SUBS_KEPT && conn.subs.len() < conn.subs.capacity() / 4 {
            conn.subs.grow(conn.subs.len() * 2);
        }
        self.account.subs_bytes += heap::spilled(&conn.subs);
        Some(sub)
    }

    /// Schedules a check of the tables after connections have ended, or after many letters.
    pub(in crate::shard) fn tidy_later(&mut self) {
        let at_ms = self.now_ms() + TIDY_AFTER_MS;
        self.account.tidy_at_ms.get_or_insert(at_ms);
    }

    /// Frees unused room of the tables; returns whether it was time for that.
    #[inline]
    pub(in crate::shard) fn ease_tables(&mut self) -> bool {
        let now_ms = self.now_ms();
        if self.account.tidy_at_ms.is_none_or(|at_ms| at_ms > now_ms) {
            return false;
        }
        self.account.tidy_at_ms = None;
        self.conns.ease();
        self.wheel.ease();
        self.post.ease();
        heap::ease_queue(&mut self.ended);
        heap::ease_table(&mut self.parked);
        heap::ease_table(&mut self.probes);
        for list in [self.newcomers.stack_mut(), &mut self.dirty, &mut self.unread] {
            heap::ease_list(list);
        }
        true
    }

    /// See [`check_invariants`](crate::shard::Shard::check_invariants).
    pub(in crate::shard) fn check_account(&self) {
        let clients = self.conns.iter().filter_map(|(_, conn)| conn.client.as_ref());
        assert!(self.account.touched.is_empty(), "what has changed is counted at the end of the turn");
        let client_bytes: usize = clients
            .map(|client| {
                assert_eq!(client.counted_bytes, client.bytes(), "who has changed was touched: {client:?}");
                client.counted_bytes
            })
            .sum();
        assert_eq!(self.counters.client_bytes.value(), client_bytes as u64);
        let subs_bytes: usize = self.conns.iter().map(|(_, conn)| heap::spilled(&conn.subs)).sum();
        assert_eq!(self.account.subs_bytes, subs_bytes);
    }
}
