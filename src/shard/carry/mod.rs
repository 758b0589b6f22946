//! Transfer of bytes between sockets and sessions: reading, records, writing, deadlines and endings; and the state of
//! connections.
//!
//! * A connection: `conn`, `client` (user, permissions), `pending` and `queued` (its commands), `layers` (TLS, proxy),
//!   `access`.
//! * Input: `receive`, `unread` (input left in sockets), `tls` (records), `speak` (calls of sessions), `notes` (their log).
//! * Output: `flush` (outboxes, backpressure), `polls` (output that clients fetch), `probes` (WebSockets that replace
//!   polls). Requests for other threads: `desk`.
//! * Endings: `time` (deadlines, heartbeats), `leaving` (clients that close while commands wait), `close`.
//! * Memory: `account` and `ledger` count, `pressure` measures the shortage.

pub(in crate::shard) mod access;
pub(in crate::shard) mod account;
pub(in crate::shard) mod client;
pub(in crate::shard) mod close;
pub(in crate::shard) mod conn;
pub(in crate::shard) mod desk;
pub(in crate::shard) mod flush;
pub(in crate::shard) mod layers;
pub(in crate::shard) mod leaving;
pub mod ledger;
pub(in crate::shard) mod notes;
mod pending;
pub(in crate::shard) mod polls;
pub(in crate::shard) mod pressure;
mod probes;
pub(in crate::shard) mod queued;
pub(in crate::shard) mod receive;
pub(in crate::shard) mod speak;
pub(in crate::shard) mod time;
pub(in crate::shard) mod tls;
pub(in crate::shard) mod unread;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::seed::Seed;
use crate::base::slots::{Key, Slots};
use crate::base::wheel::Wheel;
use crate::hub::reach::Reach;
use crate::net::Net;
use crate::proto::ws::press::Press;
use crate::session::{Action, Settings, Splice};
use crate::shard::counters::Counters;
use crate::shard::desk::Receipt;
use crate::shard::mailbox::{LateMail, Post};
use crate::shard::options::{EndDelays, Limits, Options, ProcessRates, Timeouts};
use crate::shard::{INPUT_BYTES, Parts, World};
use crate::tls::Schedules;
use account::Account;
use close::Ended;
use conn::Conn;
use desk::Forwarding;
use notes::Notes;
use polls::Parked;
use pressure::Pressure;
use probes::Probing;
use time::{Pinged, Wall};
use unread::Newcomers;

/// The lowest wing, which knows no other.
pub(in crate::shard) struct Carry<W: World> {
    pub(in crate::shard) net: W::Net,
    pub(in crate::shard) handler: W::Handler,
    pub(in crate::shard) conns: Slots<Conn<W::Socket, W::State>>,
    /// One deadline per connection.
    pub(in crate::shard) wheel: Wheel,
    pub(in crate::shard) post: Post,
    /// Requests that are answered outside.
    pub(in crate::shard) forwarding: Forwarding,
    pub(in crate::shard) counters: Arc<Counters>,
    pub(in crate::shard) budget: Budget,
    pub(in crate::shard) pressure: Pressure,
    pub(in crate::shard) account: Account,
    pub(in crate::shard) settings: Settings,
    pub(in crate::shard) limits: Limits,
    pub(in crate::shard) timeouts: Timeouts,
    pub(in crate::shard) end_delays: EndDelays,
    pub(in crate::shard) seed: Seed,
    /// The token buckets of the process's rates.
    pub(in crate::shard) rates: ProcessRates,
    /// Whether a drain is under way: it limits the wait for clients' close frames.
    pub(in crate::shard) is_draining: bool,
    /// The wall clock.
    pub(in crate::shard) wall: Wall,
    /// Times of the last heartbeats.
    pub(in crate::shard) pinged: Pinged,
    /// Time of this turn in microseconds: read once, after the poll.
    pub(in crate::shard) now_us: u64,
    pub(in crate::shard) input: Box<[u8]>,
    /// Bytes for the current connection, before they are written or queued.
    pub(in crate::shard) out: Vec<u8>,
    /// Shared parts between those bytes.
    pub(in crate::shard) apart: Vec<Splice>,
    /// How far what homes have sent has reached the connections.
    pub(in crate::shard) reach: Reach,
    /// Compressor and decompressor for the current connection.
    pub(in crate::shard) press: Press,
    /// Records for the current connection.
    pub(in crate::shard) records: Vec<u8>,
    /// The connection whose records in `records` wait for further output.
    pub(in crate::shard) records_wait: Option<Key>,
    /// Key schedules of recently active connections.
    pub(in crate::shard) schedules: Schedules,
    /// Actions requested by the current session.
    pub(in crate::shard) actions: Vec<Action>,
    /// Events for the log.
    pub(in crate::shard) notes: Notes,
    /// Polls that wait for output, by session.
    pub(in crate::shard) parked: HashMap<Key, Parked>,
    /// WebSockets that are to replace polls, by session.
    pub(in crate::shard) probes: HashMap<Key, Probing>,
    /// Number of tickets given to sockets on their way to other shards.
    tickets_given: u64,
    /// Posts that are not answered yet, by their sessions, which can take no more for now.
    pub(in crate::shard) posts: HashMap<Key, Receipt>,
    /// Connections with a new outbox, to be flushed.
    pub(in crate::shard) dirty: Vec<Key>,
    /// Connections with unread input: there will be no other readable event.
    pub(in crate::shard) unread: Vec<Key>,
    /// Connections with unread input that are not live yet.
    pub(in crate::shard) newcomers: Newcomers,
    /// Records of ended connections, until upper wings have handled them.
    pub(in crate::shard) ended: VecDeque<Ended>,
    /// Connections to free at the end of the turn.
    pub(in crate::shard) graves: Vec<Key>,
}

