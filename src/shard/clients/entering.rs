//! Answers of homes to subscriptions, and the messages about them to clients: begin, failure, end.

use std::sync::Arc;

use super::Clients;
use super::answers::denied;
use super::waiting::{Needs, needs_of};
use crate::base::slots::Key;
use crate::hub::emission::is_private;
use crate::hub::home;
use crate::hub::home::Joined;
use crate::hub::local::ChannelId;
use crate::hub::words::{Denied, Dismissed, Ended, Entered, News, Reply};
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::client::{Pending, entered};
use crate::shard::carry::conn::SubState;
use crate::shard::channels::batch::number_of;
use crate::shard::mailbox::{Cause, ReplyTo, Ticket};

impl<W: World> Clients<W> {
    /// Handles a home's answer to a subscription.
    pub(in crate::shard) fn subscribed(
        &mut self,
        channel: &Arc<str>,
        reply_to: ReplyTo,
        outcome: Result<Box<Joined>, home::Refused>,
        mut ticket: Option<Box<Ticket>>,
    ) {
        let (key, request) = (reply_to.conn, reply_to.request);
        if let Some(ticket) = ticket.take_if(|ticket| ticket.renews) {
            self.renewed(channel, key, outcome, ticket);
            self.carry_out_late(key);
            return self.resume_waiting(key);
        }
        self.enter_or_not(channel, key, request, outcome, ticket);
        self.hold_back(key);
        if request == 0 {
            self.subscribe_after_order(key, channel);
        }
        self.carry_out_late(key);
        self.home_has_answered(reply_to);
    }

    /// Handles a home's answer to an order or a command for an active subscription.
    fn renewed(
        &mut self,
        channel: &Arc<str>,
        key: Key,
        outcome: Result<Box<Joined>, home::Refused>,
        mut ticket: Box<Ticket>,
    ) {
        let request = match ticket.cause {
            Cause::Command => self.take_renewing(key, channel),
            Cause::Order | Cause::Connect | Cause::Token => Some(0),
        };
        // The home counted nothing: it knows if the subscription has ended meanwhile, and if it failed, the
        // subscription stays as it was.
        let Some(request) = request else { return };
        let mut joined = match outcome {
            Ok(joined) => joined,
            Err(refused) if request != 0 => return self.deny(key, request, &denied(refused)),
            Err(_) => return,
        };
        if self.channels.active_slot(key, channel).is_none() {
            return;
        }
        self.count_recovery(&joined, &ticket);
        if is_unrecovered(&joined, &ticket) {
            return self.deny(key, request, &Denied::Unrecoverable);
        }
        joined.choose(ticket.filter.as_deref());
        if !self.has_room_for_missed(key, &joined, &ticket) {
            return self.channels.dismiss(key, Dismissed::TooMany);
        }
        // On the terms that applied until now.
        self.channels.deliver_before(key, Some(channel));
        let Some(at) = self.channels.active_slot(key, channel) else { return };
        if !self.channels.renew_subscription(key, at, &joined, &mut ticket) {
            return self.channels.dismiss(key, Dismissed::Internal);
        }
        self.welcome(key, at.0, request, joined, ticket);
    }

    /// The number of the command that changes a subscription to this channel; `None` when it was answered otherwise.
    fn take_renewing(&mut self, key: Key, channel: &str) -> Option<u32> {
        let is_renewing = |one: &Pending| matches!(one, Pending::Renewing { .. });
        let pending = self.channels.carry.client_mut(key)?.take_subscribing(channel, is_renewing)?;
        Some(pending.id()).filter(|id| *id != 0)
    }

    fn count_recovery(&self, joined: &Joined, ticket: &Ticket) {
        if ticket.recoverable && ticket.was_recovering {
            let c = &self.channels.carry.counters;
            let counter = if joined.recovered { &c.recoveries } else { &c.recoveries_failed };
            counter.add(1);
            if joined.recovered {
                c.recovered.record(joined.publications.len() as u64);
            }
        }
    }

    /// Whether the missed publications may be queued for a subscriber, with the reply.
    fn has_room_for_missed(&self, key: Key, joined: &Joined, ticket: &Ticket) -> bool {
        let missed = needs_of(self.channels.carry.telling(key, ticket.takes_deltas), &joined.publications);
        let needs = missed + Needs::new(ticket.data.held_bytes());
        needs.queued == 0 || self.has_room_for_answer(key, needs)
    }

