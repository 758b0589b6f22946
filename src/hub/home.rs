//! The channels whose home is this shard: their subscribers by shard, their publications, and the order of these.
//!
//! Invariant: a channel exists as long as some shard has subscribers of it or its stream has a position that is not
//! forgotten. Its counts are those of the subscribe and unsubscribe letters that have arrived. Publications are
//! numbered here and nowhere else; the number `seq` runs through all channels of the home, so it still orders waiting
//! items when a channel ends and begins anew.
//!
//! Left out on purpose: permissions (the caller checks [`super::options`] first), delivery, and the clock, which the
//! caller reads.

mod late;
mod prompt;
mod work;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::away::Keeper;
use super::emission::{Emission, group_of, is_private};
use super::history::History;
use super::memory::Memory;
use super::once::Once;
use super::options::{ChannelOptions, Namespaces};
use super::order::{Line, Order};
use super::spread::{Audience, Spread};
use super::tally::{NamespaceCounters, Tally};
use super::waiting::{Waiting, Work};
use super::{ClientInfo, Position, Publication};
use crate::base::heap;
use crate::base::pattern::matches;
use crate::base::pool::Pool;
use crate::base::seed::Seed;

pub use super::terms::{
    Answer, Asker, Done, HistoryFilter, Joined, Joining, Limits, Member, Membership, Now, Published,
    Question, Refused, Shards, StateChange, Terms,
};

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) line: Line,
    pub(super) audience: Audience,
    /// Counters of its namespace, where they are configured.
    counters: Option<Arc<NamespaceCounters>>,
}

impl Channel {
    /// Removes the channel's entries in other tables.
    fn forget(self, names: &mut HashMap<Arc<str>, u32>, name_bytes: &mut usize) {
        names.remove(&self.name);
        heap::ease_table(names);
        // The channel has no subscribers.
        *name_bytes -= heap::arc(self.name.len());
    }
}

/// The channels whose home is one shard. `A` identifies an asker; it is kept with requests that wait for the memory.
#[derive(Debug)]
pub struct Home<A = ()> {
    pub(super) names: HashMap<Arc<str>, u32>,
    pub(super) channels: Pool<Channel>,
    pub(super) order: Order,
    pub(super) spread: Spread,
    pub(super) waiting: Waiting<A>,
    /// Results of requests that waited.
    pub(super) done: VecDeque<Done<A>>,
    limits: Limits,
    /// Channels with subscribers.
    pub(super) occupied_count: usize,
    /// Memory of the names of channels without subscribers; other names are counted with their subscribers.
    pub(super) name_bytes: usize,
    /// Memory is short: a new channel needs the place of an unused one.
    pub(super) is_short: bool,
    pub(super) displaced_count: u64,
    pub(super) tally: Option<Tally>,
    /// The store for recovery, where that is on.
    pub(super) keeper: Option<Box<Keeper>>,
}

/// The default memory of a home: the shard's own, which answers at once. The process's seed and the home's number in
/// that process make its streams' epochs differ from those of other homes and of other runs.
pub fn in_memory(limits: &Limits, (seed, number): (Seed, u16)) -> Box<dyn Memory> {
    Box::new(History::new(limits.history_bytes_max, limits.history_meta_ttl_ms, (seed, number)))
}

impl<A: Asker> Home<A> {
    /// A home without channels, whose streams are kept in `memory`. Keys of publications are hashed with the
    /// process's seed.
    pub fn with_memory(limits: Limits, seed: Seed, memory: Box<dyn Memory>) -> Self {
        Self {
            names: HashMap::new(),
            channels: Pool::default(),
            order: Order { memory, once: Once::new(seed), seq: 0 },
            spread: Spread::default(),
            waiting: Waiting::new(limits.waiting_max),
            done: VecDeque::new(),
            keeper: limits.recovery.clone().map(|recovery| Keeper::new(recovery, seed)),
            limits,
            occupied_count: 0,
            name_bytes: 0,
            is_short: false,
            displaced_count: 0,
            tally: None,
        }
    }

