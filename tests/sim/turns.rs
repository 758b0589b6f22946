//! Commands in turn: the answer to a question about one command may change the result of the next.
//!
//! Clients send commands of all kinds, some in one frame, with hooks and token workers that answer late and in any
//! order. In each run, drawn from a seed, every command is answered, no client is told to retry later, and a client's
//! publications arrive in the order in which they were sent.

mod alternating;
mod goodbyes;
mod order;
mod stops;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use throng::Denied;
use throng::parts::config::Config;
use throng::parts::hub::home::StateChange;
use throng::parts::hub::options::ChannelOptions;
use throng::parts::shard::mailbox::{Deed, Letter, Order, ReplyTo, Target};
use throng::parts::shard::outside::{
    Busy, Credentials, Grant, Hook, Outside, Question, Rejected, Replaced, Token, Verdict,
};

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, CLOSE, TEXT};
use crate::world::LinkId;

/// Answers in any order, when it is let to.
#[derive(Debug, Default)]
struct Slow {
    /// Tokens of connections are verified later, too.
    holds_connects: AtomicBool,
    asked: Mutex<Vec<(ReplyTo, Question)>>,
}

impl Outside for Slow {
    fn verify_now(&self, token: &Token<'_>, _: u64) -> Option<Verdict> {
        match token {
            Token::Connection(_) if !self.holds_connects.load(Relaxed) => Some(known()),
            Token::Connection(_) | Token::Subscription(_) => None,
        }
    }

    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy> {
        self.asked.lock().unwrap().push((reply_to, question));
        Ok(())
    }

    fn tell_states(&self, _: Vec<StateChange>) {}

    fn has_hook(&self, hook: Hook) -> bool {
        matches!(hook, Hook::Publish | Hook::Rpc | Hook::Subscribe)
    }
}

/// The answer to a connecting client.
fn known() -> Verdict {
    let credentials = Credentials { user: USER.to_owned(), ..Credentials::default() };
    Verdict::Connection(Ok(Box::new(credentials)))
}

