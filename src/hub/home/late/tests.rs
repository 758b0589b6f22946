//! Homes whose memory answers later, step by step and with answers in any order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::slow::{Held, slow};
use crate::hub::fixtures::{LIMITS, at, history, no_history, plain, publication};
use crate::hub::home::{Answer, Asker, Done, HistoryFilter, Home, Joining, Limits, Member, Question, Terms};
use crate::hub::options::ChannelOptions;
use crate::hub::{Position, Publication};

mod renewed;

/// An asker: its name, and the offsets that it wants.
#[derive(Debug)]
struct Who(u64, fn(u64) -> bool);

impl Asker for Who {
    fn wants(&self, publication: &Publication) -> bool {
        (self.1)(publication.offset)
    }
}

struct Stage {
    home: Home<Who>,
    held: Arc<Mutex<Held>>,
    options: Arc<ChannelOptions>,
    /// The results of all requests, in order.
    told: Vec<String>,
    now_ms: u64,
}

impl Stage {
    fn new(limits: Limits) -> Self {
        let (memory, held) = slow(&limits);
        let home = Home::with_memory(limits, 7.into(), memory);
        Self { home, held, options: history(10, 1000), told: Vec::new(), now_ms: 0 }
    }

    fn note(&mut self, done: Option<Done<Who>>) {
        let line = match done {
            None => return,
            Some(Done::Subscribed { asker, outcome: Ok(joined), .. }) => {
                let missed: Vec<_> = joined.publications.iter().map(|one| one.offset).collect();
                let offset = joined.position.as_ref().map_or(0, |position| position.offset);
                format!("{} joined at {offset} seq {} with {missed:?}", asker.0, joined.seq)
            }
            Some(Done::Subscribed { asker, outcome: Err(refused), .. }) => format!("{} {refused:?}", asker.0),
            Some(Done::Published { asker, outcome }) => {
                let asker = asker.map_or(0, |asker| asker.0);
                match outcome {
                    Ok(published) => {
                        let seq = published.delivery.as_ref().map_or(0, |(publication, _)| publication.seq);
                        format!("{asker} published at {} seq {seq}", published.position.offset)
                    }
                    Err(refused) => format!("{asker} {refused:?}"),
                }
            }
            Some(Done::Answered { asker, answer }) => match answer {
                Answer::History { publications, position } => {
                    let found: Vec<_> = publications.iter().map(|one| one.offset).collect();
                    format!("{} history at {} {found:?}", asker.0, position.offset)
                }
                other @ (Answer::Published(_)
                | Answer::Presence(_)
                | Answer::PresenceStats { .. }
                | Answer::Removed
                | Answer::Channels(_)
                | Answer::Users(_)
                | Answer::Gathered(_)
                | Answer::Refused(_)) => format!("{} {other:?}", asker.0),
            },
        };
        self.told.push(line);
    }

    fn subscribe(&mut self, who: u64, channel: &str, recover: Option<Position>) {
        self.subscribe_as(Who(who, |_| true), channel, recover);
    }

    fn subscribe_as(&mut self, who: Who, channel: &str, recover: Option<Position>) {
        let joining = Box::new(Joining { wants_position: true, recover, ..plain(0, who.0) });
        let options = Arc::clone(&self.options);
        let done = self.home.handle_subscribe(at(self.now_ms), channel.into(), options, joining, who);
        self.note(done);
        self.home.check_invariants();
    }

    fn publish(&mut self, who: u64, channel: &str, terms: Terms) {
        let from = Some(Member { shard: 0, conn: who });
        let (options, asker) = (Arc::clone(&self.options), Some(Who(who, |_| true)));
        let publication = publication(channel, b"1");
        let done = self.home.handle_publish(at(self.now_ms), publication, options, terms, (from, asker));
        self.note(done);
        self.home.check_invariants();
    }

    fn ask(&mut self, who: u64, channel: &str, question: Question) {
        let from = (Some(Member { shard: 0, conn: who }), Who(who, |_| true));
        let options = Arc::clone(&self.options);
        let done = self.home.handle_ask(at(self.now_ms), &channel.into(), options, question, from);
        self.note(done);
        self.home.check_invariants();
    }

