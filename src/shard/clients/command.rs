//! Commands of clients: permissions and destinations.
//!
//! Decisions here need only the connection and the channel's options. Answers come by letters, from homes
//! ([`super::answers`]) and from outside ([`super::verdict`]).

use std::sync::Arc;

use super::Clients;
use crate::base::bucket::Bucket;
use crate::base::payload::PayloadRef;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::home::HistoryFilter;
use crate::hub::local::lane_of;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Ask, Denied, Reply};
use crate::hub::{ClientInfo, DataKind, Publication, home};
use crate::session::{CloseReason, labels};
use crate::shard::World;
use crate::shard::carry::client::{Ability, Pending, WHOLE_WEIGHT};
use crate::shard::formats;
use crate::shard::mailbox::{Asker, Letter};
use crate::shard::options::Rates;
use crate::shard::outside::{CallRoute, Hook, Question, Token, Verdict};

/// A publication of a client.
#[derive(Debug)]
pub(in crate::shard) struct Spoken {
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) kind: DataKind,
    pub(in crate::shard) data: Vec<u8>,
    /// Whether it is a new state of the previous one, and may be sent as a delta to that.
    pub(in crate::shard) is_delta: bool,
    /// The home of the channel, if it is known.
    pub(in crate::shard) home: Option<u16>,
}

impl<W: World> Clients<W> {
    /// Carries out a command. `home` is that of its channel, if it is known.
    pub(in crate::shard) fn command(&mut self, key: Key, id: u32, ask: Ask, home: Option<u16>) {
        if let Ask::Rooms { group } = ask {
            return self.tell_rooms(key, id, &group);
        }
        if let Ask::Event(ask) = ask {
            return self.ask_about_events(key, id, *ask);
        }
        if let Ask::Ended(end) = ask {
            return self.channels.note_end(key, *end, None);
        }
        self.channels.carry.counters.commands[labels::command_place(&ask)].add(1);
        if let Ask::Identify(ask) = ask {
            return self.connect(key, id, *ask);
        }
        if let Ask::Claim(claim) = ask {
            return self.claim(key, id, *claim);
        }
        if !self.is_within_rates(key, &ask) {
            return self.deny_in_turn(key, id, Denied::TooMany);
        }
        match ask {
            Ask::Enter(ask) => self.subscribe_command(key, id, ask),
            Ask::Leave { channel } => {
                // Earlier publications are delivered to it first, its own for example. A handler has ended the
                // subscription on its side already.
                if id != 0 {
                    self.channels.deliver_before(key, Some(&channel));
                }
                self.unsubscribe(key, &channel);
                self.hold_back(key);
                if id != 0 {
                    self.answer(key, id, &Reply::Left);
                }
            }
            Ask::Publish { channel, kind, data } => {
                self.publish_command(key, id, Spoken { channel, kind, data, is_delta: false, home });
            }
            Ask::Presence { channel } => {
                self.ask_home(key, id, (channel, home), Ability::Presence, home::Question::Presence);
            }
            Ask::PresenceStats { channel } => {
                self.ask_home(key, id, (channel, home), Ability::Presence, home::Question::PresenceStats);
            }
            Ask::History { channel, limit, since, reverse } => {
                let (limit, limit_max) =
                    (limit.unwrap_or(usize::MAX), self.policy.history_max_publication_limit);
                let limit = Some(if limit_max == 0 { limit } else { limit.min(limit_max) });
                let question = home::Question::History(HistoryFilter { limit, since, reverse });
                self.ask_home(key, id, (channel, home), Ability::History, question);
            }
            Ask::Call { method, data } => self.rpc_command(key, id, method, data),
            Ask::Renew { token } => self.refresh_command(key, id, &token),
            Ask::RenewIn { channel, token } => self.sub_refresh_command(key, id, channel, &token),
            Ask::Emit(emit) => self.channels.emit(key, *emit),
            Ask::OrderSockets(order) => self.channels.order_sockets(key, id, *order),
            Ask::LeaveGroup { group } => self.leave_group(key, &group),
            Ask::Return(asked) => self.channels.ask_back(asked),
            Ask::Identify(_) | Ask::Claim(_) | Ask::Rooms { .. } | Ask::Event(_) | Ask::Ended(_) => {}
        }
    }

