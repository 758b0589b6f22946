//! Waiting commands of a client, as its connection stores them.

use std::sync::Arc;

use super::client::Pending;
use crate::base::heap;
use crate::hub::words::{Ask, Denied};
use crate::session::{CloseReason, Deferred};
use crate::shard::outside::Question;

/// A command that waits for its turn.
#[derive(Debug)]
pub(in crate::shard) struct Waiting {
    /// Number of the command.
    pub(in crate::shard) id: u32,
    /// Content of the command.
    pub(in crate::shard) what: What,
}

/// The content of a [`Waiting`] command.
#[derive(Debug)]
pub(in crate::shard) enum What {
    /// A command that the session has decoded.
    Ask(Ask),
    /// A command that came before its client was admitted, not decoded yet.
    Early(Deferred),
    /// A subscription that an order of the server has ended since: it is answered as if it had begun, followed by the
    /// unsubscribe push.
    Withdrawn { channel: Arc<str>, code: u32, reason: Box<str> },
    /// A command that is refused: earlier commands are answered first.
    Denied(Denied),
    /// A command about which the outside is asked after earlier commands are carried out.
    Question(Box<(Question, Pending)>),
    /// The end of the connection, because of the client's last message or command: earlier commands are answered
    /// first.
    End(CloseReason),
}

impl What {
    /// Whether the answer may be large, and is gathered at once.
    pub(in crate::shard) fn is_whole(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.is_whole(),
            Self::Early(deferred) => deferred.is_whole(),
            Self::Withdrawn { .. } | Self::Denied(_) | Self::Question(_) | Self::End(_) => false,
        }
    }

    /// The channel that the command concerns, if any.
    pub(in crate::shard) fn channel(&self) -> Option<&str> {
        match self {
            Self::Ask(ask) => ask.channel(),
            Self::Early(deferred) => deferred.channel(),
            Self::Withdrawn { .. } | Self::Denied(_) | Self::Question(_) | Self::End(_) => None,
        }
    }

    /// Whether the home of its channel carries it out, after earlier commands.
    pub(in crate::shard) fn is_for_home(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.is_for_home(),
            Self::Early(deferred) => deferred.is_for_home(),
            Self::Withdrawn { .. } | Self::Denied(_) | Self::Question(_) | Self::End(_) => false,
        }
    }

    /// Whether it may need a question outside the shards.
    pub(in crate::shard) fn may_ask(&self) -> bool {
        match self {
            Self::Ask(ask) => ask.may_ask(),
            Self::Early(deferred) => deferred.may_ask(),
            Self::Withdrawn { .. } | Self::Denied(_) | Self::Question(_) | Self::End(_) => false,
        }
    }
}

impl Waiting {
    /// Size in bytes.
    pub(in crate::shard) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.what {
                What::Ask(ask) => ask.owned_bytes(),
                What::Early(deferred) => deferred.owned_bytes(),
                What::Withdrawn { channel, reason, .. } => channel.len() + reason.len(),
                // The pending command counts its question, too.
                What::Question(asked) => heap::piece(size_of_val(&**asked)) + asked.1.bytes(),
                What::Denied(Denied::Custom { message, .. }) => message.len(),
                What::Denied(_) | What::End(_) => 0,
            }
    }

    /// Whether it would subscribe to this channel.
    pub(in crate::shard) fn enters(&self, channel: &str) -> bool {
        let enters = match &self.what {
            What::Ask(ask) => ask.enters(),
            What::Early(deferred) => deferred.enters(),
            What::Question(asked) => return asked.1.subscribes_to(channel),
            What::Withdrawn { .. } | What::Denied(_) | What::End(_) => None,
        };
        enters == Some(channel)
    }
}
