//! Events for one socket alone, which go by no home: their socket keeps them until its client is known to have them.
//!
//! A ping follows what was sent before it, so its answer proves that the client has that. A socket without such events
//! owns nothing.

use std::collections::VecDeque;

use crate::base::heap;
use crate::hub::DataKind;
use crate::hub::offset::Offset;

/// An event as it was sent.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) offset: Offset,
    /// Classification of `data`.
    pub(crate) kind: DataKind,
    /// The message, as in a publication.
    pub(crate) data: Box<[u8]>,
}

impl Direct {
    fn bytes(&self) -> usize {
        size_of::<Self>() + heap::piece(self.data.len())
    }
}

/// Events for one socket alone that its client may not have, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Directs {
    list: VecDeque<Direct>,
    bytes: usize,
    /// Number of those that were sent before the ping that waits for its answer.
    marked: usize,
    /// The last event that was dropped because there were too many.
    lost: Option<Offset>,
    /// Whether it was sent behind that ping.
    is_lost_later: bool,
}

impl Directs {
    /// Keeps an event; drops the oldest beyond `bytes_max`.
    pub(crate) fn push(&mut self, direct: Direct, bytes_max: usize) {
        self.bytes += direct.bytes();
        self.list.push_back(direct);
        while self.bytes > bytes_max
            && let Some(oldest) = self.list.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.lost = Some(oldest.offset);
            self.is_lost_later |= self.marked == 0;
            self.marked = self.marked.saturating_sub(1);
        }
    }

    /// Records that a ping is sent.
    pub(crate) fn mark(&mut self) {
        (self.marked, self.is_lost_later) = (self.list.len(), false);
    }

    /// Records that this ping was answered.
    pub(crate) fn prove(&mut self) {
        let count = std::mem::take(&mut self.marked);
        self.drop_first(count);
        if !self.is_lost_later {
            self.lost = None;
        }
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.lost.is_none()
    }

    /// Drops the events that a client has which has come to this offset; returns false when one that it has not is
    /// lost. `None`: it has no event at all.
    pub(crate) fn received(&mut self, offset: Option<Offset>) -> bool {
        let own = offset.filter(|offset| offset.direct.is_some());
        let found = self.list.iter().position(|direct| Some(direct.offset) == own);
        let is_whole = match (self.lost, offset) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(lost), Some(offset)) => found.is_some() || offset == lost || offset.seq > lost.seq,
        };
        let count = match (found, offset) {
            (Some(at), _) => at + 1,
            // Events behind an item have its number, or a later one.
            (None, Some(offset)) => self.list.partition_point(|direct| direct.offset.seq < offset.seq),
            (None, None) => 0,
        };
        self.drop_first(count);
        (self.marked, self.is_lost_later) = (0, false);
        if is_whole {
            self.lost = None;
        }
        is_whole
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Direct> {
        self.list.iter()
    }

    /// Memory in bytes, beside its own size.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_first(&mut self, count: usize) {
        for direct in self.list.drain(..count.min(self.list.len())) {
            self.bytes -= direct.bytes();
        }
        heap::ease_queue(&mut self.list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(seq: u64, number: u64) -> Direct {
        let offset = Offset { seq, direct: Some(number) };
        Direct { offset, kind: DataKind::Text, data: vec![b'x'; 100].into() }
    }

    fn with(list: &[(u64, u64)], bytes_max: usize) -> Directs {
        let mut directs = Directs::default();
        list.iter().for_each(|(seq, number)| directs.push(direct(*seq, *number), bytes_max));
        directs
    }

    fn left(directs: &Directs) -> Vec<u64> {
        directs.iter().filter_map(|direct| direct.offset.direct).collect()
    }

    #[test]
    fn an_answered_ping_proves_what_was_sent_before_it() {
        let mut directs = with(&[(1, 1), (1, 2)], 10_000);
        directs.mark();
        directs.push(direct(3, 3), 10_000);
        directs.prove();
        assert_eq!((left(&directs), directs.bytes()), (vec![3], direct(3, 3).bytes()));
        // The same answer proves nothing more.
        directs.prove();
        assert_eq!(left(&directs), [3]);
        directs.mark();
        directs.prove();
        assert!(directs.is_empty() && directs.bytes() == 0);
    }

    #[test]
    fn an_offset_tells_what_its_client_has() {
        let kept = [(1, 1), (1, 2), (5, 3), (5, 9), (8, 4)];
        for (offset, expected) in [
            (None, vec![1, 2, 3, 9, 4]),
            (Some((1, Some(1))), vec![2, 3, 9, 4]),
            (Some((5, Some(9))), vec![4]),
            // An item: what was sent behind it has its number.
            (Some((5, None)), vec![3, 9, 4]),
            (Some((6, None)), vec![4]),
            (Some((9, None)), vec![]),
            // An event that was proved before.
            (Some((1, Some(77))), vec![1, 2, 3, 9, 4]),
        ] {
            let mut directs = with(&kept, 10_000);
            assert!(directs.received(offset.map(|(seq, direct)| Offset { seq, direct })));
            assert_eq!(left(&directs), expected, "{offset:?}");
        }
    }

    #[test]
    fn what_is_lost_must_have_been_received() {
        let two = 2 * direct(0, 0).bytes();
        let lossy = || with(&[(1, 1), (4, 2), (4, 3), (6, 4)], two);
        assert_eq!(left(&lossy()), [3, 4]);
        for (offset, is_whole) in [
            (None, false),
            (Some((1, Some(1))), false),
            (Some((4, None)), false),
            (Some((4, Some(2))), true),
            (Some((4, Some(3))), true),
            (Some((5, None)), true),
        ] {
            let offset = offset.map(|(seq, direct)| Offset { seq, direct });
            assert_eq!(lossy().received(offset), is_whole, "{offset:?}");
        }
        // The answer to a ping behind it proves it; that to an earlier one does not.
        let mut directs = lossy();
        directs.mark();
        directs.prove();
        assert!(directs.is_empty());
        let mut directs = with(&[(1, 1)], two);
        directs.mark();
        [2, 3, 4].into_iter().for_each(|number| directs.push(direct(1, number), two));
        directs.prove();
        assert!(!directs.received(None));
    }
}
