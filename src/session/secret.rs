//! Session ids: a POST that reaches any shard names the connection of its commands by one.
//!
//! There are two forms: a long one, and one of 20 characters, which clients of Engine.IO 3 take for the id of a socket. An
//! id contains the connection's place and proves, by the process's [`Seed`], that this process issued it. It does
//! not prove that the connection still exists.

use crate::base::seed::{Purpose, Seed};
use crate::base::slots::Key;
use crate::hub::socket_place::{ID_LENGTH, open_session, seal_session};

/// Signs session ids, and verifies them.
#[derive(Clone, Debug)]
pub struct Secret(Seed);

impl Secret {
    /// Makes a signer from this seed.
    pub const fn new(seed: Seed) -> Self {
        Self(seed)
    }

    /// The session id of a connection: its place, and 128 bits that prove it.
    pub fn session(&self, shard: u16, conn: Key) -> String {
        let token = conn.to_token();
        let proof = self.0.hash_128(Purpose::Session, &[&shard.to_le_bytes(), &token.to_le_bytes()]);
        format!("{shard:04x}{token:016x}{proof:032x}")
    }

    /// The session id of a connection in 20 characters. Each guess of its proof is a request.
    pub(super) fn short_session(&self, shard: u16, conn: Key) -> [u8; ID_LENGTH] {
        seal_session(self.0, shard, conn.to_token())
    }

    /// The place of a session id; `None` for one that this process never issued.
    pub fn place(&self, session: &str) -> Option<(u16, Key)> {
        if session.len() == ID_LENGTH {
            return open_session(self.0, session).map(|(shard, token)| (shard, Key::from_token(token)));
        }
        let shard = u16::from_str_radix(session.get(..4)?, 16).ok()?;
        let token = u64::from_str_radix(session.get(4..20)?, 16).ok()?;
        let conn = Key::from_token(token);
        // Not in constant time: a guess must match 128 bits during the life of one connection.
        (self.session(shard, conn) == session).then_some((shard, conn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_names_its_place_and_cannot_be_made_up() {
        let secret = Secret::new(Seed::from(1));
        let key = Key::from_token(7 << 32 | 9);
        let session = secret.session(3, key);
        assert_eq!((session.len(), secret.place(&session)), (52, Some((3, key))));
        let short = secret.short_session(3, key);
        let short = std::str::from_utf8(&short).unwrap();
        assert_eq!((short.len(), secret.place(short)), (20, Some((3, key))));
        assert_eq!(Secret::new(Seed::from(2)).place(short), None);
        let other = Key::from_token(7 << 32 | 10);
        let forged = format!("{}{}", &secret.session(3, other)[..20], &session[20..]);
        for wrong in [
            "",
            "0003",
            &session[..51],
            &forged,
            &Secret::new(Seed::from(2)).session(3, key),
            "éééééééééééééééééé",
        ] {
            assert_eq!(secret.place(wrong), None, "{wrong}");
        }
    }
}
