//! Rules of the configuration, and events that wait.

use std::sync::Arc;

use super::*;
use crate::hub::words;
use crate::session::labels::EventRefusal;

/// The rooms that a session has asked for, and the number of its question.
fn asked_rooms(talk: &mut Talk) -> Option<u32> {
    let number = |action: &Action| {
        let Action::Ask { id, ask: Ask::Rooms { .. } } = action else { return None };
        Some(*id)
    };
    let id = talk.actions.iter().find_map(number)?;
    talk.actions.retain(|action| number(action).is_none());
    Some(id)
}

/// Answers the question for rooms.
fn tell_rooms(talk: &mut Talk, rooms: &[&str]) -> Result<(), CloseReason> {
    let id = asked_rooms(talk).expect("rooms are asked for");
    let channels: Vec<Arc<str>> = rooms.iter().map(|room| format!("\u{1}/,{room}").into()).collect();
    talk.call(|session, app, cx| session.reply(id, &Reply::Rooms(&channels), app, cx))
}

pub(super) fn emits(talk: &mut Talk) -> Vec<words::Emit> {
    let of = |action| {
        let Action::Ask { ask: Ask::Emit(emit), .. } = action else { return None };
        Some(*emit)
    };
    let is_question = |action: &mut Action| matches!(action, Action::Ask { ask: Ask::Rooms { .. }, .. });
    let questions: Vec<_> = talk.actions.extract_if(.., is_question).collect();
    std::mem::replace(&mut talk.actions, questions).into_iter().filter_map(of).collect()
}

pub(super) fn template(text: &str) -> Option<Template> {
    Template::new(text).ok()
}

fn with_rules(rules: Vec<Rule>) -> Talk {
    Talk::connected(|options| options.rules = rules)
}

fn in_room(event: &str) -> Rule {
    let require = Require { room: template("$0"), ..Require::default() };
    Rule { require, to: vec![Template::new("$0").unwrap()], ..Rule::new(event, RuleAction::Emit) }
}

#[test]
fn rules_end_in_effects_and_what_they_leave_goes_to_the_application() {
    let join = Rule {
        actions: vec![RuleAction::Join, RuleAction::Emit],
        room: template("$0"),
        to: vec![Template::new("$0").unwrap()],
        except_sender: true,
        rename: Some("joined".to_owned()),
        ack: Some(AckForm::Values(vec![AckValue::Of(Path::new("$0").unwrap())])),
        ..Rule::new("join", RuleAction::Join)
    };
    let end = Rule { ack: Some(AckForm::Same), ..Rule::new("end", RuleAction::Disconnect) };
    let mut talk = with_rules(vec![join, end, Rule::new("quiet", RuleAction::Drop)]);
    talk.send("421[\"join\",\"a\"]").unwrap();
    assert_eq!(talk.texts(), ["431[\"a\"]"]);
    let all = emits(&mut talk);
    let [emit] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&*emit.data, &*emit.to[0]), (&b"2[\"joined\",\"a\"]"[..], "\u{1}/,a"));
    // An argument of another type: nothing is done.
    talk.send("422[\"join\",{}]").unwrap();
    talk.send("423[\"quiet\"]").unwrap();
    assert!(talk.texts().is_empty() && talk.actions.is_empty(), "{:?}", talk.actions);
    talk.send("42[\"message\",1]").unwrap();
    assert_eq!(talk.texts(), ["42[\"message-back\",1]"]);
    talk.send("424[\"end\",7]").unwrap();
    assert_eq!(talk.texts(), ["434[7]", "41"]);
    assert_eq!(talk.end(&CloseReason::Hangup), ["/ server namespace disconnect"]);
}

#[test]
fn a_rate_of_a_rule_is_one_of_each_socket() {
    let rule = Rule { rate_per_s: 2, ack: Some(AckForm::Empty), ..Rule::new("a", RuleAction::Ack) };
    let mut talk = with_rules(vec![rule]);
    for _ in 0..4 {
        talk.send("421[\"a\"]").unwrap();
    }
    assert_eq!(talk.texts(), ["431[]", "431[]"]);
    talk.now_ms += 500;
    talk.send("422[\"a\"]").unwrap();
    assert_eq!(talk.texts(), ["432[]"]);
}

#[test]
fn events_wait_for_one_that_is_asked_about_and_keep_their_order() {
    let mut talk = with_rules(vec![in_room("say"), Rule::new("echo", RuleAction::Ack)]);
    talk.settings.socketio.rules[1].ack = Some(AckForm::Same);
    talk.send("42[\"say\",\"a\",1]").unwrap();
    talk.send("421[\"echo\",2]").unwrap();
    talk.send("42[\"say\",\"b\",3]").unwrap();
    talk.send("422[\"echo\",4]").unwrap();
    assert!(talk.texts().is_empty());
    tell_rooms(&mut talk, &["a"]).unwrap();
    let first = emits(&mut talk);
    assert_eq!(first.iter().map(|emit| &*emit.data).collect::<Vec<_>>(), [b"2[\"say\",\"a\",1]"]);
    assert_eq!(talk.texts(), ["431[2]"]);
    // It is not in that room.
    tell_rooms(&mut talk, &["a"]).unwrap();
    assert_eq!((talk.texts(), emits(&mut talk).len()), (vec!["432[4]".to_owned()], 0));
    assert_eq!(talk.session.held_bytes(), 0, "nothing is kept");
}

