//! Log lines while memory is short: the step that the shards have reached, and the actions since the last line. One
//! line for the whole process when a further step is reached, otherwise at most every ten seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use super::memory::Memory;
use crate::base::figures::{grouped, readable};
use crate::shard::counters::Counters;
use crate::shard::ledger::Kind;

/// Interval at which the counters are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Number of looks without another line after one, unless a further step is reached.
const QUIET_LOOKS: u32 = 10;
/// Number of kinds of memory in a line, the largest first.
const KINDS_TOLD: usize = 3;

/// The effect of each step; see `shard::door::pressure`.
const STEPS: [&str; 4] = [
    "new connections and subscriptions are accepted",
    "new connections and subscriptions are refused, histories give up what is oldest",
    "new connections and subscriptions are refused, connections that hold queued bytes are closed, the largest first",
    "new connections and subscriptions are refused, the newest connections are closed",
];

type Count = fn(&Counters) -> u64;

/// Actions for lack of memory, and their counters.
const DONE: [(&str, Count); 5] = [
    ("connections refused", |c| c.refused_memory.value()),
    ("subscriptions and channels refused, those by the server API included", |c| c.limited_memory.value()),
    ("slow connections closed", |c| c.memory_shed_slow.value()),
    ("newest connections closed", |c| c.memory_shed_newest.value()),
    ("publications given up", |c| c.memory_shed_publications.value()),
];

/// The current state of memory.
#[derive(Clone, Debug)]
struct Sight {
    /// The highest step of any shard.
    step: usize,
    done: [u64; DONE.len()],
    known: u64,
    allowed: u64,
    memory_max: u64,
    kinds: Vec<Kind>,
}

impl Sight {
    fn of(memory: &Memory, counters: &[Arc<Counters>]) -> Self {
        let step = counters.iter().map(|shard| shard.memory_step.value()).max().unwrap_or(0);
        Self {
            step: usize::try_from(step).map_or(STEPS.len() - 1, |step| step.min(STEPS.len() - 1)),
            done: DONE.map(|(_, count)| counters.iter().map(|shard| count(shard)).sum()),
            known: memory.ledger.known_bytes(),
            allowed: memory.ledger.allowed_bytes(),
            memory_max: memory.memory_max,
            kinds: memory.ledger.kinds().to_vec(),
        }
    }

    /// The largest uses of memory.
    fn largest(&self) -> String {
        let mut kinds: Vec<_> = self.kinds.iter().filter(|kind| kind.bytes > 0).collect();
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.bytes));
        let told =
            kinds.iter().take(KINDS_TOLD).map(|kind| format!("{} {}", kind.name, readable(kind.bytes)));
        told.collect::<Vec<_>>().join(", ")
    }

    /// The line, with the actions since `before`.
    fn told(&self, before: &[u64; DONE.len()]) -> String {
        let since = DONE.iter().zip(self.done.iter().zip(before));
        let done: Vec<_> = since
            .filter(|(_, (now, before))| now > before)
            .map(|((what, _), (now, before))| format!("{} {what}", grouped(now - before)))
            .collect();
        let done = if done.is_empty() { String::new() } else { format!(" ({})", done.join(", ")) };
        let use_of = format!(
            "{} counted of {} that make memory_max ({})",
            readable(self.known),
            readable(self.allowed),
            readable(self.memory_max)
        );
        if self.step == 0 {
            return format!("memory is available again: {}{done}: {use_of}", STEPS[0]);
        }
        format!(
            "memory is short: {}{done}: {use_of}, most of it {}; raise memory_max if the machine has more, lower \
             queued_bytes_max, history_bytes_max or connections_max, or add a server",
            STEPS[self.step],
            self.largest()
        )
    }
}

/// The step and counts at the last line, and the time until another is allowed.
#[derive(Debug, Default)]
struct Watch {
    step: usize,
    done: [u64; DONE.len()],
    quiet_looks: u32,
}

