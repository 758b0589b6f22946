//! The last output of a session, by the reason for which it ends.

use super::{CloseReason, Session};
use crate::proto::ws;

/// Close codes for raw clients of a draining or overloaded server (IANA's registry of WebSocket close codes).
const SERVICE_RESTART: u16 = 1012;
const TRY_AGAIN_LATER: u16 = 1013;

impl<S> Session<S> {
    /// Writes the last output of a session that ends for this reason. A client that is disconnected without a fault
    /// of its own is told to reconnect after `retry_ms`, where the protocol permits that.
    pub fn goodbye(&self, reason: &CloseReason, retry_ms: u64, out: &mut Vec<u8>) {
        let Some((code, text)) = reason.frame() else { return };
        // The registered codes; 3001 and 3011 belong to the Centrifuge protocol.
        let registered = if *reason == CloseReason::Shutdown {
            Some((SERVICE_RESTART, "service restart"))
        } else if *reason == CloseReason::Memory {
            Some((TRY_AGAIN_LATER, "try again later"))
        } else {
            None
        };
        match (self, registered) {
            (Self::SocketIo(_) | Self::Engine(_), _) if self.is_polled() => self.end_poll(reason, out),
            (Self::Raw(_) | Self::SocketIo(_) | Self::Engine(_) | Self::Probe(_), Some((code, text))) => {
                ws::put_close(out, Some(code), &format!("{text}; retry after {retry_ms} ms"));
            }
            (Self::Raw(_) | Self::SocketIo(_) | Self::Engine(_) | Self::Probe(_), None) => {
                ws::put_close(out, code, text)
            }
            (Self::Centrifuge(centrifuge), _) => {
                centrifuge.goodbye(code, text, registered.map(|_| retry_ms), out);
            }
            (Self::Head(_) | Self::Away(_) | Self::Ended, _) => {}
        }
    }
}
