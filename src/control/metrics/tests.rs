//! Tests of the metrics with a strict parser of the exposition format.

use super::text::write_certificates;
use super::*;
use crate::base::budget::Budget;
use crate::shard::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

/// A sample's labels, each with its value.
type Labels = Vec<(String, String)>;

/// A family as parsed by a scraper.
#[derive(Debug, Default)]
struct Scraped {
    kind: String,
    /// (name, labels) and value.
    samples: Vec<(String, Labels, f64)>,
}

fn is_name(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    text.bytes().next().is_some_and(letter) && text.bytes().all(|b| letter(b) || b.is_ascii_digit())
}

/// Parses the text by the description of the format, and panics at the first error.
fn scrape(text: &str) -> BTreeMap<String, Scraped> {
    let mut families: BTreeMap<String, Scraped> = BTreeMap::new();
    let mut current = String::new();
    let mut helped = String::new();
    assert!(text.ends_with('\n'), "the last line ends with a line feed");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help text");
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            assert!(!families.contains_key(name), "{name} comes twice");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, helped, "TYPE follows its own HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            current = name.to_owned();
            families.insert(current.clone(), Scraped { kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect("samples come after their TYPE");
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(
                suffixes.iter().any(|s| name == format!("{current}{s}")),
                "{name} stands under {current}"
            );
            assert!(!family.samples.iter().any(|(n, l, _)| *n == name && *l == labels), "{line} comes twice");
            family.samples.push((name, labels, value));
        }
    }
    families
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value: f64 = value.parse().expect("a number");
    let Some((name, rest)) = series.split_once('{') else {
        assert!(is_name(series), "{line}");
        return (series.to_owned(), Vec::new(), value);
    };
    assert!(is_name(name), "{line}");
    let labels = rest.strip_suffix('}').expect("a closing brace").split(',').map(|pair| {
        let (label, quoted) = pair.split_once('=').expect("a label and a value");
        let plain = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).expect("a quoted value");
        assert!(is_name(label) && !plain.contains(['"', '\\']), "{line}");
        (label.to_owned(), plain.to_owned())
    });
    (name.to_owned(), labels.collect(), value)
}

/// Checks all histograms of a family: one for each combination of its own labels.
fn check_histograms(name: &str, family: &Scraped) {
    let own = |labels: &Labels| labels.iter().filter(|(label, _)| label != "le").cloned().collect::<Labels>();
    let all: BTreeSet<Labels> = family.samples.iter().map(|(_, labels, _)| own(labels)).collect();
    for one in all {
        let samples: Vec<_> = family.samples.iter().filter(|(_, labels, _)| own(labels) == one).collect();
        let value = |suffix: &str| {
            let wanted = format!("{name}{suffix}");
            samples.iter().find(|(n, _, _)| *n == wanted).map(|(_, _, v)| *v).expect("_sum and _count")
        };
        let mut last = (f64::NEG_INFINITY, 0.0);
        for (_, labels, count) in samples.iter().filter(|(n, _, _)| n.ends_with("_bucket")) {
            let Some((label, bound)) = labels.last() else { panic!("{name}: a bucket has a label") };
            assert_eq!(label, "le");
            let bound: f64 = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            assert!(bound > last.0 && *count >= last.1, "{name}: bounds ascend, counts are cumulative");
            last = (bound, *count);
        }
        assert_eq!(last, (f64::INFINITY, value("_count")), "{name}: the last bucket holds all");
        assert!(value("_sum") >= 0.0);
    }
}

/// Counters that appear only as kinds of memory.
const IN_MEMORY: [&str; 13] = [
    "connection_bytes",
    "vacant_bytes",
    "tls_links",
    "plain_lines",
    "outbox_queue_bytes",
    "clients",
    "client_bytes",
    "subscription_bytes",
    "channel_bytes",
    "presence_bytes",
    "letter_bytes",
    "partial_bytes",
    "buffer_bytes",
];

