//! The bodies of requests to the application's hooks and of their answers: Centrifugo's proxy protocol in JSON.
//!
//! Translation only, without I/O. Payloads are passed as the JSON text that they are, or as base64 where configured.
//! Left out: the transport (`hooks`).

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event_wire;
use super::options::HookOptions;
use super::socket_wire::{self, ToldCertificate, ToldSocket};
use super::terms::{self, CapabilityOptions, OverrideOptions, SubscribeOptions};
use super::token::Purpose;
use crate::hub::codes::CodeOutcome;
use crate::hub::words::Denied;
use crate::proto::centrifuge::Disconnect;
use crate::proto::json::{self, NumericDate, or_default, present};
use crate::proto::payload;
use crate::shard::outside::{
    Credentials, Grant, Hook, Question, Rejected, Replaced, SocketClaim, SocketEvents, SocketRejected,
    Verdict, Who,
};

/// A question to a hook, taken apart.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) hook: Hook,
    pub(super) who: Who,
    name: String,
    version: String,
    pub(super) channel: Option<String>,
    pub(super) method: Option<String>,
    channels: Vec<String>,
    data: Vec<u8>,
    socket: Option<Box<SocketClaim>>,
    /// The socket and its events, for the hook for events.
    pub(super) events: Option<Box<SocketEvents>>,
}

impl Asked {
    /// Takes a question apart.
    ///
    /// # Errors
    /// For a question about a token: the token's purpose and its text.
    pub(super) fn new(question: Question) -> Result<Self, (Purpose, String)> {
        let asked = |hook, who| Self {
            hook,
            who,
            name: String::new(),
            version: String::new(),
            channel: None,
            method: None,
            channels: Vec::new(),
            data: Vec::new(),
            socket: None,
            events: None,
        };
        Ok(match question {
            Question::ConnectionToken(token) => return Err((Purpose::Connection, token)),
            Question::SubscriptionToken(token) => return Err((Purpose::Subscription, token)),
            Question::Connect { who, name, version, data, channels } => {
                Self { name, version, data, channels, ..asked(Hook::Connect, who) }
            }
            Question::SocketConnect { who, mut claim } => {
                let data = std::mem::take(&mut claim.auth).into_bytes();
                Self { data, socket: Some(claim), ..asked(Hook::SocketConnect, who) }
            }
            Question::Refresh { who } => asked(Hook::Refresh, who),
            Question::Subscribe { who, channel, data } => {
                Self { channel: Some(channel), data, ..asked(Hook::Subscribe, who) }
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
            Question::SocketEvents { who, events } => {
                Self { events: Some(events), ..asked(Hook::SocketEvent, who) }
            }
        })
    }

    /// The body of the request.
    ///
    /// # Errors
    /// When the client's payload is not JSON and the hook is not configured for base64.
    pub(super) fn body(&self, options: &HookOptions) -> Result<Vec<u8>, Rejected> {
        if let Some(events) = &self.events {
            return Ok(event_wire::body(&self.who, events));
        }
        let raw = |bytes: &'_ [u8]| -> Result<Option<Box<RawValue>>, Rejected> {
            if bytes.is_empty() {
                return Ok(None);
            }
            serde_json::from_slice(bytes).map(Some).map_err(|_| Rejected::Denied(Denied::BadRequest))
        };
        let is_binary = options.binary_encoding;
        let has_b64 = is_binary && !self.data.is_empty();
        let meta = if options.include_connection_meta { &self.who.meta[..] } else { &[] };
        let body = Body {
            client: &self.who.client,
            transport: self.who.transport,
            protocol: self.who.encoding,
            encoding: if is_binary { "binary" } else { "json" },
            user: (!matches!(self.hook, Hook::Connect | Hook::SocketConnect)).then_some(&self.who.user),
            name: &self.name,
            version: &self.version,
            channel: self.channel.as_deref(),
            method: self.method.as_deref().unwrap_or_default(),
            channels: &self.channels,
            data: if is_binary { None } else { raw(&self.data)? },
            b64data: has_b64.then(|| BASE64.encode(&self.data)),
            meta: raw(meta)?,
            certificate: self.who.certificate.as_deref().map(ToldCertificate::new),
            socket: self.socket.as_deref().map(ToldSocket::new),
        };
        serde_json::to_vec(&body).map_err(|_| Rejected::Denied(Denied::Internal))
    }

    /// The verdict for a status with a configured rule. For a refresh, any rule means that there is no result.
    pub(super) fn by_rule(&self, rule: &CodeOutcome) -> Verdict {
        let rejected = match (self.hook, rule) {
            (Hook::Refresh, _) => disconnect(Disconnect::CONNECTION_EXPIRED),
            (Hook::SubRefresh, _) => Rejected::Denied(Denied::Expired),
            (_, CodeOutcome::Error { code, message, temporary }) => {
                let (code, message, temporary) = (*code, message.clone().into(), *temporary);
                Rejected::Denied(Denied::Custom { code, message, temporary })
            }
            (_, CodeOutcome::Disconnect { code, reason }) => {
                Rejected::Disconnect { code: *code, reason: reason.clone() }
            }
            (_, CodeOutcome::Response { .. }) => Rejected::Denied(Denied::Internal),
        };
        self.rejected(rejected)
    }

