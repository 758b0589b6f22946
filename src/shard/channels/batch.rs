//! What one channel has to say at once, and its bytes in every form that some subscriber gets.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::budget::Budget;
use crate::base::filter::Filter;
use crate::base::shared::Shared;
use crate::hub::local::{self, ChannelId};
use crate::hub::{DataKind, Item, Publication};
use crate::proto::centrifuge as wire;
use crate::proto::centrifuge::message::{ChannelRef, Data, Encoding, Push};
use crate::proto::fossil;
use crate::proto::ws::{Deflate, Kind, Press, frame};
use crate::session::Format;
use crate::session::centrifuge::views;
use crate::session::wire::{Framing, kind};

/// A frame that joins several messages is ended beyond this many bytes: clients limit what they take at once.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// What a push takes beside its data and its channel's name: offset, publisher, and the frame's header.
const PUSH_BYTES: usize = 128;

/// Which of a batch's items a subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Choice {
    /// All.
    All,
    /// Those with their bit set, lowest first in each word.
    Some {
        /// One bit per item.
        bits: SmallVec<[u64; 2]>,
        /// Whether the first publication may be a delta: the one before it has been got.
        is_delta_ready: bool,
    },
}

impl Choice {
    fn has(&self, at: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some { bits, .. } => bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1),
        }
    }
}

/// Items of one channel on their way to its subscribers.
#[derive(Debug)]
pub(in crate::shard) struct Batch {
    items: Vec<Item>,
    /// The channel's number here, by which compact pushes name it.
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

    pub(in crate::shard) fn began_us(&self) -> u64 {
        self.began_us
    }

    pub(in crate::shard) fn has_joins(&self) -> bool {
        self.has_joins
    }

    pub(in crate::shard) fn len(&self) -> u64 {
        self.items.len() as u64
    }

    pub(in crate::shard) fn count(&self, choice: &Choice) -> u64 {
        (0..self.items.len()).filter(|&at| choice.has(at)).count() as u64
    }

    pub(in crate::shard) fn has_publication(&self, choice: &Choice) -> bool {
        self.items.iter().enumerate().any(|(at, item)| matches!(item, Item::Publication(_)) && choice.has(at))
    }

