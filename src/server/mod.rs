//! A whole server: shards in their threads, the mailboxes between them, the control plane beside them.
//!
//! What must exist before the shards part is made here, in the calling thread: pollers and wakers, the control
//! plane's among them, whose descriptors every table holds. What a shard must have to itself it makes after it has parted: listeners first
//! of all, since one that another table still held would take connections that nobody accepts. Unix sockets cannot be
//! had one per shard, so they are made before, and all shards accept from each.
//!
//! `prepared` makes what must exist before, `threads` runs a shard from start to end, `places` decides on the listening addresses, `random` draws the seeds.

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

use crate::base::counters::Counters;
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
use crate::shard::ledger::Ledger;
use crate::shard::mailbox::{Letter, Mailbox};
use crate::shard::outside::Outside;
use places::Places;
use prepared::{Common, Prepared, prepare};
use threads::{await_bound, start_shards};

/// Connections of the control listener, scrapers and backends that use the API, at most, where the shards' connections take
/// from the same descriptor table.
const SEATS_SHARED: usize = 64;

/// A server whose shards are listening. Dropping it leaves them running; see [`Server::drain`] and [`Server::wait`].
#[derive(Debug)]
pub struct Server {
    config: Config,
    addresses: Vec<SocketAddr>,
    /// Held until all shards have ended, so that this thread's table gives them up, too.
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
    /// Hands answers to embedders' executors; started with the first handle that they ask for.
    relay: OnceLock<Relay>,
    methods: Methods,
    signals: Option<Signals>,
    certificates: Option<Certificates>,
    reloader: Option<Reloader>,
}

impl Server {
    /// Starts all shards and returns once each of them listens. `make_handler` is called once per shard, with its number. What
    /// is open to anyone, as everything is with [`Config::default`], is logged as a warning.
    ///
    /// With `private_descriptors`, each shard's table begins as a copy of the caller's: what is open now stays open in
    /// the shards, also after the caller has closed it. Start the server before opening what must be closed for good.
    ///
    /// # Errors
    /// When an address cannot be bound, descriptors for pollers run out, or a certificate cannot be used
    /// ([`crate::node::is_certificate_error`] tells). Shards that had started then end again.
    pub fn start<H: Handler>(config: &Config, make_handler: impl FnMut(u16) -> H) -> io::Result<Self> {
        Self::start_with(config, Inherited::default(), make_handler)
    }

