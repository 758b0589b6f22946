//! Endpoints for embedders: plain WebSocket messages to and from a [`Handler`].
//!
//! One handler per shard serves all its connections; its data of each connection is its `State`, kept inside the
//! connection. Nothing is allocated per message and nothing is boxed per connection: the handler is a type, not an
//! object. Groups are channels, so a raw client and a Centrifuge client of one channel receive each other's messages.

mod call;
mod form;
mod handlers;

use std::num::NonZeroU64;
use std::ops::Range;

use serde_json::value::RawValue;

use super::bound::Bound;
use super::engine::{EngineClient, Outlet, Target};
use super::pongs::Pongs;
use super::socketio::{Acked, Admit, Connecting, Ending, Event, Gone, Socket};
use super::{Action, ClientCertificate, ClientId, CloseReason, Context, InPlace};
use crate::hub::DataKind;
use crate::hub::words::{Ask, Denied, Enter, Reply};
use crate::proto::http::{Refusal, Request};
use crate::proto::ws::{self, Decoder, Deflate, Kind, Payload, frame};
pub use call::{Call, Outcome};
pub use form::Form;
pub use handlers::{Echo, NoHandler};

/// Size from which a returned message is written from the input buffer, in bytes: the copy would cost as much as a
/// system call.
const IN_PLACE_BYTES_MIN: usize = 2 << 10;

/// A received message: whole, unmasked, text validated. The handler may change it in place.
#[derive(Debug)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The payload.
    pub data: &'a mut [u8],
    /// Range of the payload in the shard's input, if it arrived there in one piece.
    at: Option<Range<usize>>,
}

impl<'a> Message<'a> {
    /// A message that is not in the shard's input.
    pub(super) fn of(kind: Kind, data: &'a mut [u8]) -> Self {
        Self { kind, data, at: None }
    }

    /// The payload as text; `None` for a binary message.
    pub fn text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => std::str::from_utf8(self.data).ok(),
            Kind::Binary => None,
        }
    }
}

