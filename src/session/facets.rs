//! A shard's protocol-independent view of a session: its phase, its deadline, its pings, and the format of its
//! messages.
//!
//! Every difference between protocols that a shard needs appears here. No shard matches the variants of [`Session`].

use std::num::NonZeroU64;

use super::desk::Wait;
use super::head::{Head, Standing};
use super::{Action, ClientId, CloseReason, Format, Handler, Session, SessionKind, Settings, Transport, raw};
use crate::proto::ws::Deflate;

/// The phase of a session. Phases follow this order, except that a refused client may identify itself again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request that opens it is incomplete, or is being answered.
    Opening,
    /// Requests are answered one after the other, and one of them had a valid key.
    Asking,
    /// The client has not identified itself yet.
    Identifying,
    /// The client has sent its connect command, and waits for the reply.
    Admitting,
    /// All commands are permitted.
    Live,
    /// Over: input is discarded.
    Over,
}

impl Phase {
    /// Whether the session is open but the client not connected.
    pub fn is_identifying(self) -> bool {
        matches!(self, Self::Identifying | Self::Admitting)
    }

    /// Whether input is an HTTP request.
    pub fn is_request(self) -> bool {
        matches!(self, Self::Opening | Self::Asking)
    }

    /// Whether the session is not live yet.
    pub fn is_new(self) -> bool {
        self == Self::Opening || self.is_identifying()
    }
}

/// The direction of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pings {
    /// The server pings, and the client answers.
    Answered,
    /// The server pings; the client has no way to answer.
    Unanswered,
    /// The server pings; the session does so by itself, at its own deadline.
    Own,
    /// No pings: the session is not open.
    Nobody,
}

fn phase_of(standing: Standing) -> Phase {
    match standing {
        Standing::New | Standing::Answered => Phase::Opening,
        Standing::Trusted => Phase::Asking,
    }
}

impl<S> Session<S> {
    /// A session that is over.
    pub fn over() -> Self {
        Self::Ended
    }

