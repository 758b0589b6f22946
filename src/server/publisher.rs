//! Publishing from outside the shards: a letter to the channel's home, from whatever thread.

use std::sync::Arc;

use crate::base::budget::Budget;
use crate::base::shared::Shared;
use crate::hub::home::Terms;
use crate::hub::options::Namespaces;
use crate::hub::{DataKind, Publication, home_of};
use crate::proto::ws::Kind;
use crate::shard::mailbox::{Letter, Mailbox};

/// Publishes into channels from outside the shards: a game's loop, a feed from elsewhere. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) publication_budget: Budget,
    pub(super) seed: u64,
    pub(super) namespaces: Arc<Namespaces>,
}

impl Publisher {
    /// Sends a message to every subscriber of a channel, behind what this handle published into it before. The data
    /// is copied once. Channels exist while someone subscribes; what is published into no channel is gone.
    ///
    /// # Errors
    /// [`Overloaded`] when the shards have yet to deliver as much as they may hold: the message was not taken.
    pub fn publish(&self, channel: &str, kind: Kind, data: &[u8]) -> Result<(), Overloaded> {
        if self.publication_budget.is_exhausted() {
            return Err(Overloaded);
        }
        let shard_count = u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX);
        let home = home_of(channel, self.seed, shard_count);
        let data = Shared::new(data.to_vec(), &self.publication_budget);
        let kind = if kind == Kind::Text { DataKind::Text } else { DataKind::Binary };
        let publication = Box::new(Publication::new(channel.into(), kind, data));
        let options = Arc::clone(&self.namespaces.without_namespace);
        let letter = Letter::Publish { publication, options, terms: Terms::default(), asker: None };
        self.mailboxes[usize::from(home)].put(&mut vec![letter]);
        Ok(())
    }
}

/// The shards hold as many published bytes as they may: a quarter of `queued_bytes_max`. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl std::fmt::Display for Overloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the shards do not keep up with what is published; try again later")
    }
}

impl std::error::Error for Overloaded {}
