//! A slab whose keys go stale: an index is reused, a [`Key`] is not.
//!
//! Invariant: a key taken from a removed entry never finds the entry that took its place, because each
//! insertion draws a new generation. Events and letters may therefore arrive late without harm.
//!
//! Entries lie side by side, in room that is reserved at the start. A new entry takes the place that became free
//! last. Places that become free while most are free are kept back, so that the few entries left after a crowd do not
//! keep reusing places at the end. [`Slots::ease`] frees those places, and the memory of the vacant ones at the end.

use std::collections::BinaryHeap;

use slab::Slab;

/// Index of an entry and the generation of its insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Packs the key into a poll token: generation in the upper 32 bits, index in the lower.
    #[inline]
    pub fn to_token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`Key::to_token`].
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub fn from_token(token: u64) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }

    /// The reusable part: dense, below the largest number of entries that ever existed at once.
    #[inline]
    pub fn index(self) -> u32 {
        self.index
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    /// `None` in a place that is kept back.
    value: Option<T>,
}

/// Number of places below which freeing is not worthwhile.
const KEPT_COUNT: usize = 1024;

/// A slab with generations. At most `capacity_max` entries, all reserved (not touched) at start.
#[derive(Debug)]
pub struct Slots<T> {
    entries: Slab<Entry<T>>,
    /// Free places that are kept back.
    kept_back: Vec<u32>,
    /// Whether places were freed in another order than that of their reuse while most are free.
    is_scrambled: bool,
    /// Places that are taken, or were taken since the memory at the end was last freed.
    place_count: usize,
    next_generation: u32,
    capacity_max: usize,
}

impl<T> Slots<T> {
    /// Reserves address space for `capacity_max` entries (below 2^32); pages become resident as they are used.
    ///
    /// # Panics
    /// When `capacity_max` does not fit 32 bits.
    pub fn with_capacity(capacity_max: usize) -> Self {
        assert!(u32::try_from(capacity_max).is_ok(), "a key's index has 32 bits");
        Self {
            entries: Slab::with_capacity(capacity_max),
            kept_back: Vec::new(),
            is_scrambled: false,
            place_count: 0,
            next_generation: 0,
            capacity_max,
        }
    }

