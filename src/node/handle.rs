//! A handle for any thread with the functions of the server API: publish, query homes, send orders to connections.
//!
//! Invariant: when a call returns, its letters are written, in the calling thread's order; only the answer is
//! pending. Calls block only for a mailbox's lock. Permissions of clients do not apply. Left out: bodies, keys and
//! HTTP, which belong to the control plane.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::options::{PublishOptions, is_what_it_should_be};
use super::pending::{Failure, Pending, Read, Way, reply};
use super::results::{History, Info, PresenceStats};
use super::shards::{Shards, Wiring};
use crate::base::payload::Payload;
use crate::base::shared::Shared;
use crate::config::Config;
use crate::hub::emission::is_private;
use crate::hub::home::{Answer, HistoryFilter, Question, Terms};
use crate::hub::options::ChannelOptions;
use crate::hub::{ClientInfo, DataKind, Position, Publication, Rare};
use crate::shard::counters::Counters;
use crate::shard::formats;
use crate::shard::mailbox::{Asker, Deed, Done, Letter, Look, Order, Target};
use crate::shard::outside::Grant;

/// Maximum number of publications of one broadcast without an answer.
const BROADCAST_AT_ONCE: usize = 1024;
/// Characters with a meaning in the patterns of other servers, which is not supported here; `*` matches them in
/// channel names.
pub(crate) const PATTERN_RESERVED: [char; 6] = ['?', '[', ']', '{', '}', '\\'];

/// A handle to a running server, for any thread. Clones are cheap.
///
/// Calls that have an answer return a [`Pending`], which any executor can await; [`Pending::wait`] blocks for it.
///
/// ```
/// use throng::{Config, NoHandler, PublishOptions, Server};
///
/// let config = Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, ..Config::default() };
/// let server = Server::start(&config, |_shard| NoHandler)?;
/// let node = server.node()?;
/// node.publish("news", br#"{"text":"hello"}"#.to_vec(), &PublishOptions::default()).wait()?;
///
/// // After the drain no shard answers.
/// server.drain();
/// server.wait()?;
/// assert!(node.publish("news", b"1".to_vec(), &PublishOptions::default()).wait().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Node {
    parts: Arc<Parts>,
    /// Way of its letters and answers.
    way: Way,
}

struct Parts {
    shards: Shards,
    uid: String,
    name: String,
    began: Instant,
}

impl Node {
    /// A node over shards that the caller runs; `Server::node` returns a server's own. A shard's thread wakes the
    /// tasks that wait for its answers. `uid` identifies the process, `name` is for people.
    pub fn over(config: &Config, wiring: Wiring, uid: &str, name: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the start, from which uptime counts")]
        let began = Instant::now();
        let parts =
            Parts { shards: Shards::new(config, wiring), uid: uid.to_owned(), name: name.to_owned(), began };
        Self { parts: Arc::new(parts), way: Way::Straight }
    }

    /// The id of this process.
    pub(super) fn uid(&self) -> &str {
        &self.parts.uid
    }

    /// Replaces the configuration, as in the shards.
    pub(super) fn renew(&self, config: &Config) {
        self.parts.shards.renew(config);
    }

    /// A handle of this node with another way to the shards.
    pub(crate) fn by(&self, way: Way) -> Self {
        Self { way, ..self.clone() }
    }

    /// Sends a message to every subscriber of a channel; returns its position, which is the default without history.
    ///
    /// The outcome is [`Failure::BadRequest`] when data is not of the kind `options.kind` or the channel's name is
    /// empty, [`Failure::LimitExceeded`] when data is larger than half of `outbox_bytes_max`. Names that clients may
    /// not use (`channel_name_bytes_max`, `channel_regex`) are accepted, here and in the other calls.
    pub fn publish(&self, channel: &str, data: Vec<u8>, options: &PublishOptions) -> Pending<Position> {
        if !is_what_it_should_be(options.kind, &data) {
            return Pending::failed(Failure::BadRequest);
        }
        self.publish_checked(channel, data, options)
    }

    /// Sends one message to many channels; the outcomes are in the order of the channels. The data is stored once.
    ///
    /// Publications are sent in chunks of 1,024; a chunk follows when all publications of the previous one are
    /// answered.
    pub async fn broadcast(
        &self,
        channels: &[impl AsRef<str>],
        data: Vec<u8>,
        options: &PublishOptions,
    ) -> Vec<Result<Position, Failure>> {
        if is_what_it_should_be(options.kind, &data) {
            self.broadcast_checked(channels, data, options).await
        } else {
            channels.iter().map(|_| Err(Failure::BadRequest)).collect()
        }
    }

