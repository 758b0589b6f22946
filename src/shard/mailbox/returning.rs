//! Letters about sockets whose clients return to them.

use std::sync::Arc;

use crate::hub::away::{Away, Back, Return};
use crate::hub::socket_place::SocketPlace;

/// A letter about a socket whose client may return.
#[derive(Debug)]
pub enum Returning {
    /// To the home of its namespace: its connection has ended.
    Parked(Box<Away>),
    /// To that home: its client asks for it, at another connection; answered by [`Returning::Answered`].
    Asked(Box<Return>),
    /// From that home: whether or not the client gets its socket back.
    Answered {
        /// As it was asked.
        asked: Box<Return>,
        /// The socket; without it, the client becomes a new one.
        back: Option<Box<Back>>,
    },
    /// From that home, to the shard that may still have it: its client asks for it elsewhere. Its connection ends, which
    /// is reported by [`Returning::Parked`]; [`Returning::NotHeld`] follows in any case.
    Wanted(Box<Socket>),
    /// To that home: the socket has no connection here.
    NotHeld(Box<Socket>),
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    /// The channel of its namespace.
    pub(crate) group: Arc<str>,
    /// Its first place.
    pub(crate) place: SocketPlace,
}
