//! Writes a converted configuration as a file or as variables.

use super::super::error;
use super::super::slot::{HIDDEN, quote};
use super::super::value::Value;
use super::Converted;
use super::old_variables::PREFIX;
use super::tree::{Branch, Node, Tree};
use serde_json::Map;
use std::fmt::Write as _;

/// How secrets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// In full.
    Shown,
    /// As `…`, which is refused when the file is read.
    Hidden,
}

impl Converted {
    /// The configuration as a TOML file, with remarks as comments.
    pub fn toml(&self, secrets: Secrets) -> String {
        let mut text =
            "# Written by `throng config --convert` from a configuration of Centrifugo 3 to 5.\n".to_owned();
        for remark in &self.remarks {
            text.push_str(&format!("# {remark}\n"));
        }
        write_table(&mut text, "", &self.tree, secrets);
        text
    }

    /// The configuration as a JSON file, which has no comments: see [`Converted::remarks`].
    pub fn json(&self, secrets: Secrets) -> String {
        format!("{:#}\n", json_of_tree("", &self.tree, secrets))
    }

    /// The configuration as variables, one per line, quoted for a shell.
    pub fn env(&self, secrets: Secrets) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            text.push_str(&format!("# {remark}\n"));
        }
        for (path, node) in values(&self.tree) {
            for remark in &node.remarks {
                text.push_str(&format!("# {remark}\n"));
            }
            let name = format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase());
            let hidden = secrets == Secrets::Hidden;
            let value = match &node.branch {
                Branch::Leaf(value) if hidden && is_secret(&path) && !value.is_off() => HIDDEN.to_owned(),
                Branch::Leaf(value) => shown(&path, &word(value), secrets),
                Branch::Table(tree) => json_of_tree(&path, tree, secrets).to_string(),
                Branch::Tables(list) => json_of_list(&path, list, secrets).to_string(),
            };
            writeln!(text, "{name}={}", shell(&value)).unwrap_or_default();
        }
        for (name, value) in &self.kept {
            let is_hidden = secrets == Secrets::Hidden && is_secret(&name.to_ascii_lowercase());
            let value = if is_hidden { HIDDEN.to_owned() } else { shown(name, value, secrets) };
            writeln!(text, "{name}={}", shell(&value)).unwrap_or_default();
        }
        text
    }

    /// The remarks: on the whole configuration, then on its keys.
    pub fn remarks(&self) -> Vec<String> {
        let of_keys = values(&self.tree).into_iter();
        let of_keys = of_keys.flat_map(|(path, node)| {
            let of_key = move |remark: &String| format!("{path}: {remark}");
            node.remarks.iter().map(of_key).collect::<Vec<_>>()
        });
        self.remarks.iter().cloned().chain(of_keys).collect()
    }
}

/// Whether the value at a path, or of a variable in lower case, is a secret.
fn is_secret(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    let is_public = last.ends_with("public_key");
    let words = ["secret", "password", "key", "credentials_value", "key_pem", "dsn"];
    !is_public && words.iter().any(|word| last.ends_with(word) || last.ends_with(&format!("{word}_key")))
        || path.contains("static_headers.")
}

/// A text at a path, or of a variable. If secrets are hidden, a URL is shown without user, password and query, as by
/// `throng config`.
fn shown(path: &str, text: &str, secrets: Secrets) -> String {
    match secrets {
        Secrets::Shown => text.to_owned(),
        Secrets::Hidden if error::is_url(path) => error::shown_url(text),
        Secrets::Hidden => error::without_userinfo(text),
    }
}

/// All values with their paths. A table whose keys an application chooses is one value.
pub(super) fn values(tree: &Tree) -> Vec<(String, &Node)> {
    let mut found = Vec::new();
    for node in &tree.0 {
        match &node.branch {
            Branch::Table(inner) if node.name != HEADERS => {
                let inner = values(inner).into_iter();
                found.extend(inner.map(|(path, inner)| (format!("{}.{path}", node.name), inner)));
            }
            Branch::Table(_) | Branch::Leaf(_) | Branch::Tables(_) => found.push((node.name.clone(), node)),
        }
    }
    found
}

/// The table of a hook's static headers, whose keys are names of headers.
const HEADERS: &str = "static_headers";