#[test]
fn a_client_that_leaves_and_comes_back_has_its_events_handled_before() {
    let mut talk = with_rules(vec![in_room("say"), Rule::new("echo", RuleAction::Ack)]);
    talk.send("42[\"say\",\"a\"]").unwrap();
    talk.send("421[\"echo\"]").unwrap();
    talk.send("41").unwrap();
    talk.send("40{\"again\":true}").unwrap();
    // Behind a leave that waits nothing is read.
    talk.send("42[\"message\",5]").unwrap();
    assert!(talk.texts().is_empty() && talk.session.is_full());
    tell_rooms(&mut talk, &["a"]).unwrap();
    assert_eq!(talk.app.0.ended, ["/ client namespace disconnect"]);
    assert_eq!(talk.texts(), ["431[]"]);
    assert!(!talk.session.is_full());
    assert_eq!(talk.app.0.asked.len(), 2);
    // The end of the connection waits, too, so that it is no end without a leave.
    talk.entered("\u{1}/").unwrap();
    talk.send("42[\"say\",\"a\"]").unwrap();
    talk.send("41").unwrap();
    assert_eq!(talk.send("1"), Ok(()));
    assert_eq!(tell_rooms(&mut talk, &["a"]), Err(CloseReason::Peer(1005)));
    assert_eq!((talk.app.0.ended.len(), emits(&mut talk).len()), (2, 4), "two events, and two farewells");
    // A second one while the first waits breaks the rule, as without waiting.
    let mut talk = with_rules(vec![in_room("say")]);
    talk.send("42[\"say\",\"a\"]").unwrap();
    assert!(matches!(talk.send("40"), Err(CloseReason::Malformed(_))));
}