    /// The rejection for an answer that cannot be used. A client may try again later, except that a payload that
    /// cannot be decoded ends a renewal.
    pub(super) fn failed(&self, unusable: &Unusable) -> Rejected {
        match (self.hook, unusable) {
            (Hook::Refresh, Unusable::Payload(_)) => disconnect(Disconnect::INTERNAL),
            (Hook::SubRefresh, Unusable::Payload(_)) => Rejected::Denied(Denied::Expired),
            _ => Rejected::Denied(Denied::Internal),
        }
    }

    /// The verdict for the hook's answer.
    ///
    /// # Errors
    /// The defect of the answer.
    pub(super) fn verdict(&self, answer: &[u8]) -> Result<Verdict, Unusable> {
        match self.hook {
            Hook::Connect => self.judge(answer, |result: Option<ConnectResult<'_>>| {
                let Some(result) = result else { return Ok(self.rejected(Rejected::NoCredentials)) };
                Ok(Verdict::Connection(Ok(Box::new(result.credentials()?))))
            }),
            Hook::SocketConnect => socket_wire::verdict(answer).map(Verdict::Socket),
            Hook::Refresh => self.judge(answer, |result: Option<RefreshResult<'_>>| {
                // An answer without a time does not extend the connection.
                let is_extended = |result: &RefreshResult<'_>| {
                    result.expired != Some(true) && seconds(result.expire_at) > 0
                };
                let Some(result) = result.filter(is_extended) else {
                    return Ok(self.rejected(disconnect(Disconnect::CONNECTION_EXPIRED)));
                };
                Ok(Verdict::Connection(Ok(Box::new(result.credentials(self.who.user.clone())?))))
            }),
            Hook::Subscribe => self.judge(answer, |result: Option<SubscribeResult<'_>>| {
                Ok(self.granted(result.unwrap_or_default().grant()?))
            }),
            Hook::SubRefresh => self.judge(answer, |result: Option<SubRefreshResult<'_>>| {
                let Some(result) = result.filter(|result| result.expired != Some(true)) else {
                    return Ok(self.rejected(Rejected::Denied(Denied::Expired)));
                };
                Ok(self.granted(result.grant()?))
            }),
            Hook::Publish => self.judge(answer, |result: Option<PublishResult<'_>>| {
                Ok(Verdict::Publish(Ok(result.unwrap_or_default().replaced()?)))
            }),
            Hook::SocketEvent => event_wire::verdict(self, answer),
            Hook::Rpc => self.judge(answer, |result: Option<RpcResult<'_>>| {
                let result = result.unwrap_or_default();
                Ok(Verdict::Rpc(Ok(payload::read(result.data, result.b64data.as_deref())?)))
            }),
        }
    }

    /// Reads an answer. `accept` makes the verdict from its result, unless the answer rejects the question; refreshes
    /// are rejected by their result only.
    pub(super) fn judge<'de, R: Deserialize<'de>>(
        &self,
        answer: &'de [u8],
        accept: impl FnOnce(Option<R>) -> Result<Verdict, &'static str>,
    ) -> Result<Verdict, Unusable> {
        // `null` is an empty answer, as in Go.
        let answer: Option<Answer<R>> =
            json::from_slice(answer).map_err(|error| Unusable::Answer(error.to_string()))?;
        let answer = answer.unwrap_or(Answer { result: None, error: None, disconnect: None });
        let is_refresh = matches!(self.hook, Hook::Refresh | Hook::SubRefresh);
        match answer.rejected(self.hook).filter(|_| !is_refresh) {
            Some(rejected) => Ok(self.rejected(rejected.map_err(Unusable::Answer)?)),
            None => Ok(accept(answer.result)?),
        }
    }

    /// The verdict with these properties of the subscription.
    fn granted(&self, grant: Grant) -> Verdict {
        let (channel, user) = (self.channel.clone().unwrap_or_default(), self.who.user.clone());
        Verdict::Subscription(Ok(Box::new(Grant { channel, user, ..grant })))
    }

    /// A verdict that rejects the question.
    pub(super) fn rejected(&self, rejected: Rejected) -> Verdict {
        match self.hook {
            Hook::Connect | Hook::Refresh => Verdict::Connection(Err(rejected)),
            Hook::SocketConnect => Verdict::Socket(Err(SocketRejected { rejected, data: Vec::new() })),
            Hook::Subscribe | Hook::SubRefresh => Verdict::Subscription(Err(rejected)),
            Hook::Publish => Verdict::Publish(Err(rejected)),
            Hook::Rpc => Verdict::Rpc(Err(rejected)),
            Hook::SocketEvent => Verdict::SocketEvents(Err(rejected)),
        }
    }
}

/// The reason why an answer cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The body does not have the expected form.
    Answer(String),
    /// A payload in it cannot be decoded.
    Payload(&'static str),
}

impl From<&'static str> for Unusable {
    fn from(why: &'static str) -> Self {
        Self::Payload(why)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(why) => f.write_str(why),
            Self::Payload(why) => f.write_str(why),
        }
    }
}

