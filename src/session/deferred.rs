//! Values of one protocol that a shard keeps or passes on without knowing the protocol.

use super::centrifuge;
use crate::hub::Publication;

/// A command that is not executed yet, because others precede it.
#[derive(Debug, PartialEq)]
pub enum Deferred {
    /// A command of the Centrifuge protocol.
    Centrifuge(centrifuge::WaitingCommand),
}

impl Deferred {
    /// Whether the reply may be large, as for [`Ask::is_whole`](crate::hub::words::Ask::is_whole).
    pub fn is_whole(&self) -> bool {
        let Self::Centrifuge(command) = self;
        command.is_whole()
    }

    /// The channel to subscribe to, for a command that subscribes.
    pub fn enters(&self) -> Option<&str> {
        let Self::Centrifuge(command) = self;
        command.enters()
    }

    /// The channel of the command, if it has one.
    pub fn channel(&self) -> Option<&str> {
        let Self::Centrifuge(command) = self;
        command.channel()
    }

    /// Whether the command may have to be answered outside the shards, as for
    /// [`Ask::may_ask`](crate::hub::words::Ask::may_ask).
    pub fn may_ask(&self) -> bool {
        let Self::Centrifuge(command) = self;
        command.may_ask()
    }

    /// Whether the home of its channel executes it, as for
    /// [`Ask::is_for_home`](crate::hub::words::Ask::is_for_home).
    pub fn is_for_home(&self) -> bool {
        let Self::Centrifuge(command) = self;
        command.is_for_home()
    }

    /// Heap bytes, beside its own size.
    pub fn owned_bytes(&self) -> usize {
        let Self::Centrifuge(command) = self;
        command.owned_bytes()
    }
}

/// The form in which a client receives publications of a history.
#[derive(Clone, Copy, Debug)]
pub enum Telling {
    /// Replies of the Centrifuge protocol.
    Centrifuge(centrifuge::HistoryForm),
}

impl Telling {
    /// Whether the publication's payload is sent from where it is stored, without a copy.
    pub fn leaves_out(self, publication: &Publication) -> bool {
        let Self::Centrifuge(telling) = self;
        telling.leaves_out(publication)
    }
}
