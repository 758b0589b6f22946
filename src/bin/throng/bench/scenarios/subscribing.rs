//! An audience and its director, common to `idle` and `fanout`: from the first connection to the figures about
//! opening.
//!
//! The invariant: memory is read before the first connection and after the last, with nothing else in between.
//! Left out: the use of the open connections.

use std::time::Duration;

use crate::bench::args::{self, Common, Transport};
use crate::bench::clock;
use crate::bench::connections::audience::{self, Audience, Findings};
use crate::bench::connections::plan;
use crate::bench::connections::pollers::{Course, Pollers};
use crate::bench::connections::state::RunState;
use crate::bench::connections::workers::{self, Refusal};
use crate::bench::messages::script::Script;
use crate::bench::report::probe::Memory;
use crate::bench::report::progress::Progress;
use crate::bench::report::usage::Mark;
use crate::bench::report::{Report, Unit};
use throng::parts::net::sys;

/// With more threads than this per core, threads pause between two polls, for this long.
const CROWDED: usize = 4;
const PAUSE_MS: u16 = 10;
const TICK: Duration = Duration::from_millis(20);
/// Time for the server's work (replies, timers) after the last connection.
const SETTLE: Duration = Duration::from_millis(500);

/// The open audience, as the director uses it.
pub(crate) struct Scene<'a> {
    pub(crate) script: &'a Script,
    pub(crate) state: &'a RunState,
    pub(crate) common: &'a Common,
    pub(crate) progress: Progress,
    pub(crate) opened: Opened,
}

/// The results of opening the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opened {
    pub(crate) threads: usize,
    pause_ms: u16,
    wanted: u64,
    pub(crate) count: u64,
    failed: u64,
    seconds: f64,
    /// Of these, the time after all were connected.
    pub(crate) encore_seconds: Option<f64>,
    before: Memory,
    after: Memory,
}

/// Opens the connections of `opening`, runs `play` as the director, and returns its result and those of the
/// threads.
///
/// # Errors
/// Invalid arguments, or the failure of the run.
pub(crate) fn perform<R>(
    name: &'static str,
    common: &Common,
    opening: &args::Opening,
    script: &Script,
    play: impl FnOnce(&mut Scene<'_>) -> Result<R, String>,
) -> Result<(R, Findings, RunState), Refusal> {
    let limit = sys::raise_descriptor_limit().or_else(|_| sys::descriptor_limit().map(|(soft, _)| soft));
    let limit = limit.map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    let wanted = opening.connections as usize;
    let shares = plan::shares(wanted, common.threads.into(), limit).map_err(Refusal::Arguments)?;
    let crowded = shares.len() > CROWDED * sys::allowed_cores().map_or(1, |cores| cores.len().max(1));
    let pause_ms = opening.pause.unwrap_or(if crowded { PAUSE_MS } else { 0 });
    let state = RunState::new(shares.len());
    let before = Memory::read(&common.pid);
    let part = |index: usize| audience::Opening {
        share: shares[index],
        concurrency: (opening.concurrency as usize / shares.len()).max(1),
        rate: opening.connect_rate.map(|rate| rate / shares.len() as f64),
        timeout_ns: common.timeout_ns(),
        pause: Duration::from_millis(pause_ms.into()),
        comeback: None,
    };
    let (played, found) = workers::run(
        &state,
        &common.pin,
        |index, lane| {
            let found = if common.transport == Transport::Polling {
                let pollers = Pollers::new(script, &state, lane, part(index), Course::Hold);
                pollers.and_then(Pollers::run).map(|found| Findings {
                    failures: found.failures,
                    opening: found.opening,
                    ..Findings::new()
                })
            } else {
                Audience::new(script, &state, lane, part(index)).and_then(Audience::run)
            };
            found.map_err(|e| format!("poller: {e}"))
        },
        || {
            let opened = Opened {
                threads: shares.len(),
                pause_ms,
                wanted: wanted as u64,
                before,
                ..Opened::default()
            };
            let progress = Progress::new(state.clock, name);
            let mut scene = Scene { script, state: &state, common, progress, opened };
            scene.open();
            play(&mut scene)
        },
    )?;
    let mut merged = Findings::new();
    for findings in found {
        merged.merge(findings);
    }
    Ok((played, merged, state))
}

/// Adds missing deliveries (`missing`: if anything was published) and failures, and prints the report. Returns
/// whether there were none.
pub(crate) fn conclude(
    mut report: Report,
    common: &Common,
    state: &RunState,
    findings: &Findings,
    missing: Option<u64>,
) -> bool {
    let (gaps, behind) = (state.sum(|lane| &lane.gaps), state.sum(|lane| &lane.behind));
    if let Some(missing) = missing {
        report.count("gaps", "gaps", gaps, "");
        report.count("out_of_order", "out of order", behind, "");
        report.count("missing", "missing", missing, "");
    }
    report.failures(&findings.failures);
    let ok = findings.failures.is_empty() && gaps + behind + missing.unwrap_or(0) == 0;
    report.print(common, ok)
}

impl Scene<'_> {
    /// Waits until every connection is open or has failed.
    fn open(&mut self) {
        let Self { state, common, opened, .. } = *self;
        loop {
            let ready = state.sum(|lane| &lane.ready);
            let failed = state.sum(|lane| &lane.failed);
            if ready + failed >= opened.wanted || state.stopped() {
                break;
            }
            let waiting = state.sum(|lane| &lane.waiting);
            if waiting > 0 && waiting + failed >= opened.wanted && state.released_at_ns().is_none() {
                state.release();
            }
            self.progress.tick(|| {
                let rate = ready as f64 / clock::seconds(state.clock.now_ns()).max(0.001);
                format!("{ready} of {} open, {failed} failed, {rate:.0}/s", opened.wanted)
            });
            state.clock.sleep_for(TICK);
        }
        state.clock.sleep_for(SETTLE);
        let last_at_ns = state.lanes.iter().map(|lane| lane.ready_at_ns.value()).max().unwrap_or(0);
        self.opened.count = state.sum(|lane| &lane.ready);
        self.opened.failed = state.sum(|lane| &lane.failed);
        self.opened.seconds = clock::seconds(last_at_ns);
        let since = |at_ns: u64| clock::seconds(last_at_ns.saturating_sub(at_ns));
        self.opened.encore_seconds = state.released_at_ns().map(since);
        self.opened.after = Memory::read(&common.pid);
    }

    /// Holds the connections for `seconds`.
    pub(crate) fn hold(&mut self, seconds: f64) {
        let until_ns = self.state.clock.now_ns() + clock::ns(seconds);
        while self.state.clock.now_ns() < until_ns && !self.state.stopped() {
            let state = self.state;
            self.progress.tick(|| {
                let (lost, beats) = (state.sum(|lane| &lane.lost), state.sum(|lane| &lane.heartbeats));
                format!("holding {}, {lost} lost, {beats} heartbeats answered", state.audience())
            });
            let left_ns = until_ns.saturating_sub(state.clock.now_ns());
            state.clock.sleep_for(TICK.min(Duration::from_nanos(left_ns)));
        }
    }

    /// The present CPU times of server and generator.
    ///
    /// # Errors
    /// The server's process has ended.
    pub(crate) fn mark(&self) -> Result<Mark, String> {
        Mark::take(self.state, &self.common.pid)
    }
}

