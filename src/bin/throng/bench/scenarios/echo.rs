//! `throng bench echo`, `rpc` and `publish`: the cost of one message in and one message out.
//!
//! With `--tcp` the client sends as many bytes as a masked frame has (6 to 14 more than the payload), and the bare
//! program returns all of them, 4 more than a WebSocket server, whose frames have no mask: the difference is to
//! the bare program's disadvantage and too small to be measured. Left out: connections and checks.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::bench::args::{self, Common, Period, Protocol, Transport};
use crate::bench::clock;
use crate::bench::connections::audience;
use crate::bench::connections::plan::{self, Share};
use crate::bench::connections::pollers::{Course, Pollers};
use crate::bench::connections::senders::{Findings, Pace, Senders};
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::tokens::{Identity, Tokens};
use crate::bench::connections::workers::{self, Refusal};
use crate::bench::messages::replies::{Ring, Talk};
use crate::bench::messages::script::{CENTRIFUGE_PATH, Script, Subscriptions};
use crate::bench::report::findings::Latency;
use crate::bench::report::held::Schedule;
use crate::bench::report::progress::Progress;
use crate::bench::report::usage::{Mark, Usage};
use crate::bench::report::{Report, Unit};
use throng::parts::net::sys;

const TICK: Duration = Duration::from_millis(10);
/// No channel, no publications.
const NO_DATA: usize = 0;
/// Maximum of messages in flight per connection on a schedule.
const SCHEDULED_MAX: usize = 256;

/// The common parameters of the three.
struct Play<'a> {
    name: &'static str,
    connections: u32,
    size: u32,
    in_flight: usize,
    rate: Option<f64>,
    period: Period,
    common: &'a Common,
}

/// Runs the scenario and prints its report; returns whether nothing failed.
pub(crate) fn run(args: &args::Echo) -> Result<bool, Refusal> {
    let target = args.common.target("/echo").map_err(Refusal::Arguments)?;
    let is_socketio = target.protocol == Protocol::Socketio;
    let is_polling = args.common.transport == Transport::Polling;
    match args.common.transport {
        Transport::Upgrade => {
            return Err(Refusal::Arguments("--transport upgrade: only for handshakes".to_owned()));
        }
        Transport::Polling if args.in_flight > 1 || args.rate.is_some() => {
            let text = "--transport polling: one event in flight, and no --rate";
            return Err(Refusal::Arguments(text.to_owned()));
        }
        Transport::Polling | Transport::Websocket => {}
    }
    if is_socketio && (args.tcp || args.text || args.size < 2) {
        let text = "--protocol socketio: events are JSON of 2 bytes at least, without --tcp and --text";
        return Err(Refusal::Arguments(text.to_owned()));
    }
    let script = Script::new(target, args.tcp, None, NO_DATA);
    let talk = match () {
        () if is_socketio => Talk::Event,
        () if args.tcp => Talk::Tcp,
        () => Talk::Echo { is_text: args.text },
    };
    let in_flight = if args.rate.is_some() { SCHEDULED_MAX } else { args.in_flight as usize };
    let play = Play {
        name: "echo",
        connections: args.connections,
        size: args.size,
        in_flight,
        rate: args.rate,
        period: args.period,
        common: &args.common,
    };
    if is_polling { poll(&play, &script) } else { perform(&play, &script, &talk) }
}

/// Measures events of Socket.IO over HTTP long-polling: a POST and a GET each.
fn poll(play: &Play<'_>, script: &Script) -> Result<bool, Refusal> {
    let course = Course::Echo { size: play.size as usize };
    divided(play, script, |state, lane, share| {
        let timeout_ns = play.common.timeout_ns();
        let opening = audience::Opening::at_once(share, timeout_ns);
        let found = Pollers::new(script, state, lane, opening, course)?.run()?;
        let echoes = [found.served, Latency::new()];
        Ok(Findings { failures: found.failures, opening: found.opening, echoes })
    })
}

/// Measures calls (RPC): each is sent after the previous answer.
pub(crate) fn call(args: &args::Rpc) -> Result<bool, Refusal> {
    let script = client(&args.common, &args.identity)?;
    let play = Play {
        name: "rpc",
        connections: args.connections,
        size: args.bytes,
        in_flight: 1,
        rate: None,
        period: args.period,
        common: &args.common,
    };
    perform(&play, &script, &Talk::Call)
}

/// Measures publications: each is sent after the previous answer.
pub(crate) fn publish(args: &args::Publish) -> Result<bool, Refusal> {
    let channel = args.channel.clone();
    let (script, talk) = if args.api {
        let target = args.common.target_without_socketio("/api/publish").map_err(Refusal::Arguments)?;
        let (host, path) = (target.host.clone(), target.path.clone());
        let talk = Talk::Post { host, path, key: args.api_key.clone(), channel };
        (Script::new(target, true, None, NO_DATA), talk)
    } else {
        (client(&args.common, &args.identity)?, Talk::Publish { channel })
    };
    let play = Play {
        name: "publish",
        connections: args.connections,
        size: args.size,
        in_flight: 1,
        rate: None,
        period: args.period,
        common: &args.common,
    };
    perform(&play, &script, &talk)
}

