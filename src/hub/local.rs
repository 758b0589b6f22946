//! The subscribers of this shard, channel by channel, and what waits to be delivered to them.
//!
//! Publications that arrive while a channel's batch is being delivered wait and make the next batch, so a crowd
//! that takes many turns to reach gets joined messages instead of a queue of single ones.
//!
//! Invariant: a batch goes to those, and only those, who were subscribed when it began. The list of subscribers
//! is therefore kept in three runs while a delivery is under way: served, to serve, came later. Removing a
//! subscriber swaps at most three entries and tells its caller where each went.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use slab::Slab;

use super::Publication;

/// One subscription of one connection, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Slot index of the connection. Live as long as the entry: a connection takes its subscriptions with it.
    pub conn: u32,
    /// Which of the connection's subscriptions this is.
    pub slot: u16,
    /// Wire format that the connection gets its publications in; a number of the caller's.
    pub format: u8,
}

/// Number of a channel in this shard; reused once nobody is interested.
pub type ChannelId = u32;

#[derive(Debug)]
struct Channel<B> {
    name: Arc<str>,
    subscribers: Vec<Subscriber>,
    /// Subscriptions that exist or were asked for; at zero the channel goes.
    interest: u32,
    /// Published, not yet part of a batch.
    waiting: Vec<Arc<Publication>>,
    /// The run of subscribers that the batch under way has still to reach.
    to_serve: Range<u32>,
    /// What the caller made of the batch under way.
    batch: Option<B>,
    /// Whether the channel stands in the queue of those with something to deliver.
    is_queued: bool,
}

/// See the module documentation. `B` is what the caller makes of a batch, the encoded bytes.
#[derive(Debug)]
pub struct Local<B> {
    names: HashMap<Arc<str>, ChannelId>,
    channels: Slab<Channel<B>>,
    /// Channels with something to deliver, in the order in which they got it.
    queue: VecDeque<ChannelId>,
}

impl<B> Default for Local<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Local<B> {
    /// A shard without subscribers.
    pub fn new() -> Self {
        Self { names: HashMap::new(), channels: Slab::new(), queue: VecDeque::new() }
    }

    /// The channel's number, if anyone here is interested in it.
    pub fn channel_id(&self, name: &str) -> Option<ChannelId> {
        self.names.get(name).copied()
    }

    /// The channel's name.
    ///
    /// # Panics
    /// When nobody is interested in it.
    pub fn name(&self, id: ChannelId) -> &Arc<str> {
        &self.channels[id as usize].name
    }

    /// Notes that one more connection wants the channel, and returns its number. Every call needs its [`Local::release`].
    pub fn acquire(&mut self, name: &Arc<str>) -> ChannelId {
        if let Some(&id) = self.names.get(name) {
            self.channels[id as usize].interest += 1;
            return id;
        }
        let channel = Channel {
            name: Arc::clone(name),
            subscribers: Vec::new(),
            interest: 1,
            waiting: Vec::new(),
            to_serve: 0..0,
            batch: None,
            is_queued: false,
        };
        let id = ChannelId::try_from(self.channels.insert(channel)).unwrap_or(ChannelId::MAX);
        self.names.insert(Arc::clone(name), id);
        id
    }

    /// Notes that one connection no longer wants the channel.
    pub fn release(&mut self, id: ChannelId) {
        let channel = &mut self.channels[id as usize];
        channel.interest -= 1;
        if channel.interest == 0 {
            debug_assert!(channel.subscribers.is_empty(), "a subscriber is an interest");
            self.names.remove(&channel.name);
            // A queued number must not be given to another channel: it goes when its turn comes.
            if !channel.is_queued {
                self.channels.remove(id as usize);
            }
        }
    }

    /// Adds a subscriber and returns its position. A batch under way does not reach it.
    pub fn add(&mut self, id: ChannelId, subscriber: Subscriber) -> u32 {
        let subscribers = &mut self.channels[id as usize].subscribers;
        subscribers.push(subscriber);
        u32::try_from(subscribers.len() - 1).unwrap_or(u32::MAX)
    }

