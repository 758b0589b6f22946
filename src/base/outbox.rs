//! What waits to be written to one connection: a queue of [`Segment`]s, one or more messages each, and how far the first has gone, and before
//! it what was sealed already and must go as it is.
//!
//! An idle connection owns none: the shard makes an outbox when a write cannot finish and frees it when it is empty.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use super::heap;
use super::segment::{Freed, Segment};
use super::shared::Shared;

/// Outcome of [`Outbox::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It waits behind what was there.
    Queued,
    /// It would exceed the limit and was not taken.
    Full,
}

/// The queue of bytes that one connection has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are already written, or sealed.
    head_written: usize,
    bytes: usize,
    /// Records that go before all else.
    sealed: VecDeque<Segment>,
    /// Bytes of the first of them that are already written.
    sealed_written: usize,
    sealed_bytes: usize,
    /// Where the largest answer that waits begins and ends, counted in bytes that are not sealed yet.
    answer: Range<usize>,
    /// Bytes of it that are sealed and wait.
    answer_sealed: usize,
    /// What its owner has counted of [`Outbox::queue_bytes`].
    pub counted_bytes: usize,
}

impl Outbox {
    /// Number of segments handed to one vectored write at most (the kernel's own limit is 1,024).
    pub const SLICES_MAX: usize = 32;

    /// Segments that [`Outbox::freed`] looks at; the others are taken to be shared as these are.
    const LOOKED_AT_MAX: usize = 256;

    /// Bytes that wait, sealed and not.
    pub fn bytes(&self) -> usize {
        self.bytes + self.sealed_bytes
    }

    /// What its two queues cost, without what is in them.
    pub fn queue_bytes(&self) -> usize {
        heap::list::<Segment>(self.segments.capacity()) + heap::list::<Segment>(self.sealed.capacity())
    }

    /// About what dropping it gives back.
    pub fn freed(&self) -> Freed {
        let first = self.segments.iter().take(Self::LOOKED_AT_MAX);
        let looked_at_bytes = first.clone().map(Segment::len).sum();
        let freed: Freed = first.map(Segment::freed).sum();
        let own = heap::piece(size_of::<Self>()) + self.queue_bytes() + self.sealed_bytes;
        freed.scaled(self.bytes + self.head_written, looked_at_bytes) + Freed::memory(own)
    }

    /// Whether `length` bytes more are too much: what waits counts without the largest answer, which its client asked for
    /// and was allowed to. An empty outbox takes anything: one message always fits.
    pub fn is_full_for(&self, length: usize, bytes_max: usize) -> bool {
        !self.is_empty() && (self.bytes() - self.answer_bytes()).saturating_add(length) > bytes_max
    }

    fn answer_bytes(&self) -> usize {
        self.answer.len() + self.answer_sealed.min(self.sealed_bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Appends to what is sealed: it goes before all that is not, whatever the limit.
    pub fn push_sealed(&mut self, records: Shared) {
        if !records.is_empty() {
            self.sealed_bytes += records.len();
            self.sealed.push_back(records.into());
        }
    }

    /// Whether something sealed waits.
    pub fn has_sealed(&self) -> bool {
        self.sealed_bytes > 0
    }

    /// As [`Outbox::fill`], of what is sealed.
    pub fn fill_sealed<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::SLICES_MAX]) -> usize {
        fill(&self.sealed, self.sealed_written, slices)
    }

    /// As [`Outbox::consume`], of what is sealed.
    ///
    /// # Panics
    /// When that is more than waits.
    pub fn consume_sealed(&mut self, written: usize) {
        assert!(written <= self.sealed_bytes, "wrote more than was queued");
        self.sealed_bytes -= written;
        consume(&mut self.sealed, &mut self.sealed_written, written);
    }

    /// Appends `segment`, unless it [is full](Outbox::is_full_for) for it.
    pub fn push(&mut self, segment: impl Into<Segment>, bytes_max: usize) -> Push {
        let segment = segment.into();
        if segment.is_empty() {
            return Push::Queued;
        }
        if self.is_full_for(segment.len(), bytes_max) {
            return Push::Full;
        }
        self.bytes += segment.len();
        self.segments.push_back(segment);
        Push::Queued
    }

    /// Appends what the client asked for, whatever the limit.
    pub fn push_answer(&mut self, answer: Segment) {
        self.insert(self.segments.len(), answer);
    }

    /// Number of segments that wait.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Puts an answer before the segment number `at`, whatever the limit. Nothing of those behind may have been written.
    pub fn insert(&mut self, at: usize, answer: Segment) {
        debug_assert!(at > 0 || self.head_written == 0, "a segment that is partly written stays the first");
        if answer.is_empty() {
            return;
        }
        let (at, length) = (at.min(self.segments.len()), answer.len());
        let behind: usize = self.segments.range(at..).map(Segment::len).sum();
        let begin = self.bytes - behind;
        if length > self.answer_bytes() {
            (self.answer, self.answer_sealed) = (begin..begin + length, 0);
        } else if begin <= self.answer.start {
            self.answer = self.answer.start + length..self.answer.end + length;
        }
        self.bytes += length;
        self.segments.insert(at, answer);
    }

