//! Requests of foreign origins and failed commands had no line in the log, not even at level debug: an origin that is
//! missing in `client.allowed_origins` is the usual first mistake.

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::upgrade;
use crate::support::{Client, Peer, Server};

const CONFIG: &str = "client = { allow_anonymous_connect_without_token = true, \
                      allowed_origins = [\"https://app.example\"] }\n";
const ORIGIN: &str = "the origin of its page is not in client.allowed_origins";
const FAILED: &str = "a client's command failed";

fn lines<'a>(said: &'a str, text: &str) -> Vec<&'a str> {
    said.lines().filter(|line| line.contains(text)).collect()
}

fn refused(server: &Server, path: &str, origin: &str) {
    let mut peer = Peer::connect(server.address);
    peer.send_bytes(upgrade(path, &format!("Origin: {origin}\r\n")).as_bytes());
    assert_eq!(peer.response().status, 403);
}

#[test]
fn a_refused_origin_and_a_failed_command_are_logged() {
    let server = Server::configured(CONFIG, &["--shards", "1", "--drain-ms", "0"]);
    refused(&server, PATH, "https://other.example");
    refused(&server, PATH, &format!("https://\"\\{}", "x".repeat(500)));
    let mut client = Client::open(server.address);
    assert_eq!(client.subscribe("secret"), Err(103));
    server.signal("TERM");
    client.expect_close(3001);
    let (code, said) = server.end();
    assert_eq!(code, Some(0));
    let origins = lines(&said, ORIGIN);
    assert_eq!(origins.len(), 2, "{said}");
    assert!(
        origins[0].contains(" INFO ") && origins[0].contains("origin=\"https://other.example\""),
        "{said}"
    );
    assert!(origins[1].contains(r#"origin="https://\"\\xxx"#), "quoted: {said}");
    assert!(origins[1].len() < 500, "cut: {said}");
    let failed = lines(&said, FAILED);
    assert_eq!(failed.len(), 1, "{said}");
    for part in [" INFO ", "client=", "user=\"\"", "command=", "code=103", "error=\"permission denied\""] {
        assert!(failed[0].contains(part), "{part}: {said}");
    }
}

/// Level debug has those beyond the rate.
#[test]
fn a_flood_of_them_is_a_few_lines() {
    for (level, is_debug) in [("info", false), ("debug", true)] {
        let server = Server::configured(CONFIG, &["--shards=1", "--drain-ms=0", "--log-level", level]);
        let mut client = Client::open(server.address);
        for _ in 0..100 {
            assert_eq!(client.publish("secret", json!(1)), Err(103));
            refused(&server, PATH, "https://other.example");
        }
        server.signal("TERM");
        client.expect_close(3001);
        let said = server.end().1;
        for text in [ORIGIN, FAILED] {
            let all = lines(&said, text);
            let info = all.iter().filter(|line| line.contains(" INFO ")).count();
            assert!((10..60).contains(&info), "{info} of {text}: ten, and one per second");
            assert_eq!(all.len(), if is_debug { 100 } else { info }, "{text}");
        }
    }
}
