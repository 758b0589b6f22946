//! The publications of a run: their form on the wire, how a subscriber finds their number, and the check for order
//! and gaps.
//!
//! The data of publication `n` is a JSON string of exactly the requested size: a marker, `n` as eight hex digits,
//! and padding. The invariant: finding the number costs a subscriber a few nanoseconds and no allocation, because
//! the generator is often the limit. The data has no send time: all threads share a table. Left out: other
//! publications of the channel, which have no marker and are ignored.

use std::io::Write as _;

use crate::bench::messages::frames;

/// Opens the data of every publication of the generator; the quote makes it improbable elsewhere.
const MARKER: &[u8; 3] = b"\"~#";
const DIGIT_COUNT: usize = 8;
/// The minimum of `--size`: marker, digits and the closing quote.
pub(crate) const DATA_BYTES_MIN: usize = MARKER.len() + DIGIT_COUNT + 1;

/// Publications to several channels in turn, and connections that each subscribe to some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// The common prefix of the names.
    pub(crate) prefix: String,
    pub(crate) channel_count: u32,
    /// Channels that one connection subscribes to; divides `channel_count`.
    pub(crate) each: u32,
}

impl Spread {
    /// The name of a channel; all names have the same length.
    pub(crate) fn name(&self, channel: u32) -> String {
        format!("{}{channel:07}", self.prefix)
    }

    fn stride(&self) -> u32 {
        self.channel_count / self.each
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a u32")]
    fn first_of(&self, connection: usize) -> u32 {
        (connection % self.channel_count as usize) as u32
    }

    /// The channels of a connection.
    pub(crate) fn channels_of(&self, connection: usize) -> impl Iterator<Item = u32> {
        let (first, stride, count) = (self.first_of(connection), self.stride(), self.channel_count);
        (0..self.each).map(move |nth| (first + nth * stride) % count)
    }

    /// Position of publication `number`: index of its channel among the connection's, and its number within that
    /// channel; `None` if the channel is not one of them.
    #[inline]
    pub(crate) fn place(&self, connection: usize, number: u32) -> Option<(u32, u32)> {
        let count = self.channel_count;
        let channel = number % count;
        let apart = (channel + count - self.first_of(connection)) % count;
        apart.is_multiple_of(self.stride()).then(|| (apart / self.stride(), number / count))
    }
}

/// The protocol of publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Centrifuge, JSON.
    Centrifuge,
    /// An event of Socket.IO, which the application emits to the room.
    SocketIo,
}

/// Id of the command that publishes number 0.
pub(crate) const FIRST_COMMAND: u32 = 3;

/// Builds publications for one channel, or for several.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    channel: String,
    spread: Option<Spread>,
    data: Vec<u8>,
    form: Form,
    /// Whether publish commands of Socket.IO ask for an acknowledgement.
    pub(crate) is_acked: bool,
    /// Padding of [`Template::push_delivery`], for the length of a server's delivery.
    padding: String,
    scratch: Vec<u8>,
}

impl Template {
    /// `data_bytes` is the length of the JSON string, quotes included, at least [`DATA_BYTES_MIN`].
    pub(crate) fn new(channel: &str, data_bytes: usize) -> Self {
        let mut data = MARKER.to_vec();
        data.resize(data_bytes.max(DATA_BYTES_MIN) - 1, b'x');
        data.push(b'"');
        let channel = json_string(channel);
        let (form, padding, scratch) = (Form::Centrifuge, String::new(), Vec::new());
        Self { channel, spread: None, data, form, is_acked: false, padding, scratch }
    }

