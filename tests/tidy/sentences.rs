//! The first word of a doc comment: it names the thing, or begins the verb. A clause with "what" or "who" does neither.

/// Words with which a doc comment must not begin.
const CLAUSE_WORDS: [&str; 6] = ["What", "Whatever", "Who", "Whoever", "Whom", "Whose"];

/// Doc comments of the file at `path` that begin with such a word.
pub(crate) fn clauses(path: &str, text: &str) -> Vec<String> {
    let (mut before, mut found) = (None, Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let mark = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark));
        let is_first = mark.is_some() && mark != before;
        before = mark;
        let word = line.split_whitespace().nth(1).unwrap_or_default();
        let word = word.trim_end_matches(|c: char| !c.is_alphabetic());
        if is_first && CLAUSE_WORDS.contains(&word) {
            found.push(format!("{path}:{}: a doc comment begins with {word:?}", at + 1));
        }
    }
    found
}
