//! Tests of sections as users write them, and of their effect on the server. `refused` tests errors, `complete` that
//! no key is missing, `whole` whole configurations.

mod complete;
mod doors;
mod leftovers;
mod lenient;
mod newcomers;
mod refused;
mod whole;

use super::super::args::Args;
use super::super::said::Said;
use super::super::{ClientOptions, Config, Effective, Place, resolve};
use super::*;
use crate::hub::options::NamePattern;
use crate::session::{Endpoint, Serves, Transport};

/// A chat with tokens, as in a typical Centrifugo configuration.
const CHAT: &str = r#"
[http_server]
address = "0.0.0.0"
port = 8001
internal_address = "127.0.0.1"
internal_port = "9001"

[log]
level = "none"

[engine]
type = "memory"

[client]
allowed_origins = ["https://example.com", "https://*.example.com"]
ping_interval = "30s"
pong_timeout = "10s"
stale_close_delay = "5s"
expired_close_delay = "1m"
channel_limit = 64
queue_max_size = 2097152
connection_limit = 100000
connection_rate_limit = 500
history_max_publication_limit = 200
subscribe_to_user_personal_channel = { enabled = true, personal_channel_namespace = "personal" }

[client.token]
hmac_secret_key = "a long secret"
issuer = "https://auth.example.com"
user_id_claim = "user_id"

[client.subscription_token]
enabled = true
hmac_secret_key = "another long secret"

[client.proxy.connect]
enabled = true
endpoint = "http://localhost:3000/connect"
timeout = "500ms"
http_headers = ["Cookie", "X-Request-Id"]
http.static_headers = { Authorization = "apikey secret" }

[channel]
max_length = 200
history_meta_ttl = "2160h"

[channel.proxy.publish]
endpoint = "http://localhost:3000/publish"
binary_encoding = true

[channel.without_namespace]
presence = true
allow_subscribe_for_client = true

[[channel.namespaces]]
name = "chat"
presence = true
join_leave = true
force_push_join_leave = true
history_size = 100
history_ttl = "5m"
force_recovery = true
allowed_delta_types = ["fossil"]
allow_publish_for_subscriber = true
publish_proxy_enabled = true
publish_proxy_name = "default"
publications_per_second_max = 20

[[channel.namespaces]]
name = "personal"
history_size = 1
history_ttl = "24h"
history_meta_ttl = "48h"
force_recovery = true
force_recovery_mode = "cache"
channel_regex = "^[0-9]+$"

[rpc]
proxy = { endpoint = "http://localhost:3000/rpc" }
without_namespace = { proxy_enabled = true }

[http_api]
key = "api key"

[sse]
enabled = true

[http_stream]
enabled = true
handler_prefix = "/stream"

[uni_sse]
enabled = false

[websocket]
handler_prefix = "/ws"
message_size_limit = 32768

[prometheus]
enabled = true

[admin]
enabled = false
password = "p"

[rates]
publishes_max = 10
"#;

