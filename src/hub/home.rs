//! The channels whose home is this shard: who subscribes from which shard, and the order of what is published.
//!
//! Invariant: a channel exists as long as some shard has subscribers of it, and its counts are those of the
//! subscribe and unsubscribe letters that arrived. What is published is numbered here and nowhere else.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::options::ChannelOptions;
use super::{ClientInfo, Position, Publication};

/// Why a home does not take a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The shard is home of as many channels as its limit allows.
    TooManyChannels,
    /// The channel takes no more publications in this second.
    TooManyPublications,
    /// The position that was asked for is not in the stream.
    Unrecoverable,
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
    /// What it has, if it wants what came after.
    pub recover: Option<Position>,
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
    /// No.
    Refused(Refused),
}

/// Who came to a channel and who went, in that order, since the last time it was told.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Who, and whether it came (true) or went.
    pub changes: Vec<(bool, Arc<ClientInfo>)>,
}

/// How many subscribers a shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Audience {
    shard: u16,
    count: u32,
}

#[derive(Debug, Default)]
struct Channel {
    shards: SmallVec<[Audience; 2]>,
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
    /// Channels.
    pub channels_max: usize,
    /// Bytes of all histories together; the oldest publications go first.
    pub history_bytes_max: usize,
    /// Joins and leaves told per channel and second; beyond it, they are not told.
    pub join_leave_per_second_max: u32,
    /// How long a position outlives its last publication where the channel does not say.
    pub history_meta_ttl_ms: u64,
}

/// What a publication came to.
#[derive(Debug)]
pub struct Published {
    /// Its position; default without history.
    pub position: Position,
    /// What to deliver, and to which shards; none when nobody subscribes or when it was published before.
    pub delivery: Option<(Arc<Publication>, Shards)>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Home {
    channels: HashMap<Arc<str>, Channel>,
    limits: Limits,
    seq: u64,
}

impl Home {
    /// A home without channels. `seed` tells its streams' epochs from those of other homes and of other runs.
    pub fn new(limits: Limits, _seed: u64) -> Self {
        Self { channels: HashMap::new(), limits, seq: 0 }
    }

    /// Counts one more subscriber, and says what it has for it.
    ///
    /// # Errors
    /// When the channel would be one too many.
    pub fn subscribe(
        &mut self,
        _now: Now,
        channel: &Arc<str>,
        _options: &Arc<ChannelOptions>,
        joining: &Joining,
    ) -> Result<Joined, Refused> {
        let shard = joining.member.shard;
        if !self.channels.contains_key(channel) {
            if self.channels.len() >= self.limits.channels_max {
                return Err(Refused::TooManyChannels);
            }
            self.channels.insert(Arc::clone(channel), Channel::default());
        }
        let joined = Joined { seq: self.seq, ..Joined::default() };
        let Some(home) = self.channels.get_mut(channel) else { return Ok(joined) };
        match home.shards.iter_mut().find(|presence| presence.shard == shard) {
            Some(presence) => presence.count += 1,
            None => home.shards.push(Audience { shard, count: 1 }),
        }
        Ok(joined)
    }

    /// Counts one subscriber less; a channel without history ends with its last. False when there was none: a letter
    /// was lost or came twice, which must not happen.
    pub fn unsubscribe(&mut self, _now: Now, channel: &str, member: Member) -> bool {
        let shard = member.shard;
        let Some(home) = self.channels.get_mut(channel) else { return false };
        let Some(at) = home.shards.iter().position(|presence| presence.shard == shard) else { return false };
        home.shards[at].count -= 1;
        if home.shards[at].count == 0 {
            home.shards.swap_remove(at);
        }
        if home.shards.is_empty() {
            self.channels.remove(channel);
        }
        true
    }

    /// Numbers a publication, keeps it where the channel has a history, and says which shards have subscribers.
    ///
    /// # Errors
    /// When the channel takes no more.
    pub fn publish(
        &mut self,
        _now: Now,
        mut publication: Box<Publication>,
        _options: &Arc<ChannelOptions>,
        _terms: &Terms,
    ) -> Result<Published, Refused> {
        self.seq += 1;
        publication.seq = self.seq;
        let delivery = self.channels.get(&publication.channel).map(|home| {
            let shards = home.shards.iter().map(|presence| presence.shard).collect();
            (Arc::from(publication), shards)
        });
        Ok(Published { position: Position::default(), delivery })
    }

    /// Answers a question about a channel.
    pub fn ask(
        &mut self,
        _now: Now,
        _channel: &Arc<str>,
        _options: &Arc<ChannelOptions>,
        question: &Question,
    ) -> Answer {
        match question {
            Question::Presence => Answer::Presence(Vec::new()),
            Question::PresenceStats => Answer::PresenceStats { client_count: 0, user_count: 0 },
            Question::History(_) => {
                Answer::History { publications: Vec::new(), position: Position::default() }
            }
            Question::RemoveHistory => Answer::Removed,
        }
    }

    /// Who came and went in one channel since the last call, and the shards that want to know; call it until `None` at
    /// the end of each turn.
    pub fn take_membership(&mut self, _now: Now) -> Option<(Arc<Membership>, Shards)> {
        None
    }

    /// Lets time pass: forgets what has outlived its time, a bounded number of channels per call.
    pub fn expire(&mut self, _now: Now) {}

    /// When [`Home::expire`] has something to do, in milliseconds of the shard's clock.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        None
    }

    /// Names and subscribers of the channels that match: `*` stands for any run of characters, an empty pattern for all.
    pub fn channels(&self, _pattern: &str) -> Vec<(Arc<str>, usize)> {
        Vec::new()
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether this shard is home of no channel.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of subscribers of a channel, in all shards.
    pub fn subscriber_count(&self, channel: &str) -> usize {
        self.channels.get(channel).map_or(0, |home| home.shards.iter().map(|p| p.count as usize).sum())
    }
}
