//! Clients that have left while commands of them wait for their turn: what they asked before they said goodbye is carried
//! out, as if they were still there, and nobody hears the answers.
//!
//! Until then the connection is open, with all of its subscriptions: what a waiting command comes to may depend on them. Nothing
//! is written to it, since the one who reads may be gone, and a write to nobody would end what is to be carried out.

use super::Carry;
use super::client::{Client, Pending};
use super::conn::Conn;
use super::queued::{Waiting, What};
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;

impl Client {
    /// Whether commands of it are not done that come to something without anyone hearing the answer.
    pub(in crate::shard) fn has_work_left(&self) -> bool {
        !self.waiting.is_empty() || self.pending.iter().any(|(_, one)| matches!(one, Pending::Publish { .. }))
    }
}

impl<K, S> Conn<K, S> {
    /// The goodbye of a client that has left, where that is not the reason for which its connection ends.
    pub(in crate::shard) fn goodbye(&self, reason: &CloseReason) -> Option<CloseReason> {
        if !self.has_left || matches!(reason, CloseReason::Peer(_) | CloseReason::Transport) {
            return None;
        }
        match self.client.as_ref().and_then(|client| client.waiting.back()) {
            Some(Waiting { what: What::End(said @ CloseReason::Peer(_)), .. }) => Some(said.clone()),
            Some(_) | None => Some(CloseReason::Hangup),
        }
    }

    pub(in crate::shard) fn has_work_left(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.has_work_left())
    }
}

impl<W: World> Carry<W> {
    /// A client has left, and commands of it wait: from now on nothing is written to it. What has begun to be written is for
    /// its last words.
    pub(in crate::shard) fn leave(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        let connecting = conn.client.as_ref().and_then(|client| client.connecting.as_ref());
        let kept_count = connecting.map_or(0, |connecting| connecting.queued_before);
        (conn.has_left, conn.is_corked) = (true, true);
        self.cut(key, kept_count);
        if self.conns.entry(key).is_some_and(|conn| conn.outbox_bytes() == 0) {
            self.drop_outbox(key);
        }
        self.await_commands(key);
    }

    /// How long the next of the commands of a client that has left may keep the others waiting.
    pub(in crate::shard) fn await_commands(&mut self, key: Key) {
        self.set_due(key, self.timeouts.linger_ms);
    }
}
