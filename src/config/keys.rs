//! The one list of flat keys. A key is a line of the file, a flag and a variable. Its name, help, range and place in
//! [`Config`] are defined here only: flags, help, errors, `throng config` and the manual are made from this list.

mod admission;
mod tls;

use super::slot::Form;
use super::{Config, Slot, error};
use std::fmt;
use std::sync::Arc;

/// The heading of a key in help and manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Listeners and threads.
    Server,
    /// Certificates, and authorities for client certificates.
    Tls,
    /// Limits.
    Limits,
    /// Deadlines.
    Deadlines,
    /// Logs.
    Logs,
    /// Permissions: a few keys of sections.
    Access,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "Server",
            Self::Tls => "TLS",
            Self::Limits => "Limits",
            Self::Deadlines => "Deadlines",
            Self::Logs => "Logs",
            Self::Access => "Access",
        })
    }
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name as in the file: `ping_interval_ms`.
    pub name: &'static str,
    /// The heading of the key.
    pub group: Group,
    /// The effect of the key, and of reaching a limit. One or two sentences.
    pub help: &'static str,
    /// The default as a text, unless it is a fixed value.
    pub otherwise: Option<&'static str>,
    /// Its place in the configuration.
    pub slot: fn(&mut Config) -> Slot<'_>,
}

impl Key {
    /// The key with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The name as a flag: `--ping-interval-ms`.
    pub fn flag(&self) -> String {
        format!("--{}", error::flag_name(self.name))
    }

    /// The name as an environment variable: `THRONG_PING_INTERVAL_MS`.
    pub fn variable(&self) -> String {
        error::variable_name(self.name)
    }

    /// The value in `config`, as TOML; secrets are hidden unless `shows_secrets`.
    pub fn toml(&self, config: &Config, shows_secrets: bool) -> String {
        (self.slot)(&mut config.clone()).toml(shows_secrets)
    }

    /// The default as it would be typed at a prompt.
    pub fn default_text(&self) -> String {
        let typed = || self.toml(&Config::default(), true).replace(['"', '[', ']'], "");
        self.otherwise.map_or_else(typed, str::to_owned)
    }

    /// The allowed values.
    pub fn expected(&self) -> String {
        (self.slot)(&mut Config::default()).expected()
    }
}

const fn server(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Server, help, otherwise: None, slot }
}

const fn limit(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Limits, help, otherwise: None, slot }
}

const fn deadline(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Deadlines, help, otherwise: None, slot }
}

const fn logs(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Logs, help, otherwise: None, slot }
}