    /// What a subscriber with these flags gets, of what came after `after_seq` and passes the filter.
    pub(in crate::shard) fn choose(&self, flags: u8, after_seq: u64, filter: Option<&Filter>) -> Choice {
        let mut bits = SmallVec::from_elem(0, self.items.len().div_ceil(64));
        for (at, item) in self.items.iter().enumerate() {
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
        Choice::Some { bits, is_delta_ready: flags & local::DELTA_READY != 0 }
    }

    /// The bytes for subscribers of this format that get this choice.
    pub(in crate::shard) fn encoded(
        &mut self,
        format: u8,
        choice: &Choice,
        budget: &Budget,
        press: &mut Press,
    ) -> &Shared {
        let known = self.encoded.iter().position(|(f, c, _)| *f == format && c == choice);
        let at = known.unwrap_or_else(|| {
            let mut out = Vec::new();
            match Format::from_number(format) {
                Format::Raw { deflate } => self.put_raw(&mut out, choice, deflate, press),
                Format::Centrifuge { framing, encoding, is_uni, takes_deltas, is_compact, deflate } => {
                    let form = Form { framing, encoding, is_uni, takes_deltas, deflate };
                    let number = is_compact.then_some(i64::from(self.id) + 1);
                    self.put_pushes(&mut out, choice, form, number, press);
                }
            }
            self.encoded.push((format, choice.clone(), Shared::new(out, budget)));
            self.encoded.len() - 1
        });
        &self.encoded[at].2
    }

    fn chosen<'b>(&'b self, choice: &'b Choice) -> impl Iterator<Item = &'b Item> {
        self.items.iter().enumerate().filter(|(at, _)| choice.has(*at)).map(|(_, item)| item)
    }

    /// One frame per publication: a raw client takes frames for messages.
    fn put_raw(&self, out: &mut Vec<u8>, choice: &Choice, deflate: Deflate, press: &mut Press) {
        let publications = || {
            self.chosen(choice).filter_map(|item| match item {
                Item::Publication(publication) => Some(publication),
                Item::Membership(_) => None,
            })
        };
        out.reserve_exact(publications().map(|p| p.data.len() + frame::HEADER_BYTES_MAX).sum());
        for publication in publications() {
            let kind = if publication.kind == DataKind::Binary { Kind::Binary } else { Kind::Text };
            press.put_frame(out, kind, &publication.data, deflate);
        }
    }

    /// Pushes, joined in frames of bounded size; for clients without commands, each on its own.
    fn put_pushes(
        &self,
        out: &mut Vec<u8>,
        choice: &Choice,
        form: Form,
        number: Option<i64>,
        press: &mut Press,
    ) {
        let Form { encoding, is_uni, takes_deltas, .. } = form;
        let mut start = out.len();
        // Room is charged to the budget whether it is used or not, so it is made once, about as much as is needed.
        let bytes = |item: &Item| match item {
            Item::Publication(publication) => publication.data.len() + publication.channel.len() + PUSH_BYTES,
            Item::Membership(membership) => {
                membership.changes.len() * (membership.channel.len() + PUSH_BYTES)
            }
        };
        out.reserve_exact(self.chosen(choice).map(bytes).sum());
        // What the subscriber has of the stream, if deltas may be made to it.
        let mut has = matches!(choice, Choice::Some { is_delta_ready: true, .. }).then_some(None);
        for item in self.chosen(choice) {
            let channel = number.map_or(ChannelRef::Name(item.channel()), ChannelRef::Id);
            let mut put = |push: &Push<'_>| {
                wire::put_push(out, start, encoding, is_uni, channel, push);
                // Clients without a library take an event, or a frame, for one push.
                if is_uni || out.len() - start > JOINED_BYTES_MAX {
                    form.seal(out, start, press);
                    start = out.len();
                }
            };
            match item {
                Item::Publication(publication) => {
                    let whole = views::publication(publication, takes_deltas);
                    let delta = delta_to(publication, encoding, takes_deltas, has);
                    match &delta {
                        Some(bytes) => {
                            let data = Data::Text(bytes);
                            put(&Push::Publication(wire::message::Publication {
                                data,
                                delta: true,
                                ..whole
                            }));
                        }
                        None => put(&Push::Publication(whole)),
                    }
                    has = Some(Some(publication.offset));
                }
                Item::Membership(membership) => {
                    for (is_join, info) in &membership.changes {
                        let info = views::info(info);
                        put(&if *is_join { Push::Join(info) } else { Push::Leave(info) });
                    }
                }
            }
        }
        form.seal(out, start, press);
    }
}

/// See [`Format::Centrifuge`].
#[derive(Clone, Copy)]
struct Form {
    framing: Framing,
    encoding: Encoding,
    is_uni: bool,
    takes_deltas: bool,
    deflate: Deflate,
}

impl Form {
    /// Ends what was begun at `start`.
    fn seal(self, out: &mut Vec<u8>, start: usize, press: &mut Press) {
        let Self { framing, encoding, deflate, .. } = self;
        if deflate.is_on() {
            press.wrap(out, start, kind(encoding), deflate);
        } else {
            framing.seal(encoding, out, start);
        }
    }
}

/// The publication as a delta to the one before it, if the subscriber has that one, and if it is shorter. `has`: none when the
/// subscriber has nothing that a delta could be made to, else the last that it got in this batch. A delta leads from what the
/// subscriber was sent to what it would be sent: in JSON, from text to text.
fn delta_to(
    publication: &Arc<Publication>,
    encoding: Encoding,
    takes_deltas: bool,
    has: Option<Option<u64>>,
) -> Option<Vec<u8>> {
    if !takes_deltas || !publication.is_delta {
        return None;
    }
    let previous = publication.previous.as_ref()?;
    // The first of the batch follows on what the subscriber got before it, if it got all.
    let is_base = has?.is_none_or(|offset| offset == previous.offset);
    if !is_base || previous.offset + 1 != publication.offset {
        return None;
    }
    let sent = |publication: &'_ Publication| match encoding {
        Encoding::Json => wire::json_text(views::data(publication)).into_owned(),
        Encoding::Protobuf => publication.data.to_vec(),
    };
    let (before, after) = (sent(previous), sent(publication));
    let delta = fossil::delta(&before, &after);
    (delta.len() < after.len()).then_some(delta)
}
