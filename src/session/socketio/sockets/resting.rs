//! The small form of a connection that rests: one socket, of which both sides know, and nothing that waits.
//!
//! Most connections of a large server are that, at most times. A call that may change something takes the whole form
//! ([`Stored::wake`]). The connection returns to its small one ([`Stored::rest`]) after its beginning, after an answer of a
//! home, and with each heartbeat, but not after each event: between heartbeats a busy one stays whole.

use super::*;

/// The sockets of one connection, in the form that they need.
#[derive(Debug)]
pub(in crate::session) enum Stored<S> {
    /// Any connection.
    Whole(Box<Sockets<S>>),
    /// The socket of an anonymous client in the root, without recovery.
    Plain(Brief, Box<Resting<S, ()>>),
    /// Another socket.
    Known(Brief, Box<Resting<S, Knowledge>>),
    /// Nothing: only while it passes from one form to another.
    Between,
}

/// The part of a connection that rests which is not in its box.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Brief {
    outlet: Outlet,
    number: u8,
    next_number: u8,
}

/// A connection that rests.
#[derive(Debug)]
pub(in crate::session) struct Resting<S, K> {
    /// As [`Engine::due_ms`].
    due_ms: u64,
    rare: Option<Box<Rare>>,
    last_ack: u32,
    opened_s: u32,
    known: K,
    state: S,
}

/// The knowledge about a socket and its client.
#[derive(Debug)]
pub(in crate::session) struct Knowledge {
    about: Option<Box<About>>,
    /// As in [`Track`].
    proved: u32,
    last_question: u32,
}

/// The properties of a connection that most do not have.
#[derive(Debug)]
struct Rare {
    opening: Option<Box<EngineOpening>>,
    /// The first place of a socket that has returned.
    origin: Option<SocketPlace>,
}

/// A socket, for those who look for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) about: Option<&'a About>,
    number: u8,
    /// Whether the client was told that it is connected.
    pub(super) is_told: bool,
    origin: Option<SocketPlace>,
}

impl<'a> View<'a> {
    pub(super) fn identity(self) -> Option<&'a Identity> {
        self.about?.identity.as_deref()
    }

    /// The place that the socket's id names.
    pub(super) fn place(self, client: ClientId) -> SocketPlace {
        let own = SocketPlace { shard: client.shard, conn: client.token, number: self.number };
        self.origin.unwrap_or(own)
    }
}

impl<S> Stored<S> {
    pub(in crate::session::socketio) fn new(opening: Handshake, cx: &Context<'_>) -> Self {
        Self::Whole(Box::new(Sockets::new(opening, cx)))
    }

    /// The whole form, if it has that. A connection that rests waits for nothing.
    pub(in crate::session::socketio) fn whole(&self) -> Option<&Sockets<S>> {
        match self {
            Self::Whole(sockets) => Some(sockets),
            Self::Plain(..) | Self::Known(..) | Self::Between => None,
        }
    }

    /// The decoder of a WebSocket that may have read a part of a message.
    pub(in crate::session) fn decoder(&self) -> Option<&Decoder> {
        Some(&self.whole()?.decoder)
    }