/// Clients of the Centrifuge protocol that subscribe to nothing.
fn client(common: &Common, identity: &Identity) -> Result<Script, Refusal> {
    let target = common.target_without_socketio(CENTRIFUGE_PATH).map_err(Refusal::Arguments)?;
    if !target.path.ends_with(CENTRIFUGE_PATH) {
        return Err(Refusal::Arguments(format!(
            "{}: not an endpoint of the Centrifuge protocol",
            target.url
        )));
    }
    let tokens = Tokens::new(identity).map_err(Refusal::Arguments)?;
    Ok(Script::of(target, false, Subscriptions::None, tokens, NO_DATA))
}

fn perform(play: &Play<'_>, script: &Script, talk: &Talk) -> Result<bool, Refusal> {
    let ring = Ring::new(play.size as usize, play.in_flight, talk);
    divided(play, script, |state, lane, share| {
        let rate = play.rate.map(|rate| rate * share.count as f64 / f64::from(play.connections));
        let pace = Pace { in_flight: play.in_flight, rate };
        Senders::new(script, state, lane, &ring, pace)?.run(share, play.common.timeout_ns())
    })
}

/// Divides the connections among threads, and measures.
fn divided(
    play: &Play<'_>,
    script: &Script,
    work: impl Fn(&RunState, &Lane, Share) -> io::Result<Findings> + Sync,
) -> Result<bool, Refusal> {
    let limit =
        sys::raise_descriptor_limit().map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    let threads = play.common.threads.into();
    let shares = plan::shares(play.connections as usize, threads, limit).map_err(Refusal::Arguments)?;
    let state = RunState::new(shares.len());
    let (usage, found) = workers::run(
        &state,
        &play.common.pin,
        |index, lane| work(&state, lane, shares[index]).map_err(|e| format!("poller: {e}")),
        || measure(play, &state),
    )?;
    Ok(report(play, script, &state, &usage, found))
}

fn measure(play: &Play<'_>, state: &RunState) -> Result<Usage, String> {
    let mut progress = Progress::new(state.clock, play.name);
    let mut wait = |until: &dyn Fn() -> bool| {
        while !until() && !state.stopped() {
            progress.tick(|| format!("{} messages answered", state.sum(|lane| &lane.messages)));
            state.clock.sleep_for(TICK);
        }
    };
    let settled = || state.sum(|lane| &lane.ready) + state.sum(|lane| &lane.failed);
    wait(&|| settled() >= play.connections.into());
    let warm_ns = state.clock.now_ns() + clock::ns(play.period.warmup);
    wait(&|| state.clock.now_ns() >= warm_ns);
    let from = Mark::take(state, &play.common.pid)?;
    state.recording.store(true, Relaxed);
    let until_ns = warm_ns + clock::ns(play.period.seconds);
    wait(&|| state.clock.now_ns() >= until_ns);
    Ok(Usage::between(&from, &Mark::take(state, &play.common.pid)?, play.common))
}

fn report(play: &Play<'_>, script: &Script, state: &RunState, usage: &Usage, found: Vec<Findings>) -> bool {
    let mut all = Findings::new();
    for findings in found {
        all.merge(findings);
    }
    let Findings { failures, opening, echoes: [echoes, _] } = all;
    let mut report = Report::new(play.name, &script.target, state.lanes.len());
    report.count("connections", "connections", play.connections.into(), "");
    report.count("opened", "opened", state.sum(|lane| &lane.ready), "");
    report.count("failed", "failed", state.sum(|lane| &lane.failed), "");
    report.count("lost", "lost", state.sum(|lane| &lane.lost), "");
    report.latency("open_latency", "time to open", opening.summary());
    report.count("size_bytes", "bytes / message", play.size.into(), "");
    match play.rate {
        Some(rate) => report.figure("rate", "asked for", Unit::PerSecond, Some(rate), "on schedule"),
        None => report.count("in_flight", "in flight / connection", play.in_flight as u64, ""),
    }
    report.count("messages", "messages", usage.messages, "");
    let rate = Some(usage.per_second(usage.messages));
    report.figure("messages_per_second", "rate of messages", Unit::PerSecond, rate, "");
    let cpu = usage.server_us_per(usage.messages);
    report.figure("server_cpu_us_per_message", "server CPU / message", Unit::Microseconds, cpu, "");
    report.durations(play.rate.is_some(), echoes.summary());
    if let Some(rate) = play.rate {
        let came = Some((usage.messages, usage.seconds));
        report.schedule(&Schedule { rate, came, latency: echoes.summary(), ..Schedule::default() });
    }
    report.usage(usage);
    report.failures(&failures);
    let ok = failures.is_empty() && usage.messages > 0;
    report.print(play.common, ok)
}
