//! History and recovery against a model that keeps everything and computes the part that must be left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::Position;
use super::super::fixtures::{LIMITS, at, history, home, plain, publication};
use super::super::home::{Answer, HistoryFilter, Home, Joining, Limits, Member, Question, Terms};
use super::super::options::ChannelOptions;
use crate::base::heap;

const CHANNELS: [&str; 3] = ["few", "short", "long"];
const RECOVERY_MAX: usize = 4;

fn options(channel: usize) -> Arc<ChannelOptions> {
    let (history_size, history_ttl_ms, history_age_ms, history_meta_ttl_ms) =
        [(3, 20_000, 0, 30_000), (100, 2_000, 2_000, 1_000), (40, 60_000, 25_000, 90_000)][channel];
    Arc::new(ChannelOptions {
        history_size,
        history_ttl_ms,
        history_age_ms,
        history_meta_ttl_ms,
        ..ChannelOptions::default()
    })
}

#[derive(Clone, Debug)]
enum Op {
    Publish { channel: usize, bytes: usize, skip_history: bool },
    Enter { client: u64, is_positioned: bool },
    Leave { client: u64 },
    Pass { steps: u64 },
    Remove { channel: usize },
    Read { channel: usize, since: Option<u64>, reverse: bool, limit: Option<usize> },
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    let channel = 0..CHANNELS.len();
    let publish =
        (channel.clone(), prop_oneof![9 => 0..200usize, 1 => Just(5000)], prop::bool::weighted(0.05));
    let read = (channel.clone(), prop::option::of(0..60u64), any::<bool>(), prop::option::of(0..10usize));
    prop_oneof![
        12 => publish.prop_map(|(channel, bytes, skip_history)| Op::Publish { channel, bytes, skip_history }),
        6 => (0..9u64, prop::bool::weighted(0.9)).prop_map(|(client, is_positioned)| Op::Enter { client, is_positioned }),
        4 => (0..9u64).prop_map(|client| Op::Leave { client }),
        4 => prop_oneof![8 => 0..5u64, 2 => 5..40u64, 1 => 80..200u64].prop_map(|steps| Op::Pass { steps }),
        1 => channel.prop_map(|channel| Op::Remove { channel }),
        3 => read.prop_map(|(channel, since, reverse, limit)| Op::Read { channel, since, reverse, limit }),
        2 => Just(Op::Expire),
    ]
}

/// A publication in the model.
#[derive(Clone, Debug)]
struct Kept {
    channel: usize,
    offset: u64,
    bytes: usize,
    expires_ms: u64,
}

#[derive(Default)]
struct ModelStream {
    exists: bool,
    top: u64,
    /// Number of streams that this channel has begun; each has one epoch.
    generation: u32,
    forget_at_ms: u64,
    /// Time at which all kept publications have expired.
    expires_ms: u64,
    clients: BTreeSet<u64>,
}

/// A client and the publications that it has of its channel, which follows from its number.
#[derive(Default)]
struct Client {
    is_positioned: bool,
    position: Option<Position>,
}

struct Run {
    home: Home,
    now_ms: u64,
    /// All kept publications, oldest first.
    kept: Vec<Kept>,
    streams: [ModelStream; 3],
    epochs: BTreeMap<(usize, u32), Arc<str>>,
    clients: BTreeMap<u64, Client>,
    bytes_max: usize,
    entry_bytes: usize,
    /// Bytes of the first publication of a stream, which carries the stream's name.
    first_bytes: usize,
}

impl Run {
    fn new(bytes_max: usize) -> Self {
        let mut probe = home();
        probe.publish(at(0), publication("few", b""), &options(0), &Terms::default()).unwrap();
        let first_bytes = probe.history_bytes();
        probe.publish(at(0), publication("few", b""), &options(0), &Terms::default()).unwrap();
        let limits = Limits { history_bytes_max: bytes_max, recovery_max: RECOVERY_MAX, ..LIMITS };
        Self {
            home: Home::new(limits, (3.into(), 0)),
            now_ms: 1,
            kept: Vec::new(),
            streams: Default::default(),
            epochs: BTreeMap::new(),
            clients: BTreeMap::new(),
            bytes_max,
            entry_bytes: probe.history_bytes() - first_bytes,
            first_bytes,
        }
    }

