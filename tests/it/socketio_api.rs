//! Socket.IO from outside its sockets: a node's events and orders, by rooms and by ids of sockets in several shards.

use std::thread;

use serde_json::{Value, json};
use throng::socketio::{Admit, BadEmit, BadSelector, Binary, Routes, Selector, SocketIo, SocketMessage};
use throng::{Config, Node, Outcome, Server as Embedded, SocketIoOptions};

use crate::support::Peer;
use crate::support::peer::{BINARY, TEXT};

fn routes() -> Routes<()> {
    Routes::new(|connecting| match connecting.namespace {
        "/" | "/other" => Admit::In(()),
        _ => Admit::unknown_namespace(),
    })
    .on("join", |turn, rooms: Vec<String>| {
        for room in &rooms {
            turn.socket.join(room)?;
        }
        turn.ack(&())
    })
    .on("say", |turn, (to, except, text): (Vec<String>, Vec<String>, Value)| {
        let mut emit = turn.socket.others();
        for room in &to {
            emit = emit.to(room);
        }
        for room in &except {
            emit = emit.except(room);
        }
        Ok(emit.emit("said", &(text,))?)
    })
}

struct Running {
    address: std::net::SocketAddr,
    node: Node,
    drain: Box<dyn Fn() + Send>,
    thread: thread::JoinHandle<Outcome>,
}