    fn history(&mut self, who: u64, channel: &str) {
        self.ask(who, channel, Question::History(HistoryFilter::default()));
    }

    fn tell_done(&mut self) {
        while let Some(done) = self.home.take_done() {
            self.note(Some(done));
        }
        self.home.check_invariants();
    }

    fn gone(&mut self, who: u64) {
        self.home.handle_gone(at(self.now_ms), Member { shard: 0, conn: who });
        self.tell_done();
    }

    /// Releases the answer at this index, counted from the oldest; returns false when there is none.
    fn bring(&mut self, index: usize) -> bool {
        let Some((number, answer)) = self.held.lock().unwrap().take(index) else { return false };
        self.home.handle_memory(at(self.now_ms), number, answer);
        self.tell_done();
        true
    }

    fn bring_all(&mut self) {
        while self.bring(0) {}
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

fn place(offset: u64) -> Option<Position> {
    Some(Position { offset, epoch: "".into() })
}

#[test]
fn what_is_published_behind_one_that_waits_does_not_overtake_it() {
    let mut stage = Stage::new(LIMITS);
    stage.subscribe(1, "c", None);
    stage.bring_all();
    stage.told();
    for who in 2..5 {
        stage.publish(who, "c", Terms::default());
    }
    // Not kept: it could be published at once.
    stage.publish(5, "c", Terms { skip_history: true, ..Terms::default() });
    assert_eq!(stage.home.waiting_count(), 4);
    assert_eq!(stage.held.lock().unwrap().answers.len(), 3, "every entry asks the memory without waiting");
    assert!(stage.bring(2) && stage.bring(1) && stage.told().is_empty());
    stage.publish(6, "elsewhere", Terms { skip_history: true, ..Terms::default() });
    assert_eq!(stage.told(), ["6 published at 0 seq 0"], "other channels do not wait");
    stage.bring(0);
    let expected = ["2 published at 1 seq 1", "3 published at 2 seq 2", "4 published at 3 seq 3"];
    assert_eq!(stage.told(), [&expected[..], &["5 published at 0 seq 4"]].concat());
    assert_eq!(stage.home.waiting_count(), 0);
}

#[test]
fn who_subscribes_meanwhile_gets_each_publication_once() {
    let mut stage = Stage::new(LIMITS);
    stage.subscribe(1, "c", None);
    stage.publish(2, "c", Terms::default());
    stage.subscribe(3, "c", place(0));
    stage.publish(4, "c", Terms::default());
    assert_eq!(stage.held.lock().unwrap().answers.len(), 1, "all wait for the stream");
    stage.bring(0);
    assert_eq!(stage.held.lock().unwrap().answers.len(), 4);
    // The answers come in reverse order.
    assert!(stage.bring(3) && stage.bring(2) && stage.bring(1) && stage.told().is_empty());
    stage.bring(0);
    let expected = [
        "1 joined at 0 seq 0 with []",
        "2 published at 1 seq 1",
        "3 joined at 1 seq 1 with [1]",
        "4 published at 2 seq 2",
    ];
    assert_eq!(stage.told(), expected);
    assert_eq!(stage.home.subscriber_count("c"), 2);
}

#[test]
fn who_is_gone_is_not_counted_and_what_it_published_is() {
    let mut stage = Stage::new(LIMITS);
    stage.publish(1, "c", Terms::default());
    stage.subscribe(1, "c", None);
    stage.history(1, "c");
    stage.history(2, "c");
    stage.subscribe(1, "other", None);
    stage.gone(1);
    assert_eq!((stage.home.waiting_count(), stage.told()), (2, vec![]));
    stage.bring_all();
    assert_eq!(stage.told(), ["0 published at 1 seq 0", "2 history at 1 [1]"]);
    assert_eq!((stage.home.subscriber_count("c"), stage.home.waiting_count()), (0, 0));
    // The connection closes while the memory reads for it.
    stage.subscribe(1, "c", None);
    stage.publish(2, "c", Terms::default());
    stage.gone(1);
    stage.bring_all();
    assert_eq!(
        (stage.told(), stage.home.subscriber_count("c")),
        (vec!["2 published at 2 seq 0".to_owned()], 0)
    );
}

#[test]
fn each_hears_of_a_memory_that_fails_and_the_next_may_succeed() {
    let mut stage = Stage::new(LIMITS);
    stage.held.lock().unwrap().is_broken = true;
    stage.subscribe(1, "c", None);
    stage.publish(2, "c", Terms::default());
    stage.history(3, "c");
    stage.ask(4, "c", Question::RemoveHistory);
    assert_eq!(stage.told(), [""; 0]);
    stage.bring(0);
    assert_eq!(stage.told(), ["1 Unavailable"]);
    stage.held.lock().unwrap().is_broken = false;
    stage.bring_all();
    let failed = ["2 Unavailable", "3 history at 0 []", "4 Removed"];
    assert_eq!(stage.told(), failed, "the stream was asked for again");
    stage.publish(5, "c", Terms::default());
    stage.held.lock().unwrap().is_broken = true;
    stage.publish(6, "c", Terms::default());
    stage.history(7, "c");
    stage.ask(8, "c", Question::RemoveHistory);
    stage.subscribe(9, "c", None);
    stage.bring_all();
    let failed = ["7 Refused(Unavailable)", "8 Refused(Unavailable)", "9 Unavailable"];
    assert_eq!(stage.told(), [&["5 published at 1 seq 0", "6 Unavailable"], &failed[..]].concat());
    // A channel whose only request failed does not exist.
    stage.subscribe(1, "new", None);
    stage.bring_all();
    assert_eq!((stage.home.len(), stage.home.stream_count()), (1, 1));
}

#[test]
fn a_key_that_is_under_way_is_not_published_again() {
    let mut stage = Stage::new(LIMITS);
    stage.history(1, "c");
    stage.bring_all();
    stage.told();
    let terms = || Terms { idempotency_key: Some("k".into()), ..Terms::default() };
    stage.publish(2, "c", terms());
    stage.publish(3, "c", terms());
    stage.publish(4, "c", Terms::default());
    assert_eq!(
        stage.held.lock().unwrap().answers.len(),
        1,
        "what comes behind the second has to wait as well"
    );
    stage.bring_all();
    let expected = ["2 published at 1 seq 0", "3 published at 1 seq 0", "4 published at 2 seq 0"];
    assert_eq!(stage.told(), expected);
    // The first of them may fail.
    let terms = || Terms { idempotency_key: Some("l".into()), ..Terms::default() };
    stage.held.lock().unwrap().is_broken = true;
    stage.publish(5, "c", terms());
    stage.held.lock().unwrap().is_broken = false;
    stage.publish(6, "c", terms());
    stage.bring_all();
    assert_eq!(stage.told(), ["5 Unavailable", "6 published at 3 seq 0"]);
    // The same without history, behind an entry that waits.
    let terms = || Terms { idempotency_key: Some("m".into()), skip_history: true, ..Terms::default() };
    stage.publish(7, "c", Terms::default());
    stage.publish(8, "c", terms());
    stage.publish(9, "c", terms());
    stage.subscribe(1, "c", None);
    stage.bring_all();
    let told = ["7 published at 4 seq 0", "8 published at 0 seq 0", "9 published at 0 seq 0"];
    assert_eq!(stage.told(), [&told[..], &["1 joined at 4 seq 5 with []"]].concat());
}

#[test]
fn a_channel_in_which_something_waits_stays() {
    let mut stage = Stage::new(Limits { channels_max: 1, ..LIMITS });
    stage.options = Arc::new(ChannelOptions { history_meta_ttl_ms: 1000, ..(*history(1, 1000)).clone() });
    stage.subscribe(1, "c", None);
    stage.bring_all();
    stage.publish(2, "c", Terms::default());
    assert!(stage.home.unsubscribe(at(0), "c", Member { shard: 0, conn: 1 }));
    stage.told();
    // Neither expiry, nor another channel, nor short memory ends the channel.
    stage.now_ms = 60_000;
    stage.home.expire(at(stage.now_ms));
    stage.home.set_short(true);
    stage.home.relieve(0, 100);
    stage.home.check_invariants();
    stage.subscribe(3, "d", None);
    assert_eq!((stage.told(), stage.home.len()), (vec!["3 TooManyChannels".to_owned()], 1));
    assert!(stage.home.channel_bytes() > 0);
    stage.bring_all();
    assert_eq!(stage.told(), ["2 published at 1 seq 0"]);
    // The memory inspects a part of its streams each time.
    for _ in 0..4 {
        stage.home.relieve(0, 100);
    }
    assert_eq!((stage.home.len(), stage.home.stream_count()), (0, 0));
    // A memory that fails before the channel has a stream is noted as well.
    stage.home.set_short(false);
    stage.history(4, "c");
    stage.now_ms = 120_000;
    stage.home.expire(at(stage.now_ms));
    stage.gone(4);
    assert_eq!(stage.home.len(), 1, "its stream is being opened");
    stage.bring_all();
    stage.home.check_invariants();
    assert_eq!((stage.told(), stage.home.stream_count()), (vec![], 1));
}

#[test]
fn what_waits_is_bounded() {
    let mut stage = Stage::new(Limits { waiting_max: 3, ..LIMITS });
    let bytes = stage.home.channel_bytes();
    for who in 1..=4 {
        stage.publish(who, "c", Terms::default());
    }
    stage.history(5, "d");
    assert_eq!(stage.told(), ["4 TooManyWaiting", "5 Refused(TooManyWaiting)"]);
    assert_eq!((stage.home.waiting_count(), stage.home.len()), (3, 1));
    assert!(stage.home.channel_bytes() > bytes + 300);
    stage.bring_all();
    assert_eq!(stage.told().len(), 3);
    stage.history(5, "d");
    assert_eq!(stage.home.waiting_count(), 1);
}

#[test]
fn an_answer_at_once_takes_its_turn_behind_one_that_waits() {
    let mut stage = Stage::new(LIMITS);
    stage.history(1, "c");
    stage.bring_all();
    stage.publish(2, "c", Terms::default());
    stage.held.lock().unwrap().is_prompt = true;
    stage.publish(3, "c", Terms::default());
    stage.subscribe(4, "c", place(0));
    stage.told();
    stage.bring_all();
    let expected = ["2 published at 1 seq 0", "3 published at 2 seq 0", "4 joined at 2 seq 2 with [1, 2]"];
    assert_eq!(stage.told(), expected);
    stage.publish(5, "c", Terms::default());
    assert_eq!(stage.told(), ["5 published at 3 seq 3"], "and then at once");
}

#[test]
fn places_may_be_somebody_elses_to_give() {
    let mut stage = Stage::new(LIMITS);
    stage.held.lock().unwrap().stride = 100;
    stage.subscribe(1, "c", None);
    stage.publish(2, "c", Terms::default());
    stage.bring_all();
    stage.told();
    let (options, from) = (Arc::clone(&stage.options), (None, None));
    let done = stage.home.handle_publish(at(5), publication("c", b"1"), options, Terms::default(), from);
    assert!(done.is_none());
    let (number, answer) = stage.held.lock().unwrap().take(0).unwrap();
    stage.home.handle_memory(at(9), number, answer);
    let Some(Done::Published { outcome: Ok(published), .. }) = stage.home.take_done() else { panic!() };
    assert_eq!(published.position, Position { offset: 200, epoch: "broker".into() });
    let (delivered, _) = published.delivery.unwrap();
    assert_eq!((delivered.offset, delivered.seq), (200, 2));
}

#[test]
fn the_last_that_passes_is_looked_for_in_what_comes_later() {
    let mut stage = Stage::new(LIMITS);
    stage.options = Arc::new(ChannelOptions { is_cache_recovery: true, ..(*history(9, 1000)).clone() });
    (0..4).for_each(|_| stage.publish(1, "c", Terms::default()));
    stage.bring_all();
    stage.told();
    stage.subscribe_as(Who(2, |offset| offset < 3), "c", place(0));
    stage.subscribe_as(Who(3, |_| true), "c", place(0));
    stage.bring_all();
    assert_eq!(stage.told(), ["2 joined at 4 seq 4 with [2]", "3 joined at 4 seq 4 with [4]"]);
}

#[test]
fn who_is_there_is_told_at_once() {
    let mut stage = Stage::new(LIMITS);
    stage.history(1, "c");
    stage.ask(2, "c", Question::PresenceStats);
    assert_eq!(stage.told(), ["2 PresenceStats { client_count: 0, user_count: 0 }"]);
    stage.options = no_history();
    stage.history(3, "plain");
    assert_eq!(stage.told(), ["3 history at 0 []"], "without a history the memory is not asked");
}

#[derive(Clone, Debug)]
enum Op {
    Subscribe(usize),
    Publish(usize, bool, bool),
    Leave(u64),
    Bring(usize),
    Break(bool),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let channel = 0..2usize;
    prop_oneof![
        4 => channel.clone().prop_map(Op::Subscribe),
        6 => (channel, any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(c, key, skip)| Op::Publish(c, key, skip)),
        2 => (0..40u64).prop_map(Op::Leave),
        8 => (0..6usize).prop_map(Op::Bring),
        1 => prop::bool::weighted(0.3).prop_map(Op::Break),
        1 => (0..3000u64).prop_map(Op::Pass),
    ]
}

proptest! {
    /// For any order of events, each remaining asker gets one answer, in the order of its channel, and no entry is
    /// left.
    #[test]
    fn everyone_is_answered_once_and_in_order(ops in prop::collection::vec(op(), 1..120)) {
        const NAMES: [&str; 2] = ["a", "b"];
        let mut stage = Stage::new(Limits { waiting_max: 1000, ..LIMITS });
        let mut asked: [Vec<u64>; 2] = Default::default();
        let (mut who, mut gone) = (0, Vec::new());
        for op in ops {
            match op {
                Op::Subscribe(channel) => {
                    who += 1;
                    asked[channel].push(who);
                    stage.subscribe(who, NAMES[channel], place(0));
                }
                Op::Publish(channel, is_keyed, skip_history) => {
                    who += 1;
                    asked[channel].push(who);
                    // Few keys, so that they repeat; known keys are answered at once.
                    let idempotency_key = is_keyed.then(|| format!("{}", who % 3).into());
                    stage.publish(who, NAMES[channel], Terms { idempotency_key, skip_history, ..Terms::default() });
                }
                Op::Leave(one) => {
                    gone.push(one);
                    stage.gone(one);
                }
                Op::Bring(index) => {
                    stage.bring(index);
                }
                Op::Break(is_broken) => stage.held.lock().unwrap().is_broken = is_broken,
                Op::Pass(ms) => {
                    stage.now_ms += ms;
                    stage.home.expire(at(stage.now_ms));
                    stage.home.check_invariants();
                }
            }
        }
        stage.bring_all();
        prop_assert_eq!(stage.home.waiting_count(), 0);
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        let told = stage.told();
        for (at, line) in told.iter().enumerate() {
            let one: u64 = line.split(' ').next().unwrap().parse().unwrap();
            prop_assert!(one == 0 || places.insert(one, at).is_none(), "twice: {}", line);
        }
        let is_known = |one: &u64| told[places[one]].contains("published");
        for channel in &asked {
            let answered: Vec<u64> = channel.iter().copied().filter(|one| places.contains_key(one)).collect();
            let unheard = channel.iter().find(|one| !places.contains_key(one) && !gone.contains(one));
            prop_assert_eq!(unheard, None);
            let joined: Vec<_> = answered.iter().filter(|one| !is_known(one)).map(|one| places[one]).collect();
            prop_assert!(joined.is_sorted(), "{:?}", told);
        }
        // Delivered items have increasing numbers.
        let seqs: Vec<u64> = told
            .iter()
            .filter(|line| line.contains("published"))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .filter(|&seq| seq > 0)
            .collect();
        prop_assert!(seqs.is_sorted_by(|a, b| a < b), "{:?}", told);
    }
}
