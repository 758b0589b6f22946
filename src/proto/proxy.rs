//! The header that a proxy sends at the start of a forwarded connection: the PROXY protocol, version 1 (a line of
//! text) and version 2 (binary), as HAProxy's `proxy-protocol.txt` describes them.
//!
//! The `proxy-header` crate reads the fields. This module adds the bounds, and the rules that the crate leaves to its
//! users: input that cannot become a header is refused at the first byte that shows it. Left out: extensions (TLVs),
//! which are skipped with their checksum.

use std::fmt;
use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

/// Length of the longest header of version 1 with its line end, in bytes.
const LINE_BYTES_MAX: usize = 107;
/// Length of the longest accepted header with extensions, in bytes. The protocol asks senders to stay within this
/// length: it fits into one packet on any path.
pub const HEADER_BYTES_MAX: usize = 536;

/// Start of a header of version 1.
const LINE_START: &[u8] = b"PROXY ";
/// The words behind it.
const FAMILIES: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
/// Start of a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of signature, version with command, family with transport, and length.
const FIXED_BYTES: usize = 16;
/// Version 2 with the command LOCAL: the proxy's own connection, for a health check.
const LOCAL: u8 = 0x20;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length: the client's own bytes begin behind it.
    pub length: usize,
    /// The client's address. `None` for the proxy's own connection (a health check), or when it does not know.
    pub client: Option<IpAddr>,
}

/// The input is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeader;

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PROXY header")
    }
}

impl std::error::Error for NoHeader {}

impl Header {
    /// Reads a header from the start of `bytes`; `Ok(None)` when it is incomplete.
    ///
    /// # Errors
    /// When it is not a header, or longer than [`HEADER_BYTES_MAX`]: then no more bytes make it one.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NoHeader> {
        let whole = match bytes.first() {
            None => return Ok(None),
            Some(b'P') => line(bytes)?,
            Some(_) => binary(bytes)?,
        };
        let Some(whole) = whole else { return Ok(None) };
        // Section 2.2: the block behind such a header is discarded, with its family and addresses.
        if whole.starts_with(SIGNATURE) && whole[SIGNATURE.len()] == LOCAL {
            return Ok(Some(Self { length: whole.len(), client: None }));
        }
        let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
        match ProxyHeader::parse(whole, config) {
            Ok((header, length)) if length == whole.len() => {
                let proxied = header.proxied_address();
                if proxied.is_some_and(|address| address.protocol == Protocol::Datagram) {
                    return Err(NoHeader);
                }
                let client = proxied.map(|address| address.source.ip().to_canonical());
                Ok(Some(Self { length, client }))
            }
            Ok(_) | Err(_) => Err(NoHeader),
        }
    }
}

/// Whether `bytes` begin as a header of either version does, and no client's input can: to recognise an unexpected
/// header.
pub fn looks_like_header(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) || bytes.starts_with(b"PROXY TCP") || bytes.starts_with(b"PROXY UNKNOWN")
}

/// A complete header of version 1, if `bytes` begin with one.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, NoHeader> {
    let behind = behind(bytes, LINE_START)?;
    if !FAMILIES.iter().any(|family| agrees(behind, family)) {
        return Err(NoHeader);
    }
    let end = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    match end {
        Some(end) if behind.starts_with(b"UNKNOWN") => is_unknown(&bytes[..=end]).map(Some),
        // Digits only: a parser of numbers would accept a sign.
        Some(end) if bytes[..end].contains(&b'+') => Err(NoHeader),
        Some(end) => Ok(Some(&bytes[..=end])),
        None if bytes.len() < LINE_BYTES_MAX => Ok(None),
        None => Err(NoHeader),
    }
}

/// Skips the rest of an UNKNOWN line, but only behind the whole word.
fn is_unknown(line: &[u8]) -> Result<&[u8], NoHeader> {
    let behind = &line[LINE_START.len() + "UNKNOWN".len()..];
    if behind.ends_with(b"\r\n") && matches!(behind[0], b' ' | b'\r') { Ok(line) } else { Err(NoHeader) }
}

/// A complete header of version 2, if `bytes` begin with one.
fn binary(bytes: &[u8]) -> Result<Option<&[u8]>, NoHeader> {
    let behind = behind(bytes, SIGNATURE)?;
    if behind.first().is_some_and(|version_and_command| !matches!(version_and_command, 0x20 | 0x21)) {
        return Err(NoHeader);
    }
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > HEADER_BYTES_MAX { Err(NoHeader) } else { Ok(bytes.get(..length)) }
}

/// The bytes behind `start`, as far as they have arrived.
fn behind<'a>(bytes: &'a [u8], start: &[u8]) -> Result<&'a [u8], NoHeader> {
    if agrees(bytes, start) { Ok(bytes.get(start.len()..).unwrap_or_default()) } else { Err(NoHeader) }
}

