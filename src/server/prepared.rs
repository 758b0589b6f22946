//! The parts of a server before its first shard runs: those that all shards share, and those that must exist before
//! the shards part.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::places::Places;
use super::threads::can_unshare;
use crate::base::budget::Budget;
use crate::base::seed::Seed;
use crate::config::{Config, memory};
use crate::control::desk::ApiThreads;
use crate::control::{self, ControlRuntime, announce};
use crate::net::{Inherited, MioNet, Transit, sys};
use crate::node::{Certificates, Wiring, startup_error};
use crate::shard::counters::Counters;
use crate::shard::desk::{Desk, NoDesk};
use crate::shard::ledger::Ledger;
use crate::shard::mailbox::Mailbox;
use crate::shard::options::{Listener, Options, ProcessRates};
use crate::shard::outside::Outside;
use crate::shard::{Parts, Secret};

/// Publications on their way may use one part in this many of `queued_bytes_max`, in addition to data queued for
/// connections.
const PUBLICATION_SHARE: usize = 4;

/// The parts that all shards share.
pub(super) struct Common {
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) counters: Arc<[Arc<Counters>]>,
    pub(super) budget: Budget,
    pub(super) publication_budget: Budget,
    pub(super) ledger: Ledger,
    pub(super) rates: ProcessRates,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) desk: Arc<dyn Desk>,
    pub(super) secret: Secret,
    pub(super) options: Options,
    pub(super) seed: Seed,
    pub(super) shard_capacity: usize,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) listeners: Arc<[Listener]>,
}

impl Common {
    /// New counters and budgets.
    pub(super) fn new(
        config: &Config,
        (mailboxes, outside): (Arc<[Mailbox]>, Arc<dyn Outside>),
        (uid, seed): (&str, Seed),
    ) -> Self {
        let counters: Arc<[Arc<Counters>]> = (0..config.shards).map(|_| Arc::default()).collect();
        let budget = Budget::new(config.limits.queued_bytes_max);
        let publication_budget = Budget::new(config.limits.queued_bytes_max / PUBLICATION_SHARE);
        Self {
            ledger: Ledger::new(Arc::clone(&counters), budget.clone(), publication_budget.clone()),
            rates: ProcessRates::default(),
            counters,
            budget,
            publication_budget,
            outside,
            desk: Arc::new(NoDesk),
            secret: Secret::new(seed),
            options: config.shard_options(uid),
            mailboxes,
            seed,
            shard_capacity: 0,
            tls: None,
            listeners: Arc::default(),
        }
    }

    /// The parts of one shard.
    pub(super) fn parts<H>(&self, net: MioNet, handler: H, shard: u16) -> Parts<MioNet, H> {
        Parts {
            net,
            handler,
            shard,
            mailboxes: Arc::clone(&self.mailboxes),
            counters: Arc::clone(&self.counters),
            budget: self.budget.clone(),
            publication_budget: self.publication_budget.clone(),
            ledger: self.ledger.clone(),
            rates: self.rates.clone(),
            seed: self.seed,
            outside: Arc::clone(&self.outside),
            desk: Arc::clone(&self.desk),
            secret: self.secret.clone(),
            capacity: self.shard_capacity,
            tls: self.tls.clone(),
            listeners: Arc::clone(&self.listeners),
        }
    }

    /// The connection of a node to the shards.
    pub(super) fn wiring(&self) -> Wiring {
        Wiring {
            mailboxes: Arc::clone(&self.mailboxes),
            counters: Arc::clone(&self.counters),
            publication_budget: self.publication_budget.clone(),
            seed: self.seed,
        }
    }
}

/// The parts that exist before the shards part.
pub(super) struct Prepared {
    /// The configuration, adapted to this system.
    pub(super) config: Config,
    pub(super) places: Places,
    pub(super) capacity: u64,
    pub(super) shard_capacity: usize,
    pub(super) nets: Vec<MioNet>,
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) certificates: Option<Certificates>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) runtime: ControlRuntime,
    pub(super) threads: ApiThreads,
}

/// Makes the parts that must exist before the shards part.
///
/// # Errors
/// When descriptors or room for connections run out, an address cannot be bound, or a certificate cannot be used.
pub(super) fn prepare(config: &Config, inherited: Inherited) -> io::Result<Prepared> {
    let (config, descriptors) = settle(config, &inherited)?;
    let places = Places::take(&config, inherited)?;
    let capacity = memory::capacity(&config, descriptors);
    let shard_capacity = usize::try_from(memory::shard_capacity(&config, descriptors)).unwrap_or(usize::MAX);
    has_room(&config, descriptors, shard_capacity)?;
    let (nets, mailboxes) = worlds(config.shards)?;
    let tls = Certificates::load(&config, Arc::clone(&mailboxes)).map_err(startup_error)?;
    let (certificates, tls) = tls.unzip();
    let runtime = control::runtime()?;
    let threads = ApiThreads::prepare(config.api.thread_count(config.shards), &mailboxes)?;
    Ok(Prepared {
        config,
        places,
        capacity,
        shard_capacity,
        nets,
        mailboxes,
        certificates,
        tls,
        runtime,
        threads,
    })
}

/// Raises the descriptor limit, disables private tables where they are not available, and applies inherited
/// listeners.
fn settle(config: &Config, inherited: &Inherited) -> io::Result<(Config, u64)> {
    let descriptors =
        sys::raise_descriptor_limit().or_else(|_| sys::descriptor_limit().map(|(soft, _)| soft))?;
    let mut config = announce::at_inherited(config, inherited);
    if config.private_descriptors && !can_unshare() {
        tracing::warn!("descriptor tables cannot be private here: one limit applies to all shards together");
        config.private_descriptors = false;
    }
    Ok((config, descriptors))
}

/// # Errors
/// When a shard could hold no connection. Such a server would report that it is ready, and refuse every client.
fn has_room(config: &Config, descriptors: u64, shard_capacity: usize) -> io::Result<()> {
    if shard_capacity > 0 {
        return Ok(());
    }
    let shared = if config.private_descriptors { 1 } else { config.shards as u64 };
    let needed = memory::descriptors_reserved(config.shards) + shared;
    Err(io::Error::other(format!(
        "no room for a single connection: {} shards need {needed} descriptors and more, one for each connection, and the \
         limit is {descriptors} (ulimit -n, LimitNOFILE=); raise it, or start fewer shards",
        config.shards
    )))
}

/// Makes pollers, and the mailboxes that wake them.
fn worlds(shards: usize) -> io::Result<(Vec<MioNet>, Arc<[Mailbox]>)> {
    #[expect(clippy::disallowed_methods, reason = "the shards' common clock begins here")]
    let epoch = Instant::now();
    let mut nets = Vec::new();
    let mut mailboxes = Vec::new();
    for transit in Transit::between(shards)? {
        let (net, waker) = MioNet::new(epoch)?;
        nets.push(net.with_transit(transit));
        mailboxes.push(Mailbox::new(Box::new(move || {
            // If the eventfd is full, the shard is awake.
            waker.wake().ok();
        })));
    }
    Ok((nets, mailboxes.into()))
}
