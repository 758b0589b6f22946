//! The manual's tables must be those of the program, and its examples must be accepted.

use std::fmt::Write as _;
use std::path::Path;

use throng::Transport;
use throng::parts::config::sections::{
    ALIASES, Alias, CALLS, CHANNEL, Class, HOOK, SETTINGS, Setting, TABLES, TOKEN, Taken, UNSUPPORTED, Unit,
};
use throng::parts::config::{KEYS, RELOAD, Reload, reload_of};
use throng::parts::control::metrics::families;

use super::{TempFile, config_json, output, throng};

fn keys_table() -> String {
    let mut table = String::new();
    let mut group = None;
    for key in KEYS {
        if group.replace(key.group) != Some(key.group) {
            writeln!(table, "\n| {} | default | allowed | |\n|---|---|---|---|", key.group).unwrap();
        }
        let expected = key.expected();
        let allowed = expected.split_once("from ").map_or(expected.as_str(), |(_, range)| range);
        writeln!(table, "| `{}` | {} | {allowed} | {} |", key.name, key.default_text(), key.help).unwrap();
    }
    table
}

fn metrics_table() -> String {
    let mut table = "\n| metric | type | label | |\n|---|---|---|---|\n".to_owned();
    for family in families() {
        writeln!(table, "| `{}` | {} | {} | {} |", family.name, family.kind, family.labels(), family.help)
            .unwrap();
    }
    table
}

/// Rows of keys, each with its default and its type.
fn settings<T: Default>(table: &mut String, keys: &[Setting<T>]) {
    for key in keys {
        let mut usual = T::default();
        let slot = (key.slot)(&mut usual);
        let (default, expected) = (slot.toml(false), slot.expected());
        let expected = expected.split(" (not …").next().unwrap();
        writeln!(table, "| `{}` | `{default}` | {expected} | {} |", key.name, key.help).unwrap();
    }
}

fn sections_table() -> String {
    const HEAD: &str = "default | allowed | |\n|---|---|---|---|";
    let mut table = String::new();
    let mut section = "";
    for key in SETTINGS {
        let top = key.name.split('.').next().unwrap();
        if std::mem::replace(&mut section, top) != top {
            writeln!(table, "\n| `{top}` | {HEAD}").unwrap();
        }
        settings(&mut table, std::slice::from_ref(key));
    }
    table.push_str("\nThese tables have keys in common:\n\n| table | |\n|---|---|\n");
    for known in TABLES {
        writeln!(table, "| `{}` | {} |", known.path, known.help).unwrap();
    }
    for (list, help) in [
        ("channel.namespaces", "A list: channels whose names begin with the `name` of one"),
        ("rpc.namespaces", "A list: methods whose names begin with the `name` of one"),
        ("proxies", "A list: hooks that namespaces name"),
    ] {
        writeln!(table, "| `{list}` | {help} |").unwrap();
    }
    writeln!(table, "\n| tables of tokens | {HEAD}").unwrap();
    settings(&mut table, TOKEN);
    writeln!(table, "\n| tables of hooks | {HEAD}").unwrap();
    settings(&mut table, HOOK);
    writeln!(table, "\n| tables of calls | {HEAD}").unwrap();
    settings(&mut table, CALLS);
    writeln!(table, "\n| tables of channels | {HEAD}").unwrap();
    settings(&mut table, CHANNEL);
    table
}

fn aliases_table() -> String {
    let mut table = "\n| key | means | written as |\n|---|---|---|\n".to_owned();
    for Alias { path, flat, unit } in ALIASES {
        let written = match unit {
            Unit::Same => "",
            Unit::Duration | Unit::DurationOrOff => "a duration",
            Unit::Level => "a level, or `none`",
            Unit::Disabled => "`true` for `off`",
            Unit::Listener => "one half of it",
        };
        writeln!(table, "| `{path}` | `{flat}` | {written} |").unwrap();
    }
    table
}

