//! The load generator reported time-outs where it was refused, and a steady rate while the server stood still.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Peer, Server, until};

fn bench(server: &Server, path: &str, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["bench"]).args(line.split_whitespace()).args(["--json", "--threads", "1", "--url"]);
    command.arg(format!("ws://{}{path}", server.address)).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A server without room answers before it is asked. That event was taken for the end of connecting and nothing else.
#[test]
fn who_is_refused_unheard_is_told_by_the_status() {
    let server = Server::start(&["--connections-max", "1", "--echo", "/echo", "--shards", "1"]);
    let _inside = Peer::open(server.address, "/echo");
    for line in [
        "echo --connections 8 --seconds 0.1 --warmup 0 --timeout 5",
        "idle --connections 8 --hold 0.1 --timeout 5",
        "handshakes --concurrency 4 --seconds 0.3 --warmup 0 --timeout 5",
    ] {
        let output = bench(&server, "/echo", line).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["ok"]), (Some(1), &false.into()), "{report}");
        let failures = report["failures"].as_object().unwrap();
        assert!(failures.contains_key("handshake: HTTP/1.1 503 Service Unavailable"), "{line}: {failures:?}");
        assert!(!failures.keys().any(|kind| kind.contains("timed out")), "{line}: {failures:?}");
    }
}

/// The median of all, and the last quarter, were as good as before.
#[test]
fn a_rate_is_not_held_by_a_server_that_stands_still() {
    let server = Server::start(&["--echo", "/echo"]);
    for (path, line, name) in [
        ("/echo", "echo --connections 2 --rate 200", "throng_messages_received_total"),
        ("/connection/websocket", "fanout --connections 2 --rate 200", "throng_publications_total"),
    ] {
        let before = server.metric(name);
        let line = format!("{line} --seconds 4 --warmup 0");
        let running = bench(&server, path, &line).spawn().unwrap();
        until("it runs", || (server.metric(name) > before + 50).then_some(()));
        server.signal("STOP");
        thread::sleep(Duration::from_millis(1500));
        server.signal("CONT");
        let output = running.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["held"], output.status.code()), (&false.into(), Some(1)), "{report}");
        assert!(report["latency"]["p999_us"].as_f64().unwrap() > 1e6, "{report}");
        assert!(report["service_time"].is_null() && report["failures"] == serde_json::json!({}), "{report}");
    }
}

/// A closed loop measures service times, which omit waiting: they have another name.
#[test]
fn a_closed_loop_tells_service_times_and_no_latencies() {
    let server = Server::start(&["--echo", "/echo"]);
    for (path, line) in
        [("/echo", "echo --connections 1"), ("/connection/websocket", "fanout --connections 1")]
    {
        let output = bench(&server, path, &format!("{line} --seconds 0.2 --warmup 0")).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report["service_time"]["p50_us"].is_number() && report["latency"].is_null(), "{report}");
        assert!(report["held"].is_null(), "{report}");
    }
}
