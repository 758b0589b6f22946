//! What a shard goes by, changed while it runs.
//!
//! Invariant: it is one value, handed over whole and put in force between two events, so that no client is judged by a part
//! of the old and a part of the new. What a connection has (its subscriptions on their terms, its agreed heartbeat, its
//! place in the counts) it keeps. Left out: which keys may differ in it, which is `config::reload`'s.

use std::sync::Arc;

use super::outside::Outside;
use super::{Shard, World, home_limits, settings};
use crate::config::Config;
use crate::session::Endpoints;

/// What all shards go by from now on.
#[derive(Debug)]
pub struct Renewal {
    /// Limits, deadlines, rates, channels and what clients may. What is decided at the start is as it was then.
    pub config: Config,
    /// The endpoints that requests find.
    pub endpoints: Endpoints,
    /// Answers what a shard cannot. What was asked before is answered by whoever was asked.
    pub outside: Arc<dyn Outside>,
}

impl<W: World> Shard<W> {
    pub(super) fn renew(&mut self, renewal: &Renewal) {
        let Renewal { config, endpoints, outside } = renewal;
        self.settings = settings(config, endpoints.clone(), self.settings.secret.clone());
        self.home.renew(home_limits(config, usize::from(self.post.shard_count())), &config.namespaces);
        self.local.renew(&config.namespaces);
        self.limits.clone_from(&config.limits);
        self.timeouts.clone_from(&config.timeouts);
        self.policy.clone_from(&config.client);
        self.rates.clone_from(&config.rates);
        self.namespaces = Arc::clone(&config.namespaces);
        self.outside = Arc::clone(outside);
    }
}
