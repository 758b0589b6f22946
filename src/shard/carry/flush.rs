//! Writing. Bytes go directly to the socket when nothing is queued; bytes that the socket does not accept are queued
//! in an outbox, which exists only while it is not empty. A connection with an outbox is dirty: it is in the list to
//! flush at the end of the turn, or waits for a writable event.

use std::io;
use std::io::IoSlice;
use std::ops::Range;

use super::Carry;
use super::conn::Stage;
use crate::base::outbox::{Outbox, Push};
use crate::base::segment::{Gathered, Segment};
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::net::Net;
use crate::proto::ws::frame;
use crate::proto::ws::press::Tally;
use crate::session::{CloseReason, InPlace};
use crate::shard::World;

impl<W: World> Carry<W> {
    /// Writes the bytes in `out`, or queues them if others are queued.
    #[inline]
    pub(in crate::shard) fn write_out(&mut self, key: Key) {
        if self.out.is_empty() {
            return;
        }
        let Some(conn) = self.conns.entry_mut(key) else { return self.clear_out() };
        if conn.outbox.is_some() || conn.is_corked || !self.apart.is_empty() {
            return self.queue_out(key);
        }
        if conn.tls().is_some() {
            let out = std::mem::take(&mut self.out);
            self.write_sealed(key, &out);
            self.out = out;
            return self.clear_out();
        }
        let Some(socket) = &mut conn.socket else { return self.queue_out(key) };
        let result = self.net.write(socket, &self.out);
        let Some(written) = self.written(key, result) else { return self.clear_out() };
        if written < self.out.len() {
            // The whole message is queued, so that the outbox knows that its first frame is partly sent and may not
            // be cut.
            self.queue_out(key);
            self.consume(key, written);
            self.arm_writable(key);
            self.pause_reading_if_full(key);
        } else {
            self.clear_out();
        }
    }

    /// Writes a message of the input back from its place in the buffer, with a header before it; it goes before the
    /// bytes in `out`.
    pub(in crate::shard) fn write_in_place(&mut self, key: Key, input: &mut [u8], in_place: &InPlace) {
        let Range { start, end } = in_place.payload;
        let waiting = self.out.len();
        frame::put_data_header(&mut self.out, in_place.kind, end - start);
        let header = &self.out[waiting..];
        let start = start - header.len();
        input[start..start + header.len()].copy_from_slice(header);
        self.out.truncate(waiting);
        let bytes = &input[start..end];
        let Some(conn) = self.conns.entry_mut(key) else { return };
        // Other output or actions follow: the usual way keeps the order.
        if conn.outbox.is_some() || !self.out.is_empty() || !self.actions.is_empty() {
            self.out.splice(0..0, bytes.iter().copied());
            return;
        }
        if conn.tls().is_some() {
            return self.write_sealed(key, bytes);
        }
        let Some(socket) = &mut conn.socket else { return };
        let result = self.net.write(socket, bytes);
        let Some(written) = self.written(key, result) else { return };
        if written < bytes.len() {
            // The whole message is queued, so that the outbox knows that its first frame is partly sent and may not
            // be cut.
            self.out.extend_from_slice(bytes);
            self.queue_out(key);
            self.consume(key, written);
            self.arm_writable(key);
            self.pause_reading_if_full(key);
        }
    }

    /// Queues the bytes in `out`: they answer the client's own commands, whose number is limited, so the outbox limit
    /// does not apply.
    pub(in crate::shard) fn queue_out(&mut self, key: Key) {
        if self.out.is_empty() {
            return;
        }
        let answer = self.take_out();
        self.push(key, answer, None);
        self.pause_reading_if_full(key);
    }

    /// Takes the bytes in `out`, with the shared parts between them.
    pub(in crate::shard) fn take_out(&mut self) -> Segment {
        let bytes = if self.out.len() > crate::shard::OUT_BYTES_KEPT {
            // A large buffer is not copied: memory may be short.
            let mut bytes = std::mem::take(&mut self.out);
            bytes.shrink_to_fit();
            bytes
        } else {
            self.out.clone()
        };
        let own = Shared::new(bytes, &self.budget);
        let apart = std::mem::take(&mut self.apart);
        self.clear_out();
        if apart.is_empty() {
            return own.into();
        }
        let lent = apart.iter().map(|one| (one.at, one.data.lend(&self.budget)));
        Segment::Gathered(Box::new(Gathered::new(own, lent)))
    }

    /// Queues unsolicited bytes in `out`: the limit of the outbox applies, as to publications.
    pub(in crate::shard) fn queue_out_unasked(&mut self, key: Key) {
        if !self.out.is_empty() {
            let segment = self.take_out();
            self.queue_shared(key, segment);
        }
    }

