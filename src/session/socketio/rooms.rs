//! Rooms: joining, leaving, and events for several sockets of a namespace.
//!
//! A room is a private channel, `<namespace>,<room>` behind a first character that no other way in accepts; the namespace is
//! one, too, with all its sockets. A room whose name is that of a channel with this namespace in its options is that channel
//! ([`super::shared`]). All rooms of a namespace have one home, which gives their events one order. A socket's id names a room
//! of its own, which no socket enters: its shard finds the socket by the id.

use std::sync::Arc;

use serde::Serialize;

use super::form::data_of;
use super::identity::Identity;
use super::orders::Asking;
use super::shared::copies_of;
use super::{EmitError, Gone, Socket, SocketId};
use crate::base::payload::Payload;
use crate::hub::rooms::Visitor;
use crate::hub::selector::{Naming, ROOMS_MAX, Rooms};
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::{self, Ask, Enter};
use crate::hub::{ClientInfo, DataKind};
use crate::proto::socketio::write::PacketWriter;
use crate::proto::socketio::{AttachmentStore, Attachments, JsonArgs, packed};
use crate::session::{Action, ClientId, Settings};

/// The names of rooms.
pub(super) fn naming(settings: &Settings, client: ClientId) -> Naming<'_> {
    let Settings { rooms, channel_name_bytes_max: name_bytes_max, .. } = settings;
    Naming { rooms, seed: client.seed, name_bytes_max: *name_bytes_max }
}

/// The namespace for which an application's method is called, and its requests to the shard.
#[derive(Debug)]
pub(super) struct Place<'p> {
    pub(super) namespace: &'p str,
    pub(super) id: SocketId,
    pub(super) identity: Option<&'p Identity>,
    pub(super) naming: Naming<'p>,
    pub(super) is_msgpack: bool,
    /// For answers to events for several sockets; `None` for a socket that has ended.
    pub(super) asking: Option<Asking<'p>>,
    /// The socket, where it is one that lives.
    pub(super) sender: Option<SocketPlace>,
    pub(super) actions: &'p mut Vec<Action>,
}

impl Place<'_> {
    /// Whether the room is a channel that other protocols share.
    fn is_shared(&self, room: &str) -> bool {
        self.naming.is_shared(self.namespace, room)
    }

    pub(super) fn room(&self, room: &str) -> Result<Arc<str>, EmitError> {
        Ok(self.naming.channel(self.namespace, room)?)
    }

    /// Enters a room.
    pub(super) fn enter(&mut self, room: &str) -> Result<(), EmitError> {
        let channel = self.room(room)?;
        let info = self.is_shared(room).then(|| self.info());
        self.ask(Ask::Enter(Box::new(Enter { info, ..Enter::new(channel) })));
        Ok(())
    }

    /// The socket as others in a shared channel see it.
    fn info(&self) -> Arc<ClientInfo> {
        let (user, conn_info) = match self.identity {
            Some(Identity { user, info, .. }) => (user.clone(), info.clone()),
            None => Default::default(),
        };
        Arc::new(ClientInfo {
            user,
            client: self.id.as_str().into(),
            conn_info,
            chan_info: Payload::default(),
        })
    }

    fn ask(&mut self, ask: Ask) {
        self.actions.push(Action::Ask { id: 0, ask });
    }
}

impl Socket<'_, '_> {
    /// Enters a room of the namespace; does nothing if the socket is in it. What is sent to the room from now on reaches
    /// the socket. At `channels_per_connection_max` rooms the connection ends with 3505.
    ///
    /// A room that is a channel is entered, too, whatever the channel's permissions are: the application decides, see
    /// [`Socket::may_join`].
    ///
    /// # Errors
    /// When the name is too long; then nothing is done.
    pub fn join(&mut self, room: &str) -> Result<(), EmitError> {
        self.place().enter(room)
    }

