//! The control listener's HTTP side: `/metrics`, `/health`, `/ready`, the API, and a door that keeps it small.
//!
//! Nothing here is logged per request. A bounded number of connections is held: none of them for longer than
//! [`REQUEST_MAX`] in the middle of a request, nor than [`SILENCE_MAX`] between two.

use super::State;
use super::api::{self, Api};
use super::gate::Gate;
use super::metrics::{self, View};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Router, extract};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How long a request may take, from its first byte, or from accept, to its answer. Longer than any answer of the API.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long a connection may ask nothing. Longer than the usual interval between scrapes, so that a scraper keeps its
/// connection.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// The two.
#[derive(Clone, Copy, Debug)]
struct Patience {
    request: Duration,
    silence: Duration,
}

/// Answers until the runtime ends.
pub(super) async fn serve(door: Door, view: View, api: Option<Api>, gate: Arc<Gate>) {
    let view = match &api {
        Some(api) => view.with_api(api.counts()),
        None => view,
    };
    let paths = if api.is_some() { API_PATHS } else { "" };
    let router = Router::new()
        .route("/", get(move || async move { format!("{INDEX}{paths}") }))
        .route("/metrics", get(metrics_text))
        .route("/health", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .route("/debug/memory", get(memory_json))
        .with_state(Arc::new(view))
        .merge(api.map(api::router).unwrap_or_default())
        .layer(middleware::from_fn_with_state(gate, pass));
    if let Err(error) = axum::serve(door, router).await {
        tracing::error!("the control listener has ended: {error}");
    }
}

/// Every request comes through here, also one for a path that there is not.
async fn pass(gate: extract::State<Arc<Gate>>, request: extract::Request, next: Next) -> Response {
    match gate.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

const INDEX: &str =
    concat!("throng ", env!("CARGO_PKG_VERSION"), "\n/metrics\n/health\n/ready\n/debug/memory\n");
const API_PATHS: &str = "/api/openapi.json\n";

async fn metrics_text(view: extract::State<Arc<View>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&view.snapshot()))
}

async fn memory_json(view: extract::State<Arc<View>>) -> impl IntoResponse {
    let text = view.memory_json().map_or_else(|| "null".to_owned(), |value| format!("{value:#}"));
    ([(header::CONTENT_TYPE, "application/json")], text + "\n")
}

async fn ready(view: extract::State<Arc<View>>) -> (StatusCode, String) {
    let state = view.readiness.state();
    let status = if state == State::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{state}\n"))
}

/// The listener, with a bounded number of seats.
pub(super) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    patience: Patience,
    gate: Arc<Gate>,
}

impl Door {
    /// Takes over a bound listener. Connections beyond `seats` wait in the kernel's backlog.
    pub(super) fn new(listener: std::net::TcpListener, seats: usize, gate: Arc<Gate>) -> io::Result<Self> {
        Self::with_patience(listener, seats, gate, Patience { request: REQUEST_MAX, silence: SILENCE_MAX })
    }

    fn with_patience(
        listener: std::net::TcpListener,
        seats: usize,
        gate: Arc<Gate>,
        patience: Patience,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, seats: Arc::new(Semaphore::new(seats)), patience, gate })
    }
}

impl Listener for Door {
    type Io = Seat;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Seat, SocketAddr) {
        // Fails only on a closed semaphore, and nobody closes it.
        let permit = Arc::clone(&self.seats).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // An answer goes out at once; a connection that refuses is about to end anyway.
        stream.set_nodelay(true).ok();
        let Self { patience, ref gate, .. } = *self;
        let (deadline, gate) = (Box::pin(sleep(patience.request)), Arc::clone(gate));
        (Seat { stream, deadline, is_asking: true, patience, gate, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection. Only the first byte of a request moves its deadline, or a client could feed a head byte by byte for ever.
pub(super) struct Seat {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// A request has begun, or is awaited of one who has just come, and nothing of its answer is written.
    is_asking: bool,
    patience: Patience,
    gate: Arc<Gate>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Seat {
    /// What to say instead of "not yet": that it took too long, if it did.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let is_asking = self.is_asking;
        self.deadline.as_mut().poll(cx).map(|()| {
            if is_asking {
                self.gate.note_timeout();
            }
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    fn give(&mut self, time: Duration) {
        self.deadline.as_mut().reset(Instant::now() + time);
    }
}

impl AsyncRead for Seat {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            ready @ Poll::Ready(_) => {
                if !std::mem::replace(&mut self.is_asking, true) {
                    let time = self.patience.request;
                    self.give(time);
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Seat {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            ready @ Poll::Ready(_) => {
                self.is_asking = false;
                let time = self.patience.silence;
                self.give(time);
                ready
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Readiness;
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::thread;

    /// A listener with one seat, served until the test process ends.
    fn one_seat(request: Duration, silence: Duration) -> (SocketAddr, Arc<Gate>) {
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let shown = Arc::clone(&gate);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let view = View::new(Vec::new(), 0, Arc::new(Readiness::new(0)));
            runtime.block_on(async {
                let door = Door::with_patience(listener, 1, Arc::clone(&gate), Patience { request, silence });
                serve(door.unwrap(), view, None, gate).await
            });
        });
        (address, shown)
    }

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(500);

    /// That the server closes it, by an end or a reset, and not after the client's own patience.
    fn expect_end(stream: &mut TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(rest.is_empty(), "{rest:?}");
    }

    #[test]
    fn who_never_ends_a_request_is_shown_the_door() {
        let (address, gate) = one_seat(SHORT, LONG);
        let half = b"GET /health HTTP/1.1\r\nhost: ";
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(half).unwrap();
        expect_end(&mut slow);
        // Also when the request is not the first.
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        while !answer_of(&mut slow).ends_with(b"alive\n") {}
        // Between two requests there is more time.
        slow.set_read_timeout(Some(2 * SHORT)).unwrap();
        assert_eq!(slow.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        slow.write_all(half).unwrap();
        expect_end(&mut slow);
        // And who says nothing at all.
        expect_end(&mut TcpStream::connect(address).unwrap());
        assert_eq!(gate.timeout_count(), 3);
    }

    fn answer_of(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        assert_ne!(count, 0);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn who_asks_nothing_more_goes_in_the_end() {
        let (address, gate) = one_seat(LONG, SHORT);
        let mut idle = TcpStream::connect(address).unwrap();
        idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        while !answer_of(&mut idle).ends_with(b"alive\n") {}
        expect_end(&mut idle);
        assert_eq!(gate.timeout_count(), 0);
    }

    #[test]
    fn who_finds_no_seat_waits_for_one() {
        let (address, _) = one_seat(LONG, LONG);
        let ask =
            |stream: &mut TcpStream| stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        let mut first = TcpStream::connect(address).unwrap();
        ask(&mut first);
        first.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut second = TcpStream::connect(address).unwrap();
        ask(&mut second);
        second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(second.read(&mut answer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        second.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
}
