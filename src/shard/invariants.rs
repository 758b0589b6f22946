//! Checks between turns, for code that drives a shard by hand: slots and subscribers refer to each other, queued data
//! is on its way, and every gauge equals the actual number.

use std::collections::BTreeMap;

use super::carry::conn::{Conn, CountedAs, Stage, SubState};
use super::carry::queued::Waiting;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::session::desk::Wait;
use crate::session::{Phase, kinds};

/// Numbers that gauges count.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gauges {
    connections: u64,
    half_open: u64,
    forwarding: u64,
    probes: u64,
    sessions: u64,
    sessions_by_kind: BTreeMap<&'static str, u64>,
    /// By kind of session, and by the index of the program's name.
    clients_by_name: BTreeMap<(&'static str, usize), u64>,
    users: u64,
    clients: u64,
    tls_links: u64,
    plain_lines: u64,
    outbox_queue_bytes: u64,
    subscriptions: u64,
    streams: u64,
    partial_bytes: u64,
    outboxes: u64,
    outbox_bytes: u64,
    refused_lingering: u64,
    channels: u64,
    history_bytes: u64,
    presences: u64,
}

impl<W: World> Shard<W> {
    /// Checks the invariants between turns.
    ///
    /// # Panics
    /// When one does not hold, which is a bug in this crate.
    pub fn check_invariants(&self) {
        let channels = &self.door.clients.channels;
        let carry = &self.door.clients.channels.carry;
        channels.home.check_invariants();
        carry.check_account();
        channels.local.check_invariants();
        assert!(carry.ended.is_empty(), "who has ended is gone from everywhere");
        assert!(carry.records.is_empty() && carry.records_wait.is_none(), "no record waits beyond its turn");
        assert!(
            carry.actions.is_empty() && carry.out.is_empty() && carry.apart.is_empty(),
            "nothing of a connection waits beyond its turn"
        );
        assert!(carry.post.has_told_all(), "what is done is told in its turn");
        let is_polled = |key: &Key| carry.conns.entry(*key).is_some_and(|conn| conn.socket.is_none());
        assert!(carry.parked.keys().all(is_polled), "a poll is parked at a session without a socket");
        let is_of = |session: &Key, probe: Key| {
            carry.conns.entry(probe).is_some_and(|conn| conn.session.probes() == Some(*session))
        };
        assert!(
            carry.probes.iter().all(|(session, probing)| is_polled(session) && is_of(session, probing.conn)),
            "a probe is an open connection, and is for a session without a socket"
        );
        let is_full = |key: &Key| carry.conns.entry(*key).is_some_and(|conn| conn.session.is_full());
        let is_over = |key: &Key| carry.conns.entry(*key).is_some_and(|conn| conn.stage != Stage::Open);
        let waits = |key: &Key| is_full(key) || is_over(key);
        assert!(carry.posts.keys().all(waits), "a post waits for a session that can take no more");
        let mut interest = 0;
        for (key, conn) in carry.conns.iter() {
            self.check_stage(key, conn);
            check_connecting(key, conn);
            self.door.clients.check_waiting(key, conn);
            self.check_subscriptions(key, conn);
            interest += conn.subs.len();
        }
        assert_eq!(channels.local.interest(), interest, "each interest in a channel is somebody's");
        assert_eq!(carry.wheel.len(), carry.conns.len(), "one deadline each, and none without a connection");
        assert_eq!(self.gauges(), self.existing(), "every gauge is what exists");
        self.check_out();
    }

    /// Checks that connections that wait for the desk are counted as out, and that counts match.
    fn check_out(&self) {
        let is_out = |conn: &Conn<W::Socket, W::State>| conn.session.waits_for() == Some(Wait::Answer);
        let carry = &self.door.clients.channels.carry;
        let waiting = carry.conns.iter().filter(|(_, conn)| is_out(conn)).count();
        let out = carry.forwarding.out();
        assert!(waiting <= out, "{waiting} wait for answers, and {out} requests are out");
        assert_eq!(carry.counters.forwarded_out.value(), out as u64, "requests that are out are counted");
    }

