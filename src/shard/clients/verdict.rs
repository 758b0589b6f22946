//! Verdicts from outside, passed to the commands and renewals that wait for them.

use std::sync::Arc;

use super::Clients;
use super::command::Spoken;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::DataKind;
use crate::hub::home::Terms;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Reply};
use crate::shard::World;
use crate::shard::carry::client::Pending;
use crate::shard::channels::orphans::Orphan;
use crate::shard::mailbox::ReplyTo;
use crate::shard::outside::{Credentials, Grant, Rejected, Replaced, SocketRejected, SocketTerms, Verdict};

impl<W: World> Clients<W> {
    /// Handles a verdict about a connection. It is dropped if it is no longer awaited.
    ///
    /// `id` is the number of the question; for a connect command, of which there is one at a time, also the command's
    /// number.
    pub(in crate::shard) fn verdict(&mut self, key: Key, id: u32, verdict: Verdict) {
        match verdict {
            Verdict::Socket(outcome) => self.socket_verdict(key, id, outcome),
            Verdict::Connection(outcome) if self.is_shared(key) => {
                let terms = |credentials: Box<Credentials>| {
                    Box::new(SocketTerms { credentials: *credentials, ..SocketTerms::default() })
                };
                let refused = |rejected| SocketRejected { rejected, data: Vec::new() };
                self.socket_verdict(key, id, outcome.map(terms).map_err(refused));
            }
            Verdict::Connection(outcome) => {
                let witness = self.connecting_mut(key).map(|connecting| connecting.witness);
                match (witness, outcome) {
                    (None, outcome) => self.refresh_verdict(key, id, outcome),
                    (Some(witness), Ok(credentials)) => self.authorized(key, *credentials, witness),
                    (Some(_), Err(Rejected::NoCredentials)) => {
                        let user = self.connecting_mut(key).map(|one| std::mem::take(&mut one.header_user));
                        self.without_credentials(key, user.unwrap_or_default());
                    }
                    (Some(_), Err(rejected)) => self.reject_connect(key, id, rejected),
                }
            }
            Verdict::Subscription(outcome) => self.subscription_verdict(key, id, outcome),
            Verdict::Publish(outcome) => self.publish_verdict(key, id, outcome),
            Verdict::Rpc(outcome) => self.call_verdict(key, id, outcome),
            Verdict::SocketEvents(outcome) => return self.events_judged(key, id, outcome),
        }
        self.resume_waiting(key);
        self.channels.carry.trim_client(key);
    }

    /// Whether several clients share the connection.
    fn is_shared(&self, key: Key) -> bool {
        self.channels.carry.conns.entry(key).is_some_and(|conn| conn.session.is_shared())
    }

    fn call_verdict(&mut self, key: Key, question: u32, outcome: Result<Payload, Rejected>) {
        let Some(Pending::Call { id }) = self.asked(key, question) else { return };
        match outcome {
            Ok(result) if self.has_room_for_result(key, result.held_bytes()) => {
                self.answer(key, id, &Reply::Called(result.get()));
            }
            Ok(_) => self.deny_in_turn(key, id, Denied::TooMany),
            Err(rejected) => self.reject(key, id, rejected),
        }
    }

    /// The command or renewal of this question, if it still waits.
    fn asked(&mut self, key: Key, question: u32) -> Option<Pending> {
        self.channels.carry.client_mut(key)?.take_pending(question)
    }

    fn refresh_verdict(&mut self, key: Key, question: u32, outcome: Result<Box<Credentials>, Rejected>) {
        let (id, is_overtaken) = match self.asked(key, question) {
            Some(Pending::Refresh { id, is_overtaken }) => (id, is_overtaken),
            // The server itself asked the hook.
            Some(_) | None => (0, false),
        };
        self.refreshed(key, id, is_overtaken, outcome);
    }

    fn subscription_verdict(&mut self, key: Key, question: u32, outcome: Result<Box<Grant>, Rejected>) {
        self.judge_subscription(key, question, outcome);
        self.carry_out_late(key);
    }

