//! What a letter says.

use std::fmt;
use std::sync::Arc;

use super::Order;
use crate::base::filter::Filter;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::memory::Brought;
use crate::hub::options::ChannelOptions;
use crate::hub::{ClientInfo, Publication, home};
use crate::session::PlainResponse;
use crate::shard::Renewal;
use crate::shard::desk::Receipt;
use crate::shard::outside::Verdict;

/// Where an answer goes: a connection's shard, its key, and the session's number for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Number of the shard.
    pub shard: u16,
    /// How much others of the connection's commands wait for this answer, which may be large; 0 for not at all. It goes by the
    /// answer, since clients may give several commands one number.
    pub weight: u8,
    /// The connection there.
    pub conn: Key,
    /// The session's number.
    pub request: u32,
}

/// Who waits for a home's answer.
pub enum Asker {
    /// A connection.
    Conn(ReplyTo),
    /// Someone outside the shards. Called in the home's thread, so it must not block. It holds the place for the answer itself,
    /// and its drop tells that there is none: a number in a table of those who wait would need a lock that shards take.
    Outside(OutsideReply),
}

/// Takes an answer for someone outside the shards.
pub type OutsideReply = Box<dyn FnOnce(home::Answer) + Send>;

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conn(reply_to) => write!(f, "Conn({reply_to:?})"),
            Self::Outside(_) => f.write_str("Outside"),
        }
    }
}

/// What a shard has to remember of a subscription until the home answers. The letters carry it there and back, so that
/// nothing of it is kept in a connection that may be gone by then.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each was asked for or granted by itself")]
pub struct Ticket {
    /// Who asked for it.
    pub cause: Cause,
    /// Whether the subscriber can recover.
    pub recoverable: bool,
    /// Whether it is told the position.
    pub positioned: bool,
    /// Whether it asked to recover now.
    pub was_recovering: bool,
    /// Whether it is not to be without what was missed.
    pub needs_recovery: bool,
    /// Whether it is told who comes and goes.
    pub hears_joins: bool,
    /// Whether it takes deltas.
    pub takes_deltas: bool,
    /// Whether it takes channels by number.
    pub takes_numbers: bool,
    /// Which publications it wants.
    pub filter: Option<Box<Filter>>,
    /// Who it is in this channel, where that differs.
    pub info: Option<Arc<ClientInfo>>,
    /// Unix time of its end in seconds; 0 for none.
    pub expire_at_s: u64,
    /// The application is asked before it ends, not the client.
    pub refreshes_by_hook: bool,
    /// For the reply.
    pub data: Payload,
    /// It is in place of a subscription that there is: [`home::Joining::renews`].
    pub renews: bool,
}

/// Who asked for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The client, by a command.
    #[default]
    Command,
    /// What was said of the client when it connected, or what it asked for then.
    Connect,
    /// The token with which it connected.
    Token,
    /// The server's API.
    Order,
}

/// What someone wants to see of a shard as a whole. Each takes time in proportion to what the shard holds: it is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The channels whose home it is, answered by [`home::Answer::Channels`].
    Channels {
        /// `*` stands for any run of characters; empty for all.
        pattern: String,
    },
}

