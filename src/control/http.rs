//! The HTTP server of the control listener: `/metrics`, `/health`, `/ready`, the API, and limits on connections.
//!
//! Requests are not logged. The number of connections is limited ([`super::seats`]); a connection has at most
//! [`REQUEST_MAX`] for a request, as much for reading its answer, and [`SILENCE_MAX`] between requests.

use super::State;
use super::api::{self, Api};
use super::desk::Server;
use super::gate::{Gate, READY, is_admitted};
use super::metrics::{self, View};
use super::seats::{Seat, Seats};
use crate::config::ControlPaths;
use crate::node::Reloader;
use axum::body::Body;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Router, extract};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower_service::Service as _;

/// Timeout of a request, from its first byte, or from accept, until it has come; and of its answer, from the first
/// byte written to the last. The time in which the answer is made is limited by its handler.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Timeout of an idle connection. Longer than the usual interval between scrapes, so that a scraper keeps its
/// connection.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Time for a client whose connection is closed for another to read the answer.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);
/// Pause after a failed accept, probably for lack of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The timeouts of connections.
#[derive(Clone, Copy, Debug)]
struct Patience {
    request: Duration,
    silence: Duration,
}

/// The answer to a health check.
async fn alive() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], "{}")
}

/// The routes behind the gate.
pub(super) fn paths(
    view: Arc<View>,
    (api, reloader): (Option<Arc<Api>>, Option<Reloader>),
    gate: Arc<Gate>,
) -> Router {
    let paths = gate.paths().clone();
    let index = index(&paths, api.is_some());
    let (elsewhere, otherwise) = (Arc::clone(&gate), Arc::clone(&gate));
    Router::new()
        .route("/", get(move || async move { index }))
        .route(&paths.metrics, get(metrics_text))
        // As in Centrifugo, with any method.
        .route(&paths.health, any(alive))
        .route(READY, get(ready))
        .route("/debug/memory", get(memory_json))
        .with_state(view)
        .merge(api.map(|api| api::router(&paths.api, api, reloader)).unwrap_or_default())
        .fallback(move |uri| async move { not_found(&elsewhere, &uri) })
        .method_not_allowed_fallback(move |method, uri| async move { not_allowed(&otherwise, &method, &uri) })
        .layer(middleware::from_fn_with_state(gate, pass))
}

/// Checks every request, including those for unknown paths.
async fn pass(gate: extract::State<Arc<Gate>>, mut request: extract::Request, next: Next) -> Response {
    if is_admitted(&request) {
        return next.run(request).await;
    }
    let (version, uri) = (request.version(), request.uri().clone());
    let path = uri.path();
    if let Err(refusal) = gate.check(version, &uri, request.headers_mut()) {
        return refusal.into_response();
    }
    // Requests of the API wait in their handlers, after their bodies have arrived: a slow body must not occupy a
    // turn. Health checks never wait.
    let waits = gate.of_api(path).is_none() && !gate.is_probe(path);
    match seat_of(&request).filter(|_| waits) {
        None => next.run(request).await,
        Some(seat) => match seat.turn().await {
            Some(turn) => {
                turn.pace().await;
                next.run(request).await
            }
            None => too_many(),
        },
    }
}

/// The target without repeated slashes, to which routers of other servers redirect. Targets with a backslash are
/// excluded: browsers treat it as a slash, so `/\\host` would lead to another server.
pub(super) fn redirected(path: &str, query: Option<&str>) -> Option<String> {
    if !path.contains("//") || path.contains('\\') {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("/{}{query}", parts.join("/")))
}

/// The answer for an unknown path: status 404, or a redirect.
fn not_found(gate: &Gate, uri: &Uri) -> Response {
    let path = uri.path();
    if let Some(meant) = redirected(path, uri.query()) {
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, meant)]).into_response();
    }
    let text = match gate.of_api(path).filter(|method| !method.is_empty()) {
        Some(method) => format!(
            "the server API has no method {method}, or is off; its methods are {}, {}, {}\n",
            api::METHODS.join(", "),
            api::BATCH,
            api::RELOAD
        ),
        None => format!("nothing is served at {path}; / lists the paths\n"),
    };
    (StatusCode::NOT_FOUND, text).into_response()
}

fn not_allowed(gate: &Gate, method: &Method, uri: &Uri) -> (StatusCode, String) {
    let path = uri.path();
    let is_method = gate.of_api(path).is_some_and(|method| method != api::DOCUMENT);
    let wanted = if is_method { "POST" } else { "GET" };
    (StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes {wanted}, not {method}\n"))
}

/// The seat of a request's connection.
pub(super) fn seat_of(request: &extract::Request) -> Option<Seat> {
    request.extensions().get().cloned()
}

/// The answer to a waiting request whose connection is closed for another.
pub(super) fn too_many() -> Response {
    let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, "too many requests are waiting\n").into_response()
}

