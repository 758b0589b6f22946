//! Encoded wire bytes, immutable and reference counted: written once, sent to any number of connections.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::budget::Budget;
use super::heap;

struct Inner {
    bytes: Vec<u8>,
    budget: Budget,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budget.release(self.bytes.capacity());
    }
}

/// Immutable bytes that many outboxes may hold; counted once in the [`Budget`] as long as anyone does.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

impl Shared {
    /// Takes over `bytes` without copying.
    pub fn new(bytes: Vec<u8>, budget: &Budget) -> Self {
        budget.charge(bytes.capacity());
        Self(Arc::new(Inner { bytes, budget: budget.clone() }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_counted_once_and_given_back_with_the_last() {
        let budget = Budget::new(100);
        let a = Shared::new(vec![7; 40], &budget);
        let b = a.clone();
        assert_eq!((budget.used(), &*b), (40, &[7u8; 40][..]));
        drop(a);
        assert_eq!(budget.used(), 40);
        drop(b);
        assert_eq!(budget.used(), 0);
    }
}
