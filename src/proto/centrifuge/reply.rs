//! Replies and pushes, as clients get them: one JSON object each, joined by newlines within a frame.
//!
//! Written by hand into the outgoing bytes: a reply is a few fields, and payloads go in as raw JSON.

use super::codes::Error;

/// The server's ping: an empty reply.
pub const PING: &[u8] = b"{}";

/// Appends `text` as a JSON string.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    #[expect(clippy::expect_used, reason = "writing a string to a Vec cannot fail")]
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    #[expect(clippy::expect_used, reason = "writing a number to a Vec cannot fail")]
    serde_json::to_writer(out, &number).expect("a number is always JSON");
}

/// Separates this message from one before it in the same frame, which began at `start`.
fn begin(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b'\n');
    }
}

/// What a connect reply tells.
#[derive(Clone, Copy, Debug)]
pub struct ConnectResult<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The server's name and version.
    pub version: &'a str,
    /// Seconds between the server's pings; 0 when it sends none.
    pub ping_s: u64,
}

/// Appends the reply to a connect command. `start`: where the frame's payload begins in `out` (so in all of these).
pub fn put_connect(out: &mut Vec<u8>, start: usize, id: u32, result: &ConnectResult<'_>) {
    begin(out, start);
    out.extend_from_slice(b"{\"id\":");
    put_number(out, id.into());
    out.extend_from_slice(b",\"connect\":{\"client\":");
    put_string(out, result.client);
    out.extend_from_slice(b",\"version\":");
    put_string(out, result.version);
    if result.ping_s > 0 {
        out.extend_from_slice(b",\"ping\":");
        put_number(out, result.ping_s);
        out.extend_from_slice(b",\"pong\":true");
    }
    out.extend_from_slice(b"}}");
}

/// Appends the reply to a command whose result has no fields to tell; `name` is the result's (`subscribe`, `publish` …).
pub fn put_empty(out: &mut Vec<u8>, start: usize, id: u32, name: &str) {
    begin(out, start);
    out.extend_from_slice(b"{\"id\":");
    put_number(out, id.into());
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":{}}");
}

/// Appends the reply to a command that failed.
pub fn put_error(out: &mut Vec<u8>, start: usize, id: u32, error: &Error) {
    begin(out, start);
    out.extend_from_slice(b"{\"id\":");
    put_number(out, id.into());
    out.extend_from_slice(b",\"error\":{\"code\":");
    put_number(out, error.code.into());
    out.extend_from_slice(b",\"message\":");
    put_string(out, error.message);
    if error.temporary {
        out.extend_from_slice(b",\"temporary\":true");
    }
    out.extend_from_slice(b"}}");
}

/// Appends the push of a publication. `data` is raw JSON without line ends; `client` the id of the connection that
/// published, if one did.
pub fn put_publication(out: &mut Vec<u8>, start: usize, channel: &str, data: &[u8], client: Option<&str>) {
    begin(out, start);
    out.extend_from_slice(b"{\"push\":{\"channel\":");
    put_string(out, channel);
    out.extend_from_slice(b",\"pub\":{\"data\":");
    out.extend_from_slice(data);
    if let Some(client) = client {
        out.extend_from_slice(b",\"info\":{\"client\":");
        put_string(out, client);
        out.push(b'}');
    }
    out.extend_from_slice(b"}}}");
}

/// Appends `data` as JSON for a push: text that is JSON as it is (line ends, which JSON allows between tokens but the
/// framing does not, become spaces), other text as a string.
pub fn put_text_as_json(out: &mut Vec<u8>, data: &[u8]) {
    match serde_json::from_slice::<serde::de::IgnoredAny>(data) {
        Ok(_) => {
            out.extend(data.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }))
        }
        Err(_) => put_string(out, &String::from_utf8_lossy(data)),
    }
}

/// Appends bytes as JSON for a push: a string in base64.
pub fn put_binary_as_json(out: &mut Vec<u8>, data: &[u8]) {
    put_string(out, &data_encoding::BASE64.encode(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_joined_by_newlines() {
        let joined = text(|out| {
            let connect = ConnectResult { client: "c1", version: "throng", ping_s: 25 };
            put_connect(out, 0, 1, &connect);
            put_empty(out, 0, 2, "subscribe");
            put_error(out, 0, 3, &Error::TOO_MANY_REQUESTS);
        });
        assert_eq!(
            joined,
            "{\"id\":1,\"connect\":{\"client\":\"c1\",\"version\":\"throng\",\"ping\":25,\"pong\":true}}\n\
             {\"id\":2,\"subscribe\":{}}\n\
             {\"id\":3,\"error\":{\"code\":111,\"message\":\"too many requests\",\"temporary\":true}}"
        );
    }

    #[test]
    fn a_publication_carries_raw_json_and_its_publisher() {
        let push = text(|out| put_publication(out, 0, "a\"b", b"[1]", Some("c")));
        assert_eq!(push, r#"{"push":{"channel":"a\"b","pub":{"data":[1],"info":{"client":"c"}}}}"#);
    }

    #[test]
    fn text_becomes_json_without_line_ends() {
        assert_eq!(text(|out| put_text_as_json(out, b"{\n\"a\":\r\n1}")), "{ \"a\":  1}");
        assert_eq!(text(|out| put_text_as_json(out, b"two\nlines")), r#""two\nlines""#);
        assert_eq!(text(|out| put_text_as_json(out, b"")), r#""""#);
    }
}
