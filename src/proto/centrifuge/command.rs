//! Commands, as clients send them: one JSON object per line, several in a frame.
//!
//! Strings are borrowed from the frame where they hold no escapes, payloads are kept as they came. Unknown fields
//! are passed over: newer clients offer what older servers do not know.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One command: an id and at most one request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Command<'a> {
    /// Chosen by the client and repeated in the reply; 0 when none is expected.
    pub id: u32,
    #[serde(borrow)]
    connect: Option<Connect<'a>>,
    #[serde(borrow)]
    subscribe: Option<Subscribe<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<Unsubscribe<'a>>,
    #[serde(borrow)]
    publish: Option<Publish<'a>>,
    #[serde(borrow)]
    send: Option<Send<'a>>,
    ping: Option<IgnoredAny>,
    presence: Option<IgnoredAny>,
    presence_stats: Option<IgnoredAny>,
    history: Option<IgnoredAny>,
    rpc: Option<IgnoredAny>,
    refresh: Option<IgnoredAny>,
    sub_refresh: Option<IgnoredAny>,
}

/// First command of a connection.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Connect<'a> {
    /// Name of the client's kind.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Version of the client's software.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
}

/// Asks for the publications of a channel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscribe<'a> {
    /// Name of the channel.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
}

/// Ends a subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Unsubscribe<'a> {
    /// Name of the channel.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
}

/// Puts a message into a channel.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Publish<'a> {
    /// Name of the channel.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// The message: any JSON value.
    #[serde(borrow, deserialize_with = "present")]
    pub data: Option<&'a RawValue>,
}

/// Keeps `null`, a message like any other, apart from no message at all.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A message to the server itself, without a reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Send<'a> {
    /// The message: any JSON value.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

/// What a command asks for.
#[derive(Debug)]
pub enum Request<'a> {
    /// An empty command: the answer to the server's ping.
    Pong,
    /// See [`Connect`].
    Connect(Connect<'a>),
    /// See [`Subscribe`].
    Subscribe(Subscribe<'a>),
    /// See [`Unsubscribe`].
    Unsubscribe(Unsubscribe<'a>),
    /// See [`Publish`].
    Publish(Publish<'a>),
    /// See [`Send`].
    Send(Send<'a>),
    /// The client's own ping.
    Ping,
    /// A request of the protocol that this server does not serve.
    NotAvailable,
    /// An id without any request that the protocol knows.
    Unknown,
}

impl<'a> Command<'a> {
    /// All commands of a frame, in order; an `Err` ends them.
    ///
    /// The `Err` is for a frame that is not a sequence of JSON objects of the right shape.
    pub fn parse_frame(frame: &'a [u8]) -> impl Iterator<Item = Result<Self, serde_json::Error>> {
        let mut commands = serde_json::Deserializer::from_slice(frame).into_iter();
        let mut is_broken = false;
        std::iter::from_fn(move || {
            if is_broken {
                return None;
            }
            // Only objects: the deserializer would also take a list of the fields' values.
            let rest = frame.get(commands.byte_offset()..).unwrap_or(&[]).trim_ascii_start();
            let command = match rest.first() {
                Some(b'{') | None => commands.next(),
                Some(_) => Some(Err(serde::de::Error::custom("a command is a JSON object"))),
            };
            is_broken = matches!(command, Some(Err(_)));
            command
        })
    }

    /// The request that it holds; the first, should a client send several.
    pub fn into_request(self) -> Request<'a> {
        if let Some(request) = self.publish {
            return Request::Publish(request);
        }
        if let Some(request) = self.subscribe {
            return Request::Subscribe(request);
        }
        if let Some(request) = self.connect {
            return Request::Connect(request);
        }
        if let Some(request) = self.unsubscribe {
            return Request::Unsubscribe(request);
        }
        if let Some(request) = self.send {
            return Request::Send(request);
        }
        if self.ping.is_some() {
            return Request::Ping;
        }
        let others =
            [self.presence, self.presence_stats, self.history, self.rpc, self.refresh, self.sub_refresh];
        match others.iter().any(Option::is_some) {
            true => Request::NotAvailable,
            false if self.id == 0 => Request::Pong,
            false => Request::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(frame: &str) -> Vec<String> {
        Command::parse_frame(frame.as_bytes())
            .map(|command| {
                command
                    .map(|c| (c.id, c.into_request()))
                    .map_or("error".into(), |(id, r)| format!("{id} {r:?}"))
            })
            .collect()
    }

    #[test]
    fn commands_of_a_frame_come_in_order() {
        let seen = all("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\\u0062\"}}\n{}");
        assert_eq!(seen.len(), 3);
        assert!(seen[0].starts_with("1 Connect"));
        assert!(seen[1].contains("channel: \"ab\""));
        assert_eq!(seen[2], "0 Pong");
    }

    #[test]
    fn payloads_are_kept_as_they_came() {
        let frame = br#"{"id":3,"publish":{"channel":"c","data":{"b" : [1.50, "\u00e9"]}}}"#;
        let command = Command::parse_frame(frame).next().unwrap().unwrap();
        let Request::Publish(publish) = command.into_request() else { panic!("not a publish") };
        assert_eq!(publish.data.unwrap().get(), r#"{"b" : [1.50, "\u00e9"]}"#);
        assert!(matches!(publish.channel, Cow::Borrowed("c")));
    }

    #[test]
    fn null_is_a_message_and_none_is_not() {
        for (frame, data) in [
            (&br#"{"id":3,"publish":{"channel":"c","data":null}}"#[..], Some("null")),
            (br#"{"id":3,"publish":{"channel":"c"}}"#, None),
        ] {
            let command = Command::parse_frame(frame).next().unwrap().unwrap();
            let Request::Publish(publish) = command.into_request() else { panic!("not a publish") };
            assert_eq!(publish.data.map(RawValue::get), data);
        }
    }

    #[test]
    fn what_is_not_served_is_told_apart_from_what_is_unknown() {
        assert_eq!(all(r#"{"id":1,"history":{"channel":"a"}}"#), ["1 NotAvailable"]);
        assert_eq!(all(r#"{"id":1,"ping":{}}"#), ["1 Ping"]);
        assert_eq!(all(r#"{"id":1,"dance":{}}"#), ["1 Unknown"]);
        assert_eq!(all(r#"{"id":1,"connect":{"flag":1,"subs":{},"new":[]}}"#).len(), 1);
    }

    #[test]
    fn a_broken_frame_ends_in_an_error() {
        for bad in ["{", "nonsense", "{\"id\":-1}", "[]", "{}x", "{\"id\":1,\"publish\":7}"] {
            assert_eq!(all(bad).last().map(String::as_str), Some("error"), "{bad}");
        }
        assert!(all("").is_empty());
    }

    proptest! {
        #[test]
        fn no_input_panics_or_goes_on_forever(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = Command::parse_frame(&bytes).take_while(Result::is_ok).take(1000).count();
            prop_assert!(count <= bytes.len());
        }
    }
}