    /// Writes this protocol.
    pub(crate) fn written_as(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Uses data that is partly compressible: records with repeating names and random digits.
    pub(crate) fn of_records(mut self) -> Self {
        let (mut records, mut random) = (String::new(), 1u32);
        while records.len() < self.data.len() {
            // Numerical Recipes' generator: the same numbers in every run.
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (price, size) = (random >> 8 & 0xffff, random >> 24);
            records += &format!("symbol:ACME,price:{price},size:{size};");
        }
        let end = self.data.len() - 1;
        self.data[MARKER.len() + DIGIT_COUNT..end]
            .copy_from_slice(&records.as_bytes()[..end - MARKER.len() - DIGIT_COUNT]);
        self
    }

    /// Publishes to several channels in turn.
    pub(crate) fn spread_over(mut self, spread: Option<&Spread>) -> Self {
        self.spread = spread.cloned();
        self
    }

    /// Pads deliveries to `wire_bytes`, framing included: a server adds the publisher's client information, for
    /// example.
    pub(crate) fn pad_deliveries(&mut self, wire_bytes: usize) {
        let mut length = |padding: usize| {
            self.padding = " ".repeat(padding);
            let mut out = Vec::new();
            self.push_delivery(&mut out, 0);
            out.len()
        };
        let missing = wire_bytes.saturating_sub(length(0));
        // More payload may need a longer head.
        let excess = length(missing).saturating_sub(wire_bytes).min(missing);
        length(missing - excess);
    }

    fn number(&mut self, number: u32) {
        let digits = &mut self.data[MARKER.len()..MARKER.len() + DIGIT_COUNT];
        for (i, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (28 - 4 * i) & 0xf) as usize];
        }
    }

    /// Appends a masked frame with the publish command.
    pub(crate) fn push_command(&mut self, out: &mut Vec<u8>, number: u32) {
        self.number(number);
        self.scratch.clear();
        if let Some(spread) = &self.spread {
            self.channel = json_string(&spread.name(number % spread.channel_count));
        }
        let (id, channel) = (number + FIRST_COMMAND, &self.channel);
        let (scratch, tail): (_, &[u8]) = (
            &mut self.scratch,
            match self.form {
                Form::Centrifuge => b"}}",
                Form::SocketIo => b"]",
            },
        );
        match self.form {
            Form::Centrifuge => {
                write_all(
                    scratch,
                    format_args!("{{\"id\":{id},\"publish\":{{\"channel\":{channel},\"data\":"),
                );
            }
            Form::SocketIo if self.is_acked => {
                write_all(scratch, format_args!("42{id}[\"publish\",{channel},"))
            }
            Form::SocketIo => write_all(scratch, format_args!("42[\"publish\",{channel},")),
        }
        scratch.extend_from_slice(&self.data);
        scratch.extend_from_slice(tail);
        frames::push_masked(out, frames::TEXT, scratch);
    }

    /// Appends the frame that a server would send to each subscriber, for the bare send loop.
    pub(crate) fn push_delivery(&mut self, out: &mut Vec<u8>, number: u32) {
        self.number(number);
        self.scratch.clear();
        let (offset, channel) = (u64::from(number) + 1, &self.channel);
        if self.form == Form::SocketIo {
            write_all(&mut self.scratch, format_args!("42[\"publish\",{channel},"));
            self.scratch.extend_from_slice(&self.data);
            write_all(&mut self.scratch, format_args!("{}]", self.padding));
        } else {
            let head = format_args!("{{\"push\":{{\"channel\":{channel},\"pub\":{{\"data\":");
            write_all(&mut self.scratch, head);
            self.scratch.extend_from_slice(&self.data);
            write_all(&mut self.scratch, format_args!(",{}\"offset\":{offset}}}}}}}", self.padding));
        }
        frames::push_unmasked(out, frames::TEXT, &self.scratch);
    }
}

fn write_all(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_else(|_| unreachable!("writing to memory does not fail"));
}

/// A JSON string literal.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One message of a server, as a subscriber distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A publication of this run.
    Publication(u32),
    /// A heartbeat, to be answered.
    Heartbeat,
    /// A reply to a command, or a push without the marker.
    Other(&'a [u8]),
}

/// Finds messages in the payload of a frame; remembers the position of the last publication's number, because the
/// next one most likely has the same.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    marker_at: usize,
    data_bytes: usize,
    form: Form,
}

impl Form {
    /// A heartbeat of the server, and the answer to it.
    pub(crate) fn heartbeat(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Centrifuge => (b"{}", b"{}"),
            Self::SocketIo => (b"2", b"3"),
        }
    }

    /// The beginning of a message that has a publication.
    fn publication(self) -> &'static [u8] {
        match self {
            Self::Centrifuge => b"{\"push\"",
            Self::SocketIo => b"42",
        }
    }
}

impl Scanner {
    /// A scanner for publications with this size of data.
    pub(crate) fn new(data_bytes: usize, form: Form) -> Self {
        Self { marker_at: 0, data_bytes: data_bytes.max(DATA_BYTES_MIN), form }
    }

