//! Conversations with a session: what a client sends, and what it gets.

mod admin;
mod claims;
mod hooked;
mod lives;
mod logic;
mod old;
mod packets;
mod returning;
mod rooms;

use std::collections::VecDeque;

use serde_json::Value;

use super::*;
use crate::hub::away::{Away, Return};
use crate::hub::reach::Reach;
use crate::hub::words::{Ask, Entered, Reply};
use crate::proto::socketio::SocketProtocol;
use crate::proto::ws::Press;
use crate::session::Told;
use crate::session::tests::{client, settings};
use crate::session::{Action, Counts, Forwarded, Session as AnySession, Settings, Speaks};

const HEAD: &str = "GET /socket.io/?EIO=4&transport=websocket&token=t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Does as the event is named, and remembers which sockets ended.
#[derive(Default)]
struct App {
    ended: Vec<String>,
    asked: Vec<String>,
    users: Vec<String>,
    tickets: Vec<Ticket<Value>>,
}

impl Events for App {
    type State = Value;

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<Value> {
        self.asked.push(format!("{} {}", connecting.namespace, connecting.query));
        let info = String::from_utf8_lossy(connecting.info);
        self.users.push(format!("{} {info}", connecting.user));
        let auth = || {
            connecting.auth.map_or_else(|| serde_json::json!({}), |auth| serde_json::from_str(auth).unwrap())
        };
        match connecting.namespace {
            "/later" => {
                let (ticket, later) = connecting.later();
                self.tickets.push(ticket);
                later
            }
            // The application finds that it need not ask.
            "/unused" => {
                self.tickets.push(connecting.later().0);
                Admit::In(auth())
            }
            "/no" => Admit::out_with("not you", &("a", 1)).unwrap(),
            name if name == "/" || name.starts_with("/custom") => Admit::In(auth()),
            _ => Admit::unknown_namespace(),
        }
    }

    fn connected(&mut self, auth: &mut Value, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        Ok(socket.emit("auth", &(&*auth,))?)
    }

    fn event(&mut self, _: &mut Value, event: Event<'_>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        let Event { name, args, attachments, ack } = event;
        match (name, ack) {
            ("message", _) => Ok(socket.emit_raw("message-back", args, attachments)?),
            ("with-ack", Some(ack)) => Ok(socket.ack_raw(ack, args, attachments)?),
            ("ask", _) => Ok(socket.emit_for_ack("question", &("q",), 7, Some(100))?),
            ("ask all", _) => Ok(socket.everyone().emit_for_ack("question", &(), 9, 1000)?),
            ("ask for ever", _) => Ok(socket.emit_for_ack("question", &(), 8, None)?),
            ("file", _) => {
                Ok(socket.emit_with("file", &("name", Binary(0), Binary(1)), &[b"\x00\xff", b""])?)
            }
            ("wrong file", _) => Ok(socket.emit_with("file", &(Binary(0), Binary(0)), &[b"a", b"b"])?),
            ("reserved", _) => Ok(socket.emit("connect", &())?),
            ("leave", _) => Err(Ending::Disconnect),
            ("leave all", _) => Err(Ending::DisconnectAll),
            ("join", _) => {
                socket.join("room")?;
                socket.leave("other");
                Ok(socket.to("room").except("b").volatile().emit("joined", &("x",))?)
            }
            ("everyone", _) => Ok(socket.everyone().emit_raw("all", args, attachments)?),
            ("far", _) => Ok(socket.everyone().to(&"x".repeat(30)).emit("far", &())?),
            ("close", _) => Err(Ending::Close { code: 4000, reason: "enough".to_owned() }),
            _ => Ok(()),
        }
    }

    fn acked(
        &mut self,
        _: &mut Value,
        token: u64,
        acked: Acked<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        let answer: Option<Value> = acked.read().unwrap();
        Ok(socket.emit("acked", &(token, answer))?)
    }

    fn closed(&mut self, _: Value, gone: &mut Gone<'_>) {
        self.ended.push(format!("{} {}", gone.namespace, gone.why.as_str()));
        gone.to("room").emit("gone", &()).unwrap();
    }
}

/// A connection.
struct Talk {
    session: AnySession<Value>,
    app: SocketIo<App>,
    settings: Settings,
    now_ms: u64,
    waiting_bytes: usize,
    actions: Vec<Action>,
    counts: Counts,
    reach: Reach,
    /// Messages that the client got and has not looked at.
    got: VecDeque<(u8, Vec<u8>)>,
}

impl Talk {
    /// An open connection whose first packet was taken.
    fn new(change: impl FnOnce(&mut SocketIoOptions)) -> Self {
        let mut talk = Self::closed(change);
        talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
        let open = talk.text();
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
        talk
    }

