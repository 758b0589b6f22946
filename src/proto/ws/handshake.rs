//! The opening handshake, server side (RFC 6455 §4.2).

use std::borrow::Cow;

use tungstenite::handshake::derive_accept_key;

use super::extension::{self, Accepted, Deflate};
use crate::proto::http::{Refusal, Request, Status};

/// The result of an acceptable upgrade request.
#[derive(Debug)]
pub struct Upgrade<'a> {
    key: Cow<'a, str>,
    /// The first subprotocol offered by the client that the server supports, if any.
    pub subprotocol: Option<&'static str>,
    extension: Option<Accepted>,
}

impl<'a> Upgrade<'a> {
    /// Checks an upgrade request against RFC 6455 §4.2.1. `subprotocols` are the endpoint's; the client's order of
    /// preference decides, and without a common one there is none (§4.2.2). `may_deflate`: whether an offer of
    /// permessage-deflate is accepted; if not, extensions are not parsed.
    ///
    /// # Errors
    /// 405 for another method, 426 without an upgrade or with another version than 13, 400 for HTTP/1.0, for a
    /// missing or invalid key, and for an invalid list of extensions (§9.1).
    pub fn parse(
        request: &Request<'a>,
        subprotocols: &[&'static str],
        may_deflate: bool,
    ) -> Result<Self, Refusal> {
        if request.method != "GET" {
            return Err(Refusal::new(Status::MethodNotAllowed, "use GET"));
        }
        // RFC 6455 §4.2.1, RFC 9110 §7.8.
        if request.is_http_1_0() {
            return Err(Refusal::new(Status::BadRequest, "a WebSocket needs HTTP/1.1"));
        }
        if !request.has_token("upgrade", "websocket") || !request.has_token("connection", "upgrade") {
            return Err(Refusal::new(Status::UpgradeRequired, "this is a WebSocket endpoint"));
        }
        // RFC 6455 §4.1 permits one version; clients that list several support each of them.
        if !request.has_token("sec-websocket-version", "13") {
            return Err(Refusal::new(Status::UpgradeRequired, "WebSocket version 13 is needed"));
        }
        let mut keys = request.values("sec-websocket-key");
        let key = keys.next().filter(|key| is_key(key) && keys.next().is_none());
        let key =
            key.ok_or(Refusal::new(Status::BadRequest, "exactly one valid Sec-WebSocket-Key is needed"))?;
        let served = |one: &str| subprotocols.iter().copied().find(|&served| served == one.trim());
        let subprotocol =
            request.values("sec-websocket-protocol").find_map(|offered| offered.split(',').find_map(served));
        let extension = if may_deflate {
            extension::negotiate(request.values("sec-websocket-extensions")).map_err(
                |extension::Malformed| {
                    Refusal::new(Status::BadRequest, "Sec-WebSocket-Extensions is no list of extensions")
                },
            )?
        } else {
            None
        };
        Ok(Self { key, subprotocol, extension })
    }

    /// The negotiated compression.
    pub fn deflate(&self) -> Deflate {
        self.extension.map_or(Deflate::Off, |accepted| accepted.deflate)
    }

    /// Appends the 101 response.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(derive_accept_key(self.key.as_bytes()).as_bytes());
        if let Some(subprotocol) = self.subprotocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(Accepted { answer, .. }) = self.extension {
            out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            out.extend_from_slice(answer.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Whether this is the base64 of 16 bytes (RFC 6455 §4.1): 22 characters and two fillers.
fn is_key(key: &str) -> bool {
    let (digits, fill) = key.split_at_checked(22).unwrap_or(("", ""));
    fill == "==" && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(head: &str) -> Result<(String, Option<&'static str>), Status> {
        let bytes = format!("{head}\r\nHost: a\r\n\r\n");
        let (request, _) = Request::parse(bytes.as_bytes(), 8192).unwrap().unwrap();
        let upgrade = Upgrade::parse(&request, &["one", "two"], true).map_err(|refusal| refusal.status)?;
        let mut out = Vec::new();
        upgrade.write(&mut out);
        Ok((String::from_utf8(out).unwrap(), upgrade.subprotocol))
    }

    const GOOD: &str = "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_rfc() {
        let (response, subprotocol) = outcome(GOOD).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(response.ends_with("\r\n\r\n") && subprotocol.is_none());
    }

    #[test]
    fn the_clients_order_of_subprotocols_decides() {
        let offer = |list: &str| outcome(&format!("{GOOD}\r\nSec-WebSocket-Protocol: {list}")).unwrap();
        assert_eq!(offer("three, two, one").1, Some("two"));
        assert!(offer("two").0.contains("Sec-WebSocket-Protocol: two\r\n"));
        assert_eq!(offer("three").1, None);
    }

    #[test]
    fn one_of_several_versions_will_do() {
        for versions in ["13, 8", "8,13", "8\r\nSec-WebSocket-Version: 13"] {
            assert!(
                outcome(&GOOD.replace("Version: 13", &format!("Version: {versions}"))).is_ok(),
                "{versions}"
            );
        }
    }

    #[test]
    fn each_rule_has_its_status() {
        for (from, to, status) in [
            ("GET", "POST", Status::MethodNotAllowed),
            ("HTTP/1.1", "HTTP/1.0", Status::BadRequest),
            ("Upgrade: WebSocket", "Upgrade: h2c", Status::UpgradeRequired),
            ("keep-alive, upgrade", "keep-alive", Status::UpgradeRequired),
            ("Version: 13", "Version: 8", Status::UpgradeRequired),
            ("Version: 13", "Version: 113", Status::UpgradeRequired),
            ("Version: 13", "Version: 8, 7", Status::UpgradeRequired),
            ("Version: 13", "Version: \u{fc}", Status::UpgradeRequired),
            ("Sec-WebSocket-Key", "Sec-WebSocket-Key: \u{fc}\r\nSec-WebSocket-Key", Status::BadRequest),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", Status::BadRequest),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!==", Status::BadRequest),
            ("Sec-WebSocket-Key", "X-Key", Status::BadRequest),
        ] {
            assert_eq!(outcome(&GOOD.replace(from, to)).err(), Some(status), "{to}");
        }
    }
}
