//! The users of a connection: their expiry, and orders about them.

use std::sync::Arc;

use super::resting::View;
use super::*;
use crate::session::socketio::identity::{Expired, SocketRefusal};

impl<S> Stored<S> {
    /// Whether a socket of this user, or of an anonymous one for an empty name, is connected or about to be.
    pub(in crate::session) fn has_user(&self, user: &str) -> bool {
        let mut pending = self.whole().into_iter().flat_map(Sockets::pending);
        self.users().any(|one| one == user)
            || !user.is_empty() && pending.any(|one| *one.admission.identity.user == *user)
    }

    /// Whether this is the id of a socket that is connected.
    pub(in crate::session) fn has_socket_id(&self, client: ClientId, id: &str) -> bool {
        self.views().any(|view| SocketId::of(view.place(client), client.seed).as_str() == id)
    }

    /// A kept header of the request.
    pub(in crate::session) fn kept_header(&self, name: &str) -> Option<&str> {
        let headers = self.opening().into_iter().flat_map(|opening| &opening.headers);
        headers.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The users of the sockets that are connected; empty for an anonymous one.
    pub(in crate::session) fn users(&self) -> impl Iterator<Item = &str> {
        self.views().map(|view| view.identity().map_or("", |identity| &identity.user))
    }

    /// The number of users for which homes count the connection.
    pub(in crate::session) fn counted_user_count(&self) -> usize {
        match self.whole() {
            Some(sockets) => sockets.counted_users().len(),
            None => self.views().filter(|view| view.identity().is_some_and(|one| one.is_counted)).count(),
        }
    }

    /// The Unix time of the earliest expiry, in seconds.
    pub(in crate::session) fn ends_at_s(&self) -> Option<u64> {
        let identities = self.views().filter_map(View::identity);
        let ending = identities.filter(|identity| identity.expire_at_s > 0 && !identity.is_refreshing);
        ending.map(|identity| identity.expire_at_s).min()
    }

    /// The first place of the socket in a namespace, if its client was told of it.
    pub(in crate::session::socketio) fn place_in(
        &self,
        namespace: &str,
        client: ClientId,
    ) -> Option<SocketPlace> {
        let view = self.views().find(|view| About::name(view.about) == namespace)?;
        view.is_told.then(|| view.place(client))
    }
}

impl<S> Sockets<S> {
    /// The users for which a home counts the connection, each once.
    fn counted_users(&self) -> Vec<&str> {
        let counted = self.identities().filter(|identity| identity.is_counted);
        let mut users: Vec<&str> = counted.map(|identity| &*identity.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Tells the shard that all users have one connection less.
    pub(super) fn release_all(&self, actions: &mut Vec<Action>) {
        let left = self.counted_users().into_iter().map(|user| Action::UserLeft { user: user.into() });
        actions.extend(left);
    }

    /// Ends the counting of the connection for its users; returns them, each once.
    pub(in crate::session) fn release_users(&mut self) -> Vec<Arc<str>> {
        let counted: Vec<_> = self.counted_users().into_iter().map(Arc::from).collect();
        let pending = self.waiting.iter_mut().flat_map(|waiting| &mut waiting.list);
        pending.for_each(|one| one.admission.identity.is_counted = false);
        self.identities_mut().for_each(|(_, identity)| identity.is_counted = false);
        counted
    }

    fn identities_mut(&mut self) -> impl Iterator<Item = (u8, &mut Identity)> {
        self.list.iter_mut().filter_map(|entry| {
            let number = entry.number;
            Some((number, entry.about.as_mut()?.identity.as_deref_mut()?))
        })
    }

    /// The next socket whose identity has expired at this Unix time in seconds, which counts as being renewed from now
    /// on.
    pub(in crate::session) fn take_expired(&mut self, now_s: u64) -> Option<Expired> {
        let is_over =
            |identity: &Identity| !identity.is_refreshing && (1..=now_s).contains(&identity.expire_at_s);
        let (number, identity) = self.identities_mut().find(|(_, identity)| is_over(identity))?;
        identity.is_refreshing = true;
        Some(Expired { number, user: identity.user.to_string() })
    }

    /// The identity that is being renewed; `None` if its socket has ended, or was renewed otherwise.
    pub(in crate::session) fn refreshing(&mut self, number: u8) -> Option<&mut Identity> {
        let mut identities = self.identities_mut();
        identities.find(|(of, one)| *of == number && one.is_refreshing).map(|(_, identity)| identity)
    }

    /// Changes the identities of this user.
    pub(in crate::session) fn each_of_user(&mut self, user: &str, mut change: impl FnMut(&mut Identity)) {
        let of_user = self.identities_mut().filter(|(_, identity)| *identity.user == *user);
        of_user.for_each(|(_, identity)| change(identity));
    }

    /// Disconnects the sockets of this user, so that the client does not come back by itself. Returns whether no socket
    /// is left.
    pub(in crate::session) fn disconnect_user<H: Handler<State = S>>(
        &mut self,
        user: &str,
        refusal: &SocketRefusal<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> bool {
        let of = |identity: Option<&Identity>| identity.map_or("", |identity| &identity.user) == user;
        while let Some(at) = self.list.iter().position(|entry| of(entry.identity())) {
            // A client that was not told that it is connected expects the answer to CONNECT.
            match self.list[at].stage {
                Stage::Entering => {
                    let namespace = self.list[at].namespace().to_owned();
                    self.refuse_by(&namespace, refusal, cx);
                }
                Stage::Connected | Stage::Returned | Stage::Greeted => self.put_disconnect(at, cx),
            }
            self.remove(at, Why::Disconnected, handler, cx);
        }
        self.refuse_pending_of(user, refusal, cx);
        self.list.is_empty() && self.pending().is_empty()
    }
}
