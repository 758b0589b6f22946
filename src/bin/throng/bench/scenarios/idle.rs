//! `throng bench idle`: the cost of silent connections.
//!
//! Left out: the parts shared with `fanout`, see `subscribing`.

use crate::bench::args::{self, Transport};
use crate::bench::connections::tokens::Tokens;
use crate::bench::connections::workers::Refusal;
use crate::bench::messages::publisher::Publisher;
use crate::bench::messages::script::{CENTRIFUGE_PATH, Script, Subscriptions};
use crate::bench::report::findings::{Latency, Summary};
use crate::bench::report::probe::Memory;
use crate::bench::report::usage::Usage;
use crate::bench::report::{Report, Unit};
use crate::bench::scenarios::subscribing::{self, Opened, Scene};

struct Played {
    opened: Opened,
    usage: Usage,
    heartbeats: u64,
    end: Memory,
    reach_all: Option<Summary>,
    missing: u64,
}

/// Runs the scenario and prints its report; returns whether nothing failed.
pub(crate) fn run(args: &args::Idle) -> Result<bool, Refusal> {
    let target = args.common.target(CENTRIFUGE_PATH).map_err(Refusal::Arguments)?;
    match args.common.transport {
        Transport::Upgrade => {
            return Err(Refusal::Arguments("--transport upgrade: only for handshakes".to_owned()));
        }
        Transport::Polling if args.publish > 0 => {
            return Err(Refusal::Arguments("--publish: not with --transport polling".to_owned()));
        }
        Transport::Polling | Transport::Websocket => {}
    }
    let tokens = Tokens::new(&args.identity).map_err(Refusal::Arguments)?;
    let subscriptions = match &args.subscribe {
        Some(channel) => Subscriptions::One { channel: channel.clone(), recoverable: args.recoverable },
        None => Subscriptions::None,
    };
    let script = Script::of(target, false, subscriptions, tokens, args.data.size as usize);
    let (played, findings, state) =
        subscribing::perform("idle", &args.common, &args.opening, &script, |scene| play(args, scene))?;

    let mut report = Report::new("idle", &script.target, played.opened.threads);
    played.opened.report(&mut report, &findings);
    let (usage, opened) = (&played.usage, played.opened.count);
    report.figure("hold_seconds", "held for", Unit::Seconds, Some(usage.seconds), "");
    let lost = state.sum(|lane| &lane.lost);
    report.count("lost", "lost", lost, "");
    report.count("heartbeats", "heartbeats answered", played.heartbeats, "");
    let end = played.end.server.map(|bytes| bytes as f64);
    report.figure("server_rss_end_bytes", "server memory at the end", Unit::Bytes, end, "");
    let cpu = usage.server_us_per(opened).map(|us| us / usage.seconds);
    let (key, label) = ("server_cpu_us_per_connection_second", "server CPU / connection, second");
    report.figure(key, label, Unit::Microseconds, cpu, "");
    report.usage(usage);
    if args.publish > 0 {
        report.count("publications", "publications to all", args.publish.into(), "");
        report.latency("reach_all", "time to reach all", played.reach_all);
        report.durations(false, findings.arrivals[0].summary());
    }
    let missing = (args.publish > 0).then_some(played.missing);
    Ok(subscribing::conclude(report, &args.common, &state, &findings, missing))
}

fn play(args: &args::Idle, scene: &mut Scene<'_>) -> Result<Played, String> {
    let state = scene.state;
    let from = scene.mark()?;
    let beats = state.sum(|lane| &lane.heartbeats);
    if scene.opened.count > 0 {
        scene.hold(args.hold);
    }
    let usage = Usage::between(&from, &scene.mark()?, scene.common);
    let heartbeats = state.sum(|lane| &lane.heartbeats) - beats;
    let end = Memory::read(&scene.common.pid);
    let mut played = Played { opened: scene.opened, usage, heartbeats, end, reach_all: None, missing: 0 };
    if let Some(channel) = args.subscribe.as_deref().filter(|_| args.publish > 0 && scene.opened.count > 0) {
        let timeout_ns = scene.common.timeout_ns();
        let mut publisher = Publisher::connect(scene.script, state, channel, timeout_ns)?;
        publisher.measure_from_here(0);
        let mut reach_all = Latency::new();
        for _ in 0..args.publish {
            let sent_at_ns = state.clock.now_ns();
            publisher.saturate(1, u64::MAX, 1, &mut scene.progress)?;
            if !publisher.settle(&mut scene.progress)? {
                break;
            }
            reach_all.record(state.clock.now_ns() - sent_at_ns);
        }
        played.reach_all = reach_all.summary();
        played.missing = publisher.outstanding();
    }
    Ok(played)
}
