//! The sockets of one connection, by namespace, and the packets for each.

use std::borrow::Cow;

use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::acks::Acks;
use super::events::{AckId, Acked, Admit, Connecting, Ending, Event, Gone, Why};
use super::rooms::{Place, channel_of, namespace_of};
use super::{Socket, SocketId, malformed};
use crate::hub::words::{Ask, Denied, Dismissed, Enter};
use crate::proto::socketio::{
    Args, Assembler, AttachmentStore, Attachments, JsonArgs, MsgPackArgs, Packet, PacketBody, Raw,
    SocketError, SocketEvent, SocketProtocol, msgpack, write,
};
use crate::session::bound::Bound;
use crate::session::engine::{Engine, Handshake, Outlet};
use crate::session::{Action, ClientId, CloseReason, Context, Handler, Settings};

/// The root namespace.
const ROOT: &str = "/";
/// Time from the answer to CONNECT until the application is told, in milliseconds, unless an event comes before. Some
/// clients lose messages that arrive together with that answer, and the reference's applications are slower, too.
const GREETING_MS: u64 = 10;

/// The state of a connection, except for its WebSocket.
#[derive(Debug)]
pub(super) struct Sockets<S> {
    pub(super) engine: Engine,
    pub(super) assembler: Assembler,
    list: SmallVec<[Entry<S>; 1]>,
    /// The application's part of the query of the request.
    query: Box<str>,
    /// End of the time to connect to a first namespace, in milliseconds of the shard's clock; `u64::MAX` once it has.
    connect_by_ms: u64,
    /// The time at which the application is told of sockets that are connected, in milliseconds of the shard's clock.
    greet_at_ms: u64,
    /// The number of the next socket.
    next_number: u8,
}

/// A socket in a namespace.
#[derive(Debug)]
struct Entry<S> {
    state: S,
    /// Empty for the root: most sockets are there, and own no name.
    namespace: Box<str>,
    acks: Acks,
    number: u8,
    stage: Stage,
}

/// The beginning of a socket's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The namespace's home has not counted it yet.
    Entering,
    /// The client was told that it is connected, the application will be.
    Connected,
    /// Both know.
    Greeted,
}

impl<S> Entry<S> {
    fn namespace(&self) -> &str {
        if self.namespace.is_empty() { ROOT } else { &self.namespace }
    }

    /// The parts of the socket that one method of the application gets.
    fn parts<'e, 'b>(
        &'e mut self,
        outlet: Outlet,
        bound: Bound,
        cx: &'e mut Context<'b>,
    ) -> (&'e mut S, Socket<'e, 'b>) {
        let Self { state, namespace, acks, number, .. } = self;
        let namespace = if namespace.is_empty() { ROOT } else { namespace };
        (state, Socket { cx, outlet, namespace, number: *number, acks, bound })
    }
}

impl<S> Sockets<S> {
    pub(super) fn new(opening: Handshake, cx: &Context<'_>) -> Self {
        let Handshake { engine, query } = opening;
        Self {
            engine,
            assembler: Assembler::default(),
            list: SmallVec::new(),
            query,
            connect_by_ms: cx.now_ms.saturating_add(cx.settings.socketio.connect_timeout_ms),
            greet_at_ms: 0,
            next_number: 0,
        }
    }

    /// Bytes of a packet that is not complete, and of events that wait for answers.
    pub(super) fn held_bytes(&self) -> usize {
        let acks: usize = self.list.iter().map(|entry| entry.acks.held_bytes()).sum();
        self.assembler.held_bytes() + acks
    }

    pub(super) fn deadline_ms(&self) -> u64 {
        let of = |entry: &Entry<S>| match entry.stage {
            Stage::Entering => u64::MAX,
            Stage::Connected => self.greet_at_ms,
            Stage::Greeted => entry.acks.due_ms(),
        };
        let sockets = self.list.iter().map(of).min().unwrap_or(u64::MAX);
        self.engine.due_ms().min(self.connect_by_ms).min(sockets)
    }

