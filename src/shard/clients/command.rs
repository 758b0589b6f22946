//! Commands of Centrifuge clients: whether they may, and to whom they go.
//!
//! What is decided here needs the connection and the channel's options only. Answers come back by letters, from homes
//! ([`super::answers`]) and from outside ([`super::verdict`]).

use std::borrow::Cow;
use std::sync::Arc;

use super::client::{Ability, Pending, QUESTIONS_MAX, WHOLE_WEIGHT};
use crate::base::bucket::Bucket;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::home::HistoryFilter;
use crate::hub::options::ChannelOptions;
use crate::hub::{DataKind, Position, Publication, home};
use crate::proto::centrifuge::codes::Error;
use crate::proto::centrifuge::message::{Answer, Encoding, HistoryRequest, Request};
use crate::session::{CloseReason, Session};
use crate::shard::mailbox::{Asker, Letter};
use crate::shard::options::Rates;
use crate::shard::outside::{Hook, Question, Token, Verdict};
use crate::shard::{Shard, World};

impl<W: World> Shard<W> {
    /// Carries out a command.
    pub(in crate::shard) fn command(&mut self, key: Key, id: u32, request: Request<'static>) {
        if let Request::Connect(ask) = request {
            return self.connect(key, id, *ask);
        }
        if !self.is_within_rates(key, &request) {
            return self.fail(key, id, &Error::TOO_MANY_REQUESTS);
        }
        match request {
            Request::Subscribe(ask) => self.subscribe_command(key, id, ask),
            Request::Unsubscribe { channel } => {
                self.unsubscribe(key, &channel);
                self.answer(key, |session, _, cx| session.answer(id, &Answer::Unsubscribe, cx));
            }
            Request::Publish { channel, data } => {
                self.publish_command(key, id, &channel, data.unwrap_or_default());
            }
            Request::Presence { channel } => {
                self.ask_home(key, id, &channel, Ability::Presence, home::Question::Presence);
            }
            Request::PresenceStats { channel } => {
                self.ask_home(key, id, &channel, Ability::Presence, home::Question::PresenceStats);
            }
            Request::History(ask) => self.history_command(key, id, ask),
            Request::Rpc { method, data } => self.rpc_command(key, id, &method, data),
            Request::Refresh { token } => self.refresh_command(key, id, &token),
            Request::SubRefresh { channel, token } => self.sub_refresh_command(key, id, &channel, &token),
            Request::Pong
            | Request::Ping
            | Request::Send { .. }
            | Request::Connect(_)
            | Request::Unknown
            | Request::Malformed => {}
        }
    }

    fn is_within_rates(&mut self, key: Key, request: &Request<'_>) -> bool {
        if self.rates == Rates::default() {
            return true;
        }
        let (now_ms, rates, c) = (self.now_ms(), self.rates.clone(), Arc::clone(&self.counters));
        let Some(client) = self.client_or_new(key) else { return false };
        let buckets = &mut **client.buckets.get_or_insert_default();
        let takes = |bucket: &mut Bucket, rate: u32| rate == 0 || bucket.take(now_ms, rate, rate);
        if !takes(&mut buckets.commands, rates.commands_max) {
            c.rate_limited_commands.add(1);
            return false;
        }
        let (bucket, rate, counter) = match request {
            Request::Subscribe(_) => {
                (&mut buckets.subscribes, rates.subscribes_max, &c.rate_limited_subscribes)
            }
            Request::Publish { .. } => {
                (&mut buckets.publishes, rates.publishes_max, &c.rate_limited_publishes)
            }
            Request::Rpc { .. } => (&mut buckets.rpcs, rates.rpcs_max, &c.rate_limited_rpcs),
            Request::Presence { .. } | Request::PresenceStats { .. } => {
                (&mut buckets.presences, rates.presences_max, &c.rate_limited_presences)
            }
            Request::History(_) => (&mut buckets.histories, rates.histories_max, &c.rate_limited_histories),
            Request::Connect(_)
            | Request::Unsubscribe { .. }
            | Request::Ping
            | Request::Pong
            | Request::Send { .. }
            | Request::Refresh { .. }
            | Request::SubRefresh { .. }
            | Request::Unknown
            | Request::Malformed => (&mut buckets.others, rates.others_max, &c.rate_limited_others),
        };
        let is_within = takes(bucket, rate);
        counter.add(u64::from(!is_within));
        is_within
    }

    /// Asks outside about a command; when too much is asked already, the command fails.
    pub(in crate::shard) fn ask_outside(
        &mut self,
        key: Key,
        id: u32,
        question: Question,
        pending: Option<Pending>,
    ) {
        // What has no place of its own to wait in is answered by its number.
        let number = if pending.is_some() { self.questions.next() } else { id };
        let reply_to = self.reply_to(key, number);
        let is_full = self.client(key).is_some_and(|client| client.pending.len() >= QUESTIONS_MAX);
        if is_full || self.outside.ask(reply_to, question).is_err() {
            self.counters.rate_limited_questions.add(1);
            return self.fail(key, id, &Error::TOO_MANY_REQUESTS);
        }
        if let Some(pending) = pending
            && let Some(client) = self.client_or_new(key)
        {
            client.pending.push((number, pending));
        }
    }

    /// Carries on with what was asked outside and answered at once.
    pub(in crate::shard) fn judged_now(&mut self, key: Key, pending: Pending, verdict: Verdict) {
        let number = self.questions.next();
        if let Some(client) = self.client_or_new(key) {
            client.pending.push((number, pending));
        }
        self.verdict(key, number, verdict);
    }

