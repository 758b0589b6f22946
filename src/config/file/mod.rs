//! The configuration file: TOML, JSON or YAML, with flat keys at the top and Centrifugo's sections. Variables and
//! flags are converted to the same form, for the same [`walk()`].
//!
//! Unknown keys are refused: a misspelt limit that is silently ignored would leave the server without it. Every error
//! shows the line of its key.

mod find;
mod json;
mod letters;
mod listeners;
mod suggest;
mod toml;
mod walk;
mod yaml;

use super::args::Typed;
use super::sections::List;
#[cfg(feature = "cli")]
use super::sections::Unsupported;
use super::value::{Table, Value};
use super::{ConfigError, ConfigWarning, Place};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub(super) use find::find;
pub(super) use listeners::{Halves, address, port};
pub(super) use suggest::{meant, nearest, paths};
pub(super) use walk::walk;

/// The values of one source: a file, the variables with one prefix, or the flags.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) typed: Vec<Typed>,
    /// The parts of client listeners.
    pub(super) listen: Halves,
    /// The parts of the control listener.
    pub(super) control: Halves,
    /// Its lists of tables: the names of the tables, each with its place.
    pub(super) lists: Vec<(List, Vec<(String, Place)>)>,
    /// Whether it has more than flat keys, which rules out development mode.
    pub(super) is_configured: bool,
    /// Warnings about values without effect.
    pub(super) warnings: Vec<ConfigWarning>,
    /// Errors about unknown keys that may become warnings: keys about permissions are not among them.
    pub(super) unknown: Vec<ConfigError>,
}

/// Maximum size of a file, in bytes; less for YAML, whose parser needs more time per byte.
const BYTES_MAX: usize = 4 << 20;
const YAML_BYTES_MAX: usize = 1 << 20;

/// The character that some editors put at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a file as JSON or YAML if its name says so, otherwise as TOML.
///
/// # Errors
/// When the file cannot be read or parsed; then none of its values is known.
pub(super) fn read(path: &Path) -> Result<Table, ConfigError> {
    let file = File::open(path).map_err(|error| whole(path, 0, format!("cannot be read: {error}")))?;
    parse(path, &text_of(path, file)?)
}

