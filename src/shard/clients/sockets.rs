//! Clients that share a connection, each with an identity of its own: the sockets of Socket.IO.
//!
//! The session asks who a client is ([`Claim`]); a token, the client's certificate, a header of a proxy or the
//! application's hook says so, as for other clients ([`super::connect`]). Then the session asks its handler, if that is an
//! application, and subscribes the client. Identities are stored in the session, by the number of the question and later by
//! the number of the socket.
//!
//! A client that is refused for a reason of its own gets an error and stays away. Where it should come back, as after a
//! failure of the hook, the connection is closed instead.

use std::sync::Arc;

use super::Clients;
use super::expiry::{REFRESH_AGAIN_S, may_be_asked_again};
use crate::base::slots::Key;
use crate::hub::words::{Claim, Denied, Dismissed};
use crate::session::{Admission, CloseReason, Expired, Identity, LateAnswer, SocketRefusal};
use crate::shard::World;
use crate::shard::carry::client::{Witness, is_over, is_past};
use crate::shard::mailbox::{Deed, Letter, ReplyTo};
use crate::shard::outside::{
    Credentials, Headers, Hook, Question, Rejected, SocketClaim, SocketTerms, SocketVerdict, Token, Who,
};

/// Marks the number of a question that a token answers.
const BY_TOKEN: u32 = 1 << 31;
/// Marks the number of a question about the renewal of a socket, whose number it is.
const RENEWAL: u32 = 1 << 30;

impl<W: World> Clients<W> {
    /// Finds out who a client of a shared connection is.
    pub(in crate::shard) fn claim(&mut self, key: Key, id: u32, mut claim: Claim) {
        if !self.admits_claim(key, claim.is_further) {
            return self.channels.dismiss(key, Dismissed::TooMany);
        }
        if claim.is_open {
            return self.socket_authorized(key, id, SocketTerms::default(), Witness::Nobody);
        }
        let asks_hook = claim.token.is_empty() && self.outside.has_hook(Hook::SocketConnect);
        let keeps_headers = self.outside.has_hook(Hook::Refresh);
        let request_headers = std::mem::take(&mut claim.request_headers);
        let headers = match asks_hook || keeps_headers {
            true => self.headers_of(key, request_headers, &[]),
            false => Headers::default(),
        };
        if keeps_headers {
            self.keep_headers(key, &headers);
        }
        if asks_hook {
            let who =
                Who { headers, certificate: self.channels.carry.identity(key).cloned(), ..self.who(key) };
            let Claim { group, id: socket, query, data, .. } = claim;
            let claim = SocketClaim { namespace: group, id: socket, query, auth: data };
            let question = Question::SocketConnect { who, claim: Box::new(claim) };
            return self.ask_about_socket(key, id, question);
        }
        if claim.token.is_empty() {
            return match self.certificate_user(key) {
                Some(user) => self.socket_is(key, id, user, Witness::Certificate),
                None => self.socket_without_credentials(key, id),
            };
        }
        let now_s = self.channels.carry.now().unix_ms / 1000;
        match self.outside.verify_now(&Token::Connection(&claim.token), now_s) {
            Some(verdict) => self.verdict(key, id | BY_TOKEN, verdict),
            None => self.ask_about_socket(key, id | BY_TOKEN, Question::ConnectionToken(claim.token)),
        }
    }

    /// Whether the rates admit one more CONNECT. The first of a connection was counted with its request.
    fn admits_claim(&mut self, key: Key, is_further: bool) -> bool {
        let carry = &mut self.channels.carry;
        let (per_ip, in_all) = (self.rates.connects_per_ip_max, self.rates.connects_max);
        if per_ip > 0
            && let Some(address) = carry.peer(key)
            && !self.connects.take(carry.now_ms(), address, per_ip)
        {
            carry.counters.rate_limited_connects_per_ip.add(1);
            return false;
        }
        let is_admitted = !is_further || in_all == 0 || carry.rates.connects.take(carry.now_us, in_all);
        carry.counters.rate_limited_connects.add(u64::from(!is_admitted));
        is_admitted
    }

    fn ask_about_socket(&mut self, key: Key, id: u32, question: Question) {
        let carry = &mut self.channels.carry;
        if self.outside.ask(carry.reply_to(key, id), question).is_err() {
            carry.counters.rate_limited_questions.add(1);
            self.channels.dismiss(key, Dismissed::TooMany);
        }
    }

    fn socket_is(&mut self, key: Key, id: u32, user: String, witness: Witness) {
        let credentials = Credentials { user, ..Credentials::default() };
        self.socket_authorized(key, id, SocketTerms { credentials, ..SocketTerms::default() }, witness);
    }

