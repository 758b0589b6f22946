//! Messages of hostile clients: requests, commands, ends and orders, each by a letter.

use super::super::harness::rng::Rng;
use super::super::harness::wire::{self, CLOSE, PING, TEXT};
use super::server::KEY;

/// Requests: WebSocket, SSE, HTTP streaming, the same without commands, echo, the clock, the page, an unknown path,
/// and an invalid request.
pub(super) const PATHS: &[u8] = b"wshWSHecpnbx";
/// Number of connect commands among them.
pub(super) const CONNECTS: usize = 11;
/// Commands: connects first, then all others, right and wrong.
pub(super) const WORDS: &[u8] = b"CEINUTSBDKMposrkdvnuPqyzhHlfFgtxb1";
/// Orders: disconnect, unsubscribe, subscribe, expired, refresh, message.
pub(super) const ORDERS: &[u8] = b"dusrRm";

/// Channels: two plain ones, two with history, two with hooks, one without permissions, one of an unknown namespace.
pub(super) fn channel(number: usize) -> String {
    match number % 8 {
        n @ 0..2 => format!("c{n}"),
        n @ 2..4 => format!("h:{n}"),
        n @ 4..6 => format!("k:{n}"),
        6 => "l:locked".to_owned(),
        _ => "nowhere:x".to_owned(),
    }
}

pub(super) fn is_websocket(path: u8) -> bool {
    matches!(path, b'w' | b'W' | b'e' | b'c')
}

/// Whether commands can follow the request.
pub(super) fn takes_commands(path: u8) -> bool {
    !matches!(path, b's' | b'h' | b'W' | b'S' | b'H')
}

pub(super) fn is_uni(path: u8) -> bool {
    matches!(path, b'W' | b'S' | b'H')
}

