//! The public ids of sockets: 20 characters, as those of the reference.
//!
//! An id names the place of its socket, so that no table of ids is needed: the connection and the socket's number in it. The
//! place is hidden by a mask that depends on 32 bits of proof in front of it. Whoever guesses an id gains nothing: it is
//! public, and no secret of the session. Left out: the session's own id, which is a secret ([`crate::session::Secret`]).

use std::fmt;

use crate::base::seed::Purpose;
use crate::session::ClientId;

/// Base64 for URLs (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The id of a socket, `socket.id` at its client. It differs from all others of the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId([u8; 20]);

impl SocketId {
    /// The id of the socket with this number in its connection.
    pub(in crate::session) fn new(client: ClientId, number: u8) -> Self {
        let ClientId { seed, shard, token } = client;
        let mut place = [0; 11];
        place[..8].copy_from_slice(&token.to_le_bytes());
        place[8..10].copy_from_slice(&shard.to_le_bytes());
        place[10] = number;
        let mut bytes = [0; 15];
        bytes[..4].copy_from_slice(&seed.hash_128(Purpose::Socket, &[&place]).to_le_bytes()[..4]);
        let mask = seed.hash_128(Purpose::SocketMask, &[&bytes[..4]]).to_le_bytes();
        for (byte, (place, mask)) in bytes[4..].iter_mut().zip(place.iter().zip(mask)) {
            *byte = place ^ mask;
        }
        let mut text = [0; 20];
        for (four, three) in text.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for (digit, shift) in four.iter_mut().zip([18, 12, 6, 0]) {
                *digit = DIGITS[(bits >> shift & 63) as usize];
            }
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // All its bytes are digits of base64.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::client;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_distinct_and_look_like_those_of_the_reference() {
        let sockets = (0..100_u64).flat_map(|token| (0..4_u8).map(move |number| (token, number)));
        let ids: BTreeSet<_> =
            sockets.map(|(token, number)| SocketId::new(client(token), number).to_string()).collect();
        assert_eq!(ids.len(), 400);
        for id in &ids {
            assert!(id.len() == 20 && id.bytes().all(|byte| DIGITS.contains(&byte)), "{id}");
        }
        // Neighbours share no beginning: an id does not tell the number of its connection.
        let beginnings: BTreeSet<_> = ids.iter().map(|id| &id[..5]).collect();
        assert_eq!(beginnings.len(), 400);
    }
}
