//! The keys of tables that appear in several places: of tokens, of hooks, and of channels.

use super::super::slot::Form;
use super::super::slot::RuleKind;
use super::{CallOptions, KeyTable, Kind, Setting, Slot};
use crate::hub::options::ChannelOptions;
use crate::outside::options::{HookOptions, TokenOptions};

const fn key<T>(name: &'static str, help: &'static str, slot: fn(&mut T) -> Slot<'_>) -> Setting<T> {
    Setting { name, help, slot }
}

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 366 * 24 * HOUR_MS;

/// The tables with a fixed path. Those of namespaces are in `channel.namespaces`, with [`CHANNEL`] and `name`.
pub static TABLES: &[KeyTable] = &[
    KeyTable {
        path: "client.token",
        help: "Verification of connection tokens, and of subscription tokens unless these have keys of their own",
        kind: Kind::Token(|s| &mut s.token),
    },
    KeyTable {
        path: "client.subscription_token",
        help: "Verification of subscription tokens, if `enabled`",
        kind: Kind::Token(|s| &mut s.subscription_token),
    },
    KeyTable {
        path: "client.proxy.connect",
        help: "Called for connections without a token, if `enabled`",
        kind: Kind::Hook(|s| &mut s.connect),
    },
    KeyTable {
        path: "client.proxy.refresh",
        help: "Called for connections that are about to expire, if `enabled`",
        kind: Kind::Hook(|s| &mut s.refresh),
    },
    KeyTable {
        path: "socketio.proxy.connect",
        help: "Called for Socket.IO sockets without a token, if `enabled`",
        kind: Kind::Hook(|s| &mut s.socket_connect),
    },
    KeyTable {
        path: "channel.proxy.subscribe",
        help: "Called for subscriptions, where `subscribe_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.subscribe),
    },
    KeyTable {
        path: "channel.proxy.publish",
        help: "Called for publications, where `publish_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.publish),
    },
    KeyTable {
        path: "channel.proxy.sub_refresh",
        help: "Called for subscriptions that are about to expire, where `sub_refresh_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.sub_refresh),
    },
    KeyTable {
        path: "channel.proxy.state",
        help: "Told of first and last subscribers, where `state_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.state),
    },
    KeyTable {
        path: "rpc.proxy",
        help: "Answers calls, where `proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.rpc),
    },
    KeyTable {
        path: "socketio.proxy.event",
        help: "Called for events of Socket.IO sockets, if `enabled`",
        kind: Kind::Hook(|s| &mut s.socket_event),
    },
    KeyTable {
        path: "socketio.proxy.disconnect",
        help: "Told of Socket.IO sockets that have ended, if `enabled`",
        kind: Kind::Hook(|s| &mut s.socket_end),
    },
    KeyTable { path: "channel.without_namespace", help: "Channels without a namespace", kind: Kind::Channel },
    KeyTable { path: "rpc.without_namespace", help: "Methods without a namespace", kind: Kind::Calls },
];

