//! Servers that started and should not have.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

/// Starts a server; returns its ready line, or all its output if it ended instead.
fn start(command: &mut Command) -> (Child, Result<String, String>) {
    let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap) {
        if line.contains(" ready: ") {
            return (child, Ok(line));
        }
        said.push_str(&line);
        said.push('\n');
    }
    (child, Err(said))
}

fn end(mut child: Child) -> Option<i32> {
    child.kill().ok();
    child.wait().unwrap().code()
}

/// Both checked whether the port was free before either had bound it, and both reported that they were ready.
#[test]
fn of_two_servers_that_start_in_one_moment_one_gets_the_port() {
    for _ in 0..6 {
        let free: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
            start(command.args(["--listen", &free.to_string(), "--control", "off", "--shards", "2"]))
        };
        let (a, b) = thread::scope(|scope| {
            let other = scope.spawn(server);
            (server(), other.join().unwrap())
        });
        let outcomes = [a, b].map(|(child, outcome)| {
            // Both are ended before anything is judged.
            let ended_by_itself = outcome.is_err();
            (end(child), ended_by_itself, outcome)
        });
        let ready = outcomes.iter().filter(|(_, _, outcome)| outcome.is_ok()).count();
        assert_eq!(ready, 1, "{outcomes:?}");
        for (code, _, said) in outcomes.iter().filter(|(_, ended, _)| *ended) {
            let said = said.as_ref().unwrap_err();
            assert_eq!(*code, Some(1));
            assert!(said.contains(&format!("cannot listen on {free}: Address already in use")), "{said}");
        }
    }
}

/// With too few descriptors the capacity was 0, but the server was ready and refused every client.
#[test]
fn a_server_without_room_for_a_connection_does_not_start() {
    for flags in
        [&["--shards", "1"][..], &["--shards", "4"], &["--shards", "4", "--private-descriptors=false"]]
    {
        let script = "ulimit -n 64; exec \"$0\" --listen 127.0.0.1:0 --control off \"$@\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]).args(flags);
        let (child, outcome) = start(&mut command);
        let code = end(child);
        let said = outcome.unwrap_err();
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("no room for a single connection") && said.contains("the limit is 64"),
            "{said}"
        );
    }
}
