//! Values without effect, since their switch or feature is off. They are not errors, but the author may have expected
//! an effect.

use super::super::tls::ServerTls;
use super::{List, Sections};
use crate::hub::options::{ChannelOptions, EventName};
use crate::outside::options::{HookTls, TokenOptions};

/// All such keys by path, each with the reason.
pub(in super::super) fn idle(sections: &Sections) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut tell = |path: String, lacks: &str| found.push((path, format!("has no effect without {lacks}")));
    hooks(sections, &mut tell);
    hooks_tls(sections, &mut tell);
    server_tls(sections, &mut tell);
    if !sections.subscription_token_enabled && sections.subscription_token != TokenOptions::default() {
        tell("client.subscription_token".to_owned(), "client.subscription_token.enabled = true");
    }
    let is_served = sections.socketio.enabled;
    channels("channel.without_namespace", &sections.without_namespace, is_served, &mut tell);
    for namespace in &sections.namespaces {
        channels(
            &format!("{}.{}", List::Namespaces.path(), namespace.name),
            &namespace.options,
            is_served,
            &mut tell,
        );
    }
    found
}

type Tell<'a> = &'a mut dyn FnMut(String, &str);

/// Hooks with an endpoint that are not in use.
fn hooks(sections: &Sections, tell: Tell<'_>) {
    const IN_A_NAMESPACE: &str = "in channel.without_namespace or a namespace";
    let used = sections.used_proxies();
    for proxy in sections.proxies.iter().filter(|proxy| !used.contains(proxy.name.as_str())) {
        tell(format!("{}.{}", List::Proxies.path(), proxy.name), "a namespace that names it");
    }
    let asks = |kind| sections.asks_unnamed(kind);
    for (path, switch, is_asked, endpoint) in [
        ("client.proxy.connect", "", sections.connect_enabled, &sections.connect.endpoint),
        (
            "socketio.proxy.connect",
            "",
            sections.socket_connect_enabled && sections.socketio.enabled,
            &sections.socket_connect.endpoint,
        ),
        ("client.proxy.refresh", "", sections.refresh_enabled, &sections.refresh.endpoint),
        ("socketio.proxy.event", "", sections.socket_event_enabled, &sections.socket_event.endpoint),
        ("socketio.proxy.disconnect", "", sections.socket_end_enabled, &sections.socket_end.endpoint),
        ("rpc.proxy", "rpc.without_namespace.proxy_enabled = true", asks("rpc"), &sections.rpc.endpoint),
        (
            "channel.proxy.subscribe",
            "subscribe_proxy_enabled",
            asks("subscribe"),
            &sections.subscribe.endpoint,
        ),
        ("channel.proxy.publish", "publish_proxy_enabled", asks("publish"), &sections.publish.endpoint),
        (
            "channel.proxy.sub_refresh",
            "sub_refresh_proxy_enabled",
            asks("sub_refresh"),
            &sections.sub_refresh.endpoint,
        ),
        (
            "channel.proxy.state",
            "state_proxy_enabled",
            sections.any(|c| c.state_proxy_enabled),
            &sections.state.endpoint,
        ),
    ] {
        if is_asked || endpoint.is_empty() {
            continue;
        }
        let lacks = match switch {
            "" => format!("{path}.enabled = true"),
            whole if whole.contains('.') => whole.to_owned(),
            of_channels => format!("{of_channels} = true {IN_A_NAMESPACE}"),
        };
        tell(format!("{path}.endpoint"), &lacks);
    }
}

/// TLS options of hooks whose TLS options are off: public authorities are used, and no client certificate.
fn hooks_tls(sections: &Sections, tell: Tell<'_>) {
    let unnamed = sections.hooks().into_iter().map(|(path, hook)| (path.to_owned(), hook));
    let named = sections.proxies.iter();
    let named = named.map(|proxy| (format!("{}.{}", List::Proxies.path(), proxy.name), &proxy.options));
    for (path, hook) in unnamed.chain(named).filter(|(_, hook)| !hook.tls.enabled) {
        let HookTls { enabled: _, server_ca_pem, cert_pem, key_pem, server_name, insecure_skip_verify } =
            &hook.tls;
        for (is_set, name) in [
            (!server_ca_pem.is_empty(), "server_ca_pem"),
            (!cert_pem.is_empty(), "cert_pem"),
            (!key_pem.is_empty(), "key_pem"),
            (!server_name.is_empty(), "server_name"),
            (*insecure_skip_verify, "insecure_skip_verify"),
        ] {
            if is_set {
                tell(format!("{path}.http.tls.{name}"), "http.tls.enabled = true");
            }
        }
    }
}

/// Options of `http_server.tls` while that is off.
fn server_tls(sections: &Sections, tell: Tell<'_>) {
    let ServerTls { enabled, cert, key, client_ca, is_external: _ } = &sections.tls;
    for (value, name) in [(cert, "cert_pem"), (key, "key_pem"), (client_ca, "client_ca_pem")] {
        if !*enabled && !value.is_empty() {
            tell(format!("http_server.tls.{name}"), "http_server.tls.enabled = true");
        }
    }
}

/// Channel options whose feature is off; whether Socket.IO is served.
fn channels(table: &str, options: &ChannelOptions, is_served: bool, tell: Tell<'_>) {
    let has_event = options.socketio_event != EventName::default();
    let recovers = options.force_recovery || options.allow_recovery;
    let history = ("history_size and history_ttl", options.keeps_history());
    let presence = ("presence", options.presence);
    for (is_on, name, (feature, has_feature)) in [
        (options.force_push_join_leave, "force_push_join_leave", ("join_leave", options.join_leave)),
        (options.allow_recovery, "allow_recovery", history),
        (options.is_cache_recovery, "force_recovery_mode", ("force_recovery or allow_recovery", recovers)),
        (options.delta_publish, "delta_publish", ("allowed_delta_types", options.allows_fossil_delta)),
        (options.allow_history_for_subscriber, "allow_history_for_subscriber", history),
        (options.allow_history_for_client, "allow_history_for_client", history),
        (options.allow_history_for_anonymous, "allow_history_for_anonymous", history),
        (options.allow_presence_for_subscriber, "allow_presence_for_subscriber", presence),
        (options.allow_presence_for_client, "allow_presence_for_client", presence),
        (options.allow_presence_for_anonymous, "allow_presence_for_anonymous", presence),
        (!options.socketio.is_empty(), "socketio", ("socketio.enabled = true", is_served)),
        (has_event, "socketio_event", ("socketio", !options.socketio.is_empty())),
    ] {
        if is_on && !has_feature {
            tell(format!("{table}.{name}"), feature);
        }
    }
}