    /// Applies other limits and namespaces from now on; the limit of history bytes stays.
    pub fn renew(&mut self, limits: Limits, namespaces: &Arc<Namespaces>) {
        self.limits = limits;
        if let Some(tally) = &mut self.tally {
            tally.renew(Arc::clone(namespaces));
        }
    }

    /// Counts one more subscriber and returns the home's answer to it; `None` when that has to wait for the memory:
    /// then [`Home::take_done`] returns it.
    pub fn handle_subscribe(
        &mut self,
        now: Now,
        channel: Arc<str>,
        options: Arc<ChannelOptions>,
        joining: Box<Joining>,
        asker: A,
    ) -> Option<Done<A>> {
        let from = Some(joining.member);
        match self.open(&channel) {
            Ok(id) => {
                if joining.renews {
                    // Executed at once: the member is counted now, and may not be when the memory has answered.
                    let audience = &mut self.channels[id as usize].audience;
                    self.spread.renew(id, audience, (&joining, &options));
                }
                if let Some(outcome) = self.subscribe_now(now, id, (&options, &joining), &asker) {
                    return Some(Done::Subscribed { channel, asker, outcome: outcome.map(Box::new) });
                }
                let work = Work::Subscribe { channel, options, joining };
                self.take_up(now, id, work, from, Some(asker))
            }
            Err(refused) => Some(Done::Subscribed { channel, asker, outcome: Err(refused) }),
        }
    }

    /// Counts one subscriber less; a channel without a stream ends with its last one. Returns false when there was
    /// none: a letter was lost or came twice, which must not happen.
    pub fn unsubscribe(&mut self, now: Now, channel: &str, member: Member) -> bool {
        let Some(&id) = self.names.get(channel) else { return false };
        let home = &mut self.channels[id as usize];
        if !self.spread.leave(now, (id, &home.name), &mut home.audience, member) {
            return false;
        }
        if let Some(counters) = &home.counters {
            counters.subscriptions.sub(1);
        }
        if home.audience.crowd.is_empty() {
            self.name_bytes += heap::arc(home.name.len());
            self.occupied_count -= 1;
            if let Some(counters) = &home.counters {
                counters.channels.sub(1);
            }
            self.let_go(now, id);
        }
        true
    }

    /// Changes a member's info in presence, if it has any: [`ClientInfo::renewed`].
    pub fn inform(&mut self, channel: &str, member: Member, info: &Arc<ClientInfo>, keeps_chan_info: bool) {
        let Some(&id) = self.names.get(channel) else { return };
        let audience = &mut self.channels[id as usize].audience;
        audience.crowd.inform(member, info, keeps_chan_info);
        self.waiting.inform(id, member, info, keeps_chan_info);
    }

    /// Numbers a publication, keeps it where the channel has a history, and returns the shards with subscribers.
    /// `from` is the publishing member, `None` for the server. Returns `None` as [`Home::handle_subscribe`] does.
    pub fn handle_publish(
        &mut self,
        now: Now,
        publication: Box<Publication>,
        options: Arc<ChannelOptions>,
        terms: Terms,
        (from, asker): (Option<Member>, Option<A>),
    ) -> Option<Done<A>> {
        let digest = self.order.digest(&publication.channel, &terms);
        if let Some(position) = self.order.known(now, digest) {
            self.count_publication(&publication.channel);
            return Some(Done::Published { asker, outcome: Ok(Published { position, delivery: None }) });
        }
        let keeps = options.keeps_history() && !terms.skip_history;
        let id = match self.names.get(&publication.channel) {
            Some(&id) => id,
            None if keeps => match self.open(&publication.channel) {
                Ok(id) => id,
                Err(refused) => return Some(Done::Published { asker, outcome: Err(refused) }),
            },
            None => {
                // There are no subscribers and no history.
                self.count_publication(&publication.channel);
                self.order.remember(now, digest, &Position::default());
                let delivery = self.delivery(publication, Shards::new());
                let outcome = Ok(Published { position: Position::default(), delivery });
                return Some(Done::Published { asker, outcome });
            }
        };
        if let Err(refused) = self.channels[id as usize].line.admit(now, &publication, &options) {
            return Some(Done::Published { asker, outcome: Err(refused) });
        }
        let work = match self.publish_now(now, id, publication, (&options, &terms), (digest, keeps)) {
            Ok(outcome) => return Some(Done::Published { asker, outcome }),
            Err(publication) => Work::Publish { publication, options, terms, digest, keeps },
        };
        self.take_up(now, id, work, from, asker)
    }