    fn judge_subscription(&mut self, key: Key, question: u32, outcome: Result<Box<Grant>, Rejected>) {
        let Some(pending) = self.asked(key, question) else { return };
        let id = pending.id();
        if let Pending::HookRefresh { channel } = pending {
            return self.hook_refreshed(key, channel, outcome);
        }
        let grant = match outcome {
            _ if matches!(pending, Pending::Answered) => return,
            Ok(grant) => grant,
            Err(rejected) => return self.not_granted(key, id, &pending, rejected),
        };
        match pending {
            Pending::Subscribe { ask, .. } => self.subscribe_granted(key, id, *ask, *grant),
            Pending::SubRefresh { channel, is_over, .. } => {
                self.sub_refreshed(key, id, &channel, *grant, is_over);
            }
            Pending::Publish { .. }
            | Pending::Granted { .. }
            | Pending::Renewing { .. }
            | Pending::HookRefresh { .. }
            | Pending::Refresh { .. }
            | Pending::Call { .. }
            | Pending::Answered => {}
        }
    }

    /// Handles a rejected subscription or renewal.
    fn not_granted(&mut self, key: Key, id: u32, pending: &Pending, rejected: Rejected) {
        match (pending, rejected) {
            (Pending::Subscribe { .. }, Rejected::TokenInvalid) => {
                self.deny_in_turn(key, id, Denied::NotPermitted);
            }
            // After an error alone the official clients would give up the channel; so they are made to subscribe with
            // a new token.
            (Pending::SubRefresh { channel, is_over: false, .. }, Rejected::TokenExpired) => {
                self.subscription_expired(key, channel);
                self.deny_in_turn(key, id, Denied::TokenExpired);
            }
            (_, rejected) => self.reject(key, id, rejected),
        }
    }

    /// Whether the grant is for this client and this channel.
    pub(in crate::shard) fn is_for(&self, key: Key, channel: &str, grant: &Grant) -> bool {
        let carry = &self.channels.carry;
        let user = carry.client(key).map_or("", |client| client.user());
        let is_client = grant.client.is_empty() || grant.client == carry.client_id(key).to_string();
        (grant.channel.is_empty() || grant.channel == channel) && grant.user == user && is_client
    }

    fn publish_verdict(&mut self, key: Key, question: u32, outcome: Result<Replaced, Rejected>) {
        let Some(Pending::Publish { id, channel, kind, data }) = self.asked(key, question) else { return };
        let replaced = match outcome {
            Ok(replaced) => replaced,
            Err(rejected) => return self.reject(key, id, rejected),
        };
        match self.options(&channel) {
            Ok(options) => {
                let (message, terms) = allowed(replaced, channel, (kind, data), &options);
                self.publish(key, id, message, options, terms);
            }
            Err(denied) => self.deny_in_turn(key, id, denied),
        }
    }

    /// Handles a verdict about a connection that has ended: a publication that it allows is published.
    pub(in crate::shard) fn verdict_after_end(&mut self, question: ReplyTo, verdict: Verdict) {
        let Verdict::Publish(outcome) = verdict else { return };
        let Some(Orphan { channel, kind, data, info, .. }) = self.channels.orphans.take(question) else {
            return;
        };
        if let (Ok(replaced), Ok(options)) = (outcome, self.options(&channel)) {
            let (message, terms) = allowed(replaced, channel, (kind, data), &options);
            self.send_publication(message, info, options, terms, (None, None));
        }
    }
}

/// The publication that a hook has allowed.
fn allowed(
    Replaced { data: other, skip_history }: Replaced,
    channel: Arc<str>,
    (kind, data): (DataKind, Vec<u8>),
    options: &ChannelOptions,
) -> (Spoken, Terms) {
    let (kind, data) = match other.as_ref().map(Payload::get) {
        None => (kind, data),
        Some(other) => (DataKind::of(other), other.bytes().to_vec()),
    };
    let message = Spoken { channel, kind, data, is_delta: options.delta_publish, home: None };
    (message, Terms { skip_history, ..Terms::default() })
}
