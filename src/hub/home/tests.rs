//! Answers of a home, case by case. Histories and crowds are tested against models beside their code.

use std::sync::Arc;

use super::super::fixtures::{LIMITS, at, history, home, info, no_history, plain, publication, publish};
use super::*;

fn positions(joined: &Joined) -> (bool, Vec<u64>) {
    (joined.recovered, joined.publications.iter().map(|publication| publication.offset).collect())
}

fn recover(
    home: &mut Home,
    options: &Arc<ChannelOptions>,
    conn: u64,
    offset: u64,
    epoch: &str,
) -> (bool, Vec<u64>) {
    let recover = Some(Position { offset, epoch: epoch.into() });
    let joining = Joining { recover, ..plain(0, conn) };
    positions(&home.subscribe(at(0), &"c".into(), options, &joining).unwrap())
}

#[test]
fn shards_hear_what_is_published_as_long_as_they_have_subscribers() {
    let (mut home, options, name) = (home(), no_history(), Arc::from("c"));
    for (shard, conn) in [(1, 1), (5, 1), (1, 2)] {
        home.subscribe(at(0), &name, &options, &plain(shard, conn)).unwrap();
    }
    let hear = |home: &mut Home| {
        let delivery = publish(home, 0, "c", &options).delivery;
        delivery.map(|(publication, shards)| (publication.seq, shards.to_vec()))
    };
    assert_eq!(hear(&mut home), Some((1, vec![1, 5])));
    assert!(home.unsubscribe(at(0), "c", Member { shard: 1, conn: 1 }));
    assert_eq!(hear(&mut home), Some((2, vec![1, 5])));
    assert!(home.unsubscribe(at(0), "c", Member { shard: 1, conn: 2 }));
    assert_eq!(hear(&mut home), Some((3, vec![5])));
    assert!(!home.unsubscribe(at(0), "c", Member { shard: 1, conn: 2 }));
    assert!(home.unsubscribe(at(0), "c", Member { shard: 5, conn: 1 }));
    assert_eq!((hear(&mut home), home.len()), (None, 0));
    home.check_invariants();
}

#[test]
fn the_first_subscriber_and_the_last_are_told_where_the_channel_says_so() {
    let mut home = home();
    let told = Arc::new(ChannelOptions { state_proxy_enabled: true, ..(*history(10, 1000)).clone() });
    let states = |home: &mut Home| {
        home.check_invariants();
        let all = home.take_states().into_iter();
        all.map(|state| (state.channel.to_string(), state.is_occupied, state.time_ms)).collect::<Vec<_>>()
    };
    let member = |conn| Member { shard: 0, conn };
    for (conn, name, options) in [(1, "a", &told), (2, "a", &told), (3, "b", &told), (4, "c", &no_history())]
    {
        home.subscribe(at(conn), &name.into(), options, &plain(0, conn)).unwrap();
    }
    let time = |ms| at(ms).unix_ms;
    assert_eq!(states(&mut home), [("a".to_owned(), true, time(1)), ("b".to_owned(), true, time(3))]);
    // A publication does not make a channel occupied, and a stream outlives the subscribers.
    publish(&mut home, 5, "d", &told);
    assert!(home.unsubscribe(at(6), "a", member(1)));
    assert_eq!(states(&mut home), []);
    assert!(home.unsubscribe(at(7), "a", member(2)));
    home.subscribe(at(8), &"a".into(), &told, &plain(0, 5)).unwrap();
    assert!(home.unsubscribe(at(9), "a", member(5)));
    assert!(home.unsubscribe(at(9), "c", member(4)));
    let a = |is_occupied, ms| ("a".to_owned(), is_occupied, time(ms));
    assert_eq!(states(&mut home), [a(false, 7), a(true, 8), a(false, 9)]);
    // A channel is reported as vacated only after it was reported as occupied, even if options change meanwhile.
    home.subscribe(at(10), &"e".into(), &no_history(), &plain(0, 6)).unwrap();
    home.subscribe(at(11), &"e".into(), &told, &plain(0, 7)).unwrap();
    assert_eq!(states(&mut home), [("e".to_owned(), true, time(11))]);
    assert!(home.unsubscribe(at(12), "e", member(6)));
    assert!(home.unsubscribe(at(13), "e", member(7)));
    assert_eq!(states(&mut home), [("e".to_owned(), false, time(13))]);
}

