//! This shard as home of channels and as host of subscribers.
//!
//! `homes` answers the letters to a home; `subscribe` keeps the subscriptions of connections; `fanout` delivers, with
//! the encoded bytes of a `batch`, and `emissions` what goes to several channels, which `rooms` takes as their home;
//! `gatherings` has what comes of orders to sockets; `endings` removes an ended connection
//! from channels and homes, and `orphans` keeps its publications about which a hook is asked; `returning`
//! hands over sockets that outlive their connection; `memory` reports costs.

pub(in crate::shard) mod batch;
pub(in crate::shard) mod emissions;
pub(in crate::shard) mod endings;
pub(in crate::shard) mod fanout;
pub(in crate::shard) mod gatherings;
pub(in crate::shard) mod homes;
pub(in crate::shard) mod memory;
pub(in crate::shard) mod orphans;
pub(in crate::shard) mod returning;
pub(in crate::shard) mod rooms;
pub(in crate::shard) mod subscribe;

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::numbered::Numbered;
use crate::base::slots::Key;
use crate::hub::home::{self, Home};
use crate::hub::local::{ChannelId, Local, Run};
use crate::session::Format;
use crate::shard::carry::Carry;
use crate::shard::counters::Counters;
use crate::shard::mailbox::Socket;
use crate::shard::options::Options;
use crate::shard::outside::SocketEnd;
use crate::shard::{MakeMemory, World};
use batch::Batch;
use emissions::Emissions;
use gatherings::Gatherings;
use homes::Waiter;
use orphans::Orphans;

/// The wing above [`Carry`].
#[derive(Debug)]
pub(in crate::shard) struct Channels<W: World> {
    pub(in crate::shard) carry: Carry<W>,
    pub(in crate::shard) home: Home<Waiter>,
    pub(in crate::shard) local: Local<Batch>,
    /// Queued runs of channels, as encoded for early deliveries of this turn.
    early: HashMap<(ChannelId, Run), Batch>,
    /// Messages to several channels.
    pub(in crate::shard) emissions: Emissions,
    /// The results of orders to sockets, while they are gathered.
    pub(in crate::shard) gatherings: Gatherings,
    /// The formats in use for publications in this shard.
    pub(in crate::shard) formats: Numbered<Format>,
    pub(in crate::shard) publication_budget: Budget,
    /// Publications of ended connections about which a hook is asked.
    pub(in crate::shard) orphans: Orphans,
    /// Sockets that have ended in this turn, for the application.
    pub(in crate::shard) ends: Vec<SocketEnd>,
    /// Sockets whose clients wait for the end of these connections.
    pub(in crate::shard) wanted: Vec<(Key, Box<Socket>)>,
}

impl<W: World> Channels<W> {
    pub(in crate::shard) fn new(
        carry: Carry<W>,
        publication_budget: Budget,
        options: &Options,
        make: MakeMemory<'_>,
    ) -> Self {
        Self {
            home: new_home(&carry, options, make),
            local: new_local(options, &carry.counters),
            early: HashMap::new(),
            emissions: Emissions::default(),
            gatherings: Gatherings::default(),
            formats: Numbered::default(),
            publication_budget,
            orphans: Orphans::default(),
            ends: Vec::new(),
            wanted: Vec::new(),
            carry,
        }
    }

    /// Whether other shards do not keep up with the letters from clients here.
    #[inline]
    pub(in crate::shard) fn is_congested(&self) -> bool {
        let Carry { post, limits, .. } = &self.carry;
        post.is_congested(limits.mailbox_letters_max) || self.publication_budget.is_exhausted()
    }

    /// Lets the home remove expired data.
    pub(in crate::shard) fn expire_home(&mut self) {
        self.home.expire(self.carry.now());
        self.end_those_over();
    }

    /// Replaces the options.
    pub(in crate::shard) fn renew(&mut self, options: &Options) {
        let shard_count = usize::from(self.carry.post.shard_count());
        self.home.renew(options.home_limits(shard_count), &options.namespaces);
        self.local.renew(&options.namespaces);
    }
}

/// The home of this shard, with its part of the limits.
fn new_home<W: World>(carry: &Carry<W>, options: &Options, make: MakeMemory<'_>) -> Home<Waiter> {
    let (post, seed) = (&carry.post, carry.seed);
    let limits = options.home_limits(usize::from(post.shard_count()));
    let memory = make(home::in_memory(&limits, (seed, post.shard())));
    let mut home = Home::with_memory(limits, seed, memory);
    if options.metrics.by_namespace {
        let counts = Arc::clone(&carry.counters.by_namespace);
        home.count_by_namespace(Arc::clone(&options.namespaces), counts);
    }
    home
}

/// The deliveries to this shard's subscribers.
fn new_local(options: &Options, counters: &Counters) -> Local<Batch> {
    let mut local = Local::new();
    if options.metrics.by_namespace {
        local.count_by_namespace(Arc::clone(&options.namespaces), Arc::clone(&counters.by_namespace));
    }
    local
}
