//! Configurations of servers under siege: small limits, channels of all kinds, raw endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use throng::parts::config::{Config, Limits, Rates, Timeouts};
use throng::parts::hub::options::{ChannelOptions, Namespaces};
use throng::parts::proto::http::{Refusal, Request};
use throng::parts::proto::ws::Kind;
use throng::parts::session::{ClientId, CloseReason, Endpoint, Handler, Message, Peer};

pub(super) const HEAD_BYTES_MAX: usize = 2 << 10;
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;
pub(super) const OUTBOX_BYTES_MAX: usize = 32 << 10;
/// Of a request that is answered outside.
pub(super) const BODY_BYTES_MAX: usize = 4 << 10;
/// The key of such requests, and the limit of pending ones.
pub(super) const KEY: &str = "right";
const REQUESTS_MAX: usize = 2;
pub(super) const QUEUED_BYTES_MAX: usize = 1 << 20;
pub(super) const HISTORY_BYTES_MAX: usize = 256 << 10;

/// Variants of a server: with a connect hook; with one connection per second; few half-open ones; one connection per
/// user; no anonymous clients; few questions; small sockets; two shards; ten commands per second.
pub(super) const MANNERS: &[u8] = b"crhunqs2l";

/// Raw endpoints: `/echo`, and `/clock`, which sends the time often and at length to each client that has sent
/// something.
#[derive(Debug)]
pub(super) struct HostileHandler {
    inside: Arc<AtomicI64>,
}

impl HostileHandler {
    pub(super) fn new(inside: &Arc<AtomicI64>) -> Self {
        Self { inside: Arc::clone(inside) }
    }
}

impl Handler for HostileHandler {
    type State = bool;

    fn serves(&self, path: &str) -> bool {
        matches!(path, "/echo" | "/clock")
    }

    fn open(
        &mut self,
        request: &Request<'_>,
        _: Option<&'static str>,
        _: &mut Peer<'_, '_>,
    ) -> Result<bool, Refusal> {
        self.inside.fetch_add(1, Relaxed);
        Ok(request.path == "/clock")
    }

    fn message(
        &mut self,
        is_clock: &mut bool,
        message: Message<'_>,
        peer: &mut Peer<'_, '_>,
    ) -> Result<(), CloseReason> {
        match *is_clock {
            true => peer.set_timer(1),
            false => peer.send(message.kind, message.data),
        }
        Ok(())
    }

    fn timer(&mut self, _: &mut bool, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
        peer.send(Kind::Binary, &[b'.'; 30 << 10]);
        peer.set_timer(1);
        Ok(())
    }

    fn closed(&mut self, _: bool, _: ClientId, _: &CloseReason) {
        self.inside.fetch_sub(1, Relaxed);
    }
}

/// A server of these manners.
pub(super) fn config(has: &dyn Fn(u8) -> bool) -> Config {
    let mut config = Config {
        endpoints: Endpoint::beside_websocket(),
        limits: Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            frame_bytes_max: MESSAGE_BYTES_MAX,
            outbox_bytes_max: OUTBOX_BYTES_MAX,
            queued_bytes_max: QUEUED_BYTES_MAX,
            history_bytes_max: HISTORY_BYTES_MAX,
            channels_per_connection_max: 64,
            channels_per_shard_max: 1000,
            half_open_max: if has(b'h') { 3 } else { 0 },
            ..Limits::default()
        },
        timeouts: Timeouts { ping_interval_ms: 0, idle_ms: 0, ..Timeouts::default() },
        rates: Rates {
            connects_max: if has(b'r') { 2 } else { 0 },
            commands_max: if has(b'l') { 10 } else { 0 },
            ..Rates::default()
        },
        ..Config::default()
    };
    config.client.insecure = false;
    config.api.insecure = false;
    config.api.keys = vec![KEY.to_owned()];
    config.api.requests_max = REQUESTS_MAX;
    config.api.body_bytes_max = BODY_BYTES_MAX;
    config.control_paths.clients_have_health = true;
    config.client.allow_anonymous_connect_without_token = !has(b'n');
    config.client.user_connection_limit = usize::from(has(b'u'));
    config.namespaces = Arc::new(namespaces());
    config
}

/// The configuration with one kind of difference that a running server accepts: none; lower limits; other channels;
/// fewer permissions; other endpoints; other keys.
pub(super) fn renewed(config: &Config, kind: usize) -> Config {
    let mut config = config.clone();
    match kind % 6 {
        0 => {}
        1 => {
            config.limits.message_bytes_max = MESSAGE_BYTES_MAX / 8;
            config.limits.frame_bytes_max = MESSAGE_BYTES_MAX / 8;
            config.limits.outbox_bytes_max = OUTBOX_BYTES_MAX / 2;
            config.limits.channels_per_connection_max = 1;
            config.limits.channels_per_shard_max = 2;
            config.limits.half_open_max = 2;
        }
        2 => {
            let Namespaces { without_namespace, named, .. } = &*config.namespaces;
            let (plain, locked) = (Arc::clone(without_namespace), Arc::clone(&named["l"]));
            // The channel with history has none, the free one is locked, and one does not exist any more.
            let named = [("h".to_owned(), plain), ("l".to_owned(), Arc::clone(&locked))];
            config.namespaces = Arc::new(Namespaces {
                without_namespace: locked,
                named: named.into(),
                ..Namespaces::clone(&config.namespaces)
            });
        }
        3 => {
            config.rates.connects_max = 1;
            config.rates.commands_max = 10;
            config.client.allow_anonymous_connect_without_token = false;
            config.client.user_connection_limit = 1;
        }
        4 => config.endpoints = Vec::new(),
        _ => {
            config.api.keys = vec!["another".to_owned()];
            config.control_paths.clients_have_health = false;
        }
    }
    config
}

fn namespaces() -> Namespaces {
    let open = ChannelOptions {
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
        allow_presence_for_client: true,
        allow_presence_for_anonymous: true,
        allow_history_for_client: true,
        allow_history_for_anonymous: true,
        ..ChannelOptions::default()
    };
    let kept =
        ChannelOptions { history_size: 32, history_ttl_ms: 3_600_000, force_recovery: true, ..open.clone() };
    let hooked = ChannelOptions {
        subscribe_proxy_enabled: true,
        publish_proxy_enabled: true,
        sub_refresh_proxy_enabled: true,
        ..open.clone()
    };
    let named = [("h", kept), ("k", hooked), ("l", ChannelOptions::default())];
    let named = named.map(|(name, options)| (name.to_owned(), Arc::new(options)));
    Namespaces { without_namespace: Arc::new(open), named: named.into(), ..Namespaces::default() }
}
