//! The subscribe command: decided here, by a token, or by the application.

use std::sync::Arc;

use crate::base::slots::Key;
use crate::hub::Position;
use crate::hub::options::ChannelOptions;
use crate::proto::centrifuge::codes::{Disconnect, Error};
use crate::proto::centrifuge::message::Subscribe;
use crate::shard::clients::client::{Ability, Pending, is_over};
use crate::shard::mailbox::Cause;
use crate::shard::outside::{Grant, Hook, Question, Token};
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// The subscribe command: what may be decided here is, the rest is asked outside.
    pub(in crate::shard) fn subscribe_command(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
        let options = match self.options_for_client(&ask.channel) {
            Ok(options) => options,
            Err(error) => return self.fail(key, id, &error),
        };
        if let Err(error) = self.has_room_for(key, &ask.channel) {
            return self.fail(key, id, &error);
        }
        if !ask.token.is_empty() {
            return self.subscribe_with_token(key, id, ask);
        }
        // The name goes before the application: what needs a token needs one, and what is for certain users is for those.
        let is_open =
            !self.namespaces.is_private(&ask.channel) && self.allows_user(key, &ask.channel).is_none();
        if is_open && options.subscribe_proxy_enabled {
            return self.ask_to_subscribe(key, id, ask);
        }
        if !self.may(key, &ask.channel, &options, Ability::Subscribe) {
            return self.fail(key, id, &Error::PERMISSION_DENIED);
        }
        self.enter_asked(key, id, *ask, &options, Grant::default());
    }

    /// The token decides, in place of the channel's options.
    pub(in crate::shard) fn subscribe_with_token(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
        let now_s = self.now().unix_ms / 1000;
        let now = self.outside.verify_now(&Token::Subscription(&ask.token), now_s);
        let question = Question::SubscriptionToken(ask.token.clone());
        let pending = Pending::Subscribe { id, ask };
        match now {
            None => self.ask_outside(key, id, question, Some(pending)),
            Some(verdict) => self.judged_now(key, pending, verdict),
        }
    }

    /// The application decides, in place of the channel's options.
    pub(in crate::shard) fn ask_to_subscribe(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
        if !self.outside.has_hook(Hook::Subscribe) {
            return self.fail(key, id, &Error::NOT_AVAILABLE);
        }
        let question =
            Question::Subscribe { who: self.who(key), channel: ask.channel.clone(), data: ask.data.clone() };
        self.ask_outside(key, id, question, Some(Pending::Subscribe { id, ask }));
    }

    /// A subscription that a token or a hook allows.
    pub(in crate::shard) fn subscribe_granted(&mut self, key: Key, id: u32, ask: Subscribe, grant: Grant) {
        let is_token = !ask.token.is_empty();
        if is_token && !self.is_for(key, &ask.channel, &grant) {
            return self.disconnect(key, Disconnect::INVALID_TOKEN);
        }
        match self.options(&ask.channel) {
            Ok(options) => self.enter_asked(key, id, ask, &options, grant),
            Err(error) => self.fail(key, id, &error),
        }
    }

    /// Enters a client into a channel that it asked for.
    pub(in crate::shard) fn enter_asked(
        &mut self,
        key: Key,
        id: u32,
        ask: Subscribe,
        options: &Arc<ChannelOptions>,
        grant: Grant,
    ) {
        let unix_ms = self.now().unix_ms;
        if is_over(grant.expire_at_s, 0, unix_ms) {
            return self.fail(key, id, &Error::EXPIRED);
        }
        if let Err(error) = self.has_room_for(key, &ask.channel) {
            return self.fail(key, id, &error);
        }
        let since = ask.recover.then(|| Position { offset: ask.offset, epoch: ask.epoch.as_str().into() });
        let since = since.or_else(|| {
            grant
                .recover_since
                .as_ref()
                .map(|(offset, epoch)| Position { offset: *offset, epoch: epoch.as_str().into() })
        });
        let channel: Arc<str> = ask.channel.as_str().into();
        match self.terms(key, options, grant, since, Some(ask), Cause::Command) {
            Ok((joining, ticket)) => self.enter(key, &channel, options, id, joining, Some(ticket)),
            Err(error) => self.fail(key, id, &error),
        }
    }
}
