//! Clients that close while commands of them wait: all earlier commands are executed, nothing is written to them, and
//! they are removed when that is done.

use super::*;

/// The way in which a client closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// By a close frame.
    Close,
    /// It ends its side.
    End,
    /// It closes its socket: a write to it causes a reset.
    Leave,
}

const GOODBYES: [Goodbye; 3] = [Goodbye::Close, Goodbye::End, Goodbye::Leave];

impl Scene {
    fn subscribe(&mut self, at: usize, channels: &[&str]) {
        let commands = channels.iter().map(|channel| format!(r#""subscribe":{{"channel":"{channel}"}}"#));
        self.say(at, &commands.collect::<Vec<_>>());
        self.settle(false);
    }

    pub(super) fn say_goodbye(&mut self, at: usize, goodbye: Goodbye) {
        let RecordedClient { link, .. } = self.speakers[at];
        self.speakers[at].hear(&self.small);
        match goodbye {
            Goodbye::Close => {
                let mut out = Vec::new();
                wire::put_frame(&mut out, true, CLOSE, &1000u16.to_be_bytes(), &mut Rng::new(7));
                return self.small.send(link, &out);
            }
            Goodbye::End => self.small.world.borrow_mut().finish(link),
            Goodbye::Leave => self.small.world.borrow_mut().leave(link),
        }
        self.small.send(link, &[]);
    }

    /// As [`Scene::settle`], with the network's behaviour for a closed client.
    fn settle_without(&mut self, at: usize) {
        let mut idle_count = 0;
        while idle_count < 50 {
            self.turn();
            let mut world = self.small.world.borrow_mut();
            world.carry(self.speakers[at].link);
            assert!(!world.links[self.speakers[at].link].is_reset, "written to who is gone");
            drop(world);
            idle_count = if self.answer(false) { 0 } else { idle_count + 1 };
        }
    }

    pub(super) fn connections(&self) -> u64 {
        self.small.counters.iter().map(|counters| counters.connections.value()).sum()
    }
}

#[test]
fn what_was_said_before_a_goodbye_is_carried_out() {
    const PLAIN: &str = "plain:1";
    const HOOKED: &str = "hooked:1";
    for seed in 0..40 {
        for goodbye in GOODBYES {
            for concurrency in [1, 3] {
                let mut scene = Scene::new(seed, concurrency);
                scene.subscribe(1, &[PLAIN, HOOKED]);
                // Only subscribers may publish in the channel without a hook.
                scene.subscribe(0, &[PLAIN]);
                let mut said = HashMap::from([(PLAIN.to_owned(), vec![]), (HOOKED.to_owned(), vec![])]);
                let mut number = 0;
                while number < 40 {
                    let mut commands = Vec::new();
                    for _ in 0..scene.rng.range(1..=8) {
                        number += 1;
                        let channel = scene.rng.pick(&[PLAIN, HOOKED]);
                        commands.push(match scene.rng.range(0..=9) {
                            0 => r#""rpc":{"method":"m","data":{}}"#.to_owned(),
                            1 => r#""subscribe":{"channel":"hooked:2","token":"slow"}"#.to_owned(),
                            2 => r#""unsubscribe":{"channel":"hooked:2"}"#.to_owned(),
                            3 => r#""ping":{}"#.to_owned(),
                            _ => {
                                said.get_mut(channel).unwrap().push(number);
                                publish(channel, number)
                            }
                        });
                    }
                    scene.say(0, &commands);
                    match scene.rng.range(0..=3) {
                        0 => scene.turn(),
                        1 => scene.small.turn(0),
                        2 => scene.small.turn(1),
                        _ => {
                            scene.answer(false);
                        }
                    }
                }
                scene.say_goodbye(0, goodbye);
                scene.settle_without(0);
                let told = format!("seed {seed}, {goodbye:?}, {concurrency} at a time");
                let mut heard = scene.speakers[1].publications.clone();
                for numbers in heard.values_mut().filter(|_| concurrency > 1) {
                    numbers.sort_unstable();
                }
                assert_eq!(heard, said, "{told}");
                assert_eq!(scene.connections(), 2, "{told}");
                assert_eq!(scene.speakers[0].closed, goodbye == Goodbye::Close, "{told}");
            }
        }
    }
}

/// The question about the connect command comes first.
#[test]
fn what_was_said_behind_connect_and_before_a_goodbye_is_carried_out() {
    for goodbye in GOODBYES {
        let mut scene = Scene::new(0, 1);
        scene.outside.holds_connects.store(true, Relaxed);
        scene.subscribe(1, &["plain:1", "hooked:1"]);
        let link = scene.small.world.borrow_mut().connect().unwrap();
        scene.small.send(link, &wire::upgrade("/connection/websocket"));
        scene.small.turn(0);
        scene.small.turn(1);
        let speaker = &mut scene.speakers[0];
        speaker.link = link;
        scene.small.receive(link, usize::MAX, &mut speaker.arrived);
        assert_eq!(wire::take_response(&mut speaker.arrived), Some(101));
        let commands = [
            r#""connect":{"token":"y"}"#.to_owned(),
            publish("hooked:1", 1),
            r#""subscribe":{"channel":"plain:1"}"#.to_owned(),
            publish("plain:1", 2),
        ];
        scene.say(0, &commands);
        scene.turn();
        scene.say_goodbye(0, goodbye);
        scene.settle_without(0);
        let heard = &scene.speakers[1].publications;
        assert_eq!((&heard["hooked:1"][..], &heard["plain:1"][..]), (&[1][..], &[2][..]), "{goodbye:?}");
        assert_eq!(scene.connections(), 3, "{goodbye:?}: the first of the three is still there");
    }
}

/// A hook that does not answer keeps no client for ever, and orders end clients that have left.
#[test]
fn who_has_left_is_gone_in_time_and_at_once_where_that_is_ordered() {
    for goodbye in GOODBYES {
        for is_ordered in [false, true] {
            let mut scene = Scene::new(0, 1);
            scene.say(0, &[publish("hooked:1", 1), publish("hooked:1", 2)]);
            scene.turn();
            scene.say_goodbye(0, goodbye);
            scene.turn();
            assert_eq!(scene.connections(), 3, "it stays for its commands");
            if is_ordered {
                let target = Target { user: USER.to_owned(), ..Target::default() };
                let deed = Deed::Disconnect { code: 3011, reason: String::new(), spared: Vec::new() };
                let order = Arc::new(Order::new(target, deed));
                for mailbox in scene.small.mailboxes.iter() {
                    mailbox.put(&mut vec![Letter::Order(Arc::clone(&order))]);
                }
            } else {
                scene.small.world.borrow_mut().now_us += 6_000_000;
            }
            scene.turn();
            scene.turn();
            let closed = [0, 1].map(|at| scene.speakers[at].closed);
            assert_eq!(closed, [goodbye == Goodbye::Close, is_ordered], "{goodbye:?}");
            assert!(scene.small.world.borrow().links[scene.speakers[0].link].is_dropped);
        }
    }
}

/// Commands that are each fast enough keep a client that has left for a limited time, too.
#[test]
fn many_commands_of_who_has_left_take_three_times_the_time_of_one() {
    for goodbye in GOODBYES {
        let mut scene = Scene::configured(0, 1, |config| config.timeouts.linger_ms = 5000);
        scene.subscribe(1, &["hooked:1"]);
        scene.say(0, &(0..20).map(|number| publish("hooked:1", number)).collect::<Vec<_>>());
        scene.turn();
        scene.say_goodbye(0, goodbye);
        scene.turn();
        for second in (4..).step_by(4) {
            scene.small.world.borrow_mut().now_us += 4_000_000;
            scene.turn();
            if scene.connections() == 2 {
                assert_eq!(second, 16, "{goodbye:?}: three times five seconds");
                break;
            }
            assert!(scene.answer(false), "{goodbye:?}: the next one is asked about");
            scene.turn();
        }
        scene.settle_without(0);
        // The questions of the first twelve seconds were answered before the end, and one that was asked then after it.
        assert_eq!(scene.speakers[1].publications["hooked:1"], [0, 1, 2, 3], "{goodbye:?}");
        assert_eq!(scene.speakers[0].closed, goodbye == Goodbye::Close, "{goodbye:?}");
    }
}

/// Beyond the limit of waiting commands the end is not read, but noticed all the same.
#[test]
fn who_goes_behind_more_than_may_wait_is_not_written_to() {
    const COUNT: u32 = 200;
    for goodbye in GOODBYES {
        for is_late in [false, true] {
            let mut scene = Scene::new(0, 1);
            scene.subscribe(1, &["hooked:1"]);
            // A client that receives its own publications, more than the replies.
            scene.subscribe(0, &["hooked:1"]);
            for number in 0..COUNT {
                scene.say(0, &[publish("hooked:1", number)]);
            }
            if is_late {
                scene.turn();
            }
            scene.say_goodbye(0, goodbye);
            scene.settle_without(0);
            let heard = &scene.speakers[1].publications["hooked:1"];
            assert_eq!(*heard, (0..COUNT).collect::<Vec<_>>(), "{goodbye:?} {is_late}");
            assert_eq!(scene.connections(), 2, "{goodbye:?} {is_late}");
        }
    }
}

#[test]
fn who_is_reset_is_gone_at_once_whether_it_is_read_from_or_not() {
    for count in [2, 200] {
        for is_late in [false, true] {
            let mut scene = Scene::new(0, 1);
            for number in 0..count {
                scene.say(0, &[publish("hooked:1", number)]);
            }
            if is_late {
                scene.turn();
            }
            let link = scene.speakers[0].link;
            scene.small.world.borrow_mut().reset(link);
            scene.turn();
            assert_eq!(scene.connections(), 2, "{count} {is_late}");
            scene.settle(false);
        }
    }
}
