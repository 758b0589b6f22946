//! One thread, its sockets, its connections, its part of the channels.
//!
//! A [`Shard`] is a loop of turns. In one turn it learns what is ready, reads and acts, answers letters, lets
//! time pass, delivers what was published, writes, and frees what ended. Nothing is shared with other shards;
//! they speak by letters. The whole of it runs over any [`Net`], so tests drive it in a simulated world.
//!
//! * The turn: `reading` (from readable to done), `deadlines`, `letters` (reading them), `answering` (answers to forwarded
//!   requests).
//! * Letters: `mailbox` has the queues, `mailbox/letter` and `mailbox/order` the contents.
//! * Ports: `outside` (tokens, hooks) and `desk` (forwarded requests) are traits that other threads serve.
//! * Settings: `options`, and `renew`, which replaces them while the shard runs; `formats` checks
//!   `publication_data_format`.
//! * Wings, each owning the next: `door`, `clients`, `channels`, `carry`. `invariants` checks all of it between turns.

mod answering;
mod carry;
mod channels;
mod clients;
mod deadlines;
pub mod desk;
mod door;
pub(crate) mod formats;
mod invariants;
mod letters;
pub mod mailbox;
pub mod options;
pub mod outside;
mod reading;
mod renew;

pub use crate::session::Secret;
pub use carry::ledger;
pub use renew::Renewal;

use std::io;
use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::counters::Counters;
use crate::base::seed::Seed;
use crate::base::slots::Key;
use crate::hub::memory::Memory;
use crate::net::{Net, Ready};
use crate::session::Handler;
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

/// Size of the one buffer into which a shard reads, in bytes. Larger than what a socket usually holds, so that one
/// read empties it; small enough to stay in the core's cache.
pub const INPUT_BYTES: usize = 128 << 10;
/// The scratch buffer for outgoing bytes gives its memory back beyond this size.
const OUT_BYTES_KEPT: usize = 256 << 10;

/// What a shard is built over: the network with its clock, and the embedder's code. A pair of both is one.
pub trait World {
    /// A connected socket.
    type Socket: std::fmt::Debug;
    /// Sockets and clock.
    type Net: Net<Socket = Self::Socket>;
    /// What the handler remembers of each connection.
    type State: Send + 'static;
    /// The embedder's endpoint.
    type Handler: Handler<State = Self::State>;
}

impl<N: Net, H: Handler> World for (N, H) {
    type Socket = N::Socket;
    type Net = N;
    type State = H::State;
    type Handler = H;
}

/// Makes the memory of a home, of the one that it would have.
pub type MakeMemory<'a> = &'a dyn Fn(Box<dyn Memory>) -> Box<dyn Memory>;

/// What a shard is given at its start.
#[derive(Debug)]
pub struct Parts<N, H> {
    /// Its sockets and clock.
    pub net: N,
    /// The embedder's endpoint.
    pub handler: H,
    /// Its number.
    pub shard: u16,
    /// One per shard.
    pub mailboxes: Arc<[Mailbox]>,
    /// Where all shards count; this one writes to its own.
    pub counters: Arc<[Arc<Counters>]>,
    /// The process's count of queued bytes.
    pub budget: Budget,
    /// The process's count of published bytes that some shard has yet to deliver. Deliveries go on whatever clients
    /// send, so while it is exhausted nothing is read from them: publishers wait, and nothing grows.
    pub publication_budget: Budget,
    /// What memory is used for, and how much there may be.
    pub ledger: Ledger,
    /// What the process's rates leave it.
    pub rates: ProcessRates,
    /// Names of connections and homes of channels follow from it.
    pub seed: Seed,
    /// Answers what the shard cannot.
    pub outside: Arc<dyn Outside>,
    /// Answers requests that the shard does not.
    pub desk: Arc<dyn Desk>,
    /// Signs the ids by which posted commands find their connection.
    pub secret: Secret,
    /// Connections that this shard can hold: what its descriptor table allows.
    pub capacity: usize,
    /// What connections over TCP shake hands by; `None` when they are plain.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Its listeners, by their numbers ([`Accepted::listener`](crate::net::Accepted::listener)).
    pub listeners: Arc<[Listener]>,
}

/// One shard: the turn, and what joins the wings. Each of them owns the one below it, so that calls go down only.
#[derive(Debug)]
pub struct Shard<W: World> {
    door: Door<W>,
    events: Vec<Ready>,
    /// Others do not keep up: nothing is read from clients in this turn.
    is_congested: bool,
}

/// Whether a shard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is more to come.
    GoOn,
    /// Drained: every connection is gone, in all shards.
    Ended,
}

impl<W: World> Shard<W> {
    /// A shard that has not taken its first turn, and keeps the histories of its channels in its own memory.
    pub fn new(parts: Parts<W::Net, W::Handler>, options: Options) -> Self {
        Self::with_memory(parts, options, &|memory| memory)
    }

    /// A shard with another memory of its histories, made of the one that it would have: one that answers by
    /// [`mailbox::Letter::Memory`], for example.
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

    /// One pass of the loop. Its order is that of the data path: what is read leads to letters, letters to
    /// deliveries, deliveries to writes, and all of it happens before the next poll. Newcomers come last, and a few at a
    /// time: those who are connected must not wait for them.
    ///
    /// # Errors
    /// When the poller fails; the shard cannot go on then.
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
        self.carry().flush_dirty();
        self.channels().finish_endings();
        self.serve_newcomers();
        self.door.accept();
        self.handle_own_letters();
        self.clients().tell_states();
        self.carry().flush_dirty();
        self.channels().finish_endings();
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

    /// Gives back what a crowd took that is gone.
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

    /// Of users' connections, those that this shard knows as their home, and those that are here: over all shards that have
    /// read their letters, both are the same number.
    pub fn user_connection_counts(&self) -> (usize, usize) {
        let clients = &self.door.clients;
        let carry = &self.door.clients.channels.carry;
        let is_counted =
            |conn: &Conn<W::Socket, W::State>| conn.client.as_ref().is_some_and(|client| client.is_counted);
        (clients.users.len(), carry.conns.iter().filter(|(_, conn)| is_counted(conn)).count())
    }

    /// The shard's world, for those who drive it by hand.
    pub fn net_mut(&mut self) -> &mut W::Net {
        &mut self.carry().net
    }
}

impl<W: World> Drop for Shard<W> {
    /// Its sockets close with it: a shard that failed must not keep the others' drain waiting.
    fn drop(&mut self) {
        let counters = &self.carry().counters;
        counters.connections.set(0);
        counters.drain_left.set(0);
    }
}
