//! Socket.IO from outside its sockets: a node's events and orders, by rooms and by ids of sockets in several shards.

use std::thread;

use serde_json::{Value, json};
use throng::socketio::{
    Acked, Admit, BadEmit, BadSelector, Binary, Routes, Selector, SocketIo, SocketMessage,
};
use throng::{Config, Node, Outcome, Pending, Server as Embedded, SocketIoOptions};

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
    .on("ask", |turn, (rooms, timeout_ms): (Vec<String>, u64)| {
        let mut emit = turn.socket.others();
        for room in &rooms {
            emit = emit.to(room);
        }
        Ok(emit.emit_for_ack("question", &("q",), 7, timeout_ms)?)
    })
    .on("order", |turn, (what, room, other): (String, String, String)| {
        let emit = turn.socket.everyone().to(&room);
        match what.as_str() {
            "join" => emit.sockets_join(&other)?,
            "leave" => emit.sockets_leave(&other)?,
            _ => emit.disconnect_sockets(what == "close")?,
        }
        Ok(())
    })
    .acked(|(), token, acked, socket| match acked {
        Acked::Many(answers) => {
            let mut list: Vec<Value> = answers.read().unwrap();
            list.sort_by_key(Value::to_string);
            Ok(socket.emit("said", &((token, list, answers.missing),))?)
        }
        Acked::Answer { .. } | Acked::TimedOut => Ok(()),
    })
    .data(|()| json!({"kept": true}))
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

    fn count(pending: Result<Pending<u64>, BadEmit>) -> u64 {
        pending.unwrap().wait().unwrap()
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

    /// Takes a question of an order; returns its id.
    fn question(&mut self) -> String {
        let (text, head) = (self.text(), format!("42{}", self.head));
        let id = text.strip_prefix(&head).and_then(|rest| rest.strip_suffix("[\"question\",\"q\"]"));
        id.unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    fn answer(&mut self, id: &str, args: &Value) {
        self.peer.send(TEXT, format!("43{}{id}{args}", self.head));
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

#[test]
fn orders_are_carried_out_before_they_are_answered() {
    let running = Running::start(|config| config.limits.deliveries_per_turn_max = 3);
    let mut clients: Vec<_> = (0..10).map(|at| running.client(&[["even", "odd"][at % 2]])).collect();
    let (node, even) = (&running.node, Selector::of("/").to("even"));
    assert_eq!(Running::count(node.sockets_join(&even, &["new", "x,y"])), 5);
    // Again: those that are in it stay.
    assert_eq!(Running::count(node.sockets_join(&even, &["new"])), 5);
    running.emit(&Selector::of("/").to("new"), &json!("joined"));
    let by_id = Selector::of("/").to(&*clients[0].id).to(&*clients[1].id);
    assert_eq!(Running::count(node.sockets_leave(&by_id, &["new", "odd", "nowhere"])), 2);
    running.emit(&Selector::of("/").to("new").to("odd"), &json!("left"));
    running.emit(&Selector::of("/"), &json!("end"));
    for (at, client) in clients.iter_mut().enumerate() {
        if at % 2 == 0 {
            assert_eq!(client.said(), "joined", "{at}");
        }
        if at > 1 {
            assert_eq!(client.said(), "left", "{at}");
        }
        assert_eq!(client.said(), "end", "{at}");
    }
    // What is emitted before a socket is disconnected reaches it, and nothing behind it.
    let odd = Selector::of("/").except("even");
    for n in 0..20 {
        running.emit(&Selector::of("/"), &json!(n));
    }
    assert_eq!(Running::count(node.disconnect_sockets(&odd, false)), 5);
    running.emit(&Selector::of("/"), &json!("to those who are left"));
    for (at, client) in clients.iter_mut().enumerate() {
        for n in 0..20 {
            assert_eq!(client.said(), n, "{at}");
        }
        if at % 2 == 0 {
            assert_eq!(client.said(), "to those who are left");
        } else {
            // The connection continues.
            assert_eq!(client.text(), "41");
            client.peer.send(TEXT, "40");
            assert!(client.text().starts_with("40{"));
        }
    }
    assert_eq!(Running::count(node.disconnect_sockets(&even, true)), 5);
    for client in clients.iter_mut().step_by(2) {
        assert_eq!(client.text(), "41");
        assert_eq!(client.peer.frame().close_code(), Some(1000));
    }
    assert_eq!(Running::count(node.disconnect_sockets(&even, true)), 0);
    assert_eq!(Running::count(node.disconnect_sockets(&Selector::of("/unknown"), true)), 0);
    running.end();
}

#[test]
fn sockets_are_listed_with_what_is_known_of_them() {
    let running = Running::start(|_| {});
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let clients: Vec<_> = (0..6).map(|_| running.client(&["b", "a", "x,y"])).collect();
    let mut other = running.client_of("/other,", &["a"]);
    let fetch = |to: Selector| running.node.fetch_sockets(&to).unwrap().wait().unwrap();
    let mut found = fetch(Selector::of("/").to("a"));
    found.sort_by(|one, other| one.id.cmp(&other.id));
    let mut ids: Vec<&str> = clients.iter().map(|client| client.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(found.iter().map(|facts| &*facts.id).collect::<Vec<_>>(), ids);
    for facts in &found {
        let rooms: Vec<&str> = facts.rooms.iter().map(|room| &**room).collect();
        assert_eq!(rooms, ["a", "b", "x,y"]);
        assert_eq!((&*facts.namespace, &*facts.address, &*facts.user), ("/", "127.0.0.1", ""));
        assert_eq!((&*facts.query, &*facts.data, facts.is_polled), ("", "{\"kept\":true}", false));
        let issued = u128::from(facts.issued_ms);
        assert!(issued + 1000 >= before && issued <= before + 60_000, "{issued} {before}");
    }
    let [one] = &fetch(Selector::of("/other"))[..] else { panic!("one socket") };
    assert_eq!((&*one.id, &*one.namespace, one.rooms.len()), (&*other.id, "/other", 1));
    assert_eq!(fetch(Selector::of("/other").except(&*other.id)), []);
    assert_eq!(fetch(Selector::of("/").to("nobody").to("AAAAAAAAAAAAAAAAAAAA")), []);
    // One that leaves is in no list.
    other.peer.send(TEXT, "41/other,");
    other.peer.send(TEXT, "40/other,");
    other.text();
    let [again] = &fetch(Selector::of("/other"))[..] else { panic!("one socket") };
    assert!(again.id != one.id && again.rooms.is_empty());
    running.end();
}

#[test]
fn answers_of_several_sockets_come_together_and_the_missing_are_named() {
    let running = Running::start(|_| {});
    let mut clients: Vec<_> = (0..9).map(|_| running.client_of("/other,", &["a"])).collect();
    let question = SocketMessage::new("question", &("q",), Vec::new()).unwrap();
    let ask = |to: &Selector, timeout_ms| running.node.emit_with_ack(to, &question, timeout_ms).unwrap();
    let all = Selector::of("/other").to("a");
    // All answer: the time does not matter.
    let pending = ask(&all, 3_600_000);
    for (at, client) in clients.iter_mut().enumerate() {
        let id = client.question();
        client.answer(&id, &json!([{"at": at}, "more"]));
        // Only the first answer counts.
        client.answer(&id, &json!(["again"]));
    }
    let acks = pending.wait().unwrap();
    let mut answers: Vec<&str> = acks.answers.iter().map(|answer| &*answer.data).collect();
    answers.sort_unstable();
    assert_eq!(answers, (0..9).map(|at| format!("{{\"at\":{at}}}")).collect::<Vec<_>>());
    assert_eq!((acks.missing.len(), acks.is_cut), (0, false));
    // One has nothing to say, one leaves the namespace, one is gone, two are silent, and one answers in binary.
    let pending = ask(&all, 400);
    let ids: Vec<_> = clients.iter_mut().map(Client::question).collect();
    clients[0].answer(&ids[0], &json!([]));
    clients[1].peer.send(TEXT, "41/other,");
    let gone = clients.remove(2).id;
    let placeholder = json!([{"_placeholder": true, "num": 0}]);
    clients[2].peer.send(TEXT, format!("461-/other,{}{placeholder}", ids[3]));
    clients[2].peer.send(BINARY, vec![0, 255]);
    for at in 3..6 {
        clients[at].answer(&ids[at + 1], &json!([at]));
    }
    let acks = pending.wait().unwrap();
    let of = |id: &str| acks.answers.iter().find(|answer| &*answer.id == id).unwrap();
    assert_eq!((acks.answers.len(), acks.missing.len()), (5, 4), "{acks:?}");
    assert_eq!(&*of(&clients[0].id).data, "null");
    let binary = of(&clients[2].id);
    assert_eq!(
        (&*binary.data, &*binary.attachments[0]),
        (placeholder[0].to_string().as_str(), &[0, 255][..])
    );
    for id in [&clients[1].id, &gone, &clients[6].id, &clients[7].id] {
        assert!(acks.missing.iter().any(|missing| **missing == **id), "{id} {acks:?}");
    }
    // Nobody is there: at once.
    let nobody = ask(&Selector::of("/other").to("nobody"), 3_600_000).wait().unwrap();
    assert_eq!((nobody.answers.len(), nobody.missing.len()), (0, 0));
    running.end();
}

#[test]
fn sockets_ask_and_order_others() {
    let running = Running::start(|_| {});
    let mut clients: Vec<_> = (0..5).map(|_| running.client(&["a"])).collect();
    let mut asker = running.client(&["a"]);
    asker.emit("ask", &json!([["a"], 60_000]));
    for (at, client) in clients.iter_mut().enumerate() {
        let id = client.question();
        client.answer(&id, &json!([at]));
    }
    assert_eq!(asker.said(), json!([7, [0, 1, 2, 3, 4], 0]));
    asker.emit("ask", &json!([["a"], 200]));
    let id = clients[3].question();
    clients[3].answer(&id, &json!(["three"]));
    assert_eq!(asker.said(), json!([7, ["three"], 4]));
    for at in [0, 1, 2, 4] {
        clients[at].question();
    }
    // An answer that comes too late is ignored.
    clients[0].answer("2", &json!(["late"]));
    let first = clients[0].id.clone();
    asker.emit("order", &json!(["join", first, "b"]));
    asker.emit("say", &json!([["b"], [], "in"]));
    assert_eq!(clients[0].said(), "in");
    asker.emit("order", &json!(["leave", "a", "b"]));
    asker.emit("say", &json!([["b"], [], "out"]));
    asker.emit("say", &json!([["a"], [], "still there"]));
    for client in &mut clients {
        assert_eq!(client.said(), "still there");
    }
    asker.emit("order", &json!(["disconnect", clients[1].id, ""]));
    assert_eq!(clients[1].text(), "41");
    asker.emit("order", &json!(["close", clients[2].id, ""]));
    assert_eq!(clients[2].text(), "41");
    assert_eq!(clients[2].peer.frame().close_code(), Some(1000));
    running.end();
}
