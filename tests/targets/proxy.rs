//! Headers of the PROXY protocol, as they arrive.

use throng::parts::proto::proxy::{HEADER_BYTES_MAX, Header, NoHeader};

use super::cut;

/// The first three bytes are a plan for cutting the rest, which is how a connection begins.
///
/// # Panics
/// When something does not hold that must.
pub fn proxy_header(data: &[u8]) {
    let (plan, bytes) = data.split_at(data.len().min(3));
    let whole = Header::parse(bytes);
    let mut arrived = Vec::new();
    let mut piecewise = Ok(None);
    for piece in cut(bytes, plan) {
        arrived.extend_from_slice(piece);
        piecewise = Header::parse(&arrived);
        if piecewise != Ok(None) {
            break;
        }
    }
    assert_eq!(piecewise, whole, "however it is cut");
    match whole {
        Ok(Some(Header { length, .. })) => {
            assert!(length <= HEADER_BYTES_MAX && length <= bytes.len());
            assert_eq!(Header::parse(&bytes[..length]), whole, "what is behind does not matter");
            for end in 0..length {
                assert_eq!(Header::parse(&bytes[..end]), Ok(None), "half a header waits");
            }
        }
        Ok(None) => assert!(bytes.len() < HEADER_BYTES_MAX, "nobody waits for ever"),
        Err(NoHeader) => {
            let more = [bytes, b"\r\n\r\n"].concat();
            assert_eq!(Header::parse(&more), Err(NoHeader), "no more bytes make it one");
        }
    }
}
