//! What a shard asks of the world outside the data plane: tokens that are slow to verify, and the application's hooks.
//!
//! A shard never waits. It asks, and the answer comes as a letter, [`super::mailbox::Letter::Verdict`], whenever it is there; the
//! connection may be gone by then.

use std::fmt::Debug;
use std::sync::Arc;

use super::mailbox::ReplyTo;
use crate::base::payload::Payload;
use crate::hub::home::StateChange;
use crate::hub::words::Denied;
use crate::tls::Identity;

/// Answers what shards ask. One per process; called in the shards' threads, so it must not block.
pub trait Outside: Debug + Send + Sync {
    /// Verifies at once what is cheap to verify (a few microseconds: an HMAC); `None` when it is not.
    fn verify_now(&self, token: &Token<'_>, now_unix_s: u64) -> Option<Verdict>;

    /// Takes a question; its answer comes as a letter.
    ///
    /// # Errors
    /// When too many questions wait. The question is not taken, and no answer will come.
    fn ask(&self, reply_to: ReplyTo, question: Question) -> Result<(), Busy>;

    /// Tells the application which channels have got their first subscriber, and which have lost their last, in that order. What
    /// cannot be kept for it is counted.
    fn tell_states(&self, states: Vec<StateChange>);

    /// Whether the application wants to be asked about this, in place of what the configuration says.
    fn has_hook(&self, hook: Hook) -> bool;

    /// Who answers calls of this method.
    fn route_call(&self, _method: &str) -> CallRoute {
        if self.has_hook(Hook::Rpc) { CallRoute::Hook } else { CallRoute::NotAvailable }
    }
}

/// Who answers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRoute {
    /// The application's hook.
    Hook,
    /// The server, with an empty result.
    Ping,
    /// Nobody: the namespace of the method has no hook, or there are no calls at all (error 108).
    NotAvailable,
    /// Nobody: there is no such namespace, or none but the server's own method (error 104).
    NotFound,
}

/// Too many questions wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// What the application can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Connections without a token.
    Connect,
    /// Connections about to expire.
    Refresh,
    /// Calls.
    Rpc,
    /// Subscriptions, in namespaces that say so.
    Subscribe,
    /// Publications, in namespaces that say so.
    Publish,
    /// Subscriptions about to expire.
    SubRefresh,
}

/// A token to verify.
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// Of a connection.
    Connection(&'a str),
    /// Of a subscription.
    Subscription(&'a str),
}

/// Who asks, as the application's hooks are told.
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
    /// Headers that hooks want.
    pub headers: Headers,
    /// What connect hooks said to remember, raw JSON; empty for nothing.
    pub meta: Vec<u8>,
    /// Whom its verified certificate names. Only for connect.
    pub certificate: Option<Arc<Identity>>,
}

/// Headers in which hooks are told the client's address, in lower case: as it is known here, whatever anyone says.
pub const ADDRESS_HEADERS: [&str; 3] = ["x-forwarded-for", "x-real-ip", "forwarded"];

/// Headers for hooks, by who said them: names in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Of the HTTP request that opened the connection; a proxy may have written them.
    pub request: Vec<(String, String)>,
    /// Of the connect command: the client's own word, each name once.
    pub emulated: Vec<(String, String)>,
}

/// What is asked.
#[derive(Debug)]
pub enum Question {
    /// To verify a connection's token.
    ConnectionToken(String),
    /// To verify a subscription's token.
    SubscriptionToken(String),
    /// The connect hook.
    Connect {
        /// Who asks; without a user yet.
        who: Who,
        /// As in the connect command.
        name: String,
        /// As in the connect command.
        version: String,
        /// As in the connect command.
        data: Vec<u8>,
        /// Channels that it wants to recover.
        channels: Vec<String>,
    },
    /// The refresh hook.
    Refresh {
        /// Who asks.
        who: Who,
    },
    /// The subscribe hook.
    Subscribe {
        /// Who asks.
        who: Who,
        /// Name of the channel.
        channel: String,
        /// As in the subscribe command.
        data: Vec<u8>,
    },
    /// The publish hook.
    Publish {
        /// Who asks.
        who: Who,
        /// Name of the channel.
        channel: String,
        /// The message.
        data: Vec<u8>,
    },
    /// The rpc hook.
    Rpc {
        /// Who asks.
        who: Who,
        /// Name of the method.
        method: String,
        /// Its argument.
        data: Vec<u8>,
    },
    /// The sub_refresh hook.
    SubRefresh {
        /// Who asks.
        who: Who,
        /// Name of the channel.
        channel: String,
    },
}

