//! Events that go to the application's hook.

use super::logic::{emits, template};
use super::*;
use crate::hub::words::{Denied, EventAsk};

/// The question of a session to the hook, with its number.
fn question(talk: &mut Talk) -> (u32, EventAsk) {
    let is_question = |action: &mut Action| matches!(action, Action::Ask { ask: Ask::Event(_), .. });
    let mut asked: Vec<_> = talk.actions.extract_if(.., is_question).collect();
    assert_eq!(asked.len(), 1, "one question is open: {asked:?}");
    let Some(Action::Ask { id, ask: Ask::Event(ask) }) = asked.pop() else { panic!() };
    (id, *ask)
}

fn has_question(talk: &Talk) -> bool {
    talk.actions.iter().any(|action| matches!(action, Action::Ask { ask: Ask::Event(_), .. }))
}

fn answer(talk: &mut Talk, id: u32, outcome: Result<&str, &Denied>) -> Result<(), CloseReason> {
    talk.call(|session, app, cx| session.reply(id, &Reply::Hooked(outcome), app, cx))
}

fn fields(ask: &EventAsk) -> Value {
    serde_json::from_str(&format!("{{{}}}", ask.fields)).unwrap()
}

fn with_hook(change: impl FnOnce(&mut EventHook)) -> Talk {
    let mut hook = EventHook::default();
    change(&mut hook);
    Talk::connected(|options| {
        options.event_hook = Some(hook);
        options.rules = vec![Rule::new("ping", RuleAction::Ack)];
    })
}

#[test]
fn effects_take_their_place_behind_the_answer() {
    let mut talk = with_hook(|_| {});
    talk.settings.channel_name_bytes_max = 100;
    talk.send("425[\"say\",{\"a\": 1}]").unwrap();
    let (id, ask) = question(&mut talk);
    let told = fields(&ask);
    assert_eq!(
        (&told["event"], &told["args"], &told["ack"]),
        (&"say".into(), &serde_json::json!([{"a": 1}]), &true.into())
    );
    assert_eq!((&told["namespace"], told["sid"].as_str()), (&"/".into(), Some(&*ask.sid)));
    let sid = ask.sid.to_string();
    let result = format!(
        r#"{{"ack":["ok"],"state":{{"n":1}},"do":[{{"join":{{"rooms":"a"}}}},
            {{"emit":{{"event":"said","args":[1],"to":"a","except":"{sid}"}}}},{{"disconnect":{{}}}}]}}"#
    );
    answer(&mut talk, id, Ok(&result)).unwrap();
    assert_eq!(talk.texts(), ["435[\"ok\"]", "41"]);
    let enters = |ask: &Action| matches!(ask, Action::Ask { ask: Ask::Enter(_), .. });
    let emitted = |ask: &Action| matches!(ask, Action::Ask { ask: Ask::Emit(_), .. });
    let place = |of: fn(&Action) -> bool| talk.actions.iter().position(of);
    assert!(place(enters) < place(emitted), "{:?}", talk.actions);
    let all = emits(&mut talk);
    assert_eq!((&*all[0].to[0], all[0].except.len()), ("\u{1}/,a", 1));
    // An answer for a socket that has gone is nothing.
    answer(&mut talk, id, Ok(&result)).unwrap();
    assert!(talk.got.is_empty());
}

