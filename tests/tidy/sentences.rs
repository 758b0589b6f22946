//! The first word of a doc comment: it names the thing, or begins the verb. A clause with "what" or "who" does neither.
//!
//! The invariant: such a comment is found in every file but those in [`NOT_YET`]; and a row of [`NOT_YET`] without any
//! such comment is found, too.

use std::collections::BTreeSet;

/// Words with which a doc comment must not begin.
const CLAUSE_WORDS: [&str; 6] = ["What", "Whatever", "Who", "Whoever", "Whom", "Whose"];

/// Folders whose comments are not rewritten yet. The list only ever gets shorter.
pub(crate) const NOT_YET: &[&str] = &["src/proto/socketio/"];

/// Findings in files outside of the exempt folders, and the exempt folders with such comments.
#[derive(Debug)]
pub(crate) struct Sentences {
    exempt: &'static [&'static str],
    needed: BTreeSet<&'static str>,
    found: Vec<String>,
}

impl Sentences {
    pub(crate) fn new(exempt: &'static [&'static str]) -> Self {
        Self { exempt, needed: BTreeSet::new(), found: Vec::new() }
    }

    /// Checks the file at `path`, relative to the crate's root.
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        let mut before = None;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let mark = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark));
            let is_first = mark.is_some() && mark != before;
            before = mark;
            let word = line.split_whitespace().nth(1).unwrap_or_default();
            let word = word.trim_end_matches(|c: char| !c.is_alphabetic());
            if !is_first || !CLAUSE_WORDS.contains(&word) {
                continue;
            }
            match self.exempt.iter().find(|folder| path.starts_with(**folder)) {
                Some(folder) => {
                    self.needed.insert(folder);
                }
                None => self.found.push(format!("{path}:{}: a doc comment begins with {word:?}", at + 1)),
            }
        }
    }

    /// The findings, and the exempt folders that need no exemption.
    pub(crate) fn findings(self) -> Vec<String> {
        let needless = self.exempt.iter().filter(|folder| !self.needed.contains(**folder));
        let needless =
            needless.map(|folder| format!("{folder} is done: its row in tests/tidy/sentences.rs can go"));
        self.found.iter().cloned().chain(needless).collect()
    }
}
