//! Links against rustls' own clients, and against each other where a test needs keys that no handshake would produce.

use std::io::{Read, Write};

use proptest::prelude::*;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ExtractedSecrets,
    RootCertStore, SupportedCipherSuite,
};

use super::*;

mod alerts;

struct Authority {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn authority() -> Authority {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Authority {
        certificate: made.cert.der().clone(),
        key: PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
    }
}

fn acceptor(authority: &Authority) -> Acceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![authority.certificate.clone()], authority.key.clone_key())
        .unwrap();
    Acceptor::new(&config)
}

fn client_config(authority: &Authority, suites: Vec<SupportedCipherSuite>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).unwrap();
    let versions = [suites[0].version()];
    let crypto = CryptoProvider { cipher_suites: suites, ..provider::default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(crypto))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A client of rustls, and its received plaintext.
struct Client {
    tls: ClientConnection,
    heard: Vec<u8>,
}

fn client(config: &Arc<ClientConfig>) -> Client {
    let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
    Client { tls, heard: Vec::new() }
}

fn hot(schedules: &mut Schedules) -> Hot<'_> {
    Hot { schedules, id: 7 }
}

/// A link with its input and output.
struct Server {
    link: Link,
    schedules: Schedules,
    /// Received plaintext.
    heard: Vec<u8>,
    /// Output to send.
    wire: Vec<u8>,
    opened: Option<Opened>,
    is_end: bool,
}

impl Server {
    fn new(acceptor: &Acceptor) -> Self {
        Self {
            link: acceptor.accept(),
            schedules: Schedules::default(),
            heard: Vec::new(),
            wire: Vec::new(),
            opened: None,
            is_end: false,
        }
    }

    /// Receives as a shard does: kept bytes first, then new ones.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut input = vec![0; self.link.held_bytes() + bytes.len()];
        let held = self.link.unhold(&mut input);
        input[held..].copy_from_slice(bytes);
        let received = self.link.receive(hot(&mut self.schedules), &mut input, &mut self.wire)?;
        self.link.hold(&input[received.consumed..]);
        self.heard.extend_from_slice(&input[received.plain]);
        self.opened = received.opened.or(self.opened.take());
        self.is_end |= received.is_end;
        Ok(())
    }

    fn say(&mut self, bytes: &[u8]) {
        self.link.seal(hot(&mut self.schedules), bytes.chunks(7000), &mut self.wire).unwrap();
    }
}

/// Exchanges data until neither side has more. Bytes to the server come in pieces of `piece` bytes.
fn converse(client: &mut Client, server: &mut Server, piece: usize) -> Result<(), Fault> {
    loop {
        let mut sent = Vec::new();
        while client.tls.wants_write() {
            client.tls.write_tls(&mut sent).unwrap();
        }
        for part in sent.chunks(piece) {
            server.take(part)?;
        }
        let mut wire = &std::mem::take(&mut server.wire)[..];
        if sent.is_empty() && wire.is_empty() {
            return Ok(());
        }
        while !wire.is_empty() {
            client.tls.read_tls(&mut wire).unwrap();
            let news = client.tls.process_new_packets().unwrap();
            let from = client.heard.len();
            client.heard.resize(from + news.plaintext_bytes_to_read(), 0);
            client.tls.reader().read_exact(&mut client.heard[from..]).unwrap();
        }
    }
}

fn hear(client: &mut Client) -> Vec<u8> {
    std::mem::take(&mut client.heard)
}

fn suites() -> Vec<SupportedCipherSuite> {
    provider::ALL_CIPHER_SUITES
        .iter()
        .filter(|suite| {
            let name = format!("{:?}", suite.suite());
            name.starts_with("TLS13") || name.contains("ECDSA")
        })
        .copied()
        .collect()
}

#[test]
fn every_suite_carries_bytes_both_ways_however_they_are_cut() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    assert_eq!(suites().len(), 6);
    for suite in suites() {
        let config = client_config(&authority, vec![suite]);
        for piece in [1, 3, 1000, usize::MAX >> 1] {
            let (mut client, mut server) = (client(&config), Server::new(&acceptor));
            converse(&mut client, &mut server, piece).unwrap();
            assert!(server.link.is_open() && server.opened.is_some(), "{suite:?} {piece}");
            let text: Vec<u8> = (0..40_000u32).map(|n| n.to_le_bytes()[0]).collect();
            client.tls.writer().write_all(&text).unwrap();
            server.say(b"hello");
            converse(&mut client, &mut server, piece).unwrap();
            assert_eq!((server.heard.len(), server.heard == text), (text.len(), true), "{suite:?} {piece}");
            server.say(&text);
            converse(&mut client, &mut server, piece).unwrap();
            assert!(hear(&mut client) == [&b"hello"[..], &text].concat(), "{suite:?} {piece}");
            assert_eq!(server.link.held_bytes(), 0, "an idle link holds nothing");
        }
    }
}

