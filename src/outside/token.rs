//! JSON Web Tokens (RFC 7515, 7519) of connections and subscriptions, with the claims that Centrifugo documents.
//!
//! What matters: nothing of a token is believed before its signature is verified, but for the algorithm's and the key's
//! name, which only choose among our own keys. Time is an argument. Left out: where keys are asked for (`jwks`) and in
//! which thread this runs (`workers`).

use std::collections::BTreeMap;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Key;
use super::options::TokenOptions;
use super::terms::{self, CapabilityOptions, OverrideOptions, SubscribeOptions};
use crate::proto::centrifuge::Error;
use crate::shard::outside::{Credentials, Grant, Rejected, Verdict};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Connection,
    Subscription,
}

/// Why a token is not taken. The text is for the log of whoever looks for the fault, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is over, or has not begun.
    Expired,
    /// It is none, or not ours.
    Invalid(&'static str),
    /// Its key could not be asked for.
    Unknowable,
}

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Expired => Self::Error(super::TOKEN_EXPIRED),
            Refused::Invalid(_) => Self::Disconnect { code: 3500, reason: "invalid token".to_owned() },
            Refused::Unknowable => Self::Error(super::INTERNAL),
        }
    }
}

impl Purpose {
    pub(super) fn refused(self, refused: Refused) -> Verdict {
        if let Refused::Invalid(why) = refused {
            tracing::debug!(purpose = ?self, why, "token refused");
        }
        match self {
            Self::Connection => Verdict::Connection(Err(refused.into())),
            Self::Subscription => Verdict::Subscription(Err(refused.into())),
        }
    }
}

/// A token, taken apart and not believed.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What is signed: head and claims.
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        struct Head {
            alg: String,
            kid: Option<String>,
            /// Extensions that must be understood (RFC 7515, 4.1.11). We understand none.
            crit: Option<serde::de::IgnoredAny>,
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Invalid("not three parts"))?;
        let (head, claims) = signed.split_once('.').ok_or(Refused::Invalid("not three parts"))?;
        if claims.contains('.') {
            return Err(Refused::Invalid("not three parts"));
        }
        let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| Refused::Invalid("head"))?;
        if head.crit.is_some() {
            return Err(Refused::Invalid("critical extensions"));
        }
        let algorithm = Algorithm::from_str(&head.alg).map_err(|_| Refused::Invalid("unknown algorithm"))?;
        Ok(Self { algorithm, key_id: head.kid, signed, claims, signature })
    }

    /// The claims' JSON, if the signature is the key's.
    pub(super) fn verify(&self, key: &Key) -> Result<Vec<u8>, Refused> {
        let signature = decode(self.signature)?;
        if !key.verifies(self.algorithm, self.signed.as_bytes(), &signature) {
            return Err(Refused::Invalid("signature"));
        }
        decode(self.claims)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Refused::Invalid("not base64url"))
}

/// What a token must say beside who it is for.
#[derive(Debug, Default)]
pub(super) struct Rules {
    audience: String,
    issuer: String,
    user_id_claim: String,
}

/// The claims that both kinds have, RFC 7519's and Centrifugo's. Others are ignored.
#[derive(Debug, Deserialize)]
struct Claims<'a> {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    aud: Option<Audience>,
    iss: Option<String>,
    expire_at: Option<i64>,
    channel: Option<String>,
    client: Option<String>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<OverrideOptions>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<BTreeMap<String, SubscribeOptions<'a>>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    caps: Option<Vec<CapabilityOptions>>,
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519, 2), which is cut off.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "f64")]
struct NumericDate(i64);

impl From<f64> for NumericDate {
    fn from(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "saturates: a time beyond all times stays one")]
        Self(seconds.floor() as i64)
    }
}

/// One audience, or several (RFC 7519, 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

impl Rules {
    pub(super) fn new(options: &TokenOptions) -> Self {
        Self {
            audience: options.audience.clone(),
            issuer: options.issuer.clone(),
            user_id_claim: options.user_id_claim.clone(),
        }
    }

