//! Delivery of publications to this shard's subscribers.
//!
//! A batch is encoded once per wire format, when the first subscriber of that format is reached, and shared. If a
//! single channel has deliveries, its bytes are written directly to each subscriber with an empty queue: no outbox,
//! no second visit. If several have, all is queued first, so that a connection with many subscriptions gets it in one
//! write at the end of the turn.
//!
//! Some subscribers get a part of a batch: filters, joins that were not requested, and items that a subscriber has
//! received with its recovery are left out. Subscribers with the same part share its bytes, too.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::Channels;
use super::batch::Batch;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::choice::Choice;
use crate::hub::local;
use crate::hub::local::{ChannelId, Run, Subscriber};
use crate::net::Net;
use crate::shard::World;
use crate::shard::carry::Carry;
use crate::shard::carry::conn::{Sub, SubState};

impl<W: World> Channels<W> {
    /// Delivers queued items, up to the turn's budget; the rest follows in the next turn.
    #[inline]
    pub(in crate::shard) fn fan_out(&mut self) {
        if !self.early.is_empty() {
            self.early = HashMap::new();
        }
        if self.local.queued_count() > 0 {
            self.deliver_queued();
        }
    }

    fn deliver_queued(&mut self) {
        let budget_max = self.carry.limits.deliveries_per_turn_max;
        let mut budget = budget_max;
        let mut is_alone = None;
        while budget > 0 {
            let Some(id) = self.local.front() else { return };
            let is_alone = *is_alone.get_or_insert(self.local.queued_count() == 1);
            let had_whole_turn = budget == budget_max;
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
            // Otherwise it is the next in the next turn.
            self.local.go_on(had_whole_turn);
        }
    }

    /// Delivers to one connection the queued items of a channel, or of all of its channels: an order that ends or
    /// changes a subscription applies to later publications only.
    pub(in crate::shard) fn deliver_before(&mut self, key: Key, channel: Option<&str>) {
        if self.local.queued_count() == 0 {
            return;
        }
        let only = channel.map(|channel| self.local.channel_id(channel));
        let Some(conn) = self.carry.conns.entry(key) else { return };
        let is_meant = |sub: &&Sub| only.is_none_or(|id| id == Some(sub.channel()));
        let subs: SmallVec<[Sub; 2]> = conn.subs.iter().filter(is_meant).copied().collect();
        let mut runs: SmallVec<[(Run, ChannelId, u32); 2]> = SmallVec::new();
        for sub in subs {
            if let SubState::Active(position) = sub.state() {
                let id = sub.channel();
                self.serve_unfinished(id, position);
                runs.extend(self.local.waiting(id).map(|(run, _)| (run, id, position)));
            }
        }
        runs.sort_unstable();
        for (run, id, position) in runs {
            self.serve_early(id, run, position);
        }
        self.finish_endings();
    }

    /// Delivers to one subscriber the current batch of its channel.
    fn serve_unfinished(&mut self, id: ChannelId, position: u32) {
        if self.local.is_to_serve(id, position)
            && let Some(subscriber) = self.local.subscriber(id, position)
            && let Some(mut batch) = self.local.take_batch(id)
        {
            self.serve(id, position, subscriber, &mut batch, false);
            self.local.put_batch(id, batch);
        }
    }

    /// Delivers to one subscriber a run of queued items of its channel, encoded as for earlier early deliveries in
    /// this turn: an order may end any number of subscriptions.
    fn serve_early(&mut self, id: ChannelId, run: Run, position: u32) {
        let Some(subscriber) = self.local.subscriber(id, position) else { return };
        let Some(items) = self.local.run(id, run) else { return };
        let known = self.early.remove(&(id, run)).filter(|batch| batch.is_of(items));
        let mut batch = known.unwrap_or_else(|| Batch::new(items.to_vec(), id, self.carry.now_us));
        self.serve(id, position, subscriber, &mut batch, false);
        self.early.insert((id, run), batch);
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

    /// Delivers a batch to one subscriber. Inlined, since it runs for every delivery.
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
        // The usual case: all items, in the shared bytes of the format.
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

    /// Delivers the part of a batch that a subscriber gets.
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
        if flags & local::GROUPED != 0 {
            return;
        }
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

    /// Passes items to a session that must see them.
    fn deliver_each(&mut self, subscriber: Subscriber, batch: &Batch, choice: &Choice, count: u64) {
        let Some(key) = self.carry.conns.key_at(subscriber.conn) else { return };
        self.carry.counters.deliveries.add(count);
        for news in batch.news(choice, subscriber.flags & local::DELTA != 0) {
            self.tell(key, &news);
        }
    }

    /// The part of a batch for a subscriber.
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
