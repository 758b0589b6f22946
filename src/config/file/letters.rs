//! Names of keys in other letters: Centrifugo reads `Client` and `HTTP_API` as `client` and `http_api`.
//!
//! Invariant: no name is given twice, whatever its letters. A name is changed only if it is then one of a key, so that
//! errors show an unknown one as it was typed. Left out: the names of headers, which an application chooses.

use super::super::names::names;
use super::super::older;
use super::super::sections::UNSUPPORTED;
use super::super::value::{Entry, Table, Value};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Names within tables of lists and of rules, which have no path.
const OF_LISTS: [&str; 12] = [
    "name",
    "key",
    "value",
    "code",
    "status_code",
    "temporary",
    "to",
    "to_error",
    "to_disconnect",
    "message",
    "reason",
    "body",
];

/// Tables whose names an application chooses.
const FREE: [&str; 4] = ["static_headers", "static_http_headers", "grpc_metadata", "channel_replacements"];

/// Writes the names of keys in lower case. An error has the line of a name that is given twice.
pub(super) fn lower(table: &mut Table) -> Result<(), (usize, String)> {
    for at in 0..table.0.len() {
        let name = table.0[at].name.to_lowercase();
        if name == table.0[at].name || !is_known(&name) {
            continue;
        }
        let is_twice = |other: &Entry| other.name.to_lowercase() == name;
        if table.0.iter().filter(|other| is_twice(other)).count() > 1 {
            return Err((table.0[at].line(), format!("`{name}` is given twice, in different letters")));
        }
        table.0[at].name = name;
    }
    table.0.iter_mut().try_for_each(|entry| {
        let is_free = FREE.contains(&entry.name.as_str()) && matches!(entry.value, Value::Table(_));
        if is_free { Ok(()) } else { lower_in(&mut entry.value) }
    })
}

/// Like [`lower`], for the tables in a value.
pub(super) fn lower_in(value: &mut Value) -> Result<(), (usize, String)> {
    match value {
        Value::Table(table) => lower(table),
        Value::List(items) => items.iter_mut().try_for_each(lower_in),
        Value::Null
        | Value::Switch(_)
        | Value::Integer(_)
        | Value::Fraction(_)
        | Value::Text(_)
        | Value::Date(_) => Ok(()),
    }
}

/// Whether a key or a section of any version has this name.
fn is_known(name: &str) -> bool {
    static KNOWN: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let paths = names().paths().chain(UNSUPPORTED.iter().map(|key| key.path));
        paths.flat_map(|path| path.split('.')).chain(older::all()).chain(OF_LISTS).collect()
    });
    known.contains(name)
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::config::Place;

    fn lowered(text: &str) -> Result<Table, (usize, String)> {
        json::parse(text, &|line| Place::File { path: "t".into(), line })
            .and_then(|mut table| lower(&mut table).map(|()| table))
    }

    #[test]
    fn keys_are_known_in_any_letters_at_any_depth() {
        let table = lowered(
            r#"{"Client": {"Allowed_Origins": ["https://A.example"], "TOKEN": {"HMAC_secret_key": "S"},
                "proxy": {"connect": {"http": {"Static_Headers": {"X-Key": "V", "Name": "N"}}}}},
                "Channel": {"namespaces": [{"Name": "Chat", "PRESENCE": true}]},
                "Token_HMAC_Secret_Key": "s", "allowedOrigins": [], "_Comment": 1}"#,
        );
        let table = table.unwrap();
        let at = |path: &str| table.at(path).map(ToString::to_string);
        assert_eq!(at("client.allowed_origins").as_deref(), Some("[\"https://A.example\"]"));
        assert_eq!(at("client.token.hmac_secret_key").as_deref(), Some("\"S\""));
        assert_eq!(at("client.proxy.connect.http.static_headers.X-Key").as_deref(), Some("\"V\""));
        assert_eq!(at("client.proxy.connect.http.static_headers.Name").as_deref(), Some("\"N\""));
        assert_eq!(at("token_hmac_secret_key").as_deref(), Some("\"s\""));
        let Some(Value::List(namespaces)) = table.at("channel.namespaces") else { panic!("no list") };
        let Value::Table(chat) = &namespaces[0] else { panic!("no table") };
        assert_eq!(
            (chat.find("name"), chat.find("presence")),
            (Some(&Value::Text("Chat".into())), Some(&Value::Switch(true)))
        );
        // These are no keys, in whatever letters.
        assert!(at("allowedOrigins").is_some() && at("_Comment").is_some());
    }

    #[test]
    fn a_name_in_two_kinds_of_letters_is_refused() {
        for text in [
            "{\"client\": {},\n\"Client\": {}}",
            "{\"CLIENT\": {},\n\"Client\": {}}",
            "{\"channel\": {\"namespaces\": [{\"name\": \"a\",\n\"Name\": \"b\"}]}}",
        ] {
            let (line, said) = lowered(text).unwrap_err();
            assert!(
                line > 0 && said.ends_with("is given twice, in different letters"),
                "{text}: {line} {said}"
            );
        }
    }
}
