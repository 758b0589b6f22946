//! How much of what was sent to a socket its client is known to have: for recovery.
//!
//! A ping follows everything that was sent before it, and clients answer it in order. So its answer proves that all of it
//! has arrived; until then the socket keeps what was sent to it alone. An idle socket keeps nothing but two numbers.

use crate::hub::away::Directs;
use crate::hub::away::{Direct, half};
use crate::hub::socket_place::SocketPlace;

/// The part of a socket that serves its recovery.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The lower half of the home's number up to which the client has all events.
    proved: u32,
    /// The lower half of that number when the ping was sent whose answer proves it.
    at_ping: u32,
    rare: Option<Box<Rare>>,
}

/// The rarely used part.
#[derive(Debug, Default)]
struct Rare {
    /// The first place of a socket that has returned.
    origin: Option<SocketPlace>,
    directs: Directs,
}

impl Track {
    /// Of a socket that has returned.
    pub(super) fn of(origin: SocketPlace, proved: u32, directs: Directs) -> Self {
        Self { proved, at_ping: proved, rare: Some(Box::new(Rare { origin: Some(origin), directs })) }
    }

    /// Of a socket to which nothing was sent alone that its client may not have.
    pub(super) fn idle(proved: u32, origin: Option<SocketPlace>) -> Self {
        let rare = origin.map(|origin| Box::new(Rare { origin: Some(origin), directs: Directs::default() }));
        Self { proved, at_ping: proved, rare }
    }

    /// Whether nothing was sent to the socket alone that its client may not have.
    pub(super) fn is_idle(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.directs.is_empty())
    }

    /// The parts of a socket that is idle, from which [`Track::idle`] makes it again.
    pub(super) fn into_idle(self) -> (u32, Option<SocketPlace>) {
        (self.proved, self.rare.and_then(|rare| rare.origin))
    }

    /// Begins at the home's number.
    pub(super) fn begin(&mut self, seq: u64) {
        self.proved = half(seq);
    }

    /// The first place of a socket that has returned.
    pub(super) fn origin(&self) -> Option<SocketPlace> {
        self.rare.as_ref()?.origin
    }

    /// Keeps an event that was sent to the socket alone.
    pub(super) fn keep(&mut self, direct: Direct, bytes_max: usize) {
        self.rare.get_or_insert_default().directs.push(direct, bytes_max);
    }

    /// Records a ping, behind everything up to the home's number.
    pub(super) fn mark(&mut self, seq: u64) {
        self.at_ping = half(seq);
        if let Some(rare) = &mut self.rare {
            rare.directs.mark();
        }
    }

    /// Records the answer to that ping.
    pub(super) fn prove(&mut self) {
        self.proved = self.at_ping;
        let Some(rare) = &mut self.rare else { return };
        rare.directs.prove();
        if rare.origin.is_none() && rare.directs.is_empty() {
            self.rare = None;
        }
    }

    /// Bytes that it holds beside its own size.
    pub(super) fn held_bytes(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| size_of::<Rare>() + rare.directs.bytes())
    }

    /// The number up to which the client has all events, and those for the socket alone that it may not have.
    pub(super) fn into_parts(self) -> (u32, Directs) {
        (self.proved, self.rare.map(|rare| rare.directs).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::DataKind;
    use crate::hub::offset::Offset;

    #[test]
    fn an_idle_socket_keeps_two_numbers() {
        assert_eq!(size_of::<Track>(), 16);
        let mut track = Track::default();
        track.begin(5);
        let offset = Offset { seq: 5, direct: Some(1) };
        track.keep(Direct { offset, kind: DataKind::Text, data: vec![1; 100].into() }, 1000);
        assert!(track.held_bytes() > 100);
        track.mark(9);
        track.prove();
        assert_eq!(track.held_bytes(), 0);
        assert_eq!(track.into_parts().0, 9);
    }
}
