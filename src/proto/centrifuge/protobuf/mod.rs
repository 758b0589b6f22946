//! The Protobuf encoding: each message preceded by its length as a varint, several in a frame. Field numbers are
//! those of the protocol's public definition, written where the field is read or written; no code is generated.

mod read;
mod sink;
mod write;

pub use read::{Commands, connect_request, emulation_request};
pub use write::{put_answer, put_error, put_push};
