//! Parsing of clients' Protobuf messages.
//!
//! Texts and payloads are borrowed from the frame. A field that is unknown, or has another type, is skipped, as
//! Protobuf requires; of a repeated field the last counts (messages are not merged: no client splits one). Every list
//! that grows is bounded.
//!
//! Invariant: an unreadable part of a request fails its command only.

use std::borrow::Cow;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::super::filter::{self, Filter};
use super::super::message::{Command, Connect, HistoryRequest, Request, Subscribe};
use super::super::{CONNECT_HEADERS_MAX, CONNECT_SUBS_MAX, Emulation, Malformed};
use crate::proto::last::keep_last;

type Result<T> = std::result::Result<T, Malformed>;

const TRUNCATED: Malformed = Malformed::Protobuf("a message ends in the middle");

/// The commands of a frame.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
}

impl<'a> Commands<'a> {
    /// A reader at the frame's first command.
    pub fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let command = delimited(&mut self.rest).and_then(command);
        if command.is_err() {
            self.rest = &[];
        }
        Some(command)
    }
}

/// Parses the first message of a unidirectional client: a message without its length.
///
/// # Errors
/// When it is not a connect request.
pub fn connect_request(frame: &[u8]) -> Result<Connect> {
    connect(frame)
}

/// Parses the body of a request to the emulation endpoint: a message without its length.
///
/// # Errors
/// When it is invalid.
pub fn emulation_request(body: &[u8]) -> Result<Emulation<'_>> {
    let mut emulation = Emulation::default();
    for field in Fields(body) {
        match field? {
            (1, Value::Bytes(node)) => emulation.node = text(node)?,
            (2, Value::Bytes(session)) => emulation.session = text(session)?,
            (3, Value::Bytes(data)) => emulation.data = Cow::Borrowed(data),
            _ => {}
        }
    }
    Ok(emulation)
}

/// A field's value, of the types that the protocol's requests use.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, in order, by their numbers; an `Err` ends them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Value<'a>)> {
        let malformed = |_| Malformed::Protobuf("a field that is none");
        let (number, wire_type) = decode_key(&mut self.0).map_err(malformed)?;
        let value = match wire_type {
            WireType::Varint => Value::Number(varint(&mut self.0)?),
            WireType::LengthDelimited => Value::Bytes(delimited(&mut self.0)?),
            WireType::SixtyFourBit | WireType::ThirtyTwoBit | WireType::StartGroup | WireType::EndGroup => {
                skip_field(wire_type, number, &mut self.0, DecodeContext::default()).map_err(malformed)?;
                Value::Other
            }
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    decode_varint(bytes).map_err(|_| Malformed::Protobuf("a number that is none"))
}

/// Reads a length and as many bytes.
fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).map_err(|_| TRUNCATED)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(taken)
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => Err(Malformed::Protobuf("a text that is not UTF-8")),
    }
}

fn string(bytes: &[u8]) -> Result<String> {
    text(bytes).map(Cow::into_owned)
}

/// The lower 32 bits of a number, as Protobuf requires.
#[expect(clippy::cast_possible_truncation, reason = "said so")]
fn low(number: u64) -> u32 {
    number as u32
}

/// The command of these bytes: the first of the protocol's requests, if a client sends several.
fn command(bytes: &[u8]) -> Result<Command<'_>> {
    const REQUESTS: std::ops::RangeInclusive<u32> = 4..=15;
    let mut id = 0;
    let mut request: Option<(u32, &[u8])> = None;
    for field in Fields(bytes) {
        match field? {
            (1, Value::Number(number)) => id = low(number),
            (number, Value::Bytes(message))
                if REQUESTS.contains(&number) && request.is_none_or(|(first, _)| number <= first) =>
            {
                request = Some((number, message));
            }
            _ => {}
        }
    }
    let request = match request {
        None if id == 0 => Request::Pong,
        None => Request::Unknown,
        // Its end follows from its length, for any contents.
        Some((number, message)) => request_of(number, message).unwrap_or(Request::Malformed),
    };
    Ok(Command { id, request })
}

