//! The result of a run: a list of figures, printed as an aligned table or as one JSON object.
//!
//! The invariant: both use one list, and each key must be in [`KEYS`], which `--help` prints, so all of the JSON
//! is documented. Left out: computing the figures.

pub(crate) mod findings;
pub(crate) mod held;
pub(crate) mod probe;
pub(crate) mod progress;
pub(crate) mod usage;

use serde_json::{Map, Value};

use crate::bench::args::{Common, Target};
use crate::bench::report::findings::{Failures, Summary};
use crate::bench::report::held::Schedule;
use crate::bench::report::usage::Usage;
use throng::parts::base::figures::grouped;
use throng::parts::control::console;

/// Every key of the JSON object, with its meaning. A figure that was not requested, or that cannot be read, is
/// null.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("scenario", "name of the scenario"),
    ("url", "the server"),
    ("threads", "threads of the generator"),
    ("tls", "version and cipher suite; null without TLS"),
    ("tls_full", "full TLS handshakes (handshakes: while measuring)"),
    ("tls_resumed", "resumed TLS handshakes, likewise"),
    ("connections", "connections to open"),
    ("opened", "connections opened and prepared for the scenario"),
    ("failed", "connections that failed before that"),
    ("lost", "connections that ended after that"),
    ("failures", "object: failures and losses, counted by kind"),
    ("open_seconds", "from the first dial to the last connection ready"),
    ("open_per_second", "connections opened per second"),
    ("open_latency", "object: from dial to ready, at this concurrency"),
    ("pause_ms", "time that threads collect events; part of latencies"),
    ("hold_seconds", "time that connections were held"),
    ("heartbeats", "heartbeats of the server that were answered"),
    ("server_rss_before_bytes", "server's resident memory before the first connection"),
    ("server_rss_after_bytes", "the same, with all connections open"),
    ("server_rss_end_bytes", "the same, at the end of the hold"),
    ("server_rss_per_connection_bytes", "growth from before to after, per connection"),
    ("server_anonymous_per_connection_bytes", "the same without pages of files, such as the program"),
    ("slab_per_pair_bytes", "growth of kernel slab per connection, both ends if here"),
    ("generator_rss_per_connection_bytes", "the generator's own growth per connection"),
    ("server_cpu_us_per_connection_second", "server CPU per connection and second of the hold"),
    ("publications", "publications sent while measuring"),
    ("deliveries", "received publications while measuring, one per subscriber"),
    ("deliveries_per_second", "deliveries per second"),
    ("publications_per_second", "publications sent per second"),
    ("bytes_per_delivery", "bytes received per delivery, framing included"),
    ("server_cpu_us_per_delivery", "server CPU per delivery"),
    ("latency", "object: from the scheduled time to the end (--rate)"),
    ("service_time", "object: from start to end; the next one starts after it"),
    ("latency_first_quarter", "object: of the first quarter of publications (--rate)"),
    ("latency_last_quarter", "object: of the last quarter (--rate)"),
    ("held", "whether --rate was reached to the end, without a stall"),
    ("reach_all", "object: time of a publication to all (idle --publish)"),
    ("missed", "publications that each connection had to recover"),
    ("recovered", "connections that got all of these, each once and in order"),
    ("first_open_seconds", "first round: from the first dial to the last subscription"),
    ("recover_seconds", "from the last reconnect to the last recovery"),
    ("server_cpu_us_per_recovery", "server CPU per connection, connecting and recovering"),
    ("storm_seconds", "from the dial of all clients to the last reconnect"),
    ("refused", "attempts that were refused and retried"),
    ("refusals", "object: refusals, counted by kind"),
    ("live", "connections that echoed before and during the storm"),
    ("latency_quiet", "object: latency of the live connections before the storm"),
    ("latency_storm", "object: latency of the live connections during it"),
    ("p99_factor", "p99 during the storm, divided by p99 before it"),
    ("server_cpu_us_per_return", "server CPU per reconnected client, refusals included"),
    ("gaps", "publications that a subscriber did not get"),
    ("out_of_order", "publications that arrived twice or too late"),
    ("missing", "deliveries still missing after the timeout"),
    ("in_flight", "publications, or messages per connection, in flight"),
    ("rate", "requested publications, messages or handshakes per second"),
    ("channels", "number of channels for publications, in turn"),
    ("size_bytes", "bytes of payload, or of a publication's data"),
    ("messages", "messages echoed, or answered, while measuring"),
    ("messages_per_second", "messages per second"),
    ("server_cpu_us_per_message", "server CPU per message echoed, or answered"),
    ("handshakes", "handshakes completed while measuring"),
    ("handshakes_per_second", "handshakes per second"),
    ("server_cpu_us_per_handshake", "server CPU per handshake, its close included"),
    ("measured_seconds", "duration of the measurement"),
    ("server_busiest_thread", "share of a core used by the server's busiest thread"),
    ("generator_busiest_thread", "share of a core used by the generator's busiest thread"),
    ("generator_cores", "share that the generator used of the cores it may use"),
    ("generator_was_the_limit", "whether one of the two was above 0.9"),
    ("ok", "true if nothing failed: exit code 0"),
];

