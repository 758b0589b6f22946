//! A typed place in a [`Config`](super::Config): what a key's value may be, how it is read, how it is written out.
//!
//! Reading and writing are inverse: what a slot prints as TOML, it accepts again (tested over all keys in
//! `show`). No rule about two keys stands here; those are in `resolve`.

use super::LogFormat;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use tracing_subscriber::EnvFilter;

/// A value as it was typed, not yet understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// From a flag (one per repetition) or a variable.
    Words(Vec<String>),
    /// From a file.
    Toml(toml::Value),
}

/// The place of one key's value, with its type and its range.
#[derive(Debug)]
pub enum Slot<'a> {
    /// One or more addresses.
    Addresses(&'a mut Vec<SocketAddr>),
    /// An address, or `"off"`.
    AddressOrOff(&'a mut Option<SocketAddr>),
    /// A whole number.
    Count(&'a mut usize, RangeInclusive<u64>),
    /// A number of bytes, also with a unit.
    Bytes(&'a mut usize, RangeInclusive<u64>),
    /// A number of milliseconds.
    Milliseconds(&'a mut u64, RangeInclusive<u64>),
    /// True or false.
    Switch(&'a mut bool),
    /// The path of an endpoint, or `"off"`.
    PathOrOff(&'a mut Option<String>),
    /// A log level or directives.
    Filter(&'a mut String),
    /// Text or JSON.
    Format(&'a mut LogFormat),
}

const OFF: &str = "off";

impl Slot<'_> {
    /// Takes the value if it is allowed; says whether it was.
    pub(super) fn set(self, raw: &Raw) -> bool {
        match self {
            Self::Addresses(slot) => raw.addresses().map(|v| *slot = v),
            Self::AddressOrOff(slot) => raw.word().and_then(address_or_off).map(|v| *slot = v),
            Self::Count(slot, range) => raw.number().and_then(|n| in_range(n, &range)).map(|v| *slot = v),
            Self::Bytes(slot, range) => raw.bytes().and_then(|n| in_range(n, &range)).map(|v| *slot = v),
            Self::Milliseconds(slot, range) => raw.number().filter(|n| range.contains(n)).map(|v| *slot = v),
            Self::Switch(slot) => raw.switch().map(|v| *slot = v),
            Self::PathOrOff(slot) => raw.word().and_then(path_or_off).map(|v| *slot = v),
            Self::Filter(slot) => raw.word().and_then(filter).map(|v| *slot = v),
            Self::Format(slot) => raw.word().and_then(format).map(|v| *slot = v),
        }
        .is_some()
    }

    /// What is allowed here, for an error message and for the manual.
    pub fn expected(&self) -> String {
        match self {
            Self::Addresses(_) => {
                "IP addresses with their ports, such as 127.0.0.1:8000 or [::1]:8000".to_owned()
            }
            Self::AddressOrOff(_) => "an IP address with its port, such as 127.0.0.1:9000, or off".to_owned(),
            Self::Count(_, range) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::Bytes(_, range) => {
                format!(
                    "bytes, such as 65536 or \"64KiB\", from {} to {}",
                    size(*range.start()),
                    size(*range.end())
                )
            }
            Self::Milliseconds(_, range) => {
                format!("milliseconds, a whole number from {} to {}", range.start(), range.end())
            }
            Self::Switch(_) => "true or false".to_owned(),
            Self::PathOrOff(_) => "a path that starts with / and has no ?, # or blank, or off".to_owned(),
            Self::Filter(_) => {
                "error, warn, info, debug, trace, off, or directives such as info,throng::shard=debug"
                    .to_owned()
            }
            Self::Format(_) => "text or json".to_owned(),
        }
    }

    /// The value in TOML.
    pub fn toml(&self) -> String {
        match self {
            Self::Addresses(v) => {
                let quoted: Vec<_> = v.iter().map(|a| format!("\"{a}\"")).collect();
                format!("[{}]", quoted.join(", "))
            }
            Self::AddressOrOff(v) => quote(&v.map_or_else(|| OFF.to_owned(), |a| a.to_string())),
            Self::Count(v, _) => v.to_string(),
            Self::Bytes(v, _) if **v < 1024 || **v % 1024 != 0 => v.to_string(),
            Self::Bytes(v, _) => quote(&size(**v as u64)),
            Self::Milliseconds(v, _) => v.to_string(),
            Self::Switch(v) => v.to_string(),
            Self::PathOrOff(v) => quote(v.as_deref().unwrap_or(OFF)),
            Self::Filter(v) => quote(v),
            Self::Format(LogFormat::Text) => quote("text"),
            Self::Format(LogFormat::Json) => quote("json"),
        }
    }

    /// The value in JSON: sizes are numbers of bytes, what is off is `null`.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Addresses(v) => v.iter().map(ToString::to_string).collect(),
            Self::AddressOrOff(v) => v.map(|a| a.to_string()).into(),
            Self::Count(v, _) | Self::Bytes(v, _) => (**v).into(),
            Self::Milliseconds(v, _) => (**v).into(),
            Self::Switch(v) => (**v).into(),
            Self::PathOrOff(v) => v.as_deref().into(),
            Self::Filter(v) => v.as_str().into(),
            Self::Format(LogFormat::Text) => "text".into(),
            Self::Format(LogFormat::Json) => "json".into(),
        }
    }

    /// True for a key whose flag may stand without a value.
    pub(super) fn is_switch(&self) -> bool {
        matches!(self, Self::Switch(_))
    }

    /// True for a key whose flag may be repeated.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Addresses(_))
    }
}

impl Raw {
    /// As it was typed, for an error message.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Words(words) => words.join(","),
            Self::Toml(value) => value.to_string(),
        }
    }

    fn word(&self) -> Option<&str> {
        match self {
            Self::Words(words) => words.last().map(|w| w.trim()),
            Self::Toml(value) => value.as_str(),
        }
    }

    fn addresses(&self) -> Option<Vec<SocketAddr>> {
        let parse = |word: &str| word.trim().parse().ok();
        let list: Vec<_> = match self {
            Self::Words(words) => {
                words.iter().flat_map(|w| w.split(',')).map(parse).collect::<Option<_>>()?
            }
            Self::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| item.as_str().and_then(parse)).collect::<Option<_>>()?
            }
            Self::Toml(value) => vec![parse(value.as_str()?)?],
        };
        (!list.is_empty()).then_some(list)
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Words(_) => self.word().and_then(digits),
            Self::Toml(value) => value.as_integer()?.try_into().ok(),
        }
    }

    fn bytes(&self) -> Option<u64> {
        self.number().or_else(|| self.word().and_then(parse_size))
    }

    fn switch(&self) -> Option<bool> {
        match self {
            Self::Words(_) => self.word()?.parse().ok(),
            Self::Toml(value) => value.as_bool(),
        }
    }
}

