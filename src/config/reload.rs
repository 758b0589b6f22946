//! The changes that a running server applies at a reload, and those that need a restart.
//!
//! One table classifies all keys ([`RELOAD`]); docs/CONFIGURATION.md shows it. [`Effective::reloaded`] returns the
//! running configuration with all applicable changes, or an error: values that conflict with values that stay are
//! refused.

use super::conflicts::conflicts;
use super::sections::{Target, path_of};
use super::{ConfigError, Effective, KEYS, Place};
use crate::session::Transport;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The effect of a reload on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new value is applied; the text says to what, or when.
    Taken(&'static str),
    /// The value changes at a restart only, with the reason.
    Restart(&'static str),
}

const REQUESTS: Reload = Reload::Taken("for new requests; existing connections are unaffected");
const AT_ONCE: Reload = Reload::Taken("at once");
const MESSAGES: Reload = Reload::Taken("at once, also for existing connections");
const EVENTS: Reload =
    Reload::Taken("for new events and sockets; existing sockets stay in their namespaces and rooms");
const CONNECTS: Reload = Reload::Taken("for clients that connect, subscribe or refresh afterwards");
const SOCKETS: Reload = Reload::Restart("sockets are created at start");
const THREADS: Reload = Reload::Restart("threads and their tables are created at start");
const CERTIFICATES: Reload =
    Reload::Restart("the files themselves are reloaded, on a reload and when they change");
const BUDGETS: Reload = Reload::Restart("budgets and tables are sized at start");
const HEARTBEATS: Reload = Reload::Restart("live connections use it, and clients were told it");
const COMPRESSED: Reload = Reload::Restart("connections have negotiated it");
const LOGS: Reload = Reload::Restart("logging is set up at start");
const ROOMS: Reload = Reload::Restart("subscribers are counted at the homes of their channels");
const CONTROL: Reload = Reload::Restart("the control listener is set up at start");

/// All keys, by name or by a prefix of the path up to a dot; the first matching row applies.
pub static RELOAD: &[(&str, Reload)] = &[
    ("listen", SOCKETS),
    ("unix_mode", SOCKETS),
    ("proxy_protocol", SOCKETS),
    ("tcp_user_timeout_ms", SOCKETS),
    ("control", SOCKETS),
    ("shards", THREADS),
    ("pin", THREADS),
    ("private_descriptors", THREADS),
    ("token_workers", THREADS),
    ("echo", THREADS),
    ("tls_cert", CERTIFICATES),
    ("tls_key", CERTIFICATES),
    ("tls_self_signed", CERTIFICATES),
    ("tls_client_ca", CERTIFICATES),
    ("tls_client_cert", CERTIFICATES),
    ("tls_min_version", CERTIFICATES),
    ("tls_ticket_rotation_ms", CERTIFICATES),
    ("http_server.", CERTIFICATES),
    ("pid_file", Reload::Restart("it is written at start")),
    ("connections_max", BUDGETS),
    ("queued_bytes_max", BUDGETS),
    ("history_bytes_max", BUDGETS),
    ("memory_max", BUDGETS),
    ("hook_requests_max", BUDGETS),
    ("metrics_by_namespace", BUDGETS),
    ("metrics_users", BUDGETS),
    ("metrics_client_names", BUDGETS),
    ("compression", COMPRESSED),
    ("compression_min_bytes", COMPRESSED),
    ("compression_level", COMPRESSED),
    ("ping_interval_ms", HEARTBEATS),
    ("pong_timeout_ms", HEARTBEATS),
    ("idle_ms", HEARTBEATS),
    ("socketio.proxy.event.", EVENTS),
    ("socketio.proxy.disconnect.", EVENTS),
    ("socketio.proxy.", CONNECTS),
    ("socketio.insecure", EVENTS),
    ("socketio.namespaces", EVENTS),
    ("socketio.rules", EVENTS),
    ("socketio.events_waiting_max", EVENTS),
    ("socketio.enabled", REQUESTS),
    ("socketio.", HEARTBEATS),
    ("log_level", LOGS),
    ("log_format", LOGS),
    ("log.", LOGS),
    ("http_api.disabled", CONTROL),
    ("http_api.body_bytes_max", CONTROL),
    ("http_api.handler_prefix", CONTROL),
    ("http_api.external", CONTROL),
    ("http_api.threads", THREADS),
    ("health.", CONTROL),
    ("prometheus.", CONTROL),
    ("node.", CONTROL),
    ("control_connections_max", CONTROL),
    ("development", AT_ONCE),
    ("control_key", AT_ONCE),
    ("http_api.", AT_ONCE),
    ("trusted_proxies", REQUESTS),
    ("websocket_path", REQUESTS),
    ("first_page", REQUESTS),
    ("emulation.", REQUESTS),
    ("client.allowed_origins", REQUESTS),
    ("client.allow_own_pages", REQUESTS),
    ("client.", CONNECTS),
    (
        "channel.",
        Reload::Taken(
            "for new subscriptions, publications and requests; existing subscriptions keep their options",
        ),
    ),
    ("rpc.", MESSAGES),
    ("proxies.", MESSAGES),
    ("init.", REQUESTS),
    ("rates.", MESSAGES),
    ("handshake_ms", REQUESTS),
    ("connect_ms", REQUESTS),
    ("head_bytes_max", REQUESTS),
    ("message_bytes_max", MESSAGES),
    ("frame_bytes_max", MESSAGES),
    ("outbox_bytes_max", MESSAGES),
    ("channels_per_connection_max", MESSAGES),
    ("channel_name_bytes_max", MESSAGES),
    ("channels_per_shard_max", MESSAGES),
    ("read_bytes_per_turn_max", AT_ONCE),
    ("deliveries_per_turn_max", AT_ONCE),
    ("mailbox_letters_max", AT_ONCE),
    ("join_leave_per_second_max", AT_ONCE),
    ("questions_max", AT_ONCE),
    ("message_ms", MESSAGES),
    ("linger_ms", AT_ONCE),
    ("drain_ms", AT_ONCE),
    ("drain_closes_per_second_min", AT_ONCE),
    ("drain_delay_ms", AT_ONCE),
    ("retry_after_ms", AT_ONCE),
    ("accepts_per_turn_max", AT_ONCE),
    ("handshakes_per_turn_max", AT_ONCE),
    ("half_open_max", AT_ONCE),
    ("accepts_per_second_max", AT_ONCE),
    ("accepts_per_ip_max", AT_ONCE),
    ("accepts_per_network_max", AT_ONCE),
    ("tls_handshakes_per_second_max", AT_ONCE),
];

/// The effect of a reload on this key, flat or of a section.
pub fn reload_of(path: &str) -> Reload {
    // Of any table of channels.
    if path.starts_with("channel.") && (path.ends_with(".socketio") || path.ends_with(".socketio_event")) {
        return ROOMS;
    }
    let is_of =
        |transport: &Transport| path.strip_prefix(transport.name()).is_some_and(|rest| rest.starts_with('.'));
    if Transport::ALL.iter().any(is_of) {
        return REQUESTS;
    }
    let fits = |row: &&(&str, Reload)| row.0 == path || row.0.ends_with('.') && path.starts_with(row.0);
    // A missing key would be a bug; a test checks for it.
    RELOAD.iter().find(fits).map_or(Reload::Restart("unknown effect"), |row| row.1)
}

/// The outcome of a reload: keys by path, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new value is in force.
    pub taken: Vec<String>,
    /// Keys whose old value stays in force until a restart.
    pub needs_restart: Vec<String>,
}

