//! A typed slot for a key's value: its range, how it is parsed, and how it is printed.
//!
//! Invariant: parsing and printing are inverse: a slot accepts the TOML that it prints (tested over all keys in
//! `show`), except for hidden secrets. Left out: rules between two keys (`conflicts`, `sections::rules`).

mod codes;
mod cookie;
mod copy;
mod duration;
mod form;
mod placeholder;
mod raw;
mod size;
mod socket_rules;

use super::LogFormat;
use super::error::shown_url;
use crate::base::networks::Networks;
use crate::hub::codes::CodeRule;
use crate::hub::options::{DataFormat, NamePattern};
use crate::net::Listen;
use crate::session::socketio::{Rule, SessionCookie};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use tracing_subscriber::EnvFilter;

pub(super) use codes::RuleKind;
pub use form::Form;
pub use placeholder::is_placeholder;
pub(super) use placeholder::{COMPLAINT as PLACEHOLDER, WARNING as WEAK_SECRET};
pub(super) use raw::Raw;

/// The slot of one key's value, with its type and its range.
#[derive(Debug)]
pub enum Slot<'a> {
    /// One or more listeners.
    Listens(&'a mut Vec<Listen>),
    /// A list of networks, possibly empty.
    Networks(&'a mut Networks),
    /// Permissions of a file, in octal.
    Mode(&'a mut u32),
    /// An address, or `"off"`.
    AddressOrOff(&'a mut Option<SocketAddr>),
    /// A whole number.
    Count(&'a mut usize, RangeInclusive<u64>),
    /// A rate per second; 0 for no limit.
    Rate(&'a mut u32),
    /// A size in bytes; a unit is allowed.
    Bytes(&'a mut usize, RangeInclusive<u64>),
    /// A number of milliseconds.
    Milliseconds(&'a mut u64, RangeInclusive<u64>),
    /// A duration with a unit, such as `30s`, in milliseconds.
    Duration(&'a mut u64, RangeInclusive<u64>),
    /// Seconds since 1970; 0 for no time.
    Time(&'a mut u64),
    /// True or false.
    Switch(&'a mut bool),
    /// The path of an endpoint, or `"off"`.
    PathOrOff(&'a mut Option<String>),
    /// A text of a certain form.
    Text(&'a mut String, Form),
    /// Paths of files.
    Files(&'a mut Vec<String>),
    /// The cookie of a Socket.IO session: its name, `true` for `io`, empty or `false` for none, or a table.
    Cookie(&'a mut SessionCookie),
    /// Several texts.
    Texts(&'a mut Vec<String>),
    /// A regular expression, or empty.
    Pattern(&'a mut NamePattern),
    /// A secret text.
    Secret(&'a mut String),
    /// Several secret texts.
    Secrets(&'a mut Vec<String>),
    /// Names and values of headers.
    Headers(&'a mut Vec<(String, String)>),
    /// One of two words: the first for false, the second for true.
    Either(&'a mut bool, [&'static str; 2]),
    /// Whether a list contains a word.
    Listed(&'a mut bool, &'static str),
    /// The name of a hook; empty for the unnamed one, which is written as `default`.
    HookName(&'a mut String),
    /// The format of publications.
    DataFormat(&'a mut DataFormat),
    /// Rules for codes.
    Rules(&'a mut Vec<CodeRule>, RuleKind),
    /// Rules for events of Socket.IO.
    SocketRules(&'a mut Vec<Rule>),
    /// A log level or directives.
    Filter(&'a mut String),
    /// Text or JSON.
    Format(&'a mut LogFormat),
}

/// The milliseconds of a duration such as `30s` or `1h30m`; `None` if it is invalid.
pub fn duration_ms(text: &str) -> Option<u64> {
    duration::parse(text)
}

/// A duration in readable form: `1h30m`.
pub fn duration_text(ms: u64) -> String {
    duration::text(ms)
}

/// The mark for a hidden secret.
pub(super) const HIDDEN: &str = "…";
const OFF: &str = "off";
/// The name of the unnamed hook.
const DEFAULT_HOOK: &str = "default";

impl Slot<'_> {
    /// Sets the value if it is allowed; returns whether it was.
    pub(super) fn set(self, raw: &Raw) -> bool {
        match self {
            Self::Listens(slot) => raw.listens().map(|v| *slot = v),
            Self::Networks(slot) => raw.networks().map(|v| *slot = v),
            Self::Mode(slot) => raw.word().and_then(mode).map(|v| *slot = v),
            Self::AddressOrOff(slot) => or_off(raw, |word| word.parse().ok()).map(|v| *slot = v),
            Self::Count(slot, range) => raw.number().and_then(|n| in_range(n, &range)).map(|v| *slot = v),
            Self::Rate(slot) => raw.number().and_then(|n| n.try_into().ok()).map(|v| *slot = v),
            Self::Bytes(slot, range) => raw.bytes().and_then(|n| in_range(n, &range)).map(|v| *slot = v),
            Self::Milliseconds(slot, range) => raw.number().filter(|n| range.contains(n)).map(|v| *slot = v),
            Self::Duration(slot, range) => raw.duration_ms().filter(|n| range.contains(n)).map(|v| *slot = v),
            Self::Time(slot) => raw.number().map(|v| *slot = v),
            Self::Switch(slot) => raw.switch().map(|v| *slot = v),
            Self::PathOrOff(slot) => or_off(raw, form::as_path).map(|v| *slot = v),
            Self::Text(slot, Form::Path) => raw.word().and_then(form::as_path).map(|v| *slot = v),
            Self::Text(slot, form) => raw.word().filter(|word| form.takes(word)).map(|v| v.clone_into(slot)),
            Self::Cookie(slot) => cookie::parse(raw).ok().map(|v| *slot = v),
            Self::Texts(slot) => raw.list().filter(|v| v.iter().all(|w| !w.is_empty())).map(|v| *slot = v),
            Self::Files(slot) => raw.words().filter(|v| v.iter().all(|w| !w.is_empty())).map(|v| *slot = v),
            Self::Pattern(slot) => raw.word().and_then(|word| NamePattern::new(word).ok()).map(|v| *slot = v),
            Self::Secret(slot) => raw.word().filter(|word| *word != HIDDEN).map(|v| v.clone_into(slot)),
            Self::Secrets(slot) => secrets(raw).map(|v| *slot = v),
            Self::Headers(slot) => {
                raw.headers().filter(|v| v.iter().all(|(_, text)| text != HIDDEN)).map(|v| *slot = v)
            }
            Self::Either(slot, words) => either(raw.word(), words).map(|v| *slot = v),
            Self::Listed(slot, word) => {
                raw.list().filter(|v| v.iter().all(|w| w == word)).map(|v| *slot = !v.is_empty())
            }
            Self::HookName(slot) => raw.word().map(|word| {
                *slot = if word == DEFAULT_HOOK { String::new() } else { word.to_owned() };
            }),
            Self::DataFormat(slot) => raw.word().and_then(data_format).map(|v| *slot = v),
            Self::Rules(slot, kind) => codes::parse(raw, kind).map(|v| *slot = v),
            Self::SocketRules(slot) => socket_rules::parse(raw).ok().map(|v| *slot = v),
            Self::Filter(slot) => raw.word().and_then(filter).map(|v| *slot = v),
            Self::Format(slot) => raw.word().and_then(format).map(|v| *slot = v),
        }
        .is_some()
    }

    /// Sets the text or the headers without a check: the value with its variables inserted has been checked.
    pub(super) fn keep(self, raw: &Raw) {
        match (self, raw.word()) {
            (Self::Text(slot, _), Some(word)) => word.clone_into(slot),
            (other, _) => {
                other.set(raw);
            }
        }
    }

    /// The reason why a value is refused, if it says more than the allowed values do.
    pub(super) fn reason(&self, raw: &Raw) -> Option<String> {
        if let Self::SocketRules(_) = self {
            return socket_rules::parse(raw).err();
        }
        if let Self::Cookie(_) = self {
            return cookie::parse(raw).err().filter(|why| !why.is_empty());
        }
        let word = raw.word().filter(|_| matches!(self, Self::Pattern(_)))?;
        NamePattern::new(word).err()
    }

    /// The allowed values, for an error message and for the manual.
    pub fn expected(&self) -> String {
        let fixed = match self {
            Self::Count(_, range) => {
                return format!("a whole number from {} to {}", range.start(), range.end());
            }
            Self::Rate(_) => return format!("a whole number from 0 to {}", u32::MAX),
            Self::Bytes(_, range) => {
                let (from, to) = (size::text(*range.start()), size::text(*range.end()));
                return format!("bytes, such as 65536 or \"64KiB\", from {from} to {to}");
            }
            Self::Milliseconds(_, range) => {
                return format!("milliseconds, a whole number from {} to {}", range.start(), range.end());
            }
            Self::Duration(_, range) => {
                let (from, to) = (duration::text(*range.start()), duration::text(*range.end()));
                return format!("a duration, such as \"30s\" or \"1h30m\", from {from} to {to}");
            }
            Self::Either(_, [without, with]) => return format!("{} or {}", quote(without), quote(with)),
            Self::Listed(_, word) => return format!("[] or [{}]", quote(word)),
            Self::Text(_, form) => form.expected(),
            Self::HookName(_) => "\"default\" or the name of one of proxies",
            Self::DataFormat(_) => "\"\", \"json\", \"json_object\" or \"binary\"",
            Self::Rules(_, kind) => kind.expected(),
            Self::SocketRules(_) => socket_rules::EXPECTED,
            Self::Listens(_) => {
                "IP addresses with their ports, such as 127.0.0.1:8000 or [::1]:8000, and paths, such as \
                 unix:/run/throng/throng.sock"
            }
            Self::Networks(_) => "a list of networks and IP addresses, such as 10.0.0.0/8 or ::1",
            Self::Mode(_) => "permissions in octal, such as \"0660\"",
            Self::AddressOrOff(_) => "an IP address with its port, such as 127.0.0.1:9000, or off",
            Self::Time(_) => "seconds since 1970, or 0 for no end",
            Self::Switch(_) => "true or false",
            Self::PathOrOff(_) => "a path that starts with / and has no ?, # or blank, or off",
            Self::Cookie(_) => cookie::EXPECTED,
            Self::Files(_) => "paths of files",
            Self::Texts(_) => "a list of texts",
            Self::Pattern(_) => "a regular expression",
            Self::Secret(_) => "a text (not …, which stands for one that is not shown)",
            Self::Secrets(_) => {
                "a text or a list of texts, none of them empty (not …, which stands for one that is not shown)"
            }
            Self::Headers(_) => {
                "a table of texts, or a list of tables with key and value (not …, which stands for one that is not shown)"
            }
            Self::Filter(_) => {
                "error, warn, info, debug, trace, off, or directives such as info,throng::shard=debug"
            }
            Self::Format(_) => "text or json",
        };
        fixed.to_owned()
    }

    /// The value in TOML; secrets are hidden unless `shows_secrets`.
    pub fn toml(&self, shows_secrets: bool) -> String {
        match self {
            Self::Listens(v) => list(v.iter().map(ToString::to_string)),
            Self::Networks(v) => list(v.texts()),
            Self::Mode(v) => quote(&format!("{v:04o}")),
            Self::AddressOrOff(v) => quote(&v.map_or_else(|| OFF.to_owned(), |a| a.to_string())),
            Self::Count(v, _) => v.to_string(),
            Self::Rate(v) => v.to_string(),
            Self::Bytes(v, _) if **v < 1024 || **v % 1024 != 0 => v.to_string(),
            Self::Bytes(v, _) => quote(&size::text(**v as u64)),
            Self::Milliseconds(v, _) | Self::Time(v) => v.to_string(),
            Self::Duration(v, _) => quote(&duration::text(**v)),
            Self::Switch(v) => v.to_string(),
            Self::PathOrOff(v) => quote(v.as_deref().unwrap_or(OFF)),
            Self::HookName(v) => quote(hook_name(v)),
            Self::DataFormat(v) => quote(data_format_word(**v)),
            Self::Rules(v, kind) => codes::toml(v, *kind),
            Self::SocketRules(v) => socket_rules::toml(v),
            Self::Text(v, form) if form.is_url() => quote(&shown_address(v, shows_secrets)),
            Self::Filter(v) | Self::Text(v, _) => quote(v),
            Self::Cookie(v) => cookie::toml(v),
            Self::Texts(v) | Self::Files(v) => list(v.iter().cloned()),
            Self::Pattern(v) => quote(v.as_str()),
            Self::Secret(v) => quote(shown(v, shows_secrets)),
            Self::Secrets(v) => match v.as_slice() {
                [one] => quote(shown(one, shows_secrets)),
                several => list(several.iter().map(|v| shown(v, shows_secrets).to_owned())),
            },
            Self::Headers(v) => {
                let pair = |(name, text): &(String, String)| {
                    format!("{} = {}", quote(name), quote(shown(text, shows_secrets)))
                };
                let pairs: Vec<_> = v.iter().map(pair).collect();
                if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
            }
            Self::Either(v, words) => quote(words[usize::from(**v)]),
            Self::Listed(v, word) => list(v.then(|| (*word).to_owned()).into_iter()),
            Self::Format(LogFormat::Text) => quote("text"),
            Self::Format(LogFormat::Json) => quote("json"),
        }
    }

    /// The value in JSON: sizes are numbers of bytes, "off" is `null`; secrets are hidden unless `shows_secrets`.
    pub fn json(&self, shows_secrets: bool) -> serde_json::Value {
        match self {
            Self::Listens(v) => v.iter().map(ToString::to_string).collect(),
            Self::Networks(v) => v.texts().collect(),
            Self::Mode(v) => format!("{v:04o}").into(),
            Self::AddressOrOff(v) => v.map(|a| a.to_string()).into(),
            Self::Count(v, _) | Self::Bytes(v, _) => (**v).into(),
            Self::Rate(v) => (**v).into(),
            Self::Milliseconds(v, _) | Self::Time(v) => (**v).into(),
            Self::Duration(v, _) => duration::text(**v).into(),
            Self::Switch(v) => (**v).into(),
            Self::PathOrOff(v) => v.as_deref().into(),
            Self::HookName(v) => hook_name(v).into(),
            Self::DataFormat(v) => data_format_word(**v).into(),
            Self::Rules(v, kind) => codes::json(v, *kind),
            Self::SocketRules(v) => socket_rules::json(v),
            Self::Text(v, form) if form.is_url() => shown_address(v, shows_secrets).into(),
            Self::Filter(v) | Self::Text(v, _) => v.as_str().into(),
            Self::Cookie(v) => cookie::json(v),
            Self::Texts(v) | Self::Files(v) => v.as_slice().into(),
            Self::Pattern(v) => v.as_str().into(),
            Self::Secret(v) => shown(v, shows_secrets).into(),
            Self::Secrets(v) => v.iter().map(|v| shown(v, shows_secrets)).collect(),
            Self::Headers(v) => v
                .iter()
                .map(|(name, text)| (name.clone(), shown(text, shows_secrets).into()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Self::Either(v, words) => words[usize::from(**v)].into(),
            Self::Listed(v, word) => v.then_some(*word).into_iter().collect(),
            Self::Format(LogFormat::Text) => "text".into(),
            Self::Format(LogFormat::Json) => "json".into(),
        }
    }

    /// Whether the key's flag may be given without a value.
    pub(super) fn is_switch(&self) -> bool {
        matches!(self, Self::Switch(_))
    }

    /// Whether the value is written in quotes in a file.
    pub(super) fn is_text(&self) -> bool {
        !matches!(
            self,
            Self::Count(..)
                | Self::Rate(_)
                | Self::Bytes(..)
                | Self::Milliseconds(..)
                | Self::Duration(..)
                | Self::Time(_)
                | Self::Switch(_)
        )
    }

    /// Whether the key's flag may be repeated.
    pub(super) fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Listens(_) | Self::Networks(_) | Self::Files(_) | Self::Texts(_) | Self::Secrets(_)
        )
    }

    /// The address of the value.
    #[cfg(test)]
    pub(super) fn address(self) -> usize {
        match self {
            Self::Listens(v) => std::ptr::from_mut(v).addr(),
            Self::Networks(v) => std::ptr::from_mut(v).addr(),
            Self::Mode(v) => std::ptr::from_mut(v).addr(),
            Self::AddressOrOff(v) => std::ptr::from_mut(v).addr(),
            Self::Count(v, _) | Self::Bytes(v, _) => std::ptr::from_mut(v).addr(),
            Self::Rate(v) => std::ptr::from_mut(v).addr(),
            Self::Milliseconds(v, _) | Self::Duration(v, _) | Self::Time(v) => std::ptr::from_mut(v).addr(),
            Self::Switch(v) | Self::Either(v, _) | Self::Listed(v, _) => std::ptr::from_mut(v).addr(),
            Self::Cookie(v) => std::ptr::from_mut(v).addr(),
            Self::Filter(v) | Self::Text(v, _) | Self::Secret(v) | Self::HookName(v) => {
                std::ptr::from_mut(v).addr()
            }
            Self::DataFormat(v) => std::ptr::from_mut(v).addr(),
            Self::Rules(v, _) => std::ptr::from_mut(v).addr(),
            Self::SocketRules(v) => std::ptr::from_mut(v).addr(),
            Self::Pattern(v) => std::ptr::from_mut(v).addr(),
            Self::Texts(v) | Self::Files(v) | Self::Secrets(v) => std::ptr::from_mut(v).addr(),
            Self::Headers(v) => std::ptr::from_mut(v).addr(),
            Self::PathOrOff(v) => std::ptr::from_mut(v).addr(),
            Self::Format(v) => std::ptr::from_mut(v).addr(),
        }
    }

    /// Whether messages must not show the value.
    pub(super) fn is_secret(&self) -> bool {
        // Headers may contain keys of the application.
        matches!(self, Self::Secret(_) | Self::Secrets(_) | Self::Headers(_))
    }
}

/// All formats with their words.
const DATA_FORMATS: [(&str, DataFormat); 4] = [
    ("", DataFormat::Any),
    ("json", DataFormat::Json),
    ("json_object", DataFormat::JsonObject),
    ("binary", DataFormat::Binary),
];

fn data_format(word: &str) -> Option<DataFormat> {
    DATA_FORMATS.into_iter().find(|(name, _)| *name == word).map(|(_, format)| format)
}

fn data_format_word(format: DataFormat) -> &'static str {
    DATA_FORMATS.into_iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name)
}

fn hook_name(name: &str) -> &str {
    if name.is_empty() { DEFAULT_HOOK } else { name }
}

fn in_range(n: u64, range: &RangeInclusive<u64>) -> Option<usize> {
    range.contains(&n).then(|| usize::try_from(n).ok()).flatten()
}

fn or_off<T>(raw: &Raw, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match raw.word() {
        None if raw.is_null() => Some(None),
        None => None,
        Some(OFF) => Some(None),
        Some(word) => read(word).map(Some),
    }
}

/// Parses secrets. At a prompt there is only one: a secret may contain a comma.
fn secrets(raw: &Raw) -> Option<Vec<String>> {
    let list = match raw {
        Raw::Words(words) => words.clone(),
        Raw::Value(_) => raw.words()?,
    };
    // An empty text means no secret, so that a file can set none.
    let list: Vec<_> = if list == [""] { Vec::new() } else { list };
    list.iter().all(|word| !word.is_empty() && word != HIDDEN).then_some(list)
}

fn either(word: Option<&str>, [without, with]: [&str; 2]) -> Option<bool> {
    match word? {
        "" => Some(false),
        word if word == without => Some(false),
        word if word == with => Some(true),
        _ => None,
    }
}

fn filter(word: &str) -> Option<String> {
    // The filter alone would accept any word as the name of a module, even `inof`.
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known =
        |part: &str| part.contains(['=', '[', ':']) || LEVELS.contains(&part.to_ascii_lowercase().as_str());
    (word.split(',').all(known) && EnvFilter::try_new(word).is_ok()).then(|| word.to_owned())
}

fn format(word: &str) -> Option<LogFormat> {
    match word {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// Permissions as `chmod(1)` takes them, without its special bits.
fn mode(word: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&word.len()) && word.bytes().all(|b| (b'0'..=b'7').contains(&b));
    is_octal.then(|| u32::from_str_radix(word, 8).ok()).flatten().filter(|mode| *mode <= 0o777)
}

/// A URL, without its user, password and query unless `shows_secrets`: a query may contain a key.
fn shown_address(url: &str, shows_secrets: bool) -> String {
    if shows_secrets { url.to_owned() } else { shown_url(url) }
}

fn shown(secret: &str, shows_secrets: bool) -> &str {
    if shows_secrets || secret.is_empty() { secret } else { HIDDEN }
}

/// A text in TOML.
pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    let quoted: Vec<_> = items.map(|item| quote(&item)).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::*;

    fn words(text: &str) -> Raw {
        Raw::Words(vec![text.to_owned()])
    }

    fn text(text: &str) -> Raw {
        Raw::Value(Value::Text(text.to_owned()))
    }

    #[test]
    fn a_range_includes_its_ends() {
        let mut n = 7;
        for (text, taken) in [("4", true), ("9", true), ("3", false), ("10", false), ("five", false)] {
            assert_eq!(Slot::Count(&mut n, 4..=9).set(&words(text)), taken, "{text}");
        }
        assert_eq!(n, 9, "a refused value changes nothing");
    }

    #[test]
    fn a_file_keeps_types_apart() {
        let (mut on, mut ms) = (true, 1);
        assert!(!Slot::Switch(&mut on).set(&text("no")));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&text("+5")));
        assert!(!Slot::Switch(&mut on).set(&Raw::Value(Value::Integer(2))));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Value(Value::Integer(-5))));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Value(Value::Fraction("5.0".into()))));
        assert!(!Slot::Duration(&mut ms, 0..=10_000).set(&Raw::Value(Value::Integer(5))));
        assert!(Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Value(Value::Integer(5))));
        assert_eq!((on, ms), (true, 5));
        assert!(Slot::Duration(&mut ms, 0..=10_000).set(&text("10s")));
        assert_eq!(ms, 10_000);
    }

    #[test]
    fn numbers_and_switches_may_be_texts() {
        let (mut on, mut count) = (false, 0);
        for (value, wanted) in [
            (Value::Text("true".into()), true),
            (Value::Text("0".into()), false),
            (Value::Integer(1), true),
            (Value::Text("F".into()), false),
            (Value::Text("1".into()), true),
            (Value::Integer(0), false),
        ] {
            assert!(Slot::Switch(&mut on).set(&Raw::Value(value.clone())), "{value:?}");
            assert_eq!(on, wanted, "{value:?}");
        }
        assert!(Slot::Count(&mut count, 0..=10).set(&text("10")));
        assert_eq!(count, 10);
        let mut bytes = 0;
        assert!(Slot::Bytes(&mut bytes, 0..=100).set(&text("64")));
        assert_eq!(bytes, 64);
    }

    #[test]
    fn headers_are_a_table_or_a_list_of_pairs() {
        let place = super::super::Place::Default;
        let table = |pairs: &[(&str, &str)]| {
            let mut table = super::super::value::Table::default();
            pairs.iter().for_each(|(name, text)| table.put(name, &place, Value::Text((*text).into())));
            Value::Table(table)
        };
        let pair = |name, value| table(&[("key", name), ("value", value)]);
        let mut headers = Vec::new();
        assert!(
            Slot::Headers(&mut headers).set(&Raw::Value(Value::List(vec![pair("A", "1"), pair("b", "2")])))
        );
        assert_eq!(headers, [("A".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert!(Slot::Headers(&mut headers).set(&Raw::Value(table(&[("A", "3")]))));
        for wrong in [
            Value::List(vec![pair("A", "1"), pair("A", "2")]),
            Value::List(vec![table(&[("key", "A")])]),
            Value::List(vec![table(&[("key", "A"), ("value", "1"), ("more", "x")])]),
            Value::List(vec![Value::Text("A: 1".into())]),
        ] {
            assert!(!Slot::Headers(&mut headers).set(&Raw::Value(wrong.clone())), "{wrong:?}");
        }
        assert_eq!(headers, [("A".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn what_is_off_is_none() {
        let mut path = Some(String::new());
        for (raw, taken) in
            [(words("off"), true), (text("off"), true), (Raw::Value(Value::Null), true), (text("a"), false)]
        {
            assert_eq!(Slot::PathOrOff(&mut path).set(&raw), taken, "{raw:?}");
            assert_eq!(path, None);
        }
    }

    #[test]
    fn a_hidden_secret_is_not_taken_for_one() {
        let (mut one, mut several) = (String::new(), Vec::new());
        assert!(!Slot::Secret(&mut one).set(&text("…")));
        assert!(!Slot::Secrets(&mut several).set(&text("…")));
        assert!(Slot::Secret(&mut one).set(&text("s,t")));
        assert!(Slot::Secrets(&mut several).set(&words("s,t")));
        assert_eq!((one.as_str(), several.as_slice()), ("s,t", &["s,t".to_owned()][..]));
        assert_eq!(Slot::Secret(&mut one).toml(false), "\"…\"");
        assert_eq!(Slot::Secret(&mut one).toml(true), "\"s,t\"");
        assert_eq!(Slot::Secrets(&mut several).json(false).to_string(), "[\"…\"]");
        assert!(Slot::Secrets(&mut several).set(&text("")));
        assert_eq!(several.len(), 0);
    }

    #[test]
    fn words_stand_for_switches() {
        let mut on = false;
        for (word, taken, is_on) in
            [("cache", true, true), ("cash", false, true), ("", true, false), ("stream", true, false)]
        {
            let is_taken = Slot::Either(&mut on, ["stream", "cache"]).set(&text(word));
            assert_eq!((is_taken, on), (taken, is_on), "{word}");
        }
        let list = |words: &[&str]| {
            Raw::Value(Value::List(words.iter().map(|w| Value::Text((*w).to_owned())).collect()))
        };
        assert!(Slot::Listed(&mut on, "fossil").set(&list(&["fossil"])) && on);
        assert!(!Slot::Listed(&mut on, "fossil").set(&list(&["fossil", "vcdiff"])));
        assert!(Slot::Listed(&mut on, "fossil").set(&list(&[])) && !on);
    }

    #[test]
    fn a_filter_with_a_misspelt_level_is_refused() {
        for (text, taken) in [
            ("info", true),
            ("WARN", true),
            ("off", true),
            ("info,throng::shard=debug", true),
            ("throng::net=trace", true),
            ("inof", false),
            ("throng::net=loud", false),
            ("", false),
        ] {
            assert_eq!(filter(text).is_some(), taken, "{text:?}");
        }
    }
}
