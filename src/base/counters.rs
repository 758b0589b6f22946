//! Counters, and histograms with fixed buckets, readable from other threads.
//!
//! One thread writes (the counter's owner), any thread reads. So an increment is a relaxed load and a relaxed store,
//! never a locked instruction; readers see each counter at some recent value, not all of them at one instant.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter or gauge with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds `n`; any number of threads may do so at the same time.
    #[inline]
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Subtracts `n`, for gauges. Same single-writer rule as [`Counter::add`].
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The current value.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Number of buckets of a [`Histogram`]: powers of two from 1 µs to 2^26 µs (67 s), and one beyond.
pub const BUCKET_COUNT: usize = 28;

/// Durations in microseconds, or other numbers, in buckets that double: bucket `i` holds values up to and including
/// `1 << i`.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKET_COUNT],
    sum_us: Counter,
}

impl Histogram {
    /// Records one duration, in microseconds.
    #[inline]
    pub fn record(&self, us: u64) {
        self.bucket(us).add(1);
        self.sum_us.add(us);
    }

    /// Records one duration, in microseconds, in a histogram that other threads may write to at the same time.
    pub fn record_shared(&self, us: u64) {
        self.bucket(us).add_shared(1);
        self.sum_us.add_shared(us);
    }

    fn bucket(&self, us: u64) -> &Counter {
        let index = (u64::BITS - us.saturating_sub(1).leading_zeros()) as usize;
        &self.buckets[index.min(BUCKET_COUNT - 1)]
    }

    /// `(upper bound in microseconds, count)` per bucket, not cumulative; the last bound is `None` (infinite).
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, c)| ((i < BUCKET_COUNT - 1).then_some(1u64 << i), c.value()))
    }

    /// Sum of all recorded durations, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }
}

/// Places for one kind of label.
pub const PLACES_MAX: usize = 32;

/// Counters by a label of few values, each of which has its place. The user of the counters assigns the places.
pub type ByPlace = [Counter; PLACES_MAX];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_values_up_to_its_bound() {
        let h = Histogram::default();
        for us in [0, 1, 2, 3, 4, 5, u64::MAX] {
            h.record(us);
        }
        let counts: Vec<_> = h.buckets().map(|(_, n)| n).collect();
        assert_eq!(&counts[..4], &[2, 1, 2, 1]);
        assert_eq!(counts[BUCKET_COUNT - 1], 1);
        assert_eq!(h.buckets().last(), Some((None, 1)));
    }
}
