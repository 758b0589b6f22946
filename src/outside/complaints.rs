//! Why tokens are refused, for the log: each reason now and then, however many tokens are refused for it.
//!
//! A flood of bad tokens must not become one of lines, nor may a shard wait here: who finds the list in use is counted by
//! nobody.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::now;
use super::token::{Purpose, Refused};

/// A reason is not told again sooner.
const QUIET: Duration = Duration::from_secs(10);

/// A reason that was told.
#[derive(Debug)]
struct Told {
    purpose: Purpose,
    why: &'static str,
    at: Instant,
    /// Tokens that were refused for it since.
    untold: u64,
}

/// Reasons that were told. There are as many as there are texts in the code.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Vec<Told>>);

impl Complaints {
    /// Tells the reason at level info, if it is time to, else at debug.
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

    /// How many tokens were refused for this reason since it was last told, if it is to be told now.
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
