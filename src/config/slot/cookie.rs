//! The cookie of a Socket.IO session (`socketio.cookie`): its name, a switch, or a table; JSON in a variable.

use serde_json::{Map, Value as Json, json};

use super::super::value::{Table, Value};
use super::super::{Place, file};
use super::form::Form;
use super::{Raw, duration_ms, duration_text, quote};
use crate::session::socketio::{SameSite, SessionCookie};

/// The name of the reference's cookie.
const USUAL_NAME: &str = "io";
const KEYS: [&str; 8] =
    ["name", "path", "domain", "max_age", "http_only", "secure", "partitioned", "same_site"];

/// The form of the value, for an error.
pub(super) const EXPECTED: &str = "the name of a cookie, true for io, empty, or a table with name, path, domain, max_age, http_only, secure, \
     partitioned and same_site";

/// Reads the cookie.
///
/// # Errors
/// Why it is refused; empty where the expected form says all.
pub(super) fn parse(raw: &Raw) -> Result<SessionCookie, String> {
    if let Some(is_on) = raw.switch() {
        return Ok(SessionCookie::named(if is_on { USUAL_NAME } else { "" }));
    }
    let parsed;
    let value = match raw {
        Raw::Value(value) => value,
        Raw::Words(words) => match words.last().map_or("", |word| word.trim()) {
            word if word.starts_with('{') => {
                parsed =
                    file::json_value(word, &|_| Place::Default).map_err(|_| "it is not JSON".to_owned())?;
                &parsed
            }
            word => return named(word),
        },
    };
    if let Value::Table(table) = value {
        return of_table(table);
    }
    named(value.text().ok_or_else(String::new)?)
}

fn named(name: &str) -> Result<SessionCookie, String> {
    if Form::Cookie.takes(name) { Ok(SessionCookie::named(name)) } else { Err(String::new()) }
}

fn of_table(table: &Table) -> Result<SessionCookie, String> {
    if let Some(entry) = table.0.iter().find(|entry| !KEYS.contains(&entry.name.as_str())) {
        return Err(format!("unknown key {}; the keys are {}", entry.name, KEYS.join(", ")));
    }
    let name = text(table, "name")?.unwrap_or(USUAL_NAME);
    if name.is_empty() || !Form::Cookie.takes(name) {
        return Err("name: expected the name of a cookie".to_owned());
    }
    let mut cookie = SessionCookie::named(name);
    for (key, slot) in [("path", &mut cookie.path), ("domain", &mut cookie.domain)] {
        if let Some(value) = text(table, key)? {
            if value.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b';') {
                return Err(format!("{key}: expected a text without blanks and semicolons"));
            }
            value.clone_into(slot);
        }
    }
    if !cookie.path.is_empty() && !cookie.path.starts_with('/') {
        return Err("path: expected a text that starts with /, or none".to_owned());
    }
    // As at the reference, whose cookie without a path is readable.
    cookie.is_http_only = !cookie.path.is_empty();
    for (key, slot) in [
        ("http_only", &mut cookie.is_http_only),
        ("secure", &mut cookie.is_secure),
        ("partitioned", &mut cookie.is_partitioned),
    ] {
        match table.find(key) {
            None | Some(Value::Null) => {}
            Some(Value::Switch(on)) => *slot = *on,
            Some(value) => return Err(format!("{key}: expected true or false, not {value}")),
        }
    }
    if let Some(age) = text(table, "max_age")? {
        let seconds = duration_ms(age).map(|ms| ms / 1000).filter(|seconds| *seconds > 0);
        let expected = || format!("max_age: expected a duration from 1s on, such as \"1h\", not {age:?}");
        cookie.max_age_s = Some(seconds.ok_or_else(expected)?);
    }
    if let Some(word) = text(table, "same_site")? {
        let known = SameSite::NAMES.into_iter().find(|(_, name, _)| *name == word.to_ascii_lowercase());
        let (same_site, ..) =
            known.ok_or_else(|| format!("same_site: expected lax, strict or none, not {word:?}"))?;
        cookie.same_site = same_site;
    }
    Ok(cookie)
}

