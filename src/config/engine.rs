//! The configuration, as shards and requests find it.

use std::sync::Arc;

use super::Config;
use crate::outside::options::HookOptions;
use crate::proto::ws::press;
use crate::session::{Endpoint, Endpoints, Serves, Transport};
use crate::shard::options::Options;

/// The first page: connects, joins a channel, shows who is there, sends and receives.
const PAGE: &str = include_str!("page.html");

impl Config {
    /// What shards go by; `node` is this process's id.
    pub fn shard_options(&self, node: &str) -> Options {
        let compression = press::Options {
            level: u32::try_from(self.compression_level).unwrap_or(1),
            bytes_min: self.compression_min_bytes,
        };
        Options {
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            client: self.client.clone(),
            rates: self.rates.clone(),
            namespaces: Arc::clone(&self.namespaces),
            endpoints: endpoints(self, node),
            trusted_proxies: self.trusted_proxies.clone(),
            proxy_protocol: self.proxy_protocol,
            compression: self.compression.then_some(compression),
            metrics_by_namespace: self.metrics_by_namespace,
        }
    }
}

/// The endpoints of a configuration; `node` is this process's id.
fn endpoints(config: &Config, node: &str) -> Endpoints {
    let outside = &config.outside;
    let later = [&outside.refresh, &outside.rpc, &outside.subscribe, &outside.publish, &outside.sub_refresh];
    let all = [&[&outside.connect][..], &later].concat();
    Endpoints {
        table: table(config),
        allowed_origins: config.client.allowed_origins.clone(),
        allows_own_pages: config.client.allow_own_pages,
        kept_headers: wanted(&all, |hook| &hook.http_headers),
        lasting_headers: wanted(&later, |hook| &hook.http_headers),
        emulated_headers: wanted(&all, |hook| &hook.emulated_headers),
        lasting_emulated_headers: wanted(&later, |hook| &hook.emulated_headers),
        token_cookie: config.client.token_cookie.clone(),
        node: node.to_owned(),
    }
}

/// What is served, and where.
fn table(config: &Config) -> Vec<Endpoint> {
    let websocket = config
        .websocket_path
        .iter()
        .map(|path| Endpoint { path: path.clone(), serves: Serves::Centrifuge(Transport::WebSocket) });
    let page = config.page.or(config.first_page.then_some(PAGE));
    let page = page.map(|page| Endpoint { path: "/".to_owned(), serves: Serves::Page(page) });
    websocket.chain(config.endpoints.iter().cloned()).chain(page).collect()
}

/// The headers that these hooks want by one of their lists, each once.
fn wanted(hooks: &[&Option<HookOptions>], list: fn(&HookOptions) -> &Vec<String>) -> Vec<String> {
    let mut names: Vec<String> =
        hooks.iter().copied().flatten().flat_map(|hook| list(hook).iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
