//! The protocol-independent language of sessions and shards: clients' requests, their replies, and pushes. Plain
//! values, the same for every protocol.
//!
//! A session translates between these and the bytes of its protocol, in both directions; a shard decides by them and
//! knows no protocol. `refusals` has the reasons of refusals and endings, `events` questions to the application about
//! events. Left out: a protocol's numbers and names (in its session), the asking client (known to the shard), and the
//! requests and answers of homes ([`super::home`]).

mod emit;
mod events;
mod refusals;

use std::sync::Arc;

use super::away::Return;
use super::socket_order::Gathered;
use super::{ClientInfo, DataKind, Position, Publication};
use crate::base::filter::Filter;
use crate::base::heap;
use crate::base::payload::PayloadRef;
pub use emit::{Copied, Emit, OrderSockets};
pub use events::{EventAsk, EventEnd};
pub use refusals::{Denied, Dismissed, Ended};

/// A client's request. It owns its contents, because it may have to wait.
#[derive(Debug, PartialEq)]
pub enum Ask {
    /// A connect request.
    Identify(Box<Identify>),
    /// A connect request of one of several clients that share the connection.
    Claim(Box<Claim>),
    /// A subscribe request.
    Enter(Box<Enter>),
    /// An unsubscribe request.
    Leave {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// A publish request.
    Publish {
        /// Name of the channel.
        channel: Arc<str>,
        /// Classification of `data`.
        kind: DataKind,
        /// The message.
        data: Vec<u8>,
    },
    /// A presence request.
    Presence {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// A request for the member counts of a channel.
    PresenceStats {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// A history request.
    History {
        /// Name of the channel.
        channel: Arc<str>,
        /// Maximum of publications; `None` for the server's maximum, 0 for the position only.
        limit: Option<usize>,
        /// Only publications after this position (before it, when reversed).
        since: Option<Position>,
        /// Newest first.
        reverse: bool,
    },
    /// A call of the application (RPC).
    Call {
        /// Name of the method; may be empty.
        method: String,
        /// The argument.
        data: Vec<u8>,
    },
    /// A request to prolong the connection, with a new token.
    Renew {
        /// The new token.
        token: String,
    },
    /// A request to prolong a subscription, with a new token.
    RenewIn {
        /// Name of the channel.
        channel: Arc<str>,
        /// The new token.
        token: String,
    },
    /// A message of the server's own session to several channels of one group.
    Emit(Box<Emit>),
    /// An order of the server's own session to the sockets of a namespace.
    OrderSockets(Box<OrderSockets>),
    /// An unsubscribe request of the server's own session, for all channels of a group.
    LeaveGroup {
        /// Name of the group.
        group: Arc<str>,
    },
    /// A request of the server's own session for a socket of an earlier connection.
    Return(Box<Return>),
    /// A request of the server's own session to the application's hook for events.
    Event(Box<EventAsk>),
    /// A report of the server's own session that one of its sockets has ended, before it leaves its group.
    Ended(Box<EventEnd>),
    /// A request of the server's own session for the private channels of a group that it has entered.
    Rooms {
        /// Name of the group.
        group: Arc<str>,
    },
}

impl Ask {
    /// Whether the reply may be large, and is gathered at once: history and presence.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::History { .. } | Self::Presence { .. })
    }

    /// The channel to subscribe to, for a subscribe request.
    pub fn enters(&self) -> Option<&str> {
        if let Self::Enter(enter) = self { Some(&enter.channel) } else { None }
    }

    /// The channel of the request, if it has one.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::Enter(enter) => Some(&enter.channel),
            Self::Leave { channel }
            | Self::Publish { channel, .. }
            | Self::Presence { channel }
            | Self::PresenceStats { channel }
            | Self::History { channel, .. }
            | Self::RenewIn { channel, .. } => Some(channel),
            Self::Identify(_)
            | Self::Claim(_)
            | Self::Call { .. }
            | Self::Renew { .. }
            | Self::Emit(_)
            | Self::OrderSockets(_)
            | Self::LeaveGroup { .. }
            | Self::Return(_)
            | Self::Event(_)
            | Self::Ended(_)
            | Self::Rooms { .. } => None,
        }
    }

