//! The channels whose home is this shard: who subscribes from which shard, what was published, and in which order.
//!
//! Invariant: a channel exists as long as some shard has subscribers of it or its stream has a position that is not
//! forgotten. Its counts are those of the subscribe and unsubscribe letters that arrived. What is published is numbered
//! here and nowhere else; the number `seq` runs through all channels of the home, so it still orders what waits
//! somewhere when a channel ends and begins anew.
//!
//! Left out on purpose: who may do what (the caller asks [`super::options`] first), delivery, and time, which is told.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::history::{History, StreamId};
use super::once::Once;
use super::options::{ChannelOptions, Namespaces};
use super::presence::Crowd;
use super::tally::Tally;
use super::wildcard::matches;
use super::{Position, Publication};
use crate::base::bucket::Bucket;
use crate::base::counters::NamespaceCounters;
use crate::base::heap;
use crate::base::pool::Pool;
use crate::base::seed::Seed;

pub use super::terms::{
    Answer, HistoryFilter, Joined, Joining, Limits, Member, Membership, Now, Published, Question, Refused,
    Shards, StateChange, Terms,
};

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) crowd: Crowd,
    pub(super) stream: Option<StreamId>,
    /// Publications of clients.
    rate: Bucket,
    /// It was told that the channel is occupied.
    pub(super) is_told: bool,
    /// Where it is counted with others of its namespace, if that is wanted.
    counters: Option<Arc<NamespaceCounters>>,
}

impl Channel {
    /// Takes back what is known of it beside it.
    fn forget(self, names: &mut HashMap<Arc<str>, u32>, name_bytes: &mut usize) {
        names.remove(&self.name);
        heap::ease_table(names);
        // Nobody subscribes to it.
        *name_bytes -= heap::arc(self.name.len());
        if let Some(counters) = self.counters {
            counters.channels.sub(1);
        }
    }
}

/// The channels whose home is one shard.
#[derive(Debug)]
pub struct Home {
    pub(super) names: HashMap<Arc<str>, u32>,
    pub(super) channels: Pool<Channel>,
    pub(super) history: History,
    pub(super) once: Once,
    /// Channels with changes to tell. One that has ended since, or whose number is another's by now, is passed over.
    pub(super) changed: VecDeque<u32>,
    /// First and last subscribers to tell, in their order.
    states: Vec<StateChange>,
    limits: Limits,
    seq: u64,
    pub(super) presence_count: usize,
    /// What crowds cost.
    pub(super) crowd_bytes: usize,
    /// What the names of channels without subscribers cost; the others' are counted where those are.
    pub(super) name_bytes: usize,
    /// Memory is short: a new channel needs the place of one that nobody uses.
    pub(super) is_short: bool,
    suppressed_count: u64,
    pub(super) displaced_count: u64,
    pub(super) tally: Option<Tally>,
}

impl Home {
    /// A home without channels. The process's seed and its number among that process's homes tell its streams' epochs from
    /// those of other homes and of other runs.
    pub fn new(limits: Limits, (seed, number): (Seed, u16)) -> Self {
        Self {
            names: HashMap::new(),
            channels: Pool::default(),
            history: History::new(limits.history_bytes_max, limits.history_meta_ttl_ms, (seed, number)),
            once: Once::new(seed),
            changed: VecDeque::new(),
            states: Vec::new(),
            limits,
            seq: 0,
            presence_count: 0,
            crowd_bytes: 0,
            name_bytes: 0,
            is_short: false,
            suppressed_count: 0,
            displaced_count: 0,
            tally: None,
        }
    }

    /// Goes by other limits, and other names, from now on; what histories may take stays.
    pub fn renew(&mut self, limits: Limits, namespaces: &Arc<Namespaces>) {
        self.limits = limits;
        if let Some(tally) = &mut self.tally {
            tally.renew(Arc::clone(namespaces));
        }
    }

    /// Counts one more subscriber that wants every publication, and says what it has for it.
    ///
    /// # Errors
    /// When the channel would be one too many, or memory is short and it would be new.
    pub fn subscribe(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        joining: &Joining,
    ) -> Result<Joined, Refused> {
        self.subscribe_filtered(now, channel, options, joining, |_| true)
    }

