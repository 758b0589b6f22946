//! Look-ups of sockets and their parts, and the bytes that they hold.

use super::*;
use crate::session::socketio::admin::{Admin, Visit};

impl<S> Sockets<S> {
    /// Bytes of a message or a packet that is not complete, of events and CONNECT packets that wait for answers, of events
    /// that are kept for recovery, of input that waits, and of what an admin page knows.
    pub(in crate::session::socketio) fn held_bytes(&self) -> usize {
        let of = |entry: &Entry<S>| entry.acks.held_bytes() + entry.track.held_bytes();
        let pending: usize = self.pending().iter().map(Pending::held_bytes).sum();
        let logic = self.list.iter().filter_map(|entry| entry.logic.as_ref());
        let logic: usize = logic.map(|logic| logic.held_bytes()).sum();
        let rest = self.rest.as_ref().map_or(0, |rest| rest.held_bytes());
        let admin = self.page().map_or(0, Admin::held_bytes);
        self.decoder.held_bytes()
            + self.assembler.held_bytes()
            + self.list.iter().map(of).sum::<usize>()
            + pending
            + logic
            + rest
            + admin
    }

    /// The number of events that wait for their turn, or for an answer about them.
    pub(in crate::session::socketio) fn held_events(&self) -> usize {
        self.list.iter().filter_map(|entry| entry.logic.as_ref()).map(|logic| logic.event_count()).sum()
    }

    /// The place of the socket with this number.
    pub(in crate::session::socketio) fn place_of_number(&self, number: u32) -> Option<usize> {
        self.list.iter().position(|entry| u32::from(entry.number) == number)
    }

    /// The events of a socket that wait for answers.
    pub(in crate::session::socketio) fn acks_of(&mut self, at: usize) -> &mut Acks {
        &mut self.list[at].acks
    }

    /// The parts of the socket at a place that one method of the application gets.
    pub(in crate::session::socketio) fn parts_of<'e, 'b>(
        &'e mut self,
        at: usize,
        bound: Bound,
        cx: &'e mut Context<'b>,
    ) -> (&'e mut S, Socket<'e, 'b>) {
        let outlet = self.engine.outlet();
        self.list[at].parts(outlet, bound, cx)
    }

    /// The application's part of the query of the request.
    pub(in crate::session::socketio) fn query(&self) -> &str {
        self.opening.as_deref().map_or("", |opening| &opening.query)
    }

    /// The identity of a socket's client, if it has one.
    pub(in crate::session::socketio) fn identity_of(&self, at: usize) -> Option<&Identity> {
        self.list[at].about.as_deref()?.identity.as_deref()
    }

    /// The time at which the connection was opened, in milliseconds of the shard's clock, exact to a second.
    pub(in crate::session::socketio) fn opened_ms(&self) -> u64 {
        u64::from(self.opened_s) * 1000
    }

    /// The socket of an admin page, if the connection has one.
    pub(in crate::session::socketio) fn page(&self) -> Option<&Admin> {
        self.waiting.as_ref()?.visit.as_ref()?.page.as_ref()
    }

    /// The same, to change it.
    pub(in crate::session::socketio) fn page_mut(&mut self) -> Option<&mut Admin> {
        self.waiting.as_mut()?.visit.as_mut()?.page.as_mut()
    }

    /// The connection's part in the namespace of the admin page.
    pub(in crate::session::socketio) fn visit(&mut self) -> &mut Visit {
        self.waiting.get_or_insert_default().visit.get_or_insert_default()
    }
}

impl<S> Stored<S> {
    /// Visits the namespaces in which it has sockets that their clients know.
    pub(in crate::session::socketio) fn each_namespace(&self, mut visit: impl FnMut(&str)) {
        let known = self.views().filter(|view| view.is_told);
        known.for_each(|view| visit(About::name(view.about)));
        if self.whole().is_some_and(|sockets| sockets.page().is_some()) {
            visit(admin::NAMESPACE);
        }
    }
}
