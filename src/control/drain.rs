//! What the log tells of a drain: a line per second for the whole process, as long as somebody is connected.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::{Readiness, State};
use crate::base::counters::Counters;

/// How often it is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Tells of a drain, from whomever it was begun by, until the runtime ends. Nothing before `delay` is over: until then
/// nobody is closed.
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

/// Connections that are left, those of them that are still to be closed, and those that were.
pub(super) fn progress(counters: &[Arc<Counters>]) -> (u64, u64, u64) {
    let sum = |value: fn(&Counters) -> u64| counters.iter().map(|shard| value(shard)).sum();
    (sum(|c| c.connections.value()), sum(|c| c.drain_left.value()), sum(|c| c.drain_closes.value()))
}
