//! Rooms that are channels: shared by sockets, clients of the Centrifuge protocol, raw clients and the server API.

use std::sync::Arc;

use serde_json::{Value, json};
use throng::socketio::{Selector, SocketMessage};
use throng::{ChannelOptions, Config, EventName, HistoryFilter, Kind, Namespaces, PublishOptions};

use super::{Client, Running};
use crate::support::Peer;
use crate::support::centrifuge::Client as Centrifuge;
use crate::support::peer::{BINARY, TEXT};
use crate::support::until;

/// Shares channels with the main namespace: those of the namespace `chat`, or, for any other name, all that have no
/// namespace. Every client may do everything.
pub(super) fn share(config: &mut Config, name: &str, change: impl FnOnce(&mut ChannelOptions)) {
    config.client.insecure = true;
    let mut options = ChannelOptions {
        socketio: "/".to_owned(),
        socketio_event: EventName("said".to_owned()),
        ..ChannelOptions::default()
    };
    change(&mut options);
    let options = Arc::new(options);
    config.namespaces = Arc::new(match name {
        "chat" => Namespaces { named: [("chat".to_owned(), options)].into(), ..Namespaces::default() },
        _ => Namespaces { without_namespace: options, ..Namespaces::default() },
    });
}

/// With channels of the namespace `chat` that have every feature.
fn start() -> Running {
    Running::start(|config| share(config, "chat", with_everything))
}

fn with_everything(options: &mut ChannelOptions) {
    options.presence = true;
    options.join_leave = true;
    options.force_push_join_leave = true;
    (options.history_size, options.history_ttl_ms) = (100, 60_000);
    options.force_recovery = true;
    options.allow_tags_filter = true;
}

/// A raw client of a channel.
fn raw(running: &Running, channel: &str) -> Peer {
    let mut peer = Peer::open(running.address, &format!("/raw?{channel}"));
    assert_eq!(peer.message(), (TEXT, format!("in {channel}").into_bytes()));
    peer
}

fn published(running: &Running, channel: &str, data: &Value) {
    let options = PublishOptions::default();
    running.node.publish(channel, data.to_string().into_bytes(), &options).wait().unwrap();
}

/// The data in the history of a channel.
fn history(running: &Running, channel: &str) -> Vec<String> {
    let history = running.node.history(channel, HistoryFilter::default()).wait().unwrap();
    let data = |publication: &Arc<throng::parts::hub::Publication>| {
        String::from_utf8_lossy(&publication.data).into_owned()
    };
    history.publications.iter().map(data).collect()
}

#[test]
fn all_protocols_share_a_room() {
    let running = start();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let mut raw = raw(&running, "chat:a");
    let mut sockets = [running.client(&["chat:a"]), running.client(&["chat:a", "private"])];
    let mut other = running.client(&["a", "chat:b", "$chat:a"]);
    let mut hear = |expected: &Value| {
        for socket in &mut sockets {
            assert_eq!(socket.said(), *expected);
        }
        let push = centrifuge.push("pub");
        assert_eq!((&push["channel"], &push["pub"]["data"]), (&json!("chat:a"), expected), "{push}");
        let (kind, data) = raw.message();
        assert_eq!((kind, serde_json::from_slice::<Value>(&data).ok()), (TEXT, Some(expected.clone())));
        push["pub"].clone()
    };
    // From a socket that is not in the room, by the client protocol, by the API.
    other.emit("say", &json!([["chat:a"], [], {"n": 1}]));
    let push = hear(&json!({"n": 1}));
    assert_eq!(
        (&push["info"]["client"], &push["tags"]),
        (&json!(other.sid), &json!({"event": "said"})),
        "{push}"
    );
    let mut publisher = Centrifuge::open(running.address);
    publisher.publish("chat:a", json!({"n": 2})).unwrap();
    hear(&json!({"n": 2}));
    published(&running, "chat:a", &json!("three"));
    hear(&json!("three"));
    // From any thread: an event for sockets. In the channel, it is one of no client.
    let to = Selector::of("/").to("chat:a").except(other.sid.as_str());
    let message = SocketMessage::new("said", &(json!(4),), Vec::new()).unwrap();
    running.node.emit(&to, &message).unwrap().wait().unwrap();
    let push = hear(&json!(4));
    assert_eq!((&push["info"], &push["tags"]), (&Value::Null, &json!({"event": "said"})), "{push}");
    // An event of another name, with other arguments.
    other.emit("emit", &json!(["chat:a", "x", [1, null]]));
    let envelope = json!({"event": "x", "args": [1, null]});
    for socket in &mut sockets {
        assert_eq!(socket.text(), "42[\"x\",1,null]");
    }
    assert_eq!(centrifuge.publication().1, envelope);
    assert_eq!(raw.message().1, b"{\"event\":\"x\",\"args\":[1,null]}");
    let text = r#"{"event":"x","args":[1,null]}"#;
    running.node.publish("chat:a", text.into(), &PublishOptions::default()).wait().unwrap();
    for socket in &mut sockets {
        assert_eq!(socket.text(), "42[\"x\",1,null]");
    }
    raw.message();
    // Volatile: everyone gets it, the history does not.
    other.emit("volatile", &json!(["chat:a", "now"]));
    for socket in &mut sockets {
        assert_eq!(socket.said(), "now");
    }
    raw.message();
    assert_eq!(centrifuge.publications(2), [envelope, json!("now")]);
    assert_eq!(history(&running, "chat:a"), ["{\"n\":1}", "{\"n\":2}", "\"three\"", "4", text, text]);
    other.has_nothing();
    running.end();
}

