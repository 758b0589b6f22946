//! A crowd of new connections, turn by turn: connected clients are served in the turn in which they sent, and no turn
//! accepts more new connections than its budget.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use throng::parts::shard::options::{Listener, ProcessRates};

use throng::parts::base::budget::Budget;
use throng::parts::shard::counters::Counters;
use throng::parts::shard::desk::NoDesk;
use throng::parts::shard::ledger::Ledger;
use throng::parts::shard::mailbox::{Letter, Mailbox};
use throng::parts::shard::outside::Outside;
use throng::parts::shard::{Parts, Secret, Shard};

use crate::harness::layout::Faults;
use crate::net::{SharedWorld, SimNet};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::raw::TestHandler;
use crate::rng::Rng;
use crate::world::{LinkId, Received, World};
use crate::{secure, wire};

const CROWD: usize = 300;
const HANDSHAKES: usize = 3;
const ACCEPTS: usize = 5;

/// One shard in a world without faults.
struct ShardScene {
    world: SharedWorld,
    shard: Shard<(SimNet, TestHandler)>,
    mailboxes: Arc<[Mailbox]>,
    counters: Arc<[Arc<Counters>]>,
    rng: Rng,
}

impl ShardScene {
    fn new(change: impl FnOnce(&mut Plan)) -> Self {
        Self::over(None, change)
    }

    fn over(tls: Option<Arc<rustls::ServerConfig>>, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = Plan::new(1);
        (plan.shards, plan.capacity, plan.memory_allowed) = (1, 2 * CROWD, u64::MAX);
        plan.faults = Faults::never();
        plan.config.shards = 1;
        (plan.down_bytes_max, plan.inbox_bytes_max) = (256 << 10, 64 << 10);
        let limits = &mut plan.config.limits;
        limits.handshakes_per_turn_max = HANDSHAKES;
        limits.accepts_per_turn_max = ACCEPTS;
        (limits.connections_max, limits.half_open_max, limits.accepts_per_second_max) = (0, 0, 0);
        limits.mailbox_letters_max = 65_536;
        change(&mut plan);
        let mut rng = Rng::new(1);
        let world = Rc::new(RefCell::new(World::new(plan.layout(), rng.fork())));
        let mailboxes: Arc<[Mailbox]> = [Mailbox::new(Box::new(|| {}))].into();
        let counters: Arc<[Arc<Counters>]> = [Arc::default()].into();
        let (budget, publication_budget) = (Budget::new(1 << 30), Budget::new(1 << 30));
        let parts = Parts {
            net: SimNet { world: Rc::clone(&world), shard: 0 },
            handler: TestHandler { inside: Arc::default(), told: Arc::default() },
            shard: 0,
            mailboxes: Arc::clone(&mailboxes),
            counters: Arc::clone(&counters),
            ledger: Ledger::new(Arc::clone(&counters), budget.clone(), publication_budget.clone()),
            budget,
            publication_budget,
            seed: 1.into(),
            outside: Arc::new(Oracle::new(&plan.history)) as Arc<dyn Outside>,
            desk: Arc::new(NoDesk),
            secret: Secret::new(1.into()),
            rates: ProcessRates::default(),
            capacity: plan.capacity,
            listeners: Arc::new([Listener::http(tls.is_some())]),
            tls,
        };
        let shard = Shard::new(parts, plan.config.shard_options("node"));
        Self { world, shard, mailboxes, counters, rng }
    }

    /// One turn; nothing if there is nothing to do.
    fn turn(&mut self) {
        self.world.borrow_mut().now_us += 100;
        match self.shard.turn() {
            Ok(_) => self.shard.check_invariants(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }

    /// A client whose request has arrived.
    fn newcomer(&mut self) -> LinkId {
        let mut world = self.world.borrow_mut();
        let link = world.connect().unwrap();
        let head = wire::upgrade("/echo");
        assert_eq!(world.send(link, &head), head.len());
        assert!(world.carry(link));
        link
    }

    fn say(&mut self, link: LinkId, text: &str) {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, wire::TEXT, text.as_bytes(), &mut self.rng);
        let mut world = self.world.borrow_mut();
        world.send(link, &out);
        assert!(world.carry(link));
    }

    fn heard(&mut self, link: LinkId) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.world.borrow_mut().receive(link, usize::MAX, &mut bytes);
        bytes
    }

    /// A client that is inside, and has nothing unread.
    fn live(&mut self) -> LinkId {
        let link = self.newcomer();
        (0..3).for_each(|_| self.turn());
        assert!(self.heard(link).starts_with(b"HTTP/1.1 101 "));
        link
    }

    fn counts(&self) -> &Counters {
        &self.counters[0]
    }
}

