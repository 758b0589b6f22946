//! What every subscriber of a run says and expects: the manner of speaking, and the bytes prepared for it once.
//!
//! Invariant: immutable and shared by all threads; a connection keeps nothing of it. Left out: the conversation.

use super::args::Target;
use super::dial::{self, Upgrade};
use super::frames;
use super::publication::json_string;

/// The path under which a Centrifuge server is expected.
pub(super) const CENTRIFUGE_PATH: &str = "/connection/websocket";

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Nothing: open when connected, and what arrives is frames all the same.
    Tcp,
    /// WebSocket: open after the handshake.
    Raw,
    /// Centrifuge JSON: open when the reply with this id has come.
    Centrifuge { last_id: u32 },
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) target: Target,
    pub(super) manner: Manner,
    pub(super) request: Vec<u8>,
    pub(super) upgrade: Upgrade,
    /// Sent after the handshake.
    pub(super) greeting: Vec<u8>,
    /// The masked frame that answers a heartbeat.
    pub(super) heartbeat: Vec<u8>,
    pub(super) data_bytes: usize,
}

impl Script {
    /// For connections to `target`; with a channel they subscribe to it.
    pub(super) fn new(target: Target, tcp: bool, channel: Option<&str>, data_bytes: usize) -> Self {
        let centrifuge = channel.is_some() || target.path.ends_with(CENTRIFUGE_PATH);
        let manner = match (tcp, centrifuge) {
            (true, _) => Manner::Tcp,
            (false, false) => Manner::Raw,
            (false, true) => Manner::Centrifuge { last_id: 1 + u32::from(channel.is_some()) },
        };
        let mut commands = String::from("{\"id\":1,\"connect\":{}}");
        if let Some(channel) = channel {
            commands += &format!("\n{{\"id\":2,\"subscribe\":{{\"channel\":{}}}}}", json_string(channel));
        }
        let (mut greeting, mut heartbeat) = (Vec::new(), Vec::new());
        frames::push_masked(&mut greeting, frames::TEXT, commands.as_bytes());
        frames::push_masked(&mut heartbeat, frames::TEXT, b"{}");
        let request = dial::request(&target);
        Self { target, manner, request, upgrade: Upgrade::new(), greeting, heartbeat, data_bytes }
    }

    /// The same without a channel: how the publisher connects.
    pub(super) fn of_publisher(&self) -> Self {
        let tcp = self.manner == Manner::Tcp;
        Self::new(self.target.clone(), tcp, None, self.data_bytes)
    }
}

/// A reply, as far as it matters whether it is one and good.
#[derive(Debug, serde::Deserialize)]
struct Reply {
    #[serde(default)]
    id: u32,
    error: Option<ReplyError>,
}

#[derive(Debug, serde::Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
}

/// The id of a reply, 0 for a push.
///
/// # Errors
/// The server's error, or that the line is no reply, as the kind under which the failure is counted.
pub(super) fn reply_id(line: &[u8]) -> Result<u32, String> {
    let reply: Reply = serde_json::from_slice(line).map_err(|_| "reply: not JSON as expected".to_owned())?;
    match reply.error {
        Some(error) => Err(format!("reply: error {} {}", error.code, error.message)),
        None => Ok(reply.id),
    }
}

/// The kind under which a connection is counted that the server ended with a close frame.
pub(super) fn close_cause(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let reason: String = String::from_utf8_lossy(reason).chars().take(60).collect();
            format!("closed by the server: {} {reason}", u16::from_be_bytes(*code)).trim_end().to_owned()
        }
        None => "closed by the server without a code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(url: &str, tcp: bool, channel: Option<&str>) -> Script {
        Script::new(Target::parse(url).unwrap(), tcp, channel, 100)
    }

    #[test]
    fn the_path_and_the_channel_decide_what_is_spoken() {
        let centrifuge = "ws://127.0.0.1:1/connection/websocket";
        assert_eq!(script("ws://127.0.0.1:1/echo", false, None).manner, Manner::Raw);
        assert_eq!(script(centrifuge, false, None).manner, Manner::Centrifuge { last_id: 1 });
        let subscriber = script(centrifuge, false, Some("bench"));
        assert_eq!(subscriber.manner, Manner::Centrifuge { last_id: 2 });
        assert_eq!(subscriber.of_publisher().manner, Manner::Centrifuge { last_id: 1 });
        assert_eq!(script(centrifuge, true, Some("bench")).manner, Manner::Tcp);
    }

    #[test]
    fn replies_and_closes_become_kinds() {
        assert_eq!(reply_id(b"{\"id\":2,\"subscribe\":{}}"), Ok(2));
        assert_eq!(reply_id(b"{\"push\":{}}"), Ok(0));
        let denied = reply_id(b"{\"id\":2,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
        assert_eq!(denied, Err("reply: error 103 permission denied".to_owned()));
        assert!(reply_id(b"nonsense").is_err());
        assert_eq!(close_cause(&[0x0b, 0xc0, b's', b'l', b'o', b'w']), "closed by the server: 3008 slow");
        assert_eq!(close_cause(&[]), "closed by the server without a code");
    }
}
