//! TLS of hooks behind https: certificate authorities, client certificates, server names.
//!
//! A certificate or key is given as a PEM text, as base64 of such a text, or as the path of a file. Files are read
//! when a hook is set up: at start and at each reload.

use std::sync::Arc;

use hyper_rustls::FixedServerNameResolver;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::options::HookTls;
use crate::tls::Source;

/// The label of a certificate (RFC 7468, section 5.1) with the start of its frame.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The invalid option, and the reason.
pub(super) type Fault = (&'static str, String);

/// TLS configuration of connections to a hook.
pub(super) struct Trust {
    pub(super) config: ClientConfig,
    /// Resolver of the name that the certificate must contain, if that differs from the URL's host.
    pub(super) name: Option<FixedServerNameResolver>,
}

/// The certificate authorities that browsers trust, and those of a PEM file, if one is named.
///
/// # Errors
/// The defect of the file.
pub(super) fn roots(ca_file: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if !ca_file.is_empty() {
        let wrong = |why: &str| format!("SSL_CERT_FILE: {why}");
        let pem = std::fs::read(ca_file).map_err(|error| wrong(&error.to_string()))?;
        add(&mut roots, &pem).map_err(|why| wrong(&why))?;
    }
    Ok(roots)
}

/// The TLS configuration for hooks without TLS options.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn plain(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The TLS configuration for a hook's options, with `roots` if these name no authorities.
///
/// # Errors
/// See [`Fault`].
pub(super) fn of(tls: &HookTls, roots: &RootCertStore) -> Result<Trust, Fault> {
    let broken = |error: rustls::Error| ("http.tls", error.to_string());
    let mut authorities = roots.clone();
    if !tls.server_ca_pem.is_empty() {
        authorities = RootCertStore::empty();
        let pem = text(&tls.server_ca_pem).map_err(|why| ("http.tls.server_ca_pem", why))?;
        add(&mut authorities, &pem).map_err(|why| ("http.tls.server_ca_pem", why))?;
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let builder = if tls.insecure_skip_verify {
        let algorithms = provider().signature_verification_algorithms;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(algorithms)))
    } else {
        builder.with_root_certificates(authorities)
    };
    let config = match own(tls)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| ("http.tls.key_pem", format!("does not go with http.tls.cert_pem: {error}")))?,
    };
    let name = match tls.server_name.as_str() {
        "" => None,
        name => {
            let name = ServerName::try_from(name.to_owned());
            Some(name.map_err(|_| ("http.tls.server_name", "not the name of a host".to_owned()))?)
        }
    };
    Ok(Trust { config, name: name.map(FixedServerNameResolver::new) })
}

fn provider() -> Arc<CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

/// The client's certificate and key, if configured.
fn own(tls: &HookTls) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Fault> {
    let (cert, key) = ("http.tls.cert_pem", "http.tls.key_pem");
    match (tls.cert_pem.is_empty(), tls.key_pem.is_empty()) {
        (true, true) => return Ok(None),
        (true, false) => return Err((key, "key_pem is set without cert_pem: set both".to_owned())),
        (false, true) => return Err((cert, "cert_pem is set without key_pem: set both".to_owned())),
        (false, false) => {}
    }
    let chain = text(&tls.cert_pem).and_then(|pem| certificates(&pem)).map_err(|why| (cert, why))?;
    let pem = text(&tls.key_pem).map_err(|why| (key, why))?;
    let own =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| (key, "holds no private key in PEM".to_owned()))?;
    Ok(Some((chain, own)))
}

/// The PEM text in a value, or in the file that it names. Errors do not show the value: it may be a key.
fn text(value: &str) -> Result<Vec<u8>, String> {
    let path = match Source::of(value) {
        Source::Text(text) => return Ok(text),
        Source::File(path) => path,
    };
    let read = std::fs::read(path)
        .map_err(|error| format!("neither PEM, nor base64 of it, nor a file that can be read ({error})"))?;
    if Source::holds_pem(&read) { Ok(read) } else { Err("the file holds no PEM".to_owned()) }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // Before parsing, which may fail at what is no certificate: a key, for example, whose line breaks are lost.
    if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
        return Err("holds no certificate".to_owned());
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("not PEM: {error}"))?;
    if all.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(all) }
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let (added, _) = roots.add_parsable_certificates(certificates(pem)?);
    if added == 0 { Err("holds no certificate of an authority".to_owned()) } else { Ok(()) }
}

/// Accepts any certificate whose key the server has.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;

    fn fault(tls: HookTls) -> Option<Fault> {
        of(&HookTls { enabled: true, ..tls }, &RootCertStore::empty()).err()
    }

    #[test]
    fn a_value_is_pem_or_base64_of_it_or_a_path() {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let path = std::env::temp_dir().join(format!("throng-trust-{}.pem", std::process::id()));
        std::fs::write(&path, &pem).unwrap();
        let forms = [pem.clone(), BASE64.encode(pem.as_bytes()), path.to_str().unwrap().to_owned()];
        for form in &forms {
            let tls = HookTls { server_ca_pem: form.clone(), ..HookTls::default() };
            assert_eq!(fault(tls), None, "{form}");
            let (cert_pem, key_pem) = (form.clone(), key.clone());
            assert_eq!(fault(HookTls { cert_pem, key_pem, ..HookTls::default() }), None, "{form}");
        }
        let ca_file = path.to_str().unwrap();
        assert_eq!(roots(ca_file).unwrap().len(), roots("").unwrap().len() + 1);
        std::fs::remove_file(&path).unwrap();
        assert!(roots(ca_file).unwrap_err().starts_with("SSL_CERT_FILE: "));
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_option() {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let tls = HookTls::default;
        for (tls, option) in [
            (HookTls { server_ca_pem: "/nowhere/ca.pem".to_owned(), ..tls() }, "http.tls.server_ca_pem"),
            (HookTls { server_ca_pem: key.clone(), ..tls() }, "http.tls.server_ca_pem"),
            (HookTls { cert_pem: pem.clone(), ..tls() }, "http.tls.cert_pem"),
            (HookTls { key_pem: key.clone(), ..tls() }, "http.tls.key_pem"),
            (HookTls { cert_pem: pem.clone(), key_pem: pem.clone(), ..tls() }, "http.tls.key_pem"),
            (HookTls { cert_pem: pem.clone(), key_pem: other, ..tls() }, "http.tls.key_pem"),
            (HookTls { server_name: "not a name".to_owned(), ..tls() }, "http.tls.server_name"),
        ] {
            assert_eq!(fault(tls).unwrap().0, option);
        }
        let one_line = key.replace('\n', " ");
        for tls in [
            HookTls { server_ca_pem: one_line.clone(), ..tls() },
            HookTls { cert_pem: one_line, key_pem: key.clone(), ..tls() },
        ] {
            assert_eq!(fault(tls).unwrap().1, "holds no certificate");
        }
        let unpaired = fault(HookTls { key_pem: key, ..tls() }).unwrap();
        assert_eq!(unpaired.1, "key_pem is set without cert_pem: set both");
        let (bare, cert_pem) = ("MIGHAgEAMBMGByqGSM49AgEG".to_owned(), pem);
        let told = fault(HookTls { cert_pem, key_pem: bare.clone(), ..tls() }).unwrap();
        assert!(
            told.0 == "http.tls.key_pem" && !told.1.contains(&bare),
            "what may be a key is not told: {told:?}"
        );
    }
}
