//! Socket.IO 5 over Engine.IO 4, and Socket.IO 4 over Engine.IO 3 where that is allowed: sockets of one client in
//! namespaces, for an application written in Rust. (Its clients count differently: those of version 2 speak Socket.IO 4.)
//!
//! * The session: this file takes packets, `sockets` has the state of each namespace, `acks` the events that wait for
//!   an answer.
//! * The application: `events` has the trait and its values, `socket` what it can do with a socket, `rooms` what it can
//!   send to several, `routes` a table of functions. `ticket`: late answers. `id`: public ids, `identity`: who a client is.
//! * `admin`: the namespace of the admin page.
//! * `orders`: orders to sockets, and questions to several.
//! * Recovery: `pid` has the private ids of sockets, `track` the part of a socket that serves it.
//! * `form`: events for several sockets, as each gets them; `shared`: rooms that are channels.
//! * `options`: the configuration of the endpoint; `cookie` and `rules` in it, with their texts in `template`. `effects`:
//!   what rules and hooks do with a socket. `hook`: requests to the application's hooks.
//!
//! Invariant: a packet that breaks a rule ends the connection, as at the reference, whose clients expect nothing else; and
//! nothing is written that makes a client end it. Left out: how packets travel ([`super::engine`]).

mod acks;
mod admin;
mod cookie;
mod effects;
mod events;
mod form;
mod hook;
mod id;
mod identity;
mod options;
mod orders;
mod pid;
mod rooms;
mod routes;
mod rules;
mod shared;
mod socket;
mod sockets;
mod template;
#[cfg(test)]
mod tests;
mod ticket;
mod track;

pub use admin::AdminOptions;
pub use cookie::{SameSite, SessionCookie};
pub use events::{
    AckId, Acked, Admit, Answers, Binary, Connecting, Ending, Event, Events, Gone, SocketIo, Why,
};
pub(super) use form::Form;
pub use id::SocketId;
pub(crate) use identity::{Admission, Expired, Identity, SocketRefusal};
pub use identity::{ClaimRules, PacketRates};
pub use options::{EventHook, SocketIoOptions};
pub use rooms::Emit;
pub use routes::{Routes, Turn};
pub use rules::{Require, Rule, RuleAction, UserRule};
pub(crate) use shared::event_of;
pub use socket::{EmitError, Socket};
pub use template::{AckForm, AckValue, Path, Template};
pub use ticket::{LateAnswer, LateAnswers, Later, Ticket};

use super::engine::{Handshake, Outlet, next_message};
use super::pongs::Pongs;
use super::probe::Way;
use super::{Action, ClientId, CloseReason, Context, Handler, OrderFault, Settings};
use crate::hub::away::{Back, Return};
use crate::hub::selector::namespace_of;
use crate::hub::socket_order::{SocketFacts, SocketQuestion};
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::Reply;
use crate::proto::engine::{
    Content, EngineError, EnginePacket, EngineProtocol, PacketKind, PacketsRead, read_message, read_payload,
};
use crate::proto::socketio::{AttachmentLimits, Packet, SocketError, msgpack};
use crate::proto::ws::{Deflate, Kind};
pub(crate) use sockets::end_away;
use sockets::{Sockets, Stored};

/// A connection with Socket.IO.
#[derive(Debug)]
pub struct Session<S> {
    pub(super) sockets: Stored<S>,
}

fn malformed(error: SocketError) -> CloseReason {
    CloseReason::Malformed(error.into())
}

fn unreadable(error: EngineError) -> CloseReason {
    CloseReason::Malformed(error.into())
}

impl<S> Session<S> {
    pub(super) fn new(opening: Handshake, cx: &Context<'_>) -> Self {
        Self { sockets: Stored::new(opening, cx) }
    }

