//! Conversations with a session: what a client sends, and what it gets.

use std::collections::VecDeque;

use serde_json::Value;

use super::*;
use crate::base::counters::Told;
use crate::proto::socketio::{Args, Assembler, PacketBody};
use crate::proto::ws::Press;
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
}

impl Events for App {
    type State = Value;

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<Value> {
        self.asked.push(format!("{} {}", connecting.namespace, connecting.query));
        let auth = || {
            connecting.auth.map_or_else(|| serde_json::json!({}), |auth| serde_json::from_str(auth).unwrap())
        };
        match connecting.namespace {
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
            ("ask for ever", _) => Ok(socket.emit_for_ack("question", &(), 8, None)?),
            ("file", _) => {
                Ok(socket.emit_with("file", &("name", Binary(0), Binary(1)), &[b"\x00\xff", b""])?)
            }
            ("wrong file", _) => Ok(socket.emit_with("file", &(Binary(0), Binary(0)), &[b"a", b"b"])?),
            ("reserved", _) => Ok(socket.emit("connect", &())?),
            ("leave", _) => Err(Ending::Disconnect),
            ("leave all", _) => Err(Ending::DisconnectAll),
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

    fn closed(&mut self, _: Value, gone: &Gone<'_>) {
        self.ended.push(format!("{} {}", gone.namespace, gone.why.as_str()));
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
    /// What the client got and has not looked at.
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
            got: VecDeque::new(),
        }
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
            press: &mut press,
            counts: Counts::default(),
            told: &told,
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
        self.call(|session, app, cx| session.receive(&mut frame, app, cx))
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
        self.session.closed(&mut self.app, client(1), reason);
        self.app.0.ended
    }
}

#[test]
fn a_session_opens_with_exactly_five_keys() {
    let mut talk = Talk::closed(|_| {});
    talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
    let open = talk.text();
    let mut value: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let sid = value.as_object_mut().unwrap().remove("sid").unwrap();
    assert_eq!(sid.as_str().unwrap().len(), 52, "a secret");
    let rest = serde_json::json!({"upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1_000_000});
    assert_eq!(value, rest);
}

/// The bytes are those that the protocol's test suite expects.
#[test]
fn namespaces_are_connected_refused_and_left_one_by_one() {
    let mut talk = Talk::new(|_| {});
    talk.send("40").unwrap();
    let id = SocketId::new(client(1), 0);
    assert_eq!(talk.texts(), [format!("40{{\"sid\":\"{id}\"}}"), "42[\"auth\",{}]".to_owned()]);
    talk.send("40/custom,{\"token\":\"abc\"}").unwrap();
    let custom = SocketId::new(client(1), 1);
    assert_eq!(
        talk.texts(),
        [
            format!("40/custom,{{\"sid\":\"{custom}\"}}"),
            "42/custom,[\"auth\",{\"token\":\"abc\"}]".to_owned()
        ]
    );
    assert_eq!(talk.app.0.asked, ["/ token=t", "/custom token=t"]);
    talk.send("40/random").unwrap();
    talk.send("40/no,").unwrap();
    assert_eq!(
        talk.texts(),
        [
            "44/random,{\"message\":\"Invalid namespace\"}",
            "44/no,{\"message\":\"not you\",\"data\":[\"a\",1]}"
        ]
    );
    talk.send("41/custom,").unwrap();
    // What crosses with the end of a namespace is ignored.
    for late in ["41/custom,", "42/custom,[\"message\",1]", "43/custom,1[]", "42/never,[\"message\"]"] {
        talk.send(late).unwrap();
    }
    assert_eq!(talk.texts(), [""; 0]);
    // A socket that comes back is another one.
    talk.send("40/custom,").unwrap();
    let id = SocketId::new(client(1), 2);
    assert_eq!(talk.text(), format!("40/custom,{{\"sid\":\"{id}\"}}"));
    talk.got.clear();
    talk.send("42[\"message\",1,\"2\",{\"3\":[true]}]").unwrap();
    assert_eq!(talk.texts(), ["42[\"message-back\",1,\"2\",{\"3\":[true]}]"]);
    let ended = talk.end(&CloseReason::Peer(1001));
    assert_eq!(
        ended,
        ["/custom client namespace disconnect", "/ transport close", "/custom transport close"]
    );
}

/// Each rule of the protocol, broken: the connection ends, as at the reference.
#[test]
fn what_is_malformed_ends_the_connection() {
    for (is_connected, packet) in [
        (false, "42[\"message\"]"),
        (false, "41"),
        (false, "43[]"),
        (true, ""),
        (true, "x"),
        (true, "7"),
        (true, "2"),
        (true, "2probe"),
        (true, "4"),
        (true, "4abc"),
        (true, "40"),
        (true, "40/custom,[]"),
        (true, "40/custom,null"),
        (true, "41{}"),
        (true, "42{}"),
        (true, "42[]"),
        (true, "42[null]"),
        (true, "42[\"message\""),
        (true, "42abc[\"message\"]"),
        (true, "42[\"connect\"]"),
        (true, "42[\"disconnecting\"]"),
        (true, "43{}"),
        (true, "44{\"message\":\"no\"}"),
        (true, "451-[\"message\"]"),
        (true, "4511-[\"message\"]"),
        (true, "bAAA"),
        (true, "b!!!!"),
    ] {
        let mut talk = if is_connected { Talk::connected(|_| {}) } else { Talk::new(|_| {}) };
        let outcome = talk.send(packet);
        let is_malformed = matches!(outcome, Err(CloseReason::Malformed(_)));
        assert!(is_malformed, "{packet}: {outcome:?}");
        let (code, text) = outcome.as_ref().unwrap_err().frame().unwrap();
        assert!(code == Some(1002) && !text.is_empty() && text.len() <= 123, "{packet}: {text}");
        let ended = talk.end(&outcome.unwrap_err());
        assert_eq!(ended.len(), usize::from(is_connected), "{packet}");
    }
    // After a refused CONNECT a client may have sent more.
    let mut talk = Talk::new(|_| {});
    talk.send("40/no").unwrap();
    talk.send("42/no,[\"message\"]").unwrap();
    assert_eq!(talk.texts().len(), 1);
    // An attachment that nothing announced, and text where one is due.
    let mut talk = Talk::connected(|_| {});
    assert!(matches!(talk.frame(BINARY, b"x"), Err(CloseReason::Malformed(_))));
    let mut talk = Talk::connected(|_| {});
    talk.send("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    assert!(matches!(talk.send("42[\"message\"]"), Err(CloseReason::Malformed(_))));
    // The end by the client's own packet.
    assert_eq!(Talk::connected(|_| {}).send("1"), Err(CloseReason::Peer(1005)));
}

#[test]
fn limits_end_the_connection_or_refuse_the_namespace() {
    let mut talk = Talk::connected(|options| options.payload_bytes_max = 100);
    talk.frame(TEXT, format!("42[\"message\",\"{}\"]", "x".repeat(80)).as_bytes()).unwrap();
    assert_eq!(talk.texts().len(), 1);
    let outcome = talk.frame(TEXT, format!("42[\"message\",\"{}\"]", "x".repeat(100)).as_bytes());
    assert_eq!(outcome.unwrap_err().frame().unwrap().0, Some(1009));
    let mut talk = Talk::connected(|options| options.payload_bytes_max = 100);
    talk.send("452-[\"message\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")
        .unwrap();
    assert!(talk.session.held_bytes() > 60, "what waits for attachments counts");
    assert!(matches!(talk.frame(BINARY, &[1; 90]), Err(CloseReason::Malformed(_))));

    let mut talk = Talk::connected(|options| options.namespaces_max = 2);
    for (packet, answer) in [
        ("40/custom1", "40/custom1,{\"sid\""),
        ("40/custom2", "44/custom2,{\"message\":\"too many namespaces"),
        ("41", ""),
        ("40/custom2", "40/custom2,{\"sid\""),
    ] {
        talk.send(packet).unwrap();
        let answered = talk.texts().first().cloned().unwrap_or_default();
        assert!(
            answered.starts_with(answer) && answered.is_empty() == answer.is_empty(),
            "{packet}: {answered}"
        );
    }
    let long = format!("40/custom{}", "x".repeat(20));
    talk.send(&long).unwrap();
    assert!(talk.text().ends_with(",{\"message\":\"Invalid namespace\"}"));
}

#[test]
fn attachments_travel_behind_their_packet_in_both_directions() {
    let mut talk = Talk::connected(|_| {});
    talk.send(
        "452-[\"message\",{\"_placeholder\":true,\"num\":1},{\"a\":{\"_placeholder\":true,\"num\":0}}]",
    )
    .unwrap();
    talk.frame(BINARY, b"\x01\x02").unwrap();
    assert!(talk.got.is_empty());
    talk.send("bAwQ=").unwrap();
    assert_eq!(
        talk.text(),
        "452-[\"message-back\",{\"_placeholder\":true,\"num\":1},{\"a\":{\"_placeholder\":true,\"num\":0}}]"
    );
    assert_eq!(Vec::from(talk.got), [(BINARY, vec![1, 2]), (BINARY, vec![3, 4])]);

    let mut talk = Talk::connected(|_| {});
    talk.send("42[\"file\"]").unwrap();
    assert_eq!(
        talk.text(),
        "452-[\"file\",\"name\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"
    );
    assert_eq!(Vec::from(talk.got), [(BINARY, vec![0, 255]), (BINARY, Vec::new())]);

    // A client that reads no binary messages gets text.
    let mut talk = Talk::closed(|_| {});
    let head = HEAD.replace("&token=t", "&b64=1");
    talk.call(|session, app, cx| session.receive(&mut head.as_bytes().to_vec(), app, cx)).unwrap();
    talk.send("40").unwrap();
    talk.got.clear();
    talk.send("42[\"file\"]").unwrap();
    assert_eq!(talk.texts()[1..], ["bAP8=", "b"]);
}

/// A mistake of the application must not make clients close their connection without a reason.
#[test]
fn what_clients_would_refuse_is_not_sent_and_ends_the_connection_with_the_reason() {
    for (event, why) in [
        ("reserved", "the event's name is reserved by Socket.IO"),
        ("wrong file", "the placeholders do not refer to each attachment once"),
    ] {
        let mut talk = Talk::connected(|_| {});
        let outcome = talk.send(&format!("42[\"{event}\"]"));
        assert_eq!(outcome, Err(CloseReason::Handler { code: 1011, reason: why.to_owned() }));
        assert!(talk.got.is_empty(), "{event}");
    }
}

#[test]
fn events_are_answered_in_both_directions() {
    let mut talk = Talk::connected(|_| {});
    talk.send("4212[\"with-ack\",1,{\"a\":null}]").unwrap();
    talk.send("451-3[\"with-ack\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    talk.frame(BINARY, b"z").unwrap();
    talk.send("42[\"with-ack\"]").unwrap();
    assert_eq!(talk.text(), "4312[1,{\"a\":null}]");
    assert_eq!(talk.text(), "461-3[{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(Vec::from(std::mem::take(&mut talk.got)), [(BINARY, b"z".to_vec())]);

    talk.send("42[\"ask\"]").unwrap();
    assert_eq!(talk.texts(), ["421[\"question\",\"q\"]"]);
    assert_eq!(talk.actions, [Action::SetTimer { at_ms: 1100 }]);
    assert_eq!(talk.deadline_ms(), 1100);
    for ignored in ["432[]", "43[]", "439007199254740991[1]"] {
        talk.send(ignored).unwrap();
    }
    assert_eq!(talk.texts(), [""; 0]);
    talk.send("431[\"yes\",2]").unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",7,[\"yes\",2]]"]);
    talk.send("431[\"again\"]").unwrap();
    assert_eq!(talk.texts(), [""; 0]);

    talk.send("42[\"ask\"]").unwrap();
    talk.send("42[\"ask for ever\"]").unwrap();
    assert_eq!(talk.texts(), ["422[\"question\",\"q\"]", "423[\"question\"]"]);
    talk.now_ms = 1099;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), [""; 0]);
    talk.now_ms = 1100;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",7,null]"]);
    talk.send("432[1]").unwrap();
    talk.send("433[]").unwrap();
    assert_eq!(talk.texts(), ["42[\"acked\",8,[]]"]);
}

