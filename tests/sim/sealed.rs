//! TLS in a run: the shards' setup of handshakes, and the clients' ends, drawn from the seed.
//!
//! A client's end is that of rustls, which accepts no record that is repeated, omitted, modified, or overtaken by
//! another, so any fault on the wire ends the run. No length on the wire depends on random bytes: signatures are
//! Ed25519, and there is one certificate. So a run over TLS follows from its seed as any other, except for the bytes
//! themselves.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, ProtocolVersion, RootCertStore};
use rustls::{ServerConfig, SupportedProtocolVersion};
use throng::parts::tls::{Pem, PemPair, Terms, ticketer};

use crate::rng::Rng;
use crate::world::{LinkId, Received, World, fingerprint};

/// Updates of its keys by one client: a server takes no more of them at once.
const KEY_CHANGES_MAX: u32 = 8;

/// The parameters of TLS in a run.
#[derive(Clone, Debug)]
pub(crate) struct TlsPlan {
    /// Bytes of a client's record.
    record_bytes_max: Option<usize>,
    /// Clients that come back with tickets.
    resumes: bool,
    /// Per mille: a client updates its keys before it sends.
    key_changes: u64,
    /// Percent: a client sends close_notify before the end of its output.
    pub(crate) goodbyes: u64,
    /// Percent: a client's output is modified in transit, once.
    pub(crate) changed: u64,
}

impl TlsPlan {
    /// For some of the seeds.
    pub(crate) fn new(seed: u64) -> Option<Self> {
        let rng = &mut Rng::new(seed ^ 0x0074_6c73_5f74_6c73);
        rng.chance(30).then(|| Self {
            record_bytes_max: rng.pick(&[None, None, Some(1000), Some(64)]),
            resumes: rng.chance(70),
            key_changes: rng.pick(&[0, 5, 50]),
            goodbyes: rng.pick(&[0, 50, 100]),
            changed: rng.pick(&[0, 5, 20]),
        })
    }
}

/// The process's one certificate, for `localhost`, and its key.
fn pems() -> &'static (String, String) {
    static PEMS: OnceLock<(String, String)> = OnceLock::new();
    PEMS.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        // A random one may be a byte shorter.
        params.serial_number = Some(1.into());
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    })
}

/// The setup of a run's handshakes.
#[derive(Debug)]
pub(crate) struct TlsSetup {
    plan: TlsPlan,
    pub(crate) server: Arc<ServerConfig>,
    /// One for each cipher of each version: a client speaks one of them.
    clients: Vec<Arc<ClientConfig>>,
}

impl TlsSetup {
    pub(crate) fn new(plan: &TlsPlan) -> Self {
        let (chain, key) = pems();
        let pem = |name, text: &'static str| Pem { name, bytes: text.as_bytes() };
        let terms = Terms {
            pairs: &[PemPair { chain: pem("chain", chain), key: pem("key", key) }],
            client_cas: &[],
            requires_client: false,
            takes_tls12: true,
            ticketer: ticketer(3600).unwrap(),
            now_s: 1_700_000_000,
        };
        let mut clients = Vec::new();
        for version in [&TLS13, &TLS12] {
            let suites = ring::DEFAULT_CIPHER_SUITES.iter().filter(|suite| suite.version() == version);
            // The server has no certificate for the suites of other kinds.
            let suites = suites.filter(|suite| !format!("{:?}", suite.suite()).contains("RSA"));
            clients.extend(suites.map(|&suite| {
                let provider = CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() };
                client(plan, provider, version)
            }));
        }
        Self { plan: plan.clone(), server: terms.serve().unwrap().config, clients }
    }

    /// A client's end.
    pub(crate) fn pipe(&self, rng: &mut Rng) -> Pipe {
        let mut rng = rng.fork();
        // Of the newer version three times as often.
        let mut number = rng.size(0..=self.clients.len() - 1);
        if number >= self.clients.len() / 2 && rng.chance(50) {
            number -= self.clients.len() / 2;
        }
        let config = Arc::clone(&self.clients[number]);
        Pipe::Tls(Box::new(Tls {
            rustls: ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap(),
            key_changes: self.plan.key_changes,
            key_change_count: 0,
            rng,
            records: Vec::new(),
            sent: 0,
            arrived: Vec::new(),
            is_next_changed: false,
            was_changed: false,
            alert: None,
            said_goodbye: false,
            heard_goodbye: false,
        }))
    }
}

