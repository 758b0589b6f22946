//! Views of the configuration for shards and requests.

use std::sync::Arc;

use super::Config;
use crate::outside::options::HookOptions;
use crate::proto::ws::press;
use crate::session::desk::{Access, Keys, Route, RouteTable};
use crate::session::{Endpoint, Endpoints, Serves, Transport};
use crate::shard::options::{MetricsOptions, Options};

/// The start page: connects, joins a channel, shows its clients, sends and receives.
const PAGE: &str = include_str!("page.html");

impl Config {
    /// Options of all shards. `node` is the id of this process.
    pub fn shard_options(&self, node: &str) -> Options {
        let compression = press::Options {
            level: u32::try_from(self.compression_level).unwrap_or(1),
            bytes_min: self.compression_min_bytes,
        };
        let mut socketio = self.socketio.clone();
        socketio.admin.pid = std::process::id();
        Options {
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            client: self.client.clone(),
            rates: self.rates.clone(),
            namespaces: Arc::clone(&self.namespaces),
            endpoints: endpoints(self, node),
            socketio,
            identifies_sockets: identifies_sockets(self),
            trusted_proxies: self.trusted_proxies.clone(),
            proxy_protocol: self.proxy_protocol,
            compression: self.compression.then_some(compression),
            metrics: MetricsOptions {
                by_namespace: self.metrics_by_namespace,
                users: self.metrics_users,
                client_names: self.metrics_client_names.clone().into(),
            },
        }
    }
}

impl Config {
    /// Paths of the control listener that client listeners serve as well.
    pub fn forwarded_paths(&self) -> Vec<String> {
        let table = routes(self).table.into_iter();
        table.filter(|route| !matches!(route.access, Access::Elsewhere(_))).map(|route| route.path).collect()
    }

    /// Whether client listeners serve the metrics without a key.
    pub fn has_open_metrics(&self) -> bool {
        self.control_paths.clients_have_metrics && self.control_key.0.is_empty()
    }
}

/// Whether a way to prove the identity of a Socket.IO client is configured.
fn identifies_sockets(Config { client, outside, .. }: &Config) -> bool {
    outside.token.has_keys()
        || outside.socket_connect.is_some()
        || client.allow_certificate_connect_without_token
        || !client.user_id_http_header.is_empty()
}

/// The endpoints of a configuration. `node` is the id of this process.
fn endpoints(config: &Config, node: &str) -> Endpoints {
    let outside = &config.outside;
    let later = [&outside.refresh, &outside.rpc, &outside.subscribe, &outside.publish, &outside.sub_refresh];
    let of_events = [&outside.socket_event, &outside.socket_end];
    let named = || outside.proxies.iter().map(|(_, hook)| hook);
    let later: Vec<_> = later.into_iter().chain(of_events).flatten().chain(named()).collect();
    let connect = outside.connect.iter().chain(&outside.socket_connect);
    let all: Vec<_> = connect.chain(later.iter().copied()).collect();
    let user = Some(config.client.user_id_http_header.to_ascii_lowercase()).filter(|name| !name.is_empty());
    Endpoints {
        table: table(config),
        allowed_origins: config.client.allowed_origins.clone(),
        allows_own_pages: config.client.allow_own_pages,
        kept_headers: kept(wanted(&all, |hook| &hook.http_headers), user),
        connect_responses: config
            .connect_responses
            .iter()
            .map(|(transport, rules)| (*transport, rules.clone().into()))
            .collect(),
        lasting_headers: wanted(&later, |hook| &hook.http_headers),
        emulated_headers: wanted(&all, |hook| &hook.emulated_headers),
        lasting_emulated_headers: wanted(&later, |hook| &hook.emulated_headers),
        token_cookie: config.client.token_cookie.clone(),
        node: node.to_owned(),
        routes: routes(config),
    }
}

