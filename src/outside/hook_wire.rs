//! What is said to the application's hooks and what they answer: Centrifugo's proxy protocol, its JSON form.
//!
//! A pure translation. Payloads pass as the JSON text that they are, or as base64 where the configuration says so.
//! Left out: how it gets there (`hooks`).

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::options::HookOptions;
use super::terms::{self, CapabilityOptions, OverrideOptions, SubscribeOptions};
use crate::proto::centrifuge::{Disconnect, Error};
use crate::shard::outside::{Credentials, Grant, Hook, Question, Rejected, Replaced, Verdict, Who};

/// A question to a hook, in its parts.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) hook: Hook,
    pub(super) who: Who,
    name: String,
    version: String,
    channel: Option<String>,
    method: Option<String>,
    token: String,
    channels: Vec<String>,
    data: Vec<u8>,
}

impl Asked {
    /// The question's parts; a token's are none.
    pub(super) fn new(question: Question) -> Option<Self> {
        let asked = |hook, who| Self {
            hook,
            who,
            name: String::new(),
            version: String::new(),
            channel: None,
            method: None,
            token: String::new(),
            channels: Vec::new(),
            data: Vec::new(),
        };
        Some(match question {
            Question::ConnectionToken(_) | Question::SubscriptionToken(_) => return None,
            Question::Connect { who, name, version, data, channels } => {
                Self { name, version, data, channels, ..asked(Hook::Connect, who) }
            }
            Question::Refresh { who } => asked(Hook::Refresh, who),
            Question::Subscribe { who, channel, data, token } => {
                Self { channel: Some(channel), data, token, ..asked(Hook::Subscribe, who) }
            }
            Question::Publish { who, channel, data } => {
                Self { channel: Some(channel), data, ..asked(Hook::Publish, who) }
            }
            Question::Rpc { who, method, data } => {
                Self { method: Some(method), data, ..asked(Hook::Rpc, who) }
            }
            Question::SubRefresh { who, channel } => {
                Self { channel: Some(channel), ..asked(Hook::SubRefresh, who) }
            }
        })
    }

    /// The body of the request.
    ///
    /// # Errors
    /// When the client's payload is no JSON, and the hook is not asked with base64.
    pub(super) fn body(&self, options: &HookOptions) -> Result<Vec<u8>, Rejected> {
        let json = |bytes: &'_ [u8]| -> Result<Option<Box<RawValue>>, Rejected> {
            if bytes.is_empty() {
                return Ok(None);
            }
            serde_json::from_slice(bytes).map(Some).map_err(|_| Rejected::Error(Error::BAD_REQUEST))
        };
        let is_binary = options.binary_encoding;
        let has_b64 = is_binary && !self.data.is_empty();
        let meta = if options.include_connection_meta { &self.who.meta[..] } else { &[] };
        let body = Body {
            client: &self.who.client,
            transport: self.who.transport,
            protocol: self.who.encoding,
            encoding: if is_binary { "binary" } else { "json" },
            user: (self.hook != Hook::Connect).then_some(&self.who.user),
            name: &self.name,
            version: &self.version,
            channel: self.channel.as_deref(),
            method: self.method.as_deref().unwrap_or_default(),
            token: &self.token,
            channels: &self.channels,
            data: if is_binary { None } else { json(&self.data)? },
            b64data: has_b64.then(|| BASE64.encode(&self.data)),
            meta: json(meta)?,
        };
        serde_json::to_vec(&body).map_err(|_| Rejected::Error(Error::INTERNAL))
    }

    /// What the hook's answer comes to.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(super) fn verdict(&self, answer: &[u8]) -> Result<Verdict, String> {
        let answer: Answer<'_> = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        let is_refresh = matches!(self.hook, Hook::Refresh | Hook::SubRefresh);
        if let Some(rejected) = answer.rejected().filter(|_| !is_refresh) {
            return Ok(self.rejected(rejected?));
        }
        let has_result = answer.result.is_some();
        let result = answer.result.unwrap_or_default();
        Ok(match self.hook {
            Hook::Connect if !has_result => self.rejected(disconnect(Disconnect::BAD_REQUEST)),
            Hook::Connect => Verdict::Connection(Ok(Box::new(result.credentials()?))),
            Hook::Refresh if !has_result || result.is_expired() => {
                self.rejected(disconnect(Disconnect::CONNECTION_EXPIRED))
            }
            Hook::Refresh => {
                let user = self.who.user.clone();
                Verdict::Connection(Ok(Box::new(Credentials { user, ..result.credentials()? })))
            }
            Hook::SubRefresh if !has_result || result.is_expired() => {
                self.rejected(Rejected::Error(Error::EXPIRED))
            }
            Hook::Subscribe | Hook::SubRefresh => {
                let channel = self.channel.clone().unwrap_or_default();
                let user = self.who.user.clone();
                Verdict::Subscription(Ok(Box::new(Grant { channel, user, ..result.grant()? })))
            }
            Hook::Publish => {
                let data = terms::payload(result.data, result.b64data.as_deref())?;
                let data = Some(data).filter(|data| !data.is_empty());
                Verdict::Publish(Ok(Replaced { data, skip_history: result.skip_history.unwrap_or(false) }))
            }
            Hook::Rpc => Verdict::Rpc(Ok(terms::payload(result.data, result.b64data.as_deref())?)),
        })
    }

    /// The hook's no, or ours in its place.
    pub(super) fn rejected(&self, rejected: Rejected) -> Verdict {
        match self.hook {
            Hook::Connect | Hook::Refresh => Verdict::Connection(Err(rejected)),
            Hook::Subscribe | Hook::SubRefresh => Verdict::Subscription(Err(rejected)),
            Hook::Publish => Verdict::Publish(Err(rejected)),
            Hook::Rpc => Verdict::Rpc(Err(rejected)),
        }
    }
}

