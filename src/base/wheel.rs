//! A hierarchical timer wheel: at most one deadline per key, everything in constant time, no clock inside.
//!
//! Eleven levels of 64 slots cover all 64 bits of a tick. A deadline lives at the level of the highest
//! six-bit group in which it differs from the present, so within a level only slots ahead of the present are
//! occupied, and everything at a lower level is due before anything at a higher one: the next slot to handle is
//! the first occupied slot of the lowest occupied level. When the present reaches a slot of a higher level,
//! its entries move down (each at most once per level).
//!
//! Entries are links in a vector indexed by key, 16 bytes each; slots are circular lists around sentinels, so
//! removal needs no search. Left out on purpose: callbacks (the caller pops due keys, at its own pace).

use super::heap;

const LEVEL_BITS: u32 = 6;
const SLOT_COUNT: u32 = 1 << LEVEL_BITS;
const LEVEL_COUNT: u32 = 11;
/// The list of due keys that are not popped yet.
const DUE: u32 = LEVEL_COUNT * SLOT_COUNT;
const SENTINEL_COUNT: u32 = DUE + 1;
/// Number of keys below which freeing is not worthwhile.
const KEPT_COUNT: usize = 1024;
/// `next` of a link that is in no list.
const UNLINKED: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    prev: u32,
    deadline: u64,
}

/// A hierarchical timer wheel.
#[derive(Debug)]
pub struct Wheel {
    links: Vec<Link>,
    /// Links whose room is reserved permanently.
    reserved: usize,
    /// Maximum number of links since memory was last freed.
    most: usize,
    occupied: [u64; LEVEL_COUNT as usize],
    now: u64,
    len: usize,
}

impl Wheel {
    /// Bytes of one key's entry.
    pub const ENTRY_BYTES: usize = size_of::<Link>();

    /// An empty wheel whose present is tick `now`; room for `capacity` keys is reserved, not touched.
    pub fn new(now: u64, capacity: usize) -> Self {
        let mut links = Vec::with_capacity(capacity + SENTINEL_COUNT as usize);
        links.extend((0..SENTINEL_COUNT).map(|i| Link { next: i, prev: i, deadline: 0 }));
        let (reserved, most) = (links.capacity(), links.len());
        Self { links, reserved, most, occupied: [0; LEVEL_COUNT as usize], now, len: 0 }
    }

    /// Sets the deadline of `key`, replacing its earlier one. A deadline that is not after the present is due at once.
    ///
    /// # Panics
    /// When `key` is above 4,294,966,000: links are indexed by 32 bits.
    pub fn set(&mut self, key: u32, deadline: u64) {
        assert!(key < u32::MAX - SENTINEL_COUNT, "the wheel's keys are dense and small");
        let link = SENTINEL_COUNT + key;
        if link as usize >= self.links.len() {
            let unlinked = Link { next: UNLINKED, prev: UNLINKED, deadline: 0 };
            self.links.resize(link as usize + 1, unlinked);
            self.most = self.most.max(self.links.len());
        }
        if self.links[link as usize].next == UNLINKED {
            self.len += 1;
        } else {
            self.unlink(link);
        }
        self.links[link as usize].deadline = deadline;
        self.place(link);
    }

    /// Removes the deadline of `key`; false when it had none.
    pub fn remove(&mut self, key: u32) -> bool {
        if self.deadline(key).is_none() {
            return false;
        }
        let link = SENTINEL_COUNT + key;
        self.unlink(link);
        self.links[link as usize].next = UNLINKED;
        self.len -= 1;
        true
    }

    /// The deadline of `key`.
    pub fn deadline(&self, key: u32) -> Option<u64> {
        let link = self.links.get((SENTINEL_COUNT as usize).checked_add(key as usize)?)?;
        (link.next != UNLINKED).then_some(link.deadline)
    }

    /// Frees the memory of removed keys, once few are left; to be called after removals. Only links behind the last
    /// key with a deadline can be freed. Reserved room stays reserved.
    pub fn ease(&mut self) {
        let key_count = self.links.len() - SENTINEL_COUNT as usize;
        if key_count <= KEPT_COUNT || self.len > key_count / 4 {
            return;
        }
        while self.links.len() > SENTINEL_COUNT as usize
            && self.links.last().is_some_and(|link| link.next == UNLINKED)
        {
            self.links.pop();
        }
        if self.links.len() < self.most / 2 {
            self.links.shrink_to_fit();
            self.links.reserve_exact(self.reserved.saturating_sub(self.links.len()));
            self.most = self.links.len();
        }
    }

