//! The variables of the environment: those that are keys, and those that only look like one.
//!
//! What matters: a variable that begins with `THRONG_` and means nothing is refused, as an unknown key of the file is. A
//! misspelt one that is passed over would leave its default in force, and some defaults are open.

use super::args::Typed;
use super::file;
use super::sections::Target;
use super::slot::{HIDDEN, Raw};
use super::{ConfigError, KEYS, Place, error};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;

/// What the names of all of them begin with.
const PREFIX: &str = "THRONG_";

/// The variable that names a configuration file.
pub(super) const FILE_VARIABLE: &str = "THRONG_CONFIG";

/// Variables of that prefix that are no keys: what the scripts and tests of this repository read, and how people name the
/// binary to scripts of their own. The one list of them; `tests/docs.rs` compares it with what is read.
pub const OUTSIDE_VARIABLES: [&str; 9] = [
    "THRONG_BIN",
    "THRONG_MUTATIONS",
    "THRONG_OUTCOMES",
    "THRONG_PROGRAM",
    "THRONG_SEED",
    "THRONG_SEEDS",
    "THRONG_TEST_PANICS",
    "THRONG_TRACE",
    "THRONG_TUNING_ROOT",
];

/// An environment, by names. A variable that is empty counts as absent, since many tools that start processes cannot unset
/// one. `Debug` shows no values: some are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    /// Those of this process, as they are now.
    #[cfg(feature = "cli")]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(_, value): &(OsString, OsString)| !value.is_empty()).collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What they say, and everything that is wrong with it.
pub(super) fn read(variables: &Variables) -> (Vec<Typed>, Vec<ConfigError>) {
    let (mut typed, mut errors) = (Vec::new(), Vec::new());
    let mut known = BTreeSet::from([FILE_VARIABLE.to_owned()]);
    let flat = KEYS.iter().map(|key| (key.name.to_owned(), Target::Flat(key)));
    for (name, target) in flat.chain(Target::all()) {
        let variable = error::variable_name(&name);
        let value = variables.get(&variable).map(OsStr::to_owned);
        known.insert(variable);
        match value.map(OsString::into_string) {
            Some(Ok(word)) => typed.push(Typed::new(target, &name, Raw::Words(vec![word]), Place::Variable)),
            Some(Err(bytes)) => {
                let raw = Raw::Words(vec![bytes.to_string_lossy().into_owned()]);
                errors.push(Typed::new(target, &name, raw, Place::Variable).error("is not UTF-8".to_owned()));
            }
            None => {}
        }
    }
    let names = variables.0.keys().map(|name| name.to_string_lossy());
    let is_unknown = |name: &String| name.starts_with(PREFIX) && !known.contains(name) && !is_outside(name);
    errors.extend(names.map(String::from).filter(is_unknown).map(|name| unknown(name, &known)));
    (typed, errors)
}

/// Whether it is known to be for somebody else.
fn is_outside(name: &str) -> bool {
    OUTSIDE_VARIABLES.contains(&name) || is_of_kubernetes(name)
}

/// Whether Kubernetes sets it in every container beside a Service called `throng`, or `throng-x`: `THRONG_SERVICE_HOST`,
/// `THRONG_SERVICE_PORT_HTTP`, `THRONG_PORT`, `THRONG_X_PORT_8000_TCP_ADDR` (kubernetes.io/docs: "Accessing the Service",
/// environment variables).
fn is_of_kubernetes(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("THRONG") else { return false };
    rest.contains("_SERVICE_") || rest.contains("_PORT_") || rest.ends_with("_PORT")
}

/// The value is not told: it may be a secret under a misspelt name.
fn unknown(name: String, known: &BTreeSet<String>) -> ConfigError {
    let complaint = match file::nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown variable; is {near} meant?"),
        None => "unknown variable; `throng config` prints every key, of which variables are named".to_owned(),
    };
    ConfigError { key: name, said: HIDDEN.to_owned(), complaint, place: Place::Variable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(variables: &[(&str, &str)]) -> Vec<String> {
        let (_, errors) = read(&variables.iter().copied().collect());
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_two_keys_are_one_variable() {
        let flat = KEYS.iter().map(|key| key.name.to_owned());
        let names: Vec<_> = flat.chain(Target::all().map(|(path, _)| path)).collect();
        let variables: BTreeSet<_> = names.iter().map(|name| error::variable_name(name)).collect();
        assert_eq!(variables.len(), names.len());
        assert!(!variables.contains(FILE_VARIABLE));
        assert!(!variables.iter().any(|name| is_outside(name)), "a key would be passed over when misspelt");
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_may_be_meant() {
        for (name, meant) in [
            ("THRONG_CLIENT_INSECUR", "is THRONG_CLIENT_INSECURE meant?"),
            ("THRONG_LISTENS", "is THRONG_LISTEN meant?"),
            ("THRONG_HMAC_SECRET_KEY", "is THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY meant?"),
            ("THRONG_client_insecure", "is THRONG_CLIENT_INSECURE meant?"),
            ("THRONG_CONFIGURATION_FILE", "`throng config` prints every key, of which variables are named"),
            ("THRONG_", "`throng config` prints every key, of which variables are named"),
        ] {
            assert_eq!(errors(&[(name, "value")]), [format!("{name}=…: unknown variable; {meant}")]);
        }
    }

    #[test]
    fn what_is_for_others_is_left_alone() {
        for name in [
            "THRONG_SERVICE_HOST",
            "THRONG_SERVICE_PORT",
            "THRONG_SERVICE_PORT_HTTP",
            "THRONG_PORT",
            "THRONG_PORT_8000_TCP",
            "THRONG_PORT_8000_TCP_ADDR",
            "THRONG_EDGE_SERVICE_HOST",
            "THRONG_EDGE_PORT_8000_TCP_PROTO",
            "THRONG_BIN",
            "THRONG_CONFIG",
            "CENTRIFUGO_CLIENT_INSECURE",
        ] {
            assert_eq!(errors(&[(name, "tcp://10.0.0.1:80")]), [""; 0], "{name}");
        }
        assert_eq!(errors(&[("THRONG_CLIENT_INSECUR", "")]), [""; 0], "an empty one is absent");
    }
}
