//! Sockets that outlive their connection, as a shard sees them in any session.

use super::{ClientId, CloseReason, Context, Handler, Session};
use crate::hub::away::{Back, Return};
use crate::hub::socket_place::SocketPlace;

impl<S> Session<S> {
    /// Whether the session waits for the socket of an earlier connection.
    pub(crate) fn awaits_return(&self, asked: &Return) -> bool {
        matches!(self, Self::SocketIo(session) if session.awaits_return(asked))
    }

    /// Takes the home's answer to a client that asked for the socket of an earlier connection.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub(crate) fn returned<H: Handler<State = S>>(
        &mut self,
        asked: &Return,
        back: Option<Back>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason>
    where
        S: Send + 'static,
    {
        match self {
            Self::SocketIo(session) => session.returned(asked, back, handler, cx),
            Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => Ok(()),
        }
    }

    /// The first place of the session's socket in the namespace of this channel.
    pub(crate) fn place_in(&self, group: &str, client: ClientId) -> Option<SocketPlace> {
        match self {
            Self::SocketIo(session) => session.place_in(group, client),
            Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => None,
        }
    }
}