    /// Whether the request may have to be answered outside the shards.
    pub fn may_ask(&self) -> bool {
        !matches!(
            self,
            Self::Leave { .. }
                | Self::Emit(_)
                | Self::OrderSockets(_)
                | Self::LeaveGroup { .. }
                | Self::Return(_)
                | Self::Ended(_)
                | Self::Rooms { .. }
        )
    }

    /// Whether the channel's home executes it, in the order of its requests: publish, reads and subscribe, unless
    /// something outside must be asked.
    pub fn is_for_home(&self) -> bool {
        match self {
            Self::Enter(_)
            | Self::Publish { .. }
            | Self::Presence { .. }
            | Self::PresenceStats { .. }
            | Self::History { .. } => true,
            Self::Identify(_)
            | Self::Claim(_)
            | Self::Leave { .. }
            | Self::Call { .. }
            | Self::Renew { .. }
            | Self::RenewIn { .. }
            | Self::Emit(_)
            | Self::OrderSockets(_)
            | Self::LeaveGroup { .. }
            | Self::Return(_)
            | Self::Event(_)
            | Self::Ended(_)
            | Self::Rooms { .. } => false,
        }
    }

    /// Heap bytes, beside its own size.
    pub fn owned_bytes(&self) -> usize {
        match self {
            Self::Identify(identify) => identify.owned_bytes(),
            Self::Claim(claim) => claim.owned_bytes(),
            Self::Enter(enter) => enter.owned_bytes(),
            Self::Leave { channel } | Self::Presence { channel } | Self::PresenceStats { channel } => {
                channel.len()
            }
            Self::Publish { channel, data, .. } => channel.len() + data.len(),
            Self::History { channel, since, .. } => {
                channel.len() + since.as_ref().map_or(0, |since| since.epoch.len())
            }
            Self::Call { method, data } => method.len() + data.len(),
            Self::Renew { token } => token.len(),
            Self::RenewIn { channel, token } => channel.len() + token.len(),
            Self::Emit(emit) => {
                let copies: usize =
                    emit.copies.iter().map(|copy| size_of::<Copied>() + copy.data.len()).sum();
                size_of::<Emit>() + emit.data.len() + copies
            }
            Self::OrderSockets(ask) => size_of::<OrderSockets>() + ask.order.bytes(),
            Self::LeaveGroup { group } | Self::Rooms { group } => group.len(),
            Self::Return(asked) => size_of::<Return>() + asked.pid.len(),
            Self::Event(ask) => size_of::<EventAsk>() + ask.fields.len(),
            Self::Ended(end) => size_of::<EventEnd>() + end.fields.len(),
        }
    }
}

/// A connect request: the client's claimed identity, and its initial subscriptions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identify {
    /// Token that proves the identity; empty for none.
    pub token: String,
    /// Data of the application.
    pub data: Vec<u8>,
    /// Name of the client's kind.
    pub name: String,
    /// Version of the client's software.
    pub version: String,
    /// Headers that the client could not set itself, names and values: unverified.
    pub headers: Vec<(String, String)>,
    /// The kept headers of the request that opened the connection: names in lower case, and values.
    pub request_headers: Vec<(String, String)>,
    /// Initial subscriptions, or those to recover.
    pub enters: Vec<Enter>,
}

impl Identify {
    fn owned_bytes(&self) -> usize {
        let Self { token, data, name, version, headers, request_headers, enters } = self;
        let headers = headers.iter().chain(request_headers);
        let headers: usize =
            headers.map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len()).sum();
        let enters: usize = enters.iter().map(Enter::owned_bytes).sum();
        size_of::<Self>() + token.len() + data.len() + name.len() + version.len() + headers + enters
    }

    /// Memory beside its own size, in bytes.
    pub fn bytes(&self) -> usize {
        let Self { token, data, name, version, headers, request_headers, enters } = self;
        let texts = [token.len(), data.len(), name.len(), version.len()].map(heap::piece);
        let header_bytes =
            |(name, value): &(String, String)| heap::piece(name.len()) + heap::piece(value.len());
        texts.iter().sum::<usize>()
            + heap::list::<(String, String)>(headers.len())
            + heap::list::<(String, String)>(request_headers.len())
            + headers.iter().chain(request_headers).map(header_bytes).sum::<usize>()
            + heap::list::<Enter>(enters.len())
            + enters.iter().map(Enter::bytes).sum::<usize>()
    }
}

