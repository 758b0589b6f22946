//! Events of Socket.IO behind a hook: with random events, slow and failed answers, cuts and returns, in all shards, the
//! backend is asked about each event once, in the order in which its client sent them, with the state of the last answer;
//! and what it lets emit reaches everyone once. The end of a socket is reported once, when its client cannot return.
//!
//! One client, the witness, is never cut. A connection ends in several ways: after everything was sent, with a reset, or not
//! at all before its client is back. Then the client goes on with the same socket.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throng::parts::config::Config;
use throng::parts::hub::home::StateChange;
use throng::parts::hub::words::Denied;
use throng::parts::shard::mailbox::{Letter, ReplyTo};
use throng::parts::shard::outside::{
    Busy, Hook, Outside, Question, Rejected, SocketEnd, SocketEvents, Token, Verdict,
};
use throng::socketio::EventHook;

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, CLOSE, TEXT};
use crate::world::{LinkId, Received};

const SHARDS: u16 = 3;
const SEEDS: u64 = 100;
const CLIENTS: usize = 5;
const PING_MS: u64 = 2000;
const TTL_MS: u64 = 60_000;

/// Takes every question, and leaves the answer to the test.
#[derive(Debug, Default)]
struct SlowHook {
    asked: Mutex<Vec<(ReplyTo, SocketEvents)>>,
    ended: Mutex<Vec<SocketEnd>>,
}

impl Outside for SlowHook {
    fn verify_now(&self, _: &Token<'_>, _: u64) -> Option<Verdict> {
        None
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        let Question::SocketEvents { events, .. } = question else { panic!("{question:?}") };
        self.asked.lock().unwrap().push((reply_to, *events));
        Ok(())
    }

    fn tell_states(&self, _: Vec<StateChange>) {}

    fn tell_ends(&self, ends: Vec<SocketEnd>) {
        self.ended.lock().unwrap().extend(ends);
    }

    fn has_hook(&self, hook: Hook) -> bool {
        hook == Hook::SocketEvent
    }
}

/// A client of the official kind, which recovers its socket.
#[derive(Default)]
struct Emitter {
    link: Option<LinkId>,
    arrived: Vec<u8>,
    has_head: bool,
    is_connected: bool,
    sid: String,
    pid: String,
    offset: Option<String>,
    /// Numbers of its events.
    sent: Vec<u32>,
    /// Those of the present connection.
    sent_now: Vec<u32>,
    /// Those of connections that ended with nothing lost.
    arrived_all: Vec<u32>,
    acked: Vec<u32>,
    said: Vec<u32>,
    returns: u32,
}

/// The backend's view of a socket.
#[derive(Default)]
struct Known {
    asked: Vec<u32>,
    state: Value,
}

struct Traffic {
    small: Small,
    backend: Arc<SlowHook>,
    batch_max: usize,
    rng: Rng,
    clients: Vec<Emitter>,
    known: BTreeMap<String, Known>,
    /// Numbers of the events whose answers were effects, in the order of the answers.
    answered: Vec<u32>,
    next: u32,
    failures: u32,
}

