//! Hooks and tokens as in Centrifugo: several of a kind, statuses with a meaning, clients' addresses from proxies,
//! and the answers to refused clients.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, hook};
use crate::support::centrifuge::{Client, PATH};
use crate::support::peer::{Peer, TEXT};

fn named(application: &Application, name: &str) -> Value {
    let mut proxy = hook(application, name);
    proxy["name"] = name.into();
    proxy
}

fn anonymous(address: std::net::SocketAddr) -> Client {
    Client::try_over(Peer::open(address, PATH), json!({})).unwrap()
}

#[test]
fn each_namespace_asks_the_hook_that_it_names() {
    let application = Application::start();
    let server = application.server(|application| {
        json!({
            "client": {"allow_anonymous_connect_without_token": true},
            "proxies": [named(application, "one"), named(application, "two")],
            "rpc": {
                "proxy": hook(application, "plain"),
                "without_namespace": {"proxy_enabled": true},
                "namespaces": [
                    {"name": "one", "proxy_enabled": true, "proxy_name": "one"},
                    {"name": "off", "proxy_name": "one"}
                ],
                "ping": {"enabled": true}
            },
            "channel": {
                "proxy": {"subscribe": hook(application, "subscribe"), "publish": hook(application, "publish")},
                "without_namespace": {"subscribe_proxy_enabled": true, "publish_proxy_enabled": true},
                "namespaces": [
                    {"name": "one", "subscribe_proxy_enabled": true, "subscribe_proxy_name": "one",
                     "publish_proxy_enabled": true, "publish_proxy_name": "two"}
                ]
            }
        })
    });
    let mut client = anonymous(server.address);
    for (command, asked) in [
        (json!({"rpc": {"method": "m"}}), "plain"),
        (json!({"rpc": {"method": "one:m"}}), "one"),
        (json!({"rpc": {"method": ":m"}}), "plain"),
        (json!({"subscribe": {"channel": "a"}}), "subscribe"),
        (json!({"subscribe": {"channel": "one:a"}}), "one"),
        (json!({"publish": {"channel": "a", "data": 1}}), "publish"),
        (json!({"publish": {"channel": "one:a", "data": 1}}), "two"),
    ] {
        let mut numbered = command.clone();
        numbered["id"] = 1000.into();
        client.send(&numbered.to_string());
        let error = json!({"error": {"code": 1000, "message": asked}});
        application.answer(asked, error);
        assert_eq!(client.reply(1000)["error"]["message"], asked, "{command}");
    }
    for (method, outcome) in [("off:m", json!(108)), ("none:m", json!(104)), ("ping", Value::Null)] {
        let reply = client.request(json!({"rpc": {"method": method}}));
        assert_eq!(reply["error"]["code"], outcome, "{reply}");
    }
}

