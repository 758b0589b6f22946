//! Replies of the protocol, with its codes.

use super::{Centrifuge, publications, put_apart};
use crate::base::slots::Key;
use crate::hub::words::{Denied, Entered, Identified, Reply};
use crate::proto::centrifuge as protocol;
use crate::proto::centrifuge::codes::Error;
use crate::proto::centrifuge::message::{
    Answer, ChannelRef, ConnectResult, Publication, Push, SubscribeResult,
};
use crate::session::{Context, Phase, Transport};

/// The server's version in connect replies.
const VERSION: &str = concat!("throng ", env!("CARGO_PKG_VERSION"));

/// The protocol's error for a refusal; `None` if the application has chosen one.
fn error_of(denied: &Denied) -> Option<Error> {
    Some(match denied {
        Denied::Internal => Error::INTERNAL,
        Denied::UnknownChannel => Error::UNKNOWN_CHANNEL,
        Denied::NotPermitted => Error::PERMISSION_DENIED,
        Denied::AlreadyIn => Error::ALREADY_SUBSCRIBED,
        Denied::Limit => Error::LIMIT_EXCEEDED,
        Denied::TooMany => Error::TOO_MANY_REQUESTS,
        Denied::NotAvailable => Error::NOT_AVAILABLE,
        Denied::UnknownMethod => Error::METHOD_NOT_FOUND,
        Denied::TokenExpired => Error::TOKEN_EXPIRED,
        Denied::Expired => Error::EXPIRED,
        Denied::Unrecoverable => Error::UNRECOVERABLE_POSITION,
        Denied::BadRequest => Error::BAD_REQUEST,
        Denied::Custom { .. } => return None,
    })
}

/// Code and text of a refusal in the protocol.
pub(in crate::session) fn code_of(denied: &Denied) -> (u32, &str) {
    match (denied, error_of(denied)) {
        (Denied::Custom { code, message, .. }, _) => (*code, message),
        (_, error) => {
            let Error { code, message, .. } = error.unwrap_or(Error::INTERNAL);
            (code, message)
        }
    }
}

/// The protocol's description of a subscription.
pub(super) fn entered<'a>(told: &Entered<'a>, publications: &'a [Publication<'a>]) -> SubscribeResult<'a> {
    SubscribeResult {
        expires: told.ttl_s > 0,
        ttl_s: told.ttl_s,
        recoverable: told.is_recoverable,
        positioned: told.is_positioned,
        epoch: told.epoch,
        offset: told.offset,
        recovered: told.is_recovered,
        was_recovering: told.was_recovering,
        publications,
        data: told.data,
        delta: told.takes_deltas,
        id: told.number.map_or(0, i64::from),
    }
}

impl Centrifuge {
    /// Writes the reply to request `id`.
    pub(in crate::session) fn reply(&mut self, id: u32, reply: &Reply<'_>, cx: &mut Context<'_>) {
        match reply {
            Reply::Identified(identified) => self.identified(id, identified, cx),
            Reply::Entered(told) => {
                let telling = self.telling(told.takes_deltas);
                let apart = telling.apart(told.publications);
                let publications = telling.publications(told.publications, &apart);
                self.put_answer(id, &Answer::Subscribe(entered(told, &publications)), cx);
            }
            Reply::NotEntered { denied, .. } => self.deny(id, denied, cx),
            // Clients cannot ask for it.
            Reply::Gathered(_) => {}
            Reply::Left => self.put_answer(id, &Answer::Unsubscribe, cx),
            Reply::Published => self.put_answer(id, &Answer::Publish, cx),
            Reply::Presence(members) => {
                let members: Vec<_> = members.iter().map(|info| publications::info(info)).collect();
                self.put_answer(id, &Answer::Presence(&members), cx);
            }
            &Reply::PresenceStats { client_count, user_count } => {
                self.put_answer(id, &Answer::PresenceStats { client_count, user_count }, cx);
            }
            Reply::History { publications, position } => {
                let telling = self.telling(false);
                let apart = telling.apart(publications);
                let publications = telling.publications(publications, &apart);
                let position = (position.offset, &*position.epoch);
                self.put_answer(id, &Answer::History { publications: &publications, position }, cx);
            }
            Reply::Called(result) => self.put_answer(id, &Answer::Rpc(*result), cx),
            &Reply::Renewed { ttl_s } => {
                self.put_answer(id, &Answer::Refresh { expires: ttl_s > 0, ttl_s }, cx);
            }
            &Reply::RenewedIn { ttl_s } => {
                self.put_answer(id, &Answer::SubRefresh { expires: ttl_s > 0, ttl_s }, cx);
            }
            // It asks for neither.
            Reply::Hooked(_) | Reply::Rooms(_) => {}
        }
    }

