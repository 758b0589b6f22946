//! The application's hooks for clients: each answer has its effect, and later commands wait for it.

use std::thread;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::support::application::{Application, hook};
use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Peer, Server};

/// Asks for everything, in channels of which nobody may do anything otherwise.
fn everything(application: &Application) -> Value {
    let enabled = |name: &str| {
        let mut hook = hook(application, name);
        hook["enabled"] = true.into();
        hook
    };
    let hook = |name: &str| hook(application, name);
    json!({
        "client": {"proxy": {"connect": enabled("connect"), "refresh": enabled("refresh")}},
        "rpc": {"proxy": hook("rpc"), "without_namespace": {"proxy_enabled": true}},
        "channel": {
            "proxy": {"subscribe": hook("subscribe"), "publish": hook("publish"), "sub_refresh": hook("sub_refresh")},
            "without_namespace": {
                "subscribe_proxy_enabled": true,
                "publish_proxy_enabled": true,
                "sub_refresh_proxy_enabled": true,
                "allow_user_limited_channels": true
            }
        }
    })
}

/// A client that the connect hook has let in as this user.
fn let_in(application: &Application, server: &Server, user: &str) -> Client {
    let address = server.address;
    let waiting = thread::spawn(move || Client::open(address));
    application.answer("connect", json!({"result": {"user": user, "info": {"name": "Ann"}}}));
    waiting.join().unwrap()
}

/// Sends a command whose hook gets this answer, and returns its reply and the hook's request.
fn ask(
    application: &Application,
    client: &mut Client,
    id: u32,
    command: &Value,
    hook: &str,
    answer: Value,
) -> (Value, Value) {
    let mut command = command.clone();
    command["id"] = id.into();
    client.send(&command.to_string());
    let question = application.answer(hook, answer);
    (client.reply(id), question)
}

#[test]
fn what_comes_before_the_connect_hooks_answer_waits_for_it() {
    let application = Application::start();
    let server = application.server(everything);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, "{\"id\":1,\"connect\":{\"data\":{\"room\":7}}}\n{\"id\":2,\"ping\":{}}");
    peer.send(TEXT, r#"{"id":3,"rpc":{"method":"m","data":1}}"#);
    let question = application
        .answer("connect", json!({"result": {"user": "42", "data": {"hello": true}, "channels": ["news"]}}));
    assert_eq!((&question["data"], &question["transport"]), (&json!({"room": 7}), &json!("websocket")));
    let mut next = || serde_json::from_slice::<Value>(&peer.message().1).unwrap();
    let hello = next();
    assert_eq!((&hello["id"], &hello["connect"]["data"]), (&json!(1), &json!({"hello": true})));
    assert!(hello["connect"]["subs"]["news"].is_object(), "{hello}");
    assert_eq!(next(), json!({"id": 2, "ping": {}}));
    let question = application.answer("rpc", json!({"result": {"data": {"sum": 3}}}));
    assert_eq!((&question["user"], &question["method"]), (&json!("42"), &json!("m")));
    assert_eq!(next(), json!({"id": 3, "rpc": {"data": {"sum": 3}}}));
}

#[test]
fn an_application_says_who_gets_in() {
    let application = Application::start();
    let server = application.server(everything);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", json!({"disconnect": {"code": 4501, "reason": "not you"}}));
    peer.expect_close(4501);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", json!({"error": {"code": 1000, "message": "not now"}}));
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!(reply["error"], json!({"code": 1000, "message": "not now"}));
}

#[test]
fn subscriptions_publications_and_calls_are_the_applications_to_allow() {
    let application = Application::start();
    let server = application.server(everything);
    let mut client = let_in(&application, &server, "42");
    let subscribe = json!({"subscribe": {"channel": "a", "data": {"why": 1}}});
    let (reply, question) = ask(
        &application,
        &mut client,
        100,
        &subscribe,
        "subscribe",
        json!({"error": {"code": 403, "message": "no"}}),
    );
    assert_eq!((&reply["error"]["code"], &question["data"]), (&json!(403), &json!({"why": 1})));
    let granted = json!({"result": {"info": {"role": "host"}, "data": {"since": 5}}});
    let (reply, _) = ask(&application, &mut client, 101, &subscribe, "subscribe", granted);
    assert_eq!(reply["subscribe"]["data"], json!({"since": 5}));
    let publish = json!({"publish": {"channel": "a", "data": {"text": "damn"}}});
    let (reply, question) = ask(
        &application,
        &mut client,
        102,
        &publish,
        "publish",
        json!({"result": {"data": {"text": "****"}}}),
    );
    assert_eq!((&reply["publish"], &question["data"]), (&json!({}), &json!({"text": "damn"})));
    let push = client.push("pub")["pub"].take();
    assert_eq!(push["data"], json!({"text": "****"}));
    let info = &push["info"];
    assert_eq!(
        (&info["user"], &info["conn_info"], &info["chan_info"]),
        (&json!("42"), &json!({"name": "Ann"}), &json!({"role": "host"}))
    );
    let call = json!({"rpc": {"method": "m"}});
    let (reply, _) = ask(
        &application,
        &mut client,
        103,
        &call,
        "rpc",
        json!({"error": {"code": 1001, "message": "later"}}),
    );
    assert_eq!(reply["error"]["code"], 1001);
}