    /// Handles a client whose identity neither a token nor the application has given.
    fn socket_without_credentials(&mut self, key: Key, id: u32) {
        let is_anonymous = self.policy.insecure || self.policy.allow_anonymous_connect_without_token;
        let conn = self.channels.carry.conns.entry(key).filter(|_| !is_anonymous);
        let header = self.policy.user_id_http_header.as_str();
        let user = conn.and_then(|conn| conn.session.kept_header(header)).unwrap_or_default().to_owned();
        match (is_anonymous, user.is_empty()) {
            (true, _) => self.socket_is(key, id, String::new(), Witness::Nobody),
            (false, false) => self.socket_is(key, id, user, Witness::Header),
            (false, true) => self.turn_away(key, id, SocketRefusal::dismissed(Dismissed::BadRequest)),
        }
    }

    /// Handles a verdict about a client of a shared connection.
    pub(in crate::shard) fn socket_verdict(&mut self, key: Key, question: u32, verdict: SocketVerdict) {
        if question & RENEWAL != 0 {
            let outcome = verdict.map(|terms| terms.credentials).map_err(|refused| refused.rejected);
            return self.socket_renewed(key, question, outcome);
        }
        let (id, witness) = match question & BY_TOKEN {
            0 => (question, Witness::Hook),
            _ => (question & !BY_TOKEN, Witness::Token),
        };
        match verdict {
            Ok(terms) => self.socket_authorized(key, id, *terms, witness),
            Err(refused) => self.reject_socket(key, id, refused.rejected, &refused.data),
        }
    }

    fn reject_socket(&mut self, key: Key, id: u32, rejected: Rejected, data: &[u8]) {
        match rejected {
            Rejected::NoCredentials => self.socket_without_credentials(key, id),
            // The client comes back by itself.
            Rejected::Denied(Denied::Internal) => self.channels.dismiss(key, Dismissed::Internal),
            Rejected::Denied(Denied::TooMany) => self.channels.dismiss(key, Dismissed::TooMany),
            Rejected::Denied(denied) => self.turn_away(key, id, SocketRefusal::denied(&denied, data)),
            Rejected::TokenExpired => {
                self.turn_away(key, id, SocketRefusal::denied(&Denied::TokenExpired, data));
            }
            Rejected::TokenInvalid => {
                self.turn_away(key, id, SocketRefusal::dismissed(Dismissed::InvalidToken));
            }
            Rejected::Disconnect { code, reason } => match SocketRefusal::ordered(code, &reason) {
                Some(refusal) => self.turn_away(key, id, refusal),
                None => self.channels.close(key, CloseReason::Ordered { code, reason }),
            },
        }
    }

    fn turn_away(&mut self, key: Key, id: u32, refusal: SocketRefusal<'_>) {
        self.channels.carry.counters.refused_sockets.add(1);
        self.with_answer(key, |session, _, cx| session.turn_away(id, &refusal, cx));
        self.channels.carry.count_held(key);
        self.channels.finish_endings();
    }

    /// Continues with an identified client: counts the connection of its user, then lets the session go on.
    fn socket_authorized(&mut self, key: Key, id: u32, terms: SocketTerms, witness: Witness) {
        let SocketTerms { credentials, state, rooms, effects } = terms;
        let Credentials { user, info, mut expire_at_s, .. } = credentials;
        if user.is_empty() && witness == Witness::Token && self.policy.disallow_anonymous_connection_tokens {
            return self.turn_away(key, id, SocketRefusal::dismissed(Dismissed::NotPermitted));
        }
        if witness == Witness::Token && self.policy.insecure {
            // Without tokens it could not be renewed.
            expire_at_s = 0;
        }
        if is_past(expire_at_s, self.channels.carry.now().unix_ms) {
            return self.turn_away(key, id, SocketRefusal::denied(&Denied::Expired, &[]));
        }
        let is_counted = !user.is_empty() && self.counts_users();
        let identity = Identity {
            user: user.as_str().into(),
            info,
            state: state.into(),
            expire_at_s,
            ..Identity::default()
        };
        let carry = &mut self.channels.carry;
        let claimant = carry.conns.entry_mut(key).and_then(|conn| conn.session.claimant(id));
        // The client may have left meanwhile.
        let Some(claimant) = claimant else { return };
        *claimant = Admission { identity, rooms, effects: effects.into() };
        if !is_counted {
            return self.admit_socket(key, id);
        }
        let (user, reply_to): (Arc<str>, _) = (user.into(), carry.reply_to(key, id));
        let home = self.channels.home_of(&user);
        self.channels.carry.post.send(home, Letter::UserCame { user, reply_to });
    }

    fn admit_socket(&mut self, key: Key, id: u32) {
        self.tell_handler(key, |session, handler, cx| session.admit(id, handler, cx));
        let carry = &mut self.channels.carry;
        carry.count_held(key);
        carry.arm(key);
        self.channels.finish_endings();
    }

    /// Handles a late answer of the server's own code.
    pub(in crate::shard) fn socket_decided(&mut self, answer: LateAnswer) {
        let LateAnswer { token, id, admit, .. } = answer;
        let key = Key::from_token(token);
        self.tell_handler(key, |session, _, cx| session.answered_late(id, admit, cx));
        let carry = &mut self.channels.carry;
        carry.count_held(key);
        carry.arm(key);
        self.channels.finish_endings();
    }

