//! For any end of a link that a peer can cause, the peer receives an alert that it can read (RFC 8446 §6.2),
//! including behind the server's flight, where output must be sealed.

use std::sync::Mutex;

use rustls::KeyLog;

use super::super::keys::{Keys, Secret};
use super::super::record::ContentType;
use super::*;

/// The client's handshake secret in TLS 1.3.
#[derive(Debug, Default)]
struct Catch(Mutex<Vec<u8>>);

impl KeyLog for Catch {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == "CLIENT_HANDSHAKE_TRAFFIC_SECRET" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

/// A client that has received the server's first flight and does not continue, the server, and the client's keys in
/// TLS 1.3.
fn behind_the_flight(suite: SupportedCipherSuite) -> (Client, Server, Option<Keys>) {
    let authority = authority();
    let acceptor = acceptor(&authority);
    let mut config = (*client_config(&authority, vec![suite])).clone();
    let catch = Arc::new(Catch::default());
    config.key_log = Arc::clone(&catch) as Arc<_>;
    let (mut client, mut server) = (client(&Arc::new(config)), Server::new(&acceptor));
    let mut sent = Vec::new();
    client.tls.write_tls(&mut sent).unwrap();
    server.take(&sent).unwrap();
    assert_eq!(tell(&mut client, &mut server), None);
    let secret = catch.0.lock().unwrap().clone();
    let keys = suite.tls13().map(|_| Keys::of_secret(suite.suite(), Secret::new(&secret).unwrap()).unwrap());
    (client, server, keys)
}

/// Passes the server's output to the client: returns the alert, if there is one.
fn tell(client: &mut Client, server: &mut Server) -> Option<AlertDescription> {
    let mut wire = &std::mem::take(&mut server.wire)[..];
    while !wire.is_empty() {
        client.tls.read_tls(&mut wire).unwrap();
        match client.tls.process_new_packets() {
            Ok(_) => {}
            Err(rustls::Error::AlertReceived(alert)) => return Some(alert),
            Err(error) => panic!("the client cannot read it: {error}"),
        }
    }
    None
}

/// A piece of a handshake in the form that the client would send.
fn piece(keys: &mut Option<Keys>, body: &[u8], wire: &mut Vec<u8>) {
    let Some(keys) = keys else {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        return wire.extend([&[22, 3, 3, high, low], body].concat());
    };
    let schedule = keys.schedule().unwrap();
    keys.seal(ContentType::Handshake, &schedule, [body].into_iter(), wire).unwrap();
}

#[test]
fn who_does_not_speak_tls_is_told_so() {
    let authority = authority();
    let acceptor = acceptor(&authority);
    let mut server = Server::new(&acceptor);
    assert_eq!(server.take(b"GET / HTTP/1.1\r\n\r\n"), Err(Fault::Unexpected));
    assert_eq!(server.wire, [21, 3, 3, 0, 2, 2, 10]);
    let mut server = Server::new(&acceptor);
    // An invalid client hello: rustls detects it and sends the alert.
    assert!(matches!(server.take(&[22, 3, 1, 0, 4, 1, 0, 0, 0]), Err(Fault::Handshake(_))));
    assert_eq!(server.wire[0], 21);
    assert!(server.take(b"anything").is_ok() && server.heard.is_empty(), "a link that is over stays over");
}

#[test]
fn a_message_without_end_behind_the_flight_is_told() {
    for suite in suites() {
        // A declared length of 128 KiB.
        let (mut client, mut server, mut keys) = behind_the_flight(suite);
        let mut wire = Vec::new();
        piece(&mut keys, &[&[11, 2, 0, 0][..], &[0; 9000]].concat(), &mut wire);
        assert!(matches!(server.take(&wire), Err(Fault::Handshake(_))), "{suite:?}");
        assert_eq!(tell(&mut client, &mut server), Some(AlertDescription::DecodeError), "{suite:?}");
        // Records of one byte each, which exceed the maximum together.
        let (mut client, mut server, mut keys) = behind_the_flight(suite);
        let mut wire = Vec::new();
        piece(&mut keys, &[11, 0, 0xff, 0], &mut wire);
        while wire.len() < 100 << 10 {
            piece(&mut keys, &[0], &mut wire);
        }
        let outcome = wire.chunks(8000).try_for_each(|part| server.take(part));
        assert_eq!((outcome, server.link.held_bytes()), (Err(Fault::TooLong), 0), "{suite:?}");
        let wanted = if suite.tls13().is_some() {
            AlertDescription::RecordOverflow
        } else {
            // The alert of rustls for unreadable input.
            AlertDescription::DecodeError
        };
        assert_eq!(tell(&mut client, &mut server), Some(wanted), "{suite:?}");
    }
}

#[test]
fn a_record_that_does_not_say_what_it_is_is_told() {
    for suite in suites().into_iter().filter(|suite| suite.tls13().is_some()) {
        for count in [1, 100] {
            let (mut client, mut server, mut keys) = behind_the_flight(suite);
            let mut wire = Vec::new();
            keys.as_mut().unwrap().seal_zeros(count, &mut wire);
            assert!(matches!(server.take(&wire), Err(Fault::Handshake(_))), "{suite:?}");
            assert_eq!(
                tell(&mut client, &mut server),
                Some(AlertDescription::UnexpectedMessage),
                "{suite:?}"
            );
        }
    }
    // The same after the handshake.
    let [mut a, mut b] = linked();
    let mut wire = Vec::new();
    a.0.say_zeros(3, &mut wire);
    let mut told = Vec::new();
    assert_eq!(b.0.receive(hot(&mut b.1), &mut wire, &mut told).err(), Some(Fault::Unexpected));
    let outcome = a.0.receive(hot(&mut a.1), &mut told, &mut Vec::new());
    assert_eq!(outcome.err(), Some(Fault::Alert(10)));
}

#[test]
fn other_faults_behind_the_flight_for_which_rustls_has_no_alert_are_told() {
    for suite in suites() {
        // Another record within a message, and endless empty ones.
        let (mut client, mut server, mut keys) = behind_the_flight(suite);
        let mut wire = Vec::new();
        piece(&mut keys, &[11, 0, 1, 0], &mut wire);
        match &mut keys {
            Some(keys) => {
                let schedule = keys.schedule().unwrap();
                keys.seal(ContentType::Alert, &schedule, [&[1, 90][..]].into_iter(), &mut wire).unwrap();
            }
            None => wire.extend([21, 3, 3, 0, 2, 1, 90]),
        }
        assert!(server.take(&wire).is_err(), "{suite:?}");
        assert!(tell(&mut client, &mut server).is_some(), "{suite:?}");
        if suite.tls13().is_none() {
            let (mut client, mut server, mut keys) = behind_the_flight(suite);
            let mut wire = Vec::new();
            (0..64).for_each(|_| piece(&mut keys, &[], &mut wire));
            assert!(server.take(&wire).is_err(), "{suite:?}");
            assert!(tell(&mut client, &mut server).is_some(), "{suite:?}");
        }
    }
}

#[test]
fn who_gave_up_itself_is_told_nothing() {
    for suite in suites() {
        let (_, mut server, _) = behind_the_flight(suite);
        assert!(server.take(&[21, 3, 3, 0, 2, 2, 80]).is_err(), "{suite:?}");
        assert!(server.wire.is_empty(), "{suite:?}");
    }
}

#[test]
fn a_key_update_may_lie_in_two_records() {
    for cut in 1..5 {
        let [mut a, mut b] = linked();
        let mut wire = Vec::new();
        a.0.update_in_pieces(hot(&mut a.1), cut, &mut wire);
        a.0.seal(hot(&mut a.1), [&b"on"[..]].into_iter(), &mut wire).unwrap();
        // Each record in a call of its own, so that only the link keeps state.
        let mut answer = Vec::new();
        let mut heard: Vec<u8> = Vec::new();
        while !wire.is_empty() {
            let bytes = 5 + usize::from(u16::from_be_bytes([wire[3], wire[4]]));
            let mut record: Vec<u8> = wire.drain(..bytes).collect();
            let received = b.0.receive(hot(&mut b.1), &mut record, &mut answer).unwrap();
            heard.extend(&record[received.plain]);
        }
        assert_eq!(heard, b"on", "{cut}");
        assert!(!answer.is_empty(), "it requested the other side's next keys");
        b.0.seal(hot(&mut b.1), [&b"and on"[..]].into_iter(), &mut answer).unwrap();
        let received = a.0.receive(hot(&mut a.1), &mut answer, &mut Vec::new()).unwrap();
        assert_eq!(&answer[received.plain], b"and on", "{cut}");
    }
}
