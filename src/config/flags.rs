//! The flags of the configuration on a clap command line, generated from the list of keys.
//!
//! Invariant: values stay text, which `resolve` parses as from any source; clap adds only names and help.

use super::args::Args;
use super::error::flag_name;
use super::names::{ValueKind, names};
use super::said::Said;
use super::sections::{ALIASES, Class, SETTINGS, Target, Unsupported};
use super::{Config, Group, KEYS, Key, Place, Sections, Slot, older};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Keys of sections that are also flags.
const FLAGS: [&str; 6] = [
    "socketio.enabled",
    "client.insecure",
    "client.allowed_origins",
    "client.token.hmac_secret_key",
    "http_api.key",
    "http_api.insecure",
];

/// Short flags of Centrifugo, each with its key.
const SHORT: [(char, &str, &str, &str); 2] = [
    ('p', "http_server.port", "PORT", "Port for clients, as in Centrifugo: sets the port of listen"),
    ('a', "http_server.address", "ADDR", "Address for clients, as in Centrifugo: sets the address of listen"),
];

/// The long name of the file flag in Centrifugo.
const SHORT_FILE: &str = "centrifugo-config";

/// The flag to which [`spell`] converts keys given by path.
const ANY: &str = "set";

/// Keys of sections that are flags, each with its target and help.
fn flags() -> impl Iterator<Item = (&'static str, Target, &'static str)> {
    FLAGS.iter().filter_map(|name| {
        let target = Target::find(name)?;
        let once = SETTINGS.iter().find(|setting| setting.name == *name).map(|setting| setting.help);
        // Flags appear in the process list; variables do not.
        let help = once.unwrap_or("Secret that verifies HS256, HS384 and HS512 tokens; better set as a variable, since flags show in process lists");
        Some((*name, target, help))
    })
}

