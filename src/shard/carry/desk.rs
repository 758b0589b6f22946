//! Requests that are answered outside the shards, from this side: handed over once per turn, counted while they are out.
//! And the connections that make them: how long they may be silent, and what becomes of those with wrong keys.
//!
//! Invariant: of what is handed over each comes back once, and gives its place back then, whatever has become of its
//! connection.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::Carry;
use super::conn::{CountedAs, Stage};
use crate::base::bucket::Bucket;
use crate::base::by_address::ByAddress;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::session::{Phase, PlainRequest, PlainResponse};
use crate::shard::World;
use crate::shard::desk::{Desk, Handed, Receipt, Window};
use crate::shard::mailbox::Letter;

/// How long a connection that has shown a right key may ask nothing: longer than the usual interval between scrapes, so
/// that a scraper keeps its connection.
const SILENCE_MS_MAX: u64 = 90_000;
/// How long an answer may take. Longer than any answer of the server API does.
const ANSWER_MS_MAX: u64 = 15_000;
/// Requests that need no key which may be out at a time, per shard.
const OPEN_MAX: usize = 64;
/// Wrong keys per second that are told so at once, per shard and address; without an address, per listener.
const WRONG_KEYS_PER_S: u32 = 10;
/// How long it takes to be told so beyond that rate.
const WRONG_KEY_MS: u64 = 1000;

/// A shard's side of the desk.
#[derive(Debug)]
pub(in crate::shard) struct Counter {
    desk: Arc<dyn Desk>,
    gathered: Vec<Handed>,
    trusted_out: usize,
    open_out: usize,
    /// Someone outside was answered in this turn.
    has_told: bool,
    wrong_keys: ByAddress,
    /// Of those who come without an address, by Unix sockets: by listener.
    wrong_keys_unnamed: HashMap<u16, Bucket>,
}

impl Counter {
    pub(in crate::shard) fn new(desk: Arc<dyn Desk>) -> Self {
        let (gathered, wrong_keys, wrong_keys_unnamed) = Default::default();
        Self { desk, gathered, trusted_out: 0, open_out: 0, has_told: false, wrong_keys, wrong_keys_unnamed }
    }

    /// Someone outside was answered.
    pub(in crate::shard) fn note_told(&mut self) {
        self.has_told = true;
    }

    /// Hands over the requests of this turn, if there are any, and has those woken who wait outside.
    pub(in crate::shard) fn hand_over(&mut self) {
        if mem::take(&mut self.has_told) || !self.gathered.is_empty() {
            self.desk.hand_over(&mut self.gathered);
        }
    }

    /// Requests that are out.
    pub(in crate::shard) fn out(&self) -> usize {
        self.trusted_out + self.open_out
    }

    /// Whether the rate of this address, or without one of this listener, lets one more wrong key be told so at once.
    fn admits_wrong_key(&mut self, now_ms: u64, address: Option<IpAddr>, listener: u16) -> bool {
        match address {
            Some(address) => self.wrong_keys.take(now_ms, address, WRONG_KEYS_PER_S),
            None => {
                let bucket = self.wrong_keys_unnamed.entry(listener).or_default();
                bucket.take(now_ms, WRONG_KEYS_PER_S, WRONG_KEYS_PER_S)
            }
        }
    }

    /// Forgets addresses that have been quiet.
    pub(in crate::shard) fn ease(&mut self, now_ms: u64) {
        self.wrong_keys.ease(now_ms, WRONG_KEYS_PER_S);
    }

    fn count_of(&mut self, window: Window) -> Option<&mut usize> {
        match window {
            Window::Trusted => Some(&mut self.trusted_out),
            Window::Open => Some(&mut self.open_out),
            Window::Nothing => None,
        }
    }
}

