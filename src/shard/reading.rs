//! The input path: read, pass to the session, carry out its actions.
//!
//! Reading continues until the socket is empty (after a short read, unless the peer's end was announced) or the
//! turn's budget is used up; then the connection is listed as unread. Immediate answers of the session are written
//! before the next event: the bytes are still in the core's cache, and no outbox is needed.

use std::ops::Range;

use super::carry::conn::Stage;
use super::carry::receive::{Got, Read};
use super::carry::tls::Arrived;
use super::carry::unread::is_newcomer;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::session::{CloseReason, Phase, Session};

/// Cost of a read that is a part of a TLS handshake, in reads: a key exchange takes some 200 µs, a request 20.
const TLS_COST: usize = 4;

impl<W: World> Shard<W> {
    pub(super) fn on_readable(&mut self, key: Key, closed: bool, failed: bool) {
        let is_congested = self.is_congested;
        let carry = self.carry();
        let Some(conn) = carry.conns.entry_mut(key) else { return carry.counters.stale_ids.add(1) };
        conn.is_read_closed |= closed;
        let had_left = conn.has_left;
        if closed && conn.session.fetches_from().is_some() {
            // Nobody is there to read the answer.
            return self.channels().close(key, CloseReason::Hangup);
        }
        if conn.is_read_paused || conn.is_unread {
            if closed {
                self.clients().pause_reading_behind_commands(key);
            }
        } else if is_congested || is_newcomer(conn) {
            return carry.postpone(key);
        } else {
            self.read(key);
        }
        // A client that closed before may be gone.
        if failed && !had_left {
            self.clients().on_failure(key);
        }
    }

    /// Continues with connections that an earlier turn left with unread input. They wait while other shards are
    /// congested.
    pub(super) fn resume_unread(&mut self) {
        if self.is_congested {
            if !self.carry().unread.is_empty() {
                self.carry().counters.mailbox_pauses.add(1);
            }
            return;
        }
        for key in std::mem::take(&mut self.carry().unread) {
            let Some(conn) = self.carry().conns.entry_mut(key) else { continue };
            conn.is_unread = false;
            self.clients().resume_waiting(key);
            let Some(conn) = self.carry().conns.entry_mut(key) else { continue };
            conn.is_read_paused |= conn.session.waits_for().is_some() || conn.session.is_full();
            if !conn.is_read_paused {
                self.clients().pause_reading_behind_commands(key);
                self.read(key);
                self.carry().arm_message(key);
            }
        }
    }

    /// Reads from connections that are not live yet, the newest first, until none waits or the turn's budget is used
    /// up.
    pub(super) fn serve_newcomers(&mut self) {
        if self.is_congested || !self.carry().newcomers.are_waiting() {
            return;
        }
        let mut left = self.carry().limits.handshakes_per_turn_max;
        while left > 0 {
            let Some(key) = self.carry().newcomers.pop() else { return };
            let Some(conn) = self.carry().conns.entry_mut(key) else { continue };
            if !conn.is_unread || !is_newcomer(conn) {
                continue;
            }
            conn.is_unread = false;
            let is_paused = conn.is_read_paused;
            let (is_fresh, shakes_hands) =
                conn.tls().map_or((false, false), |tls| (tls.is_fresh(), !tls.is_open()));
            if is_fresh && let Some(reason) = self.door.turns_away() {
                self.channels().close(key, reason);
            } else if !is_paused {
                left = left.saturating_sub(if shakes_hands { TLS_COST } else { 1 });
                self.read(key);
                self.carry().arm_message(key);
            }
        }
        let carry = self.carry();
        carry.counters.newcomer_waits.add(u64::from(carry.newcomers.are_waiting()));
    }

    #[inline]
    fn read(&mut self, key: Key) {
        let mut budget = self.carry().limits.read_bytes_per_turn_max;
        while let Some(read) = self.carry().read_once(key) {
            let Read::Bytes(Got { count, fresh_count, is_all }) = read else {
                self.clients().on_end(key);
                break;
            };
            self.take(key, count);
            if is_all {
                break;
            }
            budget = budget.saturating_sub(fresh_count);
            if budget == 0 {
                self.carry().postpone(key);
                break;
            }
        }
        self.channels().finish_endings();
    }

    /// Passes the first `count` bytes of the input to their receiver.
    #[inline]
    fn take(&mut self, key: Key, count: usize) {
        match self.carry().conns.entry(key) {
            Some(conn) if conn.stage == Stage::Open => {
                if conn.layers.is_some() {
                    self.receive_layered(key, count);
                } else {
                    self.receive(key, 0..count);
                }
            }
            Some(_) | None => {}
        }
    }

    /// Processes the first `count` bytes of the input for a connection with layers.
    fn receive_layered(&mut self, key: Key, count: usize) {
        let Some(count) = self.door.take_proxy_header(key, count) else { return };
        match self.carry().open(key, count) {
            Some(Arrived::Plain) => self.receive(key, 0..count),
            Some(Arrived::Records { plain, is_end }) => {
                if !plain.is_empty() {
                    self.receive(key, plain);
                }
                self.carry().after_records();
                if is_end {
                    self.clients().on_last_record(key);
                }
            }
            Some(Arrived::Broken { reason, was_fresh }) => {
                if was_fresh {
                    self.door.note_stray_header(key, 0..count);
                }
                self.channels().close(key, reason);
            }
            None => {}
        }
    }

    /// Passes a part of the input to the session.
    #[inline]
    fn receive(&mut self, key: Key, part: Range<usize>) {
        let heard = self.carry().beat_now();
        let Some(conn) = self.carry().conns.entry_mut(key) else { return };
        conn.heard = heard;
        let (was, was_idle) = (conn.session.phase(), conn.session.is_idle());
        let was_head = was == Phase::Opening;
        if was_head && let Some(refusal) = self.door.refusal() {
            return self.channels().close(key, CloseReason::Refused(refusal));
        }
        let Some(outcome) = self.carry().hear(key, part.clone()) else { return };
        // Also for a session that ends in the same read.
        if was.is_new() || was == Phase::Asking {
            self.carry().after_progress(key, was, was_idle);
        }
        if let Err(reason) = outcome {
            if was_head {
                self.door.note_stray_header(key, part);
            }
            // The refusal of a request is the last output, also where an earlier request had a key or a session.
            let is_client = |session: &Session<_>| !session.phase().is_request() && !session.is_trusted();
            if self.carry().conns.entry(key).is_some_and(|conn| is_client(&conn.session)) {
                // Output so far goes before the output for the rest.
                self.carry().queue_out(key);
                self.channels().finish_endings();
            }
            // Commands before the end are still carried out, and answered.
            self.clients().act(key);
            return self.clients().close_behind(key, reason);
        }
        self.carry().count_held(key);
        if self.carry().actions.is_empty() {
            self.carry().write_out(key);
        } else {
            self.carry().queue_out(key);
            self.channels().finish_endings();
            self.clients().act(key);
        }
    }
}
