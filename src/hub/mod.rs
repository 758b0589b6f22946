//! Channels, without protocols, sockets or a clock.
//!
//! Every channel has one [`home::Home`], in the shard that its name hashes to: it orders the publications.
//! Every shard that has subscribers of the channel keeps their list in its [`local::Local`].
//!
//! * A home: `home`, with `order` (numbers, places in streams, `once` for idempotency keys), `spread` (shards with
//!   subscribers), `presence`; `terms` has its questions and answers, `footprint` its memory.
//! * Streams: `memory` is the trait, `history` the one implementation, `recovery` reads; `waiting` and `home/late`
//!   serve a memory that answers later.
//! * Subscribers of a shard: `local`; `choice` selects the items of a batch for each.
//! * `emission`: messages to several channels, delivered once to each subscriber; `rooms`: channels that are rooms, and the
//!   homes of rooms. `selector`: which sockets a message or an order is for; `socket_order`: orders to sockets;
//!   `socket_place`: their ids. `away`: recovery of sockets; `offset` and `reach` tell how far a client and a connection
//!   have come.
//! * `words`: requests, replies and pushes between sessions and shards.
//! * Rules: `options` (by channel name), `permissions`, `pattern` (RE2), `codes`. Counts by namespace: `tally`.

pub(crate) mod away;
pub(crate) mod choice;
pub(crate) mod codes;
pub(crate) mod emission;
#[cfg(test)]
mod fixtures;
mod footprint;
mod history;
pub mod home;
#[cfg(test)]
mod journey;
pub mod local;
pub mod memory;
pub(crate) mod offset;
mod once;
pub mod options;
mod order;
mod pattern;
pub mod permissions;
mod presence;
pub mod reach;
mod recovery;
pub mod rooms;
pub(crate) mod selector;
pub(crate) mod socket_order;
pub(crate) mod socket_place;
mod spread;
pub mod tally;
mod terms;
mod waiting;
pub mod words;

use std::sync::Arc;

use crate::base::heap;
use crate::base::payload::{Payload, PayloadRef};
use crate::base::seed::{Purpose, Seed};
use crate::base::shared::Shared;

/// A client's identity, as other clients in its channels see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user; empty when anonymous.
    pub user: Box<str>,
    /// The connection's id.
    pub client: Box<str>,
    /// Info of the connection from its token or hook; empty for none.
    pub conn_info: Payload,
    /// Info of the subscription from its token or hook; empty for none.
    pub chan_info: Payload,
}

impl ClientInfo {
    /// The info after the connection's changed to `info`. `keeps_chan_info` keeps the subscription's own part.
    pub fn renewed(self: &Arc<Self>, info: &Arc<Self>, keeps_chan_info: bool) -> Arc<Self> {
        if keeps_chan_info && self.chan_info != info.chan_info {
            Arc::new(Self { chan_info: self.chan_info.clone(), ..Self::clone(info) })
        } else {
            Arc::clone(info)
        }
    }

    /// Memory behind an `Arc`, in bytes.
    pub fn bytes(&self) -> usize {
        let Self { user, client, conn_info, chan_info } = self;
        let lengths = [user.len(), client.len(), conn_info.held_bytes(), chan_info.held_bytes()];
        heap::arc(size_of::<Self>()) + lengths.map(heap::piece).iter().sum::<usize>()
    }
}

/// Classification of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataKind {
    /// One JSON value, checked.
    #[default]
    Json,
    /// UTF-8 that may be JSON.
    Text,
    /// Any bytes, among them JSON.
    Binary,
}

impl DataKind {
    /// The classification of a payload.
    pub fn of(payload: PayloadRef<'_>) -> Self {
        if payload.json().is_some() { Self::Json } else { Self::Binary }
    }
}

/// Names and values that filters evaluate.
pub(crate) type Tags = Box<[(Box<str>, Box<str>)]>;