impl Effective {
    /// Merges this running configuration with all changes in `new` that need no restart; returns the result, and the
    /// changed keys.
    ///
    /// # Errors
    /// The conflicts between new values and values that stay.
    pub fn reloaded(&self, new: &Self) -> Result<(Self, Changes), Vec<ConfigError>> {
        let mut merged = new.clone();
        let mut old = self.clone();
        for path in KEYS.iter().map(|key| key.name.to_owned()).chain(Target::all().map(|(path, _)| path)) {
            if let (Reload::Restart(_), Some(target)) = (reload_of(&path), Target::find(&path)) {
                let from = target.slot(&mut old.config, &mut old.sections);
                target.slot(&mut merged.config, &mut merged.sections).copy(&from);
                merged.keep_place(&path, self);
            }
        }
        let at_start = self.at_start.clone().unwrap_or_else(|| Arc::new(self.sections.clone()));
        merged.sections.keep_rooms(&at_start);
        merged.at_start = Some(at_start);
        let mut conflicts = conflicts(&merged);
        conflicts.extend(self.opened_by(&merged));
        conflicts.extend(self.emptied_by(&merged));
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        merged.sections.settle(&mut merged.config);
        // What has the new value in spite of all, such as the rooms of a namespace that is back, needs no restart.
        let waits = merged.differences(new);
        let waits = |path: &String| matches!(reload_of(path), Reload::Restart(_)) && waits.contains(path);
        let (needs_restart, taken): (Vec<_>, Vec<_>) = self.differences(new).into_iter().partition(waits);
        Ok((merged, Changes { taken, needs_restart }))
    }