/// The contents of a connect command. The token's first word is the verdict, see `backend.rs`.
pub(super) fn connect(word: u8, number: usize) -> String {
    let token = match word {
        b'E' => "expired",
        b'I' => "invalid",
        b'N' => "nowhere",
        b'U' => "ok ann",
        b'T' => "denied",
        b'S' => "slow",
        b'B' => "busy",
        b'D' => "out",
        b'K' => {
            let (one, other) = (channel(number), channel(number + 1));
            return format!(
                r#"{{"subs":{{"{one}":{{"recover":true,"epoch":"","offset":0}},"{other}":{{}}}}}}"#
            );
        }
        b'M' => return r#"{"token":5}"#.to_owned(),
        _ => return "{}".to_owned(),
    };
    format!(r#"{{"token":"{token}"}}"#)
}

/// A command with this number, about this channel.
pub(super) fn command(word: u8, id: u32, number: usize) -> String {
    let channel = channel(number);
    let named = format!(r#""channel":"{channel}""#);
    let (method, request) = match word {
        b'p' => ("ping", "{}".to_owned()),
        b'o' => return "{}".to_owned(),
        b's' => ("subscribe", format!("{{{named}}}")),
        b'r' => ("subscribe", format!(r#"{{{named},"recover":true,"offset":0,"epoch":""}}"#)),
        b'k' => ("subscribe", format!(r#"{{{named},"token":"ok {channel}"}}"#)),
        b'd' => ("subscribe", format!(r#"{{{named},"token":"slow"}}"#)),
        b'v' => ("subscribe", format!(r#"{{{named},"token":"expired"}}"#)),
        b'n' => ("subscribe", format!(r#"{{"channel":"n{id}"}}"#)),
        b'u' => ("unsubscribe", format!("{{{named}}}")),
        b'P' => ("publish", format!(r#"{{{named},"data":{{"n":{id}}}}}"#)),
        b'q' => return format!(r#"{{"publish":{{{named},"data":1}}}}"#),
        b'y' => ("presence", format!("{{{named}}}")),
        b'z' => ("presence_stats", format!("{{{named}}}")),
        b'h' => ("history", format!(r#"{{{named},"limit":-1}}"#)),
        b'H' => ("history", format!(r#"{{{named},"limit":1,"reverse":true}}"#)),
        b'l' => ("rpc", r#"{"method":"m","data":{}}"#.to_owned()),
        b'f' => ("refresh", r#"{"token":"ok ann"}"#.to_owned()),
        b'F' => ("refresh", r#"{"token":"expired"}"#.to_owned()),
        b'g' => ("sub_refresh", format!(r#"{{{named},"token":"ok {channel}"}}"#)),
        b't' => return r#"{"send":{"data":1}}"#.to_owned(),
        b'x' => ("unheard_of", "{}".to_owned()),
        b'b' => return "not json".to_owned(),
        b'1' => ("subscribe", r#"{"channel":"\ud83d"}"#.to_owned()),
        connects => ("connect", connect(connects, number)),
    };
    format!(r#"{{"id":{id},"{method}":{request}}}"#)
}

/// The request for a path, with `said` in it, if possible.
pub(super) fn request(path: u8, said: &str) -> Vec<u8> {
    let escaped: String = said.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n").into_bytes();
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n{said}", said.len())
            .into_bytes()
    };
    match path {
        b's' => get(&format!("/connection/sse?cf_connect={escaped}")),
        b'S' => get(&format!("/connection/uni_sse?cf_connect={escaped}")),
        b'h' => post("/connection/http_stream"),
        b'H' => post("/connection/uni_http_stream"),
        b'W' => wire::upgrade(&format!("/connection/uni_websocket?cf_connect={escaped}")),
        b'e' => wire::upgrade("/echo"),
        b'c' => wire::upgrade("/clock"),
        b'p' => get("/"),
        b'n' => wire::upgrade("/nowhere"),
        b'b' => b"\x16\x03\x01 this is not HTTP\r\n\r\n".to_vec(),
        b'x' => b"GET /connection/websocket HTTP/1.1\r\nHost: si".to_vec(),
        _ => wire::upgrade("/connection/websocket"),
    }
}

/// Requests that are answered outside: with a valid key, in chunks, the last one, a key in the query, a wrong key,
/// none, half of one, too large, a health check, its head alone, an upgrade behind one.
pub(super) const REQUESTS: &[u8] = b"rclqwnhtHGu";

/// One of them.
pub(super) fn forwarded(kind: u8) -> Vec<u8> {
    let post = |lines: &str, body: &str| {
        let length = body.len();
        format!("POST /api/publish HTTP/1.1\r\nHost: sim\r\nContent-Length: {length}\r\n{lines}\r\n{body}")
    };
    let key = format!("X-API-Key: {KEY}\r\n");
    let text = match kind {
        b'c' => format!(
            "POST /api/publish HTTP/1.1\r\nHost: sim\r\n{key}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        ),
        b'l' => post(&format!("{key}Connection: close\r\n"), "{}"),
        b'q' => format!("POST /api/publish?api_key={KEY} HTTP/1.1\r\nHost: sim\r\n\r\n"),
        b'w' => post("X-API-Key: wrong\r\n", "{}"),
        b'n' => "POST /api/publish HTTP/1.1\r\nHost: sim\r\nContent-Length: 9\r\n\r\n".to_owned(),
        b'h' => format!("POST /api/publish HTTP/1.1\r\nHost: sim\r\n{key}Content-Length: 9\r\n\r\n12"),
        b't' => format!("POST /api/publish HTTP/1.1\r\nHost: sim\r\n{key}Content-Length: 99999\r\n\r\n{{}}"),
        b'H' => "GET /health HTTP/1.1\r\nHost: sim\r\n\r\n".to_owned(),
        b'G' => "HEAD /health HTTP/1.1\r\nHost: sim\r\n\r\n".to_owned(),
        b'u' => return [post(&key, "{}").into_bytes(), wire::upgrade("/connection/websocket")].concat(),
        _ => post(&key, "{}"),
    };
    text.into_bytes()
}

/// Commands posted for the connection with this session id.
pub(super) fn emulation(session: &str, data: &str) -> Vec<u8> {
    let data = data.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let body = format!(r#"{{"session":"{session}","node":"node","data":"{data}"}}"#);
    format!("POST /emulation HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// The session id in a client's received bytes.
pub(super) fn session_in(heard: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(heard);
    let (_, rest) = text.split_once(r#""session":""#)?;
    rest.split('"').next().map(str::to_owned)
}

/// A frame that ends the connection.
pub(super) fn put_end(out: &mut Vec<u8>, end: u8, rng: &mut Rng) {
    match end {
        b'c' => wire::put_frame(out, true, CLOSE, &1000_u16.to_be_bytes(), rng),
        b'C' => wire::put_frame(out, true, CLOSE, b"\x00", rng),
        b'b' => wire::put_frame(out, true, 3, b"", rng),
        b'u' => out.extend(b"\x81\x02hi"),
        b't' => wire::put_frame(out, true, TEXT, b"\xff\xfe", rng),
        b'j' => wire::put_frame(out, true, TEXT, b"not json", rng),
        _ => wire::put_frame(out, false, PING, b"", rng),
    }
}
