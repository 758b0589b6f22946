//! A directed story: the server API ends a subscription that its home has not answered yet.
//!
//! The order must overtake the home's answer, which in a run drawn from a seed it does too seldom to rely on.

use std::sync::Arc;

use throng::hub::home_of;
use throng::shard::mailbox::{Deed, Letter, Order, Target};

use crate::rng::Rng;
use crate::small::{SEED, Small};
use crate::wire::{self, TEXT};

#[test]
fn who_is_unsubscribed_before_the_answer_gets_one_and_hears_of_the_end() {
    let (mut small, mut rng) = (Small::new(2, 1 << 20, 1 << 20), Rng::new(7));
    let link = small.world.borrow_mut().connect().unwrap();
    let mut arrived = Vec::new();
    let mut frame = |text: &str| {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, text.as_bytes(), &mut rng);
        out
    };
    let heard = |small: &Small, arrived: &mut Vec<u8>| {
        small.receive(link, 1 << 20, arrived);
        let mut lines = Vec::new();
        while let Some(frame) = wire::take_frame(arrived) {
            lines.extend(String::from_utf8(frame.payload).unwrap().lines().map(str::to_owned));
        }
        lines
    };
    small.send(link, &wire::upgrade("/connection/websocket"));
    (0..2).for_each(|shard| small.turn(shard));
    small.receive(link, 1 << 20, &mut arrived);
    assert_eq!(wire::take_response(&mut arrived), Some(101));
    let here = usize::from(small.counters[1].accepts.value() == 1);
    let there = 1 - here;
    small.send(link, &frame(r#"{"id":1,"connect":{}}"#));
    small.turn(here);
    assert!(heard(&small, &mut arrived)[0].starts_with(r#"{"id":1,"connect":"#));

    // The home of the channel is the other shard, which does not turn yet.
    let name =
        (0..).map(|n| format!("c{n}")).find(|name| usize::from(home_of(name, SEED, 2)) == there).unwrap();
    small.send(link, &frame(&format!(r#"{{"id":2,"subscribe":{{"channel":"{name}"}}}}"#)));
    small.turn(here);
    assert_eq!(heard(&small, &mut arrived), [""; 0]);
    let deed = Deed::Unsubscribe { channel: name.as_str().into(), code: 2500, reason: "enough".to_owned() };
    let order = Arc::new(Order { target: Target::default(), deed });
    small.mailboxes[here].put(&mut vec![Letter::Order(order)]);
    small.turn(here);
    assert_eq!(
        heard(&small, &mut arrived),
        [
            r#"{"id":2,"subscribe":{}}"#.to_owned(),
            format!(r#"{{"push":{{"channel":"{name}","unsubscribe":{{"code":2500,"reason":"enough"}}}}}}"#),
        ]
    );
    // The home's answer is for nobody, and it is told so.
    for shard in [there, here, there] {
        small.turn(shard);
    }
    assert_eq!(heard(&small, &mut arrived), [""; 0]);
    let counted = |counter: fn(&throng::base::counters::Counters) -> u64| {
        small.counters.iter().map(|counters| counter(counters)).sum::<u64>()
    };
    assert_eq!((counted(|c| c.subscriptions.value()), counted(|c| c.channels.value())), (0, 0));
}
