//! The head of a streaming response, held back until the connect command is answered: a refused client gets a
//! response with an error status (`connect_code_to_http_response`).

use std::sync::Arc;

use crate::hub::codes::{CodeOutcome, CodeRule, rule_for};

/// Status and text where no rule matches.
const OTHERWISE: (u16, &str) = (500, "Internal Server Error");

/// The head of a response, and the responses to refused clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldHead {
    /// The whole head.
    pub head: String,
    /// The lines of the head that allow a page to read the response (CORS).
    pub cors: String,
    /// The responses, by the codes of errors and disconnects.
    pub rules: Arc<[CodeRule]>,
}

impl HeldHead {
    /// Writes the response to a client that is refused with this code and text.
    pub(super) fn refuse(&self, code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
        let rule = code.and_then(|code| rule_for(&self.rules, u32::from(code)));
        let (status, body) = match rule {
            Some(CodeOutcome::Response { status, body }) if body.is_empty() => (*status, reason),
            Some(CodeOutcome::Response { status, body }) => (*status, body.as_str()),
            Some(CodeOutcome::Error { .. } | CodeOutcome::Disconnect { .. }) | None => OTHERWISE,
        };
        let cors = &self.cors;
        // The phrase behind the status may be empty (RFC 9112, 4).
        let response = format!(
            "HTTP/1.1 {status} \r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n{cors}\r\n{body}",
            body.len()
        );
        out.extend_from_slice(response.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_gets_the_status_of_the_code() {
        let rule = |from, status, body: &str| CodeRule {
            from,
            to: CodeOutcome::Response { status, body: body.to_owned() },
        };
        let rules = [rule(109, 401, ""), rule(3500, 403, "go away")].into();
        let held = HeldHead { head: String::new(), cors: "Vary: Origin\r\n".to_owned(), rules };
        for (code, reason, line, body) in [
            (Some(109), "token expired", "HTTP/1.1 401 \r\n", "token expired"),
            (Some(3500), "invalid token", "HTTP/1.1 403 \r\n", "go away"),
            (Some(3501), "bad request", "HTTP/1.1 500 \r\n", "Internal Server Error"),
            (None, "", "HTTP/1.1 500 \r\n", "Internal Server Error"),
        ] {
            let mut out = Vec::new();
            held.refuse(code, reason, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(line) && text.contains("\r\nVary: Origin\r\n"), "{text}");
            assert!(text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
            assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())), "{text}");
        }
    }
}