    /// The first of the newline-joined messages in `payload`, and the rest.
    #[inline]
    pub(crate) fn next<'a>(&mut self, payload: &'a [u8]) -> (Message<'a>, &'a [u8]) {
        if let Some(number) = number_at(payload, self.marker_at) {
            let (_, rest) = split_line(payload, self.marker_at + self.data_bytes);
            return (Message::Publication(number), rest);
        }
        self.search(payload)
    }

    #[cold]
    fn search<'a>(&mut self, payload: &'a [u8]) -> (Message<'a>, &'a [u8]) {
        let (line, rest) = split_line(payload, 0);
        if line == self.form.heartbeat().0 {
            return (Message::Heartbeat, rest);
        }
        let found = line.windows(MARKER.len()).position(|window| window == MARKER);
        let publication = found.and_then(|at| number_at(line, at).map(|number| (at, number)));
        let Some((at, number)) = publication.filter(|_| line.starts_with(self.form.publication())) else {
            return (Message::Other(line), rest);
        };
        self.marker_at = at;
        (Message::Publication(number), rest)
    }
}

/// Splits at the first newline at or after `from`; without one, all is the first message.
#[inline]
fn split_line(payload: &[u8], from: usize) -> (&[u8], &[u8]) {
    let tail = payload.get(from..).unwrap_or_default();
    match tail.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&payload[..from + at], &payload[from + at + 1..]),
        None => (payload, &[]),
    }
}

/// The number behind the marker at `at`.
#[inline]
fn number_at(payload: &[u8], at: usize) -> Option<u32> {
    let tail = payload.get(at..)?.strip_prefix(MARKER)?;
    let digits = u64::from_be_bytes(*tail.first_chunk()?);
    hex(digits)
}

/// Eight hex digits, lower case, all at once: the first digit is the highest byte.
#[inline]
fn hex(digits: u64) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Bit 6 is set in a..f and clear in 0..9; the value of a letter is its low nibble plus 9.
    let letters = digits >> 6 & ONES;
    let nibbles = (digits & (0x0f * ONES)) + 9 * letters;
    // Rebuilding the text from the value detects anything that is not a digit.
    let text = nibbles + 0x30 * ONES + 39 * letters;
    let above_nine = (nibbles + 6 * ONES) >> 4 & ONES;
    if text != digits || above_nine != letters || (nibbles + 0x70 * ONES) & (0x80 * ONES) != 0 {
        return None;
    }
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((quads | quads >> 16) & 0xffff_ffff).ok()
}

/// The place of an arrival in the stream of one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InOrder,
    /// This many publications are missing before this one.
    Gap(u32),
    /// A duplicate, or out of order.
    Behind,
}

