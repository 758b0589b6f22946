//! The effective configuration: what every limit and deadline is, decided at start.
//!
//! Two types, so that nobody reads a half-decided value: [`Args`] is what a person typed, [`Config`] what it
//! means. The way from one to the other: [`KEYS`] is the one list of flat keys, `sections` has the keys that Centrifugo
//! has, too. Files, variables and flags become tables of the same form, which `file::walk` understands; [`resolve()`] puts a
//! flag before a variable before the file before the default, refuses what is not allowed, and remembers for each key
//! where its value came from ([`Effective`]). [`memory`] says what the limits cost at worst, `show` prints all of it.
//!
//! The server takes any [`Config`]; only what was typed is checked against the ranges in [`KEYS`]. Without the feature
//! `cli` there are no flags and nothing reads the process's variables: a file is read by `resolve(&Args::of_file(path),
//! &Variables::default())`.
//!
//! * Input: `args`; `file` (TOML, JSON, YAML), `variables`, `flags`; `said` and `lists` give all of them the form of a
//!   file, `value` remembers the place of each value; `error` reports it.
//! * Keys: `keys` (flat), `sections` (Centrifugo's), `names` (paths of all), `slot` (values), `older` and `convert` (names
//!   of earlier versions of Centrifugo).
//! * Result: `resolve`, `conflicts` (rules for two keys), `engine` (for shards and requests), `listeners`, `client`, `client_names`, `tls`,
//!   `development`, `reload`, `show`.

mod args;
mod client;
mod client_names;
mod conflicts;
pub mod convert;
mod development;
mod engine;
mod error;
mod file;
#[cfg(feature = "cli")]
mod flags;
mod keys;
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

use crate::session::{Endpoint, Transport};
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

/// Everything a server needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Development mode was asked for by its name, so that it may be reachable from other machines. Default false: what was
    /// typed without a word of who may connect is development mode on loopback only.
    pub development: bool,
    /// Where the data plane listens. Default `127.0.0.1:8000`.
    pub listen: Vec<Listen>,
    /// Permissions of the files of Unix sockets. Default `0660`: the server's user and its group.
    pub unix_mode: u32,
    /// Whose word counts, on whom a connection (PROXY header) or a request (`X-Forwarded-For`, `Forwarded`) is for. Who
    /// comes by a Unix socket is trusted always. Default none.
    pub trusted_proxies: Networks,
    /// Whether connections of trusted proxies begin with a PROXY header. Default false.
    pub proxy_protocol: bool,
    /// Address of the control listener (metrics, health). Default `127.0.0.1:9000`; `None` turns it off.
    pub control: Option<SocketAddr>,
    /// What those who ask the control listener must know, as `Authorization: Bearer`. Default none: then only this machine
    /// is answered, and others learn no more than that the server lives.
    pub control_key: ControlKey,
    /// Connections of the control listener, 8 to 65,536; at most 64 where descriptor tables are shared. Default 256.
    pub control_connections_max: usize,
    /// Whether metrics tell channels, subscriptions and publications by namespace. Default false.
    pub metrics_by_namespace: bool,
    /// Whether metrics tell how many users have connections. Default false.
    pub metrics_users: bool,
    /// Names of clients' programs that metrics tell apart, at most 14. Default: those that the official SDKs of Centrifugo say.
    pub metrics_client_names: Vec<String>,
    /// Number of shards (threads), 1 to 1024. Default: one per core available to the process.
    pub shards: usize,
    /// Pin each shard to a core. Default true.
    pub pin: bool,
    /// Give each shard a descriptor table of its own (`unshare(CLONE_FILES)`). Default true.
    pub private_descriptors: bool,
    /// Path of a raw endpoint that echoes every message, for benchmarks and conformance tests. Default none.
    pub echo: Option<String>,
    /// Path of the Centrifuge endpoint. Default `/connection/websocket`; `None` leaves it out, for an embedder whose own
    /// endpoints are all there is.
    pub websocket_path: Option<String>,
    /// Certificates, if connections are to be encrypted.
    pub tls: TlsOptions,
    /// Take clients' offers of permessage-deflate (RFC 7692). Default false.
    pub compression: bool,
    /// Bytes of a message below which it is sent as it is, 0 to 1 MiB. Default 256.
    pub compression_min_bytes: usize,
    /// How hard to try, 1 (fast) to 9 (small). Default 1.
    pub compression_level: usize,
    /// Everything that is bounded.
    pub limits: Limits,
    /// Everything that has a deadline.
    pub timeouts: Timeouts,
    /// What is logged, and how.
    pub logs: Logs,
    /// A file that has the id of the process while it serves. Default none. It is the binary's: a server that is embedded
    /// does not write it.
    pub pid_file: String,
    /// Who may connect, and how much each may do.
    pub client: ClientOptions,
    /// How often.
    pub rates: Rates,
    /// What is served beside the Centrifuge endpoint, and where: other transports, where their clients post commands, pages.
    /// Default none; see [`Endpoint::beside_websocket`].
    pub endpoints: Vec<Endpoint>,
    /// The responses to unidirectional clients that are refused, by transport, for those whose response waits for the answer
    /// to connect. Default none.
    pub connect_responses: Vec<(Transport, Vec<CodeRule>)>,
    /// Whether `/` serves a page that shows that it works. Default true in development mode.
    pub first_page: bool,
    /// A page of an embedder's own, served at `/` in place of that one.
    pub page: Option<&'static str>,
    /// What channels are like.
    pub namespaces: Arc<Namespaces>,
    /// Tokens and hooks.
    pub outside: Arc<outside::options::Options>,
    /// The server's HTTP API.
    pub api: ApiOptions,
    /// Where it is, and what else the control listener has; and what of that is on client listeners.
    pub control_paths: ControlPaths,
}

/// What is logged, and how. Logs go to stderr, or to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`) or directives such as `info,throng::shard=debug`.
    /// Default `info`.
    pub level: String,
    /// Default text.
    pub format: LogFormat,
    /// A file that lines are added to, in place of stderr. Default none.
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
    /// Whether others may come through proxies that are of this machine: an address tells nothing then.
    pub fn trusts_proxies(&self) -> bool {
        self.proxy_protocol || !self.trusted_proxies.is_empty()
    }

    /// Whether it holds keys that nobody else may see.
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

/// Development mode: everything is open, to everyone who reaches the server.
impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            development: false,
            listen: vec![([127, 0, 0, 1], 8000).into()],
            unix_mode: 0o660,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            control: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
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
            // Whoever develops waits for the end more often than clients come back in a crowd.
            timeouts: Timeouts { drain_ms: 0, ..Timeouts::default() },
            logs: Logs::default(),
            pid_file: String::new(),
            client: ClientOptions::default(),
            rates: Rates::default(),
            endpoints: Vec::new(),
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
