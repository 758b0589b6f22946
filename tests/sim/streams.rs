//! The model of channels with history, and the checks that follow from it.
//!
//! A stream is a channel and an epoch. Every subscriber receives the same publication at a position of a stream; a
//! client that is told that it recovered receives each position once, in order; one that is told that it did not has
//! lost publications that may be lost. Answered publications are in the stream. Expired publications are never
//! returned, nor more at once than the history keeps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fan::publication_id;
use crate::model::PublicationId;
use crate::plan::Plan;

/// Channels from this number on have history; lower ones have none.
pub(crate) const FIRST: u32 = 100;

/// The publisher outside of all connections.
pub(crate) const SERVER: u32 = 9999;

/// The name of a channel.
pub(crate) fn name(channel: u32) -> String {
    match channel.checked_sub(FIRST) {
        Some(number) => format!("h:{number}"),
        None => format!("c{channel}"),
    }
}

/// The channel of a name.
pub(crate) fn channel_of(name: &str) -> u32 {
    match name.strip_prefix("h:") {
        Some(number) => FIRST + number.parse::<u32>().unwrap(),
        None => name[1..].parse().unwrap(),
    }
}

/// A position that a client has: the stream's epoch and the offset in it.
pub(crate) type Place = (String, u64);

/// A subscription as its client sees it, once everything has settled.
#[derive(Debug)]
pub(crate) struct HeldSubscription<'a> {
    pub(crate) client: &'a str,
    pub(crate) channel: u32,
    pub(crate) place: &'a Place,
    /// When the connection was opened, and when the subscription was known to hold.
    pub(crate) came: u64,
    pub(crate) began: u64,
    /// For each client, whether its last announced change was a join.
    pub(crate) told: &'a BTreeMap<String, bool>,
}

/// Publications sent to streams and received from them, and the members in the presence of their channels.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    clock: u64,
    /// The world's time.
    pub(crate) now_us: u64,
    /// By channel and publisher: number of publications sent.
    said: BTreeMap<(u32, u32), u32>,
    /// By channel: number of answered publications, which are in the stream.
    answered: BTreeMap<u32, u64>,
    /// The publication at each position, and the time at which it was first seen.
    placed: BTreeMap<(u32, String), BTreeMap<u64, (PublicationId, u64)>>,
    /// The expected members of each channel, once known and as long as no client comes or goes.
    pub(crate) present: BTreeMap<u32, BTreeSet<String>>,
    /// Joins of present members, and leaves of absent ones.
    pub(crate) contradictions: Vec<String>,
    /// How many orders there were to subscribe each client to each channel.
    pub(crate) subscribe_orders: BTreeMap<(String, u32), u32>,
    /// How often each device received another join of a client that it knew to be present.
    came_again: BTreeMap<(u32, (String, u32)), u32>,
    /// Differences of the homes' presence.
    pub(crate) differences: Vec<String>,
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
    pub(crate) caught_up: u64,
    pub(crate) memberships: u64,
    pub(crate) orders: u64,
    pub(crate) verdicts: u64,
    /// Answers of memories that answer later, and failures among them.
    pub(crate) late: u64,
    pub(crate) late_failures: u64,
}