/// Keys by their behaviour in a reload; those with the same share a row.
fn reload_table() -> String {
    let mut table = "\n| keys | a new value is |\n|---|---|\n".to_owned();
    for rows in RELOAD.chunk_by(|a, b| a.1 == b.1) {
        let name = |row: &(&str, Reload)| {
            if row.0.ends_with('.') { format!("`{}*`", row.0) } else { format!("`{}`", row.0) }
        };
        let mut names: Vec<_> = rows.iter().map(name).collect();
        // Those of transports have a table of their own.
        if let Some(at) = rows.iter().position(|row| row.0 == "emulation.") {
            let transports = Transport::ALL.iter().map(|transport| format!("`{}.*`", transport.name()));
            names.splice(at..at, transports.filter(|name| name != "`websocket.*`"));
            assert_eq!(reload_of("sse.enabled"), rows[at].1);
        }
        let what = match rows[0].1 {
            Reload::Taken(when) => format!("applied {when}"),
            Reload::Restart(why) => format!("applied after a restart: {why}"),
        };
        writeln!(table, "| {} | {what} |", names.join(", ")).unwrap();
    }
    table
}

fn unsupported_table() -> String {
    let mut table = "\n| key | taken | otherwise | |\n|---|---|---|---|\n".to_owned();
    for key in UNSUPPORTED {
        let taken = match key.taken {
            Taken::Off => String::new(),
            Taken::Values(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
            Taken::Disabled => "not `enabled`".to_owned(),
            Taken::Anything => "anything".to_owned(),
        };
        let otherwise = match key.class {
            Class::Served => "",
            Class::Warned => "warning",
            Class::Refused => "refused",
        };
        writeln!(table, "| `{}` | {taken} | {otherwise} | {} |", key.path, key.instead).unwrap();
    }
    table
}

/// Compares the text between two marks with `wanted`, or replaces it if `UPDATE_DOCS` is set.
fn check_section(document: &str, name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: begin"), format!("\n<!-- {name}: end -->"));
    let from = text.find(&begin).expect("the mark of the beginning");
    let from = from + text[from..].find('\n').unwrap() + 1;
    let to = from - 1 + text[from - 1..].find(&end).expect("the mark of the end");
    let (head, tail) = (&text[..from], &text[to..]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{wanted}{tail}")).unwrap();
    } else {
        let hint = "has another table than the program; UPDATE_DOCS=1 cargo test --test cli renews it";
        assert_eq!(text.get(from..to).unwrap_or_default(), wanted, "{document} {hint}");
    }
}

/// One test for all: they write the same files.
#[test]
fn the_manual_has_the_tables_of_the_program() {
    check_section("docs/OPERATING.md", "keys", &keys_table());
    check_section("docs/OPERATING.md", "metrics", &metrics_table());
    check_section("docs/CONFIGURATION.md", "sections", &sections_table());
    check_section("docs/CONFIGURATION.md", "aliases", &aliases_table());
    check_section("docs/CONFIGURATION.md", "reload", &reload_table());
    check_section("docs/CONFIGURATION.md", "unsupported", &unsupported_table());
}

#[test]
fn the_examples_of_the_manual_are_taken() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (kind, lookup) in [("toml", "/config/channel/namespaces/1/name"), ("json", "/config/http_api/key/0")]
    {
        let (_, rest) = text.split_once(&format!("\n```{kind}\n")).unwrap();
        let (example, rest) = rest.split_once("\n```").unwrap();
        assert!(!rest.contains(&format!("\n```{kind}\n")), "check the others, too");
        // An unchanged copy would have a publicly known key.
        let file = TempFile::new(&format!("placeholders.{kind}"), example);
        let (code, _, said) = output(&mut throng(&["config", "--config", file.path()]));
        assert!(code == 2 && said.contains("is a placeholder from the documentation"), "{said}");
        let example = example.replace("replace it", "a key").replace("replace-it", "a-key");
        let file = TempFile::new(&format!("example.{kind}"), &example);
        let json = config_json(&mut throng(&["config", "--json", "--config", file.path()]));
        assert_eq!(json["is_development"], false);
        assert!(json.pointer(lookup).is_some(), "{json:#}");
    }
}