fn view(shards: Vec<Arc<Counters>>) -> View {
    let readiness = Arc::new(Readiness::new(shards.len()));
    let ledger = Ledger::new(shards.clone().into(), Budget::new(1), Budget::new(1));
    View::new(shards, Scrape { capacity: 39_800, ..Scrape::default() }, readiness)
        .with_memory(Memory { ledger, memory_max: 0 })
}

fn value(families: &BTreeMap<String, Scraped>, name: &str, label: Option<(&str, &str)>) -> f64 {
    let family = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
    let labels: Vec<_> = label.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let found = families[family].samples.iter().find(|(n, l, _)| n == name && *l == labels);
    found.unwrap_or_else(|| panic!("{name} {label:?} in {:?}", families[family])).2
}

fn certificate(source: &str, not_after_s: i64) -> Facts {
    Facts { source: source.to_owned(), names: Vec::new(), not_before_s: 0, not_after_s, sha256: [0; 32] }
}

/// Counts of one configured hook that was called.
fn counts() -> Counts {
    let counts = Counts::default();
    let rpc = &counts.hooks[2];
    rpc.is_configured.store(true, Relaxed);
    rpc.took_us.record(1000);
    rpc.failures[1].add(1);
    rpc.retries.add(2);
    counts.tokens.expired.store(3, Relaxed);
    counts.tokens.took_us.record_shared(1);
    let keys = &counts.key_sets[1];
    keys.is_configured.store(true, Relaxed);
    keys.took_us.record(2000);
    keys.failures[2].add(1);
    keys.fetched_unix_s.store(1_800_000_000, Relaxed);
    counts.states.told.store(5, Relaxed);
    counts.states.sent.store(1, Relaxed);
    counts
}