    fn forget_expired(&mut self) {
        let Self { kept, streams, now_ms, .. } = self;
        kept.retain(|kept| kept.expires_ms > *now_ms && streams[kept.channel].expires_ms > *now_ms);
    }

    /// The model's part of every access to a channel.
    fn touch(&mut self, channel: usize) {
        self.forget_expired();
        let stream = &mut self.streams[channel];
        if !stream.exists || stream.clients.is_empty() && stream.forget_at_ms <= self.now_ms {
            assert!(
                self.kept.iter().all(|kept| kept.channel != channel),
                "a position outlives what it is of"
            );
            let clients = std::mem::take(&mut stream.clients);
            *stream = ModelStream {
                exists: true,
                generation: stream.generation + 1,
                clients,
                ..ModelStream::default()
            };
        }
        self.stay(channel);
    }

    fn stay(&mut self, channel: usize) {
        let options = options(channel);
        let ttl_ms = options.history_meta_ttl_ms.max(options.history_ttl_ms);
        let stream = &mut self.streams[channel];
        stream.forget_at_ms = stream.forget_at_ms.max(self.now_ms + ttl_ms);
    }

    /// Whether the home's position equals the model's, and its epoch belongs to this stream and to no other.
    fn check_position(&mut self, channel: usize, position: &Position) {
        let stream = &self.streams[channel];
        assert_eq!(position.offset, stream.top);
        let epoch = Arc::clone(&position.epoch);
        assert_eq!(epoch.len(), 8);
        let known = self.epochs.entry((channel, stream.generation)).or_insert_with(|| Arc::clone(&epoch));
        assert_eq!(*known, epoch, "the epoch changed, the stream did not");
        let all: BTreeSet<_> = self.epochs.values().collect();
        assert_eq!(all.len(), self.epochs.len(), "two streams have one epoch");
    }

    fn offsets(&self, channel: usize) -> Vec<u64> {
        self.kept.iter().filter(|kept| kept.channel == channel).map(|kept| kept.offset).collect()
    }

    fn publish(&mut self, channel: usize, bytes: usize, skip_history: bool) {
        let terms = Terms { skip_history, ..Terms::default() };
        let published = self.home.publish(
            at(self.now_ms),
            publication(CHANNELS[channel], &vec![b'1'; bytes]),
            &options(channel),
            &terms,
        );
        let published = published.unwrap();
        if skip_history {
            assert_eq!(published.position, Position::default());
        } else {
            self.touch(channel);
            self.streams[channel].top += 1;
            self.check_position(channel, &published.position);
            self.keep(channel, bytes);
        }
        let is_heard = !self.streams[channel].clients.is_empty();
        assert_eq!(published.delivery.is_some(), is_heard);
        let Some((publication, _)) = published.delivery else { return };
        assert_eq!(publication.offset, published.position.offset);
        for client in self.streams[channel].clients.iter().filter(|_| !skip_history) {
            let client = self.clients.get_mut(client).unwrap();
            if let Some(position) = client.position.as_mut().filter(|_| client.is_positioned) {
                assert_eq!(publication.offset, position.offset + 1, "a gap or a repetition");
                position.offset += 1;
            } else {
                client.position = None;
            }
        }
    }

    fn keep(&mut self, channel: usize, bytes: usize) {
        let is_first = self.streams[channel].top == 1;
        let bytes = if is_first { self.first_bytes } else { self.entry_bytes } + heap::piece(bytes);
        if bytes > self.bytes_max {
            return self.kept.retain(|kept| kept.channel != channel);
        }
        let options = options(channel);
        let age_ms = if options.history_age_ms > 0 { options.history_age_ms } else { u64::MAX / 2 };
        let (offset, expires_ms) = (self.streams[channel].top, self.now_ms + age_ms);
        self.streams[channel].expires_ms = self.now_ms + options.history_ttl_ms;
        self.kept.push(Kept { channel, offset, bytes, expires_ms });
        while self.offsets(channel).len() > options.history_size {
            let oldest = self.kept.iter().position(|kept| kept.channel == channel).unwrap();
            self.kept.remove(oldest);
        }
        while self.kept.iter().map(|kept| kept.bytes).sum::<usize>() > self.bytes_max {
            self.kept.remove(0);
        }
    }

