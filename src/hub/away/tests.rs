//! A home that keeps sockets and their events.

mod orders;

use std::sync::Arc;

use super::*;
use crate::base::budget::Budget;
use crate::base::payload::Payload;
use crate::base::seed::Seed;
use crate::base::shared::Shared;
use crate::hub::DataKind;
use crate::hub::Publication;
use crate::hub::emission::Emission;
use crate::hub::fixtures::LIMITS;
use crate::hub::home::{Home, Joining, Limits, Now};

const GROUP: &str = "\u{1}/";

fn now(ms: u64) -> Now {
    Now { ms, unix_ms: 0 }
}

fn limits() -> RecoveryLimits {
    let (ttl_ms, log_ms) = (1000, 3000);
    RecoveryLimits { ttl_ms, log_ms, bytes_max: 100_000, sockets_max: 10, missed_bytes_max: 10_000 }
}

fn home(limits: RecoveryLimits) -> Home {
    Home::new(Limits { recovery: Some(limits), ..LIMITS }, (Seed::from(7), 0))
}

fn member(conn: u64) -> Member {
    Member { shard: 1, conn }
}

fn place(conn: u64) -> SocketPlace {
    SocketPlace { shard: 1, conn, number: 0 }
}

fn room(name: &str) -> Arc<str> {
    format!("{GROUP},{name}").into()
}

/// A socket in a room, whose client has the events up to `proved`.
fn away(conn: u64, name: &str, proved: u64) -> Box<Away> {
    let mut rooms = [GROUP.into(), room(name), place(conn).room(GROUP, Seed::from(7))];
    rooms.sort_unstable();
    let parcel = Parcel { content: Box::new(conn), bytes: 100 };
    let (proved, directs) = (half(proved), Directs::default());
    let (group, rooms) = (GROUP.into(), rooms.into());
    Box::new(Away {
        group,
        place: place(conn),
        user: "ann".into(),
        info: Payload::default(),
        rooms,
        seats: Box::default(),
        changes: Vec::new(),
        proved,
        directs,
        parcel,
    })
}

fn asked(conn: u64, offset: Option<(u64, Option<u64>)>) -> Box<Return> {
    Box::new(Return {
        member: member(conn + 100),
        group: GROUP.into(),
        place: place(conn),
        since: 0,
        offset: offset.map(|(seq, direct)| Offset { seq, direct }),
        pid: "pid".into(),
        user: "ann".into(),
        request: 1,
        is_overtaken: false,
    })
}

/// A socket enters its namespace.
fn enter(home: &mut Home, conn: u64) -> u64 {
    let joined = home.subscribe(now(0), &GROUP.into(), &Arc::default(), &Joining::of(member(conn)));
    joined.unwrap().seq
}

struct Sent<'s> {
    to: &'s [&'s str],
    except: &'s [&'s str],
    sender: Option<SocketPlace>,
    is_volatile: bool,
    bytes: usize,
}

impl Default for Sent<'_> {
    fn default() -> Self {
        Self { to: &[], except: &[], sender: None, is_volatile: false, bytes: 10 }
    }
}

/// Sends an event; returns its number.
fn send(home: &mut Home, at_ms: u64, sent: &Sent<'_>) -> u64 {
    let rooms = |names: &[&str]| names.iter().map(|name| room(name)).collect::<Vec<_>>();
    let mut to = rooms(sent.to);
    if to.is_empty() {
        to.push(GROUP.into());
    }
    let data = Shared::new(vec![b'x'; sent.bytes], &Budget::new(1 << 20));
    let publication = Arc::new(Publication::new(Arc::clone(&to[0]), DataKind::Text, data));
    let mut emission = Emission {
        copies: Vec::new(),
        publication,
        to: to.into(),
        except: rooms(sent.except).into(),
        not_to: None,
        sender: sent.sender,
        home: 0,
        is_volatile: sent.is_volatile,
    };
    home.handle_emission(now(at_ms), &mut emission);
    let Publication { seq, offset, rare, .. } = &*emission.publication;
    assert!(seq == offset && rare.as_ref().unwrap().epoch.is_some(), "volatile ones have an offset, too");
    *seq
}

/// The numbers of what a client missed; `None` when it does not get its socket back.
fn missed(home: &mut Home, at_ms: u64, asked: Box<Return>) -> Option<Vec<u64>> {
    let Returned::Answered(_, back) = home.handle_return(now(at_ms), asked) else { panic!("it is away") };
    Some(back?.missed.iter().map(Item::seq).collect())
}

