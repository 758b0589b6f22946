//! Output waiting for one connection: a queue of `Segment`s of one or more messages each, the written length of the
//! first segment, and before them TLS records that are already sealed and must be written unchanged.
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
    /// The segment waits behind the earlier ones.
    Queued,
    /// The segment would exceed the limit and was not taken.
    Full,
}

/// The queue of bytes that one connection has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are already written or sealed.
    head_written: usize,
    bytes: usize,
    /// Sealed records, written before all else.
    sealed: VecDeque<Segment>,
    /// Bytes of the first sealed record that are already written.
    sealed_written: usize,
    sealed_bytes: usize,
    /// Range of the largest waiting answer, counted in bytes that are not sealed yet.
    answer: Range<usize>,
    /// Bytes of that answer that are sealed and wait.
    answer_sealed: usize,
    /// The part of [`Outbox::queue_bytes`] that the owner has counted.
    pub counted_bytes: usize,
}

impl Outbox {
    /// Number of segments handed to one vectored write at most (the kernel's own limit is 1,024).
    pub const SLICES_MAX: usize = 32;

    /// Segments that [`Outbox::freed`] inspects; the others are assumed to be shared alike.
    const LOOKED_AT_MAX: usize = 256;

    /// Waiting bytes, sealed or not.
    pub fn bytes(&self) -> usize {
        self.bytes + self.sealed_bytes
    }

    /// Memory of the two queues, without their contents.
    pub fn queue_bytes(&self) -> usize {
        heap::list::<Segment>(self.segments.capacity()) + heap::list::<Segment>(self.sealed.capacity())
    }

    /// Approximate memory that dropping the outbox frees.
    pub fn freed(&self) -> Freed {
        let first = self.segments.iter().take(Self::LOOKED_AT_MAX);
        let looked_at_bytes = first.clone().map(Segment::len).sum();
        let freed: Freed = first.map(Segment::freed).sum();
        let own = heap::piece(size_of::<Self>()) + self.queue_bytes() + self.sealed_bytes;
        freed.scaled(self.bytes + self.head_written, looked_at_bytes) + Freed::memory(own)
    }

    /// Whether `length` more bytes exceed the limit. Waiting bytes count without the largest answer, which the client
    /// was allowed to request. An empty outbox takes any length: one message always fits.
    pub fn is_full_for(&self, length: usize, bytes_max: usize) -> bool {
        !self.is_empty() && (self.bytes() - self.answer_bytes()).saturating_add(length) > bytes_max
    }

    fn answer_bytes(&self) -> usize {
        self.answer.len() + self.answer_sealed.min(self.sealed_bytes)
    }

    /// Whether the outbox is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Appends sealed records: they precede all unsealed bytes, whatever the limit.
    pub fn push_sealed(&mut self, records: Shared) {
        if !records.is_empty() {
            self.sealed_bytes += records.len();
            self.sealed.push_back(records.into());
        }
    }

    /// Whether sealed records wait.
    pub fn has_sealed(&self) -> bool {
        self.sealed_bytes > 0
    }

    /// As [`Outbox::fill`], for sealed records.
    pub fn fill_sealed<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::SLICES_MAX]) -> usize {
        fill(&self.sealed, self.sealed_written, slices)
    }

    /// As [`Outbox::consume`], for sealed records.
    ///
    /// # Panics
    /// When `written` exceeds the waiting bytes.
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

    /// Appends an answer to the client, whatever the limit.
    pub fn push_answer(&mut self, answer: Segment) {
        self.insert(self.segments.len(), answer);
    }

    /// Number of waiting segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Inserts an answer before segment number `at`, whatever the limit. No byte of that segment or a later one may
    /// have been written.
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

    /// Calls `take` with each slice that is not sealed, in order.
    pub fn each_slice(&self, mut take: impl FnMut(&[u8])) {
        let mut written = self.head_written;
        for segment in &self.segments {
            segment.each_slice(written, |slice| {
                take(slice);
                true
            });
            written = 0;
        }
    }

    /// Removes the first `written` bytes, and frees the segments that are written.
    ///
    /// # Panics
    /// When `written` exceeds the waiting bytes.
    pub fn consume(&mut self, written: usize) {
        assert!(written <= self.bytes, "wrote more than was queued");
        self.bytes -= written;
        let before = self.answer.len();
        self.answer = self.answer.start.saturating_sub(written)..self.answer.end.saturating_sub(written);
        // The unwritten part is sealed now, and waits next.
        self.answer_sealed = self.answer_sealed.min(self.sealed_bytes) + before - self.answer.len();
        consume(&mut self.segments, &mut self.head_written, written);
    }

    /// Drops everything behind the first `kept_count` segments, but never a partly written one: the peer would take
    /// other bytes for the rest of it.
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
                    // The rest of a partly written segment is left, if there is one.
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
        // A partly written segment stays whole.
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
        // Writing the bytes before the answer makes room, writing the answer does not.
        outbox.consume(35);
        assert_eq!(outbox.push(bytes(36), 100), Push::Full);
        outbox.consume(600);
        assert_eq!((outbox.push(bytes(36), 100), outbox.push(bytes(35), 100)), (Push::Full, Push::Queued));
        // A sealed part that waits still counts as an answer.
        outbox.consume(300);
        outbox.push_sealed(Shared::new(vec![0; 320], &budget));
        assert_eq!(
            outbox.push(bytes(1), 80),
            Push::Full,
            "the bytes that sealing adds are not part of the answer"
        );
        outbox.consume_sealed(20);
        assert!(!outbox.is_full_for(0, 100) && outbox.is_full_for(1, 100));
        outbox.consume_sealed(300);
        outbox.consume(100);
        assert_eq!((outbox.bytes(), outbox.push(bytes(1), 100)), (100, Push::Full));
        outbox.consume(100);
        assert_eq!(outbox.push(bytes(200), 100), Push::Queued, "after the answer the limit holds again");
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
