//! Socket.IO from any thread: events for sockets of a namespace, and orders to them.
//!
//! Events and orders go to the namespace's home, which gives each its place among all events for rooms of the namespace, whoever
//! sends them. A defect of a selector or an event is told at once, and then nothing is sent.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::handle::Node;
use super::pending::{Failure, Pending};
use super::shards::SocketTerms;
use crate::hub::emission::Emission;
use crate::hub::home::Answer;
use crate::hub::rooms::RoomMap;
use crate::hub::selector::{BadSelector, Naming, ROOMS_MAX, Rooms, Selector, namespace_channel};
use crate::hub::socket_order::{
    Gathered, SocketAnswer, SocketDeed, SocketFacts, SocketOrder, SocketQuestion,
};
use crate::hub::words::Copied;
use crate::hub::{DataKind, Publication};
use crate::proto::socketio::publication::{Published, PublishedAs, publication_of};
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

impl SocketMessage {
    /// The event as publications of those channels that are shared.
    fn copies(&self, rooms: &RoomMap, to: &[Arc<str>]) -> Result<Vec<Copied>, BadEmit> {
        rooms.copies(to, |usual_name| {
            let mut store = AttachmentStore::default();
            self.attachments.iter().for_each(|data| store.push(data));
            let Published { kind, data, event } = publication_of(&self.packet, store.get(), usual_name)
                .map_err(|_| BadEmit::Args("nested too deeply".to_owned()))?;
            let kind = if kind == PublishedAs::Json { DataKind::Json } else { DataKind::Binary };
            Ok((kind, data, event))
        })
    }
}

/// The answers of sockets to an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acks {
    /// The answers, in the order in which they came.
    pub answers: Vec<SocketAnswer>,
    /// The ids of the sockets that did not answer in time, have ended, or did not get a volatile event.
    pub missing: Vec<Box<str>>,
    /// Whether some of both were left out, beyond 16 MiB.
    pub is_cut: bool,
}