impl Running {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: vec![([127, 0, 0, 1], 0).into()],
            control: None,
            shards: 4,
            pin: false,
            // A shard's table would begin as a copy of this process's and keep the sockets of other tests open.
            private_descriptors: false,
            socketio: SocketIoOptions { enabled: true, ..SocketIoOptions::default() },
            ..Config::default()
        };
        config.timeouts.drain_ms = 50;
        change(&mut config);
        let server = Embedded::start(&config, |_shard| SocketIo(routes())).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        let node = server.node().unwrap();
        Self { address, node, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    /// A client of a namespace, in these rooms.
    fn client_of(&self, namespace: &'static str, rooms: &[&str]) -> Client {
        let peer = Peer::open(self.address, "/socket.io/?EIO=4&transport=websocket");
        let mut client = Client { peer, head: namespace, id: String::new() };
        client.text();
        client.peer.send(TEXT, format!("40{namespace}"));
        let connected = client.text();
        let answer = connected.strip_prefix(&format!("40{namespace}")).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        client.id = answer["sid"].as_str().unwrap().to_owned();
        client.ask("join", &json!(rooms));
        client
    }

    fn client(&self, rooms: &[&str]) -> Client {
        self.client_of("", rooms)
    }

    fn emit(&self, to: &Selector, text: &Value) {
        let message = SocketMessage::new("said", &(text,), Vec::new()).unwrap();
        self.node.emit(to, &message).unwrap().wait().unwrap();
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

struct Client {
    peer: Peer,
    /// The namespace in its packets, with its comma; empty for the main one.
    head: &'static str,
    id: String,
}

impl Client {
    fn emit(&mut self, name: &str, args: &Value) {
        let mut event = args.as_array().unwrap().clone();
        event.insert(0, name.into());
        self.peer.send(TEXT, format!("42{}{}", self.head, Value::from(event)));
    }

    /// Sends an event and waits for its answer; nothing else may come.
    fn ask(&mut self, name: &str, args: &Value) {
        let mut event = args.as_array().unwrap().clone();
        event.insert(0, name.into());
        self.peer.send(TEXT, format!("42{}1{}", self.head, Value::from(event)));
        assert_eq!(self.text(), format!("43{}1[]", self.head));
    }

    fn text(&mut self) -> String {
        let (opcode, payload) = self.peer.message();
        assert_eq!(opcode, TEXT);
        String::from_utf8(payload).unwrap()
    }

    /// The argument of the next event, which must be `said`.
    fn said(&mut self) -> Value {
        let (text, head) = (self.text(), format!("42{}", self.head));
        let mut event: Vec<Value> = serde_json::from_str(text.strip_prefix(&head).unwrap_or(&text)).unwrap();
        assert_eq!((event.len(), &event[0]), (2, &json!("said")), "{text}");
        event.remove(1)
    }
}

#[test]
fn an_event_reaches_sockets_by_their_ids_wherever_they_are() {
    let running = Running::start(|_| {});
    let mut clients: Vec<_> = (0..9).map(|at| running.client(&[["a", "b", "c"][at % 3]])).collect();
    let mut others: Vec<_> = (0..3).map(|_| running.client_of("/other,", &["a"])).collect();
    let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
    let end = Selector::of("/").to("a").to("b").to("c");
    let of = |which: &[usize]| which.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>();
    let cases: [(Vec<String>, Vec<String>, &[usize]); 7] = [
        (of(&[0]), vec![], &[0]),
        (of(&[0, 4, 8, 4]), vec![], &[0, 4, 8]),
        ([of(&[1]), vec!["a".to_owned()]].concat(), vec![], &[0, 1, 3, 6]),
        (vec!["a".to_owned()], of(&[3]), &[0, 6]),
        (vec![], of(&[0, 1, 2, 3]), &[4, 5, 6, 7, 8]),
        (of(&[5]), vec!["c".to_owned()], &[]),
        (of(&[7]), of(&[7]), &[]),
    ];
    for (n, (rooms, except, reached)) in cases.into_iter().enumerate() {
        let to = Selector { namespace: "/".to_owned(), rooms: rooms.clone(), except: except.clone() };
        running.emit(&to, &json!(n));
        running.emit(&end, &json!("end"));
        for (at, client) in clients.iter_mut().enumerate() {
            if reached.contains(&at) {
                assert_eq!(client.said(), n, "{at} by {to:?}");
            }
            assert_eq!(client.said(), "end", "{at} by {to:?}");
        }
        // From a socket, to others.
        clients[8].emit("say", &json!([rooms, except, n]));
        clients[8].emit("say", &json!([[], [], "end"]));
        for (at, client) in clients[..8].iter_mut().enumerate() {
            if reached.contains(&at) {
                assert_eq!(client.said(), n, "{at} by {to:?} from a socket");
            }
            assert_eq!(client.said(), "end", "{at} by {to:?} from a socket");
        }
    }
    // An id belongs to its namespace, and ends with its socket.
    running.emit(&Selector::of("/other").to(&*ids[0]), &json!("wrong namespace"));
    running.emit(&Selector::of("/other"), &json!("other"));
    for other in &mut others {
        assert_eq!(other.said(), "other");
    }
    let first = &mut clients[0];
    first.peer.send(TEXT, "41");
    first.peer.send(TEXT, "40");
    assert!(first.text().starts_with("40{") && !ids.is_empty());
    running.emit(&Selector::of("/").to(&*ids[0]), &json!("to the one before"));
    running.emit(&Selector::of("/"), &json!("to all"));
    assert_eq!(first.said(), "to all");
    running.end();
}

/// Events to one socket, to rooms and to all of the namespace are in one order.
#[test]
fn events_by_ids_and_by_rooms_have_one_order() {
    let running = Running::start(|config| config.limits.deliveries_per_turn_max = 3);
    let mut clients: Vec<_> = (0..12).map(|_| running.client(&["a"])).collect();
    for n in 0..100 {
        for client in &clients {
            running.emit(&Selector::of("/").to(&*client.id), &json!(["own", n]));
        }
        running.emit(&Selector::of("/").to("a"), &json!(["room", n]));
        running.emit(&Selector::of("/"), &json!(["all", n]));
    }
    for client in &mut clients {
        for n in 0..100 {
            for to in ["own", "room", "all"] {
                assert_eq!(client.said(), json!([to, n]));
            }
        }
    }
    running.end();
}

#[test]
fn attachments_and_defects_of_a_nodes_events() {
    let running = Running::start(|_| {});
    let mut client = running.client_of("/other,", &[]);
    let files = vec![vec![0, 255], Vec::new()];
    let message = SocketMessage::new("file", &(Binary(1), "name", Binary(0)), files).unwrap();
    running.node.emit(&Selector::of("/other"), &message.volatile()).unwrap().wait().unwrap();
    let text =
        "452-/other,[\"file\",{\"_placeholder\":true,\"num\":1},\"name\",{\"_placeholder\":true,\"num\":0}]";
    assert_eq!(client.text(), text);
    assert_eq!(client.peer.message(), (BINARY, vec![0, 255]));
    assert_eq!(client.peer.message(), (BINARY, vec![]));

    let defect = |name: &str, files: usize| {
        SocketMessage::new(name, &(), vec![vec![1]; files]).unwrap_err().to_string()
    };
    assert_eq!(defect("disconnect", 0), "event: the event's name is reserved by Socket.IO");
    assert_eq!(defect("file", 1), "event: the placeholders do not refer to each attachment once");
    assert_eq!(defect("file", 11), "event: a Socket.IO packet has at most 10 attachments");
    let message = SocketMessage::new("said", &(), Vec::new()).unwrap();
    let refusal = |to: &Selector| running.node.emit(to, &message).map(drop).unwrap_err();
    assert_eq!(refusal(&Selector::of("other")), BadEmit::Selector(BadSelector::Namespace));
    let long = Selector::of("/").to("x".repeat(300));
    assert_eq!(refusal(&long), BadEmit::Selector(BadSelector::RoomName));
    let many = Selector { rooms: vec!["a".to_owned(); 1001], ..Selector::of("/") };
    assert_eq!(refusal(&many), BadEmit::Selector(BadSelector::TooManyRooms));
    let large = SocketMessage::new("said", &"x".repeat(10_000_000), Vec::new()).unwrap();
    assert_eq!(running.node.emit(&Selector::of("/"), &large).map(drop), Err(BadEmit::TooLarge));
    // Nobody is there: no error.
    running
        .node
        .emit(&Selector::of("/nowhere").to("AAAAAAAAAAAAAAAAAAAA"), &message)
        .unwrap()
        .wait()
        .unwrap();
    running.end();

    let off = Running::start(|config| config.socketio.enabled = false);
    assert_eq!(off.node.emit(&Selector::of("/"), &message).map(drop), Err(BadEmit::NotServed));
    off.end();
}
