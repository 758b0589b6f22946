//! Fan-out: what a batch of publications costs to encode, once, and then per subscriber, without a socket.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng::parts::base::budget::Budget;
use throng::parts::base::outbox::{Outbox, Push};
use throng::parts::base::shared::Shared;
use throng::parts::proto::centrifuge::message::{self, ChannelRef, ClientInfo, Data, Encoding, Publication};
use throng::parts::proto::centrifuge::put_push;
use throng::parts::proto::ws::press::{Options, Press};
use throng::parts::proto::ws::{Deflate, Kind, frame, put_frame};

const DATA: &[u8] =
    br#"{"user":"0f2b","text":"a message of about one hundred bytes, as chats and prices have them"}"#;
const CLIENT: &str = "0f2b8a9c-7d4e-8f00-9a1b-2c3d4e5f6071";
const SUBSCRIBERS: u64 = 1000;

/// One text frame with `count` pushes.
fn json(count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let publication = Publication {
        data: Data::Json(black_box(DATA)),
        info: Some(ClientInfo { client: CLIENT, ..ClientInfo::default() }),
        offset: 0,
        tags: &[],
        delta: false,
        takes_deltas: false,
        epoch: "",
        version: 0,
    };
    let push = message::Push::Publication(publication);
    for _ in 0..count {
        put_push(&mut out, 0, Encoding::Json, false, ChannelRef::Name("room:general"), &push);
    }
    frame::wrap(&mut out, 0, Kind::Text);
    out
}

fn raw(count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..count {
        put_frame(&mut out, Kind::Text, black_box(DATA));
    }
    out
}

/// A payload of JSON whose names repeat and whose digits do not.
fn records(bytes: usize) -> Vec<u8> {
    let (mut text, mut random) = (String::from("["), 1u32);
    while text.len() < bytes {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text +=
            &format!("{{\"symbol\":\"ACME\",\"price\":{},\"size\":{}}},", random >> 8 & 0xffff, random >> 24);
    }
    text.truncate(bytes);
    text.into_bytes()
}

/// Cost of a compressed frame, once for all its subscribers, or for one reply to a client.
fn deflate(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    for level in [1, 6] {
        let mut press = Press::new(Some(Options { level, bytes_min: 0 }));
        for bytes in [256, 1 << 10, 16 << 10] {
            let (payload, mut out) = (records(bytes), Vec::new());
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("frame of {bytes} B, level {level}"), |b| {
                b.iter(|| {
                    out.clear();
                    press.put_frame(&mut out, Kind::Text, black_box(&payload), Deflate::Wide);
                    assert_eq!(out[0], 0xc1);
                });
            });
        }
    }
    group.finish();
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("encode JSON, {count} joined"), |b| b.iter(|| json(count)));
        group.bench_function(format!("encode raw, {count} joined"), |b| b.iter(|| raw(count)));
    }
    let budget = Budget::new(usize::MAX);
    let shared = Shared::new(json(1), &budget);
    let mut outboxes: Vec<Outbox> = (0..SUBSCRIBERS).map(|_| Outbox::default()).collect();
    group.throughput(Throughput::Elements(SUBSCRIBERS));
    group.bench_function("queue and consume, per subscriber", |b| {
        b.iter(|| {
            for outbox in &mut outboxes {
                assert_eq!(outbox.push(black_box(&shared).clone(), 1 << 20), Push::Queued);
            }
            for outbox in &mut outboxes {
                outbox.consume(shared.len());
            }
        });
    });
    group.finish();
}

criterion_group!(encode, benches, deflate);
criterion_main!(encode);
