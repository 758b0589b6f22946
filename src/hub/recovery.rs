//! Reading from streams: what someone missed, and what anyone asks for.
//!
//! Invariant: who is told that it recovered has, with what it is given, every publication of the stream up to the
//! position, once and in order. What cannot be proved is denied.

use std::sync::Arc;

use super::history::{History, Stream};
use super::memory::{Read, StreamId};
use super::terms::{HistoryFilter, Refused};
use super::{Position, Publication};

/// What was missed: whether that is all of it, and the publications, oldest first.
pub(super) type Recovered = (bool, Vec<Arc<Publication>>);

/// What a subscriber gets of a stream that is read as a cache, where all before the last publication is history: the last
/// one that `passes`, unless `from` is its place or a later one. `read` has that one, with others or without.
pub(super) fn latest_after(read: &Read, from: &Position, passes: impl Fn(&Publication) -> bool) -> Recovered {
    let Read { position, publications, .. } = read;
    // Beyond the top nobody can have been: whoever says so has another stream, or has lost count.
    let is_mine = from.offset > 0 && from.offset <= position.offset && from.epoch == position.epoch;
    match publications.iter().find(|publication| passes(publication)) {
        _ if is_mine && from.offset == position.offset => (true, Vec::new()),
        Some(latest) if is_mine && from.offset >= latest.offset => (true, Vec::new()),
        Some(latest) => (true, vec![Arc::clone(latest)]),
        None => (false, Vec::new()),
    }
}

impl Stream {
    /// Whether `position` is one of this stream. Without an epoch it is taken for one: that is how a client asks that
    /// never saw the stream.
    fn is_mine(&self, position: &Position) -> bool {
        position.epoch.is_empty() || position.epoch == self.epoch
    }

    /// How many of the kept publications have an offset of at most `offset`.
    fn count_up_to(&self, offset: u64) -> usize {
        let newer = usize::try_from(self.top.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.kept.len().saturating_sub(newer)
    }
}

impl History {
    /// All that came after `from`, if it is there and not more than `count_max`.
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

    /// What the filter asks for.
    ///
    /// # Errors
    /// When it asks for what came after a position of another stream.
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
                // Nothing leads back from a place that the stream has not come to.
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
