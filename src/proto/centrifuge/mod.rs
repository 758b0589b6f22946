//! The Centrifuge client protocol, version 2, in both of its encodings.
//!
//! [`message`] has the messages, [`json`] and [`protobuf`] their encodings, [`codes`] the codes that both sides know,
//! [`filter`] the subscribers' filters by tags. The functions here are the same for both encodings: equal messages
//! mean the same in both. Payloads (`data`) are passed on unchanged.

pub mod codes;
pub mod filter;
pub mod json;
pub mod message;
pub mod protobuf;

use std::borrow::Cow;
use std::fmt;

pub use codes::{Disconnect, Error, Unsubscribed};
pub use json::json_text;
pub use message::Encoding;

use message::{Answer, ChannelRef, Connect, Push};

/// Maximum of channels with a position in a connect command.
pub const CONNECT_SUBS_MAX: usize = 4096;
/// Maximum of headers in a connect command.
pub const CONNECT_HEADERS_MAX: usize = 256;

/// The reason for which the rest of a frame cannot be read. An invalid command in a readable frame is a command all
/// the same: [`message::Request::Malformed`].
#[derive(Debug)]
pub enum Malformed {
    /// Not JSON, or not of the protocol's structure.
    Json(serde_json::Error),
    /// Not Protobuf, or not of the protocol's structure: the fault.
    Protobuf(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not the protocol's JSON: {error}"),
            Self::Protobuf(what) => write!(f, "not the protocol's Protobuf: {what}"),
        }
    }
}

impl std::error::Error for Malformed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Protobuf(_) => None,
        }
    }
}

/// The request to the emulation endpoint of a client that cannot send on its own connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emulation<'a> {
    /// The node of the connect reply.
    pub node: Cow<'a, str>,
    /// The session of the connect reply.
    pub session: Cow<'a, str>,
    /// Commands, in the encoding of their connection.
    pub data: Cow<'a, [u8]>,
}

/// The commands of a frame, in order. An `Err` is the last item: the rest of the frame is not a sequence of commands.
pub fn commands(encoding: Encoding, frame: &[u8]) -> Commands<'_> {
    Commands(match encoding {
        Encoding::Json => Reader::Json(json::Commands::new(frame)),
        Encoding::Protobuf => Reader::Protobuf(protobuf::Commands::new(frame)),
    })
}

/// See [`commands`].
pub struct Commands<'a>(Reader<'a>);

enum Reader<'a> {
    Json(json::Commands<'a>),
    Protobuf(protobuf::Commands<'a>),
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<message::Command<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Reader::Json(commands) => commands.next(),
            Reader::Protobuf(commands) => commands.next(),
        }
    }
}

/// Parses the first message of a unidirectional client: a connect request without the envelope of a command. Empty
/// input is a request without options.
///
/// # Errors
/// When it is not a connect request.
pub fn connect_request(encoding: Encoding, frame: &[u8]) -> Result<Connect, Malformed> {
    match encoding {
        Encoding::Json => json::connect_request(frame),
        Encoding::Protobuf => protobuf::connect_request(frame),
    }
}

/// Parses the body of a request to the emulation endpoint.
///
/// # Errors
/// When it is invalid.
pub fn emulation_request(encoding: Encoding, body: &[u8]) -> Result<Emulation<'_>, Malformed> {
    match encoding {
        Encoding::Json => json::emulation_request(body),
        Encoding::Protobuf => protobuf::emulation_request(body),
    }
}

/// Appends the reply to a command. `start` is the start of the frame's payload in `out` (so in all these functions).
pub fn put_answer(out: &mut Vec<u8>, start: usize, encoding: Encoding, id: u32, answer: &Answer<'_>) {
    match encoding {
        Encoding::Json => json::put_answer(out, start, id, answer),
        Encoding::Protobuf => protobuf::put_answer(out, id, answer),
    }
}

/// Appends the error reply to a command. `temporary`: whether a retry may succeed.
pub fn put_error(
    out: &mut Vec<u8>,
    start: usize,
    encoding: Encoding,
    id: u32,
    code: u32,
    message: &str,
    temporary: bool,
) {
    match encoding {
        Encoding::Json => json::put_error(out, start, id, code, message, temporary),
        Encoding::Protobuf => protobuf::put_error(out, id, code, message, temporary),
    }
}

/// Appends a push; for a unidirectional client (`is_uni`) without the envelope of a reply.
pub fn put_push(
    out: &mut Vec<u8>,
    start: usize,
    encoding: Encoding,
    is_uni: bool,
    channel: ChannelRef<'_>,
    push: &Push<'_>,
) {
    match encoding {
        Encoding::Json => json::put_push(out, start, is_uni, channel, push),
        Encoding::Protobuf => protobuf::put_push(out, is_uni, channel, push),
    }
}

/// The server's ping: an empty reply, alone in a frame.
pub fn ping(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Json => b"{}",
        Encoding::Protobuf => b"\0",
    }
}