/// Keys of `client.token` and `client.subscription_token`.
pub static TOKEN: &[Setting<TokenOptions>] = &[
    key("hmac_secret_key", "Secret for HS256, HS384 and HS512", |t| Slot::Secret(&mut t.hmac_secret_key)),
    key("hmac_previous_secret_key", "The previous secret; tokens that it signed are still accepted", |t| {
        Slot::Secret(&mut t.hmac_previous_secret_key)
    }),
    key("hmac_previous_secret_key_valid_until", "Time until which they are", |t| {
        Slot::Time(&mut t.hmac_previous_secret_key_valid_until_s)
    }),
    key("rsa_public_key", "Public key for RS256, RS384 and RS512, in PEM", |t| {
        Slot::Text(&mut t.rsa_public_key, Form::RsaPem)
    }),
    key("ecdsa_public_key", "Public key for ES256 and ES384, in PEM", |t| {
        Slot::Text(&mut t.ecdsa_public_key, Form::EcPem)
    }),
    key("eddsa_public_key", "Public key for EdDSA with Ed25519, in PEM (throng only)", |t| {
        Slot::Text(&mut t.eddsa_public_key, Form::EdPem)
    }),
    key(
        "jwks_public_endpoint",
        "URL of a JSON Web Key Set (JWKS); the key id of a token selects the key. {{name}} in it is the value of the group \
        name of issuer_regex or audience_regex",
        |t| Slot::Text(&mut t.jwks_public_endpoint, Form::KeySetUrl),
    ),
    key("audience", "Required value in the claim aud; empty: any", |t| {
        Slot::Text(&mut t.audience, Form::Any)
    }),
    key(
        "audience_regex",
        "Regular expression that a value of the claim aud must match (unanchored); empty: any",
        |t| Slot::Pattern(&mut t.audience_regex),
    ),
    key("issuer", "Required value of the claim iss; empty: any", |t| Slot::Text(&mut t.issuer, Form::Any)),
    key("issuer_regex", "Regular expression that the claim iss must match (unanchored); empty: any", |t| {
        Slot::Pattern(&mut t.issuer_regex)
    }),
    key("user_id_claim", "Claim that holds the user id; empty: sub", |t| {
        Slot::Text(&mut t.user_id_claim, Form::Claim)
    }),
    key(
        "insecure_skip_jwks_endpoint_safety_check",
        "Whether a group that `jwks_public_endpoint` names may match anything, not only values that its pattern lists",
        |t| Slot::Switch(&mut t.insecure_skip_jwks_endpoint_safety_check),
    ),
];

/// Keys of a hook (a proxy in Centrifugo).
pub static HOOK: &[Setting<HookOptions>] = &[
    key("endpoint", "URL to which requests are posted", |h| Slot::Text(&mut h.endpoint, Form::HookUrl)),
    key("timeout", "Time that the hook has to answer; then error 100", |h| {
        Slot::Duration(&mut h.timeout_ms, 1..=HOUR_MS)
    }),
    key("http_headers", "Headers of the client's HTTP request to forward", |h| {
        Slot::Texts(&mut h.http_headers)
    }),
    key(
        "emulated_headers",
        "Headers to forward from the headers field of the client's connect command",
        |h| Slot::Texts(&mut h.emulated_headers),
    ),
    key("http.static_headers", "Headers to add to every request", |h| {
        Slot::Headers(&mut h.static_http_headers)
    }),
    key(
        "http.status_to_code_transforms",
        "Statuses of the hook, each with the error or disconnect that the client gets for it",
        |h| Slot::Rules(&mut h.status_rules, RuleKind::Status),
    ),
    key("http.tls.enabled", "Use the options of this table for https endpoints", |h| {
        Slot::Switch(&mut h.tls.enabled)
    }),
    key(
        "http.tls.server_ca_pem",
        "Authorities that sign the hook's certificate, as PEM text, its base64 or a path; empty: public ones",
        |h| Slot::Text(&mut h.tls.server_ca_pem, Form::Any),
    ),
    key(
        "http.tls.cert_pem",
        "Client certificate for the hook, as PEM text, its base64 or a path; empty: none",
        |h| Slot::Text(&mut h.tls.cert_pem, Form::Any),
    ),
    key("http.tls.key_pem", "Key of the client certificate, as PEM text, its base64 or a path", |h| {
        Slot::Secret(&mut h.tls.key_pem)
    }),
    key(
        "http.tls.server_name",
        "Name that the hook's certificate must have; empty: the host of the endpoint",
        |h| Slot::Text(&mut h.tls.server_name, Form::Any),
    ),
    key(
        "http.tls.insecure_skip_verify",
        "Accept any certificate of the hook. Whoever is between can read and answer the requests",
        |h| Slot::Switch(&mut h.tls.insecure_skip_verify),
    ),
    key(
        "signature_secret",
        "Secret that signs requests: the header X-Throng-Signature has sha256= and the HMAC-SHA256 of the body in \
        hexadecimal digits (throng only). Empty: no signature",
        |h| Slot::Secret(&mut h.signature_secret),
    ),
    key("binary_encoding", "Send payloads as base64 (b64data) instead of JSON", |h| {
        Slot::Switch(&mut h.binary_encoding)
    }),
    key(
        "include_connection_meta",
        "Send the meta that the connect hook or the token attached to the connection",
        |h| Slot::Switch(&mut h.include_connection_meta),
    ),
];