#[test]
fn who_returns_gets_what_was_for_it_behind_its_offset() {
    let mut home = home(limits());
    enter(&mut home, 1);
    let first = send(&mut home, 0, &Sent::default());
    assert!(matches!(home.park(now(0), away(1, "a", 0)), Parked::Kept));
    let mut expected = Vec::new();
    for (sent, is_for) in [
        (Sent::default(), true),
        (Sent { to: &["a"], ..Sent::default() }, true),
        (Sent { to: &["b", "a"], ..Sent::default() }, true),
        (Sent { to: &["b"], ..Sent::default() }, false),
        (Sent { except: &["a"], ..Sent::default() }, false),
        (Sent { to: &["a"], except: &["b"], ..Sent::default() }, true),
        (Sent { sender: Some(place(1)), ..Sent::default() }, false),
        (Sent { sender: Some(place(2)), ..Sent::default() }, true),
        (Sent { is_volatile: true, ..Sent::default() }, false),
    ] {
        let seq = send(&mut home, 0, &sent);
        expected.extend(is_for.then_some(seq));
    }
    // To its id.
    let id = place(1).seal(Seed::from(7));
    let own = Sent { to: &[std::str::from_utf8(&id).unwrap()], ..Sent::default() };
    expected.push(send(&mut home, 0, &own));
    assert_eq!(missed(&mut home, 0, asked(1, Some((first, None)))), Some(expected));
    // It is in its rooms, at once.
    let shards = |home: &Home, name: &str| home.subscriber_count(name);
    assert_eq!((shards(&home, "\u{1}/"), shards(&home, "\u{1}/,a")), (2, 1));
    // Once only: it may have a connection now, where it is in the room of its id.
    assert!(matches!(home.handle_return(now(0), asked(1, None)), Returned::Asks(1)));
    home.check_invariants();
}

#[test]
fn without_an_offset_what_is_proved_counts_and_so_does_the_number_of_its_beginning() {
    for (since, proved, offset, from) in [
        (0, 0, None, 0),
        (2, 0, None, 2),
        (0, 3, None, 3),
        (0, 3, Some(1), 3),
        (0, 1, Some(3), 3),
        // Left from an earlier socket of its client.
        (2, 2, Some(1), 2),
        (0, 1, Some(99), 1),
    ] {
        let mut home = home(limits());
        enter(&mut home, 1);
        let seqs: Vec<_> = (0..5).map(|_| send(&mut home, 0, &Sent::default())).collect();
        home.park(now(0), away(1, "a", proved));
        let asked = Box::new(Return { since, ..*asked(1, offset.map(|seq| (seq, None))) });
        let got = missed(&mut home, 0, asked);
        assert_eq!(
            got.as_deref(),
            Some(&seqs[usize::try_from(from).unwrap()..]),
            "{since} {proved} {offset:?}"
        );
    }
}

