//! The query of an Engine.IO request, the refusals, and the packet that opens a session.
//!
//! Invariant: every refusal has the protocol's code and message, and the open packet has exactly its five keys: the
//! protocol's test suites check both. Left out: looking up a session id.

use std::borrow::Cow;

use super::put::{put_number, put_string};
use super::{EngineProtocol, PacketKind};

/// The parameters of a request's query. All others belong to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineQuery<'a> {
    /// `EIO`; 3 unless it is 4, also when it is missing.
    pub protocol: EngineProtocol,
    /// `transport`.
    pub transport: TransportAsked,
    /// `sid`: the session, once there is one. An empty one is none.
    pub sid: Option<Cow<'a, str>>,
    /// `b64`: the client can read no binary data, so it is sent in base64.
    pub base64: bool,
    /// `j`: the client asks for JSONP, which is not served.
    pub jsonp: bool,
}

/// The transport that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportAsked {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    WebSocket,
    /// Missing or unknown.
    Unknown,
}

impl<'a> EngineQuery<'a> {
    /// Reads a query string, the part of a request's target behind `?`. The first of several values of one name counts.
    pub fn read(query: &'a str) -> Self {
        let [mut protocol, mut transport, mut sid, mut base64, mut jsonp] = [const { None }; 5];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "EIO" => &mut protocol,
                "transport" => &mut transport,
                "sid" => &mut sid,
                "b64" => &mut base64,
                "j" => &mut jsonp,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        let is_given = |value: &Cow<'a, str>| !value.is_empty();
        Self {
            protocol: if protocol.as_deref() == Some("4") { EngineProtocol::V4 } else { EngineProtocol::V3 },
            transport: match transport.as_deref() {
                Some("polling") => TransportAsked::Polling,
                Some("websocket") => TransportAsked::WebSocket,
                _ => TransportAsked::Unknown,
            },
            sid: sid.filter(is_given),
            base64: base64.is_some_and(|value| is_given(&value)),
            jsonp: jsonp.is_some(),
        }
    }
}

/// Why a request is refused. Clients treat all of them alike: they drop the session and begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineRefusal {
    /// The transport is missing or not served.
    UnknownTransport,
    /// The session has ended, or never was.
    UnknownSession,
    /// A session is opened by GET only.
    BadMethod,
    /// A WebSocket without upgrade, or another transport than the session's.
    BadRequest,
    /// The client is not allowed.
    Forbidden,
    /// The protocol's version is not served.
    UnsupportedProtocol,
}

impl EngineRefusal {
    /// The protocol's number for it.
    pub fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocol => 5,
        }
    }

    /// The protocol's message; also the whole body of the answer to a refused WebSocket upgrade.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocol => "Unsupported protocol version",
        }
    }

    /// The status of the answer to a request that is not an upgrade; to an upgrade it is always 400.
    pub fn status(self) -> u16 {
        if self == Self::Forbidden { 403 } else { 400 }
    }

    /// Appends the answer's body, `application/json`. `message` replaces the protocol's message.
    pub fn put_body(self, out: &mut Vec<u8>, message: Option<&str>) {
        out.extend_from_slice(b"{\"code\":");
        out.push(b'0' + self.code());
        out.extend_from_slice(b",\"message\":");
        put_string(out, message.unwrap_or(self.message()));
        out.push(b'}');
    }
}

/// The content of the packet that opens a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// The session's id: a secret, by which requests find the session.
    pub sid: &'a str,
    /// Whether the client may move to WebSocket.
    pub may_upgrade: bool,
    /// Time between two pings.
    pub ping_interval_ms: u64,
    /// How long a pong may take.
    pub ping_timeout_ms: u64,
    /// Bytes that a body or a message of the client's may have.
    pub payload_bytes_max: usize,
}

impl Open<'_> {
    /// Appends the packet.
    pub fn put(&self, out: &mut Vec<u8>) {
        let Self { sid, may_upgrade, ping_interval_ms, ping_timeout_ms, payload_bytes_max } = *self;
        out.push(PacketKind::Open.digit());
        out.extend_from_slice(b"{\"sid\":");
        put_string(out, sid);
        out.extend_from_slice(b",\"upgrades\":[");
        out.extend_from_slice(if may_upgrade { b"\"websocket\"" } else { b"" });
        out.extend_from_slice(b"],\"pingInterval\":");
        put_number(out, ping_interval_ms);
        out.extend_from_slice(b",\"pingTimeout\":");
        put_number(out, ping_timeout_ms);
        out.extend_from_slice(b",\"maxPayload\":");
        put_number(out, payload_bytes_max as u64);
        out.push(b'}');
    }
}
