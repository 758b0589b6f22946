//! Keys that two ends agreed on, and records sealed with them by hand: what a peer may say that no link of ours says.
//!
//! Every cipher's keys come from a handshake, once per process: rustls takes none of 16 bytes from outside. What a
//! target finds does not depend on which they are.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ring::{aead, hkdf};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, ExtractedSecrets, KeyLog,
    RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
};

const SUITES: [SupportedCipherSuite; 6] = [
    provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
    provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
    provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
];

/// The result of a handshake.
pub(crate) struct Agreed {
    pub(crate) client: ExtractedSecrets,
    pub(crate) server: ExtractedSecrets,
    /// Of TLS 1.3: what the next keys follow from, the client's and the server's.
    pub(crate) secrets: Option<[Vec<u8>; 2]>,
}

impl Agreed {
    /// That of the suite with this number, whatever it is.
    pub(crate) fn of(number: u8) -> &'static Self {
        static ALL: [OnceLock<Agreed>; SUITES.len()] = [const { OnceLock::new() }; SUITES.len()];
        let number = usize::from(number) % SUITES.len();
        ALL[number].get_or_init(|| Self::new(SUITES[number]))
    }

    pub(crate) fn client_and_server(&self) -> Option<(&[u8], &[u8])> {
        self.secrets.as_ref().map(|[client, server]| (&client[..], &server[..]))
    }

    fn new(suite: SupportedCipherSuite) -> Self {
        let (server, certificate) = server();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let crypto = CryptoProvider { cipher_suites: vec![suite], ..provider::default_provider() };
        let mut client = ClientConfig::builder_with_provider(Arc::new(crypto))
            .with_protocol_versions(&[suite.version()])
            .expect("a version of the suite's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let catch = Arc::new(Catch::default());
        client.key_log = Arc::clone(&catch) as Arc<_>;
        client.enable_secret_extraction = true;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut ends = [
            Connection::from(ClientConnection::new(Arc::new(client), name).expect("a client")),
            Connection::from(ServerConnection::new(Arc::new(server)).expect("a server")),
        ];
        while ends.iter().any(|end| end.wants_write()) {
            let [from, to] = &mut ends;
            tell(from, to);
            ends.reverse();
        }
        let [one, other] = ends.map(|end| (matches!(end, Connection::Client(_)), extract(end)));
        let (client, server) = if one.0 { (one.1, other.1) } else { (other.1, one.1) };
        let caught = std::mem::take(&mut *catch.0.lock().unwrap_or_else(PoisonError::into_inner));
        let secrets = caught.iter().all(|secret| !secret.is_empty()).then_some(caught);
        Self { client, server, secrets }
    }
}

fn extract(end: Connection) -> ExtractedSecrets {
    end.dangerous_extract_secrets().expect("a handshake that is over")
}

fn tell(from: &mut Connection, to: &mut Connection) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).expect("room");
    }
    let mut wire = &wire[..];
    while !wire.is_empty() {
        to.read_tls(&mut wire).expect("room");
        to.process_new_packets().expect("what rustls said itself");
    }
}

/// A server of its own for `localhost`, without tickets, and its certificate. Its signatures are all of one length.
pub(crate) fn server() -> (ServerConfig, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("random numbers");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that there are")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a key and its certificate");
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    (config, certificate)
}

#[derive(Debug, Default)]
struct Catch(Mutex<[Vec<u8>; 2]>);

impl KeyLog for Catch {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let place = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"].iter().position(|of| *of == label);
        if let Some(place) = place {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = secret.to_vec();
        }
    }
}

/// The client's direction.
pub(crate) struct Sealer {
    algorithm: &'static aead::Algorithm,
    hash: hkdf::Algorithm,
    key: Vec<u8>,
    iv: [u8; 12],
    sequence: u64,
    secret: Option<Vec<u8>>,
}

impl Sealer {
    pub(crate) fn new(agreed: &Agreed) -> Self {
        let (sequence, keys) = &agreed.client.tx;
        let (algorithm, hash, key, iv) = match keys {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                (&aead::AES_128_GCM, hkdf::HKDF_SHA256, key, iv)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                (&aead::AES_256_GCM, hkdf::HKDF_SHA384, key, iv)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256, key, iv)
            }
            _ => unreachable!("no suite has others"),
        };
        let iv = iv.as_ref().try_into().expect("12 bytes");
        let secret = agreed.secrets.as_ref().map(|[client, _]| client.clone());
        Self { algorithm, hash, key: key.as_ref().to_vec(), iv, sequence: *sequence, secret }
    }

    pub(crate) fn is_tls13(&self) -> bool {
        self.secret.is_some()
    }

    /// Appends a record of any kind: in TLS 1.3 hidden, and padded; in TLS 1.2 in its header (RFC 8446, section 5.2; RFC
    /// 5246, section 6.2.3.3).
    pub(crate) fn seal(&mut self, kind: u8, body: &[u8], padding: usize, out: &mut Vec<u8>) {
        let mut plain = body.to_vec();
        let (outer, explicit) = if self.is_tls13() {
            plain.push(kind);
            plain.resize(plain.len() + padding, 0);
            (23, 0)
        } else {
            (kind, if self.algorithm == &aead::CHACHA20_POLY1305 { 0 } else { 8 })
        };
        let [_, _, _, _, _, _, high, low] = (plain.len() as u64).to_be_bytes();
        let [.., on_wire_high, on_wire_low] = ((explicit + plain.len() + 16) as u64).to_be_bytes();
        let header = [outer, 3, 3, on_wire_high, on_wire_low];
        let sequence = self.sequence.to_be_bytes();
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(sequence).for_each(|(byte, part)| *byte ^= part);
        out.extend(header);
        out.extend(&nonce[4..4 + explicit]);
        let aad = match self.is_tls13() {
            true => header.to_vec(),
            false => [&sequence[..], &[kind, 3, 3, high, low]].concat(),
        };
        let key = aead::UnboundKey::new(self.algorithm, &self.key).expect("a key of its length");
        aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(aad),
                &mut plain,
            )
            .expect("a short record");
        out.extend(plain);
        self.sequence += 1;
    }

    /// The next keys (RFC 8446, section 7.2).
    pub(crate) fn update(&mut self) {
        let Some(secret) = &mut self.secret else { return };
        *secret = expand(self.hash, secret, b"tls13 traffic upd", secret.len());
        self.key = expand(self.hash, secret, b"tls13 key", self.key.len());
        self.iv = expand(self.hash, secret, b"tls13 iv", 12).try_into().expect("12 bytes");
        self.sequence = 0;
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label (RFC 8446, section 7.1).
fn expand(hash: hkdf::Algorithm, secret: &[u8], label: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let lengths = [length, label.len()].map(|length| u8::try_from(length).expect("a short one"));
    let info: [&[u8]; 3] = [&[0, lengths[0], lengths[1]], label, &[0]];
    hkdf::Prk::new_less_safe(hash, secret)
        .expand(&info, Length(length))
        .and_then(|okm| okm.fill(&mut out))
        .expect("a length that there is");
    out
}
