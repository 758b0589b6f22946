//! Clients that violate the protocol, each with the status or close code that it must get.

use crate::conduct::{Conduct, Expect, Io};
use crate::fan::PATH;
use crate::model::Model;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::wire::{self, BINARY, CONTINUATION, Frame, PING, TEXT};

/// Sends an invalid message, and checks the answer.
#[derive(Debug)]
pub(crate) struct Rogue {
    hello: Vec<u8>,
    /// Sent after the handshake.
    wrong: Vec<u8>,
    expect: Expect,
    drain_code: u16,
}

impl Rogue {
    pub(crate) fn new(rng: &mut Rng, plan: &Plan) -> Self {
        if rng.chance(40) {
            return Self::refused(rng, plan);
        }
        let mut rogue = Self::failed(rng, plan);
        // A client need not wait for an answer: its end may arrive in one read with the request.
        if rng.chance(50) {
            rogue.hello.append(&mut rogue.wrong);
        }
        rogue
    }

    /// One that does not get past the handshake.
    fn refused(rng: &mut Rng, plan: &Plan) -> Self {
        let good = String::from_utf8(wire::upgrade(PATH)).unwrap();
        let head_bytes_max = plan.config.limits.head_bytes_max;
        let (status, hello) = match rng.range(0..=9) {
            0 => (400, "\x16\x03\x01 this is not HTTP\r\n\r\n".to_owned()),
            1 => (404, good.replace(PATH, "/nowhere")),
            2 => (405, good.replace("GET", "POST")),
            3 => (426, good.replace("Upgrade: websocket\r\n", "")),
            4 => (426, good.replace("Version: 13", "Version: 12")),
            5 => (400, good.replace("Key: ", "Key: not-a-key")),
            6 => (431, good.replace("Host: sim", &format!("Host: {}", "x".repeat(head_bytes_max)))),
            7 => (403, good.replace(PATH, "/locked")),
            8 => (400, good.replace("Host: sim", "Content-Length: 5")),
            _ => (408, good[..rng.size(0..=good.len() - 1)].to_owned()),
        };
        Self { hello: hello.into_bytes(), wrong: Vec::new(), expect: Expect::Status(status), drain_code: 0 }
    }

    /// One that gets past the handshake, but no further.
    fn failed(rng: &mut Rng, plan: &Plan) -> Self {
        let limits = &plan.config.limits;
        let is_raw = rng.chance(50);
        let mut wrong = Vec::new();
        let out = &mut wrong;
        let code = match rng.range(0..=if is_raw { 8 } else { 13 }) {
            0 => {
                out.extend(b"\x81\x02hi");
                1002
            }
            1 => {
                wire::put_frame(out, true, 3, b"", rng);
                1002
            }
            2 => {
                wire::put_frame(out, true, CONTINUATION, b"what?", rng);
                1002
            }
            3 => {
                wire::put_frame(out, false, PING, b"", rng);
                1002
            }
            4 => {
                wire::put_frame(out, false, TEXT, b"one", rng);
                wire::put_frame(out, true, TEXT, b"two", rng);
                1002
            }
            5 => {
                wire::put_frame(out, true, TEXT, b"\xff\xfe", rng);
                1007
            }
            6 => {
                wire::put_frame(out, false, TEXT, b"cut in two: \xe2\x82", rng);
                wire::put_frame(out, true, CONTINUATION, b"x", rng);
                1007
            }
            7 => {
                wire::put_frame(out, true, BINARY, &vec![0; limits.frame_bytes_max + 1], rng);
                1009
            }
            8 => {
                let half = vec![b'x'; limits.message_bytes_max / 2 + 1];
                wire::put_frame(out, false, TEXT, &half, rng);
                wire::put_frame(out, true, CONTINUATION, &half, rng);
                1009
            }
            9 => bad_request(out, b"not json", rng),
            10 => bad_request(out, br#"{"id":1,"publish":{"channel":"c0","data":1}}"#, rng),
            11 => bad_request(out, b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}", rng),
            12 => behind_refusals(out, rng),
            _ => bad_request(out, b"{\"id\":1,\"connect\":{}}\n{\"subscribe\":{\"channel\":\"c0\"}}", rng),
        };
        let path = if is_raw { "/echo" } else { PATH };
        let drain_code = if is_raw { 1012 } else { 3001 };
        Self { hello: wire::upgrade(path), wrong, expect: Expect::Code(code), drain_code }
    }
}

fn bad_request(out: &mut Vec<u8>, payload: &[u8], rng: &mut Rng) -> u16 {
    wire::put_frame(out, true, TEXT, payload, rng);
    3501
}

/// Any command behind connects that get errors: in the same message, where it is dropped, or in the next.
fn behind_refusals(out: &mut Vec<u8>, rng: &mut Rng) -> u16 {
    let channel = r#"{"channel":"c0"}"#;
    let (expired, denied) = (r#"{"token":"expired"}"#, r#"{"token":"denied"}"#);
    let mut lines: Vec<String> = (1..=rng.range(1..=2))
        .map(|id| format!(r#"{{"id":{id},"connect":{}}}"#, rng.pick(&[expired, denied])))
        .collect();
    let methods =
        ["subscribe", "unsubscribe", "publish", "presence", "history", "rpc", "ping", "sub_refresh"];
    let count = rng.range(1..=5);
    lines.extend((3..3 + count).map(|id| format!(r#"{{"id":{id},"{}":{channel}}}"#, rng.pick(&methods))));
    if rng.chance(50) {
        let last = lines.last().cloned().unwrap_or_default();
        wire::put_frame(out, true, TEXT, lines.join("\n").as_bytes(), rng);
        return bad_request(out, last.as_bytes(), rng);
    }
    lines.iter().for_each(|line| wire::put_frame(out, true, TEXT, line.as_bytes(), rng));
    3501
}

impl Conduct for Rogue {
    fn hello(&mut self, io: &mut Io) {
        io.out.append(&mut self.hello);
    }

    fn opened(&mut self, io: &mut Io, _: &mut Model) {
        io.out.append(&mut self.wrong);
    }

    /// Messages before the invalid one are still answered.
    fn message(&mut self, _: Frame, _: &mut Io, _: &mut Model) {}

    fn act(&mut self, _: &mut Io, _: &mut Model) {}

    fn over(&mut self, _: &mut Model) {}

    fn check_settled(&self, _: u32) {}

    fn expect(&self) -> (Expect, Option<u64>) {
        (self.expect, None)
    }

    fn drain_code(&self) -> u16 {
        self.drain_code
    }
}