    fn is_within_rates(&mut self, key: Key, ask: &Ask) -> bool {
        let carry = &mut self.channels.carry;
        if self.rates == Rates::default() || carry.is_trusted(key) {
            return true;
        }
        let (now_ms, rates, c) = (carry.now_ms(), self.rates.clone(), Arc::clone(&carry.counters));
        let Some(client) = carry.client_or_new(key) else { return false };
        let buckets = &mut **client.buckets.get_or_insert_default();
        let takes = |bucket: &mut Bucket, rate: u32| rate == 0 || bucket.take(now_ms, rate, rate);
        if !takes(&mut buckets.commands, rates.commands_max) {
            c.rate_limited_commands.add(1);
            return false;
        }
        let (bucket, rate, counter) = match ask {
            Ask::Enter(_) | Ask::Return(_) => {
                (&mut buckets.subscribes, rates.subscribes_max, &c.rate_limited_subscribes)
            }
            Ask::Publish { .. } => (&mut buckets.publishes, rates.publishes_max, &c.rate_limited_publishes),
            Ask::Call { .. } => (&mut buckets.rpcs, rates.rpcs_max, &c.rate_limited_rpcs),
            Ask::Presence { .. } | Ask::PresenceStats { .. } => {
                (&mut buckets.presences, rates.presences_max, &c.rate_limited_presences)
            }
            Ask::History { .. } => (&mut buckets.histories, rates.histories_max, &c.rate_limited_histories),
            Ask::Identify(_)
            | Ask::Claim(_)
            | Ask::Leave { .. }
            | Ask::Renew { .. }
            | Ask::RenewIn { .. }
            | Ask::Emit(_)
            | Ask::OrderSockets(_)
            | Ask::LeaveGroup { .. }
            | Ask::Event(_)
            | Ask::Ended(_)
            | Ask::Rooms { .. } => (&mut buckets.others, rates.others_max, &c.rate_limited_others),
        };
        let is_within = takes(bucket, rate);
        counter.add(u64::from(!is_within));
        is_within
    }

    /// Asks a question about a command outside; the command fails when too many questions are open for all clients.
    pub(in crate::shard) fn ask_outside_now(&mut self, key: Key, question: Question, pending: Pending) {
        let number = self.questions.next();
        let carry = &mut self.channels.carry;
        if self.outside.ask(carry.reply_to(key, number), question).is_err() {
            carry.counters.rate_limited_questions.add(1);
            return self.deny(key, pending.id(), &Denied::TooMany);
        }
        if let Some(client) = carry.client_or_new(key) {
            client.pending.push((number, pending));
        }
    }

    /// Continues with a question that was answered at once.
    pub(in crate::shard) fn judged_now(&mut self, key: Key, pending: Pending, verdict: Verdict) {
        let number = self.questions.next();
        if let Some(client) = self.channels.carry.client_or_new(key) {
            client.pending.push((number, pending));
        }
        self.verdict(key, number, verdict);
    }

    fn publish_command(&mut self, key: Key, id: u32, message: Spoken) {
        let channel = &message.channel;
        let is_trusted = self.channels.carry.is_trusted(key);
        let options =
            if is_trusted { self.options(channel) } else { self.options_for_client(key, id, channel) };
        let options = match options {
            Ok(options) => options,
            Err(denied) => return self.deny_in_turn(key, id, denied),
        };
        if !is_trusted && !formats::fits(options.publication_data_format, message.kind, &message.data) {
            return self.deny_bad_request(key, id, "data: not in the channel's publication_data_format");
        }
        if !is_trusted && options.publish_proxy_enabled {
            return self.ask_to_publish(key, id, message);
        }
        if !is_trusted && !self.may(key, channel, &options, Ability::Publish) {
            return self.deny_in_turn(key, id, Denied::NotPermitted);
        }
        // A message from a handler is not a new state of the previous one.
        let is_delta = options.delta_publish && !is_trusted;
        self.publish(key, id, Spoken { is_delta, ..message }, options, home::Terms::default());
    }

    /// Lets the application decide, in place of the channel's options.
    fn ask_to_publish(&mut self, key: Key, id: u32, message: Spoken) {
        if !self.outside.has_hook(Hook::Publish) {
            return self.deny_in_turn(key, id, Denied::NotAvailable);
        }
        let Spoken { channel, kind, data, .. } = message;
        let question =
            Question::Publish { who: self.who(key), channel: channel.to_string(), data: data.clone() };
        self.ask_outside(key, question, Pending::Publish { id, channel, kind, data });
    }

    /// Publishes a client's message.
    pub(in crate::shard) fn publish(
        &mut self,
        key: Key,
        id: u32,
        message: Spoken,
        options: Arc<ChannelOptions>,
        terms: home::Terms,
    ) {
        let detail = self
            .channels
            .local
            .channel_id(&message.channel)
            .and_then(|at| self.channels.carry.client(key)?.detail(at)?.info.clone());
        let info = detail.unwrap_or_else(|| self.info_of(key, false));
        let home = message.home.unwrap_or_else(|| self.channels.home_of(&message.channel));
        let message = Spoken { home: Some(home), ..message };
        let carry = &mut self.channels.carry;
        carry.awaits_home(key, id, home);
        let asker = (id != 0).then(|| Asker::Conn(carry.reply_to(key, id)));
        let from = Some(carry.member(key));
        self.send_publication(message, info, options, terms, (from, asker));
    }

