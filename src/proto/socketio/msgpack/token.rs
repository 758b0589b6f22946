//! Tokens of msgpack, and skipping whole values.
//!
//! Invariant: no length is trusted before that many bytes are there, and keys of maps are text or whole numbers, so that
//! every map can become an object of JSON.

use std::fmt;

use rmp::Marker;
use smallvec::SmallVec;

use super::DEPTH_MAX;
use crate::proto::socketio::SocketError;

/// The parser's extension: binary data, dates, `undefined`.
const OWN_EXTENSION: i8 = 0;
/// The timestamp of the msgpack specification.
const TIME_EXTENSION: i8 = -1;

/// One value, or the head of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Null,
    /// `undefined` of JavaScript.
    Undefined,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    /// This number of values follows.
    List(u32),
    /// This number of keys follows, each with its value.
    Map(u32),
}

impl Token<'_> {
    /// Whether it can be the key of an object.
    fn is_key(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Unsigned(_) | Self::Signed(_))
    }
}

/// The result of a write into a `Vec`, which cannot fail.
pub(super) fn infallible<T, E: fmt::Debug>(written: Result<T, E>) {
    #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
    written.expect("writing to a Vec cannot fail");
}

/// Takes the first token.
pub(super) fn token<'a>(input: &mut &'a [u8]) -> Result<Token<'a>, SocketError> {
    let [byte] = number(input)?;
    Ok(match Marker::from_u8(byte) {
        Marker::Null => Token::Null,
        Marker::False => Token::Bool(false),
        Marker::True => Token::Bool(true),
        Marker::FixPos(value) => Token::Unsigned(value.into()),
        Marker::FixNeg(value) => Token::Signed(value.into()),
        Marker::U8 => Token::Unsigned(u8::from_be_bytes(number(input)?).into()),
        Marker::U16 => Token::Unsigned(u16::from_be_bytes(number(input)?).into()),
        Marker::U32 => Token::Unsigned(u32::from_be_bytes(number(input)?).into()),
        Marker::U64 => Token::Unsigned(u64::from_be_bytes(number(input)?)),
        Marker::I8 => signed(i8::from_be_bytes(number(input)?).into()),
        Marker::I16 => signed(i16::from_be_bytes(number(input)?).into()),
        Marker::I32 => signed(i32::from_be_bytes(number(input)?).into()),
        Marker::I64 => signed(i64::from_be_bytes(number(input)?)),
        Marker::F32 => Token::Float(f32::from_be_bytes(number(input)?).into()),
        Marker::F64 => Token::Float(f64::from_be_bytes(number(input)?)),
        Marker::FixStr(length) => text(take(input, length.into())?)?,
        Marker::Str8 => text(sized(input, 1)?)?,
        Marker::Str16 => text(sized(input, 2)?)?,
        Marker::Str32 => text(sized(input, 4)?)?,
        Marker::Bin8 => Token::Binary(sized(input, 1)?),
        Marker::Bin16 => Token::Binary(sized(input, 2)?),
        Marker::Bin32 => Token::Binary(sized(input, 4)?),
        Marker::FixArray(count) => Token::List(count.into()),
        Marker::Array16 => Token::List(length(input, 2)?),
        Marker::Array32 => Token::List(length(input, 4)?),
        Marker::FixMap(count) => Token::Map(count.into()),
        Marker::Map16 => Token::Map(length(input, 2)?),
        Marker::Map32 => Token::Map(length(input, 4)?),
        Marker::FixExt1 => fixed_extension(input, 1)?,
        Marker::FixExt2 => fixed_extension(input, 2)?,
        Marker::FixExt4 => fixed_extension(input, 4)?,
        Marker::FixExt8 => fixed_extension(input, 8)?,
        Marker::FixExt16 => fixed_extension(input, 16)?,
        Marker::Ext8 => extension(input, 1)?,
        Marker::Ext16 => extension(input, 2)?,
        Marker::Ext32 => extension(input, 4)?,
        Marker::Reserved => return Err(SocketError::MsgPack),
    })
}

fn signed(value: i64) -> Token<'static> {
    u64::try_from(value).map_or(Token::Signed(value), Token::Unsigned)
}

fn number<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], SocketError> {
    let (number, behind) = input.split_first_chunk().ok_or(SocketError::MsgPack)?;
    *input = behind;
    Ok(*number)
}

