//! `throng bench storm`: very many clients reconnect at once, while others send echoes.
//!
//! Two kinds of threads: one with live connections that echo on a schedule, before and during the storm, at a high
//! priority; and those of the reconnecting clients, at a low priority, because in production both are other
//! machines. The invariant: the time runs from the release of all clients to the last reconnect, refusals
//! included; a refusal is not a failure, but a client that has not reconnected in time is. Left out: opening and
//! echoing, see `audience` and `senders`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::bench::args::{self, Protocol, Target};
use crate::bench::clock;
use crate::bench::connections::audience::{self, Audience};
use crate::bench::connections::plan::{self, Share};
use crate::bench::connections::retry::BackOff;
use crate::bench::connections::senders::{self, Pace, Senders};
use crate::bench::connections::state::{Lane, RunState};
use crate::bench::connections::tokens::Tokens;
use crate::bench::connections::workers::{self, Refusal};
use crate::bench::messages::publisher::Publisher;
use crate::bench::messages::replies::{Ring, Talk};
use crate::bench::messages::script::{CENTRIFUGE_PATH, Script, Sessions, Subscriptions};
use crate::bench::messages::socketio::Ticket;
use crate::bench::report::progress::Progress;
use crate::bench::report::usage::{Mark, Usage};
use crate::bench::report::{Report, Unit};
use crate::bench::scenarios::subscribing;
use throng::parts::net::sys;

const TICK: Duration = Duration::from_millis(5);
/// Events that all clients of Socket.IO get before they are cut.
const HEARD: u32 = 1;
/// Bytes of a live connection's echo.
const ECHO_BYTES: usize = 100;
/// Maximum of echoes in flight per live connection.
const IN_FLIGHT_MAX: usize = 256;
/// Time before the quiet period is measured, and after the storm, when reconnected clients may still be lost.
const SETTLE_NS: u64 = 500_000_000;
/// The nice value of the threads of reconnecting clients.
const CROWD_NICENESS: i32 = 10;
/// Live connections get no publications.
const NO_DATA: usize = 0;
/// Bytes of a publication that was missed.
const DATA_BYTES: usize = 100;
/// Concurrent connects outside of the storm.
const CALM: u32 = 64;

/// The results of one thread.
enum Found {
    Live(senders::Findings),
    Crowd(audience::Findings),
}

/// The director's figures.
struct Played {
    quiet: Usage,
    storm: Usage,
    seconds: f64,
    back: u64,
}

/// Runs the scenario and prints its report; returns whether all reconnected and none was lost.
pub(crate) fn run(args: &args::Storm) -> Result<bool, Refusal> {
    run_at(args).map(|(ok, _)| ok)
}

/// As [`run`], and also returns the target, which has counts of its TLS handshakes.
pub(crate) fn run_at(args: &args::Storm) -> Result<(bool, Target), Refusal> {
    let target = args.common.target_by_websocket(CENTRIFUGE_PATH).map_err(Refusal::Arguments)?;
    let tokens = Tokens::new(&args.identity).map_err(Refusal::Arguments)?;
    let is_socketio = target.protocol == Protocol::Socketio;
    if args.recover && !is_socketio {
        return Err(Refusal::Arguments("--recover: needs --protocol socketio".to_owned()));
    }
    let mut live_target = target.clone();
    let talk = if is_socketio { Talk::Event } else { Talk::Echo { is_text: false } };
    if !is_socketio {
        live_target.path.clone_from(&args.echo_path);
    }
    let live = Script::new(live_target, false, None, NO_DATA);
    let subscriptions = match &args.subscribe {
        Some(channel) => Subscriptions::One { channel: channel.clone(), recoverable: false },
        None => Subscriptions::None,
    };
    let mut crowd = Script::of(target, false, subscriptions, tokens, DATA_BYTES);
    let limit =
        sys::raise_descriptor_limit().map_err(|e| Refusal::Failure(format!("descriptor limit: {e}")))?;
    if args.common.tls.tls_resume || args.recover {
        let save = |save| crowd.target.tls.iter().for_each(|tls| tls.save_tickets(save));
        save(args.common.tls.tls_resume);
        if args.recover {
            crowd.sessions = Sessions::Kept;
        }
        let tickets = come_once(args, &crowd)?;
        save(false);
        crowd.first = plan::after_held(args.connections as usize);
        if args.recover {
            miss(args, &crowd).map_err(Refusal::Failure)?;
            let (tickets, end) = (Arc::new(tickets), HEARD + args.missed);
            crowd.sessions = Sessions::Recovered { tickets, next: HEARD, end };
        }
    }
    if let Some(tls) = &crowd.target.tls {
        tls.tally.reset();
    }
    let shares = plan::shares(args.connections as usize, args.common.threads.into(), limit);
    let shares = shares.map_err(Refusal::Arguments)?;
    let state = RunState::new(1 + shares.len());
    let ring = Ring::new(ECHO_BYTES, IN_FLIGHT_MAX, &talk);
    let timeout_ns = args.common.timeout_ns();
    let failed = |e: std::io::Error| format!("poller: {e}");
    let (played, found) = workers::run(
        &state,
        &args.common.pin,
        |index, lane| {
            if index == 0 {
                // Without the permission, latencies include the time that this thread waits for a core.
                drop(sys::go_first());
                let pace = Pace { in_flight: IN_FLIGHT_MAX, rate: Some(args.live_rate) };
                let senders = Senders::new(&live, &state, lane, &ring, pace).map_err(failed)?;
                // Their numbers, and so their source addresses, follow those of the reconnecting clients.
                let first = plan::after_held(crowd.first + args.connections as usize);
                let share = Share { first, count: args.live as usize };
                return senders.run(share, timeout_ns).map(Found::Live).map_err(failed);
            }
            // Refused only if a sandbox filters it: then all threads have the same priority.
            drop(sys::be_nice(CROWD_NICENESS));
            let opening = opening(args, shares[index - 1]);
            let audience = Audience::new(&crowd, &state, lane, opening).map_err(failed)?;
            audience.run().map(Found::Crowd).map_err(failed)
        },
        || direct(args, &state),
    )?;
    let ok = report(args, &crowd, &state, &played, found);
    Ok((ok, crowd.target))
}