    /// Puts the first waiting slices into `slices` and returns how many; at most [`Outbox::SLICES_MAX`].
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::SLICES_MAX]) -> usize {
        fill(&self.segments, self.head_written, slices)
    }

    /// Notes that the first `written` bytes are gone; frees the segments that went with them.
    ///
    /// # Panics
    /// When that is more than waits.
    pub fn consume(&mut self, written: usize) {
        assert!(written <= self.bytes, "wrote more than was queued");
        self.bytes -= written;
        let before = self.answer.len();
        self.answer = self.answer.start.saturating_sub(written)..self.answer.end.saturating_sub(written);
        // What is not written is sealed now, and waits next.
        self.answer_sealed = self.answer_sealed.min(self.sealed_bytes) + before - self.answer.len();
        consume(&mut self.segments, &mut self.head_written, written);
    }

    /// Drops everything behind the first `kept_count` segments, but never one that is partly written: the peer would
    /// take the rest of it for something else.
    pub fn cut(&mut self, kept_count: usize) {
        self.segments.truncate(kept_count.max(usize::from(self.head_written > 0)));
        self.segments.shrink_to_fit();
        self.bytes = self.segments.iter().map(|segment| segment.len()).sum::<usize>() - self.head_written;
        self.answer = self.answer.start.min(self.bytes)..self.answer.end.min(self.bytes);
    }
}

fn fill<'a>(
    segments: &'a VecDeque<Segment>,
    head_written: usize,
    slices: &mut [IoSlice<'a>; Outbox::SLICES_MAX],
) -> usize {
    let mut count = 0;
    let mut written = head_written;
    for segment in segments {
        segment.each_slice(written, |slice| {
            slices[count] = IoSlice::new(slice);
            count += 1;
            count < Outbox::SLICES_MAX
        });
        if count == Outbox::SLICES_MAX {
            break;
        }
        written = 0;
    }
    count
}

