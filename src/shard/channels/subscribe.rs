//! The subscriptions of a connection.
//!
//! Invariant: an entry in a channel's list of subscribers and the slot in its connection refer to each other. A home
//! learns of the end of each subscriber that it counted, once: an `Unsubscribe` is sent for an active subscription
//! that ends, and for a late `Subscribed` that is no longer awaited.

use std::sync::Arc;

use super::Channels;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::home::{Joined, Joining};
use crate::hub::local;
use crate::hub::local::{ChannelId, Subscriber};
use crate::hub::options::ChannelOptions;
use crate::hub::words::Denied;
use crate::shard::World;
use crate::shard::carry::Carry;
use crate::shard::carry::client::RECOVERY_WEIGHT;
use crate::shard::carry::conn::{Stage, Sub, SubState};
use crate::shard::channels::memory::cost_of;
use crate::shard::mailbox::{Cause, Letter, Ticket};

impl<W: World> Channels<W> {
    /// Whether a connection may have a further subscription, to this channel.
    pub(in crate::shard) fn has_room_for(&self, key: Key, channel: &str) -> Result<(), Denied> {
        let Some(conn) = self.carry.conns.entry(key) else { return Err(Denied::Internal) };
        let is_known = self.local.channel_id(channel).is_some_and(|id| conn.slot_of(id).is_some());
        if is_known || conn.client.as_deref().is_some_and(|client| client.asks_for(channel)) {
            return Err(Denied::AlreadyIn);
        }
        self.has_room_for_one(key)
    }

    /// Whether a connection may have a further subscription.
    pub(in crate::shard) fn has_room_for_one(&self, key: Key) -> Result<(), Denied> {
        let Some(conn) = self.carry.conns.entry(key) else { return Err(Denied::Internal) };
        if conn.subs.len() >= self.carry.limits.channels_per_connection_max {
            self.carry.counters.limited_subscriptions.add(1);
            Err(Denied::Limit)
        } else if self.carry.pressure.refuses() {
            // A temporary error: the client tries again later.
            self.carry.counters.limited_memory.add(1);
            Err(Denied::TooMany)
        } else {
            Ok(())
        }
    }

    /// Asks a channel's home to count the connection, after [`Channels::has_room_for`].
    pub(in crate::shard) fn enter(
        &mut self,
        key: Key,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        request: u32,
        joining: Box<Joining>,
        ticket: Option<Box<Ticket>>,
    ) {
        let Some(conn) = self.carry.conns.entry(key) else { return };
        if conn.stage != Stage::Open {
            // The connection was closed meanwhile: it has left its channels and must not enter another.
            return;
        }
        let id = self.local.acquire(channel);
        self.carry.put_sub(key, Sub::pending(id, request));
        self.spend(cost_of(!self.local.is_of_one(id), channel));
        let home = self.home_of(channel);
        self.carry.awaits_home(key, request, home);
        let reply_to = match request != 0 && joining.recover.is_some() {
            true => self.carry.reply_to_much(key, request, RECOVERY_WEIGHT),
            false => self.carry.reply_to(key, request),
        };
        let (channel, options) = (Arc::clone(self.local.name(id)), Arc::clone(options));
        self.carry.post.send(home, Letter::Subscribe { channel, options, reply_to, joining, ticket });
    }

    /// Sends a channel's home new terms for a subscriber: of an order, or of command number `request`.
    pub(in crate::shard) fn ask_anew(
        &mut self,
        key: Key,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        request: u32,
        (mut joining, mut ticket): (Box<Joining>, Box<Ticket>),
    ) {
        let (channel, options) = (Arc::clone(channel), Arc::clone(options));
        let (home, reply_to) = (self.home_of(&channel), self.carry.reply_to(key, request));
        (joining.renews, ticket.renews) = (true, true);
        let ticket = Some(ticket);
        self.carry.post.send(home, Letter::Subscribe { channel, options, reply_to, joining, ticket });
    }

