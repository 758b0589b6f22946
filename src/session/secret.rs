//! Session ids: how a POST that may reach any shard names the connection that its commands are for.
//!
//! An id tells the connection's place and proves, by the process's [`Seed`], that its sender was told it. That
//! the connection still lives it does not say.

use crate::base::seed::{Purpose, Seed};
use crate::base::slots::Key;

/// Signs session ids, and knows those that it signed.
#[derive(Clone, Debug)]
pub struct Secret(Seed);

impl Secret {
    /// Ids that follow from this seed.
    pub const fn new(seed: Seed) -> Self {
        Self(seed)
    }

    /// The session id of a connection: its place, and 128 bits that prove it.
    pub fn session(&self, shard: u16, conn: Key) -> String {
        let token = conn.to_token();
        let proof = self.0.hash_128(Purpose::Session, &[&shard.to_le_bytes(), &token.to_le_bytes()]);
        format!("{shard:04x}{token:016x}{proof:032x}")
    }

    /// The place that a session id names; `None` for what this process never gave out.
    pub fn place(&self, session: &str) -> Option<(u16, Key)> {
        let shard = u16::from_str_radix(session.get(..4)?, 16).ok()?;
        let token = u64::from_str_radix(session.get(4..20)?, 16).ok()?;
        let conn = Key::from_token(token);
        // Not in constant time: a guess would have to be right in 128 bits of a connection's life.
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
