//! What was typed: raw values of known keys, each with the place it came from. Nothing here is checked or
//! merged; that is `resolve`. The flags are in `flags`; variables are read by `variables` and not by clap, which
//! would not say in an error that a variable was at fault.

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
    /// The key as it was typed, its path if it is one of a section.
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

    /// The line in the file; 0 elsewhere.
    pub(super) fn line(&self) -> usize {
        if let Place::File { line, .. } = self.place { line } else { 0 }
    }

    /// What is wrong with it; a secret is not told.
    pub(super) fn error(&self, complaint: String) -> ConfigError {
        let said = if self.target.is_secret() { HIDDEN.to_owned() } else { self.said.clone() };
        ConfigError { key: self.name.clone(), said, complaint, place: self.place.clone() }
    }
}

/// Without the value, which may be a secret.
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.place)
    }
}

/// The flags of the configuration, as they were typed. With the feature `cli` it is a part of a command line of clap's: use
/// it with `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) file: Option<PathBuf>,
    /// Whether the file was named as Centrifugo has it, by `-c`, so that this is no development mode.
    pub(super) is_centrifugo_file: bool,
    /// What was typed for `--unknown-keys`, if it was.
    pub(super) warns_of_unknown: Option<bool>,
    pub(super) flags: Vec<Said>,
    /// Whether this is a server of its own, not a part of another program.
    pub(super) is_program: bool,
}

impl Args {
    /// No flags but, perhaps, the file's name: for commands that need some of the configuration.
    pub fn of_file(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// For a server of its own, which does as Centrifugo does: it reads Centrifugo's variables and, without a file that is
    /// named, that of the working directory; and outside development mode it listens on all addresses of the machine unless one is named. What a
    /// program embeds listens on loopback then, and reads nothing that is not meant for it.
    #[must_use]
    pub fn of_program(self) -> Self {
        Self { is_program: true, ..self }
    }

    /// Whether unknown keys are warned of instead of refused, by the flag or else the variable.
    ///
    /// # Errors
    /// When the variable says neither.
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

    /// The configuration file that a flag names, else the variable.
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