/// An embedder's endpoint: one value per shard, called in that shard's thread, never concurrently.
///
/// A method must not block: all connections of the shard wait for it.
pub trait Handler: Send + 'static {
    /// The handler's data of each connection, stored inside it. Its size counts for every idle connection.
    type State: Send + 'static;

    /// Whether this handler serves a request's path (without the query).
    fn serves(&self, path: &str) -> bool;

    /// Supported subprotocols (RFC 6455 §1.9); the client's order of preference decides.
    fn subprotocols(&self) -> &[&'static str] {
        &[]
    }

    /// Called when a client asks to connect. Messages sent from here follow the handshake's answer.
    ///
    /// # Errors
    /// A refusal is sent instead, and the connection closed; all requests to `peer` are undone.
    fn open(
        &mut self,
        request: &Request<'_>,
        subprotocol: Option<&'static str>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<Self::State, Refusal>;

    /// Called when a client opens a session of Engine.IO at an endpoint that
    /// [`Serves::EngineIo`](super::Serves::EngineIo). Messages sent from here follow the packet that opens it. `None`
    /// refuses the client: it gets 403 with code 4.
    ///
    /// The messages of such a session are as those of a WebSocket, whether it is one or is polled; but polled in protocol
    /// 4, a text must not contain the character U+001E, which separates messages there.
    fn open_engine(&mut self, _opening: &EngineClient<'_>, _peer: &mut Peer<'_, '_>) -> Option<Self::State> {
        None
    }

    /// Called for a message. An `Err` from [`Peer::close`] ends the connection: `return peer.close(4000, "why")`.
    ///
    /// # Errors
    /// The reason for which the connection ends.
    fn message(
        &mut self,
        state: &mut Self::State,
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason>;

    /// Called at the time set by [`Peer::set_timer`].
    ///
    /// # Errors
    /// The reason for which the connection ends.
    fn timer(&mut self, _state: &mut Self::State, _peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        Ok(())
    }

    /// Called when [`Peer::join`] was executed, or refused because a limit is reached.
    fn joined(
        &mut self,
        _state: &mut Self::State,
        _channel: &str,
        _outcome: Result<(), Denied>,
        _peer: &mut Peer<'_, '_>,
    ) {
    }

    /// Called for a call of a Centrifuge client of this shard, before the application's hook for calls, which gets
    /// the calls that are not served here. With neither, the client gets error 108.
    fn call<'c>(&mut self, _call: &Call<'c>) -> Outcome<'c> {
        Outcome::NotServed
    }

    /// Called for a message of a Centrifuge client of this shard to the server itself, without method and reply.
    fn sent(&mut self, _call: &Call<'_>) {}

    /// Called when the connection is over; its state is returned. It has left its groups already.
    fn closed(&mut self, _state: Self::State, _client: ClientId, _reason: &CloseReason) {}

    /// Whether the handler is a Socket.IO application: it decides about clients where no way to identify them is configured,
    /// and gets the events that no rule of the configuration takes.
    fn serves_sockets(&self) -> bool {
        true
    }

    /// The methods of [`Events`](super::socketio::Events), for a handler that serves endpoints of its own beside a
    /// Socket.IO application: both have the same state. Without them, every namespace is unknown. See
    /// [`Events::connect`](super::socketio::Events::connect).
    fn socket_connect(&mut self, _connecting: &Connecting<'_>) -> Admit<Self::State> {
        Admit::unknown_namespace()
    }

    /// See [`Events::connected`](super::socketio::Events::connected).
    ///
    /// # Errors
    /// How the socket ends.
    fn socket_connected(
        &mut self,
        _state: &mut Self::State,
        _socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        Ok(())
    }

    /// See [`Events::event`](super::socketio::Events::event).
    ///
    /// # Errors
    /// How the socket ends.
    fn socket_event(
        &mut self,
        _state: &mut Self::State,
        _event: Event<'_>,
        _socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        Ok(())
    }

    /// See [`Events::acked`](super::socketio::Events::acked).
    ///
    /// # Errors
    /// How the socket ends.
    fn socket_acked(
        &mut self,
        _state: &mut Self::State,
        _token: u64,
        _acked: Acked<'_>,
        _socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        Ok(())
    }

    /// See [`Events::data`](super::socketio::Events::data).
    fn socket_data(&mut self, _state: &Self::State) -> Option<Box<RawValue>> {
        None
    }

    /// See [`Events::away`](super::socketio::Events::away).
    fn socket_away(&mut self, _state: &mut Self::State, _gone: &mut Gone<'_>) {}

    /// See [`Events::closed`](super::socketio::Events::closed).
    fn socket_closed(&mut self, _state: Self::State, _gone: &mut Gone<'_>) {}
}

/// The connection of a handler's call, and the requests to it.
#[derive(Debug)]
pub struct Peer<'a, 'b> {
    cx: &'a mut Context<'b>,
    medium: Medium,
    bound: Bound,
}

/// The medium of a handler's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// As messages of a WebSocket, with this permitted compression.
    Frames(Deflate),
    /// As packets of Engine.IO.
    Engine(Outlet),
}

impl<'a, 'b> Peer<'a, 'b> {
    /// The peer of a handler that answers a message.
    #[inline]
    pub(super) fn answering(cx: &'a mut Context<'b>, medium: Medium) -> Self {
        Self { cx, medium, bound: Bound::answer() }
    }

    /// The peer of a handler that sends unrequested messages, which no pause in reading from the client bounds.
    pub(super) fn bounded(cx: &'a mut Context<'b>, medium: Medium) -> Self {
        let bound = Bound::unasked(cx);
        Self { cx, medium, bound }
    }

    /// Whether the connection continues after the output.
    pub(super) fn outcome(&self) -> Result<(), CloseReason> {
        self.bound.outcome()
    }

    /// The id of the connection, unique for as long as it lives.
    pub fn client(&self) -> ClientId {
        self.cx.client
    }

    /// Identity of the client's certificate, where TLS requests one (`tls_client_ca`): available from
    /// [`Handler::open`] on, which may refuse unknown clients.
    pub fn certificate(&self) -> Option<ClientCertificate<'_>> {
        self.cx.certificate
    }

    /// Milliseconds of the shard's monotonic clock, constant during a turn.
    pub fn now_ms(&self) -> u64 {
        self.cx.now_ms
    }

    /// Bytes waiting for this connection: queued because its client has not read them yet, or sent in this turn. A
    /// handler that sends unrequested messages (from [`Handler::timer`], say) can omit stale ones, and stay below
    /// `outbox_bytes_max`.
    pub fn waiting_bytes(&self) -> usize {
        let in_place = self.cx.in_place.as_ref().map_or(0, |in_place| in_place.payload.len());
        self.cx.waiting_bytes + self.cx.out.len() + in_place
    }

    /// Sends a message to this connection. All messages of one call of the handler leave in one write.
    ///
    /// In [`Handler::open`], [`Handler::joined`] and [`Handler::timer`], the waiting bytes are limited to
    /// `outbox_bytes_max`, but one message of any size always fits: a message beyond the limit ends the connection as
    /// a slow consumer (3008). While the answers of [`Handler::message`] wait, no more messages are read from the
    /// client.
    #[inline]
    pub fn send(&mut self, kind: Kind, data: &[u8]) {
        if !self.bound.takes(self.cx.out.len(), data.len(), self.cx) {
            return;
        }
        self.cx.counts.messages_out += 1;
        match self.medium {
            Medium::Frames(Deflate::Off) => frame::put_frame(self.cx.out, kind, data),
            Medium::Frames(deflate) => self.cx.press.put_frame(self.cx.out, kind, data, deflate),
            Medium::Engine(outlet) => {
                outlet.put_message(kind, data, &mut Target { out: self.cx.out, press: self.cx.press });
            }
        }
    }

    /// Sends a message back to its sender, as the handler left it. Like [`Peer::send`], but a large one is written
    /// from the input buffer, without a copy, if the client accepts it unchanged.
    #[inline]
    pub fn send_back(&mut self, message: Message<'_>) {
        match message.at {
            Some(payload)
                if payload.len() >= IN_PLACE_BYTES_MIN
                    && self.cx.is_silent()
                    && self.medium == Medium::Frames(Deflate::Off) =>
            {
                self.cx.counts.messages_out += 1;
                self.cx.in_place = Some(InPlace { kind: message.kind, payload });
            }
            _ => self.send(message.kind, message.data),
        }
    }

    /// Adds the connection to a group; [`Handler::joined`] receives the outcome.
    pub fn join(&mut self, channel: &str) {
        self.ask(Ask::Enter(Box::new(Enter::new(channel.into()))));
    }

    /// Removes the connection from a group. If [`Handler::joined`] was not called yet for it, it will not be.
    pub fn leave(&mut self, channel: &str) {
        self.ask(Ask::Leave { channel: channel.into() });
    }

    /// Sends a message to every member of a group, in all shards, in one order for all; the connection itself
    /// receives it too if it is a member. The data is copied once for any number of members.
    pub fn broadcast(&mut self, channel: &str, kind: Kind, data: &[u8]) {
        let kind = match kind {
            Kind::Text => DataKind::Text,
            Kind::Binary => DataKind::Binary,
        };
        self.ask(Ask::Publish { channel: channel.into(), kind, data: data.to_vec() });
    }

    fn ask(&mut self, ask: Ask) {
        self.cx.actions.push(Action::Ask { id: 0, ask });
    }

    /// Schedules [`Handler::timer`] after `after_ms` milliseconds, replacing an earlier request.
    pub fn set_timer(&mut self, after_ms: u64) {
        self.cx.actions.push(Action::SetTimer { at_ms: self.cx.now_ms.saturating_add(after_ms) });
    }

    /// Ends the connection once the handler's method returns: 3000–3999 for libraries, 4000–4999 for applications
    /// (RFC 6455 §7.4.2). At most 123 bytes of the reason are sent. In place of a code that must not be sent (below
    /// 1000, 1004–1006, 1014–2999, 5000 and above) the client gets 1011; [`Handler::closed`] receives the given code
    /// and reason.
    ///
    /// # Errors
    /// Always: the reason to return.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseReason> {
        Err(CloseReason::Handler { code, reason: reason.to_owned() })
    }
}

