//! Keys, and the check whether a signature of a text was made with one.
//!
//! Invariant: a key verifies only the algorithms of its own kind, whatever a token's header says. So a public key can
//! never be taken for an HMAC secret, and `none` is not an algorithm. Left out: the source of keys at run time
//! (`jwks`), and the content of the signed text (`token`).

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::hmac;
use ring::signature::{self, RsaParameters, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::value::RawValue;

use super::options::TokenOptions;
use crate::proto::json;

/// Sizes of an RSA modulus that are accepted: 2,048 to 8,192 bits (`ring`'s bounds).
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// First byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [(Algorithm, &RsaParameters); 3] = [
    (Algorithm::RS256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &signature::RSA_PKCS1_2048_8192_SHA512),
];

/// Whether this is a supported algorithm with public keys.
pub(super) fn is_public(algorithm: Algorithm) -> bool {
    rsa_parameters(algorithm).is_some()
        || [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].contains(&algorithm)
}

/// A key for verification.
#[derive(Debug)]
pub(super) enum Key {
    /// One key for each algorithm of [`HMAC`], in its order.
    Hmac(Box<[hmac::Key; 3]>),
    /// For RS256, RS384 and RS512: `RSAPublicKey` in DER (RFC 8017, A.1.1).
    RsaDer(Vec<u8>),
    /// For RS256, RS384 and RS512: modulus and exponent, big-endian.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// For ES256: a point.
    P256(Vec<u8>),
    /// For ES384: a point.
    P384(Vec<u8>),
    /// For EdDSA.
    Ed25519(Vec<u8>),
}

impl Key {
    pub(super) fn hmac(secret: &[u8]) -> Self {
        let key = |algorithm| hmac::Key::new(algorithm, secret);
        Self::Hmac(Box::new([hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512].map(key)))
    }

    fn rsa_pem(pem: &str) -> Result<Self, &'static str> {
        let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| "not an RSA public key in PEM")?;
        let der = key.try_get_as_bytes().map_err(|_| "not an RSA public key in PEM")?;
        // The exponent and the lengths add a few bytes to the modulus.
        if der.len() < *RSA_BYTES.start() {
            return Err("an RSA key of less than 2,048 bits is not taken");
        }
        Ok(Self::RsaDer(der.to_vec()))
    }

    fn ecdsa_pem(pem: &str) -> Result<Self, &'static str> {
        let key = DecodingKey::from_ec_pem(pem.as_bytes()).map_err(|_| "not an ECDSA public key in PEM")?;
        let point = key.try_get_as_bytes().map_err(|_| "not an ECDSA public key in PEM")?;
        Self::point(point).ok_or("only the curves P-256 and P-384 are supported, with points not compressed")
    }

    fn eddsa_pem(pem: &str) -> Result<Self, &'static str> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| "not an Ed25519 public key in PEM")?;
        let bytes = key.try_get_as_bytes().ok().filter(|bytes| bytes.len() == 32);
        bytes.map(|bytes| Self::Ed25519(bytes.to_vec())).ok_or("not an Ed25519 public key in PEM")
    }

    fn point(bytes: &[u8]) -> Option<Self> {
        match (bytes.first(), bytes.len()) {
            (Some(&UNCOMPRESSED), 65) => Some(Self::P256(bytes.to_vec())),
            (Some(&UNCOMPRESSED), 97) => Some(Self::P384(bytes.to_vec())),
            _ => None,
        }
    }

    /// The public signature key in a JSON Web Key; `None` if it is another kind of key, or not supported.
    fn jwk(jwk: &Jwk) -> Option<Self> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok();
        match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let (n, e) = (without_zeros(decode(&rsa.n)?), without_zeros(decode(&rsa.e)?));
                (RSA_BYTES.contains(&n.len()) && !e.is_empty()).then_some(Self::Rsa { n, e })
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let key = Self::point(&[vec![UNCOMPRESSED], decode(&ec.x)?, decode(&ec.y)?].concat())?;
                let is_named = matches!(
                    (&key, &ec.curve),
                    (Self::P256(_), EllipticCurve::P256) | (Self::P384(_), EllipticCurve::P384)
                );
                is_named.then_some(key)
            }
            AlgorithmParameters::OctetKeyPair(pair) => {
                let x = decode(&pair.x)?;
                (pair.curve == EllipticCurve::Ed25519 && x.len() == 32).then_some(Self::Ed25519(x))
            }
            // A secret must not be among public keys.
            AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_) | _ => None,
        }
    }

    /// Whether keys of this kind are used with `algorithm`.
    pub(super) fn suits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Hmac(_) => HMAC.contains(&algorithm),
            Self::RsaDer(_) | Self::Rsa { .. } => rsa_parameters(algorithm).is_some(),
            Self::P256(_) => algorithm == Algorithm::ES256,
            Self::P384(_) => algorithm == Algorithm::ES384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
        }
    }

    /// Whether `signature` is the signature of `message` by this key with `algorithm`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        let public = |by: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(by, key).verify(message, signature).is_ok()
        };
        match self {
            Self::Hmac(keys) => {
                let own = HMAC.iter().zip(&**keys).find(|(name, _)| **name == algorithm);
                own.is_some_and(|(_, key)| hmac::verify(key, message, signature).is_ok())
            }
            Self::RsaDer(der) => rsa_parameters(algorithm).is_some_and(|by| public(by, der)),
            Self::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|by| {
                signature::RsaPublicKeyComponents { n, e }.verify(by, message, signature).is_ok()
            }),
            Self::P256(point) => public(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => public(&signature::ECDSA_P384_SHA384_FIXED, point),
            Self::Ed25519(key) => public(&signature::ED25519, key),
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    RSA.iter().find(|(name, _)| *name == algorithm).map(|(_, parameters)| *parameters)
}

