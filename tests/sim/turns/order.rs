//! Commands of one frame are executed in order, by any of homes, here or elsewhere, this shard, and the outside.

use throng::parts::hub::home_of;

use super::*;
use crate::small::SEED;

/// Two channels without a hook whose home is this shard.
pub(super) fn plain_at(shard: u16) -> [String; 2] {
    let is_there = |name: &String| home_of(name, SEED.into(), 2) == shard;
    let mut names = (0..).map(|n| format!("plain:o{n}")).filter(is_there);
    [(); 2].map(|()| names.next().unwrap())
}

fn one_at(shard: u16) -> String {
    let [one, _] = plain_at(shard);
    one
}

fn begins(heard: &[String]) -> Vec<&str> {
    heard.iter().map(|line| &line[..line.len().min(18)]).collect()
}

/// The unsubscription overtook the earlier publication, and the client did not get its own.
#[test]
fn what_this_shard_does_waits_for_what_homes_were_asked_before() {
    for shard in [0, 1] {
        for follower in [r#""ping":{}"#, r#""rpc":{"method":"m","data":{}}"#, r#""rpc":{"method":""}"#] {
            let mut scene = Scene::new(0, 1);
            let channel = one_at(shard);
            scene.say(0, &[format!(r#""subscribe":{{"channel":"{channel}"}}"#)]);
            scene.settle(false);
            scene.speakers[0].heard.clear();
            scene.say(
                0,
                &[
                    format!(r#""publish":{{"channel":"{channel}","data":7}}"#),
                    format!(r#""unsubscribe":{{"channel":"{channel}"}}"#),
                    format!(r#""publish":{{"channel":"{channel}","data":8}}"#),
                    follower.to_owned(),
                ],
            );
            scene.settle(false);
            let speaker = &scene.speakers[0];
            let ids: Vec<_> = speaker.heard.iter().filter(|line| line.starts_with("{\"id\"")).collect();
            let of = |id: u32| ids.iter().position(|line| line.starts_with(&format!(r#"{{"id":{id},"#)));
            assert_eq!([3, 4, 5, 6].map(of), [0, 1, 2, 3].map(Some), "{shard} {follower}: {ids:?}");
            assert_eq!(speaker.publications[&channel], [7], "{shard} {follower}");
            let at = |begin: &str| speaker.heard.iter().position(|line| line.starts_with(begin)).unwrap();
            let told = begins(&speaker.heard);
            assert!(at(r#"{"push"#) < at(r#"{"id":4,"#), "{shard} {follower}: {told:?}");
        }
    }
}

/// A hook may look for an earlier publication.
#[test]
fn outsiders_are_asked_when_homes_have_done_what_was_said_before() {
    let mut scene = Scene::new(0, 1);
    // On another shard than the client's, whichever that is.
    let publish = [0, 1].map(|shard| format!(r#""publish":{{"channel":"{}","data":7}}"#, one_at(shard)));
    for channel in [0, 1].map(one_at) {
        scene.say(0, &[format!(r#""subscribe":{{"channel":"{channel}"}}"#)]);
    }
    scene.settle(false);
    let [one, other] = publish;
    scene.say(0, &[one, other, r#""rpc":{"method":"m","data":{}}"#.to_owned()]);
    for _ in 0..10 {
        for shard in [0, 1] {
            let is_asked = !scene.outside.asked.lock().unwrap().is_empty();
            scene.speakers[0].hear(&scene.small);
            let answered = [4, 5].map(|id| scene.speakers[0].replies.contains_key(&id));
            assert!(!is_asked || answered == [true; 2], "{answered:?}");
            scene.small.turn(shard);
        }
    }
    assert_eq!(scene.outside.asked.lock().unwrap().len(), 1);
}

/// The reply to a small command was treated as that to a large one with the same number, and the next large one was
/// requested.
#[test]
fn commands_with_one_number_are_not_taken_for_one_another() {
    let mut scene = Scene::new(0, 1);
    let link = scene.speakers[0].link;
    let shard = scene.small.world.borrow().links[link].shard;
    let (here, there) = (one_at(shard as u16), one_at(1 - shard as u16));
    for channel in [&here, &there] {
        scene.say(0, &[format!(r#""subscribe":{{"channel":"{channel}"}}"#)]);
    }
    scene.settle(false);
    let history = format!(r#"{{"id":7,"history":{{"channel":"{there}","limit":1}}}}"#);
    let publish = format!(r#"{{"id":7,"publish":{{"channel":"{here}","data":1}}}}"#);
    let frame = [&publish, &publish, &publish, &history, &history, &history].map(String::as_str);
    let mut out = Vec::new();
    wire::put_frame(&mut out, true, TEXT, frame.join("\n").as_bytes(), &mut Rng::new(7));
    scene.small.send(link, &out);
    let letters = |scene: &Scene| scene.small.counters[shard].letters_out.value();
    let before = letters(&scene);
    scene.small.turn(shard);
    assert_eq!(letters(&scene) - before, 1, "one history is gathered at a time");
    for _ in 0..20 {
        scene.small.turn(0);
        scene.small.turn(1);
    }
    assert_eq!(letters(&scene) - before, 3);
    let mut arrived = Vec::new();
    scene.small.receive(link, usize::MAX, &mut arrived);
    assert_eq!(String::from_utf8_lossy(&arrived).matches(r#"{"id":7,"#).count(), 6, "all are answered");
}

/// No client was closed for a pause of the server, but each was checked in every beat.
#[test]
fn who_is_not_read_from_is_not_idle_and_not_looked_at_again_and_again() {
    let mut scene = Scene::configured(0, 1, |config| config.timeouts.idle_ms = 1000);
    let speak = |scene: &mut Scene| (0..100).for_each(|n| scene.say(0, &[publish("hooked:1", n)]));
    speak(&mut scene);
    scene.turn();
    // The others are idle.
    let turns = |scene: &Scene| scene.small.counters.iter().map(|c| c.turns.value()).sum::<u64>();
    let pass = |scene: &mut Scene, steps: u32| {
        for _ in 0..steps {
            scene.small.world.borrow_mut().now_us += 50_000;
            scene.turn();
        }
    };
    pass(&mut scene, 40);
    let before = turns(&scene);
    pass(&mut scene, 400);
    let count = turns(&scene) - before;
    assert!(!scene.speakers[0].closed && scene.speakers[1].closed);
    assert!(count < 60, "{count} turns in 20 s");
    scene.settle(false);
    assert_eq!(scene.speakers[0].replies.len(), 101);
    pass(&mut scene, 40);
    assert!(scene.speakers[0].closed, "silent since it is read from again");
}

/// The deadline of an incomplete message was dropped during a pause in reading, and began at its first byte.
#[test]
fn a_message_that_is_arriving_has_its_whole_time_when_reading_goes_on() {
    let mut scene = Scene::configured(0, 1, |config| config.timeouts.message_ms = 1000);
    for number in 0..100 {
        scene.say(0, &[publish("hooked:1", number)]);
    }
    let mut out = Vec::new();
    wire::put_frame(&mut out, true, TEXT, &[b' '; 50], &mut Rng::new(7));
    scene.small.send(scene.speakers[0].link, &out[..20]);
    scene.turn();
    let pass = |scene: &mut Scene, ms: u64| {
        scene.small.world.borrow_mut().now_us += ms * 1000;
        scene.turn();
    };
    pass(&mut scene, 5000);
    scene.settle(false);
    pass(&mut scene, 900);
    assert!(!scene.speakers[0].closed, "a pause of the server's does not count");
    assert_eq!(scene.speakers[0].replies.len(), 101);
    pass(&mut scene, 300);
    assert!(scene.speakers[0].closed);
}
