//! JSON from other programs: field names are accepted in any case, and of a repeated key in an object, the last
//! counts.
//!
//! Most readers behave so, Centrifugo's among them; it is one of the two ways that RFC 7515 (section 4) and RFC 7519
//! (section 4) permit for tokens. serde's own readers of structs refuse such an object, at no cost; so they read
//! first, and a refused text is read once more, object by object. Raw values are passed on unchanged.
//!
//! Left out: the configuration file, where a repeated key is a mistake.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Error;
use serde_json::value::RawValue;

use super::any_case::{self, AnyCase};
use super::last::keep_last;

/// The result of a read.
type Read<T> = serde_json::Result<T>;

/// Maximum depth of nested objects and lists, the default of serde_json.
const DEPTH_MAX: u8 = 128;

/// Reads a text that is one value.
///
/// # Errors
/// When it is not JSON, or not of the type's structure.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Read<T> {
    match serde_json::from_str::<InAnyCase<T>>(text) {
        // Its text names the line and the column in the whole text.
        Err(error) if error.is_data() => of_last_keys(text).map_err(|_| error),
        read => read.map(|InAnyCase(value)| value),
    }
}

/// Whether the bytes are exactly one value.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<de::IgnoredAny>(text).is_ok())
}

/// Wraps a reader of serde_json: field names in any case, and no list for a struct.
pub(crate) fn in_any_case<'de, D: Deserializer<'de>>(inner: D) -> impl Deserializer<'de, Error = D::Error> {
    AnyCase(inner)
}

/// A value with field names in any case.
#[derive(Debug)]
pub(super) struct InAnyCase<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InAnyCase<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(AnyCase(from)).map(Self)
    }
}

/// Reads a value from bytes, which must be UTF-8.
///
/// # Errors
/// As [`from_str`].
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Read<T> {
    from_str(simdutf8::basic::from_utf8(bytes).map_err(de::Error::custom)?)
}

/// Reads a value in which keys may repeat.
pub(super) fn of_last_keys<'de, T: Deserialize<'de>>(text: &'de str) -> Read<T> {
    T::deserialize(Value { raw: serde_json::from_str(text)?, depth: 0 })
}

/// Seconds since 1970, optionally with a fraction (RFC 7519, 2), which is dropped; saturating. A string that contains
/// a number is accepted, as in Go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NumericDate(pub i64);

impl From<f64> for NumericDate {
    fn from(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "saturates: a time beyond all times stays one")]
        Self(seconds.floor() as i64)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfNumber;

        impl Visitor<'_> for OfNumber {
            type Value = NumericDate;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of seconds")
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "a time that needs more than 53 bits is beyond all times"
            )]
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<NumericDate, E> {
                Ok((seconds as f64).into())
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "a time that needs more than 53 bits is beyond all times"
            )]
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok((seconds as f64).into())
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                Ok(seconds.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NumericDate, E> {
                let number = serde_json::from_str::<f64>(text);
                let is_number = !text.is_empty() && text.trim() == text;
                number
                    .ok()
                    .filter(|_| is_number)
                    .map(Into::into)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        from.deserialize_any(OfNumber)
    }
}

/// Reads a value; a missing one and `null` are the default.
///
/// # Errors
/// When it is neither and not of the type.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads a raw value, including `null`; a missing field has its default.
///
/// # Errors
/// When it is not JSON.
pub(crate) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A value whose objects are read key by key.
struct Value<'de> {
    raw: &'de RawValue,
    depth: u8,
}