/// A message in a channel, as published. Immutable once its home has numbered it; shared by all shards that deliver it.
#[derive(Debug)]
pub struct Publication {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Classification of `data`.
    pub kind: DataKind,
    /// The lane of its publisher ([`local::lane_of`]): publications of one lane keep their order between channels, too.
    /// 0 for the server's.
    pub lane: u16,
    /// The message. Counted until the last delivery, or in the history's budget.
    pub data: Shared,
    /// Whether it contains no line end; known of publications in a history, `false` for all others.
    pub is_one_line: bool,
    /// The publisher; `None` for the server.
    pub info: Option<Arc<ClientInfo>>,
    /// Names and values that filters evaluate.
    pub tags: Tags,
    /// Its number among all items that its home ever sent, in any channel; set by the home, from 1.
    pub seq: u64,
    /// Its offset in the channel's stream, set by the home; 0 without history.
    pub offset: u64,
    /// Whether subscribers of the group that shares the channel receive it by an emission of its own.
    pub is_emitted: bool,
    /// Whether it may be sent as a delta to `previous`. As published: whether the publisher wants that.
    pub is_delta: bool,
    /// The previous publication in the stream, kept by the history; set by the home where a delta is wanted.
    pub previous: Option<Arc<Self>>,
    /// Rarely used properties; `None` without any.
    pub rare: Option<Box<Rare>>,
}

/// Rarely used properties of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    /// The publisher's version; 0 for none.
    pub version: u64,
    /// The stream's epoch; set by the home for the first publication of a stream.
    pub epoch: Option<Arc<str>>,
}

impl Publication {
    /// Makes a message that no home has numbered yet, without optional properties.
    pub fn new(channel: Arc<str>, kind: DataKind, data: Shared) -> Self {
        Self {
            channel,
            kind,
            lane: 0,
            data,
            is_one_line: false,
            info: None,
            tags: Tags::default(),
            seq: 0,
            offset: 0,
            is_emitted: false,
            is_delta: false,
            previous: None,
            rare: None,
        }
    }
}

/// An item sent by a home to the shards with subscribers.
#[derive(Clone, Debug)]
pub enum Item {
    /// A message.
    Publication(Arc<Publication>),
    /// Joins and leaves.
    Membership(Arc<home::Membership>),
}

impl Item {
    /// Name of the channel.
    pub fn channel(&self) -> &Arc<str> {
        match self {
            Self::Publication(publication) => &publication.channel,
            Self::Membership(membership) => &membership.channel,
        }
    }

    /// The lane of its publisher, or 0.
    fn lane(&self) -> u16 {
        match self {
            Self::Publication(publication) => publication.lane,
            Self::Membership(_) => 0,
        }
    }

    /// Its number among all items that its home ever sent, in any channel.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Publication(publication) => publication.seq,
            Self::Membership(membership) => membership.seq,
        }
    }
}

/// A position in a channel's stream: the number of a publication, and the stream of that number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last publication's number; 0 before the first.
    pub offset: u64,
    /// Name of the stream. Offsets of different streams are not comparable.
    pub epoch: Arc<str>,
}

/// The shard, of `shard_count`, that is home of a channel: private channels of one group (`emission`) have one home. For
/// channels that others share see [`rooms::RoomMap::home_of`]. `seed` is the process's: it keeps clients from choosing names
/// that all live in one shard.
pub fn home_of(channel: &str, seed: Seed, shard_count: u16) -> u16 {
    // The first character of a private one is no part of the name, so that shared channels have the same home.
    let group = emission::group_of(channel);
    home_of_name(group.strip_prefix(emission::PRIVATE).unwrap_or(group), seed, shard_count)
}

fn home_of_name(name: &str, seed: Seed, shard_count: u16) -> u16 {
    if shard_count <= 1 {
        return 0;
    }
    let hash = seed.hash(Purpose::Home, name.as_bytes());
    u16::try_from(hash % u64::from(shard_count)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_stable_and_spread() {
        let mut counts = [0; 8];
        for i in 0..8000 {
            let name = format!("room:{i}");
            let home = home_of(&name, Seed::from(7), 8);
            assert_eq!(home, home_of(&name, Seed::from(7), 8));
            counts[usize::from(home)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(home_of("anything", Seed::from(7), 1), 0);
    }
}
