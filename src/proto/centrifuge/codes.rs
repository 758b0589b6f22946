//! Codes of errors, disconnects and unsubscribes, from the protocol's public documentation.
//!
//! Each has its text and the client's reaction. Left out: codes of applications (4000–4999), and 0 and 1 of
//! unsubscribes, which are never sent.

/// An error in a reply: the command failed, the connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The protocol's code.
    pub code: u32,
    /// The protocol's text.
    pub message: &'static str,
    /// Whether a retry may succeed.
    pub temporary: bool,
}

impl Error {
    const fn new(code: u32, message: &'static str, temporary: bool) -> Self {
        Self { code, message, temporary }
    }

    /// 100: an error of the server.
    pub const INTERNAL: Self = Self::new(100, "internal server error", true);
    /// 101: the client did not identify itself.
    pub const UNAUTHORIZED: Self = Self::new(101, "unauthorized", false);
    /// 102: the channel's name is invalid, or its namespace is unknown.
    pub const UNKNOWN_CHANNEL: Self = Self::new(102, "unknown channel", false);
    /// 103: the client lacks the permission.
    pub const PERMISSION_DENIED: Self = Self::new(103, "permission denied", false);
    /// 104: the command contains no known request.
    pub const METHOD_NOT_FOUND: Self = Self::new(104, "method not found", false);
    /// 105: the client is subscribed, or about to be.
    pub const ALREADY_SUBSCRIBED: Self = Self::new(105, "already subscribed", false);
    /// 106: a limit of the connection, the channel or the server is reached.
    pub const LIMIT_EXCEEDED: Self = Self::new(106, "limit exceeded", false);
    /// 107: the request is incomplete or invalid.
    pub const BAD_REQUEST: Self = Self::new(107, "bad request", false);
    /// 108: the feature is not enabled.
    pub const NOT_AVAILABLE: Self = Self::new(108, "not available", false);
    /// 109: the token has expired; the client should get a new one.
    pub const TOKEN_EXPIRED: Self = Self::new(109, "token expired", false);
    /// 110: the connection or the subscription has expired.
    pub const EXPIRED: Self = Self::new(110, "expired", false);
    /// 111: the client's rate is too high.
    pub const TOO_MANY_REQUESTS: Self = Self::new(111, "too many requests", true);
    /// 112: the position to recover from is no longer in the stream.
    pub const UNRECOVERABLE_POSITION: Self = Self::new(112, "unrecoverable position", false);
    /// 113: the channel changed between two pages of a read.
    pub const CONCURRENT_PAGINATION: Self = Self::new(113, "concurrent pagination", true);
}

/// The reason for which the server ends a connection, in the protocol's terms. After codes 3000–3499 the client
/// reconnects, after 3500–3999 it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The close frame's code.
    pub code: u16,
    /// The close frame's reason.
    pub reason: &'static str,
}

impl Disconnect {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// 3000: the connection ended without a reason.
    pub const CONNECTION_CLOSED: Self = Self::new(3000, "connection closed");
    /// 3001: the server shuts down; the client should reconnect.
    pub const SHUTDOWN: Self = Self::new(3001, "shutdown");
    /// 3004: an error of the server.
    pub const INTERNAL: Self = Self::new(3004, "internal server error");
    /// 3005: the connection's token expired and was not renewed in time.
    pub const CONNECTION_EXPIRED: Self = Self::new(3005, "connection expired");
    /// 3006: a subscription's token expired and was not renewed in time.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(3006, "subscription expired");
    /// 3008: the client reads more slowly than its channels publish.
    pub const SLOW: Self = Self::new(3008, "slow");
    /// 3009: the transport failed during a write.
    pub const WRITE_ERROR: Self = Self::new(3009, "write error");
    /// 3010: the server lost the connection's position in a stream.
    pub const INSUFFICIENT_STATE: Self = Self::new(3010, "insufficient state");
    /// 3011: the application orders the client to reconnect, here or elsewhere.
    pub const FORCE_RECONNECT: Self = Self::new(3011, "force reconnect");
    /// 3012: a heartbeat was not answered.
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    /// 3013: too many connects or commands at once.
    pub const TOO_MANY_REQUESTS: Self = Self::new(3013, "too many requests");
    /// 3014: the client's state is invalid; it reconnects with a new token and without positions.
    pub const STATE_INVALIDATED: Self = Self::new(3014, "state invalidated");
    /// 3500: the token is invalid.
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    /// 3501: the client violates the protocol.
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    /// 3502: no connect command in time.
    pub const STALE: Self = Self::new(3502, "stale");
    /// 3503: the application orders the client to disconnect permanently.
    pub const FORCE_DISCONNECT: Self = Self::new(3503, "force disconnect");
    /// 3504: the server or the user has too many connections.
    pub const CONNECTION_LIMIT: Self = Self::new(3504, "connection limit");
    /// 3505: the connection has too many subscriptions.
    pub const CHANNEL_LIMIT: Self = Self::new(3505, "channel limit");
    /// 3506: the encoding cannot represent the data.
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::new(3506, "inappropriate protocol");
    /// 3507: the client is not permitted to connect.
    pub const PERMISSION_DENIED: Self = Self::new(3507, "permission denied");
    /// 3508: the feature is not enabled.
    pub const NOT_AVAILABLE: Self = Self::new(3508, "not available");
    /// 3509: too many commands failed.
    pub const TOO_MANY_ERRORS: Self = Self::new(3509, "too many errors");

    /// Whether the client should reconnect.
    pub fn reconnects(self) -> bool {
        matches!(self.code, 3000..3500 | 4000..4500)
    }
}

/// The reason for which the server ends a subscription. After codes 2000–2499 the client does not subscribe again,
/// after 2500–2999 it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The protocol's code.
    pub code: u32,
    /// The protocol's text.
    pub reason: &'static str,
}

impl Unsubscribed {
    const fn new(code: u32, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// 2000: ordered by the application or the server.
    pub const SERVER: Self = Self::new(2000, "server unsubscribe");
    /// 2500: the server lost the subscription's position in the stream.
    pub const INSUFFICIENT_STATE: Self = Self::new(2500, "insufficient state");
    /// 2501: the subscription's token expired and was not renewed in time.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(2501, "subscription expired");
    /// 2502: the client's state of the channel is invalid; it subscribes with a new token and without a position.
    pub const STATE_INVALIDATED: Self = Self::new(2502, "state invalidated");

    /// Whether the client should subscribe again.
    pub fn resubscribes(self) -> bool {
        matches!(self.code, 2500..3000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_tell_whether_to_come_back() {
        for (disconnect, reconnects) in [
            (Disconnect::SHUTDOWN, true),
            (Disconnect::SLOW, true),
            (Disconnect::NO_PONG, true),
            (Disconnect::STATE_INVALIDATED, true),
            (Disconnect::INVALID_TOKEN, false),
            (Disconnect::BAD_REQUEST, false),
            (Disconnect::TOO_MANY_ERRORS, false),
            (Disconnect::new(3499, ""), true),
            (Disconnect::new(4499, ""), true),
            (Disconnect::new(4500, ""), false),
        ] {
            assert_eq!(disconnect.reconnects(), reconnects, "{disconnect:?}");
        }
        assert!(!Unsubscribed::SERVER.resubscribes() && Unsubscribed::INSUFFICIENT_STATE.resubscribes());
    }
}
