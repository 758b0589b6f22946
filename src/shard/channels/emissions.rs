//! Delivery of messages to several channels of a group: once to each subscriber of any of them, in the order of their home.
//!
//! The receivers of a message are determined when it arrives: who enters a channel later does not receive it, who
//! leaves later does. Messages are delivered one after the other, so that all of a home are in one order for every
//! receiver, whatever channels they went to; consecutive messages to one channel leave in one write.
//!
//! Left out: other publications, whose channels have batches of their own ([`super::fanout`]).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Channels;
use super::batch::Batch;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::choice::Choice;
use crate::hub::emission::{ChannelCopy, Emission, group_of};
use crate::hub::home::Member;
use crate::hub::local::{ChannelId, GROUPED, Subscriber, lane_of};
use crate::hub::reach::{Receiver, Way};
use crate::hub::selector::namespace_channel;
use crate::hub::socket_order::SocketOrder;
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::Emit;
use crate::hub::{Item, Publication};
use crate::net::Net;
use crate::shard::World;
use crate::shard::carry::conn::Stage;
use crate::shard::mailbox::Letter;

/// Maximum of messages that leave in one write.
const MESSAGES_PER_WRITE_MAX: u64 = 64;

/// Messages on their way to their receivers; which these are, is in [`Way`], the same number in its queue.
#[derive(Debug)]
struct Delivery {
    batch: Batch,
    /// A connection among them that does not receive it.
    not_to: Option<Key>,
    is_volatile: bool,
    /// Bytes charged to the budget of publications for the list of receivers.
    charged: usize,
}

/// The messages of a shard on their way.
#[derive(Debug, Default)]
pub(in crate::shard) struct Emissions {
    queue: VecDeque<Delivery>,
    /// The receivers of single channels, for consecutive messages. Empty while nothing is on its way.
    known: HashMap<ChannelId, Arc<[Receiver]>>,
}

impl Emissions {
    /// Whether nothing is on its way.
    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Handles a change of a channel's subscribers.
    #[inline]
    pub(in crate::shard) fn channel_changed(&mut self, id: ChannelId) {
        if !self.known.is_empty() {
            self.known.remove(&id);
        }
    }
}

impl<W: World> Channels<W> {
    /// Sends a message to channels of a session's group.
    pub(in crate::shard) fn emit(&mut self, key: Key, emit: Emit) {
        let not_to = emit.is_to_others.then(|| self.carry.member(key));
        let lane = lane_of(self.carry.member(key), self.carry.post.shard_count());
        self.send_emission((not_to, lane), emit);
    }

    pub(super) fn send_emission(&mut self, (not_to, lane): (Option<Member>, u16), emit: Emit) {
        let Emit { to, except, is_to_others: _, sender, is_volatile, kind, data, copies, info } = emit;
        let Some(first) = to.first().map(Arc::clone) else { return };
        let home = self.home_of(&first);
        let data = Shared::new(data, &self.publication_budget);
        let rooms = &self.carry.settings.rooms;
        let group = rooms.sharing(&first).map(|options| namespace_channel(&options.socketio));
        let publication = Arc::new(Publication::new(group.unwrap_or(first), kind, data));
        let copies = copies.into_iter().map(|copy| {
            let options = rooms.options_of(&copy.channel);
            ChannelCopy::new(copy, &self.publication_budget, options, (info.clone(), lane), is_volatile)
        });
        let copies = copies.collect();
        let emission = Emission { publication, copies, to, except, not_to, sender, home, is_volatile };
        let emission = Box::new(emission);
        self.carry.post.send(home, Letter::Emit { emission, asker: None });
    }

    /// Queues a message for its receivers in this shard.
    pub(in crate::shard) fn emitted(&mut self, emission: &Arc<Emission>) {
        let (home, seq) = (emission.home, emission.publication.seq);
        self.carry.reach.arrived(home, seq);
        let not_to = emission.not_to.filter(|member| member.shard == self.carry.post.shard());
        let not_to = not_to.map(|Member { conn, .. }| Key::from_token(conn));
        let (to, is_known) = match (&*emission.to, emission.except.is_empty()) {
            ([one], true) if SocketPlace::of_room(self.carry.seed, one).is_none() => self.receivers_of(one),
            (to, _) => (self.receivers_of_any(to, &emission.except).into(), false),
        };
        if to.is_empty() {
            return;
        }
        let item = Item::Publication(Arc::clone(&emission.publication));
        if let (Some(last), Some(way)) = (self.emissions.queue.back_mut(), self.carry.reach.ways.back())
            && way.served == 0
            && way.home == home
            && Arc::ptr_eq(&way.to, &to)
            && (last.not_to, last.is_volatile) == (not_to, emission.is_volatile)
            && last.batch.len() < MESSAGES_PER_WRITE_MAX
        {
            return last.batch.push(item);
        }
        // A list that several messages share is charged once.
        let charged = if is_known { 0 } else { size_of_val(&*to) };
        self.publication_budget.charge(charged);
        let batch = Batch::new(vec![item], 0, self.carry.now_us);
        let is_volatile = emission.is_volatile;
        self.emissions.queue.push_back(Delivery { batch, not_to, is_volatile, charged });
        self.carry.reach.ways.push_back(Way { home, first_seq: seq, to, served: 0 });
    }