/// Keys of calls, with and without namespace.
pub static CALLS: &[Setting<CallOptions>] = &[
    key("proxy_enabled", "Call a hook to answer calls", |c| Slot::Switch(&mut c.enabled)),
    key("proxy_name", "Name of that hook in `proxies`; default: rpc.proxy", |c| {
        Slot::HookName(&mut c.proxy_name)
    }),
];

/// Keys of channels, with and without namespace.
pub static CHANNEL: &[Setting<ChannelOptions>] = &[
    key("presence", "Keep the list of subscribers (presence)", |c| Slot::Switch(&mut c.presence)),
    key("join_leave", "Send join and leave messages to subscribers that ask for them", |c| {
        Slot::Switch(&mut c.join_leave)
    }),
    key("force_push_join_leave", "Send join and leave messages to all subscribers", |c| {
        Slot::Switch(&mut c.force_push_join_leave)
    }),
    key("history_size", "Publications kept per channel. 0: no history", |c| {
        Slot::Count(&mut c.history_size, 0..=100_000_000)
    }),
    key("history_ttl", "Time for which a channel's publications are kept after the latest of them", |c| {
        Slot::Duration(&mut c.history_ttl_ms, 0..=100 * YEAR_MS)
    }),
    key(
        "history_age",
        "Time for which each publication is kept, at most history_ttl (throng only). 0s: as long as the channel's others",
        |c| Slot::Duration(&mut c.history_age_ms, 0..=100 * YEAR_MS),
    ),
    key(
        "history_meta_ttl",
        "Time that the stream position is kept after the last publication. 0s: channel.history_meta_ttl",
        |c| Slot::Duration(&mut c.history_meta_ttl_ms, 0..=100 * YEAR_MS),
    ),
    key("force_positioning", "Send the stream position to all subscribers", |c| {
        Slot::Switch(&mut c.force_positioning)
    }),
    key("allow_positioning", "Send the stream position to subscribers that ask for it", |c| {
        Slot::Switch(&mut c.allow_positioning)
    }),
    key("force_recovery", "Recover missed publications for all subscribers", |c| {
        Slot::Switch(&mut c.force_recovery)
    }),
    key("allow_recovery", "Recover missed publications for subscribers that ask for it", |c| {
        Slot::Switch(&mut c.allow_recovery)
    }),
    key("force_recovery_mode", "Recover all missed publications, or only the latest one", |c| {
        Slot::Either(&mut c.is_cache_recovery, ["stream", "cache"])
    }),
    key(
        "auto_cache_recover",
        "Send the latest publication to every new subscriber, also to one that did not ask to recover; needs force_recovery and force_recovery_mode = \"cache\"",
        |c| Slot::Switch(&mut c.auto_cache_recover),
    ),
    key("allowed_delta_types", "Delta formats that subscribers may request", |c| {
        Slot::Listed(&mut c.allows_fossil_delta, "fossil")
    }),
    key("delta_publish", "Send publications as deltas even if the publisher does not request it", |c| {
        Slot::Switch(&mut c.delta_publish)
    }),
    key("allow_tags_filter", "Allow subscribers to filter publications by tags", |c| {
        Slot::Switch(&mut c.allow_tags_filter)
    }),
    key(
        "allow_channel_compaction",
        "Replace the channel name in pushes by a number, for clients that support it",
        |c| Slot::Switch(&mut c.allow_channel_compaction),
    ),
    key("allow_subscribe_for_client", "Allow clients with a user id to subscribe without a token", |c| {
        Slot::Switch(&mut c.allow_subscribe_for_client)
    }),
    key("allow_subscribe_for_anonymous", "Allow anonymous clients to subscribe without a token", |c| {
        Slot::Switch(&mut c.allow_subscribe_for_anonymous)
    }),
    key("allow_publish_for_subscriber", "Allow subscribers to publish", |c| {
        Slot::Switch(&mut c.allow_publish_for_subscriber)
    }),
    key("allow_publish_for_client", "Allow clients with a user id to publish", |c| {
        Slot::Switch(&mut c.allow_publish_for_client)
    }),
    key("allow_publish_for_anonymous", "Allow anonymous clients to publish", |c| {
        Slot::Switch(&mut c.allow_publish_for_anonymous)
    }),
    key("allow_history_for_subscriber", "Allow subscribers to request history", |c| {
        Slot::Switch(&mut c.allow_history_for_subscriber)
    }),
    key("allow_history_for_client", "Allow clients with a user id to request history", |c| {
        Slot::Switch(&mut c.allow_history_for_client)
    }),
    key("allow_history_for_anonymous", "Allow anonymous clients to request history", |c| {
        Slot::Switch(&mut c.allow_history_for_anonymous)
    }),
    key("allow_presence_for_subscriber", "Allow subscribers to request presence", |c| {
        Slot::Switch(&mut c.allow_presence_for_subscriber)
    }),
    key("allow_presence_for_client", "Allow clients with a user id to request presence", |c| {
        Slot::Switch(&mut c.allow_presence_for_client)
    }),
    key("allow_presence_for_anonymous", "Allow anonymous clients to request presence", |c| {
        Slot::Switch(&mut c.allow_presence_for_anonymous)
    }),
    key(
        "allow_user_limited_channels",
        "Allow the users listed in a channel name, after channel.user_boundary, to subscribe",
        |c| Slot::Switch(&mut c.allow_user_limited_channels),
    ),
    key("channel_regex", "Regular expression for channel names, without their namespace; empty: any", |c| {
        Slot::Pattern(&mut c.channel_regex)
    }),
    key("subscribe_proxy_enabled", "Call the subscribe hook", |c| {
        Slot::Switch(&mut c.subscribe_proxy_enabled)
    }),
    key("subscribe_proxy_name", "Name of that hook in `proxies`; default: channel.proxy.subscribe", |c| {
        Slot::HookName(&mut c.subscribe_proxy_name)
    }),
    key("publish_proxy_enabled", "Call the publish hook", |c| Slot::Switch(&mut c.publish_proxy_enabled)),
    key("publish_proxy_name", "Name of that hook in `proxies`; default: channel.proxy.publish", |c| {
        Slot::HookName(&mut c.publish_proxy_name)
    }),
    key("sub_refresh_proxy_enabled", "Call the sub_refresh hook", |c| {
        Slot::Switch(&mut c.sub_refresh_proxy_enabled)
    }),
    key(
        "sub_refresh_proxy_name",
        "Name of that hook in `proxies`; default: channel.proxy.sub_refresh",
        |c| Slot::HookName(&mut c.sub_refresh_proxy_name),
    ),
    key(
        "publication_data_format",
        "What publications must be, else error 107: \"json\", \"json_object\", or \"binary\" for anything. Empty: \
        channel.publication_data_format",
        |c| Slot::DataFormat(&mut c.publication_data_format),
    ),
    key(
        "state_proxy_enabled",
        "Report a channel's first and last subscriber to the hook channel.proxy.state",
        |c| Slot::Switch(&mut c.state_proxy_enabled),
    ),
    key(
        "publications_per_second_max",
        "Client publications per channel and second (throng only). 0: no limit",
        |c| Slot::Rate(&mut c.publications_per_second_max),
    ),
    key(
        "socketio",
        "Namespace of Socket.IO, with its slash, in which the channels are rooms: clients of Socket.IO and of all other \
        protocols share them (throng only). Empty: none",
        |c| Slot::Text(&mut c.socketio, Form::SocketNamespace),
    ),
    key(
        "socketio_event",
        "Name of the Socket.IO event that carries a publication as its argument, and whose argument is published as it is \
        (throng only)",
        |c| Slot::Text(&mut c.socketio_event.0, Form::SocketEvent),
    ),
];
