//! The control plane: one thread with a tokio current-thread runtime, for everything beside the data path: metrics,
//! health, signals, the end of shards. No message passes through it.
//!
//! # How the server uses it
//!
//! ```text
//! let runtime = control::runtime()?;        // before any shard has a descriptor table of its own
//! let (notices, endings) = control::endings(shard_count);
//! let readiness = Arc::new(Readiness::new(shard_count));
//! for each shard, on its own thread:        // takes one notice and a clone of the readiness
//!     listen; readiness.shard_listens();
//!     notice.end(shard.run())               // the notice's drop reports a panic
//! let outcome = control::run(&runtime, ControlInputs { … })?;   // on the main thread, until all shards have ended
//! ```
//!
//! The first SIGTERM or SIGINT calls `drain`, once; the control listener continues to answer (`/ready` with 503)
//! until the last shard has ended, and [`run`] returns [`Outcome::Drained`]. After a second signal, or when a shard
//! fails, it returns at once; shards may still be running then, so the caller must not join them but end the process.
//!
//! Left out: starting shards (`server`), and any state of channels or connections.
//!
//! * HTTP: `http` (paths), `gate` (access), `seats` (which connection is closed for another), `desk` (threads that
//!   answer); `api` is the server API.
//! * Metrics: `metrics`, `memory`, `process`, `readiness`.
//! * Log and terminal: `logs`, `log_writer` (its thread), `refusals`, `drain`, `shortage`, `announce`, `console`.
//! * The process: `endings` (of shards), `notify` (service manager), `reload`.

pub mod announce;
pub mod api;
pub mod console;
pub(crate) mod desk;
mod drain;
mod endings;
mod gate;
mod http;
mod log_writer;
pub mod logs;
mod memory;
pub mod metrics;
pub mod notify;
mod process;
mod readiness;
mod refusals;
mod reload;
mod seats;
mod shortage;

use crate::config::ControlPaths;
use crate::node::{Certificates, Reloader};
use crate::outside::World;
use crate::shard::counters::Counters;
use api::{Api, Guard};
use desk::ApiThreads;
use endings::Ending;
use gate::Gate;
use metrics::View;
use std::fmt;
use std::future;
use std::io;
use std::net::TcpListener;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::{self, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

pub(crate) use endings::{EndNotice, Endings, endings};
pub(crate) use memory::Memory;
pub(crate) use metrics::Scrape;
pub(crate) use readiness::{Readiness, State};

/// Name of the control plane's thread, if it has one of its own.
const THREAD_NAME: &str = "control";

/// The inputs of the control plane.
pub(crate) struct ControlInputs {
    /// The bound control listener; `None` when control is off. Signals are handled without it, too.
    pub listener: Option<TcpListener>,
    /// Maximum number of connections of the listener, at least two; when another comes, the one that was idle for
    /// longest is closed.
    pub seats: usize,
    /// The server's API; `None` when it is off.
    pub api: Option<Api>,
    /// The threads that answer requests.
    pub threads: ApiThreads,
    /// Paths of the listener.
    pub paths: ControlPaths,
    /// The key that requests must carry; empty for none: then only requests from this machine are answered.
    pub key: String,
    /// Counters, by shard.
    pub counters: Vec<Arc<Counters>>,
    /// The use of memory, and its limit.
    pub memory: Memory,
    /// Hooks and tokens.
    pub outside: Arc<World>,
    /// The part of the configuration that metrics depend on.
    pub scrape: Scrape,
    /// Set by shards as they begin to listen; the start of the drain is recorded in it here.
    pub readiness: Arc<Readiness>,
    /// Starts the drain: tells every shard to stop accepting and to close its connections. Must not block.
    pub drain: Box<dyn FnOnce() + Send>,
    /// Time from the start of the drain to the first closed connection.
    pub drain_delay: Duration,
    /// Maximum time for closing all connections.
    pub drain_time: Duration,
    /// Receiver of the shards' reports of their ends.
    pub endings: Endings,
    /// Signals that are recorded from its creation on: SIGTERM, SIGINT and SIGHUP. `None` for an embedded server,
    /// whose program starts the drain.
    pub signals: Option<Signals>,
    /// The certificates, if TLS is on: reloaded when their files change, and on SIGHUP.
    pub certificates: Option<Certificates>,
    /// Reloads the configuration, on SIGHUP and by the server API. `None` for a server without a function for that:
    /// then SIGHUP reloads certificates only.
    pub reloader: Option<Reloader>,
}

/// How the control plane ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All shards have ended after a drain.
    Drained,
    /// A second signal ended the drain.
    Interrupted,
    /// A shard ended with an error or a panic.
    ShardFailed {
        /// The number of the shard.
        shard: usize,
        /// The text of its error.
        reason: String,
    },
}

