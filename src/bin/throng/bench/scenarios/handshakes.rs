//! `throng bench handshakes`: the cost of opening and closing a connection.
//!
//! Left out: connections.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::bench::args::{self, Protocol, Target, Transport};
use crate::bench::clock;
use crate::bench::connections::audience::Opening;
use crate::bench::connections::plan::Share;
use crate::bench::connections::pollers::{Course, Pollers};
use crate::bench::connections::reconnects::{Findings, Reconnects};
use crate::bench::connections::state::RunState;
use crate::bench::connections::workers::{self, Refusal};
use crate::bench::messages::script::Script;
use crate::bench::report::findings::{Failures, Latency};
use crate::bench::report::held::Schedule;
use crate::bench::report::progress::Progress;
use crate::bench::report::usage::{Mark, Usage};
use crate::bench::report::{Report, Unit};
use throng::parts::net::sys;

const TICK: Duration = Duration::from_millis(10);
/// No channel, no publications.
const NO_DATA: usize = 0;

/// Runs the scenario and prints its report; returns whether nothing failed.
pub(crate) fn run(args: &args::Handshakes) -> Result<bool, Refusal> {
    run_at(args).map(|(ok, _)| ok)
}

/// As [`run`], and also returns the target, which has counts of its TLS handshakes.
pub(crate) fn run_at(args: &args::Handshakes) -> Result<(bool, Target), Refusal> {
    let target = args.common.target("/echo").map_err(Refusal::Arguments)?;
    if args.tcp && args.ending == args::Ending::Goodbye {
        return Err(Refusal::Arguments("--ending goodbye needs WebSocket and excludes --tcp".to_owned()));
    }
    if target.protocol == Protocol::Socketio && args.tcp {
        return Err(Refusal::Arguments("--protocol socketio: not with --tcp".to_owned()));
    }
    let is_polling = args.common.transport != Transport::Websocket;
    if is_polling && args.ending != args::Ending::Close {
        return Err(Refusal::Arguments("--ending: not for sessions that begin with polling".to_owned()));
    }
    let script = Script::new(target, args.tcp, None, NO_DATA);
    let threads = usize::from(args.common.threads);
    let each = (args.concurrency as usize).div_ceil(threads);
    sys::raise_descriptor_limit().map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    let state = RunState::new(threads);
    let (usage, found) = workers::run(
        &state,
        &args.common.pin,
        |_, lane| {
            let rate = args.rate.map(|rate| rate / threads as f64);
            if is_polling {
                let share = Share { first: 0, count: each };
                let opening = Opening { rate, ..Opening::at_once(share, args.common.timeout_ns()) };
                let course = Course::Churn { upgrade: args.common.transport == Transport::Upgrade };
                let pollers = Pollers::new(&script, &state, lane, opening, course);
                let found = pollers.and_then(Pollers::run).map_err(|e| format!("poller: {e}"))?;
                return Ok(Findings { failures: found.failures, handshakes: found.served });
            }
            let reconnects =
                Reconnects::new(&script, &state, lane, args.ending, rate, args.common.timeout_ns());
            reconnects.and_then(|reconnects| reconnects.run(each)).map_err(|e| format!("poller: {e}"))
        },
        || measure(args, &script, &state),
    )?;
    Ok((report(args, &script, &state, &usage, found), script.target))
}

fn measure(args: &args::Handshakes, script: &Script, state: &RunState) -> Result<Usage, String> {
    let mut progress = Progress::new(state.clock, "handshakes");
    let mut wait = |until_ns: u64| {
        while state.clock.now_ns() < until_ns && !state.stopped() {
            let (ready, failed) = (state.sum(|lane| &lane.ready), state.sum(|lane| &lane.failed));
            progress.tick(|| format!("{ready} handshakes, {failed} failed"));
            state.clock.sleep_for(TICK);
        }
    };
    let warm_ns = state.clock.now_ns() + clock::ns(args.period.warmup);
    wait(warm_ns);
    let from = Mark::take(state, &args.common.pid)?;
    if let Some(tls) = &script.target.tls {
        tls.tally.reset();
    }
    state.recording.store(true, Relaxed);
    wait(warm_ns + clock::ns(args.period.seconds));
    Ok(Usage::between(&from, &Mark::take(state, &args.common.pid)?, &args.common))
}

fn report(
    args: &args::Handshakes,
    script: &Script,
    state: &RunState,
    usage: &Usage,
    found: Vec<Findings>,
) -> bool {
    let (mut failures, mut latency) = (Failures::default(), Latency::new());
    for findings in found {
        failures.merge(findings.failures);
        latency.merge(&findings.handshakes);
    }
    let mut report = Report::new("handshakes", &script.target, state.lanes.len());
    report.set("rate", args.rate.into());
    report.count("connections", "under way at a time", args.concurrency.into(), "");
    report.count("handshakes", "handshakes", usage.ready, "");
    report.count("failed", "failed", state.sum(|lane| &lane.failed), "");
    let rate = Some(usage.per_second(usage.ready));
    report.figure("handshakes_per_second", "rate of handshakes", Unit::PerSecond, rate, "");
    let (key, label) = ("server_cpu_us_per_handshake", "server CPU / handshake");
    report.figure(key, label, Unit::Microseconds, usage.server_us_per(usage.ready), "with its close");
    report.durations(args.rate.is_some(), latency.summary());
    if let Some(rate) = args.rate {
        let came = Some((usage.ready, usage.seconds));
        report.schedule(&Schedule { rate, came, latency: latency.summary(), ..Schedule::default() });
    }
    report.usage(usage);
    report.failures(&failures);
    let ok = failures.is_empty() && usage.ready > 0;
    report.print(&args.common, ok)
}
