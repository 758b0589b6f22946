//! Requests of HTTP long-polling: each reaches any connection, in any shard, and is for a session that has no socket.
//!
//! The connection of a request waits as for an answer from outside ([`super::desk::Away`]); the session's shard gives
//! the answer. Nothing here knows the protocol of the session.

use super::desk::Away;
use super::engine;
use super::probe::{Probe, UpgradeAsk};
use super::{CloseReason, Context, Handler, PlainResponse, Session, Settings, socketio};
use crate::base::slots::Key;
use crate::proto::engine::{EngineRefusal, PacketKind};

/// A request for a session without a socket.
#[derive(Debug, PartialEq)]
pub struct Poll {
    /// Shard of the session, and its key there; `None` for a session that the request opens, in the shard of the
    /// request.
    pub place: Option<(u16, Key)>,
    /// The purpose of the request.
    pub ask: PollAsk,
}

/// The purpose of a request for a session without a socket.
#[derive(Debug, PartialEq)]
pub enum PollAsk {
    /// Opens the session; the answer is its first output.
    Open(PollOpening),
    /// Returns the output of the session, as soon as there is some.
    Fetch,
    /// Delivers input.
    Post {
        /// The body.
        body: Vec<u8>,
        /// Whether the body is declared as binary.
        is_binary: bool,
    },
    /// The connection of a [`PollAsk::Fetch`] has ended before the answer. Nothing is answered.
    Left,
}

/// The request by which a session is opened.
#[derive(Debug, PartialEq)]
pub struct PollOpening(pub(super) engine::PollQuery);

/// The reason for which a poll is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollRefusal {
    /// The session has ended, or never was.
    UnknownSession,
    /// The session has another transport, the request overlaps with one of its kind, or its body is invalid.
    BadRequest,
    /// The request has another client certificate than the one that opened the session, or the handler refuses the client.
    Forbidden,
}

impl PollRefusal {
    fn refusal(self) -> EngineRefusal {
        match self {
            Self::UnknownSession => EngineRefusal::UnknownSession,
            Self::BadRequest => EngineRefusal::BadRequest,
            Self::Forbidden => EngineRefusal::Forbidden,
        }
    }

    /// Its place among the counters of refused requests.
    pub(crate) fn place(self) -> usize {
        usize::from(self.refusal().code())
    }

    /// The answer.
    pub(crate) fn response(self) -> PlainResponse {
        let refusal = self.refusal();
        let status = if refusal.status() == 403 { "403 Forbidden" } else { "400 Bad Request" };
        let mut body = Vec::new();
        refusal.put_body(&mut body, None);
        let head = format!("{status}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n");
        PlainResponse { head: head.into(), body }
    }
}

/// The answer to [`PollAsk::Fetch`] with the session's queued output.
pub(crate) fn fetched(output: Vec<u8>) -> PlainResponse {
    let (body, is_binary) = engine::polled_body(output);
    let head = match is_binary {
        true => "200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: no-store\r\n",
        false => "200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nCache-Control: no-store\r\n",
    };
    PlainResponse { head: head.into(), body }
}

/// The answer to [`PollAsk::Post`].
pub(crate) fn posted() -> PlainResponse {
    let head = "200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\n";
    PlainResponse { head: head.into(), body: b"ok".to_vec() }
}

impl<S> Session<S> {
    /// The session whose client was told that it is open, and whether it continues. `None`: the handler refuses it.
    pub(super) fn of_engine<H: Handler<State = S>>(
        opening: engine::Handshake,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<(Self, Result<(), CloseReason>)> {
        match opening.wanted {
            engine::Wanted::Sockets => {
                let mut session = socketio::Session::new(opening, cx);
                let outcome = session.opened(handler, cx);
                Some((Self::SocketIo(session), outcome))
            }
            engine::Wanted::Messages => {
                let (session, outcome) = engine::Messages::open(opening, handler, cx)?;
                Some((Self::Engine(Box::new(session)), outcome))
            }
        }
    }

    /// Opens a session without a socket; its first output is in `cx.out`. `None`: the handler refuses it, and nothing is
    /// opened.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn open_polled<H: Handler<State = S>>(
        &mut self,
        opening: PollOpening,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), CloseReason>> {
        let (session, outcome) = Self::of_engine(opening.0.open(cx), handler, cx)?;
        *self = session;
        Some(outcome)
    }