#[test]
fn a_newcomer_is_told_what_is_not_for_it() {
    let (mut home, kept, plain_options) = (home(), history(10, 1000), no_history());
    home.subscribe(at(0), &"other".into(), &plain_options, &plain(0, 1)).unwrap();
    publish(&mut home, 0, "other", &plain_options);
    publish(&mut home, 0, "c", &kept);
    let joining = Joining { wants_position: true, ..plain(0, 2) };
    let joined = home.subscribe(at(0), &"c".into(), &kept, &joining).unwrap();
    assert_eq!((joined.seq, joined.position.map(|position| position.offset)), (2, Some(1)));
    let joined = home.subscribe(at(0), &"d".into(), &plain_options, &joining).unwrap();
    assert_eq!((joined.seq, joined.position), (2, None));
    let (publication, _) = publish(&mut home, 3, "c", &kept).delivery.unwrap();
    assert_eq!((publication.seq, publication.offset), (3, 2));
    let (publication, _) = publish(&mut home, 3, "d", &plain_options).delivery.unwrap();
    assert_eq!((publication.seq, publication.offset), (4, 0));
}

#[test]
fn what_nobody_hears_and_nothing_keeps_leaves_no_trace() {
    let mut home = home();
    let published = publish(&mut home, 0, "c", &no_history());
    assert!(published.delivery.is_none() && published.position == Position::default());
    let terms = Terms { skip_history: true, ..Terms::default() };
    home.publish(at(0), publication("c", b"1"), &history(1, 1000), &terms).unwrap();
    home.ask(at(0), &"c".into(), &history(1, 1000), &Question::RemoveHistory);
    home.ask(at(0), &"c".into(), &no_history(), &Question::History(HistoryFilter::default()));
    assert!(home.is_empty() && home.next_expiry_ms().is_none());
}

#[test]
fn channels_have_a_limit_however_they_come_into_being() {
    let mut home = Home::new(Limits { channels_max: 2, ..LIMITS }, (0.into(), 0));
    let (kept, name) = (history(1, 1000), "c".into());
    publish(&mut home, 0, "a", &kept);
    home.subscribe(at(0), &"b".into(), &no_history(), &plain(0, 0)).unwrap();
    let refused = home.publish(at(0), publication("c", b"1"), &kept, &Terms::default());
    assert_eq!(refused.err(), Some(Refused::TooManyChannels));
    let refused = home.subscribe(at(0), &name, &no_history(), &plain(0, 0));
    assert_eq!(refused.err(), Some(Refused::TooManyChannels));
    let answer = home.ask(at(0), &name, &kept, &Question::History(HistoryFilter::default()));
    assert!(matches!(answer, Answer::Refused(Refused::TooManyChannels)));
    publish(&mut home, 0, "a", &kept);
    home.unsubscribe(at(0), "b", Member { shard: 0, conn: 0 });
    publish(&mut home, 0, "c", &kept);
    home.check_invariants();
}

#[test]
fn idle_positions_give_way_when_channels_are_too_many() {
    let mut home = Home::new(Limits { channels_max: 3, ..LIMITS }, (0.into(), 0));
    let kept = history(1, 1000);
    publish(&mut home, 0, "idle", &kept);
    publish(&mut home, 500, "idler", &kept);
    home.subscribe(at(500), &"idler".into(), &kept, &plain(0, 0)).unwrap();
    publish(&mut home, 600, "full", &kept);
    let refused = |home: &mut Home, ms| home.subscribe(at(ms), &"new".into(), &kept, &plain(0, 1)).is_err();
    assert!(refused(&mut home, 999), "all channels have publications or subscribers");
    home.expire(at(1000));
    assert!(!refused(&mut home, 1000));
    home.check_invariants();
    let mut names: Vec<_> = home.names.keys().map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["full", "idler", "new"]);
    home.expire(at(2000));
    assert_eq!((home.displaced_count(), home.stream_count()), (1, 2));
    publish(&mut home, 2000, "newer", &kept);
    assert_eq!((home.displaced_count(), home.stream_count(), home.len()), (2, 2, 3));
    home.check_invariants();
}