impl Outcome {
    /// The exit code of the process: 0 after a clean drain, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(*self != Self::Drained)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Interrupted => f.write_str("a second signal ended the drain"),
            Self::ShardFailed { shard, reason } => write!(f, "shard {shard} failed: {reason}"),
        }
    }
}

/// Makes the runtime of the control plane. A shard that ends wakes it through a descriptor, so it must be made before
/// any shard has a descriptor table of its own: there the same number would be invalid, or a client's socket.
///
/// # Errors
/// When no descriptors are left.
pub(crate) fn runtime() -> io::Result<ControlRuntime> {
    runtime::Builder::new_current_thread().enable_all().build().map(|runtime| ControlRuntime(Some(runtime)))
}

/// A runtime that may be dropped anywhere. tokio's own panics when it is dropped where tasks run, as in an embedder's
/// `async fn` after a failed start of a server.
#[derive(Debug)]
pub(crate) struct ControlRuntime(Option<Runtime>);

impl Deref for ControlRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        let Some(runtime) = &self.0 else {
            unreachable!("a runtime is taken when it is dropped, not before")
        };
        runtime
    }
}

impl Drop for ControlRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // This does not wait, so it may be called anywhere.
            runtime.shutdown_background();
        }
    }
}

/// Runs the control plane on the calling thread until all shards have ended, one has failed, or a second signal came.
/// Inside another runtime it runs on a thread of its own, since runtimes cannot be nested, and the calling thread
/// waits for it.
///
/// # Errors
/// When the listener cannot be set up; then no shard has been told anything.
pub(crate) fn run(runtime: &ControlRuntime, inputs: ControlInputs) -> io::Result<Outcome> {
    if Handle::try_current().is_err() {
        return runtime.block_on(supervise(inputs));
    }
    thread::scope(|scope| {
        let control = thread::Builder::new().name(THREAD_NAME.to_owned());
        let running = control.spawn_scoped(scope, || runtime.block_on(supervise(inputs)))?;
        running.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs the control plane like [`run`], on a thread of its own that starts at once. Returns a future that any
/// executor can await; dropping the future changes nothing.
///
/// # Errors
/// When no thread can be started; then no shard has been told anything. The future returns the errors of [`run`].
pub(crate) fn spawn(
    runtime: ControlRuntime,
    inputs: ControlInputs,
) -> io::Result<impl Future<Output = io::Result<Outcome>> + Send + 'static> {
    let (sender, outcome) = oneshot::channel();
    thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
        // The receiver may be gone.
        sender.send(run(&runtime, inputs)).ok();
    })?;
    Ok(async { outcome.await.unwrap_or_else(|_| Err(io::Error::other("the control plane panicked"))) })
}

async fn supervise(inputs: ControlInputs) -> io::Result<Outcome> {
    let ControlInputs {
        listener,
        seats,
        api,
        threads,
        paths,
        key,
        counters,
        memory,
        outside,
        scrape,
        readiness,
        drain,
        drain_delay,
        drain_time,
        endings,
        signals,
        certificates,
        reloader,
    } = inputs;
    let (mut signals, hangup) = signals.map(|Signals { ends, hangup }| (ends, hangup)).unzip();
    let shards = counters.clone();
    tokio::spawn(memory::watch(memory.clone()));
    tokio::spawn(shortage::watch(memory.clone(), counters.clone()));
    tokio::spawn(refusals::watch(counters.clone(), Arc::clone(&readiness)));
    tokio::spawn(drain::tell(counters.clone(), Arc::clone(&readiness), drain_delay));
    let gate = gate_before(listener.as_ref(), key, paths, (api.as_ref(), reloader.as_ref()))?;
    let view = View::new(counters, scrape, Arc::clone(&readiness))
        .with_api(api.as_ref().map(Api::counts).unwrap_or_default())
        .with_certificates(certificates.clone())
        .with_memory(memory)
        .with_outside(Arc::clone(&outside))
        .with_reloader(reloader.clone())
        .with_gate(Arc::clone(&gate));
    let view = Arc::new(view);
    let paths = |api| http::paths(Arc::clone(&view), (api, reloader.clone()), Arc::clone(&gate));
    // Requests are answered until this is dropped.
    let api = api.map(|api| api.with_asking_max(seats::turn_count(seats.max(2)) / 2));
    let serving = threads.begin(api, &gate, paths)?;
    if let Some(listener) = listener {
        tokio::spawn(http::Door::new(listener, seats, gate)?.open(serving.servers()));
    }
    tokio::spawn(reload::reload(certificates, reloader.clone(), hangup));
    let begin_drain = |signal| {
        tell_signal(signal, drain_delay);
        notify::stopping();
        readiness.drain_begins();
        drain();
    };
    if let Some(outcome) = until_ended((endings, shards.len()), &mut signals, begin_drain).await {
        return Ok(outcome);
    }
    // The state hook may have been replaced by a reload.
    let outside = reloader.map_or(outside, |reloader| reloader.world());
    tokio::select! {
        () = drain::farewell(&outside, &shards, drain_time) => {}
        _ = next_signal(&mut signals) => return Ok(Outcome::Interrupted),
    }
    Ok(Outcome::Drained)
}

