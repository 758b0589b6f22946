//! Echoes: the messages to send, and the check that the answers are complete and in order.
//!
//! An echo is the message itself, or the one valid answer to a command. The messages are prepared once, in a
//! repeating ring, so that any number of successive ones is one slice of memory: sending costs one system call and
//! no copy. The invariants: the length of every echo is checked, the content of every short one and of each
//! [`SAMPLED`]th long one, and any split of the stream gives the same counts. Left out: sockets and time.

use crate::bench::messages::frames;
use crate::bench::messages::publication::{Form, json_string};
use crate::bench::messages::responses::Responses;

/// Id of the first command; all ids have two digits, so that all messages have the same length.
const FIRST_ID: usize = 10;
/// Different messages in the ring; their contents differ, so that a wrong order is detected.
const VARIANTS: usize = 4;
/// Payloads up to this size are always compared.
const SHORT_BYTES: usize = 128;
/// Pseudo-opcode for a heartbeat of the protocol; not an opcode of WebSocket.
const HEARTBEAT_OPCODE: u8 = 0xff;
/// One in this many longer payloads is compared.
const SAMPLED: u64 = 16;

/// The kind of message, and thereby its echo.
#[derive(Clone, Debug)]
pub(crate) enum Talk {
    /// A WebSocket message; the echo is the same.
    Echo { is_text: bool },
    /// Bytes without frames; the echo is the same.
    Tcp,
    /// A call over the Centrifuge protocol in JSON; its result is its argument.
    Call,
    /// An event of Socket.IO with one argument, which its acknowledgement returns.
    Event,
    /// A publish command over the Centrifuge protocol.
    Publish { channel: String },
    /// A publish request of the server API, over HTTP.
    Post { host: String, path: String, key: Option<String>, channel: String },
}

/// The event `echo` of Socket.IO, with JSON as its argument.
pub(crate) fn event(id: usize, data: &str) -> String {
    format!("42{id}[\"echo\",{data}]")
}

/// Its acknowledgement.
pub(crate) fn acknowledgement(id: usize, data: &str) -> String {
    format!("43{id}[{data}]")
}

impl Talk {
    /// One message with `data`, and its answer.
    fn message(&self, variant: usize, data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let text = String::from_utf8_lossy(data);
        let id = FIRST_ID + variant;
        let framed = |text: String| {
            let mut out = Vec::new();
            frames::push_masked(&mut out, frames::TEXT, text.as_bytes());
            out
        };
        match self {
            Self::Echo { is_text } => {
                let mut out = Vec::new();
                frames::push_masked(&mut out, if *is_text { frames::TEXT } else { frames::BINARY }, data);
                (out, data.to_vec())
            }
            Self::Tcp => {
                let mut out = Vec::new();
                frames::push_masked(&mut out, frames::BINARY, data);
                (out.clone(), out)
            }
            Self::Call => {
                let command = format!("{{\"id\":{id},\"rpc\":{{\"method\":\"echo\",\"data\":{text}}}}}");
                (framed(command), format!("{{\"id\":{id},\"rpc\":{{\"data\":{text}}}}}").into_bytes())
            }
            Self::Event => (framed(event(id, &text)), acknowledgement(id, &text).into_bytes()),
            Self::Publish { channel } => {
                let channel = json_string(channel);
                let command =
                    format!("{{\"id\":{id},\"publish\":{{\"channel\":{channel},\"data\":{text}}}}}");
                (framed(command), format!("{{\"id\":{id},\"publish\":{{}}}}").into_bytes())
            }
            Self::Post { host, path, key, channel } => {
                let body = format!("{{\"channel\":{},\"data\":{text}}}", json_string(channel));
                let key = key.as_ref().map_or_else(String::new, |key| format!("X-API-Key: {key}\r\n"));
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{key}\
                     Content-Length: {}\r\n\r\n",
                    body.len()
                );
                ((head + &body).into_bytes(), Vec::new())
            }
        }
    }

    /// `size` bytes of payload; for JSON, a string with its quotes.
    fn data(&self, variant: usize, size: usize) -> Vec<u8> {
        match self {
            Self::Echo { .. } | Self::Tcp => {
                // ASCII, so that it is also valid text; 61 is coprime to common sizes.
                (b'A'..b'A' + 61).cycle().skip(7 * variant).take(size).collect()
            }
            Self::Call | Self::Event | Self::Publish { .. } | Self::Post { .. } => {
                // No character that JSON escapes.
                let letters = (b'A'..=b'Z').chain(b'a'..=b'w').cycle().skip(7 * variant);
                [b'"'].into_iter().chain(letters.take(size.saturating_sub(2))).chain([b'"']).collect()
            }
        }
    }

    fn carrier(&self) -> Carrier {
        match self {
            Self::Echo { .. } => Carrier::Frames { heartbeats: None },
            Self::Call | Self::Publish { .. } => Carrier::Frames { heartbeats: Some(Form::Centrifuge) },
            Self::Event => Carrier::Frames { heartbeats: Some(Form::SocketIo) },
            Self::Tcp => Carrier::Bytes,
            Self::Post { .. } => Carrier::Http,
        }
    }
}

