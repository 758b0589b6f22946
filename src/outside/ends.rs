//! Reports to the application which Socket.IO sockets have ended. They are notifications, not questions.
//!
//! Invariant: the end of a socket is sent behind the answer to its last event, and again until the application accepts it: at
//! least once. The queue is bounded: beyond the limit the oldest are dropped and counted. Ends of different sockets have no
//! order.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use super::counts::Counts;
use super::endpoint::{Endpoint, Said};
use super::event_wire;
use super::http::{Client, Failure};
use crate::shard::outside::SocketEnd;

/// Maximum number of queued ends.
pub(super) const ENDS_MAX: usize = 65_536;
/// Maximum number of requests at a time.
const REQUESTS_MAX: usize = 8;
/// Pauses before a failed request is sent again: the first and the longest; each is twice the previous one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// The sockets of which an event is being asked about, each with its end, if it has ended meanwhile.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<String, Option<SocketEnd>>>);

impl Busy {
    /// An event of this socket is asked about.
    pub(super) fn begin(&self, sid: &str) {
        self.lock().insert(sid.to_owned(), None);
    }

    /// The answer about an event of the socket is there, with the new state if it has one. Returns the socket's end, if it
    /// has ended meanwhile.
    pub(super) fn finish(&self, sid: &str, state: Option<String>) -> Option<SocketEnd> {
        let mut end = self.lock().remove(sid).flatten()?;
        end.state = state.map_or(end.state, |state| Some(state).filter(|state| state != "null"));
        Some(end)
    }

    /// Keeps the end of a socket that is asked about; returns any other.
    fn keep(&self, end: SocketEnd) -> Option<SocketEnd> {
        match self.lock().get_mut(&end.sid) {
            Some(place) => {
                *place = Some(end);
                None
            }
            None => Some(end),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<SocketEnd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends of sockets on their way to the hook.
#[derive(Debug)]
pub(super) struct Ends {
    /// The current endpoint.
    endpoint: Mutex<Arc<Endpoint>>,
    client: Client,
    busy: Arc<Busy>,
    waiting: Mutex<VecDeque<SocketEnd>>,
    is_closed: AtomicBool,
    /// Notified when there is an end to send, and when all is over.
    news: Notify,
    /// Notified when one was sent.
    sent: Notify,
    requests: Semaphore,
    counts: Arc<Counts>,
}

impl Ends {
    pub(super) fn new(endpoint: Endpoint, client: Client, busy: Arc<Busy>, counts: Arc<Counts>) -> Self {
        Self {
            endpoint: Mutex::new(Arc::new(endpoint)),
            client,
            busy,
            waiting: Mutex::default(),
            is_closed: AtomicBool::new(false),
            news: Notify::new(),
            sent: Notify::new(),
            requests: Semaphore::new(REQUESTS_MAX),
            counts,
        }
    }

    /// Starts sending, until [`Ends::close`].
    pub(super) fn start(self: &Arc<Self>, runtime: &tokio::runtime::Handle) {
        for _ in 0..REQUESTS_MAX {
            runtime.spawn(Arc::clone(self).send());
        }
    }

    /// Replaces the endpoint for all later requests, also for queued ends.
    pub(super) fn renew(&self, endpoint: Endpoint) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoint);
    }

    /// Adds the ends of sockets; may be called on any thread.
    pub(super) fn tell(&self, ends: Vec<SocketEnd>) {
        self.queue(ends.into_iter().filter_map(|end| self.busy.keep(end)));
    }

    /// Adds an end that has waited for the answer about the socket's last event.
    pub(super) fn tell_late(&self, end: SocketEnd) {
        self.queue(std::iter::once(end));
    }

    fn queue(&self, ends: impl Iterator<Item = SocketEnd>) {
        let mut waiting = self.lock();
        let before = waiting.len();
        waiting.extend(ends);
        self.counts.ends.told.fetch_add((waiting.len() - before) as u64, Relaxed);
        let over = waiting.len().saturating_sub(ENDS_MAX);
        waiting.drain(..over);
        drop(waiting);
        if over > 0 && self.counts.ends.dropped.fetch_add(over as u64, Relaxed) == 0 {
            tracing::warn!(
                "the hook for ends of Socket.IO sockets does not keep up: ends are dropped, the oldest first"
            );
        }
        self.news.notify_waiters();
        self.news.notify_one();
    }

    /// Ends all sending.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        self.news.notify_waiters();
        for _ in 0..REQUESTS_MAX {
            self.news.notify_one();
        }
    }

    /// Resolves once the application has accepted all ends reported so far.
    pub(super) async fn all_sent(&self) {
        loop {
            let sent = self.sent.notified();
            if self.counts.ends.waiting() == 0 {
                return;
            }
            sent.await;
        }
    }

    async fn send(self: Arc<Self>) {
        while !self.is_closed.load(Relaxed) {
            let news = self.news.notified();
            let next = self.lock().pop_front();
            let Some(end) = next else {
                news.await;
                continue;
            };
            self.deliver(&end).await;
            self.counts.ends.sent.fetch_add(1, Relaxed);
            self.sent.notify_waiters();
        }
    }

    /// Sends one end until it is accepted.
    async fn deliver(&self, end: &SocketEnd) {
        let mut pause = PAUSE_MIN;
        while self.ask(end).await.is_err() && !self.is_closed.load(Relaxed) {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask(&self, end: &SocketEnd) -> Result<(), Failure> {
        let endpoint = Arc::clone(&self.endpoint.lock().unwrap_or_else(PoisonError::into_inner));
        let request = endpoint.request(event_wire::end_body(end), &end.headers);
        endpoint.ask(&self.client, &self.requests, request, taken).await
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SocketEnd>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the application has accepted an end: by any object without an error.
fn taken(said: Said<'_>) -> Result<(), String> {
    let Said::Body(answer) = said else { return Err("a status".to_owned()) };
    event_wire::taken(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(sid: &str) -> SocketEnd {
        SocketEnd { sid: sid.to_owned(), state: Some("1".to_owned()), ..SocketEnd::default() }
    }

    #[test]
    fn the_end_of_a_socket_waits_for_the_answer_about_its_last_event() {
        let busy = Busy::default();
        busy.begin("a");
        assert_eq!(busy.keep(end("b")), Some(end("b")));
        assert_eq!((busy.keep(end("a")), busy.finish("b", None)), (None, None));
        let kept = busy.finish("a", Some("2".to_owned())).unwrap();
        assert_eq!((kept.sid.as_str(), kept.state.as_deref()), ("a", Some("2")));
        assert_eq!(busy.keep(end("a")), Some(end("a")), "it is over");
        for (state, kept) in [(None, Some("1")), (Some("null".to_owned()), None)] {
            busy.begin("a");
            busy.keep(end("a"));
            assert_eq!(busy.finish("a", state).unwrap().state.as_deref(), kept);
        }
    }
}
