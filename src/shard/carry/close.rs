//! Endings. What is left of a connection that is closed is a socket that says its last words, within the linger deadline. It
//! is freed at the end of the turn, so nothing that the turn still holds points at another's slot.
//!
//! Its channels, and whoever else knows of it, are above: they hear of it by a note ([`Ended`]) before anything else happens.

use super::Carry;
use super::client::Client;
use super::conn::{CountedAs, Stage};
use crate::base::counters::{Counter, Counters};
use crate::base::seed::Purpose;
use crate::base::slots::Key;
use crate::proto::http::{Refusal, Status};
use crate::proto::ws::Violation;
use crate::session::{CloseReason, Session, Transport, kind_of, labels};
use crate::shard::World;

/// For clients that come while the server is full.
pub(in crate::shard) const UNAVAILABLE: Refusal =
    Refusal::new(Status::Unavailable, "no room for another connection; try later");
/// For requests that a drain meets.
pub(in crate::shard) const DRAINING: Refusal =
    Refusal::new(Status::Unavailable, "the server is shutting down; try later");
/// How long a drain waits for the goodbye of a client that has been told everything. What was written is the kernel's by
/// then, and reaches the client without this process.
const GOODBYE_MS_MAX: u64 = 500;
const TIMEOUT: Refusal = Refusal::new(Status::RequestTimeout, "the request did not arrive in time");

/// A connection that has ended, for those above that it was in.
#[derive(Debug)]
pub(in crate::shard) struct Ended {
    pub(in crate::shard) key: Key,
    /// What was known of its client.
    pub(in crate::shard) client: Option<Box<Client>>,
}

