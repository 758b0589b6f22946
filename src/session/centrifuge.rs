//! A connection that speaks the Centrifuge protocol, over whatever carries it.
//!
//! The session checks the form of what a client says and answers what needs neither channel nor permission; the rest
//! it asks of its shard by [`Action::Command`], and writes the answers that the shard gives it. Replies to one frame's commands
//! are joined in one frame. Who the client is, and what it may do, is the shard's to know.

use std::borrow::Cow;

use super::raw::{Call, Handler, Outcome};
use super::wire::{Format, Transport};
use super::{Action, CloseReason, Context};
use crate::proto::centrifuge::codes::{Disconnect, Error};
use crate::proto::centrifuge::message::{
    Answer, ChannelRef, Command, Encoding, HistoryRequest, Push, Request,
};
use crate::proto::centrifuge::{self as wire};
use crate::proto::ws::{Decoder, Event, frame};

/// What connect replies tell of the server.
pub const VERSION: &str = concat!("throng ", env!("CARGO_PKG_VERSION"));

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The connect command is awaited.
    Fresh,
    /// It was asked of the shard.
    Connecting,
    /// It was answered.
    Connected,
}

/// What the request that opened the connection said, kept until the connect command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Headers that hooks are sent: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The token, where a cookie held one.
    pub token: String,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Centrifuge {
    decoder: Decoder,
    opening: Option<Box<Opening>>,
    transport: Transport,
    encoding: Encoding,
    phase: Phase,
}

impl Centrifuge {
    /// A connection whose client has said nothing yet.
    pub fn new(transport: Transport, encoding: Encoding, opening: Opening) -> Self {
        let opening = (opening != Opening::default()).then(|| Box::new(opening));
        Self { decoder: Decoder::default(), opening, transport, encoding, phase: Phase::Fresh }
    }

    /// What carries the connection.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How its messages are written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What the opening request said, once.
    pub fn take_opening(&mut self) -> Opening {
        self.opening.take().map_or_else(Opening::default, |opening| *opening)
    }

