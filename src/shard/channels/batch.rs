//! The items that a channel delivers at once, and their bytes in every format that a subscriber uses.
//!
//! Sessions' encoders write the bytes ([`encode`]); here they are cached for subscribers of the same format.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::budget::Budget;
use crate::base::filter::Filter;
use crate::base::numbered::Numbered;
use crate::base::shared::Shared;
use crate::hub::Item;
use crate::hub::choice::Choice;
use crate::hub::local::ChannelId;
use crate::hub::words::News;
use crate::proto::ws::Press;
use crate::session::{Format, encode};

/// The number of a channel in output for its subscribers that use numbers: 0 is none.
pub(in crate::shard) fn number_of(id: ChannelId) -> u32 {
    id + 1
}

/// Items of one channel on their way to its subscribers.
#[derive(Debug)]
pub(in crate::shard) struct Batch {
    items: Vec<Item>,
    /// The channel's number in this shard.
    id: ChannelId,
    encoded: SmallVec<[(u8, Choice, Shared); 1]>,
    has_joins: bool,
    began_us: u64,
}

impl Batch {
    pub(in crate::shard) fn new(items: Vec<Item>, id: ChannelId, began_us: u64) -> Self {
        let has_joins = items.iter().any(|item| matches!(item, Item::Membership(_)));
        Self { items, id, encoded: SmallVec::new(), has_joins, began_us }
    }

    /// Adds an item to a batch of which nothing is encoded yet.
    pub(in crate::shard) fn push(&mut self, item: Item) {
        debug_assert!(self.encoded.is_empty(), "what is encoded stays as it is");
        self.items.push(item);
    }

    pub(in crate::shard) fn began_us(&self) -> u64 {
        self.began_us
    }

    /// Whether these are its items. Only the number and the last item are compared, since items are only appended.
    pub(in crate::shard) fn is_of(&self, items: &[Item]) -> bool {
        let is_same = |pair: (&Item, &Item)| match pair {
            (Item::Publication(one), Item::Publication(other)) => Arc::ptr_eq(one, other),
            (Item::Membership(one), Item::Membership(other)) => Arc::ptr_eq(one, other),
            (Item::Publication(_), Item::Membership(_)) | (Item::Membership(_), Item::Publication(_)) => {
                false
            }
        };
        self.items.len() == items.len() && self.items.last().zip(items.last()).is_none_or(is_same)
    }

    pub(in crate::shard) fn has_joins(&self) -> bool {
        self.has_joins
    }

    pub(in crate::shard) fn len(&self) -> u64 {
        self.items.len() as u64
    }

    pub(in crate::shard) fn count(&self, choice: &Choice) -> u64 {
        choice.chosen(&self.items).count() as u64
    }

    pub(in crate::shard) fn has_publication(&self, choice: &Choice) -> bool {
        choice.chosen(&self.items).any(|item| matches!(item, Item::Publication(_)))
    }

    /// The items for a subscriber with these flags: those after `after_seq` that pass the filter.
    pub(in crate::shard) fn choose(&self, flags: u8, after_seq: u64, filter: Option<&Filter>) -> Choice {
        Choice::of(&self.items, flags, after_seq, filter)
    }

