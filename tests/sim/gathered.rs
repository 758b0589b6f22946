//! A directed story: many clients request the same large history and read slowly, or not at all. Written in any
//! pieces, each client receives every byte in order; and the waiting bytes of all of them are one history, not one
//! each.

use std::sync::Arc;

use serde_json::Value;
use throng::parts::base::shared::Shared;
use throng::parts::hub::options::Namespaces;
use throng::parts::hub::{DataKind, Publication};
use throng::parts::shard::mailbox::{Deed, Letter, Order, Target};
use throng::parts::shard::outside::Nobody;

use crate::rng::Rng;
use crate::secure::{Speaker, server_config};
use crate::small::Small;
use crate::wire::{self, TEXT};

const PUBLICATION_COUNT: usize = 50;
const PUBLICATION_BYTES: usize = 9_000;
const HISTORY_BYTES: usize = PUBLICATION_COUNT * PUBLICATION_BYTES;
const CLIENT_COUNT: usize = 8;
/// Bytes per client beside the payloads: message envelopes and sealed records.
const EACH_BYTES: usize = 64 << 10;

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;
const HISTORY: &str = r#"{"id":2,"history":{"channel":"much","limit":-1}}"#;
const RECOVER: &str =
    r#"{"id":2,"subscribe":{"channel":"much","recover":true,"offset":0,"epoch":"","recoverable":true}}"#;

/// One that keeps a history, over a narrow pipe, plain or over TLS.
struct PipeScene {
    small: Small,
    speakers: Vec<Speaker>,
    rng: Rng,
}

impl PipeScene {
    fn new(is_secure: bool) -> Self {
        Self::within(is_secure, 2 * HISTORY_BYTES, 4 * HISTORY_BYTES)
    }

