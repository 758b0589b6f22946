//! The protocol of one connection. A [`Session`] takes bytes and sends requests to its shard by [`Action`]s;
//! it owns no socket, reads no clock and knows no other connection.
//!
//! A connection begins as [`head::Head`] (the HTTP request) and becomes one of the others, or ends there. Each
//! session ends with a [`CloseReason`]; that enum is the one list of endings.
//!
//! * `head` reads the request, `endpoint` decides where it leads; `transport` and `wire`: how messages travel.
//! * `centrifuge`: its commands become asks (`commands`); `replies` and `pushes` write the results with the protocol's
//!   numbers. `raw`: endpoints of a [`Handler`]. `socketio`, over `engine`: sockets of a Socket.IO application. `desk`:
//!   requests that are answered outside the shards.
//! * `claims`: the identities of several clients that share a connection.
//! * `polling`: requests of HTTP long-polling, for sessions without a socket; `probe`: a WebSocket that is to replace them.
//! * `context` is the input and output of each call, `action` the list of everything that a client can cause.
//! * `socket_orders`: orders to its socket in a namespace.
//! * `facets`: the state of any session, as its shard sees it. `format` and each protocol's `form`: encoding of
//!   deliveries.
//! * `fault`: the rules that packets of Engine.IO and Socket.IO can break.
//! * `ending` has [`CloseReason`], `goodbye` writes the last output of each, `client_id` [`ClientId`]; `secret` signs session
//!   ids; `pongs` bounds answers to pings,
//!   `bound` the output of handlers; `labels`: values of labels in metrics.
//! * `returning`: sockets that outlive their connection, as their shard sees them.
//! * `deferred`: values of a protocol that a shard keeps without knowing the protocol.

mod action;
mod bound;
pub mod centrifuge;
mod claims;
mod client_id;
mod context;
mod deferred;
pub(crate) mod desk;
mod ending;
pub(crate) mod endpoint;
mod engine;
mod facets;
mod fault;
mod format;
mod goodbye;
pub(crate) mod head;
pub(crate) mod labels;
mod polling;
mod pongs;
mod probe;
pub mod raw;
mod returning;
mod secret;
mod socket_orders;
pub(crate) mod socketio;
mod transport;
pub mod wire;

use crate::hub::words::{Denied, News, Reply};
use crate::proto::ws;
pub use action::Action;
pub(crate) use action::SocketReply;
pub use client_id::ClientId;
pub use context::{ClientCertificate, ConnectRate, Context, Counts, Forwarded, InPlace, Settings, Told};
pub(crate) use context::{Note, Splice};
pub(crate) use deferred::{Deferred, Telling};
pub use desk::{PlainRequest, PlainResponse};
pub use ending::CloseReason;
pub(crate) use endpoint::TOO_MANY_CLIENTS;
pub use endpoint::{Endpoint, Endpoints, Serves};
pub use engine::EngineClient;
pub use facets::Phase;
pub(crate) use facets::Pings;
pub use fault::{OrderFault, PacketFault};
pub(crate) use format::{Format, encode};
pub(crate) use polling::Poll;
pub(crate) use polling::{PollAsk, PollOpening, PollRefusal, fetched, posted};
use pongs::Pongs;
pub(crate) use probe::{ProbeStep, UpgradeAsk};
pub use raw::{Handler, Message, NoHandler, Peer};
pub use secret::Secret;
pub(crate) use socketio::end_away;
pub use socketio::{AdminOptions, ClaimRules, LateAnswer, LateAnswers, PacketRates, SocketIoOptions};
pub(crate) use socketio::{Admission, Expired, Identity, SocketRefusal};
pub use transport::Transport;
pub(crate) use transport::{SessionKind, kinds};

/// The first protocol of a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1: the first request determines the kind of session.
    Http,
}

/// The state of one connection's protocol.
#[derive(Debug)]
pub enum Session<S> {
    /// Waiting for the request head.
    Head(head::Head),
    /// An embedder's endpoint.
    Raw(raw::Raw<S>),
    /// A request is being answered outside the shards.
    Away(Box<desk::Away>),
    /// A WebSocket that is to replace the polls of a session.
    Probe(Box<probe::Probe>),
    /// The Centrifuge protocol in JSON.
    Centrifuge(centrifuge::Centrifuge),
    /// Socket.IO.
    SocketIo(socketio::Session<S>),
    /// Messages of Engine.IO, for an embedder's endpoint.
    Engine(Box<engine::Messages<S>>),
    /// Over: input is discarded.
    Ended,
}