    /// Publishes like [`Node::publish`] data that is known to be of the kind `options.kind`.
    pub(crate) fn publish_checked(
        &self,
        channel: &str,
        data: Vec<u8>,
        options: &PublishOptions,
    ) -> Pending<Position> {
        match self.shards().share(data, options) {
            Ok(data) => self.send_publication(channel, &data, options),
            Err(failure) => Pending::failed(failure),
        }
    }

    /// Broadcasts like [`Node::broadcast`] data that is known to be of the kind `options.kind`.
    pub(crate) async fn broadcast_checked(
        &self,
        channels: &[impl AsRef<str>],
        data: Vec<u8>,
        options: &PublishOptions,
    ) -> Vec<Result<Position, Failure>> {
        let data = match self.shards().share(data, options) {
            Ok(data) => data,
            Err(failure) => return channels.iter().map(|_| Err(failure)).collect(),
        };
        let mut outcomes = Vec::with_capacity(channels.len());
        for some in channels.chunks(BROADCAST_AT_ONCE) {
            let publish = |channel: &_| self.send_publication(AsRef::as_ref(channel), &data, options);
            let pending: Vec<_> = some.iter().map(publish).collect();
            for one in pending {
                outcomes.push(one.await);
            }
        }
        outcomes
    }

    /// Returns publications of a channel's history.
    ///
    /// The outcome is [`Failure::NotAvailable`] without history, [`Failure::Unrecoverable`] when `filter.since` is
    /// not in the stream, [`Failure::BadRequest`] for a reverse query that starts at offset 0.
    pub fn history(&self, channel: &str, filter: HistoryFilter) -> Pending<History> {
        if filter.reverse && filter.since.as_ref().is_some_and(|since| since.offset == 0) {
            return Pending::failed(Failure::BadRequest);
        }
        self.ask(channel, Question::History(filter), ChannelOptions::keeps_history, |answer| {
            let Answer::History { publications, position } = answer else { return None };
            Some(History { publications, position })
        })
    }

    /// Removes the publications of a channel's history; the stream's position stays.
    pub fn history_remove(&self, channel: &str) -> Pending<()> {
        self.ask(channel, Question::RemoveHistory, ChannelOptions::keeps_history, |answer| {
            matches!(answer, Answer::Removed).then_some(())
        })
    }

    /// Returns the clients in a channel.
    ///
    /// The outcome is [`Failure::NotAvailable`] without presence.
    pub fn presence(&self, channel: &str) -> Pending<Vec<Arc<ClientInfo>>> {
        self.ask(channel, Question::Presence, has_presence, |answer| {
            if let Answer::Presence(clients) = answer { Some(clients) } else { None }
        })
    }

    /// Returns the numbers of connections and users in a channel.
    pub fn presence_stats(&self, channel: &str) -> Pending<PresenceStats> {
        self.ask(channel, Question::PresenceStats, has_presence, |answer| {
            let Answer::PresenceStats { client_count, user_count } = answer else { return None };
            Some(PresenceStats { client_count, user_count })
        })
    }

    /// Returns names and subscriber counts of the matching channels, sorted by name. `*` matches any run of
    /// characters, an empty pattern all channels. Every home searches all of its channels: for operators, not for
    /// requests of users.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for a pattern with `?`, `[`, `]`, `{`, `}` or `\`, which have a meaning in other
    /// servers.
    pub fn channels(
        &self,
        pattern: &str,
    ) -> impl Future<Output = Result<Vec<(Arc<str>, usize)>, Failure>> + Send + use<> {
        let asked = if pattern.contains(PATTERN_RESERVED) {
            Err(Failure::BadRequest)
        } else {
            let what = Look::Channels { pattern: pattern.to_owned() };
            Ok(self.look(&what, |answer| if let Answer::Channels(them) = answer { Some(them) } else { None }))
        };
        async move {
            let mut channels = Vec::new();
            for pending in asked? {
                channels.append(&mut pending.await?);
            }
            channels.sort_unstable();
            Ok(channels)
        }
    }

