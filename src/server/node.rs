//! The handle with which any thread does what the server's API does: publish, ask homes, order connections about.
//!
//! Invariant: a call has written its letters when it returns, in the calling thread's order; what it returns only waits
//! for the answer. Nothing here blocks but for a mailbox's lock. What a client may is not asked: whoever has a node may
//! everything. Left out: bodies, keys and HTTP, which are the control plane's.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::options::{IDEMPOTENCY_KEY_BYTES_MAX, PublishOptions, flatten_lines, is_what_it_should_be};
use super::pending::{Failure, Pending, Read, Relay, reply};
use crate::base::budget::Budget;
use crate::base::counters::Counters;
use crate::base::shared::Shared;
use crate::config::{Config, Limits};
use crate::hub::home::{Answer, HistoryFilter, Question, Terms};
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::hub::{ClientInfo, DataKind, Position, Publication, home_of};
use crate::shard::mailbox::{Asker, Deed, Letter, Mailbox, Order, Target};
use crate::shard::outside::Grant;

/// Publications of one broadcast that are on their way at a time.
const BROADCAST_AT_ONCE: usize = 1024;
/// What patterns of other servers mean by these is not known here; a channel with one in its name is found by `*`.
const PATTERN_RESERVED: [char; 6] = ['?', '[', ']', '{', '}', '\\'];

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
/// // After the drain there is nobody left to answer.
/// server.drain();
/// server.wait()?;
/// assert!(node.publish("news", b"1".to_vec(), &PublishOptions::default()).wait().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Node {
    parts: Arc<Parts>,
    /// Who hands over answers; `None` where every table knows the asker's executor.
    relay: Option<Relay>,
}

/// What connects a node to its shards.
#[derive(Debug)]
pub struct Wiring {
    /// One per shard, in their order.
    pub mailboxes: Arc<[Mailbox]>,
    /// One per shard, in their order.
    pub counters: Arc<[Arc<Counters>]>,
    /// What publications on their way are charged to, as in all shards.
    pub publication_budget: Budget,
    /// The seed of homes, as in all shards. Nobody outside must know it.
    pub seed: u64,
    /// A name for people.
    pub name: String,
}

struct Parts {
    wiring: Wiring,
    namespaces: Arc<Namespaces>,
    limits: Limits,
    uid: String,
    began: Instant,
}

/// What a channel's history holds.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What was asked for.
    pub publications: Vec<Arc<Publication>>,
    /// The stream's position.
    pub position: Position,
}

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub client_count: u32,
    /// Different users.
    pub user_count: u32,
}

/// What a node is and holds. Counts are those of the shards, each at some recent moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Tells this process from others and from its own earlier lives.
    pub uid: String,
    /// The host's name and the port of the first listener.
    pub name: String,
    /// The server's version.
    pub version: &'static str,
    /// Connections past their handshake.
    pub client_count: u64,
    /// Channels.
    pub channel_count: u64,
    /// Subscriptions of all connections.
    pub subscription_count: u64,
    /// Seconds since the start.
    pub uptime_s: u64,
}

