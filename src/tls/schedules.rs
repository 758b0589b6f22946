//! Key schedules of the connections that talk. A cipher computes from its key a schedule of half a kilobyte, which costs
//! as much as half a small record does: too much to do it for each message, too large to be kept for each connection.
//! So a shard keeps those of the connections that it heard from last.
//!
//! Only who is heard gets a place: a broadcast to very many, each of whom gets one record, must not push out those that
//! speak.

use ring::aead::LessSafeKey;

use super::Fault;
use super::keys::Keys;

/// Connections whose schedules are kept, a power of two: 1.1 KiB each.
const PLACES: usize = 512;

/// The cipher schedules of the connections that talk. One per shard.
#[derive(Default)]
pub struct Schedules {
    /// Made when the first connection speaks; the place of a connection follows from its number.
    places: Vec<Option<Box<Place>>>,
    /// The schedule for whoever has no place.
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
    /// The place of a connection, whoever has it now.
    fn place(&mut self, id: u64) -> &mut Option<Box<Place>> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are the place")]
        let place = id as usize % PLACES;
        &mut self.places[place]
    }

    /// What opens the records of the connection number `id`; from here on it has a place.
    pub(super) fn opener(&mut self, id: u64, keys: &Keys) -> Result<&LessSafeKey, Fault> {
        let place = self.place(id);
        if place.as_ref().is_none_or(|place| place.id != id) {
            *place = Some(Box::new(Place { id, receiving: keys.schedule()?, sending: None }));
        }
        place.as_ref().map(|place| &place.receiving).ok_or(Fault::Broken)
    }

    /// What seals the records of the connection number `id`.
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

    /// The keys of a connection changed, or it is over.
    pub fn forget(&mut self, id: u64) {
        let place = self.place(id);
        if place.as_ref().is_some_and(|place| place.id == id) {
            *place = None;
        }
    }
}
