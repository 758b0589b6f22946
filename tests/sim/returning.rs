//! Clients of Socket.IO that return to their sockets: with random events, cuts and returns, in all shards, each client
//! gets each event that is for it, once, in the one order of its namespace.
//!
//! One client, the witness, is never cut and is in all rooms: its order is the order. A connection ends in several ways:
//! with and without a trace, with unread data, or not at all before its client is back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use throng::parts::base::counters::Counter;
use throng::parts::config::Config;
use throng::parts::shard::counters::Counters;
use throng::socketio::{Ending, Event, Socket};

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, CLOSE, TEXT};
use crate::world::{LinkId, Received};

const SHARDS: u16 = 3;
const SEEDS: u64 = 100;
const CLIENTS: usize = 6;
const ROOMS: [&str; 3] = ["a", "b", "c"];
/// Most bytes on the way to a client: some wait in its outbox.
const DOWN_BYTES_MAX: usize = 300;
const PING_MS: u64 = 400;
const TTL_MS: u64 = 60_000;

/// Does as an event says; returns its number. The arguments end with a text, which a client takes for an offset if nothing
/// follows.
pub(crate) fn obey(event: &Event<'_>, socket: &mut Socket<'_, '_>) -> Result<u32, Ending> {
    let (number, to, except, is_to_others): (u32, Vec<String>, Vec<String>, bool) =
        event.read().expect("what this test sends");
    if event.name == "do join" {
        for room in &to {
            socket.join(room)?;
        }
    }
    if event.name == "do tell" {
        socket.emit("told", &(number, "text"))?;
    }
    if event.name == "do say" {
        let mut emit = if is_to_others { socket.others() } else { socket.everyone() };
        for room in &to {
            emit = emit.to(room);
        }
        for room in &except {
            emit = emit.except(room);
        }
        emit.emit("said", &(number, "text"))?;
    }
    Ok(number)
}

/// An event that a client has sent.
struct Said {
    by: usize,
    is_direct: bool,
    to: Vec<&'static str>,
    except: Vec<&'static str>,
    is_to_others: bool,
}

/// A client of the official kind: it keeps its private id, and the last argument of each event that is a text.
#[derive(Default)]
struct Comer {
    link: Option<LinkId>,
    arrived: Vec<u8>,
    has_head: bool,
    is_connected: bool,
    sid: String,
    pid: String,
    offset: Option<String>,
    rooms: Vec<&'static str>,
    said: Vec<u32>,
    told: Vec<u32>,
    returns: u32,
    refused: u32,
}

struct Journey {
    small: Small,
    rng: Rng,
    clients: Vec<Comer>,
    sent: BTreeMap<u32, Said>,
}

fn configure(config: &mut Config) {
    config.socketio.enabled = true;
    config.socketio.ping_interval_ms = PING_MS;
    config.socketio.ping_timeout_ms = PING_MS;
    config.socketio.recovery_ttl_ms = TTL_MS;
    // A batch takes several turns.
    config.limits.deliveries_per_turn_max = 2;
    config.limits.connections_max = 100;
    // All wait for their clients.
    config.limits.outbox_bytes_max = 1 << 20;
}

impl Journey {
    fn new(seed: u64) -> Self {
        let outside = std::sync::Arc::new(throng::parts::shard::outside::Nobody);
        let small = Small::asking(outside, configure, None, SHARDS, DOWN_BYTES_MAX, 1 << 24);
        let mut rng = Rng::new(seed);
        let clients = (0..CLIENTS).map(|at| {
            let rooms = ROOMS.into_iter().filter(|_| at == 0 || rng.chance(50)).collect();
            Comer { rooms, ..Comer::default() }
        });
        let clients = clients.collect();
        let mut scene = Self { small, rng, clients, sent: BTreeMap::new() };
        for at in 0..CLIENTS {
            scene.open(at);
        }
        scene.settle();
        for at in 0..CLIENTS {
            let rooms: Vec<_> = scene.clients[at].rooms.clone();
            scene.emit(
                at,
                "do join",
                Said { by: at, is_direct: false, to: rooms, except: vec![], is_to_others: false },
            );
        }
        scene.settle();
        scene
    }

    /// A new connection for a client.
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

    fn emit(&mut self, at: usize, name: &str, said: Said) {
        let number = self.sent.len() as u32;
        let event = json!([name, number, said.to, said.except, said.is_to_others]);
        self.sent.insert(number, said);
        self.send(at, &format!("42{event}"));
    }

