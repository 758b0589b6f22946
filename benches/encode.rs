//! Fan-out: what a batch of publications costs to encode, once, and then per subscriber, without a socket.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng::base::budget::Budget;
use throng::base::outbox::{Outbox, Push};
use throng::base::shared::Shared;
use throng::proto::centrifuge::message::{self, ChannelRef, ClientInfo, Data, Encoding, Publication};
use throng::proto::centrifuge::put_push;
use throng::proto::ws::{Kind, frame, put_frame};

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
        time_ms: 0,
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

criterion_group!(encode, benches);
criterion_main!(encode);
