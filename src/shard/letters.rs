//! Dispatch of letters: to this shard as home of channels, and as host of subscribers.

use super::carry::conn::Stage;
use super::channels::homes::Waiter;
use super::mailbox::{Asker, Letter, Look, ReplyTo};
use super::outside::Verdict;
use super::{Shard, World};
use crate::hub::{Item, home};
use crate::tls::Acceptor;

impl<W: World> Shard<W> {
    /// Handles all letters that have arrived, and those that this shard sends to itself meanwhile.
    pub(super) fn handle_letters(&mut self) {
        let count = self.carry().post.collect();
        self.carry().counters.letters_in.add(count as u64);
        self.handle_own_letters();
    }

    /// Handles the letters from this shard to itself.
    #[inline]
    pub(super) fn handle_own_letters(&mut self) {
        while let Some(letter) = self.carry().post.next_own() {
            self.handle(letter);
        }
    }

    /// Not inlined: the loop around it, usually without a letter, is in each turn twice.
    #[inline(never)]
    fn handle(&mut self, letter: Letter) {
        let now = self.carry().now();
        match letter {
            Letter::Subscribe { channel, options, reply_to, joining, ticket } => {
                let waiter = Waiter::Subscriber(reply_to, ticket);
                self.channels().asked_to_subscribe(channel, options, joining, waiter);
            }
            Letter::Subscribed { channel, reply_to, outcome, ticket } => {
                self.clients().subscribed(&channel, reply_to, outcome, ticket);
            }
            Letter::Unsubscribe { channel, member } => {
                let was_counted = self.channels().home.unsubscribe(now, &channel, member);
                debug_assert!(was_counted, "a home hears only of subscribers that it counted");
            }
            Letter::Inform { channel, member, info, keeps_chan_info } => {
                self.channels().home.inform(&channel, member, &info, keeps_chan_info);
            }
            Letter::Publish { publication, options, terms, from, asker } => {
                self.channels().asked_to_publish(publication, options, terms, (from, asker));
            }
            Letter::Ask { channel, options, question, asker } => {
                self.channels().asked_question(&channel, options, question, asker);
            }
            Letter::Memory { number, answer } => self.channels().memory_answered(number, *answer),
            Letter::Gone(member) => self.channels().gone(member),
            Letter::Answered { reply_to, answer } => self.clients().answered(reply_to, &answer),
            Letter::Emit { emission, asker } => self.channels().asked_to_emit(emission, asker),
            Letter::OrderSockets { order, asker } => self.channels().asked_to_order(order, asker),
            Letter::SocketsOrdered { order, home } => self.clients().sockets_ordered(&order, home),
            Letter::Gathered { number, part } => self.channels().gathered(number, *part),
            Letter::Emitted(emission) => self.channels().emitted(&emission),
            Letter::Returning(letter) => self.clients().about_return(letter),
            Letter::Deliver(publication) => {
                self.channels().local.deliver(Item::Publication(publication));
            }
            Letter::Membership(membership) => {
                self.channels().local.deliver(Item::Membership(membership));
            }
            Letter::Order(order) => self.clients().order(&order),
            Letter::Verdict { reply_to, verdict } => self.judged(reply_to, *verdict),
            Letter::Emulated { conn, data } => self.clients().emulated(conn, &data),
            Letter::Rooms { reply_to, channels } => self.clients().rooms_told(reply_to, &channels),
            Letter::Served { receipt, response } => self.served(receipt, response.as_deref()),
            Letter::Poll { receipt, session, ask, identity, charge: _held } => {
                self.poll(receipt, session, ask, identity);
            }
            Letter::Fetched { receipt, response, charge: _held } => self.served(receipt, Some(&response)),
            Letter::Upgrade { conn, ask } => self.upgrade(conn, ask),
            Letter::Moved(moved) => self.moved(*moved),
            Letter::Settle { probe } => self.settle(probe),
            Letter::Look { what, asker } => self.look(&what, asker),
            Letter::Late(answer) => self.clients().socket_decided(*answer),
            Letter::UserCame { user, reply_to } => self.clients().user_came(user, reply_to),
            Letter::UserCounted { user, reply_to, is_admitted } => {
                self.clients().user_counted(&user, reply_to, is_admitted);
            }
            Letter::UserLeft { user, member } => self.clients().user_left(&user, member),
            Letter::Displaced { conn } => self.clients().displaced(conn),
            Letter::Drain => self.door.begin_drain(),
            Letter::Tls(config) => self.door.tls = Some(Acceptor::new(&config)),
            Letter::Renew(renewal) => self.renew(&renewal),
        }
        self.channels().finish_endings();
    }

    /// Answers a question about this shard.
    fn look(&mut self, what: &Look, asker: Asker) {
        let answer = match what {
            Look::Channels { pattern } => home::Answer::Channels(self.channels().home.channels(pattern)),
            Look::Users => home::Answer::Users(self.clients().user_hashes()),
        };
        self.channels().reply(Waiter::Asker(asker), answer);
    }

    /// Handles the answer to a question, for a connection that may have ended.
    fn judged(&mut self, reply_to: ReplyTo, verdict: Verdict) {
        if self.carry().conns.entry(reply_to.conn).is_some_and(|conn| conn.stage == Stage::Open) {
            self.clients().verdict(reply_to.conn, reply_to.request, verdict);
        } else {
            self.clients().verdict_after_end(reply_to, verdict);
        }
    }
}
