//! Prints an [`Effective`] configuration: as TOML that can be loaded again, and as JSON for machines.

use super::memory::{self, KERNEL_SOCKET_BYTES};
use super::sections::Row;
use super::{Config, Effective, KEYS, Key, Place};
use crate::base::figures::{grouped, readable};
use serde_json::json;
use std::fmt::Write as _;

/// Column limit for the alignment of comments: longer lines are not aligned.
const ALIGNED_COLUMNS: usize = 48;

impl Effective {
    /// The configuration as a TOML file: each key with its source as a comment, at the end the capacity and the
    /// maximum memory for `descriptors` descriptors per table. Secrets are hidden unless `shows_secrets`; a file with
    /// hidden secrets cannot be loaded.
    pub fn toml(&self, descriptors: u64, shows_secrets: bool) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text =
            format!("# throng {version}: the effective configuration, and where each value comes from.\n");
        if self.is_development {
            text.push_str(if self.config.development {
                "# Development mode, as configured: everything is open.\n"
            } else {
                "# Development mode, since clients and channels are not configured: everything is open.\n"
            });
        }
        let rows = self.sections.rows(shows_secrets);
        let flat: Vec<_> = KEYS
            .iter()
            .map(|key| (key, format!("{} = {}", key.name, key.toml(&self.config, shows_secrets))))
            .collect();
        let width = {
            let of_rows = rows.iter().map(|row| row.name.len() + 3 + row.toml.len());
            let lengths = flat.iter().map(|(_, line)| line.len()).chain(of_rows);
            lengths.filter(|&n| n <= ALIGNED_COLUMNS).max().unwrap_or(0)
        };
        let mut group = None;
        for (key, line) in flat {
            if group.replace(key.group) != Some(key.group) {
                text.push_str(&format!("\n# {}\n", key.group));
            }
            let line = if self.changes_by_name(key) { format!("# {line}") } else { line };
            text.push_str(&format!("{line:width$}  # {}\n", self.source(key)));
        }
        text.push_str(&self.tables(rows, width));
        text.push_str(&memory_comment(&self.config, descriptors));
        text
    }

    /// The sections, table by table; each table has one heading.
    fn tables(&self, rows: Vec<Row>, width: usize) -> String {
        let mut tables: Vec<((String, Option<usize>), String)> = Vec::new();
        for row in rows {
            let line = format!("{} = {}", row.name, row.toml);
            let source = self.source_of_row(&row);
            let line = if line.contains('\n') {
                format!("# {source}\n{line}\n")
            } else {
                format!("{line:width$}  # {source}\n")
            };
            let table = (row.table().to_owned(), row.of.map(|(_, index)| index));
            match tables.iter_mut().find(|(known, _)| *known == table) {
                Some((_, lines)) => lines.push_str(&line),
                None => tables.push((table, line)),
            }
        }
        let headed = |((table, namespace), lines): &((String, Option<usize>), String)| match namespace {
            Some(_) => format!("\n[[{table}]]\n{lines}"),
            None => format!("\n[{table}]\n{lines}"),
        };
        tables.iter().map(headed).collect()
    }

    /// The effective configuration as one JSON object: `version`, `config`, `sources`, `capacity`, `memory`.
    pub fn json(&self, descriptors: u64, shows_secrets: bool) -> serde_json::Value {
        let capacity = memory::capacity(&self.config, descriptors);
        let items = memory::worst_case(&self.config, capacity);
        let mut scratch = self.config.clone();
        let mut values: serde_json::Map<_, _> = KEYS
            .iter()
            .filter(|key| !self.changes_by_name(key))
            .map(|key| (key.name.to_owned(), (key.slot)(&mut scratch).json(shows_secrets)))
            .collect();
        let mut sources: serde_json::Map<_, _> =
            KEYS.iter().map(|key| (key.name.to_owned(), self.source(key).into())).collect();
        for row in self.sections.rows(shows_secrets) {
            sources.insert(row.path.clone(), self.source_of_row(&row).into());
            nest(&mut values, row);
        }
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "is_development": self.is_development,
            "config": values,
            "sources": sources,
            "capacity": { "connections": capacity, "descriptors_per_table": descriptors },
            "memory": {
                "worst_case_bytes": memory::total(&items),
                "items": items.iter()
                    .map(|item| json!({ "what": item.what, "how": item.how, "bytes": item.bytes }))
                    .collect::<Vec<_>>(),
                "kernel_sockets_bytes": capacity.saturating_mul(KERNEL_SOCKET_BYTES as u64),
            },
        })
    }

    /// Whether typing the default of a key changes more than its value: an explicit control listener takes over what
    /// client listeners otherwise serve beside it.
    fn changes_by_name(&self, key: &Key) -> bool {
        key.name == "control" && *self.place(key.name) == Place::Default
    }

    /// The source of a key's value; for variables and flags, their names.
    fn source(&self, key: &Key) -> String {
        match self.place(key.name) {
            // A default that depends on another key differs from the value in the manual.
            Place::Default if key.toml(&self.config, true) != key.toml(&Config::default(), true) => {
                format!("default: {}", key.default_text())
            }
            place @ (Place::Default | Place::File { .. } | Place::Variable(_) | Place::Flag(_)) => {
                place.to_string()
            }
        }
    }

    fn source_of_row(&self, row: &Row) -> String {
        match self.place(&row.path) {
            Place::Default if !row.is_default => "development mode".to_owned(),
            place @ (Place::Default | Place::File { .. } | Place::Variable(_) | Place::Flag(_)) => {
                place.to_string()
            }
        }
    }
}

