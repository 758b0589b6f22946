//! `throng bench handshakes`: what it costs to open a connection and close it.
//!
//! Left out: connections.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::args::{self, Target};
use super::board::Board;
use super::churn::{Churn, Findings};
use super::clock;
use super::crew::{self, Refusal};
use super::findings::{Failures, Latency};
use super::held::Schedule;
use super::progress::Progress;
use super::report::{Report, Unit};
use super::script::Script;
use super::usage::{Mark, Usage};
use throng::parts::net::sys;

const TICK: Duration = Duration::from_millis(10);
/// No channel, no publications.
const NO_DATA: usize = 0;

/// Runs the scenario and prints its report; whether nothing failed.
pub(super) fn run(args: &args::Handshakes) -> Result<bool, Refusal> {
    run_at(args).map(|(ok, _)| ok)
}

/// The same, with the target, which knows how its TLS handshakes went.
pub(super) fn run_at(args: &args::Handshakes) -> Result<(bool, Target), Refusal> {
    let target = args.common.target("/echo").map_err(Refusal::Arguments)?;
    if args.tcp && args.ending == args::Ending::Goodbye {
        return Err(Refusal::Arguments("--ending goodbye is a WebSocket's: not with --tcp".to_owned()));
    }
    let script = Script::new(target, args.tcp, None, NO_DATA);
    let threads = usize::from(args.common.threads);
    let each = (args.concurrency as usize).div_ceil(threads);
    sys::raise_descriptor_limit().map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    let board = Board::new(threads);
    let (usage, found) = crew::run(
        &board,
        &args.common.pin,
        |_, lane| {
            let rate = args.rate.map(|rate| rate / threads as f64);
            let churn = Churn::new(&script, &board, lane, args.ending, rate, args.common.timeout_ns());
            churn.and_then(|churn| churn.run(each)).map_err(|e| format!("poller: {e}"))
        },
        || measure(args, &script, &board),
    )?;
    Ok((report(args, &script, &board, &usage, found), script.target))
}

fn measure(args: &args::Handshakes, script: &Script, board: &Board) -> Result<Usage, String> {
    let mut progress = Progress::new(board.clock, "handshakes");
    let mut wait = |until_ns: u64| {
        while board.clock.now_ns() < until_ns && !board.stopped() {
            let (ready, failed) = (board.sum(|lane| &lane.ready), board.sum(|lane| &lane.failed));
            progress.tick(|| format!("{ready} handshakes, {failed} failed"));
            board.clock.sleep_for(TICK);
        }
    };
    let warm_ns = board.clock.now_ns() + clock::ns(args.warmup);
    wait(warm_ns);
    let from = Mark::take(board, &args.common.pid)?;
    if let Some(tls) = &script.target.tls {
        tls.tally.reset();
    }
    board.recording.store(true, Relaxed);
    wait(warm_ns + clock::ns(args.seconds));
    Ok(Usage::between(&from, &Mark::take(board, &args.common.pid)?, &args.common))
}

fn report(
    args: &args::Handshakes,
    script: &Script,
    board: &Board,
    usage: &Usage,
    found: Vec<Findings>,
) -> bool {
    let (mut failures, mut latency) = (Failures::default(), Latency::new());
    for findings in found {
        failures.merge(findings.failures);
        latency.merge(&findings.handshakes);
    }
    let mut report = Report::new("handshakes", &script.target, board.lanes.len());
    report.set("rate", args.rate.into());
    report.count("connections", "under way at a time", args.concurrency.into(), "");
    report.count("handshakes", "handshakes", usage.ready, "");
    report.count("failed", "failed", board.sum(|lane| &lane.failed), "");
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
