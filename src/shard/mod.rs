//! Layer 5: one thread, its sockets, its connections, its part of the channels.
//!
//! A [`Shard`] is a loop of turns. In one turn it learns what is ready, reads and acts, answers letters, lets
//! time pass, delivers what was published, writes, and frees what ended. Nothing is shared with other shards;
//! they speak by letters. The whole of it runs over any [`Net`], so tests drive it in a simulated world.

mod carry;
mod channels;
mod clients;
mod deadlines;
mod door;
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

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::counters::Counters;
use crate::base::numbered::Numbered;
use crate::base::seed::Seed;
use crate::base::slots::{Key, Slots};
use crate::base::wheel::Wheel;
use crate::hub::home::{self, Home};
use crate::hub::local::Local;
use crate::hub::memory::Memory;
use crate::hub::options::Namespaces;
use crate::hub::words::Denied;
use crate::net::{Net, Ready};
use crate::proto::ws::press::Press;
use crate::session::{Action, Format, Handler, Settings, Splice};
use crate::tls::{Acceptor, Schedules};
use carry::account::Account;
use carry::close::Ended;
use carry::conn::Conn;
use carry::ledger::Ledger;
use carry::pressure::Pressure;
use carry::time::Wall;
use carry::unread::Newcomers;
use channels::batch::Batch;
use clients::connect::Connects;
use clients::users::Users;
use door::accept::{Admission, Admitted};

use door::drain::Drain;
use door::pressure::Ladder;
use mailbox::{Mailbox, Post};
use options::{ClientOptions, EndDelays, Limits, Listener, Options, Rates, Timeouts};
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
    /// Names of connections and homes of channels follow from it.
    pub seed: Seed,
    /// Answers what the shard cannot.
    pub outside: Arc<dyn Outside>,
    /// Signs the ids by which posted commands find their connection.
    pub secret: Secret,
    /// Connections that this shard can hold: what its descriptor table allows.
    pub capacity: usize,
    /// What connections over TCP shake hands by; `None` when they are plain.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Its listeners, by their numbers ([`Accepted::listener`](crate::net::Accepted::listener)).
    pub listeners: Arc<[Listener]>,
}

