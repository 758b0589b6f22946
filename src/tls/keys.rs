//! Keys of one direction of a connection, and the sealing and opening of records with them.
//!
//! The key itself is kept, not the cipher's schedule of it, which is five times as large: see [`super::Schedules`].
//! Invariant: a sequence number is never used twice with one key, and no key seals more records than its cipher
//! permits.

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use rustls::{CipherSuite, ConnectionTrafficSecrets};
use zeroize::Zeroize;

use super::Fault;
use super::record::{ContentType, HEADER_BYTES, PLAINTEXT_BYTES_MAX};

/// Length of the authentication tag of every cipher, in bytes.
pub(super) const TAG_BYTES: usize = 16;
/// Length of a nonce, and of its base value, in bytes.
const IV_BYTES: usize = 12;
/// Length of the implicit part of a nonce of AES-GCM in TLS 1.2; the rest is transmitted (RFC 5288, section 3).
const SALT_BYTES: usize = 4;
/// Maximum of records that AES-GCM seals with one key (RFC 8446, section 5.5, rounded down).
const RECORDS_MAX: u64 = 1 << 23;
/// Length of the longest secret, of SHA-384, in bytes.
const SECRET_BYTES_MAX: usize = 48;

/// A cipher, and its hash in TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
            Self::Aes256Gcm => hkdf::HKDF_SHA384,
        }
    }

    fn secret_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => 32,
            Self::Aes256Gcm => 48,
        }
    }

    /// Maximum of records for one key.
    fn records_max(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => RECORDS_MAX,
            Self::ChaCha20Poly1305 => u64::MAX,
        }
    }
}

/// The protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// A traffic secret of TLS 1.3, from which keys and the next secret are derived (RFC 8446, section 7.2).
#[derive(Clone)]
pub(super) struct Secret([u8; SECRET_BYTES_MAX]);

impl Secret {
    /// Makes a secret; `None` when it is too long.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let mut secret = [0; SECRET_BYTES_MAX];
        secret.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(secret))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The keys of one direction of a connection.
pub(super) struct Keys {
    sequence: u64,
    key: [u8; 32],
    iv: [u8; IV_BYTES],
    cipher: Cipher,
    version: Version,
    secret: Secret,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl Keys {
    /// Makes keys from the result of a handshake; `secret` is that of this direction in TLS 1.3.
    pub(super) fn new(
        sequence: u64,
        agreed: &ConnectionTrafficSecrets,
        secret: Option<Secret>,
    ) -> Option<Self> {
        let (cipher, key, iv) = match agreed {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20Poly1305, key, iv),
            _ => return None,
        };
        let version = if secret.is_some() { Version::Tls13 } else { Version::Tls12 };
        let mut keys = Self {
            sequence,
            key: [0; 32],
            iv: iv.as_ref().try_into().ok()?,
            cipher,
            version,
            secret: secret.unwrap_or(Secret([0; SECRET_BYTES_MAX])),
        };
        keys.key.get_mut(..key.as_ref().len())?.copy_from_slice(key.as_ref());
        Some(keys)
    }