    /// The channel, the slot and the position of an active subscription.
    pub(in crate::shard) fn active_slot(&self, key: Key, channel: &str) -> Option<(ChannelId, usize, u32)> {
        let id = self.local.channel_id(channel)?;
        let conn = self.carry.conns.entry(key)?;
        let slot = conn.slot_of(id)?;
        match conn.subs[slot].state() {
            SubState::Active(position) => Some((id, slot, position)),
            SubState::Pending(_) => None,
        }
    }

    /// The channel and the slot of a subscription with this request number and without an answer yet.
    pub(in crate::shard) fn awaited_slot(
        &self,
        key: Key,
        channel: &str,
        request: u32,
    ) -> Option<(ChannelId, usize)> {
        let id = self.local.channel_id(channel)?;
        let conn = self.carry.conns.entry(key)?;
        let slot = conn.slot_of(id)?;
        (conn.subs[slot].state() == SubState::Pending(request)).then_some((id, slot))
    }

    /// Tells a channel's home that a subscriber is gone.
    pub(in crate::shard) fn tell_unsubscribed(&mut self, channel: &Arc<str>, key: Key) {
        let (channel, member) = (Arc::clone(channel), self.carry.member(key));
        self.carry.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
    }

    /// Tells a channel's home that a subscriber's information for others has changed.
    pub(in crate::shard) fn tell_informed(
        &mut self,
        key: Key,
        id: ChannelId,
        info: &Arc<ClientInfo>,
        keeps_chan_info: bool,
    ) {
        let (channel, member) = (Arc::clone(self.local.name(id)), self.carry.member(key));
        let (home, info) = (self.home_of(&channel), Arc::clone(info));
        self.carry.post.send(home, Letter::Inform { channel, member, info, keeps_chan_info });
    }

    /// Ends a subscription that its home has counted.
    pub(in crate::shard) fn take_back(&mut self, channel: &Arc<str>, key: Key, id: ChannelId, slot: usize) {
        self.tell_unsubscribed(channel, key);
        self.drop_pending(key, id, slot);
    }

    /// Removes a subscription that failed.
    pub(in crate::shard) fn drop_pending(&mut self, key: Key, id: ChannelId, slot: usize) {
        if self.remove_slot(key, slot).is_some() {
            self.local.release(id);
        }
    }

    /// Makes a pending subscription active, so that it gets publications. Returns false when the table of formats is
    /// full; then the subscription is undone.
    pub(in crate::shard) fn activate(
        &mut self,
        key: Key,
        id: ChannelId,
        slot: usize,
        joined: &Joined,
        ticket: Option<&mut Ticket>,
    ) -> bool {
        let Some((format, mut flags)) = self.format_of(key, ticket.as_deref()) else {
            let channel = Arc::clone(self.local.name(id));
            self.take_back(&channel, key, id, slot);
            return false;
        };
        let Some(conn) = self.carry.conns.entry_mut(key) else { return false };
        if let Some(ticket) = ticket {
            flags |= flags_of(ticket);
            let is_server_side = ticket.cause != Cause::Command;
            if is_server_side || ticket.filter.is_some() || ticket.info.is_some() || ticket.expire_at_s > 0 {
                self.carry.counters.clients.add(u64::from(conn.client.is_none()));
                conn.client.get_or_insert_default().add_detail(id, ticket);
            }
        }
        let slot_number = u16::try_from(slot).unwrap_or(u16::MAX);
        let subscriber = Subscriber { conn: key.index(), slot: slot_number, format, flags };
        conn.subs[slot] = Sub::active(id, self.local.add(id, subscriber, joined.seq));
        self.emissions.channel_changed(id);
        self.carry.counters.subscriptions.add(1);
        self.carry.touch_client(key);
        true
    }

