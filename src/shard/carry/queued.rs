//! Commands of a client that wait for their turn, as its connection keeps them.

use std::sync::Arc;

use crate::hub::words::Ask;
use crate::session::{CloseReason, Deferred};

/// A command that waits for its turn.
#[derive(Debug)]
pub(in crate::shard) struct Waiting {
    /// Its number.
    pub(in crate::shard) id: u32,
    /// What it asks.
    pub(in crate::shard) what: What,
}

/// See [`Waiting`].
#[derive(Debug)]
pub(in crate::shard) enum What {
    /// The session has looked at it.
    Ask(Ask),
    /// It came before its client was let in: the session has not looked at it yet.
    Early(Deferred),
    /// To enter a channel, which an order of the server has since ended: it is answered as if it had begun, and that it ended is
    /// told behind that.
    Withdrawn { channel: Arc<str>, code: u32, reason: Box<str> },
    /// The end of the connection, for what the client said or asked last: what it asked before is answered first.
    End(CloseReason),
}

impl What {
    /// Whether the answer may be large, and is gathered at once.
    pub(in crate::shard) fn is_whole(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.is_whole(),
            Self::Early(deferred) => deferred.is_whole(),
            Self::Withdrawn { .. } | Self::End(_) => false,
        }
    }

    /// The channel that it is about, if it is about one.
    pub(in crate::shard) fn channel(&self) -> Option<&str> {
        match self {
            Self::Ask(ask) => ask.channel(),
            Self::Early(deferred) => deferred.channel(),
            Self::Withdrawn { .. } | Self::End(_) => None,
        }
    }

    /// Whether the home of its channel carries it out, behind what that was asked before.
    pub(in crate::shard) fn is_for_home(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.is_for_home(),
            Self::Early(deferred) => deferred.is_for_home(),
            Self::Withdrawn { .. } | Self::End(_) => false,
        }
    }

    /// Whether someone outside of the shards may have to be asked about it.
    pub(in crate::shard) fn may_ask(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.may_ask(),
            Self::Early(deferred) => deferred.may_ask(),
            Self::Withdrawn { .. } | Self::End(_) => false,
        }
    }
}

impl Waiting {
    /// What it takes, in bytes.
    pub(in crate::shard) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.what {
                What::Ask(ask) => ask.owned_bytes(),
                What::Early(deferred) => deferred.owned_bytes(),
                What::Withdrawn { channel, reason, .. } => channel.len() + reason.len(),
                What::End(_) => 0,
            }
    }

    /// Whether it would enter this channel.
    pub(in crate::shard) fn enters(&self, channel: &str) -> bool {
        let enters = match &self.what {
            What::Ask(ask) => ask.enters(),
            What::Early(deferred) => deferred.enters(),
            What::Withdrawn { .. } | What::End(_) => None,
        };
        enters == Some(channel)
    }
}