/// The form of a number in the table; JSON has the plain number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Count,
    PerSecond,
    Bytes,
    Seconds,
    Microseconds,
    Share,
    Factor,
}

struct Row {
    label: String,
    value: String,
    note: String,
}

/// The figures of one run.
pub(crate) struct Report {
    title: String,
    rows: Vec<Row>,
    json: Map<String, Value>,
    remarks: Vec<String>,
    /// Whether a requested rate was reached.
    is_held: bool,
}

impl Report {
    pub(crate) fn new(scenario: &str, target: &Target, threads: usize) -> Self {
        let url = target.url.as_str();
        let plural = if threads == 1 { "" } else { "s" };
        let title = format!("throng bench {scenario} · {url} · {threads} thread{plural}");
        let mut report =
            Self { title, rows: Vec::new(), json: Map::new(), remarks: Vec::new(), is_held: true };
        report.set("scenario", scenario.into());
        report.set("url", url.into());
        report.set("threads", threads.into());
        report.set("tls", Value::Null);
        if let Some(tls) = &target.tls {
            let (full, resumed) = tls.tally.counts();
            report.set("tls", tls.tally.agreed().into());
            let note = tls.tally.agreed().unwrap_or_default();
            report.count("tls_full", "TLS handshakes, full", full, note);
            report.count("tls_resumed", "TLS handshakes, resumed", resumed, "");
        }
        report
    }

    /// Sets a key of the JSON object alone.
    pub(crate) fn set(&mut self, key: &'static str, value: Value) {
        assert!(KEYS.iter().any(|(known, _)| *known == key), "{key} stands in no documentation");
        self.json.insert(key.to_owned(), value);
    }

    /// Adds a figure; without a value it is null in JSON and has no row.
    pub(crate) fn figure(
        &mut self,
        key: &'static str,
        label: &str,
        unit: Unit,
        value: Option<f64>,
        note: &str,
    ) {
        self.set(key, value.map_or(Value::Null, |value| json_number(unit, value)));
        if let Some(value) = value {
            let (label, note) = (label.to_owned(), note.to_owned());
            self.rows.push(Row { label, value: show(unit, value), note });
        }
    }

    /// Adds a count.
    pub(crate) fn count(&mut self, key: &'static str, label: &str, value: u64, note: &str) {
        self.figure(key, label, Unit::Count, Some(value as f64), note);
    }

    /// Adds latencies: the median as the figure, the tail as its note.
    pub(crate) fn latency(&mut self, key: &'static str, label: &str, summary: Option<Summary>) {
        self.set(key, summary.and_then(|s| serde_json::to_value(s).ok()).unwrap_or_default());
        let Some(s) = summary else { return };
        let us = |value| show(Unit::Microseconds, value);
        let note = format!(
            "p90 {} · p99 {} · p99.9 {} · max {}",
            us(s.p90_us),
            us(s.p99_us),
            us(s.p999_us),
            us(s.max_us)
        );
        self.rows.push(Row { label: format!("{label}, median"), value: us(s.p50_us), note });
    }

