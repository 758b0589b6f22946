//! The order of what a home sends out: places in streams, the number `seq`, and what must not be published twice.
//!
//! A place (offset and epoch) is the memory's to give: the shard's own, a disk's or a broker's. `seq` is given here, when
//! something is sent out, and runs through all channels of the home: it still orders what waits somewhere when a channel
//! ends and begins anew.
//!
//! Left out: what waits for the memory, which is [`super::waiting`]'s.

use std::sync::Arc;

use super::memory::{Appended, Memory, Read, Response, StreamId, Wanted};
use super::once::{Digest, Once};
use super::options::ChannelOptions;
use super::recovery::{Recovered, latest_after};
use super::terms::{Joining, Now, Refused, Terms};
use super::{Position, Publication};
use crate::base::bucket::Bucket;

/// What the order of one channel rests on.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) stream: Option<StreamId>,
    /// Publications of clients.
    rate: Bucket,
}

impl Line {
    /// Whether the channel takes one more publication in this second.
    pub(super) fn admit(
        &mut self,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
    ) -> Result<(), Refused> {
        let rate = options.publications_per_second_max;
        if publication.info.is_none() || rate == 0 || self.rate.take(now.ms, rate, rate) {
            return Ok(());
        }
        Err(Refused::TooManyPublications)
    }
}

/// What a home goes by to give places and numbers.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) memory: Box<dyn Memory>,
    pub(super) once: Once,
    /// Number of the last that was sent out.
    pub(super) seq: u64,
}

impl Order {
    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// What a publication is remembered by, where that is wished for.
    pub(super) fn digest(&self, channel: &str, terms: &Terms) -> Option<Digest> {
        terms.idempotency_key.as_ref().map(|key| self.once.digest(channel, key))
    }

    /// The position that a publication came to when it was asked for before.
    pub(super) fn known(&mut self, now: Now, digest: Option<Digest>) -> Option<Position> {
        self.once.position(now.ms, digest?)
    }

    /// Remembers what a publication came to.
    pub(super) fn remember(&mut self, now: Now, digest: Option<Digest>, position: &Position) {
        if let Some(digest) = digest {
            self.once.remember(now.ms, digest, position.clone());
        }
    }

    /// Asks the memory for what a subscriber wants to know.
    pub(super) fn read_for(
        &mut self,
        stream: StreamId,
        now: Now,
        options: &ChannelOptions,
        (joining, count_max): (&Joining, usize),
        passes: &dyn Fn(&Publication) -> bool,
    ) -> Response<Read> {
        let wanted = match &joining.recover {
            None => Wanted::Position,
            Some(_) if options.is_cache_recovery => Wanted::Latest { passes },
            Some(from) => Wanted::Missed { from, count_max },
        };
        self.memory.read(stream, now, options, &wanted)
    }

    /// Gives a publication its number, and the place that the memory has for it; none when it is not kept.
    pub(super) fn number(&mut self, publication: &mut Publication, kept: Option<Appended>) -> Position {
        publication.seq = self.next_seq();
        (publication.offset, publication.time_ms, publication.previous) = (0, 0, None);
        let position = match kept {
            Some(Appended::Kept { position, time_ms, previous }) => {
                (publication.offset, publication.time_ms) = (position.offset, time_ms);
                publication.previous = previous;
                // Who hears of it has been told another stream's name, or none.
                if position.offset == 1 {
                    publication.rare.get_or_insert_default().epoch = Some(Arc::clone(&position.epoch));
                }
                position
            }
            Some(Appended::Known(position)) => position,
            None => Position::default(),
        };
        publication.is_delta = publication.previous.is_some();
        position
    }
}

/// What a subscriber missed, of what was read for it.
pub(super) fn recovered(
    read: &mut Read,
    options: &ChannelOptions,
    from: &Position,
    passes: impl Fn(&Publication) -> bool,
) -> Recovered {
    if options.is_cache_recovery {
        return latest_after(read, from, passes);
    }
    let publications = std::mem::take(&mut read.publications);
    if read.is_complete { (true, publications) } else { (false, Vec::new()) }
}
