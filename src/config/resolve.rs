//! Resolves typed text to a configuration: merges the layers, sets dependent defaults, and checks the rules between
//! keys (`conflicts`). All errors are collected, so that they can be corrected together.

use super::args::{Args, Typed};
use super::conflicts::{concerns, conflicts};
use super::development::open_beyond_loopback;
use super::error::CA_VARIABLE;
use super::file::{self, Layer};
use super::leftovers::{self, Leftover};
use super::said::{self, Said, Source};
use super::sections::{self, Target};
use super::slot::{HIDDEN, PLACEHOLDER, Raw, WEAK_SECRET};
use super::value::Table;
use super::variables::{self, Variables};
use super::{Config, ConfigError, ConfigWarning, Limits, Place, Sections, Timeouts, listeners, lists};
use crate::outside::options::NamedVariables;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration, with the source of each value.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The configuration that the server uses.
    pub config: Config,
    /// The values of the sections, in their form.
    pub(super) sections: Sections,
    /// Those of the start, after a reload.
    pub(super) at_start: Option<Arc<Sections>>,
    /// Whether nothing was typed about clients and channels, so that all features are open.
    pub(super) is_development: bool,
    /// Sources of the typed keys.
    places: BTreeMap<String, Place>,
    /// Flat keys that were typed under another name: that name, and the value as typed.
    written: BTreeMap<String, (String, String)>,
    /// Warnings about values without effect.
    pub(super) warnings: Vec<ConfigWarning>,
    /// The file, if it exists and is empty.
    pub(super) emptied: Option<PathBuf>,
    /// Whether a file was read.
    has_file: bool,
}

impl Effective {
    /// Warnings about values with no effect or an unexpected one: in the order of the file, then of the keys.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }

    /// Whether a configuration file was named, or found in the working directory.
    pub fn has_file(&self) -> bool {
        self.has_file
    }

    /// The source of the value of `name`.
    pub fn place(&self, name: &str) -> &Place {
        self.places.get(name).unwrap_or(&Place::Default)
    }

    /// The name under which a key was typed, and its value as typed, if that is another name.
    pub(super) fn written(&self, name: &str) -> Option<&(String, String)> {
        self.written.get(name)
    }

    /// Copies the source of `name` from `other`, since its value was copied.
    pub(super) fn keep_place(&mut self, name: &str, other: &Self) {
        match other.written.get(name) {
            Some(written) => self.written.insert(name.to_owned(), written.clone()),
            None => self.written.remove(name),
        };
        match other.places.get(name) {
            Some(place) => self.places.insert(name.to_owned(), place.clone()),
            None => self.places.remove(name),
        };
    }

    /// The error if one of these addresses can be reached from other machines in implicit development mode.
    pub fn is_open_at(&self, addresses: &[SocketAddr]) -> Option<String> {
        let outside = addresses.iter().find(|address| !is_loopback(address.ip()))?;
        (self.is_development && !self.config.development).then(|| open_beyond_loopback(*outside))
    }

    /// The option by which clients come through proxies in implicit development mode.
    pub(super) fn is_open_behind(&self) -> Option<&'static str> {
        let config = &self.config;
        let key = if config.proxy_protocol { "proxy_protocol" } else { "trusted_proxies" };
        (self.is_development && !config.development && config.trusts_proxies()).then_some(key)
    }

    pub(super) fn is_typed(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
}

/// Resolves flags, variables (`Variables::of_process` in production) and the file that one of them names.
///
/// # Errors
/// All errors: in the order of the file, then of variables and flags. The program should end with exit code 2.
pub fn resolve(args: &Args, variables: &Variables) -> Result<Effective, Vec<ConfigError>> {
    let (effective, errors) = examine(args, variables);
    if errors.is_empty() { Ok(effective) } else { Err(errors) }
}

/// Like [`resolve()`], but continues after errors; a key with an error has its default value in the result.
pub fn examine(args: &Args, variables: &Variables) -> (Effective, Vec<ConfigError>) {
    examine_sources(sources(args, variables), args, variables)
}

