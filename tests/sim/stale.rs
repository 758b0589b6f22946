//! Directed stories: answers that arrive after their asker has gone.
//!
//! Another client gets its slot, and makes the same requests, with the same numbers, before any of the answers has
//! arrived: as real clients do, which all count from one. Or it is the same client, which has left the channel and is
//! back. In a run drawn from a seed this would have to happen within a turn of the home.

use std::sync::{Arc, Mutex};

use throng::parts::base::slots::Key;
use throng::parts::hub::home::{Answer, Question};
use throng::parts::hub::home_of;
use throng::parts::shard::mailbox::{Asker, Deed, Letter, Order, ReplyTo, Target};
use throng::parts::shard::outside::Verdict;

use crate::rng::Rng;
use crate::small::{SEED, Small};
use crate::wire::{self, TEXT};
use crate::world::LinkId;

/// A client, step by step.
struct Peer {
    link: LinkId,
    arrived: Vec<u8>,
}

impl Peer {
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
    let (here, there) = (0_usize, 1_usize);
    let name = name_at(1);
    let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{name}"}}}}"#);
    let publish = format!(r#"{{"id":3,"publish":{{"channel":"{name}","data":1}}}}"#);

    let gone = Peer::come(&mut small, here);
    let key = Key::from_token(small.world.borrow().token(gone.link).unwrap());
    for command in [r#"{"id":1,"connect":{}}"#, &subscribe, &publish] {
        gone.say(&mut small, here, command);
    }
    small.world.borrow_mut().reset(gone.link);
    small.turn(here);
    let mut next = Peer::come(&mut small, here);
    let next_key = Key::from_token(small.world.borrow().token(next.link).unwrap());
    assert!(key != next_key && key.index() == next_key.index(), "the story is about one slot");
    next.say(&mut small, here, r#"{"id":1,"connect":{}}"#);
    next.say(&mut small, here, &subscribe);
    let reply_to = ReplyTo { shard: 0, weight: 0, conn: key, request: 3 };
    let verdict = Box::new(Verdict::Rpc(Ok(b"{}".to_vec().into())));
    small.mailboxes[here].put(&mut vec![Letter::Verdict { reply_to, verdict }]);

    // The home answers both; one of the answers finds no asker, and the home learns so.
    for shard in [1, 0, 1, 0] {
        small.turn(shard);
    }
    let heard = next.heard(&small);
    assert_eq!(heard[1..], [r#"{"id":2,"subscribe":{}}"#]);
    let client = client_of(&heard[0]);
    assert_eq!(present(&mut small, there, &name), [client]);
}

#[test]
fn who_left_and_came_back_before_the_answer_goes_when_it_goes() {
    let mut small = Small::new(2, 1 << 20, 1 << 20);
    let name = name_at(1);
    let command = |id: u32, what: &str| format!(r#"{{"id":{id},"{what}":{{"channel":"{name}"}}}}"#);
    let mut peers = [Peer::come(&mut small, 0), Peer::come(&mut small, 0)];
    for peer in &peers {
        peer.say(&mut small, 0, r#"{"id":1,"connect":{}}"#);
    }
    let client = |peer: &mut Peer, small: &Small| client_of(&peer.heard(small)[0]);
    let clients = peers.each_mut().map(|peer| client(peer, &small));
    let settle = |small: &mut Small| [1, 0, 1, 0, 1].into_iter().for_each(|shard| small.turn(shard));
    let listen = format!(r#"{{"id":2,"subscribe":{{"channel":"{name}","join_leave":true}}}}"#);
    peers[0].say(&mut small, 0, &listen);
    settle(&mut small);
    // An unsubscribe command waits for the answer to a client's own subscribe command, but not to an order.
    for id in [2, 4, 6] {
        let target = Target { client: clients[1].clone(), ..Target::default() };
        let options = Arc::clone(small.namespaces.resolve(&name).unwrap());
        let deed = Deed::Subscribe { channel: name.as_str().into(), options, grant: Box::default() };
        small.mailboxes[0].put(&mut vec![Letter::Order(Arc::new(Order::new(target, deed)))]);
        small.turn(0);
        if id < 6 {
            peers[1].say(&mut small, 0, &command(id, "unsubscribe"));
        }
    }
    settle(&mut small);
    let answered: Vec<String> = peers[1].heard(&small).iter().map(|line| line[..7].to_owned()).collect();
    assert_eq!(answered[..3], [r#"{"id":2"#, r#"{"id":4"#, r#"{"push""#]);
    let mut both = clients.to_vec();
    both.sort_unstable();
    assert_eq!(present(&mut small, 1, &name), both);
    peers[1].say(&mut small, 0, &command(7, "unsubscribe"));
    settle(&mut small);
    assert_eq!(present(&mut small, 1, &name), clients[..1]);
    // However often it was counted, it came once and went once.
    let told: Vec<String> =
        peers[0].heard(&small).into_iter().filter(|line| line.contains(&clients[1])).collect();
    assert!(told.len() == 2 && told[0].contains("join") && told[1].contains("leave"), "{told:?}");
}

/// A channel whose home is this one of two shards.
fn name_at(home: u16) -> String {
    (0..).map(|n| format!("c{n}")).find(|name| home_of(name, SEED.into(), 2) == home).unwrap()
}

/// The client's id in a reply to connect.
fn client_of(line: &str) -> String {
    assert!(line.starts_with(r#"{"id":1,"connect":"#), "{line}");
    line.split(r#""client":""#).nth(1).unwrap()[..36].to_owned()
}

/// The members in the channel's presence, in order.
fn present(small: &mut Small, home: usize, name: &str) -> Vec<String> {
    let present = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&present);
    let reply = move |answer| {
        let Answer::Presence(members) = answer else { panic!("{answer:?}") };
        told.lock().unwrap().extend(members.iter().map(|member| member.client.to_string()));
    };
    let letter = Letter::Ask {
        options: Arc::clone(small.namespaces.resolve(name).unwrap()),
        channel: name.into(),
        question: Question::Presence,
        asker: Asker::Outside(Box::new(reply)),
    };
    small.mailboxes[home].put(&mut vec![letter]);
    small.turn(home);
    let mut present = present.lock().unwrap().clone();
    present.sort_unstable();
    present
}