/// Removes leading zeros: some writers add a sign byte, which `ring` rejects.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

/// The keys in the configuration.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// At most one key per algorithm.
    own: Vec<Key>,
    /// The previous HMAC key.
    previous: Option<Previous>,
}

/// A key that was replaced by another.
#[derive(Debug)]
struct Previous {
    key: Key,
    /// End of its use, in seconds since 1970; 0 for no end.
    until_unix_s: u64,
}

impl Keys {
    /// # Errors
    /// The option with the invalid key, and the reason.
    pub(super) fn new(options: &TokenOptions) -> Result<Self, String> {
        let mut keys = Vec::new();
        if !options.hmac_secret_key.is_empty() {
            keys.push(Key::hmac(options.hmac_secret_key.as_bytes()));
        }
        for key in Self::public(options) {
            keys.push(key?);
        }
        let previous = (!options.hmac_previous_secret_key.is_empty()).then(|| Previous {
            key: Key::hmac(options.hmac_previous_secret_key.as_bytes()),
            until_unix_s: options.hmac_previous_secret_key_valid_until_s,
        });
        Ok(Self { own: keys, previous })
    }

    /// The options with an invalid key, each with the reason.
    pub(super) fn faults(options: &TokenOptions) -> Vec<String> {
        Self::public(options).filter_map(Result::err).collect()
    }

    /// The public keys in the options, or the option with an invalid key and the reason.
    fn public(options: &TokenOptions) -> impl Iterator<Item = Result<Key, String>> {
        let read = [
            ("rsa_public_key", &options.rsa_public_key, Key::rsa_pem as fn(&str) -> _),
            ("ecdsa_public_key", &options.ecdsa_public_key, Key::ecdsa_pem),
            ("eddsa_public_key", &options.eddsa_public_key, Key::eddsa_pem),
        ];
        let named = read.into_iter().filter(|(_, pem, _)| !pem.is_empty());
        named.map(|(name, pem, read)| read(pem).map_err(|why| format!("{name}: {why}")))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.previous.is_none()
    }

    /// The keys for this algorithm, in the order in which they are tried: one, or two while a secret is being
    /// replaced.
    pub(super) fn of(&self, algorithm: Algorithm, now_unix_s: u64) -> impl Iterator<Item = &Key> {
        let is_valid =
            |previous: &&Previous| previous.until_unix_s == 0 || now_unix_s <= previous.until_unix_s;
        let previous = self.previous.as_ref().filter(is_valid).map(|previous| &previous.key);
        self.own.iter().chain(previous).filter(move |key| key.suits(algorithm))
    }
}

/// A key from a key set.
#[derive(Debug)]
pub(super) struct PublishedKey {
    pub(super) id: Option<String>,
    /// The algorithm that the set names for the key, if any.
    algorithm: Option<Algorithm>,
    pub(super) key: Key,
}

impl PublishedKey {
    pub(super) fn suits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.key.suits(algorithm)
    }
}

/// The keys of a JSON Web Key Set (RFC 7517, 5) that can verify signatures. Other keys are ignored, as the RFC
/// requires.
///
/// # Errors
/// When the text is not a key set.
pub(super) fn parse_set(text: &[u8]) -> Result<Vec<PublishedKey>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let set: Set<'_> = json::from_slice(text)?;
    Ok(set.keys.into_iter().filter_map(|key| published(key.get())).collect())
}

fn published(text: &str) -> Option<PublishedKey> {
    let jwk: Jwk = json::from_str(text).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match jwk.common.key_algorithm {
        Some(told) => Some(Algorithm::try_from(told).ok()?),
        None => None,
    };
    Some(PublishedKey { id: jwk.common.key_id.clone(), algorithm, key: Key::jwk(&jwk)? })
}
