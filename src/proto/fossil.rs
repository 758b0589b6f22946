//! Deltas in Fossil's format: the copies and inserts that make one text from another.
//!
//! A delta is `SIZE\n`, then copies (`COUNT@OFFSET,`) and inserts (`COUNT:BYTES`), then `CHECKSUM;`; numbers are in
//! base 64 with an alphabet of their own. Invariant: inserts contain whole characters, so a delta to a text in UTF-8
//! is itself UTF-8 and can be a JSON string. The work is linear in both lengths, for any contents. Left out: the
//! decision whether a delta is shorter than its target; it can be a little longer.

/// Block size of the source's index, in bytes: shorter matches are found only at the beginning and end of both texts.
const BLOCK_BYTES: usize = 16;
/// Maximum of blocks with the same hash that are compared at one place of the target.
const CANDIDATES_MAX: usize = 16;
/// Cost of a copy beside its numbers, in bytes: it cuts an insert in two.
const CUT_BYTES: usize = 4;
/// Maximum of bytes of a character after its first.
const CHARACTER_REST_MAX: usize = 3;
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// The delta that makes `to` from `from`.
pub fn delta(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut delta = Delta::new(to);
    let head = common_head(from, to);
    let tail = common_tail(&from[head..], &to[head..]);
    delta.copy(&Match { start: 0, end: head, offset: 0 });
    let tail_start = to.len() - tail;
    if from.len() >= BLOCK_BYTES && tail_start - delta.made >= BLOCK_BYTES {
        delta.search(&Blocks::new(from), tail_start);
    }
    let start = tail_start.max(delta.made);
    delta.copy(&Match { start, end: to.len(), offset: from.len() - (to.len() - start) });
    delta.finish()
}

/// The result of a delta to `from`, at most `bytes_max` bytes. `None` when the delta is invalid, or belongs to
/// another source.
pub fn apply(from: &[u8], delta: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut rest = delta;
    let size = number(&mut rest)?;
    rest = rest.strip_prefix(b"\n")?;
    if size > bytes_max {
        return None;
    }
    let mut made = Vec::new();
    loop {
        let count = number(&mut rest)?;
        let (operation, after) = rest.split_first()?;
        rest = after;
        match operation {
            b'@' => {
                let offset = number(&mut rest)?;
                rest = rest.strip_prefix(b",")?;
                made.extend_from_slice(from.get(offset..offset.checked_add(count)?)?);
            }
            b':' => {
                let (inserted, after) = rest.split_at_checked(count)?;
                made.extend_from_slice(inserted);
                rest = after;
            }
            b';' => {
                let is_whole = rest.is_empty() && made.len() == size;
                return (is_whole && u32::try_from(count) == Ok(checksum(&made))).then_some(made);
            }
            _ => return None,
        }
        if made.len() > size {
            return None;
        }
    }
}

/// Reads a number of at least one digit.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number: usize = 0;
    let mut is_empty = true;
    while let Some((&byte, rest)) = bytes.split_first() {
        let Some(digit) = DIGITS.iter().position(|&digit| digit == byte) else { break };
        number = number.checked_mul(64)?.checked_add(digit)?;
        is_empty = false;
        *bytes = rest;
    }
    (!is_empty).then_some(number)
}

/// The sum of the text's 32-bit words, most significant byte first, the last one padded with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let sum = |sum: u32, word: &[u8; 4]| sum.wrapping_add(u32::from_be_bytes(*word));
    sum(words.iter().fold(0, sum), &last)
}

