//! The clients' tokens: one per connection, each with its own user.
//!
//! Invariant: signing a token during the run costs microseconds. Asymmetric signatures cost a hundred times as
//! much, so [`SIGNED_COUNT`] of them are made before the run and used in turn. Left out: verification.

#![expect(clippy::disallowed_methods, reason = "a token says until when it is good")]

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use throng::parts::outside::mint;

const SIGNED_COUNT: usize = 64;
/// Lifetime of a token: longer than any run.
const TTL_S: u64 = 24 * 3600;

/// The flags for the clients' identities.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Identity {
    /// Give each client its own user and token, signed with this secret (HS256)
    #[arg(long, value_name = "SECRET")]
    pub(crate) token_secret: Option<String>,
    /// Give clients tokens signed with the RSA key in this PEM file (RS256); 64 tokens, used in turn
    #[arg(long, value_name = "FILE", conflicts_with = "token_secret")]
    pub(crate) token_key: Option<PathBuf>,
}

/// The source of tokens.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// No tokens.
    None,
    /// Signed on demand.
    Secret { secret: String, expire_at_s: u64 },
    /// Signed in advance.
    Signed(Vec<String>),
}

impl Tokens {
    /// # Errors
    /// An invalid key.
    pub(crate) fn new(identity: &Identity) -> Result<Self, String> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let expire_at_s = now_s + TTL_S;
        match (&identity.token_secret, &identity.token_key) {
            (Some(secret), _) => Ok(Self::Secret { secret: secret.clone(), expire_at_s }),
            (None, None) => Ok(Self::None),
            (None, Some(file)) => {
                let wrong = |e: &dyn std::fmt::Display| format!("--token-key {}: {e}", file.display());
                let key = PrivateKeyDer::from_pem_file(file).map_err(|e| wrong(&e))?;
                let pair = if let PrivateKeyDer::Pkcs8(der) = &key {
                    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
                } else {
                    RsaKeyPair::from_der(key.secret_der())
                };
                let pair = pair.map_err(|e| wrong(&e))?;
                let tokens: Result<Vec<String>, _> =
                    (0..SIGNED_COUNT).map(|number| signed(&pair, number, expire_at_s)).collect();
                tokens.map(Self::Signed).map_err(|e| wrong(&e))
            }
        }
    }

    /// The token of connection `number`.
    pub(crate) fn of(&self, number: usize) -> Option<String> {
        match self {
            Self::None => None,
            Self::Secret { secret, expire_at_s } => {
                Some(mint(secret.as_bytes(), claims(number, *expire_at_s).as_bytes()))
            }
            Self::Signed(tokens) => tokens.get(number % tokens.len().max(1)).cloned(),
        }
    }
}

fn claims(number: usize, expire_at_s: u64) -> String {
    format!("{{\"sub\":\"user-{number}\",\"exp\":{expire_at_s}}}")
}

fn signed(pair: &RsaKeyPair, number: usize, expire_at_s: u64) -> Result<String, ring::error::Unspecified> {
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let text = format!(
        "{}.{}",
        part(br#"{"alg":"RS256","typ":"JWT"}"#),
        part(claims(number, expire_at_s).as_bytes())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)?;
    Ok(format!("{text}.{}", part(&signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use throng::parts::outside::options::TokenOptions;
    use throng::parts::outside::verify;
    use throng::parts::shard::outside::{Token, Verdict};

    #[test]
    fn each_connection_has_a_user_of_its_own() {
        let identity = Identity { token_secret: Some("secret".to_owned()), token_key: None };
        let tokens = Tokens::new(&identity).unwrap();
        let options = TokenOptions { hmac_secret_key: "secret".to_owned(), ..TokenOptions::default() };
        for number in [0, 7] {
            let token = tokens.of(number).unwrap();
            let Ok(Verdict::Connection(Ok(who))) = verify(&options, &Token::Connection(&token), 0) else {
                panic!("{token}")
            };
            assert_eq!(who.user, format!("user-{number}"));
        }
        assert!(Tokens::new(&Identity::default()).unwrap().of(0).is_none());
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let identity = Identity { token_secret: None, token_key: Some("Cargo.toml".into()) };
        assert!(Tokens::new(&identity).unwrap_err().starts_with("--token-key Cargo.toml: "));
    }
}
