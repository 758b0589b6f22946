//! The lines that the server prints at start: its version, addresses and capacity, and warnings about open features.
//! Printed at any log level; as JSON only when all logs are JSON.

use super::logs::{self, ANNOUNCE_TARGET};
use crate::base::figures::grouped;
use crate::config::{Config, LogFormat, is_loopback};
use crate::net::{Inherited, Listen};
use std::fmt;
use std::net::SocketAddr;

/// The content of the ready line. Its `Display` is the line.
#[derive(Clone, Debug)]
pub struct Ready<'a> {
    /// The listeners as bound: a port 0 of the configuration has become a real one.
    pub listen: Vec<Listen>,
    /// Path of the Centrifuge endpoint, if there is one.
    pub websocket_path: Option<&'a str>,
    /// Path of the Socket.IO endpoint, if there is one.
    pub socketio_path: Option<&'a str>,
    /// Number of shards.
    pub shards: usize,
    /// The number of connections that the limits allow.
    pub capacity: u64,
    /// Paths that client listeners serve beside the endpoints of clients.
    pub beside: Vec<String>,
    /// The control listener's address as bound.
    pub control: Option<SocketAddr>,
    /// Whether connections are encrypted.
    pub is_tls: bool,
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "throng {} ready: ", env!("CARGO_PKG_VERSION"))?;
        let scheme = if self.is_tls { "wss" } else { "ws" };
        for listen in &self.listen {
            match listen {
                Listen::Tcp(address) => {
                    write!(f, "{scheme}://{address}{}, ", self.websocket_path.unwrap_or_default())?;
                }
                Listen::Unix(_) => write!(f, "{listen}, ")?,
            }
        }
        let plural = if self.shards == 1 { "" } else { "s" };
        write!(f, "{} shard{plural}, capacity {} connections; ", self.shards, grouped(self.capacity))?;
        if let Some(path) = self.socketio_path {
            write!(f, "Socket.IO at {}/; ", path.trim_end_matches('/'))?;
        }
        if !self.beside.is_empty() {
            write!(f, "also serves {}; ", self.beside.join(", "))?;
        }
        match self.control {
            Some(address) => write!(f, "control http://{address}"),
            None => f.write_str("control off"),
        }
    }
}

/// Warnings for an operator: the features that are open, and to whom.
pub fn warnings(config: &Config) -> Vec<String> {
    [clients(config), socketio(config), api(config), control(config), metrics(config), proxies(config)]
        .into_iter()
        .flatten()
        .collect()
}

/// The [`warnings`] of a server with its inherited listeners, if there are any.
pub fn warnings_at(config: &Config, inherited: &Inherited) -> Vec<String> {
    warnings(&at_inherited(config, inherited))
}

/// The configuration of a server with its inherited listeners in place of the configured addresses, so that all rules
/// about reachability use them.
pub fn at_inherited(config: &Config, inherited: &Inherited) -> Config {
    let mut config = config.clone();
    let taken: Vec<_> = inherited.listens().cloned().collect();
    let taken_is_empty = taken.is_empty();
    config.listen = if taken_is_empty { config.listen } else { taken };
    config.control = inherited.control_address().or(config.control);
    // Servers may share inherited client sockets: then the control port shows that another one runs.
    config.control_may_move &= taken_is_empty && inherited.control_address().is_none();
    config
}

/// A warning that the control listener is at `bound`, because another program has its default port.
pub fn moved_control(config: &Config, bound: Option<SocketAddr>) -> Option<String> {
    let (wanted, bound) = (config.control.filter(|_| config.control_may_move)?, bound?);
    (wanted.port() != 0 && bound != wanted).then(|| {
        format!(
            "throng: WARNING: another program listens on {wanted}: the control listener is on {bound}; set control to choose its address"
        )
    })
}

/// A warning about headers that have no effect, since no proxy is trusted.
fn proxies(config: &Config) -> Option<String> {
    let is_moot = config.proxy_protocol
        && config.trusted_proxies.is_empty()
        && config.listen.iter().all(|listen| listen.path().is_none());
    is_moot.then(|| {
        "throng: WARNING: proxy_protocol is on, but trusted_proxies is empty: no PROXY header is accepted"
            .to_owned()
    })
}

