//! Commands of a Centrifuge client.

use std::collections::VecDeque;

use serde_json::Value;
use serde_json::value::RawValue;
use throng::parts::base::payload::PayloadRef;
use throng::parts::hub::Position;
use throng::parts::hub::words::{Ask, Denied, Entered, Identified, Reply};
use throng::parts::proto::centrifuge::commands;
use throng::parts::proto::centrifuge::message::Encoding;
use throng::parts::proto::ws::Deflate;
use throng::parts::session::centrifuge::{Centrifuge, Opening};
use throng::parts::session::wire::Wire;
use throng::parts::session::{Action, CloseReason, Session, Transport};

use super::{Driver, server_frames};

/// Frames of a client that has connected, each ended by a zero byte.
///
/// # Panics
/// When something does not hold that must.
pub fn centrifuge_commands(data: &[u8]) {
    let (transport, encoding, deflate) = (Transport::WebSocket, Encoding::Json, Deflate::Off);
    let session = Centrifuge::new(Wire { transport, encoding, deflate }, Opening::default());
    let mut driver = Driver::new(Session::Centrifuge(session));
    let connected = driver.receive([client_frame(br#"{"id":1,"connect":{}}"#).as_slice()]);
    assert_eq!((connected, answer_all(&mut driver)), (Ok(()), vec![1]));
    for frame in data.split(|&byte| byte == 0) {
        driver.out.clear();
        let wanted = wanted_replies(frame);
        let outcome = driver.receive([client_frame(frame).as_slice()]);
        let immediate = replies(&driver.out);
        let later = answer_all(&mut driver);
        match outcome {
            Ok(()) => {
                let mut got = [immediate, later].concat();
                got.sort_unstable();
                assert_eq!(Some(got), wanted, "each command with an id is answered once");
            }
            Err(CloseReason::BadRequest) => return,
            Err(CloseReason::Violation(_)) => {
                assert!(std::str::from_utf8(frame).is_err() || frame.len() > 1 << 16);
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The ids that a frame of good commands asks for, sorted; `None` when they are not all good.
fn wanted_replies(frame: &[u8]) -> Option<Vec<u64>> {
    let mut ids = Vec::new();
    let mut count = 0;
    for command in commands(Encoding::Json, frame) {
        let command = command.ok()?;
        count += 1;
        assert!(count <= frame.len(), "a command takes at least one byte");
        if command.id > 0 {
            ids.push(u64::from(command.id));
        }
    }
    ids.sort_unstable();
    // A message to the server itself may carry no id; whoever gives it one is a bad request.
    Some(ids)
}

/// Ids of the replies in what the server wrote: frames of text, one JSON object per line.
fn replies(out: &[u8]) -> Vec<u64> {
    let mut ids = Vec::new();
    for (opcode, payload) in server_frames(out) {
        assert_eq!(opcode, 1);
        let text = std::str::from_utf8(payload).expect("text frames are text");
        for line in text.split('\n') {
            let reply: Value = serde_json::from_str(line).expect("one JSON object per line");
            ids.push(reply["id"].as_u64().expect("a reply has an id"));
        }
    }
    ids
}

/// Answers what the session asked of its shard, half of it with an error; the ids of those replies.
fn answer_all(driver: &mut Driver) -> Vec<u64> {
    driver.out.clear();
    let mut actions: VecDeque<Action> = std::mem::take(&mut driver.actions).into();
    let mut count = 0;
    while let Some(action) = actions.pop_front() {
        let (id, ask) = match action {
            Action::Ask { id, ask } => (id, ask),
            // Answered already; the shard writes down why.
            Action::Misused { id, detail } => {
                assert!(id != 0 && !detail.is_empty());
                continue;
            }
            // Those before it are done: it is its turn.
            Action::Wait { id, deferred } => {
                driver.with(|session, handler, cx| {
                    assert_eq!(session.resume(id, deferred, handler, cx), Ok(()));
                });
                std::mem::take(&mut driver.actions).into_iter().rev().for_each(|one| actions.push_front(one));
                continue;
            }
            other @ (Action::SetTimer { .. }
            | Action::Forward { .. }
            | Action::HandOver(_)
            | Action::SocketAnswered(_)
            | Action::Park(_)
            | Action::Poll(_)
            | Action::Upgrade(_)
            | Action::Probe { .. }
            | Action::UserLeft { .. }
            | Action::WrongKey) => {
                panic!("{other:?} is not a client's to ask")
            }
        };
        assert!(id != 0, "what is asked for is answered");
        let none = Position::default();
        let reply = reply_to(&ask, &none, driver.settings.channel_name_bytes_max);
        driver.with(|session, handler, cx| match count % 2 {
            0 => assert_eq!(session.reply(id, &reply, handler, cx), Ok(())),
            _ => session.deny(id, &Denied::Limit, cx),
        });
        count += 1;
    }
    replies(&driver.out)
}

/// The reply to a request of a client.
fn reply_to<'a>(ask: &'a Ask, none: &'a Position, name_bytes_max: usize) -> Reply<'a> {
    let name = |channel: &str| assert!(!channel.is_empty() && channel.len() <= name_bytes_max);
    match ask {
        Ask::Identify(_) => Reply::Identified(Identified::default()),
        Ask::Enter(enter) => {
            name(&enter.channel);
            Reply::Entered(Entered::default())
        }
        Ask::Publish { channel, data, .. } => {
            name(channel);
            // Not as a value: texts in it may hold halves of characters.
            assert!(serde_json::from_slice::<&RawValue>(data).is_ok(), "data is JSON");
            Reply::Published
        }
        Ask::Leave { .. } => Reply::Left,
        Ask::Presence { .. } => Reply::Presence(&[]),
        Ask::PresenceStats { .. } => Reply::PresenceStats { client_count: 0, user_count: 0 },
        Ask::History { .. } => Reply::History { publications: &[], position: none },
        Ask::Call { data, .. } => Reply::Called(PayloadRef::of(data)),
        Ask::Renew { .. } => Reply::Renewed { ttl_s: 0 },
        Ask::RenewIn { .. } => Reply::RenewedIn { ttl_s: 0 },
        Ask::Claim(_)
        | Ask::Emit(_)
        | Ask::OrderSockets(_)
        | Ask::LeaveGroup { .. }
        | Ask::Return(_)
        | Ask::Event(_)
        | Ask::Ended(_)
        | Ask::Rooms { .. } => {
            panic!("{ask:?} is not a client's to ask")
        }
    }
}

/// Masked with zeros: as it is. Text when it can be.
fn client_frame(payload: &[u8]) -> Vec<u8> {
    let opcode = if std::str::from_utf8(payload).is_ok() { 0x81 } else { 0x82 };
    let mut frame = vec![opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