    pub(in crate::shard) fn enter_or_not(
        &mut self,
        channel: &Arc<str>,
        key: Key,
        request: u32,
        outcome: Result<Box<Joined>, home::Refused>,
        ticket: Option<Box<Ticket>>,
    ) {
        let Some((id, slot)) = self.channels.awaited_slot(key, channel, request) else {
            if outcome.is_ok() {
                // A client that has subscribed again meanwhile is counted there each time, and stays until the last
                // is undone.
                self.channels.tell_unsubscribed(channel, key);
            }
            return;
        };
        if let (Ok(joined), Some(ticket)) = (&outcome, ticket.as_deref()) {
            self.count_recovery(joined, ticket);
        }
        match (outcome, ticket) {
            (Ok(joined), None) => {
                if !self.channels.activate(key, id, slot, &joined, None) {
                    return self.channels.dismiss(key, Dismissed::Internal);
                }
                if is_private(channel) {
                    let home = self.channels.home_of(channel);
                    self.channels.carry.reach.arrived(home, joined.seq);
                }
                let entered = Entered { channel, offset: joined.seq, ..Entered::default() };
                self.tell_trusted(key, &Reply::Entered(entered));
            }
            (Ok(joined), Some(ticket)) if is_unrecovered(&joined, &ticket) => {
                self.channels.take_back(channel, key, id, slot);
                self.deny(key, request, &Denied::Unrecoverable);
            }
            (Ok(mut joined), Some(mut ticket)) => {
                joined.choose(ticket.filter.as_deref());
                // Subscriptions of the connect command are sent together: see `one_less_to_wait_for`.
                let is_told_now = matches!(ticket.cause, Cause::Command | Cause::Order);
                if is_told_now && !self.has_room_for_missed(key, &joined, &ticket) {
                    self.channels.take_back(channel, key, id, slot);
                    return match ticket.cause {
                        Cause::Command => self.deny(key, request, &Denied::TooMany),
                        // It reconnects for the missed publications.
                        Cause::Order | Cause::Connect | Cause::Token => {
                            self.channels.dismiss(key, Dismissed::TooMany);
                        }
                    };
                }
                if !self.channels.activate(key, id, slot, &joined, Some(&mut ticket)) {
                    return self.channels.dismiss(key, Dismissed::Internal);
                }
                self.welcome(key, id, request, joined, ticket);
            }
            (Err(refused), ticket) => {
                self.channels.drop_pending(key, id, slot);
                self.not_entered(channel, key, request, ticket.map(|ticket| ticket.cause), denied(refused));
            }
        }
    }

    /// Reports a subscription that its home refused.
    pub(in crate::shard) fn not_entered(
        &mut self,
        channel: &Arc<str>,
        key: Key,
        request: u32,
        cause: Option<Cause>,
        denied: Denied,
    ) {
        match cause {
            None => self.tell_trusted(key, &Reply::NotEntered { channel, denied: &denied }),
            Some(Cause::Command) => self.deny(key, request, &denied),
            Some(Cause::Connect | Cause::Token) if denied == Denied::TooMany => {
                self.channels.close(key, CloseReason::Memory);
            }
            // Not silently: it would wait forever for publications of this channel.
            Some(Cause::Connect | Cause::Token) => self.channels.dismiss(key, Dismissed::Internal),
            Some(Cause::Order) => {}
        }
    }

    /// Tells a client that it is subscribed.
    pub(in crate::shard) fn welcome(
        &mut self,
        key: Key,
        id: ChannelId,
        request: u32,
        joined: Box<Joined>,
        ticket: Box<Ticket>,
    ) {
        let unix_ms = self.channels.carry.now().unix_ms;
        let channel = Arc::clone(self.channels.local.name(id));
        let number = ticket.takes_numbers.then_some(number_of(id));
        let told = Entered { number, ..entered(&channel, &joined, &ticket, unix_ms) };
        match ticket.cause {
            Cause::Command => self.answer(key, request, &Reply::Entered(told)),
            Cause::Order => {
                self.channels.tell(key, &News::Entered(told));
                // Before all later publications.
                for publication in &joined.publications {
                    self.channels
                        .tell(key, &News::Published { publication, takes_deltas: ticket.takes_deltas });
                }
            }
            Cause::Connect | Cause::Token => {
                return self.one_less_to_wait_for(key, Some((channel, joined, ticket)));
            }
        }
        self.channels.carry.arm(key);
    }

    /// Ends a subscription, if there is one, by the client's command.
    pub(in crate::shard) fn unsubscribe(&mut self, key: Key, channel: &str) {
        self.withdraw(key, channel);
    }

    /// Ends a subscription, if there is one, by the server, and tells its client.
    pub(in crate::shard) fn end_by_server(&mut self, key: Key, channel: &str, why: Ended<'_>) {
        if self.withdraw(key, channel) {
            self.channels.tell(key, &News::Ended { channel, why });
        }
    }

    /// Ends a subscription in any phase; returns whether there was one. A command that waits for its beginning is
    /// answered as if it had begun.
    pub(in crate::shard) fn withdraw(&mut self, key: Key, channel: &str) -> bool {
        let Some(conn) = self.channels.carry.conns.entry_mut(key) else { return false };
        // A subscription with a question outside: the answer is ignored.
        let asked = conn.client.as_mut();
        let asked = asked.and_then(|client| client.answer_otherwise(channel));
        let slot = self.channels.local.channel_id(channel).and_then(|id| conn.slot_of(id));
        let state = slot.map(|slot| conn.subs[slot].state());
        if let Some(slot) = slot {
            self.channels.end_subscription(key, slot);
        }
        self.channels.carry.touch_client(key);
        let is_there = asked.is_some() || slot.is_some();
        let waiting = asked.or(match state {
            Some(SubState::Pending(request)) => Some(request),
            Some(SubState::Active(_)) | None => None,
        });
        if let Some(request) = waiting.filter(|&request| request != 0) {
            // The home's answer is ignored, but the client needs one.
            self.answer(key, request, &Reply::Entered(Entered { channel, ..Entered::default() }));
        }
        is_there
    }
}

/// Whether a subscription that must not begin without its missed publications would do so.
fn is_unrecovered(joined: &Joined, ticket: &Ticket) -> bool {
    ticket.needs_recovery && ticket.was_recovering && !joined.recovered
}
