//! Clients that close: without waiting commands, and with commands that are carried out first.

use super::Clients;
use crate::base::slots::Key;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::carry::queued::What;

impl<W: World> Clients<W> {
    /// Handles the end of a client's input.
    pub(in crate::shard) fn on_end(&mut self, key: Key) {
        match self.channels.carry.conns.entry(key).map(|conn| conn.stage) {
            Some(Stage::Open) => self.close_behind(key, CloseReason::Hangup),
            Some(_) => self.channels.carry.on_end(key),
            None => {}
        }
    }

    /// Handles a close alert in the client's last record.
    pub(in crate::shard) fn on_last_record(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        // A client that has left gets the answer at the end.
        if carry.conns.entry(key).is_some_and(|conn| !conn.has_left && !conn.has_work_left()) {
            carry.answer_goodbye(key);
        }
        self.on_end(key);
    }

    /// Handles a failed connection, which reading cannot find while it is paused.
    pub(in crate::shard) fn on_failure(&mut self, key: Key) {
        let is_unread = |conn: &Conn<_, _>| conn.stage == Stage::Open && conn.is_read_paused;
        if self.channels.carry.conns.entry(key).is_some_and(is_unread) {
            self.channels.close(key, CloseReason::Transport);
        }
    }

    /// Ends the connection of a client that closes, after its waiting commands.
    pub(in crate::shard) fn part_with(&mut self, key: Key, goodbye: CloseReason) {
        if !self.channels.carry.conns.entry(key).is_some_and(Conn::has_work_left) {
            return self.channels.close(key, goodbye);
        }
        if matches!(goodbye, CloseReason::Peer(_)) {
            // It may still read earlier output.
            self.channels.carry.flush(key);
            self.channels.finish_endings();
        }
        self.leave(key);
        self.take_up_or_wait(key, 0, What::End(goodbye));
        // They no longer wait for room in the outbox.
        self.resume_waiting(key);
    }

    /// Continues with the end of a client that has left, if it waits for nothing more.
    pub(in crate::shard) fn go_on_leaving(&mut self, key: Key) {
        if self.channels.carry.conns.entry(key).is_some_and(|conn| conn.has_left) {
            self.channels.carry.await_commands(key);
            self.resume_waiting(key);
        }
    }

    /// Records that a client with waiting commands has closed, or will soon. Its unread input is read when there is
    /// room.
    pub(in crate::shard) fn leave(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        let is_here = |conn: &Conn<_, _>| conn.stage == Stage::Open && !conn.has_left;
        if !carry.conns.entry(key).is_some_and(is_here) {
            return;
        }
        carry.leave(key);
        // Its user may reconnect at once.
        let Some(client) = carry.client_mut(key) else { return };
        if std::mem::take(&mut client.is_counted) {
            let user = client.user().into();
            self.channels.tell_user_left(user, key);
        }
    }
}
