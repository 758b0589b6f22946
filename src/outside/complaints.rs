//! The log of refused tokens: each reason is logged at intervals, however many tokens are refused for it.
//!
//! A flood of bad tokens must not become a flood of log lines, and a shard must not wait here: if the list is locked,
//! the refusal is not counted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::now;
use super::token::{Purpose, Refused};

/// Minimum time between two log lines for the same reason.
const QUIET: Duration = Duration::from_secs(10);

/// A reason that was logged.
#[derive(Debug)]
struct Told {
    purpose: Purpose,
    why: &'static str,
    at: Instant,
    /// Tokens refused for this reason since then.
    untold: u64,
}

/// Reasons that were logged: at most as many as there are texts in the code.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Vec<Told>>);

impl Complaints {
    /// Logs the reason at level info at most once per [`QUIET`], otherwise at debug.
    pub(super) fn tell(&self, purpose: Purpose, refused: Refused) {
        let (what, why) = (purpose.name(), refused.why());
        match self.note(purpose, why, now()) {
            Some(0) => tracing::info!("{what} token refused: {why}"),
            Some(untold) => {
                tracing::info!("{what} token refused: {why}; {untold} more since this was last told")
            }
            None => tracing::debug!("{what} token refused: {why}"),
        }
    }

    /// The number of tokens refused for this reason since it was last logged, if it should be logged now.
    fn note(&self, purpose: Purpose, why: &'static str, now: Instant) -> Option<u64> {
        let mut list = self.0.try_lock().ok()?;
        let known = list.iter_mut().find(|told| told.purpose == purpose && told.why == why);
        let Some(told) = known else {
            list.push(Told { purpose, why, at: now, untold: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(told.at) < QUIET {
            told.untold += 1;
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_now_and_then_with_what_was_not() {
        let (complaints, began) = (Complaints::default(), now());
        let note =
            |why, seconds| complaints.note(Purpose::Connection, why, began + Duration::from_secs(seconds));
        assert_eq!([note("signature", 0), note("signature", 1), note("issuer", 1)], [Some(0), None, Some(0)]);
        assert_eq!(
            [note("signature", 9), note("signature", 10), note("signature", 11)],
            [None, Some(2), None]
        );
        assert_eq!(complaints.note(Purpose::Subscription, "signature", began), Some(0));
    }
}
