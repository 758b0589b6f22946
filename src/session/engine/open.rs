//! Requests to an Engine.IO endpoint.
//!
//! Invariant: a refusal has the protocol's code and message: clients and test suites look at them.

use super::{Engine, EngineOpening, Outlet};
use crate::base::slots::Key;
use crate::proto::engine::{EngineProtocol, EngineQuery, EngineRefusal, Open, TransportAsked};
use crate::proto::http::{Refusal, Request, Status, connection_line};
use crate::proto::ws::Deflate;
use crate::proto::ws::handshake::Upgrade;
use crate::session::endpoint::{Opened, admit_client};
use crate::session::polling::{Poll, PollAsk, PollOpening};
use crate::session::probe::{UpgradeAsk, Way};
use crate::session::{Context, SocketIoOptions};

/// The content of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Wanted {
    /// Sockets of Socket.IO.
    Sockets,
    /// Messages for the handler.
    Messages,
}

/// A session whose client was told that it is open, unless [`Engine::is_opening`].
#[derive(Debug)]
pub(in crate::session) struct Handshake {
    pub(in crate::session) wanted: Wanted,
    pub(in crate::session) engine: Engine,
    /// The kept part of the request, if any.
    pub(in crate::session) opening: Option<Box<EngineOpening>>,
}

/// A request that opens a session by HTTP long-polling.
#[derive(Debug, PartialEq)]
pub(in crate::session) struct PollQuery {
    wanted: Wanted,
    protocol: EngineProtocol,
    /// Whether the client reads no binary bodies.
    base64: bool,
    /// The kept part of the request, if any.
    opening: Option<Box<EngineOpening>>,
}

impl PollQuery {
    /// Opens the session, and appends the packet that says so to `cx.out`.
    pub(in crate::session) fn open(self, cx: &mut Context<'_>) -> Handshake {
        let is_msgpack = cx.settings.socketio.is_msgpack;
        let Self { wanted, protocol, base64, opening } = self;
        // Bodies of protocol 4 are text.
        let base64 = base64 || protocol == EngineProtocol::V4;
        let outlet = Outlet { protocol, base64, is_msgpack, deflate: Deflate::Off, is_polled: true };
        put_open(outlet, cx);
        Handshake { wanted, engine: Engine::new(outlet, cx), opening }
    }
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// To open a session by WebSocket.
    WebSocket,
    /// To open a session by HTTP long-polling.
    Polling,
    /// The output of a session.
    Fetch((u16, Key)),
    /// To deliver packets.
    Post((u16, Key)),
    /// To replace the polls of a session by a WebSocket.
    Upgrade((u16, Key)),
}

/// Answers a request, or opens a session.
///
/// # Errors
/// A refused upgrade, or one that is no valid WebSocket request; the connection ends.
pub(in crate::session) fn open(
    wanted: Wanted,
    request: &Request<'_>,
    body: &[u8],
    cors: &str,
    cx: &mut Context<'_>,
) -> Result<Opened, Refusal> {
    let text = request.query.unwrap_or_default();
    let query = EngineQuery::read(text);
    let is_upgrade = request.has_token("upgrade", "websocket");
    let place = |sid: &str| cx.settings.secret.place(sid);
    let options = &cx.settings.socketio;
    let poll = |place, ask| Ok(Opened::Poll(Poll { place, ask }));
    match check(&query, request.method, is_upgrade, options, place) {
        Ok(Wish::WebSocket) => open_websocket(wanted, request, &query, cx).map(Opened::Engine),
        Ok(Wish::Polling) => {
            admit_client(cx)?;
            let EngineQuery { protocol, base64, .. } = query;
            let opening = EngineOpening::of(request, &cx.settings.endpoints);
            let query = PollQuery { wanted, protocol, base64, opening };
            poll(None, PollAsk::Open(PollOpening(query)))
        }
        Ok(Wish::Fetch(place)) => poll(Some(place), PollAsk::Fetch),
        Ok(Wish::Post(place)) => {
            let is_binary = request.header("content-type").is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case("application/octet-stream")
            });
            poll(Some(place), PollAsk::Post { body: body.to_vec(), is_binary })
        }
        Ok(Wish::Upgrade(place)) => {
            let upgrade = Upgrade::parse(request, &[], cx.press.is_on())?;
            let mut accepting = Vec::new();
            upgrade.write(&mut accepting);
            let way = Way { base64: query.base64, deflate: upgrade.deflate() };
            Ok(Opened::Upgrade(Box::new(UpgradeAsk { place, accepting, way })))
        }
        Err(refusal) if is_upgrade => {
            cx.told.engine_refusals[usize::from(refusal.code())].add(1);
            Err(Refusal::new(Status::BadRequest, refusal.message()))
        }
        Err(refusal) => {
            cx.told.engine_refusals[usize::from(refusal.code())].add(1);
            put_refusal(refusal, request, cors, cx.out);
            Ok(Opened::Answered)
        }
    }
}

