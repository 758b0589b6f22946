//! Sessions whose content is messages for a [`Handler`], as those of its WebSocket endpoints.
//!
//! Invariant: the handler cannot tell by which transport its messages travel. Left out: messages of Socket.IO.

use std::num::NonZeroU64;

use super::{Engine, Handshake, Outlet, Target, next_message};
use crate::hub::choice::Choice;
use crate::hub::words::Reply;
use crate::hub::{DataKind, Item};
use crate::proto::engine::{Content, EngineError, EnginePacket, read_message, read_payload};
use crate::proto::ws::{Decoder, Deflate, Kind, Press};
use crate::session::pongs::Pongs;
use crate::session::probe::Way;
use crate::session::raw::{Medium, joined};
use crate::session::{ClientCertificate, ClientId, CloseReason, Context, Handler, Message, Peer};

/// A client that opens a session of Engine.IO, see [`Handler::open_engine`].
#[derive(Clone, Copy, Debug)]
pub struct EngineClient<'a> {
    /// The connection.
    pub client: ClientId,
    /// The application's part of the query of the request, as it was written; may be empty.
    pub query: &'a str,
    /// Identity of the client's certificate, where TLS requests one (`tls_client_ca`).
    pub certificate: Option<ClientCertificate<'a>>,
}

/// A session with messages for a handler.
#[derive(Debug)]
pub struct Messages<S> {
    pub(in crate::session) decoder: Decoder,
    engine: Engine,
    /// The time of the handler's timer, in milliseconds of the shard's clock.
    timer_at_ms: Option<NonZeroU64>,
    /// Output of the handler that waits behind the packet that opens the session.
    greeting: Vec<u8>,
    state: S,
}

fn unreadable(error: EngineError) -> CloseReason {
    CloseReason::Malformed(error.into())
}

impl<S> Messages<S> {
    /// Asks the handler about a new session. `None`: it is refused. Else the session, and whether it continues.
    pub(in crate::session) fn open<H: Handler<State = S>>(
        opening: Handshake,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<(Self, Result<(), CloseReason>)> {
        let Handshake { engine, opening, .. } = opening;
        let query = opening.map(|opening| opening.query).unwrap_or_default();
        let asks = EngineClient { client: cx.client, query: &query, certificate: cx.certificate };
        let start = cx.out.len();
        let mut peer = Peer::bounded(cx, Medium::Engine(engine.outlet()));
        let state = handler.open_engine(&asks, &mut peer)?;
        let outcome = peer.outcome();
        let greeting = if engine.is_opening() { cx.out.split_off(start) } else { Vec::new() };
        Some((Self { decoder: Decoder::default(), engine, timer_at_ms: None, greeting, state }, outcome))
    }

    /// Tells the client that the session is open.
    fn open_now(&mut self, cx: &mut Context<'_>) {
        self.engine.open_now(cx);
        cx.out.append(&mut std::mem::take(&mut self.greeting));
    }

    /// How packets leave.
    pub(in crate::session) fn outlet(&self) -> Outlet {
        self.engine.outlet()
    }

    /// Makes packets leave by WebSocket; those that wait for a poll come first.
    pub(in crate::session) fn upgrade(&mut self, way: Way, polled: &[u8], cx: &mut Context<'_>) {
        self.engine.upgrade(way, polled, cx);
    }

    /// The time of the next call of [`Messages::timer`], in milliseconds of the shard's clock.
    pub(in crate::session) fn deadline_ms(&self) -> u64 {
        self.timer_at_ms.map_or(u64::MAX, NonZeroU64::get).min(self.engine.due_ms())
    }

    pub(in crate::session) fn set_timer_at_ms(&mut self, at_ms: NonZeroU64) {
        self.timer_at_ms = Some(at_ms);
    }

    pub(in crate::session) fn receive<H: Handler<State = S>>(
        &mut self,
        mut input: &mut [u8],
        handler: &mut H,
        pongs: &mut Pongs,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Outlet { deflate, protocol, .. } = self.outlet();
        while let Some((kind, payload)) = next_message(&mut self.decoder, &mut input, deflate, pongs, cx)? {
            let packet = read_message(protocol, kind == Kind::Text, &payload).map_err(unreadable)?;
            self.take(packet, handler, cx)?;
            cx.press.reclaim(payload);
        }
        Ok(())
    }

    /// Takes the packets of a body.
    pub(in crate::session) fn post<H: Handler<State = S>>(
        &mut self,
        body: &[u8],
        is_binary: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let protocol = self.outlet().protocol;
        for packet in read_payload(protocol, is_binary, body).map_err(unreadable)? {
            cx.counts.messages_in += 1;
            self.take(packet.map_err(unreadable)?, handler, cx)?;
        }
        Ok(())
    }

    fn take<H: Handler<State = S>>(
        &mut self,
        packet: EnginePacket<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.engine.is_opening() {
            self.open_now(cx);
        }
        let Some(content) = self.engine.receive(packet, cx)? else { return Ok(()) };
        let (kind, mut data) = match content {
            Content::Text(text) => (Kind::Text, text.as_bytes().to_vec()),
            Content::Bytes(bytes) => (Kind::Binary, bytes.to_vec()),
            Content::Base64(base64) => {
                let mut bytes = Vec::with_capacity(base64.decoded_bytes_max());
                base64.append_to(&mut bytes).map_err(unreadable)?;
                (Kind::Binary, bytes)
            }
        };
        let mut peer = Peer::answering(cx, Medium::Engine(self.engine.outlet()));
        handler.message(&mut self.state, Message::of(kind, &mut data), &mut peer)
    }

    /// Tells the handler the outcome of a join; it receives no other replies.
    pub(in crate::session) fn reply<H: Handler<State = S>>(
        &mut self,
        reply: &Reply<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.engine.is_opening() {
            self.open_now(cx);
        }
        let medium = Medium::Engine(self.engine.outlet());
        joined(&mut self.state, reply, handler, Peer::bounded(cx, medium))
    }

    /// Calls the handler's timer, sends a ping, or ends a session whose time is over.
    pub(in crate::session) fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.engine.is_opening_due(cx.now_ms) {
            self.open_now(cx);
        }
        if self.timer_at_ms.is_some_and(|at_ms| at_ms.get() <= cx.now_ms) {
            self.timer_at_ms = None;
            if self.engine.is_opening() {
                self.open_now(cx);
            }
            let mut peer = Peer::bounded(cx, Medium::Engine(self.outlet()));
            let outcome = handler.timer(&mut self.state, &mut peer);
            peer.outcome().and(outcome)?;
        }
        self.engine.timer(false, cx)
    }

    /// The form in which the client receives publications.
    pub(in crate::session) fn form(&self) -> EngineForm {
        EngineForm(self.outlet())
    }

    pub(in crate::session) fn deflate(&self) -> Deflate {
        self.outlet().deflate
    }

    pub(in crate::session) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes() + self.greeting.capacity()
    }

    /// Returns the handler's state.
    pub(in crate::session) fn into_state(self) -> S {
        self.state
    }
}

/// The form in which a connection receives publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineForm(Outlet);

impl EngineForm {
    /// Encodes the data alone; joins and leaves are omitted.
    pub(in crate::session) fn encode(&self, items: &[Item], choice: &Choice, press: &mut Press) -> Vec<u8> {
        let mut out = Vec::new();
        for item in choice.chosen(items) {
            let Item::Publication(publication) = item else { continue };
            let kind = if publication.kind == DataKind::Binary { Kind::Binary } else { Kind::Text };
            let mut target = Target { out: &mut out, press };
            self.0.put_message(kind, &publication.data, &mut target);
        }
        out
    }
}
