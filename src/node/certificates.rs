//! The server's certificates at run time: read at start, and again when their files change or on request.
//!
//! Invariant: shards receive a complete set of certificates or keep the old one; a reload that fails changes nothing.
//! Open connections keep the keys that they have negotiated; new certificates hold for later handshakes. Left out:
//! when to check the files (`control`), and the parsing of their content (`tls`).

#![expect(clippy::disallowed_methods, reason = "certificates hold for a time of day")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::config::{Config, PemText, ServerTls, TlsOptions};
use crate::net::Listen;
use crate::shard::mailbox::{Letter, Mailbox};
use crate::tls::certificates::{Flaw, date_text};
use crate::tls::{CertificateError, Facts, Pem, PemPair, Serving, Source, Terms, ticketer};

/// Name of the certificate that is generated at start.
const SELF_SIGNED: &str = "self-signed";

/// Validity of that certificate, in days. A server that runs longer is not a development server.
const SELF_SIGNED_DAYS: u64 = 365;

/// Maximum size of a certificate or key file, in bytes; a file named by mistake may be larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Names of values of `http_server.tls` that may contain the text itself.
const CERT_PEM: &str = "http_server.tls.cert_pem";
const KEY_PEM: &str = "http_server.tls.key_pem";
const CLIENT_CA_PEM: &str = "http_server.tls.client_ca_pem";

const DAY_S: i64 = 24 * 60 * 60;

/// A handle to the certificates of a running server. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mailboxes: Arc<[Mailbox]>,
    state: Mutex<State>,
    reload_count: AtomicU64,
    failure_count: AtomicU64,
}

#[derive(Debug)]
struct State {
    options: TlsOptions,
    ticketer: Arc<dyn ProducesTickets>,
    /// The authorities that the clients of the ticketer's tickets were verified with.
    authorities: Vec<Vec<u8>>,
    /// Facts about the certificates in use.
    facts: Vec<Facts>,
    watch: Watch,
}

/// The metadata of a file. Links are followed, so that a swap of directories (Kubernetes) is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Detects files that have changed and are stable since: a certificate and its key are seldom written in one instant.
#[derive(Debug, Default)]
struct Watch {
    /// The state of the files when they were last read.
    taken: Vec<Option<Stamp>>,
    /// The state of the files when they were last checked.
    seen: Vec<Option<Stamp>>,
}

impl Watch {
    fn is_due(&mut self, now: Vec<Option<Stamp>>) -> bool {
        let is_at_rest = now == self.seen;
        self.seen = now;
        is_at_rest && self.seen != self.taken
    }
}

