//! Presence, joins and leaves, against sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::fixtures::{LIMITS, at, home, info, plain};
use super::super::home::{Answer, Home, Joining, Limits, Member, Question};
use super::super::options::ChannelOptions;
use super::*;

fn options() -> Arc<ChannelOptions> {
    Arc::new(ChannelOptions { presence: true, join_leave: true, ..ChannelOptions::default() })
}

fn joining(shard: u16, conn: u64, in_presence: bool, tells_join: bool) -> Joining {
    let info = info(&format!("u{}", conn % 3), &format!("{shard}-{conn}"));
    Joining { info: Some(info), in_presence, tells_join, ..plain(shard, conn) }
}

#[derive(Clone, Debug)]
enum Op {
    Enter { shard: u16, conn: u64, in_presence: bool, tells_join: bool },
    Renew { which: usize, in_presence: bool },
    Leave { which: usize },
    Tell,
    Count,
}

fn op() -> impl Strategy<Value = Op> {
    let enter = (0..3u16, 0..8u64, prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    prop_oneof![
        5 => enter.prop_map(|(shard, conn, in_presence, tells_join)| Op::Enter { shard, conn, in_presence, tells_join }),
        5 => any::<usize>().prop_map(|which| Op::Leave { which }),
        3 => any::<(usize, bool)>().prop_map(|(which, in_presence)| Op::Renew { which, in_presence }),
        1 => Just(Op::Tell),
        1 => Just(Op::Count),
    ]
}

/// Joins (true) and leaves, by client.
fn told(home: &mut Home, ms: u64) -> BTreeMap<String, Vec<bool>> {
    let mut told = BTreeMap::<String, Vec<bool>>::new();
    let Some((membership, _)) = home.take_membership(at(ms)) else { return told };
    for (came, info) in &membership.changes {
        told.entry(info.client.to_string()).or_default().push(*came);
    }
    assert!(home.take_membership(at(ms)).is_none(), "there is one channel");
    told
}

/// Checks the presence and its counts against this set.
fn check_count(
    home: &mut Home,
    name: &Arc<str>,
    options: &Arc<ChannelOptions>,
    present: &BTreeSet<String>,
) -> Result<(), TestCaseError> {
    let Answer::Presence(infos) = home.ask(at(0), name, options, &Question::Presence) else {
        panic!("the question was another")
    };
    prop_assert_eq!(infos.len(), present.len());
    prop_assert_eq!(&infos.iter().map(|info| info.client.to_string()).collect::<BTreeSet<_>>(), present);
    let users: BTreeSet<_> = infos.iter().map(|info| &info.user).collect();
    let stats = home.ask(at(0), name, options, &Question::PresenceStats);
    let Answer::PresenceStats { client_count, user_count } = stats else {
        panic!("the question was another")
    };
    prop_assert_eq!((client_count as usize, user_count as usize), (infos.len(), users.len()));
    prop_assert_eq!(home.presence_count(), infos.len());
    Ok(())
}

proptest! {
    #[test]
    fn it_is_what_sets_say(ops in prop::collection::vec(op(), 1..200), has_stream: bool) {
        let (mut home, name) = (home(), Arc::from("c"));
        // A channel with a stream outlives its subscribers.
        let options = match has_stream {
            true => Arc::new(ChannelOptions { history_size: 1, history_ttl_ms: 1000, ..(*options()).clone() }),
            false => options(),
        };
        // How many times each member is counted, and its last flags.
        let mut seats: BTreeMap<(u16, u64), (u32, bool, bool)> = BTreeMap::new();
        let client = |&(shard, conn): &(u16, u64)| format!("{shard}-{conn}");
        let mut known: BTreeSet<String> = BTreeSet::new(); // members whose join was sent
        let mut renewed: BTreeSet<String> = BTreeSet::new(); // members whose join is sent once more
        for op in ops {
            match op {
                Op::Enter { shard, conn, in_presence, tells_join } => {
                    // A member that enters before its leave has arrived keeps its flags: same channel, same options.
                    let seat = seats.entry((shard, conn)).or_insert((0, in_presence, tells_join));
                    seat.0 += 1;
                    let joining = Joining { wants_position: has_stream, ..joining(shard, conn, seat.1, seat.2) };
                    home.subscribe(at(0), &name, &options, &joining).unwrap();
                }
                Op::Renew { which, in_presence } => {
                    // A renewed member is counted once, as its shard knows.
                    let once = seats.iter_mut().filter(|(_, seat)| seat.0 == 1).nth(which % 4);
                    let Some((&key, seat)) = once else { continue };
                    seat.1 = in_presence;
                    if seat.2 {
                        renewed.insert(client(&key));
                    }
                    let joining = Joining {
                        wants_position: has_stream,
                        renews: true,
                        ..joining(key.0, key.1, in_presence, seat.2)
                    };
                    home.subscribe(at(0), &name, &options, &joining).unwrap();
                }
                Op::Leave { which } if !seats.is_empty() => {
                    let key = *seats.keys().nth(which % seats.len()).unwrap();
                    seats.get_mut(&key).unwrap().0 -= 1;
                    seats.retain(|_, seat| seat.0 > 0);
                    if !seats.contains_key(&key) {
                        renewed.remove(&client(&key));
                    }
                    assert!(home.unsubscribe(at(0), "c", Member { shard: key.0, conn: key.1 }));
                    if seats.is_empty() {
                        (known, renewed) = Default::default(); // there is no subscriber left to receive it
                    }
                }
                Op::Leave { .. } => assert!(!home.unsubscribe(at(0), "c", Member { shard: 0, conn: 0 })),
                Op::Tell => {
                    let now: BTreeSet<_> = seats.iter().filter(|(_, s)| s.2).map(|(key, _)| client(key)).collect();
                    let came = now.iter().filter(|client| !known.contains(*client) || renewed.contains(*client));
                    let came = came.map(|client| (client.clone(), vec![true]));
                    let went = known.difference(&now).map(|client| (client.clone(), vec![false]));
                    prop_assert_eq!(told(&mut home, 0), came.chain(went).collect());
                    (known, renewed) = (now, BTreeSet::new());
                }
                Op::Count => {
                    let present: BTreeSet<_> = seats.iter().filter(|(_, s)| s.1).map(|(key, _)| client(key)).collect();
                    check_count(&mut home, &name, &options, &present)?;
                }
            }
            home.check_invariants();
            let all: u32 = seats.values().map(|seat| seat.0).sum();
            prop_assert_eq!(home.subscriber_count("c"), all as usize);
            prop_assert_eq!(home.len(), usize::from(all > 0).max(home.stream_count()));
        }
    }
}

#[test]
fn who_is_renewed_is_known_by_the_last_word_and_goes_as_that() {
    let (mut home, options, name) = (home(), options(), Arc::from("c"));
    let named = |conn, n: u8| {
        let known = info("u", "0-1");
        let payload = |n: u8| vec![b'0' + n].into();
        Arc::new(ClientInfo { conn_info: payload(conn), chan_info: payload(n), ..ClientInfo::clone(&known) })
    };
    let present = |home: &mut Home| {
        let Answer::Presence(infos) = home.ask(at(0), &name, &options, &Question::Presence) else { panic!() };
        infos
    };
    for conn in [1, 2] {
        home.subscribe(at(0), &name, &options, &joining(0, conn, true, true)).unwrap();
    }
    told(&mut home, 0);
    let anew = Joining { info: Some(named(1, 1)), renews: true, ..joining(0, 1, true, true) };
    home.subscribe(at(0), &name, &options, &anew).unwrap();
    assert!(present(&mut home).contains(&named(1, 1)));
    let member = Member { shard: 0, conn: 1 };
    home.inform("c", member, &named(2, 0), true);
    assert!(present(&mut home).contains(&named(2, 1)), "the subscription's part is kept");
    home.inform("c", member, &named(2, 2), false);
    assert!(present(&mut home).contains(&named(2, 2)));
    // A member that is absent or has no seat does not change.
    home.inform("c", Member { shard: 1, conn: 1 }, &named(3, 3), false);
    home.inform("another", member, &named(3, 3), false);
    assert_eq!(present(&mut home).len(), 2);
    // It joined once more, and leaves in the same turn: others know it.
    assert!(home.unsubscribe(at(0), "c", member));
    let (membership, _) = home.take_membership(at(0)).unwrap();
    assert_eq!(membership.changes, [(false, named(2, 2))]);
    home.check_invariants();
}

#[test]
fn a_storm_is_cut_and_counted() {
    let mut home = Home::new(Limits { join_leave_per_second_max: 100, ..LIMITS }, (0.into(), 0));
    let (options, name) = (options(), Arc::from("c"));
    for conn in 0..10_000 {
        home.subscribe(at(5000), &name, &options, &joining(0, conn, true, true)).unwrap();
    }
    let (membership, shards) = home.take_membership(at(5000)).unwrap();
    assert_eq!((membership.changes.len(), &shards[..], &*membership.channel), (100, &[0][..], "c"));
    assert!(membership.changes.iter().all(|(came, _)| *came));
    assert_eq!((home.suppressed_count(), home.presence_count()), (9900, 10_000));
    // Half a second restores half of the rate; changes that cancel out need none of it.
    for conn in 0..200 {
        home.unsubscribe(at(5500), "c", Member { shard: 0, conn });
        if conn >= 40 {
            home.subscribe(at(5500), &name, &options, &joining(0, conn, true, true)).unwrap();
        }
    }
    let (membership, _) = home.take_membership(at(5500)).unwrap();
    assert_eq!((membership.changes.len(), home.suppressed_count()), (40, 9900));
    assert!(home.take_membership(at(5500)).is_none());
    home.check_invariants();
}

#[test]
fn channels_tell_one_after_another_and_only_where_someone_hears() {
    let (mut home, options) = (home(), options());
    for (channel, shard) in [("a", 1), ("b", 2), ("a", 3), ("gone", 1)] {
        home.subscribe(at(0), &channel.into(), &options, &joining(shard, 1, true, true)).unwrap();
    }
    assert!(home.unsubscribe(at(0), "gone", Member { shard: 1, conn: 1 }));
    // A new channel gets the number of the one that ended.
    home.subscribe(at(0), &"new".into(), &options, &joining(4, 1, true, true)).unwrap();
    let mut told = Vec::new();
    while let Some((membership, shards)) = home.take_membership(at(0)) {
        told.push((membership.channel.to_string(), membership.changes.len(), shards.to_vec()));
    }
    let expected = [("a", 2, vec![1, 3]), ("b", 1, vec![2]), ("new", 1, vec![4])];
    assert_eq!(told, expected.map(|(channel, count, shards)| (channel.to_owned(), count, shards)));
}

#[test]
fn counting_users_goes_on_only_while_it_pays() {
    let (mut home, options, name) = (home(), options(), Arc::from("c"));
    let mut crowd = Crowd::default();
    for conn in 0..100 {
        crowd.add(&joining(0, conn, true, false), &options);
        home.subscribe(at(0), &name, &options, &joining(0, conn, true, false)).unwrap();
    }
    assert_eq!((crowd.user_count(), crowd.users.is_some()), (3, true));
    for round in 0..1000 {
        crowd.remove(Member { shard: 0, conn: round % 100 });
        crowd.add(&joining(0, round % 100, true, false), &options);
    }
    assert!(crowd.users.is_none());
    assert_eq!(crowd.user_count(), 3);
    crowd.check_invariants();
}

#[test]
fn seats_are_dense() {
    let seat = size_of::<(u64, Arc<ClientInfo>)>() + 1;
    assert!(seat * 16 / 7 <= 40, "a table may be as empty as seven in sixteen");
    let (mut crowd, options) = (Crowd::default(), options());
    for conn in 0..10_000 {
        crowd.add(&joining(0, conn, true, true), &options);
    }
    let seats = crowd.audiences[0].seats.as_ref().unwrap();
    assert!(seats.unusual.is_empty(), "no seat has unusual flags");
    assert!(seats.infos.capacity() <= 20_000);
    for conn in 0..9_990 {
        crowd.remove(Member { shard: 0, conn });
    }
    assert!(
        crowd.audiences[0].seats.as_ref().unwrap().infos.capacity() < 200,
        "the seats of former members are freed"
    );
    assert!(size_of::<Crowd>() <= 72);
}