impl Watch {
    /// The line for the current state, if one is due.
    fn look(&mut self, now: &Sight) -> Option<String> {
        self.quiet_looks = self.quiet_looks.saturating_sub(1);
        // A shortage between two looks shows in the counts only.
        let has_news = now.step > 0 || self.step > 0 || now.done != self.done;
        if !has_news || (now.step <= self.step && self.quiet_looks > 0) {
            return None;
        }
        let line = now.told(&self.done);
        *self = Self { step: now.step, done: now.done, quiet_looks: QUIET_LOOKS };
        Some(line)
    }
}

/// Watches until the runtime ends.
pub(super) async fn watch(memory: Memory, counters: Vec<Arc<Counters>>) {
    if memory.memory_max == 0 {
        return;
    }
    let mut ticks = interval(LOOK_EVERY);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        if let Some(line) = watch.look(&Sight::of(&memory, &counters)) {
            tracing::warn!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::shard::ledger::Ledger;

    const MIB: u64 = 1 << 20;

    fn sight(step: usize, done: [u64; DONE.len()]) -> Sight {
        let kind = |name, mib: u64| Kind { name, bytes: mib * MIB };
        let kinds = vec![
            kind("clients", 1),
            kind("channels", 30),
            kind("tls", 0),
            kind("queued", 2),
            kind("history", 50),
        ];
        Sight { step, done, known: 83 * MIB, allowed: 92 * MIB, memory_max: 96 * MIB, kinds }
    }

    #[test]
    fn the_line_says_what_is_done_how_much_is_used_and_what_helps() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(&sight(0, [0; 5])), None);
        assert_eq!(
            watch.look(&sight(1, [1200, 0, 0, 0, 7])).unwrap(),
            "memory is short: new connections and subscriptions are refused, histories give up what is oldest (1,200 \
             connections refused, 7 publications given up): 83.0 MiB counted of 92.0 MiB that make memory_max (96.0 MiB), \
             most of it history 50.0 MiB, channels 30.0 MiB, queued 2.0 MiB; raise memory_max if the machine has more, \
             lower queued_bytes_max, history_bytes_max or connections_max, or add a server"
        );
        let line = watch.look(&sight(3, [1200, 0, 0, 5, 7])).unwrap();
        assert!(
            line.starts_with(
                "memory is short: new connections and subscriptions are refused, the newest connections are closed (5 newest \
                 connections closed): "
            ),
            "a further step is told at once, with what was done since: {line}"
        );
        let line = (0..QUIET_LOOKS).find_map(|_| watch.look(&sight(0, [1200, 0, 0, 5, 7]))).unwrap();
        assert_eq!(
            line,
            "memory is available again: new connections and subscriptions are accepted: 83.0 MiB counted of 92.0 MiB that \
             make memory_max (96.0 MiB)"
        );
    }

    #[test]
    fn what_goes_on_and_what_goes_to_and_fro_is_a_line_now_and_then() {
        let mut watch = Watch::default();
        let lines = |watch: &mut Watch, step: fn(u64) -> usize| {
            (1..=40).filter(|&look| watch.look(&sight(step(look), [look, 0, 0, 0, 0])).is_some()).count()
        };
        assert_eq!(lines(&mut watch, |_| 2), 4);
        let to_and_fro = lines(&mut Watch::default(), |look| usize::from(look % 2 == 0));
        assert!(to_and_fro <= 8, "{to_and_fro}");
        assert_eq!(lines(&mut Watch::default(), |_| 0), 4, "short between two looks");
        let mut watch = Watch::default();
        watch.look(&sight(0, [9; 5]));
        assert_eq!((0..50).find_map(|_| watch.look(&sight(0, [9; 5]))), None, "nothing happens any more");
    }

    #[test]
    fn one_line_is_for_all_shards() {
        let counters: Arc<[Arc<Counters>]> = (0..3).map(|_| Arc::default()).collect();
        counters.iter().for_each(|shard| shard.limited_memory.add(2));
        counters[1].memory_step.set(2);
        counters[2].memory_step.set(1);
        let ledger = Ledger::new(Arc::clone(&counters), Budget::new(1), Budget::new(1));
        let sight = Sight::of(&Memory { ledger, memory_max: MIB }, &counters);
        assert_eq!((sight.step, sight.done), (2, [0, 6, 0, 0, 0]));
    }
}
