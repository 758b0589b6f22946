//! What a request asks for: which endpoint, and whether its sender may come there.
//!
//! A pure function from a request and its body to what becomes of them. Responses that are complete are written here;
//! sessions are opened by [`super::head`].

use std::sync::Arc;

use super::centrifuge::{Centrifuge, HeldHead, Opening};
use super::desk::Routes;
use super::wire::{Framing, Transport, Wire};
use super::{Action, Context};
use crate::hub::codes::CodeRule;
use crate::proto::centrifuge::message::Encoding;
use crate::proto::http::{Refusal, Request, Status, connection_line};
use crate::proto::origin::{is_own_page, origin_allowed};
use crate::proto::ws::Deflate;
use crate::proto::ws::handshake::Upgrade;

/// Subprotocols of the Centrifuge endpoints.
const SUBPROTOCOLS: &[&str] = &["centrifuge-json", "centrifuge-protobuf"];
const PROTOBUF: &str = "centrifuge-protobuf";
/// Of a body in Protobuf.
const OCTETS: &str = "application/octet-stream";

/// Which endpoints there are, and who may come to them.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Which there are. No two have the same path.
    pub table: Vec<Endpoint>,
    /// Origins that browsers may come from, as patterns.
    pub allowed_origins: Vec<String>,
    /// Whether pages that this server itself has sent may come where there are no patterns, see [`is_own_page`].
    pub allows_own_pages: bool,
    /// Headers of the request that are kept for hooks until a connection is let in or not, in lower case.
    pub kept_headers: Vec<String>,
    /// Of those, the ones that are kept as long as the connection: hooks that are asked later want them.
    pub lasting_headers: Vec<String>,
    /// Headers that hooks take from the connect command, in lower case.
    pub emulated_headers: Vec<String>,
    /// Of those, the ones that are kept as long as the connection.
    pub lasting_emulated_headers: Vec<String>,
    /// Name of the cookie that may hold a token; empty for none.
    pub token_cookie: String,
    /// The responses to clients that are refused, by transport, for those whose response waits for the answer to connect.
    pub connect_responses: Vec<(Transport, Arc<[CodeRule]>)>,
    /// The id of this node, as connect replies tell it.
    pub node: String,
    /// What is answered outside the shards. An endpoint of the same path goes before it.
    pub routes: Routes,
}

/// One endpoint of the HTTP listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its path, without a query.
    pub path: String,
    /// What is there.
    pub serves: Serves,
}

/// What an endpoint is. What the embedder's handler serves is its own to say: see [`Handler::serves`](super::Handler::serves).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The Centrifuge protocol, over this transport.
    Centrifuge(Transport),
    /// Commands of clients that cannot send any over their own connection, posted.
    Emulation,
    /// A page of HTML.
    Page(&'static str),
    /// An empty object: for clients that open their connection before they upgrade it, and for health checks from outside.
    Init,
}

/// The path at which clients expect [`Serves::Emulation`].
pub const EMULATION_PATH: &str = "/emulation";

/// The path at which clients expect [`Serves::Init`].
pub const INIT_PATH: &str = "/connection/init";

impl Endpoint {
    /// A transport at the path at which clients expect it.
    pub fn usual(transport: Transport) -> Self {
        Self { path: transport.usual_path().to_owned(), serves: Serves::Centrifuge(transport) }
    }