/// Like [`examine()`], for the content of a file and Centrifugo's variables.
#[cfg(feature = "cli")]
pub(super) fn examine_table(table: Table, variables: &Variables) -> (Effective, Vec<ConfigError>) {
    let source = Source { table, ..Source::default() };
    let mut sources = vec![source, variables::read(variables, variables::CENTRIFUGO)];
    let left = lists::settle(&mut sources);
    let file = File { path: None, is_known: true, is_centrifugo: true };
    let sources = Sources { sources, file, left, warnings: Vec::new() };
    examine_sources(sources, &Args::default().of_program(), variables)
}

fn examine_sources(sources: Sources, args: &Args, variables: &Variables) -> (Effective, Vec<ConfigError>) {
    let Sources { mut sources, file, left, mut warnings } = sources;
    let mut errors: Vec<ConfigError> =
        sources.iter_mut().flat_map(|source| source.errors.drain(..)).collect();
    let tables: Vec<&Table> = sources.iter().map(|source| &source.table).collect();
    for said in left {
        match leftovers::judge(&said, &tables) {
            Some(Leftover::Refused(error)) if is_of_centrifugo(&said.place) => errors.push(error),
            Some(Leftover::Warned(warning)) if is_of_centrifugo(&said.place) => warnings.push(warning),
            // Like Centrifugo: other programs may have such variables.
            None if is_variable(&said.place, variables::CENTRIFUGO) => warnings.push(passed_over(said)),
            None | Some(Leftover::Refused(_) | Leftover::Warned(_)) => errors.push(said::unknown(&said)),
        }
    }
    let mut layers = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let (layer, wrong) = file::walk(table, &tables[at + 1..]);
        errors.extend(wrong);
        layers.push(layer);
    }
    let unknown = layers.iter().flat_map(|layer| &layer.unknown);
    let is_said = pass_over(args.warns_of_unknown(variables), unknown, &mut errors, &mut warnings);
    let has_file = file.path.is_some();
    let emptied = file.path.filter(|_| file.is_known && tables[0].0.is_empty());
    let is_configured = layers.iter().any(|layer| layer.is_configured)
        || emptied.is_some()
        || file.is_centrifugo
        || is_said
        || args.is_program && variables.is_centrifugo();
    let mut effective = overlay(&layers, is_configured, Surroundings { args, variables }, &mut errors);
    effective.warnings.append(&mut warnings);
    (effective.emptied, effective.has_file) = (emptied, has_file);
    if let Some(file) = variables.get(CA_VARIABLE) {
        Arc::make_mut(&mut effective.config.outside).ca_file = file.to_string_lossy().into_owned();
        effective.places.insert(CA_VARIABLE.to_owned(), Place::Variable(CA_VARIABLE.to_owned()));
    }
    if file.is_known {
        let mut found = conflicts(&effective);
        found.retain(|conflict| !errors.iter().any(|error| concerns(conflict, &error.key)));
        errors.append(&mut found);
    }
    // In the order of the file, then those of variables and flags.
    errors.sort_by_key(ConfigError::line);
    (effective, errors)
}

fn is_variable(place: &Place, prefix: &str) -> bool {
    matches!(place, Place::Variable(name) if name.starts_with(prefix))
}

/// Whether Centrifugo could have such a value: a variable with its prefix, or a flag.
fn is_of_centrifugo(place: &Place) -> bool {
    is_variable(place, variables::CENTRIFUGO) || matches!(place, Place::Flag(_))
}

/// The warning about an unknown variable.
fn passed_over(said: Said) -> ConfigWarning {
    let unknown = said::unknown(&said).complaint;
    let (what, hint) = unknown.split_once("; ").unwrap_or((&unknown, ""));
    ConfigWarning { key: said.path, text: format!("is an {what}, ignored; {hint}"), place: said.place }
}

