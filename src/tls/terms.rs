//! The server's configuration of handshakes: converts certificates, clients, versions and tickets into one rustls
//! configuration.
//!
//! Disabled on purpose: 0-RTT, which lets an attacker replay a client's first request; sessions in memory, which cost
//! memory for every client that never returns; any protocol but HTTP/1.1.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, crypto};

use super::certificates::{CertificateError, Facts, Flaw, Pem, PemPair, certificates};
use super::names::Names;

/// The only negotiated protocol (RFC 7301): a WebSocket begins as HTTP/1.1 (RFC 6455, 4.1).
const ALPN: &[u8] = b"http/1.1";

/// Tickets sent after a full handshake: a client reconnects with one connection, and gets the next ticket there.
const TICKETS_PER_HANDSHAKE: usize = 1;

/// The input of a configuration.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Certificates and keys. The first is for clients that request no name, or an unknown one.
    pub pairs: &'a [PemPair<'a>],
    /// Authorities of client certificates; empty: clients are not asked for certificates.
    pub client_cas: &'a [Pem<'a>],
    /// Whether a client without a certificate is refused.
    pub requires_client: bool,
    /// Whether TLS 1.2 is supported beside TLS 1.3.
    pub takes_tls12: bool,
    /// Seals session tickets. A ticket contains the identity in the client's certificate, which is not verified
    /// again: the ticketer must not have been used with other authorities.
    pub ticketer: Arc<dyn ProducesTickets>,
    /// Unix time, in seconds.
    pub now_s: i64,
}

/// A configuration, and the facts about its certificates.
#[derive(Clone, Debug)]
pub struct Serving {
    /// For the shards.
    pub config: Arc<ServerConfig>,
    /// One per certificate, in their order.
    pub facts: Vec<Facts>,
}