/// Takes a length of `width` bytes.
fn length(input: &mut &[u8], width: usize) -> Result<u32, SocketError> {
    Ok(match width {
        1 => u8::from_be_bytes(number(input)?).into(),
        2 => u16::from_be_bytes(number(input)?).into(),
        _ => u32::from_be_bytes(number(input)?),
    })
}

/// Takes the bytes behind a length of `width` bytes.
fn sized<'a>(input: &mut &'a [u8], width: usize) -> Result<&'a [u8], SocketError> {
    let length = length(input, width)?;
    take(input, length)
}

fn take<'a>(input: &mut &'a [u8], length: u32) -> Result<&'a [u8], SocketError> {
    let (taken, behind) = input.split_at_checked(length as usize).ok_or(SocketError::MsgPack)?;
    *input = behind;
    Ok(taken)
}

fn text(bytes: &[u8]) -> Result<Token<'_>, SocketError> {
    let text = simdutf8::basic::from_utf8(bytes);
    text.map(Token::Text).map_err(|_| SocketError::MsgPack)
}

/// An extension of fixed length. The parser writes `undefined` and dates in this form, and no binary data.
fn fixed_extension<'a>(input: &mut &'a [u8], length: u32) -> Result<Token<'a>, SocketError> {
    let kind = i8::from_be_bytes(number(input)?);
    let data = take(input, length)?;
    match (kind, data) {
        (OWN_EXTENSION, [_]) => Ok(Token::Undefined),
        (OWN_EXTENSION, data) if data.len() == 8 => {
            let date = data.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
            date.map(Token::Date).ok_or(SocketError::MsgPack)
        }
        (TIME_EXTENSION, data) => time(data),
        _ => Err(SocketError::MsgPack),
    }
}

fn extension<'a>(input: &mut &'a [u8], width: usize) -> Result<Token<'a>, SocketError> {
    let length = length(input, width)?;
    let kind = i8::from_be_bytes(number(input)?);
    let data = take(input, length)?;
    match kind {
        OWN_EXTENSION => Ok(Token::Binary(data)),
        TIME_EXTENSION => time(data),
        _ => Err(SocketError::MsgPack),
    }
}

/// A timestamp in one of the three forms of the msgpack specification, in milliseconds.
fn time(data: &[u8]) -> Result<Token<'static>, SocketError> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(number(&mut &data[..])?)), 0),
        8 => {
            let both = u64::from_be_bytes(number(&mut &data[..])?);
            let seconds = i64::try_from(both & ((1 << 34) - 1)).map_err(|_| SocketError::MsgPack)?;
            (seconds, both >> 34)
        }
        12 => {
            let nanoseconds = u32::from_be_bytes(number(&mut &data[..])?);
            (i64::from_be_bytes(number(&mut &data[4..])?), nanoseconds.into())
        }
        _ => return Err(SocketError::MsgPack),
    };
    let milliseconds = i64::try_from(nanoseconds / 1_000_000).unwrap_or_default();
    Ok(Token::Date(seconds.saturating_mul(1000).saturating_add(milliseconds)))
}

/// A list or map that is not complete.
struct Open {
    left: u64,
    is_map: bool,
}

/// Skips one whole value at level `depth`; returns its bytes.
pub(super) fn skip<'a>(input: &mut &'a [u8], depth: usize) -> Result<&'a [u8], SocketError> {
    let whole = *input;
    let mut open: SmallVec<[Open; 8]> = SmallVec::new();
    open.push(Open { left: 1, is_map: false });
    while let Some(innermost) = open.last_mut() {
        if innermost.left == 0 {
            open.pop();
            continue;
        }
        let is_key = innermost.is_map && innermost.left.is_multiple_of(2);
        innermost.left -= 1;
        let token = token(input)?;
        if is_key && !token.is_key() {
            return Err(SocketError::MsgPack);
        }
        if let Token::List(count) = token {
            open.push(Open { left: count.into(), is_map: false });
        } else if let Token::Map(count) = token {
            open.push(Open { left: 2 * u64::from(count), is_map: true });
        }
        if depth + open.len() - 1 > DEPTH_MAX {
            return Err(SocketError::TooDeep);
        }
    }
    Ok(&whole[..whole.len() - input.len()])
}