/// A raw connection: its decoder, the handler's state, and the handler's timer.
#[derive(Debug)]
pub struct Raw<S> {
    pub(super) decoder: Decoder,
    word: Word,
    state: S,
}

/// The time of the handler's timer, and the permitted compression: in one word, because two would enlarge every
/// connection of any protocol. The form is in the lowest two bits, above them milliseconds of the shard's clock, 0
/// for never.
#[derive(Clone, Copy, Debug)]
struct Word(u64);

impl Word {
    fn new(timer_at_ms: Option<NonZeroU64>, deflate: Deflate) -> Self {
        Self(timer_at_ms.map_or(0, NonZeroU64::get).min(u64::MAX >> 2) << 2 | deflate as u64)
    }

    fn timer_at_ms(self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0 >> 2)
    }

    fn deflate(self) -> Deflate {
        match self.0 & 3 {
            0 => Deflate::Off,
            1 => Deflate::Wide,
            _ => Deflate::Narrow,
        }
    }
}

impl<S> Raw<S> {
    pub(super) fn new(state: S, deflate: Deflate) -> Self {
        Self { decoder: Decoder::default(), word: Word::new(None, deflate), state }
    }

    /// The time of the handler's timer, in milliseconds of the shard's clock.
    pub(crate) fn timer_at_ms(&self) -> Option<NonZeroU64> {
        self.word.timer_at_ms()
    }