    /// A client reads what has come, up to so many bytes.
    fn read(&mut self, at: usize, bytes_max: usize) {
        let Some(link) = self.clients[at].link else { return };
        let received = self.small.world.borrow_mut().receive(link, bytes_max, &mut self.clients[at].arrived);
        if !self.clients[at].has_head {
            let Some(status) = wire::take_response(&mut self.clients[at].arrived) else { return };
            assert_eq!(status, 101);
            self.clients[at].has_head = true;
        }
        while let Some(frame) = wire::take_frame(&mut self.clients[at].arrived) {
            if frame.opcode == CLOSE {
                // It did not read the ping in time.
                assert!(at != 0 && frame.payload.starts_with(&3012_u16.to_be_bytes()), "{frame:?}");
                self.small.world.borrow_mut().leave(link);
                self.clients[at].link = None;
                return;
            }
            let text = String::from_utf8(frame.payload).unwrap();
            self.hear(at, &text);
        }
        if matches!(received, Received::End | Received::Reset) {
            // It has asked at an older connection, too, which a slower shard read later.
            assert_ne!(at, 0, "the witness is never cut");
            self.clients[at].link = None;
        }
    }

    fn hear(&mut self, at: usize, text: &str) {
        let (kind, rest) = text.split_at(if text.starts_with('4') { 2 } else { 1 });
        match kind {
            "0" => {
                let client = &self.clients[at];
                let mut auth = json!({});
                if !client.pid.is_empty() {
                    auth["pid"] = client.pid.clone().into();
                }
                if let Some(offset) = &client.offset {
                    auth["offset"] = offset.clone().into();
                }
                self.send(at, &format!("40{auth}"));
            }
            "2" => self.send(at, "3"),
            "40" => {
                let answer: Value = serde_json::from_str(rest).unwrap();
                let client = &mut self.clients[at];
                let (sid, pid) = (answer["sid"].as_str().unwrap(), answer["pid"].as_str().unwrap());
                if !client.pid.is_empty() {
                    let is_recovered = (sid, pid) == (&*client.sid, &*client.pid);
                    client.returns += u32::from(is_recovered);
                    client.refused += u32::from(!is_recovered);
                }
                (client.sid, client.pid, client.is_connected) = (sid.to_owned(), pid.to_owned(), true);
            }
            "42" => {
                let event: Vec<Value> = serde_json::from_str(rest).unwrap();
                let client = &mut self.clients[at];
                assert!(client.is_connected, "the answer to CONNECT comes first");
                let number = event[1].as_u64().unwrap() as u32;
                let list = if event[0] == "said" { &mut client.said } else { &mut client.told };
                list.push(number);
                let Value::String(offset) = &event[event.len() - 1] else { panic!("no offset: {text}") };
                assert!(event.len() == 4 && offset != "text", "no offset: {text}");
                client.offset = Some(offset.clone());
            }
            other => panic!("client {at} got {other}: {text}"),
        }
    }

    /// Ends a client's connection, so that the server notices now or later.
    fn cut(&mut self, at: usize) {
        let Some(link) = self.clients[at].link.take() else { return };
        let mut world = self.small.world.borrow_mut();
        match self.rng.size(0..=3) {
            0 => world.leave(link),
            1 => world.reset(link),
            2 => world.finish(link),
            // It is silent: the server pings in vain, or the client is back before.
            _ => {}
        }
    }

    fn pass(&mut self, ms: u64) {
        self.small.world.borrow_mut().now_us += ms * 1000;
    }

    /// One random step.
    fn step(&mut self) {
        let at = self.rng.size(1..=CLIENTS - 1);
        match self.rng.size(0..=99) {
            0..=29 if self.clients[at].is_connected => {
                let mut pick =
                    |percent| ROOMS.into_iter().filter(|_| self.rng.chance(percent)).collect::<Vec<_>>();
                let (to, except) = (pick(35), pick(10));
                let is_to_others = self.rng.chance(30);
                self.emit(at, "do say", Said { by: at, is_direct: false, to, except, is_to_others });
            }
            30..=44 if self.clients[at].is_connected => {
                self.emit(
                    at,
                    "do tell",
                    Said { by: at, is_direct: true, to: vec![], except: vec![], is_to_others: false },
                );
            }
            45..=49 => self.cut(at),
            50..=57 if self.clients[at].link.is_none() => self.open(at),
            58..=61 => {
                let ms = self.rng.range(1..=PING_MS / 2);
                self.pass(ms);
            }
            62..=84 => {
                let shard = self.rng.size(0..=usize::from(SHARDS) - 1);
                self.small.turn_once(shard);
            }
            _ => {
                let bytes_max = self.rng.size(1..=DOWN_BYTES_MAX);
                let reader = self.rng.size(0..=CLIENTS - 1);
                self.read(reader, bytes_max);
            }
        }
        // It answers pings.
        self.read(0, usize::MAX);
    }

