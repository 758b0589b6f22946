//! The endpoint of a request, and its access check.
//!
//! A pure function from a request and its body to its result. Complete responses are written here; [`super::head`]
//! opens sessions.

use std::sync::Arc;

use super::centrifuge::{Centrifuge, HeldHead, Opening};
use super::desk::RouteTable;
use super::engine::Wanted;
use super::polling::Poll;
use super::probe::UpgradeAsk;
use super::wire::{Framing, Transport, Wire};
use super::{Action, Context, engine};
use crate::hub::codes::CodeRule;
use crate::proto::centrifuge::message::Encoding;
use crate::proto::http::{Refusal, Request, Status, connection_line};
use crate::proto::origin::{is_own_page, origin_allowed};
use crate::proto::ws::Deflate;
use crate::proto::ws::handshake::Upgrade;

/// Subprotocols of the Centrifuge endpoints.
const SUBPROTOCOLS: &[&str] = &["centrifuge-json", "centrifuge-protobuf"];
const PROTOBUF: &str = "centrifuge-protobuf";
/// The refusal of clients beyond [`ConnectRate`](super::ConnectRate).
pub(crate) const TOO_MANY_CLIENTS: Refusal =
    Refusal::new(Status::Unavailable, "too many new clients; try later");
/// Media type of a body in Protobuf.
const OCTETS: &str = "application/octet-stream";

/// The endpoints and their access rules.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// The endpoints. No two have the same path.
    pub table: Vec<Endpoint>,
    /// Allowed origins of browsers, as patterns.
    pub allowed_origins: Vec<String>,
    /// Whether pages of this server itself are allowed where there are no patterns, see `is_own_page`.
    pub allows_own_pages: bool,
    /// Headers of the request that are kept for hooks until the connect command is answered, in lower case.
    pub kept_headers: Vec<String>,
    /// Those of the kept headers that later hooks need, so that they are kept as long as the connection.
    pub lasting_headers: Vec<String>,
    /// Headers that hooks take from the connect command, in lower case.
    pub emulated_headers: Vec<String>,
    /// Those of the emulated headers that are kept as long as the connection.
    pub lasting_emulated_headers: Vec<String>,
    /// Name of the cookie that may hold a token; empty for none.
    pub token_cookie: String,
    /// The responses to refused clients, by transport, for transports whose response waits for the reply to connect.
    pub connect_responses: Vec<(Transport, Arc<[CodeRule]>)>,
    /// The id of this node in connect replies.
    pub node: String,
    /// Routes answered outside the shards. An endpoint of the same path takes precedence.
    pub routes: RouteTable,
}

/// One endpoint of the HTTP listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its path, without a query.
    pub path: String,
    /// The service at the path.
    pub serves: Serves,
}

/// The service of an endpoint. An embedder's handler names its own paths: see
/// [`Handler::serves`](super::Handler::serves).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The Centrifuge protocol, over this transport.
    Centrifuge(Transport),
    /// Posted commands of clients that cannot send any over their own connection.
    Emulation,
    /// An HTML page. In place of the first `{{socketio}}` it has the path of Socket.IO with a slash at the end, or nothing where
    /// that is not served.
    Page(&'static str),
    /// Socket.IO.
    SocketIo,
    /// Engine.IO with messages for an embedder's handler, see [`Handler::open_engine`](super::Handler::open_engine); at the
    /// path with and without a slash at the end. Intervals, limits, transports and versions are those of
    /// [`SocketIoOptions`](super::SocketIoOptions), which need not be enabled.
    EngineIo,
    /// An empty object: for clients that open their connection before they upgrade it, and for external health
    /// checks.
    Init,
}

/// The place for the path of Socket.IO in a page.
const SOCKETIO_PLACE: &str = "{{socketio}}";

/// The default path of [`Serves::Emulation`].
pub(crate) const EMULATION_PATH: &str = "/emulation";

