//! What was typed: raw values of known keys, each with the place it came from. Nothing here is checked or
//! merged; that is `resolve`. Clap gives the flags their names and help; the variables are read here and not by
//! clap, which would not say in an error that a variable was at fault.

use super::slot::Raw;
use super::{ConfigError, KEYS, Key, Place};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// The variable that names a configuration file.
const FILE_VARIABLE: &str = "THRONG_CONFIG";

/// One value as it was typed.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) key: &'static Key,
    pub(super) raw: Raw,
    pub(super) place: Place,
}

/// The flags of the configuration, as they were typed. Use it with `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) file: Option<PathBuf>,
    pub(super) flags: Vec<Typed>,
}

impl Args {
    /// The configuration file that a flag names, else the variable.
    pub(super) fn file(&self, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let named = || variable(FILE_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        self.file.clone().or_else(named)
    }
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Server")
            .help("Read this TOML file; its keys are the flags with _ for -");
        command.arg(file).args(KEYS.iter().map(Key::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self { file: matches.get_one("config").cloned(), flags: Vec::new() };
        for key in KEYS {
            if let Some(words) = matches.get_many::<String>(key.name) {
                args.flags.push(Typed { key, raw: Raw::Words(words.cloned().collect()), place: Place::Flag });
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What stands in the environment. A variable that is empty counts as absent, since many tools that start
/// processes cannot unset one. A `THRONG_…` variable that is no key is left alone: Kubernetes sets such
/// variables for a service of that name.
pub(super) fn variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Typed>, Vec<ConfigError>> {
    let (mut typed, mut errors) = (Vec::new(), Vec::new());
    for key in KEYS {
        let Some(value) = lookup(&key.variable()).filter(|v| !v.is_empty()) else { continue };
        match value.into_string() {
            Ok(word) => typed.push(Typed { key, raw: Raw::Words(vec![word]), place: Place::Variable }),
            Err(bytes) => errors.push(ConfigError {
                key: key.name.to_owned(),
                said: bytes.to_string_lossy().into_owned(),
                complaint: "is not UTF-8".to_owned(),
                place: Place::Variable,
            }),
        }
    }
    if errors.is_empty() { Ok(typed) } else { Err(errors) }
}
