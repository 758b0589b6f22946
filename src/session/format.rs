//! The formats in which connections receive publications, and their encoding.
//!
//! Equal output for two subscribers is encoded once: a format contains everything that determines the bytes, and
//! nothing else.

use super::{centrifuge, engine, raw, socketio};
use crate::hub::Item;
use crate::hub::choice::Choice;
use crate::proto::ws::Press;

/// The format of one channel's publications for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Messages of a raw endpoint.
    Raw(raw::Form),
    /// Pushes of the Centrifuge protocol.
    Centrifuge(centrifuge::Form),
    /// Events of Socket.IO.
    SocketIo(socketio::Form),
    /// Messages of Engine.IO.
    Engine(engine::EngineForm),
}

/// Encodes the selected items of one channel for all subscribers of this format, framed for the transport. `number`
/// replaces the channel's name, from 1 ([`crate::hub::words::Entered::number`]).
pub(crate) fn encode(
    format: &Format,
    items: &[Item],
    choice: &Choice,
    number: u32,
    press: &mut Press,
) -> Vec<u8> {
    match format {
        Format::Raw(form) => form.encode(items, choice, press),
        Format::Centrifuge(form) => form.encode(items, choice, number, press),
        Format::SocketIo(form) => form.encode(items, choice, press),
        Format::Engine(form) => form.encode(items, choice, press),
    }
}
