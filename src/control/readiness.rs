//! Whether the server accepts new connections. Shards write it, the control listener reads it; no other memory
//! depends on it, so relaxed operations suffice.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The state, shared between the shards and the control plane.
#[derive(Debug)]
pub(crate) struct Readiness {
    shard_count: usize,
    listening_count: AtomicUsize,
    draining: AtomicBool,
}

/// The value of [`Readiness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not all shards listen yet.
    Starting {
        /// Number of shards that listen.
        listening: usize,
        /// Number of all shards.
        of: usize,
    },
    /// All shards listen.
    Ready,
    /// New connections are refused; the process is about to end.
    Draining,
}

impl Readiness {
    /// The readiness of a server whose shards do not listen yet.
    pub(crate) fn new(shard_count: usize) -> Self {
        Self { shard_count, listening_count: AtomicUsize::new(0), draining: AtomicBool::new(false) }
    }

    /// Records that one more shard listens on all its addresses. Each shard calls it once.
    pub(crate) fn shard_listens(&self) {
        self.listening_count.fetch_add(1, Relaxed);
    }

    /// Records the start of the drain, which is final.
    pub(crate) fn drain_begins(&self) {
        self.draining.store(true, Relaxed);
    }

    /// The current state.
    pub(crate) fn state(&self) -> State {
        let listening = self.listening_count.load(Relaxed);
        if self.draining.load(Relaxed) {
            State::Draining
        } else if listening < self.shard_count {
            State::Starting { listening, of: self.shard_count }
        } else {
            State::Ready
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { listening, of } => write!(f, "starting: {listening} of {of} shards listening"),
            Self::Ready => f.write_str("ready"),
            Self::Draining => f.write_str("draining"),
        }
    }
}
