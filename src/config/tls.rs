//! The configuration of TLS: certificates, authorities for client certificates, versions.
//!
//! Only typed values are stored here; the server reads the files, at start and whenever they change.

use std::fmt;

/// Options of TLS. Without any certificate, connections are plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM files with certificate chains, the server's own certificate first. A client receives the certificate for
    /// the name that it requests, or else the first. The files are read again when they change.
    pub cert: Vec<String>,
    /// PEM files with the private keys, in the same order.
    pub key: Vec<String>,
    /// Certificates and keys in memory, after those of files.
    pub pem: Vec<PemText>,
    /// The options of `http_server.tls`, between files and memory.
    pub server: ServerTls,
    /// Whether a certificate is generated at start, for development, after all others. Default false.
    pub self_signed: bool,
    /// PEM files with the authorities for client certificates. None: clients are not asked for certificates.
    pub client_ca: Vec<String>,
    /// Authorities in memory in addition to those in files, one PEM text; empty for none.
    pub client_ca_pem: String,
    /// Whether a client without a certificate is refused, if there are authorities. Default true.
    pub requires_client_cert: bool,
    /// Whether TLS 1.2 is refused. Default false: 1.2 and 1.3.
    pub only_tls13: bool,
    /// Time for which session tickets are encrypted with one key, in milliseconds; a ticket is valid for at most
    /// twice as long. Default 6 hours, which is also the maximum.
    pub ticket_rotation_ms: u64,
}

/// The options of `http_server.tls`. Each value is a PEM text, its base64, or the path of a file, which is read again
/// when it changes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// Whether the section is enabled.
    pub enabled: bool,
    /// The server's certificate, followed by those of its issuers.
    pub cert: String,
    /// The private key.
    pub key: String,
    /// The authorities for client certificates, which are then required; empty: clients are not asked for
    /// certificates.
    pub client_ca: String,
    /// Whether TLS is for the client listeners only, not for the control listener.
    pub is_external: bool,
}

/// Does not print the private key.
impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Whether clients are asked for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.enabled && !self.client_ca.is_empty()
    }
}

/// A certificate and its key in memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PemText {
    /// The name in errors, logs and metrics.
    pub name: String,
    /// The chain in PEM, the server's own certificate first.
    pub chain: String,
    /// The private key in PEM.
    pub key: String,
}

/// Does not print the private key: a configuration may be logged.
impl fmt::Debug for PemText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemText").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            cert: Vec::new(),
            key: Vec::new(),
            pem: Vec::new(),
            server: ServerTls::default(),
            self_signed: false,
            client_ca: Vec::new(),
            client_ca_pem: String::new(),
            requires_client_cert: true,
            only_tls13: false,
            ticket_rotation_ms: u64::from(crate::tls::ROTATION_S_MAX) * 1000,
        }
    }
}