    /// Takes a packet.
    pub(super) fn packet<H: Handler<State = S>>(
        &mut self,
        packet: Packet<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Packet { namespace, body, attachments } = packet;
        let at = self.place_of(namespace);
        match (body, at) {
            (PacketBody::Connect { auth, .. }, None) => self.connect(namespace, auth, handler, cx),
            (PacketBody::Connect { .. }, Some(_)) => {
                Err(CloseReason::Malformed("a second CONNECT for one namespace"))
            }
            (PacketBody::ConnectError(_), _) => {
                Err(CloseReason::Malformed("CONNECT_ERROR, which only servers send"))
            }
            (PacketBody::Disconnect | PacketBody::Event(_) | PacketBody::Ack { .. }, None) => {
                // It may have crossed with a DISCONNECT of the server, or follow a refused CONNECT.
                match self.next_number {
                    0 => Err(CloseReason::Malformed("a packet before any CONNECT")),
                    _ => Ok(()),
                }
            }
            (PacketBody::Disconnect, Some(at)) => {
                self.remove(at, Why::ClientLeft, handler, cx);
                Ok(())
            }
            // Clients wait for the answer to CONNECT.
            (PacketBody::Event(_) | PacketBody::Ack { .. }, Some(at))
                if self.list[at].stage == Stage::Entering =>
            {
                Ok(())
            }
            (PacketBody::Event(event), Some(at)) => {
                self.greet(at, Bound::answer(), handler, cx)?;
                self.event(namespace, event, attachments, handler, cx)
            }
            (PacketBody::Ack { id, args }, Some(at)) => self.ack(at, id, args, attachments, handler, cx),
        }
    }