    /// The same for one that wants what `passes`. Only what is read as a cache is chosen by it: who recovers all that it
    /// missed sorts out by itself what it does not want.
    ///
    /// # Errors
    /// When the channel would be one too many, or memory is short and it would be new.
    pub fn subscribe_filtered(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        joining: &Joining,
        passes: impl Fn(&Publication) -> bool,
    ) -> Result<Joined, Refused> {
        let id = self.open(channel)?;
        let mut joined = Joined { seq: self.seq, ..Joined::default() };
        let asks = joining.wants_position || joining.recover.is_some();
        if options.keeps_history() && (asks || self.channels[id as usize].stream.is_some()) {
            let stream = self.stream(id, now, options);
            joined.position = asks.then(|| self.history.position(stream));
            if let Some(from) = &joining.recover {
                (joined.recovered, joined.publications) = if options.is_cache_recovery {
                    self.history.recover_latest(stream, from, passes)
                } else {
                    self.history.recover(stream, from, self.limits.recovery_max)
                };
            }
        }
        let home = &mut self.channels[id as usize];
        if let Some(stream) = home.stream {
            self.history.attend(stream, now, true);
        }
        if options.state_proxy_enabled && !home.is_told {
            home.is_told = true;
            self.states.push(StateChange::new(&home.name, true, now));
        }
        if let Some(counters) = &home.counters {
            counters.subscriptions.add(1);
        }
        if home.crowd.is_empty() {
            self.name_bytes -= heap::arc(home.name.len());
        }
        if self.with_crowd(id, |crowd| crowd.add(joining, options)) {
            self.changed.push_back(id);
        }
        Ok(joined)
    }

    /// Counts one subscriber less; a channel without a stream ends with its last. False when there was none: a letter
    /// was lost or came twice, which must not happen.
    pub fn unsubscribe(&mut self, now: Now, channel: &str, member: Member) -> bool {
        let Some(&id) = self.names.get(channel) else { return false };
        let Some(has_news) = self.with_crowd(id, |crowd| crowd.remove(member)) else { return false };
        let home = &mut self.channels[id as usize];
        if let Some(counters) = &home.counters {
            counters.subscriptions.sub(1);
        }
        if home.crowd.is_empty() {
            if std::mem::take(&mut home.is_told) {
                self.states.push(StateChange::new(&home.name, false, now));
            }
            // Nobody is left to hear who went.
            self.with_crowd(id, |crowd| *crowd = Crowd::default());
            let home = &self.channels[id as usize];
            self.name_bytes += heap::arc(home.name.len());
            match home.stream {
                Some(stream) => self.history.attend(stream, now, false),
                None => self.close(id),
            }
        } else if has_news {
            self.changed.push_back(id);
        }
        true
    }

    /// Numbers a publication, keeps it where the channel has a history, and says which shards have subscribers.
    ///
    /// # Errors
    /// When the channel takes no more, or would be one too many.
    pub fn publish(
        &mut self,
        now: Now,
        publication: Box<Publication>,
        options: &Arc<ChannelOptions>,
        terms: &Terms,
    ) -> Result<Published, Refused> {
        let counters = self.tally.as_mut().map(|tally| tally.of(&publication.channel));
        let published = self.take(now, publication, options, terms)?;
        if let Some(counters) = counters {
            counters.publications.add(1);
        }
        Ok(published)
    }

    fn take(
        &mut self,
        now: Now,
        publication: Box<Publication>,
        options: &Arc<ChannelOptions>,
        terms: &Terms,
    ) -> Result<Published, Refused> {
        let digest = terms.idempotency_key.as_ref().map(|key| self.once.digest(&publication.channel, key));
        if let Some(position) = digest.and_then(|digest| self.once.position(now.ms, digest)) {
            return Ok(Published { position, delivery: None });
        }
        let keeps = options.keeps_history() && !terms.skip_history;
        let id = match self.names.get(&publication.channel) {
            Some(&id) => Some(id),
            None if keeps => Some(self.open(&publication.channel)?),
            None => None,
        };
        let mut published = Published { position: Position::default(), delivery: None };
        if let Some(id) = id {
            self.admit(now, id, &publication, options)?;
            if keeps {
                let stream = self.stream(id, now, options);
                if !self.history.takes_version(stream, terms.version, terms.version_epoch.as_deref()) {
                    published.position = self.history.position(stream);
                    return Ok(published);
                }
            }
            published = self.number(now, id, publication, options, keeps);
        }
        if let Some(digest) = digest {
            self.once.remember(now.ms, digest, published.position.clone());
        }
        Ok(published)
    }

