//! What is counted of hooks, tokens and key sets, for the metrics.
//!
//! Those of a hook or a key set are written by the control thread alone, where both are asked. Those of tokens have several writers, shards
//! and workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::http::Failure;
use super::options::Options;
use crate::base::counters::{Counter, Histogram};
use crate::shard::outside::Hook;

/// The names of hooks, in the order of their counts.
pub(crate) const HOOKS: [&str; 7] =
    ["connect", "refresh", "rpc", "subscribe", "publish", "sub_refresh", "state"];
/// Why hooks and key sets fail, in the order of their counts.
pub(crate) const FAILURES: [&str; 5] = ["timeout", "broken", "status", "too_large", "nonsense"];
/// The place of the state hook.
pub(super) const STATE: usize = 6;

/// Whose keys a key set has, in the order of their counts.
pub(crate) const KEY_SETS: [&str; 2] = ["connection", "subscription"];

/// The place of a hook that is asked.
pub(super) fn place(hook: Hook) -> usize {
    match hook {
        Hook::Connect => 0,
        Hook::Refresh => 1,
        Hook::Rpc => 2,
        Hook::Subscribe => 3,
        Hook::Publish => 4,
        Hook::SubRefresh => 5,
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By hook.
    pub hooks: [HookCounts; HOOKS.len()],
    /// Of tokens.
    pub tokens: TokenCounts,
    /// By whose keys they are.
    pub key_sets: [Arc<KeySetCounts>; KEY_SETS.len()],
    /// Of what is told to the state hook.
    pub states: StateCounts,
}

impl Counts {
    /// Notes which hooks and key sets there are.
    pub(super) fn note_configured(&self, options: &Options) {
        let Options { connect, refresh, rpc, subscribe, publish, sub_refresh, state, .. } = options;
        let hooks = [connect, refresh, rpc, subscribe, publish, sub_refresh, state];
        for (counts, hook) in self.hooks.iter().zip(hooks) {
            counts.is_configured.store(hook.is_some(), Relaxed);
        }
        for hook in [Hook::Rpc, Hook::Subscribe, Hook::Publish, Hook::SubRefresh] {
            if !options.names(hook).is_empty() {
                self.hooks[place(hook)].is_configured.store(true, Relaxed);
            }
        }
        for (counts, token) in
            self.key_sets.iter().zip([Some(&options.token), options.subscription_token.as_ref()])
        {
            let is_published = token.is_some_and(|token| !token.jwks_public_endpoint.is_empty());
            counts.is_configured.store(is_published, Relaxed);
        }
    }

    /// Notes that no key set that was fetched until now is in use.
    pub(crate) fn forget_key_sets(&self) {
        self.key_sets.iter().for_each(|counts| counts.fetched_unix_s.store(0, Relaxed));
    }
}

/// Of one hook.
#[derive(Debug, Default)]
pub(crate) struct HookCounts {
    /// From the question to the answer or the failure, in microseconds; waiting for a place among the requests is part of it.
    pub took_us: Histogram,
    /// There is such a hook.
    pub is_configured: AtomicBool,
    /// By reason.
    pub failures: [Counter; FAILURES.len()],
    /// Requests sent once more, because a kept connection had swallowed them.
    pub retries: Counter,
}

impl HookCounts {
    pub(super) fn note(&self, took_us: u64, failure: Option<&Failure>) {
        self.took_us.record(took_us);
        if let Some(failure) = failure {
            self.failures[reason(failure)].add(1);
        }
    }
}

/// The place of a failure among [`FAILURES`].
fn reason(failure: &Failure) -> usize {
    match failure {
        Failure::Timeout => 0,
        Failure::Broken(_) => 1,
        Failure::Status(_) => 2,
        Failure::TooLarge => 3,
        Failure::Nonsense(_) => 4,
    }
}

/// Of one key set.
#[derive(Debug, Default)]
pub(crate) struct KeySetCounts {
    /// From the begin of a fetch to its end, whether it brought keys or not, in microseconds.
    pub took_us: Histogram,
    /// There is such a set.
    pub is_configured: AtomicBool,
    /// By reason.
    pub failures: [Counter; FAILURES.len()],
    /// When the set in use was fetched, in seconds since 1970; 0: none was.
    pub fetched_unix_s: AtomicU64,
}

impl KeySetCounts {
    pub(super) fn note(&self, took_us: u64, failure: Option<&Failure>, now_unix_s: u64) {
        self.took_us.record(took_us);
        match failure {
            Some(failure) => self.failures[reason(failure)].add(1),
            None => self.fetched_unix_s.store(now_unix_s, Relaxed),
        }
    }
}

/// Of tokens, of connections and of subscriptions together.
#[derive(Debug, Default)]
pub(crate) struct TokenCounts {
    /// Taken.
    pub taken: AtomicU64,
    /// Refused: over, or not begun.
    pub expired: AtomicU64,
    /// Refused: none, or not ours.
    pub invalid: AtomicU64,
    /// Not judged: the key set could not be fetched.
    pub unknowable: AtomicU64,
    /// Of those that workers verify: from the question to the answer, in microseconds; waiting for a worker and for keys is part of it.
    pub took_us: Histogram,
}

/// Of what is told to the state hook.
#[derive(Debug, Default)]
pub(crate) struct StateCounts {
    /// Events that shards told.
    pub told: AtomicU64,
    /// Of those, what the application has taken.
    pub sent: AtomicU64,
    /// Of those, what was dropped because too many waited.
    pub dropped: AtomicU64,
}

impl StateCounts {
    /// Events that wait, or are under way.
    pub(crate) fn waiting(&self) -> u64 {
        let gone = self.sent.load(Relaxed) + self.dropped.load(Relaxed);
        self.told.load(Relaxed).saturating_sub(gone)
    }
}

/// What waits outside at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Open {
    /// Hook calls without an answer yet.
    pub hooks: usize,
    /// Of those, the ones that are out as requests.
    pub hook_requests: usize,
    /// Tokens that wait for a worker or for keys, or are at work.
    pub tokens: usize,
}
