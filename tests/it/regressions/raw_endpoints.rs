//! Endpoints without the Centrifuge protocol, which had weaker rules than those with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use serde_json::json;
use throng::Denied;
use throng::parts::config::Config;
use throng::parts::proto::http::{Refusal, Request};
use throng::parts::proto::ws::Kind;
use throng::parts::session::{CloseReason, Handler, Message, Peer as Client};
use throng::parts::shard::counters::Counters;
use throng::parts::shard::mailbox::Target;
use throng::{Failure, Server as Embedded};

use crate::support::centrifuge::Client as Centrifuge;
use crate::support::peer::{BINARY, TEXT, upgrade};
use crate::support::{Peer, Server, until};

/// Any page of the web could open a raw endpoint in its visitors' browsers, with their cookies.
#[test]
fn pages_of_other_sites_may_not_open_a_raw_endpoint() {
    let config = "[client]\ninsecure = true\nallowed_origins = [\"https://*.example\"]\n";
    let server = Server::configured(config, &["--echo", "/echo"]);
    let status = |path: &str, origin: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(upgrade(path, origin).as_bytes());
        peer.response_head().status
    };
    let own = format!("Origin: http://{}\r\n", server.address);
    for (origin, expected) in [
        // As `upgrade` names the host: with a list, only the list.
        ("Origin: http://localhost\r\n", 403),
        ("Origin: https://app.example\r\n", 101),
        ("", 101),
        (own.as_str(), 403),
        ("Origin: https://evil.test\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        for path in ["/echo", crate::support::centrifuge::PATH] {
            assert_eq!(status(path, origin), expected, "{path} {origin}");
        }
    }
    assert_eq!(server.metric_with("throng_refused_total", "reason=\"forbidden\""), 8);
    let mut peer = Peer::connect(server.address).upgraded("/echo", "Origin: https://app.example\r\n");
    peer.send(TEXT, "hello");
    assert_eq!(peer.message(), (TEXT, b"hello".to_vec()));
}

/// Of one message of a [`Fountain`].
const BYTES: usize = 100_000;
/// Limit of queued bytes of its clients.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Sends without being asked, in the way that the path names.
struct Fountain {
    skipped: Arc<AtomicU64>,
}

impl Fountain {
    fn send(peer: &mut Client<'_, '_>, number: u8) {
        peer.send(Kind::Binary, &[number; BYTES]);
    }
}

impl Handler for Fountain {
    /// Whether it checks the waiting bytes, and how often it was called.
    type State = (bool, u8);

    fn serves(&self, path: &str) -> bool {
        matches!(path, "/open" | "/joined" | "/timer" | "/careful" | "/large")
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        _: Option<&'static str>,
        peer: &mut Client<'_, '_>,
    ) -> Result<Self::State, Refusal> {
        match request.path {
            "/open" => (0..9).for_each(|number| Self::send(peer, number)),
            "/joined" => (0..100).for_each(|channel: u8| peer.join(&channel.to_string())),
            "/large" => peer.send(Kind::Binary, &vec![0; 64 * BYTES]),
            _ => peer.set_timer(1),
        }
        Ok((request.path == "/careful", 0))
    }

    fn joined(
        &mut self,
        _: &mut Self::State,
        _: &str,
        outcome: Result<(), Denied>,
        peer: &mut Client<'_, '_>,
    ) {
        outcome.unwrap();
        Self::send(peer, 0);
        Self::send(peer, 1);
    }

    fn message(
        &mut self,
        _: &mut Self::State,
        _: Message<'_>,
        _: &mut Client<'_, '_>,
    ) -> Result<(), CloseReason> {
        Ok(())
    }

    fn timer(
        &mut self,
        (is_careful, count): &mut Self::State,
        peer: &mut Client<'_, '_>,
    ) -> Result<(), CloseReason> {
        *count = count.wrapping_add(1);
        if *is_careful && peer.waiting_bytes() > 0 {
            self.skipped.fetch_add(1, Relaxed);
        } else {
            Self::send(peer, *count);
        }
        peer.set_timer(1);
        Ok(())
    }
}

/// The output of a handler's `timer`, `joined` or `open` had no limit: 87 MB waited for one client that did not read.
/// The same held for a backend's messages to a client outside of all channels.
#[test]
fn what_nobody_asked_for_waits_within_the_limit_wherever_it_comes_from() {
    let mut config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        control: None,
        shards: 1,
        pin: false,
        private_descriptors: false,
        ..Config::default()
    };
    config.limits.outbox_bytes_max = WAITING_BYTES_MAX;
    config.timeouts.drain_ms = 0;
    config.timeouts.linger_ms = 1000;
    config.timeouts.ping_interval_ms = 0;
    let skipped = Arc::<AtomicU64>::default();
    let server = Embedded::start(&config, |_| Fountain { skipped: Arc::clone(&skipped) }).unwrap();
    let (address, node, drain) = (server.addresses()[0], server.node().unwrap(), server.drainer());
    let counters = Arc::clone(&server.counters()[0]);
    let running = thread::spawn(|| server.wait().unwrap());
    let count = |read: fn(&Counters) -> u64| read(&counters);
    let await_slow = |wanted| {
        let is_there = || (count(|c| c.slow_consumers.value()) == wanted).then_some(());
        until("a slow consumer", is_there);
    };

    // Two fit, and no third, however fast the client may be.
    let mut open = Peer::open(address, "/open");
    assert_eq!([open.message(), open.message()], [0, 1].map(|number| (BINARY, vec![number; BYTES])));
    open.expect_close(3008);
    await_slow(1);
    // One message of any size.
    let mut large = Peer::open(address, "/large");
    assert_eq!(large.message().1.len(), 64 * BYTES);
    let _joined = Peer::open(address, "/joined");
    await_slow(2);
    let _timer = Peer::open(address, "/timer");
    await_slow(3);
    let told = Centrifuge::open(address);
    for _ in 0..10_000 {
        match node.message(Target::default(), json!("x".repeat(BYTES)).to_string().into_bytes()).wait() {
            Ok(()) => {}
            Err(Failure::Overloaded) => thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
        if count(|c| c.slow_consumers.value()) == 4 {
            break;
        }
    }
    await_slow(4);
    // The rest of one write each is left.
    let left = || (count(|c| c.outbox_bytes.value()) <= 4 * 2 * BYTES as u64).then_some(());
    until("what was queued is thrown away", left);

    // A handler that checks the waiting bytes skips stale messages, and continues when its client reads.
    let mut careful = Peer::open(address, "/careful");
    until("a hundred skipped frames", || (skipped.load(Relaxed) > 100).then_some(()));
    let mut last = 0;
    until("a frame behind those that were skipped", || {
        let number = careful.message().1[0];
        let is_behind = number.wrapping_sub(last) > 1;
        last = number;
        is_behind.then_some(())
    });
    assert_eq!(count(|c| c.slow_consumers.value()), 4);
    drop((careful, told, large));
    drain();
    running.join().unwrap();
}
