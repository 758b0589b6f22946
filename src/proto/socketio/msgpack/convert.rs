//! Converts between msgpack and JSON without building a tree.
//!
//! Binary data becomes an attachment with a placeholder in its place. Dates become the text that JavaScript writes for them
//! in JSON; `undefined` and numbers that are not finite become `null`.
//!
//! Invariant: JSON made of msgpack has exactly one placeholder per attachment, and JSON converted to msgpack and back is the
//! same value.

use std::borrow::Cow;
use std::fmt;

use rmp::encode;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::DEPTH_MAX;
use super::token::{Token, infallible, token};
use crate::proto::engine::{put_number, put_string};
use crate::proto::socketio::args::{JsonArgs, MsgPackArgs};
use crate::proto::socketio::placeholder::{self, blank, string_end};
use crate::proto::socketio::{AttachmentStore, Attachments, SocketError};

/// Appends arguments as JSON with commas between them; binary data among them joins the attachments.
///
/// # Errors
/// For arguments read by [`super::read`]: when there are too many attachments, or a value that clients would mistake for a
/// placeholder. Then nothing is appended.
pub fn args_to_json(
    args: MsgPackArgs<'_>,
    out: &mut Vec<u8>,
    attachments: &mut AttachmentStore,
) -> Result<(), SocketError> {
    checked(out, attachments, |out, attachments| {
        let mut left = args.bytes();
        (0..args.count()).try_for_each(|index| {
            if index > 0 {
                out.push(b',');
            }
            to_json(&mut left, out, attachments, 0)
        })
    })
}

/// Appends one value as JSON; binary data in it joins the attachments.
///
/// # Errors
/// As [`args_to_json`].
pub fn value_to_json(
    value: &[u8],
    out: &mut Vec<u8>,
    attachments: &mut AttachmentStore,
) -> Result<(), SocketError> {
    checked(out, attachments, |out, attachments| to_json(&mut &value[..], out, attachments, 0))
}

/// Checks that each placeholder in the written JSON refers to one attachment. Without attachments clients look for none.
fn checked(
    out: &mut Vec<u8>,
    attachments: &mut AttachmentStore,
    write: impl FnOnce(&mut Vec<u8>, &mut AttachmentStore) -> Result<(), SocketError>,
) -> Result<(), SocketError> {
    let (start, first) = (out.len(), attachments.get().count());
    let written = write(out, attachments).and_then(|()| {
        let numbers = first..attachments.get().count();
        if numbers.is_empty() {
            return Ok(());
        }
        let json = std::str::from_utf8(&out[start..]).map_err(|_| SocketError::MsgPack)?;
        placeholder::check(json, numbers)
    });
    if written.is_err() {
        out.truncate(start);
        attachments.truncate(first);
    }
    written
}

