//! A node in an executor outside the shards' descriptor tables: a process of its own, since each shard's table begins
//! as a copy of the process's.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use throng::{Config, NoHandler, Outcome, PublishOptions, Server};

/// Were the executor woken in a shard's thread, its wake-up descriptor's number would mean a client's socket there: the
/// client would get eight bytes from nowhere, and the executor would sleep on.
#[test]
fn an_answer_wakes_whoever_waits_and_writes_into_nobodys_socket() {
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        control: None,
        shards: 2,
        pin: false,
        private_descriptors: true,
        ..Config::default()
    };
    let server = Server::start(&config, |_shard| NoHandler).unwrap();
    let node = server.node().unwrap();
    let (address, drain) = (server.addresses()[0], server.drainer());
    let server = thread::spawn(|| server.wait().unwrap());
    // Numbers that are sockets in the shards' tables, and then something else in this one.
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let clients: Vec<_> = (0..100).map(|_| connect()).collect();
    node.publish("first", b"0".to_vec(), &PublishOptions::default()).wait().unwrap();
    let runtimes: Vec<_> = (0..20)
        .map(|_| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap())
        .collect();
    for runtime in &runtimes {
        runtime.block_on(async {
            for n in 0..20u32 {
                let published = node.publish("news", n.to_string().into_bytes(), &PublishOptions::default());
                let outcome = tokio::time::timeout(Duration::from_secs(20), published).await;
                outcome.expect("the executor is woken").unwrap();
            }
        });
    }
    for mut client in clients {
        let mut byte = [0];
        assert_eq!(client.read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock, "{byte:?}");
    }
    drain();
    assert_eq!(server.join().unwrap(), Outcome::Drained);
}
