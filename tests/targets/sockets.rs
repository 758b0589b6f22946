//! Sessions of Socket.IO: any packets of a client, in any pieces.

use throng::SocketIoOptions;
use throng::parts::base::networks::Networks;
use throng::parts::hub::rooms::RoomMap;
use throng::parts::hub::words::{Ask, Entered, Reply};
use throng::parts::proto::socketio::{SocketProtocol, msgpack, read};
use throng::parts::proto::ws::{Limits, Press};
use throng::parts::session::{
    Action, ClaimRules, ClientId, CloseReason, ConnectRate, Context, Counts, Forwarded, Secret, Session,
    Settings, Told,
};
use throng::socketio::{Acked, Admit, Binary, Connecting, Ending, Event, Events, Gone, Socket, SocketIo};

use super::{cut, endpoints, server_frames};

const HEAD: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const TEXT: u8 = 1;
/// Limit of a packet with its attachments.
const PAYLOAD_BYTES_MAX: usize = 600;

/// Sends back what comes, and counts its sockets.
#[derive(Default)]
struct App {
    live: usize,
}

impl Events for App {
    type State = ();

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<()> {
        if connecting.namespace.len() > 5 {
            return Admit::unknown_namespace();
        }
        self.live += 1;
        Admit::In(())
    }

    fn connected(&mut self, (): &mut (), socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        Ok(socket.emit_for_ack("hello", &("a", Binary(7)), 1, Some(50))?)
    }

    fn event(&mut self, (): &mut (), event: Event<'_>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        let Event { name, args, attachments, ack } = event;
        match name {
            "leave" => return Err(Ending::Disconnect),
            "all" => return Err(Ending::DisconnectAll),
            "ask" => socket.emit_for_ack("question", &(), 2, None)?,
            "room" => socket.join(name)?,
            _ => {}
        }
        socket.others().to(name.get(..3).unwrap_or("r")).emit_raw("told", args, attachments)?;
        match ack {
            Some(ack) => Ok(socket.ack_raw(ack, args, attachments)?),
            None => Ok(socket.emit_raw("back", args, attachments)?),
        }
    }

    fn acked(
        &mut self,
        (): &mut (),
        token: u64,
        acked: Acked<'_>,
        socket: &mut Socket<'_, '_>,
    ) -> Result<(), Ending> {
        Ok(socket.emit("acked", &(token, matches!(acked, Acked::TimedOut)))?)
    }

    fn closed(&mut self, (): (), gone: &mut Gone<'_>) {
        self.live -= 1;
        gone.everyone().emit("gone", &()).expect("nothing is wrong with it");
    }
}

/// The language of the client and the endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Json,
    MsgPack,
    /// Engine.IO 3.
    Old,
}

/// The first four bytes are a plan for cutting, the fifth says whether the endpoint speaks msgpack, or the client Engine.IO
/// 3. Then come messages: a byte that says whether it is binary, its length, and its bytes.
///
/// # Panics
/// When something does not hold that must.
pub fn socketio_session(data: &[u8]) {
    let (plan, rest) = data.split_at(data.len().min(4));
    let Some((&flags, mut left)) = rest.split_first() else { return };
    let mut bytes = Vec::new();
    while let [kind, length, rest @ ..] = left {
        let (payload, behind) = rest.split_at(usize::from(*length).min(rest.len()));
        left = behind;
        bytes.push(0x80 | if kind & 1 == 0 { TEXT } else { 2 });
        match u8::try_from(payload.len()) {
            Ok(short) if short < 126 => bytes.push(0x80 | short),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(payload.len()).unwrap_or_default().to_be_bytes());
            }
        }
        // A mask of zeros changes nothing.
        bytes.extend([0; 4]);
        bytes.extend_from_slice(payload);
    }
    let speech = match flags & 3 {
        0 => Speech::Json,
        2 => Speech::Old,
        _ => Speech::MsgPack,
    };
    let whole = lived(&[&bytes], speech);
    assert_eq!(lived(&cut(&bytes, plan), speech), whole, "pieces change nothing");
}

