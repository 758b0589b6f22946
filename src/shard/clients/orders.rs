//! Orders of the server API to connections: each shard searches its own connections for the target.
//!
//! There is no index of users: it would cost every idle connection memory for a rare operation. An order searches all
//! connections of the shard once.
//!
//! Orders apply to pending subscriptions and questions, too. A connection is a target as soon as its user is known;
//! while its connect command has no answer, orders that do not end the connection wait for the reply, so that the
//! client gets messages in order. An order to unsubscribe waits for the answer to a pending subscription to the
//! channel, and follows it. An order to subscribe waits for no hook and no token: the client is subscribed at once,
//! and the answer to its command then changes the subscription. A pending question about the connection's expiry does
//! not undo a later order. Left out: a connection whose user is not known yet; the code that admits it must apply the
//! order.
//!
//! Invariant: an order that waits (`late_orders` of a client) waits for an answer that will come: each answer about a
//! subscription carries out all that need not wait longer.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::words::{Dismissed, Ended, News};
use crate::session::{CloseReason, Phase, SocketRefusal};
use crate::shard::World;
use crate::shard::carry::client::{is_over, ttl_s};
use crate::shard::carry::conn::{Conn, Stage};
use crate::shard::mailbox::{Cause, Deed, Order, Target};

impl<W: World> Clients<W> {
    pub(in crate::shard) fn order(&mut self, order: &Arc<Order>) {
        let targets: Vec<Key> = self
            .channels
            .carry
            .conns
            .iter()
            .filter(|(key, conn)| self.is_meant(*key, conn, &order.target))
            .map(|(key, _)| key)
            .collect();
        for key in targets {
            match self.orders_waiting(key).filter(|_| !ends_connections(&order.deed)) {
                Some(waiting) => waiting.push(Arc::clone(order)),
                None => {
                    self.carry_out(key, order);
                    // A subscription that they waited for may have ended.
                    self.resume_waiting(key);
                }
            }
        }
        if let Deed::Disconnect { code, reason, spared } = &order.deed
            && SocketRefusal::ordered(*code, reason).is_some()
            && order.target.session.is_empty()
        {
            let Target { user, client, .. } = &order.target;
            self.channels.end_away_of(user, client, spared);
        }
        self.channels.carry.post.carried_out(Arc::clone(order));
    }

    /// The orders that wait for the answer to a connect command, if its user is known and it has no answer.
    fn orders_waiting(&mut self, key: Key) -> Option<&mut Vec<Arc<Order>>> {
        self.connecting_mut(key)?.orders.as_mut()
    }

    /// Carries out orders that waited for the answers to a connect command and to commands after it.
    pub(in crate::shard) fn carry_out_waiting(&mut self, key: Key, orders: Vec<Arc<Order>>) {
        for order in orders {
            if self.channels.carry.conns.entry(key).is_some_and(|conn| conn.stage == Stage::Open) {
                self.carry_out(key, &order);
            }
            self.channels.carry.post.carried_out(order);
        }
        self.resume_waiting(key);
    }

    fn is_meant(&self, key: Key, conn: &Conn<W::Socket, W::State>, target: &Target) -> bool {
        let carry = &self.channels.carry;
        let client = conn.client.as_deref();
        let connecting = client.and_then(|client| client.connecting.as_ref());
        let is_live = conn.session.phase() == Phase::Live && !conn.session.is_trusted();
        if conn.stage == Stage::Open && conn.session.is_shared() {
            let id = carry.client_id(key);
            return conn.session.has_user(&target.user)
                && target.session.is_empty()
                && (target.client.is_empty()
                    || target.client == id.to_string()
                    || conn.session.has_socket_id(id, &target.client));
        }
        let is_known = is_live || connecting.is_some_and(|asked| asked.orders.is_some());
        conn.stage == Stage::Open
            && is_known
            && client.map_or("", |client| client.user()) == target.user
            && (target.client.is_empty() || target.client == carry.client_id(key).to_string())
            && (target.session.is_empty()
                || target.session == carry.settings.secret.session(carry.post.shard(), key))
    }