#[test]
fn recovery_without_an_epoch_and_beyond_the_end() {
    let (mut home, options) = (home(), history(3, 1000));
    assert_eq!(recover(&mut home, &options, 0, 0, ""), (true, vec![]));
    for _ in 0..3 {
        publish(&mut home, 0, "c", &options);
    }
    assert_eq!(recover(&mut home, &options, 1, 0, ""), (true, vec![1, 2, 3]));
    assert_eq!(recover(&mut home, &options, 2, 2, ""), (true, vec![3]));
    assert_eq!(recover(&mut home, &options, 3, 2, "another"), (false, vec![]));
    assert_eq!(recover(&mut home, &options, 4, 4, ""), (false, vec![]));
    publish(&mut home, 0, "c", &options);
    assert_eq!(recover(&mut home, &options, 5, 0, ""), (false, vec![]));
    assert_eq!(recover(&mut home, &options, 6, 1, ""), (true, vec![2, 3, 4]));
}

#[test]
fn a_cache_gives_its_last_publication_to_whoever_has_it_not() {
    let (mut home, options) = (home(), history(3, 1000));
    let options = Arc::new(ChannelOptions { is_cache_recovery: true, ..(*options).clone() });
    assert_eq!(recover(&mut home, &options, 0, 0, ""), (false, vec![]));
    let epoch = publish(&mut home, 0, "c", &options).position.epoch;
    for _ in 0..5 {
        publish(&mut home, 0, "c", &options);
    }
    assert_eq!(recover(&mut home, &options, 1, 0, ""), (true, vec![6]));
    assert_eq!(recover(&mut home, &options, 2, 1, "another"), (true, vec![6]));
    assert_eq!(recover(&mut home, &options, 3, 6, &epoch), (true, vec![]));
    assert_eq!(recover(&mut home, &options, 6, 7, &epoch), (true, vec![6]), "that offset does not exist yet");
    home.ask(at(0), &"c".into(), &options, &Question::RemoveHistory);
    assert_eq!(recover(&mut home, &options, 4, 5, &epoch), (false, vec![]));
    assert_eq!(recover(&mut home, &options, 5, 6, &epoch), (true, vec![]));
    assert_eq!(recover(&mut home, &options, 7, 7, &epoch), (false, vec![]));
}

/// A subscriber that filters publications by their offset.
#[derive(Debug)]
struct Picky(fn(u64) -> bool);

impl Asker for Picky {
    fn wants(&self, publication: &Publication) -> bool {
        (self.0)(publication.offset)
    }
}