    fn connect<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        auth: Option<Raw<'_>>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if namespace.len() > cx.settings.channel_name_bytes_max {
            return self.refuse(namespace, "Invalid namespace", None, cx);
        }
        if self.list.len() >= cx.settings.socketio.namespaces_max {
            return self.refuse(namespace, "too many namespaces on one connection", None, cx);
        }
        let auth = match auth {
            None => None,
            Some(Raw::Json(json)) => Some(Cow::Borrowed(json)),
            Some(Raw::MsgPack(value)) => Some(Cow::Owned(auth_of(value).map_err(malformed)?)),
        };
        let number = self.free_number();
        let connecting = Connecting {
            namespace,
            id: SocketId::new(cx.client, number),
            client: cx.client,
            auth: auth.as_deref(),
            query: &self.query,
            certificate: cx.certificate,
        };
        let state = match handler.socket_connect(&connecting) {
            Admit::In(state) => state,
            Admit::Out { message, data } => {
                return self.refuse(namespace, &message, data.as_deref().map(RawValue::get), cx);
            }
        };
        self.next_number = number.wrapping_add(1).max(1);
        self.connect_by_ms = u64::MAX;
        let name = if namespace == ROOT { "" } else { namespace };
        let (namespace, acks) = (name.into(), Acks::default());
        self.list.push(Entry { state, namespace, acks, number, stage: Stage::Entering });
        let channel = channel_of(self.list[self.list.len() - 1].namespace());
        cx.actions.push(Action::Ask { id: 0, ask: Ask::Enter(Box::new(Enter::new(channel))) });
        Ok(())
    }

    /// The socket that waits to enter this channel, if that is a namespace's.
    fn waiting_at(&self, channel: &str) -> Option<usize> {
        self.place_of(namespace_of(channel)?).filter(|&at| self.list[at].stage == Stage::Entering)
    }

    /// Tells a client that it is connected, when the channel is that of a namespace.
    pub(super) fn entered(&mut self, channel: &str, cx: &mut Context<'_>) {
        let Some(at) = self.waiting_at(channel) else { return };
        self.list[at].stage = Stage::Connected;
        let id = SocketId::new(cx.client, self.list[at].number);
        let namespace = self.list[at].namespace();
        self.put(
            cx,
            |out| write::put_connected(out, SocketProtocol::V5, namespace, id.as_str(), None),
            |out| msgpack::put_connected(out, namespace, id.as_str(), None),
        );
        self.greet_at_ms = cx.now_ms + GREETING_MS;
        cx.actions.push(Action::SetTimer { at_ms: self.greet_at_ms });
    }

    /// Handles a namespace or a room that the socket cannot enter.
    pub(super) fn not_entered<H: Handler<State = S>>(
        &mut self,
        channel: &str,
        denied: &Denied,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if *denied == Denied::AlreadyIn {
            return Ok(());
        }
        // Not silently: the application considers the socket a member. The client comes back.
        let Some(at) = self.waiting_at(channel) else {
            let is_limit = *denied == Denied::Limit;
            let why = if is_limit { Dismissed::ChannelLimit } else { Dismissed::TooMany };
            return Err(CloseReason::Dismissed(why));
        };
        let namespace = self.list[at].namespace().to_owned();
        self.refuse(&namespace, &denied.to_string(), None, cx)?;
        self.remove(at, Why::Disconnected, handler, cx);
        Ok(())
    }

    /// Tells the application that a client is connected, unless it was told.
    fn greet<H: Handler<State = S>>(
        &mut self,
        at: usize,
        bound: Bound,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.list[at].stage != Stage::Connected {
            return Ok(());
        }
        self.list[at].stage = Stage::Greeted;
        self.call(at, bound, handler, cx, |handler, state, socket| handler.socket_connected(state, socket))
    }

    /// The place of the socket in a namespace.
    fn place_of(&self, namespace: &str) -> Option<usize> {
        self.list.iter().position(|entry| entry.namespace() == namespace)
    }

    /// The number of a new socket: not one of those that live.
    fn free_number(&self) -> u8 {
        let is_taken = |number: u8| self.list.iter().any(|entry| entry.number == number);
        let numbers = (0..=u8::MAX).map(|ahead| self.next_number.wrapping_add(ahead));
        numbers.into_iter().find(|number| !is_taken(*number)).unwrap_or_default()
    }

    fn refuse(
        &mut self,
        namespace: &str,
        message: &str,
        data: Option<&str>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // A client whose first CONNECT was refused may have sent more.
        self.next_number = self.next_number.max(1);
        self.put(
            cx,
            |out| write::put_connect_error(out, SocketProtocol::V5, namespace, message, data),
            |out| {
                // Data that is nested too deeply is left out.
                if msgpack::put_connect_error(out, namespace, message, data).is_err() {
                    msgpack::put_connect_error(out, namespace, message, None).ok();
                }
            },
        );
        Ok(())
    }

    /// Appends a packet without arguments of the application, in the endpoint's form.
    fn put(&self, cx: &mut Context<'_>, text: impl FnOnce(&mut Vec<u8>), packed: impl FnOnce(&mut Vec<u8>)) {
        let outlet = self.engine.outlet();
        if outlet.is_msgpack {
            let mut packet = Vec::new();
            packed(&mut packet);
            return outlet.binary(&packet, cx);
        }
        let written: Result<(), std::convert::Infallible> = outlet.text(60, cx, |out| {
            text(out);
            Ok(())
        });
        let Ok(()) = written;
    }

    fn event<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        event: SocketEvent<'_>,
        attachments: Attachments<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // The application may have ended it just now.
        let Some(at) = self.place_of(namespace) else { return Ok(()) };
        let SocketEvent { name, id, args } = event;
        let plain = Plain::of(args)?;
        let (args, attachments) = plain.read(args, attachments)?;
        let event = Event { name: &name, args, attachments, ack: id.map(AckId) };
        self.call(at, Bound::answer(), handler, cx, |handler, state, socket| {
            handler.socket_event(state, event, socket)
        })
    }

    fn ack<H: Handler<State = S>>(
        &mut self,
        at: usize,
        id: Option<u64>,
        args: Args<'_>,
        attachments: Attachments<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // An answer that nobody waits for, or waits for no longer, is ignored.
        let Some(token) = id.and_then(|id| self.list[at].acks.answered(id)) else { return Ok(()) };
        let plain = Plain::of(args)?;
        let (args, attachments) = plain.read(args, attachments)?;
        self.call(at, Bound::answer(), handler, cx, |handler, state, socket| {
            handler.socket_acked(state, token, Acked::Answer { args, attachments }, socket)
        })
    }

    /// Calls the application for a socket, and ends that if it says so.
    fn call<H: Handler<State = S>>(
        &mut self,
        at: usize,
        bound: Bound,
        handler: &mut H,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut H, &mut S, &mut Socket<'_, '_>) -> Result<(), Ending>,
    ) -> Result<(), CloseReason> {
        let outlet = self.engine.outlet();
        let (state, mut socket) = self.list[at].parts(outlet, bound, cx);
        let outcome = call(handler, state, &mut socket);
        socket.outcome()?;
        match outcome {
            Ok(()) => Ok(()),
            Err(Ending::Disconnect) => {
                self.put_disconnect(at, cx);
                self.remove(at, Why::Disconnected, handler, cx);
                Ok(())
            }
            Err(Ending::DisconnectAll) => {
                for at in 0..self.list.len() {
                    self.put_disconnect(at, cx);
                }
                Err(CloseReason::Handler { code: 1000, reason: "disconnected by the server".to_owned() })
            }
            Err(Ending::Close { code, reason }) => Err(CloseReason::Handler { code, reason }),
        }
    }

    fn put_disconnect(&self, at: usize, cx: &mut Context<'_>) {
        let namespace = self.list[at].namespace();
        self.put(
            cx,
            |out| write::put_disconnect(out, namespace),
            |out| msgpack::put_disconnect(out, namespace),
        );
    }

    /// Removes a socket, and returns its state to the application.
    fn remove<H: Handler<State = S>>(
        &mut self,
        at: usize,
        why: Why<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) {
        let entry = self.list.remove(at);
        let ask = Ask::LeaveGroup { group: channel_of(entry.namespace()) };
        cx.actions.push(Action::Ask { id: 0, ask });
        let is_msgpack = self.engine.outlet().is_msgpack;
        return_state(entry, cx.client, why, handler, (cx.settings, is_msgpack, cx.actions));
    }

    pub(super) fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if cx.now_ms >= self.connect_by_ms {
            return Err(CloseReason::Stale);
        }
        self.engine.timer(cx)?;
        let mut at = 0;
        while let Some(entry) = self.list.get_mut(at) {
            if entry.stage == Stage::Connected && self.greet_at_ms <= cx.now_ms {
                let bound = Bound::unasked(cx);
                self.greet(at, bound, handler, cx)?;
                continue;
            }
            // The application may remove the socket: then another is at its place.
            match entry.acks.take_due(cx.now_ms) {
                Some(token) => {
                    let bound = Bound::unasked(cx);
                    self.call(at, bound, handler, cx, |handler, state, socket| {
                        handler.socket_acked(state, token, Acked::TimedOut, socket)
                    })?;
                }
                None => at += 1,
            }
        }
        Ok(())
    }

    pub(super) fn closed<H: Handler<State = S>>(
        self,
        handler: &mut H,
        client: ClientId,
        reason: &CloseReason,
        (settings, actions): (&Settings, &mut Vec<Action>),
    ) {
        let is_msgpack = self.engine.outlet().is_msgpack;
        for entry in self.list {
            let why = Why::ConnectionEnded(reason);
            return_state(entry, client, why, handler, (settings, is_msgpack, actions));
        }
    }
}

