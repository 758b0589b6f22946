//! JSON Web Tokens (RFC 7515, 7519) of connections and subscriptions, with the claims that Centrifugo documents.
//!
//! Invariant: no part of a token is used before its signature is verified, except for the algorithm and the key id,
//! which only select one of our keys. Time is an argument. Left out: the source of keys (`jwks`) and the thread
//! (`workers`).

use std::collections::BTreeMap;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Key;
use super::options::TokenOptions;
use super::terms::{self, CapabilityOptions, OverrideOptions, SubscribeOptions};
use crate::base::payload::Payload;
use crate::hub::options::NamePattern;
use crate::hub::words::Denied;
use crate::proto::json::{self, NumericDate, present};
use crate::proto::payload;
use crate::shard::outside::{Credentials, Grant, Rejected, Verdict};

/// The use of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Connection,
    Subscription,
}

/// The reason why a token is refused. The text is for the server's log, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Expired, or not valid yet.
    Expired,
    /// Not a token, or not signed by a known key.
    Invalid(&'static str),
    /// Its key could not be fetched.
    Unknowable,
}

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Expired => Self::TokenExpired,
            Refused::Invalid(_) => Self::TokenInvalid,
            Refused::Unknowable => Self::Denied(Denied::Internal),
        }
    }
}

impl Refused {
    /// The reason as a text for the log.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Expired => "expired, or not valid yet",
            Self::Invalid(why) => why,
            Self::Unknowable => "its key could not be fetched",
        }
    }
}

impl Purpose {
    /// The name for the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Subscription => "subscription",
        }
    }

    pub(super) fn refused(self, refused: Refused) -> Verdict {
        match self {
            Self::Connection => Verdict::Connection(Err(refused.into())),
            Self::Subscription => Verdict::Subscription(Err(refused.into())),
        }
    }
}

/// A token taken apart and not verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// The signed part: head and claims.
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
            /// Extensions that must be understood (RFC 7515, 4.1.11). None is supported.
            crit: Option<serde::de::IgnoredAny>,
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Invalid("not three parts"))?;
        let (head, claims) = signed.split_once('.').ok_or(Refused::Invalid("not three parts"))?;
        if claims.contains('.') {
            return Err(Refused::Invalid("not three parts"));
        }
        let head: Head = json::from_slice(&decode(head)?).map_err(|_| Refused::Invalid("head"))?;
        if head.crit.is_some() {
            return Err(Refused::Invalid("critical extensions"));
        }
        let algorithm = Algorithm::from_str(&head.alg).map_err(|_| Refused::Invalid("unknown algorithm"))?;
        Ok(Self { algorithm, key_id: head.kid, signed, claims, signature })
    }

    /// The JSON of the claims, if `key` made the signature.
    pub(super) fn verify(&self, key: &Key) -> Result<Vec<u8>, Refused> {
        let signature = decode(self.signature)?;
        if !key.verifies(self.algorithm, self.signed.as_bytes(), &signature) {
            return Err(Refused::Invalid("signature"));
        }
        decode(self.claims)
    }

    /// The JSON of the claims, with any signature.
    pub(super) fn unsigned(&self) -> Result<Vec<u8>, Refused> {
        decode(self.claims)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Refused::Invalid("not base64url"))
}

/// Requirements for the claims of a token.
#[derive(Debug, Default)]
pub(super) struct Rules {
    audience: Wanted,
    issuer: Wanted,
    user_id_claim: String,
}

/// Requirements for a claim.
#[derive(Debug, Default)]
struct Wanted {
    /// Required value; empty for any.
    whole: String,
    /// Required pattern; the default matches anything.
    pattern: NamePattern,
}

impl Wanted {
    /// Whether one of the claim's `values` is accepted.
    fn accepts<'a>(&self, mut values: impl Iterator<Item = &'a str>) -> bool {
        let is_any = self.whole.is_empty() && self.pattern.as_str().is_empty();
        let accepts = |value| (self.whole.is_empty() || self.whole == value) && self.pattern.matches(value);
        is_any || values.any(accepts)
    }
}

/// The claims of both kinds of tokens, from RFC 7519 and Centrifugo. Other claims are ignored.
#[derive(Debug, Deserialize)]
struct Claims<'a> {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    aud: Option<Audience>,
    iss: Option<String>,
    expire_at: Option<NumericDate>,
    channel: Option<String>,
    client: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<OverrideOptions>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<BTreeMap<String, Option<SubscribeOptions<'a>>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    meta: Option<&'a RawValue>,
    caps: Option<Vec<Option<CapabilityOptions>>>,
}

