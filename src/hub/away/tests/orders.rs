//! Orders for sockets that are away, and publications for them.

use super::*;
use crate::hub::fixtures::{history, no_history, publication};
use crate::hub::home::{Done, Published, Terms};
use crate::hub::options::{ChannelOptions, Namespaces};
use crate::hub::rooms::RoomMap;
use crate::hub::selector::Rooms;
use crate::hub::socket_order::{SocketDeed, SocketOrder};

fn order(home: &mut Home, to: &[Arc<str>], except: &[Arc<str>], deed: SocketDeed) {
    let rooms = Rooms::of("/", to.to_vec(), except.to_vec());
    home.order_away(&SocketOrder { namespace: "/".into(), rooms, not_to: None, deed }, &rooms_map(), 6);
}

/// Channels of the namespace `chat` are rooms.
fn rooms_map() -> RoomMap {
    let options = ChannelOptions { socketio: "/".to_owned(), presence: true, ..ChannelOptions::default() };
    let named = [("chat".to_owned(), Arc::new(options))].into();
    RoomMap::new(&Arc::new(Namespaces { named, ..Namespaces::default() }), false, false)
}

fn join(names: &[&str]) -> SocketDeed {
    SocketDeed::Join(names.iter().map(|name| room(name)).collect())
}

fn leave(name: &str) -> SocketDeed {
    SocketDeed::Leave([room(name)].into())
}

/// The rooms of a socket that returns, by their names; `None` when it does not return.
fn returned(home: &mut Home, conn: u64) -> Option<Vec<String>> {
    let Returned::Answered(_, back) = home.handle_return(now(0), asked(conn, None)) else { return None };
    let back = back?;
    let own = place(conn).room(GROUP, Seed::from(7));
    assert!(back.away.rooms.is_sorted());
    let rooms = back.away.rooms.iter().filter(|room| **room != own && &***room != GROUP);
    Some(rooms.map(|room| room.rsplit(',').next().unwrap().to_owned()).collect())
}

#[test]
fn an_order_changes_the_rooms_of_sockets_that_are_away() {
    let of = |conn: u64| place(conn).room(GROUP, Seed::from(7));
    for (to, except, reached) in [
        (vec![], vec![], [true, true]),
        (vec![room("a")], vec![], [true, false]),
        (vec![room("a"), room("b")], vec![], [true, true]),
        (vec![room("a"), room("b")], vec![room("b")], [true, false]),
        (vec![of(2)], vec![], [false, true]),
        (vec![of(2), room("a")], vec![of(1)], [false, true]),
        (vec![room("nobody")], vec![], [false, false]),
    ] {
        let mut home = home(limits());
        enter(&mut home, 9);
        for (conn, name) in [(1, "a"), (2, "b")] {
            home.park(now(0), away(conn, name, 0));
        }
        order(&mut home, &to, &except, join(&["a", "b", "c"]));
        order(&mut home, &[room("c")], &[], leave("a"));
        for (conn, name, is_reached) in [(1, "a", reached[0]), (2, "b", reached[1])] {
            let expected = if is_reached { vec!["b", "c"] } else { vec![name] };
            assert_eq!(returned(&mut home, conn).unwrap(), expected, "{to:?} {except:?}");
        }
        assert!(home.take_over().is_empty());
    }
}