#[test]
fn data_behind_the_handshake_in_one_piece_is_delivered() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites() {
        let config = client_config(&authority, vec![suite]);
        let (mut client, mut server) = (client(&config), Server::new(&acceptor));
        client.tls.writer().write_all(b"early bird").unwrap();
        converse(&mut client, &mut server, usize::MAX >> 1).unwrap();
        assert_eq!(server.heard, b"early bird", "{suite:?}");
    }
}

#[test]
fn both_sides_may_change_keys_at_any_time() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites().into_iter().filter(|suite| suite.tls13().is_some()) {
        let config = client_config(&authority, vec![suite]);
        let (mut client, mut server) = (client(&config), Server::new(&acceptor));
        converse(&mut client, &mut server, 100).unwrap();
        for round in 0..20u8 {
            client.tls.refresh_traffic_keys().unwrap();
            client.tls.writer().write_all(&[round; 10]).unwrap();
            converse(&mut client, &mut server, 17).unwrap();
            server.say(&[round; 30]);
            converse(&mut client, &mut server, 17).unwrap();
            assert_eq!(hear(&mut client), [round; 30], "{suite:?}");
        }
        assert_eq!(server.heard.len(), 200);
    }
}

#[test]
fn goodbyes_are_said_and_heard() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites() {
        let config = client_config(&authority, vec![suite]);
        let (mut client, mut server) = (client(&config), Server::new(&acceptor));
        converse(&mut client, &mut server, 100).unwrap();
        server.say(b"last words");
        server.link.say_goodbye(hot(&mut server.schedules), &mut server.wire);
        assert_eq!(
            server.link.seal(hot(&mut server.schedules), [&b"more"[..]].into_iter(), &mut server.wire),
            Err(Fault::Closed)
        );
        server.link.say_goodbye(hot(&mut server.schedules), &mut server.wire);
        client.tls.writer().write_all(b"mine").unwrap();
        client.tls.send_close_notify();
        converse(&mut client, &mut server, 100).unwrap();
        assert_eq!(hear(&mut client), b"last words");
        assert_eq!(client.tls.reader().read(&mut [0; 9]).unwrap(), 0, "a clean end, {suite:?}");
        assert_eq!((&server.heard[..], server.is_end), (&b"mine"[..], true));
    }
}

#[test]
fn a_record_that_was_changed_delivers_nothing_and_is_told() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites() {
        let config = client_config(&authority, vec![suite]);
        // The version in a record's header is ignored, except for its first byte (RFC 8446, section 5.1).
        for at in (0..50).filter(|&at| at != 2) {
            let (mut client, mut server) = (client(&config), Server::new(&acceptor));
            converse(&mut client, &mut server, usize::MAX >> 1).unwrap();
            client.tls.writer().write_all(b"twenty-one bytes, yes").unwrap();
            let mut sent = Vec::new();
            client.tls.write_tls(&mut sent).unwrap();
            let Some(byte) = sent.get_mut(at) else { break };
            *byte ^= 0x40;
            let outcome = server.take(&sent);
            assert!(server.heard.is_empty(), "{suite:?} {at}");
            match outcome {
                // The link waits for a record longer than the sent one.
                Ok(()) => assert!((3..=4).contains(&at), "{suite:?} {at}"),
                Err(fault) => {
                    assert!(!server.link.is_open());
                    let mut wire = &server.wire[..];
                    client.tls.read_tls(&mut wire).unwrap();
                    let told = client.tls.process_new_packets().unwrap_err();
                    let expected = match &fault {
                        Fault::BadRecord => AlertDescription::BadRecordMac,
                        Fault::TooLong => AlertDescription::RecordOverflow,
                        Fault::Unexpected => AlertDescription::UnexpectedMessage,
                        Fault::Handshake(_)
                        | Fault::Illegal
                        | Fault::Alert(_)
                        | Fault::Worn
                        | Fault::Closed
                        | Fault::Broken => panic!("{fault:?}"),
                    };
                    assert_eq!(told, rustls::Error::AlertReceived(expected), "{suite:?} {at}");
                }
            }
        }
    }
}

