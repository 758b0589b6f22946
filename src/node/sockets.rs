//! Socket.IO from any thread: events for sockets of a namespace.
//!
//! An event goes to the namespace's home, which gives it its place among all events for rooms of the namespace, whoever
//! sends them. A defect of a selector or an event is told at once, and then nothing is sent.

use std::fmt;

use serde::Serialize;

use super::handle::Node;
use super::pending::{Failure, Pending};
use super::shards::SocketTerms;
use crate::hub::emission::Emission;
use crate::hub::home::Answer;
use crate::hub::selector::{BadSelector, Rooms, Selector};
use crate::hub::{DataKind, Publication};
use crate::proto::socketio::write::{PacketWriter, Unsendable};
use crate::proto::socketio::{AttachmentStore, JsonArgs, bundle, packed};
use crate::shard::mailbox::Letter;

/// An event for sockets: a name, arguments, attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketMessage {
    /// The packet for the root namespace.
    packet: String,
    /// Where its list begins.
    list_at: usize,
    attachments: Vec<Vec<u8>>,
    is_volatile: bool,
}

/// The reason why an event, or an order to sockets, is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadEmit {
    /// The selector has a defect.
    Selector(BadSelector),
    /// Clients would refuse the event.
    Event(Unsendable),
    /// The arguments cannot be JSON, or not msgpack, where the endpoint speaks that.
    Args(String),
    /// The event is larger than half of `outbox_bytes_max`.
    TooLarge,
    /// Socket.IO is not served (`socketio.enabled`).
    NotServed,
}

impl fmt::Display for BadEmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(bad) => bad.fmt(f),
            Self::Event(why) => write!(f, "event: {why}"),
            Self::Args(why) => write!(f, "args: {why}"),
            Self::TooLarge => f.write_str("the event is larger than half of outbox_bytes_max"),
            Self::NotServed => f.write_str("Socket.IO is not enabled"),
        }
    }
}

impl std::error::Error for BadEmit {}

impl From<BadSelector> for BadEmit {
    fn from(bad: BadSelector) -> Self {
        Self::Selector(bad)
    }
}

impl From<Unsendable> for BadEmit {
    fn from(why: Unsendable) -> Self {
        Self::Event(why)
    }
}

impl From<serde_json::Error> for BadEmit {
    fn from(error: serde_json::Error) -> Self {
        Self::Args(error.to_string())
    }
}

impl SocketMessage {
    /// An event with these arguments: each element of a tuple or list is one; any other value is the only one, but for
    /// `()`, which is none. [`Binary`](crate::socketio::Binary) in the arguments refers to one of the attachments, and each
    /// must be referred to once; at most 10.
    ///
    /// # Errors
    /// When clients would refuse it, or the arguments cannot be JSON.
    pub fn new(
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Vec<u8>>,
    ) -> Result<Self, BadEmit> {
        let mut packet = Vec::new();
        let mut writer = PacketWriter::event(&mut packet, "/", None, name, attachments.len())?;
        writer.values(args)?;
        writer.finish()?;
        Ok(Self::of(packet, attachments))
    }

    /// An event with arguments that are JSON already, such as those of a received one.
    ///
    /// # Errors
    /// When clients would refuse it.
    pub fn raw(name: &str, args: JsonArgs<'_>, attachments: Vec<Vec<u8>>) -> Result<Self, BadEmit> {
        let mut packet = Vec::new();
        let mut writer = PacketWriter::event(&mut packet, "/", None, name, attachments.len())?;
        writer.raw(args.text());
        writer.finish()?;
        Ok(Self::of(packet, attachments))
    }

    /// Drops the event for sockets that have not read what was sent before.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { is_volatile: true, ..self }
    }

    fn of(packet: Vec<u8>, attachments: Vec<Vec<u8>>) -> Self {
        // Serializers and names are UTF-8.
        let packet = String::from_utf8(packet).unwrap_or_default();
        let list_at = packet.find('[').unwrap_or_default();
        Self { packet, list_at, attachments, is_volatile: false }
    }

    /// The data of the event in a namespace.
    fn data(&self, namespace: &str, terms: SocketTerms) -> Result<(DataKind, Vec<u8>), BadEmit> {
        let (head, list) = self.packet.split_at(self.list_at);
        let text = match namespace {
            "/" => self.packet.clone(),
            _ => [head, namespace, ",", list].concat(),
        };
        if terms.is_msgpack {
            let mut store = AttachmentStore::default();
            self.attachments.iter().for_each(|data| store.push(data));
            if packed(&text, store.get()).is_none() {
                return Err(BadEmit::Args("nested too deeply for msgpack".to_owned()));
            }
        }
        let attachments: Vec<&[u8]> = self.attachments.iter().map(Vec::as_slice).collect();
        let data = bundle(text.into_bytes(), &attachments);
        if data.len() > terms.message_bytes_max {
            return Err(BadEmit::TooLarge);
        }
        let kind = if attachments.is_empty() { DataKind::Text } else { DataKind::Binary };
        Ok((kind, data))
    }
}

impl Node {
    /// Sends an event to sockets, in its place among all events for rooms of the namespace. A selector without any socket is
    /// no error.
    ///
    /// The outcome is available when the namespace's home has sent it on; it may be [`Failure::Overloaded`].
    ///
    /// # Errors
    /// The defect of the selector or the event.
    pub fn emit(&self, to: &Selector, message: &SocketMessage) -> Result<Pending<()>, BadEmit> {
        let (terms, Rooms { to: rooms, except }) = self.resolve(to)?;
        let (kind, data) = message.data(&to.namespace, terms)?;
        let shards = self.shards();
        if shards.is_overloaded() {
            return Ok(Pending::failed(Failure::Overloaded));
        }
        let home = match shards.free_home(&rooms[0]) {
            Ok(home) => home,
            Err(failure) => return Ok(Pending::failed(failure)),
        };
        let publication = Publication::new(rooms[0].clone(), kind, shards.charge(data));
        let emission = Box::new(Emission {
            publication: publication.into(),
            to: rooms,
            except,
            not_to: None,
            is_volatile: message.is_volatile,
        });
        let (asker, answer) = self.asker();
        self.send(home, Letter::Emit { emission, asker: Some(asker) });
        Ok(Pending::waiting(answer, |answer| matches!(answer, Answer::Published(_)).then_some(())))
    }

    /// The channels of a selector, where Socket.IO is served.
    fn resolve(&self, to: &Selector) -> Result<(SocketTerms, Rooms), BadEmit> {
        let terms = self.shards().socket_terms();
        if !terms.is_served {
            return Err(BadEmit::NotServed);
        }
        Ok((terms, to.resolve(terms.name_bytes_max)?))
    }
}
