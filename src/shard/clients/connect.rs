//! The connect command: the client's identity, its first subscriptions, and the one reply that contains all of it.
//!
//! Until that reply is written, nothing else may reach the client: the connection is corked, and deliveries of its
//! server-side subscriptions wait in its outbox, after the reply.

use std::net::IpAddr;
use std::sync::Arc;

use super::Clients;
use super::waiting::{Needs, needs_of};
use crate::base::by_address::ByAddress;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::ClientInfo;
use crate::hub::codes::{CodeOutcome, rule_for};
use crate::hub::home::Joined;
use crate::hub::words::{Denied, Dismissed, Entered, Identified, Identify, Reply};
use crate::session::{CloseReason, Transport};
use crate::shard::World;
use crate::shard::carry::client::{Connecting, JoinedAtConnect, Witness, entered, is_past, ttl_s};
use crate::shard::counters::CLIENT_NAMES_MAX;
use crate::shard::mailbox::Ticket;
use crate::shard::options::Rates;
use crate::shard::outside::{Credentials, Headers, Hook, Question, Rejected, Token, Who};

/// Recent connects, counted for the rate by address.
#[derive(Debug, Default)]
pub(in crate::shard) struct Connects {
    by_ip: ByAddress,
}

impl Connects {
    /// Counts a connect from an address; returns false when it is one too many.
    pub(in crate::shard) fn take(&mut self, now_ms: u64, address: IpAddr, per_s: u32) -> bool {
        self.by_ip.take(now_ms, address, per_s)
    }
}

impl<W: World> Clients<W> {
    /// Removes addresses without recent connects.
    pub(in crate::shard) fn forget_connects(&mut self) {
        let now_ms = self.channels.carry.now_ms();
        self.connects.by_ip.ease(now_ms, self.rates.connects_per_ip_max);
    }

    pub(in crate::shard) fn connect(&mut self, key: Key, id: u32, mut ask: Identify) {
        if !self.admits_connect(key) {
            return self.reject_connect(key, id, Rejected::Denied(Denied::TooMany));
        }
        let request_headers = std::mem::take(&mut ask.request_headers);
        let headers = self.headers_of(key, request_headers, &ask.headers);
        self.keep_headers(key, &headers);
        let asks_hook = ask.token.is_empty() && self.outside.has_hook(Hook::Connect);
        if ask.token.is_empty()
            && !asks_hook
            && let Some(user) = self.certificate_user(key)
        {
            self.begin_connecting(key, id, ask, Witness::Certificate);
            let credentials = Credentials { user, ..Credentials::default() };
            return self.authorized(key, credentials, Witness::Certificate);
        }
        let header_user = self.header_user(&headers);
        if ask.token.is_empty() && !asks_hook {
            self.begin_connecting(key, id, ask, Witness::Nobody);
            return self.without_credentials(key, header_user);
        }
        let hook = asks_hook.then(|| Question::Connect {
            who: Who { headers, certificate: self.channels.carry.identity(key).cloned(), ..self.who(key) },
            name: ask.name.clone(),
            version: ask.version.clone(),
            data: ask.data.clone(),
            channels: ask.enters.iter().map(|enter| enter.channel.to_string()).collect(),
        });
        let witness = if hook.is_some() { Witness::Hook } else { Witness::Token };
        let token = ask.token.clone();
        self.begin_connecting(key, id, ask, witness);
        if let Some(connecting) = self.connecting_mut(key) {
            connecting.header_user = header_user;
        }
        let question = match hook {
            Some(question) => question,
            None => {
                let now_s = self.channels.carry.now().unix_ms / 1000;
                if let Some(verdict) = self.outside.verify_now(&Token::Connection(&token), now_s) {
                    return self.verdict(key, id, verdict);
                }
                Question::ConnectionToken(token)
            }
        };
        if self.outside.ask(self.channels.carry.reply_to(key, id), question).is_err() {
            self.channels.carry.counters.rate_limited_questions.add(1);
            self.reject_connect(key, id, Rejected::Denied(Denied::TooMany));
        }
    }

    /// The user in the client's certificate, if that is enough to connect.
    pub(in crate::shard) fn certificate_user(&self, key: Key) -> Option<String> {
        let is_enough = self.policy.allow_certificate_connect_without_token;
        self.channels.carry.identity(key).filter(|_| is_enough).map(|identity| identity.name.to_string())
    }

    /// The user that a proxy names in the request; empty for none.
    fn header_user(&self, headers: &Headers) -> String {
        let name = self.policy.user_id_http_header.as_str();
        let named =
            headers.request.iter().find(|(known, _)| !name.is_empty() && known.eq_ignore_ascii_case(name));
        named.map_or_else(String::new, |(_, user)| user.clone())
    }