    /// Connects a client of Engine.IO 3 to the root, which it does not ask for, if it was told that the session is open.
    pub(super) fn opened<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self.outlet().protocol {
            EngineProtocol::V3 if !self.sockets.wake().engine.is_opening() => {
                self.sockets.wake().connect_root(handler, cx)
            }
            EngineProtocol::V3 | EngineProtocol::V4 => Ok(()),
        }
    }

    /// Makes packets leave by WebSocket; those that wait for a poll come first.
    pub(super) fn upgrade(&mut self, way: Way, polled: &[u8], cx: &mut Context<'_>) {
        self.sockets.awake(|all| all.engine.upgrade(way, polled, cx));
    }

    /// How packets leave.
    pub(super) fn outlet(&self) -> Outlet {
        self.sockets.outlet()
    }

    /// Takes the packets of a body.
    pub(super) fn post<H: Handler<State = S>>(
        &mut self,
        body: &[u8],
        is_binary: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let mut packets = read_payload(self.outlet().protocol, is_binary, body).map_err(unreadable)?;
        if self.take_packets(&mut packets, handler, cx)? {
            self.sockets.wake().rest.get_or_insert_default().body = packets.left();
        }
        Ok(())
    }

    /// Takes packets of a body; returns whether the others have to wait.
    fn take_packets<H: Handler<State = S>>(
        &mut self,
        packets: &mut PacketsRead<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        let mut has_messages = false;
        for packet in packets {
            cx.counts.messages_in += 1;
            has_messages |= self.take(packet.map_err(unreadable)?, handler, cx)?;
            if self.takes_no_more(cx) {
                return Ok(true);
            }
        }
        self.rest_after(has_messages);
        Ok(false)
    }

    /// Returns to the small form after heartbeats. Not after each event: that would cost a busy client a sixth of its CPU.
    fn rest_after(&mut self, has_messages: bool) {
        if !has_messages {
            self.sockets.rest();
        }
    }

    /// Whether input waits until sockets can take more. Then nothing is to be read, and a post is not to be answered.
    pub(super) fn is_full(&self) -> bool {
        self.sockets.whole().is_some_and(|sockets| sockets.rest.is_some())
    }

    /// Whether input that comes now has to wait.
    fn takes_no_more(&self, cx: &Context<'_>) -> bool {
        self.sockets.whole().is_some_and(|sockets| sockets.is_full(cx))
    }

    /// The number of events that wait for their turn, or for an answer about them.
    pub(super) fn held_events(&self) -> usize {
        self.sockets.whole().map_or(0, Sockets::held_events)
    }

    /// Continues with input that waited, if sockets can take more.
    fn go_on<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.takes_no_more(cx) {
            return Ok(());
        }
        let Some(mut rest) = self.sockets.wake().rest.take() else { return Ok(()) };
        if let Some(left) = rest.body.take() {
            let mut packets = left.read();
            if self.take_packets(&mut packets, handler, cx)? {
                let at = left.place_of(&packets);
                rest.body = at.map(|at| left.at(at));
                self.sockets.wake().rest = Some(rest);
                return Ok(());
            }
        }
        let (mut pongs, at) = (Pongs::default(), rest.frames_at);
        let mut input = &mut rest.frames[at..];
        let outcome = self.take_frames(&mut input, handler, &mut pongs, cx);
        let left = input.len();
        pongs.finish(cx);
        if let Some(decoder) = self.sockets.decoder_mut() {
            decoder.note_time(cx.now_ms);
        }
        if outcome? {
            rest.frames_at = rest.frames.len() - left;
            self.sockets.wake().rest = Some(rest);
        }
        Ok(())
    }

    pub(super) fn deflate(&self) -> Deflate {
        self.outlet().deflate
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.sockets.whole().map_or(0, Sockets::held_bytes)
    }

    /// The time of the next call of [`Session::timer`], in milliseconds of the shard's clock.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.sockets.deadline_ms()
    }

    pub(super) fn receive<H: Handler<State = S>>(
        &mut self,
        mut input: &mut [u8],
        handler: &mut H,
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let sockets = self.sockets.wake();
        if let Some(rest) = &mut sockets.rest {
            rest.frames.extend_from_slice(input);
            return Ok(());
        }
        if self.take_frames(&mut input, handler, pongs, cx)? {
            self.sockets.wake().rest.get_or_insert_default().frames.extend_from_slice(input);
        }
        Ok(())
    }

    /// Takes WebSocket frames; returns whether the rest of the input has to wait.
    fn take_frames<H: Handler<State = S>>(
        &mut self,
        input: &mut &mut [u8],
        handler: &mut H,
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        let Outlet { deflate, protocol, .. } = self.outlet();
        let mut has_messages = false;
        while let Some((kind, payload)) =
            next_message(&mut self.sockets.wake().decoder, input, deflate, pongs, cx)?
        {
            let packet = read_message(protocol, kind == Kind::Text, &payload);
            has_messages |= self.take(packet.map_err(unreadable)?, handler, cx)?;
            cx.press.reclaim(payload);
            if self.takes_no_more(cx) {
                return Ok(true);
            }
        }
        self.rest_after(has_messages);
        Ok(false)
    }

    /// Takes a packet of Engine.IO; returns whether it was a message.
    fn take<H: Handler<State = S>>(
        &mut self,
        packet: EnginePacket<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        let sockets = self.sockets.wake();
        if sockets.engine.is_opening() {
            sockets.open_now(handler, cx)?;
        }
        let is_pong = packet.kind == PacketKind::Pong;
        let Some(content) = sockets.engine.receive(packet, cx)? else {
            if is_pong {
                sockets.ponged();
            }
            return Ok(false);
        };
        let outlet = sockets.engine.outlet();
        let outcome = match content {
            Content::Text(_) if outlet.is_msgpack => {
                Err(CloseReason::Malformed(OrderFault::TextForMsgPack.into()))
            }
            Content::Text(text) => {
                let limits = attachment_limits(cx);
                let packet = sockets.assembler.text(outlet.socket_protocol(), limits, text);
                match packet.map_err(malformed)? {
                    Some(packet) => sockets.packet(packet, handler, cx),
                    None => Ok(()),
                }
            }
            Content::Bytes(bytes) => self.binary(bytes, handler, cx),
            Content::Base64(base64) => {
                let mut bytes = Vec::with_capacity(base64.decoded_bytes_max());
                base64.append_to(&mut bytes).map_err(unreadable)?;
                self.binary(&bytes, handler, cx)
            }
        };
        outcome.map(|()| true)
    }

    /// Takes a binary message: an attachment, or a packet of msgpack.
    fn binary<H: Handler<State = S>>(
        &mut self,
        bytes: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let sockets = self.sockets.wake();
        if sockets.engine.outlet().is_msgpack {
            let packet: Packet<'_> = msgpack::read(bytes).map_err(malformed)?;
            return sockets.packet(packet, handler, cx);
        }
        let limits = attachment_limits(cx);
        match sockets.assembler.binary(limits, bytes).map_err(malformed)? {
            Some(whole) => sockets.packet(whole.packet().map_err(malformed)?, handler, cx),
            None => Ok(()),
        }
    }

    /// Sends a ping, and tells the application of answers that did not come; ends a session whose time is over.
    pub(super) fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.sockets.awake(|all| all.timer(handler, cx))
    }

    /// Takes the answer to a request to enter a channel, of a namespace or of a room; to a question to several sockets; or to
    /// one about an event.
    pub(super) fn reply<H: Handler<State = S>>(
        &mut self,
        id: u32,
        reply: &Reply<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if let Reply::Rooms(channels) = reply {
            self.sockets.wake().rooms_told(id, channels, handler, cx)?;
        } else if let Reply::Hooked(outcome) = reply {
            self.sockets.wake().hooked(id, *outcome, handler, cx)?;
        }
        if matches!(reply, Reply::Rooms(_) | Reply::Hooked(_)) {
            self.go_on(handler, cx)?;
            self.sockets.rest();
            return Ok(());
        }
        self.sockets.awake(|all| match reply {
            Reply::Entered(entered) => {
                all.entered(entered.channel, entered.offset, cx);
                Ok(())
            }
            Reply::NotEntered { channel, denied } => all.not_entered(channel, denied, handler, cx),
            Reply::Gathered(gathered) => all.gathered(id, gathered, handler, cx),
            Reply::Rooms(_)
            | Reply::Hooked(_)
            | Reply::Identified(_)
            | Reply::Left
            | Reply::Published
            | Reply::Presence(_)
            | Reply::PresenceStats { .. }
            | Reply::History { .. }
            | Reply::Called(_)
            | Reply::Renewed { .. }
            | Reply::RenewedIn { .. } => Ok(()),
        })
    }

    /// Carries out an order to end the socket in this namespace.
    pub(super) fn disconnect_socket<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        close: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.sockets.awake(|all| all.disconnect(namespace, close, handler, cx))
    }

    /// Sends the event of an order to the socket in this namespace, unless it is to be dropped.
    pub(super) fn ask_socket(
        &mut self,
        namespace: &str,
        question: &SocketQuestion,
        number_and_drop: (u32, bool),
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.sockets.awake(|all| all.ask(namespace, question, number_and_drop, cx))
    }

    /// The socket in this namespace, as far as the session knows it.
    pub(super) fn socket_facts<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        unix_ms: u64,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<SocketFacts> {
        self.sockets.awake(|all| all.facts(namespace, unix_ms, handler, cx))
    }

    /// Visits the namespaces of the sockets.
    pub(super) fn each_namespace(&self, visit: impl FnMut(&str)) {
        self.sockets.each_namespace(visit);
    }

    /// Whether the client waits for the socket of an earlier connection.
    pub(super) fn awaits_return(&self, asked: &Return) -> bool {
        self.sockets.whole().is_some_and(|sockets| sockets.awaits(asked.request))
    }

    /// Takes the home's answer to a client that asked for its socket.
    pub(super) fn returned<H: Handler<State = S>>(
        &mut self,
        asked: &Return,
        back: Option<Back>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason>
    where
        S: Send + 'static,
    {
        self.sockets.awake(|all| all.returned(asked, back, handler, cx))
    }

    /// The first place of the socket in the namespace of this channel, if its client was told of it.
    pub(super) fn place_in(&self, group: &str, client: ClientId) -> Option<SocketPlace> {
        self.sockets.place_in(namespace_of(group)?, client)
    }

    /// The form in which the client receives events for several sockets.
    pub(super) fn form(&self) -> Form {
        Form(self.outlet())
    }

    /// Returns the states of all sockets to the application.
    pub(super) fn closed<H: Handler<State = S>>(
        self,
        handler: &mut H,
        client: ClientId,
        reason: &CloseReason,
        (settings, actions): (&Settings, &mut Vec<Action>),
    ) {
        if let Some(sockets) = self.sockets.into_whole() {
            sockets.closed(handler, client, reason, (settings, actions));
        }
    }
}

fn attachment_limits(cx: &Context<'_>) -> AttachmentLimits {
    AttachmentLimits { bytes_max: cx.settings.socketio.payload_bytes_max, ..AttachmentLimits::default() }
}