/// One shard.
#[derive(Debug)]
pub struct Shard<W: World> {
    net: W::Net,
    handler: W::Handler,
    tls: Option<Acceptor>,
    listeners: Arc<[Listener]>,
    /// Connections of trusted proxies begin with a PROXY header.
    takes_proxy_headers: bool,
    /// When the log was last told of a PROXY header that nobody awaited, in milliseconds.
    stray_header_told_ms: Option<u64>,
    /// The log has a line on clients' headers that go nowhere.
    has_told_unused_header: bool,
    conns: Slots<Conn<W::Socket, W::State>>,
    wheel: Wheel,
    home: Home<channels::homes::Waiter>,
    local: Local<Batch>,
    /// The formats in which connections here get what is published.
    formats: Numbered<Format>,
    post: Post,
    budget: Budget,
    publication_budget: Budget,
    counters: Arc<Counters>,
    admission: Admission,
    newcomers: Newcomers,
    pressure: Pressure,
    ladder: Ladder,
    account: Account,
    /// When a drain that was asked for begins, in milliseconds.
    drain_at_ms: Option<u64>,
    drain: Option<Drain>,
    /// A drain is under way.
    is_draining: bool,
    settings: Settings,
    limits: Limits,
    timeouts: Timeouts,
    end_delays: EndDelays,
    seed: Seed,
    namespaces: Arc<Namespaces>,
    outside: Arc<dyn Outside>,
    policy: ClientOptions,
    rates: Rates,
    /// Connections that came lately: in this shard, and from each address.
    admitted: Admitted,
    connects: Connects,
    users: Users,
    /// Numbers for what outsiders are asked about clients' commands.
    questions: carry::client::Questions,
    /// Seconds between heartbeats, as told to clients; 0 when there are none.
    ping_s: u32,
    /// The wall clock.
    wall: Wall,
    /// Others do not keep up: nothing is read from clients in this turn.
    is_congested: bool,
    /// The present of this turn, in microseconds: read once, after the poll.
    now_us: u64,
    events: Vec<Ready>,
    input: Box<[u8]>,
    /// Bytes for the connection at hand, before they are written or queued.
    out: Vec<u8>,
    apart: Vec<Splice>,
    /// Compresses and inflates for whichever connection is at hand.
    press: Press,
    /// Records for the connection at hand.
    wire: Vec<u8>,
    /// Whose records in `wire` wait for what may follow them at once.
    wire_waits: Option<Key>,
    /// Key schedules of the connections that were heard last.
    schedules: Schedules,
    actions: Vec<Action>,
    /// Groups that raw connections could not join, told in the next turn.
    refused_joins: Vec<(Key, Arc<str>, Denied)>,
    /// Connections with a fresh outbox: queued means dirty.
    dirty: Vec<Key>,
    /// Connections whose input was not read to its end: readiness will not be told again.
    unread: Vec<Key>,
    /// Connections that have ended, until those above have heard of it.
    ended: VecDeque<Ended>,
    /// Connections to free at the end of the turn.
    graves: Vec<Key>,
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
        let Parts {
            mut net,
            handler,
            shard,
            mailboxes,
            counters,
            budget,
            publication_budget,
            ledger,
            seed,
            outside,
            secret,
            capacity,
            tls,
            listeners,
        } = parts;
        let (own, now_us, unix_ms) = (Arc::clone(&counters[usize::from(shard)]), net.now_us(), net.unix_ms());
        Self {
            tls: tls.as_deref().map(Acceptor::new),
            listeners,
            takes_proxy_headers: options.proxy_protocol,
            stray_header_told_ms: None,
            has_told_unused_header: false,
            conns: Slots::with_capacity(capacity),
            wheel: Wheel::new(now_us / 1000, capacity),
            home: new_home(&options, mailboxes.len(), (seed, shard), make, &own),
            local: new_local(&options, &own),
            formats: Numbered::default(),
            post: Post::new(shard, mailboxes),
            counters: own,
            admission: Admission::new(counters, options.limits.connections_max),
            newcomers: Newcomers::default(),
            pressure: Pressure::new(ledger),
            ladder: Ladder::default(),
            account: Account::default(),
            drain_at_ms: None,
            drain: None,
            is_draining: false,
            settings: options.settings(secret),
            ping_s: u32::try_from(options.timeouts.ping_interval_ms.div_ceil(1000)).unwrap_or(u32::MAX),
            press: Press::new(options.compression),
            end_delays: options.end_delays(),
            limits: options.limits,
            timeouts: options.timeouts,
            seed,
            namespaces: options.namespaces,
            outside,
            policy: options.client,
            rates: options.rates,
            admitted: Admitted::default(),
            connects: Connects::default(),
            users: Users::default(),
            wall: Wall::new(unix_ms, now_us / 1000),
            questions: carry::client::Questions::default(),
            now_us,
            events: Vec::with_capacity(1024),
            input: vec![0; INPUT_BYTES].into(),
            out: Vec::new(),
            apart: Vec::new(),
            wire: Vec::new(),
            wire_waits: None,
            schedules: Schedules::default(),
            actions: Vec::new(),
            refused_joins: Vec::new(),
            dirty: Vec::new(),
            unread: Vec::new(),
            ended: VecDeque::new(),
            graves: Vec::new(),
            net,
            handler,
            budget,
            publication_budget,
            is_congested: false,
        }
    }

    /// One pass of the loop. Its order is that of the data path: what is read leads to letters, letters to
    /// deliveries, deliveries to writes, and all of it happens before the next poll. Newcomers come last, and a few at a
    /// time: those who are connected must not wait for them.
    ///
    /// # Errors
    /// When the poller fails; the shard cannot go on then.
    pub fn turn(&mut self) -> io::Result<Turn> {
        let timeout_ms = self.poll_timeout_ms();
        self.net.poll(&mut self.events, timeout_ms)?;
        self.read_clocks();
        self.free_queued();
        self.ease_memory();
        self.is_congested =
            self.post.is_congested(self.limits.mailbox_letters_max) || self.publication_budget.is_exhausted();
        self.handle_events();
        self.tell_refused_joins();
        self.resume_unread();
        self.expire();
        self.home.expire(self.now());
        self.drain_step();
        self.handle_letters();
        self.tell_membership();
        self.handle_own_letters();
        self.fan_out();
        self.flush_dirty();
        self.finish_endings();
        self.serve_newcomers();
        self.accept();
        self.handle_own_letters();
        self.tell_states();
        self.flush_dirty();
        self.finish_endings();
        self.count_pressed();
        self.bury();
        self.tidy();
        self.account();
        self.counters.letters_out.add(self.post.hand_over());
        self.counters.turns.add(1);
        self.counters.turn_us.record(self.net.now_us().saturating_sub(self.now_us));
        Ok(if self.is_drained() { Turn::Ended } else { Turn::GoOn })
    }

    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Ready::Accept => self.admission.is_pending = true,
                Ready::Mail => {}
                Ready::Socket { token, readable, writable, closed } => {
                    let key = Key::from_token(token);
                    if writable {
                        self.on_writable(key);
                    }
                    if readable || closed {
                        self.on_readable(key, closed);
                    }
                    self.finish_endings();
                }
            }
        }
        self.events = events;
    }

    /// Gives back what a crowd took that is gone.
    fn tidy(&mut self) {
        if self.ease_tables() {
            self.forget_quiet();
            self.forget_connects();
        }
    }

    /// Number of connections, in any phase.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    /// Of users' connections, those that this shard knows as their home, and those that are here: over all shards that have
    /// read their letters, both are the same number.
    pub fn user_connection_counts(&self) -> (usize, usize) {
        let is_counted =
            |conn: &Conn<W::Socket, W::State>| conn.client.as_ref().is_some_and(|client| client.is_counted);
        (self.users.len(), self.conns.iter().filter(|(_, conn)| is_counted(conn)).count())
    }

    /// The shard's world, for those who drive it by hand.
    pub fn net_mut(&mut self) -> &mut W::Net {
        &mut self.net
    }
}

/// One of `shard_count` homes.
fn new_home<A: home::Asker>(
    options: &Options,
    shard_count: usize,
    (seed, shard): (Seed, u16),
    make: MakeMemory<'_>,
    counters: &Counters,
) -> Home<A> {
    let limits = options.home_limits(shard_count);
    let memory = make(home::in_memory(&limits, (seed, shard)));
    let mut home = Home::with_memory(limits, seed, memory);
    if options.metrics_by_namespace {
        home.count_by_namespace(Arc::clone(&options.namespaces), Arc::clone(&counters.by_namespace));
    }
    home
}

/// What delivers to this shard's subscribers.
fn new_local(options: &Options, counters: &Counters) -> Local<Batch> {
    let mut local = Local::new();
    if options.metrics_by_namespace {
        local.count_by_namespace(Arc::clone(&options.namespaces), Arc::clone(&counters.by_namespace));
    }
    local
}

impl<W: World> Drop for Shard<W> {
    /// Its sockets close with it: a shard that failed must not keep the others' drain waiting.
    fn drop(&mut self) {
        self.counters.connections.set(0);
        self.counters.drain_left.set(0);
    }
}
