//! Uses of the process's own memory, as counted by shards, and its limit.
//!
//! Every kind is a sum kept by shards, of costs in allocator blocks, or a number of things times their cost; all of
//! it can be freed.
//! This is not an estimate of resident memory, which includes free memory in the allocator and the rest of the
//! process. The control thread compares both, and sets here the number of counted bytes that corresponds to
//! `memory_max`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::budget::Budget;
use crate::base::heap;
use crate::base::outbox::Outbox;
use crate::shard::carry::layers::{Layers, ORIGIN_BYTES};
use crate::shard::counters::Counters;
use crate::tls::LINK_BYTES;

/// Cost of a subscription in bytes, rounded up: entries in two lists.
pub const SUBSCRIPTION_BYTES: usize = 64;
/// Cost of a channel without its name in bytes, rounded up: an entry in its shard and one at its home, entries in two
/// tables of names, a list of subscribers, an entry of presence, a position.
pub const CHANNEL_BYTES: usize = 1024;
/// Overhead of the allocator for each block, in bytes.
const PIECE_BYTES: usize = 16;
/// Cost of an outbox without its queues.
const OUTBOX_BYTES: usize = heap::piece(size_of::<Outbox>());
/// Cost of layers without TLS, with the address from a proxy.
const LINE_BYTES: usize = heap::piece(size_of::<Layers>()) + ORIGIN_BYTES;
/// Cost of a connection's TLS with its box.
const TLS_BYTES: usize = LINK_BYTES + size_of::<Layers>() + 2 * PIECE_BYTES;
/// Memory of rustls for a handshake.
const HANDSHAKE_BYTES: usize = 3300;

/// Counted memory by use. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    counters: Arc<[Arc<Counters>]>,
    budget: Budget,
    publication_budget: Budget,
    allowed: Arc<AtomicU64>,
}

/// The bytes of one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name in metrics and `/debug/memory`.
    pub name: &'static str,
    /// The number of bytes.
    pub bytes: u64,
}

impl Ledger {
    /// The ledger of these shards. Without limit until [`Ledger::allow`] sets one.
    pub fn new(counters: Arc<[Arc<Counters>]>, budget: Budget, publication_budget: Budget) -> Self {
        Self { counters, budget, publication_budget, allowed: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn sum(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(|counters| count(counters)).fold(0, u64::saturating_add)
    }

    /// The current use of memory by kind. Reads counters that other threads write: accurate to within a turn.
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

    /// Bytes in [`Ledger::known_bytes`] that are counted twice: by histories and by answers that borrow from them.
    /// Bytes that a history has dropped meanwhile may be included.
    pub fn lent_bytes(&self) -> u64 {
        (self.budget.lent() as u64).min(self.sum(|c| c.history_bytes.value()))
    }

    /// Bytes of free slots of connections, kept for new ones. They are resident, but reusable.
    pub fn vacant_bytes(&self) -> u64 {
        self.sum(|c| c.vacant_bytes.value())
    }

    /// Bytes of queued and partly received messages: slow consumers can free them.
    pub(in crate::shard) fn queued_bytes(&self) -> u64 {
        self.budget.used() as u64
    }

    /// The number of shards.
    pub(in crate::shard) fn shard_count(&self) -> u64 {
        self.counters.len() as u64
    }

    /// The number of connections of all shards.
    pub(in crate::shard) fn connection_count(&self) -> u64 {
        self.sum(|c| c.connections.value())
    }

    /// Sets the limit of counted bytes.
    pub fn allow(&self, bytes: u64) {
        self.allowed.store(bytes, Relaxed);
    }

    /// The limit of counted bytes; `u64::MAX` for none.
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
