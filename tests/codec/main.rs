//! Both encodings against each other, and against other implementations of the protocol's messages.

#![expect(clippy::unwrap_used, reason = "test code, also in its own small functions")]

mod apart;
mod arbitrary;
mod mirror;

use proptest::prelude::*;
use prost::Message as _;
use serde_json::value::RawValue;

use crate::arbitrary::{command, info_of, keep, publications_of, push_of, reply, result_of, sub_of};
use throng::parts::base::payload::{Payload, PayloadRef};
use throng::parts::proto::centrifuge::message::{
    Answer, ChannelRef, ClientInfo, Command, ConnectResult, Data, Encoding, Publication, Push, Request,
    SubscribeResult,
};
use throng::parts::proto::centrifuge::{
    CONNECT_HEADERS_MAX, CONNECT_SUBS_MAX, Emulation, commands, connect_request, emulation_request,
    json_text, ping, put_answer, put_error, put_push,
};

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// A description of the commands of a frame; an error only ends them.
fn meaning(encoding: Encoding, frame: &[u8]) -> Vec<String> {
    commands(encoding, frame)
        .map(|command| match command {
            Ok(command) => format!("{command:?}"),
            Err(_) => "malformed".to_owned(),
        })
        .collect()
}

/// One frame with all of them, in each encoding.
fn frames(commands: &[mirror::Command]) -> [Vec<u8>; 2] {
    let json: Vec<_> = commands.iter().map(|command| serde_json::to_vec(command).unwrap()).collect();
    [json.join(&b'\n'), commands.iter().flat_map(mirror::Command::encode_length_delimited_to_vec).collect()]
}

/// The messages of a frame that was written.
fn messages<M: prost::Message + Default + for<'a> serde::Deserialize<'a>>(
    encoding: Encoding,
    frame: &[u8],
) -> Vec<M> {
    match encoding {
        Encoding::Json => {
            let text = std::str::from_utf8(frame).unwrap();
            text.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
        }
        Encoding::Protobuf => {
            let mut rest = frame;
            let mut all = Vec::new();
            while !rest.is_empty() {
                all.push(M::decode_length_delimited(&mut rest).unwrap());
            }
            all
        }
    }
}

/// Writes the reply of the mirror.
fn put_reply(out: &mut Vec<u8>, start: usize, encoding: Encoding, reply: &mirror::Reply) {
    if let Some(error) = &reply.error {
        put_error(out, start, encoding, reply.id, error.code, &error.message, error.temporary);
        return;
    }
    if let Some(push) = &reply.push {
        let (channel, push) = push_of(push);
        put_push(out, start, encoding, false, channel, &push);
        return;
    }
    let answer = if let Some(result) = &reply.connect {
        Answer::Connect(result_of(result))
    } else if let Some(result) = &reply.subscribe {
        Answer::Subscribe(sub_of(result))
    } else if reply.unsubscribe.is_some() {
        Answer::Unsubscribe
    } else if reply.publish.is_some() {
        Answer::Publish
    } else if let Some(result) = &reply.presence {
        Answer::Presence(keep(result.presence.values().map(info_of).collect()))
    } else if let Some(stats) = &reply.presence_stats {
        Answer::PresenceStats { client_count: stats.num_clients, user_count: stats.num_users }
    } else if let Some(result) = &reply.history {
        let publications = publications_of(&result.publications);
        Answer::History { publications, position: (result.offset, &result.epoch) }
    } else if let Some(result) = &reply.rpc {
        Answer::Rpc(PayloadRef::of(&result.data))
    } else if let Some(result) = &reply.refresh {
        Answer::Refresh { expires: result.expires, ttl_s: result.ttl }
    } else if let Some(result) = &reply.sub_refresh {
        Answer::SubRefresh { expires: result.expires, ttl_s: result.ttl }
    } else {
        assert!(reply.ping.is_some(), "{reply:?}");
        Answer::Ping
    };
    put_answer(out, start, encoding, reply.id, &answer);
}

