//! The subscribers of this shard, channel by channel, and the items waiting for delivery to them.
//!
//! Publications that arrive while a channel's batch is being delivered wait for the next one, so a crowd gets them combined.
//!
//! Publications of one client in several channels reach a subscriber of these in the order of their arrival. The items
//! of a channel wait in runs (`runs`): a publication joins the last run of its channel, unless its client has
//! published in another channel behind that; then it begins a run at the end of the queue. The one exception is a
//! channel with more subscribers than a turn serves: it lets the others go first.
//!
//! Invariant: a batch goes exactly to the subscribers at its beginning. So their list is in three runs during a delivery:
//! served, to serve, subscribed later. Removing one swaps at most three entries and reports the new place of each.
//!
//! A new subscriber has all items up to a certain number from its home. If some of these still wait here, it is marked as
//! late and the number is stored until their batch is over.

mod runs;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::Item;
use super::options::Namespaces;
use super::tally::{NamespaceCounters, Tally};
use crate::base::heap;
use crate::base::pool::Pool;

use runs::{Lanes, Runs};
pub use runs::{Run, lane_of};

/// One subscription of one connection, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Slot index of the connection, which exists as long as the entry: a connection removes its subscriptions when
    /// it closes.
    pub conn: u32,
    /// Index of the subscription at the connection.
    pub slot: u16,
    /// Format of deliveries to the connection; a number of the caller's.
    pub format: u8,
    /// Any of the flags from [`LATE`] to [`GROUPED`].
    pub flags: u8,
}

/// In [`Subscriber::flags`]: some waiting items are not for it; see [`Local::late_after`]. Set and cleared here.
pub const LATE: u8 = 1;
/// In [`Subscriber::flags`]: it receives only publications that pass its filter.
pub const FILTERED: u8 = 1 << 1;
/// In [`Subscriber::flags`]: it receives joins and leaves.
pub const JOINS: u8 = 1 << 2;
/// In [`Subscriber::flags`]: it accepts deltas.
pub const DELTA: u8 = 1 << 3;
/// In [`Subscriber::flags`]: it has the publication that the next one can be a delta to.
pub const DELTA_READY: u8 = 1 << 4;
/// In [`Subscriber::flags`]: its session must see each delivery, so it shares no encoded bytes.
pub const PERSONAL: u8 = 1 << 5;

/// In [`Subscriber::flags`]: it receives emissions, and no items of its channels besides.
pub const GROUPED: u8 = 1 << 6;

/// Number of a channel in this shard; reused once no connection is interested.
pub type ChannelId = u32;

#[derive(Debug)]
struct Channel<B> {
    name: Arc<str>,
    subscribers: Vec<Subscriber>,
    /// Existing and requested subscriptions; at zero the channel is removed.
    interest: u32,
    /// The last run of published items that are not part of a batch yet; earlier ones are in [`Local::runs`].
    waiting: Vec<Item>,
    /// The run of subscribers that the current batch has still to reach.
    to_serve: Range<u32>,
    /// Late subscribers, by connection: the number up to which each has all items. Usually empty.
    #[expect(clippy::box_collection, reason = "there are many channels and hardly ever a table")]
    late: Option<Box<HashMap<u32, u64>>>,
    /// The caller's form of the current batch.
    batch: Option<B>,
    /// The number of its last run; 0 if the channel is not in the queue.
    run: Run,
    /// Counters of deliveries by namespace, where they are configured.
    counters: Option<Arc<NamespaceCounters>>,
}

/// The subscribers of one shard, by channel. `B` is the caller's form of a batch: the encoded bytes.
#[derive(Debug)]
pub struct Local<B> {
    names: HashMap<Arc<str>, ChannelId>,
    channels: Pool<Channel<B>>,
    /// Channels with items to deliver, in order of arrival: one entry for each run, and for an unfinished batch.
    queue: VecDeque<ChannelId>,
    /// Runs of channels that have several. Usually empty.
    runs: HashMap<ChannelId, Runs>,
    /// The last runs by publisher.
    lanes: Lanes,
    /// Memory of the channels' names.
    name_bytes: usize,
    /// Memory of the lists of subscribers.
    list_bytes: usize,
    /// Counters of deliveries by namespace, where they are configured.
    pub(super) tally: Option<Tally>,
}