/// Waits until all shards have ended: `None`. The first signal begins the drain, another one interrupts it.
async fn until_ended(
    (mut endings, mut left): (Endings, usize),
    signals: &mut Option<Ends>,
    begin_drain: impl FnOnce(&'static str),
) -> Option<Outcome> {
    let mut begin_drain = Some(begin_drain);
    while left > 0 {
        tokio::select! {
            ending = endings.next() => match ending {
                Ending { result: Ok(()), .. } => left -= 1,
                Ending { shard, result: Err(reason) } => return Some(Outcome::ShardFailed { shard, reason }),
            },
            signal = next_signal(signals) => match begin_drain.take() {
                Some(begin_drain) => begin_drain(signal),
                None => return Some(Outcome::Interrupted),
            },
        }
    }
    None
}

/// The gate of the control listener.
fn gate_before(
    listener: Option<&TcpListener>,
    key: String,
    paths: ControlPaths,
    (api, reloader): (Option<&Api>, Option<&Reloader>),
) -> io::Result<Arc<Gate>> {
    let own = listener.map(TcpListener::local_addr).transpose()?;
    let is_local = own.is_none_or(|address| crate::config::is_loopback(address.ip()));
    let guard = api.map(Api::guard);
    let api_has_keys = guard.as_ref().is_none_or(|guard| !guard.is_open());
    let gate = Arc::new(Gate::new(key, is_local, api_has_keys).at(paths));
    if let Some(reloader) = reloader {
        follow_reloads(reloader, Arc::clone(&gate), guard);
    }
    Ok(gate)
}

/// Updates the keys of the control listener after each reload.
fn follow_reloads(reloader: &Reloader, gate: Arc<Gate>, guard: Option<Guard>) {
    reloader.on_reload(move |config, _| {
        if let Some(guard) = &guard {
            guard.renew(config.api.clone());
        }
        let api_has_keys = guard.as_ref().is_none_or(|guard| !guard.is_open());
        gate.renew(config.control_key.0.clone(), api_has_keys);
    });
}

/// Logs that a signal started a drain.
fn tell_signal(name: &str, drain_delay: Duration) {
    if drain_delay.is_zero() {
        tracing::info!("{name}: draining; a second signal ends at once");
    } else {
        let delay_ms = drain_delay.as_millis();
        tracing::info!(
            "{name}: the drain begins after a delay of {delay_ms} ms; a second signal ends at once"
        );
    }
}

/// The handled signals. They are recorded from its creation on.
#[derive(Debug)]
pub(crate) struct Signals {
    ends: Ends,
    hangup: Signal,
}

/// The signals that end the server.
#[derive(Debug)]
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs handlers for SIGTERM, SIGINT and SIGHUP, in the context of a [`runtime()`].
    ///
    /// # Errors
    /// The errors of `sigaction(2)`.
    pub(crate) fn install() -> io::Result<Self> {
        let ends =
            Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { ends, hangup: signal(SignalKind::hangup())? })
    }
}

