//! The press against streams of zlib: whole, truncated, damaged and too large.

use std::io::Read;

use proptest::prelude::*;

use super::super::{Decoder, Event, Limits};
use super::*;

const LIMITS: Limits = Limits { frame_bytes_max: 100_000, message_bytes_max: 100_000 };

fn press(bytes_min: usize) -> Press {
    Press::new(Some(Options { level: 6, bytes_min }))
}

/// The inflated payload.
fn inflated(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    press(0).inflate(payload, LIMITS.message_bytes_max)
}

/// A payload inflated by a stream reader without knowledge of messages, with the omitted tail appended.
fn read_by_flate2(payload: &[u8]) -> Vec<u8> {
    let stream = [payload, &TAIL[..]].concat();
    let (mut out, mut reader) = (Vec::new(), flate2::read::DeflateDecoder::new(&stream[..]));
    // Such a reader expects a last block, which is optional in messages.
    if let Err(error) = reader.read_to_end(&mut out) {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    out
}

/// A compressed payload from flate2's own writer, flushed at each piece.
fn written_by_flate2(pieces: &[&[u8]], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(level));
    for piece in pieces {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    let mut out = writer.get_ref().clone();
    // It writes nothing for an empty piece, and for flushed input.
    if out.ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    out
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut out = match u8::try_from(length) {
        Ok(short @ 0..126) => vec![first, 0x80 | short],
        _ => [&[first, 0x80 | 126][..], &length.to_be_bytes()].concat(),
    };
    out.extend([0; 4]);
    out.extend(payload);
    out
}

/// The messages decoded from these pieces.
fn decoded(pieces: &[&[u8]]) -> Result<Vec<(Kind, Vec<u8>)>, Violation> {
    let (mut decoder, mut press, mut messages) = (Decoder::default(), press(0), Vec::new());
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        while let Some(event) = decoder.next(&mut input, &LIMITS, Some(&mut press))? {
            if let Event::Message(kind, payload) = event {
                messages.push((kind, payload.to_vec()));
                press.reclaim(payload);
            }
        }
    }
    assert_eq!(decoder.held_bytes(), 0);
    Ok(messages)
}

/// The payloads of RFC 7692 §7.2.3, each of which is "Hello".
#[test]
fn the_examples_of_the_rfc() {
    for payload in [
        // One block (§7.2.3.1), no compression (§7.2.3.3), a last block (§7.2.3.4), two blocks (§7.2.3.5).
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        // A last block without anything behind it.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        assert_eq!(inflated(payload).unwrap(), b"Hello", "{payload:x?}");
    }
    // §7.2.3.6, and the empty message of compressors with context takeover.
    assert_eq!(inflated(&[0x00]).unwrap(), b"");
    assert_eq!(inflated(&[]).unwrap(), b"");
    // §7.2.3.1: as one frame and as two.
    let whole = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let hello = vec![(Kind::Text, b"Hello".to_vec())];
    assert_eq!(decoded(&[&frame(0xc1, &whole)]), Ok(hello.clone()));
    assert_eq!(decoded(&[&frame(0x41, &whole[..3]), &frame(0x80, &whole[3..])]), Ok(hello));
}

/// §7.2.3.2 repeats "Hello" by a reference to the previous message, which the negotiation forbids.
#[test]
fn nothing_is_remembered_of_the_message_before() {
    let mut press = press(0);
    let first = press.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 100).unwrap();
    press.reclaim(Payload::Inflated(first));
    assert_eq!(press.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 100), Err(Violation::Deflate));
    // The same after a previous message has failed.
    assert_eq!(inflated(&[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Violation::Deflate));
    for _ in 0..2 {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let text = "the same and the same and the same again";
        press.put_frame(&mut one, Kind::Text, text.as_bytes(), Deflate::Wide);
        press.put_frame(&mut two, Kind::Text, text.as_bytes(), Deflate::Wide);
        assert!(one == two && one[0] == 0xc1);
    }
}