    /// Memory, without reserved room that was never used.
    pub fn bytes(&self) -> usize {
        heap::list::<Link>(self.links.len())
    }

    /// Number of keys with a deadline.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The present: the latest tick passed to [`Wheel::pop_due`].
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The next tick at which the wheel has work: never after the earliest deadline, exactly that deadline if it is
    /// within the present's run of 64 ticks, else perhaps earlier (entries then only move down).
    pub fn next(&self) -> Option<u64> {
        if self.links[DUE as usize].next != DUE {
            return Some(self.now);
        }
        self.next_slot().map(|(_, tick)| tick)
    }

    /// Removes one key whose deadline is at or before `now` and returns it; `None` once there is no more, and the
    /// present is then `now`. Earlier deadlines come first. A caller with a budget may stop early and go on later.
    pub fn pop_due(&mut self, now: u64) -> Option<u32> {
        loop {
            let first = self.links[DUE as usize].next;
            if first != DUE {
                let key = first - SENTINEL_COUNT;
                self.remove(key);
                return Some(key);
            }
            match self.next_slot() {
                Some((sentinel, tick)) if tick <= now => {
                    self.now = tick;
                    self.cascade(sentinel);
                }
                _ => {
                    self.now = self.now.max(now);
                    return None;
                }
            }
        }
    }