impl Traffic {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let backend = Arc::new(SlowHook::default());
        let batch_max = rng.size(1..=3);
        let configure = |config: &mut Config| {
            let options = &mut config.socketio;
            options.enabled = true;
            (options.ping_interval_ms, options.ping_timeout_ms) = (PING_MS, PING_MS);
            options.recovery_ttl_ms = TTL_MS;
            options.events_waiting_max = rng.size(1..=4);
            options.event_hook = Some(EventHook { batch_max, ..EventHook::default() });
            options.reports_ends = true;
            config.limits.connections_max = 100;
        };
        let outside: Arc<dyn Outside> = Arc::clone(&backend) as _;
        let small = Small::asking(outside, configure, None, SHARDS, 1 << 16, 1 << 24);
        let clients = (0..CLIENTS).map(|_| Emitter::default()).collect();
        let known = BTreeMap::new();
        let mut traffic =
            Self { small, backend, batch_max, rng, clients, known, answered: vec![], next: 0, failures: 0 };
        (0..CLIENTS).for_each(|at| traffic.open(at));
        traffic.settle();
        traffic
    }

    fn open(&mut self, at: usize) {
        let link = self.small.world.borrow_mut().connect().unwrap();
        self.small.send(link, &wire::upgrade("/socket.io/?EIO=4&transport=websocket"));
        let client = &mut self.clients[at];
        (client.link, client.has_head, client.is_connected) = (Some(link), false, false);
        client.arrived.clear();
    }

    fn send(&mut self, at: usize, text: &str) {
        let Some(link) = self.clients[at].link else { return };
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, text.as_bytes(), &mut self.rng);
        self.small.send(link, &out);
    }

    fn emit(&mut self, at: usize) {
        let number = self.next;
        self.next += 1;
        self.clients[at].sent.push(number);
        self.clients[at].sent_now.push(number);
        self.send(at, &format!("42{number}[\"say\",{number}]"));
    }

    fn read(&mut self, at: usize) {
        let Some(link) = self.clients[at].link else { return };
        let received = self.small.world.borrow_mut().receive(link, usize::MAX, &mut self.clients[at].arrived);
        if !self.clients[at].has_head {
            let Some(status) = wire::take_response(&mut self.clients[at].arrived) else { return };
            assert_eq!(status, 101);
            self.clients[at].has_head = true;
        }
        while let Some(frame) = wire::take_frame(&mut self.clients[at].arrived) {
            assert_ne!(frame.opcode, CLOSE, "client {at}: {frame:?}");
            let text = String::from_utf8(frame.payload).unwrap();
            self.hear(at, &text);
        }
        if matches!(received, Received::End | Received::Reset) {
            // It has asked at an older connection, too, which a slower shard read later.
            assert_ne!(at, 0, "the witness is never cut");
            (self.clients[at].link, self.clients[at].is_connected) = (None, false);
            self.clients[at].sent_now.clear();
        }
    }

    fn hear(&mut self, at: usize, text: &str) {
        let (kind, rest) = text.split_at(if text.starts_with('4') { 2 } else { 1 });
        let client = &mut self.clients[at];
        match kind {
            "0" => {
                let auth = match client.pid.is_empty() {
                    true => json!({}),
                    false => json!({ "pid": client.pid, "offset": client.offset }),
                };
                self.send(at, &format!("40{auth}"));
            }
            "2" => self.send(at, "3"),
            "40" => {
                let answer: Value = serde_json::from_str(rest).unwrap();
                let (sid, pid) = (answer["sid"].as_str().unwrap(), answer["pid"].as_str().unwrap());
                assert!(
                    client.sid.is_empty() || client.sid == sid,
                    "client {at} did not get its socket back"
                );
                client.returns += u32::from(!client.sid.is_empty());
                (client.sid, client.pid, client.is_connected) = (sid.to_owned(), pid.to_owned(), true);
            }
            "42" => {
                let event: Vec<Value> = serde_json::from_str(rest).unwrap();
                client.said.push(event[1].as_u64().unwrap() as u32);
                client.offset = event[2].as_str().map(str::to_owned);
            }
            "43" => client.acked.push(rest.split_once('[').unwrap().0.parse().unwrap()),
            other => panic!("client {at} got {other}: {text}"),
        }
    }

    /// A client closes, and its end arrives.
    fn finish(&self, link: LinkId) {
        let mut world = self.small.world.borrow_mut();
        world.finish(link);
        world.carry(link);
    }

    /// Ends a client's connection, so that the server notices now or later.
    fn cut(&mut self, at: usize) {
        let Some(link) = self.clients[at].link.take() else { return };
        let sent = std::mem::take(&mut self.clients[at].sent_now);
        self.clients[at].is_connected = false;
        match self.rng.size(0..=2) {
            0 => {
                self.finish(link);
                // Before the client is back.
                (0..usize::from(SHARDS)).for_each(|shard| self.small.turn(shard));
                self.clients[at].arrived_all.extend(sent);
            }
            1 => self.small.world.borrow_mut().reset(link),
            // It is silent: its client is back before that is noticed.
            _ => {}
        }
    }

    /// Answers one of the open questions: with effects, or by a failure.
    fn answer(&mut self) {
        let mut asked = std::mem::take(&mut *self.backend.asked.lock().unwrap());
        if asked.is_empty() {
            return;
        }
        let (reply_to, events) = asked.remove(self.rng.size(0..=asked.len() - 1));
        self.backend.asked.lock().unwrap().extend(asked);
        let told: Value = serde_json::from_str(&format!("{{{}}}", events.fields)).unwrap();
        let number = |one: &Value| one["args"][0].as_u64().unwrap() as u32;
        let numbers: Vec<u32> = match self.batch_max {
            1 => vec![number(&told)],
            _ => told["events"].as_array().unwrap().iter().map(number).collect(),
        };
        assert!((1..=self.batch_max).contains(&numbers.len()) && numbers.len() == events.count);
        let known = self.known.entry(events.sid.clone()).or_default();
        assert_eq!(told.get("state").unwrap_or(&Value::Null), &known.state, "the state of the last answer");
        known.asked.extend(&numbers);
        let outcome = if self.rng.chance(15) {
            self.failures += 1;
            Err(Rejected::Denied(Denied::Internal))
        } else {
            let say = |number: &u32| json!({ "emit": { "event": "said", "args": [number] } });
            let acks: Vec<_> = numbers.iter().map(|_| json!({ "ack": [] })).collect();
            let does: Vec<_> = numbers.iter().map(say).collect();
            self.answered.extend(&numbers);
            known.state = json!({ "last": numbers.last() });
            Ok(json!({ "events": acks, "do": does, "state": known.state }).to_string())
        };
        let verdict = Box::new(Verdict::SocketEvents(outcome));
        let mailbox = &self.small.mailboxes[usize::from(reply_to.shard)];
        mailbox.put(&mut vec![Letter::Verdict { reply_to, verdict }]);
    }

    fn pass(&mut self, ms: u64) {
        self.small.world.borrow_mut().now_us += ms * 1000;
    }

    fn step(&mut self) {
        let at = self.rng.size(0..=CLIENTS - 1);
        match self.rng.size(0..=99) {
            0..=34 if self.clients[at].is_connected => self.emit(at),
            35..=38 if at != 0 => self.cut(at),
            39..=46 if self.clients[at].link.is_none() => self.open(at),
            47..=49 => {
                let ms = self.rng.range(1..=20);
                self.pass(ms);
            }
            50..=64 => self.answer(),
            65..=84 => {
                let shard = self.rng.size(0..=usize::from(SHARDS) - 1);
                self.small.turn_once(shard);
            }
            _ => self.read(at),
        }
        self.read(0);
    }

    /// Lets everything happen that is under way.
    fn settle(&mut self) {
        for _ in 0..300 {
            for shard in 0..usize::from(SHARDS) {
                while self.small.turn_once(shard) {}
            }
            (0..CLIENTS).for_each(|at| self.read(at));
            self.answer();
            self.pass(2);
        }
    }

    /// Everyone is there, and everything was handled.
    fn check(&mut self) {
        for _ in 0..3 {
            for at in 0..CLIENTS {
                if self.clients[at].link.is_none() {
                    self.open(at);
                }
            }
            self.settle();
        }
        let answered = &self.answered;
        for (at, client) in self.clients.iter().enumerate() {
            assert!(client.is_connected, "client {at}");
            let asked = self.known.get(&client.sid).map_or(&[][..], |known| &known.asked);
            assert!(asked.is_sorted_by(|a, b| a < b), "client {at}, each once, in order: {asked:?}");
            assert!(asked.iter().all(|number| client.sent.contains(number)));
            let arrived = client.arrived_all.iter().chain(&client.sent_now);
            let lost: Vec<_> = arrived.filter(|number| !asked.contains(number)).collect();
            assert!(lost.is_empty(), "client {at} lost {lost:?}");
            let mut said = client.said.clone();
            assert_eq!(said.len(), answered.len(), "client {at}");
            assert_eq!(said, self.clients[0].said, "client {at}, the one order");
            said.sort_unstable();
            let mut all = answered.clone();
            all.sort_unstable();
            assert_eq!(said, all, "client {at}");
            assert!(client.acked.is_sorted_by(|a, b| a < b), "client {at}: {:?}", client.acked);
            assert!(client.acked.iter().all(|number| answered.contains(number)));
        }
        assert!(self.backend.ended.lock().unwrap().is_empty(), "all have returned");
    }
}

