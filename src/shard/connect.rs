//! The connect command: who the client is, what it is subscribed to from the start, and the one reply that tells all of it.
//!
//! Until that reply is written, nothing else may reach the client: the connection is corked, and what its server-side
//! subscriptions bring meanwhile waits in its outbox, behind the reply.

use std::sync::Arc;

use super::Shard;
use super::client::{Admitted, Client, Connecting, Pending, Witness, result_of, ttl_s};
use super::conn::Conn;
use super::mailbox::{Cause, Ticket};
use super::outside::{Credentials, Grant, Hook, Question, Rejected, Token, Who};
use super::views;
use crate::base::shared::Shared;
use crate::base::slots::Key;
use crate::hub::home::Joined;
use crate::hub::local::ChannelId;
use crate::hub::{ClientInfo, Position};
use crate::net::Net;
use crate::proto::centrifuge::codes::{Disconnect, Error, Unsubscribed};
use crate::proto::centrifuge::message::{Answer, Connect, ConnectResult, SubscribeResult};
use crate::session::centrifuge::{Opening, VERSION};
use crate::session::{CloseReason, Handler, Session, Transport};

/// After how long a refresh hook that failed is asked again.
pub(super) const REFRESH_AGAIN_S: u64 = 10;

impl<N: Net, H: Handler> Shard<N, H> {
    pub(super) fn connect(&mut self, key: Key, id: u32, ask: Connect) {
        if !self.admits_connect(key) {
            self.counters.rate_limited.add(1);
            return self.reject_connect(key, id, Rejected::Error(Error::TOO_MANY_REQUESTS));
        }
        let Some(Conn { session: Session::Centrifuge(session), .. }) = self.conns.entry_mut(key) else {
            return;
        };
        let Opening { headers, token: cookie } = session.take_opening();
        let token = if ask.token.is_empty() { cookie } else { ask.token.clone() };
        let asks_hook = token.is_empty() && self.outside.has_hook(Hook::Connect);
        if token.is_empty()
            && !asks_hook
            && let Some(user) = self.certificate_user(key)
        {
            self.begin_connecting(key, id, ask, Witness::Certificate);
            let credentials = Credentials { user, ..Credentials::default() };
            return self.authorized(key, credentials, Witness::Certificate);
        }
        if token.is_empty() && !asks_hook {
            if !self.policy.insecure && !self.policy.allow_anonymous_connect_without_token {
                return self.close(key, CloseReason::BadRequest);
            }
            self.begin_connecting(key, id, ask, Witness::Nobody);
            return self.authorized(key, Credentials::default(), Witness::Nobody);
        }
        let hook = asks_hook.then(|| Question::Connect {
            who: Who {
                headers: self.headers_of(key, headers, &ask),
                certificate: self.identity(key).cloned(),
                ..self.who(key)
            },
            name: ask.name.clone(),
            version: ask.version.clone(),
            data: ask.data.clone(),
            channels: ask.subs.iter().map(|sub| sub.channel.clone()).collect(),
        });
        let witness = if hook.is_some() { Witness::Hook } else { Witness::Token };
        self.begin_connecting(key, id, ask, witness);
        let question = match hook {
            Some(question) => question,
            None => {
                let now_s = self.now().unix_ms / 1000;
                if let Some(verdict) = self.outside.verify_now(&Token::Connection(&token), now_s) {
                    return self.verdict(key, id, verdict);
                }
                Question::ConnectionToken(token)
            }
        };
        if self.outside.ask(self.reply_to(key, id), question).is_err() {
            self.counters.rate_limited.add(1);
            self.reject_connect(key, id, Rejected::Error(Error::TOO_MANY_REQUESTS));
        }
    }

    /// The user that the client's certificate names, where that is enough to connect.
    fn certificate_user(&self, key: Key) -> Option<String> {
        let is_enough = self.policy.allow_certificate_connect_without_token;
        self.identity(key).filter(|_| is_enough).map(|identity| identity.name.to_string())
    }

    /// Headers for the hook: those of the request, and those that the client says in their place, for browsers cannot set any.
    fn headers_of(
        &self,
        key: Key,
        mut headers: Vec<(String, String)>,
        ask: &Connect,
    ) -> Vec<(String, String)> {
        for (name, value) in &ask.headers {
            let name = name.to_ascii_lowercase();
            if self.settings.endpoints.kept_headers.contains(&name)
                && !headers.iter().any(|(had, _)| *had == name)
            {
                headers.push((name, value.clone()));
            }
        }
        self.tell_address(key, &mut headers);
        headers
    }

