//! The defaults of the sections, and their application to the server's configuration.

use super::super::{ApiOptions, ClientOptions, Config, ControlPaths, Rates, ServerTls};
use super::{CallOptions, Carrier, Named, Rules, Sections};
use crate::hub::options::{ChannelOptions, DataFormat, Namespaces};
use crate::outside::options::{Calls, HookOptions, TokenOptions};
use crate::session::endpoint::{EMULATION_PATH, INIT_PATH};
use crate::session::socketio::EventHook;
use crate::session::{Endpoint, Serves, SocketIoOptions, Transport};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The namespace of a server in development mode, for trying all features of channels.
const TRIAL: &str = "chat";

/// Centrifugo's defaults.
impl Default for Sections {
    fn default() -> Self {
        let names = Namespaces::default();
        Self {
            client: ClientOptions::default(),
            token: TokenOptions::default(),
            subscription_token_enabled: false,
            subscription_token: TokenOptions::default(),
            connect_enabled: false,
            connect: HookOptions::default(),
            socket_connect_enabled: false,
            socket_connect: HookOptions::default(),
            refresh_enabled: false,
            refresh: HookOptions::default(),
            rpc: HookOptions::default(),
            calls: CallOptions::default(),
            call_namespaces: Vec::new(),
            call_boundary: ":".to_owned(),
            ping_enabled: false,
            ping_method: "ping".to_owned(),
            proxies: Vec::new(),
            subscribe: HookOptions::default(),
            publish: HookOptions::default(),
            sub_refresh: HookOptions::default(),
            socket_event_enabled: false,
            socket_event: HookOptions::default(),
            event_hook: EventHook::default(),
            socket_end_enabled: false,
            socket_end: HookOptions::default(),
            state: HookOptions::default(),
            without_namespace: ChannelOptions::default(),
            namespaces: Vec::new(),
            publication_data_format: DataFormat::Any,
            namespace_boundary: names.namespace_boundary,
            private_prefix: names.private_prefix,
            user_boundary: names.user_boundary,
            user_separator: names.user_separator,
            history_meta_ttl_ms: names.history_meta_ttl_ms,
            takes_unknown_namespaces: names.takes_unknown,
            api: ApiOptions::default(),
            is_api_disabled: false,
            is_api_external: false,
            paths: ControlPaths { clients_have_api: true, ..ControlPaths::default() },
            rates: Rates::default(),
            transports: Transport::ALL
                .map(|transport| Carrier { enabled: false, path: transport.usual_path().to_owned() }),
            emulation_path: EMULATION_PATH.to_owned(),
            tls: ServerTls::default(),
            log_file: String::new(),
            init: Carrier { enabled: false, path: INIT_PATH.to_owned() },
            socketio: SocketIoOptions::default(),
            skips_signatures: false,
            uni_disconnects: Rules::default(),
            sse_responses: Rules::default(),
            http_stream_responses: Rules::default(),
        }
    }
}

impl Sections {
    /// The sections in development mode: all features are open to every client that reaches the server. The server
    /// API is open only if `is_control_local`.
    pub(in super::super) fn development(is_control_local: bool) -> Self {
        let mut sections = Self {
            client: ClientOptions { insecure: true, allow_own_pages: true, ..ClientOptions::default() },
            namespaces: vec![Named { name: TRIAL.to_owned(), options: trial() }],
            takes_unknown_namespaces: true,
            api: ApiOptions { insecure: is_control_local, ..ApiOptions::default() },
            socketio: SocketIoOptions { enabled: true, insecure: true, ..SocketIoOptions::default() },
            ..Self::default()
        };
        sections.transports.iter_mut().for_each(|carrier| carrier.enabled = true);
        sections
    }