    fn check_stage(&self, key: Key, conn: &Conn<W::Socket, W::State>) {
        let carry = &self.door.clients.channels.carry;
        if conn.outbox.as_ref().is_some_and(|outbox| !outbox.is_empty()) {
            let waits_for_poll = conn.socket.is_none() && !carry.parked.contains_key(&key);
            assert!(
                conn.is_dirty || conn.is_writable_armed || conn.is_corked || waits_for_poll,
                "queued means dirty, or waiting for room or for a poll: {key:?}"
            );
        }
        if conn.stage == Stage::Open {
            assert_eq!(
                conn.socket.is_none(),
                conn.session.is_polled(),
                "only who is polled has no socket: {key:?}"
            );
        }
        let place = match (conn.stage, conn.session.phase()) {
            (Stage::Open, Phase::Opening) => CountedAs::HalfOpen,
            (Stage::Open, Phase::Asking) => CountedAs::Asking,
            (Stage::Open, _) if conn.session.probes().is_some() => CountedAs::Probe,
            (Stage::Open, _) => conn.session.kind().map_or(CountedAs::Nothing, CountedAs::Session),
            _ => CountedAs::Nothing,
        };
        if conn.stage == Stage::Open && conn.session.waits_for().is_some() {
            assert!(
                conn.is_read_paused || conn.is_unread,
                "who waits for an answer is not read from: {key:?}"
            );
        }
        assert_eq!(conn.counted_as, place, "each counts where it is: {key:?}");
        assert_ne!(conn.stage, Stage::Buried, "the dead are freed at the end of the turn");
        assert!(conn.stage == Stage::Open || conn.subs.is_empty(), "who is closed has left its channels");
        assert!(conn.stage == Stage::Open || conn.client.is_none(), "who is closed is forgotten");
        assert!(carry.wheel.deadline(key.index()).is_some(), "each connection has a deadline");
        let has_work = conn.stage == Stage::Open && (conn.has_work_left() || conn.is_unread);
        assert!(!conn.has_left || has_work, "who has left stays for its commands: {key:?}");
    }

    fn check_subscriptions(&self, key: Key, conn: &Conn<W::Socket, W::State>) {
        let channels = &self.door.clients.channels;
        for detail in conn.client.iter().flat_map(|client| &client.details) {
            assert!(conn.slot_of(detail.channel).is_some(), "details of a subscription: {key:?}");
        }
        for (slot, sub) in conn.subs.iter().enumerate() {
            if let SubState::Active(position) = sub.state() {
                let subscriber = channels.local.subscriber(sub.channel(), position);
                let points_back =
                    subscriber.is_some_and(|s| s.conn == key.index() && usize::from(s.slot) == slot);
                assert!(points_back, "slot and subscriber point at each other: {key:?} {slot}");
            }
        }
    }

    /// The values of the gauges.
    fn gauges(&self) -> Gauges {
        let carry = &self.door.clients.channels.carry;
        let c = &carry.counters;
        Gauges {
            connections: c.connections.value(),
            half_open: c.half_open.value(),
            forwarding: c.forwarding.value(),
            probes: c.probes.value(),
            sessions: c.sessions.value(),
            sessions_by_kind: kinds()
                .map(|kind| (kind.name(), c.sessions_by_kind[kind.number()].value()))
                .filter(|(_, count)| *count > 0)
                .collect(),
            clients_by_name: kinds()
                .flat_map(|kind| {
                    let connected = c.clients_by_kind[kind.number()].connected.iter().enumerate();
                    connected.map(move |(place, count)| ((kind.name(), place), count.value()))
                })
                .filter(|(_, count)| *count > 0)
                .collect(),
            users: c.users.value(),
            clients: c.clients.value(),
            tls_links: c.tls_links.value(),
            plain_lines: c.plain_lines.value(),
            outbox_queue_bytes: c.outbox_queue_bytes.value(),
            subscriptions: c.subscriptions.value(),
            partial_bytes: c.partial_bytes.value(),
            outboxes: c.outboxes.value(),
            outbox_bytes: c.outbox_bytes.value(),
            refused_lingering: c.refused_lingering.value(),
            channels: c.channels.value(),
            streams: c.streams.value(),
            history_bytes: c.history_bytes.value(),
            presences: c.presences.value(),
        }
    }

