//! An HTTP server whose answers, valid or invalid, are set by a test. One thread per connection and no framework:
//! frameworks prevent some of these answers.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;

pub(super) struct Backend {
    address: SocketAddr,
    scheme: &'static str,
    seen: Mutex<Receiver<Seen>>,
}

/// A received request.
#[derive(Debug)]
pub(super) struct Seen {
    /// Number of the connection, from 0.
    pub(super) connection: usize,
    /// Method and path.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(super) enum Reply {
    /// Status 200 with this body.
    Json(String),
    /// These bytes; then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
}

pub(super) fn json(text: &str) -> Reply {
    Reply::Json(text.to_owned())
}

impl Backend {
    pub(super) fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("http", script, |stream| stream)
    }

    pub(super) fn start_tls(
        tls: Arc<ServerConfig>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen("https", script, move |stream| {
            StreamOwned::new(ServerConnection::new(Arc::clone(&tls)).unwrap(), stream)
        })
    }

    fn listen<S: Read + Write + Send + 'static>(
        scheme: &'static str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(std::net::TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, is_seen) = mpsc::channel();
        let script = Arc::new(script);
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (stream, seen, script) = (wrap(stream.unwrap()), seen.clone(), Arc::clone(&script));
                thread::spawn(move || serve(stream, connection, &*script, &seen));
            }
        });
        Self { address, scheme, seen: Mutex::new(is_seen) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The next request.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    /// Whether another request has come.
    pub(super) fn has_seen_more(&self) -> bool {
        self.seen.lock().unwrap().try_recv().is_ok()
    }
}

fn serve(
    mut stream: impl Read + Write,
    connection: usize,
    script: &(impl Fn(&Seen) -> Reply + ?Sized),
    told: &mpsc::Sender<Seen>,
) {
    let mut bytes = Vec::new();
    loop {
        let Some(request) = read_request(&mut stream, &mut bytes, connection) else { return };
        let reply = script(&request);
        drop(told.send(request));
        match reply {
            Reply::Json(text) => {
                let mut answer = String::new();
                write!(answer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            // The client may close before all is written.
            Reply::Raw(bytes) => return drop(stream.write_all(&bytes)),
            Reply::Silence => return drop(stream.read_to_end(&mut Vec::new())),
        }
    }
}

/// Reads a request; `None` at the end of the connection.
fn read_request(stream: &mut impl Read, bytes: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(length) = head.parse(bytes).unwrap() {
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            let mut seen = Seen {
                connection,
                line: format!("{} {}", head.method.unwrap(), head.path.unwrap()),
                headers: head.headers.iter().map(|h| (h.name.to_lowercase(), text(h.value))).collect(),
                body: String::new(),
            };
            let body_length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= length + body_length {
                seen.body = text(&bytes[length..length + body_length]);
                bytes.drain(..length + body_length);
                return Some(seen);
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(count) if count > 0 => bytes.extend(&more[..count]),
            _ => return None,
        }
    }
}
