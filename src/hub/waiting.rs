//! What waits for a home's memory: who asks and for what, by channel, in the order in which it was asked.
//!
//! Everything of a channel that asks the memory or is sent out stands in one queue as soon as one of it waits, and is
//! carried out from its front. What can be asked of the memory is asked at once, so answers may be there before their turn.
//!
//! Invariant: a queue has something in it or waits for its stream; its first entry has no answer yet; and behind an entry that
//! was not asked nothing was. Each number that is awaited is one entry's, or one queue's for its stream. Bounded: who would
//! be too many is refused.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::memory::Brought;
use super::once::Digest;
use super::options::ChannelOptions;
use super::terms::{HistoryFilter, Joining, Member, Refused, Terms};
use super::{ClientInfo, Publication};
use crate::base::heap;

/// What a home was asked, as far as its memory has to do with it.
#[derive(Debug)]
pub(super) enum Work {
    /// To count a subscriber.
    Subscribe { channel: Arc<str>, options: Arc<ChannelOptions>, joining: Box<Joining> },
    /// To publish.
    Publish {
        publication: Box<Publication>,
        options: Arc<ChannelOptions>,
        terms: Terms,
        digest: Option<Digest>,
        /// It goes to the stream.
        keeps: bool,
    },
    /// To read the history.
    Read { options: Arc<ChannelOptions>, filter: HistoryFilter },
    /// To forget the history.
    Clear,
}

impl Work {
    /// What a publication is remembered by.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Publish { digest, .. } => *digest,
            Self::Subscribe { .. } | Self::Read { .. } | Self::Clear => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Subscribe { joining, .. } => heap::piece(size_of_val(&**joining)),
            // Its data is counted with all that is under way.
            Self::Publish { publication, terms, .. } => {
                let texts = [&terms.idempotency_key, &terms.version_epoch].into_iter().flatten();
                heap::piece(size_of_val(&**publication))
                    + texts.map(|text| heap::piece(text.len())).sum::<usize>()
            }
            Self::Read { .. } | Self::Clear => 0,
        }
    }
}

/// The memory's answer; `None` where it had nothing to say.
pub(super) type FromMemory = Option<Result<Brought, Refused>>;

/// How far the memory is with something.
#[derive(Debug)]
pub(super) enum State {
    /// It was not asked: the stream is not open, or something before it has to be over first.
    Idle,
    /// Its answer comes under this number.
    Asked(u64),
    /// It has answered.
    Answered(FromMemory),
}

/// One that waits.
#[derive(Debug)]
pub(super) struct Entry<A> {
    pub(super) work: Work,
    /// Whose it is; none when the server's.
    pub(super) from: Option<Member>,
    /// Who is told what comes of it.
    pub(super) asker: Option<A>,
    pub(super) state: State,
}

impl<A> Entry<A> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.work.bytes()
    }
}

/// What waits in one channel.
#[derive(Debug)]
pub(super) struct Queue<A> {
    /// The number under which the stream comes.
    pub(super) opening: Option<u64>,
    pub(super) entries: VecDeque<Entry<A>>,
    /// Publications that were asked of the memory, by their keys: the same once more has to wait for them.
    pub(super) digests: HashSet<Digest>,
}

impl<A> Default for Queue<A> {
    fn default() -> Self {
        Self { opening: None, entries: VecDeque::new(), digests: HashSet::new() }
    }
}

/// All that waits for the memory of one home. `A` is who asks.
#[derive(Debug)]
pub(super) struct Waiting<A> {
    queues: BTreeMap<u32, Queue<A>>,
    /// The channel that waits for each number.
    numbers: BTreeMap<u64, u32>,
    /// Entries in all queues.
    count: usize,
    count_max: usize,
    bytes: usize,
}

impl<A> Waiting<A> {
    pub(super) fn new(count_max: usize) -> Self {
        Self { queues: BTreeMap::new(), numbers: BTreeMap::new(), count: 0, count_max, bytes: 0 }
    }

    /// Whether anything waits in the channel.
    #[inline]
    pub(super) fn holds(&self, channel: u32) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&channel)
    }

    /// Whether there is no room for one more.
    pub(super) fn is_full(&self) -> bool {
        self.count.max(self.numbers.len()) >= self.count_max
    }

    /// Number of those that wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What they cost.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes that the channel's stream comes under a number.
    pub(super) fn open(&mut self, channel: u32, number: u64) {
        self.queues.entry(channel).or_default().opening = Some(number);
        self.numbers.insert(number, channel);
    }

    /// Puts one behind those that wait in the channel.
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

    /// A subscriber that waits in the channel is somebody else to others.
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

    /// Notes that an entry that was taken out with its queue waits for a number.
    pub(super) fn await_number(&mut self, channel: u32, number: u64) {
        self.numbers.insert(number, channel);
    }

    /// Takes note of an answer: the channel that it is for, and the answer itself when it is about the channel's stream.
    /// `None` when nobody waits for it any more.
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

    /// The stream does not come: the one that waits for it first is told so.
    pub(super) fn fail_first(&mut self, channel: u32, refused: Refused) {
        let first = self.queues.get_mut(&channel).and_then(|queue| queue.entries.front_mut());
        if let Some(first) = first {
            first.state = State::Answered(Some(Err(refused)));
        }
    }

    /// Takes a queue out, to carry out what can be; [`Waiting::put`] puts it back.
    pub(super) fn take(&mut self, channel: u32) -> Queue<A> {
        self.queues.remove(&channel).unwrap_or_default()
    }

    /// Notes that an entry was taken out of its queue.
    pub(super) fn note_gone(&mut self, entry: &Entry<A>) {
        self.count -= 1;
        self.bytes -= entry.bytes();
    }

    /// Puts a queue back, if it waits for something; whether it does.
    pub(super) fn put(&mut self, channel: u32, queue: Queue<A>) -> bool {
        let waits = queue.opening.is_some() || !queue.entries.is_empty();
        if waits {
            self.queues.insert(channel, queue);
        }
        waits
    }

    /// Forgets what a member waits for, in all channels; what it publishes is published all the same. Returns the channels
    /// in which something was forgotten. Takes time in proportion to all that waits.
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
            assert!(queue.opening.is_some() || !queue.entries.is_empty(), "a queue without a reason");
            let first = queue.entries.front().map(|entry| &entry.state);
            assert!(!matches!(first, Some(State::Answered(_))), "nobody carries it out");
            let was_asked = |entry: &Entry<A>| !matches!(entry.state, State::Idle);
            let idle = queue.entries.iter().position(|entry| !was_asked(entry));
            let behind = idle.map_or(queue.entries.len(), |at| at + 1);
            assert!(!queue.entries.iter().skip(behind).any(was_asked), "one was asked before its turn");
            assert!(queue.opening.is_none() || idle.unwrap_or(0) == 0, "one was asked without a stream");
            numbers.extend(queue.opening.map(|number| (number, channel)));
            for entry in &queue.entries {
                (count, bytes) = (count + 1, bytes + entry.bytes());
                if let State::Asked(number) = entry.state {
                    assert!(numbers.insert(number, channel).is_none(), "a number is awaited twice");
                }
            }
        }
        assert_eq!((count, bytes), (self.count, self.bytes), "what waits is counted");
        assert_eq!(numbers, self.numbers, "who waits for a number, and who is told of it");
        assert!(self.count <= self.count_max);
    }

    /// The channels in which something waits, for checks.
    pub(super) fn channels(&self) -> impl Iterator<Item = u32> {
        self.queues.keys().copied()
    }
}
