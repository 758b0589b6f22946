//! What a shard goes by, changed while it runs.
//!
//! Invariant: it is one value, handed over whole and put in force between two events, so that no client is judged by a part
//! of the old and a part of the new. What a connection has (its subscriptions on their terms, its agreed heartbeat, its
//! place in the counts) it keeps. Left out: which keys may differ in it, which whoever hands it over decides.

use std::sync::Arc;

use super::options::Options;
use super::outside::Outside;
use super::{Shard, World};

/// What all shards go by from now on.
#[derive(Debug)]
pub struct Renewal {
    /// Limits, deadlines, rates, channels and what clients may. What is decided at the start is as it was then.
    pub options: Options,
    /// Answers what a shard cannot. What was asked before is answered by whoever was asked.
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
