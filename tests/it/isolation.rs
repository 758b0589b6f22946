//! The control listener's access rules, and the privileges that the process gives up.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};
use std::{env, fs};

use serde_json::json;
use throng::parts::net::sys;

use crate::support::peer::Response;
use crate::support::{Client, Peer, Server};

fn ask(server: &Server, path: &str, headers: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    Peer::request(server.control, request.as_bytes())
}

#[test]
fn pages_cannot_ask_the_control_listener_whatever_name_they_come_by() {
    let server = Server::start(&[]);
    let own = format!("Host: {}\r\n", server.control);
    for (headers, status) in [
        (own.clone(), 200),
        (format!("{own}Origin: http://{}\r\n", server.control), 200),
        (format!("Host: localhost:{}\r\n", server.control.port()), 200),
        // The data plane's own page, a page elsewhere, a page in a sandbox.
        (format!("{own}Origin: http://{}\r\n", server.address), 403),
        (format!("{own}Origin: https://evil.example\r\n"), 403),
        (format!("{own}Origin: null\r\n"), 403),
        // A name that was made to mean this machine: to the browser it is one origin.
        ("Host: evil.example:9000\r\n".to_owned(), 403),
        ("Host: evil.example:9000\r\nOrigin: http://evil.example:9000\r\n".to_owned(), 403),
    ] {
        for path in ["/metrics", "/"] {
            assert_eq!(ask(&server, path, &headers).status, status, "{path} {headers}");
        }
    }
    assert_eq!(ask(&server, "/health", "Host: whatever\r\n").status, 200);
    assert_eq!(ask(&server, "/ready", "Host: whatever\r\n").status, 200);
    assert_eq!(server.metric("throng_control_refused_total"), 10);
    // Nor do they get the server API, which is open here for programs.
    let publish = |headers: &str| {
        let body = json!({"channel": "a", "data": 1}).to_string();
        let request = format!(
            "POST /api/publish HTTP/1.1\r\n{headers}Content-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Peer::request(server.control, request.as_bytes()).status
    };
    assert_eq!(publish(&own), 200);
    assert_eq!(publish("Host: evil.example:9000\r\nOrigin: http://evil.example:9000\r\n"), 403);
    assert_eq!(publish("Host: evil.example:9000\r\n"), 403);
}

#[test]
fn a_key_opens_the_control_listener_and_nothing_else_does() {
    let config = "control_key = \"sesame\"\n[client]\ninsecure = true\n[http_api]\nkey = \"api\"\n";
    let server = Server::configured(config, &[]);
    let host = "Host: throng.internal\r\n";
    for (headers, status) in [
        ("Authorization: Bearer sesame\r\n", 200),
        ("Authorization: Bearer sesam\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("X-API-Key: api\r\n", 401),
        ("", 401),
    ] {
        assert_eq!(ask(&server, "/metrics", &format!("{host}{headers}")).status, status, "{headers}");
    }
    assert_eq!(ask(&server, "/health", host).status, 200);
    // The server API has a key of its own.
    let info = |headers: &str| {
        let request = format!(
            "POST /api/info HTTP/1.1\r\n{host}{headers}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        Peer::request(server.control, request.as_bytes()).status
    };
    assert_eq!(
        (info("X-API-Key: api\r\n"), info("Authorization: Bearer sesame\r\n"), info("")),
        (200, 401, 401)
    );
}

#[test]
fn beyond_loopback_nothing_is_told_without_a_key() {
    let host = "Host: 127.0.0.1\r\n";
    let server = Server::everywhere(&[]);
    assert!(server.said.iter().any(|line| line.contains("WARNING") && line.contains("control_key")));
    assert_eq!(ask(&server, "/metrics", host).status, 403);
    assert_eq!(ask(&server, "/ready", host).status, 200);
    let server = Server::everywhere(&["--control-key", "sesame"]);
    assert!(!server.said.iter().any(|line| line.contains("control_key")), "{:?}", server.said);
    assert_eq!(ask(&server, "/metrics", host).status, 401);
    assert_eq!(ask(&server, "/metrics", &format!("{host}Authorization: Bearer sesame\r\n")).status, 200);
}

#[test]
fn it_needs_no_root_and_what_gets_into_it_gains_nothing() {
    const NOBODY: u32 = 65_534;
    let is_root = sys::is_root();
    // The build folder may be closed to other users.
    let (built, open) = (env!("CARGO_BIN_EXE_throng"), format!("throng-it-open-{}", process::id()));
    let open = env::temp_dir().join(open);
    fs::hard_link(built, &open).or_else(|_| fs::copy(built, &open).map(drop)).unwrap();
    for (flags, keeps_secrets) in [(&[][..], false), (&["--control-key=sesame"], true)] {
        let mut command = Command::new(&open);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let server = Server::spawn(command.arg("serve").args(flags));
        assert!(!server.said.iter().any(|line| line.contains("root")), "{:?}", server.said);
        Client::open(server.address).sync();
        let file = |name: &str| format!("/proc/{}/{name}", server.pid());
        let status = fs::read_to_string(file("status")).unwrap();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(
            (value("NoNewPrivs:"), value("CapEff:")),
            (Some("1"), Some("0000000000000000")),
            "{status}"
        );
        // With keys, another process of the same user can neither read its memory nor dump it: the files about it
        // belong to root (proc(5)).
        assert_eq!(fs::metadata(file("environ")).unwrap().uid() == 0, keeps_secrets);
    }
    fs::remove_file(&open).unwrap();
    let warned = |server: &Server| server.said.iter().any(|line| line.contains("running as root"));
    assert_eq!(warned(&Server::start(&[])), is_root);
}
