//! Changes of the options of an existing connection or subscription, from any source: they were applied only when
//! they were first set.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::{Client, Peer, Server, until};

const ROOM: &str = "room:a";

fn server(application: &Application) -> Server {
    server_that_asks(application, true)
}

/// A server that asks the refresh hook, or one whose clients refresh by tokens.
fn server_that_asks(application: &Application, refreshes: bool) -> Server {
    application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        let mut refresh = hook(application, "refresh");
        refresh["enabled"] = refreshes.into();
        json!({
            "client": {
                "token": {"hmac_secret_key": "between us"},
                "proxy": {"connect": connect, "refresh": refresh}
            },
            "channel": {
                "proxy": {
                    "subscribe": hook(application, "subscribe"),
                    "sub_refresh": hook(application, "sub_refresh")
                },
                "namespaces": [
                    {
                        "name": "room", "presence": true, "join_leave": true, "force_push_join_leave": true,
                        "history_size": 100, "history_ttl": "1h", "force_positioning": true,
                        "allow_subscribe_for_client": true, "allow_publish_for_subscriber": true
                    },
                    {
                        "name": "hooked", "presence": true, "subscribe_proxy_enabled": true,
                        "sub_refresh_proxy_enabled": true
                    }
                ]
            },
            "http_api": {"key": "secret"}
        })
    })
}

fn ask(server: &Server, method: &str, body: &Value) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST /api/{method} HTTP/1.1\r\nHost: {}\r\nX-API-Key: secret\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        server.control,
        body.len()
    );
    let answer = Peer::request(server.control, request.as_bytes());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["result"].is_object(), "{method}: {answer}");
    answer["result"].clone()
}

fn token(claims: &Value) -> String {
    mint(b"between us", claims.to_string().as_bytes())
}

fn client(server: &Server, user: &str, info: &Value) -> Client {
    Client::with_token(server.address, &token(&json!({"sub": user, "info": info})))
}

/// The info of the connection and of its subscription for other clients, from presence.
fn seen(server: &Server, channel: &str, user: &str) -> [Value; 2] {
    let present = ask(server, "presence", &json!({"channel": channel}))["presence"].clone();
    let of_user = |info: &&Value| info["user"] == user;
    told(present.as_object().unwrap().values().find(of_user).unwrap())
}

fn told(info: &Value) -> [Value; 2] {
    [info["conn_info"].clone(), info["chan_info"].clone()]
}

/// Publishes, and returns the publication's info.
fn published(client: &mut Client) -> [Value; 2] {
    client.publish(ROOM, json!(1)).unwrap();
    told(&client.push("pub")["pub"]["info"])
}

fn in_a_second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1
}

/// Such an order was ignored for every existing subscription.
#[test]
fn an_order_to_subscribe_changes_the_subscription_that_there_is() {
    let application = Application::start();
    let server = server(&application);
    let mut ben = client(&server, "ben", &json!("b"));
    ben.subscribe(ROOM).unwrap();
    assert_eq!(ben.push("join")["join"]["info"]["user"], "ben");
    let mut ann = client(&server, "ann", &json!("a"));
    ann.subscribe(ROOM).unwrap();
    assert_eq!(told(&ben.push("join")["join"]["info"]), [json!("a"), Value::Null]);
    assert_eq!(published(&mut ann), [json!("a"), Value::Null]);
    for info in [json!({"role": 1}), json!({"role": 2}), Value::Null] {
        let mut order = json!({"user": "ann", "channel": ROOM, "data": {"of": info}});
        if !info.is_null() {
            order["info"] = info.clone();
        }
        ask(&server, "subscribe", &order);
        let push = ann.push("subscribe");
        assert_eq!((&push["subscribe"]["data"]["of"], &push["channel"]), (&info, &json!(ROOM)));
        assert!(push["subscribe"]["positioned"] == true && push["subscribe"]["epoch"].is_string(), "{push}");
        let expected = [json!("a"), info];
        assert_eq!(told(&ben.push("join")["join"]["info"]), expected);
        assert_eq!(seen(&server, ROOM, "ann"), expected);
        assert_eq!(published(&mut ann), expected);
    }
    assert_eq!(server.metric("throng_subscriptions"), 2);
    ann.unsubscribe(ROOM).unwrap();
    let told_ben = until("ann leaves", || Some(ben.push("leave")));
    assert_eq!(told(&told_ben["leave"]["info"]), [json!("a"), Value::Null]);
    server.await_metric("throng_subscriptions", 1);
    assert_eq!(ask(&server, "presence_stats", &json!({"channel": ROOM}))["num_clients"], 1);
}

