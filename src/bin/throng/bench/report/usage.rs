//! CPU use of the server and the generator between two times, and whether the generator was the limit.
//!
//! Invariant: a figure per message is valid only if the generator had CPU left, so every report has its CPU use.
//! Left out: reading /proc.

use std::collections::BTreeSet;
use std::io;

use crate::bench::args::Common;
use crate::bench::clock;
use crate::bench::connections::state::RunState;
use crate::bench::report::probe::{self, Cpu};
use throng::parts::net::sys;

/// Above this share of a core a thread counts as saturated: the rest is lost to the kernel and to other threads.
const SATURATED: f64 = 0.9;

/// The minimum period for the share of a core, if no connection could be opened and nothing was measured.
const SHORTEST_NS: u64 = 50_000_000;

/// CPU times at one time.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    at_ns: u64,
    server: Option<Cpu>,
    generator: Vec<u64>,
    /// Messages counted by all lanes so far.
    messages: u64,
    /// Bytes received by all lanes so far.
    bytes: u64,
    /// Connections ready so far.
    ready: u64,
}

impl Mark {
    /// The start of the run of `state`, with the server's CPU time until then.
    pub(crate) fn beginning(server: Option<Cpu>, state: &RunState) -> Self {
        let generator = vec![0; state.lanes.len()];
        Self { at_ns: 0, server, generator, messages: 0, bytes: 0, ready: 0 }
    }

    /// # Errors
    /// A sentence, if the server's process cannot be read.
    pub(crate) fn take(state: &RunState, pids: &[u32]) -> Result<Self, String> {
        let server = Cpu::read(pids).map_err(|e: io::Error| format!("--pid: {e}"))?;
        let threads = state.lanes.iter().chain([&state.director]);
        Ok(Self {
            at_ns: state.clock.now_ns(),
            server,
            generator: threads
                .map(|lane| lane.thread().and_then(probe::own_thread_cpu_ns).unwrap_or(0))
                .collect(),
            messages: state.sum(|lane| &lane.messages),
            bytes: state.sum(|lane| &lane.bytes),
            ready: state.sum(|lane| &lane.ready),
        })
    }
}

/// The difference of two marks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) ready: u64,
    /// CPU time of the server, all threads.
    pub(crate) server_ns: Option<u64>,
    /// Share of a core that the server's busiest thread used.
    pub(crate) server_busiest: Option<f64>,
    /// Share of a core that the generator's busiest thread used.
    pub(crate) generator_busiest: f64,
    /// Share that the generator used of all cores available to it.
    pub(crate) generator_total: f64,
}

impl Usage {
    pub(crate) fn between(from: &Mark, to: &Mark, common: &Common) -> Self {
        let wall_ns = (to.at_ns - from.at_ns).max(SHORTEST_NS);
        let share = |ns: u64| ns as f64 / wall_ns as f64;
        let server = to.server.as_ref().zip(from.server.as_ref());
        let used: Vec<u64> =
            to.generator.iter().zip(&from.generator).map(|(a, b)| a.saturating_sub(*b)).collect();
        let pinned: BTreeSet<_> = common.pin.iter().collect();
        let cores = if pinned.is_empty() {
            sys::allowed_cores().map_or(1, |cores| cores.len())
        } else {
            pinned.len()
        };
        Self {
            seconds: clock::seconds(wall_ns),
            messages: to.messages - from.messages,
            bytes: to.bytes - from.bytes,
            ready: to.ready - from.ready,
            server_ns: server.map(|(to, from)| to.used_since(from)),
            server_busiest: server.map(|(to, from)| share(to.busiest_since(from))),
            generator_busiest: share(used.iter().copied().max().unwrap_or(0)),
            generator_total: share(used.iter().sum()) / cores.max(1) as f64,
        }
    }

    /// Whether the generator had no CPU left.
    pub(crate) fn generator_was_the_limit(&self) -> bool {
        self.generator_busiest > SATURATED || self.generator_total > SATURATED
    }

    /// The remark in that case.
    pub(crate) fn remark(&self) -> &'static str {
        match self.server_busiest {
            Some(share) if share > SATURATED => "The load generator was at its limit, and so was the server.",
            _ => "The load generator was the limit: the server could have done more.",
        }
    }

    /// CPU time of the server, divided by `count`, in microseconds.
    pub(crate) fn server_us_per(&self, count: u64) -> Option<f64> {
        self.server_ns.filter(|_| count > 0).map(|ns| ns as f64 / 1e3 / count as f64)
    }

    /// `count` per second.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::args::Args;
    use clap::FromArgMatches;

    fn common(pin: &str) -> Common {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("bench"));
        let matches = command.get_matches_from(["bench", "echo", "--pin", pin]);
        let crate::bench::args::Scenario::Echo(echo) = Args::from_arg_matches(&matches).unwrap().scenario
        else {
            unreachable!()
        };
        echo.common
    }

    #[test]
    fn a_saturated_generator_is_noticed_also_when_its_threads_share_a_core() {
        let mark = |at_ns, generator: &[u64]| Mark {
            at_ns,
            server: None,
            generator: generator.to_vec(),
            messages: at_ns / 100,
            bytes: 0,
            ready: 0,
        };
        let usage = |ms: u64, busy_ms: [u64; 2], pin| {
            let busy = busy_ms.map(|ms| ms * 1_000_000);
            Usage::between(&mark(0, &[0; 2]), &mark(ms * 1_000_000, &busy), &common(pin))
        };
        assert!(usage(1000, [950, 0], "0,1").generator_was_the_limit());
        assert!(usage(1000, [480, 470], "1,1").generator_was_the_limit());
        assert!(!usage(1000, [480, 470], "0,1").generator_was_the_limit());
        assert!(!usage(0, [1, 1], "0,1").generator_was_the_limit(), "nothing was measured");
        let seen = usage(1000, [500, 100], "1");
        assert_eq!((seen.messages, seen.server_us_per(10)), (10_000_000, None));
        assert!((seen.per_second(10) - 10.0).abs() < 1e-6);
    }
}
