//! Requests of HTTP long-polling: each reaches any connection, in any shard, and is for a session that has no socket.
//!
//! The connection of a request waits as for an answer from outside ([`super::desk::Away`]); the session's shard gives
//! the answer. Nothing here knows the protocol of the session.

use super::desk::Away;
use super::engine;
use super::probe::{Probe, UpgradeAsk};
use super::{CloseReason, Context, Handler, PlainResponse, Session, socketio};
use crate::base::slots::Key;
use crate::proto::engine::EngineRefusal;

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
    /// The request has another client certificate than the one that opened the session.
    Forbidden,
}

impl PollRefusal {
    /// The answer.
    pub(crate) fn response(self) -> PlainResponse {
        let refusal = match self {
            Self::UnknownSession => EngineRefusal::UnknownSession,
            Self::BadRequest => EngineRefusal::BadRequest,
            Self::Forbidden => EngineRefusal::Forbidden,
        };
        let status = if refusal.status() == 403 { "403 Forbidden" } else { "400 Bad Request" };
        let mut body = Vec::new();
        refusal.put_body(&mut body, None);
        let head = format!("{status}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n");
        PlainResponse { head: head.into(), body }
    }
}

/// The answer to [`PollAsk::Fetch`] with the session's queued output.
pub(crate) fn fetched(output: Vec<u8>) -> PlainResponse {
    let head = "200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nCache-Control: no-store\r\n";
    PlainResponse { head: head.into(), body: engine::polled_body(output) }
}

/// The answer to a [`PollAsk::Fetch`] without output, which lets the client move to a WebSocket.
pub(crate) fn relieved() -> PlainResponse {
    fetched(engine::noop_of_poll())
}

/// The answer to a [`PollAsk::Fetch`] whose session ends.
pub(crate) fn ended() -> PlainResponse {
    fetched(engine::end_of_poll())
}

/// The answer to [`PollAsk::Post`].
pub(crate) fn posted() -> PlainResponse {
    let head = "200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\n";
    PlainResponse { head: head.into(), body: b"ok".to_vec() }
}

impl<S> Session<S> {
    /// Opens a session without a socket; its first output is in `cx.out`.
    pub fn open_polled(&mut self, opening: PollOpening, cx: &mut Context<'_>) {
        *self = Self::SocketIo(socketio::Session::new(opening.0.open(cx), cx));
    }

    /// Whether the session is one without a socket.
    pub fn is_polled(&self) -> bool {
        matches!(self, Self::SocketIo(session) if session.is_polled())
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
        let (Self::SocketIo(session), Self::Probe(mut probe)) = (self, probe) else { return Vec::new() };
        session.upgrade(probe.way(), polled, cx);
        probe.take_rest()
    }
}
