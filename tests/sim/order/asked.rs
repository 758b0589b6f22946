//! Orders of the server API about a channel while a hook or a worker is asked about a subscription to it.

use std::sync::atomic::Ordering::Relaxed;

use throng::Denied;
use throng::parts::base::payload::Payload;
use throng::parts::shard::outside::{Credentials, Grant, Overrides, Rejected, Verdict};

use super::assert_begins;
use super::story::{HERE, MOMENTS, Moment, Story, name_there};

/// An order to unsubscribe follows the answer to a pending subscription, whatever that is.
#[test]
fn who_is_unsubscribed_while_a_subscription_is_asked_hears_the_answer_first() {
    for moment in [Moment::Hook, Moment::Worker] {
        let mut story = Story::at(moment);
        let done = story.order_and_wait(story.unsubscribe());
        story.answer(|_| Verdict::Subscription(Err(Rejected::Denied(Denied::NotPermitted))));
        let expected = [r#"{"id":2,"error":{"code":103"#.to_owned(), story.unsubscribed()];
        assert_begins(&story.heard(), &expected, &format!("{moment:?}"));
        assert!(done.load(Relaxed), "{moment:?}");
        assert_eq!(story.left(), (0, 0), "{moment:?}");
    }
}

/// Orders about one channel keep their order, whatever the first waits for.
#[test]
fn orders_about_a_channel_are_carried_out_in_order() {
    for moment in MOMENTS {
        for ends in [false, true] {
            let mut story = Story::at(moment);
            let mut orders = vec![story.unsubscribe(), story.subscribe(&story.channel)];
            if ends {
                orders.push(story.unsubscribe());
            }
            orders.into_iter().for_each(|order| story.order(order));
            story.grant();
            story.settle();
            let mut expected: Vec<String> = moment.begun().into_iter().map(str::to_owned).collect();
            expected.push(story.unsubscribed());
            expected.push(story.subscribed());
            expected.extend(ends.then(|| story.unsubscribed()));
            assert_begins(&story.heard(), &expected, &format!("{moment:?} {ends}"));
            let others = u64::from(moment == Moment::Behind);
            assert_eq!(story.count(|c| c.subscriptions.value()), others + u64::from(!ends), "{moment:?}");
        }
    }
}

/// A command that is answered after an order has subscribed its client changes the subscription: the answer's terms
/// hold from then on. It makes no difference whether the home has answered about the order before.
#[test]
fn what_a_hook_grants_counts_after_an_order() {
    for moment in [Moment::Hook, Moment::Worker] {
        for (is_home_slow, ends) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut story = Story::at(moment);
            story.order(story.subscribe(&story.channel));
            if !is_home_slow {
                story.settle();
            }
            let (channel, user) = (story.channel.clone(), story.user.clone());
            let expire_at_s = if ends { story.unix_s() + 60 } else { 0 };
            let data = Payload::from(b"7".to_vec());
            let grant = Grant { channel, user, data, expire_at_s, ..Grant::default() };
            story.answer(|_| Verdict::Subscription(Ok(Box::new(grant.clone()))));
            story.settle();
            let reply = r#"{"id":2,"subscribe":{"#.to_owned();
            let heard = story.heard();
            assert_begins(&heard, &[story.subscribed(), reply], &format!("{moment:?} {is_home_slow}"));
            assert!(heard[1].contains(r#""data":7"#), "{heard:#?}");
            assert_eq!(story.left(), (1, 1));
            // The subscription is the client's own: it does not end with the connection.
            story.small.world.borrow_mut().now_us += 120_000_000;
            story.small.turn(HERE);
            story.settle();
            let heard = story.heard();
            let is_asked = !story.outside.asked.lock().unwrap().is_empty();
            let is_told = heard.iter().any(|line| line.contains(r#""unsubscribe":{"code":2501"#));
            assert_eq!(is_told || is_asked, ends, "{heard:#?}");
            assert!(!heard.iter().any(|line| line.contains("closed")), "{heard:#?}");
            story.order(story.unsubscribe());
            story.settle();
            assert_eq!(story.heard(), [story.unsubscribed()]);
            assert_eq!(story.left(), (0, 0));
        }
    }
}

/// A client's wish for its position in the stream holds also for a subscription that an order began.
#[test]
fn a_command_that_fails_for_its_position_leaves_the_orders_subscription() {
    let mut story = Story::connected(Credentials::default());
    let since = r#""recover":true,"recoverable":true,"offset":9,"epoch":"none","flag":2,"token":"x""#;
    story.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}",{since}}}}}"#, story.channel));
    story.order(story.subscribe(&story.channel));
    story.settle();
    let (channel, user) = (story.channel.clone(), story.user.clone());
    let overrides = Overrides { force_recovery: Some(true), ..Overrides::default() };
    let grant = Grant { channel, user, overrides, ..Grant::default() };
    story.answer(|_| Verdict::Subscription(Ok(Box::new(grant.clone()))));
    story.settle();
    let expected = [story.subscribed(), r#"{"id":2,"error":{"code":112"#.to_owned()];
    assert_begins(&story.heard(), &expected, "");
    assert_eq!(story.left(), (1, 1));
}

/// A client that exceeds a limit gets an error, and keeps the subscriptions that the server ordered.
#[test]
fn an_order_outlives_a_command_that_fails() {
    let mut story = Story::connected(Credentials::default());
    story.channel = name_there("hooked:c");
    let filter = r#""tf":{"key":"a","cmp":"ex"}"#;
    story.say(&format!(r#"{{"id":2,"subscribe":{{"channel":"{}",{filter}}}}}"#, story.channel));
    story.order(story.subscribe(&story.channel));
    story.grant();
    story.settle();
    let push = story.subscribed();
    assert_begins(&story.heard(), &[push.as_str(), r#"{"id":2,"error":{"code":107"#], "");
    assert_eq!(story.left(), (1, 1));
}
