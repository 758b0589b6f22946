//! Requests to an Engine.IO endpoint.
//!
//! Invariant: a refusal has the protocol's code and message: clients and test suites look at them.

use super::{Engine, Outlet};
use crate::base::slots::Key;
use crate::proto::engine::{EngineProtocol, EngineQuery, EngineRefusal, Open, TransportAsked};
use crate::proto::http::{Refusal, Request, Status, connection_line};
use crate::proto::ws::handshake::Upgrade;
use crate::proto::ws::{Kind, frame};
use crate::session::Context;

/// Parameters of the query that belong to Engine.IO; the others are the application's.
const OWN_PARAMETERS: [&str; 6] = ["EIO", "transport", "sid", "t", "b64", "j"];

/// A session that was opened.
#[derive(Debug)]
pub(in crate::session) struct Handshake {
    pub(in crate::session) engine: Engine,
    /// The application's part of the query.
    pub(in crate::session) query: Box<str>,
}

/// Answers a request: `None` when it is refused, and another may follow on the connection.
///
/// # Errors
/// A refused upgrade, or one that is no valid WebSocket request; the connection ends.
pub(in crate::session) fn open(
    request: &Request<'_>,
    cors: &str,
    cx: &mut Context<'_>,
) -> Result<Option<Handshake>, Refusal> {
    let text = request.query.unwrap_or_default();
    let query = EngineQuery::read(text);
    let is_upgrade = request.has_token("upgrade", "websocket");
    if let Err(refusal) = check(&query, request.method, is_upgrade) {
        if is_upgrade {
            return Err(Refusal::new(Status::BadRequest, refusal.message()));
        }
        put_refusal(refusal, request, cors, cx.out);
        return Ok(None);
    }
    let upgrade = Upgrade::parse(request, &[], cx.press.is_on())?;
    upgrade.write(cx.out);
    let options = &cx.settings.socketio;
    let outlet = Outlet { base64: query.base64, is_msgpack: options.is_msgpack, deflate: upgrade.deflate() };
    let open = Open {
        sid: &cx.settings.secret.session(cx.client.shard, Key::from_token(cx.client.token)),
        may_upgrade: false,
        ping_interval_ms: options.ping_interval_ms,
        ping_timeout_ms: options.ping_timeout_ms,
        payload_bytes_max: options.payload_bytes_max,
    };
    let start = cx.out.len();
    open.put(cx.out);
    frame::wrap(cx.out, start, Kind::Text);
    let engine = Engine::new(outlet, cx);
    Ok(Some(Handshake { engine, query: of_application(text) }))
}

/// Checks a request that opens a session, in the order of the reference.
fn check(query: &EngineQuery<'_>, method: &str, is_upgrade: bool) -> Result<(), EngineRefusal> {
    // Polling is not served, and JSONP is a kind of it.
    if query.transport != TransportAsked::WebSocket || query.jsonp {
        return Err(EngineRefusal::UnknownTransport);
    }
    // A session by WebSocket has no second request.
    if query.sid.is_some() {
        return Err(EngineRefusal::UnknownSession);
    }
    if method != "GET" {
        return Err(EngineRefusal::BadMethod);
    }
    if !is_upgrade {
        return Err(EngineRefusal::BadRequest);
    }
    match query.protocol {
        EngineProtocol::V4 => Ok(()),
        EngineProtocol::V3 => Err(EngineRefusal::UnsupportedProtocol),
    }
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

/// The parameters of the query that are not Engine.IO's, as they were written.
fn of_application(query: &str) -> Box<str> {
    let is_own = |pair: &str| OWN_PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
    let others = query.split('&').filter(|pair| !pair.is_empty() && !is_own(pair));
    others.collect::<Vec<_>>().join("&").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_in_the_order_of_the_reference() {
        for (query, method, is_upgrade, expected) in [
            ("EIO=4&transport=websocket", "GET", true, None),
            ("EIO=4&transport=websocket&b64=1&x=y", "GET", true, None),
            ("", "GET", false, Some((0, "Transport unknown"))),
            ("EIO=4&transport=polling", "GET", false, Some((0, "Transport unknown"))),
            ("EIO=4&transport=polling&sid=x", "POST", false, Some((0, "Transport unknown"))),
            ("EIO=4&transport=abc", "POST", true, Some((0, "Transport unknown"))),
            ("EIO=4&transport=websocket&j=0", "GET", true, Some((0, "Transport unknown"))),
            ("EIO=4&transport=websocket&sid=x", "POST", false, Some((1, "Session ID unknown"))),
            ("EIO=4&transport=websocket&sid=", "POST", false, Some((2, "Bad handshake method"))),
            ("EIO=3&transport=websocket", "GET", false, Some((3, "Bad request"))),
            ("EIO=3&transport=websocket", "GET", true, Some((5, "Unsupported protocol version"))),
            ("transport=websocket", "GET", true, Some((5, "Unsupported protocol version"))),
        ] {
            let outcome = check(&EngineQuery::read(query), method, is_upgrade);
            let refused = outcome.err().map(|refusal| (refusal.code(), refusal.message()));
            assert_eq!(refused, expected, "{method} {query}");
        }
    }

    #[test]
    fn the_application_gets_its_own_parameters() {
        for (query, left) in [
            ("EIO=4&transport=websocket&t=Oxy", ""),
            ("token=a%20b&EIO=4&transport=websocket&&room=1", "token=a%20b&room=1"),
            ("", ""),
        ] {
            assert_eq!(&*of_application(query), left);
        }
    }
}
