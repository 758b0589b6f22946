//! Raw values of known keys as they were typed, each with its place. This file checks and merges nothing; `resolve`
//! does. The flags are in `flags`; `variables` reads variables instead of clap, whose errors would not name the
//! variable.

use super::said::Said;
use super::sections::Target;
use super::slot::{HIDDEN, Raw};
use super::variables::{FILE_VARIABLE, UNKNOWN_VARIABLE, Variables};
use super::{ConfigError, Place};
use std::fmt;
use std::path::PathBuf;

/// One value as it was typed.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) target: Target,
    /// The key as it was typed; for a key of a section, its path.
    pub(super) name: String,
    /// The value as it was typed.
    pub(super) said: String,
    pub(super) raw: Raw,
    pub(super) place: Place,
}

impl Typed {
    pub(super) fn new(target: Target, name: &str, raw: Raw, place: Place) -> Self {
        Self { target, name: name.to_owned(), said: raw.said(), raw, place }
    }

    /// The line in the file; 0 for other places.
    pub(super) fn line(&self) -> usize {
        if let Place::File { line, .. } = self.place { line } else { 0 }
    }

    /// An error about this value; it does not show a secret.
    pub(super) fn error(&self, complaint: String) -> ConfigError {
        let said = if self.target.is_secret() { HIDDEN.to_owned() } else { self.said.clone() };
        ConfigError { key: self.name.clone(), said, complaint, place: self.place.clone() }
    }
}

/// Does not print the value, which may be a secret.
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.place)
    }
}

/// The flags of the configuration, as they were typed. With the feature `cli` they can be part of a clap command
/// line: use `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) file: Option<PathBuf>,
    /// Whether `-c`, as in Centrifugo, named the file, which rules out development mode.
    pub(super) is_centrifugo_file: bool,
    /// The value of `--unknown-keys`, if given.
    pub(super) warns_of_unknown: Option<bool>,
    pub(super) flags: Vec<Said>,
    /// Whether this is a server of its own, not part of another program.
    pub(super) is_program: bool,
}

impl Args {
    /// No flags except, optionally, the file's name: for commands that need a part of the configuration.
    pub fn of_file(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Makes these the flags of a standalone server, which behaves like Centrifugo: it reads Centrifugo's variables
    /// and, if no file is named, the file of the working directory; outside development mode it listens on all
    /// addresses of the machine unless one is named. An embedded server listens on loopback in that case, and reads
    /// only what is meant for it.
    #[must_use]
    pub fn of_program(self) -> Self {
        Self { is_program: true, ..self }
    }

    /// Whether unknown keys cause warnings instead of errors, by the flag or else the variable.
    ///
    /// # Errors
    /// When the variable has another value.
    pub(super) fn warns_of_unknown(&self, variables: &Variables) -> Result<bool, ConfigError> {
        let said = variables.get(UNKNOWN_VARIABLE).map(|word| word.to_string_lossy().into_owned());
        match (self.warns_of_unknown, said.as_deref()) {
            (Some(warns), _) => Ok(warns),
            (None, None | Some("refuse")) => Ok(false),
            (None, Some("warn")) => Ok(true),
            (None, Some(_)) => Err(ConfigError {
                key: UNKNOWN_VARIABLE.to_owned(),
                said: HIDDEN.to_owned(),
                complaint: "expected refuse or warn".to_owned(),
                place: Place::Variable(UNKNOWN_VARIABLE.to_owned()),
            }),
        }
    }

    /// The configuration file named by a flag, or else by the variable.
    pub(super) fn file(&self, variables: &Variables) -> Option<PathBuf> {
        let named = || variables.get(FILE_VARIABLE).map(PathBuf::from);
        self.file.clone().or_else(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_wrong_is_not_told() {
        let target = Target::find("client.token.hmac_secret_key").unwrap();
        let place = Place::Variable("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY".into());
        let typed = Typed::new(target, "client.token.hmac_secret_key", Raw::Words(vec!["s".into()]), place);
        assert_eq!(typed.error("no".into()).to_string(), "THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY=…: no");
    }
}