fn disconnect(disconnect: Disconnect) -> Rejected {
    Rejected::Disconnect { code: disconnect.code, reason: disconnect.reason.to_owned() }
}

/// A request: what every hook is told, and what only some are.
#[derive(Debug, Serialize)]
struct Body<'a> {
    client: &'a str,
    transport: &'a str,
    protocol: &'a str,
    encoding: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<HookResult<'a>>,
    error: Option<ToldError>,
    disconnect: Option<ToldDisconnect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldError {
    code: u32,
    message: String,
    temporary: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldDisconnect {
    code: u16,
    reason: String,
}

impl Answer<'_> {
    /// A no; an error when its number is none that a client may be sent.
    fn rejected(&self) -> Option<Result<Rejected, String>> {
        if let Some(ToldDisconnect { code, reason }) = &self.disconnect {
            return Some(match code {
                3000..=4999 => Ok(Rejected::Disconnect { code: *code, reason: reason.clone() }),
                _ => Err(format!("disconnect code {code}, which is not in 3000–4999")),
            });
        }
        let ToldError { code, message, temporary } = self.error.as_ref()?;
        Some(match code {
            1..=1999 => Ok(Rejected::Custom { code: *code, message: message.clone(), temporary: *temporary }),
            _ => Err(format!("error code {code}, which is not in 1–1999")),
        })
    }
}

/// The fields of all six hooks' results: their names mean the same in each.
#[derive(Debug, Default, Deserialize)]
struct HookResult<'a> {
    user: Option<String>,
    expired: Option<bool>,
    expire_at: Option<i64>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<BTreeMap<String, SubscribeOptions<'a>>>,
    caps: Option<Vec<CapabilityOptions>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(rename = "override")]
    overrides: Option<OverrideOptions>,
    skip_history: Option<bool>,
}

impl HookResult<'_> {
    fn is_expired(&self) -> bool {
        self.expired == Some(true)
    }

    fn credentials(self) -> Result<Credentials, &'static str> {
        let user = self.user.unwrap_or_default();
        let (channels, subs) = (self.channels.unwrap_or_default(), self.subs.unwrap_or_default());
        Ok(Credentials {
            info: terms::payload(self.info, self.b64info.as_deref())?,
            expire_at_s: terms::seconds(self.expire_at),
            data: terms::payload(self.data, self.b64data.as_deref())?,
            channels: terms::grants(&user, channels, subs)?,
            caps: self.caps.map(terms::capabilities).transpose()?.map(Into::into),
            meta: self.meta.map(terms::one_line).unwrap_or_default(),
            user,
        })
    }

    fn grant(self) -> Result<Grant, &'static str> {
        Ok(Grant {
            info: terms::payload(self.info, self.b64info.as_deref())?,
            expire_at_s: terms::seconds(self.expire_at),
            data: terms::payload(self.data, self.b64data.as_deref())?,
            overrides: self.overrides.unwrap_or_default().into(),
            ..Grant::default()
        })
    }
}