    /// Inserts the value that `make` builds for its key, or returns `None` when full.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        if self.len() >= self.capacity_max {
            return None;
        }
        if !self.is_sparse(self.len())
            && let Some(place) = self.kept_back.pop()
        {
            self.entries.remove(place as usize);
        }
        let vacant = self.entries.vacant_entry();
        let index = u32::try_from(vacant.key()).ok()?;
        let key = Key { index, generation: self.next_generation };
        self.next_generation = self.next_generation.wrapping_add(1);
        vacant.insert(Entry { generation: key.generation, value: Some(make(key)) });
        self.place_count = self.place_count.max(index as usize + 1);
        Some(key)
    }

    /// Whether most places would be free with `len` taken, and their number makes freeing worthwhile.
    fn is_sparse(&self, len: usize) -> bool {
        self.place_count > KEPT_COUNT && len <= self.place_count / 4
    }

    /// The entry of `key`, unless it was removed.
    #[inline]
    pub fn entry(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        entry.value.as_ref().filter(|_| entry.generation == key.generation)
    }

    /// The entry of `key`, unless it was removed.
    #[inline]
    pub fn entry_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        entry.value.as_mut().filter(|_| entry.generation == key.generation)
    }

    /// The key of the live entry at `index`.
    #[inline]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let entry = self.entries.get(index as usize).filter(|entry| entry.value.is_some())?;
        Some(Key { index, generation: entry.generation })
    }

    /// Removes and returns the entry of `key`, unless it was removed before.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        let value = entry.value.take_if(|_| entry.generation == key.generation)?;
        if self.is_sparse(self.len() - 1) {
            self.kept_back.push(key.index);
        } else {
            self.entries.remove(key.index as usize);
            self.is_scrambled = true;
        }
        Some(value)
    }

    /// Number of live entries.
    pub fn len(&self) -> usize {
        self.entries.len() - self.kept_back.len()
    }

    /// Whether there is no live entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The maximum number of entries.
    pub fn capacity_max(&self) -> usize {
        self.capacity_max
    }

    /// The keys of the most recently inserted entries that satisfy `is_meant`, the newest first; at most `count_max`.
    /// Looks at every entry, and allocates only the result.
    pub fn newest(&self, count_max: usize, is_meant: impl Fn(&T) -> bool) -> Vec<Key> {
        let mut newest = BinaryHeap::new();
        for (key, _) in self.iter().filter(|(_, value)| is_meant(value)) {
            newest.push((self.next_generation.wrapping_sub(key.generation), key));
            if newest.len() > count_max {
                newest.pop();
            }
        }
        newest.into_sorted_vec().into_iter().map(|(_, key)| key).collect()
    }

    /// Number of places that are taken or were: their memory is resident.
    pub fn place_count(&self) -> usize {
        self.place_count
    }

    /// Frees the memory of the vacant places at the end once most places are vacant; the address space stays
    /// reserved. To be called from time to time.
    pub fn ease(&mut self) {
        if !self.is_sparse(self.len()) {
            return;
        }
        let is_last_taken = self.entries.get(self.place_count - 1).is_some_and(|entry| entry.value.is_some());
        let is_scrambled = std::mem::take(&mut self.is_scrambled);
        let is_stuck = is_last_taken && !is_scrambled;
        // While nothing can be freed, new entries must find places in front, and none behind.
        let end = if is_stuck { KEPT_COUNT.max(2 * self.len()) } else { self.place_count };
        let Self { entries, kept_back, .. } = self;
        kept_back.retain(|&place| {
            let is_kept = place as usize >= end;
            if !is_kept {
                entries.remove(place as usize);
            }
            is_kept
        });
        if is_stuck {
            return;
        }
        self.kept_back = Vec::new();
        // A collected slab ends with its last entry; collected in reverse, it lists the lowest vacant place first.
        self.entries = std::mem::take(&mut self.entries).into_iter().rev().collect();
        self.entries.reserve_exact(self.capacity_max - self.entries.len());
        self.place_count = self.entries.iter().next_back().map_or(0, |(last, _)| last + 1);
    }

    /// Bytes of one entry.
    pub fn entry_bytes() -> usize {
        // One word of the slab distinguishes live entries from vacant ones.
        size_of::<Entry<T>>() + size_of::<usize>()
    }

    /// All live entries in the order of their index.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().filter_map(|(index, Entry { generation, value })| {
            let index = u32::try_from(index).ok()?;
            Some((Key { index, generation: *generation }, value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slots = Slots::with_capacity(2);
        let a = slots.insert_with(|_| 'a').unwrap();
        assert_eq!(slots.remove(a), Some('a'));
        let b = slots.insert_with(|_| 'b').unwrap();
        assert_eq!(a.index(), b.index());
        assert_eq!((slots.entry(a), slots.entry(b)), (None, Some(&'b')));
        assert_eq!((slots.remove(a), slots.entry_mut(a)), (None, None));
        assert_eq!(slots.key_at(b.index()), Some(b));
        assert_eq!(Key::from_token(b.to_token()), b);
    }

    #[test]
    fn full_is_told_not_grown() {
        let mut slots = Slots::with_capacity(1);
        let key = slots.insert_with(|key| key).unwrap();
        assert!(slots.insert_with(|key| key).is_none());
        assert_eq!(slots.iter().map(|(k, v)| (k, *v)).collect::<Vec<_>>(), [(key, key)]);
        slots.remove(key);
        assert!(slots.insert_with(|key| key).is_some());
    }

    #[test]
    fn the_newest_are_those_inserted_last() {
        let mut slots = Slots::with_capacity(10);
        slots.next_generation = u32::MAX - 2;
        let mut keys: Vec<_> = (0..6).map(|n| slots.insert_with(|_| n).unwrap()).collect();
        slots.remove(keys[1]);
        keys[1] = slots.insert_with(|_| 6).unwrap();
        assert_eq!(keys[1].index(), 1, "an entry's place is independent of its age");
        assert_eq!(slots.newest(3, |_| true), [keys[1], keys[5], keys[4]]);
        assert_eq!(slots.newest(3, |&n| n < 5), [keys[4], keys[3], keys[2]]);
        assert_eq!((slots.newest(0, |_| true).len(), slots.newest(9, |_| true).len()), (0, 6));
        assert_eq!(slots.place_count(), 6);
    }

    #[test]
    fn the_generation_costs_at_most_eight_bytes() {
        assert!(size_of::<Entry<Box<u64>>>() <= 16);
    }

    #[test]
    fn places_of_a_crowd_are_given_back_and_who_stays_keeps_its_key() {
        let mut slots = Slots::with_capacity(10_000);
        let keys: Vec<_> = (0..5000).map(|n| slots.insert_with(|_| Box::new(n)).unwrap()).collect();
        for &key in keys.iter().filter(|key| key.index() % 1000 != 3) {
            slots.remove(key);
        }
        slots.ease();
        assert_eq!((slots.len(), slots.place_count(), slots.capacity_max()), (5, 4004, 10_000));
        assert_eq!(slots.entry(keys[4003]).map(|n| **n), Some(4003));
        assert_eq!(
            (slots.entry(keys[4002]), slots.entry(keys[4999]), slots.key_at(4999)),
            (None, None, None)
        );
        slots.remove(keys[4003]);
        slots.remove(keys[3003]);
        slots.ease();
        assert_eq!((slots.place_count(), slots.len()), (2004, 3));
        // New entries go to the front, and fill vacant places before new ones.
        let fresh: Vec<_> = (0..2002).map(|n| slots.insert_with(|_| Box::new(n)).unwrap()).collect();
        assert_eq!((fresh[0].index(), fresh[2000].index(), fresh[2001].index()), (0, 2002, 2004));
        assert!(slots.entries.capacity() >= 10_000, "room stays reserved");
        assert_eq!(slots.iter().count(), slots.len());
    }

    /// Crowds come and go, and a few stay: every key finds its own entry or none, with places kept back or freed.
    #[test]
    fn agrees_with_a_map_through_crowds() {
        let mut slots: Slots<Box<i32>> = Slots::with_capacity(6000);
        let mut twin = std::collections::BTreeMap::<Key, i32>::new();
        let mut gone = Vec::new();
        let mut random = 7u64;
        let mut below = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % n
        };
        for round in 0..12 {
            let wanted = if round % 2 == 0 { 3000 } else { 20 + below(40) };
            for step in 0..12_000 {
                let grows = twin.len() < wanted;
                if below(3) > usize::from(grows) && !twin.is_empty() {
                    let key = *twin.keys().nth(below(twin.len().min(50))).unwrap();
                    assert_eq!(slots.remove(key).map(|value| *value), twin.remove(&key));
                    gone.push(key);
                } else if twin.len() < wanted + 10 {
                    let value = round * 100_000 + step;
                    let key = slots.insert_with(|_| Box::new(value)).unwrap();
                    assert_eq!(twin.insert(key, value), None, "a key is never assigned twice");
                }
                if step % 1000 == 0 {
                    slots.ease();
                }
            }
            slots.ease();
            assert_eq!(slots.len(), twin.len());
            let mut entries: Vec<_> = slots.iter().map(|(key, value)| (key, **value)).collect();
            entries.sort_unstable();
            assert_eq!(entries, twin.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
            for &key in &gone {
                assert!(slots.entry(key).is_none() && slots.remove(key).is_none());
            }
            if round % 2 == 1 {
                assert!(slots.place_count() <= KEPT_COUNT, "{} places", slots.place_count());
            }
        }
    }
}