/// The claimed identity of one of several clients that share a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Token that proves the identity; empty for none.
    pub token: String,
    /// Data of the application, JSON; empty for none.
    pub data: String,
    /// Name of the group that the client enters.
    pub group: Box<str>,
    /// The id that the client will have in its group.
    pub id: Box<str>,
    /// The application's part of the query of the request that opened the connection.
    pub query: Box<str>,
    /// The kept headers of that request: names in lower case, and values.
    pub request_headers: Vec<(String, String)>,
    /// Whether the server's own code decides about clients without an identity, because no way to prove one is
    /// configured.
    pub is_open: bool,
    /// Whether the connection has a client already, or had one that was refused.
    pub is_further: bool,
}

impl Claim {
    fn owned_bytes(&self) -> usize {
        let Self { token, data, group, id, query, request_headers, .. } = self;
        let headers: usize = request_headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + token.len() + data.len() + group.len() + id.len() + query.len() + headers
    }
}

/// A subscribe request: a channel, and the client's options for it.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Enter {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// Token that proves the permission; empty for none.
    pub token: String,
    /// Data of the application.
    pub data: Vec<u8>,
    /// Position to recover from, if the client wants recovery.
    pub since: Option<Position>,
    /// Whether the client wants the position.
    pub wants_position: bool,
    /// Whether it wants recovery after a reconnect.
    pub wants_recovery: bool,
    /// Whether to refuse the subscription when recovery fails: [`Denied::Unrecoverable`].
    pub needs_recovery: bool,
    /// Whether it wants joins and leaves.
    pub wants_joins: bool,
    /// Whether publications may be sent as deltas.
    pub takes_deltas: bool,
    /// Whether a number may replace the channel's name.
    pub takes_numbers: bool,
    /// Filter of publications, by their tags.
    pub filter: Option<Box<Filter>>,
    /// The member's identity for others in the channel, where the server's own session gives one.
    pub info: Option<Arc<ClientInfo>>,
}

impl Enter {
    /// A subscribe request to this channel, without options.
    pub fn new(channel: Arc<str>) -> Self {
        Self { channel, ..Self::default() }
    }

    fn owned_bytes(&self) -> usize {
        let Self { channel, token, data, since, .. } = self;
        let epoch_bytes = since.as_ref().map_or(0, |since| since.epoch.len());
        size_of::<Self>() + channel.len() + token.len() + data.len() + epoch_bytes
    }

    /// Memory beside its own size, in bytes.
    pub fn bytes(&self) -> usize {
        // Its info is the session's.
        let Self { channel, token, data, since, filter, .. } = self;
        heap::arc(channel.len())
            + heap::piece(token.len())
            + heap::piece(data.len())
            + since.as_ref().map_or(0, |since| heap::arc(since.epoch.len()))
            + filter.as_ref().map_or(0, |filter| filter.bytes())
    }
}

