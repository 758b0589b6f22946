//! A shard: one thread with its sockets, its connections, and its part of the channels.
//!
//! A [`Shard`] is a loop of turns. In one turn it polls for readiness, reads and processes input, answers letters,
//! handles deadlines, delivers publications, writes, and frees ended connections. Shards share nothing and
//! communicate by letters. A shard runs over any [`Net`], so tests run it in a simulated world.
//!
//! * The turn: `reading` (from readable to done), `deadlines`, `letters` (reading them), `answering` (answers to
//!   forwarded requests), `polling` (sessions without a socket), `upgrading` (they get one).
//! * Letters: `mailbox` has the queues, `mailbox/letter` and `mailbox/order` the contents.
//! * Ports: `outside` (tokens, hooks) and `desk` (forwarded requests) are traits that other threads serve.
//! * Metrics: `counters`, the list of all counts of a shard.
//! * Settings: `options`, and `renew`, which replaces them while the shard runs; `formats` checks
//!   `publication_data_format`.
//! * Wings, each owning the next: `door`, `clients`, `channels`, `carry`. `invariants` checks all of it between
//!   turns.

mod answering;
mod carry;
mod channels;
mod clients;
pub mod counters;
mod deadlines;
pub mod desk;
mod door;
pub(crate) mod formats;
mod invariants;
mod letters;
pub mod mailbox;
pub mod options;
pub mod outside;
mod polling;
mod reading;
mod renew;
mod upgrading;

pub use crate::session::Secret;
pub use carry::ledger;
pub use renew::Renewal;

use std::io;
use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::seed::Seed;
use crate::base::slots::Key;
use crate::hub::memory::Memory;
use crate::net::{Net, Ready};
use crate::session::Handler;
use crate::shard::counters::Counters;
use crate::tls::Acceptor;
use carry::Carry;
use carry::conn::Conn;
use carry::ledger::Ledger;
use channels::Channels;
use clients::Clients;
use desk::Desk;
use door::Door;
use door::accept::Admission;
use mailbox::Mailbox;
use options::{Listener, Options, ProcessRates};
use outside::Outside;

/// Size of the shard's one read buffer, in bytes: larger than the usual content of a socket, so that one read empties
/// it, and small enough for the core's cache.
pub const INPUT_BYTES: usize = 128 << 10;
/// Maximum capacity that the scratch buffer for output keeps.
const OUT_BYTES_KEPT: usize = 256 << 10;

/// Network and handler type of a shard; implemented for `(N, H)`.
pub trait World {
    /// A connected socket.
    type Socket: std::fmt::Debug;
    /// Type of sockets and clock.
    type Net: Net<Socket = Self::Socket>;
    /// State of the handler for each connection.
    type State: Send + 'static;
    /// Type of the embedder's endpoint.
    type Handler: Handler<State = Self::State>;
}

impl<N: Net, H: Handler> World for (N, H) {
    type Socket = N::Socket;
    type Net = N;
    type State = H::State;
    type Handler = H;
}

/// Makes the memory of a home from the default one.
pub type MakeMemory<'a> = &'a dyn Fn(Box<dyn Memory>) -> Box<dyn Memory>;

/// The inputs of a shard.
#[derive(Debug)]
pub struct Parts<N, H> {
    /// Sockets and clock.
    pub net: N,
    /// The embedder's endpoint.
    pub handler: H,
    /// Number of the shard.
    pub shard: u16,
    /// Mailboxes, by shard.
    pub mailboxes: Arc<[Mailbox]>,
    /// Counters, by shard; this one writes to its own.
    pub counters: Arc<[Arc<Counters>]>,
    /// The process's budget of queued bytes.
    pub budget: Budget,
    /// The process's budget of published bytes that are not delivered yet. Deliveries continue whatever clients send,
    /// so while it is exhausted nothing is read from clients: publishers wait, and memory does not grow.
    pub publication_budget: Budget,
    /// Uses of memory, and its limit.
    pub ledger: Ledger,
    /// The token buckets of the process's rates.
    pub rates: ProcessRates,
    /// Seed of the ids of connections and the homes of channels.
    pub seed: Seed,
    /// Answers questions about tokens and hooks.
    pub outside: Arc<dyn Outside>,
    /// Answers forwarded requests.
    pub desk: Arc<dyn Desk>,
    /// Signs the session ids by which posted commands find their connection.
    pub secret: Secret,
    /// Maximum number of connections of this shard, by its descriptor table.
    pub capacity: usize,
    /// TLS configuration for TCP connections; `None` for plain ones.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Listeners, by number ([`Accepted::listener`](crate::net::Accepted::listener)).
    pub listeners: Arc<[Listener]>,
}

/// A shard: the turn, and the code that joins the wings. Each wing owns the one below it, so that calls go down only.
#[derive(Debug)]
pub struct Shard<W: World> {
    door: Door<W>,
    events: Vec<Ready>,
    /// Whether other shards do not keep up: then nothing is read from clients in this turn.
    is_congested: bool,
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The shard continues.
    GoOn,
    /// The drain has ended: there are no connections, in all shards.
    Ended,
}