    /// All transports beside the WebSocket, each at the path at which clients expect it, and where they post their commands.
    pub fn beside_websocket() -> Vec<Self> {
        let emulation = Self { path: EMULATION_PATH.to_owned(), serves: Serves::Emulation };
        let others = Transport::ALL.into_iter().filter(|transport| *transport != Transport::WebSocket);
        others.map(Self::usual).chain([emulation]).collect()
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Opened {
    /// A session, and what it was told with the request.
    Session(Centrifuge, Option<Vec<u8>>),
    /// It is answered; another request may follow on the same connection.
    Answered,
}

impl Serves {
    /// Whether a request with a body may come here.
    pub(super) fn takes_post(self) -> bool {
        match self {
            Self::Emulation => true,
            Self::Centrifuge(transport) => transport.methods().contains(&"POST"),
            Self::Page(_) | Self::Init => false,
        }
    }

    const fn is_page(self) -> bool {
        matches!(self, Self::Page(_))
    }
}

impl Endpoints {
    /// The endpoint of this path.
    pub(super) fn at(&self, path: &str) -> Option<Serves> {
        self.table.iter().find(|endpoint| endpoint.path == path).map(|endpoint| endpoint.serves)
    }

    /// Whether the page that sent a request, if one did, may come here. Asked of every request that leads to a session,
    /// whatever it speaks: a page of elsewhere comes with its user's cookies and from within its user's network (RFC 6455
    /// § 10.2). Returns the header lines that let the page read what is answered, also a refusal; none where nothing but a
    /// page of the server's own would.
    ///
    /// # Errors
    /// 403 for another origin, one that is no text, and several: no browser sends such.
    pub(super) fn admit(&self, serves: Option<Serves>, request: &Request<'_>) -> Result<String, Refusal> {
        let mut origins = request.values("origin");
        let origin = origins.next();
        let is_allowed = origin.as_deref().is_none_or(|origin| {
            let is_own = self.allows_own_pages && self.allowed_origins.is_empty();
            let is_own = is_own && is_own_page(origin, request.host());
            origin.is_ascii() && (is_own || origin_allowed(&self.allowed_origins, origin))
        });
        if !is_allowed || origins.next().is_some() {
            return Err(Refusal::new(
                Status::Forbidden,
                "the page's origin is not in client.allowed_origins",
            ));
        }
        Ok(match serves {
            Some(Serves::Centrifuge(_) | Serves::Emulation | Serves::Init) => cors(origin.as_deref()),
            Some(Serves::Page(_)) | None => String::new(),
        })
    }

    /// What a request to what `serves` comes to that was admitted. Its answer, or the head of it, is appended to `cx.out`.
    pub(super) fn open(
        &self,
        serves: Serves,
        request: &Request<'_>,
        body: &[u8],
        cors: &str,
        cx: &mut Context<'_>,
    ) -> Result<Opened, Refusal> {
        if request.method == "OPTIONS" && !serves.is_page() {
            let lines = format!("{cors}{}", connection_of(request));
            preflight(&lines, request.header("access-control-request-headers").as_deref(), cx.out);
            return Ok(Opened::Answered);
        }
        match serves {
            Serves::Page(page) => {
                expect(request, &["GET"])?;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
                     Cache-Control: no-store\r\n{}\r\n",
                    page.len(),
                    connection_of(request)
                );
                cx.out.extend_from_slice(head.as_bytes());
                cx.out.extend_from_slice(page.as_bytes());
                Ok(Opened::Answered)
            }
            Serves::Init => {
                expect(request, &["GET"])?;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n{cors}\r\n{{}}"
                );
                cx.out.extend_from_slice(head.as_bytes());
                Ok(Opened::Answered)
            }
            Serves::Emulation => self.emulate(request, body, cors, cx),
            Serves::Centrifuge(transport) if transport.framing() == Framing::WebSocket => {
                let upgrade = Upgrade::parse(request, SUBPROTOCOLS, cx.press.is_on())?;
                upgrade.write(cx.out);
                let says = |name, value| request.query_value(name).is_some_and(|told| told == value);
                let is_asked =
                    !transport.is_uni() && (says("cf_protocol", "protobuf") || says("format", "protobuf"));
                let is_protobuf = is_asked || upgrade.subprotocol == Some(PROTOBUF);
                let encoding = if is_protobuf { Encoding::Protobuf } else { Encoding::Json };
                let wire = Wire { transport, encoding, deflate: upgrade.deflate() };
                // A client that sends no commands may have its connect command in the request.
                let asks = transport.is_uni() && encoding == Encoding::Json;
                let first = request.query_value("cf_connect").filter(|first| asks && !first.is_empty());
                let first = first.map(|first| first.into_owned().into_bytes());
                let mut session = Centrifuge::new(wire, self.opening(request));
                if !transport.is_uni() && says("cf_ws_frame_ping_pong", "true") {
                    session.ping_by_frame();
                }
                Ok(Opened::Session(session, first))
            }
            Serves::Centrifuge(transport) => self.stream(transport, request, body, cors, cx),
        }
    }

    /// Commands for another connection.
    fn emulate(
        &self,
        request: &Request<'_>,
        body: &[u8],
        cors: &str,
        cx: &mut Context<'_>,
    ) -> Result<Opened, Refusal> {
        expect(request, &["POST"])?;
        let emulation = crate::proto::centrifuge::emulation_request(encoding_of(request), body)
            .map_err(|_| Refusal::new(Status::BadRequest, "this is not an emulation request"))?;
        // Another node's, or that of this one before it started anew: its client must connect anew.
        let is_ours = emulation.node == self.node;
        let place = cx.settings.secret.place(&emulation.session).filter(|_| is_ours);
        let (status, length) = match place {
            Some(_) => ("204 No Content", ""),
            None => ("404 Not Found", "Content-Length: 0\r\n"),
        };
        if let Some(place) = place {
            cx.actions.push(Action::Forward { place, data: emulation.data.into_owned() });
        }
        let connection = connection_of(request);
        cx.out.extend_from_slice(format!("HTTP/1.1 {status}\r\n{length}{cors}{connection}\r\n").as_bytes());
        Ok(Opened::Answered)
    }

