//! Clients that have closed while their commands wait: these commands are carried out as if the client were still
//! connected, and their answers are discarded.
//!
//! The same holds for events of Socket.IO that wait for the application's answers, also when the connection has failed: the
//! server has taken them.
//!
//! Until then the connection is open, with all of its subscriptions, on which a waiting command may depend. Nothing
//! is written to it: the reader may be gone, and a failed write would end the commands.

use super::Carry;
use super::client::{Client, Pending};
use super::conn::Conn;
use super::queued::{Waiting, What};
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::mailbox::Letter;

/// Times `linger_ms` that the commands of a client that has left may take in all: without this, many slow commands would
/// keep its connection, its presence and its hooks busy for minutes.
const LINGERS_MAX: u64 = 3;

impl Client {
    /// Whether it has unfinished commands with an effect beyond their answer.
    pub(in crate::shard) fn has_work_left(&self) -> bool {
        !self.waiting.is_empty() || self.pending.iter().any(|(_, one)| matches!(one, Pending::Publish { .. }))
    }
}

impl<K, S> Conn<K, S> {
    /// The close of a client that has left, if the connection ends for another reason.
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
        self.client.as_ref().is_some_and(|client| client.has_work_left()) || self.has_events_left()
    }

    /// Whether events wait for the application's answers.
    pub(in crate::shard) fn has_events_left(&self) -> bool {
        self.session.held_events() > 0
    }
}

impl<W: World> Carry<W> {
    /// Records that a client has left while commands wait: nothing is written to it from now on. A partly sent frame
    /// is completed among its last bytes.
    pub(in crate::shard) fn leave(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key).filter(|conn| !conn.has_left) else { return };
        let connecting = conn.client.as_ref().and_then(|client| client.connecting.as_ref());
        let kept_count = connecting.map_or(0, |connecting| connecting.queued_before);
        (conn.has_left, conn.is_corked) = (true, true);
        self.cut(key, kept_count);
        if self.conns.entry(key).is_some_and(|conn| conn.outbox_bytes() == 0) {
            self.drop_outbox(key);
        }
        let leaves_by_ms = self.now_ms() + LINGERS_MAX * self.timeouts.linger_ms;
        if let Some(client) = self.client_or_new(key) {
            client.leaves_by_ms = leaves_by_ms;
        }
        self.await_commands(key);
        self.release_users(key);
    }

    /// Lets the end of a connection wait for its events, if some are being handled and its client is gone. While memory is
    /// short they are dropped.
    pub(in crate::shard) fn ends_behind_events(&mut self, key: Key, reason: &CloseReason) -> bool {
        let Some(conn) = self.conns.entry(key).filter(|conn| conn.has_events_left()) else { return false };
        let is_failure = matches!(reason, CloseReason::Transport | CloseReason::NoPong);
        let is_gone = is_failure || matches!(reason, CloseReason::Peer(_) | CloseReason::Hangup);
        if conn.has_left || !is_gone || self.pressure.refuses() {
            return conn.has_left && is_failure;
        }
        self.leave(key);
        let waiting = Waiting { id: 0, what: What::End(reason.clone()) };
        if let Some(client) = self.client_or_new(key) {
            client.waiting_bytes += waiting.bytes();
            client.waiting.push_back(waiting);
        }
        self.count_held(key);
        true
    }

    /// Tells homes that the users of a session with several have left: they may come back at once.
    fn release_users(&mut self, key: Key) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        for user in conn.session.release_users() {
            let home = self.settings.rooms.home_of(&user, self.seed, self.post.shard_count());
            self.post.send(home, Letter::UserLeft { user, member: self.member(key) });
        }
    }

    /// Sets the time for which the next command of a client that has left may delay the others.
    pub(in crate::shard) fn await_commands(&mut self, key: Key) {
        let leaves_by_ms = self.client(key).map_or(u64::MAX, |client| client.leaves_by_ms);
        let left_ms = leaves_by_ms.saturating_sub(self.now_ms());
        self.set_due(key, self.timeouts.linger_ms.min(left_ms));
    }
}
