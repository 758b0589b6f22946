//! Engine.IO: the packets beneath Socket.IO, in protocol 4 and protocol 3, over WebSocket and over HTTP long-polling.
//!
//! A packet is a type and what it carries. Over WebSocket each is one message ([`read_text`], [`read_binary`]), over polling
//! several share one body ([`read_payload`], [`PayloadWriter`]). The two protocols mark binary data and separate the
//! packets of a body in different ways, so all functions take the protocol's number.
//!
//! Files: `payload` (polling bodies), `request` (query, refusals, the open packet), `put` (helpers of writers).
//!
//! Invariant: reading borrows from the input and allocates nothing; base64 is decoded only when it is asked for. Left
//! out: sessions, heartbeats and the order in which packets may come; WebTransport and JSONP, which are not served.

mod payload;
mod put;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;

pub use payload::{
    PacketsLeft, PacketsRead, PayloadForm, PayloadWriter, is_binary_v3, read_payload, shortest_v3, wrap_v3,
};
pub(in crate::proto) use put::{append_base64, put_base64_of, put_number, put_string};
pub use request::{EngineQuery, EngineRefusal, Open, TransportAsked};

/// The number of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineProtocol {
    /// Of clients of Socket.IO 1 and 2.
    V3,
    /// Of clients since Socket.IO 3.
    V4,
}

/// The type of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// `0`: from the server, the session's id and its intervals.
    Open,
    /// `1`: ends the session.
    Close,
    /// `2`: a heartbeat; the server sends it in protocol 4, the client in protocol 3.
    Ping,
    /// `3`: the answer to a ping, with the same data.
    Pong,
    /// `4`: a message of the application.
    Message,
    /// `5`: from the client: all packets use the WebSocket from now on.
    Upgrade,
    /// `6`: nothing; it ends a parked poll.
    Noop,
}

impl PacketKind {
    const ALL: [Self; 7] =
        [Self::Open, Self::Close, Self::Ping, Self::Pong, Self::Message, Self::Upgrade, Self::Noop];

    /// The digit with which a packet of text begins.
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }

    /// The type with this number, which is not the digit.
    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// The data of a probe and of its answer.
pub const PROBE: &str = "probe";

/// One packet, borrowed from where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnginePacket<'a> {
    /// Its type.
    pub kind: PacketKind,
    /// Its data.
    pub content: Content<'a>,
}

/// The data of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Text; empty for no data.
    Text(&'a str),
    /// Binary data.
    Bytes(&'a [u8]),
    /// Binary data, written in base64.
    Base64(Base64<'a>),
}

impl EnginePacket<'_> {
    /// Whether it is the ping by which a client tests a WebSocket before it upgrades.
    pub fn is_probe(&self) -> bool {
        self.kind == PacketKind::Ping && self.content == Content::Text(PROBE)
    }
}

/// Binary data in base64 (RFC 4648 §4), with or without padding, not validated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base64<'a>(&'a str);

impl Base64<'_> {
    /// An upper bound of the number of bytes that it decodes to.
    pub fn decoded_bytes_max(&self) -> usize {
        self.0.len() / 4 * 3 + 3
    }

    /// Appends the bytes.
    ///
    /// # Errors
    /// When it is no base64; then nothing is appended.
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), EngineError> {
        append_base64(self.0, out).ok_or(EngineError::Base64)
    }
}

/// Why a packet or a body cannot be read. The session that sent it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// A packet without a type.
    Empty,
    /// The byte in place of the type is no type.
    UnknownType(u8),
    /// Text that is not UTF-8.
    NotUtf8,
    /// Binary data that is not valid base64.
    Base64,
    /// Binary data in a packet that is no message.
    NotAMessage,
    /// Protocol 3: a length that is missing, is no number, or is more than there is.
    Length,
    /// Protocol 4 has no binary bodies.
    BinaryBody,
}

