//! The Centrifuge protocol's codecs, without a session.

use std::borrow::Cow;

use serde_json::value::RawValue;
use throng::parts::base::payload::PayloadRef;
use throng::parts::proto::centrifuge::filter::{DEPTH_MAX, Filter, NODES_MAX};
use throng::parts::proto::centrifuge::message::{Answer, Command, Encoding, Request};
use throng::parts::proto::centrifuge::{Emulation, Malformed, commands, put_answer};
use throng::parts::proto::fossil;

/// A frame of commands in JSON.
///
/// # Panics
/// When something does not hold that must.
pub fn json_commands(data: &[u8]) {
    a_frame_of_commands(Encoding::Json, data);
}

/// A frame of commands in Protobuf.
///
/// # Panics
/// When something does not hold that must.
pub fn protobuf_commands(data: &[u8]) {
    a_frame_of_commands(Encoding::Protobuf, data);
}

fn a_frame_of_commands(encoding: Encoding, frame: &[u8]) {
    let mut seen = Vec::new();
    let mut is_good = true;
    for command in commands(encoding, frame) {
        assert!(is_good, "a broken frame ends");
        assert!(seen.len() < frame.len(), "a command takes at least one byte");
        match &command {
            Ok(command) => a_command(encoding, frame, command),
            Err(_) => is_good = false,
        }
        seen.push(words(&command));
    }
    if is_good {
        let separator: &[u8] = if encoding == Encoding::Json { b"\n" } else { b"" };
        let twice = [frame, separator, frame].concat();
        let again: Vec<_> = commands(encoding, &twice).map(|command| words(&command)).collect();
        assert_eq!(again, [&seen[..], &seen].concat(), "a frame means the same behind another");
    }
}

fn words(command: &Result<Command<'_>, Malformed>) -> String {
    match command {
        Ok(command) => format!("{command:?}"),
        Err(error) => error.to_string(),
    }
}

fn a_command(encoding: Encoding, frame: &[u8], command: &Command<'_>) {
    if let Request::Subscribe(subscribe) = &command.request
        && let Some(filter) = &subscribe.filter
    {
        let (depth, count) = size(filter);
        assert!(depth <= DEPTH_MAX && count <= NODES_MAX, "{depth} levels, {count} nodes");
        filter.matches(&[("key".into(), "1".into()), ("other".into(), "".into())]);
    }
    let (Request::Publish { data: Some(payload), .. }
    | Request::Send { data: payload }
    | Request::Rpc { data: payload, .. }) = &command.request
    else {
        return;
    };
    assert!(matches!(payload, Cow::Borrowed(_)), "payloads are not copied");
    assert!(payload.len() <= frame.len());
    let mut out = Vec::new();
    put_answer(&mut out, 0, encoding, command.id, &Answer::Rpc(PayloadRef::of(payload)));
    if encoding == Encoding::Json {
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "a message is one line");
        // Not as a value: clients may read numbers and halves of characters that serde_json does not.
        let reply: &RawValue = serde_json::from_slice(&out).expect("a reply is JSON");
        let id = format!("{{\"id\":{},", command.id);
        assert_eq!(reply.get().starts_with(&id), command.id > 0);
    } else {
        assert!(out.ends_with(payload), "bytes are passed on as they are");
    }
}

/// Levels and nodes.
fn size(filter: &Filter) -> (usize, usize) {
    let nodes = match filter {
        Filter::And(nodes) | Filter::Or(nodes) => &nodes[..],
        Filter::Not(node) => std::slice::from_ref(&**node),
        Filter::Compare { .. } => &[],
    };
    nodes.iter().map(size).fold((1, 1), |(depth, count), (below, more)| (depth.max(below + 1), count + more))
}

/// The first byte chooses the encoding, the rest is what a unidirectional client sends first.
///
/// # Panics
/// When something does not hold that must.
pub fn connect_request(data: &[u8]) {
    let Some((encoding, body)) = encoded(data) else { return };
    let Ok(connect) = throng::parts::proto::centrifuge::connect_request(encoding, body) else { return };
    let frame = match encoding {
        Encoding::Json if body.trim_ascii().is_empty() => return,
        Encoding::Json => [b"{\"connect\":", body, b"}"].concat(),
        Encoding::Protobuf => delimited(&field(4, body)),
    };
    let command = commands(encoding, &frame).next().expect("a command").expect("well-formed");
    let Request::Connect(same) = command.request else { panic!("not a connect command") };
    assert_eq!(*same, connect, "a command says the same");
}

/// The first byte chooses the encoding, the rest is the body of a request to the emulation endpoint.
///
/// # Panics
/// When something does not hold that must.
pub fn emulation_request(data: &[u8]) {
    let Some((encoding, body)) = encoded(data) else { return };
    let Ok(emulation) = throng::parts::proto::centrifuge::emulation_request(encoding, body) else { return };
    let Emulation { node, session, data } = &emulation;
    let again = match encoding {
        Encoding::Json => {
            let data = std::str::from_utf8(data).expect("JSON is text");
            serde_json::json!({ "node": node, "session": session, "data": data }).to_string().into_bytes()
        }
        Encoding::Protobuf => {
            [field(3, data), field(2, session.as_bytes()), field(1, node.as_bytes())].concat()
        }
    };
    let same = throng::parts::proto::centrifuge::emulation_request(encoding, &again).expect("well-formed");
    assert_eq!(same, emulation);
}

/// Two texts, the first as long as the first byte says, and a delta between them.
///
/// # Panics
/// When something does not hold that must.
pub fn fossil_delta(data: &[u8]) {
    let Some((&length, texts)) = data.split_first() else { return };
    let (from, to) = texts.split_at(texts.len().min(usize::from(length)));
    let delta = fossil::delta(from, to);
    assert_eq!(fossil::apply(from, &delta, to.len()).as_deref(), Some(to));
    if std::str::from_utf8(to).is_ok() {
        assert!(std::str::from_utf8(&delta).is_ok(), "a delta to a text is a text");
    }
    assert!(delta.len() <= to.len() + 32);
    if let Some(made) = fossil::apply(from, to, 1 << 16) {
        assert!(made.len() <= 1 << 16);
    }
}

fn encoded(data: &[u8]) -> Option<(Encoding, &[u8])> {
    let (choice, body) = data.split_first()?;
    Some((if choice % 2 == 0 { Encoding::Json } else { Encoding::Protobuf }, body))
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], delimited(bytes)].concat()
}

/// Bytes with their length before them.
fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut length = bytes.len();
    while length >= 0x80 {
        all.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    all.push(length.to_le_bytes()[0]);
    all.extend_from_slice(bytes);
    all
}