impl Key {
    const fn otherwise(self, text: &'static str) -> Self {
        Self { otherwise: Some(text), ..self }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

/// All keys in the order of help and manual: group after group, so that each has one heading.
pub static KEYS: &[Key] = &joined::<{ GENERAL.len() + admission::KEYS.len() }>(&[GENERAL, admission::KEYS]);

/// The order of groups.
const GROUPS: [Group; 6] =
    [Group::Server, Group::Tls, Group::Limits, Group::Deadlines, Group::Logs, Group::Access];

/// Joins several lists, sorted by group; within a group the order stays.
const fn joined<const COUNT: usize>(lists: &[&[Key]]) -> [Key; COUNT] {
    let mut all = [lists[0][0]; COUNT];
    let (mut group, mut list, mut at, mut count) = (0, 0, 0, 0);
    while group < GROUPS.len() {
        while list < lists.len() {
            while at < lists[list].len() {
                if lists[list][at].group as u8 == GROUPS[group] as u8 {
                    all[count] = lists[list][at];
                    count += 1;
                }
                at += 1;
            }
            (list, at) = (list + 1, 0);
        }
        (group, list) = (group + 1, 0);
    }
    assert!(count == COUNT, "every key has its place");
    all
}

const GENERAL: &[Key] = &[
    server("listen", "Address for clients: IP address and port, or unix: and a path; may be repeated", |c| {
        Slot::Listens(&mut c.listen)
    })
    .otherwise("127.0.0.1:8000 in development mode, else port 8000 on all addresses"),
    server(
        "development",
        "Development mode: every client that reaches the server may do everything without a token, also from \
        other machines. On loopback it is the default while no key of a section is set; false turns it off",
        |c| Slot::Switch(&mut c.development),
    )
    .otherwise("true on loopback while no key of a section is set"),
    server("unix_mode", "Permissions of Unix socket files", |c| Slot::Mode(&mut c.unix_mode)),
    server(
        "trusted_proxies",
        "Networks of proxies whose PROXY, X-Forwarded-For and Forwarded headers are trusted; may be repeated. \
        Connections over Unix sockets are always trusted",
        |c| Slot::Networks(&mut c.trusted_proxies),
    )
    .otherwise("none"),
    server(
        "proxy_protocol",
        "Expect a PROXY header (version 1 or 2) on connections from trusted proxies; a connection without one is \
        closed",
        |c| Slot::Switch(&mut c.proxy_protocol),
    ),
    server("control", "Address of the control listener: server API, metrics and health", |c| {
        Slot::AddressOrOff(&mut c.control)
    }),
    server(
        "control_key",
        "Key for the control listener, sent as Authorization: Bearer. Without a key, other machines can reach \
        only /health and /ready",
        |c| Slot::Secret(&mut c.control_key.0),
    )
    .otherwise("none"),
    server(
        "control_connections_max",
        "Connections of the control listener; beyond it, the one that was silent for longest is closed. At most 64 count \
        where descriptor tables are shared (private_descriptors)",
        |c| Slot::Count(&mut c.control_connections_max, 8..=65_536),
    ),
    server(
        "metrics_by_namespace",
        "Count channels, subscriptions, publications and deliveries for each configured namespace as well; this adds a few \
        series per namespace",
        |c| Slot::Switch(&mut c.metrics_by_namespace),
    ),
    server(
        "metrics_users",
        "Count the users that have connections; this costs the memory of their names, and a question to another shard at \
        connect. Where client.user_connection_limit is set, they are counted anyway",
        |c| Slot::Switch(&mut c.metrics_users),
    ),
    server(
        "metrics_client_names",
        "Names of clients' programs (name of the connect command) that metrics tell apart, at most 14; all others are \
        counted as other",
        |c| Slot::Texts(&mut c.metrics_client_names),
    ),
    server("shards", "Number of shards (threads); may exceed the number of cores", |c| {
        Slot::Count(&mut c.shards, 1..=1024)
    })
    .otherwise("one per core available to the process"),
    server("pin", "Pin each shard to a core", |c| Slot::Switch(&mut c.pin)),
    server(
        "private_descriptors",
        "Give each shard its own descriptor table, so that the descriptor limit applies per shard",
        |c| Slot::Switch(&mut c.private_descriptors),
    ),
    server(
        "echo",
        "Path of a raw WebSocket endpoint that echoes every message, for benchmarks and conformance tests",
        |c| Slot::PathOrOff(&mut c.echo),
    ),
    server("websocket_path", "Path of the WebSocket endpoint (Centrifuge protocol)", |c| Slot::PathOrOff(&mut c.websocket_path)),
    server("first_page", "Serve a demo page at /", |c| Slot::Switch(&mut c.first_page))
        .otherwise("true in development mode, else false"),
    server("pid_file", "File that has the id of the process while it serves", |c| {
        Slot::Text(&mut c.pid_file, Form::Any)
    })
    .otherwise("none"),
    server(
        "compression",
        "Compress messages (permessage-deflate) for clients that offer it: less traffic, more CPU",
        |c| Slot::Switch(&mut c.compression),
    ),
    server("compression_min_bytes", "Size from which a message is compressed", |c| {
        Slot::Bytes(&mut c.compression_min_bytes, 0..=MIB)
    }),
    server("compression_level", "Compression level, from 1 (fast) to 9 (small)", |c| {
        Slot::Count(&mut c.compression_level, 1..=9)
    }),
    server("token_workers", "Threads that verify RSA, ECDSA and EdDSA tokens", |c| {
        Slot::Count(&mut Arc::make_mut(&mut c.outside).worker_count, 1..=64)
    }),
    tls::CERT,
    tls::KEY,
    tls::SELF_SIGNED,
    tls::CLIENT_CA,
    tls::CLIENT_CERT,
    tls::MIN_VERSION,
    tls::TICKET_ROTATION,
    limit(
        "connections_max",
        "Connections of the process; beyond it, 503. 0: as many as the descriptor limit allows",
        |c| Slot::Count(&mut c.limits.connections_max, 0..=100_000_000),
    ),
    limit("head_bytes_max", "Bytes of a request head; beyond it, 431", |c| {
        Slot::Bytes(&mut c.limits.head_bytes_max, 256..=MIB)
    }),
    limit(
        "message_bytes_max",
        "Bytes of one received message, all fragments together; beyond it, close 1009",
        |c| Slot::Bytes(&mut c.limits.message_bytes_max, 1..=GIB),
    ),
    limit("frame_bytes_max", "Bytes of one received frame's payload; beyond it, close 1009", |c| {
        Slot::Bytes(&mut c.limits.frame_bytes_max, 1..=GIB)
    })
    .otherwise("message_bytes_max"),
    limit(
        "outbox_bytes_max",
        "Bytes queued for one connection; beyond it, the slow consumer is disconnected (3008)",
        |c| Slot::Bytes(&mut c.limits.outbox_bytes_max, KIB..=4 * GIB),
    )
    .otherwise("1MiB, at least two messages"),
    limit(
        "queued_bytes_max",
        "Bytes queued and partly received in the whole process; beyond it, connections with such bytes are \
        disconnected (3008)",
        |c| Slot::Bytes(&mut c.limits.queued_bytes_max, 64 * KIB..=1024 * GIB),
    ),
    limit("channels_per_connection_max", "Subscriptions of one connection; beyond it, error 106", |c| {
        Slot::Count(&mut c.limits.channels_per_connection_max, 1..=65_535)
    }),
    limit("channel_name_bytes_max", "Bytes of a channel name; beyond it, error 107", |c| {
        Slot::Count(&mut c.limits.channel_name_bytes_max, 1..=4096)
    }),
    limit("channels_per_shard_max", "Channels whose home is one shard; beyond it, error 106", |c| {
        Slot::Count(&mut c.limits.channels_per_shard_max, 1..=100_000_000)
    }),
    limit(
        "read_bytes_per_turn_max",
        "Bytes read from one connection in one turn; the rest waits for the next turn",
        |c| Slot::Bytes(&mut c.limits.read_bytes_per_turn_max, 4 * KIB..=64 * MIB),
    ),
    limit(
        "deliveries_per_turn_max",
        "Deliveries written in one turn of a shard; the rest waits for the next turn",
        |c| Slot::Count(&mut c.limits.deliveries_per_turn_max, 1..=16_777_216),
    ),
    limit(
        "mailbox_letters_max",
        "Letters queued for one shard; beyond it, the other shards stop reading from their sockets until there is \
        room",
        |c| Slot::Count(&mut c.limits.mailbox_letters_max, 16..=16_777_216),
    ),
    limit(
        "history_bytes_max",
        "Bytes of all channel histories together; beyond it, the oldest publications are dropped",
        |c| Slot::Bytes(&mut c.limits.history_bytes_max, 0..=1024 * GIB),
    ),
    limit(
        "join_leave_per_second_max",
        "Join and leave messages per channel and second; beyond it, they are dropped, and the log says so",
        |c| Slot::Count(&mut c.limits.join_leave_per_second_max, 0..=1_000_000),
    ),
    limit(
        "questions_max",
        "Tokens that wait for verification, and hook calls without an answer, each; beyond it, error 111",
        |c| Slot::Count(&mut Arc::make_mut(&mut c.outside).questions_max, 1..=10_000_000),
    ),
    limit(
        "hook_requests_max",
        "Concurrent requests to hooks; further ones wait, each for the hook's timeout at most; then error 100",
        |c| Slot::Count(&mut Arc::make_mut(&mut c.outside).hook_requests_max, 1..=65_536),
    ),
    deadline("handshake_ms", "Time from accept to the end of the request head", |c| {
        Slot::Milliseconds(&mut c.timeouts.handshake_ms, 1..=HOUR_MS)
    }),
    deadline("connect_ms", "Time from the handshake to the connect command; then disconnect 3502", |c| {
        Slot::Milliseconds(&mut c.timeouts.connect_ms, 1..=HOUR_MS)
    }),
    deadline(
        "message_ms",
        "Time from the first byte of a message to its last; then close 1008. 0: no limit",
        |c| Slot::Milliseconds(&mut c.timeouts.message_ms, 0..=HOUR_MS),
    ),
    deadline(
        "tcp_user_timeout_ms",
        "Time that sent data may stay unacknowledged before the kernel drops the connection (TCP_USER_TIMEOUT). \
        0: the system's default",
        |c| Slot::Milliseconds(&mut c.timeouts.tcp_user_timeout_ms, 0..=24 * HOUR_MS),
    ),
    deadline(
        "ping_interval_ms",
        "Time between two heartbeats (server pings). 0 turns heartbeats off",
        |c| Slot::Milliseconds(&mut c.timeouts.ping_interval_ms, 0..=24 * HOUR_MS),
    ),
    deadline("pong_timeout_ms", "Time that a client has to answer a heartbeat; then disconnect 3012", |c| {
        Slot::Milliseconds(&mut c.timeouts.pong_timeout_ms, 1..=24 * HOUR_MS)
    })
    .otherwise("8000, at most a third of ping_interval_ms"),
    deadline(
        "idle_ms",
        "Time without any data from the client, pongs included, before the connection is closed. 0: only the \
        heartbeat limits it",
        |c| Slot::Milliseconds(&mut c.timeouts.idle_ms, 0..=24 * HOUR_MS),
    ),
    deadline(
        "linger_ms",
        "Time that a closing connection has to read what is queued and to close its side; and that each command waiting \
        for a hook may take after its client has closed the connection, all of them three times as long",
        |c| Slot::Milliseconds(&mut c.timeouts.linger_ms, 0..=HOUR_MS),
    ),
    deadline("drain_ms", "Longest time over which a drain spreads its closes", |c| {
        Slot::Milliseconds(&mut c.timeouts.drain_ms, 0..=HOUR_MS)
    })
    .otherwise("10000, 0 in development mode"),
    deadline(
        "drain_closes_per_second_min",
        "Connections that a drain closes in each shard per second at least, so that a drain of few connections takes \
        less than drain_ms",
        |c| Slot::Count(&mut c.timeouts.drain_closes_per_second_min, 1..=1_000_000),
    )
    .otherwise("500, 20 if drain_ms is set"),
    logs("log_level", "Log level, or directives such as info,throng::shard=debug", |c| {
        Slot::Filter(&mut c.logs.level)
    }),
    logs("log_format", "Text for people, or one JSON object per line", |c| Slot::Format(&mut c.logs.format)),
];

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn names_are_distinct_and_fit_file_flag_and_variable() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')), "{names:?}");
    }

