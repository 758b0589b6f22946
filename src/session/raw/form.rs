//! What is published, as messages of a raw endpoint: one frame each, since its clients take frames for messages.

use crate::hub::choice::Choice;
use crate::hub::{DataKind, Item};
use crate::proto::ws::{Deflate, Kind, Press, frame};

/// How a connection gets what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How frames may be compressed.
    pub deflate: Deflate,
}

impl Form {
    /// The data alone; who comes and goes is not told.
    pub(in crate::session) fn encode(&self, items: &[Item], choice: &Choice, press: &mut Press) -> Vec<u8> {
        let publications = || {
            choice.chosen(items).filter_map(|item| match item {
                Item::Publication(publication) => Some(publication),
                Item::Membership(_) => None,
            })
        };
        let bytes = publications().map(|p| p.data.len() + frame::HEADER_BYTES_MAX).sum();
        let mut out = Vec::with_capacity(bytes);
        for publication in publications() {
            let kind = if publication.kind == DataKind::Binary { Kind::Binary } else { Kind::Text };
            press.put_frame(&mut out, kind, &publication.data, self.deflate);
        }
        out
    }
}
