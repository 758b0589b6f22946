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
            return self.enter_trusted(key, &ask.channel);
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
        let is_open =
            !self.namespaces.is_private(&ask.channel) && self.allows_user(key, &ask.channel).is_none();
        if is_open && options.subscribe_proxy_enabled {
            return self.ask_to_subscribe(key, id, ask);
        }
        if !self.may(key, &ask.channel, &options, Ability::Subscribe) {
            return self.deny_in_turn(key, id, Denied::NotPermitted);
        }
        self.enter_asked(key, id, *ask, &options, Grant::default());
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
    pub(in crate::shard) fn subscribe_granted(&mut self, key: Key, id: u32, ask: Enter, grant: Grant) {
        let is_token = !ask.token.is_empty();
        if is_token && !self.is_for(key, &ask.channel, &grant) {
            return self.dismiss_by_word(key, Dismissed::InvalidToken);
        }
        match self.options(&ask.channel) {
            Ok(options) => self.enter_asked(key, id, ask, &options, grant),
            Err(denied) => self.deny_in_turn(key, id, denied),
        }
    }

    /// Subscribes a client to a requested channel.
    pub(in crate::shard) fn enter_asked(
        &mut self,
        key: Key,
        id: u32,
        ask: Enter,
        options: &Arc<ChannelOptions>,
        grant: Grant,
    ) {
        let unix_ms = self.channels.carry.now().unix_ms;
        if is_over(grant.expire_at_s, 0, unix_ms) {
            return self.deny_in_turn(key, id, Denied::Expired);
        }
        if let Err(denied) = self.channels.has_room_for(key, &ask.channel) {
            return self.deny_in_turn(key, id, denied);
        }
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
        self.channels.enter(key, &channel, options, id, joining, Some(ticket));
    }
}
