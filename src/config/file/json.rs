//! Parses a JSON file.
//!
//! serde_json does not report the position of a value. It reads byte by byte, however, and never beyond the quote
//! that ends a key: the line breaks read so far give the key's line.

use super::super::Place;
use super::super::value::{Entry, Table, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

/// The file's table, or the line and text of an error. `place` converts a line to a place.
pub(super) fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Table, (usize, String)> {
    if let Value::Table(table) = value(text, place)? {
        Ok(table)
    } else {
        Err((1, "not an object".to_owned()))
    }
}

/// Parses any JSON value, like [`parse`].
pub(in super::super) fn value(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Value, (usize, String)> {
    let line = Cell::new(1);
    let mut deserializer =
        serde_json::Deserializer::from_reader(Counting { rest: text.as_bytes(), line: &line });
    let parsed = Seed { line: &line, place }.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    parsed.map_err(|error| {
        let said = error.to_string();
        // serde_json puts the position after the text; our errors put it before.
        let matter = said.rsplit_once(" at line ").map_or(said.as_str(), |(matter, _)| matter);
        (error.line(), format!("not valid JSON: {matter}"))
    })
}

/// A reader that counts lines.
struct Counting<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for Counting<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let byte_count = self.rest.read(out)?;
        let breaks = out.iter().take(byte_count).filter(|&&byte| byte == b'\n').count();
        self.line.set(self.line.get() + breaks);
        Ok(byte_count)
    }
}

/// Builds values of any type.
#[derive(Clone, Copy)]
struct Seed<'a> {
    line: &'a Cell<usize>,
    place: &'a dyn Fn(usize) -> Place,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Value, E> {
        Ok(Value::Switch(on))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        // Too large for any key, whose error then shows the allowed range.
        Ok(i64::try_from(number).map_or_else(|_| Value::Fraction(number.to_string()), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Fraction(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Table::default();
        while let Some(name) = map.next_key::<String>()? {
            if table.find(&name).is_some() {
                return Err(A::Error::custom(format_args!("`{name}` is given twice")));
            }
            let place = (self.place)(self.line.get());
            let value = map.next_value_seed(self)?;
            table.0.push(Entry { name, place, value });
        }
        Ok(Value::Table(table))
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
    fn entries_know_their_lines() {
        let text = "{\n  \"shards\"\n:\n 2, \"pin\": true,\n\n \"client\": {\n  \"allowed_origins\": [\n \"a\",\n\"b\\n\" ],\n \
                    \"x\": null}\n, \"n\": [{\"name\": \"q\"},\n {\"c\": -1.5}]}\n";
        let parsed = parse(text).unwrap();
        let seen: Vec<_> = parsed.0.iter().map(|e| (e.name.as_str(), line(e))).collect();
        assert_eq!(seen, [("shards", 2), ("pin", 4), ("client", 6), ("n", 11)]);
        let Some(Value::Table(client)) = parsed.find("client") else { panic!("no table") };
        let seen: Vec<_> = client.0.iter().map(|e| (e.name.as_str(), line(e))).collect();
        assert_eq!(seen, [("allowed_origins", 7), ("x", 10)]);
        assert_eq!(client.0[0].value.texts(), Some(vec!["a".to_owned(), "b\n".to_owned()]));
        let Some(Value::List(n)) = parsed.find("n") else { panic!("no list") };
        let Value::Table(second) = &n[1] else { panic!("no table") };
        assert_eq!((line(&second.0[0]), second.0[0].value.to_string().as_str()), (12, "-1.5"));
    }

    #[test]
    fn what_is_not_json_is_told_with_its_line() {
        for (text, line, said) in [
            ("{\n\"shards\": 2,\n}", 3, "not valid JSON: trailing comma"),
            ("{\"a\": 1}\n{", 2, "not valid JSON: trailing characters"),
            ("{\n\"a\": 1,\n\"a\": 2}", 3, "not valid JSON: `a` is given twice"),
            ("[]", 1, "not an object"),
            ("{", 1, "not valid JSON: EOF while parsing an object"),
        ] {
            assert_eq!(parse(text), Err((line, said.to_owned())), "{text}");
        }
    }
}
