//! Directed stories: orders of the server API against pending requests.
//!
//! Each order meets a subscription and a connection in each of their phases. It must overtake questions to a hook, a
//! token worker or another shard, or wait for the answers, which happens too seldom in runs drawn from a seed.

mod asked;
mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use throng::Denied;
use throng::parts::base::budget::Budget;
use throng::parts::base::payload::Payload;
use throng::parts::base::shared::Shared;
use throng::parts::hub::{DataKind, Publication};
use throng::parts::shard::mailbox::{Deed, Done, Letter, Order, Target};
use throng::parts::shard::outside::{Credentials, Grant, Question, Rejected, Verdict};

use story::{HERE, MOMENTS, MUCH_LATER_S, Moment, Story, THERE, name_there};

fn assert_begins(heard: &[String], expected: &[impl AsRef<str>], what: &str) {
    let begins = heard.len() == expected.len()
        && heard.iter().zip(expected).all(|(line, begin)| line.starts_with(begin.as_ref()));
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    assert!(begins, "{what}: {heard:#?}, not {expected:#?}");
}

#[test]
fn who_is_unsubscribed_in_whatever_phase_is_not_subscribed_and_hears_so() {
    for moment in MOMENTS {
        let mut story = Story::at(moment);
        let done = story.order_and_wait(story.unsubscribe());
        let mut expected: Vec<String> = moment.begun().into_iter().map(str::to_owned).collect();
        expected.push(story.unsubscribed());
        if moment != Moment::Active {
            assert_eq!(story.heard(), [""; 0], "{moment:?}: nothing goes before the reply");
            assert!(!done.load(Relaxed), "{moment:?}: its sender waits, too");
            // The pending questions are answered.
            story.grant();
            story.settle();
        }
        assert_begins(&story.heard(), &expected, &format!("{moment:?}"));
        assert!(done.load(Relaxed), "{moment:?}");
        story.settle();
        let others = u64::from(moment == Moment::Behind);
        assert_eq!(story.left(), (others, others), "{moment:?}");
    }
}

/// Also who is not subscribed hears of it.
#[test]
fn who_is_unsubscribed_without_a_subscription_hears_so() {
    let mut story = Story::connected(Credentials::default());
    story.order(story.unsubscribe());
    assert_eq!(story.heard(), [story.unsubscribed()]);
    assert_eq!(story.left(), (0, 0));
}

#[test]
fn who_is_disconnected_in_whatever_phase_is_gone_with_all_that_was_asked() {
    for moment in MOMENTS {
        for (deed, code) in [
            (Deed::Disconnect { code: 4500, reason: "go".to_owned(), spared: Vec::new() }, 4500),
            (Deed::Refresh { expired: true, expire_at_s: 0, info: Payload::default() }, 3005),
        ] {
            let mut story = Story::at(moment);
            story.order(deed);
            assert_eq!(story.heard(), [format!("closed {code}")], "{moment:?}");
            story.grant();
            story.settle();
            assert_eq!((story.heard(), story.left()), (vec![], (0, 0)), "{moment:?}");
        }
    }
}

#[test]
fn who_is_somebody_else_is_not_meant_in_any_phase() {
    for moment in MOMENTS {
        let mut story = Story::at(moment);
        let user = std::mem::replace(&mut story.user, "somebody".to_owned());
        story.order(Deed::Disconnect { code: 4500, reason: "go".to_owned(), spared: Vec::new() });
        story.user = user;
        story.grant();
        story.settle();
        assert_begins(&story.heard(), &moment.begun(), &format!("{moment:?}"));
    }
}