/// Returns the state of a socket that has ended.
fn return_state<H: Handler>(
    entry: Entry<H::State>,
    client: ClientId,
    why: Why<'_>,
    handler: &mut H,
    (settings, is_msgpack, actions): (&Settings, bool, &mut Vec<Action>),
) {
    let Entry { state, namespace, number, .. } = entry;
    let namespace = if namespace.is_empty() { ROOT } else { &namespace };
    let name_bytes_max = settings.channel_name_bytes_max;
    let place = Place { namespace, name_bytes_max, is_msgpack, actions };
    let id = SocketId::new(client, number);
    handler.socket_closed(state, &mut Gone { namespace, id, client, why, place });
}

/// The `auth` object of a packet in msgpack, as JSON. Binary data in it becomes a placeholder.
fn auth_of(value: &[u8]) -> Result<String, SocketError> {
    let (mut json, mut attachments) = (Vec::new(), AttachmentStore::default());
    msgpack::value_to_json(value, &mut json, &mut attachments)?;
    String::from_utf8(json).map_err(|_| SocketError::MsgPack)
}

/// Arguments in msgpack, as JSON and attachments; empty for arguments that are JSON.
#[derive(Default)]
struct Plain {
    list: String,
    attachments: AttachmentStore,
}

impl Plain {
    fn of(args: Args<'_>) -> Result<Self, CloseReason> {
        match args {
            Args::Json(_) => Ok(Self::default()),
            Args::MsgPack(args) => Self::unpacked(args).map_err(malformed),
        }
    }

    fn unpacked(args: MsgPackArgs<'_>) -> Result<Self, SocketError> {
        let (mut list, mut attachments) = (b"[".to_vec(), AttachmentStore::default());
        msgpack::args_to_json(args, &mut list, &mut attachments)?;
        list.push(b']');
        let list = String::from_utf8(list).map_err(|_| SocketError::MsgPack)?;
        Ok(Self { list, attachments })
    }

    fn read<'p>(
        &'p self,
        args: Args<'p>,
        attachments: Attachments<'p>,
    ) -> Result<(JsonArgs<'p>, Attachments<'p>), CloseReason> {
        match args {
            Args::Json(args) => Ok((args, attachments)),
            Args::MsgPack(_) => {
                let args = JsonArgs::of_list(&self.list).map_err(malformed)?;
                Ok((args, self.attachments.get()))
            }
        }
    }
}