    /// The error for a file that has become empty: a file that is being written is empty for a moment.
    fn emptied_by(&self, new: &Self) -> Option<ConfigError> {
        let path = new.emptied.clone().filter(|_| self.emptied.is_none())?;
        let place = Place::File { path, line: 0 };
        let complaint = "is empty: a running server does not take that".to_owned();
        Some(ConfigError { key: String::new(), said: String::new(), complaint, place })
    }

    /// The error for a change that would open a closed server without an explicit setting.
    fn opened_by(&self, new: &Self) -> Option<ConfigError> {
        let is_opened = new.is_development && !new.config.development && !self.is_development;
        is_opened.then(|| ConfigError {
            key: "development".to_owned(),
            said: "false".to_owned(),
            complaint: "clients and channels are no longer configured, which would mean development mode: everyone may do everything. A running server does not switch to it by itself: set development = true, or restart"
                .to_owned(),
            place: Place::Default,
        })
    }

    /// The paths of all keys whose value differs in `other`.
    fn differences(&self, other: &Self) -> BTreeSet<String> {
        let (mine, others) = (self.values(), other.values());
        let paths = mine.keys().chain(others.keys());
        paths.filter(|path| mine.get(*path) != others.get(*path)).cloned().collect()
    }

    /// All keys that can differ from their default, with their values.
    fn values(&self) -> BTreeMap<String, String> {
        let flat = KEYS.iter().map(|key| (key.name.to_owned(), key.toml(&self.config, true)));
        let rows = self.sections.rows(true).into_iter();
        flat.chain(rows.map(|row| (path_of(&row), row.toml))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Config, Sections, resolve};
    use super::*;

    fn effective(name: &str, toml: &str) -> Effective {
        let path = std::env::temp_dir().join(format!("throng-reload-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, toml).unwrap();
        let effective = resolve(&Args::of_file(Some(path.clone())), &Default::default());
        std::fs::remove_file(path).unwrap();
        effective.unwrap()
    }

    #[test]
    fn every_key_has_its_row_and_every_row_its_key() {
        let paths: Vec<_> =
            KEYS.iter().map(|key| key.name.to_owned()).chain(Target::all().map(|(path, _)| path)).collect();
        let unknown = Reload::Restart("unknown effect");
        for path in &paths {
            assert_ne!(reload_of(path), unknown, "{path}");
        }
        assert!(matches!(reload_of("channel.namespaces.chat.history_size"), Reload::Taken(_)));
        for (at, (row, _)) in RELOAD.iter().enumerate() {
            let fits = |path: &&String| *path == row || row.ends_with('.') && path.starts_with(row);
            let is_list = *row == "proxies.";
            assert!(is_list || paths.iter().any(|path| fits(&path)), "{row} is no key");
            assert!(!RELOAD[..at].iter().any(|(before, _)| before == row), "{row} is listed twice");
        }
    }

    /// Copying a key to another configuration copies its value.
    #[test]
    fn every_kind_of_value_is_copied() {
        let (mut config, mut sections) = (Config::default(), Sections::development(true));
        config.development = true;
        config.control_key.0 = "k".to_owned();
        let (mut to, mut to_sections) =
            (Config { listen: Vec::new(), ..Config::default() }, Sections::default());
        for path in KEYS.iter().map(|key| key.name.to_owned()).chain(Target::all().map(|(path, _)| path)) {
            let target = Target::find(&path).unwrap();
            let from = target.slot(&mut config, &mut sections);
            let wanted = from.toml(true);
            target.slot(&mut to, &mut to_sections).copy(&from);
            assert_eq!(target.slot(&mut to, &mut to_sections).toml(true), wanted, "{path}");
        }
    }

    #[test]
    fn what_can_be_had_is_taken_and_what_cannot_is_named() {
        let old = effective(
            "old",
            "shards = 1\nmessage_bytes_max = '1KiB'\n[client.token]\nhmac_secret_key = 'one'\n\
             [[channel.namespaces]]\nname = 'aa'\npresence = true\n[node]\nname = 'n'\n",
        );
        let new = effective(
            "new",
            "shards = 2\nmessage_bytes_max = '2KiB'\npin = false\n[client]\nallowed_origins = ['https://a.b']\n\
             token.hmac_secret_key = 'two'\n[[channel.namespaces]]\nname = 'aa'\n[[channel.namespaces]]\n\
             name = 'bb'\n[node]\nname = 'm'\n[rates]\ncommands_max = 5\n",
        );
        let (merged, changes) = old.reloaded(&new).unwrap();
        assert_eq!(
            changes.taken,
            [
                "channel.namespaces.aa.presence",
                "channel.namespaces.bb",
                "client.allowed_origins",
                "client.token.hmac_secret_key",
                "frame_bytes_max",
                "message_bytes_max",
                "rates.commands_max",
            ]
        );
        assert_eq!(changes.needs_restart, ["node.name", "pin", "shards"]);
        let Config { shards, pin, limits, outside, rates, namespaces, api, .. } = &merged.config;
        assert_eq!((*shards, *pin, limits.message_bytes_max, rates.commands_max), (1, true, 2048, 5));
        assert_eq!((outside.token.hmac_secret_key.as_str(), api.node_name.as_str()), ("two", "n"));
        assert!(namespaces.named.contains_key("bb") && !namespaces.named["aa"].presence);
        // A repeated reload changes nothing, and still names the changes that need a restart.
        let (_, again) = merged.reloaded(&new).unwrap();
        assert_eq!((again.taken, again.needs_restart), (Vec::new(), changes.needs_restart));
    }

    #[test]
    fn rooms_of_socketio_stay_what_they_were_until_a_restart() {
        let old = effective(
            "rooms",
            "socketio.enabled = true\n[[channel.namespaces]]\nname = 'aa'\nsocketio = '/a'\n",
        );
        let new = effective(
            "other rooms",
            "socketio.enabled = true\n[channel.without_namespace]\nsocketio = '/'\n[[channel.namespaces]]\n\
             name = 'aa'\nsocketio = '/b'\nsocketio_event = 'x'\npresence = true\n[[channel.namespaces]]\n\
             name = 'bb'\nsocketio = '/b'\n",
        );
        let (merged, changes) = old.reloaded(&new).unwrap();
        assert_eq!(changes.taken, ["channel.namespaces.aa.presence", "channel.namespaces.bb"]);
        let fixed = [
            "channel.namespaces.aa.socketio",
            "channel.namespaces.aa.socketio_event",
            "channel.namespaces.bb.socketio",
            "channel.without_namespace.socketio",
        ];
        assert_eq!(changes.needs_restart, fixed);
        let namespaces = &merged.config.namespaces;
        let socketio = |name: &str| namespaces.named[name].socketio.clone();
        assert_eq!((socketio("aa"), socketio("bb")), ("/a".to_owned(), String::new()));
        assert!(namespaces.without_namespace.socketio.is_empty() && namespaces.named["aa"].presence);
        let (_, again) = merged.reloaded(&new).unwrap();
        assert_eq!((again.taken, again.needs_restart), (Vec::new(), changes.needs_restart));
    }

    #[test]
    fn a_namespace_that_comes_back_has_its_rooms_as_homes_know_them() {
        let with = |name: &str, group: &str| {
            effective(
                name,
                &format!("shards = 1\n[[channel.namespaces]]\nname = 'aa'\nsocketio = '{group}'\n"),
            )
        };
        let start = with("start", "/a");
        let (gone, changes) = start.reloaded(&effective("gone", "shards = 1\n[channel]\n")).unwrap();
        assert!(changes.needs_restart.is_empty() && gone.config.namespaces.named.is_empty(), "{changes:?}");
        let (back, changes) = gone.reloaded(&with("back", "/a")).unwrap();
        assert_eq!(back.config.namespaces.named["aa"].socketio, "/a");
        assert!(changes.needs_restart.is_empty() && !changes.taken.is_empty(), "{changes:?}");
        let (other, changes) = gone.reloaded(&with("other", "/b")).unwrap();
        assert_eq!(other.config.namespaces.named["aa"].socketio, "/a");
        assert_eq!(changes.needs_restart, ["channel.namespaces.aa.socketio"]);
    }

    #[test]
    fn a_file_that_says_nothing_opens_no_running_server() {
        let closed = effective("closed", "client.token.hmac_secret_key = 'one'\n");
        let (flat, asked) = (effective("flat", "shards = 1\n"), effective("asked", "development = true\n"));
        let errors = closed.reloaded(&flat).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains("development = true"), "{}", errors[0]);
        closed.reloaded(&asked).unwrap();
        flat.reloaded(&flat).unwrap();
        let empty = effective("empty", "# to be written\n");
        let errors = closed.reloaded(&empty).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].to_string().ends_with("is empty: a running server does not take that"),
            "{}",
            errors[0]
        );
        empty.reloaded(&empty).unwrap();
    }

    #[test]
    fn what_does_not_go_together_with_what_stays_is_refused() {
        let old = effective("small", "queued_bytes_max = '1MiB'\noutbox_bytes_max = '64KiB'\n");
        let new = effective("large", "queued_bytes_max = '8MiB'\noutbox_bytes_max = '2MiB'\n");
        let errors = old.reloaded(&new).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains("queued_bytes_max = \"1MiB\""), "{}", errors[0]);
    }
}