/// The framing of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    /// `heartbeats`: the protocol whose heartbeats are messages.
    Frames {
        heartbeats: Option<Form>,
    },
    Bytes,
    Http,
}

/// The stream that every connection sends: message `n` is variant `n % VARIANTS`.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    /// Expected echoes, one per variant.
    echoes: Vec<Vec<u8>>,
    frame_bytes: usize,
    carrier: Carrier,
}

impl Ring {
    /// A ring of messages with `size` bytes of payload, at most `in_flight` sent in a row.
    pub(crate) fn new(size: usize, in_flight: usize, talk: &Talk) -> Self {
        let (mut bytes, mut echoes, mut frame_bytes) = (Vec::new(), Vec::new(), 0);
        for variant in 0..VARIANTS + in_flight {
            let which = variant % VARIANTS;
            let (message, echo) = talk.message(which, &talk.data(which, size));
            frame_bytes = message.len();
            bytes.extend_from_slice(&message);
            if variant < VARIANTS {
                echoes.push(echo);
            }
        }
        Self { bytes, echoes, frame_bytes, carrier: talk.carrier() }
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The next bytes to send after `sent` messages, with `due` messages.
    pub(crate) fn due(&self, sent: u64, due: usize) -> &[u8] {
        let cycle = (VARIANTS * self.frame_bytes) as u64;
        let at = usize::try_from(sent % cycle).unwrap_or(0);
        &self.bytes[at..self.bytes.len().min(at + due)]
    }

    fn heartbeat(&self) -> Option<(&'static [u8], &'static [u8])> {
        match self.carrier {
            Carrier::Frames { heartbeats } => heartbeats.map(Form::heartbeat),
            Carrier::Bytes | Carrier::Http => None,
        }
    }

    fn echo(&self, count: u64) -> &[u8] {
        &self.echoes[usize::try_from(count % VARIANTS as u64).unwrap_or(0)]
    }
}

/// A frame with an incomplete payload.
#[derive(Clone, Copy, Debug)]
struct Current {
    opcode: u8,
    finished: bool,
    left: usize,
}

/// The received echoes of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replies {
    /// Complete echoes.
    pub(crate) count: u64,
    /// Received bytes of the next one.
    at: usize,
    frame: Option<Current>,
    /// An incomplete header.
    head: Vec<u8>,
    /// Payload of a control frame.
    control: Vec<u8>,
    responses: Responses,
    /// Masked answers to pings, sent between two messages.
    pub(crate) pongs: Vec<u8>,
}

impl Replies {
    /// Parses bytes of the server; returns the number of echoes that they complete.
    ///
    /// # Errors
    /// Invalid bytes, as the kind under which the failure is counted.
    pub(crate) fn hear(&mut self, ring: &Ring, bytes: &[u8]) -> Result<u64, String> {
        let (before, mut rest) = (self.count, bytes);
        if ring.carrier == Carrier::Http {
            let heard = self.responses.hear(bytes)?;
            self.count += heard;
            return Ok(heard);
        }
        while !rest.is_empty() {
            rest = match self.frame {
                _ if ring.carrier == Carrier::Bytes => self.bytes(ring, rest)?,
                Some(frame) => self.frame_payload(ring, rest, frame)?,
                None => self.frame_head(ring, rest)?,
            };
        }
        Ok(self.count - before)
    }

