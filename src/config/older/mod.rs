//! Names that Centrifugo's keys had in versions 3 to 5, when all of them stood at the top of the file, and what each is today.
//! The one list of them (`names`): for files, variables and flags, whether they are refused, understood or written anew.
//!
//! What matters: whoever typed such a name meant something by it, most often who may do what. It is refused with today's
//! name, not passed over.

mod flags;
pub(super) mod names;

use super::Key;
use super::names::names as todays;
use super::sections::Unsupported;
pub(super) use flags::is_flag;
#[cfg(feature = "cli")]
pub(super) use flags::{SHORT, served};
use names::{GONE, MOVED, NAMED, OF_EACH_HOOK, OPPOSITES, OPTIONS, option_today, second};

/// What a key of an older version is today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Today {
    /// A key of this path, or several.
    Path(String),
    /// Nothing, and why.
    Gone(&'static str),
}

/// Where options of channels stood that a file had at its top.
const OPTION_TABLE: &str = "channel.without_namespace";

/// The hook to name for a key that each of them has today.
const FIRST_HOOK: &str = "client.proxy.connect";

/// What names began with, and the table that holds these keys today: for those that the list does not have.
const PREFIXES: [(&str, &str); 13] = [
    ("token_", "client.token"),
    ("subscription_token_", "client.subscription_token"),
    ("proxy_connect_", "client.proxy.connect"),
    ("proxy_refresh_", "client.proxy.refresh"),
    ("proxy_rpc_", "rpc.proxy"),
    ("proxy_subscribe_stream_", "channel.proxy.subscribe_stream"),
    ("proxy_subscribe_", "channel.proxy.subscribe"),
    ("proxy_publish_", "channel.proxy.publish"),
    ("proxy_sub_refresh_", "channel.proxy.sub_refresh"),
    ("redis_", "engine.redis"),
    ("nats_", "broker.nats"),
    ("tls_autocert_", "http_server.tls_autocert"),
    ("api_", "http_api"),
];

/// What a key at the top of a file of an older version is today; `None` for a key that no older version has, or that is
/// today's as it stands. `is_table`: a section of today may have the name of an old switch.
pub(super) fn at_top(name: &str, is_table: bool) -> Option<Today> {
    if is_table && is_section(name) || Key::named(name).is_some() {
        return None;
    }
    today(name)
}

/// The same, whatever it is today.
pub(super) fn today(name: &str) -> Option<Today> {
    let of_hooks = |key: &str| Today::Path(format!("{key} of each hook, such as {FIRST_HOOK}.{key}"));
    let of_option = || match second(OPPOSITES, name) {
        Some(instead) => Some(Today::Path(format!("{OPTION_TABLE}.{instead}"))),
        None => option_today(name).map(|option| Today::Path(format!("{OPTION_TABLE}.{option}"))),
    };
    second(MOVED, name)
        .map(|path| Today::Path(path.to_owned()))
        .or_else(|| second(OF_EACH_HOOK, name).map(of_hooks))
        .or_else(|| second(NAMED, name).map(|path| Today::Path(path.to_owned())))
        .or_else(|| second(GONE, name).map(Today::Gone))
        .or_else(of_option)
}

/// Today's path of an older name, for variables and flags: an empty one for what has no single key, or none at all, today.
/// `None` for what was no key.
pub(super) fn path_today(name: &str) -> Option<String> {
    let is_key = |path: &String| todays().kind(path).is_some();
    let of_table = || {
        PREFIXES.iter().find_map(|(prefix, table)| {
            Some(format!("{table}.{}", name.strip_prefix(prefix)?)).filter(is_key)
        })
    };
    let path = match today(name) {
        Some(Today::Path(path)) => Some(path),
        Some(Today::Gone(_)) => Some(String::new()),
        None => of_table().or_else(|| Some(format!("{OPTION_TABLE}.{name}")).filter(is_key)),
    };
    let of_each = second(OF_EACH_HOOK, name).map(|key| format!("{FIRST_HOOK}.{key}"));
    of_each.or(path).map(|path| if is_key(&path) { path } else { String::new() })
}