    /// Adds durations: on a schedule as latency from the scheduled time, else as service time, since a stopped
    /// server gets no further requests then.
    pub(crate) fn durations(&mut self, is_scheduled: bool, summary: Option<Summary>) {
        match is_scheduled {
            true => self.latency("latency", "latency, from when it was due", summary),
            false => self.latency("service_time", "service time, closed loop", summary),
        }
    }

    /// Adds whether the requested rate was reached. Otherwise the run fails.
    pub(crate) fn schedule(&mut self, schedule: &Schedule) {
        let verdict = schedule.verdict();
        self.is_held = verdict.is_ok();
        self.set("held", self.is_held.into());
        self.remark(match verdict {
            Ok(()) => "The rate was held.".to_owned(),
            Err(why) => format!("The rate was not held: {why}."),
        });
    }

    /// Adds a sentence below the table.
    pub(crate) fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Adds the CPU use of server and generator.
    pub(crate) fn usage(&mut self, usage: &Usage) {
        self.figure("measured_seconds", "measured for", Unit::Seconds, Some(usage.seconds), "");
        let share = Unit::Share;
        self.figure(
            "server_busiest_thread",
            "server's busiest thread",
            share,
            usage.server_busiest,
            "of a core",
        );
        let busiest = Some(usage.generator_busiest);
        self.figure("generator_busiest_thread", "generator's busiest thread", share, busiest, "of a core");
        self.set("generator_cores", json_number(share, usage.generator_total));
        self.set("generator_was_the_limit", usage.generator_was_the_limit().into());
        if usage.generator_was_the_limit() {
            self.remark(usage.remark().to_owned());
        }
    }

    /// Adds the failures by kind.
    pub(crate) fn failures(&mut self, failures: &Failures) {
        self.kinds("failures", failures);
    }

    /// Adds counts by kind.
    pub(crate) fn kinds(&mut self, key: &'static str, failures: &Failures) {
        self.set(key, serde_json::to_value(failures).unwrap_or_default());
        for (kind, count) in failures.each() {
            let (label, value) = (format!("  {kind}"), show(Unit::Count, count as f64));
            self.rows.push(Row { label, value, note: String::new() });
        }
    }

    /// Prints the report to stdout. Returns whether nothing failed, printing included.
    #[must_use]
    pub(crate) fn print(mut self, common: &Common, ok: bool) -> bool {
        let ok = ok && self.is_held;
        self.set("ok", ok.into());
        let text = if common.json { format!("{}\n", Value::Object(self.json)) } else { self.table() };
        match console::print(&text) {
            Ok(()) => ok,
            Err(error) => {
                console::complain(&format!("throng bench: cannot write the report: {error}"));
                false
            }
        }
    }

    fn table(&self) -> String {
        let width =
            |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        let (labels, values) = (width(|row| &row.label), width(|row| &row.value));
        let mut out = format!("{}\n\n", self.title);
        for row in &self.rows {
            let line = format!("{:labels$}  {:>values$}  {}", row.label, row.value, row.note);
            out.push_str(line.trim_end());
            out.push('\n');
        }
        for remark in &self.remarks {
            out.push_str(&format!("\n{remark}\n"));
        }
        out
    }
}

/// The help text about `--json`.
pub(crate) fn json_help() -> String {
    let width = KEYS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut out = String::from(
        "Exit code: 0 when nothing failed; 1 after a failed or lost connection, a gap or a wrong order,\n\
         or when --rate was not held; 2 for bad arguments.\n\n\
         --json prints an object. Each scenario has the keys that apply; unknown values are null.\n\
         Shares are 0 to 1; latencies are objects with count, mean_us, p50_us, p90_us, p99_us, p999_us\n\
         and max_us.\n\n",
    );
    for (key, meaning) in KEYS {
        out.push_str(&format!("  {key:width$}  {meaning}\n"));
    }
    out
}