fn load(ending: &str, text: &str, variables: &[(&str, &str)]) -> Result<Effective, Vec<String>> {
    let id = std::thread::current().name().unwrap_or_default().replace("::", "-");
    let path = std::env::temp_dir().join(format!("throng-{}-{id}.{ending}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let loaded = resolve(&Args::of_file(Some(path.clone())), &variables.iter().copied().collect());
    std::fs::remove_file(&path).unwrap();
    let folder = format!("{}/", path.parent().unwrap().display());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    loaded.map_err(|errors| {
        errors.iter().map(|error| error.to_string().replace(&folder, "").replace(&name, "t")).collect()
    })
}

fn toml(text: &str) -> Result<Effective, Vec<String>> {
    load("toml", text, &[])
}

#[test]
fn a_chat_of_centrifugo_becomes_what_it_says() {
    let config = toml(CHAT).unwrap().config;
    assert_eq!(config.listen, ["0.0.0.0:8001".parse().unwrap()]);
    assert_eq!(config.control, Some("127.0.0.1:9001".parse().unwrap()));
    assert_eq!((config.logs.level.as_str(), config.websocket_path.as_deref()), ("off", Some("/ws")));
    assert_eq!((config.timeouts.ping_interval_ms, config.timeouts.pong_timeout_ms), (30_000, 10_000));
    assert_eq!(config.timeouts.connect_ms, 5000);
    let limits = &config.limits;
    assert_eq!((limits.channels_per_connection_max, limits.outbox_bytes_max), (64, 2 << 20));
    assert_eq!((limits.connections_max, limits.channel_name_bytes_max), (100_000, 200));
    assert_eq!((limits.message_bytes_max, limits.frame_bytes_max), (32_768, 32_768));
    assert_eq!(
        config.client,
        ClientOptions {
            allowed_origins: vec!["https://example.com".into(), "https://*.example.com".into()],
            expired_close_delay_ms: 60_000,
            history_max_publication_limit: 200,
            subscribe_to_user_personal_channel: true,
            personal_channel_namespace: "personal".into(),
            ..ClientOptions::default()
        }
    );
    assert_eq!(config.rates, Rates { connects_max: 500, publishes_max: 10, ..Rates::default() });
    assert_eq!(config.api, ApiOptions { keys: vec!["api key".into()], ..ApiOptions::default() });
    let at = |path: &str, serves| Endpoint { path: path.into(), serves };
    assert_eq!(
        config.endpoints,
        [
            Endpoint::usual(Transport::Sse),
            at("/stream", Serves::Centrifuge(Transport::HttpStream)),
            at("/emulation", Serves::Emulation),
        ]
    );
    assert!(!config.first_page);
}

#[test]
fn its_tokens_and_hooks_are_those_that_it_names() {
    let outside = toml(CHAT).unwrap().config.outside;
    assert_eq!(
        outside.token,
        TokenOptions {
            hmac_secret_key: "a long secret".into(),
            issuer: "https://auth.example.com".into(),
            user_id_claim: "user_id".into(),
            ..TokenOptions::default()
        }
    );
    let own = TokenOptions { hmac_secret_key: "another long secret".into(), ..TokenOptions::default() };
    assert_eq!(outside.subscription_token, Some(own));
    assert_eq!(
        outside.connect,
        Some(HookOptions {
            endpoint: "http://localhost:3000/connect".into(),
            timeout_ms: 500,
            http_headers: vec!["cookie".into(), "x-request-id".into()],
            static_http_headers: vec![("Authorization".into(), "apikey secret".into())],
            ..HookOptions::default()
        })
    );
    let endpoint = |path: &str| format!("http://localhost:3000/{path}");
    let publish =
        HookOptions { endpoint: endpoint("publish"), binary_encoding: true, ..HookOptions::default() };
    assert_eq!(outside.publish, Some(publish));
    assert_eq!(outside.rpc, Some(HookOptions { endpoint: endpoint("rpc"), ..HookOptions::default() }));
    assert_eq!((&outside.refresh, &outside.subscribe, &outside.sub_refresh), (&None, &None, &None));
    assert_eq!((outside.worker_count, outside.hook_requests_max), (2, 2048));
}

#[test]
fn its_namespaces_are_those_that_it_lists() {
    const HOUR_MS: u64 = 3_600_000;
    let names = toml(CHAT).unwrap().config.namespaces;
    let chat = ChannelOptions {
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        history_size: 100,
        history_ttl_ms: 300_000,
        history_meta_ttl_ms: 2160 * HOUR_MS,
        force_recovery: true,
        allows_fossil_delta: true,
        allow_publish_for_subscriber: true,
        publish_proxy_enabled: true,
        publications_per_second_max: 20,
        ..ChannelOptions::default()
    };
    let personal = ChannelOptions {
        history_size: 1,
        history_ttl_ms: 24 * HOUR_MS,
        history_meta_ttl_ms: 48 * HOUR_MS,
        force_recovery: true,
        is_cache_recovery: true,
        channel_regex: NamePattern::new("^[0-9]+$").unwrap(),
        ..ChannelOptions::default()
    };
    let others = ChannelOptions {
        presence: true,
        allow_subscribe_for_client: true,
        history_meta_ttl_ms: 2160 * HOUR_MS,
        ..ChannelOptions::default()
    };
    assert_eq!(names.named.len(), 2);
    assert_eq!(*names.named["chat"], chat);
    assert_eq!(*names.named["personal"], personal);
    assert_eq!(*names.without_namespace, others);
    assert_eq!((names.namespace_boundary.as_str(), names.private_prefix.as_str()), (":", "$"));
    assert!(!names.takes_unknown);
}

#[test]
fn json_says_the_same_as_toml() {
    let table: ::toml::Table = CHAT.parse().unwrap();
    let json = serde_json::to_string_pretty(&table).unwrap();
    assert_eq!(load("json", &json, &[]).unwrap().config, toml(CHAT).unwrap().config);
}

#[test]
fn without_a_word_of_clients_and_channels_everything_is_open() {
    for effective in [toml("shards = 2").unwrap(), toml("development = true\n[sse]\nenabled = true").unwrap()]
    {
        let Config { client, endpoints, namespaces, api, first_page, .. } = effective.config;
        assert!(client.insecure && namespaces.takes_unknown && api.insecure && first_page);
        assert_eq!(endpoints, Endpoint::beside_websocket());
        assert_eq!(
            *namespaces.without_namespace,
            ChannelOptions {
                history_meta_ttl_ms: namespaces.history_meta_ttl_ms,
                ..ChannelOptions::default()
            }
        );
        let chat = &namespaces.named["chat"];
        assert!(chat.presence && chat.join_leave && chat.force_recovery && chat.allow_publish_for_anonymous);
        assert_eq!((chat.history_size, chat.history_ttl_ms), (100, 600_000));
    }
    for text in [
        "",
        "[client]",
        "[channel]",
        "[client]\nping_interval = '20s'",
        "[channel]\nmax_length = 9",
        "[http_server]\nport = 80",
        "[rates]",
    ] {
        let Config { client, endpoints, namespaces, api, first_page, .. } = toml(text).unwrap().config;
        assert_eq!(client, ClientOptions::default(), "{text}");
        assert_eq!((endpoints, namespaces.named.len()), (Vec::new(), 0), "{text}");
        assert!(!namespaces.takes_unknown && !api.insecure && !first_page, "{text}");
    }
    assert!(toml("first_page = true\n[client]").unwrap().config.first_page);
}

#[test]
fn the_default_of_an_embedder_is_development_mode() {
    let typed_nothing = resolve(&Args::default(), &Default::default()).unwrap();
    assert_eq!(typed_nothing.config, Config::default());
    assert!(typed_nothing.is_development);
}

#[test]
fn the_server_api_is_open_only_on_loopback() {
    for (control, insecure) in
        [("127.0.0.1:9000", true), ("[::1]:9", true), ("0.0.0.0:9000", false), ("off", false)]
    {
        let config = toml(&format!("control = '{control}'")).unwrap().config;
        assert_eq!(config.api.insecure, insecure, "{control}");
    }
    let keyed = toml("[http_api]\nkey = 'k'").unwrap().config.api;
    assert!(!keyed.insecure, "who sets a key wants it to be asked for");
    let both = toml("[http_api]\nkey = 'k'\ninsecure = true").unwrap().config.api;
    assert!(both.insecure);
}

#[test]
fn variables_and_flags_reach_sections() {
    let set = [
        ("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "from, outside"),
        ("THRONG_HTTP_API_KEY", "k,1"),
        ("THRONG_CHANNEL_WITHOUT_NAMESPACE_HISTORY_TTL", "1m"),
        ("THRONG_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE", "7"),
    ];
    let effective = load("toml", "[client.token]\nhmac_secret_key = 'from file'", &set).unwrap();
    assert_eq!(effective.config.outside.token.hmac_secret_key, "from, outside");
    assert_eq!(effective.config.api.keys, ["k,1"]);
    assert_eq!(effective.config.namespaces.without_namespace.history_ttl_ms, 60_000);
    let place = Place::Variable("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY".into());
    assert_eq!(effective.place("client.token.hmac_secret_key"), &place);
    let secret = [("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "s")].into_iter().collect();
    assert!(!resolve(&Args::default(), &secret).unwrap().is_development, "a secret is for tokens");
    let insecure = Said::flag("client.insecure", "true");
    let flagged = resolve(&Args { flags: vec![insecure], ..Args::default() }, &Default::default()).unwrap();
    assert!(flagged.config.client.insecure && !flagged.is_development);
}

#[test]
fn a_heartbeat_can_be_turned_off_as_in_centrifugo() {
    for value in ["-1", "'-1s'", "'0s'"] {
        let text = format!("[client]\nping_interval = {value}");
        assert_eq!(toml(&text).unwrap().config.timeouts.ping_interval_ms, 0, "{value}");
    }
    assert_eq!(toml("[websocket]\ndisabled = true").unwrap().config.websocket_path, None);
    assert!(!toml("[http_api]\ndisabled = true").unwrap().config.api.enabled);
}
