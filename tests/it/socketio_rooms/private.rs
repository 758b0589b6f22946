//! The channels behind rooms are out of reach for all but sockets: every way in refuses them.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use throng::parts::outside::mint;
use throng::parts::outside::options::HookOptions;
use throng::{
    ApiOptions, ChannelOptions, Config, Failure, HistoryFilter, Kind, Namespaces, PublishOptions, Target,
    Transport,
};

use super::{Client, Running};
use crate::support::Peer;
use crate::support::application::Application;
use crate::support::centrifuge::{Client as Centrifuge, PATH};
use crate::support::peer::TEXT;
use crate::support::until;

/// The channels of the main namespace and of its room `secret`, of another namespace, and names that begin as theirs.
const PRIVATE: [&str; 6] =
    ["\u{1}/", "\u{1}/,secret", "\u{1}/other", "\u{1}", "\u{1}chat:a", "\u{1}/,\u{1}/,secret"];
const SECRET: &str = "between us";
const UNKNOWN_CHANNEL: u64 = 102;

/// Everything is open to every client, in every channel that there is.
fn open(config: &mut Config) {
    let options = ChannelOptions {
        presence: true,
        join_leave: true,
        history_size: 10,
        history_ttl_ms: 60_000,
        force_recovery: true,
        // Without one, names must be ASCII, among which control characters are.
        channel_regex: throng::parts::hub::options::NamePattern::new("(?s).*").unwrap(),
        ..ChannelOptions::default()
    };
    config.client.insecure = true;
    config.control = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.api = ApiOptions { insecure: true, ..ApiOptions::default() };
    let without_namespace = Arc::new(options);
    config.namespaces =
        Arc::new(Namespaces { without_namespace, takes_unknown: true, ..Namespaces::default() });
    config.endpoints = Transport::ALL
        .into_iter()
        .filter(|transport| *transport != Transport::WebSocket)
        .map(|transport| throng::Endpoint {
            path: transport.usual_path().to_owned(),
            serves: throng::Serves::Centrifuge(transport),
        })
        .collect();
    Arc::make_mut(&mut config.outside).token.hmac_secret_key = SECRET.to_owned();
}

fn token(claims: &Value) -> String {
    mint(SECRET.as_bytes(), claims.to_string().as_bytes())
}

/// Two sockets, one of them in the room `secret`; nothing that others do may reach them.
fn sockets(running: &Running) -> [Client; 2] {
    [running.client(&["secret"]), running.client(&[])]
}

fn are_undisturbed(sockets: &mut [Client; 2]) {
    sockets.iter_mut().for_each(Client::has_nothing);
    sockets[1].emit("say", &json!([["secret"], [], "for members"]));
    sockets[1].emit("say", &json!([[], [], "for all"]));
    assert_eq!(sockets[0].said(), "for members");
    for socket in sockets {
        assert_eq!(socket.said(), "for all");
    }
}

#[test]
fn clients_reach_no_room_by_any_command() {
    let running = Running::start(open);
    let mut sockets = sockets(&running);
    let mut client = Centrifuge::with_token(running.address, &token(&json!({"sub": "ann"})));
    for channel in PRIVATE {
        let subscription = token(&json!({"sub": "ann", "channel": channel}));
        for command in [
            json!({"subscribe": {"channel": channel}}),
            json!({"subscribe": {"channel": channel, "token": subscription}}),
            json!({"subscribe": {"channel": channel, "recover": true, "offset": 0, "epoch": ""}}),
            json!({"publish": {"channel": channel, "data": 1}}),
            json!({"presence": {"channel": channel}}),
            json!({"presence_stats": {"channel": channel}}),
            json!({"history": {"channel": channel, "limit": 10}}),
        ] {
            let reply = client.request(command.clone());
            assert_eq!(reply["error"]["code"], UNKNOWN_CHANNEL, "{command}: {reply}");
        }
        // There is nothing to end or to refresh.
        assert_eq!(client.unsubscribe(channel), Ok(()));
        let reply = client.request(json!({"sub_refresh": {"channel": channel, "token": subscription}}));
        assert_eq!(reply["error"]["code"], 103, "{reply}");
    }
    are_undisturbed(&mut sockets);
    // By connecting: the client's own wishes, the token's, over any transport.
    for channel in PRIVATE {
        let mut peer = Peer::open(running.address, PATH);
        peer.send(TEXT, json!({"id": 1, "connect": {"subs": {channel: {}}}}).to_string());
        refuses(&peer.frame().payload, channel);
        for claims in [
            json!({"sub": "ann", "channels": [channel]}),
            json!({"sub": "ann", "subs": {channel: {"data": {}}}}),
        ] {
            let mut peer = Peer::open(running.address, PATH);
            peer.send(TEXT, json!({"id": 1, "connect": {"token": token(&claims)}}).to_string());
            refuses(&peer.frame().payload, channel);
        }
        let connect: String =
            json!({"subs": {channel: {}}}).to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in ["/connection/uni_sse", "/connection/sse"] {
            let body = match path {
                "/connection/sse" => {
                    let command = json!({"id": 1, "connect": {"subs": {channel: {}}}}).to_string();
                    command.bytes().map(|byte| format!("%{byte:02x}")).collect()
                }
                _ => connect.clone(),
            };
            let mut peer = Peer::connect(running.address);
            let request = format!("GET {path}?cf_connect={body} HTTP/1.1\r\nHost: x\r\n\r\n");
            peer.send_bytes(request.as_bytes());
            assert_eq!(peer.response_head().status, 200);
            let line = until("an event", || {
                let line = peer.line();
                line.contains("data: ").then_some(line)
            });
            assert!(
                !line.contains("\"subs\"") && !line.contains("\"channel\""),
                "{path} {channel:?}: {line}"
            );
        }
    }
    are_undisturbed(&mut sockets);
    client.sync();
    running.end();
}