#[test]
fn the_live_are_served_in_every_turn_whoever_comes() {
    let mut scene = ShardScene::new(|_| {});
    let live: Vec<LinkId> = (0..4).map(|_| scene.live()).collect();
    let crowd: Vec<LinkId> = (0..CROWD).map(|_| scene.newcomer()).collect();
    let mut turns = 0;
    let mut answered = Vec::new();
    while answered.len() < CROWD {
        turns += 1;
        assert!(turns <= 2 * CROWD, "the crowd does not get in");
        let before = (scene.counts().handshakes.value(), scene.counts().accepts.value());
        for (n, &link) in live.iter().enumerate() {
            scene.say(link, &format!("{turns}:{n}"));
        }
        scene.turn();
        for (n, &link) in live.iter().enumerate() {
            let mut bytes = scene.heard(link);
            let frame = wire::take_frame(&mut bytes).unwrap_or_else(|| panic!("turn {turns}: {n} waits"));
            assert_eq!(frame.payload, format!("{turns}:{n}").into_bytes());
        }
        assert!(scene.counts().handshakes.value() - before.0 <= HANDSHAKES as u64);
        assert!(scene.counts().accepts.value() - before.1 <= ACCEPTS as u64);
        let here: Vec<LinkId> =
            crowd.iter().copied().filter(|&link| scene.heard(link).starts_with(b"HTTP/1.1 101 ")).collect();
        answered.extend(here);
    }
    assert!(scene.counts().newcomer_waits.value() > 0);
    // More come in than are served, and the newest go first: so the last of all is one of the first.
    let last = answered[CROWD - 1];
    let place = crowd.iter().position(|&link| link == last).unwrap();
    assert!(place < 2 * ACCEPTS, "the last is number {place}");
    (0..5).for_each(|_| scene.turn());
    assert_eq!(scene.counts().half_open.value(), 0);
}

#[test]
fn on_a_quiet_server_a_newcomer_waits_for_nothing() {
    let mut scene = ShardScene::new(|_| {});
    let link = scene.newcomer();
    scene.turn();
    assert_eq!(scene.counts().accepts.value(), 1);
    scene.turn();
    assert!(scene.heard(link).starts_with(b"HTTP/1.1 101 "), "answered in the turn that told of its request");
    assert_eq!(scene.counts().newcomer_waits.value(), 0);
}

#[test]
fn beyond_the_bound_of_half_open_ones_a_newcomer_is_told_to_come_back() {
    let mut scene = ShardScene::new(|plan| plan.config.limits.half_open_max = 2);
    let silent: Vec<LinkId> = (0..2).map(|_| scene.world.borrow_mut().connect().unwrap()).collect();
    scene.turn();
    let mut waits = Vec::new();
    for _ in 0..20 {
        let refused = scene.newcomer();
        (0..3).for_each(|_| scene.turn());
        let answer = String::from_utf8(scene.heard(refused)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let wait = answer.split("Retry-After: ").nth(1).unwrap().split("\r\n").next().unwrap();
        waits.push(wait.parse::<u64>().unwrap());
        // The connection ends in order, and the client's bytes were read: there is no reset.
        let end = scene.world.borrow_mut().receive(refused, usize::MAX, &mut Vec::new());
        assert_eq!(end, Received::End);
        scene.world.borrow_mut().leave(refused);
    }
    assert!(waits.iter().all(|wait| (1..=10).contains(wait)), "{waits:?}");
    let mut distinct = waits.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 3, "a time of its own for each: {waits:?}");
    assert_eq!((scene.counts().refused_half_open.value(), scene.counts().half_open.value()), (20, 2));
    // One of the silent leaves, and there is a place again.
    scene.world.borrow_mut().leave(silent[0]);
    scene.world.borrow_mut().carry(silent[0]);
    (0..2).for_each(|_| scene.turn());
    let link = scene.newcomer();
    (0..3).for_each(|_| scene.turn());
    assert!(scene.heard(link).starts_with(b"HTTP/1.1 101 "));
    assert_eq!(scene.counts().stale_ids.value(), 0);
    assert!(scene.counts().newcomer_waits.value() == 0 && scene.counts().accepts.value() > 0);
}

/// The TLS setup of a shard.
fn certified() -> Option<Arc<rustls::ServerConfig>> {
    Some(secure::server_config().0)
}

