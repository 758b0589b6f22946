//! A directed story: a connection ends while homes and the application owe it answers, and another gets its slot.
//!
//! The newcomer asks for the same, under the same numbers, before any of the answers is there: as real clients do, who
//! all count from one. In a run drawn from a seed it would have to be quicker than a turn of the home.

use std::sync::{Arc, Mutex};

use throng::base::slots::Key;
use throng::hub::home::{Answer, Question};
use throng::hub::home_of;
use throng::shard::mailbox::{Asker, Letter, ReplyTo};
use throng::shard::outside::Verdict;

use crate::rng::Rng;
use crate::small::{SEED, Small};
use crate::wire::{self, TEXT};
use crate::world::LinkId;

/// A client, step by step.
struct Guest {
    link: LinkId,
    arrived: Vec<u8>,
}

impl Guest {
    /// One that got into this shard, while the others do not turn.
    fn come(small: &mut Small, shard: usize) -> Self {
        let accepts = small.counters[shard].accepts.value();
        loop {
            let link = small.world.borrow_mut().connect().unwrap();
            small.send(link, &wire::upgrade("/connection/websocket"));
            small.turn(shard);
            if small.counters[shard].accepts.value() > accepts {
                let mut arrived = Vec::new();
                small.receive(link, usize::MAX, &mut arrived);
                assert_eq!(wire::take_response(&mut arrived), Some(101));
                return Self { link, arrived };
            }
        }
    }

    fn say(&self, small: &mut Small, shard: usize, command: &str) {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, TEXT, command.as_bytes(), &mut Rng::new(7));
        small.send(self.link, &out);
        small.turn(shard);
    }

    fn heard(&mut self, small: &Small) -> Vec<String> {
        small.receive(self.link, usize::MAX, &mut self.arrived);
        let mut lines = Vec::new();
        while let Some(frame) = wire::take_frame(&mut self.arrived) {
            lines.extend(String::from_utf8(frame.payload).unwrap().lines().map(str::to_owned));
        }
        lines
    }
}

#[test]
fn who_gets_the_slot_does_not_get_the_answers() {
    let mut small = Small::new(2, 1 << 20, 1 << 20);
    let (here, there) = (0, 1);
    let name = (0..).map(|n| format!("c{n}")).find(|name| home_of(name, SEED, 2) == there).unwrap();
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{name}"}}}}"#);
    let publish = format!(r#"{{"id":3,"publish":{{"channel":"{name}","data":1}}}}"#);

    let gone = Guest::come(&mut small, here);
    let key = Key::from_token(small.world.borrow().token(gone.link).unwrap());
    for command in [r#"{"id":1,"connect":{}}"#, &subscribe, &publish] {
        gone.say(&mut small, here, command);
    }
    small.world.borrow_mut().reset(gone.link);
    small.turn(here);
    let mut next = Guest::come(&mut small, here);
    let next_key = Key::from_token(small.world.borrow().token(next.link).unwrap());
    assert!(key != next_key && key.index() == next_key.index(), "the story is about one slot");
    next.say(&mut small, here, r#"{"id":1,"connect":{}}"#);
    next.say(&mut small, here, &subscribe);
    let reply_to = ReplyTo { shard: 0, conn: key, request: 3 };
    let verdict = Box::new(Verdict::Rpc(Ok(b"{}".to_vec())));
    small.mailboxes[here].put(&mut vec![Letter::Verdict { reply_to, verdict }]);

    // The home answers both; one of the answers is for nobody, and it hears so.
    for shard in [1, 0, 1, 0] {
        small.turn(shard);
    }
    let heard = next.heard(&small);
    assert!(
        heard[0].starts_with(r#"{"id":1,"connect":"#) && heard[1..] == [r#"{"id":2,"subscribe":{}}"#],
        "{heard:?}"
    );
    let client = heard[0].split(r#""client":""#).nth(1).unwrap()[..36].to_owned();
    let present = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&present);
    let reply = move |answer| {
        let Answer::Presence(members) = answer else { panic!("{answer:?}") };
        told.lock().unwrap().extend(members.iter().map(|member| member.client.to_string()));
    };
    let letter = Letter::Ask {
        options: Arc::clone(small.namespaces.resolve(&name).unwrap()),
        channel: name.into(),
        question: Question::Presence,
        asker: Asker::Outside(Box::new(reply)),
    };
    small.mailboxes[usize::from(there)].put(&mut vec![letter]);
    small.turn(usize::from(there));
    assert_eq!(*present.lock().unwrap(), [client]);
}
