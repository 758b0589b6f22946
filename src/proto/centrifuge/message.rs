//! The protocol's messages, apart from how they are written: [`super::json`] and [`super::protobuf`] read and write them.
//!
//! What clients send owns what it holds, but for payloads and names on the hot path, which are borrowed where the
//! encoding allows it. What clients get is borrowed throughout: it is written once, at once. A payload is the bytes of
//! one JSON value in the JSON encoding and any bytes in Protobuf; an empty one is none.

use std::borrow::Cow;
use std::cell::Cell;

use super::filter::Filter;
use crate::base::payload::PayloadRef;
use crate::base::shared::Shared;

/// How messages are written.
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
    /// The name that hooks are told.
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
    /// Chosen by the client and repeated in the reply; 0 when none is expected.
    pub id: u32,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a command asks for.
#[derive(Debug, PartialEq)]
pub enum Request<'a> {
    /// An empty command: the answer to the server's ping.
    Pong,
    /// First command of a connection.
    Connect(Box<Connect>),
    /// Asks for the publications of a channel.
    Subscribe(Box<Subscribe>),
    /// Ends a subscription.
    Unsubscribe {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// Puts a message into a channel.
    Publish {
        /// Name of the channel.
        channel: Cow<'a, str>,
        /// The message; `None` when it is missing. JSON `null` is a message, and in Protobuf, where empty bytes are not sent at
        /// all, so is nothing.
        data: Option<Cow<'a, [u8]>>,
    },
    /// Who is in a channel.
    Presence {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// How many are in a channel.
    PresenceStats {
        /// Name of the channel.
        channel: Cow<'a, str>,
    },
    /// What was published in a channel.
    History(HistoryRequest<'a>),
    /// The client's own ping.
    Ping,
    /// A message to the server itself, without a reply.
    Send {
        /// The message.
        data: Cow<'a, [u8]>,
    },
    /// A call of the server's.
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
    /// An id without any request that the protocol knows.
    Unknown,
    /// A request that cannot be read: a value in it is of another type or no text, or its filter is none. Where the
    /// command ends is known all the same, so it fails alone.
    Malformed,
}

impl Request<'_> {
    /// Bytes that it holds beside its own size, when it borrows none.
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

/// First command of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect {
    /// Who the client is; empty for none.
    pub token: String,
    /// Whatever the application wants to say.
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

/// Asks for the publications of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe {
    /// Name of the channel.
    pub channel: String,
    /// That the client may; empty for none.
    pub token: String,
    /// Whatever the application wants to say.
    pub data: Vec<u8>,
    /// Whether to send what came after `offset` and `epoch`.
    pub recover: bool,
    /// The stream that `offset` is in.
    pub epoch: String,
    /// The last publication that the client has.
    pub offset: u64,
    /// Asks to know the position.
    pub positioned: bool,
    /// Asks for recovery.
    pub recoverable: bool,
    /// Asks for joins and leaves.
    pub join_leave: bool,
    /// Kind of deltas that the client can apply (`fossil`); empty for none.
    pub delta: String,
    /// Which publications it wants, by their tags.
    pub filter: Option<Box<Filter>>,
    /// Bits: see [`FLAG_COMPACTION`] and [`FLAG_UNRECOVERABLE_ERROR`].
    pub flag: i64,
    /// What kind of subscription: 0 of a stream, others of maps and of shared polls, which there are not here.
    pub kind: i32,
}

impl Subscribe {
    /// Bytes of it and of what it holds.
    fn owned_bytes(&self) -> usize {
        let Self { channel, token, data, epoch, delta, .. } = self;
        size_of::<Self>() + channel.len() + token.len() + data.len() + epoch.len() + delta.len()
    }
}

/// In [`Subscribe::flag`]: pushes may carry a number in place of the channel's name.
pub const FLAG_COMPACTION: i64 = 1;
/// In [`Subscribe::flag`]: answer 112 in place of `recovered: false`.
pub const FLAG_UNRECOVERABLE_ERROR: i64 = 2;

/// What was published in a channel.
#[derive(Debug, Default, PartialEq)]
pub struct HistoryRequest<'a> {
    /// Name of the channel.
    pub channel: Cow<'a, str>,
    /// How many at most: negative for as many as the server gives, 0 for the position only.
    pub limit: i32,
    /// Only what came after this position (before, when reversed): offset and epoch.
    pub since: Option<(u64, String)>,
    /// Newest first.
    pub reverse: bool,
}

/// What a command came to.
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
        /// What was published.
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
        /// In how many seconds.
        ttl_s: u32,
    },
    /// To sub_refresh.
    SubRefresh {
        /// Whether the subscription expires.
        expires: bool,
        /// In how many seconds.
        ttl_s: u32,
    },
}

impl Answer<'_> {
    /// The payloads that stand apart, in their order.
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
    /// The payloads that stand apart, in their order.
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