impl TlsOptions {
    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        let is_named = !self.cert.is_empty() || !self.key.is_empty() || !self.pem.is_empty();
        self.self_signed || self.server.enabled || is_named
    }

    /// Whether clients are asked for certificates.
    pub fn asks_clients(&self) -> bool {
        let is_known = !self.client_ca.is_empty() || !self.client_ca_pem.is_empty();
        self.is_on() && (is_known || self.server.asks_clients())
    }

    /// Conflicts between options: the key at fault, and the expected value.
    pub(super) fn conflicts(&self, allows_certificate_users: bool) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let (certs, keys) = (self.cert.len(), self.key.len());
        if certs != keys {
            let key = if certs > keys { "tls_key" } else { "tls_cert" };
            let other = if certs > keys { "tls_cert" } else { "tls_key" };
            found.push((key, format!("expected as many files as in {other}, which has {}", certs.max(keys))));
        }
        if let Some(twice) = self.cert.iter().enumerate().find(|(at, path)| self.cert[..*at].contains(path)) {
            found.push(("tls_cert", format!("{} is listed twice", twice.1)));
        }
        if !self.client_ca.is_empty() && !self.is_on() {
            found.push(("tls_client_ca", "expected tls_cert and tls_key beside it".to_owned()));
        }
        if self.server.enabled {
            let ServerTls { cert, key, .. } = &self.server;
            for (name, value) in [("http_server.tls.cert_pem", cert), ("http_server.tls.key_pem", key)] {
                if value.is_empty() {
                    found.push((name, "expected a text in PEM, its base64, or a path".to_owned()));
                }
            }
            if !self.cert.is_empty() {
                found.push((
                    "tls_cert",
                    "does not go together with http_server.tls; remove one of them".to_owned(),
                ));
            }
        }
        if self.server.asks_clients() && !self.requires_client_cert {
            let why = "does not go together with http_server.tls.client_ca_pem, which asks every client for a certificate; \
                       use tls_cert, tls_key and tls_client_ca";
            found.push(("tls_client_cert", why.to_owned()));
        }
        if allows_certificate_users && !self.asks_clients() {
            let key = "client.allow_certificate_connect_without_token";
            found.push((key, "expected tls_client_ca beside it".to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        let pair = TlsOptions { cert: files(&["a.pem"]), key: files(&["a.key"]), ..TlsOptions::default() };
        let with_ca = TlsOptions { client_ca: files(&["ca.pem"]), ..pair.clone() };
        for (options, users, said) in [
            (TlsOptions::default(), false, &[][..]),
            (pair.clone(), false, &[]),
            (with_ca.clone(), true, &[]),
            (TlsOptions { self_signed: true, ..TlsOptions::default() }, false, &[]),
            (TlsOptions { key: files(&[]), ..pair.clone() }, false, &["tls_key"]),
            (TlsOptions { cert: files(&[]), ..pair.clone() }, false, &["tls_cert"]),
            (
                TlsOptions {
                    cert: files(&["a.pem", "a.pem"]),
                    key: files(&["a.key", "b.key"]),
                    ..pair.clone()
                },
                false,
                &["tls_cert"],
            ),
            (TlsOptions { self_signed: true, ..with_ca.clone() }, true, &[]),
            (
                TlsOptions { client_ca: files(&["ca.pem"]), ..TlsOptions::default() },
                false,
                &["tls_client_ca"],
            ),
            (pair, true, &["client.allow_certificate_connect_without_token"]),
            (TlsOptions::default(), true, &["client.allow_certificate_connect_without_token"]),
        ] {
            let found: Vec<_> = options.conflicts(users).iter().map(|(key, _)| *key).collect();
            assert_eq!(found, said, "{options:?}");
        }
        assert!(with_ca.asks_clients() && !TlsOptions::default().is_on());
    }

    #[test]
    fn what_http_server_tls_lacks_is_told() {
        let server = |cert: &str, key: &str| ServerTls {
            enabled: true,
            cert: cert.to_owned(),
            key: key.to_owned(),
            ..ServerTls::default()
        };
        let with = |server| TlsOptions { server, ..TlsOptions::default() };
        let both = TlsOptions { cert: files(&["a"]), key: files(&["b"]), ..with(server("c", "d")) };
        let asked = ServerTls { client_ca: "ca".to_owned(), ..server("c", "d") };
        let optional = TlsOptions { requires_client_cert: false, ..with(asked.clone()) };
        for (options, said) in [
            (with(server("c", "d")), &[][..]),
            (with(server("", "")), &["http_server.tls.cert_pem", "http_server.tls.key_pem"]),
            (with(asked), &[]),
            (both, &["tls_cert"]),
            (optional, &["tls_client_cert"]),
        ] {
            assert!(options.is_on());
            let found: Vec<_> = options.conflicts(false).iter().map(|(key, _)| *key).collect();
            assert_eq!(found, said, "{options:?}");
        }
        assert!(!format!("{:?}", server("c", "hush")).contains("hush"));
    }

    #[test]
    fn what_is_printed_for_debugging_holds_no_key() {
        let pem = PemText { name: "own".into(), chain: "chain".into(), key: "secret".into() };
        let printed = format!("{:?}", TlsOptions { pem: vec![pem], ..TlsOptions::default() });
        assert!(printed.contains("own") && !printed.contains("secret"), "{printed}");
    }
}