    /// The chosen items in the form for a session.
    pub(in crate::shard) fn news<'b>(
        &'b self,
        choice: &'b Choice,
        takes_deltas: bool,
    ) -> impl Iterator<Item = News<'b>> {
        choice.chosen(&self.items).flat_map(move |item| {
            let (publication, membership) = match item {
                Item::Publication(publication) => (Some(publication), None),
                Item::Membership(membership) => (None, Some(membership)),
            };
            let published =
                publication.into_iter().map(move |publication| News::Published { publication, takes_deltas });
            let changes = membership.into_iter().flat_map(|membership| {
                let channel = &*membership.channel;
                membership.changes.iter().map(move |(has_come, info)| match has_come {
                    true => News::Came { channel, info },
                    false => News::Went { channel, info },
                })
            });
            published.chain(changes)
        })
    }

    /// The bytes for subscribers of this format and choice; `None` for an unknown format number.
    #[inline]
    pub(in crate::shard) fn encoded(
        &mut self,
        format: u8,
        choice: &Choice,
        formats: &Numbered<Format>,
        budget: &Budget,
        press: &mut Press,
    ) -> Option<&Shared> {
        // Most subscribers of a large channel receive all items, in one format.
        let is_first = matches!(self.encoded.first(), Some((first, Choice::All, _)) if *first == format);
        let at = if is_first && matches!(choice, Choice::All) {
            0
        } else {
            self.place(format, choice, formats, budget, press)?
        };
        Some(&self.encoded[at].2)
    }

    /// The index of the bytes, which are encoded now if they are missing.
    fn place(
        &mut self,
        format: u8,
        choice: &Choice,
        formats: &Numbered<Format>,
        budget: &Budget,
        press: &mut Press,
    ) -> Option<usize> {
        let known = self.encoded.iter().position(|(f, c, _)| *f == format && c == choice);
        if known.is_some() {
            return known;
        }
        let bytes = encode(formats.get(format)?, &self.items, choice, number_of(self.id), press);
        self.encoded.push((format, choice.clone(), Shared::new(bytes, budget)));
        Some(self.encoded.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::home::Membership;
    use crate::hub::{ClientInfo, DataKind, Publication, local};

    fn batch(budget: &Budget) -> Batch {
        let publication = |seq| {
            let data = Shared::new(b"{}".to_vec(), budget);
            let publication = Publication { seq, ..Publication::new("a".into(), DataKind::Json, data) };
            Item::Publication(Arc::new(publication))
        };
        let info = || Arc::new(ClientInfo::default());
        let changes = vec![(true, info()), (false, info())];
        let membership = Membership { channel: "a".into(), seq: 2, changes };
        Batch::new(vec![publication(1), Item::Membership(Arc::new(membership)), publication(3)], 0, 0)
    }

    #[test]
    fn a_number_of_no_format_delivers_nothing() {
        let (budget, mut press) = (Budget::new(1 << 20), Press::new(None));
        let (mut batch, mut formats) = (batch(&budget), Numbered::default());
        assert!(batch.encoded(0, &Choice::All, &formats, &budget, &mut press).is_none());
        let raw = Format::Raw(crate::session::raw::Form { deflate: crate::proto::ws::Deflate::Off });
        let number = formats.number(raw).unwrap();
        let encoded = batch.encoded(number, &Choice::All, &formats, &budget, &mut press).unwrap();
        assert_eq!(**encoded, *b"\x81\x02{}\x81\x02{}");
        assert!(batch.encoded(number + 1, &Choice::All, &formats, &budget, &mut press).is_none());
    }

    #[test]
    fn what_was_encoded_stands_for_the_very_items_only() {
        let budget = Budget::new(1 << 20);
        let [batch, other] = [(); 2].map(|()| batch(&budget));
        assert!(batch.is_of(&batch.items.clone()));
        assert!(!batch.is_of(&batch.items[..2]));
        assert!(!batch.is_of(&other.items));
        assert!(!batch.is_of(&[]));
    }

    #[test]
    fn a_session_that_sees_each_delivery_is_told_what_is_chosen() {
        let budget = Budget::new(1 << 20);
        let batch = batch(&budget);
        let told = |flags, after_seq| {
            let choice = batch.choose(flags | local::PERSONAL, after_seq, None);
            let name = |news: News<'_>| match news {
                News::Published { publication, takes_deltas: true } => {
                    format!("published {}", publication.seq)
                }
                News::Came { channel, .. } => format!("came {channel}"),
                News::Went { channel, .. } => format!("went {channel}"),
                News::Entered(_)
                | News::Published { .. }
                | News::Ended { .. }
                | News::Said(_)
                | News::Renewed { .. } => panic!("{news:?}"),
            };
            batch.news(&choice, true).map(name).collect::<Vec<_>>()
        };
        assert_eq!(told(0, 0), ["published 1", "published 3"]);
        assert_eq!(told(local::JOINS, 1), ["came a", "went a", "published 3"]);
    }
}
