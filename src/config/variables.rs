//! The environment variables: those that are keys, and others with the same prefixes.
//!
//! An unknown variable with the prefix `THRONG_` is refused, like an unknown key in the file: ignoring a misspelt one
//! would leave its default in force, and some defaults are open. An unknown one with `CENTRIFUGO_` causes a warning,
//! as in Centrifugo; it rules out development mode like any other variable of Centrifugo.

use super::names::names;
use super::said::{self, Said, Source};
use super::slot::HIDDEN;
use super::{ConfigError, Place};
use crate::outside::options::NamedVariables;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// The prefix of throng's variables.
pub(super) const OWN: &str = "THRONG_";

/// The prefix of Centrifugo's variables.
pub(super) const CENTRIFUGO: &str = "CENTRIFUGO_";

/// The part after the prefix in variables for texts of hooks.
const CUSTOM: &str = "VAR_";

/// The variable that names the configuration file.
pub(super) const FILE_VARIABLE: &str = "THRONG_CONFIG";

/// The variable that sets whether unknown keys are refused or cause warnings.
pub(super) const UNKNOWN_VARIABLE: &str = "THRONG_UNKNOWN_KEYS";

/// Variables with that prefix that are not keys: the ones that scripts and tests of this repository read, and common
/// names of the binary in scripts. The one list of them; `tests/docs.rs` compares it with the code.
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

/// The variables of an environment. An empty variable counts as absent, since many tools that start processes cannot
/// unset one. `Debug` shows no values: some are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables {
    set: BTreeMap<OsString, OsString>,
    /// Whether one of Centrifugo's variables is set, even to an empty value.
    is_centrifugo: bool,
}

impl Variables {
    /// The variables of this process, as they are now.
    #[cfg(feature = "cli")]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The variables whose names begin with `prefix` and whose values are texts.
    #[cfg(feature = "cli")]
    pub(super) fn texts(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |word: &OsString| word.to_str().map(str::to_owned);
        let pairs = self.set.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        pairs.filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.set.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The variables that texts of hooks may name.
    pub(super) fn named(&self) -> NamedVariables {
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        NamedVariables::of(self.set.iter().map(|(name, value)| (text(name), text(value))))
    }

    /// Whether a variable of Centrifugo is set, even if empty or unknown: then the server counts as configured.
    /// Variables for texts, and those that Kubernetes sets, do not count.
    pub(super) fn is_centrifugo(&self) -> bool {
        self.is_centrifugo
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let all: Vec<(OsString, OsString)> = pairs.collect();
        let is_said = |(name, value): &(OsString, OsString)| {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            name.strip_prefix(CENTRIFUGO).is_some_and(|rest| !is_for_others(rest, &value))
        };
        let is_centrifugo = all.iter().any(is_said);
        // An empty variable for texts is valid.
        let is_custom = |name: &OsString| {
            let name = name.to_string_lossy();
            [CENTRIFUGO, OWN]
                .iter()
                .any(|of| name.strip_prefix(of).is_some_and(|rest| rest.starts_with(CUSTOM)))
        };
        let set = all.into_iter().filter(|(name, value)| !value.is_empty() || is_custom(name)).collect();
        Self { set, is_centrifugo }
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.set.keys()).finish()
    }
}

/// The values of variables whose names begin with `prefix`, and their errors.
pub(super) fn read(variables: &Variables, prefix: &str) -> Source {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in &variables.set {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let is_apart =
            name == FILE_VARIABLE || name == UNKNOWN_VARIABLE || OUTSIDE_VARIABLES.contains(&name.as_ref());
        if is_apart || is_for_others(rest, &value.to_string_lossy()) {
            continue;
        }
        let path = names().path_of(rest, prefix == OWN).unwrap_or(rest).to_owned();
        let place = Place::Variable(name.to_string());
        match value.to_str() {
            Some(word) => all.push(Said { path, words: vec![word.to_owned()], place }),
            None => {
                let complaint = "is not UTF-8".to_owned();
                errors.push(ConfigError { key: path, said: HIDDEN.to_owned(), complaint, place });
            }
        }
    }
    let mut source = said::source(all);
    source.errors.append(&mut errors);
    source
}