/// The channels of rooms.
fn channels(
    namespace: &str,
    rooms: &[impl AsRef<str>],
    naming: Naming<'_>,
) -> Result<Box<[Arc<str>]>, BadSelector> {
    if rooms.len() > ROOMS_MAX {
        return Err(BadSelector::TooManyRooms);
    }
    rooms.iter().map(|room| naming.channel(namespace, room.as_ref())).collect()
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
        let copies = message.copies(self.shards().rooms(), &rooms)?;
        let shards = self.shards();
        if shards.is_overloaded() {
            return Ok(Pending::failed(Failure::Overloaded));
        }
        let home = match shards.free_home(&rooms[0]) {
            Ok(home) => home,
            Err(failure) => return Ok(Pending::failed(failure)),
        };
        let group = if copies.is_empty() { Arc::clone(&rooms[0]) } else { namespace_channel(&to.namespace) };
        let publication = Publication::new(group, kind, shards.charge(data));
        let emission = Box::new(Emission {
            publication: publication.into(),
            copies: shards.copied(copies, message.is_volatile),
            to: rooms,
            except,
            not_to: None,
            sender: None,
            // Set by the home.
            home: 0,
            is_volatile: message.is_volatile,
        });
        let (asker, answer) = self.asker();
        self.send(home, Letter::Emit { emission, asker: Some(asker) });
        Ok(Pending::waiting(answer, |answer| matches!(answer, Answer::Published(_)).then_some(())))
    }

    /// Sends an event that each of the sockets is to answer within `timeout_ms`. The outcome is available when the last one
    /// has answered, or the time is over; it may be [`Failure::Overloaded`].
    ///
    /// # Errors
    /// The defect of the selector or the event.
    pub fn emit_with_ack(
        &self,
        to: &Selector,
        message: &SocketMessage,
        timeout_ms: u64,
    ) -> Result<Pending<Acks>, BadEmit> {
        let (terms, rooms) = self.resolve(to)?;
        let (kind, data) = message.data(&to.namespace, terms)?;
        let is_volatile = message.is_volatile;
        let question = SocketQuestion { kind, data, timeout_ms, is_volatile };
        Ok(self.order_sockets(to, rooms, SocketDeed::Ask(question), |gathered| {
            let Gathered { answers, missing, is_cut, .. } = gathered;
            Acks { answers, missing, is_cut }
        }))
    }

    /// Makes sockets enter rooms; those that are in them stay. The outcome is the number of sockets, and available when all
    /// shards have carried it out: what is emitted afterwards to these rooms reaches them. It may be
    /// [`Failure::Overloaded`], here and in the other orders.
    ///
    /// # Errors
    /// The defect of the selector, or of the name of a room.
    pub fn sockets_join(&self, to: &Selector, rooms: &[impl AsRef<str>]) -> Result<Pending<u64>, BadEmit> {
        let (terms, selected) = self.resolve(to)?;
        let deed = SocketDeed::Join(channels(&to.namespace, rooms, self.naming(terms))?);
        Ok(self.order_sockets(to, selected, deed, |gathered| gathered.count))
    }

    /// Makes sockets leave rooms. The outcome is the number of sockets that the selector has found.
    ///
    /// # Errors
    /// As [`Node::sockets_join`].
    pub fn sockets_leave(&self, to: &Selector, rooms: &[impl AsRef<str>]) -> Result<Pending<u64>, BadEmit> {
        let (terms, selected) = self.resolve(to)?;
        let deed = SocketDeed::Leave(channels(&to.namespace, rooms, self.naming(terms))?);
        Ok(self.order_sockets(to, selected, deed, |gathered| gathered.count))
    }

    /// Disconnects sockets from their namespace; with `close`, their connections are closed, with all sockets on them. Their
    /// clients do not come back by themselves. Events that were sent before reach them. The outcome is the number of
    /// sockets.
    ///
    /// # Errors
    /// The defect of the selector.
    pub fn disconnect_sockets(&self, to: &Selector, close: bool) -> Result<Pending<u64>, BadEmit> {
        let (_, selected) = self.resolve(to)?;
        let deed = SocketDeed::Disconnect { close };
        Ok(self.order_sockets(to, selected, deed, |gathered| gathered.count))
    }

    /// Returns the sockets of a selector. The outcome may be [`Failure::LimitExceeded`] when they are too many: beyond 16
    /// MiB.
    ///
    /// # Errors
    /// The defect of the selector.
    pub fn fetch_sockets(&self, to: &Selector) -> Result<Pending<Vec<SocketFacts>>, BadEmit> {
        let (_, selected) = self.resolve(to)?;
        Ok(self.order_sockets(to, selected, SocketDeed::Fetch, |gathered| gathered.sockets))
    }

    fn order_sockets<T>(
        &self,
        to: &Selector,
        rooms: Rooms,
        deed: SocketDeed,
        read: fn(Gathered) -> T,
    ) -> Pending<T> {
        let shards = self.shards();
        if shards.is_overloaded() {
            return Pending::failed(Failure::Overloaded);
        }
        let home = match shards.free_home(&rooms.to[0]) {
            Ok(home) => home,
            Err(failure) => return Pending::failed(failure),
        };
        let order = SocketOrder { namespace: to.namespace.as_str().into(), rooms, not_to: None, deed };
        let (asker, answer) = self.asker();
        self.send(home, Letter::OrderSockets { order: Box::new(order), asker: Some(asker) });
        Pending::gathered(answer, read)
    }

    /// The channels of a selector, where Socket.IO is served.
    fn resolve(&self, to: &Selector) -> Result<(SocketTerms, Rooms), BadEmit> {
        let terms = self.shards().socket_terms();
        if !terms.is_served {
            return Err(BadEmit::NotServed);
        }
        Ok((terms, to.resolve(self.naming(terms))?))
    }

    /// The names of rooms.
    fn naming(&self, terms: SocketTerms) -> Naming<'_> {
        let (rooms, seed) = (self.shards().rooms(), self.shards().wiring.seed);
        Naming { rooms, seed, name_bytes_max: terms.name_bytes_max }
    }
}
