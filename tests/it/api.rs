//! The server's HTTP API over loopback, and the handle behind it, with subscribers that receive the effects.

use serde_json::json;
use throng::parts::config::ApiOptions;
use throng::parts::control::api::METHODS;
use throng::parts::hub::{DataKind, Position};
use throng::{Failure, PublishOptions};

use crate::support::Client as Centrifuge;
use crate::support::backend::{Backend, Running, options};
use crate::support::until;

#[test]
fn what_a_backend_publishes_reaches_subscribers_in_its_order() {
    let server = Running::start(options());
    let mut listeners: Vec<_> =
        (0..6).map(|_| Centrifuge::subscribed(server.address, &["news", "b"])).collect();
    let mut backend = Backend::new(&server);
    for n in 0..20 {
        assert_eq!(
            backend.ask("publish", json!({"channel": "news", "data": {"n": n}})),
            json!({"result": {}})
        );
    }
    let answer = backend.ask("broadcast", json!({"channels": ["b", "news"], "data": "to both"}));
    assert_eq!(answer, json!({"result": {"responses": [{"result": {}}, {"result": {}}]}}));
    let (status, _) =
        backend.request("POST /api/publish", "{\"channel\": \"news\",\r\n \"data\":\n [1,\n2]}");
    assert_eq!(status, 200);
    let answer = backend.ask("publish", json!({"channel": "b", "b64data": "/wA="}));
    assert_eq!(answer, json!({"result": {}}));
    for listener in &mut listeners {
        let mut heard: Vec<_> = (0..24).map(|_| listener.publication()).collect();
        let (b, news): (Vec<_>, Vec<_>) = heard.drain(..).partition(|(channel, _)| channel == "b");
        let of_b: Vec<_> = b.into_iter().map(|(_, data)| data).collect();
        assert_eq!(of_b, ["to both", "/wA="]);
        let mut of_news: Vec<_> = news.into_iter().map(|(_, data)| data).collect();
        assert_eq!(of_news.split_off(20), [json!("to both"), json!([1, 2])]);
        assert_eq!(of_news, (0..20).map(|n| json!({"n": n})).collect::<Vec<_>>());
    }
    let info = until("counts of a node", || {
        let info = backend.ask("info", json!({}));
        (info["result"]["nodes"][0]["num_subs"] == 12).then_some(info)
    });
    let node = &info["result"]["nodes"][0];
    assert_eq!((&node["num_clients"], &node["num_channels"]), (&json!(6), &json!(2)));
    assert_eq!(node["num_users"], 1, "the anonymous ones of all shards are one");
    assert!(node["name"].as_str().unwrap().ends_with(&format!("_{}", server.address.port())), "{node}");
    drop(listeners);
    server.end();
}

#[test]
fn a_node_has_the_name_that_it_is_given() {
    let server = Running::start(ApiOptions { node_name: "edge 1".to_owned(), ..options() });
    let info = Backend::new(&server).ask("info", json!({}));
    assert_eq!(info["result"]["nodes"][0]["name"], "edge 1");
    server.end();
}

#[test]
fn a_batch_and_an_embedders_method_answer_over_http() {
    let server = Running::start(options());
    let mut listener = Centrifuge::subscribed(server.address, &["news"]);
    let mut backend = Backend::new(&server);
    for parallel in [false, true] {
        let answer = backend.ask(
            "batch",
            json!({"parallel": parallel, "commands": [
                {"publish": {"channel": "news", "data": 1}}, {"rpc": {"method": "add", "params": [1, 2]}},
                {"publish": {"channel": "news"}}, {"publish": {"channel": "news", "data": 2}}]}),
        );
        let bad = json!({"error": {"code": 107, "message": "bad request", "detail": "data: missing"}});
        assert_eq!(answer, json!({"replies": [{"publish": {}}, {"rpc": {"data": 3}}, bad, {"publish": {}}]}));
        assert_eq!(listener.publications(2), [1, 2]);
    }
    let answer = backend.ask("rpc", json!({"method": "add", "params": {"a": 1}}));
    assert_eq!(answer["error"]["code"], 400);
    drop(listener);
    server.end();
}

