//! The namespace of the admin page.

use super::*;
use crate::hub::socket_order::{Gathered, SocketDeed, SocketFacts};
use crate::session::socketio::admin::shown;
use crate::session::{AdminOptions, OrderFault};

const RIGHT: &str = "40/admin,{\"username\":\"ann\",\"password\":\"a password\"}";

fn served(change: impl FnOnce(&mut AdminOptions)) -> Talk {
    Talk::new(|socketio| {
        let (username, password) = ("ann".to_owned(), "a password".to_owned());
        socketio.admin = AdminOptions { username, password, is_development: true, ..AdminOptions::default() };
        change(&mut socketio.admin);
    })
}

/// The requests to the shard, with their numbers.
fn asks(talk: &mut Talk) -> Vec<(u32, Ask)> {
    let actions = std::mem::take(&mut talk.actions).into_iter();
    actions
        .filter_map(|action| if let Action::Ask { id, ask } = action { Some((id, ask)) } else { None })
        .collect()
}

/// The event in a packet.
fn event(text: &str) -> Value {
    serde_json::from_str(text.strip_prefix("42/admin,").unwrap_or_else(|| panic!("{text}"))).unwrap()
}

/// Answers the survey of a page that is due.
fn survey(talk: &mut Talk, sockets: &[(&str, &[&str])]) -> Vec<Value> {
    let all = asks(talk);
    let [(id, Ask::OrderSockets(order))] = &all[..] else { panic!("{all:?}") };
    assert_eq!(order.order.deed, SocketDeed::Survey { sockets_max: 1000 });
    let mut gathered = Gathered::of(sockets.len());
    (gathered.clients, gathered.polling) = (3, 1);
    for (id, rooms) in sockets {
        gathered.count_sockets("/chat", 1);
        gathered.add_socket(SocketFacts {
            id: (*id).into(),
            namespace: "/chat".into(),
            rooms: rooms.iter().map(|room| (*room).into()).collect(),
            query: "token=t&b".into(),
            ..SocketFacts::default()
        });
    }
    talk.call(|session, app, cx| session.reply(*id, &Reply::Gathered(&gathered), app, cx)).unwrap();
    talk.texts().iter().map(|text| event(text)).collect()
}

#[test]
fn a_page_logs_in_and_is_told_what_changes() {
    let mut talk = served(|_| {});
    talk.send(RIGHT).unwrap();
    let told = talk.texts();
    assert!(told[0].starts_with("40/admin,{\"sid\":\""), "{told:?}");
    let session = event(&told[1]);
    let features = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "ALL_EVENTS"];
    assert_eq!(event(&told[2]), serde_json::json!(["config", { "supportedFeatures": features }]));
    let told = survey(&mut talk, &[("one", &["a"]), ("two", &[])]);
    let [stats, all] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&stats[0], &stats[1]["clientsCount"]), (&"server_stats".into(), &3.into()));
    assert_eq!(stats[1]["pollingClientsCount"], 1);
    assert_eq!(stats[1]["namespaces"], serde_json::json!([{ "name": "/chat", "socketsCount": 2 }]));
    let (name, list) = (&all[0], all[1].as_array().unwrap());
    assert_eq!((name, list.len(), &list[0]["id"]), (&"all_sockets".into(), 2, &"one".into()));
    assert_eq!(list[0]["rooms"], serde_json::json!(["one", "a"]));
    assert_eq!(list[0]["handshake"]["query"], serde_json::json!({ "token": "t", "b": "" }));
    assert_eq!(list[0]["data"], serde_json::json!({}));
    // Two seconds later.
    talk.now_ms = talk.deadline_ms();
    talk.timer().unwrap();
    let told = survey(&mut talk, &[("one", &["b"]), ("three", &[])]);
    let changes: Vec<_> = told[1..].iter().map(|told| told[0].as_str().unwrap()).collect();
    assert_eq!(changes, ["socket_disconnected", "room_joined", "room_left", "socket_connected"]);
    assert_eq!(told[2], serde_json::json!(["room_joined", "/chat", "b", "one"]));
    // Its session id is as good as the password, in this process and with these credentials.
    let login = format!("40/admin,{{\"sessionId\":{}}}", session[1]);
    let mut again = served(|_| {});
    again.send(&login).unwrap();
    let told = again.texts();
    assert!(told[0].starts_with("40/admin,{\"sid\"") && told[1].contains("\"config\""), "{told:?}");
    let mut changed = served(|admin| admin.password.push('2'));
    changed.send(&login).unwrap();
    assert_eq!(changed.texts(), ["44/admin,{\"message\":\"invalid credentials\"}"]);
}

#[test]
fn a_wrong_login_is_refused_and_a_second_one_ends_the_connection() {
    for auth in
        ["", ",{}", ",{\"username\":\"ann\",\"password\":\"\"}", ",{\"sessionId\":\"\"}", ",{\"username\":1}"]
    {
        let mut talk = served(|_| {});
        let login = format!("40/admin{auth}");
        talk.send(&login).unwrap();
        assert_eq!(talk.texts(), ["44/admin,{\"message\":\"invalid credentials\"}"], "{auth}");
        let ended = Err(CloseReason::Malformed(OrderFault::WrongLogins.into()));
        assert_eq!(talk.send(&login), ended, "{auth}");
    }
    // A page that is not logged in asks in vain; and without credentials in the configuration the application decides.
    let mut talk = served(|_| {});
    talk.send("42/admin,[\"_disconnect\",\"/\",true]").unwrap();
    assert_eq!(asks(&mut talk).len(), 0);
    let mut off = served(|admin| admin.password.clear());
    off.send(RIGHT).unwrap();
    assert_eq!(off.texts(), ["44/admin,{\"message\":\"Invalid namespace\"}"]);
}

