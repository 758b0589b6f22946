//! Sessions on long-polling, and their move to a WebSocket in all ways that clients have, in several shards, with cuts at
//! every point: nothing is lost, nothing comes twice, the order stays, each poll is answered once, and nothing is left.

mod dancer;

use std::collections::BTreeMap;
use std::sync::Arc;

use throng::parts::shard::outside::Nobody;

use crate::rng::Rng;
use crate::seeds;
use crate::small::Small;
use dancer::Dancer;

const SHARDS: u16 = 3;
const DANCERS: usize = 5;
const STEPS: usize = 1500;
/// Number of seeds: each dance is long.
const DANCES_MAX: u64 = 60;
/// Time in which all that was sent has arrived, and time after which silent sessions are gone, in milliseconds.
const SETTLED_MS: u64 = 1200;
const GONE_MS: u64 = 15_000;

/// Numbers of events in some runs.
type Counts = BTreeMap<&'static str, u64>;

struct Dance {
    small: Small,
    rng: Rng,
    dancers: Vec<Dancer>,
}

impl Dance {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let upgrade_timeout_ms = rng.pick(&[15, 100, 10_000]);
        let configure = |config: &mut throng::parts::config::Config| {
            let socketio = &mut config.socketio;
            (socketio.enabled, socketio.upgrade_timeout_ms) = (true, upgrade_timeout_ms);
            // Pings cross everything else; silence ends a session late.
            (socketio.ping_interval_ms, socketio.ping_timeout_ms) = (70, 5000);
            config.limits.connections_max = 1000;
            config.limits.deliveries_per_turn_max = 3;
        };
        let down_bytes_max = rng.pick(&[300, 1 << 20]);
        let small = Small::asking(Arc::new(Nobody), configure, None, SHARDS, down_bytes_max, 1 << 20);
        {
            let faults = &mut small.world.borrow_mut().faults;
            (faults.cut_arrival, faults.short_write, faults.partial_poll, faults.stale) = (40, 20, 20, 10);
            (faults.stuck_hand_over, faults.lost_hand_over) = (rng.pick(&[0, 10]), rng.pick(&[0, 10]));
        }
        let cuts = rng.pick(&[0, 0, 1, 4]);
        let vain = upgrade_timeout_ms > 1000;
        let dancers = (0..DANCERS).map(|at| Dancer::new(at == 0, at + 1 == DANCERS, cuts, vain)).collect();
        Self { small, rng, dancers }
    }

    /// Lets shards turn in any order, and the world pass on what was sent.
    fn turn(&mut self) {
        let count = self.small.world.borrow().links.len();
        for link in 0..count {
            self.small.world.borrow_mut().carry(link);
        }
        for _ in 0..self.rng.size(1..=6) {
            let shard = self.rng.size(0..=usize::from(SHARDS) - 1);
            self.small.step(shard);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.small.world.borrow_mut().now_us += ms * 1000;
    }

    fn run(mut self) -> Counts {
        for _ in 0..STEPS {
            let at = self.rng.size(0..=DANCERS - 1);
            self.dancers[at].act(&self.small, &mut self.rng);
            self.turn();
            self.dancers.iter_mut().for_each(|dancer| dancer.listen(&self.small));
            let ms = self.rng.pick(&[0, 0, 0, 1, 1, 7]);
            self.pass(ms);
        }
        self.settle();
        let said = self.dancers.iter().filter(|dancer| dancer.is_alive()).filter_map(Dancer::last_said).max();
        for dancer in &self.dancers {
            dancer.check(said);
        }
        self.leave();
        self.counts()
    }

    /// Everybody is answered, and hears what was sent.
    fn settle(&mut self) {
        self.small.world.borrow_mut().calm();
        for _ in 0..SETTLED_MS / 3 {
            for dancer in &mut self.dancers {
                dancer.finish(&self.small, &mut self.rng);
            }
            for _ in 0..2 {
                self.turn();
            }
            self.dancers.iter_mut().for_each(|dancer| dancer.listen(&self.small));
            self.pass(3);
        }
    }

    /// All leave: then nothing is left.
    fn leave(&mut self) {
        let count = self.small.world.borrow().links.len();
        for link in 0..count {
            self.small.world.borrow_mut().leave(link);
        }
        for _ in 0..GONE_MS / 20 {
            for _ in 0..2 {
                self.turn();
            }
            self.pass(20);
        }
        assert_eq!(self.small.connection_count(), 0, "all are gone");
        assert!(self.small.world.borrow().is_settled(), "no socket is on its way");
        assert_eq!(self.small.budget.used(), 0, "no byte is queued");
        for name in [
            "connections",
            "sessions",
            "probes",
            "forwarding",
            "half_open",
            "outboxes",
            "subscriptions",
            "channels",
        ] {
            assert_eq!(self.counter(name), 0, "{name}");
        }
    }

    fn counter(&self, name: &str) -> u64 {
        let all = self.small.counters.iter().flat_map(|counters| counters.each());
        all.filter(|(counter, _)| *counter == name).map(|(_, value)| value).sum()
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for name in ["upgrades", "upgrades_failed", "upgrades_refused", "sockets_moved"] {
            counts.insert(name, self.counter(name));
        }
        for dancer in &self.dancers {
            for (name, count) in dancer.counts() {
                *counts.entry(name).or_default() += count;
            }
        }
        counts
    }
}

