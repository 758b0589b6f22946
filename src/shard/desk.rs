//! The port for requests that are answered outside the shards, and the receipts for their answers.
//!
//! Requests are handed over, not their connections: a reverse proxy sends requests of all kinds on one. The content
//! of a request is not interpreted here; a session has found its route and checked its key.

use std::fmt::Debug;

use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::session::PlainRequest;

/// Timeout of an answer, in milliseconds. Longer than any answer of the server API takes, which may wait for clients.
pub(crate) const ANSWER_MS_MAX: u64 = 75_000;

/// Answers requests that shards do not answer. One per process; called in the shards' threads, so it must not block.
pub trait Desk: Debug + Send + Sync {
    /// Takes the requests of a turn, leaving `requests` empty: each is answered once, by
    /// [`Letter::Served`](super::mailbox::Letter::Served). Called at the end of each turn with requests, or with an
    /// answer to an outside caller ([`super::mailbox::Asker::Outside`]): the time to wake waiting tasks, once per
    /// turn.
    fn hand_over(&self, requests: &mut Vec<Handed>);
}

/// A request for the desk.
#[derive(Debug)]
pub struct Handed {
    /// Returned with the answer.
    pub receipt: Receipt,
    /// The request without its body.
    pub request: Box<PlainRequest>,
    /// The request's body.
    pub body: Shared,
}

/// The address of an answer: a connection, and the count that includes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the shard.
    pub shard: u16,
    /// The connection in that shard.
    pub conn: Key,
    pub(in crate::shard) window: Window,
}

/// The count that includes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Window {
    /// Requests with a right key.
    Trusted,
    /// Requests that need no key.
    Open,
    /// None: the request was not handed over.
    Nothing,
}

/// No desk: for servers and tests without routes to one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDesk;

impl Desk for NoDesk {
    fn hand_over(&self, requests: &mut Vec<Handed>) {
        debug_assert!(requests.is_empty(), "without routes nothing is handed over");
    }
}
