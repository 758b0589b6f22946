//! Request heads, and what a connection becomes.

use throng::parts::proto::http::Request;
use throng::parts::proto::ws::handshake::Upgrade;
use throng::parts::session::Speaks;
use throng::parts::session::{Phase, Session};

use super::{Driver, cut};

/// The first three bytes are a plan for cutting the rest, which is a client's first words.
///
/// # Panics
/// When something does not hold that must.
pub fn http_head(data: &[u8]) {
    let (plan, bytes) = data.split_at(data.len().min(3));
    a_head_says_the_same_alone(bytes);
    let mut whole = Driver::new(Session::begin(Speaks::Http));
    let outcome = whole.receive([bytes]);
    let mut pieces = Driver::new(Session::begin(Speaks::Http));
    assert_eq!(pieces.receive(cut(bytes, plan)), outcome);
    // Of a flood of pings only the last is answered, and what is a flood depends on what came together.
    if whole.counts.pings_unanswered + pieces.counts.pings_unanswered == 0 {
        assert_eq!(without_continue(&pieces.out), without_continue(&whole.out));
    }
    assert_eq!(pieces.actions, whole.actions);
    if outcome.is_ok() {
        assert_eq!(pieces.session.phase(), whole.session.phase());
        assert!(
            whole.session.phase() == Phase::Opening || !whole.out.is_empty(),
            "who is past the first phase was answered"
        );
    }
    if !whole.out.is_empty() {
        assert!(whole.out.starts_with(b"HTTP/1.1 "));
    }
}

/// Whether a client is asked to go on depends on how much of the body has come with the head.
fn without_continue(out: &[u8]) -> Vec<u8> {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut left = Vec::new();
    let mut rest = out;
    while let Some((&byte, later)) = rest.split_first() {
        rest = match rest.strip_prefix(CONTINUE) {
            Some(behind) => behind,
            None => {
                left.push(byte);
                later
            }
        };
    }
    left
}

fn a_head_says_the_same_alone(bytes: &[u8]) {
    for bytes_max in [16, 200, 8192] {
        let Ok(Some((request, length))) = Request::parse(bytes, bytes_max) else { continue };
        assert!(length <= bytes_max && length <= bytes.len());
        assert!(bytes[..length].ends_with(b"\n"), "a head ends with a line");
        let (again, again_length) =
            Request::parse(&bytes[..length], bytes_max).expect("was one before").expect("is whole");
        assert_eq!((again.path, again.query, again_length), (request.path, request.query, length));
        assert_eq!((again.host(), again.framing()), (request.host(), request.framing()));
        assert!(request.path.starts_with('/') && request.host().is_ascii());
        for end in [0, length / 2, length - 1] {
            assert!(matches!(Request::parse(&bytes[..end], bytes_max), Ok(None)), "half a head waits");
        }
        if let Ok(upgrade) = Upgrade::parse(&request, &["one", "two"], true) {
            let mut answer = Vec::new();
            upgrade.write(&mut answer);
            let text = String::from_utf8(answer).expect("a head is text");
            let lines = 4 + usize::from(upgrade.subprotocol.is_some());
            assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n"));
            assert_eq!(text.matches("\r\n").count(), lines + 1, "nothing of the request breaks a line");
        }
    }
}
