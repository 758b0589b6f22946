//! Chunked request bodies (RFC 9112 §7.1), decoded.
//!
//! A server that reads chunks differently from the proxy before it sees other requests than the proxy. So every byte
//! around the data has one meaning here, or the body is refused: lines end with CR LF, sizes are up to eight
//! hexadecimal digits with nothing before or behind them, extensions and trailers are checked byte by byte, and then
//! dropped.

use std::fmt;

/// Maximum of digits of a chunk's size.
const DIGITS_MAX: u8 = 8;
/// Maximum of bytes of all extensions and trailers of one body: this server needs none.
const EXTRA_BYTES_MAX: usize = 4096;

/// The fault of a refused body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Not chunked, or ambiguous.
    Syntax,
    /// More data than permitted, by the size of a chunk that has not arrived yet.
    TooLarge,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "the chunks of the body cannot be read",
            Self::TooLarge => "the body is too large",
        })
    }
}

impl std::error::Error for Flaw {}

/// Decodes the chunks of one body, from pieces of any size.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Missing bytes of the current chunk.
    missing: usize,
    /// Digits of its size so far.
    digits: u8,
    extra_bytes: usize,
    data: Vec<u8>,
    data_bytes_max: usize,
}

/// The expected part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// A trailer, or the empty line that ends the body.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    End,
    Done,
}

impl Decoder {
    /// A decoder for a body with at most so many bytes of data.
    pub(crate) fn new(data_bytes_max: usize) -> Self {
        Self { state: State::Size, missing: 0, digits: 0, extra_bytes: 0, data: Vec::new(), data_bytes_max }
    }

    /// Takes input. Returns how many of its bytes belong to this body: all of them, unless the body is complete.
    ///
    /// # Errors
    /// See [`Flaw`]; no more bytes make the body good.
    pub(crate) fn receive(&mut self, input: &[u8]) -> Result<usize, Flaw> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let bytes = self.missing.min(input.len() - at);
                self.data.extend_from_slice(&input[at..at + bytes]);
                self.missing -= bytes;
                at += bytes;
                if self.missing == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// The state after this byte, which is not part of the data.
    fn step(&mut self, byte: u8) -> Result<State, Flaw> {
        let is_text = matches!(byte, b'\t' | b' '..=b'~');
        match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeEnd),
            (State::Size, b';') if self.digits > 0 => self.extra(State::Extension),
            (State::Size, digit) => self.digit(digit),
            (State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, _) if is_text => self.extra(State::Extension),
            (State::SizeEnd, b'\n') => self.begin_chunk(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.digits = 0;
                Ok(State::Size)
            }
            (State::Trailer, b'\r') => Ok(State::End),
            (State::TrailerName, b':') => self.extra(State::TrailerValue),
            (State::Trailer | State::TrailerName, _) if is_of_token(byte) => self.extra(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, _) if is_text || byte >= 0x80 => self.extra(State::TrailerValue),
            (State::TrailerEnd, b'\n') => Ok(State::Trailer),
            (State::End, b'\n') => Ok(State::Done),
            _ => Err(Flaw::Syntax),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Flaw> {
        let digit = char::from(byte).to_digit(16).ok_or(Flaw::Syntax)?;
        if self.digits == DIGITS_MAX {
            return Err(Flaw::Syntax);
        }
        self.digits += 1;
        self.missing = self.missing << 4 | digit as usize;
        Ok(State::Size)
    }

    fn extra(&mut self, state: State) -> Result<State, Flaw> {
        self.extra_bytes += 1;
        if self.extra_bytes > EXTRA_BYTES_MAX { Err(Flaw::TooLarge) } else { Ok(state) }
    }

    /// Begins a chunk of known size; size 0 means the last one.
    fn begin_chunk(&mut self) -> Result<State, Flaw> {
        if self.missing > self.data_bytes_max - self.data.len() {
            return Err(Flaw::TooLarge);
        }
        Ok(if self.missing == 0 { State::Trailer } else { State::Data })
    }

    /// Whether the body is complete.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The decoded data so far.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Memory of the decoded data.
    pub(crate) fn held_bytes(&self) -> usize {
        self.data.capacity()
    }
}

