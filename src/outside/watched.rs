//! Connections that record whether requests were answered.
//!
//! A kept-alive connection may close while a request is on its way: the other side considers it idle, or has
//! restarted. A request that got not one byte of an answer this way is sent once more, over a new connection
//! (`http`). A connection without any earlier answer gives no such hint, and a request with a partial answer was
//! received.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper::http::Extensions;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

/// Size of a read from the connection, in bytes.
const READ_BYTES: usize = 8 << 10;

/// The state of a connection's requests and answers, which alternate (HTTP/1.1 without pipelining).
#[derive(Clone, Debug, Default)]
struct Talk(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    has_answered: AtomicBool,
    /// Whether data was written and nothing received since.
    is_waiting: AtomicBool,
}

/// Whether the request failed on a connection with earlier answers, before the first byte of its own answer.
pub(super) fn is_unheard(error: &legacy::Error) -> bool {
    let mut extensions = Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extensions);
    }
    extensions
        .get::<Talk>()
        .is_some_and(|Talk(known)| known.has_answered.load(Relaxed) && known.is_waiting.load(Relaxed))
}

/// Makes connections that record whether requests were answered.
#[derive(Clone, Debug)]
pub(super) struct Watched<C>(pub(super) C);

impl<C> Service<Uri> for Watched<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = WatchedStream<C::Response>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move { Ok(WatchedStream { stream: connecting.await?, talk: Talk::default() }) })
    }
}

/// A connection that records whether requests were answered.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    talk: Talk,
}

impl<S: Connection> Connection for WatchedStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.talk.clone())
    }
}

impl<S: Read + Unpin> Read for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_BYTES];
        let room = bytes.len().min(into.remaining());
        let mut read = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        if !read.filled().is_empty() {
            self.talk.0.has_answered.store(true, Relaxed);
            self.talk.0.is_waiting.store(false, Relaxed);
            into.put_slice(read.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.talk.0.is_waiting.store(true, Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.talk.0.is_waiting.store(true, Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