/// Adds a value to the table of its path.
fn nest(values: &mut serde_json::Map<String, serde_json::Value>, row: Row) {
    let mut table = values;
    let index = row.of.map(|(_, index)| index);
    let (inner_tables, name) = row.name.rsplit_once('.').unwrap_or(("", &row.name));
    let (head, list) = row.table().rsplit_once('.').unwrap_or(("", row.table()));
    // The last part of the path is a list, if the row belongs to a list's table.
    let parts = head.split('.').map(|part| (part, None)).chain([(list, index)]);
    let parts = parts.chain(inner_tables.split('.').map(|part| (part, None)));
    for (part, index) in parts.filter(|(part, _)| !part.is_empty()) {
        let empty = if index.is_some() { json!([]) } else { json!({}) };
        let inner = table.entry(part.to_owned()).or_insert(empty);
        if let (serde_json::Value::Array(list), Some(index)) = (&mut *inner, index)
            && list.len() <= index
        {
            list.push(json!({}));
        }
        let inner = match (inner, index) {
            (serde_json::Value::Array(list), Some(index)) => list.get_mut(index),
            (other, _) => Some(other),
        };
        let Some(serde_json::Value::Object(next)) = inner else { return };
        table = next;
    }
    table.insert(name.to_owned(), row.json);
}

