//! A connection that speaks the Centrifuge protocol in JSON.
//!
//! The session checks what a client says and answers what needs no channel; the rest it asks of its shard, and
//! answers when the shard does. Replies to one frame's commands are joined in one frame.

use std::sync::Arc;

use super::{Action, CloseReason, Context};
use crate::proto::centrifuge::command::Publish;
use crate::proto::centrifuge::reply::{self, ConnectResult};
use crate::proto::centrifuge::{Command, Error, Request};
use crate::proto::ws::{Decoder, Event, Kind, frame};

/// What connect replies tell of the server.
const VERSION: &str = concat!("throng ", env!("CARGO_PKG_VERSION"));

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Centrifuge {
    decoder: Decoder,
    is_connected: bool,
}

impl Centrifuge {
    pub(super) fn receive(&mut self, mut input: &mut [u8], cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while let Some(event) =
            self.decoder.next(&mut input, &cx.settings.ws).map_err(CloseReason::Violation)?
        {
            match event {
                Event::Message(_, payload) => {
                    cx.counts.messages_in += 1;
                    let start = cx.out.len();
                    let outcome = self.commands(&payload, cx);
                    cx.counts.messages_out += u64::from(cx.out.len() > start);
                    frame::wrap_text(cx.out, start);
                    outcome?;
                }
                Event::Ping(payload) => frame::put_pong(cx.out, &payload),
                Event::Pong => {}
                Event::Close(code) => return Err(CloseReason::Peer(code.unwrap_or(1005))),
            }
        }
        Ok(())
    }

    /// All commands of one frame; their immediate replies are appended to `cx.out`.
    fn commands(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let start = cx.out.len();
        let mut count = 0;
        for command in Command::parse_frame(payload) {
            self.command(command.map_err(|_| CloseReason::BadRequest)?, start, cx)?;
            count += 1;
        }
        // A frame without any command is no answer to anything.
        if count == 0 { Err(CloseReason::BadRequest) } else { Ok(()) }
    }

    fn command(
        &mut self,
        command: Command<'_>,
        start: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let id = command.id;
        let request = command.into_request();
        let expects_reply = !matches!(request, Request::Pong | Request::Send(_));
        let is_connect = matches!(request, Request::Connect(_));
        // The first command must be connect, and only the first; what wants a reply needs an id.
        if is_connect == self.is_connected || expects_reply == (id == 0) {
            return Err(CloseReason::BadRequest);
        }
        match request {
            Request::Connect(_) => {
                self.is_connected = true;
                let client = cx.client.to_string();
                let result = ConnectResult { client: &client, version: VERSION, ping_s: cx.settings.ping_s };
                reply::put_connect(cx.out, start, id, &result);
            }
            Request::Subscribe(subscribe) => match channel_name(&subscribe.channel, cx) {
                Ok(channel) => cx.actions.push(Action::Subscribe { channel, request: id }),
                Err(error) => reply::put_error(cx.out, start, id, &error),
            },
            Request::Unsubscribe(unsubscribe) => match channel_name(&unsubscribe.channel, cx) {
                Ok(channel) => {
                    cx.actions.push(Action::Unsubscribe { channel });
                    reply::put_empty(cx.out, start, id, "unsubscribe");
                }
                Err(error) => reply::put_error(cx.out, start, id, &error),
            },
            Request::Publish(publish) => {
                if let Err(error) = Self::publish(&publish, id, cx) {
                    reply::put_error(cx.out, start, id, &error);
                }
            }
            Request::Ping => reply::put_empty(cx.out, start, id, "ping"),
            // Without a handler for them, messages to the server itself end here.
            Request::Pong | Request::Send(_) => {}
            Request::NotAvailable => reply::put_error(cx.out, start, id, &Error::NOT_AVAILABLE),
            Request::Unknown => reply::put_error(cx.out, start, id, &Error::METHOD_NOT_FOUND),
        }
        Ok(())
    }

    fn publish(publish: &Publish<'_>, id: u32, cx: &mut Context<'_>) -> Result<(), Error> {
        let channel = channel_name(&publish.channel, cx)?;
        let data = publish.data.ok_or(Error::BAD_REQUEST)?.get().as_bytes().to_vec();
        cx.actions.push(Action::Publish { channel, is_text: true, data, request: Some(id) });
        Ok(())
    }

    /// Replies to the command `id`, whose outcome came later.
    pub(super) fn answer(id: u32, name: &str, outcome: Result<(), Error>, cx: &mut Context<'_>) {
        let start = cx.out.len();
        match outcome {
            Ok(()) => reply::put_empty(cx.out, start, id, name),
            Err(error) => reply::put_error(cx.out, start, id, &error),
        }
        cx.counts.messages_out += 1;
        frame::wrap_text(cx.out, start);
    }

