//! Labels of counters by kind: commands, and codes in messages to clients.
//!
//! Invariant: the values are those listed here, for any input of clients and codes of applications; a code unknown to
//! the protocol is counted as [`OTHER`].

use crate::base::counters::PLACES_MAX;
use crate::hub::words::Ask;

/// The value for codes that are not in a list.
pub(crate) const OTHER: &str = "other";

/// The protocol's codes of errors in replies, in ascending order.
pub(crate) const ERRORS: &[u32] = &[100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113];

/// The protocol's codes of ends of subscriptions, in ascending order.
pub(crate) const UNSUBSCRIBES: &[u32] = &[2000, 2500, 2501, 2502];

/// Codes of close frames: those of RFC 6455 (§ 7.4.1) and IANA's registry that the server sends, and the protocol's, in
/// ascending order.
pub(crate) const DISCONNECTS: &[u32] = &[
    1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011,
    3012, 3013, 3014, 3500, 3501, 3502, 3503, 3504, 3505, 3506, 3507, 3508, 3509,
];

/// Commands, each at the place of [`command_place`], as Centrifugo calls them.
pub(crate) const COMMANDS: [&str; 10] = [
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "rpc",
    "refresh",
    "sub_refresh",
];

/// The reasons for which an event of a Socket.IO client is not handled, or not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventRefusal {
    /// No rule, hook or application takes it.
    NoRule,
    /// A rule drops it.
    Dropped,
    /// The rate of its rule.
    Rate,
    /// An argument that its rule needs is missing, or has another type.
    Argument,
    /// One of its effects cannot be carried out.
    Effect,
    /// The hook failed.
    Hook,
    /// Its client has gone meanwhile.
    Gone,
    /// Its client has no socket in the namespace: it has left, was disconnected or refused, or waits for the answer to
    /// CONNECT.
    NotConnected,
    /// The answer to an event that awaits none, or no longer.
    UnknownAck,
}

impl EventRefusal {
    /// The values of the label, each at its place.
    pub(crate) const NAMES: [&str; 9] =
        ["no_rule", "dropped", "rate", "argument", "effect", "hook", "gone", "not_connected", "unknown_ack"];

    /// The place at which it is counted.
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// The reasons for which a CONNECT is refused, except for who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectRefusal {
    /// The connection has `namespaces_max` namespaces.
    TooMany,
    /// The name of the namespace is longer than `channel_name_bytes_max`.
    LongName,
    /// The application refuses, or does not know the namespace.
    Application,
}

impl ConnectRefusal {
    /// The values of the label, each at its place.
    pub(crate) const NAMES: [&str; 3] = ["too_many", "long_name", "application"];

    /// The place at which it is counted.
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// Refusals of requests to an Engine.IO endpoint, each at the place of its number.
pub(crate) const ENGINE_REFUSALS: [&str; 6] =
    ["unknown_transport", "unknown_session", "bad_method", "bad_request", "forbidden", "unsupported_version"];

const _: () = assert!(ERRORS.len() < PLACES_MAX && UNSUBSCRIBES.len() < PLACES_MAX);
const _: () = assert!(DISCONNECTS.len() < PLACES_MAX && COMMANDS.len() <= PLACES_MAX);

/// The place at which a code of one of the lists is counted; behind them is the place of all others.
pub(crate) fn code_place(codes: &[u32], code: u32) -> usize {
    codes.binary_search(&code).unwrap_or(codes.len())
}

/// The values of the label of a list, each at its place.
pub(crate) fn code_labels(codes: &[u32]) -> impl Iterator<Item = String> {
    codes.iter().map(u32::to_string).chain([OTHER.to_owned()])
}

/// The place at which a command is counted.
#[inline]
pub(crate) fn command_place(ask: &Ask) -> usize {
    match ask {
        Ask::Identify(_) | Ask::Claim(_) => 0,
        Ask::Enter(_) | Ask::Return(_) => 1,
        // Questions to the shard itself and reports are not counted.
        Ask::Leave { .. } | Ask::LeaveGroup { .. } | Ask::Event(_) | Ask::Ended(_) | Ask::Rooms { .. } => 2,
        Ask::Publish { .. } | Ask::Emit(_) | Ask::OrderSockets(_) => 3,
        Ask::Presence { .. } => 4,
        Ask::PresenceStats { .. } => 5,
        Ask::History { .. } => 6,
        Ask::Call { .. } => 7,
        Ask::Renew { .. } => 8,
        Ask::RenewIn { .. } => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_place_of_its_own_and_strangers_share_one() {
        for codes in [ERRORS, UNSUBSCRIBES, DISCONNECTS] {
            assert!(codes.is_sorted());
            for (at, code) in codes.iter().enumerate() {
                assert_eq!(code_place(codes, *code), at);
            }
            let labels: Vec<_> = code_labels(codes).collect();
            assert_eq!((labels.len(), labels[0].clone()), (codes.len() + 1, codes[0].to_string()));
            for stranger in [0, 99, 1234, 2999, 4000, 4999, u32::MAX] {
                assert_eq!(labels[code_place(codes, stranger)], OTHER);
            }
        }
    }

    #[test]
    fn refused_requests_are_counted_by_their_names() {
        use crate::proto::engine::EngineRefusal;
        for (refusal, name) in [
            (EngineRefusal::UnknownTransport, "unknown_transport"),
            (EngineRefusal::UnknownSession, "unknown_session"),
            (EngineRefusal::BadMethod, "bad_method"),
            (EngineRefusal::BadRequest, "bad_request"),
            (EngineRefusal::Forbidden, "forbidden"),
            (EngineRefusal::UnsupportedProtocol, "unsupported_version"),
        ] {
            assert_eq!(ENGINE_REFUSALS[usize::from(refusal.code())], name);
        }
    }

    #[test]
    fn commands_are_counted_by_their_names() {
        let channel = || "a".into();
        let label = |ask: &Ask| COMMANDS[command_place(ask)];
        assert_eq!(label(&Ask::Leave { channel: channel() }), "unsubscribe");
        assert_eq!(label(&Ask::PresenceStats { channel: channel() }), "presence_stats");
        assert_eq!(label(&Ask::Call { method: String::new(), data: Vec::new() }), "rpc");
        assert_eq!(label(&Ask::Renew { token: String::new() }), "refresh");
        assert_eq!(label(&Ask::RenewIn { channel: channel(), token: String::new() }), "sub_refresh");
    }
}
