//! Metrics in the Prometheus text format (0.0.4): a table of families, and a pure function from a snapshot to text.
//!
//! Every counter of [`Counters`] stands in exactly one family (tested). Values that differ between shards in a
//! way that matters are told per shard; all others are sums.

mod families;
mod rows;
mod text;

use super::api::ApiCounts;
use super::gate::Gate;
use super::logs;
use super::memory::Memory;
use super::process;
use super::{Readiness, State};
use crate::base::counters::{ByName, ByPlace, Counter, Counters, Histogram, NamespaceCounters};
use crate::node::{Certificates, Reloader};
use crate::outside::World;
use crate::outside::counts::{Counts, HookCounts, Open};
use crate::tls::Facts;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub use families::families;
pub(super) use text::render;

/// The media type of what [`render`] gives.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long those who ask by client listeners share one text.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// What of the configuration metrics go by.
#[derive(Debug, Default)]
pub struct Scrape {
    /// How many connections the limits allow.
    pub capacity: u64,
    /// Names of clients' programs by which shards count clients.
    pub client_names: Vec<String>,
    /// Whether each shard has a descriptor table of its own, to be counted as well.
    pub private_descriptors: bool,
}

impl Scrape {
    /// For so many connections, by these names, with a descriptor table for each shard or one for all.
    pub fn new(capacity: u64, client_names: Vec<String>, private_descriptors: bool) -> Self {
        Self { capacity, client_names, private_descriptors }
    }
}

/// What a scrape looks at.
pub(super) struct View {
    counters: Vec<Arc<Counters>>,
    pub(super) readiness: Arc<Readiness>,
    api: Arc<ApiCounts>,
    gate: Option<Arc<Gate>>,
    certificates: Option<Certificates>,
    reloader: Option<Reloader>,
    memory: Option<Memory>,
    outside: Option<Arc<World>>,
    scrape: Scrape,
    start_seconds: f64,
    /// The text that several may share, and when it was made.
    shared: Mutex<Option<(Instant, Arc<str>)>>,
}

impl View {
    #[expect(clippy::disallowed_methods, reason = "the start of the process, read once, far from any shard")]
    pub(super) fn new(counters: Vec<Arc<Counters>>, scrape: Scrape, readiness: Arc<Readiness>) -> Self {
        let start_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let api = Arc::default();
        let (certificates, reloader, memory, gate, outside) = (None, None, None, None, None);
        Self {
            counters,
            scrape,
            readiness,
            api,
            gate,
            certificates,
            reloader,
            memory,
            outside,
            start_seconds,
            shared: Mutex::default(),
        }
    }

    /// Looks at an API's counts as well.
    pub(super) fn with_api(self, api: Arc<ApiCounts>) -> Self {
        Self { api, ..self }
    }

    /// Looks at what a gate refused as well.
    pub(super) fn with_gate(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Looks at certificates as well.
    pub(super) fn with_certificates(self, certificates: Option<Certificates>) -> Self {
        Self { certificates, ..self }
    }

    /// Counts the reloads of the configuration as well.
    pub(super) fn with_reloader(self, reloader: Option<Reloader>) -> Self {
        Self { reloader, ..self }
    }

    /// Looks at what memory is used for as well.
    pub(super) fn with_memory(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Looks at hooks and tokens as well.
    pub(super) fn with_outside(self, outside: Arc<World>) -> Self {
        Self { outside: Some(outside), ..self }
    }

    /// What memory is used for, if that is looked at.
    pub(super) fn memory_json(&self) -> Option<serde_json::Value> {
        let connections = self.counters.iter().map(|shard| shard.connections.value()).sum();
        self.memory.as_ref().map(|memory| memory.debug(connections))
    }

    /// The values as text, of some moment of the last second.
    pub(super) fn shared_text(&self) -> Arc<str> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &*shared {
            Some((made, text)) if now - *made < SHARED_FOR => Arc::clone(text),
            _ => {
                let text: Arc<str> = render(&self.snapshot()).into();
                *shared = Some((now, Arc::clone(&text)));
                text
            }
        }
    }

    /// All values now.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            shards: &self.counters,
            values: self.counters.iter().map(|shard| shard.each().collect()).collect(),
            capacity: self.scrape.capacity,
            ready: self.readiness.state() == State::Ready,
            api: &self.api,
            control_refused: self.gate.as_ref().map_or(0, |gate| gate.refused_count()),
            control_timeouts: self.gate.as_ref().map_or(0, |gate| gate.timeout_count()),
            control_displaced: self.gate.as_ref().map_or(0, |gate| gate.displaced_count()),
            certificates: self.certificates.as_ref().map_or_else(Vec::new, Certificates::facts),
            memory: self.memory.as_ref(),
            outside: self.outside.as_ref().map(|world| (world.counts(), world.open())),
            config_reloads: self.reloader.as_ref().map_or((0, 0), Reloader::counts),
            reloads: self.certificates.as_ref().map_or((0, 0), Certificates::counts),
            log_lines_lost: logs::lost_lines(),
            client_names: &self.scrape.client_names,
            open_descriptors: process::open_descriptors(self.scrape.private_descriptors),
            descriptors_max: process::descriptors_max(),
            start_seconds: self.start_seconds,
            resident_bytes: process::resident_and_anonymous_bytes().map(|(resident, _)| resident),
            cpu_seconds: process::cpu_seconds(),
        }
    }
}