/// Requests of polls are refused, and harm no session, while too many bytes are queued; a flood of polls leaves nothing.
#[test]
fn floods_of_polls_and_posts_are_refused_while_bytes_are_short() {
    let mut dance = Dance::new(3);
    let mut client = Dancer::new(false, true, 0, false);
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        client.finish(&dance.small, &mut rng);
        client.act(&dance.small, &mut rng);
        dance.turn();
        client.listen(&dance.small);
        dance.pass(1);
    }
    let target = client.target().unwrap();
    let request = |method: &str, body: &str| {
        let length = body.len();
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let links: Vec<_> = (0..20).map(|_| dance.small.world.borrow_mut().connect().unwrap()).collect();
    let flood = |dance: &mut Dance| -> Vec<u16> {
        for &link in &links {
            dance.small.send(link, request("POST", "6").as_bytes());
        }
        let mut all: Vec<Vec<u8>> = vec![Vec::new(); links.len()];
        for _ in 0..200 {
            dance.turn();
            dance.pass(1);
            for (&link, arrived) in links.iter().zip(&mut all) {
                dance.small.receive(link, usize::MAX, arrived);
            }
        }
        all.iter().map(|answer| std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap()).collect()
    };
    dance.small.budget.charge(1 << 21);
    assert_eq!(flood(&mut dance), [503; 20]);
    dance.small.budget.release(1 << 21);
    assert_eq!(flood(&mut dance), [200; 20], "the session is unharmed");
    assert_eq!(dance.counter("polls_busy"), 20);
    // The client fetches what has come, and its next poll waits.
    for _ in 0..30 {
        client.listen(&dance.small);
        client.finish(&dance.small, &mut rng);
        dance.turn();
    }
    assert_eq!(dance.counter("polls_waiting"), 1);
    dance.leave();
    assert_eq!(dance.counter("polls_waiting"), 0);
}

/// A poll takes queued bytes away, and a client gives up a session whose poll is refused.
#[test]
fn polls_are_taken_while_bytes_are_short() {
    let mut dance = Dance::new(3);
    let target = "/socket.io/?EIO=4&transport=polling";
    let ask = |dance: &mut Dance, request: String| {
        let link = dance.small.world.borrow_mut().connect().unwrap();
        dance.small.send(link, request.as_bytes());
        let mut answer = Vec::new();
        for _ in 0..100 {
            dance.turn();
            dance.small.receive(link, usize::MAX, &mut answer);
        }
        String::from_utf8(answer).unwrap()
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = |target: &str, body: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let opened = ask(&mut dance, get(target));
    let sid = opened.split_once("\"sid\":\"").unwrap().1.split_once('"').unwrap().0;
    let target = format!("{target}&sid={sid}");
    assert!(ask(&mut dance, post(&target, "40")).ends_with("ok"));
    // The application has been told of the socket; no ping is due yet.
    for _ in 0..20 {
        dance.pass(1);
        dance.turn();
    }
    let fetched = ask(&mut dance, get(&target));
    assert!(fetched.starts_with("HTTP/1.1 200 ") && fetched.contains("40{\"sid\":"), "{fetched}");
    dance.small.budget.charge(1 << 21);
    assert!(ask(&mut dance, post(&target, "6")).starts_with("HTTP/1.1 503 "));
    // Bytes are short for ever here, so connections that hold some end; but not by a refusal.
    drop(ask(&mut dance, get(&target)));
    assert_eq!(dance.counter("polls_busy"), 1);
    dance.small.budget.release(1 << 21);
    dance.leave();
}

#[test]
fn sessions_that_move_to_websockets_keep_their_promises() {
    let (first, count) = seeds();
    let mut total = Counts::new();
    for seed in first..first + count.min(DANCES_MAX) {
        println!("seed {seed}");
        for (name, count) in Dance::new(seed).run() {
            *total.entry(name).or_default() += count;
        }
    }
    println!("{total:?}");
    assert!(
        count < DANCES_MAX || total.values().all(|&count| count > 0),
        "something never happened: {total:?}"
    );
}
