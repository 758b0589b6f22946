//! Counts of hooks, tokens and key sets, for the metrics.
//!
//! Only the control thread, which calls both, writes the counts of hooks and key sets. The counts of tokens have
//! several writers: shards and workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::http::Failure;
use super::options::Options;
use crate::base::counters::{Counter, Histogram};
use crate::shard::outside::Hook;

/// The names of hooks, in the order of their counts.
pub(crate) const HOOKS: [&str; 10] = [
    "connect",
    "refresh",
    "rpc",
    "subscribe",
    "publish",
    "sub_refresh",
    "socketio_connect",
    "socketio_event",
    "socketio_disconnect",
    "state",
];
/// Reasons for which hooks fail, in the order of their counts.
pub(crate) const FAILURES: [&str; 6] = ["timeout", "broken", "status", "too_large", "nonsense", "no_slot"];
/// The number of these reasons for which key sets fail, the first ones.
pub(crate) const KEY_SET_FAILURES: usize = 5;
/// The index of the state hook.
pub(super) const STATE: usize = 9;
/// The index of the hook for events of sockets.
pub(super) const SOCKET_EVENT: usize = 7;
/// The index of the hook for ends of sockets.
pub(super) const SOCKET_END: usize = 8;

/// The kinds of tokens whose key sets are counted, in the order of their counts.
pub(crate) const KEY_SETS: [&str; 2] = ["connection", "subscription"];

/// The index of a hook.
pub(super) fn place(hook: Hook) -> usize {
    match hook {
        Hook::Connect => 0,
        Hook::Refresh => 1,
        Hook::Rpc => 2,
        Hook::Subscribe => 3,
        Hook::Publish => 4,
        Hook::SubRefresh => 5,
        Hook::SocketConnect => 6,
        Hook::SocketEvent => SOCKET_EVENT,
    }
}

/// All counts of this folder.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Counts of hooks, in the order of [`HOOKS`].
    pub hooks: [HookCounts; HOOKS.len()],
    /// Counts of tokens.
    pub tokens: TokenCounts,
    /// Counts of key sets, in the order of [`KEY_SETS`].
    pub key_sets: [Arc<KeySetCounts>; KEY_SETS.len()],
    /// Counts of events for the state hook.
    pub states: StateCounts,
    /// Counts of ends of sockets for their hook.
    pub ends: StateCounts,
}

impl Counts {
    /// Records which hooks and key sets are configured.
    pub(super) fn note_configured(&self, options: &Options) {
        let Options { connect, refresh, rpc, subscribe, publish, sub_refresh, state, .. } = options;
        let Options { socket_connect, socket_event, socket_end, .. } = options;
        let of_sockets = [socket_connect, socket_event, socket_end];
        let hooks = [connect, refresh, rpc, subscribe, publish, sub_refresh]
            .into_iter()
            .chain(of_sockets)
            .chain([state]);
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

    /// Records that no key set fetched so far is in use.
    pub(crate) fn forget_key_sets(&self) {
        self.key_sets.iter().for_each(|counts| counts.fetched_unix_s.store(0, Relaxed));
    }
}

/// Counts of one hook.
#[derive(Debug, Default)]
pub(crate) struct HookCounts {
    /// Time from the question to the answer or the failure, in microseconds, including the wait for a slot.
    pub took_us: Histogram,
    /// Whether the hook is configured.
    pub is_configured: AtomicBool,
    /// Failures, in the order of [`FAILURES`].
    pub failures: [Counter; FAILURES.len()],
    /// Requests sent a second time because a kept-alive connection closed without an answer.
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

/// The index of a failure in [`FAILURES`].
fn reason(failure: &Failure) -> usize {
    match failure {
        Failure::Timeout => 0,
        Failure::Broken(_) => 1,
        Failure::Status(_) => 2,
        Failure::TooLarge => 3,
        Failure::Nonsense(_) => 4,
        Failure::NoSlot => 5,
    }
}

/// Counts of one key set.
#[derive(Debug, Default)]
pub(crate) struct KeySetCounts {
    /// Duration of a fetch, successful or not, in microseconds.
    pub took_us: Histogram,
    /// Whether the key set is configured.
    pub is_configured: AtomicBool,
    /// Failures, in the order of [`FAILURES`].
    pub failures: [Counter; KEY_SET_FAILURES],
    /// Time at which the set in use was fetched, in seconds since 1970; 0 if none was.
    pub fetched_unix_s: AtomicU64,
}

impl KeySetCounts {
    pub(super) fn note(&self, took_us: u64, failure: Option<&Failure>, now_unix_s: u64) {
        self.took_us.record(took_us);
        match failure {
            Some(failure) => {
                if let Some(counter) = self.failures.get(reason(failure)) {
                    counter.add(1);
                }
            }
            None => self.fetched_unix_s.store(now_unix_s, Relaxed),
        }
    }
}

/// Counts of tokens of connections and subscriptions together.
#[derive(Debug, Default)]
pub(crate) struct TokenCounts {
    /// Accepted.
    pub taken: AtomicU64,
    /// Refused: expired, or not valid yet.
    pub expired: AtomicU64,
    /// Refused: not a token, or not signed by a known key.
    pub invalid: AtomicU64,
    /// Not judged: the key set could not be fetched.
    pub unknowable: AtomicU64,
    /// Time from the question to the answer of tokens verified by workers, in microseconds, including the wait for a
    /// worker and for keys.
    pub took_us: Histogram,
}

/// Counts of events for a hook that is notified.
#[derive(Debug, Default)]
pub(crate) struct StateCounts {
    /// Events that shards reported.
    pub told: AtomicU64,
    /// Events that the application accepted.
    pub sent: AtomicU64,
    /// Events dropped because the queue was full.
    pub dropped: AtomicU64,
}

impl StateCounts {
    /// The number of events that are queued or being sent.
    pub(crate) fn waiting(&self) -> u64 {
        let gone = self.sent.load(Relaxed) + self.dropped.load(Relaxed);
        self.told.load(Relaxed).saturating_sub(gone)
    }
}

/// Questions without an answer at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Open {
    /// Hook calls without an answer yet.
    pub hooks: usize,
    /// Hook calls whose request is being sent or waits for its answer.
    pub hook_requests: usize,
    /// Tokens that wait for a worker or for keys, or are being verified.
    pub tokens: usize,
}
