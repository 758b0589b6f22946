//! The bodies of requests about events and ends of Socket.IO sockets, and of their answers.
//!
//! The session has written the fields of an event; here they get those that the shard and the configuration know. Effects in
//! answers are read in full, so that an answer that cannot be carried out is a failure of the hook.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hook_wire::{Asked, Unusable};
use crate::proto::json;
use crate::proto::socketio::effects::HookAnswer;
use crate::shard::outside::{SocketEnd, SocketEvents, Verdict, Who};

/// The body of a request about events.
pub(super) fn body(who: &Who, events: &SocketEvents) -> Vec<u8> {
    with_fields(&who.client, &events.fields, None, events.rooms.as_deref())
}

/// The body of a request about the end of a socket.
pub(super) fn end_body(end: &SocketEnd) -> Vec<u8> {
    with_fields(&end.client, &end.fields, end.state.as_deref(), Some(&end.rooms))
}

/// An object with the client's id, these fields, and more.
fn with_fields(client: &str, fields: &str, state: Option<&str>, rooms: Option<&[String]>) -> Vec<u8> {
    let mut body = b"{\"client\":".to_vec();
    put(&mut body, client);
    body.push(b',');
    body.extend_from_slice(fields.as_bytes());
    if let Some(state) = state {
        body.extend_from_slice(b",\"state\":");
        body.extend_from_slice(state.as_bytes());
    }
    if let Some(rooms) = rooms {
        body.extend_from_slice(b",\"rooms\":");
        put(&mut body, rooms);
    }
    body.push(b'}');
    body
}

fn put(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Texts and lists of texts can always be written.
    serde_json::to_writer(body, value).ok();
}

/// The verdict of an answer about events.
///
/// # Errors
/// The defect of the answer.
pub(super) fn verdict(asked: &Asked, answer: &[u8]) -> Result<Verdict, Unusable> {
    let count = asked.events.as_ref().map_or(1, |events| events.count);
    let mut wrong = None;
    let verdict = asked.judge(answer, |told: Option<&RawValue>| {
        let read = result(told, count).map_err(|why| wrong = Some(why));
        Ok(Verdict::SocketEvents(Ok(read.unwrap_or_default())))
    });
    wrong.map_or(verdict, Err)
}

/// The result in the answer about `count` events, in JSON.
///
/// # Errors
/// The defect of the result.
fn result(result: Option<&RawValue>, count: usize) -> Result<String, Unusable> {
    let text = result.map_or("{}", RawValue::get);
    HookAnswer::read(text, count).map_err(|why| Unusable::Answer(format!("result: {why}")))?;
    Ok(text.to_owned())
}

/// The new state in a result that was read.
pub(super) fn state_of(result: &str, count: usize) -> Option<String> {
    HookAnswer::read(result, count).ok()?.state.map(str::to_owned)
}

/// Whether an answer accepts a notification.
///
/// # Errors
/// The reason why it does not.
pub(super) fn taken(answer: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let answer: Option<Answer<'_>> = json::from_slice(answer).map_err(|error| error.to_string())?;
    match answer.and_then(|answer| answer.error) {
        Some(error) => Err(format!("an error: {error}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn fields_of_the_session_get_those_of_the_shard() {
        let who = Who { client: "c\"1".to_owned(), ..Who::default() };
        let events = |rooms| SocketEvents {
            sid: String::new(),
            fields: r#""sid":"s","event":"a","args":[1]"#.to_owned(),
            count: 1,
            rooms,
        };
        let plain = json!({ "client": "c\"1", "sid": "s", "event": "a", "args": [1] });
        assert_eq!(value(&body(&who, &events(None))), plain);
        let mut with_rooms = plain;
        with_rooms["rooms"] = json!(["r\n", "t"]);
        let rooms = Some(vec!["r\n".to_owned(), "t".to_owned()]);
        assert_eq!(value(&body(&who, &events(rooms))), with_rooms);
        let end = SocketEnd {
            client: "c".to_owned(),
            sid: "s".to_owned(),
            fields: r#""sid":"s","reason":"ping timeout""#.to_owned(),
            state: Some("{}".to_owned()),
            ..SocketEnd::default()
        };
        let told = json!({ "client": "c", "sid": "s", "reason": "ping timeout", "state": {}, "rooms": [] });
        assert_eq!(value(&end_body(&end)), told);
    }

    #[test]
    fn a_result_that_cannot_be_carried_out_is_a_failure() {
        let raw = |text: &str| -> Box<RawValue> { serde_json::from_str(text).unwrap() };
        assert_eq!(result(None, 1).unwrap(), "{}");
        let good = raw(r#"{"ack":[1],"state":{"a":1}}"#);
        assert_eq!(result(Some(&good), 1).unwrap(), good.get());
        assert_eq!(state_of(good.get(), 1).as_deref(), Some(r#"{"a":1}"#));
        let bad = raw(r#"{"do":[{"emit":{"event":"connect"}}]}"#);
        assert!(
            result(Some(&bad), 1)
                .unwrap_err()
                .to_string()
                .starts_with("result: do[0]: emit: the event's name")
        );
    }

    #[test]
    fn an_end_is_accepted_by_anything_but_an_error() {
        for accepted in ["{}", "null", r#"{"result":{}}"#, r#"{"error":null}"#] {
            assert_eq!(taken(accepted.as_bytes()), Ok(()), "{accepted}");
        }
        for refused in ["", "ok", "[1]x", r#"{"error":{"code":1}}"#] {
            assert!(taken(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
