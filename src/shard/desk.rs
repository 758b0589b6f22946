//! The port by which requests leave the shards that are answered outside, and the receipts by which their answers come back.
//!
//! A request is handed over, and not its connection: a reverse proxy sends requests of all kinds on one. What it means is
//! not known here; a session has found its route and its key.

use std::fmt::Debug;

use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::session::PlainRequest;

/// Answers requests that shards do not. One per process; called in the shards' threads, so it must not block.
pub trait Desk: Debug + Send + Sync {
    /// Takes the requests of a turn, leaving `requests` empty: each is answered once, by [`Letter::Served`](super::mailbox::Letter::Served). Called at the
    /// end of each turn in which there were some, or in which someone outside was answered (by
    /// [`super::mailbox::Asker::Outside`]): the time to wake those who wait for answers, once for all of a turn.
    fn hand_over(&self, requests: &mut Vec<Handed>);
}

/// A request for the desk.
#[derive(Debug)]
pub struct Handed {
    /// Comes back with the answer.
    pub receipt: Receipt,
    /// What is asked, but for the body.
    pub request: Box<PlainRequest>,
    /// The request's body.
    pub body: Shared,
}

/// What an answer is to: a connection, and the count that its request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the shard.
    pub shard: u16,
    /// The connection there.
    pub conn: Key,
    pub(in crate::shard) window: Window,
}

/// Which requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Window {
    /// Those with a right key.
    Trusted,
    /// Those that need none.
    Open,
    /// None: it was not handed over.
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