    /// Subscribes connections to a channel. Existing subscriptions stay; the grant replaces the terms from their
    /// token, a hook or an earlier call, and their clients are notified. A grant that has expired changes nothing.
    ///
    /// The outcome is available when all shards have carried this out: later publications reach the connections.
    /// Failures: [`Failure::UnknownChannel`], [`Failure::BadRequest`], [`Failure::Overloaded`], and
    /// [`Failure::TooManyRequests`] while memory is short (`memory_max`). The outcome does not say whether there is
    /// such a connection, here and in the other orders.
    pub fn subscribe(&self, target: Target, channel: &str, grant: Grant) -> Pending<()> {
        let deed = self.shards().options_of(channel).and_then(|options| {
            if self.shards().is_memory_short() {
                return Err(Failure::TooManyRequests);
            }
            let grant = Box::new(Grant { channel: channel.to_owned(), user: target.user.clone(), ..grant });
            Ok(Deed::Subscribe { channel: channel.into(), options, grant })
        });
        self.order(target, deed)
    }

    /// Ends the subscriptions of connections to a channel. `code` is 2000–2999: below 2500 clients do not subscribe
    /// again. Earlier publications that were answered still reach them.
    ///
    /// Failures are those of [`Node::subscribe`].
    pub fn unsubscribe(&self, target: Target, channel: &str, code: u32, reason: &str) -> Pending<()> {
        let deed = if (2000..3000).contains(&code) {
            let deed = Deed::Unsubscribe { channel: channel.into(), code, reason: reason.to_owned() };
            self.shards().options_of(channel).map(|_| deed)
        } else {
            Err(Failure::BadRequest)
        };
        self.order(target, deed)
    }

    /// Sends a `message` push to connections. It is not stored; disconnected clients do not receive it. `data` is
    /// JSON.
    ///
    /// The outcome is [`Failure::BadRequest`] when `data` is not JSON, or [`Failure::Overloaded`].
    pub fn message(&self, target: Target, data: Vec<u8>) -> Pending<()> {
        let is_json = is_what_it_should_be(DataKind::Json, &data);
        let deed = is_json.then(|| Deed::Message { data: Payload::from(data) });
        self.order(target, deed.ok_or(Failure::BadRequest))
    }

    /// Closes connections, except for those with an id in `spared`. `code` is 3000–4999: at 3000–3499 and 4000–4499
    /// clients connect again.
    ///
    /// The outcome may be [`Failure::BadRequest`] or [`Failure::Overloaded`].
    pub fn disconnect(&self, target: Target, code: u16, reason: &str, spared: Vec<String>) -> Pending<()> {
        let deed = (3000..5000).contains(&code);
        let deed = deed.then(|| Deed::Disconnect { code, reason: reason.to_owned(), spared });
        self.order(target, deed.ok_or(Failure::BadRequest))
    }

    /// Changes the expiry of connections: now, or at a Unix time in seconds, 0 for never; a time in the past means
    /// now. `info` replaces the information that other clients see; empty for no change.
    ///
    /// The outcome may be [`Failure::Overloaded`].
    pub fn refresh(&self, target: Target, expired: bool, expire_at_s: u64, info: Payload) -> Pending<()> {
        self.order(target, Ok(Deed::Refresh { expired, expire_at_s, info }))
    }

    /// The number of users with connections; all anonymous connections are one user. Every shard searches all of its
    /// connections: for operators.
    ///
    /// The outcome may be [`Failure::NoAnswer`].
    pub fn user_count(&self) -> impl Future<Output = Result<u64, Failure>> + Send + use<> {
        let asked = self
            .look(&Look::Users, |answer| if let Answer::Users(them) = answer { Some(them) } else { None });
        async move {
            let mut users = Vec::new();
            for pending in asked {
                users.append(&mut pending.await?);
            }
            users.sort_unstable();
            users.dedup();
            Ok(users.len() as u64)
        }
    }

    /// Returns properties and counts of the node.
    pub fn info(&self) -> Info {
        let Parts { shards, uid, name, began } = &*self.parts;
        let sum = |read: fn(&Counters) -> u64| shards.wiring.counters.iter().map(|shard| read(shard)).sum();
        Info {
            uid: uid.clone(),
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            client_count: sum(|shard| shard.sessions.value()),
            channel_count: sum(|shard| shard.channels.value()),
            subscription_count: sum(|shard| shard.subscriptions.value()),
            uptime_s: began.elapsed().as_secs(),
        }
    }

    /// The shards of this node.
    pub(super) fn shards(&self) -> &Shards {
        &self.parts.shards
    }