/// One audience, or several (RFC 7519, 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn values(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        };
        all.iter().map(String::as_str)
    }
}

impl Rules {
    pub(super) fn new(options: &TokenOptions) -> Self {
        let wanted =
            |whole: &String, pattern: &NamePattern| Wanted { whole: whole.clone(), pattern: pattern.clone() };
        Self {
            audience: wanted(&options.audience, &options.audience_regex),
            issuer: wanted(&options.issuer, &options.issuer_regex),
            user_id_claim: options.user_id_claim.clone(),
        }
    }

    /// The values of the named groups of both patterns, which select a token's key set; the claims are not verified
    /// yet.
    pub(super) fn values(&self, text: &[u8]) -> Result<Vec<(&str, String)>, Refused> {
        #[derive(Deserialize)]
        struct Origin {
            iss: Option<String>,
            aud: Option<Audience>,
        }
        let origin: Origin = json::from_slice(text).map_err(|_| Refused::Invalid("claims"))?;
        let mut values = self
            .issuer
            .pattern
            .captures(&origin.iss.unwrap_or_default())
            .ok_or(Refused::Invalid("issuer"))?;
        if !self.audience.pattern.is_none() {
            let audiences = origin.aud.iter().flat_map(Audience::values);
            let mut matching = audiences.filter_map(|audience| self.audience.pattern.captures(audience));
            values.extend(matching.next().ok_or(Refused::Invalid("audience"))?);
        }
        Ok(values)
    }

