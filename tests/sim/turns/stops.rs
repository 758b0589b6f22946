//! Stops: how long a drain takes, with connections of all kinds, in virtual time.

use super::goodbyes::Goodbye;
use super::*;

impl Scene {
    /// With a long `drain_ms`, as outside of development mode, and a longer `linger_ms`.
    fn in_production() -> Self {
        Self::configured(0, 1, |config| {
            (config.timeouts.drain_ms, config.timeouts.linger_ms) = (60_000, 120_000);
        })
    }
}

#[test]
fn a_shard_without_connections_ends_at_once() {
    let mut scene = Scene::in_production();
    for at in 0..3 {
        scene.say_goodbye(at, Goodbye::Close);
    }
    scene.settle(false);
    assert_eq!((scene.connections(), scene.small.drain()), (0, 0));
}

/// Of two clients in one shard, the second was closed after half of `drain_ms`.
#[test]
fn a_few_clients_do_not_wait_for_one_another_for_the_time_of_many() {
    let mut scene = Scene::in_production();
    let took_ms = scene.small.drain();
    assert!(took_ms < 1000, "{took_ms} ms; they do not close their side, which takes half a second");
    for speaker in &mut scene.speakers {
        speaker.hear(&scene.small);
        assert!(speaker.closed);
    }
}

/// Questions whose answers nobody needs any more keep no shard, nor do the commands behind them.
#[test]
fn commands_behind_a_slow_hook_keep_no_shard_from_its_end() {
    for goodbye in [None, Some(Goodbye::Close), Some(Goodbye::End), Some(Goodbye::Leave)] {
        let mut scene = Scene::in_production();
        let commands: Vec<String> = (0..5).map(|n| publish("hooked:1", n)).collect();
        for at in 0..2 {
            scene.say(at, &commands);
        }
        scene.turn();
        assert_eq!(scene.outside.asked.lock().unwrap().len(), 2);
        if let Some(goodbye) = goodbye {
            (0..2).for_each(|at| scene.say_goodbye(at, goodbye));
            scene.turn();
            assert_eq!(scene.connections(), 3, "the clients' commands are carried out first");
        }
        let took_ms = scene.small.drain();
        assert!(took_ms < 3 * 50 + 1000, "{goodbye:?}: {took_ms} ms");
        let closed = [0, 1].map(|at| {
            scene.speakers[at].hear(&scene.small);
            scene.speakers[at].closed
        });
        assert_eq!(closed, [goodbye.is_none_or(|goodbye| goodbye == Goodbye::Close); 2], "{goodbye:?}");
    }
}
