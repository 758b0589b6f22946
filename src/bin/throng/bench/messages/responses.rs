//! HTTP/1.1 answers; those of the server API are counted and checked.
//!
//! The invariants: any split of the stream gives the same counts, and an answer without a result ends the
//! connection. Left out: bodies without a length, which neither the API nor polling sends.

/// Longer than any answer to a publication.
const RESPONSE_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 32;

/// The received answers of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Responses {
    /// An incomplete answer.
    kept: Vec<u8>,
}

impl Responses {
    /// Parses bytes of the server; returns the number of answers that they complete.
    ///
    /// # Errors
    /// An invalid answer, as the kind under which the failure is counted.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<u64, String> {
        self.kept.extend_from_slice(bytes);
        let (mut at, mut count) = (0, 0);
        while let Some(length) = response(&self.kept[at..])? {
            at += length;
            count += 1;
        }
        self.kept.drain(..at);
        if self.kept.len() > RESPONSE_BYTES_MAX { Err("response: endless".to_owned()) } else { Ok(count) }
    }
}

/// An HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Bytes of the whole answer.
    pub(crate) length: usize,
}

/// The answer at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// An invalid answer, or one without a length, as the kind under which the failure is counted.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<Answer<'_>>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_bytes = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(e) => return Err(format!("response: {e}")),
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> =
        length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
    let status = response.code.unwrap_or(0);
    let Some(length) = length else { return Err(format!("response: status {status} without a length")) };
    let body = bytes.get(head_bytes..).and_then(|tail| tail.get(..length));
    Ok(body.map(|body| Answer { status, body, length: head_bytes + length }))
}

/// The length of the result at the start of `bytes`; `None` while it is incomplete.
fn response(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(Answer { status, body, length }) = answer(bytes)? else { return Ok(None) };
    if status != 200 {
        return Err(format!("response: status {status}"));
    }
    if !body.starts_with(b"{\"result\":") {
        let body: String = String::from_utf8_lossy(body).chars().take(80).collect();
        return Err(format!("response: {body}"));
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 13\r\n\r\n{\"result\":{}}";

    #[test]
    fn any_split_counts_the_same_answers() {
        let stream = GOOD.repeat(5).into_bytes();
        for step in [1, 7, GOOD.len(), stream.len()] {
            let mut responses = Responses::default();
            let heard: u64 = stream.chunks(step).map(|part| responses.hear(part).unwrap()).sum();
            assert_eq!((heard, responses.kept.len()), (5, 0));
        }
    }

    #[test]
    fn what_is_no_result_is_a_failure() {
        let hear = |text: &str| Responses::default().hear(text.as_bytes()).unwrap_err();
        assert_eq!(hear(&GOOD.replace("200 OK", "401 Unauthorized")), "response: status 401");
        assert_eq!(hear(&GOOD.replace("\"result\"", "\"error_\"")), "response: {\"error_\":{}}");
        assert_eq!(
            hear(&GOOD.replace("Content-Length", "Content-Width")),
            "response: status 200 without a length"
        );
        assert!(hear("nonsense").starts_with("response: "));
    }
}