    /// A scene with these limits per connection and for all.
    fn within(is_secure: bool, outbox_bytes_max: usize, queued_bytes_max: usize) -> Self {
        let (config, certificate) = server_config();
        let configure = |config: &mut throng::parts::config::Config| {
            let mut namespaces = Namespaces::clone(&config.namespaces);
            let options = Arc::make_mut(&mut namespaces.without_namespace);
            (options.history_size, options.history_ttl_ms) = (PUBLICATION_COUNT, 3_600_000);
            (options.force_recovery, options.allow_recovery) = (true, true);
            config.namespaces = Arc::new(namespaces);
            config.limits.outbox_bytes_max = outbox_bytes_max;
        };
        let tls = is_secure.then_some(config);
        let small = Small::asking(Arc::new(Nobody), configure, tls, 1, 30_000, queued_bytes_max);
        let mut scene = Self { small, speakers: Vec::new(), rng: Rng::new(7) };
        for _ in 0..=CLIENT_COUNT {
            let mut speaker = Speaker::new(&scene.small, is_secure.then_some(&certificate));
            speaker.say(&wire::upgrade("/connection/websocket"));
            scene.speakers.push(speaker);
            let n = scene.speakers.len() - 1;
            scene.read(n, 20);
            assert_eq!(wire::take_response(&mut scene.speakers[n].heard), Some(101));
            scene.say(n, CONNECT);
            scene.read(n, 3);
            assert!(scene.heard(n)[0].contains("\"connect\""));
        }
        for n in 0..PUBLICATION_COUNT {
            let data = "x".repeat(PUBLICATION_BYTES - 10);
            let publish =
                format!(r#"{{"id":{},"publish":{{"channel":"much","data":[{n},"{data}"]}}}}"#, n + 2);
            scene.say(0, &publish);
            scene.read(0, 2);
        }
        assert_eq!(scene.heard(0).len(), PUBLICATION_COUNT);
        scene
    }

    fn say(&mut self, n: usize, text: &str) {
        let mut frame = Vec::new();
        wire::put_frame(&mut frame, true, TEXT, text.as_bytes(), &mut self.rng);
        self.speakers[n].say(&frame);
    }

    fn read(&mut self, n: usize, count: usize) {
        (0..count).for_each(|_| self.speakers[n].exchange(&mut self.small, usize::MAX));
    }

    /// Lets the first client publish one of the history's publications once more.
    fn publish(&mut self) {
        let data = "x".repeat(PUBLICATION_BYTES - 10);
        self.say(0, &format!(r#"{{"id":1000,"publish":{{"channel":"much","data":[0,"{data}"]}}}}"#));
        self.read(0, 2);
    }

    fn heard(&mut self, n: usize) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(frame) = wire::take_frame(&mut self.speakers[n].heard) {
            assert_eq!(frame.opcode, TEXT);
            all.push(String::from_utf8(frame.payload).unwrap());
        }
        all
    }
}

fn assert_is_history(reply: &str, command: &str) {
    let reply: Value = serde_json::from_str(reply).unwrap();
    let publications = reply[command]["publications"].as_array().unwrap();
    assert_eq!(publications.len(), PUBLICATION_COUNT);
    for (n, publication) in publications.iter().enumerate() {
        assert_eq!((&publication["offset"], &publication["data"][0]), (&(n + 1).into(), &n.into()));
        assert_eq!(publication["data"][1], "x".repeat(PUBLICATION_BYTES - 10));
    }
}

#[test]
fn those_who_ask_for_the_same_history_share_it() {
    for is_secure in [false, true] {
        for (command, name) in [(HISTORY, "history"), (RECOVER, "subscribe")] {
            let mut scene = PipeScene::new(is_secure);
            assert_eq!(scene.small.budget.used(), 0);
            for n in 1..=CLIENT_COUNT {
                scene.say(n, command);
                scene.speakers[n].exchange(&mut scene.small, 0);
                let (used, queued) =
                    (scene.small.budget.used(), scene.small.counters[0].outbox_bytes.value());
                assert!(queued as usize > n * (HISTORY_BYTES - 2 * EACH_BYTES), "{queued} for {n}");
                assert!(used < HISTORY_BYTES + n * EACH_BYTES, "{used} for {n}");
            }
            // The history drops the publications that they wait for: their bytes stay, and are counted.
            for _ in 0..PUBLICATION_COUNT {
                scene.say(0, r#"{"id":1000,"publish":{"channel":"much","data":1}}"#);
                scene.read(0, 2);
            }
            assert!(scene.small.budget.used() > HISTORY_BYTES * 3 / 4);
            let mut replies = Vec::new();
            for n in 1..CLIENT_COUNT {
                let mut count = 0;
                while replies.len() < n {
                    let bytes_max = scene.rng.size(1..=20_000);
                    scene.speakers[n].exchange(&mut scene.small, bytes_max);
                    let heard = scene.heard(n).into_iter();
                    replies.extend(heard.filter(|one| one.starts_with("{\"id\":2,")));
                    count += 1;
                    assert!(count < 10_000, "an answer that does not come");
                }
            }
            replies.iter().for_each(|reply| assert_is_history(reply, name));
            assert!(replies.iter().all(|reply| *reply == replies[0]), "all are told the same");
            // The last has read nothing, and ends.
            scene.small.world.borrow_mut().reset(scene.speakers[CLIENT_COUNT].link);
            scene.small.turn(0);
            assert_eq!(scene.small.budget.used(), 0, "{name}");
        }
    }
}

/// The answer alone is more than may be queued for one.
#[test]
fn who_reads_is_not_closed_for_an_answer_that_it_was_allowed_to_ask_for() {
    const OUTBOX_BYTES_MAX: usize = HISTORY_BYTES / 4;
    // The kernel's buffer, a sealed batch, and all envelopes.
    const BESIDE_BYTES: usize = 64 << 10;
    for is_secure in [false, true] {
        let mut scene = PipeScene::within(is_secure, OUTBOX_BYTES_MAX, 4 * HISTORY_BYTES);
        let [reader, sleeper] = [1, 2];
        for n in [reader, sleeper] {
            scene.say(n, RECOVER);
            scene.speakers[n].exchange(&mut scene.small, 0);
        }
        assert!(scene.small.counters[0].outbox_bytes.value() as usize > 6 * OUTBOX_BYTES_MAX);
        let slow = |scene: &PipeScene| scene.small.counters[0].slow_consumers.value();
        let mut replies = Vec::new();
        let (mut published, mut published_before_the_end) = (0, None);
        while replies.len() < 1 + PUBLICATION_COUNT {
            if published < PUBLICATION_COUNT {
                scene.publish();
                published += 1;
            }
            if slow(&scene) > 0 {
                published_before_the_end.get_or_insert(published);
            }
            scene.speakers[reader].exchange(&mut scene.small, 30_000);
            scene.speakers[reader].exchange(&mut scene.small, 30_000);
            replies.extend(scene.heard(reader));
        }
        assert_is_history(&replies[0], "subscribe");
        assert!(replies[1..].iter().all(|reply| reply.contains("\"pub\"")));
        // A client that reads nothing is closed when too much waits behind the answer.
        assert_eq!(slow(&scene), 1);
        let bytes = published_before_the_end.unwrap() * PUBLICATION_BYTES;
        assert!((OUTBOX_BYTES_MAX..OUTBOX_BYTES_MAX + BESIDE_BYTES).contains(&bytes), "{bytes}");
    }
}

#[test]
fn who_borrows_is_not_closed_for_those_who_hold_the_memory() {
    const QUEUED_BYTES_MAX: usize = HISTORY_BYTES * 13 / 5;
    let hogs = [7, 8];
    let mut scene = PipeScene::within(false, 2 * HISTORY_BYTES, QUEUED_BYTES_MAX);
    let closed = |scene: &PipeScene| scene.small.counters[0].budget_closes.value();
    for n in 1..hogs[0] {
        scene.say(n, HISTORY);
        scene.speakers[n].exchange(&mut scene.small, 0);
    }
    let each = scene.small.counters[0].outbox_bytes.value() / (hogs[0] as u64 - 1);
    // Each of them has fewer waiting bytes than the borrowers, but all of them are its own.
    let mut rng = Rng::new(7);
    for n in hogs {
        scene.small.world.borrow_mut().reset(scene.speakers[n].link);
        scene.small.turn(0);
        scene.speakers[n] = Speaker::new(&scene.small, None);
        scene.speakers[n].say(&wire::upgrade("/echo"));
        scene.read(n, 3);
        assert_eq!(wire::take_response(&mut scene.speakers[n].heard), Some(101));
    }
    let before = scene.small.counters[0].outbox_bytes.value();
    let mut frame = |length: usize| {
        let mut frame = Vec::new();
        wire::put_frame(&mut frame, true, TEXT, &vec![b'x'; length], &mut rng);
        frame
    };
    for n in hogs.into_iter().cycle() {
        scene.speakers[n].say(&frame(5_000));
        scene.speakers[n].exchange(&mut scene.small, 0);
        if scene.small.budget.used() > QUEUED_BYTES_MAX - 40_000 {
            break;
        }
    }
    let hoarded = scene.small.counters[0].outbox_bytes.value() - before;
    assert!(closed(&scene) == 0 && hoarded < 2 * each, "{hoarded} bytes of their own");
    // Another shard uses up the budget: at the beginning of the next turn there is no room.
    let others = 60_000;
    scene.small.budget.charge(others);
    scene.say(0, r#"{"id":1000,"ping":{}}"#);
    scene.read(0, 1);
    assert_eq!(closed(&scene), 1, "the bytes of one are enough");
    assert!(!scene.small.budget.is_exhausted());
    scene.small.budget.release(others);
    for n in 1..hogs[0] {
        let mut replies = Vec::new();
        while replies.is_empty() {
            scene.speakers[n].exchange(&mut scene.small, usize::MAX);
            replies = scene.heard(n);
        }
        assert_is_history(&replies[0], "history");
    }
}

/// The waiting output of subscriptions that an order ends is encoded once for all of them.
#[test]
fn those_whose_subscriptions_an_order_ends_share_what_waited() {
    const DATA_BYTES: usize = 100_000;
    let unsubscribe = || Deed::Unsubscribe { channel: "wide".into(), code: 2000, reason: String::new() };
    let disconnect = || Deed::Disconnect { code: 3000, reason: String::new(), spared: Vec::new() };
    for deed in [unsubscribe(), disconnect()] {
        let mut scene = PipeScene::new(false);
        for n in 1..=CLIENT_COUNT {
            scene.say(n, r#"{"id":2,"subscribe":{"channel":"wide"}}"#);
            scene.read(n, 3);
            assert_eq!(scene.heard(n).len(), 1);
        }
        let data = Shared::new(format!("\"{}\"", "x".repeat(DATA_BYTES)).into_bytes(), &scene.small.budget);
        let publication = Arc::new(Publication::new("wide".into(), DataKind::Json, data));
        let order = Arc::new(Order::new(Target::default(), deed));
        scene.small.mailboxes[0].put(&mut vec![Letter::Deliver(publication), Letter::Order(order)]);
        scene.small.turn(0);
        let (used, queued) = (scene.small.budget.used(), scene.small.counters[0].outbox_bytes.value());
        assert!(queued as usize > CLIENT_COUNT * DATA_BYTES / 2, "{queued}");
        assert!(used < DATA_BYTES * 5 / 2 + CLIENT_COUNT * 1000, "{used}");
        for n in 1..=CLIENT_COUNT {
            scene.read(n, 20);
            let frame = wire::take_frame(&mut scene.speakers[n].heard).unwrap();
            assert!(frame.payload.len() > DATA_BYTES, "what was published goes before the end");
        }
    }
}
