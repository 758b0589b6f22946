//! The control listener under clients that occupy its connections, and clients that shut down their side early.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::json;

use crate::support::Client;
use crate::support::backend::{Running, options};
use crate::support::peer::PATIENCE;

fn converse(address: SocketAddr, request: &str, ends_its_side: bool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    if ends_its_side {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn publish(address: SocketAddr) -> String {
    let body = r#"{"channel":"news","data":1}"#;
    let length = body.len();
    format!(
        "POST /api/publish HTTP/1.1\r\nHost: {address}\r\nX-API-Key: secret\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Hundreds of connections that sent nothing, or half of a request, blocked `/health` and `/ready` for all until
/// their deadline, 90 seconds later at most, and then again.
#[test]
fn silent_and_slow_connections_keep_nobody_from_asking() {
    let server = Running::start(options());
    let whole = publish(server.control);
    for half in ["", "GET /health HTTP/1.1\r\nHost: ", &whole[..whole.len() - 1]] {
        let held: Vec<_> = (0..400)
            .map(|_| {
                let mut stream = TcpStream::connect(server.control).unwrap();
                stream.write_all(half.as_bytes()).unwrap();
                stream
            })
            .collect();
        for path in ["/health", "/ready"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.control);
            let answer = converse(server.control, &request, false);
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{half:?}: {answer}");
        }
        let answer = converse(server.control, &publish(server.control), true);
        assert!(answer.ends_with(r#"{"result":{}}"#), "{half:?}: {answer}");
        drop(held);
    }
    server.end();
}

/// A request whose sender shut down its side behind it was neither answered nor executed.
#[test]
fn a_request_behind_which_its_sender_ends_its_side_is_carried_out() {
    let server = Running::start(options());
    let mut listener = Client::subscribed(server.address, &["news"]);
    for _ in 0..20 {
        let answer = converse(server.control, &publish(server.control), true);
        assert!(answer.ends_with(r#"{"result":{}}"#), "{answer}");
        assert_eq!(listener.publication(), ("news".to_owned(), json!(1)));
    }
    // An incomplete request is not executed.
    let whole = publish(server.control);
    let answer = converse(server.control, &whole[..whole.len() - 1], true);
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let end = converse(server.control, &whole.replace(":1}", ":2}"), true);
    assert!(end.ends_with(r#"{"result":{}}"#), "{end}");
    assert_eq!(listener.publication(), ("news".to_owned(), json!(2)), "and nothing before it");
    server.end();
}