#[test]
fn hooks_tokens_and_namespaces_are_told() {
    let shards: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
    shards[0].by_namespace.of("chat").subscriptions.set(3);
    shards[1].by_namespace.of("chat").subscriptions.set(4);
    shards[1].by_namespace.of("").publications.add(5);
    shards.iter().for_each(|shard| shard.by_namespace.of("chat").deliveries.add(50));
    let (view, outside) = (view(shards), counts());
    let mut snapshot = view.snapshot();
    snapshot.outside = Some((&outside, Open { hooks: 9, hook_requests: 8, tokens: 7 }));
    let text = render(&snapshot);
    for line in [
        "throng_namespace_subscriptions{namespace=\"chat\"} 7",
        "throng_namespace_publications_total{namespace=\"\"} 5",
        "throng_namespace_deliveries_total{namespace=\"chat\"} 100",
        "throng_hook_seconds_bucket{hook=\"rpc\",le=\"0.000512\"} 0",
        "throng_hook_seconds_bucket{hook=\"rpc\",le=\"+Inf\"} 1",
        "throng_hook_seconds_sum{hook=\"rpc\"} 0.001",
        "throng_hook_seconds_count{hook=\"rpc\"} 1",
        "throng_hook_failures_total{hook=\"rpc\",reason=\"broken\"} 1",
        "throng_hook_failures_total{hook=\"rpc\",reason=\"timeout\"} 0",
        "throng_hook_retries_total{hook=\"rpc\"} 2",
        "throng_hooks_open 9",
        "throng_hook_requests 8",
        "throng_tokens_open 7",
        "throng_tokens_total{result=\"expired\"} 3",
        "throng_token_seconds_count 1",
        "throng_key_set_seconds_sum{tokens=\"subscription\"} 0.002",
        "throng_key_set_failures_total{tokens=\"subscription\",reason=\"status\"} 1",
        "throng_key_set_failures_total{tokens=\"subscription\",reason=\"broken\"} 0",
        "throng_key_set_fetched_seconds{tokens=\"subscription\"} 1800000000",
        "throng_channel_states_total 5",
        "throng_channel_states_waiting 4",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    assert!(
        !text.contains("hook=\"connect\"") && !text.contains("tokens=\"connection\""),
        "nobody has those"
    );
    outside.forget_key_sets();
    assert!(!render(&snapshot).contains("throng_key_set_fetched_seconds{"), "none is in use");
}

#[test]
fn labels_have_the_values_that_are_known() {
    let shards: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
    for shard in &shards {
        shard.commands[3].add(2);
        shard.told.errors[7].add(1);
        shard.told.errors[14].add(4);
        shard.told.unsubscribes[2].add(1);
        shard.disconnects[9].add(3);
        shard.disconnects[30].add(1);
        for (place, count) in [(0, 5), (1, 6), (2, 7)] {
            shard.clients_by_kind[0].connected[place].add(count);
            shard.clients_by_kind[0].connects[place].add(10);
        }
        shard.recovered.record(3);
        shard.pong_us.record(2000);
    }
    let mut view = view(shards);
    view.scrape.client_names = vec!["js".to_owned(), "go".to_owned()];
    view.api.took_us[0].record_shared(1000);
    view.api.errors[2].add_shared(8);
    let text = render(&view.snapshot());
    for line in [
        "throng_commands_total{method=\"publish\"} 4",
        "throng_reply_errors_total{code=\"107\"} 2",
        "throng_reply_errors_total{code=\"other\"} 8",
        "throng_unsubscribes_total{code=\"2501\"} 2",
        "throng_disconnects_total{code=\"3001\"} 6",
        "throng_disconnects_total{code=\"other\"} 2",
        "throng_clients{transport=\"websocket\",client_name=\"\"} 10",
        "throng_clients{transport=\"websocket\",client_name=\"other\"} 12",
        "throng_clients{transport=\"websocket\",client_name=\"js\"} 14",
        "throng_connects_total{transport=\"websocket\",client_name=\"js\"} 20",
        "throng_clients{transport=\"uni_sse\",client_name=\"\"} 0",
        "throng_recovered_publications_bucket{le=\"4\"} 2",
        "throng_recovered_publications_sum 6",
        "throng_pong_seconds_sum 0.004",
        "throng_api_seconds_sum{method=\"publish\"} 0.001",
        "throng_api_seconds_count{method=\"commands\"} 0",
        "throng_api_errors_total{code=\"102\"} 8",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    assert!(!text.contains("client_name=\"go\""), "nobody has come with it");
}

#[test]
fn names_of_files_are_escaped() {
    let mut text = String::new();
    write_certificates("m", &[certificate("a\"b\\c\nd", 1)], |facts| facts.not_after_s, &mut text).unwrap();
    assert_eq!(text, "m{name=\"a\\\"b\\\\c\\nd\"} 1\n");
}

#[test]
fn the_text_keeps_the_format() {
    let shards: Vec<Arc<Counters>> = (0..3).map(|_| Arc::default()).collect();
    shards[1].turn_us.record(3);
    shards.iter().for_each(|shard| drop(shard.by_namespace.of("chat")));
    let view = view(shards);
    let outside = counts();
    let mut snapshot = view.snapshot();
    snapshot.outside = Some((&outside, Open::default()));
    snapshot.certificates =
        ["a.pem", "b.pem", "a.pem"].map(|source| certificate(source, 1_800_000_000)).to_vec();
    let families = scrape(&render(&snapshot));
    assert_eq!(families.len(), families::families().count());
    let ends = &families["throng_tls_certificate_not_after_seconds"].samples;
    assert_eq!(ends.len(), 2, "one sample for a name: {ends:?}");
    assert_eq!(ends[1].2, 1.8e9);
    for (name, family) in &families {
        assert!(!family.samples.is_empty(), "{name} has no sample");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        if family.kind == "histogram" {
            check_histograms(name, family);
        }
    }
}

#[test]
fn every_counter_stands_in_exactly_one_family() {
    let mut told: Vec<&str> = Vec::new();
    for family in families::families() {
        match family.source {
            Source::Sum(counter) | Source::PerShard(counter) => told.push(counter),
            Source::Memory => told.extend(IN_MEMORY),
            Source::By(_, reasons) => told.extend(reasons.iter().map(|(_, counter)| *counter)),
            Source::Merged(_)
            | Source::MergedNumbers(_)
            | Source::ByPlace(..)
            | Source::Clients(_)
            | Source::ApiErrors
            | Source::ApiSeconds
            | Source::Sessions
            | Source::One(_)
            | Source::ByNamespace(_)
            | Source::ByHook(_)
            | Source::HookFailures
            | Source::HookSeconds
            | Source::KeySets(_)
            | Source::Tokens
            | Source::TokenSeconds
            | Source::Certificates(_)
            | Source::Build => {}
        }
    }
    let counters = Counters::default();
    let all: BTreeSet<_> = counters.each().map(|(name, _)| name).collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(told.len(), all.len(), "none is told twice");
}

#[test]
fn values_are_summed_or_told_per_shard() {
    let shards: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
    shards[0].connections.set(30);
    shards[1].connections.set(10);
    shards[0].messages_in.add(5);
    shards[1].messages_in.add(6);
    shards[1].refused_not_found.add(7);
    let families = scrape(&render(&view(shards).snapshot()));
    assert_eq!(value(&families, "throng_connections", Some(("shard", "0"))), 30.0);
    assert_eq!(value(&families, "throng_connections", Some(("shard", "1"))), 10.0);
    assert_eq!(value(&families, "throng_shard_skew_ratio", None), 1.5);
    assert_eq!(value(&families, "throng_messages_received_total", None), 11.0);
    assert_eq!(value(&families, "throng_refused_total", Some(("reason", "not_found"))), 7.0);
    assert_eq!(value(&families, "throng_capacity_connections", None), 39_800.0);
    assert_eq!(value(&families, "throng_build_info", Some(("version", env!("CARGO_PKG_VERSION")))), 1.0);
    assert_eq!(value(&families, "throng_ready", None), 0.0);
    assert!(value(&families, "process_resident_memory_bytes", None) > 100_000.0);
}

#[test]
fn histograms_are_merged_and_told_in_seconds() {
    let shards: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
    shards[0].fanout_us.record(1);
    shards[0].fanout_us.record(1500);
    shards[1].fanout_us.record(2048);
    shards[1].fanout_us.record(100_000_000);
    let families = scrape(&render(&view(shards).snapshot()));
    let bucket = |le| value(&families, "throng_fanout_seconds_bucket", Some(("le", le)));
    assert_eq!((bucket("0.000001"), bucket("0.001024"), bucket("0.002048")), (1.0, 1.0, 3.0));
    assert_eq!((bucket("67.108864"), bucket("+Inf")), (3.0, 4.0));
    assert_eq!(value(&families, "throng_fanout_seconds_sum", None), 100.003549);
    assert_eq!(value(&families, "throng_fanout_seconds_count", None), 4.0);
}

#[test]
fn skew_without_connections_is_even() {
    assert_eq!(view(vec![Arc::default(), Arc::default()]).snapshot().skew(), 1.0);
    assert_eq!(view(Vec::new()).snapshot().skew(), 1.0);
}

#[test]
fn the_reader_of_these_tests_is_strict() {
    for broken in [
        "# HELP a b\n# TYPE a gauge\na 1",
        "a 1\n",
        "# HELP a b\n# TYPE c gauge\nc 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=1} 1\n",
        "# HELP a b\n# TYPE a gauge\na one\n",
        "# HELP a b\n# TYPE a summary\na 1\n",
    ] {
        assert!(std::panic::catch_unwind(|| scrape(broken)).is_err(), "{broken:?} was taken");
    }
}