/// The default path of [`Serves::Init`].
pub(crate) const INIT_PATH: &str = "/connection/init";

impl Endpoint {
    /// A transport at its default path.
    pub fn usual(transport: Transport) -> Self {
        Self { path: transport.usual_path().to_owned(), serves: Serves::Centrifuge(transport) }
    }

    /// All transports except the WebSocket, and the emulation endpoint, at their default paths.
    pub fn beside_websocket() -> Vec<Self> {
        let emulation = Self { path: EMULATION_PATH.to_owned(), serves: Serves::Emulation };
        let others = Transport::ALL.into_iter().filter(|transport| *transport != Transport::WebSocket);
        others.map(Self::usual).chain([emulation]).collect()
    }
}

/// The result of a request.
#[derive(Debug)]
pub(super) enum Opened {
    /// A session, and the messages in its request.
    Session(Centrifuge, Option<Vec<u8>>),
    /// An Engine.IO session.
    Engine(engine::Handshake),
    /// A request for a session without a socket.
    Poll(Poll),
    /// A request for a WebSocket that is to replace the polls of a session.
    Upgrade(Box<UpgradeAsk>),
    /// The request is answered; another one may follow on the same connection.
    Answered,
}

impl Serves {
    /// Whether a request with a body is accepted.
    pub(super) fn takes_post(self) -> bool {
        match self {
            // Also what is refused is read first.
            Self::Emulation | Self::SocketIo | Self::EngineIo => true,
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

    /// Checks the origin of the page that sent a request, if one did, for every request that leads to a session of
    /// any kind: a page of another site comes with its user's cookies and from within its user's network (RFC 6455 §
    /// 10.2). Returns the header lines that allow the page to read the answer, also a refusal; none where only a page
    /// of the server itself would.
    ///
    /// # Errors
    /// 403 for a foreign origin, one that is not text, and several: no browser sends such.
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
            Some(
                Serves::Centrifuge(_)
                | Serves::Emulation
                | Serves::SocketIo
                | Serves::EngineIo
                | Serves::Init,
            ) => cors(origin.as_deref()),
            Some(Serves::Page(_)) | None => String::new(),
        })
    }

    /// A page in parts, with the path of Socket.IO in its place for that; nothing where it is not served, or where the path
    /// would need an escape in HTML.
    fn filled<'a>(&'a self, page: &'a str) -> [&'a str; 3] {
        let Some((before, after)) = page.split_once(SOCKETIO_PLACE) else { return [page, "", ""] };
        let is_plain =
            |path: &str| path.bytes().all(|byte| byte.is_ascii_graphic() && !b"&<>\"'`$".contains(&byte));
        let served = self.table.iter().filter(|endpoint| endpoint.serves == Serves::SocketIo);
        let path =
            served.map(|endpoint| endpoint.path.as_str()).find(|path| path.ends_with('/') && is_plain(path));
        [before, path.unwrap_or_default(), after]
    }

    /// Handles an admitted request to an endpoint. Its answer, or the head of it, is appended to `cx.out`.
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
                let page = self.filled(page);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
                     Cache-Control: no-store\r\n{}\r\n",
                    page.iter().map(|part| part.len()).sum::<usize>(),
                    connection_of(request)
                );
                cx.out.extend_from_slice(head.as_bytes());
                for part in page {
                    cx.out.extend_from_slice(part.as_bytes());
                }
                Ok(Opened::Answered)
            }
            Serves::Init => {
                expect(request, &["GET"])?;
                admit_client(cx)?;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n{cors}\r\n{{}}"
                );
                cx.out.extend_from_slice(head.as_bytes());
                Ok(Opened::Answered)
            }
            Serves::Emulation => self.emulate(request, body, cors, cx),
            Serves::SocketIo => engine::open(Wanted::Sockets, request, body, cors, cx),
            Serves::EngineIo => engine::open(Wanted::Messages, request, body, cors, cx),
            Serves::Centrifuge(transport) if transport.framing() == Framing::WebSocket => {
                let upgrade = Upgrade::parse(request, SUBPROTOCOLS, cx.press.is_on())?;
                admit_client(cx)?;
                upgrade.write(cx.out);
                let says = |name, value| request.query_value(name).is_some_and(|told| told == value);
                let is_asked =
                    !transport.is_uni() && (says("cf_protocol", "protobuf") || says("format", "protobuf"));
                let is_protobuf = is_asked || upgrade.subprotocol == Some(PROTOBUF);
                let encoding = if is_protobuf { Encoding::Protobuf } else { Encoding::Json };
                let wire = Wire { transport, encoding, deflate: upgrade.deflate() };
                // The request of a client without commands may contain its connect command.
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

    /// Handles commands for another connection.
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
        // The session belongs to another node, or to an earlier run of this one: its client must reconnect.
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

    /// Opens a streaming response.
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
        // Events are text, so their content is JSON.
        let encoding = if is_sse { Encoding::Json } else { encoding_of(request) };
        let first = match request.method {
            "GET" => request.query_value("cf_connect").unwrap_or_default().into_owned().into_bytes(),
            _ => body.to_vec(),
        };
        // Checked before any answer: an EventSource reconnects for ever after a response that ends, but not after 400.
        if let Some(why) = no_connect(transport, request.method, encoding, &first) {
            return Err(Refusal::new(Status::BadRequest, why));
        }
        admit_client(cx)?;
        let first = if first.is_empty() && transport.is_uni() && encoding == Encoding::Json {
            b"{}".to_vec()
        } else {
            first
        };
        let content_type = match (is_sse, encoding) {
            (true, _) => "text/event-stream; charset=utf-8",
            // A stream of JSON texts, one on each line, is no JSON text.
            (false, Encoding::Json) => "text/plain; charset=utf-8",
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

    /// The part of the request that is kept until the connect command.
    fn opening(&self, request: &Request<'_>) -> Opening {
        let (headers, token) = self.kept(request);
        Opening { headers, token, held: None }
    }

    /// The kept headers of the request, and the token of the cookie; empty for none.
    pub(super) fn kept(&self, request: &Request<'_>) -> (Vec<(String, String)>, String) {
        let mut headers = Vec::new();
        for name in &self.kept_headers {
            headers.extend(request.values(name).map(|value| (name.clone(), value.into_owned())));
        }
        let token = match self.token_cookie.as_str() {
            "" => None,
            name => request.cookie(name),
        };
        (headers, token.unwrap_or_default())
    }
}

/// Refuses a new client beyond the rate of the process.
pub(super) fn admit_client(cx: &Context<'_>) -> Result<(), Refusal> {
    if cx.settings.connects.take(cx.now_ms) { Ok(()) } else { Err(TOO_MANY_CLIENTS) }
}

/// The value of the answer's `Connection` header.
fn connection_of(request: &Request<'_>) -> &'static str {
    connection_line(request.is_last(), request.is_http_1_0())
}

/// The fault of a request to a stream without a connect command, or, for clients without commands, without a connect
/// request.
fn no_connect(transport: Transport, method: &str, encoding: Encoding, first: &[u8]) -> Option<&'static str> {
    let is_read = || crate::proto::centrifuge::connect_request(encoding, first).is_ok();
    match (transport.is_uni(), method) {
        // An absent parameter is a connect request without options.
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
    // RFC 9110 §8.3.1: compared without case and parameters.
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

/// Maximum of bytes of header names that a preflight's answer repeats; a longer list is answered with the usual
/// names.
const HEADER_NAMES_BYTES_MAX: usize = 512;

/// Header lines that allow the page of a permitted origin to read the answer (Fetch, "CORS protocol").
fn cors(origin: Option<&str>) -> String {
    origin.map_or_else(String::new, |origin| {
        format!("Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")
    })
}

/// Answers a preflight request, with these header lines. Pages of allowed origins may send any headers: hooks may
/// need them.
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
