//! A directed story: over TLS, through a narrow pipe that accepts less than offered, every byte arrives once.
//!
//! Sealed bytes must be written unchanged, from where the last write stopped: the client cannot open a record that is
//! repeated, omitted, or overtaken by another.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, BINARY, TEXT};
use crate::world::LinkId;

/// The setup of handshakes, and its certificate for `localhost`.
pub(crate) fn server_config() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.der().clone())
}

/// A client over TLS, or without it.
pub(crate) struct Speaker {
    pub(crate) link: LinkId,
    tls: Option<ClientConnection>,
    plain: Vec<u8>,
    pub(crate) heard: Vec<u8>,
}

fn handshake(certificate: &CertificateDer<'static>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

impl Speaker {
    /// A client that trusts this certificate; `None`: without TLS.
    pub(crate) fn new(small: &Small, certificate: Option<&CertificateDer<'static>>) -> Self {
        let link = small.world.borrow_mut().connect().unwrap();
        Self { link, tls: certificate.map(handshake), plain: Vec::new(), heard: Vec::new() }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => std::io::Write::write_all(&mut tls.writer(), bytes).unwrap(),
            None => self.plain.extend_from_slice(bytes),
        }
    }

    /// Sends pending output, lets the shard turn, and takes some of its output.
    pub(crate) fn exchange(&mut self, small: &mut Small, bytes_max: usize) {
        let mut sealed = std::mem::take(&mut self.plain);
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut sealed).unwrap();
        }
        small.send(self.link, &sealed);
        small.turn(0);
        let mut arrived = Vec::new();
        small.receive(self.link, bytes_max, &mut arrived);
        let Some(tls) = &mut self.tls else { return self.heard.append(&mut arrived) };
        let mut rest = &arrived[..];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            tls.process_new_packets().expect("each record once, and in its order");
            let end = tls.reader().read_to_end(&mut self.heard);
            assert_eq!(
                end.unwrap_err().kind(),
                ErrorKind::WouldBlock,
                "it has all, and that was not the end"
            );
        }
    }
}

#[test]
fn over_tls_what_found_no_room_goes_on_where_it_stopped() {
    let (config, certificate) = server_config();
    let mut small = Small::over(Some(config), 1, 3000, 1 << 20);
    let mut rng = Rng::new(7);
    let mut speakers = [Speaker::new(&small, Some(&certificate)), Speaker::new(&small, Some(&certificate))];
    for (speaker, path) in speakers.iter_mut().zip(["/echo", "/room"]) {
        speaker.say(&wire::upgrade(path));
        for _ in 0..20 {
            speaker.exchange(&mut small, usize::MAX);
        }
        assert_eq!(wire::take_response(&mut speaker.heard), Some(101));
    }
    // One client gets echoes; the other publications, which wait as one copy for all.
    let mut join = Vec::new();
    wire::put_frame(&mut join, true, TEXT, b"join r", &mut rng);
    speakers[1].say(&join);
    let mut said: [Vec<(u8, Vec<u8>)>; 2] = [Vec::new(), vec![(TEXT, b"joined r".to_vec())]];
    for _ in 0..40 {
        let length = rng.size(0..=9000);
        let (mut echo, mut room) = (Vec::new(), Vec::new());
        let data = rng.bytes(length);
        wire::put_frame(&mut echo, true, BINARY, &data, &mut rng);
        said[0].push((BINARY, data));
        let data = "x".repeat(length);
        wire::put_frame(&mut room, true, TEXT, format!("say r {data}").as_bytes(), &mut rng);
        said[1].extend([(TEXT, b"said r".to_vec()), (TEXT, data.into_bytes())]);
        speakers[0].say(&echo);
        speakers[1].say(&room);
        for speaker in &mut speakers {
            speaker.exchange(&mut small, rng.size(1..=3000));
        }
    }
    for (speaker, mut said) in speakers.iter_mut().zip(said) {
        for _ in 0..2000 {
            speaker.exchange(&mut small, 3000);
        }
        let mut heard: Vec<(u8, Vec<u8>)> = Vec::new();
        while let Some(frame) = wire::take_frame(&mut speaker.heard) {
            heard.push((frame.opcode, frame.payload));
        }
        // "said" is answered at once, the message comes with the room's next batch.
        let is_data = |(_, data): &(u8, Vec<u8>)| data != b"said r";
        heard.retain(is_data);
        said.retain(is_data);
        assert!(heard == said, "{} of {} messages", heard.len(), said.len());
        assert!(speaker.heard.is_empty());
    }
    assert!(small.counters[0].outboxes.value() == 0 && small.counters[0].connections.value() == 2);
}

#[test]
fn over_tls_who_is_gone_before_its_answer_holds_nothing() {
    let (config, certificate) = server_config();
    let mut small = Small::over(Some(config), 1, 3000, 1 << 20);
    let mut begun = 0;
    for _ in 0..9 {
        let mut speaker = Speaker::new(&small, Some(&certificate));
        speaker.exchange(&mut small, usize::MAX);
        let tls = speaker.tls.as_mut().unwrap();
        assert!(!tls.is_handshaking());
        // The end of the handshake, which is answered with tickets, and the beginning of a record.
        let mut sealed = Vec::new();
        tls.write_tls(&mut sealed).unwrap();
        sealed.extend([23, 3, 3, 0, 100, 1, 2, 3]);
        small.send(speaker.link, &sealed);
        small.world.borrow_mut().reset(speaker.link);
        begun += usize::from(!small.world.borrow().links[speaker.link].inbox.is_empty());
        small.turn(0);
        assert!(small.world.borrow().links[speaker.link].is_dropped);
    }
    assert!((1..9).contains(&begun), "what had arrived is there in some cases, {begun}");
    assert_eq!(small.budget.used(), 0);
}
