//! Publications as messages of a raw endpoint: one frame each, since its clients treat frames as messages.

use crate::hub::choice::Choice;
use crate::hub::{DataKind, Item};
use crate::proto::ws::{Deflate, Kind, Press, frame};

/// The form in which a connection receives publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Permitted compression of frames.
    pub deflate: Deflate,
}

impl Form {
    /// Encodes the data alone; joins and leaves are omitted.
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
