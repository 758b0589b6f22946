//! The writers of packets in text. Each writes the content of one Engine.IO message, without the digit of its type.
//!
//! Arguments are validated JSON, or values that serde serializes; both are written directly into the outgoing bytes.
//! The caller sends attachments as messages of their own, directly behind the packet.
//!
//! Invariant: no packet makes a client close its connection: reserved names and more than 10 attachments are refused, and a
//! count of 0 attachments is never written.

use std::fmt;

use serde::Serialize;

use super::{ATTACHMENTS_SENT_MAX, SocketProtocol, is_reserved, placeholder};
use crate::proto::engine::{put_number, put_string};

/// The reason why an event or an acknowledgement cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The event's name is reserved: a client would close its connection.
    ReservedName,
    /// More than 10 attachments, which clients refuse.
    TooManyAttachments,
    /// The placeholders do not refer to each attachment exactly once: a client would close its connection.
    Placeholders,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedName => f.write_str("the event's name is reserved by Socket.IO"),
            Self::TooManyAttachments => {
                write!(f, "a Socket.IO packet has at most {ATTACHMENTS_SENT_MAX} attachments")
            }
            Self::Placeholders => f.write_str("the placeholders do not refer to each attachment once"),
        }
    }
}

impl std::error::Error for Unsendable {}

/// Appends the answer to CONNECT. Protocol 4 contains neither `sid` nor `pid`.
pub fn put_connected(
    out: &mut Vec<u8>,
    protocol: SocketProtocol,
    namespace: &str,
    sid: &str,
    pid: Option<&str>,
) {
    put_head(out, b'0', 0, namespace, None);
    if protocol == SocketProtocol::V5 {
        out.extend_from_slice(b"{\"sid\":");
        put_string(out, sid);
        if let Some(pid) = pid {
            out.extend_from_slice(b",\"pid\":");
            put_string(out, pid);
        }
        out.push(b'}');
    }
}

/// Appends CONNECT_ERROR. `data` is one value of JSON for the application; protocol 4 contains `data`, or else the message.
pub fn put_connect_error(
    out: &mut Vec<u8>,
    protocol: SocketProtocol,
    namespace: &str,
    message: &str,
    data: Option<&str>,
) {
    put_head(out, b'4', 0, namespace, None);
    match (protocol, data) {
        (SocketProtocol::V4, Some(data)) => out.extend_from_slice(data.as_bytes()),
        (SocketProtocol::V4, None) => put_string(out, message),
        (SocketProtocol::V5, data) => {
            out.extend_from_slice(b"{\"message\":");
            put_string(out, message);
            if let Some(data) = data {
                out.extend_from_slice(b",\"data\":");
                out.extend_from_slice(data.as_bytes());
            }
            out.push(b'}');
        }
    }
}

/// Appends DISCONNECT. Clients do not reconnect after it by themselves.
pub fn put_disconnect(out: &mut Vec<u8>, namespace: &str) {
    put_head(out, b'1', 0, namespace, None);
}

/// Appends the id of a socket in protocol 4: the session's in `/`, elsewhere `<namespace>#<session>`.
pub fn put_sid_of_v4(out: &mut Vec<u8>, namespace: &str, session: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b'#');
    }
    out.extend_from_slice(session.as_bytes());
}

fn put_head(out: &mut Vec<u8>, kind: u8, attachments: usize, namespace: &str, id: Option<u64>) {
    out.push(kind);
    if attachments > 0 {
        put_number(out, attachments as u64);
        out.push(b'-');
    }
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        put_number(out, id);
    }
}

/// Writes an event or an acknowledgement, argument by argument.
#[derive(Debug)]
#[must_use = "a packet ends by `end` or `finish`"]
pub struct PacketWriter<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
    placeholders: usize,
    attachments: usize,
    /// Where its list begins.
    list_at: usize,
}

