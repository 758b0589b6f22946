//! The limit of a handler's output in one call, the same for all endpoints of handlers.

use super::{CloseReason, Context};

/// Limit of a handler's output in one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound(State);

#[derive(Clone, Copy, Debug)]
enum State {
    /// None: it answers a message, and while the answers to a client wait, no more is read from it.
    Answer,
    /// The limit of queued bytes. `from` is the start of its output in the bytes to write.
    Unasked { from: usize },
    /// Exceeded: the rest of its output is dropped, and the connection ends.
    Exceeded,
}

impl Bound {
    /// The bound of answers to a message.
    pub(super) fn answer() -> Self {
        Self(State::Answer)
    }

    /// The bound of output that no message asks for, so that no pause in reading from the client bounds it.
    pub(super) fn unasked(cx: &Context<'_>) -> Self {
        Self(State::Unasked { from: cx.out.len() })
    }

    /// Whether the connection continues after the output.
    pub(super) fn outcome(self) -> Result<(), CloseReason> {
        match self.0 {
            State::Answer | State::Unasked { .. } => Ok(()),
            State::Exceeded => Err(CloseReason::Slow),
        }
    }

    /// Whether a message of this length may be sent behind the first `before` bytes to write. One message always fits,
    /// as in an outbox.
    #[inline]
    pub(super) fn takes(&mut self, before: usize, length: usize, cx: &Context<'_>) -> bool {
        match self.0 {
            State::Answer => true,
            State::Exceeded => false,
            State::Unasked { from } => {
                let waiting = cx.waiting_bytes + before - from;
                let fits = waiting == 0 || waiting + length <= cx.settings.outbox_bytes_max;
                if !fits {
                    self.0 = State::Exceeded;
                }
                fits
            }
        }
    }
}
