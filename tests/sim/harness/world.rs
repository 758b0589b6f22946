//! The world of the shards: virtual time, links between clients and servers, and their readiness.
//!
//! Readiness is reported as by the least helpful kernel: once, when something changes. Arriving bytes make an edge,
//! and so do an end, a reset, and room after a write found too little; nothing else does. An event that a shard
//! ignored is not reported again.

mod moving;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use throng::parts::net::Ready;

use super::layout::{Faults, Layout};
use super::rng::{Rng, mix};

pub(crate) type LinkId = usize;

/// Changes that no poll has reported yet.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    readable: bool,
    writable: bool,
    closed: bool,
    failed: bool,
}

/// The result of a client's read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    End,
    Reset,
}

/// One connection, from both sides.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) shard: usize,
    token: Option<u64>,
    pub(crate) accepted_us: Option<u64>,
    is_armed: bool,
    /// A write found too little room: the next room is reported.
    wants_room: bool,
    edge: Edge,
    is_queued: bool,
    /// On the way to the server, and in its socket.
    up: VecDeque<u8>,
    up_end: bool,
    pub(crate) inbox: VecDeque<u8>,
    inbox_end: bool,
    /// In the server's socket and on the way to the client.
    down: VecDeque<u8>,
    down_end: bool,
    /// Sockets of the server for this link: two while it is on its way to another shard.
    handles: u32,
    /// The server let go of its socket.
    pub(crate) is_dropped: bool,
    /// The client has closed its end: a write to it causes a reset.
    is_client_gone: bool,
    was_written_to_nobody: bool,
    /// The server is to see a reset; the client is.
    pub(crate) is_reset: bool,
    is_reset_for_client: bool,
    /// Writes that found no room.
    pub(crate) refused_writes: u64,
    /// Writes of which only a part was taken.
    pub(crate) short_writes: u64,
}

/// One shard's view of the world.
#[derive(Debug)]
pub(crate) struct Station {
    backlog: VecDeque<LinkId>,
    is_listening: bool,
    accept_edge: bool,
    pub(crate) mail: Arc<AtomicBool>,
    ready: Vec<LinkId>,
    /// Until when the poll that is under way waits.
    pub(crate) wake_at_us: Option<u64>,
    gone: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now_us: u64,
    /// By how much the wall clock is ahead of that.
    pub(crate) unix_ahead_ms: u64,
    pub(crate) faults: Faults,
    pub(crate) links: Vec<Link>,
    pub(crate) stations: Vec<Station>,
    /// Links on their way to another shard, by that and by their ticket.
    moving: BTreeMap<(usize, u64), LinkId>,
    down_bytes_max: usize,
    inbox_bytes_max: usize,
    /// Mixed from all that happened: equal for equal runs.
    pub(crate) hash: u64,
    is_told: bool,
    /// Data on links differs in each run, except for its length.
    is_sealed: bool,
}

impl World {
    pub(crate) fn new(layout: Layout, rng: Rng) -> Self {
        let station = || Station {
            backlog: VecDeque::new(),
            is_listening: true,
            accept_edge: false,
            mail: Arc::default(),
            ready: Vec::new(),
            wake_at_us: None,
            gone: Vec::new(),
        };
        Self {
            rng,
            now_us: 1_000_000,
            unix_ahead_ms: 1_700_000_000_000,
            faults: layout.faults,
            links: Vec::new(),
            stations: (0..layout.shards).map(|_| station()).collect(),
            moving: BTreeMap::new(),
            down_bytes_max: layout.down_bytes_max,
            inbox_bytes_max: layout.inbox_bytes_max,
            hash: 0,
            is_sealed: layout.is_sealed,
            is_told: std::env::var_os("THRONG_TRACE").is_some(),
        }
    }

