//! Clients: their identity, commands and permissions, and the server's orders about them.
//!
//! * In and out of sessions: `speak`; `emulate` brings commands that came by POST.
//! * Commands: `command`, `connect`, `from_start` (subscriptions that come with the connection), `subscribing`,
//!   `waiting`; `sockets`: clients that share a connection; `leaving` completes them when a client closes; `groups` serves
//!   handlers of raw endpoints, `returning` clients that get their sockets back.
//! * Permissions: `permits` (in a channel), `terms` (of a subscription), `expiry`.
//! * Properties of a client: `known`, `headers` (for hooks), `users` (connections per user).
//! * `socket_events`: questions about events of Socket.IO, and reports of ends.
//! * Answers: `answers` and `entering` (from homes), `verdict` (from tokens and hooks). `orders`: the server API;
//!   `socket_orders`: those to sockets of Socket.IO.

pub(in crate::shard) mod answers;
pub(in crate::shard) mod command;
pub(in crate::shard) mod connect;
pub(in crate::shard) mod emulate;
pub(in crate::shard) mod entering;
pub(in crate::shard) mod expiry;
pub(in crate::shard) mod from_start;
pub(in crate::shard) mod groups;
pub(in crate::shard) mod headers;
pub(in crate::shard) mod known;
pub(in crate::shard) mod leaving;
pub(in crate::shard) mod orders;
pub(in crate::shard) mod permits;
pub(in crate::shard) mod returning;
pub(in crate::shard) mod socket_events;
pub(in crate::shard) mod socket_orders;
pub(in crate::shard) mod sockets;
pub(in crate::shard) mod speak;
pub(in crate::shard) mod subscribing;
pub(in crate::shard) mod terms;
pub(in crate::shard) mod users;
pub(in crate::shard) mod verdict;
pub(in crate::shard) mod waiting;

use std::sync::Arc;

use crate::base::slots::Key;
use crate::hub::options::Namespaces;
use crate::hub::words::Denied;
use crate::shard::World;
use crate::shard::carry::client::Questions;
use crate::shard::channels::Channels;
use crate::shard::options::{ClientOptions, Options, Rates};
use crate::shard::outside::Outside;
use connect::Connects;
use users::Users;

/// The wing above [`Channels`].
#[derive(Debug)]
pub(in crate::shard) struct Clients<W: World> {
    pub(in crate::shard) channels: Channels<W>,
    pub(in crate::shard) outside: Arc<dyn Outside>,
    pub(in crate::shard) namespaces: Arc<Namespaces>,
    pub(in crate::shard) policy: ClientOptions,
    pub(in crate::shard) rates: Rates,
    /// Names of programs by which clients are counted.
    pub(in crate::shard) client_names: Arc<[String]>,
    /// Whether users are counted even without a limit.
    pub(in crate::shard) counts_users: bool,
    /// Recent connects: in this shard, and by address.
    pub(in crate::shard) connects: Connects,
    /// The users whose home is this shard.
    pub(in crate::shard) users: Users,
    /// Numbers of questions outside about clients' commands.
    pub(in crate::shard) questions: Questions,
    /// Seconds between heartbeats, as sent to clients; 0 for no heartbeats.
    pub(in crate::shard) ping_s: u32,
    /// Groups that raw connections could not join, reported in the next turn.
    pub(in crate::shard) refused_joins: Vec<(Key, Arc<str>, Denied)>,
    /// Whether the log has the line about unused headers of clients.
    pub(in crate::shard) has_told_unused_header: bool,
}

impl<W: World> Clients<W> {
    pub(in crate::shard) fn new(channels: Channels<W>, outside: Arc<dyn Outside>, options: Options) -> Self {
        Self {
            channels,
            outside,
            namespaces: options.namespaces,
            policy: options.client,
            rates: options.rates,
            client_names: options.metrics.client_names,
            counts_users: options.metrics.users,
            connects: Connects::default(),
            users: Users::default(),
            questions: Questions::default(),
            ping_s: u32::try_from(options.timeouts.ping_interval_ms.div_ceil(1000)).unwrap_or(u32::MAX),
            refused_joins: Vec::new(),
            has_told_unused_header: false,
        }
    }

    /// Replaces the options and the port for questions.
    pub(in crate::shard) fn renew(&mut self, options: &Options, outside: &Arc<dyn Outside>) {
        self.policy.clone_from(&options.client);
        self.rates.clone_from(&options.rates);
        self.namespaces = Arc::clone(&options.namespaces);
        self.outside = Arc::clone(outside);
    }
}
