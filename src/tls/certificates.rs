//! PEM in, certificates out: a chain with its key in rustls' form, and the facts about it.
//!
//! A returned certificate is complete: the key belongs to it, it is valid now, its names are known. Left out: the
//! source of the bytes, and the selection of a client's certificate (`names`).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, crypto};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// PEM bytes, and their name in error messages: usually a path.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// Name in errors, logs and metrics.
    pub name: &'a str,
    /// The text.
    pub bytes: &'a [u8],
}

/// Omits the bytes, which may be a key.
impl fmt::Debug for Pem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A chain of certificates, the server's own first, and the key of that one. One text may contain both.
#[derive(Clone, Copy, Debug)]
pub struct PemPair<'a> {
    /// The chain.
    pub chain: Pem<'a>,
    /// The key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: Pem<'a>,
}

/// Facts about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its source.
    pub source: String,
    /// Its DNS names, in lower case; one may begin with `*.`.
    pub names: Vec<String>,
    /// Begin of its validity, in seconds since 1970.
    pub not_before_s: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after_s: i64,
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
}

/// A certificate is due for renewal when less than a third of its lifetime is left, and at most this long before its
/// end: 30 days of 90, two of six.
const RENEWAL_S_MAX: i64 = 90 * DAY_S;
/// Renewal is late when less than a tenth is left, and at most this long before the end.
const LATE_S_MAX: i64 = 7 * DAY_S;
const DAY_S: i64 = 24 * 60 * 60;
const HOUR_S: i64 = 60 * 60;

impl Facts {
    /// Whether it is due for renewal at `now_s` (seconds since 1970).
    pub fn is_due(&self, now_s: i64) -> bool {
        self.left_s(now_s) < (self.life_s() / 3).min(RENEWAL_S_MAX)
    }

    /// Whether its renewal is late by then.
    pub fn is_late(&self, now_s: i64) -> bool {
        self.left_s(now_s) < (self.life_s() / 10).min(LATE_S_MAX)
    }

    /// The remaining validity as text: in days, or in hours when there are few. Negative after the end.
    pub fn left_text(&self, now_s: i64) -> String {
        match self.left_s(now_s) {
            left_s if left_s.abs() < 3 * DAY_S => format!("{} hours", left_s.div_euclid(HOUR_S)),
            left_s => format!("{} days", left_s.div_euclid(DAY_S)),
        }
    }

    fn left_s(&self, now_s: i64) -> i64 {
        self.not_after_s.saturating_sub(now_s)
    }

    fn life_s(&self) -> i64 {
        self.not_after_s.saturating_sub(self.not_before_s)
    }

    /// SHA-256 in the form of `openssl x509 -fingerprint -sha256`.
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<_> = self.sha256.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) facts: Facts,
    pub(super) key: Arc<CertifiedKey>,
}

/// A fault of a certificate or key, with the name of its PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError {
    /// The name of the PEM.
    pub name: String,
    /// The fault.
    pub flaw: Flaw,
}

/// A fault of a certificate or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The file cannot be read.
    Unreadable(String),
    /// The value is neither a text nor a file that can be read, for this reason. It is not shown: it may be a key.
    NoSource(String),
    /// The file is empty.
    Empty,
    /// It is not PEM.
    NotPem(String),
    /// It contains no certificate.
    NoCertificate,
    /// It contains no private key.
    NoKey,
    /// Its key is encrypted.
    EncryptedKey,
    /// The kind of its key is not supported, or the key is invalid.
    BadKey(String),
    /// A certificate in it is invalid, or not of version 3.
    BadCertificate(String),
    /// Its key belongs to another certificate than the first one of this chain.
    KeyOfAnother {
        /// The chain's name.
        chain: String,
    },
    /// Its certificate expired at this time.
    Expired(String),
    /// Its certificate is not valid before this time.
    NotYetValid(String),
    /// It would never be selected: it names no host, and is not the first certificate.
    Nameless,
    /// rustls refuses the chain and key.
    Refused(String),
}

