//! Replacement of a shard's options at run time.
//!
//! Invariant: the options are one value, handed over as a whole and put in force between two events, so that no
//! client is affected by a mix of old and new. The state of connections stays (subscriptions with their terms, the
//! negotiated heartbeat, counts). Left out: which keys may change, which the sender decides.

use std::sync::Arc;

use super::options::Options;
use super::outside::Outside;
use super::{Shard, World};

/// New options for all shards.
#[derive(Debug)]
pub struct Renewal {
    /// Limits, deadlines, rates, channels and rules for clients. Options that are fixed at start keep their value.
    pub options: Options,
    /// Answers the shards' questions. Earlier questions are answered by its predecessor.
    pub outside: Arc<dyn Outside>,
}

impl<W: World> Shard<W> {
    pub(super) fn renew(&mut self, renewal: &Renewal) {
        let Renewal { options, outside } = renewal;
        self.carry().renew(options);
        self.channels().renew(options);
        self.clients().renew(options, outside);
    }
}
