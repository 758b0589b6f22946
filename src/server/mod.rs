//! A whole server: shards in their threads, the mailboxes between them, the control plane beside them.
//!
//! The calling thread makes what must exist before the shards part (unshare their descriptor tables): pollers and
//! wakers, the control plane's included, whose descriptors are in every table. A shard makes its private descriptors
//! after it has parted: first its listeners, since a listener that another table still held would receive connections
//! that nobody accepts. There cannot be one Unix socket per shard, so Unix sockets are made before, and all shards
//! accept from each.
//!
//! `prepared` makes what must exist before, `threads` runs a shard from start to end, `places` determines the listening
//! addresses, `random` draws the seeds.

mod places;
mod prepared;
mod random;
mod threads;

use std::fs;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::{Changes, Config, ConfigError, Effective};
use crate::control::announce::{self, Ready};
use crate::control::api::{Api, ApiError, Methods};
use crate::control::desk::ApiThreads;
use crate::control::{
    self, ControlInputs, ControlRuntime, Endings, Memory, Outcome, Readiness, Scrape, Signals,
};
use crate::net::{Inherited, Listen, Shared};
use crate::node::{Certificates, Node, Publisher, Relay, Reloader, Way};
use crate::outside::World;
use crate::session::Handler;
use crate::shard::counters::Counters;
use crate::shard::ledger::Ledger;
use crate::shard::mailbox::{Letter, Mailbox};
use crate::shard::outside::Outside;
use places::Places;
use prepared::{Common, Prepared, prepare};
use threads::{IsBound, await_bound, start_shards};

/// Maximum number of connections of the control listener (scrapers, backends that use the API) when the shards'
/// connections use the same descriptor table.
const SEATS_SHARED: usize = 64;

/// A server whose shards are listening. Dropping it leaves them running; see [`Server::drain`] and [`Server::wait`].
#[derive(Debug)]
pub struct Server {
    config: Config,
    addresses: Vec<SocketAddr>,
    /// Kept until all shards have ended, so that this thread's table closes them, too.
    shared: Vec<Arc<Shared>>,
    control_listener: Option<TcpListener>,
    capacity: u64,
    counters: Arc<[Arc<Counters>]>,
    ledger: Ledger,
    mailboxes: Arc<[Mailbox]>,
    outside: Arc<World>,
    readiness: Arc<Readiness>,
    runtime: ControlRuntime,
    threads: ApiThreads,
    endings: Endings,
    node: Node,
    /// Delivers answers to embedders' executors; started with the first handle that needs it.
    relay: OnceLock<Relay>,
    methods: Methods,
    signals: Option<Signals>,
    certificates: Option<Certificates>,
    reloader: Option<Reloader>,
}

impl Server {
    /// Starts all shards and returns when each of them listens. `make_handler` is called once per shard, with its
    /// number. Features that are open to any client, as all are with [`Config::default`], are logged as a warning.
    ///
    /// With `private_descriptors`, each shard's table begins as a copy of the caller's: descriptors that are open now
    /// stay open in the shards, even after the caller has closed them. Start the server before opening descriptors
    /// that must be closed for good.
    ///
    /// # Errors
    /// When an address cannot be bound, descriptors for pollers run out, or a certificate cannot be used (see
    /// [`crate::node::is_certificate_error`]). Shards that had started then end again.
    pub fn start<H: Handler>(config: &Config, make_handler: impl FnMut(u16) -> H) -> io::Result<Self> {
        Self::start_with(config, Inherited::default(), make_handler)
    }

    /// Starts with listening sockets that the process inherited, in place of the configured ones.
    ///
    /// # Errors
    /// Like [`Server::start`].
    pub fn start_with<H: Handler>(
        config: &Config,
        inherited: Inherited,
        make_handler: impl FnMut(u16) -> H,
    ) -> io::Result<Self> {
        for line in announce::warnings_at(config, &inherited) {
            tracing::warn!("{line}");
        }
        let server = Self::start_warned(config, inherited, make_handler)?;
        if let Some(line) = server.control_warning() {
            tracing::warn!("{line}");
        }
        Ok(server)
    }