/// What a connect reply, or the first push of a unidirectional connection, tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's name and version.
    pub version: &'a str,
    /// Whether the connection expires.
    pub expires: bool,
    /// In how many seconds.
    pub ttl_s: u32,
    /// Whatever the application wants to say.
    pub data: PayloadRef<'a>,
    /// Server-side subscriptions, by channel.
    pub subs: &'a [(&'a str, SubscribeResult<'a>)],
    /// Seconds between the server's pings; 0 when it sends none.
    pub ping_s: u32,
    /// Whether the client must answer pings.
    pub pong: bool,
    /// What the emulation endpoint knows the connection by; secret.
    pub session: &'a str,
    /// The node's id.
    pub node: &'a str,
    /// Unix time in milliseconds; 0 leaves it out.
    pub time_ms: i64,
}

/// What a subscribe reply tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubscribeResult<'a> {
    /// Whether the subscription expires.
    pub expires: bool,
    /// In how many seconds.
    pub ttl_s: u32,
    /// Whether recovery will be possible.
    pub recoverable: bool,
    /// Whether the position is kept.
    pub positioned: bool,
    /// The stream.
    pub epoch: &'a str,
    /// The last publication's number.
    pub offset: u64,
    /// Whether `publications` are all that was missed.
    pub recovered: bool,
    /// Whether recovery was asked for.
    pub was_recovering: bool,
    /// What was missed.
    pub publications: &'a [Publication<'a>],
    /// Whatever the application wants to say.
    pub data: PayloadRef<'a>,
    /// Whether publications may come as deltas.
    pub delta: bool,
    /// The channel's number in pushes; 0 for none.
    pub id: i64,
}

/// A payload that is sent from where it lies: its bytes are not written, but count where lengths are told, and it is
/// noted where they belong. It stands in one place of one message.
#[derive(Clone, Debug)]
pub struct Apart {
    data: Shared,
    at: Cell<usize>,
}

impl Apart {
    /// Of a payload that is not empty. For JSON, one JSON value on one line.
    pub fn new(data: Shared) -> Self {
        debug_assert!(!data.is_empty(), "an empty payload is written in its own way");
        Self { data, at: Cell::new(0) }
    }

    /// The payload.
    pub fn data(&self) -> &Shared {
        &self.data
    }

    /// Number of bytes before it in the bytes that it was left out of, before they were framed.
    pub fn at(&self) -> usize {
        self.at.get()
    }

    /// Leaves it out at the end of what is written so far.
    pub(super) fn leave_out(&self, out: &[u8]) {
        self.at.set(out.len());
    }
}

/// A payload, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// One that is not copied.
    Apart(&'a Apart),
    /// One JSON value, checked.
    Json(&'a [u8]),
    /// Text that may be JSON.
    Text(&'a [u8]),
    /// Any bytes, among them JSON.
    Binary(&'a [u8]),
}

/// A publication as clients get it.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The message; a delta, when `delta` says so.
    pub data: Data<'a>,
    /// Who published it, if a client did.
    pub info: Option<ClientInfo<'a>>,
    /// Its number in the stream; 0 for none.
    pub offset: u64,
    /// Names and values.
    pub tags: &'a [(Box<str>, Box<str>)],
    /// Whether `data` is a delta to the publication before.
    pub delta: bool,
    /// Whether the subscriber takes deltas: in JSON, data is then a string with the JSON in it.
    pub takes_deltas: bool,
    /// Unix time of the publication in milliseconds; 0 leaves it out.
    pub time_ms: i64,
    /// The stream, where it is told with a publication; empty leaves it out.
    pub epoch: &'a str,
    /// Its version; 0 leaves it out.
    pub version: u64,
}

/// Who a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo<'a> {
    /// The user; empty when anonymous.
    pub user: &'a str,
    /// The connection's id.
    pub client: &'a str,
    /// What the connection's token or hook says of it.
    pub conn_info: PayloadRef<'a>,
    /// What the subscription's token or hook says of it.
    pub chan_info: PayloadRef<'a>,
}

/// How a push names its channel.
#[derive(Clone, Copy, Debug)]
pub enum ChannelRef<'a> {
    /// None: the push is about the connection.
    None,
    /// By its name.
    Name(&'a str),
    /// By the number that the subscribe reply told.
    Id(i64),
}

/// What the server sends unasked.
#[derive(Clone, Copy, Debug)]
pub enum Push<'a> {
    /// A publication.
    Publication(Publication<'a>),
    /// Someone subscribed.
    Join(ClientInfo<'a>),
    /// Someone is gone.
    Leave(ClientInfo<'a>),
    /// The server ended a subscription.
    Unsubscribe {
        /// 2000–2499: do not subscribe again; 2500–2999: do.
        code: u32,
        /// Why.
        reason: &'a str,
    },
    /// The server subscribed the client. Of the result: recoverable, positioned, epoch, offset and data.
    Subscribe(SubscribeResult<'a>),
    /// A message to the connection.
    Message(PayloadRef<'a>),
    /// First push of a unidirectional connection.
    Connect(ConnectResult<'a>),
    /// The last word, where there is no close frame.
    Disconnect {
        /// 3000–3499 and 4000–4499: connect again; else do not.
        code: u16,
        /// Why.
        reason: &'a str,
        /// What `code` says of connecting again, in one bit.
        reconnect: bool,
    },
    /// The connection's expiry changed.
    Refresh {
        /// Whether it expires.
        expires: bool,
        /// In how many seconds.
        ttl_s: u32,
    },
}
