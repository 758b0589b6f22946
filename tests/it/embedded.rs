//! The library from outside: an embedder's handler in a server inside this process, through the public API alone.
//!
//! Descriptor tables are not private here: a shard's would begin as a copy of this process's and keep the sockets of
//! other tests open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use throng::Denied;
use throng::Failure;
use throng::Server;
use throng::parts::config::Config;
use throng::parts::control::Outcome;
use throng::parts::proto::http::{Refusal, Request, Status};
use throng::parts::proto::ws::Kind;
use throng::parts::session::{CloseReason, Handler, Message, NoHandler, Peer as Client};
use throng::parts::shard::mailbox::Target;

use crate::support::centrifuge::Client as Centrifuge;
use crate::support::peer::{BINARY, TEXT, upgrade};
use crate::support::{Peer, until};

/// State of a connection of [`Room`].
#[derive(Debug, Default)]
struct Guest {
    name: String,
    message_count: u32,
    tick_count: u32,
}

/// Accepts one word and its argument per message; binary messages go to the group `bytes`.
struct Room {
    /// Endings of all connections: name and reason.
    book: Arc<Mutex<Vec<(String, CloseReason)>>>,
}

impl Handler for Room {
    type State = Guest;

    fn serves(&self, path: &str) -> bool {
        path == "/room"
    }

    fn subprotocols(&self) -> &[&'static str] {
        &["room.v2", "room.v1"]
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        subprotocol: Option<&'static str>,
        peer: &mut Client<'_, '_>,
    ) -> Result<Guest, Refusal> {
        peer.send(Kind::Text, format!("welcome over {}", subprotocol.unwrap_or("nothing")).as_bytes());
        peer.join("lobby");
        match request.query {
            Some(name) => Ok(Guest { name: name.to_owned(), ..Guest::default() }),
            None => Err(Refusal::new(Status::Forbidden, "who are you?")),
        }
    }

    fn message(
        &mut self,
        guest: &mut Guest,
        message: Message<'_>,
        peer: &mut Client<'_, '_>,
    ) -> Result<(), CloseReason> {
        guest.message_count += 1;
        let Some(text) = message.text() else {
            message.data.reverse();
            peer.broadcast("bytes", Kind::Binary, message.data);
            return Ok(());
        };
        match text.split_once(' ').unwrap_or((text, "")) {
            ("join", channel) => peer.join(channel),
            ("leave", channel) => peer.leave(channel),
            ("say", words) => peer.broadcast("lobby", Kind::Text, words.as_bytes()),
            ("tick", after_ms) => peer.set_timer(after_ms.parse().unwrap()),
            ("count", _) => peer.send(Kind::Text, guest.message_count.to_string().as_bytes()),
            ("bye", reason) => return peer.close(4001, reason),
            _ => {}
        }
        Ok(())
    }

    fn timer(&mut self, guest: &mut Guest, peer: &mut Client<'_, '_>) -> Result<(), CloseReason> {
        guest.tick_count += 1;
        peer.send(Kind::Text, format!("tick {}", guest.tick_count).as_bytes());
        match guest.tick_count {
            3 => peer.close(4002, "three ticks"),
            _ => {
                peer.set_timer(1);
                Ok(())
            }
        }
    }

    fn joined(
        &mut self,
        _: &mut Guest,
        channel: &str,
        outcome: Result<(), Denied>,
        peer: &mut Client<'_, '_>,
    ) {
        let text = match outcome {
            Ok(()) => format!("joined {channel}"),
            Err(denied) => format!("not joined {channel}: {denied:?}"),
        };
        peer.send(Kind::Text, text.as_bytes());
    }

    fn closed(&mut self, guest: Guest, _: throng::parts::session::ClientId, reason: &CloseReason) {
        self.book.lock().unwrap().push((guest.name, reason.clone()));
    }
}

struct Running {
    address: SocketAddr,
    book: Arc<Mutex<Vec<(String, CloseReason)>>>,
    drain: Box<dyn Fn() + Send>,
    thread: JoinHandle<Outcome>,
}

fn config() -> Config {
    let mut config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        control: None,
        shards: 3,
        pin: false,
        private_descriptors: false,
        ..Config::default()
    };
    config.timeouts.ping_interval_ms = 0;
    config.timeouts.drain_ms = 50;
    config.limits.channels_per_connection_max = 3;
    config
}

