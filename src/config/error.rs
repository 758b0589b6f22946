//! Errors in the configuration: the key, its value, the allowed values, and the place.
//!
//! Every error is one line that a person can act on without reading a manual.

use super::slot::HIDDEN;
use std::fmt;
use std::path::PathBuf;

/// The variable that names a file with certificate authorities, as in other programs with TLS.
pub(super) const CA_VARIABLE: &str = "SSL_CERT_FILE";

/// Source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The default.
    Default,
    /// A line of the configuration file; 0 stands for the file as a whole.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A command line flag, as it is typed: `--listen`.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Place {
    /// Whether this place shows the key: a variable or a flag of its own does, a variable that contains a list does
    /// not.
    fn names(&self, key: &str) -> bool {
        let same = |name: &str, key: &str| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            name.chars().map(plain).eq(key.chars().map(plain))
        };
        match self {
            Self::Default | Self::File { .. } => false,
            Self::Variable(name) => {
                name == key || name.split_once('_').is_some_and(|(_, rest)| same(rest, key))
            }
            Self::Flag(name) => name.len() == 2 || same(name.trim_start_matches('-'), key),
        }
    }
}

/// An error in the configuration. The process ends with exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key; empty for an error about the whole file.
    pub key: String,
    /// Its value as it was typed, or a mark for a secret; empty if the value does not matter.
    pub said: String,
    /// The reason, or the allowed values.
    pub complaint: String,
    /// The place of the value.
    pub place: Place,
}