/// A warning about running as root.
pub fn root(is_root: bool) -> Option<&'static str> {
    is_root.then_some(
        "throng: WARNING: running as root, which throng does not need: use a separate user (docs/OPERATING.md)",
    )
}

fn is_outside(address: &SocketAddr) -> bool {
    !is_loopback(address.ip())
}

/// A warning if every client may connect, or none.
fn clients(config: &Config) -> Option<String> {
    let may = "may connect, subscribe and publish without a token";
    let mode = if config.first_page { "development mode" } else { "client.insecure is on" };
    let addresses = config.listen.iter().filter_map(Listen::address);
    let open: Vec<_> = addresses.filter(is_outside).map(|address| address.to_string()).collect();
    if !config.client.insecure {
        let none = "throng: WARNING: no client can connect: there is no token key (client.token) and no connect hook (client.proxy.connect), and anonymous clients are not allowed";
        return (!lets_anyone_in(config)).then(|| none.to_owned());
    }
    Some(if open.is_empty() {
        format!("throng: {mode}: any client on this machine {may}")
    } else {
        format!("throng: WARNING: {mode}, reachable from other machines ({}): anyone {may}", open.join(", "))
    })
}

/// A warning if Socket.IO is served and no namespace opens, or if everyone may send everything.
fn socketio(config: &Config) -> Option<String> {
    let options = Some(&config.socketio).filter(|options| options.enabled)?;
    if !options.has_logic() {
        let why = "there are no rules (socketio.rules) and no hook (socketio.proxy.event)";
        let what = if options.is_opened_by_hook { "events are not handled" } else { "no namespace opens" };
        return Some(format!("throng: WARNING: socketio is enabled, and {what}: {why}"));
    }
    // Development mode has a warning of its own.
    (options.insecure && !config.first_page).then(|| {
        "throng: WARNING: socketio.insecure: any Socket.IO client may send any event to any room".to_owned()
    })
}

/// Whether there is any way to connect.
fn lets_anyone_in(config: &Config) -> bool {
    let token = &config.outside.token;
    let keys = [
        &token.hmac_secret_key,
        &token.hmac_previous_secret_key,
        &token.rsa_public_key,
        &token.ecdsa_public_key,
        &token.eddsa_public_key,
        &token.jwks_public_endpoint,
    ];
    keys.iter().any(|key| !key.is_empty())
        || config.outside.skips_signatures
        || config.outside.connect.is_some()
        || config.client.allow_anonymous_connect_without_token
        || config.client.allow_certificate_connect_without_token
        || !config.client.user_id_http_header.is_empty()
}

/// A warning that `http_api.insecure` does not open the server API on listeners that others may reach.
fn api(config: &Config) -> Option<String> {
    let is_asked_for = config.api.enabled && config.api.insecure && config.control_paths.clients_have_api;
    // Development mode has a warning of its own.
    if !is_asked_for || config.first_page || config.listens_to_this_machine() {
        return None;
    }
    let place = match config.control {
        Some(address) => format!("served on the control listener only ({address})"),
        None => "not served, as the control listener is off".to_owned(),
    };
    let hint = if config.api.keys.is_empty() { "; set http_api.key to serve it there, too" } else { "" };
    Some(format!(
        "throng: WARNING: http_api.insecure: without a key the server API is {place}, because others may reach the listeners for clients{hint}"
    ))
}

/// A warning about what other machines may do on the control listener.
fn control(config: &Config) -> Option<String> {
    let address = config.control.filter(is_outside)?;
    config.control_key.0.is_empty().then(|| {
        let paths = &config.control_paths;
        let serves = if paths.has_open_metrics {
            format!("{}, /ready and, to anyone (prometheus.enabled), {}", paths.health, paths.metrics)
        } else {
            format!("{} and /ready", paths.health)
        };
        format!(
            "throng: WARNING: the control listener is reachable from other machines ({address}) and has no key (control_key): it serves only {serves}, and the server API to callers with an API key"
        )
    })
}