    /// Handles the answer of a user's home.
    pub(in crate::shard) fn socket_counted(&mut self, user: &Arc<str>, reply_to: ReplyTo, is_admitted: bool) {
        let (key, id) = (reply_to.conn, reply_to.request);
        let Some(conn) = self.channels.carry.conns.entry_mut(key) else { return };
        let has_user = conn.session.has_user(user);
        match (conn.session.claimant(id), is_admitted) {
            (Some(claimant), true) => {
                claimant.identity.is_counted = true;
                self.admit_socket(key, id);
            }
            (Some(_), false) => {
                self.channels.carry.counters.limited_user_connections.add(1);
                self.turn_away(key, id, SocketRefusal::dismissed(Dismissed::ConnectionLimit));
            }
            // The client left meanwhile; the home counts the connection once for all that have the user.
            (None, true) if !has_user => self.channels.tell_user_left(Arc::clone(user), key),
            (None, _) => {}
        }
    }

    /// Handles the expiry of clients of a shared connection: the application is asked, or the connection ends.
    pub(in crate::shard) fn expire_sockets(&mut self, key: Key) {
        let now_s = self.channels.carry.now().unix_ms / 1000;
        let asks_hook = self.outside.has_hook(Hook::Refresh);
        loop {
            let conn = self.channels.carry.conns.entry_mut(key);
            let Some(expired) = conn.and_then(|conn| conn.session.take_expired(now_s)) else { return };
            let Expired { number, user } = expired;
            let question = Question::Refresh { who: Who { user, ..self.who(key) } };
            let reply_to = self.channels.carry.reply_to(key, RENEWAL | u32::from(number));
            if !asks_hook || self.outside.ask(reply_to, question).is_err() {
                return self.channels.dismiss(key, Dismissed::Expired);
            }
        }
    }

    /// Handles the answer of the refresh hook.
    fn socket_renewed(&mut self, key: Key, question: u32, outcome: Result<Credentials, Rejected>) {
        let unix_ms = self.channels.carry.now().unix_ms;
        let number = u8::try_from(question & !RENEWAL).unwrap_or(u8::MAX);
        let conn = self.channels.carry.conns.entry_mut(key);
        // The socket may have ended, or an order may have set its expiry.
        let Some(identity) = conn.and_then(|conn| conn.session.refreshing(number)) else { return };
        match outcome {
            Ok(credentials) if !is_over(credentials.expire_at_s, 0, unix_ms) => {
                identity.is_refreshing = false;
                identity.expire_at_s = credentials.expire_at_s;
                if !credentials.info.is_empty() {
                    identity.info = credentials.info;
                }
            }
            // No connection is closed while the hook fails: it is asked again.
            Err(Rejected::Denied(denied)) if may_be_asked_again(&denied) => {
                identity.is_refreshing = false;
                identity.expire_at_s = unix_ms / 1000 + REFRESH_AGAIN_S;
            }
            Ok(_) | Err(_) => return self.channels.dismiss(key, Dismissed::Expired),
        }
        self.channels.carry.arm(key);
    }

    /// Carries out an order about a user for a shared connection. Those about channels are not for it.
    pub(in crate::shard) fn order_sockets(&mut self, key: Key, user: &str, deed: &Deed) {
        let unix_ms = self.channels.carry.now().unix_ms;
        match deed {
            Deed::Subscribe { .. } | Deed::Unsubscribe { .. } | Deed::Message { .. } => {}
            Deed::Disconnect { spared, .. }
                if spared.contains(&self.channels.carry.client_id(key).to_string()) => {}
            Deed::Disconnect { code, reason, .. } => self.disconnect_sockets(key, user, *code, reason),
            Deed::Refresh { expired, expire_at_s, .. } if *expired || is_over(*expire_at_s, 0, unix_ms) => {
                self.channels.dismiss(key, Dismissed::Expired);
            }
            Deed::Refresh { expire_at_s, info, .. } => {
                let Some(conn) = self.channels.carry.conns.entry_mut(key) else { return };
                conn.session.each_of_user(user, |identity| {
                    (identity.expire_at_s, identity.is_refreshing) = (*expire_at_s, false);
                    if !info.is_empty() {
                        identity.info = info.clone();
                    }
                });
                self.channels.carry.arm(key);
            }
        }
    }

    /// Disconnects a user: its sockets, so that their client stays away, or, if it is to come back, the connection.
    fn disconnect_sockets(&mut self, key: Key, user: &str, code: u16, reason: &str) {
        self.channels.deliver_before(key, None);
        let close = CloseReason::Ordered { code, reason: reason.to_owned() };
        let Some(refusal) = SocketRefusal::ordered(code, reason) else {
            return self.channels.close(key, close);
        };
        let is_last = self
            .with_answer(key, |session, handler, cx| session.disconnect_user(user, &refusal, handler, cx));
        if is_last == Some(true) {
            self.channels.close(key, close);
        }
    }
}
