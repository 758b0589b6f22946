//! Answers to forwarded requests, written to the connections that wait for them.

use super::carry::conn::Stage;
use super::desk::Receipt;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::proto::http::{Refusal, Status};
use crate::session::desk::Wait;
use crate::session::{CloseReason, PlainResponse};

const UNANSWERED: Refusal = Refusal::new(Status::Unavailable, "the request was not answered in time");

impl<W: World> Shard<W> {
    /// Handles the answer to a request; `None` if the session makes the answer.
    pub(super) fn served(&mut self, receipt: Receipt, response: Option<&PlainResponse>) {
        self.carry().comes_back(receipt);
        self.respond(receipt.conn, response);
    }

    /// Writes the answer that a connection waits for, and continues with the input after its request.
    fn respond(&mut self, key: Key, response: Option<&PlainResponse>) {
        let heard = self.carry().beat_now();
        let Some(conn) = self.carry().conns.entry_mut(key) else { return };
        if conn.stage != Stage::Open || conn.session.waits_for().is_none() {
            return;
        }
        conn.heard = heard;
        let was = conn.session.phase();
        let carry = self.carry();
        let outcome = carry.with_session(key, |session, handler, cx| session.answered(response, handler, cx));
        carry.after_progress(key, was, true);
        if let Some(Err(reason)) = outcome {
            self.clients().act(key);
            return self.channels().close(key, reason);
        }
        carry.count_held(key);
        if carry.actions.is_empty() {
            carry.write_out(key);
        } else {
            carry.queue_out(key);
            self.channels().finish_endings();
            self.clients().act(key);
        }
        self.carry().read_on(key);
    }

    /// Handles the deadline of a connection that waits for an answer.
    pub(super) fn expire_wait(&mut self, key: Key) {
        match self.carry().conns.entry(key).and_then(|conn| conn.session.waits_for()) {
            Some(Wait::Moment) => self.respond(key, None),
            Some(Wait::Answer | Wait::Poll) => self.channels().close(key, CloseReason::Refused(UNANSWERED)),
            None => {}
        }
    }
}
