//! Requests to homes and their answers: plain values of a [`super::home::Home`].

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::away::RecoveryLimits;
use super::options::ChannelOptions;
use super::socket_order::Gathered;
use super::{ClientInfo, Position, Publication};
use crate::base::filter::Filter;

/// The reason for which a home refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The shard's limit of channels is reached.
    TooManyChannels,
    /// Memory is short, and the channel would be new.
    MemoryShort,
    /// The channel accepts no more publications in this second.
    TooManyPublications,
    /// The requested position is not in the stream.
    Unrecoverable,
    /// The memory failed, or is unreachable.
    Unavailable,
    /// Too many requests wait for the memory, or too many orders for sockets.
    TooManyWaiting,
    /// The answer is too large.
    TooMuch,
}

/// The caller's identification of a request; the home keeps it until it has an answer.
pub trait Asker: fmt::Debug {
    /// Whether a subscriber wants a publication that it missed in a stream in cache mode. A subscriber that recovers
    /// all missed publications filters them itself.
    fn wants(&self, _publication: &Publication) -> bool {
        true
    }
}

impl Asker for () {}

/// The result of a request to a home, and its asker.
#[derive(Debug)]
pub enum Done<A> {
    /// Of a subscribe request: it counts from here on, or is refused.
    Subscribed {
        /// Name of the channel.
        channel: Arc<str>,
        /// The asker.
        asker: A,
        /// The home's answer.
        outcome: Result<Box<Joined>, Refused>,
    },
    /// Of a publication.
    Published {
        /// The asker, if it wants an answer.
        asker: Option<A>,
        /// The result.
        outcome: Result<Published, Refused>,
    },
    /// Of a question.
    Answered {
        /// The asker.
        asker: A,
        /// The answer.
        answer: Answer,
    },
}

/// A subscriber, as its home knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Shard of the subscriber.
    pub shard: u16,
    /// Connection in that shard.
    pub conn: u64,
}

/// A home's view of a new subscriber.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Its place in this process.
    pub member: Member,
    /// Its identity for other clients; `None` where neither presence nor joins need it.
    pub info: Option<Arc<ClientInfo>>,
    /// Whether it counts in the channel's presence.
    pub in_presence: bool,
    /// Whether its join and leave are sent.
    pub tells_join: bool,
    /// Whether it wants the position.
    pub wants_position: bool,
    /// The position that it recovers from, if it wants recovery; it is told the new position then, too.
    pub recover: Option<Position>,
    /// Whether it is counted already and is not counted once more: these values replace the earlier ones.
    pub renews: bool,
}

impl Joining {
    /// Of a subscriber without options.
    pub(crate) fn of(member: Member) -> Self {
        Self {
            member,
            info: None,
            in_presence: false,
            tells_join: false,
            wants_position: false,
            recover: None,
            renews: false,
        }
    }
}

impl Joining {
    /// Of a subscriber that others see by this identity, where the channel has presence, joins or leaves.
    pub(crate) fn seen(member: Member, info: Option<Arc<ClientInfo>>, options: &ChannelOptions) -> Self {
        let is_seen = info.is_some();
        Self {
            info,
            in_presence: is_seen && options.presence,
            tells_join: is_seen && options.join_leave,
            ..Self::of(member)
        }
    }
}

/// A home's answer to a new subscriber.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// [`Publication::seq`] of the last item that is not for it.
    pub seq: u64,
    /// The stream's position, if it was requested and the channel has a history.
    pub position: Option<Position>,
    /// Whether `publications` are all that the subscriber missed.
    pub recovered: bool,
    /// The recovered publications, oldest first.
    pub publications: Vec<Arc<Publication>>,
}

impl Joined {
    /// Keeps the missed publications that a subscriber's filter lets pass, as with later ones.
    pub fn choose(&mut self, filter: Option<&Filter>) {
        if let Some(filter) = filter {
            self.publications.retain(|missed| filter.matches(&missed.tags));
        }
    }
}