    /// Applies the sections to the server's configuration.
    pub(in super::super) fn settle(&self, config: &mut Config) {
        config.client = ClientOptions {
            uni_disconnects: self.uni_disconnects.in_force().cloned().unwrap_or_default(),
            ..self.client.clone()
        };
        let responses = [
            (Transport::UniSse, &self.sse_responses),
            (Transport::UniHttpStream, &self.http_stream_responses),
        ];
        let in_force = |(transport, rules): (Transport, &Rules)| Some((transport, rules.in_force()?.clone()));
        config.connect_responses = responses.into_iter().filter_map(in_force).collect();
        config.rates = self.rates.clone();
        config.tls.server = self.tls.clone();
        config.logs.file.clone_from(&self.log_file);
        config.api = ApiOptions { enabled: !self.is_api_disabled, ..self.api.clone() };
        config.control_paths = self.control_paths();
        config.endpoints = self.endpoints();
        config.socketio = SocketIoOptions {
            event_hook: self.socket_event_enabled.then(|| self.event_hook.clone()),
            is_opened_by_hook: self.socket_connect_enabled,
            reports_ends: self.socket_end_enabled,
            ..self.socketio.clone()
        };
        config.namespaces = Arc::new(self.namespaces());
        // The rest of these options have flat keys.
        let outside = Arc::make_mut(&mut config.outside);
        let asked = |enabled: bool, hook: &HookOptions| enabled.then(|| hook.clone());
        outside.token = self.token.clone();
        outside.subscription_token = self.subscription_token_enabled.then(|| self.subscription_token.clone());
        outside.connect = asked(self.connect_enabled, &self.connect);
        outside.socket_connect = asked(self.socket_connect_enabled, &self.socket_connect);
        outside.refresh = asked(self.refresh_enabled, &self.refresh);
        outside.rpc = asked(self.asks_unnamed("rpc"), &self.rpc);
        outside.subscribe = asked(self.asks_unnamed("subscribe"), &self.subscribe);
        outside.publish = asked(self.asks_unnamed("publish"), &self.publish);
        outside.sub_refresh = asked(self.asks_unnamed("sub_refresh"), &self.sub_refresh);
        outside.socket_event = asked(self.socket_event_enabled, &self.socket_event);
        outside.socket_end = asked(self.socket_end_enabled, &self.socket_end);
        outside.calls = Some(self.calls());
        outside.namespaces = Arc::clone(&config.namespaces);
        outside.skips_signatures = self.skips_signatures;
        let used = self.used_proxies();
        let used = self.proxies.iter().filter(|proxy| used.contains(proxy.name.as_str()));
        outside.proxies = used.map(|proxy| (proxy.name.clone(), proxy.options.clone())).collect();
        outside.state = asked(self.any(|c| c.state_proxy_enabled), &self.state);
        let hooks = [
            &mut outside.connect,
            &mut outside.socket_connect,
            &mut outside.refresh,
            &mut outside.rpc,
            &mut outside.subscribe,
            &mut outside.publish,
            &mut outside.sub_refresh,
            &mut outside.socket_event,
            &mut outside.socket_end,
            &mut outside.state,
        ];
        let named = outside.proxies.iter_mut().map(|(_, hook)| hook);
        for hook in hooks.into_iter().flatten().chain(named) {
            // Names of headers are compared in lower case.
            let names = hook.http_headers.iter_mut().chain(&mut hook.emulated_headers);
            names.for_each(|name| name.make_ascii_lowercase());
        }
    }

    /// The paths of the server API, health and metrics; a slash at the end is removed.
    fn control_paths(&self) -> ControlPaths {
        let mut paths = self.paths.clone();
        paths.has_open_metrics |= paths.clients_have_metrics;
        for path in [&mut paths.api, &mut paths.health, &mut paths.metrics] {
            path.truncate(path.trim_end_matches('/').len());
        }
        paths
    }

    /// Adapts the paths of client listeners when the control listener was set explicitly: the control listener serves
    /// all, and client listeners the API only if that is set. Metrics that were enabled are open on the control
    /// listener.
    pub(in super::super) fn keep_inside(&mut self) {
        let paths = &mut self.paths;
        paths.clients_have_api = self.is_api_external;
        paths.has_open_metrics = paths.clients_have_metrics;
        (paths.clients_have_health, paths.clients_have_metrics) = (false, false);
    }

    /// The endpoints that are served.
    fn endpoints(&self) -> Vec<Endpoint> {
        // Socket.IO has options of its own.
        let served = self.served().into_iter().filter(|(_, _, serves)| *serves != Serves::SocketIo);
        served.map(|(_, path, serves)| Endpoint { path: path.to_owned(), serves }).collect()
    }

    /// Options of calls in all namespaces, and without one.
    fn all_calls(&self) -> impl Iterator<Item = &CallOptions> {
        std::iter::once(&self.calls).chain(self.call_namespaces.iter().map(|named| &named.options))
    }

