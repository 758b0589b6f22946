//! The effective configuration: the values of all limits, deadlines and other options. A reload may replace it.
//!
//! Two types prevent the use of incomplete values: [`Args`] holds the text that was typed, [`Config`] its meaning.
//! [`KEYS`] is the one list of flat keys, `sections` has the keys that Centrifugo has, too. Files, variables and
//! flags become tables of the same form, which `file::walk` reads. [`resolve()`] gives flags precedence over
//! variables, variables over the file, and the file over defaults; it refuses invalid values, and records the source
//! of each value ([`Effective`]). [`memory`] computes the maximum memory that the limits imply, `show` prints all of
//! it.
//!
//! The server accepts any [`Config`]; only typed values are checked against the ranges in [`KEYS`]. Without the
//! feature `cli` there are no flags and no conversion of older files, and the process's variables are not read:
//! `resolve(&Args::of_file(path), &Variables::default())` reads a file.
//!
//! * Input: `args`; `file` (TOML, JSON, YAML), `variables`, `flags`; `said` and `lists` give all of them the form of a
//!   file, `value` remembers the place of each value; `error` reports it.
//! * Keys: `keys` (flat), `sections` (Centrifugo's), `names` (paths of all), `slot` (values), `older` and `convert`
//!   (names of earlier versions of Centrifugo), `leftovers` (their variables).
//! * Result: `resolve`, `conflicts` (rules for two keys), `engine` (for shards and requests), `listeners`, `client`,
//!   `client_names`, `tls`, `development`, `reload`, `show`.

mod args;
mod client;
mod client_names;
mod conflicts;
#[cfg(feature = "cli")]
pub mod convert;
mod development;
mod engine;
mod error;
mod file;
#[cfg(feature = "cli")]
mod flags;
mod keys;
mod leftovers;
mod listeners;
mod lists;
pub mod memory;
mod names;
mod older;
mod reload;
mod resolve;
mod said;
pub mod sections;
mod show;
mod slot;
mod tls;
mod value;
mod variables;

use crate::session::{Endpoint, SocketIoOptions, Transport};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::networks::Networks;
use crate::hub::codes::CodeRule;
use crate::hub::options::Namespaces;
use crate::net::Listen;
use crate::outside;

pub use crate::shard::options::{ClientOptions, Limits, Rates, Timeouts};
pub use args::Args;
pub use client::{ApiOptions, ControlKey, ControlPaths};
pub use error::{ConfigError, ConfigWarning, Place};
#[cfg(feature = "cli")]
pub use flags::{listed as listed_flags, spell as spell_flags};
pub use keys::{Group, KEYS, Key};
pub use reload::{Changes, RELOAD, Reload, reload_of};
pub use resolve::{Effective, examine, is_loopback, resolve};
pub use sections::Sections;
pub use slot::{Form, Slot, duration_ms, duration_text, is_placeholder};
pub use tls::{PemText, ServerTls, TlsOptions};
pub use variables::{OUTSIDE_VARIABLES, Variables};

/// The configuration of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Development mode was set explicitly and may be reachable from other machines. Default false: a configuration
    /// without client settings is in development mode on loopback only.
    pub development: bool,
    /// Addresses of the client listeners. Default `127.0.0.1:8000`.
    pub listen: Vec<Listen>,
    /// Permissions of the files of Unix sockets. Default `0660`: the server's user and its group.
    pub unix_mode: u32,
    /// Networks of proxies whose PROXY, `X-Forwarded-For` and `Forwarded` headers are trusted. Connections of Unix
    /// sockets are always trusted. Default none.
    pub trusted_proxies: Networks,
    /// Whether connections of trusted proxies begin with a PROXY header. Default false.
    pub proxy_protocol: bool,
    /// Address of the control listener (metrics, health). Default `127.0.0.1:9000`; `None` turns it off.
    pub control: Option<SocketAddr>,
    /// Whether the control listener takes one of the next ten ports if another program listens on its own. Default
    /// false; true for the program `throng` where no source sets `control`. Inherited sockets turn it off.
    pub control_may_move: bool,
    /// Key that requests to the control listener must carry as `Authorization: Bearer`. Default none: then only
    /// requests from this machine are answered, and others learn only that the server is alive.
    pub control_key: ControlKey,
    /// Maximum number of connections of the control listener, 8 to 65,536; at most 64 with shared descriptor tables.
    /// Default 256.
    pub control_connections_max: usize,
    /// Whether metrics count channels, subscriptions and publications by namespace. Default false.
    pub metrics_by_namespace: bool,
    /// Whether metrics show the number of users with connections. Default false.
    pub metrics_users: bool,
    /// Names of client programs that are values of a metrics label, at most 14. Default: the names that the official
    /// SDKs of Centrifugo send.
    pub metrics_client_names: Vec<String>,
    /// Number of shards (threads), 1 to 1024. Default: one per core available to the process.
    pub shards: usize,
    /// Whether each shard is pinned to a core. Default true.
    pub pin: bool,
    /// Whether each shard has a descriptor table of its own (`unshare(CLONE_FILES)`). Default true.
    pub private_descriptors: bool,
    /// Path of a raw endpoint that returns every message, for benchmarks and conformance tests. Default none.
    pub echo: Option<String>,
    /// Path of the Centrifuge endpoint. Default `/connection/websocket`; `None` for no such endpoint, for an embedder
    /// with endpoints of its own only.
    pub websocket_path: Option<String>,
    /// Certificates and options of TLS.
    pub tls: TlsOptions,
    /// Whether clients' offers of permessage-deflate (RFC 7692) are accepted. Default false.
    pub compression: bool,
    /// Size from which a message is compressed, in bytes, 0 to 1 MiB. Default 256.
    pub compression_min_bytes: usize,
    /// Compression level, 1 (fast) to 9 (small). Default 1.
    pub compression_level: usize,
    /// Limits.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Log options.
    pub logs: Logs,
    /// File to which the binary writes its process id while it serves; empty for none. Default none. An embedded
    /// server does not write it.
    pub pid_file: String,
    /// Rules and limits for clients.
    pub client: ClientOptions,
    /// Rates.
    pub rates: Rates,
    /// Endpoints beside the Centrifuge endpoint: other transports, emulation of bidirectional clients, pages. Default
    /// none; see [`Endpoint::beside_websocket`].
    pub endpoints: Vec<Endpoint>,
    /// Options of the Socket.IO endpoint. Default off.
    pub socketio: SocketIoOptions,
    /// Responses to refused unidirectional clients, by transport, for those whose response waits for the answer to
    /// connect. Default none.
    pub connect_responses: Vec<(Transport, Vec<CodeRule>)>,
    /// Whether `/` serves the start page. Default true in development mode.
    pub first_page: bool,
    /// An embedder's page, served at `/` instead of the start page.
    pub page: Option<&'static str>,
    /// Options of channels.
    pub namespaces: Arc<Namespaces>,
    /// Options of tokens and hooks.
    pub outside: Arc<outside::options::Options>,
    /// Options of the server API.
    pub api: ApiOptions,
    /// Paths of the control listener, and which of them client listeners serve.
    pub control_paths: ControlPaths,
}