#[test]
fn a_proxy_names_the_user_of_who_has_no_token() {
    let application = Application::start();
    let open = |server: &crate::support::Server, header: &str| {
        let peer = Peer::connect(server.address).upgraded(PATH, header);
        Client::try_over(peer, json!({}))
    };
    let asked = |server: &crate::support::Server, header: &str| {
        let mut client = open(server, header).unwrap();
        client.send(r#"{"id":9,"rpc":{"method":"m"}}"#);
        application.answer("rpc", json!({"result": {}}))["user"].clone()
    };
    let config = |application: &Application, more: Value| {
        let mut config = json!({
            "client": {"user_id_http_header": "X-User"},
            "rpc": {"proxy": hook(application, "rpc"), "without_namespace": {"proxy_enabled": true}}
        });
        config["client"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let server = application.server(|application| config(application, json!({})));
    assert_eq!(asked(&server, "x-user: ann\r\n"), "ann");
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{"headers":{"X-User":"ann"}}}"#);
    peer.expect_close(3501);
    // As in Centrifugo: a client without a token is anonymous.
    let open_to_all = json!({"allow_anonymous_connect_without_token": true});
    let server = application.server(|application| config(application, open_to_all.clone()));
    assert_eq!(asked(&server, "X-User: ann\r\n"), "");
}

#[test]
fn a_connect_hook_that_names_nobody_leaves_it_to_what_those_without_a_token_may() {
    let application = Application::start();
    for (allowed, is_let_in) in [(false, false), (true, true)] {
        let server = application.server(|application| {
            let mut connect = hook(application, "connect");
            connect["enabled"] = true.into();
            json!({"client": {"proxy": {"connect": connect}, "allow_anonymous_connect_without_token": allowed}})
        });
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
        application.answer("connect", json!({"result": null}));
        if is_let_in {
            let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
            assert!(reply["connect"].is_object(), "{reply}");
        } else {
            peer.expect_close(3501);
        }
    }
}

#[test]
fn a_time_in_the_past_is_an_error_and_a_refresh_without_one_the_end() {
    let application = Application::start();
    let server = application.server(|application| {
        let [mut connect, mut refresh] = ["connect", "refresh"].map(|name| hook(application, name));
        (connect["enabled"], refresh["enabled"]) = (true.into(), true.into());
        json!({
            "client": {"proxy": {"connect": connect, "refresh": refresh}},
            "uni_websocket": {"enabled": true}
        })
    });
    let over = json!({"result": {"user": "a", "expire_at": 5}});
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    application.answer("connect", over.clone());
    let reply: Value = serde_json::from_slice(&peer.message().1).unwrap();
    assert_eq!(reply["error"]["code"], 110, "{reply}");
    let mut peer = Peer::open(server.address, "/connection/uni_websocket");
    peer.send(TEXT, "{}");
    application.answer("connect", over);
    peer.expect_close(3005);
    for (result, code) in [
        (json!({}), 3005),
        (json!({"expire_at": 0}), 3005),
        (json!({"b64info": "*", "expire_at": 4_000_000_000_u64}), 3004),
    ] {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
        application.answer("connect", json!({"result": {"user": "a", "expire_at": now + 1}}));
        peer.message();
        application.answer("refresh", json!({"result": result}));
        peer.expect_close(code);
    }
}

#[test]
fn a_token_whose_time_is_over_is_error_110_and_an_open_server_has_no_times() {
    let application = Application::start();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = |claims: Value| mint(b"secret", claims.to_string().as_bytes());
    for is_open in [false, true] {
        let server = application.server(|_| {
            json!({
                "client": {"insecure": is_open, "token": {"hmac_secret_key": "secret"}},
                "channel": {"without_namespace": {"allow_subscribe_for_client": true}}
            })
        });
        let mut client =
            Client::with_token(server.address, &token(json!({"sub": "a", "exp": (now + 60).to_string()})));
        assert_eq!(client.hello["expires"].as_bool().unwrap_or(false), !is_open, "{:?}", client.hello);
        let over = json!({"sub": "a", "channel": "b", "expire_at": now - 60});
        let subscribed = json!({"sub": "a", "channel": "b", "expire_at": now + 60});
        client.request(json!({"subscribe": {"channel": "b", "token": token(subscribed)}}));
        let reply = client.request(json!({"sub_refresh": {"channel": "b", "token": token(over)}}));
        assert_eq!(reply["error"]["code"], 110, "{reply}");
        let reply =
            client.request(json!({"refresh": {"token": token(json!({"sub": "a", "expire_at": now - 60}))}}));
        assert_eq!(reply["error"]["code"], 110, "{reply}");
        let connect = json!({"token": token(json!({"sub": "a", "expire_at": now - 60}))});
        let refused = Client::try_over(Peer::open(server.address, PATH), connect);
        assert_eq!(refused.err(), (!is_open).then_some(110));
    }
}

#[test]
fn refused_one_way_clients_get_the_codes_and_statuses_of_the_configuration() {
    let application = Application::start();
    let server = application.server(|application| {
        let mut connect = hook(application, "connect");
        connect["enabled"] = true.into();
        let transforms = json!([
            {"code": 1000, "to": {"status_code": 402, "body": "pay"}},
            {"code": 4500, "to": {"status_code": 403}}
        ]);
        json!({
            "client": {
                "proxy": {"connect": connect},
                "connect_code_to_unidirectional_disconnect":
                    {"enabled": true, "transforms": [{"code": 1000, "to": {"code": 4700, "reason": "pay"}}]}
            },
            "uni_sse": {"enabled": true, "connect_code_to_http_response": {"enabled": true, "transforms": transforms}},
            "uni_http_stream": {"enabled": true},
            "init": {"enabled": true}
        })
    });
    let get = |path: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        peer
    };
    let error = json!({"error": {"code": 1000, "message": "no money"}});
    for (answer, status, body) in [
        (error.clone(), 402, "pay"),
        (json!({"disconnect": {"code": 4500, "reason": "away"}}), 403, "away"),
        (json!({"error": {"code": 1001, "message": "other"}}), 500, "Internal Server Error"),
    ] {
        let mut peer = get("/connection/uni_sse");
        application.answer("connect", answer);
        let response = peer.response();
        assert_eq!((response.status, &*response.body), (status, body.as_bytes()), "{}", response.head);
    }
    let mut peer = get("/connection/uni_sse");
    application.answer("connect", json!({"result": {"user": "a"}}));
    let head = peer.response_head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream; charset=utf-8")));
    assert!(peer.line().starts_with("data: "), "what it is told of being let in");

    let mut peer = Peer::connect(server.address);
    peer.send_bytes(b"POST /connection/uni_http_stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    application.answer("connect", error);
    peer.response_head();
    let told = String::from_utf8(peer.rest()).unwrap();
    assert!(told.contains(r#""code":4700,"reason":"pay""#), "{told}");

    let init = Peer::request(
        server.address,
        b"GET /connection/init HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((init.status, &*init.body), (200, &b"{}"[..]));
}

#[test]
fn publications_are_in_the_format_of_their_channel() {
    let application = Application::start();
    let server = application.server(|_| {
        json!({
            "client": {"insecure": true},
            "channel": {
                "publication_data_format": "json_object",
                "namespaces": [{"name": "any", "publication_data_format": "json"}]
            }
        })
    });
    let mut client = anonymous(server.address);
    assert_eq!(client.publish("a", json!({"b": 1})), Ok(()));
    assert_eq!(client.publish("a", json!(1)), Err(107));
    assert_eq!(client.publish("any:a", json!(1)), Ok(()));
    let reply = client.request(json!({"publish": {"channel": "any:a"}}));
    assert_eq!(reply["error"]["code"], 107, "nothing is no JSON: {reply}");
}
