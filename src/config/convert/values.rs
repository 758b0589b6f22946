//! Conversion of values to the current form: durations get units, lists are lists.

use super::super::sections::{CHANNEL, Unsupported};
use super::super::value::Value;
use super::tree::Branch;

/// Last words of paths whose values are durations.
const DURATIONS: [&str; 6] = ["delay", "ttl", "interval", "timeout", "lag", "history_meta_ttl"];

/// Paths, or their last words, whose values are lists; programs also accepted a text with blanks as a list.
const LISTS: [&str; 8] = [
    "allowed_origins",
    "address",
    "cluster_address",
    "sentinel_address",
    "host_whitelist",
    "allowed_delta_types",
    "http_headers",
    "grpc_metadata",
];

/// A value in the current form for this path, with a remark if it changed.
pub(super) fn in_todays_form(path: &str, value: &Value) -> (Value, Option<String>) {
    let last = path.rsplit('.').next().unwrap_or(path);
    let is_duration = last.rsplit('_').next().is_some_and(|word| DURATIONS.contains(&word));
    let is_list = LISTS.contains(&last)
        && !matches!(path, "http_server.address" | "grpc_api.address" | "uni_grpc.address");
    let seconds = match value {
        Value::Integer(seconds) if *seconds != 0 => Some(*seconds),
        Value::Text(digits) => digits.parse::<i64>().ok().filter(|seconds| *seconds != 0),
        Value::Null
        | Value::Switch(_)
        | Value::Integer(_)
        | Value::Fraction(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Table(_) => None,
    };
    match (seconds, value) {
        (Some(seconds), _) if is_duration => (
            Value::Text(format!("{seconds}s")),
            Some("a number without a unit is taken for seconds".to_owned()),
        ),
        (_, Value::Text(text)) if is_list => {
            let words = text.split([' ', ',']).filter(|word| !word.is_empty());
            (Value::List(words.map(|word| Value::Text(word.to_owned())).collect()), None)
        }
        _ => (value.clone(), None),
    }
}

/// A value of a hook's key.
pub(super) fn of_hook(path: &str, value: &Value) -> Branch {
    Branch::of(&in_todays_form(path, value).0)
}

/// Whether an option of a namespace exists today, supported or not.
pub(super) fn is_option(name: &str) -> bool {
    CHANNEL.iter().any(|key| key.name == name)
        || Unsupported::find(&format!("channel.without_namespace.{name}")).is_some()
}
