//! The subscriptions of a connection.
//!
//! Invariant: an entry in a channel's list of subscribers and the slot in its connection point at each other.
//! A home hears of each subscriber that it counted, once, when that one is gone: an `Unsubscribe` goes out for an
//! active subscription that ends, and for a late `Subscribed` that nobody waits for any more.

use std::sync::Arc;

use super::batch::number_of;
use crate::base::slots::Key;
use crate::hub::home::{Joined, Joining};
use crate::hub::local::{ChannelId, Subscriber};
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Dismissed, Ended, Entered, News, Reply};
use crate::hub::{home, home_of, local};
use crate::session::CloseReason;
use crate::shard::carry::conn::{Stage, Sub, SubState};
use crate::shard::clients::answers::denied;
use crate::shard::clients::client::{Client, Detail, RECOVERY_WEIGHT, entered};
use crate::shard::clients::waiting::{Needs, needs_of};
use crate::shard::door::account::cost_of;
use crate::shard::mailbox::{Cause, Letter, ReplyTo, Ticket};
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    pub(in crate::shard) fn home_of(&self, channel: &str) -> u16 {
        home_of(channel, self.seed, self.post.shard_count())
    }

    /// Whether a connection may have this subscription beside those that it has.
    pub(in crate::shard) fn has_room_for(&self, key: Key, channel: &str) -> Result<(), Denied> {
        let Some(conn) = self.conns.entry(key) else { return Err(Denied::Internal) };
        let is_asked = |client: &Client| client.pending.iter().any(|(_, one)| one.subscribes_to(channel));
        let is_known = self.local.channel_id(channel).is_some_and(|id| conn.slot_of(id).is_some());
        if is_known || conn.client.as_deref().is_some_and(is_asked) {
            Err(Denied::AlreadyIn)
        } else if conn.subs.len() >= self.limits.channels_per_connection_max {
            self.counters.limited_subscriptions.add(1);
            Err(Denied::Limit)
        } else if self.is_memory_short() {
            // Not for good: its client tries again later.
            self.counters.limited_memory.add(1);
            Err(Denied::TooMany)
        } else {
            Ok(())
        }
    }

    /// Asks a channel's home to count the connection. [`Shard::has_room_for`] was asked before.
    pub(in crate::shard) fn enter(
        &mut self,
        key: Key,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        request: u32,
        joining: Box<Joining>,
        ticket: Option<Box<Ticket>>,
    ) {
        let Some(conn) = self.conns.entry(key) else { return };
        if conn.stage != Stage::Open {
            // Closed between asking and acting: it has left its channels and must not enter another.
            return;
        }
        let is_known = self.local.channel_id(channel).is_some();
        let id = self.local.acquire(channel);
        self.put_sub(key, Sub::pending(id, request));
        self.spend(cost_of(is_known, channel));
        if request != 0 && joining.recover.is_some() {
            self.awaits(key, request, RECOVERY_WEIGHT);
        }
        let reply_to = self.reply_to(key, request);
        let (channel, options) = (Arc::clone(self.local.name(id)), Arc::clone(options));
        let home = self.home_of(&channel);
        self.post.send(home, Letter::Subscribe { channel, options, reply_to, joining, ticket });
    }

    /// A home's answer to a subscription.
    pub(in crate::shard) fn subscribed(
        &mut self,
        channel: &Arc<str>,
        reply_to: ReplyTo,
        outcome: Result<Box<Joined>, home::Refused>,
        ticket: Option<Box<Ticket>>,
    ) {
        let (key, request) = (reply_to.conn, reply_to.request);
        self.enter_or_not(channel, key, request, outcome, ticket);
        self.awaits_no_more(key, request);
    }

    fn enter_or_not(
        &mut self,
        channel: &Arc<str>,
        key: Key,
        request: u32,
        outcome: Result<Box<Joined>, home::Refused>,
        ticket: Option<Box<Ticket>>,
    ) {
        let id = self.local.channel_id(channel);
        let pending = id.and_then(|id| {
            let conn = self.conns.entry_mut(key)?;
            let slot = conn.slot_of(id)?;
            (conn.subs[slot].state() == SubState::Pending(request)).then_some((id, slot))
        });
        let Some((id, slot)) = pending else {
            if outcome.is_ok() {
                // Who has meanwhile subscribed anew is counted there for each time, and stays until the last is taken back.
                let (channel, member) = (Arc::clone(channel), self.member(key));
                self.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
            }
            return;
        };
        if let (Ok(joined), Some(Ticket { recoverable: true, was_recovering: true, .. })) =
            (&outcome, ticket.as_deref())
        {
            let counter =
                if joined.recovered { &self.counters.recoveries } else { &self.counters.recoveries_failed };
            counter.add(1);
        }
        let unrecovered = |joined: &Joined, ticket: &Ticket| {
            ticket.needs_recovery && ticket.was_recovering && !joined.recovered
        };
        match (outcome, ticket) {
            (Ok(joined), None) => {
                self.activate(key, id, slot, &joined, None);
                self.tell_trusted(key, &Reply::Entered(Entered { channel, ..Entered::default() }));
            }
            (Ok(joined), Some(ticket)) if unrecovered(&joined, &ticket) => {
                self.take_back(channel, key, id, slot);
                self.deny(key, request, &Denied::Unrecoverable);
            }
            (Ok(mut joined), Some(mut ticket)) => {
                if let Some(filter) = ticket.filter.as_deref() {
                    // What it missed is held to what it asked for, as is what comes.
                    joined.publications.retain(|missed| filter.matches(&missed.tags));
                }
                // Those from the start are told together: see `one_less_to_wait_for`.
                let is_told_now = matches!(ticket.cause, Cause::Command | Cause::Order);
                let missed = needs_of(self.telling(key, ticket.takes_deltas), &joined.publications);
                let needs = missed + Needs::new(ticket.data.held_bytes());
                if is_told_now && needs.queued > 0 && !self.has_room_for_answer(key, needs) {
                    self.take_back(channel, key, id, slot);
                    return match ticket.cause {
                        Cause::Command => self.deny(key, request, &Denied::TooMany),
                        // It is not told of what it does not get, so it comes back for it.
                        Cause::Order | Cause::Connect | Cause::Token => {
                            self.dismiss(key, Dismissed::TooMany);
                        }
                    };
                }
                self.activate(key, id, slot, &joined, Some(&mut ticket));
                self.welcome(key, id, request, joined, ticket);
            }
            (Err(refused), ticket) => {
                self.drop_pending(key, id, slot);
                self.not_entered(channel, key, request, ticket.map(|ticket| ticket.cause), denied(refused));
            }
        }
    }

    /// Tells of a subscription that its home refused.
    fn not_entered(
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
                self.close(key, CloseReason::Memory);
            }
            // Not without a word: it would wait for ever for what this channel brings.
            Some(Cause::Connect | Cause::Token) => self.dismiss(key, Dismissed::Internal),
            Some(Cause::Order) => {}
        }
    }

    /// Takes back a subscription that its home has counted.
    fn take_back(&mut self, channel: &Arc<str>, key: Key, id: ChannelId, slot: usize) {
        let (channel, member) = (Arc::clone(channel), self.member(key));
        self.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
        self.drop_pending(key, id, slot);
    }

    /// Takes out a subscription that did not come about.
    fn drop_pending(&mut self, key: Key, id: ChannelId, slot: usize) {
        if self.remove_slot(key, slot).is_some() {
            self.local.release(id);
        }
    }

    /// Tells a Centrifuge client that it is subscribed.
    fn welcome(&mut self, key: Key, id: ChannelId, request: u32, joined: Box<Joined>, ticket: Box<Ticket>) {
        let unix_ms = self.now().unix_ms;
        let channel = Arc::clone(self.local.name(id));
        let number = ticket.takes_numbers.then_some(number_of(id));
        let told = Entered { number, ..entered(&channel, &joined, &ticket, unix_ms) };
        match ticket.cause {
            Cause::Command => self.answer(key, request, &Reply::Entered(told)),
            Cause::Order => {
                self.tell(key, &News::Entered(told));
                // Before anything that is published from now on.
                for publication in &joined.publications {
                    self.tell(key, &News::Published { publication, takes_deltas: ticket.takes_deltas });
                }
            }
            Cause::Connect | Cause::Token => {
                return self.one_less_to_wait_for(key, Some((channel, joined, ticket)));
            }
        }
        self.arm(key);
    }

    /// Makes a pending subscription one that publications are delivered to.
    fn activate(
        &mut self,
        key: Key,
        id: ChannelId,
        slot: usize,
        joined: &Joined,
        ticket: Option<&mut Ticket>,
    ) {
        let Some((format, mut flags)) = self.format_of(key, ticket.as_deref()) else {
            // There are as many other formats as can be.
            let channel = Arc::clone(self.local.name(id));
            self.take_back(&channel, key, id, slot);
            return self.dismiss(key, Dismissed::Internal);
        };
        let Some(conn) = self.conns.entry_mut(key) else { return };
        if let Some(ticket) = ticket {
            for (is_set, flag) in [
                (ticket.filter.is_some(), local::FILTERED),
                (ticket.hears_joins, local::JOINS),
                (ticket.takes_deltas, local::DELTA),
            ] {
                flags |= if is_set { flag } else { 0 };
            }
            let is_server_side = ticket.cause != Cause::Command;
            if is_server_side || ticket.filter.is_some() || ticket.info.is_some() || ticket.expire_at_s > 0 {
                self.counters.clients.add(u64::from(conn.client.is_none()));
                conn.client.get_or_insert_default().details.push(Detail {
                    channel: id,
                    info: ticket.info.take(),
                    expire_at_s: ticket.expire_at_s,
                    refreshes_by_hook: ticket.refreshes_by_hook,
                    is_refreshing: false,
                    filter: ticket.filter.take(),
                    is_server_side,
                    is_by_token: ticket.cause == Cause::Token,
                });
            }
        }
        let slot_number = u16::try_from(slot).unwrap_or(u16::MAX);
        let subscriber = Subscriber { conn: key.index(), slot: slot_number, format, flags };
        conn.subs[slot] = Sub::active(id, self.local.add(id, subscriber, joined.seq));
        self.counters.subscriptions.add(1);
        self.touch_client(key);
    }

    /// The number of the format in which a connection gets what is published, and the flag of one that has none.
    fn format_of(&mut self, key: Key, ticket: Option<&Ticket>) -> Option<(u8, u8)> {
        let (takes_deltas, takes_numbers) =
            ticket.map_or((false, false), |ticket| (ticket.takes_deltas, ticket.takes_numbers));
        match self.conns.entry(key)?.session.format(takes_deltas, takes_numbers) {
            Some(format) => Some((self.formats.number(format)?, 0)),
            None => Some((0, local::PERSONAL)),
        }
    }

    /// Ends a subscription, if there is one, because its client said so.
    pub(in crate::shard) fn unsubscribe(&mut self, key: Key, channel: &str) {
        self.withdraw(key, channel);
    }

    /// Ends a subscription, if there is one, because the server says so, and tells its client.
    pub(in crate::shard) fn end_by_server(&mut self, key: Key, channel: &str, why: Ended<'_>) {
        if self.withdraw(key, channel) {
            self.tell(key, &News::Ended { channel, why });
        }
    }

    /// Ends a subscription in whatever phase it is; whether there was one. A command that waits for its beginning is answered
    /// as if it had begun.
    pub(in crate::shard) fn withdraw(&mut self, key: Key, channel: &str) -> bool {
        let Some(conn) = self.conns.entry_mut(key) else { return false };
        // One that outsiders were asked about: nobody waits for what they say any more.
        let asked = conn.client.as_mut();
        let asked = asked.and_then(|client| client.take_pending(|_, one| one.subscribes_to(channel)));
        let slot = self.local.channel_id(channel).and_then(|id| conn.slot_of(id));
        let state = slot.map(|slot| conn.subs[slot].state());
        if let Some(slot) = slot {
            self.end_subscription(key, slot);
        }
        self.touch_client(key);
        let is_there = asked.is_some() || slot.is_some();
        let waiting = asked.map(|pending| pending.id()).or(match state {
            Some(SubState::Pending(request)) => Some(request),
            Some(SubState::Active(_)) | None => None,
        });
        if let Some(request) = waiting.filter(|&request| request != 0) {
            // Nobody waits for the answer any more, but the client waits for one.
            self.answer(key, request, &Reply::Entered(Entered { channel, ..Entered::default() }));
        }
        is_there
    }

    /// Ends all subscriptions of a connection.
    pub(in crate::shard) fn unsubscribe_all(&mut self, key: Key) {
        while let Some(last) = self.conns.entry(key).and_then(|conn| conn.subs.len().checked_sub(1)) {
            self.end_subscription(key, last);
        }
    }

    fn end_subscription(&mut self, key: Key, slot: usize) {
        let Some(sub) = self.remove_slot(key, slot) else { return };
        let id = sub.channel();
        let name = Arc::clone(self.local.name(id));
        if let Some(client) = self.client_mut(key) {
            client.forget(id, &name);
        }
        if let SubState::Active(position) = sub.state() {
            let Self { local, conns, .. } = self;
            local.remove(id, position, |moved, to| {
                let other = conns.key_at(moved.conn).and_then(|key| conns.entry_mut(key));
                if let Some(other) = other {
                    other.subs[usize::from(moved.slot)] = Sub::active(id, to);
                }
            });
            let (channel, member) = (Arc::clone(self.local.name(id)), self.member(key));
            self.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
            self.counters.subscriptions.sub(1);
        }
        self.local.release(id);
    }
}