impl<'o> PacketWriter<'o> {
    /// Begins an event with this number of attachments; with an `id` it asks for an acknowledgement.
    ///
    /// # Errors
    /// When clients would refuse it; then nothing is appended.
    pub fn event(
        out: &'o mut Vec<u8>,
        namespace: &str,
        id: Option<u64>,
        name: &str,
        attachments: usize,
    ) -> Result<Self, Unsendable> {
        if is_reserved(name) {
            return Err(Unsendable::ReservedName);
        }
        let writer = Self::list(out, [b'2', b'5'], namespace, id, attachments)?;
        put_string(writer.out, name);
        Ok(Self { is_empty: false, ..writer })
    }

    /// Begins the acknowledgement of the event with this id, with this number of attachments.
    ///
    /// # Errors
    /// When clients would refuse it; then nothing is appended.
    pub fn ack(
        out: &'o mut Vec<u8>,
        namespace: &str,
        id: u64,
        attachments: usize,
    ) -> Result<Self, Unsendable> {
        Self::list(out, [b'3', b'6'], namespace, Some(id), attachments)
    }

    fn list(
        out: &'o mut Vec<u8>,
        [plain, binary]: [u8; 2],
        namespace: &str,
        id: Option<u64>,
        attachments: usize,
    ) -> Result<Self, Unsendable> {
        if attachments > ATTACHMENTS_SENT_MAX {
            return Err(Unsendable::TooManyAttachments);
        }
        put_head(out, if attachments > 0 { binary } else { plain }, attachments, namespace, id);
        out.push(b'[');
        let list_at = out.len();
        Ok(Self { out, is_empty: true, placeholders: 0, attachments, list_at })
    }

    fn separate(&mut self) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
    }

    /// Adds arguments in JSON with commas between them, without brackets, possibly none. Placeholders in them must match the
    /// packet's attachments, if there are any.
    pub fn raw(&mut self, args: &str) -> &mut Self {
        if !args.is_empty() {
            self.separate();
            self.out.extend_from_slice(args.as_bytes());
        }
        self
    }

    /// Adds one argument, serialized.
    ///
    /// # Errors
    /// When it cannot be serialized; then nothing is added.
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) -> serde_json::Result<&mut Self> {
        let (before, was_empty) = (self.out.len(), self.is_empty);
        self.separate();
        if let Err(error) = serde_json::to_writer(&mut *self.out, value) {
            self.out.truncate(before);
            self.is_empty = was_empty;
            return Err(error);
        }
        Ok(self)
    }

    /// Adds each value of a tuple or a list as an argument, none for `()`; any other value is one argument.
    ///
    /// # Errors
    /// When it cannot be serialized; then nothing is added.
    pub fn values(&mut self, values: &(impl Serialize + ?Sized)) -> serde_json::Result<&mut Self> {
        let (before, was_empty) = (self.out.len(), self.is_empty);
        self.value(values)?;
        let start = before + usize::from(!was_empty);
        match &self.out[start..] {
            b"[]" | b"null" => {
                self.out.truncate(before);
                self.is_empty = was_empty;
            }
            [b'[', ..] => {
                self.out.pop();
                self.out.remove(start);
            }
            _ => {}
        }
        Ok(self)
    }

    /// Adds the placeholder of the next attachment.
    pub fn placeholder(&mut self) -> &mut Self {
        self.separate();
        placeholder::put(self.out, self.placeholders);
        self.placeholders += 1;
        self
    }

    /// Adds the offset for recovery, which must be the last argument. With recovery on, every event has one, except events
    /// that ask for an acknowledgement.
    pub fn offset(&mut self, offset: &str) -> &mut Self {
        self.separate();
        put_string(self.out, offset);
        self
    }

    /// Ends the packet.
    pub fn end(self) {
        self.out.push(b']');
    }

    /// Ends a packet whose placeholders are not known to match its attachments.
    ///
    /// # Errors
    /// When they do not; the caller takes back what was appended.
    pub fn finish(self) -> Result<(), Unsendable> {
        if self.attachments > 0 {
            let list =
                std::str::from_utf8(&self.out[self.list_at..]).map_err(|_| Unsendable::Placeholders)?;
            placeholder::check(list, 0..self.attachments).map_err(|_| Unsendable::Placeholders)?;
        }
        self.end();
        Ok(())
    }
}
