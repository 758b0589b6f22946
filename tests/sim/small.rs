//! A few shards without a plan of their own, for stories step by step.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use throng::parts::shard::options::{Listener, ProcessRates};

use throng::parts::base::budget::Budget;
use throng::parts::config::Config;
use throng::parts::hub::options::Namespaces;
use throng::parts::shard::counters::Counters;
use throng::parts::shard::desk::NoDesk;
use throng::parts::shard::ledger::Ledger;
use throng::parts::shard::mailbox::{Letter, Mailbox};
use throng::parts::shard::outside::{Nobody, Outside};
use throng::parts::shard::{Parts, Secret, Shard, Turn};

use crate::harness::layout::Faults;
use crate::net::SimNet;
use crate::plan::Plan;
use crate::raw::TestHandler;
use crate::rng::Rng;
use crate::world::{LinkId, World};

/// The process's random number.
pub(crate) const SEED: u64 = 0;

/// Shards, their simulated world, and their counters.
pub(crate) struct Small {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) budget: Budget,
    pub(crate) mailboxes: Arc<[Mailbox]>,
    pub(crate) counters: Arc<[Arc<Counters>]>,
    pub(crate) namespaces: Arc<Namespaces>,
    outside: Arc<dyn Outside>,
    rates: ProcessRates,
    /// Of all handlers.
    pub(crate) inside: Arc<AtomicI64>,
    pub(crate) told: Arc<Mutex<Vec<u32>>>,
    shards: Vec<Shard<(SimNet, TestHandler)>>,
}

impl Small {
    /// So many shards without faults, whose channels have presence, in a world that carries `down_bytes_max` bytes at
    /// a time to a client.
    pub(crate) fn new(shard_count: u16, down_bytes_max: usize, queued_bytes_max: usize) -> Self {
        Self::over(None, shard_count, down_bytes_max, queued_bytes_max)
    }

    /// A world whose connections use TLS, if a configuration is given.
    pub(crate) fn over(
        tls: Option<Arc<rustls::ServerConfig>>,
        shard_count: u16,
        down_bytes_max: usize,
        queued_bytes_max: usize,
    ) -> Self {
        Self::asking(Arc::new(Nobody), |_| (), tls, shard_count, down_bytes_max, queued_bytes_max)
    }

    /// A world with an outside and a configuration of its own.
    pub(crate) fn asking(
        outside: Arc<dyn Outside>,
        configure: impl FnOnce(&mut Config),
        tls: Option<Arc<rustls::ServerConfig>>,
        shard_count: u16,
        down_bytes_max: usize,
        queued_bytes_max: usize,
    ) -> Self {
        // Any seed: the relevant parts of its plan are set here.
        let mut plan = Plan::new(0);
        plan.shards = shard_count;
        plan.down_bytes_max = down_bytes_max;
        plan.inbox_bytes_max = 1 << 20;
        plan.faults = Faults::never();
        plan.config = Config { shards: usize::from(shard_count), ..Config::default() };
        plan.config.limits.queued_bytes_max = queued_bytes_max;
        let mut namespaces = Namespaces::clone(&plan.config.namespaces);
        let options = Arc::make_mut(&mut namespaces.without_namespace);
        (options.presence, options.join_leave) = (true, true);
        plan.config.namespaces = Arc::new(namespaces);
        configure(&mut plan.config);
        let world = Rc::new(RefCell::new(World::new(plan.layout(), Rng::new(7))));
        let mailbox = |mail: &Arc<AtomicBool>| {
            let mail = Arc::clone(mail);
            Mailbox::new(Box::new(move || mail.store(true, Relaxed)))
        };
        let mailboxes = world.borrow().stations.iter().map(|station| mailbox(&station.mail)).collect();
        let mut small = Self {
            world,
            budget: Budget::new(queued_bytes_max),
            mailboxes,
            namespaces: Arc::clone(&plan.config.namespaces),
            outside,
            rates: ProcessRates::default(),
            inside: Arc::default(),
            told: Arc::default(),
            counters: (0..shard_count).map(|_| Arc::default()).collect(),
            shards: Vec::new(),
        };
        small.shards = (0..shard_count).map(|shard| small.shard(shard, &plan.config, tls.clone())).collect();
        small
    }

    fn shard(
        &self,
        shard: u16,
        config: &Config,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Shard<(SimNet, TestHandler)> {
        let publication_budget = Budget::new(1 << 20);
        let ledger = Ledger::new(Arc::clone(&self.counters), self.budget.clone(), publication_budget.clone());
        let parts = Parts {
            net: SimNet { world: Rc::clone(&self.world), shard: usize::from(shard) },
            handler: TestHandler { inside: Arc::clone(&self.inside), told: Arc::clone(&self.told) },
            shard,
            mailboxes: Arc::clone(&self.mailboxes),
            counters: Arc::clone(&self.counters),
            budget: self.budget.clone(),
            publication_budget,
            ledger,
            seed: SEED.into(),
            outside: Arc::clone(&self.outside),
            desk: Arc::new(NoDesk),
            secret: Secret::new(SEED.into()),
            rates: self.rates.clone(),
            capacity: config.limits.connections_max.max(10),
            listeners: Arc::new([Listener::http(tls.is_some())]),
            tls,
        };
        Shard::new(parts, config.shard_options("node"))
    }

    /// Sends bytes and delivers data in transit.
    pub(crate) fn send(&self, link: LinkId, bytes: &[u8]) {
        let mut world = self.world.borrow_mut();
        world.send(link, bytes);
        world.carry(link);
    }

    /// Lets a shard turn as long as it has something to do.
    pub(crate) fn turn(&mut self, shard: usize) {
        while self.shards[shard].turn().is_ok() {
            self.shards[shard].check_invariants();
        }
    }

    /// Lets a shard turn once; returns whether it had something to do.
    pub(crate) fn turn_once(&mut self, shard: usize) -> bool {
        let has_turned = self.shards[shard].turn().is_ok();
        self.shards[shard].check_invariants();
        has_turned
    }

    /// Begins the drain in all shards, and returns the milliseconds until the last has ended, in steps of one.
    pub(crate) fn drain(&mut self) -> u64 {
        self.mailboxes.iter().for_each(|mailbox| mailbox.put(&mut vec![Letter::Drain]));
        let mut open: Vec<usize> = (0..self.shards.len()).collect();
        for ms in 0..600_000 {
            // Letters to other shards are read in the same moment.
            for _ in 0..4 {
                open.retain(|&shard| !self.has_ended(shard));
            }
            if open.is_empty() {
                return ms;
            }
            self.world.borrow_mut().now_us += 1000;
        }
        panic!("shards {open:?} do not end");
    }

    fn has_ended(&mut self, shard: usize) -> bool {
        while let Ok(turn) = self.shards[shard].turn() {
            self.shards[shard].check_invariants();
            if turn == Turn::Ended {
                return true;
            }
        }
        false
    }

    /// Lets a shard turn once, if it has something to do; returns whether it had.
    pub(crate) fn step(&mut self, shard: usize) -> bool {
        let has_turned = self.shards[shard].turn().is_ok();
        self.shards[shard].check_invariants();
        has_turned
    }

    /// Number of connections of all shards.
    pub(crate) fn connection_count(&self) -> usize {
        self.shards.iter().map(Shard::connection_count).sum()
    }

    /// Takes received bytes, up to so many.
    pub(crate) fn receive(&self, link: LinkId, bytes_max: usize, arrived: &mut Vec<u8>) {
        self.world.borrow_mut().receive(link, bytes_max, arrived);
    }
}
