//! Publishing from any thread without waiting: a letter to the channel's home.

use super::handle::Node;
use crate::hub::DataKind;
use crate::proto::ws::Kind;

/// A handle for publishing from outside the shards: a game's loop, a feed. Clones are cheap.
/// [`Node::publish`] has more options, returns the outcome, and costs a little more.
#[derive(Clone, Debug)]
pub struct Publisher(pub(crate) Node);

impl Publisher {
    /// Sends a message to every subscriber of a channel, after earlier messages of this handle to that channel. The
    /// data is copied once. Without history, a message to a channel without subscribers is lost.
    ///
    /// # Errors
    /// [`Overloaded`] when the limit of published bytes in the shards is reached: the message was not accepted.
    pub fn publish(&self, channel: &str, kind: Kind, data: &[u8]) -> Result<(), Overloaded> {
        if self.0.shards().is_overloaded() {
            return Err(Overloaded);
        }
        let kind = if kind == Kind::Text { DataKind::Text } else { DataKind::Binary };
        self.0.publish_unanswered(channel, kind, data);
        Ok(())
    }
}

/// The limit of published bytes in the shards is reached: a quarter of `queued_bytes_max`. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl std::fmt::Display for Overloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the shards are overloaded with publications; try again later")
    }
}

impl std::error::Error for Overloaded {}