/// The list of paths.
fn index(paths: &ControlPaths, has_api: bool) -> String {
    let ControlPaths { api, health, metrics, .. } = paths;
    let mut index =
        format!("throng {}\n{metrics}\n{health}\n{READY}\n/debug/memory\n", env!("CARGO_PKG_VERSION"));
    if has_api {
        index.extend([api.as_str(), "/", api::DOCUMENT, "\n"]);
    }
    index
}

async fn metrics_text(view: extract::State<Arc<View>>, request: extract::Request) -> impl IntoResponse {
    // Many clients may use client listeners, and each text costs work.
    let text =
        if is_admitted(&request) { view.shared_text() } else { metrics::render(&view.snapshot()).into() };
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text.to_string())
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

/// The listener with its limited number of connections.
pub(super) struct Door {
    listener: TcpListener,
    seats: Seats,
    patience: Patience,
    gate: Arc<Gate>,
}

impl Door {
    /// Takes over a bound listener.
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
        Ok(Self { listener, seats: Seats::new(seats), patience, gate })
    }

    /// Accepts connections and distributes them over the servers in turn.
    pub(super) async fn open(self, servers: Vec<Server>) {
        for server in servers.iter().cycle() {
            let Server { handle, .. } = server;
            let stream = self.next_stream().await;
            let seat = self.seats.take().await;
            handle.spawn(attend(stream, seat, server.clone(), self.patience, Arc::clone(&self.gate)));
            // A new connection is read before the next is accepted: a flood must not close it unread.
            handle.spawn(tokio::task::yield_now()).await.ok();
        }
    }

    /// Accepts the next connection.
    async fn next_stream(&self) -> std::net::TcpStream {
        loop {
            if let Ok((stream, _)) = self.listener.accept().await
                && let Ok(stream) = stream.into_std()
            {
                // Without delay, answers are sent at once; on failure the connection is about to end.
                stream.set_nodelay(true).ok();
                return stream;
            }
            sleep(ACCEPT_AGAIN).await;
        }
    }
}

