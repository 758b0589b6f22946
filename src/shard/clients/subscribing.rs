//! The subscribe command: decided here, by a token, or by the application.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::Position;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Dismissed, Enter};
use crate::shard::World;
use crate::shard::carry::client::{Ability, Pending, is_over};
use crate::shard::mailbox::Cause;
use crate::shard::outside::{Grant, Hook, Question, Token};

impl<W: World> Clients<W> {
    /// Handles the subscribe command: decides if possible, otherwise asks outside.
    pub(in crate::shard) fn subscribe_command(&mut self, key: Key, id: u32, ask: Box<Enter>) {
        if self.channels.carry.is_trusted(key) {
            return self.enter_trusted(key, &ask.channel, ask.info);
        }
        let options = match self.options_for_client(key, id, &ask.channel) {
            Ok(options) => options,
            Err(denied) => return self.deny_in_turn(key, id, denied),
        };
        if let Err(denied) = self.channels.has_room_for(key, &ask.channel) {
            return self.deny_in_turn(key, id, denied);
        }
        if !ask.token.is_empty() {
            return self.subscribe_with_token(key, id, ask);
        }
        // The rules for names come before the application: private channels need a token, channels for certain users
        // are limited to those.
        if options.subscribe_proxy_enabled
            && !self.namespaces.is_private(&ask.channel)
            && self.allows_user(key, &ask.channel).is_none()
        {
            return self.ask_to_subscribe(key, id, ask);
        }
        if !self.may(key, &ask.channel, &options, Ability::Subscribe) {
            return self.deny_in_turn(key, id, Denied::NotPermitted);
        }
        // Nothing was asked since the check: it is not subscribed.
        self.enter_on_terms(key, id, *ask, &options, Grant::default(), false);
    }

    /// Lets the token decide, in place of the channel's options.
    pub(in crate::shard) fn subscribe_with_token(&mut self, key: Key, id: u32, ask: Box<Enter>) {
        let now_s = self.channels.carry.now().unix_ms / 1000;
        let now = self.outside.verify_now(&Token::Subscription(&ask.token), now_s);
        let question = Question::SubscriptionToken(ask.token.clone());
        let pending = Pending::Subscribe { id, ask };
        match now {
            None => self.ask_outside(key, question, pending),
            Some(verdict) => self.judged_now(key, pending, verdict),
        }
    }

    /// Lets the application decide, in place of the channel's options.
    pub(in crate::shard) fn ask_to_subscribe(&mut self, key: Key, id: u32, ask: Box<Enter>) {
        if !self.outside.has_hook(Hook::Subscribe) {
            return self.deny_in_turn(key, id, Denied::NotAvailable);
        }
        let question = Question::Subscribe {
            who: self.who(key),
            channel: ask.channel.to_string(),
            data: ask.data.clone(),
        };
        self.ask_outside(key, question, Pending::Subscribe { id, ask });
    }

    /// Starts a subscription that a token or a hook allows.
    pub(in crate::shard) fn subscribe_granted(&mut self, key: Key, id: u32, mut ask: Enter, grant: Grant) {
        let is_token = !ask.token.is_empty();
        if is_token && !self.is_for(key, &ask.channel, &grant) {
            return self.dismiss_by_word(key, Dismissed::InvalidToken);
        }
        if !is_token {
            // The hook's answer and what the channel forces are all: the hook does not learn of these wishes.
            (ask.wants_position, ask.wants_recovery, ask.wants_joins) = (false, false, false);
        }
        match self.options(&ask.channel) {
            Ok(options) => self.enter_asked(key, id, ask, &options, grant),
            Err(denied) => self.deny_in_turn(key, id, denied),
        }
    }

    /// Continues with a subscription that was allowed before a home had answered about an order to subscribe to the
    /// channel.
    pub(in crate::shard) fn subscribe_after_order(&mut self, key: Key, channel: &str) {
        if !self.channels.carry.client(key).is_some_and(|client| client.asks_for(channel)) {
            return;
        }
        let client = self.channels.carry.client_mut(key);
        let is_granted = |one: &Pending| matches!(one, Pending::Granted { .. });
        let granted = client.and_then(|client| client.take_subscribing(channel, is_granted));
        if let Some(Pending::Granted { id, ask, grant }) = granted {
            self.subscribe_granted(key, id, *ask, *grant);
        }
    }

    /// Subscribes a client to a requested channel, after the answer of a token or a hook.
    fn enter_asked(&mut self, key: Key, id: u32, ask: Enter, options: &Arc<ChannelOptions>, grant: Grant) {
        let unix_ms = self.channels.carry.now().unix_ms;
        if is_over(grant.expire_at_s, 0, unix_ms) {
            return self.deny_in_turn(key, id, Denied::Expired);
        }
        // An order may have subscribed it while a hook or a token was asked.
        let renews = self.is_subscribed(key, &ask.channel);
        if renews && self.channels.active_slot(key, &ask.channel).is_none() {
            let (ask, grant) = (Box::new(ask), Box::new(grant));
            return self.keep_pending(key, Pending::Granted { id, ask, grant });
        }
        if !renews && let Err(denied) = self.channels.has_room_for(key, &ask.channel) {
            return self.deny_in_turn(key, id, denied);
        }
        self.enter_on_terms(key, id, ask, options, grant, renews);
    }

    /// Sends the home of a requested channel the terms of the subscription, or, if it `renews` an active one, the new
    /// terms. There is room for it: see [`Channels::has_room_for`](crate::shard::channels::Channels::has_room_for).
    fn enter_on_terms(
        &mut self,
        key: Key,
        id: u32,
        ask: Enter,
        options: &Arc<ChannelOptions>,
        grant: Grant,
        renews: bool,
    ) {
        let since = ask.since.clone().or_else(|| {
            grant
                .recover_since
                .as_ref()
                .map(|(offset, epoch)| Position { offset: *offset, epoch: epoch.as_str().into() })
        });
        if ask.filter.is_some() && !options.allow_tags_filter {
            return self.deny_bad_request(
                key,
                id,
                "tf: the channel does not allow filters (allow_tags_filter)",
            );
        }
        let channel = Arc::clone(&ask.channel);
        let (joining, ticket) = self.terms(key, options, grant, since, Some(ask), Cause::Command);
        if renews {
            self.channels.ask_anew(key, &channel, options, id, (joining, ticket));
            self.keep_pending(key, Pending::Renewing { id, channel });
        } else {
            self.channels.enter(key, &channel, options, id, joining, Some(ticket));
        }
    }

    /// Lets a command wait further whose question is answered.
    fn keep_pending(&mut self, key: Key, pending: Pending) {
        let number = self.questions.next();
        if let Some(client) = self.channels.carry.client_or_new(key) {
            client.pending.push((number, pending));
        }
    }
}