impl Streams {
    /// A device received the same change of a client and a channel again. A repeated join is right once for each
    /// order to subscribe a subscribed client.
    pub(crate) fn contradict(&mut self, device: u32, who: (String, u32), is_join: bool, push: &Value) {
        let ordered = self.subscribe_orders.get(&who).copied().unwrap_or(0);
        let count = self.came_again.entry((device, who)).or_default();
        *count += u32::from(is_join);
        if !is_join || *count > ordered {
            self.contradictions.push(format!("device {device}: {push}"));
        }
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A publisher is about to publish; returns the publication's number.
    pub(crate) fn publish(&mut self, by: u32, channel: u32) -> u32 {
        let said = self.said.entry((channel, by)).or_default();
        *said += 1;
        *said
    }

    /// The home answered a publication.
    pub(crate) fn answered(&mut self, channel: u32) {
        *self.answered.entry(channel).or_default() += 1;
    }

    /// A publication arrived at a client at this position: it must be the next one.
    pub(crate) fn hear(&mut self, (epoch, place): &mut Place, channel: u32, publication: &Value) {
        let (in_channel, id) = publication_id(&publication["data"]);
        assert_eq!(in_channel, channel, "{publication}");
        let offset = publication["offset"].as_u64().expect("an offset");
        assert_eq!(offset, *place + 1, "a gap or a repetition in {channel}: {publication}");
        *place = offset;
        self.place(channel, epoch, offset, id);
    }

    /// A client received a publication at this position, or was told that it has it.
    pub(crate) fn place(&mut self, channel: u32, epoch: &str, offset: u64, id: PublicationId) {
        let said = self.said.get(&(channel, id.0)).copied().unwrap_or(0);
        assert!((1..=said).contains(&id.1), "nobody said {id:?} in {channel}");
        let stream = self.placed.entry((channel, epoch.to_owned())).or_default();
        let (known, _) = *stream.entry(offset).or_insert((id, self.now_us));
        assert_eq!(known, id, "two publications at {offset} of {channel} {epoch}");
    }

    /// Checks a home's answer about the past: `count` publications from `first` on, for a request at `asked_us`.
    pub(crate) fn check_kept(
        &self,
        plan: &Plan,
        (channel, epoch): (u32, &str),
        first: u64,
        count: usize,
        asked_us: u64,
    ) {
        let history = &plan.history;
        assert!(count <= history.size, "{count} of {} publications of {channel} are kept", history.size);
        // The home counts whole milliseconds.
        let expired_us = (asked_us / 1000).saturating_sub(history.ttl_ms) * 1000;
        let stream = self.placed.get(&(channel, epoch.to_owned())).filter(|_| count > 0);
        let heard_us = stream.and_then(|stream| stream.get(&first)).map(|&(_, heard_us)| heard_us);
        assert!(
            heard_us.is_none_or(|heard_us| heard_us >= expired_us),
            "{first} of {channel} {epoch} was heard at {heard_us:?} and told to who asked at {asked_us}"
        );
    }

    /// Checks a failed recovery: `from` is the client's position, `to` the stream's.
    pub(crate) fn check_unrecovered(&mut self, plan: &Plan, from: &Place, to: &Place) {
        self.unrecovered += 1;
        let history = &plan.history;
        if from.0 == to.0 {
            let missed = to.1 - from.1;
            let is_lost = history.expires
                || history.evicts
                || missed > history.size as u64
                || missed > history.recovery_max as u64;
            assert!(is_lost, "not recovered from {from:?} to {to:?}, which loses nothing");
        } else {
            // A channel without history has an empty epoch.
            assert!(history.forgets, "another stream, from {from:?} to {to:?}, although none is forgotten");
        }
    }

    /// Checks all subscriptions to channels with history against each other and against the publications.
    pub(crate) fn check_settled(&mut self, plan: &Plan, held: &[HeldSubscription<'_>], hears_all: bool) {
        for ((channel, epoch), stream) in &self.placed {
            let ids: BTreeSet<_> = stream.values().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), stream.len(), "a publication stands twice in {channel} {epoch}");
            if plan.history.hooks_publish {
                continue;
            }
            let mut last: BTreeMap<u32, u32> = BTreeMap::new();
            for &((by, number), _) in stream.values() {
                let before = last.insert(by, number).unwrap_or(0);
                assert!(before < number, "{by} said {number} before {before} in {channel} {epoch}");
            }
        }
        for one in held {
            let (epoch, offset) = one.place;
            let first = held.iter().find(|other| other.channel == one.channel).unwrap();
            assert_eq!(one.place, first.place, "{} and {} in {}", one.client, first.client, one.channel);
            let top = self.placed.get(&(one.channel, epoch.clone())).and_then(|stream| stream.keys().last());
            assert!(top.is_none_or(|top| top <= offset), "{} has {offset} of {top:?}", one.client);
            let answered = self.answered.get(&one.channel).copied().unwrap_or(0);
            assert!(
                plan.history.forgets || *offset >= answered,
                "{answered} publications were answered in {}, {} has {offset}",
                one.channel,
                one.client
            );
        }
        self.present = held.iter().fold(BTreeMap::new(), |mut all, one| {
            all.entry(one.channel).or_default().insert(one.client.to_owned());
            all
        });
        if hears_all {
            held.iter().for_each(|one| check_told(one, held));
        }
    }
}

/// Checks the joins and leaves that a client received.
fn check_told(one: &HeldSubscription<'_>, held: &[HeldSubscription<'_>]) {
    let others = || held.iter().filter(|other| other.channel == one.channel);
    for other in others().filter(|other| other.client != one.client && other.came > one.began) {
        let told = one.told.get(other.client);
        assert_eq!(told, Some(&true), "{} was not told that {} came", one.client, other.client);
    }
    for (client, &is_there) in one.told {
        let is_present = others().any(|other| other.client == client);
        assert_eq!(is_there, is_present, "{} in {}: {client} was last told so", one.client, one.channel);
    }
}
