//! Effects: all that an application can do with a socket, in one closed list. Applications in Rust, rules and hooks end
//! in these. Here is also their form in the answer of a hook, in JSON.
//!
//! Invariant: an answer is read as a whole or not at all, and what it contains can be sent: names are not reserved,
//! placeholders refer to attachments, and there are at most [`EFFECTS_MAX`] effects. Left out: whether a room's name is too
//! long, which depends on the configuration.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{ATTACHMENTS_SENT_MAX, AttachmentStore, Attachments, JsonArgs, is_reserved, placeholder};

/// Maximum of effects in one answer.
pub const EFFECTS_MAX: usize = 256;
/// Maximum of rooms that one effect names.
pub const ROOMS_MAX: usize = 1000;
/// Maximum of bytes of the state that a hook stores in a socket.
pub const STATE_BYTES_MAX: usize = 64 << 10;

/// Names of rooms.
pub type Names<'e> = Vec<Cow<'e, str>>;

/// An act of an application on a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<'e> {
    /// Sends an event to sockets of the namespace.
    Emit(EmitEffect<'e>),
    /// The socket enters rooms.
    Join(Names<'e>),
    /// The socket leaves rooms.
    Leave(Names<'e>),
    /// Answers an event of the client, if it wants an answer and has none yet.
    Ack {
        /// Which of the events that the answer is about, from 0.
        event: usize,
        /// The answer.
        content: Content<'e>,
    },
    /// Disconnects the client from the namespace; it does not come back by itself.
    Disconnect {
        /// Whether from all its namespaces, and closes its connection.
        closes: bool,
    },
}

/// An event for sockets of the namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitEffect<'e> {
    /// Its name.
    pub event: Cow<'e, str>,
    /// Its arguments.
    pub content: Content<'e>,
    /// Rooms whose sockets receive it, each once; none: all sockets of the namespace. The id of a socket is a room with
    /// that socket alone.
    pub to: Names<'e>,
    /// Rooms whose sockets do not receive it.
    pub except: Names<'e>,
    /// Whether the socket itself does not receive it.
    pub is_to_others: bool,
    /// Whether sockets that have not read what was sent before do not receive it.
    pub is_volatile: bool,
}

/// Arguments with their attachments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content<'e> {
    /// The arguments.
    pub args: JsonArgs<'e>,
    /// The attachments.
    pub attachments: Binaries<'e>,
}

/// Attachments of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Binaries<'e> {
    /// Those of the client's event.
    Received(Attachments<'e>),
    /// Decoded ones.
    Decoded(Box<AttachmentStore>),
}

impl Default for Binaries<'_> {
    fn default() -> Self {
        Self::Received(Attachments::NONE)
    }
}

impl Binaries<'_> {
    /// All of them.
    pub fn get(&self) -> Attachments<'_> {
        match self {
            Self::Received(attachments) => *attachments,
            Self::Decoded(store) => store.get(),
        }
    }
}

/// The answer of a hook to one event or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookAnswer<'e> {
    /// New data of the socket, JSON; `None`: unchanged. `null` removes it.
    pub state: Option<&'e str>,
    /// The effects, in their order.
    pub effects: Vec<Effect<'e>>,
}

impl<'e> HookAnswer<'e> {
    /// Reads the result of an answer about `count` events.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(text: &'e str, count: usize) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err("the result is not an object".to_owned());
        }
        let told: Told<'e> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut reading = Reading { effects: Vec::new(), count };
        if told.events.len() > count {
            return Err(format!("events: {} answers to {count} events", told.events.len()));
        }
        reading.ack(0, told.ack)?;
        for (at, one) in told.events.into_iter().enumerate() {
            let at_event = |why: String| format!("events[{at}]: {why}");
            reading.ack(at, one.ack).map_err(at_event)?;
            reading.effects(at, one.effects).map_err(at_event)?;
        }
        reading.effects(0, told.effects)?;
        if told.state.is_some_and(|state| state.get().len() > STATE_BYTES_MAX) {
            return Err(format!("state: more than {STATE_BYTES_MAX} bytes"));
        }
        Ok(Self { state: told.state.map(RawValue::get), effects: reading.effects })
    }
}

