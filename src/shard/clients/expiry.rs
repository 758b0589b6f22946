//! Expiry of connections and subscriptions, and their renewal by new tokens or the application.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::local::ChannelId;
use crate::hub::words::{Denied, Dismissed, Ended, Reply};
use crate::shard::World;
use crate::shard::carry::client::{Client, Pending, is_over, is_past, ttl_s};
use crate::shard::options::EndDelays;
use crate::shard::outside::{Credentials, Grant, Question, Rejected};

/// Time after which a failed refresh hook is asked again, in seconds.
pub(super) const REFRESH_AGAIN_S: u64 = 10;

/// Whether this error of a hook is a failure, after which it is asked again. An error of the application's own is
/// final.
pub(super) fn may_be_asked_again(denied: &Denied) -> bool {
    denied.is_temporary() && !matches!(denied, Denied::Custom { .. })
}

impl<W: World> Clients<W> {
    /// Handles a new token of command `id`, or, if that is 0, the answer of the refresh hook. `is_overtaken`: an
    /// order has set the expiry since.
    pub(in crate::shard) fn refreshed(
        &mut self,
        key: Key,
        id: u32,
        is_overtaken: bool,
        outcome: Result<Box<Credentials>, Rejected>,
    ) {
        let carry = &mut self.channels.carry;
        let unix_ms = carry.now().unix_ms;
        let Some(client) = carry.client_or_new(key) else { return };
        if id == 0 && !client.is_refreshing {
            // The hook was asked before an order set the expiry.
            return;
        }
        client.is_refreshing = false;
        let by_hook = client.refreshes_by_hook;
        let credentials = match outcome {
            Ok(credentials) => credentials,
            // No connection is closed while the hook fails: it is asked again.
            Err(Rejected::Denied(denied)) if id == 0 && may_be_asked_again(&denied) => {
                client.expire_at_s = unix_ms / 1000 + REFRESH_AGAIN_S;
                return self.channels.carry.arm(key);
            }
            Err(Rejected::Denied(denied)) if id == 0 && !matches!(denied, Denied::Custom { .. }) => {
                return self.dismiss_by_word(key, Dismissed::Expired);
            }
            // The client may reconnect with a new token; after an error the official clients would give up.
            Err(Rejected::TokenExpired) => return self.dismiss_by_word(key, Dismissed::Expired),
            Err(rejected) => return self.reject(key, id, rejected),
        };
        if !by_hook && credentials.user != client.user() {
            return self.dismiss_by_word(key, Dismissed::InvalidToken);
        }
        if is_over(credentials.expire_at_s, 0, unix_ms) {
            return match id {
                0 => self.dismiss_by_word(key, Dismissed::Expired),
                id => self.deny(key, id, &Denied::Expired),
            };
        }
        if !by_hook && self.is_given_otherwise(key, &credentials.channels) {
            return self.dismiss_by_word(key, Dismissed::OtherChannels);
        }
        self.apply(key, id, *credentials, (by_hook, is_overtaken));
    }

    /// Applies new credentials, and answers the client if it asked.
    fn apply(&mut self, key: Key, id: u32, credentials: Credentials, (by_hook, is_overtaken): (bool, bool)) {
        let unix_ms = self.channels.carry.now().unix_ms;
        let carry = &mut self.channels.carry;
        let Some(client) = carry.client_mut(key) else { return };
        // A token without an end extends nothing: the connection keeps its end and its information.
        let extends = by_hook || credentials.expire_at_s != 0;
        if extends && !is_overtaken {
            client.expire_at_s = credentials.expire_at_s;
        }
        if !by_hook || credentials.caps.is_some() {
            // Permissions that the new token no longer gives end.
            client.caps = credentials.caps;
        }
        if !credentials.meta.is_empty() {
            client.meta = credentials.meta.into_boxed_slice();
        }
        let ttl_s = ttl_s(if extends { client.expire_at_s } else { 0 }, unix_ms);
        carry.arm(key);
        if extends {
            self.inform(key, credentials.info);
        }
        if id != 0 {
            self.answer(key, id, &Reply::Renewed { ttl_s });
        }
    }

