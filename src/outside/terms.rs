//! Common parts of tokens and hooks' answers: the properties and permissions of subscriptions.
//!
//! Payloads are JSON, or any bytes in base64 (see [`Payload`]); a payload `null` is the JSON `null`. Elsewhere `null`
//! is the same as a missing field.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::payload::Payload;
use crate::proto::json::{NumericDate, or_default, present};
use crate::proto::payload;
use crate::shard::outside::{Capability, Grant, Matching, Overrides};

/// The text of the JSON on one line.
pub(super) fn one_line(json: &RawValue) -> Vec<u8> {
    Payload::of_json(json).to_vec()
}

/// Last second of the year 9999. Later times are reduced to it: they mean "never", and calculations must not
/// overflow.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A time in seconds since 1970; 0 for a missing or negative time.
pub(super) fn seconds(time: Option<NumericDate>) -> u64 {
    time.and_then(|NumericDate(time)| u64::try_from(time).ok()).unwrap_or(0).min(SECONDS_MAX)
}

/// The options of a channel in the map `subs`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SubscribeOptions<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<OverrideOptions>,
}

/// Options in which a subscription differs from its channel.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OverrideOptions {
    presence: Option<BoolValue>,
    join_leave: Option<BoolValue>,
    force_push_join_leave: Option<BoolValue>,
    force_recovery: Option<BoolValue>,
    force_positioning: Option<BoolValue>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct BoolValue {
    #[serde(deserialize_with = "or_default")]
    value: bool,
}

impl From<OverrideOptions> for Overrides {
    fn from(told: OverrideOptions) -> Self {
        let value = |told: Option<BoolValue>| told.map(|bool| bool.value);
        Self {
            presence: value(told.presence),
            join_leave: value(told.join_leave),
            force_push_join_leave: value(told.force_push_join_leave),
            force_recovery: value(told.force_recovery),
            force_positioning: value(told.force_positioning),
        }
    }
}

/// One entry of `caps`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CapabilityOptions {
    #[serde(deserialize_with = "or_default")]
    channels: Vec<String>,
    #[serde(rename = "match", deserialize_with = "or_default")]
    matching: String,
    #[serde(deserialize_with = "or_default")]
    allow: Vec<String>,
}

/// Converts capabilities, in the given order: the first that names a channel decides.
///
/// # Errors
/// When the match mode is not supported.
pub(super) fn capabilities(told: Vec<Option<CapabilityOptions>>) -> Result<Vec<Capability>, &'static str> {
    let capability = |told: CapabilityOptions| {
        let matching = match told.matching.as_str() {
            "" | "exact" => Matching::Exact,
            "wildcard" => Matching::Wildcard,
            "regex" => {
                return Err(
                    "caps with regular expressions are not supported, only exact names and wildcards",
                );
            }
            _ => return Err("caps with an unknown kind of match"),
        };
        let allows = |name: &str| told.allow.iter().any(|allowed| allowed == name);
        Ok(Capability {
            subscribe: allows("sub"),
            publish: allows("pub"),
            presence: allows("prs"),
            history: allows("hst"),
            channels: told.channels,
            matching,
        })
    };
    told.into_iter().map(Option::unwrap_or_default).map(capability).collect()
}

/// Server-side subscriptions of `user`: the names in `channels`, and the channels of `subs` with their options.
///
/// # Errors
/// When a payload is not valid base64.
pub(super) fn grants(
    user: &str,
    channels: Vec<String>,
    subs: BTreeMap<String, Option<SubscribeOptions<'_>>>,
) -> Result<Vec<(String, Grant)>, &'static str> {
    let mut grants = BTreeMap::new();
    let named = channels.into_iter().map(|name| (name, None));
    for (name, told) in named.chain(subs) {
        let told: SubscribeOptions<'_> = told.unwrap_or_default();
        let grant = Grant {
            channel: name.clone(),
            user: user.to_owned(),
            info: payload::read(told.info, told.b64info.as_deref())?,
            data: payload::read(told.data, told.b64data.as_deref())?,
            overrides: told.overrides.unwrap_or_default().into(),
            ..Grant::default()
        };
        grants.insert(name, grant);
    }
    Ok(grants.into_iter().collect())
}
