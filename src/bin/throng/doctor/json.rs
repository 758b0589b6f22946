//! The report as JSON: one object with a stable form.
//!
//! ```json
//! {
//!   "version": 1,                     // of this form; fields may be added, none changes its meaning
//!   "connections": 50000, "shards": 2, "private_descriptors": true, "ports": [8000, 9000],
//!   "kernel": "6.18.0",               // null when unknown
//!   "sound": false,                   // nothing falls short; the exit code says the same
//!   "counts": { "ok": 14, "short": 1, "advice": 5, "unknown": 0 },
//!   "lines": [ {
//!     "section": "Descriptors",
//!     "name": "fs.nr_open",           // stable
//!     "status": "ok",                 // ok, short, advice or unknown
//!     "value": 1048576,               // number, list of numbers, text, or null when unknown; bytes as numbers
//!     "needed": 25900,                // the same; null when any value will do
//!     "unit": null,                   // "bytes" where the numbers are bytes
//!     "why": "…",
//!     "mend": null                    // a command line, or null
//!   } ]
//! }
//! ```

use serde::Serialize;

use super::needs::Plan;
use super::report::{Line, Report, Status, Value};

#[derive(Serialize)]
struct Object<'a> {
    version: u32,
    connections: u64,
    shards: u64,
    private_descriptors: bool,
    ports: Vec<u16>,
    kernel: Option<&'a str>,
    sound: bool,
    counts: Counts,
    lines: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Counts {
    ok: usize,
    short: usize,
    advice: usize,
    unknown: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    section: &'a str,
    name: &'a str,
    status: Status,
    value: Scalar<'a>,
    needed: Scalar<'a>,
    unit: Option<&'static str>,
    why: &'a str,
    mend: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Scalar<'a> {
    Unknown(()),
    Number(u64),
    Numbers(&'a [u64]),
    Text(&'a str),
}

impl<'a> From<&'a Value> for Scalar<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Unknown => Self::Unknown(()),
            Value::Count(number) | Value::Bytes(number) => Self::Number(*number),
            Value::Counts(numbers) => Self::Numbers(numbers),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// The object, indented, with a final newline.
pub(super) fn render(plan: &Plan, report: &Report) -> String {
    let object = Object {
        version: 1,
        connections: plan.connections,
        shards: plan.shards,
        private_descriptors: plan.private_descriptors,
        ports: plan.ports(),
        kernel: report.kernel.as_deref(),
        sound: report.is_sound(),
        counts: Counts {
            ok: report.count(Status::Ok),
            short: report.count(Status::Short),
            advice: report.count(Status::Advice),
            unknown: report.count(Status::Unknown),
        },
        lines: report
            .sections
            .iter()
            .flat_map(|section| section.lines.iter().map(|line| entry(section.title, line)))
            .collect(),
    };
    // Strings, numbers and lists have no way to fail.
    serde_json::to_string_pretty(&object)
        .map_or_else(|error| format!("{{\"error\": \"{error}\"}}\n"), |json| json + "\n")
}

fn entry<'a>(section: &'a str, line: &'a Line) -> Entry<'a> {
    let in_bytes = [&line.value, &line.needed].into_iter().any(|value| matches!(value, Value::Bytes(_)));
    Entry {
        section,
        name: line.name,
        status: line.status,
        value: (&line.value).into(),
        needed: (&line.needed).into(),
        unit: in_bytes.then_some("bytes"),
        why: &line.why,
        mend: line.mend.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Facts;
    use crate::doctor::fake::{Tree, plan};

    fn object(tree: &Tree, connections: u64) -> serde_json::Value {
        let plan = plan(connections);
        serde_json::from_str(&render(&plan, &Report::new(&plan, &Facts::read(tree.root())))).unwrap()
    }

    fn line<'a>(object: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
        object["lines"].as_array().unwrap().iter().find(|line| line["name"] == name).unwrap()
    }

    #[test]
    fn values_keep_their_types() {
        let object = object(&Tree::roomy(), 50_000);
        assert_eq!(object["version"], 1);
        assert_eq!(object["ports"], serde_json::json!([8000, 9000]));
        assert_eq!(line(&object, "fs.nr_open")["value"], 1_048_576);
        assert_eq!(
            line(&object, "net.ipv4.tcp_mem")["value"],
            serde_json::json!([287_901, 383_869, 575_802])
        );
        assert_eq!(line(&object, "memory available")["unit"], "bytes");
        assert_eq!(line(&object, "net.netfilter.nf_conntrack_max")["value"], "not loaded");
        assert_eq!(line(&object, "fs.nr_open")["mend"], serde_json::Value::Null);
    }

    #[test]
    fn the_verdict_and_the_counts_agree_with_the_lines() {
        for (tree, connections) in [(Tree::small(), 1_000_000), (Tree::roomy(), 50_000), (Tree::empty(), 1)] {
            let object = object(&tree, connections);
            let lines = object["lines"].as_array().unwrap();
            for status in ["ok", "short", "advice", "unknown"] {
                let count = lines.iter().filter(|line| line["status"] == status).count();
                assert_eq!(object["counts"][status], count);
            }
            assert_eq!(object["sound"], object["counts"]["short"] == 0);
        }
    }

    #[test]
    fn the_unknown_is_null() {
        let object = object(&Tree::empty(), 1);
        assert_eq!(object["kernel"], serde_json::Value::Null);
        assert_eq!(line(&object, "fs.nr_open")["value"], serde_json::Value::Null);
    }
}
