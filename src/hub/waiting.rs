//! Requests that wait for a home's memory, by channel, in the order in which they were made.
//!
//! Once one request of a channel waits, all its requests that need the memory or send items are queued, and are
//! completed from the front. Requests to the memory are sent at once where possible, so answers may arrive before
//! their turn.
//!
//! Invariant: a queue has entries or waits for its stream; its first entry has no answer yet; and no entry behind an
//! unasked one was asked. Each awaited number belongs to one entry, or to one queue for its stream. Bounded: requests
//! beyond the limit are refused.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::memory::Brought;
use super::once::Digest;
use super::options::ChannelOptions;
use super::terms::{HistoryFilter, Joining, Member, Refused, Terms};
use super::{ClientInfo, Publication};
use crate::base::heap;

/// A request to a home, as far as it concerns the memory.
#[derive(Debug)]
pub(super) enum Work {
    /// A new subscriber.
    Subscribe { channel: Arc<str>, options: Arc<ChannelOptions>, joining: Box<Joining> },
    /// A publication.
    Publish {
        publication: Box<Publication>,
        options: Arc<ChannelOptions>,
        terms: Terms,
        digest: Option<Digest>,
        /// Whether it goes to the stream.
        keeps: bool,
    },
    /// A read of the history.
    Read { options: Arc<ChannelOptions>, filter: HistoryFilter },
    /// The removal of the history.
    Clear,
}

impl Work {
    /// Digest of the publication's idempotency key.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Publish { digest, .. } => *digest,
            Self::Subscribe { .. } | Self::Read { .. } | Self::Clear => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Subscribe { joining, .. } => heap::piece(size_of_val(&**joining)),
            // Its data is counted with all publications in delivery.
            Self::Publish { publication, terms, .. } => {
                let texts = [&terms.idempotency_key, &terms.version_epoch].into_iter().flatten();
                heap::piece(size_of_val(&**publication))
                    + texts.map(|text| heap::piece(text.len())).sum::<usize>()
            }
            Self::Read { .. } | Self::Clear => 0,
        }
    }
}

/// The memory's answer; `None` where it was not needed.
pub(super) type FromMemory = Option<Result<Brought, Refused>>;

/// Progress of the memory's part of a request.
#[derive(Debug)]
pub(super) enum State {
    /// Not asked: the stream is not open, or an earlier entry must complete first.
    Idle,
    /// Its answer comes under this number.
    Asked(u64),
    /// It has answered.
    Answered(FromMemory),
}

/// A waiting request.
#[derive(Debug)]
pub(super) struct Entry<A> {
    pub(super) work: Work,
    /// The member that made it; `None` for the server.
    pub(super) from: Option<Member>,
    /// The receiver of the result.
    pub(super) asker: Option<A>,
    pub(super) state: State,
}

impl<A> Entry<A> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.work.bytes()
    }
}

/// The waiting requests of one channel.
#[derive(Debug)]
pub(super) struct Queue<A> {
    /// The number under which the stream comes.
    pub(super) opening: Option<u64>,
    pub(super) entries: VecDeque<Entry<A>>,
    /// Digests of publications that the memory was asked to append: a publication with the same key waits for them.
    pub(super) digests: HashSet<Digest>,
}

impl<A> Default for Queue<A> {
    fn default() -> Self {
        Self { opening: None, entries: VecDeque::new(), digests: HashSet::new() }
    }
}

/// All requests that wait for the memory of one home. `A` identifies an asker.
#[derive(Debug)]
pub(super) struct Waiting<A> {
    queues: BTreeMap<u32, Queue<A>>,
    /// The channel of each awaited number.
    numbers: BTreeMap<u64, u32>,
    /// Number of entries in all queues.
    count: usize,
    count_max: usize,
    bytes: usize,
}

impl<A> Waiting<A> {
    pub(super) fn new(count_max: usize) -> Self {
        Self { queues: BTreeMap::new(), numbers: BTreeMap::new(), count: 0, count_max, bytes: 0 }
    }

