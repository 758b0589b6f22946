//! WebSockets that are to replace polls: connections move to the shard of their session, test, and become the session's
//! transport.
//!
//! A session has one probe at most. Until the probe's client uses it alone, the session's output belongs to polling.
//!
//! Invariants: a probe of the table is an open connection of this shard, and so is its session, which has no socket; the
//! entry goes with either of them. A connection that is handed over has left all counts of its old shard.

use super::Carry;
use super::conn::{Conn, CountedAs, Stage, beat_at_or_after};
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{PlainResponse, ProbeStep, Session, Speaks, UpgradeAsk};
use crate::shard::World;
use crate::shard::mailbox::{Letter, Moved};

/// Time from a poll to its end while the session has a probe, in milliseconds. Clients poll again until they have moved: an
/// answer in the same moment would make them spin.
const RELIEF_MS: u64 = 10;
/// Tickets of a shard's sockets; above them is the shard's number.
const TICKET_BITS: u32 = 48;

/// The probe of a session.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Probing {
    /// The connection.
    pub(in crate::shard) conn: Key,
    /// Whether its client has tested it: then no poll is parked for long.
    is_tested: bool,
}

impl<W: World> Carry<W> {
    /// Hands a connection, whose request waits, over to the shard of a session. One that cannot be handed over is answered:
    /// its client goes on with polls.
    pub(in crate::shard) fn move_away(&mut self, key: Key, ask: Box<UpgradeAsk>) {
        let (shard, _) = ask.place;
        self.tickets_given += 1;
        let ticket = u64::from(self.post.shard()) << TICKET_BITS | self.tickets_given;
        let Some(conn) = self.conns.entry_mut(key) else { return };
        // Earlier answers that were not sent stay here.
        let is_sent = conn.outbox.is_none()
            && conn
                .socket
                .as_mut()
                .is_some_and(|socket| self.net.hand_over(socket, key.to_token(), shard, ticket).is_ok());
        if !is_sent {
            self.counters.upgrades_refused.add(1);
            let response = PlainResponse::busy(self.retry_after_s(key));
            return self.answer_request(self.receipt_of(key), response);
        }
        let Some(mut conn) = self.take_conn(key) else { return };
        self.counters.sockets_moved.add(1);
        if let Some(away) = conn.session.take_away() {
            let moved = Moved { ticket, layers: conn.layers.take(), away, ask };
            self.post.send(shard, Letter::Moved(Box::new(moved)));
        }
    }

