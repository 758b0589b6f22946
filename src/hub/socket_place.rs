//! The places of sockets, sealed into their public ids: 20 characters, as the reference's.
//!
//! An id names the place of its socket, so that no table of ids is needed: the connection and the socket's number in it. The
//! place is hidden by a mask that depends on 32 bits of proof in front of it; the proof is a hash of the place with the
//! process's seed, so the id of another process, or any other text, names no place here. Whoever guesses an id gains nothing:
//! it is public, and no secret of the session.

use std::sync::Arc;

use super::emission::{group_of, is_private};
use crate::base::seed::{Purpose, Seed};

/// Base64 for URLs (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of an id.
pub(crate) const ID_LENGTH: usize = 20;
/// Bytes that these characters encode: the proof, and the place.
const ID_BYTES: usize = 15;
const PROOF_BYTES: usize = 4;
const PLACE_BYTES: usize = ID_BYTES - PROOF_BYTES;

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
        let place = self.bytes();
        let mut bytes = [0; ID_BYTES];
        bytes[..PROOF_BYTES].copy_from_slice(&proof(seed, &place));
        bytes[PROOF_BYTES..].copy_from_slice(&place);
        mask(seed, &mut bytes);
        let mut id = [0; ID_LENGTH];
        for (four, three) in id.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for (digit, shift) in four.iter_mut().zip([18, 12, 6, 0]) {
                *digit = DIGITS[(bits >> shift & 63) as usize];
            }
        }
        id
    }

    /// The place that is sealed in an id of this process; `None` for any other text.
    pub(crate) fn open(seed: Seed, id: &str) -> Option<Self> {
        let id: &[u8; ID_LENGTH] = id.as_bytes().try_into().ok()?;
        let mut bytes = [0; ID_BYTES];
        for (four, three) in id.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
            let mut bits = 0;
            for digit in four {
                bits = bits << 6 | value_of(*digit)?;
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        mask(seed, &mut bytes);
        let (proved, place) = bytes.split_at(PROOF_BYTES);
        let place: &[u8; PLACE_BYTES] = place.try_into().ok()?;
        if proved != proof(seed, place) {
            return None;
        }
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

/// The proof of a place.
fn proof(seed: Seed, place: &[u8; PLACE_BYTES]) -> [u8; PROOF_BYTES] {
    let [a, b, c, d, ..] = seed.hash_128(Purpose::Socket, &[place]).to_le_bytes();
    [a, b, c, d]
}

/// Hides the place behind its proof, or shows it.
fn mask(seed: Seed, bytes: &mut [u8; ID_BYTES]) {
    let (proof, place) = bytes.split_at_mut(PROOF_BYTES);
    let mask = seed.hash_128(Purpose::SocketMask, &[proof]).to_le_bytes();
    place.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn id(seed: u64, place: SocketPlace) -> String {
        String::from_utf8(place.seal(seed.into()).to_vec()).unwrap()
    }

    #[test]
    fn ids_are_distinct_look_like_those_of_the_reference_and_name_their_places() {
        let places = (0..100_u64).flat_map(|conn| {
            (0..4_u8).map(move |number| SocketPlace { shard: 3, conn: conn << 30 | 1, number })
        });
        let mut ids = BTreeSet::new();
        for place in places {
            let id = id(7, place);
            assert!(id.len() == 20 && id.bytes().all(|byte| DIGITS.contains(&byte)), "{id}");
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
