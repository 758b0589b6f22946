//! Output of sessions without a socket: it waits in the outbox until a poll fetches it, or a poll waits for it.
//!
//! A poll is a request on some other connection, perhaps in another shard; its answer is a letter.
//!
//! Invariant: a parked poll is answered once: with output, or when its session is freed.

use std::sync::Arc;

use super::Carry;
use super::conn::Stage;
use crate::base::outbox::Outbox;
use crate::base::slots::Key;
use crate::session::{PacketFault, PlainResponse, Poll, PollAsk, PollRefusal, fetched, posted};
use crate::shard::World;
use crate::shard::desk::{Receipt, Window};
use crate::shard::mailbox::Letter;
use crate::tls::Identity;

/// A poll that waits for output.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Parked {
    pub(in crate::shard) receipt: Receipt,
    /// Whether it has opened the session.
    pub(in crate::shard) opens: bool,
}

impl<W: World> Carry<W> {
    /// The address of the answer to a request of a connection of this shard.
    pub(in crate::shard) fn receipt_of(&self, conn: Key) -> Receipt {
        Receipt { shard: self.post.shard(), conn, window: Window::Nothing }
    }

    /// Passes a request to its session, or to this shard, which opens one.
    pub(in crate::shard) fn ask_session(&mut self, key: Key, poll: Poll) {
        self.pause_for_answer(key);
        let receipt = self.receipt_of(key);
        let (shard, session) = poll.place.unwrap_or((receipt.shard, key));
        self.counters.polls.add(1);
        // A poll takes queued bytes away, and its client would give up the session.
        if self.budget.is_exhausted() && !matches!(poll.ask, PollAsk::Fetch) {
            self.counters.polls_busy.add(1);
            let response = PlainResponse::busy(self.retry_after_s(key));
            return self.answer_request(receipt, response);
        }
        let identity = self.identity(key).cloned();
        self.send_poll(shard, receipt, session, poll.ask, identity);
    }

    fn send_poll(
        &mut self,
        shard: u16,
        receipt: Receipt,
        session: Key,
        ask: PollAsk,
        identity: Option<Arc<Identity>>,
    ) {
        let bytes = match &ask {
            PollAsk::Post { body, .. } => body.len(),
            PollAsk::Open(_) | PollAsk::Fetch | PollAsk::Left => 0,
        };
        let charge = self.budget.hold(bytes);
        self.post.send(shard, Letter::Poll { receipt, session, ask, identity, charge });
    }

    /// Whether a volatile event is not for this connection: it has unsent bytes, or it is polled and no poll waits.
    pub(in crate::shard) fn is_behind(&self, key: Key) -> bool {
        let is_polled = |socket: &Option<_>| socket.is_none() && !self.parked.contains_key(&key);
        self.conns.entry(key).is_some_and(|conn| conn.outbox.is_some() || is_polled(&conn.socket))
    }

    /// Answers a request on the connection of a poll.
    pub(in crate::shard) fn answer_request(&mut self, receipt: Receipt, response: PlainResponse) {
        self.post.send(receipt.shard, Letter::Served { receipt, response: Some(Box::new(response)) });
    }

    /// Refuses a request on the connection of a poll.
    pub(in crate::shard) fn refuse_request(&mut self, receipt: Receipt, refusal: PollRefusal) {
        self.counters.told.engine_refusals[refusal.place()].add(1);
        self.answer_request(receipt, refusal.response());
    }

    /// Parks a poll, which is answered at the end of the turn if there is output. Returns false if another is parked:
    /// the session ends with both.
    pub(in crate::shard) fn park(&mut self, session: Key, poll: Parked) -> bool {
        if let Some(first) = self.parked.remove(&session) {
            if let Some(ended) = self.conns.entry(session).map(|conn| conn.session.ended_poll()) {
                self.answer_request(first.receipt, ended);
            }
            self.refuse_request(poll.receipt, PollRefusal::BadRequest);
            self.counters.told.packet_faults[PacketFault::SECOND_POLL].add(1);
            return false;
        }
        self.parked.insert(session, poll);
        self.mark_dirty(session);
        self.relieve_later(session);
        true
    }

    /// Answers the parked poll with the output, if there are both. A session that has ended is freed then.
    pub(in crate::shard) fn answer_poll(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let Some(outbox) = conn.outbox.as_ref().filter(|outbox| !outbox.is_empty()) else {
            if conn.stage != Stage::Open {
                self.grave(key);
            }
            return;
        };
        let Some(Parked { receipt, opens }) = self.parked.remove(&key) else { return };
        let mut response = fetched(content(outbox));
        if opens && let Some(line) = conn.session.cookie_line(&self.settings, self.post.shard(), key) {
            response.head.to_mut().push_str(&line);
        }
        let charge = self.budget.hold(response.body.len());
        self.drop_outbox(key);
        let response = Box::new(response);
        self.post.send(receipt.shard, Letter::Fetched { receipt, response, charge });
        self.on_flushed(key);
    }

    /// Answers a post that waited until its session could take all of it.
    pub(in crate::shard) fn answer_post(&mut self, session: Key) {
        if let Some(receipt) = self.posts.remove(&session) {
            self.answer_request(receipt, posted());
        }
    }

    /// Answers the parked poll of a session that is freed, and a post that waits.
    pub(in crate::shard) fn refuse_parked(&mut self, key: Key) {
        if let Some(receipt) = self.posts.remove(&key) {
            self.refuse_request(receipt, PollRefusal::UnknownSession);
        }
        if let Some(Parked { receipt, .. }) = self.parked.remove(&key) {
            self.refuse_request(receipt, PollRefusal::UnknownSession);
        }
    }

    /// Tells a session that the connection of its parked poll has ended.
    pub(in crate::shard) fn tell_session_of_end(&mut self, key: Key) {
        let Some((shard, session)) = self.conns.entry(key).and_then(|conn| conn.session.fetches_from())
        else {
            return;
        };
        let receipt = self.receipt_of(key);
        self.send_poll(shard, receipt, session, PollAsk::Left, None);
    }
}

impl<W: World> Carry<W> {
    /// Takes the output that waits for a poll.
    pub(in crate::shard) fn take_polled(&mut self, key: Key) -> Vec<u8> {
        let outbox = self.conns.entry(key).and_then(|conn| conn.outbox.as_deref());
        let polled = outbox.map_or_else(Vec::new, content);
        self.drop_outbox(key);
        polled
    }
}

/// The bytes of an outbox.
fn content(outbox: &Outbox) -> Vec<u8> {
    let mut output = Vec::with_capacity(outbox.bytes());
    outbox.each_slice(|slice| output.extend_from_slice(slice));
    output
}