    /// Whether this client may enter a room: for a room that is a channel, whether it could subscribe to that without a
    /// token. Other rooms have no permissions, and the application decides.
    pub fn may_join(&self, room: &str) -> bool {
        let naming = naming(self.cx.settings, self.cx.client);
        !naming.is_shared(self.namespace, room) || naming.rooms.may_subscribe(room, self.visitor(false))
    }

    /// Whether this client may send events to a room: for a room that is a channel, whether it could publish there;
    /// `is_in_room` says whether it has entered it. Other rooms have no permissions, and the application decides.
    pub fn may_emit(&self, room: &str, is_in_room: bool) -> bool {
        let naming = naming(self.cx.settings, self.cx.client);
        !naming.is_shared(self.namespace, room) || naming.rooms.may_publish(room, self.visitor(is_in_room))
    }

    fn visitor(&self, is_subscribed: bool) -> Visitor<'_> {
        Visitor { user: self.user(), is_subscribed }
    }

    /// Leaves a room; does nothing if the socket is not in it.
    pub fn leave(&mut self, room: &str) {
        let mut place = self.place();
        // A name that is too long is no room of the socket.
        if let Ok(channel) = place.room(room) {
            place.ask(Ask::Leave { channel });
        }
    }

    /// An event for a room or for the socket with this id, without this socket: `socket.to(room)` of the reference.
    pub fn to(&mut self, room: &str) -> Emit<'_> {
        self.others().to(room)
    }

    /// An event for all sockets of the namespace but this one: `socket.broadcast` of the reference.
    pub fn others(&mut self) -> Emit<'_> {
        Emit::new(self.place(), true)
    }

    /// An event for all sockets of the namespace, with this one: `io.of(namespace)` of the reference.
    pub fn everyone(&mut self) -> Emit<'_> {
        Emit::new(self.place(), false)
    }

    fn place(&mut self) -> Place<'_> {
        Place {
            namespace: self.namespace,
            id: SocketId::of(self.place, self.cx.client.seed),
            identity: self.identity,
            naming: naming(self.cx.settings, self.cx.client),
            is_msgpack: self.outlet.is_msgpack,
            asking: Some(Asking { acks: self.acks, number: self.number }),
            sender: Some(self.place),
            actions: self.cx.actions,
        }
    }
}

impl Gone<'_> {
    /// An event for a room of the namespace, which the socket has left.
    pub fn to(&mut self, room: &str) -> Emit<'_> {
        self.everyone().to(room)
    }

    /// An event for all sockets of the namespace, which this one has left.
    pub fn everyone(&mut self) -> Emit<'_> {
        let Place { namespace, id, identity, naming, is_msgpack, ref mut actions, .. } = self.place;
        let place =
            Place { namespace, id, identity, naming, is_msgpack, asking: None, sender: None, actions };
        Emit::new(place, false)
    }
}

/// An event for several sockets of a namespace, in all shards. Without rooms it is for all of the namespace; each socket in
/// any of the rooms gets it once. All events of a namespace that are sent so have one order, the same for all.
#[derive(Debug)]
#[must_use = "nothing is sent without `emit`"]
pub struct Emit<'s> {
    pub(super) place: Place<'s>,
    pub(super) to: Vec<Arc<str>>,
    pub(super) except: Vec<Arc<str>>,
    pub(super) is_to_others: bool,
    pub(super) is_volatile: bool,
    /// The first defect of its rooms.
    pub(super) wrong: Option<EmitError>,
}

impl<'s> Emit<'s> {
    pub(super) fn new(place: Place<'s>, is_to_others: bool) -> Self {
        Self { place, to: Vec::new(), except: Vec::new(), is_to_others, is_volatile: false, wrong: None }
    }

    /// Adds a room, or the socket with this id. At most 1,000 rooms with those of [`Emit::except`].
    pub fn to(mut self, room: &str) -> Self {
        if let Some(channel) = self.room(room) {
            self.to.push(channel);
        }
        self
    }

