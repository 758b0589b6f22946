//! Deliveries: what was published reaches this shard's subscribers.
//!
//! A batch is encoded once per wire format, when the first subscriber of that format is reached, and shared.
//! When a single channel has something to say, its bytes are written straight to each subscriber that has
//! nothing queued: no outbox, no second visit. When several have, everything is queued first, so that a
//! connection that is subscribed to many gets it in one write at the end of the turn.
//!
//! Not everyone gets all of a batch: filters, joins that were not asked for, and what a subscriber has already got with its
//! recovery are left out. Those who get the same are encoded for once, too.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::Channels;
use super::batch::Batch;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::choice::Choice;
use crate::hub::local;
use crate::hub::local::{ChannelId, Subscriber};
use crate::net::Net;
use crate::shard::World;
use crate::shard::carry::Carry;
use crate::shard::carry::conn::{Sub, SubState};

impl<W: World> Channels<W> {
    /// Delivers what is queued, up to the turn's budget; the rest goes on in the next turn.
    pub(in crate::shard) fn fan_out(&mut self) {
        if !self.early.is_empty() {
            self.early = HashMap::new();
        }
        let mut budget = self.carry.limits.deliveries_per_turn_max;
        while budget > 0 {
            let Some(id) = self.local.front() else { return };
            let is_alone = self.local.queued_count() == 1;
            let mut batch = self
                .local
                .take_batch(id)
                .unwrap_or_else(|| Batch::new(self.local.begin_batch(id), id, self.carry.now_us));
            self.order_next(id, budget);
            let delivered = self.carry.counters.deliveries.value();
            while budget > 0
                && let Some((position, subscriber)) = self.local.next_to_serve(id)
            {
                self.serve(id, position, subscriber, &mut batch, is_alone);
                self.finish_endings();
                budget -= 1;
            }
            self.local.count_deliveries(id, self.carry.counters.deliveries.value().wrapping_sub(delivered));
            let began_us = batch.began_us();
            if !self.local.put_batch(id, batch) {
                self.carry.counters.fanout_us.record(self.carry.net.now_us().saturating_sub(began_us));
            }
            self.local.rotate();
        }
    }

    /// Delivers to one connection what waits for it in a channel, or in all of its channels: an order that ends its subscription
    /// or changes it holds for what is published later.
    pub(in crate::shard) fn deliver_before(&mut self, key: Key, channel: Option<&str>) {
        if self.local.queued_count() == 0 {
            return;
        }
        let only = channel.map(|channel| self.local.channel_id(channel));
        let Some(conn) = self.carry.conns.entry(key) else { return };
        let is_meant = |sub: &&Sub| only.is_none_or(|id| id == Some(sub.channel()));
        let subs: SmallVec<[Sub; 2]> = conn.subs.iter().filter(is_meant).copied().collect();
        for sub in subs {
            if let SubState::Active(position) = sub.state() {
                self.serve_alone(sub.channel(), position);
            }
        }
        self.finish_endings();
    }

    /// Delivers to one subscriber what its channel has to say.
    fn serve_alone(&mut self, id: ChannelId, position: u32) {
        if self.local.is_to_serve(id, position)
            && let Some(subscriber) = self.local.subscriber(id, position)
            && let Some(mut batch) = self.local.take_batch(id)
        {
            self.serve(id, position, subscriber, &mut batch, false);
            self.local.put_batch(id, batch);
        }
        if self.local.waiting(id).is_empty() {
            return;
        }
        if let Some(subscriber) = self.local.subscriber(id, position) {
            let mut batch = self.take_early(id);
            self.serve(id, position, subscriber, &mut batch, false);
            self.early.insert(id, batch);
        }
    }

    /// What waits in a channel, encoded as it was for those served before in this turn: an order may end any number of
    /// subscriptions.
    fn take_early(&mut self, id: ChannelId) -> Batch {
        let items = self.local.waiting(id);
        let known = self.early.remove(&id).filter(|batch| batch.is_of(items));
        known.unwrap_or_else(|| Batch::new(items.to_vec(), id, self.carry.now_us))
    }