    /// Without frames an echo ends at its length.
    fn bytes<'b>(&mut self, ring: &Ring, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let taken = self.compare(ring, bytes)?;
        if self.at == ring.echo(self.count).len() {
            self.complete();
        }
        Ok(&bytes[taken..])
    }

    fn frame_head<'b>(&mut self, ring: &Ring, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let broken = |broken: frames::Broken| broken.cause().to_owned();
        let (head, rest) = if self.head.is_empty()
            && let Some(head) = frames::header(bytes).map_err(broken)?
        {
            (head, &bytes[head.head_bytes..])
        } else {
            self.head.push(bytes[0]);
            let Some(head) = frames::header(&self.head).map_err(broken)? else { return Ok(&bytes[1..]) };
            self.head.clear();
            (head, &bytes[1..])
        };
        let mut frame = Current { opcode: head.opcode, finished: head.finished, left: head.payload_bytes };
        let heartbeat_bytes = ring.heartbeat().map(|(ask, _)| ask.len());
        if frame.opcode == frames::TEXT && frame.finished && heartbeat_bytes == Some(frame.left) {
            // No answer is this short.
            frame.opcode = HEARTBEAT_OPCODE;
        }
        self.frame = Some(frame);
        // An empty frame ends here, since more bytes may not follow.
        if frame.left == 0 { self.frame_payload(ring, rest, frame) } else { Ok(rest) }
    }

    fn frame_payload<'b>(
        &mut self,
        ring: &Ring,
        bytes: &'b [u8],
        frame: Current,
    ) -> Result<&'b [u8], String> {
        let (payload, rest) = bytes.split_at(bytes.len().min(frame.left));
        let left = frame.left - payload.len();
        self.frame = (left > 0).then_some(Current { left, ..frame });
        if !matches!(frame.opcode, frames::CONTINUATION | frames::TEXT | frames::BINARY) {
            self.control.extend_from_slice(payload);
            return if left == 0 { self.end_control(ring, frame.opcode).map(|()| rest) } else { Ok(rest) };
        }
        if self.compare(ring, payload)? < payload.len() {
            return Err("echo: longer than what was sent".to_owned());
        }
        if left == 0 && frame.finished {
            if self.at < ring.echo(self.count).len() {
                return Err("echo: shorter than what was sent".to_owned());
            }
            self.complete();
        }
        Ok(rest)
    }

    fn end_control(&mut self, ring: &Ring, opcode: u8) -> Result<(), String> {
        match opcode {
            frames::CLOSE => return Err(crate::bench::messages::script::close_cause(&self.control)),
            frames::PING => frames::push_masked(&mut self.pongs, frames::PONG, &self.control),
            HEARTBEAT_OPCODE => match ring.heartbeat() {
                Some((ask, answer)) if self.control == ask => {
                    frames::push_masked(&mut self.pongs, frames::TEXT, answer);
                }
                _ => return Err("reply: too short".to_owned()),
            },
            _ => {}
        }
        self.control.clear();
        Ok(())
    }

    /// Compares bytes with the rest of the current echo, and returns the number that belong to it.
    fn compare(&mut self, ring: &Ring, bytes: &[u8]) -> Result<usize, String> {
        let echo = ring.echo(self.count);
        let expected = &echo[self.at..];
        let taken = bytes.len().min(expected.len());
        let compared = echo.len() <= SHORT_BYTES || self.count.is_multiple_of(SAMPLED);
        if compared && bytes[..taken] != expected[..taken] {
            return Err("echo: other content than what was sent".to_owned());
        }
        self.at += taken;
        Ok(taken)
    }

    fn complete(&mut self) {
        self.at = 0;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Talk = Talk::Echo { is_text: false };

    fn unmasked(frame: &[u8], head_bytes: usize) -> String {
        let bytes = frame[head_bytes..].iter().enumerate().map(|(i, b)| b ^ frames::MASK[i % 4]).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn commands_are_json_of_the_asked_size_and_all_as_long() {
        for size in [2, 20] {
            for talk in [Talk::Call, Talk::Publish { channel: "a\"b".to_owned() }] {
                let ring = Ring::new(size, 1, &talk);
                for variant in 0..VARIANTS {
                    let frame = ring.due((variant * ring.frame_bytes()) as u64, ring.frame_bytes());
                    let command: serde_json::Value = serde_json::from_str(&unmasked(frame, 6)).unwrap();
                    let (asked, answer) = (
                        &command["rpc"],
                        serde_json::from_slice::<serde_json::Value>(ring.echo(variant as u64)),
                    );
                    let asked = if asked.is_null() { &command["publish"] } else { asked };
                    assert_eq!(asked["data"].to_string().len(), size);
                    assert_eq!(answer.unwrap()["id"], command["id"]);
                }
            }
        }
    }

    #[test]
    fn events_of_socketio_are_answered_with_their_argument() {
        let ring = Ring::new(20, 1, &Talk::Event);
        let event = unmasked(ring.due(0, ring.frame_bytes()), 6);
        let argument = event.strip_prefix("4210[\"echo\",").unwrap().strip_suffix(']').unwrap();
        assert_eq!(argument.len(), 20);
        assert_eq!(ring.echo(0), format!("4310[{argument}]").as_bytes());
        let mut stream = Vec::new();
        frames::push_unmasked(&mut stream, frames::TEXT, b"2");
        frames::push_unmasked(&mut stream, frames::TEXT, ring.echo(0));
        let mut replies = Replies::default();
        assert_eq!(replies.hear(&ring, &stream), Ok(1));
        assert_eq!(unmasked(&replies.pongs, 6), "3");
    }

    #[test]
    fn a_heartbeat_between_answers_is_answered() {
        let ring = Ring::new(20, 1, &Talk::Call);
        let mut stream = Vec::new();
        for n in 0..3 {
            frames::push_unmasked(&mut stream, frames::TEXT, b"{}");
            frames::push_unmasked(&mut stream, frames::TEXT, ring.echo(n));
        }
        for step in [1, 3, stream.len()] {
            let mut echoes = Replies::default();
            let heard: u64 = stream.chunks(step).map(|part| echoes.hear(&ring, part).unwrap()).sum();
            assert_eq!(heard, 3);
            assert_eq!(echoes.pongs.len(), 3 * 8);
            assert_eq!(unmasked(&echoes.pongs[..8], 6), "{}");
        }
        let mut short = Vec::new();
        frames::push_unmasked(&mut short, frames::TEXT, b"[]");
        assert!(Replies::default().hear(&ring, &short).is_err());
        let mut error = Vec::new();
        frames::push_unmasked(&mut error, frames::TEXT, b"{\"id\":10,\"error\":{\"code\":108}}");
        assert!(Replies::default().hear(&ring, &error).unwrap_err().contains("content"));
    }

    /// The output of an echo server for the first `count` messages of the ring, with pings and fragments between.
    fn stream(ring: &Ring, count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for n in 0..count {
            frames::push_unmasked(&mut out, frames::PING, b"hi");
            let echo = ring.echo(n);
            if n % 3 == 0 {
                let start = out.len();
                frames::push_unmasked(&mut out, frames::BINARY, &echo[..echo.len() / 2]);
                out[start] &= 0x7f;
                frames::push_unmasked(&mut out, frames::PING, b"");
                frames::push_unmasked(&mut out, frames::CONTINUATION, &echo[echo.len() / 2..]);
            } else {
                frames::push_unmasked(&mut out, frames::BINARY, echo);
            }
        }
        out
    }

    #[test]
    fn any_split_counts_the_same_echoes() {
        for size in [1, 20, 125, 126, 300] {
            let ring = Ring::new(size, 1, &ECHO);
            let stream = stream(&ring, 9);
            for step in [1, 2, 3, 7, 64, stream.len()] {
                let mut echoes = Replies::default();
                let heard: u64 = stream.chunks(step).map(|part| echoes.hear(&ring, part).unwrap()).sum();
                assert_eq!((heard, echoes.count), (9, 9), "size {size}, step {step}");
                // Nine pings with two bytes, three without.
                assert_eq!(echoes.pongs.len(), 9 * 8 + 3 * 6);
            }
        }
    }

    #[test]
    fn over_tcp_all_bytes_come_back() {
        let ring = Ring::new(300, 16, &Talk::Tcp);
        let sent = [ring.due(0, 16 * ring.frame_bytes()), ring.due(0, 3 * ring.frame_bytes())].concat();
        for step in [1, 100, sent.len()] {
            let mut echoes = Replies::default();
            let heard: u64 = sent.chunks(step).map(|part| echoes.hear(&ring, part).unwrap()).sum();
            assert_eq!(heard, 19, "16 is a whole number of cycles");
        }
    }

    #[test]
    fn the_ring_is_one_endless_stream() {
        let ring = Ring::new(20, 3, &ECHO);
        let cycle: Vec<u8> = ring.due(0, VARIANTS * ring.frame_bytes()).to_vec();
        let endless: Vec<u8> = cycle.iter().copied().cycle().take(5 * cycle.len()).collect();
        let mut sent = 0;
        while sent + 3 * ring.frame_bytes() < endless.len() {
            let due = ring.due(sent as u64, 3 * ring.frame_bytes());
            assert_eq!(due, &endless[sent..sent + 3 * ring.frame_bytes()]);
            sent += 11;
        }
    }

    #[test]
    fn a_wrong_echo_is_noticed() {
        let ring = Ring::new(20, 1, &ECHO);
        let hear = |payload: &[u8]| {
            let mut out = Vec::new();
            frames::push_unmasked(&mut out, frames::BINARY, payload);
            Replies::default().hear(&ring, &out)
        };
        let right = ring.echo(0).to_vec();
        assert_eq!(hear(&right), Ok(1));
        assert!(hear(&right[..19]).unwrap_err().contains("shorter"));
        assert!(hear(&[&right[..], b"x"].concat()).unwrap_err().contains("longer"));
        assert!(hear(ring.echo(1)).unwrap_err().contains("content"));
        let mut close = Vec::new();
        frames::push_unmasked(&mut close, frames::CLOSE, &[3, 232]);
        assert_eq!(Replies::default().hear(&ring, &close), Err("closed by the server: 1000".to_owned()));
    }
}