/// Turns errors about unknown keys into warnings where configured; returns whether there are any. An unknown key may
/// have been meant to close the server, so the server is not open then.
fn pass_over<'a>(
    warns: Result<bool, ConfigError>,
    unknown: impl Iterator<Item = &'a ConfigError>,
    errors: &mut Vec<ConfigError>,
    warnings: &mut Vec<ConfigWarning>,
) -> bool {
    let before = warnings.len();
    match warns {
        Ok(false) => {}
        Ok(true) => {
            for unknown in unknown {
                errors.retain(|error| error != unknown);
                let text = format!("is ignored: {}", unknown.complaint);
                warnings.push(ConfigWarning { key: unknown.key.clone(), text, place: unknown.place.clone() });
            }
        }
        Err(error) => errors.push(error),
    }
    warnings.len() > before
}

/// The values of all sources, the nearest last.
struct Sources {
    sources: Vec<Source>,
    file: File,
    /// Values that fit no key.
    left: Vec<Said>,
    warnings: Vec<ConfigWarning>,
}

/// Facts about the file.
#[derive(Default)]
struct File {
    path: Option<PathBuf>,
    /// Whether there is no file or it could be parsed: otherwise its values are unknown, and conflicts cannot be
    /// checked.
    is_known: bool,
    /// Whether it was named or found in the way of Centrifugo, which rules out development mode.
    is_centrifugo: bool,
}

fn sources(args: &Args, variables: &Variables) -> Sources {
    let mut source = Source::default();
    let mut file =
        File { path: args.file(variables), is_known: true, is_centrifugo: args.is_centrifugo_file };
    let mut warnings = Vec::new();
    let read = match &file.path {
        Some(path) => Some(file::read(path)),
        None if args.is_program => {
            let found = file::find(Path::new(""));
            warnings = found.warnings;
            file.is_centrifugo |= found.is_closed;
            found.read.map(|(path, read)| {
                file = File { path: Some(path), is_known: true, is_centrifugo: true };
                read
            })
        }
        None => None,
    };
    match read {
        Some(Ok(table)) => source.table = table,
        Some(Err(error)) => {
            file.is_known = false;
            source.errors.push(error);
        }
        None => {}
    }
    // A program that embeds the server may have such variables as a client of a Centrifugo server.
    let centrifugo =
        if args.is_program { variables::read(variables, variables::CENTRIFUGO) } else { Source::default() };
    let own = variables::read(variables, variables::OWN);
    let mut sources = vec![source, centrifugo, own, said::source(args.flags.clone())];
    let left = lists::settle(&mut sources);
    Sources { sources, file, left, warnings }
}

/// Whether only this machine reaches an address; includes IPv4 addresses mapped to IPv6.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Inputs beside the typed values.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    args: &'a Args,
    variables: &'a Variables,
}

