//! The report: lines, each with a status; `text` and `json` print them.
//!
//! A line with status `short` has a reason and, if there is one, the command that changes it. Only `short` makes
//! the doctor fail, not `advice` or `unknown`.

use super::facts::Facts;
use super::needs::Plan;
use super::{check_descriptors, check_memory, check_network};

/// Status of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// The machine cannot hold N connections, or will drop some.
    Short,
    /// Works, but could be better, or matters only in some uses.
    Advice,
    /// The value could not be read.
    Unknown,
}

/// A value that was found or is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Unknown,
    Count(u64),
    Counts(Vec<u64>),
    Bytes(u64),
    Text(String),
}

impl From<Option<u64>> for Value {
    fn from(count: Option<u64>) -> Self {
        count.map_or(Self::Unknown, Self::Count)
    }
}

impl From<Option<[u64; 3]>> for Value {
    fn from(counts: Option<[u64; 3]>) -> Self {
        counts.map_or(Self::Unknown, |counts| Self::Counts(counts.to_vec()))
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Stable name; a sysctl's key where there is one.
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) value: Value,
    /// The value that N connections need; `Unknown` if any value will do.
    pub(super) needed: Value,
    pub(super) why: String,
    /// A command line for a shell.
    pub(super) mend: Option<String>,
}

impl Line {
    /// A line without a command.
    pub(super) fn new(
        name: &'static str,
        status: Status,
        value: Value,
        needed: Value,
        why: impl Into<String>,
    ) -> Self {
        Self { name, status, value, needed, why: why.into(), mend: None }
    }

    /// Adds the command, unless the status is `ok` or `unknown`.
    pub(super) fn mended_by(mut self, command: impl Into<String>) -> Self {
        if matches!(self.status, Status::Short | Status::Advice) {
            self.mend = Some(command.into());
        }
        self
    }
}

/// `Ok` if `have` is at least `need`, else `failing`; `Unknown` without a value.
pub(super) fn at_least(have: Option<u64>, need: u64, failing: Status) -> Status {
    match have {
        None => Status::Unknown,
        Some(have) if have >= need => Status::Ok,
        Some(_) => failing,
    }
}

/// The command that sets a kernel setting now.
pub(super) fn sysctl(key: &str, value: impl std::fmt::Display) -> String {
    let value = value.to_string();
    if value.contains(' ') {
        format!("sysctl -w {key}=\"{value}\"")
    } else {
        format!("sysctl -w {key}={value}")
    }
}

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) kernel: Option<String>,
    pub(super) sections: Vec<Section>,
}

impl Report {
    /// Compares `facts` with the needs of `plan`.
    pub(super) fn new(plan: &Plan, facts: &Facts) -> Self {
        Self {
            kernel: facts.kernel.clone(),
            sections: vec![
                Section { title: "Descriptors", lines: check_descriptors::lines(plan, facts) },
                Section { title: "Accepting connections", lines: check_network::accept_lines(plan, facts) },
                Section { title: "Ports", lines: check_network::port_lines(plan, facts) },
                Section { title: "Memory", lines: check_memory::lines(plan, facts) },
                Section { title: "Packets and tables", lines: check_network::packet_lines(plan, facts) },
            ],
        }
    }

    /// Adds the lines about a running service, if one was named.
    pub(super) fn with_service(mut self, lines: Vec<Line>) -> Self {
        if !lines.is_empty() {
            self.sections.insert(0, Section { title: "Service", lines });
        }
        self
    }

    /// Adds the lines about certificates, if there are any.
    pub(super) fn with_certificates(mut self, lines: Vec<Line>) -> Self {
        if !lines.is_empty() {
            self.sections.push(Section { title: "Certificates", lines });
        }
        self
    }

    /// Adds the lines about a Socket.IO endpoint, if one was tried.
    pub(super) fn with_socketio(mut self, lines: Vec<Line>) -> Self {
        if !lines.is_empty() {
            self.sections.push(Section { title: "Socket.IO", lines });
        }
        self
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.sections.iter().flat_map(|section| &section.lines)
    }

    pub(super) fn count(&self, status: Status) -> usize {
        self.lines().filter(|line| line.status == status).count()
    }

    /// No line is `short`.
    pub(super) fn is_sound(&self) -> bool {
        self.count(Status::Short) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fake::{Tree, plan};

    fn report(tree: &Tree, connections: u64) -> Report {
        Report::new(&plan(connections), &Facts::read(tree.root()))
    }

    #[test]
    fn with_no_facts_at_all_everything_is_unknown_and_nothing_falls_short() {
        let report = report(&Tree::empty(), 50_000);
        for line in report.lines() {
            assert_eq!((line.status, &line.mend), (Status::Unknown, &None), "{}", line.name);
        }
        assert!(report.is_sound());
    }

    #[test]
    fn names_are_unique_and_reasons_are_given() {
        let report = report(&Tree::roomy(), 50_000);
        let mut names: Vec<_> = report.lines().map(|line| line.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(report.lines().all(|line| line.why.len() > 40 && line.why.ends_with('.')));
    }

    #[test]
    fn whatever_falls_short_can_be_mended_by_a_command() {
        let report = report(&Tree::small(), 1_000_000);
        assert!(report.count(Status::Short) >= 8, "{report:#?}");
        for line in report.lines().filter(|line| line.status == Status::Short) {
            assert!(line.mend.is_some(), "{}", line.name);
            assert_ne!(line.needed, Value::Unknown, "{}", line.name);
        }
    }

    #[test]
    fn a_box_with_a_profile_in_force_gets_no_complaint_about_it() {
        for connections in [50_000, 250_000, 1_000_000] {
            let tree = Tree::small();
            for setting in crate::doctor::settings::settings(&plan(connections)) {
                tree.set(setting.key, &setting.value);
            }
            let report = report(&tree, connections);
            let keys: Vec<_> =
                crate::doctor::settings::settings(&plan(connections)).iter().map(|s| s.key).collect();
            let judged: Vec<_> = report.lines().filter(|line| keys.contains(&line.name)).collect();
            assert_eq!(judged.len(), keys.len(), "every setting of a profile is checked");
            for line in judged {
                assert_eq!(line.status, Status::Ok, "{} at {connections}: {:?}", line.name, line.value);
            }
        }
    }
}
