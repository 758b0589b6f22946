//! The selection of a batch's items for one subscriber.
//!
//! Nearly every subscriber receives all items and needs no selection. Otherwise the selection is one bit per item, so
//! subscribers with equal selections receive the same encoded bytes.

use smallvec::SmallVec;

use super::{Item, local};
use crate::base::filter::Filter;

/// The selection of items for one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All items.
    All,
    /// The items whose bit is set, lowest first in each word.
    Some {
        /// One bit per item.
        bits: SmallVec<[u64; 2]>,
        /// Whether the first publication may be a delta: the subscriber has the one before it.
        is_delta_ready: bool,
    },
}

impl Choice {
    /// Selects items for a subscriber with these flags ([`local::Subscriber`]): those after `after_seq` that pass the
    /// filter.
    pub(crate) fn of(items: &[Item], flags: u8, after_seq: u64, filter: Option<&Filter>) -> Self {
        let mut bits = SmallVec::from_elem(0, items.len().div_ceil(64));
        for (at, item) in items.iter().enumerate() {
            let wants = match item {
                Item::Membership(_) => flags & local::JOINS != 0,
                Item::Publication(publication) => {
                    filter.is_none_or(|filter| filter.matches(&publication.tags))
                }
            };
            if wants && item.seq() > after_seq {
                bits[at / 64] |= 1 << (at % 64);
            }
        }
        Self::Some { bits, is_delta_ready: flags & local::DELTA_READY != 0 }
    }

    fn has(&self, at: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some { bits, .. } => bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1),
        }
    }

    /// The selected items, in their order.
    pub(crate) fn chosen<'i>(&'i self, items: &'i [Item]) -> impl Iterator<Item = &'i Item> + Clone {
        items.iter().enumerate().filter(|(at, _)| self.has(*at)).map(|(_, item)| item)
    }

    /// Whether the first publication may be a delta.
    pub(crate) fn is_delta_ready(&self) -> bool {
        matches!(self, Self::Some { is_delta_ready: true, .. })
    }
}