#[test]
fn who_has_said_nothing_yet_when_a_drain_begins_costs_no_key_exchange() {
    let slowly = |plan: &mut Plan| {
        (plan.config.timeouts.drain_ms, plan.config.timeouts.drain_delay_ms) = (60_000, 0);
        plan.config.timeouts.drain_closes_per_second_min = 20;
    };
    let mut scene = ShardScene::over(certified(), slowly);
    // A drain closes one at once: the other is to be the one.
    let others = [(); 2].map(|()| scene.world.borrow_mut().connect().unwrap());
    let link = others[1];
    scene.turn();
    assert_eq!((scene.counts().half_open.value(), scene.counts().refused_unavailable.value()), (2, 0));
    scene.mailboxes[0].put(&mut vec![Letter::Drain]);
    scene.turn();
    assert!(!scene.world.borrow().links[link].is_dropped);
    // The head of a record that has more to come.
    scene.world.borrow_mut().send(link, &[22, 3, 1, 2, 0, 1, 0, 1, 252]);
    assert!(scene.world.borrow_mut().carry(link));
    (0..3).for_each(|_| scene.turn());
    assert!(scene.world.borrow().links[link].is_dropped && scene.heard(link).is_empty());
    assert_eq!((scene.counts().half_open.value(), scene.counts().refused_unavailable.value()), (0, 1));
}

#[test]
fn beyond_the_rate_of_handshakes_who_begins_one_is_closed_unheard() {
    let mut scene =
        ShardScene::over(certified(), |plan| plan.config.limits.tls_handshakes_per_second_max = 2);
    let begin = |scene: &mut ShardScene| {
        let link = scene.world.borrow_mut().connect().unwrap();
        scene.turn();
        scene.world.borrow_mut().send(link, &[22, 3, 1, 2, 0, 1, 0, 1, 252]);
        assert!(scene.world.borrow_mut().carry(link));
        (0..3).for_each(|_| scene.turn());
        scene.world.borrow().links[link].is_dropped
    };
    assert_eq!([0; 4].map(|_| begin(&mut scene)), [false, false, true, true]);
    assert_eq!((scene.counts().refused_handshake_rate.value(), scene.counts().half_open.value()), (2, 2));
    scene.world.borrow_mut().now_us += 500_000;
    assert_eq!([0; 2].map(|_| begin(&mut scene)), [false, true], "one came back");
}

#[test]
fn beyond_the_rate_a_newcomer_waits_for_a_time_and_not_for_ever() {
    let mut scene = ShardScene::new(|plan| plan.config.limits.accepts_per_second_max = 2);
    let mut ask = |later_us: u64| {
        scene.world.borrow_mut().now_us += later_us;
        let link = scene.newcomer();
        (0..3).for_each(|_| scene.turn());
        String::from_utf8(scene.heard(link)).unwrap()[9..12].to_owned()
    };
    // Two at once, then two per second, and after a long pause two at once again.
    let answers = [0, 0, 0, 400_000, 100_000, 0, 490_000, 10_000, 5_000_000, 0, 0].map(&mut ask);
    assert_eq!(
        answers.each_ref().map(String::as_str),
        ["101", "101", "503", "503", "101", "503", "503", "101", "101", "101", "503"]
    );
    assert_eq!(scene.counts().refused_node_rate.value(), 5);
}

#[test]
fn whoever_goes_makes_room_for_another() {
    let mut scene = ShardScene::new(|plan| plan.config.limits.connections_max = 2);
    for _ in 0..20 {
        let inside = [scene.live(), scene.live()];
        let refused = scene.newcomer();
        (0..3).for_each(|_| scene.turn());
        assert!(scene.heard(refused).starts_with(b"HTTP/1.1 503 "));
        for link in inside.into_iter().chain([refused]) {
            scene.world.borrow_mut().leave(link);
            scene.world.borrow_mut().carry(link);
        }
        (0..3).for_each(|_| scene.turn());
    }
    assert_eq!((scene.counts().refused_unavailable.value(), scene.counts().connections.value()), (20, 0));
}

#[test]
fn over_tls_a_newcomer_is_shed_before_the_key_exchange() {
    let mut scene = ShardScene::over(certified(), |plan| plan.config.limits.half_open_max = 1);
    let silent = scene.world.borrow_mut().connect().unwrap();
    scene.turn();
    assert_eq!((scene.counts().half_open.value(), scene.counts().tls_links.value()), (1, 1));
    let refused = scene.world.borrow_mut().connect().unwrap();
    scene.turn();
    assert_eq!(scene.counts().refused_half_open.value(), 1);
    assert!(scene.world.borrow().links[refused].is_dropped && !scene.world.borrow().links[silent].is_dropped);
    assert!(scene.heard(refused).is_empty(), "not a byte for it");
    assert_eq!((scene.counts().connections.value(), scene.counts().tls_links.value()), (1, 1));
    scene.world.borrow_mut().leave(silent);
    scene.world.borrow_mut().carry(silent);
    (0..3).for_each(|_| scene.turn());
    assert_eq!((scene.counts().half_open.value(), scene.counts().tls_links.value()), (0, 0));
}
