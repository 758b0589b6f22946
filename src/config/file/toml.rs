//! Parses a TOML file.

use super::super::Place;
use super::super::value::{Entry, Table, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file's table, or the line and text of an error; line 0 for the whole file. `place` converts a line to a place.
pub(super) fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Table, (usize, String)> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
    match DeTable::parse(text) {
        Ok(parsed) => Ok(table(parsed.get_ref(), &|offset| place(line_of(offset)))),
        Err(error) => {
            let line = error.span().map_or(0, |span| line_of(span.start));
            Err((line, format!("not valid TOML: {}", error.message().trim().replace('\n', ", "))))
        }
    }
}

/// Converts a table. `place` converts an offset to a place.
fn table(parsed: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    let mut entries: Vec<_> = parsed.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let entry = |(name, parsed): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
        name: ToString::to_string(name.get_ref()),
        place: place(name.span().start),
        value: value(parsed.get_ref(), place),
    };
    Table(entries.into_iter().map(entry).collect())
}

fn value(parsed: &DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    match parsed {
        DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // Too large for any key, whose error then shows the allowed range.
            Err(_) => Value::Fraction(number.to_string()),
        },
        DeValue::Float(number) => Value::Fraction(number.to_string()),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| value(item.get_ref(), place)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Table, (usize, String)> {
        super::parse(text, &|line| Place::File { path: "t".into(), line })
    }

    fn line(entry: &Entry) -> usize {
        if let Place::File { line, .. } = entry.place { line } else { 0 }
    }

    #[test]
    fn entries_stand_in_their_order_and_know_their_lines() {
        let parsed =
            parse("b = 1\na = [2.5, 'x']\n\n[z]\ny = 0x10\n[[n]]\nname = 'q'\n[[n]]\nc = true\n").unwrap();
        let seen: Vec<_> = parsed.0.iter().map(|e| (e.name.as_str(), line(e))).collect();
        assert_eq!(seen[..3], [("b", 1), ("a", 2), ("z", 4)]);
        let Some(Value::Table(z)) = parsed.find("z") else { panic!("no table") };
        assert_eq!((line(&z.0[0]), &z.0[0].value), (5, &Value::Integer(16)));
        let Some(Value::List(n)) = parsed.find("n") else { panic!("no list") };
        let Value::Table(second) = &n[1] else { panic!("no table") };
        assert_eq!((line(&second.0[0]), &second.0[0].value), (9, &Value::Switch(true)));
        assert_eq!(parsed.find("a").unwrap().to_string(), "[2.5, \"x\"]");
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        for (text, line) in [("shards = 2\npin = \n", 2), ("shards = 2\nshards = 3\n", 2), ("a b", 1)] {
            let (at, said) = parse(text).unwrap_err();
            assert_eq!(at, line, "{said}");
            assert!(said.starts_with("not valid TOML: "), "{said}");
        }
    }
}
