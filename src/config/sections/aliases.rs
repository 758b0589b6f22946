//! Keys of Centrifugo that are equivalent to flat keys.

use super::super::slot::Raw;
use super::super::value::Value;

/// A key that is equivalent to a flat key.
pub struct Alias {
    /// The path as in the file.
    pub path: &'static str,
    /// The name of the flat key.
    pub flat: &'static str,
    /// The form of its value.
    pub unit: Unit,
}

/// The form of a value in Centrifugo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The same as in the flat key.
    Same,
    /// A duration instead of milliseconds.
    Duration,
    /// A duration; negative values mean off.
    DurationOrOff,
    /// A log level, with words of Centrifugo and of other programs.
    Level,
    /// True for `off`; false has no effect.
    Disabled,
    /// An address or a port; the two together are a listener.
    Listener,
}

const fn alias(path: &'static str, flat: &'static str, unit: Unit) -> Alias {
    Alias { path, flat, unit }
}

/// All such keys.
pub static ALIASES: &[Alias] = &[
    alias("http_server.address", "listen", Unit::Listener),
    alias("http_server.port", "listen", Unit::Listener),
    alias("http_server.internal_address", "control", Unit::Listener),
    alias("http_server.internal_port", "control", Unit::Listener),
    alias("log.level", "log_level", Unit::Level),
    alias("websocket.disabled", "websocket_path", Unit::Disabled),
    alias("websocket.handler_prefix", "websocket_path", Unit::Same),
    alias("websocket.message_size_limit", "message_bytes_max", Unit::Same),
    alias("websocket.compression", "compression", Unit::Same),
    alias("websocket.compression_min_size", "compression_min_bytes", Unit::Same),
    alias("websocket.compression_level", "compression_level", Unit::Same),
    alias("client.ping_interval", "ping_interval_ms", Unit::DurationOrOff),
    alias("client.pong_timeout", "pong_timeout_ms", Unit::Duration),
    alias("client.stale_close_delay", "connect_ms", Unit::Duration),
    alias("client.queue_max_size", "outbox_bytes_max", Unit::Same),
    alias("client.channel_limit", "channels_per_connection_max", Unit::Same),
    alias("client.connection_limit", "connections_max", Unit::Same),
    alias("client.connection_rate_limit", "rates.connects_max", Unit::Same),
    alias("shutdown.timeout", "drain_ms", Unit::Duration),
    alias("channel.max_length", "channel_name_bytes_max", Unit::Same),
];

/// Keys that cannot be 0, which Centrifugo takes for the default.
const NEVER_ZERO: [&str; 6] = [
    "websocket.message_size_limit",
    "client.pong_timeout",
    "client.stale_close_delay",
    "client.queue_max_size",
    "client.channel_limit",
    "channel.max_length",
];

impl Alias {
    /// Whether the value is one that stands for the default.
    pub(in super::super) fn is_default(&self, value: &Value) -> bool {
        let is_zero = || value.is_off() && value.switch() != Some(true);
        NEVER_ZERO.contains(&self.path) && !matches!(value, Value::Switch(_) | Value::Table(_)) && is_zero()
    }

    pub(in super::super) fn find(path: &str) -> Option<&'static Self> {
        ALIASES.iter().find(|alias| alias.path == path)
    }
}

impl Unit {
    /// Converts the value to the form of the flat key; `None` if it has no effect. An error names the expected form.
    pub(in super::super) fn convert(self, value: &Value) -> Result<Option<Raw>, &'static str> {
        const DURATION: &str = "expected a duration, such as \"30s\" or \"500ms\"";
        let raw = Raw::Value(value.clone());
        let as_ms = || {
            let ms = raw.duration_ms().and_then(|ms| i64::try_from(ms).ok());
            ms.map(|ms| Some(Raw::Value(Value::Integer(ms)))).ok_or(DURATION)
        };
        match self {
            Self::Same | Self::Listener => Ok(Some(raw)),
            Self::Duration => as_ms(),
            Self::DurationOrOff if is_negative(value) => Ok(Some(Raw::Value(Value::Integer(0)))),
            Self::DurationOrOff => as_ms(),
            Self::Level => {
                let word = value.text().map(|word| level(word).unwrap_or(word));
                Ok(Some(word.map_or(raw, |word| Raw::Value(Value::Text(word.to_owned())))))
            }
            Self::Disabled if value.text() == Some("") => Ok(None),
            Self::Disabled => match value.switch() {
                Some(true) => Ok(Some(Raw::Value(Value::Text("off".to_owned())))),
                Some(false) => Ok(None),
                None => Err("expected true or false"),
            },
        }
    }
}

/// The level for a word that has another one here. Centrifugo's are in any letters.
fn level(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "none" | "disabled" => Some("off"),
        "warning" => Some("warn"),
        // The next level below; nothing is between them here.
        "fatal" | "panic" => Some("error"),
        "" => Some("info"),
        _ => None,
    }
}

fn is_negative(value: &Value) -> bool {
    value.integer().is_some_and(|number| number < 0) || value.text().is_some_and(|text| text.starts_with('-'))
}
