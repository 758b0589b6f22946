//! Certificates for a test, in files, and TLS clients of rustls' own.

#[path = "../../../src/tls/fixtures.rs"]
pub(crate) mod fixtures;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use tungstenite::{Message, WebSocket};

use super::peer::PATIENCE;
use fixtures::Authority;

/// A chain and its key, in PEM.
pub(crate) type Pair = (String, String);

/// A folder that is gone at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("throng-it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Puts a file in place of another at once, as a careful program does. Returns its path.
    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// Writes a certificate and its key, and returns the flags that name them.
    pub(crate) fn pair(&self, name: &str, (chain, key): &Pair) -> [String; 4] {
        let (chain, key) = (self.put(&format!("{name}.pem"), chain), self.put(&format!("{name}.key"), key));
        ["--tls-cert".to_owned(), chain, "--tls-key".to_owned(), key]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A client that trusts an authority, and has a certificate of its own or not.
pub(crate) fn trusting(ca: &Authority, own: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// A WebSocket over TLS.
pub(crate) struct Socket(WebSocket<StreamOwned<ClientConnection, TcpStream>>);

impl Socket {
    /// Connects as a client that requests `name`; an error names the step of the refusal.
    pub(crate) fn open(
        config: &Arc<ClientConfig>,
        address: SocketAddr,
        name: &str,
        path: &str,
    ) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let server = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), server).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).map_err(|error| format!("TLS: {error}"))?;
        }
        let opened = tungstenite::client(format!("ws://{name}{path}"), StreamOwned::new(tls, stream));
        opened.map(|(socket, _)| Self(socket)).map_err(|error| format!("WebSocket: {error}"))
    }

    /// The answer to a text.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// The next text.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) => {}
                other @ (Message::Binary(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    /// Sends close_notify.
    pub(crate) fn say_goodbye(&mut self) {
        let StreamOwned { conn, sock } = self.0.get_mut();
        conn.send_close_notify();
        conn.write_tls(sock).unwrap();
    }

    /// Whether the rest of the input is a close_notify, too.
    pub(crate) fn is_answered(&mut self) -> bool {
        matches!(self.0.get_mut().read(&mut [0; 1]), Ok(0))
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.get_ref().conn.peer_certificates().unwrap()[0].clone()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// The first certificate of a chain.
pub(crate) fn first((chain, _): &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()
}

/// The answer to a request over a connection of its own, as it was sent.
pub(crate) fn answer_to(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
    request: &str,
) -> String {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let tls = ClientConnection::new(Arc::clone(config), server).unwrap();
    let mut stream = StreamOwned::new(tls, stream);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
