//! Checks whether a requested rate was reached.
//!
//! The invariant: a rate counts as reached only if the requested number came back, with the same latency at the
//! end as at the beginning, and without a stall. A median alone does not detect a server that stopped for a
//! second, and a mean does not detect that it caught up later. Left out: the figures themselves.

use crate::bench::report::findings::Summary;

/// The required share of the requested number, less the messages that may be in flight at either end of the
/// measured time.
const SHARE_MIN: f64 = 0.99;
const EDGE: f64 = 2.0;
/// The median of the last quarter is at most this factor above that of the first …
const GROWTH_MAX: f64 = 1.25;
/// … plus this, since short latencies vary by more than a quarter.
const GROWTH_SLACK_US: f64 = 5_000.0;
/// Maximum of p99.9 above the median: this, or the interval between two messages if it is longer, as for
/// publications to very many subscribers.
const STALL_US_MAX: f64 = 500_000.0;

/// The result of a schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Schedule {
    /// Requested rate per second.
    pub(crate) rate: f64,
    /// Number received, and seconds, if counted.
    pub(crate) came: Option<(u64, f64)>,
    /// Latency from the scheduled time.
    pub(crate) latency: Option<Summary>,
    /// Latency of the first and of the last quarter, if they are separate.
    pub(crate) quarters: Option<(Summary, Summary)>,
    /// Missing deliveries.
    pub(crate) missing: u64,
}

impl Schedule {
    /// # Errors
    /// The reason why it was not reached.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let Some(latency) = self.latency else { return Err("nothing came".to_owned()) };
        if self.missing > 0 {
            return Err(format!("{} deliveries are missing", self.missing));
        }
        if let Some((count, seconds)) = self.came
            && (count as f64) < SHARE_MIN * self.rate * seconds - EDGE
        {
            return Err(format!("{:.1} a second of {}", count as f64 / seconds, self.rate));
        }
        if let Some((first, last)) = self.quarters
            && last.p50_us > GROWTH_MAX * first.p50_us + GROWTH_SLACK_US
        {
            return Err("latency grew from the first quarter to the last".to_owned());
        }
        let behind_us = latency.p999_us - latency.p50_us;
        if behind_us > STALL_US_MAX.max(1e6 / self.rate) {
            return Err(format!("it stalled: the slowest came {:.1} s after the others", behind_us / 1e6));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(p50_us: f64, p999_us: f64) -> Summary {
        Summary {
            count: 1,
            mean_us: p50_us,
            p50_us,
            p90_us: p50_us,
            p99_us: p50_us,
            p999_us,
            max_us: p999_us,
        }
    }

    #[test]
    fn less_than_was_asked_for_later_and_later_and_stalls_are_not_held() {
        let steady = Schedule {
            rate: 1000.0,
            came: Some((10_000, 10.0)),
            latency: Some(latency(1_000.0, 90_000.0)),
            quarters: Some((latency(900.0, 0.0), latency(1_100.0, 0.0))),
            missing: 0,
        };
        assert_eq!(steady.verdict(), Ok(()));
        let not = |schedule: Schedule| schedule.verdict().unwrap_err();
        assert_eq!(not(Schedule { latency: None, ..steady }), "nothing came");
        assert_eq!(not(Schedule { missing: 3, ..steady }), "3 deliveries are missing");
        assert_eq!(not(Schedule { came: Some((9_800, 10.0)), ..steady }), "980.0 a second of 1000");
        let later = Some((latency(900.0, 0.0), latency(9_000.0, 0.0)));
        assert_eq!(
            not(Schedule { quarters: later, ..steady }),
            "latency grew from the first quarter to the last"
        );
        // A second in which nothing came, made up for in the next.
        let stalled = Schedule { latency: Some(latency(1_000.0, 941_000.0)), ..steady };
        assert_eq!(not(stalled), "it stalled: the slowest came 0.9 s after the others");
        // One publication in five seconds takes one second to reach a million.
        let wide = Schedule { rate: 0.2, came: None, latency: Some(latency(600_000.0, 1.6e6)), ..steady };
        assert_eq!(wide.verdict(), Ok(()));
        // A short run at a low rate: messages in flight at its ends do not count as missing.
        assert_eq!(Schedule { rate: 5.0, came: Some((3, 1.0)), ..steady }.verdict(), Ok(()));
    }
}
