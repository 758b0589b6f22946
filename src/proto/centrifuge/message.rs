//! The protocol's messages, independent of the encoding: [`super::json`] and [`super::protobuf`] read and write them.
//!
//! Messages from clients own their contents, except payloads and names on the hot path, which are borrowed where the
//! encoding permits it. Messages to clients are borrowed throughout: they are encoded once, at once. A payload is one
//! JSON value in the JSON encoding and any bytes in Protobuf; an empty one is none.

use std::borrow::Cow;
use std::cell::Cell;

use super::filter::Filter;
use crate::base::payload::PayloadRef;
use crate::base::shared::Shared;

/// The encoding of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// One JSON object per line.
    #[default]
    Json,
    /// Each message preceded by its length as a varint.
    Protobuf,
}

impl Encoding {
    /// Name of the encoding for hooks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }
}

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

/// The result of a command.
#[derive(Clone, Debug)]
pub enum Answer<'a> {
    /// To connect.
    Connect(ConnectResult<'a>),
    /// To subscribe.
    Subscribe(SubscribeResult<'a>),
    /// To unsubscribe.
    Unsubscribe,
    /// To publish.
    Publish,
    /// To presence.
    Presence(&'a [ClientInfo<'a>]),
    /// To presence_stats: clients, and different users among them.
    PresenceStats {
        /// Connections.
        client_count: u32,
        /// Different users.
        user_count: u32,
    },
    /// To history.
    History {
        /// The publications.
        publications: &'a [Publication<'a>],
        /// The stream's position.
        position: (u64, &'a str),
    },
    /// To ping.
    Ping,
    /// To rpc: the result.
    Rpc(PayloadRef<'a>),
    /// To refresh.
    Refresh {
        /// The connection's id.
        client: &'a str,
        /// The server's name and version.
        version: &'a str,
        /// Whether the connection expires.
        expires: bool,
        /// Seconds until then.
        ttl_s: u32,
    },
    /// To sub_refresh.
    SubRefresh {
        /// Whether the subscription expires.
        expires: bool,
        /// Seconds until then.
        ttl_s: u32,
    },
}

impl Answer<'_> {
    /// Passes the payloads apart to `each`, in their order.
    pub fn each_apart(&self, each: impl FnMut(&Apart)) {
        match self {
            Self::Connect(result) => result.each_apart(each),
            Self::Subscribe(result) => apart_of(result.publications).for_each(each),
            Self::History { publications, .. } => apart_of(publications).for_each(each),
            Self::Unsubscribe
            | Self::Publish
            | Self::Presence(_)
            | Self::PresenceStats { .. }
            | Self::Ping
            | Self::Rpc(_)
            | Self::Refresh { .. }
            | Self::SubRefresh { .. } => {}
        }
    }
}

impl Push<'_> {
    /// Passes the payloads apart to `each`, in their order.
    pub fn each_apart(&self, each: impl FnMut(&Apart)) {
        match self {
            Self::Connect(result) => result.each_apart(each),
            Self::Publication(publication) => apart_of(std::slice::from_ref(publication)).for_each(each),
            Self::Join(_)
            | Self::Leave(_)
            | Self::Unsubscribe { .. }
            | Self::Subscribe(_)
            | Self::Message(_)
            | Self::Disconnect { .. }
            | Self::Refresh { .. } => {}
        }
    }
}

impl ConnectResult<'_> {
    fn each_apart(&self, each: impl FnMut(&Apart)) {
        self.subs.iter().flat_map(|(_, sub)| apart_of(sub.publications)).for_each(each);
    }
}

fn apart_of<'a>(publications: &'a [Publication<'a>]) -> impl Iterator<Item = &'a Apart> {
    publications.iter().filter_map(|publication| match publication.data {
        Data::Apart(apart) => Some(apart),
        Data::Json(_) | Data::Text(_) | Data::Binary(_) => None,
    })
}

/// The result of a connect request, in a reply or in the first push of a unidirectional connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's name and version.
    pub version: &'a str,
    /// Whether the connection expires.
    pub expires: bool,
    /// Seconds until then.
    pub ttl_s: u32,
    /// Data of the application.
    pub data: PayloadRef<'a>,
    /// Server-side subscriptions, by channel.
    pub subs: &'a [(&'a str, SubscribeResult<'a>)],
    /// Seconds between the server's pings; 0 without pings.
    pub ping_s: u32,
    /// Whether the client must answer pings.
    pub pong: bool,
    /// Identification of the connection at the emulation endpoint; secret.
    pub session: &'a str,
    /// The node's id.
    pub node: &'a str,
    /// Unix time in milliseconds; 0 omits it.
    pub time_ms: i64,
}

