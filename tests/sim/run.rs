//! One run: shards, clients and links take turns in an order drawn from the seed; then faults end, everything settles
//! and is checked; then the shards drain, and nothing may be left.

mod checks;
mod coming;
mod outside;
mod renewing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use throng::parts::base::budget::Budget;
use throng::parts::hub::home::Answer;
use throng::parts::shard::counters::Counters;
use throng::parts::shard::desk::NoDesk;
use throng::parts::shard::ledger::Ledger;
use throng::parts::shard::mailbox::{Letter, Mailbox};
use throng::parts::shard::options::{Listener, ProcessRates};
use throng::parts::shard::outside::Outside;
use throng::parts::shard::{Parts, Secret, Shard, Turn};

use self::renewing::Renewals;
use crate::client::{Circumstances, Client};
use crate::device::{Device, SharedDevice};
use crate::late::{Memories, memory_of};
use crate::model::Model;
use crate::net::{SharedWorld, SimNet};
use crate::oracle::Oracle;
use crate::outcomes::Counts;
use crate::plan::Plan;
use crate::raw::TestHandler;
use crate::rng::Rng;
use crate::sealed::TlsSetup;
use crate::world::World;

/// The outcome of a run: a hash of all events, and counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Hash of the data received by clients, hooks and callers of the API, byte by byte and in order, of the ends of
    /// connections, and of the time of each event.
    pub(crate) hash: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// All counters and gauges, when all had settled and at the end.
    pub(crate) counters: [Counts; 2],
}

/// Far more than any run needs.
const ROUNDS_MAX: u64 = 1_000_000;

/// Nothing that is under way takes longer to go on.
const QUIET_US: u64 = 3000;

/// By how much the wall clock jumps, either way: an hour.
const WALL_JUMP_MS_MAX: u64 = 3_600_000;

