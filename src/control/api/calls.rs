//! The methods of the API: a body becomes a call of the node, whose outcome becomes the result in the answer.
//!
//! Invariant: [`Calls::begin`] sends all letters of a command, [`Calls::finish`] only waits; so a batch may begin all
//! of its commands before it waits for the first. Only a broadcast continues to send while it waits.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::body::{Batch, Channel, Command, Connections, Publish, Rpc, StreamPosition, Switch, Unknown};
use super::sockets::{BegunForSockets, SocketMethod};
use super::{ApiCounts, ApiError, Methods, answer};
use crate::base::payload::Payload;
use crate::hub::home::HistoryFilter;
use crate::hub::{ClientInfo, DataKind, Position};
use crate::node::{
    Failure, History, IDEMPOTENCY_KEY_BYTES_MAX, Node, PATTERN_RESERVED, Pending, PresenceStats,
    PublishOptions, Way,
};
use crate::proto::centrifuge::Error;
use crate::proto::payload;
use crate::shard::mailbox::Target;
use crate::shard::outside::{Grant, Overrides};

/// The detail for a channel name that a node refuses.
const BAD_CHANNEL: &str = "channel: missing or empty";
/// Maximum number of commands of a parallel batch without an answer.
const AT_ONCE_MAX: usize = 1024;
/// 2000: the server unsubscribed the client, which does not subscribe again.
const UNSUBSCRIBE: (u32, &str) = (2000, "server unsubscribe");
/// 3503: the server disconnected the client, which does not connect again.
const DISCONNECT: (u32, &str) = (3503, "force disconnect");

/// An error with its detail; empty if the error says it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) error: ApiError,
    pub(super) detail: Cow<'static, str>,
}

impl Wrong {
    /// A bad request: the field, and its defect.
    pub(super) fn bad(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { error: Error::BAD_REQUEST.into(), detail: detail.into() }
    }
}

impl From<ApiError> for Wrong {
    fn from(error: ApiError) -> Self {
        Self { error, detail: Cow::default() }
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        // All other fields were checked before.
        let detail = if failure == Failure::BadRequest { BAD_CHANNEL } else { "" };
        Self { error: failure.into(), detail: detail.into() }
    }
}

/// Codes of disconnects.
const DISCONNECT_CODES: std::ops::Range<u16> = 3000..5000;

/// The methods of the API.
#[derive(Debug)]
pub(super) struct Calls {
    node: Node,
    methods: Arc<Methods>,
    counts: Arc<ApiCounts>,
    /// Requests that may begin to wait for clients.
    askers: Arc<Semaphore>,
}

/// Maximum number of requests that wait for clients at the same time, where the number of connections is not limited.
const ASKING_MAX: usize = 128;

/// The permission of a request to wait for answers of clients, once one of its commands does, until the request ends.
/// Silent clients hold an answer for as long as its caller wishes, and must not hold up all other requests.
#[derive(Debug, Default)]
pub(super) struct Asking(Option<OwnedSemaphorePermit>);

type Positions<'a> = Pin<Box<dyn Future<Output = Vec<Result<Position, Failure>>> + Send + 'a>>;
type Users = Pin<Box<dyn Future<Output = Result<u64, Failure>> + Send>>;
type Names = Pin<Box<dyn Future<Output = Result<Vec<(Arc<str>, usize)>, Failure>> + Send>>;

/// A command whose letters have been sent.
pub(super) enum Begun<'a> {
    Failed(Wrong),
    /// The answer has no content except success.
    Ordered(Pending<()>),
    Published(Pending<Position>),
    Broadcast(Positions<'a>),
    Presence(Pending<Vec<Arc<ClientInfo>>>),
    PresenceStats(Pending<PresenceStats>),
    History(Pending<History>),
    Removed(Pending<()>),
    Channels(Names),
    Info(Users),
    Called(JoinHandle<Result<Vec<u8>, ApiError>>),
    Sockets(Result<BegunForSockets, Wrong>),
}

impl From<Result<Pending<()>, Wrong>> for Begun<'_> {
    fn from(outcome: Result<Pending<()>, Wrong>) -> Self {
        match outcome {
            Ok(pending) => Self::Ordered(pending),
            Err(wrong) => Self::Failed(wrong),
        }
    }
}

impl Calls {
    pub(super) fn new(node: Node, methods: Methods, counts: Arc<ApiCounts>) -> Self {
        Self { node, methods: Arc::new(methods), counts, askers: Arc::new(Semaphore::new(ASKING_MAX)) }
    }