fn json_number(unit: Unit, value: f64) -> Value {
    match unit {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count that was converted"
        )]
        Unit::Count => Value::from(value as u64),
        Unit::PerSecond | Unit::Bytes | Unit::Seconds | Unit::Microseconds | Unit::Share | Unit::Factor => {
            Value::from(value)
        }
    }
}

/// A number for the table: at most four significant digits, unless it is a count.
fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => whole(value),
        Unit::PerSecond if value < 100.0 => format!("{}/s", short(value)),
        Unit::PerSecond => format!("{}/s", whole(value)),
        Unit::Seconds => format!("{} s", short(value)),
        Unit::Share => format!("{:.0} %", value * 100.0),
        Unit::Factor => format!("{} ×", short(value)),
        Unit::Bytes => match value.abs() {
            size if size < 10_000.0 => format!("{} B", whole(value)),
            size if size < 10e6 => format!("{} KB", short(value / 1e3)),
            size if size < 10e9 => format!("{} MB", short(value / 1e6)),
            _ => format!("{} GB", short(value / 1e9)),
        },
        Unit::Microseconds => match value {
            us if us < 1e3 => format!("{} µs", short(us)),
            us if us < 1e6 => format!("{} ms", short(us / 1e3)),
            us => format!("{} s", short(us / 1e6)),
        },
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => whole(value),
    }
}

/// A whole number with separators between thousands.
fn whole(value: f64) -> String {
    let sign = if value <= -0.5 { "-" } else { "" };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded absolute value")]
    let size = value.abs().round_ties_even() as u64;
    format!("{sign}{}", grouped(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::connections::tls::TlsArgs;

    fn target() -> Target {
        Target::parse("ws://127.0.0.1:1/", &TlsArgs::default()).unwrap()
    }

    #[test]
    fn numbers_are_shown_with_their_unit() {
        for (unit, value, text) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::PerSecond, 999.6, "1,000/s"),
            (Unit::PerSecond, 9.5, "9.50/s"),
            (Unit::Bytes, 271.3, "271 B"),
            (Unit::Bytes, -12.0, "-12 B"),
            (Unit::Bytes, 24_100_000.0, "24.1 MB"),
            (Unit::Microseconds, 0.41, "0.41 µs"),
            (Unit::Microseconds, 99_000.0, "99.0 ms"),
            (Unit::Microseconds, 1_500_000.0, "1.50 s"),
            (Unit::Share, 0.914, "91 %"),
        ] {
            assert_eq!(show(unit, value), text);
        }
    }

    #[test]
    fn the_table_is_aligned_and_json_has_the_same_figures() {
        let mut report = Report::new("idle", &target(), 2);
        report.count("opened", "opened", 50_000, "");
        report.figure("server_rss_after_bytes", "server memory", Unit::Bytes, None, "");
        report.figure("open_per_second", "rate", Unit::PerSecond, Some(1234.5), "in 2 s");
        let mut failures = Failures::default();
        failures.add("connect: refused".to_owned(), 3);
        report.failures(&failures);
        let table = "throng bench idle · ws://127.0.0.1:1/ · 2 threads\n\n\
            opened               50,000\n\
            rate                1,234/s  in 2 s\n  \
              connect: refused        3\n";
        assert_eq!(report.table(), table);
        assert_eq!(report.json["opened"], 50_000);
        assert_eq!(report.json["server_rss_after_bytes"], Value::Null);
        assert_eq!(report.json["open_per_second"], 1234.5);
        assert_eq!(report.json["failures"]["connect: refused"], 3);
    }

    #[test]
    #[should_panic(expected = "stands in no documentation")]
    fn a_key_without_documentation_is_refused() {
        Report::new("idle", &target(), 1).set("surprise", Value::Null);
    }

    #[test]
    fn help_names_every_key_once() {
        let help = json_help();
        for (key, _) in KEYS {
            assert_eq!(help.matches(&format!("\n  {key} ")).count(), 1, "{key}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 98), "wider than a terminal");
    }
}
