//! Parsing of clients' JSON messages.
//!
//! Strings are borrowed from the frame where they contain no escapes, payloads are kept unchanged. Unknown fields are
//! skipped: newer clients use fields that older servers do not know. `null` equals a missing field, except for
//! payloads, where it is a message like any other. Of a repeated field the last counts. Field names are accepted in
//! any case, and a list is not an object.
//!
//! Invariant: an invalid value fails its command only, as long as the frame is JSON and the command's id a number.
//! JSON can contain strings that are not Unicode: half of a surrogate pair, from text that was cut inside an emoji.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::de::StrRead;
use serde_json::value::RawValue;

use super::super::filter::{self, Filter};
use super::super::message::{Command, Connect, HistoryRequest, Request, Subscribe};
use super::super::{CONNECT_HEADERS_MAX, CONNECT_SUBS_MAX, Emulation, Malformed};
use super::values::{IdAlone, Pairs, Text, bytes, present};
use crate::proto::json::{self, InAnyCase, or_default};

/// The commands of a frame.
pub struct Commands<'a> {
    frame: &'a str,
    is_text: bool,
    objects: serde_json::StreamDeserializer<'a, StrRead<'a>, InAnyCase<RawCommand<'a>>>,
    is_broken: bool,
}

impl<'a> Commands<'a> {
    /// A reader at the frame's first command.
    pub fn new(frame: &'a [u8]) -> Self {
        // One fast check of the whole frame; from bytes, each payload would be checked separately, and slowly.
        let text = simdutf8::basic::from_utf8(frame);
        let frame = text.unwrap_or_default();
        let objects = serde_json::Deserializer::from_str(frame).into_iter();
        Self { frame, is_text: text.is_ok(), objects, is_broken: false }
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_broken {
            return None;
        }
        let rest = self.frame.as_bytes().get(self.objects.byte_offset()..).unwrap_or(&[]).trim_ascii_start();
        let command = match rest.first() {
            _ if !self.is_text => Err(Malformed::Json(serde_json::Error::custom("it is not UTF-8"))),
            Some(b'{') | None => match self.objects.next()? {
                Ok(InAnyCase(raw)) => Ok(raw.command()),
                Err(error) => {
                    let command = self.again(&error).or_else(|| self.unreadable());
                    command.ok_or(Malformed::Json(error))
                }
            },
            Some(_) => Err(not_an_object()),
        };
        self.is_broken = command.is_err();
        Some(command)
    }
}

impl<'a> Commands<'a> {
    /// Reads the object that was refused for `error` once more, if it repeats a field; and moves behind it.
    fn again(&mut self, error: &serde_json::Error) -> Option<Command<'a>> {
        let rest = self.frame.get(self.objects.byte_offset()..).filter(|_| error.is_data())?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&'a RawValue>();
        let text = values.next()?.ok()?.get();
        let command = json::of_last_keys::<RawCommand<'a>>(text).ok()?.command();
        self.frame = rest.get(values.byte_offset()..)?;
        self.objects = serde_json::Deserializer::from_str(self.frame).into_iter();
        Some(command)
    }

    /// The id of an unreadable object, after moving behind it; `None` when it is not an object or has no readable id.
    fn unreadable(&mut self) -> Option<Command<'a>> {
        let rest = self.frame.get(self.objects.byte_offset()..)?;
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<IdAlone>();
        let IdAlone(id) = objects.next()?.ok()?;
        self.frame = rest.get(objects.byte_offset()..)?;
        self.objects = serde_json::Deserializer::from_str(self.frame).into_iter();
        Some(Command { id, request: Request::Malformed })
    }
}

fn not_an_object() -> Malformed {
    Malformed::Json(serde_json::Error::custom("a message is a JSON object"))
}

/// Parses the first message of a unidirectional client.
///
/// # Errors
/// When it is not one object of the right structure.
pub fn connect_request(frame: &[u8]) -> Result<Connect, Malformed> {
    match frame.trim_ascii_start().first() {
        None => Ok(Connect::default()),
        Some(b'n') if frame.trim_ascii() == b"null" => Ok(Connect::default()),
        Some(b'{') => {
            json::from_slice::<RawConnect<'_>>(frame).map(RawConnect::connect).map_err(Malformed::Json)
        }
        Some(_) => Err(not_an_object()),
    }
}

