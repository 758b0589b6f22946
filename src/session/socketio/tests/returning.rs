//! Recovery, as a session sees it: private ids, offsets, what is handed to the home and what comes back.

use serde_json::json;

use super::*;
use crate::hub::away::Back;
use crate::hub::home::Member;

/// The root's private id, and the texts that came behind the answer to CONNECT.
fn opened(talk: &mut Talk) -> (String, Vec<String>) {
    talk.send("40").unwrap();
    let mut texts = talk.texts();
    let answer: Value = serde_json::from_str(texts.remove(0).strip_prefix("40").unwrap()).unwrap();
    assert_eq!(answer["sid"], SocketId::new(client(1), 0).as_str());
    (answer["pid"].as_str().unwrap().to_owned(), texts)
}

fn talk() -> Talk {
    Talk::new(|options| options.recovery_ttl_ms = 1000)
}

/// Its last argument, which must be an offset.
fn offset(text: &str) -> String {
    let event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
    let offset = event.last().unwrap().as_str().unwrap().to_owned();
    assert!(offset.len() >= 10 && offset.matches('.').count() == 2, "{text}");
    offset
}

/// The request of a client that returns.
fn asked(talk: &mut Talk) -> Option<Box<Return>> {
    let asked =
        |action| if let Action::Ask { ask: Ask::Return(asked), .. } = action { Some(asked) } else { None };
    std::mem::take(&mut talk.actions).into_iter().find_map(asked)
}

/// Ends the session; returns what it hands to the home.
fn parted(talk: Talk, reason: &CloseReason) -> (Vec<Away>, Vec<String>) {
    let Talk { session, mut app, settings, .. } = talk;
    let mut actions = Vec::new();
    session.closed(&mut app, client(1), reason, (&settings, &mut actions));
    let park = |action| if let Action::Park(away) = action { Some(*away) } else { None };
    (actions.into_iter().filter_map(park).collect(), app.0.ended)
}

#[test]
fn each_event_has_an_offset_unless_it_wants_an_answer() {
    let mut talk = talk();
    let (_, texts) = opened(&mut talk);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("42[\"auth\",{},\""), "{texts:?}");
    talk.send("42[\"message\",\"a text\"]").unwrap();
    talk.send("42[\"message\"]").unwrap();
    let texts = talk.texts();
    assert!(texts[0].starts_with("42[\"message-back\",\"a text\",\""), "{texts:?}");
    assert_ne!(offset(&texts[0]), offset(&texts[1]));
    talk.send("421[\"with-ack\",\"x\"]").unwrap();
    talk.send("42[\"ask\"]").unwrap();
    assert_eq!(talk.texts(), ["431[\"x\"]", "421[\"question\",\"q\"]"]);
    talk.send("42[\"file\"]").unwrap();
    let file = talk.text();
    let expected =
        "452-[\"file\",\"name\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1},\"";
    assert!(file.starts_with(expected), "{file}");
    assert_eq!(talk.got.len(), 2);
}

#[test]
fn a_private_id_asks_the_home_and_any_other_is_a_new_socket() {
    let mut first = talk();
    let (pid, texts) = opened(&mut first);
    let last = offset(&texts[0]);
    for (auth, expected) in [
        (json!({"pid": pid}), true),
        (json!({"pid": pid, "offset": last, "token": "x"}), true),
        (json!({"pid": pid, "offset": "AAAAAAAA.B"}), true),
        (json!({"pid": pid, "offset": "x"}), false),
        (json!({"pid": pid, "offset": 1}), false),
        (json!({"pid": &pid[1..]}), false),
        (json!({"token": "x"}), false),
    ] {
        let mut second = talk();
        second.send(&format!("40{auth}")).unwrap();
        let asked = asked(&mut second);
        assert_eq!(asked.is_some(), expected, "{auth}");
        assert_eq!(second.got.is_empty(), expected, "{auth}");
        let Some(asked) = asked else { continue };
        assert_eq!((&*asked.pid, &*asked.group, asked.place.conn), (&*pid, "\u{1}/", 1));
        // That of another process is left from before.
        let is_own = auth["offset"].as_str().is_some_and(|offset| offset == last);
        assert_eq!(asked.offset.is_some(), is_own, "{auth}");
        // Meanwhile it may not ask again, and what it sends is ignored.
        second.send("42[\"message\"]").unwrap();
        assert!(second.got.is_empty());
        // Refused: a new socket, which the application admits.
        second.call(|session, app, cx| session.returned(&asked, None, app, cx)).unwrap();
        assert_eq!(second.app.0.asked.len(), 1);
        assert!(second.send("40").is_err(), "a second CONNECT");
    }
    // In another namespace it is worth nothing.
    let mut other = talk();
    other.send(&format!("40/custom,{}", json!({"pid": pid}))).unwrap();
    assert!(asked(&mut other).is_none());
}