impl Flaw {
    pub(crate) fn of(self, name: &str) -> CertificateError {
        CertificateError { name: name.to_owned(), flaw: self }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::NoSource(why) => {
                write!(f, "is neither PEM, nor its base64, nor the path of a file that can be read ({why})")
            }
            Self::Empty => f.write_str("is empty"),
            Self::NotPem(why) => write!(f, "is not PEM: {why}"),
            Self::NoCertificate => f.write_str("holds no certificate (BEGIN CERTIFICATE)"),
            Self::NoKey => f.write_str("holds no private key (BEGIN PRIVATE KEY)"),
            Self::EncryptedKey => {
                f.write_str("holds an encrypted key; take its passphrase off: openssl pkey -in FILE -out FILE")
            }
            Self::BadKey(why) => write!(f, "holds a key that cannot be used: {why}"),
            Self::BadCertificate(why) => write!(f, "holds a certificate that cannot be used: {why}"),
            Self::KeyOfAnother { chain } => {
                write!(f, "holds the key of another certificate than the first one in {chain}")
            }
            Self::Expired(at) => write!(f, "its certificate expired at {at}"),
            Self::NotYetValid(at) => write!(f, "its certificate is not valid before {at}"),
            Self::Nameless => f.write_str(
                "its certificate names no host (subjectAltName), so that only the first certificate could be such",
            ),
            Self::Refused(why) => write!(f, "cannot be used: {why}"),
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.flaw)
    }
}

impl Error for CertificateError {}

/// A time in seconds since 1970 as text.
pub fn date_text(unix_s: i64) -> String {
    ASN1Time::from_timestamp(unix_s)
        .map_or_else(|_| format!("{unix_s} s since 1970"), |time| time.to_string())
}

/// The facts about the first certificate of a chain, valid or not.
///
/// # Errors
/// When there is none, or it cannot be parsed.
pub fn facts(chain: &Pem<'_>) -> Result<Facts, CertificateError> {
    facts_of(chain.name, &certificates(chain)?[0])
}

impl PemPair<'_> {
    /// The facts about the certificate, if it can be served at `now_s` (Unix time).
    ///
    /// # Errors
    /// When the chain or its key is invalid, they do not belong together, or the certificate is not valid then.
    pub fn check(&self, now_s: i64) -> Result<Facts, CertificateError> {
        self.load(now_s).map(|certificate| certificate.facts)
    }

    /// # Errors
    /// When the chain or its key is invalid, they do not belong together, or the certificate is not valid at `now_s`
    /// (Unix time).
    pub(super) fn load(&self, now_s: i64) -> Result<Certificate, CertificateError> {
        let Self { chain, key } = self;
        let certificates = certificates(chain)?;
        let facts = facts_of(chain.name, &certificates[0])?;
        let key_der = private_key(key)?;
        let provider = crypto::ring::default_provider();
        let certified =
            CertifiedKey::from_der(certificates, key_der, &provider).map_err(|error| self.refused(&error))?;
        if facts.not_after_s < now_s {
            return Err(Flaw::Expired(date_text(facts.not_after_s)).of(chain.name));
        }
        if facts.not_before_s > now_s {
            return Err(Flaw::NotYetValid(date_text(facts.not_before_s)).of(chain.name));
        }
        Ok(Certificate { facts, key: Arc::new(certified) })
    }

    /// The fault of the chain or of the key, when rustls does not accept them together.
    fn refused(&self, error: &rustls::Error) -> CertificateError {
        let Self { chain, key } = self;
        if let rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) = error {
            Flaw::KeyOfAnother { chain: chain.name.to_owned() }.of(key.name)
        } else if let rustls::Error::InvalidCertificate(why) = error {
            Flaw::BadCertificate(format!("{why:?}")).of(chain.name)
        } else {
            Flaw::BadKey(error.to_string()).of(key.name)
        }
    }
}