    /// What claims that are verified come to.
    pub(super) fn judge(&self, purpose: Purpose, json: &[u8], now_unix_s: u64) -> Result<Verdict, Refused> {
        let mut claims: Claims<'_> = serde_json::from_slice(json).map_err(|_| Refused::Invalid("claims"))?;
        if !self.audience.is_empty() && !claims.aud.as_ref().is_some_and(|aud| aud.holds(&self.audience)) {
            return Err(Refused::Invalid("audience"));
        }
        if !self.issuer.is_empty() && claims.iss.as_deref() != Some(&self.issuer) {
            return Err(Refused::Invalid("issuer"));
        }
        let now = i64::try_from(now_unix_s).unwrap_or(i64::MAX);
        // A token that has not begun is answered as one that is over: in both cases another one may do.
        if claims.exp.is_some_and(|exp| exp.0 <= now) || claims.nbf.is_some_and(|nbf| nbf.0 > now) {
            return Err(Refused::Expired);
        }
        let user = match self.user_id_claim.as_str() {
            "" => claims.sub.take().unwrap_or_default(),
            name => named_claim(json, name),
        };
        match purpose {
            Purpose::Connection => claims.credentials(user).map(|who| Verdict::Connection(Ok(Box::new(who)))),
            Purpose::Subscription => {
                claims.grant(user).map(|grant| Verdict::Subscription(Ok(Box::new(grant))))
            }
        }
    }
}

impl Claims<'_> {
    /// `expire_at` decides alone when it is there; 0 is never.
    fn expire_at_s(&self) -> u64 {
        terms::seconds(self.expire_at.or(self.exp.map(|exp| exp.0)))
    }

    fn credentials(self, user: String) -> Result<Credentials, Refused> {
        if self.channel.as_ref().is_some_and(|channel| !channel.is_empty()) {
            return Err(Refused::Invalid("a subscription's token in place of a connection's"));
        }
        let expire_at_s = self.expire_at_s();
        let subs = self.subs.unwrap_or_default();
        let channels = if subs.is_empty() { self.channels.unwrap_or_default() } else { Vec::new() };
        let caps = self.caps.map(terms::capabilities).transpose().map_err(Refused::Invalid)?;
        Ok(Credentials {
            info: terms::payload(self.info, self.b64info.as_deref()).map_err(Refused::Invalid)?,
            expire_at_s,
            data: Vec::new(),
            channels: terms::grants(&user, channels, subs).map_err(Refused::Invalid)?,
            caps: caps.map(Into::into),
            meta: self.meta.map(terms::one_line).unwrap_or_default(),
            user,
        })
    }

    fn grant(self, user: String) -> Result<Grant, Refused> {
        let expire_at_s = self.expire_at_s();
        let channel = self.channel.filter(|channel| !channel.is_empty());
        Ok(Grant {
            channel: channel.ok_or(Refused::Invalid("a connection's token in place of a subscription's"))?,
            user,
            client: self.client.unwrap_or_default(),
            info: terms::payload(self.info, self.b64info.as_deref()).map_err(Refused::Invalid)?,
            expire_at_s,
            data: terms::payload(self.data, self.b64data.as_deref()).map_err(Refused::Invalid)?,
            overrides: self.overrides.unwrap_or_default().into(),
            recover_since: None,
        })
    }
}

/// The claim with this name as text: a string's content, anything else as it is written; empty when there is none.
fn named_claim(json: &[u8], name: &str) -> String {
    let all: BTreeMap<String, &RawValue> = serde_json::from_slice(json).unwrap_or_default();
    let Some(value) = all.get(name).map(|value| value.get()) else { return String::new() };
    match serde_json::from_str(value) {
        Ok(text) => text,
        Err(_) if value == "null" => String::new(),
        Err(_) => value.to_owned(),
    }
}

/// A token signed with HS256, for development: `claims` is the JSON object of its claims.
pub fn mint(secret: &[u8], claims: &str) -> String {
    let part = |json: &[u8]| BASE64URL_NOPAD.encode(json);
    let signed = format!("{}.{}", part(br#"{"alg":"HS256","typ":"JWT"}"#), part(claims.as_bytes()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = part(ring::hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

/// An error of the protocol that is not in its list yet.
pub(super) const fn error(code: u32, message: &'static str, temporary: bool) -> Error {
    Error { code, message, temporary }
}
