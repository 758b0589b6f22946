//! Events that a client is to answer.

/// The events of one socket that wait for the client's answer. Without any it owns nothing.
#[derive(Debug, Default)]
pub(super) struct Acks {
    #[expect(clippy::box_collection, reason = "nearly all sockets wait for nothing")]
    waiting: Option<Box<Vec<Waiting>>>,
    /// Id of the last event. Ids may return after 2^32 events; the oldest one has been answered or forgotten by then.
    last_id: u32,
}

/// An event that waits for its answer.
#[derive(Debug)]
struct Waiting {
    id: u32,
    asker: Asker,
    /// The end of its time, in milliseconds of the shard's clock; `u64::MAX` for none.
    until_ms: u64,
}

impl Waiting {
    /// Whether it is an event of this id to this socket's client.
    fn is_of(&self, id: u64) -> bool {
        u64::from(self.id) == id && !matches!(self.asker, Asker::Many(_))
    }
}

/// The asker of a question to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The application, by its name for the event.
    App(u64),
    /// An order to several sockets, by the shard's number of the question.
    Order(u32),
    /// The application, which waits for the answers of several sockets to an event with this name.
    Many(u64),
}

impl Acks {
    /// No events, after that with this id.
    pub(super) fn after(last_id: u32) -> Self {
        Self { waiting: None, last_id }
    }

    /// Id of the last event.
    pub(super) fn last_id(&self) -> u32 {
        self.last_id
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_none()
    }

    /// The id of the next event. It becomes used by [`Acks::wait`].
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.wrapping_add(1).into()
    }

    /// Waits for the answer to the event of that id, until a time if there is one.
    pub(super) fn wait(&mut self, token: u64, until_ms: Option<u64>) {
        self.put(Asker::App(token), until_ms.unwrap_or(u64::MAX));
    }

    /// Waits for an order to several sockets.
    pub(super) fn wait_for_order(&mut self, question: u32, until_ms: u64) {
        self.put(Asker::Order(question), until_ms);
    }

    /// Waits for the answers of several sockets, whose shards see to the time. Returns a number that is not 0, and within
    /// these bits.
    pub(super) fn wait_for_many(&mut self, token: u64, bits: u32) -> u32 {
        if self.last_id.wrapping_add(1) & bits == 0 {
            self.last_id = self.last_id.wrapping_add(1);
        }
        self.put(Asker::Many(token), u64::MAX);
        self.last_id & bits
    }

    fn put(&mut self, asker: Asker, until_ms: u64) {
        self.last_id = self.last_id.wrapping_add(1);
        self.waiting.get_or_insert_default().push(Waiting { id: self.last_id, asker, until_ms });
    }

    /// Whether the answer of this socket's client to the event of this id is awaited.
    pub(super) fn is_awaited(&self, id: u64) -> bool {
        let is_it = |waiting: &Waiting| waiting.is_of(id);
        self.waiting.as_deref().is_some_and(|all| all.iter().any(is_it))
    }

    /// Ends the wait for the answer of this socket's client to the event of this id.
    pub(super) fn answered(&mut self, id: u64) -> Option<Asker> {
        self.take(|waiting| waiting.is_of(id))
    }

    /// Ends the wait for the answers of several sockets, by the number of [`Acks::wait_for_many`]; returns the token.
    pub(super) fn gathered(&mut self, number: u32) -> Option<u64> {
        let is_it = |waiting: &Waiting| {
            matches!(waiting.asker, Asker::Many(_)) && (waiting.id ^ number).trailing_zeros() >= 24
        };
        match self.take(is_it)? {
            Asker::Many(token) => Some(token),
            Asker::App(_) | Asker::Order(_) => None,
        }
    }

    /// Ends the wait for an event whose time is over.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Asker> {
        self.take(|waiting| waiting.until_ms <= now_ms)
    }

    /// Ends the wait for an event of an order, of a socket that ends; returns the shard's number of the question.
    pub(super) fn take_order(&mut self) -> Option<u32> {
        match self.take(|waiting| matches!(waiting.asker, Asker::Order(_)))? {
            Asker::Order(question) => Some(question),
            Asker::App(_) | Asker::Many(_) => None,
        }
    }

    /// Ends the time for the answers of several sockets, which come to a connection that has ended.
    pub(super) fn give_up_many(&mut self) {
        for waiting in self.waiting.iter_mut().flat_map(|all| all.iter_mut()) {
            if matches!(waiting.asker, Asker::Many(_)) {
                waiting.until_ms = 0;
            }
        }
    }

    /// The end of the shortest time.
    pub(super) fn due_ms(&self) -> u64 {
        let times = self.waiting.iter().flat_map(|all| all.iter()).map(|waiting| waiting.until_ms);
        times.min().unwrap_or(u64::MAX)
    }

    /// Bytes that it holds beside its own size.
    pub(super) fn held_bytes(&self) -> usize {
        let of = |all: &Vec<Waiting>| size_of::<Vec<Waiting>>() + all.capacity() * size_of::<Waiting>();
        self.waiting.as_deref().map_or(0, of)
    }

    fn take(&mut self, is_it: impl Fn(&Waiting) -> bool) -> Option<Asker> {
        let all = self.waiting.as_deref_mut()?;
        let asker = all.remove(all.iter().position(is_it)?).asker;
        if all.is_empty() {
            self.waiting = None;
        }
        Some(asker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_one_wait_and_the_last_one_frees_all() {
        let mut acks = Acks::default();
        assert_eq!((acks.held_bytes(), acks.due_ms(), acks.answered(1)), (0, u64::MAX, None));
        for (token, until_ms) in [(70, Some(9)), (80, None), (90, Some(5))] {
            acks.wait(token, until_ms);
        }
        assert_eq!((acks.next_id(), acks.due_ms()), (4, 5));
        let app = |token| Some(Asker::App(token));
        assert_eq!((acks.take_due(4), acks.take_due(5), acks.take_due(5)), (None, app(90), None));
        assert_eq!((acks.answered(2), acks.answered(2)), (app(80), None));
        assert_eq!((acks.answered(3), acks.due_ms()), (None, 9));
        assert!(acks.held_bytes() > 0);
        assert_eq!((acks.answered(1), acks.held_bytes()), (app(70), 0));
    }

    #[test]
    fn answers_of_several_sockets_and_of_a_client_are_told_apart() {
        let mut acks = Acks { last_id: 0xff_fffd, ..Acks::default() };
        acks.wait(1, None);
        acks.wait_for_order(7, 100);
        // Its number is within 24 bits and not 0, which means no request.
        let number = acks.wait_for_many(2, 0xff_ffff);
        assert_eq!((number, acks.last_id, acks.due_ms()), (1, 0x100_0001, 100));
        assert_eq!((acks.answered(0x100_0001), acks.gathered(2)), (None, None), "a client cannot answer it");
        assert_eq!((acks.gathered(1), acks.gathered(1)), (Some(2), None));
        assert_eq!((acks.take_order(), acks.take_order()), (Some(7), None));
        assert_eq!(acks.answered(0xff_fffe), Some(Asker::App(1)));
        assert_eq!(acks.held_bytes(), 0);
    }
}
