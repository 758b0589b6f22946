//! Serialisation of server messages as Protobuf.
//!
//! One [`Message`] per message of the protocol, with its field numbers. Payloads are copied once, without
//! intermediate buffers.

use super::super::message::{
    Answer, ChannelRef, ClientInfo, ConnectResult, Data, Publication, Push, SubscribeResult,
};
use super::sink::{Empty, Entry, Message, Sink, TextEntry, put_delimited};

/// Appends the reply to a command.
pub fn put_answer(out: &mut Vec<u8>, id: u32, answer: &Answer<'_>) {
    put_delimited(out, &Reply { id, answer });
}

/// Appends the error reply to a command.
pub fn put_error(out: &mut Vec<u8>, id: u32, code: u32, message: &str, temporary: bool) {
    put_delimited(out, &ErrorReply { id, error: Error { code, message, temporary } });
}

/// Appends a push; for a unidirectional client (`is_uni`) without the envelope of a reply.
pub fn put_push(out: &mut Vec<u8>, is_uni: bool, channel: ChannelRef<'_>, push: &Push<'_>) {
    let push = ChannelPush { channel, push };
    match is_uni {
        true => put_delimited(out, &push),
        false => put_delimited(out, &PushReply(push)),
    }
}

struct Reply<'a> {
    id: u32,
    answer: &'a Answer<'a>,
}

impl Message for Reply<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.number(1, self.id.into());
        match self.answer {
            Answer::Connect(result) => to.message(5, result),
            Answer::Subscribe(result) => to.message(6, result),
            Answer::Unsubscribe => to.message(7, &Empty),
            Answer::Publish => to.message(8, &Empty),
            Answer::Presence(clients) => to.message(9, &Presence(clients)),
            Answer::PresenceStats { client_count, user_count } => {
                to.message(10, &PresenceStats { client_count: *client_count, user_count: *user_count });
            }
            Answer::History { publications, position: (offset, epoch) } => {
                to.message(11, &History { publications, offset: *offset, epoch });
            }
            Answer::Ping => to.message(12, &Empty),
            Answer::Rpc(data) => to.message(13, &Payload(data.bytes())),
            Answer::Refresh { expires, ttl_s } => {
                to.message(14, &Refreshed { expires: *expires, ttl_s: *ttl_s });
            }
            Answer::SubRefresh { expires, ttl_s } => {
                to.message(15, &Expiry { expires: *expires, ttl_s: *ttl_s });
            }
        }
    }
}

struct ErrorReply<'a> {
    id: u32,
    error: Error<'a>,
}

impl Message for ErrorReply<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.number(1, self.id.into());
        to.message(2, &self.error);
    }
}

struct Error<'a> {
    code: u32,
    message: &'a str,
    temporary: bool,
}

impl Message for Error<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.number(1, self.code.into());
        to.text(2, self.message);
        to.flag(3, self.temporary);
    }
}

struct PushReply<'a>(ChannelPush<'a>);

impl Message for PushReply<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.message(4, &self.0);
    }
}

struct ChannelPush<'a> {
    channel: ChannelRef<'a>,
    push: &'a Push<'a>,
}

impl Message for ChannelPush<'_> {
    fn put(&self, to: &mut impl Sink) {
        match self.channel {
            ChannelRef::None => {}
            ChannelRef::Name(name) => to.text(2, name),
            ChannelRef::Id(id) => to.number(1, id.cast_unsigned()),
        }
        match self.push {
            Push::Publication(publication) => to.message(4, publication),
            Push::Join(info) => to.message(5, &Join(info)),
            Push::Leave(info) => to.message(6, &Join(info)),
            Push::Unsubscribe { code, reason } => to.message(7, &Unsubscribe { code: *code, reason }),
            Push::Message(data) => to.message(8, &Payload(data.bytes())),
            Push::Subscribe(result) => to.message(9, &Subscribe(result)),
            Push::Connect(result) => to.message(10, &Connect(result)),
            Push::Disconnect { code, reason, reconnect } => {
                to.message(11, &Disconnect { code: *code, reason, reconnect: *reconnect });
            }
            Push::Refresh { expires, ttl_s } => {
                to.message(12, &Expiry { expires: *expires, ttl_s: *ttl_s });
            }
        }
    }
}

impl Message for ConnectResult<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.text(1, self.client);
        to.text(2, self.version);
        to.flag(3, self.expires);
        to.number(4, self.ttl_s.into());
        to.bytes(5, self.data.bytes());
        self.subs.iter().for_each(|(channel, sub)| to.message(6, &Entry(channel, sub)));
        to.number(7, self.ping_s.into());
        to.flag(8, self.pong);
        to.text(9, self.session);
        to.text(10, self.node);
        to.number(11, self.time_ms.cast_unsigned());
    }
}

/// A connect result as a push, with other field numbers.
struct Connect<'a>(&'a ConnectResult<'a>);

impl Message for Connect<'_> {
    fn put(&self, to: &mut impl Sink) {
        let result = self.0;
        to.text(1, result.client);
        to.text(2, result.version);
        to.bytes(3, result.data.bytes());
        result.subs.iter().for_each(|(channel, sub)| to.message(4, &Entry(channel, sub)));
        to.flag(5, result.expires);
        to.number(6, result.ttl_s.into());
        to.number(7, result.ping_s.into());
        to.flag(8, result.pong);
        to.text(9, result.session);
        to.text(10, result.node);
        to.number(11, result.time_ms.cast_unsigned());
    }
}

