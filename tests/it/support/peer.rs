//! A WebSocket client of plain bytes, blocking, with a deadline on every read.
//!
//! It shares no code with the server: it is written from RFC 6455 and can violate every rule of it on purpose. It
//! omits the automatic answers of a polite client: it never answers a ping or a close by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
/// Beside an opcode: the message is compressed (RFC 7692, 6).
pub(crate) const RSV1: u8 = 0x40;

/// Long enough for a busy machine, short enough that a hanging test is noticed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The example key of RFC 6455, 1.3, and the answer that it calls for.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame as it came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, opcode, payload: payload.into() }
    }

    /// Masked, as a client sends it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | self.opcode];
        match self.payload.len() {
            length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// The code of a close frame; `None` when it is empty.
    pub(crate) fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "no close frame: {self:?}");
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }
}

/// A response head and body to a request that was not upgraded.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// One connection to a server, and received bytes that were not requested yet.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    arrived: Vec<u8>,
}

impl Peer {
    /// A TCP connection, without output yet.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Over a connection that is there already, of TCP or not: a stream is a stream.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, arrived: Vec::new() }
    }

    /// A connection from one of this host's addresses.
    pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: socket.into(), arrived: Vec::new() }
    }

    /// A WebSocket at `path`; panics when the server refuses.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        Self::connect(address).upgraded(path, "")
    }

    /// This connection as a WebSocket at `path`, asked for with further header lines; panics when the server refuses.
    pub(crate) fn upgraded(self, path: &str, more: &str) -> Self {
        let mut peer = self;
        peer.send_bytes(upgrade(path, more).as_bytes());
        let response = peer.response_head();
        assert_eq!(response.status, 101, "{}", response.head);
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        peer
    }

    /// Sends a request and returns the whole response, to the end of the connection.
    pub(crate) fn request(address: SocketAddr, request: &[u8]) -> Response {
        let mut peer = Self::connect(address);
        peer.send_bytes(request);
        peer.response()
    }

    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.response_head();
        response.body = self.rest();
        response
    }

    /// All that comes until the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive_more() {}
        std::mem::take(&mut self.arrived)
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.arrived.len() < count {
            assert!(self.receive_more(), "the end, {} bytes of {count} before", self.arrived.len());
        }
        self.arrived.drain(..count).collect()
    }

    pub(crate) fn response_head(&mut self) -> Response {
        let end = loop {
            if let Some(end) = self.arrived.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.receive_more(), "closed before the end of the head: {:?}", self.arrived);
        };
        let head = String::from_utf8(self.arrived.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Response { status: status.expect("a status line"), head, body: Vec::new() }
    }

    /// The next line of a response's body, without its end.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.arrived.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.arrived.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            assert!(self.receive_more(), "closed in the middle of a line: {:?}", self.arrived);
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, opcode: u8, payload: impl Into<Vec<u8>>) {
        self.send_bytes(&Frame::new(opcode, payload).bytes());
    }

    /// One frame of a message that has others.
    pub(crate) fn send_part(&mut self, opcode: u8, payload: impl Into<Vec<u8>>, fin: bool) {
        self.send_bytes(&Frame { fin, ..Frame::new(opcode, payload) }.bytes());
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(CLOSE, code.to_be_bytes());
    }

    /// The next frame, with [`RSV1`] in its opcode if it is set; panics at the end of the connection and when none
    /// comes in time.
    pub(crate) fn frame(&mut self) -> Frame {
        self.try_frame().expect("the server closed the connection")
    }

    /// The next frame, or `None` at the end of the connection.
    pub(crate) fn try_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.arrived) {
                self.arrived.drain(..length);
                return Some(frame);
            }
            if !self.receive_more() {
                assert!(self.arrived.is_empty(), "{} bytes of a frame at the end", self.arrived.len());
                return None;
            }
        }
    }

    /// A whole message that travels in one frame.
    pub(crate) fn message(&mut self) -> (u8, Vec<u8>) {
        let frame = self.frame();
        assert!(frame.fin && matches!(frame.opcode, TEXT | BINARY), "no message: {frame:?}");
        (frame.opcode, frame.payload)
    }

    /// Expects a close frame with this code and then the end of the connection.
    pub(crate) fn expect_close(&mut self, code: u16) {
        assert_eq!(self.frame().close_code(), Some(code));
        self.expect_end();
    }

    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.try_frame(), None);
    }

    /// Whether nothing arrives and the connection stays open for this long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.arrived.extend(&buffer[..length]);
                false
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Reads once; false at the end of the connection, however it ended.
    fn receive_more(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.arrived.extend(&buffer[..length]);
                length > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("nothing came within {PATIENCE:?}: {error}"),
        }
    }
}

/// A handshake request with further header lines (each ended by CRLF).
pub(crate) fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The first frame in `bytes` and its length there; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, second] = *bytes.first_chunk()?;
    assert_eq!(first & 0x30, 0, "a reserved bit is set");
    assert_eq!(second & 0x80, 0, "a server must not mask (RFC 6455, 5.1)");
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes[2..].first_chunk()?)).unwrap(), 10),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((Frame { fin: first & 0x80 != 0, opcode: first & (0x0f | RSV1), payload }, start + length))
}
