//! Serialisation of server messages as JSON.
//!
//! Written by hand into the outgoing bytes: payloads are inserted as raw JSON. Empty fields are omitted, except for
//! those that clients read without checking their presence.

use std::borrow::Cow;

use super::super::message::{
    Answer, ChannelRef, ClientInfo, ConnectResult, Data, Publication, Push, SubscribeResult,
};
use crate::base::payload::{self, PayloadRef};

/// Appends the reply to a command. `start` is the start of the frame's payload in `out` (so in all these functions).
pub fn put_answer(out: &mut Vec<u8>, start: usize, id: u32, answer: &Answer<'_>) {
    let mut reply = begin(out, start);
    reply.number("id", id.into());
    match answer {
        Answer::Connect(result) => put_connect(reply.object("connect"), result),
        Answer::Subscribe(result) => put_subscribe(reply.object("subscribe"), result),
        Answer::Unsubscribe => reply.object("unsubscribe").close(),
        Answer::Publish => reply.object("publish").close(),
        Answer::Presence(clients) => {
            let mut presence = reply.object("presence");
            let mut by_client = presence.object("presence");
            clients.iter().for_each(|info| put_info(Object::open(by_client.key(info.client)), info));
            by_client.close();
            presence.close();
        }
        Answer::PresenceStats { client_count, user_count } => {
            let mut stats = reply.object("presence_stats");
            stats.number_always("num_clients", u64::from(*client_count));
            stats.number_always("num_users", u64::from(*user_count));
            stats.close();
        }
        Answer::History { publications, position: (offset, epoch) } => {
            let mut history = reply.object("history");
            history.publications(publications);
            history.text_always("epoch", epoch);
            history.number_always("offset", *offset);
            history.close();
        }
        Answer::Ping => reply.object("ping").close(),
        Answer::Rpc(data) => {
            let mut rpc = reply.object("rpc");
            rpc.payload("data", *data);
            rpc.close();
        }
        Answer::Refresh { expires, ttl_s } => {
            let mut refresh = reply.object("refresh");
            refresh.expiry(*expires, *ttl_s);
            refresh.close();
        }
        Answer::SubRefresh { expires, ttl_s } => {
            let mut refresh = reply.object("sub_refresh");
            refresh.expiry(*expires, *ttl_s);
            refresh.close();
        }
    }
    reply.close();
}

/// Appends the error reply to a command.
pub fn put_error(out: &mut Vec<u8>, start: usize, id: u32, code: u32, message: &str, temporary: bool) {
    let mut reply = begin(out, start);
    reply.number("id", id.into());
    let mut error = reply.object("error");
    error.number_always("code", code.into());
    error.text("message", message);
    error.flag("temporary", temporary);
    error.close();
    reply.close();
}

/// Appends a push; for a unidirectional client (`is_uni`) without the envelope of a reply.
pub fn put_push(out: &mut Vec<u8>, start: usize, is_uni: bool, channel: ChannelRef<'_>, push: &Push<'_>) {
    let mut reply = begin(out, start);
    if is_uni {
        put_push_fields(&mut reply, channel, push);
    } else {
        let mut object = reply.object("push");
        put_push_fields(&mut object, channel, push);
        object.close();
    }
    reply.close();
}

fn put_push_fields(object: &mut Object<'_>, channel: ChannelRef<'_>, push: &Push<'_>) {
    match channel {
        ChannelRef::None => {}
        ChannelRef::Name(name) => object.text("channel", name),
        ChannelRef::Id(id) => object.signed("id", id),
    }
    match push {
        Push::Publication(publication) => put_publication(object.object("pub"), publication),
        Push::Join(info) => put_join(object.object("join"), info),
        Push::Leave(info) => put_join(object.object("leave"), info),
        Push::Unsubscribe { code, reason } => {
            let mut unsubscribe = object.object("unsubscribe");
            unsubscribe.number("code", u64::from(*code));
            unsubscribe.text("reason", reason);
            unsubscribe.close();
        }
        Push::Subscribe(result) => {
            let mut subscribe = object.object("subscribe");
            subscribe.flag("recoverable", result.recoverable);
            subscribe.text("epoch", result.epoch);
            subscribe.number("offset", result.offset);
            subscribe.flag("positioned", result.positioned);
            subscribe.payload("data", result.data);
            subscribe.close();
        }
        Push::Message(data) => {
            let mut message = object.object("message");
            put_payload(message.name("data"), *data);
            message.close();
        }
        Push::Connect(result) => put_connect(object.object("connect"), result),
        Push::Disconnect { code, reason, reconnect } => {
            let mut disconnect = object.object("disconnect");
            disconnect.number("code", u64::from(*code));
            disconnect.text("reason", reason);
            disconnect.flag("reconnect", *reconnect);
            disconnect.close();
        }
        Push::Refresh { expires, ttl_s } => {
            let mut refresh = object.object("refresh");
            refresh.expiry(*expires, *ttl_s);
            refresh.close();
        }
    }
}