/// Log options. Logs go to stderr, or to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or directives such as `info,throng::shard=debug`.
    /// Default `info`.
    pub level: String,
    /// The form of a log line. Default text.
    pub format: LogFormat,
    /// A file to which lines are appended instead of stderr. Default none.
    pub file: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Whether clients may come through proxies on this machine: then a loopback address does not show that a client
    /// is local.
    pub fn trusts_proxies(&self) -> bool {
        self.proxy_protocol || !self.trusted_proxies.is_empty()
    }

    /// Whether only programs of this machine reach the listeners for clients: all are on loopback addresses, and no proxy
    /// connects for others.
    pub fn listens_to_this_machine(&self) -> bool {
        let is_local = |listen: &Listen| listen.address().is_some_and(|address| is_loopback(address.ip()));
        self.listen.iter().all(is_local) && !self.trusts_proxies()
    }

    /// Whether the configuration contains secrets.
    pub fn keeps_secrets(&self) -> bool {
        let tokens = [Some(&self.outside.token), self.outside.subscription_token.as_ref()];
        let outside = &self.outside;
        let hooks = [
            &outside.connect,
            &outside.refresh,
            &outside.rpc,
            &outside.subscribe,
            &outside.publish,
            &outside.sub_refresh,
            &outside.socket_event,
            &outside.socket_end,
            &outside.state,
        ];
        let hooks = hooks.into_iter().flatten().chain(outside.proxies.iter().map(|(_, hook)| hook));
        self.tls.is_on()
            || hooks.into_iter().any(outside::options::HookOptions::keeps_secrets)
            || !self.control_key.0.is_empty()
            || !self.api.keys.is_empty()
            || tokens.into_iter().flatten().any(|token| !token.hmac_secret_key.is_empty())
    }
}

/// The configuration of development mode: all features are open to every client that reaches the server.
impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            development: false,
            listen: vec![([127, 0, 0, 1], 8000).into()],
            unix_mode: 0o660,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            control: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
            control_may_move: false,
            control_key: ControlKey::default(),
            control_connections_max: 256,
            shards: crate::net::sys::allowed_cores().map_or(1, |cores| cores.len().max(1)),
            pin: true,
            private_descriptors: true,
            metrics_by_namespace: false,
            metrics_users: false,
            metrics_client_names: ["js", "go", "python", "dart", "swift", "java"].map(str::to_owned).into(),
            echo: None,
            websocket_path: Some("/connection/websocket".to_owned()),
            tls: TlsOptions::default(),
            compression: false,
            compression_min_bytes: 256,
            compression_level: 1,
            limits: Limits::default(),
            // In development, a fast end matters more than a gradual return of clients.
            timeouts: Timeouts { drain_ms: 0, ..Timeouts::default() },
            logs: Logs::default(),
            pid_file: String::new(),
            client: ClientOptions::default(),
            rates: Rates::default(),
            endpoints: Vec::new(),
            socketio: SocketIoOptions::default(),
            connect_responses: Vec::new(),
            namespaces: Arc::default(),
            outside: Arc::default(),
            api: ApiOptions::default(),
            control_paths: ControlPaths::default(),
            first_page: true,
            page: None,
        };
        Sections::development(true).settle(&mut config);
        config
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, file: String::new() }
    }
}