    /// These methods, with so many requests that may wait for clients at the same time.
    pub(super) fn with_asking_max(mut self, count: usize) -> Self {
        self.askers = Arc::new(Semaphore::new(count));
        self
    }

    /// Whether a request may wait for clients.
    fn may_ask(&self, asking: &mut Asking) -> bool {
        if asking.0.is_none() {
            asking.0 = Arc::clone(&self.askers).try_acquire_owned().ok();
        }
        asking.0.is_some()
    }

    /// The methods for another thread.
    pub(super) fn by(&self, way: Way) -> Self {
        Self {
            node: self.node.by(way),
            methods: Arc::clone(&self.methods),
            counts: Arc::clone(&self.counts),
            askers: Arc::clone(&self.askers),
        }
    }

    /// Sends the letters of a command. `asking` belongs to its request, and must outlive the wait for the outcome.
    pub(super) fn begin<'a>(&'a self, command: Command<'a>, asking: &mut Asking) -> Begun<'a> {
        let node = &self.node;
        match command {
            Command::Publish(body) => match message(&body) {
                Ok((data, options)) => Begun::Published(node.publish_checked(&body.channel, data, &options)),
                Err(wrong) => Begun::Failed(wrong),
            },
            Command::Broadcast(body) => self.broadcast(*body),
            Command::Subscribe(body) => self.subscribe(&body).into(),
            Command::Unsubscribe(body) => self.unsubscribe(&body).into(),
            Command::Disconnect(body) => self.disconnect(*body).into(),
            Command::Refresh(body) => self.refresh(&body).into(),
            Command::Sockets(SocketMethod::EmitWithAck, _) if !self.may_ask(asking) => Begun::Failed(Wrong {
                error: Error::TOO_MANY_REQUESTS.into(),
                detail: "too many requests wait for answers of clients".into(),
            }),
            Command::Sockets(method, body) => Begun::Sockets(method.begin(node, &body)),
            Command::Presence(Channel { channel, .. }) => Begun::Presence(node.presence(&channel)),
            Command::PresenceStats(Channel { channel, .. }) => {
                Begun::PresenceStats(node.presence_stats(&channel))
            }
            Command::History(Channel {
                since: Some(StreamPosition { offset: 0, .. }),
                reverse: true,
                ..
            }) => Begun::Failed(Wrong::bad("since: nothing came before offset 0")),
            Command::History(body) => Begun::History(node.history(&body.channel, filter(&body))),
            Command::HistoryRemove(Channel { channel, .. }) => Begun::Removed(node.history_remove(&channel)),
            Command::Channels(body) => match body.pattern.contains(PATTERN_RESERVED) {
                true => Begun::Failed(Wrong::bad("pattern: only * stands for other characters")),
                false => Begun::Channels(Box::pin(node.channels(&body.pattern))),
            },
            Command::Info => Begun::Info(Box::pin(node.user_count())),
            Command::Rpc(body) => self.call(&body),
            Command::Unknown(method) => Begun::Failed(no_method(&method)),
        }
    }

    /// Waits for a command's outcome, at most until the deadline, and appends its result. On failure nothing is
    /// appended.
    pub(super) async fn finish(
        &self,
        begun: Begun<'_>,
        deadline: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let outcome = self.put_result(begun, deadline, out).await;
        if let Err(wrong) = &outcome {
            self.counts.count_error(wrong.error.code);
        }
        outcome
    }