    /// Sends a message to the channel's home. `from`: the publishing connection, unless it has ended.
    pub(in crate::shard) fn send_publication(
        &mut self,
        message: Spoken,
        info: Arc<ClientInfo>,
        options: Arc<ChannelOptions>,
        terms: home::Terms,
        (from, asker): (Option<home::Member>, Option<Asker>),
    ) {
        let Spoken { channel, kind, data, is_delta, home } = message;
        let data = Shared::new(data, &self.channels.publication_budget);
        let home = home.unwrap_or_else(|| self.channels.home_of(&channel));
        let post = &mut self.channels.carry.post;
        let lane = from.map_or(0, |from| lane_of(from, post.shard_count()));
        let publication =
            Publication { info: Some(info), is_delta, lane, ..Publication::new(channel, kind, data) };
        let publication = Box::new(publication);
        post.send(home, Letter::Publish { publication, options, terms, from, asker });
    }

    /// Asks a channel's home, if the client has the permission.
    fn ask_home(
        &mut self,
        key: Key,
        id: u32,
        (channel, home): (Arc<str>, Option<u16>),
        ability: Ability,
        question: home::Question,
    ) {
        let options = match self.options_for_client(key, id, &channel) {
            Ok(options) => options,
            Err(denied) => return self.deny_in_turn(key, id, denied),
        };
        let is_available = match ability {
            Ability::Presence => options.presence,
            Ability::History => options.history_size > 0 && options.history_ttl_ms > 0,
            Ability::Subscribe | Ability::Publish => true,
        };
        if !is_available {
            return self.deny_in_turn(key, id, Denied::NotAvailable);
        }
        if !self.may(key, &channel, &options, ability) {
            return self.deny_in_turn(key, id, Denied::NotPermitted);
        }
        if let home::Question::History(HistoryFilter { since: Some(since), reverse: true, .. }) = &question
            && since.offset == 0
        {
            return self.deny_bad_request(key, id, "since: nothing came before offset 0");
        }
        let home = home.unwrap_or_else(|| self.channels.home_of(&channel));
        let carry = &mut self.channels.carry;
        carry.awaits_home(key, id, home);
        let asker = Asker::Conn(match question {
            home::Question::PresenceStats | home::Question::RemoveHistory => carry.reply_to(key, id),
            home::Question::Presence | home::Question::History(_) => {
                carry.reply_to_much(key, id, WHOLE_WEIGHT)
            }
        });
        carry.post.send(home, Letter::Ask { channel, options, question, asker });
    }

    fn rpc_command(&mut self, key: Key, id: u32, method: String, data: Vec<u8>) {
        let is_served =
            self.with_answer(key, |session, handler, cx| session.call_late(id, &method, &data, handler, cx));
        if is_served != Some(false) {
            return;
        }
        match self.outside.route_call(&method) {
            CallRoute::Hook => {}
            CallRoute::Ping => return self.answer(key, id, &Reply::Called(PayloadRef::default())),
            CallRoute::NotAvailable => return self.deny(key, id, &Denied::NotAvailable),
            CallRoute::NotFound => return self.deny(key, id, &Denied::UnknownMethod),
        }
        let question = Question::Rpc { who: self.who(key), method, data };
        self.ask_outside(key, question, Pending::Call { id });
    }

    fn refresh_command(&mut self, key: Key, id: u32, token: &str) {
        let is_by_hook = self.channels.carry.client(key).is_some_and(|client| client.refreshes_by_hook);
        if token.is_empty() || is_by_hook {
            return self.close_in_turn(key, CloseReason::BadRequest);
        }
        let now_s = self.channels.carry.now().unix_ms / 1000;
        let pending = Pending::Refresh { id, is_overtaken: false };
        match self.outside.verify_now(&Token::Connection(token), now_s) {
            Some(verdict) => self.judged_now(key, pending, verdict),
            None => self.ask_outside(key, Question::ConnectionToken(token.to_owned()), pending),
        }
    }

    /// Whether the application renews this subscription of the client when a hook asks it.
    fn is_refreshed_by_hook(&self, key: Key, channel: &str) -> bool {
        let id = self.channels.local.channel_id(channel);
        let client = self.channels.carry.client(key);
        let detail = id.zip(client).and_then(|(id, client)| client.detail(id));
        detail.is_some_and(|detail| detail.refreshes_by_hook)
    }

    fn sub_refresh_command(&mut self, key: Key, id: u32, channel: Arc<str>, token: &str) {
        if !self.is_subscribed(key, &channel) {
            return self.deny(key, id, &Denied::NotPermitted);
        }
        if self.is_refreshed_by_hook(key, &channel) {
            return self.close_in_turn(key, CloseReason::BadRequest);
        }
        if token.is_empty() {
            return self.deny_bad_request(key, id, "token: missing or empty");
        }
        let pending = Pending::SubRefresh { id, channel, is_over: false };
        let now_s = self.channels.carry.now().unix_ms / 1000;
        match self.outside.verify_now(&Token::Subscription(token), now_s) {
            Some(verdict) => self.judged_now(key, pending, verdict),
            None => self.ask_outside(key, Question::SubscriptionToken(token.to_owned()), pending),
        }
    }
}