    fn publish_command(&mut self, key: Key, id: u32, channel: &str, data: Cow<'static, [u8]>) {
        let options = match self.options_for_client(channel) {
            Ok(options) => options,
            Err(error) => return self.fail(key, id, &error),
        };
        if options.publish_proxy_enabled {
            return self.ask_to_publish(key, id, channel, data.into_owned());
        }
        if !self.may(key, channel, &options, Ability::Publish) {
            return self.fail(key, id, &Error::PERMISSION_DENIED);
        }
        self.publish(key, id, channel.into(), options, data.into_owned(), home::Terms::default());
    }

    /// The application decides, in place of the channel's options.
    fn ask_to_publish(&mut self, key: Key, id: u32, channel: &str, data: Vec<u8>) {
        if !self.outside.has_hook(Hook::Publish) {
            return self.fail(key, id, &Error::NOT_AVAILABLE);
        }
        let (who, channel): (_, Arc<str>) = (self.who(key), channel.into());
        let question = Question::Publish { who, channel: channel.to_string(), data: data.clone() };
        self.ask_outside(key, id, question, Some(Pending::Publish { id, channel, data }));
    }

    /// Publishes what a Centrifuge client said.
    pub(in crate::shard) fn publish(
        &mut self,
        key: Key,
        id: u32,
        channel: Arc<str>,
        options: Arc<ChannelOptions>,
        data: Vec<u8>,
        terms: home::Terms,
    ) {
        let kind = match self.conns.entry(key).map(|conn| &conn.session) {
            Some(Session::Centrifuge(session)) if session.encoding() == Encoding::Json => DataKind::Json,
            _ => DataKind::Binary,
        };
        let detail =
            self.local.channel_id(&channel).and_then(|at| self.client(key)?.detail(at)?.info.clone());
        let info = detail.unwrap_or_else(|| self.info_of(key, false));
        let data = Shared::new(data, &self.publication_budget);
        let home = self.home_of(&channel);
        let publication = Box::new(Publication {
            info: Some(info),
            is_delta: options.delta_publish,
            ..Publication::new(channel, kind, data)
        });
        let asker = (id != 0).then(|| Asker::Conn(self.reply_to(key, id)));
        self.post.send(home, Letter::Publish { publication, options, terms, asker });
    }

    /// Asks a channel's home, if the client may.
    fn ask_home(&mut self, key: Key, id: u32, channel: &str, ability: Ability, question: home::Question) {
        let options = match self.options_for_client(channel) {
            Ok(options) => options,
            Err(error) => return self.fail(key, id, &error),
        };
        let is_available = match ability {
            Ability::Presence => options.presence,
            Ability::History => options.history_size > 0 && options.history_ttl_ms > 0,
            Ability::Subscribe | Ability::Publish => true,
        };
        if !is_available {
            return self.fail(key, id, &Error::NOT_AVAILABLE);
        }
        if !self.may(key, channel, &options, ability) {
            return self.fail(key, id, &Error::PERMISSION_DENIED);
        }
        if !matches!(question, home::Question::PresenceStats) {
            self.awaits(key, id, WHOLE_WEIGHT);
        }
        let asker = Asker::Conn(self.reply_to(key, id));
        let home = self.home_of(channel);
        self.post.send(home, Letter::Ask { channel: channel.into(), options, question, asker });
    }

    fn history_command(&mut self, key: Key, id: u32, ask: HistoryRequest<'static>) {
        let HistoryRequest { channel, limit, since, reverse } = ask;
        let limit_max = self.policy.history_max_publication_limit;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let limit = Some(if limit_max == 0 { limit } else { limit.min(limit_max) });
        let since = since.map(|(offset, epoch)| Position { offset, epoch: epoch.into() });
        let question = home::Question::History(HistoryFilter { limit, since, reverse });
        self.ask_home(key, id, &channel, Ability::History, question);
    }

    fn rpc_command(&mut self, key: Key, id: u32, method: &str, data: Cow<'static, [u8]>) {
        let is_served =
            self.with_answer(key, |session, handler, cx| session.call_late(id, method, &data, handler, cx));
        if is_served != Some(false) {
            return;
        }
        if !self.outside.has_hook(Hook::Rpc) {
            return self.fail(key, id, &Error::NOT_AVAILABLE);
        }
        let question =
            Question::Rpc { who: self.who(key), method: method.to_owned(), data: data.into_owned() };
        self.ask_outside(key, id, question, None);
    }

    fn refresh_command(&mut self, key: Key, id: u32, token: &str) {
        if token.is_empty() {
            return self.close(key, CloseReason::BadRequest);
        }
        let now_s = self.now().unix_ms / 1000;
        let pending = Pending::Refresh { id, is_overtaken: false };
        match self.outside.verify_now(&Token::Connection(token), now_s) {
            Some(verdict) => self.judged_now(key, pending, verdict),
            None => {
                self.ask_outside(key, id, Question::ConnectionToken(token.to_owned()), Some(pending));
            }
        }
    }

    fn sub_refresh_command(&mut self, key: Key, id: u32, channel: &str, token: &str) {
        if token.is_empty() || !self.is_subscribed(key, channel) {
            return self.fail(key, id, &Error::BAD_REQUEST);
        }
        let pending = Pending::SubRefresh { id, channel: channel.into(), is_over: false };
        let now_s = self.now().unix_ms / 1000;
        match self.outside.verify_now(&Token::Subscription(token), now_s) {
            Some(verdict) => self.judged_now(key, pending, verdict),
            None => {
                self.ask_outside(key, id, Question::SubscriptionToken(token.to_owned()), Some(pending));
            }
        }
    }
}
