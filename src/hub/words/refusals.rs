//! The reasons for which requests are refused, connections closed and subscriptions ended.

use std::borrow::Cow;
use std::fmt;

/// The reason for which a request is refused. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// An error of the server. A retry may succeed.
    Internal,
    /// The namespace of the channel's name does not exist.
    UnknownChannel,
    /// The client lacks the permission.
    NotPermitted,
    /// The client is subscribed, or about to be.
    AlreadyIn,
    /// A limit of the connection, the channel or the server is reached.
    Limit,
    /// Too many requests at once. A retry may succeed.
    TooMany,
    /// A feature that is not turned on.
    NotAvailable,
    /// A method that no handler serves.
    UnknownMethod,
    /// The token has expired; the client should get a new one.
    TokenExpired,
    /// The requested subscription has expired.
    Expired,
    /// The requested position is not in the stream, or no longer.
    Unrecoverable,
    /// The request is incomplete or invalid.
    BadRequest,
    /// An error of the application.
    Custom {
        /// The application's code: 400–1999.
        code: u32,
        /// The application's message.
        message: Cow<'static, str>,
        /// Whether a retry may succeed.
        temporary: bool,
    },
}

impl Denied {
    /// Whether a retry may succeed.
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

/// The reason for which the server closes a connection because of a client's request, or its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dismissed {
    /// An error of the server.
    Internal,
    /// The token is invalid.
    InvalidToken,
    /// The client is not permitted to connect.
    NotPermitted,
    /// The request is invalid.
    BadRequest,
    /// The connection has expired.
    Expired,
    /// A subscription that cannot be prolonged has expired.
    SubscriptionExpired,
    /// Its subscriptions differ from those of its new token: the client has to reconnect.
    OtherChannels,
    /// Too many requests at once.
    TooMany,
    /// The user's limit of connections is reached.
    ConnectionLimit,
    /// The connection's limit of subscriptions is reached.
    ChannelLimit,
}

/// The reason for which the server ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'a> {
    /// The subscription has expired.
    Expired,
    /// An order of the application.
    Ordered {
        /// The application's code: 2000–2999.
        code: u32,
        /// The reason.
        reason: &'a str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

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