    /// As [`Stored::decoder`].
    pub(in crate::session) fn decoder_mut(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::Whole(sockets) => Some(&mut sockets.decoder),
            Self::Plain(..) | Self::Known(..) | Self::Between => None,
        }
    }

    /// The whole form, which it has from now on.
    #[inline]
    pub(in crate::session) fn wake(&mut self) -> &mut Sockets<S> {
        if !matches!(self, Self::Whole(_)) {
            self.unfold();
        }
        match self {
            Self::Whole(sockets) => sockets,
            Self::Plain(..) | Self::Known(..) | Self::Between => unreachable!("it was unfolded"),
        }
    }

    /// Calls a function with the whole form, and returns to the small one if it can.
    #[inline]
    pub(in crate::session) fn awake<T>(&mut self, call: impl FnOnce(&mut Sockets<S>) -> T) -> T {
        let outcome = call(self.wake());
        self.rest();
        outcome
    }

    /// The whole form, to be ended.
    pub(in crate::session::socketio) fn into_whole(mut self) -> Option<Box<Sockets<S>>> {
        self.unfold();
        match self {
            Self::Whole(sockets) => Some(sockets),
            Self::Plain(..) | Self::Known(..) | Self::Between => None,
        }
    }

    fn unfold(&mut self) {
        let whole = match std::mem::replace(self, Self::Between) {
            Self::Whole(sockets) => sockets,
            Self::Plain(brief, resting) => {
                let Resting { due_ms, rare, last_ack, opened_s, known: (), state } = *resting;
                let known = Knowledge { about: None, proved: 0, last_question: 0 };
                Box::new(Sockets::of_rest(brief, Resting { due_ms, rare, last_ack, opened_s, known, state }))
            }
            Self::Known(brief, resting) => Box::new(Sockets::of_rest(brief, *resting)),
            Self::Between => return,
        };
        *self = Self::Whole(whole);
    }

    /// Returns to the small form if nothing waits.
    #[inline]
    pub(in crate::session::socketio) fn rest(&mut self) {
        if self.whole().is_some_and(Sockets::can_rest) {
            self.fold();
        }
    }

    fn fold(&mut self) {
        *self = match std::mem::replace(self, Self::Between) {
            Self::Whole(sockets) => sockets.into_rest(),
            other @ (Self::Plain(..) | Self::Known(..) | Self::Between) => other,
        };
    }

    /// How packets leave.
    #[inline]
    pub(in crate::session::socketio) fn outlet(&self) -> Outlet {
        match self {
            Self::Whole(sockets) => sockets.engine.outlet(),
            Self::Plain(brief, _) | Self::Known(brief, _) => brief.outlet,
            Self::Between => unreachable!("no call finds it between two forms"),
        }
    }

    pub(in crate::session::socketio) fn deadline_ms(&self) -> u64 {
        match self {
            Self::Whole(sockets) => sockets.deadline_ms(),
            Self::Plain(_, resting) => resting.due_ms,
            Self::Known(_, resting) => resting.due_ms,
            Self::Between => u64::MAX,
        }
    }

    /// Its sockets.
    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let (list, resting) = match self {
            Self::Whole(sockets) => (&sockets.list[..], None),
            Self::Plain(brief, resting) => (&[][..], Some((brief, &resting.rare, None))),
            Self::Known(brief, resting) => {
                (&[][..], Some((brief, &resting.rare, resting.known.about.as_deref())))
            }
            Self::Between => (&[][..], None),
        };
        let resting = resting.map(|(brief, rare, about)| {
            let origin = rare.as_ref().and_then(|rare| rare.origin);
            View { about, number: brief.number, is_told: true, origin }
        });
        list.iter().map(Entry::view).chain(resting)
    }

    /// The kept part of the request.
    pub(super) fn opening(&self) -> Option<&EngineOpening> {
        let rare = match self {
            Self::Whole(sockets) => return sockets.opening.as_deref(),
            Self::Plain(_, resting) => &resting.rare,
            Self::Known(_, resting) => &resting.rare,
            Self::Between => return None,
        };
        rare.as_ref()?.opening.as_deref()
    }
}

impl<S> Entry<S> {
    fn view(&self) -> View<'_> {
        View {
            about: self.about.as_deref(),
            number: self.number,
            is_told: self.stage != Stage::Entering,
            origin: self.track.origin(),
        }
    }

    /// Whether nothing of it waits, and nobody is to be told of it.
    fn can_rest(&self) -> bool {
        self.stage == Stage::Greeted && self.logic.is_none() && self.acks.is_idle() && self.track.is_idle()
    }
}

impl<S> Sockets<S> {
    /// Whether the small form has all of it.
    fn can_rest(&self) -> bool {
        let [entry] = &self.list[..] else { return false };
        self.engine.is_idle()
            && entry.can_rest()
            && self.decoder.held_bytes() == 0
            && self.assembler.held_bytes() == 0
            && self.waiting.is_none()
            && self.rest.is_none()
            && self.pings_unanswered == 0
    }

    fn into_rest(mut self: Box<Self>) -> Stored<S> {
        let Some(entry) = self.list.pop() else { return Stored::Whole(self) };
        let Entry { state, about, acks, logic: _, number, stage: _, track } = entry;
        let Self { engine, opening, opened_s, next_number, last_question, .. } = *self;
        let (proved, origin) = track.into_idle();
        let rare = (opening.is_some() || origin.is_some()).then(|| Box::new(Rare { opening, origin }));
        let (due_ms, last_ack) = (engine.due_ms(), acks.last_id());
        let brief = Brief { outlet: engine.outlet(), number, next_number };
        if about.is_none() && proved == 0 && last_question == 0 {
            let resting = Resting { due_ms, rare, last_ack, opened_s, known: (), state };
            return Stored::Plain(brief, Box::new(resting));
        }
        let known = Knowledge { about, proved, last_question };
        Stored::Known(brief, Box::new(Resting { due_ms, rare, last_ack, opened_s, known, state }))
    }

    fn of_rest(brief: Brief, resting: Resting<S, Knowledge>) -> Self {
        let Brief { outlet, number, next_number } = brief;
        let Resting { due_ms, rare, last_ack, opened_s, known, state } = resting;
        let Knowledge { about, proved, last_question } = known;
        let (opening, origin) = rare.map_or((None, None), |rare| (rare.opening, rare.origin));
        let track = Track::idle(proved, origin);
        let acks = Acks::after(last_ack);
        let entry = Entry { state, about, acks, logic: None, number, stage: Stage::Greeted, track };
        Self {
            list: [entry].into_iter().collect(),
            opened_s,
            next_number,
            last_question,
            connect_by_ms: u64::MAX,
            ..Self::of(Engine::idle(outlet, due_ms), opening)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_rests_is_small() {
        assert_eq!(size_of::<Stored<()>>(), 16);
        assert_eq!(size_of::<Resting<(), ()>>(), 24, "a block of 32 bytes");
        assert_eq!(size_of::<Resting<(), Knowledge>>(), 40, "a block of 48 bytes");
    }
}