    pub(crate) fn set_timer_at_ms(&mut self, at_ms: Option<NonZeroU64>) {
        self.word = Word::new(at_ms, self.deflate());
    }

    pub(super) fn deflate(&self) -> Deflate {
        self.word.deflate()
    }

    /// `input_at` is the offset of the input in the shard's buffer, if it is a part of that.
    #[inline]
    pub(super) fn receive<H: Handler<State = S>>(
        &mut self,
        mut input: &mut [u8],
        input_at: Option<usize>,
        handler: &mut H,
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let (arrived, deflate) = (input.len(), self.deflate());
        while let Some(event) = self
            .decoder
            .next(&mut input, &cx.settings.ws, deflate.is_on().then_some(&mut *cx.press))
            .map_err(CloseReason::Violation)?
        {
            match event {
                ws::Event::Message(kind, mut payload) => {
                    cx.counts.messages_in += 1;
                    let at = match (&payload, input_at) {
                        (Payload::Slice(bytes), Some(begin)) => {
                            let end = begin + arrived - input.len();
                            Some(end - bytes.len()..end)
                        }
                        (Payload::Slice(_) | Payload::Assembled(_) | Payload::Inflated(_), _) => None,
                    };
                    let message = Message { kind, data: &mut payload, at };
                    handler.message(
                        &mut self.state,
                        message,
                        &mut Peer::answering(cx, Medium::Frames(deflate)),
                    )?;
                    cx.press.reclaim(payload);
                }
                ws::Event::Ping(payload) => pongs.answer(&payload, cx),
                ws::Event::Pong => cx.counts.pongs += 1,
                ws::Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
            }
        }
        Ok(())
    }

    /// Tells the handler the outcome of a join; it receives no other replies.
    pub(super) fn reply<H: Handler<State = S>>(
        &mut self,
        reply: &Reply<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let medium = Medium::Frames(self.deflate());
        joined(&mut self.state, reply, handler, Peer::bounded(cx, medium))
    }

