//! Names of types: within one module under `src/`, and within the simulator, a name stands for one thing.
//!
//! The invariant: a public type name in two files of a module is found, unless it is in [`TWICE`] with its reason;
//! and an unneeded row of [`TWICE`] is found, too. Types of in-file tests do not count; of the simulator those do that
//! no other file sees, because its files are read together.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::tokens;

/// Module, name, and the reason for which it may occur twice. The list only ever gets shorter.
pub(crate) const TWICE: &[(&str, &str, &str)] = &[
    ("proto", "Commands", "of a frame in JSON, in Protobuf, and in either"),
    ("proto", "Decoder", "of HTTP chunks, and of WebSocket frames: each protocol has its own"),
    ("proto", "Invalid", "a Centrifuge filter, and UTF-8 of a WebSocket message"),
    ("proto", "Malformed", "a Centrifuge frame, and a list of WebSocket extensions"),
    ("proto", "Request", "of HTTP, and of Centrifuge: both are the terms of their protocols"),
    ("session", "Form", "of what a Centrifuge session delivers, and of what a raw one does"),
];

/// Folder of the simulator.
const SIMULATOR: &str = "tests/sim/";

/// The types of each module, with the files that declare them.
#[derive(Debug, Default)]
pub(crate) struct Types(BTreeMap<(String, String), BTreeSet<String>>);

impl Types {
    /// Adds the types that the file at `path`, relative to the crate's root, shows to others.
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        let library = path.strip_prefix("src/").filter(|file| !file.starts_with("bin/"));
        let library = library.filter(|file| !file.ends_with("/tests.rs") && !file.contains("/tests/"));
        let module = match library {
            Some(file) => file.split(['/', '.']).next().unwrap_or(file),
            None if path.starts_with(SIMULATOR) => SIMULATOR,
            None => return,
        };
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
        let mut is_shown = false;
        let words: Vec<&str> = tokens(code).iter().map(|token| token.text).collect();
        for pair in words.windows(2) {
            let counts = match pair {
                ["struct" | "enum" | "trait", _] => is_shown || module == SIMULATOR,
                ["type", _] => is_shown,
                _ => false,
            };
            if counts {
                let place = (module.to_owned(), pair[1].to_owned());
                self.0.entry(place).or_default().insert(path.to_owned());
            }
            // `pub(in crate::shard) struct`: the text in brackets belongs to `pub`.
            is_shown = match pair[0] {
                "pub" => true,
                "(" | ")" | "in" | "crate" | "self" | "super" | "::" => is_shown,
                word => is_shown && word == module,
            };
        }
    }

    /// Names that stand for two things of one module, and rows of `allowed` that are not needed.
    pub(crate) fn twice(&self, allowed: &[(&str, &str, &str)]) -> Vec<String> {
        let twice = |module: &str, name: &str| {
            self.0.get(&(module.to_owned(), name.to_owned())).is_some_and(|files| files.len() > 1)
        };
        let mut found = Vec::new();
        for ((module, name), files) in &self.0 {
            if files.len() > 1 && !allowed.iter().any(|(m, n, _)| m == module && n == name) {
                let files: Vec<_> = files.iter().map(String::as_str).collect();
                found.push(format!("{name} is two things in {module}: {}", files.join(", ")));
            }
        }
        for (module, name, _) in allowed {
            if !twice(module, name) {
                found.push(format!("{name} is one thing in {module}: its row in tests/tidy/words.rs can go"));
            }
        }
        found
    }
}