/// Parses the body of a request to the emulation endpoint: clients send the commands as a string; raw JSON is
/// accepted as well.
///
/// # Errors
/// When it is not one object of the right structure.
pub fn emulation_request(body: &[u8]) -> Result<Emulation<'_>, Malformed> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(not_an_object());
    }
    let raw: RawEmulation<'_> = json::from_slice(body).map_err(Malformed::Json)?;
    let data = match raw.data.map(RawValue::get) {
        Some(text) if text.starts_with('"') => {
            match serde_json::from_str::<Text<'_>>(text).map_err(Malformed::Json)?.0 {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }
        }
        Some("null") | None => Cow::default(),
        Some(json) => Cow::Borrowed(json.as_bytes()),
    };
    Ok(Emulation { node: raw.node.0, session: raw.session.0, data })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCommand<'a> {
    #[serde(deserialize_with = "or_default")]
    id: u32,
    #[serde(borrow)]
    connect: Option<Box<RawConnect<'a>>>,
    #[serde(borrow)]
    subscribe: Option<Box<RawSubscribe<'a>>>,
    #[serde(borrow)]
    unsubscribe: Option<OfChannel<'a>>,
    #[serde(borrow)]
    publish: Option<RawPublish<'a>>,
    #[serde(borrow)]
    presence: Option<OfChannel<'a>>,
    #[serde(borrow)]
    presence_stats: Option<OfChannel<'a>>,
    #[serde(borrow)]
    history: Option<Box<RawHistory<'a>>>,
    ping: Option<IgnoredAny>,
    #[serde(borrow)]
    send: Option<RawSend<'a>>,
    #[serde(borrow)]
    rpc: Option<RawRpc<'a>>,
    #[serde(borrow)]
    refresh: Option<RawRefresh<'a>>,
    #[serde(borrow)]
    sub_refresh: Option<Box<RawSubRefresh<'a>>>,
}

impl<'a> RawCommand<'a> {
    /// The command of these fields: the first of the protocol's requests, if a client sends several.
    fn command(self) -> Command<'a> {
        let id = self.id;
        let request = if let Some(connect) = self.connect {
            Request::Connect(Box::new(connect.connect()))
        } else if let Some(subscribe) = self.subscribe {
            subscribe
                .subscribe()
                .map_or(Request::Malformed, |subscribe| Request::Subscribe(Box::new(subscribe)))
        } else if let Some(OfChannel { channel }) = self.unsubscribe {
            Request::Unsubscribe { channel: channel.0 }
        } else if let Some(RawPublish { channel, data }) = self.publish {
            Request::Publish { channel: channel.0, data: data.map(|data| bytes(Some(data))) }
        } else if let Some(OfChannel { channel }) = self.presence {
            Request::Presence { channel: channel.0 }
        } else if let Some(OfChannel { channel }) = self.presence_stats {
            Request::PresenceStats { channel: channel.0 }
        } else if let Some(history) = self.history {
            Request::History(history.history())
        } else if self.ping.is_some() {
            Request::Ping
        } else if let Some(RawSend { data }) = self.send {
            Request::Send { data: bytes(data) }
        } else if let Some(RawRpc { method, data }) = self.rpc {
            Request::Rpc { method: method.0, data: bytes(data) }
        } else if let Some(RawRefresh { token }) = self.refresh {
            Request::Refresh { token: token.0.into_owned() }
        } else if let Some(refresh) = self.sub_refresh {
            let RawSubRefresh { channel, token } = *refresh;
            Request::SubRefresh { channel: channel.0.into_owned(), token: token.0.into_owned() }
        } else if id == 0 {
            Request::Pong
        } else {
            Request::Unknown
        };
        Command { id, request }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawConnect<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    headers: Pairs<Text<'a>, CONNECT_HEADERS_MAX>,
    #[serde(borrow)]
    subs: Pairs<RawSubscribe<'a>, CONNECT_SUBS_MAX>,
}