/// The request of a known field number.
fn request_of(number: u32, message: &[u8]) -> Result<Request<'_>> {
    Ok(match number {
        4 => Request::Connect(Box::new(connect(message)?)),
        5 => match filtered(message)? {
            Ok(subscribe) => Request::Subscribe(Box::new(subscribe)),
            Err(_) => Request::Malformed,
        },
        6 => Request::Unsubscribe { channel: channel(message)? },
        // Empty bytes are not transmitted: missing data is an empty message.
        7 => {
            Request::Publish { channel: channel(message)?, data: Some(Cow::Borrowed(bytes_of(message, 2)?)) }
        }
        8 => Request::Presence { channel: channel(message)? },
        9 => Request::PresenceStats { channel: channel(message)? },
        10 => Request::History(history(message)?),
        11 => Request::Ping,
        12 => Request::Send { data: Cow::Borrowed(bytes_of(message, 1)?) },
        13 => {
            Request::Rpc { data: Cow::Borrowed(bytes_of(message, 1)?), method: text(bytes_of(message, 2)?)? }
        }
        14 => Request::Refresh { token: string(bytes_of(message, 1)?)? },
        _ => Request::SubRefresh {
            channel: string(bytes_of(message, 1)?)?,
            token: string(bytes_of(message, 2)?)?,
        },
    })
}

/// The last value of one field of a message; empty when there is none.
fn bytes_of(message: &[u8], number: u32) -> Result<&[u8]> {
    let mut found: &[u8] = &[];
    for field in Fields(message) {
        match field? {
            (of, Value::Bytes(bytes)) if of == number => found = bytes,
            _ => {}
        }
    }
    Ok(found)
}

/// The channel of a message that has it in its first field.
fn channel(message: &[u8]) -> Result<Cow<'_, str>> {
    text(bytes_of(message, 1)?)
}

fn history(message: &[u8]) -> Result<HistoryRequest<'_>> {
    let mut history = HistoryRequest::default();
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(channel)) => history.channel = text(channel)?,
            (7, Value::Number(limit)) => history.limit = low(limit).cast_signed(),
            (8, Value::Bytes(since)) => history.since = Some(position(since)?),
            (9, Value::Number(reverse)) => history.reverse = reverse != 0,
            _ => {}
        }
    }
    Ok(history)
}

fn position(message: &[u8]) -> Result<(u64, String)> {
    let mut position = (0, String::new());
    for field in Fields(message) {
        match field? {
            (1, Value::Number(offset)) => position.0 = offset,
            (2, Value::Bytes(epoch)) => position.1 = string(epoch)?,
            _ => {}
        }
    }
    Ok(position)
}

fn connect(message: &[u8]) -> Result<Connect> {
    let mut connect = Connect::default();
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(token)) => connect.token = string(token)?,
            (2, Value::Bytes(data)) => connect.data = data.to_vec(),
            (3, Value::Bytes(_)) if connect.subs.len() == CONNECT_SUBS_MAX => {
                return Err(Malformed::Protobuf("too many subscriptions"));
            }
            (3, Value::Bytes(entry)) => {
                let (sub, _) = subscribe(bytes_of(entry, 2)?)?;
                connect.subs.push(Subscribe { channel: string(bytes_of(entry, 1)?)?, ..sub });
            }
            (4, Value::Bytes(name)) => connect.name = string(name)?,
            (5, Value::Bytes(version)) => connect.version = string(version)?,
            (6, Value::Bytes(_)) if connect.headers.len() == CONNECT_HEADERS_MAX => {
                return Err(Malformed::Protobuf("too many headers"));
            }
            (6, Value::Bytes(entry)) => {
                connect.headers.push((string(bytes_of(entry, 1)?)?, string(bytes_of(entry, 2)?)?));
            }
            _ => {}
        }
    }
    // Both are maps: the last entry of a key counts.
    keep_last(&mut connect.subs, |sub| &sub.channel);
    keep_last(&mut connect.headers, |(name, _)| name);
    Ok(connect)
}

/// A subscribe request with its filter, or the fault of the filter.
fn filtered(message: &[u8]) -> Result<std::result::Result<Subscribe, filter::Invalid>> {
    let (subscribe, filter) = subscribe(message)?;
    let filter = filter.map(read_filter).transpose();
    Ok(filter.map(|filter| Subscribe { filter: filter.map(Box::new), ..subscribe }))
}

