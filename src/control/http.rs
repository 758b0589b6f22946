//! The control listener's HTTP side: `/metrics`, `/health`, `/ready`, the API, and a door that keeps it small.
//!
//! Nothing here is logged per request. A bounded number of connections is held, and none of them for longer than
//! [`SILENCE_MAX`] without an answer.

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

/// How long a connection may go without an answer written to it. Longer than the usual interval between scrapes,
/// so that a scraper keeps its connection.
const SILENCE_MAX: Duration = Duration::from_secs(90);

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
    silence_max: Duration,
}

impl Door {
    /// Takes over a bound listener. Connections beyond `seats` wait in the kernel's backlog.
    pub(super) fn new(listener: std::net::TcpListener, seats: usize) -> io::Result<Self> {
        Self::with_limits(listener, seats, SILENCE_MAX)
    }

    fn with_limits(listener: std::net::TcpListener, seats: usize, silence_max: Duration) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, seats: Arc::new(Semaphore::new(seats)), silence_max })
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
        let silence = Box::pin(sleep(self.silence_max));
        (Seat { stream, silence, silence_max: self.silence_max, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection. Reading does not prolong its time, or a client could feed a head byte by byte for ever.
pub(super) struct Seat {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Seat {
    /// What to say instead of "not yet": that it took too long, if it did.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.silence.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for Seat {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            ready @ Poll::Ready(_) => {
                let deadline = Instant::now() + self.silence_max;
                self.silence.as_mut().reset(deadline);
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
    fn one_seat(silence_max: Duration) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let view = View::new(Vec::new(), 0, Arc::new(Readiness::new(0)));
            runtime.block_on(async {
                let gate = Arc::new(Gate::new(String::new(), true, true));
                serve(Door::with_limits(listener, 1, silence_max).unwrap(), view, None, gate).await
            });
        });
        address
    }

    #[test]
    fn who_never_ends_a_request_is_shown_the_door() {
        let mut slow = TcpStream::connect(one_seat(Duration::from_millis(100))).unwrap();
        slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        slow.write_all(b"GET /health HTTP/1.1\r\nhost: ").unwrap();
        let mut rest = Vec::new();
        // An end or a reset, but not the 20 seconds of the client's patience.
        if let Err(error) = slow.read_to_end(&mut rest) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(rest.is_empty(), "{rest:?}");
    }

    #[test]
    fn who_finds_no_seat_waits_for_one() {
        let address = one_seat(SILENCE_MAX);
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
