//! Orders of the server API to connections, as letters carry them.

use std::fmt;
use std::sync::Arc;

use crate::base::payload::Payload;
use crate::hub::options::ChannelOptions;
use crate::shard::outside::Grant;

/// The connections of an [`Order`]: all of a user, or one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The user; empty is the anonymous user.
    pub user: String,
    /// Only the connection with this id; empty for all.
    pub client: String,
    /// Only the connection with this session id; empty for all.
    pub session: String,
}

/// An order of the server API to connections.
#[derive(Debug)]
pub struct Order {
    /// The connections.
    pub target: Target,
    /// The action.
    pub deed: Deed,
    /// Called when all shards have carried it out.
    pub done: Done,
}

impl Order {
    /// An order without a callback.
    pub fn new(target: Target, deed: Deed) -> Self {
        Self { target, deed, done: Done::default() }
    }

    /// Whether it subscribes to this channel or ends a subscription to it.
    pub(in crate::shard) fn is_about(&self, name: &str) -> bool {
        match &self.deed {
            Deed::Subscribe { channel, .. } | Deed::Unsubscribe { channel, .. } => **channel == *name,
            Deed::Message { .. } | Deed::Disconnect { .. } | Deed::Refresh { .. } => false,
        }
    }

    /// Whether it subscribes to this channel.
    pub(in crate::shard) fn subscribes_to(&self, name: &str) -> bool {
        matches!(&self.deed, Deed::Subscribe { channel, .. } if **channel == *name)
    }
}

/// Calls a function when it is dropped: when the last shard drops its order. A shard does so after it has carried the
/// order out and sent all letters that follow from it; a shard that has ended does so, too, as it has no connections.
/// Called in the shard's thread, so it must not block.
#[derive(Default)]
pub struct Done(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Done {
    /// Makes one with this function.
    pub fn telling(call: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(call)))
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Done(awaited: {})", self.0.is_some())
    }
}

/// The action of an [`Order`].
#[derive(Clone, Debug)]
pub enum Deed {
    /// Subscribe them. An active subscription continues on these terms.
    Subscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// Options of the channel.
        options: Arc<ChannelOptions>,
        /// Terms of the subscription.
        grant: Box<Grant>,
    },
    /// End their subscription.
    Unsubscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// Code for the client, 2000–2999.
        code: u32,
        /// Reason for the client.
        reason: String,
    },
    /// Send them a message outside of all channels.
    Message {
        /// The data, the same for all.
        data: Payload,
    },
    /// Close them.
    Disconnect {
        /// Code for the client, 3000–4999.
        code: u16,
        /// Reason for the client; at most 123 bytes are sent.
        reason: String,
        /// Ids of connections that are not closed.
        spared: Vec<String>,
    },
    /// Change their expiry, and their information for others.
    Refresh {
        /// Whether they have expired now, and are closed.
        expired: bool,
        /// Unix time of the expiry in seconds; 0 for never.
        expire_at_s: u64,
        /// New information for others; empty for no change.
        info: Payload,
    },
}
