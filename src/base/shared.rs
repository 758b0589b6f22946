//! Encoded wire bytes, immutable and reference counted: written once, sent to any number of connections. And loans of
//! such bytes, which are sent without a copy.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::budget::Budget;
use super::heap;

struct Inner {
    bytes: Vec<u8>,
    budget: Budget,
    /// Number of [`Lent`] handles.
    lent_count: AtomicUsize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budget.release(self.cost());
    }
}

impl Inner {
    /// Memory of the bytes and of the structures around them, which dominate for small ones.
    fn cost(&self) -> usize {
        Shared::bytes(self.bytes.capacity())
    }
}

/// Immutable bytes that many outboxes may hold; counted once in the [`Budget`] until the last holder drops them.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

impl Shared {
    /// Makes shared bytes without a copy.
    pub fn new(bytes: Vec<u8>, budget: &Budget) -> Self {
        budget.charge(Self::bytes(bytes.capacity()));
        Self(Arc::new(Inner { bytes, budget: budget.clone(), lent_count: AtomicUsize::new(0) }))
    }

    /// Lends the bytes to a holder that may outlive their owner: `budget` counts them as well, once, until the last
    /// borrower has dropped them. All borrowers use the same budget.
    pub fn lend(&self, budget: &Budget) -> Lent {
        if self.0.lent_count.fetch_add(1, Relaxed) == 0 {
            budget.charge_lent(self.0.cost());
        }
        Lent { shared: self.clone(), budget: budget.clone() }
    }

    /// Whether the bytes are lent already, so that another loan costs nothing.
    pub fn is_lent(&self) -> bool {
        self.0.lent_count.load(Relaxed) > 0
    }

    /// Memory that dropping this handle frees, in bytes: all of it is freed with the last handle, so each has an
    /// equal part.
    pub(super) fn freed(&self) -> usize {
        self.0.cost() / Arc::strong_count(&self.0)
    }

    /// The budget that counts the bytes.
    pub(super) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Memory of so many bytes once they are shared.
    pub const fn bytes(length: usize) -> usize {
        heap::arc(size_of::<Inner>()) + heap::piece(length)
    }
}

impl Deref for Shared {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} bytes)", self.len())
    }
}

/// Bytes of another owner, see [`Shared::lend`].
#[derive(Debug)]
pub struct Lent {
    shared: Shared,
    budget: Budget,
}

impl Lent {
    /// Decrease of the borrowers' budget when this loan is dropped, in bytes, in equal parts for each borrower; and
    /// whether that frees memory, since the owner has dropped the bytes.
    pub(super) fn freed(&self) -> (usize, bool) {
        let lent_count = self.shared.0.lent_count.load(Relaxed);
        let is_orphan = Arc::strong_count(&self.shared.0) <= lent_count;
        (self.shared.0.cost() / lent_count.max(1), is_orphan)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Each charge has its release, in any order of several threads.
        if self.shared.0.lent_count.fetch_sub(1, Relaxed) == 1 {
            self.budget.release_lent(self.shared.0.cost());
        }
    }
}

impl Deref for Lent {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_counted_once_and_given_back_with_the_last() {
        let budget = Budget::new(1000);
        let a = Shared::new(vec![7; 40], &budget);
        let b = a.clone();
        let cost = Shared::bytes(40);
        assert_eq!((budget.used(), &*b), (cost, &[7u8; 40][..]));
        assert_eq!((a.freed(), b.freed()), (cost / 2, cost / 2));
        drop(a);
        assert_eq!(budget.used(), cost);
        drop(b);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn small_ones_cost_what_stands_around_them() {
        let budget = Budget::new(1 << 20);
        let many: Vec<_> = (0..100).map(|_| Shared::new(vec![7], &budget)).collect();
        assert!(budget.used() >= 100 * (size_of::<Inner>() + 32), "{}", budget.used());
        drop(many);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_lent_is_counted_once_until_the_last_gives_it_back() {
        let (owner, borrowers) = (Budget::new(1000), Budget::new(1000));
        let shared = Shared::new(vec![7; 40], &owner);
        let cost = Shared::bytes(40);
        assert!(!shared.is_lent());
        let (one, two) = (shared.lend(&borrowers), shared.lend(&borrowers));
        assert_eq!((owner.used(), borrowers.used(), shared.is_lent()), (cost, cost, true));
        assert_eq!((borrowers.lent(), two.freed()), (cost, (cost / 2, false)));
        drop(one);
        assert_eq!(two.freed(), (cost, false), "a loan is counted, but frees no memory");
        // The owner drops the bytes while a borrower still has them.
        drop(shared);
        assert_eq!((&*two, owner.used(), borrowers.used()), (&[7u8; 40][..], cost, cost));
        assert_eq!(two.freed(), (cost, true));
        drop(two);
        assert_eq!((owner.used(), borrowers.used(), borrowers.lent()), (0, 0, 0));
    }

    #[test]
    fn what_threads_borrow_at_the_same_time_is_given_back() {
        let (owner, borrowers) = (Budget::new(100), Budget::new(100));
        let shared = Shared::new(vec![7; 40], &owner);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| drop(shared.lend(&borrowers))));
            }
        });
        assert_eq!((borrowers.used(), borrowers.lent(), shared.is_lent()), (0, 0, false));
    }
}