/// The table of endpoints and their paths.
fn table(config: &Config) -> Vec<Endpoint> {
    let websocket = config
        .websocket_path
        .iter()
        .map(|path| Endpoint { path: path.clone(), serves: Serves::Centrifuge(Transport::WebSocket) });
    let socketio = Some(&config.socketio).filter(|options| options.enabled);
    let socketio = socketio.map(|options| Endpoint { path: options.path.clone(), serves: Serves::SocketIo });
    let others = config.endpoints.iter().cloned().chain(socketio).flat_map(|endpoint| {
        let Endpoint { path, serves } = endpoint;
        // Most clients of these write a slash at the end.
        let paths = match serves {
            Serves::SocketIo | Serves::EngineIo => {
                let path = path.trim_end_matches('/');
                vec![path.to_owned(), format!("{path}/")]
            }
            Serves::Centrifuge(_) | Serves::Emulation | Serves::Page(_) | Serves::Init => vec![path],
        };
        paths.into_iter().map(move |path| Endpoint { path, serves })
    });
    let page = config.page.or(config.first_page.then_some(PAGE));
    let page = page.map(|page| Endpoint { path: "/".to_owned(), serves: Serves::Page(page) });
    websocket.chain(others).chain(page).collect()
}

/// The paths of the control listener that client listeners serve, each with its access rule. Requests for the others
/// are told where to find them.
fn routes(config: &Config) -> RouteTable {
    let Config { api, control_paths: paths, .. } = config;
    let is_there = config.control.is_some();
    let place = if is_there { "on the control listener" } else { "nowhere: the control listener is off" };
    let elsewhere = |what: &str, key: &str| {
        Access::Elsewhere(format!("{what} {place} (control); {key} serves it here, unless control is set"))
    };
    let keys = Keys::new(api.keys.iter().cloned());
    let api_access = match () {
        () if !api.enabled => Access::Elsewhere("the server API is off (http_api.disabled)".to_owned()),
        () if !paths.clients_have_api => {
            let hint = "http_api.external = true serves it here, too";
            Access::Elsewhere(format!("the server API is {place} (control); {hint}"))
        }
        () if !keys.is_empty() => Access::ApiKey(keys),
        // Behind a proxy, the address of a client does not show whether it is of this machine.
        () if api.insecure && config.listens_to_this_machine() => Access::ThisMachine,
        () => elsewhere("the server API is", "http_api.key"),
    };
    let health_access = match paths.clients_have_health {
        true => Access::Anyone,
        false => elsewhere("the health check is", "health.enabled"),
    };
    let metrics_access = match (paths.clients_have_metrics, config.control_key.0.as_str()) {
        (true, "") => Access::Anyone,
        (true, key) => Access::Bearer(Keys::new([key.to_owned()])),
        (false, _) => elsewhere("the metrics are", "prometheus.enabled"),
    };
    let route = |path: &str, access, body_bytes_max| Route {
        path: path.to_owned(),
        is_tree: path == paths.api,
        access,
        body_bytes_max,
    };
    let table = vec![
        route(&paths.health, health_access.clone(), PROBE_BODY_BYTES_MAX),
        route(READY_PATH, health_access, PROBE_BODY_BYTES_MAX),
        route(&paths.metrics, metrics_access, PROBE_BODY_BYTES_MAX),
        route(&paths.api, api_access, api.body_bytes_max),
    ];
    RouteTable { table, requests_max: api.requests_max, headers: ROUTE_HEADERS.to_vec() }
}

/// Maximum of bytes of a probe's body, which is ignored: some programs send one.
const PROBE_BODY_BYTES_MAX: usize = 1024;

/// Path of the readiness check.
const READY_PATH: &str = "/ready";

/// Request headers that affect the answers of these routes.
const ROUTE_HEADERS: [&str; 1] = ["x-centrifugo-error-mode"];

/// The headers that hooks need, and the one with the user id.
fn kept(mut names: Vec<String>, user: Option<String>) -> Vec<String> {
    names.extend(user.filter(|user| !names.contains(user)));
    names
}

/// The headers that these hooks need by one of their lists, without duplicates.
fn wanted(hooks: &[&HookOptions], list: fn(&HookOptions) -> &Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = hooks.iter().flat_map(|hook| list(hook).iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
