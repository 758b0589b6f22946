//! `throng bench echo`: what one message in and one message out cost.
//!
//! Over `--tcp` the client sends as many bytes as a masked frame has (6 to 14 more than the payload), and the bare
//! program returns all of them, 4 more than a WebSocket server, whose frames have no mask: the difference is
//! to the bare program's disadvantage and below what can be measured. Left out: connections and checks.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::args;
use super::board::Board;
use super::clock;
use super::crew::{self, Refusal};
use super::echoes::Ring;
use super::findings::{Failures, Latency};
use super::plan;
use super::progress::Progress;
use super::report::{Report, Unit};
use super::script::Script;
use super::usage::{Mark, Usage};
use super::volley::{Findings, Volley};
use crate::net::sys;

const TICK: Duration = Duration::from_millis(10);
/// No channel, no publications.
const NO_DATA: usize = 0;

/// Runs the scenario and prints its report; whether nothing failed.
pub(super) fn run(args: &args::Echo) -> Result<bool, Refusal> {
    let target = args.common.target("/echo").map_err(Refusal::Arguments)?;
    let script = Script::new(target, args.tcp, None, NO_DATA);
    let (size, in_flight) = (args.size as usize, args.in_flight as usize);
    let ring = Ring::new(size, in_flight, args.text, args.tcp);
    let limit =
        sys::raise_descriptor_limit().map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    let threads = args.common.threads.into();
    let shares = plan::shares(args.connections as usize, threads, limit).map_err(Refusal::Arguments)?;
    let board = Board::new(shares.len());
    let (usage, found) = crew::run(
        &board,
        &args.common.pin,
        |index, lane| {
            let volley = Volley::new(&script, &board, lane, &ring, in_flight);
            volley
                .and_then(|v| v.run(shares[index], args.common.timeout_ns()))
                .map_err(|e| format!("poller: {e}"))
        },
        || measure(args, &board),
    )?;
    Ok(report(args, &script, &board, &usage, found))
}

fn measure(args: &args::Echo, board: &Board) -> Result<Usage, String> {
    let mut progress = Progress::new(board.clock, "echo");
    let mut wait = |until: &dyn Fn() -> bool| {
        while !until() && !board.stopped() {
            progress.tick(|| format!("{} messages echoed", board.sum(|lane| &lane.messages)));
            board.clock.sleep_for(TICK);
        }
    };
    let settled = || board.sum(|lane| &lane.ready) + board.sum(|lane| &lane.failed);
    wait(&|| settled() >= args.connections.into());
    let warm_ns = board.clock.now_ns() + clock::ns(args.warmup);
    wait(&|| board.clock.now_ns() >= warm_ns);
    let from = Mark::take(board, &args.common.pid)?;
    board.recording.store(true, Relaxed);
    let until_ns = warm_ns + clock::ns(args.seconds);
    wait(&|| board.clock.now_ns() >= until_ns);
    Ok(Usage::between(&from, &Mark::take(board, &args.common.pid)?, &args.common))
}

fn report(args: &args::Echo, script: &Script, board: &Board, usage: &Usage, found: Vec<Findings>) -> bool {
    let (mut failures, mut opening, mut echoes) = (Failures::default(), Latency::new(), Latency::new());
    for findings in found {
        failures.merge(findings.failures);
        opening.merge(&findings.opening);
        echoes.merge(&findings.echoes);
    }
    let mut report = Report::new("echo", &script.target.url, board.lanes.len());
    report.count("connections", "connections", args.connections.into(), "");
    report.count("opened", "opened", board.sum(|lane| &lane.ready), "");
    report.count("failed", "failed", board.sum(|lane| &lane.failed), "");
    report.count("lost", "lost", board.sum(|lane| &lane.lost), "");
    report.latency("open_latency", "time to open", opening.summary());
    report.count("size_bytes", "bytes / message", args.size.into(), "");
    report.count("in_flight", "in flight / connection", args.in_flight.into(), "");
    report.count("messages", "messages", usage.messages, "");
    let rate = Some(usage.per_second(usage.messages));
    report.figure("messages_per_second", "rate of messages", Unit::PerSecond, rate, "");
    let cpu = usage.server_us_per(usage.messages);
    report.figure("server_cpu_us_per_message", "server CPU / message", Unit::Microseconds, cpu, "");
    report.latency("latency", "latency", echoes.summary());
    report.usage(usage);
    report.failures(&failures);
    let ok = failures.is_empty() && usage.messages > 0;
    report.print(&args.common, ok);
    ok
}
