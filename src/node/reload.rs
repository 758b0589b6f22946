//! The configuration of a running server, read again.
//!
//! Invariant: a reload is whole or nothing. All that can fail is done first: what is typed is resolved, merged with what
//! stays as it is, and made into hooks and keys, and certificates are read. Only then is anything handed over: one letter to
//! each shard, as with certificates, and a value for those who publish and for the control listener. Left out: which keys
//! can change (`config::reload`), and when to reload (`control`).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Certificates, Node};
use crate::config::{Changes, Config, ConfigError, Effective};
use crate::net::Listen;
use crate::outside::World;
use crate::shard::Renewal;
use crate::shard::mailbox::{Letter, Mailbox};
use crate::tls::CertificateError;

/// Reads the configuration again.
type Read = Box<dyn Fn() -> Result<Effective, Vec<ConfigError>> + Send>;
/// A function that gets each configuration that is put in force, and what changed in it.
type OnReload = Box<dyn Fn(&Config, &Changes) + Send>;

/// A handle with which any thread has a running server read its configuration again. Cheap to clone.
#[derive(Clone)]
pub struct Reloader(Arc<Shared>);

struct Shared {
    mailboxes: Arc<[Mailbox]>,
    node: Node,
    certificates: Option<Certificates>,
    /// An embedder's first page, which no key tells.
    page: Option<&'static str>,
    /// Where it listens: what was inherited is in no file.
    listen: Vec<Listen>,
    /// And the control listener.
    control: Option<SocketAddr>,
    state: Mutex<State>,
    reload_count: AtomicU64,
    failure_count: AtomicU64,
}

struct State {
    read: Read,
    effective: Effective,
    world: Arc<World>,
    on_reload: Vec<OnReload>,
}

/// Why everything stays as it was.
#[derive(Debug)]
pub enum NotReloaded {
    /// What is wrong with the configuration, or does not go together with what cannot change.
    Config(Vec<ConfigError>),
    /// Tokens cannot be verified, or hooks not be asked, as it says.
    Outside(io::Error),
    /// A certificate or a key cannot be used.
    Certificates(CertificateError),
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&errors.join("\n"))
            }
            Self::Outside(error) => error.fmt(f),
            Self::Certificates(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotReloaded {}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    pub(crate) fn new(
        (mailboxes, node, certificates): (Arc<[Mailbox]>, Node, Option<Certificates>),
        (page, listen, control): (Option<&'static str>, Vec<Listen>, Option<SocketAddr>),
        (effective, world): (Effective, Arc<World>),
        read: Read,
    ) -> Self {
        let state = Mutex::new(State { read, effective, world, on_reload: Vec::new() });
        let (reload_count, failure_count) = Default::default();
        Self(Arc::new(Shared {
            mailboxes,
            node,
            certificates,
            page,
            listen,
            control,
            state,
            reload_count,
            failure_count,
        }))
    }

    /// Reads the configuration and the certificates again, and puts in force what can change without a restart. Blocks for as
    /// long as the file system does. The outcome is logged and counted here.
    ///
    /// # Errors
    /// What is wrong; then everything stays as it is.
    pub fn reload(&self) -> Result<Changes, NotReloaded> {
        // Held until the letters are sent: whoever reloads last is heard last.
        let outcome = self.0.reload(&mut self.0.state());
        match &outcome {
            Ok(changes) => {
                self.0.reload_count.fetch_add(1, Relaxed);
                tell(changes);
            }
            Err(why) => {
                self.0.failure_count.fetch_add(1, Relaxed);
                for line in why.to_string().lines() {
                    tracing::error!("configuration not reloaded, the old one stays in force: {line}");
                }
            }
        }
        outcome
    }

    /// Calls this function with each configuration that is put in force.
    pub(crate) fn on_reload(&self, call: impl Fn(&Config, &Changes) + Send + 'static) {
        self.0.state().on_reload.push(Box::new(call));
    }

    /// What answers the shards' questions now.
    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.0.state().world)
    }

    /// How many reloads there were, and how many that changed nothing because something was wrong.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.0.reload_count.load(Relaxed), self.0.failure_count.load(Relaxed))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self, state: &mut State) -> Result<Changes, NotReloaded> {
        let new = (state.read)().map_err(NotReloaded::Config)?;
        let (effective, changes) = state.effective.reloaded(&new).map_err(NotReloaded::Config)?;
        let world = state.world.renewed(&effective.config.outside).map_err(NotReloaded::Outside)?;
        if let Some(certificates) = &self.certificates {
            certificates.reload().map_err(NotReloaded::Certificates)?;
        }
        // From here on nothing fails.
        let world = world.begin();
        let (listen, control) = (self.listen.clone(), self.control);
        let config = Config { page: self.page, listen, control, ..effective.config.clone() };
        let renewal =
            Arc::new(Renewal { options: config.shard_options(self.node.uid()), outside: world.clone() });
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Renew(Arc::clone(&renewal))]);
        }
        self.node.renew(&config);
        state.on_reload.iter().for_each(|call| call(&config, &changes));
        (state.effective, state.world) = (effective, world);
        Ok(changes)
    }
}

/// Says in the log what became of it.
fn tell(changes: &Changes) {
    let Changes { taken, needs_restart } = changes;
    if taken.is_empty() {
        tracing::info!("configuration reloaded; no reloadable key has changed");
    } else {
        tracing::info!("configuration reloaded; changed: {}", taken.join(", "));
    }
    if !needs_restart.is_empty() {
        tracing::warn!("these keys keep their old value until a restart: {}", needs_restart.join(", "));
    }
}