#[test]
fn what_ends_is_asked_about_and_goes_on() {
    let application = Application::start();
    let server = application.server(everything);
    let address = server.address;
    let results = [
        json!({"expire_at": 4_000_000_000_u64}),
        json!({"expired": true}),
        // Without a new expiry the old one stays.
        json!({}),
        json!({"expire_at": 0}),
        json!({"info": {"a": 1}}),
    ];
    // Soon over: the application is asked, and the clients know nothing of it.
    let soon = UNIX_EPOCH.elapsed().unwrap().as_secs() + 4;
    let mut clients = Vec::new();
    for user in 0..results.len() {
        let waiting = thread::spawn(move || Client::open(address));
        application.answer("connect", json!({"result": {"user": user.to_string(), "expire_at": soon}}));
        clients.push(waiting.join().unwrap());
        assert_eq!(clients[user].hello.get("expires"), None);
    }
    for _ in &results {
        let question = application.question("refresh");
        let user: usize = question.body["user"].as_str().unwrap().parse().unwrap();
        question.answer(json!({"result": results[user]}));
    }
    let mut goes_on = clients.remove(0);
    for client in clients {
        client.expect_close(3005);
    }
    goes_on.sync();
}

#[test]
fn who_is_gone_before_the_answer_is_missed_by_nobody() {
    let application = Application::start();
    let server = application.server(everything);
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    let question = application.question("connect");
    drop(peer);
    server.await_metric("throng_connections", 0);
    question.answer(json!({"result": {"user": "42", "channels": ["a"]}}));
    let mut client = let_in(&application, &server, "43");
    client.sync();
    server.await_metric("throng_subscriptions", 0);
}

/// A channel's name that excludes a user takes precedence over the application, which is not asked about a named one.
#[test]
fn a_channels_name_goes_before_the_application() {
    let application = Application::start();
    let server = application.server(everything);
    let mut ann = let_in(&application, &server, "ann");
    assert_eq!(ann.subscribe("$private"), Err(103));
    assert_eq!(ann.subscribe("dialog#ben,cid"), Err(103));
    assert_eq!(ann.subscribe("$dialog#ann"), Err(103));
    assert_eq!(ann.subscribe("dialog#ann,ben"), Ok(()));
    // So the first question is this one's.
    let subscribe = json!({"subscribe": {"channel": "open"}});
    let (_, question) = ask(&application, &mut ann, 100, &subscribe, "subscribe", json!({"result": {}}));
    assert_eq!(question["channel"], "open");
}

/// Where the application is asked, its answer takes precedence over permissive options.
#[test]
fn the_application_goes_before_the_options() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut config = everything(application);
        for ability in ["subscribe_for_client", "publish_for_client", "publish_for_subscriber"] {
            config["channel"]["without_namespace"][format!("allow_{ability}")] = true.into();
        }
        config
    });
    let mut ann = let_in(&application, &server, "ann");
    let no = || json!({"error": {"code": 403, "message": "no"}});
    for (id, command, hook) in [
        (100, json!({"subscribe": {"channel": "a"}}), "subscribe"),
        (101, json!({"publish": {"channel": "a", "data": 1}}), "publish"),
    ] {
        let (reply, _) = ask(&application, &mut ann, id, &command, hook, no());
        assert_eq!(reply["error"]["code"], 403, "{hook}");
    }
}

#[test]
fn headers_are_passed_on_to_the_hooks_that_want_them() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut config = everything(application);
        config["client"]["proxy"]["connect"]["http_headers"] = json!(["X-Once"]);
        config["rpc"]["proxy"]["http_headers"] = json!(["Cookie", "X-Real-IP"]);
        config
    });
    let address = server.address;
    let waiting = thread::spawn(move || {
        let headers = "Cookie: a=1\r\nX-Once: premi\u{e8}re\r\nX-Real-IP: 10.9.8.7\r\nX-Other: no\r\n";
        Client::over(Peer::connect(address).upgraded(PATH, headers))
    });
    let told = |hook: &str, answer: Value| {
        let question = application.question(hook);
        let headers = ["cookie", "x-once", "x-real-ip", "x-other"].map(|name| question.header(name));
        question.answer(answer);
        headers.map(|value| value.unwrap_or_default())
    };
    assert_eq!(told("connect", json!({"result": {"user": "42"}})), ["", "premi\u{e8}re", "", ""]);
    let mut client = waiting.join().unwrap();
    for id in [100, 101] {
        client.send(&json!({"id": id, "rpc": {"method": "m"}}).to_string());
        assert_eq!(told("rpc", json!({"result": {}})), ["a=1", "", "127.0.0.1", ""]);
        client.reply(id);
    }
    client.send(&json!({"id": 102, "publish": {"channel": "a", "data": 1}}).to_string());
    assert_eq!(told("publish", json!({"result": {}})), ["", "", "", ""]);
}