/// Whether the byte may occur in a token (RFC 9110 §5.6.2).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data of a body, and the body's length; `None` while it is incomplete.
    fn decode(bytes: &[u8], data_bytes_max: usize) -> Result<Option<(Vec<u8>, usize)>, Flaw> {
        let mut decoder = Decoder::new(data_bytes_max);
        let length = decoder.receive(bytes)?;
        Ok(decoder.is_done().then(|| (decoder.data().to_vec(), length)))
    }

    #[test]
    fn chunks_are_joined_and_what_is_around_them_is_dropped() {
        for (body, data) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
            ("00000005\r\nhello\r\n000\r\n\r\n", "hello"),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            ("5;a=b;c=\"d e\"\r\nhello\r\n0;last\r\n\r\n", "hello"),
            ("5\r\nhello\r\n0\r\nX-Sum: 5\r\nContent-Length:\u{fc} 7\r\n\r\n", "hello"),
        ] {
            let bytes = [body, "GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                decode(bytes.as_bytes(), 20),
                Ok(Some((data.as_bytes().to_vec(), body.len()))),
                "{body:?}"
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            // Sizes that are not plain hexadecimal numbers.
            "\r\n",
            ";\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5 ;a\r\nhello\r\n",
            "\t5\r\n",
            "+5\r\nhello\r\n",
            "-5\r\n",
            "0x5\r\nhello\r\n",
            "5h\r\n",
            "5_0\r\n",
            "5,5\r\n",
            "5.0\r\n",
            "000000005\r\nhello\r\n",
            "fffffffffffffffff\r\n",
            "\u{ff15}\r\n",
            // Lines that do not end with CR LF.
            "5\nhello\r\n",
            "5\rhello",
            "5\r\r\nhello\r\n",
            "5;a\nhello\r\n",
            "5;a\r;b\r\n",
            "5;a\0\r\n",
            "5;\u{e9}\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\n\r\r\n",
            // More or less data than declared.
            "5\r\nhell\r\n0\r\n\r\n",
            "5\r\nhellos\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            // Invalid trailers.
            "0\r\nX\r\n\r\n",
            "0\r\n: a\r\n\r\n",
            "0\r\nX : a\r\n\r\n",
            "0\r\nX: a\n\r\n",
            "0\r\nX: a\r\n b\r\n\r\n",
            "0\r\n X: a\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(decode(bad.as_bytes(), 1000), Err(Flaw::Syntax), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold_before_the_data_arrives() {
        assert!(decode(b"5\r\nhello\r\n0\r\n\r\n", 5).unwrap().is_some());
        assert_eq!(decode(b"6\r\n", 5), Err(Flaw::TooLarge));
        assert_eq!(decode(b"5\r\nhello\r\n1\r\n", 5), Err(Flaw::TooLarge));
        assert_eq!(decode(b"ffffffff\r\n", 5), Err(Flaw::TooLarge));
        let long = |count: usize| format!("0;{}\r\n\r\n", "a".repeat(count));
        assert!(decode(long(EXTRA_BYTES_MAX - 1).as_bytes(), 5).unwrap().is_some());
        assert_eq!(decode(long(EXTRA_BYTES_MAX).as_bytes(), 5), Err(Flaw::TooLarge));
        let trailers = "X: abc\r\n".repeat(EXTRA_BYTES_MAX / 6 + 1);
        assert_eq!(decode(format!("0\r\n{trailers}\r\n").as_bytes(), 5), Err(Flaw::TooLarge));
        let many = format!("{}0\r\n\r\n", "1;a\r\nx\r\n".repeat(EXTRA_BYTES_MAX));
        assert_eq!(decode(many.as_bytes(), 1 << 20), Err(Flaw::TooLarge), "of all chunks together");
    }

    proptest! {
        #[test]
        fn what_was_cut_into_chunks_is_joined_however_it_arrives(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            behind in any::<Vec<u8>>(),
            cut in 1..50_usize,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let bytes = [&body[..], &behind].concat();
            prop_assert_eq!(decode(&bytes, 400), Ok(Some((chunks.concat(), body.len()))));
            let mut decoder = Decoder::new(400);
            let taken: usize = bytes.chunks(cut).map(|piece| decoder.receive(piece).unwrap()).sum();
            prop_assert_eq!((taken, decoder.is_done(), decoder.data()), (body.len(), true, &chunks.concat()[..]));
        }

        #[test]
        fn no_input_panics_and_no_split_matters(bytes in "[0-9a-f;: \r\n]{0,40}", at in 0..40_usize) {
            let whole = decode(bytes.as_bytes(), 30);
            let (front, back) = bytes.split_at(at.min(bytes.len()));
            let mut decoder = Decoder::new(30);
            let outcome = decoder.receive(front.as_bytes()).and_then(|one| Ok(one + decoder.receive(back.as_bytes())?));
            let pieces = outcome.map(|length| decoder.is_done().then(|| (decoder.data().to_vec(), length)));
            prop_assert_eq!(pieces, whole);
        }
    }
}