    /// The verdict for verified claims.
    pub(super) fn judge(&self, purpose: Purpose, text: &[u8], now_unix_s: u64) -> Result<Verdict, Refused> {
        let mut claims: Claims<'_> = json::from_slice(text).map_err(|_| Refused::Invalid("claims"))?;
        if !self.audience.accepts(claims.aud.iter().flat_map(Audience::values)) {
            return Err(Refused::Invalid("audience"));
        }
        if !self.issuer.accepts(claims.iss.as_deref().into_iter()) {
            return Err(Refused::Invalid("issuer"));
        }
        let now = i64::try_from(now_unix_s).unwrap_or(i64::MAX);
        // A token that is not valid yet is answered like an expired one: in both cases another token may be valid.
        if claims.exp.is_some_and(|exp| exp.0 <= now) || claims.nbf.is_some_and(|nbf| nbf.0 > now) {
            return Err(Refused::Expired);
        }
        let user = match self.user_id_claim.as_str() {
            "" => claims.sub.take().unwrap_or_default(),
            name => named_claim(text, name),
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
    /// Time of expiry: `expire_at`, if it is present, otherwise `exp`; 0 for never.
    fn expire_at_s(&self) -> u64 {
        terms::seconds(self.expire_at.or(self.exp))
    }

    fn credentials(self, user: String) -> Result<Credentials, Refused> {
        if self.channel.as_ref().is_some_and(|channel| !channel.is_empty()) {
            return Err(Refused::Invalid("a subscription token instead of a connection token"));
        }
        let expire_at_s = self.expire_at_s();
        let subs = self.subs.unwrap_or_default();
        let channels = if subs.is_empty() { self.channels.unwrap_or_default() } else { Vec::new() };
        let caps = self.caps.map(terms::capabilities).transpose().map_err(Refused::Invalid)?;
        Ok(Credentials {
            info: payload::read(self.info, self.b64info.as_deref()).map_err(Refused::Invalid)?,
            expire_at_s,
            data: Payload::default(),
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
            channel: channel.ok_or(Refused::Invalid("a connection token instead of a subscription token"))?,
            user,
            client: self.client.unwrap_or_default(),
            info: payload::read(self.info, self.b64info.as_deref()).map_err(Refused::Invalid)?,
            expire_at_s,
            data: payload::read(self.data, self.b64data.as_deref()).map_err(Refused::Invalid)?,
            overrides: self.overrides.unwrap_or_default().into(),
            recover_since: None,
        })
    }
}

/// The claim with this name as text: the content of a string, the JSON of any other value; empty if it is missing.
fn named_claim(json: &[u8], name: &str) -> String {
    let all: BTreeMap<String, &RawValue> = serde_json::from_slice(json).unwrap_or_default();
    let Some(value) = all.get(name).map(|value| value.get()) else { return String::new() };
    match serde_json::from_str(value) {
        Ok(text) => text,
        Err(_) if value == "null" => String::new(),
        Err(_) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shard::outside::{Capability, Matching, Overrides};

    const NOW: u64 = 1000;

    fn judge(purpose: Purpose, claims: &str) -> Result<Verdict, Refused> {
        Rules::default().judge(purpose, claims.as_bytes(), NOW)
    }

    #[track_caller]
    fn credentials(claims: &str) -> Credentials {
        match judge(Purpose::Connection, claims) {
            Ok(Verdict::Connection(Ok(credentials))) => *credentials,
            other => panic!("{claims}: {other:?}"),
        }
    }

    #[track_caller]
    fn grant(claims: &str) -> Grant {
        match judge(Purpose::Subscription, claims) {
            Ok(Verdict::Subscription(Ok(grant))) => *grant,
            other => panic!("{claims}: {other:?}"),
        }
    }

    #[test]
    fn claims_of_connections() {
        assert_eq!(credentials("{}"), Credentials::default(), "anonymous");
        assert_eq!(
            credentials(r#"{"sub":null,"b64info":null,"channels":null,"subs":null}"#),
            Credentials::default()
        );
        assert_eq!(*credentials(r#"{"info":null}"#).info, *b"null", "a payload");
        assert_eq!(credentials(r#"{"exp":"2000.5"}"#).expire_at_s, 2000, "as text");
        assert_eq!(credentials(r#"{"sub":"42","iat":7,"jti":"x","more":[1]}"#).user, "42");
        for (claims, info) in [
            (r#"{"info":{"a" : 1.0}}"#, r#"{"a" : 1.0}"#),
            ("{\"info\": [1,\n 2,\r\n\"\\n\"] }", "[1,  2,  \"\\n\"]"),
            (r#"{"info":"text"}"#, r#""text""#),
            (r#"{"b64info":"eyJiIjoyfQ=="}"#, r#"{"b":2}"#),
            (r#"{"info":1,"b64info":"Mg=="}"#, "2"),
            (r#"{"info":1,"b64info":""}"#, "1"),
        ] {
            assert_eq!(str::from_utf8(&credentials(claims).info).unwrap(), info, "{claims}");
        }
        assert_eq!(*credentials(r#"{"b64info":"AP8="}"#).info, [0, 255]);
        assert_eq!(credentials("{\"meta\":{\"a\":\n1}}").meta, b"{\"a\": 1}");
        assert_eq!(*credentials(r#"{"data":1}"#).data, *b"", "that is not a connection's");
    }

    #[test]
    fn server_side_subscriptions_come_from_subs_or_else_from_channels() {
        let channels = |claims| credentials(claims).channels;
        let named = |name: &str| (name.to_owned(), Grant { channel: name.to_owned(), ..Grant::default() });
        assert_eq!(channels(r#"{"channels":["b","a","b"]}"#), [named("a"), named("b")]);
        assert_eq!(channels(r#"{"channels":["a"],"subs":{}}"#), [named("a")]);
        assert_eq!(channels(r#"{"channels":["a"],"subs":{"b":{}}}"#), [named("b")], "as in Centrifugo");
        let told = channels(
            r#"{"sub":"42","subs":{"a":{"info":{"i":1},"data":[2],"override":{
                "presence":{"value":true},"join_leave":{"value":false},"force_push_join_leave":{},
                "force_recovery":{"value":true}}},"b":{"b64info":"MQ==","b64data":"Mg=="}}}"#,
        );
        let [(_, a), (_, b)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&*a.user, &*a.info, &*a.data), ("42", &br#"{"i":1}"#[..], &b"[2]"[..]));
        let overrides = Overrides {
            presence: Some(true),
            join_leave: Some(false),
            force_push_join_leave: Some(false),
            force_recovery: Some(true),
            force_positioning: None,
        };
        assert_eq!((a.overrides, b.overrides), (overrides, Overrides::default()));
        assert_eq!((&*b.info, &*b.data), (&b"1"[..], &b"2"[..]));
    }

    #[test]
    fn null_is_nothing_and_times_may_have_a_fraction() {
        let told = credentials(
            r#"{"expire_at":2000.75,"subs":{"a":null,"b":{"override":{"presence":{"value":null},"join_leave":null}}},
                "caps":[null,{"channels":null,"match":null,"allow":null}]}"#,
        );
        assert_eq!(told.expire_at_s, 2000);
        let names: Vec<_> = told.channels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, told.channels[1].1.overrides.presence), (vec!["a", "b"], Some(false)));
        assert_eq!(*told.caps.unwrap(), [Capability::default(), Capability::default()]);
        assert_eq!(credentials(r#"{"exp":2000.75,"nbf":999.5,"iat":1.5}"#).expire_at_s, 2000);
        assert_eq!(grant(r#"{"channel":"a","expire_at":2e3}"#).expire_at_s, 2000);
    }

    #[test]
    fn of_a_claim_that_stands_twice_the_last_counts() {
        assert_eq!(credentials(r#"{"sub":"a","sub":"b","exp":1,"exp":2000}"#).user, "b");
        assert_eq!(judge(Purpose::Connection, r#"{"exp":2000,"exp":1}"#).unwrap_err(), Refused::Expired);
        assert_eq!(grant(r#"{"channel":"a","channel":"b"}"#).channel, "b");
    }

    #[test]
    fn capabilities_are_exact_or_by_wildcard() {
        let caps = credentials(
            r#"{"caps":[{"channels":["a","b"],"allow":["sub","pub","new"]},
                {"channels":["n:*"],"match":"wildcard","allow":["prs","hst"]},{"match":"exact"}]}"#,
        )
        .caps
        .unwrap();
        let first = Capability {
            channels: vec!["a".to_owned(), "b".to_owned()],
            subscribe: true,
            publish: true,
            ..Capability::default()
        };
        let second = Capability {
            channels: vec!["n:*".to_owned()],
            matching: Matching::Wildcard,
            presence: true,
            history: true,
            ..Capability::default()
        };
        assert_eq!(*caps, [first, second, Capability::default()]);
        assert_eq!(credentials(r#"{"caps":[]}"#).caps.unwrap().len(), 0, "told that there are none");
        for unsupported in ["regex", "new"] {
            let claims = format!(r#"{{"caps":[{{"channels":["a"],"match":"{unsupported}"}}]}}"#);
            assert!(matches!(judge(Purpose::Connection, &claims), Err(Refused::Invalid(_))));
        }
    }

    #[test]
    fn claims_of_subscriptions() {
        let told = grant(
            r#"{"sub":"42","channel":"$a","client":"c","info":{"i" :1},"data":[2],"exp":2000,
                "override":{"force_positioning":{"value":true}}}"#,
        );
        let expected = Grant {
            channel: "$a".to_owned(),
            user: "42".to_owned(),
            client: "c".to_owned(),
            info: br#"{"i" :1}"#.to_vec().into(),
            expire_at_s: 2000,
            data: b"[2]".to_vec().into(),
            overrides: Overrides { force_positioning: Some(true), ..Overrides::default() },
            recover_since: None,
        };
        assert_eq!(told, expected);
        assert_eq!(grant(r#"{"channel":"a"}"#).user, "", "anonymous");
        assert_eq!(*grant(r#"{"channel":"a","b64data":"Mg==","data":1}"#).data, *b"2");
    }

    #[test]
    fn tokens_of_one_kind_are_not_taken_for_the_other() {
        for (purpose, claims) in [
            (Purpose::Connection, r#"{"sub":"42","channel":"a"}"#),
            (Purpose::Subscription, r#"{"sub":"42"}"#),
            (Purpose::Subscription, r#"{"sub":"42","channel":""}"#),
        ] {
            assert!(matches!(judge(purpose, claims), Err(Refused::Invalid(_))), "{claims}");
        }
        assert_eq!(credentials(r#"{"sub":"42","channel":""}"#).user, "42");
    }

    #[test]
    fn times_are_checked_to_the_second() {
        let expired = Err(Refused::Expired);
        let table = [
            (r#""exp":1001"#, Ok(1001)),
            (r#""exp":1001.9"#, Ok(1001)),
            (r#""exp":1.5e3"#, Ok(1500)),
            (r#""exp":1000"#, expired),
            (r#""exp":1000.9"#, expired),
            (r#""exp":0"#, expired),
            (r#""exp":-1"#, expired),
            (r#""exp":1e300"#, Ok(253_402_300_799)),
            (r#""exp":9223372036854775807"#, Ok(253_402_300_799)),
            (r#""exp":null"#, Ok(0)),
            (r#""nbf":1000"#, Ok(0)),
            (r#""nbf":1000.5"#, Ok(0)),
            (r#""nbf":1001"#, expired),
            (r#""nbf":2000,"exp":3000"#, expired),
            (r#""exp":2000,"expire_at":1500"#, Ok(1500)),
            (r#""exp":2000,"expire_at":0"#, Ok(0)),
            (r#""exp":2000,"expire_at":-5"#, Ok(0)),
            (r#""exp":2000,"expire_at":null"#, Ok(2000)),
            (r#""expire_at":9223372036854775807"#, Ok(253_402_300_799)),
            (r#""expire_at":-9223372036854775808"#, Ok(0)),
            (r#""exp":-1e300"#, expired),
            (r#""nbf":1e300"#, expired),
            (r#""exp":999,"expire_at":3000"#, expired),
            (r#""expire_at":3000"#, Ok(3000)),
        ];
        for (claims, expected) in table {
            let claims = format!(r#"{{"channel":"a",{claims}}}"#);
            let judged = judge(Purpose::Subscription, &claims).map(|verdict| {
                let Verdict::Subscription(Ok(grant)) = verdict else { panic!("{verdict:?}") };
                grant.expire_at_s
            });
            assert_eq!(judged, expected, "{claims}");
        }
    }

    #[test]
    fn audience_and_issuer_are_checked_when_configured() {
        let options = TokenOptions {
            audience: "throng".to_owned(),
            issuer: "app".to_owned(),
            ..TokenOptions::default()
        };
        let table = [
            (r#"{"aud":"throng","iss":"app"}"#, true),
            (r#"{"aud":["other","throng"],"iss":"app"}"#, true),
            (r#"{"aud":["other"],"iss":"app"}"#, false),
            (r#"{"aud":[],"iss":"app"}"#, false),
            (r#"{"aud":"throng2","iss":"app"}"#, false),
            (r#"{"aud":"throng","iss":"App"}"#, false),
            (r#"{"aud":"throng"}"#, false),
            (r#"{"iss":"app"}"#, false),
            (r#"{"aud":1,"iss":"app"}"#, false),
        ];
        for (claims, is_taken) in table {
            let judged = Rules::new(&options).judge(Purpose::Connection, claims.as_bytes(), NOW);
            assert_eq!(judged.is_ok(), is_taken, "{claims}");
        }
        credentials(r#"{"aud":"anyone","iss":"anything"}"#);
    }

    #[test]
    fn audience_and_issuer_may_be_told_by_patterns() {
        let pattern = |text: &str| NamePattern::new(text).unwrap();
        let options = TokenOptions {
            audience_regex: pattern("^app-[0-9]+$"),
            issuer_regex: pattern("auth"),
            ..TokenOptions::default()
        };
        let table = [
            (r#"{"aud":"app-7","iss":"https://auth.example.com"}"#, true),
            (r#"{"aud":["other","app-12"],"iss":"auth"}"#, true),
            (r#"{"aud":["other"],"iss":"auth"}"#, false),
            (r#"{"aud":"my app-7","iss":"auth"}"#, false),
            (r#"{"aud":"app-7","iss":"aut"}"#, false),
            (r#"{"aud":"app-7"}"#, false),
            (r#"{"iss":"auth"}"#, false),
        ];
        for (claims, is_taken) in table {
            let judged = Rules::new(&options).judge(Purpose::Connection, claims.as_bytes(), NOW);
            assert_eq!(judged.is_ok(), is_taken, "{claims}");
        }
    }

    #[test]
    fn another_claim_may_name_the_user() {
        let options = TokenOptions { user_id_claim: "uid".to_owned(), ..TokenOptions::default() };
        for (uid, user) in [
            (r#""a\u00e9""#, "a\u{e9}"),
            ("7", "7"),
            ("1e3", "1e3"),
            ("true", "true"),
            ("null", ""),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            let claims = format!(r#"{{"sub":"42","uid":{uid}}}"#);
            match Rules::new(&options).judge(Purpose::Connection, claims.as_bytes(), NOW) {
                Ok(Verdict::Connection(Ok(credentials))) => assert_eq!(credentials.user, user),
                other => panic!("{other:?}"),
            }
        }
        let without = Rules::new(&options).judge(Purpose::Connection, br#"{"sub":"42"}"#, NOW);
        assert!(matches!(without, Ok(Verdict::Connection(Ok(credentials))) if credentials.user.is_empty()));
    }

    #[test]
    fn claims_of_a_wrong_type_are_refused() {
        for claims in [
            "",
            "null",
            "[]",
            "{",
            r#"{"sub":42}"#,
            r#"{"sub":"a","sub":1}"#,
            r#"{"exp":true}"#,
            r#"{"iss":1}"#,
            r#"{"info":}"#,
            r#"{"b64info":"*"}"#,
            r#"{"b64info":1}"#,
            r#"{"channels":"a"}"#,
            r#"{"channels":[1]}"#,
            r#"{"subs":["a"]}"#,
            r#"{"subs":{"a":{"b64data":"="}}}"#,
            r#"{"subs":{"a":{"override":{"presence":true}}}}"#,
            r#"{"caps":{}}"#,
            r#"{"expire_at":"soon"}"#,
            r#"{"exp":""}"#,
            r#"{"exp":" 1"}"#,
            "{\"sub\":\"\u{0}\"}",
        ] {
            assert!(matches!(judge(Purpose::Connection, claims), Err(Refused::Invalid(_))), "{claims}");
        }
    }

    #[test]
    fn the_documents_claims_are_understood() {
        let document = include_str!("../../docs/AUTH.md");
        let block = |name: &str| {
            let (_, rest) = document.split_once(&format!("\n```json {name} claims\n")).unwrap();
            rest.split_once("\n```").unwrap().0
        };
        let who = credentials(block("connection"));
        assert_eq!((&*who.user, who.expire_at_s), ("42", 4_000_000_000));
        assert_eq!((&*who.info, &*who.meta), (&br#"{"name": "Ann"}"#[..], &br#"{"plan": "free"}"#[..]));
        let [(lobby, on_terms), (news, welcomed)] = &who.channels[..] else { panic!("{:?}", who.channels) };
        assert_eq!((&**lobby, &*on_terms.info), ("chat:lobby", &br#"{"role": "guest"}"#[..]));
        assert_eq!(on_terms.overrides.join_leave, Some(true));
        assert_eq!((&**news, &*welcomed.data), ("news", &br#"{"welcome": true}"#[..]));
        let all = Capability {
            channels: vec!["chat:*".to_owned()],
            matching: Matching::Wildcard,
            subscribe: true,
            publish: true,
            presence: true,
            history: true,
        };
        assert_eq!(*who.caps.unwrap(), [all]);
        let terms = grant(block("subscription"));
        assert_eq!((&*terms.user, &*terms.channel), ("42", "$chat:lobby"));
        assert_eq!((&*terms.info, terms.expire_at_s), (&br#"{"role": "moderator"}"#[..], 4_000_000_000));
        assert_eq!(terms.overrides.force_recovery, Some(true));
    }

    /// The example of RFC 7515, A.1.
    #[test]
    fn the_rfcs_own_token_is_verified() {
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0\
                     dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = Key::hmac(&BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap());
        let claims = Unverified::parse(token).unwrap().verify(&key).unwrap();
        assert!(claims.starts_with(br#"{"iss":"joe","#));
        let judge = |now| Rules::default().judge(Purpose::Connection, &claims, now);
        assert!(judge(1_300_819_379).is_ok());
        assert_eq!(judge(1_300_819_380).unwrap_err(), Refused::Expired);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}(\\.[ -~]{0,40}){0,3}", head in ".{0,60}", claims in ".{0,200}") {
            drop(Unverified::parse(&text));
            let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
            let token = format!("{}.{}.{}", part(&head), part(&claims), part(&text));
            if let Ok(token) = Unverified::parse(&token) {
                prop_assert!(token.verify(&Key::hmac(b"secret")).is_err());
            }
            for purpose in [Purpose::Connection, Purpose::Subscription] {
                drop(judge(purpose, &claims));
            }
        }

        /// The credentials contain what the claims contain.
        #[test]
        fn claims_come_out_as_they_went_in(user in ".{0,20}", channels in prop::collection::btree_set(".{1,10}", 0..5)) {
            let claims = serde_json::json!({"sub": user, "channels": channels, "info": user}).to_string();
            let credentials = credentials(&claims);
            prop_assert_eq!(&credentials.user, &user);
            prop_assert_eq!(serde_json::from_slice::<String>(&credentials.info).unwrap(), user);
            prop_assert!(credentials.channels.iter().map(|(name, _)| name).eq(&channels));
        }
    }
}