    async fn put_result(&self, begun: Begun<'_>, deadline: Instant, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match begun {
            Begun::Failed(error) => return Err(error),
            Begun::Published(pending) => answer::put_position(out, &answered(deadline, pending).await?),
            Begun::Broadcast(positions) => {
                let positions = timeout_at(deadline, positions).await.map_err(|_| Failure::NoAnswer)?;
                let failures = positions.iter().filter_map(|one| one.as_ref().err());
                failures.for_each(|failure| self.counts.count_error(failure.error().code));
                answer::put_responses(out, &positions);
            }
            Begun::Presence(pending) => answer::put_presence(out, &answered(deadline, pending).await?),
            Begun::PresenceStats(pending) => {
                answer::put_presence_stats(out, answered(deadline, pending).await?);
            }
            Begun::History(pending) => answer::put_history(out, &answered(deadline, pending).await?),
            Begun::Removed(pending) | Begun::Ordered(pending) => {
                answered(deadline, pending).await?;
                answer::put_nothing(out);
            }
            Begun::Channels(names) => answer::put_channels(out, &answered(deadline, names).await?),
            Begun::Info(users) => {
                let user_count = answered(deadline, users).await?;
                answer::put_info(out, &self.node.info(), user_count);
            }
            Begun::Sockets(begun) => begun?.finish(deadline, out).await?,
            Begun::Called(call) => answer::put_called(out, &called(deadline, call).await?),
        }
        Ok(())
    }

    /// Executes the commands of a batch, one after another or in parallel, and appends the answer without its last
    /// brace.
    pub(super) async fn run_batch(&self, batch: Batch<'_>, deadline: Instant, out: &mut Vec<u8>) {
        if batch.commands.is_empty() {
            return out.push(b'{');
        }
        let at_once = if batch.parallel { AT_ONCE_MAX } else { 1 };
        out.extend_from_slice(b"{\"replies\":[");
        let start = out.len();
        let mut asking = Asking::default();
        for some in batch.commands.chunks(at_once) {
            let mut begun_all = Vec::with_capacity(some.len());
            for entry in some {
                let mut unknown = Unknown::new();
                begun_all.push(match Command::parse_entry(entry, &mut unknown) {
                    Ok(command) => (command.name(), self.begin(command, &mut asking), unknown),
                    Err(detail) => ("", Begun::Failed(Wrong::bad(detail)), unknown),
                });
            }
            for (name, begun, unknown) in begun_all {
                if out.len() > start {
                    out.push(b',');
                }
                let reply = out.len();
                out.extend_from_slice(b"{\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                let outcome = self.finish(begun, deadline, out).await;
                note(name, &outcome, &unknown);
                if let Err(wrong) = outcome {
                    out.truncate(reply);
                    answer::begin_failed(out, &wrong);
                }
                answer::put_warnings(out, &unknown);
                out.push(b'}');
            }
        }
        out.push(b']');
    }

    fn broadcast<'a>(&'a self, body: Publish<'a>) -> Begun<'a> {
        match message(&body) {
            Ok((data, options)) if !body.channels.is_empty() => Begun::Broadcast(Box::pin(async move {
                self.node.broadcast_checked(&body.channels, data, &options).await
            })),
            Ok(_) => Begun::Failed(Wrong::bad("channels: missing")),
            Err(wrong) => Begun::Failed(wrong),
        }
    }

    fn subscribe(&self, body: &Connections<'_>) -> Result<Pending<()>, Wrong> {
        let switch = |switch: &Option<Switch>| switch.as_ref().map(|switch| switch.value);
        let overrides = &body.overrides;
        let grant = Grant {
            info: payload_of(body.info, &body.b64info, "b64info")?,
            data: payload_of(body.data, &body.b64data, "b64data")?,
            expire_at_s: future(unix_time(body.expire_at.0))?,
            overrides: Overrides {
                presence: switch(&overrides.presence),
                join_leave: switch(&overrides.join_leave),
                force_push_join_leave: switch(&overrides.force_push_join_leave),
                force_recovery: switch(&overrides.force_recovery),
                force_positioning: switch(&overrides.force_positioning),
            },
            recover_since: body.recover_since.as_ref().map(|since| (since.offset, since.epoch.to_string())),
            ..Grant::default()
        };
        Ok(self.node.subscribe(target(body)?, &body.channel, grant))
    }

    fn unsubscribe(&self, body: &Connections<'_>) -> Result<Pending<()>, Wrong> {
        let (code, reason) = UNSUBSCRIBE;
        Ok(self.node.unsubscribe(target(body)?, &body.channel, code, reason))
    }

    fn disconnect(&self, body: Connections<'_>) -> Result<Pending<()>, Wrong> {
        let target = target(&body)?;
        let (code, reason) = match &body.disconnect {
            Some(words) if words.code != 0 => (words.code, &*words.reason),
            // A reason without a code is allowed.
            Some(words) if !words.reason.is_empty() => (DISCONNECT.0, &*words.reason),
            Some(_) | None => DISCONNECT,
        };
        let code = u16::try_from(code).ok().filter(|code| DISCONNECT_CODES.contains(code));
        let code = code.ok_or(Wrong::bad("disconnect.code: not in 3000–4999"))?;
        Ok(self.node.disconnect(target, code, reason, body.whitelist))
    }

    fn refresh(&self, body: &Connections<'_>) -> Result<Pending<()>, Wrong> {
        let info = payload_of(body.info, &body.b64info, "b64info")?;
        Ok(self.node.refresh(target(body)?, body.expired, unix_time(body.expire_at.0), info))
    }

    /// Calls an embedder's method in a task of its own: a panic ends that task only.
    fn call(&self, body: &Rpc<'_>) -> Begun<'static> {
        if body.method.is_empty() {
            return Begun::Failed(Wrong::bad("method: missing"));
        }
        match self.methods.0.get(&*body.method) {
            Some(method) => {
                let params = body.params.map_or_else(Vec::new, |params| params.get().as_bytes().to_vec());
                Begun::Called(tokio::spawn(method(params)))
            }
            None => Begun::Failed(no_method(&body.method)),
        }
    }
}

fn no_method(name: &str) -> Wrong {
    let detail = if name.is_empty() { "no method".into() } else { format!("no such method: {name}").into() };
    let message = Cow::Borrowed("not found");
    Wrong { error: ApiError { message, ..Error::METHOD_NOT_FOUND.into() }, detail }
}

/// Logs errors and ignored fields for the author of a backend.
pub(super) fn note(method: &str, outcome: &Result<(), Wrong>, unknown: &[String]) {
    if let Err(Wrong { error, detail }) = outcome {
        tracing::debug!(method, code = error.code, detail = &**detail, "server API: {}", error.message);
    }
    if !unknown.is_empty() {
        tracing::debug!(method, fields = unknown.join(", "), "server API: unknown fields");
    }
}

/// The answer, if it arrives before the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(deadline, answer).await.unwrap_or(Err(Failure::NoAnswer))
}

