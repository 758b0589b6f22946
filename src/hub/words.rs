//! The language of the house: what clients ask, what they are answered, and what they are told. Plain values, the same for
//! every protocol.
//!
//! A session translates between these and the bytes of its protocol, in both directions; a shard decides by them and knows
//! no protocol. Left out: numbers and names that a protocol has for any of it (its session's), who asks (the shard's), and
//! what homes are asked and answer ([`super::home`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{ClientInfo, DataKind, Position, Publication};
use crate::base::filter::Filter;
use crate::base::heap;
use crate::base::payload::PayloadRef;

/// What a client asks. It owns what it holds: it may have to wait.
#[derive(Debug, PartialEq)]
pub enum Ask {
    /// To be let in.
    Identify(Box<Identify>),
    /// To get what is published in a channel.
    Enter(Box<Enter>),
    /// To get no more of it.
    Leave {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// To put a message into a channel.
    Publish {
        /// Name of the channel.
        channel: Arc<str>,
        /// What `data` is.
        kind: DataKind,
        /// The message.
        data: Vec<u8>,
    },
    /// Who is in a channel.
    Presence {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// How many are in a channel.
    PresenceStats {
        /// Name of the channel.
        channel: Arc<str>,
    },
    /// What was published in a channel.
    History {
        /// Name of the channel.
        channel: Arc<str>,
        /// How many at most; `None` for as many as the server gives, 0 for the position only.
        limit: Option<usize>,
        /// Only what came after this (before, when reversed).
        since: Option<Position>,
        /// Newest first.
        reverse: bool,
    },
    /// A call of the application.
    Call {
        /// What is called; may be empty.
        method: String,
        /// The argument.
        data: Vec<u8>,
    },
    /// To go on with the connection.
    Renew {
        /// The new token.
        token: String,
    },
    /// To go on with a subscription.
    RenewIn {
        /// Name of the channel.
        channel: Arc<str>,
        /// The new token.
        token: String,
    },
}

impl Ask {
    /// Whether the answer may be large, and is gathered at once: history and presence.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::History { .. } | Self::Presence { .. })
    }

    /// The channel that it would enter, if it is to enter one.
    pub fn enters(&self) -> Option<&str> {
        if let Self::Enter(enter) = self { Some(&enter.channel) } else { None }
    }

    /// The channel that it is about, if it is about one.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::Enter(enter) => Some(&enter.channel),
            Self::Leave { channel }
            | Self::Publish { channel, .. }
            | Self::Presence { channel }
            | Self::PresenceStats { channel }
            | Self::History { channel, .. }
            | Self::RenewIn { channel, .. } => Some(channel),
            Self::Identify(_) | Self::Call { .. } | Self::Renew { .. } => None,
        }
    }

    /// Whether someone outside of the shards may have to be asked about it.
    pub fn may_ask(&self) -> bool {
        !matches!(self, Self::Leave { .. })
    }

    /// Bytes that it holds beside its own size.
    pub fn owned_bytes(&self) -> usize {
        match self {
            Self::Identify(identify) => identify.owned_bytes(),
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
        }
    }
}

/// Who a client is, by its own word, and what it wants from the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identify {
    /// That it is who it says; empty for none.
    pub token: String,
    /// Whatever the application wants to say.
    pub data: Vec<u8>,
    /// Name of the client's kind.
    pub name: String,
    /// Version of the client's software.
    pub version: String,
    /// Headers that it could not set itself, names and values: its own word.
    pub headers: Vec<(String, String)>,
    /// Headers of the request that opened the connection, those that are kept: names in lower case, and values.
    pub request_headers: Vec<(String, String)>,
    /// Channels that it wants from the start, or had.
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

    /// What it costs beside its place, in bytes.
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

/// A channel, and how a client wants to get what is published there.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct Enter {
    /// Name of the channel.
    pub channel: Arc<str>,
    /// That it may; empty for none.
    pub token: String,
    /// Whatever the application wants to say.
    pub data: Vec<u8>,
    /// What it has, if it wants what came after.
    pub since: Option<Position>,
    /// To know its place in the stream.
    pub wants_position: bool,
    /// To get what it missed when it comes back.
    pub wants_recovery: bool,
    /// Not to enter at all without what it missed: [`Denied::Unrecoverable`].
    pub needs_recovery: bool,
    /// To know who comes and goes.
    pub wants_joins: bool,
    /// Publications may come as deltas.
    pub takes_deltas: bool,
    /// The channel may have a number in place of its name.
    pub takes_numbers: bool,
    /// Which publications it wants, by their tags.
    pub filter: Option<Box<Filter>>,
}