#[test]
fn binary_data_and_text_are_what_they_are() {
    let running = start();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let mut raw = raw(&running, "chat:a");
    let mut socket = running.client(&["chat:a"]);
    let hold = r#"{"_placeholder":true,"num":0}"#;
    raw.send(BINARY, [0_u8, 255].as_slice());
    assert_eq!(socket.text(), format!("451-[\"said\",{hold}]"));
    assert_eq!(socket.peer.message(), (BINARY, vec![0, 255]));
    assert_eq!(raw.message(), (BINARY, vec![0, 255]));
    centrifuge.publication();
    raw.send(TEXT, "no JSON");
    assert_eq!((socket.said(), centrifuge.publication().1), (json!("no JSON"), json!("no JSON")));
    assert_eq!(raw.message(), (TEXT, b"no JSON".to_vec()));
    socket.emit("file", &json!(["chat:a"]));
    assert_eq!(socket.text(), format!("451-[\"file\",{hold},\"name\"]"));
    assert_eq!(socket.peer.message(), (BINARY, vec![0, 255]));
    let envelope = format!(r#"{{"event":"file","args":[{hold},"name"],"attachments":["AP8="]}}"#);
    assert_eq!(raw.message(), (TEXT, envelope.clone().into_bytes()));
    assert_eq!(centrifuge.publication().1.to_string().len(), envelope.len());
    running.end();
}

#[test]
fn sockets_are_members_of_the_channel() {
    let running = start();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let own = centrifuge.push("join");
    let mut socket = running.client(&["chat:a"]);
    let join = centrifuge.push("join");
    assert_eq!(
        (&join["channel"], &join["join"]["info"]["client"]),
        (&json!("chat:a"), &json!(socket.sid)),
        "{join}"
    );
    let members = || {
        let present = running.node.presence("chat:a").wait().unwrap();
        let mut clients: Vec<_> = present.iter().map(|info| info.client.to_string()).collect();
        clients.sort_unstable();
        clients
    };
    let mut expected = vec![own["join"]["info"]["client"].as_str().unwrap().to_owned(), socket.sid.clone()];
    expected.sort_unstable();
    assert_eq!(members(), expected);
    let presence = centrifuge.request(json!({"presence": {"channel": "chat:a"}}));
    assert!(presence["presence"]["presence"][&socket.sid].is_object(), "{presence}");
    // By leaving the room, the namespace, or at all.
    socket.ask("leave", &json!(["chat:a"]));
    assert_eq!(centrifuge.push("leave")["leave"]["info"]["client"], json!(socket.sid));
    socket.ask("join", &json!(["chat:a"]).as_array().map(|rooms| json!([rooms[0]])).unwrap());
    centrifuge.push("join");
    socket.peer.send(TEXT, "41");
    assert_eq!(centrifuge.push("leave")["leave"]["info"]["client"], json!(socket.sid));
    assert_eq!(members().len(), 1);
    let gone = running.client(&["chat:a"]);
    centrifuge.push("join");
    let sid = gone.sid.clone();
    drop(gone);
    assert_eq!(centrifuge.push("leave")["leave"]["info"]["client"], json!(sid));
    running.end();
}

#[test]
fn a_client_that_was_away_recovers_events_and_filters_by_their_names() {
    let running = start();
    let mut socket = running.client(&["chat:a"]);
    let mut client = Centrifuge::open(running.address);
    let subscribed = client.request(json!({"subscribe": {"channel": "chat:a"}}))["subscribe"].take();
    drop(client);
    socket.emit("emit", &json!(["chat:a", "said", ["bare"]]));
    socket.emit("emit", &json!(["chat:a", "x", ["in an envelope"]]));
    assert_eq!(socket.said(), "bare");
    socket.text();
    let recover = |filter: Option<Value>| {
        let mut command =
            json!({"channel": "chat:a", "recover": true, "epoch": subscribed["epoch"], "offset": 0});
        if let Some(filter) = filter {
            command["tf"] = filter;
        }
        let mut client = Centrifuge::open(running.address);
        let result = client.request(json!({"subscribe": command}))["subscribe"].take();
        assert_eq!(result["recovered"], true, "{result}");
        let all: Vec<_> =
            result["publications"].as_array().unwrap().iter().map(|one| one["data"].clone()).collect();
        (client, all)
    };
    let envelope = json!({"event": "x", "args": ["in an envelope"]});
    assert_eq!(recover(None).1, [json!("bare"), envelope.clone()]);
    let (mut filtering, recovered) = recover(Some(json!({"key": "event", "cmp": "eq", "val": "x"})));
    assert_eq!(recovered, [envelope]);
    socket.emit("emit", &json!(["chat:a", "said", ["left out"]]));
    socket.emit("emit", &json!(["chat:a", "x", [2]]));
    assert_eq!(filtering.publication().1, json!({"event": "x", "args": [2]}));
    running.end();
}

#[test]
fn a_socket_gets_an_event_for_several_rooms_once_and_other_clients_once_per_channel() {
    let running = start();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a", "chat:b"]);
    let mut sockets: Vec<_> = (0..8).map(|_| running.client(&["chat:a", "chat:b", "private"])).collect();
    let mut excepted = running.client(&["chat:a", "x"]);
    let mut sender = running.client(&["chat:b"]);
    sender.emit("say", &json!([["chat:a", "private", "chat:b", "chat:a"], ["x"], 1]));
    for socket in &mut sockets {
        assert_eq!(socket.said(), 1);
        socket.has_nothing();
    }
    assert_eq!(sender.said(), 1);
    excepted.has_nothing();
    let mut channels = [centrifuge.publication(), centrifuge.publication()];
    channels.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(channels, [("chat:a".to_owned(), json!(1)), ("chat:b".to_owned(), json!(1))]);
    sender.emit("tell others", &json!(["chat:b", 2]));
    for socket in &mut sockets {
        assert_eq!(socket.said(), 2);
    }
    sender.has_nothing();
    assert_eq!(centrifuge.publication(), ("chat:b".to_owned(), json!(2)));
    // An event for the namespace is no publication.
    sender.emit("say", &json!([[], [], 3]));
    assert_eq!((sender.said(), excepted.said()), (json!(3), json!(3)));
    centrifuge.sync();
    published(&running, "chat:a", &json!(4));
    assert_eq!(centrifuge.publication(), ("chat:a".to_owned(), json!(4)));
    running.end();
}

/// Publications of any origin have their place in the one order of all rooms.
#[test]
fn events_and_publications_have_one_order() {
    const EVENTS: u64 = 200;
    let running = Running::start(|config| {
        share(config, "chat", with_everything);
        config.limits.deliveries_per_turn_max = 5;
    });
    let rooms = ["chat:a", "chat:b", "private"];
    let mut sockets: Vec<Client> = (0..12).map(|_| running.client(&rooms)).collect();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let mut sender = running.client(&[]);
    let mut publisher = Centrifuge::open(running.address);
    let mut raw = raw(&running, "chat:b");
    for (n, at) in (0..EVENTS).zip(0_usize..) {
        sender.emit("say", &json!([[rooms[at % 3]], [], ["socket", n]]));
        let command = json!({"id": n + 10, "publish": {"channel": "chat:a", "data": ["client", n]}});
        publisher.send(&command.to_string());
        raw.send(TEXT, json!(["raw", n]).to_string());
        let data = json!(["node", n]).to_string().into_bytes();
        running.publisher.publish(rooms[at % 2], Kind::Text, &data).unwrap();
    }
    let heard: Vec<Vec<Value>> =
        sockets.iter_mut().map(|socket| (0..4 * EVENTS).map(|_| socket.said()).collect()).collect();
    for other in &heard[1..] {
        assert_eq!(*other, heard[0], "two sockets of the same rooms");
    }
    for origin in ["socket", "client", "raw"] {
        let numbers: Vec<_> =
            heard[0].iter().filter(|said| said[0] == origin).map(|said| said[1].as_u64()).collect();
        assert_eq!(numbers, (0..EVENTS).map(Some).collect::<Vec<_>>(), "of {origin}");
    }
    // A client of another protocol sees the events of its channel in the same order.
    let history: Vec<Value> =
        history(&running, "chat:a").iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let place = |said: &Value| heard[0].iter().position(|other| other == said).unwrap();
    assert!(history.iter().map(place).is_sorted());
    let count = heard[0].iter().filter(|said| match said[0].as_str() {
        Some("socket") => said[1].as_u64().unwrap() % 3 == 0,
        Some("node") => said[1].as_u64().unwrap() % 2 == 0,
        other => other == Some("client"),
    });
    let count = count.count();
    let publications = centrifuge.publications(count);
    assert!(publications.iter().map(place).is_sorted());
    running.end();
}

#[test]
fn the_rate_of_a_channel_is_that_of_its_events() {
    let running = Running::start(|config| {
        share(config, "chat", |options| options.publications_per_second_max = 1);
    });
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let mut sockets = [running.client(&["chat:a"]), running.client(&["chat:a", "private"])];
    let mut sender = running.client(&[]);
    for n in 0..20 {
        sender.emit("say", &json!([["chat:a", "private"], [], n]));
    }
    sender.emit("say", &json!([["private"], [], "end"]));
    // The second is in a room without a rate.
    let mut said: Vec<_> = (0..20).map(|_| sockets[1].said()).collect();
    assert_eq!(said, (0..20).map(Value::from).collect::<Vec<_>>());
    assert_eq!(sockets[1].said(), "end");
    said.clear();
    let own = sockets[0].own.clone();
    sockets[0].emit("say", &json!([[own], [], "end"]));
    while said.last() != Some(&json!("end")) {
        said.push(sockets[0].said());
    }
    // A server's own has no rate.
    let message = SocketMessage::new("said", &(json!("own"),), Vec::new()).unwrap();
    let outcome = running.node.emit(&Selector::of("/").to("chat:a"), &message).unwrap().wait();
    assert_eq!((outcome, sockets[0].said()), (Ok(()), json!("own")));
    // A run may last more than a second.
    assert_eq!(said[0], 0);
    assert!(said.len() < 12, "{said:?}");
    assert_eq!(centrifuge.publication().1, 0);
    running.end();
}

#[test]
fn who_may_enter_and_send_is_asked_of_the_channel() {
    let running = Running::start(|config| {
        share(config, "chat", |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
            options.allow_publish_for_subscriber = true;
            options.allow_publish_for_anonymous = true;
        });
        config.client.insecure = false;
    });
    let mut socket = running.client(&[]);
    for (room, is_in_room, answer) in [
        ("chat:a", false, "431[true,false]"),
        ("chat:a", true, "431[true,true]"),
        ("$chat:a", true, "431[false,true]"),
        ("chat:é", true, "431[false,false]"),
        ("any other", false, "431[true,true]"),
    ] {
        socket.peer.send(TEXT, format!("421{}", json!(["may", room, is_in_room])));
        assert_eq!(socket.text(), answer, "{room}");
    }
    // The application is not bound to that.
    let mut other = running.client(&["$chat:a"]);
    socket.emit("say", &json!([["$chat:a"], [], 1]));
    assert_eq!(other.said(), 1);
    running.end();
}

