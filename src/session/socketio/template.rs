//! Texts of rules that depend on the arguments of an event: `$0` is the first argument, `$0.room` a value in it.
//!
//! Invariant: a text is checked when the configuration is read, so filling it in fails only because of the event.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::proto::socketio::JsonArgs;

/// Maximum of the number of an argument that a rule names.
const INDEX_MAX: usize = 99;

/// The place of a value in the arguments of an event: `$0`, or `$0.user.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    index: usize,
    /// Keys of objects, from the outside.
    keys: Vec<String>,
}

impl Path {
    /// Reads a whole text as a path.
    ///
    /// # Errors
    /// The expected form.
    pub fn new(text: &str) -> Result<Self, String> {
        let read = text.strip_prefix('$').and_then(Self::front);
        let whole = read.filter(|(_, rest)| rest.is_empty());
        whole
            .map(|(path, _)| path)
            .ok_or_else(|| format!("expected an argument, such as $0 or $0.room, not {text:?}"))
    }

    /// The path at the front of a text, without its first character, and what is behind it.
    fn front(text: &str) -> Option<(Self, &str)> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let index = text[..digits].parse().ok().filter(|index| *index <= INDEX_MAX)?;
        let (mut keys, mut left) = (Vec::new(), &text[digits..]);
        while let Some(behind) = left.strip_prefix('.') {
            let is_of_key = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let end = behind.find(|c| !is_of_key(c)).unwrap_or(behind.len());
            if end == 0 {
                break;
            }
            keys.push(behind[..end].to_owned());
            left = &behind[end..];
        }
        Some((Self { index, keys }, left))
    }

    /// The value at this place, undecoded.
    pub(super) fn find<'a>(&self, args: JsonArgs<'a>) -> Option<Cow<'a, str>> {
        let argument = args.items().nth(self.index)?;
        if self.keys.is_empty() {
            return Some(Cow::Borrowed(argument.get()));
        }
        let value = self.inner(argument)?;
        Some(Cow::Owned(value.to_string()))
    }

    /// The value at this place, if it is a text or a whole number, as text.
    pub(super) fn text<'a>(&self, args: JsonArgs<'a>) -> Option<Cow<'a, str>> {
        let argument = args.items().nth(self.index)?;
        if !self.keys.is_empty() {
            return match self.inner(argument)? {
                Value::String(text) => Some(Cow::Owned(text)),
                Value::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
            };
        }
        let argument = argument.get();
        match argument.as_bytes().first()? {
            b'"' => match argument[1..argument.len() - 1].contains('\\') {
                true => serde_json::from_str(argument).ok().map(Cow::Owned),
                false => Some(Cow::Borrowed(&argument[1..argument.len() - 1])),
            },
            b'-' | b'0'..=b'9' if !argument.contains(['.', 'e', 'E']) => Some(Cow::Borrowed(argument)),
            _ => None,
        }
    }

    fn inner(&self, argument: &RawValue) -> Option<Value> {
        let mut value: Value = serde_json::from_str(argument.get()).ok()?;
        for key in &self.keys {
            value = value.get_mut(key)?.take();
        }
        Some(value)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.index)?;
        self.keys.iter().try_for_each(|key| write!(f, ".{key}"))
    }
}

/// A text in which paths stand for values of the event: `room:$0`; `$$` is `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Path),
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// The place where the text is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut left) = (Vec::new(), String::new(), text);
        while let Some(at) = left.find('$') {
            plain.push_str(&left[..at]);
            let behind = &left[at + 1..];
            if let Some(rest) = behind.strip_prefix('$') {
                plain.push('$');
                left = rest;
                continue;
            }
            let Some((path, rest)) = Path::front(behind) else {
                return Err(format!("expected $0, $0.name or $$ in {text:?}"));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(path));
            left = rest;
        }
        plain.push_str(left);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text with the values of an event.
    ///
    /// # Errors
    /// The place at which the event has no text and no whole number.
    pub(super) fn fill<'a>(&'a self, args: JsonArgs<'a>) -> Result<Cow<'a, str>, &'a Path> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Ok(Cow::Borrowed(text)),
            [Piece::Value(path)] => path.text(args).ok_or(path),
            several => {
                let mut whole = String::new();
                for piece in several {
                    match piece {
                        Piece::Text(text) => whole.push_str(text),
                        Piece::Value(path) => whole.push_str(&path.text(args).ok_or(path)?),
                    }
                }
                Ok(Cow::Owned(whole))
            }
        }
    }
}