/// Reads a list of effects, as in the answer of a hook that is not about an event.
///
/// # Errors
/// What is wrong, and where.
pub fn read_list(list: &str) -> Result<Vec<Effect<'_>>, String> {
    let told: Option<Vec<ToldEffect<'_>>> =
        serde_json::from_str(list).map_err(|error| format!("do: {error}"))?;
    let mut reading = Reading { effects: Vec::new(), count: 0 };
    reading.effects(0, told)?;
    Ok(reading.effects)
}

/// Effects that have been read.
struct Reading<'e> {
    effects: Vec<Effect<'e>>,
    /// Number of events that the answer is about.
    count: usize,
}

impl<'e> Reading<'e> {
    fn ack(&mut self, event: usize, args: Option<&'e RawValue>) -> Result<(), String> {
        let Some(args) = args else { return Ok(()) };
        let content = content(Some(args), &[]).map_err(|why| format!("ack: {why}"))?;
        self.push(Effect::Ack { event, content })
    }

    fn effects(&mut self, event: usize, told: Option<Vec<ToldEffect<'e>>>) -> Result<(), String> {
        for (at, effect) in told.into_iter().flatten().enumerate() {
            let (name, read) = self.effect(event, effect);
            let effect = read.map_err(|why| format!("do[{at}]: {name}: {why}"))?;
            self.push(effect)?;
        }
        Ok(())
    }

    fn push(&mut self, effect: Effect<'e>) -> Result<(), String> {
        if self.effects.len() == EFFECTS_MAX {
            return Err(format!("more than {EFFECTS_MAX} effects"));
        }
        self.effects.push(effect);
        Ok(())
    }

    fn effect(
        &self,
        event: usize,
        told: ToldEffect<'e>,
    ) -> (&'static str, Result<Effect<'e>, Cow<'static, str>>) {
        match told {
            ToldEffect::Emit(told) => ("emit", emit(told).map(Effect::Emit)),
            ToldEffect::Join(ToldRooms { rooms }) => ("join", Ok(Effect::Join(rooms.0))),
            ToldEffect::Leave(ToldRooms { rooms }) => ("leave", Ok(Effect::Leave(rooms.0))),
            ToldEffect::Ack(_) if self.count == 0 => ("ack", Err("there is no event to answer".into())),
            ToldEffect::Ack(ToldContent { args, attachments }) => {
                ("ack", content(args, &attachments).map(|content| Effect::Ack { event, content }))
            }
            ToldEffect::Disconnect(ToldEnd { close }) => {
                ("disconnect", Ok(Effect::Disconnect { closes: close }))
            }
        }
    }
}

fn emit(told: ToldEmit<'_>) -> Result<EmitEffect<'_>, Cow<'static, str>> {
    let ToldEmit { event, args, attachments, to, except, volatile, is_local: _ } = told;
    if is_reserved(&event) {
        return Err(format!("the event's name {event:?} is reserved by Socket.IO").into());
    }
    let content = content(args, &attachments)?;
    Ok(EmitEffect { event, content, to: to.0, except: except.0, is_to_others: false, is_volatile: volatile })
}

/// Arguments, a list, with attachments in base64.
fn content<'e>(args: Option<&'e RawValue>, attachments: &[String]) -> Result<Content<'e>, Cow<'static, str>> {
    let args = match args {
        None => JsonArgs::NONE,
        Some(list) if !list.get().starts_with('[') => return Err("the arguments are not a list".into()),
        Some(list) => JsonArgs::of_list(list.get()).map_err(|error| error.reason())?,
    };
    if attachments.is_empty() {
        return Ok(Content { args, attachments: Binaries::default() });
    }
    if attachments.len() > ATTACHMENTS_SENT_MAX {
        return Err(format!("more than {ATTACHMENTS_SENT_MAX} attachments").into());
    }
    let mut store = AttachmentStore::default();
    for (at, text) in attachments.iter().enumerate() {
        let data = BASE64.decode(text.as_bytes());
        store.push(&data.map_err(|_| format!("attachments[{at}] is not base64"))?);
    }
    placeholder::check(args.text(), 0..attachments.len()).map_err(|error| error.reason())?;
    Ok(Content { args, attachments: Binaries::Decoded(Box::new(store)) })
}

