//! Reload of the configuration in a running server.
//!
//! Invariant: a reload takes effect completely or not at all. All steps that can fail come first: the text is
//! resolved, merged with the values that cannot change, and made into hooks and keys, and certificates are read. Then
//! one letter goes to each shard, as with certificates, and a value to publishers and to the control listener. Left
//! out: the keys that can change (`config::reload`), and when to reload (`control`).

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
/// A function that receives each new configuration in force and its changes.
type OnReload = Box<dyn Fn(&Config, &Changes) + Send>;

/// A handle with which any thread can reload the configuration of a running server. Cheap to clone.
#[derive(Clone)]
pub struct Reloader(Arc<Shared>);

struct Shared {
    mailboxes: Arc<[Mailbox]>,
    node: Node,
    certificates: Option<Certificates>,
    /// An embedder's start page, for which there is no key.
    page: Option<&'static str>,
    /// Listeners of clients: inherited ones are in no file.
    listen: Vec<Listen>,
    /// Address of the control listener.
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

/// The reason why a reload changed nothing.
#[derive(Debug)]
pub enum NotReloaded {
    /// The configuration is invalid, or does not fit values that cannot change.
    Config(Vec<ConfigError>),
    /// The options of tokens or hooks cannot be used.
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

    /// Reads the configuration and the certificates again, and applies the changes that need no restart. Blocks as
    /// long as the file system does. The outcome is logged and counted here.
    ///
    /// # Errors
    /// The reason; then nothing changes.
    pub fn reload(&self) -> Result<Changes, NotReloaded> {
        // Locked until the letters are sent: the last reload is the last that shards receive.
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

    /// Registers a function that is called with each new configuration in force.
    pub(crate) fn on_reload(&self, call: impl Fn(&Config, &Changes) + Send + 'static) {
        self.0.state().on_reload.push(Box::new(call));
    }

    /// The current world, which answers the shards' questions.
    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.0.state().world)
    }

    /// The number of successful reloads, and the number of failed ones.
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
        // From here on nothing can fail.
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

/// Logs the changes.
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
