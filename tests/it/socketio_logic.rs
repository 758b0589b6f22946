//! Socket.IO without an application of its own: development mode, and rules of the configuration, of the built server.

use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// The next packet that is no ping; pings are answered.
fn text(peer: &mut Peer) -> String {
    loop {
        let (opcode, payload) = peer.message();
        assert_eq!(opcode, TEXT, "{payload:?}");
        match payload.as_slice() {
            b"2" => peer.send(TEXT, "3"),
            _ => return String::from_utf8(payload).unwrap(),
        }
    }
}

/// A client in a namespace; the name has its comma, or is empty for the root.
fn client(server: &Server, namespace: &str) -> Peer {
    let mut peer = Peer::open(server.address, PATH);
    assert!(text(&mut peer).starts_with("0{"));
    peer.send(TEXT, format!("40{namespace}"));
    let connected = text(&mut peer);
    assert!(connected.starts_with(&format!("40{namespace}{{\"sid\":")), "{connected}");
    peer
}

/// Sends an event that wants an answer, and checks that.
fn asks(peer: &mut Peer, packet: &str, answer: &str) {
    peer.send(TEXT, packet.to_owned());
    assert_eq!(text(peer), answer);
}

#[test]
fn in_development_mode_everything_is_relayed() {
    let server = Server::start(&[]);
    assert!(server.said.iter().any(|line| line.contains("Socket.IO at /socket.io/; ")), "{:?}", server.said);
    let mut ann = client(&server, "");
    let mut bob = client(&server, "");
    let mut eve = client(&server, "/other,");
    // Nobody is in a room: the whole namespace, with the sender.
    ann.send(TEXT, "421[\"chat message\",\"hi\",{\"n\":1}]");
    assert_eq!(text(&mut ann), "431[]");
    for peer in [&mut ann, &mut bob] {
        assert_eq!(text(peer), "42[\"chat message\",\"hi\",{\"n\":1}]");
    }
    // In a room: the room only. Many events in one write keep their order.
    asks(&mut ann, "422[\"join\",\"den\"]", "432[]");
    asks(&mut eve, "42/other,7[\"join\",\"den\"]", "43/other,7[]");
    for n in 0..200 {
        ann.send(TEXT, format!("42[\"say\",{n}]"));
    }
    for n in 0..200 {
        assert_eq!(text(&mut ann), format!("42[\"say\",{n}]"));
    }
    asks(&mut ann, "423[\"leave\",\"den\"]", "433[]");
    ann.send(TEXT, "42[\"bye\"]");
    assert_eq!(text(&mut bob), "42[\"bye\"]");
    // Another shape of `join` is refused by name.
    eve.send(TEXT, "42/other,[\"join\",1]");
    asks(&mut eve, "42/other,8[\"leave\",\"den\"]", "43/other,8[]");
    let refused = |reason| server.metric_with("throng_socketio_events_refused_total", reason);
    assert_eq!((refused("argument"), refused("no_rule")), (1, 0));
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!(code, Some(0));
    let line = "an event of a Socket.IO client is not handled as it should be";
    assert!(said.contains(line) && said.contains("join takes one text"), "{said}");
}

#[test]
fn the_flag_alone_turns_socketio_off_and_does_not_end_development_mode() {
    let server = Server::start(&["--socketio=false"]);
    assert!(!server.said.iter().any(|line| line.contains("Socket.IO")), "{:?}", server.said);
    assert!(server.said.iter().any(|line| line.contains("development mode")), "{:?}", server.said);
    let request =
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(Peer::request(server.address, request.as_bytes()).status, 404);
}

#[test]
fn without_rules_no_namespace_opens_and_a_warning_says_so() {
    let server = Server::configured("[client]\ninsecure = true\n[socketio]\nenabled = true\n", &[]);
    assert!(server.said.iter().any(|line| line.contains("no namespace opens")), "{:?}", server.said);
    let mut peer = Peer::open(server.address, PATH);
    text(&mut peer);
    asks(&mut peer, "40", "44{\"message\":\"Invalid namespace\"}");
}

const RULES: &str = r#"
[client]
insecure = true

[socketio]
enabled = true
events_waiting_max = 2

[[socketio.rules]]
event = "join"
require = { "$0" = "^[a-z]{1,8}$" }
do = ["join", "emit"]
room = "$0"
to = "$0"
as = "joined"
except_sender = true
ack = ["ok", "$0"]

[[socketio.rules]]
event = "say"
require = { room = "$0.room" }
do = "emit"
to = "$0.room"
ack = true

