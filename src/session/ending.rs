//! The one list of endings: why a connection ends, and the close frame that says so.

use crate::proto::centrifuge::codes::Disconnect;
use crate::proto::http::Refusal;
use crate::proto::ws::Violation;

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent a close frame with this code (1005 for none).
    Peer(u16),
    /// The client went away without a close frame.
    Hangup,
    /// The transport failed.
    Transport,
    /// The handshake of TLS failed, or a record was not what it should be.
    Tls,
    /// The keys of TLS 1.2 have sealed as much as they may; a new connection has new ones (3005).
    Worn,
    /// A trusted proxy did not begin with a PROXY header.
    NoProxyHeader,
    /// Too many connections come from the address that a proxy names, or too many TLS handshakes begin.
    Crowded,
    /// The client broke a rule of the WebSocket protocol.
    Violation(Violation),
    /// The request was refused before it became a session.
    Refused(Refusal),
    /// No complete request head in time.
    HandshakeTimeout,
    /// No connect command in time (3502).
    Stale,
    /// A command that is not one (3501).
    BadRequest,
    /// Another of the protocol's reasons.
    Disconnect(Disconnect),
    /// The application said so, by its API or a hook.
    Ordered {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes are sent.
        reason: String,
    },
    /// The response to a request without a session is complete, and the client asked for no other.
    Answered,
    /// A message began and was not whole in time (1008).
    MessageTimeout,
    /// A heartbeat was not answered in time (3012).
    NoPong,
    /// A raw client sent nothing for too long (3012).
    Idle,
    /// The outbox reached its limit (3008).
    Slow,
    /// The process-wide budget of queued bytes is exhausted and this connection held some (3008).
    Budget,
    /// Memory is short, and this connection is one of the newest (3011).
    Memory,
    /// The server drains (3001).
    Shutdown,
    /// The endpoint's handler closed it.
    Handler {
        /// The close frame's code.
        code: u16,
        /// The close frame's reason, at most 123 bytes are sent.
        reason: String,
    },
}

impl CloseReason {
    /// Code and text of the close frame to send; `None` where no frame can or need be sent.
    pub fn frame(&self) -> Option<(Option<u16>, &str)> {
        let disconnect = |disconnect: Disconnect| Some((Some(disconnect.code), disconnect.reason));
        match self {
            // RFC 6455 §5.5.1: the answer repeats the code that was received.
            Self::Peer(1005) => Some((None, "")),
            Self::Peer(code) => Some((Some(*code), "")),
            Self::Violation(violation) => Some((Some(violation.close_code()), violation.reason())),
            Self::Handler { code, reason } | Self::Ordered { code, reason } => Some((Some(*code), reason)),
            Self::Disconnect(reason) => disconnect(*reason),
            Self::MessageTimeout => Some((Some(POLICY_VIOLATION), "message did not arrive in time")),
            Self::Stale => disconnect(Disconnect::STALE),
            Self::BadRequest => disconnect(Disconnect::BAD_REQUEST),
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

/// Close code for who breaks a rule that has no code of its own (RFC 6455 §7.4.1). Centrifuge's clients take it as a
/// reason to come back.
const POLICY_VIOLATION: u16 = 1008;
