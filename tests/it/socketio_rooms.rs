//! Rooms of Socket.IO over loopback, with sockets in several shards: who gets an event, once, and in which order.

mod away;
mod channels;
mod held;
mod limits;
mod private;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};
use throng::socketio::{Admit, Binary, Connecting, Ending, Event, Gone, Routes, Socket, SocketIo};
use throng::{
    CloseReason, Config, Handler, Message, Node, Outcome, Publisher, Refusal, Request, Server as Embedded,
    SocketIoOptions,
};

use crate::socketio::polling::Polling;
use crate::support::Peer;
use crate::support::peer::{BINARY, TEXT};

/// The application, and beside it a raw endpoint `/raw?CHANNEL`: its messages go to this channel, and it receives those of
/// the channel. A message `channel NAME` moves it to another.
struct Both(SocketIo<Routes<Farewell>>);

impl Handler for Both {
    type State = Farewell;

    fn serves(&self, path: &str) -> bool {
        path == "/raw"
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        _: Option<&'static str>,
        peer: &mut throng::Peer<'_, '_>,
    ) -> Result<Farewell, Refusal> {
        let channel = request.query.unwrap_or_default().to_owned();
        peer.join(&channel);
        Ok(channel)
    }

    fn message(
        &mut self,
        channel: &mut Farewell,
        message: Message<'_>,
        peer: &mut throng::Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        if let Some(name) = message.text().and_then(|text| text.strip_prefix("channel ")) {
            name.clone_into(channel);
            peer.join(name);
            return Ok(());
        }
        peer.broadcast(channel, message.kind, message.data);
        Ok(())
    }

    fn joined(
        &mut self,
        _: &mut Farewell,
        channel: &str,
        outcome: Result<(), throng::Denied>,
        peer: &mut throng::Peer<'_, '_>,
    ) {
        let said = if outcome.is_ok() { format!("in {channel}") } else { format!("not in {channel:?}") };
        peer.send(throng::Kind::Text, said.as_bytes());
    }

    fn socket_connect(&mut self, connecting: &Connecting<'_>) -> Admit<Farewell> {
        self.0.socket_connect(connecting)
    }

    fn socket_event(
        &mut self,
        state: &mut Farewell,
        event: Event<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        self.0.socket_event(state, event, socket)
    }

    fn socket_closed(&mut self, state: Farewell, gone: &mut Gone<'_>) {
        self.0.socket_closed(state, gone);
    }
}

/// The state of a socket: a room that hears of its end; may be empty.
type Farewell = String;

/// Events that do as they are named.
fn routes() -> Routes<Farewell> {
    Routes::new(|connecting| match connecting.namespace {
        "/" | "/other" => Admit::In(String::new()),
        _ => Admit::unknown_namespace(),
    })
    .on("join", |turn, rooms: Vec<String>| {
        for room in &rooms {
            turn.socket.join(room)?;
        }
        turn.ack(&())
    })
    .on("leave", |turn, (room,): (String,)| {
        turn.socket.leave(&room);
        turn.ack(&())
    })
    .on("say", |turn, (to, except, text): (Vec<String>, Vec<String>, Value)| {
        let mut emit = turn.socket.everyone();
        for room in &to {
            emit = emit.to(room);
        }
        for room in &except {
            emit = emit.except(room);
        }
        Ok(emit.emit("said", &(text,))?)
    })
    .on("tell others", |turn, (room, text): (String, Value)| {
        let emit = if room.is_empty() { turn.socket.others() } else { turn.socket.to(&room) };
        Ok(emit.emit("said", &(text,))?)
    })
    .on("volatile", |turn, (room, text): (String, Value)| {
        Ok(turn.socket.everyone().to(&room).volatile().local().emit("said", &(text,))?)
    })
    .on("emit", |turn, (room, name, args): (String, String, Vec<Value>)| {
        Ok(turn.socket.everyone().to(&room).emit(&name, &args)?)
    })
    .on("may", |turn, (room, is_in_room): (String, bool)| {
        let may = (turn.socket.may_join(&room), turn.socket.may_emit(&room, is_in_room));
        turn.ack(&may)
    })
    .on("file", |turn, (room,): (String,)| {
        Ok(turn.socket.everyone().to(&room).emit_with("file", &(Binary(0), "name"), &[b"\x00\xff"])?)
    })
    .on("farewell", |turn, (room,): (String,)| {
        *turn.state = room;
        turn.ack(&())
    })
    .closed(|farewell, gone| {
        if !farewell.is_empty() {
            let why = gone.why.as_str();
            gone.to(&farewell).emit("said", &(why,)).ok();
        }
    })
}