/// Merges values over the defaults, later ones over earlier ones. An error in a value is reported even if a later
/// value replaces it: it would appear another day.
fn overlay(
    layers: &[Layer],
    is_configured: bool,
    around: Surroundings<'_>,
    errors: &mut Vec<ConfigError>,
) -> Effective {
    let mut effective = Effective {
        config: Config::default(),
        sections: Sections::default(),
        at_start: None,
        is_development: !is_configured,
        places: BTreeMap::new(),
        written: BTreeMap::new(),
        warnings: layers.iter().flat_map(|layer| layer.warnings.iter().cloned()).collect(),
        emptied: None,
        has_file: false,
    };
    let typed = layers.iter().flat_map(|layer| &layer.typed);
    let (flat, of_sections): (Vec<_>, Vec<_>) =
        typed.partition(|typed| matches!(typed.target, Target::Flat(_)));
    let variables = around.variables.named();
    lay(&mut effective, &flat, &variables, errors);
    if effective.is_typed("development") {
        effective.is_development = effective.config.development;
    }
    let is_open_to_all = around.args.is_program && !effective.is_development;
    for settled in listeners::settle(&mut effective.config, layers, is_open_to_all, errors) {
        effective.places.insert(settled.flat.to_owned(), settled.by.place.clone());
        if settled.by.name != settled.flat {
            effective.written.insert(settled.flat.to_owned(), (settled.by.name.clone(), settled.by.said()));
        }
    }
    effective.config.control_may_move = around.args.is_program && !effective.is_typed("control");
    if effective.is_development {
        effective.sections = Sections::development(is_local(effective.config.control));
    }
    for (list, names) in layers.iter().flat_map(|layer| &layer.lists) {
        effective.sections.name_tables(*list, names.iter().map(|(name, _)| name.as_str()));
        for (index, (_, place)) in names.iter().enumerate() {
            effective.places.insert(list.name_path(index), place.clone());
        }
    }
    lay(&mut effective, &of_sections, &variables, errors);
    effective.sections.give_variables(&variables);
    if effective.is_typed("http_api.key") && !effective.is_typed("http_api.insecure") {
        // A key that was set is required, in development mode, too.
        effective.sections.close_api();
    }
    follow(&mut effective, is_drain_timed(&flat));
    if effective.is_typed("control") {
        effective.sections.keep_inside();
    }
    effective.sections.settle(&mut effective.config);
    // Connections of Unix sockets come from proxies that are trusted.
    let is_behind_proxies =
        effective.config.trusts_proxies() || effective.config.listen.iter().all(|l| l.address().is_none());
    let told = sections::idle(&effective.sections)
        .into_iter()
        .chain(sections::risky(&effective.sections))
        .chain(sections::unmatched(&effective.sections))
        .chain(sections::of_peers(&effective.sections).filter(|_| !is_behind_proxies));
    let idle = told.map(|(key, text)| {
        let place = effective.place(&key).clone();
        ConfigWarning { key, text, place }
    });
    let idle: Vec<_> = idle.collect();
    effective.warnings.extend(idle);
    effective
}

/// A place has one name, whichever name was typed.
fn place_name(typed: &Typed) -> &str {
    match typed.target {
        Target::Flat(key) => key.name,
        Target::Once(setting) => setting.name,
        Target::Token(..)
        | Target::Hook(..)
        | Target::WithoutNamespace(_)
        | Target::Namespace(..)
        | Target::Proxy(..)
        | Target::Calls(_)
        | Target::CallNamespace(..) => &typed.name,
    }
}

fn lay(
    effective: &mut Effective,
    typed: &[&Typed],
    variables: &NamedVariables,
    errors: &mut Vec<ConfigError>,
) {
    for typed in typed {
        let mut raw = Cow::Borrowed(&typed.raw);
        if typed.target.names_variables() {
            match typed.raw.filled(variables) {
                Ok(filled) => raw = Cow::Owned(filled),
                Err(missing) => {
                    errors.push(typed.error(format!("the variable {missing} is not set")));
                    continue;
                }
            }
        }
        let slot = typed.target.slot(&mut effective.config, &mut effective.sections);
        let (expected, is_switch) = (slot.expected(), slot.is_switch());
        let hint = if slot.is_text() && raw.is_bare() {
            ": put it in quotes".to_owned()
        } else {
            slot.reason(&raw).map_or_else(String::new, |reason| format!(": {reason}"))
        };
        if typed.target.is_secret() && raw.has_placeholder() {
            errors.push(typed.error(PLACEHOLDER.to_owned()));
        } else if slot.set(&raw) {
            if matches!(raw, Cow::Owned(_)) {
                // The printed value has the names of variables, not their values.
                typed.target.slot(&mut effective.config, &mut effective.sections).keep(&typed.raw);
            }
            let name = place_name(typed);
            effective.places.insert(name.to_owned(), typed.place.clone());
            if name == typed.name {
                effective.written.remove(name);
            } else {
                effective.written.insert(name.to_owned(), (typed.name.clone(), typed.said.clone()));
            }
            warn_of_weak(&mut effective.warnings, typed, name, &raw);
        } else {
            if let Some(unquoted) = raw.unquoted().filter(|_| typed.target.is_secret()) {
                errors.push(typed.error(unquoted));
                continue;
            }
            let is_of_grpc = typed.raw.said().trim_matches('"').starts_with("grpc://");
            let reason = if is_of_grpc { "hooks over gRPC are not served; " } else { "" };
            let mut error = typed.error(format!("{reason}expected {expected}{hint}"));
            if is_switch && matches!(typed.place, Place::Flag(_)) {
                // What stands where a switch has no value may be the secret of another flag.
                error.said = HIDDEN.to_owned();
            }
            errors.push(error);
        }
    }
}

