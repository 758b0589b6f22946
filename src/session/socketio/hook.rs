//! Requests to the application's hooks: the fields that describe an event, or the end of a socket. The shard and the caller of
//! the hook add theirs.

use serde::Serialize;

use super::events::{Event, Why};
use crate::hub::selector::namespace_channel;
use crate::hub::words::{Dismissed, EventAsk, EventEnd};
use crate::proto::engine::{EngineProtocol, put_base64};
use crate::proto::socketio::Attachments;
use crate::session::{ClientId, CloseReason};

/// The socket of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) sid: &'a str,
    pub(super) namespace: &'a str,
    /// The user; empty for none.
    pub(super) user: &'a str,
    /// The backend's data of the socket, JSON; empty for none.
    pub(super) state: &'a str,
}

impl Of<'_> {
    fn put(self, to: &mut String) {
        put(to, "\"sid\":", self.sid);
        put(to, ",\"namespace\":", self.namespace);
        put(to, ",\"user\":", self.user);
    }

    /// A request about one event, or about several as a list, if `is_list`.
    pub(super) fn asks(self, events: &[Event<'_>], is_list: bool, wants_rooms: bool) -> EventAsk {
        let mut fields = String::new();
        self.put(&mut fields);
        if is_list {
            fields.push_str(",\"events\":[");
            for (at, event) in events.iter().enumerate() {
                fields.push_str(if at == 0 { "{" } else { ",{" });
                put_event(&mut fields, event);
                fields.push('}');
            }
            fields.push(']');
        } else if let [event] = events {
            fields.push(',');
            put_event(&mut fields, event);
        }
        if !self.state.is_empty() {
            fields.push_str(",\"state\":");
            fields.push_str(self.state);
        }
        let (sid, group, count) = (self.sid.into(), namespace_channel(self.namespace), events.len());
        EventAsk { sid, group, fields, count, wants_rooms }
    }

    /// A report of the end of the socket.
    ///
    /// `was_kept`: its client could have returned to it, and has not.
    pub(super) fn ends(self, client: ClientId, why: Why<'_>, was_kept: bool) -> EventEnd {
        let mut fields = String::new();
        self.put(&mut fields);
        put(&mut fields, ",\"reason\":", why.as_str());
        if why == Why::ConnectionEnded(&CloseReason::Dismissed(Dismissed::Expired)) {
            fields.push_str(",\"expired\":true");
        }
        if was_kept {
            fields.push_str(",\"recovery_expired\":true");
        }
        let state = (!self.state.is_empty()).then(|| self.state.to_owned());
        let (client, sid) = (client.to_string().into(), self.sid.into());
        EventEnd { client, sid, group: namespace_channel(self.namespace), fields, state }
    }
}

fn put_event(fields: &mut String, event: &Event<'_>) {
    put(fields, "\"event\":", event.name);
    fields.push_str(",\"args\":[");
    fields.push_str(event.args.text());
    fields.push_str(if event.ack.is_some() { "],\"ack\":true" } else { "],\"ack\":false" });
    if event.attachments.count() > 0 {
        put(fields, ",\"attachments\":", &encoded(event.attachments));
    }
}

/// The attachments in base64.
fn encoded(attachments: Attachments<'_>) -> Vec<String> {
    let encode = |data| {
        let mut text = Vec::new();
        put_base64(&mut text, EngineProtocol::V4, data);
        // Behind the letter that marks it in Engine.IO.
        String::from_utf8(text.split_off(1)).unwrap_or_default()
    };
    attachments.iter().map(encode).collect()
}

fn put(fields: &mut String, key: &str, value: &(impl Serialize + ?Sized)) {
    fields.push_str(key);
    // Texts and lists of texts can always be written.
    fields.push_str(&serde_json::to_string(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::socketio::JsonArgs;
    use crate::session::socketio::events::AckId;
    use serde_json::{Value, json};

    fn client() -> ClientId {
        crate::session::tests::client(1)
    }

    fn value(fields: &str) -> Value {
        serde_json::from_str(&format!("{{{fields}}}")).unwrap()
    }

    #[test]
    fn an_event_is_told_with_all_that_came() {
        let of = Of { sid: "s", namespace: "/a", user: "ann\"", state: "{\"n\": 1}" };
        let args = JsonArgs::of_list("[1, {\"_placeholder\":true,\"num\":0}]").unwrap();
        let event = |ack| Event { name: "é\n", args, attachments: Attachments::one(b"\x00\xff"), ack };
        let ask = of.asks(&[event(Some(AckId(1)))], false, true);
        assert_eq!((&*ask.sid, &*ask.group, ask.count, ask.wants_rooms), ("s", "\u{1}/a", 1, true));
        let one = json!({
            "event": "é\n", "args": [1, {"_placeholder": true, "num": 0}], "ack": true, "attachments": ["AP8="],
        });
        let mut whole = json!({ "sid": "s", "namespace": "/a", "user": "ann\"", "state": {"n": 1} });
        let mut single = whole.clone();
        single.as_object_mut().unwrap().extend(one.as_object().unwrap().clone());
        assert_eq!(value(&ask.fields), single);
        let plain = Event { name: "b", args: JsonArgs::NONE, attachments: Attachments::NONE, ack: None };
        let ask = of.asks(&[event(Some(AckId(1))), plain], true, false);
        whole["events"] = json!([one, { "event": "b", "args": [], "ack": false }]);
        assert_eq!((value(&ask.fields), ask.count), (whole, 2));
    }

    #[test]
    fn an_end_is_told_with_its_reason() {
        let of = Of { sid: "s", namespace: "/", user: "", state: "" };
        let end = of.ends(client(), Why::ConnectionEnded(&CloseReason::NoPong), false);
        let told = json!({ "sid": "s", "namespace": "/", "user": "", "reason": "ping timeout" });
        assert_eq!(value(&end.fields), told);
        let left = Of { state: "7", ..of }.ends(client(), Why::ClientLeft, false);
        assert_eq!((end.state, left.state), (None, Some("7".to_owned())));
        assert_eq!(value(&left.fields)["reason"], "client namespace disconnect");
    }

    #[test]
    fn an_end_is_told_with_what_has_expired() {
        let of = Of { sid: "s", namespace: "/", user: "", state: "" };
        let expired = CloseReason::Dismissed(Dismissed::Expired);
        for (reason, was_kept, is_expired) in
            [(&expired, false, true), (&expired, true, true), (&CloseReason::Hangup, true, false)]
        {
            let told = value(&of.ends(client(), Why::ConnectionEnded(reason), was_kept).fields);
            let flag = |name: &str| told.get(name).is_some_and(|flag| *flag == true);
            assert_eq!((flag("expired"), flag("recovery_expired")), (is_expired, was_kept), "{reason:?}");
        }
    }
}
