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
    /// The application's name for it.
    token: u64,
    /// The end of its time, in milliseconds of the shard's clock; `u64::MAX` for none.
    until_ms: u64,
}

impl Acks {
    /// The id of the next event. It becomes used by [`Acks::wait`].
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.wrapping_add(1).into()
    }

    /// Waits for the answer to the event of that id, until a time if there is one.
    pub(super) fn wait(&mut self, token: u64, until_ms: Option<u64>) {
        self.last_id = self.last_id.wrapping_add(1);
        let waiting = Waiting { id: self.last_id, token, until_ms: until_ms.unwrap_or(u64::MAX) };
        self.waiting.get_or_insert_default().push(waiting);
    }

    /// Ends the wait for the answer to the event of this id; returns the event's token.
    pub(super) fn answered(&mut self, id: u64) -> Option<u64> {
        self.take(|waiting| u64::from(waiting.id) == id)
    }

    /// Ends the wait for an event whose time is over.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<u64> {
        self.take(|waiting| waiting.until_ms <= now_ms)
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

    fn take(&mut self, is_it: impl Fn(&Waiting) -> bool) -> Option<u64> {
        let all = self.waiting.as_deref_mut()?;
        let token = all.remove(all.iter().position(is_it)?).token;
        if all.is_empty() {
            self.waiting = None;
        }
        Some(token)
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
        assert_eq!((acks.take_due(4), acks.take_due(5), acks.take_due(5)), (None, Some(90), None));
        assert_eq!((acks.answered(2), acks.answered(2)), (Some(80), None));
        assert_eq!((acks.answered(3), acks.due_ms()), (None, 9));
        assert!(acks.held_bytes() > 0);
        assert_eq!((acks.answered(1), acks.held_bytes()), (Some(70), 0));
    }
}
