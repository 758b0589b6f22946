//! What pieces of memory cost where the allocator gives them out, and tables that give back what they no longer need.
//!
//! Costs are those of glibc's malloc: a header and a grain of 16 bytes. Others differ by a few bytes per piece. What is
//! mapped by itself (from 128 KiB on) is rounded up to pages, which is left out here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use smallvec::{Array, SmallVec};

/// What the allocator keeps in front of each piece.
const HEADER_BYTES: usize = 8;
const GRAIN_BYTES: usize = 16;
const PIECE_BYTES_MIN: usize = 32;
/// The two counts in front of what an `Arc` holds.
const COUNTS_BYTES: usize = 2 * size_of::<usize>();
/// A table of fewer entries than this keeps what it has.
const KEPT_COUNT: usize = 64;

/// What a piece of `bytes` costs; nothing for nothing.
#[inline]
pub const fn piece(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let whole = (bytes + HEADER_BYTES).next_multiple_of(GRAIN_BYTES);
    if whole < PIECE_BYTES_MIN { PIECE_BYTES_MIN } else { whole }
}

/// What an `Arc` costs that holds so many bytes.
#[inline]
pub const fn arc(bytes: usize) -> usize {
    piece(COUNTS_BYTES + bytes)
}

/// What a list costs that has room for so many.
#[inline]
pub const fn list<T>(capacity: usize) -> usize {
    piece(capacity * size_of::<T>())
}

/// What a list costs beyond its place, where it has outgrown that.
#[inline]
pub fn spilled<A: Array>(list: &SmallVec<A>) -> usize {
    if list.spilled() { piece(list.capacity() * size_of::<A::Item>()) } else { 0 }
}

/// What a hash table costs: at most 7 of 8 places are taken, each has a byte of its own, and 16 are added to those.
#[inline]
pub fn table<K, V, S>(table: &HashMap<K, V, S>) -> usize {
    match table.capacity() {
        0 => 0,
        capacity => {
            let places = if capacity < 4 { 4 } else { (capacity * 8 / 7).next_power_of_two() };
            piece(places * (size_of::<(K, V)>() + 1) + 16)
        }
    }
}

/// Whether so few are left that keeping the room for all the others would be a waste. Room is given back when seven of
/// eight are gone, and half of it kept: so giving it back costs no more than what the removals before it did.
#[inline]
const fn is_wasteful(count: usize, capacity: usize) -> bool {
    capacity > KEPT_COUNT && count < capacity / 8
}

/// Gives back what a hash table no longer needs. To be called when something was removed.
#[inline]
pub fn ease_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if is_wasteful(table.len(), table.capacity()) {
        table.shrink_to(table.len() * 2);
    }
}

/// Shrinks a list, as [`ease_table`] does a table.
#[inline]
pub fn ease_list<T>(list: &mut Vec<T>) {
    if is_wasteful(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
}

/// Shrinks a queue, as [`ease_table`] does a table.
#[inline]
pub fn ease_queue<T>(queue: &mut VecDeque<T>) {
    if is_wasteful(queue.len(), queue.capacity()) {
        queue.shrink_to(queue.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_malloc_makes_of_them() {
        // As `malloc_usable_size(3)` tells on a 64-bit glibc, and the header.
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