/// Warns of a secret that can be guessed, unless a nearer source has another.
fn warn_of_weak(warnings: &mut Vec<ConfigWarning>, typed: &Typed, name: &str, raw: &Raw) {
    if !typed.target.is_secret() {
        return;
    }
    warnings.retain(|warning| warning.key != name || warning.text != WEAK_SECRET);
    if raw.is_weak_secret() {
        let (key, text) = (name.to_owned(), WEAK_SECRET.to_owned());
        warnings.push(ConfigWarning { key, text, place: typed.place.clone() });
    }
}

fn is_local(control: Option<SocketAddr>) -> bool {
    control.is_some_and(|address| is_loopback(address.ip()))
}

/// Centrifugo's bound for what waits for a client.
const QUEUE: &str = "client.queue_max_size";

/// Brings [`QUEUE`] within other limits, with a warning: Centrifugo has none of them.
fn within(limits: &mut Limits, place: Place) -> Option<ConfigWarning> {
    let (least, most) = (limits.message_bytes_max, limits.queued_bytes_max);
    let text = match limits.outbox_bytes_max {
        said if said < least => {
            format!(
                "is raised to {least} bytes, the largest message of a client (websocket.message_size_limit)"
            )
        }
        said if said > most => format!("is lowered to {most} bytes, queued_bytes_max of all clients"),
        _ => return None,
    };
    limits.outbox_bytes_max = limits.outbox_bytes_max.min(most).max(least);
    Some(ConfigWarning { key: QUEUE.to_owned(), text, place })
}

/// The key for the time of a drain; Centrifugo's `shutdown.timeout` is another name for it, but of a longest time only.
const DRAIN: &str = "drain_ms";

/// Connections that a drain closes per second at least where its time is set by throng's own key.
const TIMED_CLOSES_PER_SECOND_MIN: usize = 20;

/// Whether the time of a drain is set by throng's own key, in the nearest source of it.
fn is_drain_timed(flat: &[&Typed]) -> bool {
    let nearest = flat.iter().rev().find(|typed| place_name(typed) == DRAIN);
    nearest.is_some_and(|typed| typed.name == DRAIN)
}