/// A message between shards.
pub enum Letter {
    /// From the control plane: handshakes from here on go by this.
    Tls(Arc<rustls::ServerConfig>),
    /// From the control plane: what all shards go by from here on.
    Renew(Arc<Renewal>),
    /// To a home: count one more subscriber; answered by [`Letter::Subscribed`].
    Subscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// Who asks.
        reply_to: ReplyTo,
        /// What the home has to know of the subscriber.
        joining: Box<home::Joining>,
        /// Comes back with the answer.
        ticket: Option<Box<Ticket>>,
    },
    /// From a home: every publication after this one in the mailbox is for the subscriber.
    Subscribed {
        /// Name of the channel.
        channel: Arc<str>,
        /// Who asked.
        reply_to: ReplyTo,
        /// Whether the home took the subscriber, and what it has for it.
        outcome: Result<Box<home::Joined>, home::Refused>,
        /// As it was sent.
        ticket: Option<Box<Ticket>>,
    },
    /// To a home: count one subscriber less.
    Unsubscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// Who it was.
        member: home::Member,
    },
    /// To a home: one of the subscribers is somebody else to others, if they see it.
    Inform {
        /// Name of the channel.
        channel: Arc<str>,
        /// Which it is.
        member: home::Member,
        /// Who it is from now on.
        info: Arc<ClientInfo>,
        /// But for what is said of its subscription.
        keeps_chan_info: bool,
    },
    /// To a home: number this and send it to all subscribers; answered by [`Letter::Answered`] if wanted.
    Publish {
        /// What to publish.
        publication: Box<Publication>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// What else the publisher wishes.
        terms: home::Terms,
        /// Which connection publishes; none when the server does.
        from: Option<home::Member>,
        /// Who asks, if an answer is wanted.
        asker: Option<Asker>,
    },
    /// To a home: answer this.
    Ask {
        /// Name of the channel.
        channel: Arc<str>,
        /// What the channel is like.
        options: Arc<ChannelOptions>,
        /// What to answer.
        question: home::Question,
        /// Who asks.
        asker: Asker,
    },
    /// To a home, from its memory: the answer to what it gave a number to.
    Memory {
        /// The number.
        number: u64,
        /// The answer.
        answer: Box<Result<Brought, home::Refused>>,
    },
    /// To a home whose memory may answer later: a connection is gone, and waits for nothing any more.
    Gone(home::Member),
    /// From a home: the answer to a publication or a question.
    Answered {
        /// Who asked.
        reply_to: ReplyTo,
        /// The answer.
        answer: Box<home::Answer>,
    },
    /// From a home: hand this to the subscribers in your shard.
    Deliver(Arc<Publication>),
    /// From a home: tell the subscribers in your shard who came and went.
    Membership(Arc<home::Membership>),
    /// From outside: tell what there is.
    Look {
        /// Of what.
        what: Look,
        /// Who asks.
        asker: Asker,
    },
    /// From outside: do this to the connections that are meant.
    Order(Arc<Order>),
    /// From outside: the answer to what the shard asked there.
    Verdict {
        /// Who asked.
        reply_to: ReplyTo,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// From whichever shard a client's request reached: commands for a connection that cannot send any itself.
    Emulated {
        /// The connection.
        conn: Key,
        /// Encoded commands.
        data: Vec<u8>,
    },
    /// From the desk: the answer to a request; `None` where its session knows it.
    Served {
        /// As it was handed over.
        receipt: Receipt,
        /// The answer.
        response: Option<Box<PlainResponse>>,
    },
    /// To a user's home: one more connection of the user wants to be let in; answered by [`Letter::UserCounted`].
    UserCame {
        /// The user.
        user: Arc<str>,
        /// Who asks.
        reply_to: ReplyTo,
    },
    /// From a user's home: whether the user may have this connection. It is counted if so.
    UserCounted {
        /// The user.
        user: Arc<str>,
        /// Who asked.
        reply_to: ReplyTo,
        /// Whether it may.
        is_admitted: bool,
    },
    /// To a user's home: a connection that was counted is gone.
    UserLeft {
        /// The user.
        user: Arc<str>,
        /// Which it was.
        member: home::Member,
    },
    /// From a user's home: the user has a newer connection, and may have one.
    Displaced {
        /// The older one.
        conn: Key,
    },
    /// From the control thread: stop listening, close everyone over `drain_ms`, then end.
    Drain,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Renew(_) => "Renew",
            Self::Subscribe { .. } => "Subscribe",
            Self::Subscribed { .. } => "Subscribed",
            Self::Unsubscribe { .. } => "Unsubscribe",
            Self::Inform { .. } => "Inform",
            Self::Publish { .. } => "Publish",
            Self::Ask { .. } => "Ask",
            Self::Memory { .. } => "Memory",
            Self::Gone(_) => "Gone",
            Self::Answered { .. } => "Answered",
            Self::Deliver(_) => "Deliver",
            Self::Membership(_) => "Membership",
            Self::Look { .. } => "Look",
            Self::Order(_) => "Order",
            Self::Verdict { .. } => "Verdict",
            Self::Emulated { .. } => "Emulated",
            Self::Served { .. } => "Served",
            Self::UserCame { .. } => "UserCame",
            Self::UserCounted { .. } => "UserCounted",
            Self::UserLeft { .. } => "UserLeft",
            Self::Displaced { .. } => "Displaced",
            Self::Drain => "Drain",
        })
    }
}
