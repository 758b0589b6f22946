//! TLS of the generator's clients: the flags, their meaning for rustls, and the sessions that can be resumed.
//!
//! The clients are rustls' own and share no code with the server, so they detect records that the server seals
//! wrongly. The invariant: a ticket is presented once, as RFC 8446, C.4 requires, so a storm of resumptions needs
//! as many tickets as clients. Left out: records, see `secure`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, NamedGroup, RootCertStore, SignatureScheme,
};

/// Maximum number of sessions kept for resumption; the oldest is dropped.
const TICKETS_MAX: usize = 1 << 17;

/// The flags for encryption.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TlsArgs {
    /// Use TLS, as with wss:// in --url
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trusted certificate authorities, in PEM [default: those that browsers trust]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Do not verify the server's certificate; costs the generator least
    #[arg(long)]
    pub(crate) tls_insecure: bool,
    /// Use only this version [default: the newest that the server supports]
    #[arg(long, value_enum, value_name = "VERSION")]
    pub(crate) tls_version: Option<Version>,
    /// Use only this cipher suite of TLS 1.3 [default: the server chooses]
    #[arg(long, value_enum, value_name = "SUITE")]
    pub(crate) tls_suite: Option<Suite>,
    /// Resume sessions with the server's tickets, each once
    #[arg(long)]
    pub(crate) tls_resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    #[value(name = "aes128")]
    Aes128,
    #[value(name = "aes256")]
    Aes256,
    #[value(name = "chacha20")]
    Chacha20,
}

/// The settings for a handshake.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    pub(crate) tally: Arc<Tally>,
    tickets: Arc<Tickets>,
}

/// Completed handshakes of all threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    full: AtomicU64,
    resumed: AtomicU64,
    /// Version and suite of the first handshake.
    agreed: OnceLock<String>,
}

impl Tls {
    /// Settings for connections to the server with this name or address.
    ///
    /// # Errors
    /// An invalid name or flag.
    pub(crate) fn new(args: &TlsArgs, host: &str) -> Result<Self, String> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|e| format!("{host}: no name of a TLS server: {e}"))?;
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| args.tls_suite.is_none_or(|wanted| wanted.is(suite.suite())));
        let provider = Arc::new(provider);
        let versions = match args.tls_version {
            None if args.tls_suite.is_none() => rustls::ALL_VERSIONS,
            None | Some(Version::Tls13) => &[&rustls::version::TLS13],
            Some(Version::Tls12) => &[&rustls::version::TLS12],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).map_err(|e| format!("--tls-version: {e}"))?;
        let builder = if args.tls_insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        } else {
            builder.with_root_certificates(roots(args)?)
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tickets = Arc::new(Tickets::default());
        config.resumption = if args.tls_resume {
            Resumption::store(Arc::clone(&tickets) as Arc<_>)
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), name, tally: Arc::default(), tickets })
    }

    /// Whether to keep tickets and present none: a resumption returns one ticket for the one presented, so only
    /// full handshakes add to them.
    pub(crate) fn save_tickets(&self, save: bool) {
        self.tickets.is_saving.store(save, Relaxed);
    }
}

impl Suite {
    fn is(self, suite: rustls::CipherSuite) -> bool {
        suite
            == match self {
                Self::Aes128 => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
                Self::Aes256 => rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
                Self::Chacha20 => rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            }
    }
}

fn roots(args: &TlsArgs) -> Result<RootCertStore, String> {
    let Some(file) = &args.tls_ca else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let wrong = |e: &dyn std::fmt::Display| format!("--tls-ca {}: {e}", file.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))? {
        store.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    if store.is_empty() { Err(wrong(&"no certificate in it")) } else { Ok(store) }
}

impl Tally {
    /// Counts a completed handshake.
    pub(crate) fn count(&self, kind: Option<HandshakeKind>, agreed: impl FnOnce() -> String) {
        let count = if kind == Some(HandshakeKind::Resumed) { &self.resumed } else { &self.full };
        count.fetch_add(1, Relaxed);
        self.agreed.get_or_init(agreed);
    }

    /// Resets the counts to zero.
    pub(crate) fn reset(&self) {
        self.full.store(0, Relaxed);
        self.resumed.store(0, Relaxed);
    }

    /// Full and resumed handshakes so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.full.load(Relaxed), self.resumed.load(Relaxed))
    }

    /// Version and cipher suite.
    pub(crate) fn agreed(&self) -> Option<&str> {
        self.agreed.get().map(String::as_str)
    }
}

/// Resumable sessions of one server.
#[derive(Debug, Default)]
struct Tickets {
    is_saving: AtomicBool,
    tls13: Mutex<VecDeque<Tls13ClientSessionValue>>,
    /// One for all connections: RFC 5077 allows that, unlike RFC 8446.
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
}

impl Tickets {
    fn tls13(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.tls13.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tls12(&self) -> MutexGuard<'_, Option<Tls12ClientSessionValue>> {
        self.tls12.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12().clone().filter(|_| !self.is_saving.load(Relaxed))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *self.tls12() = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.tls13();
        if tickets.len() >= TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        if self.is_saving.load(Relaxed) { None } else { self.tls13().pop_front() }
    }
}

/// Verifies nothing, not even that the server has the key of its certificate.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_cannot_be_met_are_refused() {
        let args = TlsArgs { tls_ca: Some("Cargo.toml".into()), ..TlsArgs::default() };
        assert_eq!(Tls::new(&args, "localhost").unwrap_err(), "--tls-ca Cargo.toml: no certificate in it");
        let args = TlsArgs { tls_ca: Some("no such file".into()), ..TlsArgs::default() };
        assert!(Tls::new(&args, "localhost").unwrap_err().starts_with("--tls-ca no such file: "));
        assert!(Tls::new(&TlsArgs::default(), "not a name").is_err());
        let (tls_version, tls_suite) = (Some(Version::Tls12), Some(Suite::Aes128));
        let args = TlsArgs { tls_version, tls_suite, ..TlsArgs::default() };
        assert!(Tls::new(&args, "localhost").unwrap_err().starts_with("--tls-version: "));
    }

    #[test]
    fn addresses_are_names_too() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            assert!(Tls::new(&TlsArgs::default(), host).is_ok(), "{host}");
        }
    }
}
