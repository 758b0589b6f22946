//! Places as text of 20 characters: hidden, and proved by the process's [`Seed`].
//!
//! The text is base64 of 120 bits: a proof of the place, and the place under a mask that depends on the proof. The proof
//! takes what the place leaves. Who knows one such text cannot make another without a guess of the proof.

use super::seed::{Purpose, Seed};

/// Base64 for URLs (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BYTES: usize = 15;
/// Length of the text, in characters.
pub(crate) const SEALED_LENGTH: usize = 20;

/// Seals a place of less than 15 bytes, for these purposes of the proof and of the mask.
pub(crate) fn seal<const N: usize>(
    seed: Seed,
    (proof, mask): (Purpose, Purpose),
    place: &[u8; N],
) -> [u8; SEALED_LENGTH] {
    let mut bytes = [0; BYTES];
    let (front, behind) = bytes.split_at_mut(BYTES - N);
    let length = front.len();
    front.copy_from_slice(&seed.hash_128(proof, &[place]).to_le_bytes()[..length]);
    behind.copy_from_slice(place);
    apply_mask(seed, mask, &mut bytes, length);
    let mut text = [0; SEALED_LENGTH];
    for (four, three) in text.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for (digit, shift) in four.iter_mut().zip([18, 12, 6, 0]) {
            *digit = DIGITS[(bits >> shift & 63) as usize];
        }
    }
    text
}

/// The place that was sealed; `None` for a text that this process did not make, or for other purposes.
pub(crate) fn open<const N: usize>(
    seed: Seed,
    (proof, mask): (Purpose, Purpose),
    text: &str,
) -> Option<[u8; N]> {
    let mut bytes = [0; BYTES];
    if text.len() != SEALED_LENGTH {
        return None;
    }
    for (three, four) in bytes.chunks_exact_mut(3).zip(text.as_bytes().chunks_exact(4)) {
        let mut bits = 0;
        for digit in four {
            bits = bits << 6 | value_of(*digit)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    apply_mask(seed, mask, &mut bytes, BYTES - N);
    let place = bytes[BYTES - N..].try_into().ok()?;
    (seal(seed, (proof, mask), &place) == text.as_bytes()).then_some(place)
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

/// Masks the place behind the proof, or takes the mask off.
fn apply_mask(seed: Seed, purpose: Purpose, bytes: &mut [u8; BYTES], proof_length: usize) {
    let (proof, place) = bytes.split_at_mut(proof_length);
    let mask = seed.hash_128(purpose, &[proof]).to_le_bytes();
    place.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSES: (Purpose, Purpose) = (Purpose::Socket, Purpose::SocketMask);

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else() {
        let seed = Seed::from(1);
        let seal = |place: &[u8; 10]| String::from_utf8(seal(seed, PURPOSES, place).to_vec()).unwrap();
        let open = |text: &str| open::<10>(seed, PURPOSES, text);
        let text = seal(&[7; 10]);
        assert_eq!((text.len(), open(&text)), (SEALED_LENGTH, Some([7; 10])));
        for at in 0..SEALED_LENGTH {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(std::str::from_utf8(&forged).unwrap()), None, "{at}");
        }
        for wrong in ["", "A", &text[1..], &format!("{text}A"), "ééééééééééééééé", "!!!!!!!!!!!!!!!!!!!!"]
        {
            assert_eq!(open(wrong), None, "{wrong}");
        }
        assert_eq!(super::open::<10>(Seed::from(2), PURPOSES, &text), None);
        assert_eq!(super::open::<10>(seed, (Purpose::Session, PURPOSES.1), &text), None);
    }
}