/// A publisher's options.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Idempotency key: a publication with the same key is not published again within five minutes.
    pub idempotency_key: Option<Box<str>>,
    /// Whether to keep it out of the history.
    pub skip_history: bool,
    /// Version: the publication is dropped if the channel has an equal or higher one; 0 for none.
    pub version: u64,
    /// Series of `version`; a new name begins a new series.
    pub version_epoch: Option<Box<str>>,
}

/// A question to a home.
#[derive(Clone, Debug)]
pub enum Question {
    /// The members in presence.
    Presence,
    /// The numbers of members.
    PresenceStats,
    /// The history.
    History(HistoryFilter),
    /// The removal of the history.
    RemoveHistory,
}

/// The requested part of a history.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Maximum of publications; `None` for all.
    pub limit: Option<usize>,
    /// Only publications after this position (before it, when reversed).
    pub since: Option<Position>,
    /// Newest first.
    pub reverse: bool,
}

/// A home's answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To a publication: its position; default without history.
    Published(Position),
    /// To [`Question::Presence`].
    Presence(Vec<Arc<ClientInfo>>),
    /// To [`Question::PresenceStats`].
    PresenceStats {
        /// Connections.
        client_count: u32,
        /// Different users.
        user_count: u32,
    },
    /// To [`Question::History`].
    History {
        /// The requested publications.
        publications: Vec<Arc<Publication>>,
        /// The stream's position.
        position: Position,
    },
    /// To [`Question::RemoveHistory`].
    Removed,
    /// Names and subscriber counts of channels: see [`super::home::Home::channels`].
    Channels(Vec<(Arc<str>, usize)>),
    /// Hashes of the users of a shard's connections, each once.
    Users(Vec<u64>),
    /// To an order to sockets.
    Gathered(Box<Gathered>),
    /// A refusal.
    Refused(Refused),
}

/// A channel got its first subscriber, or lost its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Whether the first subscriber came (true), or the last went.
    pub is_occupied: bool,
    /// Time of the change, as Unix time in milliseconds.
    pub time_ms: u64,
}

impl StateChange {
    pub(super) fn new(channel: &Arc<str>, is_occupied: bool, now: Now) -> Self {
        Self { channel: Arc::clone(channel), is_occupied, time_ms: now.unix_ms }
    }
}

/// Joins and leaves of a channel, in order, since the last report.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Its number among all items that its home ever sent, in any channel.
    pub seq: u64,
    /// Each client, and whether it joined (true) or left.
    pub changes: Vec<(bool, Arc<ClientInfo>)>,
}

/// The present time, of two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of the shard's clock, which never jumps.
    pub ms: u64,
    /// Unix time in milliseconds, for output.
    pub unix_ms: u64,
}

/// Numbers of shards.
pub type Shards = SmallVec<[u16; 4]>;

/// Limits of a home.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Channels. At the limit, unattended positions and publications are dropped early.
    pub channels_max: usize,
    /// Bytes of all histories together; the oldest publications are dropped first.
    pub history_bytes_max: usize,
    /// Joins and leaves sent per channel and second; the rest is dropped.
    pub join_leave_per_second_max: u32,
    /// Lifetime of a position after the last publication, for channels without one of their own.
    pub history_meta_ttl_ms: u64,
    /// Publications that a subscriber may have missed and still recovers.
    pub recovery_max: usize,
    /// Subscriptions, publications and questions that wait for a slow memory.
    pub waiting_max: usize,
    /// Limits of recovery of sockets in private channels; `None` without it.
    pub recovery: Option<RecoveryLimits>,
}

/// The result of a publication.
#[derive(Debug, Default)]
pub struct Published {
    /// Its position; default without history.
    pub position: Position,
    /// The delivery and its shards; `None` when it was published before, or without subscribers. Where sockets can return
    /// ([`Limits::recovery`]) there is one without subscribers, too: of no shards.
    pub delivery: Option<(Arc<Publication>, Shards)>,
}
