//! Homes whose memory answers later: an order of its own among channels, failures, and shards that wait meanwhile.
//!
//! What such a memory says is that of the shard's own, held back. Its answers come in any order, in a channel as well: what
//! was asked there was done in its order all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use throng::parts::hub::Publication;
use throng::parts::hub::home::{HistoryFilter, Now, Refused, Terms};
use throng::parts::hub::memory::{Appended, Brought, Memory, Read, Reply, StreamId, Wanted};
use throng::parts::hub::options::ChannelOptions;
use throng::parts::shard::mailbox::Letter;

use crate::rng::Rng;

/// A number, and what was answered to it.
type Answer = (u64, Result<Brought, Refused>);

/// What one shard's memory holds back, by channel.
#[derive(Debug, Default)]
struct Held {
    answers: BTreeMap<u32, Vec<Answer>>,
    /// Whose streams have not come yet.
    opening: usize,
    number: u64,
    /// How many of a hundred questions fail.
    failures: u64,
    rng: Option<Rng>,
}

/// The memories of all shards, from outside.
#[derive(Clone, Debug)]
pub(crate) struct Memories(Vec<Arc<Mutex<Held>>>);

impl Memories {
    pub(crate) fn new(shards: u16, rng: &mut Rng) -> Self {
        let failures = rng.pick(&[0, 0, 3, 20]);
        let held = |_| Held { failures, rng: Some(rng.fork()), ..Held::default() };
        Self((0..shards).map(held).map(|held| Arc::new(Mutex::new(held))).collect())
    }

    /// Whether some questions fail.
    pub(crate) fn fail(&self) -> bool {
        self.0.iter().any(|held| held.lock().unwrap().failures > 0)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.iter().all(|held| held.lock().unwrap().answers.is_empty())
    }

    /// A shard's memory.
    fn of(&self, shard: u16, inner: Box<dyn Memory>) -> Box<dyn Memory> {
        Box::new(Late { inner, held: Arc::clone(&self.0[usize::from(shard)]) })
    }

    /// Lets go an answer of some channel of some shard, if there is one there: the oldest, or any.
    pub(crate) fn answer(&self, rng: &mut Rng) -> Option<(u16, Letter)> {
        let shard = rng.size(0..=self.0.len() - 1);
        let held = &mut *self.0[shard].lock().unwrap();
        let channels: Vec<u32> = held.answers.keys().copied().collect();
        if channels.is_empty() {
            return None;
        }
        let channel = rng.pick(&channels);
        let answers = held.answers.get_mut(&channel)?;
        let at = if rng.chance(50) { 0 } else { rng.size(0..=answers.len() - 1) };
        let (number, answer) = answers.remove(at);
        if answers.is_empty() {
            held.answers.remove(&channel);
        }
        held.opening -= usize::from(matches!(answer, Ok(Brought::Opened(_))));
        Some((shard as u16, Letter::Memory { number, answer: Box::new(answer) }))
    }
}

/// The memory of a shard where memories answer later, or the one that it has.
pub(crate) fn memory_of(
    memories: &Option<(Memories, Rng)>,
    shard: u16,
    inner: Box<dyn Memory>,
) -> Box<dyn Memory> {
    match memories {
        Some((memories, _)) => memories.of(shard, inner),
        None => inner,
    }
}

#[derive(Debug)]
struct Late {
    inner: Box<dyn Memory>,
    held: Arc<Mutex<Held>>,
}

impl Late {
    /// Holds back what the inner memory says. What fails does so before that one hears of it.
    fn later<T>(
        &mut self,
        channel: u32,
        ask: impl FnOnce(&mut dyn Memory) -> Reply<T>,
        brought: impl FnOnce(T) -> Brought,
    ) -> Reply<T> {
        let held = &mut *self.held.lock().unwrap();
        let fails = held.rng.as_mut().is_some_and(|rng| rng.chance(held.failures));
        let answer = match fails {
            true => Err(Refused::Unavailable),
            false => match ask(&mut *self.inner) {
                Reply::Now(answer) => answer.map(brought),
                Reply::Later(number) => return Reply::Later(number),
            },
        };
        held.number += 1;
        held.opening += usize::from(matches!(answer, Ok(Brought::Opened(_))));
        held.answers.entry(channel).or_default().push((held.number, answer));
        Reply::Later(held.number)
    }
}

/// Streams are told apart from channels that have none yet.
const STREAMS: u32 = 1 << 31;

impl Memory for Late {
    fn is_prompt(&self) -> bool {
        false
    }

    fn open(&mut self, now: Now, channel: u32, name: &Arc<str>, options: &ChannelOptions) -> Reply<StreamId> {
        let open = |inner: &mut dyn Memory| {
            let opened = inner.open(now, channel, name, options);
            if let Reply::Now(Ok(stream)) = opened {
                inner.attend(stream, now, true);
            }
            opened
        };
        self.later(channel, open, Brought::Opened)
    }

    fn touch(&mut self, stream: StreamId, now: Now, options: &ChannelOptions) {
        self.inner.touch(stream, now, options);
    }

    fn attend(&mut self, stream: StreamId, now: Now, is_attended: bool) {
        self.inner.attend(stream, now, is_attended);
    }

    fn append(
        &mut self,
        stream: StreamId,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
        terms: &Terms,
    ) -> Reply<Appended> {
        let append = |inner: &mut dyn Memory| inner.append(stream, now, publication, options, terms);
        self.later(stream | STREAMS, append, Brought::Appended)
    }

    fn bypass(&mut self, stream: StreamId) {
        self.inner.bypass(stream);
    }

    fn read(
        &mut self,
        stream: StreamId,
        now: Now,
        options: &ChannelOptions,
        wanted: &Wanted<'_>,
    ) -> Reply<Read> {
        // Whoever wants the last that passes gets all, newest first, and looks for it.
        let all = HistoryFilter { reverse: true, ..HistoryFilter::default() };
        let wanted = if let Wanted::Latest { .. } = wanted { &Wanted::Filtered(&all) } else { wanted };
        self.later(stream | STREAMS, |inner| inner.read(stream, now, options, wanted), Brought::Read)
    }

    fn clear(&mut self, stream: StreamId) -> Reply<()> {
        self.later(stream | STREAMS, |inner| inner.clear(stream), |()| Brought::Cleared)
    }

    fn expire(&mut self, now: Now, forgotten: &mut dyn FnMut(u32)) {
        self.inner.expire(now, forgotten);
    }

    fn next_expiry_ms(&self) -> Option<u64> {
        self.inner.next_expiry_ms()
    }

    fn forget_idle(&mut self) -> Option<u32> {
        self.inner.forget_idle()
    }

    fn cut(&mut self, bytes: usize, count_max: usize) -> usize {
        self.inner.cut(bytes, count_max)
    }

    fn stream_count(&self) -> usize {
        self.inner.stream_count() - self.held.lock().unwrap().opening
    }

    fn bytes(&self) -> usize {
        self.inner.bytes()
    }

    fn stream_bytes(&self) -> usize {
        self.inner.stream_bytes()
    }

    fn check_invariants(&self) {
        self.inner.check_invariants();
    }

    fn check_owner(&self, stream: StreamId, channel: usize, is_attended: bool) {
        self.inner.check_owner(stream, channel, is_attended);
    }
}
