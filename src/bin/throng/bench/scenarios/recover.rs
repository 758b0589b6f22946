//! `throng bench recover`: clients reconnect all at once and recover missed publications.
//!
//! Three steps: all clients subscribe and disconnect; publications are sent without subscribers; all clients
//! reconnect, wait for the last of them, and then recover at the same time. The invariant: a client counts as
//! recovered only if it has every missed publication once and in order, and later publications must continue the
//! sequence. Left out: opening and counting, see `subscribing`.

use crate::bench::args;
use crate::bench::connections::audience::Findings;
use crate::bench::connections::plan;
use crate::bench::connections::state::RunState;
use crate::bench::connections::tokens::Tokens;
use crate::bench::connections::workers::Refusal;
use crate::bench::messages::publisher::Publisher;
use crate::bench::messages::script::{CENTRIFUGE_PATH, Position, Script, Subscriptions};
use crate::bench::report::probe::Cpu;
use crate::bench::report::progress::Progress;
use crate::bench::report::usage::{Mark, Usage};
use crate::bench::report::{Report, Unit};
use crate::bench::scenarios::subscribing::{self, Opened};

struct Played {
    opened: Opened,
    usage: Usage,
    missing: u64,
}

/// Runs the scenario and prints its report; returns whether nothing failed.
pub(crate) fn run(args: &args::Recover) -> Result<bool, Refusal> {
    let target = args.common.target_without_socketio(CENTRIFUGE_PATH).map_err(Refusal::Arguments)?;
    let tokens = Tokens::new(&args.identity).map_err(Refusal::Arguments)?;
    let subscriptions = Subscriptions::One { channel: args.channel.clone(), recoverable: true };
    let script = Script::of(target, false, subscriptions, tokens, args.data.size as usize);
    let (first_seconds, from) = leave(args, &script)?;
    publish_unheard(args, &script).map_err(Refusal::Failure)?;
    let first = plan::after_held(args.opening.connections as usize);
    let script = script.returning(&args.channel, &from, first);
    let (played, findings, state) = come_back(args, &script)?;
    Ok(report(args, &script, first_seconds, &played, &findings, &state))
}

/// The first step; returns the seconds until all were subscribed, and the stream's position.
fn leave(args: &args::Recover, script: &Script) -> Result<(f64, Position), Refusal> {
    let (opened, findings, state) =
        subscribing::perform("subscribe", &args.common, &args.opening, script, |scene| Ok(scene.opened))?;
    if let Some((cause, count)) = findings.failures.each().next() {
        return Err(Refusal::Failure(format!("{count} connections could not subscribe: {cause}")));
    }
    let position = state.position.get().cloned();
    let position = position.ok_or_else(|| {
        Refusal::Failure(format!("{}: no position; nothing can be recovered there", args.channel))
    })?;
    Ok((opened.seconds(), position))
}

/// The second step.
fn publish_unheard(args: &args::Recover, script: &Script) -> Result<(), String> {
    let state = RunState::new(1);
    let mut publisher = Publisher::connect(script, &state, &args.channel, args.common.timeout_ns())?;
    publisher.publish_surely(args.missed, args.common.timeout_ns())
}

/// The third step.
fn come_back(args: &args::Recover, script: &Script) -> Result<(Played, Findings, RunState), Refusal> {
    let before = Cpu::read(&args.common.pid).map_err(|e| Refusal::Failure(format!("--pid: {e}")))?;
    subscribing::perform("recover", &args.common, &args.opening, script, |scene| {
        let from = Mark::beginning(before, scene.state);
        let usage = Usage::between(&from, &scene.mark()?, scene.common);
        let mut played = Played { opened: scene.opened, usage, missing: 0 };
        if scene.opened.count > 0 && args.more > 0 {
            let timeout_ns = scene.common.timeout_ns();
            let mut publisher = Publisher::connect(scene.script, scene.state, &args.channel, timeout_ns)?;
            publisher.go_on_from(args.missed);
            let mut progress = Progress::new(scene.state.clock, "recover");
            publisher.saturate(1, u64::MAX, args.more, &mut progress)?;
            publisher.settle(&mut progress)?;
            played.missing = publisher.outstanding();
        }
        Ok(played)
    })
}

fn report(
    args: &args::Recover,
    script: &Script,
    first_seconds: f64,
    played: &Played,
    findings: &Findings,
    state: &RunState,
) -> bool {
    let mut report = Report::new("recover", &script.target, played.opened.threads);
    report.count("missed", "publications missed", args.missed.into(), "by each connection");
    let (key, label) = ("first_open_seconds", "first time, subscribed within");
    report.figure(key, label, Unit::Seconds, Some(first_seconds), "");
    played.opened.report(&mut report, findings);
    report.count("recovered", "recovered", played.opened.count, "all that they missed, once and in order");
    let (key, label) = ("recover_seconds", "recovered within");
    let note = "from when all were connected again";
    report.figure(key, label, Unit::Seconds, played.opened.encore_seconds, note);
    let cpu = played.usage.server_us_per(played.opened.count);
    let (key, label) = ("server_cpu_us_per_recovery", "server CPU / connection");
    report.figure(key, label, Unit::Microseconds, cpu, "handshake and recovery");
    report.count("publications", "publications afterwards", args.more.into(), "");
    let lost = state.sum(|lane| &lane.lost);
    report.count("lost", "lost", lost, "");
    report.usage(&played.usage);
    subscribing::conclude(report, &args.common, state, findings, Some(played.missing))
}
