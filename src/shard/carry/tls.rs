//! Connections with TLS: received records become plaintext in the shard's input, output is sealed when it is written.
//! Outboxes contain plaintext, which subscribers share; only sealed data without room stays sealed, at most one
//! batch.

use std::io::IoSlice;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::Carry;
use super::conn::Stage;
use crate::base::outbox::Outbox;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::CloseReason;
use crate::shard::World;
use crate::tls::{Fault, Hot, Opened, Received, Schedules, identity};

/// Maximum size of a batch that is sealed at once: data without room is kept sealed, separately for each connection.
const BATCH_BYTES_MAX: usize = 32 << 10;
/// Maximum size of a batch for a connection that had no room before.
const SLOW_BATCH_BYTES_MAX: usize = 16 << 10;
/// Maximum capacity that the scratch buffer for records keeps.
const RECORD_BYTES_KEPT: usize = 256 << 10;

fn hot(schedules: &mut Schedules, key: Key) -> Hot<'_> {
    Hot { schedules, id: key.to_token() }
}

/// Input of a connection with layers.
#[derive(Debug)]
pub(in crate::shard) enum Arrived {
    /// Bytes for the session: there is no TLS.
    Plain,
    /// Opened records: the part of the input with data for the session, and whether they end with a close alert.
    Records { plain: Range<usize>, is_end: bool },
    /// Data that is not TLS, or a failure.
    Broken { reason: CloseReason, was_fresh: bool },
}

impl<W: World> Carry<W> {
    /// Opens the records in the first `count` bytes of the input.
    pub(in crate::shard) fn open(&mut self, key: Key, count: usize) -> Option<Arrived> {
        self.claim_wire(key);
        let conn = self.conns.entry_mut(key)?;
        let Some(tls) = conn.tls_mut() else { return Some(Arrived::Plain) };
        let was_fresh = tls.is_fresh();
        let outcome = tls.receive(hot(&mut self.schedules, key), &mut self.input[..count], &mut self.records);
        match outcome {
            Ok(Received { plain, consumed, opened, is_end }) => {
                let rest = &self.input[consumed..count];
                tls.hold(rest);
                let (bytes, now) = (rest.len(), self.beat_now());
                if let Some(layers) = self.conns.entry_mut(key).and_then(|conn| conn.layers.as_mut()) {
                    layers.note_rest(bytes, consumed > 0, now);
                }
                self.before_records(key, opened, plain.is_empty());
                Some(Arrived::Records { plain, is_end })
            }
            Err(fault) => {
                self.write_wire(key);
                tracing::debug!(%fault, "a connection's TLS ended");
                // If the peer gave up, it sent the last alert.
                let is_peers = matches!(fault, Fault::Alert(_) | Fault::Closed);
                let reason = if is_peers { CloseReason::Transport } else { CloseReason::Tls };
                Some(Arrived::Broken { reason, was_fresh })
            }
        }
    }

    /// Handles opened records before their data goes to the session.
    fn before_records(&mut self, key: Key, opened: Option<Opened>, is_silent: bool) {
        if let Some(opened) = opened {
            self.on_opened(key, &opened);
        }
        if is_silent {
            self.write_wire(key);
            self.count_held(key);
        } else {
            // A ticket and the answer to a request after it are sent together.
            self.records_wait = (!self.records.is_empty()).then_some(key);
        }
    }

    /// Called after the session has processed the records' data.
    pub(in crate::shard) fn after_records(&mut self) {
        self.release_wire();
    }

    /// Prepares sealing for `key`: waiting records of another connection in `records` are written, its own stay.
    fn claim_wire(&mut self, key: Key) {
        if self.records_wait.is_some_and(|owner| owner != key) {
            self.release_wire();
        }
    }

    /// Writes records that waited for further output.
    fn release_wire(&mut self) {
        if let Some(owner) = self.records_wait.take() {
            self.write_wire(owner);
        }
    }