    /// Notes that something happened; printed with THRONG_TRACE=1.
    pub(crate) fn note(&mut self, what: &str, who: usize, value: u64) {
        let word = mix(value ^ (who as u64) << 40 ^ fingerprint(what.as_bytes()));
        self.hash = mix(self.hash.rotate_left(7) ^ word ^ self.now_us);
        if self.is_told {
            println!("{:>12.3} ms  {what} {who}: {value}", self.now_us as f64 / 1000.0);
        }
    }

    fn fingerprint(&self, bytes: &[u8]) -> u64 {
        if self.is_sealed { bytes.len() as u64 } else { fingerprint(bytes) }
    }

    /// Ends all temporary faults.
    pub(crate) fn calm(&mut self) {
        self.faults = self.faults.calmed();
    }

    fn tell(&mut self, id: LinkId, edge: Edge) {
        let link = &mut self.links[id];
        if link.token.is_none() || link.is_dropped {
            return;
        }
        link.edge.readable |= edge.readable;
        link.edge.closed |= edge.closed;
        link.edge.failed |= edge.failed;
        link.edge.writable |= edge.writable && link.is_armed;
        if !link.is_queued && (link.edge.readable || link.edge.writable || link.edge.closed) {
            link.is_queued = true;
            self.stations[link.shard].ready.push(id);
        }
    }

    // The shard's side.

    /// Reports readiness events, if there are any.
    pub(crate) fn collect(&mut self, shard: usize, events: &mut Vec<Ready>) {
        let before = events.len();
        let station = &mut self.stations[shard];
        if std::mem::take(&mut station.accept_edge) {
            events.push(Ready::Accept);
        }
        if station.mail.swap(false, Relaxed) {
            events.push(Ready::Mail);
        }
        let mut ready = std::mem::take(&mut station.ready);
        self.rng.shuffle(&mut ready);
        if ready.len() > 1 && self.rng.chance(self.faults.partial_poll) {
            let told = self.rng.size(1..=ready.len() - 1);
            self.stations[shard].ready = ready.split_off(told);
        }
        for id in ready {
            let link = &mut self.links[id];
            link.is_queued = false;
            let Edge { readable, writable, closed, failed } = std::mem::take(&mut link.edge);
            if let (Some(token), false) = (link.token, link.is_dropped) {
                events.push(Ready::Socket { token, readable, writable, closed, failed });
            }
        }
        if events.len() == before {
            return;
        }
        if self.rng.chance(self.faults.stale) && !self.stations[shard].gone.is_empty() {
            let token = self.rng.pick(&self.stations[shard].gone);
            let closed = self.rng.chance(50);
            events.push(Ready::Socket { token, readable: true, writable: true, closed, failed: closed });
        }
        if self.rng.chance(self.faults.spurious) {
            let mut live = self.links.iter().filter(|link| link.shard == shard && !link.is_dropped);
            let skipped = self.rng.size(0..=5);
            if let Some(token) = live.nth(skipped).and_then(|link| link.token) {
                let (closed, failed) = (false, false);
                events.push(Ready::Socket { token, readable: true, writable: true, closed, failed });
            }
        }
        self.rng.shuffle(&mut events[before..]);
    }

    pub(crate) fn accept(&mut self, shard: usize) -> Option<LinkId> {
        let id = self.stations[shard].backlog.pop_front()?;
        self.links[id].accepted_us = Some(self.now_us);
        self.note("accept", id, shard as u64);
        Some(id)
    }

    /// The server's token for its end of the link.
    pub(crate) fn token(&self, id: LinkId) -> Option<u64> {
        self.links[id].token
    }

    pub(crate) fn has_backlog(&self, shard: usize) -> bool {
        !self.stations[shard].backlog.is_empty()
    }

    pub(crate) fn register(&mut self, id: LinkId, token: u64) {
        let link = &mut self.links[id];
        link.token = Some(token);
        let readable = !link.inbox.is_empty() || link.inbox_end || link.is_reset;
        let (failed, closed) = (link.is_reset, link.inbox_end || link.is_reset);
        self.tell(id, Edge { readable, writable: false, closed, failed });
    }

