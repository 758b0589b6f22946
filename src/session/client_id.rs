//! The id of a connection, as clients, hooks and the server API know it.

use std::fmt;

use crate::base::seed::{Purpose, Seed};

/// The id of a connection, unique among processes for as long as it lives; printed in the form of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId {
    /// The process's random seed.
    pub seed: Seed,
    /// The connection's shard.
    pub shard: u16,
    /// The connection's token in its shard.
    pub token: u64,
}

impl fmt::Display for ClientId {
    /// Computes the id on demand: an idle connection need not store it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        /// Bytes that a hyphen of the UUID precedes (RFC 9562 §4).
        const GROUPS: [usize; 4] = [4, 6, 8, 10];
        let (shard, token) = (self.shard.to_le_bytes(), self.token.to_le_bytes());
        let hash = self.seed.hash_128(Purpose::Client, &[&shard, &token]);
        // RFC 9562 §5.8: version 8, "custom"; variant 10.
        let id = hash & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
        let (mut text, mut at) = ([b'-'; 36], 0);
        for (index, byte) in id.to_be_bytes().into_iter().enumerate() {
            at += usize::from(GROUPS.contains(&index));
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 0xf)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::client;

    #[test]
    fn a_client_id_looks_like_a_uuid() {
        let id = client(1).to_string();
        assert_eq!((id.len(), &id[14..15]), (36, "8"), "{id}");
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
        let bits = u128::from_str_radix(&id.replace('-', ""), 16).unwrap();
        let [shard, token] = [&0u16.to_le_bytes()[..], &1u64.to_le_bytes()];
        let hash = Seed::from(7).hash_128(Purpose::Client, &[shard, token]);
        assert_eq!((bits ^ hash) & !(0xf << 76) & !(0x3 << 62), 0, "{id}");
        assert_ne!(id, client(2).to_string());
    }
}