    /// The keys derived from a traffic secret of TLS 1.3, before any record was sealed with them. `None` when the
    /// suite is unknown.
    pub(super) fn of_secret(suite: CipherSuite, secret: Secret) -> Option<Self> {
        let cipher = if suite == CipherSuite::TLS13_AES_128_GCM_SHA256 {
            Cipher::Aes128Gcm
        } else if suite == CipherSuite::TLS13_AES_256_GCM_SHA384 {
            Cipher::Aes256Gcm
        } else if suite == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 {
            Cipher::ChaCha20Poly1305
        } else {
            return None;
        };
        let version = Version::Tls13;
        let mut keys = Self { sequence: 0, key: [0; 32], iv: [0; IV_BYTES], cipher, version, secret };
        keys.derive().ok()?;
        Some(keys)
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Whether the next batch of records needs other keys, which TLS 1.2 cannot provide.
    pub(super) fn is_worn(&self) -> bool {
        // The margin below the limit is far more than one batch.
        self.sequence >= self.cipher.records_max() - (RECORDS_MAX >> 3)
    }

    /// The cipher's key schedule.
    ///
    /// # Errors
    /// [`Fault::Broken`] when the key is invalid: a bug.
    pub(super) fn schedule(&self) -> Result<LessSafeKey, Fault> {
        let algorithm = self.cipher.algorithm();
        let key = UnboundKey::new(algorithm, &self.key[..algorithm.key_len()]).map_err(|_| Fault::Broken)?;
        Ok(LessSafeKey::new(key))
    }

    /// Nonce of the current record (RFC 8446, section 5.3; RFC 7905, section 2; the same for AES-GCM in TLS 1.2,
    /// where any nonce is permitted that is used once).
    fn nonce(&self) -> [u8; IV_BYTES] {
        let mut nonce = self.iv;
        for (byte, part) in nonce[IV_BYTES - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= part;
        }
        nonce
    }

    fn has_explicit_nonce(&self) -> bool {
        self.version == Version::Tls12 && self.cipher != Cipher::ChaCha20Poly1305
    }

    /// Bytes between a record's header and its ciphertext.
    pub(super) fn prefix_bytes(&self) -> usize {
        if self.has_explicit_nonce() { IV_BYTES - SALT_BYTES } else { 0 }
    }

    /// The authenticated data of a record's header: the header itself in TLS 1.3, more in TLS 1.2 (RFC 5246, section
    /// 6.2.3.3).
    fn authenticated(&self, kind: ContentType, length: usize) -> ([u8; 13], usize) {
        let mut bytes = [0; 13];
        match self.version {
            Version::Tls13 => {
                bytes[..HEADER_BYTES].copy_from_slice(&header(ContentType::ApplicationData, length));
                (bytes, HEADER_BYTES)
            }
            Version::Tls12 => {
                bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
                bytes[8..].copy_from_slice(&header(kind, length));
                (bytes, 13)
            }
        }
    }

    /// Appends `plain` to `out` as records; no record without any bytes.
    ///
    /// # Errors
    /// [`Fault::Worn`] when the key has reached its limit of records; nothing is appended then.
    pub(super) fn seal<'a>(
        &mut self,
        kind: ContentType,
        schedule: &LessSafeKey,
        plain: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.sequence >= self.cipher.records_max() - (RECORDS_MAX >> 4) {
            return Err(Fault::Worn);
        }
        let mut start = None;
        for mut piece in plain {
            while !piece.is_empty() {
                let begun = *start.get_or_insert_with(|| self.begin(out));
                let room = PLAINTEXT_BYTES_MAX - (out.len() - begun);
                let (now, later) = piece.split_at(piece.len().min(room));
                out.extend_from_slice(now);
                piece = later;
                if out.len() - begun == PLAINTEXT_BYTES_MAX {
                    self.end(schedule, kind, begun, out)?;
                    start = None;
                }
            }
        }
        start.map_or(Ok(()), |begun| self.end(schedule, kind, begun, out))
    }

    /// Makes room for the header of a record and returns the start of its plaintext.
    fn begin(&self, out: &mut Vec<u8>) -> usize {
        out.resize(out.len() + HEADER_BYTES + self.prefix_bytes(), 0);
        out.len()
    }