/// An answer from outside.
#[derive(Debug)]
pub enum Verdict {
    /// To a connection's token, a connect hook or a refresh.
    Connection(Result<Box<Credentials>, Rejected>),
    /// To a subscription's token, a subscribe hook or a sub_refresh.
    Subscription(Result<Box<Grant>, Rejected>),
    /// To a publish hook: what to publish in place of the client's data, if anything, and whether not to keep it in history.
    Publish(Result<Replaced, Rejected>),
    /// To a call: the result.
    Rpc(Result<Payload, Rejected>),
}

/// What a publish hook may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The message to publish in place of the client's.
    pub data: Option<Payload>,
    /// Keep it out of the history.
    pub skip_history: bool,
}

/// A no from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The connect hook says nothing of who the client is: it may come as who may come without a token.
    NoCredentials,
    /// What is asked fails, and the connection lives on.
    Denied(Denied),
    /// The token was good once, or will be: another one may do. What that comes to depends on the command.
    TokenExpired,
    /// It is no token of ours. What that comes to depends on the command.
    TokenInvalid,
    /// The connection ends with this code and reason.
    Disconnect {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes are sent.
        reason: String,
    },
}

/// Who a connection is, as its token or the connect hook says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// The user; empty for anonymous.
    pub user: String,
    /// What others see of it; empty for nothing.
    pub info: Payload,
    /// Unix time of the end, in seconds; 0 for none.
    pub expire_at_s: u64,
    /// For the connect reply; empty for nothing.
    pub data: Payload,
    /// Server-side subscriptions.
    pub channels: Vec<(String, Grant)>,
    /// Capabilities; `None` when none are told.
    pub caps: Option<Arc<[Capability]>>,
    /// Raw JSON for later hooks; empty for none.
    pub meta: Vec<u8>,
}

/// What a connection may do in some channels, whatever their options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    /// Names, or patterns, as `matching` says.
    pub channels: Vec<String>,
    /// How `channels` are read.
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

/// How a capability names channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// By their whole names.
    #[default]
    Exact,
    /// `*` stands for any run of characters.
    Wildcard,
}

/// What a subscription's token, a hook or the server says of a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// The channel, as the token names it; empty when it is not told.
    pub channel: String,
    /// The user, as the token names it; must be the connection's.
    pub user: String,
    /// The client, as older tokens name it; empty when it is not told.
    pub client: String,
    /// What others in the channel see; empty for nothing.
    pub info: Payload,
    /// Unix time of the end, in seconds; 0 for none.
    pub expire_at_s: u64,
    /// For the subscribe reply; empty for nothing.
    pub data: Payload,
    /// What it changes in the channel's options, for this subscription.
    pub overrides: Overrides,
    /// A position to recover from, if the subscriber has none of its own: offset and epoch.
    pub recover_since: Option<(u64, String)>,
}

/// Options of the channel that one subscription has otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Whether it counts in the channel's presence.
    pub presence: Option<bool>,
    /// Whether its coming and going is told.
    pub join_leave: Option<bool>,
    /// Whether it is told of others' coming and going.
    pub force_push_join_leave: Option<bool>,
    /// Whether it can recover.
    pub force_recovery: Option<bool>,
    /// Whether it knows its position.
    pub force_positioning: Option<bool>,
}

/// Answers nothing: for servers without tokens and hooks, and for tests. Every token is invalid.
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
