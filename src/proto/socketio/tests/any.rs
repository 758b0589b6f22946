//! Round trips of any packets; any text is read or refused.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Any value of JSON; numbers are such that serde_json reads them as they were.
pub(in crate::proto::socketio) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        any_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::btree_map(any_text(), inner, 0..20)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn any_text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "num",
        "_placeholder",
        "\"",
        "\\",
        "{",
        "}",
        "]",
        ",",
        "\n",
        "\u{1e}",
        "é",
        "😀",
        "event",
        "args",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..4).prop_map(|pieces| pieces.concat())
}

pub(super) fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![Just("message".to_owned()), any_text().prop_filter("not reserved", |name| !is_reserved(name))]
}

fn any_namespace() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["/", "/a", "/admin/é"]).prop_map(str::to_owned)
}

/// Values with commas between them, as they are written here.
pub(super) fn list(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
}

/// Values, among them placeholders for attachments.
pub(super) fn any_args() -> impl Strategy<Value = (Vec<Value>, Vec<Vec<u8>>)> {
    let attachments = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4);
    (prop::collection::vec(any_value(), 0..5), attachments, any::<bool>()).prop_map(
        |(mut values, attachments, front)| {
            if !attachments.is_empty() {
                // There it would be no plain data.
                values.retain(|value| !value.to_string().contains("\"_placeholder\":true"));
            }
            for num in 0..attachments.len() {
                let hold = serde_json::json!({"_placeholder": true, "num": num});
                let at = if front { 0 } else { values.len() };
                values.insert(at, if num % 2 == 0 { hold } else { serde_json::json!({ "in": [hold] }) });
            }
            (values, attachments)
        },
    )
}

proptest! {
    // Each case tries every cut of a packet.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_written_is_read_again(
        namespace in any_namespace(),
        id in prop::option::of(0..ACK_ID_MAX),
        name in any_name(),
        (values, attachments) in any_args(),
    ) {
        let args = list(&values);
        let mut wanted = Said {
            kind: "event", namespace: namespace.clone(), id, name: name.clone(), json: values, attachments,
        };
        let mut texts = vec![event(&namespace, id, &name, &args, wanted.attachments.len())];
        texts.extend(id.map(|id| ack(&namespace, id, &args, wanted.attachments.len())));
        for text in texts {
            let mut messages = vec![Sent::Text(&text)];
            messages.extend(wanted.attachments.iter().map(|data| Sent::Binary(data)));
            prop_assert_eq!(assemble(SocketProtocol::V5, &messages), Ok(vec![wanted.clone()]));
            // No cut of it is a packet of another meaning.
            for (end, _) in text.char_indices() {
                let cut = assemble(SocketProtocol::V5, &[Sent::Text(&text[..end])]);
                let is_short = cut.as_ref().is_ok_and(|packets| packets.iter().all(|said| said.json.is_empty()));
                prop_assert!(cut.is_err() || is_short, "{:?} of {}", cut, text);
            }
            (wanted.kind, wanted.name) = ("ack", String::new());
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        head in "[0-7]{1,3}-?(/[a-z?]{0,3},?)?[0-9]{0,2}",
        pieces in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "{", "}", "\"", "\\", ",", ":", "\"a\"", "\"_placeholder\"", "\"num\"", "true", "0", "1", " ", "é",
        ]), 0..16),
        binary in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let text = head + &pieces.concat();
        for protocol in [SocketProtocol::V4, SocketProtocol::V5] {
            let _packets = assemble(protocol, &[Sent::Text(&text), Sent::Binary(&binary), Sent::Text(&text)]);
        }
    }
}