    /// Handles a client whose identity neither a token nor the application has given. If anonymous clients are
    /// allowed, it is anonymous, even if a proxy names a user.
    pub(in crate::shard) fn without_credentials(&mut self, key: Key, header_user: String) {
        let (user, witness) = if self.policy.insecure || self.policy.allow_anonymous_connect_without_token {
            (String::new(), Witness::Nobody)
        } else if header_user.is_empty() {
            return self.channels.close(key, CloseReason::BadRequest);
        } else {
            (header_user, Witness::Header)
        };
        self.authorized(key, Credentials { user, ..Credentials::default() }, witness);
    }

    fn begin_connecting(&mut self, key: Key, id: u32, ask: Identify, witness: Witness) {
        let carry = &mut self.channels.carry;
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        conn.is_corked = true;
        let queued_before = conn.outbox.as_ref().map_or(0, |outbox| outbox.segment_count());
        let connecting = Connecting {
            id,
            witness,
            ask,
            header_user: String::new(),
            queued_before,
            waiting_count: 0,
            joined: Vec::new(),
            data: Payload::default(),
            firsts: Vec::new(),
            orders: None,
        };
        if let Some(client) = carry.client_or_new(key) {
            client.connecting = Some(Box::new(connecting));
        }
    }

    /// Rejects a client. After an error it may send another connect command, until the connect deadline; if no error
    /// can be sent, its connection ends.
    pub(in crate::shard) fn reject_connect(&mut self, key: Key, id: u32, rejected: Rejected) {
        let carry = &mut self.channels.carry;
        carry.touch_client(key);
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        conn.session.refused();
        let is_uni = conn.session.transport().is_some_and(Transport::is_uni);
        conn.is_corked = conn.has_left;
        if let Some(client) = conn.client.as_mut() {
            client.connecting = None;
        }
        if is_uni && let Some(reason) = self.uni_reason(key, &rejected) {
            return self.channels.close(key, reason);
        }
        if is_uni && let Some(reason) = without_reply(&rejected) {
            return self.channels.dismiss(key, reason);
        }
        self.reject(key, id, rejected);
        // Before a later connect command corks the connection again.
        self.channels.carry.flush(key);
        self.channels.finish_endings();
        self.resume_waiting(key);
        self.channels.carry.trim_client(key);
    }

    /// The reason for ending a connection that cannot receive this error: a configured disconnect, or, if the error
    /// becomes an HTTP response, the error itself, for the session.
    fn uni_reason(&self, key: Key, rejected: &Rejected) -> Option<CloseReason> {
        let expired = Denied::TokenExpired;
        let denied = match rejected {
            Rejected::Denied(denied) => denied,
            Rejected::TokenExpired => &expired,
            Rejected::TokenInvalid | Rejected::NoCredentials | Rejected::Disconnect { .. } => return None,
        };
        let session = &self.channels.carry.conns.entry(key)?.session;
        let (code, message) = session.code_of(denied)?;
        if session.is_head_held() {
            let code = u16::try_from(code).unwrap_or(u16::MAX);
            return Some(CloseReason::Ordered { code, reason: message.to_owned() });
        }
        match rule_for(&self.policy.uni_disconnects, code) {
            Some(CodeOutcome::Disconnect { code, reason }) => {
                Some(CloseReason::Ordered { code: *code, reason: reason.clone() })
            }
            Some(CodeOutcome::Error { .. } | CodeOutcome::Response { .. }) | None => None,
        }
    }

    /// Rejects a command as decided outside.
    pub(in crate::shard) fn reject(&mut self, key: Key, id: u32, rejected: Rejected) {
        match rejected {
            Rejected::Denied(denied) => self.deny_in_turn(key, id, denied),
            Rejected::TokenExpired => self.deny_in_turn(key, id, Denied::TokenExpired),
            Rejected::TokenInvalid => self.dismiss_by_word(key, Dismissed::InvalidToken),
            Rejected::NoCredentials => self.dismiss_by_word(key, Dismissed::BadRequest),
            Rejected::Disconnect { code, reason } => {
                self.close_by_word(key, CloseReason::Ordered { code, reason });
            }
        }
    }

    /// Continues with an identified client: starts its first subscriptions, then answers.
    pub(in crate::shard) fn authorized(&mut self, key: Key, mut credentials: Credentials, witness: Witness) {
        let is_anonymous = credentials.user.is_empty();
        if is_anonymous && witness == Witness::Token && self.policy.disallow_anonymous_connection_tokens {
            return self.channels.dismiss(key, Dismissed::NotPermitted);
        }
        let Some(id) = self.connecting_mut(key).map(|connecting| connecting.id) else { return };
        if witness == Witness::Token && self.policy.insecure {
            // Without tokens it could not be renewed.
            credentials.expire_at_s = 0;
        }
        if is_past(credentials.expire_at_s, self.channels.carry.now().unix_ms) {
            return self.reject_connect(key, id, Rejected::Denied(Denied::Expired));
        }
        let channels = std::mem::take(&mut credentials.channels);
        let given = match self.given_from_start(&credentials.user, channels, witness) {
            Ok(given) => given,
            Err(denied) => return self.reject_connect(key, id, Rejected::Denied(denied)),
        };
        self.remember(key, credentials);
        match self.asked_from_start(key, given, witness) {
            Ok(firsts) => self.count_user(key, firsts),
            Err(reason) => self.channels.dismiss(key, reason),
        }
    }