/// The result of an answer; fields that it does not know are ignored, as in those of other hooks.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    ack: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "also_null")]
    state: Option<&'a RawValue>,
    #[serde(rename = "do", borrow)]
    effects: Option<Vec<ToldEffect<'a>>>,
    #[serde(borrow, default)]
    events: Vec<ToldAnswer<'a>>,
}

/// The answer to one event of several.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldAnswer<'a> {
    #[serde(borrow)]
    ack: Option<&'a RawValue>,
    #[serde(rename = "do", borrow)]
    effects: Option<Vec<ToldEffect<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldEffect<'a> {
    #[serde(borrow)]
    Emit(ToldEmit<'a>),
    Join(ToldRooms<'a>),
    Leave(ToldRooms<'a>),
    #[serde(borrow)]
    Ack(ToldContent<'a>),
    Disconnect(ToldEnd),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldEmit<'a> {
    event: Cow<'a, str>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(default)]
    attachments: Vec<String>,
    #[serde(default)]
    to: Rooms<'a>,
    #[serde(default)]
    except: Rooms<'a>,
    #[serde(default)]
    volatile: bool,
    #[serde(default, rename = "local")]
    #[expect(dead_code, reason = "one process is all that there is, so every event is local")]
    is_local: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldRooms<'a> {
    rooms: Rooms<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldContent<'a> {
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(default)]
    attachments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldEnd {
    #[serde(default)]
    close: bool,
}

/// One room, or a list of rooms.
#[derive(Default)]
struct Rooms<'a>(Names<'a>);

impl<'de> Deserialize<'de> for Rooms<'_> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Names<'static>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the name of a room, or a list of at most {ROOMS_MAX}")
            }

            fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
                Ok(std::iter::once(Cow::Owned(one.to_owned())).collect())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut names = Names::new();
                while let Some(name) = list.next_element::<String>()? {
                    if names.len() == ROOMS_MAX {
                        return Err(serde::de::Error::invalid_length(ROOMS_MAX + 1, &self));
                    }
                    names.push(Cow::Owned(name));
                }
                Ok(names)
            }
        }
        from.deserialize_any(OneOrMany).map(Self)
    }
}

