//! A minimal Centrifuge client in JSON for tests: sends given commands, matches replies by id, answers pings.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::peer::{CLOSE, Frame, Peer, TEXT};

/// The default path of the endpoint.
pub(crate) const PATH: &str = "/connection/websocket";

/// One connection past its connect command.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// The connect reply.
    pub(crate) hello: Value,
    /// Lines that arrived and were not requested yet.
    lines: VecDeque<Value>,
    next_id: u32,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(Peer::open(address, PATH))
    }

    /// Sends connect on a new WebSocket.
    pub(crate) fn over(peer: Peer) -> Self {
        Self::try_over(peer, json!({})).unwrap()
    }

    /// Connects with a token.
    pub(crate) fn with_token(address: SocketAddr, token: &str) -> Self {
        Self::try_over(Peer::open(address, PATH), json!({"token": token})).unwrap()
    }

    /// Sends connect, with these fields, on a new WebSocket. `Err`: the error's code.
    pub(crate) fn try_over(peer: Peer, connect: Value) -> Result<Self, u64> {
        let mut client = Self { peer, hello: Value::Null, lines: VecDeque::new(), next_id: 1 };
        let mut reply = client.request(json!({"connect": connect}));
        outcome(&reply, "connect")?;
        client.hello = reply["connect"].take();
        assert!(client.hello["client"].is_string(), "{:?}", client.hello);
        Ok(client)
    }

    /// A client whose connect command, with id 1, was answered by this frame.
    pub(crate) fn of(peer: Peer, answer: &Frame) -> Self {
        let mut lines: VecDeque<Value> = parse(&answer.payload).into();
        let hello = lines.pop_front().unwrap()["connect"].take();
        assert!(hello["client"].is_string(), "{hello}");
        Self { peer, hello, lines, next_id: 2 }
    }

    /// A client that is subscribed to these channels.
    pub(crate) fn subscribed(address: SocketAddr, channels: &[&str]) -> Self {
        let mut client = Self::open(address);
        for channel in channels {
            assert_eq!(client.subscribe(channel), Ok(()));
        }
        client
    }

    /// Sends one text frame as it is.
    pub(crate) fn send(&mut self, text: &str) {
        self.peer.send(TEXT, text);
    }

    /// Sends a command and returns its reply; other lines that arrive meanwhile are kept.
    pub(crate) fn request(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = id.into();
        self.send(&command.to_string());
        self.reply(id)
    }

    /// The reply with this id; other lines that arrive meanwhile are kept.
    pub(crate) fn reply(&mut self, id: u32) -> Value {
        self.take(|line| line["id"] == id)
    }

    /// The next reply, with any id; other lines that arrive meanwhile are kept.
    pub(crate) fn next_reply(&mut self) -> Value {
        self.take(|line| line["id"].is_number())
    }

    /// `Err`: the error's code.
    pub(crate) fn subscribe(&mut self, channel: &str) -> Result<(), u64> {
        outcome(&self.request(json!({"subscribe": {"channel": channel}})), "subscribe")
    }

    /// `Err`: the error's code.
    pub(crate) fn unsubscribe(&mut self, channel: &str) -> Result<(), u64> {
        outcome(&self.request(json!({"unsubscribe": {"channel": channel}})), "unsubscribe")
    }

    /// `Err`: the error's code.
    pub(crate) fn publish(&mut self, channel: &str, data: Value) -> Result<(), u64> {
        outcome(&self.request(json!({"publish": {"channel": channel, "data": data}})), "publish")
    }

    /// As [`Client::publish`], by a client that the server may disconnect; `None` if it did.
    pub(crate) fn publish_if_let(&mut self, channel: &str, data: Value) -> Option<Result<(), u64>> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, "publish": {"channel": channel, "data": data}}).to_string());
        loop {
            let frame = self.peer.try_frame().filter(|frame| frame.opcode != CLOSE)?;
            for line in parse(&frame.payload) {
                match line {
                    ping if ping == json!({}) => self.send("{}"),
                    reply if reply["id"] == id => return Some(outcome(&reply, "publish")),
                    other => self.lines.push_back(other),
                }
            }
        }
    }

    /// The next publication: its channel and its data.
    pub(crate) fn publication(&mut self) -> (String, Value) {
        let mut push = self.take(|line| line["push"]["pub"].is_object());
        let channel = push["push"]["channel"].as_str().unwrap().to_owned();
        (channel, push["push"]["pub"]["data"].take())
    }

    /// The next push of a kind (`subscribe`, `unsubscribe`, `join` …); other lines that arrive meanwhile are kept.
    pub(crate) fn push(&mut self, kind: &str) -> Value {
        self.take(|line| line["push"][kind].is_object())["push"].take()
    }

    /// The data of the next publications, of any channel.
    pub(crate) fn publications(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.publication().1).collect()
    }

    /// The lines of the next frame that is no ping, all at once.
    pub(crate) fn frame_lines(&mut self) -> Vec<Value> {
        assert!(self.lines.is_empty(), "not asked for yet: {:?}", self.lines);
        loop {
            self.receive();
            if !self.lines.is_empty() {
                return self.lines.drain(..).collect();
            }
        }
    }

    /// Reads up to the close frame, which must have this code, and to the end; returns the lines before it.
    pub(crate) fn expect_close(mut self, code: u16) -> Vec<Value> {
        let mut lines: Vec<Value> = self.lines.into();
        loop {
            let frame = self.peer.frame();
            if frame.opcode == CLOSE {
                assert_eq!(frame.close_code(), Some(code));
                self.peer.expect_end();
                return lines;
            }
            lines.extend(parse(&frame.payload));
        }
    }

    /// A round trip: all earlier output of the server has arrived.
    pub(crate) fn sync(&mut self) {
        self.request(json!({"ping": {}}));
    }

    fn take(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.lines.iter().position(&wanted) {
                return self.lines.remove(at).unwrap();
            }
            self.receive();
        }
    }

    fn receive(&mut self) {
        let (opcode, payload) = self.peer.message();
        assert_eq!(opcode, TEXT);
        for line in parse(&payload) {
            if line == json!({}) {
                self.send("{}");
            } else {
                self.lines.push_back(line);
            }
        }
    }
}

fn parse(payload: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(payload).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A reply's result or the code of its error; it has one of them.
fn outcome(reply: &Value, name: &str) -> Result<(), u64> {
    match reply["error"]["code"].as_u64() {
        Some(code) => Err(code),
        None => {
            assert!(reply[name].is_object(), "{reply}");
            Ok(())
        }
    }
}
