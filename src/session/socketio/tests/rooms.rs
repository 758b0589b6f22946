//! Rooms: the requests to the shard.

use super::*;
use crate::hub::DataKind;
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::{Denied, Dismissed, Emit as AskEmit, Enter};
use crate::session::Action::Ask as Asked;

/// The requests of a session, without its own timers.
fn asks(talk: &mut Talk) -> Vec<Ask> {
    let asks = std::mem::take(&mut talk.actions)
        .into_iter()
        .filter_map(|action| if let Asked { id: 0, ask } = action { Some(ask) } else { None });
    asks.collect()
}

/// The place of the second socket of the connection.
const SECOND: SocketPlace = SocketPlace { shard: 0, conn: 1, number: 1 };

fn emit(to: &[&str], except: &[&str], is_to_others: bool, data: &str) -> AskEmit {
    let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let (kind, data) = (DataKind::Text, data.as_bytes().to_vec());
    let sender = is_to_others.then_some(SECOND);
    AskEmit { to: list(to), except: list(except), is_to_others, sender, kind, data, ..AskEmit::default() }
}

#[test]
fn rooms_are_channels_of_their_namespace() {
    let mut talk = Talk::connected(|_| {});
    talk.send("40/custom").unwrap();
    talk.actions.clear();
    talk.call(|session, app, cx| {
        session.receive(&mut b"\x81\x92\0\0\0\x0042/custom,[\"join\"]".to_vec(), app, cx)
    })
    .unwrap();
    let joined = emit(&["\u{1}/custom,room"], &["\u{1}/custom,b"], true, "2/custom,[\"joined\",\"x\"]");
    assert_eq!(
        asks(&mut talk),
        [
            Ask::Enter(Box::new(Enter::new("\u{1}/custom,room".into()))),
            Ask::Leave { channel: "\u{1}/custom,other".into() },
            Ask::Emit(Box::new(AskEmit { is_volatile: true, ..joined })),
        ]
    );
    talk.send("42[\"everyone\",1]").unwrap();
    assert_eq!(asks(&mut talk), [Ask::Emit(Box::new(emit(&["\u{1}/"], &[], false, "2[\"all\",1]")))]);
    // The end of a socket: it leaves its rooms, then the application may tell others.
    talk.send("41/custom").unwrap();
    let gone = |namespace: &str| {
        let (to, data) = (format!("\u{1}{namespace},room"), format!("2{namespace},[\"gone\"]"));
        Ask::Emit(Box::new(emit(&[&to], &[], false, &data.replace("2/,", "2"))))
    };
    let leave = Ask::LeaveGroup { group: "\u{1}/custom".into() };
    assert_eq!(asks(&mut talk), [leave, gone("/custom")]);
    let Talk { session, mut app, settings, mut actions, .. } = talk;
    session.closed(&mut app, client(1), &CloseReason::Hangup, (&settings, &mut actions));
    assert_eq!(actions, [Asked { id: 0, ask: gone("/") }]);
}

#[test]
fn a_name_that_is_too_long_and_a_room_that_cannot_be_entered_end_the_connection_with_the_reason() {
    let mut talk = Talk::connected(|_| {});
    let outcome = talk.send("42[\"far\"]");
    let reason = "the room's name is longer than channel_name_bytes_max".to_owned();
    assert_eq!(outcome, Err(CloseReason::Handler { code: 1011, reason }));

    let mut talk = Talk::connected(|_| {});
    let mut refused = |channel: &str, denied: Denied| {
        let reply = Reply::NotEntered { channel, denied: &denied };
        talk.call(|session, app, cx| session.reply(0, &reply, app, cx))
    };
    refused("\u{1}/,room", Denied::AlreadyIn).unwrap();
    let limit = Err(CloseReason::Dismissed(Dismissed::ChannelLimit));
    assert_eq!(refused("\u{1}/,room", Denied::Limit), limit);
    assert_eq!(refused("\u{1}/,room", Denied::TooMany), Err(CloseReason::Dismissed(Dismissed::TooMany)));

    // A namespace that cannot be entered is refused, and its state is returned.
    let mut talk = Talk::connected(|_| {});
    talk.call(|session, app, cx| session.receive(&mut b"\x81\x89\0\0\0\x0040/custom".to_vec(), app, cx))
        .unwrap();
    let reply = Reply::NotEntered { channel: "\u{1}/custom", denied: &Denied::TooMany };
    talk.call(|session, app, cx| session.reply(0, &reply, app, cx)).unwrap();
    assert_eq!(talk.texts(), ["44/custom,{\"message\":\"too many requests\"}"]);
    assert_eq!(talk.app.0.ended, ["/custom server namespace disconnect"]);
}
