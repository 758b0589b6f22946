//! The one clock of a run: nanoseconds since its start, the same for all threads.
//!
//! Left out: pacing, which belongs to the scenarios.

#![expect(clippy::disallowed_methods, reason = "the load generator measures time: it is its purpose")]

use std::time::{Duration, Instant};

/// Seconds as nanoseconds; out of range, the value saturates.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
pub(crate) fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Started once per run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until `at_ns`; returns at once if that is past.
    pub(crate) fn sleep_until(&self, at_ns: u64) {
        self.sleep_for(Duration::from_nanos(at_ns.saturating_sub(self.now_ns())));
    }

    /// Sleeps.
    pub(crate) fn sleep_for(&self, time: Duration) {
        if !time.is_zero() {
            std::thread::sleep(time);
        }
    }
}