impl<W: World> Carry<W> {
    /// Hands a request over, with what else of this turn is.
    pub(in crate::shard) fn hand_over(&mut self, key: Key, mut request: Box<PlainRequest>) {
        self.pause_for_answer(key);
        let window = if request.is_trusted { Window::Trusted } else { Window::Open };
        let out_max = if request.is_trusted { self.settings.endpoints.routes.requests_max } else { OPEN_MAX };
        let is_short = self.budget.is_exhausted();
        let count = self.counter.count_of(window).filter(|out| **out < out_max && !is_short);
        let Some(count) = count else {
            self.counters.forwarded_busy.add(1);
            let response = PlainResponse::busy(self.retry_after_s(key));
            return self.answer_from_here(key, response);
        };
        *count += 1;
        self.counters.forwarded_requests.add(1);
        self.counters.forwarded_out.add(1);
        let body = Shared::new(mem::take(&mut request.body), &self.budget);
        let receipt = Receipt { shard: self.post.shard(), conn: key, window };
        self.counter.gathered.push(Handed { receipt, request, body });
    }

    /// What comes behind the request stays where it is until that is answered.
    fn pause_for_answer(&mut self, key: Key) {
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.is_read_paused = true;
        }
    }

    /// Answers a request as the desk would: not from within what asks it, or a client could have one call stand in another.
    fn answer_from_here(&mut self, conn: Key, response: PlainResponse) {
        let shard = self.post.shard();
        let receipt = Receipt { shard, conn, window: Window::Nothing };
        self.post.send(shard, Letter::Served { receipt, response: Some(Box::new(response)) });
    }

    /// A request has a wrong key. Within the rate of its address it is told so at once, beyond it later, and until then
    /// nothing is read from it. All who come by one Unix socket without an address share a rate. A right key has none.
    pub(in crate::shard) fn wrong_key(&mut self, key: Key) {
        self.pause_for_answer(key);
        self.counters.wrong_keys.add(1);
        let now_ms = self.now_ms();
        let (address, listener) = (self.peer(key), self.listener(key));
        if self.counter.admits_wrong_key(now_ms, address, listener) {
            let shard = self.post.shard();
            let receipt = Receipt { shard, conn: key, window: Window::Nothing };
            return self.post.send(shard, Letter::Served { receipt, response: None });
        }
        self.counters.wrong_keys_slowed.add(1);
        self.set_due(key, WRONG_KEY_MS);
    }

    /// An answer is there: what it was to is not out any more.
    pub(in crate::shard) fn comes_back(&mut self, receipt: Receipt) {
        if let Some(count) = self.counter.count_of(receipt.window) {
            *count -= 1;
            self.counters.forwarded_out.sub(1);
        }
    }

    /// Nothing is out any more: reads on, or does when what is written has gone.
    pub(in crate::shard) fn read_on(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Open || conn.session.waits_for().is_some() {
            return;
        }
        conn.is_read_paused = conn.outbox.is_some();
        if !conn.is_read_paused {
            self.postpone(key);
        }
    }

    /// Deadline and gauge of a connection whose session is a request, after it has got on. `began`: what has arrived of
    /// the next request, if any has, arrived just now.
    pub(in crate::shard) fn after_request(&mut self, key: Key, was: Phase, began: bool) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let phase = conn.session.phase();
        let (waits, is_idle, is_whole) =
            (conn.session.waits_for(), conn.session.is_idle(), conn.session.held_bytes() == 0);
        if phase == Phase::Asking && was != Phase::Asking {
            self.count_as(key, CountedAs::Asking);
            self.becomes_live(key);
        }
        match (waits, phase) {
            (Some(_), _) => self.set_due(key, ANSWER_MS_MAX),
            (None, Phase::Asking) if is_idle => self.set_due(key, SILENCE_MS_MAX),
            // A request that was answered may be followed by another, within the time that the first had.
            (None, _) if is_whole || phase == Phase::Asking && began => {
                self.set_due(key, self.timeouts.handshake_ms);
            }
            (None, _) => {}
        }
    }
}
