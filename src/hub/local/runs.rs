//! Runs of waiting items, and the last run of each publisher.
//!
//! Publishers share lanes: an array in place of a table, since every delivered publication is noted. If two publishers
//! of one moment share a lane, a run may begin that would not have to.

use std::collections::VecDeque;

use crate::base::heap;
use crate::hub::Item;
use crate::hub::home::Member;

/// Number of a run: later runs have higher numbers.
pub type Run = u32;

/// Number of lanes, with lane 0 for publications without an order between channels.
const LANES: u16 = 4096;

/// The lane of a client's publications.
pub fn lane_of(member: Member, shard_count: u16) -> u16 {
    // Neighbours in the slab, of all shards, have lanes of their own.
    let index = member.conn & u64::from(u32::MAX);
    let number = index * u64::from(shard_count) + u64::from(member.shard);
    1 + u16::try_from(number % u64::from(LANES - 1)).unwrap_or(0)
}

/// The last run of each lane. Lane 0 has none.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Empty until the first client publishes.
    last: Box<[Run]>,
    newest: Run,
}

impl Lanes {
    /// Whether the lane's last run is a later one than this.
    #[inline]
    pub(super) fn is_behind(&self, lane: u16, run: Run) -> bool {
        self.last.get(usize::from(lane)).is_some_and(|&last| last > run)
    }

    /// Records that a lane has an item in this run.
    #[inline]
    pub(super) fn note(&mut self, lane: u16, run: Run) {
        if lane == 0 {
            return;
        }
        if self.last.is_empty() {
            self.last = vec![0; usize::from(LANES)].into();
        }
        if let Some(last) = self.last.get_mut(usize::from(lane)) {
            *last = run;
        }
    }

    /// The number of a new run. Numbers begin again, some time before they end, when there is no run.
    #[inline]
    pub(super) fn begin(&mut self, is_only: bool) -> Run {
        if is_only && self.newest > Run::MAX / 2 {
            self.last.fill(0);
            self.newest = 0;
        }
        self.newest = self.newest.saturating_add(1);
        self.newest
    }

    pub(super) fn bytes(&self) -> usize {
        heap::list::<Run>(self.last.len())
    }
}

/// The runs of a channel that has several, or an unfinished batch and a run. The last run is in its channel.
#[derive(Debug)]
pub(super) struct Runs {
    closed: VecDeque<(Run, Vec<Item>)>,
    /// Number of the channel's entries in the queue.
    entry_count: usize,
}

impl Default for Runs {
    /// Of a channel with one entry.
    fn default() -> Self {
        Self { closed: VecDeque::new(), entry_count: 1 }
    }
}

impl Runs {
    /// Closes the channel's last run, which has no items if all are in the unfinished batch, for another.
    pub(super) fn close(&mut self, run: Run, items: Vec<Item>) {
        self.entry_count += 1;
        if !items.is_empty() {
            self.closed.push_back((run, items));
        }
    }

    /// Takes the items of the first run that is closed.
    pub(super) fn take(&mut self) -> Option<Vec<Item>> {
        self.closed.pop_front().map(|(_, items)| items)
    }

    /// The first item of these runs.
    pub(super) fn earliest(&self) -> Option<&Item> {
        self.closed.front().and_then(|(_, items)| items.first())
    }

    pub(super) fn closed(&self) -> impl Iterator<Item = (Run, &[Item])> {
        self.closed.iter().map(|(run, items)| (*run, items.as_slice()))
    }

    /// The items of one of these runs.
    pub(super) fn run(&self, run: Run) -> Option<&[Item]> {
        let at = self.closed.binary_search_by_key(&run, |(number, _)| *number).ok()?;
        self.closed.get(at).map(|(_, items)| items.as_slice())
    }

    pub(super) fn closed_count(&self) -> usize {
        self.closed.len()
    }

