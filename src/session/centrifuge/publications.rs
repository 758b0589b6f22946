//! The hub's values in the protocol's types: borrowed while one message is encoded.

use std::sync::Arc;

use crate::hub::{ClientInfo, DataKind, Publication};
use crate::proto::centrifuge::message::{self, Apart, Data, Encoding};

/// Payloads of fewer bytes are copied into a reply: sending a payload without a copy costs some 100 bytes and a slice
/// of its own in each write.
const APART_BYTES_MIN: usize = 4 << 10;

/// A client's info for other clients.
pub(super) fn info(info: &ClientInfo) -> message::ClientInfo<'_> {
    let ClientInfo { user, client, conn_info, chan_info } = info;
    message::ClientInfo { user, client, conn_info: conn_info.get(), chan_info: chan_info.get() }
}

/// A whole publication.
pub(super) fn publication(publication: &Publication, takes_deltas: bool) -> message::Publication<'_> {
    message::Publication {
        data: data(publication),
        info: publication.info.as_deref().map(info),
        offset: publication.offset,
        tags: &publication.tags,
        delta: false,
        takes_deltas,
        epoch: publication.rare.as_ref().and_then(|rare| rare.epoch.as_deref()).unwrap_or_default(),
        version: publication.rare.as_ref().map_or(0, |rare| rare.version),
    }
}

/// The form in which a client receives publications of a history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryForm {
    /// The encoding in which large payloads are sent without a copy; `None` where all are copied.
    pub(super) apart: Option<Encoding>,
    pub(super) takes_deltas: bool,
}

impl HistoryForm {
    /// Whether the payload is not copied: it is large, and sent byte by byte as it is stored. For JSON it must be
    /// JSON on one line, and the subscriber must not accept deltas, which encode the payload as a string.
    pub(crate) fn leaves_out(self, publication: &Publication) -> bool {
        publication.data.len() >= APART_BYTES_MIN
            && match self.apart {
                None => false,
                Some(Encoding::Protobuf) => true,
                Some(Encoding::Json) => {
                    publication.kind == DataKind::Json && publication.is_one_line && !self.takes_deltas
                }
            }
    }

    /// The publication's payload, if it is not copied.
    pub(super) fn apart_of(self, publication: &Publication) -> Option<Apart> {
        self.leaves_out(publication).then(|| Apart::new(publication.data.clone()))
    }

    /// The whole publication, with its payload if that is `apart`.
    pub(super) fn whole<'a>(
        self,
        publication: &'a Publication,
        apart: Option<&'a Apart>,
    ) -> message::Publication<'a> {
        let whole = self::publication(publication, self.takes_deltas);
        message::Publication { data: apart.map_or(whole.data, Data::Apart), ..whole }
    }

    /// The payloads that are not copied.
    pub(super) fn apart(self, all: &[Arc<Publication>]) -> Vec<Apart> {
        all.iter().filter_map(|one| self.apart_of(one)).collect()
    }

    /// Whole publications, with those of their payloads that are `apart`.
    pub(super) fn publications<'a>(
        self,
        all: &'a [Arc<Publication>],
        apart: &'a [Apart],
    ) -> Vec<message::Publication<'a>> {
        let mut apart = apart.iter();
        all.iter().map(|one| self.whole(one, self.leaves_out(one).then(|| apart.next()).flatten())).collect()
    }
}

/// A publication's data with its classification.
pub(super) fn data(publication: &Publication) -> Data<'_> {
    match publication.kind {
        DataKind::Json => Data::Json(&publication.data),
        DataKind::Text => Data::Text(&publication.data),
        DataKind::Binary => Data::Binary(&publication.data),
    }
}