/// Serves a connection until its end.
async fn attend(
    stream: std::net::TcpStream,
    seat: Seat,
    server: Server,
    patience: Patience,
    gate: Arc<Gate>,
) {
    // Fails for lack of memory or descriptors: no answer is possible.
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let is_answered = Arc::new(AtomicBool::new(false));
    let io = Line {
        stream,
        deadline: Box::pin(sleep(patience.request)),
        is_asking: true,
        has_written: false,
        is_answered: Arc::clone(&is_answered),
        patience,
        gate: Arc::clone(&gate),
        seat: seat.clone(),
    };
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        is_answered.store(false, Relaxed);
        request.extensions_mut().insert(seat.clone());
        let (server, gate, is_answered) = (&server, &gate, &is_answered);
        async move {
            let answer = answer(request, server, gate).await;
            is_answered.store(true, Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    // A client may close its sending side after its last request: it is answered all the same.
    let mut connection =
        pin!(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(io), service));
    tokio::select! {
        biased;
        // How the connection ends does not matter here.
        _ = connection.as_mut() => {}
        () = seat.displaced() => {
            gate.note_displaced();
            if seat.is_waiting() {
                connection.as_mut().graceful_shutdown();
                timeout(LAST_WORD_MAX, connection).await.ok();
            }
        }
    }
}

/// The answer to a request. Most requests call the API, without a look-up in the router.
async fn answer(mut request: hyper::Request<Incoming>, server: &Server, gate: &Gate) -> Response {
    let method = gate.of_api(request.uri().path()).and_then(api::method_named);
    if let (Some(api), Some(method), &Method::POST) = (&server.api, method, request.method()) {
        let (version, uri) = (request.version(), request.uri().clone());
        if let Err(refusal) = gate.check(version, &uri, request.headers_mut()) {
            return refusal.into_response();
        }
        return api::call(Arc::clone(api), method, request.map(Body::new)).await;
    }
    let Ok(answer) = server.router.clone().call(request).await;
    answer
}

/// The stream of a connection with its deadline. Only the first byte of a request, and the first and the last byte of
/// an answer move the deadline; otherwise a client could send a head, or read an answer, byte by byte without end.
struct Line {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// A request has begun (or a new connection's first is awaited), and its answer is not written completely.
    is_asking: bool,
    /// A byte of the answer was to be written, and not all of it is.
    has_written: bool,
    /// The answer is known: written bytes are not an interim response (100, RFC 9110 § 15.2.1).
    is_answered: Arc<AtomicBool>,
    patience: Patience,
    gate: Arc<Gate>,
    seat: Seat,
}

impl Line {
    /// The result for a pending operation: an error if the deadline has passed.
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

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            ready @ Poll::Ready(_) => {
                self.seat.note_life();
                if !std::mem::replace(&mut self.is_asking, true) {
                    let time = self.patience.request;
                    self.give(time);
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_answered.load(Relaxed) && !std::mem::replace(&mut self.has_written, true) {
            // The handler may have taken longer than a request may.
            let time = self.patience.request;
            self.give(time);
        }
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            ready @ Poll::Ready(_) => {
                self.seat.note_life();
                ready
            }
        }
    }

    /// Called when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            self.is_asking = false;
            let time = self.patience.silence;
            self.give(time);
        }
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
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// A listener with two connections, served until the test process ends.
    fn listen(request: Duration, silence: Duration) -> (SocketAddr, Arc<Gate>) {
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let shown = Arc::clone(&gate);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let view = View::new(Vec::new(), metrics::Scrape::default(), Arc::new(Readiness::new(0)));
            runtime.block_on(async {
                let door = Door::with_patience(listener, 2, Arc::clone(&gate), Patience { request, silence });
                door.unwrap().open(here(paths(Arc::new(view), (None, None), gate))).await
            });
        });
        (address, shown)
    }

    /// A server in the current runtime.
    fn here(router: Router) -> Vec<Server> {
        vec![Server { handle: tokio::runtime::Handle::current(), router, api: None }]
    }

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(500);
    const PATIENCE: Duration = Duration::from_secs(20);
    const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Expects that the server closes the connection, by an end or a reset, before the client's timeout.
    fn expect_end(stream: &mut TcpStream) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        assert!(rest.is_empty(), "{rest:?}");
    }

    /// Requests the health check, and reads the answer.
    fn ask(stream: &mut TcpStream) {
        stream.write_all(HEALTH).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{}") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0);
            answer.extend_from_slice(&bytes[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    }

    #[test]
    fn a_redirect_stays_on_this_server_and_keeps_the_query() {
        for (path, query, meant) in [
            ("//api//publish", Some("a=b&c"), Some("/api/publish?a=b&c")),
            ("/api//", None, Some("/api")),
            ("//evil.example/api", None, Some("/evil.example/api")),
            ("/\\evil.example//", None, None),
            ("/api/publish", Some("a=//"), None),
        ] {
            assert_eq!(redirected(path, query).as_deref(), meant, "{path}");
        }
    }

    /// Of each answer the time counts from its first byte, however long its handler took.
    #[test]
    fn a_late_answer_has_its_own_time_and_no_more() {
        const BODY_BYTES: usize = 32 << 20;
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let shown = Arc::clone(&gate);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let late = |_: String| async {
                sleep(2 * SHORT).await;
                vec![b'a'; BODY_BYTES]
            };
            let router = Router::new().route("/", axum::routing::post(late));
            runtime.block_on(async {
                let patience = Patience { request: SHORT, silence: LONG };
                Door::with_patience(listener, 4, gate, patience).unwrap().open(here(router)).await
            });
        });
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n";
        // Also after an interim answer.
        for expects in [&b""[..], b"expect: 100-continue\r\n"] {
            let mut stream = connect(address);
            stream.write_all(&[request, expects, b"\r\nx"].concat()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer.len() > BODY_BYTES, "{} bytes", answer.len());
        }
        assert_eq!(shown.timeout_count(), 0);
        let mut unread = connect(address);
        unread.write_all(&[&request[..], b"\r\nx"].concat()).unwrap();
        let began = Instant::now();
        while shown.timeout_count() == 0 {
            assert!(began.elapsed() < PATIENCE, "the answer that nobody reads has no end");
            thread::park_timeout(SHORT / 10);
        }
    }

    #[test]
    fn who_never_ends_a_request_is_shown_the_door() {
        let (address, gate) = listen(SHORT, LONG);
        let half = b"GET /health HTTP/1.1\r\nhost: ";
        let mut slow = connect(address);
        slow.write_all(half).unwrap();
        expect_end(&mut slow);
        // Also if the request is not the first.
        let mut slow = connect(address);
        ask(&mut slow);
        // Between two requests there is more time.
        slow.set_read_timeout(Some(2 * SHORT)).unwrap();
        assert_eq!(slow.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        slow.write_all(half).unwrap();
        expect_end(&mut slow);
        // And a connection without any data.
        expect_end(&mut connect(address));
        assert_eq!(gate.timeout_count(), 3);
    }

    #[test]
    fn who_asks_nothing_more_goes_in_the_end() {
        let (address, gate) = listen(LONG, SHORT);
        let mut idle = connect(address);
        ask(&mut idle);
        expect_end(&mut idle);
        assert_eq!(gate.timeout_count(), 0);
    }

    #[test]
    fn who_finds_no_seat_gets_that_of_the_longest_silent() {
        let (address, gate) = listen(LONG, LONG);
        let mut first = connect(address);
        ask(&mut first);
        let mut second = connect(address);
        second.write_all(b"GET /health HTTP/1.1\r\nhost: ").unwrap();
        first.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(first.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(&mut first);
        // The second connection has been idle for longest, and each new one for less time than those before it.
        let mut others: Vec<_> = (0..50).map(|_| connect(address)).collect();
        ask(&mut connect(address));
        expect_end(&mut second);
        expect_end(&mut first);
        others.iter_mut().take(49).for_each(expect_end);
        assert_eq!((gate.displaced_count(), gate.timeout_count()), (51, 0));
    }

    #[test]
    fn however_much_is_asked_a_probe_is_answered_and_who_goes_for_it_is_told() {
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (release, released) = tokio::sync::watch::channel(false);
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let wait = move || {
                let mut released = released.clone();
                async move { released.wait_for(|&is_released| is_released).await.map_or("", |_| "done\n") }
            };
            let router = Router::new()
                .route("/wait", get(wait))
                .route("/health", get(alive))
                .layer(middleware::from_fn_with_state(Arc::clone(&gate), pass));
            runtime.block_on(async {
                let patience = Patience { request: LONG, silence: LONG };
                let door = Door::with_patience(listener, 8, gate, patience).unwrap();
                tell.send(door.seats.clone()).unwrap();
                door.open(here(router)).await
            });
        });
        let seats = told.recv().unwrap();
        let mut askers: Vec<_> = (0..8)
            .map(|_| {
                let mut asker = connect(address);
                asker
                    .write_all(b"GET /wait HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    .unwrap();
                asker
            })
            .collect();
        while seats.busy() != (7, 1) {
            thread::yield_now();
        }
        ask(&mut connect(address));
        while seats.busy() != (7, 0) {
            thread::yield_now();
        }
        release.send(true).unwrap();
        let mut answers: Vec<_> = askers.iter_mut().map(rest).collect();
        answers.sort_unstable();
        assert!(answers[..7].iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{answers:?}");
        assert!(
            answers[7].starts_with("HTTP/1.1 503 ") && answers[7].contains("retry-after: 1\r\n"),
            "{answers:?}"
        );
    }

    fn rest(stream: &mut TcpStream) -> String {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        rest
    }

    #[test]
    fn who_does_not_take_an_answer_in_time_gets_no_more_of_it() {
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::clone(&gate);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let router = Router::new().route("/large", get(|| async { vec![b'x'; 64 << 20] }));
            runtime.block_on(async {
                let patience = Patience { request: SHORT, silence: LONG };
                Door::with_patience(listener, 2, gate, patience).unwrap().open(here(router)).await
            });
        });
        let mut stalled = connect(address);
        stalled.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        while counts.timeout_count() == 0 {
            thread::yield_now();
        }
        let mut taken = Vec::new();
        stalled.read_to_end(&mut taken).ok();
        assert!(taken.len() < 64 << 20, "what the kernel had taken, and no more");
    }

    /// A health check that arrives meanwhile must be answered before all of the pipelined requests.
    #[test]
    fn of_requests_that_come_in_one_packet_each_lets_everybody_else_be_looked_at() {
        const REQUESTS: usize = 100;
        let gate = Arc::new(Gate::new(String::new(), true, true));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut asker = connect(listener.local_addr().unwrap());
        asker.write_all("GET /work HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(REQUESTS).as_bytes()).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let work = {
            let done = Arc::clone(&done);
            move || {
                done.fetch_add(1, Relaxed);
                async { "done\n" }
            }
        };
        let router = Router::new()
            .route("/work", get(work))
            .layer(middleware::from_fn_with_state(Arc::clone(&gate), pass));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let patience = Patience { request: LONG, silence: LONG };
            tokio::spawn(Door::with_patience(listener, 8, gate, patience).unwrap().open(here(router)));
            let mut seen = 0;
            while seen < REQUESTS {
                tokio::task::yield_now().await;
                let before = std::mem::replace(&mut seen, done.load(Relaxed));
                assert!(seen - before <= 2, "{before} to {seen} between two looks");
            }
        });
    }

    #[test]
    fn who_ends_its_side_behind_a_request_is_answered() {
        let (address, _) = listen(LONG, LONG);
        let mut stream = connect(address);
        stream.write_all(HEALTH).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = rest(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{}"), "{answer:?}");
    }
}