impl Terms<'_> {
    /// Makes the configuration.
    ///
    /// # Errors
    /// The name of the invalid PEM, and its fault. There must be at least one pair.
    pub fn serve(&self) -> Result<Serving, CertificateError> {
        let refused = |error: rustls::Error| Flaw::Refused(error.to_string()).of("TLS");
        let loaded: Result<Vec<_>, _> = self.pairs.iter().map(|pair| pair.load(self.now_s)).collect();
        let loaded = loaded?;
        if loaded.is_empty() {
            return Err(Flaw::NoCertificate.of("TLS"));
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let versions = if self.takes_tls12 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(refused)?
            .with_client_cert_verifier(self.verifier(provider)?)
            .with_cert_resolver(Arc::new(Names::new(&loaded)?));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&self.ticketer);
        config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
        let facts = loaded.into_iter().map(|certificate| certificate.facts).collect();
        Ok(Serving { config: Arc::new(config), facts })
    }

    /// The verifier of clients.
    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
        let Some(first) = self.client_cas.first() else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let mut roots = RootCertStore::empty();
        for pem in self.client_cas {
            for certificate in certificates(pem)? {
                let bad = |error: rustls::Error| Flaw::BadCertificate(error.to_string()).of(pem.name);
                roots.add(certificate).map_err(bad)?;
            }
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if self.requires_client { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| Flaw::Refused(error.to_string()).of(first.name))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{
        ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConnection,
    };

    use super::super::fixtures::{Authority, leaf};
    use super::super::identity::identity;
    use super::super::tickets::ticketer;
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    /// A server's certificates, and its clients' authorities.
    struct Server {
        authority: Authority,
        chains: Vec<(String, String)>,
        ticketer: Arc<dyn ProducesTickets>,
        client_ca: Option<String>,
        requires_client: bool,
        takes_tls12: bool,
    }

    impl Server {
        fn new(names: &[&[&str]]) -> Self {
            let authority = Authority::new();
            let chains = names.iter().map(|names| authority.issue(names)).collect();
            let ticketer = ticketer(3600).unwrap();
            Self { authority, chains, ticketer, client_ca: None, requires_client: true, takes_tls12: true }
        }

        fn serve(&self) -> Result<Serving, CertificateError> {
            let pairs: Vec<_> = self
                .chains
                .iter()
                .map(|(chain, key)| PemPair { chain: pem("chain", chain), key: pem("key", key) })
                .collect();
            let cas: Vec<_> = self.client_ca.iter().map(|text| pem("ca", text)).collect();
            Terms {
                pairs: &pairs,
                client_cas: &cas,
                requires_client: self.requires_client,
                takes_tls12: self.takes_tls12,
                ticketer: Arc::clone(&self.ticketer),
                now_s: NOW_S,
            }
            .serve()
        }

        fn client(&self, own: Option<(String, String)>) -> ClientConfig {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            let mut config = match own {
                None => builder.with_no_client_auth(),
                Some((chain, key)) => builder
                    .with_client_auth_cert(
                        vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                        PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                    )
                    .unwrap(),
            };
            config.alpn_protocols = vec![b"h2".to_vec(), ALPN.to_vec()];
            config
        }
    }

    fn pem<'a>(name: &'a str, text: &'a str) -> Pem<'a> {
        Pem { name, bytes: text.as_bytes() }
    }

    /// Passes all output of one side to the other.
    fn tell(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
        while from.wants_write() {
            let mut wire = Vec::new();
            from.write_tls(&mut wire).unwrap();
            let mut wire = &wire[..];
            while !wire.is_empty() {
                to.read_tls(&mut wire).unwrap();
                to.process_new_packets()?;
            }
        }
        Ok(())
    }

    fn shake(
        server: &Arc<ServerConfig>,
        client: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<(Connection, Connection), rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = Connection::from(ClientConnection::new(Arc::clone(client), name).unwrap());
        let mut server = Connection::from(ServerConnection::new(Arc::clone(server)).unwrap());
        while client.is_handshaking()
            || server.is_handshaking()
            || server.wants_write()
            || client.wants_write()
        {
            tell(&mut client, &mut server)?;
            tell(&mut server, &mut client)?;
        }
        Ok((server, client))
    }

    fn versions_of(client: &ClientConfig, is_13: bool) -> Arc<ClientConfig> {
        let versions = if is_13 { &[&TLS13] } else { &[&TLS12] };
        let mut roots = ClientConfig::builder_with_provider(Arc::clone(client.crypto_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        roots.alpn_protocols.clone_from(&client.alpn_protocols);
        Arc::new(roots)
    }

    #[test]
    fn a_client_is_served_by_name_in_both_versions_and_only_http_1() {
        let server = Server::new(&[&["one.test"], &["two.test", "*.three.test"]]);
        let serving = server.serve().unwrap();
        assert_eq!(serving.facts.len(), 2);
        let client = Arc::new(server.client(None));
        for (name, at) in [("one.test", 0), ("two.test", 1), ("a.three.test", 1)] {
            let (served, client) = shake(&serving.config, &client, name).unwrap();
            assert_eq!(served.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(served.alpn_protocol(), Some(ALPN));
            let sha256 = super::super::certificates::sha256(&client.peer_certificates().unwrap()[0]);
            assert_eq!(sha256, serving.facts[at].sha256, "{name}");
        }
        // rustls' client refuses the first certificate for this name; the refusal shows that it was sent.
        let error = shake(&serving.config, &client, "four.test").map(drop).unwrap_err();
        assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
    }

    #[test]
    fn the_oldest_version_is_a_matter_of_configuration() {
        let mut server = Server::new(&[&["one.test"]]);
        let client = server.client(None);
        let old = versions_of(&client, false);
        let outcome = |serving: Serving| {
            format!("{:?}", shake(&serving.config, &old, "one.test").map(drop).unwrap_err())
        };
        // The old client trusts no authority: it fails at the certificate.
        assert!(outcome(server.serve().unwrap()).contains("UnknownIssuer"));
        server.takes_tls12 = false;
        let refused = outcome(server.serve().unwrap());
        assert!(refused.contains("ProtocolVersion") || refused.contains("PeerIncompatible"), "{refused}");
    }

    #[test]
    fn a_client_that_comes_back_resumes_also_after_a_reload() {
        let mut server = Server::new(&[&["one.test"]]);
        let before = server.serve().unwrap().config;
        let client = Arc::new(server.client(None));
        let kind =
            |config: &Arc<ServerConfig>| shake(config, &client, "one.test").unwrap().0.handshake_kind();
        assert_eq!(kind(&before), Some(HandshakeKind::Full));
        assert_eq!(kind(&before), Some(HandshakeKind::Resumed));
        server.chains = vec![server.authority.issue(&["one.test"])];
        let after = server.serve().unwrap().config;
        assert_eq!(kind(&after), Some(HandshakeKind::Resumed));
        server.ticketer = ticketer(3600).unwrap();
        assert_eq!(kind(&server.serve().unwrap().config), Some(HandshakeKind::Full));
        assert_eq!(after.max_early_data_size, 0);
        assert!(!after.session_storage.can_cache());
    }

    #[test]
    fn clients_are_known_by_their_certificates() {
        let mut server = Server::new(&[&["one.test"]]);
        let clients = Authority::new();
        let ann = clients.issue_client("Ann", vec![]);
        let stranger = Authority::new().issue_client("Ann", vec![]);
        server.client_ca = Some(clients.pem().to_owned());
        let with = |server: &Server, own| Arc::new(server.client(own));
        let required = server.serve().unwrap().config;
        let (served, _) = shake(&required, &with(&server, Some(ann.clone())), "one.test").unwrap();
        assert_eq!(&*identity(&served.peer_certificates().unwrap()[0]).unwrap().name, "Ann");
        shake(&required, &with(&server, None), "one.test").map(drop).unwrap_err();
        shake(&required, &with(&server, Some(stranger.clone())), "one.test").map(drop).unwrap_err();
        server.requires_client = false;
        let optional = server.serve().unwrap().config;
        let (served, _) = shake(&optional, &with(&server, None), "one.test").unwrap();
        assert!(served.peer_certificates().is_none());
        shake(&optional, &with(&server, Some(stranger)), "one.test").map(drop).unwrap_err();
        // A resumed session keeps the identity of the first one.
        let client = with(&server, Some(ann));
        let (_, first) = shake(&optional, &client, "one.test").unwrap();
        drop(first);
        let (served, _) = shake(&optional, &client, "one.test").unwrap();
        assert_eq!(served.handshake_kind(), Some(HandshakeKind::Resumed));
        assert_eq!(&*identity(&served.peer_certificates().unwrap()[0]).unwrap().name, "Ann");
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_its_name() {
        let mut server = Server::new(&[]);
        assert_eq!(server.serve().unwrap_err().to_string(), "TLS: holds no certificate (BEGIN CERTIFICATE)");
        server.chains.push(leaf(&["a.test"]));
        server.client_ca = Some(leaf(&["ca.test"]).1);
        assert_eq!(server.serve().unwrap_err(), Flaw::NoCertificate.of("ca"));
        server.client_ca = None;
        server.chains.push(leaf(&[]));
        assert_eq!(server.serve().unwrap_err(), Flaw::Nameless.of("chain"));
    }
}
