//! Codes of errors, disconnects and unsubscribes, as the protocol's public documentation lists them.
//!
//! Each has its words and what the client makes of it. Left out: codes that applications choose (4000–4999), and 0 and
//! 1 of unsubscribes, which are never sent.

/// An error in a reply: the command failed, the connection lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The protocol's number.
    pub code: u32,
    /// The protocol's words for it.
    pub message: &'static str,
    /// Whether the same command may succeed later.
    pub temporary: bool,
}

impl Error {
    const fn new(code: u32, message: &'static str, temporary: bool) -> Self {
        Self { code, message, temporary }
    }

    /// 100: the server's own fault.
    pub const INTERNAL: Self = Self::new(100, "internal server error", true);
    /// 101: the client did not say who it is.
    pub const UNAUTHORIZED: Self = Self::new(101, "unauthorized", false);
    /// 102: the channel's name is not one, or its namespace is not known.
    pub const UNKNOWN_CHANNEL: Self = Self::new(102, "unknown channel", false);
    /// 103: not allowed to do that.
    pub const PERMISSION_DENIED: Self = Self::new(103, "permission denied", false);
    /// 104: the command holds no request that the server knows.
    pub const METHOD_NOT_FOUND: Self = Self::new(104, "method not found", false);
    /// 105: subscribed, or about to be.
    pub const ALREADY_SUBSCRIBED: Self = Self::new(105, "already subscribed", false);
    /// 106: a limit of the connection, the channel or the server is reached.
    pub const LIMIT_EXCEEDED: Self = Self::new(106, "limit exceeded", false);
    /// 107: the request lacks what it needs.
    pub const BAD_REQUEST: Self = Self::new(107, "bad request", false);
    /// 108: a feature that is not turned on.
    pub const NOT_AVAILABLE: Self = Self::new(108, "not available", false);
    /// 109: the token was good once; the client should get another.
    pub const TOKEN_EXPIRED: Self = Self::new(109, "token expired", false);
    /// 110: the connection or the subscription has expired.
    pub const EXPIRED: Self = Self::new(110, "expired", false);
    /// 111: slow down.
    pub const TOO_MANY_REQUESTS: Self = Self::new(111, "too many requests", true);
    /// 112: the position to recover from is not in the stream any more.
    pub const UNRECOVERABLE_POSITION: Self = Self::new(112, "unrecoverable position", false);
    /// 113: the channel changed while it was read page by page.
    pub const CONCURRENT_PAGINATION: Self = Self::new(113, "concurrent pagination", true);
}

/// Why the server ends a connection, in the protocol's terms. Codes 3000–3499 tell the client to reconnect,
/// 3500–3999 not to.
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

    /// 3000: the connection ended without a word.
    pub const CONNECTION_CLOSED: Self = Self::new(3000, "connection closed");
    /// 3001: the server is going down; come back.
    pub const SHUTDOWN: Self = Self::new(3001, "shutdown");
    /// 3004: the server's own fault.
    pub const INTERNAL: Self = Self::new(3004, "internal server error");
    /// 3005: the connection's token expired and was not renewed in time.
    pub const CONNECTION_EXPIRED: Self = Self::new(3005, "connection expired");
    /// 3006: a subscription's token expired and was not renewed in time.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(3006, "subscription expired");
    /// 3008: the client does not read as fast as its channels speak.
    pub const SLOW: Self = Self::new(3008, "slow");
    /// 3009: the transport failed while the server wrote.
    pub const WRITE_ERROR: Self = Self::new(3009, "write error");
    /// 3010: the server lost the connection's place in a stream.
    pub const INSUFFICIENT_STATE: Self = Self::new(3010, "insufficient state");
    /// 3011: the application wants the client to come back, here or elsewhere.
    pub const FORCE_RECONNECT: Self = Self::new(3011, "force reconnect");
    /// 3012: a heartbeat was not answered.
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    /// 3013: too many connects or commands at once.
    pub const TOO_MANY_REQUESTS: Self = Self::new(3013, "too many requests");
    /// 3014: what the client knows is void; it comes back with a new token and no positions.
    pub const STATE_INVALIDATED: Self = Self::new(3014, "state invalidated");
    /// 3500: the token does not prove what it says.
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    /// 3501: the client does not speak the protocol.
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    /// 3502: no connect command in time.
    pub const STALE: Self = Self::new(3502, "stale");
    /// 3503: the application wants the client to go and stay away.
    pub const FORCE_DISCONNECT: Self = Self::new(3503, "force disconnect");
    /// 3504: the server or the user has too many connections.
    pub const CONNECTION_LIMIT: Self = Self::new(3504, "connection limit");
    /// 3505: the connection has too many channels.
    pub const CHANNEL_LIMIT: Self = Self::new(3505, "channel limit");
    /// 3506: the encoding cannot carry what has to be sent.
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::new(3506, "inappropriate protocol");
    /// 3507: not allowed to connect.
    pub const PERMISSION_DENIED: Self = Self::new(3507, "permission denied");
    /// 3508: a feature that is not turned on.
    pub const NOT_AVAILABLE: Self = Self::new(3508, "not available");
    /// 3509: too many commands failed.
    pub const TOO_MANY_ERRORS: Self = Self::new(3509, "too many errors");

    /// Whether the client should connect again.
    pub fn reconnects(self) -> bool {
        matches!(self.code, 3000..3500 | 4000..4500)
    }
}

/// Why the server ends a subscription. Codes 2000–2499 tell the client not to subscribe again, 2500–2999 to do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The protocol's number.
    pub code: u32,
    /// The protocol's words for it.
    pub reason: &'static str,
}

impl Unsubscribed {
    const fn new(code: u32, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// 2000: the application or the server wants it so.
    pub const SERVER: Self = Self::new(2000, "server unsubscribe");
    /// 2500: the server lost the subscription's place in the stream.
    pub const INSUFFICIENT_STATE: Self = Self::new(2500, "insufficient state");
    /// 2501: the subscription's token expired and was not renewed in time.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(2501, "subscription expired");
    /// 2502: what the client knows of the channel is void; it subscribes with a new token and no position.
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