    /// Calls the handler's timer.
    pub(super) fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let mut peer = Peer::bounded(cx, Medium::Frames(self.deflate()));
        let outcome = handler.timer(&mut self.state, &mut peer);
        peer.outcome().and(outcome)
    }

    /// Returns the handler's state.
    pub(crate) fn into_state(self) -> S {
        self.state
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes()
    }
}

/// Tells a handler the outcome of a join, if the reply is one.
pub(super) fn joined<H: Handler>(
    state: &mut H::State,
    reply: &Reply<'_>,
    handler: &mut H,
    mut peer: Peer<'_, '_>,
) -> Result<(), CloseReason> {
    let (channel, outcome) = match reply {
        Reply::Entered(entered) => (entered.channel, Ok(())),
        Reply::NotEntered { channel, denied } => (*channel, Err(Denied::clone(denied))),
        Reply::Identified(_)
        | Reply::Left
        | Reply::Published
        | Reply::Presence(_)
        | Reply::PresenceStats { .. }
        | Reply::History { .. }
        | Reply::Called(_)
        | Reply::Gathered(_)
        | Reply::Renewed { .. }
        | Reply::RenewedIn { .. }
        | Reply::Hooked(_)
        | Reply::Rooms(_) => return Ok(()),
    };
    handler.joined(state, channel, outcome, &mut peer);
    peer.outcome()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{client, settings};
    use super::super::{Counts, Session, Settings};
    use super::*;
    use crate::hub::words::Entered;
    use crate::proto::http::Status;
    use crate::proto::ws::Press;

    type Received = (Vec<u8>, Vec<Action>, Result<(), CloseReason>);

    fn receive(session: &mut Session<()>, input: &[u8]) -> Received {
        receive_by(&settings(), session, input)
    }

    fn receive_by(settings: &Settings, session: &mut Session<()>, input: &[u8]) -> Received {
        let (mut out, mut actions) = (Vec::new(), Vec::new());
        let mut input = input.to_vec();
        let outcome = session.receive(
            &mut input,
            &mut Echo::new("/echo"),
            &mut Context {
                user: "",
                certificate: None,
                now_ms: 0,
                settings,
                client: client(1),
                out: &mut out,
                apart: &mut Vec::new(),
                waiting_bytes: 0,
                is_behind: false,
                actions: &mut actions,
                forwarded: crate::session::Forwarded::default(),
                reach: &mut crate::hub::reach::Reach::new(7.into(), 0, 1),
                press: &mut Press::new(None),
                in_place: None,
                counts: Counts::default(),
                told: &crate::session::Told::default(),
                notes: &mut Vec::new(),
            },
        );
        (out, actions, outcome)
    }

    /// Answers each call with an error of this code.
    struct Refuser(u32);

    impl Handler for Refuser {
        type State = ();

        fn serves(&self, _: &str) -> bool {
            false
        }

        fn open(
            &mut self,
            _: &Request<'_>,
            _: Option<&'static str>,
            _: &mut Peer<'_, '_>,
        ) -> Result<(), Refusal> {
            Ok(())
        }

        fn message(&mut self, (): &mut (), _: Message<'_>, _: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
            Ok(())
        }

        fn call<'c>(&mut self, _: &Call<'c>) -> Outcome<'c> {
            Outcome::Error { code: self.0, message: "no".into() }
        }
    }

    /// Sends messages of 300 bytes, of which three fit, from every method that can send; or one message of any size.
    struct Talker {
        count: usize,
        length: usize,
        waiting_bytes: Vec<usize>,
    }

    impl Talker {
        fn talk(&mut self, peer: &mut Peer<'_, '_>) {
            for _ in 0..self.count {
                self.waiting_bytes.push(peer.waiting_bytes());
                peer.send(Kind::Binary, &vec![7; self.length]);
            }
        }
    }

    impl Handler for Talker {
        type State = ();

        fn serves(&self, _: &str) -> bool {
            true
        }

        fn open(
            &mut self,
            _: &Request<'_>,
            _: Option<&'static str>,
            peer: &mut Peer<'_, '_>,
        ) -> Result<(), Refusal> {
            self.talk(peer);
            Ok(())
        }

        fn message(
            &mut self,
            (): &mut (),
            _: Message<'_>,
            peer: &mut Peer<'_, '_>,
        ) -> Result<(), CloseReason> {
            self.talk(peer);
            Ok(())
        }

        fn timer(&mut self, (): &mut (), peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
            self.talk(peer);
            peer.close(4000, "enough")
        }

        fn joined(&mut self, (): &mut (), _: &str, _: Result<(), Denied>, peer: &mut Peer<'_, '_>) {
            self.talk(peer);
        }
    }

    /// Output of a talker's call, with earlier output waiting: its frames, and whether the session continues.
    fn talk(
        at: &str,
        count: usize,
        length: usize,
        waiting_bytes: usize,
    ) -> (usize, Result<(), CloseReason>, Vec<usize>) {
        let (mut out, mut actions, settings) = (Vec::new(), Vec::new(), settings());
        let mut talker = Talker { count, length, waiting_bytes: Vec::new() };
        let mut session = Session::Raw(Raw::new((), Deflate::Off));
        let mut cx = Context {
            user: "",
            certificate: None,
            now_ms: 0,
            settings: &settings,
            client: client(1),
            out: &mut out,
            apart: &mut Vec::new(),
            waiting_bytes,
            is_behind: false,
            actions: &mut actions,
            forwarded: crate::session::Forwarded::default(),
            reach: &mut crate::hub::reach::Reach::new(7.into(), 0, 1),
            press: &mut Press::new(None),
            in_place: None,
            counts: Counts::default(),
            told: &crate::session::Told::default(),
            notes: &mut Vec::new(),
        };
        let outcome = match at {
            "open" => {
                session = Session::begin(crate::session::Speaks::Http);
                session.receive(&mut HEAD.as_bytes().to_vec(), &mut talker, &mut cx)
            }
            "joined" => {
                let entered = Entered { channel: "a", ..Entered::default() };
                session.reply(0, &Reply::Entered(entered), &mut talker, &mut cx)
            }
            "timer" => session.timer(&mut talker, &mut cx),
            _ => session.receive(&mut b"\x82\x80\0\0\0\0".to_vec(), &mut talker, &mut cx),
        };
        let head = out.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        assert_eq!(head > 0, at == "open");
        let frame = length + if length < 126 { 2 } else { 4 };
        assert_eq!((out.len() - head) % frame, 0, "whole frames");
        // The state can be returned, for any end of the session.
        assert!(matches!(session, Session::Raw(_)));
        ((out.len() - head) / frame, outcome, talker.waiting_bytes)
    }

    #[test]
    fn what_no_message_asks_for_is_bounded_from_wherever_it_is_sent() {
        let enough = Err(CloseReason::Handler { code: 4000, reason: "enough".to_owned() });
        for (at, goes_on) in [("open", Ok(())), ("joined", Ok(())), ("timer", enough)] {
            assert_eq!(talk(at, 3, 300, 0).1, goes_on, "{at}");
            assert_eq!((talk(at, 4, 300, 0).0, talk(at, 4, 300, 0).1), (3, Err(CloseReason::Slow)), "{at}");
            assert_eq!(
                (talk(at, 9, 300, 600).0, talk(at, 9, 300, 600).1),
                (1, Err(CloseReason::Slow)),
                "{at}"
            );
            // One message of any size fits if nothing waits.
            assert_eq!((talk(at, 1, 5000, 0).0, talk(at, 1, 5000, 0).1), (1, goes_on), "{at}");
            assert_eq!((talk(at, 1, 5000, 1).0, talk(at, 1, 5000, 1).1), (0, Err(CloseReason::Slow)), "{at}");
        }
        assert_eq!((talk("message", 9, 300, 600).0, talk("message", 9, 300, 600).1), (9, Ok(())));
    }

    #[test]
    fn a_handler_sees_what_waits() {
        assert_eq!(talk("timer", 3, 100, 50).2, [50, 152, 254]);
        assert_eq!(talk("message", 3, 100, 50).2, [50, 152, 254]);
    }

    #[test]
    fn a_call_fails_with_a_number_of_an_error() {
        let call = Call { client: client(1), user: "", method: "m", data: b"" };
        for (code, told) in [
            (0, 100),
            (99, 100),
            (100, 100),
            (103, 103),
            (400, 400),
            (1999, 1999),
            (2000, 100),
            (u32::MAX, 100),
        ] {
            let Outcome::Error { code: sent, .. } = Outcome::of(&mut Refuser(code), &call) else { panic!() };
            assert_eq!(sent, told, "{code}");
        }
    }

    const HEAD: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn frames_may_come_with_the_head_and_the_head_in_pieces() {
        let bytes = [HEAD.as_bytes(), b"\x82\x82\0\0\0\0hi\x88\x80\0\0\0\0"].concat();
        for cut in 0..bytes.len() {
            let mut session = Session::begin(crate::session::Speaks::Http);
            let (mut out, mut ended) = (Vec::new(), Ok(()));
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let (more, _, outcome) = receive(&mut session, piece);
                out.extend(more);
                ended = ended.and(outcome);
            }
            assert!(
                out.starts_with(b"HTTP/1.1 101 ") && out.ends_with(b"\r\n\r\n\x82\x02hi"),
                "cut at {cut}"
            );
            assert_eq!(ended, Err(CloseReason::Peer(1005)), "cut at {cut}");
        }
    }

    #[test]
    fn a_timer_and_a_form_fit_one_word() {
        for deflate in [Deflate::Off, Deflate::Wide, Deflate::Narrow] {
            let mut raw = Raw::new((), deflate);
            assert_eq!(raw.timer_at_ms(), None);
            for (at_ms, kept) in [(1, 1), (1 << 40, 1 << 40), (u64::MAX, u64::MAX >> 2)] {
                raw.set_timer_at_ms(NonZeroU64::new(at_ms));
                assert_eq!((raw.timer_at_ms(), raw.deflate()), (NonZeroU64::new(kept), deflate));
            }
            raw.set_timer_at_ms(None);
            assert_eq!((raw.timer_at_ms(), raw.deflate()), (None, deflate));
        }
    }

    /// A page of another site is refused before the handler is called, by the rule of all other endpoints.
    #[test]
    fn pages_come_from_here_or_from_where_the_configuration_says() {
        let origin = |origin: &str| HEAD.replace("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"));
        for (head, is_let_in) in [
            (HEAD.to_owned(), true),
            (origin("http://a"), false),
            (origin("https://app.example"), true),
            (origin("http://b"), false),
            (origin("null"), false),
            (origin("https://app.example.evil.test"), false),
        ] {
            let mut settings = settings();
            settings.endpoints.allowed_origins = vec!["https://*.example".to_owned()];
            let (out, _, outcome) =
                receive_by(&settings, &mut Session::begin(crate::session::Speaks::Http), head.as_bytes());
            let status = if is_let_in { "HTTP/1.1 101 " } else { "HTTP/1.1 403 Forbidden\r\n" };
            assert!(out.starts_with(status.as_bytes()), "{head}");
            let is_refused =
                matches!(&outcome, Err(CloseReason::Refused(why)) if why.status == Status::Forbidden);
            assert_eq!((outcome.is_ok(), is_refused), (is_let_in, !is_let_in), "{head}");
        }
    }

    #[test]
    fn another_path_is_not_found() {
        let (out, _, outcome) = receive(
            &mut Session::begin(crate::session::Speaks::Http),
            HEAD.replace("/echo", "/other").as_bytes(),
        );
        assert!(out.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
        assert!(matches!(outcome, Err(CloseReason::Refused(_))));
    }
}
