//! Clients whose identity is asked for, before the application is.

use super::*;
use crate::hub::words::{Claim, Denied, Dismissed};
use crate::session::{Identity, LateAnswer, LateAnswers, PacketRates, SocketRefusal};

impl Talk {
    /// A connection whose clients must say who they are.
    fn identifying() -> Self {
        let mut talk = Self::closed(|_| {});
        talk.settings.claims.identifies = true;
        talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
        talk.got.clear();
        talk
    }

    /// The only claim, with its number.
    fn claim(&mut self) -> (u32, Claim) {
        let mut actions = std::mem::take(&mut self.actions);
        actions.retain(|action| !matches!(action, Action::SetTimer { .. }));
        match actions.pop() {
            Some(Action::Ask { id, ask: Ask::Claim(claim) }) if actions.is_empty() => (id, *claim),
            other => panic!("{other:?} {actions:?}"),
        }
    }

    /// Stores who it is, as the shard does.
    fn is_user(&mut self, id: u32, user: &str) {
        let claimant = self.session.claimant(id).unwrap();
        claimant.identity = Identity {
            user: user.into(),
            info: br#"{"n":1}"#.to_vec().into(),
            is_counted: true,
            ..Identity::default()
        };
    }

    fn admit(&mut self, id: u32) {
        self.call(|session, app, cx| session.admit(id, app, cx)).unwrap();
    }

    fn turn_away(&mut self, id: u32, refusal: &SocketRefusal<'_>) {
        self.call(|session, _, cx| {
            session.turn_away(id, refusal, cx);
            Ok(())
        })
        .unwrap();
    }

    fn left_users(&mut self) -> Vec<String> {
        let left = std::mem::take(&mut self.actions).into_iter().filter_map(|action| {
            if let Action::UserLeft { user } = action { Some(user.to_string()) } else { None }
        });
        left.collect()
    }
}

