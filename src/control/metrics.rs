//! Metrics in the Prometheus text format (0.0.4): a table of families, and a pure function from a snapshot to text.
//!
//! Every counter of [`Counters`] belongs to exactly one family (tested). Values whose difference between shards
//! matters have one sample per shard; all others are sums.

mod families;
mod rows;
mod text;

use super::api::ApiCounts;
use super::gate::Gate;
use super::logs;
use super::memory::Memory;
use super::process;
use super::{Readiness, State};
use crate::base::counters::{ByPlace, Counter, Histogram};
use crate::hub::tally::NamespaceCounters;
use crate::node::{Certificates, Reloader};
use crate::outside::World;
use crate::outside::counts::{Counts, HookCounts, Open};
use crate::shard::counters::{ByName, Counters};
use crate::tls::Facts;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub use families::families;
pub(super) use text::render;

/// The media type of the text from [`render`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Time for which clients of client listeners receive the same text.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// The part of the configuration that metrics depend on.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The number of connections that the limits allow.
    pub capacity: u64,
    /// Names of client programs by which shards count clients.
    pub client_names: Vec<String>,
    /// Whether each shard has a descriptor table of its own, which is counted as well.
    pub private_descriptors: bool,
}

impl Scrape {
    /// The configuration with these values.
    pub fn new(capacity: u64, client_names: Vec<String>, private_descriptors: bool) -> Self {
        Self { capacity, client_names, private_descriptors }
    }
}

/// The sources of a scrape.
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
    /// The shared text, and the time at which it was made.
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

    /// Adds the counts of an API.
    pub(super) fn with_api(self, api: Arc<ApiCounts>) -> Self {
        Self { api, ..self }
    }

    /// Adds the counts of a gate.
    pub(super) fn with_gate(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Adds the certificates.
    pub(super) fn with_certificates(self, certificates: Option<Certificates>) -> Self {
        Self { certificates, ..self }
    }

    /// Adds the reloads of the configuration.
    pub(super) fn with_reloader(self, reloader: Option<Reloader>) -> Self {
        Self { reloader, ..self }
    }

    /// Adds the use of memory.
    pub(super) fn with_memory(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Adds hooks and tokens.
    pub(super) fn with_outside(self, outside: Arc<World>) -> Self {
        Self { outside: Some(outside), ..self }
    }

    /// The use of memory, if it was added.
    pub(super) fn memory_json(&self) -> Option<serde_json::Value> {
        let connections = self.counters.iter().map(|shard| shard.connections.value()).sum();
        self.memory.as_ref().map(|memory| memory.debug(connections))
    }

    /// The values as text, at most one second old.
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

    /// The current values.
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

/// The values of one scrape. Each counter is read once, so that families are consistent.
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
    /// Reloads of certificates: their number, and the number of failed ones.
    memory: Option<&'a Memory>,
    outside: Option<(&'a Counts, Open)>,
    reloads: (u64, u64),
    /// Reloads of the configuration, in the same form.
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

    /// The connections of the fullest shard divided by the mean; 1 is even, also without connections.
    fn skew(&self) -> f64 {
        let max = self.per_shard("connections").max().unwrap_or(0);
        let sum = self.sum("connections");
        if sum == 0 { 1.0 } else { max as f64 * self.values.len() as f64 / sum as f64 }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that grows until the process ends.
    Counter,
    /// A value that grows and falls.
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
    /// The name in the scrape.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The meaning, in one sentence.
    pub help: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A counter, summed over shards.
    Sum(&'static str),
    /// A counter, one sample per shard.
    PerShard(&'static str),
    /// Counters summed over shards, with a label: its name, and pairs of its value and the counter.
    By(&'static str, &'static [(&'static str, &'static str)]),
    /// Counters of shards with a label: its name, the counters, and its values in their order.
    ByPlace(&'static str, fn(&Counters) -> &ByPlace, Values),
    /// Sessions, with the label `transport`.
    Sessions,
    /// Clients, with the labels `transport` and `client_name`.
    Clients(fn(&ByName) -> &[Counter]),
    /// Errors in answers of the server API, with the label `code`.
    ApiErrors,
    /// Durations of requests to the server API, with the label `method`.
    ApiSeconds,
    /// Bytes, with the label `kind`.
    Memory,
    /// Counts of homes, with the label `namespace`, if configured.
    ByNamespace(fn(&NamespaceCounters) -> &Counter),
    /// A counter of each configured hook, with the label `hook`.
    ByHook(fn(&HookCounts) -> &Counter),
    /// Failures of configured hooks, with the labels `hook` and `reason`.
    HookFailures,
    /// Durations, with the label `hook`.
    HookSeconds,
    /// Values of configured key sets, with the label `tokens`.
    KeySets(KeySetSource),
    /// A histogram of tokens.
    TokenSeconds,
    /// Tokens, with the label `result`.
    Tokens,
    /// A histogram, merged over shards.
    Merged(fn(&Counters) -> &Histogram),
    /// A histogram of numbers other than durations, merged over shards.
    MergedNumbers(fn(&Counters) -> &Histogram),
    /// One value that does not belong to a shard; `None` if it is not known.
    One(fn(&Snapshot<'_>) -> Option<f64>),
    /// A time of each certificate in use, in seconds since 1970.
    Certificates(fn(&Facts) -> i64),
    /// Always 1; the labels have the content.
    Build,
}

/// The values of a label, in the order of the counters.
#[derive(Debug)]
enum Values {
    /// The codes of the protocol, and one value for all others.
    Codes(&'static [u32]),
    /// Names.
    Names(&'static [&'static str]),
}

/// A value of key sets.
#[derive(Debug)]
enum KeySetSource {
    /// Durations of fetches.
    Seconds,
    /// Failed fetches, with the label `reason`, too.
    Failures,
    /// The time at which the set in use was fetched, if there is one.
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