    fn enter(&mut self, number: u64, is_positioned: bool) {
        let channel = usize::try_from(number).unwrap() % CHANNELS.len();
        if self.streams[channel].clients.contains(&number) {
            return;
        }
        let client = self.clients.entry(number).or_default();
        client.is_positioned = is_positioned;
        let recover = client.position.clone().filter(|_| is_positioned);
        let joining = Joining { wants_position: is_positioned, recover: recover.clone(), ..plain(0, number) };
        let name = CHANNELS[channel].into();
        let joined = self.home.subscribe(at(self.now_ms), &name, &options(channel), &joining).unwrap();
        assert_eq!(joined.position.is_some(), is_positioned);
        if is_positioned || self.streams[channel].exists {
            self.touch(channel);
        }
        self.streams[channel].clients.insert(number);
        let Some(position) = joined.position else {
            self.clients.entry(number).or_default().position = None;
            return;
        };
        self.check_position(channel, &position);
        if let Some(from) = recover {
            let missed: Vec<u64> = (from.offset + 1..=position.offset).collect();
            let kept = self.offsets(channel);
            let is_there = missed.iter().all(|offset| kept.contains(offset));
            let expected = from.epoch == position.epoch && is_there && missed.len() <= RECOVERY_MAX;
            assert_eq!(joined.recovered, expected, "{from:?} {position:?} {kept:?}");
            let given: Vec<u64> = joined.publications.iter().map(|p| p.offset).collect();
            assert_eq!(given, if expected { missed } else { Vec::new() });
        } else {
            assert!(!joined.recovered && joined.publications.is_empty());
        }
        self.clients.entry(number).or_default().position = Some(position);
    }

    fn leave(&mut self, number: u64) {
        let channel = usize::try_from(number).unwrap() % CHANNELS.len();
        let member = Member { shard: 0, conn: number };
        if self.streams[channel].clients.remove(&number) {
            assert!(self.home.unsubscribe(at(self.now_ms), CHANNELS[channel], member));
            if self.streams[channel].exists && self.streams[channel].clients.is_empty() {
                self.stay(channel);
            }
        }
    }

    fn read(&mut self, channel: usize, since: Option<u64>, reverse: bool, limit: Option<usize>) {
        let epoch = self.epochs.get(&(channel, self.streams[channel].generation)).cloned();
        let since = since.map(|offset| Position { offset, epoch: epoch.unwrap_or_default() });
        let filter = HistoryFilter { limit, since: since.clone(), reverse };
        let (now, name) = (at(self.now_ms), CHANNELS[channel].into());
        let generation = self.streams[channel].generation;
        let answer = self.home.ask(now, &name, &options(channel), &Question::History(filter));
        self.touch(channel);
        let is_unknown = since.as_ref().is_some_and(|since| !since.epoch.is_empty())
            && self.streams[channel].generation != generation;
        let Answer::History { publications, position } = answer else {
            assert!(is_unknown, "{answer:?}");
            return;
        };
        assert!(!is_unknown);
        self.check_position(channel, &position);
        let mut expected = self.offsets(channel);
        if let Some(since) = since {
            let top = self.streams[channel].top;
            expected.retain(|&offset| match reverse {
                true => offset < since.offset && since.offset <= top + 1,
                false => offset > since.offset,
            });
        }
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit.unwrap_or(usize::MAX));
        assert_eq!(publications.iter().map(|p| p.offset).collect::<Vec<_>>(), expected);
    }

    fn expire(&mut self) {
        while self.home.next_expiry_ms().is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.home.expire(at(self.now_ms));
        }
    }

    fn step(&mut self, op: Op, step_ms: u64) {
        match op {
            Op::Publish { channel, bytes, skip_history } => self.publish(channel, bytes, skip_history),
            Op::Enter { client, is_positioned } => self.enter(client, is_positioned),
            Op::Leave { client } => self.leave(client),
            Op::Pass { steps } => self.now_ms += steps * step_ms,
            Op::Remove { channel } => {
                let name = CHANNELS[channel].into();
                self.home.ask(at(self.now_ms), &name, &options(channel), &Question::RemoveHistory);
                self.kept.retain(|kept| kept.channel != channel);
            }
            Op::Read { channel, since, reverse, limit } => self.read(channel, since, reverse, limit),
            Op::Expire => self.expire(),
        }
        self.home.check_invariants();
    }
}