/// All certificates of a PEM, at least one.
pub(crate) fn certificates(pem: &Pem<'_>) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    check_not_empty(pem)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.bytes).collect();
    let all = match all {
        Ok(all) => all,
        // A key, for example, whose line breaks are lost.
        Err(_) if !String::from_utf8_lossy(pem.bytes).contains("BEGIN CERTIFICATE") => Vec::new(),
        Err(error) => return Err(not_pem(pem, &error)),
    };
    if all.is_empty() { Err(Flaw::NoCertificate.of(pem.name)) } else { Ok(all) }
}

fn private_key(pem: &Pem<'_>) -> Result<PrivateKeyDer<'static>, CertificateError> {
    check_not_empty(pem)?;
    PrivateKeyDer::from_pem_slice(pem.bytes).map_err(|error| {
        // The parser skips one form as an unknown item, and fails at the headers of the older one.
        if is_encrypted(pem.bytes) {
            Flaw::EncryptedKey.of(pem.name)
        } else if matches!(error, pem::Error::NoItemsFound) {
            Flaw::NoKey.of(pem.name)
        } else {
            not_pem(pem, &error)
        }
    })
}

/// RFC 7468, 11 (PKCS #8), and RFC 1421, 4.6.1.1 (the older form).
fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn check_not_empty(pem: &Pem<'_>) -> Result<(), CertificateError> {
    if pem.bytes.trim_ascii().is_empty() { Err(Flaw::Empty.of(pem.name)) } else { Ok(()) }
}

/// The violated rule, without the bytes that violate it: they may be a key's.
fn not_pem(pem: &Pem<'_>, error: &pem::Error) -> CertificateError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        pem::Error::Base64Decode(_) => "what stands in a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::Io(_) | pem::Error::NoItemsFound | _ => "no section can be read",
    };
    Flaw::NotPem(why.to_owned()).of(pem.name)
}