    /// The phase of the session.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Head(head) => phase_of(head.standing()),
            Self::Away(away) => phase_of(away.standing()),
            Self::Raw(_) | Self::SocketIo(_) | Self::Engine(_) | Self::Probe(_) => Phase::Live,
            Self::Centrifuge(centrifuge) => centrifuge.phase(),
            Self::Ended => Phase::Over,
        }
    }

    /// The direction of pings.
    pub fn pings(&self) -> Pings {
        match self {
            // Where the client would have to post its pong, the server does not wait for one.
            Self::Centrifuge(centrifuge) if centrifuge.transport() != Transport::WebSocket => {
                Pings::Unanswered
            }
            Self::Centrifuge(_) | Self::Raw(_) => Pings::Answered,
            Self::SocketIo(_) | Self::Engine(_) => Pings::Own,
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Ended => Pings::Nobody,
        }
    }

    /// The time of the next call of [`Session::timer`], in milliseconds of the shard's clock.
    #[inline]
    pub fn deadline_ms(&self) -> Option<u64> {
        match self {
            Self::Raw(raw) => raw.timer_at_ms().map(NonZeroU64::get),
            Self::SocketIo(session) => Some(session.deadline_ms()),
            Self::Engine(session) => Some(session.deadline_ms()),
            Self::Probe(probe) => probe.due_ms(),
            Self::Head(_) | Self::Away(_) | Self::Centrifuge(_) | Self::Ended => None,
        }
    }

    /// Sets or clears that deadline, where a handler or the shard sets it.
    pub fn set_deadline_ms(&mut self, at_ms: Option<u64>) {
        match self {
            Self::Raw(raw) => raw.set_timer_at_ms(at_ms.and_then(NonZeroU64::new)),
            Self::Probe(probe) => probe.set_due_ms(at_ms),
            Self::Engine(session) => {
                // The session's own deadline stays.
                if let Some(at_ms) = at_ms.and_then(NonZeroU64::new) {
                    session.set_timer_at_ms(at_ms);
                }
            }
            Self::Head(_) | Self::Away(_) | Self::Centrifuge(_) | Self::SocketIo(_) | Self::Ended => {}
        }
    }

    /// Whether the server's own code, a handler, makes the requests. It has all permissions.
    #[inline]
    pub fn is_trusted(&self) -> bool {
        match self {
            Self::Raw(_) | Self::SocketIo(_) | Self::Engine(_) => true,
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Centrifuge(_) | Self::Ended => false,
        }
    }

    /// Whether the session enters private channels, which no other can.
    pub fn has_private_channels(&self) -> bool {
        matches!(self, Self::SocketIo(_))
    }

    /// The transport of the Centrifuge protocol; `None` for a session of another kind.
    pub fn transport(&self) -> Option<Transport> {
        match self {
            Self::Centrifuge(session) => Some(session.transport()),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => None,
        }
    }

    /// The name of the transport for hooks; empty where there is none.
    pub fn transport_name(&self) -> &'static str {
        match self {
            Self::Centrifuge(session) => session.transport().name(),
            Self::SocketIo(session) if session.outlet().is_polled => "polling",
            Self::SocketIo(_) => "websocket",
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Raw(_) | Self::Engine(_) | Self::Ended => {
                ""
            }
        }
    }

    /// The kind of the session in metrics; `None` for one that is not open.
    pub(crate) fn kind(&self) -> Option<SessionKind> {
        match self {
            Self::Centrifuge(session) => Some(SessionKind::Centrifuge(session.transport())),
            Self::Raw(_) | Self::Engine(_) => Some(SessionKind::Raw),
            Self::SocketIo(session) if session.outlet().is_polled => Some(SessionKind::SocketIoPolling),
            Self::SocketIo(_) => Some(SessionKind::SocketIo),
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Ended => None,
        }
    }

    /// The name of the encoding, or of another protocol, for hooks; empty where there is none.
    pub fn encoding_name(&self) -> &'static str {
        match self {
            Self::Centrifuge(session) => session.encoding().name(),
            Self::SocketIo(_) => "socketio",
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Raw(_) | Self::Engine(_) | Self::Ended => {
                ""
            }
        }
    }

    /// The format of one channel's publications for this session and subscription. `None`: it shares no encoded
    /// bytes, and receives each delivery by [`Session::tell`].
    pub fn format(&self, takes_deltas: bool, takes_numbers: bool) -> Option<Format> {
        match self {
            Self::Centrifuge(session) => Some(Format::Centrifuge(session.form(takes_deltas, takes_numbers))),
            Self::Raw(raw) => Some(Format::Raw(raw::Form { deflate: raw.deflate() })),
            Self::SocketIo(session) => Some(Format::SocketIo(session.form())),
            Self::Engine(session) => Some(Format::Engine(session.form())),
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Ended => None,
        }
    }

    /// Permitted compression of messages.
    pub fn deflate(&self) -> Deflate {
        match self {
            Self::Raw(raw) => raw.deflate(),
            Self::Centrifuge(centrifuge) => centrifuge.deflate(),
            Self::SocketIo(session) => session.deflate(),
            Self::Engine(session) => session.deflate(),
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Ended => Deflate::Off,
        }
    }

    /// Bytes of an incomplete head or message.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Head(head) => head.held_bytes(),
            Self::Away(away) => away.held_bytes(),
            Self::Probe(probe) => probe.held_bytes(),
            Self::Raw(raw) => raw.held_bytes(),
            Self::Centrifuge(centrifuge) => centrifuge.held_bytes(),
            Self::SocketIo(session) => session.held_bytes(),
            Self::Engine(session) => session.held_bytes(),
            Self::Ended => 0,
        }
    }

    /// The time at which an incomplete message began, in milliseconds of the shard's clock. (A head has a deadline of
    /// its own.)
    pub fn partial_since_ms(&self) -> Option<u64> {
        match self {
            Self::Raw(raw) => raw.decoder.partial_since_ms(),
            Self::Centrifuge(centrifuge) => centrifuge.decoder.partial_since_ms(),
            Self::SocketIo(session) => session.sockets.decoder()?.partial_since_ms(),
            Self::Engine(session) => session.decoder.partial_since_ms(),
            Self::Probe(probe) => probe.decoder.partial_since_ms(),
            Self::Head(_) | Self::Away(_) | Self::Ended => None,
        }
    }

    /// Restarts the time of an incomplete message.
    pub fn restart_partial(&mut self, now_ms: u64) {
        match self {
            Self::Raw(raw) => raw.decoder.restart(now_ms),
            Self::Centrifuge(centrifuge) => centrifuge.decoder.restart(now_ms),
            Self::SocketIo(session) => {
                if let Some(decoder) = session.sockets.decoder_mut() {
                    decoder.restart(now_ms);
                }
            }
            Self::Engine(session) => session.decoder.restart(now_ms),
            Self::Probe(probe) => probe.decoder.restart(now_ms),
            Self::Head(_) | Self::Away(_) | Self::Ended => {}
        }
    }

    /// Whether a request was answered and no other has begun: no input is expected.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Head(head) if head.is_idle())
    }

    /// Whether input waits until the session can take more: nothing is to be read, and a post is not to be answered.
    #[inline]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::SocketIo(session) if session.is_full())
    }

    /// The number of events that wait for their turn, or for an answer about them.
    pub fn held_events(&self) -> usize {
        match self {
            Self::SocketIo(session) => session.held_events(),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Ended => 0,
        }
    }

    /// The reason for which the session waits without any input from its client.
    pub fn waits_for(&self) -> Option<Wait> {
        match self {
            Self::Away(away) => Some(away.wait()),
            Self::Probe(_)
            | Self::Head(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => None,
        }
    }

    /// Ends the connection; returns whether it ends by itself, once the pending request is answered.
    pub fn ends_when_answered(&mut self) -> bool {
        match self {
            Self::Away(away) => {
                away.end();
                true
            }
            Self::Probe(_)
            | Self::Head(_)
            | Self::Raw(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => false,
        }
    }

    /// Header lines with which a page may read the refusal of its incomplete request; empty for none.
    pub fn cors(&self) -> &str {
        match self {
            Self::Head(head) => Head::cors(head),
            Self::Raw(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Centrifuge(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => "",
        }
    }

    /// Whether a connect command was refused before.
    pub fn was_refused(&self) -> bool {
        matches!(self, Self::Centrifuge(centrifuge) if centrifuge.was_refused())
    }

    /// Handles a refused connect: the client may identify itself again, and nothing else.
    pub fn refused(&mut self) {
        match self {
            Self::Centrifuge(centrifuge) => centrifuge.connect_refused(),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::SocketIo(_)
            | Self::Engine(_)
            | Self::Ended => {}
        }
    }

    /// Returns the state that the session holds for a handler, whose last requests are for others than the client.
    pub fn closed<H: Handler<State = S>>(
        self,
        handler: &mut H,
        client: ClientId,
        reason: &CloseReason,
        (settings, actions): (&Settings, &mut Vec<Action>),
    ) {
        match self {
            Self::Raw(raw) => handler.closed(raw.into_state(), client, reason),
            Self::SocketIo(session) => session.closed(handler, client, reason, (settings, actions)),
            Self::Engine(session) => handler.closed(session.into_state(), client, reason),
            Self::Head(_) | Self::Away(_) | Self::Probe(_) | Self::Centrifuge(_) | Self::Ended => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::centrifuge::Encoding;
    use crate::session::centrifuge::{Centrifuge, Opening};
    use crate::session::raw::Raw;
    use crate::session::wire::Wire;

    fn centrifuge(transport: Transport) -> Session<()> {
        let wire = Wire { transport, encoding: Encoding::Json, deflate: Deflate::Off };
        Session::Centrifuge(Centrifuge::new(wire, Opening::default()))
    }

    #[test]
    fn each_session_shows_how_far_it_is_and_who_pings() {
        let raw = || Session::Raw(Raw::new((), Deflate::Off));
        for (session, phase, pings) in [
            (Session::begin(crate::session::Speaks::Http), Phase::Opening, Pings::Nobody),
            (raw(), Phase::Live, Pings::Answered),
            (centrifuge(Transport::WebSocket), Phase::Identifying, Pings::Answered),
            (centrifuge(Transport::Sse), Phase::Identifying, Pings::Unanswered),
            (centrifuge(Transport::UniWebSocket), Phase::Identifying, Pings::Unanswered),
            (Session::over(), Phase::Over, Pings::Nobody),
        ] {
            assert_eq!((session.phase(), session.pings()), (phase, pings), "{session:?}");
        }
        let all =
            [Phase::Opening, Phase::Asking, Phase::Identifying, Phase::Admitting, Phase::Live, Phase::Over];
        assert_eq!(all.map(Phase::is_new), [true, false, true, true, false, false]);
        assert_eq!(all.map(Phase::is_request), [true, true, false, false, false, false]);
        assert_eq!(all.map(Phase::is_identifying), [false, false, true, true, false, false]);
    }

    #[test]
    fn only_a_handler_is_trusted_and_has_a_deadline() {
        let mut raw = Session::Raw(Raw::new((), Deflate::Off));
        raw.set_deadline_ms(Some(7));
        assert_eq!((raw.deadline_ms(), raw.is_trusted()), (Some(7), true));
        raw.set_deadline_ms(None);
        assert_eq!(raw.deadline_ms(), None);
        let mut client = centrifuge(Transport::WebSocket);
        client.set_deadline_ms(Some(7));
        assert_eq!((client.deadline_ms(), client.is_trusted()), (None, false));
        assert_eq!((client.encoding_name(), raw.encoding_name()), ("json", ""));
    }
}