/// A subscribe request, and its encoded filter.
fn subscribe(message: &[u8]) -> Result<(Subscribe, Option<&[u8]>)> {
    let mut subscribe = Subscribe::default();
    let mut filter = None;
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(channel)) => subscribe.channel = string(channel)?,
            (2, Value::Bytes(token)) => subscribe.token = string(token)?,
            (3, Value::Number(recover)) => subscribe.recover = recover != 0,
            (6, Value::Bytes(epoch)) => subscribe.epoch = string(epoch)?,
            (7, Value::Number(offset)) => subscribe.offset = offset,
            (8, Value::Bytes(data)) => subscribe.data = data.to_vec(),
            (9, Value::Number(positioned)) => subscribe.positioned = positioned != 0,
            (10, Value::Number(recoverable)) => subscribe.recoverable = recoverable != 0,
            (11, Value::Number(join_leave)) => subscribe.join_leave = join_leave != 0,
            (12, Value::Bytes(delta)) => subscribe.delta = string(delta)?,
            (13, Value::Bytes(node)) => filter = Some(node),
            (14, Value::Number(flag)) => subscribe.flag = flag.cast_signed(),
            (15, Value::Number(kind)) => subscribe.kind = low(kind).cast_signed(),
            _ => {}
        }
    }
    Ok((subscribe, filter))
}

fn read_filter(message: &[u8]) -> std::result::Result<Filter, filter::Invalid> {
    if message.len() > filter::BYTES_MAX {
        return Err(filter::Invalid::TooLarge);
    }
    filter::read(&node(message, filter::DEPTH_MAX)?)
}

