//! What was typed: raw values of known keys, each with the place it came from. Nothing here is checked or
//! merged; that is `resolve`. Clap gives the flags their names and help; variables are read by `variables` and not by
//! clap, which would not say in an error that a variable was at fault.

use super::keys::{self, Group};
use super::sections::{SETTINGS, Target};
use super::slot::{HIDDEN, Raw};
use super::variables::{FILE_VARIABLE, Variables};
use super::{Config, ConfigError, KEYS, Key, Place, Sections};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use std::fmt;
use std::path::PathBuf;

/// Keys of sections that are flags, too.
const FLAGS: [&str; 5] = [
    "client.insecure",
    "client.allowed_origins",
    "client.token.hmac_secret_key",
    "http_api.key",
    "http_api.insecure",
];

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

/// The flags of the configuration, as they were typed. Use it with `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) file: Option<PathBuf>,
    pub(super) flags: Vec<Typed>,
}

impl Args {
    /// No flags but, perhaps, the file's name: for commands that need some of the configuration.
    pub fn of_file(file: Option<PathBuf>) -> Self {
        Self { file, flags: Vec::new() }
    }

    /// The configuration file that a flag names, else the variable.
    pub(super) fn file(&self, variables: &Variables) -> Option<PathBuf> {
        let named = || variables.get(FILE_VARIABLE).map(PathBuf::from);
        self.file.clone().or_else(named)
    }
}

/// Keys of sections that are flags, each with what it means and its help.
fn flags() -> impl Iterator<Item = (&'static str, Target, &'static str)> {
    FLAGS.iter().filter_map(|name| {
        let target = Target::find(name)?;
        let once = SETTINGS.iter().find(|setting| setting.name == *name).map(|setting| setting.help);
        // Flags stand in a process list; the variable does not.
        let help = once.unwrap_or("Secret that verifies HS256, HS384 and HS512 tokens; better set as a variable, since flags show in process lists");
        Some((*name, target, help))
    })
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Server")
            .help("Configuration file, TOML or JSON: the keys of these options with _ for -, and Centrifugo's sections");
        let (mut config, mut sections) = (Config::default(), Sections::default());
        let access: Vec<_> = flags()
            .map(|(name, target, help)| {
                keys::arg(name, &target.slot(&mut config, &mut sections), help.to_owned(), Group::Access)
            })
            .collect();
        command.arg(file).args(KEYS.iter().map(Key::arg)).args(access)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self { file: matches.get_one("config").cloned(), flags: Vec::new() };
        let flat = KEYS.iter().map(|key| (key.name, Target::Flat(key)));
        for (name, target) in flat.chain(flags().map(|(name, target, _)| (name, target))) {
            if let Some(words) = matches.get_many::<String>(name) {
                args.flags.push(Typed::new(target, name, Raw::Words(words.cloned().collect()), Place::Flag));
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_a_section_is_a_key() {
        assert_eq!(flags().count(), FLAGS.len());
    }

    #[test]
    fn a_secret_that_is_wrong_is_not_told() {
        let target = Target::find("client.token.hmac_secret_key").unwrap();
        let typed =
            Typed::new(target, "client.token.hmac_secret_key", Raw::Words(vec!["s".into()]), Place::Variable);
        assert_eq!(typed.error("no".into()).to_string(), "THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY=…: no");
    }
}
