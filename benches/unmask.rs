//! Unmasking, by size and by how the payload lies in memory.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng::parts::proto::ws::mask;

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("unmask");
    for length in [20usize, 125, 1 << 10, 16 << 10, 1 << 20] {
        let mut bytes = vec![0x5a; length + 16];
        group.throughput(Throughput::Bytes(length as u64));
        // Behind a header of 6, 8 or 14 bytes, payloads seldom begin where a word does.
        for start in [0, 6] {
            group.bench_function(format!("{length} B at {start}"), |b| {
                b.iter(|| {
                    mask::apply(black_box(&mut bytes[start..start + length]), black_box([1, 2, 3, 4]), 0)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(unmask, benches);
criterion_main!(unmask);