impl Node {
    /// A node over shards that someone else drives; a server's own comes from [`super::Server::node`]. Answers wake
    /// whoever waits for them in the shard's thread.
    pub fn over(config: &Config, wiring: Wiring) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the start, from which uptime counts")]
        let began = Instant::now();
        let (namespaces, limits) = (Arc::clone(&config.namespaces), config.limits.clone());
        Self { parts: Arc::new(Parts { wiring, namespaces, limits, uid: uid(), began }), relay: None }
    }

    /// The same node for an executor that shards' descriptor tables may not know.
    pub(super) fn with_relay(&self, relay: Relay) -> Self {
        Self { relay: Some(relay), ..self.clone() }
    }

    /// Sends a message to every subscriber of a channel; tells its position, which is the default without history.
    ///
    /// The outcome is [`Failure::BadRequest`] when data is not what `options.kind` says or the channel's name is empty
    /// or too long, [`Failure::LimitExceeded`] when data takes more than half of `outbox_bytes_max`.
    pub fn publish(&self, channel: &str, data: Vec<u8>, options: &PublishOptions) -> Pending<Position> {
        if !is_what_it_should_be(options.kind, &data) {
            return Pending::failed(Failure::BadRequest);
        }
        self.publish_checked(channel, data, options)
    }

    /// Sends one message to many channels; the outcomes are in their order. The data is held once.
    ///
    /// The first thousand publications are on their way when this returns; the others go as those are answered.
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

    /// As [`Node::publish`], of data that is known to be what `options.kind` says.
    pub(crate) fn publish_checked(
        &self,
        channel: &str,
        data: Vec<u8>,
        options: &PublishOptions,
    ) -> Pending<Position> {
        self.share(data, options).and_then(|data| self.send_publication(channel, &data, options)).into()
    }

    /// As [`Node::broadcast`], of data that is known to be what `options.kind` says.
    pub(crate) async fn broadcast_checked(
        &self,
        channels: &[impl AsRef<str>],
        data: Vec<u8>,
        options: &PublishOptions,
    ) -> Vec<Result<Position, Failure>> {
        let data = match self.share(data, options) {
            Ok(data) => data,
            Err(failure) => return channels.iter().map(|_| Err(failure)).collect(),
        };
        let mut outcomes = Vec::with_capacity(channels.len());
        for some in channels.chunks(BROADCAST_AT_ONCE) {
            let publish = |channel: &_| self.send_publication(AsRef::as_ref(channel), &data, options).into();
            let pending: Vec<Pending<Position>> = some.iter().map(publish).collect();
            for one in pending {
                outcomes.push(one.await);
            }
        }
        outcomes
    }

    /// What was published in a channel.
    ///
    /// The outcome is [`Failure::NotAvailable`] without history, [`Failure::Unrecoverable`] when `filter.since` is not
    /// in the stream.
    pub fn history(&self, channel: &str, filter: HistoryFilter) -> Pending<History> {
        self.ask(channel, Question::History(filter), has_history, |answer| match answer {
            Answer::History { publications, position } => Ok(History { publications, position }),
            other => Err(refused(&other)),
        })
    }

    /// Forgets what was published in a channel; its position stays.
    pub fn history_remove(&self, channel: &str) -> Pending<()> {
        self.ask(channel, Question::RemoveHistory, has_history, |answer| match answer {
            Answer::Removed => Ok(()),
            other => Err(refused(&other)),
        })
    }

    /// Who is in a channel.
    ///
    /// The outcome is [`Failure::NotAvailable`] where presence is off.
    pub fn presence(&self, channel: &str) -> Pending<Vec<Arc<ClientInfo>>> {
        self.ask(channel, Question::Presence, has_presence, |answer| match answer {
            Answer::Presence(clients) => Ok(clients),
            other => Err(refused(&other)),
        })
    }

    /// How many are in a channel.
    pub fn presence_stats(&self, channel: &str) -> Pending<PresenceStats> {
        self.ask(channel, Question::PresenceStats, has_presence, |answer| match answer {
            Answer::PresenceStats { client_count, user_count } => {
                Ok(PresenceStats { client_count, user_count })
            }
            other => Err(refused(&other)),
        })
    }

    /// Names and subscribers of the channels that match, by name: `*` stands for any run of characters, an empty pattern
    /// for all. Every home looks at all of its channels for this: it is for people, not for each request of theirs.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for a pattern with `?`, `[`, `]`, `{`, `}` or `\`, which would mean something elsewhere.
    pub fn channels(
        &self,
        pattern: &str,
    ) -> impl Future<Output = Result<Vec<(Arc<str>, usize)>, Failure>> + Send + use<> {
        let asked = if pattern.contains(PATTERN_RESERVED) {
            Err(Failure::BadRequest)
        } else {
            let ask = |mailbox: &Mailbox| {
                let (reply, answer) = reply(self.relay.clone());
                let reply = Box::new(move |channels| reply.send(channels));
                mailbox.put(&mut vec![Letter::Channels { pattern: pattern.to_owned(), reply }]);
                answer
            };
            Ok(self.parts.wiring.mailboxes.iter().map(ask).collect::<Vec<oneshot::Receiver<_>>>())
        };
        async move {
            let mut channels = Vec::new();
            for answer in asked? {
                channels.append(&mut answer.await.map_err(|_| Failure::NoAnswer)?);
            }
            channels.sort_unstable();
            Ok(channels)
        }
    }

    /// Subscribes connections to a channel without their asking. Those that are subscribed stay so.
    ///
    /// # Errors
    /// [`Failure::UnknownChannel`], [`Failure::BadRequest`], [`Failure::Overloaded`]. Whether there is any such
    /// connection is not told, here and in the other orders.
    pub fn subscribe(&self, target: Target, channel: &str, grant: Grant) -> Result<(), Failure> {
        let options = Arc::clone(self.options_of(channel)?);
        let grant = Box::new(Grant { channel: channel.to_owned(), user: target.user.clone(), ..grant });
        self.order(target, Deed::Subscribe { channel: channel.into(), options, grant })
    }

    /// Ends connections' subscription to a channel. `code` is 2000–2999: below 2500 they do not subscribe again.
    ///
    /// # Errors
    /// As [`Node::subscribe`].
    pub fn unsubscribe(&self, target: Target, channel: &str, code: u32, reason: &str) -> Result<(), Failure> {
        if !(2000..3000).contains(&code) {
            return Err(Failure::BadRequest);
        }
        self.options_of(channel)?;
        self.order(target, Deed::Unsubscribe { channel: channel.into(), code, reason: reason.to_owned() })
    }

    /// Closes connections, but for those with an id in `spared`. `code` is 3000–4999: at 3000–3499 and 4000–4499 they
    /// connect again.
    ///
    /// # Errors
    /// [`Failure::BadRequest`], [`Failure::Overloaded`].
    pub fn disconnect(
        &self,
        target: Target,
        code: u16,
        reason: &str,
        spared: Vec<String>,
    ) -> Result<(), Failure> {
        if !(3000..5000).contains(&code) {
            return Err(Failure::BadRequest);
        }
        self.order(target, Deed::Disconnect { code, reason: reason.to_owned(), spared })
    }

    /// Changes when connections expire: now, or at a Unix time in seconds, 0 for never.
    ///
    /// # Errors
    /// [`Failure::Overloaded`].
    pub fn refresh(&self, target: Target, expired: bool, expire_at_s: u64) -> Result<(), Failure> {
        self.order(target, Deed::Refresh { expired, expire_at_s })
    }

    /// What the node is and holds.
    pub fn info(&self) -> Info {
        let Parts { wiring: Wiring { counters, name, .. }, uid, began, .. } = &*self.parts;
        let sum = |read: fn(&Counters) -> u64| counters.iter().map(|shard| read(shard)).sum();
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

    /// Whether as many published bytes are on their way as may be.
    pub(super) fn is_overloaded(&self) -> bool {
        self.parts.wiring.publication_budget.is_exhausted()
    }

    /// Sends a publication that nobody waits for, whatever its channel's namespace.
    pub(super) fn publish_unanswered(&self, channel: &str, kind: DataKind, data: &[u8]) {
        let options =
            self.parts.namespaces.resolve(channel).unwrap_or(&self.parts.namespaces.without_namespace);
        let data = Shared::new(data.to_vec(), &self.parts.wiring.publication_budget);
        let publication = Box::new(Publication::new(channel.into(), kind, data));
        let options = Arc::clone(options);
        self.send_home(
            channel,
            Letter::Publish { publication, options, terms: Terms::default(), asker: None },
        );
    }

    /// What a channel is like, if its name can be one's.
    fn options_of(&self, channel: &str) -> Result<&Arc<ChannelOptions>, Failure> {
        if channel.is_empty() || channel.len() > self.parts.limits.channel_name_bytes_max {
            return Err(Failure::BadRequest);
        }
        self.parts.namespaces.resolve(channel).ok_or(Failure::UnknownChannel)
    }

    /// Charges a message to the budget, once for all the channels that it goes to.
    fn share(&self, mut data: Vec<u8>, options: &PublishOptions) -> Result<Shared, Failure> {
        let Parts { wiring: Wiring { publication_budget, .. }, limits, .. } = &*self.parts;
        if options.idempotency_key.as_ref().is_some_and(|key| key.len() > IDEMPOTENCY_KEY_BYTES_MAX) {
            return Err(Failure::BadRequest);
        }
        // A message that fills an outbox would disconnect whoever has anything else in it.
        if data.len() > limits.outbox_bytes_max / 2 {
            return Err(Failure::LimitExceeded);
        }
        if publication_budget.is_exhausted() {
            return Err(Failure::Overloaded);
        }
        if options.kind == DataKind::Json {
            flatten_lines(&mut data);
        }
        Ok(Shared::new(data, publication_budget))
    }

    fn send_publication(
        &self,
        channel: &str,
        data: &Shared,
        options: &PublishOptions,
    ) -> Result<oneshot::Receiver<Answer>, Failure> {
        let channel_options = Arc::clone(self.options_of(channel)?);
        let publication = Publication {
            tags: options.tags.clone(),
            is_delta: options.delta,
            ..Publication::new(channel.into(), options.kind, data.clone())
        };
        let terms = Terms {
            idempotency_key: options.idempotency_key.clone(),
            skip_history: options.skip_history,
            version: options.version,
            version_epoch: options.version_epoch.clone(),
        };
        self.send_asking(channel, |asker| Letter::Publish {
            publication: Box::new(publication),
            options: channel_options,
            terms,
            asker: Some(asker),
        })
    }

    fn ask<T>(
        &self,
        channel: &str,
        question: Question,
        is_available: fn(&ChannelOptions) -> bool,
        read: Read<T>,
    ) -> Pending<T> {
        let asked = self.options_of(channel).and_then(|options| {
            if !is_available(options) {
                return Err(Failure::NotAvailable);
            }
            let options = Arc::clone(options);
            self.send_asking(channel, |asker| Letter::Ask {
                channel: channel.into(),
                options,
                question,
                asker,
            })
        });
        match asked {
            Ok(answer) => Pending::waiting(answer, read),
            Err(failure) => Pending::failed(failure),
        }
    }

    fn send_asking(
        &self,
        channel: &str,
        letter: impl FnOnce(Asker) -> Letter,
    ) -> Result<oneshot::Receiver<Answer>, Failure> {
        let home = self.home_of(channel);
        if home.len() > self.parts.limits.mailbox_letters_max {
            return Err(Failure::Overloaded);
        }
        let (reply, answer) = reply(self.relay.clone());
        let asker = Asker::Outside(Box::new(move |answer| reply.send(answer)));
        home.put(&mut vec![letter(asker)]);
        Ok(answer)
    }

    fn send_home(&self, channel: &str, letter: Letter) {
        self.home_of(channel).put(&mut vec![letter]);
    }

    fn home_of(&self, channel: &str) -> &Mailbox {
        let Wiring { mailboxes, seed, .. } = &self.parts.wiring;
        let shard_count = u16::try_from(mailboxes.len()).unwrap_or(u16::MAX);
        &mailboxes[usize::from(home_of(channel, *seed, shard_count))]
    }

    /// Sends an order to all shards: any of them may hold connections that are meant.
    fn order(&self, target: Target, deed: Deed) -> Result<(), Failure> {
        let Parts { wiring: Wiring { mailboxes, .. }, limits, .. } = &*self.parts;
        if mailboxes.iter().any(|mailbox| mailbox.len() > limits.mailbox_letters_max) {
            return Err(Failure::Overloaded);
        }
        let order = Arc::new(Order { target, deed });
        for mailbox in mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Order(Arc::clone(&order))]);
        }
        Ok(())
    }
}

impl fmt::Debug for Node {
    /// Without the seed, which nobody outside must know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.parts.wiring.name).finish_non_exhaustive()
    }
}

impl From<Result<oneshot::Receiver<Answer>, Failure>> for Pending<Position> {
    fn from(sent: Result<oneshot::Receiver<Answer>, Failure>) -> Self {
        match sent {
            Ok(answer) => Self::waiting(answer, |answer| match answer {
                Answer::Published(position) => Ok(position),
                other => Err(refused(&other)),
            }),
            Err(failure) => Self::failed(failure),
        }
    }
}

fn has_history(options: &ChannelOptions) -> bool {
    options.history_size > 0 && options.history_ttl_ms > 0
}

fn has_presence(options: &ChannelOptions) -> bool {
    options.presence
}

/// An answer that is not the one to the question.
fn refused(answer: &Answer) -> Failure {
    match answer {
        Answer::Refused(refused) => Failure::from(*refused),
        Answer::Published(_)
        | Answer::Presence(_)
        | Answer::PresenceStats { .. }
        | Answer::History { .. }
        | Answer::Removed => Failure::NoAnswer,
    }
}

/// A name that no other process has: 128 random bits, written as a UUID of version 4 is.
fn uid() -> String {
    let [high, low] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
