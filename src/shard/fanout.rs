//! Deliveries: what was published reaches this shard's subscribers.
//!
//! A batch is encoded once per wire format, when the first subscriber of that format is reached, and shared.
//! When a single channel has something to say, its bytes are written straight to each subscriber that has
//! nothing queued: no outbox, no second visit. When several have, everything is queued first, so that a
//! connection that is subscribed to many gets it in one write at the end of the turn.

use std::sync::Arc;

use super::Shard;
use crate::base::budget::Budget;
use crate::base::shared::Shared;
use crate::hub::local::Subscriber;
use crate::hub::{DataKind, Publication};
use crate::net::Net;
use crate::proto::centrifuge::reply;
use crate::proto::ws::{self, Kind, frame};
use crate::session::{Format, Handler};

/// A frame that joins several publications is ended beyond this many bytes: clients limit what they take at once.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Publications of one channel on their way to its subscribers.
#[derive(Debug)]
pub(super) struct Batch {
    publications: Vec<Arc<Publication>>,
    encoded: [Option<Shared>; Format::COUNT],
    began_us: u64,
}

impl Batch {
    fn encoded(&mut self, format: u8, budget: &Budget) -> &Shared {
        let format = Format::from_number(format);
        self.encoded[format as usize].get_or_insert_with(|| {
            let mut out = Vec::new();
            match format {
                Format::Raw => put_raw(&mut out, &self.publications),
                Format::CentrifugeJson => put_centrifuge_json(&mut out, &self.publications),
            }
            Shared::new(out, budget)
        })
    }
}

/// One frame per publication: a raw client takes frames for messages.
fn put_raw(out: &mut Vec<u8>, publications: &[Arc<Publication>]) {
    let bytes: usize = publications.iter().map(|p| p.data.len() + frame::HEADER_BYTES_MAX).sum();
    out.reserve_exact(bytes);
    for publication in publications {
        let kind = if publication.kind == DataKind::Binary { Kind::Binary } else { Kind::Text };
        ws::put_frame(out, kind, &publication.data);
    }
}

/// Pushes joined in text frames.
fn put_centrifuge_json(out: &mut Vec<u8>, publications: &[Arc<Publication>]) {
    let mut start = out.len();
    let mut data = Vec::new();
    for publication in publications {
        data.clear();
        if publication.kind != DataKind::Binary {
            reply::put_text_as_json(&mut data, &publication.data);
        } else {
            reply::put_binary_as_json(&mut data, &publication.data);
        }
        reply::put_publication(
            out,
            start,
            &publication.channel,
            &data,
            publication.info.as_ref().map(|info| &*info.client),
        );
        if out.len() - start > JOINED_BYTES_MAX {
            frame::wrap_text(out, start);
            start = out.len();
        }
    }
    frame::wrap_text(out, start);
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// Delivers what is queued, up to the turn's budget; the rest goes on in the next turn.
    pub(super) fn fan_out(&mut self) {
        let mut budget = self.limits.deliveries_per_turn_max;
        while budget > 0 {
            let Some(id) = self.local.front() else { return };
            let is_alone = self.local.queued_count() == 1;
            let mut batch = self.local.take_batch(id).unwrap_or_else(|| Batch {
                publications: self.local.begin_batch(id),
                encoded: [const { None }; Format::COUNT],
                began_us: self.now_us,
            });
            let count = batch.publications.len() as u64;
            while budget > 0
                && let Some((_, subscriber)) = self.local.next_to_serve(id)
            {
                let shared = batch.encoded(subscriber.format, &self.budget);
                self.deliver(subscriber, shared, is_alone, count);
                budget -= 1;
            }
            let began_us = batch.began_us;
            if !self.local.put_batch(id, batch) {
                self.counters.fanout_us.record(self.net.now_us().saturating_sub(began_us));
            }
            self.local.rotate();
        }
    }

    fn deliver(&mut self, subscriber: Subscriber, shared: &Shared, is_alone: bool, count: u64) {
        let Some(key) = self.conns.key_at(subscriber.conn) else { return };
        self.counters.deliveries.add(count);
        self.counters.messages_out.add(count);
        if is_alone {
            self.write_shared(key, shared);
        } else {
            self.queue_shared(key, shared.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(data: &[u8], is_text: bool) -> Arc<Publication> {
        let data = Shared::new(data.to_vec(), &Budget::new(100));
        let kind = if is_text { DataKind::Text } else { DataKind::Binary };
        Arc::new(Publication::new("c".into(), kind, data))
    }

    #[test]
    fn publications_are_joined_in_frames_of_bounded_size() {
        let big = format!("\"{}\"", "x".repeat(10_000));
        let all: Vec<_> = (0..5).map(|_| publication(big.as_bytes(), true)).collect();
        let mut out = Vec::new();
        put_centrifuge_json(&mut out, &all);
        let frames = out.windows(2).filter(|pair| *pair == [0x81, 126]).count();
        assert_eq!(frames, 3);
        let mut raw = Vec::new();
        put_raw(&mut raw, &[publication(b"a", true), publication(b"b", false)]);
        assert_eq!(raw, b"\x81\x01a\x82\x01b");
    }

    #[test]
    fn each_kind_of_data_becomes_json() {
        let mut out = Vec::new();
        put_centrifuge_json(&mut out, &[publication(b"{\"a\":1}", true), publication(&[0xff, 0], false)]);
        let text = String::from_utf8_lossy(&out[2..]);
        assert_eq!(
            text,
            "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"a\":1}}}}\n\
             {\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"/wA=\"}}}"
        );
    }
}
