//! Transport, encoding and compression of a connection's messages.

pub use super::transport::{Framing, Transport};
use crate::proto::centrifuge::message::Encoding;
use crate::proto::ws::frame::{self, Begun};
use crate::proto::ws::{Deflate, Kind, Press};

impl Framing {
    /// Ends the frame begun at `start`: messages in `encoding`, joined as the protocol requires. Empty input stays
    /// empty.
    pub fn seal(self, encoding: Encoding, out: &mut Vec<u8>, start: usize) {
        if out.len() == start {
            return;
        }
        match (self, encoding) {
            (Self::WebSocket, _) => frame::wrap(out, start, kind(encoding)),
            (Self::Events, _) => seal_event(out, start),
            (Self::Stream, Encoding::Json) => out.push(b'\n'),
            (Self::Stream, Encoding::Protobuf) => {}
        }
    }
}

/// The kind of a WebSocket frame with messages in this encoding.
pub fn kind(encoding: Encoding) -> Kind {
    match encoding {
        Encoding::Json => Kind::Text,
        Encoding::Protobuf => Kind::Binary,
    }
}

/// Transport, encoding and compression of a Centrifuge connection's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Transport of the messages.
    pub transport: Transport,
    /// Encoding of the messages.
    pub encoding: Encoding,
    /// Permitted compression of the messages.
    pub deflate: Deflate,
}

impl Wire {
    /// Begins a frame of probably `likely` bytes, with its header if the size determines the header's length.
    pub fn begin(self, out: &mut Vec<u8>, likely: usize) -> Begun {
        if self.transport.framing() == Framing::WebSocket && !self.deflate.is_on() {
            return frame::begin(out, likely);
        }
        let start = out.len();
        Begun { at: start, start }
    }

    /// Ends the frame begun before, as [`Wire::seal`] does.
    pub fn end(self, out: &mut Vec<u8>, begun: Begun, press: &mut Press) {
        if begun.at < begun.start {
            frame::end(out, begun, kind(self.encoding));
        } else {
            self.seal(out, begun.start, press);
        }
    }

    /// As [`Framing::seal`], compressed where that was negotiated and makes it shorter.
    pub fn seal(self, out: &mut Vec<u8>, start: usize, press: &mut Press) {
        if self.deflate.is_on() {
            press.wrap(out, start, kind(self.encoding), self.deflate);
        } else {
            self.seal_plain(out, start);
        }
    }

    /// The encoding in which payloads may be sent apart from their message; `None` where compression transforms its
    /// bytes.
    pub fn apart(self) -> Option<Encoding> {
        (!self.deflate.is_on()).then_some(self.encoding)
    }

    /// As [`Wire::seal`], for one message with `apart_bytes` more bytes outside of `out`. Returns the distance by
    /// which the bytes since `start` move.
    pub fn seal_around(self, out: &mut Vec<u8>, start: usize, apart_bytes: usize) -> usize {
        debug_assert!(self.apart().is_some(), "compression needs all bytes of a message");
        let end = out.len();
        match (self.transport.framing(), self.encoding) {
            (Framing::WebSocket, encoding) => {
                frame::put_data_header(out, kind(encoding), end - start + apart_bytes);
            }
            // The payload apart is on one line, and so is the message.
            (Framing::Events, _) => out.extend_from_slice(EVENT_DATA),
            (Framing::Stream, _) => {}
        }
        let moved = out.len() - end;
        out[start..].rotate_right(moved);
        match (self.transport.framing(), self.encoding) {
            (Framing::Events, _) => out.extend_from_slice(b"\n\n"),
            (Framing::Stream, Encoding::Json) => out.push(b'\n'),
            (Framing::WebSocket, _) | (Framing::Stream, Encoding::Protobuf) => {}
        }
        moved
    }

    /// As [`Framing::seal`], for messages too short to be compressed.
    pub fn seal_plain(self, out: &mut Vec<u8>, start: usize) {
        self.transport.framing().seal(self.encoding, out, start);
    }
}

/// Prefix of each message of an event (HTML, 9.2.6).
const EVENT_DATA: &[u8] = b"data: ";

/// Ends an event with as many `data:` lines as messages: the client joins them by newlines again (HTML, 9.2.6).
fn seal_event(out: &mut Vec<u8>, start: usize) {
    let messages = out.split_off(start);
    for message in messages.split(|&byte| byte == b'\n') {
        out.extend_from_slice(EVENT_DATA);
        out.extend_from_slice(message);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_framing_seals_in_its_way() {
        let sealed = |framing: Framing, encoding, text: &str| {
            let mut out = b"before".to_vec();
            out.extend_from_slice(text.as_bytes());
            framing.seal(encoding, &mut out, 6);
            out.split_off(6)
        };
        assert_eq!(sealed(Framing::WebSocket, Encoding::Json, "{}"), b"\x81\x02{}");
        assert_eq!(sealed(Framing::WebSocket, Encoding::Protobuf, "ab"), b"\x82\x02ab");
        assert_eq!(sealed(Framing::Events, Encoding::Json, "{}\n[]"), b"data: {}\ndata: []\n\n");
        assert_eq!(sealed(Framing::Stream, Encoding::Json, "{}"), b"{}\n");
        assert_eq!(sealed(Framing::Stream, Encoding::Protobuf, "ab"), b"ab");
        assert_eq!(sealed(Framing::Events, Encoding::Json, ""), b"");
    }
}
