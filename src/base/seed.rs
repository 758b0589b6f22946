//! The secret key of hashes: for names of connections, streams and session ids, and for the home shard of a channel.
//!
//! The hashes are SipHash-1-3 for 64 bits and SipHash-2-4 for 128 (Aumasson, Bernstein: "SipHash: a fast short-input
//! PRF", 2012), whose results are the same in every release, on every machine: another process with the same seed can
//! verify a name that this process made. The standard library's hashers promise neither.

use std::fmt;

use siphasher::{sip, sip128};

/// Purpose of a hash. Hashes for different purposes are independent, even of equal bytes. The numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The home shard of a channel.
    Home = 1,
    /// The id of a connection.
    Client = 2,
    /// The proof in a session id.
    Session = 3,
    /// The epoch of a stream.
    Epoch = 4,
    /// A publication's idempotency key.
    Once = 5,
    /// The retry delay of a client.
    Retry = 6,
    /// The proof in the id of a Socket.IO socket.
    Socket = 7,
    /// The mask of the place in such an id.
    SocketMask = 8,
    /// A user's name, to count the users of all shards.
    User = 9,
    /// The epoch of the offsets of Socket.IO events.
    Offset = 10,
    /// The proof in the private id by which a Socket.IO client recovers its socket.
    Recovery = 11,
    /// The mask of the number in such an id.
    RecoveryMask = 12,
    /// The proof in a short session id.
    ShortSession = 13,
    /// The mask of the place in such an id.
    ShortSessionMask = 14,
    /// The session id of an admin page.
    AdminSession = 20,
}

/// A key of 128 bits. It is the process's secret: anyone with it can forge session ids, and choose channels that all
/// have the same home.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 16]);

impl Seed {
    /// Makes a seed from random or stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the seed, for storage.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// SipHash-1-3 of the purpose's number and the bytes.
    pub fn hash(&self, purpose: Purpose, bytes: &[u8]) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = sip::SipHasher13::new_with_key(&self.0);
        hasher.write(&[purpose as u8]);
        hasher.write(bytes);
        hasher.finish()
    }

    /// SipHash-2-4 with 128 bits of the purpose's number and the parts, each preceded by its length in eight bytes,
    /// little-endian.
    pub fn hash_128(&self, purpose: Purpose, parts: &[&[u8]]) -> u128 {
        use std::hash::Hasher as _;

        use siphasher::sip128::Hasher128 as _;
        let mut hasher = sip128::SipHasher24::new_with_key(&self.0);
        hasher.write(&[purpose as u8]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

impl From<u64> for Seed {
    /// Makes a seed that is not secret, for tests and examples.
    fn from(number: u64) -> Self {
        Self(u128::from(number).to_le_bytes())
    }
}

impl fmt::Debug for Seed {
    /// Writes no bytes: a secret does not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every later release must find today's stored names: these values, made by another implementation, never
    /// change.
    #[test]
    fn hashes_are_the_same_for_ever() {
        let seed = Seed::from_bytes(*b"0123456789abcdef");
        assert_eq!(seed.hash(Purpose::Home, b"news"), HOME_OF_NEWS);
        assert_eq!(seed.hash_128(Purpose::Client, &[b"a", b"bc"]), CLIENT);
        assert_eq!(Seed::from_bytes(seed.to_bytes()), seed);
    }

    const HOME_OF_NEWS: u64 = 15273623694349150811;
    const CLIENT: u128 = 0x9b00615208ec6a61201447366b871aae;

    #[test]
    fn purposes_and_borders_of_parts_tell_hashes_apart() {
        let seed = Seed::from(7);
        assert_ne!(seed.hash(Purpose::Home, b"a"), seed.hash(Purpose::Epoch, b"a"));
        assert_ne!(seed.hash(Purpose::Home, b"a"), Seed::from(8).hash(Purpose::Home, b"a"));
        let of = |parts: &[&[u8]]| seed.hash_128(Purpose::Once, parts);
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(format!("{seed:?}"), "Seed(..)");
    }

    /// The algorithms equal the published ones: test vectors of their authors (SipHash reference code, `vectors.h`).
    #[test]
    fn the_algorithms_are_the_published_ones() {
        use std::hash::Hasher as _;

        use siphasher::sip128::Hasher128 as _;
        let key: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
        let mut hasher = sip128::SipHasher24::new_with_key(&key);
        hasher.write(&[0]);
        let published = *b"\xda\x87\xc1\xd8\x6b\x99\xaf\x44\x34\x76\x59\x11\x9b\x22\xfc\x45";
        assert_eq!(hasher.finish128().as_bytes(), published);
    }
}