proptest! {
    /// After any sequence of operations, each client has every offset once and in order, or was told that recovery
    /// failed.
    #[test]
    fn histories_are_what_is_left_of_everything(
        ops in prop::collection::vec(op(), 1..150),
        step_ms in 1..1500u64,
    ) {
        let mut run = Run::new(usize::MAX);
        for op in ops {
            run.step(op, step_ms);
        }
    }

    /// History and its model agree when bytes are short. Expired publications count until they are dropped, so the
    /// test drops them at once.
    #[test]
    fn the_oldest_of_all_go_when_bytes_are_short(
        ops in prop::collection::vec(op(), 1..150),
        bytes_max in 1..6000usize,
    ) {
        let mut run = Run::new(bytes_max);
        run.now_ms = 0;
        for op in ops {
            run.step(op, 1000);
            run.expire();
            run.forget_expired();
            assert_eq!(run.home.history_bytes(), run.kept.iter().map(|kept| kept.bytes).sum::<usize>());
        }
    }
}

#[test]
fn nothing_is_kept_for_ever() {
    let mut home = home();
    let options = history(1000, 5000);
    for i in 0..3000 {
        let channel = format!("c{}", i % 3);
        home.publish(at(i), publication(&channel, b"1"), &options, &Terms::default()).unwrap();
    }
    assert!(home.history_bytes() > 3000 && home.stream_count() == 3);
    let mut now_ms = 0;
    while let Some(next_ms) = home.next_expiry_ms() {
        now_ms = now_ms.max(next_ms);
        home.expire(at(now_ms));
        home.check_invariants();
        assert!(now_ms >= 9000 || home.stream_count() == 3, "positions live on");
    }
    assert_eq!((home.history_bytes(), home.stream_count(), home.len()), (0, 0, 0));
    assert!((LIMITS.history_meta_ttl_ms..LIMITS.history_meta_ttl_ms + 10_000).contains(&now_ms));
}

#[test]
fn one_call_does_a_bounded_part() {
    let mut home = home();
    let options = history(10_000, 5000);
    for _ in 0..5000 {
        home.publish(at(0), publication("c", b"1"), &options, &Terms::default()).unwrap();
    }
    let full = home.history_bytes();
    home.expire(at(60_000));
    assert!(home.history_bytes() > full / 2 && home.history_bytes() < full);
    assert!(home.next_expiry_ms().is_some_and(|at_ms| at_ms <= 60_000), "the rest follows at once");
    home.check_invariants();
}

/// An active channel keeps its publications; an idle one loses all of them after the same time.
#[test]
fn a_stream_lives_from_its_last_publication_on() {
    let mut home = home();
    let busy = history(100, 2000);
    for i in 0..20 {
        home.publish(at(i * 1200), publication("busy", b"1"), &busy, &Terms::default()).unwrap();
    }
    let kept = |home: &mut Home, now_ms, options: &Arc<ChannelOptions>| {
        let question = Question::History(HistoryFilter::default());
        let answer = home.ask(at(now_ms), &"busy".into(), options, &question);
        let Answer::History { publications, .. } = answer else { panic!("{answer:?}") };
        publications.len()
    };
    assert_eq!(kept(&mut home, 19 * 1200 + 1999, &busy), 20);
    assert_eq!(kept(&mut home, 19 * 1200 + 2000, &busy), 0);
    // An age limit of each publication changes that.
    let mut home = self::home();
    let aging = Arc::new(ChannelOptions { history_age_ms: 1500, ..ChannelOptions::clone(&busy) });
    for i in 0..20 {
        home.publish(at(i * 1200), publication("busy", b"1"), &aging, &Terms::default()).unwrap();
    }
    assert_eq!(kept(&mut home, 19 * 1200 + 299, &aging), 2);
    assert_eq!(kept(&mut home, 19 * 1200 + 300, &aging), 1);
    assert_eq!(kept(&mut home, 19 * 1200 + 1500, &aging), 0);
    home.check_invariants();
}