    /// Reports what happens to a link under another token from now on.
    pub(crate) fn reregister(&mut self, id: LinkId, token: u64) {
        let link = &mut self.links[id];
        assert!(link.token.is_some(), "it is registered");
        let shard = link.shard;
        link.is_armed = false;
        let before = link.token.replace(token);
        self.stations[shard].gone.extend(before);
        self.register(id, token);
    }

    pub(crate) fn arm(&mut self, id: LinkId, token: u64) {
        let has_room = self.room(id) > 0;
        let link = &mut self.links[id];
        assert_eq!(link.token, Some(token), "armed under another token than it was registered with");
        link.is_armed = true;
        link.wants_room &= !has_room;
        self.tell(id, Edge { writable: has_room, ..Edge::default() });
    }

    pub(crate) fn room(&self, id: LinkId) -> usize {
        let link = &self.links[id];
        if link.is_client_gone || link.is_reset { usize::MAX } else { self.down_bytes_max - link.down.len() }
    }

    pub(crate) fn read(&mut self, id: LinkId, buffer: &mut [u8]) -> Option<usize> {
        let link = &mut self.links[id];
        let count = link.inbox.len().min(buffer.len());
        if count == 0 {
            return link.inbox_end.then_some(0);
        }
        for (to, from) in buffer.iter_mut().zip(link.inbox.drain(..count)) {
            *to = from;
        }
        let fingerprint = self.fingerprint(&buffer[..count]);
        self.note("read", id, fingerprint);
        Some(count)
    }

