//! The end of a server, for those who are connected: closed one after the other over a time, each told to come back,
//! and each after a time of its own, so that they do not all come to the next server at one moment.
//!
//! Readiness ends first. For `drain_delay_ms` nothing else changes: a balancer needs that long to notice, and whoever it
//! still sends is served.

use super::Shard;
use crate::base::slots::Key;
use crate::net::Net;
use crate::session::{CloseReason, Handler};

/// How often a drain says how far it is.
const TOLD_EVERY_MS: u64 = 1000;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    began_ms: u64,
    told_ms: u64,
    /// Everyone who was connected when it began.
    keys: Vec<Key>,
    closed_count: usize,
}

impl<N: Net, H: Handler> Shard<N, H> {
    /// Begins a drain, after the delay; asked again, it changes nothing.
    pub(super) fn begin_drain(&mut self) {
        if self.drain.is_none() && self.drain_at_ms.is_none() {
            let delay_ms = self.timeouts.drain_delay_ms;
            self.drain_at_ms = Some(self.now_ms() + delay_ms);
            if delay_ms > 0 {
                tracing::info!(shard = self.post.shard(), delay_ms, "a drain begins after a delay");
            }
        }
        self.drain_step();
    }

    fn stop_listening(&mut self) {
        self.drain_at_ms = None;
        self.net.stop_listening();
        let keys: Vec<Key> = self.conns.iter().map(|(key, _)| key).collect();
        tracing::info!(shard = self.post.shard(), connections = keys.len(), "draining");
        let now_ms = self.now_ms();
        self.drain = Some(Drain { began_ms: now_ms, told_ms: now_ms, keys, closed_count: 0 });
    }

    /// Closes as many connections as the time since the drain began asks for.
    pub(super) fn drain_step(&mut self) {
        if self.drain_at_ms.is_some_and(|at| at <= self.now_ms()) {
            self.stop_listening();
        }
        let now_ms = self.now_ms();
        let Some(mut drain) = self.drain.take() else { return };
        let total = drain.keys.len();
        let target = match self.timeouts.drain_ms {
            0 => total,
            drain_ms => {
                let elapsed_ms = now_ms.saturating_sub(drain.began_ms);
                usize::try_from(total as u64 * elapsed_ms / drain_ms).unwrap_or(total).min(total)
            }
        };
        // `close` looks at whether a drain is under way, so put it back before.
        let due: Vec<Key> = drain.keys[drain.closed_count..target.max(drain.closed_count)].to_vec();
        drain.closed_count += due.len();
        let (closed, to_close) = (drain.closed_count, total - drain.closed_count);
        if now_ms >= drain.told_ms + TOLD_EVERY_MS {
            drain.told_ms = now_ms;
            let connections = self.conns.len();
            tracing::info!(shard = self.post.shard(), connections, closed, to_close, "draining");
        }
        self.drain = Some(drain);
        self.counters.drain_left.set(to_close as u64);
        for key in due {
            if self.conns.entry(key).is_some() {
                self.counters.drain_closes.add(1);
                self.close(key, CloseReason::Shutdown);
            }
        }
    }

    /// Whether a drain has come to its end, in all shards: the channels whose home is here have subscribers elsewhere,
    /// and who still sends letters must not wait for a reader that is gone.
    pub(super) fn is_drained(&self) -> bool {
        self.drain.is_some() && self.conns.is_empty() && self.admission.is_deserted()
    }
}
