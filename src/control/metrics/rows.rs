//! Constructors for rows of the table of metrics.

use super::{Family, Kind, Snapshot, Source};
use crate::base::counters::Histogram;
use crate::shard::counters::Counters;

pub(super) const fn total(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, source: Source::Sum(counter) }
}

pub(super) const fn total_per_shard(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, source: Source::PerShard(counter) }
}

pub(super) const fn gauge(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, source: Source::Sum(counter) }
}

pub(super) const fn gauge_per_shard(name: &'static str, counter: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, source: Source::PerShard(counter) }
}

pub(super) const fn one(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&Snapshot<'_>) -> Option<f64>,
) -> Family {
    Family { name, kind, help, source: Source::One(value) }
}

pub(super) const fn merged(
    name: &'static str,
    help: &'static str,
    histogram: fn(&Counters) -> &Histogram,
) -> Family {
    Family { name, kind: Kind::Histogram, help, source: Source::Merged(histogram) }
}
