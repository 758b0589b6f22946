//! Whole shards in a simulated world: virtual time, links that stall, cut, reset and refuse, clients of all kinds.
//!
//! Everything in a run follows from its seed, so a failure can be run again:
//!
//! ```text
//! THRONG_SEED=17 cargo test --test sim            # that seed alone; THRONG_TRACE=1 with --nocapture tells all
//! THRONG_SEEDS=5000 cargo test --release --test sim   # more of them; with THRONG_SEED too: from that one on
//! THRONG_PROGRAM=tests/corpus/conversation/streams cargo test --test sim hostile   # one hostile program
//! ```
//!
//! The world is no more helpful than a kernel: readiness is reported once, when it changes; peers stall and continue;
//! events arrive for closed connections. Properties that only a kernel can show are tested in `tests/it`.

#![expect(clippy::unwrap_used, reason = "in a test, what must not fail may panic")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of a simulated world are small")]

mod client;
mod clock;
mod conduct;
mod cut;
mod device;
mod fan;
mod gathered;
mod harness;
mod hooked;
mod hostile;
mod late;
mod model;
mod oracle;
mod order;
mod outcomes;
mod plan;
mod rates;
mod raw;
mod returning;
mod rogue;
mod run;
mod sealed;
mod secure;
mod small;
mod stale;
mod storm;
mod streams;
mod turns;
mod upgrades;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use harness::{net, rng, wire, world};
use plan::Plan;
use rng::Rng;
use run::{Outcome, Run};

const SEED_COUNT: u64 = 200;
/// Number of seeds whose homes have memories that answer later.
const LATE_SEED_COUNT: u64 = 60;

/// The first seed and their number: one given seed, so many from the first, or so many from a given one.
fn seeds() -> (u64, u64) {
    match (number("THRONG_SEED"), number("THRONG_SEEDS")) {
        (Some(seed), count) => (seed, count.unwrap_or(1)),
        (None, count) => (0, count.unwrap_or(SEED_COUNT)),
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// Runs a seed; prints the command that repeats it on failure.
fn simulate(begin: fn(u64) -> Run, seed: u64) -> Option<Outcome> {
    let outcome = catch_unwind(AssertUnwindSafe(|| begin(seed).run())).ok();
    if outcome.is_none() {
        eprintln!("\nseed {seed} failed; again: THRONG_SEED={seed} cargo test --test sim\n");
    }
    outcome
}

/// Runs seeds on all cores; returns the outcomes in the order of the seeds, `None` for failed ones.
fn simulate_all(begin: fn(u64) -> Run, first: u64, count: u64) -> Vec<Option<Outcome>> {
    let next = AtomicU64::new(0);
    let worker = || {
        let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|&n| n < count));
        seeds.map(|n| (n, simulate(begin, first + n))).collect::<Vec<_>>()
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    outcomes.sort_unstable_by_key(|(n, _)| *n);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn whole_shards_keep_their_promises() {
    let (first, count) = seeds();
    let outcomes = simulate_all(Run::new, first, count);
    let told = outcomes.iter().map(|outcome| outcome.as_ref().map(|o| (o.hash, &o.counters[..])));
    outcomes::tell("runs", (first..).zip(told));
    let failed: Vec<u64> =
        (first..).zip(&outcomes).filter(|(_, o)| o.is_none()).map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
    if count < SEED_COUNT {
        return println!("{outcomes:#?}");
    }
    // A world in which nothing happens proves nothing.
    let mut total: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in outcomes.iter().flatten().flat_map(|outcome| &outcome.counts) {
        *total.entry(name).or_default() += count;
    }
    println!("{total:#?}");
    assert!(total.values().all(|&count| count > 0), "something never happened: {total:?}");
}

/// All invariants hold where the histories' memory answers later, in any order among channels, and fails.
#[test]
fn whole_shards_keep_their_promises_when_memories_answer_later() {
    let (first, count) = match number("THRONG_SEEDS") {
        None if number("THRONG_SEED").is_none() => (0, LATE_SEED_COUNT),
        _ => seeds(),
    };
    let outcomes = simulate_all(Run::late, first, count);
    let failed: Vec<u64> =
        (first..).zip(&outcomes).filter(|(_, o)| o.is_none()).map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
    let total = |name| outcomes.iter().flatten().filter_map(|outcome| outcome.counts.get(name)).sum::<u64>();
    let counts =
        ["late", "late_failures", "recoveries", "recovered", "deliveries"].map(|name| (name, total(name)));
    println!("{counts:?}");
    assert!(count < LATE_SEED_COUNT || counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn a_seed_tells_the_whole_story() {
    // The first few, and the first few over TLS.
    let sealed = (4..).filter(|&seed| Plan::new(seed).tls.is_some());
    for seed in (1..4).chain(sealed.take(3)) {
        assert_eq!(simulate(Run::new, seed), simulate(Run::new, seed), "seed {seed}");
    }
    for seed in 0..40 {
        let hash = || hostile::play(&hostile::program(&mut Rng::new(seed)));
        assert_eq!(hash(), hash(), "program {seed}");
    }
}

/// Each program's thread has a name of its own: a stack overflow is reported by that name only.
#[test]
fn whatever_hostile_clients_say_everybody_else_is_served_and_nothing_is_left() {
    let play = |name: String, program: Vec<u8>| {
        let told = program.escape_ascii().to_string();
        let thread = thread::Builder::new().name(format!("hostile {name}"));
        let hash = thread.spawn(move || hostile::play(&program)).unwrap().join().ok();
        if hash.is_none() {
            eprintln!("\nhostile {name} failed: \"{told}\"\n");
        }
        hash
    };
    if let Some(file) = std::env::var_os("THRONG_PROGRAM") {
        let program = std::fs::read(&file).unwrap();
        assert!(play(format!("program {}", file.display()), program).is_some(), "see above");
        return;
    }
    let (first, count) = seeds();
    let hash = |seed| play(format!("seed {seed}"), hostile::program(&mut Rng::new(seed)));
    let hashes: Vec<_> = (first..first + count).map(|seed| (seed, hash(seed))).collect();
    outcomes::tell("programs", hashes.iter().map(|&(seed, hash)| (seed, hash.map(|hash| (hash, &[][..])))));
    let failed: Vec<u64> = hashes.iter().filter(|(_, hash)| hash.is_none()).map(|(seed, _)| *seed).collect();
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
}