#[test]
fn events_for_the_socket_alone_are_at_their_places() {
    let mut home = home(limits());
    enter(&mut home, 1);
    let seqs: Vec<_> = (0..3).map(|_| send(&mut home, 0, &Sent::default())).collect();
    let mut one = away(1, "a", 0);
    for (seq, number) in [(0, 1), (seqs[0], 2), (seqs[0], 3), (seqs[2], 4)] {
        let offset = Offset { seq, direct: Some(number) };
        let data = vec![u8::try_from(number).unwrap()].into();
        one.directs.push(Direct { offset, kind: DataKind::Text, data }, 1000);
    }
    home.park(now(0), one);
    let Returned::Answered(_, Some(back)) = home.handle_return(now(0), asked(1, Some((seqs[0], Some(2)))))
    else {
        panic!("it is away")
    };
    let of = |item: &Item| match item {
        Item::Publication(publication) => (publication.seq, publication.data[0]),
        Item::Membership(_) => panic!("no publication"),
    };
    let got: Vec<_> = back.missed.iter().map(of).collect();
    assert_eq!(got, [(0, 3), (seqs[1], b'x'), (seqs[2], b'x'), (0, 4)]);
    // What it has, its socket has no more.
    assert_eq!(
        back.away.directs.iter().filter_map(|direct| direct.offset.direct).collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(whole(back.away.proved, back.seq), seqs[0]);
}

#[test]
fn who_comes_too_late_or_missed_too_much_is_refused_and_over() {
    type Case = (&'static str, RecoveryLimits, u64, usize, u64);
    let cases: [Case; 5] = [
        ("in time", limits(), 999, 3, 1),
        ("too late", limits(), 1000, 3, 0),
        ("bytes of the log", RecoveryLimits { bytes_max: 2000, ..limits() }, 0, 10, 0),
        ("bytes of one client", RecoveryLimits { missed_bytes_max: 999, ..limits() }, 0, 10, 0),
        ("age of the log", RecoveryLimits { ttl_ms: 9000, ..limits() }, 3100, 3, 0),
    ];
    for (what, limits, at_ms, count, expected) in cases {
        let mut home = home(limits);
        enter(&mut home, 1);
        home.park(now(0), away(1, "a", 0));
        (0..count).for_each(|_| {
            send(&mut home, 0, &Sent { bytes: 100, ..Sent::default() });
        });
        home.expire(now(at_ms));
        let back = match home.handle_return(now(at_ms), asked(1, None)) {
            Returned::Answered(_, back) => back.is_some(),
            // Its time was over before it came.
            Returned::Asks(_) => false,
        };
        assert_eq!(u64::from(back), expected, "{what}");
        assert_eq!((home.take_over().len() + usize::from(back), home.away_count()), (1, 0), "{what}");
        home.check_invariants();
    }
}

#[test]
fn a_flood_of_sockets_and_a_shortage_end_the_oldest() {
    let mut home = home(limits());
    enter(&mut home, 0);
    (1..=15).for_each(|conn| {
        home.park(now(conn), away(conn, "a", 0));
    });
    let over = |home: &mut Home| home.take_over().iter().map(|away| away.place.conn).collect::<Vec<_>>();
    assert_eq!((over(&mut home), home.away_count()), (vec![1, 2, 3, 4, 5], 10));
    // One that returned and left again is not the oldest any more.
    assert!(missed(&mut home, 20, asked(6, None)).is_some());
    home.park(now(20), away(6, "a", 0));
    home.park(now(21), away(16, "a", 0));
    assert_eq!(over(&mut home), [7]);
    send(&mut home, 21, &Sent::default());
    let bytes = home.history_bytes();
    home.relieve(bytes / 2, 100);
    assert!(home.history_bytes() <= bytes / 2 && !over(&mut home).is_empty());
    home.relieve(0, 100);
    assert_eq!(home.away_count(), 0);
    home.expire(now(5000));
    assert_eq!(home.next_expiry_ms(), None, "nothing is left to look for");
}

#[test]
fn another_user_does_not_get_a_socket_and_does_not_end_it() {
    let mut home = home(limits());
    enter(&mut home, 1);
    let stranger = || Box::new(Return { user: "ben".into(), ..*asked(1, None) });
    assert!(matches!(home.handle_return(now(0), stranger()), Returned::Asks(1)));
    assert!(matches!(home.park(now(0), away(1, "a", 0)), Parked::Awaited(_, None)));
    assert_eq!(missed(&mut home, 0, stranger()), None);
    assert_eq!(missed(&mut home, 0, asked(1, None)), Some(Vec::new()));
    assert_eq!(home.take_over().len(), 0);
}

#[test]
fn nothing_is_kept_for_a_namespace_without_sockets() {
    let mut home = home(limits());
    send(&mut home, 0, &Sent::default());
    assert_eq!((home.history_bytes(), home.next_expiry_ms()), (0, None));
    enter(&mut home, 1);
    send(&mut home, 0, &Sent::default());
    assert!(home.history_bytes() > 0);
    home.unsubscribe(now(0), GROUP, member(1));
    home.expire(now(4000));
    assert_eq!((home.history_bytes(), home.next_expiry_ms()), (0, None));
}

#[test]
fn who_is_back_before_its_connection_ended_waits_for_its_end() {
    let mut home = home(limits());
    enter(&mut home, 1);
    assert!(matches!(home.handle_return(now(0), asked(1, None)), Returned::Asks(1)));
    // A second connection with the same private id: the first one gets nothing.
    let second = Box::new(Return { member: member(7), ..*asked(1, None) });
    let Returned::Answered(first, None) = home.handle_return(now(0), second) else { panic!("one gets it") };
    assert!(first.member == member(101) && first.is_overtaken);
    let Parked::Awaited(second, Some(_)) = home.park(now(0), away(1, "a", 0)) else { panic!("it waits") };
    assert_eq!(second.member, member(7));
    assert!(home.not_held(place(1)).is_none());
    // A socket that is nowhere.
    assert!(matches!(home.handle_return(now(0), asked(2, None)), Returned::Asks(1)));
    assert_eq!(home.not_held(place(2)).unwrap().place, place(2));
    assert_eq!((home.away_count(), home.take_over().len()), (0, 0));
}
