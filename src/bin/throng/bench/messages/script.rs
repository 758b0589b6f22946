//! The commands and expected replies of a run's subscribers: the protocol, and the bytes prepared once.
//!
//! Invariant: immutable and shared by all threads; a connection stores nothing of it. Left out: the sequence of
//! messages.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bench::args::{Protocol, Target};
use crate::bench::connections::dial::{self, Upgrade};
use crate::bench::connections::tokens::Tokens;
use crate::bench::messages::frames;
use crate::bench::messages::publication::{DATA_BYTES_MIN, Form, Spread, json_string};
use crate::bench::messages::socketio::{self, Packet, Ticket};

/// The default path of a Centrifuge server.
pub(crate) const CENTRIFUGE_PATH: &str = "/connection/websocket";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// No handshake: open when connected; the input still consists of frames.
    Tcp,
    /// WebSocket: open after the handshake.
    Raw,
    /// Centrifuge JSON: open after the reply with this id.
    Centrifuge { last_id: u32 },
    /// Socket.IO: open when connected to the main namespace, and in so many rooms.
    SocketIo { rooms: u32 },
}

/// The subscriptions of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscriptions {
    None,
    One {
        channel: String,
        /// Whether it subscribes as recoverable.
        recoverable: bool,
    },
    Several(Spread),
}

/// The position of a stream at a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    pub(crate) epoch: String,
}

/// The sessions of Socket.IO clients over more than one connection.
#[derive(Clone, Debug, Default)]
pub(crate) enum Sessions {
    /// Each connection is a new session.
    #[default]
    New,
    /// Each connection's session is kept, to be recovered later.
    Kept,
    /// Sessions to recover, by the connection's number; publications `next..end` were missed.
    Recovered { tickets: Arc<Vec<Ticket>>, next: u32, end: u32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) target: Target,
    pub(crate) manner: Manner,
    pub(crate) request: Vec<u8>,
    pub(crate) upgrade: Upgrade,
    /// Whether the connection offers compression.
    pub(crate) deflate: bool,
    /// Sent after the handshake, if it is the same for all connections.
    greeting: Vec<u8>,
    subscriptions: Subscriptions,
    tokens: Tokens,
    /// The first number of connections, which determines their source addresses.
    pub(crate) first: usize,
    /// The masked frame to send when all are connected; its reply opens the connection.
    pub(crate) encore: Option<Vec<u8>>,
    /// Socket.IO: sessions to keep, or to recover.
    pub(crate) sessions: Sessions,
    /// The masked frame that answers a heartbeat.
    pub(crate) heartbeat: Vec<u8>,
    pub(crate) data_bytes: usize,
}

impl Script {
    /// A script for connections to `target`; they subscribe to `channel`, if there is one.
    pub(crate) fn new(target: Target, tcp: bool, channel: Option<&str>, data_bytes: usize) -> Self {
        let subscriptions = channel.map_or(Subscriptions::None, |channel| Subscriptions::One {
            channel: channel.to_owned(),
            recoverable: false,
        });
        Self::of(target, tcp, subscriptions, Tokens::None, data_bytes)
    }

    /// A script for connections with these subscriptions and tokens.
    pub(crate) fn of(
        target: Target,
        tcp: bool,
        subscriptions: Subscriptions,
        tokens: Tokens,
        data_bytes: usize,
    ) -> Self {
        let centrifuge = subscriptions != Subscriptions::None || target.path.ends_with(CENTRIFUGE_PATH);
        let manner = match (tcp, centrifuge) {
            (true, _) => Manner::Tcp,
            _ if target.protocol == Protocol::Socketio => Manner::SocketIo { rooms: subscriptions.count() },
            (false, false) => Manner::Raw,
            (false, true) => Manner::Centrifuge { last_id: 1 + subscriptions.count() },
        };
        let (mut heartbeat, form) = (Vec::new(), form(&target));
        frames::push_masked(&mut heartbeat, frames::TEXT, form.heartbeat().1);
        let request = dial::request(&target, false);
        let mut script = Self {
            target,
            manner,
            request,
            upgrade: Upgrade::new(false),
            deflate: false,
            greeting: Vec::new(),
            subscriptions,
            tokens,
            first: 0,
            encore: None,
            sessions: Sessions::New,
            heartbeat,
            data_bytes,
        };
        if script.is_the_same_for_all() {
            script.greeting = script.commands(0);
        }
        script
    }

    /// This script for connections that offer compression.
    pub(crate) fn deflating(self) -> Self {
        let (request, upgrade) = (dial::request(&self.target, true), Upgrade::new(true));
        Self { request, upgrade, deflate: true, ..self }
    }

