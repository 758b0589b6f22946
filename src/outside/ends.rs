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
pub(super) const REQUESTS_MAX: usize = 8;
/// Pauses after failed requests: the first and the longest; each is twice the previous one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// The sockets of which events are being asked about: the number of questions of each, and its end, if it has ended
/// meanwhile. There are several where a socket returns while its last connection's question is open.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<String, (u32, Option<SocketEnd>)>>);

impl Busy {
    /// An event of this socket is asked about.
    pub(super) fn begin(&self, sid: &str) {
        self.lock().entry(sid.to_owned()).or_default().0 += 1;
    }

    /// The answer about an event of the socket is there, with the new state if it has one. Returns the socket's end, if it
    /// has ended meanwhile and no other question is open.
    pub(super) fn finish(&self, sid: &str, state: Option<String>) -> Option<SocketEnd> {
        let mut all = self.lock();
        let (open, end) = all.get_mut(sid)?;
        if let (Some(end), Some(state)) = (end, state) {
            end.state = Some(state).filter(|state| state != "null");
        }
        *open -= 1;
        if *open > 0 {
            return None;
        }
        all.remove(sid)?.1
    }

    /// Keeps the end of a socket that is asked about; returns any other, or one that was kept before.
    fn keep(&self, end: SocketEnd) -> Option<SocketEnd> {
        match self.lock().get_mut(&end.sid) {
            Some((_, place)) => place.replace(end),
            None => Some(end),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u32, Option<SocketEnd>)>> {
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
        // Those that wait for an answer are waited for, too.
        self.counts.ends.told.fetch_add(ends.len() as u64, Relaxed);
        self.queue(ends.into_iter().filter_map(|end| self.busy.keep(end)));
    }

    /// Adds an end that has waited for the answer about the socket's last event.
    pub(super) fn tell_late(&self, end: SocketEnd) {
        self.queue(std::iter::once(end));
    }

    fn queue(&self, ends: impl Iterator<Item = SocketEnd>) {
        let mut waiting = self.lock();
        waiting.extend(ends);
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
        let mut pause = PAUSE_MIN;
        while !self.is_closed.load(Relaxed) {
            let news = self.news.notified();
            let next = self.lock().pop_front();
            let Some(end) = next else {
                news.await;
                continue;
            };
            if self.ask(&end).await.is_ok() {
                pause = PAUSE_MIN;
                self.counts.ends.sent.fetch_add(1, Relaxed);
                self.sent.notify_waiters();
                continue;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            // Behind all others: one that the application never accepts must not hold them up.
            self.queue(std::iter::once(end));
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
        // It has returned while a question of its last connection is open.
        busy.begin("a");
        busy.begin("a");
        assert_eq!(busy.finish("a", Some("2".to_owned())), None);
        assert_eq!((busy.keep(end("a")), busy.keep(end("a"))), (None, Some(end("a"))));
        assert_eq!(busy.finish("a", Some("3".to_owned())).unwrap().state.as_deref(), Some("3"));
        assert_eq!(busy.finish("a", None), None);
    }
}
