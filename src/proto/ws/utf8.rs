//! UTF-8 in pieces: invalid as soon as no continuation could make it valid (RFC 6455 §8.1).

/// The bytes are not UTF-8, for any continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// A validator that keeps at most three bytes of an incomplete character.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    pending: [u8; 4],
    pending_len: u8,
}

impl Utf8 {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Invalid`] at the first byte that cannot belong to any text.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Invalid> {
        while self.pending_len > 0 {
            let Some((&first, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            let len = usize::from(self.pending_len);
            self.pending[len] = first;
            match std::str::from_utf8(&self.pending[..=len]) {
                Ok(_) => self.pending_len = 0,
                Err(error) if error.error_len().is_none() => self.pending_len += 1,
                Err(_) => return Err(Invalid),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(bytes) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        for &byte in &bytes[error.valid_up_to()..] {
            self.pending[usize::from(self.pending_len)] = byte;
            self.pending_len += 1;
        }
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// [`Invalid`] when a character is incomplete.
    pub fn finish(&self) -> Result<(), Invalid> {
        if self.pending_len == 0 { Ok(()) } else { Err(Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces cut at `cuts`, and ends the text.
    fn run(bytes: &[u8], cuts: &[usize]) -> Result<(), Invalid> {
        let mut utf8 = Utf8::default();
        let mut rest = bytes;
        for &cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            utf8.feed(head)?;
            rest = tail;
        }
        utf8.feed(rest)?;
        utf8.finish()
    }

    #[test]
    fn fails_at_the_byte_that_decides() {
        for (good, bad) in [
            (&b"\xce\xba\xe1\xbd"[..], b'x'),
            (b"\xf4", 0x90),
            (b"\xed", 0xa0),
            (b"\xe0", 0x9f),
            (b"\xf0", 0x8f),
            (b"", 0xc0),
            (b"", 0xf5),
            (b"", 0x80),
        ] {
            let mut utf8 = Utf8::default();
            for &byte in good {
                assert_eq!(utf8.feed(&[byte]), Ok(()));
            }
            assert_eq!(utf8.feed(&[bad]), Err(Invalid), "{good:x?} {bad:x}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_what_the_whole_says(
            text in ".{0,40}", noise in proptest::collection::vec(any::<u8>(), 0..4), at in 0..80usize,
            cuts in proptest::collection::vec(0..5usize, 0..40),
        ) {
            let mut bytes = text.into_bytes();
            let at = at.min(bytes.len());
            bytes.splice(at..at, noise);
            prop_assert_eq!(run(&bytes, &cuts).is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
