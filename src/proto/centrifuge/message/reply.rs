//! Messages to clients: results of commands, and pushes. They are borrowed throughout: they are encoded once, at once.

use super::apart::Data;
use crate::base::payload::PayloadRef;

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