    /// Stores the properties of the client.
    fn remember(&mut self, key: Key, credentials: Credentials) {
        let Credentials { user, info, expire_at_s, data, caps, meta, .. } = credentials;
        let carry = &mut self.channels.carry;
        let client_id = carry.client_id(key).to_string().into_boxed_str();
        // Whoever identified the client: with the hook, clients send no tokens to refresh.
        let hook_refreshes = self.outside.has_hook(Hook::Refresh);
        let Some(client) = carry.client_mut(key) else { return };
        if !user.is_empty() || !info.is_empty() {
            let (user, conn_info) = (user.into_boxed_str(), info);
            let info = ClientInfo { user, client: client_id, conn_info, chan_info: Payload::default() };
            client.info = Some(Arc::new(info));
        }
        client.expire_at_s = expire_at_s;
        client.refreshes_by_hook = hook_refreshes;
        client.caps = caps;
        client.meta = meta.into_boxed_slice();
        if let Some(connecting) = client.connecting.as_mut() {
            connecting.data = data;
            connecting.orders = Some(Vec::new());
        }
    }

    pub(in crate::shard) fn connecting_mut(&mut self, key: Key) -> Option<&mut Connecting> {
        self.channels.carry.client_mut(key)?.connecting.as_deref_mut()
    }

    /// Records the answer to a server-side subscription, and replies after the last.
    pub(in crate::shard) fn one_less_to_wait_for(
        &mut self,
        key: Key,
        admitted: Option<(Arc<str>, Box<Joined>, Box<Ticket>)>,
    ) {
        let Some(connecting) = self.connecting_mut(key) else { return };
        connecting.waiting_count = connecting.waiting_count.saturating_sub(1);
        if let Some((channel, joined, ticket)) = admitted {
            connecting.joined.push(JoinedAtConnect { channel, joined, ticket });
        }
        if connecting.waiting_count > 0 {
            return;
        }
        let carry = &mut self.channels.carry;
        let needs = carry.client(key).and_then(|client| client.connecting.as_deref()).map(|connecting| {
            let one = |one: &JoinedAtConnect| {
                needs_of(carry.telling(key, one.ticket.takes_deltas), &one.joined.publications)
            };
            connecting.joined.iter().map(one).sum()
        });
        let needs: Needs = needs.unwrap_or_default();
        // While it connects: publications after the reply are not sent without it.
        if needs.queued > 0 && !self.has_room_for_answer(key, needs) {
            return self.channels.dismiss(key, Dismissed::TooMany);
        }
        let Some(connecting) =
            self.channels.carry.client_mut(key).and_then(|client| client.connecting.take())
        else {
            return;
        };
        let Connecting { id, joined, data, queued_before, orders, ask, .. } = *connecting;
        self.reply_to_identify(key, id, &joined, &data);
        self.uncork(key, queued_before);
        let place = place_of(&ask.name, &self.client_names);
        let carry = &mut self.channels.carry;
        carry.count_client(key, place);
        carry.start_heartbeat(key);
        carry.becomes_live(key);
        carry.arm(key);
        self.resume_waiting(key);
        self.carry_out_waiting(key, orders.unwrap_or_default());
        self.channels.carry.trim_client(key);
    }

    fn reply_to_identify(&mut self, key: Key, id: u32, joined: &[JoinedAtConnect], data: &Payload) {
        let carry = &mut self.channels.carry;
        let unix_ms = carry.now().unix_ms;
        let expire_at_s =
            carry.client(key).filter(|client| !client.refreshes_by_hook).map_or(0, |c| c.expire_at_s);
        let entered: Vec<Entered<'_>> =
            joined.iter().map(|one| entered(&one.channel, &one.joined, &one.ticket, unix_ms)).collect();
        let identified = Identified {
            ttl_s: ttl_s(expire_at_s, unix_ms),
            data: data.get(),
            entered: &entered,
            ping_s: self.ping_s,
            time_ms: if self.policy.connect_include_server_time { unix_ms.cast_signed() } else { 0 },
        };
        let reply = Reply::Identified(identified);
        let outcome = carry.with_session(key, |session, handler, cx| session.reply(id, &reply, handler, cx));
        debug_assert!(matches!(outcome, None | Some(Ok(()))), "who is let in goes on");
    }