    /// Takes a connection that another shard has handed over; `None` if it was lost on the way, or there is no room for it.
    pub(in crate::shard) fn take_in(&mut self, moved: Moved) -> Option<(Key, Box<UpgradeAsk>)> {
        let Moved { ticket, layers, away, ask } = moved;
        let socket = match self.net.take_over(ticket) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(%error, "a connection was lost on its way to another shard");
                None
            }
        };
        let (due, heard) = (beat_at_or_after(self.now_ms() + self.timeouts.handshake_ms), self.beat_now());
        let key = socket.and_then(|socket| {
            self.conns.insert_with(|_| Conn {
                layers,
                session: Session::Away(away),
                is_read_paused: true,
                ..Conn::new(Some(socket), Speaks::Http, due, heard)
            })
        });
        let Some(key) = key else {
            self.counters.upgrades_refused.add(1);
            return None;
        };
        self.counters.connections.add(1);
        self.count_as(key, CountedAs::Asking);
        self.count_layers(key);
        self.arm(key);
        self.count_held(key);
        let conn = self.conns.entry_mut(key)?;
        let is_registered = |socket| self.net.register(socket, key.to_token()).is_ok();
        if !conn.socket.as_mut().is_some_and(is_registered) {
            self.counters.upgrades_refused.add(1);
            self.end(key, crate::session::CloseReason::Transport);
            return None;
        }
        Some((key, ask))
    }

    /// Accepts the WebSocket of a request that waits. Returns the input behind the request.
    pub(in crate::shard) fn begin_probe(&mut self, key: Key, ask: &UpgradeAsk) -> Vec<u8> {
        let Some(conn) = self.conns.entry_mut(key) else { return Vec::new() };
        let rest = conn.session.begin_probe(ask);
        conn.is_read_paused = false;
        let deflates = conn.session.deflate().is_on();
        self.counters.handshakes.add(1);
        self.counters.deflate_handshakes.add(u64::from(deflates));
        self.count_as(key, CountedAs::Probe);
        self.count_held(key);
        self.set_due(key, self.settings.socketio.upgrade_timeout_ms);
        self.out.extend_from_slice(&ask.accepting);
        self.write_out(key);
        rest
    }

    /// Makes a probe that of a session.
    pub(in crate::shard) fn note_probe(&mut self, session: Key, conn: Key) {
        self.probes.insert(session, Probing { conn, is_tested: false });
    }

    /// Takes a step of a probe.
    pub(in crate::shard) fn probe_step(&mut self, key: Key, session: Key, step: ProbeStep) {
        let Some(probing) = self.probes.get_mut(&session).filter(|probing| probing.conn == key) else {
            return;
        };
        match step {
            ProbeStep::Begun => {
                probing.is_tested = true;
                self.relieve_later(session);
            }
            ProbeStep::Due => self.relieve(session),
            ProbeStep::Done => {
                self.pause_for_answer(key);
                // Not now: the input of this connection is being handled.
                self.post.send(self.post.shard(), Letter::Settle { probe: key });
            }
        }
    }

    /// Sets the time to end the parked poll of a session with a probe, if there are both.
    pub(in crate::shard) fn relieve_later(&mut self, session: Key) {
        let Some(&Probing { conn, is_tested: true }) = self.probes.get(&session) else { return };
        let at_ms = self.now_ms() + RELIEF_MS;
        if self.parked.contains_key(&session)
            && let Some(probe) = self.conns.entry_mut(conn)
        {
            probe.session.set_deadline_ms(Some(at_ms));
            self.arm(conn);
        }
    }

    /// Ends the parked poll of a session, if there is one, without output.
    fn relieve(&mut self, session: Key) {
        let Some(answer) = self.conns.entry(session).map(|conn| conn.session.relieved_poll()) else { return };
        if let Some(poll) = self.parked.remove(&session) {
            self.answer_request(poll.receipt, answer);
        }
    }

    /// Handles the end of a probe, or of its session.
    pub(in crate::shard) fn part_probe(&mut self, key: Key) {
        let Some(conn) = self.conns.entry(key) else { return };
        if let Some(session) = conn.session.probes() {
            if self.probes.get(&session).is_some_and(|probing| probing.conn == key) {
                self.probes.remove(&session);
                self.counters.upgrades_failed.add(1);
            }
        } else if conn.socket.is_none()
            && let Some(probing) = self.probes.remove(&key)
        {
            self.counters.upgrades_failed.add(1);
            self.post.send(self.post.shard(), Letter::Settle { probe: probing.conn });
        }
    }

    /// Gives the socket of a probe to its session, with all that is below the session. Output that waits for a poll leaves
    /// by it, before anything newer; a parked poll is ended. Returns the input of the probe for the session; `None` when the
    /// poller fails: nothing has changed then.
    pub(in crate::shard) fn merge(&mut self, probe: Key, session: Key) -> Option<Vec<u8>> {
        let socket = self.conns.entry_mut(probe)?.socket.as_mut()?;
        self.net.reregister(socket, session.to_token()).ok()?;
        self.probes.remove(&session);
        self.relieve(session);
        let polled = self.take_polled(session);
        let from = self.take_conn(probe)?;
        let conn = self.conns.entry_mut(session)?;
        self.counters.plain_lines.sub(u64::from(conn.is_plain_layered()));
        let identity = conn.layers.take().and_then(|layers| layers.identity().cloned());
        conn.layers = from.layers;
        if let Some(identity) = identity {
            // Who opened the session is known by that request.
            let origin = conn.layers.get_or_insert_default().origin.get_or_insert_default();
            origin.identity.get_or_insert(identity);
        }
        (conn.socket, conn.outbox) = (from.socket, from.outbox);
        (conn.is_read_closed, conn.heard) = (from.is_read_closed, from.heard);
        (conn.is_read_paused, conn.is_writable_armed) = (false, false);
        self.count_layers(session);
        let upgrade = from.session;
        let rest = self.with_session(session, |session, _, cx| session.upgrade_by(upgrade, &polled, cx));
        self.queue_out(session);
        self.mark_dirty(session);
        self.postpone(session);
        self.arm(session);
        let kind = self.conns.entry(session).and_then(|conn| conn.session.kind());
        self.count_as(session, kind.map_or(CountedAs::Nothing, CountedAs::Session));
        let deflates = self.conns.entry(session).is_some_and(|conn| conn.session.deflate().is_on());
        tracing::trace!(deflates, "a session has moved from polls to a WebSocket");
        self.counters.upgrades.add(1);
        rest
    }

    /// Counts the layers of a new connection.
    fn count_layers(&self, key: Key) {
        let Some(conn) = self.conns.entry(key) else { return };
        self.counters.tls_links.add(u64::from(conn.tls().is_some()));
        self.counters.plain_lines.add(u64::from(conn.is_plain_layered()));
    }

    /// Takes a connection out, with its counts except for those of its outbox. Its socket stays open.
    fn take_conn(&mut self, key: Key) -> Option<Conn<W::Socket, W::State>> {
        self.count_as(key, CountedAs::Nothing);
        let conn = self.conns.remove(key)?;
        debug_assert!(conn.subs.is_empty() && conn.client.is_none() && conn.stage == Stage::Open);
        self.budget.release(conn.held_bytes as usize);
        self.counters.partial_bytes.sub(u64::from(conn.held_bytes));
        self.counters.plain_lines.sub(u64::from(conn.is_plain_layered()));
        if conn.tls().is_some() {
            self.counters.tls_links.sub(1);
            self.schedules.forget(key.to_token());
        }
        self.wheel.remove(key.index());
        self.counters.connections.sub(1);
        self.tidy_later();
        Some(conn)
    }
}