#[test]
fn a_last_block_may_be_followed_by_others_that_refer_to_it() {
    // A last block with "Hello", then §7.2.3.2: the five bytes before, again.
    let payload = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflated(&payload).unwrap(), b"HelloHello");
    // The number of last blocks is limited.
    let ends = [0x03, 0x00].repeat(ENDS_MAX - 1);
    assert_eq!(inflated(&[&ends[..], &[0x00]].concat()).unwrap(), b"");
    assert_eq!(inflated(&[0x03, 0x00].repeat(ENDS_MAX + 1)), Err(Violation::Deflate));
}

#[test]
fn what_is_no_whole_message_is_refused() {
    let text = "not all of this arrives, and of what does not arrive nothing is made up".repeat(5);
    let payload = written_by_flate2(&[text.as_bytes()], 6);
    assert_eq!(inflated(&payload).unwrap(), text.as_bytes());
    for end in 1..payload.len() {
        assert_eq!(inflated(&payload[..end]), Err(Violation::Deflate), "cut at {end}");
    }
    for broken in [
        // An invalid block type, a stored block whose length contradicts its complement, an invalid reference.
        &[0x07][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        // The four omitted bytes, transmitted.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00],
    ] {
        assert_eq!(inflated(broken), Err(Violation::Deflate), "{broken:x?}");
    }
}

/// A message that expands a thousandfold: no more than the limit is inflated, and no memory of it is kept.
#[test]
fn a_bomb_stops_while_it_goes_off() {
    let zeros = vec![0; 32 << 20];
    let bomb = written_by_flate2(&[&zeros], 9);
    assert!(bomb.len() < 40_000);
    for bytes_max in [1, 1000, 65_536, 1 << 20] {
        let mut press = press(0);
        assert_eq!(press.inflate(&bomb, bytes_max), Err(Violation::MessageTooBig));
        let came_out = press.take_tally().inflated_bytes;
        assert!(came_out <= bytes_max as u64 + 1, "{came_out} of {bytes_max}");
        assert!(press.inflated.capacity() <= KEPT_BYTES_MAX.min(bytes_max + CHUNK_BYTES));
        // The next message is inflated correctly.
        assert_eq!(press.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5).unwrap(), b"Hello");
    }
    assert_eq!(decoded(&[&frame(0xc2, &bomb)]), Err(Violation::MessageTooBig));
}

#[test]
fn as_much_as_is_allowed_is_not_too_much() {
    let text = vec![b'x'; 70_000];
    let payload = written_by_flate2(&[&text], 6);
    assert_eq!(press(0).inflate(&payload, 70_000).unwrap(), text);
    assert_eq!(press(0).inflate(&payload, 69_999), Err(Violation::MessageTooBig));
    let ended = [&payload[..], &[0x03, 0x00]].concat();
    assert!(press(0).inflate(&ended, 69_999).is_err());
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    for (bytes, is_text) in
        [(&b"gr\xc3\xbc\xc3\x9fe"[..], true), (b"gr\xfc\xdfe", false), (b"\xe2\x82", false)]
    {
        let payload = written_by_flate2(&[bytes], 6);
        let whole = decoded(&[&frame(0xc1, &payload)]);
        assert_eq!(
            whole,
            if is_text { Ok(vec![(Kind::Text, bytes.to_vec())]) } else { Err(Violation::Utf8) }
        );
        assert_eq!(decoded(&[&frame(0xc2, &payload)]), Ok(vec![(Kind::Binary, bytes.to_vec())]));
    }
}

