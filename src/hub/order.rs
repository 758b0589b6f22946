//! The order of a home's items: positions in streams, the number `seq`, and idempotency.
//!
//! The memory assigns a position (offset and epoch): the shard's own memory, a disk or a broker. `seq` is assigned
//! here, when an item is sent, and runs through all channels of the home: it still orders waiting items when a
//! channel ends and begins anew.
//!
//! Left out: requests that wait for the memory, see [`super::waiting`].

use std::sync::Arc;

use super::memory::{Appended, Memory, Read, Response, StreamId, Wanted};
use super::once::{Digest, Once};
use super::options::ChannelOptions;
use super::recovery::{Recovered, latest_after};
use super::terms::{Joining, Now, Refused, Terms};
use super::{Position, Publication};
use crate::base::bucket::Bucket;

/// The ordering state of one channel.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) stream: Option<StreamId>,
    /// Rate of clients' publications.
    rate: Bucket,
}

impl Line {
    /// Whether the channel accepts one more publication in this second.
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

/// The home's state for positions and numbers.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) memory: Box<dyn Memory>,
    pub(super) once: Once,
    /// Number of the last sent item.
    pub(super) seq: u64,
}

impl Order {
    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Digest of a publication's idempotency key, if it has one.
    pub(super) fn digest(&self, channel: &str, terms: &Terms) -> Option<Digest> {
        terms.idempotency_key.as_ref().map(|key| self.once.digest(channel, key))
    }

    /// The position of an earlier publication with the same key.
    pub(super) fn known(&mut self, now: Now, digest: Option<Digest>) -> Option<Position> {
        self.once.position(now.ms, digest?)
    }

    /// Stores the position of a publication under its key.
    pub(super) fn remember(&mut self, now: Now, digest: Option<Digest>, position: &Position) {
        if let Some(digest) = digest {
            self.once.remember(now.ms, digest, position.clone());
        }
    }

    /// Reads the data that a subscriber asks for from the memory.
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

    /// Sets a publication's number, and the position from the memory; the default position when it is not kept.
    pub(super) fn number(&mut self, publication: &mut Publication, kept: Option<Appended>) -> Position {
        publication.seq = self.next_seq();
        (publication.offset, publication.previous) = (0, None);
        let position = match kept {
            Some(Appended::Kept { position, previous }) => {
                (publication.offset, publication.previous) = (position.offset, previous);
                // Its subscribers know another stream's name, or none.
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

/// The publications that a subscriber missed, from the result of its read.
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
