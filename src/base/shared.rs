//! Encoded wire bytes, immutable and reference counted: written once, sent to any number of connections. And such bytes
//! lent to those who send them from where they lie.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::budget::Budget;
use super::heap;

struct Inner {
    bytes: Vec<u8>,
    budget: Budget,
    /// How many [`Lent`] there are.
    lent_count: AtomicUsize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budget.release(self.cost());
    }
}

impl Inner {
    /// What it costs: the bytes, and what stands around them, which small ones consist of for the most part.
    fn cost(&self) -> usize {
        Shared::bytes(self.bytes.capacity())
    }
}

/// Immutable bytes that many outboxes may hold; counted once in the [`Budget`] as long as anyone does.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

impl Shared {
    /// Takes over `bytes` without copying.
    pub fn new(bytes: Vec<u8>, budget: &Budget) -> Self {
        budget.charge(Self::bytes(bytes.capacity()));
        Self(Arc::new(Inner { bytes, budget: budget.clone(), lent_count: AtomicUsize::new(0) }))
    }

    /// Lends the bytes to someone who may keep them longer than their owner does: `budget` counts them, too, as long as
    /// anyone has borrowed them, and once, however many have. It is the same budget for all who borrow.
    pub fn lend(&self, budget: &Budget) -> Lent {
        if self.0.lent_count.fetch_add(1, Relaxed) == 0 {
            budget.charge_lent(self.0.cost());
        }
        Lent { shared: self.clone(), budget: budget.clone() }
    }

    /// Whether someone has borrowed the bytes, so that lending them once more costs nothing.
    pub fn is_lent(&self) -> bool {
        self.0.lent_count.load(Relaxed) > 0
    }

    /// What letting go of this handle gives back, in bytes: all of it goes with the last, so each has an equal part.
    pub(super) fn freed(&self) -> usize {
        self.0.cost() / Arc::strong_count(&self.0)
    }

    /// The account that counts the bytes.
    pub(super) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// What so many bytes cost when they are shared.
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

/// Bytes that belong to someone else, see [`Shared::lend`].
#[derive(Debug)]
pub struct Lent {
    shared: Shared,
    budget: Budget,
}

impl Lent {
    /// What giving it back lets the borrowers' account fall by, in bytes, in equal parts for each of them; and whether
    /// that is memory, since its owner has let it go.
    pub(super) fn freed(&self) -> (usize, bool) {
        let lent_count = self.shared.0.lent_count.load(Relaxed);
        let is_orphan = Arc::strong_count(&self.shared.0) <= lent_count;
        (self.shared.0.cost() / lent_count.max(1), is_orphan)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Each charge has its release, whatever the order in which several threads come to them.
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
        assert_eq!(two.freed(), (cost, false), "that is what is counted, and no memory");
        // Its owner lets it go, and somebody still has it.
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
