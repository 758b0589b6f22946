//! The results of the threads of a run: failures by kind, and latencies.
//!
//! Invariant: both can be merged, so each thread keeps its own and nothing is shared during the run. Left out:
//! printing.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The maximum of the histogram; longer latencies count as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Maximum number of kinds of failure; a server that answers each connection differently must not fill memory.
const KINDS_MAX: usize = 64;

/// Failures, counted by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Failures(BTreeMap<String, u64>);

impl Failures {
    pub(crate) fn add(&mut self, kind: String, count: u64) {
        if count == 0 {
            return;
        }
        let full = self.0.len() >= KINDS_MAX && !self.0.contains_key(&kind);
        *self.0.entry(if full { "other".to_owned() } else { kind }).or_insert(0) += count;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, count) in other.0 {
            self.add(kind, count);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

/// A histogram of nanoseconds with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(100, LATENCY_NS_MAX, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("the bounds are constants that fit")))
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).unwrap_or_else(|_| unreachable!("all histograms have the same bounds"));
    }

    /// The reported figures; `None` if nothing was recorded.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let us = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Summary {
            count: self.0.len(),
            mean_us: self.0.mean() / 1e3,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.0.max() as f64 / 1e3,
        })
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_bounded_and_counts_are_not_lost() {
        let (mut a, mut b) = (Failures::default(), Failures::default());
        a.add("none".to_owned(), 0);
        assert!(a.is_empty());
        for i in 0..1000 {
            a.add(format!("kind {i}"), 1);
            b.add("kind 0".to_owned(), 2);
        }
        a.merge(b);
        assert_eq!(a.each().map(|(_, n)| n).sum::<u64>(), 3000);
        assert_eq!(a.each().count(), KINDS_MAX + 1);
        assert!(a.each().any(|(kind, n)| (kind, n) == ("kind 0", 2001)));
    }

    #[test]
    fn latencies_merge_and_saturate() {
        let (mut a, mut b) = (Latency::new(), Latency::new());
        assert!(a.summary().is_none());
        for ns in 1..=1000 {
            a.record(ns * 1000);
        }
        b.record(u64::MAX);
        b.record(0);
        a.merge(&b);
        let s = a.summary().unwrap();
        assert_eq!(s.count, 1002);
        assert!((s.p50_us - 500.0).abs() < 1.0 && (s.p99_us - 991.0).abs() < 2.0, "{s:?}");
        assert!(s.max_us >= LATENCY_NS_MAX as f64 / 1e3 * 0.99);
    }
}