fn text<'t>(table: &'t Table, key: &str) -> Result<Option<&'t str>, String> {
    match table.find(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.text().map(Some).ok_or_else(|| format!("{key}: expected a text, not {value}")),
    }
}

/// The keys that differ from their defaults; `None` where the name says all.
fn fields(cookie: &SessionCookie) -> Option<Map<String, Json>> {
    if *cookie == SessionCookie::named(&cookie.name) {
        return None;
    }
    let usual = SessionCookie::default();
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(cookie.name));
    for (key, value, usual) in
        [("path", &cookie.path, &usual.path), ("domain", &cookie.domain, &usual.domain)]
    {
        if value != usual {
            fields.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(max_age_s) = cookie.max_age_s {
        fields.insert("max_age".to_owned(), duration_text(max_age_s * 1000).into());
    }
    for (key, is_on, usual) in [
        ("http_only", cookie.is_http_only, !cookie.path.is_empty()),
        ("secure", cookie.is_secure, false),
        ("partitioned", cookie.is_partitioned, false),
    ] {
        if is_on != usual {
            fields.insert(key.to_owned(), is_on.into());
        }
    }
    let same_site = SameSite::NAMES.into_iter().find(|(value, ..)| *value == cookie.same_site);
    if let Some((_, name, _)) = same_site.filter(|_| cookie.same_site != usual.same_site) {
        fields.insert("same_site".to_owned(), name.into());
    }
    Some(fields)
}

/// The cookie in JSON.
pub(super) fn json(cookie: &SessionCookie) -> Json {
    fields(cookie).map_or_else(|| cookie.name.as_str().into(), Json::Object)
}

/// The cookie in TOML.
pub(super) fn toml(cookie: &SessionCookie) -> String {
    let Some(fields) = fields(cookie) else { return quote(&cookie.name) };
    let one = |(key, value): (&String, &Json)| match value.as_str() {
        Some(text) => format!("{key} = {}", quote(text)),
        None => format!("{key} = {value}"),
    };
    format!("{{ {} }}", fields.iter().map(one).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Raw {
        Raw::Words(vec![text.to_owned()])
    }

    #[test]
    fn a_cookie_is_a_name_a_switch_or_a_table() {
        assert_eq!(parse(&words("true")), Ok(SessionCookie::named("io")));
        assert_eq!(parse(&words("false")), Ok(SessionCookie::default()));
        assert_eq!(parse(&words("node")), Ok(SessionCookie::named("node")));
        assert_eq!(parse(&words("{}")), Ok(SessionCookie::named("io")));
        let table = r#"{"name":"a","path":"/x","domain":"b.c","max_age":"2h","http_only":false,"secure":true,"partitioned":true,"same_site":"None"}"#;
        let cookie = SessionCookie {
            path: "/x".to_owned(),
            domain: "b.c".to_owned(),
            max_age_s: Some(7200),
            is_http_only: false,
            is_secure: true,
            is_partitioned: true,
            same_site: SameSite::None,
            ..SessionCookie::named("a")
        };
        assert_eq!(parse(&words(table)).as_ref(), Ok(&cookie));
        // As it is printed it is read again.
        for cookie in
            [cookie, SessionCookie { path: String::new(), is_http_only: false, ..SessionCookie::named("b") }]
        {
            assert_eq!(parse(&words(&json(&cookie).to_string())), Ok(cookie.clone()));
            assert!(toml(&cookie).contains("name = \""), "{}", toml(&cookie));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            (r#"{"nmae":"a"}"#, "unknown key nmae"),
            (r#"{"name":"a b"}"#, "name:"),
            (r#"{"name":""}"#, "name:"),
            (r#"{"path":"x"}"#, "path:"),
            (r#"{"path":"/;x"}"#, "path:"),
            (r#"{"domain":"a\r\nb"}"#, "domain:"),
            (r#"{"secure":"yes"}"#, "secure:"),
            (r#"{"max_age":"0s"}"#, "max_age:"),
            (r#"{"max_age":60}"#, "max_age:"),
            (r#"{"same_site":"some"}"#, "same_site:"),
            ("{", "not JSON"),
        ] {
            let why = parse(&words(text)).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        assert_eq!(parse(&words("a=b")), Err(String::new()));
    }
}
