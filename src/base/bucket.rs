//! A token bucket: so many events per second, with a burst, and no clock inside.
//!
//! Counts thousandths of tokens. A rate of `n` per second returns exactly `n` of them per millisecond, so no call
//! loses anything to rounding. The bucket stores the missing part: a bucket that was never used is full, for any
//! burst, and needs no setup. The caller supplies rate and burst and may change them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SECOND_NS: u64 = 1_000_000_000;

/// Thousandths of a token in a token.
const TOKEN: u64 = 1000;

/// A token bucket of one rate. [`Default`] is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Thousandths of tokens missing at `at_ms`.
    missing: u64,
    at_ms: u64,
}

impl Bucket {
    /// Takes one token; returns false, without any change, when there is none. `rate_per_s` tokens return per second,
    /// up to `burst`. Time that goes backwards counts as no time.
    pub(crate) fn take(&mut self, now_ms: u64, rate_per_s: u32, burst: u32) -> bool {
        self.take_up_to(now_ms, rate_per_s, burst, 1) == 1
    }

    /// Whether the bucket is full.
    pub(crate) fn is_full(&self, now_ms: u64, rate_per_s: u32) -> bool {
        now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(rate_per_s)) >= self.missing
    }

    /// Takes up to `wanted` tokens, as far as available, and returns how many it took.
    pub(crate) fn take_up_to(&mut self, now_ms: u64, rate_per_s: u32, burst: u32, wanted: u32) -> u32 {
        let back = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(rate_per_s));
        self.missing = self.missing.saturating_sub(back);
        self.at_ms = self.at_ms.max(now_ms);
        let there = (u64::from(burst) * TOKEN).saturating_sub(self.missing) / TOKEN;
        let taken = there.min(u64::from(wanted));
        self.missing += taken * TOKEN;
        u32::try_from(taken).unwrap_or(wanted)
    }
}

/// A token bucket shared by threads, with a burst of one second's tokens: one word, no lock. [`Default`] is a full
/// one; its clones are the same bucket.
///
/// It stores the time at which it is full again, in nanoseconds of the threads' common clock. A thread whose clock
/// lags gets no token until its clock has caught up: never more tokens than the rate permits.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedBucket(Arc<AtomicU64>);

impl SharedBucket {
    /// Takes one token; returns false, without any change, when there is none. `rate_per_s` tokens return per second,
    /// none for 0.
    pub(crate) fn take(&self, now_us: u64, rate_per_s: u32) -> bool {
        let Some(each_ns) = SECOND_NS.checked_div(u64::from(rate_per_s)) else { return false };
        let (now_ns, burst_ns) = (now_us.saturating_mul(1000), each_ns * u64::from(rate_per_s));
        let take = |full_at_ns: u64| {
            let full_at_ns = full_at_ns.max(now_ns).saturating_add(each_ns);
            (full_at_ns - now_ns <= burst_ns).then_some(full_at_ns)
        };
        self.0.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bucket_is_sixteen_bytes() {
        assert_eq!(size_of::<Bucket>(), 16);
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::default();
        assert!((0..5).all(|_| bucket.take(1_000_000, 2, 5)));
        assert!(!bucket.take(1_000_499, 2, 5));
        assert!(bucket.take(1_000_500, 2, 5));
        assert!(!bucket.take(1_000_999, 2, 5));
        assert!(!bucket.take(900_000, 2, 5), "time that goes backwards gives nothing");
        assert!(bucket.take(1_001_000, 2, 5));
    }

    #[test]
    fn nothing_overflows() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_up_to(0, u32::MAX, u32::MAX, u32::MAX), u32::MAX);
        assert!(bucket.take(u64::MAX, u32::MAX, 1));
        assert!(!Bucket::default().take(u64::MAX, u32::MAX, 0));
    }

    #[test]
    fn a_shared_bucket_is_for_whoever_comes_first() {
        let bucket = SharedBucket::default();
        let other = bucket.clone();
        assert!(bucket.take(5_000_000, 3) && other.take(5_000_000, 3) && bucket.take(5_000_000, 3));
        assert!(![&bucket, &other].into_iter().any(|one| one.take(5_333_333, 3)));
        assert!(other.take(5_333_334, 3) && !bucket.take(5_333_334, 3));
        assert!(!bucket.take(4_000_000, 3), "a clock that lags gives nothing");
        let again = (0..9).filter(|_| bucket.take(60_000_000, 3)).count();
        assert_eq!(again, 3, "no more than one second's worth after any idle time");
        assert!(!bucket.take(90_000_000, 0) && SharedBucket::default().take(u64::MAX, 1));
        assert!((0..9).all(|_| bucket.take(90_000_000, u32::MAX)));
    }

    #[test]
    fn threads_get_together_what_there_is() {
        let bucket = SharedBucket::default();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1000).filter(|_| bucket.take(7, 500)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }

    /// A reference implementation that counts up, one millisecond at a time.
    struct Naive {
        thousandths: u64,
        now_ms: u64,
    }

    impl Naive {
        fn take(&mut self, now_ms: u64, rate: u32, burst: u32, wanted: u32) -> u32 {
            while self.now_ms < now_ms {
                self.now_ms += 1;
                self.thousandths = (self.thousandths + u64::from(rate)).min(u64::from(burst) * 1000);
            }
            let mut taken = 0;
            while taken < wanted && self.thousandths >= 1000 {
                self.thousandths -= 1000;
                taken += 1;
            }
            taken
        }
    }

    proptest! {
        #[test]
        fn it_is_what_counting_up_gives(
            rate in 0..5000u32,
            burst in 0..200u32,
            asked in proptest::collection::vec((0..400u64, 1..30u32), 1..100),
        ) {
            let mut bucket = Bucket::default();
            let mut naive = Naive { thousandths: u64::from(burst) * 1000, now_ms: 0 };
            let mut now_ms = 0;
            for (later, wanted) in asked {
                now_ms += later;
                prop_assert_eq!(bucket.take_up_to(now_ms, rate, burst, wanted), naive.take(now_ms, rate, burst, wanted));
            }
        }
    }
}
