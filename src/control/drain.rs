//! The control plane's part in a drain: it logs one line per second for the whole process while clients are
//! connected; and when all shards have ended, it sends the remaining channel events to the application.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{interval, timeout};

use super::{Readiness, State};
use crate::outside::World;
use crate::shard::counters::Counters;

/// Interval of log lines.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Timeout for sending the last channel events to the application: after a drain that closed connections, and after
/// one that found none.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
const LONELY_FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Logs the progress of a drain, however it was started, until the runtime ends. Nothing is logged before `delay` is
/// over: until then no connection is closed.
pub(super) async fn tell(counters: Vec<Arc<Counters>>, readiness: Arc<Readiness>, delay: Duration) {
    let mut ticks = interval(TOLD_EVERY);
    let mut since = Duration::ZERO;
    loop {
        ticks.tick().await;
        if readiness.state() != State::Draining {
            continue;
        }
        let (connections, to_close, closed) = progress(&counters);
        if since >= delay && connections > 0 {
            tracing::info!(connections, to_close, closed, "draining");
        }
        since += TOLD_EVERY;
    }
}

/// Numbers of open connections, of connections still to be closed, and of closed ones.
pub(super) fn progress(counters: &[Arc<Counters>]) -> (u64, u64, u64) {
    let sum = |value: fn(&Counters) -> u64| counters.iter().map(|shard| value(shard)).sum();
    (sum(|c| c.connections.value()), sum(|c| c.drain_left.value()), sum(|c| c.drain_closes.value()))
}

/// Waits until the application has accepted the last channel events, or until the timeout.
pub(super) async fn farewell(outside: &World, counters: &[Arc<Counters>], drain_time: Duration) {
    let (_, _, closed) = progress(counters);
    if timeout(farewell_max(closed, drain_time), outside.all_told()).await.is_err() {
        tracing::warn!(
            "a hook did not accept all reports in time (of channels, or of ended sockets); the rest is dropped"
        );
    }
}

/// That timeout. A stop without connections, or with a drain time of zero, does not wait long for an application that
/// does not answer.
fn farewell_max(closed: u64, drain_time: Duration) -> Duration {
    match closed {
        0 => LONELY_FAREWELL_MAX,
        _ => drain_time.clamp(LONELY_FAREWELL_MAX, FAREWELL_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_a_server_without_clients_does_not_wait_for_a_hook_that_hangs() {
        let second = Duration::from_secs(1);
        assert!(farewell_max(0, 10 * second) < second, "nobody was connected");
        assert!(farewell_max(3, Duration::ZERO) < second, "as in development mode");
        assert_eq!(farewell_max(3, second), second, "no longer than the drain");
        assert_eq!(farewell_max(3, 10 * second), FAREWELL_MAX);
    }
}