/// Rooms with homes of their own are shared, too, and each has one order.
#[test]
fn rooms_apart_are_shared_and_each_has_its_order() {
    let running = Running::start(|config| {
        share(config, "chat", with_everything);
        config.socketio.has_home_per_room = true;
    });
    let rooms = ["chat:a", "chat:b", "p", "q"];
    let mut sockets: Vec<_> = (0..8).map(|_| running.client(&rooms)).collect();
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a", "chat:b"]);
    let mut publisher = Centrifuge::open(running.address);
    let mut sender = running.client(&[]);
    for n in 0..40 {
        sender.emit("say", &json!([[rooms[n % 4]], [], [rooms[n % 4], n]]));
        publisher.publish(rooms[n % 2], json!([rooms[n % 2], n + 1000])).unwrap();
    }
    let heard: Vec<Vec<Value>> =
        sockets.iter_mut().map(|socket| (0..80).map(|_| socket.said()).collect()).collect();
    for room in rooms {
        let of = |heard: &[Value]| heard.iter().filter(|said| said[0] == room).cloned().collect::<Vec<_>>();
        let expected = of(&heard[0]);
        assert_eq!(expected.len(), if room.starts_with("chat") { 30 } else { 10 });
        heard.iter().for_each(|heard| assert_eq!(of(heard), expected, "{room}"));
    }
    assert_eq!(centrifuge.publications(60).len(), 60);
    // Both channels keep what went to both, whichever home comes first.
    sender.emit("say", &json!([["chat:a", "chat:b"], [], "both"]));
    sender.emit("say", &json!([["chat:b", "chat:a"], [], "again"]));
    for socket in &mut sockets {
        let mut said = [socket.said(), socket.said()];
        said.sort_by_key(Value::to_string);
        assert_eq!(said, ["again", "both"]);
        socket.has_nothing();
    }
    centrifuge.publications(4);
    for channel in ["chat:a", "chat:b"] {
        let mut last = history(&running, channel).split_off(30);
        last.sort_unstable();
        assert_eq!(last, ["\"again\"", "\"both\""]);
    }
    running.end();
}