impl<W: World> Shard<W> {
    /// A shard before its first turn, which keeps the histories of its channels in its own memory.
    pub fn new(parts: Parts<W::Net, W::Handler>, options: Options) -> Self {
        Self::with_memory(parts, options, &|memory| memory)
    }

    /// A shard whose histories are in another memory, made from the default one; for example one that answers by
    /// [`mailbox::Letter::Memory`].
    pub fn with_memory(parts: Parts<W::Net, W::Handler>, options: Options, make: MakeMemory<'_>) -> Self {
        let (outside, publication_budget) = (Arc::clone(&parts.outside), parts.publication_budget.clone());
        let admission = Admission::new(Arc::clone(&parts.counters), options.limits.connections_max);
        let tls = parts.tls.as_deref().map(Acceptor::new);
        let listeners = (Arc::clone(&parts.listeners), options.proxy_protocol);
        let carry = Carry::new(parts, &options);
        let channels = Channels::new(carry, publication_budget, &options, make);
        let clients = Clients::new(channels, outside, options);
        let door = Door::new(clients, admission, tls, listeners);
        Self { door, events: Vec::with_capacity(1024), is_congested: false }
    }

    fn carry(&mut self) -> &mut Carry<W> {
        &mut self.channels().carry
    }

    fn channels(&mut self) -> &mut Channels<W> {
        &mut self.clients().channels
    }

    fn clients(&mut self) -> &mut Clients<W> {
        &mut self.door.clients
    }

    /// One pass of the loop. Its order follows the data path: input leads to letters, letters to deliveries,
    /// deliveries to writes, all before the next poll. Connections that are not live yet come last, a few at a time:
    /// they must not delay the others.
    ///
    /// # Errors
    /// When the poller fails; then the shard cannot continue.
    pub fn turn(&mut self) -> io::Result<Turn> {
        let timeout_ms = self.poll_timeout_ms();
        self.door.clients.channels.carry.net.poll(&mut self.events, timeout_ms)?;
        self.carry().read_clocks();
        self.door.free_queued();
        self.door.ease_memory();
        self.is_congested = self.channels().is_congested();
        self.handle_events();
        self.clients().tell_refused_joins();
        self.resume_unread();
        self.expire();
        self.channels().expire_home();
        self.door.drain_step();
        self.handle_letters();
        self.channels().tell_membership();
        self.handle_own_letters();
        self.channels().fan_out();
        self.channels().deliver_emissions();
        self.carry().flush_dirty();
        self.channels().finish_endings();
        self.serve_newcomers();
        self.door.accept();
        self.handle_own_letters();
        self.carry().flush_dirty();
        self.channels().finish_endings();
        // Answers to polls of this shard.
        self.handle_own_letters();
        self.clients().tell_states();
        self.clients().tell_ends();
        self.carry().count_pressed();
        self.carry().bury();
        self.tidy();
        self.channels().account();
        self.carry().end_turn();
        Ok(if self.door.is_drained() { Turn::Ended } else { Turn::GoOn })
    }

    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Ready::Accept => self.door.admission.is_pending = true,
                Ready::Mail => {}
                Ready::Socket { token, readable, writable, closed, failed } => {
                    let key = Key::from_token(token);
                    if writable {
                        self.carry().on_writable(key);
                    }
                    if readable || closed {
                        self.on_readable(key, closed, failed);
                    }
                    self.channels().finish_endings();
                }
            }
        }
        self.events = events;
    }

    /// Frees unused room after many connections have ended.
    fn tidy(&mut self) {
        if self.carry().ease_tables() {
            self.door.forget_quiet();
            self.clients().forget_connects();
        }
    }

    /// Number of connections, in any phase.
    pub fn connection_count(&self) -> usize {
        let carry = &self.door.clients.channels.carry;
        carry.conns.len()
    }

    /// Two numbers of users' connections: those counted by this shard as home, and those in this shard. Their sums
    /// over all shards are equal when all letters have been read.
    pub fn user_connection_counts(&self) -> (usize, usize) {
        let clients = &self.door.clients;
        let carry = &self.door.clients.channels.carry;
        let is_counted =
            |conn: &Conn<W::Socket, W::State>| conn.client.as_ref().is_some_and(|client| client.is_counted);
        let counted = carry
            .conns
            .iter()
            .map(|(_, conn)| usize::from(is_counted(conn)) + conn.session.counted_user_count());
        (clients.users.len(), counted.sum())
    }
}

impl<W: World> Drop for Shard<W> {
    /// Its sockets are closed with it: a failed shard must not delay the drain of the others.
    fn drop(&mut self) {
        let counters = &self.carry().counters;
        counters.connections.set(0);
        counters.drain_left.set(0);
    }
}