    fn carry_out(&mut self, key: Key, order: &Arc<Order>) {
        if self.channels.carry.conns.entry(key).is_some_and(|conn| conn.session.is_shared()) {
            return self.order_sockets(key, &order.target.user, &order.deed);
        }
        let unix_ms = self.channels.carry.now().unix_ms;
        match &order.deed {
            // A subscription that has expired already changes nothing.
            Deed::Subscribe { grant, .. } if is_over(grant.expire_at_s, 0, unix_ms) => {}
            Deed::Subscribe { channel, .. } | Deed::Unsubscribe { channel, .. }
                if self.is_early(key, order, channel) =>
            {
                if let Some(client) = self.channels.carry.client_or_new(key) {
                    client.late_orders.push(Arc::clone(order));
                }
            }
            Deed::Subscribe { channel, options, grant } => {
                self.enter_granted(key, channel, options, (**grant).clone(), None, Cause::Order);
            }
            Deed::Unsubscribe { channel, code, reason } => {
                self.unsubscribe_by_order(key, channel, *code, reason);
            }
            Deed::Message { data } => self.channels.tell(key, &News::Said(data.get())),
            Deed::Disconnect { code, reason, spared } => {
                if !spared.contains(&self.channels.carry.client_id(key).to_string()) {
                    self.channels.deliver_before(key, None);
                    self.channels.close(key, CloseReason::Ordered { code: *code, reason: reason.clone() });
                }
            }
            Deed::Refresh { expired, expire_at_s, .. } if *expired || is_over(*expire_at_s, 0, unix_ms) => {
                self.channels.deliver_before(key, None);
                self.channels.dismiss(key, Dismissed::Expired);
            }
            Deed::Refresh { expire_at_s, info, .. } => {
                let Some(client) = self.channels.carry.client_or_new(key) else { return };
                client.expire_at_s = *expire_at_s;
                client.overtake_refreshes();
                self.inform(key, info.clone());
                self.channels.carry.trim_client(key);
                self.channels.carry.arm(key);
                self.channels.tell(key, &News::Renewed { ttl_s: ttl_s(*expire_at_s, unix_ms) });
            }
        }
    }

    /// Ends a subscription, and tells the client, also if there was none.
    fn unsubscribe_by_order(&mut self, key: Key, channel: &str, code: u32, reason: &str) {
        self.channels.deliver_before(key, Some(channel));
        // Includes waiting commands: their client learns of it in their turn.
        let withdraws = self.withdraw_waiting(key, channel, code, reason);
        if self.withdraw(key, channel) || !withdraws {
            self.channels.tell(key, &News::Ended { channel, why: Ended::Ordered { code, reason } });
        }
    }

    /// Whether an order about this channel must wait: for a home's answer, for earlier orders, or, unless it
    /// subscribes, for the answer of a hook or about a token.
    fn is_early(&self, key: Key, order: &Order, channel: &str) -> bool {
        let client = self.channels.carry.client(key);
        let is_behind = client.is_some_and(|client| {
            client.late_orders.iter().any(|one| one.is_about(channel))
                || !order.subscribes_to(channel) && client.asks_for(channel)
        });
        is_behind || self.is_subscribed(key, channel) && self.channels.active_slot(key, channel).is_none()
    }

    /// Carries out orders that waited for the answer about a subscription, up to those that must wait longer.
    pub(in crate::shard) fn carry_out_late(&mut self, key: Key) {
        if self.channels.carry.client(key).is_none_or(|client| client.late_orders.is_empty()) {
            return;
        }
        let late = self.channels.carry.client_mut(key).map(|client| std::mem::take(&mut client.late_orders));
        for order in late.unwrap_or_default() {
            self.carry_out(key, &order);
            self.channels.carry.post.carried_out(order);
        }
    }
}

/// Whether it ends connections, and so need not wait for a reply.
fn ends_connections(deed: &Deed) -> bool {
    match deed {
        Deed::Disconnect { .. } | Deed::Refresh { expired: true, .. } => true,
        Deed::Subscribe { .. }
        | Deed::Unsubscribe { .. }
        | Deed::Message { .. }
        | Deed::Refresh { expired: false, .. } => false,
    }
}
