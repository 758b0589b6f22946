//! Accepting connections, their number and rate; evictions when memory is short; the drain.
//!
//! * Coming: `accept`, `newcomers` (reasons to refuse a new connection), `proxy_header`.
//! * Going: `pressure` (the ladder of responses to short memory), `evict` (too many queued bytes), `drain`.

pub(in crate::shard) mod accept;
pub(in crate::shard) mod drain;
pub(in crate::shard) mod evict;
pub(in crate::shard) mod newcomers;
pub(in crate::shard) mod pressure;
pub(in crate::shard) mod proxy_header;

use std::sync::Arc;

use crate::shard::World;
use crate::shard::clients::Clients;
use crate::shard::options::Listener;
use crate::tls::Acceptor;
use accept::{Admission, Admitted};
use drain::Drain;
use pressure::Ladder;

/// The highest wing, which owns all others.
#[derive(Debug)]
pub(in crate::shard) struct Door<W: World> {
    pub(in crate::shard) clients: Clients<W>,
    /// Acceptor of TLS handshakes, for TCP connections.
    pub(in crate::shard) tls: Option<Acceptor>,
    listeners: Arc<[Listener]>,
    /// Whether connections of trusted proxies begin with a PROXY header.
    takes_proxy_headers: bool,
    /// Time of the last log line about an unexpected PROXY header, in milliseconds.
    stray_header_told_ms: Option<u64>,
    pub(in crate::shard) admission: Admission,
    /// Recent connections: in this shard, and by address.
    admitted: Admitted,
    ladder: Ladder,
    /// Start of a requested drain, in milliseconds.
    pub(in crate::shard) drain_at_ms: Option<u64>,
    pub(in crate::shard) drain: Option<Drain>,
}

impl<W: World> Door<W> {
    pub(in crate::shard) fn new(
        clients: Clients<W>,
        admission: Admission,
        tls: Option<Acceptor>,
        (listeners, takes_proxy_headers): (Arc<[Listener]>, bool),
    ) -> Self {
        Self {
            clients,
            tls,
            listeners,
            takes_proxy_headers,
            stray_header_told_ms: None,
            admission,
            admitted: Admitted::default(),
            ladder: Ladder::default(),
            drain_at_ms: None,
            drain: None,
        }
    }
}