#[test]
fn what_is_handed_over_comes_back() {
    let mut first = talk();
    let (pid, texts) = opened(&mut first);
    first.send("42[\"ask for ever\"]").unwrap();
    let (mut parked, ended) = parted(first, &CloseReason::Hangup);
    assert_eq!((parked.len(), ended.len()), (1, 0), "the application is told later");
    let away = parked.remove(0);
    assert_eq!((away.place.conn, away.directs.iter().count()), (1, 1));

    let mut second = talk();
    second.send(&format!("40{}", json!({"pid": pid}))).unwrap();
    let asked = asked(&mut second).unwrap();
    assert_eq!(asked.member, Member { shard: 0, conn: 1 });
    let back = Back { away: Box::new(away), seq: 0, missed: Vec::new() };
    second.call(|session, app, cx| session.returned(&asked, Some(back), app, cx)).unwrap();
    let answer = format!("40{}", json!({"sid": SocketId::new(client(1), 0).as_str(), "pid": pid}));
    let texts_back = second.texts();
    assert_eq!(texts_back.len(), 1);
    let (told, expected): (Value, Value) =
        (serde_json::from_str(&texts_back[0][2..]).unwrap(), serde_json::from_str(&answer[2..]).unwrap());
    assert_eq!(told, expected);
    assert!(second.app.0.asked.is_empty(), "the middleware is skipped");
    // An answer to an event from before finds its token.
    second.send("431[\"late\"]").unwrap();
    let texts = [texts, second.texts()].concat();
    assert!(texts.iter().any(|text| text.starts_with("42[\"acked\",8,[\"late\"]")), "{texts:?}");
    // It ends for good.
    let (parked, ended) = parted(second, &CloseReason::Shutdown);
    assert_eq!((parked.len(), &ended[..]), (0, &["/ server shutting down".to_owned()][..]));
}

/// The answers go to the connection that has ended.
#[test]
fn a_question_to_several_sockets_ends_with_the_connection_that_asked() {
    let mut first = talk();
    let (pid, _) = opened(&mut first);
    first.send("42[\"ask all\"]").unwrap();
    first.timer().unwrap();
    assert!(first.texts().is_empty(), "the shards see to its time");
    let away = parted(first, &CloseReason::Hangup).0.remove(0);
    let mut second = talk();
    second.send(&format!("40{}", json!({"pid": pid}))).unwrap();
    let asked = asked(&mut second).unwrap();
    let back = Back { away: Box::new(away), seq: 0, missed: Vec::new() };
    second.call(|session, app, cx| session.returned(&asked, Some(back), app, cx)).unwrap();
    second.texts();
    second.now_ms = second.deadline_ms();
    second.timer().unwrap();
    let texts = second.texts();
    assert!(texts.iter().any(|text| text.starts_with("42[\"acked\",9,null,")), "{texts:?}");
    assert!(second.deadline_ms() > second.now_ms, "nothing waits");
}

#[test]
fn a_client_of_engine_io_3_has_no_socket_to_return_to() {
    let mut first = talk();
    first.send("40/custom,").unwrap();
    let answer: Value = serde_json::from_str(first.text().strip_prefix("40/custom,").unwrap()).unwrap();
    let pid = answer["pid"].as_str().unwrap();
    let mut old = Talk::old(|options| options.recovery_ttl_ms = 1000);
    old.send(&format!("40/custom?pid={pid}")).unwrap();
    assert!(asked(&mut old).is_none());
    let mut new = talk();
    new.send(&format!("40/custom,{}", json!({"pid": pid}))).unwrap();
    assert!(asked(&mut new).is_some());
}

/// Its leave may wait behind an event that is asked about.
#[test]
fn who_has_left_does_not_return() {
    for (last, expected) in [(None, 1), (Some("41"), 0)] {
        let mut talk = Talk::new(|options| {
            options.recovery_ttl_ms = 1000;
            let require = Require { room: Template::new("$0").ok(), ..Require::default() };
            options.rules = vec![Rule { require, ..Rule::new("say", RuleAction::Emit) }];
        });
        opened(&mut talk);
        talk.send("42[\"say\",\"a\"]").unwrap();
        last.into_iter().for_each(|last| talk.send(last).unwrap());
        let (parked, ended) = parted(talk, &CloseReason::Hangup);
        assert_eq!(parked.len(), expected);
        assert_eq!(ended, ["/ client namespace disconnect"][..1 - expected]);
    }
}

#[test]
fn only_the_ends_of_connections_can_be_recovered_and_pongs_prove() {
    for (last, expected) in [("41", 0), ("42[\"leave\"]", 0), ("42[\"message\"]", 1)] {
        let mut talk = talk();
        opened(&mut talk);
        talk.send(last).unwrap();
        assert_eq!(parted(talk, &CloseReason::NoPong).0.len(), expected, "{last}");
    }
    let mut talk = talk();
    opened(&mut talk);
    talk.now_ms = talk.deadline_ms();
    talk.timer().unwrap();
    assert!(talk.texts().contains(&"2".to_owned()));
    talk.send("42[\"message\"]").unwrap();
    talk.send("3").unwrap();
    let (parked, _) = parted(talk, &CloseReason::NoPong);
    assert_eq!(parked[0].directs.iter().count(), 1, "what was sent behind the ping");
}