fn disconnect(disconnect: Disconnect) -> Rejected {
    Rejected::Disconnect { code: disconnect.code, reason: disconnect.reason.to_owned() }
}

/// The body of a request: fields that every hook receives, and fields of some hooks only.
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
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<ToldCertificate<'a>>,
    #[serde(flatten)]
    socket: Option<ToldSocket<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
struct Answer<R> {
    result: Option<R>,
    error: Option<ToldError>,
    disconnect: Option<ToldDisconnect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldError {
    #[serde(deserialize_with = "or_default")]
    code: u32,
    #[serde(deserialize_with = "or_default")]
    message: String,
    #[serde(deserialize_with = "or_default")]
    temporary: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToldDisconnect {
    #[serde(deserialize_with = "or_default")]
    code: u16,
    #[serde(deserialize_with = "or_default")]
    reason: String,
}

impl<R> Answer<R> {
    /// The rejection in the answer.
    fn rejected(&self, hook: Hook) -> Option<Result<Rejected, String>> {
        if let Some(disconnect) = &self.disconnect {
            return Some(disconnect.rejected());
        }
        let ToldError { code, message, temporary } = self.error.as_ref()?;
        Some(rejection(hook, (*code, message.clone(), *temporary)))
    }
}

impl ToldDisconnect {
    /// The rejection; an error when its code is outside the application's range.
    pub(super) fn rejected(&self) -> Result<Rejected, String> {
        match self.code {
            code @ 4000..=4999 => Ok(Rejected::Disconnect { code, reason: self.reason.clone() }),
            code => Err(format!("disconnect code {code}, which is not in 4000–4999")),
        }
    }
}

/// The rejection by an error; an error when its code is outside the application's range, since clients react to codes of
/// the protocol in ways that only the server may cause. Codes 109 and, of connect hooks, 110 are exceptions: data that a
/// client presented, other than a token, may have expired.
pub(super) fn rejection(
    hook: Hook,
    (code, message, temporary): (u32, String, bool),
) -> Result<Rejected, String> {
    let connects = matches!(hook, Hook::Connect | Hook::SocketConnect);
    match code {
        109 if connects || hook == Hook::Subscribe => Ok(Rejected::TokenExpired),
        400..=1999 | 110 if code >= 400 || connects => {
            Ok(Rejected::Denied(Denied::Custom { code, message: message.into(), temporary }))
        }
        _ => Err(format!("error code {code}, which is not in 400–1999")),
    }
}

/// Seconds since 1970; 0 for a missing or negative time. In hooks' answers a time is a whole number, in tokens any.
pub(super) fn seconds(time: Option<i64>) -> u64 {
    terms::seconds(time.map(NumericDate))
}

/// The result of a connect hook. As in Centrifugo, a result has the fields of its hook; others are ignored, whatever
/// they contain.
#[derive(Debug, Deserialize)]
struct ConnectResult<'a> {
    user: Option<String>,
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<BTreeMap<String, Option<SubscribeOptions<'a>>>>,
    caps: Option<Vec<Option<CapabilityOptions>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    meta: Option<&'a RawValue>,
}

impl ConnectResult<'_> {
    fn credentials(self) -> Result<Credentials, &'static str> {
        let user = self.user.unwrap_or_default();
        let (channels, subs) = (self.channels.unwrap_or_default(), self.subs.unwrap_or_default());
        Ok(Credentials {
            info: payload::read(self.info, self.b64info.as_deref())?,
            expire_at_s: seconds(self.expire_at),
            data: payload::read(self.data, self.b64data.as_deref())?,
            channels: terms::grants(&user, channels, subs)?,
            caps: self.caps.map(terms::capabilities).transpose()?.map(Into::into),
            meta: self.meta.map(terms::one_line).unwrap_or_default(),
            user,
        })
    }
}

/// The result of a refresh hook.
#[derive(Debug, Deserialize)]
struct RefreshResult<'a> {
    expired: Option<bool>,
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    caps: Option<Vec<Option<CapabilityOptions>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    meta: Option<&'a RawValue>,
}

impl RefreshResult<'_> {
    fn credentials(self, user: String) -> Result<Credentials, &'static str> {
        Ok(Credentials {
            user,
            info: payload::read(self.info, self.b64info.as_deref())?,
            expire_at_s: seconds(self.expire_at),
            caps: self.caps.map(terms::capabilities).transpose()?.map(Into::into),
            meta: self.meta.map(terms::one_line).unwrap_or_default(),
            ..Credentials::default()
        })
    }
}

/// The result of a subscribe hook.
#[derive(Debug, Default, Deserialize)]
struct SubscribeResult<'a> {
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<OverrideOptions>,
}

impl SubscribeResult<'_> {
    fn grant(self) -> Result<Grant, &'static str> {
        Ok(Grant {
            info: payload::read(self.info, self.b64info.as_deref())?,
            expire_at_s: seconds(self.expire_at),
            data: payload::read(self.data, self.b64data.as_deref())?,
            overrides: self.overrides.unwrap_or_default().into(),
            ..Grant::default()
        })
    }
}

/// The result of a sub_refresh hook.
#[derive(Debug, Deserialize)]
struct SubRefreshResult<'a> {
    expired: Option<bool>,
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
}