    /// Starts with listening sockets that the process inherited, in place of those that the configuration names.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with<H: Handler>(
        config: &Config,
        inherited: Inherited,
        make_handler: impl FnMut(u16) -> H,
    ) -> io::Result<Self> {
        for line in announce::warnings_at(config, &inherited) {
            tracing::warn!("{line}");
        }
        Self::start_warned(config, inherited, make_handler)
    }

    /// Starts as [`Server::start_with`] does, for a program that has logged [`announce::warnings`] itself: they are not
    /// logged again.
    ///
    /// # Errors
    /// As [`Server::start`].
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
        let all_bound = waiting.iter().try_for_each(|is_bound| await_bound(is_bound).map(drop));
        let control_listener = all_bound.and_then(|()| match control {
            Some(inherited) => Ok(Some(inherited)),
            None => config.control.map(places::bind_control).transpose(),
        });
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
        match control_listener {
            Ok(control_listener) => Ok(Self { control_listener, ..server }),
            Err(error) => {
                server.drain();
                Err(error)
            }
        }
    }

    /// The addresses of TCP that it listens on, with the ports that the kernel chose where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All places that it listens at: those addresses, then Unix sockets and what came with the process.
    pub fn listens(&self) -> Vec<Listen> {
        let own = self.addresses.iter().copied().map(Listen::from);
        own.chain(self.shared.iter().map(|shared| shared.listen().clone())).collect()
    }

    /// The control listener's address, if there is one.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where shard after shard counts.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// Begins the drain: no more connections, and those that live are closed over `drain_ms`. Returns at once.
    pub fn drain(&self) {
        self.readiness.drain_begins();
        send_drain(&self.mailboxes);
    }

    /// A handle with which another thread can begin the drain.
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

    /// A handle with which any thread can do what the server's API does. With `private_descriptors`, the first call starts
    /// a thread that hands over answers.
    ///
    /// # Errors
    /// When there can be no more threads.
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

    /// Has the API's method `rpc` call this when it is asked for `method`: with one JSON value, or nothing, it returns one
    /// JSON value. It runs on a thread that answers requests, so it must not block, and has five seconds.
    pub fn on_api_rpc<F>(&mut self, method: &str, call: impl Fn(Vec<u8>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<u8>, ApiError>> + Send + 'static,
    {
        self.methods.insert(method, call);
    }

    /// A handle to the certificates, `None` when connections are plain. [`Server::wait`] reloads those of files when they
    /// change; with the handle, any thread can do so at once, or put others in place of those in memory.
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Says what the configuration is that the server was started with, and how it is read again. From here on SIGHUP (if
    /// signals are handled), `POST /api/reload` and the handle that this returns have it read, and put in force what can change
    /// without a restart.
    pub fn reload_by(
        &mut self,
        effective: Effective,
        read: impl Fn() -> Result<Effective, Vec<ConfigError>> + Send + 'static,
    ) -> Reloader {
        let parts = (Arc::clone(&self.mailboxes), self.node.clone(), self.certificates.clone());
        let running = (effective, Arc::clone(&self.outside));
        let kept = (self.config.page, self.config.listen.clone(), self.config.control);
        let reloader = Reloader::new(parts, kept, running, Box::new(read));
        reloader.on_reload(warn_again);
        self.reloader = Some(reloader.clone());
        reloader
    }

    /// From here on SIGTERM, SIGINT and SIGHUP are noted; [`Server::wait`] acts on them. Call it before saying that the server is
    /// ready: until then, a signal ends the process.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        let _context = self.runtime.enter();
        self.signals = Some(Signals::install()?);
        Ok(())
    }

    /// What to tell whoever started it.
    pub fn ready(&self) -> Ready<'_> {
        Ready {
            listen: self.listens(),
            websocket_path: self.config.websocket_path.as_deref(),
            shards: self.config.shards,
            capacity: self.capacity,
            beside: self.config.forwarded_paths(),
            control: self.control_address(),
            is_tls: self.certificates.is_some(),
        }
    }

    /// Runs the control plane in the calling thread until all shards have ended after a drain. If signals are handled,
    /// the first begins the drain, and a second one returns at once, with shards still running: end the process then.
    ///
    /// It blocks. In an `async fn` it works, too, but nothing else runs on that thread meanwhile: use
    /// [`Server::wait_async`] there.
    ///
    /// # Errors
    /// When the control plane cannot be set up.
    pub fn wait(self) -> io::Result<Outcome> {
        let (runtime, inputs) = self.into_control();
        control::run(&runtime, inputs)
    }

    /// Waits as [`Server::wait`] does, for programs that have an executor, of whatever kind: the control plane runs on a
    /// thread of its own from now on, and the future's value is how it ended. Dropping the future stops nothing: only the
    /// outcome is lost.
    ///
    /// # Errors
    /// The future's: as [`Server::wait`], or when there can be no more threads.
    pub fn wait_async(self) -> impl Future<Output = io::Result<Outcome>> + Send + 'static {
        let (runtime, inputs) = self.into_control();
        let outcome = control::spawn(runtime, inputs);
        async { outcome?.await }
    }

    /// What the control plane takes over.
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

/// Logs what is open after a reload that changed something.
fn warn_again(config: &Config, changes: &Changes) {
    if changes.taken.is_empty() {
        return;
    }
    for line in announce::warnings(config) {
        // The log has its own way of saying who speaks.
        tracing::warn!("{}", line.trim_start_matches("throng: ").trim_start_matches("WARNING: "));
    }
}

fn send_drain(mailboxes: &[Mailbox]) {
    for mailbox in mailboxes {
        mailbox.put(&mut vec![Letter::Drain]);
    }
}

/// A name for people: the one that is configured, else the host's, and the port of the first listener if there is one.
fn name(configured: &str, listen: &[SocketAddr]) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "throng" } else { host.trim() };
    listen.first().map_or_else(|| host.to_owned(), |address| format!("{host}_{}", address.port()))
}
