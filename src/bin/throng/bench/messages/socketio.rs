//! Packets of Engine.IO 4 and Socket.IO 5, as far as the generator needs them: the main namespace, text only.
//!
//! The application under test answers three events: `join` with a room, and `echo` with data, both by an
//! acknowledgement (of `echo`, with the data); and `publish` with a room and data, which it emits to the room
//! (`examples/socketio_bench.rs`). The invariant: a packet without a meaning here is a failure or ignored, never
//! taken for another. Left out: attachments, other namespaces, msgpack.

use std::borrow::Cow;

use crate::bench::messages::publication::json_string;

/// Separates the packets of a poll.
pub(crate) const SEPARATOR: u8 = 0x1e;
/// CONNECT for the main namespace.
pub(crate) const CONNECT: &str = "40";
/// The close packet.
pub(crate) const CLOSE: &str = "1";
/// Probe and its answer, then the packet that ends polling.
pub(crate) const PROBE: &str = "2probe";
pub(crate) const PROBED: &[u8] = b"3probe";
pub(crate) const UPGRADE: &str = "5";
/// The answer to a ping.
pub(crate) const PONG: &str = "3";

/// A packet of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The session's id.
    Open(Cow<'a, str>),
    Ping,
    Noop,
    /// The answer to CONNECT; with recovery, the private id.
    Connected {
        pid: Option<String>,
    },
    /// The answer to the event with this id.
    Ack(u32),
    /// An event, or a pong.
    Other,
}

#[derive(serde::Deserialize)]
struct Handshake<'a> {
    #[serde(borrow)]
    sid: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Connected {
    #[serde(rename = "sid")]
    _sid: serde::de::IgnoredAny,
    pid: Option<String>,
}

/// Reads a packet.
///
/// # Errors
/// A refusal, an end, or an invalid packet, as the kind under which the failure is counted.
pub(crate) fn packet(text: &[u8]) -> Result<Packet<'_>, String> {
    let broken = |what: &str| format!("packet: invalid {what}");
    match text {
        [b'0', json @ ..] => {
            let open: Handshake<'_> = serde_json::from_slice(json).map_err(|_| broken("open"))?;
            Ok(Packet::Open(open.sid))
        }
        b"2" => Ok(Packet::Ping),
        b"6" => Ok(Packet::Noop),
        b"1" | [b'4', b'1', ..] => Err("closed by the server: packet".to_owned()),
        [b'4', b'0', json @ ..] => {
            let connected: Connected =
                serde_json::from_slice(json).map_err(|_| broken("answer to CONNECT"))?;
            Ok(Packet::Connected { pid: connected.pid })
        }
        [b'4', b'3', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let id = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok());
            id.map(Packet::Ack).ok_or_else(|| broken("acknowledgement"))
        }
        [b'4', b'4', json @ ..] => {
            let message: String = String::from_utf8_lossy(json).chars().take(60).collect();
            Err(format!("connect refused: {message}"))
        }
        [b'3', ..] | [b'4', b'2', ..] => Ok(Packet::Other),
        _ => Err(broken("type")),
    }
}

/// The event that joins a room.
pub(crate) fn join(id: u32, room: &str) -> String {
    format!("42{id}[\"join\",{}]", json_string(room))
}

/// The claim with which a client recovers its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) pid: String,
    /// The last argument of the last event; none before the first event.
    pub(crate) offset: Option<String>,
}

impl Ticket {
    /// CONNECT with this session.
    pub(crate) fn connect(&self) -> String {
        let offset =
            self.offset.as_ref().map_or_else(String::new, |at| format!(",\"offset\":{}", json_string(at)));
        format!("40{{\"pid\":{}{offset}}}", json_string(&self.pid))
    }
}

/// The offset at the end of an event: its last argument, a string without escapes.
pub(crate) fn offset(event: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(event).ok()?.strip_suffix("\"]")?;
    text.rfind('"').map(|at| &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_become_what_they_mean() {
        let open = packet(b"0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":25000}").unwrap();
        assert_eq!(open, Packet::Open("abc".into()));
        assert_eq!(packet(b"40{\"sid\":\"x\"}").unwrap(), Packet::Connected { pid: None });
        let pid = Some("p".to_owned());
        assert_eq!(packet(b"40{\"sid\":\"x\",\"pid\":\"p\"}").unwrap(), Packet::Connected { pid });
        assert_eq!(packet(b"4317[1]").unwrap(), Packet::Ack(17));
        for (text, meaning) in
            [("2", Packet::Ping), ("6", Packet::Noop), ("3probe", Packet::Other), ("42[1]", Packet::Other)]
        {
            assert_eq!(packet(text.as_bytes()).unwrap(), meaning);
        }
        for bad in ["", "0x", "40", "40{}", "43[]", "44{\"message\":\"no\"}", "41", "1", "7", "451-[]"] {
            assert!(packet(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ticket_has_what_the_server_gave() {
        assert_eq!(offset(b"42[\"publish\",\"bench\",\"~#00\",\"e.7\"]"), Some("e.7"));
        assert_eq!(offset(b"42[\"publish\",1]"), None);
        let ticket = Ticket { pid: "p".to_owned(), offset: None };
        assert_eq!(ticket.connect(), "40{\"pid\":\"p\"}");
        let ticket = Ticket { offset: Some("e.7".to_owned()), ..ticket };
        assert_eq!(ticket.connect(), "40{\"pid\":\"p\",\"offset\":\"e.7\"}");
    }
}