fn put_connect(mut object: Object<'_>, result: &ConnectResult<'_>) {
    object.text_always("client", result.client);
    object.text_always("version", result.version);
    object.expiry(result.expires, result.ttl_s);
    object.payload("data", result.data);
    if !result.subs.is_empty() {
        let mut subs = object.object("subs");
        result.subs.iter().for_each(|(channel, sub)| put_subscribe(Object::open(subs.key(channel)), sub));
        subs.close();
    }
    object.number("ping", result.ping_s.into());
    object.flag("pong", result.pong);
    object.text("session", result.session);
    object.text("node", result.node);
    object.signed("time", result.time_ms);
    object.close();
}

fn put_subscribe(mut object: Object<'_>, result: &SubscribeResult<'_>) {
    object.expiry(result.expires, result.ttl_s);
    object.flag("recoverable", result.recoverable);
    object.text("epoch", result.epoch);
    if !result.publications.is_empty() {
        object.publications(result.publications);
    }
    object.flag("recovered", result.recovered);
    object.number("offset", result.offset);
    object.flag("positioned", result.positioned);
    object.payload("data", result.data);
    object.flag("was_recovering", result.was_recovering);
    object.flag("delta", result.delta);
    object.signed("id", result.id);
    object.close();
}

fn put_join(mut object: Object<'_>, info: &ClientInfo<'_>) {
    put_info(object.object("info"), info);
    object.close();
}

fn put_info(mut object: Object<'_>, info: &ClientInfo<'_>) {
    object.text_always("user", info.user);
    object.text_always("client", info.client);
    object.payload("conn_info", info.conn_info);
    object.payload("chan_info", info.chan_info);
    object.close();
}

fn put_publication(mut object: Object<'_>, publication: &Publication<'_>) {
    let out = object.name("data");
    match (publication.data, publication.delta) {
        (Data::Apart(apart), _) => apart.leave_out(out),
        (Data::Json(delta) | Data::Text(delta) | Data::Binary(delta), true) => {
            put_string(out, &String::from_utf8_lossy(delta));
        }
        (data, false) if publication.takes_deltas => {
            put_string(out, &String::from_utf8_lossy(&json_text(data)));
        }
        (data, false) => put_data(out, data),
    }
    if let Some(info) = &publication.info {
        put_info(object.object("info"), info);
    }
    object.number("offset", publication.offset);
    if !publication.tags.is_empty() {
        let mut tags = object.object("tags");
        publication.tags.iter().for_each(|(name, value)| put_string(tags.key(name), value));
        tags.close();
    }
    object.flag("delta", publication.delta);
    object.text("epoch", publication.epoch);
    object.number("version", publication.version);
    object.close();
}

/// The JSON text of a payload in this encoding: text that is not JSON becomes a string, other bytes a base64 string.
/// Deltas lead from one such text to the next.
pub fn json_text(data: Data<'_>) -> Cow<'_, [u8]> {
    let string = |text: &str| {
        let mut string = Vec::with_capacity(text.len() + 2);
        put_string(&mut string, text);
        Cow::Owned(string)
    };
    match data {
        Data::Json([]) => Cow::Borrowed(b"null"),
        Data::Apart(apart) => Cow::Borrowed(apart.data()),
        Data::Json(json) => Cow::Borrowed(json),
        Data::Text(bytes) | Data::Binary(bytes) if payload::is_json(bytes) => Cow::Borrowed(bytes),
        Data::Text(bytes) => string(&String::from_utf8_lossy(bytes)),
        Data::Binary(bytes) => string(&data_encoding::BASE64.encode(bytes)),
    }
}

/// Appends a payload as JSON on a line of its own, see [`json_text`].
pub fn put_data(out: &mut Vec<u8>, data: Data<'_>) {
    put_raw(out, &json_text(data));
}

/// Appends a payload of the application as JSON on a line of its own: other bytes become a base64 string, an empty
/// payload `null`.
pub fn put_payload(out: &mut Vec<u8>, payload: PayloadRef<'_>) {
    match payload.json() {
        _ if payload.bytes().is_empty() => out.extend_from_slice(b"null"),
        Some(json) => put_raw(out, json),
        None => put_string(out, &data_encoding::BASE64.encode(payload.bytes())),
    }
}

/// Appends JSON on a line of its own: line ends, which JSON allows between tokens but the framing does not, become
/// spaces.
fn put_raw(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    for at in memchr::memchr2_iter(b'\n', b'\r', json) {
        out[start + at] = b' ';
    }
}

/// Appends `text` as a JSON string.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    #[expect(clippy::expect_used, reason = "writing a string to a Vec cannot fail")]
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

/// Begins a message, and separates it from the previous one of the same frame, which began at `start`.
fn begin(out: &mut Vec<u8>, start: usize) -> Object<'_> {
    if out.len() > start {
        out.push(b'\n');
    }
    Object::open(out)
}