/// Reads all certificates, keys and authorities in the options, as at start. Returns all errors, and warnings about
/// certificates that expire soon.
pub fn check(options: &TlsOptions) -> (Vec<CertificateError>, Vec<String>) {
    let bare = TlsOptions {
        cert: Vec::new(),
        key: Vec::new(),
        pem: Vec::new(),
        server: ServerTls::default(),
        client_ca: Vec::new(),
        client_ca_pem: String::new(),
        ..options.clone()
    };
    let one = |cert: &String, key: &String| TlsOptions {
        cert: vec![cert.clone()],
        key: vec![key.clone()],
        ..bare.clone()
    };
    let (mut parts, mut errors, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    // A certificate and its key are read apart: if neither can be read, there are two errors.
    for (cert, key) in options.cert.iter().zip(&options.key) {
        let unread: Vec<_> = [read(cert).err(), read(key).err()].into_iter().flatten().collect();
        if unread.is_empty() {
            parts.push(Ok(one(cert, key)));
        }
        errors.extend(unread);
    }
    parts.extend(options.pem.iter().map(|pem| Ok(TlsOptions { pem: vec![pem.clone()], ..bare.clone() })));
    if options.server.enabled {
        let server = ServerTls { client_ca: String::new(), ..options.server.clone() };
        let unread = [read_any(CERT_PEM, &server.cert).err(), read_any(KEY_PEM, &server.key).err()];
        let unread: Vec<_> = unread.into_iter().flatten().collect();
        if unread.is_empty() {
            parts.push(Ok(TlsOptions { server, ..bare.clone() }));
        }
        errors.extend(unread);
    }
    if options.asks_clients() {
        // With a valid certificate, so that only the authorities are checked.
        let (client_ca, client_ca_pem) = (options.client_ca.clone(), options.client_ca_pem.clone());
        let pem = self_signed(std::iter::empty()).map(|pem| vec![pem]);
        let ServerTls { enabled, client_ca: of_server, .. } = &options.server;
        let server = ServerTls { enabled: *enabled, client_ca: of_server.clone(), ..ServerTls::default() };
        parts.push(pem.map(|pem| TlsOptions { pem, client_ca, client_ca_pem, server, ..bare.clone() }));
    }
    for part in parts {
        match part.and_then(State::load_new) {
            Ok((_, serving)) => {
                warnings.extend(serving.facts.iter().filter_map(|facts| expiry(facts, now_s())))
            }
            Err(error) => errors.push(error),
        }
    }
    (errors, warnings)
}

impl Certificates {
    /// Reads the configured certificates; also returns those that shards begin with. `None` for plain connections.
    ///
    /// # Errors
    /// The file or text that is wrong, and the reason.
    pub(crate) fn load(
        config: &Config,
        mailboxes: Arc<[Mailbox]>,
    ) -> Result<Option<(Self, Arc<rustls::ServerConfig>)>, CertificateError> {
        let mut options = config.tls.clone();
        if !options.is_on() {
            return Ok(None);
        }
        if options.self_signed {
            options.pem.push(self_signed(config.listen.iter().filter_map(Listen::address))?);
        }
        let (state, serving) = State::load_new(options)?;
        for facts in &serving.facts {
            tell(facts);
        }
        let (reload_count, failure_count) = Default::default();
        let shared = Shared { mailboxes, state: Mutex::new(state), reload_count, failure_count };
        Ok(Some((Self(Arc::new(shared)), serving.config)))
    }

    /// Reads all files again, and sends the result to the shards. Blocks as long as the file system does.
    ///
    /// # Errors
    /// The file that is wrong; then nothing changes. The error is logged and counted here.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.0.reload(None)
    }

    /// Reloads, with these in-memory certificates in place of those of [`TlsOptions::pem`] and of the self-signed
    /// one.
    ///
    /// # Errors
    /// Like [`Certificates::reload`].
    pub fn reload_with(&self, pem: Vec<PemText>) -> Result<(), CertificateError> {
        self.0.reload(Some(pem))
    }

    /// Checks the files, and reloads when they have changed and are stable. Errors are logged and counted.
    pub(crate) fn look(&self) {
        let is_due = {
            let mut state = self.0.state();
            let now = stamps(&state.options);
            state.watch.is_due(now)
        };
        if is_due {
            self.reload().ok();
        }
    }

    /// Facts about the certificates in use, in their order.
    pub fn facts(&self) -> Vec<Facts> {
        self.0.state().facts.clone()
    }

    /// The number of successful reloads, and the number of failed ones.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.0.reload_count.load(Relaxed), self.0.failure_count.load(Relaxed))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reloads, with other in-memory certificates if `pem` is given.
    fn reload(&self, pem: Option<Vec<PemText>>) -> Result<(), CertificateError> {
        // Locked until the letters are sent: the last reload is the last that shards receive.
        let mut state = self.state();
        let before = pem.map(|pem| mem::replace(&mut state.options.pem, pem));
        match state.load() {
            Ok(Serving { config, facts }) => {
                for mailbox in self.mailboxes.iter() {
                    mailbox.put(&mut vec![Letter::Tls(Arc::clone(&config))]);
                }
                self.reload_count.fetch_add(1, Relaxed);
                tracing::info!("certificates reloaded; existing connections keep theirs");
                facts.iter().for_each(tell);
                Ok(())
            }
            Err(error) => {
                if let Some(before) = before {
                    state.options.pem = before;
                }
                self.failure_count.fetch_add(1, Relaxed);
                tracing::error!("certificates not reloaded, the old ones stay in use: {error}");
                Err(error)
            }
        }
    }
}