#[test]
fn the_application_is_asked_when_it_is_known_who_it_is() {
    let mut talk = Talk::identifying();
    talk.send("40/custom,{\"token\":\"t\",\"a\":1}").unwrap();
    let (id, claim) = talk.claim();
    assert_eq!((&*claim.token, &*claim.group, &*claim.query), ("t", "/custom", "token=t"));
    assert_eq!((&*claim.data, claim.is_open, claim.is_further), (r#"{"token":"t","a":1}"#, false, false));
    assert_eq!(&*claim.id, SocketId::new(client(1), 0).as_str());
    assert!(talk.got.is_empty() && talk.app.0.asked.is_empty());
    // Other namespaces go on, each with a question of its own.
    talk.send("40/").unwrap();
    let (other, claim) = talk.claim();
    assert_eq!((&*claim.token, &*claim.group, claim.is_further), ("", "/", true));
    talk.admit(other);
    talk.entered("\u{1}/").unwrap();
    assert!(talk.text().starts_with("40{\"sid\":\""));
    // A packet for a namespace without an answer is ignored, as clients wait for that.
    talk.send("42/custom,[\"message\"]").unwrap();
    assert_eq!(talk.texts(), ["42[\"auth\",{}]"]);
    talk.is_user(id, "ann");
    talk.admit(id);
    talk.entered("\u{1}/custom").unwrap();
    assert!(talk.text().starts_with("40/custom,{\"sid\":\""));
    assert_eq!(talk.app.0.users, [" ", "ann {\"n\":1}"]);
    talk.admit(id);
    assert_eq!(talk.texts(), [""; 0], "a question is answered once");
}

#[test]
fn a_refusal_has_a_code_or_the_applications_data() {
    let mut talk = Talk::identifying();
    for (refusal, expected) in [
        (
            SocketRefusal::denied(&Denied::TokenExpired, b""),
            r#"44{"message":"token expired","data":{"code":109}}"#,
        ),
        (
            SocketRefusal::dismissed(Dismissed::InvalidToken),
            r#"44{"message":"invalid token","data":{"code":3500}}"#,
        ),
        (
            SocketRefusal { code: 1000, message: "no", data: br#"{"why":[1]}"# },
            r#"44{"message":"no","data":{"why":[1]}}"#,
        ),
    ] {
        talk.send("40").unwrap();
        let (id, _) = talk.claim();
        talk.turn_away(id, &refusal);
        assert_eq!(talk.text(), expected);
    }
    assert!(talk.app.0.asked.is_empty());
    assert_eq!(talk.session.held_bytes(), 0);
}

#[test]
fn who_leaves_before_the_answer_is_not_let_in() {
    let mut talk = Talk::identifying();
    talk.send("40").unwrap();
    let (id, _) = talk.claim();
    talk.is_user(id, "ann");
    talk.send("41").unwrap();
    assert_eq!(talk.left_users(), ["ann"]);
    talk.send("40").unwrap();
    let (second, _) = talk.claim();
    assert_ne!(id, second, "the answer to the first question is for nobody");
    talk.admit(id);
    assert!(talk.app.0.asked.is_empty());
    assert!(matches!(talk.send("40"), Err(CloseReason::Malformed(_))), "a second CONNECT");
}

#[test]
fn what_waits_has_limits() {
    let mut talk = Talk::identifying();
    talk.send("40").unwrap();
    talk.now_ms += talk.settings.socketio.connect_timeout_ms;
    assert_eq!(talk.timer(), Err(CloseReason::Stale), "no namespace was connected");
    let mut talk = Talk::identifying();
    talk.settings.socketio.namespaces_max = 2;
    talk.send("40/a").unwrap();
    talk.send("40/b").unwrap();
    talk.send("40/c").unwrap();
    assert_eq!(talk.text(), r#"44/c,{"message":"too many namespaces on one connection"}"#);
    let mut talk = Talk::identifying();
    let auth = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000));
    for number in 0..5 {
        talk.send(&format!("40/{number},{auth}")).unwrap();
    }
    assert!(talk.session.held_bytes() > 250_000, "what waits is counted");
    assert_eq!(talk.send(&format!("40/5,{auth}")), Err(CloseReason::Dismissed(Dismissed::TooMany)));
}

/// A user counts once for a connection, however many of its sockets are the user's.
#[test]
fn a_user_leaves_with_the_last_of_its_sockets() {
    let mut talk = Talk::identifying();
    for (namespace, user) in [("/", "ann"), ("/custom1", "ann"), ("/custom2", "ben")] {
        talk.send(&format!("40{namespace},")).unwrap();
        let (id, _) = talk.claim();
        talk.is_user(id, user);
        talk.admit(id);
        talk.entered(&format!("\u{1}{namespace}")).unwrap();
    }
    assert_eq!(talk.session.counted_user_count(), 2);
    assert!(talk.session.has_user("ann") && !talk.session.has_user("eve") && !talk.session.has_user(""));
    talk.left_users();
    talk.send("41/custom1,").unwrap();
    assert_eq!(talk.left_users(), [""; 0]);
    talk.send("41").unwrap();
    assert_eq!(talk.left_users(), ["ann"]);
    talk.session.closed(&mut talk.app, client(1), &CloseReason::Hangup, (&talk.settings, &mut talk.actions));
    talk.session = AnySession::over();
    assert_eq!(talk.left_users(), ["ben"]);
    assert_eq!(
        talk.app.0.ended,
        ["/custom1 client namespace disconnect", "/ client namespace disconnect", "/custom2 transport close"]
    );
}

#[test]
fn an_expired_identity_is_renewed_or_not() {
    let mut talk = Talk::identifying();
    talk.send("40").unwrap();
    let (id, _) = talk.claim();
    talk.is_user(id, "ann");
    talk.session.claimant(id).unwrap().identity.expire_at_s = 50;
    talk.admit(id);
    assert_eq!((talk.session.ends_at_s(), talk.session.take_expired(49)), (Some(50), None));
    let expired = talk.session.take_expired(50).unwrap();
    assert_eq!((expired.number, expired.user.as_str()), (0, "ann"));
    assert_eq!((talk.session.ends_at_s(), talk.session.take_expired(60)), (None, None), "it is asked once");
    let identity = talk.session.refreshing(0).unwrap();
    (identity.expire_at_s, identity.is_refreshing) = (90, false);
    assert!(talk.session.refreshing(0).is_none());
    assert_eq!(talk.session.ends_at_s(), Some(90));
}

#[test]
fn a_user_is_disconnected_and_others_stay() {
    let mut talk = Talk::identifying();
    for (namespace, user) in [("/", "ann"), ("/custom1", "ben"), ("/custom2", "ann")] {
        talk.send(&format!("40{namespace},")).unwrap();
        let (id, _) = talk.claim();
        talk.is_user(id, user);
        if namespace == "/custom2" {
            continue;
        }
        talk.admit(id);
        talk.entered(&format!("\u{1}{namespace}")).unwrap();
    }
    talk.got.clear();
    let refusal = SocketRefusal { code: 3503, message: "force disconnect", data: b"" };
    let mut is_last = true;
    talk.call(|session, app, cx| {
        is_last = session.disconnect_user("ann", &refusal, app, cx);
        Ok(())
    })
    .unwrap();
    assert!(!is_last, "ben stays");
    assert_eq!(talk.texts(), ["41", r#"44/custom2,{"message":"force disconnect","data":{"code":3503}}"#]);
    talk.call(|session, app, cx| {
        is_last = session.disconnect_user("ben", &refusal, app, cx);
        Ok(())
    })
    .unwrap();
    assert!(is_last);
    assert_eq!(talk.texts(), ["41/custom1,"]);
}

/// Beyond a rate the connection ends, since a packet has no error for an answer.
#[test]
fn each_kind_of_packet_has_its_rate() {
    let rates = PacketRates { all: 20, connects: 1, events: 2, calls: 3, answers: 4 };
    let too_many = Err(CloseReason::Dismissed(Dismissed::TooMany));
    for (packet, count) in [("40/custom,", 0), ("42[\"x\"]", 2), ("421[\"with-ack\"]", 3), ("439[]", 4)] {
        let mut talk = Talk::closed(|_| {});
        talk.settings.packet_rates = Some(rates);
        talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
        talk.send("40").unwrap();
        for _ in 0..count {
            talk.send(packet).unwrap();
        }
        assert_eq!(talk.send(packet), too_many, "{packet}");
        assert_eq!(talk.counts.limited_packets, 1);
        // The tokens return.
        talk.now_ms += 1000;
        talk.send(packet).unwrap();
    }
    let mut talk = Talk::connected(|_| {});
    talk.settings.packet_rates = Some(PacketRates { all: 3, ..PacketRates::default() });
    talk.send("42[\"x\"]").unwrap();
    talk.send("40/custom,").unwrap();
    talk.send("439[]").unwrap();
    assert_eq!(talk.send("42[\"x\"]"), too_many, "all kinds together");
}

/// The last late answer.
#[derive(Debug, Default)]
struct Recorder(std::sync::Mutex<Vec<LateAnswer>>);

impl LateAnswers for Recorder {
    fn put(&self, answer: LateAnswer) {
        self.0.lock().unwrap().push(answer);
    }
}

#[test]
fn an_application_may_answer_later_and_once() {
    let recorder = std::sync::Arc::new(Recorder::default());
    let mut talk = Talk::closed(|_| {});
    talk.settings.late = Some(recorder.clone());
    talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
    talk.got.clear();
    let answer = |talk: &mut Talk| {
        let LateAnswer { id, admit, .. } = recorder.0.lock().unwrap().pop().unwrap();
        talk.call(|session, _, cx| session.answered_late(id, admit, cx))
    };
    talk.send("40/later,{\"a\":1}").unwrap();
    assert!(talk.got.is_empty() && recorder.0.lock().unwrap().is_empty());
    talk.app.0.tickets.pop().unwrap().admit(Admit::In(Value::Null));
    assert_eq!(answer(&mut talk), Ok(()));
    talk.entered("\u{1}/later").unwrap();
    assert!(talk.text().starts_with("40/later,{\"sid\":\""));
    talk.send("41/later,").unwrap();
    // A refusal; and an answer for a client that has left.
    talk.send("40/later,").unwrap();
    talk.app.0.tickets.pop().unwrap().admit(Admit::out("not you"));
    assert_eq!(answer(&mut talk), Ok(()));
    assert_eq!(talk.text(), r#"44/later,{"message":"not you"}"#);
    talk.send("40/later,").unwrap();
    talk.send("41/later,").unwrap();
    talk.app.0.tickets.pop().unwrap().admit(Admit::In(Value::Null));
    assert_eq!(answer(&mut talk), Ok(()));
    assert_eq!(talk.texts(), [""; 0]);
    // A dropped ticket ends the connection, and so does the end of the time.
    talk.send("40/later,").unwrap();
    assert_eq!(talk.session.deadline_ms().map(|at_ms| at_ms <= talk.now_ms + 45_000), Some(true));
    talk.app.0.tickets.clear();
    assert_eq!(answer(&mut talk), Err(CloseReason::Dismissed(Dismissed::Internal)));
    talk.send("40").unwrap();
    talk.send("40/later,").unwrap();
    talk.now_ms += 45_000;
    assert_eq!(talk.timer(), Err(CloseReason::Dismissed(Dismissed::Internal)));
}

#[test]
fn a_ticket_that_is_not_used_answers_nobody() {
    let recorder = std::sync::Arc::new(Recorder::default());
    let mut talk = Talk::closed(|_| {});
    talk.settings.late = Some(recorder.clone());
    talk.call(|session, app, cx| session.receive(&mut HEAD.as_bytes().to_vec(), app, cx)).unwrap();
    talk.send("40/unused,").unwrap();
    talk.send("40/later,").unwrap();
    talk.got.clear();
    let unused = talk.app.0.tickets.remove(0);
    unused.admit(Admit::In(Value::Null));
    let LateAnswer { id, admit, .. } = recorder.0.lock().unwrap().pop().unwrap();
    talk.call(|session, _, cx| session.answered_late(id, admit, cx)).unwrap();
    talk.call(|session, _, cx| session.answered_late(id, None, cx)).unwrap();
    assert!(talk.got.is_empty());
    talk.app.0.tickets.remove(0).admit(Admit::out("not you"));
    let LateAnswer { id, admit, .. } = recorder.0.lock().unwrap().pop().unwrap();
    talk.call(|session, _, cx| session.answered_late(id, admit, cx)).unwrap();
    assert_eq!(talk.text(), r#"44/later,{"message":"not you"}"#);
}

/// Ids of sockets are not used twice while numbers last, in whatever order clients are admitted.
#[test]
fn an_answer_out_of_order_brings_no_number_back() {
    let mut talk = Talk::identifying();
    let mut asked = Vec::new();
    for namespace in ["/", "/custom1", "/custom2"] {
        talk.send(&format!("40{namespace},")).unwrap();
        asked.push((talk.claim().0, namespace));
    }
    for (id, namespace) in [asked[2], asked[0]] {
        talk.admit(id);
        talk.entered(&format!("\u{1}{namespace}")).unwrap();
    }
    talk.send("41/custom2,").unwrap();
    talk.actions.clear();
    talk.send("40/custom3,").unwrap();
    assert_eq!(&*talk.claim().1.id, SocketId::new(client(1), 3).as_str());
}