/// Whether the bytes so far are a prefix of `wanted`, or begin with it.
fn agrees(bytes: &[u8], wanted: &[u8]) -> bool {
    let common = bytes.len().min(wanted.len());
    bytes[..common] == wanted[..common]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;
    use std::net::SocketAddr;

    /// A header of version 2 with this command and family, and a body of addresses and extensions.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn client(bytes: &[u8]) -> Result<Option<IpAddr>, NoHeader> {
        let header = Header::parse(bytes)?.expect("whole");
        assert_eq!(header.length, bytes.len());
        Ok(header.client)
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 80];

    #[test]
    fn both_versions_name_the_client() {
        let address = |text: &str| Ok(Some(text.parse::<IpAddr>().unwrap()));
        assert_eq!(client(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n"), address("192.0.2.1"));
        assert_eq!(client(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), address("2001:db8::1"));
        assert_eq!(client(&v2(0x21, 0x11, &V4)), address("192.0.2.1"));
        let v6 = [[0x20; 16].as_slice(), &[1; 16], &[0, 1, 0, 2]].concat();
        assert_eq!(client(&v2(0x21, 0x21, &v6)), address("2020:2020:2020:2020:2020:2020:2020:2020"));
        let mapped = "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n";
        assert_eq!(client(mapped.as_bytes()), address("192.0.2.1"), "a mapped address is the IPv4 address");
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE_BYTES_MAX - 16));
        assert_eq!(longest.len(), LINE_BYTES_MAX);
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ::1 1 2\r\n", &longest] {
            assert_eq!(client(line.as_bytes()), Ok(None), "{line:?}");
        }
        assert_eq!(client(&v2(0x20, 0x00, &[])), Ok(None));
        assert_eq!(client(&v2(0x20, 0x11, &V4)), Ok(None), "LOCAL: addresses are to be ignored");
        // LOCAL with any family, and addresses that are missing, too short, or of an unknown kind.
        for family in 0..=u8::MAX {
            for body in [&[][..], &[0], &V4[..11], &V4, &[0xff; 36]] {
                assert_eq!(client(&v2(0x20, family, body)), Ok(None), "{family:#x} {body:?}");
            }
        }
        assert_eq!(client(&v2(0x21, 0x00, &[1, 2, 3])), Ok(None));
        assert_eq!(client(&v2(0x21, 0x31, &[b'/'; 216])), Ok(None), "a Unix socket has no address");
    }

    #[test]
    fn extensions_are_skipped_up_to_the_limit() {
        let body = |count: usize| [V4.as_slice(), &vec![0xee; count]].concat();
        let most = HEADER_BYTES_MAX - FIXED_BYTES - V4.len();
        assert_eq!(client(&v2(0x21, 0x11, &body(most))), Ok(Some([192, 0, 2, 1].into())));
        let more = v2(0x21, 0x11, &body(most + 1));
        assert_eq!(Header::parse(&more[..FIXED_BYTES]), Err(NoHeader), "refused before it has arrived");
    }

    #[test]
    fn what_is_no_header_is_refused_at_the_first_byte_that_shows_it() {
        let cases: [(&[u8], usize); 9] = [
            (b"GET / HTTP/1.1\r\n\r\n", 1),
            (b"PUT / HTTP/1.1\r\n\r\n", 2),
            (b"PROXY  TCP4", 7),
            (b"PROXY TCP5 ", 10),
            (b"\x16\x03\x01", 1),
            (b"\r\n\r\n\0\r\nQUIT\r", 12),
            (b"\r\n\r\n\0\r\nQUIT\n\x22", 13),
            (b"\r\n\r\n\0\r\nQUIT\n\x11", 13),
            (b"proxy TCP4 ", 1),
        ];
        for (bytes, shown) in cases {
            for end in 0..=bytes.len() {
                let outcome = Header::parse(&bytes[..end]);
                assert_eq!(outcome, if end < shown { Ok(None) } else { Err(NoHeader) }, "{bytes:?} {end}");
            }
        }
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'a'; LINE_BYTES_MAX]].concat();
        assert_eq!(Header::parse(&long[..LINE_BYTES_MAX - 1]), Ok(None));
        assert_eq!(Header::parse(&long[..LINE_BYTES_MAX]), Err(NoHeader));
        for line in [
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        ] {
            assert_eq!(Header::parse(line.as_bytes()), Err(NoHeader), "{line:?}");
        }
        for bytes in [v2(0x21, 0x11, &V4[..11]), v2(0x21, 0x12, &V4), v2(0x21, 0x41, &V4)] {
            assert_eq!(Header::parse(&bytes), Err(NoHeader), "{bytes:?}");
        }
    }

    #[test]
    fn headers_are_known_by_their_start() {
        for header in [&v2(0x20, 0, &[])[..], b"PROXY TCP4 192.0.2.1 ", b"PROXY UNKNOWN\r\n"] {
            assert!(looks_like_header(header), "{header:?}");
        }
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY / HTTP/1.1\r\n", b"\r\n\r\n", b""] {
            assert!(!looks_like_header(other), "{other:?}");
        }
    }

    fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
        let v6 = any::<([u16; 8], u16)>().prop_map(SocketAddr::from);
        prop_oneof![(v4.clone(), v4), (v6.clone(), v6)]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_each_prefix_waits((source, to) in addresses(), second: bool, behind in any::<Vec<u8>>()) {
            let written = ProxyHeader::with_address(ProxiedAddress::stream(source, to));
            let mut bytes = Vec::new();
            if second { written.encode_v2(&mut bytes).unwrap() } else { written.encode_v1(&mut bytes).unwrap() }
            for end in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&bytes[..end]), Ok(None));
            }
            let length = bytes.len();
            bytes.extend(behind);
            let wanted = Header { length, client: Some(source.ip().to_canonical()) };
            prop_assert_eq!(Header::parse(&bytes), Ok(Some(wanted)));
        }

        #[test]
        fn no_input_panics_and_no_header_waits_for_ever(start in 0..4_usize, bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let starts: [&[u8]; 4] = [b"", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x01"];
            let bytes = [starts[start], &bytes].concat();
            match Header::parse(&bytes) {
                Ok(Some(header)) => prop_assert!(header.length <= bytes.len().min(HEADER_BYTES_MAX)),
                Ok(None) => prop_assert!(bytes.len() < HEADER_BYTES_MAX),
                Err(NoHeader) => {}
            }
        }
    }
}
