//! The rules of Engine.IO and Socket.IO that a client's packets can break.
//!
//! Invariant: each rule has a text for the close frame and a name for the metric, and neither has data of the client.

use crate::proto::engine::EngineError;
use crate::proto::socketio::SocketError;

/// The rule that a packet of Engine.IO or Socket.IO breaks. The session ends with close code 1002; over HTTP long-polling
/// the request with the packet is answered with status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketFault {
    /// A packet of Engine.IO, or a body of several, cannot be read.
    Engine(EngineError),
    /// A packet of Socket.IO cannot be read.
    Socket(SocketError),
    /// A packet that may not come now, or not from a client.
    Order(OrderFault),
}

/// A packet that may not come now, or not from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderFault {
    /// In Engine.IO 4 only the server pings, in Engine.IO 3 only the client.
    WrongPing,
    /// A WebSocket that is to replace polls begins with something else than `2probe` or `5`.
    NoProbe,
    /// A POST while another one of the session is handled.
    SecondPost,
    /// Text, where the endpoint speaks msgpack.
    TextForMsgPack,
    /// A CONNECT for a namespace in which the client has a socket, or waits for one.
    SecondConnect,
    /// CONNECT_ERROR, which only servers send.
    ConnectError,
    /// A packet before any CONNECT.
    BeforeConnect,
    /// Wrong credentials for the admin page, for a second time.
    WrongLogins,
}

impl From<EngineError> for PacketFault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<SocketError> for PacketFault {
    fn from(error: SocketError) -> Self {
        Self::Socket(error)
    }
}

impl From<OrderFault> for PacketFault {
    fn from(fault: OrderFault) -> Self {
        Self::Order(fault)
    }
}

impl PacketFault {
    /// The values of the metric's label, each at its place. The last one is the fault of a poll beside a parked one, which
    /// has no close frame.
    pub(crate) const NAMES: [&'static str; 31] = [
        "engine_empty",
        "engine_type",
        "engine_utf8",
        "engine_base64",
        "engine_binary",
        "engine_length",
        "type",
        "attachment_count",
        "too_many_attachments",
        "attachment_bytes",
        "placeholders",
        "text_for_attachment",
        "stray_binary",
        "namespace",
        "ack_id",
        "json",
        "payload",
        "no_list",
        "event_name",
        "reserved_name",
        "msgpack",
        "too_deep",
        "wrong_ping",
        "no_probe",
        "second_post",
        "text_for_msgpack",
        "second_connect",
        "connect_error",
        "before_connect",
        "wrong_logins",
        "second_poll",
    ];
    /// The place at which a poll beside a parked one is counted.
    pub(crate) const SECOND_POLL: usize = 30;

    /// The rule that is broken, for the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Engine(error) => error.reason(),
            Self::Socket(error) => error.reason(),
            Self::Order(fault) => match fault {
                OrderFault::WrongPing => "only the other side pings in this version of Engine.IO",
                OrderFault::NoProbe => "before the upgrade only 2probe and 5 are expected",
                OrderFault::SecondPost => "a post while another is handled",
                OrderFault::TextForMsgPack => "the endpoint speaks msgpack, and this is text",
                OrderFault::SecondConnect => "a second CONNECT for one namespace",
                OrderFault::ConnectError => "CONNECT_ERROR, which only servers send",
                OrderFault::BeforeConnect => "a packet before any CONNECT",
                OrderFault::WrongLogins => "two wrong logins to /admin",
            },
        }
    }

    /// The name of the rule in the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Engine(error) => match error {
                EngineError::Empty => "engine_empty",
                EngineError::UnknownType(_) => "engine_type",
                EngineError::NotUtf8 => "engine_utf8",
                EngineError::Base64 => "engine_base64",
                EngineError::NotAMessage | EngineError::BinaryBody => "engine_binary",
                EngineError::Length => "engine_length",
            },
            Self::Socket(error) => match error {
                SocketError::UnknownType => "type",
                SocketError::AttachmentCount => "attachment_count",
                SocketError::TooManyAttachments => "too_many_attachments",
                SocketError::AttachmentBytes => "attachment_bytes",
                SocketError::Placeholders => "placeholders",
                SocketError::TextForAttachment => "text_for_attachment",
                SocketError::StrayBinary => "stray_binary",
                SocketError::Namespace => "namespace",
                SocketError::AckId => "ack_id",
                SocketError::Json => "json",
                SocketError::ConnectPayload | SocketError::DisconnectPayload | SocketError::ErrorPayload => {
                    "payload"
                }
                SocketError::NoList => "no_list",
                SocketError::EventName => "event_name",
                SocketError::ReservedName => "reserved_name",
                SocketError::MsgPack => "msgpack",
                SocketError::TooDeep => "too_deep",
            },
            Self::Order(fault) => match fault {
                OrderFault::WrongPing => "wrong_ping",
                OrderFault::NoProbe => "no_probe",
                OrderFault::SecondPost => "second_post",
                OrderFault::TextForMsgPack => "text_for_msgpack",
                OrderFault::SecondConnect => "second_connect",
                OrderFault::ConnectError => "connect_error",
                OrderFault::BeforeConnect => "before_connect",
                OrderFault::WrongLogins => "wrong_logins",
            },
        }
    }

    /// The place at which it is counted.
    pub(crate) fn place(self) -> usize {
        let name = self.name();
        Self::NAMES.iter().position(|known| *known == name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::counters::PLACES_MAX;

    #[test]
    fn each_name_has_a_place_of_its_own() {
        let mut names = PacketFault::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), PacketFault::NAMES[PacketFault::SECOND_POLL]), (31, "second_poll"));
        assert!(PacketFault::NAMES.len() <= PLACES_MAX);
    }

    #[test]
    fn each_rule_is_counted_by_its_name() {
        let faults: [PacketFault; 12] = [
            EngineError::Empty.into(),
            EngineError::UnknownType(b'x').into(),
            EngineError::BinaryBody.into(),
            EngineError::Length.into(),
            SocketError::UnknownType.into(),
            SocketError::StrayBinary.into(),
            SocketError::ErrorPayload.into(),
            SocketError::ReservedName.into(),
            SocketError::TooDeep.into(),
            OrderFault::WrongPing.into(),
            OrderFault::SecondConnect.into(),
            OrderFault::BeforeConnect.into(),
        ];
        for fault in faults {
            let name = PacketFault::NAMES[fault.place()];
            assert_eq!(name, fault.name());
            assert!(!fault.reason().is_empty());
        }
    }
}
