//! A directed story: a client that is let go for want of memory while some of its answers wait gets no later one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use throng::base::budget::Budget;
use throng::config::Config;
use throng::shard::ledger::Ledger;
use throng::shard::mailbox::Mailbox;
use throng::shard::outside::Nobody;
use throng::shard::{Parts, Secret, Shard};

use crate::net::SimNet;
use crate::plan::Plan;
use crate::raw::House;
use crate::rng::Rng;
use crate::wire::{self, BINARY, CLOSE};
use crate::world::World;

/// A seed like any other: what matters of its plan is set here.
fn quiet_plan() -> Plan {
    let mut plan = Plan::new(0);
    plan.shards = 1;
    plan.down_bytes_max = 200;
    plan.inbox_bytes_max = 1 << 20;
    plan.faults = plan.faults.none();
    plan.config = Config { shards: 1, ..Config::default() };
    plan.config.limits.queued_bytes_max = 8 << 10;
    plan
}

#[test]
fn who_is_let_go_gets_no_answer_behind_one_that_it_does_not_get() {
    let (plan, mut rng) = (quiet_plan(), Rng::new(7));
    let world = Rc::new(RefCell::new(World::new(&plan, rng.fork())));
    let budget = Budget::new(plan.config.limits.queued_bytes_max);
    let (counters, publication_budget) = (Arc::from([Arc::default()]), Budget::new(1 << 20));
    let parts = Parts {
        net: SimNet { world: Rc::clone(&world), shard: 0 },
        handler: House { inside: Arc::new(AtomicI64::new(0)) },
        shard: 0,
        mailboxes: [Mailbox::new(Box::new(|| {}))].into(),
        ledger: Ledger::new(Arc::clone(&counters), budget.clone(), publication_budget.clone()),
        counters,
        budget: budget.clone(),
        publication_budget,
        seed: 0,
        namespaces: Arc::clone(&plan.config.namespaces),
        outside: Arc::new(Nobody),
        secret: Secret::default(),
        endpoints: throng::server::endpoints(&plan.config, "node"),
        unix_epoch_ms: 0,
        capacity: 10,
        tls: None,
    };
    let mut shard = Shard::new(parts, &plan.config);
    let link = world.borrow_mut().connect().unwrap();
    let mut arrived = Vec::new();
    let mut say = |bytes: &[u8], arrived: &mut Vec<u8>| {
        world.borrow_mut().send(link, bytes);
        world.borrow_mut().carry(link);
        while shard.turn().is_ok() {
            shard.check_invariants();
        }
        world.borrow_mut().receive(link, 200, arrived);
    };
    say(&wire::upgrade("/echo"), &mut arrived);
    assert_eq!(wire::take_response(&mut arrived), Some(101));
    let message = |length: usize, rng: &mut Rng| {
        let mut out = Vec::new();
        wire::put_frame(&mut out, true, BINARY, &vec![length as u8; length], rng);
        out
    };
    // The first answer begins, the second waits; the third comes with the beginning of what is too much to hold.
    say(&message(1000, &mut rng), &mut arrived);
    say(&message(1001, &mut rng), &mut arrived);
    assert!(!budget.is_exhausted());
    let mut third = message(1002, &mut rng);
    third.extend(&message(20_000, &mut rng)[..12_000]);
    say(&third, &mut arrived);
    for _ in 0..200 {
        say(&[], &mut arrived);
    }
    let mut frames = Vec::new();
    while let Some(frame) = wire::take_frame(&mut arrived) {
        frames.push((frame.opcode, frame.payload.len()));
    }
    assert_eq!(frames, [(BINARY, 1000), (CLOSE, frames[1].1)], "{} bytes besides", arrived.len());
}