    fn begin_connecting(&mut self, key: Key, id: u32, ask: Connect, witness: Witness) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.is_corked = true;
        let queued_before = conn.outbox.as_ref().map_or(0, |outbox| outbox.segment_count());
        let connecting = Connecting {
            id,
            witness,
            ask,
            queued_before,
            waiting_count: 0,
            joined: Vec::new(),
            early: Vec::new(),
            data: Vec::new(),
        };
        if let Some(client) = self.client_or_new(key) {
            client.connecting = Some(Box::new(connecting));
        }
    }

    /// A client that does not get in. An error leaves the connection to the client's own devices and the connect deadline.
    pub(super) fn reject_connect(&mut self, key: Key, id: u32, rejected: Rejected) {
        if let Some(conn) = self.conns.entry_mut(key) {
            conn.is_corked = false;
            let is_uni =
                matches!(&conn.session, Session::Centrifuge(session) if session.transport().is_uni());
            if let Some(client) = conn.client.as_mut() {
                client.connecting = None;
            }
            if is_uni && let Rejected::Error(error) = &rejected {
                // There is no reply that could say so.
                let reason = if error.temporary {
                    Disconnect::TOO_MANY_REQUESTS
                } else {
                    Disconnect::CONNECTION_EXPIRED
                };
                return self.disconnect(key, reason);
            }
        }
        self.trim_client(key);
        self.reject(key, id, rejected);
    }

    /// A command that outsiders do not want.
    pub(super) fn reject(&mut self, key: Key, id: u32, rejected: Rejected) {
        match rejected {
            Rejected::Error(error) => self.fail(key, id, &error),
            Rejected::Custom { code, message, temporary } => {
                self.answer(key, |session, _, cx| session.fail(id, code, &message, temporary, cx));
            }
            Rejected::Disconnect { code, reason } => self.close(key, CloseReason::Ordered { code, reason }),
        }
    }

    /// The client is who it says: subscribe it to what it is to be subscribed to, then answer.
    pub(super) fn authorized(&mut self, key: Key, credentials: Credentials, witness: Witness) {
        let Credentials { user, info, expire_at_s, data, mut channels, caps, meta } = credentials;
        if user.is_empty() && witness == Witness::Token && self.policy.disallow_anonymous_connection_tokens {
            return self.disconnect(key, Disconnect::INVALID_TOKEN);
        }
        let client_id = self.client_id(key).to_string().into_boxed_str();
        let hook_refreshes = witness == Witness::Hook && self.outside.has_hook(Hook::Refresh);
        if self.policy.subscribe_to_user_personal_channel && !user.is_empty() {
            channels.push((self.personal_channel(&user), Grant::default()));
        }
        let Some(client) = self.client_mut(key) else { return };
        if !user.is_empty() || !info.is_empty() {
            let (user, conn_info) = (user.into_boxed_str(), info.into_boxed_slice());
            let info = ClientInfo { user, client: client_id, conn_info, chan_info: Box::default() };
            client.info = Some(Arc::new(info));
        }
        client.expire_at_s = expire_at_s;
        client.refreshes_by_hook = hook_refreshes;
        client.caps = caps;
        client.meta = meta.into_boxed_slice();
        let Some(connecting) = client.connecting.as_mut() else { return };
        connecting.data = data;
        let positions: Vec<(String, Position)> = connecting
            .ask
            .subs
            .iter()
            .filter(|sub| sub.recover)
            .map(|sub| {
                (sub.channel.clone(), Position { offset: sub.offset, epoch: sub.epoch.as_str().into() })
            })
            .collect();
        // Counted before the first is asked for: an answer may come at once.
        connecting.waiting_count = 1;
        for (channel, grant) in channels {
            let Ok(options) = self.options(&channel) else { continue };
            let since =
                positions.iter().find(|(name, _)| *name == channel).map(|(_, position)| position.clone());
            let channel: Arc<str> = channel.into();
            if self.enter_granted(key, &channel, &options, grant, since, Cause::Connect)
                && let Some(connecting) = self.connecting_mut(key)
            {
                connecting.waiting_count += 1;
            }
        }
        self.one_less_to_wait_for(key, None);
    }

    /// The channel that is the user's own.
    fn personal_channel(&self, user: &str) -> String {
        let namespace = &self.policy.personal_channel_namespace;
        let boundary = if namespace.is_empty() { "" } else { &self.namespaces.namespace_boundary };
        format!("{namespace}{boundary}{}{user}", self.namespaces.user_boundary)
    }

    fn connecting_mut(&mut self, key: Key) -> Option<&mut Connecting> {
        self.client_mut(key)?.connecting.as_deref_mut()
    }

    /// A server-side subscription was answered: note it, and reply when it was the last.
    pub(super) fn one_less_to_wait_for(
        &mut self,
        key: Key,
        admitted: Option<(Arc<str>, Box<Joined>, Box<Ticket>)>,
    ) {
        let Some(connecting) = self.connecting_mut(key) else { return };
        connecting.waiting_count = connecting.waiting_count.saturating_sub(1);
        if let Some((channel, joined, ticket)) = admitted {
            connecting.joined.push(Admitted { channel, joined, ticket });
        }
        if connecting.waiting_count > 0 {
            return;
        }
        let Some(connecting) = self.client_mut(key).and_then(|client| client.connecting.take()) else {
            return;
        };
        let Connecting { id, joined, early, data, queued_before, .. } = *connecting;
        self.reply_to_connect(key, id, &joined, &data);
        self.uncork(key, queued_before);
        self.trim_client(key);
        self.start_heartbeat(key);
        self.becomes_live(key);
        self.arm(key);
        for (id, request) in early {
            self.early(key, id, request);
        }
    }

    fn reply_to_connect(&mut self, key: Key, id: u32, joined: &[Admitted], data: &[u8]) {
        let unix_ms = self.now().unix_ms;
        let client_id = self.client_id(key).to_string();
        let expire_at_s =
            self.client(key).filter(|client| !client.refreshes_by_hook).map_or(0, |c| c.expire_at_s);
        let publications: Vec<_> = joined
            .iter()
            .map(|one| views::publications(&one.joined.publications, one.ticket.takes_deltas))
            .collect();
        let subs: Vec<(&str, SubscribeResult<'_>)> = joined
            .iter()
            .zip(&publications)
            .map(|(one, publications)| {
                let result = result_of(&one.joined, &one.ticket, unix_ms);
                (&*one.channel, SubscribeResult { publications, ..result })
            })
            .collect();
        let Some(Conn { session: Session::Centrifuge(session), .. }) = self.conns.entry(key) else { return };
        let transport = session.transport();
        let is_emulated = matches!(transport, Transport::Sse | Transport::HttpStream);
        let secret =
            if is_emulated { self.settings.secret.session(self.post.shard(), key) } else { String::new() };
        let node = if is_emulated { self.settings.endpoints.node.clone() } else { String::new() };
        let result = ConnectResult {
            client: &client_id,
            version: VERSION,
            expires: expire_at_s > 0,
            ttl_s: ttl_s(expire_at_s, unix_ms),
            data,
            subs: &subs,
            ping_s: self.ping_s,
            pong: self.ping_s > 0 && transport == Transport::WebSocket,
            session: &secret,
            node: &node,
            time_ms: if self.policy.connect_include_server_time { unix_ms.cast_signed() } else { 0 },
        };
        self.with_session(key, |session, _, cx| session.answer(id, &Answer::Connect(result), cx));
    }

    /// Puts the reply in `out` before all that was queued since the connection was corked, and lets it go.
    fn uncork(&mut self, key: Key, queued_before: usize) {
        let Some(conn) = self.conns.entry_mut(key) else { return };
        conn.is_corked = false;
        match conn.outbox.as_mut() {
            None => self.queue_out(key),
            Some(outbox) => {
                let reply = Shared::new(std::mem::take(&mut self.out), &self.budget);
                self.counters.outbox_bytes.add(reply.len() as u64);
                outbox.insert(queued_before, reply);
            }
        }
        self.mark_dirty(key);
    }

    /// A new token, or the refresh hook's word.
    pub(super) fn refreshed(&mut self, key: Key, id: u32, outcome: Result<Box<Credentials>, Rejected>) {
        let unix_ms = self.now().unix_ms;
        let client_id = self.client_id(key).to_string();
        let Some(client) = self.client_or_new(key) else { return };
        client.is_refreshing = false;
        let by_hook = client.refreshes_by_hook;
        let credentials = match outcome {
            Ok(credentials) => credentials,
            // While the hook fails, nobody is closed for it: it is asked again.
            Err(Rejected::Error(error)) if id == 0 && error.temporary => {
                client.expire_at_s = unix_ms / 1000 + REFRESH_AGAIN_S;
                return self.arm(key);
            }
            Err(Rejected::Error(_)) if id == 0 => {
                return self.disconnect(key, Disconnect::CONNECTION_EXPIRED);
            }
            Err(rejected) => return self.reject(key, id, rejected),
        };
        if !by_hook && credentials.user != client.user() {
            return self.disconnect(key, Disconnect::INVALID_TOKEN);
        }
        if credentials.expire_at_s > 0 && credentials.expire_at_s * 1000 <= unix_ms {
            return self.disconnect(key, Disconnect::CONNECTION_EXPIRED);
        }
        client.expire_at_s = credentials.expire_at_s;
        if !credentials.info.is_empty()
            && let Some(info) = &client.info
        {
            let conn_info = credentials.info.clone().into_boxed_slice();
            client.info = Some(Arc::new(ClientInfo { conn_info, ..ClientInfo::clone(info) }));
        }
        let (expires, ttl_s) = (client.expire_at_s > 0, ttl_s(client.expire_at_s, unix_ms));
        self.arm(key);
        if id != 0 {
            let answer = Answer::Refresh { client: &client_id, version: VERSION, expires, ttl_s };
            self.answer(key, |session, _, cx| session.answer(id, &answer, cx));
        }
    }

    /// Something of the client may have ended: the connection, or some of its subscriptions.
    pub(super) fn expire_client(&mut self, key: Key) {
        let unix_ms = self.now().unix_ms;
        let (conn_delay_ms, sub_delay_ms) =
            (self.policy.expired_close_delay_ms, self.policy.expired_sub_close_delay_ms);
        let Some(client) = self.client_mut(key) else { return };
        let Client { expire_at_s, refreshes_by_hook, is_refreshing, details, .. } = client;
        let is_due = |at_s: u64, delay_ms: u64| at_s > 0 && at_s * 1000 + delay_ms <= unix_ms;
        if *refreshes_by_hook && !*is_refreshing && is_due(*expire_at_s, 0) {
            *is_refreshing = true;
            let question = Question::Refresh { who: self.who(key) };
            if self.outside.ask(self.reply_to(key, 0), question).is_err() {
                self.disconnect(key, Disconnect::CONNECTION_EXPIRED);
            }
        } else if !*refreshes_by_hook && is_due(*expire_at_s, conn_delay_ms) {
            self.disconnect(key, Disconnect::CONNECTION_EXPIRED);
        } else if let Some(detail) = details
            .iter_mut()
            .find(|detail| !detail.is_refreshing && is_due(detail.expire_at_s, detail.delay_ms(sub_delay_ms)))
        {
            detail.is_refreshing = detail.refreshes_by_hook;
            let (id, by_hook, is_server_side) =
                (detail.channel, detail.refreshes_by_hook, detail.is_server_side);
            let channel = Arc::clone(self.local.name(id));
            if by_hook {
                return self.ask_sub_refresh(key, id, &channel);
            }
            if is_server_side {
                return self.disconnect(key, Disconnect::SUBSCRIPTION_EXPIRED);
            }
            let Unsubscribed { code, reason } = Unsubscribed::SUBSCRIPTION_EXPIRED;
            self.end_by_server(key, &channel, code, reason);
        }
    }

    /// Asks the application about a subscription that ends. The number is none that a client's command is likely to have.
    fn ask_sub_refresh(&mut self, key: Key, id: ChannelId, channel: &Arc<str>) {
        let question = Question::SubRefresh { who: self.who(key), channel: channel.to_string() };
        let request = u32::MAX - id;
        if self.outside.ask(self.reply_to(key, request), question).is_err() {
            let Unsubscribed { code, reason } = Unsubscribed::SUBSCRIPTION_EXPIRED;
            return self.end_by_server(key, channel, code, reason);
        }
        if let Some(client) = self.client_mut(key) {
            client.pending.push(Pending::HookRefresh { id: request, channel: id });
        }
    }
}