fn opening(args: &args::Storm, share: Share) -> audience::Opening {
    let delay_ms = match args.back_off {
        args::Patience::Sdk => Some((args.back_off_min_ms, args.back_off_max_ms)),
        args::Patience::None => None,
    };
    audience::Opening {
        share,
        concurrency: share.count,
        rate: None,
        timeout_ns: args.common.timeout_ns(),
        pause: Duration::ZERO,
        comeback: Some(BackOff { delay_ms, attempts_max: args.attempts }),
    }
}

/// Connects all clients once, outside of the storm, for sessions that they can resume or recover: these are returned.
fn come_once(args: &args::Storm, crowd: &Script) -> Result<Vec<Ticket>, Refusal> {
    let opening =
        args::Opening { connections: args.connections, concurrency: CALM, pause: None, connect_rate: None };
    let channel = args.subscribe.as_deref().filter(|_| args.recover);
    let (_, findings, _) = subscribing::perform("storm, before", &args.common, &opening, crowd, |scene| {
        let Some(channel) = channel.filter(|_| scene.opened.count > 0) else { return Ok(()) };
        // All get an event, and with it an offset.
        let mut publisher = Publisher::connect(crowd, scene.state, channel, args.common.timeout_ns())?;
        publisher.saturate(1, u64::MAX, HEARD, &mut scene.progress)?;
        match publisher.settle(&mut scene.progress)? {
            true => Ok(()),
            false => Err("an event did not reach all".to_owned()),
        }
    })?;
    match findings.failures.each().next() {
        Some((cause, count)) => Err(Refusal::Failure(format!("{count} connections failed in calm: {cause}"))),
        None => Ok(findings.tickets),
    }
}

/// Publishes what the clients miss.
fn miss(args: &args::Storm, crowd: &Script) -> Result<(), String> {
    let (state, channel) = (RunState::new(1), args.subscribe.as_deref().unwrap_or_default());
    let mut publisher = Publisher::connect(crowd, &state, channel, args.common.timeout_ns())?;
    publisher.go_on_from(HEARD);
    publisher.publish_surely(args.missed, args.common.timeout_ns())
}