/// A value that may be `null`, and is not there only when its key is missing.
fn also_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(all: [&'static str; N]) -> Names<'static> {
        all.into_iter().map(Cow::Borrowed).collect()
    }

    #[test]
    fn an_answer_is_read_in_the_order_of_its_effects() {
        let text = r#"{"ack":["ok",1],"state":{"n":2},"more":1,"do":[
            {"join":{"rooms":"a"}},{"leave":{"rooms":["b","c"]}},
            {"emit":{"event":"said","args":[{"_placeholder":true,"num":0}],"attachments":["AAE="],
                     "to":["a","x"],"except":"b","volatile":true,"local":true}},
            {"emit":{"event":"all"}},{"ack":{"args":[]}},{"disconnect":{}},{"disconnect":{"close":true}}]}"#;
        let answer = HookAnswer::read(text, 1).unwrap();
        assert_eq!(answer.state, Some(r#"{"n":2}"#));
        let [ack, join, leave, said, all, again, end, close] = answer.effects.as_slice() else {
            panic!("{answer:?}");
        };
        let Effect::Ack { event: 0, content } = ack else { panic!("{ack:?}") };
        assert_eq!(content.args.text(), r#""ok",1"#);
        assert_eq!((join, leave), (&Effect::Join(names(["a"])), &Effect::Leave(names(["b", "c"]))));
        let Effect::Emit(said) = said else { panic!("{said:?}") };
        assert_eq!((&*said.event, &said.to, &said.except), ("said", &names(["a", "x"]), &names(["b"])));
        assert_eq!((said.content.attachments.get().get(0), said.is_volatile), (Some(&[0, 1][..]), true));
        let Effect::Emit(all) = all else { panic!("{all:?}") };
        assert!(all.to.is_empty() && all.content == Content::default() && !all.is_volatile);
        assert_eq!(again, &Effect::Ack { event: 0, content: Content::default() });
        assert_eq!(
            (end, close),
            (&Effect::Disconnect { closes: false }, &Effect::Disconnect { closes: true })
        );
        for (text, state) in [("{}", None), (r#"{"state":null,"ack":null,"do":null}"#, Some("null"))] {
            assert_eq!(HookAnswer::read(text, 1).unwrap(), HookAnswer { state, effects: Vec::new() });
        }
    }

    #[test]
    fn several_events_are_answered_each_by_itself() {
        let text =
            r#"{"events":[{"ack":[1]},{},{"ack":[3],"do":[{"ack":{}}]}],"do":[{"join":{"rooms":"a"}}]}"#;
        let answer = HookAnswer::read(text, 3).unwrap();
        let acked = |effect: &Effect<'_>| {
            let Effect::Ack { event, content } = effect else { return None };
            Some((*event, content.args.text().to_owned()))
        };
        let acks: Vec<_> = answer.effects.iter().map(acked).collect();
        let ack = |event, text: &str| Some((event, text.to_owned()));
        assert_eq!(acks, [ack(0, "1"), ack(2, "3"), ack(2, ""), None]);
        assert_eq!(HookAnswer::read(text, 2).unwrap_err(), "events: 3 answers to 2 events");
    }

    #[test]
    fn the_answer_of_the_document_can_be_carried_out() {
        let document = include_str!("../../../docs/SOCKETIO.md");
        let (_, rest) = document.split_once("and answers, for example:\n\n```json\n").unwrap();
        let answer: serde_json::Value = serde_json::from_str(rest.split_once("\n```").unwrap().0).unwrap();
        let text = answer["result"].to_string();
        assert_eq!(HookAnswer::read(&text, 1).unwrap().effects.len(), 3);
    }

    #[test]
    fn what_is_no_valid_effect_is_named() {
        let many = format!(r#"{{"do":[{}]}}"#, vec![r#"{"disconnect":{}}"#; EFFECTS_MAX + 1].join(","));
        let rooms =
            format!(r#"{{"do":[{{"join":{{"rooms":[{}]}}}}]}}"#, vec!["\"a\""; ROOMS_MAX + 1].join(","));
        let state = format!(r#"{{"state":"{}"}}"#, "x".repeat(STATE_BYTES_MAX));
        for (text, why) in [
            (
                r#"{"do":[{"emit":{"event":"a"}},{"emit":{"event":"connect"}}]}"#,
                "do[1]: emit: the event's name",
            ),
            (r#"{"do":[{"emit":{"event":"a","args":{}}}]}"#, "do[0]: emit: the arguments are not a list"),
            (r#"{"ack":"ok"}"#, "ack: the arguments are not a list"),
            (r#"{"do":[{"emit":{"event":"a","attachments":["AA=="]}}]}"#, "do[0]: emit: "),
            (
                r#"{"do":[{"emit":{"event":"a","attachments":["?"]}}]}"#,
                "do[0]: emit: attachments[0] is not base64",
            ),
            (r#"{"do":[{"emit":{"event":"a","rooms":["a"]}}]}"#, "unknown field `rooms`"),
            (r#"{"do":[{"emits":{"event":"a"}}]}"#, "unknown variant `emits`"),
            (r#"{"do":[{"join":{"rooms":5}}]}"#, "the name of a room, or a list"),
            (r#"{"do":{}}"#, "expected a sequence"),
            (r#"[]"#, "the result is not an object"),
            (&many, "more than 256 effects"),
            (&rooms, "at most 1000"),
            (&state, "state: more than 65536 bytes"),
        ] {
            let told = HookAnswer::read(text, 1).unwrap_err();
            assert!(told.contains(why), "{text:.80}: {told}");
        }
        assert_eq!(read_list(r#"[{"ack":{}}]"#).unwrap_err(), "do[0]: ack: there is no event to answer");
        assert_eq!(read_list(r#"[{"join":{"rooms":"a"}}]"#).unwrap(), [Effect::Join(names(["a"]))]);
        assert!(read_list("null").unwrap().is_empty() && read_list("5").unwrap_err().starts_with("do: "));
    }
}
