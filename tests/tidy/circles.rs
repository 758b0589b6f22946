//! Circles among the modules directly under `src/`: two modules that reach each other by imports are one module in
//! two places.
//!
//! The invariant: every pair is checked, over any number of modules between them. Tests may import anything, and the
//! binary is a crate of its own.

use std::collections::{BTreeMap, VecDeque};

use crate::check::module_path;
use crate::source::{paths, tokens};

/// The imports of each module, each with its first place.
#[derive(Debug, Default)]
pub(crate) struct Imports(BTreeMap<String, BTreeMap<String, String>>);

impl Imports {
    /// Adds the imports of the file at `path`, relative to the crate's root, outside of its tests.
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        let Some(file) = path.strip_prefix("src/").filter(|file| !file.starts_with("bin/")) else { return };
        if file.ends_with("/tests.rs") || file.contains("/tests/") {
            return;
        }
        let module = module_path(file);
        let Some(from) = module.first() else { return };
        for import in paths(&tokens(text), &module) {
            let [root, to, ..] = &import.segments[..] else { continue };
            if root == "crate" && to != from && !import.in_tests {
                let places = self.0.entry(from.clone()).or_default();
                places.entry(to.clone()).or_insert_with(|| format!("{path}:{}", import.line));
            }
        }
    }

    /// Every pair of modules that reach each other, with the way there and back.
    pub(crate) fn circles(&self) -> Vec<String> {
        let modules: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let mut found = Vec::new();
        for (at, b) in modules.iter().enumerate() {
            for a in &modules[..at] {
                if let (Some(there), Some(back)) = (self.way(a, b), self.way(b, a)) {
                    found.push(format!("{a} and {b} import each other: {there}; {back}"));
                }
            }
        }
        found
    }

    /// The shortest way from one module to another, with its places.
    fn way(&self, from: &str, to: &str) -> Option<String> {
        let mut ways = BTreeMap::from([(from, from.to_owned())]);
        let mut queue = VecDeque::from([from]);
        while let Some(module) = queue.pop_front() {
            for (next, place) in self.0.get(module).into_iter().flatten() {
                let way = format!("{} → {next} ({place})", ways[module]);
                if next == to {
                    return Some(way);
                }
                if !ways.contains_key(next.as_str()) {
                    ways.insert(next, way);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}