/// The id of the flag for the treatment of unknown keys.
const UNKNOWN: &str = "unknown_keys";

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Server")
            .help("Configuration file, TOML, JSON or YAML: the keys of these options with _ for -, and Centrifugo's sections");
        let unknown = Arg::new(UNKNOWN)
            .long("unknown-keys")
            .value_name("refuse|warn")
            .value_parser(["refuse", "warn"])
            .help_heading("Server")
            .help("Treatment of unknown keys of the file. warn ignores them with a warning, except keys that look like permissions [default: refuse]");
        let short_file = Arg::new(SHORT_FILE)
            .short('c')
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .conflicts_with("config")
            .help_heading("Server")
            .help("As --config, and ends development mode");
        let short = SHORT.map(|(letter, path, value, help)| {
            Arg::new(path).short(letter).value_name(value).help_heading("Server").help(help)
        });
        let any = Arg::new(ANY).long(ANY).value_name("KEY=VALUE").action(ArgAction::Append).hide(true);
        let (mut config, mut sections) = (Config::default(), Sections::default());
        let access: Vec<_> = flags()
            .map(|(name, target, help)| {
                arg(name, &target.slot(&mut config, &mut sections), help.to_owned(), Group::Access)
            })
            .collect();
        command
            .arg(file)
            .arg(unknown)
            .arg(short_file)
            .args(short)
            .arg(any)
            .args(KEYS.iter().map(flat))
            .args(access)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let short_file: Option<PathBuf> = matches.get_one(SHORT_FILE).cloned();
        let is_centrifugo_file = short_file.is_some();
        let file = short_file.or_else(|| matches.get_one("config").cloned());
        let warns_of_unknown = matches.get_one::<String>(UNKNOWN).map(|word| word == "warn");
        let mut args = Self { file, is_centrifugo_file, warns_of_unknown, ..Self::default() };
        let own =
            KEYS.iter().map(|key| key.name).chain(FLAGS).map(|name| (name, format!("--{}", flag_name(name))));
        let short = SHORT.map(|(letter, path, ..)| (path, format!("-{letter}")));
        for (name, flag) in own.chain(short) {
            if let Some(words) = matches.get_many::<String>(name) {
                let words = words.cloned().collect();
                args.flags.push(Said { path: name.to_owned(), words, place: Place::Flag(flag) });
            }
        }
        for said in matches.get_many::<String>(ANY).into_iter().flatten() {
            let (path, word) =
                said.split_once('=').map_or((said.as_str(), None), |(path, word)| (path, Some(word)));
            let flag = Place::Flag(format!("--{path}"));
            let path = older::served(path).unwrap_or(path);
            let before = args.flags.iter_mut().find(|one| one.place == flag);
            let words = word.map(str::to_owned);
            match before {
                Some(before) => {
                    // A switch without a value counts as one with `true`.
                    let on = || "true".to_owned();
                    if before.words.is_empty() {
                        before.words.push(on());
                    }
                    before.words.push(words.unwrap_or_else(on));
                }
                None => {
                    let words = words.into_iter().collect();
                    args.flags.push(Said { path: path.to_owned(), words, place: flag });
                }
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The help of a key of a section.
fn sentence(target: &Target) -> String {
    let help = match target {
        Target::Flat(key) => key.help,
        Target::Once(setting) => setting.help,
        Target::Token(_, setting) => setting.help,
        Target::Hook(_, setting) | Target::Proxy(_, setting) => setting.help,
        Target::Calls(setting) | Target::CallNamespace(_, setting) => setting.help,
        Target::WithoutNamespace(setting) | Target::Namespace(_, setting) => setting.help,
    };
    format!("{help}.")
}

/// The help of an unsupported key.
fn unsupported(path: &str) -> String {
    let tables = path.match_indices('.').map(|(at, _)| &path[..at]).chain([path]);
    let Some(key) = tables.filter_map(Unsupported::find).next_back() else {
        return "Not supported".to_owned();
    };
    let what = if key.class == Class::Warned { "Has no effect" } else { "Not supported" };
    if key.instead.is_empty() { what.to_owned() } else { format!("{what}: {}", key.instead) }
}

/// Converts flags that name a key by its path, `--client.channel_limit=5`, and flags of older Centrifugo versions to
/// flags that clap knows. The value may follow as a separate argument, except for a switch, which needs none.
pub fn spell(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter().peekable();
    let mut spelt = Vec::new();
    while let Some(word) = words.next() {
        let word = match older::SHORT.iter().find(|(short, _)| word == *short) {
            Some((_, long)) => OsString::from(format!("--{long}")),
            None => word,
        };
        let Some(said) = word.to_str().and_then(path_flag).map(str::to_owned) else {
            let is_last = word == "--";
            spelt.push(word);
            if is_last {
                spelt.extend(words);
                break;
            }
            continue;
        };
        let name = said.split('=').next().unwrap_or_default();
        let is_switch = kind_of(name) == Some(ValueKind::Switch);
        let is_value = |next: &OsString| !is_switch || next == "true" || next == "false";
        let value = if said.contains('=') { None } else { words.next_if(is_value) };
        let mut flag = OsString::from(format!("--{ANY}={said}"));
        if let Some(value) = value {
            flag.push("=");
            flag.push(value);
        }
        spelt.push(flag);
    }
    spelt
}

/// The text after the dashes, if this is a flag that names a key by its path, or one of an older Centrifugo version.
fn path_flag(word: &str) -> Option<&str> {
    let said = word.strip_prefix("--")?;
    let path = said.split('=').next()?;
    let is_path = path.contains('.') || path.contains('_') && names().kind(path).is_some();
    (is_path || older::is_flag(path)).then_some(said)
}

/// The type of the value of such a flag.
fn kind_of(name: &str) -> Option<ValueKind> {
    names().kind(name).or_else(|| names().kind(&older::path_today(name)?))
}

/// All keys as flags with their help, one per line.
pub fn listed() -> String {
    let mut text = String::new();
    let (mut config, mut sections) = (Config::default(), Sections::default());
    for path in names().paths().filter(|path| path.contains('.') || path.contains('_')) {
        let help = match (Target::find(path), ALIASES.iter().find(|alias| alias.path == path)) {
            (Some(Target::Flat(key)), _) => key.help.to_owned(),
            (Some(target), _) => {
                let slot = target.slot(&mut config, &mut sections);
                let expected = slot.expected();
                let expected = expected.split(" (not …").next().unwrap_or_default();
                format!("{} Expected: {expected}; default {}", sentence(&target), slot.toml(false))
            }
            (None, Some(alias)) => format!("Sets {}", alias.flat),
            (None, None) => unsupported(path),
        };
        let value = if names().kind(path) == Some(ValueKind::Switch) { "[=true|false]" } else { "=VALUE" };
        // Writing to a String cannot fail.
        writeln!(text, "--{path}{value}\n    {help}").ok();
    }
    text
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
        | Slot::Cookie(_)
        | Slot::Texts(_)
        | Slot::Pattern(_)
        | Slot::HookName(_)
        | Slot::DataFormat(_)
        | Slot::Rules(..)
        | Slot::SocketRules(_)
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
        assert!(SHORT.iter().all(|(_, path, ..)| names().kind(path).is_some()));
    }

    #[test]
    fn flags_that_name_a_key_are_spelt_as_clap_knows_them() {
        for (typed, spelt) in [
            ("throng --http_server.port=9000", "throng --set=http_server.port=9000"),
            ("throng --http_server.port 9000 -a ::", "throng --set=http_server.port=9000 -a ::"),
            ("throng --health.enabled --pin", "throng --set=health.enabled --pin"),
            ("throng --health.enabled false", "throng --set=health.enabled=false"),
            ("throng --client.ping_interval -1s", "throng --set=client.ping_interval=-1s"),
            ("throng --pid_file x --shards 2", "throng --set=pid_file=x --shards 2"),
            ("throng --client.insecure", "throng --set=client.insecure"),
            ("throng --nobody.knows", "throng --set=nobody.knows"),
            ("throng --port 9000 --health --pin", "throng --set=port=9000 --set=health --pin"),
            ("throng -e redis --tls --tls_cert x", "throng --set=engine=redis --set=tls --set=tls_cert=x"),
            ("throng --admin false -n a", "throng --set=admin=false --set=name=a"),
            ("throng serve -c x.json", "throng serve -c x.json"),
            ("throng -- --client.insecure", "throng -- --client.insecure"),
            ("throng --no_such --config a.b", "throng --no_such --config a.b"),
        ] {
            let words = typed.split(' ').map(OsString::from);
            let wanted: Vec<_> = spelt.split(' ').map(OsString::from).collect();
            assert_eq!(spell(words), wanted, "{typed}");
        }
    }

    #[test]
    fn every_key_is_listed_as_a_flag() {
        let listed = listed();
        for flag in
            ["--client.insecure[=true|false]\n", "--http_server.port=VALUE\n    Sets listen\n", "--pid_file="]
        {
            assert!(listed.contains(flag), "{flag} is missing");
        }
        assert!(!listed.contains("--shards"), "those stand in the help");
    }
}