/// The values of one scrape. Each counter is read once, so that no two families disagree.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    shards: &'a [Arc<Counters>],
    values: Vec<Vec<(&'static str, u64)>>,
    capacity: u64,
    ready: bool,
    api: &'a ApiCounts,
    control_refused: u64,
    control_timeouts: u64,
    control_displaced: u64,
    certificates: Vec<Facts>,
    /// Of certificates: how many, and how many failed.
    memory: Option<&'a Memory>,
    outside: Option<(&'a Counts, Open)>,
    reloads: (u64, u64),
    /// Of the configuration: the same.
    config_reloads: (u64, u64),
    log_lines_lost: u64,
    client_names: &'a [String],
    open_descriptors: Option<u64>,
    descriptors_max: Option<u64>,
    start_seconds: f64,
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
}

impl Snapshot<'_> {
    fn per_shard(&self, counter: &str) -> impl Iterator<Item = u64> {
        self.values
            .iter()
            .map(move |shard| shard.iter().find(|(name, _)| *name == counter).map_or(0, |(_, v)| *v))
    }

    fn sum(&self, counter: &str) -> u64 {
        self.per_shard(counter).fold(0, u64::wrapping_add)
    }

    /// The fullest shard over the mean; 1 is even. Without connections nothing is uneven.
    fn skew(&self) -> f64 {
        let max = self.per_shard("connections").max().unwrap_or(0);
        let sum = self.sum("connections");
        if sum == 0 { 1.0 } else { max as f64 * self.values.len() as f64 / sum as f64 }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A metric: one name with its samples.
#[derive(Debug)]
pub struct Family {
    /// As it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A counter, summed over shards.
    Sum(&'static str),
    /// A counter, one sample per shard.
    PerShard(&'static str),
    /// Counters summed over shards, told apart by a label: its name, and (its value, the counter).
    By(&'static str, &'static [(&'static str, &'static str)]),
    /// Counters of shards by a label of their own: its name, and its values, each at its place.
    ByPlace(&'static str, fn(&Counters) -> &ByPlace, Values),
    /// Sessions, told apart by the label `transport`.
    Sessions,
    /// Clients, told apart by the labels `transport` and `client_name`.
    Clients(fn(&ByName) -> &[Counter]),
    /// Errors in answers of the server API, told apart by the label `code`.
    ApiErrors,
    /// Durations of requests to the server API, told apart by the label `method`.
    ApiSeconds,
    /// Bytes, told apart by the label `kind`.
    Memory,
    /// What homes count, told apart by the label `namespace`, where that is configured.
    ByNamespace(fn(&NamespaceCounters) -> &Counter),
    /// Of hooks that are configured, told apart by the label `hook`.
    ByHook(fn(&HookCounts) -> &Counter),
    /// Failures of hooks that are configured, told apart by the labels `hook` and `reason`.
    HookFailures,
    /// Durations, told apart by the label `hook`.
    HookSeconds,
    /// Of key sets that are configured: what there is to tell of each, by the label `tokens`.
    KeySets(KeySetSource),
    /// A histogram of tokens.
    TokenSeconds,
    /// Tokens, told apart by the label `result`.
    Tokens,
    /// A histogram, merged over shards.
    Merged(fn(&Counters) -> &Histogram),
    /// A histogram of numbers that are no durations, merged over shards.
    MergedNumbers(fn(&Counters) -> &Histogram),
    /// One value that is not a shard's; `None`: not known here.
    One(fn(&Snapshot<'_>) -> Option<f64>),
    /// A moment in the life of each certificate in use, in seconds since 1970.
    Certificates(fn(&Facts) -> i64),
    /// Always 1; the labels are what it says.
    Build,
}

/// Values of a label, in the order of their places.
#[derive(Debug)]
enum Values {
    /// The protocol's codes, and one for all others.
    Codes(&'static [u32]),
    /// Names.
    Names(&'static [&'static str]),
}

/// What is told of key sets.
#[derive(Debug)]
enum KeySetSource {
    /// Durations of fetches.
    Seconds,
    /// Fetches that failed, by the label `reason`, too.
    Failures,
    /// When the set in use was fetched, if one is.
    Fetched,
}

impl Family {
    /// The labels of its samples, for the manual.
    pub fn labels(&self) -> &'static str {
        match self.source {
            Source::PerShard(_) => "shard",
            Source::By(label, _) | Source::ByPlace(label, _, _) => label,
            Source::Sessions => "transport",
            Source::Clients(_) => "transport, client_name",
            Source::ApiErrors => "code",
            Source::ApiSeconds => "method, le",
            Source::Memory => "kind",
            Source::ByNamespace(_) => "namespace",
            Source::ByHook(_) => "hook",
            Source::HookFailures => "hook, reason",
            Source::HookSeconds => "hook, le",
            Source::KeySets(KeySetSource::Seconds) => "tokens, le",
            Source::KeySets(KeySetSource::Failures) => "tokens, reason",
            Source::KeySets(KeySetSource::Fetched) => "tokens",
            Source::Tokens => "result",
            Source::Merged(_) | Source::MergedNumbers(_) | Source::TokenSeconds => "le",
            Source::Certificates(_) => "name",
            Source::Build => "version",
            Source::Sum(_) | Source::One(_) => "",
        }
    }
}

#[cfg(test)]
mod tests;
