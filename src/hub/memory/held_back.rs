//! A memory for tests, whose answers come later: the answers of the shard's own memory are held back until the test
//! releases them.
//!
//! Requests are executed at once, in the order in which they are made. It is a file of its own, because both the
//! simulator and the tests of homes use it.

use super::{
    Appended, Arc, Brought, ChannelOptions, HistoryFilter, Memory, Mutex, MutexGuard, Now, Publication, Read,
    Refused, Response, StreamId, Terms, Wanted,
};

/// The policy of the holder of answers.
pub(crate) trait Hold: std::fmt::Debug + Send {
    /// Whether the next request fails before the memory gets it.
    fn fails(&mut self) -> bool;

    /// Whether answers are returned at once for now.
    fn is_prompt(&self) -> bool {
        false
    }

    /// Distance between the places of publications; 1 where the memory counts them itself.
    fn stride(&self) -> u64 {
        1
    }

    /// Holds back an answer about a stream, or about a channel without a stream, and returns the number under which
    /// it comes.
    fn hold(&mut self, about: About, answer: Result<Brought, Refused>) -> u64;

    /// Number of held streams whose numbers the home does not know yet.
    fn opening(&self) -> usize;
}

/// The subject of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Channel(u32),
    Stream(StreamId),
}

/// The memory, and the holder of its answers.
#[derive(Debug)]
pub(crate) struct HeldBack<H> {
    inner: Box<dyn Memory>,
    holder: Arc<Mutex<H>>,
}

impl<H: Hold> HeldBack<H> {
    pub(crate) fn new(inner: Box<dyn Memory>, holder: &Arc<Mutex<H>>) -> Self {
        Self { inner, holder: Arc::clone(holder) }
    }

    fn holder(&self) -> MutexGuard<'_, H> {
        self.holder.lock().unwrap()
    }

    /// Holds back the inner memory's answer, unless the request fails before that memory gets it.
    fn later<T>(
        &mut self,
        about: About,
        ask: impl FnOnce(&mut dyn Memory) -> Response<T>,
        brought: impl FnOnce(T) -> Brought,
    ) -> Response<T> {
        let holder = &mut *self.holder.lock().unwrap();
        let answer = match holder.fails() {
            true => Err(Refused::Unavailable),
            false => match ask(&mut *self.inner) {
                Response::Now(answer) => answer,
                Response::Later(number) => return Response::Later(number),
            },
        };
        if holder.is_prompt() {
            return Response::Now(answer);
        }
        Response::Later(holder.hold(about, answer.map(brought)))
    }
}

impl<H: Hold> Memory for HeldBack<H> {
    fn is_prompt(&self) -> bool {
        false
    }

    fn open(
        &mut self,
        now: Now,
        channel: u32,
        name: &Arc<str>,
        options: &ChannelOptions,
    ) -> Response<StreamId> {
        let open = |inner: &mut dyn Memory| {
            let opened = inner.open(now, channel, name, options);
            if let Response::Now(Ok(stream)) = opened {
                inner.attend(stream, now, true);
            }
            opened
        };
        self.later(About::Channel(channel), open, Brought::Opened)
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
    ) -> Response<Appended> {
        let stride = self.holder().stride();
        let append = |inner: &mut dyn Memory| match inner.append(stream, now, publication, options, terms) {
            Response::Now(Ok(Appended::Kept { mut position, previous })) if stride > 1 => {
                position.offset *= stride;
                position.epoch = "broker".into();
                Response::Now(Ok(Appended::Kept { position, previous }))
            }
            other @ (Response::Now(_) | Response::Later(_)) => other,
        };
        self.later(About::Stream(stream), append, Brought::Appended)
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
    ) -> Response<Read> {
        // A request for the last publication that passes gets all, newest first, and selects it.
        let all = HistoryFilter { reverse: true, ..HistoryFilter::default() };
        let wanted = if let Wanted::Latest { .. } = wanted { &Wanted::Filtered(&all) } else { wanted };
        let read = |inner: &mut dyn Memory| inner.read(stream, now, options, wanted);
        self.later(About::Stream(stream), read, Brought::Read)
    }

    fn clear(&mut self, stream: StreamId) -> Response<()> {
        self.later(About::Stream(stream), |inner| inner.clear(stream), |()| Brought::Cleared)
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
        self.inner.stream_count() - self.holder().opening()
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