/// Accepts a WebSocket, and opens a session.
fn open_websocket(
    wanted: Wanted,
    request: &Request<'_>,
    query: &EngineQuery<'_>,
    cx: &mut Context<'_>,
) -> Result<Handshake, Refusal> {
    let upgrade = Upgrade::parse(request, &[], cx.press.is_on())?;
    admit_client(cx)?;
    upgrade.write(cx.out);
    let outlet = Outlet {
        protocol: query.protocol,
        base64: query.base64,
        is_msgpack: cx.settings.socketio.is_msgpack,
        deflate: upgrade.deflate(),
        is_polled: false,
    };
    let engine = Engine::new(outlet, cx);
    if !engine.is_opening() {
        put_open(outlet, cx);
    }
    let opening = EngineOpening::of(request, &cx.settings.endpoints);
    Ok(Handshake { wanted, engine, opening })
}

/// Appends the packet that opens a session.
pub(super) fn put_open(outlet: Outlet, cx: &mut Context<'_>) {
    let options = &cx.settings.socketio;
    let may_upgrade = outlet.is_polled && options.transports.iter().any(|served| served == "websocket");
    let (shard, conn) = (cx.client.shard, Key::from_token(cx.client.token));
    let sid = outlet.sid(&cx.settings.secret, shard, conn);
    let open = Open {
        sid: &sid,
        may_upgrade,
        ping_interval_ms: options.ping_interval_ms,
        ping_timeout_ms: options.ping_timeout_ms,
        payload_bytes_max: options.payload_bytes_max,
    };
    let start = cx.out.len();
    open.put(cx.out);
    outlet.end_plain(cx.out, start);
}

/// Checks a request, in the order of the reference.
fn check(
    query: &EngineQuery<'_>,
    method: &str,
    is_upgrade: bool,
    options: &SocketIoOptions,
    place: impl FnOnce(&str) -> Option<(u16, Key)>,
) -> Result<Wish, EngineRefusal> {
    let (name, is_websocket) = match query.transport {
        TransportAsked::WebSocket => ("websocket", true),
        TransportAsked::Polling => ("polling", false),
        TransportAsked::Unknown => ("", false),
    };
    // JSONP is a kind of polling that is not served.
    if query.jsonp || !options.transports.iter().any(|served| served == name) {
        return Err(EngineRefusal::UnknownTransport);
    }
    if let Some(sid) = &query.sid {
        let place = place(sid).ok_or(EngineRefusal::UnknownSession)?;
        return match (is_websocket, is_upgrade, method) {
            (false, false, "GET") => Ok(Wish::Fetch(place)),
            (false, false, "POST") => Ok(Wish::Post(place)),
            (true, true, "GET") => Ok(Wish::Upgrade(place)),
            _ => Err(EngineRefusal::BadRequest),
        };
    }
    if method != "GET" {
        return Err(EngineRefusal::BadMethod);
    }
    if is_websocket != is_upgrade {
        return Err(EngineRefusal::BadRequest);
    }
    // Clients of protocol 3 pack their packets differently.
    if query.protocol == EngineProtocol::V3 && (!options.allow_eio3 || options.is_msgpack) {
        return Err(EngineRefusal::UnsupportedProtocol);
    }
    Ok(if is_websocket { Wish::WebSocket } else { Wish::Polling })
}

