//! A call over the Centrifuge protocol in JSON, from the frame that arrives to the frame that is the reply, without a
//! socket.

#![expect(clippy::unwrap_used, reason = "what cannot be measured may as well end here")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng::SocketIoOptions;
use throng::parts::base::networks::Networks;
use throng::parts::hub::rooms::RoomMap;
use throng::parts::hub::words::{Identified, Reply};
use throng::parts::proto::centrifuge::message::Encoding;
use throng::parts::proto::ws::{Deflate, Limits, Press};
use throng::parts::session::Told;
use throng::parts::session::centrifuge::{Centrifuge, Opening};
use throng::parts::session::raw::Echo;
use throng::parts::session::wire::Wire;
use throng::parts::session::{
    Action, ClaimRules, ClientId, ConnectRate, Context, Counts, Endpoints, Forwarded, Secret, Session,
    Settings, Transport,
};

/// A client's text frame. The key is zero, so that decoding in place leaves it as it is.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()).unwrap() {
        length @ 0..126 => frame.push(0x80 | length.to_be_bytes()[1]),
        length => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A session whose calls are answered with their argument, and what a shard gives it.
struct Served {
    session: Session<()>,
    handler: Echo,
    settings: Settings,
    out: Vec<u8>,
    actions: Vec<Action>,
    press: Press,
}

impl Served {
    /// One that is connected.
    fn new() -> Self {
        let settings = Settings {
            endpoints: Endpoints::default(),
            head_bytes_max: 1 << 10,
            ws: Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 },
            channel_name_bytes_max: 255,
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
        let wire = Wire { transport: Transport::WebSocket, encoding: Encoding::Json, deflate: Deflate::Off };
        let session = Session::Centrifuge(Centrifuge::new(wire, Opening::default()));
        let (handler, out, actions, press) = (Echo::new("/"), Vec::new(), Vec::new(), Press::new(None));
        let mut served = Self { session, handler, settings, out, actions, press };
        served.receive(&mut frame(r#"{"connect":{},"id":1}"#));
        let reply = Reply::Identified(Identified::default());
        served.with(|session, handler, cx| session.reply(1, &reply, handler, cx)).unwrap();
        served
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut Session<()>, &mut Echo, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now_ms: 0,
            settings: &self.settings,
            client: ClientId { seed: 1.into(), shard: 0, token: 1 },
            user: "",
            certificate: None,
            out: &mut self.out,
            apart: &mut Vec::new(),
            waiting_bytes: 0,
            is_behind: false,
            in_place: None,
            actions: &mut self.actions,
            forwarded: Forwarded::default(),
            reach: &mut throng::parts::hub::reach::Reach::new(7.into(), 0, 1),
            press: &mut self.press,
            counts: Counts::default(),
            told: &Told::default(),
            notes: &mut Vec::new(),
        };
        call(&mut self.session, &mut self.handler, &mut cx)
    }

    /// Takes one frame; what it is answered is in `out` then.
    fn receive(&mut self, frame: &mut [u8]) {
        self.out.clear();
        self.with(|session, handler, cx| session.receive(frame, handler, cx)).unwrap();
    }
}

/// A JSON string, quotes included.
fn string(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

/// Objects with names, numbers and short strings.
fn records(bytes: usize) -> String {
    const RECORD: &str = r#"{"symbol":"ACME","price":1234.5,"size":-20,"open":true,"tags":[]},"#;
    format!("[{}null]", RECORD.repeat(bytes / RECORD.len()))
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("rpc");
    for (name, data) in [
        ("a string of 20 B", string(20)),
        ("a string of 1 KiB", string(1 << 10)),
        ("a string of 16 KiB", string(16 << 10)),
        ("records of 1 KiB", records(1 << 10)),
    ] {
        let mut served = Served::new();
        let mut call = frame(&format!(r#"{{"id":7,"rpc":{{"method":"echo","data":{data}}}}}"#));
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| b.iter(|| served.receive(black_box(&mut call))));
        assert!(served.out.ends_with(format!(r#"{{"id":7,"rpc":{{"data":{data}}}}}"#).as_bytes()));
    }
    group.finish();
}

criterion_group!(rpc, benches);
criterion_main!(rpc);