fn write_table(text: &mut String, path: &str, tree: &Tree, secrets: Secrets) {
    for node in &tree.0 {
        let at = join(path, &node.name);
        if let Branch::Leaf(value) = &node.branch {
            remarks(text, node);
            writeln!(text, "{} = {}", name(&node.name), toml(&at, value, secrets)).unwrap_or_default();
        }
    }
    for node in &tree.0 {
        let at = join(path, &node.name);
        let heading: Vec<_> = at.split('.').map(name).collect();
        let heading = heading.join(".");
        match &node.branch {
            Branch::Leaf(_) => {}
            Branch::Table(inner) => {
                let has_leaf = inner.0.iter().any(|node| matches!(node.branch, Branch::Leaf(_)));
                if has_leaf || inner.0.is_empty() {
                    text.push('\n');
                    remarks(text, node);
                    writeln!(text, "[{heading}]").unwrap_or_default();
                }
                write_table(text, &at, inner, secrets);
            }
            Branch::Tables(list) => {
                for inner in list {
                    writeln!(text, "\n[[{heading}]]").unwrap_or_default();
                    write_table(text, &at, inner, secrets);
                }
            }
        }
    }
}

fn remarks(text: &mut String, node: &Node) {
    for remark in &node.remarks {
        writeln!(text, "# {remark}").unwrap_or_default();
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A key in TOML, in quotes if needed.
fn name(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quote(name) }
}

fn toml(path: &str, value: &Value, secrets: Secrets) -> String {
    if secrets == Secrets::Hidden && is_secret(path) && !value.is_off() {
        return quote(HIDDEN);
    }
    match value {
        Value::Text(text) => quote(&shown(path, text, secrets)),
        Value::Null => quote(""),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| toml(path, item, secrets)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entry = |entry: &super::super::value::Entry| {
                format!("{} = {}", name(&entry.name), toml(&join(path, &entry.name), &entry.value, secrets))
            };
            format!("{{ {} }}", table.0.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Switch(_) | Value::Integer(_) | Value::Fraction(_) | Value::Date(_) => value.to_string(),
    }
}

fn json(path: &str, value: &Value, secrets: Secrets) -> serde_json::Value {
    if secrets == Secrets::Hidden && is_secret(path) && !value.is_off() {
        return HIDDEN.into();
    }
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Switch(on) => (*on).into(),
        Value::Integer(number) => (*number).into(),
        Value::Fraction(digits) => digits.parse::<f64>().map_or_else(|_| digits.as_str().into(), Into::into),
        Value::Date(text) => text.as_str().into(),
        Value::Text(text) => shown(path, text, secrets).into(),
        Value::List(items) => items.iter().map(|item| json(path, item, secrets)).collect(),
        Value::Table(table) => {
            let entry = |entry: &super::super::value::Entry| {
                (entry.name.clone(), json(&join(path, &entry.name), &entry.value, secrets))
            };
            table.0.iter().map(entry).collect::<Map<_, _>>().into()
        }
    }
}

fn json_of_tree(path: &str, tree: &Tree, secrets: Secrets) -> serde_json::Value {
    let entry = |node: &Node| {
        let at = join(path, &node.name);
        let value = match &node.branch {
            Branch::Leaf(value) => json(&at, value, secrets),
            Branch::Table(inner) => json_of_tree(&at, inner, secrets),
            Branch::Tables(list) => json_of_list(&at, list, secrets),
        };
        (node.name.clone(), value)
    };
    tree.0.iter().map(entry).collect::<Map<_, _>>().into()
}

fn json_of_list(path: &str, list: &[Tree], secrets: Secrets) -> serde_json::Value {
    list.iter().map(|tree| json_of_tree(path, tree, secrets)).collect()
}

/// A value as the text of a variable: the words of a list are separated by blanks.
fn word(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Null => String::new(),
        Value::List(items) if items.iter().all(|item| item.text().is_some()) => {
            items.iter().filter_map(Value::text).collect::<Vec<_>>().join(" ")
        }
        Value::List(_) | Value::Table(_) => json("", value, Secrets::Shown).to_string(),
        Value::Switch(_) | Value::Integer(_) | Value::Fraction(_) | Value::Date(_) => value.to_string(),
    }
}

/// A text quoted for a shell and for files of variables.
fn shell(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@,+=-".contains(c);
    if value.chars().all(is_plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', "'\\''")) }
}