fn publish(channel: &str, number: u32) -> String {
    format!(r#""publish":{{"channel":"{channel}","data":{number}}}"#)
}

/// A client, its sent commands, and its received replies.
struct RecordedClient {
    link: LinkId,
    arrived: Vec<u8>,
    said: Vec<String>,
    /// All lines, in their order.
    heard: Vec<String>,
    replies: HashMap<u32, String>,
    publications: HashMap<String, Vec<u32>>,
    closed: bool,
}

struct Scene {
    small: Small,
    outside: Arc<Slow>,
    speakers: Vec<RecordedClient>,
    concurrency: usize,
    rng: Rng,
}

/// The user of all clients.
const USER: &str = "ann";

const CHANNELS: [&str; 5] = ["plain:1", "plain:2", "hooked:1", "hooked:2", "hooked:3"];

impl Scene {
    fn new(seed: u64, concurrency: usize) -> Self {
        Self::configured(seed, concurrency, |_| ())
    }

    fn configured(seed: u64, concurrency: usize, more: impl FnOnce(&mut Config)) -> Self {
        let outside = Arc::<Slow>::default();
        let configure = |config: &mut Config| {
            config.client.insecure = false;
            config.client.concurrency = concurrency;
            config.timeouts.ping_interval_ms = 0;
            let plain = ChannelOptions {
                presence: true,
                history_size: 100,
                history_ttl_ms: 600_000,
                allow_subscribe_for_client: true,
                allow_publish_for_subscriber: true,
                allow_presence_for_subscriber: true,
                allow_history_for_subscriber: true,
                ..ChannelOptions::default()
            };
            let hooked = ChannelOptions {
                subscribe_proxy_enabled: true,
                publish_proxy_enabled: true,
                ..plain.clone()
            };
            let namespaces = Arc::make_mut(&mut config.namespaces);
            let named = [("plain", plain), ("hooked", hooked)];
            namespaces.named = named.map(|(name, options)| (name.to_owned(), Arc::new(options))).into();
            more(config);
        };
        let small = Small::asking(outside.clone(), configure, None, 2, 1 << 20, 1 << 24);
        let mut scene = Self { small, outside, speakers: Vec::new(), concurrency, rng: Rng::new(seed) };
        for _ in 0..3 {
            let link = scene.small.world.borrow_mut().connect().unwrap();
            scene.small.send(link, &wire::upgrade("/connection/websocket"));
            scene.turn();
            let mut arrived = Vec::new();
            scene.small.receive(link, usize::MAX, &mut arrived);
            assert_eq!(wire::take_response(&mut arrived), Some(101));
            let (said, heard, replies, publications) = Default::default();
            scene.speakers.push(RecordedClient {
                link,
                arrived,
                said,
                heard,
                replies,
                publications,
                closed: false,
            });
            scene.say(scene.speakers.len() - 1, &[r#""connect":{"token":"x"}"#.to_owned()]);
        }
        scene
    }

    /// A frame of commands, with the next numbers.
    fn say(&mut self, at: usize, commands: &[String]) {
        let speaker = &mut self.speakers[at];
        let mut lines = Vec::new();
        for command in commands {
            speaker.said.push(command.clone());
            lines.push(format!(r#"{{"id":{},{command}}}"#, speaker.said.len()));
        }
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, lines.join("\n").as_bytes(), &mut Rng::new(7));
        self.small.send(speaker.link, &out);
    }

    fn turn(&mut self) {
        self.small.turn(0);
        self.small.turn(1);
        for speaker in &mut self.speakers {
            speaker.hear(&self.small);
        }
    }

    /// Answers any one of the questions, with yes or, at times, no.
    fn answer(&mut self, refuses: bool) -> bool {
        let (reply_to, question) = {
            let mut asked = self.outside.asked.lock().unwrap();
            let mut counts = HashMap::<_, usize>::new();
            for (ReplyTo { shard, conn, .. }, _) in asked.iter() {
                *counts.entry((*shard, conn.to_token())).or_default() += 1;
            }
            assert!(
                counts.values().all(|&count| count <= self.concurrency.max(1)),
                "too many at a time: {counts:?}"
            );
            let Some(last) = asked.len().checked_sub(1) else { return false };
            asked.swap_remove(self.rng.size(0..=last))
        };
        let no = (refuses && self.rng.chance(10)).then_some(Rejected::Denied(Denied::NotPermitted));
        let verdict = match question {
            Question::Publish { .. } => Verdict::Publish(no.map_or_else(|| Ok(Replaced::default()), Err)),
            Question::Rpc { .. } => Verdict::Rpc(no.map_or_else(|| Ok(b"{}".to_vec().into()), Err)),
            Question::Subscribe { .. } | Question::SubscriptionToken(_) => {
                let grant = Grant { user: USER.to_owned(), ..Grant::default() };
                Verdict::Subscription(no.map_or_else(|| Ok(Box::new(grant)), Err))
            }
            Question::ConnectionToken(_) => known(),
            other @ (Question::Connect { .. }
            | Question::SocketConnect { .. }
            | Question::SocketEvents { .. }
            | Question::Refresh { .. }
            | Question::SubRefresh { .. }) => {
                panic!("nobody asks {other:?}")
            }
        };
        let letter = Letter::Verdict { reply_to, verdict: Box::new(verdict) };
        self.small.mailboxes[usize::from(reply_to.shard)].put(&mut vec![letter]);
        true
    }

    fn settle(&mut self, refuses: bool) {
        let mut idle_count = 0;
        // Homes may have to answer the commands of a frame one after the other.
        while idle_count < 50 {
            self.turn();
            idle_count = if self.answer(refuses) { 0 } else { idle_count + 1 };
        }
    }

    fn command(&mut self, number: usize) -> String {
        let channel = self.rng.pick(&CHANNELS);
        match self.rng.range(0..=11) {
            0 => r#""ping":{}"#.to_owned(),
            1 => r#""rpc":{"method":"m","data":{}}"#.to_owned(),
            2 => format!(r#""subscribe":{{"channel":"{channel}","token":"slow"}}"#),
            3 => format!(r#""subscribe":{{"channel":"{channel}"}}"#),
            4 => format!(r#""unsubscribe":{{"channel":"{channel}"}}"#),
            5 => format!(r#""presence":{{"channel":"{channel}"}}"#),
            6 => format!(r#""history":{{"channel":"{channel}","limit":3}}"#),
            7 => r#""presence":{"channel":""}"#.to_owned(),
            _ => format!(r#""publish":{{"channel":"{channel}","data":{number}}}"#),
        }
    }
}

impl RecordedClient {
    fn hear(&mut self, small: &Small) {
        small.receive(self.link, usize::MAX, &mut self.arrived);
        while let Some(frame) = wire::take_frame(&mut self.arrived) {
            self.closed |= frame.opcode == CLOSE;
            if frame.opcode != CLOSE {
                for line in String::from_utf8(frame.payload).unwrap().lines() {
                    self.hear_line(line);
                }
            }
        }
    }

    fn hear_line(&mut self, line: &str) {
        let between = |begin: &str, end: &str| {
            let (_, rest) = line.split_once(begin)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        assert!(!line.contains(r#""code":111"#), "nobody is told to come again later: {line}");
        self.heard.push(line.to_owned());
        if let Some(id) = between(r#"{"id":"#, ",") {
            let before = self.replies.insert(id.parse().unwrap(), line.to_owned());
            assert!(before.is_none(), "{line}: answered before by {before:?}");
        } else if let (Some(channel), Some(number)) =
            (between(r#""channel":""#, "\""), between(r#""pub":{"data":"#, ","))
        {
            self.publications.entry(channel).or_default().push(number.parse().unwrap());
        }
    }
}

#[test]
fn commands_keep_their_order_while_others_are_asked() {
    for seed in 0..60 {
        for concurrency in [1, 3] {
            let mut scene = Scene::new(seed, concurrency);
            let mut number = 0;
            for _ in 0..40 {
                let at = scene.rng.size(0..=2);
                let count = scene.rng.pick(&[1, 1, 2, 5, 20]);
                let commands: Vec<String> = (0..count)
                    .map(|_| {
                        number += 1;
                        scene.command(number)
                    })
                    .collect();
                scene.say(at, &commands);
                match scene.rng.range(0..=3) {
                    0 => scene.turn(),
                    1 => scene.small.turn(0),
                    2 => scene.small.turn(1),
                    _ => {
                        scene.answer(true);
                    }
                }
            }
            scene.settle(true);
            for speaker in &scene.speakers {
                assert_eq!(speaker.replies.len(), speaker.said.len(), "seed {seed}: all are answered");
                // Each client's numbers rise, and so do its received numbers, if one question is pending at a time.
                for (channel, numbers) in speaker.publications.iter().filter(|_| concurrency == 1) {
                    for other in &scene.speakers {
                        let own = |number: &&u32| {
                            let said = format!(r#""publish":{{"channel":"{channel}","data":{number}}}"#);
                            other.said.contains(&said)
                        };
                        assert!(numbers.iter().filter(own).is_sorted(), "seed {seed}: {numbers:?}");
                    }
                }
            }
        }
    }
}

/// Commands behind a subscription find it, or not if it was refused.
#[test]
fn what_follows_a_subscription_in_a_frame_knows_what_came_of_it() {
    let frame = |subscribe: &str| {
        let channel = r#"{"channel":"hooked:1""#;
        [
            format!(r#""subscribe":{subscribe}"#),
            format!(r#""publish":{channel},"data":1}}"#),
            format!(r#""presence":{channel}}}"#),
            format!(r#""history":{channel},"limit":1}}"#),
            r#""ping":{}"#.to_owned(),
        ]
    };
    for subscribe in [r#"{"channel":"hooked:1"}"#, r#"{"channel":"hooked:1","token":"slow"}"#] {
        for is_allowed in [true, false] {
            let mut scene = Scene::new(0, 1);
            scene.say(0, &frame(subscribe));
            scene.turn();
            assert_eq!(scene.speakers[0].replies.len(), 1, "all wait for the first word");
            if !is_allowed {
                let (reply_to, _) = scene.outside.asked.lock().unwrap().pop().unwrap();
                let verdict = Box::new(Verdict::Subscription(Err(Rejected::Denied(Denied::NotPermitted))));
                let letter = Letter::Verdict { reply_to, verdict };
                scene.small.mailboxes[usize::from(reply_to.shard)].put(&mut vec![letter]);
            }
            scene.settle(false);
            let replies = &scene.speakers[0].replies;
            let has_error = |id: u32| replies[&id].contains(r#""code":103"#);
            // The publish hook is called for every publisher.
            assert_eq!([2, 3, 4, 5, 6].map(has_error), [!is_allowed, false, !is_allowed, !is_allowed, false]);
            let heard = scene.speakers[0].publications.get("hooked:1").cloned().unwrap_or_default();
            assert_eq!(heard, if is_allowed { vec![1] } else { vec![] });
        }
    }
}

/// Commands behind a subscription that fails at its home do not find it.
#[test]
fn what_follows_a_subscription_that_its_home_refuses_finds_none() {
    let mut scene = Scene::new(0, 1);
    let unrecoverable = r#""subscribe":{"channel":"plain:1","recoverable":true,"recover":true,"epoch":"x","offset":9,"flag":2}"#;
    let presence = r#""presence":{"channel":"plain:1"}"#;
    let subscribe = r#""subscribe":{"channel":"plain:1"}"#;
    scene.say(0, &[unrecoverable, presence, subscribe, presence].map(str::to_owned));
    scene.settle(false);
    let code = |id: u32| {
        let reply = &scene.speakers[0].replies[&id];
        reply.split_once(r#""code":"#).map(|(_, rest)| rest[..3].to_owned())
    };
    assert_eq!([2, 3, 4, 5].map(code), [Some("112".to_owned()), Some("103".to_owned()), None, None]);
}

/// Commands before one that ends the connection are answered before the end.
#[test]
fn what_was_asked_before_the_end_is_answered_first() {
    let publish = |channel: &str| format!(r#""publish":{{"channel":"{channel}","data":1}}"#);
    for end in [r#""connect":{}"#, r#""refresh":{"token":""}"#, r#""connect":"#] {
        for channel in ["plain:1", "plain:2", "hooked:1", "hooked:2"] {
            let mut scene = Scene::new(0, 1);
            let subscribe = format!(r#""subscribe":{{"channel":"{channel}"}}"#);
            scene.say(0, &[subscribe, publish(channel), end.to_owned(), publish(channel)]);
            scene.settle(false);
            let speaker = &scene.speakers[0];
            assert!(speaker.closed, "{end} {channel}");
            let mut ids: Vec<u32> = speaker.replies.keys().copied().collect();
            ids.sort_unstable();
            assert_eq!(ids, [1, 2, 3], "{end} {channel}");
        }
    }
}

/// Beyond a bound nothing more is read from the client, and all of it is done later.
#[test]
fn many_commands_wait_in_the_socket_and_a_few_do_not_stop_the_reading() {
    let publish = |number: usize| format!(r#""publish":{{"channel":"hooked:1","data":{number}}}"#);
    let mut scene = Scene::new(0, 1);
    scene.say(0, &[r#""subscribe":{"channel":"hooked:1"}"#.to_owned()]);
    scene.settle(false);
    for number in 0..500 {
        scene.say(0, &[publish(number)]);
        scene.small.turn(0);
        scene.small.turn(1);
    }
    let held: u64 = scene.small.counters.iter().map(|counters| counters.partial_bytes.value()).sum();
    assert!((64 * 60..64 * 1000).contains(&held), "{held} bytes of commands are held and counted");
    scene.settle(false);
    let speaker = &scene.speakers[0];
    assert_eq!(speaker.publications["hooked:1"], (0..500).collect::<Vec<u32>>());
    assert_eq!(speaker.replies.len(), 502);
    // A client that disconnects while a few of its commands wait is removed at once.
    scene.say(1, &[publish(1), publish(2)]);
    scene.turn();
    let link = scene.speakers[1].link;
    scene.small.world.borrow_mut().reset(link);
    scene.turn();
    let connections: u64 = scene.small.counters.iter().map(|counters| counters.connections.value()).sum();
    assert_eq!(connections, 2);
}