fn put_refusal(refusal: EngineRefusal, request: &Request<'_>, cors: &str, out: &mut Vec<u8>) {
    let status = if refusal.status() == 403 { Status::Forbidden } else { Status::BadRequest };
    let mut body = Vec::new();
    refusal.put_body(&mut body, None);
    let connection = connection_line(request.is_last(), request.is_http_1_0());
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{cors}{connection}\r\n",
        status.line(),
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_in_the_order_of_the_reference() {
        let known = Key::from_token(7);
        let bad = Some((3, "Bad request"));
        for (query, method, is_upgrade, expected) in [
            ("EIO=4&transport=websocket", "GET", true, None),
            ("EIO=4&transport=websocket&b64=1&x=y", "GET", true, None),
            ("EIO=4&transport=polling", "GET", false, None),
            ("EIO=4&transport=polling&sid=x", "POST", false, None),
            ("EIO=4&transport=polling&sid=x", "GET", false, None),
            ("", "GET", false, Some((0, "Transport unknown"))),
            ("EIO=4&transport=abc", "POST", true, Some((0, "Transport unknown"))),
            ("EIO=4&transport=websocket&j=0", "GET", true, Some((0, "Transport unknown"))),
            ("EIO=4&transport=polling&j=0", "GET", false, Some((0, "Transport unknown"))),
            ("EIO=4&transport=websocket&sid=z", "POST", false, Some((1, "Session ID unknown"))),
            ("EIO=4&transport=polling&sid=z", "GET", false, Some((1, "Session ID unknown"))),
            ("EIO=4&transport=websocket&sid=", "POST", false, Some((2, "Bad handshake method"))),
            ("EIO=4&transport=polling", "POST", false, Some((2, "Bad handshake method"))),
            ("EIO=3&transport=websocket", "GET", false, bad),
            ("EIO=4&transport=polling", "GET", true, bad),
            ("EIO=4&transport=websocket&sid=x", "GET", true, None),
            ("transport=websocket&sid=x", "GET", true, None),
            ("EIO=4&transport=websocket&sid=x", "POST", true, bad),
            ("EIO=4&transport=websocket&sid=x", "GET", false, bad),
            ("EIO=4&transport=polling&sid=x", "GET", true, bad),
            ("EIO=4&transport=websocket&sid=z", "GET", true, Some((1, "Session ID unknown"))),
            ("EIO=4&transport=polling&sid=x", "PUT", false, bad),
            ("EIO=3&transport=websocket", "GET", true, Some((5, "Unsupported protocol version"))),
            ("transport=websocket", "GET", true, Some((5, "Unsupported protocol version"))),
            ("transport=polling", "GET", false, Some((5, "Unsupported protocol version"))),
        ] {
            let place = |sid: &str| (sid == "x").then_some((0, known));
            let outcome =
                check(&EngineQuery::read(query), method, is_upgrade, &SocketIoOptions::default(), place);
            let refused = outcome.err().map(|refusal| (refusal.code(), refusal.message()));
            assert_eq!(refused, expected, "{method} {query}");
        }
    }

    #[test]
    fn a_transport_that_is_not_served_is_unknown() {
        for (served, query, is_upgrade) in
            [("websocket", "EIO=4&transport=polling", false), ("polling", "EIO=4&transport=websocket", true)]
        {
            let options =
                SocketIoOptions { transports: vec![served.to_owned()], ..SocketIoOptions::default() };
            let outcome = check(&EngineQuery::read(query), "GET", is_upgrade, &options, |_| None);
            assert_eq!(outcome, Err(EngineRefusal::UnknownTransport), "{query}");
        }
    }

    #[test]
    fn clients_of_protocol_3_are_served_when_that_is_allowed_and_with_json_only() {
        let unsupported = Err(EngineRefusal::UnsupportedProtocol);
        for (allow_eio3, is_msgpack, expected) in
            [(true, false, Ok(Wish::Polling)), (true, true, unsupported), (false, false, unsupported)]
        {
            let options = SocketIoOptions { allow_eio3, is_msgpack, ..SocketIoOptions::default() };
            for query in ["EIO=3&transport=polling", "transport=polling", "EIO=abc&transport=polling"] {
                let outcome = check(&EngineQuery::read(query), "GET", false, &options, |_| None);
                assert_eq!(outcome, expected, "{query} {options:?}");
            }
        }
    }
}
