//! The port to the store of a home's streams: requests to its memory, and their answers.
//!
//! A memory answers at once ([`Response::Now`]) or by a number ([`Response::Later`]);
//! [`super::home::Home::handle_memory`] takes the answer to a number. The shard's own memory answers at once. A disk,
//! or a broker that several processes share, may answer later.
//!
//! Invariant: requests about one stream are executed in the order in which they were made, for any order of the
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
    /// The answer comes under this number, which no other pending answer has.
    Later(u64),
}

/// Result of an append.
#[derive(Debug)]
pub enum Appended {
    /// The publication is in the stream.
    Kept {
        /// Its place: the next one of the stream, or a later one where places are given elsewhere.
        position: Position,
        /// The publication before it, where a delta is wanted and that one was the last of the channel.
        previous: Option<Arc<Publication>>,
    },
    /// Not published: it, or a later version of it, was published before. With the current position.
    Known(Position),
}

/// The requested part of a stream, beside its position.
pub enum Wanted<'a> {
    /// The position only.
    Position,
    /// All publications after a position, oldest first, if the position is known and they are at most `count_max`.
    Missed {
        /// The position. Without an epoch it is one of this stream.
        from: &'a Position,
        /// Maximum of publications.
        count_max: usize,
    },
    /// The last publication that passes. A later answer may contain others before and after it, newest first.
    Latest {
        /// Whether a publication is wanted.
        passes: &'a dyn Fn(&Publication) -> bool,
    },
    /// The publications of the filter; an error when it asks for those after a position of another stream.
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

/// Result of a read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The stream's position, after all earlier appends.
    pub position: Position,
    /// The publications, in the requested order.
    pub publications: Vec<Arc<Publication>>,
    /// For [`Wanted::Missed`]: whether no publication is missing.
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

/// Stores the streams of one home. A home calls it from one thread, and never waits for it.
pub trait Memory: fmt::Debug + Send {
    /// Whether every answer is [`Response::Now`].
    fn is_prompt(&self) -> bool;

    /// Opens the stream of channel number `channel`, which has none here yet.
    fn open(
        &mut self,
        now: Now,
        channel: u32,
        name: &Arc<str>,
        options: &ChannelOptions,
    ) -> Response<StreamId>;

    /// Marks the stream as used, and drops expired publications. Reading and appending do the same.
    fn touch(&mut self, stream: StreamId, now: Now, options: &ChannelOptions);

    /// Sets whether the channel has subscribers or requests that wait for its stream: then the stream is not
    /// forgotten.
    fn attend(&mut self, stream: StreamId, now: Now, is_attended: bool);

    /// Appends a publication to the stream.
    fn append(
        &mut self,
        stream: StreamId,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
        terms: &Terms,
    ) -> Response<Appended>;

    /// Notes a publication outside the stream: the next one is no delta to the stream's last one.
    fn bypass(&mut self, stream: StreamId);

    /// Reads from the stream.
    fn read(
        &mut self,
        stream: StreamId,
        now: Now,
        options: &ChannelOptions,
        wanted: &Wanted<'_>,
    ) -> Response<Read>;

    /// Drops all publications of the stream; its position stays.
    fn clear(&mut self, stream: StreamId) -> Response<()>;

    /// Drops expired publications and streams, a bounded number per call. Calls `forgotten` with each channel whose
    /// stream is dropped.
    fn expire(&mut self, now: Now, forgotten: &mut dyn FnMut(u32));

    /// The next time at which [`Memory::expire`] has work, in milliseconds of the shard's clock; it may be early.
    fn next_expiry_ms(&self) -> Option<u64>;

    /// Forgets a stream without subscribers and publications; returns the number of its channel.
    fn forget_idle(&mut self) -> Option<u32>;

    /// Drops the oldest publications of all streams until they take at most `bytes` here, or `count_max` are dropped;
    /// returns the count.
    fn cut(&mut self, bytes: usize, count_max: usize) -> usize;

    /// Number of streams known here.
    fn stream_count(&self) -> usize;

    /// Memory of the publications here.
    fn bytes(&self) -> usize;

    /// Memory of the streams here, without their publications.
    fn stream_bytes(&self) -> usize;

    /// Checks the invariants that hold between any two calls. For tests.
    ///
    /// # Panics
    /// When one is violated.
    fn check_invariants(&self);

    /// Checks the owner of a stream, and whether it is attended. For tests.
    ///
    /// # Panics
    /// When they differ.
    fn check_owner(&self, stream: StreamId, channel: usize, is_attended: bool);
}
