//! WebSocket frames: a client's decoded where they lie, a server's written, by size of the payload.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng::parts::proto::ws::{Decoder, Event, Kind, Limits, put_frame};

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
/// As much as a shard reads at once.
const INPUT_BYTES: usize = 128 << 10;

/// As many frames as one read holds. The key is zero, so that decoding in place leaves them as they are.
fn input(kind: Kind, payload: usize) -> (Vec<u8>, u64) {
    let mut frame = vec![if kind == Kind::Text { 0x81 } else { 0x82 }];
    match u16::try_from(payload) {
        Ok(length @ 0..126) => frame.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => panic!("larger than any case here"),
    }
    frame.extend([0; 4]);
    frame.extend(std::iter::repeat_n(b'x', payload));
    let count = (INPUT_BYTES / frame.len()).max(1);
    (frame.repeat(count), count as u64)
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("framing");
    for (name, kind, payload) in [
        ("text 20 B", Kind::Text, 20),
        ("binary 20 B", Kind::Binary, 20),
        ("text 1 KiB", Kind::Text, 1 << 10),
        ("binary 16 KiB", Kind::Binary, 16 << 10),
    ] {
        let (mut bytes, count) = input(kind, payload);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| {
                let (mut decoder, mut input) = (Decoder::default(), &mut bytes[..]);
                let mut seen = 0;
                while let Ok(Some(Event::Message(_, payload))) = decoder.next(&mut input, &LIMITS, None) {
                    black_box(&*payload);
                    seen += 1;
                }
                assert_eq!(seen, count);
            });
        });
        let (message, mut out) = (vec![b'x'; payload], Vec::with_capacity(INPUT_BYTES));
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..count {
                    put_frame(&mut out, kind, black_box(&message));
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

criterion_group!(framing, benches);
criterion_main!(framing);
