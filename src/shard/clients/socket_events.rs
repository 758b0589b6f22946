//! Events of Socket.IO sockets that go to the application's hook, and the ends of sockets for another.
//!
//! The session has described an event; here it gets the client's headers and the rooms. A session has one question per
//! socket at a time, so nothing is counted here. The answer is a letter, for a session that may be gone.

use super::Clients;
use crate::base::slots::Key;
use crate::hub::words::{Denied, EventAsk, Reply};
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::channels::endings::rooms_among;
use crate::shard::mailbox::Letter;
use crate::shard::outside::{Question, Rejected, SocketEvents, Verdict};

impl<W: World> Clients<W> {
    /// Asks the hook about events of a socket. A failure comes by a letter, too, so that sessions need not expect it at once.
    pub(in crate::shard) fn ask_about_events(&mut self, key: Key, id: u32, ask: EventAsk) {
        let EventAsk { sid, group, fields, count, wants_rooms } = ask;
        let rooms = wants_rooms.then(|| rooms_among(&self.channels.names_within(key, &group), &group, &sid));
        let events = Box::new(SocketEvents { sid: sid.into(), fields, count, rooms });
        let question = Question::SocketEvents { who: self.who(key), events };
        let carry = &mut self.channels.carry;
        let reply_to = carry.reply_to(key, id);
        if self.outside.ask(reply_to, question).is_err() {
            carry.counters.rate_limited_questions.add(1);
            let verdict = Verdict::SocketEvents(Err(Rejected::Denied(Denied::TooMany)));
            let shard = carry.post.shard();
            carry.post.send(shard, Letter::Verdict { reply_to, verdict: Box::new(verdict) });
        }
    }

    /// Passes the hook's answer about events to their session.
    pub(in crate::shard) fn events_judged(&mut self, key: Key, id: u32, outcome: Result<String, Rejected>) {
        let denied = match outcome {
            Ok(result) => return self.event_answered(key, id, &Reply::Hooked(Ok(&result))),
            Err(Rejected::Disconnect { code, reason }) => {
                return self.channels.close(key, CloseReason::Ordered { code, reason });
            }
            Err(Rejected::Denied(denied)) => denied,
            Err(Rejected::NoCredentials | Rejected::TokenExpired | Rejected::TokenInvalid) => {
                Denied::Internal
            }
        };
        self.event_answered(key, id, &Reply::Hooked(Err(&denied)));
    }

    /// Reports ended sockets to the application.
    pub(in crate::shard) fn tell_ends(&mut self) {
        if !self.channels.ends.is_empty() {
            self.outside.tell_ends(std::mem::take(&mut self.channels.ends));
        }
    }
}
