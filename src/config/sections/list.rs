//! The keys of sections that stand once.

use super::super::slot::Form;
use super::{Sections, Setting, Slot};

const fn key(
    name: &'static str,
    help: &'static str,
    slot: fn(&mut Sections) -> Slot<'_>,
) -> Setting<Sections> {
    Setting { name, help, slot }
}

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 366 * 24 * HOUR_MS;

/// Every key of a section that stands once, in the order in which they are told.
pub static SETTINGS: &[Setting<Sections>] = &[
    key(
        "client.insecure",
        "Everyone may connect, subscribe and publish, without tokens or permissions",
        |s| Slot::Switch(&mut s.client.insecure),
    ),
    key(
        "client.allowed_origins",
        "Origins that browsers may come from, with * for any run of characters; none: only the server's own",
        |s| Slot::Texts(&mut s.client.allowed_origins),
    ),
    key(
        "client.allow_anonymous_connect_without_token",
        "A client without a token connects as the anonymous user",
        |s| Slot::Switch(&mut s.client.allow_anonymous_connect_without_token),
    ),
    key(
        "client.allow_certificate_connect_without_token",
        "A client without a token connects as the user that its certificate names (throng's own); needs `tls_client_ca`",
        |s| Slot::Switch(&mut s.client.allow_certificate_connect_without_token),
    ),
    key("client.disallow_anonymous_connection_tokens", "Tokens without a user are refused", |s| {
        Slot::Switch(&mut s.client.disallow_anonymous_connection_tokens)
    }),
    key(
        "client.token_cookie",
        "Name of a cookie that may hold the connection's token (throng's own); empty for none",
        |s| Slot::Text(&mut s.client.token_cookie, Form::Cookie),
    ),
    key(
        "client.expired_close_delay",
        "How long a client may take to bring a new token when the old has expired",
        |s| Slot::Duration(&mut s.client.expired_close_delay_ms, 0..=24 * HOUR_MS),
    ),
    key("client.expired_sub_close_delay", "The same for the token of a subscription", |s| {
        Slot::Duration(&mut s.client.expired_sub_close_delay_ms, 0..=24 * HOUR_MS)
    }),
    key(
        "client.connect_include_server_time",
        "The answer to a connect command tells the server's time",
        |s| Slot::Switch(&mut s.client.connect_include_server_time),
    ),
    key(
        "client.history_max_publication_limit",
        "Publications that one history request gives at most; 0: no limit",
        |s| Slot::Count(&mut s.client.history_max_publication_limit, 0..=1_000_000),
    ),
    key(
        "client.recovery_max_publication_limit",
        "Publications that one recovery gives at most; who missed more is told so. 0: no limit",
        |s| Slot::Count(&mut s.client.recovery_max_publication_limit, 0..=1_000_000),
    ),
    key(
        "client.subscribe_to_user_personal_channel.enabled",
        "Each user's connections are subscribed to the user's own channel",
        |s| Slot::Switch(&mut s.client.subscribe_to_user_personal_channel),
    ),
    key(
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
        "The namespace of those channels; empty for none",
        |s| Slot::Text(&mut s.client.personal_channel_namespace, Form::Any),
    ),
    key(
        "client.subscribe_to_user_personal_channel.single_connection",
        "A user's newest connection is its only one: those before it are closed (3504)",
        |s| Slot::Switch(&mut s.client.personal_channel_single_connection),
    ),
    key(
        "client.user_connection_limit",
        "Connections of one user; one more is closed (3504). Anonymous clients are not counted. 0: no limit",
        |s| Slot::Count(&mut s.client.user_connection_limit, 0..=1_000_000),
    ),
    key(
        "client.subscription_token.enabled",
        "Tokens of subscriptions are verified by keys of their own",
        |s| Slot::Switch(&mut s.subscription_token_enabled),
    ),
    key("client.proxy.connect.enabled", "The application is asked about connections without a token", |s| {
        Slot::Switch(&mut s.connect_enabled)
    }),
    key("client.proxy.refresh.enabled", "The application is asked about connections about to expire", |s| {
        Slot::Switch(&mut s.refresh_enabled)
    }),
    key("channel.namespace_boundary", "Between a channel's namespace and the rest of its name", |s| {
        Slot::Text(&mut s.namespace_boundary, Form::Boundary)
    }),
    key("channel.private_prefix", "What a channel that needs a token begins with; empty for none", |s| {
        Slot::Text(&mut s.private_prefix, Form::Any)
    }),
    key("channel.user_boundary", "Before the users that a channel is for", |s| {
        Slot::Text(&mut s.user_boundary, Form::Boundary)
    }),
    key("channel.user_separator", "Between those users", |s| {
        Slot::Text(&mut s.user_separator, Form::Boundary)
    }),
    key(
        "channel.history_meta_ttl",
        "How long a channel's position outlives its last publication, where its namespace does not say",
        |s| Slot::Duration(&mut s.history_meta_ttl_ms, 1000..=100 * YEAR_MS),
    ),
    key(
        "channel.takes_unknown_namespaces",
        "A name with an unknown namespace is taken as one without, in place of error 102 (throng's own)",
        |s| Slot::Switch(&mut s.takes_unknown_namespaces),
    ),
    key(
        "rpc.without_namespace.proxy_enabled",
        "The application is asked to answer calls, by rpc.proxy",
        |s| Slot::Switch(&mut s.rpc_enabled),
    ),
    key(
        "http_api.key",
        "What callers of the server API must send as X-API-Key; a list where a key is being changed",
        |s| Slot::Secrets(&mut s.api.keys),
    ),
    key("http_api.insecure", "Everyone who reaches the control listener may call the server API", |s| {
        Slot::Switch(&mut s.api.insecure)
    }),
    key("http_api.error_mode", "`transport`: errors of the server API have a status of HTTP, not 200", |s| {
        Slot::Either(&mut s.api.errors_by_status, ["", "transport"])
    }),
    key("http_api.disabled", "There is no server API", |s| Slot::Switch(&mut s.is_api_disabled)),
    key("http_api.body_bytes_max", "Bytes of a request's body (throng's own); beyond it, 413", |s| {
        Slot::Bytes(&mut s.api.body_bytes_max, 1024..=1 << 30)
    }),
    key(
        "node.name",
        "The node's name in info; empty: the host's name and the port of the first listener",
        |s| Slot::Text(&mut s.api.node_name, Form::Any),
    ),
    key("sse.enabled", "Server-sent events are served", |s| Slot::Switch(&mut s.sse.enabled)),
    key("sse.handler_prefix", "Their path", |s| Slot::Text(&mut s.sse.path, Form::Path)),
    key("http_stream.enabled", "HTTP streaming is served", |s| Slot::Switch(&mut s.http_stream.enabled)),
    key("http_stream.handler_prefix", "Its path", |s| Slot::Text(&mut s.http_stream.path, Form::Path)),
    key(
        "emulation.handler_prefix",
        "Where clients of those two post their commands; served when one of them is",
        |s| Slot::Text(&mut s.emulation_path, Form::Path),
    ),
    key("uni_websocket.enabled", "WebSocket without commands is served", |s| {
        Slot::Switch(&mut s.uni_websocket.enabled)
    }),
    key("uni_websocket.handler_prefix", "Its path", |s| Slot::Text(&mut s.uni_websocket.path, Form::Path)),
    key("uni_sse.enabled", "Server-sent events without commands are served", |s| {
        Slot::Switch(&mut s.uni_sse.enabled)
    }),
    key("uni_sse.handler_prefix", "Their path", |s| Slot::Text(&mut s.uni_sse.path, Form::Path)),
    key("uni_http_stream.enabled", "HTTP streaming without commands is served", |s| {
        Slot::Switch(&mut s.uni_http_stream.enabled)
    }),
    key("uni_http_stream.handler_prefix", "Its path", |s| {
        Slot::Text(&mut s.uni_http_stream.path, Form::Path)
    }),
    key(
        "rates.connects_max",
        "Connections that connect per second, in the whole process; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.connects_max),
    ),
    key("rates.connects_per_ip_max", "The same for one address, per shard", |s| {
        Slot::Rate(&mut s.rates.connects_per_ip_max)
    }),
    key(
        "rates.commands_max",
        "Commands of one connection per second, of any kind; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.commands_max),
    ),
    key(
        "rates.subscribes_max",
        "Subscribe commands of one connection per second; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.subscribes_max),
    ),
    key("rates.publishes_max", "Publish commands of one connection per second; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.publishes_max)
    }),
    key("rates.rpcs_max", "Calls of one connection per second; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.rpcs_max)
    }),
    key(
        "rates.presences_max",
        "Presence and presence_stats commands of one connection per second; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.presences_max),
    ),
    key("rates.histories_max", "History commands of one connection per second; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.histories_max)
    }),
    key(
        "rates.others_max",
        "Commands of every other kind of one connection per second; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.others_max),
    ),
];
