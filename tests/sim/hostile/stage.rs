//! The shards under siege, their surroundings, and the invariants after each of their turns.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use throng::parts::shard::options::{Listener, ProcessRates};

use throng::parts::base::budget::Budget;
use throng::parts::base::payload::Payload;
use throng::parts::base::shared::Shared;
use throng::parts::config::Config;
use throng::parts::hub::home::Terms;
use throng::parts::hub::options::Namespaces;
use throng::parts::hub::{DataKind, Publication, home_of};
use throng::parts::shard::counters::Counters;
use throng::parts::shard::desk::Desk;
use throng::parts::shard::ledger::Ledger;
use throng::parts::shard::mailbox::{Deed, Letter, Mailbox, Order, Target};
use throng::parts::shard::outside::{Grant, Outside};
use throng::parts::shard::{INPUT_BYTES, Parts, Renewal, Secret, Shard};

use super::super::harness::layout::{Faults, Layout};
use super::super::harness::net::SimNet;
use super::super::harness::rng::{Rng, mix};
use super::super::harness::wire::{self, TEXT};
use super::super::harness::world::{LinkId, World, fingerprint};
use super::backend::Backend;
use super::server::{
    HEAD_BYTES_MAX, HISTORY_BYTES_MAX, HostileHandler, MANNERS, MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX,
    QUEUED_BYTES_MAX, config, renewed,
};
use super::{one_of, words};

const SEED: u64 = 5;
/// The largest single answer: a connect reply with two whole histories. One answer always fits.
const ANSWER_BYTES_MAX: usize = 48 << 10;
/// Bytes of one read, and of an incomplete request or message.
const READ_BYTES_MAX: usize = INPUT_BYTES + MESSAGE_BYTES_MAX + HEAD_BYTES_MAX;
/// Maximum of turns until everything has settled.
const ROUNDS_MAX: u32 = 5000;

/// How a client lets go of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    Gone,
    Reset,
}

/// Shards, the world that they are simulated over, their accounts, and the innocent client.
pub(super) struct Stage {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<(SimNet, HostileHandler)>>,
    mailboxes: Arc<[Mailbox]>,
    counters: Arc<[Arc<Counters>]>,
    budget: Budget,
    publication_budget: Budget,
    ledger: Ledger,
    rates: ProcessRates,
    backend: Arc<Backend>,
    /// As it was at the start; and the channels as they are now.
    config: Config,
    namespaces: Arc<Namespaces>,
    inside: Arc<AtomicI64>,
    innocent: Innocent,
}

/// A client that is connected from the start, sends little, and reads everything.
struct Innocent {
    link: LinkId,
    arrived: Vec<u8>,
    asked: u32,
    answered: u32,
}

impl Stage {
    /// A server of these manners, and the innocent inside.
    pub(super) fn new(manners: &[u8]) -> Self {
        let manners: Vec<u8> = manners.iter().map(|&byte| one_of(MANNERS, byte)).collect();
        let has = |manner: u8| manners.contains(&manner);
        let config = config(&has);
        let shard_count = if has(b'2') { 2 } else { 1 };
        let layout = Layout {
            shards: shard_count,
            faults: Faults::never(),
            down_bytes_max: if has(b's') { 1 << 10 } else { 16 << 10 },
            inbox_bytes_max: 256 << 10,
            is_sealed: false,
        };
        let world = Rc::new(RefCell::new(World::new(layout, Rng::new(7))));
        let woken: Vec<_> = world.borrow().stations.iter().map(|station| Arc::clone(&station.mail)).collect();
        let wake = |mail: Arc<std::sync::atomic::AtomicBool>| {
            Mailbox::new(Box::new(move || mail.store(true, Relaxed)))
        };
        let counters: Arc<[Arc<Counters>]> = (0..shard_count).map(|_| Arc::default()).collect();
        let (budget, publication_budget) = (Budget::new(QUEUED_BYTES_MAX), Budget::new(QUEUED_BYTES_MAX / 4));
        let mut stage = Self {
            world,
            shards: Vec::new(),
            mailboxes: woken.into_iter().map(wake).collect(),
            rates: ProcessRates::default(),
            ledger: Ledger::new(Arc::clone(&counters), budget.clone(), publication_budget.clone()),
            counters,
            budget,
            publication_budget,
            backend: Arc::new(Backend::new(has(b'c'), has(b'q'))),
            namespaces: Arc::clone(&config.namespaces),
            config,
            inside: Arc::default(),
            innocent: Innocent { link: 0, arrived: Vec::new(), asked: 0, answered: 0 },
        };
        stage.shards = (0..shard_count).map(|shard| stage.shard(shard)).collect();
        stage.let_innocent_in();
        stage
    }

