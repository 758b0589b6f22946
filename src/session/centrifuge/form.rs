//! Publications as pushes: encoded once for all subscribers of one form.

use std::sync::Arc;

use super::publications;
use crate::hub::choice::Choice;
use crate::hub::{Item, Publication};
use crate::proto::centrifuge as protocol;
use crate::proto::centrifuge::message::{self, ChannelRef, Data, Encoding, Push};
use crate::proto::fossil;
use crate::proto::ws::{Deflate, Press};
use crate::session::wire::{Framing, kind};

/// Size at which a frame that joins several messages ends: clients limit the size of frames.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Bytes of a push beside its data and its channel's name: offset, publisher, and the frame's header.
const PUSH_BYTES: usize = 128;

/// The form in which a connection receives the publications of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Framing of the pushes.
    pub framing: Framing,
    /// Encoding of the pushes.
    pub encoding: Encoding,
    /// Whether pushes are written alone, without the envelope of replies.
    pub is_uni: bool,
    /// Whether the subscriber accepts deltas.
    pub takes_deltas: bool,
    /// Whether channels are identified by number, not by name.
    pub is_compact: bool,
    /// Permitted compression of frames.
    pub deflate: Deflate,
}

impl Form {
    /// Encodes pushes, joined in frames of bounded size; for clients without commands, each in its own frame.
    /// `number` is the channel's.
    pub(in crate::session) fn encode(
        &self,
        items: &[Item],
        choice: &Choice,
        number: u32,
        press: &mut Press,
    ) -> Vec<u8> {
        let Self { encoding, is_uni, takes_deltas, is_compact, .. } = *self;
        let mut start = 0;
        // Capacity is charged to the budget even if unused, so about the needed capacity is reserved once.
        let bytes = |item: &Item| match item {
            Item::Publication(publication) => publication.data.len() + publication.channel.len() + PUSH_BYTES,
            Item::Membership(membership) => {
                membership.changes.len() * (membership.channel.len() + PUSH_BYTES)
            }
        };
        let mut out = Vec::with_capacity(choice.chosen(items).map(bytes).sum());
        // The last offset that the subscriber has, if deltas to it are permitted.
        let mut has = choice.is_delta_ready().then_some(None);
        for item in choice.chosen(items) {
            let channel = match is_compact {
                true => ChannelRef::Id(i64::from(number)),
                false => ChannelRef::Name(item.channel()),
            };
            let mut put = |push: &Push<'_>| {
                protocol::put_push(&mut out, start, encoding, is_uni, channel, push);
                // Clients without a library treat an event, or a frame, as one push.
                if is_uni || out.len() - start > JOINED_BYTES_MAX {
                    self.seal(&mut out, start, press);
                    start = out.len();
                }
            };
            match item {
                Item::Publication(publication) => {
                    let whole = publications::publication(publication, takes_deltas);
                    let delta = delta_to(publication, encoding, takes_deltas, has);
                    match &delta {
                        Some(bytes) => {
                            let data = Data::Text(bytes);
                            put(&Push::Publication(message::Publication { data, delta: true, ..whole }));
                        }
                        None => put(&Push::Publication(whole)),
                    }
                    has = Some(Some(publication.offset));
                }
                Item::Membership(membership) => {
                    for (is_join, info) in &membership.changes {
                        let info = publications::info(info);
                        put(&if *is_join { Push::Join(info) } else { Push::Leave(info) });
                    }
                }
            }
        }
        self.seal(&mut out, start, press);
        out
    }

    /// Ends the frame that begins at `start`.
    fn seal(&self, out: &mut Vec<u8>, start: usize, press: &mut Press) {
        let Self { framing, encoding, deflate, .. } = *self;
        if deflate.is_on() {
            press.wrap(out, start, kind(encoding), deflate);
        } else {
            framing.seal(encoding, out, start);
        }
    }
}

