//! Metrics with labels: only known values, for any input of clients, and their memory is freed with the counted
//! objects.

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::{Client, Peer, Server, until};

const CONFIG: &str = r#"
metrics_client_names = ["js", "game"]
[client]
insecure = true
[channel]
[channel.without_namespace]
history_size = 10
history_ttl = "1m"
force_recovery = true
[http_api]
key = "secret"
"#;

/// One that has connected, and says this of its program.
fn named(server: &Server, name: &str) -> Client {
    Client::try_over(Peer::open(server.address, PATH), json!({"name": name})).unwrap()
}

fn clients(server: &Server, name: &str) -> u64 {
    server.metric_with("throng_clients", &format!("transport=\"websocket\",client_name=\"{name}\""))
}

#[test]
fn clients_are_told_apart_by_names_that_are_configured_and_by_no_others() {
    let server = Server::configured(CONFIG, &[]);
    let mut all =
        vec![named(&server, "js"), named(&server, "js"), named(&server, "game"), named(&server, "")];
    all.extend((0..20).map(|n| named(&server, &format!("stranger {n}\"}}\n"))));
    assert_eq!(
        [("js", 2), ("game", 1), ("", 1), ("other", 20)].map(|(name, _)| clients(&server, name)),
        [2, 1, 1, 20]
    );
    let text = String::from_utf8(server.ask("/metrics").body).unwrap();
    assert!(!text.contains("stranger"), "{text}");
    drop(all);
    server.await_metric("throng_connections", 0);
    for name in ["js", "game", "", "other"] {
        assert_eq!(clients(&server, name), 0, "{name}");
    }
    let labels = "transport=\"websocket\",client_name=\"other\"";
    assert_eq!(server.metric_with("throng_connects_total", labels), 20);
}

#[test]
fn commands_errors_and_ends_are_told_by_method_and_code() {
    let server = Server::configured(CONFIG, &["--ping-interval-ms=1000"]);
    let mut client = named(&server, "js");
    assert_eq!(client.subscribe("a"), Ok(()));
    assert_eq!(client.subscribe("a"), Err(105));
    assert_eq!(client.subscribe(""), Err(107));
    assert_eq!(client.publish("a", json!(1)), Ok(()));
    let recovering = json!({"subscribe": {"channel": "b", "recover": true, "offset": 0, "epoch": ""}});
    let mut second = named(&server, "js");
    assert_eq!(second.publish("b", json!(1)), Ok(()));
    let reply = second.request(recovering);
    let recovered = reply["subscribe"]["publications"].as_array().map_or(0, Vec::len) as u64;
    let method = |name: &str| server.metric_with("throng_commands_total", &format!("method=\"{name}\""));
    assert_eq!(["connect", "subscribe", "publish", "history"].map(method), [2, 3, 2, 0]);
    let code = |name: &str, code: &str| server.metric_with(name, &format!("code=\"{code}\""));
    assert_eq!(
        ["105", "107", "100", "other"].map(|one| code("throng_reply_errors_total", one)),
        [1, 1, 0, 0]
    );
    assert_eq!(server.metric("throng_recovered_publications_sum"), recovered);
    assert_eq!(
        server.metric("throng_recovered_publications_count"),
        server.metric("throng_recoveries_total")
    );
    // Each heartbeat has one answer: further ones are answers to nothing.
    until("a heartbeat and its answer", || {
        client.send("{}");
        (server.metric("throng_pong_seconds_count") > 0).then_some(())
    });
    client.send("{}\n{}\n{}");
    client.sync();
    let (answered, sent) =
        (server.metric("throng_pong_seconds_count"), server.metric("throng_heartbeats_sent_total"));
    assert!((1..=sent).contains(&answered), "{answered} of {sent}");
    // A second connect ends the connection: 3501.
    client.send(r#"{"id":99,"connect":{}}"#);
    client.expect_close(3501);
    assert_eq!(code("throng_disconnects_total", "3501"), 1);
    drop(second);
    server.await_metric("throng_connections", 0);
    assert_eq!(code("throng_disconnects_total", "other"), 0, "who goes is not counted");
}

#[test]
fn the_server_api_is_timed_by_method_and_its_ends_are_told_by_code() {
    let server = Server::configured(CONFIG, &[]);
    let api = |method: &str, body: serde_json::Value| {
        let (body, key) = (body.to_string(), "X-API-Key: secret\r\nConnection: close\r\n");
        let head =
            format!("POST /api/{method} HTTP/1.1\r\nHost: localhost\r\n{key}Content-Length: {}", body.len());
        Peer::request(server.control, format!("{head}\r\n\r\n{body}").as_bytes())
    };
    assert_eq!(api("publish", json!({"channel": "a", "data": 1})).status, 200);
    assert_eq!(api("publish", json!({"channel": ""})).status, 200);
    let timed =
        |method: &str| server.metric_with("throng_api_seconds_count", &format!("method=\"{method}\""));
    assert_eq!((timed("publish"), timed("history")), (2, 0));
    assert_eq!(server.metric_with("throng_api_errors_total", "code=\"107\""), 1);
    let open = server.metric("process_open_fds");
    let more: Vec<Peer> = (0..30).map(|_| Peer::connect(server.address)).collect();
    server.await_metric("throng_connections", 30);
    assert!(server.metric("process_open_fds") >= open + 30, "shards' own tables are counted");
    assert!(server.metric("process_max_fds") > 30);
    drop(more);
}

/// Each counts once, however many connections it has, and in whichever shards.
#[test]
fn users_are_counted_where_that_is_asked_for() {
    let config = "metrics_users = true\n[client]\nuser_id_http_header = \"X-User\"\n";
    let server = Server::configured(config, &[]);
    let mut all = Vec::new();
    for user in ["ann", "ann", "ben", "ann"] {
        let peer = Peer::connect(server.address).upgraded(PATH, &format!("X-User: {user}\r\n"));
        all.push(Client::over(peer));
    }
    assert_eq!(server.metric("throng_users"), 2);
    all.truncate(1);
    server.await_metric("throng_users", 1);
    drop(all);
    server.await_metric("throng_users", 0);
}
