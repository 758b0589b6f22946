//! `throng bench --protocol socketio` against a server in this process: each scenario runs, and reports no failure.

use std::net::SocketAddr;
use std::process::Command;

use throng::Server;
use throng::SocketIoOptions;
use throng::parts::config::Config;
use throng::socketio::{Admit, Routes, SocketIo};

/// The application that the scenarios need, over this crate's server.
fn server() -> (Server, SocketAddr) {
    let routes = || {
        Routes::new(|_| Admit::In(()))
            .on("join", |turn, (room,): (String,)| {
                turn.socket.join(&room)?;
                turn.ack(&())
            })
            .on("echo", |turn, (data,): (String,)| turn.ack(&data))
            .on("publish", |turn, (room, data): (String, String)| {
                turn.socket.everyone().to(&room).emit("publish", &(&room, data))?;
                turn.ack(&())
            })
    };
    // Pings come while the scenarios run.
    let socketio = SocketIoOptions { enabled: true, ping_interval_ms: 50, ..SocketIoOptions::default() };
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let config = Config {
        listen,
        control: None,
        socketio,
        shards: 2,
        private_descriptors: false,
        ..Config::default()
    };
    let server = Server::start(&config, move |_| SocketIo(routes())).unwrap();
    let address = server.addresses()[0].to_string().parse().unwrap();
    (server, address)
}

/// The outcome of a scenario: its exit code, and all that it wrote.
fn run(line: &str, address: SocketAddr) -> (Option<i32>, String) {
    let url = format!("ws://{address}/socket.io/");
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    command.arg("bench").args(line.split_whitespace()).args([
        "--json",
        "--protocol",
        "socketio",
        "--url",
        &url,
    ]);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_scenario_of_socketio_runs_against_a_server() {
    let (_server, address) = server();
    for line in [
        "idle --connections 7 --hold 0.2 --subscribe bench --publish 3",
        "idle --connections 7 --hold 0.2 --subscribe bench --transport polling --threads 2",
        "echo --connections 3 --seconds 0.2 --warmup 0",
        "echo --connections 3 --seconds 0.2 --warmup 0 --size 5000 --in-flight 5 --threads 2",
        "echo --connections 3 --seconds 0.2 --warmup 0 --transport polling",
        "echo --connections 3 --seconds 0.2 --warmup 0 --size 20000 --transport polling --threads 2",
        "fanout --connections 5 --seconds 0.2 --warmup 0 --threads 2 --in-flight 3",
        "fanout --connections 6 --channels 6 --each 2 --channel some --seconds 0.2 --warmup 0 --in-flight 6",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0 --ending goodbye",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0 --transport polling",
        "handshakes --concurrency 4 --seconds 0.2 --warmup 0 --transport upgrade",
        "storm --connections 20 --live 3 --live-rate 200 --quiet 0.1 --subscribe bench",
    ] {
        let (code, text) = run(line, address);
        assert_eq!(code, Some(0), "{line}: {text}");
    }
}

#[test]
fn a_server_without_recovery_is_said_to_have_none() {
    let (_server, address) = server();
    let line = "storm --connections 2 --live 1 --quiet 0.1 --subscribe bench --recover --timeout 1";
    let (code, text) = run(line, address);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no pid"), "{text}");
}