impl<'de> Value<'de> {
    /// serde_json's reader, for values without keys.
    fn plain(&self) -> serde_json::Deserializer<serde_json::de::StrRead<'de>> {
        serde_json::Deserializer::from_str(self.raw.get())
    }

    fn within(&self, raw: &'de RawValue) -> Self {
        Self { raw, depth: self.depth + 1 }
    }

    /// Refuses values that are nested too deeply: each level is a recursive call.
    fn check_depth(&self) -> Read<()> {
        if self.depth < DEPTH_MAX { Ok(()) } else { Err(de::Error::custom("recursion limit exceeded")) }
    }

    /// Calls `visitor` with the fields of an object, each key once; for a struct by its `names`, in any case.
    fn visit_fields<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Read<V::Value> {
        self.check_depth()?;
        let Fields(mut fields) = serde_json::from_str(self.raw.get())?;
        for (key, _) in &mut fields {
            if let Some(name) = any_case::name(key, names) {
                *key = Cow::Borrowed(name);
            }
        }
        keep_last(&mut fields, |(key, _)| key);
        fields.reverse();
        visitor.visit_map(Entries { of: self, left: fields, value: None })
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.raw.get().as_bytes().first() {
            Some(b'{') => self.visit_fields(&[], visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            _ => self.plain().deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.raw.get() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Read<V::Value> {
        // Raw values are requested by a name that only serde_json knows; there are no other newtypes here.
        self.plain().deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if !self.raw.get().starts_with('[') {
            return self.plain().deserialize_seq(visitor);
        }
        self.check_depth()?;
        let items: Vec<&'de RawValue> = serde_json::from_str(self.raw.get())?;
        visitor.visit_seq(Items { of: self, left: items.into_iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match self.raw.get().as_bytes().first() {
            Some(b'{') => self.visit_fields(names, visitor),
            Some(b'[') => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.plain().deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.plain().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.plain().deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier
    }
}

/// The fields of an object, in their order.
struct Fields<'de>(Vec<(Cow<'de, str>, &'de RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(OfObject)
    }
}

/// A key, borrowed where it contains no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Entries<'de> {
    of: Value<'de>,
    /// The remaining fields, the first one last.
    left: Vec<(Cow<'de, str>, &'de RawValue)>,
    value: Option<&'de RawValue>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let Some((key, value)) = self.left.pop() else { return Ok(None) };
        self.value = Some(value);
        match key {
            Cow::Borrowed(key) => seed.deserialize(de::value::BorrowedStrDeserializer::new(key)),
            Cow::Owned(key) => seed.deserialize(de::value::StringDeserializer::new(key)),
        }
        .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        let raw = self.value.take().ok_or_else(|| de::Error::custom("a value before its key"))?;
        seed.deserialize(self.of.within(raw))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Items<'de> {
    of: Value<'de>,
    left: std::vec::IntoIter<&'de RawValue>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        self.left.next().map(|raw| seed.deserialize(self.of.within(raw))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Shape<'a> {
        n: i64,
        #[serde(deserialize_with = "or_default")]
        on: bool,
        #[serde(borrow)]
        text: Option<Cow<'a, str>>,
        inner: Option<Box<Self>>,
        list: Vec<Self>,
        map: BTreeMap<String, u8>,
        either: Option<Either>,
        at: Option<NumericDate>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Several(Vec<String>),
    }

    #[derive(Debug, Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        raw: &'a RawValue,
        #[serde(default)]
        other: Option<u8>,
    }

    #[test]
    fn the_last_of_a_key_counts_at_every_depth() {
        for (text, same) in [
            (r#"{"n":1,"n":2}"#, r#"{"n":2}"#),
            (r#"{"n":"one","n":2}"#, r#"{"n":2}"#),
            (
                r#"{"n":1,"on":null,"text":"a","n":2,"text":"b\n","on":true}"#,
                r#"{"n":2,"on":true,"text":"b\n"}"#,
            ),
            (r#"{"text":"a","text":null}"#, r#"{}"#),
            (
                r#"{"inner":{"n":1,"n":3},"list":[{"n":1,"n":4},{}]}"#,
                r#"{"inner":{"n":3},"list":[{"n":4},{}]}"#,
            ),
            (r#"{"inner":{"n":1},"inner":{"on":true}}"#, r#"{"inner":{"on":true}}"#),
            (r#"{"n":1,"n":1,"map":{"a":1,"b":2,"a":3}}"#, r#"{"n":1,"map":{"a":3,"b":2}}"#),
            (r#"{"n":1,"n":1,"either":["a","b"]}"#, r#"{"n":1,"either":["a","b"]}"#),
            (r#"{"either":["a"],"either":"b"}"#, r#"{"either":"b"}"#),
            (r#"{"n":1,"\u006e":2}"#, r#"{"n":2}"#),
            (r#"{"n":1,"n":1,"at":1.9}"#, r#"{"n":1,"at":1}"#),
            (r#" {"unknown":{"a":1,"a":2},"unknown":3,"n":1,"n":2} "#, r#"{"n":2}"#),
        ] {
            let read: Shape<'_> = from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, serde_json::from_str(same).unwrap(), "{text}");
            assert_eq!(read, from_slice(text.as_bytes()).unwrap(), "{text}");
        }
    }

    #[test]
    fn names_of_fields_are_taken_in_any_case_at_every_depth() {
        for (text, same) in [
            (r#"{"N":1,"On":true,"TEXT":"A"}"#, r#"{"n":1,"on":true,"text":"A"}"#),
            (r#"{"Inner":{"N":1,"List":[{"N":2}]}}"#, r#"{"inner":{"n":1,"list":[{"n":2}]}}"#),
            (r#"{"n":1,"N":2}"#, r#"{"n":2}"#),
            (r#"{"N":1,"n":2}"#, r#"{"n":2}"#),
            (r#"{"N":1,"n":2,"Inner":{"N":3,"n":4}}"#, r#"{"n":2,"inner":{"n":4}}"#),
            (r#"{"Map":{"A":1,"a":2}}"#, r#"{"map":{"A":1,"a":2}}"#),
            (r#"{"n":1,"n":1,"Map":{"A":1,"a":2}}"#, r#"{"n":1,"map":{"A":1,"a":2}}"#),
            (r#"{"Either":["A"],"\u004e":2}"#, r#"{"either":["A"],"n":2}"#),
        ] {
            let read: Shape<'_> = from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, serde_json::from_str(same).unwrap(), "{text}");
            let read: Shape<'_> = of_last_keys(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, serde_json::from_str(same).unwrap(), "{text}, read again");
        }
        let read: Payload<'_> = from_str(r#"{"Raw":{"A":1}}"#).unwrap();
        assert_eq!(read.raw.get(), r#"{"A":1}"#);
    }

    #[test]
    fn a_list_is_no_struct() {
        for text in ["[1]", "[]", r#"{"inner":[1]}"#, r#"{"list":[[1]]}"#, r#"{"n":1,"n":1,"inner":[]}"#] {
            assert!(from_str::<Shape<'_>>(text).is_err(), "{text}");
            assert!(of_last_keys::<Shape<'_>>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        for text in ["{\"n\":1,\n\"n\":\"x\"}", "{\"n\":1,\"n\":2", "{\"n\":1,\"n\":2}}"] {
            let refused = from_str::<Shape<'_>>(text).unwrap_err();
            assert!(refused.line() > 0, "{text}: {refused}");
        }
        let deep = format!("{}{}", r#"{"n":1,"n":2,"inner":"#.repeat(200), "}".repeat(200));
        let deep = deep.replace(r#""inner":}"#, r#""inner":{}}"#);
        assert!(from_str::<Shape<'_>>(&deep).is_err());
        assert!(from_slice::<Shape<'_>>(b"{\"text\":\"\xff\"}").is_err());
    }

    #[test]
    fn raw_values_pass_as_they_are_written() {
        let text = r#"{"raw":1,"raw":{ "a":1, "a" : 2 },"other":1,"other":2}"#;
        let read: Payload<'_> = from_str(text).unwrap();
        assert_eq!((read.raw.get(), read.other), (r#"{ "a":1, "a" : 2 }"#, Some(2)));
    }

    #[test]
    fn times_may_have_a_fraction() {
        for (text, seconds) in
            [("1", 1), ("1.9", 1), ("-0.5", -1), ("1e30", i64::MAX), ("1.7e9", 1_700_000_000)]
        {
            assert_eq!(serde_json::from_str::<NumericDate>(text).unwrap(), NumericDate(seconds), "{text}");
        }
    }

    proptest! {
        /// Both readers agree where no key repeats, and neither panics on any text.
        #[test]
        fn reads_as_serde_json_does(
            text in r#"[{}\[\]",:nulltrueNO0-9a-e. ]{0,40}"#,
            n in any::<i64>(), on in any::<bool>(), list in proptest::collection::vec(any::<i32>(), 0..4),
        ) {
            let slow = of_last_keys::<Shape<'_>>(&text).ok();
            let fast = serde_json::from_str::<InAnyCase<Shape<'_>>>(&text).ok().map(|InAnyCase(read)| read);
            if fast.is_some() {
                prop_assert_eq!(fast, slow);
            }
            let list = list.iter().map(|n| format!(r#"{{"n":{n},"map":{{"x":1}}}}"#)).collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"n":{n},"on":{on},"inner":{{"list":[{list}]}},"either":"e"}}"#);
            prop_assert_eq!(of_last_keys::<Shape<'_>>(&text).unwrap(), serde_json::from_str(&text).unwrap());
        }
    }
}