    /// Answers a question about a channel.
    pub fn ask(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &Arc<ChannelOptions>,
        question: &Question,
    ) -> Answer {
        let id = self.names.get(channel).copied();
        let home = id.and_then(|id| self.channels.get_mut(id as usize));
        match question {
            Question::Presence => {
                Answer::Presence(home.map_or_else(Vec::new, |home| home.crowd.present().cloned().collect()))
            }
            Question::PresenceStats => {
                let count = |crowd: &mut Crowd| (crowd.present_count(), crowd.user_count());
                let (client_count, user_count) = id.map_or((0, 0), |id| self.with_crowd(id, count));
                Answer::PresenceStats { client_count, user_count }
            }
            Question::History(filter) => {
                self.read(now, channel, options, filter).unwrap_or_else(Answer::Refused)
            }
            Question::RemoveHistory => {
                if let Some(stream) = home.and_then(|home| home.stream) {
                    self.history.clear(stream);
                }
                Answer::Removed
            }
        }
    }

    /// Who came and went in one channel since the last call, and the shards that want to know; call it until `None` at
    /// the end of each turn. Who came and went, or went and came, between two calls is not told, nor is what exceeds
    /// [`Limits::join_leave_per_second_max`].
    pub fn take_membership(&mut self, now: Now) -> Option<(Arc<Membership>, Shards)> {
        while let Some(id) = self.changed.pop_front() {
            heap::ease_queue(&mut self.changed);
            if self.channels.get(id as usize).is_none() {
                continue;
            }
            let rate = self.limits.join_leave_per_second_max;
            let (changes, dropped) = self.with_crowd(id, |crowd| crowd.take_changes(now.ms, rate));
            let home = &self.channels[id as usize];
            self.suppressed_count += u64::from(dropped);
            if !changes.is_empty() {
                self.seq += 1;
                let membership = Membership { channel: Arc::clone(&home.name), seq: self.seq, changes };
                return Some((Arc::new(membership), home.crowd.shards()));
            }
        }
        None
    }