/// The answer of an embedder's method, if it is JSON and arrives before the deadline.
async fn called(
    deadline: Instant,
    mut call: JoinHandle<Result<Vec<u8>, ApiError>>,
) -> Result<Payload, ApiError> {
    let Ok(ended) = timeout_at(deadline, &mut call).await else {
        call.abort();
        return Err(Failure::NoAnswer.into());
    };
    let result = ended.map_err(|_| ApiError::from(Failure::NoAnswer))??;
    let result = Payload::from(result);
    if result.is_empty() || result.get().json().is_none() {
        return Err(Failure::NoAnswer.into());
    }
    Ok(result)
}

/// The data and options of a publication.
fn message(body: &Publish<'_>) -> Result<(Vec<u8>, PublishOptions), Wrong> {
    let (data, kind) = match (&body.b64data, body.data) {
        (Some(text), _) if !text.is_empty() => {
            let bytes = payload::decode(text).map_err(|flaw| Wrong::bad(format!("b64data: {flaw}")))?;
            (bytes, DataKind::Binary)
        }
        (_, Some(json)) => (json.get().as_bytes().to_vec(), DataKind::Json),
        // Empty binary data is valid.
        (Some(_), None) => (Vec::new(), DataKind::Binary),
        (None, None) => return Err(Wrong::bad("data: missing")),
    };
    if body.idempotency_key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Wrong::bad("idempotency_key: too long"));
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.into());
    let options = PublishOptions {
        kind,
        tags: body.tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        skip_history: body.skip_history,
        idempotency_key: text(&body.idempotency_key),
        delta: body.delta,
        version: body.version,
        version_epoch: text(&body.version_epoch),
    };
    Ok((data, options))
}

fn filter(body: &Channel<'_>) -> HistoryFilter {
    let since = |since: &StreamPosition<'_>| Position { offset: since.offset, epoch: (*since.epoch).into() };
    HistoryFilter {
        // A negative limit means no limit.
        limit: usize::try_from(body.limit).ok(),
        since: body.since.as_ref().map(since),
        reverse: body.reverse,
    }
}

fn target(body: &Connections<'_>) -> Result<Target, Wrong> {
    // A connection can be given without a user if the user is empty: some clients leave out empty fields.
    let is_named = !body.client.is_empty() || !body.session.is_empty();
    let user = body.user.as_ref().map(|user| user.to_string());
    let user = user.or_else(|| is_named.then(String::new)).ok_or(Wrong::bad("user: missing"))?;
    Ok(Target { user, client: body.client.to_string(), session: body.session.to_string() })
}

/// A field's payload; `name` is the name of its base64.
fn payload_of(json: Option<&RawValue>, base64: &str, name: &'static str) -> Result<Payload, Wrong> {
    payload::read(json, Some(base64)).map_err(|flaw| Wrong::bad(format!("{name}: {flaw}")))
}

/// The end of a subscription in seconds since 1970; 0 for never. A time in the past is an error.
#[expect(clippy::disallowed_methods, reason = "the control thread reads the clock itself")]
fn future(unix_s: u64) -> Result<u64, Wrong> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    (unix_s == 0 || unix_s > now_s).then_some(unix_s).ok_or(Wrong::bad("expire_at: in the past"))
}

/// A negative time is none, as 0.
fn unix_time(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}