/// A JSON object under construction. Empty numbers, texts, flags and payloads are omitted.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// Begins a field of the protocol; its value must follow.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Begins a field of any name; its value must follow.
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        put_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }

    fn object(&mut self, name: &'static str) -> Object<'_> {
        Object::open(self.name(name))
    }

    fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.text_always(name, text);
        }
    }

    fn text_always(&mut self, name: &'static str, text: &str) {
        put_string(self.name(name), text);
    }

    fn number(&mut self, name: &'static str, number: u64) {
        if number != 0 {
            self.number_always(name, number);
        }
    }

    fn number_always(&mut self, name: &'static str, number: u64) {
        #[expect(clippy::expect_used, reason = "writing a number to a Vec cannot fail")]
        serde_json::to_writer(self.name(name), &number).expect("a number is always JSON");
    }

    fn signed(&mut self, name: &'static str, number: i64) {
        if number != 0 {
            #[expect(clippy::expect_used, reason = "writing a number to a Vec cannot fail")]
            serde_json::to_writer(self.name(name), &number).expect("a number is always JSON");
        }
    }

    fn flag(&mut self, name: &'static str, flag: bool) {
        if flag {
            self.name(name).extend_from_slice(b"true");
        }
    }

    fn payload(&mut self, name: &'static str, payload: PayloadRef<'_>) {
        if !payload.bytes().is_empty() {
            put_payload(self.name(name), payload);
        }
    }

    fn expiry(&mut self, expires: bool, ttl_s: u32) {
        self.flag("expires", expires);
        self.number("ttl", ttl_s.into());
    }

    fn publications(&mut self, publications: &[Publication<'_>]) {
        self.name("publications").push(b'[');
        for (n, publication) in publications.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            put_publication(Object::open(self.out), publication);
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn answer(answer: &Answer<'_>) -> String {
        text(|out| put_answer(out, 0, 7, answer))
    }

    fn push(push: &Push<'_>) -> String {
        text(|out| put_push(out, 0, true, ChannelRef::None, push))
    }

    const PUBLICATION: Publication<'_> = Publication {
        data: Data::Json(b"[1]"),
        info: None,
        offset: 0,
        tags: &[],
        delta: false,
        takes_deltas: false,
        epoch: "",
        version: 0,
    };

    #[test]
    fn messages_of_a_frame_are_joined_by_newlines() {
        let joined = text(|out| {
            out.extend(b"head");
            put_answer(out, 4, 1, &Answer::Ping);
            put_error(out, 4, 2, 111, "too many requests", true);
            put_push(out, 4, false, ChannelRef::Name("a\"b"), &Push::Publication(PUBLICATION));
            put_push(out, 4, true, ChannelRef::Id(9), &Push::Publication(PUBLICATION));
        });
        assert_eq!(
            joined,
            "head{\"id\":1,\"ping\":{}}\n\
             {\"id\":2,\"error\":{\"code\":111,\"message\":\"too many requests\",\"temporary\":true}}\n\
             {\"push\":{\"channel\":\"a\\\"b\",\"pub\":{\"data\":[1]}}}\n\
             {\"id\":9,\"pub\":{\"data\":[1]}}"
        );
    }

    #[test]
    fn what_clients_expect_is_there_when_empty() {
        assert_eq!(
            answer(&Answer::Connect(ConnectResult::default())),
            r#"{"id":7,"connect":{"client":"","version":""}}"#
        );
        assert_eq!(answer(&Answer::Subscribe(SubscribeResult::default())), r#"{"id":7,"subscribe":{}}"#);
        assert_eq!(answer(&Answer::Presence(&[])), r#"{"id":7,"presence":{"presence":{}}}"#);
        let history = Answer::History { publications: &[], position: (0, "") };
        assert_eq!(answer(&history), r#"{"id":7,"history":{"publications":[],"epoch":"","offset":0}}"#);
        let stats = Answer::PresenceStats { client_count: 0, user_count: 0 };
        assert_eq!(answer(&stats), r#"{"id":7,"presence_stats":{"num_clients":0,"num_users":0}}"#);
        assert_eq!(answer(&Answer::Rpc(PayloadRef::of(b""))), r#"{"id":7,"rpc":{}}"#);
        assert_eq!(push(&Push::Message(PayloadRef::of(b""))), r#"{"message":{"data":null}}"#);
        assert_eq!(push(&Push::Join(ClientInfo::default())), r#"{"join":{"info":{"user":"","client":""}}}"#);
    }

    #[test]
    fn a_publication_says_what_is_known() {
        let tags = [(Box::from("k\n"), Box::from("v"))];
        let info = ClientInfo {
            user: "u",
            client: "c",
            conn_info: PayloadRef::of(b"{\n}"),
            chan_info: PayloadRef::of(b"\xff"),
        };
        let publication =
            Publication { info: Some(info), offset: 5, tags: &tags, epoch: "e", version: 3, ..PUBLICATION };
        assert_eq!(
            push(&Push::Publication(publication)),
            r#"{"pub":{"data":[1],"info":{"user":"u","client":"c","conn_info":{ },"chan_info":"/w=="},"offset":5,"tags":{"k\n":"v"},"epoch":"e","version":3}}"#
        );
    }

    #[test]
    fn payloads_become_json_on_one_line() {
        for (data, wanted) in [
            (Data::Json(b"{\n\"a\":\r\n1}"), "{ \"a\":  1}"),
            (Data::Json(b""), "null"),
            (Data::Text(b"{\n\"a\":\r\n1}"), "{ \"a\":  1}"),
            (Data::Text(b"two\nlines"), r#""two\nlines""#),
            (Data::Text(b""), r#""""#),
            (Data::Text(b"\"\xff\""), "\"\\\"\u{fffd}\\\"\""),
            (Data::Binary(b"{\n}"), "{ }"),
            (Data::Binary(b"hello"), r#""aGVsbG8=""#),
            (Data::Binary(b"\"\xff\""), r#""Iv8i""#),
            (Data::Binary(b""), r#""""#),
        ] {
            let publication = Publication { data, ..PUBLICATION };
            let wanted = format!("{{\"pub\":{{\"data\":{wanted}}}}}");
            assert_eq!(push(&Push::Publication(publication)), wanted, "{data:?}");
        }
        // Longer than one block of the scan.
        let long = format!("[{}0\n]", "0,".repeat(100));
        assert_eq!(
            answer(&Answer::Rpc(PayloadRef::of(long.as_bytes()))),
            format!("{{\"id\":7,\"rpc\":{{\"data\":{}}}}}", long.replace('\n', " "))
        );
    }

    #[test]
    fn who_takes_deltas_gets_strings() {
        let put = |data, delta| {
            push(&Push::Publication(Publication { data, delta, takes_deltas: true, ..PUBLICATION }))
        };
        assert_eq!(put(Data::Json(b"{\n\"a\":1}"), false), r#"{"pub":{"data":"{\n\"a\":1}"}}"#);
        assert_eq!(put(Data::Text(b"x"), false), r#"{"pub":{"data":"\"x\""}}"#);
        assert_eq!(
            put(Data::Text("2\n2:é1;".as_bytes()), true),
            "{\"pub\":{\"data\":\"2\\n2:é1;\",\"delta\":true}}"
        );
    }

    #[test]
    fn ends_say_whether_to_come_back() {
        let unsubscribe = Push::Unsubscribe { code: 2500, reason: "insufficient state" };
        assert_eq!(push(&unsubscribe), r#"{"unsubscribe":{"code":2500,"reason":"insufficient state"}}"#);
        let disconnect = Push::Disconnect { code: 3001, reason: "shutdown", reconnect: true };
        assert_eq!(push(&disconnect), r#"{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}"#);
        let refresh = Push::Refresh { expires: true, ttl_s: 60 };
        assert_eq!(push(&refresh), r#"{"refresh":{"expires":true,"ttl":60}}"#);
    }
}
