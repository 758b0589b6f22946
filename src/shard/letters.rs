//! Letters read: this shard as home of channels, and as host of subscribers.

use std::sync::Arc;

use super::carry::conn::Stage;
use super::mailbox::{Asker, Letter, Look};
use super::{Shard, World};
use crate::hub::home::{Published, Refused, Shards};
use crate::hub::{Item, Publication, home};
use crate::tls::Acceptor;

impl<W: World> Shard<W> {
    /// Handles all letters that have arrived, and those that this shard wrote to itself meanwhile.
    pub(super) fn handle_letters(&mut self) {
        let count = self.post.collect();
        self.counters.letters_in.add(count as u64);
        self.handle_own_letters();
    }

    /// Handles the letters that this shard wrote to itself.
    pub(super) fn handle_own_letters(&mut self) {
        while let Some(letter) = self.post.next_own() {
            self.handle(letter);
        }
    }

    fn handle(&mut self, letter: Letter) {
        let now = self.now();
        match letter {
            Letter::Subscribe { channel, options, reply_to, joining, ticket } => {
                let filter = ticket.as_deref().and_then(|ticket| ticket.filter.as_deref());
                let passes = |one: &Publication| filter.is_none_or(|filter| filter.matches(&one.tags));
                let outcome = self.home.subscribe_filtered(now, &channel, &options, &joining, passes);
                let outcome = outcome.map(Box::new);
                self.count_refused(outcome.as_ref().err());
                self.post.send(reply_to.shard, Letter::Subscribed { channel, reply_to, outcome, ticket });
            }
            Letter::Subscribed { channel, reply_to, outcome, ticket } => {
                self.subscribed(&channel, reply_to, outcome, ticket);
            }
            Letter::Unsubscribe { channel, member } => {
                let was_counted = self.home.unsubscribe(now, &channel, member);
                debug_assert!(was_counted, "a home hears only of subscribers that it counted");
            }
            Letter::Publish { publication, options, terms, asker } => {
                let answer = match self.home.publish(now, publication, &options, &terms) {
                    Ok(Published { position, delivery }) => {
                        self.counters.publications.add(1);
                        self.send_out(delivery);
                        home::Answer::Published(position)
                    }
                    Err(refused) => {
                        self.counters.publications_refused.add(1);
                        self.count_refused(Some(&refused));
                        home::Answer::Refused(refused)
                    }
                };
                if let Some(asker) = asker {
                    self.reply(asker, answer);
                }
            }
            Letter::Ask { channel, options, question, asker } => {
                let answer = self.home.ask(now, &channel, &options, &question);
                if let home::Answer::Refused(refused) = &answer {
                    self.count_refused(Some(refused));
                }
                self.reply(asker, answer);
            }
            Letter::Answered { reply_to, answer } => self.answered(reply_to, &answer),
            Letter::Deliver(publication) => {
                self.local.deliver(Item::Publication(publication));
            }
            Letter::Membership(membership) => {
                self.local.deliver(Item::Membership(membership));
            }
            Letter::Order(order) => self.order(&order),
            Letter::Verdict { reply_to, verdict } => {
                if self.conns.entry(reply_to.conn).is_some_and(|conn| conn.stage == Stage::Open) {
                    self.verdict(reply_to.conn, reply_to.request, *verdict);
                }
            }
            Letter::Emulated { conn, data } => self.emulated(conn, &data),
            Letter::Look { what: Look::Channels { pattern }, asker } => {
                self.reply(asker, home::Answer::Channels(self.home.channels(&pattern)));
            }
            Letter::UserCame { user, reply_to } => self.user_came(user, reply_to),
            Letter::UserCounted { user, reply_to, is_admitted } => {
                self.user_counted(&user, reply_to, is_admitted);
            }
            Letter::UserLeft { user, member } => self.user_left(&user, member),
            Letter::Displaced { conn } => self.displaced(conn),
            Letter::Drain => self.begin_drain(),
            Letter::Tls(config) => self.tls = Some(Acceptor::new(&config)),
            Letter::Renew(renewal) => self.renew(&renewal),
        }
    }

    fn send_out(&mut self, delivery: Option<(Arc<Publication>, Shards)>) {
        let Some((publication, shards)) = delivery else { return };
        for shard in shards {
            self.post.send(shard, Letter::Deliver(Arc::clone(&publication)));
        }
    }

    /// Counts what a home did not take because it has as many channels as it may, or as memory allows.
    fn count_refused(&self, refused: Option<&Refused>) {
        self.counters.limited_channels.add(u64::from(refused == Some(&Refused::TooManyChannels)));
        self.counters.limited_memory.add(u64::from(refused == Some(&Refused::MemoryShort)));
    }

    /// Sends a home's answer to who asked.
    fn reply(&mut self, asker: Asker, answer: home::Answer) {
        match asker {
            Asker::Conn(reply_to) => {
                self.post.send(reply_to.shard, Letter::Answered { reply_to, answer: Box::new(answer) });
            }
            Asker::Outside(reply) => reply(answer),
        }
    }

    /// Tells the application which of this shard's channels were occupied and vacated in this turn.
    pub(super) fn tell_states(&mut self) {
        let states = self.home.take_states();
        if !states.is_empty() {
            self.outside.tell_states(states);
        }
    }

    /// Sends out who came to this shard's channels, and who went, in this turn.
    pub(super) fn tell_membership(&mut self) {
        while let Some((membership, shards)) = self.home.take_membership(self.now()) {
            for shard in shards {
                self.post.send(shard, Letter::Membership(Arc::clone(&membership)));
            }
        }
        self.handle_own_letters();
    }
}
