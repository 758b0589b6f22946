//! Errors of the command line, without secrets.
//!
//! Invariant: a stray word behind a flag may be a secret, or a part of one: `--http_api.key` with a blank in its
//! value, or a value behind a switch. Errors name its place and not the word.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Parts of the names of flags whose values are secrets.
const SECRETS: [&str; 5] = ["key", "secret", "token", "password", "pem"];

/// Errors that repeat a word, and the word's place in them.
const REPEATING: [(ErrorKind, ContextKind); 4] = [
    (ErrorKind::UnknownArgument, ContextKind::InvalidArg),
    (ErrorKind::InvalidSubcommand, ContextKind::InvalidSubcommand),
    (ErrorKind::ArgumentConflict, ContextKind::InvalidSubcommand),
    (ErrorKind::TooManyValues, ContextKind::InvalidValue),
];

/// The message for a word where a command may stand.
fn stray_command(error: &clap::Error, at: usize, commands: &str) -> String {
    let hidden = "it is not shown, since it may be a secret";
    if error.kind() != ErrorKind::InvalidSubcommand {
        return format!("error: word {at} of the command line is not expected; {hidden}");
    }
    let similar = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) if !names.is_empty() => {
            format!("; is {} meant?", names.join(" or "))
        }
        _ => String::new(),
    };
    format!("error: word {at} of the command line is not a command{similar}; {hidden}\ncommands: {commands}")
}

/// The message in place of an error that repeats a possible secret. `typed` is the whole command line; `commands`
/// lists the commands.
pub(crate) fn told(error: &clap::Error, typed: &[OsString], commands: &str) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let (_, kind) = REPEATING.into_iter().find(|(kind, _)| *kind == error.kind())?;
    let word = said(kind)?;
    let words: Vec<_> = typed.iter().map(|word| word.to_string_lossy()).collect();
    let holds = |one: &str| one == word || one.split_once('=').is_some_and(|(_, value)| value == word);
    let at = (1..words.len()).find(|at| holds(&words[*at]))?;
    let flag = words[1..=at].iter().rposition(|one| one.starts_with('-') && **one != *word).map(|at| at + 1);
    let Some(flag) = flag else {
        return (!word.starts_with('-')).then(|| stray_command(error, at, commands));
    };
    let name = words[flag].split('=').next().unwrap_or_default();
    // An unknown flag is named, unless it may be the value of the previous one.
    let is_value =
        || flag + 1 == at && !words[flag].contains('=') && SECRETS.iter().any(|part| name.contains(part));
    if word.starts_with('-') && !is_value() {
        return None;
    }
    let place = if flag == at { "its value".to_owned() } else { format!("word {at} of the command line") };
    Some(format!("error: {name}: {place} is not expected; it is not shown, since it may be a secret"))
}
