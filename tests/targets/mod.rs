//! The checks of the fuzz targets: arbitrary bytes in, and the properties that hold for all of them.
//!
//! One function per target, without libFuzzer: `tests/corpus.rs` runs the same functions in plain `cargo test`.
//! The main property is the same for every parser of network input: for any cuts of the bytes into pieces, the
//! outcome is that of the whole. Left out: anything that needs a socket or a clock.

mod api;
mod centrifuge;
mod codec;
mod conversation;
mod deflate;
mod handshake;
mod http;
mod proxy;
mod sealer;
mod socketio;
mod sockets;
mod tls;
mod token;
mod wheel;
mod ws;

pub use api::api_bodies;
pub use centrifuge::centrifuge_commands;
pub use codec::{connect_request, emulation_request, fossil_delta, json_commands, protobuf_commands};
pub use conversation::conversation;
pub use deflate::deflate;
pub use handshake::tls_handshake;
pub use http::http_head;
pub use proxy::proxy_header;
pub use socketio::{engine_packets, socketio_msgpack, socketio_packets};
pub use sockets::socketio_session;
pub use tls::tls_records;
pub use token::token;
pub use wheel::wheel_ops;
pub use ws::ws_stream;

use throng::SocketIoOptions;
use throng::parts::base::networks::Networks;
use throng::parts::hub::rooms::RoomMap;
use throng::parts::proto::ws::{Limits, Press, put_frame};
use throng::parts::session::Told;
use throng::parts::session::raw::Echo;
use throng::parts::session::{
    Action, ClaimRules, ClientId, CloseReason, ConnectRate, Context, Counts, Endpoint, Endpoints, Forwarded,
    InPlace, Secret, Serves, Session, Settings, Transport,
};

/// All endpoints, where they usually are.
fn endpoints() -> Endpoints {
    let page = Endpoint { path: "/".to_owned(), serves: Serves::Page("a page") };
    let socketio = Endpoint { path: "/socket.io/".to_owned(), serves: Serves::SocketIo };
    let transports = [vec![Endpoint::usual(Transport::WebSocket)], Endpoint::beside_websocket()];
    Endpoints {
        table: transports.into_iter().flatten().chain([socketio, page]).collect(),
        node: "n".to_owned(),
        ..Endpoints::default()
    }
}

/// A session with its handler, driven by hand.
struct Driver {
    session: Session<()>,
    handler: Echo,
    settings: Settings,
    out: Vec<u8>,
    actions: Vec<Action>,
    press: Press,
    counts: Counts,
}

impl Driver {
    fn new(session: Session<()>) -> Self {
        let settings = Settings {
            endpoints: endpoints(),
            head_bytes_max: 1 << 20,
            ws: Limits { frame_bytes_max: 1 << 16, message_bytes_max: 1 << 16 },
            channel_name_bytes_max: 20,
            outbox_bytes_max: 1 << 20,
            limits_calls: false,
            secret: Secret::new(1.into()),
            trusted_proxies: Networks::default(),
            socketio: SocketIoOptions::default(),
            rules_version: 0,
            claims: ClaimRules::default(),
            packet_rates: None,
            late: None,
            rooms: RoomMap::default(),
            connects: ConnectRate::default(),
        };
        let handler = Echo::new("/echo");
        let (out, actions, press, counts) = (Vec::new(), Vec::new(), Press::new(None), Counts::default());
        Self { session, handler, settings, out, actions, press, counts }
    }

    /// Calls the session with a context, and keeps what it counted.
    fn with<R>(&mut self, call: impl FnOnce(&mut Session<()>, &mut Echo, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now_ms: 0,
            user: "",
            certificate: None,
            settings: &self.settings,
            client: ClientId { seed: 1.into(), shard: 2, token: 3 },
            out: &mut self.out,
            apart: &mut Vec::new(),
            waiting_bytes: 0,
            is_behind: false,
            in_place: None,
            actions: &mut self.actions,
            forwarded: Forwarded::default(),
            reach: &mut throng::parts::hub::reach::Reach::new(7.into(), 0, 1),
            press: &mut self.press,
            counts: self.counts,
            told: &Told::default(),
            notes: &mut Vec::new(),
        };
        let result = call(&mut self.session, &mut self.handler, &mut cx);
        self.counts = cx.counts;
        result
    }

    /// Gives it these pieces, one after the other, until it ends.
    fn receive<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), CloseReason> {
        pieces.into_iter().try_for_each(|piece| {
            let mut input = piece.to_vec();
            let out_len = self.out.len();
            let (outcome, in_place) = self
                .with(|session, handler, cx| (session.receive(&mut input, handler, cx), cx.in_place.take()));
            if let Some(InPlace { kind, payload }) = in_place {
                // As the shard does: it goes before what else was sent.
                let later = self.out.split_off(out_len);
                put_frame(&mut self.out, kind, &input[payload]);
                self.out.extend(later);
            }
            outcome
        })
    }
}

/// The frames that a server wrote: opcode and payload.
///
/// # Panics
/// When they are not whole, unmasked, final frames without reserved bits.
fn server_frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[0] & 0xf0, 0x80, "final, no reserved bit");
        let (length, start) = match bytes[1] {
            short @ 0..126 => (usize::from(short), 2),
            126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&bytes[2..10]);
                (usize::try_from(u64::from_be_bytes(length)).expect("a length of what lies here"), 10)
            }
            masked => panic!("a server does not mask: {masked:x}"),
        };
        frames.push((bytes[0] & 0x0f, &bytes[start..start + length]));
        bytes = &bytes[start + length..];
    }
    frames
}

/// Cuts `bytes` into pieces whose lengths a plan gives, again and again.
fn cut<'a>(mut bytes: &'a [u8], plan: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = plan.iter().cycle();
    while !bytes.is_empty() {
        let length = lengths.next().map_or(bytes.len(), |&length| usize::from(length).clamp(1, bytes.len()));
        let (piece, rest) = bytes.split_at(length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
