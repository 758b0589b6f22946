//! Answers from outside, on their way into what waits for them.

use std::sync::Arc;

use super::client::{Ability, Pending, is_over};
use crate::base::slots::Key;
use crate::hub::Position;
use crate::hub::home::Terms;
use crate::hub::options::ChannelOptions;
use crate::net::Net;
use crate::proto::centrifuge::codes::{Disconnect, Error};
use crate::proto::centrifuge::message::{Answer, Subscribe};
use crate::session::Handler;
use crate::shard::Shard;
use crate::shard::mailbox::Cause;
use crate::shard::outside::{Credentials, Grant, Hook, Question, Rejected, Replaced, Token, Verdict};

impl<N: Net, H: Handler> Shard<N, H> {
    /// What outsiders say about the connection. What nobody waits for any more is dropped.
    ///
    /// `id` is the number of the question, and that of the command where what is asked has none of its own: a connect command,
    /// of which there is one at a time, and a call, for which nothing is kept.
    pub(in crate::shard) fn verdict(&mut self, key: Key, id: u32, verdict: Verdict) {
        match verdict {
            Verdict::Connection(outcome) => {
                let witness = self.connecting_mut(key).map(|connecting| connecting.witness);
                match (witness, outcome) {
                    (None, outcome) => self.refresh_verdict(key, id, outcome),
                    (Some(witness), Ok(credentials)) => self.authorized(key, *credentials, witness),
                    (Some(_), Err(rejected)) => self.reject_connect(key, id, rejected),
                }
            }
            Verdict::Subscription(outcome) => self.subscription_verdict(key, id, outcome),
            Verdict::Publish(outcome) => self.publish_verdict(key, id, outcome),
            Verdict::Rpc(Ok(result)) if !self.has_room_for_result(key, result.len()) => {
                self.fail(key, id, &Error::TOO_MANY_REQUESTS);
            }
            Verdict::Rpc(Ok(result)) => {
                self.answer(key, |session, _, cx| session.answer(id, &Answer::Rpc(&result), cx));
            }
            Verdict::Rpc(Err(rejected)) => self.reject(key, id, rejected),
        }
        self.trim_client(key);
    }

    /// What was asked by the question of this number, if somebody still waits for it.
    fn asked(&mut self, key: Key, question: u32) -> Option<Pending> {
        self.client_mut(key)?.take_pending(|number, _| number == question)
    }

    fn refresh_verdict(&mut self, key: Key, question: u32, outcome: Result<Box<Credentials>, Rejected>) {
        let (id, is_overtaken) = match self.asked(key, question) {
            Some(Pending::Refresh { id, is_overtaken }) => (id, is_overtaken),
            // The hook was asked, by nobody's command.
            Some(_) | None => (0, false),
        };
        self.refreshed(key, id, is_overtaken, outcome);
    }

    fn subscription_verdict(&mut self, key: Key, question: u32, outcome: Result<Box<Grant>, Rejected>) {
        let Some(pending) = self.asked(key, question) else { return };
        let id = pending.id();
        if let Pending::HookRefresh { channel } = pending {
            return self.hook_refreshed(key, channel, outcome);
        }
        let grant = match outcome {
            Ok(grant) => grant,
            Err(rejected) => return self.not_granted(key, id, &pending, rejected),
        };
        match pending {
            Pending::Subscribe { ask, .. } => self.subscribe_granted(key, id, *ask, *grant),
            Pending::SubRefresh { channel, is_over, .. } => {
                self.sub_refreshed(key, id, &channel, &grant, is_over);
            }
            Pending::Publish { .. } | Pending::HookRefresh { .. } | Pending::Refresh { .. } => {}
        }
    }

    /// A subscription that is not to begin, or not to go on.
    fn not_granted(&mut self, key: Key, id: u32, pending: &Pending, rejected: Rejected) {
        match (pending, rejected) {
            (Pending::Subscribe { .. }, Rejected::TokenInvalid) => {
                self.fail(key, id, &Error::PERMISSION_DENIED);
            }
            // An error alone would have the official clients give the channel up; so they subscribe with a new token.
            (Pending::SubRefresh { channel, is_over: false, .. }, Rejected::TokenExpired) => {
                self.subscription_expired(key, channel);
                self.fail(key, id, &Error::TOKEN_EXPIRED);
            }
            (_, rejected) => self.reject(key, id, rejected),
        }
    }

    /// The bearer of the grant must be this client, and the channel the one that it is for.
    pub(in crate::shard) fn is_for(&self, key: Key, channel: &str, grant: &Grant) -> bool {
        let user = self.client(key).map_or("", |client| client.user());
        let is_client = grant.client.is_empty() || grant.client == self.client_id(key).to_string();
        (grant.channel.is_empty() || grant.channel == channel) && grant.user == user && is_client
    }

    /// A subscription that a token or a hook allows.
    fn subscribe_granted(&mut self, key: Key, id: u32, ask: Subscribe, grant: Grant) {
        let is_token = !ask.token.is_empty();
        if is_token && !self.is_for(key, &ask.channel, &grant) {
            return self.disconnect(key, Disconnect::INVALID_TOKEN);
        }
        match self.options(&ask.channel) {
            Ok(options) => self.enter_asked(key, id, ask, &options, grant),
            Err(error) => self.fail(key, id, &error),
        }
    }

    fn publish_verdict(&mut self, key: Key, question: u32, outcome: Result<Replaced, Rejected>) {
        let Some(Pending::Publish { id, channel, data }) = self.asked(key, question) else { return };
        let Replaced { data: other, skip_history } = match outcome {
            Ok(replaced) => replaced,
            Err(rejected) => return self.reject(key, id, rejected),
        };
        match self.options(&channel) {
            Ok(options) => {
                let terms = Terms { skip_history, ..Terms::default() };
                self.publish(key, id, channel, options, other.unwrap_or(data), terms);
            }
            Err(error) => self.fail(key, id, &error),
        }
    }

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
    fn subscribe_with_token(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
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
    fn ask_to_subscribe(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
        if !self.outside.has_hook(Hook::Subscribe) {
            return self.fail(key, id, &Error::NOT_AVAILABLE);
        }
        let question =
            Question::Subscribe { who: self.who(key), channel: ask.channel.clone(), data: ask.data.clone() };
        self.ask_outside(key, id, question, Some(Pending::Subscribe { id, ask }));
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
