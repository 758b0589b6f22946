//! The port for questions of a shard to the world outside the data plane: tokens that are slow to verify, and the
//! application's hooks.
//!
//! A shard never waits. It asks, and the answer comes later as a letter, [`super::mailbox::Letter::Verdict`]; the
//! connection may be gone by then.

use std::fmt::Debug;
use std::sync::Arc;

use super::mailbox::ReplyTo;
use crate::base::payload::Payload;
use crate::hub::home::StateChange;
use crate::hub::words::{Denied, EventEnd};
use crate::tls::Identity;

/// Answers the questions of shards. One per process; called in the shards' threads, so it must not block.
pub trait Outside: Debug + Send + Sync {
    /// Verifies a token at once if that is cheap (a few microseconds: an HMAC); `None` otherwise.
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict>;

    /// Accepts a question; its answer comes as a letter.
    ///
    /// # Errors
    /// When too many questions are open. The question is not accepted, and no answer will come.
    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy>;

    /// Reports to the application which channels have got their first subscriber, and which have lost their last, in
    /// that order. Events that cannot be queued are counted.
    fn tell_states(&self, states: Vec<StateChange>);

    /// Reports to the application which sockets have ended. Those that cannot be queued are counted.
    fn tell_ends(&self, _ends: Vec<SocketEnd>) {}

    /// Whether the application's hook decides about this, in place of the configuration.
    fn has_hook(&self, hook: Hook) -> bool;

    /// The destination of calls of this method.
    fn route_call(&self, _method: &str) -> CallRoute {
        if self.has_hook(Hook::Rpc) { CallRoute::Hook } else { CallRoute::NotAvailable }
    }
}

/// The destination of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRoute {
    /// The application's hook.
    Hook,
    /// The server, with an empty result.
    Ping,
    /// None: the namespace of the method has no hook, or calls are not configured (error 108).
    NotAvailable,
    /// None: the namespace does not exist, or only the server's own method does (error 104).
    NotFound,
}

/// The error when too many questions are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The hooks of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Connections without a token.
    Connect,
    /// Sockets without a token: clients that share a connection.
    SocketConnect,
    /// Connections about to expire.
    Refresh,
    /// Calls.
    Rpc,
    /// Subscriptions, in namespaces where it is enabled.
    Subscribe,
    /// Publications, in namespaces where it is enabled.
    Publish,
    /// Subscriptions about to expire.
    SubRefresh,
    /// Events of Socket.IO sockets.
    SocketEvent,
}

/// A token to verify.
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// The token of a connection.
    Connection(&'a str),
    /// The token of a subscription.
    Subscription(&'a str),
}

/// The client of a question, as hooks receive it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The connection's id.
    pub client: String,
    /// Its user; empty when anonymous.
    pub user: String,
    /// The transport's name (`websocket`, `sse`, `http_stream`, `uni_sse` …).
    pub transport: &'static str,
    /// The encoding's name (`json`, `protobuf`).
    pub encoding: &'static str,
    /// Headers for the hook.
    pub headers: Headers,
    /// Metadata from connect hooks, raw JSON; empty for none.
    pub meta: Vec<u8>,
    /// The identity in its verified certificate. Only for connect.
    pub certificate: Option<Arc<Identity>>,
}

/// Headers with the client's address for hooks, in lower case: their values are the address known here, whatever was
/// sent.
pub const ADDRESS_HEADERS: [&str; 3] = ["x-forwarded-for", "x-real-ip", "forwarded"];

/// Headers for hooks, by source: names in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Headers of the HTTP request that opened the connection; a proxy may have written them.
    pub request: Vec<(String, String)>,
    /// Headers from the connect command, set by the client and not verified, each name once.
    pub emulated: Vec<(String, String)>,
}

