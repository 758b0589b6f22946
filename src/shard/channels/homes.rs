//! This shard as home of channels: the letters that it receives, and its answers.
//!
//! A home answers at once, or after its memory has answered; both kinds of answers are sent from here.

use std::sync::Arc;

use super::Channels;
use crate::hub::Publication;
use crate::hub::home::{self, Done, Joining, Member, Published, Refused, Shards};
use crate::hub::memory::Brought;
use crate::hub::options::ChannelOptions;
use crate::shard::World;
use crate::shard::mailbox::{Asker, Letter, ReplyTo, Ticket};

/// The caller of a home.
#[derive(Debug)]
pub(in crate::shard) enum Waiter {
    /// A subscriber, with the data that its shard needs with the answer.
    Subscriber(ReplyTo, Option<Box<Ticket>>),
    /// A publisher, or the sender of a question.
    Asker(Asker),
}

impl home::Asker for Waiter {
    fn wants(&self, publication: &Publication) -> bool {
        match self {
            Self::Subscriber(_, Some(ticket)) => {
                ticket.filter.as_deref().is_none_or(|filter| filter.matches(&publication.tags))
            }
            Self::Subscriber(_, None) | Self::Asker(_) => true,
        }
    }
}

/// The connection that asks, if there is one.
fn member_of(asker: &Asker) -> Option<Member> {
    match asker {
        Asker::Conn(ReplyTo { shard, conn, .. }) => Some(Member { shard: *shard, conn: conn.to_token() }),
        Asker::Outside(_) => None,
    }
}

impl<W: World> Channels<W> {
    pub(in crate::shard) fn asked_to_subscribe(
        &mut self,
        channel: Arc<str>,
        options: Arc<ChannelOptions>,
        joining: Box<Joining>,
        waiter: Waiter,
    ) {
        let done = self.home.handle_subscribe(self.carry.now(), channel, options, joining, waiter);
        self.home_has_done(done);
    }

    pub(in crate::shard) fn asked_to_publish(
        &mut self,
        publication: Box<Publication>,
        options: Arc<ChannelOptions>,
        terms: home::Terms,
        (from, asker): (Option<Member>, Option<Asker>),
    ) {
        if self.is_held(&publication.channel) {
            return self.gatherings.hold_publication(publication, options, terms, (from, asker));
        }
        let who = (from, asker.map(Waiter::Asker));
        let done = self.home.handle_publish(self.carry.now(), publication, options, terms, who);
        self.home_has_done(done);
    }

    pub(in crate::shard) fn asked_question(
        &mut self,
        channel: &Arc<str>,
        options: Arc<ChannelOptions>,
        question: home::Question,
        asker: Asker,
    ) {
        if self.is_held(channel) {
            return self.gatherings.hold_question(Arc::clone(channel), options, question, asker);
        }
        let who = (member_of(&asker), Waiter::Asker(asker));
        let done = self.home.handle_ask(self.carry.now(), channel, options, question, who);
        self.home_has_done(done);
    }

    /// Handles an answer of the home's memory.
    pub(in crate::shard) fn memory_answered(&mut self, number: u64, answer: Result<Brought, Refused>) {
        self.home.handle_memory(self.carry.now(), number, answer);
        self.tell_done();
    }

    /// Handles the end of a connection that may have asked this shard's home.
    pub(in crate::shard) fn gone(&mut self, member: Member) {
        self.home.handle_gone(self.carry.now(), member);
        self.tell_done();
    }

    /// Sends the results of requests that waited for the home's memory.
    fn tell_done(&mut self) {
        while let Some(done) = self.home.take_done() {
            self.home_has_done(Some(done));
        }
    }

    fn home_has_done(&mut self, done: Option<Done<Waiter>>) {
        match done {
            Some(Done::Subscribed { channel, asker: Waiter::Subscriber(reply_to, ticket), outcome }) => {
                self.count_refused(outcome.as_ref().err());
                self.carry
                    .post
                    .send(reply_to.shard, Letter::Subscribed { channel, reply_to, outcome, ticket });
            }
            Some(Done::Published { asker, outcome }) => self.published(asker, outcome),
            Some(Done::Answered { asker, answer }) => {
                if let home::Answer::Refused(refused) = &answer {
                    self.count_refused(Some(refused));
                }
                self.reply(asker, answer);
            }
            // A subscriber is never an asker. `None`: the result will come later.
            Some(Done::Subscribed { asker: Waiter::Asker(_), .. }) | None => {}
        }
    }

    fn published(&mut self, asker: Option<Waiter>, outcome: Result<Published, Refused>) {
        let answer = match outcome {
            Ok(Published { position, delivery }) => {
                self.carry.counters.publications.add(1);
                self.send_out(delivery);
                home::Answer::Published(position)
            }
            Err(refused) => {
                self.count_refused_publication(&refused);
                home::Answer::Refused(refused)
            }
        };
        if let Some(asker) = asker {
            self.reply(asker, answer);
        }
    }

    pub(in crate::shard) fn send_out(&mut self, delivery: Option<(Arc<Publication>, Shards)>) {
        let Some((publication, shards)) = delivery else { return };
        let is_for_rooms = self.carry.settings.rooms.are_shared() && !publication.is_emitted;
        for shard in shards {
            self.carry.post.send(shard, Letter::Deliver(Arc::clone(&publication)));
        }
        if is_for_rooms {
            self.emit_publication(&publication);
        }
    }

    pub(in crate::shard) fn count_refused_publication(&self, refused: &Refused) {
        self.carry.counters.publications_refused.add(1);
        self.count_refused(Some(refused));
    }

    /// Counts requests that a home refused for its limit of channels, or for lack of memory.
    fn count_refused(&self, refused: Option<&Refused>) {
        self.carry.counters.limited_channels.add(u64::from(refused == Some(&Refused::TooManyChannels)));
        self.carry.counters.limited_memory.add(u64::from(refused == Some(&Refused::MemoryShort)));
    }

    /// Sends a home's answer to the caller.
    pub(in crate::shard) fn reply(&mut self, asker: Waiter, answer: home::Answer) {
        match asker {
            Waiter::Asker(Asker::Conn(reply_to)) | Waiter::Subscriber(reply_to, _) => {
                self.carry.post.send(reply_to.shard, Letter::Answered { reply_to, answer: Box::new(answer) });
            }
            Waiter::Asker(Asker::Outside(reply)) => {
                self.carry.post.answer_outside(reply, answer);
                self.carry.forwarding.note_told();
            }
        }
    }

    /// Sends the joins and leaves of this turn in this shard's channels.
    #[inline]
    pub(in crate::shard) fn tell_membership(&mut self) {
        while let Some((membership, shards)) = self.home.take_membership(self.carry.now()) {
            for shard in shards {
                self.carry.post.send(shard, Letter::Membership(Arc::clone(&membership)));
            }
        }
    }
}
