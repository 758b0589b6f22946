//! The JSON encoding: one object per line, several in a frame. Payloads are raw JSON within the object around them,
//! so the output has no line ends except those between messages.

mod read;
mod values;
mod write;

pub use read::{Commands, connect_request, emulation_request};
pub use write::{json_text, put_answer, put_data, put_error, put_payload, put_push, put_string};