#[test]
fn the_application_ends_a_socket_all_of_them_or_the_connection() {
    let both = || {
        let mut talk = Talk::connected(|_| {});
        talk.send("40/custom").unwrap();
        talk.got.clear();
        talk
    };
    let mut talk = both();
    talk.send("42[\"leave\"]").unwrap();
    talk.send("42/custom,[\"message\"]").unwrap();
    assert_eq!(talk.texts(), ["41", "42/custom,[\"message-back\"]"]);
    assert_eq!(talk.app.0.ended, ["/ server namespace disconnect"]);

    let mut talk = both();
    let reason = talk.send("42[\"leave all\"]").unwrap_err();
    assert_eq!(reason.frame().unwrap().0, Some(1000));
    assert_eq!(talk.texts(), ["41", "41/custom,"]);
    assert_eq!(talk.end(&reason), ["/ forced server close", "/custom forced server close"]);

    let mut talk = both();
    let reason = talk.send("42[\"close\"]").unwrap_err();
    assert_eq!((reason.frame().unwrap(), talk.texts().len()), ((Some(4000), "enough"), 0));
}

#[test]
fn the_server_pings_and_a_client_that_does_not_answer_is_gone() {
    let mut talk = Talk::connected(|options| {
        (options.ping_interval_ms, options.ping_timeout_ms) = (300, 200);
    });
    for _ in 0..3 {
        assert_eq!(talk.deadline_ms(), talk.now_ms + 300, "short intervals are exact");
        talk.now_ms += 300;
        talk.timer().unwrap();
        assert_eq!((talk.texts(), talk.counts.pings), (vec!["2".to_owned()], 1));
        assert_eq!(talk.deadline_ms(), talk.now_ms + 200);
        talk.now_ms += 50;
        talk.send("3").unwrap();
        assert_eq!(talk.counts.pongs, 1);
    }
    talk.now_ms += 300;
    talk.timer().unwrap();
    // Whatever a client sends shows that it lives.
    talk.send("42[\"message\"]").unwrap();
    talk.now_ms += 300;
    talk.timer().unwrap();
    assert_eq!(talk.texts(), ["2", "42[\"message-back\"]", "2"]);
    talk.now_ms += 200;
    // Its answer may be among what is not read, while it does not read either.
    talk.waiting_bytes = talk.settings.outbox_bytes_max;
    talk.timer().unwrap();
    assert_eq!(talk.deadline_ms(), talk.now_ms + 200);
    talk.waiting_bytes = 0;
    talk.now_ms += 200;
    assert_eq!(talk.timer(), Err(CloseReason::NoPong));
    assert_eq!(talk.end(&CloseReason::NoPong), ["/ ping timeout"]);
}