fn to_json(
    input: &mut &[u8],
    out: &mut Vec<u8>,
    attachments: &mut AttachmentStore,
    depth: usize,
) -> Result<(), SocketError> {
    if depth > DEPTH_MAX {
        return Err(SocketError::TooDeep);
    }
    match token(input)? {
        Token::Null | Token::Undefined => out.extend_from_slice(b"null"),
        Token::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Token::Unsigned(number) => put_number(out, number),
        Token::Signed(number) => put_signed(out, number),
        // serde_json writes null for numbers that are not finite.
        Token::Float(number) => infallible(serde_json::to_writer(out, &number)),
        Token::Text(text) => put_string(out, text),
        Token::Binary(data) => {
            placeholder::put(out, attachments.get().count());
            attachments.push(data);
        }
        Token::Date(ms) => put_date(out, ms),
        Token::List(count) => {
            out.push(b'[');
            for index in 0..count {
                if index > 0 {
                    out.push(b',');
                }
                to_json(input, out, attachments, depth + 1)?;
            }
            out.push(b']');
        }
        Token::Map(count) => {
            out.push(b'{');
            for index in 0..count {
                if index > 0 {
                    out.push(b',');
                }
                put_key(token(input)?, out)?;
                to_json(input, out, attachments, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Appends the key of an object with its colon; numbers are text there.
fn put_key(key: Token<'_>, out: &mut Vec<u8>) -> Result<(), SocketError> {
    if let Token::Text(key) = key {
        put_string(out, key);
    } else if let Token::Unsigned(key) = key {
        put_string(out, &key.to_string());
    } else if let Token::Signed(key) = key {
        put_string(out, &key.to_string());
    } else {
        return Err(SocketError::MsgPack);
    }
    out.push(b':');
    Ok(())
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    put_number(out, number.unsigned_abs());
}

/// Appends a time as JavaScript writes a date in JSON; `null` when it is out of JavaScript's range.
fn put_date(out: &mut Vec<u8>, ms: i64) {
    const DAY_MS: i64 = 86_400_000;
    // ECMA-262, "Time Values and Time Range".
    const MS_MAX: u64 = 8_640_000_000_000_000;
    if ms.unsigned_abs() > MS_MAX {
        return out.extend_from_slice(b"null");
    }
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let date = format!("\"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\"");
    out.extend_from_slice(date.as_bytes());
}

/// Year, month and day of a number of days since 1970. Years are counted from March, in eras of 400 years.
fn civil(day: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let since = day + 719_468;
    let (era, of_era) = (since.div_euclid(ERA_DAYS), since.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA_DAYS - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Appends arguments as msgpack; attachments replace their placeholders. Without attachments, an object in the form of a
/// placeholder is plain data.
///
/// # Errors
/// When they are nested too deeply, or a placeholder refers to no attachment.
pub fn args_of_json(
    out: &mut Vec<u8>,
    args: JsonArgs<'_>,
    attachments: Attachments<'_>,
) -> Result<(), SocketError> {
    args.items().try_for_each(|value| put_value(out, value.get(), attachments))
}

/// Appends one value of valid JSON.
pub(super) fn put_value(
    out: &mut Vec<u8>,
    json: &str,
    attachments: Attachments<'_>,
) -> Result<(), SocketError> {
    let mut reader = Reader { json, at: 0, out, attachments };
    reader.value(0)?;
    if blank(reader.left()).is_empty() { Ok(()) } else { Err(SocketError::Json) }
}

/// Reads JSON and writes msgpack.
struct Reader<'a, 'o> {
    json: &'a str,
    at: usize,
    out: &'o mut Vec<u8>,
    attachments: Attachments<'a>,
}

impl<'a> Reader<'a, '_> {
    fn left(&self) -> &'a str {
        &self.json[self.at..]
    }

    /// Skips whitespace; returns the next byte without taking it.
    fn next(&mut self) -> Result<u8, SocketError> {
        let left = blank(self.left());
        self.at = self.json.len() - left.len();
        left.bytes().next().ok_or(SocketError::Json)
    }

    fn expect(&mut self, byte: u8) -> Result<(), SocketError> {
        if self.next()? != byte {
            return Err(SocketError::Json);
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), SocketError> {
        if depth > DEPTH_MAX {
            return Err(SocketError::TooDeep);
        }
        match self.next()? {
            b'{' => match placeholder::at(self.json, self.at).filter(|_| self.attachments.count() > 0) {
                Some(found) => {
                    let data = self.attachments.get(found.number).ok_or(SocketError::Placeholders)?;
                    infallible(encode::write_bin(self.out, data));
                    self.at = found.end;
                    Ok(())
                }
                None => self.several(b'}', depth),
            },
            b'[' => self.several(b']', depth),
            b'"' => self.text(),
            _ => self.word(),
        }
    }

    /// A list or an object. One byte is reserved for its count, enough for fewer than 16 values.
    fn several(&mut self, end: u8, depth: usize) -> Result<(), SocketError> {
        self.at += 1;
        let head = self.out.len();
        self.out.push(0);
        let mut count: u32 = 0;
        if self.next()? == end {
            self.at += 1;
        } else {
            loop {
                if end == b'}' {
                    self.next()?;
                    self.text()?;
                    self.expect(b':')?;
                }
                self.value(depth + 1)?;
                count += 1;
                if self.next()? == end {
                    self.at += 1;
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.put_count(head, end == b'}', count);
        Ok(())
    }

    /// Replaces the reserved byte by the count.
    fn put_count(&mut self, head: usize, is_map: bool, count: u32) {
        let mut length = [0; 5];
        let mut left = &mut length[..];
        infallible(match is_map {
            true => encode::write_map_len(&mut left, count),
            false => encode::write_array_len(&mut left, count),
        });
        let used = 5 - left.len();
        self.out.splice(head..=head, length[..used].iter().copied());
    }

    fn text(&mut self) -> Result<(), SocketError> {
        let end = string_end(self.json, self.at).ok_or(SocketError::Json)?;
        let Lossy(text) = serde_json::from_str(&self.json[self.at..end]).map_err(|_| SocketError::Json)?;
        infallible(encode::write_str(self.out, &text));
        self.at = end;
        Ok(())
    }

    /// A number, or one of the three words.
    fn word(&mut self) -> Result<(), SocketError> {
        let left = self.left();
        let end = left.bytes().position(|c| b",]} \t\r\n".contains(&c)).unwrap_or(left.len());
        let word = &left[..end];
        match word {
            "null" => infallible(encode::write_nil(self.out)),
            "true" => infallible(encode::write_bool(self.out, true)),
            "false" => infallible(encode::write_bool(self.out, false)),
            _ => {
                if let Ok(number) = word.parse::<u64>() {
                    infallible(encode::write_uint(self.out, number));
                } else if let Ok(number) = word.parse::<i64>() {
                    infallible(encode::write_sint(self.out, number));
                } else {
                    let number = word.parse::<f64>().map_err(|_| SocketError::Json)?;
                    infallible(encode::write_f64(self.out, number));
                }
            }
        }
        self.at += end;
        Ok(())
    }
}

/// A string; half a surrogate pair, which JSON can contain and msgpack cannot, becomes U+FFFD.
struct Lossy<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Lossy<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OfBytes;

        impl<'de> Visitor<'de> for OfBytes {
            type Value = Lossy<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Lossy<'de>, E> {
                Ok(Lossy(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lossy<'de>, E> {
                Ok(Lossy(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }
        }

        from.deserialize_bytes(OfBytes)
    }
}