    /// Numbers a message to several channels, and returns the shards with subscribers of any of those whose home this is.
    /// It is kept in no history, but for recovery, where that is on; its copies are ([`Home::handle_publish`]).
    pub fn handle_emission(&mut self, now: Now, emission: &mut Emission) -> Shards {
        let mut shards = Shards::new();
        for channel in &emission.to {
            let Some(&id) = self.names.get(channel) else { continue };
            for shard in self.channels[id as usize].audience.crowd.shards() {
                if !shards.contains(&shard) {
                    shards.push(shard);
                }
            }
        }
        if let Some(publication) = Arc::get_mut(&mut emission.publication) {
            publication.seq = self.order.next_seq();
            if let Some(keeper) = &self.keeper {
                keeper.mark(publication);
            }
        }
        if let Some(keeper) = &mut self.keeper {
            let is_present = self.names.contains_key(group_of(&emission.publication.channel));
            keeper.log(now, emission, is_present);
        }
        shards
    }

    /// Answers a question about a channel. `from` is the asking member, `None` for the server. Returns `None` as
    /// [`Home::handle_subscribe`] does; presence is answered at once.
    pub fn handle_ask(
        &mut self,
        now: Now,
        channel: &Arc<str>,
        options: Arc<ChannelOptions>,
        question: Question,
        (from, asker): (Option<Member>, A),
    ) -> Option<Done<A>> {
        let id = self.names.get(channel).copied();
        let home = id.and_then(|id| self.channels.get_mut(id as usize));
        let answer = match question {
            Question::Presence => {
                let present = home.map(|home| home.audience.crowd.present().cloned().collect());
                Answer::Presence(present.unwrap_or_default())
            }
            Question::PresenceStats => {
                let count = |home: &mut Channel| {
                    let audience = &mut home.audience;
                    self.spread.with_crowd(audience, |crowd| (crowd.present_count(), crowd.user_count()))
                };
                let (client_count, user_count) = home.map_or((0, 0), count);
                Answer::PresenceStats { client_count, user_count }
            }
            Question::History(filter) if options.keeps_history() => match self.open(channel) {
                Ok(id) => return self.take_up(now, id, Work::Read { options, filter }, from, Some(asker)),
                Err(refused) => Answer::Refused(refused),
            },
            Question::History(_) => {
                Answer::History { publications: Vec::new(), position: Position::default() }
            }
            Question::RemoveHistory => match id {
                Some(id) => return self.take_up(now, id, Work::Clear, from, Some(asker)),
                None => Answer::Removed,
            },
        };
        Some(Done::Answered { asker, answer })
    }

    /// The joins and leaves in one channel since the last call, and the shards that want them; to be called until
    /// `None` at the end of each turn. A join and a leave of one member between two calls cancel each other out;
    /// those that exceed [`Limits::join_leave_per_second_max`] are dropped.
    #[inline]
    pub fn take_membership(&mut self, now: Now) -> Option<(Arc<Membership>, Shards)> {
        while let Some(id) = self.spread.next_changed() {
            let Some(home) = self.channels.get_mut(id as usize) else { continue };
            let rate = self.limits.join_leave_per_second_max;
            let changes = self.spread.take_changes(now, &mut home.audience, rate);
            if !changes.is_empty() {
                let seq = self.order.next_seq();
                let membership = Membership { channel: Arc::clone(&home.name), seq, changes };
                return Some((Arc::new(membership), home.audience.crowd.shards()));
            }
        }
        None
    }

    /// Channels that got their first subscriber or lost their last one since the last call, in order of time, where
    /// the options ask for that; a channel that did both is listed twice.
    pub fn take_states(&mut self) -> Vec<StateChange> {
        self.spread.take_states()
    }

