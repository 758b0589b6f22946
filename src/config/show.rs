//! Prints an [`Effective`] configuration: as TOML that loads back to the same, and as JSON for machines.

use super::memory::{self, KERNEL_SOCKET_BYTES, grouped, readable};
use super::{Config, Effective, KEYS, Key, Place};
use serde_json::json;
use std::fmt::Write as _;

impl Effective {
    /// The configuration as a TOML file: per key a comment with its source, at the end the capacity and the
    /// worst-case memory under a limit of `descriptors` per table, as comments.
    pub fn toml(&self, descriptors: u64) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text =
            format!("# throng {version}: the effective configuration, and where each value comes from.\n");
        let lines: Vec<_> =
            KEYS.iter().map(|key| (key, format!("{} = {}", key.name, key.toml(&self.config)))).collect();
        let width = lines.iter().map(|(_, line)| line.len()).filter(|&n| n <= 48).max().unwrap_or(0);
        let mut group = None;
        for (key, line) in lines {
            if group.replace(key.group) != Some(key.group) {
                text.push_str(&format!("\n# {}\n", key.group));
            }
            text.push_str(&format!("{line:width$}  # {}\n", self.source(key)));
        }
        text.push_str(&memory_comment(&self.config, descriptors));
        text
    }

    /// The same as one JSON object: `version`, `config`, `sources`, `capacity`, `memory`.
    pub fn json(&self, descriptors: u64) -> serde_json::Value {
        let capacity = memory::capacity(&self.config, descriptors);
        let items = memory::worst_case(&self.config, capacity);
        let mut scratch = self.config.clone();
        let values: serde_json::Map<_, _> =
            KEYS.iter().map(|key| (key.name.to_owned(), (key.slot)(&mut scratch).json())).collect();
        let sources: serde_json::Map<_, _> =
            KEYS.iter().map(|key| (key.name.to_owned(), self.source(key).into())).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
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

    /// Where a key's value comes from; a variable and a flag by their names.
    fn source(&self, key: &Key) -> String {
        match self.place(key.name) {
            Place::Variable => key.variable(),
            Place::Flag => key.flag(),
            // A default that follows another key is not the value of the manual.
            Place::Default if key.toml(&self.config) != key.toml(&Config::default()) => {
                format!("default: {}", key.default_text())
            }
            place @ (Place::Default | Place::File { .. }) => place.to_string(),
        }
    }
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
    text.push_str("# User memory at worst, when every limit is reached at once:\n");
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
    use super::super::args::{Args, Typed};
    use super::super::slot::Raw;
    use super::super::{LogFormat, file, resolve};
    use super::*;
    use std::path::Path;

    fn flags(pairs: &[(&str, &str)]) -> Effective {
        let typed = |(name, word): &(&str, &str)| Typed {
            key: Key::named(name).unwrap(),
            raw: Raw::Words(vec![(*word).to_owned()]),
            place: Place::Flag,
        };
        resolve(&Args { file: None, flags: pairs.iter().map(typed).collect() }, |_| None).unwrap()
    }

    fn reloaded(text: &str) -> Config {
        let flags = file::parse(Path::new("shown.toml"), text).unwrap();
        assert_eq!(flags.len(), KEYS.len(), "every key is printed");
        resolve(&Args { file: None, flags }, |_| None).unwrap().config
    }

    #[test]
    fn what_is_printed_loads_back_to_the_same() {
        let unlike_default = flags(&[
            ("listen", "0.0.0.0:80,[::1]:8080"),
            ("control", "off"),
            ("shards", "7"),
            ("pin", "false"),
            ("private_descriptors", "false"),
            ("echo", "/e"),
            ("websocket_path", "/w"),
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
            ("read_bytes_per_turn_max", "5000"),
            ("deliveries_per_turn_max", "9"),
            ("mailbox_letters_max", "99"),
            ("handshake_ms", "1"),
            ("connect_ms", "2"),
            ("ping_interval_ms", "9"),
            ("pong_timeout_ms", "4"),
            ("idle_ms", "5"),
            ("linger_ms", "6"),
            ("drain_ms", "7"),
            ("log_level", "info,throng::shard=debug"),
            ("log_format", "json"),
        ]);
        for key in KEYS {
            assert_ne!(
                key.toml(&unlike_default.config),
                key.toml(&Config::default()),
                "{} is tried",
                key.name
            );
        }
        assert_eq!(unlike_default.config.logs.format, LogFormat::Json);
        for effective in [unlike_default, flags(&[])] {
            assert_eq!(reloaded(&effective.toml(20_000)), effective.config);
        }
    }

    #[test]
    fn each_key_tells_its_source() {
        let text = flags(&[("shards", "2"), ("ping_interval_ms", "3000")]).toml(20_000);
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
        let text = effective.toml(20_000);
        assert!(text.contains("# Capacity: 39,840 connections (2 descriptor tables of 20,000"), "{text}");
        let json = effective.json(20_000);
        assert_eq!(json["capacity"]["connections"], 39_840);
        assert_eq!(json["config"]["queued_bytes_max"], 256 << 20);
        assert_eq!(json["sources"]["shards"], "--shards");
        let items = json["memory"]["items"].as_array().unwrap();
        let sum: u64 = items.iter().map(|item| item["bytes"].as_u64().unwrap()).sum();
        assert_eq!(json["memory"]["worst_case_bytes"], sum);
    }
}
