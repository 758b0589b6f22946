//! Payloads of publications, and those among them that are sent without a copy.

use std::cell::Cell;

use super::reply::{Answer, ConnectResult, Publication, Push};
use crate::base::shared::Shared;

/// A payload that is sent without a copy: its bytes are not written, but count in lengths, and their place in the
/// output is noted. It occurs in one place of one message.
#[derive(Clone, Debug)]
pub struct Apart {
    data: Shared,
    at: Cell<usize>,
}

impl Apart {
    /// Makes one of a payload that is not empty. For JSON, of one JSON value on one line.
    pub fn new(data: Shared) -> Self {
        debug_assert!(!data.is_empty(), "an empty payload is written in its own way");
        Self { data, at: Cell::new(0) }
    }

    /// The payload.
    pub fn data(&self) -> &Shared {
        &self.data
    }

    /// Number of bytes before it in the output, before that was framed.
    pub fn at(&self) -> usize {
        self.at.get()
    }

    /// Notes its place at the end of the output so far.
    pub(in crate::proto::centrifuge) fn leave_out(&self, out: &[u8]) {
        self.at.set(out.len());
    }
}

/// A payload with its classification.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// A payload that is not copied.
    Apart(&'a Apart),
    /// One JSON value, validated.
    Json(&'a [u8]),
    /// Text that may be JSON.
    Text(&'a [u8]),
    /// Any bytes, among them JSON.
    Binary(&'a [u8]),
}

impl Answer<'_> {
    /// Passes the payloads apart to `each`, in their order.
    pub fn each_apart(&self, each: impl FnMut(&Apart)) {
        match self {
            Self::Connect(result) => result.each_apart(each),
            Self::Subscribe(result) => apart_of(result.publications).for_each(each),
            Self::History { publications, .. } => apart_of(publications).for_each(each),
            Self::Unsubscribe
            | Self::Publish
            | Self::Presence(_)
            | Self::PresenceStats { .. }
            | Self::Ping
            | Self::Rpc(_)
            | Self::Refresh { .. }
            | Self::SubRefresh { .. } => {}
        }
    }
}

impl Push<'_> {
    /// Passes the payloads apart to `each`, in their order.
    pub fn each_apart(&self, each: impl FnMut(&Apart)) {
        match self {
            Self::Connect(result) => result.each_apart(each),
            Self::Publication(publication) => apart_of(std::slice::from_ref(publication)).for_each(each),
            Self::Join(_)
            | Self::Leave(_)
            | Self::Unsubscribe { .. }
            | Self::Subscribe(_)
            | Self::Message(_)
            | Self::Disconnect { .. }
            | Self::Refresh { .. } => {}
        }
    }
}

impl ConnectResult<'_> {
    fn each_apart(&self, each: impl FnMut(&Apart)) {
        self.subs.iter().flat_map(|(_, sub)| apart_of(sub.publications)).for_each(each);
    }
}

fn apart_of<'a>(publications: &'a [Publication<'a>]) -> impl Iterator<Item = &'a Apart> {
    publications.iter().filter_map(|publication| match publication.data {
        Data::Apart(apart) => Some(apart),
        Data::Json(_) | Data::Text(_) | Data::Binary(_) => None,
    })
}
