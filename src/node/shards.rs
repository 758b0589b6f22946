//! The shards from a node's view: the mailbox of a channel's home, the options of a channel, the load.
//!
//! Invariant: a refused request has sent no letter and holds no byte.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::options::{IDEMPOTENCY_KEY_BYTES_MAX, PublishOptions};
use super::pending::Failure;
use crate::base::budget::Budget;
use crate::base::payload::one_line;
use crate::base::seed::Seed;
use crate::base::shared::Shared;
use crate::config::{Config, Limits};
use crate::hub::emission::ChannelCopy;
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::hub::rooms::RoomMap;
use crate::hub::{DataKind, words};
use crate::shard::counters::Counters;
use crate::shard::mailbox::Mailbox;

/// The connection of a node to its shards.
#[derive(Debug)]
pub struct Wiring {
    /// Mailboxes, by shard.
    pub mailboxes: Arc<[Mailbox]>,
    /// Counters, by shard.
    pub counters: Arc<[Arc<Counters>]>,
    /// Budget of publications on their way, the same as in all shards.
    pub publication_budget: Budget,
    /// The seed of homes, the same as in all shards. It is a secret.
    pub seed: Seed,
}

/// The shards of a server from a node's view.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) wiring: Wiring,
    /// The homes of rooms, the same as in all shards.
    rooms: RoomMap,
    /// Options, equal to those of the shards. Locked only for a look-up.
    current: RwLock<Current>,
}

/// The parts of the configuration that are used here.
#[derive(Debug)]
struct Current {
    namespaces: Arc<Namespaces>,
    limits: Limits,
    sockets: SocketTerms,
}

/// The conditions of messages to sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketTerms {
    /// Whether Socket.IO is served.
    pub(super) is_served: bool,
    /// Whether its packets are msgpack.
    pub(super) is_msgpack: bool,
    /// Maximum of bytes of the name of a room with that of its namespace.
    pub(super) name_bytes_max: usize,
    /// Maximum of bytes of a message.
    pub(super) message_bytes_max: usize,
}

impl Current {
    fn of(config: &Config) -> Self {
        let sockets = SocketTerms {
            is_served: config.socketio.enabled,
            is_msgpack: config.socketio.is_msgpack,
            name_bytes_max: config.limits.channel_name_bytes_max,
            // A message that fills an outbox would disconnect clients with any other queued data.
            message_bytes_max: config.limits.outbox_bytes_max / 2,
        };
        Self { namespaces: Arc::clone(&config.namespaces), limits: config.limits.clone(), sockets }
    }
}

impl Shards {
    pub(super) fn new(config: &Config, wiring: Wiring) -> Self {
        let Config { namespaces, socketio, client, .. } = config;
        let rooms = RoomMap::new(namespaces, socketio.has_home_per_room, client.insecure);
        Self { wiring, rooms, current: RwLock::new(Current::of(config)) }
    }

    /// Replaces the configuration.
    pub(super) fn renew(&self, config: &Config) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current::of(config);
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options of a channel with a name. Rules for names from clients are not checked: tokens and hooks may name
    /// other channels.
    pub(super) fn options_of(&self, channel: &str) -> Result<Arc<ChannelOptions>, Failure> {
        if channel.is_empty() {
            return Err(Failure::BadRequest);
        }
        let namespaces = &self.current().namespaces;
        namespaces.resolve(channel).map(Arc::clone).ok_or(Failure::UnknownChannel)
    }

    /// The options of a channel; if its namespace is unknown, those without a namespace.
    pub(super) fn options_of_any(&self, channel: &str) -> Arc<ChannelOptions> {
        let namespaces = &self.current().namespaces;
        Arc::clone(namespaces.resolve(channel).unwrap_or(&namespaces.without_namespace))
    }

    /// The channels that are rooms.
    pub(super) fn rooms(&self) -> &RoomMap {
        &self.rooms
    }

    /// Messages to rooms as publications of their channels.
    pub(super) fn copied(&self, copies: Vec<words::Copied>, is_volatile: bool) -> Vec<ChannelCopy> {
        let copied = |copy: words::Copied| {
            // After a reload that has removed them, those of no feature.
            let options = self.options_of(&copy.channel).unwrap_or_default();
            ChannelCopy::new(copy, &self.wiring.publication_budget, options, (None, 0), is_volatile)
        };
        copies.into_iter().map(copied).collect()
    }

    /// The shard of a channel's home.
    pub(super) fn home(&self, channel: &str) -> usize {
        let Wiring { mailboxes, seed, .. } = &self.wiring;
        let shard_count = u16::try_from(mailboxes.len()).unwrap_or(u16::MAX);
        usize::from(self.rooms.home_of(channel, *seed, shard_count))
    }

    /// The shard of a channel's home, unless too many letters are queued there.
    pub(super) fn free_home(&self, channel: &str) -> Result<usize, Failure> {
        let home = self.home(channel);
        if self.is_full(&self.wiring.mailboxes[home]) { Err(Failure::Overloaded) } else { Ok(home) }
    }

    /// The conditions of messages to sockets.
    pub(super) fn socket_terms(&self) -> SocketTerms {
        self.current().sockets
    }

    fn is_full(&self, mailbox: &Mailbox) -> bool {
        mailbox.len() > self.current().limits.mailbox_letters_max
    }

    /// Whether an order can be accepted. It goes to all shards, since any of them may have the connections; returns
    /// the number of shards.
    pub(super) fn take_order(&self) -> Result<usize, Failure> {
        let mailboxes = &self.wiring.mailboxes;
        if mailboxes.iter().any(|mailbox| self.is_full(mailbox)) {
            return Err(Failure::Overloaded);
        }
        Ok(mailboxes.len())
    }

    /// Charges a message to the budget, once for all its channels.
    pub(super) fn share(&self, mut data: Vec<u8>, options: &PublishOptions) -> Result<Shared, Failure> {
        if options.idempotency_key.as_ref().is_some_and(|key| key.len() > IDEMPOTENCY_KEY_BYTES_MAX) {
            return Err(Failure::BadRequest);
        }
        // A message that fills an outbox would disconnect clients with any other queued data.
        if data.len() > self.current().limits.outbox_bytes_max / 2 {
            return Err(Failure::LimitExceeded);
        }
        if self.is_overloaded() {
            return Err(Failure::Overloaded);
        }
        if options.kind == DataKind::Json {
            data = one_line(data);
        }
        Ok(self.charge(data))
    }

    /// Whether memory is so short that shards refuse new subscriptions.
    pub(super) fn is_memory_short(&self) -> bool {
        self.wiring.counters.iter().any(|shard| shard.memory_step.value() > 0)
    }

    /// Whether the limit of published bytes on their way is reached.
    pub(super) fn is_overloaded(&self) -> bool {
        self.wiring.publication_budget.is_exhausted()
    }

    /// Charges a message to the budget, also beyond its limit.
    pub(super) fn charge(&self, data: Vec<u8>) -> Shared {
        Shared::new(data, &self.wiring.publication_budget)
    }
}