impl Opened {
    /// Seconds from the first dial to the last ready connection.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Adds the figures about opening to the report.
    pub(crate) fn report(&self, report: &mut Report, findings: &Findings) {
        let per_connection = |before: Option<u64>, after: Option<u64>| {
            let growth = after? as f64 - before? as f64;
            (self.count > 0).then(|| growth / self.count as f64)
        };
        let bytes = |value: Option<u64>| value.map(|bytes| bytes as f64);
        report.count("connections", "connections", self.wanted, "");
        report.count("opened", "opened", self.count, "");
        report.count("failed", "failed", self.failed, "");
        report.figure("open_seconds", "opened within", Unit::Seconds, Some(self.seconds), "");
        let rate = Some(self.count as f64 / self.seconds.max(1e-9));
        report.figure("open_per_second", "rate of opening", Unit::PerSecond, rate, "");
        report.set("pause_ms", self.pause_ms.into());
        if self.pause_ms > 0 {
            report.remark(format!(
                "Latencies contain up to {} ms in which threads let events gather.",
                self.pause_ms
            ));
        }
        report.latency("open_latency", "time to open", findings.opening.summary());
        let (before, after) = (self.before, self.after);
        report.figure(
            "server_rss_before_bytes",
            "server memory before",
            Unit::Bytes,
            bytes(before.server),
            "resident",
        );
        report.figure("server_rss_after_bytes", "server memory open", Unit::Bytes, bytes(after.server), "");
        let (key, label) = ("server_rss_per_connection_bytes", "server memory / connection");
        report.figure(key, label, Unit::Bytes, per_connection(before.server, after.server), "");
        let (key, label) = ("server_anonymous_per_connection_bytes", "of that, not of files");
        let anonymous = per_connection(before.server_anonymous, after.server_anonymous);
        report.figure(key, label, Unit::Bytes, anonymous, "without the program's own pages");
        let (key, label) = ("slab_per_pair_bytes", "kernel slab / connection");
        report.figure(
            key,
            label,
            Unit::Bytes,
            per_connection(before.slab, after.slab),
            "both ends, if both are here",
        );
        let (key, label) = ("generator_rss_per_connection_bytes", "generator memory / connection");
        report.figure(key, label, Unit::Bytes, per_connection(before.own, after.own), "");
    }
}
