//! What sessions ask of their shards.

use super::centrifuge::Deferred;
use super::desk::PlainRequest;
use crate::base::slots::Key;
use crate::hub::words::Ask;

/// What a session asks its shard to do: all that a client can cause.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Do what the client asks; what comes of it is told by [`super::Session::reply`] or [`super::Session::deny`].
    Ask {
        /// The session's number for it; 0 where no reply is wanted.
        id: u32,
        /// What is asked.
        ask: Ask,
    },
    /// Give this back, by [`super::Session::resume`], once it is known whether the client is let in, and there is room for the
    /// answer.
    Wait {
        /// The session's number for it.
        id: u32,
        /// What came.
        deferred: Deferred,
    },
    /// Log what is wrong with a command that was answered as a bad request: the answer has no room for that.
    Misused {
        /// The session's number for it.
        id: u32,
        /// Which field is wrong, and how.
        detail: &'static str,
    },
    /// Call the session's timer at this time, in milliseconds of the shard's clock; replaces an earlier one.
    SetTimer {
        /// When.
        at_ms: u64,
    },
    /// Hand what came by POST to the connection that it is for.
    Forward {
        /// The shard of that connection, and its key there.
        place: (u16, Key),
        /// What its session takes ([`super::Session::emulated`]).
        data: Vec<u8>,
    },
    /// Have this answered outside; the answer is told by [`super::Session::answered`].
    HandOver(Box<PlainRequest>),
    /// Say when the client may be told, by [`super::Session::answered`], that its key is wrong.
    WrongKey,
}
