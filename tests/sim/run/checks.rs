//! The checks of a run: of its clients, streams and homes when all has settled, and of what is left at its end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use throng::parts::hub::home::Answer;
use throng::parts::shard::mailbox::{Asker, Letter, Look};
use throng::parts::shard::{INPUT_BYTES, Shard};

use super::{Outcome, Run};
use crate::client::Client;
use crate::outcomes::Counts;
use crate::rng::mix;
use crate::streams::{HeldSubscription, name};

/// Without any of these, over all seeds, a simulation would prove nothing.
const TELLING: [&str; 24] = [
    "refused_half_open",
    "refused_node_rate",
    "refused_memory",
    "limited_memory",
    "newcomer_waits",
    "drain_closes",
    "memory_shed_slow",
    "memory_shed_newest",
    "recoveries",
    "recoveries_failed",
    "joins_suppressed",
    "accept_pauses",
    "heartbeats_missed",
    "mailbox_pauses",
    "refused_unavailable",
    "slow_consumers",
    "budget_closes",
    "stale_ids",
    "transport_errors",
    "violations",
    "deliveries",
    "tls_handshakes",
    "tls_resumptions",
    "tls_faults",
];

impl Run {
    /// Checks the state of reconnecting clients against the publications.
    pub(super) fn check_streams(&mut self) {
        let hears_all = self.sum("joins_suppressed") == 0;
        let devices: Vec<_> = self.devices.iter().map(|device| device.borrow()).collect();
        let held: Vec<HeldSubscription<'_>> = devices.iter().flat_map(|device| device.held()).collect();
        self.model.streams.check_settled(&self.plan, &held, hears_all);
        let contradictions = &self.model.streams.contradictions;
        assert!(!hears_all || contradictions.is_empty(), "{contradictions:#?}");
    }

    /// How many subscribe to each channel, as the clients see it.
    fn crowds(&self) -> BTreeMap<String, usize> {
        let devices: Vec<_> = self.devices.iter().map(|device| device.borrow()).collect();
        let held = devices.iter().flat_map(|device| device.held()).map(|held| held.channel);
        self.model.open().chain(held).fold(BTreeMap::new(), |mut crowds, channel| {
            *crowds.entry(name(channel)).or_default() += 1;
            crowds
        })
    }

    /// Asks the homes for the subscriber counts of channels: a subscriber that is lost, or counted twice, stays so
    /// for ever.
    pub(super) fn check_homes(&mut self) {
        let crowds = self.crowds();
        let subscriptions = crowds.values().sum::<usize>() as u64;
        assert_eq!(self.sum("subscriptions"), subscriptions, "subscriptions, as the clients see it");
        let told: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        for mailbox in self.mailboxes.iter() {
            let told = Arc::clone(&told);
            let reply = move |answer| {
                let Answer::Channels(channels) = answer else { panic!("{answer:?}") };
                told.lock().unwrap().extend(channels.iter().map(|(name, count)| (name.to_string(), *count)));
            };
            let what = Look::Channels { pattern: String::new() };
            mailbox.put(&mut vec![Letter::Look { what, asker: Asker::Outside(Box::new(reply)) }]);
        }
        self.run_until_idle();
        let counts = self.shards.iter().flatten().map(Shard::user_connection_counts);
        let (there, here) = counts.fold((0, 0), |(a, b), (there, here)| (a + there, b + here));
        assert_eq!(there, here, "users' connections, as their homes and their shards see it");
        // A client that leaves meanwhile is counted by some and not by others.
        if self.crowds() == crowds {
            assert_eq!(*told.lock().unwrap(), crowds, "subscribers, as the homes and as the clients see it");
        }
    }

    /// Asks the homes for their state, and compares.
    pub(super) fn audit(&mut self) {
        self.clients.iter_mut().for_each(Client::audit);
        self.run_until_idle();
        for client in &self.clients {
            client.check_settled(&self.world.borrow(), self.plan.has_room());
        }
        let streams = &mut self.model.streams;
        // A client that comes or goes meanwhile is missed by some and not by others.
        assert!(streams.present.is_empty() || streams.differences.is_empty(), "{:#?}", streams.differences);
        streams.present.clear();
    }

    /// Queued bytes and incomplete messages are within the limits of each connection, plus one answer, which is never
    /// too large, and one read.
    pub(super) fn check_memory(&self) {
        let limits = &self.plan.config.limits;
        let (mut connections, mut answer) = (0, 0);
        for counters in self.counters.iter() {
            connections += counters.connections.value() as usize;
            // No answer contains more than all histories and all presence.
            answer += 2 * counters.history_bytes.value() as usize + 512 * counters.presences.value() as usize;
        }
        let read = INPUT_BYTES + limits.message_bytes_max + limits.head_bytes_max;
        let allowed = connections * (limits.outbox_bytes_max + answer + read) + limits.queued_bytes_max / 4;
        assert!(self.budget.used() <= allowed, "{} bytes are queued, {allowed} may be", self.budget.used());
    }

    /// Checks that nothing is left, and sums up the run.
    pub(super) fn check_the_end(&self, settled: Counts) -> Outcome {
        for client in &self.clients {
            assert!(client.is_over(), "{} outlives the server: {client:?}", client.io.who);
        }
        assert_eq!(self.budget.used(), 0, "bytes are still charged");
        assert_eq!(self.inside.load(Relaxed), 0, "each guest that came in was let out, once");
        let sum = |name| self.sum(name);
        for gauge in [
            "connections",
            "sessions",
            "outbox_bytes",
            "outboxes",
            "subscriptions",
            "half_open",
            "refused_lingering",
            "clients",
            "partial_bytes",
            "connection_bytes",
            "drain_left",
            "tls_links",
        ] {
            assert_eq!(sum(gauge), 0, "{gauge}");
        }
        assert_eq!(sum("accepts"), sum("closes"));
        let world = self.world.borrow();
        let accepted = world.links.iter().filter(|link| link.accepted_us.is_some()).count();
        assert_eq!(sum("accepts"), accepted as u64);
        assert!(sum("deliveries") >= self.model.deliveries);
        assert!(world.links.iter().all(|link| link.is_dropped), "a socket was not closed");
        let streams = &self.model.streams;
        let told = [
            ("recovered", streams.recovered),
            ("unrecovered", streams.unrecovered),
            ("caught_up", streams.caught_up),
            ("memberships", streams.memberships),
            ("orders", streams.orders),
            ("verdicts", streams.verdicts),
            ("key_changes", self.clients.iter().map(|client| client.pipe.key_change_count()).sum()),
            ("renewals", self.renewals.as_ref().map_or(0, |renewals| renewals.count)),
            ("rounds", self.rounds),
        ];
        let late = [("late", streams.late), ("late_failures", streams.late_failures)];
        let late = late.into_iter().filter(|_| self.memories.is_some());
        let counts = TELLING.map(|name| (name, sum(name)));
        Outcome {
            hash: mix(world.hash ^ self.oracle.hash()),
            counts: counts.into_iter().chain(told).chain(late).collect(),
            counters: [settled, self.counters()],
        }
    }
}
