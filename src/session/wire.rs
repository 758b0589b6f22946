//! How a connection's messages travel: the transport, and the bytes around them.

pub use super::transport::{Framing, Transport};
use crate::proto::centrifuge::message::Encoding;
use crate::proto::ws::frame::{self, Begun};
use crate::proto::ws::{Deflate, Kind, Press};

impl Framing {
    /// Ends what was begun at `start`: messages in `encoding`, joined as the protocol says. Nothing stays nothing.
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

/// The kind of a frame with messages in this encoding.
pub fn kind(encoding: Encoding) -> Kind {
    match encoding {
        Encoding::Json => Kind::Text,
        Encoding::Protobuf => Kind::Binary,
    }
}

/// How a Centrifuge connection's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// What carries them.
    pub transport: Transport,
    /// How they are written.
    pub encoding: Encoding,
    /// How they may be compressed.
    pub deflate: Deflate,
}

impl Wire {
    /// Begins what is likely to have `likely` bytes: its frame, if its size tells of what kind the header is.
    pub fn begin(self, out: &mut Vec<u8>, likely: usize) -> Begun {
        if self.transport.framing() == Framing::WebSocket && !self.deflate.is_on() {
            return frame::begin(out, likely);
        }
        let start = out.len();
        Begun { at: start, start }
    }

    /// Ends what was begun, as [`Wire::seal`] does.
    pub fn end(self, out: &mut Vec<u8>, begun: Begun, press: &mut Press) {
        if begun.at < begun.start {
            frame::end(out, begun, kind(self.encoding));
        } else {
            self.seal(out, begun.start, press);
        }
    }

    /// As [`Framing::seal`], compressed where that was negotiated and helps.
    pub fn seal(self, out: &mut Vec<u8>, start: usize, press: &mut Press) {
        if self.deflate.is_on() {
            press.wrap(out, start, kind(self.encoding), self.deflate);
        } else {
            self.seal_plain(out, start);
        }
    }

    /// The encoding in which payloads may stand apart from a message; `None` where its bytes are made into others: by
    /// compression.
    pub fn apart(self) -> Option<Encoding> {
        (!self.deflate.is_on()).then_some(self.encoding)
    }

    /// As [`Wire::seal`], of one message to which `apart_bytes` more belong than are in `out`. Returns by how much that
    /// moves what was written since `start`.
    pub fn seal_around(self, out: &mut Vec<u8>, start: usize, apart_bytes: usize) -> usize {
        debug_assert!(self.apart().is_some(), "what is compressed has all of its bytes at hand");
        let end = out.len();
        match (self.transport.framing(), self.encoding) {
            (Framing::WebSocket, encoding) => {
                frame::put_data_header(out, kind(encoding), end - start + apart_bytes);
            }
            // What stands apart is on one line, and a message is.
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

    /// As [`Framing::seal`]: for what is too short to be compressed.
    pub fn seal_plain(self, out: &mut Vec<u8>, start: usize) {
        self.transport.framing().seal(self.encoding, out, start);
    }
}

/// What stands before each message of an event (HTML, 9.2.6).
const EVENT_DATA: &[u8] = b"data: ";

/// An event of as many `data:` lines as there are messages: the client joins them by newlines again (HTML, 9.2.6).
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
