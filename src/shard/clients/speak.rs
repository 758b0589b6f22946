//! The interface to every session: replies and news for it, and the execution of its actions.

use super::Clients;
use crate::base::slots::Key;
use crate::hub::words::{Denied, Reply};
use crate::session::{Action, CloseReason, Context, Session};
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::mailbox::Letter;

impl<W: World> Clients<W> {
    /// Carries out the session's actions.
    pub(in crate::shard) fn act(&mut self, key: Key) {
        // An answer may cause further actions, which come after these.
        while !self.channels.carry.actions.is_empty() {
            for action in std::mem::take(&mut self.channels.carry.actions) {
                if let Action::SocketAnswered(reply) = action {
                    self.channels.socket_answered(*reply);
                    continue;
                }
                // Actions after one that ended the connection are dropped.
                if self.channels.carry.conns.entry(key).is_none_or(|conn| conn.stage != Stage::Open) {
                    continue;
                }
                match action {
                    Action::Ask { id, ask } => self.ask_or_wait(key, id, ask),
                    Action::Wait { id, deferred } => self.early(key, id, deferred),
                    Action::Misused { id, detail } => self.channels.carry.note_bad_request(key, id, detail),
                    Action::SetTimer { at_ms } => {
                        if let Some(conn) = self.channels.carry.conns.entry_mut(key) {
                            conn.session.set_deadline_ms(Some(at_ms));
                            self.channels.carry.arm(key);
                        }
                    }
                    Action::Forward { place, data } => self.emulate(place, data),
                    Action::Upgrade(ask) => {
                        self.channels.carry.pause_for_answer(key);
                        // Not now: the input of this connection is being handled.
                        let post = &mut self.channels.carry.post;
                        post.send(post.shard(), Letter::Upgrade { conn: key, ask });
                    }
                    Action::Probe { session, step } => self.channels.carry.probe_step(key, session, step),
                    Action::Poll(poll) => self.channels.carry.ask_session(key, poll),
                    Action::HandOver(request) => self.channels.carry.hand_over(key, request),
                    Action::UserLeft { user } => self.channels.tell_user_left(user, key),
                    Action::SocketAnswered(_) => {}
                    // A session that ends is not asked here.
                    Action::Park(_) => {}
                    Action::WrongKey => self.channels.carry.wrong_key(key),
                }
            }
        }
    }

    /// Calls the session outside of its own input: its output is queued for the end of the turn. `None` when the
    /// connection is gone.
    pub(in crate::shard) fn with_answer<R>(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<W::State>, &mut W::Handler, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let carry = &mut self.channels.carry;
        // Also called within `act`: new actions must not overtake the waiting ones.
        let waiting = std::mem::take(&mut carry.actions);
        let result = carry.with_session(key, call);
        if result.is_some() {
            self.channels.carry.queue_out(key);
            self.channels.finish_endings();
            self.act(key);
        }
        self.channels.carry.actions = waiting;
        result
    }

    /// Sends a client the result of a command.
    pub(in crate::shard) fn answer(&mut self, key: Key, id: u32, reply: &Reply<'_>) {
        let outcome = self.with_answer(key, |session, handler, cx| session.reply(id, reply, handler, cx));
        if let Some(Err(reason)) = outcome {
            self.channels.close(key, reason);
        }
    }

    /// Sends a client an error for a command, in place of its home's answer or after it: see
    /// [`Clients::deny_in_turn`].
    pub(in crate::shard) fn deny(&mut self, key: Key, id: u32, denied: &Denied) {
        self.with_answer(key, |session, _, cx| session.deny(id, denied, cx));
    }

    /// Sends a client the error for a bad request in its turn, and logs the detail.
    pub(in crate::shard) fn deny_bad_request(&mut self, key: Key, id: u32, detail: &str) {
        self.channels.carry.note_bad_request(key, id, detail);
        self.deny_in_turn(key, id, Denied::BadRequest);
    }

    /// Calls a raw connection's handler, which may send unsolicited data: the limit of the outbox applies.
    pub(in crate::shard) fn tell_handler(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Session<W::State>, &mut W::Handler, &mut Context<'_>) -> Result<(), CloseReason>,
    ) {
        self.channels.offer(key);
        if let Some(Err(reason)) = self.with_answer(key, call) {
            self.channels.close(key, reason);
        }
    }
}
