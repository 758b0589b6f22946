//! Key schedules of active connections. A cipher computes a schedule of half a kilobyte from its key, which costs
//! half as much as a small record: too much for each message, too large to be kept for each connection. So a shard
//! keeps those of the connections that sent most recently.
//!
//! Only a connection that sends gets a place: a broadcast to very many connections, each of which gets one record,
//! must not displace the active ones.

use ring::aead::LessSafeKey;

use super::Fault;
use super::keys::Keys;

/// Number of places, a power of two: 1.1 KiB each.
const PLACES: usize = 512;

/// The cipher schedules of active connections. One per shard.
#[derive(Default)]
pub struct Schedules {
    /// Allocated when the first connection sends; the place of a connection follows from its number.
    places: Vec<Option<Box<Place>>>,
    /// The schedule for connections without a place.
    spare: Option<LessSafeKey>,
}

struct Place {
    id: u64,
    receiving: LessSafeKey,
    sending: Option<LessSafeKey>,
}

impl std::fmt::Debug for Schedules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedules")
    }
}

impl Schedules {
    /// The place of a connection, whichever connection occupies it.
    fn place(&mut self, id: u64) -> &mut Option<Box<Place>> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are the place")]
        let place = id as usize % PLACES;
        &mut self.places[place]
    }

    /// The schedule that opens the records of connection number `id`; from here on it has a place.
    pub(super) fn opener(&mut self, id: u64, keys: &Keys) -> Result<&LessSafeKey, Fault> {
        let place = self.place(id);
        if place.as_ref().is_none_or(|place| place.id != id) {
            *place = Some(Box::new(Place { id, receiving: keys.schedule()?, sending: None }));
        }
        place.as_ref().map(|place| &place.receiving).ok_or(Fault::Broken)
    }

    /// The schedule that seals the records of connection number `id`.
    pub(super) fn sealer(&mut self, id: u64, keys: &Keys) -> Result<&LessSafeKey, Fault> {
        let is_known = self.place(id).as_ref().is_some_and(|place| place.id == id);
        if !is_known {
            return Ok(self.spare.insert(keys.schedule()?));
        }
        let place = self.place(id).as_mut().ok_or(Fault::Broken)?;
        match &mut place.sending {
            Some(sending) => Ok(sending),
            none @ None => Ok(none.insert(keys.schedule()?)),
        }
    }

    /// Drops the schedules of a connection whose keys changed, or that is over.
    pub fn forget(&mut self, id: u64) {
        let place = self.place(id);
        if place.as_ref().is_some_and(|place| place.id == id) {
            *place = None;
        }
    }
}
