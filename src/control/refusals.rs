//! Log lines about what limits refuse or drop: the reasons and numbers of a topic, in one line for the whole process, at
//! most every ten seconds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::{Readiness, State};
use crate::shard::counters::Counters;

/// Interval at which the counters are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Number of looks without another line after one.
const QUIET_LOOKS: u32 = 10;

/// A kind of thing that is refused or dropped, and the reasons: each a counter and a text.
#[derive(Debug)]
struct Topic {
    what: &'static str,
    reasons: &'static [(&'static str, &'static str)],
}

static TOPICS: [Topic; 2] = [
    Topic {
        what: "new connections are refused",
        reasons: &[
            ("refused_unavailable", "connection limit reached (connections_max)"),
            (
                "accept_pauses",
                "times accepting paused for lack of descriptors (`throng doctor` says what to raise)",
            ),
            ("refused_memory", "memory is short (memory_max)"),
            ("refused_half_open", "too many incomplete requests (half_open_max)"),
            ("refused_node_rate", "too many per second (accepts_per_second_max)"),
            ("refused_ip_rate", "too many from one address (accepts_per_ip_max)"),
            ("refused_network_rate", "too many from one network (accepts_per_network_max)"),
            ("refused_handshake_rate", "too many TLS handshakes (tls_handshakes_per_second_max)"),
        ],
    },
    Topic {
        what: "join and leave messages are dropped, and clients that count members have wrong numbers",
        reasons: &[("joins_suppressed", "too many per second in one channel (join_leave_per_second_max)")],
    },
];

/// The counts of a topic at its last line, and the time until another is allowed.
#[derive(Debug)]
struct Watch {
    topic: &'static Topic,
    told: Vec<u64>,
    quiet_looks: u32,
}

impl Watch {
    fn new(topic: &'static Topic) -> Self {
        Self { topic, told: vec![0; topic.reasons.len()], quiet_looks: 0 }
    }

    /// The line for what was refused since the last one, if one is due.
    fn look(&mut self, now: Vec<u64>) -> Option<String> {
        self.quiet_looks = self.quiet_looks.saturating_sub(1);
        if self.quiet_looks > 0 || now == self.told {
            return None;
        }
        let Topic { what, reasons } = self.topic;
        let mut line = String::from(*what);
        let grown = reasons.iter().zip(now.iter().zip(&self.told)).filter(|(_, (now, told))| now > told);
        for (at, ((_, reason), (now, told))) in grown.enumerate() {
            // Writing to a string cannot fail.
            write!(line, "{} {}: {reason}", if at == 0 { ":" } else { ";" }, now - told).ok();
        }
        (self.told, self.quiet_looks) = (now, QUIET_LOOKS);
        Some(line)
    }
}

/// Watches until the runtime ends. During a drain all connections are refused, which is logged separately.
pub(super) async fn watch(counters: Vec<Arc<Counters>>, readiness: Arc<Readiness>) {
    let mut ticks = interval(LOOK_EVERY);
    let mut watches: Vec<Watch> = TOPICS.iter().map(Watch::new).collect();
    loop {
        ticks.tick().await;
        if readiness.state() == State::Draining {
            continue;
        }
        for watch in &mut watches {
            if let Some(line) = watch.look(counts(&counters, watch.topic)) {
                tracing::warn!("{line}");
            }
        }
    }
}

fn counts(counters: &[Arc<Counters>], topic: &Topic) -> Vec<u64> {
    let mut sums = vec![0; topic.reasons.len()];
    for (name, value) in counters.iter().flat_map(|shard| shard.each()) {
        if let Some(at) = topic.reasons.iter().position(|(counter, _)| *counter == name) {
            sums[at] += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_line_now_and_then() {
        let mut watch = Watch::new(&TOPICS[0]);
        assert_eq!(watch.look(vec![0; 8]), None);
        let at = |count| vec![count, 0, 0, 0, 2 * count, 0, 0, 0];
        assert_eq!(
            watch.look(at(1)).unwrap(),
            "new connections are refused: 1: connection limit reached (connections_max); 2: too many per second (accepts_per_second_max)"
        );
        let lines: Vec<_> = (2..=21).filter_map(|count| watch.look(at(count))).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("new connections are refused: 10: ")), "{lines:?}");
        assert_eq!((0..50).find_map(|_| watch.look(at(21))), None, "nobody else was refused");
    }

    #[test]
    fn every_reason_is_a_counter() {
        let counters = Arc::new(Counters::default());
        let names: Vec<_> = counters.each().map(|(name, _)| name).collect();
        let mut reasons = TOPICS.iter().flat_map(|topic| topic.reasons);
        assert!(reasons.all(|(name, _)| names.contains(name)), "{names:?}");
        counters.refused_memory.add(3);
        counters.joins_suppressed.set(2);
        let both = [Arc::clone(&counters), counters];
        assert_eq!((counts(&both, &TOPICS[0])[2], counts(&both, &TOPICS[1])), (6, vec![4]));
    }
}