impl<W: World> Carry<W> {
    pub(in crate::shard) fn new(parts: Parts<W::Net, W::Handler>, options: &Options) -> Self {
        let Parts {
            mut net,
            handler,
            shard,
            mailboxes,
            counters,
            budget,
            ledger,
            rates,
            seed,
            desk,
            secret,
            capacity,
            ..
        } = parts;
        let (now_us, unix_ms) = (net.now_us(), net.unix_ms());
        let late = LateMail::of(Arc::clone(&mailboxes));
        let settings = Settings { late: Some(late), ..options.settings(secret, &rates) };
        Self {
            conns: Slots::with_capacity(capacity),
            wheel: Wheel::new(now_us / 1000, capacity),
            reach: Reach::new(seed, shard, u16::try_from(mailboxes.len()).unwrap_or(u16::MAX)),
            post: Post::new(shard, mailboxes),
            forwarding: Forwarding::new(desk),
            counters: Arc::clone(&counters[usize::from(shard)]),
            budget,
            pressure: Pressure::new(ledger),
            account: Account::default(),
            settings,
            limits: options.limits.clone(),
            timeouts: options.timeouts.clone(),
            end_delays: options.end_delays(),
            seed,
            rates,
            is_draining: false,
            wall: Wall::new(unix_ms, now_us / 1000),
            pinged: Pinged::default(),
            now_us,
            input: vec![0; INPUT_BYTES].into(),
            out: Vec::new(),
            apart: Vec::new(),
            press: Press::new(options.compression),
            records: Vec::new(),
            records_wait: None,
            schedules: Schedules::default(),
            actions: Vec::new(),
            notes: Notes::default(),
            parked: HashMap::new(),
            probes: HashMap::new(),
            tickets_given: 0,
            posts: HashMap::new(),
            dirty: Vec::new(),
            unread: Vec::new(),
            newcomers: Newcomers::default(),
            ended: VecDeque::new(),
            graves: Vec::new(),
            net,
            handler,
        }
    }

    /// Hands over the letters of this turn, and counts it.
    #[inline]
    pub(in crate::shard) fn end_turn(&mut self) {
        self.counters.letters_out.add(self.post.hand_over());
        self.forwarding.hand_over();
        self.counters.polls_waiting.set(self.parked.len() as u64);
        self.counters.turns.add(1);
        self.counters.turn_us.record(self.net.now_us().saturating_sub(self.now_us));
    }

    /// Replaces the options.
    pub(in crate::shard) fn renew(&mut self, options: &Options) {
        let late = self.settings.late.take();
        let settings = options.settings(self.settings.secret.clone(), &self.rates);
        let rooms = self.settings.rooms.renewed(&settings.rooms);
        let are_new = settings.socketio.rules != self.settings.socketio.rules;
        let rules_version = self.settings.rules_version.wrapping_add(u32::from(are_new));
        self.settings = Settings { late, rooms, rules_version, ..settings };
        self.limits.clone_from(&options.limits);
        self.timeouts.clone_from(&options.timeouts);
        self.end_delays = options.end_delays();
    }
}

impl<W: World> fmt::Debug for Carry<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, connections) = (self.post.shard(), self.conns.len());
        f.debug_struct("Carry")
            .field("shard", &shard)
            .field("connections", &connections)
            .finish_non_exhaustive()
    }
}
