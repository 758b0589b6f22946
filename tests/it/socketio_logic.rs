//! Socket.IO without an application of its own: development mode, and rules of the configuration, of the built server.

use serde_json::{Value, json};

use crate::support::application::{Application, hook};
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
    // The shards take the rules soon after.
    while {
        ann.send(TEXT, "422[\"echo\",1]");
        text(&mut ann) != "432[\"new\",1]"
    } {}
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

#[test]
fn the_hooks_of_the_document_are_a_configuration() {
    let document = include_str!("../../docs/SOCKETIO.md");
    let (_, hooks) = document.split_once("```toml hooks\n").unwrap();
    let server = Server::configured(hooks.split_once("\n```").unwrap().0, &[]);
    client(&server, "");
}

/// A server whose events and ends go to the application.
fn hooked(application: &Application, more: &Value) -> Server {
    hooked_with(application, more, &json!({}))
}

/// Such a server with more options of Socket.IO; a connect hook is asked if `connect` is among them.
fn hooked_with(application: &Application, more: &Value, socketio: &Value) -> Server {
    application.server(|application| {
        let enabled = |name: &str| {
            let mut hook = hook(application, name);
            hook["enabled"] = true.into();
            hook
        };
        let mut event = enabled("event");
        let put = |to: &mut Value, more: &Value| {
            to.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        };
        put(&mut event, more);
        let mut socketio = socketio.clone();
        let asks = socketio.as_object_mut().unwrap().remove("connect").is_some();
        let mut proxy = json!({"event": event, "disconnect": enabled("disconnect")});
        if asks {
            proxy["connect"] = enabled("connect");
        }
        let own = json!({
            "enabled": true,
            "events_waiting_max": 2,
            "proxy": proxy,
            "rules": [{"event": "echo", "do": "ack", "ack": "$args"}]
        });
        put(&mut socketio, &own);
        let client = if asks { json!({}) } else { json!({"insecure": true}) };
        json!({"client": client, "socketio": socketio, "shards": 3})
    })
}

fn emit(event: &str, to: &str) -> Value {
    json!({"emit": {"event": event, "to": to}})
}

#[test]
fn a_hook_answers_events_one_after_the_other_with_effects() {
    let application = Application::start();
    let server = hooked(&application, &json!({"include_rooms": true}));
    let mut ann = client(&server, "");
    let mut bob = client(&server, "");
    ann.send(TEXT, "421[\"join\",\"den\"]");
    ann.send(TEXT, "422[\"say\",{\"text\":\"hi\"}]");
    let asked = application.answer(
        "event",
        json!({"result": {"ack": ["in"], "state": {"room": "den"}, "do": [{"join": {"rooms": "den"}}]}}),
    );
    let sid = asked["sid"].as_str().unwrap().to_owned();
    let expected = json!({
        "client": asked["client"], "sid": sid, "namespace": "/", "user": "", "event": "join", "args": ["den"],
        "ack": true, "rooms": [],
    });
    assert_eq!(asked, expected);
    assert_eq!(text(&mut ann), "431[\"in\"]");
    let emit = |to: &str| json!({"emit": {"event": "said", "args": ["hi"], "to": to}});
    let asked = application.answer("event", json!({"result": {"do": [emit("den"), emit(&sid)]}}));
    assert_eq!((&asked["state"], &asked["rooms"]), (&json!({"room": "den"}), &json!(["den"])));
    assert_eq!(
        (text(&mut ann), text(&mut ann)),
        ("42[\"said\",\"hi\"]".to_owned(), "42[\"said\",\"hi\"]".to_owned())
    );
    // A rule has its own events, and those of one client do not wait for another's.
    bob.send(TEXT, "42[\"slow\"]");
    let slow = application.question("event");
    asks(&mut ann, "423[\"echo\",1]", "433[1]");
    // The end is reported with the rooms, behind the last answer.
    drop(ann);
    let end = application.answer("disconnect", json!({}));
    let reason = end["reason"].as_str().unwrap();
    assert!(["transport close", "transport error"].contains(&reason), "{reason}");
    assert_eq!(
        (&end["rooms"], &end["state"], end["sid"].as_str()),
        (&json!(["den"]), &json!({"room": "den"}), Some(&*sid))
    );
    drop(bob);
    server.await_metric_with("throng_transport_sessions", "socketio", 0);
    slow.answer(json!({"result": {"ack": [1], "state": 5}}));
    assert_eq!(application.answer("disconnect", json!({}))["state"], 5);
    server.await_metric_with("throng_socketio_events_refused_total", "gone", 1);
    server.await_metric("throng_socketio_ends_waiting", 0);
}