fn direct(args: &args::Storm, state: &RunState) -> Result<Played, String> {
    let mut progress = Progress::new(state.clock, "storm");
    let (live, crowd) = state.lanes.split_at(1);
    let sum = |count: fn(&Lane) -> u64| crowd.iter().map(count).sum::<u64>();
    let back = || sum(|lane| lane.ready.value());
    let mut wait = |until: &dyn Fn() -> bool| {
        while !until() && !state.stopped() {
            progress.tick(|| {
                let refused = sum(|lane| lane.refused.value());
                format!("{} of {} back, {refused} refused on the way", back(), args.connections)
            });
            state.clock.sleep_for(TICK);
        }
    };
    let pass = |ns: u64| {
        let until_ns = state.clock.now_ns() + ns;
        move || state.clock.now_ns() >= until_ns
    };
    wait(&|| live.iter().all(|lane| lane.ready.value() + lane.failed.value() >= u64::from(args.live)));
    wait(&pass(SETTLE_NS));
    let mark = || Mark::take(state, &args.common.pid);
    let (start, begun) = (mark()?, pass(clock::ns(args.quiet)));
    state.recording.store(true, Relaxed);
    wait(&begun);
    let calm = mark()?;
    state.act.store(1, Relaxed);
    state.release();
    let over = pass(clock::ns(args.within));
    let wanted = u64::from(args.connections);
    wait(&|| over() || back() + sum(|lane| lane.failed.value()) >= wanted);
    state.recording.store(false, Relaxed);
    let end = mark()?;
    wait(&pass(SETTLE_NS));
    let last_at_ns = crowd.iter().map(|lane| lane.ready_at_ns.value()).max().unwrap_or(0);
    Ok(Played {
        quiet: Usage::between(&start, &calm, &args.common),
        storm: Usage::between(&calm, &end, &args.common),
        seconds: clock::seconds(last_at_ns.saturating_sub(state.released_at_ns().unwrap_or(0))),
        back: back(),
    })
}

fn report(args: &args::Storm, script: &Script, state: &RunState, played: &Played, found: Vec<Found>) -> bool {
    let (mut findings, mut live) = (audience::Findings::new(), senders::Findings::new());
    for one in found {
        match one {
            Found::Live(found) => live.merge(found),
            Found::Crowd(found) => findings.merge(found),
        }
    }
    let (wanted, crowd) = (u64::from(args.connections), &state.lanes[1..]);
    let count = |count: fn(&Lane) -> u64| crowd.iter().map(count).sum::<u64>();
    let (failed, refused) = (count(|lane| lane.failed.value()), count(|lane| lane.refused.value()));
    let late = wanted.saturating_sub(played.back + failed);
    findings.failures.add("not back in time".to_owned(), late);
    findings.failures.merge(live.failures);

    let mut report = Report::new("storm", &script.target, state.lanes.len());
    report.count("connections", "clients that come back", wanted, "all in one moment");
    report.count("opened", "came back", played.back, "");
    report.count("failed", "did not", failed + late, "");
    report.count("lost", "lost", state.sum(|lane| &lane.lost), "live ones, too");
    report.figure("storm_seconds", "all back within", Unit::Seconds, Some(played.seconds), "");
    report.latency("open_latency", "time until back", findings.opening.summary());
    report.count("refused", "attempts refused on the way", refused, "");
    report.kinds("refusals", &findings.refusals);
    report.count("live", "live connections", args.live.into(), "");
    report.figure("rate", "their echoes", Unit::PerSecond, Some(args.live_rate), "on schedule");
    let [quiet, storm] = [0, 1].map(|act: usize| live.echoes[act].summary());
    report.latency("latency_quiet", "latency before", quiet);
    report.latency("latency_storm", "latency meanwhile", storm);
    let factor = quiet.zip(storm).map(|(quiet, storm)| storm.p99_us / quiet.p99_us);
    report.figure("p99_factor", "p99, meanwhile to before", Unit::Factor, factor, "");
    // The CPU of the echoes is known from the quiet period.
    let echoes_ns = played.quiet.server_ns.map(|ns| ns as f64 / played.quiet.seconds * played.storm.seconds);
    let cpu = played.storm.server_ns.zip(echoes_ns).filter(|_| played.back > 0);
    let cpu = cpu.map(|(all, echoes)| (all as f64 - echoes).max(0.0) / 1e3 / played.back as f64);
    let (key, label) = ("server_cpu_us_per_return", "server CPU / client");
    report.figure(key, label, Unit::Microseconds, cpu, "refusals included, live echoes not");
    report.usage(&played.storm);
    let mut is_whole = true;
    if args.recover {
        let (gaps, behind) = (count(|lane| lane.gaps.value()), count(|lane| lane.behind.value()));
        let missing =
            (played.back * u64::from(args.missed)).saturating_sub(count(|lane| lane.messages.value()));
        report.count("missed", "events missed", args.missed.into(), "by each client");
        report.count("recovered", "recovered", played.back, "their session, and all that they missed");
        report.count("gaps", "gaps", gaps, "");
        report.count("out_of_order", "twice or out of order", behind, "");
        report.count("missing", "missing", missing, "");
        is_whole = gaps + behind + missing == 0;
    }
    report.failures(&findings.failures);
    let ok = findings.failures.is_empty() && played.back == wanted && is_whole;
    report.print(&args.common, ok)
}
