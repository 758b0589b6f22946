//! Signing tokens, as an application's backend does: for development, benchmarks and tests.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

/// A token signed with HS256 (RFC 7519): `claims` should be the JSON object of its claims, and is not looked at.
pub fn mint(secret: &[u8], claims: &[u8]) -> String {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let signed = format!("{}.{}", part(br#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = part(hmac::sign(&key, signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}
