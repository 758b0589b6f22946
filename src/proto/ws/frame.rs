//! Frames that a server writes: unmasked, unfragmented.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Kind;

/// Longest header of a frame that a server writes, in bytes (RFC 6455 §5.2, without the mask).
pub const HEADER_BYTES_MAX: usize = 10;

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
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
    header.format(length as u64, out).expect("a Vec takes any number of bytes");
}

/// Appends one data message as a single frame.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    put_header(out, kind.opcode(), payload.len());
    out.extend_from_slice(payload);
}

/// Makes one text message of what was appended to `out` since `start`; nothing when nothing was.
pub fn wrap_text(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length == 0 {
        return;
    }
    // The header's size is known only now: append it, then turn it to the front.
    put_header(out, Kind::Text.opcode(), length);
    out[start..].rotate_left(length);
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
            wrap_text(&mut text, 1);
            assert_eq!(text.len(), 1 + if length == 0 { 0 } else { header.len() + length });
            assert!(text[1..].ends_with(&vec![7; length]));
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
