//! Subscriptions that begin with the connection: those given by the token, a hook or the configuration, and those
//! requested in the connect command.
//!
//! Unidirectional clients, which have no other way, and clients that reconnect request subscriptions there. A client
//! gets those to which it could subscribe by a command; the others are ignored.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::Position;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Denied, Dismissed, Enter};
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::client::{Ability, First, Witness};
use crate::shard::mailbox::Cause;
use crate::shard::outside::Grant;

impl<W: World> Clients<W> {
    /// The subscriptions given to the client.
    ///
    /// # Errors
    /// When a channel's namespace does not exist.
    pub(in crate::shard) fn given_from_start(
        &self,
        user: &str,
        channels: Vec<(String, Grant)>,
        witness: Witness,
    ) -> Result<Vec<First>, Denied> {
        let is_personal = self.policy.subscribe_to_user_personal_channel && !user.is_empty();
        let personal = is_personal.then(|| self.personal_channel(user));
        let cause = if witness == Witness::Token { Cause::Token } else { Cause::Connect };
        // A channel without a name is ignored.
        let is_other = |channel: &String| !channel.is_empty() && Some(channel) != personal.as_ref();
        let told = channels.into_iter().filter(|(channel, _)| is_other(channel));
        told.map(|(channel, grant)| (channel, grant, cause))
            .chain(personal.clone().map(|channel| (channel, Grant::default(), Cause::Connect)))
            .map(|(channel, grant, cause)| {
                let options = self.options(&channel)?;
                Ok(First { channel: channel.into(), options, grant, cause })
            })
            .collect()
    }

    /// The given subscriptions, and the requested ones that are allowed. If the application admitted the client, it
    /// knows the requested channels, and its answer is final.
    ///
    /// # Errors
    /// The disconnect of a client that requests a channel without a namespace, or too many channels.
    pub(in crate::shard) fn asked_from_start(
        &self,
        key: Key,
        mut firsts: Vec<First>,
        witness: Witness,
    ) -> Result<Vec<First>, Dismissed> {
        let carry = &self.channels.carry;
        if matches!(witness, Witness::Hook | Witness::Header) {
            return Ok(firsts);
        }
        for ask in self.asks(key) {
            let options = self.options(&ask.channel).map_err(|_| Dismissed::BadRequest)?;
            let is_had = firsts.iter().any(|first| first.channel == ask.channel);
            if !is_had && self.may_from_start(key, &ask.channel, &options) {
                // Checked here: a command may name thousands, each of which is compared with the previous ones.
                if firsts.len() >= carry.limits.channels_per_connection_max {
                    carry.counters.limited_subscriptions.add(1);
                    return Err(Dismissed::ChannelLimit);
                }
                let (channel, grant) = (Arc::clone(&ask.channel), Grant::default());
                firsts.push(First { channel, options, grant, cause: Cause::Connect });
            }
        }
        Ok(firsts)
    }

    /// Whether the client could subscribe to the channel by a command, without a question outside.
    fn may_from_start(&self, key: Key, channel: &str, options: &ChannelOptions) -> bool {
        self.namespaces.takes_name(channel, options)
            && (!options.subscribe_proxy_enabled || self.allows_user(key, channel).is_some())
            && self.may(key, channel, options, Ability::Subscribe)
    }

    /// The channels in the connect command.
    fn asks(&self, key: Key) -> &[Enter] {
        let connecting = self.channels.carry.client(key).and_then(|client| client.connecting.as_ref());
        connecting.map_or(&[], |connecting| &connecting.ask.enters)
    }

    /// Asks the homes; the connect command is answered after the last answer.
    pub(in crate::shard) fn enter_from_start(&mut self, key: Key, firsts: Vec<First>) {
        let positions: Vec<Option<Position>> = firsts
            .iter()
            .map(|first| {
                let has = |ask: &&Enter| ask.since.is_some() && ask.channel == first.channel;
                self.asks(key).iter().find(has)?.since.clone()
            })
            .collect();
        // Counted before the first question: an answer may come at once.
        let Some(connecting) = self.connecting_mut(key) else { return };
        connecting.waiting_count = 1;
        for (First { channel, options, grant, cause }, since) in firsts.into_iter().zip(positions) {
            match self.channels.has_room_for(key, &channel) {
                Ok(()) => {}
                Err(Denied::TooMany) => return self.channels.close(key, CloseReason::Memory),
                Err(_) => return self.channels.dismiss(key, Dismissed::ChannelLimit),
            }
            if self.enter_granted(key, &channel, &options, grant, since, cause)
                && let Some(connecting) = self.connecting_mut(key)
            {
                connecting.waiting_count += 1;
            }
        }
        self.one_less_to_wait_for(key, None);
    }

    /// Whether a new token gives other channels than the previous one: then the client must reconnect.
    pub(in crate::shard) fn is_given_otherwise(&self, key: Key, channels: &[(String, Grant)]) -> bool {
        let mut named = channels.iter().filter(|(channel, _)| !channel.is_empty());
        let is_new = named.any(|(channel, _)| !self.is_subscribed(key, channel));
        let is_gone = |channel: &str| !channels.iter().any(|(given, _)| given == channel);
        let by_token = self.channels.carry.client(key).into_iter().flat_map(|client| &client.details);
        is_new
            || by_token
                .filter(|detail| detail.is_by_token)
                .any(|detail| is_gone(self.channels.local.name(detail.channel)))
    }

    /// The personal channel of a user.
    fn personal_channel(&self, user: &str) -> String {
        let namespace = &self.policy.personal_channel_namespace;
        let boundary = if namespace.is_empty() { "" } else { &self.namespaces.namespace_boundary };
        format!("{namespace}{boundary}{}{user}", self.namespaces.user_boundary)
    }
}