/// Whether a variable, without its prefix, is not a key: for texts of hooks, or set by Kubernetes.
pub(super) fn is_for_others(rest: &str, value: &str) -> bool {
    rest.starts_with(CUSTOM) || is_of_kubernetes(rest, value)
}

/// Whether Kubernetes sets the variable in every container because of a Service called `throng` or `centrifugo`, or
/// with a longer name: `THRONG_SERVICE_HOST`, `THRONG_SERVICE_PORT_HTTP`, `THRONG_PORT`,
/// `THRONG_X_PORT_8000_TCP_ADDR` (kubernetes.io/docs: "Accessing the Service", environment variables). A port whose
/// value is an address is such a variable, even if it is a key.
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    // The Service may have any name, and so a form may begin after any underscore.
    let starts = rest.match_indices('_').map(|(at, _)| at + 1);
    [0].into_iter().chain(starts).any(|at| is_kubernetes_form(&rest[at..], value))
}

/// Whether this is the part of such a variable after the Service's name, with a value that Kubernetes gives it.
fn is_kubernetes_form(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_address = || {
        let protocol = value.split_once("://").map(|(protocol, _)| protocol.to_ascii_uppercase());
        protocol.is_some_and(|protocol| PROTOCOLS.contains(&protocol.as_str()))
    };
    let is_ip = || value.parse::<std::net::IpAddr>().is_ok();
    let is_number = || value.parse::<u16>().is_ok();
    match name {
        "SERVICE_HOST" => return is_ip(),
        "SERVICE_PORT" => return is_number(),
        "PORT" => return is_address(),
        _ if name.strip_prefix("SERVICE_PORT_").is_some_and(|port| !port.is_empty()) => return is_number(),
        _ => {}
    }
    let Some(port) = name.strip_prefix("PORT_") else { return false };
    let parts: Vec<_> = port.split('_').collect();
    let (number, protocol, part) = match parts[..] {
        [number, protocol] => (number, protocol, None),
        [number, protocol, part] => (number, protocol, Some(part)),
        _ => return false,
    };
    if number.parse::<u16>().is_err() || !PROTOCOLS.contains(&protocol) {
        return false;
    }
    match part {
        None => is_address(),
        Some("PROTO") => value.eq_ignore_ascii_case(protocol),
        Some("PORT") => is_number(),
        Some("ADDR") => is_ip(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(variables: &[(&str, &str)]) -> Vec<String> {
        let source = read(&variables.iter().copied().collect(), OWN);
        let unknown = source.for_lists.iter().map(said::unknown);
        source.errors.iter().cloned().chain(unknown).map(|error| error.to_string()).collect()
    }

    #[test]
    fn no_key_is_passed_over_as_somebody_else_s() {
        for path in names().paths() {
            let variable = super::super::names::variable(path);
            for value in ["8000", "10.0.0.1", "tcp", "text"] {
                assert!(!is_for_others(&variable, value), "{variable}={value}");
            }
            let own = format!("{OWN}{variable}");
            assert!(own != FILE_VARIABLE && !OUTSIDE_VARIABLES.contains(&own.as_str()), "{own}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_may_be_meant() {
        for (name, meant) in [
            ("THRONG_CLIENT_INSECUR", "is THRONG_CLIENT_INSECURE meant?"),
            ("THRONG_LISTENS", "is THRONG_LISTEN meant?"),
            ("THRONG_HMAC_SECRET_KEY", "is THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY meant?"),
            ("THRONG_client_insecure", "is THRONG_CLIENT_INSECURE meant?"),
            (
                "THRONG_CONFIGURATION_FILE",
                "`throng config --flags` lists the keys, from which variables are named",
            ),
            ("THRONG_CHANNEL_NAMESPACES_CHAT_PRESENCE", "no namespace, hook or consumer has this name"),
            ("THRONG_", "`throng config --flags` lists the keys, from which variables are named"),
        ] {
            assert_eq!(errors(&[(name, "value")]), [format!("{name}=…: unknown variable; {meant}")]);
        }
    }

    #[test]
    fn what_is_for_others_is_left_alone() {
        let (ip, number, address) = ("10.0.0.1", "8000", "tcp://10.0.0.1:8000");
        let mut set = vec![("HTTP_SERVER_PORT".to_owned(), address), ("VAR_ANYTHING".to_owned(), "text")];
        for service in ["", "X_", "HTTP_SERVER_", "PORT_", "SERVICE_", "A_SERVICE_PORT_"] {
            let of_service = [
                ("SERVICE_HOST", ip),
                ("SERVICE_HOST", "fd00::1"),
                ("SERVICE_PORT", number),
                ("SERVICE_PORT_HTTP", number),
                ("SERVICE_PORT_GRPC_API", number),
                ("PORT", address),
                ("PORT", "udp://[fd00::1]:53"),
                ("PORT_8000_TCP", address),
                ("PORT_8000_TCP_PROTO", "tcp"),
                ("PORT_8000_TCP_PORT", number),
                ("PORT_8000_TCP_ADDR", ip),
                ("PORT_53_UDP", "udp://10.0.0.1:53"),
                ("PORT_53_UDP_PROTO", "udp"),
                ("PORT_53_UDP_PORT", "53"),
                ("PORT_53_UDP_ADDR", ip),
                ("PORT_8000_SCTP_PROTO", "sctp"),
            ];
            set.extend(of_service.map(|(name, value)| (format!("{service}{name}"), value)));
        }
        for (rest, value) in set {
            for prefix in [OWN, CENTRIFUGO] {
                let variables: Variables = [(format!("{prefix}{rest}"), value)].into_iter().collect();
                let source = read(&variables, prefix);
                let is_empty = source.table.0.is_empty() && source.for_lists.is_empty();
                assert!(is_empty && !variables.is_centrifugo(), "{prefix}{rest}={value}");
            }
        }
        for other in ["THRONG_BIN", "THRONG_CONFIG", "CENTRIFUGO_CLIENT_INSECURE", "OTHER"] {
            assert_eq!(errors(&[(other, "true")]), [""; 0], "{other}");
        }
        assert_eq!(errors(&[("THRONG_CLIENT_INSECUR", "")]), [""; 0], "an empty one is absent");
        for (name, value) in [
            ("THRONG_PORT", "8000"),
            ("THRONG_SERVICE_HOSTS", "10.0.0.1"),
            ("THRONG_SERVICE_HOST", "text"),
            ("THRONG_SERVICE_PORT", "text"),
            ("THRONG_A_PORT_X_TCP", "tcp://10.0.0.1:80"),
            ("THRONG_A_PORT_80_TCP", "80"),
            ("THRONG_A_PORT_80_TCP_PROTO", "udp"),
        ] {
            assert_eq!(errors(&[(name, value)]).len(), 1, "{name}={value} is none of Kubernetes");
        }
    }

    #[test]
    fn an_empty_variable_of_centrifugo_s_is_one() {
        let is_one =
            |name: &str, value: &str| [(name, value)].into_iter().collect::<Variables>().is_centrifugo();
        assert!(is_one("CENTRIFUGO_HTTP_API_KEY", ""));
        assert!(is_one("CENTRIFUGO_ANYTHING", "x"));
        assert!(is_one("CENTRIFUGO_PORT", "8000"));
        assert!(!is_one("CENTRIFUGO_PORT", "tcp://10.0.0.1:80"));
        assert!(!is_one("CENTRIFUGO_VAR_KEY", "x"));
        assert!(!is_one("THRONG_HTTP_API_KEY", ""));
    }
}
