//! A slab that gives back what it no longer needs: numbers that are reused, in chunks that are freed with their last entry.
//!
//! A new entry takes the lowest number that is free. So after a crowd has gone, those who stay and those who come fill the
//! chunks in front, and the ones behind become empty. An entry never moves, and keeps its number.
//!
//! Left out on purpose: generations. Whoever keeps a number beyond its entry wants [`super::slots`].

use std::ops::{Index, IndexMut};

use super::heap;

/// Entries of a chunk: as many as a word has bits.
const CHUNK_COUNT: usize = 64;

/// Entries with neighbouring numbers. Without any, it owns nothing. Places that were never taken are not filled: a chunk
/// that comes and goes with one entry costs no more than that.
#[derive(Debug)]
struct Chunk<T> {
    count: usize,
    entries: Vec<Option<T>>,
}

/// A set of numbers that tells its lowest.
#[derive(Debug, Default)]
pub(super) struct Lowest {
    words: Vec<u64>,
    /// No word before this one has a bit.
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

    /// The lowest. What it passes over it does not look at again, until something lower is inserted.
    pub(super) fn lowest(&mut self) -> Option<usize> {
        while let Some(&word) = self.words.get(self.hand) {
            if word != 0 {
                return Some(self.hand * 64 + word.trailing_zeros() as usize);
            }
            self.hand += 1;
        }
        None
    }

    /// Removes the last of the numbers that there may be: there is no higher one from now on.
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
pub struct Pool<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks that have room, also those that own nothing.
    open: Lowest,
    count: usize,
    /// Chunks that own something.
    chunk_count: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: Lowest::default(), count: 0, chunk_count: 0 }
    }
}

impl<T> Pool<T> {
    /// Takes the value and returns its number, the lowest that is free.
    pub fn insert(&mut self, value: T) -> usize {
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
    /// When there is none of this number.
    pub fn remove(&mut self, number: usize) -> T {
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
    pub fn get(&self, number: usize) -> Option<&T> {
        self.chunks.get(number / CHUNK_COUNT)?.entries.get(number % CHUNK_COUNT)?.as_ref()
    }

    /// The entry of this number.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.chunks.get_mut(number / CHUNK_COUNT)?.entries.get_mut(number % CHUNK_COUNT)?.as_mut()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// No entry has this number or a higher one.
    pub fn end(&self) -> usize {
        self.chunks.len() * CHUNK_COUNT
    }

    /// What it costs, without what entries own.
    pub fn bytes(&self) -> usize {
        self.chunk_count * heap::list::<Option<T>>(CHUNK_COUNT)
            + heap::list::<Chunk<T>>(self.chunks.capacity())
            + self.open.bytes()
    }

    /// All entries with their numbers, in that order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let entries = chunk.entries.iter().enumerate();
            entries.filter_map(move |(within, entry)| Some((at * CHUNK_COUNT + within, entry.as_ref()?)))
        })
    }

    /// The first chunk with room; a new one behind all others if there is none.
    fn chunk_with_room(&mut self) -> usize {
        self.open.lowest().unwrap_or_else(|| {
            self.chunks.push(Chunk { count: 0, entries: Vec::new() });
            self.open.insert(self.chunks.len() - 1);
            self.chunks.len() - 1
        })
    }

    /// Forgets the chunks at the end that own nothing.
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
        assert_eq!(pool.insert(7), 0, "who comes goes to the front");
        pool.remove(99_999);
        assert_eq!((pool.end(), pool[0]), (CHUNK_COUNT, 7));
        pool.remove(0);
        assert!(pool.is_empty() && pool.bytes() < 2000);
    }
}
