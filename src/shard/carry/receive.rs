//! From readable to done: read, let the session speak, carry out what it asks.
//!
//! Reading goes on until the socket is empty (a short read says so, unless the peer's end was announced) or the
//! turn's budget is used up; then the connection is remembered as unread. What the session answers at once is
//! written before the next event: the bytes are still in the core's cache, and an outbox need not exist.

use std::io;
use std::ops::Range;

use super::conn::{CountedAs, Stage};
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Phase};
use crate::shard::door::newcomers::is_newcomer;
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    pub(in crate::shard) fn on_readable(&mut self, key: Key, closed: bool) {
        let Some(conn) = self.conns.entry_mut(key) else {
            self.counters.stale_ids.add(1);
            return;
        };
        conn.is_read_closed |= closed;
        if conn.is_read_paused || conn.is_unread {
            return;
        }
        if self.is_congested || is_newcomer(conn) {
            return self.postpone(key);
        }
        self.read(key);
    }

    /// Takes up the connections that an earlier turn left with unread input. They wait on while others are congested.
    pub(in crate::shard) fn resume_unread(&mut self) {
        if self.is_congested {
            if !self.unread.is_empty() {
                self.counters.mailbox_pauses.add(1);
            }
            return;
        }
        for key in std::mem::take(&mut self.unread) {
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            conn.is_unread = false;
            self.resume_waiting(key);
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            // What waits on goes before what is not read yet.
            conn.is_read_paused |= conn.client.as_ref().is_some_and(|client| !client.waiting.is_empty());
            if !conn.is_read_paused {
                self.read(key);
            }
        }
    }

    pub(in crate::shard) fn read(&mut self, key: Key) {
        let mut budget = self.limits.read_bytes_per_turn_max;
        loop {
            let Some(conn) = self.conns.entry_mut(key) else { return };
            if conn.stage == Stage::Buried || conn.is_read_paused {
                return;
            }
            let is_read_closed = conn.is_read_closed;
            // The beginning of a record, or of a proxy's header, goes before its rest.
            let held = conn.line.as_mut().map_or(0, |line| line.unhold(&mut self.input));
            let room = self.input.len() - held;
            let result = self.net.read(&mut conn.socket, &mut self.input[held..]);
            if held > 0 && result.is_err() {
                self.hold(key, held);
            }
            match result {
                Ok(0) => return self.on_end(key),
                Ok(count) => {
                    self.counters.bytes_in.add(count as u64);
                    self.take(key, held + count);
                    if count < room && !is_read_closed {
                        return;
                    }
                    budget = budget.saturating_sub(count);
                    if budget == 0 {
                        return self.postpone(key);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(key, CloseReason::Transport),
            }
        }
    }

    /// Gives the first `count` bytes of the input to whom they are for.
    #[inline]
    fn take(&mut self, key: Key, count: usize) {
        match self.conns.entry_mut(key) {
            Some(conn) if conn.stage == Stage::Open => {
                if conn.line.is_some() {
                    self.receive_line(key, count);
                } else {
                    self.receive(key, 0..count);
                }
            }
            Some(_) | None => {}
        }
    }

    /// The client sends nothing more.
    pub(in crate::shard) fn on_end(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        match conn.stage {
            Stage::Open => self.close(key, CloseReason::Hangup),
            Stage::LastWords | Stage::Linger if conn.outbox.is_some() => conn.stage = Stage::LastWords,
            Stage::LastWords | Stage::Linger | Stage::Discard | Stage::Shed => self.grave(key),
            Stage::Buried => {}
        }
    }

    /// Gives a part of the input to the session.
    pub(in crate::shard) fn receive(&mut self, key: Key, part: Range<usize>) {
        let heard = self.beat_now();
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.heard = heard;
        let was = conn.session.phase();
        let was_head = was == Phase::Opening;
        if was_head && let Some(refusal) = self.refusal() {
            return self.close(key, CloseReason::Refused(refusal));
        }
        let mut input = std::mem::take(&mut self.input);
        let answer = self.with_session(key, |session, handler, cx| {
            (session.receive(&mut input[part.clone()], handler, cx), cx.in_place.take())
        });
        if let Some((_, Some(in_place))) = &answer {
            self.write_in_place(key, &mut input[part.clone()], in_place);
        }
        self.input = input;
        let Some((outcome, _)) = answer else { return };
        // Also of one that ends in the same read.
        if was.is_new() {
            self.after_progress(key, was);
        }
        if let Err(reason) = outcome {
            if was_head {
                self.note_stray_header(key, part);
            }
            // What the client asked before it ended is still carried out.
            self.act(key);
            return self.close(key, reason);
        }
        self.count_held(key);
        if self.actions.is_empty() {
            self.write_out(key);
        } else {
            self.queue_out(key);
            self.act(key);
        }
    }

    /// Deadlines and counters of a connection that may have left its first phases.
    fn after_progress(&mut self, key: Key, was: Phase) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let phase = conn.session.phase();
        if phase == Phase::Opening {
            // A request that was answered may be followed by another, within the time that the first had.
            if conn.session.held_bytes() == 0 {
                self.set_due(key, self.timeouts.handshake_ms);
            }
            return;
        }
        let (transport, deflates) = (conn.session.transport(), conn.session.deflate().is_on());
        if was == Phase::Opening {
            self.counters.handshakes.add(1);
            self.counters.deflate_handshakes.add(u64::from(deflates));
            self.count_as(key, CountedAs::Session(transport));
        }
        if !phase.is_identifying() {
            self.start_heartbeat(key);
        } else if was == Phase::Opening {
            self.set_due(key, self.timeouts.connect_ms);
        }
    }

    /// Keeps the budget's count of messages that are still arriving. Who has ended has given its part back, and what was
    /// held of a record stays where it is until the connection is freed.
    pub(in crate::shard) fn count_held(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| conn.stage == Stage::Open) else { return };
        let below = conn.line.as_ref().map_or(0, |line| line.held_bytes());
        let waiting = conn.client.as_ref().map_or(0, |client| client.waiting_bytes);
        let held = u32::try_from(conn.session.held_bytes() + below + waiting).unwrap_or(u32::MAX);
        if held == conn.held_bytes {
            return;
        }
        self.counters.partial_bytes.add(u64::from(held));
        self.counters.partial_bytes.sub(u64::from(conn.held_bytes));
        self.budget.charge(held as usize);
        self.budget.release(conn.held_bytes as usize);
        let was_whole = std::mem::replace(&mut conn.held_bytes, held) == 0;
        if was_whole {
            // The rest of what has begun to arrive has a deadline.
            self.arm(key);
        }
        if held > 0 && self.budget.is_exhausted() {
            self.close(key, CloseReason::Budget);
        }
    }
}