    /// Takes out the sockets of a room, or the socket with this id.
    pub fn except(mut self, room: &str) -> Self {
        if let Some(channel) = self.room(room) {
            self.except.push(channel);
        }
        self
    }

    /// The channel of one more room, unless that is a defect.
    fn room(&mut self, room: &str) -> Option<Arc<str>> {
        let fits = self.to.len() + self.except.len() < ROOMS_MAX;
        let channel = if fits { self.place.room(room) } else { Err(EmitError::TooManyRooms) };
        channel.map_err(|error| self.wrong.get_or_insert(error)).ok()
    }

    /// Sends the event to sockets of this process only. So far those are all, so that it changes nothing.
    pub fn local(self) -> Self {
        self
    }

    /// Drops the event for sockets that have not read what was sent before, and for those on polling without a waiting
    /// request.
    pub fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// Sends the event; its arguments are as for [`Socket::emit`].
    ///
    /// # Errors
    /// As [`Socket::emit`]; and when the name of a room is too long, or there are too many. Then nothing is sent.
    pub fn emit(self, name: &str, args: &(impl Serialize + ?Sized)) -> Result<(), EmitError> {
        self.emit_with(name, args, &[])
    }

    /// Sends the event with attachments, as [`Socket::emit_with`].
    ///
    /// # Errors
    /// As [`Socket::emit_with`] and [`Emit::emit`].
    pub fn emit_with(
        self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: &[&[u8]],
    ) -> Result<(), EmitError> {
        let (kind, data) = self.encoded(name, args, attachments)?;
        self.send(kind, data)
    }

    /// Sends the event with arguments as they were received, without decoding them.
    ///
    /// # Errors
    /// As [`Emit::emit_with`].
    pub fn emit_raw(
        self,
        name: &str,
        args: JsonArgs<'_>,
        attachments: Attachments<'_>,
    ) -> Result<(), EmitError> {
        let mut text = Vec::new();
        let mut writer =
            PacketWriter::event(&mut text, self.place.namespace, None, name, attachments.count())?;
        writer.raw(args.text());
        writer.finish()?;
        let attachments: Vec<_> = attachments.iter().collect();
        let (kind, data) = self.checked(text, &attachments)?;
        self.send(kind, data)
    }

    /// The event with these arguments, as data of a publication.
    pub(super) fn encoded(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: &[&[u8]],
    ) -> Result<(DataKind, Vec<u8>), EmitError> {
        let mut text = Vec::new();
        let mut writer = PacketWriter::event(&mut text, self.place.namespace, None, name, attachments.len())?;
        writer.values(args)?;
        writer.finish()?;
        self.checked(text, attachments)
    }

    fn checked(&self, text: Vec<u8>, attachments: &[&[u8]]) -> Result<(DataKind, Vec<u8>), EmitError> {
        if self.place.is_msgpack {
            let mut store = AttachmentStore::default();
            attachments.iter().for_each(|data| store.push(data));
            let is_sendable =
                std::str::from_utf8(&text).is_ok_and(|text| packed(text, store.get()).is_some());
            if !is_sendable {
                return Err(EmitError::Args("they are nested too deeply for msgpack".to_owned()));
            }
        }
        Ok(data_of(text, attachments))
    }

    fn send(self, kind: DataKind, data: Vec<u8>) -> Result<(), EmitError> {
        let Self { mut place, to, except, is_to_others, is_volatile, wrong } = self;
        if let Some(error) = wrong {
            return Err(error);
        }
        let Rooms { to, except } = Rooms::of(place.namespace, to, except);
        let sender = place.sender.filter(|_| is_to_others);
        let copies = copies_of(place.naming.rooms, &to, kind, &data)?;
        let info = (!copies.is_empty()).then(|| place.info());
        let emit = words::Emit { to, except, is_to_others, sender, is_volatile, kind, data, copies, info };
        place.ask(Ask::Emit(Box::new(emit)));
        Ok(())
    }
}