/// Number of clients, for the names of their own rooms.
static COUNT: AtomicU32 = AtomicU32::new(0);

struct Running {
    address: std::net::SocketAddr,
    control: Option<std::net::SocketAddr>,
    node: Node,
    publisher: Publisher,
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
        config.timeouts.ping_interval_ms = 0;
        change(&mut config);
        let server = Embedded::start(&config, |_shard| Both(SocketIo(routes()))).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        let (control, node) = (server.control_address(), server.node().unwrap());
        let publisher = server.publisher();
        Self { address, control, node, publisher, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    /// A client in these rooms.
    fn client(&self, rooms: &[&str]) -> Client {
        let mut peer = Peer::open(self.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, "40");
        let (_, connected) = peer.message();
        let connected: Value = serde_json::from_slice(connected.strip_prefix(b"40").unwrap()).unwrap();
        let sid = connected["sid"].as_str().unwrap().to_owned();
        let own = format!("own {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut client = Client { peer, own, sid };
        let rooms: Vec<&str> = rooms.iter().copied().chain([client.own.as_str()]).collect();
        let rooms = json!(rooms);
        client.ask("join", &rooms);
        client
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

/// A client of the main namespace.
struct Client {
    peer: Peer,
    /// A room of its own.
    own: String,
    sid: String,
}

impl Client {
    /// Sends an event with these arguments.
    fn emit(&mut self, name: &str, args: &Value) {
        let mut event = args.as_array().unwrap().clone();
        event.insert(0, name.into());
        self.peer.send(TEXT, format!("42{}", Value::from(event)));
    }

    /// Sends an event and waits for its answer; nothing else may come.
    fn ask(&mut self, name: &str, args: &Value) {
        let mut event = args.as_array().unwrap().clone();
        event.insert(0, name.into());
        self.peer.send(TEXT, format!("421{}", Value::from(event)));
        assert_eq!(self.text(), "431[]");
    }

    fn text(&mut self) -> String {
        let (opcode, payload) = self.peer.message();
        assert_eq!(opcode, TEXT);
        String::from_utf8(payload).unwrap()
    }

    /// The argument of the next event, which must be `said`.
    fn said(&mut self) -> Value {
        let text = self.text();
        let mut event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap_or(&text)).unwrap();
        assert_eq!((event.len(), &event[0]), (2, &json!("said")), "{text}");
        event.remove(1)
    }

    /// Nothing has come up to now: a later event of its own is the next that it gets.
    fn has_nothing(&mut self) {
        let own = [self.own.clone()];
        self.emit("say", &json!([own, [], "end"]));
        assert_eq!(self.said(), "end");
    }
}

#[test]
fn an_event_reaches_each_socket_that_it_is_for_once() {
    // Also where each room has a home of its own, and one of them is a channel.
    for (has_home_per_room, is_shared) in [(false, false), (false, true), (true, false), (true, true)] {
        each_once(|config| {
            config.socketio.has_home_per_room = has_home_per_room;
            if is_shared {
                channels::share(config, "a", |_| {});
            }
        });
    }
}

fn each_once(change: impl FnOnce(&mut Config)) {
    let running = Running::start(change);
    let mut sender = running.client(&[]);
    for (sent, expected) in [
        (json!([[], [], 1]), [true, true, true, true]),
        (json!([["a"], [], 2]), [true, false, true, false]),
        (json!([["a", "b"], [], 3]), [true, true, true, false]),
        (json!([["a", "b", "a"], ["b"], 4]), [true, false, false, false]),
        (json!([[], ["a"], 5]), [false, true, false, true]),
        (json!([["nobody", "b"], ["nobody"], 6]), [false, true, true, false]),
        (json!([["nobody"], [], 7]), [false; 4]),
        (json!([["a"], ["a", "b"], 8]), [false; 4]),
    ] {
        let rooms: [&[&str]; 4] = [&["a", "x,y"], &["b", "é"], &["a", "b"], &[]];
        // More sockets than shards, so that some share one.
        let mut clients: Vec<_> = (0..12).map(|at| (at % 4, running.client(rooms[at % 4]))).collect();
        sender.emit("say", &sent);
        for (kind, client) in &mut clients {
            if expected[*kind] {
                assert_eq!(client.said(), sent[2], "{sent} {kind}");
            }
            client.has_nothing();
        }
    }
    running.end();
}

#[test]
fn others_are_all_but_the_sender_and_another_namespace_hears_nothing() {
    let running = Running::start(|_| {});
    let mut clients: Vec<_> = (0..6).map(|_| running.client(&["a"])).collect();
    let mut stranger = running.client(&[]);
    stranger.peer.send(TEXT, "40/other,");
    assert!(stranger.text().starts_with("40/other,"));
    clients[0].emit("tell others", &json!(["a", 1]));
    for client in &mut clients[1..] {
        assert_eq!(client.said(), 1);
    }
    // Of the namespace: the stranger is in it, too, and in another one, where it tells others.
    clients[1].emit("tell others", &json!(["", 2]));
    assert_eq!((stranger.said(), clients[0].said()), (json!(2), json!(2)));
    for client in &mut clients[2..] {
        assert_eq!(client.said(), 2);
    }
    stranger.peer.send(TEXT, "42/other,[\"say\",[],[],3]");
    assert_eq!(stranger.text(), "42/other,[\"said\",3]");
    for client in &mut clients {
        client.ask("leave", &json!(["a"]));
    }
    clients[0].emit("say", &json!([["a"], [], 4]));
    clients[0].emit("say", &json!([[], [], 5]));
    for client in &mut clients {
        assert_eq!(client.said(), 5);
    }
    running.end();
}

/// All rooms of a namespace have one order, the same for all of its sockets, whoever sends.
#[test]
fn events_of_all_rooms_have_one_order() {
    const SENDERS: u64 = 3;
    const EVENTS: u64 = 300;
    // A large room is delivered over several turns, and small ones must not overtake it.
    let running = Running::start(|config| config.limits.deliveries_per_turn_max = 5);
    let rooms: [&[&str]; 4] = [&["a"], &["b"], &["a", "b"], &["a", "b", "c"]];
    let mut clients: Vec<_> = (0..24).map(|at| running.client(rooms[at % 4])).collect();
    let mut senders: Vec<_> = (0..SENDERS).map(|_| running.client(&[])).collect();
    let targets = [json!(["a"]), json!(["b"]), json!(["a", "b"]), json!(["c"]), json!([])];
    let target = |n: u64| &targets[usize::try_from(n).unwrap() % targets.len()];
    for n in 0..EVENTS {
        for (sender, client) in senders.iter_mut().enumerate() {
            client.emit("say", &json!([target(n), [], [sender, n]]));
        }
    }
    let mut places: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, client) in clients.iter_mut().enumerate() {
        let own = rooms[at % 4];
        let is_for = |n: u64| {
            let to = target(n).as_array().unwrap();
            to.is_empty() || to.iter().any(|room| own.contains(&room.as_str().unwrap()))
        };
        let count = (0..EVENTS).filter(|n| is_for(*n)).count() * usize::try_from(SENDERS).unwrap();
        let mut last = [None; 3];
        for place in 0..count {
            let said = client.said();
            let (sender, n) = (said[0].as_u64().unwrap(), said[1].as_u64().unwrap());
            assert!(is_for(n), "{said} came to {own:?}");
            let last = &mut last[usize::try_from(sender).unwrap()];
            assert!(*last < Some(n), "{said} came behind {last:?}");
            *last = Some(n);
            places.entry(said.to_string()).or_default().push((at, place));
        }
    }
    // Two events that two sockets both get come in the same order at both.
    let mut of_client: Vec<BTreeMap<usize, &str>> = vec![BTreeMap::new(); clients.len()];
    for (event, places) in &places {
        for &(at, place) in places {
            of_client[at].insert(place, event);
        }
    }
    let everything: Vec<&str> = of_client[3].values().copied().collect();
    let rank: BTreeMap<&str, usize> =
        everything.iter().enumerate().map(|(rank, event)| (*event, rank)).collect();
    for events in &of_client {
        let ranks: Vec<_> = events.values().map(|event| rank[event]).collect();
        assert!(ranks.is_sorted(), "another order than that of the socket that gets everything");
    }
    running.end();
}

#[test]
fn what_was_sent_before_a_socket_came_or_after_it_left_is_not_for_it() {
    let running = Running::start(|_| {});
    let mut sender = running.client(&[]);
    let mut client = running.client(&["only me"]);
    // Behind each other on one connection, so the server handles them in this order.
    client.emit("say", &json!([["room"], [], "before"]));
    client.emit("join", &json!(["room"]));
    client.emit("say", &json!([["room"], [], "within"]));
    assert_eq!(client.said(), "within");
    client.emit("leave", &json!(["room"]));
    client.emit("say", &json!([["room"], [], "after"]));
    client.emit("say", &json!([["only me"], [], "end"]));
    assert_eq!(client.said(), "end");
    // Who leaves the namespace has left its rooms, and comes back without them.
    client.peer.send(TEXT, "41");
    client.peer.send(TEXT, "40");
    assert!(client.text().starts_with("40{"));
    sender.emit("say", &json!([["only me"], [], "lost"]));
    sender.emit("say", &json!([[], [], "heard"]));
    assert_eq!(client.said(), "heard");
    running.end();
}

#[test]
fn attachments_reach_a_room_and_others_hear_of_an_end() {
    let running = Running::start(|_| {});
    let mut clients: Vec<_> = (0..5).map(|_| running.client(&["a"])).collect();
    clients[0].emit("file", &json!(["a"]));
    for client in &mut clients {
        assert_eq!(client.text(), "451-[\"file\",{\"_placeholder\":true,\"num\":0},\"name\"]");
        assert_eq!(client.peer.message(), (BINARY, vec![0, 255]));
    }
    for (at, end) in ["41", "1"].into_iter().enumerate() {
        clients[at].ask("farewell", &json!(["a"]));
        clients[at].peer.send(TEXT, end);
        let why = if at == 0 { "client namespace disconnect" } else { "transport close" };
        for client in &mut clients[at + 1..] {
            assert_eq!(client.said(), why);
        }
    }
    // A connection that breaks, without a word.
    let mut last = clients.pop().unwrap();
    last.ask("farewell", &json!(["a"]));
    drop(last);
    for client in &mut clients[2..] {
        assert_eq!(client.said(), "transport close");
    }
    running.end();
}

/// Rooms deliver while their sockets move from polls to WebSockets: to each once, in the order of all, and in the form of
/// the transport that the socket has at that time.
#[test]
fn rooms_keep_their_order_while_their_sockets_move() {
    const EVENTS: usize = 400;
    const MOVING: usize = 12;
    // Deliveries take several turns, so that sockets move in the middle of some.
    let running = Running::start(|config| config.limits.deliveries_per_turn_max = 3);
    let mut sender = running.client(&[]);
    let mut watcher = running.client(&["a"]);
    let mut clients: Vec<Polling> = (0..MOVING).map(|_| Polling::at(running.address)).collect();
    for client in &mut clients {
        client.post("40");
        assert!(client.packets(1)[0].starts_with("40{"));
        client.post("420[\"join\",\"a\",\"b\"]");
        assert_eq!(client.packets(1), ["430[]"]);
    }
    for number in 0..EVENTS {
        let to: &[&str] = [&["a"][..], &["b"], &["a", "b"]][number % 3];
        match number % 10 {
            9 => sender.emit("file", &json!(["b"])),
            _ => sender.emit("say", &json!([to, [], number])),
        }
    }
    let expected: Vec<String> = (0..EVENTS)
        .flat_map(|number| match number % 10 {
            9 => vec![
                "451-[\"file\",{\"_placeholder\":true,\"num\":0},\"name\"]".to_owned(),
                "bAP8=".to_owned(),
            ],
            _ => vec![format!("42[\"said\",{number}]")],
        })
        .collect();
    for (at, client) in clients.iter_mut().enumerate() {
        // At different times, some with a few events by polls before.
        let mut got = if at % 3 == 0 { Vec::new() } else { client.packets(1) };
        let by_websocket = client.target.replace("transport=polling", "transport=websocket");
        let mut peer = Peer::open(running.address, &by_websocket);
        peer.send(TEXT, "5");
        while got.len() < expected.len() {
            got.push(match peer.message() {
                (BINARY, data) if data == [0, 255] => "bAP8=".to_owned(),
                (_, text) => String::from_utf8(text).unwrap(),
            });
        }
        assert_eq!(got, expected, "{at}");
        // Also what is sent to all from now on.
        peer.send(TEXT, "42[\"say\",[\"own\"],[],1]");
        peer.send(TEXT, "421[\"join\",\"own\"]");
        assert_eq!(peer.message().1, b"431[]");
        peer.send(TEXT, "42[\"say\",[\"own\"],[],2]");
        assert_eq!(peer.message().1, b"42[\"said\",2]");
    }
    while watcher.said() != EVENTS - 2 {}
    running.end();
}
