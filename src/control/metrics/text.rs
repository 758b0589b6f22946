//! A scrape as text: families with their samples, in the Prometheus text format (0.0.4).

use super::super::api::TIMED;
use super::super::memory::Memory;
use super::families::families;
use super::{Family, KeySetSource, Snapshot, Source, Values};
use crate::base::counters::{ByPlace, Counter, Histogram};
use crate::hub::tally::NamespaceCounters;
use crate::outside::counts::{FAILURES, HOOKS, HookCounts, KEY_SETS, KeySetCounts, TokenCounts};
use crate::session::kinds;
use crate::session::labels::{ERRORS, OTHER, code_labels};
use crate::shard::counters::{ByName, CLIENT_NAMES_MAX, Counters};
use crate::tls::Facts;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Snapshot<'_> {
    /// Configured hooks with their names.
    fn hooks(&self) -> impl Iterator<Item = (&'static str, &HookCounts)> {
        let all = self.outside.into_iter().flat_map(|(counts, _)| HOOKS.into_iter().zip(&counts.hooks));
        all.filter(|(_, counts)| counts.is_configured.load(Relaxed))
    }

    /// Configured key sets, by the kind of tokens.
    fn key_sets(&self) -> impl Iterator<Item = (&'static str, &KeySetCounts)> {
        let all = self.outside.into_iter().flat_map(|(counts, _)| KEY_SETS.into_iter().zip(&counts.key_sets));
        all.map(|(tokens, counts)| (tokens, &**counts))
            .filter(|(_, counts)| counts.is_configured.load(Relaxed))
    }
}