/// A question of a shard.
#[derive(Debug)]
pub enum Question {
    /// Verify a connection token.
    ConnectionToken(String),
    /// Verify a subscription token.
    SubscriptionToken(String),
    /// Call the connect hook.
    Connect {
        /// The client; without a user yet.
        who: Who,
        /// Name of the client's program, from the connect command.
        name: String,
        /// Version of the client's program, from the connect command.
        version: String,
        /// Data of the connect command.
        data: Vec<u8>,
        /// Channels that it wants to recover.
        channels: Vec<String>,
    },
    /// Call the connect hook of sockets.
    SocketConnect {
        /// The connection; without a user yet.
        who: Who,
        /// The claim of the client.
        claim: Box<SocketClaim>,
    },
    /// Call the refresh hook.
    Refresh {
        /// The client.
        who: Who,
    },
    /// Call the subscribe hook.
    Subscribe {
        /// The client.
        who: Who,
        /// Name of the channel.
        channel: String,
        /// Data of the subscribe command.
        data: Vec<u8>,
    },
    /// Call the publish hook.
    Publish {
        /// The client.
        who: Who,
        /// Name of the channel.
        channel: String,
        /// The message.
        data: Vec<u8>,
    },
    /// Call the rpc hook.
    Rpc {
        /// The client.
        who: Who,
        /// Name of the method.
        method: String,
        /// The argument.
        data: Vec<u8>,
    },
    /// Call the sub_refresh hook.
    SubRefresh {
        /// The client.
        who: Who,
        /// Name of the channel.
        channel: String,
    },
    /// Call the hook for events of a Socket.IO socket.
    SocketEvents {
        /// The client.
        who: Who,
        /// The socket and its events.
        events: Box<SocketEvents>,
    },
}

/// Events of a Socket.IO socket, for the application's hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketEvents {
    /// The id of the socket. Of each one question is open at a time.
    pub sid: String,
    /// Members of the request's object, in JSON.
    pub fields: String,
    /// The number of events.
    pub count: usize,
    /// The rooms of the socket, if the hook gets them.
    pub rooms: Option<Vec<String>>,
}

/// The end of a Socket.IO socket, for the application's hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketEnd {
    /// The connection's id.
    pub client: String,
    /// Headers for the hook.
    pub headers: Headers,
    /// The id of the socket.
    pub sid: String,
    /// Members of the report's object, in JSON.
    pub fields: String,
    /// The application's data of the socket, JSON.
    pub state: Option<String>,
    /// The rooms in which it was.
    pub rooms: Vec<String>,
}

impl SocketEnd {
    /// The end of a socket that was in these rooms.
    pub(crate) fn new(end: EventEnd, rooms: Vec<String>) -> Self {
        let EventEnd { client, sid, fields, state, .. } = end;
        Self { client: client.into(), headers: Headers::default(), sid: sid.into(), fields, state, rooms }
    }
}

/// An answer from outside.
#[derive(Debug)]
pub enum Verdict {
    /// About a connection token, from a connect hook or a refresh.
    Connection(Result<Box<Credentials>, Rejected>),
    /// From a connect hook of sockets.
    Socket(SocketVerdict),
    /// About a subscription token, from a subscribe hook or a sub_refresh.
    Subscription(Result<Box<Grant>, Rejected>),
    /// From a publish hook: data in place of the client's, if any, and whether to leave it out of the history.
    Publish(Result<Replaced, Rejected>),
    /// From a call: the result.
    Rpc(Result<Payload, Rejected>),
    /// From the hook for events of a socket: the result, JSON, which has been read once.
    SocketEvents(Result<String, Rejected>),
}

/// The claim of a client that asks for a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketClaim {
    /// The namespace.
    pub namespace: Box<str>,
    /// The id that the socket will have.
    pub id: Box<str>,
    /// The application's part of the query of the request that opened the connection.
    pub query: Box<str>,
    /// The client's `auth`, JSON; empty for none.
    pub auth: String,
}

/// The answer of a connect hook of sockets.
pub type SocketVerdict = Result<Box<SocketTerms>, SocketRejected>;

/// The identity and terms of a socket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketTerms {
    /// The identity.
    pub credentials: Credentials,
    /// State for later hooks, raw JSON; empty for none.
    pub state: Vec<u8>,
    /// Rooms that the socket enters.
    pub rooms: Vec<String>,
    /// Effects for which the socket is connected, a list in raw JSON that has been read once; empty for none.
    pub effects: String,
}