#[test]
fn a_cache_gives_the_last_publication_that_passes() {
    let mut home = Home::with_memory(LIMITS, 7.into(), in_memory(&LIMITS, (7.into(), 0)));
    let options = history(4, 1000);
    let options = Arc::new(ChannelOptions { is_cache_recovery: true, ..(*options).clone() });
    let mut publish = || {
        let (publication, options) = (publication("c", b"1"), Arc::clone(&options));
        match home.handle_publish(at(0), publication, options, Terms::default(), (None, None)) {
            Some(Done::Published { outcome: Ok(published), .. }) => published.position,
            other => panic!("{other:?}"),
        }
    };
    let epoch = publish().epoch;
    for _ in 0..5 {
        publish();
    }
    // Offsets 3 to 6 are kept.
    let mut ask = |from: u64, passes: fn(u64) -> bool| {
        let joining =
            Joining { recover: Some(Position { offset: from, epoch: Arc::clone(&epoch) }), ..plain(0, 0) };
        let options = Arc::clone(&options);
        match home.handle_subscribe(at(0), "c".into(), options, Box::new(joining), Picky(passes)) {
            Some(Done::Subscribed { outcome: Ok(joined), .. }) => positions(&joined),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(1, |_| true), (true, vec![6]));
    assert_eq!(ask(1, |offset| offset < 6), (true, vec![5]));
    assert_eq!(ask(1, |offset| offset == 3), (true, vec![3]));
    assert_eq!(ask(4, |offset| offset < 6), (true, vec![5]));
    assert_eq!(ask(5, |offset| offset < 6), (true, vec![]), "the client has that one");
    assert_eq!(ask(5, |offset| offset < 4), (true, vec![]), "or a later one");
    assert_eq!(ask(6, |_| false), (true, vec![]), "the client has all");
    assert_eq!(ask(7, |offset| offset < 6), (true, vec![5]), "that offset does not exist yet");
    // A publication that would have passed may have been forgotten.
    assert_eq!(ask(5, |offset| offset < 3), (false, vec![]));
}

#[test]
fn asked_for_twice_is_published_once() {
    let (mut home, options) = (home(), history(3, 1000));
    home.subscribe(at(0), &"c".into(), &options, &plain(0, 0)).unwrap();
    let terms = Terms { idempotency_key: Some("key".into()), ..Terms::default() };
    let mut ask = |ms, channel| home.publish(at(ms), publication(channel, b"1"), &options, &terms).unwrap();
    let first = ask(0, "c");
    assert!(first.delivery.is_some());
    let again = ask(299_999, "c");
    assert!(again.delivery.is_none() && again.position == first.position);
    assert_eq!(ask(299_999, "d").position.offset, 1);
    assert_eq!(ask(300_000, "c").position.offset, 2);
    // The same without history.
    let mut ask = |ms| home.publish(at(ms), publication("plain", b"1"), &no_history(), &terms).unwrap();
    ask(0);
    home.subscribe(at(0), &"plain".into(), &no_history(), &plain(0, 0)).unwrap();
    let mut ask = |ms| home.publish(at(ms), publication("plain", b"1"), &no_history(), &terms).unwrap();
    assert!(ask(1).delivery.is_none() && ask(300_000).delivery.is_some());
}

#[test]
fn old_versions_are_dropped() {
    let (mut home, options) = (home(), history(3, 1000));
    home.subscribe(at(0), &"c".into(), &options, &plain(0, 0)).unwrap();
    let mut offer = |version, series: Option<&str>| {
        let terms = Terms { version, version_epoch: series.map(Box::from), ..Terms::default() };
        let published = home.publish(at(0), publication("c", b"1"), &options, &terms).unwrap();
        (published.position.offset, published.delivery.is_some())
    };
    assert_eq!(offer(5, None), (1, true));
    assert_eq!(offer(5, None), (1, false));
    assert_eq!(offer(4, None), (1, false));
    assert_eq!(offer(0, None), (2, true));
    assert_eq!(offer(6, None), (3, true));
    assert_eq!(offer(1, Some("b")), (4, true));
    assert_eq!(offer(1, Some("b")), (4, false));
    assert_eq!(offer(1, None), (4, false), "without a series the version is compared with the latest one");
    assert_eq!(offer(2, None), (5, true));
    assert_eq!(offer(2, Some("b")), (5, false));
    assert_eq!(offer(1, Some("c")), (6, true));
}

#[test]
fn clients_publish_at_a_rate_and_the_server_as_it_likes() {
    let options = ChannelOptions { publications_per_second_max: 2, ..(*history(9, 1000)).clone() };
    let (mut home, options) = (home(), Arc::new(options));
    let mut offer = |ms, is_client: bool| {
        let info = is_client.then(|| info("u", "c"));
        let publication = Box::new(Publication { info, ..*publication("c", b"1") });
        home.publish(at(ms), publication, &options, &Terms::default()).map(|p| p.position.offset)
    };
    assert_eq!((offer(0, true), offer(0, true)), (Ok(1), Ok(2)));
    assert_eq!((offer(0, true), offer(0, false)), (Err(Refused::TooManyPublications), Ok(3)));
    assert_eq!((offer(500, true), offer(500, true)), (Ok(4), Err(Refused::TooManyPublications)));
}

#[test]
fn a_delta_is_to_what_subscribers_had_last() {
    let options = ChannelOptions { allows_fossil_delta: true, ..(*history(9, 1000)).clone() };
    let (mut home, options) = (home(), Arc::new(options));
    home.subscribe(at(0), &"c".into(), &options, &plain(0, 0)).unwrap();
    let mut offer = |ms, wishes: bool, skip_history: bool, options: &Arc<ChannelOptions>| {
        let publication = Box::new(Publication { is_delta: wishes, ..*publication("c", b"1") });
        let terms = Terms { skip_history, ..Terms::default() };
        let (publication, _) = home.publish(at(ms), publication, options, &terms).unwrap().delivery.unwrap();
        let previous = publication.previous.as_ref().map(|previous| previous.offset);
        assert_eq!(publication.is_delta, previous.is_some());
        previous
    };
    assert_eq!(offer(0, true, false, &options), None);
    assert_eq!(offer(0, true, false, &options), Some(1));
    assert_eq!(offer(0, false, false, &options), None);
    // A publication outside the history came between: the next is no delta to the kept one.
    assert_eq!(offer(0, true, true, &options), None);
    assert_eq!(offer(0, true, false, &options), None);
    assert_eq!(offer(0, true, false, &options), Some(4));
    assert_eq!(offer(1000, true, false, &options), None);
    let always = Arc::new(ChannelOptions { delta_publish: true, ..(*options).clone() });
    assert_eq!(offer(1000, false, false, &always), Some(6));
    let never = Arc::new(ChannelOptions { allows_fossil_delta: false, ..(*always).clone() });
    assert_eq!(offer(1000, true, false, &never), None);
}

#[test]
fn history_keeps_a_copy() {
    use crate::base::budget::Budget;
    use crate::base::shared::Shared;
    let (mut home, budget) = (home(), Budget::new(100));
    let mut data = Vec::with_capacity(64);
    data.extend_from_slice(b"12345");
    let live = Publication { data: Shared::new(data, &budget), ..*publication("c", b"") };
    home.publish(at(0), Box::new(live), &history(3, 1000), &Terms::default()).unwrap();
    assert_eq!(
        budget.used(),
        0,
        "a publication in flight is counted until it is delivered, not until it expires"
    );
    let asked = Question::History(HistoryFilter::default());
    let Answer::History { publications, .. } = home.ask(at(0), &"c".into(), &history(3, 1000), &asked) else {
        panic!("the question was another")
    };
    assert_eq!(&*publications[0].data, b"12345");
}

#[test]
fn the_position_of_a_forgotten_stream_means_nothing() {
    let (mut home, options) = (home(), history(3, 1000));
    let epoch = publish(&mut home, 0, "c", &options).position.epoch;
    let since = Some(Position { offset: 0, epoch });
    let asked = Question::History(HistoryFilter { since, ..HistoryFilter::default() });
    let mut ask = |ms| home.ask(at(ms), &"c".into(), &options, &asked);
    assert!(matches!(ask(999), Answer::History { publications, .. } if publications.len() == 1));
    assert!(matches!(ask(1000), Answer::History { publications, .. } if publications.is_empty()));
    let later = 1000 + LIMITS.history_meta_ttl_ms;
    assert!(matches!(ask(later - 1), Answer::History { .. }));
    let later = later - 1 + LIMITS.history_meta_ttl_ms;
    assert!(matches!(ask(later), Answer::Refused(Refused::Unrecoverable)));
}

#[test]
fn channels_are_listed_by_pattern() {
    let mut home = home();
    for (conn, name) in ["chat:a", "chat:b", "chat:b", "news"].into_iter().enumerate() {
        home.subscribe(at(0), &name.into(), &no_history(), &plain(0, conn as u64)).unwrap();
    }
    publish(&mut home, 0, "chat:quiet", &history(1, 1000));
    let list = |pattern| {
        let mut found = home.channels(pattern);
        found.sort();
        found.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(list(""), "chat:a 1, chat:b 2, news 1");
    assert_eq!(list("chat:*"), "chat:a 1, chat:b 2");
    assert_eq!(list("news"), "news 1");
    assert_eq!(list("new"), "");
}
