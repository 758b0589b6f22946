//! The formats in which connections get what is published, and how each is written.
//!
//! What is the same for two subscribers is encoded once: a format has all that decides about the bytes, and nothing else.

use super::{centrifuge, raw};
use crate::hub::Item;
use crate::hub::choice::Choice;
use crate::proto::ws::Press;

/// In what format a connection gets what is published in one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Messages of a raw endpoint.
    Raw(raw::Form),
    /// Pushes of the Centrifuge protocol.
    Centrifuge(centrifuge::Form),
}

/// The bytes, ready for the wire, for all subscribers of this format that get this of these items of one channel. `number`: what
/// stands for the channel's name, from 1 ([`crate::hub::words::Entered::number`]).
pub fn encode(format: &Format, items: &[Item], choice: &Choice, number: u32, press: &mut Press) -> Vec<u8> {
    match format {
        Format::Raw(form) => form.encode(items, choice, press),
        Format::Centrifuge(form) => form.encode(items, choice, number, press),
    }
}