/// A client that returns to its socket gets what was published meanwhile, and others see it again.
#[test]
fn publications_are_recovered_with_the_socket() {
    let running = Running::start(|config| {
        share(config, "chat", with_everything);
        config.socketio.recovery_ttl_ms = 60_000;
    });
    let mut centrifuge = Centrifuge::subscribed(running.address, &["chat:a"]);
    let own = centrifuge.push("join");
    let connect = |auth: &str| {
        let mut peer = Peer::open(running.address, "/socket.io/?EIO=4&transport=websocket");
        peer.message();
        peer.send(TEXT, format!("40{auth}"));
        let connected = peer.message().1;
        let connected: Value = serde_json::from_slice(connected.strip_prefix(b"40").unwrap()).unwrap();
        (peer, connected)
    };
    let said = |peer: &mut Peer| {
        let event: Vec<Value> =
            serde_json::from_slice(peer.message().1.strip_prefix(b"42").unwrap()).unwrap();
        assert_eq!((event.len(), &event[0]), (3, &json!("said")), "with an offset: {event:?}");
        event[1].clone()
    };
    let (mut peer, first) = connect("");
    peer.send(TEXT, "421[\"join\",\"chat:a\"]");
    assert_eq!(peer.message().1, b"431[]");
    assert_eq!(centrifuge.push("join")["join"]["info"]["client"], first["sid"]);
    published(&running, "chat:a", &json!(1));
    assert_eq!(said(&mut peer), 1);
    drop(peer);
    assert_eq!(centrifuge.push("leave")["leave"]["info"]["client"], first["sid"]);
    published(&running, "chat:a", &json!(2));
    published(&running, "chat:b", &json!("of another room"));
    let mut sender = connect("").0;
    sender.send(TEXT, "42[\"say\",[\"chat:a\"],[],3]");
    assert_eq!(centrifuge.publications(3), [1, 2, 3]);
    let (mut peer, again) = connect(&json!({"pid": first["pid"]}).to_string());
    assert_eq!((&again["sid"], &again["pid"]), (&first["sid"], &first["pid"]), "it is recovered");
    for expected in [1, 2, 3] {
        assert_eq!(said(&mut peer), expected);
    }
    assert_eq!(centrifuge.push("join")["join"]["info"]["client"], first["sid"]);
    let present = running.node.presence("chat:a").wait().unwrap();
    let mut clients: Vec<_> = present.iter().map(|info| json!(info.client)).collect();
    let mut expected = vec![own["join"]["info"]["client"].clone(), first["sid"].clone()];
    clients.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(clients, expected);
    published(&running, "chat:a", &json!(4));
    assert_eq!(said(&mut peer), 4);
    // Also where nobody at all is in the channel meanwhile, nor in the namespace.
    drop((peer, sender));
    assert_eq!(centrifuge.push("leave")["leave"]["info"]["client"], first["sid"]);
    drop(centrifuge);
    until("all have left", || (running.node.info().subscription_count == 0).then_some(()));
    published(&running, "chat:a", &json!(5));
    let (mut peer, again) = connect(&json!({"pid": first["pid"]}).to_string());
    assert_eq!(again["sid"], first["sid"], "it is recovered");
    for expected in 1..=5 {
        assert_eq!(said(&mut peer), expected);
    }
    running.end();
}

/// Sockets that have ended leave nothing behind at a home.
#[test]
fn a_channel_ends_with_its_last_socket() {
    let running = Running::start(|config| share(config, "chat", |_| {}));
    let sockets: Vec<_> = (0..6).map(|n| running.client(&["chat:a", &format!("chat:{n}")])).collect();
    let channels = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(running.node.channels("")).unwrap()
    };
    let names: Vec<_> = channels().iter().map(|(name, count)| (name.to_string(), *count)).collect();
    let mut expected = vec![("chat:a".to_owned(), 6)];
    expected.extend((0..6).map(|n| (format!("chat:{n}"), 1)));
    expected.sort_unstable();
    assert_eq!(names, expected, "and no private ones");
    drop(sockets);
    until("all are gone", || channels().is_empty().then_some(()));
    running.end();
}
