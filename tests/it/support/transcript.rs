//! Parser of the examples in the documents: blocks fenced as `transcript`, read into steps.
//!
//! Invariant: an invalid line is an error, and so is a page without an example. docs/PROTOCOL.md describes the
//! notation. [`super::stage`] plays the steps.

/// One example.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript<'t> {
    /// The configuration of its server: the last block of TOML above it. `None`: development mode.
    pub(crate) config: Option<&'t str>,
    pub(crate) steps: Vec<Step<'t>>,
}

/// One line of it, or two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step<'t> {
    /// Its line in the document, from 1.
    pub(crate) line: usize,
    pub(crate) act: Act<'t>,
}

/// `who` is a client's name; empty where there is only one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act<'t> {
    /// `who> frame`: the client sends it, over a connection that it opens if it has none.
    Send { who: &'t str, frame: &'t str },
    /// `who< pattern`: the client receives such a frame.
    Expect { who: &'t str, pattern: &'t str },
    /// `who-- connection lost`.
    Lose { who: &'t str },
    /// `POST path body`, and in the next line the answer: `status pattern`.
    Call { path: &'t str, body: &'t str, answer: &'t str },
}

/// A fenced block: the line of its fence, its language, and its lines.
type Block<'t> = (usize, &'t str, Vec<&'t str>);

/// All transcripts of a document.
///
/// # Errors
/// When there are none, or when one contains an invalid line.
pub(crate) fn transcripts(document: &str) -> Result<Vec<Transcript<'_>>, String> {
    let (mut config, mut found) = (None, Vec::new());
    for (line, word, lines) in blocks(document)? {
        match word {
            "toml" => config = Some(between(document, &lines)),
            "transcript" => found.push(Transcript { config, steps: steps(line, &lines)? }),
            other if other.starts_with("transcript") => {
                return Err(format!("line {line}: a block of {other}"));
            }
            _ => {}
        }
    }
    if found.is_empty() { Err("no transcripts".to_owned()) } else { Ok(found) }
}

fn blocks(document: &str) -> Result<Vec<Block<'_>>, String> {
    let (mut closed, mut open): (Vec<Block<'_>>, Option<Block<'_>>) = (Vec::new(), None);
    for (line, text) in (1..).zip(document.lines()) {
        match (text.strip_prefix("```"), &mut open) {
            (Some(""), Some(_)) => closed.extend(open.take()),
            (Some(_), Some((line, ..))) => return Err(format!("line {line}: a block without an end")),
            (Some(word), None) => open = Some((line, word.trim(), Vec::new())),
            (None, Some((_, _, lines))) => lines.push(text),
            (None, None) => {}
        }
    }
    match open {
        Some((line, ..)) => Err(format!("line {line}: a block without an end")),
        None => Ok(closed),
    }
}

/// The text from the first of these lines of the document to the last.
fn between<'t>(document: &'t str, lines: &[&'t str]) -> &'t str {
    let place = |line: &str| line.as_ptr().addr() - document.as_ptr().addr();
    match (lines.first(), lines.last()) {
        (Some(first), Some(last)) => &document[place(first)..place(last) + last.len()],
        _ => "",
    }
}

/// `fence`: the line before the first.
fn steps<'t>(fence: usize, lines: &[&'t str]) -> Result<Vec<Step<'t>>, String> {
    let mut steps = Vec::new();
    let mut lines = (fence + 1..).zip(lines);
    while let Some((line, text)) = lines.next() {
        let mut act = act(text).ok_or_else(|| format!("line {line} means nothing: {text}"))?;
        if let Act::Call { answer, .. } = &mut act {
            let (line, text) = lines.next().ok_or_else(|| format!("line {line}: no answer"))?;
            *answer = status(text).ok_or_else(|| format!("line {line} is no answer: {text}"))?;
        }
        steps.push(Step { line, act });
    }
    let is_conversation = steps.iter().any(|step| !matches!(step.act, Act::Lose { .. }));
    if is_conversation { Ok(steps) } else { Err(format!("line {fence}: an empty transcript")) }
}

fn act(text: &str) -> Option<Act<'_>> {
    if let Some(call) = text.strip_prefix("POST ") {
        let (path, body) = call.split_once(' ')?;
        return (path.starts_with('/') && !body.is_empty()).then_some(Act::Call { path, body, answer: "" });
    }
    let (who, rest) = text.split_at(text.find(|character: char| !character.is_ascii_lowercase())?);
    if rest == "-- connection lost" {
        return Some(Act::Lose { who });
    }
    match rest.split_at_checked(2)? {
        (_, "") => None,
        ("> ", frame) => Some(Act::Send { who, frame }),
        ("< ", pattern) => Some(Act::Expect { who, pattern }),
        _ => None,
    }
}

/// A line that begins with a status of HTTP.
fn status(text: &str) -> Option<&str> {
    let (status, answer) = text.split_once(' ')?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    (is_status && !answer.is_empty()).then_some(text)
}
