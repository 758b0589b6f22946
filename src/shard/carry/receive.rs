//! Reading from a socket into its session, and the effects on deadlines and counts.

use std::io;
use std::ops::Range;

use super::Carry;
use super::conn::{CountedAs, Stage};
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Phase};
use crate::shard::World;

/// The result of a read.
#[derive(Debug)]
pub(in crate::shard) enum Read {
    Bytes(Got),
    /// The client sends nothing more.
    End,
}

/// Bytes that were read.
#[derive(Debug)]
pub(in crate::shard) struct Got {
    /// Number of bytes at the start of the input.
    pub(in crate::shard) count: usize,
    /// Number of bytes that are new; the others are the stored beginning of a record or header.
    pub(in crate::shard) fresh_count: usize,
    /// Whether the socket has no more for now.
    pub(in crate::shard) is_all: bool,
}

impl<W: World> Carry<W> {
    /// Reads once into the input; `None` when there is nothing to read, or reading has ended.
    #[inline]
    pub(in crate::shard) fn read_once(&mut self, key: Key) -> Option<Read> {
        loop {
            let conn = self.conns.entry_mut(key)?;
            if conn.stage == Stage::Buried || conn.is_read_paused {
                return None;
            }
            let is_read_closed = conn.is_read_closed;
            // The stored beginning of a record or PROXY header is put before the new bytes.
            let held = conn.layers.as_mut().map_or(0, |layers| layers.unhold(&mut self.input));
            let room = self.input.len() - held;
            let result = self.net.read(conn.socket.as_mut()?, &mut self.input[held..]);
            if held > 0 && result.is_err() {
                self.hold(key, held);
            }
            match result {
                Ok(0) => return Some(Read::End),
                Ok(fresh_count) => {
                    self.counters.bytes_in.add(fresh_count as u64);
                    let is_all = fresh_count < room && !is_read_closed;
                    return Some(Read::Bytes(Got { count: held + fresh_count, fresh_count, is_all }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A client that has left may have closed its socket before all was read.
                Err(_) if self.conns.entry(key).is_some_and(|conn| conn.has_left) => return Some(Read::End),
                Err(_) => self.end(key, CloseReason::Transport),
            }
            return None;
        }
    }

    /// Passes a part of the input to the session; output in place is written.
    #[inline]
    pub(in crate::shard) fn hear(&mut self, key: Key, part: Range<usize>) -> Option<Result<(), CloseReason>> {
        let mut input = std::mem::take(&mut self.input);
        let answer = self.with_session(key, |session, handler, cx| {
            (session.receive(&mut input[part.clone()], handler, cx), cx.in_place.take())
        });
        if let Some((_, Some(in_place))) = &answer {
            self.write_in_place(key, &mut input[part], in_place);
        }
        self.input = input;
        answer.map(|(outcome, _)| outcome)
    }

    /// Updates deadlines and counters of a connection that may have left its first phases. `was_idle`: no request had
    /// begun.
    pub(in crate::shard) fn after_progress(&mut self, key: Key, was: Phase, was_idle: bool) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let phase = conn.session.phase();
        if phase.is_request() {
            return self.after_request(key, was, was_idle);
        }
        let (kind, deflates) = (conn.session.kind(), conn.session.deflate().is_on());
        if was.is_request() {
            self.counters.handshakes.add(1);
            self.counters.deflate_handshakes.add(u64::from(deflates));
            self.count_as(key, kind.map_or(CountedAs::Nothing, CountedAs::Session));
        }
        if !phase.is_identifying() {
            self.start_heartbeat(key);
        } else if was.is_request() {
            self.set_due(key, self.timeouts.connect_ms);
        }
    }

    /// Updates the budget for incomplete messages, and pauses reading for a session that can take no more; if its client's end
    /// is in the input, the client has left. An ended connection has released its part; a stored part of a record stays until
    /// the connection is freed.
    #[inline]
    pub(in crate::shard) fn count_held(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| conn.stage == Stage::Open) else { return };
        conn.is_read_paused |= conn.socket.is_some() && conn.session.is_full();
        let below = conn.layers.as_ref().map_or(0, |layers| layers.held_bytes());
        let waiting = conn.client.as_ref().map_or(0, |client| client.waiting_bytes);
        let held = u32::try_from(conn.session.held_bytes() + below + waiting).unwrap_or(u32::MAX);
        let leaves = conn.is_read_closed && conn.is_read_paused && conn.session.is_full();
        if held == conn.held_bytes {
            if leaves {
                self.leave(key);
            }
            return;
        }
        self.counters.partial_bytes.add(u64::from(held));
        self.counters.partial_bytes.sub(u64::from(conn.held_bytes));
        self.budget.charge(held as usize);
        self.budget.release(conn.held_bytes as usize);
        let was_whole = std::mem::replace(&mut conn.held_bytes, held) == 0;
        // The rest of an incomplete message has a deadline. Waiting commands are held, too, and may be before or
        // after it.
        let is_partial =
            waiting > 0 && self.conns.entry(key).is_some_and(|conn| self.message_due_ms(conn).is_some());
        if was_whole || is_partial {
            self.arm(key);
        }
        if leaves {
            self.leave(key);
        }
        if held > 0 && self.budget.is_exhausted() {
            self.end(key, CloseReason::Budget);
        }
    }

    /// The client of an ended connection sends nothing more.
    pub(in crate::shard) fn on_end(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        match conn.stage {
            Stage::LastWords | Stage::Linger if conn.outbox.is_some() => conn.stage = Stage::LastWords,
            Stage::LastWords | Stage::Linger | Stage::Discard | Stage::Shed => self.grave(key),
            Stage::Open | Stage::Buried => {}
        }
    }
}
