//! The end of a connection. A closed connection remains as a socket that sends its last bytes, until the linger
//! deadline. It is freed at the end of the turn, so references within the turn stay valid.
//!
//! Upper wings remove the connection from channels and homes: a record ([`Ended`]) tells them before anything else
//! happens.

use super::Carry;
use super::client::Client;
use super::conn::{CountedAs, Stage};
use crate::base::counters::Counter;
use crate::base::seed::Purpose;
use crate::base::slots::Key;
use crate::proto::http::{Refusal, Status};
use crate::proto::ws::Violation;
use crate::session::labels::EventRefusal;
use crate::session::{Action, CloseReason, Session, SessionKind, TOO_MANY_CLIENTS, labels};
use crate::shard::World;
use crate::shard::counters::Counters;

/// Refusal of clients while the server is full.
pub(in crate::shard) const UNAVAILABLE: Refusal =
    Refusal::new(Status::Unavailable, "no room for another connection; try later");
/// Refusal of requests during a drain.
pub(in crate::shard) const DRAINING: Refusal =
    Refusal::new(Status::Unavailable, "the server is shutting down; try later");
/// Maximum time for which a drain waits for the close frame of a client that has been sent everything. The data is in
/// the kernel by then, and reaches the client without this process.
const GOODBYE_MS_MAX: u64 = 500;
const TIMEOUT: Refusal = Refusal::new(Status::RequestTimeout, "the request did not arrive in time");

/// The record of an ended connection for the upper wings.
#[derive(Debug)]
pub(in crate::shard) struct Ended {
    pub(in crate::shard) key: Key,
    /// The properties of its client.
    pub(in crate::shard) client: Option<Box<Client>>,
    /// The last requests of its handler.
    pub(in crate::shard) actions: Vec<Action>,
}

