//! The keys of sections that have a fixed path.

use super::super::slot::{Form, RuleKind};
use super::{Sections, Setting, Slot};
use crate::session::Transport;

const fn key(
    name: &'static str,
    help: &'static str,
    slot: fn(&mut Sections) -> Slot<'_>,
) -> Setting<Sections> {
    Setting { name, help, slot }
}

fn switch(sections: &mut Sections, transport: Transport) -> Slot<'_> {
    Slot::Switch(&mut sections.transports[transport.index()].enabled)
}

fn path(sections: &mut Sections, transport: Transport) -> Slot<'_> {
    Slot::Text(&mut sections.transports[transport.index()].path, Form::Path)
}

const HOUR_MS: u64 = 3_600_000;
const GIB: u64 = 1 << 30;
const YEAR_MS: u64 = 366 * 24 * HOUR_MS;

/// All keys of sections with a fixed path, in the order of the manual.
pub static SETTINGS: &[Setting<Sections>] = &[
    key(
        "client.insecure",
        "Every client may connect, subscribe and publish, without tokens or permissions",
        |s| Slot::Switch(&mut s.client.insecure),
    ),
    key(
        "client.allowed_origins",
        "Origins of pages that may connect; * matches any run of characters. Empty: none",
        |s| Slot::Texts(&mut s.client.allowed_origins),
    ),
    key(
        "client.allow_own_pages",
        "While client.allowed_origins is empty, pages of this server itself may connect, by an address or as localhost \
        (throng only)",
        |s| Slot::Switch(&mut s.client.allow_own_pages),
    ),
    key(
        "client.allow_anonymous_connect_without_token",
        "A client without a token connects as the anonymous user",
        |s| Slot::Switch(&mut s.client.allow_anonymous_connect_without_token),
    ),
    key(
        "client.allow_certificate_connect_without_token",
        "A client without a token connects as the user that its certificate names; needs `tls_client_ca` (throng \
        only)",
        |s| Slot::Switch(&mut s.client.allow_certificate_connect_without_token),
    ),
    key("client.disallow_anonymous_connection_tokens", "Tokens without a user are refused", |s| {
        Slot::Switch(&mut s.client.disallow_anonymous_connection_tokens)
    }),
    key(
        "client.token_cookie",
        "Name of a cookie that may hold the connection token; empty: none (throng only)",
        |s| Slot::Text(&mut s.client.token_cookie, Form::Cookie),
    ),
    key(
        "client.expired_close_delay",
        "Time that a client has to send a new token after its connection token has expired",
        |s| Slot::Duration(&mut s.client.expired_close_delay_ms, 0..=24 * HOUR_MS),
    ),
    key(
        "client.expired_sub_close_delay",
        "Time that a client has to send a new token after its subscription token has expired",
        |s| Slot::Duration(&mut s.client.expired_sub_close_delay_ms, 0..=24 * HOUR_MS),
    ),
    key("client.connect_include_server_time", "Send the server's time in the reply to connect", |s| {
        Slot::Switch(&mut s.client.connect_include_server_time)
    }),
    key(
        "client.history_max_publication_limit",
        "Publications in the reply to one history request, at most. 0: no limit",
        |s| Slot::Count(&mut s.client.history_max_publication_limit, 0..=1_000_000),
    ),
    key(
        "client.recovery_max_publication_limit",
        "Publications in one recovery, at most; a client that missed more is told that it did not recover. 0: no \
        limit",
        |s| Slot::Count(&mut s.client.recovery_max_publication_limit, 0..=1_000_000),
    ),
    key(
        "client.subscribe_to_user_personal_channel.enabled",
        "Subscribe the connections of each user to the user's personal channel",
        |s| Slot::Switch(&mut s.client.subscribe_to_user_personal_channel),
    ),
    key(
        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
        "Namespace of personal channels; empty: none",
        |s| Slot::Text(&mut s.client.personal_channel_namespace, Form::Any),
    ),
    key(
        "client.subscribe_to_user_personal_channel.single_connection",
        "Keep only the newest connection of each user; older ones are closed (3504)",
        |s| Slot::Switch(&mut s.client.personal_channel_single_connection),
    ),
    key(
        "client.user_connection_limit",
        "Connections of one user; beyond it, a new one is closed (3504). Anonymous clients are not counted. 0: no \
        limit",
        |s| Slot::Count(&mut s.client.user_connection_limit, 0..=1_000_000),
    ),
    key(
        "client.concurrency",
        "Commands of one connection for which hooks and token workers are asked at the same time; further commands wait. \
        0 and 1: one by one, in their order",
        |s| Slot::Count(&mut s.client.concurrency, 0..=1024),
    ),
    key(
        "client.user_id_http_header",
        "Header in which a proxy names the user of a client without a token; only behind a proxy that sets or removes it",
        |s| Slot::Text(&mut s.client.user_id_http_header, Form::HeaderName),
    ),
    key(
        "client.insecure_skip_token_signature_verify",
        "Take tokens whatever their signature. Only in development mode",
        |s| Slot::Switch(&mut s.skips_signatures),
    ),
    key(
        "client.connect_code_to_unidirectional_disconnect.enabled",
        "Disconnect unidirectional clients that are refused by the codes of this section",
        |s| Slot::Switch(&mut s.uni_disconnects.enabled),
    ),
    key(
        "client.connect_code_to_unidirectional_disconnect.transforms",
        "Codes of connect errors, each with the disconnect for it",
        |s| Slot::Rules(&mut s.uni_disconnects.rules, RuleKind::Disconnect),
    ),
    key("client.subscription_token.enabled", "Verify subscription tokens with keys of their own", |s| {
        Slot::Switch(&mut s.subscription_token_enabled)
    }),
    key("client.proxy.connect.enabled", "Call the connect hook for connections without a token", |s| {
        Slot::Switch(&mut s.connect_enabled)
    }),
    key(
        "client.proxy.refresh.enabled",
        "Call the refresh hook for connections that are about to expire",
        |s| Slot::Switch(&mut s.refresh_enabled),
    ),
    key(
        "channel.namespace_boundary",
        "Separator between a channel's namespace and the rest of its name",
        |s| Slot::Text(&mut s.namespace_boundary, Form::Boundary),
    ),
    key("channel.private_prefix", "Prefix of channels that need a subscription token; empty: none", |s| {
        Slot::Text(&mut s.private_prefix, Form::Any)
    }),
    key(
        "channel.user_boundary",
        "Separator before the list of users in the name of a user-limited channel",
        |s| Slot::Text(&mut s.user_boundary, Form::Boundary),
    ),
    key("channel.user_separator", "Separator between the users in that list", |s| {
        Slot::Text(&mut s.user_separator, Form::Boundary)
    }),
    key(
        "channel.history_meta_ttl",
        "Time that a channel's stream position is kept after its last publication, unless its namespace sets it. 0s: 720h",
        |s| Slot::Duration(&mut s.history_meta_ttl_ms, 0..=100 * YEAR_MS),
    ),
    key(
        "channel.takes_unknown_namespaces",
        "Treat a name with an unknown namespace as a name without a namespace, instead of error 102 (throng only)",
        |s| Slot::Switch(&mut s.takes_unknown_namespaces),
    ),
    key(
        "channel.publication_data_format",
        "What publications must be, where their namespace does not say: \"json\", \"json_object\", or \
        \"binary\" or empty for anything",
        |s| Slot::DataFormat(&mut s.publication_data_format),
    ),
    key(
        "rpc.namespace_boundary",
        "Separator between a method's namespace and the rest of its name; empty: none",
        |s| Slot::Text(&mut s.call_boundary, Form::Any),
    ),
    key("rpc.ping.enabled", "Answer calls of the method rpc.ping.method with an empty result", |s| {
        Slot::Switch(&mut s.ping_enabled)
    }),
    key("rpc.ping.method", "Name of that method", |s| Slot::Text(&mut s.ping_method, Form::Any)),
    key(
        "http_api.key",
        "Keys that callers of the server API send as X-API-Key; a list while a key is replaced",
        |s| Slot::Secrets(&mut s.api.keys),
    ),
    key(
        "http_api.insecure",
        "Serve the server API without a key to everyone who reaches the control listener",
        |s| Slot::Switch(&mut s.api.insecure),
    ),
    key(
        "http_api.error_mode",
        "`transport`: report errors of the server API by HTTP status instead of 200",
        |s| Slot::Either(&mut s.api.errors_by_status, ["", "transport"]),
    ),
    key("http_api.disabled", "Do not serve the server API", |s| Slot::Switch(&mut s.is_api_disabled)),
    key(
        "http_api.handler_prefix",
        "Path of the server API, on the control listener and on client listeners",
        |s| Slot::Text(&mut s.paths.api, Form::Path),
    ),
    key("http_api.external", "Serve the server API on client listeners also when `control` is set", |s| {
        Slot::Switch(&mut s.is_api_external)
    }),
    key(
        "http_api.threads",
        "Threads that answer the server API. 0: one up to four shards, then one for each four (throng only)",
        |s| Slot::Count(&mut s.api.threads, 0..=64),
    ),
    key(
        "http_api.requests_max",
        "Requests of the server API on client listeners that are answered at a time, per shard; beyond it, 503 (throng \
        only)",
        |s| Slot::Count(&mut s.api.requests_max, 1..=65_536),
    ),
    key(
        "health.enabled",
        "Serve /health and /ready on client listeners, unless `control` is set; the control listener always does",
        |s| Slot::Switch(&mut s.paths.clients_have_health),
    ),
    key(
        "health.handler_prefix",
        "Path of the health check, on the control listener and on client listeners",
        |s| Slot::Text(&mut s.paths.health, Form::Path),
    ),
    key(
        "prometheus.enabled",
        "Serve /metrics to everyone, or with `control_key` to those who send it: on client listeners, or if `control` is \
        set, there; without it, the control listener serves programs on this machine",
        |s| Slot::Switch(&mut s.paths.clients_have_metrics),
    ),
    key(
        "prometheus.handler_prefix",
        "Path of the metrics, on the control listener and on client listeners",
        |s| Slot::Text(&mut s.paths.metrics, Form::Path),
    ),
    key("http_api.body_bytes_max", "Bytes of a request body; beyond it, 413 (throng only)", |s| {
        Slot::Bytes(&mut s.api.body_bytes_max, 1024..=1 << 30)
    }),
    key("node.name", "Name of the node in info; empty: host name and port of the first listener", |s| {
        Slot::Text(&mut s.api.node_name, Form::Any)
    }),
    key("sse.enabled", "Serve server-sent events", |s| switch(s, Transport::Sse)),
    key("sse.handler_prefix", "Path of the SSE endpoint", |s| path(s, Transport::Sse)),
    key("http_stream.enabled", "Serve HTTP streaming", |s| switch(s, Transport::HttpStream)),
    key("http_stream.handler_prefix", "Path of the HTTP streaming endpoint", |s| {
        path(s, Transport::HttpStream)
    }),
    key(
        "emulation.handler_prefix",
        "Path to which SSE and HTTP streaming clients post commands; served when either transport is",
        |s| Slot::Text(&mut s.emulation_path, Form::Path),
    ),
    key("uni_websocket.enabled", "Serve unidirectional WebSocket", |s| switch(s, Transport::UniWebSocket)),
    key("uni_websocket.handler_prefix", "Path of the unidirectional WebSocket endpoint", |s| {
        path(s, Transport::UniWebSocket)
    }),
    key("uni_sse.enabled", "Serve unidirectional server-sent events", |s| switch(s, Transport::UniSse)),
    key("uni_sse.handler_prefix", "Path of the unidirectional SSE endpoint", |s| path(s, Transport::UniSse)),
    key(
        "uni_sse.connect_code_to_http_response.enabled",
        "Answer refused clients with an HTTP status instead of a disconnect",
        |s| Slot::Switch(&mut s.sse_responses.enabled),
    ),
    key(
        "uni_sse.connect_code_to_http_response.transforms",
        "Codes of connect errors and disconnects, each with the response for it; others get 500",
        |s| Slot::Rules(&mut s.sse_responses.rules, RuleKind::Response),
    ),
    key("uni_http_stream.enabled", "Serve unidirectional HTTP streaming", |s| {
        switch(s, Transport::UniHttpStream)
    }),
    key("uni_http_stream.handler_prefix", "Path of the unidirectional HTTP streaming endpoint", |s| {
        path(s, Transport::UniHttpStream)
    }),
    key(
        "uni_http_stream.connect_code_to_http_response.enabled",
        "Answer refused clients with an HTTP status instead of a disconnect",
        |s| Slot::Switch(&mut s.http_stream_responses.enabled),
    ),
    key(
        "uni_http_stream.connect_code_to_http_response.transforms",
        "Codes of connect errors and disconnects, each with the response for it; others get 500",
        |s| Slot::Rules(&mut s.http_stream_responses.rules, RuleKind::Response),
    ),
    key(
        "init.enabled",
        "Answer GET requests with an empty JSON object, for health checks from outside",
        |s| Slot::Switch(&mut s.init.enabled),
    ),
    key("init.handler_prefix", "Path of that endpoint", |s| Slot::Text(&mut s.init.path, Form::Path)),
    key("socketio.enabled", "Serve Socket.IO clients; on in development mode (throng only)", |s| {
        Slot::Switch(&mut s.socketio.enabled)
    }),
    key("socketio.path", "Path of the Socket.IO endpoint, with or without a slash at the end", |s| {
        Slot::Text(&mut s.socketio.path, Form::Path)
    }),
    key("socketio.transports", "Transports that Socket.IO clients may use: polling, websocket", |s| {
        Slot::Texts(&mut s.socketio.transports)
    }),
    key(
        "socketio.cookie",
        "Cookie with the session's id, for load balancers, in the first answer to a polling Socket.IO client",
        |s| Slot::Cookie(&mut s.socketio.cookie),
    ),
    key(
        "socketio.upgrade_timeout",
        "Time that a Socket.IO client has to move from polling to WebSocket",
        |s| Slot::Duration(&mut s.socketio.upgrade_timeout_ms, 1..=HOUR_MS),
    ),
    key("socketio.ping_interval", "Time between two pings to a Socket.IO client", |s| {
        Slot::Duration(&mut s.socketio.ping_interval_ms, 1..=HOUR_MS)
    }),
    key(
        "socketio.ping_timeout",
        "Time that a Socket.IO client has to answer a ping; then its connection is closed",
        |s| Slot::Duration(&mut s.socketio.ping_timeout_ms, 1..=HOUR_MS),
    ),
    key(
        "socketio.connect_timeout",
        "Time that a Socket.IO client has to connect to a namespace; then its connection is closed",
        |s| Slot::Duration(&mut s.socketio.connect_timeout_ms, 1..=HOUR_MS),
    ),
    key(
        "socketio.max_payload",
        "Bytes of one message of a Socket.IO client, and of a packet with its attachments; beyond it, close 1009 and 1002",
        |s| Slot::Bytes(&mut s.socketio.payload_bytes_max, 1..=GIB),
    ),
    key("socketio.parser", "Form of Socket.IO packets, which clients must be set to as well", |s| {
        Slot::Either(&mut s.socketio.is_msgpack, ["json", "msgpack"])
    }),
    key(
        "socketio.insecure",
        "Every Socket.IO namespace opens: join and leave with one text enter and leave a room, and every other event \
        that no rule takes is relayed to the rooms of its sender, or to the whole namespace",
        |s| Slot::Switch(&mut s.socketio.insecure),
    ),
    key(
        "socketio.namespaces",
        "Patterns of the Socket.IO namespaces that open, with * for any run of characters. Empty: those that rules \
        name, and / if there is a rule or a hook for events; all, if the hook socketio.proxy.connect is on",
        |s| Slot::Texts(&mut s.socketio.namespaces),
    ),
    key(
        "socketio.rules",
        "What happens for events of Socket.IO clients; the first rule that matches applies",
        |s| Slot::SocketRules(&mut s.socketio.rules),
    ),
    key("socketio.proxy.event.enabled", "Call the hook for events of Socket.IO sockets", |s| {
        Slot::Switch(&mut s.socket_event_enabled)
    }),
    key(
        "socketio.proxy.event.events",
        "Patterns (with *) of events that go to the hook whatever the rules say. Empty: all that no rule takes",
        |s| Slot::Texts(&mut s.event_hook.events),
    ),
    key(
        "socketio.proxy.event.batch_max",
        "Events of one socket in one request to the hook: those that wait go together, in a list. 1: one, not in a list",
        |s| Slot::Count(&mut s.event_hook.batch_max, 1..=1000),
    ),
    key(
        "socketio.proxy.event.ack_error",
        "When the hook fails, an event that wants an answer gets an error; otherwise none",
        |s| Slot::Switch(&mut s.event_hook.acks_errors),
    ),
    key("socketio.proxy.event.include_rooms", "Send the rooms of the socket to the hook", |s| {
        Slot::Switch(&mut s.event_hook.includes_rooms)
    }),
    key("socketio.proxy.disconnect.enabled", "Tell the hook of Socket.IO sockets that have ended", |s| {
        Slot::Switch(&mut s.socket_end_enabled)
    }),
    key(
        "socketio.events_waiting_max",
        "Events of one Socket.IO socket that wait for those before them; at this number nothing more is read from it",
        |s| Slot::Count(&mut s.socketio.events_waiting_max, 1..=65_536),
    ),
    key(
        "socketio.allow_eio3",
        "Serve clients of Socket.IO 1 and 2 (Engine.IO 3) as well; not with the parser msgpack",
        |s| Slot::Switch(&mut s.socketio.allow_eio3),
    ),
    key(
        "socketio.homes",
        "What has one order and one home, the shard that gives it: a namespace with all its rooms, or each room",
        |s| Slot::Either(&mut s.socketio.has_home_per_room, ["namespace", "room"]),
    ),
    key(
        "socketio.admin.username",
        "User name for the admin page of Socket.IO, which is served if it has a password, too",
        |s| Slot::Text(&mut s.socketio.admin.username, Form::Any),
    ),
    key("socketio.admin.password", "Password for that page, at least 8 characters", |s| {
        Slot::Secret(&mut s.socketio.admin.password)
    }),
    key("socketio.admin.readonly", "Whether that page may only look", |s| {
        Slot::Switch(&mut s.socketio.admin.is_readonly)
    }),
    key(
        "socketio.admin.mode",
        "What that page is told: production: numbers of sockets; development: each socket and its rooms",
        |s| Slot::Either(&mut s.socketio.admin.is_development, ["production", "development"]),
    ),
    key(
        "socketio.namespaces_max",
        "Namespaces of one Socket.IO connection at a time; beyond it, connect_error",
        |s| Slot::Count(&mut s.socketio.namespaces_max, 1..=255),
    ),
    key(
        "socketio.proxy.connect.enabled",
        "Call the connect hook for Socket.IO sockets without a token",
        |s| Slot::Switch(&mut s.socket_connect_enabled),
    ),
    key(
        "socketio.recovery_ttl",
        "Time for which Socket.IO clients can return to their sockets and get what they missed; 0: not at all",
        |s| Slot::Duration(&mut s.socketio.recovery_ttl_ms, 0..=24 * HOUR_MS),
    ),
    key(
        "socketio.recovery_bytes_max",
        "Bytes of the events of one namespace that are kept for them, and of the sockets that one shard keeps",
        |s| Slot::Bytes(&mut s.socketio.recovery_bytes_max, 1..=GIB),
    ),
    key(
        "socketio.recovery_sockets_max",
        "Sockets that one shard keeps for them; beyond it, the one that is away for the longest time ends",
        |s| Slot::Count(&mut s.socketio.recovery_sockets_max, 1..=10_000_000),
    ),
    key(
        "http_server.tls.enabled",
        "Encrypt the connections of clients; tls_cert and tls_key say the same for several certificates",
        |s| Slot::Switch(&mut s.tls.enabled),
    ),
    key(
        "http_server.tls.cert_pem",
        "Certificate chain: a text in PEM, its base64, or the path of a file, which is reloaded when it changes",
        |s| Slot::Text(&mut s.tls.cert, Form::Any),
    ),
    key("http_server.tls.key_pem", "Private key of the certificate, in any of these forms", |s| {
        Slot::Secret(&mut s.tls.key)
    }),
    key(
        "http_server.tls.client_ca_pem",
        "Certificate authorities, in any of these forms: every client needs a certificate that one of them issued",
        |s| Slot::Text(&mut s.tls.client_ca, Form::Any),
    ),
    key(
        "http_server.tls_external",
        "The TLS of http_server.tls is for clients only; needed when the control listener is named, which is plain",
        |s| Slot::Switch(&mut s.tls.is_external),
    ),
    key("log.file", "File that log lines are added to, instead of stderr", |s| {
        Slot::Text(&mut s.log_file, Form::Any)
    }),
    key(
        "rates.connects_max",
        "New clients per second in the process; beyond it, their requests are answered with 503, and connect commands after a refused one with error 111",
        |s| Slot::Rate(&mut s.rates.connects_max),
    ),
    key(
        "rates.connects_per_ip_max",
        "Connect commands per second from one address, per shard; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.connects_per_ip_max),
    ),
    key(
        "rates.commands_max",
        "Commands of any kind per second on one connection; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.commands_max),
    ),
    key(
        "rates.subscribes_max",
        "Subscribe commands per second on one connection; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.subscribes_max),
    ),
    key("rates.publishes_max", "Publish commands per second on one connection; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.publishes_max)
    }),
    key("rates.rpcs_max", "Calls (rpc) per second on one connection; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.rpcs_max)
    }),
    key(
        "rates.presences_max",
        "Presence and presence_stats commands per second on one connection; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.presences_max),
    ),
    key("rates.histories_max", "History commands per second on one connection; beyond it, error 111", |s| {
        Slot::Rate(&mut s.rates.histories_max)
    }),
    key(
        "rates.others_max",
        "Commands of all other kinds per second on one connection, together; beyond it, error 111",
        |s| Slot::Rate(&mut s.rates.others_max),
    ),
];