impl<B> Default for Local<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Local<B> {
    /// A shard without subscribers.
    pub fn new() -> Self {
        Self {
            names: HashMap::new(),
            channels: Pool::default(),
            queue: VecDeque::new(),
            runs: HashMap::new(),
            lanes: Lanes::default(),
            name_bytes: 0,
            list_bytes: 0,
            tally: None,
        }
    }

    /// Applies other namespaces from now on; existing channels keep their counters.
    pub fn renew(&mut self, namespaces: &Arc<Namespaces>) {
        if let Some(tally) = &mut self.tally {
            tally.renew(Arc::clone(namespaces));
        }
    }

    /// Counts deliveries of a channel in its namespace, where that is configured.
    pub fn count_deliveries(&self, id: ChannelId, count: u64) {
        if let Some(counters) = &self.channels[id as usize].counters {
            counters.deliveries.add(count);
        }
    }

    /// The channel's number, if some connection of this shard is interested.
    pub fn channel_id(&self, name: &str) -> Option<ChannelId> {
        self.names.get(name).copied()
    }

    /// The channel's name.
    ///
    /// # Panics
    /// When no connection is interested.
    pub fn name(&self, id: ChannelId) -> &Arc<str> {
        &self.channels[id as usize].name
    }

    /// Adds one connection's interest in the channel, and returns its number. Every call needs its
    /// [`Local::release`].
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
            late: None,
            batch: None,
            run: 0,
            counters: self.tally.as_mut().map(|tally| tally.of(name)),
        };
        let id = ChannelId::try_from(self.channels.insert(channel)).unwrap_or(ChannelId::MAX);
        self.names.insert(Arc::clone(name), id);
        self.name_bytes += heap::arc(name.len());
        id
    }

    /// Whether only one connection is interested in the channel.
    pub fn is_of_one(&self, id: ChannelId) -> bool {
        self.channels[id as usize].interest == 1
    }

    /// Removes one connection's interest in the channel.
    pub fn release(&mut self, id: ChannelId) {
        let channel = &mut self.channels[id as usize];
        channel.interest -= 1;
        if channel.interest == 0 {
            debug_assert!(channel.subscribers.is_empty(), "a subscriber counts as interest");
            self.names.remove(&channel.name);
            heap::ease_table(&mut self.names);
            self.name_bytes -= heap::arc(channel.name.len());
            self.list_bytes -= list_bytes(&channel.subscribers);
            channel.subscribers = Vec::new();
            // A queued number must not be reused yet: it is freed at its turn.
            if channel.run == 0 {
                self.channels.remove(id as usize);
            }
        }
    }

    /// Adds a subscriber that has all items up to `after_seq`; returns its position. The current batch omits it.
    pub fn add(&mut self, id: ChannelId, mut subscriber: Subscriber, after_seq: u64) -> u32 {
        let earliest = self.runs.get(&id).and_then(Runs::earliest);
        let Channel { subscribers, waiting, late, .. } = &mut self.channels[id as usize];
        subscriber.flags &= !LATE;
        if earliest.or(waiting.first()).is_some_and(|oldest| oldest.seq() <= after_seq) {
            subscriber.flags |= LATE;
            late.get_or_insert_default().insert(subscriber.conn, after_seq);
        }
        self.list_bytes -= list_bytes(subscribers);
        subscribers.push(subscriber);
        self.list_bytes += list_bytes(subscribers);
        u32::try_from(subscribers.len() - 1).unwrap_or(u32::MAX)
    }

    /// For a [`LATE`] subscriber: only items with a higher `seq` than this are for it.
    pub fn late_after(&self, id: ChannelId, conn: u32) -> Option<u64> {
        self.channels[id as usize].late.as_ref()?.get(&conn).copied()
    }

    /// Removes the subscriber at `position`. Calls `moved` with each one whose position changes, and the new position.
    pub fn remove(&mut self, id: ChannelId, position: u32, mut moved: impl FnMut(Subscriber, u32)) {
        let Channel { subscribers, to_serve, late, .. } = &mut self.channels[id as usize];
        let Subscriber { conn, flags, .. } = subscribers[position as usize];
        if flags & LATE != 0
            && let Some(all) = late
        {
            all.remove(&conn);
            if all.is_empty() {
                *late = None;
            }
        }
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
        self.list_bytes -= list_bytes(subscribers);
        subscribers.pop();
        heap::ease_list(subscribers);
        self.list_bytes += list_bytes(subscribers);
    }

    /// Updates the connection's slot of the subscription at `position`.
    pub fn set_slot(&mut self, id: ChannelId, position: u32, slot: u16) {
        self.channels[id as usize].subscribers[position as usize].slot = slot;
    }

    /// Sets the format of the subscriber at `position`.
    pub fn set_format(&mut self, id: ChannelId, position: u32, format: u8) {
        self.channels[id as usize].subscribers[position as usize].format = format;
    }

    /// Sets the flags of the subscriber at `position`, except [`LATE`].
    pub fn set_flags(&mut self, id: ChannelId, position: u32, flags: u8) {
        let subscriber = &mut self.channels[id as usize].subscribers[position as usize];
        subscriber.flags = (subscriber.flags & LATE) | (flags & !LATE);
    }

    /// All subscribers of the channel here, in no particular order.
    pub fn subscribers(&self, id: ChannelId) -> &[Subscriber] {
        &self.channels[id as usize].subscribers
    }

    /// Queues an item for the subscribers of its channel; returns false when there are none here.
    pub fn deliver(&mut self, item: Item) -> bool {
        let Some(&id) = self.names.get(item.channel()) else { return false };
        let lane = item.lane();
        let channel = &mut self.channels[id as usize];
        if channel.subscribers.is_empty() {
            return false;
        }
        if channel.run == 0 || self.lanes.is_behind(lane, channel.run) {
            if channel.run != 0 {
                let earlier = std::mem::take(&mut channel.waiting);
                self.runs.entry(id).or_default().close(channel.run, earlier);
            }
            channel.run = self.lanes.begin(self.queue.is_empty());
            self.queue.push_back(id);
        }
        channel.waiting.push(item);
        self.lanes.note(lane, channel.run);
        true
    }

    /// The runs of items that wait for the next batches of a channel, with their numbers, in order.
    pub fn waiting(&self, id: ChannelId) -> impl Iterator<Item = (Run, &[Item])> {
        let Channel { waiting, run, .. } = &self.channels[id as usize];
        let last = (!waiting.is_empty()).then_some((*run, waiting.as_slice()));
        self.runs.get(&id).into_iter().flat_map(Runs::closed).chain(last)
    }

    /// The items of a waiting run.
    pub fn run(&self, id: ChannelId, run: Run) -> Option<&[Item]> {
        let Channel { waiting, run: last, .. } = &self.channels[id as usize];
        if *last == run { Some(waiting) } else { self.runs.get(&id)?.run(run) }
    }

    /// Whether the current batch has still to reach the subscriber at `position`.
    pub fn is_to_serve(&self, id: ChannelId, position: u32) -> bool {
        self.channels[id as usize].to_serve.contains(&position)
    }

    /// Number of runs and unfinished batches to deliver.
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }

    /// The channel to serve next; removes channels without items from the queue on the way.
    #[inline]
    pub fn front(&mut self) -> Option<ChannelId> {
        while let Some(&id) = self.queue.front() {
            let channel = &mut self.channels[id as usize];
            if !channel.to_serve.is_empty()
                || (!channel.waiting.is_empty() && !channel.subscribers.is_empty())
            {
                return Some(id);
            }
            self.leave_queue(id);
        }
        None
    }

    /// Removes the first entry of the queue, which is this channel's.
    fn leave_queue(&mut self, id: ChannelId) {
        self.queue.pop_front();
        heap::ease_queue(&mut self.queue);
        if let Some(runs) = self.runs.get_mut(&id)
            && runs.leave_queue()
        {
            return;
        }
        if !self.runs.is_empty() {
            self.runs.remove(&id);
            heap::ease_table(&mut self.runs);
        }
        let channel = &mut self.channels[id as usize];
        channel.run = 0;
        channel.waiting = Vec::new();
        channel.late = None;
        channel.batch = None;
        if channel.interest == 0 {
            self.channels.remove(id as usize);
        }
    }

    /// Takes the current batch out; `None` when it has reached every subscriber and the next may begin.
    pub fn take_batch(&mut self, id: ChannelId) -> Option<B> {
        let channel = &mut self.channels[id as usize];
        channel.batch.take().filter(|_| !channel.to_serve.is_empty())
    }

    /// Puts the current batch back if it has subscribers left to reach; returns whether it has.
    pub fn put_batch(&mut self, id: ChannelId, batch: B) -> bool {
        let channel = &mut self.channels[id as usize];
        let is_unfinished = !channel.to_serve.is_empty();
        channel.batch = is_unfinished.then_some(batch);
        is_unfinished
    }

    /// Begins the next batch with the first run of waiting items; it goes to every current subscriber.
    pub fn begin_batch(&mut self, id: ChannelId) -> Vec<Item> {
        let channel = &mut self.channels[id as usize];
        debug_assert!(channel.to_serve.is_empty(), "the current batch has not reached every subscriber");
        channel.to_serve = 0..u32::try_from(channel.subscribers.len()).unwrap_or(u32::MAX);
        let earliest = self.runs.get_mut(&id).and_then(Runs::take);
        let batch = earliest.unwrap_or_else(|| std::mem::take(&mut channel.waiting));
        if let (Some(late), Some(oldest)) = (&mut channel.late, batch.first()) {
            // An entry is needed for the batch that it refers to and for the one behind.
            late.retain(|_, after_seq| *after_seq >= oldest.seq());
            if late.is_empty() {
                channel.late = None;
            }
        }
        batch
    }

    /// Sorts the next `count` subscribers of the current batch by connection, if they are not sorted: the kernel's
    /// data of each was mostly allocated in that order, too, and lies so in memory. Calls `moved` with each of them,
    /// and its new position.
    #[inline]
    pub fn order_next(&mut self, id: ChannelId, count: usize, mut moved: impl FnMut(Subscriber, u32)) {
        let Channel { subscribers, to_serve, .. } = &mut self.channels[id as usize];
        let start = to_serve.start as usize;
        let end = (to_serve.end as usize).min(start.saturating_add(count)).min(subscribers.len());
        let Some(next) = subscribers.get_mut(start..end) else { return };
        if next.is_sorted_by_key(|subscriber| subscriber.conn) {
            return;
        }
        next.sort_unstable_by_key(|subscriber| subscriber.conn);
        for (position, subscriber) in (to_serve.start..).zip(next) {
            moved(*subscriber, position);
        }
    }

    /// The next subscriber of the current batch, and its position.
    #[inline]
    pub fn next_to_serve(&mut self, id: ChannelId) -> Option<(u32, Subscriber)> {
        let Channel { subscribers, to_serve, late, .. } = &mut self.channels[id as usize];
        let position = to_serve.next()?;
        let subscriber = subscribers.get_mut(position as usize)?;
        if subscriber.flags & LATE != 0
            && late.as_ref().is_none_or(|late| !late.contains_key(&subscriber.conn))
        {
            subscriber.flags &= !LATE;
        }
        Some((position, *subscriber))
    }

    /// Goes on to the next entry of the queue. A channel whose batch is unfinished stays the first, or, if it
    /// `gives_way`, goes behind the others, so that one with a large crowd does not delay them.
    #[inline]
    pub fn go_on(&mut self, gives_way: bool) {
        let Some(&id) = self.queue.front() else { return };
        let channel = &self.channels[id as usize];
        if !channel.to_serve.is_empty() {
            if gives_way && self.queue.len() > 1 {
                self.queue.rotate_left(1);
            }
            return;
        }
        let runs = self.runs.get(&id);
        let left = usize::from(!channel.waiting.is_empty()) + runs.map_or(0, Runs::closed_count);
        // Items that came during its batch are served with this entry.
        if left < runs.map_or(1, Runs::entry_count) {
            self.leave_queue(id);
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

    /// Memory of the channels: their entries and names, without their subscribers and waiting items.
    #[inline]
    pub fn channel_bytes(&self) -> usize {
        self.channels.bytes()
            + self.name_bytes
            + heap::table(&self.names)
            + heap::list::<ChannelId>(self.queue.capacity())
            + heap::table(&self.runs)
            + self.lanes.bytes()
    }

    /// Memory of the lists of subscribers.
    pub fn subscriber_bytes(&self) -> usize {
        self.list_bytes
    }

    /// Checks the invariants that hold between any two calls, in time proportional to the whole state. For tests.
    ///
    /// # Panics
    /// When one is violated.
    pub fn check_invariants(&self) {
        let lists = self.channels.iter().map(|(_, channel)| list_bytes(&channel.subscribers));
        assert_eq!(lists.sum::<usize>(), self.list_bytes);
        assert_eq!(self.names.keys().map(|name| heap::arc(name.len())).sum::<usize>(), self.name_bytes);
        for (id, channel) in self.channels.iter() {
            let runs = self.runs.get(&ChannelId::try_from(id).unwrap_or(ChannelId::MAX));
            let entries = if channel.run == 0 { 0 } else { runs.map_or(1, Runs::entry_count) };
            let queued = self.queue.iter().filter(|&&queued| queued as usize == id).count();
            assert_eq!(queued, entries, "each run has its entry in the queue: {}", channel.name);
            let is_first = |earlier: Option<&Item>| earlier.is_none() || !channel.waiting.is_empty();
            assert!(is_first(runs.and_then(Runs::earliest)), "a closed run is followed by another");
        }
    }

    /// Existing and requested subscriptions in all channels, for checks.
    pub fn interest(&self) -> usize {
        self.channels.iter().map(|(_, channel)| channel.interest as usize).sum()
    }

    /// The subscriber at a position, for checks.
    pub fn subscriber(&self, id: ChannelId, position: u32) -> Option<Subscriber> {
        self.channels.get(id as usize)?.subscribers.get(position as usize).copied()
    }
}

/// Memory of a list of subscribers.
fn list_bytes(list: &Vec<Subscriber>) -> usize {
    heap::list::<Subscriber>(list.capacity())
}

#[cfg(test)]
mod tests {
    use super::super::{DataKind, Publication};
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn publication(channel: &str, seq: u64) -> Item {
        let data = Shared::new(b"1".to_vec(), &Budget::new(100));
        Item::Publication(Arc::new(Publication {
            seq,
            ..Publication::new(channel.into(), DataKind::Text, data)
        }))
    }

    fn subscriber(conn: u32) -> Subscriber {
        Subscriber { conn, slot: 0, format: 0, flags: 0 }
    }

    #[test]
    fn a_subscriber_is_eight_bytes() {
        assert_eq!(size_of::<Subscriber>(), 8);
    }

    #[test]
    fn a_number_in_the_queue_is_not_reused() {
        let mut local = Local::<()>::new();
        let a = local.acquire(&"a".into());
        let position = local.add(a, subscriber(1), 0);
        assert!(local.deliver(publication("a", 1)) && !local.deliver(publication("b", 2)));
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
            local.add(id, subscriber(id), 0);
            local.deliver(publication(name, 1));
        }
        let first = local.front().unwrap();
        local.begin_batch(first);
        local.go_on(false);
        assert_eq!(local.front(), Some(first), "the turn ended early for it");
        local.go_on(true);
        assert_ne!(local.front(), Some(first));
    }

    #[test]
    fn who_comes_late_is_marked_until_the_batch_is_over() {
        let mut local = Local::<()>::new();
        let id = local.acquire(&"a".into());
        local.add(id, subscriber(1), 0);
        for seq in 1..=3 {
            local.deliver(publication("a", seq));
        }
        let flags = FILTERED | LATE;
        let position = local.add(id, Subscriber { flags, ..subscriber(2) }, 2);
        local.set_flags(id, position, DELTA);
        assert_eq!(local.subscribers(id)[1].flags, DELTA | LATE);
        assert_eq!(local.begin_batch(id).len(), 3);
        assert_eq!((local.late_after(id, 1), local.late_after(id, 2)), (None, Some(2)));
        // Added behind the current batch: no waiting item is excluded for it.
        let position = local.add(id, Subscriber { flags: LATE, ..subscriber(3) }, 3);
        assert_eq!(local.subscribers(id)[position as usize].flags, 0);
        assert_eq!(local.next_to_serve(id), Some((0, subscriber(1))));
        assert_eq!(local.next_to_serve(id).map(|(_, late)| late.flags), Some(DELTA | LATE));
        assert_eq!(local.next_to_serve(id), None);
        local.deliver(publication("a", 4));
        local.begin_batch(id);
        assert_eq!(local.late_after(id, 2), None);
        local.next_to_serve(id);
        assert_eq!(local.next_to_serve(id).map(|(_, late)| late.flags), Some(DELTA));
    }

    #[test]
    fn a_late_subscriber_takes_its_mark_along() {
        let mut local = Local::<()>::new();
        let id = local.acquire(&"a".into());
        local.add(id, subscriber(1), 0);
        local.deliver(publication("a", 1));
        let position = local.add(id, subscriber(2), 1);
        local.remove(id, position, |_, _| {});
        // Another, unrelated connection in the same slot.
        local.add(id, subscriber(2), 0);
        assert_eq!(local.late_after(id, 2), None);
        assert!(local.channels[id as usize].late.is_none());
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// Adds a subscriber that has all publications but the last so many.
        Add(u64),
        Remove(usize),
        Publish,
        Serve(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..4u64).prop_map(Op::Add),
            3 => any::<usize>().prop_map(Op::Remove),
            1 => Just(Op::Publish),
            3 => (1..5usize).prop_map(Op::Serve),
        ]
    }

    type Batch = Vec<u64>;

    fn batch(local: &mut Local<Batch>, id: ChannelId) -> Batch {
        local.take_batch(id).unwrap_or_else(|| local.begin_batch(id).iter().map(Item::seq).collect())
    }

    /// The shard's part: delivers to the subscriber the items that are for it.
    fn serve(
        local: &Local<Batch>,
        id: ChannelId,
        served: Subscriber,
        batch: &[u64],
        owed: &mut BTreeMap<u32, VecDeque<u64>>,
    ) {
        let after = local.late_after(id, served.conn);
        assert_eq!(after.is_some(), served.flags & LATE != 0);
        for &seq in batch.iter().filter(|&&seq| after.is_none_or(|after| seq > after)) {
            assert_eq!(owed.get_mut(&served.conn).unwrap().pop_front(), Some(seq));
        }
    }

    proptest! {
        /// Each subscriber receives all items after its start, once and in order, as long as it stays.
        #[test]
        fn everyone_gets_what_it_has_not(ops in proptest::collection::vec(op(), 1..150)) {
            let mut local = Local::<Batch>::new();
            let name: Arc<str> = "x".into();
            let keep = local.acquire(&name);
            let mut positions: BTreeMap<u32, u32> = BTreeMap::new(); // conn -> position
            let mut owed: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new(); // conn -> items still to be delivered
            let mut arrived = 0; // seq of the last that was delivered here
            let mut fresh = 0;
            for op in ops {
                match op {
                    Op::Add(ahead) => {
                        // The home may be ahead of this shard only by publications of other channels.
                        let conn = fresh % 8;
                        if positions.contains_key(&conn) {
                            continue;
                        }
                        fresh += 1;
                        local.acquire(&name);
                        positions.insert(conn, local.add(keep, subscriber(conn), arrived + ahead));
                        owed.insert(conn, VecDeque::new());
                        arrived += ahead;
                    }
                    Op::Remove(which) if !positions.is_empty() => {
                        let conn = *positions.keys().nth(which % positions.len()).unwrap();
                        let position = positions.remove(&conn).unwrap();
                        owed.remove(&conn);
                        local.remove(keep, position, |moved, to| {
                            assert!(positions.insert(moved.conn, to).is_some(), "only remaining subscribers are moved");
                        });
                        local.release(keep);
                    }
                    Op::Remove(_) => {}
                    Op::Publish => {
                        arrived += 1;
                        prop_assert_eq!(local.deliver(publication("x", arrived)), !positions.is_empty());
                        owed.values_mut().for_each(|owed| owed.push_back(arrived));
                    }
                    Op::Serve(count) => {
                        let Some(id) = local.front() else {
                            prop_assert!(owed.values().all(VecDeque::is_empty));
                            continue;
                        };
                        let batch = batch(&mut local, id);
                        prop_assert!(!batch.is_empty());
                        local.order_next(id, count, |moved, to| *positions.get_mut(&moved.conn).unwrap() = to);
                        let mut last = None;
                        for _ in 0..count {
                            let Some((position, served)) = local.next_to_serve(id) else { break };
                            prop_assert!(last.replace(served.conn) < Some(served.conn), "in order");
                            prop_assert_eq!(positions[&served.conn], position);
                            serve(&local, id, served, &batch, &mut owed);
                        }
                        local.put_batch(id, batch);
                    }
                }
                local.check_invariants();
                for (&conn, &position) in &positions {
                    prop_assert_eq!(local.subscriber(keep, position).map(|s| s.conn), Some(conn));
                }
            }
            while let Some(id) = local.front() {
                let batch = batch(&mut local, id);
                while let Some((_, served)) = local.next_to_serve(id) {
                    serve(&local, id, served, &batch, &mut owed);
                }
                local.put_batch(id, batch);
            }
            prop_assert!(owed.values().all(VecDeque::is_empty), "in the end every subscriber has every item: {owed:?}");
            prop_assert!(local.channels[keep as usize].late.is_none());
        }
    }
}
