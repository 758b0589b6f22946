//! The timer wheel at the size of one shard: what a deadline costs to set, and a heartbeat interval to live through.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use throng::parts::base::wheel::Wheel;

const KEYS: u32 = 50_000;
/// Ticks are milliseconds.
const INTERVAL: u64 = 25_000;

/// Every key with a deadline of its own, spread over one interval.
fn full(now: u64) -> Wheel {
    let mut wheel = Wheel::new(now, KEYS as usize);
    for key in 0..KEYS {
        wheel.set(key, now + u64::from(key) * INTERVAL / u64::from(KEYS));
    }
    wheel
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    group.throughput(Throughput::Elements(1));
    let mut wheel = full(1_000_000);
    let mut key = 0;
    group.bench_function("set", |b| {
        b.iter(|| {
            // As scattered as connections that are heard from.
            key = (key + 0x9E37) % KEYS;
            wheel.set(black_box(key), 1_000_000 + u64::from(key));
        });
    });
    group.bench_function("next", |b| b.iter(|| black_box(&wheel).next()));
    group.throughput(Throughput::Elements(KEYS.into()));
    group.bench_function("interval", |b| {
        b.iter_batched_ref(
            || full(1_000_000),
            |wheel| {
                // A shard's life: wake when told to, set again what was due.
                let end = wheel.now() + INTERVAL;
                while let Some(next) = wheel.next().filter(|&next| next < end) {
                    while let Some(key) = wheel.pop_due(next) {
                        wheel.set(key, next + INTERVAL);
                    }
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(wheel, benches);
criterion_main!(wheel);
