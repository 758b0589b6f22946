//! Requests of sessions to their shards.

use std::sync::Arc;

use super::Deferred;
use super::desk::PlainRequest;
use super::polling::Poll;
use super::probe::{ProbeStep, UpgradeAsk};
use crate::base::slots::Key;
use crate::hub::away::Away;
use crate::hub::socket_order::SocketAnswer;
use crate::hub::words::Ask;

/// A request of a session to its shard: the complete list of what a client can cause.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Execute a client's request; [`super::Session::reply`] or [`super::Session::deny`] takes the result.
    Ask {
        /// The session's number of the request; 0 where no reply is wanted.
        id: u32,
        /// The request.
        ask: Ask,
    },
    /// Return this by [`super::Session::resume`] once the connect command is answered and there is room for the
    /// reply.
    Wait {
        /// The session's number of the command.
        id: u32,
        /// The command.
        deferred: Deferred,
    },
    /// Log the fault of a command that was answered as a bad request: the reply has no room for it.
    Misused {
        /// The session's number of the command.
        id: u32,
        /// The invalid field and its fault.
        detail: &'static str,
    },
    /// Call the session's timer at this time, in milliseconds of the shard's clock; replaces an earlier timer.
    SetTimer {
        /// The time.
        at_ms: u64,
    },
    /// Forward the body of a POST to the connection that it is for.
    Forward {
        /// Shard of that connection, and its key there.
        place: (u16, Key),
        /// The commands, for [`super::Session::emulated`].
        data: Vec<u8>,
    },
    /// Pass this request to a session without a socket; [`super::Session::answered`] takes the answer.
    Poll(Poll),
    /// Make the connection a WebSocket that is to replace the polls of a session, in the session's shard.
    Upgrade(Box<UpgradeAsk>),
    /// Take the next step with the session whose polls this WebSocket is to replace.
    Probe {
        /// The session, in this shard.
        session: Key,
        /// The step.
        step: ProbeStep,
    },
    /// Forward this request for an answer from outside; [`super::Session::answered`] takes the answer.
    HandOver(Box<PlainRequest>),
    /// Tell the home of a user that the connection has no socket of the user any more.
    UserLeft {
        /// The user.
        user: Arc<str>,
    },
    /// A client has answered a question of an order to sockets, or will not.
    SocketAnswered(Box<SocketReply>),
    /// Hand a socket whose connection has ended to the home of its namespace.
    Park(Box<Away>),
    /// Schedule the answer to a wrong key, by [`super::Session::answered`].
    WrongKey,
}

/// The outcome of a question to one socket.
#[derive(Debug, PartialEq)]
pub struct SocketReply {
    /// The shard's number of the question.
    pub(crate) question: u32,
    /// The answer, or the id of the socket that gave none.
    pub(crate) answer: Result<SocketAnswer, Box<str>>,
}