    fn shard(&self, shard: u16) -> Shard<(SimNet, HostileHandler)> {
        let parts = Parts {
            net: SimNet { world: Rc::clone(&self.world), shard: usize::from(shard) },
            handler: HostileHandler::new(&self.inside),
            shard,
            mailboxes: Arc::clone(&self.mailboxes),
            counters: Arc::clone(&self.counters),
            budget: self.budget.clone(),
            publication_budget: self.publication_budget.clone(),
            ledger: self.ledger.clone(),
            seed: SEED.into(),
            outside: Arc::clone(&self.backend) as Arc<dyn Outside>,
            desk: Arc::clone(&self.backend) as Arc<dyn Desk>,
            secret: Secret::new(SEED.into()),
            rates: self.rates.clone(),
            capacity: 64,
            tls: None,
            listeners: Arc::new([Listener::http(false)]),
        };
        Shard::new(parts, self.config.shard_options("node"))
    }

    // Events.

    pub(super) fn connect(&mut self) -> Option<LinkId> {
        self.world.borrow_mut().connect()
    }

    /// Sends bytes, and the end of the input behind them if all were taken; returns how many were.
    pub(super) fn send(&mut self, link: LinkId, bytes: &[u8], ends: bool) -> usize {
        let mut world = self.world.borrow_mut();
        let sent = world.send(link, bytes);
        if ends && sent == bytes.len() {
            world.finish(link);
        }
        world.carry(link);
        sent
    }

    pub(super) fn receive(&mut self, link: LinkId, bytes_max: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        self.world.borrow_mut().receive(link, bytes_max, &mut heard);
        heard
    }

    pub(super) fn end_link(&mut self, link: LinkId, timing: Timing) {
        let mut world = self.world.borrow_mut();
        match timing {
            Timing::Gone => world.leave(link),
            Timing::Reset => world.reset(link),
        }
        world.carry(link);
    }

    /// Answers a question that was asked outside; whether there was one.
    pub(super) fn answer(&mut self, which: usize, kind: usize) -> bool {
        let Some((shard, letter)) = self.backend.answer(which, kind) else { return false };
        self.mailboxes[usize::from(shard)].put(&mut vec![letter]);
        true
    }