/// The text of one scrape.
pub(in crate::control) fn render(snapshot: &Snapshot<'_>) -> String {
    let mut text = String::with_capacity(16 << 10);
    for family in families() {
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
            Source::ByPlace(label, counts, values) => {
                write_by_place((name, label), snapshot.shards, *counts, values, out)
            }
            Source::Clients(counts) => write_clients(name, snapshot, *counts, out),
            Source::ApiErrors => write_api_errors(name, snapshot, out),
            Source::ApiSeconds => {
                TIMED.iter().zip(&snapshot.api.took_us).try_for_each(|(method, took_us)| {
                    write_histogram(name, &format!("method=\"{method}\""), &[took_us], seconds, out)
                })
            }
            Source::Sessions => write_sessions(name, snapshot.shards, out),
            Source::Memory => snapshot.memory.map_or(Ok(()), |memory| write_memory(name, memory, out)),
            Source::ByNamespace(counter) => write_by_namespace(name, snapshot.shards, *counter, out),
            Source::ByHook(counter) => snapshot.hooks().try_for_each(|(hook, counts)| {
                writeln!(out, "{name}{{hook=\"{hook}\"}} {}", counter(counts).value())
            }),
            Source::HookFailures => snapshot
                .hooks()
                .try_for_each(|(hook, counts)| write_failures((name, hook), &counts.failures, out)),
            Source::HookSeconds => snapshot.hooks().try_for_each(|(hook, counts)| {
                write_histogram(name, &format!("hook=\"{hook}\""), &[&counts.took_us], seconds, out)
            }),
            Source::KeySets(source) => {
                snapshot.key_sets().try_for_each(|(tokens, counts)| source.write(name, tokens, counts, out))
            }
            Source::TokenSeconds => snapshot.outside.map_or(Ok(()), |(counts, _)| {
                write_histogram(name, "", &[&counts.tokens.took_us], seconds, out)
            }),
            Source::Tokens => {
                snapshot.outside.map_or(Ok(()), |(counts, _)| write_tokens(name, &counts.tokens, out))
            }
            Source::Merged(histogram) => {
                let all: Vec<&Histogram> = snapshot.shards.iter().map(|shard| histogram(shard)).collect();
                write_histogram(name, "", &all, seconds, out)
            }
            Source::MergedNumbers(histogram) => {
                let all: Vec<&Histogram> = snapshot.shards.iter().map(|shard| histogram(shard)).collect();
                write_histogram(name, "", &all, |number| number.to_string(), out)
            }
            Source::One(value) => value(snapshot).map_or(Ok(()), |value| writeln!(out, "{name} {value}")),
            Source::Certificates(moment) => write_certificates(name, &snapshot.certificates, *moment, out),
            Source::Build => writeln!(out, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Values {
    fn all(&self) -> Vec<String> {
        match self {
            Self::Codes(codes) => code_labels(codes).collect(),
            Self::Names(names) => names.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

impl KeySetSource {
    fn write(&self, name: &str, tokens: &str, counts: &KeySetCounts, out: &mut String) -> fmt::Result {
        match self {
            Self::Seconds => {
                write_histogram(name, &format!("tokens=\"{tokens}\""), &[&counts.took_us], seconds, out)
            }
            Self::Failures => FAILURES.iter().zip(&counts.failures).try_for_each(|(reason, count)| {
                writeln!(out, "{name}{{tokens=\"{tokens}\",reason=\"{reason}\"}} {}", count.value())
            }),
            Self::Fetched => match counts.fetched_unix_s.load(Relaxed) {
                // There is no set: a time long ago would mean a very old one.
                0 => Ok(()),
                at => writeln!(out, "{name}{{tokens=\"{tokens}\"}} {at}"),
            },
        }
    }
}

pub(super) fn write_certificates(
    name: &str,
    certificates: &[Facts],
    moment: fn(&Facts) -> i64,
    out: &mut String,
) -> fmt::Result {
    certificates.iter().enumerate().try_for_each(|(at, facts)| {
        let (source, seconds) = (&facts.source, moment(facts));
        if certificates[..at].iter().any(|before| before.source == *source) {
            return Ok(()); // An embedder's names may not be distinct; samples must be.
        }
        let source = source.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        writeln!(out, "{name}{{name=\"{source}\"}} {seconds}")
    })
}

fn write_by_namespace(
    name: &str,
    shards: &[Arc<Counters>],
    counter: fn(&NamespaceCounters) -> &Counter,
    out: &mut String,
) -> fmt::Result {
    let mut sums: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for (namespace, counters) in shards.iter().flat_map(|shard| shard.by_namespace.all()) {
        let sum = sums.entry(namespace).or_default();
        *sum = sum.wrapping_add(counter(&counters).value());
    }
    // Names of namespaces consist of letters, digits, `_`, `-` and `.`: no escapes are needed.
    sums.into_iter()
        .try_for_each(|(namespace, sum)| writeln!(out, "{name}{{namespace=\"{namespace}\"}} {sum}"))
}

fn write_sessions(name: &str, shards: &[Arc<Counters>], out: &mut String) -> fmt::Result {
    kinds().try_for_each(|kind| {
        let count: u64 = shards.iter().map(|shard| shard.sessions_by_kind[kind.number()].value()).sum();
        writeln!(out, "{name}{{transport=\"{}\"}} {count}", kind.name())
    })
}

fn write_memory(name: &str, memory: &Memory, out: &mut String) -> fmt::Result {
    let kinds = [memory.resident_kinds(), Memory::kernel_kinds()].concat();
    kinds.iter().try_for_each(|kind| writeln!(out, "{name}{{kind=\"{}\"}} {}", kind.name, kind.bytes))
}

fn write_failures((name, hook): (&str, &str), failures: &[Counter], out: &mut String) -> fmt::Result {
    FAILURES.iter().zip(failures).try_for_each(|(reason, count)| {
        writeln!(out, "{name}{{hook=\"{hook}\",reason=\"{reason}\"}} {}", count.value())
    })
}

fn write_tokens(name: &str, tokens: &TokenCounts, out: &mut String) -> fmt::Result {
    let TokenCounts { taken, expired, invalid, unknowable, .. } = tokens;
    [("taken", taken), ("expired", expired), ("invalid", invalid), ("unknowable", unknowable)]
        .into_iter()
        .try_for_each(|(result, count)| {
            writeln!(out, "{name}{{result=\"{result}\"}} {}", count.load(Relaxed))
        })
}

fn write_by_place(
    (name, label): (&str, &str),
    shards: &[Arc<Counters>],
    counts: fn(&Counters) -> &ByPlace,
    values: &Values,
    out: &mut String,
) -> fmt::Result {
    values.all().into_iter().enumerate().try_for_each(|(at, value)| {
        let count = shards.iter().map(|shard| counts(shard)[at].value()).fold(0, u64::wrapping_add);
        writeln!(out, "{name}{{{label}=\"{value}\"}} {count}")
    })
}

fn write_api_errors(name: &str, snapshot: &Snapshot<'_>, out: &mut String) -> fmt::Result {
    let mut errors = code_labels(ERRORS).zip(&snapshot.api.errors);
    errors.try_for_each(|(code, count)| writeln!(out, "{name}{{code=\"{code}\"}} {}", count.value()))
}

/// Writes the clients by transport and name of the program: always those without a name, others once there was one.
fn write_clients(
    name: &str,
    snapshot: &Snapshot<'_>,
    counts: fn(&ByName) -> &[Counter],
    out: &mut String,
) -> fmt::Result {
    let names = ["", OTHER].into_iter().chain(snapshot.client_names.iter().map(String::as_str));
    let names: Vec<_> = names.take(CLIENT_NAMES_MAX).enumerate().collect();
    for kind in kinds().filter(|kind| kind.is_named()) {
        let transport = kind.name();
        let sum = |counts: &dyn Fn(&ByName) -> u64| -> u64 {
            snapshot
                .shards
                .iter()
                .map(|shard| counts(&shard.clients_by_kind[kind.number()]))
                .fold(0, u64::wrapping_add)
        };
        for &(place, client) in &names {
            if place == 0 || sum(&|by_name| by_name.connects[place].value()) > 0 {
                let count = sum(&|by_name| counts(by_name)[place].value());
                writeln!(out, "{name}{{transport=\"{transport}\",client_name=\"{client}\"}} {count}")?;
            }
        }
    }
    Ok(())
}

/// Writes the sum of histograms; all samples have `labels`; `show` formats a bound or the sum.
fn write_histogram(
    name: &str,
    labels: &str,
    histograms: &[&Histogram],
    show: fn(u64) -> String,
    out: &mut String,
) -> fmt::Result {
    let mut merged: Vec<(Option<u64>, u64)> = Histogram::default().buckets().collect();
    let mut sum_us = 0u64;
    for histogram in histograms {
        for ((_, count), (_, more)) in merged.iter_mut().zip(histogram.buckets()) {
            *count += more;
        }
        sum_us = sum_us.wrapping_add(histogram.sum_us());
    }
    let (more, own) = match labels {
        "" => (String::new(), String::new()),
        labels => (format!("{labels},"), format!("{{{labels}}}")),
    };
    let mut count = 0;
    for (bound_us, more_of_it) in merged {
        count += more_of_it;
        match bound_us {
            Some(us) => writeln!(out, "{name}_bucket{{{more}le=\"{}\"}} {count}", show(us))?,
            None => writeln!(out, "{name}_bucket{{{more}le=\"+Inf\"}} {count}")?,
        }
    }
    writeln!(out, "{name}_sum{own} {}\n{name}_count{own} {count}", show(sum_us))
}

/// Converts microseconds to seconds exactly: without floating point, a bound has the same text in every scrape.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