/// The reply to a request. Borrowed: it is encoded once, at once.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To [`Ask::Identify`]: the client is connected.
    Identified(Identified<'a>),
    /// To [`Ask::Enter`].
    Entered(Entered<'a>),
    /// To [`Ask::Enter`]: the subscription is refused.
    NotEntered {
        /// Name of the channel.
        channel: &'a str,
        /// The cause.
        denied: &'a Denied,
    },
    /// To [`Ask::Leave`].
    Left,
    /// To [`Ask::Publish`].
    Published,
    /// To [`Ask::Presence`].
    Presence(&'a [Arc<ClientInfo>]),
    /// To [`Ask::PresenceStats`].
    PresenceStats {
        /// Connections.
        client_count: u32,
        /// Different users.
        user_count: u32,
    },
    /// To [`Ask::History`].
    History {
        /// The publications.
        publications: &'a [Arc<Publication>],
        /// The stream's position.
        position: &'a Position,
    },
    /// To [`Ask::Call`]: the result.
    Called(PayloadRef<'a>),
    /// To [`Ask::Renew`].
    Renewed {
        /// Seconds until the connection expires; 0 for never.
        ttl_s: u32,
    },
    /// To [`Ask::OrderSockets`].
    Gathered(&'a Gathered),
    /// To [`Ask::RenewIn`].
    RenewedIn {
        /// Seconds until the subscription expires; 0 for never.
        ttl_s: u32,
    },
    /// To [`Ask::Event`]: the result of the hook, JSON.
    Hooked(Result<&'a str, &'a Denied>),
    /// To [`Ask::Rooms`].
    Rooms(&'a [Arc<str>]),
}

/// The reply to a successful connect request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identified<'a> {
    /// Seconds until the connection expires, if the client has to prolong it; 0 for never.
    pub ttl_s: u32,
    /// Data of the application.
    pub data: PayloadRef<'a>,
    /// Initial subscriptions.
    pub entered: &'a [Entered<'a>],
    /// Seconds between the server's pings; 0 without pings.
    pub ping_s: u32,
    /// Unix time in milliseconds; 0 when it is not sent.
    pub time_ms: i64,
}

/// The description of a new subscription.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each was asked for or granted by itself")]
pub struct Entered<'a> {
    /// Name of the channel.
    pub channel: &'a str,
    /// Seconds until it expires, if the client has to prolong it; 0 for never.
    pub ttl_s: u32,
    /// Whether recovery will be possible.
    pub is_recoverable: bool,
    /// Whether the client tracks its position.
    pub is_positioned: bool,
    /// Name of the stream; empty when it is not sent.
    pub epoch: &'a str,
    /// The offset after which `publications` continue.
    pub offset: u64,
    /// Whether recovery was requested.
    pub was_recovering: bool,
    /// Whether `publications` are all missed ones.
    pub is_recovered: bool,
    /// The missed publications, oldest first.
    pub publications: &'a [Arc<Publication>],
    /// Data of the application.
    pub data: PayloadRef<'a>,
    /// Whether publications may come as deltas.
    pub takes_deltas: bool,
    /// The number that replaces the channel's name; `None` for the name itself.
    pub number: Option<u32>,
}

/// A push: a message to a client that is no reply.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A subscription made by the server. Its missed publications follow, each in a push of its own.
    Entered(Entered<'a>),
    /// A publication.
    Published {
        /// The message.
        publication: &'a Publication,
        /// Whether the subscriber takes deltas.
        takes_deltas: bool,
    },
    /// A join.
    Came {
        /// Name of the channel.
        channel: &'a str,
        /// The client.
        info: &'a ClientInfo,
    },
    /// A leave.
    Went {
        /// Name of the channel.
        channel: &'a str,
        /// The client.
        info: &'a ClientInfo,
    },
    /// The server ended a subscription.
    Ended {
        /// Name of the channel.
        channel: &'a str,
        /// The reason.
        why: Ended<'a>,
    },
    /// A message of the application outside of all channels.
    Said(PayloadRef<'a>),
    /// The connection's expiry changed.
    Renewed {
        /// Seconds until then; 0 for never.
        ttl_s: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_ask_holds_is_in_what_it_costs() {
        let text = || "x".repeat(100);
        let enter = Enter { token: text(), ..Enter::new(text().into()) };
        let since = Some(Position { offset: 1, epoch: text().into() });
        let back = Enter { since, ..enter.clone() };
        assert!((200..400).contains(&enter.bytes()), "{}", enter.bytes());
        assert!(back.bytes() >= enter.bytes() + 100);
        let pair = || vec![(text(), text())];
        let identify = Identify {
            token: text(),
            headers: pair(),
            request_headers: pair(),
            enters: vec![enter.clone(), back],
            ..Identify::default()
        };
        assert!((1000..2000).contains(&identify.bytes()), "{}", identify.bytes());
        assert!(Ask::Identify(Box::new(identify)).owned_bytes() > 1000);
        assert!(Ask::Enter(Box::new(enter)).owned_bytes() > 200);
        let call = Ask::Call { method: text(), data: vec![0; 1000] };
        assert_eq!(call.owned_bytes(), 1100);
    }

    #[test]
    fn asks_tell_what_they_are_about() {
        let channel = || Arc::from("a");
        assert!(Ask::Presence { channel: channel() }.is_whole());
        assert!(!Ask::PresenceStats { channel: channel() }.is_whole());
        assert_eq!(Ask::Enter(Box::new(Enter::new(channel()))).enters(), Some("a"));
        assert_eq!(Ask::Leave { channel: channel() }.enters(), None);
        assert!(Ask::Presence { channel: channel() }.is_for_home());
        assert!(!Ask::Leave { channel: channel() }.is_for_home());
    }
}
