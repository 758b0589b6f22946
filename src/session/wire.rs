//! How a connection's messages travel: the transport, the wire format of its publications, and the bytes around them.

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

    /// As [`Framing::seal`]: for what is too short to be compressed.
    pub fn seal_plain(self, out: &mut Vec<u8>, start: usize) {
        self.transport.framing().seal(self.encoding, out, start);
    }
}

/// An event of as many `data:` lines as there are messages: the client joins them by newlines again (HTML, 9.2.6).
fn seal_event(out: &mut Vec<u8>, start: usize) {
    let messages = out.split_off(start);
    for message in messages.split(|&byte| byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(message);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The wire format in which a connection gets the publications of one channel, in one byte: what is the same for two
/// subscribers is encoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The data alone, one WebSocket frame each.
    Raw {
        /// How frames may be compressed.
        deflate: Deflate,
    },
    /// Centrifuge pushes.
    Centrifuge {
        /// What stands around them.
        framing: Framing,
        /// How they are written.
        encoding: Encoding,
        /// Pushes alone, without replies around them.
        is_uni: bool,
        /// The subscriber takes deltas.
        takes_deltas: bool,
        /// Channels by number, not by name.
        is_compact: bool,
        /// How frames may be compressed.
        deflate: Deflate,
    },
}

/// In the place of a framing, in a format's number.
const RAW: u8 = 3;

impl Format {
    /// In one byte.
    pub fn to_number(self) -> u8 {
        match self {
            Self::Raw { deflate } => RAW | (deflate as u8) << 6,
            Self::Centrifuge { framing, encoding, is_uni, takes_deltas, is_compact, deflate } => {
                framing as u8
                    | (encoding as u8) << 2
                    | u8::from(is_uni) << 3
                    | u8::from(takes_deltas) << 4
                    | u8::from(is_compact) << 5
                    | (deflate as u8) << 6
            }
        }
    }

    /// The inverse of [`Format::to_number`].
    pub fn from_number(number: u8) -> Self {
        let deflate = match number >> 6 {
            0 => Deflate::Off,
            1 => Deflate::Wide,
            _ => Deflate::Narrow,
        };
        let framing = match number & 3 {
            0 => Framing::WebSocket,
            1 => Framing::Events,
            2 => Framing::Stream,
            _ => return Self::Raw { deflate },
        };
        Self::Centrifuge {
            framing,
            encoding: if number & 4 == 0 { Encoding::Json } else { Encoding::Protobuf },
            is_uni: number & 8 != 0,
            takes_deltas: number & 16 != 0,
            is_compact: number & 32 != 0,
            deflate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_its_number() {
        let mut formats = Vec::new();
        for deflate in [Deflate::Off, Deflate::Wide, Deflate::Narrow] {
            formats.push(Format::Raw { deflate });
            for framing in [Framing::WebSocket, Framing::Events, Framing::Stream] {
                for encoding in [Encoding::Json, Encoding::Protobuf] {
                    formats.extend((0..8).map(|bits| Format::Centrifuge {
                        framing,
                        encoding,
                        is_uni: bits & 1 != 0,
                        takes_deltas: bits & 2 != 0,
                        is_compact: bits & 4 != 0,
                        deflate,
                    }));
                }
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for format in formats {
            assert_eq!(Format::from_number(format.to_number()), format);
            assert!(seen.insert(format.to_number()), "{format:?}");
        }
    }

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