    fn is_the_same_for_all(&self) -> bool {
        !matches!(self.sessions, Sessions::Recovered { .. })
            && matches!(self.tokens, Tokens::None)
            && !matches!(self.subscriptions, Subscriptions::Several(_))
    }

    /// The masked frame that connection `number` sends after the handshake.
    pub(crate) fn greeting(&self, number: usize) -> Cow<'_, [u8]> {
        if self.is_the_same_for_all() {
            Cow::Borrowed(&self.greeting)
        } else {
            Cow::Owned(self.commands(number))
        }
    }

    /// The protocol of publications.
    pub(crate) fn form(&self) -> Form {
        form(&self.target)
    }

    /// The events of Socket.IO that make connection `number` join its rooms.
    fn joins(&self, number: usize) -> Vec<String> {
        match &self.subscriptions {
            Subscriptions::None => Vec::new(),
            Subscriptions::One { channel, .. } => vec![socketio::join(1, channel)],
            Subscriptions::Several(spread) => {
                let rooms = (1..).zip(spread.channels_of(number));
                rooms.map(|(id, room)| socketio::join(id, &spread.name(room))).collect()
            }
        }
    }

    /// These events, as masked frames.
    pub(crate) fn join_frames(&self, number: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for event in self.joins(number) {
            frames::push_masked(&mut out, frames::TEXT, event.as_bytes());
        }
        out
    }

    /// These events, as the body of a POST.
    pub(crate) fn join_packets(&self, number: usize) -> String {
        self.joins(number).join(&char::from(socketio::SEPARATOR).to_string())
    }

    /// The session that connection `number` recovers.
    pub(crate) fn ticket(&self, number: usize) -> Option<&Ticket> {
        match &self.sessions {
            Sessions::Recovered { tickets, .. } => tickets.get(number),
            Sessions::New | Sessions::Kept => None,
        }
    }

    fn commands(&self, number: usize) -> Vec<u8> {
        if matches!(self.manner, Manner::SocketIo { .. }) {
            let (mut out, ticket) = (Vec::new(), self.ticket(number));
            let connect = ticket.map_or_else(|| self.socketio_connect(number), Ticket::connect);
            frames::push_masked(&mut out, frames::TEXT, connect.as_bytes());
            return out;
        }
        let token = self.tokens.of(number).map_or_else(String::new, |token| format!("\"token\":\"{token}\""));
        let mut commands = format!("{{\"id\":1,\"connect\":{{{token}}}}}");
        match &self.subscriptions {
            Subscriptions::None => {}
            Subscriptions::One { channel, recoverable } => {
                commands += &subscribe(2, channel, if *recoverable { ",\"recoverable\":true" } else { "" });
            }
            Subscriptions::Several(spread) => {
                for (id, channel) in (2..).zip(spread.channels_of(number)) {
                    commands += &subscribe(id, &spread.name(channel), "");
                }
            }
        }
        let mut out = Vec::new();
        frames::push_masked(&mut out, frames::TEXT, commands.as_bytes());
        out
    }

    /// CONNECT of a new session: with a token, as the clients give it.
    pub(crate) fn socketio_connect(&self, number: usize) -> String {
        let auth = self.tokens.of(number).map(|token| format!("{{\"token\":\"{token}\"}}"));
        format!("{}{}", socketio::CONNECT, auth.unwrap_or_default())
    }

    /// The distribution of publications over channels, if there are several.
    pub(crate) fn spread(&self) -> Option<&Spread> {
        match &self.subscriptions {
            Subscriptions::Several(spread) => Some(spread),
            Subscriptions::None | Subscriptions::One { .. } => None,
        }
    }

    /// This script for reconnecting clients, with numbers from `first` on: they wait for each other, and then
    /// recover the channel from position `from`.
    pub(crate) fn returning(&self, channel: &str, from: &Position, first: usize) -> Self {
        let (channel, epoch) = (json_string(channel), json_string(&from.epoch));
        let command = format!(
            "{{\"id\":2,\"subscribe\":{{\"channel\":{channel},\"recoverable\":true,\"recover\":true,\"offset\":{},\"epoch\":{epoch}}}}}",
            from.offset
        );
        let mut encore = Vec::new();
        frames::push_masked(&mut encore, frames::TEXT, command.as_bytes());
        let script =
            Self::of(self.target.clone(), false, Subscriptions::None, self.tokens.clone(), self.data_bytes);
        Self { manner: Manner::Centrifuge { last_id: 2 }, first, encore: Some(encore), ..script }
    }

    /// Whether these bytes behind the handshake contain the reply that opens the connection.
    ///
    /// # Errors
    /// Any other content, as the kind under which the failure is counted.
    pub(crate) fn is_opened_by(&self, bytes: &[u8]) -> Result<bool, String> {
        let last_id = match self.manner {
            Manner::Tcp | Manner::Raw => return Ok(true),
            Manner::Centrifuge { last_id } => last_id,
            Manner::SocketIo { .. } => 0,
        };
        let mut rest = bytes;
        while let Some(head) = frames::header(rest).map_err(|broken| broken.cause().to_owned())? {
            let Some(payload) = rest[head.head_bytes..].get(..head.payload_bytes) else { break };
            rest = &rest[head.head_bytes + payload.len()..];
            match head.opcode {
                frames::CLOSE => return Err(close_cause(payload)),
                frames::TEXT if matches!(self.manner, Manner::SocketIo { .. }) => {
                    if matches!(socketio::packet(payload)?, Packet::Connected { .. }) {
                        return Ok(true);
                    }
                }
                frames::TEXT | frames::BINARY => {
                    for line in payload.split(|&byte| byte == b'\n') {
                        if reply_id(line)? == last_id {
                            return Ok(true);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// This script without a channel, for the publisher.
    pub(crate) fn of_publisher(&self) -> Self {
        let tcp = self.manner == Manner::Tcp;
        let (none, tokens) = (Subscriptions::None, self.tokens.clone());
        Self::of(self.target.clone(), tcp, none, tokens, self.data_bytes)
    }
}

impl Subscriptions {
    fn count(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::One { .. } => 1,
            Self::Several(spread) => spread.each,
        }
    }
}

fn form(target: &Target) -> Form {
    match target.protocol {
        Protocol::Auto => Form::Centrifuge,
        Protocol::Socketio => Form::SocketIo,
    }
}

/// A further subscribe command.
fn subscribe(id: u32, channel: &str, more: &str) -> String {
    format!("\n{{\"id\":{id},\"subscribe\":{{\"channel\":{}{more}}}}}", json_string(channel))
}

/// A reply, with the fields that tell success from failure.
#[derive(Debug, serde::Deserialize)]
struct Reply {
    #[serde(default)]
    id: u32,
    error: Option<ReplyError>,
    subscribe: Option<Subscribed>,
}

/// The stream in a subscribe reply.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Subscribed {
    offset: u64,
    epoch: String,
    recovered: bool,
    publications: Vec<Recovered>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Recovered {
    offset: u64,
    data: String,
}

impl Subscribed {
    /// The position of the stream.
    pub(crate) fn position(&self) -> Option<Position> {
        (!self.epoch.is_empty()).then(|| Position { offset: self.offset, epoch: self.epoch.clone() })
    }

    /// The number of recovered publications: all of this run, from the first on, each once and in order.
    ///
    /// # Errors
    /// Missing, repeated or unordered publications, as the kind under which the failure is counted.
    pub(crate) fn recovered(&self) -> Result<u32, String> {
        if !self.recovered {
            return Err("recovery: refused".to_owned());
        }
        let first = self.publications.first().map_or(0, |publication| publication.offset);
        for (number, publication) in (0..).zip(&self.publications) {
            let data = &publication.data;
            let said =
                data.get(2..DATA_BYTES_MIN - 2).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            if said != Some(number) || publication.offset != first + u64::from(number) {
                return Err("recovery: a gap, a repetition or a disorder".to_owned());
            }
        }
        u32::try_from(self.publications.len()).map_err(|_| "recovery: endless".to_owned())
    }
}

#[derive(Debug, serde::Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
}

/// The id of a reply, and its subscription.
///
/// # Errors
/// As [`reply_id`].
pub(crate) fn subscribed(line: &[u8]) -> Result<(u32, Subscribed), String> {
    let reply: Reply = serde_json::from_slice(line).map_err(|_| "reply: not JSON as expected".to_owned())?;
    match reply.error {
        Some(error) => Err(format!("reply: error {} {}", error.code, error.message)),
        None => Ok((reply.id, reply.subscribe.unwrap_or_default())),
    }
}

/// The id of a reply, 0 for a push.
///
/// # Errors
/// The server's error, or an invalid line, as the kind under which the failure is counted.
pub(crate) fn reply_id(line: &[u8]) -> Result<u32, String> {
    subscribed(line).map(|(id, _)| id)
}

/// The kind under which a close frame of the server is counted.
pub(crate) fn close_cause(payload: &[u8]) -> String {
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
    use crate::bench::connections::tls::TlsArgs;

    fn script(url: &str, tcp: bool, channel: Option<&str>) -> Script {
        Script::new(Target::parse(url, &TlsArgs::default()).unwrap(), tcp, channel, 100)
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