    /// Removes the subscriber at `position`. `moved` hears of each subscriber that changes place, and its new position.
    pub fn remove(&mut self, id: ChannelId, position: u32, mut moved: impl FnMut(Subscriber, u32)) {
        let Channel { subscribers, to_serve, .. } = &mut self.channels[id as usize];
        let mut hole = position;
        let mut fill = |subscribers: &mut Vec<Subscriber>, hole: &mut u32, from: u32| {
            if *hole != from {
                subscribers.swap(*hole as usize, from as usize);
                moved(subscribers[*hole as usize], *hole);
                *hole = from;
            }
        };
        if hole < to_serve.start {
            to_serve.start -= 1;
            fill(subscribers, &mut hole, to_serve.start);
        }
        if hole < to_serve.end {
            to_serve.end -= 1;
            fill(subscribers, &mut hole, to_serve.end);
        }
        let last = u32::try_from(subscribers.len() - 1).unwrap_or(u32::MAX);
        fill(subscribers, &mut hole, last);
        subscribers.pop();
    }

    /// Tells the subscriber at `position` that its connection now keeps it in another slot.
    pub fn set_slot(&mut self, id: ChannelId, position: u32, slot: u16) {
        self.channels[id as usize].subscribers[position as usize].slot = slot;
    }

    /// Queues a publication for the subscribers of its channel; false when there are none here.
    pub fn deliver(&mut self, publication: Arc<Publication>) -> bool {
        let Some(&id) = self.names.get(&publication.channel) else { return false };
        let channel = &mut self.channels[id as usize];
        if channel.subscribers.is_empty() {
            return false;
        }
        channel.waiting.push(publication);
        if !channel.is_queued {
            channel.is_queued = true;
            self.queue.push_back(id);
        }
        true
    }

