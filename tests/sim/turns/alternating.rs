//! A client that alternates between channels of different homes, by commands of all kinds, sent without waiting: its
//! replies come in the order of the commands, and its publications in the order in which it sent them.

use super::order::plain_at;
use super::*;

/// The channels of the watcher: two at each home, and two that hooks decide about.
fn channels() -> Vec<String> {
    let plain = plain_at(0).into_iter().chain(plain_at(1));
    plain.chain(["hooked:1", "hooked:2"].map(str::to_owned)).collect()
}

fn any_channel(scene: &mut Scene) -> String {
    let mut channels = channels();
    channels.swap_remove(scene.rng.size(0..=5))
}

/// The numbers of received replies, in order.
fn replies(speaker: &RecordedClient) -> Vec<u32> {
    let number = |line: &String| line.strip_prefix(r#"{"id":"#)?.split(',').next()?.parse().ok();
    speaker.heard.iter().filter_map(number).collect()
}

/// The numbers of received publications, in order.
fn published(speaker: &RecordedClient) -> Vec<u32> {
    let number = |line: &String| line.split_once(r#""pub":{"data":"#)?.1.split(',').next()?.parse().ok();
    speaker.heard.iter().filter_map(number).collect()
}

/// One of the commands that nobody but the client's shard, or its session, answers.
fn refused(scene: &mut Scene) -> String {
    let long = "x".repeat(300);
    match scene.rng.range(0..=9) {
        0 => publish("nowhere:1", 0),
        1 => publish("plain:of-others", 0),
        2 => publish("", 0),
        3 => publish(&long, 0),
        4 => r#""presence":{"channel":"plain:of-others"}"#.to_owned(),
        5 => r#""history":{"channel":"nowhere:1"}"#.to_owned(),
        6 => format!(r#""subscribe":{{"channel":"{}"}}"#, any_channel(scene)),
        7 => r#""subscribe":{"channel":"plain:1","type":7}"#.to_owned(),
        8 => r#""publish":{"channel":"plain:1"}"#.to_owned(),
        _ => r#""ping":{}"#.to_owned(),
    }
}

fn command(scene: &mut Scene, said: &mut Vec<u32>, number: u32) -> String {
    let channel = any_channel(scene);
    match scene.rng.range(0..=11) {
        0..=2 => refused(scene),
        3 => format!(r#""presence":{{"channel":"{channel}"}}"#),
        4 => format!(r#""presence_stats":{{"channel":"{channel}"}}"#),
        5 => format!(r#""history":{{"channel":"{channel}","limit":3}}"#),
        6 => r#""rpc":{"method":"m","data":{}}"#.to_owned(),
        _ => {
            said.push(number);
            publish(&channel, number)
        }
    }
}

#[test]
fn replies_and_publications_keep_the_order_of_the_commands_for_channels_of_all_homes() {
    for seed in 0..150 {
        let mut scene = Scene::new(seed, (seed % 2) as usize);
        for at in [0, 1] {
            let subscribe = |channel: &String| format!(r#""subscribe":{{"channel":"{channel}"}}"#);
            scene.say(at, &channels().iter().map(subscribe).collect::<Vec<_>>());
            scene.settle(false);
        }
        let (mut said, mut number) = (Vec::new(), 0);
        for _ in 0..25 {
            let count = scene.rng.pick(&[1, 2, 5, 20]);
            let commands: Vec<String> = (0..count)
                .map(|_| {
                    number += 1;
                    command(&mut scene, &mut said, number)
                })
                .collect();
            scene.say(0, &commands);
            // One of the shards may be far behind the other.
            for _ in 0..scene.rng.range(0..=3) {
                match scene.rng.range(0..=3) {
                    0 => scene.turn(),
                    1 => scene.small.turn(0),
                    2 => scene.small.turn(1),
                    _ => {
                        scene.answer(false);
                    }
                }
            }
        }
        scene.settle(false);
        let [speaker, watcher, _] = &scene.speakers[..] else { unreachable!() };
        let all = 1..=u32::try_from(speaker.said.len()).unwrap();
        assert_eq!(replies(speaker), all.collect::<Vec<_>>(), "seed {seed}");
        for hearer in [watcher, speaker] {
            assert_eq!(published(hearer), said, "seed {seed}");
        }
    }
}

/// The end of the connection comes behind all of it.
#[test]
fn what_was_published_to_many_homes_before_the_end_is_published_in_order() {
    for end in [r#""connect":{}"#, r#""refresh":{"token":""}"#] {
        let mut scene = Scene::new(0, 1);
        for at in [0, 1] {
            let subscribe = |shard| format!(r#""subscribe":{{"channel":"{}"}}"#, plain_at(shard)[0]);
            scene.say(at, &[0, 1].map(subscribe));
            scene.settle(false);
        }
        let mut commands: Vec<String> =
            (0..20).map(|n| publish(&plain_at(u16::try_from(n % 2).unwrap())[0], n)).collect();
        commands.insert(10, publish("nowhere:1", 0));
        commands.push(end.to_owned());
        scene.say(0, &commands);
        scene.settle(false);
        let [speaker, watcher, _] = &scene.speakers[..] else { unreachable!() };
        assert_eq!(published(watcher), (0..20).collect::<Vec<_>>());
        assert!(speaker.closed);
        assert_eq!(replies(speaker), (1..=24).collect::<Vec<_>>());
    }
}

/// Publications to channels of one home need no wait.
#[test]
fn who_publishes_to_one_home_does_not_wait_for_it() {
    let mut scene = Scene::new(0, 1);
    let shard = scene.small.world.borrow().links[scene.speakers[0].link].shard;
    let there = plain_at(1 - u16::try_from(shard).unwrap());
    for channel in &there {
        scene.say(0, &[format!(r#""subscribe":{{"channel":"{channel}"}}"#)]);
    }
    scene.settle(false);
    let before = scene.small.counters[shard].letters_out.value();
    scene.say(0, &(0..100).map(|n| publish(&there[n % 2], 7)).collect::<Vec<_>>());
    scene.small.turn(shard);
    assert_eq!(scene.small.counters[shard].letters_out.value() - before, 100);
    assert_eq!(scene.small.counters[shard].partial_bytes.value(), 0, "nothing waits");
    scene.settle(false);
    assert_eq!(scene.speakers[0].replies.len(), 103);
}