    /// Publishes without an answer, with any namespace. Private channels are not there.
    pub(super) fn publish_unanswered(&self, channel: &str, kind: DataKind, data: &[u8]) {
        let shards = self.shards();
        // No other way in has these names either.
        if is_private(channel) {
            return;
        }
        let publication = Box::new(Publication::new(channel.into(), kind, shards.charge(data.to_vec())));
        let options = shards.options_of_any(channel);
        let letter =
            Letter::Publish { publication, options, terms: Terms::default(), from: None, asker: None };
        self.send(shards.home(channel), letter);
    }

    fn send_publication(&self, channel: &str, data: &Shared, options: &PublishOptions) -> Pending<Position> {
        let letter = |channel_options, asker| Letter::Publish {
            publication: Box::new(Publication {
                tags: options.tags.clone(),
                is_delta: options.delta,
                rare: (options.version > 0).then(|| Box::new(Rare { version: options.version, epoch: None })),
                ..Publication::new(channel.into(), options.kind, data.clone())
            }),
            options: channel_options,
            terms: Terms {
                idempotency_key: options.idempotency_key.clone(),
                skip_history: options.skip_history,
                version: options.version,
                version_epoch: options.version_epoch.clone(),
            },
            from: None,
            asker: Some(asker),
        };
        let read = |answer| if let Answer::Published(position) = answer { Some(position) } else { None };
        let format = self.shards().options_of_any(channel).publication_data_format;
        if !formats::fits(format, options.kind, data) {
            return Pending::failed(Failure::BadRequest);
        }
        self.send_asking(channel, |_| true, letter, read)
    }

    fn ask<T>(
        &self,
        channel: &str,
        question: Question,
        is_available: fn(&ChannelOptions) -> bool,
        read: Read<T>,
    ) -> Pending<T> {
        let letter = |options, asker| Letter::Ask { channel: channel.into(), options, question, asker };
        self.send_asking(channel, is_available, letter, read)
    }

    fn send_asking<T>(
        &self,
        channel: &str,
        is_available: fn(&ChannelOptions) -> bool,
        letter: impl FnOnce(Arc<ChannelOptions>, Asker) -> Letter,
        read: Read<T>,
    ) -> Pending<T> {
        let sent = self.shards().options_of(channel).and_then(|options| {
            if !is_available(&options) {
                return Err(Failure::NotAvailable);
            }
            let home = self.shards().free_home(channel)?;
            let (asker, answer) = self.asker();
            self.send(home, letter(options, asker));
            Ok(answer)
        });
        match sent {
            Ok(answer) => Pending::waiting(answer, read),
            Err(failure) => Pending::failed(failure),
        }
    }

    /// Sends a query to every shard.
    fn look<T>(&self, what: &Look, read: Read<T>) -> Vec<Pending<T>> {
        let ask = |shard| {
            let (asker, answer) = self.asker();
            self.send(shard, Letter::Look { what: what.clone(), asker });
            Pending::waiting(answer, read)
        };
        (0..self.shards().wiring.mailboxes.len()).map(ask).collect()
    }

    /// The return address for a letter, and the receiver of its answer.
    pub(super) fn asker(&self) -> (Asker, oneshot::Receiver<Answer>) {
        let (reply, answer) = reply(self.way.clone());
        (Asker::Outside(Box::new(move |answer| reply.send(answer))), answer)
    }

    /// Sends an order to all shards, unless it is refused.
    fn order(&self, target: Target, deed: Result<Deed, Failure>) -> Pending<()> {
        let taken = deed.and_then(|deed| Ok((deed, self.shards().take_order()?)));
        let (deed, shard_count) = match taken {
            Ok(taken) => taken,
            Err(failure) => return Pending::failed(failure),
        };
        let ((reply, is_done), way) = (reply(self.way.clone()), self.way.clone());
        let done = Done::telling(move || {
            reply.send(());
            // The letters of this turn have been handed over by now.
            way.wake();
        });
        let order = Arc::new(Order { target, deed, done });
        for shard in 0..shard_count {
            self.send(shard, Letter::Order(Arc::clone(&order)));
        }
        Pending::ordered(is_done)
    }

    /// Sends a letter to a shard.
    pub(super) fn send(&self, shard: usize, letter: Letter) {
        self.way.send(&self.shards().wiring.mailboxes, shard, letter);
    }
}

impl fmt::Debug for Node {
    /// Does not print the seed, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.parts.name).finish_non_exhaustive()
    }
}

fn has_presence(options: &ChannelOptions) -> bool {
    options.presence
}
