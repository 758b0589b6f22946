//! The HTTP API for an application's backend, with the same paths, bodies and errors as Centrifugo's.
//!
//! Invariant: no request has an effect before its headers are checked (`guard`). A publication costs one parse of its
//! body, one letter and one answer. Left out: the methods' effects ([`Node`]).

mod answer;
mod body;
mod calls;
mod commands;
mod guard;
mod openapi;
mod reload;
mod sockets;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::de::Error as _;
use tokio::time::Instant;

use super::gate::is_admitted;
use super::http;
use crate::base::counters::{ByPlace, Histogram};
use crate::config::ApiOptions;
use crate::node::{Failure, Node, Reloader, Way};
use crate::proto::centrifuge::Error;
use crate::session::labels;
use body::{Batch, Command, Unknown};
use calls::{Asking, Begun, Calls, Wrong};
pub(super) use guard::Guard;

/// Timeout for the answers of shards, for all commands of a request together; commands without an answer then fail
/// with error 100.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The path of batches of commands.
pub(super) const BATCH: &str = "batch";

/// The method of `/api` itself: commands that name their methods.
pub(super) const COMMANDS: &str = "";

/// The path of the reload, which the server executes, not its node.
pub(super) const RELOAD: &str = "reload";

/// The path of the API's description.
pub(super) const DOCUMENT: &str = "openapi.json";

/// The methods, each with a path `/api/METHOD`, beside `/api/batch` and `/api/reload`; in the order of the numbers by
/// which commands of `/api` may name the first 13.
pub const METHODS: [&str; 19] = [
    "publish",
    "broadcast",
    "unsubscribe",
    "disconnect",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "info",
    "rpc",
    "subscribe",
    "refresh",
    "socketio_emit",
    "socketio_emit_with_ack",
    "socketio_sockets_join",
    "socketio_sockets_leave",
    "socketio_disconnect_sockets",
    "socketio_fetch_sockets",
];

/// An error in an answer of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Code: 100–113 are the protocol's; an embedder's own begin at 400.
    pub code: u32,
    /// Text of the error.
    pub message: Cow<'static, str>,
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self { code: error.code, message: error.message.into() }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        failure.error().into()
    }
}

/// The result of an embedder's method: one JSON value.
type Called = Pin<Box<dyn Future<Output = Result<Vec<u8>, ApiError>> + Send>>;

/// An embedder's method. Its argument is one JSON value, or nothing.
type Method = Box<dyn Fn(Vec<u8>) -> Called + Send + Sync>;

/// Embedders' methods for `rpc`, by name.
#[derive(Default)]
pub struct Methods(HashMap<String, Method>);

impl Methods {
    /// Adds a method, in place of one with the same name.
    pub fn insert<F>(&mut self, name: &str, call: impl Fn(Vec<u8>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<u8>, ApiError>> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Box::new(move |params| Box::pin(call(params))));
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Methods({})", self.0.len())
    }
}

/// Counts of the API, for metrics.
#[derive(Debug, Default)]
pub(super) struct ApiCounts {
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Errors in answers, by code.
    pub(super) errors: ByPlace,
    /// Time from the body of a request to its answer, in microseconds, by method.
    pub(super) took_us: [Histogram; TIMED.len()],
}

/// The methods whose durations are counted, in the order of [`ApiCounts`].
pub(super) const TIMED: [&str; METHODS.len() + 2] = {
    let mut names = [""; METHODS.len() + 2];
    let mut at = 0;
    while at < METHODS.len() {
        names[at] = METHODS[at];
        at += 1;
    }
    names[at] = BATCH;
    names[at + 1] = COMMANDS_LABEL;
    names
};

/// The name of [`COMMANDS`] in metrics.
const COMMANDS_LABEL: &str = "commands";

impl ApiCounts {
    /// Counts an error in an answer.
    fn count_error(&self, code: u32) {
        self.errors[labels::code_place(labels::ERRORS, code)].add_shared(1);
    }

