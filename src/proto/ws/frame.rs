//! Frame headers, read and written (RFC 6455 §5.2), and the frames that a server writes: unmasked, unfragmented.
//!
//! tungstenite's [`FrameHeader`] defines a header, and its own reader and writer are the reference in the tests; the
//! ones here read the usual short header without a cursor, in ten instructions instead of a hundred for each small
//! message.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Kind, Violation};

/// Longest header of a frame that a server writes, in bytes (RFC 6455 §5.2, without the mask).
pub const HEADER_BYTES_MAX: usize = 10;

/// A client's header.
#[derive(Debug)]
pub(super) struct ClientHeader {
    pub(super) header: FrameHeader,
    pub(super) key: [u8; 4],
    /// Length of the payload, in bytes.
    pub(super) length: u64,
    /// Length of the header itself, in bytes.
    pub(super) header_len: usize,
}

/// Reads the header of most client frames: an unfragmented data frame with a short header in its shortest form.
/// Returns its kind, mask, payload length and header length; `None` for all others, which [`read_header`] reads.
#[inline]
pub(super) fn read_usual_header(bytes: &[u8]) -> Option<(Kind, [u8; 4], usize, usize)> {
    let (kind, rest) = match bytes {
        [0x81, rest @ ..] => (Kind::Text, rest),
        [0x82, rest @ ..] => (Kind::Binary, rest),
        _ => return None,
    };
    match *rest {
        [short @ 0x80..=0xFD, a, b, c, d, ..] => Some((kind, [a, b, c, d], usize::from(short & 0x7F), 6)),
        [0xFE, high, low, a, b, c, d, ..] if high > 0 || low > 125 => {
            Some((kind, [a, b, c, d], usize::from(u16::from_be_bytes([high, low])), 8))
        }
        _ => None,
    }
}

/// Reads a client's header from the front of `bytes`; `None` when it is incomplete.
#[inline]
pub(super) fn read_header(bytes: &[u8]) -> Result<Option<ClientHeader>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    // A missing mask is reported at the second byte, not after a length that may never arrive.
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    let opcode = OpCode::from(first & 0x0F);
    if matches!(opcode, OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_))) {
        return Err(Violation::ReservedOpcode);
    }
    let (length, length_len) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 0),
    };
    let is_shortest = match length_len {
        0 => true,
        2 => length > 125,
        _ => length > 65_535 && length >> 63 == 0,
    };
    if !is_shortest {
        return Err(Violation::LengthForm);
    }
    let Some(&[a, b, c, d]) = rest[length_len..].first_chunk() else { return Ok(None) };
    let key = [a, b, c, d];
    let bit = |mask: u8| first & mask != 0;
    let (is_final, rsv1, rsv2, rsv3) = (bit(0x80), bit(0x40), bit(0x20), bit(0x10));
    let header = FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask: Some(key) };
    Ok(Some(ClientHeader { header, key, length, header_len: 6 + length_len }))
}

impl Kind {
    fn opcode(self) -> OpCode {
        OpCode::Data(match self {
            Self::Text => Data::Text,
            Self::Binary => Data::Binary,
        })
    }
}

/// Appends the header of an unfragmented frame with `length` bytes of payload.
#[inline]
pub fn put_header(out: &mut Vec<u8>, opcode: OpCode, length: usize) {
    let first = 0x80 | u8::from(opcode);
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        out.extend_from_slice(&[first, short]);
    } else if let Ok(medium) = u16::try_from(length) {
        let [high, low] = medium.to_be_bytes();
        out.extend_from_slice(&[first, 126, high, low]);
    } else {
        out.extend_from_slice(&[first, 127]);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends the header of a data message that is a single frame of `length` bytes.
pub fn put_data_header(out: &mut Vec<u8>, kind: Kind, length: usize) {
    put_header(out, kind.opcode(), length);
}

/// Appends one data message as a single frame.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    put_header(out, kind.opcode(), payload.len());
    out.extend_from_slice(payload);
}

/// Appends one data message as a single frame with a compressed payload, marked by RSV1 (RFC 7692 §6).
pub(super) fn put_packed_frame(out: &mut Vec<u8>, kind: Kind, packed: &[u8]) {
    let start = out.len();
    put_frame(out, kind, packed);
    out[start] |= 0x40;
}

/// The start of a message under construction: the bytes between the two offsets are room for its header.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Start of its frame.
    pub at: usize,
    /// Start of its payload.
    pub start: usize,
}

/// Begins a message: makes room for the header of about `likely` bytes of payload, which are then appended to `out`.
pub fn begin(out: &mut Vec<u8>, likely: usize) -> Begun {
    let at = out.len();
    // The kind does not matter, only the length.
    put_data_header(out, Kind::Text, likely);
    Begun { at, start: out.len() }
}

