//! Sessions without a socket: they are opened, fed and read by requests on other connections.

use std::sync::Arc;

use super::carry::conn::{Conn, Stage};
use super::carry::layers::Layers;
use super::carry::polls::Parked;
use super::desk::Receipt;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::session::{
    CloseReason, OrderFault, Phase, PlainResponse, PollAsk, PollOpening, PollRefusal, Speaks, posted,
};
use crate::tls::Identity;

impl<W: World> Shard<W> {
    /// Handles a request for a session of this shard.
    pub(super) fn poll(
        &mut self,
        receipt: Receipt,
        session: Key,
        ask: PollAsk,
        identity: Option<Arc<Identity>>,
    ) {
        // The certificate that opened the session says whose it is.
        let is_request = matches!(ask, PollAsk::Fetch | PollAsk::Post { .. });
        if is_request && !self.carry().is_its_client(session, identity.as_deref()) {
            return self.carry().refuse_request(receipt, PollRefusal::Forbidden);
        }
        match ask {
            PollAsk::Open(opening) => self.open_session(receipt, opening, identity),
            PollAsk::Fetch => self.fetch(receipt, session),
            PollAsk::Post { body, is_binary } => self.take_post(receipt, session, &body, is_binary),
            PollAsk::Left => {
                if self.carry().parked.get(&session).is_some_and(|poll| poll.receipt == receipt) {
                    self.carry().parked.remove(&session);
                    self.channels().close(session, CloseReason::Transport);
                }
            }
        }
    }

    /// Opens a session; its first output answers the request.
    fn open_session(&mut self, receipt: Receipt, opening: PollOpening, identity: Option<Arc<Identity>>) {
        let address = self.carry().peer(receipt.conn);
        if self.carry().is_draining || self.door.refuses_session(address) {
            let retry_s = self.carry().retry_after_s(receipt.conn);
            return self.carry().answer_request(receipt, PlainResponse::busy(retry_s));
        }
        let carry = self.carry();
        let layers = Layers::of_client(address, identity);
        let heard = carry.beat_now();
        let conn = |_| Conn { layers, ..Conn::new(None, Speaks::Http, u32::MAX, heard) };
        let Some(key) = carry.conns.insert_with(conn) else { return };
        carry.counters.connections.add(1);
        carry.counters.plain_lines.add(u64::from(carry.conns.entry(key).is_some_and(Conn::is_plain_layered)));
        let open = carry.with_session(key, |session, handler, cx| session.open_polled(opening, handler, cx));
        let Some(outcome) = open.flatten() else {
            carry.clear_out();
            carry.answer_request(receipt, PollRefusal::Forbidden.response());
            return self.channels().close(key, CloseReason::Answered);
        };
        carry.after_progress(key, Phase::Opening, true);
        carry.queue_out(key);
        carry.park(key, Parked { receipt, opens: true });
        self.clients().act(key);
        match outcome {
            Ok(()) => self.carry().arm(key),
            Err(reason) => self.channels().close(key, reason),
        }
    }

    /// Answers with the session's output, now or when there is some.
    fn fetch(&mut self, receipt: Receipt, key: Key) {
        let carry = self.carry();
        let heard = carry.beat_now();
        let refusal = match carry.conns.entry_mut(key) {
            // The last output of a session that has ended.
            Some(conn) if conn.socket.is_none() && conn.outbox.is_some() && conn.stage != Stage::Open => None,
            Some(conn) if conn.has_left => Some(PollRefusal::UnknownSession),
            Some(conn) if conn.stage == Stage::Open && conn.session.is_polled() => {
                conn.heard = heard;
                None
            }
            Some(conn) if conn.stage == Stage::Open => Some(PollRefusal::BadRequest),
            Some(_) | None => Some(PollRefusal::UnknownSession),
        };
        match refusal {
            Some(refusal) => carry.refuse_request(receipt, refusal),
            None if carry.park(key, Parked { receipt, opens: false }) => {}
            None => self.channels().close(key, CloseReason::Transport),
        }
    }

    /// Passes the packets of a body to the session, and answers when they have been handled.
    fn take_post(&mut self, receipt: Receipt, key: Key, body: &[u8], is_binary: bool) {
        let carry = self.carry();
        let heard = carry.beat_now();
        let refusal = match carry.conns.entry_mut(key) {
            Some(conn) if conn.has_left => Some(PollRefusal::UnknownSession),
            Some(conn) if conn.stage == Stage::Open && conn.session.is_polled() => {
                conn.heard = heard;
                None
            }
            Some(conn) if conn.stage == Stage::Open => Some(PollRefusal::BadRequest),
            Some(_) | None => Some(PollRefusal::UnknownSession),
        };
        if let Some(refusal) = refusal {
            return carry.refuse_request(receipt, refusal);
        }
        if carry.posts.contains_key(&key) {
            carry.refuse_request(receipt, PollRefusal::BadRequest);
            return self.channels().close(key, CloseReason::Malformed(OrderFault::SecondPost.into()));
        }
        // A client that posts and never polls must not fill the memory with answers.
        let bytes_max = carry.limits.outbox_bytes_max;
        if carry.conns.entry(key).is_some_and(|conn| conn.waits_for_room(bytes_max)) {
            carry.refuse_request(receipt, PollRefusal::BadRequest);
            return self.channels().close(key, CloseReason::Slow);
        }
        let outcome = carry
            .with_session(key, |session, handler, cx| session.post(body, is_binary, handler, cx))
            .unwrap_or(Ok(()));
        carry.queue_out(key);
        self.channels().finish_endings();
        self.clients().act(key);
        self.carry().count_held(key);
        self.channels().finish_endings();
        if self.carry().conns.entry(key).is_some_and(|conn| conn.session.is_full()) {
            // The client sends the next post when this one is answered.
            self.carry().posts.insert(key, receipt);
            return self.carry().arm(key);
        }
        match &outcome {
            Ok(()) | Err(CloseReason::Peer(_)) => self.carry().answer_request(receipt, posted()),
            Err(_) => self.carry().refuse_request(receipt, PollRefusal::BadRequest),
        }
        match outcome {
            Ok(()) => self.carry().arm(key),
            Err(reason) => self.channels().close(key, reason),
        }
    }
}
