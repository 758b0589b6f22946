//! Invalid input over TLS, and certificates that change under busy connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection};

use crate::support::peer::{Frame, PATIENCE, TEXT, upgrade};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{Folder, Socket, first, trusting};
use crate::support::{Server, until};

const NAME: &str = "one.test";

fn start(folder: &Folder, ca: &Authority, more: &[&str]) -> Server {
    let pair = folder.pair("one", &ca.issue(&[NAME]));
    let flags = pair.iter().map(String::as_str).chain(["--echo", "/echo"]).chain(more.iter().copied());
    Server::start(&flags.collect::<Vec<_>>())
}

/// A WebSocket whose records can be inspected and modified in transit.
struct Wire {
    tls: ClientConnection,
    stream: TcpStream,
}

impl Wire {
    fn shake_hands(server: &Server, ca: &Authority) -> Self {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut tls = ClientConnection::new(trusting(ca, None), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        Self { tls, stream }
    }

    fn open(server: &Server, ca: &Authority) -> Self {
        let mut wire = Self::shake_hands(server, ca);
        let request = wire.seal(upgrade("/echo", "").as_bytes());
        wire.stream.write_all(&request).unwrap();
        assert!(wire.hear().unwrap().starts_with(b"HTTP/1.1 101 "));
        wire
    }

    /// The records of these bytes, and of all other pending output.
    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Some plaintext; empty at the end of the connection.
    fn hear(&mut self) -> Result<Vec<u8>, rustls::Error> {
        loop {
            let count = self.tls.read_tls(&mut self.stream).unwrap();
            let waiting = self.tls.process_new_packets()?.plaintext_bytes_to_read();
            if waiting > 0 || count == 0 {
                let mut plain = vec![0; waiting];
                self.tls.reader().read_exact(&mut plain).unwrap();
                return Ok(plain);
            }
        }
    }

    fn expect_alert(&mut self, alert: AlertDescription) {
        let told = loop {
            match self.hear() {
                Ok(plain) => assert!(!plain.is_empty(), "the end, and no alert"),
                Err(told) => break told,
            }
        };
        assert_eq!(told, rustls::Error::AlertReceived(alert));
    }
}

#[test]
fn a_record_that_was_changed_on_its_way_is_not_delivered_and_told() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let server = start(&folder, &ca, &[]);
    let mut wire = Wire::open(&server, &ca);
    let before = server.metric("throng_messages_received_total");
    let mut records = wire.seal(&Frame::new(TEXT, b"changed".to_vec()).bytes());
    records[9] ^= 1;
    wire.stream.write_all(&records).unwrap();
    wire.expect_alert(AlertDescription::BadRecordMac);
    server.await_metric("throng_tls_faults_total", 1);
    server.await_metric("throng_connections", 0);
    assert_eq!(server.metric("throng_messages_received_total"), before);
}

#[test]
fn a_record_that_never_ends_has_a_deadline_also_where_nobody_answers_heartbeats() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let server =
        start(&folder, &ca, &["--message-ms", "400", "--ping-interval-ms", "60000", "--linger-ms", "300"]);
    let mut stream = Wire::shake_hands(&server, &ca);
    let request = stream.seal(b"GET /connection/uni_sse?cf_connect={} HTTP/1.1\r\nHost: one.test\r\n\r\n");
    stream.stream.write_all(&request).unwrap();
    assert!(stream.hear().unwrap().starts_with(b"HTTP/1.1 200 "));
    let mut whole = stream.seal(&[b'x'; 5000]);
    whole.pop();
    stream.stream.write_all(&whole).unwrap();
    server.await_metric("throng_message_timeouts_total", 1);
    server.await_metric("throng_connections", 0);
    // One that ends in time, and the next one that has the same time again.
    let mut patient = Wire::open(&server, &ca);
    for _ in 0..3 {
        let records = patient.seal(&Frame::new(TEXT, b"in two parts".to_vec()).bytes());
        for part in records.chunks(records.len().div_ceil(2)) {
            patient.stream.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(150));
        }
        assert!(patient.hear().unwrap().ends_with(b"in two parts"));
    }
    assert_eq!(server.metric("throng_message_timeouts_total"), 1);
}

#[test]
fn a_flood_of_key_updates_is_one_too_many_and_a_few_are_none() {
    let (folder, ca) = (Folder::new(), Authority::new());
    let server = start(&folder, &ca, &[]);
    let mut wire = Wire::open(&server, &ca);
    let mut ask = |updates: usize| {
        (0..updates).for_each(|_| wire.tls.refresh_traffic_keys().unwrap());
        let records = wire.seal(&Frame::new(TEXT, b"still here".to_vec()).bytes());
        wire.stream.write_all(&records).unwrap();
    };
    ask(3);
    assert!(wire.hear().unwrap().ends_with(b"still here"));
    assert_eq!(server.metric("throng_tls_faults_total"), 0);
    let mut ask = |updates: usize| {
        (0..updates).for_each(|_| wire.tls.refresh_traffic_keys().unwrap());
        let records = wire.seal(b"");
        wire.stream.write_all(&records).unwrap();
    };
    ask(9);
    wire.expect_alert(AlertDescription::UnexpectedMessage);
    server.await_metric("throng_tls_faults_total", 1);
    server.await_metric("throng_connections", 0);
}

#[test]
fn certificates_are_renewed_again_and_again_while_clients_are_busy() {
    const CLIENTS: usize = 4;
    const RENEWALS: u64 = 12;
    let (folder, ca) = (Folder::new(), Authority::new());
    let server = start(&folder, &ca, &["--shards", "2"]);
    let client = trusting(&ca, None);
    let open = || Socket::open(&client, server.address, NAME, "/echo").unwrap();
    let is_over = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let busy: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut socket = open();
                scope.spawn(|| {
                    let mut count = 0u64;
                    while !is_over.load(Ordering::Relaxed) {
                        assert_eq!(socket.ask(&count.to_string()), count.to_string());
                        count += 1;
                        // Busy, but not so much that it takes the time of all other tests.
                        thread::sleep(Duration::from_millis(2));
                    }
                    (socket, count)
                })
            })
            .collect();
        let mut pair = ca.issue(&[NAME]);
        for renewal in 1..=RENEWALS {
            pair = ca.issue(&[NAME]);
            folder.pair("one", &pair);
            server.signal("HUP");
            until("they are read", || (server.metric("throng_tls_reloads_total") >= renewal).then_some(()));
            // New connections are served, too, with the old or the new certificate.
            assert_eq!(open().ask("new"), "new");
        }
        is_over.store(true, Ordering::Relaxed);
        let done: Vec<_> = busy.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(done.iter().all(|(_, count)| *count > RENEWALS), "they were busy");
        until("the last certificate", || {
            let fresh = Socket::open(&trusting(&ca, None), server.address, NAME, "/echo").unwrap();
            (fresh.certificate() == first(&pair)).then_some(())
        });
        // No connection was dropped.
        assert!(server.metric("throng_connections") >= CLIENTS as u64);
        done.len()
    });
    assert_eq!(last, CLIENTS);
    assert_eq!(server.metric("throng_tls_faults_total"), 0);
}
