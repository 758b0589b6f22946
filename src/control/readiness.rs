//! Whether the server takes new connections. Shards write it, the control listener reads it; it orders nothing
//! else, so relaxed operations suffice.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Shared between the shards and the control plane.
#[derive(Debug)]
pub(crate) struct Readiness {
    shard_count: usize,
    listening_count: AtomicUsize,
    draining: AtomicBool,
}

/// What [`Readiness`] amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not all shards listen yet.
    Starting {
        /// How many do.
        listening: usize,
        /// Of how many.
        of: usize,
    },
    /// All shards listen.
    Ready,
    /// No new connections are taken; the process is about to end.
    Draining,
}

impl Readiness {
    /// Of a server whose shards do not listen yet.
    pub(crate) fn new(shard_count: usize) -> Self {
        Self { shard_count, listening_count: AtomicUsize::new(0), draining: AtomicBool::new(false) }
    }

    /// One more shard listens on all its addresses. Each shard says it once.
    pub(crate) fn shard_listens(&self) {
        self.listening_count.fetch_add(1, Relaxed);
    }

    /// The drain has begun; there is no way back.
    pub(crate) fn drain_begins(&self) {
        self.draining.store(true, Relaxed);
    }

    /// What it amounts to now.
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