fn consume(segments: &mut VecDeque<Segment>, head_written: &mut usize, mut written: usize) {
    while let Some(first) = segments.front() {
        let left = first.len() - *head_written;
        if written < left {
            *head_written += written;
            return;
        }
        written -= left;
        *head_written = 0;
        segments.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use proptest::prelude::*;

    fn gather(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); Outbox::SLICES_MAX];
        let count = outbox.fill(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_byte_queue(ops in proptest::collection::vec((0..40usize, 0..60usize, any::<bool>()), 1..60)) {
            const MAX: usize = 300;
            let budget = Budget::new(1 << 20);
            let mut outbox = Outbox::default();
            let mut naive: Vec<u8> = Vec::new();
            let mut boundaries = Vec::new();
            let mut fresh = 0u8;
            let mut total = 0usize;
            for (push, consume, cut) in ops {
                let bytes: Vec<u8> = (0..push).map(|_| { fresh = fresh.wrapping_add(1); fresh }).collect();
                let fits = naive.is_empty() || naive.len() + push <= MAX;
                let outcome = outbox.push(Shared::new(bytes.clone(), &budget), MAX);
                prop_assert_eq!(outcome == Push::Queued, fits || push == 0);
                if outcome == Push::Queued {
                    naive.extend(&bytes);
                    boundaries.push(total + naive.len());
                }
                let consume = consume.min(naive.len());
                outbox.consume(consume);
                naive.drain(..consume);
                total += consume;
                if cut && fresh.is_multiple_of(7) {
                    // What is left is the rest of the segment that is partly written, if any.
                    let mut edges = vec![0];
                    edges.extend(&boundaries);
                    let left = if edges.contains(&total) { 0 } else {
                        boundaries.iter().find(|&&b| b > total).map_or(0, |b| b - total)
                    };
                    outbox.cut(0);
                    naive.truncate(left);
                    boundaries.retain(|&b| b <= total + left);
                }
                prop_assert_eq!(outbox.bytes(), naive.len());
                let gathered = gather(&outbox);
                prop_assert_eq!(&gathered[..], &naive[..gathered.len()]);
                prop_assert!(gathered.len() == naive.len() || outbox.segments.len() > Outbox::SLICES_MAX);
            }
            drop(outbox);
            prop_assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn what_is_kept_of_a_cut_is_whole() {
        let budget = Budget::new(100);
        let mut outbox = Outbox::default();
        for text in ["abc", "de", "f"] {
            outbox.push(Shared::new(text.into(), &budget), 100);
        }
        outbox.cut(2);
        assert_eq!((gather(&outbox), outbox.bytes()), (b"abcde".to_vec(), 5));
        outbox.consume(1);
        outbox.cut(0);
        assert_eq!((gather(&outbox), outbox.bytes()), (b"bc".to_vec(), 2));
        outbox.cut(7);
        outbox.consume(2);
        outbox.cut(0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_sealed_goes_first_and_is_never_cut() {
        let budget = Budget::new(100);
        let mut outbox = Outbox::default();
        outbox.push(Shared::new(b"plain".into(), &budget), 100);
        outbox.consume(2);
        outbox.push_sealed(Shared::new(b"seal".into(), &budget));
        outbox.push_sealed(Shared::new(b"ed".into(), &budget));
        assert_eq!((outbox.bytes(), outbox.segment_count(), outbox.has_sealed()), (9, 1, true));
        outbox.consume_sealed(5);
        let mut slices = [IoSlice::new(&[]); Outbox::SLICES_MAX];
        assert_eq!((outbox.fill_sealed(&mut slices), &*slices[0]), (1, &b"d"[..]));
        outbox.cut(0);
        // What was begun stays whole.
        assert_eq!((gather(&outbox), outbox.bytes()), (b"ain".to_vec(), 4));
        outbox.consume_sealed(1);
        outbox.consume(3);
        assert!(outbox.is_empty() && !outbox.has_sealed());
    }

    #[test]
    fn an_empty_outbox_takes_one_message_of_any_size() {
        let budget = Budget::new(10);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Shared::new(vec![0; 100], &budget), 50), Push::Queued);
        assert_eq!(outbox.push(Shared::new(vec![0; 1], &budget), 50), Push::Full);
        assert!(budget.is_exhausted());
        outbox.consume(100);
        assert!(outbox.is_empty() && !budget.is_exhausted());
    }

    #[test]
    fn an_answer_counts_for_nobody_else() {
        let budget = Budget::new(1 << 20);
        let bytes = |length| Segment::from(Shared::new(vec![0; length], &budget));
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(bytes(30), 100), Push::Queued);
        outbox.push_answer(bytes(5));
        outbox.push_answer(bytes(1000));
        outbox.push_answer(bytes(9));
        assert_eq!((outbox.push(bytes(57), 100), outbox.push(bytes(56), 100)), (Push::Full, Push::Queued));
        // What goes before it makes room, and the answer itself none.
        outbox.consume(35);
        assert_eq!(outbox.push(bytes(36), 100), Push::Full);
        outbox.consume(600);
        assert_eq!((outbox.push(bytes(36), 100), outbox.push(bytes(35), 100)), (Push::Full, Push::Queued));
        // A part of it is sealed and waits: it is an answer still.
        outbox.consume(300);
        outbox.push_sealed(Shared::new(vec![0; 320], &budget));
        assert_eq!(outbox.push(bytes(1), 80), Push::Full, "what sealing adds is none");
        outbox.consume_sealed(20);
        assert!(!outbox.is_full_for(0, 100) && outbox.is_full_for(1, 100));
        outbox.consume_sealed(300);
        outbox.consume(100);
        assert_eq!((outbox.bytes(), outbox.push(bytes(1), 100)), (100, Push::Full));
        outbox.consume(100);
        assert_eq!(outbox.push(bytes(200), 100), Push::Queued, "and after it all is as before");
        assert_eq!(outbox.push(bytes(1), 100), Push::Full);
    }

    #[test]
    fn an_answer_that_goes_before_others_is_none_of_theirs() {
        let budget = Budget::new(1 << 20);
        let bytes = |length| Segment::from(Shared::new(vec![0; length], &budget));
        let mut outbox = Outbox::default();
        outbox.push(bytes(60), 100);
        outbox.insert(0, bytes(500));
        outbox.insert(0, bytes(3));
        assert!(!outbox.is_full_for(37, 100) && outbox.is_full_for(38, 100));
        outbox.consume(503);
        assert!(!outbox.is_full_for(40, 100) && outbox.is_full_for(41, 100));
        outbox.cut(0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_freed_is_ones_own_and_a_part_of_what_is_shared() {
        let (budget, queues) =
            (Budget::new(1 << 30), |outbox: &Outbox| heap::piece(size_of::<Outbox>()) + outbox.queue_bytes());
        let shared: Vec<_> = (0..2000).map(|_| Shared::new(vec![0; 1000], &budget)).collect();
        let mut outboxes: Vec<_> = (0..4).map(|_| Outbox::default()).collect();
        for outbox in &mut outboxes {
            for one in &shared {
                outbox.push(one.clone(), usize::MAX);
            }
        }
        drop(shared);
        let [one, ..] = &outboxes[..] else { unreachable!() };
        assert_eq!(one.freed(), Freed::memory(queues(one) + 500 * Shared::bytes(1000)));
        let mut own = Outbox::default();
        own.push(Shared::new(vec![0; 1000], &budget), usize::MAX);
        own.push_sealed(Shared::new(vec![0; 10], &budget));
        assert_eq!(own.freed(), Freed::memory(queues(&own) + 10 + Shared::bytes(1000)));
    }
}