/// A warning if the metrics are open to all.
fn metrics(config: &Config) -> Option<String> {
    let addresses = config.listen.iter().filter_map(Listen::address);
    let open: Vec<_> = addresses.filter(is_outside).map(|address| address.to_string()).collect();
    (config.has_open_metrics() && !open.is_empty()).then(|| {
        format!(
            "throng: WARNING: {} is open to anyone who reaches the server ({}): set control_key, or control",
            config.control_paths.metrics,
            open.join(", ")
        )
    })
}

/// Prints the ready line.
pub fn ready(format: LogFormat, ready: &Ready<'_>) {
    match format {
        LogFormat::Text => logs::line(&ready.to_string()),
        LogFormat::Json => tracing::info!(target: ANNOUNCE_TARGET, "{ready}"),
    }
}

/// Prints a warning.
pub fn warning(format: LogFormat, line: &str) {
    match format {
        LogFormat::Text => logs::line(line),
        LogFormat::Json => tracing::warn!(target: ANNOUNCE_TARGET, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::networks::Networks;
    use crate::config::ClientOptions;
    use std::sync::Arc;

    #[test]
    fn the_ready_line_names_address_shards_and_capacity() {
        let listen = ["127.0.0.1:8000", "[::1]:8000", "unix:/run/a"].map(|text| text.parse().unwrap());
        let mut ready = Ready {
            listen: listen[..1].to_vec(),
            websocket_path: Some("/connection/websocket"),
            socketio_path: None,
            shards: 2,
            capacity: 39_800,
            beside: Vec::new(),
            control: Some("127.0.0.1:9000".parse().unwrap()),
            is_tls: false,
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            ready.to_string(),
            format!(
                "throng {version} ready: ws://127.0.0.1:8000/connection/websocket, 2 shards, capacity 39,800 \
                 connections; control http://127.0.0.1:9000"
            )
        );
        (ready.listen, ready.shards, ready.control, ready.is_tls) = (listen.to_vec(), 1, None, true);
        ready.socketio_path = Some("/socket.io");
        ready.beside = vec!["/health".to_owned(), "/api".to_owned()];
        assert_eq!(
            ready.to_string(),
            format!(
                "throng {version} ready: wss://127.0.0.1:8000/connection/websocket, \
                 wss://[::1]:8000/connection/websocket, unix:/run/a, 1 shard, capacity 39,800 connections; \
                 Socket.IO at /socket.io/; also serves /health, /api; control off"
            )
        );
    }

    #[test]
    fn the_warnings_say_who_can_reach_it() {
        let mut config = Config::default();
        let lines = warnings(&config);
        assert!(
            lines[0].starts_with("throng: development mode: any client on this machine may"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 1);
        config.listen = vec!["127.0.0.1:80".parse().unwrap(), "0.0.0.0:81".parse().unwrap()];
        let lines = warnings(&config);
        assert!(lines[0].contains("WARNING") && lines[0].contains("(0.0.0.0:81)"), "{lines:?}");
        config.control = Some("[::]:9000".parse().unwrap());
        let lines = warnings(&config);
        assert!(lines[1].contains("([::]:9000) and has no key (control_key)"), "{lines:?}");
        assert!(!lines[1].contains("/metrics"), "{lines:?}");
        config.control_paths.has_open_metrics = true;
        let open = warnings(&config);
        assert_eq!(open.len(), lines.len(), "{open:?}");
        assert!(open[1].contains("to anyone (prometheus.enabled), /metrics"), "{open:?}");
        config.control_paths.has_open_metrics = false;
        config.control_key.0 = "secret".to_owned();
        assert_eq!(warnings(&config).len(), 1);
        config.proxy_protocol = true;
        assert!(warnings(&config)[1].contains("trusted_proxies is empty"));
        config.listen.push("unix:/run/a".parse().unwrap());
        assert_eq!(warnings(&config).len(), 1);
        config.control_paths.clients_have_metrics = true;
        assert!(!warnings(&config).iter().any(|line| line.contains("/metrics is open")), "it needs the key");
        config.control_key.0.clear();
        assert!(warnings(&config).iter().any(|line| line.contains("/metrics is open")));
        config.first_page = false;
        assert!(warnings(&config)[0].starts_with("throng: WARNING: client.insecure is on, reachable from"));
    }

    #[test]
    fn a_moved_control_listener_is_named_with_its_key() {
        let [wanted, bound] = ["127.0.0.1:9000", "127.0.0.1:9001"].map(|text| text.parse().unwrap());
        let mut config = Config { control: Some(wanted), control_may_move: true, ..Config::default() };
        assert_eq!([None, Some(wanted)].map(|bound| moved_control(&config, bound)), [None, None]);
        let line = moved_control(&config, Some(bound)).unwrap();
        assert!(line.contains("on 127.0.0.1:9000: the control listener is on 127.0.0.1:9001; set control"));
        assert!(at_inherited(&config, &Inherited::default()).control_may_move);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let data = vec![Arc::new(crate::net::Shared::inherited(socket.into()).unwrap())];
        let inherited = Inherited { data, control: None };
        assert!(!at_inherited(&config, &inherited).control_may_move, "with inherited sockets");
        config.control_may_move = false;
        assert_eq!(moved_control(&config, Some(bound)), None, "a port 0 that the kernel chose");
    }

    /// The same key opens the API on every listener in Centrifugo.
    #[test]
    fn an_api_without_a_key_is_said_to_be_on_the_control_listener_only() {
        let mut config = Config { first_page: false, ..Config::default() };
        (config.api.insecure, config.control_paths.clients_have_api) = (true, true);
        let told = |config: &Config| {
            let lines = warnings(config);
            lines.into_iter().find(|line| line.contains("http_api.insecure"))
        };
        config.control = Some("127.0.0.1:9000".parse().unwrap());
        assert_eq!(told(&config), None, "all listeners are on loopback");
        for listen in ["0.0.0.0:80", "[::]:80", "unix:/run/a"] {
            let config = Config { listen: vec![listen.parse().unwrap()], ..config.clone() };
            let line = told(&config).unwrap();
            assert!(line.contains("WARNING") && line.contains("listener only (127.0.0.1:9000)"), "{line}");
            assert!(told(&Config { control: None, ..config.clone() }).unwrap().contains("not served"));
            assert_eq!(told(&Config { first_page: true, ..config.clone() }), None);
            let mut other = config.clone();
            other.control_paths.clients_have_api = false;
            assert_eq!(told(&other), None, "as the configuration says");
            let mut other = config;
            other.api.keys = vec!["secret".to_owned()];
            assert!(line.contains("set http_api.key") && !told(&other).unwrap().contains("set http_api.key"));
            other.api.insecure = false;
            assert_eq!(told(&other), None);
        }
        config.trusted_proxies = Networks::parse(["10.0.0.0/8"]).unwrap();
        assert!(told(&config).is_some(), "behind a proxy");
    }

    #[test]
    fn who_lets_nobody_in_is_told() {
        let mut config = Config { client: ClientOptions::default(), ..Config::default() };
        assert!(warnings(&config)[0].starts_with("throng: WARNING: no client can connect"));
        config.client.allow_anonymous_connect_without_token = true;
        assert_eq!(warnings(&config), [""; 0]);
        config.client.allow_anonymous_connect_without_token = false;
        config.client.allow_certificate_connect_without_token = true;
        assert_eq!(warnings(&config), [""; 0]);
        config.client.allow_certificate_connect_without_token = false;
        config.client.user_id_http_header = "X-User-Id".to_owned();
        assert_eq!(warnings(&config), [""; 0], "a proxy names the user");
        config.client.user_id_http_header.clear();
        Arc::make_mut(&mut config.outside).skips_signatures = true;
        assert_eq!(warnings(&config), [""; 0], "any token is taken");
        Arc::make_mut(&mut config.outside).skips_signatures = false;
        Arc::make_mut(&mut config.outside).token.hmac_secret_key = "secret".to_owned();
        assert_eq!(warnings(&config), [""; 0]);
    }
}