/// Sets defaults that depend on another key, so that raising one limit does not need three flags. `is_drain_timed`:
/// the time of a drain is set by throng's own key.
fn follow(effective: &mut Effective, is_drain_timed: bool) {
    let typed = |name| effective.is_typed(name);
    let (frame, outbox, pong) =
        (typed("frame_bytes_max"), typed("outbox_bytes_max"), typed("pong_timeout_ms"));
    let (drain, closes) = (typed(DRAIN), typed("drain_closes_per_second_min"));
    if !typed("first_page") {
        effective.config.first_page = effective.is_development;
    }
    let Config { limits, timeouts, .. } = &mut effective.config;
    if !drain && !effective.is_development {
        timeouts.drain_ms = Timeouts::default().drain_ms;
    }
    if is_drain_timed && !closes {
        timeouts.drain_closes_per_second_min = TIMED_CLOSES_PER_SECOND_MIN;
    }
    if !frame {
        limits.frame_bytes_max = limits.message_bytes_max;
    }
    if outbox && effective.written.get("outbox_bytes_max").is_some_and(|(name, _)| name == QUEUE) {
        let place = effective.places.get("outbox_bytes_max").cloned().unwrap_or(Place::Default);
        effective.warnings.extend(within(limits, place));
    }
    if !outbox {
        limits.outbox_bytes_max = limits.outbox_bytes_max.max(2 * limits.message_bytes_max);
    }
    if !pong && timeouts.ping_interval_ms > 0 {
        timeouts.pong_timeout_ms = timeouts.pong_timeout_ms.min((timeouts.ping_interval_ms / 3).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn flags(pairs: &[(&str, &str)]) -> Args {
        Args { flags: pairs.iter().map(|(name, word)| Said::flag(name, word)).collect(), ..Args::default() }
    }

    fn errors(pairs: &[(&str, &str)]) -> Vec<String> {
        resolve(&flags(pairs), &Variables::default()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        resolve(&flags(pairs), &Variables::default()).unwrap().config
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
        let path = std::env::temp_dir().join(format!("throng-precedence-{}.toml", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"handshake_ms = 1\nconnect_ms = 1\nlinger_ms = 1\n").unwrap();
        let file_name = path.to_str().unwrap();
        let set = [
            ("THRONG_CONFIG", file_name),
            ("THRONG_HANDSHAKE_MS", "2"),
            ("THRONG_CONNECT_MS", "2"),
            ("THRONG_DRAIN_MS", ""),
        ];
        let effective = resolve(&flags(&[("handshake_ms", "3")]), &set.into_iter().collect()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let timeouts = &effective.config.timeouts;
        let seen = [timeouts.handshake_ms, timeouts.connect_ms, timeouts.linger_ms, timeouts.drain_ms];
        assert_eq!(seen, [3, 2, 1, 0], "flag, variable, file, default (an empty variable is absent)");
        assert_eq!(effective.place("connect_ms"), &Place::Variable("THRONG_CONNECT_MS".into()));
        assert_eq!(effective.place("linger_ms"), &Place::File { path, line: 3 });
        assert_eq!(effective.place("drain_ms"), &Place::Default);
    }

    #[test]
    fn a_drain_is_spread_where_it_is_asked_for_or_clients_are_configured() {
        let drain_ms = |typed: &[(&str, &str)], set: &[(&'static str, &'static str)]| {
            let effective = resolve(&flags(typed), &set.iter().copied().collect()).unwrap();
            effective.config.timeouts.drain_ms
        };
        assert_eq!(drain_ms(&[("log_level", "info")], &[]), 0, "development mode");
        assert_eq!(drain_ms(&[("drain_ms", "7000")], &[]), 7_000);
        let configured = [("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "a secret of the tests")];
        assert_eq!(drain_ms(&[], &configured), 10_000);
        assert_eq!(drain_ms(&[("drain_ms", "0")], &configured), 0);
    }

    /// Centrifugo's `shutdown.timeout` only limits a stop; with it, a few clients took all of the time.
    #[test]
    fn a_drain_takes_a_time_of_its_own_only_where_throngs_own_key_sets_one() {
        let closes = |typed: &[(&str, &str)], set: &[(&'static str, &'static str)]| {
            let variables = set.iter().copied().collect();
            let timeouts = resolve(&flags(typed).of_program(), &variables).unwrap().config.timeouts;
            (timeouts.drain_ms, timeouts.drain_closes_per_second_min)
        };
        let theirs = [("CENTRIFUGO_SHUTDOWN_TIMEOUT", "30s")];
        assert_eq!(closes(&[], &theirs), (30_000, 500));
        assert_eq!(closes(&[], &[("THRONG_DRAIN_MS", "30000")]), (30_000, 20));
        assert_eq!(closes(&[("drain_ms", "7000")], &theirs), (7000, 20), "the nearest source decides");
        let both = [("drain_ms", "7000"), ("drain_closes_per_second_min", "100")];
        assert_eq!(closes(&both, &[]), (7000, 100));
    }

    #[test]
    fn a_file_named_by_a_flag_wins_over_one_named_by_a_variable() {
        let args = Args::of_file(Some("/nowhere/flag.toml".into()));
        let set = [("THRONG_CONFIG", "/nowhere/variable.toml")];
        let said = resolve(&args, &set.into_iter().collect());
        assert!(said.unwrap_err()[0].to_string().starts_with("/nowhere/flag.toml: "));
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let said = errors(&[("shards", "0"), ("listen", "8000"), ("head_bytes_max", "1GiB")]);
        assert_eq!(
            said,
            [
                "--shards 0: expected a whole number from 1 to 1024",
                "--listen 8000: expected IP addresses with their ports, such as 127.0.0.1:8000 or [::1]:8000, and paths, such as \
                 unix:/run/throng/throng.sock",
                "--head-bytes-max 1GiB: expected bytes, such as 65536 or \"64KiB\", from 256B to 1MiB",
            ]
        );
    }

    #[test]
    fn a_variable_that_is_wrong_is_named() {
        let said = resolve(&Args::default(), &[("THRONG_SHARDS", "many")].into_iter().collect());
        assert_eq!(
            said.unwrap_err()[0].to_string(),
            "THRONG_SHARDS=many: expected a whole number from 1 to 1024"
        );
    }

    #[test]
    fn keys_that_do_not_go_together_are_refused() {
        for (pairs, said) in [
            (
                &[("ping_interval_ms", "5000"), ("pong_timeout_ms", "5000")][..],
                "--pong-timeout-ms 5000: expected less than ping_interval_ms, which is 5000 (--ping-interval-ms)",
            ),
            (
                &[("frame_bytes_max", "65537")],
                "--frame-bytes-max 65537: expected at most message_bytes_max, which is \"64KiB\" (default)",
            ),
            (
                &[("outbox_bytes_max", "32KiB")],
                "--outbox-bytes-max \"32KiB\": expected at least message_bytes_max, which is \"64KiB\" (default)",
            ),
            (
                &[("queued_bytes_max", "64KiB")],
                "--queued-bytes-max \"64KiB\": expected at least outbox_bytes_max, which is \"1MiB\" (default)",
            ),
            (
                &[("echo", "/connection/websocket")],
                "--echo \"/connection/websocket\": expected another path than websocket_path, which is \
                 \"/connection/websocket\" (default)",
            ),
            (
                &[("listen", "0.0.0.0:9000"), ("client.insecure", "true")],
                "control = \"127.0.0.1:9000\" (default): expected another port than listen, which is \
                 [\"0.0.0.0:9000\"] (--listen)",
            ),
            (
                &[("listen", "127.0.0.1:80,[::1]:80,127.0.0.1:80")],
                "--listen [\"127.0.0.1:80\", \"[::1]:80\", \"127.0.0.1:80\"]: 127.0.0.1:80 is covered by an earlier address",
            ),
        ] {
            assert_eq!(errors(pairs), [said]);
        }
    }

    #[test]
    fn development_mode_is_not_for_who_comes_through_proxies() {
        for (pair, start) in [
            (("proxy_protocol", "true"), "--proxy-protocol true: through a proxy"),
            (("trusted_proxies", "127.0.0.1"), "--trusted-proxies [\"127.0.0.1/32\"]: through a proxy"),
        ] {
            let told = errors(&[pair]);
            assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_conflict_is_taken() {
        config(&[("ping_interval_ms", "0"), ("pong_timeout_ms", "90000")]);
        config(&[("listen", "127.0.0.1:0,127.0.0.1:0"), ("control", "127.0.0.1:0")]);
        config(&[("listen", "[::]:9000"), ("development", "true")]);
        config(&[("proxy_protocol", "true"), ("trusted_proxies", "127.0.0.1"), ("development", "true")]);
        config(&[("proxy_protocol", "true"), ("client.insecure", "true")]);
        assert_eq!(config(&[("control", "off"), ("listen", "127.0.0.1:9000")]).control, None);
    }

    #[test]
    fn dependent_defaults_follow() {
        let large = config(&[("message_bytes_max", "16MiB")]).limits;
        assert_eq!((large.frame_bytes_max, large.outbox_bytes_max), (16 << 20, 32 << 20));
        let small = config(&[("message_bytes_max", "1KiB")]).limits;
        assert_eq!((small.frame_bytes_max, small.outbox_bytes_max), (1 << 10, 1 << 20));
        assert_eq!(config(&[("ping_interval_ms", "3000")]).timeouts.pong_timeout_ms, 1000);
        assert_eq!(config(&[("ping_interval_ms", "60000")]).timeouts.pong_timeout_ms, 8000);
    }
}