    fn order_next(&mut self, id: ChannelId, count: usize) {
        let Self { local, carry: Carry { conns, .. }, .. } = self;
        local.order_next(id, count, |moved, to| {
            let conn = conns.key_at(moved.conn).and_then(|key| conns.entry_mut(key));
            if let Some(conn) = conn {
                conn.subs[usize::from(moved.slot)] = Sub::active(id, to);
            }
        });
    }

    /// Delivers a batch to one subscriber. In line: it is done for every delivery.
    #[inline(always)]
    fn serve(
        &mut self,
        id: ChannelId,
        position: u32,
        subscriber: Subscriber,
        batch: &mut Batch,
        is_alone: bool,
    ) {
        let Subscriber { format, flags, .. } = subscriber;
        // The usual one: everything, as everyone of its format gets it.
        if flags & !local::JOINS == 0 && (flags == local::JOINS || !batch.has_joins()) {
            let count = batch.len();
            let Some(shared) =
                batch.encoded(format, &Choice::All, &self.formats, &self.carry.budget, &mut self.carry.press)
            else {
                return;
            };
            return self.deliver(subscriber, shared, is_alone, count);
        }
        self.serve_chosen(id, position, subscriber, batch, is_alone);
    }

    /// Delivers what a subscriber gets of a batch that not everyone gets all of.
    #[inline(never)]
    fn serve_chosen(
        &mut self,
        id: ChannelId,
        position: u32,
        subscriber: Subscriber,
        batch: &mut Batch,
        is_alone: bool,
    ) {
        let Subscriber { format, flags, .. } = subscriber;
        let choice = self.choice(id, subscriber, batch);
        let count = batch.count(&choice);
        if count == 0 {
            return;
        }
        if flags & local::DELTA != 0 && flags & local::DELTA_READY == 0 && batch.has_publication(&choice) {
            self.local.set_flags(id, position, flags | local::DELTA_READY);
        }
        if flags & local::PERSONAL != 0 {
            return self.deliver_each(subscriber, batch, &choice, count);
        }
        let encoded =
            batch.encoded(format, &choice, &self.formats, &self.carry.budget, &mut self.carry.press);
        if let Some(shared) = encoded {
            self.deliver(subscriber, shared, is_alone, count);
        }
    }

    /// Tells a session what it has to see.
    fn deliver_each(&mut self, subscriber: Subscriber, batch: &Batch, choice: &Choice, count: u64) {
        let Some(key) = self.carry.conns.key_at(subscriber.conn) else { return };
        self.carry.counters.deliveries.add(count);
        for news in batch.news(choice, subscriber.flags & local::DELTA != 0) {
            self.tell(key, &news);
        }
    }

    /// What of a batch a subscriber gets.
    fn choice(&self, id: ChannelId, subscriber: Subscriber, batch: &Batch) -> Choice {
        let Subscriber { conn, flags, .. } = subscriber;
        let after_seq =
            if flags & local::LATE == 0 { 0 } else { self.local.late_after(id, conn).unwrap_or(0) };
        let filter = (flags & local::FILTERED != 0)
            .then(|| {
                let conn = self.carry.conns.key_at(conn).and_then(|key| self.carry.conns.entry(key))?;
                conn.client.as_ref()?.detail(id)?.filter.as_deref()
            })
            .flatten();
        batch.choose(flags, after_seq, filter)
    }

    fn deliver(&mut self, subscriber: Subscriber, shared: &Shared, is_alone: bool, count: u64) {
        let Some(key) = self.carry.conns.key_at(subscriber.conn) else { return };
        self.carry.counters.deliveries.add(count);
        self.carry.counters.messages_out.add(count);
        if is_alone {
            self.carry.write_shared(key, shared);
        } else {
            self.carry.queue_shared(key, shared.clone());
        }
    }
}