#[test]
fn a_page_asks_for_events_and_orders_unless_it_may_only_look() {
    let requests = [
        "[\"emit\",\"/chat\",\"room\",\"hello\",1,{\"a\":2}]",
        "[\"join\",\"/chat\",\"new\",null]",
        "[\"leave\",\"/\",\"old\",\"one\"]",
        "[\"_disconnect\",\"/chat\",true,\"one\"]",
        // In vain.
        "[\"emit\",\"/chat\",null,\"disconnect\"]",
        "[\"emit\",\"no slash\",null,\"hello\"]",
        "[\"join\",\"/chat\"]",
        "[\"dance\"]",
    ];
    for is_readonly in [false, true] {
        let mut talk = served(|admin| admin.is_readonly = is_readonly);
        talk.send(RIGHT).unwrap();
        talk.actions.clear();
        for request in requests {
            talk.send(&format!("42/admin,{request}")).unwrap();
        }
        let told: Vec<String> = asks(&mut talk).iter().map(|(_, ask)| format!("{ask:?}")).collect();
        if is_readonly {
            assert_eq!(told, [""; 0]);
            continue;
        }
        assert_eq!(told.len(), 4, "{told:?}");
        let data = format!("{:?}", b"2/chat,[\"hello\",1,{\"a\":2}]".to_vec());
        assert!(told[0].contains(&data) && told[0].contains("/chat,room"), "{}", told[0]);
        assert!(told[1].contains("Join") && told[1].contains("/chat,new"), "{}", told[1]);
        assert!(told[2].contains("Leave") && told[2].contains("/,one"), "{}", told[2]);
        assert!(told[3].contains("close: true") && told[3].contains("/chat,one"), "{}", told[3]);
    }
}

#[test]
fn a_page_gets_no_offsets_and_no_private_id() {
    let mut talk = Talk::new(|socketio| {
        let (username, password) = ("ann".to_owned(), "a password".to_owned());
        socketio.admin = AdminOptions { username, password, ..AdminOptions::default() };
        socketio.recovery_ttl_ms = 60_000;
    });
    talk.send(RIGHT).unwrap();
    let told = talk.texts();
    assert!(!told[0].contains("pid"), "{told:?}");
    // Each event has one argument.
    assert!(told[1..].iter().all(|text| event(text).as_array().unwrap().len() == 2), "{told:?}");
}

#[test]
fn an_old_client_logs_in_by_its_query() {
    let mut talk = Talk::old(|socketio| {
        let (username, password) = ("ann".to_owned(), "a password".to_owned());
        socketio.admin = AdminOptions { username, password, ..AdminOptions::default() };
    });
    talk.texts();
    talk.send("40/admin?username=ann&password=wrong").unwrap();
    assert_eq!(talk.texts(), ["44/admin,\"invalid credentials\""]);
    talk.send("40/admin?username=ann&password=a%20password").unwrap();
    assert_eq!(talk.texts()[0], "40/admin,");
    asks(&mut talk);
    let join = "42/admin,[\"join\",\"/\",\"room\"]";
    talk.send(join).unwrap();
    assert_eq!(asks(&mut talk).len(), 1);
    // It leaves.
    talk.send("41/admin").unwrap();
    talk.send(join).unwrap();
    assert_eq!(asks(&mut talk).len(), 0);
}

#[test]
fn no_socket_of_the_connection_gets_the_id_of_its_page() {
    let mut talk = served(|_| {});
    let sid = |packet: &str, namespace: &str| -> String {
        let packet: Value = serde_json::from_str(packet.strip_prefix(namespace).unwrap()).unwrap();
        packet["sid"].as_str().unwrap().to_owned()
    };
    talk.send(RIGHT).unwrap();
    let page = sid(&talk.text(), "40/admin,");
    talk.texts();
    for _ in 0..300 {
        talk.send("40/custom").unwrap();
        assert_ne!(sid(&talk.text(), "40/custom,"), page);
        talk.texts();
        talk.send("41/custom").unwrap();
    }
}

#[test]
fn a_page_that_reads_slowly_gets_fewer_reports() {
    let mut talk = served(|_| {});
    talk.send(RIGHT).unwrap();
    asks(&mut talk);
    for (waiting_bytes, asked) in [(1, 0), (0, 1)] {
        talk.now_ms = talk.deadline_ms();
        talk.waiting_bytes = waiting_bytes;
        talk.timer().unwrap();
        assert_eq!(asks(&mut talk).len(), asked);
    }
}

#[test]
fn of_many_sockets_a_page_is_told_some_and_keeps_those_that_it_knows() {
    let facts = |number: usize| SocketFacts { id: format!("{number:04}").into(), ..SocketFacts::default() };
    let sockets: Vec<_> = (0..1500).map(facts).collect();
    let first = shown(&sockets, None, 1 << 20);
    assert_eq!(first.len(), 1000);
    assert!(first.contains_key("0000") && !first.contains_key("1200"));
    // Others are found before those that it knows; only the place of the one that is gone is free.
    let later = [&sockets[1200..], &sockets[1..1000]].concat();
    let then = shown(&later, Some(&first), 1 << 20);
    let new: Vec<_> = then.keys().filter(|id| !first.contains_key(*id)).collect();
    assert_eq!((then.len(), &**new[0], new.len()), (1000, "1200", 1));
    // Their bytes are limited, too.
    assert_eq!(shown(&later, Some(&then), 10 * sockets[0].bytes()).len(), 10);
}
