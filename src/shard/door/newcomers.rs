//! What newcomers are turned away for, whatever they would ask.

use super::Door;
use crate::proto::http::Refusal;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::close::{DRAINING, UNAVAILABLE};

impl<W: World> Door<W> {
    /// What every request would be answered, whatever it asks for: that the server drains, or that it is full.
    pub(in crate::shard) fn refusal(&self) -> Option<Refusal> {
        let full = || self.admission.is_full(0).then_some(UNAVAILABLE);
        self.drain.is_some().then_some(DRAINING).or_else(full)
    }

    /// Whether a newcomer whose TLS has not begun is turned away, and how: to say so would cost the key exchange that there is
    /// no room for.
    pub(in crate::shard) fn turns_away(&mut self) -> Option<CloseReason> {
        match self.refusal() {
            Some(refusal) => Some(CloseReason::Refused(refusal)),
            None => (!self.admits_handshake()).then_some(CloseReason::Crowded),
        }
    }
}
