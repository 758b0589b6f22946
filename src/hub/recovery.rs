//! Reading from streams: missed publications, and requested histories.
//!
//! Invariant: a client that is told that it recovered has, with the returned publications, every publication of the
//! stream up to the position, once and in order. Without proof of that, recovery fails.

use std::sync::Arc;

use super::history::{History, Stream};
use super::memory::{Read, StreamId};
use super::terms::{HistoryFilter, Refused};
use super::{Position, Publication};

/// The result of a recovery: whether it is complete, and the missed publications, oldest first.
pub(super) type Recovered = (bool, Vec<Arc<Publication>>);

/// The recovery of a subscriber from a stream in cache mode, where only the last publication counts: the last one
/// that `passes`, unless `from` is its offset or a later one. `read` contains that one, with others or without.
pub(super) fn latest_after(read: &Read, from: &Position, passes: impl Fn(&Publication) -> bool) -> Recovered {
    let Read { position, publications, .. } = read;
    // An offset beyond the top belongs to another stream, or is wrong.
    let is_mine = from.offset > 0 && from.offset <= position.offset && from.epoch == position.epoch;
    match publications.iter().find(|publication| passes(publication)) {
        _ if is_mine && from.offset == position.offset => (true, Vec::new()),
        Some(latest) if is_mine && from.offset >= latest.offset => (true, Vec::new()),
        Some(latest) => (true, vec![Arc::clone(latest)]),
        None => (false, Vec::new()),
    }
}

impl Stream {
    /// Whether `position` belongs to this stream. Without an epoch it does: a client that never saw the stream sends
    /// none.
    fn is_mine(&self, position: &Position) -> bool {
        position.epoch.is_empty() || position.epoch == self.epoch
    }

    /// Number of kept publications with an offset of at most `offset`.
    fn count_up_to(&self, offset: u64) -> usize {
        let newer = usize::try_from(self.top.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.kept.len().saturating_sub(newer)
    }
}

impl History {
    /// All publications after `from`, if they are kept and at most `count_max`.
    pub(super) fn missed(&self, id: StreamId, from: &Position, count_max: usize) -> Recovered {
        let stream = &self.streams[id as usize];
        let missed = stream.top.checked_sub(from.offset).and_then(|missed| usize::try_from(missed).ok());
        match missed {
            Some(missed) if stream.is_mine(from) && missed <= stream.kept.len() && missed <= count_max => {
                (true, self.publications(stream.kept.range(stream.kept.len() - missed..)))
            }
            _ => (false, Vec::new()),
        }
    }

    /// The last publication that `passes`.
    pub(super) fn latest(
        &self,
        id: StreamId,
        passes: &dyn Fn(&Publication) -> bool,
    ) -> Option<&Arc<Publication>> {
        let kept = self.streams[id as usize].kept.iter().rev();
        kept.map(|&key| self.publication(key)).find(|publication| passes(publication))
    }

    /// The publications that the filter asks for.
    ///
    /// # Errors
    /// When it asks for those after a position of another stream.
    pub(super) fn filtered(
        &self,
        id: StreamId,
        filter: &HistoryFilter,
    ) -> Result<Vec<Arc<Publication>>, Refused> {
        let stream = &self.streams[id as usize];
        let limit = filter.limit.unwrap_or(usize::MAX);
        if filter.since.as_ref().is_some_and(|since| !stream.is_mine(since)) {
            return Err(Refused::Unrecoverable);
        }
        Ok(if filter.reverse {
            let end = match &filter.since {
                // There is nothing before an offset that the stream has not reached.
                Some(since) if since.offset > stream.top.saturating_add(1) => 0,
                Some(since) => since.offset.checked_sub(1).map_or(0, |before| stream.count_up_to(before)),
                None => stream.kept.len(),
            };
            self.publications(stream.kept.range(..end).rev().take(limit))
        } else {
            let start = filter.since.as_ref().map_or(0, |since| stream.count_up_to(since.offset));
            self.publications(stream.kept.range(start..).take(limit))
        })
    }

    fn publications<'a>(&self, keys: impl Iterator<Item = &'a u32>) -> Vec<Arc<Publication>> {
        keys.map(|&key| Arc::clone(self.publication(key))).collect()
    }
}
