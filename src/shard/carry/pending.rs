//! Commands of a client that wait for an answer: the connect command, and those with a question outside.

use std::sync::Arc;

use crate::base::heap;
use crate::base::payload::Payload;
use crate::hub::DataKind;
use crate::hub::local::ChannelId;
use crate::hub::options::ChannelOptions;
use crate::hub::words::{Enter, Identify};
use crate::shard::mailbox::{Cause, Order, Ticket};
use crate::shard::outside::Grant;

/// Source of a client's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Witness {
    /// None: the client is anonymous.
    Nobody,
    /// The connection token.
    Token,
    /// The client certificate.
    Certificate,
    /// A request header in which a proxy names the user.
    Header,
    /// The application's connect hook.
    Hook,
}

/// A connect command without an answer yet.
#[derive(Debug)]
pub(in crate::shard) struct Connecting {
    /// Number of the command.
    pub(in crate::shard) id: u32,
    /// Source of the identity.
    pub(in crate::shard) witness: Witness,
    /// The command.
    pub(in crate::shard) ask: Identify,
    /// User named by a proxy, used if the connect hook names none; empty for none.
    pub(in crate::shard) header_user: String,
    /// Number of outbox segments that go before the reply: the answer to the handshake.
    pub(in crate::shard) queued_before: usize,
    /// Number of server-side subscriptions without an answer from their homes.
    pub(in crate::shard) waiting_count: usize,
    /// Server-side subscriptions with an answer.
    pub(in crate::shard) joined: Vec<JoinedAtConnect>,
    /// Data of the reply.
    pub(in crate::shard) data: Payload,
    /// Subscriptions that begin after its user is counted.
    pub(in crate::shard) firsts: Vec<First>,
    /// Orders for its user, once that is known: carried out after the reply.
    pub(in crate::shard) orders: Option<Vec<Arc<Order>>>,
}

/// A subscription that comes with the connection, before its home is asked.
#[derive(Debug)]
pub(in crate::shard) struct First {
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) options: Arc<ChannelOptions>,
    pub(in crate::shard) grant: Grant,
    pub(in crate::shard) cause: Cause,
}

/// A server-side subscription that the connect reply contains.
#[derive(Debug)]
pub(in crate::shard) struct JoinedAtConnect {
    pub(in crate::shard) channel: Arc<str>,
    pub(in crate::shard) joined: Box<crate::hub::home::Joined>,
    pub(in crate::shard) ticket: Box<Ticket>,
}

/// A command or renewal with a question outside.
#[derive(Debug)]
pub(in crate::shard) enum Pending {
    /// A subscription: a token or a hook decides.
    Subscribe { id: u32, ask: Box<Enter> },
    /// A subscription that is allowed, while the home has not answered about an order to subscribe to the channel.
    Granted { id: u32, ask: Box<Enter>, grant: Box<Grant> },
    /// A subscription that is allowed, and changes one that an order began: the home has not answered.
    Renewing { id: u32, channel: Arc<str> },
    /// A publication: a hook decides.
    Publish { id: u32, channel: Arc<str>, kind: DataKind, data: Vec<u8> },
    /// Renewal of a subscription by the application, without the client.
    HookRefresh { channel: ChannelId },
    /// Renewal of a subscription by the client. `is_over`: the subscription has ended; a later one to the channel is
    /// another.
    SubRefresh { id: u32, channel: Arc<str>, is_over: bool },
    /// Renewal of the connection by a new token. `is_overtaken`: an order has set the expiry since.
    Refresh { id: u32, is_overtaken: bool },
    /// A call.
    Call { id: u32 },
    /// A subscription that was answered in another way: the verdict is ignored, but the question still counts.
    Answered,
}

impl Pending {
    /// The client's number of the command; 0 for a question of the server.
    pub(in crate::shard) fn id(&self) -> u32 {
        match self {
            Self::Subscribe { id, .. }
            | Self::Granted { id, .. }
            | Self::Renewing { id, .. }
            | Self::Publish { id, .. }
            | Self::SubRefresh { id, .. }
            | Self::Refresh { id, .. }
            | Self::Call { id } => *id,
            Self::HookRefresh { .. } | Self::Answered => 0,
        }
    }

    /// Whether this is a new subscription to this channel.
    pub(in crate::shard) fn subscribes_to(&self, channel: &str) -> bool {
        match self {
            Self::Subscribe { ask, .. } | Self::Granted { ask, .. } => *ask.channel == *channel,
            Self::Renewing { channel: of, .. } => **of == *channel,
            Self::Publish { .. }
            | Self::HookRefresh { .. }
            | Self::SubRefresh { .. }
            | Self::Refresh { .. }
            | Self::Call { .. }
            | Self::Answered => false,
        }
    }

    /// Its cost beyond its place. The question outside is a copy of it, and ends with it.
    pub(in crate::shard) fn bytes(&self) -> usize {
        2 * match self {
            Self::Subscribe { ask, .. } => heap::piece(size_of::<Enter>()) + ask.bytes(),
            Self::Granted { ask, grant, .. } => {
                let granted = grant.data.held_bytes() + grant.info.held_bytes();
                heap::piece(size_of::<Enter>()) + ask.bytes() + heap::piece(size_of::<Grant>()) + granted
            }
            Self::Renewing { channel, .. } => heap::arc(channel.len()),
            Self::Publish { channel, data, .. } => heap::arc(channel.len()) + heap::piece(data.len()),
            Self::SubRefresh { channel, .. } => heap::arc(channel.len()),
            Self::HookRefresh { .. } | Self::Refresh { .. } | Self::Call { .. } | Self::Answered => 0,
        }
    }
}

/// Numbers for questions outside, so that each answer finds its question. Commands cannot serve as keys: clients
/// choose their numbers, and may use one twice.
#[derive(Debug, Default)]
pub(in crate::shard) struct Questions(u32);

impl Questions {
    /// A number that no open question has, and not 0: numbers repeat after four thousand million.
    pub(in crate::shard) fn next(&mut self) -> u32 {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        self.0
    }
}

impl Connecting {
    /// The cost, with the box. Homes' answers are sent with the reply, in the same turn or the next.
    pub(super) fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>())
            + self.ask.bytes()
            + heap::list::<JoinedAtConnect>(self.joined.capacity())
            + heap::piece(self.data.held_bytes())
            + heap::list::<First>(self.firsts.capacity())
    }
}
