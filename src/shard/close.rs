//! Endings. A connection leaves its channels the moment it is closed; what is left is a socket that says its last
//! words, within the linger deadline. It is freed at the end of the turn, so nothing that the turn still holds
//! points at another's slot.

use super::Shard;
use super::conn::{Conn, Stage};
use crate::base::slots::Key;
use crate::net::Net;
use crate::proto::http::{Refusal, Status};
use crate::session::{ClientId, CloseReason, Handler, Session};

/// For clients that come while the server is full or drains.
pub(super) const UNAVAILABLE: Refusal =
    Refusal::new(Status::Unavailable, "no room for another connection; try later");
const TIMEOUT: Refusal = Refusal::new(Status::RequestTimeout, "the request did not arrive in time");

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    began_ms: u64,
    /// Everyone who was connected when it began.
    keys: Vec<Key>,
    closed_count: usize,
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// Ends a connection. What is in `out` and in its outbox, and the close frame, are still sent, unless the client is gone.
    pub(super) fn close(&mut self, key: Key, reason: CloseReason) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Open {
            if reason == CloseReason::Transport {
                self.grave(key);
            }
            return;
        }
        let peer_said_goodbye = matches!(reason, CloseReason::Peer(_));
        conn.stage = if peer_said_goodbye { Stage::LastWords } else { Stage::Linger };
        let session = std::mem::replace(&mut conn.session, Session::Ended);
        let kept_count = conn.client.as_ref().and_then(|client| client.connecting.as_ref());
        let kept_count = kept_count.map(|connecting| connecting.queued_before);
        conn.is_corked = false;
        self.budget.release(std::mem::take(&mut conn.held_bytes) as usize);
        self.count_ending(&reason, !session.is_head());
        self.unsubscribe_all(key);
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.client = None;
        }
        if matches!(reason, CloseReason::Hangup | CloseReason::Transport) {
            self.out.clear();
            self.grave(key);
        } else {
            match (&reason, kept_count) {
                // What waits for the connect reply is not told without it.
                (_, Some(count)) => self.cut(key, count),
                (CloseReason::Slow | CloseReason::Budget, None) => self.cut(key, 0),
                _ => {}
            }
            self.last_words(key, &reason, &session);
        }
        if let Session::Raw(raw) = session {
            let client = ClientId { seed: self.seed, shard: self.post.shard(), token: key.to_token() };
            self.handler.closed(raw.into_state(), client, &reason);
        }
    }

    /// Takes back what waits in the outbox, but for its first segments, and with it what is said behind that: a client
    /// must not get what comes after something that it does not get.
    fn cut(&mut self, key: Key, kept_count: usize) {
        let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) else { return };
        let before = outbox.bytes();
        outbox.cut(kept_count);
        let cut = before - outbox.bytes();
        if cut > 0 {
            self.out.clear();
            self.counters.outbox_bytes.sub(cut as u64);
        }
    }

    fn last_words(&mut self, key: Key, reason: &CloseReason, session: &Session<H::State>) {
        match (session.is_head(), reason) {
            // The session wrote its refusal itself, but for those that are refused unheard.
            (true, CloseReason::Refused(refusal)) if self.out.is_empty() => refusal.write(&mut self.out),
            (true, CloseReason::HandshakeTimeout) => TIMEOUT.write(&mut self.out),
            (true, CloseReason::Shutdown) => UNAVAILABLE.write(&mut self.out),
            (true, _) => {}
            (false, _) => session.goodbye(reason, &mut self.out),
        }
        if self.conns.entry(key).and_then(Conn::tls).is_some_and(|tls| !tls.is_open()) {
            // Nothing of this can be said without keys.
            self.out.clear();
        }
        self.set_due(key, self.timeouts.linger_ms);
        self.queue_out(key);
        // Even with nothing to say, the flush takes the next step.
        self.mark_dirty(key);
    }

    fn count_ending(&self, reason: &CloseReason, was_session: bool) {
        let c = &self.counters;
        c.closes.add(1);
        c.sessions.sub(u64::from(was_session));
        match reason {
            CloseReason::Peer(_)
            | CloseReason::Hangup
            | CloseReason::Shutdown
            | CloseReason::Disconnect(_)
            | CloseReason::Ordered { .. }
            | CloseReason::Answered
            | CloseReason::Handler { .. } => {}
            CloseReason::Transport => c.transport_errors.add(1),
            CloseReason::Tls => c.tls_faults.add(1),
            CloseReason::NoProxyHeader => c.proxy_headers_refused.add(1),
            CloseReason::Violation(_) | CloseReason::BadRequest => c.violations.add(1),
            CloseReason::HandshakeTimeout | CloseReason::Stale => c.handshake_timeouts.add(1),
            CloseReason::NoPong | CloseReason::Idle => c.heartbeats_missed.add(1),
            CloseReason::Slow => c.slow_consumers.add(1),
            CloseReason::Budget => c.budget_closes.add(1),
            CloseReason::Refused(refusal) => match refusal.status {
                Status::BadRequest | Status::RequestTimeout => c.refused_bad_request.add(1),
                Status::Forbidden => c.refused_forbidden.add(1),
                Status::NotFound => c.refused_not_found.add(1),
                Status::MethodNotAllowed | Status::PostNeeded => c.refused_method.add(1),
                Status::UpgradeRequired => c.refused_upgrade.add(1),
                Status::HeadTooLarge | Status::ContentTooLarge => c.refused_head_too_large.add(1),
                Status::Unavailable => c.refused_unavailable.add(1),
            },
        }
    }

    /// Lays a connection down to be freed at the end of the turn.
    pub(super) fn grave(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.stage != Stage::Buried {
            debug_assert!(conn.subs.is_empty(), "who is closed has left its channels");
            conn.stage = Stage::Buried;
            self.drop_outbox(key);
            self.graves.push(key);
        }
    }

    pub(super) fn bury(&mut self) {
        for key in std::mem::take(&mut self.graves) {
            if self.conns.remove(key).is_some() {
                self.wheel.remove(key.index());
                self.counters.connections.sub(1);
            }
        }
    }

    pub(super) fn begin_drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        self.net.stop_listening();
        let keys: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        tracing::info!(shard = self.post.shard(), connections = keys.len(), "draining");
        self.drain = Some(Drain { began_ms: self.now_ms(), keys, closed_count: 0 });
    }

    /// Closes as many connections as the time since the drain began asks for.
    pub(super) fn drain_step(&mut self) {
        let Some(mut drain) = self.drain.take() else { return };
        let elapsed_ms = self.now_ms().saturating_sub(drain.began_ms);
        let total = drain.keys.len();
        let target = match self.timeouts.drain_ms {
            0 => total,
            drain_ms => usize::try_from(total as u64 * elapsed_ms / drain_ms).unwrap_or(total).min(total),
        };
        // `close` looks at whether a drain is under way, so put it back before.
        let due: Vec<Key> = drain.keys[drain.closed_count..target.max(drain.closed_count)].to_vec();
        drain.closed_count += due.len();
        self.drain = Some(drain);
        for key in due {
            self.close(key, CloseReason::Shutdown);
        }
    }

    /// Whether a drain has come to its end, in all shards: the channels whose home is here have subscribers elsewhere,
    /// and who still sends letters must not wait for a reader that is gone.
    pub(super) fn is_drained(&self) -> bool {
        self.drain.is_some() && self.conns.is_empty() && self.admission.is_deserted()
    }

    /// Checks what must hold between turns.
    ///
    /// # Panics
    /// When it does not: a bug of ours.
    pub fn check_invariants(&self) {
        self.home.check_invariants();
        let (mut subscriptions, mut outbox_bytes) = (0, 0);
        for (key, conn) in self.conns.iter() {
            let Conn { outbox, is_dirty, is_writable_armed, subs, stage, .. } = conn;
            if outbox.as_ref().is_some_and(|outbox| !outbox.is_empty()) {
                assert!(
                    *is_dirty || *is_writable_armed || conn.is_corked,
                    "queued means dirty, or waiting for room: {key:?}"
                );
            }
            outbox_bytes += conn.outbox_bytes() as u64;
            let client = conn.client.as_ref();
            let is_connecting = client.is_some_and(|client| client.connecting.is_some());
            assert_eq!(conn.is_corked, is_connecting, "the cork waits for the connect reply: {key:?}");
            for detail in client.iter().flat_map(|client| &client.details) {
                assert!(conn.slot_of(detail.channel).is_some(), "details of a subscription: {key:?}");
            }
            assert_ne!(*stage, Stage::Buried, "the dead are freed at the end of the turn");
            assert!(*stage == Stage::Open || subs.is_empty(), "who is closed has left its channels");
            assert!(self.wheel.deadline(key.index()).is_some(), "each connection has a deadline");
            for (slot, sub) in subs.iter().enumerate() {
                if let super::conn::SubState::Active(position) = sub.state() {
                    let subscriber = self.local.subscriber(sub.channel(), position);
                    let points_back =
                        subscriber.is_some_and(|s| s.conn == key.index() && usize::from(s.slot) == slot);
                    assert!(points_back, "slot and subscriber point at each other: {key:?} {slot}");
                    subscriptions += 1;
                }
            }
        }
        assert_eq!(self.counters.subscriptions.value(), subscriptions);
        assert_eq!(self.counters.outbox_bytes.value(), outbox_bytes);
        assert_eq!(self.counters.connections.value(), self.conns.len() as u64);
        assert_eq!(self.wheel.len(), self.conns.len(), "one deadline each, and none without a connection");
    }
}
