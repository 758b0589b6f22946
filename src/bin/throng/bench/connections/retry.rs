//! The delays of refused clients before a retry.
//!
//! The invariant: delays are those of the official SDKs (exponential with full jitter), or longer if the server
//! asks for it; they depend on the connection's number only, so that a run can be repeated. Left out: which
//! answers are refusals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Doublings beyond this number change nothing.
const DOUBLINGS_MAX: u32 = 31;

/// Behaviour of a client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOff {
    /// Shortest and longest delay; `None`: retry at once.
    pub(crate) delay_ms: Option<(u64, u64)>,
    /// Attempts of one client, the first included.
    pub(crate) attempts_max: u16,
}

impl BackOff {
    /// The delay of connection `number` after `attempts`; `None`: it gives up.
    pub(crate) fn delay_ns(&self, number: usize, attempts: u16, retry_after_s: Option<u64>) -> Option<u64> {
        if attempts >= self.attempts_max {
            return None;
        }
        let Some((least_ms, most_ms)) = self.delay_ms else { return Some(0) };
        let step = u32::from(attempts.saturating_sub(1)).min(DOUBLINGS_MAX);
        let reach_ms = least_ms.saturating_mul(1 << step).min(most_ms);
        let jitter_ms = mixed((number as u64) << 16 | u64::from(attempts)) % reach_ms.max(1);
        let own_ms = (least_ms + jitter_ms).min(most_ms);
        let asked_ms = retry_after_s.unwrap_or(0).saturating_mul(1000);
        // All clients refused in one second get the same second for their retry.
        let asked_ms = if asked_ms > 0 { asked_ms + jitter_ms % 1000 } else { 0 };
        Some(own_ms.max(asked_ms).saturating_mul(1_000_000))
    }
}

/// A pseudo-random number (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Connections to retry, by time.
#[derive(Debug, Default)]
pub(crate) struct Retries(BinaryHeap<Reverse<(u64, usize)>>);

impl Retries {
    pub(crate) fn push(&mut self, at_ns: u64, index: usize) {
        self.0.push(Reverse((at_ns, index)));
    }

    /// The next connection whose time has come.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<usize> {
        let Reverse((at_ns, index)) = *self.0.peek()?;
        (at_ns <= now_ns).then(|| {
            self.0.pop();
            index
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDK: BackOff = BackOff { delay_ms: Some((200, 20_000)), attempts_max: 100 };

    #[test]
    fn delays_double_with_full_jitter_and_are_bounded() {
        for (attempts, reach_ms) in [(1, 200), (2, 400), (5, 3200), (8, 20_000), (99, 20_000)] {
            let delays: Vec<_> =
                (0..1000).map(|n| SDK.delay_ns(n, attempts, None).unwrap() / 1_000_000).collect();
            let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
            assert!(*least >= 200 && *least < 200 + reach_ms / 10, "{attempts}: {least}");
            assert!(*most <= (200 + reach_ms).min(20_000), "{attempts}: {most}");
            assert!(*most > reach_ms * 9 / 10, "{attempts}: {most}");
        }
        assert_eq!(SDK.delay_ns(1, 100, None), None);
    }

    #[test]
    fn the_server_may_ask_for_more_time_and_not_for_less() {
        let asked = |seconds| SDK.delay_ns(7, 1, Some(seconds)).unwrap() / 1_000_000;
        assert!((5000..6000).contains(&asked(5)));
        assert_eq!(SDK.delay_ns(7, 1, Some(0)), SDK.delay_ns(7, 1, None));
        let none = BackOff { delay_ms: None, attempts_max: 2 };
        assert_eq!((none.delay_ns(7, 1, Some(5)), none.delay_ns(7, 2, None)), (Some(0), None));
    }

    #[test]
    fn who_is_due_comes_in_order() {
        let mut retries = Retries::default();
        for (at_ns, index) in [(30, 3), (10, 1), (20, 2)] {
            retries.push(at_ns, index);
        }
        assert_eq!([retries.due(5), retries.due(20), retries.due(20)], [None, Some(1), Some(2)]);
        assert_eq!((retries.due(20), retries.due(30), retries.due(99)), (None, Some(3), None));
    }
}
