//! Pushes of the protocol, with its codes.

use super::{Centrifuge, publications, put_apart, replies};
use crate::hub::words::{Ended, News};
use crate::proto::centrifuge as protocol;
use crate::proto::centrifuge::codes::Unsubscribed;
use crate::proto::centrifuge::message::{ChannelRef, Push};
use crate::session::Context;

/// The protocol's code and reason for the end of a subscription.
fn code_of<'a>(why: &Ended<'a>) -> (u32, &'a str) {
    match why {
        Ended::Expired => {
            let Unsubscribed { code, reason } = Unsubscribed::SUBSCRIPTION_EXPIRED;
            (code, reason)
        }
        Ended::Ordered { code, reason } => (*code, reason),
    }
}

impl Centrifuge {
    /// Writes a push.
    pub(in crate::session) fn tell(&self, news: &News<'_>, cx: &mut Context<'_>) {
        match news {
            News::Entered(told) => {
                let result = replies::entered(told, &[]);
                self.push(ChannelRef::Name(told.channel), &Push::Subscribe(result), cx);
            }
            News::Published { publication, takes_deltas } => {
                let telling = self.telling(*takes_deltas);
                let apart = telling.apart_of(publication);
                let push = Push::Publication(telling.whole(publication, apart.as_ref()));
                self.push(ChannelRef::Name(&publication.channel), &push, cx);
            }
            News::Came { channel, info } => {
                self.push(ChannelRef::Name(channel), &Push::Join(publications::info(info)), cx);
            }
            News::Went { channel, info } => {
                self.push(ChannelRef::Name(channel), &Push::Leave(publications::info(info)), cx);
            }
            News::Ended { channel, why } => {
                let (code, reason) = code_of(why);
                cx.count_unsubscribe(code);
                self.push(ChannelRef::Name(channel), &Push::Unsubscribe { code, reason }, cx);
            }
            News::Said(data) => self.push(ChannelRef::None, &Push::Message(*data), cx),
            &News::Renewed { ttl_s } => {
                self.push(ChannelRef::None, &Push::Refresh { expires: ttl_s > 0, ttl_s }, cx);
            }
        }
    }

    pub(super) fn push(&self, channel: ChannelRef<'_>, push: &Push<'_>, cx: &mut Context<'_>) {
        let (start, first) = (cx.out.len(), cx.apart.len());
        protocol::put_push(cx.out, start, self.wire.encoding, self.wire.transport.is_uni(), channel, push);
        push.each_apart(|apart| put_apart(apart, cx));
        self.sent(start, first, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_subscription_has_its_number() {
        assert_eq!(code_of(&Ended::Expired), (2501, "subscription expired"));
        assert_eq!(code_of(&Ended::Ordered { code: 2000, reason: "why" }), (2000, "why"));
    }
}