    /// Answers a close alert, unless the connection has more to send.
    pub(in crate::shard) fn answer_goodbye(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| conn.stage == Stage::Open) else { return };
        if let Some(tls) = conn.tls_mut() {
            tls.say_goodbye(hot(&mut self.schedules, key), &mut self.records);
            self.write_wire(key);
        }
    }

    /// Stores the first `count` bytes of the input, the beginning of a record or of a PROXY header.
    pub(in crate::shard) fn hold(&mut self, key: Key, count: usize) {
        if let Some(layers) = self.conns.entry_mut(key).and_then(|conn| conn.layers.as_mut()) {
            layers.hold(&self.input[..count]);
        }
    }

    fn on_opened(&mut self, key: Key, opened: &Opened) {
        self.counters.tls_handshakes.add(1);
        self.counters.tls_resumptions.add(u64::from(opened.is_resumed));
        let Some(identity) = opened.certificate.as_ref().and_then(identity) else { return };
        if let Some(layers) = self.conns.entry_mut(key).and_then(|conn| conn.layers.as_mut()) {
            layers.origin.get_or_insert_default().identity = Some(Arc::new(identity));
        }
    }

    /// Whether so many shared bytes may be sealed before it is known that there is room for them.
    pub(in crate::shard) fn may_seal_at_once(bytes: usize) -> bool {
        bytes <= BATCH_BYTES_MAX
    }

    /// Seals `bytes` and writes them. They are sent now or kept sealed: the caller is done with them.
    pub(in crate::shard) fn write_sealed(&mut self, key: Key, bytes: &[u8]) {
        self.claim_wire(key);
        let Some(tls) = self.conns.entry_mut(key).and_then(|conn| conn.tls_mut()) else { return };
        match tls.seal(hot(&mut self.schedules, key), iter::once(bytes), &mut self.records) {
            Ok(()) => {
                self.write_wire(key);
            }
            Err(fault) => self.cannot_seal(key, &fault),
        }
    }

    fn cannot_seal(&mut self, key: Key, fault: &Fault) {
        self.records_wait = None;
        self.records.clear();
        let is_open = self.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open);
        let is_worn = *fault == Fault::Worn && is_open;
        self.end(key, if is_worn { CloseReason::Worn } else { CloseReason::Transport });
    }

    /// Writes the records in `records`, after those that are queued.
    fn write_wire(&mut self, key: Key) {
        self.records_wait = None;
        if self.records.is_empty() {
            return;
        }
        let Some(conn) = self.conns.entry_mut(key) else { return self.records.clear() };
        let Some(socket) = &mut conn.socket else { return self.records.clear() };
        let mut written = 0;
        if !conn.outbox.as_ref().is_some_and(|outbox| outbox.has_sealed()) {
            let result = self.net.write(socket, &self.records);
            match self.written(key, result) {
                Some(count) => written = count,
                None => return self.records.clear(),
            }
        }
        if written < self.records.len() {
            self.keep_sealed(key, written..self.records.len());
            self.arm_writable(key);
            self.pause_reading_if_full(key);
        }
        self.records.clear();
        self.records.shrink_to(RECORD_BYTES_KEPT);
    }

    fn keep_sealed(&mut self, key: Key, rest: Range<usize>) {
        let records = Shared::new(self.records[rest].to_vec(), &self.budget);
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if conn.outbox.is_none() {
            self.counters.outboxes.add(1);
        }
        self.counters.outbox_bytes.add(records.len() as u64);
        conn.outbox.get_or_insert_default().push_sealed(records);
        self.count_queues(key);
    }

    /// One step of a flush: writes sealed data, or seals the next batch and writes it. Returns the progress, 0 if
    /// there was no room; `None` when the connection has ended.
    pub(in crate::shard) fn flush_sealed(&mut self, key: Key) -> Option<usize> {
        let conn = self.conns.entry_mut(key)?;
        let outbox = conn.outbox.as_mut()?;
        if outbox.has_sealed() {
            let mut slices = [IoSlice::new(&[]); Outbox::SLICES_MAX];
            let count = outbox.fill_sealed(&mut slices);
            let result = self.net.write_vectored(conn.socket.as_mut()?, &slices[..count]);
            let written = self.written(key, result)?;
            if let Some(outbox) = self.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) {
                outbox.consume_sealed(written);
                self.counters.outbox_bytes.sub(written as u64);
            }
            return Some(written);
        }
        self.claim_wire(key);
        let conn = self.conns.entry_mut(key)?;
        let outbox = conn.outbox.as_mut()?;
        let mut slices = [IoSlice::new(&[]); Outbox::SLICES_MAX];
        let count = outbox.fill(&mut slices);
        let tls = conn.layers.as_mut().and_then(|layers| layers.tls.as_deref_mut())?;
        let batch_bytes = if conn.is_writable_armed { SLOW_BATCH_BYTES_MAX } else { BATCH_BYTES_MAX };
        let mut left = batch_bytes;
        let batch = slices[..count].iter().map_while(|slice| {
            let piece = &slice[..slice.len().min(left)];
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        });
        if let Err(fault) = tls.seal(hot(&mut self.schedules, key), batch, &mut self.records) {
            self.cannot_seal(key, &fault);
            return None;
        }
        self.consume(key, batch_bytes - left);
        self.write_wire(key);
        let conn = self.conns.entry(key)?;
        // Data without room waits for a writable event.
        let is_stuck = conn.outbox.as_ref().is_some_and(|outbox| outbox.has_sealed());
        (conn.stage != Stage::Buried).then_some(usize::from(!is_stuck))
    }

    /// Sends the close alert before the last step of an ending. Returns whether it is queued.
    pub(in crate::shard) fn say_goodbye(&mut self, key: Key) -> bool {
        self.claim_wire(key);
        let Some(conn) = self.conns.entry_mut(key) else { return true };
        if !matches!(conn.stage, Stage::LastWords | Stage::Linger) {
            return true;
        }
        let Some(tls) = conn.tls_mut() else { return true };
        tls.say_goodbye(hot(&mut self.schedules, key), &mut self.records);
        self.write_wire(key);
        self.conns.entry(key).is_some_and(|conn| conn.outbox.is_none())
    }
}