[[socketio.rules]]
event = "echo"
do = "ack"
ack = "$args"

[[socketio.rules]]
event = "bye"
namespace = "/staff"
do = "disconnect"
"#;

#[test]
fn rules_are_a_chat_without_a_backend() {
    let server = Server::configured(RULES, &[]);
    let mut ann = client(&server, "");
    let mut bob = client(&server, "");
    asks(&mut ann, "421[\"join\",\"den\"]", "431[\"ok\",\"den\"]");
    asks(&mut bob, "421[\"join\",\"den\"]", "431[\"ok\",\"den\"]");
    assert_eq!(text(&mut ann), "42[\"joined\",\"den\"]");
    // More events than may wait: all are handled, in their order.
    for n in 0..50 {
        bob.send(TEXT, format!("42{n}[\"say\",{{\"room\":\"den\",\"n\":{n}}}]"));
    }
    let said: Vec<_> = (0..100).map(|_| text(&mut bob)).collect();
    let (acks, events): (Vec<_>, Vec<_>) = said.into_iter().partition(|packet| packet.starts_with("43"));
    assert_eq!(acks, (0..50).map(|n| format!("43{n}[]")).collect::<Vec<_>>());
    let expected: Vec<_> = (0..50).map(|n| format!("42[\"say\",{{\"room\":\"den\",\"n\":{n}}}]")).collect();
    assert_eq!(events, expected);
    for event in &expected {
        assert_eq!(&text(&mut ann), event);
    }
    // Who is not in the room says nothing there, and an unknown event goes nowhere.
    ann.send(TEXT, "42[\"say\",{\"room\":\"attic\"}]");
    ann.send(TEXT, "42[\"dance\"]");
    ann.send(TEXT, "42[\"join\",\"UPPER\"]");
    asks(&mut ann, "429[\"echo\",{\"a\":1},2]", "439[{\"a\":1},2]");
    assert_eq!(server.metric_with("throng_socketio_events_refused_total", "no_rule"), 3);
    // The namespaces are those that rules name.
    let mut staff = client(&server, "/staff,");
    asks(&mut staff, "42/staff,[\"bye\"]", "41/staff,");
    asks(&mut staff, "40/nobody,", "44/nobody,{\"message\":\"Invalid namespace\"}");
}

#[test]
fn a_reload_takes_other_rules_for_live_sockets() {
    let path = std::env::temp_dir().join(format!("throng-it-rules-{}.toml", std::process::id()));
    std::fs::write(&path, RULES).unwrap();
    let server = Server::start(&["--config", path.to_str().unwrap()]);
    let mut ann = client(&server, "");
    asks(&mut ann, "421[\"echo\",1]", "431[1]");
    std::fs::write(&path, RULES.replace("ack = \"$args\"", "ack = [\"new\", \"$0\"]")).unwrap();
    server.signal("HUP");
    server.await_metric("throng_config_reloads_total", 1);
    asks(&mut ann, "422[\"echo\",1]", "432[\"new\",1]");
    // A wrong rule changes nothing, and is named.
    std::fs::write(&path, RULES.replace("do = \"ack\"", "do = \"akc\"")).unwrap();
    server.signal("HUP");
    server.await_metric("throng_config_reload_errors_total", 1);
    asks(&mut ann, "423[\"echo\",1]", "433[\"new\",1]");
    std::fs::remove_file(path).unwrap();
    server.signal("TERM");
    let (_, said) = server.end();
    assert!(said.contains("rule 3: do: expected one of"), "{said}");
}

/// The example of the document works as it says.
#[test]
fn the_rules_of_the_document_are_a_chat() {
    let document = include_str!("../../docs/SOCKETIO.md");
    let (_, rules) = document.split_once("```toml rules\n").unwrap();
    let server = Server::configured(rules.split_once("\n```").unwrap().0, &[]);
    let mut ann = client(&server, "");
    let mut bob = client(&server, "");
    asks(&mut ann, "421[\"join\",\"lobby\"]", "431[\"you are in\",\"lobby\"]");
    asks(&mut bob, "421[\"join\",\"lobby\"]", "431[\"you are in\",\"lobby\"]");
    assert_eq!(text(&mut ann), "42[\"joined\",\"lobby\"]");
    bob.send(TEXT, "42[\"chat message\",{\"room\":\"lobby\",\"text\":\"hello\"}]");
    for peer in [&mut ann, &mut bob] {
        assert_eq!(text(peer), "42[\"chat message\",{\"room\":\"lobby\",\"text\":\"hello\"}]");
    }
}
