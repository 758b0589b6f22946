//! A token bucket: so many events per second, with a burst, and no clock inside.
//!
//! Counts thousandths of tokens, of which a rate of `n` per second gives back exactly `n` per millisecond, so nothing
//! is lost to rounding however often it is asked. What is kept is what is missing: a bucket that was never used is
//! full, whatever its burst, and needs no setting up. Rate and burst are the caller's, who may change them.

/// Thousandths of a token in a token.
const TOKEN: u64 = 1000;

/// A token bucket of one rate. [`Default`] is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Thousandths of tokens that were missing at `at_ms`.
    missing: u64,
    at_ms: u64,
}

impl Bucket {
    /// Takes one token; false when there is none, and nothing changes then. `rate_per_s` come back per second, up to
    /// `burst`. Time that goes backwards counts as none.
    pub fn take(&mut self, now_ms: u64, rate_per_s: u32, burst: u32) -> bool {
        self.take_up_to(now_ms, rate_per_s, burst, 1) == 1
    }

    /// Whether nothing is missing.
    pub fn is_full(&self, now_ms: u64, rate_per_s: u32) -> bool {
        now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(rate_per_s)) >= self.missing
    }

    /// Takes as many of `wanted` tokens as there are and returns how many that was.
    pub fn take_up_to(&mut self, now_ms: u64, rate_per_s: u32, burst: u32, wanted: u32) -> u32 {
        let back = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(rate_per_s));
        self.missing = self.missing.saturating_sub(back);
        self.at_ms = self.at_ms.max(now_ms);
        let there = (u64::from(burst) * TOKEN).saturating_sub(self.missing) / TOKEN;
        let taken = there.min(u64::from(wanted));
        self.missing += taken * TOKEN;
        u32::try_from(taken).unwrap_or(wanted)
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

    /// Counts up, a millisecond at a time.
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
