//! A directed story: a client that is closed because memory is short, while some of its answers wait, gets no later
//! one.

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, BINARY, CLOSE};

#[test]
fn who_is_let_go_gets_no_answer_behind_one_that_it_does_not_get() {
    let (mut small, mut rng) = (Small::new(1, 200, 8 << 10), Rng::new(7));
    let link = small.world.borrow_mut().connect().unwrap();
    let mut arrived = Vec::new();
    let say = |small: &mut Small, bytes: &[u8], arrived: &mut Vec<u8>| {
        small.send(link, bytes);
        small.turn(0);
        small.receive(link, 200, arrived);
    };
    say(&mut small, &wire::upgrade("/echo"), &mut arrived);
    assert_eq!(wire::take_response(&mut arrived), Some(101));
    let mut message = |length: usize| {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, BINARY, &vec![length as u8; length], &mut rng);
        out
    };
    // The first answer begins, the second waits; the third arrives with the beginning of a too large input.
    say(&mut small, &message(1000), &mut arrived);
    say(&mut small, &message(1001), &mut arrived);
    assert!(!small.budget.is_exhausted());
    let mut third = message(1002);
    third.extend(&message(20_000)[..12_000]);
    say(&mut small, &third, &mut arrived);
    for _ in 0..200 {
        say(&mut small, &[], &mut arrived);
    }
    let mut frames = Vec::new();
    while let Some(frame) = wire::take_frame(&mut arrived) {
        frames.push((frame.opcode, frame.payload.len()));
    }
    assert_eq!(frames, [(BINARY, 1000), (CLOSE, frames[1].1)], "{} bytes besides", arrived.len());
}
