//! Peers that disappear without a close, as by a pulled cable: a network namespace whose one link goes down. The
//! server gets no notice, and has to detect it.
//!
//! Needs the privilege to make namespaces (`CAP_NET_ADMIN`, `CAP_SYS_ADMIN`) and `ip`; without them the test prints
//! that and proves nothing.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Peer, Server};

/// Another machine, as far as the kernel is concerned, and the cable to it. Gone when it is dropped.
struct Elsewhere {
    name: String,
    here: Ipv4Addr,
}

impl Elsewhere {
    /// `Err`: the reason for which there can be none.
    fn new(number: u32) -> Result<Self, String> {
        let name = format!("throng-{}-{number}", process::id());
        // The range for tests of equipment (RFC 2544): nobody's addresses. Four of them for each.
        let base = Ipv4Addr::new(198, 18, 0, 0).to_bits() + 4 * (process::id() % 8000 * 4 + number);
        let (here, there) = (Ipv4Addr::from_bits(base + 1), Ipv4Addr::from_bits(base + 2));
        let (near, far) = (format!("th{}n{number}", process::id() % 1_000_000), "cable");
        ip(&format!("netns add {name}"))?;
        let elsewhere = Self { name, here };
        let name = &elsewhere.name;
        ip(&format!("link add {near} type veth peer name {far} netns {name}"))?;
        ip(&format!("address add {here}/30 dev {near}"))?;
        ip(&format!("link set {near} up"))?;
        ip(&format!("-n {name} address add {there}/30 dev {far}"))?;
        ip(&format!("-n {name} link set {far} up"))?;
        Ok(elsewhere)
    }

    /// Does this over there: sockets that it makes are that machine's.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        thread::scope(|scope| {
            let work = || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            };
            scope.spawn(work).join().unwrap()
        })
    }

    /// From here on nothing arrives, in either direction.
    fn pull_the_cable(&self) {
        ip(&format!("-n {} link set cable down", self.name)).unwrap();
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The other end of the cable goes with it.
        ip(&format!("netns delete {}", self.name)).ok();
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output =
        Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Such a machine, and a server that it reaches; `None`, with the reason printed, where there can be none.
fn reached(number: u32, flags: &[&str]) -> Option<(Elsewhere, Server)> {
    match Elsewhere::new(number) {
        Ok(elsewhere) => {
            let listen = SocketAddr::from((elsewhere.here, 0)).to_string();
            let server = Server::start(&[&["--listen", &listen, "--development"], flags].concat());
            assert_eq!(server.address.ip(), elsewhere.here);
            Some((elsewhere, server))
        }
        Err(reason) => {
            println!("skipped, no network namespace: {reason}");
            None
        }
    }
}

#[test]
fn who_is_cut_off_silently_is_missed_by_the_heartbeat() {
    let (ping_ms, pong_ms) = (1000, 400);
    let flags = ["--ping-interval-ms", "1000", "--pong-timeout-ms", "400", "--tcp-user-timeout-ms", "0"];
    let Some((elsewhere, server)) = reached(0, &flags) else { return };
    let address = server.address;
    let mut peer = elsewhere.run(|| Peer::open(address, PATH));
    peer.send(TEXT, r#"{"id":1,"connect":{}}"#);
    peer.message();
    // It answers, as long as it can.
    for _ in 0..2 {
        assert_eq!(peer.message(), (TEXT, b"{}".to_vec()));
        peer.send(TEXT, "{}");
    }
    assert_eq!(server.metric("throng_heartbeats_missed_total"), 0);
    elsewhere.pull_the_cable();
    let cut = Instant::now();
    server.await_metric("throng_heartbeats_missed_total", 1);
    // Two beats of rounding, and the delay of a busy machine.
    let deadline = Duration::from_millis(ping_ms + pong_ms + 2 * 128) + Duration::from_secs(3);
    assert!(cut.elapsed() < deadline, "{:?}", cut.elapsed());
    server.await_metric("throng_sessions", 0);
}

#[test]
fn who_cannot_answer_heartbeats_is_missed_by_the_kernel() {
    let flags = ["--ping-interval-ms", "500", "--pong-timeout-ms", "100", "--tcp-user-timeout-ms", "1500"];
    let Some((elsewhere, server)) = reached(1, &flags) else { return };
    let address = server.address;
    let mut peer = elsewhere.run(|| Peer::connect(address));
    peer.send_bytes(b"GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(peer.response_head().status, 200);
    assert!(peer.line().starts_with("data: {\"connect\":"));
    while peer.line() != "data: {}" {}
    elsewhere.pull_the_cable();
    server.await_metric("throng_transport_errors_total", 1);
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_heartbeats_missed_total"), 0);
}
