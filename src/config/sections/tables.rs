//! The keys of tables that stand in several places: of tokens, of hooks, and of channels.

use super::super::slot::Form;
use super::{Kind, Setting, Slot, Table};
use crate::hub::options::ChannelOptions;
use crate::outside::options::{HookOptions, TokenOptions};

const fn key<T>(name: &'static str, help: &'static str, slot: fn(&mut T) -> Slot<'_>) -> Setting<T> {
    Setting { name, help, slot }
}

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 366 * 24 * HOUR_MS;

/// Where the tables stand that have one path. Those of namespaces follow `channel.namespaces`, with [`CHANNEL`] and `name`.
pub static TABLES: &[Table] = &[
    Table {
        path: "client.token",
        help: "How tokens of connections are verified; those of subscriptions, too, unless they have keys of their own",
        kind: Kind::Token(|s| &mut s.token),
    },
    Table {
        path: "client.subscription_token",
        help: "How tokens of subscriptions are verified, when `enabled`",
        kind: Kind::Token(|s| &mut s.subscription_token),
    },
    Table {
        path: "client.proxy.connect",
        help: "Asked about connections without a token, when `enabled`",
        kind: Kind::Hook(|s| &mut s.connect),
    },
    Table {
        path: "client.proxy.refresh",
        help: "Asked about connections about to expire, when `enabled`",
        kind: Kind::Hook(|s| &mut s.refresh),
    },
    Table {
        path: "channel.proxy.subscribe",
        help: "Asked about subscriptions, where `subscribe_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.subscribe),
    },
    Table {
        path: "channel.proxy.publish",
        help: "Asked about publications, where `publish_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.publish),
    },
    Table {
        path: "channel.proxy.sub_refresh",
        help: "Asked about subscriptions about to expire, where `sub_refresh_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.sub_refresh),
    },
    Table {
        path: "channel.proxy.state",
        help: "Told of first and last subscribers, where `state_proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.state),
    },
    Table {
        path: "rpc.proxy",
        help: "Answers calls, when `rpc.without_namespace.proxy_enabled`",
        kind: Kind::Hook(|s| &mut s.rpc),
    },
    Table {
        path: "channel.without_namespace",
        help: "Channels whose names have no namespace",
        kind: Kind::Channel,
    },
];

/// Keys of `client.token` and `client.subscription_token`.
pub static TOKEN: &[Setting<TokenOptions>] = &[
    key("hmac_secret_key", "For HS256, HS384 and HS512", |t| Slot::Secret(&mut t.hmac_secret_key)),
    key("hmac_previous_secret_key", "The secret before it: what it signed is taken, too", |t| {
        Slot::Secret(&mut t.hmac_previous_secret_key)
    }),
    key("hmac_previous_secret_key_valid_until", "Until when it is", |t| {
        Slot::Time(&mut t.hmac_previous_secret_key_valid_until_s)
    }),
    key("rsa_public_key", "For RS256, RS384 and RS512: PEM", |t| {
        Slot::Text(&mut t.rsa_public_key, Form::RsaPem)
    }),
    key("ecdsa_public_key", "For ES256 and ES384: PEM", |t| Slot::Text(&mut t.ecdsa_public_key, Form::EcPem)),
    key("eddsa_public_key", "For EdDSA with Ed25519: PEM (throng's own)", |t| {
        Slot::Text(&mut t.eddsa_public_key, Form::EdPem)
    }),
    key("jwks_public_endpoint", "URL of a JSON Web Key Set, asked for keys by their id", |t| {
        Slot::Text(&mut t.jwks_public_endpoint, Form::Url)
    }),
    key("audience", "What the claim aud must hold; empty for anything", |t| {
        Slot::Text(&mut t.audience, Form::Any)
    }),
    key("audience_regex", "What one value of the claim aud must match somewhere; empty for anything", |t| {
        Slot::Pattern(&mut t.audience_regex)
    }),
    key("issuer", "What the claim iss must be; empty for anything", |t| Slot::Text(&mut t.issuer, Form::Any)),
    key("issuer_regex", "What the claim iss must match somewhere; empty for anything", |t| {
        Slot::Pattern(&mut t.issuer_regex)
    }),
    key("user_id_claim", "The claim that names the user; sub when empty", |t| {
        Slot::Text(&mut t.user_id_claim, Form::Claim)
    }),
];

/// Keys of a hook, Centrifugo's proxies.
pub static HOOK: &[Setting<HookOptions>] = &[
    key("endpoint", "URL that is asked by POST", |h| Slot::Text(&mut h.endpoint, Form::Url)),
    key("timeout", "How long an answer may take; then error 100", |h| {
        Slot::Duration(&mut h.timeout_ms, 1..=HOUR_MS)
    }),
    key("http_headers", "Headers of the client's HTTP request that are sent along", |h| {
        Slot::Texts(&mut h.http_headers)
    }),
    key("emulated_headers", "Headers that are sent along as the client's connect command says them", |h| {
        Slot::Texts(&mut h.emulated_headers)
    }),
    key("http.static_headers", "Headers that every request carries", |h| {
        Slot::Headers(&mut h.static_http_headers)
    }),
    key("binary_encoding", "Payloads are sent as base64 (b64data) in place of JSON", |h| {
        Slot::Switch(&mut h.binary_encoding)
    }),
    key(
        "include_connection_meta",
        "What the connect hook or the token said to remember is sent along",
        |h| Slot::Switch(&mut h.include_connection_meta),
    ),
];

