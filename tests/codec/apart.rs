//! Payloads apart from a message: inserted at their places, the result equals an ordinary message, in each encoding,
//! in each framing, with any surroundings.

use proptest::collection::vec;
use proptest::prelude::*;
use throng::parts::base::budget::Budget;
use throng::parts::base::payload::PayloadRef;
use throng::parts::base::shared::Shared;
use throng::parts::proto::centrifuge::message::{
    Answer, Apart, ChannelRef, ConnectResult, Data, Encoding, Publication, Push, SubscribeResult,
};
use throng::parts::proto::centrifuge::{put_answer, put_push};
use throng::parts::proto::ws::{Deflate, Press};
use throng::parts::session::Transport;
use throng::parts::session::wire::Wire;

use crate::arbitrary;

const TRANSPORTS: [Transport; 6] = [
    Transport::WebSocket,
    Transport::Sse,
    Transport::HttpStream,
    Transport::UniWebSocket,
    Transport::UniSse,
    Transport::UniHttpStream,
];

/// The payloads apart of a message: their places and bytes.
type Left = Vec<(usize, Shared)>;

/// One message in the format of this wire, in one piece. `put` writes it, and returns the payloads that it left out.
fn sent(wire: Wire, put: impl FnOnce(&mut Vec<u8>, usize) -> Left) -> (Vec<u8>, usize) {
    let mut out = b"before".to_vec();
    let start = out.len();
    let left = put(&mut out, start);
    let bytes = left.iter().map(|(_, data)| data.len()).sum();
    if bytes == 0 {
        wire.seal(&mut out, start, &mut Press::new(None));
        return (out, 0);
    }
    let moved = wire.seal_around(&mut out, start, bytes);
    let (mut whole, mut done) = (Vec::new(), 0);
    for (at, data) in left {
        whole.extend_from_slice(&out[done..at + moved]);
        whole.extend_from_slice(&data);
        done = at + moved;
    }
    whole.extend_from_slice(&out[done..]);
    (whole, bytes)
}

fn sent_answer(wire: Wire, answer: &Answer<'_>) -> (Vec<u8>, usize) {
    sent(wire, |out, start| {
        put_answer(out, start, wire.encoding, 9, answer);
        let mut left = Left::new();
        answer.each_apart(|one| left.push((one.at(), one.data().clone())));
        left
    })
}

fn sent_push(wire: Wire, push: &Push<'_>) -> (Vec<u8>, usize) {
    sent(wire, |out, start| {
        put_push(out, start, wire.encoding, wire.transport.is_uni(), ChannelRef::Name("c\n"), push);
        let mut left = Left::new();
        push.each_apart(|one| left.push((one.at(), one.data().clone())));
        left
    })
}

/// Publications in all kinds of messages, each in a message of its own.
fn all_sent(wire: Wire, publications: &[Publication<'_>]) -> Vec<(Vec<u8>, usize)> {
    let sub = SubscribeResult {
        publications,
        epoch: "e",
        recovered: true,
        data: PayloadRef::of(b"1"),
        ..Default::default()
    };
    let subs = [("one", sub), ("none", SubscribeResult::default())];
    let connected = ConnectResult { subs: &subs, ..Default::default() };
    let mut all = vec![
        sent_answer(wire, &Answer::Connect(connected)),
        sent_push(wire, &Push::Connect(connected)),
        sent_answer(wire, &Answer::History { publications, position: (7, "e") }),
        sent_answer(wire, &Answer::Subscribe(sub)),
        sent_answer(wire, &Answer::Ping),
    ];
    all.extend(publications.iter().map(|one| sent_push(wire, &Push::Publication(*one))));
    all
}

proptest! {
    #[test]
    fn what_stands_apart_is_where_it_belongs(
        publications in vec((arbitrary::publication(), any::<bool>(), 0..70_000usize), 0..4),
    ) {
        let budget = Budget::new(1 << 30);
        // Of any length, so that each kind of header and of length before it is there.
        let mut publications = publications;
        for (publication, _, length) in &mut publications {
            if *length > 300 {
                publication.data = format!("\"{}\"", "x".repeat(*length)).into_bytes();
            }
        }
        let apart: Vec<_> = publications
            .iter()
            .map(|(publication, is_apart, _)| {
                (*is_apart && !publication.data.is_empty())
                    .then(|| Apart::new(Shared::new(publication.data.clone(), &budget)))
            })
            .collect();
        let plain: Vec<_> = publications.iter().map(|(one, ..)| arbitrary::publication_of(one)).collect();
        let with_apart: Vec<_> = plain
            .iter()
            .zip(&apart)
            .map(|(plain, apart)| match apart {
                Some(apart) => Publication { data: Data::Apart(apart), ..*plain },
                None => *plain,
            })
            .collect();
        let bytes: usize = apart.iter().flatten().map(|apart| apart.data().len()).sum();
        for transport in TRANSPORTS {
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                // There are no events in binary.
                if encoding == Encoding::Protobuf && matches!(transport, Transport::Sse | Transport::UniSse) {
                    continue;
                }
                let wire = Wire { transport, encoding, deflate: Deflate::Off };
                let (expected, sent) = (all_sent(wire, &plain), all_sent(wire, &with_apart));
                for ((expected, none), (whole, _)) in expected.iter().zip(&sent) {
                    prop_assert!(whole == expected, "{:?}", wire);
                    prop_assert_eq!(*none, 0);
                }
                // In four messages with all of them, and one each.
                prop_assert_eq!(sent.iter().map(|(_, bytes)| bytes).sum::<usize>(), 5 * bytes);
            }
        }
    }
}

#[test]
fn what_is_compressed_is_whole() {
    for (deflate, apart) in
        [(Deflate::Off, Some(Encoding::Json)), (Deflate::Wide, None), (Deflate::Narrow, None)]
    {
        let wire = Wire { transport: Transport::WebSocket, encoding: Encoding::Json, deflate };
        assert_eq!(wire.apart(), apart);
    }
}