    /// Handles the expiry of the connection or of subscriptions.
    pub(in crate::shard) fn expire_client(&mut self, key: Key) {
        let carry = &mut self.channels.carry;
        if carry.conns.entry(key).is_some_and(|conn| conn.session.is_shared()) {
            return self.expire_sockets(key);
        }
        let unix_ms = carry.now().unix_ms;
        let EndDelays { conn_ms, sub_ms } = carry.end_delays;
        let Some(client) = carry.client_mut(key).filter(|client| client.connecting.is_none()) else {
            return;
        };
        let Client { expire_at_s, refreshes_by_hook, is_refreshing, details, .. } = client;
        let is_due = |at_s: u64, delay_ms: u64| is_over(at_s, delay_ms, unix_ms);
        if *refreshes_by_hook && !*is_refreshing && is_due(*expire_at_s, 0) {
            *is_refreshing = true;
            let question = Question::Refresh { who: self.who(key) };
            if self.outside.ask(self.channels.carry.reply_to(key, 0), question).is_err() {
                self.channels.dismiss(key, Dismissed::Expired);
            }
        } else if !*refreshes_by_hook && is_due(*expire_at_s, conn_ms) {
            self.channels.dismiss(key, Dismissed::Expired);
        } else if let Some(detail) = details
            .iter_mut()
            .find(|detail| !detail.is_refreshing && is_due(detail.expire_at_s, detail.delay_ms(sub_ms)))
        {
            detail.is_refreshing = detail.refreshes_by_hook;
            let (id, by_hook, is_server_side) =
                (detail.channel, detail.refreshes_by_hook, detail.is_server_side);
            let channel = Arc::clone(self.channels.local.name(id));
            if by_hook {
                return self.ask_sub_refresh(key, id, &channel);
            }
            if is_server_side {
                return self.channels.dismiss(key, Dismissed::SubscriptionExpired);
            }
            self.end_by_server(key, &channel, Ended::Expired);
        }
    }

    /// Asks the application to renew a subscription.
    fn ask_sub_refresh(&mut self, key: Key, id: ChannelId, channel: &Arc<str>) {
        let question = Question::SubRefresh { who: self.who(key), channel: channel.to_string() };
        let number = self.questions.next();
        if self.outside.ask(self.channels.carry.reply_to(key, number), question).is_err() {
            return self.end_by_server(key, channel, Ended::Expired);
        }
        if let Some(client) = self.channels.carry.client_mut(key) {
            client.pending.push((number, Pending::HookRefresh { channel: id }));
        }
    }

    /// Handles a new token of a subscription. `is_over`: the subscription has ended, and the token is not for a later
    /// one.
    pub(in crate::shard) fn sub_refreshed(
        &mut self,
        key: Key,
        id: u32,
        channel: &str,
        grant: Grant,
        is_over: bool,
    ) {
        if !self.is_for(key, channel, &grant) {
            return self.dismiss_by_word(key, Dismissed::InvalidToken);
        }
        let unix_ms = self.channels.carry.now().unix_ms;
        if is_past(grant.expire_at_s, unix_ms) {
            return self.deny(key, id, &Denied::Expired);
        }
        let expire_at_s = grant.expire_at_s;
        if let Some((at, ..)) = self.channels.active_slot(key, channel).filter(|_| !is_over) {
            let carry = &mut self.channels.carry;
            if let Some(client) = carry.client_or_new(key) {
                client.detail_or_new(at).expire_at_s = expire_at_s;
            }
            carry.arm(key);
            self.inform_in(key, at, grant.info);
        }
        self.answer(key, id, &Reply::RenewedIn { ttl_s: ttl_s(expire_at_s, unix_ms) });
    }

    /// Handles the application's answer about an expiring subscription. If the hook failed, it is asked again.
    pub(in crate::shard) fn hook_refreshed(
        &mut self,
        key: Key,
        channel: ChannelId,
        outcome: Result<Box<Grant>, Rejected>,
    ) {
        let carry = &mut self.channels.carry;
        let now_s = carry.now().unix_ms / 1000;
        let Some(client) = carry.client_mut(key) else { return };
        let Some(detail) = client.details.iter_mut().find(|detail| detail.channel == channel) else { return };
        detail.is_refreshing = false;
        match outcome {
            Ok(grant) if grant.expire_at_s == 0 || grant.expire_at_s > now_s => {
                detail.expire_at_s = grant.expire_at_s;
                if !grant.info.is_empty() {
                    self.inform_in(key, channel, grant.info);
                }
            }
            Err(Rejected::Denied(denied)) if may_be_asked_again(&denied) => {
                detail.expire_at_s = now_s + REFRESH_AGAIN_S;
            }
            Err(rejected @ Rejected::Disconnect { .. }) => return self.reject(key, 0, rejected),
            Ok(_)
            | Err(
                Rejected::Denied(_)
                | Rejected::TokenExpired
                | Rejected::TokenInvalid
                | Rejected::NoCredentials,
            ) => {
                let name = Arc::clone(self.channels.local.name(channel));
                return self.subscription_expired(key, &name);
            }
        }
        self.channels.carry.arm(key);
    }

    /// Ends an expired subscription.
    pub(in crate::shard) fn subscription_expired(&mut self, key: Key, channel: &str) {
        let at = self.channels.local.channel_id(channel);
        let detail = at.and_then(|at| self.channels.carry.client(key)?.detail(at));
        if detail.is_some_and(|detail| detail.is_server_side) {
            // The client cannot subscribe to it again by itself.
            return self.dismiss_by_word(key, Dismissed::SubscriptionExpired);
        }
        self.end_by_server(key, channel, Ended::Expired);
    }
}
