//! The head of a record: what kind of content follows, and how long it is (RFC 8446, section 5.1).

use super::Fault;

/// Bytes of a record's head.
pub(super) const HEADER_BYTES: usize = 5;
/// Bytes of plaintext that a record may carry (RFC 8446, section 5.1).
pub(super) const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// Bytes of a protected record's body (RFC 5246, section 6.2.3; TLS 1.3 allows fewer).
const BODY_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2048;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ContentType {
    ChangeCipherSpec = 20,
    Alert = 21,
    Handshake = 22,
    ApplicationData = 23,
}

impl ContentType {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::ApplicationData),
            _ => None,
        }
    }
}

/// The first record of `input`: what it says it carries, and its length with its head. `None` while it is not all there.
///
/// # Errors
/// [`Fault::Unexpected`] when no record begins so, [`Fault::TooLong`] when it is longer than any may be.
pub(super) fn first(input: &[u8]) -> Result<Option<(ContentType, usize)>, Fault> {
    let Some(head) = input.first_chunk::<HEADER_BYTES>() else {
        // What is no record is told before it is waited for.
        return match input.first().map(|&byte| ContentType::from_byte(byte)) {
            Some(None) => Err(Fault::Unexpected),
            None | Some(Some(_)) => Ok(None),
        };
    };
    let [kind, major, _, high, low] = *head;
    let kind = ContentType::from_byte(kind).filter(|_| major == 3).ok_or(Fault::Unexpected)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BODY_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let bytes = HEADER_BYTES + length;
    Ok((input.len() >= bytes).then_some((kind, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_when_all_of_it_is_there() {
        let record = [23, 3, 3, 0, 2, 7, 7, 99];
        for length in 0..7 {
            assert_eq!(first(&record[..length]), Ok(None));
        }
        assert_eq!(first(&record), Ok(Some((ContentType::ApplicationData, 7))));
    }

    #[test]
    fn what_is_no_record_is_told_at_its_first_byte() {
        assert_eq!(first(b"G"), Err(Fault::Unexpected));
        assert_eq!(first(b"GET / HTTP/1.1"), Err(Fault::Unexpected));
        assert_eq!(first(&[22, 2, 0, 0, 1]), Err(Fault::Unexpected));
        assert_eq!(first(&[23, 3, 3, 0x48, 1]), Err(Fault::TooLong));
        assert_eq!(first(&[23, 3, 3, 0x48, 0]), Ok(None));
    }
}