    /// Whether requests wait in the channel.
    #[inline]
    pub(super) fn holds(&self, channel: u32) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&channel)
    }

    /// Whether the limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.count.max(self.numbers.len()) >= self.count_max
    }

    /// Number of waiting requests.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Memory of the waiting requests.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes the number under which the channel's stream comes.
    pub(super) fn open(&mut self, channel: u32, number: u64) {
        self.queues.entry(channel).or_default().opening = Some(number);
        self.numbers.insert(number, channel);
    }

    /// Appends a request to the channel's queue.
    pub(super) fn push(&mut self, channel: u32, entry: Entry<A>) {
        self.count += 1;
        self.bytes += entry.bytes();
        let queue = self.queues.entry(channel).or_default();
        if let State::Asked(number) = entry.state {
            self.numbers.insert(number, channel);
            queue.digests.extend(entry.work.digest());
        }
        queue.entries.push_back(entry);
    }

    /// Changes the info of a subscriber that waits in the channel.
    pub(super) fn inform(
        &mut self,
        channel: u32,
        member: Member,
        info: &Arc<ClientInfo>,
        keeps_chan_info: bool,
    ) {
        let Some(queue) = self.queues.get_mut(&channel) else { return };
        for entry in &mut queue.entries {
            if let Work::Subscribe { joining, .. } = &mut entry.work
                && joining.member == member
                && let Some(known) = &mut joining.info
            {
                *known = known.renewed(info, keeps_chan_info);
            }
        }
    }

    /// Notes the number awaited by an entry whose queue was taken out.
    pub(super) fn await_number(&mut self, channel: u32, number: u64) {
        self.numbers.insert(number, channel);
    }

    /// Accepts an answer: returns its channel, and the answer itself when it is about the channel's stream. `None`
    /// when no request waits for it any more.
    pub(super) fn answered(
        &mut self,
        number: u64,
        answer: Result<Brought, Refused>,
    ) -> Option<(u32, Option<Result<Brought, Refused>>)> {
        let channel = self.numbers.remove(&number)?;
        let queue = self.queues.get_mut(&channel)?;
        if queue.opening == Some(number) {
            queue.opening = None;
            return Some((channel, Some(answer)));
        }
        let is_its = |entry: &&mut Entry<A>| matches!(entry.state, State::Asked(n) if n == number);
        if let Some(entry) = queue.entries.iter_mut().find(is_its) {
            entry.state = State::Answered(Some(answer));
        }
        Some((channel, None))
    }

    /// Fails the first entry that waits for a stream that could not be opened.
    pub(super) fn fail_first(&mut self, channel: u32, refused: Refused) {
        let first = self.queues.get_mut(&channel).and_then(|queue| queue.entries.front_mut());
        if let Some(first) = first {
            first.state = State::Answered(Some(Err(refused)));
        }
    }

    /// Takes a queue out, to complete entries; [`Waiting::put`] puts it back.
    pub(super) fn take(&mut self, channel: u32) -> Queue<A> {
        self.queues.remove(&channel).unwrap_or_default()
    }

    /// Notes the removal of an entry from its queue.
    pub(super) fn note_gone(&mut self, entry: &Entry<A>) {
        self.count -= 1;
        self.bytes -= entry.bytes();
    }

    /// Puts a queue back, if it still waits for something; returns whether it does.
    pub(super) fn put(&mut self, channel: u32, queue: Queue<A>) -> bool {
        let waits = queue.opening.is_some() || !queue.entries.is_empty();
        if waits {
            self.queues.insert(channel, queue);
        }
        waits
    }

    /// Removes the waiting requests of a member, in all channels, except its publications. Returns the affected
    /// channels. Takes time proportional to the number of waiting requests.
    pub(super) fn forget(&mut self, member: Member) -> Vec<u32> {
        let mut channels = Vec::new();
        for (&channel, queue) in &mut self.queues {
            let before = queue.entries.len();
            let (count, bytes, numbers) = (&mut self.count, &mut self.bytes, &mut self.numbers);
            queue.entries.retain_mut(|entry| {
                if entry.from != Some(member) {
                    return true;
                }
                if matches!(entry.work, Work::Publish { .. }) {
                    entry.asker = None;
                    return true;
                }
                if let State::Asked(number) = entry.state {
                    numbers.remove(&number);
                }
                *count -= 1;
                *bytes -= entry.bytes();
                false
            });
            if queue.entries.len() < before {
                channels.push(channel);
            }
        }
        channels
    }

    /// See [`super::home::Home::check_invariants`].
    pub(super) fn check_invariants(&self) {
        let (mut count, mut bytes, mut numbers) = (0, 0, BTreeMap::new());
        for (&channel, queue) in &self.queues {
            assert!(
                queue.opening.is_some() || !queue.entries.is_empty(),
                "a queue without entries and not waiting for its stream"
            );
            let first = queue.entries.front().map(|entry| &entry.state);
            assert!(!matches!(first, Some(State::Answered(_))), "an answered entry was not completed");
            let was_asked = |entry: &Entry<A>| !matches!(entry.state, State::Idle);
            let idle = queue.entries.iter().position(|entry| !was_asked(entry));
            let behind = idle.map_or(queue.entries.len(), |at| at + 1);
            assert!(!queue.entries.iter().skip(behind).any(was_asked), "an entry was asked before its turn");
            assert!(queue.opening.is_none() || idle.unwrap_or(0) == 0, "an entry was asked without a stream");
            numbers.extend(queue.opening.map(|number| (number, channel)));
            for entry in &queue.entries {
                (count, bytes) = (count + 1, bytes + entry.bytes());
                if let State::Asked(number) = entry.state {
                    assert!(numbers.insert(number, channel).is_none(), "a number is awaited twice");
                }
            }
        }
        assert_eq!((count, bytes), (self.count, self.bytes), "waiting entries are counted");
        assert_eq!(numbers, self.numbers, "the entries that await a number");
        assert!(self.count <= self.count_max);
    }

    /// The channels with waiting requests, for checks.
    pub(super) fn channels(&self) -> impl Iterator<Item = u32> {
        self.queues.keys().copied()
    }
}
