//! The one list of endings: reasons for which a connection ends, and their close frames.

use super::fault::PacketFault;
use crate::hub::words::Dismissed;
use crate::proto::centrifuge::codes::Disconnect;
use crate::proto::http::Refusal;
use crate::proto::ws::{Violation, is_close_code};

/// The reason for which a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent a close frame with this code (1005 for none).
    Peer(u16),
    /// The client went away without a close frame.
    Hangup,
    /// The transport failed.
    Transport,
    /// The TLS handshake failed, or a record was invalid.
    Tls,
    /// The TLS 1.2 keys have reached their limit of records; a new connection has new ones (3005).
    Worn,
    /// A trusted proxy did not begin with a PROXY header.
    NoProxyHeader,
    /// Too many connections come from the address in a PROXY header, or too many TLS handshakes begin.
    Crowded,
    /// The client broke a rule of the WebSocket protocol.
    Violation(Violation),
    /// The request was refused before a session began.
    Refused(Refusal),
    /// The request head was not complete in time.
    HandshakeTimeout,
    /// The connect command did not arrive in time (3502).
    Stale,
    /// An invalid command (3501).
    BadRequest,
    /// A packet of Engine.IO or Socket.IO breaks a rule (1002).
    Malformed(PacketFault),
    /// A client's request, or its expiry, requires it.
    Dismissed(Dismissed),
    /// The application ordered it, by its API or a hook.
    Ordered {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes are sent.
        reason: String,
    },
    /// The response to a request without a session is complete, and the client wants no other.
    Answered,
    /// A message was not complete in time (1008).
    MessageTimeout,
    /// A heartbeat was not answered in time (3012).
    NoPong,
    /// A raw client sent nothing for too long (3012).
    Idle,
    /// The outbox reached its limit (3008).
    Slow,
    /// The process-wide budget of queued bytes is exhausted and this connection held some of them (3008).
    Budget,
    /// Memory is short, and this connection is one of the newest (3011).
    Memory,
    /// The server drains (3001).
    Shutdown,
    /// The endpoint's handler closed it.
    Handler {
        /// The close frame's code, if that may be sent: see [`CloseReason::frame`].
        code: u16,
        /// The close frame's reason; at most 123 bytes are sent.
        reason: String,
    },
}

impl CloseReason {
    /// Code and text of the close frame; `None` where no frame can or need be sent.
    ///
    /// Some codes must not be sent (RFC 6455 § 7.4: below 1000, 1004 to 1006, from 1014 to 2999, from 5000 on): a
    /// client treats the frame as a protocol error and passes neither code nor text to its program. Such a code, from
    /// any source, is replaced by 1011, the code of a server error; the text stays.
    pub fn frame(&self) -> Option<(Option<u16>, &str)> {
        let (code, text) = self.words()?;
        let is_sent = |code: u16| if is_close_code(code) { code } else { INTERNAL_ERROR };
        Some((code.map(is_sent), text))
    }

    fn words(&self) -> Option<(Option<u16>, &str)> {
        let disconnect = |disconnect: Disconnect| Some((Some(disconnect.code), disconnect.reason));
        match self {
            // RFC 6455 §5.5.1: the answer repeats the received code.
            Self::Peer(1005) => Some((None, "")),
            Self::Peer(code) => Some((Some(*code), "")),
            Self::Violation(violation) => Some((Some(violation.close_code()), violation.reason())),
            Self::Handler { code, reason } | Self::Ordered { code, reason } => Some((Some(*code), reason)),
            Self::Dismissed(why) => disconnect(code_of(*why)),
            Self::MessageTimeout => Some((Some(POLICY_VIOLATION), "message did not arrive in time")),
            Self::Stale => disconnect(Disconnect::STALE),
            Self::BadRequest => disconnect(Disconnect::BAD_REQUEST),
            Self::Malformed(fault) => Some((Some(PROTOCOL_ERROR), fault.reason())),
            Self::NoPong | Self::Idle => disconnect(Disconnect::NO_PONG),
            Self::Slow | Self::Budget => disconnect(Disconnect::SLOW),
            Self::Worn => disconnect(Disconnect::CONNECTION_EXPIRED),
            Self::Memory => disconnect(Disconnect::FORCE_RECONNECT),
            Self::Shutdown => disconnect(Disconnect::SHUTDOWN),
            Self::Hangup
            | Self::Transport
            | Self::Tls
            | Self::NoProxyHeader
            | Self::Crowded
            | Self::Refused(_)
            | Self::HandshakeTimeout
            | Self::Answered => None,
        }
    }
}

/// The protocol's code and text; raw clients get the same.
pub(super) fn code_of(why: Dismissed) -> Disconnect {
    match why {
        Dismissed::Internal => Disconnect::INTERNAL,
        Dismissed::InvalidToken => Disconnect::INVALID_TOKEN,
        Dismissed::NotPermitted => Disconnect::PERMISSION_DENIED,
        Dismissed::BadRequest => Disconnect::BAD_REQUEST,
        Dismissed::Expired => Disconnect::CONNECTION_EXPIRED,
        Dismissed::SubscriptionExpired => Disconnect::SUBSCRIPTION_EXPIRED,
        Dismissed::OtherChannels => Disconnect::INSUFFICIENT_STATE,
        Dismissed::TooMany => Disconnect::TOO_MANY_REQUESTS,
        Dismissed::ConnectionLimit => Disconnect::CONNECTION_LIMIT,
        Dismissed::ChannelLimit => Disconnect::CHANNEL_LIMIT,
    }
}

/// Close code of an error of the protocol (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// Close code for violations without a code of their own (RFC 6455 §7.4.1). Centrifuge's clients reconnect after it.
const POLICY_VIOLATION: u16 = 1008;
/// Close code of a server error (RFC 6455 §7.4.1).
const INTERNAL_ERROR: u16 = 1011;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dismissal_has_its_code() {
        for (why, code) in [
            (Dismissed::Internal, 3004),
            (Dismissed::Expired, 3005),
            (Dismissed::SubscriptionExpired, 3006),
            (Dismissed::OtherChannels, 3010),
            (Dismissed::TooMany, 3013),
            (Dismissed::InvalidToken, 3500),
            (Dismissed::BadRequest, 3501),
            (Dismissed::ConnectionLimit, 3504),
            (Dismissed::ChannelLimit, 3505),
            (Dismissed::NotPermitted, 3507),
        ] {
            assert_eq!(CloseReason::Dismissed(why).frame().unwrap().0, Some(code), "{why:?}");
        }
    }

    /// This holds for codes of any source and reason.
    #[test]
    fn no_code_goes_on_the_wire_that_must_not() {
        let may_be_sent = |code: u16| matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999);
        for code in 0..=u16::MAX {
            let reason = "why".to_owned();
            for ending in [
                CloseReason::Handler { code, reason: reason.clone() },
                CloseReason::Ordered { code, reason },
                CloseReason::Peer(code),
            ] {
                let (sent, text) = ending.frame().unwrap();
                let expected = if may_be_sent(code) { code } else { 1011 };
                let is_peers = matches!(ending, CloseReason::Peer(_));
                let text_expected = if is_peers { "" } else { "why" };
                let code_expected = Some(expected).filter(|_| ending != CloseReason::Peer(1005));
                assert_eq!((sent, text), (code_expected, text_expected), "{ending:?}");
            }
        }
    }
}
