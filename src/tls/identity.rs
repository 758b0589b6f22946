//! The identity in a client's certificate.
//!
//! Nothing is verified here: rustls has verified the certificate before, against the authorities of the
//! configuration. The name is passed on to applications, so it must be one line without control characters.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::sha256;

/// Longer names are ignored: an identity is kept with every connection.
const NAME_BYTES_MAX: usize = 256;

/// The identity in a verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate's first alternative name that is a URI, a DNS name or an email address, else the subject's
    /// common name. Not empty, at most 256 bytes, no control characters.
    pub name: Box<str>,
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
}

/// The identity in a verified certificate; `None` when it contains no usable name.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok()?;
    let mut names = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
    let alternative = names.find_map(|name| {
        use GeneralName::{DNSName, RFC822Name, URI};
        if let URI(name) | DNSName(name) | RFC822Name(name) = name { Some(*name) } else { None }
    });
    let common_name = || parsed.subject().iter_common_name().next()?.as_str().ok();
    let name = alternative.or_else(common_name)?;
    let is_plain = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    is_plain.then(|| Identity { name: name.into(), sha256: sha256(certificate) })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rcgen::SanType;
    use rustls::pki_types::pem::PemObject;

    use super::super::fixtures::Authority;
    use super::*;

    fn named(common_name: &str, alternatives: Vec<SanType>) -> Option<String> {
        let (pem, _) = Authority::new().issue_client(common_name, alternatives);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let identity = identity(&der)?;
        assert_eq!(identity.sha256, sha256(&der));
        Some(identity.name.into_string())
    }

    #[test]
    fn the_first_alternative_name_that_can_be_a_user_goes_before_the_subject() {
        let uri = || SanType::URI("spiffe://example.com/chat".try_into().unwrap());
        let dns = || SanType::DnsName("worker.example.com".try_into().unwrap());
        let email = || SanType::Rfc822Name("ann@example.com".try_into().unwrap());
        let address = || SanType::IpAddress(IpAddr::from([127, 0, 0, 1]));
        for (alternatives, name) in [
            (vec![], "Ann"),
            (vec![address()], "Ann"),
            (vec![uri(), dns()], "spiffe://example.com/chat"),
            (vec![address(), dns(), uri()], "worker.example.com"),
            (vec![email()], "ann@example.com"),
        ] {
            assert_eq!(named("Ann", alternatives).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_plain_line_names_nobody() {
        for name in ["", "a\r\nX-User: root", "a\0b", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(named(name, vec![]), None, "{name:?}");
        }
        assert_eq!(named("Jürgen", vec![]).as_deref(), Some("Jürgen"));
        assert_eq!(named(&"x".repeat(NAME_BYTES_MAX), vec![]).map(|name| name.len()), Some(NAME_BYTES_MAX));
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert_eq!(identity(&CertificateDer::from(&b"certificate"[..])), None);
    }
}