    /// A response without an end.
    fn stream(
        &self,
        transport: Transport,
        request: &Request<'_>,
        body: &[u8],
        cors: &str,
        cx: &mut Context<'_>,
    ) -> Result<Opened, Refusal> {
        let is_sse = transport.framing() == Framing::Events;
        expect(request, transport.methods())?;
        // Events are text, so what they carry is JSON.
        let encoding = if is_sse { Encoding::Json } else { encoding_of(request) };
        let first = match request.method {
            "GET" => request.query_value("cf_connect").unwrap_or_default().into_owned().into_bytes(),
            _ => body.to_vec(),
        };
        // Before anything is answered: an EventSource comes back for ever after a response that ends, and not after 400.
        if let Some(why) = no_connect(transport, request.method, encoding, &first) {
            return Err(Refusal::new(Status::BadRequest, why));
        }
        let first = if first.is_empty() && transport.is_uni() && encoding == Encoding::Json {
            b"{}".to_vec()
        } else {
            first
        };
        let content_type = match (is_sse, encoding) {
            (true, _) => "text/event-stream",
            (false, Encoding::Json) => "application/json",
            (false, Encoding::Protobuf) => OCTETS,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-cache, no-store, no-transform\r\n\
             X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{cors}\r\n"
        );
        let mut opening = self.opening(request);
        match self.connect_responses.iter().find(|(of, _)| *of == transport) {
            Some((_, rules)) => {
                opening.held = Some(HeldHead { head, cors: cors.to_owned(), rules: Arc::clone(rules) });
            }
            None => cx.out.extend_from_slice(head.as_bytes()),
        }
        let wire = Wire { transport, encoding, deflate: Deflate::Off };
        Ok(Opened::Session(Centrifuge::new(wire, opening), Some(first)))
    }

    /// What of the request is kept until the connect command.
    fn opening(&self, request: &Request<'_>) -> Opening {
        let mut headers = Vec::new();
        for name in &self.kept_headers {
            headers.extend(request.values(name).map(|value| (name.clone(), value.into_owned())));
        }
        let token = match self.token_cookie.as_str() {
            "" => None,
            name => request.cookie(name),
        };
        Opening { headers, token: token.unwrap_or_default(), held: None }
    }
}

/// What the answer to a request says of the connection.
fn connection_of(request: &Request<'_>) -> &'static str {
    connection_line(request.is_last(), request.is_http_1_0())
}

/// What is wrong with a request to a stream that holds no connect command, or, of a client without commands, no connect
/// request.
fn no_connect(transport: Transport, method: &str, encoding: Encoding, first: &[u8]) -> Option<&'static str> {
    let is_read = || crate::proto::centrifuge::connect_request(encoding, first).is_ok();
    match (transport.is_uni(), method) {
        // Nothing is a request that leaves everything open.
        (true, "GET") => (!is_read()).then_some("cf_connect is not a connect request"),
        (true, _) if encoding == Encoding::Json && first.trim_ascii().is_empty() => {
            Some("the body is empty: send {}")
        }
        (true, _) => (!is_read()).then_some("the body is not a connect request"),
        (false, "GET") => first.is_empty().then_some("cf_connect is missing: the connect command"),
        (false, _) => None,
    }
}

/// The encoding of a body, by its type.
fn encoding_of(request: &Request<'_>) -> Encoding {
    // RFC 9110 §8.3.1: whatever the case, and without parameters.
    let is_octets = request.header("content-type").is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OCTETS))
    });
    if is_octets { Encoding::Protobuf } else { Encoding::Json }
}

fn expect(request: &Request<'_>, methods: &[&str]) -> Result<(), Refusal> {
    match methods {
        _ if methods.contains(&request.method) => Ok(()),
        ["POST"] => Err(Refusal::new(Status::PostNeeded, "use POST")),
        _ => Err(Refusal::new(Status::MethodNotAllowed, "use GET")),
    }
}

/// Names of headers in a preflight that are repeated in its answer, in bytes; a longer list is answered with the usual ones.
const HEADER_NAMES_BYTES_MAX: usize = 512;

/// Header lines that let the page of an allowed origin read the answer (Fetch, "CORS protocol").
fn cors(origin: Option<&str>) -> String {
    origin.map_or_else(String::new, |origin| {
        format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")
    })
}

/// Answers a preflight request, with these header lines. Pages of allowed origins may send what headers they like:
/// hooks may want them.
fn preflight(lines: &str, asked: Option<&str>, out: &mut Vec<u8>) {
    let is_list = |names: &&str| {
        let is_of_list = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(&byte);
        !names.is_empty() && names.len() <= HEADER_NAMES_BYTES_MAX && names.bytes().all(is_of_list)
    };
    let names = asked.filter(is_list).unwrap_or("Content-Type, Authorization");
    let head = format!(
        "HTTP/1.1 204 No Content\r\n{lines}Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n\
         Access-Control-Allow-Headers: {names}\r\nAccess-Control-Max-Age: 300\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
}
