//! The port behind which a home's streams are kept: what it asks of its memory, and what that answers.
//!
//! A memory answers at once ([`Response::Now`]) or by a number ([`Response::Later`]); [`super::home::Home::handle_memory`] takes
//! the answer to a number. What is kept in the shard's own memory answers at once. A disk, or a broker that several
//! processes share, may answer later.
//!
//! Invariant: what is asked about one stream is carried out in the order in which it was asked, whatever the order of the
//! answers. A publication whose answer is an error is not in the stream. Every number gets one answer.

use std::fmt;
use std::sync::Arc;

use super::options::ChannelOptions;
use super::terms::{HistoryFilter, Now, Refused, Terms};
use super::{Position, Publication};

#[cfg(test)]
use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(super) mod held_back;

/// Number of a stream, given by the memory that keeps it; reused once the stream is forgotten.
pub type StreamId = u32;

/// An answer, or the number under which it comes.
#[derive(Debug)]
pub enum Response<T> {
    /// The answer.
    Now(Result<T, Refused>),
    /// The answer comes under this number, which no other one has that is awaited.
    Later(u64),
}

/// What comes of a publication.
#[derive(Debug)]
pub enum Appended {
    /// It is in the stream.
    Kept {
        /// Its place: the next one of the stream, or a later one where places are given elsewhere.
        position: Position,
        /// Unix time in milliseconds at which it was taken.
        time_ms: u64,
        /// What stands before it, where a delta is wished for and that was the last publication of the channel.
        previous: Option<Arc<Publication>>,
    },
    /// It is not published: it, or a later version of it, was published before. With the position that tells so.
    Known(Position),
}

/// What is to be read from a stream, together with its position.
pub enum Wanted<'a> {
    /// Nothing else.
    Position,
    /// All that came after a position, oldest first, if that is known and not more than so many.
    Missed {
        /// The position. Without an epoch it is one of this stream.
        from: &'a Position,
        /// How many there may be.
        count_max: usize,
    },
    /// The last publication that passes. An answer that comes later may have others before and behind it, newest first.
    Latest {
        /// Whether a publication is wanted.
        passes: &'a dyn Fn(&Publication) -> bool,
    },
    /// What the filter asks for; an error when it asks for what came after a position of another stream.
    Filtered(&'a HistoryFilter),
}

impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position => f.write_str("Position"),
            Self::Missed { from, count_max } => write!(f, "Missed({from:?}, {count_max})"),
            Self::Latest { .. } => f.write_str("Latest"),
            Self::Filtered(filter) => write!(f, "Filtered({filter:?})"),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The stream's position, behind all that was appended before.
    pub position: Position,
    /// In the order that was asked for.
    pub publications: Vec<Arc<Publication>>,
    /// To [`Wanted::Missed`]: nothing is missing.
    pub is_complete: bool,
}

/// An answer that came later.
#[derive(Debug)]
pub enum Brought {
    /// To [`Memory::open`].
    Opened(StreamId),
    /// To [`Memory::append`].
    Appended(Appended),
    /// To [`Memory::read`].
    Read(Read),
    /// To [`Memory::clear`].
    Cleared,
}

/// Keeps the streams of one home. A home calls it from one thread, and never waits for it.
pub trait Memory: fmt::Debug + Send {
    /// Whether every answer is [`Response::Now`].
    fn is_prompt(&self) -> bool;

    /// The stream of channel number `channel`, which has none here yet.
    fn open(
        &mut self,
        now: Now,
        channel: u32,
        name: &Arc<str>,
        options: &ChannelOptions,
    ) -> Response<StreamId>;

    /// Notes that the stream is used, and lets go what has expired. Reading and appending do the same.
    fn touch(&mut self, stream: StreamId, now: Now, options: &ChannelOptions);

    /// Notes whether the channel has subscribers, or someone who waits for its stream: it is not forgotten then.
    fn attend(&mut self, stream: StreamId, now: Now, is_attended: bool);

    /// Adds a publication to the stream.
    fn append(
        &mut self,
        stream: StreamId,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
        terms: &Terms,
    ) -> Response<Appended>;

    /// Notes that something was published that is not in the stream: the next one is no delta to what is.
    fn bypass(&mut self, stream: StreamId);

    /// Reads from the stream.
    fn read(
        &mut self,
        stream: StreamId,
        now: Now,
        options: &ChannelOptions,
        wanted: &Wanted<'_>,
    ) -> Response<Read>;

    /// Lets go all that the stream keeps; its position stays.
    fn clear(&mut self, stream: StreamId) -> Response<()>;

    /// Lets go what has outlived its time, a bounded part of it per call. `forgotten` hears of each channel whose stream is
    /// gone.
    fn expire(&mut self, now: Now, forgotten: &mut dyn FnMut(u32));

    /// When [`Memory::expire`] has something to do, in milliseconds of the shard's clock; perhaps earlier.
    fn next_expiry_ms(&self) -> Option<u64>;

    /// Forgets a stream that nobody attends and that keeps nothing; returns the number of its channel.
    fn forget_idle(&mut self) -> Option<u32>;

    /// Lets go the oldest publications of all until they take at most `bytes` here, or `count_max` have gone; returns how
    /// many.
    fn cut(&mut self, bytes: usize, count_max: usize) -> usize;

    /// Streams that are known here.
    fn stream_count(&self) -> usize;

    /// Bytes that publications take here.
    fn bytes(&self) -> usize;

    /// Bytes that streams take here, without their publications.
    fn stream_bytes(&self) -> usize;

    /// Checks what must hold between any two calls. For tests.
    ///
    /// # Panics
    /// When it does not.
    fn check_invariants(&self);

    /// Checks whose the stream is, and whether it is attended. For tests.
    ///
    /// # Panics
    /// When it is not so.
    fn check_owner(&self, stream: StreamId, channel: usize, is_attended: bool);
}
