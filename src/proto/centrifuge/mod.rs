//! The Centrifuge client protocol, version 2, in both of its encodings.
//!
//! [`message`] says what there is to say, [`json`] and [`protobuf`] how it is written, [`codes`] lists the numbers that
//! both sides know, [`filter`] is what subscribers ask of tags. The functions here are the same for both encodings:
//! what is read in one means what it means in the other. Payloads (`data`) pass through as the bytes that they
//! arrived as.

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

/// Channels of a connect command that have a position to recover from.
pub const CONNECT_SUBS_MAX: usize = 4096;
/// Headers of a connect command.
pub const CONNECT_HEADERS_MAX: usize = 256;

/// Why a frame cannot be read, or not further. What is wrong with one command only is a command all the same:
/// [`message::Request::Malformed`].
#[derive(Debug)]
pub enum Malformed {
    /// Not JSON, or not of the protocol's shape.
    Json(serde_json::Error),
    /// Not Protobuf, or not of the protocol's shape: what is wrong.
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

/// What a client without a connection of its own to write to sends to the emulation endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emulation<'a> {
    /// The node that the connect reply named.
    pub node: Cow<'a, str>,
    /// The session that the connect reply named.
    pub session: Cow<'a, str>,
    /// Commands, in the encoding of the connection that they are for.
    pub data: Cow<'a, [u8]>,
}

/// All commands of a frame, in order. An `Err` ends them: from there on the frame is not a sequence of commands.
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

/// What a unidirectional client sends first: a request to connect, with no command around it. Nothing at all is a
/// request that leaves everything open.
///
/// # Errors
/// When it is not one.
pub fn connect_request(encoding: Encoding, frame: &[u8]) -> Result<Connect, Malformed> {
    match encoding {
        Encoding::Json => json::connect_request(frame),
        Encoding::Protobuf => protobuf::connect_request(frame),
    }
}

/// The body of a request to the emulation endpoint.
///
/// # Errors
/// When it is not one.
pub fn emulation_request(encoding: Encoding, body: &[u8]) -> Result<Emulation<'_>, Malformed> {
    match encoding {
        Encoding::Json => json::emulation_request(body),
        Encoding::Protobuf => protobuf::emulation_request(body),
    }
}

/// Appends the reply to a command. `start`: where the frame's payload begins in `out` (so in all of these).
pub fn put_answer(out: &mut Vec<u8>, start: usize, encoding: Encoding, id: u32, answer: &Answer<'_>) {
    match encoding {
        Encoding::Json => json::put_answer(out, start, id, answer),
        Encoding::Protobuf => protobuf::put_answer(out, id, answer),
    }
}

/// Appends the reply to a command that failed. `temporary`: whether it may succeed later.
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

/// Appends a push; for a unidirectional client (`is_uni`) without a reply around it.
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
