//! Changes of subscribers' options and infos while their home waits for its memory.

use super::*;
use crate::hub::ClientInfo;

impl Stage {
    fn renew(&mut self, who: u64, channel: &str, info: &Arc<ClientInfo>) {
        let info = Some(Arc::clone(info));
        let renewed =
            Joining { wants_position: true, renews: true, in_presence: true, info, ..plain(0, who) };
        let options = Arc::clone(&self.options);
        let who = Who(who, |_| true);
        let done =
            self.home.handle_subscribe(at(self.now_ms), channel.into(), options, Box::new(renewed), who);
        self.note(done);
        self.home.check_invariants();
    }
}

/// A subscription's options change once its home's memory has answered; the subscription may have ended by then.
#[test]
fn who_is_renewed_and_leaves_before_the_memory_answers_is_not_there_again() {
    let mut stage = Stage::new(LIMITS);
    for who in [1, 2] {
        stage.subscribe(who, "c", None);
    }
    stage.bring_all();
    let info = Arc::new(ClientInfo { chan_info: b"1".to_vec().into(), ..ClientInfo::default() });
    stage.renew(1, "c", &info);
    assert_eq!((stage.home.presence_count(), stage.home.subscriber_count("c")), (1, 2), "changed at once");
    assert!(stage.home.unsubscribe(at(0), "c", Member { shard: 0, conn: 1 }));
    stage.bring_all();
    assert_eq!((stage.home.presence_count(), stage.home.subscriber_count("c")), (0, 1));
    // Without other subscribers the channel is not kept either.
    stage.renew(2, "c", &info);
    assert!(stage.home.unsubscribe(at(0), "c", Member { shard: 0, conn: 2 }));
    stage.bring_all();
    assert_eq!(stage.home.subscriber_count("c"), 0);
    stage.home.check_invariants();
}

/// A subscriber that waits for the memory enters presence with its newest info.
#[test]
fn who_is_somebody_else_before_the_memory_answers_is_known_as_that() {
    let mut stage = Stage::new(LIMITS);
    let info = |n: u8| Arc::new(ClientInfo { conn_info: vec![n].into(), ..ClientInfo::default() });
    let joining = Joining { wants_position: true, in_presence: true, info: Some(info(b'1')), ..plain(0, 1) };
    let options = Arc::clone(&stage.options);
    let who = Who(1, |_| true);
    assert!(stage.home.handle_subscribe(at(0), "c".into(), options, Box::new(joining), who).is_none());
    stage.home.inform("c", Member { shard: 0, conn: 1 }, &info(b'2'), true);
    stage.bring_all();
    let options = Arc::clone(&stage.options);
    let done =
        stage.home.handle_ask(at(0), &"c".into(), options, Question::Presence, (None, Who(2, |_| true)));
    let Some(Done::Answered { answer: Answer::Presence(present), .. }) = done else { panic!() };
    assert_eq!(present, [info(b'2')]);
}
