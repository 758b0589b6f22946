//! Parses a YAML file: one document of plain mappings, lists and values.
//!
//! Invariant: a file cannot expand beyond its size. Aliases, merges (`<<`) and tags are refused with their lines, and
//! so is nesting deeper than any configuration needs. The type of a value without quotes is that of YAML 1.2
//! (<https://yaml.org/spec/1.2.2/>, 10.3), as in Centrifugo: `yes` and `on` are texts. A date is a type of its own,
//! which keys for texts refuse.

use super::super::Place;
use super::super::value::{Entry, Table, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Maximum depth of nested mappings and lists.
const DEPTH_MAX: usize = 32;

/// The file's table, or the line and text of an error; line 0 for the whole file. `place` converts a line to a place.
pub(super) fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Table, (usize, String)> {
    let mut builder = Builder { place, open: Vec::new(), root: None, document_count: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => return Err((error.marker().line(), format!("not valid YAML: {}", error.info()))),
        }
    }
    match builder.root {
        Some(Value::Table(table)) => Ok(table),
        None | Some(Value::Null) => Ok(Table::default()),
        Some(_) => Err((1, "not a mapping of keys".to_owned())),
    }
}

/// Open mappings and lists, the innermost last.
enum Open {
    List(Vec<Value>),
    /// A mapping, and the key of the next value with its line.
    Table(Table, Option<(String, usize)>),
}

struct Builder<'a> {
    place: &'a dyn Fn(usize) -> Place,
    open: Vec<Open>,
    root: Option<Value>,
    document_count: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), (usize, String)> {
        let line = span.start.line();
        let refuse =
            |what: &str, remedy: &str| Err((line, format!("{what} in YAML are not supported: {remedy}")));
        match event {
            Event::Alias(_) => return refuse("aliases (*name)", "write the value out"),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return refuse("tags (!name)", "write the value out");
            }
            Event::DocumentStart(_) => {
                self.document_count += 1;
                if self.document_count > 1 {
                    return refuse("several documents", "keep one");
                }
            }
            Event::Scalar(text, style, ..) => return self.scalar(&text, style, line),
            Event::SequenceStart(..) => self.begin(Open::List(Vec::new()), line)?,
            Event::MappingStart(..) => self.begin(Open::Table(Table::default(), None), line)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let value = match self.open.pop() {
                    Some(Open::List(items)) => Value::List(items),
                    Some(Open::Table(table, _)) => Value::Table(table),
                    None => return Ok(()),
                };
                self.put(value);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, open: Open, line: usize) -> Result<(), (usize, String)> {
        if let Some(Open::Table(_, None)) = self.open.last() {
            return Err((line, "expected a text as a key".to_owned()));
        }
        if self.open.len() == DEPTH_MAX {
            return Err((line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    /// Handles a value or a key.
    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize) -> Result<(), (usize, String)> {
        if let Some(Open::Table(table, key @ None)) = self.open.last_mut() {
            if text == "<<" && style == ScalarStyle::Plain {
                return Err((line, "merges (<<) in YAML are not supported: write the values out".to_owned()));
            }
            if table.find(text).is_some() {
                return Err((line, format!("`{text}` is given twice")));
            }
            *key = Some((text.to_owned(), line));
            return Ok(());
        }
        self.put(if style == ScalarStyle::Plain { plain(text) } else { Value::Text(text.to_owned()) });
        Ok(())
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Table(table, key)) => {
                if let Some((name, line)) = key.take() {
                    table.0.push(Entry { name, place: (self.place)(line), value });
                }
            }
        }
    }
}

/// The value of a text without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Switch(true),
        "false" | "False" | "FALSE" => return Value::Switch(false),
        _ => {}
    }
    if is_date(text) {
        return Value::Date(text.to_owned());
    }
    if !is_number(text) {
        return Value::Text(text.to_owned());
    }
    let digits = text.replace('_', "");
    let has_leading_zero = digits.trim_start_matches(['+', '-']).starts_with('0') && digits.len() > 1;
    match digits.parse() {
        // Some programs read a number with a leading zero as octal, others as decimal.
        Ok(number) if !has_leading_zero => Value::Integer(number),
        _ => Value::Fraction(text.to_owned()),
    }
}

/// Whether some program reads the text as a number: 10.3.2 of YAML 1.2, and older versions.
fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let of_base = |prefix: &str, is_digit: fn(u8) -> bool| {
        bare.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| is_digit(b) || b == b'_'))
    };
    let lower = bare.to_ascii_lowercase();
    let is_special = matches!(lower.as_str(), ".inf" | ".nan");
    let is_based = of_base("0x", |b| b.is_ascii_hexdigit())
        || of_base("0o", |b| b.is_ascii_digit())
        || of_base("0b", |b| b.is_ascii_digit());
    let (mantissa, exponent) = lower.split_once('e').map_or((lower.as_str(), None), |(m, e)| (m, Some(e)));
    let is_mantissa = mantissa.bytes().any(|b| b.is_ascii_digit())
        && mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'_')
        && mantissa.bytes().filter(|b| *b == b'.').count() <= 1
        && !mantissa.starts_with('_');
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    });
    is_special || is_based || is_mantissa && is_exponent
}