fn node(message: &[u8], depth_left: usize) -> std::result::Result<filter::Node<'_>, filter::Invalid> {
    let depth_left = depth_left.checked_sub(1).ok_or(filter::Invalid::TooLarge)?;
    let shape = |_| filter::Invalid::Shape;
    let mut read = filter::Node::default();
    for field in Fields(message) {
        match field.map_err(shape)? {
            (1, Value::Bytes(op)) => read.op = text(op).map_err(shape)?,
            (2, Value::Bytes(key)) => read.key = text(key).map_err(shape)?,
            (3, Value::Bytes(cmp)) => read.cmp = text(cmp).map_err(shape)?,
            (4, Value::Bytes(val)) => read.val = text(val).map_err(shape)?,
            (5, Value::Bytes(val)) => read.vals.push(text(val).map_err(shape)?),
            (6, Value::Bytes(child)) => read.nodes.push(node(child, depth_left)?),
            _ => {}
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frame: &[u8]) -> Vec<String> {
        let words = |command: Result<Command<'_>>| match command {
            Ok(Command { id, request }) => format!("{id} {request:?}"),
            Err(_) => "error".to_owned(),
        };
        Commands::new(frame).map(words).collect()
    }

    #[test]
    fn commands_of_a_frame_come_in_order() {
        // id 1, unsubscribe "c"; nothing; id 2 in two bytes, ping; id 3.
        let frame = b"\x07\x08\x01\x32\x03\x0a\x01c\x00\x05\x08\x82\x00\x5a\x00\x02\x08\x03";
        assert_eq!(all(frame), ["1 Unsubscribe { channel: \"c\" }", "0 Pong", "2 Ping", "3 Unknown"]);
        assert!(all(b"").is_empty());
    }

    #[test]
    fn payloads_and_names_are_borrowed() {
        let frame = b"\x0a\x08\x01\x3a\x06\x0a\x01c\x12\x01\xff";
        let Request::Publish { channel, data } = Commands::new(frame).next().unwrap().unwrap().request else {
            panic!("not a publish")
        };
        assert!(matches!((channel, data), (Cow::Borrowed("c"), Some(Cow::Borrowed(b"\xff")))));
    }

    #[test]
    fn no_payload_is_an_empty_one() {
        let empty = [r#"1 Publish { channel: "c", data: Some([]) }"#];
        assert_eq!(all(b"\x07\x08\x01\x3a\x03\x0a\x01c"), empty);
        assert_eq!(all(b"\x09\x08\x01\x3a\x05\x0a\x01c\x12\x00"), empty);
        assert_eq!(all(b"\x04\x08\x01\x6a\x00"), [r#"1 Rpc { method: "", data: [] }"#]);
        assert_eq!(all(b"\x02\x62\x00"), ["0 Send { data: [] }"]);
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        // A varint, eight bytes, a text, a group and four bytes with the numbers 1000 and up, then ping.
        let unknown = b"\xc0\x3e\x01\xc9\x3e\x01\x02\x03\x04\x05\x06\x07\x08\xd2\x3e\x01x\xdb\x3e\x08\x01\xdc\x3e\xe5\x3e\x01\x02\x03\x04";
        let frame = [&[u8::try_from(unknown.len()).unwrap() + 4, 8, 9][..], unknown, b"\x5a\x00"].concat();
        assert_eq!(all(&frame), ["9 Ping"]);
        // A subscribe request as a number, and an id as a text.
        assert_eq!(all(b"\x05\x28\x01\x0a\x01x"), ["0 Pong"]);
    }

    #[test]
    fn the_first_request_of_the_protocol_counts_and_the_last_value() {
        assert_eq!(all(b"\x08\x08\x01\x62\x00\x5a\x00\x08\x02"), ["2 Ping"]);
        assert_eq!(
            all(b"\x0c\x32\x03\x0a\x01a\x32\x05\x0a\x01b\x0a\x00"),
            ["0 Unsubscribe { channel: \"\" }"]
        );
    }

    #[test]
    fn a_broken_frame_ends_in_an_error() {
        for bad in [
            &b"\x01"[..],
            b"\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x01\x08",
            b"\x02\x07\x00",
            b"\x02\x00\x00",
            b"\x02\x0b\x08",
        ] {
            let frame = [b"\x00", bad].concat();
            assert_eq!(all(&frame), ["0 Pong", "error"], "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_read_in_a_request_spoils_its_command_only() {
        for bad in [
            // A channel, a method and a token that are not UTF-8, a truncated channel, and a request of half a field.
            &b"\x32\x03\x0a\x01\xff"[..],
            b"\x3a\x06\x0a\x01\xff\x12\x01x",
            b"\x6a\x03\x12\x01\xff",
            b"\x72\x03\x0a\x01\xff",
            b"\x32\x02\x0a\x05",
            b"\x32\x01\x0a",
        ] {
            let length = u8::try_from(bad.len()).unwrap() + 2;
            let frame =
                [&b"\x04\x08\x01\x5a\x00"[..], &[length, 8, 2], bad, b"\x04\x08\x03\x5a\x00"].concat();
            assert_eq!(all(&frame), ["1 Ping", "2 Malformed", "3 Ping"], "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_bad_filter_ends_its_command_only() {
        let frame = b"\x06\x08\x01\x2a\x02\x6a\x00\x06\x08\x02\x2a\x02\x6a\x00\x00";
        assert_eq!(all(frame), ["1 Malformed", "2 Malformed", "0 Pong"]);
        // Truncated inside the filter.
        assert_eq!(all(b"\x07\x08\x01\x2a\x03\x6a\x01\x0a"), ["1 Malformed"]);
        assert_eq!(read_filter(b""), Err(filter::Invalid::Comparison));
        assert_eq!(read_filter(b"\x0a"), Err(filter::Invalid::Shape));
        let deep = |levels: usize| {
            let put = |mut field: Vec<u8>, inner: &[u8]| {
                prost::encoding::encode_varint(inner.len() as u64, &mut field);
                field.extend(inner);
                field
            };
            (1..levels)
                .fold(b"\x12\x01k\x1a\x02ex".to_vec(), |node, _| put(b"\x0a\x03not\x32".to_vec(), &node))
        };
        assert!(read_filter(&deep(filter::DEPTH_MAX)).is_ok());
        assert_eq!(read_filter(&deep(filter::DEPTH_MAX + 1)), Err(filter::Invalid::TooLarge));
        assert_eq!(read_filter(&deep(2000)), Err(filter::Invalid::TooLarge));
        assert_eq!(read_filter(&vec![0; filter::BYTES_MAX + 1]), Err(filter::Invalid::TooLarge));
    }

    #[test]
    fn numbers_may_be_negative() {
        let history = b"\x0f\x08\x01\x52\x0b\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert!(all(history)[0].contains("limit: -1"), "{:?}", all(history));
    }

    #[test]
    fn nothing_is_a_connect_request_that_leaves_all_open() {
        assert_eq!(connect_request(b"").unwrap(), Connect::default());
        let connect = connect_request(
            b"\x0a\x01t\x22\x02js\x32\x06\x0a\x01a\x12\x01b\x1a\x07\x0a\x01c\x12\x02\x38\x05",
        )
        .unwrap();
        assert_eq!((&*connect.token, &*connect.name), ("t", "js"));
        assert_eq!(connect.headers, [("a".to_owned(), "b".to_owned())]);
        assert_eq!((&*connect.subs[0].channel, connect.subs[0].offset), ("c", 5));
        assert!(connect_request(b"\x0a").is_err());
    }

    #[test]
    fn emulation_carries_bytes() {
        let emulation = emulation_request(b"\x0a\x01n\x12\x01s\x1a\x02\x00\xff").unwrap();
        assert_eq!((&*emulation.node, &*emulation.session, &*emulation.data), ("n", "s", &b"\x00\xff"[..]));
        assert!(emulation_request(b"\x0a\x01\xff").is_err());
    }
}