proptest! {
    #[test]
    fn commands_mean_the_same_in_both(all in proptest::collection::vec(command(), 0..4)) {
        let [json, protobuf] = frames(&all);
        let seen = meaning(Encoding::Json, &json);
        prop_assert_eq!(seen.len(), all.len());
        prop_assert!(!seen.contains(&"malformed".to_owned()), "{:?}", seen);
        prop_assert_eq!(seen, meaning(Encoding::Protobuf, &protobuf));
    }

    #[test]
    fn connect_requests_mean_the_same_in_both(command in command()) {
        let Some(connect) = command.connect else { return Ok(()) };
        let from_json = connect_request(Encoding::Json, &serde_json::to_vec(&connect).unwrap()).unwrap();
        let from_protobuf = connect_request(Encoding::Protobuf, &connect.encode_to_vec()).unwrap();
        prop_assert_eq!(from_json, from_protobuf);
    }

    #[test]
    fn emulation_requests_are_read(node in any::<String>(), session in any::<String>(), data in any::<String>()) {
        let request = mirror::EmulationRequest {
            node: node.clone(),
            session: session.clone(),
            data: data.clone().into_bytes(),
        };
        let json = serde_json::json!({ "node": node, "session": session, "data": data }).to_string();
        let wanted =
            Emulation { node: node.into(), session: session.into(), data: data.into_bytes().into() };
        prop_assert_eq!(&emulation_request(Encoding::Json, json.as_bytes()).unwrap(), &wanted);
        let protobuf = request.encode_to_vec();
        prop_assert_eq!(&emulation_request(Encoding::Protobuf, &protobuf).unwrap(), &wanted);
    }

    #[test]
    fn what_is_written_is_what_others_read(
        all in proptest::collection::vec(reply(), 1..4),
        before in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        for encoding in BOTH {
            let mut out = before.clone();
            all.iter().for_each(|reply| put_reply(&mut out, before.len(), encoding, reply));
            prop_assert_eq!(&messages::<mirror::Reply>(encoding, &out[before.len()..]), &all);
        }
    }

    #[test]
    fn a_push_without_a_reply_is_the_push(reply in reply()) {
        let Some(push) = reply.push else { return Ok(()) };
        let (channel, said) = push_of(&push);
        for encoding in BOTH {
            let mut out = Vec::new();
            put_push(&mut out, 0, encoding, true, channel, &said);
            prop_assert_eq!(&messages::<mirror::Push>(encoding, &out)[..], std::slice::from_ref(&push));
        }
    }

    #[test]
    fn no_input_panics_or_goes_on_forever(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        all in proptest::collection::vec(command(), 0..3),
        at in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let mut inputs = vec![bytes];
        for mut frame in frames(&all) {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] ^= flip;
            }
            inputs.push(frame);
        }
        for input in inputs {
            for encoding in BOTH {
                let mut ended = false;
                for (count, command) in commands(encoding, &input).enumerate() {
                    prop_assert!(count < input.len() && !ended);
                    ended = command.is_err();
                }
                drop(connect_request(encoding, &input));
                drop(emulation_request(encoding, &input));
            }
        }
    }

    #[test]
    fn a_payload_in_json_is_json_on_one_line(bytes in ".{0,20}|\\[\n*\"[a-z]*\"\r?\n\\]", tail in any::<Vec<u8>>()) {
        let binary = [bytes.as_bytes(), &tail].concat();
        for data in [Data::Text(bytes.as_bytes()), Data::Text(&binary), Data::Binary(&binary)] {
            for takes_deltas in [false, true] {
                let publication = Publication { data, takes_deltas, ..arbitrary::PUBLICATION };
                let mut out = Vec::new();
                let push = Push::Publication(publication);
                put_push(&mut out, 0, Encoding::Json, false, ChannelRef::Name("c"), &push);
                prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
                let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
                if takes_deltas {
                    let text = value["push"]["pub"]["data"].as_str().unwrap();
                    prop_assert_eq!(text.as_bytes(), &*json_text(data));
                }
            }
        }
    }
}