/// The publication as a delta to the previous one, if the subscriber has that one and the delta is shorter. `has` is
/// `None` when the subscriber has nothing to apply a delta to, else the offset of its last publication in this batch.
/// A delta leads from the bytes sent before to the bytes that would be sent now: in JSON, from text to text.
fn delta_to(
    publication: &Arc<Publication>,
    encoding: Encoding,
    takes_deltas: bool,
    has: Option<Option<u64>>,
) -> Option<Vec<u8>> {
    if !takes_deltas || !publication.is_delta {
        return None;
    }
    let previous = publication.previous.as_ref()?;
    // The first publication of the batch follows the subscriber's last one, if it received all.
    let is_base = has?.is_none_or(|offset| offset == previous.offset);
    if !is_base || previous.offset + 1 != publication.offset {
        return None;
    }
    let sent = |publication: &'_ Publication| match encoding {
        Encoding::Json => protocol::json_text(publications::data(publication)).into_owned(),
        Encoding::Protobuf => publication.data.to_vec(),
    };
    let (before, after) = (sent(previous), sent(publication));
    let delta = fossil::delta(&before, &after);
    (delta.len() < after.len()).then_some(delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    use crate::hub::home::Membership;
    use crate::hub::words::News;
    use crate::hub::{ClientInfo, DataKind};
    use crate::session::Told;
    use crate::session::centrifuge::{Centrifuge, Opening};
    use crate::session::tests::{client, settings};
    use crate::session::wire::Wire;
    use crate::session::{Context, Counts, Format, Forwarded, Transport, encode};

    fn items() -> Vec<Item> {
        let data = Shared::new(br#"{"a":1}"#.to_vec(), &Budget::new(1 << 20));
        let published = Publication { seq: 1, ..Publication::new("room".into(), DataKind::Json, data) };
        let info = Arc::new(ClientInfo { user: "ann".into(), ..ClientInfo::default() });
        let changes = vec![(true, Arc::clone(&info)), (false, info)];
        let membership = Membership { channel: "room".into(), seq: 2, changes };
        vec![Item::Publication(Arc::new(published)), Item::Membership(Arc::new(membership))]
    }

    /// A session's encoding of the same publications, in single pushes.
    fn told(wire: Wire) -> Vec<u8> {
        let (mut out, settings) = (Vec::new(), settings());
        let mut cx = Context {
            now_ms: 0,
            settings: &settings,
            client: client(1),
            user: "",
            certificate: None,
            out: &mut out,
            waiting_bytes: 0,
            is_behind: false,
            apart: &mut Vec::new(),
            in_place: None,
            actions: &mut Vec::new(),
            forwarded: Forwarded::default(),
            reach: &mut crate::hub::reach::Reach::new(7.into(), 0, 1),
            press: &mut Press::new(None),
            counts: Counts::default(),
            told: &Told::default(),
            notes: &mut Vec::new(),
        };
        let session = Centrifuge::new(wire, Opening::default());
        for item in items() {
            match &item {
                Item::Publication(publication) => {
                    session.tell(&News::Published { publication, takes_deltas: false }, &mut cx);
                }
                Item::Membership(membership) => {
                    for (has_come, info) in &membership.changes {
                        let (channel, info) = (&*membership.channel, &**info);
                        let news = match has_come {
                            true => News::Came { channel, info },
                            false => News::Went { channel, info },
                        };
                        session.tell(&news, &mut cx);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn what_is_delivered_together_is_what_is_told_one_by_one() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            // Where each push has its own frame, the bytes are equal.
            for transport in [Transport::UniWebSocket, Transport::UniHttpStream] {
                let wire = Wire { transport, encoding, deflate: Deflate::Off };
                let form = Centrifuge::new(wire, Opening::default()).form(false, false);
                let format = Format::Centrifuge(form);
                let together = encode(&format, &items(), &Choice::All, 1, &mut Press::new(None));
                assert_eq!(together, told(wire), "{wire:?}");
            }
        }
    }

    #[test]
    fn pushes_are_joined_in_one_frame_and_name_the_channel_as_is_wanted() {
        let form = Form {
            framing: Framing::WebSocket,
            encoding: Encoding::Json,
            is_uni: false,
            takes_deltas: false,
            is_compact: false,
            deflate: Deflate::Off,
        };
        let text = |form: Form| {
            let bytes = form.encode(&items(), &Choice::All, 7, &mut Press::new(None));
            String::from_utf8(bytes[bytes.iter().position(|&byte| byte == b'{').unwrap()..].to_vec()).unwrap()
        };
        let named = text(form);
        let lines: Vec<&str> = named.lines().collect();
        assert_eq!(lines[0], r#"{"push":{"channel":"room","pub":{"data":{"a":1}}}}"#);
        assert!(
            lines.len() == 3 && lines[1].contains("\"join\"") && lines[2].contains("\"leave\""),
            "{named}"
        );
        let numbered = text(Form { is_compact: true, ..form });
        assert!(numbered.contains("\"id\":7") && !numbered.contains("room"), "{numbered}");
    }
}