    pub(super) fn order(&mut self, kind: u8, user: usize, channel: usize) {
        let user = ["", "ann"][user % 2].to_owned();
        let name = words::channel(channel);
        let deed = match kind {
            b'd' => Deed::Disconnect { code: 3503, reason: "out".to_owned(), spared: Vec::new() },
            b'u' => Deed::Unsubscribe { channel: name.into(), code: 2500, reason: "out".to_owned() },
            b'r' => Deed::Refresh { expired: true, expire_at_s: 0, info: Payload::default() },
            b'R' => Deed::Refresh { expired: false, expire_at_s: 1_700_000_060, info: Payload::default() },
            b'm' => Deed::Message { data: b"{}".to_vec().into() },
            _ => {
                let Some(options) = self.namespaces.resolve(&name).map(Arc::clone) else { return };
                Deed::Subscribe { channel: name.into(), options, grant: Box::<Grant>::default() }
            }
        };
        let order = Arc::new(Order::new(Target { user, ..Target::default() }, deed));
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Order(Arc::clone(&order))]);
        }
    }

    pub(super) fn publish(&mut self, channel: usize, bytes: usize, count: usize) {
        let name = words::channel(channel);
        let Some(options) = self.namespaces.resolve(&name).map(Arc::clone) else { return };
        let home = home_of(&name, SEED.into(), self.mailboxes.len() as u16);
        for _ in 0..count {
            let data = format!("\"{}\"", "x".repeat(bytes)).into_bytes();
            let data = Shared::new(data, &self.publication_budget);
            let letter = Letter::Publish {
                publication: Box::new(Publication::new(name.as_str().into(), DataKind::Json, data)),
                options: Arc::clone(&options),
                terms: Terms::default(),
                from: None,
                asker: None,
            };
            self.mailboxes[usize::from(home)].put(&mut vec![letter]);
        }
    }

    /// The configuration is read again: as it was at the start, but for one kind of difference.
    pub(super) fn renew(&mut self, kind: usize) {
        let config = renewed(&self.config, kind);
        self.namespaces = Arc::clone(&config.namespaces);
        let renewal = Arc::new(Renewal {
            options: config.shard_options("node"),
            outside: Arc::clone(&self.backend) as Arc<dyn Outside>,
        });
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Renew(Arc::clone(&renewal))]);
        }
    }

    /// Time passes, in one leap.
    pub(super) fn pass(&mut self, number: usize) {
        let ms = [1, 10, 130, 1000, 5000, 26_000, 61_000, 3_700_000][number % 8];
        self.world.borrow_mut().now_us += ms * 1000;
        self.turns(2);
    }

    pub(super) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.round();
        }
    }

    /// Lets each shard turn, and the innocent client read; returns whether a shard had work.
    fn round(&mut self) -> bool {
        let progress = self.turn();
        self.hear_innocent();
        progress
    }

    fn turn(&mut self) -> bool {
        let mut progress = false;
        for number in 0..self.shards.len() {
            self.world.borrow_mut().now_us += 50;
            match self.shards[number].turn() {
                Ok(_) => {
                    progress = true;
                    self.shards[number].check_invariants();
                    self.check();
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        progress
    }

    // Invariants.

    fn sum(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(|counters| count(counters)).sum()
    }

    /// After every turn: gauges match the real state, and memory is within its limits.
    fn check(&self) {
        let world = self.world.borrow();
        let sockets = world.links.iter().filter(|link| link.accepted_us.is_some() && !link.is_dropped);
        let (sockets, connections) = (sockets.count() as u64, self.sum(|c| c.connections.value()));
        assert_eq!(connections, sockets, "connections are sockets");
        let (sessions, half_open) = (self.sum(|c| c.sessions.value()), self.sum(|c| c.half_open.value()));
        let forwarding = self.sum(|c| c.forwarding.value());
        assert!(
            sessions + half_open + forwarding <= connections,
            "{sessions} sessions, {half_open} half open and {forwarding} that ask of {connections}"
        );
        let out = self.sum(|c| c.forwarded_out.value());
        // Some answers may be on their way.
        assert!(self.backend.handed_count() <= out, "what was handed over is out: {out}");
        assert!(self.inside.load(Relaxed) as u64 <= sessions, "guests are sessions");
        let each = OUTBOX_BYTES_MAX + ANSWER_BYTES_MAX;
        let reads = connections as usize * READ_BYTES_MAX;
        let queued_max = (connections as usize * each).min(QUEUED_BYTES_MAX) + reads;
        let kinds: BTreeMap<&str, u64> =
            self.ledger.kinds().iter().map(|kind| (kind.name, kind.bytes)).collect();
        let within = |what: &str, max: usize| {
            let bytes = kinds[what];
            assert!(bytes <= max as u64, "{bytes} bytes of {what}, where {max} are allowed: {kinds:?}");
        };
        within("queued", queued_max);
        within("partial_messages", reads);
        within("publications", QUEUED_BYTES_MAX / 4 + reads + 16 * 640);
        within("history", HISTORY_BYTES_MAX);
        within("buffers", self.shards.len() * (2 * INPUT_BYTES + ANSWER_BYTES_MAX + (256 << 10)));
    }

    fn let_innocent_in(&mut self) {
        let link = self.connect().unwrap();
        self.innocent.link = link;
        self.send(link, &wire::upgrade("/connection/websocket"), false);
        self.turns(3);
        assert_eq!(wire::take_response(&mut self.innocent.arrived), Some(101));
        let mut out = Vec::new();
        wire::put_frame(
            &mut out,
            true,
            TEXT,
            br#"{"id":1,"connect":{"token":"ok innocent"}}"#,
            &mut Rng::new(7),
        );
        self.send(link, &out, false);
        self.innocent.asked = 1;
        self.turns(6);
        assert!(self.innocent.answered > 0, "the innocent is let in");
    }

    /// Reads the innocent client's input; it sends another request when it has its answer.
    fn hear_innocent(&mut self) {
        let Innocent { link, .. } = self.innocent;
        let heard = self.receive(link, usize::MAX);
        self.innocent.arrived.extend(heard);
        let is_there = !self.world.borrow().links[link].is_dropped;
        assert!(is_there, "the innocent was sent away");
        if self.innocent.asked == 0 {
            return;
        }
        while let Some(frame) = wire::take_frame(&mut self.innocent.arrived) {
            assert_eq!(frame.opcode, TEXT, "the innocent was sent away: {frame:?}");
            self.innocent.answered += 1;
        }
        if self.innocent.answered == self.innocent.asked {
            self.innocent.asked += 1;
            let ping = format!(r#"{{"id":{},"ping":{{}}}}"#, self.innocent.asked);
            let mut out = Vec::new();
            wire::put_frame(&mut out, true, TEXT, ping.as_bytes(), &mut Rng::new(7));
            self.send(link, &out, false);
        }
    }

    /// A hash of all events, outside questions, and counters.
    fn hash(&self) -> u64 {
        let counted = self.counters.iter().flat_map(|counters| counters.each());
        let counted = counted.filter(|(_, value)| *value > 0);
        counted.fold(self.world.borrow().hash ^ self.backend.hash(), |sum, (name, value)| {
            mix(sum.rotate_left(7) ^ fingerprint(name.as_bytes()) ^ value)
        })
    }

    /// All clients but the innocent one leave: it gets its answer, and nothing is left.
    pub(super) fn check_the_end(mut self) -> u64 {
        let innocent = self.innocent.link;
        let links = self.world.borrow().links.len();
        for link in (0..links).filter(|&link| link != innocent) {
            self.end_link(link, Timing::Reset);
        }
        while self.answer(0, 0) {}
        self.settle();
        let asked = self.innocent.asked;
        self.turns(4);
        assert!(self.innocent.asked > asked, "the innocent is answered");
        assert_eq!(self.sum(|c| c.connections.value()), 1, "all others are gone");
        self.end_link(innocent, Timing::Gone);
        let mut turns_more = 5;
        for _ in 0..ROUNDS_MAX {
            self.turn();
            self.world.borrow_mut().now_us += 1000;
            turns_more -= u32::from(self.world.borrow().links[innocent].is_dropped);
            if turns_more == 0 {
                self.check_nothing_is_left();
                return self.hash();
            }
        }
        panic!("the innocent cannot leave: {:?}", self.shards);
    }

    /// Until all that was asked for is done, and all that lingers is over.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let links = self.world.borrow().links.len();
            let carried = (0..links).filter(|&link| self.world.borrow_mut().carry(link)).count();
            let progress = self.round() || carried > 0;
            while self.answer(0, 0) {}
            // The innocent client always sends something; so shards are idle only after the others have gone.
            let is_done =
                self.sum(|c| c.connections.value()) == 1 && self.mailboxes.iter().all(Mailbox::is_empty);
            quiet = if is_done || !progress { quiet + 1 } else { 0 };
            if quiet > 20 {
                return;
            }
            self.world.borrow_mut().now_us += if is_done { 1000 } else { 10_000 };
        }
        panic!("the shards do not come to rest: {:?}", self.shards);
    }

    fn check_nothing_is_left(&self) {
        self.shards.iter().for_each(Shard::check_invariants);
        let gauges = [
            "connections",
            "sessions",
            "half_open",
            "forwarding",
            "forwarded_out",
            "refused_lingering",
            "clients",
            "subscriptions",
            "presences",
            "outboxes",
            "outbox_bytes",
            "partial_bytes",
            "connection_bytes",
            "tls_links",
        ];
        for (name, value) in self.counters.iter().flat_map(|counters| counters.each()) {
            assert!(value == 0 || !gauges.contains(&name), "{name}: {value}");
        }
        assert_eq!(self.budget.used(), 0, "bytes are still charged");
        assert_eq!(self.publication_budget.used(), 0, "published bytes are still charged");
        assert_eq!(self.inside.load(Relaxed), 0, "each guest that came in was let out, once");
        let counts = self.shards.iter().map(Shard::user_connection_counts);
        assert!(counts.into_iter().all(|counts| counts == (0, 0)), "no user has a connection");
    }
}
