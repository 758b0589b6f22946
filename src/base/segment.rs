//! One message waiting in an outbox: in bytes of its own, or gathered from several places, where large parts are not
//! copied but lent by their owner.

use std::iter::Sum;
use std::ops::Add;

use super::heap;
use super::shared::{Lent, Shared};

/// One or several messages, in the form that an outbox keeps.
#[derive(Debug)]
pub enum Segment {
    /// Contiguous bytes.
    Whole(Shared),
    /// Bytes in several places.
    Gathered(Box<Gathered>),
}

/// Bytes of a message with lent bytes between them. The budget of its own bytes also counts the list of lent pieces.
#[derive(Debug)]
pub struct Gathered {
    own: Shared,
    /// The lent pieces, in the order of the message.
    pieces: Box<[Piece]>,
}

#[derive(Debug)]
struct Piece {
    /// Number of the message's own bytes before the piece.
    at: usize,
    /// End of the piece, as an offset in the message.
    end: usize,
    lent: Lent,
}

/// Memory and queued bytes that closing a connection would free, in bytes. Shared bytes count in equal parts for each
/// holder, because they are freed with the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Memory.
    pub memory: usize,
    /// Bytes counted as queued that are not freed, since their owner keeps them.
    pub lent: usize,
}

impl Freed {
    /// The memory of one holder.
    pub fn memory(bytes: usize) -> Self {
        Self { memory: bytes, lent: 0 }
    }

    /// Decrease of the count of queued bytes.
    pub fn counted(self) -> usize {
        self.memory + self.lent
    }

    /// The fraction `part / whole` of both values.
    pub(super) fn scaled(self, part: usize, whole: usize) -> Self {
        let scale = |bytes: usize| {
            let scaled = bytes as u128 * part as u128 / (whole as u128).max(1);
            usize::try_from(scaled).unwrap_or(usize::MAX)
        };
        Self { memory: scale(self.memory), lent: scale(self.lent) }
    }
}

impl Add for Freed {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { memory: self.memory + other.memory, lent: self.lent + other.lent }
    }
}

impl Sum for Freed {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl Piece {
    fn freed(&self) -> Freed {
        match self.lent.freed() {
            (bytes, true) => Freed::memory(bytes),
            (bytes, false) => Freed { memory: 0, lent: bytes },
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.own.budget().release(self.list_bytes());
    }
}

impl Gathered {
    /// Makes a message of its `own` bytes and lent ones, each with the offset in `own` before which it is inserted.
    pub fn new(own: Shared, lent: impl Iterator<Item = (usize, Lent)>) -> Self {
        let mut lent_bytes = 0;
        let pieces = lent.map(|(at, lent)| {
            lent_bytes += lent.len();
            Piece { at, end: at + lent_bytes, lent }
        });
        let pieces: Box<[Piece]> = pieces.collect();
        debug_assert!(pieces.is_sorted_by_key(|piece| piece.at));
        debug_assert!(pieces.last().is_none_or(|last| last.at <= own.len()));
        let gathered = Self { own, pieces };
        gathered.own.budget().charge(gathered.list_bytes());
        gathered
    }

    /// Memory of the list and its box.
    fn list_bytes(&self) -> usize {
        heap::list::<Piece>(self.pieces.len()) + heap::piece(size_of::<Self>())
    }

    fn len(&self) -> usize {
        self.own.len() + self.pieces.last().map_or(0, |last| last.end - last.at)
    }

