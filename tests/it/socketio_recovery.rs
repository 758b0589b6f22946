//! Connection state recovery of Socket.IO over loopback, with four shards: what a client of the official kind does, byte by
//! byte, over both transports.

use std::thread;

use serde_json::{Value, json};
use throng::socketio::{Admit, Routes, Selector, SocketIo, SocketMessage};
use throng::{Config, Node, Outcome, Server as Embedded, SocketIoOptions};

use crate::support::Peer;
use crate::support::peer::TEXT;

/// Events that do as they are named. The state of a socket is what it has said.
fn routes() -> Routes<Vec<String>> {
    Routes::new(|connecting| match connecting.namespace {
        "/" | "/other" => Admit::In(Vec::new()),
        _ => Admit::unknown_namespace(),
    })
    .connected(|said, socket| match socket.is_recovered() {
        true => Ok(socket.emit("again", &(said.len(),))?),
        false => Ok(()),
    })
    .on("join", |turn, (room,): (String,)| {
        turn.socket.join(&room)?;
        turn.ack(&())
    })
    .on("say", |turn, (room, text): (String, String)| {
        turn.state.push(text.clone());
        turn.socket.everyone().to(&room).emit("said", &(text,))?;
        turn.ack(&())
    })
    .on("tell", |turn, (text,): (String,)| Ok(turn.socket.emit("told", &(text,))?))
    .on("leave", |_, (): ()| Err(throng::socketio::Ending::Disconnect))
    .away(|_, gone| {
        let why = gone.why.as_str();
        gone.to("news").emit("away", &(why,)).ok();
    })
    .closed(|said, gone| {
        gone.to("news").emit("closed", &(said.len(),)).ok();
        gone.to("news").sockets_join(&format!("after {}", said.len())).ok();
    })
}

struct Running {
    address: std::net::SocketAddr,
    node: Node,
    drain: Box<dyn Fn() + Send>,
    thread: thread::JoinHandle<Outcome>,
}