#[test]
fn nothing_that_is_published_meanwhile_is_lost_or_comes_twice() {
    let application = Application::start();
    let server = server(&application);
    let mut clients: Vec<Client> = (0..4).map(|_| client(&server, "ann", &json!("a"))).collect();
    for client in &mut clients {
        client.subscribe(ROOM).unwrap();
    }
    let address = server.control;
    let publisher = thread::spawn(move || {
        let commands: Vec<Value> =
            (0..200).map(|n| json!({"publish": {"channel": ROOM, "data": n}})).collect();
        for commands in commands.chunks(5) {
            let body = json!({"commands": commands}).to_string();
            let request = format!(
                "POST /api/batch HTTP/1.1\r\nHost: {address}\r\nX-API-Key: secret\r\nContent-Length: {}\r\n\
                 Content-Type: application/json\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            assert_eq!(Peer::request(address, request.as_bytes()).status, 200);
        }
    });
    for n in 0..20 {
        ask(&server, "subscribe", &json!({"user": "ann", "channel": ROOM, "info": n}));
    }
    publisher.join().unwrap();
    for client in &mut clients {
        let publications = (0..200).map(|_| client.publication().1);
        assert!(publications.eq((0..200).map(|n| json!(n))));
    }
}

/// The old one was kept for all that had begun.
#[test]
fn information_of_a_connection_that_is_renewed_is_used_from_then_on() {
    let application = Application::start();
    let server = server_that_asks(&application, false);
    let mut ben = client(&server, "ben", &json!("b"));
    ben.subscribe(ROOM).unwrap();
    let mut ann = client(&server, "ann", &json!("old"));
    ask(&server, "subscribe", &json!({"user": "ann", "channel": ROOM, "info": "chan"}));
    ann.push("subscribe");
    assert_eq!(published(&mut ann), [json!("old"), json!("chan")]);
    let claims = json!({"sub": "ann", "info": "new", "exp": in_a_second() + 1000});
    assert!(ann.request(json!({"refresh": {"token": token(&claims)}}))["refresh"].is_object());
    let expected = [json!("new"), json!("chan")];
    assert_eq!(published(&mut ann), expected);
    assert_eq!(seen(&server, ROOM, "ann"), expected);
    ask(&server, "refresh", &json!({"user": "ann", "expire_at": in_a_second() + 2000, "info": "newer"}));
    ann.push("refresh");
    let expected = [json!("newer"), json!("chan")];
    assert_eq!(published(&mut ann), expected);
    assert_eq!(seen(&server, ROOM, "ann"), expected);
    // A refresh without the field does not change it.
    ask(&server, "refresh", &json!({"user": "ann"}));
    assert_eq!(seen(&server, ROOM, "ann"), expected);
    ask(&server, "unsubscribe", &json!({"user": "ann", "channel": ROOM}));
    assert_eq!(told(&ben.push("leave")["leave"]["info"]), expected);
}

#[test]
fn information_of_a_subscription_that_is_renewed_is_used_from_then_on() {
    let application = Application::start();
    let server = server(&application);
    let mut ann = client(&server, "ann", &json!("a"));
    let grant = |info: &Value| {
        let mut claims = json!({"sub": "ann", "channel": ROOM});
        if !info.is_null() {
            claims["info"] = info.clone();
        }
        token(&claims)
    };
    // A subscription without earlier info, with some info, with other info, and with none.
    let token = grant(&Value::Null);
    assert!(ann.request(json!({"subscribe": {"channel": ROOM, "token": token}}))["subscribe"].is_object());
    for info in [json!("one"), json!("two"), Value::Null] {
        let refresh = json!({"sub_refresh": {"channel": ROOM, "token": grant(&info)}});
        assert!(ann.request(refresh)["sub_refresh"].is_object());
        assert_eq!(published(&mut ann), [json!("a"), info.clone()]);
        assert_eq!(seen(&server, ROOM, "ann"), [json!("a"), info]);
    }
}

#[test]
fn information_that_hooks_renew_is_used_from_then_on() {
    let application = Application::start();
    let server = server(&application);
    let address = server.address;
    let waiting = thread::spawn(move || Client::open(address));
    let result = json!({"user": "ann", "info": "old", "expire_at": in_a_second()});
    application.answer("connect", json!({"result": result}));
    let mut ann = waiting.join().unwrap();
    ann.send(r#"{"id":77,"subscribe":{"channel":"hooked:a"}}"#);
    // Whichever is asked first.
    for _ in 0..3 {
        let question = application.any_question();
        let later = in_a_second() + 1000;
        let result = match question.path.rsplit('/').next() {
            Some("subscribe") => json!({"info": "old", "expire_at": in_a_second()}),
            Some("refresh") => json!({"info": "new", "expire_at": later}),
            _ => json!({"info": "newer", "expire_at": later}),
        };
        question.answer(json!({"result": result}));
    }
    assert!(ann.reply(77)["subscribe"].is_object());
    let expected = [json!("new"), json!("newer")];
    until("both are seen", || (seen(&server, "hooked:a", "ann") == expected).then_some(()));
}

/// With the hooks, the application renews what tokens began, too; clients are not told of an end, and may not renew it.
#[test]
fn what_a_token_began_is_renewed_by_the_hook() {
    let application = Application::start();
    let server = server(&application);
    let later = in_a_second() + 1000;
    let claims = json!({"sub": "ann", "exp": in_a_second() + 1});
    let mut ann = Client::with_token(server.address, &token(&claims));
    assert_eq!(ann.hello.get("expires"), None);
    let claims = json!({"sub": "ann", "channel": "hooked:a", "exp": in_a_second() + 1});
    let reply = ann.request(json!({"subscribe": {"channel": "hooked:a", "token": token(&claims)}}));
    assert_eq!(reply["subscribe"].get("expires"), None, "{reply}");
    let mut asked = Vec::new();
    for _ in 0..2 {
        let question = application.any_question();
        asked.push(question.path.rsplit('/').next().unwrap().to_owned());
        question.answer(json!({"result": {"expire_at": later}}));
    }
    asked.sort();
    assert_eq!(asked, ["refresh", "sub_refresh"]);
    ann.sync();
    let claims = json!({"sub": "ann", "exp": later});
    ann.send(&json!({"id": 90, "refresh": {"token": token(&claims)}}).to_string());
    ann.expect_close(3501);
    let claims = json!({"sub": "ann", "channel": "hooked:a", "exp": later});
    let mut ann = client(&server, "ann", &json!("a"));
    ann.request(json!({"subscribe": {"channel": "hooked:a", "token": token(&claims)}}));
    ann.send(&json!({"id": 91, "sub_refresh": {"channel": "hooked:a", "token": token(&claims)}}).to_string());
    ann.expect_close(3501);
}
