//! The last events of one namespace, for sockets that return.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Away;
use crate::base::heap;
use crate::base::shared::Shared;
use crate::hub::socket_place::SocketPlace;
use crate::hub::{Item, Publication};

/// An event, and whom it is for.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) at_ms: u64,
    pub(super) publication: Arc<Publication>,
    pub(super) to: Box<[Arc<str>]>,
    pub(super) except: Box<[Arc<str>]>,
    /// The socket that does not receive it.
    pub(super) not_to: Option<SocketPlace>,
}

impl Logged {
    /// Memory in bytes, with an equal part of the lists' names, which are those of channels.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + heap::list::<Arc<str>>(self.to.len())
            + heap::list::<Arc<str>>(self.except.len())
            + heap::arc(size_of::<Publication>())
            + Shared::bytes(self.publication.data.len())
    }

    fn is_for(&self, away: &Away) -> bool {
        let seq = self.publication.seq;
        let is_in = |channel: &Arc<str>| away.was_in(channel, seq);
        self.not_to != Some(away.place) && self.to.iter().any(is_in) && !self.except.iter().any(is_in)
    }
}

/// The last events of a namespace, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Log {
    items: VecDeque<Logged>,
    bytes: usize,
    /// The number of the last event that was dropped.
    dropped_seq: u64,
    /// Number of the namespace's sockets that are away.
    pub(super) away_count: usize,
}

impl Log {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keeps an event; drops the oldest beyond `bytes_max`.
    pub(super) fn push(&mut self, logged: Logged, bytes_max: usize) {
        self.bytes += logged.bytes();
        self.items.push_back(logged);
        while self.bytes > bytes_max && self.drop_oldest() {}
    }

    /// Drops the oldest event; returns whether there was one.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.items.pop_front() else { return false };
        self.bytes -= oldest.bytes();
        self.dropped_seq = oldest.publication.seq;
        heap::ease_queue(&mut self.items);
        true
    }

    /// Drops the events from before this time.
    pub(super) fn expire(&mut self, before_ms: u64) {
        while self.items.front().is_some_and(|oldest| oldest.at_ms < before_ms) {
            self.drop_oldest();
        }
    }

    /// The events behind a number for a socket. `None` when some are dropped, or they have more than `bytes_max` bytes.
    pub(super) fn missed(
        &self,
        away: &Away,
        after_seq: u64,
        bytes_max: usize,
    ) -> Option<Vec<&Arc<Publication>>> {
        if self.dropped_seq > after_seq {
            return None;
        }
        let first = self.items.partition_point(|logged| logged.publication.seq <= after_seq);
        let shared = self.items.range(first..).filter(|logged| logged.is_for(away));
        let mut bytes = 0_usize;
        let mut missed = Vec::new();
        for logged in shared {
            bytes += logged.publication.data.len();
            if bytes > bytes_max {
                return None;
            }
            missed.push(&logged.publication);
        }
        Some(missed)
    }
}

/// Missed events and those for the socket alone, in one order.
pub(super) fn in_order(
    missed: Vec<&Arc<Publication>>,
    away: &Away,
    share: impl Fn(&[u8]) -> Shared,
) -> Vec<Item> {
    let mut all = Vec::with_capacity(missed.len());
    let mut missed = missed.into_iter().peekable();
    for direct in away.directs.iter() {
        // It was sent behind the item of its number.
        while let Some(item) = missed.next_if(|item| item.seq <= direct.offset.seq) {
            all.push(Item::Publication(Arc::clone(item)));
        }
        // Its text has its offset already.
        let publication = Publication::new(Arc::clone(&away.group), direct.kind, share(&direct.data));
        all.push(Item::Publication(Arc::new(publication)));
    }
    all.extend(missed.map(|item| Item::Publication(Arc::clone(item))));
    all
}
