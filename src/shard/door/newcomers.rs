//! Reasons to refuse new connections, whatever they request.

use super::Door;
use crate::proto::http::Refusal;
use crate::session::CloseReason;
use crate::shard::World;
use crate::shard::carry::close::{DRAINING, UNAVAILABLE};

impl<W: World> Door<W> {
    /// The refusal of every request during a drain, or while the server is full.
    pub(in crate::shard) fn refusal(&self) -> Option<Refusal> {
        let full = || self.admission.is_full(0).then_some(UNAVAILABLE);
        self.drain.is_some().then_some(DRAINING).or_else(full)
    }

    /// Whether and how a connection whose TLS has not begun is refused: an answer would need a key exchange, for
    /// which there is no room.
    pub(in crate::shard) fn turns_away(&mut self) -> Option<CloseReason> {
        match self.refusal() {
            Some(refusal) => Some(CloseReason::Refused(refusal)),
            None => (!self.admits_handshake()).then_some(CloseReason::Crowded),
        }
    }
}