/// The result of a subscribe request.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeResult<'a> {
    /// Whether the subscription expires.
    pub expires: bool,
    /// Seconds until then.
    pub ttl_s: u32,
    /// Whether recovery will be possible.
    pub recoverable: bool,
    /// Whether the client tracks its position.
    pub positioned: bool,
    /// The stream.
    pub epoch: &'a str,
    /// The last publication's offset.
    pub offset: u64,
    /// Whether `publications` are all missed ones.
    pub recovered: bool,
    /// Whether recovery was requested.
    pub was_recovering: bool,
    /// The missed publications.
    pub publications: &'a [Publication<'a>],
    /// Data of the application.
    pub data: PayloadRef<'a>,
    /// Whether publications may come as deltas.
    pub delta: bool,
    /// The channel's number in pushes; 0 for none.
    pub id: i64,
}

/// A payload that is sent without a copy: its bytes are not written, but count in lengths, and their place in the
/// output is noted. It occurs in one place of one message.
#[derive(Clone, Debug)]
pub struct Apart {
    data: Shared,
    at: Cell<usize>,
}

impl Apart {
    /// Makes one of a payload that is not empty. For JSON, of one JSON value on one line.
    pub fn new(data: Shared) -> Self {
        debug_assert!(!data.is_empty(), "an empty payload is written in its own way");
        Self { data, at: Cell::new(0) }
    }

    /// The payload.
    pub fn data(&self) -> &Shared {
        &self.data
    }

    /// Number of bytes before it in the output, before that was framed.
    pub fn at(&self) -> usize {
        self.at.get()
    }

    /// Notes its place at the end of the output so far.
    pub(super) fn leave_out(&self, out: &[u8]) {
        self.at.set(out.len());
    }
}

/// A payload with its classification.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// A payload that is not copied.
    Apart(&'a Apart),
    /// One JSON value, validated.
    Json(&'a [u8]),
    /// Text that may be JSON.
    Text(&'a [u8]),
    /// Any bytes, among them JSON.
    Binary(&'a [u8]),
}

/// A publication for clients.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The message; a delta if `delta` is set.
    pub data: Data<'a>,
    /// The publisher, if it is a client.
    pub info: Option<ClientInfo<'a>>,
    /// Its offset in the stream; 0 for none.
    pub offset: u64,
    /// Names and values.
    pub tags: &'a [(Box<str>, Box<str>)],
    /// Whether `data` is a delta to the previous publication.
    pub delta: bool,
    /// Whether the subscriber accepts deltas: in JSON, data is then a string that contains the JSON.
    pub takes_deltas: bool,
    /// Unix time of the publication in milliseconds; 0 omits it.
    pub time_ms: i64,
    /// The stream's epoch, where it is sent with a publication; empty omits it.
    pub epoch: &'a str,
    /// Its version; 0 omits it.
    pub version: u64,
}

/// A client's identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// The user; empty when anonymous.
    pub user: &'a str,
    /// The connection's id.
    pub client: &'a str,
    /// Info of the connection from its token or hook.
    pub conn_info: PayloadRef<'a>,
    /// Info of the subscription from its token or hook.
    pub chan_info: PayloadRef<'a>,
}

/// The channel of a push.
#[derive(Clone, Copy, Debug)]
pub enum ChannelRef<'a> {
    /// None: the push is about the connection.
    None,
    /// By its name.
    Name(&'a str),
    /// By its number from the subscribe reply.
    Id(i64),
}

/// A message of the server that is no reply.
#[derive(Clone, Copy, Debug)]
pub enum Push<'a> {
    /// A publication.
    Publication(Publication<'a>),
    /// A client subscribed.
    Join(ClientInfo<'a>),
    /// A client unsubscribed.
    Leave(ClientInfo<'a>),
    /// The server ended a subscription.
    Unsubscribe {
        /// 2000–2499: the client does not subscribe again; 2500–2999: it does.
        code: u32,
        /// The reason.
        reason: &'a str,
    },
    /// The server subscribed the client. Of the result, recoverable, positioned, epoch, offset and data are sent.
    Subscribe(SubscribeResult<'a>),
    /// A message to the connection.
    Message(PayloadRef<'a>),
    /// First push of a unidirectional connection.
    Connect(ConnectResult<'a>),
    /// The last message, where there is no close frame.
    Disconnect {
        /// 3000–3499 and 4000–4499: the client reconnects; else it does not.
        code: u16,
        /// The reason.
        reason: &'a str,
        /// Whether `code` tells the client to reconnect.
        reconnect: bool,
    },
    /// The connection's expiry changed.
    Refresh {
        /// Whether it expires.
        expires: bool,
        /// Seconds until then.
        ttl_s: u32,
    },
}