    /// Starts like [`Server::start_with`], for a program that logs [`announce::warnings`] and
    /// [`Server::control_warning`] itself: they are not logged here.
    ///
    /// # Errors
    /// Like [`Server::start`].
    pub fn start_warned<H: Handler>(
        config: &Config,
        inherited: Inherited,
        make_handler: impl FnMut(u16) -> H,
    ) -> io::Result<Self> {
        let Prepared {
            config,
            places,
            capacity,
            shard_capacity,
            nets,
            mailboxes,
            certificates,
            tls,
            runtime,
            threads,
        } = prepare(config, inherited)?;
        let Places { addresses, shared, control, listeners } = places;
        let readiness = Arc::new(Readiness::new(config.shards));
        let (notices, endings) = control::endings(config.shards);
        let uid = random::uid()?;
        let outside = World::start(Arc::clone(&config.outside), Arc::clone(&mailboxes), runtime.handle())?;
        let asked: Arc<dyn Outside> = Arc::clone(&outside) as _;
        let names = (uid.as_str(), random::seed()?);
        let common = Common {
            shard_capacity,
            tls,
            listeners,
            desk: threads.desk(),
            ..Common::new(&config, (mailboxes, asked), names)
        };
        let places = (addresses, shared.clone());
        let (addresses, waiting) =
            start_shards(&common, &config, places, nets.into_iter().zip(notices), &readiness, make_handler)?;
        let node = Node::over(&config, common.wiring(), &uid, &name(&config.api.node_name, &addresses));
        let Common { counters, mailboxes, ledger, .. } = common;
        let server = Self {
            config,
            addresses,
            shared,
            control_listener: None,
            capacity,
            counters,
            ledger,
            mailboxes,
            outside,
            readiness,
            runtime,
            threads,
            endings,
            node,
            relay: OnceLock::new(),
            methods: Methods::default(),
            signals: None,
            certificates,
            reloader: None,
        };
        server.with_control(&waiting, control)
    }

    /// Waits until all shards listen, and binds the control listener unless it is inherited. After an error the
    /// shards drain.
    fn with_control(self, waiting: &[IsBound], inherited: Option<TcpListener>) -> io::Result<Self> {
        let all_bound = waiting.iter().try_for_each(|is_bound| await_bound(is_bound).map(drop));
        let control_listener = all_bound.and_then(|()| match inherited {
            Some(inherited) => Ok(Some(inherited)),
            None => places::bind_control(&self.config),
        });
        match control_listener {
            Ok(control_listener) => Ok(Self { control_listener, ..self }),
            Err(error) => {
                self.drain();
                Err(error)
            }
        }
    }

    /// The TCP addresses of the listeners, with the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All listeners: the TCP addresses, then Unix sockets and inherited sockets.
    pub fn listens(&self) -> Vec<Listen> {
        let own = self.addresses.iter().copied().map(Listen::from);
        own.chain(self.shared.iter().map(|shared| shared.listen().clone())).collect()
    }

    /// The control listener's address, if there is one.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// A warning that the control listener had to take another port ([`Config::control_may_move`]), if it had to.
    pub fn control_warning(&self) -> Option<String> {
        announce::moved_control(&self.config, self.control_address())
    }

    /// The counters, by shard.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Starts the drain: new connections are refused, and open ones are closed over `drain_ms`. Returns at once.
    pub fn drain(&self) {
        self.readiness.drain_begins();
        send_drain(&self.mailboxes);
    }