impl<S> Session<S> {
    /// A session that waits for the first bytes of a listener's protocol.
    pub fn begin(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Http => Self::Head(head::Head::default()),
        }
    }

    /// Takes bytes from the client.
    ///
    /// # Errors
    /// The reason for which the session ends; `cx.out` then holds the output to send before the close frame.
    pub fn receive<H: Handler<State = S>>(
        &mut self,
        input: &mut [u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.receive_at(input, Some(0), handler, cx)
    }

    /// `input_at` is the offset of the input in the shard's buffer, if it is a part of that.
    fn receive_at<H: Handler<State = S>>(
        &mut self,
        mut input: &mut [u8],
        mut input_at: Option<usize>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        while let Self::Head(head) = self {
            let standing = head.standing();
            let Some(next) = head.receive(input, handler, cx)? else { return Ok(()) };
            *self = next.session;
            self.inherit(standing);
            next.outcome?;
            if let (Self::Centrifuge(centrifuge), Some(first)) = (&mut *self, next.first) {
                centrifuge.take(&first, handler, cx)?;
            }
            match next.rest {
                head::Rest::Input(at) => {
                    input = &mut input[at..];
                    input_at = input_at.map(|before| before + at);
                }
                head::Rest::Held(mut bytes) => return self.receive_at(&mut bytes, None, handler, cx),
            }
        }
        self.receive_open(input, input_at, handler, cx)
    }

    fn receive_open<H: Handler<State = S>>(
        &mut self,
        input: &mut [u8],
        input_at: Option<usize>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let mut pongs = Pongs::default();
        let outcome = match self {
            Self::Raw(raw) => raw.receive(input, input_at, handler, &mut pongs, cx),
            Self::Centrifuge(centrifuge) => centrifuge.receive(input, handler, &mut pongs, cx),
            Self::SocketIo(session) => session.receive(input, handler, &mut pongs, cx),
            Self::Engine(session) => session.receive(input, handler, &mut pongs, cx),
            Self::Away(away) => {
                away.keep(input);
                Ok(())
            }
            Self::Probe(probe) => probe.receive(input, &mut pongs, cx),
            Self::Head(_) | Self::Ended => Ok(()),
        };
        pongs.finish(cx);
        if let Some(decoder) = self.decoder_mut() {
            decoder.note_time(cx.now_ms);
        }
        outcome
    }

    fn decoder_mut(&mut self) -> Option<&mut ws::Decoder> {
        match self {
            Self::Raw(raw) => Some(&mut raw.decoder),
            Self::Centrifuge(centrifuge) => Some(&mut centrifuge.decoder),
            Self::SocketIo(session) => session.sockets.decoder_mut(),
            Self::Engine(session) => Some(&mut session.decoder),
            Self::Probe(probe) => Some(&mut probe.decoder),
            Self::Head(_) | Self::Away(_) | Self::Ended => None,
        }
    }

    /// Keeps the standing of the connection's earlier requests.
    fn inherit(&mut self, standing: head::Standing) {
        match self {
            Self::Head(head) => head.inherit(standing),
            Self::Away(away) => away.inherit(standing),
            Self::Probe(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => {}
        }
    }

    /// Answers the pending request: with this response, or, for `None`, with the delayed one. Then handles the input
    /// behind it.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn answered<H: Handler<State = S>>(
        &mut self,
        response: Option<&PlainResponse>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Self::Away(away) = self else { return Ok(()) };
        let standing = away.standing();
        let next = Self::Head(head::Head::after(standing));
        let Self::Away(away) = std::mem::replace(self, next) else { return Ok(()) };
        let (mut rest, goes_on) = away.answer(response, cx.out);
        if !goes_on {
            return Err(CloseReason::Answered);
        }
        self.receive_at(&mut rest, None, handler, cx)
    }

    /// Takes commands that came by POST.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn emulated<H: Handler<State = S>>(
        &mut self,
        data: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::Centrifuge(centrifuge) if centrifuge.transport().framing() != wire::Framing::WebSocket => {
                centrifuge.take(data, handler, cx)
            }
            Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Raw(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => Ok(()),
        }
    }

    /// Handles the time of [`Session::deadline_ms`]: the expiry of the handler's timer, or the session's own deadline.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn timer<H: Handler<State = S>>(
        &mut self,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::Raw(raw) => raw.timer(handler, cx),
            Self::SocketIo(session) => session.timer(handler, cx),
            Self::Engine(session) => session.timer(handler, cx),
            Self::Probe(probe) => {
                probe.timer(cx);
                Ok(())
            }
            Self::Head(_) | Self::Away(_) | Self::Centrifuge(_) | Self::Ended => Ok(()),
        }
    }

    /// Takes the reply to [`Action::Ask`] number `id`.
    ///
    /// # Errors
    /// The reason for which the session ends.
    #[inline]
    pub fn reply<H: Handler<State = S>>(
        &mut self,
        id: u32,
        reply: &Reply<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::Centrifuge(centrifuge) => centrifuge.reply(id, reply, cx),
            Self::Raw(raw) => return raw.reply(reply, handler, cx),
            Self::SocketIo(session) => return session.reply(id, reply, handler, cx),
            Self::Engine(session) => return session.reply(reply, handler, cx),
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Ended => {}
        }
        Ok(())
    }

    /// Takes the error of [`Action::Ask`] number `id`. Handlers are told of [`Reply::NotEntered`] only.
    pub fn deny(&mut self, id: u32, denied: &Denied, cx: &mut Context<'_>) {
        match self {
            Self::Centrifuge(centrifuge) => centrifuge.deny(id, denied, cx),
            Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => {}
        }
    }

    /// Asks the handler about a call that was rate-limited first; returns false when it serves no such call.
    pub fn call_late<H: Handler<State = S>>(
        &mut self,
        id: u32,
        method: &str,
        data: &[u8],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> bool {
        match self {
            Self::Centrifuge(centrifuge) => centrifuge.call_late(id, method, data, handler, cx),
            Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => true,
        }
    }

    /// Executes a deferred command, in its turn. It does not become [`Action::Wait`] again.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn resume<H: Handler<State = S>>(
        &mut self,
        id: u32,
        deferred: Deferred,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::Centrifuge(centrifuge) => {
                let Deferred::Centrifuge(command) = deferred;
                centrifuge.resume(id, command, handler, cx)
            }
            Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => Ok(()),
        }
    }

    /// Sends a push to the client. Handlers receive none.
    pub fn tell(&mut self, news: &News<'_>, cx: &mut Context<'_>) {
        match self {
            Self::Centrifuge(centrifuge) => centrifuge.tell(news, cx),
            Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => {}
        }
    }

    /// The form in which the client receives publications of a history; `None` where it receives none.
    pub fn telling(&self, takes_deltas: bool) -> Option<Telling> {
        match self {
            Self::Centrifuge(centrifuge) => Some(Telling::Centrifuge(centrifuge.telling(takes_deltas))),
            Self::Head(_)
            | Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => None,
        }
    }

    /// The protocol's code and text of a refusal; `None` where the client receives none.
    pub fn code_of<'a>(&self, denied: &'a Denied) -> Option<(u32, &'a str)> {
        match self {
            Self::Centrifuge(_) => Some(centrifuge::code_of(denied)),
            Self::Head(_)
            | Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => None,
        }
    }

    /// Writes a heartbeat for the client, if the shard sends those of the session.
    pub fn ping(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Raw(_) => ws::frame::put_ping(out),
            Self::Centrifuge(centrifuge) => centrifuge.ping(out),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => return false,
        }
        true
    }

    /// Whether the head of the response waits for the reply to connect, so that a refusal is a response of its own.
    pub fn is_head_held(&self) -> bool {
        matches!(self, Self::Centrifuge(centrifuge) if centrifuge.is_head_held())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::networks::Networks;
    use crate::base::seed::Seed;
    use crate::hub::rooms::RoomMap;
    use crate::proto::centrifuge::codes::Disconnect;
    use crate::proto::ws::Violation;

    #[test]
    fn a_session_without_state_is_24_bytes() {
        assert!(size_of::<Session<()>>() <= 24, "{}", size_of::<Session<()>>());
    }

    #[test]
    fn each_ending_has_its_frame() {
        assert_eq!(CloseReason::Slow.frame(), Some((Some(3008), "slow")));
        assert_eq!(CloseReason::Peer(1005).frame(), Some((None, "")));
        assert_eq!(CloseReason::Violation(Violation::Utf8).frame().unwrap().0, Some(1007));
        assert_eq!(CloseReason::Hangup.frame(), None);
    }

    #[test]
    fn who_is_sent_away_is_told_to_come_back() {
        for code in
            [CloseReason::Shutdown, CloseReason::Memory].map(|reason| reason.frame().unwrap().0.unwrap())
        {
            assert!(Disconnect { code, reason: "" }.reconnects(), "{code}");
        }
        let raw: Session<()> = Session::Raw(raw::Raw::new((), Default::default()));
        let said = |reason| {
            let mut out = Vec::new();
            raw.goodbye(&reason, 1234, &mut out);
            (u16::from_be_bytes([out[2], out[3]]), String::from_utf8(out[4..].to_vec()).unwrap())
        };
        assert_eq!(said(CloseReason::Shutdown), (1012, "service restart; retry after 1234 ms".to_owned()));
        assert_eq!(said(CloseReason::Memory), (1013, "try again later; retry after 1234 ms".to_owned()));
        assert_eq!(said(CloseReason::Slow), (3008, "slow".to_owned()));
    }

    /// A connection's id for tests.
    pub(crate) fn client(token: u64) -> ClientId {
        ClientId { seed: Seed::from(7), shard: 0, token }
    }

    /// Settings that tests of sessions share.
    pub(crate) fn settings() -> Settings {
        Settings {
            endpoints: Endpoints {
                table: [vec![Endpoint::usual(Transport::WebSocket)], Endpoint::beside_websocket()].concat(),
                ..Endpoints::default()
            },
            head_bytes_max: 1024,
            ws: ws::Limits { frame_bytes_max: 1000, message_bytes_max: 1000 },
            channel_name_bytes_max: 20,
            outbox_bytes_max: 1000,
            limits_calls: false,
            secret: Secret::new(Seed::from(7)),
            trusted_proxies: Networks::default(),
            socketio: SocketIoOptions::default(),
            rules_version: 0,
            claims: ClaimRules::default(),
            packet_rates: None,
            late: None,
            rooms: RoomMap::default(),
            connects: ConnectRate::default(),
        }
    }
}
