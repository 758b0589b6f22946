//! The contents of letters.

use std::fmt;
use std::sync::Arc;

use super::{Order, Returning};
use crate::base::budget::Charge;
use crate::base::filter::Filter;
use crate::base::payload::Payload;
use crate::base::slots::Key;
use crate::hub::emission::Emission;
use crate::hub::memory::Brought;
use crate::hub::options::ChannelOptions;
use crate::hub::socket_order::{Gathered, SocketOrder};
use crate::hub::{ClientInfo, Publication, home};
use crate::session::desk::Away;
use crate::session::{LateAnswer, PlainResponse, PollAsk, UpgradeAsk};
use crate::shard::Renewal;
use crate::shard::carry::layers::Layers;
use crate::shard::desk::Receipt;
use crate::shard::outside::Verdict;
use crate::tls::Identity;

/// Address of an answer: a connection's shard, its key, and the session's number of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// Number of the shard.
    pub shard: u16,
    /// Weight of this answer, which may be large, for the connection's other commands; 0 for none. It travels with
    /// the answer, since clients may give several commands one number.
    pub weight: u8,
    /// The connection in that shard.
    pub conn: Key,
    /// The session's number of the request.
    pub request: u32,
}

/// The receiver of a home's answer.
pub enum Asker {
    /// A connection.
    Conn(ReplyTo),
    /// A caller outside the shards. Called in the home's thread, so it must not block. It owns the place for the
    /// answer, and its drop means that there is none: a table of waiting callers would need a lock that shards take.
    Outside(OutsideReply),
}

/// Receives an answer for a caller outside the shards.
pub type OutsideReply = Box<dyn FnOnce(home::Answer) + Send>;

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conn(reply_to) => write!(f, "Conn({reply_to:?})"),
            Self::Outside(_) => f.write_str("Outside"),
        }
    }
}

/// The data about a subscription that a shard needs with the home's answer. Letters carry it there and back, so that
/// it is not stored in a connection that may be gone by then.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each was asked for or granted by itself")]
pub struct Ticket {
    /// The cause of the subscription.
    pub cause: Cause,
    /// Whether recovery is possible.
    pub recoverable: bool,
    /// Whether the subscriber receives its position.
    pub positioned: bool,
    /// Whether it requested recovery.
    pub was_recovering: bool,
    /// Whether it must not start without the missed publications.
    pub needs_recovery: bool,
    /// Whether it receives joins and leaves.
    pub hears_joins: bool,
    /// Whether it accepts deltas.
    pub takes_deltas: bool,
    /// Whether it accepts channel numbers.
    pub takes_numbers: bool,
    /// Filter for its publications.
    pub filter: Option<Box<Filter>>,
    /// Information for others in this channel, if it differs.
    pub info: Option<Arc<ClientInfo>>,
    /// Unix time of its expiry in seconds; 0 for none.
    pub expire_at_s: u64,
    /// Whether the application, not the client, is asked to renew it.
    pub refreshes_by_hook: bool,
    /// Data of the reply.
    pub data: Payload,
    /// Whether it replaces an active subscription: [`home::Joining::renews`].
    pub renews: bool,
}

/// The cause of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// A command of the client.
    #[default]
    Command,
    /// The connect command: its requests, or the terms of the connection.
    Connect,
    /// The connection token.
    Token,
    /// The server API.
    Order,
}

/// A query about a whole shard. Its cost is proportional to the content of the shard: for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The channels whose home is this shard, answered by [`home::Answer::Channels`].
    Channels {
        /// Pattern of names: `*` matches any run of characters; empty for all.
        pattern: String,
    },
    /// The users of this shard's connections, answered by [`home::Answer::Users`].
    Users,
}

/// A connection on its way to the shard of a session, whose polls it is to replace.
#[derive(Debug)]
pub struct Moved {
    /// The ticket of its socket.
    pub(in crate::shard) ticket: u64,
    pub(in crate::shard) layers: Option<Box<Layers>>,
    /// The request that waits, with the input behind it.
    pub(in crate::shard) away: Box<Away>,
    pub(in crate::shard) ask: Box<UpgradeAsk>,
}