    /// Accepts as many bytes as there is room for; `None` when there is no room.
    pub(crate) fn write(&mut self, id: LinkId, bytes: &[u8]) -> Option<usize> {
        let room = self.room(id);
        if self.links[id].is_client_gone {
            self.links[id].was_written_to_nobody = true;
            let fingerprint = self.fingerprint(bytes);
            self.note("lose", id, fingerprint);
            return Some(bytes.len());
        }
        let mut count = room.min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            self.links[id].wants_room = true;
            self.links[id].refused_writes += 1;
            self.note("full", id, 0);
            return None;
        }
        self.links[id].wants_room |= count < bytes.len();
        // A short write without a cause and without a later event: a writer that stops at it waits for ever.
        if count > 1 && self.rng.chance(self.faults.short_write) {
            count = self.rng.size(1..=count);
        }
        self.links[id].short_writes += u64::from(count < bytes.len());
        // By epoll(7), a short write means a full socket: TLS connections rely on it, others need not.
        self.links[id].wants_room |= count < bytes.len() && self.is_sealed;
        self.links[id].down.extend(&bytes[..count]);
        let fingerprint = self.fingerprint(&bytes[..count]);
        self.note("write", id, fingerprint);
        Some(count)
    }

    pub(crate) fn shutdown_write(&mut self, id: LinkId) {
        self.note("shutdown", id, 0);
        self.links[id].down_end = true;
    }

    /// The server closes its socket. With unread input, TCP resets, and data in transit may be lost.
    fn drop_socket(&mut self, id: LinkId) {
        self.note("drop", id, 0);
        let is_lost = self.rng.chance(50);
        let link = &mut self.links[id];
        link.is_dropped = true;
        link.down_end = true;
        if !link.inbox.is_empty() || !link.up.is_empty() {
            link.is_reset_for_client = true;
            if is_lost {
                link.down.clear();
            }
        }
        if let Some(token) = link.token {
            self.stations[link.shard].gone.push(token);
        }
    }

    pub(crate) fn stop_listening(&mut self, shard: usize) {
        self.note("deafen", shard, 0);
        let station = &mut self.stations[shard];
        station.is_listening = false;
        for id in std::mem::take(&mut station.backlog) {
            self.links[id].is_reset_for_client = true;
            self.links[id].is_dropped = true;
        }
    }

    // The clients' side.

    /// Connects to a shard that is still listening.
    pub(crate) fn connect(&mut self) -> Option<LinkId> {
        let open: Vec<usize> =
            (0..self.stations.len()).filter(|&shard| self.stations[shard].is_listening).collect();
        if open.is_empty() {
            return None;
        }
        let shard = self.rng.pick(&open);
        let id = self.links.len();
        self.links.push(Link {
            shard,
            token: None,
            accepted_us: None,
            is_armed: false,
            wants_room: false,
            edge: Edge::default(),
            is_queued: false,
            up: VecDeque::new(),
            up_end: false,
            inbox: VecDeque::new(),
            inbox_end: false,
            down: VecDeque::new(),
            down_end: false,
            handles: 1,
            is_dropped: false,
            is_client_gone: false,
            was_written_to_nobody: false,
            is_reset: false,
            is_reset_for_client: false,
            refused_writes: 0,
            short_writes: 0,
        });
        self.stations[shard].backlog.push_back(id);
        self.stations[shard].accept_edge = true;
        self.note("connect", id, shard as u64);
        Some(id)
    }

    pub(crate) fn send(&mut self, id: LinkId, bytes: &[u8]) -> usize {
        let room = self.inbox_bytes_max - self.links[id].up.len();
        let count = room.min(bytes.len());
        self.links[id].up.extend(&bytes[..count]);
        count
    }

    pub(crate) fn receive(&mut self, id: LinkId, bytes_max: usize, into: &mut Vec<u8>) -> Received {
        let link = &mut self.links[id];
        let count = link.down.len().min(bytes_max);
        if count == 0 {
            return match (link.is_reset_for_client, link.down_end) {
                (true, _) => Received::Reset,
                (false, true) if link.down.is_empty() => Received::End,
                (false, _) => Received::Nothing,
            };
        }
        into.extend(link.down.drain(..count));
        // As Linux: room is reported when a third of the buffer is free, not at the first byte.
        if link.wants_room && link.down.len() <= self.down_bytes_max * 2 / 3 {
            link.wants_room = false;
            self.tell(id, Edge { writable: true, ..Edge::default() });
        }
        Received::Bytes(count)
    }

    /// The client shuts down its sending side.
    pub(crate) fn finish(&mut self, id: LinkId) {
        self.links[id].up_end = true;
    }

    /// The client closes its socket; unread bytes make that a reset.
    pub(crate) fn leave(&mut self, id: LinkId) {
        self.note("leave", id, 0);
        self.links[id].is_client_gone = true;
        if self.links[id].down.is_empty() {
            self.finish(id);
        } else {
            self.reset(id);
        }
    }

    pub(crate) fn reset(&mut self, id: LinkId) {
        self.note("reset", id, 0);
        let keeps_inbox = self.rng.chance(50);
        let link = &mut self.links[id];
        link.is_client_gone = true;
        link.is_reset = true;
        link.is_reset_for_client = true;
        link.up.clear();
        link.down.clear();
        if !keeps_inbox {
            link.inbox.clear();
        }
        self.tell(id, Edge { readable: true, writable: true, closed: true, failed: true });
    }

    /// Moves some data in transit to the server; returns whether there was any.
    pub(crate) fn carry(&mut self, id: LinkId) -> bool {
        let link = &mut self.links[id];
        if link.is_dropped {
            return false;
        }
        if std::mem::take(&mut link.was_written_to_nobody) {
            self.reset(id);
            return true;
        }
        if link.is_reset {
            return false;
        }
        let mut count = link.up.len().min(self.inbox_bytes_max - link.inbox.len());
        if count > 1 && self.rng.chance(self.faults.cut_arrival) {
            count = self.rng.size(1..=count);
        }
        link.inbox.extend(link.up.drain(..count));
        let ends = link.up_end && link.up.is_empty() && !link.inbox_end;
        link.inbox_end |= ends;
        if count > 0 || ends {
            self.note("arrive", id, count as u64);
            self.tell(id, Edge { readable: true, closed: ends, ..Edge::default() });
        }
        count > 0 || ends
    }
}

/// A hash of some bytes.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (sum.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
