//! Carrying out effects: each is one of the methods of [`Socket`].

use super::{AckId, EmitError, Ending, Socket};
use crate::proto::socketio::effects::{Effect, EmitEffect};

impl Socket<'_, '_> {
    /// Carries out an effect. `acks` are the events that the effects are about, each until it is answered. Returns how the
    /// socket ends, if it does.
    ///
    /// # Errors
    /// When the effect cannot be carried out; then nothing of it is.
    pub(super) fn carry_out(
        &mut self,
        effect: &Effect<'_>,
        acks: &mut [Option<AckId>],
    ) -> Result<Option<Ending>, EmitError> {
        match effect {
            Effect::Emit(emit) => self.carry_out_emit(emit)?,
            Effect::Join(rooms) => rooms.iter().try_for_each(|room| self.join(room))?,
            Effect::Leave(rooms) => rooms.iter().for_each(|room| self.leave(room)),
            Effect::Ack { event, content } => {
                if let Some(ack) = acks.get_mut(*event).and_then(Option::take) {
                    self.ack_raw(ack, content.args, content.attachments.get())?;
                }
            }
            Effect::Disconnect { closes: false } => return Ok(Some(Ending::Disconnect)),
            Effect::Disconnect { closes: true } => return Ok(Some(Ending::DisconnectAll)),
        }
        Ok(None)
    }

    fn carry_out_emit(&mut self, emit: &EmitEffect<'_>) -> Result<(), EmitError> {
        let EmitEffect { event, content, to, except, is_to_others, is_volatile } = emit;
        let mut whole = if *is_to_others { self.others() } else { self.everyone() };
        for room in to {
            whole = whole.to(room);
        }
        for room in except {
            whole = whole.except(room);
        }
        if *is_volatile {
            whole = whole.volatile();
        }
        whole.emit_raw(event, content.args, content.attachments.get())
    }
}