impl State {
    /// Reads the files in the options for the first time.
    fn load_new(options: TlsOptions) -> Result<(Self, Serving), CertificateError> {
        let ticketer = new_ticketer(&options)?;
        let (authorities, facts, watch) = Default::default();
        let mut state = Self { options, ticketer, authorities, facts, watch };
        let serving = state.load()?;
        Ok((state, serving))
    }

    /// Reads everything, and stores the facts. On failure only the watch changes.
    fn load(&mut self) -> Result<Serving, CertificateError> {
        // Before the files are read: later changes are seen at the next check.
        self.watch.taken = stamps(&self.options);
        let options = &self.options;
        if options.cert.len() != options.key.len() {
            let why =
                format!("{} files with certificates, {} with keys", options.cert.len(), options.key.len());
            return Err(Flaw::Refused(why).of("TLS"));
        }
        let chains: Vec<_> = options.cert.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let keys: Vec<_> = options.key.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let of_files = options.cert.iter().zip(&chains).zip(options.key.iter().zip(&keys));
        let of_files = of_files.map(|((chain_name, chain), (key_name, key))| PemPair {
            chain: Pem { name: chain_name, bytes: chain },
            key: Pem { name: key_name, bytes: key },
        });
        // Without a certificate only its authorities are checked.
        let of_server = Some(&options.server).filter(|said| said.enabled && !said.cert.is_empty());
        let of_server = of_server.map(|said| -> Result<_, CertificateError> {
            Ok((read_any(CERT_PEM, &said.cert)?, read_any(KEY_PEM, &said.key)?))
        });
        let of_server = of_server.transpose()?;
        let of_server = of_server.iter().map(|((chain_name, chain), (key_name, key))| PemPair {
            chain: Pem { name: chain_name, bytes: chain },
            key: Pem { name: key_name, bytes: key },
        });
        let in_memory = options.pem.iter().map(|PemText { name, chain, key }| PemPair {
            chain: Pem { name, bytes: chain.as_bytes() },
            key: Pem { name, bytes: key.as_bytes() },
        });
        let pairs: Vec<_> = of_files.chain(of_server).chain(in_memory).collect();
        let (names, authorities) = authorities(options)?;
        let client_cas: Vec<_> =
            names.iter().zip(&authorities).map(|(name, bytes)| Pem { name, bytes }).collect();
        // A ticket contains the name of a client's certificate, which is trusted: not after the authorities have
        // changed.
        let ticketer =
            if authorities == self.authorities { Arc::clone(&self.ticketer) } else { new_ticketer(options)? };
        let terms = Terms {
            pairs: &pairs,
            client_cas: &client_cas,
            requires_client: options.requires_client_cert,
            takes_tls12: !options.only_tls13,
            ticketer: Arc::clone(&ticketer),
            now_s: now_s(),
        };
        let serving = terms.serve()?;
        (self.ticketer, self.authorities) = (ticketer, authorities);
        self.facts.clone_from(&serving.facts);
        Ok(serving)
    }
}

/// The authorities for client certificates: names, and PEM texts.
fn authorities(options: &TlsOptions) -> Result<(Vec<&str>, Vec<Vec<u8>>), CertificateError> {
    let mut names: Vec<&str> = options.client_ca.iter().map(String::as_str).collect();
    let texts: Result<Vec<_>, _> = names.iter().map(|path| read(path).map(|bytes| bytes.to_vec())).collect();
    let mut texts = texts?;
    if !options.client_ca_pem.is_empty() {
        names.push("client_ca_pem");
        texts.push(options.client_ca_pem.clone().into_bytes());
    }
    if options.server.asks_clients() {
        let (name, text) = read_any(CLIENT_CA_PEM, &options.server.client_ca)?;
        names.push(name);
        texts.push(text.to_vec());
    }
    Ok((names, texts))
}

/// The content of a value of `http_server.tls`, or of the file that it names; with its name for errors.
fn read_any<'a>(
    key: &'static str,
    value: &'a str,
) -> Result<(&'a str, Zeroizing<Vec<u8>>), CertificateError> {
    match Source::of(value) {
        Source::Text(text) => Ok((key, Zeroizing::new(text))),
        // A text that was meant as a key must not appear in an error.
        Source::File(path) if !Source::may_be_told(path) => match fs::metadata(path) {
            Err(error) => Err(Flaw::NoSource(error.to_string()).of(key)),
            Ok(_) => Ok((path, read(path)?)),
        },
        Source::File(path) => Ok((path, read(path)?)),
    }
}

