//! Directed stories of process-wide rates: they are the same for a connection to any shard.

use std::sync::Arc;

use serde_json::Value;
use throng::parts::config::Config;
use throng::parts::shard::outside::Nobody;

use crate::rng::Rng;
use crate::small::Small;
use crate::wire::{self, TEXT};
use crate::world::LinkId;

const SHARDS: u16 = 3;

fn small(configure: impl FnOnce(&mut Config)) -> Small {
    Small::asking(Arc::new(Nobody), configure, None, SHARDS, 1 << 20, 1 << 20)
}

fn turn(small: &mut Small) {
    for shard in 0..usize::from(SHARDS) {
        small.turn(shard);
    }
}

/// Connections that come in one moment, and the status that each gets.
fn open(small: &mut Small, count: usize) -> Vec<(LinkId, u16)> {
    let links: Vec<LinkId> = (0..count).map(|_| small.world.borrow_mut().connect().unwrap()).collect();
    for &link in &links {
        small.send(link, &wire::upgrade("/connection/websocket"));
    }
    (0..4).for_each(|_| turn(small));
    let status = |link| {
        let mut arrived = Vec::new();
        small.receive(link, 1 << 20, &mut arrived);
        (link, wire::take_response(&mut arrived).unwrap())
    };
    links.into_iter().map(status).collect()
}

/// A shard of these has room for ten.
fn reset(small: &mut Small, links: &[(LinkId, u16)]) {
    for &(link, _) in links {
        let mut world = small.world.borrow_mut();
        world.reset(link);
        world.carry(link);
    }
    (0..4).for_each(|_| turn(small));
}

fn wait_ms(small: &mut Small, ms: u64) {
    small.world.borrow_mut().now_us += ms * 1000;
    turn(small);
}

#[test]
fn as_many_are_accepted_as_the_process_may() {
    let mut small = small(|config| config.limits.accepts_per_second_max = 5);
    for (ms, expected) in [(0, 5), (100, 0), (100, 1), (5000, 5)] {
        wait_ms(&mut small, ms);
        let links = open(&mut small, 9);
        let statuses: Vec<u16> = links.iter().map(|&(_, status)| status).collect();
        assert!(statuses.iter().all(|status| [101, 503].contains(status)), "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 101).count(), expected, "{statuses:?}");
        reset(&mut small, &links);
    }
}

#[test]
fn as_many_connect_as_the_process_may() {
    let mut small = small(|config| config.rates.connects_max = 5);
    for (ms, expected) in [(0, 5), (100, 0), (100, 1), (5000, 5)] {
        wait_ms(&mut small, ms);
        let links = open(&mut small, 9);
        let (admitted, refused): (Vec<_>, Vec<_>) = links.iter().partition(|(_, status)| *status == 101);
        assert_eq!(admitted.len(), expected, "{links:?}");
        assert!(refused.iter().all(|(_, status)| *status == 503), "{links:?}");
        // Who was admitted may connect.
        for &(link, _) in &admitted {
            let mut out = Vec::new();
            wire::put_frame(&mut out, true, TEXT, br#"{"id":1,"connect":{}}"#, &mut Rng::new(7));
            small.send(link, &out);
        }
        (0..4).for_each(|_| turn(&mut small));
        for &(link, _) in &admitted {
            let mut arrived = Vec::new();
            small.receive(link, 1 << 20, &mut arrived);
            let frame = wire::take_frame(&mut arrived).unwrap();
            let reply: Value = serde_json::from_slice(&frame.payload).unwrap();
            assert!(reply["connect"].is_object(), "{reply}");
        }
        reset(&mut small, &links);
    }
}