/// What an option of channels is called today, when it was called otherwise.
pub(super) fn option_renamed(name: &str) -> Option<&'static str> {
    second(OPTIONS, name).or_else(|| second(OPPOSITES, name))
}

/// Whether a section of today has this name.
pub(super) fn is_section(name: &str) -> bool {
    MOVED.iter().any(|(_, path)| path.split('.').next() == Some(name)) || Unsupported::has_table(name)
}

/// Whether Centrifugo has, or had in versions 3 to 5, a key at the top of a file. It reads names in any case of letters, and
/// one with dots in it as a path.
pub(super) fn is_of_any(name: &str) -> bool {
    const GONE: [&str; 5] = ["sockjs", "tarantool", "history_disable", "presence_disable", "memory_history"];
    let name = name.to_lowercase();
    let top = name.split('.').next().unwrap_or_default();
    let is_gone = GONE
        .iter()
        .any(|part| top.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    // Our own flat keys are none of Centrifugo's.
    let is_variable = || {
        let path = todays().path_of(&top.to_ascii_uppercase(), false);
        path.is_some_and(|path| Key::named(path).is_none())
    };
    is_gone || todays().has_section(top) || path_today(top).is_some() || is_variable()
}

/// Whether a key at the top of a file says that the file is one for Centrifugo 3 to 5. Words that other programs use, too,
/// do not.
pub(super) fn is_telling(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "token_",
        "subscription_token_",
        "proxy_",
        "client_",
        "redis_",
        "user_subscribe_",
        "admin_",
        "channel_",
    ];
    // What Heroku and its like set is a variable, which others may copy into files of theirs.
    if name == "redis_url" {
        return false;
    }
    let is_part = PARTS.iter().any(|part| name.starts_with(part));
    let is_known =
        || path_today(name).is_some() || todays().path_of(&name.to_ascii_uppercase(), false).is_some();
    ["api_key", "allowed_origins", "namespaces"].contains(&name) || is_part && is_known()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_names_lead_to_keys_of_today() {
        for (older, path) in [
            ("token_hmac_secret_key", Some("client.token.hmac_secret_key")),
            ("subscription_token_issuer", Some("client.subscription_token.issuer")),
            ("api_key", Some("http_api.key")),
            ("proxy_connect_endpoint", Some("client.proxy.connect.endpoint")),
            ("proxy_publish", Some("channel.without_namespace.publish_proxy_enabled")),
            ("proxy_publish_timeout", Some("channel.proxy.publish.timeout")),
            ("redis_address", Some("engine.redis.address")),
            ("history_size", Some("channel.without_namespace.history_size")),
            ("granular_proxy_mode", Some("")),
            ("nobody_knows", None),
            ("shards", None),
        ] {
            assert_eq!(path_today(older).as_deref(), path, "{older}");
        }
    }

    #[test]
    fn keys_of_any_version_are_known_in_any_case() {
        for name in [
            "client",
            "Client",
            "HTTP_API",
            "secret",
            "PORT",
            "log_level",
            "sockjs_url",
            "proxies",
            "client.x",
        ] {
            assert!(is_of_any(name), "{name}");
        }
        for name in ["", "$schema", "compilerOptions", "shards", "sockjson"] {
            assert!(!is_of_any(name), "{name}");
        }
    }

    #[test]
    fn words_of_other_programs_tell_nothing() {
        for name in
            ["token_hmac_secret_key", "api_key", "namespaces", "client_channel_limit", "admin_password"]
        {
            assert!(is_telling(name), "{name}");
        }
        for name in ["port", "name", "address", "debug", "token_x", "proxy_url", "history_size", "redis_url"]
        {
            assert!(!is_telling(name), "{name}");
        }
    }
}
