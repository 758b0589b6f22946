//! Directed stories of the wall clock: it is set, or the machine sleeps, while the shards' monotonic clock continues.
//! Deadlines at a Unix time follow the wall clock; durations follow the monotonic clock.

use std::sync::Arc;

use serde_json::Value;
use throng::parts::config::Config;
use throng::parts::hub::home::StateChange;
use throng::parts::outside::options::TokenOptions;
use throng::parts::outside::{mint, verify};
use throng::parts::shard::outside::{Busy, Hook, Outside, Question, Token, Verdict};

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, CLOSE, TEXT};
use crate::world::LinkId;

const SECRET: &str = "secret";
const HOUR_S: u64 = 3600;

/// Verifies tokens by a given clock.
#[derive(Debug)]
struct Signed(TokenOptions);

impl Outside for Signed {
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict> {
        Some(verify(&self.0, token, now_unix_s).unwrap())
    }

    fn ask(&self, _: throng::parts::shard::mailbox::ReplyTo, _: Question) -> Result<(), Busy> {
        Err(Busy)
    }

    fn tell_states(&self, _: Vec<StateChange>) {}

    fn has_hook(&self, _: Hook) -> bool {
        false
    }
}

struct ClockScene {
    small: Small,
    rng: Rng,
}

impl ClockScene {
    fn new() -> Self {
        let options = TokenOptions { hmac_secret_key: SECRET.to_owned(), ..TokenOptions::default() };
        let configure = |config: &mut Config| {
            // An open server ignores the times of tokens.
            config.client.insecure = false;
            config.client.connect_include_server_time = true;
            config.client.expired_close_delay_ms = 0;
            config.client.expired_sub_close_delay_ms = 0;
            config.timeouts.ping_interval_ms = 0;
            let namespaces = Arc::make_mut(&mut config.namespaces);
            let options = Arc::make_mut(&mut namespaces.without_namespace);
            (options.history_size, options.history_ttl_ms) = (10, 60_000);
            (options.allow_history_for_client, options.allow_publish_for_client) = (true, true);
            options.allow_subscribe_for_client = true;
        };
        let small = Small::asking(Arc::new(Signed(options)), configure, None, 1, 1 << 20, 1 << 20);
        Self { small, rng: Rng::new(7) }
    }

    fn unix_s(&self) -> u64 {
        let world = self.small.world.borrow();
        (world.unix_ahead_ms + world.now_us / 1000) / 1000
    }

    /// Moves the wall clock by so many seconds.
    fn set_wall(&self, by_s: i64) {
        let mut world = self.small.world.borrow_mut();
        world.unix_ahead_ms = world.unix_ahead_ms.checked_add_signed(by_s * 1000).unwrap();
    }

    /// Lets time pass, as all clocks count it.
    fn wait_ms(&mut self, ms: u64) {
        self.small.world.borrow_mut().now_us += ms * 1000;
        self.small.turn(0);
    }

    fn open(&mut self) -> LinkId {
        let link = self.small.world.borrow_mut().connect().unwrap();
        self.small.send(link, &wire::upgrade("/connection/websocket"));
        self.small.turn(0);
        let mut arrived = Vec::new();
        self.small.receive(link, 1 << 20, &mut arrived);
        assert_eq!(wire::take_response(&mut arrived), Some(101));
        link
    }

