//! Reports to the application which channels have got their first subscriber and which have lost their last:
//! Centrifugo's channel state proxy. Its requests are notifications, not questions.
//!
//! Invariant: the events of a channel arrive in order, since there is one queue and one request at a time. Events are
//! sent again until the application accepts them. The queue is bounded: beyond the limit the oldest events are
//! dropped and counted. Events are not merged: a subscriber that comes and leaves within a moment causes two.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use super::counts::{self, Counts, HOOKS};
use super::endpoint::{self, Endpoint, Said};
use super::http::{Client, Failure};
use super::options::HookOptions;
use crate::hub::home::StateChange;
use crate::proto::json;
use crate::shard::outside::Headers;

/// Maximum number of queued events.
pub(super) const EVENTS_MAX: usize = 65_536;
/// Maximum number of events in one request.
const EVENTS_PER_REQUEST_MAX: usize = 512;
/// Pauses before a failed request is sent again: the first and the longest; each is twice the previous one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Channel events on their way to the state hook.
#[derive(Debug)]
pub(super) struct States {
    /// The current endpoint.
    endpoint: Mutex<Arc<Endpoint>>,
    client: Client,
    waiting: Mutex<VecDeque<StateChange>>,
    is_closed: AtomicBool,
    /// Notified when there is an event to send, or at the end.
    news: Notify,
    /// Notified when the queue is empty.
    is_empty: Notify,
    requests: Semaphore,
    counts: Arc<Counts>,
}

/// The body of a request.
#[derive(Debug, Serialize)]
struct Events<'a> {
    events: Vec<Event<'a>>,
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    channel: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    time_ms: u64,
}

impl<'a> Event<'a> {
    fn new(state: &'a StateChange) -> Self {
        let kind = if state.is_occupied { "occupied" } else { "vacated" };
        Self { channel: &state.channel, kind, time_ms: state.time_ms }
    }
}

/// The relevant part of an answer.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl States {
    pub(super) fn new(endpoint: Endpoint, client: Client, counts: Arc<Counts>) -> Self {
        Self {
            endpoint: Mutex::new(Arc::new(endpoint)),
            client,
            waiting: Mutex::default(),
            is_closed: AtomicBool::new(false),
            news: Notify::new(),
            is_empty: Notify::new(),
            // One request at a time keeps the order.
            requests: Semaphore::new(1),
            counts,
        }
    }

    /// Replaces the endpoint for all later requests, also for queued events.
    pub(super) fn renew(&self, endpoint: Endpoint) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoint);
    }

    /// Adds events to the queue; may be called on any thread.
    pub(super) fn tell(&self, states: Vec<StateChange>) {
        self.counts.states.told.fetch_add(states.len() as u64, Relaxed);
        let mut waiting = self.lock();
        waiting.extend(states);
        let over = waiting.len().saturating_sub(EVENTS_MAX);
        waiting.drain(..over);
        drop(waiting);
        if over > 0 && self.counts.states.dropped.fetch_add(over as u64, Relaxed) == 0 {
            tracing::warn!(
                "the state hook does not keep up: events of channels are dropped, the oldest first"
            );
        }
        self.news.notify_one();
    }

    /// Ends [`States::send`].
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        self.news.notify_one();
    }

    /// Resolves once the application has accepted all events reported so far.
    pub(super) async fn all_sent(&self) {
        loop {
            let is_empty = self.is_empty.notified();
            if self.counts.states.waiting() == 0 {
                return;
            }
            is_empty.await;
        }
    }

    /// Sends events until [`States::close`]. To be run once, on a runtime with I/O and time.
    pub(super) async fn send(self: Arc<Self>) {
        let mut batch = Vec::new();
        while !self.is_closed.load(Relaxed) {
            self.take(&mut batch);
            if batch.is_empty() {
                self.is_empty.notify_waiters();
                self.news.notified().await;
                continue;
            }
            self.deliver(&batch).await;
            self.counts.states.sent.fetch_add(batch.len() as u64, Relaxed);
            batch.clear();
        }
    }

    fn take(&self, batch: &mut Vec<StateChange>) {
        let mut waiting = self.lock();
        let count = waiting.len().min(EVENTS_PER_REQUEST_MAX);
        batch.extend(waiting.drain(..count));
    }

    /// Sends one batch until it is accepted.
    async fn deliver(&self, batch: &[StateChange]) {
        let mut pause = PAUSE_MIN;
        while self.ask(batch).await.is_err() && !self.is_closed.load(Relaxed) {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask(&self, batch: &[StateChange]) -> Result<(), Failure> {
        let events = Events { events: batch.iter().map(Event::new).collect() };
        let body = serde_json::to_vec(&events).map_err(|error| Failure::Nonsense(error.to_string()))?;
        let endpoint = Arc::clone(&self.endpoint.lock().unwrap_or_else(PoisonError::into_inner));
        let request = endpoint.request(body, &Headers::default());
        endpoint.ask(&self.client, &self.requests, request, taken).await
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<StateChange>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The errors in the options of the state hook. Its events have no client, so options about clients are errors.
pub(super) fn faults(options: &HookOptions) -> Vec<String> {
    let of_clients = [
        ("http_headers", !options.http_headers.is_empty()),
        ("emulated_headers", !options.emulated_headers.is_empty()),
        ("include_connection_meta", options.include_connection_meta),
        ("binary_encoding", options.binary_encoding),
        ("http.status_to_code_transforms", !options.status_rules.is_empty()),
    ];
    let name = HOOKS[counts::STATE];
    let told = of_clients.into_iter().filter(|(_, is_there)| *is_there);
    let told = told.map(|(option, _)| {
        format!("the {name} hook's {option}: events of channels have no client and no data")
    });
    endpoint::faults_of(name, options).into_iter().chain(told).collect()
}

/// Whether the application has accepted the events.
fn taken(said: Said<'_>) -> Result<(), String> {
    let Said::Body(answer) = said else { return Err("a status".to_owned()) };
    let Answer { error } = json::from_slice(answer).map_err(|error| error.to_string())?;
    error.map_or(Ok(()), |error| Err(format!("an error: {error}")))
}