/// Checks one arrival and moves `expected`, the next expected number, behind it.
#[inline]
pub(crate) fn check(expected: &mut u32, number: u32) -> Arrival {
    let arrival = match number.checked_sub(*expected) {
        Some(0) => Arrival::InOrder,
        Some(missing) => Arrival::Gap(missing),
        None => return Arrival::Behind,
    };
    *expected = number.wrapping_add(1);
    arrival
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: u32, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Template::new("bench", size).push_delivery(&mut out, number);
        let head = frames::header(&out).unwrap().unwrap();
        out.split_off(head.head_bytes)
    }

    #[test]
    fn hex_agrees_with_the_standard_library_and_refuses_the_rest() {
        for number in [0, 1, 9, 10, 15, 16, 0x1234_5678, 0x9abc_def0, 0xa0f9_0a9f, u32::MAX] {
            let text = format!("{number:08x}");
            assert_eq!(hex(u64::from_be_bytes(text.as_bytes().try_into().unwrap())), Some(number));
        }
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = *b"00000000";
                text[at] = byte;
                let naive = std::str::from_utf8(&text).ok().filter(|t| !t.contains(['+', '-']));
                let naive = naive.filter(|t| !t.bytes().any(|b| b.is_ascii_uppercase()));
                let naive = naive.and_then(|t| u32::from_str_radix(t, 16).ok());
                assert_eq!(hex(u64::from_be_bytes(text)), naive, "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_delivery_is_json_of_the_asked_size() {
        for size in [DATA_BYTES_MIN, 100, 1000] {
            let json: serde_json::Value = serde_json::from_slice(&delivery(0xbeef, size)).unwrap();
            let data = &json["push"]["pub"]["data"];
            assert_eq!(data.to_string().len(), size);
            assert!(data.as_str().unwrap().starts_with("~#0000beef"));
            assert_eq!(json["push"]["channel"], "bench");
        }
    }

    #[test]
    fn records_are_json_of_the_same_size_with_something_to_compress() {
        for size in [DATA_BYTES_MIN, 100, 1024] {
            let mut out = Vec::new();
            Template::new("bench", size).of_records().push_delivery(&mut out, 0xbeef);
            let payload = &out[frames::header(&out).unwrap().unwrap().head_bytes..];
            assert_eq!(payload.len(), delivery(0xbeef, size).len());
            assert_eq!(
                Scanner::new(size, Form::Centrifuge).next(payload),
                (Message::Publication(0xbeef), &[][..])
            );
            let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
            assert!(size < 100 || json["push"]["pub"]["data"].as_str().unwrap().contains(",price:"));
        }
    }

    #[test]
    fn a_delivery_can_be_as_long_as_that_of_a_server() {
        let mut template = Template::new("bench", 40);
        let lengths = [0, 120, 203].map(|wire_bytes| {
            let mut out = Vec::new();
            template.pad_deliveries(wire_bytes);
            template.push_delivery(&mut out, 7);
            let head = frames::header(&out).unwrap().unwrap();
            let payload = &out[head.head_bytes..];
            assert!(serde_json::from_slice::<serde_json::Value>(payload).is_ok());
            assert_eq!(Scanner::new(40, Form::Centrifuge).next(payload), (Message::Publication(7), &[][..]));
            out.len()
        });
        assert!(lengths[0] < 120);
        assert_eq!(lengths[1..], [120, 203]);
    }

    #[test]
    fn a_command_unmasks_to_json() {
        let mut out = Vec::new();
        Template::new("a\"b", 20).push_command(&mut out, 7);
        let text: Vec<u8> = out[6..].iter().enumerate().map(|(i, b)| b ^ frames::MASK[i % 4]).collect();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&json["id"], &json["publish"]["channel"]), (&10.into(), &"a\"b".into()));
    }

    #[test]
    fn joined_messages_are_told_apart_in_any_order() {
        let mut payload = b"{\"id\":2,\"subscribe\":{}}\n".to_vec();
        for number in [9, 10] {
            payload.extend_from_slice(&delivery(number, 40));
            payload.push(b'\n');
        }
        payload.extend_from_slice(b"{}\n{\"push\":{\"channel\":\"bench\",\"pub\":{\"data\":1}}}\n");
        payload.extend_from_slice(&delivery(11, 40));
        let mut scanner = Scanner::new(40, Form::Centrifuge);
        for _ in 0..2 {
            let (mut rest, mut seen) = (&payload[..], Vec::new());
            while !rest.is_empty() {
                let (message, tail) = scanner.next(rest);
                seen.push(message);
                rest = tail;
            }
            assert_eq!(
                seen,
                [
                    Message::Other(b"{\"id\":2,\"subscribe\":{}}"),
                    Message::Publication(9),
                    Message::Publication(10),
                    Message::Heartbeat,
                    Message::Other(b"{\"push\":{\"channel\":\"bench\",\"pub\":{\"data\":1}}}"),
                    Message::Publication(11),
                ]
            );
        }
    }

    #[test]
    fn a_spread_gives_every_channel_as_many_subscribers() {
        let spread = Spread { prefix: "a:".to_owned(), channel_count: 40, each: 4 };
        let mut subscribers = [0; 40];
        for connection in 0..80 {
            for (nth, channel) in spread.channels_of(connection).enumerate() {
                subscribers[channel as usize] += 1;
                for round in 0..3 {
                    let place = spread.place(connection, round * 40 + channel);
                    assert_eq!(place, Some((u32::try_from(nth).unwrap(), round)));
                }
            }
        }
        assert_eq!(spread.place(3, 4), None);
        assert_eq!(subscribers, [8; 40]);
        assert_eq!(spread.name(7).len(), spread.name(39).len());
        let mut out = Vec::new();
        Template::new("", 20).spread_over(Some(&spread)).push_command(&mut out, 47);
        let text: Vec<u8> = out[6..].iter().enumerate().map(|(i, b)| b ^ frames::MASK[i % 4]).collect();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["publish"]["channel"], spread.name(7));
    }

    #[test]
    fn order_is_checked_per_subscriber() {
        let mut expected = 0;
        let arrivals: Vec<_> = [0, 1, 4, 2, 4, 5].into_iter().map(|n| check(&mut expected, n)).collect();
        use Arrival::{Behind, Gap, InOrder};
        assert_eq!(arrivals, [InOrder, InOrder, Gap(2), Behind, Behind, InOrder]);
        assert_eq!(expected, 6);
    }
}
