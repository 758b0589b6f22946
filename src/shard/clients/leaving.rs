//! Goodbyes: of a client that waits for nothing, and of one whose commands are carried out first.

use super::Clients;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::carry::queued::What;

impl<W: World> Clients<W> {
    /// The client sends nothing more.
    pub(in crate::shard) fn on_end(&mut self, key: Key) {
        match self.channels.carry.conns.entry(key).map(|conn| conn.stage) {
            Some(Stage::Open) => self.close_behind(key, CloseReason::Hangup),
            Some(_) => self.channels.carry.on_end(key),
            None => {}
        }
    }

    /// The client sends nothing more, and says so by its last record.
    pub(in crate::shard) fn on_last_record(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        // Who has left gets the answer when it ends.
        if carry.conns.entry(key).is_some_and(|conn| !conn.has_left && !conn.has_work_left()) {
            carry.answer_goodbye(key);
        }
        self.on_end(key);
    }

    /// The connection has failed, which is not found by reading where nothing is read.
    pub(in crate::shard) fn on_failure(&mut self, key: Key) {
        let is_unread = |conn: &Conn<_, _>| conn.stage == Stage::Open && conn.is_read_paused;
        if self.channels.carry.conns.entry(key).is_some_and(is_unread) {
            self.channels.close(key, CloseReason::Transport);
        }
    }

    /// Ends the connection of a client that says goodbye, behind the commands of it that wait.
    pub(in crate::shard) fn part_with(&mut self, key: Key, goodbye: CloseReason) {
        if !self.channels.carry.conns.entry(key).is_some_and(Conn::has_work_left) {
            return self.channels.close(key, goodbye);
        }
        if matches!(goodbye, CloseReason::Peer(_)) {
            // It may be there to read what was said before.
            self.channels.carry.flush(key);
            self.channels.finish_endings();
        }
        self.leave(key);
        self.take_up_or_wait(key, 0, What::End(goodbye));
        // They do not wait for room any more.
        self.resume_waiting(key);
    }

    /// A client with commands that wait is gone, or as good as that. What it has sent and is not read yet is read when there is
    /// room for it.
    pub(in crate::shard) fn leave(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        let is_here = |conn: &Conn<_, _>| conn.stage == Stage::Open && !conn.has_left;
        if !carry.conns.entry(key).is_some_and(is_here) {
            return;
        }
        carry.leave(key);
        // Its user may come back at once.
        let Some(client) = carry.client_mut(key) else { return };
        if std::mem::take(&mut client.is_counted) {
            let user = client.user().into();
            self.channels.tell_user_left(user, key);
        }
    }
}
