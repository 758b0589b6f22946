//! A scrape as text: families with their samples, in the Prometheus text format (0.0.4).

use super::super::memory::Memory;
use super::{FAMILIES, Family, Snapshot, Source};
use crate::base::counters::{Counters, Histogram};
use crate::tls::Facts;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// The text of one scrape.
pub(in crate::control) fn render(snapshot: &Snapshot<'_>) -> String {
    let mut text = String::with_capacity(16 << 10);
    for family in FAMILIES {
        // Writing to a String cannot fail.
        family.write(snapshot, &mut text).ok();
    }
    text
}

impl Family {
    fn write(&self, snapshot: &Snapshot<'_>, out: &mut String) -> fmt::Result {
        let Self { name, kind, help, source } = self;
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        match source {
            Source::Sum(counter) => writeln!(out, "{name} {}", snapshot.sum(counter)),
            Source::PerShard(counter) => snapshot
                .per_shard(counter)
                .enumerate()
                .try_for_each(|(shard, value)| writeln!(out, "{name}{{shard=\"{shard}\"}} {value}")),
            Source::By(label, values) => values.iter().try_for_each(|(value, counter)| {
                writeln!(out, "{name}{{{label}=\"{value}\"}} {}", snapshot.sum(counter))
            }),
            Source::Memory => {
                let kinds =
                    snapshot.memory.map(|memory| [memory.resident_kinds(), Memory::kernel_kinds()].concat());
                kinds
                    .into_iter()
                    .flatten()
                    .try_for_each(|kind| writeln!(out, "{name}{{kind=\"{}\"}} {}", kind.name, kind.bytes))
            }
            Source::Merged(histogram) => write_histogram(name, snapshot.shards, *histogram, out),
            Source::One(value) => value(snapshot).map_or(Ok(()), |value| writeln!(out, "{name} {value}")),
            Source::Certificates => write_certificates(name, &snapshot.certificates, out),
            Source::Build => writeln!(out, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        }
    }
}

pub(super) fn write_certificates(name: &str, certificates: &[Facts], out: &mut String) -> fmt::Result {
    certificates.iter().enumerate().try_for_each(|(at, Facts { source, not_after_s, .. })| {
        if certificates[..at].iter().any(|before| before.source == *source) {
            return Ok(()); // An embedder's names may not be distinct; samples must be.
        }
        let source = source.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        writeln!(out, "{name}{{name=\"{source}\"}} {not_after_s}")
    })
}

fn write_histogram(
    name: &str,
    shards: &[Arc<Counters>],
    histogram: fn(&Counters) -> &Histogram,
    out: &mut String,
) -> fmt::Result {
    let mut merged: Vec<(Option<u64>, u64)> = Histogram::default().buckets().collect();
    let mut sum_us = 0u64;
    for shard in shards {
        let histogram = histogram(shard);
        for ((_, count), (_, more)) in merged.iter_mut().zip(histogram.buckets()) {
            *count += more;
        }
        sum_us = sum_us.wrapping_add(histogram.sum_us());
    }
    let mut count = 0;
    for (bound_us, more) in merged {
        count += more;
        match bound_us {
            Some(us) => writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", seconds(us))?,
            None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?,
        }
    }
    writeln!(out, "{name}_sum {}\n{name}_count {count}", seconds(sum_us))
}

/// Microseconds as seconds, exactly: no floating point, so that a bound has the same name in every scrape.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