#[test]
fn requests_that_must_not_be_heard_are_refused_by_their_status() {
    let server = Running::start(ApiOptions { body_bytes_max: 1000, ..options() });
    let publish = r#"{"channel":"news","data":1}"#;
    let large = format!(r#"{{"channel":"news","data":"{}"}}"#, "x".repeat(1000));
    let own = format!("X-API-Key: secret\r\nOrigin: http://{}\r\n", server.control);
    let key = "X-API-Key: secret\r\n";
    let rows = [
        (key, "POST /api/publish", publish, 200),
        ("Authorization: apikey other\r\n", "POST /api/publish", publish, 200),
        (&own, "POST /api/publish", publish, 200),
        ("", "POST /api/publish", publish, 401),
        ("X-API-Key: secre\r\n", "POST /api/publish", publish, 401),
        ("Content-Type: application/json\r\n", "POST /api/publish", publish, 401),
        ("X-API-Key: secret\r\nOrigin: http://evil.example\r\n", "POST /api/publish", publish, 200),
        ("X-API-Key: no\r\nOrigin: http://evil.example\r\n", "POST /api/publish", publish, 403),
        (key, "POST /api/publish", &large, 413),
        (key, "POST /api/publish", "{", 400),
        (key, "POST /api/publish", r#"["news"]"#, 400),
        (key, "GET /api/publish", "", 405),
        (key, "POST /api/nothing", "{}", 404),
        (key, "POST /api", r#"{"method":"info","params":{}}"#, 200),
        ("", "POST /api", r#"{"method":"info","params":{}}"#, 401),
        ("", "GET /api/openapi.json", "", 200),
    ];
    for (headers, line, body, status) in rows {
        let answer = Backend::with_headers(&server, headers).request(line, body);
        assert_eq!(answer.0, status, "{headers:?} {line} {body}: {}", answer.1);
    }
    // The error names the unknown method or parameter.
    for (line, words) in [
        (
            "POST /api/nothing",
            "the server API has no method nothing, or is off; its methods are publish, broadcast, ",
        ),
        ("GET /nothing", "nothing is served at /nothing"),
        ("GET /api/publish", "/api/publish takes POST, not GET"),
        ("POST /metrics", "/metrics takes GET, not POST"),
    ] {
        let answer = Backend::new(&server).request(line, "").1;
        assert!(answer.starts_with(words), "{line}: {answer}");
    }
    let (_, metrics) = Backend::new(&server).request("GET /metrics", "");
    for count in ["requests_total 5", "refused_total 8", "errors_total{code=\"107\"} 0"] {
        assert!(metrics.contains(&format!("\nthrong_api_{count}\n")), "{count}: {metrics}");
    }
    // Where the API has keys of its own, the API itself refuses pages.
    assert!(metrics.contains("\nthrong_control_refused_total 0\n"), "{metrics}");
    // Errors by status as well, on request.
    let mode = "X-API-Key: secret\r\nX-Centrifugo-Error-Mode: transport\r\n";
    let answer = Backend::with_headers(&server, mode).request("POST /api/publish", r#"{"channel":"news"}"#);
    assert_eq!(answer, (400, r#"{"code":107,"message":"bad request","detail":"data: missing"}"#.to_owned()));
    let answer = Backend::with_headers(&server, mode).request("POST /api/publish", publish);
    assert_eq!(answer, (200, r#"{"result":{}}"#.to_owned()));
    server.end();
    let server = Running::start(ApiOptions { errors_by_status: true, ..options() });
    let answer = Backend::new(&server).request("POST /api/rpc", r#"{"method":"none"}"#);
    let told = r#"{"code":104,"message":"not found","detail":"no such method: none"}"#;
    assert_eq!(answer, (404, told.to_owned()));
    server.end();
}

#[test]
fn without_keys_a_page_elsewhere_still_cannot_publish() {
    let server = Running::start(ApiOptions { insecure: true, ..ApiOptions::default() });
    let publish = r#"{"channel":"news","data":1}"#;
    let json = "Content-Type: application/json\r\n";
    let rows = [
        (json.to_owned(), 200),
        (format!("{json}Origin: http://{}\r\n", server.control), 200),
        (format!("{json}Origin: http://evil.example\r\n"), 403),
        ("Content-Type: text/plain\r\n".to_owned(), 415),
        (String::new(), 415),
    ];
    for (headers, status) in rows {
        let answer = Backend::with_headers(&server, &headers).request("POST /api/publish", publish);
        assert_eq!(answer.0, status, "{headers:?}: {}", answer.1);
    }
    server.end();
}

#[test]
fn an_api_that_is_off_has_no_paths_and_one_without_keys_no_users() {
    let server = Running::start(ApiOptions { enabled: false, ..options() });
    for method in METHODS {
        assert_eq!(Backend::new(&server).request(&format!("POST /api/{method}"), "{}").0, 404);
    }
    server.end();
    let server = Running::start(ApiOptions::default());
    assert_eq!(Backend::new(&server).request("POST /api/info", "{}").0, 401);
    assert_eq!(Backend::with_headers(&server, "X-API-Key: \r\n").request("POST /api/info", "{}").0, 401);
    server.end();
}

#[test]
fn many_backends_at_once_are_all_answered() {
    let server = Running::start(options());
    let mut listener = Centrifuge::subscribed(server.address, &["news"]);
    let mut backends: Vec<_> = (0..60).map(|_| Backend::new(&server)).collect();
    for backend in &mut backends {
        assert_eq!(backend.ask("publish", json!({"channel": "news", "data": 1})), json!({"result": {}}));
    }
    assert_eq!(listener.publications(60), vec![json!(1); 60]);
    drop((listener, backends));
    server.end();
}

#[test]
fn a_node_tells_what_came_of_each_call() {
    let server = Running::start(options());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut listener = Centrifuge::subscribed(server.address, &["news"]);
    let node = server.node.clone();
    let options = PublishOptions::default();
    runtime.block_on(async {
        for n in 0..100u32 {
            node.publish("news", n.to_string().into_bytes(), &options).await.unwrap();
        }
        let outcomes = node.broadcast(&["news", ""], b"\"all\"".to_vec(), &options).await;
        assert_eq!(outcomes, [Ok(Position::default()), Err(Failure::BadRequest)]);
        assert_eq!(node.publish("news", b"no json".to_vec(), &options).await, Err(Failure::BadRequest));
        assert_eq!(node.presence("news").await.unwrap_err(), Failure::NotAvailable);
    });
    let text = PublishOptions { kind: DataKind::Text, ..options };
    node.publish("news", b"no json".to_vec(), &text).wait().unwrap();
    let heard = listener.publications(102);
    assert_eq!(heard[..100], (0..100).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!(heard[100..], [json!("all"), json!("no json")]);
    drop(listener);
    server.end();
    assert_eq!(node.publish("news", b"1".to_vec(), &text).wait(), Err(Failure::NoAnswer));
}
