//! What homes know, as the protocol writes it: borrowed, for as long as one message is written.

use std::sync::Arc;

use crate::hub::{ClientInfo, DataKind, Publication};
use crate::proto::centrifuge::message::{self, Data};

/// A client, as others see it.
pub(super) fn info(info: &ClientInfo) -> message::ClientInfo<'_> {
    let ClientInfo { user, client, conn_info, chan_info } = info;
    message::ClientInfo { user, client, conn_info, chan_info }
}

/// A publication, whole.
pub(super) fn publication(publication: &Publication, takes_deltas: bool) -> message::Publication<'_> {
    message::Publication {
        data: data(publication),
        info: publication.info.as_deref().map(info),
        offset: publication.offset,
        tags: &publication.tags,
        delta: false,
        takes_deltas,
        time_ms: i64::try_from(publication.time_ms).unwrap_or(0),
    }
}

/// Publications, whole.
pub(super) fn publications(all: &[Arc<Publication>], takes_deltas: bool) -> Vec<message::Publication<'_>> {
    all.iter().map(|one| publication(one, takes_deltas)).collect()
}

/// A publication's message, and what is known of it.
pub(super) fn data(publication: &Publication) -> Data<'_> {
    match publication.kind {
        DataKind::Json => Data::Json(&publication.data),
        DataKind::Text => Data::Text(&publication.data),
        DataKind::Binary => Data::Binary(&publication.data),
    }
}