    /// The bytes from `start` on, in slices that are not empty.
    fn slices(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let first = self.pieces.partition_point(|piece| piece.end <= start);
        let (mut at, begin) =
            first.checked_sub(1).map_or((0, 0), |n| (self.pieces[n].at, self.pieces[n].end));
        let rest = &self.own[self.pieces.last().map_or(0, |last| last.at)..];
        let mut skipped = start - begin;
        self.pieces[first..]
            .iter()
            .flat_map(move |piece| {
                let own = &self.own[std::mem::replace(&mut at, piece.at)..piece.at];
                [own, &*piece.lent]
            })
            .chain([rest])
            .filter_map(move |slice| {
                let cut = skipped.min(slice.len());
                skipped -= cut;
                Some(&slice[cut..]).filter(|slice| !slice.is_empty())
            })
    }
}

impl From<Shared> for Segment {
    fn from(whole: Shared) -> Self {
        Self::Whole(whole)
    }
}

impl Segment {
    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.len(),
            Self::Gathered(gathered) => gathered.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory and queued bytes that dropping the segment frees.
    pub(super) fn freed(&self) -> Freed {
        match self {
            Self::Whole(whole) => Freed::memory(whole.freed()),
            Self::Gathered(gathered) => {
                let own = Freed::memory(gathered.own.freed() + gathered.list_bytes());
                own + gathered.pieces.iter().map(Piece::freed).sum()
            }
        }
    }

    /// Passes the bytes from `start` on to `take`, slice by slice, until `take` returns false.
    #[inline]
    pub(super) fn each_slice<'a>(&'a self, start: usize, mut take: impl FnMut(&'a [u8]) -> bool) {
        match self {
            Self::Whole(whole) => {
                take(&whole[start..]);
            }
            Self::Gathered(gathered) => {
                gathered.slices(start).all(take);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn from_anywhere_it_is_the_message_in_one_piece(
            own in proptest::collection::vec(any::<u8>(), 0..40),
            pieces in proptest::collection::vec((0..41usize, proptest::collection::vec(any::<u8>(), 0..9)), 0..9),
        ) {
            let budget = Budget::new(1000);
            let mut pieces: Vec<_> = pieces.into_iter().map(|(at, bytes)| (at.min(own.len()), bytes)).collect();
            pieces.sort_by_key(|piece| piece.0);
            let mut whole = Vec::new();
            let mut done = 0;
            for (at, bytes) in &pieces {
                whole.extend_from_slice(&own[done..*at]);
                whole.extend_from_slice(bytes);
                done = *at;
            }
            whole.extend_from_slice(&own[done..]);
            let lent = pieces.iter().map(|(at, bytes)| (*at, Shared::new(bytes.clone(), &budget).lend(&budget)));
            let gathered = Gathered::new(Shared::new(own, &budget), lent);
            let segment = Segment::Gathered(Box::new(gathered));
            prop_assert_eq!(segment.len(), whole.len());
            for start in 0..=whole.len() {
                let mut bytes = Vec::new();
                segment.each_slice(start, |slice| {
                    assert!(!slice.is_empty());
                    bytes.extend_from_slice(slice);
                    true
                });
                prop_assert_eq!(&bytes[..], &whole[start..]);
            }
            drop(segment);
            prop_assert_eq!(budget.used(), 0);
        }
    }
    #[test]
    fn the_list_of_what_is_lent_is_counted() {
        let (owner, budget) = (Budget::new(1 << 20), Budget::new(1 << 20));
        let payloads: Vec<_> = (0..100).map(|_| Shared::new(vec![7; 9], &owner)).collect();
        let own = Shared::new(vec![1; 4], &budget);
        let before = budget.used();
        let lent: Vec<_> = payloads.iter().map(|one| (0, one.lend(&budget))).collect();
        let bytes = budget.used() - before;
        let gathered = Segment::Gathered(Box::new(Gathered::new(own, lent.into_iter())));
        assert!(budget.used() >= before + bytes + 100 * size_of::<Piece>(), "{}", budget.used());
        assert_eq!(gathered.freed(), Freed { memory: budget.used() - bytes, lent: bytes });
        drop(payloads);
        assert_eq!(gathered.freed(), Freed::memory(budget.used()), "the owner has dropped the bytes");
        drop(gathered);
        assert_eq!(budget.used(), 0);
    }
}
