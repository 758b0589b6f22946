//! From readable to done: read, let the session speak, carry out what it asks.
//!
//! Reading goes on until the socket is empty (a short read says so, unless the peer's end was announced) or the
//! turn's budget is used up; then the connection is remembered as unread. What the session answers at once is
//! written before the next event: the bytes are still in the core's cache, and an outbox need not exist.

use std::ops::Range;

use super::carry::conn::Stage;
use super::carry::receive::Got;
use super::carry::tls::Arrived;
use super::carry::unread::is_newcomer;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::session::{CloseReason, Phase};

/// What a read counts for that is a part of a TLS handshake: a key exchange takes some 200 µs, a request 20.
const TLS_COST: usize = 4;

impl<W: World> Shard<W> {
    pub(super) fn on_readable(&mut self, key: Key, closed: bool) {
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
    pub(super) fn resume_unread(&mut self) {
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

    /// Reads from newcomers, the newest first, until none waits or the turn's budget is used up.
    pub(super) fn serve_newcomers(&mut self) {
        if self.is_congested || !self.newcomers.are_waiting() {
            return;
        }
        let mut left = self.limits.handshakes_per_turn_max;
        while left > 0 {
            let Some(key) = self.newcomers.pop() else { return };
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            if !conn.is_unread || !is_newcomer(conn) {
                continue;
            }
            conn.is_unread = false;
            let is_paused = conn.is_read_paused;
            let (is_fresh, shakes_hands) =
                conn.tls().map_or((false, false), |tls| (tls.is_fresh(), !tls.is_open()));
            if is_fresh && let Some(reason) = self.turns_away() {
                self.close(key, reason);
            } else if !is_paused {
                left = left.saturating_sub(if shakes_hands { TLS_COST } else { 1 });
                self.read(key);
            }
        }
        self.counters.newcomer_waits.add(u64::from(self.newcomers.are_waiting()));
    }

    fn read(&mut self, key: Key) {
        let mut budget = self.limits.read_bytes_per_turn_max;
        while let Some(Got { count, fresh_count, is_all }) = self.read_once(key) {
            self.take(key, count);
            if is_all {
                break;
            }
            budget = budget.saturating_sub(fresh_count);
            if budget == 0 {
                self.postpone(key);
                break;
            }
        }
        self.finish_endings();
    }

    /// Gives the first `count` bytes of the input to whom they are for.
    #[inline]
    fn take(&mut self, key: Key, count: usize) {
        match self.conns.entry(key) {
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

    /// Takes the first `count` bytes of the input for a connection that has something between socket and session.
    fn receive_layered(&mut self, key: Key, count: usize) {
        let Some(count) = self.take_proxy_header(key, count) else { return };
        match self.open(key, count) {
            Some(Arrived::Plain) => self.receive(key, 0..count),
            Some(Arrived::Records { plain, is_end }) => {
                if !plain.is_empty() {
                    self.receive(key, plain);
                }
                self.after_records(key, is_end);
            }
            Some(Arrived::Broken { reason, was_fresh }) => {
                if was_fresh {
                    self.note_stray_header(key, 0..count);
                }
                self.close(key, reason);
            }
            None => {}
        }
    }

    /// Gives a part of the input to the session.
    fn receive(&mut self, key: Key, part: Range<usize>) {
        let heard = self.beat_now();
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.heard = heard;
        let was = conn.session.phase();
        let was_head = was == Phase::Opening;
        if was_head && let Some(refusal) = self.refusal() {
            return self.close(key, CloseReason::Refused(refusal));
        }
        let Some(outcome) = self.hear(key, part.clone()) else { return };
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
            self.finish_endings();
            self.act(key);
        }
    }
}
