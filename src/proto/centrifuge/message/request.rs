//! Messages from clients. They own their contents, except payloads and names on the hot path, which are borrowed where
//! the encoding permits it.

use std::borrow::Cow;

use crate::proto::centrifuge::filter::Filter;

/// One command: an id and a request.
#[derive(Debug, PartialEq)]
pub struct Command<'a> {
    /// Chosen by the client and repeated in the reply; 0 when no reply is expected.
    pub id: u32,
    /// The request.
    pub request: Request<'a>,
}

/// The request of a command.
#[derive(Debug, PartialEq)]
pub enum Request<'a> {
    /// An empty command: the answer to the server's ping.
    Pong,
    /// Connect: the first command of a connection.
    Connect(Box<Connect>),
    /// Subscribe to a channel.
    Subscribe(Box<Subscribe>),
    /// Unsubscribe from a channel.
    Unsubscribe {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// Publish a message in a channel.
    Publish {
        /// Name of the channel.
        channel: Cow<'a, str>,
        /// The message; `None` when it is missing. JSON `null` is a message, and so are empty bytes in Protobuf,
        /// which are not transmitted at all.
        data: Option<Cow<'a, [u8]>>,
    },
    /// Presence of a channel.
    Presence {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// Member counts of a channel.
    PresenceStats {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// History of a channel.
    History(HistoryRequest<'a>),
    /// The client's own ping.
    Ping,
    /// A message to the server itself, without a reply.
    Send {
        /// The message.
        data: Cow<'a, [u8]>,
    },
    /// A call (RPC).
    Rpc {
        /// Name of the method; may be empty.
        method: Cow<'a, str>,
        /// Its argument.
        data: Cow<'a, [u8]>,
    },
    /// A new token for the connection.
    Refresh {
        /// The token.
        token: String,
    },
    /// A new token for a subscription.
    SubRefresh {
        /// Name of the channel.
        channel: String,
        /// The token.
        token: String,
    },
    /// A command without a known request.
    Unknown,
    /// An unreadable request: a value in it has another type or is not Unicode, or its filter is invalid. The end of
    /// the command is known all the same, so it fails alone.
    Malformed,
}

impl Request<'_> {
    /// Heap bytes beside its own size, when it borrows none.
    pub fn owned_bytes(&self) -> usize {
        match self {
            Self::Pong | Self::Ping | Self::Unknown | Self::Malformed => 0,
            Self::Connect(connect) => {
                let Connect { token, data, name, version, headers, subs } = &**connect;
                let headers: usize = headers
                    .iter()
                    .map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len())
                    .sum();
                let subs: usize = subs.iter().map(Subscribe::owned_bytes).sum();
                size_of::<Connect>() + token.len() + data.len() + name.len() + version.len() + headers + subs
            }
            Self::Subscribe(subscribe) => subscribe.owned_bytes(),
            Self::Unsubscribe { channel } | Self::Presence { channel } | Self::PresenceStats { channel } => {
                channel.len()
            }
            Self::Publish { channel, data } => channel.len() + data.as_ref().map_or(0, |data| data.len()),
            Self::History(HistoryRequest { channel, since, .. }) => {
                channel.len() + since.as_ref().map_or(0, |(_, epoch)| epoch.len())
            }
            Self::Send { data } => data.len(),
            Self::Rpc { method, data } => method.len() + data.len(),
            Self::Refresh { token } => token.len(),
            Self::SubRefresh { channel, token } => channel.len() + token.len(),
        }
    }
}

/// A connect request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect {
    /// Token that identifies the client; empty for none.
    pub token: String,
    /// Data of the application.
    pub data: Vec<u8>,
    /// Name of the client's kind.
    pub name: String,
    /// Version of the client's software.
    pub version: String,
    /// Headers that a browser could not set itself.
    pub headers: Vec<(String, String)>,
    /// Positions of server-side subscriptions to recover from, by channel.
    pub subs: Vec<Subscribe>,
}

/// A subscribe request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe {
    /// Name of the channel.
    pub channel: String,
    /// Token that proves the permission; empty for none.
    pub token: String,
    /// Data of the application.
    pub data: Vec<u8>,
    /// Whether to recover from `offset` and `epoch`.
    pub recover: bool,
    /// The stream of `offset`.
    pub epoch: String,
    /// The client's last publication.
    pub offset: u64,
    /// Whether the client wants the position.
    pub positioned: bool,
    /// Whether it wants recovery.
    pub recoverable: bool,
    /// Whether it wants joins and leaves.
    pub join_leave: bool,
    /// Kind of deltas that the client can apply (`fossil`); empty for none.
    pub delta: String,
    /// Filter of publications, by their tags.
    pub filter: Option<Box<Filter>>,
    /// Bits: see [`FLAG_COMPACTION`] and [`FLAG_UNRECOVERABLE_ERROR`].
    pub flag: i64,
    /// Kind of subscription: 0 of a stream, others of maps and of shared polls, which are not supported.
    pub kind: i32,
}

impl Subscribe {
    /// Bytes of its own size and contents.
    fn owned_bytes(&self) -> usize {
        let Self { channel, token, data, epoch, delta, .. } = self;
        size_of::<Self>() + channel.len() + token.len() + data.len() + epoch.len() + delta.len()
    }
}

/// In [`Subscribe::flag`]: pushes may contain a number in place of the channel's name.
pub const FLAG_COMPACTION: i64 = 1;
/// In [`Subscribe::flag`]: reply with error 112 instead of `recovered: false`.
pub const FLAG_UNRECOVERABLE_ERROR: i64 = 2;

/// A history request.
#[derive(Debug, Default, PartialEq)]
pub struct HistoryRequest<'a> {
    /// Name of the channel.
    pub channel: Cow<'a, str>,
    /// Maximum of publications: negative for the server's maximum, 0 for the position only.
    pub limit: i32,
    /// Only publications after this position (before it, when reversed): offset and epoch.
    pub since: Option<(u64, String)>,
    /// Newest first.
    pub reverse: bool,
}