#[test]
fn what_is_told_or_prolonged_in_whatever_phase_is_heard_of() {
    for moment in MOMENTS {
        let mut story = Story::at(moment);
        story.order(Deed::Message { data: b"7".to_vec().into() });
        story.order(Deed::Refresh { expired: false, expire_at_s: MUCH_LATER_S, info: Payload::default() });
        let told = [r#"{"push":{"message":{"data":7}}}"#, r#"{"push":{"refresh":{"expires":true,"ttl":"#];
        story.grant();
        story.settle();
        let begun = moment.begun();
        let expected: Vec<&str> = match moment.is_of_connect() {
            true => [&begun[..], &told].concat(),
            false => [&told[..], &begun].concat(),
        };
        // The home's answers come at any time: a client's requests have no order.
        let mut heard = story.heard();
        if moment == Moment::Behind {
            heard.sort_by_key(|line| expected.iter().position(|begin| line.starts_with(begin)));
        }
        assert_begins(&heard, &expected, &format!("{moment:?}"));
        let subscriptions = if moment == Moment::Behind { 2 } else { 1 };
        assert_eq!(story.count(|c| c.subscriptions.value()), subscriptions, "{moment:?}");
    }
}

#[test]
fn who_is_subscribed_in_whatever_phase_is_so_whatever_those_who_were_asked_say() {
    for moment in MOMENTS {
        let mut story = Story::at(moment);
        story.order(story.subscribe(&story.channel));
        let is_asked = matches!(moment, Moment::Hook | Moment::Worker);
        if is_asked {
            // It waits for nobody.
            story.settle();
            assert_begins(&story.heard(), &[story.subscribed()], &format!("{moment:?}"));
        }
        story.answer(|_| Verdict::Subscription(Err(Rejected::Denied(Denied::NotPermitted))));
        story.settle();
        let push = story.subscribed();
        let expected: Vec<&str> = match is_asked {
            true => vec![r#"{"id":2,"error":{"code":103"#],
            false => moment.begun().into_iter().chain([push.as_str()]).collect(),
        };
        assert_begins(&story.heard(), &expected, &format!("{moment:?}"));
        let subscriptions = if moment == Moment::Behind { 2 } else { 1 };
        assert_eq!(story.count(|c| c.subscriptions.value()), subscriptions, "{moment:?}");
    }
}

/// The last order counts: it sets the end of a subscription, whoever made it.
#[test]
fn an_order_to_subscribe_says_anew_when_a_subscription_ends() {
    for moment in MOMENTS {
        for (terms_s, ends) in [([60, 0], false), ([0, 60], true), ([600, 60], true), ([60, 600], false)] {
            let mut story = Story::at(moment);
            let now_s = story.unix_s();
            for term_s in terms_s {
                let expire_at_s = if term_s == 0 { 0 } else { now_s + term_s };
                let Deed::Subscribe { channel, options, .. } = story.subscribe(&story.channel) else {
                    unreachable!()
                };
                let grant = Box::new(Grant { expire_at_s, ..Grant::default() });
                story.order(Deed::Subscribe { channel, options, grant });
            }
            story.settle();
            story.heard();
            story.small.world.borrow_mut().now_us += 120_000_000;
            story.small.turn(HERE);
            story.settle();
            let expected: &[&str] = if ends { &["closed 3006"] } else { &[] };
            assert_eq!(story.heard(), expected, "{moment:?} {terms_s:?}");
        }
    }
}

/// An order with a past expiry ends a connection, and neither begins nor changes a subscription.
#[test]
fn a_time_in_the_past_ends_a_connection_and_leaves_subscriptions_alone() {
    for moment in MOMENTS {
        let mut story = Story::at(moment);
        let Deed::Subscribe { channel, options, .. } = story.subscribe("another") else { unreachable!() };
        let grant = Box::new(Grant { expire_at_s: 1, ..Grant::default() });
        story.order(Deed::Subscribe { channel, options, grant: grant.clone() });
        let Deed::Subscribe { channel, options, .. } = story.subscribe(&story.channel) else {
            unreachable!()
        };
        story.order(Deed::Subscribe { channel, options, grant });
        story.grant();
        story.settle();
        assert_begins(&story.heard(), &moment.begun(), &format!("{moment:?}"));
        story.order(Deed::Refresh { expired: false, expire_at_s: 1, info: Payload::default() });
        assert_eq!(story.heard(), ["closed 3005"], "{moment:?}");
    }
}

/// An order that waits for the answer of a home is not executed for a client that has left meanwhile.
#[test]
fn who_leaves_before_the_home_has_answered_stays_away() {
    let mut story = Story::at(Moment::Home);
    story.order(story.subscribe(&story.channel));
    story.say(&format!(r#"{{"id":3,"unsubscribe":{{"channel":"{}"}}}}"#, story.channel));
    story.settle();
    assert_begins(&story.heard(), &[r#"{"id":2,"subscribe":{"#, r#"{"id":3,"unsubscribe":{"#], "");
    assert_eq!(story.left(), (0, 0));
    // The same when the server ends the subscription.
    let mut story = Story::at(Moment::Home);
    story.order(story.subscribe(&story.channel));
    story.order(story.unsubscribe());
    story.settle();
    let heard = story.heard();
    assert!(heard.len() == 2 && heard[1].contains("unsubscribe"), "{heard:#?}");
    assert_eq!(story.left(), (0, 0));
}

/// A change of a subscription's options that is in transit to its home finds the subscription ended, or another one.
#[test]
fn who_leaves_while_an_order_is_on_its_way_to_the_home_is_not_there_again() {
    for comes_back in [false, true] {
        let mut story = Story::at(Moment::Active);
        story.order(story.subscribe(&story.channel));
        story.say(&format!(r#"{{"id":3,"unsubscribe":{{"channel":"{}"}}}}"#, story.channel));
        if comes_back {
            story.say(&format!(r#"{{"id":4,"subscribe":{{"channel":"{}"}}}}"#, story.channel));
        }
        story.settle();
        let heard = story.heard();
        assert!(heard.iter().all(|line| !line.contains("push")), "{heard:#?}");
        let left = u64::from(comes_back);
        assert_eq!(story.left(), (left, left));
    }
}

#[test]
fn another_channel_is_entered_behind_the_reply_to_connect() {
    for moment in [Moment::Counted, Moment::Entered] {
        let mut story = Story::at(moment);
        let other = name_there("other");
        story.order(story.subscribe(&other));
        story.settle();
        let push = format!(r#"{{"push":{{"channel":"{other}","subscribe":{{"#);
        assert_begins(&story.heard(), &[r#"{"id":1,"connect":{"#, push.as_str()], &format!("{moment:?}"));
        assert_eq!(story.left(), (2, 2));
    }
}

/// A command that waits for room for its answer counts as a pending one, too; those behind it continue.
#[test]
fn a_command_that_waits_for_its_turn_does_not_outlive_an_order() {
    let mut story = Story::connected(Credentials::default());
    let channel = story.channel.clone();
    story.say(&format!(
        "{{\"id\":2,\"history\":{{\"channel\":\"{channel}\",\"limit\":1}}}}\n\
         {{\"id\":3,\"history\":{{\"channel\":\"{channel}\",\"limit\":1}}}}\n\
         {{\"id\":4,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
    ));
    assert_eq!(story.heard(), [""; 0], "all wait for the first history");
    story.order(story.unsubscribe());
    let push = format!(r#"{{"push":{{"channel":"{channel}","unsubscribe":{{"#);
    assert_eq!(story.heard(), [""; 0], "it is told in the command's turn");
    story.settle();
    story.settle();
    let expected = [r#"{"id":2,"history":{"#, r#"{"id":3,"history":{"#, r#"{"id":4,"subscribe":{}"#, &push];
    assert_begins(&story.heard(), &expected, "");
    assert_eq!(story.count(|c| c.subscriptions.value()), 0);
    story.say(r#"{"id":9,"ping":{}}"#);
    assert_eq!(story.heard(), [r#"{"id":9,"ping":{}}"#], "it is read from");

    // And when it was the only one that waited.
    story.say(&format!(
        "{{\"id\":12,\"history\":{{\"channel\":\"{channel}\",\"limit\":1}}}}\n\
         {{\"id\":14,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
    ));
    story.order(story.unsubscribe());
    story.settle();
    let expected = [r#"{"id":12,"history":{"#, r#"{"id":14,"subscribe":{}"#, &push];
    assert_begins(&story.heard(), &expected, "");
    story.say(r#"{"id":19,"ping":{}}"#);
    assert_eq!(story.heard(), [r#"{"id":19,"ping":{}}"#], "it is read from");
}

/// While a connection's user is unknown, orders for users skip it: its verdict is newer than the order.
#[test]
fn a_connection_whose_user_is_not_known_yet_is_not_meant() {
    let mut story = Story::new();
    story.say(r#"{"id":1,"connect":{}}"#);
    story.order(Deed::Disconnect { code: 4500, reason: "go".to_owned(), spared: Vec::new() });
    story.let_in(Credentials::default());
    story.settle();
    assert_begins(&story.heard(), &[r#"{"id":1,"connect":{"#], "");
}

/// A hook that was asked before the order would end the connection that the order prolongs.
#[test]
fn what_was_asked_about_the_end_of_a_connection_does_not_undo_a_later_order() {
    // Over in a second, when the hook is asked.
    let mut story = Story::new();
    let expire_at_s = story.unix_s() + 1;
    story.say(r#"{"id":1,"connect":{}}"#);
    story.let_in(Credentials { expire_at_s, ..Credentials::default() });
    story.settle();
    assert_begins(&story.heard(), &[r#"{"id":1,"connect":{"#], "");
    story.small.world.borrow_mut().now_us += 1_100_000;
    story.small.turn(HERE);
    assert!(matches!(story.outside.asked.lock().unwrap()[..], [(_, Question::Refresh { .. })]));
    story.order(Deed::Refresh { expired: false, expire_at_s: MUCH_LATER_S, info: Payload::default() });
    assert_begins(&story.heard(), &[r#"{"push":{"refresh":{"expires":true"#], "");
    let gone = Rejected::Disconnect { code: 3005, reason: "connection expired".to_owned() };
    story.answer(|_| Verdict::Connection(Err(gone.clone())));
    story.settle();
    assert_eq!(story.heard(), [""; 0]);
    story.say(r#"{"id":9,"ping":{}}"#);
    assert_eq!(story.heard(), [r#"{"id":9,"ping":{}}"#]);
}

/// A token that was sent before the order has a shorter term.
#[test]
fn a_token_that_a_worker_verifies_does_not_undo_a_later_order() {
    let mut story = Story::new();
    story.outside.refreshes_by_tokens.store(true, Relaxed);
    story.say(r#"{"id":1,"connect":{"token":"x"}}"#);
    let soon_s = story.unix_s() + 60;
    story.let_in(Credentials { expire_at_s: soon_s, ..Credentials::default() });
    story.settle();
    story.say(r#"{"id":2,"refresh":{"token":"y"}}"#);
    story.order(Deed::Refresh { expired: false, expire_at_s: MUCH_LATER_S, info: Payload::default() });
    story.let_in(Credentials { expire_at_s: soon_s, ..Credentials::default() });
    let heard = story.heard();
    // The longest lifetime that clients are told.
    let ttl = r#""ttl":31536000"#;
    assert_begins(&heard[1..], &[r#"{"push":{"refresh":{"#, r#"{"id":2,"refresh":{"#], "");
    assert!(heard[1..].iter().all(|line| line.contains(ttl)), "{heard:#?}");
    story.small.world.borrow_mut().now_us += 120_000_000;
    story.small.turn(HERE);
    story.say(r#"{"id":9,"ping":{}}"#);
    assert_eq!(story.heard(), [r#"{"id":9,"ping":{}}"#]);
    // The next one counts.
    story.say(r#"{"id":10,"refresh":{"token":"z"}}"#);
    story.let_in(Credentials { expire_at_s: story.unix_s() + 60, ..Credentials::default() });
    let heard = story.heard();
    assert!(heard.len() == 1 && heard[0].contains(r#""ttl":60"#), "{heard:#?}");
}

/// A token for a subscription that an order has ended was counted for the one that the client began afterwards.
#[test]
fn what_was_asked_about_a_subscription_that_was_ended_is_not_for_the_next_one() {
    let mut story = Story::at(Moment::Active);
    let command = |id: u32, name: &str| {
        format!(r#"{{"id":{id},"{name}":{{"channel":"{}","token":"x"}}}}"#, name_there("c"))
    };
    story.say(&command(3, "sub_refresh"));
    let (refresh, _) = story.outside.asked.lock().unwrap().pop().unwrap();
    story.order(story.unsubscribe());
    story.say(&command(4, "subscribe"));
    story.grant();
    story.settle();
    assert_begins(&story.heard(), &[r#"{"push":{"#, r#"{"id":4,"subscribe":{"#], "");
    let (channel, user) = (story.channel.clone(), story.user.clone());
    let short = Grant { channel, user, expire_at_s: story.unix_s() + 60, ..Grant::default() };
    let verdict = Box::new(Verdict::Subscription(Ok(Box::new(short))));
    story.small.mailboxes[HERE].put(&mut vec![Letter::Verdict { reply_to: refresh, verdict }]);
    story.small.turn(HERE);
    assert_begins(&story.heard(), &[r#"{"id":3,"sub_refresh":{"#], "it is answered");
    story.small.world.borrow_mut().now_us += 120_000_000;
    story.small.turn(HERE);
    assert_eq!((story.heard(), story.left()), (vec![], (1, 1)));
}

/// Nothing that has a term is asked about, or ends, before connect is answered.
#[test]
fn a_connection_that_is_over_at_once_is_answered_first() {
    let mut story = Story::new();
    story.say(r#"{"id":1,"connect":{}}"#);
    // In this very second: a term that is over by the second is refused.
    let expire_at_s = story.unix_s();
    story.let_in(Credentials { expire_at_s, ..Credentials::default() });
    // The beginning of a message, which has a deadline: so all of them are looked at.
    story.small.send(story.link, &[0x81]);
    story.small.turn(HERE);
    story.small.world.borrow_mut().now_us += 100_000;
    story.small.turn(HERE);
    assert!(story.outside.asked.lock().unwrap().is_empty());
    story.settle();
    assert_begins(&story.heard(), &[r#"{"id":1,"connect":{"#], "");
    assert!(matches!(story.outside.asked.lock().unwrap()[..], [(_, Question::Refresh { .. })]));
}

/// The sender of an order learns that it is done when the last shard has executed it, or is gone.
#[test]
fn an_order_is_done_when_all_shards_have_carried_it_out() {
    let order_to = |story: &Story, deed| {
        let told = Arc::<AtomicBool>::default();
        let tell = Arc::clone(&told);
        let target = Target { user: story.user.clone(), ..Target::default() };
        let done = Done::telling(move || tell.store(true, Relaxed));
        let order = Arc::new(Order { target, deed, done });
        for mailbox in story.small.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Order(Arc::clone(&order))]);
        }
        told
    };
    for ends_otherwise in [false, true] {
        let mut story = Story::connected(Credentials::default());
        let deed = story.subscribe(&story.channel);
        let told = order_to(&story, deed);
        story.small.turn(HERE);
        assert!(!told.load(Relaxed), "the other shard has not heard of it");
        match ends_otherwise {
            true => story.small.mailboxes[THERE].close(),
            false => story.small.turn(THERE),
        }
        assert!(told.load(Relaxed));
    }
    // While the reply to connect is pending, the order waits for it, and so does its sender.
    let mut story = Story::at(Moment::Entered);
    let deed = story.subscribe(&name_there("other"));
    let told = order_to(&story, deed);
    story.small.turn(HERE);
    // The home answers connect's request; its answer is not read yet.
    story.small.turn(THERE);
    assert!(!told.load(Relaxed));
    story.small.turn(HERE);
    assert!(told.load(Relaxed));
}

/// Publications answered before an order ends a subscription are delivered to its subscriber, also if both are read
/// in one turn.
#[test]
fn what_was_published_before_the_end_of_a_subscription_is_delivered() {
    for (deed, end) in [
        (None, r#"{"push":{"channel":"#),
        (Some(Deed::Disconnect { code: 4500, reason: "go".to_owned(), spared: Vec::new() }), "closed 4500"),
        (Some(Deed::Refresh { expired: true, expire_at_s: 0, info: Payload::default() }), "closed 3005"),
    ] {
        let mut story = Story::at(Moment::Active);
        let data = Shared::new(b"7".to_vec(), &Budget::new(1 << 20));
        let publication = Publication {
            seq: 1000,
            ..Publication::new(story.channel.as_str().into(), DataKind::Json, data)
        };
        story.small.mailboxes[HERE].put(&mut vec![Letter::Deliver(Arc::new(publication))]);
        story.order(deed.unwrap_or_else(|| story.unsubscribe()));
        let heard = story.heard();
        assert!(heard.len() == 2 && heard[0].contains(r#""pub":{"data":7"#), "{heard:#?}");
        assert!(heard[1].starts_with(end), "{heard:#?}");
    }
}