impl SubRefreshResult<'_> {
    fn grant(self) -> Result<Grant, &'static str> {
        let info = payload::read(self.info, self.b64info.as_deref())?;
        Ok(Grant { info, expire_at_s: seconds(self.expire_at), ..Grant::default() })
    }
}

/// The result of a publish hook.
#[derive(Debug, Default, Deserialize)]
struct PublishResult<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
}

impl PublishResult<'_> {
    fn replaced(self) -> Result<Replaced, &'static str> {
        // Only here JSON has precedence over base64, as in Centrifugo.
        let base64 = self.b64data.as_deref().filter(|_| self.data.is_none());
        let data = payload::read(self.data, base64)?;
        let data = Some(data).filter(|data| !data.is_empty());
        Ok(Replaced { data, skip_history: self.skip_history.unwrap_or(false) })
    }
}

/// The result of an rpc hook.
#[derive(Debug, Default, Deserialize)]
struct RpcResult<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::base::payload::Payload;
    use crate::shard::outside::{Capability, Headers, Overrides, SocketTerms};
    use crate::tls::Identity;

    /// The JSON blocks of the document, by the text behind their fences.
    fn documented() -> HashMap<&'static str, &'static str> {
        let text = include_str!("../../docs/AUTH.md");
        let blocks = text.split("\n```json ").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
        blocks.map(|block| block.split_once('\n').unwrap()).collect()
    }

    fn who() -> Who {
        Who {
            client: "9336a229-2400-4ebc-8c50-0a643d22e8a0".to_owned(),
            user: "56".to_owned(),
            transport: "websocket",
            encoding: "json",
            headers: Headers::default(),
            meta: br#"{"plan":"free"}"#.to_vec(),
            certificate: None,
        }
    }

    fn asked(hook: Hook) -> Asked {
        let (who, channel) = (who(), "chat:lobby".to_owned());
        let question = match hook {
            Hook::Connect => Question::Connect {
                who: Who { user: String::new(), ..who },
                name: "js".to_owned(),
                version: "5.0".to_owned(),
                data: br#"{"room": 7}"#.to_vec(),
                channels: vec!["news".to_owned()],
            },
            Hook::SocketConnect => Question::SocketConnect {
                who: Who { user: String::new(), encoding: "socketio", ..who },
                claim: Box::new(SocketClaim {
                    namespace: "/".into(),
                    id: "x2jbR0wWhNGb5SD5AAAB".into(),
                    query: "room=7".into(),
                    auth: r#"{"cookie": "abc"}"#.to_owned(),
                }),
            },
            Hook::Refresh => Question::Refresh { who },
            Hook::Rpc => {
                Question::Rpc { who, method: "year".to_owned(), data: br#"{"of": "what"}"#.to_vec() }
            }
            Hook::Subscribe => {
                let data = br#"{"as": "guest"}"#.to_vec();
                Question::Subscribe { who, channel, data }
            }
            Hook::Publish => Question::Publish { who, channel, data: br#"{"text": "hello"}"#.to_vec() },
            Hook::SubRefresh => Question::SubRefresh { who, channel },
            Hook::SocketEvent => {
                let events = SocketEvents {
                    count: 1,
                    fields: "\"event\":\"a\"".to_owned(),
                    ..SocketEvents::default()
                };
                Question::SocketEvents { who, events: Box::new(events) }
            }
        };
        Asked::new(question).unwrap()
    }

    const HOOKS: [(&str, Hook); 7] = [
        ("connect", Hook::Connect),
        ("socketio connect", Hook::SocketConnect),
        ("refresh", Hook::Refresh),
        ("rpc", Hook::Rpc),
        ("subscribe", Hook::Subscribe),
        ("publish", Hook::Publish),
        ("sub_refresh", Hook::SubRefresh),
    ];

    fn options() -> HookOptions {
        HookOptions::default()
    }

    fn body(hook: Hook, options: &HookOptions) -> Value {
        serde_json::from_slice(&asked(hook).body(options).unwrap()).unwrap()
    }

    #[test]
    fn requests_are_those_of_the_document() {
        let documented = documented();
        for (name, hook) in HOOKS {
            let told: Value = serde_json::from_str(documented[format!("{name} request").as_str()]).unwrap();
            assert_eq!(body(hook, &options()), told, "{name}");
        }
    }

    #[test]
    fn a_connect_hook_is_told_of_the_certificate() {
        let mut asked = asked(Hook::Connect);
        asked.who.certificate =
            Some(Arc::new(Identity { name: "ann@example.com".into(), sha256: [0xa7; 32] }));
        let body: Value = serde_json::from_slice(&asked.body(&options()).unwrap()).unwrap();
        let told: Value = serde_json::from_str(documented()["connect request, certificate"]).unwrap();
        assert_eq!(body, told);
    }

    #[test]
    fn requests_in_base64_and_with_meta() {
        let options = HookOptions { binary_encoding: true, include_connection_meta: true, ..options() };
        for (name, hook) in HOOKS {
            let body = body(hook, &options);
            assert_eq!(
                (&body["encoding"], &body["meta"]),
                (&json!("binary"), &json!({"plan": "free"})),
                "{name}"
            );
            assert_eq!(body.get("data"), None, "{name}");
            assert_eq!(
                body.get("b64data").is_some(),
                !matches!(hook, Hook::Refresh | Hook::SubRefresh),
                "{name}"
            );
        }
        assert_eq!(body(Hook::Connect, &options)["b64data"], "eyJyb29tIjogN30=");
    }

    #[test]
    fn payloads_pass_as_they_are() {
        let rpc = |data: &[u8], encoding| {
            let who = Who { encoding, ..who() };
            let question = Question::Rpc { who, method: String::new(), data: data.to_vec() };
            Asked::new(question).unwrap().body(&options()).map(|body| String::from_utf8(body).unwrap())
        };
        let text = rpc(br#"{ "a" : 1.00, "b":"\u00e9" }"#, "protobuf").unwrap();
        assert!(text.contains(r#""protocol":"protobuf","encoding":"json""#), "{text}");
        assert!(text.ends_with(r#","data":{ "a" : 1.00, "b":"\u00e9" }}"#), "{text}");
        assert!(!rpc(b"", "json").unwrap().contains("data"), "none is none");
        for other in [&b"\xff"[..], b"{", b"1,\"user\":\"admin\"", b"text"] {
            assert_eq!(rpc(other, "protobuf"), Err(Rejected::Denied(Denied::BadRequest)));
        }
    }

    #[track_caller]
    fn verdict(hook: Hook, answer: &str) -> Verdict {
        asked(hook).verdict(answer.as_bytes()).unwrap()
    }

    /// The acceptance that the document's answer gives.
    macro_rules! yes {
        ($kind:ident, $hook:expr, $answer:expr) => {
            match verdict($hook, $answer) {
                Verdict::$kind(Ok(yes)) => yes,
                other => panic!("{other:?}"),
            }
        };
    }

    #[test]
    fn answers_are_those_of_the_document() {
        let documented = documented();
        let name = str::to_owned;
        let connect = yes!(Connection, Hook::Connect, documented["connect answer"]);
        let grant = |channel: &str, data: &[u8]| {
            let grant = Grant {
                channel: name(channel),
                user: name("56"),
                data: data.to_vec().into(),
                ..Grant::default()
            };
            (name(channel), grant)
        };
        let expected = Credentials {
            user: name("56"),
            info: br#"{"name": "Ann"}"#.to_vec().into(),
            expire_at_s: 4_000_000_000,
            data: br#"{"welcome": true}"#.to_vec().into(),
            channels: vec![grant("chat:lobby", br#"{"topic": "cats"}"#), grant("news", b"")],
            caps: Some(
                [Capability { channels: vec![name("chat:lobby")], publish: true, ..Capability::default() }]
                    .into(),
            ),
            meta: br#"{"plan": "free"}"#.to_vec(),
        };
        assert_eq!(*connect, expected);
        let refresh = yes!(Connection, Hook::Refresh, documented["refresh answer"]);
        let expected = Credentials {
            user: name("56"),
            info: br#"{"name": "Ann"}"#.to_vec().into(),
            expire_at_s: 4_000_000_000,
            ..Credentials::default()
        };
        assert_eq!(*refresh, expected);
        let subscribe = yes!(Subscription, Hook::Subscribe, documented["subscribe answer"]);
        let expected = Grant {
            channel: name("chat:lobby"),
            user: name("56"),
            info: br#"{"role": "guest"}"#.to_vec().into(),
            data: br#"{"topic": "cats"}"#.to_vec().into(),
            expire_at_s: 4_000_000_000,
            overrides: Overrides { presence: Some(true), ..Overrides::default() },
            ..Grant::default()
        };
        assert_eq!(*subscribe, expected);
        let sub_refresh = yes!(Subscription, Hook::SubRefresh, documented["sub_refresh answer"]);
        assert_eq!(
            *sub_refresh,
            Grant { data: Payload::default(), overrides: Overrides::default(), ..expected }
        );
        let publish = yes!(Publish, Hook::Publish, documented["publish answer"]);
        let data = Some(br#"{"text": "h***o"}"#.to_vec().into());
        assert_eq!(publish, Replaced { data, skip_history: true });
        assert_eq!(*yes!(Rpc, Hook::Rpc, documented["rpc answer"]), *br#"{"answer": 2019}"#);
        let socket = yes!(Socket, Hook::SocketConnect, documented["socketio connect answer"]);
        let SocketTerms { credentials, state, rooms, effects } = *socket;
        assert_eq!((&*credentials.user, credentials.expire_at_s), ("56", 4_000_000_000));
        assert_eq!((&*credentials.info, &*state), (&br#"{"name": "Ann"}"#[..], &br#"{"plan": "free"}"#[..]));
        assert_eq!(rooms, ["news"]);
        assert_eq!(crate::proto::socketio::effects::read_list(&effects).unwrap().len(), 1);
    }

    /// The rejection in a verdict, with the verdict's kind.
    fn no(verdict: Verdict) -> (&'static str, Rejected) {
        match verdict {
            Verdict::Connection(Err(rejected)) => ("connection", rejected),
            Verdict::Socket(Err(refused)) => ("socket", refused.rejected),
            Verdict::Subscription(Err(rejected)) => ("subscription", rejected),
            Verdict::Publish(Err(rejected)) => ("publish", rejected),
            Verdict::Rpc(Err(rejected)) => ("rpc", rejected),
            Verdict::SocketEvents(Err(rejected)) => ("events", rejected),
            Verdict::Connection(Ok(_))
            | Verdict::Socket(Ok(_))
            | Verdict::Subscription(Ok(_))
            | Verdict::Publish(Ok(_))
            | Verdict::SocketEvents(Ok(_))
            | Verdict::Rpc(Ok(_)) => panic!("a yes"),
        }
    }

    #[test]
    fn errors_and_disconnects_reach_the_client() {
        let documented = documented();
        let custom = Denied::Custom { code: 1000, message: "no such thing".into(), temporary: false };
        let custom = Rejected::Denied(custom);
        let away = Rejected::Disconnect { code: 4501, reason: "go away".to_owned() };
        for (hook, kind) in [
            (Hook::Connect, "connection"),
            (Hook::SocketConnect, "socket"),
            (Hook::Subscribe, "subscription"),
            (Hook::Publish, "publish"),
            (Hook::Rpc, "rpc"),
        ] {
            assert_eq!(no(verdict(hook, documented["rpc error"])), (kind, custom.clone()));
            assert_eq!(no(verdict(hook, documented["rpc disconnect"])), (kind, away.clone()));
            let all = r#"{"result":{},"error":{"code":400},"disconnect":{"code":4501,"reason":"go away"}}"#;
            assert_eq!(no(verdict(hook, all)), (kind, away.clone()), "the hardest word counts");
        }
    }

    /// Clients react to other codes in ways that only the server may cause: 3012 reports a missing ping. 109 is
    /// allowed where the application checks the credentials that clients present.
    #[test]
    fn hooks_have_the_applications_numbers_and_no_others() {
        let error = |code: &str| format!(r#"{{"error":{{"code":{code},"message":"no"}}}}"#);
        let disconnect = |code: &str| format!(r#"{{"disconnect":{{"code":{code},"reason":"no"}}}}"#);
        for hook in [Hook::Connect, Hook::SocketConnect, Hook::Subscribe, Hook::Publish, Hook::Rpc] {
            for answer in ["400", "1999"].map(error).iter().chain(&["4000", "4499", "4999"].map(disconnect)) {
                assert!(asked(hook).verdict(answer.as_bytes()).is_ok(), "{answer}");
            }
            let expired = asked(hook).verdict(error("109").as_bytes());
            let connects = matches!(hook, Hook::Connect | Hook::SocketConnect);
            if connects || hook == Hook::Subscribe {
                assert_eq!(no(expired.unwrap()).1, Rejected::TokenExpired);
            } else {
                assert!(expired.is_err());
            }
            let over = asked(hook).verdict(error("110").as_bytes());
            if connects {
                let denied = Denied::Custom { code: 110, message: "no".into(), temporary: false };
                assert_eq!(no(over.unwrap()).1, Rejected::Denied(denied));
            } else {
                assert!(over.is_err());
            }
            let errors = ["-1", "0", "1", "100", "103", "399", "2000", "4000"].map(error);
            let disconnects =
                ["0", "99", "1000", "1005", "3000", "3503", "3999", "5000", "70000"].map(disconnect);
            let unnumbered = [r#"{"error":{}}"#, r#"{"disconnect":{}}"#].map(str::to_owned);
            for answer in errors.iter().chain(&disconnects).chain(&unnumbered) {
                assert!(asked(hook).verdict(answer.as_bytes()).is_err(), "{answer}");
            }
        }
    }

    #[test]
    fn what_is_not_prolonged_is_over() {
        let expired = Rejected::Denied(Denied::Expired);
        let gone = disconnect(Disconnect::CONNECTION_EXPIRED);
        for answer in [r#"{"result":{"expired":true,"expire_at":4000000000}}"#, r#"{"result":null}"#, "{}"] {
            assert_eq!(no(verdict(Hook::Refresh, answer)), ("connection", gone.clone()));
            assert_eq!(no(verdict(Hook::SubRefresh, answer)), ("subscription", expired.clone()));
        }
        for answer in [r#"{"result":{}}"#, r#"{"result":{"expire_at":0}}"#, r#"{"result":{"expire_at":-1}}"#]
        {
            assert_eq!(no(verdict(Hook::Refresh, answer)), ("connection", gone.clone()), "{answer}");
            assert_eq!(yes!(Subscription, Hook::SubRefresh, answer).expire_at_s, 0, "{answer}");
        }
        let both = r#"{"result":{"expire_at":5},"error":{"code":400},"disconnect":{"code":4501}}"#;
        assert_eq!(yes!(Connection, Hook::Refresh, both).expire_at_s, 5);
        assert_eq!(yes!(Subscription, Hook::SubRefresh, both).expire_at_s, 5);
    }

    #[test]
    fn no_time_is_beyond_all_reckoning() {
        for (told, meant) in [(i64::MAX, 253_402_300_799), (1 << 61, 253_402_300_799), (0, 0), (i64::MIN, 0)]
        {
            let answer = format!(r#"{{"result":{{"expire_at":{told}}}}}"#);
            assert_eq!(yes!(Connection, Hook::Connect, &answer).expire_at_s, meant, "{told}");
            if meant > 0 {
                assert_eq!(yes!(Connection, Hook::Refresh, &answer).expire_at_s, meant, "{told}");
            }
            assert_eq!(yes!(Subscription, Hook::Subscribe, &answer).expire_at_s, meant, "{told}");
            assert_eq!(yes!(Subscription, Hook::SubRefresh, &answer).expire_at_s, meant, "{told}");
        }
    }

    /// As in Centrifugo, where a token's times may be fractions and texts.
    #[test]
    fn a_time_of_an_answer_is_a_whole_number() {
        for time in ["9223372036854775808", "1e300", "4000000000.5", "4e9", r#""4000000000""#, "true", "[]"] {
            let answer = format!(r#"{{"result":{{"expire_at":{time}}}}}"#);
            for hook in [Hook::Connect, Hook::SocketConnect, Hook::Refresh, Hook::Subscribe, Hook::SubRefresh]
            {
                assert!(asked(hook).verdict(answer.as_bytes()).is_err(), "{hook:?}: {time}");
            }
        }
    }

    /// A field of another hook, or of none, was checked, too.
    #[test]
    fn an_answer_is_read_by_the_fields_of_its_own_hook() {
        let own = |hook| match hook {
            Hook::Connect => "user expire_at info b64info data b64data channels subs caps meta",
            Hook::SocketConnect => "user expire_at info b64info state rooms",
            Hook::Refresh => "expired expire_at info b64info caps meta",
            Hook::Subscribe => "expire_at info b64info data b64data override",
            Hook::SubRefresh => "expired expire_at info b64info",
            Hook::Publish => "data b64data skip_history",
            Hook::Rpc => "data b64data",
            Hook::SocketEvent => "ack state do events",
        };
        let wrong = [
            ("user", "5"),
            ("expired", "5"),
            ("expire_at", "{}"),
            ("b64info", "5"),
            ("b64data", "5"),
            ("channels", "{}"),
            ("subs", "[]"),
            ("caps", "{}"),
            ("override", r#"{"presence":true}"#),
            ("skip_history", "5"),
            ("rooms", "5"),
            ("labels", "5"),
            ("Tags", "[1]"),
        ];
        for (_, hook) in HOOKS {
            for (field, value) in wrong {
                let answer = format!(r#"{{"result":{{"expire_at":4000000000,"{field}":{value}}},"tags":5}}"#);
                let answer = answer.replace(r#""expire_at":4000000000,"expire_at""#, r#""expire_at""#);
                let verdict = asked(hook).verdict(answer.as_bytes());
                let is_own = own(hook).split(' ').any(|known| known == field);
                assert_eq!(verdict.is_err(), is_own, "{hook:?}: {answer}: {verdict:?}");
            }
        }
    }

    #[test]
    fn an_answer_about_events_is_read_as_a_whole_or_not_at_all() {
        let result = yes!(SocketEvents, Hook::SocketEvent, r#"{"result":{"ack":[1],"more":5}}"#);
        assert_eq!(result, r#"{"ack":[1],"more":5}"#);
        for nothing in ["{}", "null", r#"{"result":null}"#] {
            assert_eq!(yes!(SocketEvents, Hook::SocketEvent, nothing), "{}");
        }
        for (answer, why) in [
            (r#"{"result":{"ack":5}}"#, "result: ack: the arguments are not a list"),
            (r#"{"result":{"do":[{"emit":{"event":"disconnect"}}]}}"#, "is reserved by Socket.IO"),
            (r#"{"result":{"events":[{},{}]}}"#, "events: 2 answers to 1 events"),
            (r#"{"result":5}"#, "the result is not an object"),
            ("[", "expected struct Answer"),
        ] {
            let told = asked(Hook::SocketEvent).verdict(answer.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(why), "{answer}: {told}");
        }
        let refused = verdict(Hook::SocketEvent, r#"{"error":{"code":1000,"message":"no"}}"#);
        let custom = Denied::Custom { code: 1000, message: "no".into(), temporary: false };
        assert_eq!(no(refused), ("events", Rejected::Denied(custom)));
    }

    #[test]
    fn an_empty_answer_allows_all_but_to_connect() {
        for answer in ["{}", r#"{"result":null,"error":null,"disconnect":null}"#] {
            assert_eq!(no(verdict(Hook::Connect, answer)), ("connection", Rejected::NoCredentials));
            assert_eq!(no(verdict(Hook::SocketConnect, answer)), ("socket", Rejected::NoCredentials));
        }
        for answer in ["{}", r#"{"result":{}}"#, r#"{"result":{"b64data":null,"b64info":""}}"#] {
            assert_eq!(yes!(Publish, Hook::Publish, answer), Replaced::default());
            assert_eq!(*yes!(Rpc, Hook::Rpc, answer), *b"");
            assert_eq!(yes!(Subscription, Hook::Subscribe, answer).user, "56");
        }
        assert_eq!(*yes!(Connection, Hook::Connect, r#"{"result":{}}"#), Credentials::default(), "anonymous");
    }

    #[test]
    fn a_payload_that_is_null_is_the_json_null() {
        let answer = r#"{"result":{"user":"u","data":null,"info":null,"meta":null,"b64data":""}}"#;
        let connect = yes!(Connection, Hook::Connect, answer);
        assert_eq!([&*connect.data, &*connect.info, &connect.meta], [b"null"; 3]);
        let subscribe = yes!(Subscription, Hook::Subscribe, answer);
        assert_eq!([&*subscribe.data, &*subscribe.info], [b"null"; 2]);
        assert_eq!(yes!(Publish, Hook::Publish, answer).data.as_deref(), Some(&b"null"[..]));
        assert_eq!(*yes!(Rpc, Hook::Rpc, answer), *b"null");
        let both = r#"{"result":{"data":null,"b64data":"MQ=="}}"#;
        assert_eq!(yes!(Publish, Hook::Publish, both).data.as_deref(), Some(&b"null"[..]));
        assert_eq!(*yes!(Rpc, Hook::Rpc, both), *b"1");
    }

    #[test]
    fn who_is_renewed_by_what_cannot_be_read_ends() {
        let failed = |hook: Hook, answer: &str| {
            let unusable = asked(hook).verdict(answer.as_bytes()).unwrap_err();
            asked(hook).failed(&unusable)
        };
        let (payload, garbage) = (r#"{"result":{"expire_at":4000000000,"b64info":"*"}}"#, "{");
        let later = Rejected::Denied(Denied::Internal);
        assert_eq!(failed(Hook::Refresh, payload), disconnect(Disconnect::INTERNAL));
        assert_eq!(failed(Hook::SubRefresh, payload), Rejected::Denied(Denied::Expired));
        assert_eq!(failed(Hook::Subscribe, payload), later);
        assert_eq!(failed(Hook::Refresh, garbage), later);
        assert_eq!(failed(Hook::SubRefresh, garbage), later);
    }

    #[test]
    fn a_status_says_what_its_rule_says() {
        let error = CodeOutcome::Error { code: 103, message: "no".to_owned(), temporary: true };
        let away = CodeOutcome::Disconnect { code: 4504, reason: "away".to_owned() };
        for hook in [Hook::Connect, Hook::Subscribe, Hook::Publish, Hook::Rpc] {
            let told = no(asked(hook).by_rule(&error)).1;
            let denied = Denied::Custom { code: 103, message: "no".into(), temporary: true };
            assert_eq!(told, Rejected::Denied(denied));
            let told = no(asked(hook).by_rule(&away)).1;
            assert_eq!(told, Rejected::Disconnect { code: 4504, reason: "away".to_owned() });
        }
        for rule in [error, away] {
            assert_eq!(no(asked(Hook::Refresh).by_rule(&rule)).1, disconnect(Disconnect::CONNECTION_EXPIRED));
            assert_eq!(no(asked(Hook::SubRefresh).by_rule(&rule)).1, Rejected::Denied(Denied::Expired));
        }
    }

    /// Programs in .NET and Go write field names in a case of their own.
    #[test]
    fn fields_of_answers_are_named_in_any_case() {
        assert_eq!(*yes!(Rpc, Hook::Rpc, r#"{"Result":{"Data":{"Answer":1}}}"#), *br#"{"Answer":1}"#);
        let told = r#"{"Result":{"User":"56","Expire_At":5,"Subs":{"News":{"Data":1}}}}"#;
        let connect = yes!(Connection, Hook::Connect, told);
        assert_eq!((connect.expire_at_s, connect.channels[0].0.as_str()), (5, "News"));
        let custom = Denied::Custom { code: 1000, message: "no".into(), temporary: false };
        let told = verdict(Hook::Rpc, r#"{"Error":{"Code":1000,"Message":"no"}}"#);
        assert_eq!(no(told), ("rpc", Rejected::Denied(custom)));
    }

    #[test]
    fn payloads_of_answers_are_on_one_line() {
        let answer = "{\n \"result\": {\n  \"data\": [\n   1,\r\n   \"a\\nb\"\n  ]\n }\n}";
        let data = yes!(Rpc, Hook::Rpc, answer);
        assert!(!data.contains(&b'\n') && !data.contains(&b'\r'));
        assert_eq!(serde_json::from_slice::<Value>(&data).unwrap(), json!([1, "a\nb"]));
        assert_eq!(*yes!(Rpc, Hook::Rpc, r#"{"result":{"b64data":"AAo="}}"#), [0, 10], "bytes are bytes");
        assert!(asked(Hook::Rpc).verdict(br#"{"result":{"b64data":"*"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(
            key in "result|error|disconnect",
            field in "user|expire_at|info|data|b64data|subs|caps|override|code|reason|channels",
            value in r#"[-0-9a-z{}\[\]":,.*]{0,12}"#,
        ) {
            let answer = format!(r#"{{"{key}":{{"{field}":{value}}}}}"#);
            for (_, hook) in HOOKS {
                drop(asked(hook).verdict(answer.as_bytes()));
                drop(asked(hook).verdict(value.as_bytes()));
            }
        }
    }
}
