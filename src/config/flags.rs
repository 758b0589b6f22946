//! The flags of the configuration on a command line of clap's, made of the list of keys.
//!
//! Invariant: values stay text, which `resolve` reads wherever it comes from; clap gives the flags their names and help.

use super::args::{Args, Typed};
use super::error::flag_name;
use super::sections::{SETTINGS, Target};
use super::slot::Raw;
use super::{Config, Group, KEYS, Key, Place, Sections, Slot};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use std::path::PathBuf;

/// Keys of sections that are flags, too.
const FLAGS: [&str; 5] = [
    "client.insecure",
    "client.allowed_origins",
    "client.token.hmac_secret_key",
    "http_api.key",
    "http_api.insecure",
];

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
                arg(name, &target.slot(&mut config, &mut sections), help.to_owned(), Group::Access)
            })
            .collect();
        command.arg(file).args(KEYS.iter().map(flat)).args(access)
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

/// The flag of a flat key.
fn flat(key: &Key) -> Arg {
    let help = format!("{} [default: {}]", key.help, key.default_text());
    arg(key.name, &(key.slot)(&mut Config::default()), help, key.group)
}

/// A flag for a slot.
fn arg(name: &'static str, slot: &Slot<'_>, help: String, group: Group) -> Arg {
    let arg = Arg::new(name)
        .long(flag_name(name))
        .help(help)
        .help_heading(group.to_string())
        .hide_short_help(matches!(group, Group::Limits | Group::Deadlines))
        .value_name(value_name(slot));
    match () {
        () if slot.is_switch() => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        () if slot.is_list() => arg.action(ArgAction::Append),
        () => arg,
    }
}

fn value_name(slot: &Slot<'_>) -> &'static str {
    match slot {
        Slot::Listens(_) => "ADDR|unix:PATH",
        Slot::Networks(_) => "NETWORK",
        Slot::Mode(_) => "MODE",
        Slot::AddressOrOff(_) => "ADDR|off",
        Slot::Files(_) => "FILE",
        Slot::Count(..) | Slot::Rate(_) | Slot::Time(_) => "N",
        Slot::Bytes(..) => "BYTES",
        Slot::Milliseconds(..) => "MS",
        Slot::Duration(..) => "DURATION",
        Slot::Switch(_) => "true|false",
        Slot::PathOrOff(_) => "PATH|off",
        Slot::Text(..)
        | Slot::Texts(_)
        | Slot::Pattern(_)
        | Slot::Headers(_)
        | Slot::Either(..)
        | Slot::Listed(..) => "TEXT",
        Slot::Secret(_) | Slot::Secrets(_) => "SECRET",
        Slot::Filter(_) => "LEVEL",
        Slot::Format(_) => "text|json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_a_section_is_a_key() {
        assert_eq!(flags().count(), FLAGS.len());
    }
}