#[test]
fn a_handshake_that_fails_behind_the_first_flight_is_told_so() {
    let authority = authority();
    let mut config = (*acceptor(&authority).0.config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = Acceptor::new(&config);
    for suite in suites() {
        let mut config = (*client_config(&authority, vec![suite])).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (mut client, mut server) = (client(&Arc::new(config)), Server::new(&acceptor));
        let mut sent = Vec::new();
        client.tls.write_tls(&mut sent).unwrap();
        assert!(matches!(server.take(&sent), Err(Fault::Handshake(_))));
        client.tls.read_tls(&mut &server.wire[..]).unwrap();
        let told = client.tls.process_new_packets().unwrap_err();
        let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(told, expected, "{suite:?}");
    }
}

#[test]
fn rubbish_behind_the_first_flight_is_told_in_a_record_that_the_client_can_read() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites() {
        let (mut client, mut server) =
            (client(&client_config(&authority, vec![suite])), Server::new(&acceptor));
        let mut sent = Vec::new();
        client.tls.write_tls(&mut sent).unwrap();
        server.take(&sent).unwrap();
        assert_eq!(server.take(b"GET / HTTP/1.1\r\n\r\n"), Err(Fault::Unexpected));
        let mut wire = &server.wire[..];
        let told = loop {
            client.tls.read_tls(&mut wire).unwrap();
            if let Err(told) = client.tls.process_new_packets() {
                break told;
            }
            assert!(!wire.is_empty(), "no alert is sent, {suite:?}");
        };
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{suite:?} {told:?}");
    }
}

#[test]
fn a_hello_that_is_too_long_is_told_so_and_not_kept() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    // A declared length above rustls' maximum.
    let mut server = Server::new(&acceptor);
    assert!(matches!(server.take(&[22, 3, 1, 0, 4, 1, 2, 0, 0]), Err(Fault::Handshake(_))));
    assert_eq!((server.wire[0], server.wire.len()), (21, 7));
    // The message comes in records of one byte each.
    let mut server = Server::new(&acceptor);
    let mut said = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0];
    let mut most = 0;
    let outcome = (0..20_000).try_for_each(|_| {
        said.extend([22, 3, 1, 0, 1, 0]);
        let outcome = if said.len() > 8000 { server.take(&std::mem::take(&mut said)) } else { Ok(()) };
        most = most.max(server.link.held_bytes());
        outcome
    });
    assert_eq!((outcome, &server.wire[..]), (Err(Fault::TooLong), &[21, 3, 3, 0, 2, 2, 22][..]));
    assert!((70_000..=82_000).contains(&most) && server.link.held_bytes() == 0, "{most}");
}

#[test]
fn a_second_connection_goes_on_from_the_first() {
    let authority = authority();
    let mut config = (*acceptor(&authority).0.config).clone();
    config.ticketer = provider::Ticketer::new().unwrap();
    let acceptor = Acceptor::new(&config);
    for suite in suites() {
        let config = client_config(&authority, vec![suite]);
        for (round, is_resumed) in [(0, false), (1, true)] {
            let (mut client, mut server) = (client(&config), Server::new(&acceptor));
            converse(&mut client, &mut server, 100).unwrap();
            client.tls.writer().write_all(b"again").unwrap();
            converse(&mut client, &mut server, 100).unwrap();
            assert_eq!(server.heard, b"again");
            assert_eq!(server.opened.unwrap().is_resumed, is_resumed, "{suite:?} {round}");
        }
    }
}

/// Two links with agreed keys, without a handshake.
fn linked() -> [(Link, Schedules); 2] {
    let secrets = |tx: u8, rx: u8| {
        let keys = |byte| {
            (
                0,
                ConnectionTrafficSecrets::Aes256Gcm {
                    key: AeadKey::from([byte; 32]),
                    iv: Iv::new([byte; 12]),
                },
            )
        };
        ExtractedSecrets { tx: keys(tx), rx: keys(rx) }
    };
    let (client, server) = ([1; 48], [2; 48]);
    let a = Link::of_client(&secrets(1, 2), Some((&client, &server))).unwrap();
    // The peer of a client is a client with swapped directions.
    let b = Link::of_client(&secrets(2, 1), Some((&server, &client))).unwrap();
    [(a, Schedules::default()), (b, Schedules::default())]
}