impl<W: World> Carry<W> {
    /// Ends a connection. The bytes in `out`, its outbox and a close frame are still sent, unless the client is gone.
    /// Upper wings learn of it from the record in `ended`.
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
        if self.ends_behind_events(key, &reason) {
            return;
        }
        self.tell_session_of_end(key);
        self.part_probe(key);
        let Some(conn) = self.conns.entry_mut(key) else { return };
        // A client that has left receives the answer to its own close.
        let goodbye = conn.goodbye(&reason);
        let said = goodbye.as_ref().unwrap_or(&reason);
        let is_secure_goodbye = std::mem::take(&mut conn.has_left) && conn.tls().is_some();
        // A client that does not answer pings polls no more; one that sends what it must not, or the end, has its answer.
        let is_answered = matches!(said, CloseReason::Malformed(_) | CloseReason::Peer(_))
            && !self.parked.contains_key(&key);
        let is_silent = conn.socket.is_none() && (*said == CloseReason::NoPong || is_answered);
        let is_gone = *said == CloseReason::Transport
            || is_silent
            || *said == CloseReason::Hangup && !is_secure_goodbye;
        let peer_said_goodbye = matches!(said, CloseReason::Peer(_) | CloseReason::Hangup);
        conn.stage = if peer_said_goodbye { Stage::LastWords } else { Stage::Linger };
        let session = std::mem::replace(&mut conn.session, Session::over());
        self.counters.told.events_refused[EventRefusal::Gone.place()].add(session.held_events() as u64);
        let kept_count = conn.client.as_ref().and_then(|client| client.connecting.as_ref());
        let kept_count = kept_count.map(|connecting| connecting.queued_before);
        conn.is_corked = false;
        // A connection that is not live leaves the stack: its further input is discarded.
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
        self.ended.push_back(Ended { key, client, actions: Vec::new() });
        if is_gone {
            self.clear_out();
            self.grave(key);
        } else {
            match (&reason, kept_count) {
                // Messages after the connect reply are not sent without it.
                (_, Some(count)) => self.cut(key, count),
                (CloseReason::Slow | CloseReason::Budget, None) => self.cut(key, 0),
                _ => {}
            }
            self.last_words(key, said, &session);
        }
        let client = self.client_id(key);
        let mut actions = Vec::new();
        session.closed(&mut self.handler, client, &reason, (&self.settings, &mut actions));
        if let Some(ended) = self.ended.back_mut().filter(|ended| ended.key == key) {
            ended.actions = actions;
        }
    }

    /// Removes queued data from the outbox, except for its first segments: a client must not receive data after a
    /// gap.
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
            // An idle connection: bytes could be taken for the answer to the next request.
            (true, CloseReason::Shutdown | CloseReason::Memory | CloseReason::Budget)
                if session.is_idle() => {}
            // The session has written its refusal, except for refusals before any input.
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
            // Without keys nothing can be sent, and an alert is already on its way: a connection without an alert is
            // freed at once, one with an alert drops its handshake.
            tls.give_up();
            let has_nothing_left = *reason != CloseReason::Tls && conn.outbox.is_none();
            self.clear_out();
            if has_nothing_left {
                return self.grave(key);
            }
        }
        // Without a parked poll the client may never fetch it: new requests are refused during a drain.
        let is_polled = self.conns.entry(key).is_some_and(|conn| conn.socket.is_none());
        match is_polled && self.is_draining {
            true => self.set_due(key, self.timeouts.linger_ms.min(GOODBYE_MS_MAX)),
            false => self.set_due(key, self.timeouts.linger_ms),
        }
        self.queue_out(key);
        // The flush takes the next step, even if there is nothing to send.
        self.mark_dirty(key);
    }

    /// Moves the connection to another gauge, or to none.
    pub(in crate::shard) fn count_as(&mut self, key: Key, now: CountedAs) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let c = &self.counters;
        let gauges = |counted_as| match counted_as {
            CountedAs::Nothing => [None, None],
            CountedAs::HalfOpen => [Some(&c.half_open), None],
            CountedAs::Asking => [Some(&c.forwarding), None],
            CountedAs::Probe => [Some(&c.probes), None],
            CountedAs::Session(kind) => [Some(&c.sessions), Some(sessions_of(c, kind))],
        };
        let counted_as = std::mem::replace(&mut conn.counted_as, now);
        if let (Some(place), CountedAs::Session(kind)) = (conn.named.checked_sub(1), counted_as) {
            conn.named = 0;
            c.clients_by_kind[kind.number()].connected[usize::from(place)].sub(1);
        }
        let before = gauges(counted_as);
        before.into_iter().flatten().for_each(|gauge| gauge.sub(1));
        gauges(now).into_iter().flatten().for_each(|gauge| gauge.add(1));
    }

    /// Counts an admitted client by the index of its program's name.
    pub(in crate::shard) fn count_client(&mut self, key: Key, place: u8) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let CountedAs::Session(kind) = conn.counted_as else { return };
        conn.named = place + 1;
        let by_name = &self.counters.clients_by_kind[kind.number()];
        by_name.connected[usize::from(place)].add(1);
        by_name.connects[usize::from(place)].add(1);
    }

    /// Counts a session's end by its code, unless the client ended it.
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
            // Counted where they are refused.
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
            CloseReason::Malformed(fault) => {
                c.violations.add(1);
                c.told.packet_faults[fault.place()].add(1);
            }
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
                Status::Unavailable => {
                    c.refused_unavailable.add(1);
                    c.rate_limited_connects.add(u64::from(*refusal == TOO_MANY_CLIENTS));
                }
            },
        }
    }

    /// Marks a connection to be freed at the end of the turn.
    pub(in crate::shard) fn grave(&mut self, key: Key) {
        self.count_as(key, CountedAs::Nothing);
        self.refuse_parked(key);
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

    /// The time after which a refused or disconnected client should reconnect: it differs by connection, so that
    /// clients that were disconnected together do not return together.
    pub(in crate::shard) fn retry_after_ms(&self, key: Key) -> u64 {
        let hash = self.seed.hash(Purpose::Retry, &key.to_token().to_le_bytes());
        1 + hash % self.timeouts.retry_after_ms.max(1)
    }

    /// That time in whole seconds, for `Retry-After`.
    pub(in crate::shard) fn retry_after_s(&self, key: Key) -> u64 {
        self.retry_after_ms(key).div_ceil(1000)
    }

    /// Everything is sent: waits for the client's close, during a drain only for a limited time.
    pub(in crate::shard) fn await_goodbye(&mut self, key: Key) {
        if self.is_draining {
            self.set_due(key, self.timeouts.linger_ms.min(GOODBYE_MS_MAX));
        }
    }
}

/// The gauge of sessions of a kind.
pub(in crate::shard) fn sessions_of(c: &Counters, kind: SessionKind) -> &Counter {
    &c.sessions_by_kind[kind.number()]
}