/// One client floods the hook, which does not answer: it is not read, and others are served.
#[test]
fn a_silent_hook_stops_its_client_and_nobody_else() {
    let application = Application::start();
    let server = hooked(&application, &json!({"ack_error": true}));
    let mut flood = client(&server, "");
    for n in 0..10_u32 {
        flood.send(TEXT, format!("42{n}[\"say\",{n}]"));
    }
    let first = application.question("event");
    let mut other = client(&server, "");
    asks(&mut other, "421[\"echo\",1]", "431[1]");
    // An answer that cannot be carried out loses its event; those behind it go on in their order.
    first.answer(json!({"result": {"do": [{"emit": {"event": "connect"}}]}}));
    assert_eq!(text(&mut flood), "430[{\"error\":{\"code\":100,\"message\":\"internal server error\"}}]");
    for n in 1..10 {
        let asked = application.answer("event", json!({"result": {"ack": [n]}}));
        assert_eq!(asked["args"], json!([n]));
        assert_eq!(text(&mut flood), format!("43{n}[{n}]"));
    }
    assert_eq!(server.metric_with("throng_socketio_events_refused_total", "\"hook\""), 1);
    let failed =
        server.metric_with("throng_hook_failures_total", "hook=\"socketio_event\",reason=\"nonsense\"");
    assert_eq!(failed, 1);
    // The application ends a connection.
    other.send(TEXT, "42[\"bye\"]");
    application.answer("event", json!({"disconnect": {"code": 4001, "reason": "enough"}}));
    assert_eq!(other.frame().close_code(), Some(4001));
}

#[test]
fn the_connect_hook_begins_the_state_and_has_effects() {
    let application = Application::start();
    let server = hooked_with(&application, &json!({"ack_error": true}), &json!({"connect": true}));
    let mut peer = Peer::open(server.address, PATH);
    assert!(text(&mut peer).starts_with("0{"));
    peer.send(TEXT, "40");
    let result = json!({
        "user": "ann", "state": {"n": 1}, "rooms": ["news"],
        "do": [{"join": {"rooms": "den"}}, emit("hello", "den"), emit("paper", "news")],
    });
    application.answer("connect", json!({"result": result}));
    assert!(text(&mut peer).starts_with("40{"));
    assert_eq!([text(&mut peer), text(&mut peer)], ["42[\"hello\"]", "42[\"paper\"]"]);
    peer.send(TEXT, "421[\"say\"]");
    let large = json!({"result": {"ack": [], "state": "x".repeat(64 << 10)}});
    let asked = application.answer("event", large);
    assert_eq!((&asked["user"], &asked["state"]), (&json!("ann"), &json!({"n": 1})));
    assert!(text(&mut peer).starts_with("431[{\"error\":{\"code\":100,"));
    let reason = "hook=\"socketio_event\",reason=\"nonsense\"";
    server.await_metric_with("throng_hook_failures_total", reason, 1);
    peer.send(TEXT, "422[\"say\"]");
    let asked = application.answer("event", json!({"result": {"do": [{"disconnect": {}}]}}));
    assert_eq!(asked["state"], json!({"n": 1}), "what is too large changes nothing");
    assert_eq!(text(&mut peer), "41");
    let end = application.answer("disconnect", json!({}));
    assert_eq!((&end["reason"], &end["user"]), (&json!("server namespace disconnect"), &json!("ann")));
}