impl Running {
    fn start(change: impl FnOnce(&mut SocketIoOptions)) -> Self {
        let mut socketio =
            SocketIoOptions { enabled: true, recovery_ttl_ms: 60_000, ..SocketIoOptions::default() };
        change(&mut socketio);
        let mut config = Config {
            listen: vec![([127, 0, 0, 1], 0).into()],
            control: None,
            shards: 4,
            pin: false,
            // A shard's table would begin as a copy of this process's and keep the sockets of other tests open.
            private_descriptors: false,
            socketio,
            ..Config::default()
        };
        config.timeouts.drain_ms = 50;
        let server = Embedded::start(&config, |_shard| SocketIo(routes())).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        let node = server.node().unwrap();
        Self { address, node, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    fn connect(&self, auth: &str) -> Client {
        let mut peer = Peer::open(self.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, format!("40{auth}"));
        let mut client = Client { peer, sid: String::new(), pid: String::new(), offset: None };
        let answer: Value = serde_json::from_str(client.text().strip_prefix("40").unwrap()).unwrap();
        client.sid = answer["sid"].as_str().unwrap().to_owned();
        client.pid = answer["pid"].as_str().unwrap().to_owned();
        client
    }

    /// A client in a room.
    fn client(&self, room: &str) -> Client {
        let mut client = self.connect("");
        client.peer.send(TEXT, format!("421{}", json!(["join", room])));
        assert_eq!(client.text(), "431[]");
        client
    }

    /// The client at a new connection. Its old one is not touched.
    fn back(&self, client: &Client) -> Client {
        let mut back = self.connect(&client.auth());
        assert_eq!((&back.sid, &back.pid), (&client.sid, &client.pid), "recovered");
        back.offset.clone_from(&client.offset);
        back
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

struct Client {
    peer: Peer,
    sid: String,
    pid: String,
    offset: Option<String>,
}

impl Client {
    fn auth(&self) -> String {
        match &self.offset {
            Some(offset) => json!({"pid": self.pid, "offset": offset}).to_string(),
            None => json!({"pid": self.pid}).to_string(),
        }
    }

    fn text(&mut self) -> String {
        let (opcode, payload) = self.peer.message();
        assert_eq!(opcode, TEXT);
        String::from_utf8(payload).unwrap()
    }

    /// The next event, without its offset.
    fn event(&mut self) -> Value {
        let text = self.text();
        let mut event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap_or(&text)).unwrap();
        let Some(Value::String(offset)) = event.pop() else { panic!("no offset: {text}") };
        self.offset = Some(offset);
        Value::from(event)
    }

    fn say(&mut self, room: &str, text: &str) {
        self.peer.send(TEXT, format!("422{}", json!(["say", room, text])));
        // Its own socket may be in the room.
        while self.text() != "432[]" {}
    }
}

#[test]
fn a_client_that_is_cut_gets_what_it_missed_and_its_rooms() {
    let running = Running::start(|_| {});
    let (mut other, mut watcher) = (running.client("b"), running.client("news"));
    for round in 0..6 {
        let mut client = running.client("a");
        if round % 2 == 0 {
            // In every second round it has got no event before it is cut.
            other.say("a", "first");
            assert_eq!(client.event(), json!(["said", "first"]));
            client.peer.send(TEXT, "42[\"tell\",\"direct\"]");
            assert_eq!(client.event(), json!(["told", "direct"]));
        }
        let Client { peer, sid, pid, offset } = client;
        drop(peer);
        assert_eq!(watcher.event(), json!(["away", "transport close"]), "round {round}");
        other.say("a", "missed");
        other.say("b", "not for it");
        other.say("a", "missed, too");
        let lost = Client { peer: Peer::connect(running.address), sid, pid, offset };
        let mut client = running.back(&lost);
        for expected in [json!(["said", "missed"]), json!(["said", "missed, too"]), json!(["again", 0])] {
            assert_eq!(client.event(), expected, "round {round}");
        }
        other.say("a", "later");
        assert_eq!(client.event(), json!(["said", "later"]));
    }
    running.end();
}

/// As at the reference, a socket that is away is not found; but what is sent to its rooms reaches it, and so do orders.
#[test]
fn sockets_that_are_away_are_not_found_and_get_events_and_orders_of_the_server_api() {
    let running = Running::start(|_| {});
    let node = &running.node;
    let mut watcher = running.client("news");
    let client = running.client("a");
    let in_a = Selector::of("/").to("a");
    let found = |selector: &Selector| node.fetch_sockets(selector).unwrap().wait().unwrap().len();
    assert_eq!(found(&in_a), 1);
    let Client { peer, sid, pid, offset } = client;
    drop(peer);
    assert_eq!(watcher.event(), json!(["away", "transport close"]));
    assert_eq!((found(&in_a), found(&Selector::of("/").to(&*sid))), (0, 0));
    assert_eq!(node.sockets_join(&in_a, &["late"]).unwrap().wait().unwrap(), 0);
    for (selector, text) in [
        (in_a.clone(), "to its room"),
        (Selector::of("/").to("b"), "to another room"),
        (Selector::of("/").to("late"), "to a room that it was made to enter"),
        (Selector::of("/").to(&*sid), "to its id"),
        (Selector::of("/"), "to all"),
        (Selector::of("/").except("a"), "to all but its room"),
        (Selector::of("/").except(&*sid), "to all but its id"),
    ] {
        let message = SocketMessage::new("said", &(text,), Vec::new()).unwrap();
        node.emit(&selector, &message).unwrap().wait().unwrap();
    }
    let lost = Client { peer: Peer::connect(running.address), sid, pid, offset };
    let mut client = running.back(&lost);
    for text in ["to its room", "to a room that it was made to enter", "to its id", "to all"] {
        assert_eq!(client.event(), json!(["said", text]));
    }
    assert_eq!((client.event(), found(&in_a)), (json!(["again", 0]), 1));
    let (auth, sid) = (client.auth(), client.sid.clone());
    drop(client);
    while watcher.event() != json!(["away", "transport close"]) {}
    assert_eq!(node.disconnect_sockets(&in_a, true).unwrap().wait().unwrap(), 0);
    assert_ne!(running.connect(&auth).sid, sid);
    running.end();
}

#[test]
fn a_client_is_back_before_the_server_has_noticed() {
    let running = Running::start(|_| {});
    let mut other = running.client("b");
    let mut clients = vec![running.client("a")];
    for text in ["one", "two", "three"] {
        other.say("a", text);
        let last = clients.last_mut().unwrap();
        // The first round has got nothing; the others have got everything once.
        let mut back = running.back(last);
        assert_eq!(back.event(), json!(["said", text]));
        assert_eq!(back.event(), json!(["again", 0]));
        clients.push(back);
    }
    for mut old in clients.into_iter().take(3) {
        // It got at most one event before it was closed.
        while old.peer.try_frame().is_some() {}
    }
    running.end();
}

#[test]
fn over_the_other_transport_and_the_state_returns_with_the_socket() {
    let running = Running::start(|_| {});
    let mut client = running.client("a");
    client.say("b", "counted");
    // By a poll.
    let target = "/socket.io/?EIO=4&transport=polling";
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let request = |text: String| {
        let response = Peer::request(running.address, text.as_bytes());
        (response.status, String::from_utf8(response.body).unwrap())
    };
    let (status, opened) = request(get(target));
    assert_eq!(status, 200, "{opened}");
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let target = format!("{target}&sid={}", opened["sid"].as_str().unwrap());
    let body = format!("40{}", client.auth());
    let posted = request(format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(posted, (200, "ok".to_owned()));
    let mut got = String::new();
    while !got.contains("again") {
        let (status, packets) = request(get(&target));
        assert_eq!(status, 200, "{packets}");
        got.push_str(&packets);
    }
    let connected = format!("40{{\"sid\":\"{}\",\"pid\":\"{}\"}}", client.sid, client.pid);
    assert!(got.starts_with(&connected), "{got}");
    assert!(got.contains("42[\"again\",1,\""), "{got}");
    running.end();
}

#[test]
fn who_cannot_be_recovered_is_a_new_socket() {
    let running = Running::start(|options| options.recovery_ttl_ms = 300);
    let mut other = running.client("news");
    let mut client = running.client("a");
    other.say("a", "one");
    client.event();
    let pid = client.pid.clone();
    let forged = format!("{}{}", &pid[..pid.len() - 1], if pid.ends_with('0') { '1' } else { '0' });
    let namesake = running.client("a");
    for auth in [
        json!({"pid": forged}),
        json!({"pid": ""}),
        json!({"pid": 7}),
        json!({"pid": pid, "offset": "no offset"}),
        json!({"pid": pid, "offset": 7}),
        json!({"pid": format!("{}{}", &pid[..20], &namesake.pid[20..])}),
    ] {
        let stranger = running.connect(&auth.to_string());
        assert_ne!((&stranger.sid, &stranger.pid), (&client.sid, &client.pid), "{auth}");
    }
    // Nothing of that has touched it.
    other.say("a", "two");
    assert_eq!(client.event(), json!(["said", "two"]));
    // It left: there is nothing to return to. The watcher hears of the strangers, too.
    let hears = |watcher: &mut Client, event: &Value| while watcher.event() != *event {};
    client.say("b", "counted");
    client.peer.send(TEXT, "42[\"leave\"]");
    assert_eq!(client.text(), "41");
    hears(&mut other, &json!(["closed", 1]));
    assert_ne!(running.connect(&client.auth()).sid, client.sid);
    // Its time is over.
    let mut late = running.client("a");
    ["one", "two"].into_iter().for_each(|text| late.say("b", text));
    let (auth, sid) = (late.auth(), late.sid.clone());
    drop(late);
    hears(&mut other, &json!(["closed", 2]));
    // What the application has ordered then is carried out.
    let mut speaker = running.client("b");
    speaker.say("after 2", "heard");
    hears(&mut other, &json!(["said", "heard"]));
    assert_ne!(running.connect(&auth).sid, sid);
    running.end();
}

#[test]
fn without_recovery_nothing_changes() {
    let running = Running::start(|options| options.recovery_ttl_ms = 0);
    let mut peer = Peer::open(running.address, "/socket.io/?EIO=4&transport=websocket");
    peer.message();
    peer.send(TEXT, "40{\"pid\":\"x\",\"offset\":\"y\"}");
    let (_, connected) = peer.message();
    assert!(!String::from_utf8(connected).unwrap().contains("pid"));
    peer.send(TEXT, "42[\"tell\",\"text\"]");
    assert_eq!(peer.message().1, b"42[\"told\",\"text\"]");
    running.end();
}