    /// Puts the reply in `out` before all data that was queued since the connection was corked, and uncorks it.
    fn uncork(&mut self, key: Key, queued_before: usize) {
        let carry = &mut self.channels.carry;
        let Some(conn) = carry.conns.entry_mut(key) else { return };
        conn.is_corked = conn.has_left;
        if conn.outbox.is_none() || conn.has_left {
            carry.queue_out(key);
        } else {
            let reply = carry.take_out();
            carry.counters.outbox_bytes.add(reply.len() as u64);
            if let Some(outbox) = carry.conns.entry_mut(key).and_then(|conn| conn.outbox.as_mut()) {
                outbox.insert(queued_before, reply);
            }
            carry.count_queues(key);
        }
        carry.mark_dirty(key);
        self.channels.finish_endings();
    }

    /// Whether the rates admit one more connect command. The first of a connection was counted with its request.
    pub(in crate::shard) fn admits_connect(&mut self, key: Key) -> bool {
        let carry = &mut self.channels.carry;
        let now_ms = carry.now_ms();
        let Rates { connects_max, connects_per_ip_max, .. } = self.rates;
        if connects_per_ip_max > 0
            && let Some(address) = carry.peer(key)
            && !self.connects.take(now_ms, address, connects_per_ip_max)
        {
            carry.counters.rate_limited_connects_per_ip.add(1);
            return false;
        }
        let is_first = carry.conns.entry(key).is_some_and(|conn| !conn.session.was_refused());
        let is_admitted =
            is_first || connects_max == 0 || carry.rates.connects.take(carry.now_us, connects_max);
        carry.counters.rate_limited_connects.add(u64::from(!is_admitted));
        is_admitted
    }
}

/// Indexes of clients without a program name, and with one that is not configured.
const NAMELESS: u8 = 0;
const OTHER_NAME: u8 = 1;
/// Index of the first configured name.
const FIRST_NAME: u8 = 2;

/// The index by which clients with this name are counted.
fn place_of(name: &str, known: &[String]) -> u8 {
    if name.is_empty() {
        return NAMELESS;
    }
    let places = FIRST_NAME..u8::try_from(CLIENT_NAMES_MAX).unwrap_or(u8::MAX);
    known.iter().zip(places).find(|(one, _)| *one == name).map_or(OTHER_NAME, |(_, place)| place)
}

/// The disconnect for an error of a client that cannot receive a reply.
fn without_reply(rejected: &Rejected) -> Option<Dismissed> {
    match rejected {
        Rejected::Denied(Denied::TooMany) => Some(Dismissed::TooMany),
        Rejected::TokenExpired
        | Rejected::Denied(Denied::TokenExpired | Denied::Expired | Denied::Custom { code: 109 | 110, .. }) => {
            Some(Dismissed::Expired)
        }
        // The hook failed, or returned an error of its own that cannot be sent; or a token names a channel that is
        // not configured. The client reconnects, as that may change.
        Rejected::Denied(Denied::Internal | Denied::UnknownChannel | Denied::Custom { .. }) => {
            Some(Dismissed::Internal)
        }
        Rejected::Denied(_) => Some(Dismissed::BadRequest),
        Rejected::TokenInvalid | Rejected::NoCredentials | Rejected::Disconnect { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_clients_call_themselves_there_are_as_many_places_as_names() {
        let known: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        assert_eq!(place_of("", &known), NAMELESS);
        assert_eq!((place_of("p0", &known), place_of("p13", &known)), (2, 15));
        for stranger in ["p14", "p", "P0", "\u{0}", &"x".repeat(10_000)] {
            assert_eq!(place_of(stranger, &known), OTHER_NAME, "{stranger}");
        }
    }

    /// The disconnects of a client without replies: it reconnects after all of these but the last.
    #[test]
    fn who_gets_no_reply_is_told_by_its_end() {
        let custom = |code, temporary| Denied::Custom { code, message: "".into(), temporary };
        for (denied, expected) in [
            (custom(1000, false), Dismissed::Internal),
            (custom(1000, true), Dismissed::Internal),
            (custom(109, false), Dismissed::Expired),
            (custom(110, false), Dismissed::Expired),
            (Denied::TokenExpired, Dismissed::Expired),
            (Denied::Internal, Dismissed::Internal),
            (Denied::UnknownChannel, Dismissed::Internal),
            (Denied::TooMany, Dismissed::TooMany),
            (Denied::BadRequest, Dismissed::BadRequest),
        ] {
            assert_eq!(without_reply(&Rejected::Denied(denied.clone())), Some(expected), "{denied:?}");
        }
        assert_eq!(without_reply(&Rejected::TokenExpired), Some(Dismissed::Expired));
        assert_eq!(without_reply(&Rejected::TokenInvalid), None);
    }
}