/// Keys of channels, with and without namespace.
pub static CHANNEL: &[Setting<ChannelOptions>] = &[
    key("presence", "Who is subscribed is remembered", |c| Slot::Switch(&mut c.presence)),
    key("join_leave", "Subscribers who ask for it are told who comes and goes", |c| {
        Slot::Switch(&mut c.join_leave)
    }),
    key("force_push_join_leave", "Those who do not ask for it, too", |c| {
        Slot::Switch(&mut c.force_push_join_leave)
    }),
    key("history_size", "Publications that a channel keeps; 0: no history", |c| {
        Slot::Count(&mut c.history_size, 0..=100_000_000)
    }),
    key("history_ttl", "How long it keeps them", |c| {
        Slot::Duration(&mut c.history_ttl_ms, 0..=100 * YEAR_MS)
    }),
    key(
        "history_meta_ttl",
        "How long its position outlives its last publication; 0s: as channel says",
        |c| Slot::Duration(&mut c.history_meta_ttl_ms, 0..=100 * YEAR_MS),
    ),
    key("force_positioning", "Subscribers know the position of the stream", |c| {
        Slot::Switch(&mut c.force_positioning)
    }),
    key("allow_positioning", "Those who ask for it know it", |c| Slot::Switch(&mut c.allow_positioning)),
    key("force_recovery", "Subscribers get what they missed", |c| Slot::Switch(&mut c.force_recovery)),
    key("allow_recovery", "Those who ask for it get it", |c| Slot::Switch(&mut c.allow_recovery)),
    key("force_recovery_mode", "All that was missed, or the last publication only", |c| {
        Slot::Either(&mut c.is_cache_recovery, ["stream", "cache"])
    }),
    key("allowed_delta_types", "Deltas that subscribers may ask for", |c| {
        Slot::Listed(&mut c.allows_fossil_delta, "fossil")
    }),
    key(
        "delta_publish",
        "All publications may go out as deltas, also where the publisher does not say so",
        |c| Slot::Switch(&mut c.delta_publish),
    ),
    key("allow_tags_filter", "Subscribers may filter by tags", |c| Slot::Switch(&mut c.allow_tags_filter)),
    key("allow_channel_compaction", "Pushes carry a number for the channel, where clients offer it", |c| {
        Slot::Switch(&mut c.allow_channel_compaction)
    }),
    key("allow_subscribe_for_client", "Clients with a user may subscribe without a token", |c| {
        Slot::Switch(&mut c.allow_subscribe_for_client)
    }),
    key("allow_subscribe_for_anonymous", "Clients without a user may", |c| {
        Slot::Switch(&mut c.allow_subscribe_for_anonymous)
    }),
    key("allow_publish_for_subscriber", "Subscribers may publish", |c| {
        Slot::Switch(&mut c.allow_publish_for_subscriber)
    }),
    key("allow_publish_for_client", "Clients with a user may publish", |c| {
        Slot::Switch(&mut c.allow_publish_for_client)
    }),
    key("allow_publish_for_anonymous", "Clients without a user may", |c| {
        Slot::Switch(&mut c.allow_publish_for_anonymous)
    }),
    key("allow_history_for_subscriber", "Subscribers may ask for history", |c| {
        Slot::Switch(&mut c.allow_history_for_subscriber)
    }),
    key("allow_history_for_client", "Clients with a user may ask for history", |c| {
        Slot::Switch(&mut c.allow_history_for_client)
    }),
    key("allow_history_for_anonymous", "Clients without a user may", |c| {
        Slot::Switch(&mut c.allow_history_for_anonymous)
    }),
    key("allow_presence_for_subscriber", "Subscribers may ask for presence", |c| {
        Slot::Switch(&mut c.allow_presence_for_subscriber)
    }),
    key("allow_presence_for_client", "Clients with a user may ask for presence", |c| {
        Slot::Switch(&mut c.allow_presence_for_client)
    }),
    key("allow_presence_for_anonymous", "Clients without a user may", |c| {
        Slot::Switch(&mut c.allow_presence_for_anonymous)
    }),
    key("allow_user_limited_channels", "A name's users, behind channel.user_boundary, may subscribe", |c| {
        Slot::Switch(&mut c.allow_user_limited_channels)
    }),
    key("channel_regex", "What a name must match, behind its namespace; empty for anything", |c| {
        Slot::Pattern(&mut c.channel_regex)
    }),
    key("subscribe_proxy_enabled", "channel.proxy.subscribe is asked", |c| {
        Slot::Switch(&mut c.subscribe_proxy_enabled)
    }),
    key("publish_proxy_enabled", "channel.proxy.publish is asked", |c| {
        Slot::Switch(&mut c.publish_proxy_enabled)
    }),
    key("sub_refresh_proxy_enabled", "channel.proxy.sub_refresh is asked", |c| {
        Slot::Switch(&mut c.sub_refresh_proxy_enabled)
    }),
    key("state_proxy_enabled", "channel.proxy.state is told of a channel's first and last subscriber", |c| {
        Slot::Switch(&mut c.state_proxy_enabled)
    }),
    key(
        "publications_per_second_max",
        "Publications of clients per channel and second (throng's own); 0: no limit",
        |c| Slot::Rate(&mut c.publications_per_second_max),
    ),
];
