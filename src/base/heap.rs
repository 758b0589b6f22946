//! Memory costs of allocations, and tables that shrink.
//!
//! Costs are those of glibc's malloc: a header and a grain of 16 bytes. Other allocators differ by a few bytes per
//! piece. Pieces with a mapping of their own (from 128 KiB on) are rounded up to pages, which is left out here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use smallvec::{Array, SmallVec};

/// The allocator's header of each piece.
const HEADER_BYTES: usize = 8;
const GRAIN_BYTES: usize = 16;
const PIECE_BYTES_MIN: usize = 32;
/// The two counts of an `Arc` in front of its value.
const COUNTS_BYTES: usize = 2 * size_of::<usize>();
/// A table with fewer entries never shrinks.
const KEPT_COUNT: usize = 64;

/// Cost of a piece of `bytes`; 0 bytes cost nothing.
#[inline]
pub(crate) const fn piece(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let whole = (bytes + HEADER_BYTES).next_multiple_of(GRAIN_BYTES);
    if whole < PIECE_BYTES_MIN { PIECE_BYTES_MIN } else { whole }
}

/// Cost of an `Arc` of so many bytes.
#[inline]
pub(crate) const fn arc(bytes: usize) -> usize {
    piece(COUNTS_BYTES + bytes)
}

/// Cost of a list with room for `capacity` entries.
#[inline]
pub(crate) const fn list<T>(capacity: usize) -> usize {
    piece(capacity * size_of::<T>())
}

/// Heap cost of a list that has outgrown its inline room.
#[inline]
pub(crate) fn spilled<A: Array>(list: &SmallVec<A>) -> usize {
    if list.spilled() { piece(list.capacity() * size_of::<A::Item>()) } else { 0 }
}

/// Cost of a hash table: at most 7 of 8 places are taken, each has a control byte, and 16 more follow those.
#[inline]
pub(crate) fn table<K, V, S>(table: &HashMap<K, V, S>) -> usize {
    match table.capacity() {
        0 => 0,
        capacity => {
            let places = if capacity < 4 { 4 } else { (capacity * 8 / 7).next_power_of_two() };
            piece(places * (size_of::<(K, V)>() + 1) + 16)
        }
    }
}

/// Whether a table with `count` entries should shrink. It shrinks once seven of eight places are vacant, to half of
/// its room: so shrinking costs no more than the removals before it did.
#[inline]
const fn is_wasteful(count: usize, capacity: usize) -> bool {
    capacity > KEPT_COUNT && count < capacity / 8
}

/// Shrinks a hash table that is mostly empty. To be called after a removal.
#[inline]
pub(crate) fn ease_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if is_wasteful(table.len(), table.capacity()) {
        table.shrink_to(table.len() * 2);
    }
}

/// Shrinks a list, as [`ease_table`] does a table.
#[inline]
pub(crate) fn ease_list<T>(list: &mut Vec<T>) {
    if is_wasteful(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
}

/// Shrinks a queue, as [`ease_table`] does a table.
#[inline]
pub(crate) fn ease_queue<T>(queue: &mut VecDeque<T>) {
    if is_wasteful(queue.len(), queue.capacity()) {
        queue.shrink_to(queue.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_malloc_makes_of_them() {
        // The result of `malloc_usable_size(3)` on a 64-bit glibc, plus the header.
        for (bytes, cost) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64), (1000, 1008)] {
            assert_eq!(piece(bytes), cost, "{bytes}");
        }
        assert_eq!((arc(0), arc(8), arc(9)), (32, 32, 48));
        assert_eq!((list::<u64>(0), list::<u64>(4)), (0, 48));
    }

    #[test]
    fn a_table_costs_the_places_that_it_has() {
        let mut all: HashMap<u64, u64> = HashMap::new();
        assert_eq!(table(&all), 0);
        for (count, places) in [(3, 4), (7, 8), (14, 16), (15, 32), (1000, 2048)] {
            all.clear();
            all.shrink_to_fit();
            all.extend((0..count).map(|n| (n, n)));
            assert_eq!(table(&all), piece(places * 17 + 16), "{count}");
        }
    }

    #[test]
    fn who_has_lost_most_gives_back_and_who_has_little_keeps_it() {
        let mut all: HashMap<u64, u64> = (0..10_000).map(|n| (n, n)).collect();
        let (mut list, mut queue): (Vec<u64>, VecDeque<u64>) = ((0..10_000).collect(), (0..10_000).collect());
        for n in 0..9_990 {
            all.remove(&n);
            ease_table(&mut all);
            list.pop();
            ease_list(&mut list);
            queue.pop_front();
            ease_queue(&mut queue);
        }
        assert_eq!((all.len(), list.len(), queue.len()), (10, 10, 10));
        assert!(all.capacity() < 200 && list.capacity() < 200 && queue.capacity() < 200);
        let kept = list.capacity();
        list.clear();
        ease_list(&mut list);
        assert!(list.capacity() == kept || kept > KEPT_COUNT);
    }
}