impl Enter {
    /// What enters this channel, and asks for nothing else.
    pub fn new(channel: Arc<str>) -> Self {
        Self { channel, ..Self::default() }
    }

    fn owned_bytes(&self) -> usize {
        let Self { channel, token, data, since, .. } = self;
        let epoch_bytes = since.as_ref().map_or(0, |since| since.epoch.len());
        size_of::<Self>() + channel.len() + token.len() + data.len() + epoch_bytes
    }

    /// What it costs beside its place, in bytes.
    pub fn bytes(&self) -> usize {
        let Self { channel, token, data, since, filter, .. } = self;
        heap::arc(channel.len())
            + heap::piece(token.len())
            + heap::piece(data.len())
            + since.as_ref().map_or(0, |since| heap::arc(since.epoch.len()))
            + filter.as_ref().map_or(0, |filter| filter.bytes())
    }
}

/// Why a client does not get what it asks. Its connection lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The server's own fault. It may succeed later.
    Internal,
    /// The channel's name is in no namespace that there is.
    UnknownChannel,
    /// It is not allowed to do that.
    NotPermitted,
    /// It is in the channel, or about to be.
    AlreadyIn,
    /// A limit of the connection, the channel or the server is reached.
    Limit,
    /// Too much is asked at once. It may succeed later.
    TooMany,
    /// A feature that is not turned on.
    NotAvailable,
    /// A method that nobody serves.
    UnknownMethod,
    /// The token was good once; the client should get another.
    TokenExpired,
    /// The term of what is asked for is over.
    Expired,
    /// The position that is asked for is not in the stream, or no longer.
    Unrecoverable,
    /// What is asked lacks what it needs, or names what cannot be.
    BadRequest,
    /// The application says so.
    Custom {
        /// The application's number: 400–1999.
        code: u32,
        /// What it says.
        message: Cow<'static, str>,
        /// Whether the same may succeed later.
        temporary: bool,
    },
}

impl Denied {
    /// Whether the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Internal | Self::TooMany => true,
            Self::Custom { temporary, .. } => *temporary,
            Self::UnknownChannel
            | Self::NotPermitted
            | Self::AlreadyIn
            | Self::Limit
            | Self::NotAvailable
            | Self::UnknownMethod
            | Self::TokenExpired
            | Self::Expired
            | Self::Unrecoverable
            | Self::BadRequest => false,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "internal error",
            Self::UnknownChannel => "unknown channel",
            Self::NotPermitted => "not permitted",
            Self::AlreadyIn => "already in the channel",
            Self::Limit => "a limit is reached",
            Self::TooMany => "too many requests",
            Self::NotAvailable => "not available",
            Self::UnknownMethod => "unknown method",
            Self::TokenExpired => "the token has expired",
            Self::Expired => "expired",
            Self::Unrecoverable => "the position is not in the stream",
            Self::BadRequest => "bad request",
            Self::Custom { message, .. } => message,
        })
    }
}

impl std::error::Error for Denied {}

/// Why the server ends a connection, where the reason is what the client asked, or its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dismissed {
    /// The server's own fault.
    Internal,
    /// Its token does not prove what it says.
    InvalidToken,
    /// It is not allowed to connect.
    NotPermitted,
    /// It asks for what cannot be.
    BadRequest,
    /// Its term is over.
    Expired,
    /// The term of a subscription is over that nothing else would bring back.
    SubscriptionExpired,
    /// What it is subscribed to is not what its new token says: it has to connect anew.
    OtherChannels,
    /// It asks for too much at once.
    TooMany,
    /// Its user has too many connections.
    ConnectionLimit,
    /// It is in too many channels.
    ChannelLimit,
}