    fn closed(change: impl FnOnce(&mut SocketIoOptions)) -> Self {
        let mut settings = settings();
        change(&mut settings.socketio);
        let serves = crate::session::Serves::SocketIo;
        settings.endpoints.table.push(crate::session::Endpoint { path: "/socket.io/".to_owned(), serves });
        Self {
            session: AnySession::begin(Speaks::Http),
            app: SocketIo(App::default()),
            settings,
            now_ms: 1000,
            waiting_bytes: 0,
            actions: Vec::new(),
            counts: Counts::default(),
            reach: Reach::new(7.into(), 0, 1),
            got: VecDeque::new(),
        }
    }

    /// An open connection of a client of Engine.IO 3, which is connected to the root.
    fn old(change: impl FnOnce(&mut SocketIoOptions)) -> Self {
        let mut talk = Self::closed(|options| {
            options.allow_eio3 = true;
            change(options);
        });
        let mut head = HEAD.replace("EIO=4", "EIO=3").into_bytes();
        talk.call(|session, app, cx| session.receive(&mut head, app, cx)).unwrap();
        assert!(talk.got.is_empty(), "it is told that the session is open a little later");
        assert_eq!(talk.deadline_ms(), 1010);
        talk.now_ms = 1010;
        talk.timer().unwrap();
        talk.now_ms = 1000;
        talk.bytes(&mut []).unwrap();
        assert!(talk.text().starts_with("0{\"sid\":\""));
        assert_eq!(talk.text(), "40");
        talk
    }

    fn call(
        &mut self,
        call: impl FnOnce(&mut AnySession<Value>, &mut SocketIo<App>, &mut Context<'_>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let (mut out, mut apart, told) = (Vec::new(), Vec::new(), Told::default());
        let mut press = Press::new(None);
        let mut cx = Context {
            user: "",
            certificate: None,
            now_ms: self.now_ms,
            settings: &self.settings,
            client: client(1),
            out: &mut out,
            apart: &mut apart,
            waiting_bytes: self.waiting_bytes,
            is_behind: false,
            in_place: None,
            actions: &mut self.actions,
            forwarded: Forwarded::default(),
            reach: &mut self.reach,
            press: &mut press,
            counts: Counts::default(),
            told: &told,
            notes: &mut Vec::new(),
        };
        let outcome = call(&mut self.session, &mut self.app, &mut cx);
        self.counts = cx.counts;
        let head = out.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let mut left = &out[head..];
        while let [first, length, rest @ ..] = left {
            let (length, rest) = match length {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                127 => panic!("nothing is that long"),
                short => (usize::from(*short), rest),
            };
            self.got.push_back((first & 15, rest[..length].to_vec()));
            left = &rest[length..];
        }
        outcome
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), CloseReason> {
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(payload.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(payload);
        self.bytes(&mut frame)
    }

    /// Sends bytes; then answers requests to enter a channel, and handles the deadline of a greeting, as a shard does.
    fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), CloseReason> {
        self.call(|session, app, cx| session.receive(bytes, app, cx))?;
        for action in std::mem::take(&mut self.actions) {
            if let Action::Ask { ask: Ask::Enter(enter), .. } = &action {
                self.entered(&enter.channel)?;
            } else {
                self.actions.push(action);
            }
        }
        // The time at which the application is told of a new socket.
        if self.deadline_ms() == self.now_ms + 10 {
            self.now_ms += 10;
            self.timer()?;
            self.now_ms -= 10;
        }
        Ok(())
    }

    /// Answers a request to enter a channel.
    fn entered(&mut self, channel: &str) -> Result<(), CloseReason> {
        let reply = Reply::Entered(Entered { channel, ..Entered::default() });
        self.call(|session, app, cx| session.reply(0, &reply, app, cx))
    }

    fn send(&mut self, text: &str) -> Result<(), CloseReason> {
        self.frame(TEXT, text.as_bytes())
    }

    /// The next message, which must be text.
    fn text(&mut self) -> String {
        match self.got.pop_front() {
            Some((TEXT, text)) => String::from_utf8(text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The texts of all messages.
    fn texts(&mut self) -> Vec<String> {
        std::iter::from_fn(|| (!self.got.is_empty()).then(|| self.text())).collect()
    }

    /// Connects to the root; the answers are taken.
    fn connected(change: impl FnOnce(&mut SocketIoOptions)) -> Self {
        let mut talk = Self::new(change);
        talk.send("40").unwrap();
        talk.got.clear();
        talk
    }

    fn deadline_ms(&self) -> u64 {
        self.session.deadline_ms().unwrap()
    }

    fn timer(&mut self) -> Result<(), CloseReason> {
        self.call(|session, app, cx| session.timer(app, cx))
    }

    /// Ends the session as its shard does; returns which sockets ended.
    fn end(mut self, reason: &CloseReason) -> Vec<String> {
        self.session.closed(&mut self.app, client(1), reason, (&self.settings, &mut self.actions));
        self.app.0.ended
    }
}
