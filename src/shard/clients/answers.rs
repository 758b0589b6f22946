//! Answers of homes to clients.

use super::Clients;
use super::waiting::{Needs, bytes_of_info, needs_of};
use crate::base::slots::Key;
use crate::hub::home;
use crate::hub::home::Refused;
use crate::hub::words::{Denied, Reply};
use crate::shard::World;
use crate::shard::mailbox::ReplyTo;

impl<W: World> Clients<W> {
    /// Handles a home's answer to a command of a connection.
    pub(in crate::shard) fn answered(&mut self, reply_to: ReplyTo, answer: &home::Answer) {
        let ReplyTo { conn: key, request: id, .. } = reply_to;
        if let home::Answer::Gathered(gathered) = answer {
            // It is for a handler, and no command waits for it.
            let reply = Reply::Gathered(gathered);
            return self.tell_handler(key, |session, handler, cx| session.reply(id, &reply, handler, cx));
        }
        let needs = match answer {
            home::Answer::Presence(members) => {
                Needs::new(members.iter().map(|info| bytes_of_info(info)).sum())
            }
            home::Answer::History { publications, .. } => {
                needs_of(self.channels.carry.telling(key, false), publications)
            }
            home::Answer::Published(_)
            | home::Answer::PresenceStats { .. }
            | home::Answer::Removed
            | home::Answer::Channels(_)
            | home::Answer::Users(_)
            | home::Answer::Gathered(_)
            | home::Answer::Refused(_) => Needs::default(),
        };
        if needs.queued > 0 && !self.has_room_for_answer(key, needs) {
            self.deny(key, id, &Denied::TooMany);
        } else {
            self.tell_answer(key, id, answer);
        }
        self.home_has_answered(reply_to);
    }

    fn tell_answer(&mut self, key: Key, id: u32, answer: &home::Answer) {
        let reply = match answer {
            home::Answer::Published(_) => Reply::Published,
            home::Answer::Presence(members) => Reply::Presence(members),
            &home::Answer::PresenceStats { client_count, user_count } => {
                Reply::PresenceStats { client_count, user_count }
            }
            home::Answer::History { publications, position } => Reply::History { publications, position },
            // Clients cannot ask for these.
            home::Answer::Removed
            | home::Answer::Channels(_)
            | home::Answer::Users(_)
            | home::Answer::Gathered(_) => return,
            home::Answer::Refused(refused) => return self.deny(key, id, &denied(*refused)),
        };
        self.answer(key, id, &reply);
    }
}

/// The error for a home's refusal.
pub(in crate::shard) fn denied(refused: Refused) -> Denied {
    match refused {
        Refused::TooManyChannels | Refused::TooMuch => Denied::Limit,
        Refused::TooManyPublications | Refused::MemoryShort | Refused::TooManyWaiting => Denied::TooMany,
        Refused::Unavailable => Denied::Internal,
        Refused::Unrecoverable => Denied::Unrecoverable,
    }
}