/// The answer that a rule gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckForm {
    /// Without arguments.
    Empty,
    /// With the arguments of the event, and its attachments.
    Same,
    /// With these arguments.
    Values(Vec<AckValue>),
}

/// An argument of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckValue {
    /// A value of the event; `null` where it has none.
    Of(Path),
    /// JSON.
    Json(String),
}

impl AckForm {
    /// The arguments of an answer, a list in JSON.
    pub(super) fn list(values: &[AckValue], args: JsonArgs<'_>) -> String {
        let mut list = String::from("[");
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                list.push(',');
            }
            match value {
                AckValue::Of(path) => list.push_str(path.find(args).as_deref().unwrap_or("null")),
                AckValue::Json(json) => list.push_str(json),
            }
        }
        list.push(']');
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &str = r#"["a",{"room":"b","n":7,"list":[1],"deep":{"x":"y"}},-3,1.5,null,"é\n",true]"#;

    #[test]
    fn a_path_is_found_where_there_is_a_value() {
        let args = JsonArgs::of_list(ARGS).unwrap();
        for (path, text, json) in [
            ("$0", Some("a"), Some("\"a\"")),
            ("$1.room", Some("b"), Some("\"b\"")),
            ("$1.n", Some("7"), Some("7")),
            ("$1.deep.x", Some("y"), Some("\"y\"")),
            ("$1.list", None, Some("[1]")),
            ("$1.none", None, None),
            ("$0.room", None, None),
            ("$2", Some("-3"), Some("-3")),
            ("$3", None, Some("1.5")),
            ("$4", None, Some("null")),
            ("$5", Some("é\n"), Some("\"é\\n\"")),
            ("$6", None, Some("true")),
            ("$7", None, None),
        ] {
            let read = Path::new(path).unwrap();
            assert_eq!(read.to_string(), path);
            assert_eq!((read.text(args).as_deref(), read.find(args).as_deref()), (text, json), "{path}");
        }
        for wrong in ["", "0", "$", "$x", "$0.", "$100", "$0 ", "$-1", "$0..a"] {
            assert!(Path::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_filled_or_names_what_is_missing() {
        let args = JsonArgs::of_list(ARGS).unwrap();
        for (text, filled) in [
            ("lobby", Ok("lobby")),
            ("", Ok("")),
            ("$0", Ok("a")),
            ("room:$1.room/$0.", Ok("room:b/a.")),
            ("$$0$0$$", Ok("$0a$")),
            ("x$1", Err("$1")),
            ("$1.list", Err("$1.list")),
        ] {
            let template = Template::new(text).unwrap();
            let told = template.fill(args).map_err(ToString::to_string);
            assert_eq!(told.as_deref().map_err(String::as_str), filled, "{text}");
        }
        assert_eq!(Template::new("a$b").unwrap_err(), "expected $0, $0.name or $$ in \"a$b\"");
    }

    #[test]
    fn an_answer_has_values_of_the_event() {
        let args = JsonArgs::of_list(ARGS).unwrap();
        let of = |path| AckValue::Of(Path::new(path).unwrap());
        let values = [AckValue::Json("\"ok\"".to_owned()), of("$1.deep"), of("$9")];
        assert_eq!(AckForm::list(&values, args), r#"["ok",{"x":"y"},null]"#);
        assert_eq!(AckForm::list(&[], args), "[]");
    }
}