impl Running {
    fn start() -> Self {
        let book = Arc::default();
        let server = Server::start(&config(), |_shard| Room { book: Arc::clone(&book) }).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        Self { address, book, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    /// A guest in the lobby.
    fn guest(&self, name: &str) -> Peer {
        let mut peer = Peer::open(self.address, &format!("/room?{name}"));
        hears(&mut peer, "welcome over nothing");
        hears(&mut peer, "joined lobby");
        peer
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

fn hears(peer: &mut Peer, text: &str) {
    let (opcode, payload) = peer.message();
    assert_eq!((opcode, String::from_utf8(payload).unwrap().as_str()), (TEXT, text));
}

#[test]
fn a_message_outside_of_all_channels_reaches_those_it_is_for() {
    let server = Server::start(&config(), |_shard| NoHandler).unwrap();
    let (node, address, drain) = (server.node().unwrap(), server.addresses()[0], server.drainer());
    let running = thread::spawn(|| server.wait().unwrap());
    let mut clients = [Centrifuge::open(address), Centrifuge::open(address)];
    let someone_else = Target { user: "42".to_owned(), ..Target::default() };
    node.message(someone_else, b"1".to_vec()).wait().unwrap();
    node.message(Target::default(), b"{\n\"n\": 2}".to_vec()).wait().unwrap();
    for client in &mut clients {
        assert_eq!(client.push("message")["message"]["data"], json!({ "n": 2 }));
    }
    assert_eq!(node.message(Target::default(), b"no json".to_vec()).wait(), Err(Failure::BadRequest));
    drain();
    assert_eq!(running.join().unwrap(), Outcome::Drained);
}

/// Joins the next group whenever one cannot be joined.
struct Stubborn;

impl Handler for Stubborn {
    type State = u64;

    fn serves(&self, path: &str) -> bool {
        path == "/stubborn"
    }

    fn open(
        &mut self,
        _: &Request<'_>,
        _: Option<&'static str>,
        peer: &mut Client<'_, '_>,
    ) -> Result<u64, Refusal> {
        peer.join("0");
        Ok(0)
    }

    fn message(&mut self, _: &mut u64, _: Message<'_>, _: &mut Client<'_, '_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn joined(&mut self, count: &mut u64, _: &str, _: Result<(), Denied>, peer: &mut Client<'_, '_>) {
        *count += 1;
        peer.join(&count.to_string());
    }
}

/// A refusal was reported at once, from within the call that asked: such a handler overflowed the stack of the shard.
#[test]
fn a_handler_that_joins_again_whenever_it_may_not_does_not_keep_others_waiting() {
    let config = Config { shards: 1, ..config() };
    let server = Server::start(&config, |_shard| Stubborn).unwrap();
    let (address, drain) = (server.addresses()[0], server.drainer());
    let running = thread::spawn(|| server.wait().unwrap());
    let _stubborn = Peer::open(address, "/stubborn");
    let mut other = Centrifuge::open(address);
    for _ in 0..10 {
        other.sync();
    }
    drain();
    assert_eq!(running.join().unwrap(), Outcome::Drained);
}

#[test]
fn a_handler_greets_refuses_and_remembers() {
    let server = Running::start();
    let mut peer = server.guest("ann");
    for count in 1..5 {
        peer.send(TEXT, "count");
        hears(&mut peer, &count.to_string());
    }
    // The output and requests of a refused open are undone.
    let refused = Peer::request(server.address, upgrade("/room", "").as_bytes());
    assert_eq!((refused.status, refused.body.as_slice()), (403, &b"who are you?\n"[..]));
    let mut other = Peer::connect(server.address);
    other.send_bytes(upgrade("/room?bob", "Sec-WebSocket-Protocol: x, room.v1, room.v2\r\n").as_bytes());
    let response = other.response_head();
    assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, Some("room.v1")));
    hears(&mut other, "welcome over room.v1");
    drop((peer, other));
    server.end();
}

#[test]
fn what_a_group_is_told_reaches_its_members_on_all_shards_in_one_order() {
    let server = Running::start();
    let mut guests: Vec<Peer> = (0..12).map(|n| server.guest(&format!("guest{n}"))).collect();
    for (n, guest) in guests.iter_mut().enumerate() {
        guest.send(TEXT, format!("say {n}"));
    }
    let told: Vec<Vec<_>> =
        guests.iter_mut().map(|guest| (0..12).map(|_| guest.message()).collect()).collect();
    assert!(told.iter().all(|one| one == &told[0]));
    let mut who_left = guests.pop().unwrap();
    who_left.send(TEXT, "leave lobby");
    who_left.send(TEXT, "count");
    hears(&mut who_left, "3");
    guests[0].send(TEXT, "say once more");
    guests.iter_mut().for_each(|guest| hears(guest, "once more"));
    who_left.send(TEXT, "count");
    hears(&mut who_left, "4");
    drop((guests, who_left));
    server.end();
}

#[test]
fn timers_come_and_may_end_the_connection() {
    let server = Running::start();
    let mut peer = server.guest("tom");
    peer.send(TEXT, "tick 60000");
    peer.send(TEXT, "tick 30"); // replaces the one before
    for n in 1..=3 {
        hears(&mut peer, &format!("tick {n}"));
    }
    peer.expect_close(4002);
    drop(peer);
    server.end();
}

#[test]
fn the_end_of_each_connection_is_told_with_its_state_and_reason() {
    let server = Running::start();
    let mut asked = server.guest("asked");
    asked.send(TEXT, "bye for now");
    let frame = asked.frame();
    assert_eq!((frame.close_code(), &frame.payload[2..]), (Some(4001), &b"for now"[..]));
    server.guest("polite").send_close(1000);
    drop(server.guest("rude"));
    server.guest("broken").send(3, "");
    let book = until("four endings", || {
        let book = server.book.lock().unwrap();
        (book.len() == 4).then(|| book.clone())
    });
    let reason = |name: &str| book.iter().find(|(n, _)| n == name).map(|(_, reason)| reason.clone()).unwrap();
    assert_eq!(reason("asked"), CloseReason::Handler { code: 4001, reason: "for now".into() });
    assert_eq!(reason("polite"), CloseReason::Peer(1000));
    assert!(matches!(reason("rude"), CloseReason::Hangup | CloseReason::Transport));
    assert!(matches!(reason("broken"), CloseReason::Violation(_)));
    let mut left = server.guest("left");
    let book = Arc::clone(&server.book);
    drop(asked);
    (server.drain)();
    left.expect_close(1012);
    drop(left);
    assert_eq!(server.thread.join().unwrap(), Outcome::Drained);
    assert_eq!(book.lock().unwrap().last().unwrap(), &("left".to_owned(), CloseReason::Shutdown));
}

#[test]
fn limits_of_groups_are_told() {
    let server = Running::start();
    let mut peer = server.guest("collector");
    for (channel, told) in
        [("a", "joined a"), ("a", "not joined a: AlreadyIn"), ("b", "joined b"), ("c", "not joined c: Limit")]
    {
        peer.send(TEXT, format!("join {channel}"));
        hears(&mut peer, told);
    }
    drop(peer);
    server.end();
}

#[test]
fn a_raw_client_and_a_centrifuge_client_of_one_channel_hear_each_other() {
    let server = Running::start();
    let mut raw = server.guest("raw");
    raw.send(TEXT, "join bytes");
    hears(&mut raw, "joined bytes");
    let mut client = Centrifuge::subscribed(server.address, &["lobby", "bytes"]);
    raw.send(TEXT, "say {\"json\": [1,\n2]}");
    hears(&mut raw, "{\"json\": [1,\n2]}");
    assert_eq!(client.publication(), ("lobby".into(), json!({"json": [1, 2]})));
    raw.send(TEXT, "say plain words");
    hears(&mut raw, "plain words");
    assert_eq!(client.publication(), ("lobby".into(), json!("plain words")));
    raw.send(BINARY, [1, 2, 255]);
    assert_eq!(raw.message(), (BINARY, vec![255, 2, 1]));
    assert_eq!(client.publication(), ("bytes".into(), json!("/wIB")));
    client.publish("lobby", json!({"from": "centrifuge"})).unwrap();
    hears(&mut raw, r#"{"from":"centrifuge"}"#);
    assert_eq!(client.publication().1, json!({"from": "centrifuge"}));
    drop((raw, client));
    server.end();
}

#[test]
fn a_server_without_a_handler_serves_channels_only() {
    let server = Server::start(&config(), |_shard| NoHandler).unwrap();
    let address = server.addresses()[0];
    assert_eq!(server.control_address(), None);
    assert_eq!(Peer::request(address, upgrade("/room?x", "").as_bytes()).status, 404);
    let mut client = Centrifuge::subscribed(address, &["a"]);
    client.publish("a", json!(1)).unwrap();
    assert_eq!(client.publication().1, 1);
    drop(client);
    server.drain();
    assert_eq!(server.wait().unwrap(), Outcome::Drained);
}

/// A program's own executor, as `#[tokio::main(flavor = "current_thread")]` makes it.
fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// It drains by its own handle, from another task of the same thread, while the server is awaited.
#[test]
fn a_server_is_awaited_in_an_executor_that_goes_on() {
    let outcome = executor().block_on(async {
        let server = Server::start(&config(), |_shard| NoHandler).unwrap();
        let (address, drain) = (server.addresses()[0], server.drainer());
        let waiting = tokio::spawn(server.wait_async());
        tokio::task::spawn_blocking(move || drop(Centrifuge::open(address))).await.unwrap();
        drain();
        waiting.await.unwrap()
    });
    assert_eq!(outcome.unwrap(), Outcome::Drained);
}

/// The control plane does not wait until the result is requested.
#[test]
fn an_awaited_server_runs_before_it_is_asked_for() {
    let config = Config { control: Some("127.0.0.1:0".parse().unwrap()), ..config() };
    let server = Server::start(&config, |_shard| NoHandler).unwrap();
    let (control, drain) = (server.control_address().unwrap(), server.drainer());
    let outcome = server.wait_async();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(Peer::request(control, request).status, 200);
    drain();
    assert_eq!(executor().block_on(outcome).unwrap(), Outcome::Drained);
}

#[test]
fn a_taken_control_port_is_left_only_where_the_listener_may_move() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let set = Config { control: Some(taken), ..config() };
    let error = Server::start(&set, |_shard| NoHandler).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("control: cannot listen on {taken}: Address already in use")),
        "{error}"
    );
    let default = Config { control_may_move: true, ..set };
    let server = Server::start(&default, |_shard| NoHandler).unwrap();
    let moved = server.control_address().unwrap();
    assert!((1..=10).contains(&(moved.port() - taken.port())), "{moved}");
    assert_eq!(server.ready().control, Some(moved));
    let warning = server.control_warning().unwrap();
    assert!(
        warning.contains(&format!("listens on {taken}: the control listener is on {moved};")),
        "{warning}"
    );
    server.drain();
    assert_eq!(server.wait().unwrap(), Outcome::Drained);
}