impl<W: World> Carry<W> {
    /// Ends a connection. What is in `out` and in its outbox, and the close frame, are still sent, unless the client is gone.
    /// What it was in above learns of it from the note that is left in `ended`.
    pub(in crate::shard) fn end(&mut self, key: Key, reason: CloseReason) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Open {
            if reason == CloseReason::Transport {
                self.grave(key);
            }
            return;
        }
        if reason == CloseReason::Shutdown && conn.session.ends_when_answered() {
            return;
        }
        // Whatever ends it, who has left hears the answer to its own goodbye.
        let goodbye = conn.goodbye(&reason);
        let said = goodbye.as_ref().unwrap_or(&reason);
        let is_secure_goodbye = std::mem::take(&mut conn.has_left) && conn.tls().is_some();
        let is_gone = *said == CloseReason::Transport || *said == CloseReason::Hangup && !is_secure_goodbye;
        let peer_said_goodbye = matches!(said, CloseReason::Peer(_) | CloseReason::Hangup);
        conn.stage = if peer_said_goodbye { Stage::LastWords } else { Stage::Linger };
        let session = std::mem::replace(&mut conn.session, Session::over());
        let kept_count = conn.client.as_ref().and_then(|client| client.connecting.as_ref());
        let kept_count = kept_count.map(|connecting| connecting.queued_before);
        conn.is_corked = false;
        // A newcomer leaves the stack: what it still sends is thrown away with that of all who end.
        conn.is_unread &= !(session.phase().is_new());
        let held_bytes = std::mem::take(&mut conn.held_bytes);
        self.budget.release(held_bytes as usize);
        self.counters.partial_bytes.sub(u64::from(held_bytes));
        if let CountedAs::Session(_) = self.conns.entry(key).map(|conn| conn.counted_as).unwrap_or_default() {
            self.count_code(&reason);
        }
        self.count_as(key, CountedAs::Nothing);
        self.count_ending(&reason);
        let client = self.forget_client(key);
        self.ended.push_back(Ended { key, client });
        if is_gone {
            self.clear_out();
            self.grave(key);
        } else {
            match (&reason, kept_count) {
                // What waits for the connect reply is not told without it.
                (_, Some(count)) => self.cut(key, count),
                (CloseReason::Slow | CloseReason::Budget, None) => self.cut(key, 0),
                _ => {}
            }
            self.last_words(key, said, &session);
        }
        let client = self.client_id(key);
        session.closed(&mut self.handler, client, &reason);
    }

    /// Takes back what waits in the outbox, but for its first segments, and with it what is said behind that: a client
    /// must not get what comes after something that it does not get.
    pub(in crate::shard) fn cut(&mut self, key: Key, kept_count: usize) {
        let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) else { return };
        let before = outbox.bytes();
        outbox.cut(kept_count);
        let cut = before - outbox.bytes();
        if cut > 0 {
            self.clear_out();
            self.counters.outbox_bytes.sub(cut as u64);
        }
        self.count_queues(key);
    }

    fn last_words(&mut self, key: Key, reason: &CloseReason, session: &Session<W::State>) {
        match (session.phase().is_request(), reason) {
            // Nobody asked: what is said could be taken for the answer to the next request.
            (true, CloseReason::Shutdown | CloseReason::Memory | CloseReason::Budget)
                if session.is_idle() => {}
            // The session wrote its refusal itself, but for those that are refused unheard.
            (true, CloseReason::Refused(refusal)) if self.out.is_empty() => {
                refusal.write_with(self.retry_after_s(key), &mut self.out);
            }
            (true, CloseReason::HandshakeTimeout) => TIMEOUT.write_for_page(session.cors(), &mut self.out),
            (true, CloseReason::Shutdown) => {
                DRAINING.write_with(self.retry_after_s(key), &mut self.out);
            }
            (true, CloseReason::Memory | CloseReason::Crowded | CloseReason::Budget) => {
                UNAVAILABLE.write_with(self.retry_after_s(key), &mut self.out);
            }
            (true, _) => {}
            (false, _) => session.goodbye(reason, self.retry_after_ms(key), &mut self.out),
        }
        if let Some(conn) = self.conns.entry_mut(key)
            && let Some(tls) = conn.tls_mut()
            && !tls.is_open()
        {
            // Nothing of this can be said without keys, and an alert, if there was one, is on its way: who is told nothing
            // keeps no place, and whoever has to read an alert keeps no handshake.
            tls.give_up();
            let has_nothing_left = *reason != CloseReason::Tls && conn.outbox.is_none();
            self.clear_out();
            if has_nothing_left {
                return self.grave(key);
            }
        }
        self.set_due(key, self.timeouts.linger_ms);
        self.queue_out(key);
        // Even with nothing to say, the flush takes the next step.
        self.mark_dirty(key);
    }

    /// Has another gauge count the connection, or none.
    pub(in crate::shard) fn count_as(&mut self, key: Key, now: CountedAs) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let c = &self.counters;
        let gauges = |counted_as| match counted_as {
            CountedAs::Nothing => [None, None],
            CountedAs::HalfOpen => [Some(&c.half_open), None],
            CountedAs::Asking => [Some(&c.forwarding), None],
            CountedAs::Session(transport) => [Some(&c.sessions), Some(sessions_over(c, transport))],
        };
        let counted_as = std::mem::replace(&mut conn.counted_as, now);
        if let (Some(place), CountedAs::Session(transport)) = (conn.named.checked_sub(1), counted_as) {
            conn.named = 0;
            c.clients_by_kind[kind_of(transport)].connected[usize::from(place)].sub(1);
        }
        let before = gauges(counted_as);
        before.into_iter().flatten().for_each(|gauge| gauge.sub(1));
        gauges(now).into_iter().flatten().for_each(|gauge| gauge.add(1));
    }

    /// A client is let in whose program has the name of this place.
    pub(in crate::shard) fn count_client(&mut self, key: Key, place: u8) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let CountedAs::Session(transport) = conn.counted_as else { return };
        conn.named = place + 1;
        let by_name = &self.counters.clients_by_kind[kind_of(transport)];
        by_name.connected[usize::from(place)].add(1);
        by_name.connects[usize::from(place)].add(1);
    }

    /// Counts a session's end by its code, if it was not the client that ended it.
    fn count_code(&self, reason: &CloseReason) {
        if let (CloseReason::Peer(_), _) | (_, None) = (reason, reason.frame()) {
            return;
        }
        let code = reason.frame().and_then(|(code, _)| code).unwrap_or_default();
        self.counters.disconnects[labels::code_place(labels::DISCONNECTS, code.into())].add(1);
    }

    fn count_ending(&self, reason: &CloseReason) {
        let c = &self.counters;
        c.closes.add(1);
        match reason {
            CloseReason::Peer(_)
            | CloseReason::Hangup
            | CloseReason::Shutdown
            | CloseReason::Memory
            // Counted by what refused it.
            | CloseReason::Crowded
            | CloseReason::Dismissed(_)
            | CloseReason::Ordered { .. }
            | CloseReason::Answered
            | CloseReason::Handler { .. } => {}
            CloseReason::Transport | CloseReason::Worn => c.transport_errors.add(1),
            CloseReason::Tls => c.tls_faults.add(1),
            CloseReason::NoProxyHeader => c.proxy_headers_refused.add(1),
            CloseReason::Violation(violation) => {
                c.violations.add(1);
                let is_too_big = matches!(violation, Violation::FrameTooBig | Violation::MessageTooBig);
                c.limited_message_bytes.add(u64::from(is_too_big));
            }
            CloseReason::BadRequest => c.violations.add(1),
            CloseReason::HandshakeTimeout | CloseReason::Stale => c.handshake_timeouts.add(1),
            CloseReason::MessageTimeout => c.message_timeouts.add(1),
            CloseReason::NoPong | CloseReason::Idle => c.heartbeats_missed.add(1),
            CloseReason::Slow => c.slow_consumers.add(1),
            CloseReason::Budget => c.budget_closes.add(1),
            CloseReason::Refused(refusal) => match refusal.status {
                Status::BadRequest | Status::RequestTimeout | Status::ExpectationFailed | Status::UnsupportedMediaType => {
                    c.refused_bad_request.add(1);
                }
                Status::Forbidden => c.refused_forbidden.add(1),
                Status::NotFound => c.refused_not_found.add(1),
                Status::MethodNotAllowed | Status::PostNeeded => c.refused_method.add(1),
                Status::UpgradeRequired => c.refused_upgrade.add(1),
                Status::HeadTooLarge => c.refused_head_too_large.add(1),
                Status::ContentTooLarge => {
                    c.refused_head_too_large.add(1);
                    c.limited_message_bytes.add(1);
                }
                Status::Unavailable => c.refused_unavailable.add(1),
            },
        }
    }

    /// Lays a connection down to be freed at the end of the turn.
    pub(in crate::shard) fn grave(&mut self, key: Key) {
        self.count_as(key, CountedAs::Nothing);
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Buried {
            self.counters.refused_lingering.sub(u64::from(conn.stage == Stage::Shed));
            let held_bytes = std::mem::take(&mut conn.held_bytes);
            self.budget.release(held_bytes as usize);
            self.counters.partial_bytes.sub(u64::from(held_bytes));
            conn.stage = Stage::Buried;
            if conn.tls().is_some() {
                self.schedules.forget(key.to_token());
            }
            self.drop_outbox(key);
            self.graves.push(key);
        }
    }

    #[inline]
    pub(in crate::shard) fn bury(&mut self) {
        if self.graves.is_empty() {
            return;
        }
        for key in std::mem::take(&mut self.graves) {
            if let Some(conn) = self.conns.remove(key) {
                debug_assert!(conn.subs.is_empty(), "who is closed has left its channels");
                self.counters.tls_links.sub(u64::from(conn.tls().is_some()));
                self.counters.plain_lines.sub(u64::from(conn.is_plain_layered()));
                self.wheel.remove(key.index());
                self.counters.connections.sub(1);
                self.tidy_later();
            }
        }
    }

    /// When a client that is refused or sent away should come back: a time of its own, so that those that went together
    /// do not come together.
    pub(in crate::shard) fn retry_after_ms(&self, key: Key) -> u64 {
        let hash = self.seed.hash(Purpose::Retry, &key.to_token().to_le_bytes());
        1 + hash % self.timeouts.retry_after_ms.max(1)
    }

    /// When this one may try again, in whole seconds, for `Retry-After`.
    pub(in crate::shard) fn retry_after_s(&self, key: Key) -> u64 {
        self.retry_after_ms(key).div_ceil(1000)
    }

    /// All is said: the client's end is waited for as long as a drain allows, if there is one.
    pub(in crate::shard) fn await_goodbye(&mut self, key: Key) {
        if self.is_draining {
            self.set_due(key, self.timeouts.linger_ms.min(GOODBYE_MS_MAX));
        }
    }
}

/// The gauge of sessions over a transport.
pub(in crate::shard) fn sessions_over(c: &Counters, transport: Option<Transport>) -> &Counter {
    &c.sessions_by_kind[kind_of(transport)]
}
