//! Answers of homes, on their way to the clients that asked.

use super::waiting::{bytes_of, bytes_of_info};
use crate::base::slots::Key;
use crate::hub::home;
use crate::hub::home::Refused;
use crate::proto::centrifuge::codes::Error;
use crate::proto::centrifuge::message;
use crate::proto::centrifuge::message::Answer;
use crate::shard::channels::views;
use crate::shard::mailbox::ReplyTo;
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// A home's answer to what a connection asked.
    pub(in crate::shard) fn answered(&mut self, reply_to: ReplyTo, answer: &home::Answer) {
        let ReplyTo { conn: key, request: id, .. } = reply_to;
        let bytes = match answer {
            home::Answer::Presence(members) => members.iter().map(|info| bytes_of_info(info)).sum(),
            home::Answer::History { publications, .. } => {
                bytes_of(publications.iter().map(|publication| &**publication))
            }
            home::Answer::Published(_)
            | home::Answer::PresenceStats { .. }
            | home::Answer::Removed
            | home::Answer::Refused(_) => 0,
        };
        if bytes > 0 && !self.has_room_for_answer(key, bytes) {
            self.fail(key, id, &Error::TOO_MANY_REQUESTS);
        } else {
            self.tell_answer(key, id, answer);
        }
        self.awaits_no_more(key, id);
    }

    fn tell_answer(&mut self, key: Key, id: u32, answer: &home::Answer) {
        match answer {
            home::Answer::Published(_) => {
                self.answer(key, |session, _, cx| session.answer(id, &Answer::Publish, cx));
            }
            home::Answer::Presence(members) => {
                let members: Vec<message::ClientInfo<'_>> =
                    members.iter().map(|info| views::info(info)).collect();
                self.answer(key, |session, _, cx| session.answer(id, &Answer::Presence(&members), cx));
            }
            &home::Answer::PresenceStats { client_count, user_count } => {
                let answer = Answer::PresenceStats { client_count, user_count };
                self.answer(key, |session, _, cx| session.answer(id, &answer, cx));
            }
            home::Answer::History { publications, position } => {
                let publications = views::publications(publications, false);
                let position = (position.offset, &*position.epoch);
                let answer = Answer::History { publications: &publications, position };
                self.answer(key, |session, _, cx| session.answer(id, &answer, cx));
            }
            // Clients cannot ask for it.
            home::Answer::Removed => {}
            home::Answer::Refused(refused) => self.fail(key, id, &error_of(*refused)),
        }
    }
}

/// What a client is told when a home says no.
pub(in crate::shard) fn error_of(refused: Refused) -> Error {
    match refused {
        Refused::TooManyChannels => Error::LIMIT_EXCEEDED,
        Refused::TooManyPublications | Refused::MemoryShort => Error::TOO_MANY_REQUESTS,
        Refused::Unrecoverable => Error::UNRECOVERABLE_POSITION,
    }
}