    /// Seals the record whose plaintext begins at `begun` and ends with `out`.
    fn end(
        &mut self,
        schedule: &LessSafeKey,
        kind: ContentType,
        begun: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let plain_bytes = out.len() - begun;
        let (outer, on_wire) = match self.version {
            Version::Tls13 => {
                out.push(kind as u8);
                (ContentType::ApplicationData, plain_bytes + 1 + TAG_BYTES)
            }
            Version::Tls12 => (kind, self.prefix_bytes() + plain_bytes + TAG_BYTES),
        };
        let nonce = self.nonce();
        let told = if self.version == Version::Tls13 { on_wire } else { plain_bytes };
        let (aad, aad_bytes) = self.authenticated(kind, told);
        let tag = schedule
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&aad[..aad_bytes]),
                &mut out[begun..],
            )
            .map_err(|_| Fault::Broken)?;
        out.extend_from_slice(tag.as_ref());
        let head = begun - self.prefix_bytes() - HEADER_BYTES;
        out[head..head + HEADER_BYTES].copy_from_slice(&header(outer, on_wire));
        if self.has_explicit_nonce() {
            out[head + HEADER_BYTES..begun].copy_from_slice(&nonce[SALT_BYTES..]);
        }
        self.sequence += 1;
        Ok(())
    }

    /// Simulates the sealing of many records.
    #[cfg(test)]
    pub(super) fn wear(&mut self) {
        self.sequence = self.cipher.records_max() - (RECORDS_MAX >> 3) - 50;
    }

    /// Appends a record of TLS 1.3 that consists of so many zeros, without a content type (RFC 8446, section 5.4).
    #[cfg(test)]
    pub(super) fn seal_zeros(&mut self, count: usize, out: &mut Vec<u8>) {
        let head = header(ContentType::ApplicationData, count + TAG_BYTES);
        let (nonce, start) = (Nonce::assume_unique_for_key(self.nonce()), out.len() + HEADER_BYTES);
        out.extend(head);
        out.resize(start + count, 0);
        let schedule = self.schedule().unwrap();
        let tag = schedule.seal_in_place_separate_tag(nonce, Aad::from(head), &mut out[start..]).unwrap();
        out.extend(tag.as_ref());
        self.sequence += 1;
    }

    #[cfg(test)]
    pub(super) fn sequence_mut(&mut self) -> &mut u64 {
        &mut self.sequence
    }

    /// Opens the record of `kind` whose body is `body[from..]`, and puts its plaintext at the start of `body`.
    /// Returns its real content type, and its length.
    ///
    /// # Errors
    /// As RFC 8446, section 5.2 requires: [`Fault::BadRecord`] and [`Fault::TooLong`], [`Fault::Unexpected`].
    pub(super) fn open(
        &mut self,
        schedule: &LessSafeKey,
        kind: ContentType,
        body: &mut [u8],
        from: usize,
    ) -> Result<(ContentType, usize), Fault> {
        let length = body.len() - from;
        let overhead = self.prefix_bytes() + TAG_BYTES;
        let Some(plain_bytes) = length.checked_sub(overhead) else { return Err(Fault::BadRecord) };
        let told = if self.version == Version::Tls13 { length } else { plain_bytes };
        let (aad, aad_bytes) = self.authenticated(kind, told);
        let mut nonce = self.nonce();
        if self.has_explicit_nonce() {
            nonce[SALT_BYTES..].copy_from_slice(&body[from..from + self.prefix_bytes()]);
        }
        let plain = schedule
            .open_within(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&aad[..aad_bytes]),
                body,
                from + self.prefix_bytes()..,
            )
            .map_err(|_| Fault::BadRecord)?;
        self.sequence += 1;
        match self.version {
            Version::Tls12 if plain.len() > PLAINTEXT_BYTES_MAX => Err(Fault::TooLong),
            Version::Tls12 => Ok((kind, plain.len())),
            Version::Tls13 if plain.len() > PLAINTEXT_BYTES_MAX + 1 => Err(Fault::TooLong),
            Version::Tls13 => {
                // The kind is the last byte that is not padding.
                let end = plain.iter().rposition(|&byte| byte != 0).ok_or(Fault::Unexpected)?;
                let kind = ContentType::from_byte(plain[end]).ok_or(Fault::Unexpected)?;
                Ok((kind, end))
            }
        }
    }

    /// Changes to the next keys of the connection, in TLS 1.3 (RFC 8446, section 7.2).
    ///
    /// # Errors
    /// [`Fault::Broken`] when the hash fails: a bug.
    pub(super) fn update(&mut self) -> Result<(), Fault> {
        let hash = self.cipher.hash();
        let secret_bytes = self.cipher.secret_bytes();
        let now = hkdf::Prk::new_less_safe(hash, &self.secret.0[..secret_bytes]);
        expand_label(&now, b"traffic upd", &mut self.secret.0[..secret_bytes])?;
        self.derive()
    }

    /// Derives key and nonces from the secret (RFC 8446, section 7.3).
    fn derive(&mut self) -> Result<(), Fault> {
        let secret = &self.secret.0[..self.cipher.secret_bytes()];
        let next = hkdf::Prk::new_less_safe(self.cipher.hash(), secret);
        expand_label(&next, b"key", &mut self.key[..self.cipher.algorithm().key_len()])?;
        expand_label(&next, b"iv", &mut self.iv)?;
        self.sequence = 0;
        Ok(())
    }
}

fn header(kind: ContentType, length: usize) -> [u8; HEADER_BYTES] {
    debug_assert!(length <= usize::from(u16::MAX), "records are shorter");
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [kind as u8, 3, 3, high, low]
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
fn expand_label(secret: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Result<(), Fault> {
    const PREFIX: &[u8] = b"tls13 ";
    let [_, length] = u16::try_from(out.len()).map_err(|_| Fault::Broken)?.to_be_bytes();
    let label_length = u8::try_from(PREFIX.len() + label.len()).map_err(|_| Fault::Broken)?;
    let info: [&[u8]; 4] = [&[0, length, label_length], PREFIX, label, &[0]];
    let okm = secret.expand(&info, Length(out.len())).map_err(|_| Fault::Broken)?;
    okm.fill(out).map_err(|_| Fault::Broken)
}