/// Heartbeats of many sessions share turns, and sessions that came together are not pinged together.
#[test]
fn long_intervals_are_rounded_up_and_begin_apart() {
    let talk = Talk::connected(|_| {});
    assert_eq!(talk.deadline_ms() % 128, 0);
    let first: Vec<_> = (0..100)
        .map(|token| {
            let talk = Talk::new(|_| {});
            let mut first_ms = 0;
            let mut settings = talk.settings.clone();
            settings.socketio.connect_timeout_ms = 100_000;
            let (mut out, mut apart, mut actions, told) =
                (Vec::new(), Vec::new(), Vec::new(), Told::default());
            let mut cx = Context {
                user: "",
                certificate: None,
                now_ms: 0,
                settings: &settings,
                client: client(token),
                out: &mut out,
                apart: &mut apart,
                waiting_bytes: 0,
                is_behind: false,
                in_place: None,
                actions: &mut actions,
                forwarded: Forwarded::default(),
                press: &mut Press::new(None),
                counts: Counts::default(),
                told: &told,
            };
            let mut session: AnySession<Value> = AnySession::begin(Speaks::Http);
            session.receive(&mut HEAD.as_bytes().to_vec(), &mut SocketIo(App::default()), &mut cx).unwrap();
            first_ms += session.deadline_ms().unwrap();
            first_ms
        })
        .collect();
    assert!(first.iter().all(|ms| (12_500..=25_088).contains(ms)), "{first:?}");
    let early = first.iter().filter(|ms| **ms < 18_750).count();
    assert!((45..=55).contains(&early), "{early}");
}