    /// Changes an active subscription to its ticket's terms; earlier items must have been delivered. Returns false
    /// when the table of formats is full.
    pub(in crate::shard) fn renew_subscription(
        &mut self,
        key: Key,
        (id, slot, position): (ChannelId, usize, u32),
        joined: &Joined,
        ticket: &mut Ticket,
    ) -> bool {
        let Some((format, flags)) = self.format_of(key, Some(ticket)) else { return false };
        let flags = flags | flags_of(ticket);
        self.unlist(id, position);
        let slot_number = u16::try_from(slot).unwrap_or(u16::MAX);
        let subscriber = Subscriber { conn: key.index(), slot: slot_number, format, flags };
        let position = self.local.add(id, subscriber, joined.seq);
        let name = Arc::clone(self.local.name(id));
        if let Some(conn) = self.carry.conns.entry_mut(key) {
            conn.subs[slot] = Sub::active(id, position);
        }
        if let Some(client) = self.carry.client_or_new(key) {
            let is_by_token = client.detail(id).is_some_and(|detail| detail.is_by_token);
            client.forget(id, &name);
            client.add_detail(id, ticket).is_by_token = is_by_token;
        }
        true
    }

    /// Gives all subscriptions of a connection the format of its session, which has changed; also messages on their way.
    /// Returns false when the table of formats is full.
    pub(in crate::shard) fn renew_formats(&mut self, key: Key) -> bool {
        let Some((format, _)) = self.format_of(key, None) else { return false };
        let Self { local, emissions, carry, .. } = self;
        for sub in carry.conns.entry(key).iter().flat_map(|conn| &conn.subs) {
            if let SubState::Active(position) = sub.state() {
                local.set_format(sub.channel(), position, format);
                emissions.channel_changed(sub.channel());
            }
        }
        carry.reach.set_format(key, format);
        true
    }

    /// Removes a subscriber from its channel's list.
    fn unlist(&mut self, id: ChannelId, position: u32) {
        self.emissions.channel_changed(id);
        let Self { local, carry: Carry { conns, .. }, .. } = self;
        local.remove(id, position, |moved, to| {
            let other = conns.key_at(moved.conn).and_then(|key| conns.entry_mut(key));
            if let Some(other) = other {
                other.subs[usize::from(moved.slot)] = Sub::active(id, to);
            }
        });
    }

    /// The number of a connection's format for publications, and the flag of a subscriber that has none.
    fn format_of(&mut self, key: Key, ticket: Option<&Ticket>) -> Option<(u8, u8)> {
        let (takes_deltas, takes_numbers) =
            ticket.map_or((false, false), |ticket| (ticket.takes_deltas, ticket.takes_numbers));
        let session = &self.carry.conns.entry(key)?.session;
        let flags = if session.has_private_channels() { local::GROUPED } else { 0 };
        match session.format(takes_deltas, takes_numbers) {
            Some(format) => Some((self.formats.number(format)?, flags)),
            None => Some((0, local::PERSONAL)),
        }
    }

    pub(in crate::shard) fn end_subscription(&mut self, key: Key, slot: usize) {
        let Some(sub) = self.remove_slot(key, slot) else { return };
        let id = sub.channel();
        let name = Arc::clone(self.local.name(id));
        if let Some(client) = self.carry.client_mut(key) {
            client.forget(id, &name);
            client.late_orders.retain(|order| !order.subscribes_to(&name));
        }
        if let SubState::Active(position) = sub.state() {
            self.unlist(id, position);
            let (channel, member) = (Arc::clone(self.local.name(id)), self.carry.member(key));
            self.carry.post.send(self.home_of(&channel), Letter::Unsubscribe { channel, member });
            self.carry.counters.subscriptions.sub(1);
        }
        self.local.release(id);
    }

    /// Removes a slot from a connection, and updates the subscription that moves into it.
    pub(in crate::shard) fn remove_slot(&mut self, key: Key, slot: usize) -> Option<Sub> {
        let sub = self.carry.take_sub(key, slot)?;
        if let Some(moved) = self.carry.conns.entry(key).and_then(|conn| conn.subs.get(slot))
            && let SubState::Active(position) = moved.state()
        {
            self.local.set_slot(moved.channel(), position, u16::try_from(slot).unwrap_or(u16::MAX));
        }
        Some(sub)
    }
}

/// The flags of a subscriber with this ticket.
fn flags_of(ticket: &Ticket) -> u8 {
    let flags = [
        (ticket.filter.is_some(), local::FILTERED),
        (ticket.hears_joins, local::JOINS),
        (ticket.takes_deltas, local::DELTA),
    ];
    flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag)
}