    /// Whether [`Home::take_membership`] may have joins or leaves.
    pub fn has_membership(&self) -> bool {
        self.spread.has_changes()
    }

    /// Forgets expired state, a bounded part of it per call.
    pub fn expire(&mut self, now: Now) {
        let Self { order, channels, names, name_bytes, .. } = self;
        order.once.expire(now.ms);
        order.memory.expire(now, &mut |id| {
            channels.remove(id as usize).forget(names, name_bytes);
        });
        if let Some(keeper) = &mut self.keeper {
            keeper.expire(now, |group| self.names.contains_key(group));
        }
    }

    /// The next time at which [`Home::expire`] has work, in milliseconds of the shard's clock; it may be early.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let recovery = self.keeper.as_ref().and_then(|keeper| keeper.next_expiry_ms());
        let own = [self.order.memory.next_expiry_ms(), self.order.once.next_expiry_ms(), recovery];
        own.into_iter().flatten().min()
    }

    /// Names and subscriber counts of the channels with subscribers that match, without private ones: `*` stands for any run of characters,
    /// an empty pattern for all. Takes time proportional to the number of channels.
    pub fn channels(&self, pattern: &str) -> Vec<(Arc<str>, usize)> {
        let live = self
            .channels
            .iter()
            .map(|(_, channel)| channel)
            .filter(|channel| !channel.audience.crowd.is_empty());
        let live = live.filter(|channel| !is_private(&channel.name));
        live.filter(|channel| pattern.is_empty() || matches(pattern, &channel.name))
            .map(|channel| (Arc::clone(&channel.name), channel.audience.crowd.count()))
            .collect()
    }

    /// Number of channels with subscribers.
    pub fn occupied_count(&self) -> usize {
        self.occupied_count
    }

    /// Number of channels, including those with only a stream.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether this shard is home of no channel.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of subscribers of a channel, in all shards.
    pub fn subscriber_count(&self, channel: &str) -> usize {
        self.names.get(channel).map_or(0, |&id| self.channels[id as usize].audience.crowd.count())
    }

    /// Bytes of the histories of all channels, at most [`Limits::history_bytes_max`], and of what is kept for recovery.
    pub fn history_bytes(&self) -> usize {
        self.order.memory.bytes() + self.keeper.as_ref().map_or(0, |keeper| keeper.bytes())
    }

    /// Number of members in the presence of all channels.
    pub fn presence_count(&self) -> usize {
        self.spread.presence_count
    }

    /// Number of channels with a stream.
    pub fn stream_count(&self) -> usize {
        self.order.memory.stream_count()
    }

    /// Number of joins and leaves dropped because there were too many, since the home began.
    pub fn suppressed_count(&self) -> u64 {
        self.spread.suppressed_count
    }

    /// Number of positions forgotten early because there were too many channels, since the home began.
    pub fn displaced_count(&self) -> u64 {
        self.displaced_count
    }

    /// The channel's number; opens a new channel if there is none of the name.
    pub(super) fn open(&mut self, name: &Arc<str>) -> Result<u32, Refused> {
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        let is_full = self.channels.len() >= self.limits.channels_max;
        if is_full || self.is_short {
            let refused = if is_full { Refused::TooManyChannels } else { Refused::MemoryShort };
            // A subscriber that returns to a forgotten position learns so; a refused one gets nothing.
            let idle = self.order.memory.forget_idle().ok_or(refused)?;
            self.close(idle);
            self.displaced_count += 1;
        }
        self.name_bytes += heap::arc(name.len());
        let name = Arc::clone(name);
        let channel = Channel {
            name: Arc::clone(&name),
            line: Line::default(),
            audience: Audience::default(),
            counters: self.tally.as_mut().map(|tally| tally.of(&name)),
        };
        let id = u32::try_from(self.channels.insert(channel)).unwrap_or(u32::MAX);
        self.names.insert(name, id);
        Ok(id)
    }

    pub(super) fn close(&mut self, id: u32) {
        self.channels.remove(id as usize).forget(&mut self.names, &mut self.name_bytes);
    }
}

#[cfg(test)]
mod tests;