/// A message between shards.
pub enum Letter {
    /// From the control plane: the TLS configuration for later handshakes.
    Tls(Arc<rustls::ServerConfig>),
    /// From the control plane: new options for all shards.
    Renew(Arc<Renewal>),
    /// To a home: count a subscriber; answered by [`Letter::Subscribed`].
    Subscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// Options of the channel.
        options: Arc<ChannelOptions>,
        /// Address of the answer.
        reply_to: ReplyTo,
        /// The data about the subscriber for the home.
        joining: Box<home::Joining>,
        /// Returned with the answer.
        ticket: Option<Box<Ticket>>,
    },
    /// From a home: every publication after this letter in the mailbox is for the subscriber.
    Subscribed {
        /// Name of the channel.
        channel: Arc<str>,
        /// The subscriber.
        reply_to: ReplyTo,
        /// The home's result, with the missed publications.
        outcome: Result<Box<home::Joined>, home::Refused>,
        /// As it was sent.
        ticket: Option<Box<Ticket>>,
    },
    /// To a home: remove a subscriber.
    Unsubscribe {
        /// Name of the channel.
        channel: Arc<str>,
        /// The subscriber.
        member: home::Member,
    },
    /// To a home: the information about a subscriber has changed, for those that see it.
    Inform {
        /// Name of the channel.
        channel: Arc<str>,
        /// The subscriber.
        member: home::Member,
        /// The new information.
        info: Arc<ClientInfo>,
        /// Whether the part about the subscription stays.
        keeps_chan_info: bool,
    },
    /// To a home: number this and send it to all subscribers; answered by [`Letter::Answered`] if requested.
    Publish {
        /// The publication.
        publication: Box<Publication>,
        /// Options of the channel.
        options: Arc<ChannelOptions>,
        /// Options of the publication.
        terms: home::Terms,
        /// The connection that publishes; `None` for the server.
        from: Option<home::Member>,
        /// The receiver of the answer, if one is requested.
        asker: Option<Asker>,
    },
    /// To a home: answer a question.
    Ask {
        /// Name of the channel.
        channel: Arc<str>,
        /// Options of the channel.
        options: Arc<ChannelOptions>,
        /// The question.
        question: home::Question,
        /// The receiver of the answer.
        asker: Asker,
    },
    /// To a home, from its memory: an answer.
    Memory {
        /// The number that the home gave to the request.
        number: u64,
        /// The answer.
        answer: Box<Result<Brought, home::Refused>>,
    },
    /// To a home whose memory may answer later: a connection is gone, and no longer waits.
    Gone(home::Member),
    /// From a home: the answer to a publication or a question.
    Answered {
        /// The caller.
        reply_to: ReplyTo,
        /// The answer.
        answer: Box<home::Answer>,
    },
    /// To a home: number this and send it to the subscribers of all its channels.
    Emit {
        /// The message.
        emission: Box<Emission>,
        /// The receiver of the answer, once it has been sent on, if one is requested.
        asker: Option<Asker>,
    },
    /// To a home: give this order to the sockets of its namespace its place, and gather what comes of it.
    OrderSockets {
        /// The order.
        order: Box<SocketOrder>,
        /// The receiver of the answer, if one is requested.
        asker: Option<Asker>,
    },
    /// From a home: carry this out for the sockets in this shard; answered by [`Letter::Gathered`].
    SocketsOrdered {
        /// The order.
        order: Arc<SocketOrder>,
        /// The home's shard, and its number of the order.
        home: (u16, u32),
    },
    /// To a home: what came of an order in one shard.
    Gathered {
        /// The home's number of the order.
        number: u32,
        /// This shard's part.
        part: Box<Gathered>,
    },
    /// From a home: deliver this to the subscribers of its channels in this shard.
    Emitted(Arc<Emission>),
    /// About a socket whose client returns to it.
    Returning(Returning),
    /// From a home: deliver this to the subscribers in this shard.
    Deliver(Arc<Publication>),
    /// From a home: send joins and leaves to the subscribers in this shard.
    Membership(Arc<home::Membership>),
    /// From outside: answer a query.
    Look {
        /// The query.
        what: Look,
        /// The receiver of the answer.
        asker: Asker,
    },
    /// From outside: carry this out for its target connections.
    Order(Arc<Order>),
    /// From outside: the answer to a question of the shard.
    Verdict {
        /// The connection and the question.
        reply_to: ReplyTo,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// From the shard that a client's request reached: commands for a connection that cannot send any itself.
    Emulated {
        /// The connection.
        conn: Key,
        /// Encoded commands.
        data: Vec<u8>,
    },
    /// From the desk: the answer to a request; `None` if its session makes the answer.
    Served {
        /// As it was handed over.
        receipt: Receipt,
        /// The answer.
        response: Option<Box<PlainResponse>>,
    },
    /// To the shard itself: the private channels of one of its connections, which has asked.
    Rooms {
        /// The connection, and its question.
        reply_to: ReplyTo,
        /// The channels.
        channels: Vec<Arc<str>>,
    },
    /// From the connection of a poll: a request for a session without a socket, answered by [`Letter::Served`].
    Poll {
        /// The connection of the request.
        receipt: Receipt,
        /// The session.
        session: Key,
        /// The purpose of the request.
        ask: PollAsk,
        /// The identity in the certificate of the request's client.
        identity: Option<Arc<Identity>>,
        /// For the bytes of its body.
        charge: Charge,
    },
    /// From a session without a socket: its output, which answers a poll.
    Fetched {
        /// As in the request.
        receipt: Receipt,
        /// The answer.
        response: Box<PlainResponse>,
        /// For the bytes of its body.
        charge: Charge,
    },
    /// To the shard itself: this connection is to replace the polls of a session.
    Upgrade {
        /// The connection.
        conn: Key,
        /// Its request.
        ask: Box<UpgradeAsk>,
    },
    /// From the shard that a WebSocket request reached: its connection is handed over.
    Moved(Box<Moved>),
    /// To the shard itself: a WebSocket replaces the polls of its session, or the session has ended.
    Settle {
        /// The WebSocket.
        probe: Key,
    },
    /// From any thread: a late answer of the server's own code about a client.
    Late(Box<LateAnswer>),
    /// To a user's home: count a new connection of the user; answered by [`Letter::UserCounted`].
    UserCame {
        /// The user.
        user: Arc<str>,
        /// Address of the answer.
        reply_to: ReplyTo,
    },
    /// From a user's home: whether the user may have this connection, which is then counted.
    UserCounted {
        /// The user.
        user: Arc<str>,
        /// The connection.
        reply_to: ReplyTo,
        /// Whether it is admitted.
        is_admitted: bool,
    },
    /// To a user's home: a counted connection is gone.
    UserLeft {
        /// The user.
        user: Arc<str>,
        /// The connection.
        member: home::Member,
    },
    /// From a user's home: the user has a newer connection, and may have one only.
    Displaced {
        /// The older connection.
        conn: Key,
    },
    /// From the control thread: stop listening, close all connections over `drain_ms`, then end.
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
            Self::Emit { .. } => "Emit",
            Self::OrderSockets { .. } => "OrderSockets",
            Self::SocketsOrdered { .. } => "SocketsOrdered",
            Self::Gathered { .. } => "Gathered",
            Self::Emitted(_) => "Emitted",
            Self::Returning(_) => "Returning",
            Self::Deliver(_) => "Deliver",
            Self::Membership(_) => "Membership",
            Self::Look { .. } => "Look",
            Self::Order(_) => "Order",
            Self::Verdict { .. } => "Verdict",
            Self::Emulated { .. } => "Emulated",
            Self::Served { .. } => "Served",
            Self::Rooms { .. } => "Rooms",
            Self::Poll { .. } => "Poll",
            Self::Fetched { .. } => "Fetched",
            Self::Upgrade { .. } => "Upgrade",
            Self::Moved(_) => "Moved",
            Self::Settle { .. } => "Settle",
            Self::Late(_) => "Late",
            Self::UserCame { .. } => "UserCame",
            Self::UserCounted { .. } => "UserCounted",
            Self::UserLeft { .. } => "UserLeft",
            Self::Displaced { .. } => "Displaced",
            Self::Drain => "Drain",
        })
    }
}
