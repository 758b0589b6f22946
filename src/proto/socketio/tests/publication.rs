//! Events become publications, and those become the same events.

use proptest::prelude::*;

use super::super::publication::{DataOf, PublishedAs, event_of, put_publication};
use super::any::{any_args, any_name, list};
use super::*;

fn published(name: &str, args: &str, attachments: Attachments<'_>) -> (PublishedAs, Vec<u8>) {
    let (list, mut out) = (format!("[{args}]"), b"before".to_vec());
    let kind = put_publication(&mut out, name, JsonArgs::of_list(&list).unwrap(), attachments, "message");
    (kind, out.split_off(6))
}

#[test]
fn the_usual_event_with_one_argument_is_bare_and_others_are_in_an_envelope() {
    let mut two = AttachmentStore::default();
    two.push(b"a");
    two.push(b"");
    let one = Attachments::one(b"\x01\x02");
    let hold = r#"{"_placeholder":true,"num":0}"#;
    let both = format!(r#"{hold},{{"_placeholder":true,"num":1}}"#);
    for (name, args, attachments, data) in [
        ("message", "{\"a\":\n1}", Attachments::NONE, r#"{"a": 1}"#.to_owned()),
        ("message", r#""text""#, Attachments::NONE, r#""text""#.to_owned()),
        ("message", "1,2", Attachments::NONE, r#"{"event":"message","args":[1,2]}"#.to_owned()),
        ("message", "", Attachments::NONE, r#"{"event":"message","args":[]}"#.to_owned()),
        ("other", "1", Attachments::NONE, r#"{"event":"other","args":[1]}"#.to_owned()),
        ("a\"\n", "1", Attachments::NONE, r#"{"event":"a\"\n","args":[1]}"#.to_owned()),
        // An argument with the form of an envelope is put into one; a nearly equal form is data.
        (
            "message",
            r#"{"args":[1],"event":"x"}"#,
            Attachments::NONE,
            r#"{"event":"message","args":[{"args":[1],"event":"x"}]}"#.to_owned(),
        ),
        (
            "message",
            r#"{"event":"connect","args":[1]}"#,
            Attachments::NONE,
            r#"{"event":"connect","args":[1]}"#.to_owned(),
        ),
        ("message", r#"{"event":"x"}"#, Attachments::NONE, r#"{"event":"x"}"#.to_owned()),
        ("message", hold, Attachments::NONE, hold.to_owned()),
        ("other", hold, one, format!(r#"{{"event":"other","args":[{hold}],"attachments":["AQI="]}}"#)),
        (
            "message",
            r#"[{"_placeholder":true,"num":0}]"#,
            one,
            format!(r#"{{"event":"message","args":[[{hold}]],"attachments":["AQI="]}}"#),
        ),
        (
            "message",
            both.as_str(),
            two.get(),
            format!(r#"{{"event":"message","args":[{both}],"attachments":["YQ==",""]}}"#),
        ),
    ] {
        let (kind, out) = published(name, args, attachments);
        assert_eq!((kind, String::from_utf8(out).unwrap()), (PublishedAs::Json, data), "{name} {args}");
    }
    assert_eq!(published("message", hold, one), (PublishedAs::Binary, vec![1, 2]));
}

#[test]
fn what_is_not_exactly_an_envelope_is_the_argument_of_the_usual_event() {
    for data in [
        "null",
        "[]",
        "{}",
        r#"{"event":"a"}"#,
        r#"{"args":[]}"#,
        r#"{"event":"a","args":{}}"#,
        r#"{"event":1,"args":[]}"#,
        r#"{"event":"disconnect","args":[]}"#,
        r#"{"event":"a","args":[],"more":1}"#,
        r#"{"event":"a","event":"a","args":[]}"#,
        r#"{"event":"a","args":[],"attachments":[]}"#,
        r#"{"event":"a","args":[],"attachments":null}"#,
        r#"{"event":"a","args":[],"attachments":["AQI="]}"#,
        r#"{"event":"a","args":[{"_placeholder":true,"num":0}],"attachments":["!"]}"#,
        r#"{"event":"a","args":[{"_placeholder":true,"num":0}],"attachments":[1]}"#,
        r#"{"event":"\ud800","args":[]}"#,
    ] {
        let event = event_of(DataOf::Json(data), "message");
        assert_eq!(
            (&*event.name, event.args.sole(), event.attachments().count()),
            ("message", Some(data), 0),
            "{data}"
        );
    }
    let event = event_of(DataOf::Json(r#" {"args" : [ 1 ,2] , "event":"\u0061"} "#), "message");
    assert_eq!((&*event.name, event.args.text(), event.args.count()), ("a", "1 ,2", 2));
    let event = event_of(DataOf::Binary(b"\xff"), "data");
    assert_eq!((&*event.name, event.args.count()), ("data", 1));
    assert_eq!(event.attachments().get(0), Some(&b"\xff"[..]));
}

proptest! {
    #[test]
    fn an_event_is_itself_again_after_it_was_a_publication(
        name in any_name(),
        (mut values, attachments) in any_args(),
        envelope in prop::option::of((any_name(), 0..3_usize)),
    ) {
        // Now and then the only argument has the shape of an envelope.
        if let (Some((inner, count)), true) = (envelope, attachments.is_empty()) {
            values.truncate(count);
            values = vec![serde_json::json!({"event": inner, "args": values})];
        }
        let mut store = AttachmentStore::default();
        attachments.iter().for_each(|data| store.push(data));
        let args = list(&values);
        let (kind, data) = published(&name, &args, store.get());
        let data_bytes = data.clone();
        let data = match kind {
            PublishedAs::Binary => DataOf::Binary(&data),
            PublishedAs::Json => DataOf::Json(std::str::from_utf8(&data).unwrap()),
        };
        let event = event_of(data, "message");
        prop_assert_eq!(&*event.name, &name);
        prop_assert_eq!(event.args.text(), &args);
        prop_assert_eq!(event.args.count(), values.len());
        prop_assert_eq!(event.attachments().iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), attachments);
        // The event becomes the same publication.
        let again = published(&event.name, event.args.text(), event.attachments());
        prop_assert_eq!(again, (kind, data_bytes));
    }
}
