//! What this shard's connections, channels and clients cost, told to the [`super::ledger`]; and its tables, which give
//! back what they no longer need.
//!
//! Costs are counted where they change, so that telling them takes no time in proportion to what there is. A client's is
//! looked at anew at the end of a turn in which something of it may have changed.

use super::ledger::{CHANNEL_BYTES, SUBSCRIPTION_BYTES};
use crate::base::heap;
use crate::base::slots::{Key, Slots};
use crate::base::wheel::Wheel;
use crate::shard::carry::conn::{Conn, Sub, SubState};
use crate::shard::{Shard, World};

/// How long after connections have gone the tables are looked at: a crowd does not go in one turn.
const TIDY_AFTER_MS: u64 = 1000;
/// Queues of letters that have grown beyond this are looked at, too: letters come from other shards when all have gone here.
const LETTER_BYTES_KEPT: usize = 1 << 20;
/// A connection's list of subscriptions keeps room for so many.
const SUBS_KEPT: usize = 16;

/// What a new subscription costs at most until it is counted; `is_known`: others here have one to the channel.
pub(in crate::shard) fn cost_of(is_known: bool, channel: &str) -> usize {
    if is_known { SUBSCRIPTION_BYTES } else { CHANNEL_BYTES + heap::arc(channel.len()) }
}

/// One shard's part of the ledger.
#[derive(Debug, Default)]
pub(in crate::shard) struct Account {
    /// Clients that may cost something else by now.
    touched: Vec<Key>,
    /// What the lists of subscriptions cost that have outgrown their connections.
    subs_bytes: usize,
    /// When to look at the tables.
    tidy_at_ms: Option<u64>,
}

impl Account {
    /// When [`Shard::tidy`] has something to do.
    pub(in crate::shard) fn tidy_at_ms(&self) -> Option<u64> {
        self.tidy_at_ms
    }
}

impl<W: World> Shard<W> {
    /// Tells what the shard itself costs, and what its home has: at the end of the turn, whatever it was that changed it.
    pub(in crate::shard) fn account(&mut self) {
        self.count_clients();
        if self.post.bytes() > LETTER_BYTES_KEPT {
            self.tidy_later();
        }
        let one = (Slots::<Conn<W::Socket, W::State>>::entry_bytes() + Wheel::ENTRY_BYTES) as u64;
        let (live, places) = (self.conns.len() as u64, self.conns.place_count() as u64);
        let c = &self.counters;
        c.connection_bytes.set(live * one);
        c.vacant_bytes.set((places - live) * one);
        c.buffer_bytes.set((self.input.len() + self.out.capacity() + self.wire.capacity()) as u64);
        c.subscription_bytes.set((self.account.subs_bytes + self.local.subscriber_bytes()) as u64);
        c.channel_bytes
            .set((self.local.channel_bytes() + self.home.channel_bytes() + self.users.bytes()) as u64);
        c.channels.set(self.home.len() as u64);
        c.presences.set(self.home.presence_count() as u64);
        c.presence_bytes.set(self.home.crowd_bytes() as u64);
        c.letter_bytes.set(self.post.bytes() as u64);
        c.history_bytes.set(self.home.history_bytes() as u64);
        c.joins_suppressed.set(self.home.suppressed_count());
        c.positions_displaced.set(self.home.displaced_count());
    }

    /// Remembers that something of a client may have changed.
    pub(in crate::shard) fn touch_client(&mut self, key: Key) {
        let Self { conns, account, .. } = self;
        let client = conns.entry_mut(key).and_then(|conn| conn.client.as_deref_mut());
        if client.is_some_and(|client| !std::mem::replace(&mut client.is_touched, true)) {
            account.touched.push(key);
        }
    }

    fn count_clients(&mut self) {
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

    /// Gives a connection one subscription more; which one it is.
    pub(in crate::shard) fn put_sub(&mut self, key: Key, sub: Sub) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        self.account.subs_bytes -= heap::spilled(&conn.subs);
        conn.subs.push(sub);
        self.account.subs_bytes += heap::spilled(&conn.subs);
    }

    /// Takes the last of a connection's subscriptions, or the one at `slot`, whose place the last then has.
    fn take_sub(&mut self, key: Key, slot: usize) -> Option<Sub> {
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

    /// Takes a slot out of a connection; the subscription that fills it hears of its new place.
    pub(in crate::shard) fn remove_slot(&mut self, key: Key, slot: usize) -> Option<Sub> {
        let sub = self.take_sub(key, slot)?;
        if let Some(moved) = self.conns.entry(key).and_then(|conn| conn.subs.get(slot))
            && let SubState::Active(position) = moved.state()
        {
            self.local.set_slot(moved.channel(), position, u16::try_from(slot).unwrap_or(u16::MAX));
        }
        Some(sub)
    }

    /// Connections have gone, or a burst of letters: what they leave is looked at when more may have.
    pub(in crate::shard) fn tidy_later(&mut self) {
        let at_ms = self.now_ms() + TIDY_AFTER_MS;
        self.account.tidy_at_ms.get_or_insert(at_ms);
    }

    /// Gives back what a crowd took that is gone.
    pub(in crate::shard) fn tidy(&mut self) {
        let now_ms = self.now_ms();
        if self.account.tidy_at_ms.is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        self.account.tidy_at_ms = None;
        self.conns.ease();
        self.wheel.ease();
        self.post.ease();
        self.forget_quiet();
        for list in [self.newcomers.stack_mut(), &mut self.dirty, &mut self.unread] {
            heap::ease_list(list);
        }
    }

    /// See [`Shard::check_invariants`].
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
        self.local.check_invariants();
    }
}