/// RFC 7692 §6: the permitted place of the bit, and refusals without the extension.
#[test]
fn the_bit_stands_on_the_first_frame_alone() {
    let whole = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for frames in [
        [frame(0x41, &whole[..3]), frame(0xc0, &whole[3..])],
        [frame(0x01, b"a"), frame(0xc0, b"b")],
        [frame(0xc9, b""), frame(0x81, b"")],
        [frame(0xc8, b""), frame(0x81, b"")],
        [frame(0xa1, b""), frame(0x81, b"")],
        [frame(0xd1, b""), frame(0x81, b"")],
    ] {
        let bytes = frames.concat();
        assert_eq!(decoded(&[&bytes]), Err(Violation::ReservedBit), "{bytes:x?}");
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decoded(&each), Err(Violation::ReservedBit), "{bytes:x?}");
    }
    // An uncompressed message between compressed ones, and a ping inside of one.
    let frames = [
        frame(0x41, &whole[..3]),
        frame(0x89, b"?"),
        frame(0x80, &whole[3..]),
        frame(0x81, b"plain"),
        frame(0xc1, &whole),
    ];
    let texts = ["Hello", "plain", "Hello"].map(|text| (Kind::Text, text.as_bytes().to_vec()));
    assert_eq!(decoded(&[&frames.concat()]), Ok(texts.to_vec()));
}

#[test]
fn what_is_short_or_does_not_shrink_is_sent_as_it_is() {
    let step = |last: &u32| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let noise: Vec<u8> =
        std::iter::successors(Some(1), step).map(|number: u32| number.to_be_bytes()[0]).take(400).collect();
    for (payload, deflate, is_packed) in [
        (&[b'x'; 99][..], Deflate::Wide, false),
        (&[b'x'; 100], Deflate::Wide, true),
        (&[b'x'; 100], Deflate::Narrow, true),
        (&[b'x'; 100], Deflate::Off, false),
        (&noise, Deflate::Wide, false),
        (&noise, Deflate::Narrow, false),
    ] {
        let (mut press, mut out) = (press(100), b"before".to_vec());
        press.put_frame(&mut out, Kind::Binary, payload, deflate);
        assert_eq!(out[6], if is_packed { 0xc2 } else { 0x82 });
        let mut wrapped = [b"before", payload].concat();
        press.wrap(&mut wrapped, 6, Kind::Binary, deflate);
        assert_eq!(out, wrapped);
        assert_eq!(press.take_tally().plain_bytes, if is_packed { 2 * payload.len() as u64 } else { 0 });
    }
    let (mut press, mut out) = (press(0), b"before".to_vec());
    press.wrap(&mut out, 6, Kind::Text, Deflate::Wide);
    assert_eq!(out, b"before", "an empty message writes nothing");
}

/// After any earlier message, a press compresses a message exactly as a new press does.
#[test]
fn what_does_not_shrink_leaves_no_trace() {
    let text = "something to compress, and to compress again".repeat(40);
    let step = |last: &u32| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mut numbers = std::iter::successors(Some(1), step).map(|number: u32| number.to_be_bytes()[0]);
    for level in 1..=9 {
        for deflate in [Deflate::Wide, Deflate::Narrow] {
            let new = || Press::new(Some(Options { level, bytes_min: 0 }));
            let (mut press, wanted) = (new(), new().pack(text.as_bytes(), deflate).unwrap().to_vec());
            for (length, count) in [(1, 9), (100, 9), (8192, 12), (70_000, 2)] {
                for _ in 0..count {
                    let noise: Vec<u8> = numbers.by_ref().take(length).collect();
                    assert_eq!(press.pack(&noise, deflate), None, "level {level}, {length} bytes");
                }
                assert_eq!(press.pack(text.as_bytes(), deflate), Some(&wanted[..]), "level {level}");
            }
            assert!(match deflate {
                Deflate::Narrow => press.narrow.is_some(),
                Deflate::Wide | Deflate::Off => press.wide.is_some(),
            });
        }
    }
}