impl EngineError {
    /// The rule that is broken, without data of the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "an Engine.IO packet is empty",
            Self::UnknownType(_) => "the type of an Engine.IO packet is unknown",
            Self::NotUtf8 => "an Engine.IO packet of text is not UTF-8",
            Self::Base64 => "an Engine.IO packet has binary data that is not base64",
            Self::NotAMessage => "an Engine.IO packet with binary data is not a message",
            Self::Length => "the length of an Engine.IO packet does not match the body",
            Self::BinaryBody => "Engine.IO 4 has no binary request bodies",
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => {
                write!(f, "no Engine.IO packet begins with \"{}\"", byte.escape_ascii())
            }
            Self::Empty
            | Self::NotUtf8
            | Self::Base64
            | Self::NotAMessage
            | Self::Length
            | Self::BinaryBody => f.write_str(self.reason()),
        }
    }
}

impl std::error::Error for EngineError {}

/// Reads a packet of text: a WebSocket message, or one packet of a polling body.
///
/// # Errors
/// When it is empty, or its type is unknown.
pub fn read_text(protocol: EngineProtocol, text: &str) -> Result<EnginePacket<'_>, EngineError> {
    let (&first, rest) = text.as_bytes().split_first().ok_or(EngineError::Empty)?;
    if first != b'b' {
        let kind = kind_of_digit(first)?;
        debug_assert_eq!(rest.len() + 1, text.len());
        return Ok(EnginePacket { kind, content: Content::Text(&text[1..]) });
    }
    let base64 = match protocol {
        EngineProtocol::V4 => &text[1..],
        EngineProtocol::V3 => {
            let digit = *rest.first().ok_or(EngineError::Empty)?;
            must_be_message(kind_of_digit(digit)?)?;
            &text[2..]
        }
    };
    Ok(EnginePacket { kind: PacketKind::Message, content: Content::Base64(Base64(base64)) })
}

/// Reads a binary WebSocket message, or a binary packet of a polling body of protocol 3.
///
/// # Errors
/// In protocol 3 when the byte in front, the type, is missing or not that of a message. In protocol 4 never.
pub fn read_binary(protocol: EngineProtocol, bytes: &[u8]) -> Result<EnginePacket<'_>, EngineError> {
    let data = match protocol {
        EngineProtocol::V4 => bytes,
        EngineProtocol::V3 => {
            let (&number, data) = bytes.split_first().ok_or(EngineError::Empty)?;
            must_be_message(PacketKind::of_number(number).ok_or(EngineError::UnknownType(number))?)?;
            data
        }
    };
    Ok(EnginePacket { kind: PacketKind::Message, content: Content::Bytes(data) })
}

/// Reads a whole WebSocket message.
///
/// # Errors
/// As [`read_text`] and [`read_binary`]; and for text that is not UTF-8.
pub fn read_message(
    protocol: EngineProtocol,
    is_text: bool,
    bytes: &[u8],
) -> Result<EnginePacket<'_>, EngineError> {
    if !is_text {
        return read_binary(protocol, bytes);
    }
    read_text(protocol, simdutf8::basic::from_utf8(bytes).map_err(|_| EngineError::NotUtf8)?)
}

fn kind_of_digit(digit: u8) -> Result<PacketKind, EngineError> {
    PacketKind::of_number(digit.wrapping_sub(b'0')).ok_or(EngineError::UnknownType(digit))
}

fn must_be_message(kind: PacketKind) -> Result<(), EngineError> {
    if kind == PacketKind::Message { Ok(()) } else { Err(EngineError::NotAMessage) }
}

/// Appends a packet of text. The writers of `proto::socketio` append the text of a message only; the caller puts
/// `PacketKind::Message.digit()` in front of it.
pub fn put_text(out: &mut Vec<u8>, kind: PacketKind, text: &str) {
    out.push(kind.digit());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the content of a binary WebSocket message.
pub fn put_binary(out: &mut Vec<u8>, protocol: EngineProtocol, data: &[u8]) {
    if protocol == EngineProtocol::V3 {
        out.push(PacketKind::Message as u8);
    }
    out.extend_from_slice(data);
}

/// Appends a binary message as a packet of text, for polling and for clients that asked for base64.
pub fn put_base64(out: &mut Vec<u8>, protocol: EngineProtocol, data: &[u8]) {
    out.extend_from_slice(match protocol {
        EngineProtocol::V3 => b"b4",
        EngineProtocol::V4 => b"b",
    });
    put_base64_of(out, data);
}