impl RawConnect<'_> {
    fn connect(self) -> Connect {
        let sub = |(channel, raw): (String, RawSubscribe<'_>)| Subscribe { channel, ..raw.unfiltered() };
        Connect {
            token: self.token.0.into_owned(),
            data: bytes(self.data).into_owned(),
            name: self.name.0.into_owned(),
            version: self.version.0.into_owned(),
            headers: self.headers.0.into_iter().map(|(name, value)| (name, value.0.into_owned())).collect(),
            subs: self.subs.0.into_iter().map(sub).collect(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSubscribe<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(deserialize_with = "or_default")]
    recover: bool,
    #[serde(borrow)]
    epoch: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(deserialize_with = "or_default")]
    positioned: bool,
    #[serde(deserialize_with = "or_default")]
    recoverable: bool,
    #[serde(deserialize_with = "or_default")]
    join_leave: bool,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(borrow)]
    tf: Option<&'a RawValue>,
    #[serde(deserialize_with = "or_default")]
    flag: i64,
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
}

impl RawSubscribe<'_> {
    fn subscribe(self) -> Result<Subscribe, filter::Invalid> {
        let filter = self.tf.map(|tf| read_filter(tf.get()).map(Box::new)).transpose()?;
        Ok(Subscribe { filter, ..self.unfiltered() })
    }

    fn unfiltered(self) -> Subscribe {
        Subscribe {
            channel: self.channel.0.into_owned(),
            token: self.token.0.into_owned(),
            data: bytes(self.data).into_owned(),
            recover: self.recover,
            epoch: self.epoch.0.into_owned(),
            offset: self.offset,
            positioned: self.positioned,
            recoverable: self.recoverable,
            join_leave: self.join_leave,
            delta: self.delta.0.into_owned(),
            filter: None,
            flag: self.flag,
            kind: self.kind,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawNode<'a> {
    #[serde(borrow)]
    op: Text<'a>,
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    cmp: Text<'a>,
    #[serde(borrow)]
    val: Text<'a>,
    #[serde(borrow)]
    vals: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    nodes: Option<Vec<Self>>,
}

fn read_filter(tf: &str) -> Result<Filter, filter::Invalid> {
    fn node(raw: RawNode<'_>) -> filter::Node<'_> {
        filter::Node {
            op: raw.op.0,
            key: raw.key.0,
            cmp: raw.cmp.0,
            val: raw.val.0,
            vals: raw.vals.unwrap_or_default().into_iter().map(|val| val.0).collect(),
            nodes: raw.nodes.unwrap_or_default().into_iter().map(node).collect(),
        }
    }
    if tf.len() > filter::BYTES_MAX {
        return Err(filter::Invalid::TooLarge);
    }
    if !tf.starts_with('{') {
        return Err(filter::Invalid::Shape);
    }
    filter::read(&node(json::from_str(tf).map_err(|_| filter::Invalid::Shape)?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfChannel<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPublish<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSend<'a> {
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRpc<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawHistory<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    limit: i32,
    #[serde(borrow)]
    since: Option<RawPosition<'a>>,
    #[serde(deserialize_with = "or_default")]
    reverse: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPosition<'a> {
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(borrow)]
    epoch: Text<'a>,
}

impl<'a> RawHistory<'a> {
    fn history(self) -> HistoryRequest<'a> {
        HistoryRequest {
            channel: self.channel.0,
            limit: self.limit,
            since: self.since.map(|position| (position.offset, position.epoch.0.into_owned())),
            reverse: self.reverse,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRefresh<'a> {
    #[serde(borrow)]
    token: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawSubRefresh<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawEmulation<'a> {
    #[serde(borrow)]
    node: Text<'a>,
    #[serde(borrow)]
    session: Text<'a>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frame: &str) -> Vec<String> {
        let words = |command: Result<Command<'_>, _>| match command {
            Ok(Command { id, request }) => format!("{id} {request:?}"),
            Err(_) => "error".to_owned(),
        };
        Commands::new(frame.as_bytes()).map(words).collect()
    }

    #[test]
    fn commands_of_a_frame_come_in_order() {
        let seen = all(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"unsubscribe\":{\"channel\":\"a\\u0062\"}}{} {\"id\":3}\n",
        );
        assert_eq!(seen.len(), 4);
        assert!(seen[0].starts_with("1 Connect"));
        assert_eq!(seen[1..], ["2 Unsubscribe { channel: \"ab\" }", "0 Pong", "3 Unknown"]);
        assert!(all("").is_empty() && all(" \r\n").is_empty());
    }

    /// As Go's decoders read them, of frames from .NET and Go programs.
    #[test]
    fn names_of_fields_are_taken_in_any_case_at_every_depth() {
        let history = |id: &str, history: &str, since: &str| {
            format!(r#"{{"{id}":1,"{history}":{{"channel":"c","{since}":{{"Offset":7,"EPOCH":"e"}}}}}}"#)
        };
        assert_eq!(all(&history("ID", "History", "Since")), all(&history("id", "history", "since")));
        assert_eq!(
            all(r#"{"Id":2,"SUBSCRIBE":{"Channel":"C"}}"#),
            all(r#"{"id":2,"subscribe":{"channel":"C"}}"#)
        );
        assert_eq!(all(r#"{"ID":3,"Ping":{}}{"iD":4}"#), ["3 Ping", "4 Unknown"]);
        // Also of one whose value cannot be read, and of one that stands twice.
        assert_eq!(all(r#"{"ID":5,"Publish":{"Channel":7}}"#), ["5 Malformed"]);
        assert_eq!(all(r#"{"id":6,"ID":7}"#), ["7 Unknown"]);
        let connect = connect_request(br#"{"Token":"t","Subs":{"C":{"Recover":true,"OFFSET":5}}}"#).unwrap();
        assert_eq!((&*connect.token, connect.subs[0].offset, &*connect.subs[0].channel), ("t", 5, "C"));
    }

    #[test]
    fn what_is_not_utf_8_is_one_error_wherever_it_stands() {
        let frames: [&[u8]; 3] = [
            b"{\"id\":1,\"rpc\":{\"data\":\"\xff\"}}",
            b"{\"id\":1,\"ping\":{},\"unknown\":\"\xff\"}",
            b"\xff",
        ];
        for frame in frames {
            let mut commands = Commands::new(frame);
            assert!(matches!(commands.next(), Some(Err(Malformed::Json(_)))));
            assert!(commands.next().is_none());
        }
    }

    #[test]
    fn requests_are_read_field_by_field() {
        let history = r#"{"id":1,"history":{"channel":"c","limit":-1,"since":{"offset":7,"epoch":"e"},"reverse":true}}"#;
        assert_eq!(
            all(history),
            [
                r#"1 History(HistoryRequest { channel: "c", limit: -1, since: Some((7, "e")), reverse: true })"#
            ]
        );
        assert_eq!(
            all(r#"{"id":2,"presence":{"channel":"c"}}{"id":3,"presence_stats":{"channel":"c"}}"#),
            [r#"2 Presence { channel: "c" }"#, r#"3 PresenceStats { channel: "c" }"#]
        );
        assert_eq!(
            all(
                r#"{"id":4,"refresh":{"token":"t"}}{"id":5,"sub_refresh":{"channel":"c","token":"t"}}{"id":6,"ping":{}}"#
            ),
            [r#"4 Refresh { token: "t" }"#, r#"5 SubRefresh { channel: "c", token: "t" }"#, "6 Ping"]
        );
    }

    #[test]
    fn a_subscribe_command_as_the_javascript_client_sends_it() {
        let frame = r#"{"subscribe":{"channel":"c","token":"t","data":{"a": 1},"positioned":true,"recoverable":true,
            "join_leave":true,"flag":1,"recover":true,"offset":18446744073709551615,"epoch":"e","delta":"fossil",
            "tf":{"op":"not","nodes":[{"key":"k","cmp":"in","vals":["v"]}]},"type":1,"new":[{}]},"id":3}"#;
        let command = Commands::new(frame.as_bytes()).next().unwrap().unwrap();
        let Request::Subscribe(subscribe) = command.request else { panic!("not a subscribe") };
        let test = filter::Test::In(["v".into()].into());
        let wanted = Subscribe {
            channel: "c".to_owned(),
            token: "t".to_owned(),
            data: br#"{"a": 1}"#.to_vec(),
            recover: true,
            epoch: "e".to_owned(),
            offset: u64::MAX,
            positioned: true,
            recoverable: true,
            join_leave: true,
            delta: "fossil".to_owned(),
            filter: Some(Box::new(Filter::Not(Box::new(Filter::Compare { key: "k".into(), test })))),
            flag: 1,
            kind: 1,
        };
        assert_eq!(*subscribe, wanted);
    }

    #[test]
    fn connects_carry_headers_and_positions() {
        let frame = br#"{"token":"t","data":null,"name":"js","version":"1","headers":{"a":"b"},
            "subs":{"c":{"recover":true,"offset":5,"epoch":"e","tf":7}}}"#;
        let connect = connect_request(frame).unwrap();
        assert_eq!(connect.headers, [("a".to_owned(), "b".to_owned())]);
        let sub = Subscribe {
            channel: "c".to_owned(),
            recover: true,
            offset: 5,
            epoch: "e".to_owned(),
            ..Subscribe::default()
        };
        assert_eq!(connect.subs, [sub]);
        assert_eq!(
            (&*connect.token, &*connect.data, &*connect.name, &*connect.version),
            ("t", &b"null"[..], "js", "1")
        );
        for nothing in ["", " \n", "{}"] {
            assert_eq!(connect_request(nothing.as_bytes()).unwrap(), Connect::default());
        }
        for bad in ["[]", "{}{}", "7", "{", r#"{"token":7}"#] {
            assert!(connect_request(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn payloads_and_names_are_borrowed_as_they_came() {
        let frame = br#"{"id":3,"publish":{"channel":"c","data":{"b" : [1.50, "\u00e9"]}}}{"id":4,"rpc":{"method":"m","data":[ ]}}"#;
        let mut commands = Commands::new(frame);
        let Request::Publish { channel, data } = commands.next().unwrap().unwrap().request else {
            panic!("other")
        };
        assert!(matches!(channel, Cow::Borrowed("c")));
        assert!(matches!(data, Some(Cow::Borrowed(br#"{"b" : [1.50, "\u00e9"]}"#))));
        let Request::Rpc { method, data } = commands.next().unwrap().unwrap().request else {
            panic!("other")
        };
        assert!(matches!((method, data), (Cow::Borrowed("m"), Cow::Borrowed(b"[ ]"))));
    }

    #[test]
    fn null_is_a_message_and_nothing_else() {
        let data = |frame: &str| {
            let command = Commands::new(frame.as_bytes()).next().unwrap().unwrap();
            let Request::Publish { data, .. } = command.request else { panic!("not a publish") };
            data.map(Cow::into_owned)
        };
        assert_eq!(data(r#"{"id":3,"publish":{"channel":"c","data":null}}"#).as_deref(), Some(&b"null"[..]));
        assert_eq!(data(r#"{"id":3,"publish":{"channel":"c"}}"#), None);
        assert_eq!(data(r#"{"id":3,"connect":null,"publish":{"channel":null}}"#), None);
        assert_eq!(all(r#"{"id":null,"connect":null}"#), ["0 Pong"]);
    }

    #[test]
    fn a_broken_frame_ends_in_an_error() {
        for bad in [
            "{",
            "nonsense",
            "{\"id\":-1}",
            "{\"id\":4294967296}",
            "{\"id\":\"1\",\"ping\":{}}",
            "[]",
            "{}x",
            "{}\u{b}",
            "\"\"",
            r#"{"id":1,"publish":{"channel":7}"#,
            r#"{"id":1,"publish":{"channel":"\x"}}"#,
        ] {
            assert_eq!(all(bad).last().map(String::as_str), Some("error"), "{bad}");
        }
        assert_eq!(all("{\"id\":1}[]{\"id\":2}"), ["1 Unknown", "error"]);
    }

    #[test]
    fn a_value_that_cannot_be_read_spoils_its_command_only() {
        for bad in [
            r#""publish":7"#,
            r#""publish":{"channel":7,"data":1}"#,
            r#""publish":{"channel":"a\ud83d","data":1}"#,
            r#""publish":{"channel":"\ude00","data":1}"#,
            r#""publish":{"channel":"a","data":1,"\ud83d":1}"#,
            r#""subscribe":{"channel":"a\ud83db"}"#,
            r#""subscribe":{"channel":"a","offset":-1}"#,
            r#""subscribe":{"channel":"a","recover":"yes"}"#,
            r#""rpc":{"method":"\ud83d\ud83d","data":{}}"#,
            r#""history":{"channel":"a","limit":2147483648}"#,
            r#""history":{"channel":"a","since":[1,2]}"#,
            r#""sub_refresh":{"channel":"a","token":["t"]}"#,
            r#""\ud83d":{},"ping":{}"#,
        ] {
            let whole = |before: &str, behind: &str| {
                format!(
                    "{{\"id\":1,\"ping\":{{}}}}\n {{{before}{bad}{behind}}}\n{{\"id\":3,\"ping\":{{}}}}{{}}"
                )
            };
            for frame in [whole("\"id\":2,", ""), whole("", ",\"id\":2"), whole("\"id\":9,\"id\":2,", "")] {
                assert_eq!(all(&frame), ["1 Ping", "2 Malformed", "3 Ping", "0 Pong"], "{frame}");
            }
            assert_eq!(all(&format!("{{{bad}}}{{}}")), ["0 Malformed", "0 Pong"], "{bad}");
        }
        // A payload belongs to the application and may contain any string.
        let seen = all(r#"{"id":1,"publish":{"channel":"a","data":"\ud83d"}}"#);
        assert!(seen[0].starts_with("1 Publish"), "{seen:?}");
    }

    #[test]
    fn a_bad_filter_ends_its_command_only() {
        let seen =
            all(r#"{"id":1,"subscribe":{"channel":"c","tf":[]}}{"id":2,"subscribe":{"tf":{"cmp":"eq"}}}{}"#);
        assert_eq!(seen, ["1 Malformed", "2 Malformed", "0 Pong"]);
        assert_eq!(read_filter("[]"), Err(filter::Invalid::Shape));
        assert_eq!(read_filter(r#"{"cmp":"eq"}"#), Err(filter::Invalid::Values));
        let filter = |val: usize| format!(r#"{{"key":"k","cmp":"eq","val":"{}"}}"#, "v".repeat(val));
        let room = filter::BYTES_MAX - filter(0).len();
        assert!(read_filter(&filter(room)).is_ok());
        assert_eq!(read_filter(&filter(room + 1)), Err(filter::Invalid::TooLarge));
    }

    #[test]
    fn emulation_carries_commands_as_a_string() {
        let body = r#"{"session":"s","node":"n","data":"{\"id\":2}\n{}"}"#;
        let emulation = emulation_request(body.as_bytes()).unwrap();
        assert_eq!((&*emulation.node, &*emulation.session), ("n", "s"));
        assert_eq!(&*emulation.data, b"{\"id\":2}\n{}");
        let data = |body: &str| emulation_request(body.as_bytes()).map(|e| e.data.into_owned()).ok();
        assert_eq!(data(r#"{"data":{"id": 2}}"#).as_deref(), Some(&b"{\"id\": 2}"[..]));
        assert_eq!(data(r#"{"data":null}"#).as_deref(), Some(&b""[..]));
        for bad in ["", "[]", "{}{}", r#"{"node":7}"#, r#"{"data":"\x"}"#] {
            assert_eq!(data(bad), None, "{bad}");
        }
    }
}
