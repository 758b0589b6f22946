//! The socket of one client in one namespace, as an application's method sees it.

use std::fmt;

use serde::Serialize;

use super::SocketId;
use super::acks::Acks;
use super::events::AckId;
use super::form::data_of;
use super::identity::Identity;
use super::track::Track;
use crate::base::slots::Key;
use crate::hub::away::Direct;
use crate::hub::selector::{BadSelector, namespace_channel};
use crate::hub::socket_place::SocketPlace;
use crate::proto::engine::EngineProtocol;
use crate::proto::socketio::write::{PacketWriter, Unsendable};
use crate::proto::socketio::{Args, AttachmentStore, Attachments, JsonArgs, msgpack, packed};
use crate::session::bound::Bound;
use crate::session::engine::Outlet;
use crate::session::{Action, ClientCertificate, ClientId, CloseReason, Context};

/// The socket of one client in one namespace, and the requests to it.
#[derive(Debug)]
pub struct Socket<'a, 'b> {
    pub(super) cx: &'a mut Context<'b>,
    pub(super) outlet: Outlet,
    pub(super) namespace: &'a str,
    pub(super) number: u8,
    pub(super) identity: Option<&'a Identity>,
    pub(super) place: SocketPlace,
    pub(super) acks: &'a mut Acks,
    /// `None` for one that cannot return.
    pub(super) track: Option<&'a mut Track>,
    pub(super) bound: Bound,
    pub(super) is_recovered: bool,
}

/// The reason why an event or an answer is not sent. The client gets nothing of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The event's name is reserved: a client would close its connection.
    ReservedName,
    /// More than 10 attachments, which clients refuse.
    TooManyAttachments,
    /// The placeholders in the arguments do not refer to each attachment exactly once.
    Placeholders,
    /// The name of a room, with that of its namespace, is longer than `channel_name_bytes_max`.
    RoomName,
    /// More than 1,000 rooms, those that are left out among them.
    TooManyRooms,
    /// The socket has ended, and could not get the answers.
    Gone,
    /// The arguments cannot be JSON, or not msgpack, where the endpoint speaks that.
    Args(String),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedName => Unsendable::ReservedName.fmt(f),
            Self::TooManyAttachments => Unsendable::TooManyAttachments.fmt(f),
            Self::Placeholders => Unsendable::Placeholders.fmt(f),
            Self::RoomName => BadSelector::RoomName.fmt(f),
            Self::TooManyRooms => BadSelector::TooManyRooms.fmt(f),
            Self::Gone => f.write_str("the socket has ended, and could not get the answers"),
            Self::Args(why) => write!(f, "the arguments cannot be sent: {why}"),
        }
    }
}

impl std::error::Error for EmitError {}

impl From<Unsendable> for EmitError {
    fn from(why: Unsendable) -> Self {
        match why {
            Unsendable::ReservedName => Self::ReservedName,
            Unsendable::TooManyAttachments => Self::TooManyAttachments,
            Unsendable::Placeholders => Self::Placeholders,
        }
    }
}

impl From<BadSelector> for EmitError {
    fn from(bad: BadSelector) -> Self {
        match bad {
            BadSelector::TooManyRooms => Self::TooManyRooms,
            // The namespace is the socket's own.
            BadSelector::RoomName | BadSelector::Namespace => Self::RoomName,
        }
    }
}

impl From<serde_json::Error> for EmitError {
    fn from(error: serde_json::Error) -> Self {
        Self::Args(error.to_string())
    }
}

impl From<msgpack::Unwritable> for EmitError {
    fn from(why: msgpack::Unwritable) -> Self {
        match why {
            msgpack::Unwritable::Unsendable(why) => why.into(),
            msgpack::Unwritable::Args(error) => Self::Args(error.to_string()),
        }
    }
}

/// The beginning of a packet.
#[derive(Clone, Copy)]
enum Head<'h> {
    Event { name: &'h str, id: Option<u64> },
    Ack(u64),
}