    /// Takes bytes of a WebSocket.
    pub(super) fn receive<H: Handler>(
        &mut self,
        mut input: &mut [u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.transport.framing() != super::wire::Framing::WebSocket {
            // Behind the request of a response without an end there is nothing to be said.
            return Ok(());
        }
        while let Some(event) =
            self.decoder.next(&mut input, &cx.settings.ws).map_err(CloseReason::Violation)?
        {
            match event {
                Event::Message(_, payload) => {
                    cx.counts.messages_in += 1;
                    self.take(&payload, handler, cx)?;
                }
                Event::Ping(payload) => frame::put_pong(cx.out, &payload),
                Event::Pong => {}
                Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
            }
        }
        Ok(())
    }

    /// Takes the commands of one frame, or of one POST; their immediate replies are appended to `cx.out`.
    ///
    /// # Errors
    /// Why the connection ends.
    pub(super) fn take<H: Handler>(
        &mut self,
        payload: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.transport.is_uni() {
            return self.take_uni(payload, cx);
        }
        let start = cx.out.len();
        let mut count = 0;
        let mut outcome = Ok(());
        for command in wire::commands(self.encoding, payload) {
            count += 1;
            outcome = match command {
                Ok(command) => self.command(command, start, handler, cx),
                Err(_) => Err(CloseReason::BadRequest),
            };
            if outcome.is_err() {
                break;
            }
        }
        cx.counts.messages_out += u64::from(cx.out.len() > start);
        self.transport.framing().seal(self.encoding, cx.out, start);
        // A frame without any command is no answer to anything.
        if count == 0 { Err(CloseReason::BadRequest) } else { outcome }
    }

    /// What a client without commands says: who it is, and then nothing but pongs.
    fn take_uni(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.phase != Phase::Fresh {
            return Ok(());
        }
        let connect = wire::connect_request(self.encoding, payload).map_err(|_| CloseReason::BadRequest)?;
        self.phase = Phase::Connecting;
        cx.actions.push(Action::Command { id: 0, request: Request::Connect(Box::new(connect)) });
        Ok(())
    }

    fn command<H: Handler>(
        &mut self,
        command: Command<'_>,
        start: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Command { id, request } = command;
        let expects_reply = !matches!(request, Request::Pong | Request::Send { .. });
        let is_connect = matches!(request, Request::Connect(_));
        // The first command must be connect, and only the first; what wants a reply needs an id.
        if is_connect != (self.phase == Phase::Fresh) || expects_reply == (id == 0) {
            return Err(CloseReason::BadRequest);
        }
        if self.phase == Phase::Connecting && expects_reply {
            // Nothing may be answered before connect is; it comes back by `resume`.
            cx.actions.push(Action::Early { id, request: owned(request) });
            return Ok(());
        }
        if let Some(channel) = channel_of(&request)
            && (channel.is_empty() || channel.len() > cx.settings.channel_name_bytes_max)
        {
            put_error(cx, start, self.encoding, id, &Error::BAD_REQUEST);
            return Ok(());
        }
        match request {
            Request::Pong | Request::Send { .. } => {}
            Request::Ping => wire::put_answer(cx.out, start, self.encoding, id, &Answer::Ping),
            Request::Unknown => put_error(cx, start, self.encoding, id, &Error::METHOD_NOT_FOUND),
            Request::Publish { data: None, .. } => {
                put_error(cx, start, self.encoding, id, &Error::BAD_REQUEST);
            }
            Request::Rpc { method, data } => self.call(id, method, data, start, handler, cx),
            Request::Connect(_) => {
                self.phase = Phase::Connecting;
                cx.actions.push(Action::Command { id, request: owned(request) });
            }
            Request::Subscribe(_)
            | Request::Unsubscribe { .. }
            | Request::Publish { .. }
            | Request::Presence { .. }
            | Request::PresenceStats { .. }
            | Request::History(_)
            | Request::Refresh { .. }
            | Request::SubRefresh { .. } => cx.actions.push(Action::Command { id, request: owned(request) }),
        }
        Ok(())
    }

    /// A call: the embedder's handler is asked first, then, by the shard, the application's hook.
    fn call<H: Handler>(
        &mut self,
        id: u32,
        method: Cow<'_, str>,
        data: Cow<'_, [u8]>,
        start: usize,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) {
        // Who calls too often is told so by the shard.
        if !cx.settings.limits_calls {
            let call = Call { client: cx.client, user: cx.user, method: &method, data: &data };
            match handler.call(&call) {
                Outcome::NotServed => {}
                Outcome::Result(result) => {
                    return wire::put_answer(cx.out, start, self.encoding, id, &Answer::Rpc(&result));
                }
                Outcome::Error { code, message } => {
                    return wire::put_error(cx.out, start, self.encoding, id, code, &message, false);
                }
            }
        }
        cx.actions.push(Action::Command { id, request: owned(Request::Rpc { method, data }) });
    }

    /// A command that waited for connect to be answered.
    pub(super) fn resume<H: Handler>(
        &mut self,
        id: u32,
        request: Request<'static>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let start = cx.out.len();
        let outcome = self.command(Command { id, request }, start, handler, cx);
        cx.counts.messages_out += u64::from(cx.out.len() > start);
        self.transport.framing().seal(self.encoding, cx.out, start);
        outcome
    }

    /// Asks the handler about a call that the shard let through.
    pub(super) fn call_late<H: Handler>(
        &mut self,
        id: u32,
        method: &str,
        data: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> bool {
        let call = Call { client: cx.client, user: cx.user, method, data };
        match handler.call(&call) {
            Outcome::NotServed => return false,
            Outcome::Result(result) => self.answer(id, &Answer::Rpc(&result), cx),
            Outcome::Error { code, message } => self.fail(id, code, &message, false, cx),
        }
        true
    }

    /// Writes the answer to command `id`.
    pub(super) fn answer(&mut self, id: u32, answer: &Answer<'_>, cx: &mut Context<'_>) {
        if let Answer::Connect(result) = answer {
            self.phase = Phase::Connected;
            if self.transport.is_uni() {
                return self.push(ChannelRef::None, &Push::Connect(*result), cx);
            }
        }
        // A client without commands waits for no reply.
        if !self.transport.is_uni() {
            let start = cx.out.len();
            wire::put_answer(cx.out, start, self.encoding, id, answer);
            self.sent(start, cx);
        }
    }

    /// Writes that command `id` failed.
    pub(super) fn fail(&self, id: u32, code: u32, message: &str, temporary: bool, cx: &mut Context<'_>) {
        if self.transport.is_uni() {
            return;
        }
        let start = cx.out.len();
        wire::put_error(cx.out, start, self.encoding, id, code, message, temporary);
        self.sent(start, cx);
    }

    /// Writes what the client did not ask for.
    pub(super) fn push(&self, channel: ChannelRef<'_>, push: &Push<'_>, cx: &mut Context<'_>) {
        let start = cx.out.len();
        wire::put_push(cx.out, start, self.encoding, self.transport.is_uni(), channel, push);
        self.sent(start, cx);
    }

    fn sent(&self, start: usize, cx: &mut Context<'_>) {
        cx.counts.messages_out += 1;
        self.transport.framing().seal(self.encoding, cx.out, start);
    }

    /// The server's ping: an empty message.
    pub(super) fn ping(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(wire::ping(self.encoding));
        self.transport.framing().seal(self.encoding, out, start);
    }

    /// The last words where there is no close frame: the reason as a push, and no more bytes.
    pub(super) fn goodbye(&self, code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
        if self.transport.framing() == super::wire::Framing::WebSocket {
            return frame::put_close(out, code, reason);
        }
        let Some(code) = code else { return };
        let start = out.len();
        let reconnect = Disconnect { code, reason: "" }.reconnects();
        let push = Push::Disconnect { code, reason, reconnect };
        wire::put_push(out, start, self.encoding, self.transport.is_uni(), ChannelRef::None, &push);
        self.transport.framing().seal(self.encoding, out, start);
    }

    /// The wire format of publications.
    pub fn format(&self, takes_deltas: bool, is_compact: bool) -> Format {
        Format::Centrifuge {
            framing: self.transport.framing(),
            encoding: self.encoding,
            is_uni: self.transport.is_uni(),
            takes_deltas,
            is_compact,
        }
    }

    /// Whether its connect command was answered.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes()
    }
}

fn put_error(cx: &mut Context<'_>, start: usize, encoding: Encoding, id: u32, error: &Error) {
    wire::put_error(cx.out, start, encoding, id, error.code, error.message, error.temporary);
}

/// The channel that a request is about.
fn channel_of<'r>(request: &'r Request<'_>) -> Option<&'r str> {
    match request {
        Request::Subscribe(subscribe) => Some(&subscribe.channel),
        Request::Unsubscribe { channel }
        | Request::Publish { channel, .. }
        | Request::Presence { channel }
        | Request::PresenceStats { channel }
        | Request::History(HistoryRequest { channel, .. }) => Some(channel),
        Request::SubRefresh { channel, .. } => Some(channel),
        Request::Pong
        | Request::Connect(_)
        | Request::Ping
        | Request::Send { .. }
        | Request::Rpc { .. }
        | Request::Refresh { .. }
        | Request::Unknown => None,
    }
}

/// The same request, free of the frame that it arrived in.
fn owned(request: Request<'_>) -> Request<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let bytes = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    match request {
        Request::Pong => Request::Pong,
        Request::Connect(connect) => Request::Connect(connect),
        Request::Subscribe(subscribe) => Request::Subscribe(subscribe),
        Request::Unsubscribe { channel } => Request::Unsubscribe { channel: text(channel) },
        Request::Publish { channel, data } => {
            Request::Publish { channel: text(channel), data: data.map(bytes) }
        }
        Request::Presence { channel } => Request::Presence { channel: text(channel) },
        Request::PresenceStats { channel } => Request::PresenceStats { channel: text(channel) },
        Request::History(HistoryRequest { channel, limit, since, reverse }) => {
            Request::History(HistoryRequest { channel: text(channel), limit, since, reverse })
        }
        Request::Ping => Request::Ping,
        Request::Send { data } => Request::Send { data: bytes(data) },
        Request::Rpc { method, data } => Request::Rpc { method: text(method), data: bytes(data) },
        Request::Refresh { token } => Request::Refresh { token },
        Request::SubRefresh { channel, token } => Request::SubRefresh { channel, token },
        Request::Unknown => Request::Unknown,
    }
}
