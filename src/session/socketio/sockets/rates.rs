//! The rates of one connection's packets. A packet has no error for an answer: beyond a rate the connection ends, and its
//! client comes back.

use super::*;
use crate::base::bucket::Bucket;
use crate::session::PacketRates;

/// The token buckets of a connection's rates.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    all: Bucket,
    connects: Bucket,
    events: Bucket,
    calls: Bucket,
    answers: Bucket,
}

/// Counts a packet that has no effect.
pub(super) fn ignore(why: EventRefusal, cx: &Context<'_>) -> Result<(), CloseReason> {
    cx.told.events_refused[why.place()].add(1);
    Ok(())
}

impl<S> Sockets<S> {
    /// Counts a packet.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn count(&mut self, body: &PacketBody<'_>, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let Some(rates) = cx.settings.packet_rates else { return Ok(()) };
        let PacketRates { all, connects, events, calls, answers } = rates;
        let buckets = self.waiting.get_or_insert_default().buckets.get_or_insert_default();
        let (bucket, rate) = match body {
            PacketBody::Connect { .. } => (&mut buckets.connects, connects),
            PacketBody::Event(SocketEvent { id: None, .. }) => (&mut buckets.events, events),
            PacketBody::Event(_) => (&mut buckets.calls, calls),
            PacketBody::Ack { .. } => (&mut buckets.answers, answers),
            PacketBody::Disconnect | PacketBody::ConnectError(_) => return Ok(()),
        };
        let is_within = [(&mut buckets.all, all), (bucket, rate)]
            .into_iter()
            .all(|(bucket, rate)| rate == 0 || bucket.take(cx.now_ms, rate, rate));
        if is_within {
            return Ok(());
        }
        cx.counts.limited_packets += 1;
        Err(CloseReason::Dismissed(Dismissed::TooMany))
    }
}
