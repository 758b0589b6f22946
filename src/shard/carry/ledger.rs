//! What the process's own memory is used for, as far as shards count it, and how much of that the process may have.
//!
//! Every kind is a sum that shards keep, of what things cost in the allocator's pieces, or a count times what one costs;
//! all of it can be freed again.
//! It is no estimate of resident memory: what the allocator keeps and the rest of the process are not in it. The control
//! thread compares both and says here how many of the bytes that are counted make `memory_max`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::budget::Budget;
use crate::base::counters::Counters;
use crate::base::heap;
use crate::base::outbox::Outbox;
use crate::shard::carry::layers::{Layers, ORIGIN_BYTES};
use crate::tls::LINK_BYTES;

/// What a subscription costs, in bytes, rather more than less: a place in two lists.
pub const SUBSCRIPTION_BYTES: usize = 64;
/// What a channel costs beside its name, in bytes, rather more than less: an entry in its shard and one at its home, their
/// places in two tables of names, a list of subscribers, a seat in presence, a position.
pub const CHANNEL_BYTES: usize = 1024;
/// What the allocator adds to each piece, in bytes.
const PIECE_BYTES: usize = 16;
/// An outbox without its queues.
const OUTBOX_BYTES: usize = heap::piece(size_of::<Outbox>());
/// What lies between a socket and its session, without TLS, with what a proxy said.
const LINE_BYTES: usize = heap::piece(size_of::<Layers>()) + ORIGIN_BYTES;
/// The TLS of a connection, and the box around it.
const TLS_BYTES: usize = LINK_BYTES + size_of::<Layers>() + 2 * PIECE_BYTES;
/// What rustls needs for a handshake.
const HANDSHAKE_BYTES: usize = 3300;

/// Memory by use, as far as shards count it. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    counters: Arc<[Arc<Counters>]>,
    budget: Budget,
    publication_budget: Budget,
    allowed: Arc<AtomicU64>,
}

/// Bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As metrics and `/debug/memory` name it.
    pub name: &'static str,
    /// How many.
    pub bytes: u64,
}

impl Ledger {
    /// Of shards that count here. Nothing is bounded until [`Ledger::allow`] says so.
    pub fn new(counters: Arc<[Arc<Counters>]>, budget: Budget, publication_budget: Budget) -> Self {
        Self { counters, budget, publication_budget, allowed: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn sum(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(|counters| count(counters)).fold(0, u64::saturating_add)
    }

    /// What memory is used for now, kind by kind. Reads what other threads write: it is right to within a turn.
    pub fn kinds(&self) -> [Kind; 13] {
        let kind = |name, bytes| Kind { name, bytes };
        let partial_bytes = self.sum(|c| c.partial_bytes.value());
        [
            kind("connections", self.connection_bytes()),
            kind("tls", self.tls_bytes()),
            kind("subscriptions", self.sum(|c| c.subscription_bytes.value())),
            kind("clients", self.sum(|c| c.client_bytes.value())),
            kind("outboxes", self.outbox_bytes()),
            kind("queued", (self.budget.used() as u64).saturating_sub(partial_bytes)),
            kind("partial_messages", partial_bytes),
            kind("publications", self.publication_budget.used() as u64),
            kind("channels", self.sum(|c| c.channel_bytes.value())),
            kind("letters", self.sum(|c| c.letter_bytes.value())),
            kind("history", self.sum(|c| c.history_bytes.value())),
            kind("presence", self.sum(|c| c.presence_bytes.value())),
            kind("buffers", self.sum(|c| c.buffer_bytes.value())),
        ]
    }

    fn connection_bytes(&self) -> u64 {
        let lines = self.sum(|c| c.plain_lines.value());
        self.sum(|c| c.connection_bytes.value()).saturating_add(lines.saturating_mul(LINE_BYTES as u64))
    }

    fn outbox_bytes(&self) -> u64 {
        let outboxes = self.sum(|c| c.outboxes.value());
        let queues = self.sum(|c| c.outbox_queue_bytes.value());
        outboxes.saturating_mul(OUTBOX_BYTES as u64).saturating_add(queues)
    }

    fn tls_bytes(&self) -> u64 {
        let links = self.sum(|c| c.tls_links.value());
        let handshakes = self.sum(|c| c.half_open.value().min(c.tls_links.value()));
        (links * TLS_BYTES as u64).saturating_add(handshakes * HANDSHAKE_BYTES as u64)
    }

    /// The sum of all kinds.
    pub fn known_bytes(&self) -> u64 {
        self.kinds().iter().fold(0, |sum, kind| sum.saturating_add(kind.bytes))
    }

    /// Bytes in [`Ledger::known_bytes`] that are counted twice: histories have them, and those whose answers borrow them.
    /// What a history has let go meanwhile may be among them.
    pub fn lent_bytes(&self) -> u64 {
        (self.budget.lent() as u64).min(self.sum(|c| c.history_bytes.value()))
    }

    /// Bytes of places of connections that are gone, kept for the next ones. Resident, but in nobody's way.
    pub fn vacant_bytes(&self) -> u64 {
        self.sum(|c| c.vacant_bytes.value())
    }

    /// Bytes queued and partly received: what slow consumers can give back.
    pub(in crate::shard) fn queued_bytes(&self) -> u64 {
        self.budget.used() as u64
    }

    /// Shards that count here.
    pub(in crate::shard) fn shard_count(&self) -> u64 {
        self.counters.len() as u64
    }

    /// Connections of all shards.
    pub(in crate::shard) fn connection_count(&self) -> u64 {
        self.sum(|c| c.connections.value())
    }

    /// Says how many bytes there may be, as they are counted here.
    pub fn allow(&self, bytes: u64) {
        self.allowed.store(bytes, Relaxed);
    }

    /// How many bytes there may be; `u64::MAX`: as many as there are.
    pub fn allowed_bytes(&self) -> u64 {
        self.allowed.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_what_was_counted_and_add_up() {
        let counters: Arc<[Arc<Counters>]> = (0..2).map(|_| Arc::default()).collect();
        let (budget, publications) = (Budget::new(1 << 20), Budget::new(1 << 20));
        let ledger = Ledger::new(Arc::clone(&counters), budget.clone(), publications.clone());
        assert_eq!((ledger.known_bytes(), ledger.allowed_bytes()), (0, u64::MAX));
        counters[0].connection_bytes.set(1000);
        counters[1].connection_bytes.set(500);
        counters[1].presence_bytes.set(390);
        counters[0].plain_lines.set(2);
        counters[0].outboxes.set(3);
        counters[1].outbox_queue_bytes.set(96);
        counters[0].partial_bytes.set(300);
        counters[0].vacant_bytes.set(7);
        budget.charge(1300);
        publications.charge(20);
        let (lines, outboxes) = (2 * LINE_BYTES as u64, 3 * OUTBOX_BYTES as u64 + 96);
        let bytes = |name| ledger.kinds().iter().find(|kind| kind.name == name).unwrap().bytes;
        assert_eq!((bytes("connections"), bytes("presence")), (1500 + lines, 390));
        assert_eq!((bytes("queued"), bytes("partial_messages"), bytes("publications")), (1000, 300, 20));
        assert_eq!(
            (ledger.known_bytes(), ledger.vacant_bytes()),
            (1500 + lines + outboxes + 390 + 1300 + 20, 7)
        );
        ledger.clone().allow(5);
        assert_eq!(ledger.allowed_bytes(), 5);
    }
}
