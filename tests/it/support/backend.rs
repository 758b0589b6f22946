//! An application's backend: a server with an API in this process, and a plain HTTP client that keeps its connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::Value;
use throng::parts::config::{ApiOptions, Config};
use throng::parts::control::Outcome;
use throng::parts::control::api::ApiError;
use throng::parts::hub::options::Namespaces;
use throng::parts::session::NoHandler;
use throng::{Node, Server};
use tokio::sync::Semaphore;

use super::peer::PATIENCE;

/// A server in this process, with an API.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) node: Node,
    /// The API's method `wait` is answered by one of its permits.
    pub(crate) gate: Arc<Semaphore>,
    drain: Box<dyn Fn() + Send>,
    thread: JoinHandle<Outcome>,
}

/// Two keys.
pub(crate) fn options() -> ApiOptions {
    ApiOptions { keys: vec!["secret".to_owned(), "other".to_owned()], ..ApiOptions::default() }
}

impl Running {
    pub(crate) fn start(api: ApiOptions) -> Self {
        Self::start_with(api, Namespaces { takes_unknown: true, ..Namespaces::default() })
    }

    pub(crate) fn start_with(api: ApiOptions, namespaces: Namespaces) -> Self {
        Self::configured(api, |config| config.namespaces = Arc::new(namespaces))
    }

    /// Starts a server with further configuration.
    pub(crate) fn configured(api: ApiOptions, configure: impl FnOnce(&mut Config)) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            listen: vec![any.into()],
            control: Some(any),
            shards: 3,
            pin: false,
            // A shard's table would begin as a copy of this process's and keep the sockets of other tests open.
            private_descriptors: false,
            api,
            ..Config::default()
        };
        configure(&mut config);
        config.timeouts.ping_interval_ms = 0;
        config.timeouts.drain_ms = 50;
        let mut server = Server::start(&config, |_shard| NoHandler).unwrap();
        server.on_api_rpc("add", |params| async move {
            let numbers: Vec<i64> = serde_json::from_slice(&params)
                .map_err(|error| ApiError { code: 400, message: error.to_string().into() })?;
            Ok(numbers.iter().sum::<i64>().to_string().into_bytes())
        });
        let gate = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&gate);
        server.on_api_rpc("wait", move |_| {
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Ok(b"1".to_vec())
            }
        });
        Self {
            gate,
            address: server.addresses()[0],
            control: server.control_address().unwrap(),
            node: server.node().unwrap(),
            drain: Box::new(server.drainer()),
            thread: thread::spawn(|| server.wait().unwrap()),
        }
    }

    pub(crate) fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

/// A backend with one connection that it keeps.
pub(crate) struct Backend {
    stream: BufReader<TcpStream>,
    headers: String,
}

impl Backend {
    pub(crate) fn new(server: &Running) -> Self {
        Self::with_headers(server, "X-API-Key: secret\r\nContent-Type: application/json\r\n")
    }

    pub(crate) fn with_headers(server: &Running, headers: &str) -> Self {
        let stream = TcpStream::connect(server.control).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers = format!("Host: {}\r\n{headers}", server.control);
        Self { stream: BufReader::new(stream), headers }
    }

    /// Status and body of the answer.
    pub(crate) fn request(&mut self, line: &str, body: &str) -> (u16, String) {
        let Self { stream, headers } = self;
        let length = body.len();
        write!(stream.get_mut(), "{line} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let (mut status, mut length) = (0, 0);
        for line in stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// The answer to a body, which came with status 200.
    pub(crate) fn ask(&mut self, method: &str, body: Value) -> Value {
        let (status, answer) = self.request(&format!("POST /api/{method}"), &body.to_string());
        assert_eq!(status, 200, "{method}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }
}