    /// Number of channels with something to deliver.
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }

    /// The channel to serve next; channels without anything to deliver leave the queue on the way.
    pub fn front(&mut self) -> Option<ChannelId> {
        while let Some(&id) = self.queue.front() {
            let channel = &mut self.channels[id as usize];
            if !channel.to_serve.is_empty()
                || (!channel.waiting.is_empty() && !channel.subscribers.is_empty())
            {
                return Some(id);
            }
            channel.is_queued = false;
            channel.waiting = Vec::new();
            channel.batch = None;
            self.queue.pop_front();
            if channel.interest == 0 {
                self.channels.remove(id as usize);
            }
        }
        None
    }

    /// The batch under way, taken out; `None` when the one before has reached everyone and the next may begin.
    pub fn take_batch(&mut self, id: ChannelId) -> Option<B> {
        let channel = &mut self.channels[id as usize];
        channel.batch.take().filter(|_| !channel.to_serve.is_empty())
    }

    /// Puts the batch under way back, if there is someone left to reach; whether there is.
    pub fn put_batch(&mut self, id: ChannelId, batch: B) -> bool {
        let channel = &mut self.channels[id as usize];
        let is_unfinished = !channel.to_serve.is_empty();
        channel.batch = is_unfinished.then_some(batch);
        is_unfinished
    }

    /// Begins the next batch: takes what waits; it goes to everyone who is subscribed now.
    pub fn begin_batch(&mut self, id: ChannelId) -> Vec<Arc<Publication>> {
        let channel = &mut self.channels[id as usize];
        debug_assert!(channel.to_serve.is_empty(), "the batch before has not reached everyone");
        channel.to_serve = 0..u32::try_from(channel.subscribers.len()).unwrap_or(u32::MAX);
        std::mem::take(&mut channel.waiting)
    }

    /// The next subscriber that the batch under way has to reach.
    #[inline]
    pub fn next_to_serve(&mut self, id: ChannelId) -> Option<Subscriber> {
        let Channel { subscribers, to_serve, .. } = &mut self.channels[id as usize];
        let position = to_serve.next()?;
        subscribers.get(position as usize).copied()
    }

    /// Puts the channel that was served behind the others, so that one with a large crowd does not hold them up.
    pub fn rotate(&mut self) {
        if self.queue.len() > 1 {
            self.queue.rotate_left(1);
        }
    }

    /// Number of channels that connections of this shard are interested in.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no connection of this shard is interested in any channel.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The subscriber at a position, for checks.
    pub fn subscriber(&self, id: ChannelId, position: u32) -> Option<Subscriber> {
        self.channels.get(id as usize)?.subscribers.get(position as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::DataKind;
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn publication(channel: &str) -> Arc<Publication> {
        let data = Shared::new(b"1".to_vec(), &Budget::new(100));
        Arc::new(Publication::new(channel.into(), DataKind::Text, data))
    }

    #[test]
    fn a_subscriber_is_eight_bytes() {
        assert_eq!(size_of::<Subscriber>(), 8);
    }

    #[test]
    fn a_number_in_the_queue_is_not_reused() {
        let mut local = Local::<()>::new();
        let a = local.acquire(&"a".into());
        let position = local.add(a, Subscriber { conn: 1, slot: 0, format: 0 });
        assert!(local.deliver(publication("a")) && !local.deliver(publication("b")));
        local.remove(a, position, |_, _| {});
        local.release(a);
        let b = local.acquire(&"b".into());
        assert_ne!(a, b);
        assert_eq!(local.front(), None);
        let c = local.acquire(&"c".into());
        assert_eq!((a, local.len()), (c, 2));
    }

    #[test]
    fn a_served_channel_lets_the_others_go_first() {
        let mut local = Local::<()>::new();
        for name in ["a", "b"] {
            let id = local.acquire(&name.into());
            local.add(id, Subscriber { conn: id, slot: 0, format: 0 });
            local.deliver(publication(name));
        }
        let first = local.front().unwrap();
        local.begin_batch(first);
        local.rotate();
        assert_ne!(local.front(), Some(first));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add,
        Remove(usize),
        Publish,
        Serve(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => Just(Op::Add),
            3 => any::<usize>().prop_map(Op::Remove),
            1 => Just(Op::Publish),
            3 => (1..5usize).prop_map(Op::Serve),
        ]
    }

    proptest! {
        /// Each subscriber gets every batch that began while it was subscribed and had not left, once.
        #[test]
        fn a_batch_reaches_those_who_were_there(ops in proptest::collection::vec(op(), 1..120)) {
            let mut local = Local::<()>::new();
            let name: Arc<str> = "x".into();
            let mut positions: BTreeMap<u32, u32> = BTreeMap::new(); // conn -> position
            let mut owed: Vec<u32> = Vec::new(); // conns that the batch under way has to reach
            let keep = local.acquire(&name);
            let mut fresh = 0;
            for op in ops {
                match op {
                    Op::Add => {
                        let id = local.acquire(&name);
                        positions.insert(fresh, local.add(id, Subscriber { conn: fresh, slot: 0, format: 0 }));
                        fresh += 1;
                    }
                    Op::Remove(which) if !positions.is_empty() => {
                        let conn = *positions.keys().nth(which % positions.len()).unwrap();
                        let position = positions.remove(&conn).unwrap();
                        local.remove(keep, position, |moved, to| {
                            assert!(positions.insert(moved.conn, to).is_some(), "only those who stay are moved");
                        });
                        local.release(keep);
                        owed.retain(|&c| c != conn);
                    }
                    Op::Remove(_) => {}
                    Op::Publish => drop(local.deliver(publication("x"))),
                    Op::Serve(count) => {
                        let Some(id) = local.front() else { prop_assert!(owed.is_empty()); continue };
                        if local.take_batch(id).is_none() {
                            prop_assert!(owed.is_empty());
                            prop_assert!(!local.begin_batch(id).is_empty());
                            owed.extend(positions.keys());
                        }
                        for _ in 0..count {
                            let Some(subscriber) = local.next_to_serve(id) else { break };
                            let at = owed.iter().position(|&c| c == subscriber.conn);
                            prop_assert!(at.is_some(), "served twice or too early: {subscriber:?}");
                            owed.swap_remove(at.unwrap());
                        }
                        prop_assert_eq!(local.put_batch(id, ()), !owed.is_empty());
                    }
                }
                for (&conn, &position) in &positions {
                    prop_assert_eq!(local.subscriber(keep, position).map(|s| s.conn), Some(conn));
                }
            }
        }
    }
}
