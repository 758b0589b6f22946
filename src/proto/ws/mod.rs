//! WebSocket (RFC 6455) as seen by a server.
//!
//! The [`codec`] turns bytes into messages, [`frame`] writes frames, [`handshake`] answers the upgrade request,
//! [`extension`] negotiates permessage-deflate (RFC 7692), and a [`press`] compresses and inflates. Header layout,
//! opcodes, close codes and the accept key come from tungstenite; the state of a connection is this module's, because
//! it must be empty between two messages.

pub mod codec;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod press;
pub mod utf8;

pub use codec::{Decoder, Event, Kind, Limits, Payload};
pub use extension::Deflate;
pub use frame::{put_close, put_frame};
pub use press::Press;

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode;

/// Whether a close frame may contain this code (RFC 6455 § 7.4): 1000–1003, 1007–1013 and 3000–4999. The others are
/// not used (below 1000), reserved (up to 2999), or mean that there was no code or no close frame at all (1005, 1006,
/// 1015).
pub fn is_close_code(code: u16) -> bool {
    CloseCode::from(code).is_allowed()
}

/// A rule of RFC 6455 that a peer violated; one variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// §5.2: a reserved bit is set without a negotiated extension that defines it.
    ReservedBit,
    /// §5.2: the opcode is reserved.
    ReservedOpcode,
    /// §5.1: a client must mask its frames.
    Unmasked,
    /// §5.2: the length is not in its shortest form, or its highest bit is set.
    LengthForm,
    /// §5.5: a control frame is fragmented.
    ControlFragmented,
    /// §5.5: a control frame is longer than 125 bytes.
    ControlTooLong,
    /// §5.4: a continuation without a message.
    ContinuationUnexpected,
    /// §5.4: a new message inside a fragmented one.
    ContinuationExpected,
    /// §8.1: text is not UTF-8.
    Utf8,
    /// §5.5.1: a close frame with a body of one byte.
    CloseBody,
    /// §7.4: a close code that must not be sent.
    CloseCode,
    /// §5.5.1: a close reason is not UTF-8.
    CloseReasonUtf8,
    /// RFC 7692 §7.2.2: an invalid compressed message.
    Deflate,
    /// §10.4: the frame exceeds this server's limit.
    FrameTooBig,
    /// §10.4: the message exceeds this server's limit.
    MessageTooBig,
    /// §10.4: the message has too many too small fragments.
    FragmentsTooMany,
}

impl Violation {
    /// The code of the answering close frame (RFC 6455 §7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::LengthForm
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::ContinuationUnexpected
            | Self::ContinuationExpected
            | Self::CloseBody
            | Self::CloseCode => 1002,
            Self::Utf8 | Self::CloseReasonUtf8 | Self::Deflate => 1007,
            Self::FrameTooBig | Self::MessageTooBig => 1009,
            Self::FragmentsTooMany => 1008,
        }
    }

    /// The reason of the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "frame is not masked",
            Self::LengthForm => "length not in shortest form",
            Self::ControlFragmented => "control frame is fragmented",
            Self::ControlTooLong => "control frame is too long",
            Self::ContinuationUnexpected => "nothing to continue",
            Self::ContinuationExpected => "message inside a message",
            Self::Utf8 => "text is not UTF-8",
            Self::CloseBody => "close body of one byte",
            Self::CloseCode => "close code not allowed",
            Self::CloseReasonUtf8 => "close reason is not UTF-8",
            Self::Deflate => "compressed message is broken",
            Self::FrameTooBig => "frame too big",
            Self::MessageTooBig => "message too big",
            Self::FragmentsTooMany => "too many fragments",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason(), self.close_code())
    }
}

impl std::error::Error for Violation {}
