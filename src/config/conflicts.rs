//! Conflicts: rules between two keys, wherever each was typed.
//!
//! The rules are checked on the merged values of all sources. A wrong value is replaced by its default, which may
//! then break a rule; [`concerns`] detects that.

use super::client_names;
use super::development::OPEN_BEHIND_PROXIES;
use super::error::CA_VARIABLE;
use super::resolve::Effective;
use super::slot::HIDDEN;
use super::{Config, ConfigError, Key, TlsOptions, listeners, sections};
use crate::net::Listen;
use crate::tls::CertificateError;
use crate::tls::certificates::Flaw;

/// All conflicts of a configuration.
pub(super) fn conflicts(effective: &Effective) -> Vec<ConfigError> {
    let mut found = flat_conflicts(effective);
    found.extend(development_conflict(effective));
    found.extend(section_conflicts(effective));
    found.extend(tls_conflicts(effective));
    found
}

/// Whether a conflict may exist only because this key's value was wrong and its default is used.
pub(super) fn concerns(conflict: &ConfigError, wrong: &str) -> bool {
    let is_named = |name: &str| {
        conflict.complaint.split(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).any(|w| w == name)
    };
    // A conflict within a table names the other key without the table.
    let within = wrong
        .rsplit_once('.')
        .is_some_and(|(table, name)| conflict.key.starts_with(&format!("{table}.")) && is_named(name));
    conflict.key == wrong || is_named(wrong) || within
}

/// Development mode lets every client do everything; other machines may reach it only if it was set explicitly.
fn development_conflict(effective: &Effective) -> Option<ConfigError> {
    let addresses: Vec<_> = effective.config.listen.iter().filter_map(Listen::address).collect();
    let (key, complaint) = match effective.is_open_at(&addresses) {
        Some(complaint) => ("listen", complaint),
        None => (effective.is_open_behind()?, OPEN_BEHIND_PROXIES.to_owned()),
    };
    Some(error_at(effective, key, complaint))
}

/// Rules between two flat keys.
fn flat_conflicts(effective: &Effective) -> Vec<ConfigError> {
    let Config { listen, control, limits, timeouts, echo, websocket_path, .. } = &effective.config;
    let interval = timeouts.ping_interval_ms;
    let mut errors = Vec::new();
    let mut rule = |broken: bool, key: &str, relation: &str, other: &str| {
        if broken {
            errors.push(conflict(effective, key, relation, other));
        }
    };
    rule(
        interval > 0 && timeouts.pong_timeout_ms >= interval,
        "pong_timeout_ms",
        "less than",
        "ping_interval_ms",
    );
    rule(
        limits.frame_bytes_max > limits.message_bytes_max,
        "frame_bytes_max",
        "at most",
        "message_bytes_max",
    );
    rule(
        limits.outbox_bytes_max < limits.message_bytes_max,
        "outbox_bytes_max",
        "at least",
        "message_bytes_max",
    );
    rule(
        limits.queued_bytes_max < limits.outbox_bytes_max,
        "queued_bytes_max",
        "at least",
        "outbox_bytes_max",
    );
    rule(echo.is_some() && echo == websocket_path, "echo", "another path than", "websocket_path");
    let clash =
        control.is_some_and(|control| listen.iter().any(|one| listeners::overlap(one, &control.into())));
    rule(clash, "control", "another port than", "listen");
    let twice =
        listen.iter().enumerate().find(|(i, a)| listen[..*i].iter().any(|b| listeners::overlap(a, b)));
    if let Some((_, address)) = twice {
        errors.push(error_at(effective, "listen", format!("{address} is covered by an earlier address")));
    }
    let wrong = client_names::wrong(&effective.config.metrics_client_names);
    errors.extend(wrong.map(|complaint| error_at(effective, "metrics_client_names", complaint)));
    errors
}

/// Rules of sections, and rules between a section and a flat key.
fn section_conflicts(effective: &Effective) -> Vec<ConfigError> {
    let error = |path: &str, complaint: String| error_at(effective, path, complaint);
    let mut found = sections::conflicts(&effective.sections);
    found.extend(sections::outside_conflicts(&effective.config.outside));
    let mut errors: Vec<_> = found.into_iter().map(|found| error(&found.path, found.complaint)).collect();
    if effective.config.outside.skips_signatures && !effective.config.development {
        let complaint = "is allowed only in development mode: anyone could be any user".to_owned();
        errors.push(error("client.insecure_skip_token_signature_verify", complaint));
    }
    for flat in ["websocket_path", "echo"] {
        let Config { websocket_path, echo, .. } = &effective.config;
        let taken = if flat == "echo" { echo } else { websocket_path };
        for (key, path, _) in effective.sections.served() {
            if taken.as_deref() == Some(path) {
                errors.push(error(&key, format!("expected another path than {flat}")));
            }
        }
    }
    errors
}

