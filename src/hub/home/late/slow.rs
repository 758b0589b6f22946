//! A memory that answers when it is told to: what it would answer at once it keeps, and gives out one by one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::hub::Publication;
use crate::hub::home::{HistoryFilter, Limits, Now, Refused, Terms, in_memory};
use crate::hub::memory::{Appended, Brought, Memory, Read, Reply, StreamId, Wanted};
use crate::hub::options::ChannelOptions;

/// What it holds back, and whether it works.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) answers: VecDeque<(u64, Result<Brought, Refused>)>,
    /// Fails from now on.
    pub(super) is_broken: bool,
    /// Answers at once from now on.
    pub(super) is_prompt: bool,
    /// A broker that gives places of its own: by how much the next one is ahead of the last.
    pub(super) stride: u64,
    number: u64,
    /// Streams whose numbers are not known yet.
    opening: usize,
}

#[derive(Debug)]
pub(super) struct Slow {
    inner: Box<dyn Memory>,
    held: Arc<Mutex<Held>>,
}

/// One, and what it holds back.
pub(super) fn slow(limits: &Limits) -> (Box<dyn Memory>, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(Held { stride: 1, ..Held::default() }));
    let memory = Slow { inner: in_memory(limits, (7.into(), 0)), held: Arc::clone(&held) };
    (Box::new(memory), held)
}

impl Slow {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Holds back what the inner memory says, unless it fails before that one hears of it.
    fn later<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Memory) -> Reply<T>,
        brought: impl FnOnce(T) -> Brought,
    ) -> Reply<T> {
        let (is_broken, is_prompt) = {
            let held = self.held();
            (held.is_broken, held.is_prompt)
        };
        let answer = match is_broken {
            true => Err(Refused::Unavailable),
            false => match ask(&mut *self.inner) {
                Reply::Now(answer) => answer,
                Reply::Later(number) => return Reply::Later(number),
            },
        };
        if is_prompt {
            return Reply::Now(answer);
        }
        let answer = answer.map(brought);
        let held = &mut *self.held();
        held.opening += usize::from(matches!(answer, Ok(Brought::Opened(_))));
        held.number += 1;
        held.answers.push_back((held.number, answer));
        Reply::Later(held.number)
    }
}

impl Held {
    /// Takes the answer that is so many behind the oldest.
    pub(super) fn take(&mut self, at: usize) -> Option<(u64, Result<Brought, Refused>)> {
        let taken = self.answers.remove(at)?;
        self.opening -= usize::from(matches!(taken.1, Ok(Brought::Opened(_))));
        Some(taken)
    }
}

impl Memory for Slow {
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
        self.later(open, Brought::Opened)
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
        let stride = self.held().stride;
        let append = |inner: &mut dyn Memory| match inner.append(stream, now, publication, options, terms) {
            Reply::Now(Ok(Appended::Kept { mut position, time_ms, previous })) if stride > 1 => {
                position.offset *= stride;
                position.epoch = "broker".into();
                Reply::Now(Ok(Appended::Kept { position, time_ms, previous }))
            }
            other @ (Reply::Now(_) | Reply::Later(_)) => other,
        };
        self.later(append, Brought::Appended)
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
        self.later(|inner| inner.read(stream, now, options, wanted), Brought::Read)
    }

    fn clear(&mut self, stream: StreamId) -> Reply<()> {
        self.later(|inner| inner.clear(stream), |()| Brought::Cleared)
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
        self.inner.stream_count() - self.held().opening
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