    pub(super) fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// Removes an entry of the channel from the queue; returns whether others are left.
    pub(super) fn leave_queue(&mut self) -> bool {
        self.entry_count -= 1;
        self.entry_count > 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use crate::hub::local::{Local, Subscriber};
    use crate::hub::{DataKind, Publication};

    const CHANNELS: [&str; 3] = ["a", "b", "c"];
    /// Most connections in one channel.
    const CROWD: u32 = 3;

    fn publication(channel: &str, lane: u16, seq: u64) -> Item {
        let data = Shared::new(b"1".to_vec(), &Budget::new(100));
        let publication = Publication::new(channel.into(), DataKind::Text, data);
        Item::Publication(Arc::new(Publication { seq, lane, ..publication }))
    }

    /// A shard with `CROWD` connections in all channels.
    fn crowded() -> Local<Vec<Item>> {
        let mut local = Local::new();
        for conn in 0..CROWD {
            for name in CHANNELS {
                let id = local.acquire(&name.into());
                local.add(id, Subscriber { conn, slot: 0, format: 0, flags: 0 }, 0);
            }
        }
        local
    }

    /// A turn's fan-out, as shards do it.
    fn fan_out(local: &mut Local<Vec<Item>>, budget_max: usize, heard: &mut BTreeMap<u32, Vec<Item>>) {
        let mut budget = budget_max;
        while budget > 0 {
            let Some(id) = local.front() else { return };
            let had_whole_turn = budget == budget_max;
            let batch = local.take_batch(id).unwrap_or_else(|| local.begin_batch(id));
            while budget > 0
                && let Some((_, subscriber)) = local.next_to_serve(id)
            {
                heard.entry(subscriber.conn).or_default().extend(batch.iter().cloned());
                budget -= 1;
            }
            local.put_batch(id, batch);
            local.go_on(had_whole_turn);
            local.check_invariants();
        }
    }

    #[test]
    fn who_alternates_begins_runs_and_others_join_them() {
        let mut local = crowded();
        let mut heard = BTreeMap::new();
        let mut seq = 0;
        let mut deliver = |local: &mut Local<_>, channel, lane| {
            seq += 1;
            local.deliver(publication(channel, lane, seq));
        };
        for (channel, lane) in [("a", 1), ("b", 1), ("a", 2), ("a", 0), ("b", 2), ("a", 1), ("b", 1)] {
            deliver(&mut local, channel, lane);
        }
        assert_eq!(local.queued_count(), 4);
        fan_out(&mut local, 100, &mut heard);
        assert_eq!(heard[&0].iter().map(Item::seq).collect::<Vec<_>>(), [1, 3, 4, 2, 5, 6, 7]);
        assert_eq!((local.queued_count(), local.runs.len()), (0, 0));
        // In the next turn the earlier ones do not matter.
        for (channel, lane) in [("b", 2), ("a", 2), ("b", 1), ("a", 1)] {
            deliver(&mut local, channel, lane);
        }
        assert_eq!(local.queued_count(), 2);
    }

    #[test]
    fn neighbours_have_lanes_of_their_own() {
        let lanes: std::collections::HashSet<u16> = (0..1000)
            .flat_map(|conn| [0, 1, 2].map(|shard| lane_of(Member { shard, conn: conn | 7 << 32 }, 3)))
            .collect();
        assert_eq!(lanes.len(), 3000);
        assert!(lanes.iter().all(|lane| (1..LANES).contains(lane)));
    }

    #[test]
    fn numbers_begin_again_before_they_end() {
        let mut lanes = Lanes { newest: Run::MAX / 2, ..Lanes::default() };
        let high = lanes.begin(true);
        lanes.note(1, high);
        assert!(lanes.is_behind(1, high - 1) && !lanes.is_behind(1, high) && !lanes.is_behind(0, 1));
        let later = lanes.begin(false);
        assert!(later > high);
        let low = lanes.begin(true);
        assert!(low == 1 && !lanes.is_behind(1, low));
    }

    proptest! {
        /// Everyone gets everything once; publications of a lane and of a channel keep their order, also when turns
        /// end early, as long as a turn is enough for a channel.
        #[test]
        fn a_lane_and_a_channel_keep_their_order(
            steps in proptest::collection::vec(
                (proptest::collection::vec((0..CHANNELS.len(), 0..4u16), 0..8), CROWD as usize..9), 1..20),
        ) {
            let (mut local, mut heard) = (crowded(), BTreeMap::<u32, Vec<Item>>::new());
            let mut sent = Vec::new();
            for (items, budget) in steps {
                for (channel, lane) in items {
                    let item = publication(CHANNELS[channel], lane, sent.len() as u64 + 1);
                    local.deliver(item.clone());
                    sent.push(item);
                    local.check_invariants();
                }
                fan_out(&mut local, budget, &mut heard);
            }
            while local.front().is_some() {
                fan_out(&mut local, CROWD as usize, &mut heard);
            }
            let seqs = |items: &[Item], is_meant: &dyn Fn(&Item) -> bool| -> Vec<u64> {
                items.iter().filter(|item| is_meant(item)).map(Item::seq).collect()
            };
            for conn in 0..CROWD {
                let heard = heard.get(&conn).map_or(&[][..], Vec::as_slice);
                prop_assert_eq!(heard.len(), sent.len());
                for number in 1..4 {
                    let is_meant = |item: &Item| item.lane() == number;
                    prop_assert_eq!(seqs(heard, &is_meant), seqs(&sent, &is_meant), "lane {}", number);
                }
                for channel in CHANNELS {
                    let is_meant = |item: &Item| **item.channel() == *channel;
                    prop_assert_eq!(seqs(heard, &is_meant), seqs(&sent, &is_meant), "channel {}", channel);
                }
            }
            prop_assert_eq!((local.queued_count(), local.runs.len()), (0, 0));
        }
    }
}
