//! The public ids of sockets.

use std::fmt;

use crate::base::seed::Seed;
use crate::hub::socket_place::{ID_LENGTH, SocketPlace};
use crate::session::ClientId;

/// The id of a socket, `socket.id` at its client. It differs from all others of the process. Events for the room of this
/// name reach the socket, as at the reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId([u8; ID_LENGTH]);

impl SocketId {
    /// The id of the socket with this number in its connection.
    pub(in crate::session) fn new(client: ClientId, number: u8) -> Self {
        let ClientId { seed, shard, token } = client;
        Self(SocketPlace { shard, conn: token, number }.seal(seed))
    }

    /// The id that names this place.
    pub(in crate::session) fn of(place: SocketPlace, seed: Seed) -> Self {
        Self(place.seal(seed))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // All its bytes are digits of base64.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slots::Key;
    use crate::hub::socket_place::ROOT_OF_SESSION;
    use crate::session::Secret;
    use crate::session::tests::client;

    #[test]
    fn the_root_of_an_old_client_has_the_id_of_its_session() {
        let (client, secret) = (client(9), Secret::new(client(9).seed));
        let id = SocketId::new(client, ROOT_OF_SESSION);
        assert_eq!(secret.place(id.as_str()), Some((client.shard, Key::from_token(9))));
        let place = SocketPlace::open(client.seed, id.as_str());
        assert_eq!(place, Some(SocketPlace { shard: client.shard, conn: 9, number: ROOT_OF_SESSION }));
        // Ids of other sockets are public, and open no session.
        assert_eq!(secret.place(SocketId::new(client, 0).as_str()), None);
    }
}