/// Length of the common prefix.
fn common_head(a: &[u8], b: &[u8]) -> usize {
    let (a_chunks, b_chunks) = (a.as_chunks::<32>().0, b.as_chunks::<32>().0);
    let same = a_chunks.iter().zip(b_chunks).take_while(|(a, b)| a == b).count() * 32;
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// Length of the common suffix.
fn common_tail(a: &[u8], b: &[u8]) -> usize {
    let (a_chunks, b_chunks) = (a.as_rchunks::<32>().1, b.as_rchunks::<32>().1);
    let same = a_chunks.iter().rev().zip(b_chunks.iter().rev()).take_while(|(a, b)| a == b).count() * 32;
    let (a, b) = (&a[..a.len() - same], &b[..b.len() - same]);
    same + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// A part of the target that occurs in the source at an offset.
#[derive(Clone, Copy, Debug)]
struct Match {
    start: usize,
    end: usize,
    offset: usize,
}

/// A delta under construction.
struct Delta<'a> {
    to: &'a [u8],
    /// Number of bytes of `to` that `out` produces.
    made: usize,
    out: Vec<u8>,
}

impl<'a> Delta<'a> {
    fn new(to: &'a [u8]) -> Self {
        let mut delta = Self { to, made: 0, out: Vec::new() };
        delta.put(to.len(), b'\n');
        delta
    }

    fn put(&mut self, number: usize, mark: u8) {
        for digit in (0..digit_count(number)).rev() {
            self.out.push(DIGITS[number >> (6 * digit) & 63]);
        }
        self.out.push(mark);
    }

    /// Copies a match, trimmed to whole characters, and inserts the bytes before it, if that is shorter than
    /// inserting all of it. The match must not start before `made`.
    fn copy(&mut self, found: &Match) -> bool {
        let Some((start, end)) = self.whole_characters(found.start, found.end) else { return false };
        let offset = found.offset + (start - found.start);
        let count = end - start;
        if count <= digit_count(count) + digit_count(offset) + 2 + CUT_BYTES {
            return false;
        }
        self.insert_up_to(start);
        self.put(count, b'@');
        self.put(offset, b',');
        self.made = end;
        true
    }

    /// The part between character boundaries. In bytes that are not text, ends may stay where they are.
    fn whole_characters(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let is_inside = |at: &usize| self.to.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let forward = (start..end).take(CHARACTER_REST_MAX).take_while(is_inside).count();
        let backward = (start + 1..=end).rev().take(CHARACTER_REST_MAX).take_while(is_inside).count();
        (start + forward < end - backward).then_some((start + forward, end - backward))
    }

    fn insert_up_to(&mut self, end: usize) {
        if end > self.made {
            self.put(end - self.made, b':');
            self.out.extend_from_slice(&self.to[self.made..end]);
            self.made = end;
        }
    }

    /// Copies all worthwhile matches that start before `search_end`.
    fn search(&mut self, blocks: &Blocks<'_>, search_end: usize) {
        let mut at = self.made;
        while at + BLOCK_BYTES <= search_end {
            match blocks.longest(self.to, self.made, at) {
                Some(found) if self.copy(&found) => at = self.made,
                _ => at += 1,
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.insert_up_to(self.to.len());
        self.put(checksum(self.to) as usize, b';');
        self.out
    }
}

fn digit_count(number: usize) -> usize {
    (number.max(1).ilog2() / 6 + 1) as usize
}

/// The index of a source's blocks, by hash of their contents.
struct Blocks<'a> {
    from: &'a [u8],
    /// Number of the first block of each hash.
    first: Vec<u32>,
    /// Number of the next block with the same hash, for each block.
    next: Vec<u32>,
}

impl<'a> Blocks<'a> {
    const NONE: u32 = u32::MAX;

    fn new(from: &'a [u8]) -> Self {
        let blocks = from.as_chunks::<BLOCK_BYTES>().0;
        let mut index = Self {
            from,
            first: vec![Self::NONE; blocks.len().next_power_of_two()],
            next: vec![Self::NONE; blocks.len()],
        };
        // Inserted from the last to the first, so that the first is found first.
        for (number, block) in (0..Self::NONE).zip(blocks).collect::<Vec<_>>().into_iter().rev() {
            let first = index.slot(block);
            index.next[number as usize] = std::mem::replace(&mut index.first[first], number);
        }
        index
    }

    fn slot(&self, block: &[u8; BLOCK_BYTES]) -> usize {
        // Any odd number with well mixed bits; collisions cost at most CANDIDATES_MAX comparisons.
        const MIX: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
        #[expect(clippy::cast_possible_truncation, reason = "some of the bits are enough")]
        let mixed = (u128::from_le_bytes(*block).wrapping_mul(MIX) >> 64) as usize;
        mixed & (self.first.len() - 1)
    }

    /// The longest match among the candidates for the block at `at`, extended in both directions, but not before
    /// `made`.
    fn longest(&self, to: &[u8], made: usize, at: usize) -> Option<Match> {
        let block = to[at..].first_chunk()?;
        let mut best: Option<Match> = None;
        let mut number = self.first[self.slot(block)];
        for _ in 0..CANDIDATES_MAX {
            if number == Self::NONE {
                break;
            }
            let offset = number as usize * BLOCK_BYTES;
            if self.from[offset..].starts_with(block) {
                let before = common_tail(&self.from[..offset], &to[made..at]);
                let count = before + common_head(&self.from[offset..], &to[at..]);
                if best.is_none_or(|best| count > best.end - best.start) {
                    let start = at - before;
                    best = Some(Match { start, end: start + count, offset: offset - before });
                }
            }
            number = self.next[number as usize];
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(delta: &[u8]) -> &str {
        std::str::from_utf8(delta).unwrap()
    }

    #[test]
    fn deltas_are_written_as_fossil_writes_them() {
        // The checksum of "ab": 0x61620000.
        assert_eq!(text(&delta(b"", b"ab")), "2\n2:ab1XOW00;");
        assert_eq!(text(&delta(b"anything", b"")), "0\n0;");
        let same = b"{\"price\":\"150.25\",\"ticker\":\"AAPL\"}";
        assert!(text(&delta(same, same)).starts_with("Y\nY@0,"));
        let next = b"{\"price\":\"150.31\",\"ticker\":\"AAPL\"}";
        assert!(text(&delta(same, next)).starts_with("Y\nE@0,2:31I@G,"), "{}", text(&delta(same, next)));
    }

    #[test]
    fn what_moved_is_copied() {
        let (a, b) = ("the first part stands before. ".repeat(3), "the second part comes after! ".repeat(3));
        let (from, to) = (format!("{a}{b}"), format!("{b}{a}"));
        let delta = delta(from.as_bytes(), to.as_bytes());
        assert!(delta.len() < 60, "{}", text(&delta));
        assert_eq!(apply(from.as_bytes(), &delta, 1000), Some(to.into_bytes()));
    }

    #[test]
    fn characters_are_never_cut() {
        let from = "Привет, как дела? Это длинный текст, in dem einiges gleich bleibt.";
        for (old, new) in [("П", "Р"), ("дела", "делы"), ("gleich", "gle\u{ef}ch"), ("?", "\u{1f600}")]
        {
            let to = from.replace(old, new);
            let delta = delta(from.as_bytes(), to.as_bytes());
            assert!(delta.len() < from.len() && std::str::from_utf8(&delta).is_ok());
            assert_eq!(apply(from.as_bytes(), &delta, 1000), Some(to.into_bytes()));
        }
    }

    #[test]
    fn broken_deltas_are_told() {
        let from = b"0123456789abcdef0123456789abcdef";
        let good = delta(from, &from[..31]);
        assert_eq!(apply(from, &good, 31).as_deref(), Some(&from[..31]));
        assert_eq!(apply(from, &good, 30), None, "too large");
        assert_eq!(apply(b"other", &good, 31), None, "made from another source");
        for bad in [
            "",
            "\n",
            "2",
            "2\n",
            "2\n2:ab",
            "2\n2:ab0;",
            "3\n2:ab1XOW00;",
            "1\n2:ab1XOW00;",
            "2\n2:ab1XOW00;x",
        ] {
            assert_eq!(apply(from, bad.as_bytes(), 100), None, "{bad:?}");
        }
        for bad in ["1\n1@W,0;", "1\n1@0;", "1\n1?0,", "~~~~~~~~~~~~\n", "1\n~~~~~~~~~~~@1,"] {
            assert_eq!(apply(from, bad.as_bytes(), 100), None, "{bad:?}");
        }
        assert_eq!(apply(from, b"2\n2:ab1XOW00;", 2).as_deref(), Some(&b"ab"[..]));
    }

    /// A text, and a variant of it after some cuts, repeats and insertions.
    fn related() -> impl Strategy<Value = (String, String)> {
        let word = prop_oneof!["[a-c]{1,20}", "[а-в]{1,10}", "[\u{1f600}-\u{1f602}]{1,5}", "[ -~]{0,40}"];
        let words = proptest::collection::vec(word, 0..12);
        let edits = proptest::collection::vec((any::<prop::sample::Index>(), "[a-cа-в]{0,3}"), 0..6);
        (words, edits).prop_map(|(words, edits)| {
            let mut edited = words.clone();
            for (at, text) in edits {
                let at = at.index(edited.len() + 1);
                match text.chars().count() {
                    0 if at < edited.len() => drop(edited.remove(at)),
                    1 => edited.rotate_left(at),
                    _ => edited.insert(at, text),
                }
            }
            (words.concat(), edited.concat())
        })
    }

    proptest! {
        #[test]
        fn a_delta_makes_what_it_should((from, to) in related()) {
            let delta = delta(from.as_bytes(), to.as_bytes());
            prop_assert!(std::str::from_utf8(&delta).is_ok());
            prop_assert!(delta.len() <= to.len() + 24);
            prop_assert_eq!(apply(from.as_bytes(), &delta, to.len()), Some(to.into_bytes()));
        }

        #[test]
        fn bytes_are_no_different(
            from in proptest::collection::vec(0x7eu8..0x83, 0..300),
            to in proptest::collection::vec(0x7eu8..0x83, 0..300),
            at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(from.len() + 1);
            let mixed = [&from[at..], &to, &from[..at]].concat();
            prop_assert_eq!(apply(&from, &delta(&from, &mixed), mixed.len()), Some(mixed));
        }

        #[test]
        fn no_delta_panics(from in any::<Vec<u8>>(), delta in "[0-9A-Za@:,;\n]{0,40}") {
            prop_assert!(apply(&from, delta.as_bytes(), 1000).is_none_or(|made| made.len() <= 1000));
        }
    }
}
