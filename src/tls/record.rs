//! The header of a record: content type and length (RFC 8446, section 5.1).

use super::Fault;

/// Length of a record's header, in bytes.
pub(super) const HEADER_BYTES: usize = 5;
/// Maximum length of a record's plaintext, in bytes (RFC 8446, section 5.1).
pub(super) const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// Maximum length of a protected record's body, in bytes (RFC 5246, section 6.2.3; TLS 1.3 permits fewer).
const BODY_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2048;

/// The content type of a record.
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

/// The first record of `input`: its content type, and its length with its header. `None` while it is incomplete.
///
/// # Errors
/// [`Fault::Unexpected`] when the bytes cannot begin a record, [`Fault::TooLong`] when it exceeds the maximum.
pub(super) fn first(input: &[u8]) -> Result<Option<(ContentType, usize)>, Fault> {
    let Some(head) = input.first_chunk::<HEADER_BYTES>() else {
        // An invalid first byte is reported without waiting for more.
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