/// As in the binary: in development mode a drain is not spread.
#[test]
fn an_embedded_server_in_development_mode_ends_at_once() {
    let drain_ms = Config::default().timeouts.drain_ms;
    let mut config = config();
    config.timeouts.drain_ms = drain_ms;
    let server = Server::start(&config, |_shard| NoHandler).unwrap();
    let clients: Vec<_> = (0..3).map(|_| Centrifuge::open(server.addresses()[0])).collect();
    let began = Instant::now();
    server.drain();
    assert_eq!(server.wait().unwrap(), Outcome::Drained);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    clients.into_iter().for_each(|client| drop(client.expect_close(3001)));
}

/// Each of these ended the process: tokio takes no runtime within a runtime, nor the end of one.
#[test]
fn a_server_can_be_waited_for_and_dropped_where_tasks_run() {
    let started = || {
        let server = Server::start(&config(), |_shard| NoHandler).unwrap();
        server.drain();
        server
    };
    let executor = executor();
    executor.block_on(async {
        assert_eq!(started().wait().unwrap(), Outcome::Drained);
        let waiting = tokio::task::spawn_blocking(move || started().wait().unwrap());
        assert_eq!(waiting.await.unwrap(), Outcome::Drained);
        drop(started());
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let clash = Config { listen: vec![taken.local_addr().unwrap().into()], ..config() };
        assert!(Server::start(&clash, |_shard| NoHandler).is_err());
    });
}