#[test]
fn one_question_is_open_and_the_state_goes_with_each() {
    let mut talk = with_hook(|_| {});
    for n in 0..3 {
        talk.send(&format!("42{n}[\"say\",{n}]")).unwrap();
    }
    talk.send("429[\"ping\"]").unwrap();
    for n in 0..3 {
        let (id, ask) = question(&mut talk);
        let told = fields(&ask);
        let state = if n == 0 { Value::Null } else { serde_json::json!({ "n": n - 1 }) };
        assert_eq!((&told["args"][0], told.get("state").unwrap_or(&Value::Null)), (&n.into(), &state));
        answer(&mut talk, id, Ok(&format!(r#"{{"ack":[{n}],"state":{{"n":{n}}}}}"#))).unwrap();
    }
    assert_eq!(talk.texts(), ["430[0]", "431[1]", "432[2]", "439[]"], "a rule keeps its place, too");
    talk.send("42[\"say\"]").unwrap();
    let (id, _) = question(&mut talk);
    answer(&mut talk, id, Ok(r#"{"state":null}"#)).unwrap();
    assert_eq!(talk.session.held_bytes(), 0, "nothing is kept");
}

#[test]
fn what_waits_goes_in_one_question_up_to_another_kind() {
    let mut talk = with_hook(|hook| hook.batch_max = 3);
    talk.send("42[\"a\"]").unwrap();
    let (id, ask) = question(&mut talk);
    assert_eq!((fields(&ask)["events"].as_array().unwrap().len(), ask.count), (1, 1));
    for text in ["421[\"b\"]", "42[\"c\"]", "423[\"d\"]", "424[\"e\"]", "425[\"ping\"]", "426[\"f\"]"] {
        talk.send(text).unwrap();
    }
    answer(&mut talk, id, Ok("{}")).unwrap();
    let (id, ask) = question(&mut talk);
    let names = |ask: &EventAsk| {
        let told = fields(ask);
        told["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["event"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&ask), ["b", "c", "d"]);
    answer(&mut talk, id, Ok(r#"{"events":[{"ack":[1]},{"ack":[2]},{"ack":[3]}]}"#)).unwrap();
    assert_eq!(talk.texts(), ["431[1]", "433[3]"], "one wants no answer");
    let (id, ask) = question(&mut talk);
    assert_eq!(names(&ask), ["e"], "the next is for a rule");
    answer(&mut talk, id, Ok("{}")).unwrap();
    assert_eq!(talk.texts(), ["435[]"]);
    let (_, ask) = question(&mut talk);
    assert_eq!(names(&ask), ["f"]);
}

#[test]
fn a_hook_that_fails_leaves_its_events_without_an_answer_unless_errors_are_wanted() {
    for acks_errors in [false, true] {
        let mut talk = with_hook(|hook| hook.acks_errors = acks_errors);
        talk.send("421[\"a\"]").unwrap();
        talk.send("422[\"b\"]").unwrap();
        let (id, _) = question(&mut talk);
        answer(&mut talk, id, Err(&Denied::Internal)).unwrap();
        let error = "431[{\"error\":{\"code\":100,\"message\":\"internal server error\"}}]";
        assert_eq!(talk.texts(), if acks_errors { vec![error] } else { vec![] });
        let (id, ask) = question(&mut talk);
        assert_eq!(fields(&ask)["event"], "b", "the next one goes on");
        answer(&mut talk, id, Ok(r#"{"ack":[]}"#)).unwrap();
        assert_eq!(talk.texts(), ["432[]"]);
    }
}

#[test]
fn events_are_selected_for_the_hook_or_left_to_rules() {
    let mut talk = with_hook(|hook| hook.events = vec!["ping".to_owned(), "room:*".to_owned()]);
    talk.settings.socketio.rules.push(Rule::new("by rule", RuleAction::Hook));
    for (text, goes) in [
        ("42[\"ping\"]", true),
        ("42[\"room:x\"]", true),
        ("42[\"by rule\"]", true),
        ("42[\"message\",1]", false),
    ] {
        talk.send(text).unwrap();
        assert_eq!(has_question(&talk), goes, "{text}");
        if goes {
            let (id, _) = question(&mut talk);
            answer(&mut talk, id, Ok("{}")).unwrap();
        }
    }
    assert_eq!(talk.texts(), ["42[\"message-back\",1]"], "the application gets the rest");
}

#[test]
fn a_condition_on_a_room_stands_before_the_hook() {
    let mut talk = with_hook(|hook| hook.batch_max = 5);
    let require = Require { room: template("den"), ..Require::default() };
    let rule = Rule { require, ..Rule::new("say", RuleAction::Ack) };
    talk.settings.socketio.rules = vec![rule];
    talk.send("421[\"say\"]").unwrap();
    assert!(!has_question(&talk));
    let Some(Action::Ask { id, ask: Ask::Rooms { .. } }) = talk.actions.pop() else { panic!() };
    talk.call(|session, app, cx| session.reply(id, &Reply::Rooms(&[]), app, cx)).unwrap();
    question(&mut talk);
}

#[test]
fn the_end_of_a_socket_is_reported_with_its_reason_and_state() {
    let mut talk = Talk::connected(|options| {
        options.event_hook = Some(EventHook::default());
        options.reports_ends = true;
    });
    talk.send("42[\"a\"]").unwrap();
    let (id, _) = question(&mut talk);
    answer(&mut talk, id, Ok(r#"{"state":{"n":1}}"#)).unwrap();
    talk.send("41").unwrap();
    talk.actions.retain(|action| matches!(action, Action::Ask { .. }));
    let Some(Action::Ask { ask: Ask::Ended(end), .. }) = talk.actions.first() else {
        panic!("{:?}", talk.actions)
    };
    let told: Value = serde_json::from_str(&format!("{{{}}}", end.fields)).unwrap();
    assert_eq!(
        (&told["reason"], end.state.as_deref()),
        (&"client namespace disconnect".into(), Some(r#"{"n":1}"#))
    );
    assert!(
        matches!(talk.actions[1], Action::Ask { ask: Ask::LeaveGroup { .. }, .. }),
        "while it is in its rooms"
    );
    talk.send("40").unwrap();
    let reason = CloseReason::NoPong;
    let mut actions = Vec::new();
    talk.session.closed(&mut talk.app, client(1), &reason, (&talk.settings, &mut actions));
    let Some(Action::Ask { ask: Ask::Ended(end), .. }) = actions.first() else { panic!("{actions:?}") };
    assert!(end.fields.contains("\"reason\":\"ping timeout\"") && end.state.is_none());
}