/// Ends a message with the bytes appended to `out` since it began; writes nothing without any.
pub fn end(out: &mut Vec<u8>, begun: Begun, kind: Kind) {
    let Begun { at, start } = begun;
    let end = out.len();
    if end == start {
        return out.truncate(at);
    }
    put_data_header(out, kind, end - start);
    if out.len() - end == start - at {
        out.copy_within(end.., at);
        out.truncate(end);
    } else {
        // The header's size is known only now: rotate it to the front.
        out[start..].rotate_left(end - start);
        out.drain(at..start);
    }
}

/// Makes one message of the bytes appended to `out` since `start`; writes nothing without any.
pub fn wrap(out: &mut Vec<u8>, start: usize, kind: Kind) {
    end(out, Begun { at: start, start }, kind);
}

/// Appends a pong that answers a ping (RFC 6455 §5.5.3), or a ping without payload.
pub fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_header(out, OpCode::Control(Control::Pong), payload.len());
    out.extend_from_slice(payload);
}

/// Appends an empty ping (RFC 6455 §5.5.2).
pub fn put_ping(out: &mut Vec<u8>) {
    put_header(out, OpCode::Control(Control::Ping), 0);
}

/// Appends a close frame; without a code its body is empty. The reason is cut to 123 bytes, at a character.
pub fn put_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return put_header(out, OpCode::Control(Control::Close), 0) };
    let reason = &reason[..reason.floor_char_boundary(123)];
    put_header(out, OpCode::Control(Control::Close), 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn headers_have_the_shortest_form() {
        for (length, header) in [
            (0usize, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 255, 255]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_frame(&mut out, Kind::Binary, &vec![7; length]);
            assert_eq!(&out[..out.len() - length], header);
            let mut text = b"x".to_vec();
            text.extend(std::iter::repeat_n(7, length));
            wrap(&mut text, 1, Kind::Text);
            assert_eq!(text.len(), 1 + if length == 0 { 0 } else { header.len() + length });
            assert!(text[1..].ends_with(&vec![7; length]));
        }
    }

    #[test]
    fn a_message_is_the_same_however_long_it_was_likely_to_be() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut wanted = b"before".to_vec();
            if length > 0 {
                put_frame(&mut wanted, Kind::Text, &vec![7; length]);
            }
            for likely in [0, 126, 1 << 16] {
                let mut out = b"before".to_vec();
                let begun = begin(&mut out, likely);
                out.extend(std::iter::repeat_n(7, length));
                end(&mut out, begun, Kind::Text);
                assert!(out == wanted, "{length} bytes, likely {likely}");
            }
        }
    }

    proptest! {
        #[test]
        fn headers_agree_with_tungstenite(head: [u8; 14], end in 0..15usize, length in prop_oneof![0..200usize, any::<u32>().prop_map(|n| n as usize)]) {
            let bytes = &head[..end.min(14)];
            let theirs = FrameHeader::parse(&mut Cursor::new(bytes));
            if let Some((kind, key, length, header_len)) = read_usual_header(bytes) {
                let general = read_header(bytes).unwrap().unwrap();
                prop_assert_eq!((kind.opcode(), key, length as u64, header_len), (general.header.opcode, general.key, general.length, general.header_len));
                prop_assert!(general.header.is_final && !general.header.rsv1 && !general.header.rsv2 && !general.header.rsv3);
            }
            match read_header(bytes) {
                Ok(Some(ours)) => {
                    let (header, length) = theirs.unwrap().unwrap();
                    prop_assert_eq!((&ours.header, ours.length, ours.header_len), (&header, length, header.len(length)));
                }
                Ok(None) => prop_assert!(theirs.is_ok_and(|whole| whole.is_none())),
                Err(Violation::ReservedOpcode) => prop_assert!(theirs.map_or(true, |whole| whole.is_none())),
                Err(Violation::Unmasked) => prop_assert!(theirs.map_or(true, |whole| whole.is_none_or(|(h, _)| h.mask.is_none()))),
                Err(_) => prop_assert!(theirs.is_ok_and(|whole| whole.is_none_or(|(h, n)| n >> 63 == 1 || h.len(n) != 6 + [0, 2, 8][usize::from(bytes[1] & 0x7f).saturating_sub(125)]))),
            }
            let (mut out, mut twin) = (Vec::new(), Vec::new());
            put_header(&mut out, Kind::Text.opcode(), length);
            FrameHeader { opcode: Kind::Text.opcode(), ..FrameHeader::default() }.format(length as u64, &mut twin).unwrap();
            prop_assert_eq!(out, twin);
        }
    }

    #[test]
    fn control_frames() {
        let mut out = Vec::new();
        put_ping(&mut out);
        put_pong(&mut out, b"hi");
        put_close(&mut out, Some(1000), "bye");
        put_close(&mut out, None, "");
        assert_eq!(out, b"\x89\x00\x8a\x02hi\x88\x05\x03\xe8bye\x88\x00");
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        put_close(&mut out, Some(4000), &"é".repeat(100));
        assert_eq!((out[1], out.len()), (2 + 122, 2 + 2 + 122));
    }
}