/// The name of the next signal that ends the server; never resolves if signals are not handled.
async fn next_signal(signals: &mut Option<Ends>) -> &'static str {
    let Some(Ends { terminate, interrupt }) = signals else { return future::pending().await };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::shard::ledger::Ledger;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread::JoinHandle;

    struct Running {
        address: SocketAddr,
        notices: Vec<EndNotice>,
        readiness: Arc<Readiness>,
        drained: Arc<AtomicBool>,
        thread: JoinHandle<Outcome>,
    }

    fn start(shard_count: usize, signals: bool) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (notices, endings) = endings(shard_count);
        let readiness = Arc::new(Readiness::new(shard_count));
        let drained = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&drained);
        let counters: Arc<[_]> = (0..shard_count).map(|_| Arc::default()).collect();
        let (budget, publications) = (Budget::new(1), Budget::new(1));
        let runtime = runtime().unwrap();
        let outside = World::start(Arc::default(), Arc::new([]), runtime.handle()).unwrap();
        let inputs = ControlInputs {
            listener: Some(listener),
            seats: 8,
            api: None,
            threads: ApiThreads::prepare(2, &(Arc::new([]) as _)).unwrap(),
            paths: ControlPaths::default(),
            key: String::new(),
            counters: counters.to_vec(),
            memory: Memory { ledger: Ledger::new(counters, budget, publications), memory_max: 0 },
            outside,
            scrape: Scrape::default(),
            readiness: Arc::clone(&readiness),
            drain: Box::new(move || note.store(true, SeqCst)),
            drain_delay: Duration::ZERO,
            drain_time: Duration::ZERO,
            endings,
            signals: None,
            certificates: None,
            reloader: None,
        };
        let thread = thread::spawn(move || {
            let _context = runtime.enter();
            let signals = signals.then(|| Signals::install().unwrap());
            run(&runtime, ControlInputs { signals, ..inputs }).unwrap()
        });
        Running { address, notices, readiness, drained, thread }
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_answers_until_the_last_shard_has_ended() {
        let mut server = start(2, false);
        assert!(ask(server.address, "GET /health").starts_with("HTTP/1.1 200 "));
        server.readiness.shard_listens();
        let answer = ask(server.address, "GET /ready");
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("1 of 2 shards listening"),
            "{answer}"
        );
        server.readiness.shard_listens();
        assert!(ask(server.address, "GET /ready").starts_with("HTTP/1.1 200 "));
        let metrics = ask(server.address, "GET /metrics");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        assert!(metrics.contains("\nthrong_connections{shard=\"1\"} 0\n"), "{metrics}");
        assert!(ask(server.address, "GET /nothing").starts_with("HTTP/1.1 404 "));
        assert!(ask(server.address, "POST /metrics").starts_with("HTTP/1.1 405 "));
        server.notices.pop().unwrap().end(Ok(()));
        server.readiness.drain_begins();
        let answer = ask(server.address, "GET /ready");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("draining"), "{answer}");
        server.notices.pop().unwrap().end(Ok(()));
        assert_eq!(server.thread.join().unwrap(), Outcome::Drained);
        assert!(!server.drained.load(SeqCst), "nobody asked for a drain here");
    }

    #[test]
    fn a_shard_that_fails_ends_it_at_once() {
        let mut server = start(2, false);
        server.notices.pop().unwrap().end(Err(io::Error::other("no more memory")));
        let outcome = server.thread.join().unwrap();
        assert_eq!(outcome, Outcome::ShardFailed { shard: 1, reason: "no more memory".into() });
        assert_eq!((outcome.exit_code(), Outcome::Drained.exit_code()), (1, 0));
    }

    #[test]
    fn a_shard_that_panics_is_told_by_its_notice() {
        let mut server = start(1, false);
        let notice = server.notices.pop().unwrap();
        thread::spawn(move || {
            let _notice = notice;
            panic!("planted");
        })
        .join()
        .unwrap_err();
        let reason = "it panicked".to_owned();
        assert_eq!(server.thread.join().unwrap(), Outcome::ShardFailed { shard: 0, reason });
    }

    /// The only test here that sends signals: they reach the whole process.
    #[test]
    fn the_first_signal_drains_and_the_second_ends() {
        let server = start(1, true);
        let send = |name: &str| {
            let status = Command::new("kill").arg(name).arg(std::process::id().to_string()).status().unwrap();
            assert!(status.success());
        };
        server.readiness.shard_listens();
        assert!(
            ask(server.address, "GET /ready").starts_with("HTTP/1.1 200 "),
            "signals are handled from here on"
        );
        send("-HUP");
        send("-TERM");
        while server.readiness.state() != State::Draining {
            thread::yield_now();
        }
        assert!(ask(server.address, "GET /ready").contains("draining"));
        assert!(server.drained.load(SeqCst), "and the hangup did not end it");
        send("-INT");
        assert_eq!(server.thread.join().unwrap(), Outcome::Interrupted);
        assert_eq!(server.notices.len(), 1, "the shard has not ended");
    }
}
