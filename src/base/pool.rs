//! A slab that frees unused memory: numbers are reused, and a chunk is freed with its last entry.
//!
//! A new entry takes the lowest free number. So after a crowd has gone, the remaining and the new entries fill the
//! chunks in front, and the ones behind become empty. An entry never moves, and keeps its number.
//!
//! Left out on purpose: generations. A user that keeps numbers beyond their entries needs [`super::slots`].

use std::ops::{Index, IndexMut};

use super::heap;

/// Entries of a chunk: the number of bits of a word.
const CHUNK_COUNT: usize = 64;

/// Entries with neighbouring numbers. An empty chunk owns no memory. Places that were never taken are not
/// initialised: a chunk that is allocated and freed with one entry costs no more than that.
#[derive(Debug)]
struct Chunk<T> {
    count: usize,
    entries: Vec<Option<T>>,
}

/// A set of numbers with access to the lowest.
#[derive(Debug, Default)]
pub(super) struct Lowest {
    words: Vec<u64>,
    /// All words before this one are empty.
    hand: usize,
}

impl Lowest {
    pub(super) fn insert(&mut self, number: usize) {
        let word = number / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
        self.hand = self.hand.min(word);
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    /// The lowest number. The search does not repeat the words that it has skipped, until a lower number is inserted.
    pub(super) fn lowest(&mut self) -> Option<usize> {
        while let Some(&word) = self.words.get(self.hand) {
            if word != 0 {
                return Some(self.hand * 64 + word.trailing_zeros() as usize);
            }
            self.hand += 1;
        }
        None
    }

    /// Shrinks the range of possible numbers by `last`, its highest.
    pub(super) fn remove_last(&mut self, last: usize) {
        self.remove(last);
        self.words.truncate(last / 64 + usize::from(!last.is_multiple_of(64)));
        self.hand = self.hand.min(self.words.len());
        heap::ease_list(&mut self.words);
    }

    pub(super) fn bytes(&self) -> usize {
        heap::list::<u64>(self.words.capacity())
    }
}

/// A slab of values with reused numbers.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room, including those without memory.
    open: Lowest,
    count: usize,
    /// Number of chunks with memory.
    chunk_count: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: Lowest::default(), count: 0, chunk_count: 0 }
    }
}

impl<T> Pool<T> {
    /// Inserts the value and returns its number, the lowest free one.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let at = self.chunk_with_room();
        let chunk = &mut self.chunks[at];
        if chunk.count == 0 {
            chunk.entries = Vec::with_capacity(CHUNK_COUNT);
            self.chunk_count += 1;
        }
        let within = chunk.entries.iter().position(Option::is_none).unwrap_or(chunk.entries.len());
        match chunk.entries.get_mut(within) {
            Some(entry) => *entry = Some(value),
            None => chunk.entries.push(Some(value)),
        }
        chunk.count += 1;
        self.count += 1;
        if chunk.count == CHUNK_COUNT {
            self.open.remove(at);
        }
        at * CHUNK_COUNT + within
    }

    /// Removes an entry.
    ///
    /// # Panics
    /// When there is no entry of this number.
    pub(crate) fn remove(&mut self, number: usize) -> T {
        let at = number / CHUNK_COUNT;
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.count > 0);
        let chunk = chunk.unwrap_or_else(|| absent(number));
        let entry = chunk.entries.get_mut(number % CHUNK_COUNT);
        let value = entry.and_then(Option::take).unwrap_or_else(|| absent(number));
        chunk.count -= 1;
        self.count -= 1;
        self.open.insert(at);
        if chunk.count == 0 {
            chunk.entries = Vec::new();
            self.chunk_count -= 1;
            self.drop_last();
        }
        value
    }

    /// The entry of this number.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.chunks.get(number / CHUNK_COUNT)?.entries.get(number % CHUNK_COUNT)?.as_ref()
    }

    /// The entry of this number.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.chunks.get_mut(number / CHUNK_COUNT)?.entries.get_mut(number % CHUNK_COUNT)?.as_mut()
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Upper bound of the numbers: no entry has this number or a higher one.
    pub(crate) fn end(&self) -> usize {
        self.chunks.len() * CHUNK_COUNT
    }

    /// Memory, without memory owned by the entries.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_count * heap::list::<Option<T>>(CHUNK_COUNT)
            + heap::list::<Chunk<T>>(self.chunks.capacity())
            + self.open.bytes()
    }

    /// All entries with their numbers, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let entries = chunk.entries.iter().enumerate();
            entries.filter_map(move |(within, entry)| Some((at * CHUNK_COUNT + within, entry.as_ref()?)))
        })
    }

    /// The first chunk with room; a new one at the end if there is none.
    fn chunk_with_room(&mut self) -> usize {
        self.open.lowest().unwrap_or_else(|| {
            self.chunks.push(Chunk { count: 0, entries: Vec::new() });
            self.open.insert(self.chunks.len() - 1);
            self.chunks.len() - 1
        })
    }

    /// Removes the empty chunks at the end.
    fn drop_last(&mut self) {
        while self.chunks.last().is_some_and(|chunk| chunk.count == 0) {
            self.chunks.pop();
            self.open.remove_last(self.chunks.len());
        }
        heap::ease_list(&mut self.chunks);
    }
}

fn absent(number: usize) -> ! {
    panic!("no entry {number}")
}

impl<T> Index<usize> for Pool<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: usize) -> &T {
        self.get(number).unwrap_or_else(|| absent(number))
    }
}

impl<T> IndexMut<usize> for Pool<T> {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).unwrap_or_else(|| absent(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn agrees_with_the_naive_twin(ops in proptest::collection::vec((any::<bool>(), any::<u16>()), 1..2000)) {
            let mut pool = Pool::default();
            let mut naive = BTreeMap::new();
            for (n, (inserts, choice)) in ops.into_iter().enumerate() {
                if inserts || naive.is_empty() {
                    let lowest = (0..).find(|number| !naive.contains_key(number)).unwrap();
                    prop_assert_eq!(pool.insert(n), lowest);
                    naive.insert(lowest, n);
                } else {
                    let number = *naive.keys().nth(usize::from(choice) % naive.len()).unwrap();
                    prop_assert_eq!(Some(pool.remove(number)), naive.remove(&number));
                }
                prop_assert_eq!(pool.len(), naive.len());
            }
            prop_assert!(pool.iter().map(|(number, &n)| (number, n)).eq(naive.clone()));
            for number in 0..pool.end() + 70 {
                prop_assert_eq!(pool.get(number), naive.get(&number));
            }
            let chunks: std::collections::BTreeSet<_> = naive.keys().map(|number| number / CHUNK_COUNT).collect();
            prop_assert_eq!(pool.chunk_count, chunks.len());
            prop_assert!(naive.last_key_value().is_none_or(|(last, _)| pool.end() <= last + CHUNK_COUNT));
        }
    }

    #[test]
    fn what_a_crowd_took_is_given_back_though_its_last_stays() {
        let mut pool = Pool::default();
        for n in 0..100_000u64 {
            pool.insert(n);
        }
        let full = pool.bytes();
        assert!(full >= 100_000 * size_of::<Option<u64>>());
        for number in 0..99_999 {
            pool.remove(number);
        }
        assert!(pool.bytes() < full / 20, "{} of {full}", pool.bytes());
        assert_eq!(pool.insert(7), 0, "a new entry goes to the front");
        pool.remove(99_999);
        assert_eq!((pool.end(), pool[0]), (CHUNK_COUNT, 7));
        pool.remove(0);
        assert!(pool.is_empty() && pool.bytes() < 2000);
    }
}