fn client(
    plan: &TlsPlan,
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pems().0.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_fragment_size = plan.record_bytes_max;
    if !plan.resumes {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}

/// The layer between a client and its link.
#[derive(Debug)]
pub(crate) enum Pipe {
    Plain,
    Tls(Box<Tls>),
}

impl Pipe {
    /// Sends as many bytes as there is room for; returns the number of bytes accepted, and whether anything moved.
    pub(crate) fn send(&mut self, world: &mut World, link: LinkId, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Plain => {
                let count = world.send(link, bytes);
                (count, count > 0)
            }
            Self::Tls(tls) => tls.send(world, link, bytes),
        }
    }

    /// Whether nothing waits here to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(tls) => tls.is_idle(),
        }
    }

    pub(crate) fn receive(
        &mut self,
        world: &mut World,
        link: LinkId,
        bytes_max: usize,
        into: &mut Vec<u8>,
    ) -> Received {
        match self {
            Self::Plain => world.receive(link, bytes_max, into),
            Self::Tls(tls) => tls.receive(world, link, bytes_max, into),
        }
    }

    /// Sends the last message: close_notify, if the layer has one.
    pub(crate) fn say_goodbye(&mut self) {
        if let Self::Tls(tls) = self {
            tls.rustls.send_close_notify();
            tls.said_goodbye = true;
        }
    }

    /// Whether the server sent close_notify, where it can.
    pub(crate) fn heard_goodbye(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(tls) => tls.heard_goodbye,
        }
    }

    /// Whether the client sent close_notify, and has received none.
    pub(crate) fn awaits_goodbye(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.said_goodbye && !tls.heard_goodbye)
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Modifies the next output in transit.
    pub(crate) fn change_next(&mut self) {
        if let Self::Tls(tls) = self {
            tls.is_next_changed = true;
        }
    }

    /// Whether output was modified in transit, and the server sent the alert for it.
    pub(crate) fn is_change_told(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.was_changed && tls.alert == Some(AlertDescription::BadRecordMac))
    }

    pub(crate) fn key_change_count(&self) -> u64 {
        if let Self::Tls(tls) = self { u64::from(tls.key_change_count) } else { 0 }
    }
}

/// A client's end of TLS, and the bytes that wait in both directions.
#[derive(Debug)]
pub(crate) struct Tls {
    rustls: ClientConnection,
    /// Per mille.
    key_changes: u64,
    key_change_count: u32,
    rng: Rng,
    /// Sealed, and how much of it is sent.
    records: Vec<u8>,
    sent: usize,
    arrived: Vec<u8>,
    is_next_changed: bool,
    was_changed: bool,
    alert: Option<AlertDescription>,
    said_goodbye: bool,
    heard_goodbye: bool,
}

impl Tls {
    fn is_idle(&self) -> bool {
        self.alert.is_some() || self.sent == self.records.len() && !self.rustls.wants_write()
    }

    /// Seals at most the bytes sent at once and one batch behind them: the rest waits where it can be counted.
    fn send(&mut self, world: &mut World, link: LinkId, plain: &[u8]) -> (usize, bool) {
        if self.alert.is_some() {
            // The server does not read any more.
            return (plain.len(), false);
        }
        let mut taken = 0;
        if self.sent == self.records.len() {
            self.records.clear();
            self.sent = 0;
            if !self.rustls.is_handshaking() && !plain.is_empty() {
                self.change_keys();
                taken = self.rustls.writer().write(plain).unwrap();
            }
            while self.rustls.wants_write() {
                self.rustls.write_tls(&mut self.records).unwrap();
            }
            if taken > 0 && std::mem::take(&mut self.is_next_changed) {
                // The end of a record's body, for any cipher.
                *self.records.last_mut().unwrap() ^= 1;
                self.was_changed = true;
            }
        }
        let count = world.send(link, &self.records[self.sent..]);
        self.sent += count;
        (taken, taken + count > 0)
    }

    fn change_keys(&mut self) {
        if self.rng.next() % 1000 < self.key_changes
            && self.key_change_count < KEY_CHANGES_MAX
            && self.rustls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        {
            self.rustls.refresh_traffic_keys().unwrap();
            self.key_change_count += 1;
        }
    }

    fn receive(&mut self, world: &mut World, link: LinkId, bytes_max: usize, into: &mut Vec<u8>) -> Received {
        let received = world.receive(link, bytes_max, &mut self.arrived);
        if matches!(received, Received::Bytes(_)) {
            let before = into.len();
            self.open(into);
            world.note("hear", link, fingerprint(&into[before..]));
        }
        received
    }

    fn open(&mut self, into: &mut Vec<u8>) {
        let arrived = std::mem::take(&mut self.arrived);
        let mut rest = &arrived[..];
        while !rest.is_empty() {
            assert!(!self.heard_goodbye && self.alert.is_none(), "{} bytes behind the last", rest.len());
            self.rustls.read_tls(&mut rest).unwrap();
            match self.rustls.process_new_packets() {
                Ok(state) => self.heard_goodbye = state.peer_has_closed(),
                Err(Error::AlertReceived(alert)) if self.was_changed => self.alert = Some(alert),
                Err(error) => panic!("what the server sent cannot be opened: {error}"),
            }
            // There is an end only behind a goodbye, and an error when there is no more for now.
            self.rustls.reader().read_to_end(into).ok();
        }
    }
}
