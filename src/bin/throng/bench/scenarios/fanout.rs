//! `throng bench fanout`: publications to very many subscribers of one channel, or to few subscribers of very many
//! channels.
//!
//! The invariant: on a schedule, marks are set while nothing is in flight, so the CPU of every delivery is between
//! them; in saturation they are set under load, so the figures contain no idle time. Left out: the parts shared
//! with `idle`, see `subscribing`.

use crate::bench::args::{self, Protocol};
use crate::bench::clock;
use crate::bench::connections::audience::Findings;
use crate::bench::connections::tokens::Tokens;
use crate::bench::connections::workers::Refusal;
use crate::bench::messages::publication::Spread;
use crate::bench::messages::publisher::Publisher;
use crate::bench::messages::script::{CENTRIFUGE_PATH, Script, Subscriptions};
use crate::bench::report::held::Schedule;
use crate::bench::report::usage::Usage;
use crate::bench::report::{Report, Unit};
use crate::bench::scenarios::subscribing::{self, Opened, Scene};

struct Played {
    opened: Opened,
    usage: Usage,
    publications: u64,
    missing: u64,
}

/// Runs the scenario and prints its report; returns whether nothing failed.
pub(crate) fn run(args: &args::Fanout) -> Result<bool, Refusal> {
    let target = args.common.target_by_websocket(CENTRIFUGE_PATH).map_err(Refusal::Arguments)?;
    if target.protocol == Protocol::Socketio && (args.tcp || args.deflate) {
        return Err(Refusal::Arguments("--protocol socketio: not with --tcp or --deflate".to_owned()));
    }
    let subscriptions = subscriptions(args).map_err(Refusal::Arguments)?;
    let tokens = Tokens::new(&args.identity).map_err(Refusal::Arguments)?;
    let script = Script::of(target, args.tcp, subscriptions, tokens, args.data.size as usize);
    let script = if args.deflate { script.deflating() } else { script };
    let (played, findings, state) =
        subscribing::perform("fanout", &args.common, &args.opening, &script, |scene| play(args, scene))?;

    let mut report = Report::new("fanout", &script.target, played.opened.threads);
    played.opened.report(&mut report, &findings);
    let lost = state.sum(|lane| &lane.lost);
    report.count("lost", "lost", lost, "");
    report.set("size_bytes", args.data.size.into());
    report.set("channels", args.channels.into());
    report.set("rate", args.rate.into());
    report.set("in_flight", args.rate.is_none().then_some(args.in_flight.unwrap_or(1)).into());
    figures(&mut report, &played, args);
    latencies(&mut report, &played, &findings, args.rate);
    report.usage(&played.usage);
    Ok(subscribing::conclude(report, &args.common, &state, &findings, Some(played.missing)))
}

fn subscriptions(args: &args::Fanout) -> Result<Subscriptions, String> {
    let (channel, channel_count, each) = (args.channel.clone(), args.channels, args.each);
    if channel_count == 1 && each == 1 {
        return Ok(Subscriptions::One { channel, recoverable: false });
    }
    if args.tcp {
        return Err("--tcp: the bare send loop has no channels".to_owned());
    }
    if !channel_count.is_multiple_of(each) || !args.opening.connections.is_multiple_of(channel_count) {
        return Err(
            "--channels: must be a multiple of --each, and --connections a multiple of it, so that all channels have equally many subscribers"
                .to_owned(),
        );
    }
    Ok(Subscriptions::Several(Spread { prefix: channel, channel_count, each }))
}

fn figures(report: &mut Report, played: &Played, args: &args::Fanout) {
    let usage = &played.usage;
    let pace = match args.rate {
        Some(rate) => format!("{rate} per second asked for"),
        None => format!("{} in flight", args.in_flight.unwrap_or(1)),
    };
    report.count("publications", "publications", played.publications, &pace);
    let rate = Some(usage.per_second(played.publications));
    report.figure("publications_per_second", "rate of publishing", Unit::PerSecond, rate, "");
    report.count("deliveries", "deliveries", usage.messages, "");
    let rate = Some(usage.per_second(usage.messages));
    report.figure("deliveries_per_second", "rate of delivery", Unit::PerSecond, rate, "");
    let bytes = (usage.messages > 0).then(|| usage.bytes as f64 / usage.messages as f64);
    report.figure("bytes_per_delivery", "on the wire / delivery", Unit::Bytes, bytes, "");
    let cpu = usage.server_us_per(usage.messages);
    report.figure("server_cpu_us_per_delivery", "server CPU / delivery", Unit::Microseconds, cpu, "");
}

fn latencies(report: &mut Report, played: &Played, findings: &Findings, rate: Option<f64>) {
    let [all, first, last] = &findings.arrivals;
    report.durations(rate.is_some(), all.summary());
    let Some(rate) = rate else { return };
    let (first, last) = (first.summary(), last.summary());
    report.latency("latency_first_quarter", "latency, first quarter", first);
    report.latency("latency_last_quarter", "latency, last quarter", last);
    // The measured time ends with the last arrival, so the rate cannot be derived from it.
    let (came, latency, missing) = (None, all.summary(), played.missing);
    report.schedule(&Schedule { rate, came, latency, quarters: first.zip(last), missing });
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn play(args: &args::Fanout, scene: &mut Scene<'_>) -> Result<Played, String> {
    if scene.opened.count == 0 {
        return Err("no connection could be opened".to_owned());
    }
    let (state, timeout_ns) = (scene.state, scene.common.timeout_ns());
    let mut publisher = Publisher::connect(scene.script, state, &args.channel, timeout_ns)?;
    if let Some(wire) = args.wire {
        publisher.pad_deliveries(wire as usize);
    }
    let now_ns = state.clock.now_ns();
    let (from, to, first, last);
    if let Some(rate) = args.rate {
        let count = |seconds: f64| (seconds * rate).ceil() as u32;
        publisher.on_schedule(rate, count(args.warmup), &mut scene.progress)?;
        publisher.settle(&mut scene.progress)?;
        first = publisher.measure_from_here(count(args.seconds).max(1));
        from = scene.mark()?;
        publisher.on_schedule(rate, count(args.seconds).max(1), &mut scene.progress)?;
        publisher.settle(&mut scene.progress)?;
        to = scene.mark()?;
        last = publisher.published();
    } else {
        let in_flight = args.in_flight.unwrap_or(1);
        let warm_ns = now_ns + clock::ns(args.warmup);
        publisher.saturate(in_flight, warm_ns, u32::MAX, &mut scene.progress)?;
        first = publisher.measure_from_here(0);
        from = scene.mark()?;
        publisher.saturate(in_flight, warm_ns + clock::ns(args.seconds), u32::MAX, &mut scene.progress)?;
        to = scene.mark()?;
        last = publisher.published();
        publisher.settle(&mut scene.progress)?;
    }
    let usage = Usage::between(&from, &to, scene.common);
    let publications = u64::from(last - first);
    Ok(Played { opened: scene.opened, usage, publications, missing: publisher.outstanding() })
}
