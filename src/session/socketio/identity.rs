//! The identity of the client of a socket: by a token, a certificate, a proxy, or the application's hook.

use crate::base::heap;
use crate::base::payload::Payload;
use crate::proto::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The rules by which sockets are identified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimRules {
    /// Whether a way to prove an identity is configured: tokens, the hook, certificates, or a header of a proxy.
    pub identifies: bool,
    /// Whether the shard limits the rate of CONNECT.
    pub are_limited: bool,
}

/// Packets of one connection per second, by kind; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketRates {
    /// Packets of the kinds below, together.
    pub all: u32,
    /// CONNECT.
    pub connects: u32,
    /// Events that want no answer.
    pub events: u32,
    /// Events that want an answer.
    pub calls: u32,
    /// Answers to the server's events.
    pub answers: u32,
}

/// The identity of a socket's client. A client without any is anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user; empty when anonymous.
    pub user: Box<str>,
    /// Information for others; empty for none.
    pub info: Payload,
    /// The state that the application's hook gave the socket, JSON; empty for none.
    pub state: Box<[u8]>,
    /// Unix time of the expiry in seconds; 0 for none.
    pub expire_at_s: u64,
    /// Whether the home of the user counts the connection for it.
    pub is_counted: bool,
    /// Whether the application is being asked to renew it.
    pub is_refreshing: bool,
}

impl Identity {
    /// Memory beside its own size, in bytes.
    pub(super) fn bytes(&self) -> usize {
        [self.user.len(), self.info.held_bytes(), self.state.len()].map(heap::piece).iter().sum()
    }
}

/// The result of a claim that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// The identity.
    pub identity: Identity,
    /// Rooms that the socket enters at once.
    pub rooms: Vec<String>,
    /// Effects that are carried out once the client was told that it is connected, a list in JSON; empty for none.
    pub effects: Box<str>,
}

/// The refusal of a socket: its client gets `connect_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketRefusal<'a> {
    /// The code, as in the Centrifuge protocol.
    pub code: u32,
    /// The message.
    pub message: &'a str,
    /// The application's data of the error, JSON in place of the code; empty for none.
    pub data: &'a [u8],
}

/// A socket whose identity has expired, for the question whether it is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The socket's number in its connection.
    pub number: u8,
    /// Its user.
    pub user: String,
}

/// The token in the `auth` of a client; empty for none. A value that is no text is no token either, and so is invalid.
pub(super) fn token_of(auth: &str) -> String {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(auth).unwrap_or_default();
    match members.get("token").map(|value| value.get()) {
        None | Some("null") => String::new(),
        Some(value) => json::from_str(value).unwrap_or_else(|_| value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_last_member_of_that_name() {
        for (auth, token) in [
            ("{}", ""),
            ("null", ""),
            ("[1]", ""),
            (r#"{"Token":"a"}"#, ""),
            (r#"{"token":null}"#, ""),
            (r#"{"a":{"token":"x"},"token":"a\u002eb"}"#, "a.b"),
            (r#"{"token":"x","token":"y"}"#, "y"),
            (r#"{"token":17}"#, "17"),
            (r#"{"token":{"a":1}}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(token_of(auth), token, "{auth}");
        }
    }
}