/// Reads a PEM file. The content is wiped from memory after use: it may be a key.
///
/// # Errors
/// When the file cannot be read, or is too large to be PEM.
pub fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let unreadable = |error: &dyn ToString| Flaw::Unreadable(error.to_string()).of(path);
    // Allocated at once: growing would leave copies in memory.
    let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(length.min(FILE_BYTES_MAX)).unwrap_or(0) + 1));
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(unreadable(&"it is larger than 1 MiB")) } else { Ok(bytes) }
}

/// The current state of all configured files; `None` for a missing one.
fn stamps(options: &TlsOptions) -> Vec<Option<Stamp>> {
    let ServerTls { enabled, cert, key, client_ca, .. } = &options.server;
    let of_server = [cert, key, client_ca].into_iter().filter_map(|value| match Source::of(value) {
        Source::File(path) if *enabled && !path.is_empty() => Some(path),
        Source::File(_) | Source::Text(_) => None,
    });
    let files = options.cert.iter().chain(&options.key).chain(&options.client_ca).map(String::as_str);
    files.chain(of_server).map(|path| fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))).collect()
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn new_ticketer(options: &TlsOptions) -> Result<Arc<dyn ProducesTickets>, CertificateError> {
    let rotation_s = u32::try_from(options.ticket_rotation_ms / 1000).unwrap_or(u32::MAX);
    ticketer(rotation_s).map_err(|error| Flaw::Refused(error.to_string()).of("session tickets"))
}

/// A certificate for this machine, for the life of the process.
fn self_signed(listen: impl Iterator<Item = SocketAddr>) -> Result<PemText, CertificateError> {
    let refused = |error: rcgen::Error| Flaw::Refused(error.to_string()).of(SELF_SIGNED);
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for address in listen.map(|address| address.ip()).filter(|address| !address.is_unspecified()) {
        let name = address.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut params = CertificateParams::new(names).map_err(refused)?;
    params.distinguished_name.push(DnType::CommonName, "throng, self-signed for development");
    let (now, day) = (SystemTime::now(), Duration::from_secs(DAY_S.unsigned_abs()));
    // The clocks of other machines may be behind.
    params.not_before = (now - day).into();
    params.not_after = (now + day * u32::try_from(SELF_SIGNED_DAYS).unwrap_or(1)).into();
    let key = KeyPair::generate().map_err(refused)?;
    let chain = params.self_signed(&key).map_err(refused)?.pem();
    Ok(PemText { name: SELF_SIGNED.to_owned(), chain, key: key.serialize_pem() })
}

/// Logs a certificate in use.
fn tell(facts: &Facts) {
    let Facts { source, names, not_after_s, .. } = facts;
    let (names, end, fingerprint) = (names.join(", "), date_text(*not_after_s), facts.fingerprint());
    if source == SELF_SIGNED {
        tracing::warn!(
            "TLS with a self-signed certificate, for development only; SHA-256 fingerprint {fingerprint}"
        );
        return;
    }
    tracing::info!("certificate {source} for {names}, until {end}; SHA-256 fingerprint {fingerprint}");
    if let Some(warning) = expiry(facts, now_s()) {
        tracing::warn!("{warning}");
    }
}

/// A warning about a certificate that expires soon. The self-signed one is not checked.
fn expiry(facts: &Facts, now_s: i64) -> Option<String> {
    let Facts { source, names, not_after_s, .. } = facts;
    let (names, end, left) = (names.join(", "), date_text(*not_after_s), facts.left_text(now_s));
    (source != SELF_SIGNED && facts.is_due(now_s))
        .then(|| format!("certificate {source} for {names} expires in {left}, at {end}: renew it"))
}

/// The Unix time in seconds.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// The error that prevents a server from starting; [`is_certificate_error`] recognises it.
pub(crate) fn startup_error(error: CertificateError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Whether a server did not start because of a certificate or a key, which is an error in the configuration.
pub fn is_certificate_error(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<CertificateError>())
}

#[cfg(test)]
mod tests;
