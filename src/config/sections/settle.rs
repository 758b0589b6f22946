//! What the sections say when nobody types them, and what they mean for the server.

use super::super::{ApiOptions, ClientOptions, Config, ControlPaths, Rates, ServerTls};
use super::{Carrier, Namespace, Sections};
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::outside::options::{HookOptions, TokenOptions};
use crate::session::endpoint::EMULATION_PATH;
use crate::session::{Endpoint, Transport};
use std::sync::Arc;

/// The namespace that a fresh server has, to try what channels can do.
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
            refresh_enabled: false,
            refresh: HookOptions::default(),
            rpc_enabled: false,
            rpc: HookOptions::default(),
            subscribe: HookOptions::default(),
            publish: HookOptions::default(),
            sub_refresh: HookOptions::default(),
            state: HookOptions::default(),
            without_namespace: ChannelOptions::default(),
            namespaces: Vec::new(),
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
        }
    }
}

impl Sections {
    /// What holds in development mode: everything can be tried at once, by anyone who reaches the server. The server API
    /// is open only if `is_control_local`.
    pub(in super::super) fn development(is_control_local: bool) -> Self {
        let mut sections = Self {
            client: ClientOptions { insecure: true, allow_own_pages: true, ..ClientOptions::default() },
            namespaces: vec![Namespace { name: TRIAL.to_owned(), options: trial() }],
            takes_unknown_namespaces: true,
            api: ApiOptions { insecure: is_control_local, ..ApiOptions::default() },
            ..Self::default()
        };
        sections.transports.iter_mut().for_each(|carrier| carrier.enabled = true);
        sections
    }

    /// Gives the server what the sections mean.
    pub(in super::super) fn settle(&self, config: &mut Config) {
        config.client = self.client.clone();
        config.rates = self.rates.clone();
        config.tls.server = self.tls.clone();
        config.logs.file.clone_from(&self.log_file);
        config.api = ApiOptions { enabled: !self.is_api_disabled, ..self.api.clone() };
        config.control_paths = self.control_paths();
        config.endpoints = self.endpoints();
        config.namespaces = Arc::new(self.names());
        // The rest of these options are flat keys.
        let outside = Arc::make_mut(&mut config.outside);
        let asked = |enabled: bool, hook: &HookOptions| enabled.then(|| hook.clone());
        outside.token = self.token.clone();
        outside.subscription_token = self.subscription_token_enabled.then(|| self.subscription_token.clone());
        outside.connect = asked(self.connect_enabled, &self.connect);
        outside.refresh = asked(self.refresh_enabled, &self.refresh);
        outside.rpc = asked(self.rpc_enabled, &self.rpc);
        outside.subscribe = asked(self.any(|c| c.subscribe_proxy_enabled), &self.subscribe);
        outside.publish = asked(self.any(|c| c.publish_proxy_enabled), &self.publish);
        outside.sub_refresh = asked(self.any(|c| c.sub_refresh_proxy_enabled), &self.sub_refresh);
        outside.state = asked(self.any(|c| c.state_proxy_enabled), &self.state);
        let hooks = [
            &mut outside.connect,
            &mut outside.refresh,
            &mut outside.rpc,
            &mut outside.subscribe,
            &mut outside.publish,
            &mut outside.sub_refresh,
            &mut outside.state,
        ];
        for hook in hooks.into_iter().flatten() {
            // Names of headers are compared in lower case.
            let names = hook.http_headers.iter_mut().chain(&mut hook.emulated_headers);
            names.for_each(|name| name.make_ascii_lowercase());
        }
    }

    /// Where the server API, health and metrics are: `/api/` and `/api` are the same.
    fn control_paths(&self) -> ControlPaths {
        let mut paths = self.paths.clone();
        for path in [&mut paths.api, &mut paths.health, &mut paths.metrics] {
            path.truncate(path.trim_end_matches('/').len());
        }
        paths
    }

    /// What client listeners have when the control listener is one that was asked for: then it has all, and they the API
    /// only if that is wanted.
    pub(in super::super) fn keep_inside(&mut self) {
        let paths = &mut self.paths;
        paths.clients_have_api = self.is_api_external;
        (paths.clients_have_health, paths.clients_have_metrics) = (false, false);
    }

    /// The endpoints that are served.
    fn endpoints(&self) -> Vec<Endpoint> {
        let served = self.served().into_iter();
        served.map(|(_, path, serves)| Endpoint { path: path.to_owned(), serves }).collect()
    }

    fn names(&self) -> Namespaces {
        let whole = |options: &ChannelOptions| {
            let mut options = options.clone();
            if options.history_meta_ttl_ms == 0 {
                options.history_meta_ttl_ms = self.history_meta_ttl_ms;
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
            history_meta_ttl_ms: self.history_meta_ttl_ms,
            takes_unknown: self.takes_unknown_namespaces,
        }
    }

    /// Whether it holds for the channels of some namespace, or of none.
    pub(super) fn any(&self, holds: impl Fn(&ChannelOptions) -> bool) -> bool {
        holds(&self.without_namespace) || self.namespaces.iter().any(|n| holds(&n.options))
    }
}

/// Everything that a channel can do, within reason. Numbers for channels are left out: the JavaScript client of today offers
/// them over Protobuf, too, but then does not find the channel of a push.
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