/// The answer to a connect command that names a private channel: an error, or a close frame's content.
fn refuses(answer: &[u8], channel: &str) {
    let answer = String::from_utf8_lossy(answer);
    assert!(!answer.contains("\"subs\"") && !answer.contains("\"publications\""), "{channel:?}: {answer}");
}

#[test]
fn hooks_grant_no_room() {
    let application = Application::start();
    let running = Running::start(|config| {
        open(config);
        let endpoint = crate::support::application::hook(&application, "connect")["endpoint"].clone();
        let outside = Arc::make_mut(&mut config.outside);
        outside.connect =
            Some(HookOptions { endpoint: endpoint.as_str().unwrap().to_owned(), ..HookOptions::default() });
    });
    let mut sockets = sockets(&running);
    for channel in PRIVATE {
        for grant in [json!({"channels": [channel]}), json!({"subs": {channel: {}}})] {
            let mut result = json!({"user": "ann"});
            result.as_object_mut().unwrap().extend(grant.as_object().unwrap().clone());
            let mut peer = Peer::open(running.address, PATH);
            peer.send(TEXT, "{\"id\":1,\"connect\":{}}");
            application.question("connect").answer(json!({"result": result}));
            refuses(&peer.frame().payload, channel);
        }
    }
    are_undisturbed(&mut sockets);
    running.end();
}

#[test]
fn the_server_api_and_handles_reach_no_room() {
    let running = Running::start(open);
    let mut sockets = sockets(&running);
    let control = running.control.unwrap();
    let ask = |method: &str, body: &Value| {
        let body = body.to_string();
        let request = format!(
            "POST /api/{method} HTTP/1.1\r\nHost: {control}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = Peer::request(control, request.as_bytes());
        assert_eq!(response.status, 200, "{method} {body}");
        serde_json::from_slice::<Value>(&response.body).unwrap()
    };
    for channel in PRIVATE {
        for (method, body) in [
            ("publish", json!({"channel": channel, "data": 1})),
            ("publish", json!({"channel": channel, "b64data": "AQ=="})),
            ("subscribe", json!({"user": "ann", "channel": channel})),
            ("unsubscribe", json!({"user": "ann", "channel": channel})),
            ("presence", json!({"channel": channel})),
            ("presence_stats", json!({"channel": channel})),
            ("history", json!({"channel": channel, "limit": 10})),
            ("history_remove", json!({"channel": channel})),
        ] {
            let answer = ask(method, &body);
            assert_eq!(answer["error"]["code"], UNKNOWN_CHANNEL, "{method} {body}: {answer}");
            let answer = ask("batch", &json!({"commands": [{method: body}]}));
            assert_eq!(answer["replies"][0]["error"]["code"], UNKNOWN_CHANNEL, "{method} {body}: {answer}");
        }
        let answer = ask("broadcast", &json!({"channels": ["fine", channel], "data": 1}));
        let responses = &answer["result"]["responses"];
        assert!(responses[0]["result"].is_object(), "{answer}");
        assert_eq!(responses[1]["error"]["code"], UNKNOWN_CHANNEL, "{answer}");
    }
    for pattern in ["", "*", "\u{1}*", "*secret", "\u{1}/"] {
        let answer = ask("channels", &json!({"pattern": pattern}));
        assert_eq!(answer["result"]["channels"], json!({}), "{pattern:?}: {answer}");
    }
    let node = &running.node;
    for channel in PRIVATE {
        let outcomes = [
            node.publish(channel, b"1".to_vec(), &PublishOptions::default()).wait().err(),
            node.history(channel, HistoryFilter::default()).wait().err(),
            node.history_remove(channel).wait().err(),
            node.presence(channel).wait().err(),
            node.presence_stats(channel).wait().err(),
            node.subscribe(Target::default(), channel, Default::default()).wait().err(),
            node.unsubscribe(Target::default(), channel, 2500, "").wait().err(),
        ];
        assert_eq!(outcomes, [(); 7].map(|()| Some(Failure::UnknownChannel)), "{channel:?}");
        // Without an answer.
        running.publisher.publish(channel, Kind::Text, b"2[\"said\",1]").unwrap();
        running.publisher.publish(channel, Kind::Binary, b"2[\"said\",1]").unwrap();
    }
    are_undisturbed(&mut sockets);
    running.end();
}

/// A handler of raw connections decides about its groups itself, but private channels are none of them.
#[test]
fn handlers_of_raw_connections_reach_no_room() {
    let running = Running::start(open);
    let mut sockets = sockets(&running);
    let mut raw = Peer::open(running.address, "/raw?mine");
    assert_eq!(raw.message().1, b"in mine");
    for channel in PRIVATE {
        raw.send(TEXT, format!("channel {channel}"));
        assert_eq!(String::from_utf8(raw.message().1).unwrap(), format!("not in {channel:?}"));
        raw.send(TEXT, "2[\"said\",1]");
    }
    are_undisturbed(&mut sockets);
    raw.send(TEXT, "channel open");
    assert_eq!(raw.message().1, b"in open");
    running.end();
}