/// Whether the text begins with a date: `2026-11-30`, also with a time after it.
fn is_date(text: &str) -> bool {
    let (date, rest) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let parts: Vec<&str> = date.split('-').collect();
    let is_number = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let has_time =
        rest.is_empty() || rest.trim_start_matches(['T', 't', ' ']).starts_with(|c: char| c.is_ascii_digit());
    match parts[..] {
        [year, month, day] => {
            is_number(year, 4..=4) && is_number(month, 1..=2) && is_number(day, 1..=2) && has_time
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Table, (usize, String)> {
        super::parse(text, &|line| Place::File { path: "t".into(), line })
    }

    #[test]
    fn entries_know_their_lines() {
        let text = "# of a chart\nshards: 2\nclient:\n  allowed_origins:\n    - https://a\n    - 'b'\n  insecure: false\n\
                    channel: {namespaces: [{name: chat, history_ttl: 1h}]}\nempty:\n";
        let parsed = parse(text).unwrap();
        let seen: Vec<_> = parsed.0.iter().map(|entry| (entry.name.as_str(), entry.line())).collect();
        assert_eq!(seen, [("shards", 2), ("client", 3), ("channel", 8), ("empty", 9)]);
        assert_eq!(parsed.at("client.allowed_origins").unwrap().to_string(), "[\"https://a\", \"b\"]");
        assert_eq!(parsed.at("client.insecure"), Some(&Value::Switch(false)));
        assert_eq!(parsed.find("empty"), Some(&Value::Null));
        let Some(Value::List(namespaces)) = parsed.at("channel.namespaces") else { panic!("no list") };
        let Value::Table(chat) = &namespaces[0] else { panic!("no table") };
        assert_eq!(chat.find("history_ttl"), Some(&Value::Text("1h".into())));
    }

    #[test]
    fn values_without_quotes_are_what_they_look_like() {
        for (text, value) in [
            ("12", Value::Integer(12)),
            ("-3", Value::Integer(-3)),
            ("1_000", Value::Integer(1000)),
            ("0", Value::Integer(0)),
            ("true", Value::Switch(true)),
            ("null", Value::Null),
            ("~", Value::Null),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
        for text in ["0660", "0x1F", "0o17", "1.5", "1e3", ".inf", "-.5", "123456789012345678901"] {
            assert_eq!(plain(text), Value::Fraction(text.into()), "{text}");
        }
        for text in ["2026-11-30", "2026-11-30T10:00:00Z", "2026-1-3 10:00:00"] {
            assert_eq!(plain(text), Value::Date(text.into()), "{text}");
        }
        for text in [
            "yes",
            "on",
            "off",
            "30s",
            "1h30m",
            "1.2.3.4",
            "a",
            "e5",
            "-",
            "_1",
            "127.0.0.1:80",
            "2026-11",
            "0xg",
        ] {
            assert_eq!(plain(text), Value::Text(text.into()), "{text}");
        }
    }

    #[test]
    fn what_makes_a_file_larger_is_refused() {
        let bomb: String = std::iter::once("a: &a [x, x]\n".to_owned())
            .chain((b'b'..=b'i').map(|c| {
                let (name, before) = (c as char, (c - 1) as char);
                format!("{name}: &{name} [*{before}, *{before}]\n")
            }))
            .collect();
        for (text, line, said) in [
            (bomb.as_str(), 2, "aliases (*name) in YAML are not supported: write the value out"),
            (
                "a: &x {b: 1}\nc:\n  <<: *x\n",
                3,
                "merges (<<) in YAML are not supported: write the values out",
            ),
            ("a: !!str 5\n", 1, "tags (!name) in YAML are not supported: write the value out"),
            ("a: !include x\n", 1, "tags (!name) in YAML are not supported: write the value out"),
            ("a: 1\n---\nb: 2\n", 2, "several documents in YAML are not supported: keep one"),
            ("a: 1\na: 2\n", 2, "`a` is given twice"),
            ("? [a, b]\n: 1\n", 1, "expected a text as a key"),
            ("- a\n", 1, "not a mapping of keys"),
        ] {
            assert_eq!(parse(text), Err((line, said.to_owned())), "{text}");
        }
        for deep in
            ["- ".repeat(100_000), format!("a: {}", "[".repeat(200)), format!("a: {}", "{a: ".repeat(200))]
        {
            let (_, said) = parse(&deep).unwrap_err();
            assert!(
                said.starts_with("nested deeper than 32 levels") || said.starts_with("not valid"),
                "{said}"
            );
        }
        let (line, said) = parse("a: 1\nb: [\n").unwrap_err();
        assert!(line >= 2 && said.starts_with("not valid YAML: "), "{line} {said}");
        assert_eq!(parse("").unwrap(), Table::default());
    }
}