/// The arguments of a packet.
enum Content<'v, V: ?Sized> {
    Values(&'v V),
    Json(JsonArgs<'v>),
}

impl Socket<'_, '_> {
    /// The id of the socket, the same as at its client.
    pub fn id(&self) -> SocketId {
        SocketId::of(self.place, self.cx.client.seed)
    }

    /// Whether the socket is one of an earlier connection whose client has returned (`recovery_ttl`): told to
    /// [`Events::connected`](super::Events::connected), false in other calls. It is in its rooms, and its client gets
    /// what it missed.
    pub fn is_recovered(&self) -> bool {
        self.is_recovered
    }

    /// The namespace, with its slash.
    pub fn namespace(&self) -> &str {
        self.namespace
    }

    /// The connection, which all sockets of one client share.
    pub fn client(&self) -> ClientId {
        self.cx.client
    }

    /// The user; empty when anonymous.
    pub fn user(&self) -> &str {
        self.identity.map_or("", |identity| &identity.user)
    }

    /// The client's information for others, from its token or hook: JSON, unless that gave other bytes; empty for none.
    pub fn info(&self) -> &[u8] {
        self.identity.map_or(&[], |identity| &identity.info)
    }

    /// Identity of the client's certificate, where TLS requests one (`tls_client_ca`).
    pub fn certificate(&self) -> Option<ClientCertificate<'_>> {
        self.cx.certificate
    }

    /// Milliseconds of the shard's monotonic clock, constant during a turn.
    pub fn now_ms(&self) -> u64 {
        self.cx.now_ms
    }

    /// Bytes waiting for this connection: queued because its client has not read them yet, or sent in this turn.
    pub fn waiting_bytes(&self) -> usize {
        self.cx.waiting_bytes + self.cx.out.len()
    }

    /// Sends an event. Each element of a tuple or list is an argument; any other value is the only one, but for `()`,
    /// which is none. So a list as the only argument is `&(list,)`, and null is `&(None::<()>,)`.
    ///
    /// All that one call of the application sends leaves in one write. Beyond `outbox_bytes_max` of bytes that the
    /// client did not ask for, its connection ends as a slow consumer.
    ///
    /// # Errors
    /// When the name is reserved, or the arguments cannot be JSON; then nothing is sent.
    pub fn emit(&mut self, name: &str, args: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.send(Head::Event { name, id: None }, &Content::Values(args), &[])
    }

    /// Sends an event with attachments, to which [`Binary`](super::Binary) in the arguments refers, to each once.
    ///
    /// # Errors
    /// As [`Socket::emit`]; and for more than 10 attachments, or if the arguments do not refer to each once.
    pub fn emit_with(
        &mut self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        self.send(Head::Event { name, id: None }, &Content::Values(args), attachments)
    }

    /// Sends an event with arguments as they were received, without decoding them.
    ///
    /// # Errors
    /// As [`Socket::emit_with`].
    pub fn emit_raw(
        &mut self,
        name: &str,
        args: JsonArgs<'_>,
        attachments: Attachments<'_>,
    ) -> Result<(), EmitError> {
        let attachments: Vec<_> = attachments.iter().collect();
        self.send(Head::Event { name, id: None }, &Content::<()>::Json(args), &attachments)
    }

    /// Sends an event that the client is to answer. [`Events::acked`](super::Events::acked) gets the answer, with this
    /// token, or is told that none came within `timeout_ms`; `None` waits for as long as the socket lives.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn emit_for_ack(
        &mut self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        token: u64,
        timeout_ms: Option<u64>,
    ) -> Result<(), EmitError> {
        let id = self.acks.next_id();
        self.send(Head::Event { name, id: Some(id) }, &Content::Values(args), &[])?;
        let at_ms = timeout_ms.map(|timeout_ms| self.cx.now_ms.saturating_add(timeout_ms));
        self.acks.wait(token, at_ms);
        if let Some(at_ms) = at_ms {
            self.cx.actions.push(Action::SetTimer { at_ms });
        }
        Ok(())
    }

    /// Sends an event with the id of the next one that the client is to answer.
    pub(super) fn ask_raw(
        &mut self,
        name: &str,
        args: JsonArgs<'_>,
        attachments: Attachments<'_>,
    ) -> Result<(), EmitError> {
        let (id, attachments) = (Some(self.acks.next_id()), attachments.iter().collect::<Vec<_>>());
        self.send(Head::Event { name, id }, &Content::<()>::Json(args), &attachments)
    }

    /// Answers an event of the client.
    ///
    /// # Errors
    /// As [`Socket::emit`].
    pub fn ack(&mut self, event: AckId, args: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.send(Head::Ack(event.0), &Content::Values(args), &[])
    }

    /// Answers an event of the client, with attachments.
    ///
    /// # Errors
    /// As [`Socket::emit_with`].
    pub fn ack_with(
        &mut self,
        event: AckId,
        args: &(impl Serialize + ?Sized),
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        self.send(Head::Ack(event.0), &Content::Values(args), attachments)
    }

    /// Answers an event of the client with arguments as they were received.
    ///
    /// # Errors
    /// As [`Socket::emit_with`].
    pub fn ack_raw(
        &mut self,
        event: AckId,
        args: JsonArgs<'_>,
        attachments: Attachments<'_>,
    ) -> Result<(), EmitError> {
        let attachments: Vec<_> = attachments.iter().collect();
        self.send(Head::Ack(event.0), &Content::<()>::Json(args), &attachments)
    }

    /// Whether the connection continues after the output.
    pub(super) fn outcome(&self) -> Result<(), CloseReason> {
        self.bound.outcome()
    }

    fn send<V: Serialize + ?Sized>(
        &mut self,
        head: Head<'_>,
        content: &Content<'_, V>,
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        let (before, count_before) = (self.cx.out.len(), self.cx.counts.messages_out);
        let can_return = self.track.is_some() && self.outlet.protocol == EngineProtocol::V4;
        if let Head::Event { name, id: None } = head
            && can_return
            && self.cx.settings.socketio.recovery_ttl_ms > 0
        {
            let direct = self.put_recoverable(name, content, attachments)?;
            if self.takes(before, count_before)
                && let Some(track) = &mut self.track
            {
                track.keep(direct, self.cx.settings.outbox_bytes_max);
            }
            return Ok(());
        }
        if self.outlet.is_msgpack {
            self.put_msgpack(head, content, attachments)?;
        } else {
            self.put_text(head, content, attachments)?;
        }
        self.takes(before, count_before);
        Ok(())
    }

    /// Whether the output behind `before` is within the bound, now that its length is known; otherwise it is dropped.
    fn takes(&mut self, before: usize, count_before: u64) -> bool {
        let takes = self.bound.takes(before, self.cx.out.len() - before, self.cx);
        if !takes {
            self.cx.out.truncate(before);
            self.cx.counts.messages_out = count_before;
        }
        takes
    }

    /// Writes an event with an offset; returns it for the case that it does not arrive.
    fn put_recoverable<V: Serialize + ?Sized>(
        &mut self,
        name: &str,
        content: &Content<'_, V>,
        attachments: &[&[u8]],
    ) -> Result<Direct, EmitError> {
        let mut text = Vec::new();
        let mut writer = PacketWriter::event(&mut text, self.namespace, None, name, attachments.len())?;
        match content {
            Content::Values(values) => writer.values(*values)?,
            Content::Json(args) => writer.raw(args.text()),
        };
        let key = Key::from_token(self.cx.client.token);
        let offset = self.cx.reach.direct(&namespace_channel(self.namespace), key);
        writer.offset(&offset.text(self.cx.reach.epoch()));
        writer.finish()?;
        if self.outlet.is_msgpack {
            let mut store = AttachmentStore::default();
            attachments.iter().for_each(|data| store.push(data));
            let packet = std::str::from_utf8(&text).ok().and_then(|text| packed(text, store.get()));
            let packet = packet.ok_or_else(|| EmitError::Args("nested too deeply for msgpack".to_owned()))?;
            self.outlet.binary(&packet, self.cx);
        } else {
            self.outlet.text(text.len(), self.cx, |out| {
                out.extend_from_slice(&text);
                Ok::<(), EmitError>(())
            })?;
            attachments.iter().for_each(|data| self.outlet.binary(data, self.cx));
        }
        let (kind, data) = data_of(text, attachments);
        Ok(Direct { offset, kind, data: data.into() })
    }

    fn put_text<V: Serialize + ?Sized>(
        &mut self,
        head: Head<'_>,
        content: &Content<'_, V>,
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        let (namespace, count) = (self.namespace, attachments.len());
        let likely = match content {
            Content::Values(_) => 100,
            Content::Json(args) => args.text().len() + 20,
        };
        self.outlet.text(likely, self.cx, |out| {
            let mut writer = match head {
                Head::Event { name, id } => PacketWriter::event(out, namespace, id, name, count)?,
                Head::Ack(id) => PacketWriter::ack(out, namespace, id, count)?,
            };
            match content {
                Content::Values(values) => writer.values(*values)?,
                Content::Json(args) => writer.raw(args.text()),
            };
            writer.finish().map_err(EmitError::from)
        })?;
        for data in attachments {
            self.outlet.binary(data, self.cx);
        }
        Ok(())
    }

    fn put_msgpack<V: Serialize + ?Sized>(
        &mut self,
        head: Head<'_>,
        content: &Content<'_, V>,
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        // The text of an acknowledgement is its arguments, behind a head that ends with a bracket.
        let mut text = Vec::new();
        let mut writer = PacketWriter::ack(&mut text, "/", 0, attachments.len())?;
        match content {
            Content::Values(values) => writer.values(*values)?,
            Content::Json(args) => writer.raw(args.text()),
        };
        writer.finish()?;
        let unread = |error: &dyn fmt::Display| EmitError::Args(error.to_string());
        let text = std::str::from_utf8(&text).map_err(|error| unread(&error))?;
        let list = text.find('[').map_or("[]", |at| &text[at..]);
        let args = JsonArgs::of_list(list).map_err(|error| unread(&error))?;
        let mut store = AttachmentStore::default();
        attachments.iter().for_each(|data| store.push(data));
        let (content, mut packet) = ((Args::Json(args), store.get()), Vec::new());
        match head {
            Head::Event { name, id } => {
                msgpack::put_event(&mut packet, self.namespace, id, name, content, None)?;
            }
            Head::Ack(id) => msgpack::put_ack(&mut packet, self.namespace, id, content)?,
        }
        self.outlet.binary(&packet, self.cx);
        Ok(())
    }
}