#[test]
fn events_behind_a_hook_are_asked_about_once_in_order() {
    let (mut returns, mut answered, mut failures) = (0, 0, 0);
    let only = std::env::var("THRONG_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut traffic = Traffic::new(seed);
        for _ in 0..300 {
            traffic.step();
        }
        traffic.check();
        returns += traffic.clients.iter().map(|client| client.returns).sum::<u32>();
        (answered, failures) = (answered + traffic.answered.len(), failures + traffic.failures);
        // All leave, with an event on its way, and nobody returns.
        for at in 0..CLIENTS {
            traffic.emit(at);
            let link = traffic.clients[at].link.take().unwrap();
            traffic.finish(link);
        }
        traffic.settle();
        assert!(traffic.backend.ended.lock().unwrap().is_empty(), "they may return");
        traffic.pass(TTL_MS + 2000);
        traffic.settle();
        let ended = std::mem::take(&mut *traffic.backend.ended.lock().unwrap());
        assert_eq!(ended.len(), CLIENTS, "seed {seed}: each once");
        for end in ended {
            let known = &traffic.known[&end.sid];
            assert_eq!(known.asked.last(), known.asked.iter().max());
            let state = end.state.map_or(Value::Null, |state| serde_json::from_str(&state).unwrap());
            assert_eq!(state, known.state, "the state of the last answer");
            assert!(end.fields.contains("\"recovery_expired\":true"), "{}", end.fields);
        }
        let asked: usize = traffic.known.values().map(|known| known.asked.len()).sum();
        let last: Vec<_> = traffic.clients.iter().filter_map(|client| client.sent.last()).collect();
        let is_asked = |number: &u32| traffic.known.values().any(|known| known.asked.contains(number));
        assert!(asked > 0 && last.into_iter().all(is_asked), "the last events are not lost");
        assert_eq!(traffic.small.inside.load(Relaxed), 0, "seed {seed}");
    }
    println!("{returns} returns, {answered} events with effects, {failures} failures");
    assert!(only.is_some() || (returns > 300 && answered > 3000 && failures > 300));
}