/// Shards, clients and the world between them, with the models of the run.
pub(crate) struct Run {
    plan: Rc<Plan>,
    rng: Rng,
    seed: u64,
    world: SharedWorld,
    /// Ended shards are gone.
    shards: Vec<Option<Shard<(SimNet, TestHandler)>>>,
    mailboxes: Arc<[Mailbox]>,
    /// The setup of handshakes, if there are any.
    tls_setup: Option<TlsSetup>,
    counters: Arc<[Arc<Counters>]>,
    budget: Budget,
    inside: Arc<AtomicI64>,
    clients: Vec<Client>,
    /// When the clients that are still to come do, last first.
    arrivals_us: Vec<u64>,
    devices: Vec<SharedDevice>,
    oracle: Arc<Oracle>,
    /// Where homes answer later: the answers held back by their memories, and chance.
    memories: Option<(Memories, Rng)>,
    /// The next time at which the server API is used.
    api_us: u64,
    /// The homes' answers to it: channel, number, answer.
    api_answers: Arc<Mutex<Vec<(u32, u32, Answer)>>>,
    renewals: Option<Renewals>,
    model: Model,
    rounds: u64,
    is_calm: bool,
    is_draining: bool,
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_memories(seed, Plan::new(seed), None)
    }

    fn with_memories(seed: u64, plan: Plan, memories: Option<(Memories, Rng)>) -> Self {
        let plan = Rc::new(plan);
        if std::env::var_os("THRONG_TRACE").is_some() {
            println!("{plan:#?}");
        }
        let mut rng = Rng::new(seed);
        let world = Rc::new(RefCell::new(World::new(plan.layout(), rng.fork())));
        let mailboxes = mailboxes(&world.borrow());
        let counters: Arc<[Arc<Counters>]> = (0..plan.shards).map(|_| Arc::default()).collect();
        let bytes_max = plan.config.limits.queued_bytes_max;
        let (budget, publication_budget) = (Budget::new(bytes_max), Budget::new(bytes_max / 4));
        let ledger = Ledger::new(Arc::clone(&counters), budget.clone(), publication_budget.clone());
        ledger.allow(plan.memory_allowed);
        let (inside, rates) = (Arc::new(AtomicI64::new(0)), ProcessRates::default());
        let (oracle, tls) = (Arc::new(Oracle::new(&plan.history)), plan.tls.as_ref().map(TlsSetup::new));
        let shards = (0..plan.shards)
            .map(|shard| {
                let parts = Parts {
                    net: SimNet { world: Rc::clone(&world), shard: usize::from(shard) },
                    handler: TestHandler { inside: Arc::clone(&inside), told: Arc::default() },
                    shard,
                    mailboxes: Arc::clone(&mailboxes),
                    counters: Arc::clone(&counters),
                    budget: budget.clone(),
                    publication_budget: publication_budget.clone(),
                    ledger: ledger.clone(),
                    seed: seed.into(),
                    outside: Arc::clone(&oracle) as Arc<dyn Outside>,
                    desk: Arc::new(NoDesk),
                    secret: Secret::new(seed.into()),
                    rates: rates.clone(),
                    capacity: plan.capacity,
                    listeners: Arc::new([Listener::http(tls.is_some())]),
                    tls: tls.as_ref().map(|tls| Arc::clone(&tls.server)),
                };
                let options = plan.config.shard_options("node");
                let memory = |memory| memory_of(&memories, shard, memory);
                Some(Shard::with_memory(parts, options, &memory))
            })
            .collect();
        let begin_us = world.borrow().now_us;
        let mut arrivals_us = coming::arrivals(&plan, &mut rng, begin_us);
        arrivals_us.sort_unstable_by(|a, b| b.cmp(a));
        let device = |id| Rc::new(RefCell::new(Device::new(id, &mut rng, &plan)));
        let devices = (0..plan.history.devices).map(device).collect();
        Self {
            devices,
            oracle,
            memories,
            seed,
            api_us: begin_us,
            api_answers: Arc::default(),
            plan,
            rng,
            world,
            shards,
            mailboxes,
            tls_setup: tls,
            counters,
            budget,
            inside,
            clients: Vec::new(),
            arrivals_us,
            renewals: Renewals::new(seed, begin_us),
            model: Model::default(),
            rounds: 0,
            is_calm: false,
            is_draining: false,
        }
    }

    /// All counters and gauges over all shards that are not 0.
    fn counters(&self) -> Counts {
        let mut all = Counts::new();
        for (name, value) in self.counters.iter().flat_map(|counters| counters.each()) {
            *all.entry(name).or_default() += value;
        }
        all.retain(|_, value| *value > 0);
        all
    }

    /// The whole run.
    pub(crate) fn run(mut self) -> Outcome {
        let storm_ends_us = self.now_us() + self.plan.activity_us;
        self.run_until(storm_ends_us);
        self.is_calm = true;
        self.world.borrow_mut().calm();
        // Accepting pauses for 100 ms at a time, timers ring within 250; no heartbeat must be needed.
        self.run_until_idle();
        self.run_until(self.now_us() + 400_000);
        self.run_until_idle();
        for client in &self.clients {
            client.check_settled(&self.world.borrow(), self.plan.has_room());
        }
        self.model.check_complete();
        self.check_homes();
        self.check_streams();
        self.audit();
        let t = &self.plan.config.timeouts;
        let longest_ms =
            (t.ping_interval_ms + t.pong_timeout_ms).max(t.idle_ms).max(t.handshake_ms + t.connect_ms)
                + t.linger_ms;
        let since_us = self.now_us();
        self.run_until(since_us + longest_ms * 1000 + 1_000_000);
        for client in &self.clients {
            client.check_overdue(&self.world.borrow(), since_us);
        }
        let settled = self.counters();
        self.drain();
        self.model.check_order();
        self.check_the_end(settled)
    }

    fn now_us(&self) -> u64 {
        self.world.borrow().now_us
    }

    fn run_until(&mut self, end_us: u64) {
        while self.now_us() < end_us {
            if !self.round() {
                self.skip_to_next(end_us);
            }
        }
    }

    /// Runs until nothing has happened for a while: a client that waits for congestion to end looks idle for a
    /// millisecond.
    fn run_until_idle(&mut self) {
        let end_us = self.now_us() + 120_000_000;
        let mut quiet_us = self.now_us() + QUIET_US;
        while self.now_us() < quiet_us {
            assert!(self.now_us() < end_us, "the shards do not come to rest");
            if self.round() {
                quiet_us = self.now_us() + QUIET_US;
            } else {
                self.skip_to_next(quiet_us);
            }
        }
    }

    /// Lets each part do something, in any order; returns whether any did, or could have and was skipped.
    fn round(&mut self) -> bool {
        self.rounds += 1;
        assert!(self.rounds < ROUNDS_MAX, "a shard spins");
        self.model.streams.now_us = self.now_us();
        let mut progress = self.arrive() | self.come_back() | self.renew() | self.speak_from_outside();
        let shard_count = self.shards.len();
        let mut actors: Vec<usize> = (0..shard_count + self.clients.len()).collect();
        self.rng.shuffle(&mut actors);
        for actor in actors {
            progress |= match actor.checked_sub(shard_count) {
                None => self.turn(actor),
                Some(client) => self.step(client),
            };
        }
        let mut world = self.world.borrow_mut();
        world.now_us += self.rng.range(10..=400);
        if world.faults.jump > 0 && self.rng.next() % 10_000 < world.faults.jump {
            let jump_us = self.rng.range(0..=world.faults.jump_us_max);
            world.note("jump", 0, jump_us);
            world.now_us += jump_us;
            // The wall clock is set, back or forth.
            let set_ms = self.rng.range(0..=2 * WALL_JUMP_MS_MAX);
            world.unix_ahead_ms = world.unix_ahead_ms.wrapping_add(set_ms).wrapping_sub(WALL_JUMP_MS_MAX);
        }
        progress
    }

    fn turn(&mut self, number: usize) -> bool {
        let Some(shard) = &mut self.shards[number] else { return false };
        let skip_percent = self.world.borrow().faults.skip_shard;
        if self.rng.chance(skip_percent) {
            return true;
        }
        match shard.turn() {
            Ok(turn) => {
                shard.check_invariants();
                self.world.borrow_mut().note("turn", number, 0);
                if turn == Turn::Ended {
                    self.shards[number] = None;
                }
                self.check_memory();
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("shard {number}: {error}"),
        }
    }

    fn step(&mut self, number: usize) -> bool {
        let now = Circumstances { plan: &self.plan, is_draining: self.is_draining, is_calm: self.is_calm };
        let client = &mut self.clients[number];
        let mut world = self.world.borrow_mut();
        let is_passed_over = self.rng.chance(25);
        if is_passed_over {
            return !client.is_over();
        }
        let has_carried = world.carry(client.link);
        client.step(&mut world, &mut self.model, now) || has_carried
    }

    /// Nothing can happen now: skips to the time when something can.
    fn skip_to_next(&mut self, end_us: u64) {
        let mut world = self.world.borrow_mut();
        let shards = self.shards.iter().zip(&world.stations).filter(|(shard, _)| shard.is_some());
        let wakes = shards.filter_map(|(_, station)| station.wake_at_us);
        let clients = self.clients.iter().map(|client| client.due_us(self.is_calm));
        let arrival = self.arrivals_us.last().copied();
        let devices = self.devices.iter().filter(|device| device.borrow().is_away && !self.is_draining);
        let devices = devices.filter_map(|device| device.borrow().comes_us).filter(|&at| at > world.now_us);
        let api = (!self.is_calm).then_some(self.api_us);
        let arrival =
            arrival.into_iter().chain(api).chain(self.renewal_us()).chain(devices.collect::<Vec<_>>());
        let next_us = wakes.chain(clients).chain(arrival).min().unwrap_or(u64::MAX);
        world.now_us = next_us.clamp(world.now_us, end_us.max(world.now_us));
    }

    fn drain(&mut self) {
        self.is_draining = true;
        let began_us = self.now_us();
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Drain]);
        }
        let t = &self.plan.config.timeouts;
        let end_us = began_us + (t.drain_delay_ms + t.drain_ms + t.linger_ms) * 1000 + 2_000_000;
        while self.shards.iter().any(Option::is_some) {
            assert!(self.now_us() < end_us, "the drain does not end: {:?}", self.shards.iter().flatten());
            if !self.round() {
                self.skip_to_next(end_us);
            }
        }
        // The output of the last turns still reaches the clients.
        self.run_until_idle();
    }

    /// A counter's value over all shards.
    fn sum(&self, name: &str) -> u64 {
        let all = self.counters.iter().flat_map(|counters| counters.each());
        all.filter(|(n, _)| *n == name).map(|(_, value)| value).sum()
    }
}

/// One for each shard, which wakes it.
fn mailboxes(world: &World) -> Arc<[Mailbox]> {
    let woken = world.stations.iter().map(|station| Arc::clone(&station.mail));
    woken.map(|mail| Mailbox::new(Box::new(move || mail.store(true, Relaxed)))).collect()
}