/// The text of an open file.
fn text_of(path: &Path, file: File) -> Result<String, ConfigError> {
    let wrong = |complaint: String| whole(path, 0, complaint);
    let unread = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    if file.metadata().map_err(unread)?.is_dir() {
        return Err(wrong("is a directory, not a file".to_owned()));
    }
    let bytes_max = if Format::of(path) == Format::Yaml { YAML_BYTES_MAX } else { BYTES_MAX };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() > bytes_max {
        return Err(wrong(format!("is larger than {} MiB", bytes_max >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        whole(path, line, "is not UTF-8".to_owned())
    })
}

/// The format of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Yaml,
}

impl Format {
    /// The format by the ending of the file's name.
    fn of(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// Parses a file. `path` appears in errors, and its ending gives the format.
pub(super) fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let place = |line| Place::File { path: path.to_owned(), line };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let parsed = match Format::of(path) {
        Format::Json => json::parse(text, &place),
        Format::Yaml => yaml::parse(text, &place),
        Format::Toml => toml::parse(text, &place),
    };
    let lowered = parsed.and_then(|mut table| letters::lower(&mut table).map(|()| table));
    lowered.map_err(|(line, complaint)| whole(path, line, complaint))
}

/// Parses a value in JSON, of a variable or a flag, or the line and text of an error.
pub(super) fn json_value(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Value, (usize, String)> {
    let mut value = json::value(text, place)?;
    letters::lower_in(&mut value)?;
    Ok(value)
}

/// Whether this is the name of a section, or of a key at the top.
#[cfg(feature = "cli")]
pub(super) fn is_known(name: &str) -> bool {
    let inside =
        |path: &String| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') || rest.is_empty());
    paths().iter().any(inside) || Unsupported::find(name).is_some() || Unsupported::has_table(name)
}

fn whole(path: &Path, line: usize, complaint: String) -> ConfigError {
    let place = Place::File { path: path.to_owned(), line };
    ConfigError { key: String::new(), said: String::new(), complaint, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(name: &str, text: &str) -> Vec<String> {
        parse(Path::new(name), text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    /// The valid values of a file.
    fn parse(path: &Path, text: &str) -> Result<Layer, Vec<ConfigError>> {
        let table = super::parse(path, text).map_err(|error| vec![error])?;
        let (layer, errors) = walk(&table, &[]);
        if errors.is_empty() { Ok(layer) } else { Err(errors) }
    }

    #[test]
    fn keys_know_their_lines() {
        let layer =
            parse(Path::new("t.toml"), "# head\n\nshards = 2\necho = \"/e\"\n[client]\ninsecure = true\n");
        let layer = layer.unwrap();
        let seen: Vec<_> = layer.typed.iter().map(|t| (t.place.to_string(), t.name.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("t.toml:3".to_owned(), "shards"),
                ("t.toml:4".to_owned(), "echo"),
                ("t.toml:6".to_owned(), "client.insecure")
            ]
        );
        assert!(layer.is_configured);
        for (text, is_configured) in [
            ("shards = 2", false),
            ("shards = 2\n[http_api]\nkey = \"k\"", true),
            ("[http_server]\nport = 80", true),
            ("[rates]", true),
        ] {
            assert_eq!(parse(Path::new("t.toml"), text).unwrap().is_configured, is_configured, "{text}");
        }
    }

    #[test]
    fn the_ending_says_what_the_file_is() {
        assert_eq!(parse(Path::new("t.JSON"), "{\"shards\": 2}").unwrap().typed.len(), 1);
        assert_eq!(parse(Path::new("t"), "shards = 2").unwrap().typed.len(), 1);
        assert_eq!(errors("t.json", "{\n\"shards\" 2}"), ["t.json:2: not valid JSON: expected `:`"]);
        assert!(errors("t.toml", "{\n\"shards\" 2}")[0].starts_with("t.toml:1: not valid TOML: "));
    }

    #[test]
    fn a_byte_order_mark_is_accepted_in_each_format() {
        for (name, text) in [("t.json", "{\"shards\": 2}"), ("t.toml", "shards = 2"), ("t.yaml", "shards: 2")]
        {
            let layer = parse(Path::new(name), &format!("\u{feff}{text}")).unwrap();
            assert_eq!(layer.typed[0].name, "shards", "{name}");
        }
    }

    #[test]
    fn only_a_file_of_an_older_version_is_told_so() {
        let is_old = |text: &str| errors("t.json", text)[0].contains("Centrifugo 5 or older");
        for text in [
            r#"{"token_hmac_secret_key": "k", "port": 8000}"#,
            r#"{"port": 8000, "namespaces": []}"#,
            r#"{"api_key": "k"}"#,
            r#"{"API_Key": "k"}"#,
            r#"{"api_key": "k", "client": {}}"#,
            r#"{"port": 8000, "http_api": {"key": "k"}}"#,
        ] {
            assert!(is_old(text), "{text}");
        }
        for text in [
            r#"{"name": "webapp", "version": "1.0.0", "db": {}}"#,
            r#"{"engine": "x", "db": {}}"#,
            r#"{"admin": "x"}"#,
            r#"{"opentelemetry": "x"}"#,
        ] {
            assert!(!is_old(text), "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_all_named_with_their_lines() {
        let text = "shards = 2\nping_interval = 3\nzebra = true\n[limits]\nconnections_max = 5\n\
                    [client]\ninsecur = true\n[client.token]\nhmac_secret = \"a\"\n[chanel]\n\
                    [channel.without_namespace]\nhistory_siz = 4\n";
        assert_eq!(
            errors("t.toml", text),
            [
                "t.toml: this file has keys of Centrifugo 5 or older; `throng config --convert t.toml` writes it anew",
                "t.toml:2: ping_interval is client.ping_interval today",
                "t.toml:3: zebra = …: unknown key; `throng config` prints all of them",
                "t.toml:4: limits = …: unknown section; `throng config` prints all of them",
                "t.toml:7: client.insecur = …: unknown key; is client.insecure meant?",
                "t.toml:9: client.token.hmac_secret = …: unknown key; is client.token.hmac_secret_key meant?",
                "t.toml:10: chanel = …: unknown section; is channel meant?",
                "t.toml:12: channel.without_namespace.history_siz = …: unknown key; is \
                 channel.without_namespace.history_size meant?",
            ]
        );
        let text = "{\"shards\": 2,\n \"client\": {\n  \"allowed_origin\": [\"a\"],\n  \"token\": []},\n \"channel\": 5}";
        assert_eq!(
            errors("t.json", text),
            [
                "t.json:3: client.allowed_origin = …: unknown key; is client.allowed_origins meant?",
                "t.json:4: client.token = …: expected a table",
                "t.json:5: channel = …: expected a table",
            ]
        );
    }

    #[test]
    fn names_of_older_centrifugos_lead_to_today_s_in_one_pass() {
        let text = "{\"token_hmac_secret_key\": \"hush\",\n \"admin\": true,\n \"sockjs\": true,\n\
                    \"proxy_http_headers\": [\"Cookie\"],\n \"publish\": true, \"presence\": true,\n\
                    \"namespaces\": [{\"name\": \"chat\",\n \"presence\": true,\n \"proxy_subscribe\": true,\n\
                    \"protected\": true}],\n \"zebra\": 1,\n \"shards\": \"hush\"}";
        assert_eq!(
            errors("t.json", text),
            [
                "t.json: this file is written for Centrifugo 5 or older; `throng config --convert t.json` writes it anew",
                "t.json:1: token_hmac_secret_key is client.token.hmac_secret_key today",
                "t.json:2: admin is admin.enabled today",
                "t.json:3: sockjs has no counterpart: clients use http_stream or sse where there is no WebSocket",
                "t.json:4: proxy_http_headers is http_headers of each hook, such as client.proxy.connect.http_headers, \
                 today",
                "t.json:5: publish is channel.without_namespace.allow_publish_for_client today",
                "t.json:5: presence is channel.without_namespace.presence today",
                "t.json:6: namespaces is channel.namespaces today",
                "t.json:8: namespaces.chat.proxy_subscribe is subscribe_proxy_enabled today",
                "t.json:9: namespaces.chat.protected is allow_subscribe_for_client, which is false unless it is set, today",
                "t.json:10: zebra = …: unknown key; `throng config` prints all of them",
                "t.json:11: shards = \"hush\": expected a whole number from 1 to 1024",
            ][..11]
        );
        // In a file of the current version, the error for an old option of a namespace shows its new name.
        let text = "[[channel.namespaces]]\nname = \"chat\"\npublish = true\n[channel.without_namespace]\nrecover = true\n";
        assert_eq!(
            errors("t.toml", text),
            [
                "t.toml:3: channel.namespaces.chat.publish = …: unknown key; is allow_publish_for_client meant?",
                "t.toml:5: channel.without_namespace.recover = …: unknown key; is force_recovery meant?",
            ]
        );
        // A word is not a misspelling of its opposite.
        assert_eq!(
            errors("t.toml", "[http_api]\nenabled = true"),
            ["t.toml:2: http_api.enabled = …: unknown key; it is on unless http_api.disabled = true"]
        );
    }

    #[test]
    fn what_is_not_supported_is_named_unless_it_is_off() {
        let text = "pid_file = \"/run/x\"\n[client]\n\nconcurrency = 0\n[engine]\n\
                    type = \"redis\"\n[engine.redis]\naddress = \"x\"\n[admin]\nenabled = false\npassword = \"p\"\n\
                    [prometheus]\nenabled = true\n[channel.without_namespace]\nsubscribe_stream_proxy_enabled = true\n\
                    [broker]\ntype = \"memory\"\n[uni_grpc]\nenabled = true\n";
        assert_eq!(
            errors("t.toml", text),
            [
                "t.toml:6: engine.type is not supported as \"redis\", only as \"memory\": throng is one process, and \
                 keeps everything in memory",
                "t.toml:15: channel.without_namespace.subscribe_stream_proxy_enabled is not supported: hooks over gRPC \
                 are not served; the backend can publish by the server API",
                "t.toml:18: uni_grpc is not supported: gRPC is not served to clients; uni_websocket, uni_sse and \
                 uni_http_stream are",
            ]
        );
        let text = "{\"channel\": {\"namespaces\": [{\"name\": \"chat\",\n\"subscription_type\": \"map\",\n\
                    \"state_proxy_name\": \"other\"}]}}";
        assert_eq!(
            errors("t.json", text),
            [
                "t.json:2: channel.namespaces.chat.subscription_type is not supported as \"map\", only as \"stream\": \
                 map and shared-poll channels are not served: channels are streams of publications",
                "t.json:3: channel.namespaces.chat.state_proxy_name is not supported as \"other\", only as \"default\": \
                 channel.proxy.state is the only one",
            ]
        );
    }

    #[test]
    fn what_changes_nothing_is_taken() {
        let typed = |text: &str| {
            let layer = parse(Path::new("t.json"), text).unwrap_or_else(|errors| panic!("{errors:?}"));
            layer.typed.iter().map(|typed| typed.name.clone()).collect::<Vec<_>>()
        };
        for nothing in [
            r#"{"admin": {"password": "p"}}"#,
            r#"{"consumers": [{"name": "a", "enabled": false, "kafka": {"brokers": ["b"]}}, {"name": "b"}]}"#,
            r#"{"engine": {"type": "memory", "redis": {"address": ["redis://a"], "prefix": "p"}}}"#,
            r#"{"broker": {"enabled": false, "type": "nats"}, "presence_manager": {"type": "redis"}}"#,
            r#"{"websocket": {"write_timeout": "1s"}}"#,
            r#"{"uni_websocket": {"write_timeout": "1000ms", "message_size_limit": 65536}}"#,
            r#"{"node": {"info_metrics_aggregate_interval": "1m"}, "log": {"file": null}}"#,
            r#"{"http_server": {"address": "", "internal_address": "", "internal_port": ""}}"#,
            r#"{"http_server": {"port": null, "internal_tls": {"cert_pem": "x"}, "tls_autocert": {"http_addr": ":80"}}}"#,
            r#"{"channel": {"namespaces": null, "proxy": {"subscribe_stream": {"endpoint": "grpc://a"}}}}"#,
            r#"{"client": {"allowed_origins": null, "channel_position_max_time_lag": "0ms"}}"#,
        ] {
            assert_eq!(typed(nothing), [""; 0], "{nothing}");
        }
        // Other keys of a disabled section take effect once a variable enables it, if their values are valid.
        let disabled = r#"{"client": {"proxy": {"connect": {"enabled": false, "endpoint": "grpc://a",
            "grpc": {"compression": true}, "http": {"tls": {"client_ca_pem": "x"}}, "timeout": "3s"}}}}"#;
        assert_eq!(typed(disabled), ["client.proxy.connect.enabled", "client.proxy.connect.timeout"]);
        let disabled =
            r#"{"websocket": {"disabled": true, "handler_prefix": "/ws", "message_size_limit": 9}}"#;
        assert_eq!(typed(disabled), ["websocket.disabled"]);
        for (text, count) in [
            (r#"{"shutdown": {"timeout": "31"}}"#, 1),
            (r#"{"consumers": [{"name": "a", "enabled": true}]}"#, 1),
            (
                r#"{"uni_sse": {"enabled": false, "misspelt": 1}, "broker": {"enabled": true, "type": "nats"}}"#,
                3,
            ),
        ] {
            assert_eq!(errors("t.json", text).len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_comfort_is_warned_of_and_taken() {
        let text = "[admin]\nenabled = true\npassword = \"p\"\n[client]\npresence_update_interval = \"30s\"\n\
                    concurrency = 1\n[uni_sse]\nenabled = false\nmax_request_body_size = 65537\n[websocket]\n\
                    write_timeout = \"5s\"\nread_buffer_size = 512\n[prometheus]\nenabled = true\nnative_histograms = true\n";
        let layer = parse(Path::new("t.toml"), text).unwrap();
        let said: Vec<_> = layer.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "t.toml:1: admin has no effect: there are no admin pages; the server API and /metrics tell what goes on",
                "t.toml:5: client.presence_update_interval has no effect: presence needs no updates in one process",
                "t.toml:11: websocket.write_timeout has no effect: outbox_bytes_max decides which client is too slow",
                "t.toml:12: websocket.read_buffer_size has no effect: connections of a shard share one buffer",
                "t.toml:15: prometheus.native_histograms has no effect: histograms have fixed buckets",
            ]
        );
    }

    #[test]
    fn a_thing_that_is_said_twice_is_refused_with_both_names() {
        let text = "ping_interval_ms = 5000\n[client]\nping_interval = \"5s\"\n";
        assert_eq!(
            errors("t.toml", text),
            [
                "t.toml:3: client.ping_interval = \"5s\": duplicates ping_interval_ms (t.toml:1); remove one of them"
            ]
        );
        let text =
            "[http_server]\nport = 80\n[rates]\nconnects_max = 5\n[client]\nconnection_rate_limit = 6\n";
        assert_eq!(
            errors("t.toml", text),
            [
                "t.toml:6: client.connection_rate_limit = 6: duplicates rates.connects_max (t.toml:4); remove one of them"
            ]
        );
        let text = "listen = \"127.0.0.1:80\"\n[http_server]\nport = 80\n";
        assert_eq!(
            errors("t.toml", text),
            ["t.toml:3: http_server.port = 80: duplicates listen (t.toml:1); remove one of them"],
        );
    }

    #[test]
    fn what_is_no_file_of_text_is_told() {
        let folder = std::env::temp_dir().join(format!("throng-no-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(write("a.toml", b"shards = 2\nnode = '\xff'\n").ends_with("a.toml:2: is not UTF-8"));
        assert!(write("a.json", &vec![b' '; BYTES_MAX + 1]).ends_with("a.json: is larger than 4 MiB"));
        assert!(write("a.yml", &vec![b'\n'; YAML_BYTES_MAX + 1]).ends_with("a.yml: is larger than 1 MiB"));
        let said = read(&folder).unwrap_err().to_string();
        assert_eq!(said, format!("{}: is a directory, not a file", folder.display()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let said = read(Path::new("/nowhere/t.toml")).unwrap_err().to_string();
        assert!(said.starts_with("/nowhere/t.toml: cannot be read: No such file"), "{said:?}");
    }
}