    /// Whether the session is one without a socket.
    pub fn is_polled(&self) -> bool {
        self.outlet().is_some_and(|outlet| outlet.is_polled)
    }

    /// The header line that sets the cookie with the session's id; `None` where there is no cookie.
    pub(crate) fn cookie_line(&self, settings: &Settings, shard: u16, conn: Key) -> Option<String> {
        let cookie = Some(&settings.socketio.cookie).filter(|cookie| !cookie.name.is_empty())?;
        cookie.line(&self.outlet()?.sid(&settings.secret, shard, conn))
    }

    /// How packets of Engine.IO leave; `None` for a session that has none.
    fn outlet(&self) -> Option<engine::Outlet> {
        match self {
            Self::SocketIo(session) => Some(session.outlet()),
            Self::Engine(session) => Some(session.outlet()),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::Ended => None,
        }
    }

    /// The answer to a [`PollAsk::Fetch`] that a second one replaces: the session ends with both.
    pub(crate) fn ended_poll(&self) -> PlainResponse {
        self.answer_of(PacketKind::Close)
    }

    /// The answer to a [`PollAsk::Fetch`] without output, which lets the client move to a WebSocket.
    pub(crate) fn relieved_poll(&self) -> PlainResponse {
        self.answer_of(PacketKind::Noop)
    }

    /// The answer with one packet of this kind.
    fn answer_of(&self, kind: PacketKind) -> PlainResponse {
        let mut output = Vec::new();
        if let Some(outlet) = self.outlet() {
            outlet.put_control(kind, "", &mut output);
        }
        fetched(output)
    }

    /// Writes the packet that ends a polled session for this reason.
    pub(super) fn end_poll(&self, reason: &CloseReason, out: &mut Vec<u8>) {
        // A client that has ended the session itself only waits for the end of its poll.
        let is_peer = matches!(reason, CloseReason::Peer(_));
        let kind = if is_peer { PacketKind::Noop } else { PacketKind::Close };
        if let Some(outlet) = self.outlet() {
            outlet.put_control(kind, "", out);
        }
    }

    /// The place of the session whose output this connection waits for.
    pub fn fetches_from(&self) -> Option<(u16, Key)> {
        match self {
            Self::Away(away) => away.fetches_from(),
            Self::Head(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => None,
        }
    }

    /// Takes the body of a post, with packets.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn post<H: Handler<State = S>>(
        &mut self,
        body: &[u8],
        is_binary: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::SocketIo(session) => session.post(body, is_binary, handler, cx),
            Self::Engine(session) => session.post(body, is_binary, handler, cx),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::Ended => Ok(()),
        }
    }

    /// The session of a request that waits, without the rest of its connection.
    pub(crate) fn take_away(&mut self) -> Option<Box<Away>> {
        if !matches!(self, Self::Away(_)) {
            return None;
        }
        let Self::Away(away) = std::mem::replace(self, Self::Ended) else { return None };
        Some(away)
    }

    /// Makes the connection of a request a WebSocket that is to replace the polls of a session. Returns the input behind
    /// the request.
    pub(crate) fn begin_probe(&mut self, ask: &UpgradeAsk) -> Vec<u8> {
        let rest = self.take_away().map(|away| away.into_rest()).unwrap_or_default();
        *self = Self::Probe(Box::new(Probe::new(ask)));
        rest
    }

    /// The session whose polls this WebSocket is to replace.
    pub(crate) fn probes(&self) -> Option<Key> {
        match self {
            Self::Probe(probe) => Some(probe.session()),
            Self::Head(_)
            | Self::Away(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => None,
        }
    }

    /// Whether the client uses this WebSocket in place of polls from now on.
    pub(crate) fn is_probe_done(&self) -> bool {
        matches!(self, Self::Probe(probe) if probe.is_done())
    }

    /// Makes packets leave by the WebSocket of a probe; those that wait for a poll come first, in `cx.out`. Returns the
    /// input of the WebSocket for this session.
    pub(crate) fn upgrade_by(&mut self, probe: Self, polled: &[u8], cx: &mut Context<'_>) -> Vec<u8> {
        let Self::Probe(mut probe) = probe else { return Vec::new() };
        match self {
            Self::SocketIo(session) => session.upgrade(probe.way(), polled, cx),
            Self::Engine(session) => session.upgrade(probe.way(), polled, cx),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::Ended => return Vec::new(),
        }
        probe.take_rest()
    }
}
