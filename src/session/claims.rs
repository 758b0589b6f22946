//! The identities of several clients that share a connection: a shard's view of them, for any session.
//!
//! A client claims an identity by [`crate::hub::words::Ask::Claim`]; the shard finds who it is, stores that here, and
//! then admits or refuses it. Only sessions with sockets have such clients; the others do nothing.

use std::any::Any;
use std::sync::Arc;

use super::centrifuge::code_of;
use super::socketio::Session as SocketIo;
use super::{Admission, ClientId, CloseReason, Context, Expired, Handler, Identity, Session, SocketRefusal};
use crate::hub::words::{Denied, Dismissed};
use crate::proto::centrifuge::codes::Disconnect;

impl<S> Session<S> {
    fn sockets(&self) -> Option<&SocketIo<S>> {
        match self {
            Self::SocketIo(session) => Some(session),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Ended => None,
        }
    }

    fn sockets_mut(&mut self) -> Option<&mut SocketIo<S>> {
        match self {
            Self::SocketIo(session) => Some(session),
            Self::Head(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Ended => None,
        }
    }

    /// Whether several clients share the connection, each with an identity of its own.
    pub(crate) fn is_shared(&self) -> bool {
        self.sockets().is_some()
    }

    /// The knowledge about the client with this question; `None` when it waits no longer.
    pub(crate) fn claimant(&mut self, id: u32) -> Option<&mut Admission> {
        self.sockets_mut()?.sockets.wake().claimant(id)
    }

    /// A kept header of the request that opened the session.
    pub(crate) fn kept_header(&self, name: &str) -> Option<&str> {
        self.sockets()?.sockets.kept_header(name)
    }

    /// Admits the client with this question, whose identity is stored: now the server's own code decides.
    ///
    /// # Errors
    /// The reason for which the connection ends.
    pub(crate) fn admit<H: Handler<State = S>>(
        &mut self,
        id: u32,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.sockets_mut()
            .map_or(Ok(()), |session| session.sockets.awake(|all| all.identified(id, handler, cx)))
    }

    /// Takes the late answer of the server's own code about the client with this question; `None`: there will be none.
    ///
    /// # Errors
    /// The reason for which the connection ends.
    pub(crate) fn answered_late(
        &mut self,
        id: u32,
        admit: Option<Box<dyn Any + Send>>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason>
    where
        S: 'static,
    {
        // An answer of another type is none.
        let admit = admit.and_then(|admit| admit.downcast().ok()).map(|admit| *admit);
        self.sockets_mut()
            .map_or(Ok(()), |session| session.sockets.awake(|all| all.answered_late(id, admit, cx)))
    }

    /// Refuses the client with this question.
    pub(crate) fn turn_away(&mut self, id: u32, refusal: &SocketRefusal<'_>, cx: &mut Context<'_>) {
        if let Some(session) = self.sockets_mut() {
            session.sockets.awake(|all| all.refused(id, refusal, cx));
        }
    }

    /// The Unix time of the earliest expiry of an identity, in seconds.
    #[inline]
    pub(crate) fn ends_at_s(&self) -> Option<u64> {
        self.sockets()?.sockets.ends_at_s()
    }

    /// The next client whose identity has expired at this Unix time in seconds. It counts as being renewed from now on.
    pub(crate) fn take_expired(&mut self, now_s: u64) -> Option<Expired> {
        self.sockets_mut()?.sockets.awake(|all| all.take_expired(now_s))
    }

    /// The identity that is being renewed; `None` if its client is gone, or was renewed otherwise.
    pub(crate) fn refreshing(&mut self, number: u8) -> Option<&mut Identity> {
        self.sockets_mut()?.sockets.wake().refreshing(number)
    }

    /// Whether a client of this user shares the connection.
    pub(crate) fn has_user(&self, user: &str) -> bool {
        self.sockets().is_some_and(|session| session.sockets.has_user(user))
    }

    /// Whether the connection has the socket of this id.
    pub(crate) fn has_socket_id(&self, client: ClientId, id: &str) -> bool {
        self.sockets().is_some_and(|session| session.sockets.has_socket_id(client, id))
    }

    /// The users of the clients that share the connection.
    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.sockets().into_iter().flat_map(|session| session.sockets.users())
    }

    /// The number of users for which homes count the connection.
    pub(crate) fn counted_user_count(&self) -> usize {
        self.sockets().map_or(0, |session| session.sockets.counted_user_count())
    }

    /// Ends the counting of the connection for its users; returns them, each once.
    pub(crate) fn release_users(&mut self) -> Vec<Arc<str>> {
        self.sockets_mut().map(|session| session.sockets.wake().release_users()).unwrap_or_default()
    }

    /// Changes the identities of a user.
    pub(crate) fn each_of_user(&mut self, user: &str, change: impl FnMut(&mut Identity)) {
        if let Some(session) = self.sockets_mut() {
            session.sockets.awake(|all| all.each_of_user(user, change));
        }
    }

    /// Disconnects the clients of a user, so that they do not come back by themselves. Returns whether none is left.
    pub(crate) fn disconnect_user<H: Handler<State = S>>(
        &mut self,
        user: &str,
        refusal: &SocketRefusal<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> bool {
        self.sockets_mut().is_some_and(|session| {
            session.sockets.awake(|all| all.disconnect_user(user, refusal, handler, cx))
        })
    }
}

impl<'a> SocketRefusal<'a> {
    /// The refusal by an error, with the application's data, if there are any.
    pub(crate) fn denied(denied: &'a Denied, data: &'a [u8]) -> Self {
        let (code, message) = code_of(denied);
        Self { code, message, data }
    }

    /// The refusal by a reason for which other connections are closed.
    pub(crate) fn dismissed(why: Dismissed) -> Self {
        let Disconnect { code, reason } = super::ending::code_of(why);
        Self { code: code.into(), message: reason, data: &[] }
    }

    /// The refusal by an order to disconnect; `None` where the client is to come back, so that its connection is closed.
    pub(crate) fn ordered(code: u16, reason: &'a str) -> Option<Self> {
        let comes_back = Disconnect { code, reason: "" }.reconnects();
        (!comes_back).then_some(Self { code: code.into(), message: reason, data: &[] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_of_the_other_protocol() {
        let custom = Denied::Custom { code: 1000, message: "no".into(), temporary: false };
        for (refusal, code, message) in [
            (SocketRefusal::denied(&Denied::TokenExpired, b""), 109, "token expired"),
            (SocketRefusal::denied(&custom, b"[1]"), 1000, "no"),
            (SocketRefusal::dismissed(Dismissed::InvalidToken), 3500, "invalid token"),
            (SocketRefusal::dismissed(Dismissed::BadRequest), 3501, "bad request"),
            (SocketRefusal::ordered(4500, "go").unwrap(), 4500, "go"),
        ] {
            assert_eq!((refusal.code, refusal.message), (code, message));
        }
        assert_eq!(SocketRefusal::ordered(4000, "come back"), None);
    }
}