/// The output of a session for these pieces, and its end.
fn lived(pieces: &[&[u8]], speech: Speech) -> (Vec<u8>, Result<(), CloseReason>) {
    let mut life = Life::new(speech);
    let head = if speech == Speech::Old { HEAD.replace("EIO=4", "EIO=3") } else { HEAD.to_owned() };
    life.call(0, |session, app, cx| session.receive(&mut head.into_bytes(), app, cx))
        .expect("a good request");
    let connect: &[u8] = match speech {
        Speech::Json => b"\x81\x82\0\0\0\x0040",
        Speech::MsgPack => b"\x82\x8d\0\0\0\0\x82\xa4type\x00\xa3nsp\xa1/",
        // It does not ask to be connected: any packet shows that it has begun.
        Speech::Old => b"\x81\x81\0\0\0\x002",
    };
    life.call(0, |session, app, cx| session.receive(&mut connect.to_vec(), app, cx)).expect("a good packet");
    life.answer();
    let mut outcome = pieces.iter().try_for_each(|piece| {
        life.call(20, |session, app, cx| session.receive(&mut piece.to_vec(), app, cx))
    });
    if outcome.is_ok() {
        assert!(
            life.session.held_bytes() < 3 * PAYLOAD_BYTES_MAX + (32 << 10),
            "{}",
            life.session.held_bytes()
        );
        life.answer();
        outcome = life.call(100, |session, app, cx| session.timer(app, cx));
    }
    let Life { session, mut app, settings, out, .. } = life;
    let (reason, mut actions) = (outcome.clone().err().unwrap_or(CloseReason::Hangup), Vec::new());
    session.closed(&mut app, client(), &reason, (&settings, &mut actions));
    assert_eq!(app.0.live, 0, "each state is returned");
    check(&out, speech);
    (out, outcome)
}

/// Every message is a packet that a client can read.
fn check(out: &[u8], speech: Speech) {
    let head = out.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let mut attachments = 0;
    for (opcode, payload) in server_frames(&out[head..]).into_iter().skip(1) {
        if opcode != TEXT && attachments > 0 {
            assert!(
                speech != Speech::Old || payload.first() == Some(&4),
                "its type is in front: {payload:?}"
            );
            attachments -= 1;
            continue;
        }
        assert_eq!(attachments, 0, "attachments stand directly behind their packet");
        if opcode != TEXT {
            assert!(speech == Speech::MsgPack && msgpack::read(payload).is_ok(), "{payload:?}");
            continue;
        }
        let text = std::str::from_utf8(payload).expect("text is text");
        let Some(packet) = text.strip_prefix('4') else {
            assert!(if speech == Speech::Old { text.starts_with('3') } else { text == "2" }, "{text}");
            continue;
        };
        let protocol = if speech == Speech::Old { SocketProtocol::V4 } else { SocketProtocol::V5 };
        attachments = read(protocol, packet, 10).expect("a packet").1;
    }
    assert_eq!(attachments, 0, "no attachment is missing");
}

fn client() -> ClientId {
    ClientId { seed: 1.into(), shard: 2, token: 3 }
}

/// A session with its application.
struct Life {
    session: Session<()>,
    app: SocketIo<App>,
    settings: Settings,
    out: Vec<u8>,
    actions: Vec<Action>,
}

impl Life {
    fn new(speech: Speech) -> Self {
        let socketio = SocketIoOptions {
            is_msgpack: speech == Speech::MsgPack,
            allow_eio3: speech == Speech::Old,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            namespaces_max: 3,
            ..SocketIoOptions::default()
        };
        let settings = Settings {
            endpoints: endpoints(),
            head_bytes_max: 1 << 10,
            ws: Limits { frame_bytes_max: 1, message_bytes_max: 1 },
            channel_name_bytes_max: 20,
            outbox_bytes_max: 1 << 20,
            limits_calls: false,
            secret: Secret::new(1.into()),
            trusted_proxies: Networks::default(),
            rules_version: 0,
            claims: ClaimRules::default(),
            packet_rates: None,
            late: None,
            connects: ConnectRate::default(),
            socketio,
            rooms: RoomMap::default(),
        };
        let session = Session::begin(throng::parts::session::Speaks::Http);
        Self { session, app: SocketIo(App::default()), settings, out: Vec::new(), actions: Vec::new() }
    }

    fn call<R>(
        &mut self,
        now_ms: u64,
        call: impl FnOnce(&mut Session<()>, &mut SocketIo<App>, &mut Context<'_>) -> R,
    ) -> R {
        let mut cx = Context {
            now_ms,
            user: "",
            certificate: None,
            settings: &self.settings,
            client: client(),
            out: &mut self.out,
            apart: &mut Vec::new(),
            waiting_bytes: 0,
            is_behind: false,
            in_place: None,
            actions: &mut self.actions,
            forwarded: Forwarded::default(),
            reach: &mut throng::parts::hub::reach::Reach::new(7.into(), 0, 1),
            press: &mut Press::new(None),
            counts: Counts::default(),
            told: &Told::default(),
            notes: &mut Vec::new(),
        };
        call(&mut self.session, &mut self.app, &mut cx)
    }

    /// Answers requests to enter channels.
    fn answer(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            if let Action::Ask { ask: Ask::Enter(enter), .. } = action {
                let reply = Reply::Entered(Entered { channel: &enter.channel, ..Entered::default() });
                self.call(20, |session, app, cx| session.reply(0, &reply, app, cx)).expect("it goes on");
            }
        }
    }
}