/// A client with a window of 512 bytes can read all messages.
#[test]
fn a_narrow_window_is_kept_to() {
    let words: Vec<String> = (0..200).map(|i| format!("word {} and ", i * 7919 % 1000)).collect();
    let text = [words.concat(), words.concat()].concat();
    let (mut press, mut wide, mut narrow) = (press(0), Vec::new(), Vec::new());
    press.put_frame(&mut wide, Kind::Text, text.as_bytes(), Deflate::Wide);
    press.put_frame(&mut narrow, Kind::Text, text.as_bytes(), Deflate::Narrow);
    assert!(wide.len() < narrow.len() && narrow.len() < text.len());
    let payload = &narrow[4..];
    let (mut small, mut out) =
        (Decompress::new_with_window_bits(false, 9), Vec::with_capacity(text.len() + 1));
    // In small pieces, so that the reader can refer back only to its window.
    let (mut rest, mut pieces) = (payload, Vec::new());
    while !rest.is_empty() {
        let before = small.total_in();
        out.clear();
        out.shrink_to(64);
        small.decompress_vec(rest, &mut out, FlushDecompress::None).unwrap();
        rest = &rest[usize::try_from(small.total_in() - before).unwrap()..];
        pieces.extend_from_slice(&out);
    }
    assert!(text.as_bytes().starts_with(&pieces) && pieces.len() + 300 > text.len());
}

fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-d]{0,400}".prop_map(String::into_bytes),
        "(\\{\"price\":[0-9]{1,3}\\}){0,60}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..600),
        (any::<u8>(), 0..80_000usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

proptest! {
    #[test]
    fn what_is_packed_is_what_others_read(payload in any_payload(), is_narrow: bool, level in 1..=9u32) {
        let mut press = Press::new(Some(Options { level, bytes_min: 0 }));
        let deflate = if is_narrow { Deflate::Narrow } else { Deflate::Wide };
        if let Some(packed) = press.pack(&payload, deflate).map(<[u8]>::to_vec) {
            prop_assert!(packed.len() < payload.len());
            prop_assert_eq!(read_by_flate2(&packed), payload.clone());
            let back = press.inflate(&packed, payload.len()).unwrap();
            prop_assert_eq!(back, payload);
        }
    }

    #[test]
    fn any_fragments_and_any_split_give_the_message(
        payload in any_payload(), flushed_at in 0..1000usize, level in 0..=9u32,
        fragments in proptest::collection::vec(0..200usize, 0..6),
    ) {
        let (one, two) = payload.split_at(flushed_at.min(payload.len()));
        let mut rest = &written_by_flate2(&[one, two], level)[..];
        prop_assume!(rest.len() < 60_000);
        let (mut bytes, mut first) = (Vec::new(), 0x42);
        for fragment in fragments {
            let (head, tail) = rest.split_at(fragment.min(rest.len()));
            bytes.extend(frame(first, head));
            (rest, first) = (tail, 0);
        }
        bytes.extend(frame(first | 0x80, rest));
        let wanted = Ok(vec![(Kind::Binary, payload)]);
        prop_assert_eq!(&decoded(&[&bytes]), &wanted);
        for cut in [1, 7, bytes.len() / 2] {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(&decoded(&[head, tail]), &wanted);
        }
        if bytes.len() < 2000 {
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decoded(&each), &wanted);
            for cut in 0..bytes.len() {
                prop_assert_eq!(&decoded(&[&bytes[..cut], &bytes[cut..]]), &wanted);
            }
        }
    }

    #[test]
    fn what_is_broken_leaves_no_trace(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..8)) {
        let (mut press, hello) = (press(0), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
        for payload in payloads {
            let outcome = press.inflate(&payload, 1000);
            prop_assert_eq!(&outcome, &self::press(0).inflate(&payload, 1000));
            prop_assert_eq!(press.inflate(&hello, 1000).unwrap(), b"Hello");
        }
    }

    #[test]
    fn no_payload_panics_or_outgrows_its_limit(payload in proptest::collection::vec(any::<u8>(), 0..300), bytes_max in 0..2000usize) {
        if let Ok(message) = press(0).inflate(&payload, bytes_max) {
            prop_assert!(message.len() <= bytes_max);
        }
    }
}