    /// A handle with which another thread can start the drain.
    pub fn drainer(&self) -> impl Fn() + Send + Sync + 'static {
        let (mailboxes, readiness) = (Arc::clone(&self.mailboxes), Arc::clone(&self.readiness));
        move || {
            readiness.drain_begins();
            send_drain(&mailboxes);
        }
    }

    /// A handle with which any thread can publish into channels.
    pub fn publisher(&self) -> Publisher {
        Publisher(self.node.clone())
    }

    /// A handle with which any thread can use the functions of the server API. With `private_descriptors`, the first
    /// call starts a thread that delivers answers.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn node(&self) -> io::Result<Node> {
        if !self.config.private_descriptors {
            return Ok(self.node.clone());
        }
        let relay = match self.relay.get() {
            Some(relay) => relay,
            None => {
                let relay = Relay::start()?;
                self.relay.get_or_init(|| relay)
            }
        };
        Ok(self.node.by(Way::Relayed(relay.clone())))
    }

    /// Registers a function for a method of the API's `rpc`. It receives one JSON value, or nothing, and returns one
    /// JSON value. It runs on a thread that answers requests, so it must not block; its timeout is five seconds.
    pub fn on_api_rpc<F>(&mut self, method: &str, call: impl Fn(Vec<u8>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<u8>, ApiError>> + Send + 'static,
    {
        self.methods.insert(method, call);
    }

    /// A handle to the certificates; `None` for plain connections. [`Server::wait`] reloads certificate files when
    /// they change; with the handle, any thread can do so at once, or replace those in memory.
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Sets the configuration that the server was started with, and the function that reads it again. Then SIGHUP (if
    /// signals are handled), `POST /api/reload` and the returned handle reload it, and apply the changes that need no
    /// restart.
    pub fn reload_by(
        &mut self,
        effective: Effective,
        read: impl Fn() -> Result<Effective, Vec<ConfigError>> + Send + 'static,
    ) -> Reloader {
        let parts = (Arc::clone(&self.mailboxes), self.node.clone(), self.certificates.clone());
        let running = (effective, Arc::clone(&self.outside));
        let kept = (self.config.page, self.config.listen.clone(), self.control_address());
        let reloader = Reloader::new(parts, kept, running, Box::new(read));
        reloader.on_reload(warn_again);
        self.reloader = Some(reloader.clone());
        reloader
    }

    /// Registers handlers for SIGTERM, SIGINT and SIGHUP; [`Server::wait`] acts on the signals. Call it before
    /// reporting that the server is ready: until then, a signal ends the process.
    ///
    /// # Errors
    /// The errors of `sigaction(2)`.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        let _context = self.runtime.enter();
        self.signals = Some(Signals::install()?);
        Ok(())
    }

    /// The ready line.
    pub fn ready(&self) -> Ready<'_> {
        Ready {
            listen: self.listens(),
            websocket_path: self.config.websocket_path.as_deref(),
            socketio_path: Some(&self.config.socketio).filter(|o| o.enabled).map(|o| o.path.as_str()),
            shards: self.config.shards,
            capacity: self.capacity,
            beside: self.config.forwarded_paths(),
            control: self.control_address(),
            is_tls: self.certificates.is_some(),
        }
    }

    /// Runs the control plane in the calling thread until all shards have ended after a drain. If signals are
    /// handled, the first starts the drain, and a second one makes this return at once, with shards still running:
    /// end the process then.
    ///
    /// This blocks the thread. In an `async fn` use [`Server::wait_async`]: otherwise nothing else runs on that
    /// thread.
    ///
    /// # Errors
    /// When the control plane cannot be set up.
    pub fn wait(self) -> io::Result<Outcome> {
        let (runtime, inputs) = self.into_control();
        control::run(&runtime, inputs)
    }

    /// Waits like [`Server::wait`], for programs with an executor of any kind: the control plane runs on a thread of
    /// its own from now on, and the future returns its outcome. Dropping the future stops nothing; only the outcome
    /// is lost.
    ///
    /// # Errors
    /// Of the future: like [`Server::wait`], or when no thread can be started.
    pub fn wait_async(self) -> impl Future<Output = io::Result<Outcome>> + Send + 'static {
        let (runtime, inputs) = self.into_control();
        let outcome = control::spawn(runtime, inputs);
        async { outcome?.await }
    }

    /// The runtime and the inputs of the control plane.
    fn into_control(self) -> (ControlRuntime, ControlInputs) {
        let (config, mailboxes) = (self.config, Arc::clone(&self.mailboxes));
        let (is_private, seats) = (config.private_descriptors, config.control_connections_max);
        let api = config.api.enabled.then(|| Api::new(self.node, config.api, self.methods));
        let inputs = ControlInputs {
            listener: self.control_listener,
            seats: if is_private { seats } else { seats.min(SEATS_SHARED) },
            api,
            threads: self.threads,
            paths: config.control_paths,
            key: config.control_key.0,
            counters: self.counters.to_vec(),
            memory: Memory { ledger: self.ledger, memory_max: config.limits.memory_max as u64 },
            outside: self.outside,
            scrape: Scrape::new(self.capacity, config.metrics_client_names, is_private),
            readiness: self.readiness,
            drain: Box::new(move || send_drain(&mailboxes)),
            drain_delay: Duration::from_millis(config.timeouts.drain_delay_ms),
            drain_time: Duration::from_millis(config.timeouts.drain_ms),
            endings: self.endings,
            signals: self.signals,
            certificates: self.certificates,
            reloader: self.reloader,
        };
        (self.runtime, inputs)
    }
}

/// Logs warnings about open features after a reload that changed something.
fn warn_again(config: &Config, changes: &Changes) {
    if changes.taken.is_empty() {
        return;
    }
    for line in announce::warnings(config) {
        // Log lines show level and sender themselves.
        tracing::warn!("{}", line.trim_start_matches("throng: ").trim_start_matches("WARNING: "));
    }
}

fn send_drain(mailboxes: &[Mailbox]) {
    for mailbox in mailboxes {
        mailbox.put(&mut vec![Letter::Drain]);
    }
}

/// A name for people: the configured one, or the host's name with the port of the first listener, if there is one.
fn name(configured: &str, listen: &[SocketAddr]) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "throng" } else { host.trim() };
    listen.first().map_or_else(|| host.to_owned(), |address| format!("{host}_{}", address.port()))
}