    /// A field without a key would be a limit that cannot be set. `Debug` prints every field. The fields of sections
    /// have a test of their own.
    #[test]
    fn every_field_of_the_configuration_has_a_key() {
        const OF_SECTIONS: [&str; 11] = [
            "client",
            "rates",
            "endpoints",
            "socketio",
            "connect_responses",
            "namespaces",
            "outside",
            "api",
            "control_paths",
            "page",
            // Whether `control` was set.
            "control_may_move",
        ];
        const NESTED: [&str; 4] = ["limits", "timeouts", "logs", "tls"];
        // Fields that only an embedder sets.
        const NO_KEYS: [&str; 4] = ["pem", "client_ca_pem", "server", "file"];
        // Fields of `outside` with flat keys; its others have keys in sections.
        const OUTSIDE: [&str; 3] = ["token_workers", "questions_max", "hook_requests_max"];
        let printed = format!("{:#?}", Config::default());
        let (mut wanted, mut part) = (BTreeSet::new(), "");
        for line in printed.lines() {
            let Some((name, _)) = line.trim().split_once(": ") else { continue };
            let depth = line.len() - line.trim_start().len();
            if depth == 4 {
                part = name;
            }
            let is_own = depth == 4 && !OF_SECTIONS.contains(&name) && !NESTED.contains(&name);
            if is_own || depth == 8 && NESTED.contains(&part) && !NO_KEYS.contains(&name) {
                wanted.insert(name);
            }
        }
        let renamed = |name| match name {
            "log_level" => "level",
            "log_format" => "format",
            "tls_client_cert" => "requires_client_cert",
            "tls_min_version" => "only_tls13",
            "tls_handshakes_per_second_max" => name,
            other => other.strip_prefix("tls_").unwrap_or(other),
        };
        let names = KEYS.iter().map(|key| key.name).filter(|name| !OUTSIDE.contains(name));
        assert_eq!(names.map(renamed).collect::<BTreeSet<_>>(), wanted);
        for name in OUTSIDE {
            assert!(Key::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn no_two_keys_share_a_slot() {
        let mut config = Config::default();
        let mut places = BTreeSet::new();
        for key in KEYS {
            let address = (key.slot)(&mut config).address();
            assert!(places.insert(address), "{} writes where another key writes", key.name);
        }
    }

    #[test]
    fn every_default_is_allowed() {
        for key in KEYS {
            let toml = key.toml(&Config::default(), true);
            let table = file::parse(Path::new("t.toml"), &format!("{} = {toml}", key.name)).unwrap();
            let (layer, _) = file::walk(&table, &[]);
            assert!((key.slot)(&mut Config::default()).set(&layer.typed[0].raw), "{} = {toml}", key.name);
        }
    }
}
