//! Publishing from outside the shards without waiting: a letter to the channel's home, from whatever thread.

use super::handle::Node;
use crate::hub::DataKind;
use crate::proto::ws::Kind;

/// Publishes into channels from outside the shards: a game's loop, a feed from elsewhere. Clones are cheap.
/// [`Node::publish`] does more, tells the outcome, and costs a little more.
#[derive(Clone, Debug)]
pub struct Publisher(pub(crate) Node);

impl Publisher {
    /// Sends a message to every subscriber of a channel, behind what this handle published into it before. The data
    /// is copied once. Without history, what is published into a channel that nobody subscribes to is gone.
    ///
    /// # Errors
    /// [`Overloaded`] when the shards have yet to deliver as much as they may hold: the message was not taken.
    pub fn publish(&self, channel: &str, kind: Kind, data: &[u8]) -> Result<(), Overloaded> {
        if self.0.shards().is_overloaded() {
            return Err(Overloaded);
        }
        let kind = if kind == Kind::Text { DataKind::Text } else { DataKind::Binary };
        self.0.publish_unanswered(channel, kind, data);
        Ok(())
    }
}

/// The shards hold as many published bytes as they may: a quarter of `queued_bytes_max`. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl std::fmt::Display for Overloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the shards are overloaded with publications; try again later")
    }
}

impl std::error::Error for Overloaded {}
