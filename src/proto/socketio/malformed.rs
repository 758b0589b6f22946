//! The errors of packets.
//!
//! Invariant: each rule of the protocol has its own error, and no error contains data of the client.

use std::fmt;

use super::Raw;

/// The rule that a packet breaks. The connection that sent it must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketError {
    /// The type is missing or unknown.
    UnknownType,
    /// The count of attachments is missing or no number.
    AttachmentCount,
    /// More attachments than allowed.
    TooManyAttachments,
    /// Packet and attachments together have more bytes than allowed.
    AttachmentBytes,
    /// The placeholders do not refer to each attachment exactly once.
    Placeholders,
    /// Text in place of an attachment.
    TextForAttachment,
    /// Binary data without a packet before it.
    StrayBinary,
    /// The namespace does not begin with a slash, or contains control characters.
    Namespace,
    /// The id of an acknowledgement is no whole number below 2^53.
    AckId,
    /// The payload is not valid JSON.
    Json,
    /// CONNECT with something other than an object.
    ConnectPayload,
    /// DISCONNECT with a payload.
    DisconnectPayload,
    /// CONNECT_ERROR with neither an object nor a string.
    ErrorPayload,
    /// The payload of an event or an acknowledgement is no array.
    NoList,
    /// The first element of an event is neither text nor a number.
    EventName,
    /// The name of an event is reserved.
    ReservedName,
    /// The bytes are not msgpack, or end too early.
    MsgPack,
    /// Values are nested deeper than allowed.
    TooDeep,
}

impl SocketError {
    /// The rule that is broken, as a clause about a Socket.IO packet.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownType => "its type is unknown",
            Self::AttachmentCount => "its count of attachments is not a number",
            Self::TooManyAttachments => "it has too many attachments",
            Self::AttachmentBytes => "its attachments are too large",
            Self::Placeholders => "its placeholders do not match its attachments",
            Self::TextForAttachment => "text follows where an attachment should",
            Self::StrayBinary => "binary data belongs to no packet",
            Self::Namespace => "its namespace is malformed",
            Self::AckId => "its acknowledgement id is not a number below 2^53",
            Self::Json => "its payload is not JSON",
            Self::ConnectPayload => "the payload of CONNECT is not an object",
            Self::DisconnectPayload => "DISCONNECT has a payload",
            Self::ErrorPayload => "the payload of CONNECT_ERROR is neither an object nor a string",
            Self::NoList => "its payload is not an array",
            Self::EventName => "its event name is neither a string nor a number",
            Self::ReservedName => "its event name is reserved",
            Self::MsgPack => "it is not msgpack",
            Self::TooDeep => "it is nested too deeply",
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Socket.IO packet is malformed: {}", self.reason())
    }
}

impl std::error::Error for SocketError {}

/// JSON unchanged; of msgpack the number of bytes.
impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) => f.write_str(text),
            Self::MsgPack(bytes) => write!(f, "{} bytes of msgpack", bytes.len()),
        }
    }
}