proptest! {
    /// For any bytes of an application, a message in JSON stays one line of JSON, with those bytes as JSON or in
    /// base64, and in Protobuf the bytes are unchanged.
    #[test]
    fn any_payload_leaves_a_message_whole(
        bytes in prop_oneof![
            any::<Vec<u8>>(),
            ".{1,20}".prop_map(String::into_bytes),
            "\\[\n*\"[a-z]*\"\r?\n\\]".prop_map(String::into_bytes),
            "[{}\n]{1,4}\\}\n\\{\"id\":1".prop_map(String::into_bytes),
        ],
    ) {
        let payload = Payload::from(bytes.clone());
        let told = payload.get();
        let sub = SubscribeResult { data: told, ..SubscribeResult::default() };
        let subs = [("c", sub)];
        let connect = ConnectResult { data: told, subs: &subs, ..ConnectResult::default() };
        let info = ClientInfo { conn_info: told, chan_info: told, ..ClientInfo::default() };
        let answers =
            [Answer::Rpc(told), Answer::Subscribe(sub), Answer::Connect(connect), Answer::Presence(&[info])];
        let pushes = [Push::Message(told), Push::Subscribe(sub), Push::Connect(connect), Push::Join(info)];
        let seen = match told.json() {
            Some(json) => json.to_vec(),
            None => format!("\"{}\"", data_encoding::BASE64.encode(&bytes)).into_bytes(),
        };
        let has = |out: &[u8], part: &[u8]| part.is_empty() || out.windows(part.len()).any(|some| some == part);
        for encoding in BOTH {
            let mut messages = vec![Vec::new(); answers.len() + pushes.len()];
            for (out, answer) in messages.iter_mut().zip(&answers) {
                put_answer(out, 0, encoding, 7, answer);
            }
            for (out, push) in messages[answers.len()..].iter_mut().zip(&pushes) {
                put_push(out, 0, encoding, false, ChannelRef::None, push);
            }
            for out in messages {
                if encoding == Encoding::Protobuf {
                    prop_assert!(has(&out, &payload));
                    continue;
                }
                prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "{}", out.escape_ascii());
                prop_assert!(serde_json::from_slice::<&RawValue>(&out).is_ok(), "{}", out.escape_ascii());
                prop_assert!(bytes.is_empty() || has(&out, &seen), "{}", out.escape_ascii());
            }
        }
    }
}

#[test]
fn pings_are_empty_replies() {
    for encoding in BOTH {
        assert_eq!(messages::<mirror::Reply>(encoding, ping(encoding)), [mirror::Reply::default()]);
        assert_eq!(meaning(encoding, ping(encoding)), ["Command { id: 0, request: Pong }"]);
    }
}

#[test]
fn a_bad_filter_does_not_end_the_frame() {
    let node = |op: &str| mirror::FilterNode { op: op.to_owned(), ..Default::default() };
    let subscribe = |op| mirror::Command {
        id: 7,
        subscribe: Some(mirror::SubscribeRequest { tf: Some(node(op)), ..Default::default() }),
        ..Default::default()
    };
    let all = [subscribe("xor"), mirror::Command { id: 8, ..Default::default() }];
    for (encoding, frame) in BOTH.into_iter().zip(frames(&all)) {
        let mut commands = commands(encoding, &frame);
        assert_eq!(commands.next().unwrap().unwrap(), Command { id: 7, request: Request::Malformed });
        assert_eq!(commands.next().unwrap().unwrap().id, 8);
        assert!(commands.next().is_none());
    }
}

#[test]
fn lists_have_bounds() {
    let mut connect = mirror::ConnectRequest::default();
    for n in 0..CONNECT_HEADERS_MAX {
        connect.headers.insert(n.to_string(), String::new());
    }
    for n in 0..CONNECT_SUBS_MAX {
        connect.subs.insert(n.to_string(), mirror::SubscribeRequest::default());
    }
    let is_read = |connect: &mirror::ConnectRequest| {
        let json = connect_request(Encoding::Json, &serde_json::to_vec(connect).unwrap());
        let protobuf = connect_request(Encoding::Protobuf, &connect.encode_to_vec());
        [json.is_ok(), protobuf.is_ok()]
    };
    assert_eq!(is_read(&connect), [true, true]);
    let mut with_header = connect.clone();
    with_header.headers.insert("one more".to_owned(), String::new());
    assert_eq!(is_read(&with_header), [false, false]);
    connect.subs.insert("one more".to_owned(), mirror::SubscribeRequest::default());
    assert_eq!(is_read(&connect), [false, false]);
}
