//! Answers from outside, on their way into what waits for them.

use std::sync::Arc;

use super::Shard;
use super::client::{Ability, Pending, ttl_s};
use super::connect::REFRESH_AGAIN_S;
use super::mailbox::Cause;
use super::outside::{Grant, Hook, Question, Rejected, Replaced, Token, Verdict};
use crate::base::slots::Key;
use crate::hub::Position;
use crate::hub::home::Terms;
use crate::hub::local::ChannelId;
use crate::hub::options::ChannelOptions;
use crate::net::Net;
use crate::proto::centrifuge::codes::{Disconnect, Error, Unsubscribed};
use crate::proto::centrifuge::message::{Answer, Subscribe};
use crate::session::Handler;

impl<N: Net, H: Handler> Shard<N, H> {
    /// What outsiders say about the connection's command `id`. What nobody waits for any more is dropped.
    pub(super) fn verdict(&mut self, key: Key, id: u32, verdict: Verdict) {
        match verdict {
            Verdict::Connection(outcome) => {
                let Some(client) = self.client(key) else {
                    // A refresh of who had nothing to be remembered: an anonymous client with a first token.
                    return self.refreshed(key, id, outcome);
                };
                let witness = client.connecting.as_ref().map(|connecting| connecting.witness);
                match (witness, outcome) {
                    (None, outcome) => self.refreshed(key, id, outcome),
                    (Some(witness), Ok(credentials)) => self.authorized(key, *credentials, witness),
                    (Some(_), Err(rejected)) => self.reject_connect(key, id, rejected),
                }
            }
            Verdict::Subscription(outcome) => self.subscription_verdict(key, id, outcome),
            Verdict::Publish(outcome) => self.publish_verdict(key, id, outcome),
            Verdict::Rpc(Ok(result)) => {
                self.answer(key, |session, _, cx| session.answer(id, &Answer::Rpc(&result), cx));
            }
            Verdict::Rpc(Err(rejected)) => self.reject(key, id, rejected),
        }
        self.trim_client(key);
    }

    fn subscription_verdict(&mut self, key: Key, id: u32, outcome: Result<Box<Grant>, Rejected>) {
        let Some(pending) = self.client_mut(key).and_then(|client| client.take_pending(id)) else { return };
        if let Pending::HookRefresh { channel, .. } = pending {
            return self.hook_refreshed(key, channel, outcome);
        }
        let grant = match outcome {
            Ok(grant) => grant,
            Err(rejected) => return self.reject(key, id, rejected),
        };
        match pending {
            Pending::Subscribe { ask, .. } => self.subscribe_granted(key, id, *ask, *grant),
            Pending::SubRefresh { channel, .. } => self.sub_refreshed(key, id, &channel, &grant),
            Pending::Publish { .. } | Pending::HookRefresh { .. } => {}
        }
    }

    /// What the application says of a subscription that ends. While it cannot say, it is asked again.
    fn hook_refreshed(&mut self, key: Key, channel: ChannelId, outcome: Result<Box<Grant>, Rejected>) {
        let now_s = self.now().unix_ms / 1000;
        let Some(client) = self.client_mut(key) else { return };
        let Some(detail) = client.details.iter_mut().find(|detail| detail.channel == channel) else { return };
        detail.is_refreshing = false;
        match outcome {
            Ok(grant) if grant.expire_at_s == 0 || grant.expire_at_s > now_s => {
                detail.expire_at_s = grant.expire_at_s;
            }
            Err(Rejected::Error(error)) if error.temporary => detail.expire_at_s = now_s + REFRESH_AGAIN_S,
            Err(rejected @ Rejected::Disconnect { .. }) => return self.reject(key, 0, rejected),
            Ok(_) | Err(Rejected::Custom { .. } | Rejected::Error(_)) => {
                let name = Arc::clone(self.local.name(channel));
                let Unsubscribed { code, reason } = Unsubscribed::SUBSCRIPTION_EXPIRED;
                return self.end_by_server(key, &name, code, reason);
            }
        }
        self.arm(key);
    }

    /// The bearer of the grant must be this client, and the channel the one that it is for.
    fn is_for(&self, key: Key, channel: &str, grant: &Grant) -> bool {
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

    fn sub_refreshed(&mut self, key: Key, id: u32, channel: &str, grant: &Grant) {
        if !self.is_for(key, channel, grant) {
            return self.disconnect(key, Disconnect::INVALID_TOKEN);
        }
        let unix_ms = self.now().unix_ms;
        let Some(at) = self.local.channel_id(channel) else { return self.fail(key, id, &Error::BAD_REQUEST) };
        let detail =
            self.client_mut(key).and_then(|client| client.details.iter_mut().find(|d| d.channel == at));
        let expire_at_s = grant.expire_at_s;
        if let Some(detail) = detail {
            detail.expire_at_s = expire_at_s;
        }
        self.arm(key);
        let answer = Answer::SubRefresh { expires: expire_at_s > 0, ttl_s: ttl_s(expire_at_s, unix_ms) };
        self.answer(key, |session, _, cx| session.answer(id, &answer, cx));
    }

    fn publish_verdict(&mut self, key: Key, id: u32, outcome: Result<Replaced, Rejected>) {
        let Some(Pending::Publish { channel, data, .. }) =
            self.client_mut(key).and_then(|client| client.take_pending(id))
        else {
            return;
        };
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
    pub(super) fn subscribe_command(&mut self, key: Key, id: u32, ask: Box<Subscribe>) {
        let options = match self.options_for_client(&ask.channel) {
            Ok(options) => options,
            Err(error) => return self.fail(key, id, &error),
        };
        if let Err(error) = self.has_room_for(key, &ask.channel) {
            return self.fail(key, id, &error);
        }
        let channel = &*ask.channel;
        if !ask.token.is_empty() && !self.policy.insecure {
            let now_s = self.now().unix_ms / 1000;
            let now = self.outside.verify_now(&Token::Subscription(&ask.token), now_s);
            let question = Question::SubscriptionToken(ask.token.clone());
            let pending = Pending::Subscribe { id, ask };
            return match now {
                None => self.ask_outside(key, id, question, Some(pending)),
                Some(verdict) => {
                    if let Some(client) = self.client_or_new(key) {
                        client.pending.push(pending);
                    }
                    self.verdict(key, id, verdict);
                }
            };
        }
        if options.subscribe_proxy_enabled && self.outside.has_hook(Hook::Subscribe) {
            let question = Question::Subscribe {
                who: self.who(key),
                channel: channel.to_owned(),
                data: ask.data.clone(),
                token: ask.token.clone(),
            };
            return self.ask_outside(key, id, question, Some(Pending::Subscribe { id, ask }));
        }
        if !self.may(key, channel, &options, Ability::Subscribe) {
            return self.fail(key, id, &Error::PERMISSION_DENIED);
        }
        self.enter_asked(key, id, *ask, &options, Grant::default());
    }

    /// Enters a client into a channel that it asked for.
    fn enter_asked(
        &mut self,
        key: Key,
        id: u32,
        ask: Subscribe,
        options: &Arc<ChannelOptions>,
        grant: Grant,
    ) {
        let unix_ms = self.now().unix_ms;
        if grant.expire_at_s > 0 && grant.expire_at_s * 1000 <= unix_ms {
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