    /// The actual numbers.
    fn existing(&self) -> Gauges {
        let channels = &self.door.clients.channels;
        let carry = &self.door.clients.channels.carry;
        let mut all = Gauges {
            channels: channels.home.occupied_count() as u64,
            streams: channels.home.stream_count() as u64,
            history_bytes: channels.home.history_bytes() as u64,
            presences: channels.home.presence_count() as u64,
            users: self.door.clients.users.count() as u64,
            ..Gauges::default()
        };
        for (_, conn) in carry.conns.iter() {
            all.connections += 1;
            all.half_open += u64::from(conn.counted_as == CountedAs::HalfOpen);
            all.forwarding += u64::from(conn.counted_as == CountedAs::Asking);
            all.probes += u64::from(conn.counted_as == CountedAs::Probe);
            if let CountedAs::Session(kind) = conn.counted_as {
                all.sessions += 1;
                let name = kind.name();
                *all.sessions_by_kind.entry(name).or_default() += 1;
                let is_client = kind.is_named() && conn.session.phase() == Phase::Live;
                assert_eq!(conn.named > 0, is_client, "who is let in is counted by its program's name");
                if let Some(place) = conn.named.checked_sub(1) {
                    *all.clients_by_name.entry((name, place.into())).or_default() += 1;
                }
            }
            all.clients += u64::from(conn.client.is_some());
            all.tls_links += u64::from(conn.tls().is_some());
            all.plain_lines += u64::from(conn.is_plain_layered());
            all.outbox_queue_bytes += conn.outbox.as_ref().map_or(0, |outbox| outbox.queue_bytes()) as u64;
            let active = conn.subs.iter().filter(|sub| matches!(sub.state(), SubState::Active(_)));
            all.subscriptions += active.count() as u64;
            all.partial_bytes += u64::from(conn.held_bytes);
            all.outboxes += u64::from(conn.outbox.is_some());
            all.outbox_bytes += conn.outbox_bytes() as u64;
            all.refused_lingering += u64::from(conn.stage == Stage::Shed);
        }
        all
    }
}

/// Checks that session and shard agree about a pending connect command.
fn check_connecting<K, S>(key: Key, conn: &Conn<K, S>) {
    let client = conn.client.as_ref();
    let is_connecting = client.is_some_and(|client| client.connecting.is_some());
    let is_entering = conn.session.has_private_channels() && conn.awaits_entry();
    let is_corked = is_connecting || is_entering || conn.has_left;
    assert_eq!(
        conn.is_corked, is_corked,
        "the cork waits for the connect reply or a home, or stays: {key:?}"
    );
    let asks = conn.session.phase() == Phase::Admitting;
    assert_eq!(asks, is_connecting, "a connect command that is asked is being answered: {key:?}");
    let Some(client) = client else { return };
    let bytes: usize = client.waiting.iter().map(Waiting::bytes).sum();
    assert_eq!(client.waiting_bytes, bytes, "what waits is counted: {key:?}");
    if !client.waiting.is_empty() {
        let is_asked = conn.awaited_count > 0 || client.asked_outside() > 0 || conn.has_events_left();
        let is_awaited = is_connecting || is_asked || conn.outbox.is_some() || conn.is_unread;
        assert!(is_awaited, "commands wait for something that comes: {key:?}");
    }
}
