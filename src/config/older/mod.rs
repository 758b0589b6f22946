//! Names of Centrifugo's keys in versions 3 to 5, which stood at the top of the file, and their current names. The
//! one list of them (`names`) is used for files, variables and flags, to refuse, accept or convert them.
//!
//! An older name was typed with an intention, most often about permissions. So it is refused with the current name, and
//! never ignored.

mod flags;
pub(super) mod names;

use super::Key;
use super::names::names as todays;
use super::sections::Unsupported;
pub(super) use flags::is_flag;
#[cfg(feature = "cli")]
pub(super) use flags::{SHORT, served};
use names::{GONE, KEPT, MOVED, NAMED, OF_EACH_HOOK, OPPOSITES, OPTIONS, option_today, second};

/// The current equivalent of a key of an older version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Today {
    /// A key with this path, or several.
    Path(String),
    /// None, with the reason.
    Gone(&'static str),
}

/// The current table for channel options at the top of a file.
const OPTION_TABLE: &str = "channel.without_namespace";

/// The hook named in hints for a key that every hook has today.
const FIRST_HOOK: &str = "client.proxy.connect";

/// Prefixes of names that are not in the list, and the tables that contain these keys today.
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

/// The current equivalent of a key at the top of an older version's file; `None` for a key that no older version has,
/// or that is unchanged. `is_table`: a current section may have the name of an old switch.
pub(super) fn at_top(name: &str, is_table: bool) -> Option<Today> {
    if is_table && is_section(name) || Key::named(name).is_some() {
        return None;
    }
    today(name)
}

/// The current equivalent of an older name.
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

/// The current path of an older name, for variables and flags; empty if there is no single key today. `None` for an
/// unknown name.
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

/// The current name of a channel option, if it has changed.
pub(super) fn option_renamed(name: &str) -> Option<&'static str> {
    second(OPTIONS, name).or_else(|| second(OPPOSITES, name))
}

/// Whether a current section has this name.
pub(super) fn is_section(name: &str) -> bool {
    MOVED.iter().any(|(_, path)| path.split('.').next() == Some(name)) || Unsupported::has_table(name)
}

/// All names in the lists: keys at the top, and channel options.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let pairs = [MOVED, OF_EACH_HOOK, NAMED, GONE, OPTIONS, OPPOSITES].into_iter().flatten();
    pairs.map(|(name, _)| *name).chain(KEPT.iter().copied())
}

/// Whether Centrifugo has, or had in versions 3 to 5, a key at the top of a file with this name. It ignores case, and
/// reads a name with dots as a path.
pub(super) fn is_of_any(name: &str) -> bool {
    const GONE: [&str; 5] = ["sockjs", "tarantool", "history_disable", "presence_disable", "memory_history"];
    let name = name.to_lowercase();
    let top = name.split('.').next().unwrap_or_default();
    let is_gone = GONE
        .iter()
        .any(|part| top.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    // Flat keys of throng are not Centrifugo's.
    let is_variable = || {
        let path = todays().path_of(&top.to_ascii_uppercase(), false);
        path.is_some_and(|path| Key::named(path).is_none())
    };
    is_gone || todays().has_section(top) || path_today(top).is_some() || is_variable()
}

/// Whether a key at the top shows that a file is for Centrifugo 3 to 5. Names that other programs use, too, do not.
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
    // Platforms like Heroku set it as a variable, which users may copy into files of other programs.
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
