//! Signing tokens, as an application's backend does: for development, benchmarks and tests.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

/// A token signed with HS256 (RFC 7519). `claims` should be the JSON object of its claims; it is not checked.
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
    use crate::shard::outside::{Credentials, Token, Verdict};

    #[test]
    fn what_is_minted_is_taken_by_who_has_the_secret() {
        let text = mint(b"one", br#"{"sub":"42","exp":60}"#);
        let verified = |secret: &str| {
            let options = TokenOptions { hmac_secret_key: secret.to_owned(), ..TokenOptions::default() };
            match verify(&options, &Token::Connection(&text), 59) {
                Ok(Verdict::Connection(outcome)) => outcome.ok(),
                other => panic!("{other:?}"),
            }
        };
        let expected = Credentials { user: "42".to_owned(), expire_at_s: 60, ..Credentials::default() };
        assert_eq!(verified("one"), Some(expected.into()));
        assert_eq!(verified("two"), None);
    }
}