fn deliver(to: &mut (Link, Schedules), wire: &mut Vec<u8>) -> Result<Vec<u8>, Fault> {
    let mut answer = Vec::new();
    let received = to.0.receive(hot(&mut to.1), wire, &mut answer)?;
    assert_eq!((received.consumed, answer.len()), (wire.len(), 0));
    let plain = wire[received.plain].to_vec();
    wire.clear();
    Ok(plain)
}

#[test]
fn worn_keys_are_changed_before_they_wear_out() {
    let [mut a, mut b] = linked();
    a.0.wear();
    b.0.wear();
    let mut wire = Vec::new();
    for round in 0..100u8 {
        a.0.seal(hot(&mut a.1), [&[round; 5][..]].into_iter(), &mut wire).unwrap();
        assert_eq!(deliver(&mut b, &mut wire).unwrap(), [round; 5]);
    }
    assert!(!a.0.is_worn(), "the next keys are fresh");
}

#[test]
fn worn_keys_of_tls_1_2_have_room_for_last_words() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    for suite in suites() {
        if suite.tls13().is_some() {
            continue;
        }
        let config = client_config(&authority, vec![suite]);
        let (mut client, mut server) = (client(&config), Server::new(&acceptor));
        converse(&mut client, &mut server, 100).unwrap();
        let real = server.link.sequences();
        server.link.wear();
        let seal = |text: &[u8], server: &mut Server| {
            server.link.seal(hot(&mut server.schedules), [text].into_iter(), &mut server.wire)
        };
        while !server.link.is_worn() {
            seal(b"more", &mut server).unwrap();
        }
        assert_eq!(seal(b"too much", &mut server), Err(Fault::Worn), "{suite:?}");
        server.wire.clear();
        // The client's count, which the simulation did not change.
        server.link.set_sequences(real);
        assert_eq!(seal(b"last words", &mut server), Ok(()));
        server.link.say_goodbye(hot(&mut server.schedules), &mut server.wire);
        converse(&mut client, &mut server, 100).unwrap();
        assert_eq!(client.heard, b"last words", "{suite:?}");
    }
}

#[test]
fn a_flood_of_key_updates_is_one_too_many() {
    let [mut a, mut b] = linked();
    let mut wire = Vec::new();
    for _ in 0..9 {
        a.0.update_now(hot(&mut a.1), &mut wire);
    }
    assert_eq!(deliver(&mut b, &mut wire), Err(Fault::Unexpected));
}

#[test]
fn an_idle_link_is_small() {
    let bytes = size_of::<Link>();
    assert!(bytes <= 240, "{bytes}");
}

proptest! {
    /// Any messages, sealed in any batches, arrive unchanged, in pieces of any size.
    #[test]
    fn sealed_and_opened_is_the_same(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20_000), 1..6),
        cuts in proptest::collection::vec(1..9000usize, 1..20),
    ) {
        let [mut a, mut b] = linked();
        let mut wire = Vec::new();
        a.0.seal(hot(&mut a.1), messages.iter().map(|message| &message[..]), &mut wire).unwrap();
        let mut heard = Vec::new();
        let mut rest = &wire[..];
        for &cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            let mut input = vec![0; b.0.held_bytes() + now.len()];
            let held = b.0.unhold(&mut input);
            input[held..].copy_from_slice(now);
            let received = b.0.receive(hot(&mut b.1), &mut input, &mut Vec::new()).unwrap();
            b.0.hold(&input[received.consumed..]);
            heard.extend_from_slice(&input[received.plain]);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(heard, messages.concat());
    }

    /// No bytes make a link panic, before, in or after the handshake.
    #[test]
    fn rubbish_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300usize) {
        let [mut a, _] = linked();
        a.0.receive(hot(&mut a.1), &mut bytes.clone(), &mut Vec::new()).ok();
        let (front, back) = bytes.split_at(cut.min(bytes.len()));
        let acceptor = acceptor(&authority());
        let mut server = Server::new(&acceptor);
        if server.take(front).is_ok() {
            server.take(back).ok();
        }
        prop_assert!(server.heard.is_empty());
    }
}
