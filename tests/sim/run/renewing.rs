//! The configuration is reloaded during a run: clients see no difference, so all checks hold as before, while every
//! setting of a shard is replaced, and the budgets of a turn differ.

use std::sync::Arc;

use throng::parts::config::Config;
use throng::parts::hub::options::{ChannelOptions, Namespaces};
use throng::parts::shard::Renewal;
use throng::parts::shard::mailbox::Letter;
use throng::parts::shard::outside::Outside;

use super::Run;
use crate::rng::Rng;

/// The times of reloads, by separate random numbers: the rest of the run is as without them.
#[derive(Debug)]
pub(super) struct Renewals {
    rng: Rng,
    pub(super) next_us: u64,
    pub(super) count: u64,
}

impl Renewals {
    /// In some of the runs.
    pub(super) fn new(seed: u64, begin_us: u64) -> Option<Self> {
        let mut rng = Rng::new(seed ^ 0x7265_6e65_7773);
        rng.chance(25).then_some(Self { rng, next_us: begin_us, count: 0 })
    }
}

impl Run {
    /// When the configuration is read next.
    pub(super) fn renewal_us(&self) -> Option<u64> {
        self.renewals.as_ref().filter(|_| !self.is_calm).map(|renewals| renewals.next_us)
    }

    /// Reads it again if it is time; whether it was.
    pub(super) fn renew(&mut self) -> bool {
        let now_us = self.now_us();
        let is_due = self.renewal_us().is_some_and(|at| at <= now_us);
        let Some(renewals) = self.renewals.as_mut().filter(|_| is_due) else { return false };
        renewals.next_us = now_us + 1 + renewals.rng.range(0..=self.plan.activity_us / 4);
        renewals.count += 1;
        let config = another(&self.plan.config, &mut renewals.rng);
        let renewal = Arc::new(Renewal {
            options: config.shard_options("node"),
            outside: Arc::clone(&self.oracle) as Arc<dyn Outside>,
        });
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Renew(Arc::clone(&renewal))]);
        }
        true
    }
}

/// A configuration that is equal for clients: the budgets of a turn are drawn anew, and the channels' options are new
/// values that are equal to the old ones.
fn another(config: &Config, rng: &mut Rng) -> Config {
    let mut config = config.clone();
    config.limits.accepts_per_turn_max = rng.pick(&[1, 2, 64]);
    config.limits.handshakes_per_turn_max = rng.pick(&[1, 2, 16]);
    config.limits.read_bytes_per_turn_max = rng.pick(&[4 << 10, 64 << 10, 256 << 10]);
    config.limits.deliveries_per_turn_max = rng.pick(&[1, 2, 5, 30, 2048]);
    config.limits.mailbox_letters_max = rng.pick(&[0, 1, 5, 65_536]);
    let anew = |options: &Arc<ChannelOptions>| Arc::new(ChannelOptions::clone(options));
    let old = &config.namespaces;
    config.namespaces = Arc::new(Namespaces {
        without_namespace: anew(&old.without_namespace),
        named: old.named.iter().map(|(name, options)| (name.clone(), anew(options))).collect(),
        ..Namespaces::clone(old)
    });
    config
}
