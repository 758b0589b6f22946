//! What the server's API does to connections, as letters carry it.

use std::sync::Arc;

use crate::base::payload::Payload;
use crate::hub::options::ChannelOptions;
use crate::shard::outside::Grant;

/// Which connections an [`Order`] is for: those of the user, or of those the one named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The user; empty is the anonymous user.
    pub user: String,
    /// Only the connection with this id; empty for all.
    pub client: String,
    /// Only the connection with this session id; empty for all.
    pub session: String,
}

/// What the server's API does to connections.
#[derive(Clone, Debug)]
pub struct Order {
    /// To which.
    pub target: Target,
    /// What.
    pub deed: Deed,
}

/// See [`Order`].
#[derive(Clone, Debug)]
pub enum Deed {
    /// Subscribe them, without their asking.
    Subscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// On which terms.
        grant: Box<Grant>,
    },
    /// End their subscription.
    Unsubscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// 2000–2999, told to the client.
        code: u32,
        /// Told to the client.
        reason: String,
    },
    /// Tell them something, outside of all channels.
    Message {
        /// The same for all.
        data: Payload,
    },
    /// Close them.
    Disconnect {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes are sent.
        reason: String,
        /// But not these connections.
        spared: Vec<String>,
    },
    /// Change when they expire.
    Refresh {
        /// They have expired: close them.
        expired: bool,
        /// Unix time in seconds; 0: never.
        expire_at_s: u64,
    },
}