/// The rules of TLS.
fn tls_conflicts(effective: &Effective) -> Vec<ConfigError> {
    let Config { tls, client, .. } = &effective.config;
    let found = tls.conflicts(client.allow_certificate_connect_without_token);
    let error = |(key, complaint): (&str, String)| error_at(effective, key, complaint);
    let mut errors: Vec<_> = found.into_iter().map(error).collect();
    let is_named = effective.is_typed("control") && effective.config.control.is_some();
    if tls.server.enabled && !tls.server.is_external && is_named {
        let complaint =
            "the control listener is plain: set http_server.tls_external = true, which says so".to_owned();
        errors.push(error(("http_server.tls.enabled", complaint)));
    }
    errors
}

impl Effective {
    /// Adds errors about unusable certificates and keys to those of the configuration, in their order, each with the
    /// key and its place; a key that has an error already gets no second one. Returns those that come from no key.
    pub fn add_certificate_errors(
        &self,
        errors: &mut Vec<ConfigError>,
        unusable: Vec<CertificateError>,
    ) -> Vec<CertificateError> {
        let known: Vec<_> = errors.iter().map(|error| error.key.clone()).collect();
        let mut left = Vec::new();
        for flaw in unusable {
            match self.certificate_error(&flaw) {
                Some(error) if known.contains(&error.key) => {}
                Some(error) => errors.push(error),
                None => left.push(flaw),
            }
        }
        errors.sort_by_key(ConfigError::line);
        left
    }

    fn certificate_error(&self, error: &CertificateError) -> Option<ConfigError> {
        let TlsOptions { cert, key, client_ca, server, .. } = &self.config.tls;
        let CertificateError { name, flaw } = error;
        let of_server = [
            ("http_server.tls.cert_pem", &server.cert),
            ("http_server.tls.key_pem", &server.key),
            ("http_server.tls.client_ca_pem", &server.client_ca),
        ];
        let of_files = [("tls_cert", cert), ("tls_key", key), ("tls_client_ca", client_ca)];
        let at = |at: usize| {
            let ((path, value), (flat, files)) = (of_server[at], of_files[at]);
            if name == path || name == value {
                // The value is shown only if it is the path of a file: it may hold a key.
                let said = if name == value { format!("{value:?}") } else { HIDDEN.to_owned() };
                let place = self.place(path).clone();
                return Some(ConfigError { key: path.to_owned(), said, complaint: flaw.to_string(), place });
            }
            files.contains(name).then(|| error_at(self, flat, error.to_string()))
        };
        // One file may hold both.
        let is_of_key =
            matches!(flaw, Flaw::NoKey | Flaw::EncryptedKey | Flaw::BadKey(_) | Flaw::KeyOfAnother { .. });
        let order = if is_of_key { [1, 0, 2] } else { [0, 1, 2] };
        order.into_iter().find_map(at)
    }
}

fn conflict(effective: &Effective, key: &str, relation: &str, other: &str) -> ConfigError {
    let place = effective.place(other);
    let (other, said) = as_written(effective, other);
    error_at(effective, key, format!("expected {relation} {other}, which is {said} ({place})"))
}

/// An error about the value of a key, at the place of the value.
fn error_at(effective: &Effective, key: &str, complaint: String) -> ConfigError {
    let place = effective.place(key).clone();
    let (key, said) = as_written(effective, key);
    ConfigError { key, said, complaint, place }
}

/// A key and its value under the name that was typed.
fn as_written(effective: &Effective, key: &str) -> (String, String) {
    effective.written(key).cloned().unwrap_or_else(|| (key.to_owned(), said(effective, key)))
}

fn said(effective: &Effective, name: &str) -> String {
    if name == CA_VARIABLE {
        return effective.config.outside.ca_file.clone();
    }
    let flat = || Key::named(name).map(|key| key.toml(&effective.config, false));
    flat().or_else(|| effective.sections.said(name)).unwrap_or_default()
}