/// The rejection of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketRejected {
    /// The reason.
    pub rejected: Rejected,
    /// The application's data of the error, raw JSON; empty for none.
    pub data: Vec<u8>,
}

/// Changes of a publication by a publish hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The data to publish in place of the client's.
    pub data: Option<Payload>,
    /// Whether to leave it out of the history.
    pub skip_history: bool,
}

/// A rejection from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The connect hook gave no identity: the client may connect if clients without a token may.
    NoCredentials,
    /// The command fails with this error, and the connection stays.
    Denied(Denied),
    /// The token is expired or not valid yet: another one may be valid. The effect depends on the command.
    TokenExpired,
    /// The token is invalid. The effect depends on the command.
    TokenInvalid,
    /// The connection ends with this code and reason.
    Disconnect {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes are sent.
        reason: String,
    },
}

/// The identity and terms of a connection, from its token or the connect hook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// The user; empty for anonymous.
    pub user: String,
    /// Information for others; empty for none.
    pub info: Payload,
    /// Unix time of the expiry in seconds; 0 for none.
    pub expire_at_s: u64,
    /// Data of the connect reply; empty for none.
    pub data: Payload,
    /// Server-side subscriptions.
    pub channels: Vec<(String, Grant)>,
    /// Capabilities; `None` if none are given.
    pub caps: Option<Arc<[Capability]>>,
    /// Metadata for later hooks, raw JSON; empty for none.
    pub meta: Vec<u8>,
}

/// Permissions of a connection in some channels, in addition to their options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    /// Names or patterns, depending on `matching`.
    pub channels: Vec<String>,
    /// The kind of `channels`.
    pub matching: Matching,
    /// Subscribe.
    pub subscribe: bool,
    /// Publish.
    pub publish: bool,
    /// Presence and presence_stats.
    pub presence: bool,
    /// History.
    pub history: bool,
}

/// The way in which a capability names channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Whole names.
    #[default]
    Exact,
    /// Patterns in which `*` matches any run of characters.
    Wildcard,
}

/// The terms of a subscription, from its token, a hook or the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// The channel in the token; empty if it is not given.
    pub channel: String,
    /// The user in the token; must be the connection's.
    pub user: String,
    /// The client in an older token; empty if it is not given.
    pub client: String,
    /// Information for others in the channel; empty for none.
    pub info: Payload,
    /// Unix time of the expiry in seconds; 0 for none.
    pub expire_at_s: u64,
    /// Data of the subscribe reply; empty for none.
    pub data: Payload,
    /// Changes of the channel's options for this subscription.
    pub overrides: Overrides,
    /// A position to recover from, if the subscriber has none of its own: offset and epoch.
    pub recover_since: Option<(u64, String)>,
}

/// Options in which one subscription differs from its channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Whether it is in the channel's presence.
    pub presence: Option<bool>,
    /// Whether its join and leave are sent.
    pub join_leave: Option<bool>,
    /// Whether it receives joins and leaves of others.
    pub force_push_join_leave: Option<bool>,
    /// Whether it can recover.
    pub force_recovery: Option<bool>,
    /// Whether it receives its position.
    pub force_positioning: Option<bool>,
}

/// Answers no questions: for servers without tokens and hooks, and for tests. Every token is invalid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Outside for Nobody {
    fn verify_now(&self, token: &Token<'_>, _now_unix_s: u64) -> Option<Verdict> {
        Some(match token {
            Token::Connection(_) => Verdict::Connection(Err(Rejected::TokenInvalid)),
            Token::Subscription(_) => Verdict::Subscription(Err(Rejected::TokenInvalid)),
        })
    }

    fn ask(&self, _reply_to: ReplyTo, _question: Question) -> Result<(), Busy> {
        Err(Busy)
    }

    fn tell_states(&self, _states: Vec<StateChange>) {}

    fn has_hook(&self, _hook: Hook) -> bool {
        false
    }
}