    pub(super) fn ping(out: &mut Vec<u8>) {
        frame::put_frame(out, Kind::Text, reply::PING);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.decoder.held_bytes()
    }
}

/// Checks a channel's name.
fn channel_name(name: &str, cx: &Context<'_>) -> Result<Arc<str>, Error> {
    if name.is_empty() || name.len() > cx.settings.channel_name_bytes_max {
        return Err(Error::BAD_REQUEST);
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::super::Counts;
    use super::super::tests::{client, settings};
    use super::*;

    /// Sends frames of text and returns what came back, what was asked, and how it ended.
    fn talk(frames: &[&str]) -> (String, Vec<Action>, Result<(), CloseReason>) {
        let (mut out, mut actions, settings) = (Vec::new(), Vec::new(), settings());
        let mut session = Centrifuge::default();
        let mut outcome = Ok(());
        for text in frames {
            let mut input = vec![0x81, 0xfe];
            input.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            if text.len() < 126 {
                input.truncate(1);
                input.push(0x80 | u8::try_from(text.len()).unwrap());
            }
            input.extend([0; 4]);
            input.extend(text.as_bytes());
            let counts = Counts::default();
            let client = client(1);
            let (out, actions) = (&mut out, &mut actions);
            let mut cx =
                Context { now_ms: 0, settings: &settings, client, out, in_place: None, actions, counts };
            outcome = session.receive(&mut input, &mut cx);
        }
        (String::from_utf8_lossy(&out).into_owned(), actions, outcome)
    }

    const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

    #[test]
    fn replies_to_one_frame_come_in_one_frame() {
        let (out, actions, outcome) =
            talk(&[&format!("{CONNECT}\n{{\"id\":2,\"ping\":{{}}}}\n{{\"id\":3,\"rpc\":{{}}}}")]);
        assert_eq!((outcome, actions.len()), (Ok(()), 0));
        let payload = &out[out.find('{').unwrap()..];
        let lines: Vec<&str> = payload.lines().collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert!(lines[0].contains(&format!(r#""client":"{}""#, client(1))));
        assert!(lines[0].ends_with(r#""ping":25,"pong":true}}"#), "{}", lines[0]);
        assert_eq!(lines[1], r#"{"id":2,"ping":{}}"#);
        assert_eq!(lines[2], r#"{"id":3,"error":{"code":108,"message":"not available"}}"#);
    }

    #[test]
    fn what_needs_a_channel_is_asked_of_the_shard() {
        let (_, actions, outcome) = talk(&[
            CONNECT,
            r#"{"id":2,"subscribe":{"channel":"a"}}"#,
            r#"{"id":3,"publish":{"channel":"a","data":{"x": 1}}}"#,
            r#"{"id":4,"unsubscribe":{"channel":"a"}}"#,
            "{}",
        ]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(
            actions,
            [
                Action::Subscribe { channel: "a".into(), request: 2 },
                Action::Publish {
                    channel: "a".into(),
                    is_text: true,
                    data: br#"{"x": 1}"#.to_vec(),
                    request: Some(3)
                },
                Action::Unsubscribe { channel: "a".into() },
            ]
        );
    }

    #[test]
    fn connect_comes_first_and_once() {
        for frames in [
            &[r#"{"id":1,"ping":{}}"#][..],
            &["{}"],
            &[CONNECT, CONNECT],
            &[CONNECT, r#"{"subscribe":{"channel":"a"}}"#],
            &[CONNECT, ""],
            &[CONNECT, "\n"],
            &["not json"],
        ] {
            assert_eq!(talk(frames).2, Err(CloseReason::BadRequest), "{frames:?}");
        }
    }

    #[test]
    fn bad_requests_get_errors_and_live_on() {
        let long = format!(r#"{{"id":2,"subscribe":{{"channel":"{}"}}}}"#, "x".repeat(21));
        for command in [
            r#"{"id":2,"subscribe":{"channel":""}}"#,
            &long,
            r#"{"id":2,"publish":{"channel":"a"}}"#,
            r#"{"id":2,"unsubscribe":{}}"#,
        ] {
            let (out, actions, outcome) = talk(&[CONNECT, command]);
            assert!(out.contains(r#"{"id":2,"error":{"code":107,"message":"bad request"}}"#), "{out}");
            assert_eq!((actions.len(), outcome), (0, Ok(())), "{command}");
        }
    }
}
