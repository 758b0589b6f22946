//! Error and disconnect codes, as the protocol's public documentation lists them.

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

    /// 102: the channel's name is not one.
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
    /// 111: slow down.
    pub const TOO_MANY_REQUESTS: Self = Self::new(111, "too many requests", true);
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
    /// 3001: the server is going down; come back.
    pub const SHUTDOWN: Self = Self { code: 3001, reason: "shutdown" };
    /// 3008: the client does not read as fast as its channels speak.
    pub const SLOW: Self = Self { code: 3008, reason: "slow" };
    /// 3012: a heartbeat was not answered.
    pub const NO_PONG: Self = Self { code: 3012, reason: "no pong" };
    /// 3501: the client does not speak the protocol.
    pub const BAD_REQUEST: Self = Self { code: 3501, reason: "bad request" };
    /// 3502: no connect command in time.
    pub const STALE: Self = Self { code: 3502, reason: "stale" };

    /// Whether the client should connect again.
    pub fn reconnects(self) -> bool {
        matches!(self.code, 3000..3500 | 4000..4500)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_tell_whether_to_come_back() {
        assert!(
            Disconnect::SHUTDOWN.reconnects()
                && Disconnect::SLOW.reconnects()
                && Disconnect::NO_PONG.reconnects()
        );
        assert!(!Disconnect::BAD_REQUEST.reconnects() && !Disconnect::STALE.reconnects());
    }
}