fn memory_comment(config: &Config, descriptors: u64) -> String {
    let capacity = memory::capacity(config, descriptors);
    let items = memory::worst_case(config, capacity);
    let tables = if config.private_descriptors { config.shards } else { 1 };
    let plural = if tables == 1 { "" } else { "s" };
    let mut text = format!(
        "\n# Capacity: {} connections ({tables} descriptor table{plural} of {}, {} of each kept back)\n",
        grouped(capacity),
        grouped(descriptors),
        memory::descriptors_reserved(config.shards),
    );
    text.push_str(
        "# Worst-case process memory (what throng allocates for itself), when every limit is reached at once:
",
    );
    let mut row = |bytes: u64, what: &str, how: &str| {
        let line = format!("#   {:>10}  {what:36}  {how}", readable(bytes));
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for item in &items {
        row(item.bytes, item.what, &item.how);
    }
    row(memory::total(&items), "in all", "");
    let kernel = capacity.saturating_mul(KERNEL_SOCKET_BYTES as u64);
    // Writing to a String cannot fail.
    writeln!(text, "# The kernel needs about {} more for as many idle sockets.", readable(kernel)).ok();
    text
}

#[cfg(test)]
mod tests {
    use super::super::args::Args;
    use super::super::said::Said;
    use super::super::{LogFormat, resolve};
    use super::*;

    fn flags(pairs: &[(&str, &str)]) -> Effective {
        let flags = pairs.iter().map(|(name, word)| Said::flag(name, word)).collect();
        resolve(&Args { flags, ..Args::default() }, &Default::default()).unwrap()
    }

    fn loaded(name: &str, text: &str) -> Effective {
        let path = std::env::temp_dir().join(format!("throng-show-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let effective = resolve(&Args::of_file(Some(path.clone())), &Default::default());
        std::fs::remove_file(path).unwrap();
        effective.unwrap()
    }

    #[test]
    fn queries_and_users_of_urls_are_hidden_with_the_secrets() {
        let text = "[client.proxy.connect]\nenabled = true\nendpoint = 'http://h/c?token=hush'\n[rpc.proxy]\n\
                    endpoint = 'http://h/r?token=hush'\n[client.token]\njwks_public_endpoint = 'http://h/k?token=hush'\n\
                    [[proxies]]\nname = 'one'\nendpoint = 'http://h/p?token=hush'\n";
        let effective = loaded("queries.toml", text);
        let forms = |shows| [effective.toml(9, shows), effective.json(9, shows).to_string()];
        for shown in forms(false) {
            assert!(!shown.contains("hush"), "{shown}");
            for url in ["http://h/c?…", "http://h/r?…", "http://h/k?…", "http://h/p?…"] {
                assert!(shown.contains(url), "{url}: {shown}");
            }
        }
        for shown in forms(true) {
            assert_eq!(shown.matches("?token=hush").count(), 4, "{shown}");
        }
    }

    /// All flat keys, each with a value that is not its default.
    const UNLIKE_DEFAULT: &[(&str, &str)] = &[
        ("listen", "0.0.0.0:80,[::1]:8080"),
        ("control", "off"),
        ("control_key", "k"),
        ("control_connections_max", "99"),
        ("development", "true"),
        ("metrics_by_namespace", "true"),
        ("metrics_users", "true"),
        ("metrics_client_names", "a,b"),
        ("shards", "7"),
        ("pin", "false"),
        ("private_descriptors", "false"),
        ("echo", "/e"),
        ("websocket_path", "/w"),
        ("first_page", "false"),
        ("compression", "true"),
        ("compression_min_bytes", "1KiB"),
        ("compression_level", "9"),
        ("pid_file", "/run/throng.pid"),
        ("unix_mode", "0600"),
        ("trusted_proxies", "10.0.0.0/8"),
        ("proxy_protocol", "true"),
        ("tls_cert", "a.pem"),
        ("tls_key", "a.key"),
        ("tls_self_signed", "true"),
        ("tls_client_ca", "ca.pem"),
        ("tls_client_cert", "optional"),
        ("tls_min_version", "1.3"),
        ("tls_ticket_rotation_ms", "60000"),
        ("token_workers", "3"),
        ("questions_max", "9"),
        ("hook_requests_max", "9"),
        ("history_bytes_max", "9"),
        ("join_leave_per_second_max", "9"),
        ("connections_max", "12345"),
        ("head_bytes_max", "1001"),
        ("message_bytes_max", "16MiB"),
        ("frame_bytes_max", "1MiB"),
        ("outbox_bytes_max", "17MiB"),
        ("queued_bytes_max", "3GiB"),
        ("channels_per_connection_max", "9"),
        ("channel_name_bytes_max", "99"),
        ("channels_per_shard_max", "999"),
        ("accepts_per_turn_max", "9"),
        ("handshakes_per_turn_max", "9"),
        ("half_open_max", "9"),
        ("accepts_per_second_max", "9"),
        ("accepts_per_ip_max", "9"),
        ("accepts_per_network_max", "9"),
        ("tls_handshakes_per_second_max", "9"),
        ("memory_max", "1GiB"),
        ("retry_after_ms", "2000"),
        ("drain_delay_ms", "9"),
        ("read_bytes_per_turn_max", "5000"),
        ("deliveries_per_turn_max", "9"),
        ("mailbox_letters_max", "99"),
        ("handshake_ms", "1"),
        ("connect_ms", "2"),
        ("message_ms", "3"),
        ("tcp_user_timeout_ms", "8"),
        ("ping_interval_ms", "9"),
        ("pong_timeout_ms", "4"),
        ("idle_ms", "5"),
        ("linger_ms", "6"),
        ("drain_ms", "7"),
        ("drain_closes_per_second_min", "9"),
        ("log_level", "info,throng::shard=debug"),
        ("log_format", "json"),
    ];

    #[test]
    fn what_is_printed_loads_back_to_the_same() {
        let unlike_default = flags(UNLIKE_DEFAULT);
        for key in KEYS {
            assert_ne!(
                key.toml(&unlike_default.config, true),
                key.toml(&Config::default(), true),
                "{} is tried",
                key.name
            );
        }
        assert_eq!(unlike_default.config.logs.format, LogFormat::Json);
        for (i, effective) in [unlike_default, flags(&[])].into_iter().enumerate() {
            let text = effective.toml(20_000, true);
            assert_eq!(loaded(&format!("{i}.toml"), &text).config, effective.config, "{text}");
            let json = effective.json(20_000, true)["config"].to_string();
            assert_eq!(loaded(&format!("{i}.json"), &json).config, effective.config, "{json}");
        }
    }

    const SECTIONS: &str = "shards = 2\n[client]\nallowed_origins = ['https://a']\n[client.token]\n\
        hmac_secret_key = 'hush'\n[client.proxy.connect]\nenabled = true\nendpoint = 'http://a/b'\n\
        http.static_headers = { Authorization = 'hush' }\n[http_api]\nkey = ['hush', 'hush2']\n\
        [[channel.namespaces]]\nname = 'x.y'\npresence = true\nhistory_size = 5\nhistory_ttl = '1h'\n\
        [[channel.namespaces]]\nname = 'zz'\nforce_recovery_mode = 'cache'\nallowed_delta_types = ['fossil']\n\
        [channel.without_namespace]\nchannel_regex = '^[a-z]'\n[rates]\nconnects_max = 7\n";

    #[test]
    fn sections_load_back_to_the_same() {
        let effective = loaded("sections.toml", SECTIONS);
        let text = effective.toml(20_000, true);
        assert_eq!(loaded("sections-again.toml", &text).config, effective.config, "{text}");
        let json = effective.json(20_000, true)["config"].to_string();
        assert_eq!(loaded("sections.json", &json).config, effective.config, "{json}");
    }

    #[test]
    fn secrets_are_shown_only_when_asked_for() {
        let effective = loaded("secrets.toml", SECTIONS);
        for (shows_secrets, count) in [(false, 0), (true, 4)] {
            let (toml, json) = (effective.toml(20_000, shows_secrets), effective.json(20_000, shows_secrets));
            assert_eq!(toml.matches("hush").count(), count, "{toml}");
            assert_eq!(json.to_string().matches("hush").count(), count, "{json}");
        }
        assert!(!format!("{:?}", effective.config.api).contains("hush"));
    }

    #[test]
    fn each_key_of_a_section_tells_its_source() {
        let effective = loaded("sources.toml", SECTIONS);
        let text = effective.toml(20_000, false);
        let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap();
        assert!(line("allowed_origins = ").ends_with("sources.toml:3"), "{text}");
        assert!(line("hmac_secret_key = \"…\"").ends_with("sources.toml:5"), "{text}");
        assert!(line("history_ttl = \"1h\"").ends_with("sources.toml:16"), "{text}");
        assert!(line("expired_close_delay = \"25s\" ").ends_with("# default"), "{text}");
        let text = flags(&[]).toml(20_000, false);
        assert!(text.contains("# Development mode, since"), "{text}");
        let line = text.lines().find(|l| l.starts_with("insecure = true")).unwrap();
        assert!(line.ends_with("# development mode"), "{text}");
        let json = effective.json(20_000, false);
        assert!(
            json["sources"]["channel.namespaces.x.y.presence"].as_str().unwrap().ends_with(":14"),
            "{json}"
        );
        assert_eq!(json["config"]["channel"]["namespaces"][1]["force_recovery_mode"], "cache");
    }

    #[test]
    fn each_key_tells_its_source() {
        let text = flags(&[("shards", "2"), ("ping_interval_ms", "3000")]).toml(20_000, false);
        let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap();
        assert!(line("shards = 2 ").ends_with("# --shards"), "{text}");
        assert!(line("pin = true ").ends_with("# default"), "{text}");
        assert!(
            line("pong_timeout_ms = 1000 ").ends_with("# default: 8000, at most a third of ping_interval_ms"),
            "{text}"
        );
    }

    #[test]
    fn capacity_and_memory_stand_at_the_end() {
        let effective = flags(&[("shards", "2")]);
        let text = effective.toml(20_000, false);
        assert!(text.contains("# Worst-case process memory (what throng allocates for itself)"), "{text}");
        assert!(text.contains("# Capacity: 39,840 connections (2 descriptor tables of 20,000"), "{text}");
        let json = effective.json(20_000, false);
        assert_eq!(json["capacity"]["connections"], 39_840);
        assert_eq!(json["config"]["queued_bytes_max"], 256 << 20);
        assert_eq!(json["sources"]["shards"], "--shards");
        let items = json["memory"]["items"].as_array().unwrap();
        let sum: u64 = items.iter().map(|item| item["bytes"].as_u64().unwrap()).sum();
        assert_eq!(json["memory"]["worst_case_bytes"], sum);
    }
}
