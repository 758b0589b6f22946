//! Outcomes of seeds as lines of a file, which `scripts/same-outcomes` compares with those of another revision.
//!
//! That script builds later revisions against this one, so this file does not change: with `THRONG_OUTCOMES` in the
//! environment the runs and the hostile programs each write a file in that folder. A line is the seed, the hash of
//! all events, and counters as `name=value`, where all had settled and at the end, between tabs; or the seed and
//! `failed`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Counters and gauges that are not 0, by their names.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// Writes the outcomes of seeds to the file of this name, if the variable is set.
pub(crate) fn tell<'a>(file: &str, outcomes: impl Iterator<Item = (u64, Option<(u64, &'a [Counts])>)>) {
    let Some(folder) = std::env::var_os("THRONG_OUTCOMES") else { return };
    let mut lines = String::new();
    for (seed, outcome) in outcomes {
        match outcome {
            None => writeln!(lines, "{seed}\tfailed").unwrap(),
            Some((hash, counters)) => {
                write!(lines, "{seed}\t{hash:016x}").unwrap();
                for counts in counters {
                    let told: Vec<_> = counts.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    write!(lines, "\t{}", told.join(" ")).unwrap();
                }
                lines.push('\n');
            }
        }
    }
    std::fs::write(PathBuf::from(folder).join(file), lines).unwrap();
}