/// Input that was read while sockets could take no more is taken in order, one event per answer, from a body and from frames.
#[test]
fn a_long_input_goes_on_with_each_answer() {
    let mut talk = with_rules(vec![in_room("say")]);
    talk.settings.socketio.events_waiting_max = 2;
    let texts: Vec<String> = (0..40).map(|number| format!("42[\"say\",\"a\",{number}]")).collect();
    let (body, frames) = texts.split_at(20);
    talk.call(|session, app, cx| session.post(body.join("\x1e").as_bytes(), false, app, cx)).unwrap();
    assert!(talk.session.is_full());
    let mut input = Vec::new();
    for text in frames {
        input.extend([0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
        input.extend_from_slice(text.as_bytes());
    }
    let (first, second) = input.split_at_mut(100);
    talk.bytes(first).unwrap();
    tell_rooms(&mut talk, &["a"]).unwrap();
    assert!(talk.session.is_full() && talk.session.held_bytes() > 400);
    talk.bytes(second).unwrap();
    (0..39).for_each(|_| tell_rooms(&mut talk, &["a"]).unwrap());
    let sent: Vec<String> =
        emits(&mut talk).iter().map(|emit| String::from_utf8(emit.data.to_vec()).unwrap()).collect();
    let expected: Vec<String> = texts.iter().map(|text| text[1..].to_owned()).collect();
    assert_eq!(sent, expected);
    assert!(!talk.session.is_full() && talk.session.held_bytes() == 0);
}

/// An order may end the socket while its event is asked about.
#[test]
fn who_is_disconnected_while_it_leaves_and_comes_back_is_connected() {
    let mut talk = with_rules(vec![in_room("say")]);
    let body = b"42[\"say\",\"a\"]\x1e41\x1e40{\"again\":true}";
    talk.call(|session, app, cx| session.post(body, false, app, cx)).unwrap();
    talk.call(|session, app, cx| session.disconnect_socket("/", false, app, cx)).unwrap();
    assert_eq!((talk.texts(), talk.app.0.asked.len()), (vec!["41".to_owned()], 1));
    tell_rooms(&mut talk, &["a"]).unwrap();
    assert_eq!((talk.app.0.asked.len(), talk.session.is_full()), (2, false));
    assert_eq!(talk.app.0.ended, ["/ server namespace disconnect"]);
    talk.entered("\u{1}/").unwrap();
    assert!(talk.text().starts_with("40{\"sid\":"));
    // It can be found silent again.
    for _ in 0..2 {
        talk.now_ms = talk.deadline_ms();
        talk.timer().unwrap();
    }
    talk.now_ms = talk.deadline_ms();
    assert_eq!(talk.timer(), Err(CloseReason::NoPong));
}

#[test]
fn a_rate_is_that_of_a_rule_and_ends_with_it() {
    let limited =
        |event: &str| Rule { rate_per_s: 1, ack: Some(AckForm::Empty), ..Rule::new(event, RuleAction::Ack) };
    let mut talk = with_rules(vec![limited("a")]);
    let answers = |talk: &mut Talk, event: &str| {
        (0..3).for_each(|_| talk.send(&format!("421[\"{event}\"]")).unwrap());
        talk.texts().len()
    };
    assert_eq!(answers(&mut talk, "a"), 1);
    // A reload puts another rule in its place, then none.
    (talk.settings.socketio.rules, talk.settings.rules_version) = (vec![limited("b")], 1);
    assert_eq!(answers(&mut talk, "b"), 1);
    assert!(talk.session.held_bytes() > 0);
    (talk.settings.socketio.rules, talk.settings.rules_version) = (Vec::new(), 2);
    talk.send("42[\"x\"]").unwrap();
    assert_eq!(talk.session.held_bytes(), 0);
}

#[test]
fn beyond_the_number_of_waiting_events_nothing_is_read() {
    let mut talk = Talk::connected(|options| {
        options.events_waiting_max = 2;
        options.rules = vec![in_room("say"), Rule::new("echo", RuleAction::Ack)];
    });
    let mut frames = Vec::new();
    for text in ["42[\"say\",\"a\"]", "421[\"echo\"]", "422[\"echo\"]", "423[\"echo\"]", "424[\"echo\"]"] {
        frames.extend([0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
        frames.extend_from_slice(text.as_bytes());
    }
    // The frames come in two reads.
    let mut later = frames.split_off(frames.len() - 5);
    talk.bytes(&mut frames).unwrap();
    assert!(talk.session.is_full());
    talk.bytes(&mut later).unwrap();
    assert!(talk.session.held_bytes() > 20 && talk.session.held_events() == 3);
    tell_rooms(&mut talk, &[]).unwrap();
    assert_eq!(talk.texts(), ["431[]", "432[]", "433[]", "434[]"]);
    assert!(!talk.session.is_full() && talk.session.held_bytes() == 0);
}

#[test]
fn a_body_waits_as_frames_do() {
    let mut talk = Talk::connected(|options| {
        options.events_waiting_max = 1;
        options.rules = vec![in_room("say"), Rule::new("echo", RuleAction::Ack)];
    });
    let body = b"42[\"say\",\"a\"]\x1e421[\"echo\"]\x1e422[\"echo\"]\x1e41";
    talk.call(|session, app, cx| session.post(body, false, app, cx)).unwrap();
    assert!(talk.session.is_full() && talk.texts().is_empty());
    tell_rooms(&mut talk, &[]).unwrap();
    assert_eq!(talk.texts(), ["431[]", "432[]"]);
    assert!(!talk.session.is_full());
    assert_eq!(talk.end(&CloseReason::Hangup), ["/ client namespace disconnect"]);
}

#[test]
fn a_client_is_not_silent_while_its_input_waits() {
    let mut talk = Talk::connected(|options| {
        options.events_waiting_max = 1;
        options.rules = vec![in_room("say")];
    });
    talk.send("42[\"say\",\"a\"]").unwrap();
    talk.send("42[\"say\",\"a\"]").unwrap();
    for _ in 0..3 {
        talk.now_ms = talk.deadline_ms();
        talk.timer().unwrap();
    }
    assert_eq!(talk.texts(), ["2"]);
    tell_rooms(&mut talk, &[]).unwrap();
    tell_rooms(&mut talk, &[]).unwrap();
    talk.now_ms = talk.deadline_ms();
    assert_eq!(talk.timer(), Err(CloseReason::NoPong));
}

#[test]
fn the_configuration_opens_the_namespaces_that_it_names() {
    let options = |namespaces: &[&str], rules: Vec<Rule>, insecure| SocketIoOptions {
        namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        rules,
        insecure,
        ..SocketIoOptions::default()
    };
    let rule = |namespace: Option<&str>| Rule {
        namespace: namespace.map(str::to_owned),
        ..Rule::new("a", RuleAction::Drop)
    };
    for (options, open) in [
        (options(&[], vec![], false), [false, false, false]),
        (options(&[], vec![], true), [true, true, true]),
        (options(&[], vec![rule(None)], false), [true, false, false]),
        (options(&[], vec![rule(Some("/a"))], false), [true, true, false]),
        (options(&["/b*"], vec![rule(Some("/a"))], false), [false, false, true]),
    ] {
        assert_eq!(["/", "/a", "/bc"].map(|name| options.opens(name)), open, "{options:?}");
    }
}

#[test]
fn every_refusal_has_its_place() {
    let all = [
        EventRefusal::NoRule,
        EventRefusal::Dropped,
        EventRefusal::Rate,
        EventRefusal::Argument,
        EventRefusal::Effect,
        EventRefusal::Hook,
        EventRefusal::Gone,
        EventRefusal::NotConnected,
        EventRefusal::UnknownAck,
    ];
    assert_eq!(all.map(EventRefusal::place), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(EventRefusal::NAMES.len(), all.len());
}
