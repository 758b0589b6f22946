//! Permissions of a client in a channel, by the channel's options and the client's properties.

use std::sync::Arc;

use super::Clients;
use crate::base::slots::Key;
use crate::hub::options::ChannelOptions;
use crate::hub::permissions::{
    Standing, permits_history, permits_presence, permits_publish, permits_subscribe,
};
use crate::hub::words::Denied;
use crate::shard::World;
use crate::shard::carry::client::{Ability, Client};

impl<W: World> Clients<W> {
    /// The options of a channel, or the error for a missing namespace.
    pub(in crate::shard) fn options(&self, channel: &str) -> Result<Arc<ChannelOptions>, Denied> {
        self.namespaces.resolve(channel).map(Arc::clone).ok_or(Denied::UnknownChannel)
    }

    /// The options of a channel in a client's command; an error when the namespace does not exist, or does not accept
    /// the name. The log has the reason for the latter.
    pub(in crate::shard) fn options_for_client(
        &self,
        key: Key,
        id: u32,
        channel: &str,
    ) -> Result<Arc<ChannelOptions>, Denied> {
        let options = self.options(channel)?;
        if self.namespaces.takes_name(channel, &options) {
            return Ok(options);
        }
        let detail = if options.channel_regex.as_str().is_empty() {
            "channel: not ASCII, and there is no channel_regex"
        } else {
            "channel: does not match channel_regex"
        };
        self.channels.carry.note_bad_request(key, id, detail);
        Err(Denied::BadRequest)
    }

    /// Whether the client has this permission in a channel.
    pub(in crate::shard) fn may(
        &self,
        key: Key,
        channel: &str,
        options: &ChannelOptions,
        ability: Ability,
    ) -> bool {
        // The permission to subscribe does not depend on it.
        let is_subscribed = !matches!(ability, Ability::Subscribe) && self.is_subscribed(key, channel);
        let standing = self.standing(key, channel, ability, is_subscribed);
        match ability {
            Ability::Subscribe => {
                let is_private = self.namespaces.is_private(channel);
                permits_subscribe(options, standing, is_private, self.allows_user(key, channel))
            }
            Ability::Publish => permits_publish(options, standing),
            Ability::Presence => permits_presence(options, standing),
            Ability::History => permits_history(options, standing),
        }
    }

    /// Whether the client has this permission in a channel once it is subscribed, which it is about to be.
    pub(in crate::shard) fn may_then(
        &self,
        key: Key,
        channel: &str,
        options: &ChannelOptions,
        ability: Ability,
    ) -> bool {
        let standing = self.standing(key, channel, ability, true);
        match ability {
            Ability::History => permits_history(options, standing),
            Ability::Presence => permits_presence(options, standing),
            Ability::Publish => permits_publish(options, standing),
            Ability::Subscribe => true,
        }
    }

    /// Whether a channel for certain users is for this one; `None` when it is for all.
    pub(in crate::shard) fn allows_user(&self, key: Key, channel: &str) -> Option<bool> {
        self.namespaces.allows_user(channel, self.channels.carry.client(key).map_or("", Client::user))
    }

    fn standing(&self, key: Key, channel: &str, ability: Ability, is_subscribed: bool) -> Standing {
        let client = self.channels.carry.client(key);
        Standing {
            has_user: client.is_some_and(|client| !client.user().is_empty()),
            is_subscribed,
            is_capable: client.is_some_and(|client| client.is_able(ability, channel)),
            is_insecure: self.policy.insecure,
        }
    }

    pub(in crate::shard) fn is_subscribed(&self, key: Key, channel: &str) -> bool {
        let id = self.channels.local.channel_id(channel);
        id.is_some_and(|id| {
            self.channels.carry.conns.entry(key).is_some_and(|conn| conn.slot_of(id).is_some())
        })
    }
}
