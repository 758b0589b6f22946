//! The control listener's HTTP side: `/metrics`, `/health`, `/ready`, and a door that keeps it small.
//!
//! Nothing here is logged per request, and nobody can hold more than [`SEATS_MAX`] connections or one of them for
//! longer than [`SILENCE_MAX`] without getting an answer.

use super::State;
use super::metrics::{self, View};
use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
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

/// Connections of the control listener at a time; further ones wait in the kernel's backlog.
const SEATS_MAX: usize = 64;
/// How long a connection may go without an answer written to it. Longer than the usual interval between scrapes,
/// so that a scraper keeps its connection.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Answers until the runtime ends.
pub(super) async fn serve(door: Door, view: View) {
    let router = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics_text))
        .route("/health", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .with_state(Arc::new(view));
    if let Err(error) = axum::serve(door, router).await {
        tracing::error!("the control listener has ended: {error}");
    }
}

async fn index() -> &'static str {
    concat!("throng ", env!("CARGO_PKG_VERSION"), "\n/metrics\n/health\n/ready\n")
}

async fn metrics_text(view: extract::State<Arc<View>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&view.snapshot()))
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
}

impl Door {
    /// Takes over a bound listener.
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, seats: Arc::new(Semaphore::new(SEATS_MAX)) })
    }
}

impl Listener for Door {
    type Io = Seat;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Seat, SocketAddr) {
        // Fails only on a closed semaphore, and nobody closes it.
        let permit = Arc::clone(&self.seats).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Seat { stream, silence: Box::pin(sleep(SILENCE_MAX)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection. Reading does not prolong its time, or a client could feed a head byte by byte for ever.
pub(super) struct Seat {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
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
                self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
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