    /// Writes the error of request `id`.
    pub(in crate::session) fn deny(&self, id: u32, denied: &Denied, cx: &mut Context<'_>) {
        match (denied, error_of(denied)) {
            (Denied::Custom { code, message, temporary }, _) => {
                self.put_failure(id, *code, message, *temporary, cx);
            }
            (_, error) => {
                let Error { code, message, temporary } = error.unwrap_or(Error::INTERNAL);
                self.put_failure(id, code, message, temporary, cx);
            }
        }
    }

    /// Writes the reply to a successful connect, as a reply, or as the first push.
    fn identified(&mut self, id: u32, told: &Identified<'_>, cx: &mut Context<'_>) {
        if let Some(held) = self.opening.as_ref().and_then(|opening| opening.held.as_ref()) {
            cx.out.extend_from_slice(held.head.as_bytes());
        }
        (self.phase, self.opening) = (Phase::Live, None);
        let (transport, settings) = (self.transport(), cx.settings);
        let telling = |one: &Entered<'_>| self.telling(one.takes_deltas);
        let apart: Vec<_> = told.entered.iter().map(|one| telling(one).apart(one.publications)).collect();
        let publications: Vec<_> = told
            .entered
            .iter()
            .zip(&apart)
            .map(|(one, apart)| telling(one).publications(one.publications, apart))
            .collect();
        let subs: Vec<_> = told
            .entered
            .iter()
            .zip(&publications)
            .map(|(one, publications)| (one.channel, entered(one, publications)))
            .collect();
        let is_emulated = matches!(transport, Transport::Sse | Transport::HttpStream);
        // The server API identifies a client without commands by it.
        let has_session = is_emulated || transport.is_uni();
        let session = || settings.secret.session(cx.client.shard, Key::from_token(cx.client.token));
        let result = ConnectResult {
            client: &cx.client.to_string(),
            version: VERSION,
            expires: told.ttl_s > 0,
            ttl_s: told.ttl_s,
            data: told.data,
            subs: &subs,
            ping_s: if self.pings_by_frame { 0 } else { told.ping_s },
            pong: told.ping_s > 0 && transport == Transport::WebSocket && !self.pings_by_frame,
            session: &has_session.then(session).unwrap_or_default(),
            node: if is_emulated { &settings.endpoints.node } else { "" },
            time_ms: told.time_ms,
        };
        if transport.is_uni() {
            return self.push(ChannelRef::None, &Push::Connect(result), cx);
        }
        self.put_answer(id, &Answer::Connect(result), cx);
    }

    /// Writes the reply to command `id`. A client without commands expects none.
    pub(super) fn put_answer(&self, id: u32, answer: &Answer<'_>, cx: &mut Context<'_>) {
        if self.wire.transport.is_uni() {
            return;
        }
        let (start, first) = (cx.out.len(), cx.apart.len());
        protocol::put_answer(cx.out, start, self.wire.encoding, id, answer);
        answer.each_apart(|apart| put_apart(apart, cx));
        self.sent(start, first, cx);
    }

    /// Writes the error of command `id`.
    pub(super) fn put_failure(
        &self,
        id: u32,
        code: u32,
        message: &str,
        temporary: bool,
        cx: &mut Context<'_>,
    ) {
        if self.wire.transport.is_uni() {
            return;
        }
        cx.note_error(id, code, message);
        let start = cx.out.len();
        protocol::put_error(cx.out, start, self.wire.encoding, id, code, message, temporary);
        self.sent(start, cx.apart.len(), cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of each refusal, and its `temporary` flag on both sides.
    #[test]
    fn each_no_has_its_number() {
        for (denied, code) in [
            (Denied::Internal, 100),
            (Denied::UnknownChannel, 102),
            (Denied::NotPermitted, 103),
            (Denied::AlreadyIn, 105),
            (Denied::Limit, 106),
            (Denied::BadRequest, 107),
            (Denied::NotAvailable, 108),
            (Denied::UnknownMethod, 104),
            (Denied::TokenExpired, 109),
            (Denied::Expired, 110),
            (Denied::TooMany, 111),
            (Denied::Unrecoverable, 112),
        ] {
            let error = error_of(&denied).unwrap();
            assert_eq!((error.code, error.temporary), (code, denied.is_temporary()), "{denied:?}");
        }
        assert_eq!(error_of(&Denied::Custom { code: 400, message: "no".into(), temporary: true }), None);
    }
}