#[test]
fn an_order_ends_sockets_that_are_away() {
    let mut home = home(limits());
    enter(&mut home, 9);
    (1..=4).for_each(|conn| drop(home.park(now(0), away(conn, "a", 0))));
    order(&mut home, &[place(2).room(GROUP, Seed::from(7))], &[], SocketDeed::Disconnect { close: false });
    let over = |home: &mut Home| home.take_over().iter().map(|away| away.place.conn).collect::<Vec<_>>();
    assert_eq!((over(&mut home), returned(&mut home, 2)), (vec![2], None));
    // Of another namespace: none.
    let rooms = Rooms::of("/other", Vec::new(), Vec::new());
    let deed = SocketDeed::Disconnect { close: true };
    home.order_away(&SocketOrder { namespace: "/other".into(), rooms, not_to: None, deed }, &rooms_map(), 6);
    assert!(over(&mut home).is_empty());
    // A user.
    home.end_away_of("ben", |_| true);
    assert!(over(&mut home).is_empty());
    home.end_away_of("ann", |place| place.conn != 3);
    assert_eq!(over(&mut home), [1, 4]);
    assert!(returned(&mut home, 3).is_some());
    // One in too many rooms.
    home.park(now(0), away(5, "a", 0));
    order(&mut home, &[], &[], join(&["1", "2", "3", "4"]));
    assert_eq!(over(&mut home), [5]);
    let bytes = home.history_bytes();
    home.park(now(0), away(6, "a", 0));
    order(&mut home, &[], &[], join(&["1"]));
    order(&mut home, &[], &[], SocketDeed::Fetch);
    assert!(home.history_bytes() > bytes);
    order(&mut home, &[], &[], SocketDeed::Disconnect { close: false });
    assert_eq!((over(&mut home), home.history_bytes()), (vec![6], bytes));
}

/// It gets what was sent while it was in a room, and only that.
#[test]
fn a_room_counts_from_the_order_and_up_to_it() {
    let mut home = home(limits());
    enter(&mut home, 9);
    home.park(now(0), away(1, "a", 0));
    let to = |home: &mut Home, name: &str| send(home, 0, &Sent { to: &[name], ..Sent::default() });
    let mut expected = Vec::new();
    to(&mut home, "b");
    for _ in 0..2 {
        expected.push(to(&mut home, "a"));
        order(&mut home, &[], &[], join(&["b"]));
        order(&mut home, &[], &[], leave("a"));
        to(&mut home, "a");
        expected.push(to(&mut home, "b"));
        order(&mut home, &[], &[], join(&["a"]));
        order(&mut home, &[], &[], leave("b"));
        to(&mut home, "b");
    }
    assert_eq!(missed(&mut home, 0, asked(1, None)), Some(expected));
}

#[test]
fn a_room_that_others_share_is_entered_with_a_seat() {
    let mut home = home(limits());
    enter(&mut home, 9);
    home.park(now(0), away(1, "a", 0));
    order(&mut home, &[], &[], SocketDeed::Join(["chat:x".into(), "chat:y".into()].into()));
    order(&mut home, &[], &[], SocketDeed::Leave(["chat:y".into()].into()));
    assert_eq!(home.presence_count(), 0);
    assert_eq!(returned(&mut home, 1).unwrap(), ["a", "chat:x"]);
    assert_eq!(home.presence_count(), 1);
}

/// Sockets that are away may miss a publication of a channel that is a room, whoever is in the channel.
#[test]
fn a_publication_without_subscribers_is_sent_on_where_sockets_can_return() {
    let key = |key: &str| Terms { idempotency_key: Some(key.into()), ..Terms::default() };
    let version = |version| Terms { version, ..Terms::default() };
    let mut with = home(limits());
    let mut without = Home::new(LIMITS, (Seed::from(7), 0));
    let sent = |home: &mut Home, options: &Arc<ChannelOptions>, terms: Terms, is_emitted: bool| {
        let publication = Box::new(Publication { is_emitted, ..*publication("chat:a", b"1") });
        let done = home.handle_publish(now(0), publication, Arc::clone(options), terms, (None, None));
        let Some(Done::Published { outcome: Ok(Published { delivery, .. }), .. }) = done else { panic!() };
        delivery.map(|(_, shards)| assert!(shards.is_empty())).is_some()
    };
    for options in [no_history(), history(10, 1000)] {
        let name = if options.keeps_history() { "kept" } else { "not kept" };
        assert!(sent(&mut with, &options, Terms::default(), false));
        assert!(sent(&mut with, &options, key(name), false) && !sent(&mut with, &options, key(name), false));
        assert!(!sent(&mut with, &options, Terms::default(), true), "as an event it is on its way");
        assert!(!sent(&mut without, &options, Terms::default(), false));
    }
    let options = history(10, 1000);
    assert!(sent(&mut with, &options, version(5), false) && !sent(&mut with, &options, version(5), false));
}
