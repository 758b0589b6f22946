//! Letters read: this shard as home of channels, and as host of subscribers.

use super::carry::conn::Stage;
use super::channels::homes::Waiter;
use super::mailbox::{Letter, Look};
use super::{Shard, World};
use crate::hub::{Item, home};
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
                let waiter = Waiter::Subscriber(reply_to, ticket);
                self.asked_to_subscribe(channel, options, joining, waiter);
            }
            Letter::Subscribed { channel, reply_to, outcome, ticket } => {
                self.subscribed(&channel, reply_to, outcome, ticket);
            }
            Letter::Unsubscribe { channel, member } => {
                let was_counted = self.home.unsubscribe(now, &channel, member);
                debug_assert!(was_counted, "a home hears only of subscribers that it counted");
            }
            Letter::Publish { publication, options, terms, from, asker } => {
                self.asked_to_publish(publication, options, terms, (from, asker));
            }
            Letter::Ask { channel, options, question, asker } => {
                self.asked_question(&channel, options, question, asker);
            }
            Letter::Memory { number, answer } => self.memory_answered(number, *answer),
            Letter::Gone(member) => self.gone(member),
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
                let channels = self.home.channels(&pattern);
                self.reply(Waiter::Asker(asker), home::Answer::Channels(channels));
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
        self.finish_endings();
    }
}