/// Digits and nothing else: `u64::from_str` would let a sign pass.
fn digits(word: &str) -> Option<u64> {
    word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

fn in_range(n: u64, range: &RangeInclusive<u64>) -> Option<usize> {
    range.contains(&n).then(|| usize::try_from(n).ok()).flatten()
}

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `64KiB` or `64 KiB`. Units of 1000 are not taken: too many people write KB and mean KiB.
fn parse_size(word: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((word.strip_suffix(name)?, *unit)))?;
    digits(number.trim_end())?.checked_mul(unit)
}

/// A number of bytes with the largest unit that divides it; the exact inverse of what a key accepts.
pub(super) fn size(bytes: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn address_or_off(word: &str) -> Option<Option<SocketAddr>> {
    if word == OFF { Some(None) } else { word.parse().ok().map(Some) }
}

fn path(word: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\');
    (word.starts_with('/') && word.bytes().all(plain)).then(|| word.to_owned())
}

fn path_or_off(word: &str) -> Option<Option<String>> {
    if word == OFF { Some(None) } else { path(word).map(Some) }
}

fn filter(word: &str) -> Option<String> {
    // The filter alone would take any word for the name of a module, `inof` too.
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

fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Raw {
        Raw::Words(vec![text.to_owned()])
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("64 KiB", Some(65_536)),
            ("16MiB", Some(16 << 20)),
            ("2GiB", Some(2 << 30)),
            ("12B", Some(12)),
            ("64KB", None),
            ("+1", None),
            ("-1", None),
            ("1.5MiB", None),
            ("KiB", None),
            ("", None),
            ("99999999999999999GiB", None),
        ] {
            assert_eq!(words(text).bytes(), bytes, "{text:?}");
        }
    }

    #[test]
    fn a_printed_size_is_read_as_the_same_number() {
        for bytes in [0, 1, 1023, 1024, 1025, 65_536, 3 << 20, (1 << 30) + 1024, 5 << 30, 3 << 40] {
            assert_eq!(parse_size(&size(bytes)), Some(bytes), "{}", size(bytes));
        }
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
        let text = |t: &str| Raw::Toml(toml::Value::from(t));
        assert!(!Slot::Switch(&mut on).set(&text("false")));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&text("5")));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Toml(toml::Value::Integer(-5))));
        assert!(!Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Toml(toml::Value::Float(5.0))));
        assert!(Slot::Milliseconds(&mut ms, 0..=10).set(&Raw::Toml(toml::Value::Integer(5))));
        assert_eq!((on, ms), (true, 5));
    }

    #[test]
    fn a_path_is_plain() {
        for (text, taken) in
            [("/", true), ("/a/b", true), ("a", false), ("", false), ("/a?b", false), ("/a b", false)]
        {
            assert_eq!(path(text).is_some(), taken, "{text:?}");
        }
        assert_eq!(path_or_off("off"), Some(None));
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