    /// Which channels that tell it have got their first subscriber or lost their last since the last call, in that order; one that
    /// has done both is there twice.
    pub fn take_states(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.states)
    }

    /// Whether [`Home::take_membership`] may have something.
    pub fn has_membership(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Lets time pass: forgets what has outlived its time, a bounded part of it per call.
    pub fn expire(&mut self, now: Now) {
        let Self { history, channels, names, once, name_bytes, .. } = self;
        once.expire(now.ms);
        history.expire(now, |id| {
            channels.remove(id as usize).forget(names, name_bytes);
        });
    }

    /// When [`Home::expire`] has something to do, in milliseconds of the shard's clock; perhaps earlier.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        [self.history.next_expiry_ms(), self.once.next_expiry_ms()].into_iter().flatten().min()
    }

    /// Names and numbers of subscribers of the channels that have some and match: `*` stands for any run of characters,
    /// an empty pattern for all. Takes time in proportion to all channels.
    pub fn channels(&self, pattern: &str) -> Vec<(Arc<str>, usize)> {
        let live =
            self.channels.iter().map(|(_, channel)| channel).filter(|channel| !channel.crowd.is_empty());
        live.filter(|channel| pattern.is_empty() || matches(pattern.as_bytes(), channel.name.as_bytes()))
            .map(|channel| (Arc::clone(&channel.name), channel.crowd.count()))
            .collect()
    }

    /// Number of channels, also of those that only have a stream.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether this shard is home of no channel.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of subscribers of a channel, in all shards.
    pub fn subscriber_count(&self, channel: &str) -> usize {
        self.names.get(channel).map_or(0, |&id| self.channels[id as usize].crowd.count())
    }

    /// Bytes that the histories of all channels take, at most [`Limits::history_bytes_max`].
    pub fn history_bytes(&self) -> usize {
        self.history.bytes()
    }

    /// Members of all channels that count in their presence.
    pub fn presence_count(&self) -> usize {
        self.presence_count
    }

    /// Channels that have a stream.
    pub fn stream_count(&self) -> usize {
        self.history.streams.len()
    }

    /// Joins and leaves that were not told because there were too many, since the home began.
    pub fn suppressed_count(&self) -> u64 {
        self.suppressed_count
    }

    /// Positions that were forgotten before their time because there were too many channels, since the home began.
    pub fn displaced_count(&self) -> u64 {
        self.displaced_count
    }

    /// The channel's number; a new channel if there is none of the name.
    fn open(&mut self, name: &Arc<str>) -> Result<u32, Refused> {
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        let is_full = self.channels.len() >= self.limits.channels_max;
        if is_full || self.is_short {
            let refused = if is_full { Refused::TooManyChannels } else { Refused::MemoryShort };
            // Who comes back to a forgotten position is told so; who is refused has nothing.
            let idle = self.history.forget_idle().ok_or(refused)?;
            self.close(idle);
            self.displaced_count += 1;
        }
        self.name_bytes += heap::arc(name.len());
        let name = Arc::clone(name);
        let channel = Channel {
            name: Arc::clone(&name),
            crowd: Crowd::default(),
            stream: None,
            rate: Bucket::default(),
            is_told: false,
            counters: self.tally.as_mut().map(|tally| tally.of(&name)),
        };
        if let Some(counters) = &channel.counters {
            counters.channels.add(1);
        }
        let id = u32::try_from(self.channels.insert(channel)).unwrap_or(u32::MAX);
        self.names.insert(name, id);
        Ok(id)
    }

    pub(super) fn close(&mut self, id: u32) {
        self.channels.remove(id as usize).forget(&mut self.names, &mut self.name_bytes);
    }

    /// The channel's stream, ready for use; a new one if it has none.
    fn stream(&mut self, id: u32, now: Now, options: &ChannelOptions) -> StreamId {
        let Self { channels, history, .. } = self;
        let home = &mut channels[id as usize];
        if let Some(stream) = home.stream {
            history.touch(stream, now, options);
            return stream;
        }
        let stream = history.open(now, id, options);
        history.attend(stream, now, !home.crowd.is_empty());
        home.stream = Some(stream);
        stream
    }

    /// Whether the channel takes one more publication in this second.
    fn admit(
        &mut self,
        now: Now,
        id: u32,
        publication: &Publication,
        options: &ChannelOptions,
    ) -> Result<(), Refused> {
        let rate = options.publications_per_second_max;
        if publication.info.is_none() || rate == 0 {
            return Ok(());
        }
        let is_admitted = self.channels[id as usize].rate.take(now.ms, rate, rate);
        if is_admitted { Ok(()) } else { Err(Refused::TooManyPublications) }
    }

    fn number(
        &mut self,
        now: Now,
        id: u32,
        mut publication: Box<Publication>,
        options: &ChannelOptions,
        keeps: bool,
    ) -> Published {
        self.seq += 1;
        publication.seq = self.seq;
        publication.is_delta = (publication.is_delta || options.delta_publish) && options.allows_fossil_delta;
        (publication.offset, publication.time_ms, publication.previous) = (0, 0, None);
        let home = &self.channels[id as usize];
        let mut position = Position::default();
        match home.stream {
            Some(stream) if keeps => {
                self.history.append(stream, now, &mut publication, options);
                position = self.history.position(stream);
            }
            Some(stream) => self.history.bypass(stream),
            None => {}
        }
        publication.is_delta = publication.previous.is_some();
        let shards = home.crowd.shards();
        let delivery = (!shards.is_empty()).then(|| (Arc::from(publication), shards));
        Published { position, delivery }
    }

    fn read(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: &ChannelOptions,
        filter: &HistoryFilter,
    ) -> Result<Answer, Refused> {
        if !options.keeps_history() {
            return Ok(Answer::History { publications: Vec::new(), position: Position::default() });
        }
        let id = self.open(channel)?;
        let stream = self.stream(id, now, options);
        let publications = self.history.read(stream, filter)?;
        Ok(Answer::History { publications, position: self.history.position(stream) })
    }
}

#[cfg(test)]
mod tests;