    /// The received replies and pushes, or the code of a close.
    fn heard(&mut self, link: LinkId) -> Result<Vec<Value>, u16> {
        let (mut arrived, mut heard) = (Vec::new(), Vec::new());
        self.small.receive(link, 1 << 20, &mut arrived);
        while let Some(frame) = wire::take_frame(&mut arrived) {
            if frame.opcode == CLOSE {
                return Err(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
            }
            let lines = std::str::from_utf8(&frame.payload).unwrap().lines();
            heard.extend(lines.map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        Ok(heard)
    }

    fn ask(&mut self, link: LinkId, command: &str) -> Value {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, command.as_bytes(), &mut self.rng);
        self.small.send(link, &out);
        self.small.turn(0);
        self.heard(link).unwrap().swap_remove(0)
    }

    fn connect(&mut self, claims: &str) -> (LinkId, Value) {
        let link = self.open();
        let token = mint(SECRET.as_bytes(), claims.as_bytes());
        let reply = self.ask(link, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
        (link, reply)
    }

    fn publish(&mut self, link: LinkId) {
        let reply = self.ask(link, r#"{"id":2,"publish":{"channel":"a","data":1}}"#);
        assert!(reply["publish"].is_object(), "{reply}");
    }

    /// The server's time in seconds, as a new client is told.
    fn told_s(&mut self) -> u64 {
        let (_, reply) = self.connect(r#"{"sub":"1"}"#);
        reply["connect"]["time"].as_u64().unwrap() / 1000
    }
}

/// The machine slept, or its clock was slow: everything that has expired meanwhile ends soon after the shard's next
/// check.
#[test]
fn what_has_expired_when_the_wall_clock_goes_forward_is_over() {
    let mut scene = ClockScene::new();
    let now_s = scene.unix_s();
    let claims = format!(r#"{{"sub":"42","exp":{}}}"#, now_s + HOUR_S);
    let (ann, reply) = scene.connect(&claims);
    assert_eq!((&reply["connect"]["ttl"], &reply["connect"]["time"]), (&3600.into(), &(now_s * 1000).into()));
    let subscription = mint(
        SECRET.as_bytes(),
        format!(r#"{{"sub":"43","channel":"a","exp":{}}}"#, now_s + HOUR_S).as_bytes(),
    );
    let (ben, reply) = scene.connect(r#"{"sub":"43"}"#);
    assert!(reply["connect"].get("ttl").is_none(), "{reply}");
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"a","token":"{subscription}"}}}}"#);
    assert_eq!(scene.ask(ben, &subscribe)["subscribe"]["ttl"], 3600);
    scene.wait_ms(2000);
    assert_eq!((scene.heard(ann), scene.heard(ben)), (Ok(vec![]), Ok(vec![])));

    scene.set_wall(2 * HOUR_S as i64);
    scene.wait_ms(1000);
    assert_eq!(scene.heard(ann), Err(3005));
    assert_eq!(scene.heard(ben).unwrap()[0]["push"]["unsubscribe"]["code"], 2501);
    let (_, reply) = scene.connect(&claims);
    assert_eq!(reply["error"]["code"], 109);
    assert_eq!(scene.ask(ben, &subscribe)["error"]["code"], 109);
    let now_s = scene.unix_s();
    let (cid, reply) = scene.connect(&format!(r#"{{"sub":"44","exp":{}}}"#, now_s + 60));
    assert_eq!((&reply["connect"]["ttl"], &reply["connect"]["time"]), (&60.into(), &(now_s * 1000).into()));
    scene.publish(cid);
}

/// The clock is set back: a deadline that only the wrong clock had passed is open again, and later deadlines follow
/// the new clock.
#[test]
fn what_has_expired_only_by_a_clock_that_was_wrong_is_good() {
    let mut scene = ClockScene::new();
    let now_s = scene.unix_s();
    let (ann, _) = scene.connect(&format!(r#"{{"sub":"42","exp":{}}}"#, now_s + 60));
    let later = format!(r#"{{"sub":"43","exp":{}}}"#, now_s - HOUR_S / 2);
    let (_, reply) = scene.connect(&later);
    assert_eq!(reply["error"]["code"], 109);
    let not_yet = format!(r#"{{"sub":"43","nbf":{now_s}}}"#);
    let (_, reply) = scene.connect(&not_yet);
    assert!(reply["connect"].is_object(), "{reply}");

    scene.set_wall(-(HOUR_S as i64));
    scene.wait_ms(1000);
    let (_, reply) = scene.connect(&later);
    assert_eq!(reply["connect"]["ttl"], 1799);
    let (_, reply) = scene.connect(&not_yet);
    assert_eq!(reply["error"]["code"], 109);
    assert_eq!(scene.told_s(), now_s - HOUR_S + 1);
    // It is an hour and a minute until its end now.
    scene.wait_ms(61_000);
    assert_eq!(scene.heard(ann), Ok(vec![]));
    scene.wait_ms(HOUR_S * 1000);
    assert_eq!(scene.heard(ann), Err(3005));
}

/// History and timeouts count elapsed time, not the wall clock.
#[test]
fn what_waits_for_a_while_does_not_follow_the_wall_clock() {
    let mut scene = ClockScene::new();
    let (ann, _) = scene.connect(r#"{"sub":"42"}"#);
    scene.publish(ann);
    let idle = scene.open();
    let kept = |scene: &mut ClockScene| {
        let reply = scene.ask(ann, r#"{"id":4,"history":{"channel":"a","limit":-1}}"#);
        reply["history"]["publications"].as_array().map_or(0, Vec::len)
    };
    for by_s in [24 * HOUR_S as i64, -48 * HOUR_S as i64] {
        scene.set_wall(by_s);
        scene.wait_ms(1000);
        assert_eq!(kept(&mut scene), 1);
        assert_eq!(scene.heard(idle), Ok(vec![]));
    }
    scene.wait_ms(60_000);
    assert_eq!(kept(&mut scene), 0);
    assert_eq!(scene.heard(idle), Err(3502), "no connect command within its time");
}
