//! The private ids by which clients recover their sockets.
//!
//! A private id contains the public one, which names the socket's first place, and the number that the home of its
//! namespace had when it connected; 128 bits prove that this process made it. So nothing is stored for a live socket.
//! Who has it can take the socket over: it is a secret of its client.

use subtle::ConstantTimeEq as _;

use crate::base::seed::{Purpose, Seed};
use crate::hub::socket_place::{ID_LENGTH, SocketPlace};

/// Hexadecimal digits of the hidden number, and of the proof.
const NUMBER_DIGITS: usize = 16;
const PROOF_DIGITS: usize = 32;
const LENGTH: usize = ID_LENGTH + NUMBER_DIGITS + PROOF_DIGITS;

/// The content of a private id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pid {
    pub(super) place: SocketPlace,
    /// The home's number when the socket connected.
    pub(super) since: u64,
}

impl Pid {
    /// The private id, for a socket of this namespace.
    pub(super) fn seal(self, seed: Seed, namespace: &str) -> String {
        let id = self.place.seal(seed);
        let proof = seed.hash_128(Purpose::Recovery, &[&id, &self.since.to_le_bytes(), namespace.as_bytes()]);
        let number = self.since ^ mask(seed, proof);
        format!("{}{number:016x}{proof:032x}", std::str::from_utf8(&id).unwrap_or_default())
    }

    /// Reads a private id; `None` for one that this process did not make for the namespace.
    pub(super) fn open(seed: Seed, namespace: &str, text: &str) -> Option<Self> {
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let (id, rest) = text.split_at(ID_LENGTH);
        let (number, proof) = rest.split_at(NUMBER_DIGITS);
        let place = SocketPlace::open(seed, id)?;
        let proof = u128::from_str_radix(proof, 16).ok()?;
        let since = u64::from_str_radix(number, 16).ok()? ^ mask(seed, proof);
        let pid = Self { place, since };
        bool::from(pid.seal(seed, namespace).as_bytes().ct_eq(text.as_bytes())).then_some(pid)
    }
}

/// Hides the number: it tells how much others have sent.
fn mask(seed: Seed, proof: u128) -> u64 {
    seed.hash(Purpose::RecoveryMask, &proof.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_id_is_read_by_its_process_for_its_namespace_only() {
        let (seed, other) = (Seed::from(7), Seed::from(8));
        let place = SocketPlace { shard: 2, conn: 5 << 32 | 1, number: 3 };
        let pid = Pid { place, since: 77 };
        let text = pid.seal(seed, "/chat");
        assert_eq!((text.len(), Pid::open(seed, "/chat", &text)), (LENGTH, Some(pid)));
        assert_eq!(Pid::open(other, "/chat", &text), None);
        assert_eq!(Pid::open(seed, "/", &text), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'1' { b'2' } else { b'1' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(Pid::open(seed, "/chat", &forged), None, "{forged}");
        }
        // The same bits in capital letters are another text.
        for wrong in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &"é".repeat(LENGTH / 2)] {
            assert_eq!(Pid::open(seed, "/chat", wrong), None, "{wrong}");
        }
    }
}