    fn count_time(&self, method: &str, took: Duration) {
        let name = if method == COMMANDS { COMMANDS_LABEL } else { method };
        if let Some(at) = TIMED.iter().position(|timed| *timed == name) {
            self.took_us[at].record_shared(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// The API of a node.
#[derive(Debug)]
pub struct Api {
    counts: Arc<ApiCounts>,
    calls: Calls,
    guard: Guard,
    body_bytes_max: usize,
}

impl Api {
    /// An API with these access rules. The node's answers must come to the executor in which the API runs.
    pub fn new(node: Node, options: ApiOptions, methods: Methods) -> Self {
        let body_bytes_max = options.body_bytes_max;
        let guard = Guard::new(options);
        let counts = Arc::<ApiCounts>::default();
        Self { calls: Calls::new(node, methods, Arc::clone(&counts)), counts, guard, body_bytes_max }
    }

    /// The API for another thread, which has its own way to the shards.
    pub(super) fn by(&self, way: Way) -> Self {
        Self {
            counts: Arc::clone(&self.counts),
            calls: self.calls.by(way),
            guard: self.guard.clone(),
            body_bytes_max: self.body_bytes_max,
        }
    }

    /// This API, with so many requests (at least one) that may wait for answers of clients at the same time.
    pub(super) fn with_asking_max(mut self, count: usize) -> Self {
        self.calls = self.calls.with_asking_max(count.max(1));
        self
    }

    /// The access rules.
    pub(super) fn guard(&self) -> Guard {
        self.guard.clone()
    }

    /// The counts.
    pub(super) fn counts(&self) -> Arc<ApiCounts> {
        Arc::clone(&self.counts)
    }

    /// Executes the body of `/api/METHOD` and returns the answer, which may be an error. Must run in the context of a
    /// tokio runtime with time.
    ///
    /// # Errors
    /// When the body is not a JSON object, a batch or commands; then nothing was executed.
    pub async fn respond(&self, method: &str, body: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = Vec::new();
        let mut unknown = Unknown::new();
        let begun = Instant::now();
        if let Err(wrong) = self.try_respond(method, body, begun, &mut unknown, &mut out).await? {
            answer::begin_failed(&mut out, &wrong);
        }
        answer::put_warnings(&mut out, &unknown);
        out.push(b'}');
        Ok(out)
    }

    /// The answer to a request's body: its status, and JSON. Updates the counts.
    ///
    /// # Errors
    /// The defect of the body, for status 400; then nothing was executed.
    pub(super) async fn answer(
        &self,
        method: &str,
        asks_for_status: bool,
        body: &[u8],
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let tells_by_status = asks_for_status || self.guard.errors_by_status();
        let (mut out, mut unknown) = (Vec::new(), Unknown::new());
        let begun = Instant::now();
        let outcome = self.try_respond(method, body, begun, &mut unknown, &mut out).await;
        if outcome.is_ok() {
            self.counts.count_time(method, begun.elapsed());
        }
        let count = if outcome.is_ok() { &self.counts.requests } else { &self.counts.refused };
        count.fetch_add(1, Relaxed);
        let status = match outcome.map_err(|broken| format!("{broken}\n"))? {
            Err(wrong) if tells_by_status => {
                answer::put_error(&mut out, &wrong);
                status_of(wrong.error.code)
            }
            outcome => {
                if let Err(wrong) = outcome {
                    answer::begin_failed(&mut out, &wrong);
                }
                answer::put_warnings(&mut out, &unknown);
                out.push(b'}');
                StatusCode::OK
            }
        };
        Ok((status, out))
    }

    /// Records that a key came in a query.
    pub(super) fn note_key_in_query(&self) {
        self.guard.note_key_in_query();
    }

    /// Like [`Api::respond`], but writes to `out`, which stays empty on an error and otherwise lacks its last brace.
    async fn try_respond(
        &self,
        method: &str,
        body: &[u8],
        begun: Instant,
        unknown: &mut Unknown,
        out: &mut Vec<u8>,
    ) -> Result<Result<(), Wrong>, serde_json::Error> {
        let deadline = begun + ANSWER_MAX;
        let body = body::text(body)?;
        if method == COMMANDS {
            self.calls.run_commands(commands::read(body)?, deadline, out).await;
            return Ok(Ok(()));
        }
        if method == BATCH {
            let batch = Batch::parse(body, unknown).map_err(serde_json::Error::custom)?;
            self.calls.run_batch(batch, deadline, out).await;
            calls::note(method, &Ok(()), unknown);
            return Ok(Ok(()));
        }
        let mut asking = Asking::default();
        let begun = match Command::parse(method, body, unknown) {
            Ok(command) => self.calls.begin(command, &mut asking),
            Err(detail) => body::check(body).map(|()| Begun::Failed(Wrong::bad(detail)))?,
        };
        out.extend_from_slice(b"{\"result\":");
        let outcome = self.calls.finish(begun, deadline, out).await;
        calls::note(method, &outcome, unknown);
        if outcome.is_err() {
            out.clear();
        }
        Ok(outcome)
    }
}

/// The method of a path below the API's own, except [`RELOAD`].
pub(super) fn method_named(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some(COMMANDS)
    } else {
        METHODS.into_iter().chain([BATCH]).find(|method| *method == name)
    }
}

/// The routes of the API, below `prefix`.
pub(super) fn router(prefix: &str, api: Arc<Api>, reloader: Option<Reloader>) -> Router {
    let limit = DefaultBodyLimit::max(api.body_bytes_max);
    let mut router = Router::new().route(&format!("{prefix}/{DOCUMENT}"), get(openapi::document));
    for method in METHODS.into_iter().chain([BATCH]) {
        let api = Arc::clone(&api);
        router =
            router.route(&format!("{prefix}/{method}"), post(move |request| handle(api, method, request)));
    }
    let commands = Arc::clone(&api);
    router = router.route(prefix, post(move |request| handle(commands, COMMANDS, request)));
    let reload = post(move |request| reload::handle(api, reloader, request));
    router.route(&format!("{prefix}/{RELOAD}"), reload).layer(limit)
}

/// Handles a request to a method that came to the listener.
pub(super) async fn call(api: Arc<Api>, method: &'static str, mut request: Request) -> Response {
    DefaultBodyLimit::max(api.body_bytes_max).apply(&mut request);
    handle(api, method, request).await
}

/// Handles a request.
async fn handle(api: Arc<Api>, method: &'static str, request: Request) -> Response {
    let outcome = take(&api, method, request).await;
    outcome.unwrap_or_else(|refusal| {
        api.counts.refused.fetch_add(1, Relaxed);
        refusal
    })
}

/// The answer to a request; `Err` if its body was not read.
async fn take(api: &Api, method: &str, request: Request) -> Result<Response, Response> {
    if !is_admitted(&request)
        && let Err(refusal) = api.guard.check(request.headers(), request.uri().query())
    {
        return Err(refusal.into_response());
    }
    let asks_for_status = asks_for_status(request.headers());
    let seat = http::seat_of(&request);
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(unread) => return Err(unread.into_response()),
    };
    let turn = match &seat {
        Some(seat) => seat.turn().await,
        None => None,
    };
    if seat.is_some() && turn.is_none() {
        return Err(http::too_many());
    }
    Ok(match api.answer(method, asks_for_status, &body).await {
        Ok((status, out)) => (status, [(header::CONTENT_TYPE, "application/json")], out).into_response(),
        Err(broken) => (StatusCode::BAD_REQUEST, broken).into_response(),
    })
}

/// Whether the request's header asks for the HTTP status of errors, as Centrifugo's clients do.
fn asks_for_status(headers: &HeaderMap) -> bool {
    headers.get(ERROR_MODE).is_some_and(|mode| mode == ERRORS_BY_STATUS)
}

/// That header, and its value.
pub(super) const ERROR_MODE: &str = "x-centrifugo-error-mode";
pub(super) const ERRORS_BY_STATUS: &str = "transport";

/// The HTTP status of an error, as in Centrifugo.
fn status_of(code: u32) -> StatusCode {
    match code {
        102 | 104 => StatusCode::NOT_FOUND,
        107 | 108 => StatusCode::BAD_REQUEST,
        111 => StatusCode::TOO_MANY_REQUESTS,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests;