    pub(in crate::shard) fn clear_out(&mut self) {
        self.out.clear();
        self.apart.clear();
        self.out.shrink_to(crate::shard::OUT_BYTES_KEPT);
    }

    /// Writes shared bytes, or queues them if others are queued.
    #[inline]
    pub(in crate::shard) fn write_shared(&mut self, key: Key, shared: &Shared) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.outbox.is_some() || conn.is_corked {
            return self.queue_shared(key, shared.clone());
        }
        if conn.tls().is_some() {
            // Large shared bytes are not sealed for each connection separately before there is room: until then all
            // share them.
            return match Self::may_seal_at_once(shared.len()) {
                true => self.write_sealed(key, shared),
                false => self.queue_shared(key, shared.clone()),
            };
        }
        let Some(socket) = &mut conn.socket else { return self.queue_shared(key, shared.clone()) };
        let result = self.net.write(socket, shared);
        let Some(written) = self.written(key, result) else { return };
        if written < shared.len() {
            self.queue_shared(key, shared.clone());
            self.consume(key, written);
            self.arm_writable(key);
        }
    }

    /// Queues shared bytes; a consumer with too many queued bytes is disconnected.
    pub(in crate::shard) fn queue_shared(&mut self, key: Key, segment: impl Into<Segment>) {
        let segment = segment.into();
        let bytes_max = self.limits.outbox_bytes_max;
        let is_full = |outbox: &Outbox| outbox.is_full_for(segment.len(), bytes_max);
        if self.conns.entry(key).and_then(|conn| conn.outbox.as_deref()).is_some_and(is_full) {
            // Data is offered to the socket before its client counts as slow: several channels may deliver in one
            // turn.
            self.flush(key);
            if self.conns.entry(key).is_none_or(|conn| conn.stage != Stage::Open) {
                return;
            }
        }
        self.push(key, segment, Some(bytes_max));
    }

    /// Queues a segment: an answer, or, with `bytes_max`, unsolicited data with that limit for the outbox.
    #[inline]
    fn push(&mut self, key: Key, segment: Segment, bytes_max: Option<usize>) {
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| !conn.has_left) else { return };
        if conn.outbox.is_none() {
            self.counters.outboxes.add(1);
        }
        let length = segment.len() as u64;
        let outbox = conn.outbox.get_or_insert_default();
        let push = match bytes_max {
            Some(bytes_max) => outbox.push(segment, bytes_max),
            None => {
                outbox.push_answer(segment);
                Push::Queued
            }
        };
        match push {
            Push::Queued => {
                self.counters.outbox_bytes.add(length);
                self.count_queues(key);
                self.mark_dirty(key);
            }
            Push::Full => self.end(key, CloseReason::Slow),
        }
    }

    pub(in crate::shard) fn mark_dirty(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if !conn.is_dirty {
            conn.is_dirty = true;
            self.dirty.push(key);
        }
    }

    pub(in crate::shard) fn consume(&mut self, key: Key, written: usize) {
        let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) else { return };
        outbox.consume(written);
        self.counters.outbox_bytes.sub(written as u64);
    }

    /// Drops a connection's outbox with its content.
    pub(in crate::shard) fn drop_outbox(&mut self, key: Key) {
        let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.take()) else { return };
        self.counters.outboxes.sub(1);
        self.counters.outbox_bytes.sub(outbox.bytes() as u64);
        self.counters.outbox_queue_bytes.sub(outbox.counted_bytes as u64);
    }

    /// Updates the count of the cost of the outbox's queues.
    pub(in crate::shard) fn count_queues(&mut self, key: Key) {
        let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) else { return };
        let bytes = outbox.queue_bytes();
        let before = std::mem::replace(&mut outbox.counted_bytes, bytes);
        if bytes != before {
            self.counters.outbox_queue_bytes.add(bytes as u64);
            self.counters.outbox_queue_bytes.sub(before as u64);
        }
    }

    /// The result of a write: the number of bytes, 0 if there was no room; `None` when the connection has ended.
    #[inline]
    pub(in crate::shard) fn written(&mut self, key: Key, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(written) => {
                self.counters.bytes_out.add(written as u64);
                Some(written)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Some(0)
            }
            Err(_) => {
                self.end(key, CloseReason::Transport);
                None
            }
        }
    }

    /// Enables writable events; they stay enabled, which costs nothing while there is room.
    pub(in crate::shard) fn arm_writable(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if let Some(socket) = conn.socket.as_mut().filter(|_| !conn.is_writable_armed) {
            conn.is_writable_armed = true;
            if self.net.arm_writable(socket, key.to_token()).is_err() {
                self.end(key, CloseReason::Transport);
            }
        }
    }

    /// Backpressure: nothing more is read from a client that does not read its answers. Only the flush that empties
    /// the outbox ends the pause: there may be input without another readable event.
    pub(in crate::shard) fn pause_reading_if_full(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.is_read_paused |= conn.waits_for_room(self.limits.outbox_bytes_max);
    }

    pub(in crate::shard) fn on_writable(&mut self, key: Key) {
        match self.conns.entry(key) {
            Some(conn) if conn.outbox.is_some() => self.flush(key),
            Some(_) => {}
            None => self.counters.stale_ids.add(1),
        }
    }

    #[inline]
    pub(in crate::shard) fn flush_dirty(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            let Some(conn) = self.conns.entry_mut(key) else { continue };
            conn.is_dirty = false;
            self.flush(key);
        }
        // Flushing may have closed connections, which have last bytes to send.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Writes the outbox until it is empty or there is no room.
    pub(in crate::shard) fn flush(&mut self, key: Key) {
        let heard = self.beat_now();
        loop {
            let Some(conn) = self.conns.entry_mut(key) else { return };
            if conn.is_corked {
                return;
            }
            if conn.socket.is_none() {
                return self.answer_poll(key);
            }
            let is_secure = conn.tls().is_some();
            let Some(outbox) = conn.outbox.as_ref().filter(|outbox| !outbox.is_empty()) else { break };
            if is_secure {
                match self.flush_sealed(key) {
                    Some(0) => return self.wait_for_room(key),
                    Some(_) => {
                        self.note_heard(key, heard);
                        continue;
                    }
                    None => return,
                }
            }
            let Some(socket) = &mut conn.socket else { return };
            let mut slices = [IoSlice::new(&[]); Outbox::SLICES_MAX];
            let count = outbox.fill(&mut slices);
            let result = match count {
                1 => self.net.write(socket, &slices[0]),
                _ => self.net.write_vectored(socket, &slices[..count]),
            };
            match self.written(key, result) {
                None => return,
                Some(0) => return self.wait_for_room(key),
                Some(written) => {
                    self.consume(key, written);
                    self.note_heard(key, heard);
                }
            }
        }
        self.drop_outbox(key);
        self.on_flushed(key);
    }

    /// A client that reads is alive, even if its pong has not arrived.
    fn note_heard(&mut self, key: Key, heard: u32) {
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.heard = heard;
        }
    }

    /// Waits for a writable event, unless memory is short.
    fn wait_for_room(&mut self, key: Key) {
        self.arm_writable(key);
        if self.budget.is_exhausted() {
            self.end(key, CloseReason::Budget);
        }
    }

    /// The outbox is empty: continues with what waited for that.
    pub(in crate::shard) fn on_flushed(&mut self, key: Key) {
        if !self.say_goodbye(key) {
            return;
        }
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let waits = conn.client.as_ref().is_some_and(|client| !client.waiting.is_empty());
        match conn.stage {
            Stage::Open if conn.is_read_paused || waits => {
                let was_paused = std::mem::take(&mut conn.is_read_paused);
                if !conn.is_unread {
                    conn.is_unread = true;
                    self.unread.push(key);
                }
                if was_paused && waits {
                    self.restart_message(key);
                }
            }
            Stage::LastWords => self.grave(key),
            Stage::Linger => {
                conn.stage = Stage::Discard;
                // The remaining input must be read now: the client's end, which is awaited, comes after it.
                conn.is_read_paused = false;
                let is_told =
                    conn.socket.as_mut().is_some_and(|socket| self.net.shutdown_write(socket).is_ok());
                if !is_told {
                    return self.grave(key);
                }
                if !conn.is_unread {
                    conn.is_unread = true;
                    self.unread.push(key);
                }
                self.await_goodbye(key);
            }
            Stage::Open | Stage::Discard | Stage::Shed | Stage::Buried => {}
        }
    }

    #[inline]
    pub(in crate::shard) fn count_pressed(&mut self) {
        let tally = self.press.take_tally();
        if tally == Tally::default() {
            return;
        }
        let Tally { plain_bytes, packed_bytes, inflated_bytes } = tally;
        self.counters.deflate_plain_bytes.add(plain_bytes);
        self.counters.deflate_packed_bytes.add(packed_bytes);
        self.counters.inflated_bytes.add(inflated_bytes);
    }
}
