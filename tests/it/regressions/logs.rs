//! A log line that could not be written aborted the process, also in a drain; an unread one stopped the control
//! thread. A server serves, drains and exits with 0, even if its log lines are lost.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Peer, Server, until};

/// An output that accepts nothing: the disk is full.
fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    io::pipe().unwrap().1.into()
}

/// A full stream, and its reader, which does not read.
fn full_stream() -> (Stdio, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    writer.set_nonblocking(false).unwrap();
    (OwnedFd::from(writer).into(), reader)
}

/// Serves, logs now and then, drains and exits with 0. Returns the number of lines lost before the drain.
fn serves_and_ends(stdout: Stdio, stderr: Stdio) -> u64 {
    let server = Server::start_unheard(stdout, stderr, &["--log-level", "debug", "--drain-ms", "200"]);
    let mut client = Client::subscribed(server.address, &["a"]);
    for _ in 0..20 {
        // Each has a line in the log.
        server.signal("HUP");
        assert_eq!(client.publish("a", json!(1)), Ok(()));
        assert_eq!(client.publication(), ("a".into(), json!(1)));
    }
    assert_eq!(server.ask("/ready").status, 200);
    let lost = server.metric("throng_log_lines_lost_total");
    let began = Instant::now();
    server.signal("TERM");
    client.expect_close(3001);
    assert_eq!(server.end().0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    lost
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    assert!(serves_and_ends(full_disk(), full_disk()) > 1);
}

#[test]
fn a_pipe_whose_reader_has_gone_costs_lines_and_nothing_else() {
    assert!(serves_and_ends(closed_pipe(), closed_pipe()) > 1);
}

/// Lines wait in the server until they are read; so few as here are not lost.
#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up() {
    let (stderr, mut reader) = full_stream();
    assert_eq!(serves_and_ends(Stdio::null(), stderr), 0);
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert!(said.iter().all(|&byte| byte == b'x'), "{}", String::from_utf8_lossy(&said));
}

/// A late reader reads everything, the last line included.
#[test]
fn what_waited_for_its_reader_is_written_in_the_end() {
    let (stderr, mut reader) = full_stream();
    let server = Server::start_unheard(Stdio::null(), stderr, &[]);
    server.signal("TERM");
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains(" ready: ws://") && said.contains(": draining"), "{said}");
    assert!(said.trim_end().ends_with("drained"), "{said}");
    assert_eq!(server.end().0, Some(0));
}

/// A full server wrote nothing at all.
#[test]
fn a_full_server_says_so_once_in_a_while() {
    let server = Server::start(&["--connections-max", "1", "--echo", "/echo"]);
    let _inside = Peer::open(server.address, "/echo");
    for _ in 0..30 {
        assert_eq!(Peer::connect(server.address).response().status, 503);
    }
    until("the line", || (server.metric("throng_refused_total") >= 30).then_some(()));
    // The watch looks once a second.
    std::thread::sleep(Duration::from_millis(2500));
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!((code, said.matches("new connections are refused: ").count()), (Some(0), 1), "{said}");
    assert!(said.contains("connection limit reached (connections_max)"), "{said}");
}

/// The reason of a token's refusal was logged at level debug only.
#[test]
fn why_a_token_is_refused_is_told_at_info_and_not_for_each() {
    let server = Server::configured("[client.token]\nhmac_secret_key = \"a secret of this test\"\n", &[]);
    for _ in 0..20 {
        let mut peer = Peer::open(server.address, PATH);
        peer.send(TEXT, r#"{"id":1,"connect":{"token":"a.b.c"}}"#);
        peer.expect_close(3500);
    }
    server.signal("TERM");
    let (_, said) = server.end();
    assert_eq!(said.matches("connection token refused: ").count(), 1, "{said}");
}

/// A command that was answered with 107 had its reason nowhere.
#[test]
fn why_a_command_is_a_bad_request_is_told_at_debug() {
    let toml = r#"
[client]
allow_anonymous_connect_without_token = true
[channel.without_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[[channel.namespaces]]
name = "prices"
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
channel_regex = "^[a-z]+$"
"#;
    let server = Server::configured(toml, &["--log-level", "debug"]);
    let mut client = Client::open(server.address);
    let rows = [
        (r#""subscribe":{"channel":""}"#, "channel: missing or empty"),
        (r#""publish":{"channel":"a"}"#, "data: missing"),
        (r#""history":{"channel":"a","limit":"all"}"#, "a field has the wrong type or an invalid value"),
        (r#""subscribe":{"channel":"café"}"#, "channel: not ASCII, and there is no channel_regex"),
        (r#""presence":{"channel":"prices:Gold"}"#, "channel: does not match channel_regex"),
        (
            r#""subscribe":{"channel":"a","tf":{"key":"k","cmp":"eq","val":"v"}}"#,
            "tf: the channel does not allow filters (allow_tags_filter)",
        ),
    ];
    for (id, (command, _)) in (100..).zip(&rows) {
        client.send(&format!(r#"{{"id":{id},{command}}}"#));
        assert_eq!(client.reply(id)["error"]["code"], 107, "{command}");
    }
    server.signal("TERM");
    let (_, said) = server.end();
    let lines: Vec<_> =
        said.lines().filter(|line| line.contains("a client's command is a bad request")).collect();
    assert_eq!(lines.len(), rows.len(), "{said}");
    for ((id, (_, detail)), line) in (100..).zip(rows).zip(lines) {
        assert!(line.contains(detail) && line.contains(&format!("command={id}")), "{line}, not {detail}");
    }
}