impl Message for SubscribeResult<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.flag(1, self.expires);
        to.number(2, self.ttl_s.into());
        to.flag(3, self.recoverable);
        to.text(6, self.epoch);
        self.publications.iter().for_each(|publication| to.message(7, publication));
        to.flag(8, self.recovered);
        to.number(9, self.offset);
        to.flag(10, self.positioned);
        to.bytes(11, self.data.bytes());
        to.flag(12, self.was_recovering);
        to.flag(13, self.delta);
        to.number(14, self.id.cast_unsigned());
    }
}

/// A part of the subscribe result as a push, with other field numbers.
struct Subscribe<'a>(&'a SubscribeResult<'a>);

impl Message for Subscribe<'_> {
    fn put(&self, to: &mut impl Sink) {
        let result = self.0;
        to.flag(1, result.recoverable);
        to.text(4, result.epoch);
        to.number(5, result.offset);
        to.flag(6, result.positioned);
        to.bytes(7, result.data.bytes());
    }
}

impl Message for Publication<'_> {
    fn put(&self, to: &mut impl Sink) {
        match self.data {
            Data::Apart(apart) => to.apart(4, apart),
            Data::Json(data) | Data::Text(data) | Data::Binary(data) => to.bytes(4, data),
        }
        if let Some(info) = &self.info {
            to.message(5, info);
        }
        to.number(6, self.offset);
        self.tags.iter().for_each(|(name, value)| to.message(7, &TextEntry(name, value)));
        to.flag(8, self.delta);
        to.text(14, self.epoch);
        to.number(16, self.version);
    }
}

impl Message for ClientInfo<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.text(1, self.user);
        to.text(2, self.client);
        to.bytes(3, self.conn_info.bytes());
        to.bytes(4, self.chan_info.bytes());
    }
}

struct Join<'a>(&'a ClientInfo<'a>);

impl Message for Join<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.message(1, self.0);
    }
}

struct Unsubscribe<'a> {
    code: u32,
    reason: &'a str,
}

impl Message for Unsubscribe<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.number(2, self.code.into());
        to.text(3, self.reason);
    }
}

struct Disconnect<'a> {
    code: u16,
    reason: &'a str,
    reconnect: bool,
}

impl Message for Disconnect<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.number(1, self.code.into());
        to.text(2, self.reason);
        to.flag(3, self.reconnect);
    }
}

/// A message to the connection, or the result of a call.
struct Payload<'a>(&'a [u8]);

impl Message for Payload<'_> {
    fn put(&self, to: &mut impl Sink) {
        to.bytes(1, self.0);
    }
}

struct Presence<'a>(&'a [ClientInfo<'a>]);

impl Message for Presence<'_> {
    fn put(&self, to: &mut impl Sink) {
        self.0.iter().for_each(|info| to.message(1, &Entry(info.client, info)));
    }
}

struct PresenceStats {
    client_count: u32,
    user_count: u32,
}

impl Message for PresenceStats {
    fn put(&self, to: &mut impl Sink) {
        to.number(1, self.client_count.into());
        to.number(2, self.user_count.into());
    }
}

struct History<'a> {
    publications: &'a [Publication<'a>],
    offset: u64,
    epoch: &'a str,
}

impl Message for History<'_> {
    fn put(&self, to: &mut impl Sink) {
        self.publications.iter().for_each(|publication| to.message(1, publication));
        to.text(2, self.epoch);
        to.number(3, self.offset);
    }
}

struct Refreshed {
    expires: bool,
    ttl_s: u32,
}

impl Message for Refreshed {
    fn put(&self, to: &mut impl Sink) {
        to.flag(3, self.expires);
        to.number(4, self.ttl_s.into());
    }
}

struct Expiry {
    expires: bool,
    ttl_s: u32,
}

impl Message for Expiry {
    fn put(&self, to: &mut impl Sink) {
        to.flag(1, self.expires);
        to.number(2, self.ttl_s.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::payload::PayloadRef;

    #[test]
    fn messages_stand_behind_their_lengths() {
        let mut out = b"head".to_vec();
        put_answer(&mut out, 1, &Answer::Ping);
        put_answer(&mut out, 300, &Answer::Rpc(PayloadRef::of(b"\xff")));
        put_error(&mut out, 2, 111, "too", true);
        assert_eq!(
            out,
            b"head\x04\x08\x01\x62\x00\x08\x08\xac\x02\x6a\x03\x0a\x01\xff\x0d\x08\x02\x12\x09\x08\x6f\x12\x03too\x18\x01"
        );
    }

    #[test]
    fn a_publication_is_its_bytes() {
        let tags = [(Box::from("k"), Box::from("v"))];
        let publication = Publication {
            data: Data::Binary(b"\n\xff"),
            info: Some(ClientInfo { client: "c", ..ClientInfo::default() }),
            offset: 5,
            tags: &tags,
            delta: true,
            takes_deltas: true,
            epoch: "",
            version: 0,
        };
        let fields = b"\x22\x02\n\xff\x2a\x03\x12\x01c\x30\x05\x3a\x06\x0a\x01k\x12\x01v\x40\x01";
        let mut out = Vec::new();
        put_push(&mut out, true, ChannelRef::Name("c"), &Push::Publication(publication));
        assert_eq!(out, [b"\x1a\x12\x01c\x22\x15", &fields[..]].concat());
        out.clear();
        put_push(&mut out, false, ChannelRef::Id(2), &Push::Publication(publication));
        assert_eq!(out, [b"\x1b\x22\x19\x08\x02\x22\x15", &fields[..]].concat());
    }

    #[test]
    fn lengths_of_more_than_a_byte() {
        let data = [0; 300];
        let mut out = Vec::new();
        put_push(&mut out, false, ChannelRef::None, &Push::Message(PayloadRef::of(&data)));
        assert_eq!(out[..11], *b"\xb5\x02\x22\xb2\x02\x42\xaf\x02\x0a\xac\x02");
        assert_eq!(out.len(), 11 + 300);
    }
}
