//! The process-wide count of queued bytes, and its limit.
//!
//! Bytes are charged when they are allocated and released when they are freed, so bytes shared by a thousand outboxes
//! are counted once. The limit is soft: a charge never fails; holders of queued bytes are asked to free some while
//! [`Budget::is_exhausted`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    lent: AtomicUsize,
    max: usize,
}

/// Bytes that are counted as in use as long as it lives.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// A handle to the account; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

impl Budget {
    /// An account that is exhausted once more than `bytes_max` bytes are in use.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Account { used: AtomicUsize::new(0), lent: AtomicUsize::new(0), max: bytes_max }))
    }

    /// Counts `bytes` as in use.
    #[inline]
    pub fn charge(&self, bytes: usize) {
        self.0.used.fetch_add(bytes, Relaxed);
    }

    /// Releases charged bytes.
    #[inline]
    pub fn release(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Relaxed);
    }

    /// Counts `bytes` as in use until the result is dropped.
    pub fn hold(&self, bytes: usize) -> Charge {
        self.charge(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Counts bytes as in use that another owner keeps and counts as well.
    pub fn charge_lent(&self, bytes: usize) {
        self.charge(bytes);
        self.0.lent.fetch_add(bytes, Relaxed);
    }

    /// Releases bytes that were charged as lent.
    pub fn release_lent(&self, bytes: usize) {
        self.0.lent.fetch_sub(bytes, Relaxed);
        self.release(bytes);
    }

    /// Bytes in use that their owner counts as well, unless it has dropped them since.
    pub fn lent(&self) -> usize {
        self.0.lent.load(Relaxed)
    }

    /// Bytes in use.
    #[inline]
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// Whether a quarter of the limit stays free with these bytes added.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.0.max - self.0.max / 4
    }

    /// Whether more than the limit is in use.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.used() > self.0.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_account() {
        let budget = Budget::new(10);
        let other = budget.clone();
        other.charge(10);
        assert!(!budget.is_exhausted());
        budget.charge(1);
        assert!(other.is_exhausted());
        other.release(11);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_lent_is_in_use_and_known_to_be_lent() {
        let budget = Budget::new(100);
        budget.charge(20);
        budget.charge_lent(50);
        assert_eq!((budget.used(), budget.lent()), (70, 50));
        budget.release_lent(50);
        assert_eq!((budget.used(), budget.lent()), (20, 0));
    }

    #[test]
    fn a_quarter_is_left_to_others() {
        let budget = Budget::new(100);
        budget.charge(50);
        assert!(budget.has_room_for(25) && !budget.has_room_for(26) && !budget.has_room_for(usize::MAX));
    }
}
