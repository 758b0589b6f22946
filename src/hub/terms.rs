//! What homes are asked and what they answer: the words of a [`super::home::Home`], without anything that acts.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{ClientInfo, Position, Publication};

/// Why a home does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The shard is home of as many channels as its limit allows.
    TooManyChannels,
    /// Memory is short, and the channel would be new.
    MemoryShort,
    /// The channel takes no more publications in this second.
    TooManyPublications,
    /// The position that was asked for is not in the stream.
    Unrecoverable,
    /// The memory failed, or cannot be reached.
    Unavailable,
    /// Too much waits for the memory already.
    TooManyWaiting,
}

/// Who asks a home, as its caller knows it; the home keeps it as long as it has no answer.
pub trait Asker: fmt::Debug {
    /// Whether a subscriber wants a publication that it missed in a stream that is read as a cache. Who recovers all that
    /// it missed sorts out by itself what it does not want.
    fn wants(&self, _publication: &Publication) -> bool {
        true
    }
}

impl Asker for () {}

/// What came of something that a home was asked, and who asked.
#[derive(Debug)]
pub enum Done<A> {
    /// To a subscriber: it is counted from here on, or refused.
    Subscribed {
        /// Name of the channel.
        channel: Arc<str>,
        /// Who asked.
        asker: A,
        /// What the home has for it.
        outcome: Result<Box<Joined>, Refused>,
    },
    /// To a publication.
    Published {
        /// Who asked, if an answer is wanted.
        asker: Option<A>,
        /// What it came to.
        outcome: Result<Published, Refused>,
    },
    /// To a question.
    Answered {
        /// Who asked.
        asker: A,
        /// The answer.
        answer: Answer,
    },
}

/// A subscriber, as its home knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Its shard.
    pub shard: u16,
    /// Its connection there.
    pub conn: u64,
}

/// What a home has to know of a subscriber.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Who it is, in this process.
    pub member: Member,
    /// Who it is, as others see it; `None` where neither presence nor joins are told.
    pub info: Option<Arc<ClientInfo>>,
    /// Whether it counts in the channel's presence.
    pub in_presence: bool,
    /// Whether its coming and going is told.
    pub tells_join: bool,
    /// Whether it wants to know the position.
    pub wants_position: bool,
    /// What it has, if it wants what came after; it is told the position then, too.
    pub recover: Option<Position>,
    /// It is counted already, and is not counted once more: what is said of it here is in place of what was said before.
    pub renews: bool,
}

/// What a home has for a new subscriber.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// [`Publication::seq`] of the last publication that is not for it.
    pub seq: u64,
    /// The stream's position, if it was wanted and the channel has a history.
    pub position: Option<Position>,
    /// Whether `publications` are all that came after what it had.
    pub recovered: bool,
    /// Oldest first.
    pub publications: Vec<Arc<Publication>>,
}

/// What a publisher may wish.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Publish once, however often it is asked for with this key within five minutes.
    pub idempotency_key: Option<Box<str>>,
    /// Keep it out of the history.
    pub skip_history: bool,
    /// Drop it if the channel has a version that is as high; 0 for no version.
    pub version: u64,
    /// What `version` is a version of; another is another series.
    pub version_epoch: Option<Box<str>>,
}

/// What a home can be asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Who is here.
    Presence,
    /// How many are here.
    PresenceStats,
    /// What was published.
    History(HistoryFilter),
    /// To forget what was published.
    RemoveHistory,
}

/// Which publications are wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// How many at most; `None` for all that there are.
    pub limit: Option<usize>,
    /// Only what came after this (before, when reversed).
    pub since: Option<Position>,
    /// Newest first.
    pub reverse: bool,
}

/// What a home answers.
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
        /// What was asked for.
        publications: Vec<Arc<Publication>>,
        /// The stream's position.
        position: Position,
    },
    /// To [`Question::RemoveHistory`].
    Removed,
    /// Names and numbers of subscribers, of the channels that were asked for: see [`super::home::Home::channels`].
    Channels(Vec<(Arc<str>, usize)>),
    /// No.
    Refused(Refused),
}

/// A channel has got its first subscriber, or lost its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// The first came (true), or the last went.
    pub is_occupied: bool,
    /// When, as Unix time in milliseconds.
    pub time_ms: u64,
}

impl StateChange {
    pub(super) fn new(channel: &Arc<str>, is_occupied: bool, now: Now) -> Self {
        Self { channel: Arc::clone(channel), is_occupied, time_ms: now.unix_ms }
    }
}

/// Who came to a channel and who went, in that order, since the last time it was told.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Its place among all that its home ever sent out, in any channel.
    pub seq: u64,
    /// Who, and whether it came (true) or went.
    pub changes: Vec<(bool, Arc<ClientInfo>)>,
}

/// The present, as two clocks tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of the shard's clock, which never jumps.
    pub ms: u64,
    /// Unix time in milliseconds, for what people and other machines read.
    pub unix_ms: u64,
}

/// Numbers of shards.
pub type Shards = SmallVec<[u16; 4]>;

/// Bounds of a home.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Channels. Where it is reached, positions without subscribers and publications give way before their time.
    pub channels_max: usize,
    /// Bytes of all histories together; the oldest publications go first.
    pub history_bytes_max: usize,
    /// Joins and leaves told per channel and second; beyond it, they are not told.
    pub join_leave_per_second_max: u32,
    /// How long a position outlives its last publication where the channel does not say.
    pub history_meta_ttl_ms: u64,
    /// Publications that a subscriber may have missed and still recovers.
    pub recovery_max: usize,
    /// Subscriptions, publications and questions that wait for a memory that answers later.
    pub waiting_max: usize,
}

/// What a publication came to.
#[derive(Debug, Default)]
pub struct Published {
    /// Its position; default without history.
    pub position: Position,
    /// What to deliver, and to which shards; none when nobody subscribes or when it was published before.
    pub delivery: Option<(Arc<Publication>, Shards)>,
}