/// The last events of a client are not lost, though it leaves at once.
#[test]
fn events_of_a_client_that_has_left_are_handled_before_its_end() {
    for (goodbye, reason) in [("41", "client namespace disconnect"), ("", "transport close")] {
        let application = Application::start();
        let server = hooked(&application, &json!({"include_rooms": true}));
        let mut bob = client(&server, "");
        let mut ann = client(&server, "");
        for n in 0..5 {
            ann.send(TEXT, format!("42[\"say\",{n}]"));
        }
        if !goodbye.is_empty() {
            ann.send(TEXT, goodbye);
        }
        drop(ann);
        for n in 0..5 {
            let does =
                json!([{"join": {"rooms": format!("room {n}")}}, {"emit": {"event": "said", "args": [n]}}]);
            let asked = application.answer("event", json!({"result": {"do": does, "state": n, "ack": [n]}}));
            assert_eq!(asked["args"], json!([n]), "{reason}");
            assert_eq!(asked["rooms"].as_array().unwrap().len(), n);
            assert_eq!(text(&mut bob), format!("42[\"said\",{n}]"));
        }
        let end = application.answer("disconnect", json!({}));
        assert_eq!((&end["reason"], &end["state"]), (&json!(reason), &json!(4)));
        assert_eq!(end["rooms"].as_array().unwrap().len(), 5);
        assert_eq!(server.metric_with("throng_socketio_events_refused_total", "\"gone\""), 0);
    }
}

/// The private id in the answer to CONNECT, and the socket's id.
fn connected(peer: &mut Peer) -> (String, String) {
    let answer = text(peer);
    let answer: Value = serde_json::from_str(answer.strip_prefix("40").unwrap()).unwrap();
    (answer["pid"].as_str().unwrap().to_owned(), answer["sid"].as_str().unwrap().to_owned())
}

fn opened(server: &Server, auth: &str) -> Peer {
    let mut peer = Peer::open(server.address, PATH);
    assert!(text(&mut peer).starts_with("0{"));
    peer.send(TEXT, format!("40{auth}"));
    peer
}

/// A client that returns has its state, behind the answers to what it sent before; its end is not reported.
#[test]
fn a_state_returns_with_its_socket() {
    let application = Application::start();
    let server = hooked_with(&application, &json!({}), &json!({"recovery_ttl": "60s"}));
    let mut ann = opened(&server, "");
    let (pid, sid) = connected(&mut ann);
    for n in 1..6_u32 {
        // The answer to the last event of a connection comes when the client is already back.
        ann.send(TEXT, "42[\"count\"]");
        let open = application.question("event");
        drop(ann);
        ann = opened(&server, &json!({"pid": pid}).to_string());
        let state = open.body.get("state").cloned();
        assert_eq!((state, &open.body["sid"]), ((n > 1).then(|| json!({"n": n - 1})), &json!(sid)));
        open.answer(json!({"result": {"state": {"n": n}}}));
        assert_eq!(connected(&mut ann), (pid.clone(), sid.clone()));
    }
    assert_eq!(server.metric("throng_socketio_ends_total"), 0);
}

#[test]
fn the_end_of_a_socket_that_was_kept_is_reported_when_its_time_is_over() {
    let application = Application::start();
    let server = hooked_with(&application, &json!({}), &json!({"recovery_ttl": "1s"}));
    let mut ann = opened(&server, "");
    let (_, sid) = connected(&mut ann);
    ann.send(TEXT, "42[\"join\"]");
    application.answer("event", json!({"result": {"state": 1, "do": [{"join": {"rooms": ["a", "b"]}}]}}));
    asks(&mut ann, "421[\"echo\"]", "431[]");
    drop(ann);
    let mut end = application.answer("disconnect", json!({}));
    end["rooms"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    let client = end["client"].clone();
    let told = json!({
        "client": client, "sid": sid, "namespace": "/", "user": "", "reason": end["reason"],
        "recovery_expired": true, "state": 1, "rooms": ["a", "b"],
    });
    assert_eq!(end, told);
    assert_eq!(server.metric("throng_socketio_ends_total"), 1);
}

#[test]
fn the_end_of_a_socket_whose_term_is_over_says_so() {
    let application = Application::start();
    let server = hooked_with(&application, &json!({}), &json!({"connect": true}));
    let _peer = opened(&server, "");
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    application.answer("connect", json!({"result": {"user": "ann", "expire_at": now_s + 2}}));
    let end = application.answer("disconnect", json!({}));
    assert_eq!((&end["expired"], &end["user"]), (&json!(true), &json!("ann")));
}