/// Why the server ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'a> {
    /// Its term is over.
    Expired,
    /// The application says so.
    Ordered {
        /// The application's number: 2000–2999.
        code: u32,
        /// Why.
        reason: &'a str,
    },
}

/// What an ask came to. Borrowed: it is written once, at once.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To [`Ask::Identify`]: the client is let in.
    Identified(Identified<'a>),
    /// To [`Ask::Enter`].
    Entered(Entered<'a>),
    /// To [`Ask::Enter`]: it is not to be.
    NotEntered {
        /// Name of the channel.
        channel: &'a str,
        /// Why.
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
        /// What was published.
        publications: &'a [Arc<Publication>],
        /// The stream's position.
        position: &'a Position,
    },
    /// To [`Ask::Call`]: the result.
    Called(PayloadRef<'a>),
    /// To [`Ask::Renew`].
    Renewed {
        /// In how many seconds the connection ends; 0 for no end.
        ttl_s: u32,
    },
    /// To [`Ask::RenewIn`].
    RenewedIn {
        /// In how many seconds the subscription ends; 0 for no end.
        ttl_s: u32,
    },
}

/// What a client is told when it is let in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identified<'a> {
    /// In how many seconds the connection ends, if it is for the client to go on; 0 for no end.
    pub ttl_s: u32,
    /// Whatever the application wants to say.
    pub data: PayloadRef<'a>,
    /// Subscriptions that it has from the start.
    pub entered: &'a [Entered<'a>],
    /// Seconds between the server's pings; 0 when it sends none.
    pub ping_s: u32,
    /// Unix time in milliseconds; 0 when it is not told.
    pub time_ms: i64,
}

/// What a client is told of a subscription that has begun.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each was asked for or granted by itself")]
pub struct Entered<'a> {
    /// Name of the channel.
    pub channel: &'a str,
    /// In how many seconds it ends, if it is for the client to go on; 0 for no end.
    pub ttl_s: u32,
    /// Whether recovery will be possible.
    pub is_recoverable: bool,
    /// Whether the position is kept.
    pub is_positioned: bool,
    /// Name of the stream; empty when it is not told.
    pub epoch: &'a str,
    /// The place in the stream from which `publications` lead on.
    pub offset: u64,
    /// Whether recovery was asked for.
    pub was_recovering: bool,
    /// Whether `publications` are all that was missed.
    pub is_recovered: bool,
    /// What was missed, oldest first.
    pub publications: &'a [Arc<Publication>],
    /// Whatever the application wants to say.
    pub data: PayloadRef<'a>,
    /// Whether publications may come as deltas.
    pub takes_deltas: bool,
    /// The number that stands for the channel's name; `None` when the name does.
    pub number: Option<u32>,
}

/// What a client is told without asking.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It is in a channel, since the server says so. What it missed there follows, each by itself.
    Entered(Entered<'a>),
    /// Something was published.
    Published {
        /// The message.
        publication: &'a Publication,
        /// Whether the subscriber takes deltas.
        takes_deltas: bool,
    },
    /// Somebody came to a channel.
    Came {
        /// Name of the channel.
        channel: &'a str,
        /// Who.
        info: &'a ClientInfo,
    },
    /// Somebody went.
    Went {
        /// Name of the channel.
        channel: &'a str,
        /// Who.
        info: &'a ClientInfo,
    },
    /// It is no longer in a channel, since the server says so.
    Ended {
        /// Name of the channel.
        channel: &'a str,
        /// Why.
        why: Ended<'a>,
    },
    /// The application says something to it, outside of all channels.
    Said(PayloadRef<'a>),
    /// Its connection ends at another time.
    Renewed {
        /// In how many seconds; 0 for no end.
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
    }

    #[test]
    fn who_is_denied_knows_whether_to_ask_again() {
        let custom = |temporary| Denied::Custom { code: 400, message: "no".into(), temporary };
        for (denied, is_temporary, text) in [
            (Denied::Internal, true, "internal error"),
            (Denied::TooMany, true, "too many requests"),
            (Denied::Limit, false, "a limit is reached"),
            (custom(true), true, "no"),
            (custom(false), false, "no"),
        ] {
            assert_eq!((denied.is_temporary(), denied.to_string()), (is_temporary, text.to_owned()));
        }
    }
}