    /// Lets everything happen that is under way.
    fn settle(&mut self) {
        for _ in 0..400 {
            for shard in 0..usize::from(SHARDS) {
                while self.small.turn_once(shard) {}
            }
            (0..CLIENTS).for_each(|at| self.read(at, usize::MAX));
            self.pass(5);
        }
    }

    /// Whether an event is for a client. With the namespace itself as its room, it is for all.
    fn is_for(&self, number: u32, at: usize) -> bool {
        let said = &self.sent[&number];
        let is_in = |rooms: &[&str]| rooms.iter().any(|room| self.clients[at].rooms.contains(room));
        let is_meant = said.to.is_empty() || is_in(&said.to);
        is_meant && !is_in(&said.except) && !(said.is_to_others && said.by == at)
    }

    /// Everyone is there, and has everything.
    fn check(&mut self) {
        for _ in 0..3 {
            for at in 0..CLIENTS {
                if self.clients[at].link.is_none() {
                    self.open(at);
                }
            }
            self.settle();
        }
        let handled = self.small.told.lock().unwrap().clone();
        // The witness is in all rooms: what leaves out one of them is not for it.
        let order = &self.clients[0].said;
        for at in 0..CLIENTS {
            let client = &self.clients[at];
            assert!(client.is_connected && client.refused == 0, "client {at} did not get its socket back");
            let is_direct = |number: &&u32| self.sent[number].is_direct && self.sent[number].by == at;
            assert_eq!(
                client.told,
                handled.iter().filter(is_direct).copied().collect::<Vec<_>>(),
                "client {at}"
            );
            let seen = |number: &&u32| self.sent[number].except.is_empty();
            let expected: Vec<u32> =
                order.iter().copied().filter(|number| self.is_for(*number, at)).collect();
            let got: Vec<u32> = client.said.iter().filter(seen).copied().collect();
            assert_eq!(got, expected, "client {at}, of what the witness has");
            // Of the others, the order among clients that both have them is not checked, but each comes once.
            let mut all = client.said.clone();
            all.sort_unstable();
            let said = |number: &&u32| !self.sent[number].is_direct && **number >= CLIENTS as u32;
            let mut due: Vec<u32> =
                handled.iter().filter(said).copied().filter(|number| self.is_for(*number, at)).collect();
            due.sort_unstable();
            assert_eq!(all, due, "client {at}");
        }
    }
}

fn count(small: &Small, of: impl Fn(&Counters) -> &Counter) -> u64 {
    small.counters.iter().map(|counters| of(counters).value()).sum()
}

#[test]
fn who_returns_gets_everything_once_in_order() {
    let (mut returns, mut told) = (0, 0);
    let only = std::env::var("THRONG_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut scene = Journey::new(seed);
        for _ in 0..300 {
            scene.step();
        }
        scene.check();
        returns += scene.clients.iter().map(|client| client.returns).sum::<u32>();
        told += scene.clients.iter().map(|client| client.told.len()).sum::<usize>();
        // All leave, and nobody returns: the application is told of each once.
        for at in 0..CLIENTS {
            let link = scene.clients[at].link.take().unwrap();
            scene.small.world.borrow_mut().leave(link);
        }
        scene.settle();
        assert_eq!(count(&scene.small, |c| &c.sockets_away), CLIENTS as u64);
        scene.pass(TTL_MS + 2000);
        scene.settle();
        assert_eq!(scene.small.inside.load(std::sync::atomic::Ordering::Relaxed), 0, "seed {seed}");
        assert_eq!(count(&scene.small, |c| &c.sockets_away), 0);
        assert!(count(&scene.small, |c| &c.socket_recoveries_expired) >= CLIENTS as u64);
        // Less than one event: a queue that is empty.
        assert!(count(&scene.small, |c| &c.history_bytes) < 300 * u64::from(SHARDS));
    }
    println!("{returns} returns, {told} events for one socket");
    assert!(only.is_some() || (returns > 500 && told > 500));
}