    /// The subscribers of one channel, and whether the list is one of an earlier message.
    fn receivers_of(&mut self, channel: &str) -> (Arc<[Receiver]>, bool) {
        let Some(id) = self.local.channel_id(channel) else { return (Arc::default(), false) };
        if let Some(known) = self.emissions.known.get(&id) {
            return (Arc::clone(known), true);
        }
        let mut to = Vec::new();
        self.add_receivers(channel, &mut to);
        to.sort_unstable();
        let to: Arc<[Receiver]> = to.into();
        self.emissions.known.insert(id, Arc::clone(&to));
        (to, false)
    }

    /// The subscribers of any of the channels, without those of the excepted ones.
    fn receivers_of_any(&self, of: &[Arc<str>], without: &[Arc<str>]) -> Vec<Receiver> {
        let (mut to, mut except) = (Vec::new(), Vec::new());
        of.iter().for_each(|channel| self.add_receivers(channel, &mut to));
        without.iter().for_each(|channel| self.add_receivers(channel, &mut except));
        to.sort_unstable();
        to.dedup();
        except.sort_unstable();
        to.retain(|receiver| except.binary_search(receiver).is_err());
        to
    }

    fn add_receivers(&self, channel: &str, to: &mut Vec<Receiver>) {
        if let Some(id) = self.local.channel_id(channel) {
            to.extend(self.local.subscribers(id).iter().filter_map(|one| self.receiver(one)));
        }
        to.extend(self.owner_of(channel));
    }

    fn receiver(&self, one: &Subscriber) -> Option<Receiver> {
        if one.flags & GROUPED == 0 {
            return None;
        }
        let key = self.carry.conns.key_at(one.conn)?;
        Some(Receiver::new(key, one.format))
    }

    /// The socket whose own room this is, if it is in this shard.
    fn owner_of(&self, room: &str) -> Option<Receiver> {
        let place = SocketPlace::of_room(self.carry.seed, room)?;
        let (key, group) = (Key::from_token(place.conn), group_of(room));
        // One that has returned to another connection is in the room.
        let is_there = self.holds(key, group, place);
        let (id, _, position) = self.active_slot(key, group).filter(|_| is_there)?;
        self.receiver(self.local.subscribers(id).get(position as usize)?)
    }

    /// The open connections of the sockets that an order is for.
    pub(in crate::shard) fn sockets_of(&self, order: &SocketOrder) -> Vec<Key> {
        let SocketOrder { rooms, not_to, .. } = order;
        let receivers = self.receivers_of_any(&rooms.to, &rooms.except);
        let keys = receivers.into_iter().map(Receiver::key);
        let is_meant = |key: &Key| {
            let conn = self.carry.conns.entry(*key);
            conn.is_some_and(|conn| conn.stage == Stage::Open && !conn.has_left)
                && *not_to != Some(self.carry.member(*key))
        };
        keys.filter(is_meant).collect()
    }

    /// Delivers all queued messages: what follows must not overtake them.
    pub(in crate::shard) fn deliver_all_emissions(&mut self) {
        if !self.emissions.is_empty() {
            self.deliver_up_to(usize::MAX);
        }
    }

    /// Delivers queued messages, up to the turn's budget; the rest follows in the next turn.
    #[inline]
    pub(in crate::shard) fn deliver_emissions(&mut self) {
        self.deliver_up_to(self.carry.limits.deliveries_per_turn_max);
    }

    fn deliver_up_to(&mut self, mut budget: usize) {
        while budget > 0
            && let Some(mut delivery) = self.emissions.queue.pop_front()
            && let Some(mut way) = self.carry.reach.ways.pop_front()
        {
            let is_alone = self.emissions.is_empty() && self.local.queued_count() == 0;
            while budget > 0
                && let Some(&receiver) = way.to.get(way.served)
            {
                way.served += 1;
                budget -= 1;
                self.hand_over(&mut delivery, receiver, is_alone);
                self.finish_endings();
            }
            if way.served < way.to.len() {
                self.emissions.queue.push_front(delivery);
                self.carry.reach.ways.push_front(way);
            } else {
                self.publication_budget.release(delivery.charged);
                let took_us = self.carry.net.now_us().saturating_sub(delivery.batch.began_us());
                self.carry.counters.fanout_us.record(took_us);
            }
        }
        if self.emissions.is_empty() && !self.emissions.known.is_empty() {
            self.emissions = Emissions::default();
        }
    }

    /// Delivers messages to one receiver, unless it has ended meanwhile.
    fn hand_over(&mut self, delivery: &mut Delivery, receiver: Receiver, is_alone: bool) {
        let key = receiver.key();
        let Some(conn) = self.carry.conns.entry(key) else { return };
        let is_open = conn.stage == Stage::Open && !conn.has_left;
        let is_dropped = delivery.is_volatile && self.carry.is_behind(key);
        if !is_open || is_dropped || delivery.not_to == Some(key) {
            return;
        }
        let (count, formats, budget) = (delivery.batch.len(), &self.formats, &self.carry.budget);
        let encoded =
            delivery.batch.encoded(receiver.format, &Choice::All, formats, budget, &mut self.carry.press);
        let Some(shared) = encoded else { return };
        self.carry.counters.deliveries.add(count);
        self.carry.counters.messages_out.add(count);
        if is_alone {
            self.carry.write_shared(key, shared);
        } else {
            self.carry.queue_shared(key, shared.clone());
        }
    }
}
