//! Payloads that stand apart from a message: put back where they belong, all is as if they had been written there, in each
//! encoding, in each framing, whatever stands around.

use proptest::collection::vec;
use proptest::prelude::*;
use throng::parts::base::budget::Budget;
use throng::parts::base::networks::Networks;
use throng::parts::base::shared::Shared;
use throng::parts::proto::centrifuge::message::{
    Answer, Apart, ChannelRef, ConnectResult, Data, Encoding, Publication, Push, SubscribeResult,
};
use throng::parts::proto::ws::{Deflate, Limits, Press};
use throng::parts::session::centrifuge::{Centrifuge, Opening};
use throng::parts::session::raw::Echo;
use throng::parts::session::wire::Wire;
use throng::parts::session::{
    ClientId, Context, Counts, Endpoints, Forwarded, Secret, Session, Settings, Splice, Transport,
};

use crate::arbitrary;

const TRANSPORTS: [Transport; 6] = [
    Transport::WebSocket,
    Transport::Sse,
    Transport::HttpStream,
    Transport::UniWebSocket,
    Transport::UniSse,
    Transport::UniHttpStream,
];

fn settings() -> Settings {
    Settings {
        endpoints: Endpoints::default(),
        head_bytes_max: 1 << 10,
        ws: Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 },
        channel_name_bytes_max: 100,
        outbox_bytes_max: 1 << 20,
        limits_calls: false,
        secret: Secret::new(1.into()),
        trusted_proxies: Networks::default(),
    }
}

/// What a session over this wire sends, in one piece, and how much of it was not copied.
fn sent(wire: Wire, say: impl FnOnce(&mut Session<()>, &mut Context<'_>)) -> (Vec<u8>, usize) {
    let (mut out, mut apart, mut actions) = (b"before".to_vec(), Vec::new(), Vec::new());
    let settings = settings();
    let mut press = Press::new(None);
    let mut cx = Context {
        now_ms: 0,
        settings: &settings,
        client: ClientId { seed: 1.into(), shard: 0, token: 1 },
        user: "",
        certificate: None,
        out: &mut out,
        apart: &mut apart,
        waiting_bytes: 0,
        in_place: None,
        actions: &mut actions,
        forwarded: Forwarded::default(),
        press: &mut press,
        counts: Counts::default(),
    };
    let mut session: Session<()> = Session::Centrifuge(Centrifuge::new(wire, Opening::default()));
    // What was said before is no part of it.
    if !wire.transport.is_uni() {
        let connect = match wire.encoding {
            Encoding::Json => b"{\"id\":1,\"connect\":{}}".to_vec(),
            Encoding::Protobuf => b"\x04\x08\x01\x22\x00".to_vec(),
        };
        session.emulated(&connect, &mut Echo::new("/"), &mut cx).unwrap();
    }
    say(&mut session, &mut cx);
    let mut whole = Vec::new();
    let mut done = 0;
    let mut apart_bytes = 0;
    for Splice { at, data } in apart {
        whole.extend_from_slice(&out[done..at]);
        whole.extend_from_slice(&data);
        apart_bytes += data.len();
        done = at;
    }
    whole.extend_from_slice(&out[done..]);
    (whole, apart_bytes)
}

/// All that is said of publications, as answers and as pushes.
fn say_all(session: &mut Session<()>, cx: &mut Context<'_>, publications: &[Publication<'_>]) {
    let sub = SubscribeResult { publications, epoch: "e", recovered: true, data: b"1", ..Default::default() };
    let subs = [("one", sub), ("none", SubscribeResult::default())];
    session.answer(1, &Answer::Connect(ConnectResult { subs: &subs, ..Default::default() }), cx);
    session.answer(2, &Answer::Ping, cx);
    session.answer(3, &Answer::History { publications, position: (7, "e") }, cx);
    session.answer(4, &Answer::Subscribe(sub), cx);
    for publication in publications {
        session.push(ChannelRef::Name("c\n"), &Push::Publication(*publication), cx);
    }
    session.fail(5, 100, "no", false, cx);
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
                let (expected, none) = sent(wire, |session, cx| say_all(session, cx, &plain));
                let (whole, some) = sent(wire, |session, cx| say_all(session, cx, &with_apart));
                prop_assert!(whole == expected, "{:?} {:?}", transport, encoding);
                // In the subscription from the start and in a push each, and where there are replies, in those, too.
                let count = if transport.is_uni() { 2 } else { 4 };
                prop_assert_eq!((none, some), (0, count * bytes));
            }
        }
    }
}

#[test]
fn what_is_compressed_is_whole() {
    for deflate in [Deflate::Wide, Deflate::Narrow] {
        let wire = Wire { transport: Transport::WebSocket, encoding: Encoding::Json, deflate };
        assert_eq!(Centrifuge::new(wire, Opening::default()).apart(), None);
    }
}
