//! Pongs to a client's pings, a bounded number of them for each read.
//!
//! RFC 6455 §5.5.3 lets an endpoint answer only the most recent of several pings. Each ping is answered, up to a
//! limit per read; of the rest, the last. So a flood of pings causes no flood of pongs.

use super::Context;
use crate::proto::ws::frame;

/// Maximum of pings of one read that are answered each.
pub(super) const PONGS_PER_READ_MAX: usize = 32;

/// The count of answered pings. One per read.
#[derive(Debug, Default)]
pub(super) struct Pongs {
    count: usize,
    /// The payload of the last unanswered ping.
    last: Option<Vec<u8>>,
}

impl Pongs {
    /// Handles a ping with this payload.
    pub(super) fn answer(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        self.count += 1;
        if self.count <= PONGS_PER_READ_MAX {
            return frame::put_pong(cx.out, payload);
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(payload);
    }

    /// Answers the last ping, at the end of the read.
    pub(super) fn finish(self, cx: &mut Context<'_>) {
        let Some(last) = self.last else { return };
        frame::put_pong(cx.out, &last);
        cx.counts.pings_unanswered += (self.count - PONGS_PER_READ_MAX - 1) as u64;
    }
}
