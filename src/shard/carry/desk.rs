//! The shard's side of requests that are answered outside: they are handed over once per turn and counted while they
//! are out. Also the timeouts of their connections, and the treatment of wrong keys.
//!
//! Invariant: each request that is handed over comes back once, and frees its place then, whatever has happened to
//! its connection.

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
use crate::session::desk::Wait;
use crate::session::{Phase, PlainRequest, PlainResponse};
use crate::shard::World;
use crate::shard::desk::{ANSWER_MS_MAX, Desk, Handed, Receipt, Window};
use crate::shard::mailbox::Letter;

/// Timeout of an idle connection that has sent a right key: longer than the usual interval between scrapes, so that a
/// scraper keeps its connection.
const SILENCE_MS_MAX: u64 = 90_000;
/// Timeout of the answer to a poll: longer than any interval between pings.
const POLL_MS_MAX: u64 = 2 * 3_600_000;
/// Maximum number of requests without a key that are out at a time, per shard.
const OPEN_MAX: usize = 64;
/// Number of wrong keys per second that are answered at once, per shard and address; without an address, per
/// listener.
const WRONG_KEYS_PER_S: u32 = 10;
/// Delay of the answer to a wrong key beyond that rate.
const WRONG_KEY_MS: u64 = 1000;

/// The shard's side of the desk.
#[derive(Debug)]
pub(in crate::shard) struct Forwarding {
    desk: Arc<dyn Desk>,
    gathered: Vec<Handed>,
    trusted_out: usize,
    open_out: usize,
    /// Whether an outside caller was answered in this turn.
    has_told: bool,
    wrong_keys: ByAddress,
    /// Wrong keys of clients without an address (Unix sockets), by listener.
    wrong_keys_unnamed: HashMap<u16, Bucket>,
}

impl Forwarding {
    pub(in crate::shard) fn new(desk: Arc<dyn Desk>) -> Self {
        let (gathered, wrong_keys, wrong_keys_unnamed) = Default::default();
        Self { desk, gathered, trusted_out: 0, open_out: 0, has_told: false, wrong_keys, wrong_keys_unnamed }
    }

    /// Records that an outside caller was answered.
    pub(in crate::shard) fn note_told(&mut self) {
        self.has_told = true;
    }

    /// Hands over the requests of this turn, if any, and wakes outside callers.
    pub(in crate::shard) fn hand_over(&mut self) {
        if mem::take(&mut self.has_told) || !self.gathered.is_empty() {
            self.desk.hand_over(&mut self.gathered);
        }
    }

    /// The number of requests that are out.
    pub(in crate::shard) fn out(&self) -> usize {
        self.trusted_out + self.open_out
    }

    /// Whether the rate of this address, or without one of this listener, allows an immediate answer to a wrong key.
    fn admits_wrong_key(&mut self, now_ms: u64, address: Option<IpAddr>, listener: u16) -> bool {
        match address {
            Some(address) => self.wrong_keys.take(now_ms, address, WRONG_KEYS_PER_S),
            None => {
                let bucket = self.wrong_keys_unnamed.entry(listener).or_default();
                bucket.take(now_ms, WRONG_KEYS_PER_S, WRONG_KEYS_PER_S)
            }
        }
    }

    /// Removes addresses without recent wrong keys.
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
    /// Hands a request over, at the end of the turn.
    pub(in crate::shard) fn hand_over(&mut self, key: Key, mut request: Box<PlainRequest>) {
        self.pause_for_answer(key);
        let window = if request.is_trusted { Window::Trusted } else { Window::Open };
        let out_max = if request.is_trusted { self.settings.endpoints.routes.requests_max } else { OPEN_MAX };
        let is_short = self.budget.is_exhausted();
        let count = self.forwarding.count_of(window).filter(|out| **out < out_max && !is_short);
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
        self.forwarding.gathered.push(Handed { receipt, request, body });
    }

    /// Leaves input after the request unread until the answer.
    pub(in crate::shard) fn pause_for_answer(&mut self, key: Key) {
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.is_read_paused = true;
        }
    }

    /// Answers a request like the desk, by a letter: an immediate answer would allow a client to nest calls.
    fn answer_from_here(&mut self, conn: Key, response: PlainResponse) {
        let shard = self.post.shard();
        let receipt = Receipt { shard, conn, window: Window::Nothing };
        self.post.send(shard, Letter::Served { receipt, response: Some(Box::new(response)) });
    }

    /// Handles a request with a wrong key. Within the rate of its address it is answered at once, beyond it later,
    /// and until then nothing is read from the connection. Clients of one Unix socket share a rate. A right key is
    /// not limited.
    pub(in crate::shard) fn wrong_key(&mut self, key: Key) {
        self.pause_for_answer(key);
        self.counters.wrong_keys.add(1);
        let now_ms = self.now_ms();
        let (address, listener) = (self.peer(key), self.listener(key));
        if self.forwarding.admits_wrong_key(now_ms, address, listener) {
            let shard = self.post.shard();
            let receipt = Receipt { shard, conn: key, window: Window::Nothing };
            return self.post.send(shard, Letter::Served { receipt, response: None });
        }
        self.counters.wrong_keys_slowed.add(1);
        self.set_due(key, WRONG_KEY_MS);
    }

    /// Records that an answer has come back.
    pub(in crate::shard) fn comes_back(&mut self, receipt: Receipt) {
        if let Some(count) = self.forwarding.count_of(receipt.window) {
            *count -= 1;
            self.counters.forwarded_out.sub(1);
        }
    }

    /// Resumes reading after an answer: at once, or when the queued output has been written.
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

    /// Updates deadline and gauge of a connection whose session is a request. `began`: bytes of the next request have
    /// just arrived.
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
            // A session answers at its next ping or its end.
            (Some(Wait::Poll), _) => self.set_due(key, POLL_MS_MAX),
            (Some(_), _) => self.set_due(key, ANSWER_MS_MAX),
            (None, Phase::Asking) if is_idle => self.set_due(key, SILENCE_MS_MAX),
            // After an answer, the next request has the same time as the first.
            (None, _) if is_whole || phase == Phase::Asking && began => {
                self.set_due(key, self.timeouts.handshake_ms);
            }
            (None, _) => {}
        }
    }
}