fn facts_of(source: &str, certificate: &CertificateDer<'_>) -> Result<Facts, CertificateError> {
    let bad = |why: &dyn fmt::Display| Flaw::BadCertificate(why.to_string()).of(source);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| bad(&error))?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| bad(&error))?;
    let names = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        Some(name.to_ascii_lowercase())
    });
    Ok(Facts {
        source: source.to_owned(),
        names: names.collect(),
        not_before_s: parsed.validity().not_before.timestamp(),
        not_after_s: parsed.validity().not_after.timestamp(),
        sha256: sha256(certificate),
    })
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Authority, leaf};
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn load(chain: &str, key: &str) -> Result<Certificate, String> {
        let chain = Pem { name: "chain.pem", bytes: chain.as_bytes() };
        let key = Pem { name: "key.pem", bytes: key.as_bytes() };
        PemPair { chain, key }.load(NOW_S).map_err(|error| error.to_string())
    }

    #[test]
    fn a_renewal_is_due_by_a_part_of_a_certificates_life() {
        let facts = |life_s: i64| Facts {
            source: String::new(),
            names: Vec::new(),
            not_before_s: 1_000_000_000,
            not_after_s: 1_000_000_000 + life_s,
            sha256: [0; 32],
        };
        // Lifetime in days; hours before the end when renewal is due, and when it is late.
        for (life_days, due_hours, late_hours) in [
            (6, 48, 14),
            (47, 376, 112),
            (90, 720, 168),
            (200, 1600, 168),
            (398, 2160, 168),
            (3650, 2160, 168),
        ] {
            let facts = facts(life_days * DAY_S);
            let before = |hours: i64| facts.not_after_s - hours * HOUR_S;
            assert!(!facts.is_due(before(due_hours)) && facts.is_due(before(due_hours - 1)), "{life_days}");
            assert!(
                !facts.is_late(before(late_hours + 1)) && facts.is_late(before(late_hours - 1)),
                "{life_days}"
            );
        }
        let left = |seconds| facts(6 * DAY_S).left_text(1_000_000_000 + 6 * DAY_S - seconds);
        assert_eq!([left(6 * DAY_S), left(DAY_S), left(-HOUR_S)], ["6 days", "24 hours", "-1 hours"]);
    }

    #[test]
    fn a_chain_and_its_key_are_loaded_with_all_that_is_known_of_them() {
        let authority = Authority::new();
        let (chain, key) = authority.issue(&["Example.com", "*.example.com", "127.0.0.1"]);
        for (chain, key) in [
            (chain.clone(), key.clone()),
            (format!("{chain}{}", authority.pem()), key.clone()),
            (format!("{key}{chain}"), format!("{chain}{key}")),
        ] {
            let loaded = load(&chain, &key).unwrap();
            assert_eq!(loaded.facts.names, ["example.com", "*.example.com"]);
            assert_eq!(loaded.facts.source, "chain.pem");
            assert!(loaded.facts.not_before_s < NOW_S && loaded.facts.not_after_s > NOW_S);
            assert_eq!(loaded.facts.sha256, sha256(&loaded.key.cert[0]));
            assert_eq!(loaded.facts.fingerprint().len(), 32 * 3 - 1);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_the_file() {
        let (chain, key) = leaf(&["a.test"]);
        let (_, other_key) = leaf(&["a.test"]);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                   -----END RSA PRIVATE KEY-----\n";
        let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = chain.trim_end().strip_suffix("-----END CERTIFICATE-----").unwrap();
        let broken = chain.replace('M', "?");
        for (chain, key, said) in [
            ("", &*key, "chain.pem: is empty"),
            (&*chain, " \n", "key.pem: is empty"),
            ("certificate", &*key, "chain.pem: holds no certificate (BEGIN CERTIFICATE)"),
            (&*key, &*key, "chain.pem: holds no certificate (BEGIN CERTIFICATE)"),
            (&*chain, &*chain, "key.pem: holds no private key (BEGIN PRIVATE KEY)"),
            (cut, &*key, "chain.pem: is not PEM: a section has no END line"),
            (&*broken, &*key, "chain.pem: is not PEM: what stands in a section is not base64"),
            (no_certificate, &*key, "chain.pem: holds a certificate that cannot be used: "),
            (&*chain, encrypted, "key.pem: holds an encrypted key; take its passphrase off"),
            (&*chain, old, "key.pem: holds an encrypted key; take its passphrase off"),
            (&*chain, junk, "key.pem: holds a key that cannot be used: "),
            (
                &*chain,
                &*other_key,
                "key.pem: holds the key of another certificate than the first one in chain.pem",
            ),
        ] {
            let error = load(chain, key).unwrap_err();
            assert!(error.starts_with(said), "{error}, not {said}");
        }
    }

    #[test]
    fn a_certificate_holds_from_its_first_second_to_its_last() {
        let (chain, key) = leaf(&["a.test"]);
        let chain = Pem { name: "chain.pem", bytes: chain.as_bytes() };
        let pair = PemPair { chain, key: Pem { name: "key.pem", bytes: key.as_bytes() } };
        let Facts { not_before_s, not_after_s, .. } = facts(&chain).unwrap();
        assert!(pair.load(not_before_s).is_ok() && pair.load(not_after_s).is_ok());
        let flaw = |now_s| pair.load(now_s).unwrap_err().flaw;
        assert_eq!(flaw(not_before_s - 1), Flaw::NotYetValid(date_text(not_before_s)));
        assert_eq!(flaw(not_after_s + 1), Flaw::Expired(date_text(not_after_s)));
        assert_eq!(date_text(0), "Jan  1 00:00:00 1970 +00:00");
    }

    #[test]
    fn an_error_and_what_is_printed_for_debugging_hold_no_key() {
        let (_, key) = leaf(&["a.test"]);
        let pem = Pem { name: "key.pem", bytes: key.as_bytes() };
        assert_eq!(format!("{pem:?}"), format!("Pem(key.pem, {} bytes)", key.len()));
    }
}
