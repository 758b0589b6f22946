//! The places of sockets, sealed into their public ids: 20 characters, as the reference's.
//!
//! An id names the place of its socket, so that no table of ids is needed: the connection and the socket's number in it. The
//! place is sealed ([`crate::base::sealed`]) behind 32 bits of proof, so the id of another process, or any other text, names
//! no place here. Whoever guesses an id gains nothing: it is public, and no secret of the session. Sockets of Engine.IO 3 in
//! the root have the id of their session ([`seal_session`]).

use std::sync::Arc;

use super::emission::{group_of, is_private};
use crate::base::sealed::{SEALED_LENGTH, open, seal};
use crate::base::seed::{Purpose, Seed};

/// Characters of an id.
pub(crate) const ID_LENGTH: usize = SEALED_LENGTH;
/// Number of the socket of a client of Engine.IO 3 in the root, and of no other: its id is that of the session.
pub(crate) const ROOT_OF_SESSION: u8 = u8::MAX;
/// Bytes of a place; the rest of an id proves it.
const PLACE_BYTES: usize = 11;
/// Bytes of the place of a session.
const SESSION_BYTES: usize = 10;
/// Purposes of the hashes in ids of sockets.
const OF_SOCKETS: (Purpose, Purpose) = (Purpose::Socket, Purpose::SocketMask);
/// Purposes of the hashes in ids of sessions.
const OF_SESSIONS: (Purpose, Purpose) = (Purpose::ShortSession, Purpose::ShortSessionMask);

/// The id of a session of Engine.IO 3, and of its socket in the root: 40 bits of proof and the connection's place. Unlike
/// the ids of other sockets it is a secret while the session is polled.
pub(crate) fn seal_session(seed: Seed, shard: u16, conn: u64) -> [u8; ID_LENGTH] {
    let mut place = [0; SESSION_BYTES];
    place[..8].copy_from_slice(&conn.to_le_bytes());
    place[8..].copy_from_slice(&shard.to_le_bytes());
    seal(seed, OF_SESSIONS, &place)
}

/// Shard and token of the connection whose session has this id; `None` for any other text.
pub(crate) fn open_session(seed: Seed, id: &str) -> Option<(u16, u64)> {
    let place: [u8; SESSION_BYTES] = open(seed, OF_SESSIONS, id)?;
    let (conn, rest) = place.split_first_chunk::<8>()?;
    let (shard, _) = rest.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*shard), u64::from_le_bytes(*conn)))
}

/// The place of a socket in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketPlace {
    /// The connection's shard.
    pub(crate) shard: u16,
    /// The connection's token in its shard.
    pub(crate) conn: u64,
    /// The socket's number in its connection.
    pub(crate) number: u8,
}

impl SocketPlace {
    /// The id of the socket at this place.
    pub(crate) fn seal(self, seed: Seed) -> [u8; ID_LENGTH] {
        match self.number {
            ROOT_OF_SESSION => seal_session(seed, self.shard, self.conn),
            _ => seal(seed, OF_SOCKETS, &self.bytes()),
        }
    }

    /// The place that is sealed in an id of this process; `None` for any other text.
    pub(crate) fn open(seed: Seed, id: &str) -> Option<Self> {
        let Some(place) = open::<PLACE_BYTES>(seed, OF_SOCKETS, id) else {
            let (shard, conn) = open_session(seed, id)?;
            return Some(Self { shard, conn, number: ROOT_OF_SESSION });
        };
        let (conn, rest) = place.split_first_chunk::<8>()?;
        let (shard, rest) = rest.split_first_chunk::<2>()?;
        Some(Self {
            shard: u16::from_le_bytes(*shard),
            conn: u64::from_le_bytes(*conn),
            number: *rest.first()?,
        })
    }

    /// The place of the socket whose own room is this private channel: the room of its id.
    #[inline]
    pub(crate) fn of_room(seed: Seed, channel: &str) -> Option<Self> {
        // Nearly all names end here.
        let comma = channel.len().checked_sub(ID_LENGTH + 1)?;
        if channel.as_bytes()[comma] != b',' || !is_private(channel) || group_of(channel).len() != comma {
            return None;
        }
        Self::open(seed, &channel[comma + 1..])
    }

    /// The room of its id, in the namespace of this channel.
    pub(crate) fn room(self, group: &str, seed: Seed) -> Arc<str> {
        let id = self.seal(seed);
        format!("{group},{}", std::str::from_utf8(&id).unwrap_or_default()).into()
    }

    fn bytes(self) -> [u8; PLACE_BYTES] {
        let mut place = [0; PLACE_BYTES];
        place[..8].copy_from_slice(&self.conn.to_le_bytes());
        place[8..10].copy_from_slice(&self.shard.to_le_bytes());
        place[10] = self.number;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn id(seed: u64, place: SocketPlace) -> String {
        String::from_utf8(place.seal(seed.into()).to_vec()).unwrap()
    }

    fn is_digit(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
    }

    #[test]
    fn ids_are_distinct_look_like_those_of_the_reference_and_name_their_places() {
        let places = (0..100_u64).flat_map(|conn| {
            (0..4_u8).map(move |number| SocketPlace { shard: 3, conn: conn << 30 | 1, number })
        });
        let mut ids = BTreeSet::new();
        for place in places {
            let id = id(7, place);
            assert!(id.len() == 20 && id.bytes().all(is_digit), "{id}");
            assert_eq!(SocketPlace::open(7.into(), &id), Some(place), "{id}");
            assert_eq!(SocketPlace::open(8.into(), &id), None, "another process");
            ids.insert(id);
        }
        assert_eq!(ids.len(), 400);
        // Neighbours share no beginning: an id does not tell the number of its connection.
        assert_eq!(ids.iter().map(|id| &id[..5]).collect::<BTreeSet<_>>().len(), 400);
    }

    #[test]
    fn any_other_text_names_no_place() {
        let place = SocketPlace { shard: u16::MAX, conn: u64::MAX, number: u8::MAX };
        let id = id(7, place);
        for at in 0..ID_LENGTH {
            for digit in [b'A', b'!', b'z'] {
                let mut other = id.clone().into_bytes();
                if other[at] == digit {
                    continue;
                }
                other[at] = digit;
                let other = String::from_utf8(other).unwrap();
                assert_eq!(SocketPlace::open(7.into(), &other), None, "{other}");
            }
        }
        for other in ["", &id[1..], &format!("{id}A"), "ééééééééééé", "a room of 20 letters"] {
            assert_eq!(SocketPlace::open(7.into(), other), None, "{other:?}");
        }
    }

    #[test]
    fn a_room_of_an_id_is_the_rooms_of_one_socket() {
        let place = SocketPlace { shard: 1, conn: 2, number: 3 };
        let id = id(7, place);
        let found = |channel: &str| SocketPlace::of_room(7.into(), channel);
        assert_eq!(found(&format!("\u{1}/,{id}")), Some(place));
        assert_eq!(found(&format!("\u{1}/chat,{id}")), Some(place));
        for other in [id.clone(), format!(",{id}"), format!("\u{1}/,a,{id}"), format!("\u{1}/{id}")] {
            assert_eq!(found(&other), None, "{other:?}");
        }
    }
}