    /// The destinations of calls.
    fn calls(&self) -> Calls {
        let hook = |options: &CallOptions| options.enabled.then(|| options.proxy_name.clone());
        let named = self.call_namespaces.iter().map(|table| (table.name.clone(), hook(&table.options)));
        Calls {
            boundary: self.call_boundary.clone(),
            without_namespace: hook(&self.calls),
            named: named.collect(),
            ping: self.ping_enabled.then(|| self.ping_method.clone()),
        }
    }

    /// Whether the unnamed hook of this kind is in use.
    pub(super) fn asks_unnamed(&self, kind: &str) -> bool {
        match kind {
            "subscribe" => self.any(|c| subscribe_hook(c) == Some("")),
            "publish" => self.any(|c| publish_hook(c) == Some("")),
            "sub_refresh" => self.any(|c| sub_refresh_hook(c) == Some("")),
            _ => self.all_calls().any(|c| c.enabled && c.proxy_name.is_empty()),
        }
    }

    /// The names of the hooks in use.
    pub(super) fn used_proxies(&self) -> BTreeSet<&str> {
        let channels =
            std::iter::once(&self.without_namespace).chain(self.namespaces.iter().map(|n| &n.options));
        let of_channels = channels.flat_map(|c| [subscribe_hook(c), publish_hook(c), sub_refresh_hook(c)]);
        let of_calls = self.all_calls().map(|c| c.enabled.then_some(c.proxy_name.as_str()));
        of_channels.chain(of_calls).flatten().filter(|name| !name.is_empty()).collect()
    }

    fn namespaces(&self) -> Namespaces {
        let meta_ttl_ms = match self.history_meta_ttl_ms {
            // As in Centrifugo.
            0 => Namespaces::default().history_meta_ttl_ms,
            said => said,
        };
        let whole = |options: &ChannelOptions| {
            let mut options = options.clone();
            if options.publication_data_format == DataFormat::Any {
                options.publication_data_format = self.publication_data_format;
            }
            if options.history_meta_ttl_ms == 0 {
                options.history_meta_ttl_ms = meta_ttl_ms;
            }
            Arc::new(options)
        };
        Namespaces {
            without_namespace: whole(&self.without_namespace),
            named: self.namespaces.iter().map(|n| (n.name.clone(), whole(&n.options))).collect(),
            namespace_boundary: self.namespace_boundary.clone(),
            private_prefix: self.private_prefix.clone(),
            user_boundary: self.user_boundary.clone(),
            user_separator: self.user_separator.clone(),
            history_meta_ttl_ms: meta_ttl_ms,
            takes_unknown: self.takes_unknown_namespaces,
        }
    }

    /// Whether a predicate holds for the channels of any namespace, or without one.
    pub(super) fn any(&self, holds: impl Fn(&ChannelOptions) -> bool) -> bool {
        holds(&self.without_namespace) || self.namespaces.iter().any(|n| holds(&n.options))
    }
}

/// The name of a hook of channels, if it is in use.
fn subscribe_hook(options: &ChannelOptions) -> Option<&str> {
    options.subscribe_proxy_enabled.then_some(&options.subscribe_proxy_name)
}

fn publish_hook(options: &ChannelOptions) -> Option<&str> {
    options.publish_proxy_enabled.then_some(&options.publish_proxy_name)
}

fn sub_refresh_hook(options: &ChannelOptions) -> Option<&str> {
    options.sub_refresh_proxy_enabled.then_some(&options.sub_refresh_proxy_name)
}

/// All features of a channel, within reason. Channel numbers are left out: current JavaScript clients offer them over
/// Protobuf, too, but then do not find the channel of a push.
fn trial() -> ChannelOptions {
    ChannelOptions {
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        history_size: 100,
        history_ttl_ms: 600_000,
        force_recovery: true,
        allow_positioning: true,
        allow_recovery: true,
        allows_fossil_delta: true,
        allow_tags_filter: true,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_subscriber: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
        allow_history_for_subscriber: true,
        allow_history_for_client: true,
        allow_history_for_anonymous: true,
        allow_presence_for_subscriber: true,
        allow_presence_for_client: true,
        allow_presence_for_anonymous: true,
        allow_user_limited_channels: true,
        ..ChannelOptions::default()
    }
}
