//! The fuzz targets in plain `cargo test`: over the committed corpus, and over a short run of mutations of it that is
//! the same every time. The long runs are libFuzzer's, see `fuzz/`; what they find joins the corpus. Without a nightly
//! compiler this goes a long way, too:
//!
//! ```text
//! THRONG_MUTATIONS=1000000 THRONG_SEED=7 cargo test --release --test corpus conversation
//! ```
//!
//! An input that overflows the stack is not reported by a panic: its thread is named by the input's number, and with
//! `THRONG_TRACE=1` and `--nocapture` each input is printed before it is tried.

#![expect(clippy::unwrap_used, reason = "test code, also in its own small functions")]

use std::fs;
use std::path::Path;
use std::thread;

pub mod targets;

/// Default of THRONG_MUTATIONS.
const MUTATIONS: u64 = 2000;
/// Default of THRONG_SEED.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Larger inputs show nothing that these do not.
const BYTES_MAX: usize = 1 << 12;

/// Prints the input when the target panics with it.
struct Told<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { name, input } = self;
            eprintln!("target {name}, to be kept in tests/corpus/{name}: \"{}\"", input.escape_ascii());
        }
    }
}

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut seeds: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "{} seeds in {}", seeds.len(), folder.display());
    let is_traced = std::env::var_os("THRONG_TRACE").is_some();
    let mut tried = 0;
    let mut check = |input: &[u8]| {
        if is_traced {
            eprintln!("{name}, input {tried}: \"{}\"", input.escape_ascii());
        }
        let thread = thread::Builder::new().name(format!("{name}, input {tried}"));
        tried += 1;
        let outcome = thread::scope(|scope| {
            let spawned = thread.spawn_scoped(scope, || {
                let _told = Told { name, input };
                target(input);
            });
            spawned.unwrap().join()
        });
        assert!(outcome.is_ok(), "target {name}, see above");
    };
    seeds.iter().for_each(|seed| check(seed));
    // A state of 0 would stay 0.
    let mut random = Random(number("THRONG_SEED").unwrap_or(SEED).max(1));
    for _ in 0..number("THRONG_MUTATIONS").unwrap_or(MUTATIONS) {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        input.truncate(BYTES_MAX);
        check(&input);
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// One change of the kinds that find most: bits, bytes that matter, pieces that vanish, repeat or come from elsewhere.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    const MATTER: &[u8] = b"\x00\x7f\x80\x81\xff\r\n:;,{}[]\"\\ 0\x88\x89\xfe";
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = MATTER[random.below(MATTER.len())],
        2 => input.insert(at, MATTER[random.below(MATTER.len())]),
        3 => drop(input.drain(at..end)),
        4 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        5 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => input.truncate(at),
    }
}

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % bound.max(1)
    }
}

#[test]
fn http_head() {
    run("http_head", targets::http_head);
}

#[test]
fn proxy_header() {
    run("proxy_header", targets::proxy_header);
}

#[test]
fn ws_stream() {
    run("ws_stream", targets::ws_stream);
}

#[test]
fn socketio_session() {
    run("socketio_session", targets::socketio_session);
}

#[test]
fn centrifuge_commands() {
    run("centrifuge_commands", targets::centrifuge_commands);
}

#[test]
fn tls_records() {
    run("tls_records", targets::tls_records);
}

#[test]
fn tls_handshake() {
    run("tls_handshake", targets::tls_handshake);
}

#[test]
fn wheel_ops() {
    run("wheel_ops", targets::wheel_ops);
}

#[test]
fn api_bodies() {
    run("api_bodies", targets::api_bodies);
}

#[test]
fn json_commands() {
    run("json_commands", targets::json_commands);
}

#[test]
fn protobuf_commands() {
    run("protobuf_commands", targets::protobuf_commands);
}

#[test]
fn connect_request() {
    run("connect_request", targets::connect_request);
}

#[test]
fn emulation_request() {
    run("emulation_request", targets::emulation_request);
}

#[test]
fn fossil_delta() {
    run("fossil_delta", targets::fossil_delta);
}

#[test]
fn deflate() {
    run("deflate", targets::deflate);
}

#[test]
fn token() {
    run("token", targets::token);
}

#[test]
fn conversation() {
    run("conversation", targets::conversation);
}

#[test]
fn engine_packets() {
    run("engine_packets", targets::engine_packets);
}

#[test]
fn socketio_packets() {
    run("socketio_packets", targets::socketio_packets);
}

#[test]
fn socketio_msgpack() {
    run("socketio_msgpack", targets::socketio_msgpack);
}
