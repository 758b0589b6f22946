//! Socket.IO: the packets that travel in the messages of Engine.IO, in protocol 5 and protocol 4.
//!
//! A packet is text, `<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]`, and behind it one binary message per attachment;
//! or, where both ends are configured so, one binary message of msgpack ([`msgpack`]). [`Assembler`] makes packets of the
//! messages of one client; [`mod@write`] writes the packets of a server.
//!
//! * Text: `read`, `write`, `scan` (validation of JSON), `args`; errors are in `malformed`.
//! * Attachments: `assembler` collects them, `attachments` keeps them, `placeholder` finds their places.
//! * `msgpack`: the same packets in msgpack. `publication`: events as data of channels. `bundle`: a packet and its
//!   attachments in one piece. `effects`: what applications do.
//!
//! Invariant: JSON is validated in one pass, without a tree or an allocation, and arguments are passed on unchanged. Left out: the
//! state of namespaces. [`publication`] maps events to publications of channels, which other protocols share.

mod args;
mod assembler;
mod attachments;
mod bundle;
pub mod effects;
mod malformed;
pub mod msgpack;
mod placeholder;
pub mod publication;
mod read;
mod scan;
#[cfg(test)]
mod tests;
pub mod write;

use std::borrow::Cow;

pub use args::{Args, JsonArgs, JsonItems, MsgPackArgs};
pub use assembler::{Assembled, Assembler};
pub use attachments::{AttachmentLimits, AttachmentStore, Attachments};
pub use bundle::{bundle, packed, unbundle};
pub use malformed::SocketError;
pub use read::read;

/// The number of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketProtocol {
    /// Of clients of Socket.IO 1 and 2, over Engine.IO 3.
    V4,
    /// Of clients since Socket.IO 3, over Engine.IO 4.
    V5,
}

/// The most attachments of a packet to clients: the JavaScript parser's limit since its version 4.2.6.
pub const ATTACHMENTS_SENT_MAX: usize = 10;

/// Ids of acknowledgements are below it, so that JavaScript can count them.
pub const ACK_ID_MAX: u64 = 1 << 53;

/// Reserved event names. A client that reads one closes its connection.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Whether the name is reserved: an event must not have it.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The query behind a namespace's name, as the object that later protocols have in its place. The last of several values of
/// one name counts.
pub fn query_as_json(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    serde_json::Value::Object(object).to_string()
}

/// One packet, borrowed from where it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet<'a> {
    /// The namespace, with its slash.
    pub namespace: &'a str,
    /// Its type and payload.
    pub body: PacketBody<'a>,
    /// The attachments to which placeholders in the arguments refer.
    pub attachments: Attachments<'a>,
}

/// Type and payload of a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum PacketBody<'a> {
    /// Asks to join the namespace.
    Connect {
        /// An object for the application, such as credentials. Not in protocol 4.
        auth: Option<Raw<'a>>,
        /// Protocol 4: the query behind the namespace's name, without `?`.
        query: Option<&'a str>,
    },
    /// Leaves the namespace.
    Disconnect,
    /// An event.
    Event(SocketEvent<'a>),
    /// The answer to an event.
    Ack {
        /// The id of the event; an answer without one belongs to no event.
        id: Option<u64>,
        /// The answer.
        args: Args<'a>,
    },
    /// A refusal; only servers send it.
    ConnectError(Raw<'a>),
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketEvent<'a> {
    /// Its name, which is not reserved. A number is read as the text of its digits.
    pub name: Cow<'a, str>,
    /// The id for the acknowledgement, when one is wanted.
    pub id: Option<u64>,
    /// The arguments.
    pub args: Args<'a>,
}

/// An undecoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// One value of JSON.
    Json(&'a str),
    /// One value of msgpack.
    MsgPack(&'a [u8]),
}
