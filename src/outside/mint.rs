//! Tokens for development: `throng token` signs what a backend would sign.
//!
//! What is minted with a configuration is taken with that configuration: the claims that it asks for are there. Only HMAC's secret is
//! ever in a server's configuration, so only HS256 is signed.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::{Map, Value};

use super::options::Options;

/// What a token is to say.
#[derive(Clone, Debug, clap::Args)]
pub struct Wish {
    /// The user; without it the client is anonymous
    #[arg(long, default_value = "", hide_default_value = true)]
    pub user: String,
    /// A token for a subscription to this channel, in place of one for a connection
    #[arg(long)]
    pub channel: Option<String>,
    /// Seconds until it is over; 0 is never
    #[arg(long, default_value_t = 3600)]
    pub ttl_s: u64,
    /// More claims, a JSON object; they go before those of the other flags
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub claims: Option<Map<String, Value>>,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}

/// A token as wished, signed with the secret of `options` and with the claims that they ask for.
///
/// # Errors
/// When there is no secret.
pub fn token(wish: &Wish, options: &Options, now_unix_s: u64) -> Result<String, String> {
    let (section, rules) = match (&wish.channel, &options.subscription_token) {
        (Some(_), Some(own)) => ("client.subscription_token", own),
        _ => ("client.token", &options.token),
    };
    if rules.hmac_secret_key.is_empty() {
        return Err(format!("there is no {section}.hmac_secret_key to sign with"));
    }
    let user_claim = if rules.user_id_claim.is_empty() { "sub" } else { &rules.user_id_claim };
    let mut claims = Map::new();
    claims.insert(user_claim.to_owned(), wish.user.as_str().into());
    for (name, value) in [("aud", &rules.audience), ("iss", &rules.issuer)] {
        if !value.is_empty() {
            claims.insert(name.to_owned(), value.as_str().into());
        }
    }
    claims.extend(wish.channel.iter().map(|channel| ("channel".to_owned(), channel.as_str().into())));
    claims.insert("iat".to_owned(), now_unix_s.into());
    if wish.ttl_s > 0 {
        claims.insert("exp".to_owned(), now_unix_s.saturating_add(wish.ttl_s).into());
    }
    claims.extend(wish.claims.clone().unwrap_or_default());
    Ok(mint(rules.hmac_secret_key.as_bytes(), Value::Object(claims).to_string().as_bytes()))
}

/// A token signed with HS256: `claims` should be the JSON object of its claims, and is not looked at.
pub fn mint(secret: &[u8], claims: &[u8]) -> String {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let signed = format!("{}.{}", part(br#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = part(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::options::TokenOptions;
    use crate::outside::verify;
    use crate::proto::centrifuge::Error;
    use crate::shard::outside::{Credentials, Grant, Rejected, Token, Verdict};

    const NOW: u64 = 1000;

    fn wish() -> Wish {
        Wish { user: "42".to_owned(), channel: None, ttl_s: 60, claims: None }
    }

    fn options() -> Options {
        let token = TokenOptions {
            hmac_secret_key: "one".to_owned(),
            audience: "here".to_owned(),
            issuer: "me".to_owned(),
            ..TokenOptions::default()
        };
        let own = TokenOptions {
            hmac_secret_key: "two".to_owned(),
            user_id_claim: "uid".to_owned(),
            ..TokenOptions::default()
        };
        Options { token, subscription_token: Some(own), ..Options::default() }
    }

    fn connection(wish: &Wish, now: u64) -> Result<Box<Credentials>, Rejected> {
        let text = token(wish, &options(), NOW).unwrap();
        match verify(&options().token, &Token::Connection(&text), now) {
            Ok(Verdict::Connection(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    fn subscription(wish: &Wish, options: &Options, rules: &TokenOptions) -> Result<Box<Grant>, Rejected> {
        let text = token(wish, options, NOW).unwrap();
        match verify(rules, &Token::Subscription(&text), NOW) {
            Ok(Verdict::Subscription(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_minted_is_taken() {
        let expected = Credentials { user: "42".to_owned(), expire_at_s: 1060, ..Credentials::default() };
        assert_eq!(connection(&wish(), 1059).unwrap(), expected.into());
        assert_eq!(connection(&wish(), 1060), Err(Rejected::Error(Error::TOKEN_EXPIRED)));
        let for_ever = Wish { ttl_s: 0, ..wish() };
        assert_eq!(connection(&for_ever, u64::MAX).unwrap().expire_at_s, 0);
        let claims = object(r#"{"sub": "7", "info": {"a": 1}, "channels": ["b"]}"#).unwrap();
        let more = connection(&Wish { claims: Some(claims), ..wish() }, NOW).unwrap();
        assert_eq!((&*more.user, &*more.info, &*more.channels[0].0), ("7", &br#"{"a":1}"#[..], "b"));
    }

    #[test]
    fn subscriptions_are_signed_with_their_own_secret() {
        let wish = Wish { channel: Some("$a".to_owned()), ..wish() };
        let own = options().subscription_token.unwrap();
        let grant = subscription(&wish, &options(), &own).unwrap();
        assert_eq!((&*grant.channel, &*grant.user, grant.expire_at_s), ("$a", "42", 1060));
        assert!(subscription(&wish, &options(), &options().token).is_err());
        let one_secret = Options { subscription_token: None, ..options() };
        assert!(subscription(&wish, &one_secret, &one_secret.token).is_ok());
    }

    #[test]
    fn nothing_is_signed_without_a_secret() {
        let why = |channel: Option<&str>, subscription_token| {
            let wish = Wish { channel: channel.map(str::to_owned), ..wish() };
            let options = Options { token: TokenOptions::default(), subscription_token, ..options() };
            token(&wish, &options, NOW).unwrap_err()
        };
        assert_eq!(why(None, None), "there is no client.token.hmac_secret_key to sign with");
        assert_eq!(why(Some("a"), None), "there is no client.token.hmac_secret_key to sign with");
        let empty = Some(TokenOptions::default());
        assert_eq!(
            why(Some("a"), empty),
            "there is no client.subscription_token.hmac_secret_key to sign with"
        );
        assert!(object("[]").is_err() && object("{").is_err() && object("{}").is_ok());
    }
}