#[test]
fn a_client_that_connects_to_nothing_is_gone_in_time() {
    let mut talk = Talk::new(|options| options.connect_timeout_ms = 1000);
    assert_eq!(talk.deadline_ms(), 2000);
    talk.send("40/unknown").unwrap();
    talk.now_ms = 2000;
    assert_eq!(talk.timer(), Err(CloseReason::Stale));
    let mut talk = Talk::connected(|options| options.connect_timeout_ms = 1000);
    talk.now_ms = 5000;
    talk.timer().unwrap();
}

/// The same conversation in msgpack: one binary message for each packet.
#[test]
fn an_endpoint_may_speak_msgpack() {
    let mut talk = Talk::new(|options| options.is_msgpack = true);
    let packet = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        write(&mut packet);
        packet
    };
    // {"type":0,"nsp":"/custom","data":{"token":"abc"}}
    let connect = b"\x83\xa4type\x00\xa3nsp\xa7/custom\xa4data\x81\xa5token\xa3abc";
    talk.frame(BINARY, connect).unwrap();
    let (kind, connected) = talk.got.pop_front().unwrap();
    let id = SocketId::new(client(1), 0);
    let expected = packet(&|out| msgpack::put_connected(out, "/custom", id.as_str(), None));
    assert_eq!((kind, connected), (BINARY, expected));
    let (_, auth) = talk.got.pop_front().unwrap();
    let PacketBody::Event(event) = msgpack::read(&auth).unwrap().body else { panic!("no event") };
    let Args::MsgPack(args) = event.args else { panic!("no msgpack") };
    assert_eq!((&*event.name, args.bytes()), ("auth", &b"\x81\xa5token\xa3abc"[..]));
    // {"type":2,"nsp":"/custom","id":5,"data":["with-ack",bin(1,2),1]}
    talk.frame(
        BINARY,
        b"\x84\xa4type\x02\xa3nsp\xa7/custom\xa2id\x05\xa4data\x93\xa8with-ack\xc4\x02\x01\x02\x01",
    )
    .unwrap();
    let (_, answer) = talk.got.pop_front().unwrap();
    let PacketBody::Ack { id, args: Args::MsgPack(args) } = msgpack::read(&answer).unwrap().body else {
        panic!()
    };
    assert_eq!((id, args.bytes()), (Some(5), &b"\xc4\x02\x01\x02\x01"[..]), "binary data is inline");
    // {"type":2,"nsp":"/custom","data":["file"]}
    talk.frame(BINARY, b"\x83\xa4type\x02\xa3nsp\xa7/custom\xa4data\x91\xa4file").unwrap();
    let (_, file) = talk.got.pop_front().unwrap();
    let PacketBody::Event(event) = msgpack::read(&file).unwrap().body else { panic!("no event") };
    let Args::MsgPack(args) = event.args else { panic!("no msgpack") };
    assert_eq!(args.bytes(), b"\xa4name\xc4\x02\x00\xff\xc4\x00");
    assert_eq!(talk.got.len(), 0);
    for wrong in [&b"\x83\xa4type\x07\xa3nsp\xa1/\xa4data\x90"[..], b"", b"\xc1"] {
        let mut talk = Talk::new(|options| options.is_msgpack = true);
        assert!(matches!(talk.frame(BINARY, wrong), Err(CloseReason::Malformed(_))), "{wrong:?}");
    }
    let mut talk = Talk::new(|options| options.is_msgpack = true);
    assert!(matches!(talk.send("40"), Err(CloseReason::Malformed(_))));
}

/// The reference's limit of attachments is the reader's too, and what it reads is what was sent.
#[test]
fn what_is_written_is_what_a_client_reads() {
    let mut talk = Talk::connected(|_| {});
    talk.send("42[\"file\"]").unwrap();
    let mut assembler = Assembler::default();
    let text = talk.text();
    let limits = AttachmentLimits::default();
    assert!(assembler.text(SocketProtocol::V5, limits, &text[1..]).unwrap().is_none());
    assert!(assembler.binary(limits, &talk.got[0].1).unwrap().is_none());
    let whole = assembler.binary(limits, &talk.got[1].1).unwrap().unwrap();
    let packet = whole.packet().unwrap();
    assert_eq!(packet.attachments.iter().collect::<Vec<_>>(), [&b"\x00\xff"[..], b""]);
}
