//! Compressed messages of a server (RFC 7692, 7.2.2), identical for very many subscribers.
//!
//! The invariant: the result is always the inflated input. Bytes equal to those of the previous message are not
//! inflated again, because a generator that inflates for ten thousand clients on one core would measure itself.
//! Left out: context takeover, which a server that shares messages cannot use.

use flate2::{Decompress, FlushDecompress, Status};

/// The end of a compressed message, which is not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
const CHUNK_BYTES: usize = 16 << 10;

/// One thread's inflater, and the last message.
#[derive(Debug)]
pub(crate) struct Unpack {
    inflate: Decompress,
    packed: Vec<u8>,
    text: Vec<u8>,
}

impl Unpack {
    pub(crate) fn new() -> Self {
        Self { inflate: Decompress::new(false), packed: Vec::new(), text: Vec::new() }
    }

    /// Inflates `packed`; return the result by [`Unpack::keep`].
    ///
    /// # Errors
    /// An invalid compressed message, as the kind under which the failure is counted.
    pub(crate) fn take(&mut self, packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = std::mem::take(&mut self.text);
        if packed == self.packed && !packed.is_empty() {
            return Ok(text);
        }
        self.packed.clear();
        text.clear();
        self.inflate.reset(false);
        for mut input in [packed, &TAIL[..]] {
            loop {
                text.reserve(CHUNK_BYTES);
                let before = self.inflate.total_in();
                let status = self.inflate.decompress_vec(input, &mut text, FlushDecompress::None);
                let used = usize::try_from(self.inflate.total_in() - before).unwrap_or(input.len());
                input = &input[used..];
                match status {
                    Ok(Status::Ok | Status::BufError) if text.len() == text.capacity() => {}
                    Ok(Status::Ok | Status::BufError) if input.is_empty() => break,
                    _ => return Err("compressed message is broken".to_owned()),
                }
            }
        }
        self.packed.extend_from_slice(packed);
        Ok(text)
    }

    /// Takes back the result of [`Unpack::take`].
    pub(crate) fn keep(&mut self, text: Vec<u8>) {
        self.text = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_what_it_was() {
        let mut unpack = Unpack::new();
        // RFC 7692, 7.2.3.1 and 7.2.3.3.
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let stored = [0x00, 0x03, 0x00, 0xfc, 0xff, b'y', b'o', b'u', 0x00];
        for (packed, wanted) in
            [(&hello[..], "Hello"), (&hello, "Hello"), (&stored, "you"), (&hello, "Hello")]
        {
            let text = unpack.take(packed).unwrap();
            assert_eq!(text, wanted.as_bytes());
            unpack.keep(text);
        }
        assert!(unpack.take(&[0x07]).is_err());
        assert_eq!(unpack.take(&hello).unwrap(), b"Hello");
    }

    #[test]
    fn a_message_may_be_much_longer_than_what_arrived() {
        use std::io::Write;
        let text = "and so on ".repeat(20_000);
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        writer.write_all(text.as_bytes()).unwrap();
        writer.flush().unwrap();
        let packed = writer.get_ref().strip_suffix(&TAIL).unwrap();
        assert_eq!(Unpack::new().take(packed).unwrap(), text.as_bytes());
    }
}
