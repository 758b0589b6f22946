//! Offsets of events: how far a client has come in what is sent to its socket, for recovery.
//!
//! An event that goes by a home has that home's number; it is the same for all receivers, so they share its bytes. An
//! event for one socket alone does not go by the home: its offset is the number of the last event before it in the
//! order of its socket, and a number of its own. The numbers belong to one process, which the epoch names.

use std::sync::Arc;

use crate::base::seed::{Purpose, Seed};

/// Base64 for URLs (RFC 4648 §5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Digits of an epoch.
const EPOCH_DIGITS: usize = 8;
/// Maximum number of digits of a number of 64 bits.
const NUMBER_DIGITS_MAX: usize = 11;
/// Stands between the parts of an offset.
const POINT: u8 = b'.';

/// The place of an event in what is sent to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    /// The number at the home of the event, or of the last one before an event for the socket alone.
    pub(crate) seq: u64,
    /// The number of an event for the socket alone.
    pub(crate) direct: Option<u64>,
}

/// The name of the numbers of a process.
pub(crate) fn epoch_of(seed: Seed) -> Arc<str> {
    let hash = seed.hash(Purpose::Offset, b"");
    let mut epoch = Vec::with_capacity(EPOCH_DIGITS);
    put_digits(&mut epoch, hash, EPOCH_DIGITS);
    String::from_utf8(epoch).unwrap_or_default().into()
}

impl Offset {
    /// Of an event that goes by the home.
    pub(crate) fn shared(seq: u64) -> Self {
        Self { seq, direct: None }
    }

    /// The offset as text.
    pub(crate) fn text(self, epoch: &str) -> String {
        let mut text = epoch.as_bytes().to_vec();
        for number in [Some(self.seq), self.direct].into_iter().flatten() {
            text.push(POINT);
            let bits = 64 - number.leading_zeros() as usize;
            put_digits(&mut text, number, bits.div_ceil(6).max(1));
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// Reads an offset; `None` for any text that is none. The second `None`: it is one of another process.
    pub(crate) fn read(text: &str, epoch: &str) -> Option<Option<Self>> {
        let mut parts = text.split('.');
        let of = parts.next().filter(|of| of.len() == EPOCH_DIGITS && number_of(of).is_some())?;
        let seq = number_of(parts.next()?)?;
        let direct = parts.next().map(|direct| number_of(direct).ok_or(())).transpose().ok()?;
        let offset = parts.next().is_none().then_some(Self { seq, direct })?;
        Some((of == epoch).then_some(offset))
    }
}

/// Appends the last digits of a number, the most significant first.
fn put_digits(out: &mut Vec<u8>, number: u64, count: usize) {
    for at in (0..count).rev() {
        out.push(DIGITS[(number >> (6 * at) & 63) as usize]);
    }
}

fn number_of(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > NUMBER_DIGITS_MAX {
        return None;
    }
    digits.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)? as u64;
        number.checked_mul(64)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_it_was_written() {
        let epoch = epoch_of(Seed::from(7));
        assert_eq!((epoch.len(), *epoch == *epoch_of(Seed::from(8))), (8, false));
        for seq in [0, 1, 63, 64, 4095, u64::from(u32::MAX), u64::MAX] {
            for direct in [None, Some(0), Some(65), Some(u64::MAX)] {
                let offset = Offset { seq, direct };
                let text = offset.text(&epoch);
                assert_eq!(Offset::read(&text, &epoch), Some(Some(offset)), "{text}");
                assert_eq!(Offset::read(&text, &epoch_of(Seed::from(8))), Some(None), "{text}");
            }
        }
        assert_eq!(Offset::shared(64).text("abcdefgh"), "abcdefgh.BA");
    }

    #[test]
    fn any_other_text_is_no_offset() {
        for text in [
            "",
            "abcdefgh",
            "abcdefgh.",
            "abcdefg.A",
            "abcdefghi.A",
            "abcdefg!.A",
            "abcdefgh.A.",
            "abcdefgh.A.B.C",
            "abcdefgh.A!",
            "abcdefgh._______________",
            "abcdefgh.Q__________",
            "a text of the application",
        ] {
            assert_eq!(Offset::read(text, "abcdefgh"), None, "{text}");
        }
    }
}