    /// First occupied slot of the lowest occupied level, and the tick at which it begins.
    #[expect(clippy::cast_possible_truncation, reason = "a level is below 11 and a slot below 64")]
    fn next_slot(&self) -> Option<(u32, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)? as u32;
        let slot = self.occupied[level as usize].trailing_zeros();
        let shift = level * LEVEL_BITS;
        let above = self.now.checked_shr(shift + LEVEL_BITS).map_or(0, |high| high << (shift + LEVEL_BITS));
        Some((level * SLOT_COUNT + slot, above | u64::from(slot) << shift))
    }

    /// Moves every entry of a slot that the present has reached to its new slot.
    fn cascade(&mut self, sentinel: u32) {
        let mut link = self.links[sentinel as usize].next;
        self.links[sentinel as usize] = Link { next: sentinel, prev: sentinel, deadline: 0 };
        self.occupied[(sentinel / SLOT_COUNT) as usize] &= !(1 << (sentinel % SLOT_COUNT));
        while link != sentinel {
            let next = self.links[link as usize].next;
            self.place(link);
            link = next;
        }
    }

    /// Links an entry behind the last of the slot of its deadline.
    #[expect(clippy::cast_possible_truncation, reason = "a slot is below 64")]
    fn place(&mut self, link: u32) {
        let deadline = self.links[link as usize].deadline;
        let sentinel = if deadline <= self.now {
            DUE
        } else {
            let level = (u64::BITS - 1 - (deadline ^ self.now).leading_zeros()) / LEVEL_BITS;
            let slot = (deadline >> (level * LEVEL_BITS)) % u64::from(SLOT_COUNT);
            self.occupied[level as usize] |= 1 << slot;
            level * SLOT_COUNT + slot as u32
        };
        let last = self.links[sentinel as usize].prev;
        self.links[link as usize].prev = last;
        self.links[link as usize].next = sentinel;
        self.links[last as usize].next = link;
        self.links[sentinel as usize].prev = link;
    }

    /// Removes an entry from its list; clears the slot's bit when it was the last.
    fn unlink(&mut self, link: u32) {
        let Link { next, prev, .. } = self.links[link as usize];
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        if next == prev && next < DUE {
            self.occupied[(next / SLOT_COUNT) as usize] &= !(1 << (next % SLOT_COUNT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A reference for the wheel: a map of deadlines, searched linearly.
    #[derive(Default)]
    struct Naive {
        deadlines: BTreeMap<u32, u64>,
        now: u64,
    }

    impl Naive {
        fn pop_all(&mut self, now: u64) -> Vec<(u64, u32)> {
            self.now = self.now.max(now);
            let mut due: Vec<_> =
                self.deadlines.iter().filter(|(_, d)| **d <= self.now).map(|(k, d)| (*d, *k)).collect();
            self.deadlines.retain(|_, d| *d > self.now);
            due.sort_unstable();
            due
        }
    }

    fn pop_all(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| wheel.pop_due(now)).collect()
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(u32, u64),
        Remove(u32),
        Advance(u64),
        Next,
    }

    fn op() -> impl Strategy<Value = Op> {
        let span = prop_oneof![0..3u64, 0..200u64, 0..10_000u64, 0..10_000_000u64, any::<u64>()];
        prop_oneof![
            4 => (0..40u32, span.clone()).prop_map(|(k, d)| Op::Set(k, d)),
            1 => (0..45u32).prop_map(Op::Remove),
            3 => span.prop_map(Op::Advance),
            1 => Just(Op::Next),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_twin(start in any::<u64>(), ops in proptest::collection::vec(op(), 1..200)) {
            let mut wheel = Wheel::new(start, 8);
            let mut naive = Naive { now: start, ..Naive::default() };
            for op in ops {
                match op {
                    Op::Set(key, after) => {
                        let deadline = naive.now.saturating_add(after);
                        wheel.set(key, deadline);
                        naive.deadlines.insert(key, deadline);
                    }
                    Op::Remove(key) => {
                        prop_assert_eq!(wheel.remove(key), naive.deadlines.remove(&key).is_some());
                    }
                    Op::Advance(by) => {
                        let before = naive.now;
                        let to = before.saturating_add(by);
                        let expected = naive.pop_all(to);
                        let mut got = Vec::new();
                        while let Some(key) = wheel.pop_due(to) {
                            got.push(key);
                        }
                        // Equal ticks may come in any order; different ticks may not.
                        let tick = |key: &u32| expected.iter().find(|(_, k)| k == key).map(|(d, _)| (*d).max(before));
                        prop_assert!(got.is_sorted_by_key(tick));
                        let mut sorted = got.clone();
                        sorted.sort_unstable();
                        let mut keys: Vec<_> = expected.iter().map(|(_, k)| *k).collect();
                        keys.sort_unstable();
                        prop_assert_eq!(sorted, keys);
                        prop_assert_eq!(wheel.now(), naive.now);
                    }
                    Op::Next => match (wheel.next(), naive.deadlines.values().min()) {
                        (None, None) => {}
                        (Some(next), Some(&earliest)) => {
                            prop_assert!(next <= earliest.max(naive.now));
                            if earliest >> 6 == naive.now >> 6 { prop_assert_eq!(next, earliest.max(naive.now)); }
                        }
                        other => prop_assert!(false, "{other:?}"),
                    },
                }
                prop_assert_eq!(wheel.len(), naive.deadlines.len());
                for (&key, &deadline) in &naive.deadlines {
                    prop_assert_eq!(wheel.deadline(key), Some(deadline));
                }
            }
        }
    }

    #[test]
    fn deadlines_come_in_order_across_levels() {
        let mut wheel = Wheel::new(1_000, 0);
        let ticks = [1_001, 1_063, 1_064, 5_000, 70_000, 300_000, 1 << 40, u64::MAX];
        for (key, tick) in (0..).zip(ticks) {
            wheel.set(key, tick);
        }
        let mut last = 0;
        for tick in ticks {
            while let Some(next) = wheel.next().filter(|&n| n < tick) {
                assert!(next > last || next == wheel.now());
                assert_eq!(wheel.pop_due(next), None);
                last = next;
            }
            assert_eq!(pop_all(&mut wheel, tick).len(), 1, "tick {tick}");
        }
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_key_has_one_deadline_and_a_past_one_is_due_at_once() {
        let mut wheel = Wheel::new(50, 0);
        wheel.set(7, 60);
        wheel.set(7, 10);
        assert_eq!((wheel.len(), wheel.next()), (1, Some(50)));
        assert_eq!(pop_all(&mut wheel, 50), [7]);
        assert_eq!(pop_all(&mut wheel, 100), [0u32; 0]);
        assert!(!wheel.remove(7) && !wheel.remove(1_000_000));
    }

    #[test]
    fn a_crowd_that_is_gone_leaves_no_links() {
        for reserved in [0, 20_000] {
            let mut wheel = Wheel::new(0, reserved);
            for key in 0..10_000 {
                wheel.set(key, u64::from(key) + 5);
            }
            for key in (0..10_000).filter(|key| key % 4000 != 7) {
                wheel.remove(key);
                wheel.ease();
            }
            assert_eq!((wheel.len(), wheel.links.len()), (3, SENTINEL_COUNT as usize + 8008));
            wheel.remove(8007);
            wheel.remove(4007);
            wheel.ease();
            assert_eq!(wheel.links.len(), SENTINEL_COUNT as usize + 8);
            assert!(wheel.links.capacity() >= reserved && wheel.links.capacity() < reserved + 2000);
            wheel.set(9000, 3);
            assert_eq!(pop_all(&mut wheel, 100), [9000, 7]);
        }
    }

    #[test]
    fn an_entry_is_sixteen_bytes() {
        assert_eq!(size_of::<Link>(), 16);
    }
}