impl ConfigError {
    /// The line in the file, for sorting: other places come last.
    pub(super) fn line(&self) -> usize {
        if let Place::File { line, .. } = self.place { line } else { usize::MAX }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, said, complaint, place } = self;
        // An error is one line; keys in PEM have several.
        let said = match said {
            // A key that was pasted as a certificate may have lost its line breaks.
            said if said.contains('\n') || said.contains("-----BEGIN ") => HIDDEN,
            said if is_url(key) => &shown_url(said),
            said => &without_userinfo(said),
        };
        let complaint = &without_userinfo(complaint);
        match place {
            Place::Default => write!(f, "{key} = {said} (default): {complaint}"),
            Place::Variable(name) if place.names(key) && !said.is_empty() => {
                write!(f, "{name}={said}: {complaint}")
            }
            Place::Flag(name) if place.names(key) && !said.is_empty() => {
                write!(f, "{name} {said}: {complaint}")
            }
            Place::Variable(name) | Place::Flag(name) if place.names(key) => write!(f, "{name} {complaint}"),
            Place::File { .. } | Place::Variable(_) | Place::Flag(_) if key.is_empty() => {
                write!(f, "{place}: {complaint}")
            }
            Place::File { .. } | Place::Variable(_) | Place::Flag(_) if said.is_empty() => {
                write!(f, "{place}: {key} {complaint}")
            }
            Place::File { .. } | Place::Variable(_) | Place::Flag(_) => {
                write!(f, "{place}: {key} = {said}: {complaint}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Whether the value of a key is a URL or a list of URLs.
pub(super) fn is_url(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["endpoint", "address", "url", "dsn"].iter().any(|end| key.ends_with(end))
}

/// A URL value in the form in which it may be shown: without all text before its last @, and without a query. The
/// value may be no valid URL, and contain a password all the same.
pub(super) fn shown_url(said: &str) -> String {
    let text = said.trim_end_matches(['"', '\'', ']']);
    let closing = &said[text.len()..];
    let is_scheme = |scheme: &str| {
        let scheme = scheme.trim_start_matches(['[', '"', '\'']);
        scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let scheme = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let start = scheme.map_or_else(
        || text.len() - text.trim_start_matches(['[', '"', '\'']).len(),
        |(scheme, _)| scheme.len() + "://".len(),
    );
    let (before, rest) = text.split_at(start);
    let (hidden, shown) = match rest.rfind('@') {
        // Queries are not shown.
        Some(at) if rest[..at].contains('?') => return format!("{before}{HIDDEN}{closing}"),
        Some(at) => (HIDDEN, &rest[at..]),
        None => ("", rest),
    };
    // A placeholder contains neither sign.
    match shown.find(['?', '#']) {
        Some(end) => format!("{before}{hidden}{}{HIDDEN}{closing}", &shown[..=end]),
        None => format!("{before}{hidden}{shown}{closing}"),
    }
}

/// A text with user and password removed from its URLs: `redis://…@host`.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        told.push_str(before);
        told.push_str("://");
        // An authority ends at a path, or where the text after the URL begins.
        let end = after.find(|c: char| "/?#\"', ".contains(c) || c.is_whitespace()).unwrap_or(after.len());
        // A password may contain any of these if an @ follows; otherwise a port follows the colon.
        let at = after[..end].rfind('@').or_else(|| {
            let whole = after.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(after.len());
            let (_, behind) = after[..end].split_once(':')?;
            let is_port = behind.bytes().all(|byte| byte.is_ascii_digit());
            after[..whole].rfind('@').filter(|_| !is_port)
        });
        rest = match at {
            Some(at) => {
                told.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    told.push_str(rest);
    told
}

/// A warning: a value has no effect, or not the full effect, but the server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The key.
    pub key: String,
    /// The effect, or the remedy.
    pub text: String,
    /// The place of the value.
    pub place: Place,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, text, place } = self;
        match place {
            Place::Default => write!(f, "{key} {text}"),
            Place::Variable(name) | Place::Flag(name) if place.names(key) => write!(f, "{name} {text}"),
            Place::File { .. } | Place::Variable(_) | Place::Flag(_) if key.is_empty() => {
                write!(f, "{place}: {text}")
            }
            Place::File { .. } | Place::Variable(_) | Place::Flag(_) => write!(f, "{place}: {key} {text}"),
        }
    }
}

/// The flag of a key without its dashes: `ping-interval-ms` for `ping_interval_ms`.
pub(super) fn flag_name(key: &str) -> String {
    // The flag names the protocol, not its switch.
    let key = if key == "socketio.enabled" { "socketio" } else { key };
    key.replace(['_', '.'], "-")
}

/// The variable of a key: `THRONG_PING_INTERVAL_MS` for `ping_interval_ms`.
pub(super) fn variable_name(key: &str) -> String {
    format!("THRONG_{}", key.to_ascii_uppercase().replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_key_is_not_shown() {
        for line_break in ["\n", " ", "\\n"] {
            let said = ["-----BEGIN PRIVATE KEY-----", "HUSH", "-----END PRIVATE KEY-----"].join(line_break);
            let key = "client.proxy.connect.http.tls.server_ca_pem".to_owned();
            let place = Place::File { path: "a.json".into(), line: 3 };
            let error = ConfigError { key, said, complaint: "holds no certificate".to_owned(), place };
            assert!(!error.to_string().contains("HUSH"), "{error}");
        }
    }

    #[test]
    fn user_and_password_of_a_url_are_not_told() {
        for (text, told) in [
            ("redis://:hush@host:6379/0", "redis://…@host:6379/0"),
            ("\"http://user:hush@host/a@b\"", "\"http://…@host/a@b\""),
            ("[\"a://u@b\", \"c://d\"]", "[\"a://…@b\", \"c://d\"]"),
            ("http://u:hu/sh@host/x", "http://…@host/x"),
            ("http://host:80/x@y", "http://host:80/x@y"),
            ("no url: a@b", "no url: a@b"),
        ] {
            assert_eq!(without_userinfo(text), told);
        }
    }

    #[test]
    fn of_a_url_no_password_and_no_query_is_told() {
        for (said, told) in [
            ("ftp://u:12/SECRET@h/", "ftp://…@h/"),
            ("u:SECRET@h/", "…@h/"),
            ("http://u:a SECRET@h/", "http://…@h/"),
            ("\"http://u:a SECRET@h/\"", "\"http://…@h/\""),
            ("[\"a://u:SECRET@h\", \"b://u:SECRET@i\"]", "[\"a://…@i\"]"),
            ("grpc://h/?key=SECRET", "grpc://h/?…"),
            ("\"http://h/${V}?key=SECRET\"", "\"http://h/${V}?…\""),
            ("http://h/?a=SECRET@x&b=SECRET", "http://…"),
            ("http://h/x", "http://h/x"),
            ("12", "12"),
            ("", ""),
        ] {
            let error = ConfigError {
                key: "client.proxy.connect.endpoint".into(),
                said: said.into(),
                complaint: "expected a URL".into(),
                place: Place::Default,
            };
            let wanted = format!("client.proxy.connect.endpoint = {told} (default): expected a URL");
            assert_eq!(error.to_string(), wanted);
        }
    }

    #[test]
    fn an_error_stands_as_it_was_typed() {
        let mut error = ConfigError {
            key: "ping_interval_ms".into(),
            said: "fast".into(),
            complaint: "expected a number".into(),
            place: Place::Flag("--ping-interval-ms".into()),
        };
        assert_eq!(error.to_string(), "--ping-interval-ms fast: expected a number");
        error.place = Place::Flag("--client.ping_interval".into());
        assert_eq!(error.to_string(), "--client.ping_interval: ping_interval_ms = fast: expected a number");
        error.place = Place::Flag("-p".into());
        assert_eq!(error.to_string(), "-p fast: expected a number");
        error.place = Place::Variable("CENTRIFUGO_PING_INTERVAL_MS".into());
        assert_eq!(error.to_string(), "CENTRIFUGO_PING_INTERVAL_MS=fast: expected a number");
        error.place = Place::File { path: "throng.toml".into(), line: 3 };
        assert_eq!(error.to_string(), "throng.toml:3: ping_interval_ms = fast: expected a number");
        error.said = "'''\n-----BEGIN'''".into();
        assert_eq!(error.to_string(), "throng.toml:3: ping_interval_ms = …: expected a number");
        error.key = "client.insecure".into();
        error.said = String::new();
        assert_eq!(error.to_string(), "throng.toml:3: client.insecure expected a number");
        let mut warning = ConfigWarning {
            key: "client.concurrency".into(),
            text: "has no effect".into(),
            place: Place::Variable("THRONG_CLIENT_CONCURRENCY".into()),
        };
        assert_eq!(warning.to_string(), "THRONG_CLIENT_CONCURRENCY has no effect");
        warning.place = Place::File { path: "throng.toml".into(), line: 3 };
        assert_eq!(warning.to_string(), "throng.toml:3: client.concurrency has no effect");
        warning.place = Place::Default;
        assert_eq!(warning.to_string(), "client.concurrency has no effect");
        warning.place = Place::Flag("--client.concurrency".into());
        assert_eq!(warning.to_string(), "--client.concurrency has no effect");
        warning.place = Place::Variable("CENTRIFUGO_CHANNEL_NAMESPACES".into());
        assert_eq!(warning.to_string(), "CENTRIFUGO_CHANNEL_NAMESPACES: client.concurrency has no effect");
        warning.place = Place::File { path: "config.json".into(), line: 0 };
        warning.key = String::new();
        assert_eq!(warning.to_string(), "config.json: has no effect");
        error.place = Place::Variable("THRONG_CLIENT_INSECURE".into());
        assert_eq!(error.to_string(), "THRONG_CLIENT_INSECURE expected a number");
        error.key = "channel.namespaces.chat.history_size".into();
        error.said = "many".into();
        error.place = Place::Variable("THRONG_CHANNEL_NAMESPACES".into());
        let wanted =
            "THRONG_CHANNEL_NAMESPACES: channel.namespaces.chat.history_size = many: expected a number";
        assert_eq!(error.to_string(), wanted);
        error.key = String::new();
        assert_eq!(error.to_string(), "THRONG_CHANNEL_NAMESPACES: expected a number");
    }
}
