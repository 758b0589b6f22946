//! Selection of a client's certificate: the one for the requested name (SNI, RFC 6066, 3), else the first.
//!
//! Of several certificates for one name (RSA beside ECDSA), the first that the client can verify is selected.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificates::{Certificate, CertificateError, Flaw};

/// Certificates by server name.
#[derive(Debug)]
pub(super) struct Names {
    /// By the names of the certificates, in lower case.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By the part behind `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// In the order of the configuration.
    all: Vec<Arc<CertifiedKey>>,
}

impl Names {
    /// # Errors
    /// When a certificate has no name by which a client could request it; the first needs none.
    pub(super) fn new(certificates: &[Certificate]) -> Result<Self, CertificateError> {
        let mut names = Self { exact: HashMap::new(), wildcard: HashMap::new(), all: Vec::new() };
        for (at, Certificate { facts, key }) in certificates.iter().enumerate() {
            if at > 0 && facts.names.is_empty() {
                return Err(Flaw::Nameless.of(&facts.source));
            }
            for name in &facts.names {
                let keys = match name.strip_prefix("*.") {
                    Some(rest) => names.wildcard.entry(rest.to_owned()).or_default(),
                    None => names.exact.entry(name.clone()).or_default(),
                };
                keys.push(Arc::clone(key));
            }
            names.all.push(Arc::clone(key));
        }
        Ok(names)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let of_name = name.as_deref().and_then(|name| {
            let exact = || self.exact.get(name)?.iter().find(fits);
            // RFC 6125, 6.4.3: the star matches one label, the leftmost.
            let wildcard = || self.wildcard.get(name.split_once('.')?.1)?.iter().find(fits);
            exact().or_else(wildcard)
        });
        of_name.or_else(|| self.all.iter().find(fits)).or(self.all.first())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::super::certificates::{Pem, PemPair};
    use super::super::fixtures::leaf;
    use super::*;

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    const ED25519: &[SignatureScheme] = &[SignatureScheme::ED25519];

    fn certificate(source: &str, (chain, key): &(String, String)) -> Certificate {
        let chain = Pem { name: source, bytes: chain.as_bytes() };
        PemPair { chain, key: Pem { name: "key", bytes: key.as_bytes() } }.load(1_800_000_000).unwrap()
    }

    fn ed25519(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        (CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
        let certificates = [
            certificate("first", &leaf(&["first.test"])),
            certificate("wild", &leaf(&["*.example.com"])),
            certificate("exact", &leaf(&["chat.example.com", "example.com"])),
        ];
        let names = Names::new(&certificates).unwrap();
        let given = |name: Option<&str>| {
            let key = names.choose(name, ECDSA).unwrap();
            let of = certificates.iter().find(|certificate| Arc::ptr_eq(&certificate.key, key)).unwrap();
            of.facts.source.clone()
        };
        for (name, source) in [
            (None, "first"),
            (Some("first.test"), "first"),
            (Some("example.com"), "exact"),
            (Some("chat.example.com"), "exact"),
            (Some("CHAT.Example.Com."), "exact"),
            (Some("www.example.com"), "wild"),
            (Some("a.www.example.com"), "first"),
            (Some("com"), "first"),
            (Some("unknown.test"), "first"),
            (Some("*.example.com"), "wild"),
        ] {
            assert_eq!(given(name), source, "{name:?}");
        }
    }

    #[test]
    fn of_two_certificates_for_one_name_it_is_one_that_the_client_can_verify() {
        let certificates = [
            certificate("default", &leaf(&["other.test"])),
            certificate("ecdsa", &leaf(&["a.test"])),
            certificate("ed25519", &ed25519(&["a.test", "*.b.test"])),
        ];
        let names = Names::new(&certificates).unwrap();
        let is = |name, schemes, at: usize| {
            assert!(Arc::ptr_eq(names.choose(Some(name), schemes).unwrap(), &certificates[at].key), "{name}");
        };
        is("a.test", ECDSA, 1);
        is("a.test", ED25519, 2);
        is("x.b.test", ED25519, 2);
        is("x.b.test", ECDSA, 0);
        is("unknown.test", ED25519, 2);
    }

    #[test]
    fn only_the_first_certificate_may_be_without_a_name() {
        let nameless = certificate("nameless", &leaf(&["127.0.0.1"]));
        let named = certificate("named", &leaf(&["a.test"]));
        Names::new(&[nameless.clone(), named.clone()]).unwrap();
        let error = Names::new(&[named, nameless]).unwrap_err();
        assert_eq!((error.name.as_str(), error.flaw), ("nameless", Flaw::Nameless));
    }
}
