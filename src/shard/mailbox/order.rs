//! What the server's API does to connections, as letters carry it.

use std::fmt;
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
#[derive(Debug)]
pub struct Order {
    /// To which.
    pub target: Target,
    /// What.
    pub deed: Deed,
    /// Who hears when all shards have done it.
    pub done: Done,
}

impl Order {
    /// One that nobody waits for.
    pub fn new(target: Target, deed: Deed) -> Self {
        Self { target, deed, done: Done::default() }
    }

    /// Whether it subscribes to this channel.
    pub(in crate::shard) fn subscribes_to(&self, name: &str) -> bool {
        matches!(&self.deed, Deed::Subscribe { channel, .. } if **channel == *name)
    }
}

/// Calls someone when it is dropped: when the last shard lets go of the order that it belongs to. A shard does so when it has
/// carried the order out, with all that follows from it for other shards on its way; one that has ended, too: it has no
/// connections any more. Called in the shard's thread, so it must not block.
#[derive(Default)]
pub struct Done(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Done {
    /// One that calls this.
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

/// See [`Order`].
#[derive(Clone, Debug)]
pub enum Deed {
    /// Subscribe them, without their asking. Those that are subscribed are so on these terms from now on.
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
    /// Change when they expire, and what others see of them.
    Refresh {
        /// They have expired: close them.
        expired: bool,
        /// Unix time in seconds; 0: never.
        expire_at_s: u64,
        /// What others see of them from now on; empty for what they see now.
        info: Payload,
    },
}
